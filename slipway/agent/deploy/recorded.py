"""What a deployment would do after the one on record, for a preview that does not look at the host.

The planner and the steps are those of a deployment. What nobody looked at (drift, missing images, what the edge routes)
is taken to be as recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.deploy.deploy import wanted_release
from slipway.agent.deploy.plan import deployment
from slipway.agent.deploy.planned import Known, changes, plan_document
from slipway.agent.docker.facts import Container
from slipway.agent.edge.routing import Backend, Routing
from slipway.agent.release.rendering import render
from slipway.agent.state.ledger import Live, Proof
from slipway.agent.strategies.rolling import WHOLE
from slipway.agent.traffic.wanted_routes import facts_of_routes, wanted_route
from slipway.contract.deployment import Release
from slipway.contract.plan import EDGE_REPLACED, OLD_STOPPED, Change

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.release.rendering import Rendered
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.agent.strategies.service import Service
    from slipway.contract.deployment import Deployment

__all__ = ["planned_from_record"]


class _Before(NamedTuple):
    """What is taken to be on the host."""

    content: Mapping[str, Any] | None = None
    containers: Sequence[Container] = ()
    live: Live | None = None
    routing: Routing | None = None
    rotated: Sequence[str] = ()
    edge: str = ""


def planned_from_record(document: Deployment, record: Mapping[str, Any] | None, folder: StackFolder) -> dict[str, Any]:
    """The Plan document of a deployment after what `record` says (record.schema.json); None: after nothing.

    Secrets are compared by whatever stands for them in both: their values, or fingerprints of them.
    """
    new = _rendered(document.release, document.services, document.secrets, folder)
    before = _before(document, record, folder) if record else _Before()
    routed = facts_of_routes(
        new.services, document.release, document.edge, document.secrets,
        current=before.routing, containers=before.containers,
    )  # fmt: skip
    if document.edge is not None and document.edge.image != before.edge:
        routed = routed._replace(edge=document.edge.version)
    same = before.live is not None and before.live.release == document.release.id
    wanted = wanted_release(document, new.services, migrated=document.services if same else ())
    plan = deployment(wanted, before.containers, before.live, (), routed)
    edge = Change("edge", EDGE_REPLACED, (f"Traefik {routed.edge}",)) if before.edge else None
    known = Known(before.containers, before.content, document.release.content, before.rotated, edge=edge, recorded=True)
    found = changes(plan, new.services, known)
    if document.move_from and before.live is None:
        because = "what runs of it stops: where it is in the way first, the rest at the end"
        found.append(Change(", ".join(document.move_from), OLD_STOPPED, (because,)))
    return plan_document(document.host, plan, new.services, found, seen="record" if record else "nothing")


def _rendered(release: Release, services: Collection[str], secrets: Mapping[str, str], folder: StackFolder) -> Rendered:
    return render(release, services, secrets, key=b"recorded", folder=folder)


def _before(document: Deployment, record: Mapping[str, Any], folder: StackFolder) -> _Before:
    release, observed, now = Release.from_json(record["release"]), record["services"], document.secrets
    secrets = {name: record["secrets"].get(name, now.get(name, "")) for name in release.secrets}
    then = _rendered(release, observed, secrets, folder).services
    containers = [each for name, service in then.items() for each in _containers(service, observed[name])]
    proofs = {
        name: Proof(each.config, each.image, each.replicas, completed=_completed(observed[name]))
        for name, each in then.items()
    }
    routes = []
    for name, service in then.items():
        if service.traffic.routed and service.replicas:
            places = tuple(f"{each.edge}:{release.services[name].port}" for each in containers if each.service == name)
            backend = Backend(service.generation, WHOLE, places)
            route = wanted_route(name, release, document.edge, {**now, **secrets}, None)
            routes.append(route._replace(backends=(backend,)))
    return _Before(
        release.content,
        containers,
        Live(release.id, document.convergence, "", proofs),
        Routing(tuple(routes)),
        [name for name, value in secrets.items() if now.get(name, value) != value],
        record["edge"],
    )


def _completed(observed: Mapping[str, Any]) -> bool:
    """Whether a service ended well; also when its container is gone, since the deployment was proven without one."""
    return bool(observed["replicas"]) and all(each["state"] == "completed" for each in observed["containers"])


def _containers(service: Service, observed: Mapping[str, Any]) -> list[Container]:
    """A service's containers, as the report of their deployment saw them."""
    return [
        Container(
            each["id"], each["name"], service.name, number, service.config,
            state="exited" if each["state"] == "completed" else each["state"], may_end=True,
            health=each["health"], edge=each["name"],
            unnamed=tuple(each.get("unnamed", ())), follows=tuple(each.get("follows", ())),
        )
        for number, each in enumerate(observed["containers"], 1)
    ]  # fmt: skip
