"""What `slipway status` found, as data (slipway/cli/schemas/status.schema.json), and what it means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slipway.contract.outcomes import illness
from slipway.contract.owner import owned_by_another
from slipway.contract.problems import SlipwayError
from slipway.hosts.host_sessions import other_owner
from slipway.releases.format import ago

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.releases.engine import Stack
    from slipway.settings.model import HostSettings

__all__ = ["returned_finding", "status_document"]

_OFTEN, _LONG = 3, timedelta(minutes=10)  # as many restarts, and as long without one: it has come to rest


def status_document(
    stack: Stack, seen: Mapping[str, Mapping[str, Any] | SlipwayError], now: datetime | None = None
) -> dict[str, Any]:
    """What was found on every host of `stack`, by `survey`; `now` is the present moment when left out."""
    now = now or datetime.now(UTC)
    hosts = [_host(host, seen[host.name], stack, now) for host in stack.settings.hosts]
    findings = _apart(hosts)
    return {
        "contract": 1,
        "stack": stack.settings.stack,
        "application": stack.application,
        "project": stack.project,
        "checked": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "as_deployed": not findings and all(host["as_deployed"] for host in hosts),
        "findings": findings,
        "hosts": hosts,
    }


def _host(host: HostSettings, seen: Mapping[str, Any] | SlipwayError, stack: Stack, now: datetime) -> dict[str, Any]:
    if isinstance(seen, SlipwayError):
        errors = [problem.of_stack(stack.settings.stack).to_json() for problem in seen.problems]
        findings, probe = [], None
    else:
        errors, findings, probe = list(seen["problems"]), _findings(seen, now), dict(seen)
        if owner := other_owner(seen, stack.project, stack.settings.stack):
            findings.insert(0, f"what is called {stack.project} here is application {owner}'s")
        elif another := owned_by_another(stack.project, str(seen.get("owner") or ""), stack.settings.owner):
            findings.insert(0, another.what)
    return {
        "name": host.name,
        "address": host.address,
        "as_deployed": not errors and not findings,
        "errors": errors,
        "findings": findings,
        "returned": probe and probe.get("returned"),
        "probe": probe,
    }


def returned_finding(returned: Mapping[str, Any]) -> str:
    """The finding that a host was rolled back by itself, in words."""
    return f"{returned['from']} was deployed, and the watch rolled back to {returned['to']}: {returned['reason']}"


def _findings(probe: Mapping[str, Any], now: datetime) -> list[str]:
    """Why a host does not run as deployed, in words. A failed deployment is none: the previous release serves."""
    findings = [f"{entry['service']}: {entry['what']}" for entry in probe["drift"]]
    if returned := probe.get("returned"):
        findings.insert(0, returned_finding(returned))
    if probe["interrupted"]:
        findings.append(f"a deployment was interrupted ({probe['interrupted']}); the next one finishes or undoes it")
    if probe["live"] is None:
        return [*findings, "nothing is deployed here"]
    move = probe.get("move") or {}
    if move.get("state") == "undone":  # all else that there is to say follows from it
        return [f"the move was undone: {move['project']} runs again, this stack is stopped; `slipway up` moves again"]
    if move.get("state") == "undoing":
        findings.append("an undo of the move was cut off; `slipway move undo` or the next deployment finishes it")
    unwell = [
        f"{service}: {container['name']} {what}"
        for service, entry in probe["live"]["services"].items()
        for container in entry["containers"]
        if (what := _unwell(container, now)) and not any(container["name"] in finding for finding in findings)
    ]
    return [*findings, *unwell]


def _unwell(container: Mapping[str, Any], now: datetime) -> str:
    """What is wrong with a container; also one that runs whenever it is looked at, and crashes in between."""
    if ill := illness(container["state"], container["health"]):
        return f"is {ill}"
    if container["restarts"] < _OFTEN or now - datetime.fromisoformat(container["since"]) >= _LONG:
        return ""
    return f"was restarted {container['restarts']} times, the last time {ago(container['since'], now)}"


def _apart(hosts: list[dict[str, Any]]) -> list[str]:
    """The finding that hosts run different releases, if so: the whole fleet moves together, or not at all."""
    releases = {host["name"]: host["probe"]["live"]["release"] for host in hosts if (host["probe"] or {}).get("live")}
    if len(set(releases.values())) <= 1:
        return []
    return ["the hosts run different releases: " + ", ".join(f"{name} {live}" for name, live in releases.items())]
