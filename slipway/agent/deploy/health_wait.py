"""Container health: waits until services are healthy, and gives up once it is certain that they will not be.

Without a health check a service passes when it ran for a second without a restart; a one-off when it ended with 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.contract.container_illness import illness
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.output import Output
    from slipway.agent.strategies.service import Service

__all__ = ["GateContext", "await_healthy", "log_lines", "stay_up"]

POLL_SECONDS = 0.05
STEADY_SECONDS = 1.0
# A service that waits for another by crashing gets five restarts, about six seconds with Docker's back-off.
RESTART_LOOP = 5
_BELIEVED_SECONDS = 0.25
_ENDS_WELL = ("no", "on-failure", "")
_NEVER_RESTARTED = ("no", "")
_LOG_LINES = 20
_LOOK_SECONDS = 0.5


class GateContext(NamedTuple):
    """What the gates of one deployment look at, how long they may, and where they say what they saw."""

    api: DockerApi
    stack: str
    deadline: Deadline
    out: Output
    leaving: frozenset[str] = frozenset()
    """ids of containers that go in the end, whatever they are like by then"""


class _HealthWait:
    """What has been seen of one service while waiting on it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._since: dict[str, tuple[str, float]] = {}
        self._restarts: dict[str, int] = {}
        self.failed: set[str] = set()
        """containers that failed and may"""
        self.last = "no container yet"

    def passed(self, containers: Sequence[Container]) -> bool:
        """Whether the service has passed now; raises `_Hopeless` once it is certain that it never will."""
        if len(containers) < self.service.replicas:
            self.last = f"{len(containers)} of {self.service.replicas} containers"
            return False
        verdicts = [self._tolerated(each) for each in containers]
        return all(verdicts)

    def _tolerated(self, container: Container) -> bool:
        """As `_one`, but as many containers may fail as the service allows (`max_failure_ratio`), never all."""
        try:
            return container.id in self.failed or self._one(container)
        except _Hopeless:
            update = self.service.traffic.update
            ratio = 1.0 if update.failure_action == "continue" else update.max_failure_ratio
            if len(self.failed) + 1 > min(int(ratio * self.service.replicas), self.service.replicas - 1):
                raise
            self.failed.add(container.id)
            return True

    def _one(self, container: Container) -> bool:
        self.last = _described(container)
        steady = self._steady(container)
        restarts = container.restarts - self._restarts.setdefault(container.id, container.restarts)
        if container.state == "exited" and container.exit_code == 0 and container.restart_policy in _ENDS_WELL:
            return True
        stays = container.state == "running" and not self.service.completes
        reason = _ended(container, restarts) or (self._sick(container, steady) if stays else "")
        if reason:
            raise _Hopeless(container, reason)
        return stays and (container.health == "healthy" or (container.health is None and steady >= STEADY_SECONDS))

    def _steady(self, container: Container) -> float:
        """Seconds that it has been seen running without a restart."""
        now = runtime.monotonic()
        start, since = self._since.get(container.id, ("", now))
        if start != container.started or container.state != "running":
            start, since = container.started, now
        self._since[container.id] = (start, since)
        return now - since

    def _sick(self, container: Container, steady: float) -> str:
        """Why its health check will not pass any more; empty while it may."""
        # Docker also calls a container unhealthy that ended, until just after its restart: believe it when it stays.
        if container.health == "unhealthy" and steady >= _BELIEVED_SECONDS:
            return f"its health check says unhealthy ({_code(container)})"
        after = self.service.verdict_after
        # A check that timed out (-1) has not answered: a busy machine gets as long as Docker would have given it.
        silent = container.check_code in (None, -1)
        if container.health == "starting" and after is not None and steady > after[silent]:
            return f"its health check did not pass ({_code(container)})"
        return ""


def _ended(container: Container, restarts: int) -> str:
    """Why it will certainly not run; empty while it may."""
    if container.state == "exited" and container.restart_policy in _NEVER_RESTARTED:
        return f"it ended with exit code {container.exit_code}"
    if container.state == "dead":
        return "Docker gave it up (dead)"
    if restarts >= RESTART_LOOP:
        return f"it was restarted {restarts} times, last exit code {container.exit_code}"
    return ""


