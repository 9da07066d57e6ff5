"""What a deployment that succeeded reports to the driver."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.container_report import observed
from slipway.agent.output import RESULT_LIMIT
from slipway.contract import CONTRACT
from slipway.contract.container_illness import illness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.deploy.attempt import Attempt
    from slipway.agent.release.rendering import Rendered

__all__ = ["report"]


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
