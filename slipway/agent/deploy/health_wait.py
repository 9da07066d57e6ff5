"""Container health: waits until services are healthy, and gives up once it is certain that they will not be.

Without a health check a service passes when it ran for a second without a restart; a one-off when it ended with 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.agent.docker.docker_api import DockerError
from slipway.agent.docker.facts import NEVER_RESTARTED, log_tail
from slipway.agent.docker.health import Haste
from slipway.contract.outcomes import illness
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.output import Output
    from slipway.agent.strategies.service import Service

__all__ = ["Expected", "GateContext", "await_healthy", "stay_up", "still_up"]

POLL_SECONDS, _LAZY_SECONDS = 0.05, 0.5
STEADY_SECONDS = 1.0
RESTART_LOOP = 5  # about six seconds with Docker's back-off
_BELIEVED_SECONDS = 0.25
_LOOK_SECONDS = 0.5
_SHOWN = 300
_NO_ANSWER = -1
_INSTALL_SECONDS = 5.0  # in which whoever installs something at its start has begun to
_SCRATCH = ("/dev/", "/run/", "/tmp/")  # noqa: S108 - paths in a container
_MISSING = ("executable file not found", "no such file or directory", "not found")


class GateContext(NamedTuple):
    """What the gates of one deployment look at, how long they may, and where they say what they saw."""

    api: DockerApi
    stack: str
    deadline: Deadline
    out: Output
    leaving: frozenset[str] = frozenset()
    """ids of containers that go in the end, whatever they are like by then"""


class Expected(NamedTuple):
    """A service that is to become healthy."""

    service: Service
    haste: Haste = Haste()
    patient: bool = False
    """whether it may crash until the deadline: what it needs may not be up yet"""
    restarts: Mapping[str, int] = {}
    """container → restarts that it had before this deployment; none for one that is new"""


class _HealthWait:
    """What has been seen of one service while waiting on it."""

    def __init__(self, expected: Expected, limit: float, context: GateContext) -> None:
        self._context = context
        self.service = service = expected.service
        self.expected = expected
        # Whoever waits for a one-off waits as long as the deployment may take.
        self.limit = float("inf") if service.completes else limit + expected.haste.patience
        self._since: dict[str, tuple[str, float]] = {}
        self._endings: dict[str, str] = {}
        self.failed: set[str] = set()
        """containers that failed and may"""
        self.loops: Container | None = None
        """one that crashes again and again, and may"""
        self.absent = False
        """whether the program of its health check is not there"""
        self._writes: dict[str, bool] = {}
        self.last = "no container yet"

    def passed(self, containers: Sequence[Container]) -> bool:
        """Whether the service has passed now; raises `_Hopeless` once it is certain that it never will."""
        if len(containers) < self.service.replicas:
            self.last = f"{len(containers)} of {self.service.replicas} containers"
            return False
        verdicts = [self._tolerated(each) for each in containers]
        return all(verdicts)

    def still_works(self, containers: Sequence[Container]) -> bool:
        """Whether it is a one-off that nobody waits for, and is at work."""
        return (
            self.service.runs_once
            and not self.service.completes
            and all(each.state == "running" for each in containers)
        )

    def _tolerated(self, container: Container) -> bool:
        """As `_one`, but as many containers may fail as the service allows (`max_failure_ratio`), never all."""
        try:
            return container.id in self.failed or self._one(container)
        except _Hopeless:
            if len(self.failed) >= self.service.traffic.update.tolerated(self.service.replicas):
                raise
            self.failed.add(container.id)
            return True

    def _one(self, container: Container) -> bool:
        steady = self._steady(container)
        if container.state != "running":
            self._endings[container.id] = container.ending
        ended = container.state == "exited" and container.exit_code == 0
        if container.ended_well or (ended and self.service.completes):
            self.last = "completed"
            return True
        before = self.expected.restarts.get(container.id, 0)
        restarts = container.restarts - (before if before <= container.restarts else 0)
        self.last = _described(container)
        if restarts:
            self.last += f", restarted {restarts} times, last {self._endings.get(container.id, container.ending)}"
        stays = container.state == "running" and not self.service.completes
        reason = self._ended(container, restarts) or (self._sick(container, steady) if stays else "")
        if reason:
            raise _Hopeless(container, reason)
        if container.health is not None:
            return stays and container.health == "healthy"
        return stays and steady >= STEADY_SECONDS and not self.service.runs_once

    def _steady(self, container: Container) -> float:
        """Seconds that it has been seen running without a restart."""
        now = runtime.monotonic()
        start, since = self._since.get(container.id, ("", now))
        if start != container.started or container.state != "running":
            start, since = container.started, now
        self._since[container.id] = (start, since)
        return now - since

    def _ended(self, container: Container, restarts: int) -> str:
        """Why it will certainly not run; empty while it may."""
        if _over(container):
            return f"it ended with {container.ending}"
        if container.state == "dead":
            return "Docker gave it up (dead)"
        if restarts >= RESTART_LOOP:
            if not self.expected.patient:
                ending = self._endings.get(container.id, container.ending)
                return f"it was restarted {restarts} times, last {ending}"
            self.loops = self.loops or container
        return ""

    def _sick(self, container: Container, steady: float) -> str:
        """Why its health check will not pass any more; empty while it may."""
        if _missing(container):
            self.absent = True
            late = steady > max(self.expected.haste.patience, _INSTALL_SECONDS)
            if late and container.id not in self._writes:
                self._writes[container.id] = _writes(container, self._context.api)
            if late and not self._writes[container.id]:
                return f"its health check {_answer(container)}"
        # A check that has not answered: a busy machine gets as long as Docker would have given it.
        silent = container.check_code is None or (container.check_code == _NO_ANSWER and not _missing(container))
        after = self.expected.haste.verdict
        # Docker also calls a container unhealthy that ended, until just after its restart: believe it when it stays.
        unhealthy = container.health == "unhealthy" and steady >= _BELIEVED_SECONDS
        if (unhealthy and after is None) or (
            container.health in ("unhealthy", "starting") and after is not None and steady > after[silent]
        ):
            return f"its health check {_answer(container)}"
        return ""


class _Hopeless(Exception):  # noqa: N818 - a verdict
    def __init__(self, container: Container, reason: str) -> None:
        super().__init__(reason)
        self.container = container
        self.reason = reason


def await_healthy(
    expected: Sequence[Expected], context: GateContext, limit: float, passes: Callable[[str], None] = lambda _: None
) -> set[str]:
    """Wait until the wanted generations of all services pass; `limit` seconds at most, and what each needs to start.

    `passes` hears of each service at that moment.

    Returns:
        Ids of containers that failed and may.

    Raises:
        SlipwayError: one of them did not; says what was probed, what it last answered, and its last log lines.
    """
    begin = runtime.monotonic()
    waits = [_HealthWait(each, limit, context) for each in expected]
    failed: set[str] = set()
    told: set[str] = set()
    while True:
        seen = _staying(context, [wait.service.name for wait in waits])
        seconds = runtime.monotonic() - begin
        for wait in list(waits):
            name, own = wait.service.name, _generation(wait.service, seen)
            try:
                passed = wait.passed(own)
            except _Hopeless as verdict:
                raise _unhealthy(context, wait.service, verdict.container, verdict.reason, seconds) from None
            if not passed and seconds > wait.limit:
                if not wait.still_works(own):
                    reason = f"not healthy within {wait.limit:.0f} s; last seen: {wait.last}"
                    raise _unhealthy(context, wait.service, own[0] if own else None, reason, seconds)
                wait.last, passed = "is still at work; `slipway status` shows how it ends", True
            if passed:
                context.out.progress("health", f"{name} {wait.last}", seconds)
                failed |= wait.failed
                waits.remove(wait)
                passes(name)
            elif (wait.loops or wait.absent) and name not in told:
                told.add(name)
                _tell(wait, context)
        if not waits:
            return failed
        # Less and less often: after a minute half a second makes no difference, and every look costs something.
        context.deadline.pause(max(POLL_SECONDS, min(_LAZY_SECONDS, seconds / 100)))


def _tell(wait: _HealthWait, context: GateContext) -> None:
    """That a service is waited for though it crashes or cannot be checked: whoever looks on may know better."""
    last = (log_tail(context.api, wait.loops) or [""])[-1].removeprefix("| ")
    why = "what it needs may not be up yet" if wait.loops else "it may be installed at the start"
    said = f"{wait.service.name} is {wait.last}: {why}, so it is waited for"
    context.out.progress("health", said + (f" ({last})" if last else ""))


def stay_up(service: Service, context: GateContext, seconds: float) -> None:
    """Look at the wanted generation of `service` for `seconds`: no container of it may end, restart or fall ill."""
    begin = runtime.monotonic()
    restarts: dict[str, int] = {}
    while runtime.monotonic() - begin < seconds:
        for each in _generation(service, _staying(context, (service.name,))):
            more = each.restarts - restarts.setdefault(each.id, each.restarts)
            reason = f"it was restarted, last {each.ending}" if more else _fallen(each)
            if reason:
                raise _unhealthy(context, service, each, reason, runtime.monotonic() - begin)
        context.deadline.pause(min(_LOOK_SECONDS, seconds))
    context.out.progress("monitor", f"{service.name} stayed up", seconds)


def still_up(services: Sequence[Service], context: GateContext, seconds: float) -> None:
    """Look once more at what passed `seconds` ago at most: an end that fails counts alike whenever it comes."""
    seen = _staying(context, [service.name for service in services])
    for service in services:
        for each in _generation(service, seen):
            if _over(each) and not each.ended_well and not (service.completes and each.exit_code == 0):
                raise _unhealthy(context, service, each, f"it ended with {each.ending}", seconds)


def _over(container: Container) -> bool:
    """Whether it ended and Docker will not start it again."""
    policy = container.restart_policy
    restarts = policy not in NEVER_RESTARTED and not (policy == "on-failure" and container.exit_code == 0)
    return container.state == "exited" and not restarts


def _fallen(container: Container) -> str:
    ill = "" if container.ended_well else illness(container.state, container.health)
    if not ill:
        return ""
    said = "its health check says unhealthy" if ill == "unhealthy" else f"it {_described(container)}"
    return f"{said} after it began to serve"


def _staying(context: GateContext, services: Sequence[str]) -> list[Container]:
    found = facts.containers(context.api, context.stack, services)
    return [each for each in found if each.id not in context.leaving]


def _generation(service: Service, seen: Sequence[Container]) -> list[Container]:
    return [each for each in seen if each.service == service.name and each.config == service.config]


def _unhealthy(
    context: GateContext, service: Service, container: Container | None, reason: str, seconds: float
) -> SlipwayError:
    one_off = service.completes or service.runs_once
    evidence = []
    if container is not None:
        evidence.append(f"{container.name}: {_described(container)}, {container.restarts} restarts")
        test = (((context.api.container(container.id) or {}).get("Config") or {}).get("Healthcheck") or {}).get("Test")
        if test and not one_off:
            evidence.append(f"probed with: {' '.join(test)}")
            # The end of it: that is where programs say what went wrong.
            said = context.out.redactor.brief(container.check_output, _SHOWN, end=True)
            evidence.append(f"last answer: it {_answer(container)}{said and f': {said}'}")
    checked = container is None or container.health is not None
    what = f"service {service.name} did not {'become healthy' if checked else 'stay up'}"
    return SlipwayError(
        f"{f'one-off {service.name} failed' if one_off else what}: {reason}, after {seconds:.1f} s",
        "a release goes live only when every service of it is healthy",
        f"read the log lines above, fix {service.name}, then deploy again",
        [*evidence, *log_tail(context.api, container)],
    )


def _writes(container: Container, api: DockerApi) -> bool:
    """Whether it adds to its own file system, and with that perhaps what is missing; without doubt it does not."""
    try:
        details = api.container(container.id) or {}
        mounts = [str(each["Destination"]) for each in details.get("Mounts") or ()]
        mounts += (details.get("HostConfig") or {}).get("Tmpfs") or ()
        added = api.added_files(container.id)
    except DockerError:
        return True
    return any(
        not path.startswith(_SCRATCH) and not any(f"{mount}/".startswith(f"{path}/") for mount in mounts)
        for path in added
    )


def _missing(container: Container) -> bool:
    ran = container.check_code not in (_NO_ANSWER, 126, 127)
    return not ran and any(words in container.check_output for words in _MISSING)


def _answer(container: Container) -> str:
    """What became of the newest probe of its health check: it ..."""
    if container.check_code is None:
        return "has not run yet"
    if _missing(container):
        return "cannot run: its program is not in the image"
    if container.check_code == _NO_ANSWER:
        return "hangs: no answer within its timeout" if "timeout" in container.check_output else "could not be run"
    return f"said no (exit code {container.check_code})" if container.check_code else "said yes"


def _described(container: Container) -> str:
    if container.state == "exited":
        return "completed" if container.exit_code == 0 else f"exited with {container.exit}"
    if container.state == "running" and container.health in ("starting", "unhealthy"):
        return f"{container.health}, its health check {_answer(container)}"
    return (container.health if container.state == "running" else None) or container.state
