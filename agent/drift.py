"""Where what runs differs from what was proven: pure. An unhealthy container is not drift; status shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.facts import RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.facts import Container
    from agent.ledger import Proof

__all__ = ["drift"]


def drift(proofs: Mapping[str, Proof], containers: Sequence[Container]) -> list[dict[str, str]]:
    """One entry per difference: the service and what happened to it."""
    found = []
    for service in sorted({*proofs, *(each.service for each in containers)}):
        own = [each for each in containers if each.service == service]
        if service not in proofs:
            found += [(service, f"{each.name} is not part of the live release") for each in own]
        elif proofs[service].completed:
            found += [(service, f"{each.name} was replaced") for each in own if not _is(each, proofs[service])]
        else:
            found += [(service, what) for what in _differences(proofs[service], own)]
    return [{"service": service, "what": what} for service, what in found]


def _differences(proof: Proof, containers: Sequence[Container]) -> list[str]:
    found = [f"{each.name} was replaced" for each in containers if not _is(each, proof)]
    good = [each for each in containers if _is(each, proof)]
    found += [
        f"{each.name} is {each.state}" + (f" (exit code {each.exit_code})" if each.state == "exited" else "")
        for each in good
        if each.state not in RUNS
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