class _Hopeless(Exception):  # noqa: N818 - a verdict
    def __init__(self, container: Container, reason: str) -> None:
        super().__init__(reason)
        self.container = container
        self.reason = reason


def await_healthy(services: Sequence[Service], context: GateContext, limit: float) -> None:
    """Wait until the wanted generations of all `services` pass, `limit` seconds at most.

    Raises:
        SlipwayError: one of them did not; says what was probed, what it last answered, and its last log lines.
    """
    begin = runtime.monotonic()
    waits = [_HealthWait(service) for service in services]
    while True:
        seen = _staying(context, [wait.service.name for wait in waits])
        for wait in list(waits):
            try:
                if wait.passed(_generation(wait.service, seen)):
                    context.out.progress("health", f"{wait.service.name} {wait.last}", runtime.monotonic() - begin)
                    waits.remove(wait)
            except _Hopeless as verdict:
                seconds = runtime.monotonic() - begin
                raise _unhealthy(context.api, wait.service, verdict.container, verdict.reason, seconds) from None
        if not waits:
            return
        if runtime.monotonic() - begin > limit:
            own = _generation(waits[0].service, seen)
            reason = f"not healthy within {limit:.0f} s; last seen: {waits[0].last}"
            raise _unhealthy(context.api, waits[0].service, own[0] if own else None, reason, limit)
        context.deadline.pause(POLL_SECONDS)


def stay_up(service: Service, context: GateContext, seconds: float) -> None:
    """Look at the wanted generation of `service` for `seconds`: no container of it may end, restart or fall ill."""
    begin = runtime.monotonic()
    restarts: dict[str, int] = {}
    while runtime.monotonic() - begin < seconds:
        for each in _generation(service, _staying(context, (service.name,))):
            more = each.restarts - restarts.setdefault(each.id, each.restarts)
            reason = f"it was restarted, last exit code {each.exit_code}" if more else _fallen(each)
            if reason:
                raise _unhealthy(context.api, service, each, reason, runtime.monotonic() - begin)
        context.deadline.pause(min(_LOOK_SECONDS, seconds))
    context.out.progress("monitor", f"{service.name} stayed up", seconds)


def _fallen(container: Container) -> str:
    ill = illness(container.state, container.health)
    if not ill:
        return ""
    said = "its health check says unhealthy" if ill == "unhealthy" else f"it {_described(container)}"
    return f"{said} after it began to serve"


def _staying(context: GateContext, services: Sequence[str]) -> list[Container]:
    found = facts.containers(context.api, context.stack, services)
    return [each for each in found if each.id not in context.leaving]


def _generation(service: Service, seen: Sequence[Container]) -> list[Container]:
    return [each for each in seen if each.service == service.name and each.config == service.config]


def log_lines(api: DockerApi, container: Container | None) -> list[str]:
    if container is None:
        return []
    lines = api.logs(container.id, _LOG_LINES)
    return [f"last lines of {container.name}:", *(f"| {line}" for line in lines)] if lines else []


def _unhealthy(
    api: DockerApi, service: Service, container: Container | None, reason: str, seconds: float
) -> SlipwayError:
    evidence = []
    if container is not None:
        evidence.append(f"{container.name}: {_described(container)}, {container.restarts} restarts")
        test = (((api.container(container.id) or {}).get("Config") or {}).get("Healthcheck") or {}).get("Test")
        if test:
            evidence.append(f"probed with: {' '.join(test)}")
        if container.check_code is not None:
            said = f": {container.check_output}" if container.check_output else ""
            evidence.append(f"last answer: {_code(container)}{said}")
    return SlipwayError(
        f"service {service.name} did not become healthy: {reason}, after {seconds:.1f} s",
        "a release goes live only when every service of it is healthy",
        f"read the log lines above, fix {service.name}, then deploy again",
        [*evidence, *log_lines(api, container)],
    )


def _code(container: Container) -> str:
    return "no answer" if container.check_code is None else f"exit code {container.check_code}"


def _described(container: Container) -> str:
    if container.state == "exited":
        return "completed" if container.exit_code == 0 else f"exited with {container.exit_code}"
    return container.health or container.state
