"""Takes over from the old project, and gives back to it; each part continues from whatever it finds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerUnreachableError
from slipway.agent.edge.metrics import listening
from slipway.agent.move.checks import strangers
from slipway.agent.move.claims import check_claims
from slipway.agent.move.old_container import runs
from slipway.agent.move.old_project import MOVED, MOVING, UNDOING, UNDONE
from slipway.agent.move.shared_data import data_of, shared, within
from slipway.agent.move.way_back import answered, rejoin, unanswered
from slipway.agent.state.lock import lock
from slipway.contract.host_paths import moves_lock
from slipway.contract.problems import SlipwayError
from slipway.contract.published_ports import held_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.edge.edge import Edge
    from slipway.agent.move.old_project import OldContainer, OldProject
    from slipway.agent.output import Output
    from slipway.agent.strategies.steps import StandIn, StopOld, TakePorts
    from slipway.agent.traffic.traffic_shift import Mover
    from slipway.contract.deployment import Acme, EdgeRequest, ServiceEntry

__all__ = ["Handover"]

_CERTIFICATE_SECONDS, _POLL_SECONDS = 120.0, 0.2
_FREE_SECONDS = 5.0
_USER_SECONDS = 60.0
_PROXY_SECONDS = 2.0  # in which a proxy that listens again reads what it routes


class Handover:
    """The handover between the old project and the stack, in either direction."""

    def __init__(self, old: OldProject, stack: str, api: DockerApi, edge: Edge, out: Output) -> None:
        self.old, self.stack, self.api, self.edge, self.out = old, stack, api, edge, out
        self.lost: list[str] = []
        """what did not come back, in words"""
        self.slow: list[str] = []
        """what runs, and does not work yet, in words"""
        self.unwritten = False
        """whether what was given back could not be noted"""

    @property
    def undone(self) -> bool:
        """Whether it is, or will be once the undo that was cut off is finished."""
        return self.old.state in (UNDOING, UNDONE)

    @property
    def left(self) -> list[str]:
        """What an undo stopped: it waits for somebody to read its logs, and goes when the stack takes over again."""
        return self._own(stopped=self.old.state == UNDONE) if self.undone else []

    def trial(self) -> dict[str, tuple[str, ...]]:
        """The stack's containers before the move, each with its data; none after a move began or was undone."""
        listed = [] if self.old.state else self.api.containers({PROJECT_LABEL: self.stack})
        return {str(each["Names"][0]).lstrip("/"): data_of(each, self.api) for each in listed}

    def begin(
        self, proofs: int, wait: float, request: EdgeRequest | None, services: Mapping[str, ServiceEntry]
    ) -> None:
        """Note who runs before anything is touched; of two stacks that want the same containers, one gets them.

        And what is answered of what the edge will be asked: `request` and `services` say that.
        """
        if not self.old.open or self.old.more:
            before = self.old.asks if self.old.open else {}
            self.old.asks = {**(answered(self.old, self.api, request, services.values()) if request else {}), **before}
            self._claim(proofs, wait)
        self.old.rest()

    def _claim(self, proofs: int, wait: float) -> None:
        with lock(
            moves_lock(), owner=self.stack, reason=f"move to {self.stack}", wait=wait, of="the data of this host"
        ):
            check_claims(self.old, self.stack)
            old = self.old.containers()
            data = [mount for each in old for mount in each.mounts]
            found = [name for name, theirs in strangers(old, self.stack, self.api).items() if within(theirs, data)]
            self.old.beside = sorted({*found, *(self.old.beside or ())})
            if not self.old.open:
                self.old.alone, self.old.proofs = len(self._own()) == len(self._own(stopped=True)), proofs
            stopped = self.left
            self.old.note(MOVING)
        for each in stopped:  # what ran when it was undone waited for somebody to read its logs
            self.api.remove(each)

    def end(self) -> list[str]:
        """Be done, once nothing of the old project works; who did, though it had been stopped, in words."""
        found, said = self.old.awake(), []
        for each in found:
            used = shared(each.mounts, self._in_use())
            on = f" on {', '.join(used)}, beside the new containers," if used else ""
            said.append(f"{each.name} of {self.old.name} was started during the move, worked{on} and is stopped again")
        if found:
            self.old.add(found)
            self.old.stop(each.id for each in found)
        self.old.note(MOVED)
        return said

    def taken(self) -> dict[str, str]:
        """Old container that does not run → who else works on its data since the move."""
        old = self.old.containers()
        others = strangers(old, self.stack, self.api) if self.old.beside is not None else {}
        users = {name: data for name, data in others.items() if name not in (self.old.beside or ())}
        found = {}
        for each in old:
            user = next((name for name, data in users.items() if within(data, each.mounts)), "")
            if user and not each.running:
                found[each.id] = user
        return found

    def holds(self, ports: Collection[int]) -> bool:
        """Whether old containers hold the edge's ports."""
        return any(each.running and not set(each.ports).isdisjoint(ports) for each in self.old.containers())

    def stop_old(self, step: StopOld, beside: Collection[str]) -> None:
        """Do the step; old containers of services that are to run `beside` them may share data with who starts."""
        begin = runtime.monotonic()
        data = self._in_use(step.service) if step.service else ()
        # One that was made anew or started since it was planned is in the way as well.
        late = [each for each in self.old.awake() if each.service not in beside and shared(each.mounts, data)]
        self.old.add(late)
        stopping = sorted({*step.containers, *(each.id for each in late)})
        self.old.stop(stopping)
        names = [each.name for each in self.old.containers() if each.id in stopping]
        self.out.progress("move", f"stopped {', '.join(names)}; it stays", runtime.monotonic() - begin)

    def stand_in(self, step: StandIn) -> None:
        away = [each for each in self.old.containers() if each.id in step.away]
        self.old.stand_in(self._own(step.service), away)

    def take_ports(self, step: TakePorts, wanted: EdgeRequest, mover: Mover, deadline: Deadline) -> None:
        """Have the edge listen on its ports, and the old containers no more."""
        begin = runtime.monotonic()
        redirect, places = self.edge.redirect(wanted.image), self.edge.redirects(wanted)
        http = {port: to for port, to in places.items() if port == wanted.http_port}
        held = bool(places) and redirect.set(http)
        late = bool(wanted.acme) and not held and len(places) > 1  # no authority reaches the edge before
        if not late:
            mover.secure(wanted)
        if held and len(places) > 1:
            if wanted.acme:
                self._await_certificates(mover.names(), wanted.acme, deadline)
            held = redirect.set(places)
        if places and not held:
            bare = ", and HTTPS has no certificate until the edge has got one" if late else ""
            said = f"the kernel does not redirect here: for about a second connections are refused{bare}"
            self.out.progress("move", said)
        self.old.stop(step.containers)
        until = runtime.monotonic() + _FREE_SECONDS
        while any(map(listening, places)) and runtime.monotonic() < until:  # Docker lets go of them a moment later
            runtime.sleep(_POLL_SECONDS / 10)
        self.edge.change_ports(self.stack, deadline)
        redirect.end()
        if late and wanted.acme:
            mover.secure(wanted)
            self._await_certificates(mover.names(), wanted.acme, deadline)
        self.out.progress("move", "the edge has its ports", runtime.monotonic() - begin)

    def _await_certificates(self, names: Collection[str], acme: Acme, deadline: Deadline) -> None:
        """Port 80 is the edge's already, so the authority reaches it; visitors of 443 are still with the old proxy."""
        until = runtime.monotonic() + _CERTIFICATE_SECONDS
        while missing := sorted(set(names) - self.edge.certified(acme)):
            if runtime.monotonic() > until:
                raise SlipwayError(
                    f"no certificate for {', '.join(missing)} within {_CERTIFICATE_SECONDS:.0f} s",
                    "visitors over HTTPS would have been refused",
                    "see that these names lead to this host (port 80), or set certificate and certificateKey",
                    [f"| {line}" for line in self.edge.last_lines()],
                )
            deadline.pause(_POLL_SECONDS)

    def give_back(
        self,
        take_away: Callable[[], object],
        deadline: Deadline,
        *,
        stays: bool = False,
    ) -> str:
        """Have the old project run as before; `take_away` takes the new containers and routes off. What runs, in words.

        With `stays` the stack ran beside it before, and does so again.

        What shares nothing with new containers starts before they go, so that requests find somebody at every instant.

        Raises:
            SlipwayError: all was done that could be, but not all of the new could be taken away; the same ends it.
        """
        begin = runtime.monotonic()
        self._tried(self.old.finish_stops)  # what it does not stop is to run again, or is taken away below
        self.old.stopping = ()
        taken, request = self.taken(), self.edge.requested(self.stack)
        old = [each for each in self.old.containers() if each.id not in taken]
        ports = {request.http_port, request.https_port} if request else set()
        proxies = [each for each in old if not ports.isdisjoint(each.ports)]
        waiting = self.waiting([each for each in old if each not in proxies])
        beside = [each for each in old if each not in (*proxies, *waiting)]
        if not stays:
            self._tried(lambda: self._stand_in_for(waiting))
        slow = self.old.start(beside, runtime.sleep, early=True)
        failure = ""
        if request and proxies:
            failure = self._tried(lambda: self._ports_back(proxies, request, deadline))
        failure = failure or self._tried(take_away)  # who is redirected to serves on
        begun = {each.id for each in beside}
        if failure:  # what cannot be stopped holds back who would write the same data, and nobody else
            taken.update(self._held_back())
        for container, user in taken.items():
            self.old.leave_out(container, user)
        # Whoever did not start beside the new ones may do so without them.
        rest = [each for each in self.old.containers() if each.id not in taken]
        rest.sort(key=lambda each: not ports.isdisjoint(each.ports))  # who passes requests on is last
        rest = [each for each in rest if each.id not in begun or not each.running]
        slow.update(self.old.start(rest, runtime.sleep))
        slow.update(self._start_late({} if failure else taken))
        self._look(slow.values(), again=any(not each.running for each in rest))
        ran = "runs again" if self.lost or any(each.ran for each in old) else "is stopped"
        if not failure and stays and not self.lost:
            self.old.forget()
        elif not failure:
            self.unwritten = not self.old.note(UNDONE)
        again = f"{self.old.name} {ran}" + (", but not all of it" if self.lost else "")
        self.out.progress("back", again, runtime.monotonic() - begin)
        if self.lost:
            said = f"the project {again}: {'; '.join(self.lost)}"
        else:
            again += "" if failure else " as before"
            said = f"the project {again}" + (f" ({'; '.join(self.slow)})" if self.slow else "")
        if failure:
            raise SlipwayError(
                f"{'the rollback of this stack failed' if stays else 'not all of this stack stopped'}: {failure}",
                f"{said}; what did not stop runs on",
                "slipway move undo",
            )
        return said

    def waiting(self, old: Iterable[OldContainer]) -> list[OldContainer]:
        """Those that start only once the stack's containers are gone, whose ports or data they share."""
        own = [details for details in map(self.api.container, self._own()) if details]
        in_use, held = self._in_use(), {port for each in own for port in held_ports(each)}
        return [each for each in old if not held.isdisjoint(each.ports) or shared(each.mounts, in_use)]

    def _look(self, slow: Iterable[str], *, again: bool) -> None:
        """Restart who goes by containers that are gone, and say what does not work; `again` as in `unanswered`."""
        rejoin(self.old, self.api, self.out)
        self.lost, self.slow = self.old.lost(), list(slow)
        if not (self.lost or self.slow):
            self.slow = unanswered(self.old, self.api, self.out, again=again)
        for each in (*self.slow, *self.lost):
            self.out.progress("warning", each)

    def _start_late(self, taken: Mapping[str, str]) -> dict[str, str]:
        """Start each of them once nobody works on its data: a backup is done after a while."""
        slow: dict[str, str] = {}
        until, waiting = runtime.monotonic() + _USER_SECONDS, set(taken)
        while waiting and runtime.monotonic() < until:
            runtime.sleep(_POLL_SECONDS)
            free = waiting - set(self.taken())
            slow.update(self.old.start([each for each in self.old.noted() if each.id in free], runtime.sleep))
            waiting -= free
        return slow

    def _tried(self, part: Callable[[], object]) -> str:
        """Do it; why it failed, in words, which must not keep the old project from coming back."""
        try:
            part()
        except DockerUnreachableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is
            return str(error.what if isinstance(error, SlipwayError) else error)
        return ""

    def _held_back(self) -> Iterator[tuple[str, str]]:
        """Who works on the data of what still runs of the stack, and of what."""
        for details in filter(runs, map(self.api.container, self._own())):
            data = data_of(details or {}, self.api)
            for each in self.old.noted():
                if details and not each.running and shared(each.mounts, data):
                    yield each.id, str(details["Name"]).lstrip("/")

    def _ports_back(self, proxies: list[OldContainer], request: EdgeRequest, deadline: Deadline) -> None:
        # A move that a former version began noted nothing: who has the edge's ports is a proxy all the same.
        self.old.asks = self.old.asks or {"http": (request.http_port, []), "https": (request.https_port, [])}
        redirect = self.edge.redirect(request.image)
        with contextlib.suppress(SlipwayError, OSError):  # they start once the edge is gone, then
            if not all(each.running for each in proxies):
                self.edge.change_ports(
                    self.stack, deadline, standby=True, turn=lambda: redirect.set(self.edge.redirects(request))
                )
            # Those that run may have been started a moment ago, by a run that was cut off: they are waited for, too.
            self.old.start([each._replace(running=False) for each in proxies], runtime.sleep, early=True)
            runtime.sleep(_PROXY_SECONDS)
        redirect.end()
        with contextlib.suppress(SlipwayError, OSError):  # open connections are to the edge yet: it asks for new ones
            self.edge.leave(deadline)

    def _stand_in_for(self, late: Iterable[OldContainer]) -> None:
        """Have the stack answer to the names of who starts once it is gone: who starts before asks for them."""
        for each in late:
            if each.service:
                self.old.stand_in(self._own(each.service), [each])

    def _in_use(self, service: str = "") -> list[str]:
        """The data that the stack's containers may write to."""
        own = (self.api.container(each) or {} for each in self._own(service))
        return [each for details in own for each in data_of(details, self.api)]

    def _own(self, service: str = "", *, stopped: bool = False) -> list[str]:
        """The stack's containers; with `stopped` only those that do not run."""
        wanted = {PROJECT_LABEL: self.stack, **({"com.docker.compose.service": service} if service else {})}
        return [str(each["Id"]) for each in self.api.containers(wanted) if not stopped or each["State"] != "running"]
