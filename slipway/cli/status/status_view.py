"""What `slipway status` prints for people: one block per host, words first, colour only beside them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from slipway.cli.fitting_table import FittingTable
from slipway.cli.status.watch_view import figures
from slipway.cli.style import SHORT, image, indented, moment, note, state
from slipway.contract.commands import of_stack
from slipway.contract.outcomes import FAILED, REJECTED
from slipway.contract.problems import Problem
from slipway.contract.redaction import printable
from slipway.releases.format import ago, span
from slipway.releases.status import returned_finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["rendered"]

_ENDS = {FAILED: "last deployment failed", REJECTED: "rejected by the watch"}


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """`document` as something rich can print."""
    now = datetime.fromisoformat(document["checked"])
    verdict = ("as deployed", "bold green") if document["as_deployed"] else ("not as deployed", "bold red")
    if document["as_deployed"] and any(
        (host["probe"]["last"] or {}).get("outcome") == FAILED for host in document["hosts"]
    ):
        verdict = ("as deployed before the last update, which failed", "bold yellow")
    title = Text.assemble(
        (printable(document["application"]), "bold"),
        " on stack ",
        (printable(document["stack"]), "bold"),
        ": ",
        verdict,
    )
    if any((host["probe"] or {}).get("maintenance") for host in document["hosts"]):
        title.append(", maintenance page on", "bold yellow")
    blocks: list[RenderableType] = [title, *(note("differs", finding, "red") for finding in document["findings"])]
    for host in document["hosts"]:
        blocks += ["", *_host(host, document["stack"], now)]
    return Group(*blocks)


def _host(host: Mapping[str, Any], stack: str, now: datetime) -> Iterator[RenderableType]:
    probe = host["probe"]
    address = "" if host["address"] == "local" else f" ({printable(host['address'])})"
    yield Text.assemble((host["name"], "bold"), address, ": ") + _release(probe, now)
    for error in host["errors"]:
        yield note("error", str(Problem.from_json(error)), "red")
    if probe is None:
        return
    if probe["lock"]:
        yield note("deploying now", probe["lock"], "cyan")
    returned = host["returned"] and returned_finding(host["returned"])
    if returned:
        yield note("rolled back by itself", f"{ago(host['returned']['at'], now)}, {returned}", "red")
    for finding in host["findings"]:
        if finding != returned:
            yield note("differs", finding, "red")
    yield from _circumstances(probe, stack, now)
    if probe["live"] and probe["machine"]["docker"]:  # without an engine, what runs is not known
        yield indented(_services(probe, now))


def _circumstances(probe: Mapping[str, Any], stack: str, now: datetime) -> Iterator[RenderableType]:
    """How the last deployment ended, and what stands between visitors and the containers."""
    last, live = probe["last"], probe["live"]
    if last and last["outcome"] in _ENDS:
        yield note(_ENDS[last["outcome"]], f"{last['release']}, {ago(last['at'], now)}: {last['reason']}", "yellow")
    if probe["validated"] and live and probe["validated"] != live["release"]:
        yield note("validated last", f"{probe['validated']}; a failed update returns to it", "dim")
    if probe["maintenance"]:
        ends = of_stack("slipway maintenance off", stack)
        yield note("maintenance", f"visitors get the maintenance page; {ends} ends it", "yellow")
    if probe["watch"] and live:
        yield from _watch(probe["watch"], live["release"])
    if probe["edge"] and probe["stack"] in probe["edge"]["stacks"]:
        yield _edge(probe["edge"])


def _watch(watch: Mapping[str, Any], live: str) -> Iterator[RenderableType]:
    works = watch["state"] in ("watching", "returning")
    if watch["release"] == live and works and not watch["alive"]:
        yield note("watch lost", f"its process is gone; if {live} turns bad, nothing notices", "red")
    elif watch["release"] == live and watch["state"] == "returning":
        yield note("watch", f"rolling back to the release before {live}: {watch['reason']}", "red")
    elif watch["release"] == live and watch["state"] == "failed":
        yield note("watch", watch["reason"], "red")
    elif watch["release"] == live and works and watch["left"]:
        seen = [f"{service} {figures(each)}" for service, each in sorted(watch["services"].items())]
        yield note("watch", "; ".join([f"{span(watch['left'])} left", *seen]), "cyan")
    for kept in watch["kept"] if watch["alive"] else ():
        yield note("kept", f"the old generation of {kept['service']} still runs, {span(kept['left'])} left", "cyan")


def _edge(edge: Mapping[str, Any]) -> RenderableType:
    ports = [str(edge[key]) for key in ("http_port", "https_port") if edge[key]]
    what = f"Traefik {edge['version']}, {'ports' if len(ports) > 1 else 'port'} {' and '.join(ports)}"
    if any(container["state"] == "running" for container in edge["containers"]):
        return note("edge", what, "dim")
    states = ", ".join(f"{each['name']} is {each['state']}" for each in edge["containers"])
    return note("edge not running", f"{what} ({states})" if states else what, "red")


def _release(probe: Mapping[str, Any] | None, now: datetime) -> Text:
    if probe is None:
        return Text("not known")
    live = probe["live"]
    if live is None:
        return Text("nothing deployed")
    commit, suffix = live["commit"][:SHORT], "-dirty" if live["commit"].endswith("-dirty") else ""
    about = f", commit {commit}{suffix}" if commit else ""
    about += f" on {live['branch']}" if live["branch"] else ""
    about += ", validated" if probe["validated"] == live["release"] else ""
    undone = (probe.get("move") or {}).get("state") == "undone"
    about += ", stopped" if undone else f", live since {moment(live['since'])} ({ago(live['since'], now)})"
    return Text.assemble("release ", (printable(live["release"]), "bold"), printable(about))


def _services(probe: Mapping[str, Any], now: datetime) -> FittingTable:
    made = FittingTable("service", "container", "state", "health", "image", "started", "restarts")
    for service, entry in sorted(probe["live"]["services"].items()):
        name, running = printable(service), image(entry["image"])
        for each in entry["containers"]:
            states = (state(each["state"]), state(each["health"] or "-"))
            container = printable(each["name"].removeprefix(f"{probe['stack']}-"))
            made.add_row(name, container, *states, running, ago(each["since"], now), str(each["restarts"]))
            name = ""
        if not entry["containers"] and entry["replicas"]:
            # A one-off that ended well needs its container no more; for any other, the host says that it is missing.
            missing = any(each["service"] == service for each in probe["drift"])
            made.add_row(name, "-", state("missing" if missing else "completed"), "-", running, "-", "-")
    return made
