"""What `slipway status` prints for people: one block per host, words first, colour only beside them.

Owns: the printed form. Does not own: what is told (see `status_document`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slipway.cli.printing import print_out
from slipway.cli.status.watch_view import figures
from slipway.contract.outcomes import FAILED, REJECTED
from slipway.contract.problems import Problem
from slipway.releases.format import ago, plain, span
from slipway.releases.status import returned_finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

__all__ = ["rendered", "show"]

_COLUMNS = ("service", "container", "state", "health", "image", "started", "restarts")
_SHORT = 12  # hex digits of a digest or commit that people compare
_ENDS = {FAILED: "last deployment failed", REJECTED: "rejected by the watch"}
_STYLES = {
    "running": "green", "completed": "green", "healthy": "green",
    "starting": "yellow", "restarting": "yellow",
    "unhealthy": "red", "exited": "red", "dead": "red", "missing": "red",
}  # fmt: skip


def show(document: Mapping[str, Any]) -> None:
    """Print `document` on standard output."""
    print_out(rendered(document))


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """`document` as something rich can print."""
    now = datetime.fromisoformat(document["checked"])
    good = document["as_deployed"]
    verdict = Text("as deployed", "bold green") if good else Text("not as deployed", "bold red")
    title = Text.assemble((document["application"], "bold"), " on stack ", (document["stack"], "bold"), ": ", verdict)
    if any((host["probe"] or {}).get("maintenance") for host in document["hosts"]):
        title.append(", maintenance page on", "bold yellow")
    blocks: list[RenderableType] = [title, *(_note("differs", finding, "red") for finding in document["findings"])]
    for host in document["hosts"]:
        blocks += ["", *_host(host, now)]
    return Group(*blocks)


def _host(host: Mapping[str, Any], now: datetime) -> Iterator[RenderableType]:
    probe = host["probe"]
    name = Text.assemble(
        (host["name"], "bold"), "" if host["address"] == "local" else f" ({plain(host['address'])})", ": "
    )
    yield name + _release(probe, now)
    for error in host["errors"]:
        yield _note("error", str(Problem.from_json(error)), "red")
    if probe is None:
        return
    if probe["lock"]:
        yield _note("deploying now", probe["lock"], "cyan")
    returned = host["returned"] and returned_finding(host["returned"])
    if returned:
        yield _note("rolled back by itself", f"{ago(host['returned']['at'], now)}, {returned}", "red")
    for finding in host["findings"]:
        if finding != returned:
            yield _note("differs", finding, "red")
    last = probe["last"]
    if last and last["outcome"] in _ENDS:
        yield _note(_ENDS[last["outcome"]], f"{last['release']}, {ago(last['at'], now)}: {last['reason']}", "yellow")
    if probe["validated"] and probe["live"] and probe["validated"] != probe["live"]["release"]:
        yield _note("validated last", f"{probe['validated']}; a failed update returns to it", "dim")
    yield from _traffic(probe)
    if probe["live"] and probe["machine"]["docker"]:  # without an engine, what runs is not known
        yield Padding(_services(probe["live"]["services"], now), (0, 0, 0, 2), expand=False)


def _traffic(probe: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What stands between visitors and the containers: maintenance page, watch, what it keeps, the edge."""
    if probe["maintenance"]:
        yield _note("maintenance", "visitors get the maintenance page; slipway maintenance off ends it", "yellow")
    if (watch := probe["watch"]) and probe["live"]:
        yield from _watch(watch, probe["live"]["release"])
    edge = probe["edge"]
    if edge and probe["stack"] in edge["stacks"]:
        ports = " and ".join(str(edge[key]) for key in ("http_port", "https_port") if edge[key])
        what = f"Traefik {edge['version']}, {'ports' if ' ' in ports else 'port'} {ports}"
        if any(container["state"] == "running" for container in edge["containers"]):
            yield _note("edge", what, "dim")
        else:
            states = ", ".join(f"{each['name']} is {each['state']}" for each in edge["containers"])
            yield _note("edge not running", f"{what}{f' ({states})' if states else ''}", "red")


def _watch(watch: Mapping[str, Any], live: str) -> Iterator[RenderableType]:
    if watch["release"] == live and watch["state"] in ("watching", "returning"):
        if not watch["alive"]:
            yield _note("watch lost", f"its process is gone; if {live} turns bad, nothing notices", "red")
        elif watch["state"] == "returning":
            yield _note("watch", f"brings the release before {live} back: {watch['reason']}", "red")
        elif watch["left"]:
            seen = [f"{service} {figures(each)}" for service, each in sorted(watch["services"].items())]
            yield _note("watch", "; ".join([f"{span(watch['left'])} left", *seen]), "cyan")
    elif watch["release"] == live and watch["state"] == "failed":
        yield _note("watch", watch["reason"], "red")
    if watch["alive"]:
        for kept in watch["kept"]:
            text = f"the old generation of {kept['service']} still runs, {span(kept['left'])} left"
            yield _note("kept", text, "cyan")


def _release(probe: Mapping[str, Any] | None, now: datetime) -> Text:
    if probe is None:
        return Text("not known")
    live = probe["live"]
    if live is None:
        return Text("nothing deployed")
    commit, suffix = live["commit"][:_SHORT], "-dirty" if live["commit"].endswith("-dirty") else ""
    source = f", commit {commit}{suffix}" if commit else ""
    source += f" on {live['branch']}" if live["branch"] else ""
    source += ", validated" if probe["validated"] == live["release"] else ""
    since = live["since"].replace("T", " ").replace("Z", " UTC")
    return Text.assemble(
        "release ", (live["release"], "bold"), plain(f"{source}, live since {since} ({ago(live['since'], now)})")
    )


def _services(services: Mapping[str, Mapping[str, Any]], now: datetime) -> Table:
    table = Table(*_COLUMNS, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for service, entry in sorted(services.items()):
        image = entry["image"].rpartition("sha256:")[2][:_SHORT]
        name = plain(service)
        for container in entry["containers"]:
            table.add_row(
                name,
                plain(container["name"]),
                _word(container["state"]),
                _word(container["health"] or "-"),
                image,
                ago(container["since"], now),
                str(container["restarts"]),
            )
            name = ""
        if not entry["containers"] and entry["replicas"]:
            table.add_row(name, "-", _word("missing"), "-", image, "-", "-")
    return table


def _note(label: str, text: str, style: str) -> RenderableType:
    return Padding(Text.assemble((f"{label}: ", f"bold {style}"), plain(text)), (0, 0, 0, 2), expand=False)


def _word(text: str) -> Text:
    return Text(plain(text), _STYLES.get(text, ""))
