"""A release's migration of one service: a one-off container of the new image, gone afterwards however it ended."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.deadline import Deadline
from slipway.agent.docker import facts
from slipway.agent.docker.compose_cli import ComposeFile, run_arguments
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.deploy.health_wait import GateContext
    from slipway.agent.docker.compose_cli import Compose
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.release.rendering import Rendered
    from slipway.contract.deployment import Migration

__all__ = ["migrate", "remove_one_offs"]

_EVIDENCE_LINES = 20
_NAME = "-migrate-"


def migrate(service: str, migration: Migration, rendered: Rendered, compose: Compose, context: GateContext) -> None:
    """Run the migration to its end.

    Raises:
        SlipwayError: it failed or did not end in time; its last output lines are in the evidence.
    """
    deadline, name = context.deadline, f"{context.stack}{_NAME}{service}-{os.getpid()}"
    begin = runtime.monotonic()
    own = Deadline(min(migration.deadline, deadline.remaining()), f"the migration of {service}", deadline.checks)
    try:
        ended = compose.call(run_arguments(service, name, migration.command), _one_off(rendered, service), own)
    finally:
        context.api.remove(name)
    if ended.code:
        lines = [line for line in ended.output if line.strip()]
        raise SlipwayError(
            f"the migration of {service} failed with exit code {ended.code}",
            "nothing live was replaced by the new release",
            f"read its output above, fix the migration of {service}, then deploy again",
            [f"ran: {' '.join(migration.command)}", *(f"| {line}" for line in lines[-_EVIDENCE_LINES:])],
        )
    context.out.progress("migrate", service, runtime.monotonic() - begin)


def remove_one_offs(api: DockerApi, stack: str) -> None:
    """Remove containers of migrations that a killed deployment left."""
    for identifier, name in facts.one_offs(api, stack):
        if name.startswith(f"{stack}{_NAME}"):
            api.remove(identifier)


def _one_off(rendered: Rendered, service: str) -> ComposeFile:
    """The same service without what only a long-running container of it has."""
    compose = copy.deepcopy(rendered.compose)
    own = compose["services"][service]
    for key in ("restart", "container_name", "depends_on", "ports"):
        own.pop(key, None)
    if isinstance(own.get("deploy"), dict):
        own["deploy"].pop("restart_policy", None)
        own["deploy"].pop("replicas", None)
    own["healthcheck"] = {"disable": True}
    return ComposeFile(compose, rendered.environment)
