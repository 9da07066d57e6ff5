"""`slipway host check`: what running hosts have of the list, side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from slipway.cli.style import rows
from slipway.contract.problems import SlipwayError
from slipway.hosts.preparation.item import Wanted
from slipway.hosts.preparation.items import items
from slipway.hosts.preparation.on_host import check
from slipway.releases.format import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slipway.hosts.preparation.script import Result
    from slipway.settings.model import HostSettings, Settings

__all__ = ["check_document", "check_hosts", "chosen", "report", "result_rows", "wanted_of"]

_CONTRACT = 1  # version of schemas/host-check.schema.json; a change that a reader cannot ignore raises it
_STYLES = {"ok": "green", "differs": "bold red", "unknown": "yellow"}


def chosen(settings: Settings, name: str, login: str) -> list[HostSettings]:
    """The hosts that are reached over SSH, or the one called `name`, logged in to as `login` if that is given.

    Raises:
        SlipwayError: there is none.
    """
    remote = [host for host in settings.hosts if not host.local]
    if found := [host for host in remote if name in ("", host.name)]:
        return [host.model_copy(update={"user": login} if login else {}) for host in found]
    names = ", ".join(host.name for host in remote)
    what = f"{settings.stack} has no host {name} that is reached over SSH" if name else f"{settings.stack} has no host"
    raise SlipwayError(what, f"it has {names}" if names else "none is reached over SSH", "slipway host check")


def wanted_of(host: HostSettings, settings: Settings, ssh_from: Sequence[str]) -> Wanted:
    """What the stack's settings say a host is prepared for."""
    import asyncssh

    user = next(each.user for each in settings.hosts if each.name == host.name)  # not whom the preparation logs in as
    try:
        key = asyncssh.import_private_key(settings.private_key()).export_public_key("openssh").decode()
    except asyncssh.KeyImportError:
        key = ""  # with which nothing is reached, and that is what is reported
    server, network = settings.hetzner.machines.get(host.name), settings.hetzner.network
    return Wanted(
        user=Wanted.user if user == "root" else user,
        login_keys=(" ".join(key.split()[:2]),) if key else (),
        ssh_port=host.port,
        ports=(settings.http_port, settings.https_port),
        ssh_from=tuple(ssh_from),
        private=(network,) if server and network else (),
        volumes={"": server.volume.path} if server and server.volume else {},
    )


def check_hosts(
    hosts: Iterable[HostSettings], settings: Settings, ssh_from: Sequence[str]
) -> dict[str, list[Result] | SlipwayError]:
    """By host, what it has, or why that is not known."""

    async def look_at(host: HostSettings) -> list[Result] | SlipwayError:
        try:
            return await check(host, settings.private_key(), items(wanted_of(host, settings, ssh_from)))
        except SlipwayError as error:
            return error

    async def look_at_all() -> list[list[Result] | SlipwayError]:
        return await asyncio.gather(*map(look_at, hosts))

    hosts = list(hosts)
    return dict(zip((host.name for host in hosts), asyncio.run(look_at_all()), strict=True))


def check_document(stack: str, found: Mapping[str, list[Result] | SlipwayError]) -> dict[str, Any]:
    """What was found, as schemas/host-check.schema.json says."""
    hosts = [_host(name, results) for name, results in found.items()]
    return {"contract": _CONTRACT, "stack": stack, "prepared": all(host["prepared"] for host in hosts), "hosts": hosts}


def _host(name: str, found: list[Result] | SlipwayError) -> dict[str, Any]:
    failed = isinstance(found, SlipwayError)
    listed = [] if isinstance(found, SlipwayError) else found
    return {
        "name": name,
        "prepared": not failed and all(result.state != "differs" for result in listed),
        "problems": [problem.to_json() for problem in found.problems] if isinstance(found, SlipwayError) else [],
        "items": [
            {
                "id": result.item.id, "title": result.item.title, "why": result.item.why, "state": result.state,
                "text": result.text,
            }
            for result in listed
        ],
    }  # fmt: skip


def report(document: Mapping[str, Any]) -> RenderableType:
    """`document` for people: a table for each host."""
    blocks: list[RenderableType] = []
    for host in document["hosts"]:
        states = [item["state"] for item in host["items"]]
        differing, unknown = states.count("differs"), states.count("unknown")
        verdict = f"{counted(differing, 'thing')} differ{'s' if differing == 1 else ''}" if differing else "prepared"
        verdict += f", {unknown} cannot be known" if unknown else ""
        if host["problems"]:
            verdict = "cannot be checked"
        style = "bold green" if host["prepared"] else "bold red"
        blocks += [Text.assemble((f"host {host['name']}: ", "bold"), (verdict, style)), result_rows(host["items"])]
    return Group(*blocks)


def result_rows(listed: Iterable[Mapping[str, Any]]) -> RenderableType:
    """A row for each item: what is there of it."""
    return rows((Text(item["state"], _STYLES[item["state"]]), item["title"], item["text"]) for item in listed)
