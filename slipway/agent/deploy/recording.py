"""Writes down that a release is live, what that leaves to keep or to remove, and what the driver gets to know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.container_report import ended_well, observed
from slipway.agent.output import RESULT_LIMIT
from slipway.agent.release.prune import prune
from slipway.agent.state.ledger import Proof
from slipway.contract import CONTRACT
from slipway.contract.outcomes import DEPLOYED, illness
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.deploy.attempt import Attempt
    from slipway.agent.release.rendering import Rendered

__all__ = ["prune_releases", "record", "report"]


def record(attempt: Attempt, rendered: Rendered) -> None:
    """Note what was proven, with the secret values that it was proven with."""
    folder, secrets = attempt.folder, attempt.document.secrets
    seen = attempt.containers()
    attempt.users.note()
    proofs = {
        name: Proof(service.config, service.image, service.replicas, ended_well(seen, name))
        for name, service in rendered.services.items()
    }
    for name, proof in (attempt.live.services if attempt.live else {}).items():
        if name in proofs and proof.completed and proof.config == proofs[name].config:
            proofs[name] = proofs[name]._replace(completed=True)
    earlier_secrets = folder.stored_secrets()
    folder.store_secrets({**earlier_secrets, **secrets})
    if attempt.outcome == DEPLOYED and attempt.document.watch is not None:
        # A watch that rolls back needs the values that it was proven with.
        folder.store_previous_secrets(earlier_secrets)
    attempt.ledger.append(
        attempt.release.id,
        attempt.outcome,
        convergence=attempt.document.convergence,
        **attempt.origin,
        previous=attempt.live.release if attempt.live else None,
        seconds=round(runtime.monotonic() - attempt.begin, 3),
        services=proofs,
        **({"outages": attempt.outages} if attempt.outages else {}),
    )
    attempt.recorded = True
    if attempt.outcome == DEPLOYED:
        attempt.keeping.forget()  # what was kept is live again, or gone
    folder.store_secrets({name: secrets[name] for name in secrets if name in attempt.release.secrets})


def prune_releases(attempt: Attempt, keep: int) -> None:
    """Remove what no rollback needs; `keep` is how many releases stay. That it fails is a warning."""
    folder, edge = attempt.folder, attempt.access.edge
    try:
        if attempt.document.edge is None and edge.current(folder.stack) is not None:
            edge.drop_stack(folder.stack)
        removed, warnings = prune(folder, attempt.ledger, keep, attempt.access.api)
    except (SlipwayError, OSError) as error:
        removed, warnings = [], [f"pruning stopped: {error}"]
    attempt.removed += removed
    attempt.warnings += warnings


def report(
    attempt: Attempt, rendered: Rendered, *, touched: Sequence[str], phases: Mapping[str, float]
) -> dict[str, Any]:
    """The Report document (`contract/report.schema.json`); `phases` are seconds per part of the deployment."""
    kept = attempt.keeping.containers
    seen = [each for each in attempt.containers() if each.id not in kept]
    for each in seen:
        if each.state != "exited" and (ill := illness(each.state, each.health)):
            attempt.warnings.append(f"{each.name} is {ill}; this deployment did not touch it")
    images = {name: service.image for name, service in rendered.services.items()}
    replicas = {name: service.replicas for name, service in rendered.services.items()}
    seconds = round(runtime.monotonic() - attempt.begin, 3)
    found = {
        "contract": CONTRACT,
        "stack": attempt.folder.stack,
        "host": attempt.document.host,
        "release": attempt.release.id,
        "previous": attempt.live.release if attempt.live else None,
        "outcome": attempt.outcome,
        "convergence": attempt.document.convergence,
        "touched": list(touched),
        "services": observed(images, replicas, seen),
        "seconds": seconds,
        "phases": {phase: round(seconds, 3) for phase, seconds in phases.items()},
        "removed": attempt.removed,
        "warnings": attempt.warnings,
    }
    attempt.out.progress("done", f"{attempt.release.id} {attempt.outcome}", seconds)
    return _capped(found)


def _capped(report: dict[str, Any]) -> dict[str, Any]:
    """The report below the driver's line limit: what is only nice to know goes first."""
    for field, keep in (("removed", 20), ("warnings", 5)):
        if len(json.dumps(report)) < RESULT_LIMIT:
            return report
        report[field] = report[field][:keep]
    for service in report["services"].values():
        if len(json.dumps(report)) < RESULT_LIMIT:
            return report
        service["containers"] = service["containers"][:1]
    return report
