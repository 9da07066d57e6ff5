"""The containers of one stack as they are now, each with its generation (`contract/listing.schema.json`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerApi, find_socket
from slipway.agent.docker.facts import container, is_one_off
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.ledger import Ledger
from slipway.contract import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slipway.agent.docker.facts import Container
    from slipway.agent.state.ledger import Proof
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["listing"]


def listing(folder: StackFolder) -> dict[str, Any]:
    """The Listing document."""
    api = DockerApi(find_socket(), timeout=20.0)
    live = Ledger(folder.ledger).live()
    proofs = live.services if live else {}
    found = []
    for entry in api.containers({PROJECT_LABEL: folder.stack}):
        details = api.container(entry["Id"])
        if details is not None:
            found.append((container(details), is_one_off(entry)))
    kept = Keeping(folder).containers
    return {
        "contract": CONTRACT,
        "stack": folder.stack,
        "socket": api.path,
        "live": live.release if live else None,
        "services": sorted(proofs),
        "containers": [
            _described(each, "one-off" if one_off else _generation(each, proofs, kept), one_off=one_off)
            for each, one_off in sorted(found, key=lambda pair: (pair[0].service, pair[0].number, pair[0].name))
        ],
    }


def _generation(each: Container, proofs: Mapping[str, Proof], kept: Collection[str]) -> str:
    if each.id in kept:
        return "kept"
    proof = proofs.get(each.service)
    return "live" if proof is not None and proof.config == each.config else "other"


def _described(each: Container, generation: str, *, one_off: bool) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "service": each.service,
        "number": each.number,
        "one_off": one_off,
        "generation": generation,
        "release": each.release,
        "image": each.image,
        "state": each.state,
        "exit_code": each.exit_code,
        "health": each.health,
        "started": each.started,
        "restarts": each.restarts,
        "ports": [f"{at or '0.0.0.0'}:{public}->{port}/{kind}" for at, public, port, kind in each.ports],  # noqa: S104 - shown
    }
