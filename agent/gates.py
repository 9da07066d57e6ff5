"""Container health: waits until services are healthy, and gives up as soon as it is certain that they will not be.

A service without a health check has passed when it ran for a second without a restart; a one-off when it ended with 0.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent import facts
from agent.errors import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.deadline import Deadline
    from agent.docker_api import DockerApi
    from agent.facts import Container
    from agent.output import Output
    from agent.rendering import Service

__all__ = ["Watch", "await_healthy", "log_lines"]

POLL_SECONDS = 0.05
STEADY_SECONDS = 1.0
# A service that waits for another by crashing gets five restarts, about six seconds with Docker's back-off.
RESTART_LOOP = 5
_ENDS_WELL = ("no", "on-failure", "")
_LOG_LINES = 20


class Watch:
    """What has been seen of one service while waiting on it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._since: dict[str, tuple[str, float]] = {}
        self._restarts: dict[str, int] = {}
        self._begin = time.monotonic()
        self.last = "no container yet"

    def passed(self, containers: Sequence[Container]) -> bool:
        """Whether the service has passed now; raises `_Hopeless` once it is certain that it never will."""
        if len(containers) < self.service.replicas:
            self.last = f"{len(containers)} of {self.service.replicas} containers"
            return False
        return all([self._one(each) for each in containers])

    def _one(self, container: Container) -> bool:
        now = time.monotonic()
        restarts = container.restarts - self._restarts.setdefault(container.id, container.restarts)
        start, since = self._since.get(container.id, ("", now))
        if start != container.started or container.state != "running":
            start, since = container.started, now
        self._since[container.id] = (start, since)
        self.last = _described(container)
        if container.state == "exited" and container.exit_code == 0 and container.restart_policy in _ENDS_WELL:
            return True
        if container.state == "exited" and container.restart_policy in _ENDS_WELL[::2]:
            raise _Hopeless(container, f"it ended with exit code {container.exit_code}")
        if container.state == "dead":
            raise _Hopeless(container, "Docker gave it up (dead)")
        if restarts >= RESTART_LOOP:
            raise _Hopeless(container, f"it was restarted {restarts} times, last exit code {container.exit_code}")
        if container.health == "unhealthy":
            raise _Hopeless(container, f"its health check says unhealthy ({_code(container)})")
        if container.state != "running" or self.service.completes:
            return False
        if container.health == "starting":
            after = self.service.verdict_after
            if after is not None and now - since > after:
                raise _Hopeless(container, f"its health check did not pass ({_code(container)})")
            return False
        return container.health == "healthy" or now - since >= STEADY_SECONDS


class _Hopeless(Exception):  # noqa: N818 - a verdict
    def __init__(self, container: Container, reason: str) -> None:
        super().__init__(reason)
        self.container = container
        self.reason = reason


def await_healthy(
    services: Sequence[Service], *, api: DockerApi, stack: str, deadline: Deadline, limit: float, out: Output
) -> None:
    """Wait until all of `services` pass, `limit` seconds at most.

    Raises:
        SlipwayError: one of them did not; says what was probed, what it last answered, and its last log lines.
    """
    begin = time.monotonic()
    watches = {service.name: Watch(service) for service in services}
    while watches:
        seen = facts.containers(api, stack, watches)
        for name in list(watches):
            own = [each for each in seen if each.service == name]
            try:
                if watches[name].passed(own):
                    out.progress("health", f"{name} {watches[name].last}", time.monotonic() - begin)
                    del watches[name]
            except _Hopeless as verdict:
                raise _unhealthy(api, name, verdict.container, verdict.reason, time.monotonic() - begin) from None
        if not watches:
            return
        if time.monotonic() - begin > limit:
            name, watch = next(iter(watches.items()))
            own = [each for each in seen if each.service == name]
            reason = f"not healthy within {limit:.0f} s; last seen: {watch.last}"
            raise _unhealthy(api, name, own[0] if own else None, reason, limit)
        deadline.pause(POLL_SECONDS)


def log_lines(api: DockerApi, container: Container | None) -> list[str]:
    """A container's last log lines, as evidence."""
    if container is None:
        return []
    lines = api.logs(container.id, _LOG_LINES)
    return [f"last lines of {container.name}:", *(f"| {line}" for line in lines)] if lines else []


def _unhealthy(api: DockerApi, service: str, container: Container | None, reason: str, seconds: float) -> SlipwayError:
    evidence = []
    if container is not None:
        evidence.append(f"{container.name}: {_described(container)}, {container.restarts} restarts")
        test = (((api.container(container.id) or {}).get("Config") or {}).get("Healthcheck") or {}).get("Test")
        if test:
            evidence.append(f"probed with: {' '.join(test)}")
        if container.last_check:
            evidence.append(f"last answer: {container.last_check}")
    return SlipwayError(
        f"service {service} did not become healthy: {reason}, after {seconds:.1f} s",
        "a release goes live only when every service of it is healthy",
        f"read the log lines above, mend {service}, then deploy again",
        [*evidence, *log_lines(api, container)],
    )


def _code(container: Container) -> str:
    return container.last_check.partition(":")[0] or "no answer"


def _described(container: Container) -> str:
    if container.state == "exited":
        return "completed" if container.exit_code == 0 else f"exited with {container.exit_code}"
    return container.health or container.state
