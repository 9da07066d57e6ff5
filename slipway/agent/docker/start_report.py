"""Who could not be started, and who did not stop for it: in words, as far as the engine remembers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.docker import facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["killed_since", "not_started"]


def not_started(api: DockerApi, stack: str, wanted: Mapping[str, str], line: str) -> Sequence[str]:
    """Which of these services (→ configuration) Compose could not start; `line` is its last one."""
    seen = facts.containers(api, stack, list(wanted))
    made = [each for each in seen if each.config == wanted[each.service]]
    refused = {each.service for each in made if each.error}
    named = {name for name in wanted if re.search(rf"\b{re.escape(stack)}-{re.escape(name)}-\d", line)}
    return sorted(refused or named or set(wanted).difference(each.service for each in made)) or list(wanted)


def killed_since(api: DockerApi, stack: str, services: Sequence[str], since: float) -> list[str]:
    """Who of these services did not end when Compose asked."""
    return [
        f"{each['name']} did not stop when asked to and was killed"
        for each in api.killed(stack, since, runtime.time())
        if each.get(facts.SERVICE_LABEL) in services
    ]
