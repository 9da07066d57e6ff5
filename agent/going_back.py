"""Brings the previous release back after a failed deployment, or clears away a first one.

The previous release comes back as it was proven: its release document and the secret values it was proven with, so
that containers that were not touched stay as they are and a bad new secret cannot break the way back. Only when
that fails is it tried with today's values (the old ones may be revoked by now).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.problems import SlipwayError

from agent import facts, fetch
from agent.docker_api import PROJECT_LABEL
from agent.plan import Routed, converge
from agent.rendering import render
from agent.runner import Runner
from agent.steps import Fetch, Shift, Write
from agent.stopping import stop_and_remove
from agent.traffic import facts_of_routes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.actions import Actions
    from agent.docker_api import DockerApi
    from agent.edge import Edge
    from agent.journal import Journal
    from agent.ledger import Ledger, Live, Proof
    from agent.output import Output
    from agent.rendering import Rendered
    from agent.state import StackFolder
    from agent.steps import Step

__all__ = ["Back", "clear_first", "go_back"]

_STOP_SECONDS = 600.0


class Back(NamedTuple):
    """What came of going back."""

    said: str
    """which release serves now, in words"""
    services: dict[str, Proof]
    """what it consists of, with the secrets that it has now"""


def go_back(
    live: Live,
    *,
    now: Mapping[str, str],
    proven: Mapping[str, str],
    folder: StackFolder,
    quick_health: bool,
    api: DockerApi,
    edge: Edge,
    actions: Callable[[dict[str, Any], Rendered, dict[str, str]], Actions],
    journal: Journal,
    ledger: Ledger,
    out: Output,
    prefix: str = "back:",
) -> Back:
    """Converge on `live` wherever the host differs from it.

    `proven` are the secret values that it was proven with, `now` those of today; `prefix` begins the names that the
    journal knows the steps by.

    Raises:
        SlipwayError: it could not be brought back.
    """
    release = folder.release(live.release)
    if release is None:
        raise SlipwayError(
            f"the record of release {live.release} is gone from this host",
            "it cannot be brought back from here",
            "deploy a release",
        )
    needed = release["secrets"]
    then = {name: proven.get(name, now.get(name, "")) for name in needed}
    today = {name: now.get(name, proven.get(name, "")) for name in needed}
    begin = time.monotonic()
    for values in (then, today):
        rendered = render(
            release,
            list(live.services),
            values,
            key=folder.hash_key(make=True),
            folder=folder,
            quick_health=quick_health,
        )
        try:
            routing = facts_of_routes(
                rendered,
                release,
                None,
                values,
                current=edge.current(folder.stack),
                containers=facts.containers(api, folder.stack),
            )
            touched = _converge(
                live,
                release,
                rendered,
                routed=Routed(routing.weights, routing.stale),
                api=api,
                values=values,
                actions=actions,
                journal=journal,
                stack=folder.stack,
                prefix=prefix,
            )
        except SlipwayError as error:
            if values == today:
                raise
            out.progress("back", f"{live.release} with the secrets it was proven with: {error.what}")
            continue
        break
    services = _as_rendered(live, rendered)
    if values != then:
        folder.store_secrets(values)
        ledger.append(
            live.release, "repaired", convergence=live.convergence, reason="secrets of today", services=services
        )
    if not touched:
        return Back(f"release {live.release} serves as before", services)
    out.progress("back", f"{live.release} ({', '.join(touched)})", time.monotonic() - begin)
    return Back(f"release {live.release} was brought back and serves", services)


def clear_first(api: DockerApi, edge: Edge, stack: str, out: Output) -> None:
    """Remove the routes, containers and networks of a stack that never had a proven release; never its volumes."""
    begin = time.monotonic()
    edge.drop_stack(stack)
    present = api.containers({PROJECT_LABEL: stack})
    stop_and_remove([str(entry["Id"]) for entry in present], api, _STOP_SECONDS)
    for network in api.networks(stack):
        api.remove_network(str(network["Id"]))
    out.progress("back", "removed what the failed deployment had started", time.monotonic() - begin)


def _converge(
    live: Live,
    release: dict[str, Any],
    rendered: Rendered,
    *,
    routed: Routed,
    values: dict[str, str],
    api: DockerApi,
    actions: Callable[[dict[str, Any], Rendered, dict[str, str]], Actions],
    journal: Journal,
    stack: str,
    prefix: str,
) -> list[str]:
    seen = facts.containers(api, stack)
    courses = converge(rendered.services, seen, live.services, routed=routed, back=True)
    steps = [*courses.first, *courses.steps, *courses.late]
    if not steps:
        return []
    images = sorted({service.image for service in rendered.services.values()})
    before: list[Step] = [Fetch(tuple(images))] if fetch.missing(api, images) else []
    runner = Runner(journal, actions(release, rendered, values).act, prefix)
    # Requests go back before anything else: what they go to is here and runs.
    runner.run([*courses.first, *before, Write(live.release), *courses.steps, *courses.late])
    return courses.touched or [step.service for step in courses.first if isinstance(step, Shift)]


def _as_rendered(live: Live, rendered: Rendered) -> dict[str, Proof]:
    return {name: proof._replace(config=rendered.services[name].config) for name, proof in live.services.items()}
