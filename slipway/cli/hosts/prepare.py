"""`slipway host prepare`: shows what a host lacks, asks, and brings it about, host by host."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from slipway.cli.confirm import confirmed
from slipway.cli.hosts.check import check_hosts, chosen
from slipway.cli.printing import print_out
from slipway.cli.style import indented, rows
from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.preparation.on_host import bring_about
from slipway.hosts.preparation.script import ONLY_ROOT
from slipway.releases.format import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.hosts.preparation.script import Result
    from slipway.settings.model import HostSettings, Settings

__all__ = ["plan_view", "prepare"]


def prepare(settings: Settings, name: str, *, login: str, ssh_from: Sequence[str], yes: bool) -> bool:
    """Prepare the hosts of a stack, or the one called `name`; whether that was wanted.

    Raises:
        SlipwayError: a host cannot be reached or prepared, or a step failed.
    """
    hosts = chosen(settings, name, login)
    found = check_hosts(hosts, settings, ssh_from)
    plans = {host.name: _differing(host, found[host.name], login) for host in hosts}
    unknown = [result for results in found.values() if isinstance(results, list) for result in results]
    left = [result for result in unknown if result.state == "unknown"]
    print_out(plan_view(plans, left))
    if not any(plans.values()):
        return True
    command = " ".join(["slipway host prepare", *([name] if name else [])])
    if not confirmed("Change that now?", yes=yes, command=command):
        return False
    for host in hosts:
        if plan := plans[host.name]:
            lacking = [result.item for result in plan]
            asyncio.run(bring_about(host, settings.private_key(), lacking, partial(_say, host.name)))
    return True


def _say(host: str, result: Result) -> None:
    typer.echo(printable(f"{host}: {result.item.title}: {result.text}"))


def _differing(host: HostSettings, found: list[Result] | SlipwayError, login: str) -> list[Result]:
    as_root = f"slipway host prepare {host.name} --login root"
    if isinstance(found, SlipwayError):
        refused = found.problems[0].code == "login-refused" and not login and host.user != "root"
        raise SlipwayError(found.problems[0]._replace(fix=as_root)) if refused else found
    system = found[0]
    if system.state != "ok":
        raise SlipwayError(
            f"host {host.name}: {system.text or 'its system'} cannot be prepared",
            "the list is for Debian 12 and 13 and Ubuntu 22.04 and 24.04; nothing was changed; prepare it by hand",
            f"slipway host check {host.name}",
        )
    if any(result.text == ONLY_ROOT for result in found):
        raise SlipwayError(
            f"host {host.name}: {host.user} is not root, and may not use sudo without a password",
            "nothing was changed",
            as_root,
        )
    return [result for result in found if result.state == "differs"]


def plan_view(plans: dict[str, list[Result]], left: Sequence[Result] = ()) -> RenderableType:
    """What would change, and why, by host."""
    blocks: list[RenderableType] = []
    for name, plan in plans.items():
        verdict = f"{counted(len(plan), 'thing')} to change" if plan else "nothing to change"
        blocks.append(Text.assemble((f"host {name}: ", "bold"), (verdict, "bold yellow" if plan else "bold green")))
        for result in plan:
            blocks += [
                rows([(Text(result.item.title, "bold"), result.text)]),
                indented(indented(_dim(result.item.why))),
            ]
    if titles := dict.fromkeys(result.item.title for result in left):
        blocks.append(Text(f"not known, and left as it is: {', '.join(titles)}", "dim"))
    return Group(*blocks)


def _dim(text: str) -> Text:
    return Text(printable(text), "dim")
