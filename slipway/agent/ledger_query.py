"""What this host has seen of a stack: every line of its ledger, and which releases it could roll back to alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent.docker.docker_api import DockerApi, find_socket
from slipway.agent.docker.pull import missing
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.stack_dir import moment
from slipway.contract import CONTRACT
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["print_history", "print_release"]


def print_history(folder: StackFolder, out: Output) -> None:
    """Print a line of JSON per ledger entry, oldest first, then one that says what is kept; changes nothing."""
    ledger = Ledger(folder.ledger)
    for line in ledger.lines:
        out.result({name: value for name, value in line.items() if name not in ("services", "convergence")})
    out.result({"contract": CONTRACT, "now": moment(), "warm": _warm(folder, ledger)})


def print_release(folder: StackFolder, identifier: str, out: Output) -> None:
    """Print a release that is kept here; changes nothing."""
    release = folder.kept_releases().get(identifier)
    if release is None:
        raise SlipwayError(
            f"release {identifier or '(none named)'} is not kept here",
            "it cannot be shown",
            "deploy it again from where it is known",
        )
    out.result(release)


def _warm(folder: StackFolder, ledger: Ledger) -> list[str]:
    """Proven releases that are kept here with all images of the services that this host ran of them."""
    try:
        api = DockerApi(find_socket(), timeout=20.0)
        here: dict[str, bool] = {}
        found = []
        for identifier in folder.kept_releases():
            images = ledger.images(identifier)
            for image in images - here.keys():
                here[image] = not missing(api, [image])
            if images and all(here[image] for image in images):
                found.append(identifier)
    except SlipwayError:
        return []  # Docker does not answer; the probe reports that
    return found
