"""Where what runs differs from what was proven: pure. An unhealthy container is not drift; status shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent.docker.facts import RUNS, in_lost_namespaces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.edge.routing import Routing
    from slipway.agent.state.ledger import Live, Proof

__all__ = ["drift", "route_drift"]


def drift(proofs: Mapping[str, Proof], containers: Sequence[Container]) -> list[dict[str, str]]:
    """One entry per difference: the service and what happened to it."""
    found = []
    behind = in_lost_namespaces(containers)
    for service in sorted({*proofs, *(each.service for each in containers)}):
        own = [each for each in containers if each.service == service]
        if service not in proofs:
            found += [(service, f"{each.name} is not part of the live release") for each in own]
        elif proofs[service].completed:
            found += [(service, f"{each.name} was replaced") for each in own if not _is(each, proofs[service])]
        else:
            found += [(service, what) for what in _differences(proofs[service], own)]
            found += [
                (service, f"{each.name} was left behind: {behind[each.id]}, whose namespace it uses, was started again")
                for each in own
                if each.id in behind
            ]
    return [{"service": service, "what": what} for service, what in found]


def route_drift(
    live: Live,
    release: Mapping[str, Any] | None,
    containers: Sequence[Container],
    routing: Routing | None,
    edge: Mapping[str, Any] | None,
) -> list[dict[str, str]]:
    """One entry per routed service of the live `release` whose requests do not reach what was proven."""
    routed = {name for name, service in (release or {"services": {}})["services"].items() if service.get("routes")}
    wanted = {name: proof for name, proof in live.services.items() if name in routed and proof.replicas}
    runs = edge is not None and any(each["state"] == "running" for each in edge["containers"])
    written = {each.service: each for each in routing.services} if routing else {}
    found = []
    for service, proof in sorted(wanted.items()):
        own = {each.edge for each in containers if each.service == service and each.config == proof.config}
        backends = written[service].backends if service in written else ()
        servers = {server.rpartition(":")[0] for backend in backends if backend.weight for server in backend.servers}
        if not runs:
            found.append((service, "the edge (Traefik) that leads to it is not running"))
        elif not backends:
            found.append((service, "its route is gone"))
        elif not servers <= own:
            found.append((service, "its route leads elsewhere than to its containers"))
    return [{"service": service, "what": what} for service, what in found]


def _differences(proof: Proof, containers: Sequence[Container]) -> list[str]:
    found = [f"{each.name} was replaced" for each in containers if not _is(each, proof)]
    good = [each for each in containers if _is(each, proof)]
    found += [
        f"{each.name} is {each.state}" + (f" ({each.ending})" if each.state == "exited" else "")
        for each in good
        if each.state not in RUNS and not each.ended_well
    ]
    if len(containers) < proof.replicas:
        missing = "is missing" if not containers else f"runs {len(containers)} of {proof.replicas} containers"
        found.append(missing)
    elif len(containers) > proof.replicas:
        found.append(f"has {len(containers)} containers instead of {proof.replicas}")
    return found


def _is(container: Container, proof: Proof) -> bool:
    digest = container.image.partition("@")[2]
    return container.config == proof.config and digest in ("", proof.image.partition("@")[2])
