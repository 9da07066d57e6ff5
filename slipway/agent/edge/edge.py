"""The edge of this host: one Traefik for all stacks; every change of it is made under its own lock."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.edge import network, secret_files, upkeep
from slipway.agent.edge.containers import STANDBY_PORTS, EdgeContainers
from slipway.agent.edge.edge_dir import EdgeFolder
from slipway.agent.edge.metrics import Counters, Target, traffic
from slipway.agent.edge.port_redirect import PortRedirect
from slipway.agent.edge.rendering import Ports, dynamic, marker, text
from slipway.agent.edge.routing import claims
from slipway.agent.edge.static_config import desired, resolver_name, trusted
from slipway.agent.edge.traefik_api import TraefikApi
from slipway.agent.state.atomic_files import read_object, remove_tree
from slipway.agent.state.lock import lock
from slipway.contract.plan import EDGE_CHANGED, EDGE_REPLACED, EDGE_STARTED, Change
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.edge.containers import EdgeContainer
    from slipway.agent.edge.routing import Routing, ServiceRouting
    from slipway.agent.edge.static_config import Desired
    from slipway.agent.output import Output
    from slipway.contract.deployment import Acme, EdgeRequest, ServiceEntry

__all__ = ["Edge"]

_LOCK_SECONDS = 120.0  # another stack may be replacing the edge, whose requests in flight get half a minute


class Edge:
    """The one edge of this host."""

    def __init__(self, api: DockerApi, out: Output) -> None:
        self.api = api
        self.out = out
        self._folder = EdgeFolder()
        self._containers = EdgeContainers(api, self._folder)

    def ensure(self, wanted: EdgeRequest, stack: str, deadline: Deadline, *, standby: bool = False) -> bool:
        """Make the edge as `wanted` by this stack and as all others want it; with `standby` on ports that nobody uses.

        A container that is not as wanted is replaced by one that takes over on the same ports. Ended anywhere, the
        next call goes on from what it finds.

        Returns: whether a container was started.

        Raises:
            SlipwayError: another stack wants other ports, somebody else has a port, the image is not on this host,
                or the container does not come up. What served before still does.
        """
        with self._locked(f"edge for {stack}", deadline):
            requests = {**self._folder.requests(), stack: wanted._replace(certificates=())}
            found = self._containers.find()
            running = [each for each in found if each.running]
            aim = self._aim(requests, stack, running, standby=standby)
            upkeep.check_ports(aim, running, self.api)
            upkeep.check_image(aim, self.api)
            self._folder.create(aim.resolvers)
            secret_files.write_certificates(self._folder, wanted.certificates, stack)
            network.ensure_network(self.api)
            started = self._converge(aim, found, deadline)
            self._folder.store_requests(requests)
            self._write_anew(stack, deadline)
            name = self._folder.marker(self._folder.certificates_of(stack))
            if name is not None:
                self._containers.see_live(f"{stack}~certificates", name, self._containers.running(), deadline)
            secret_files.drop_other_certificates(self._folder, stack)
            return started

    def change_ports(
        self, stack: str, deadline: Deadline, *, standby: bool = False, turn: Callable[[], object] | None = None
    ) -> None:
        """Have the edge listen on the ports that its stacks ask for, or on standby ports.

        `turn` is called while it listens on the old and the new ones.
        """
        with self._locked(f"ports for {stack}", deadline):
            requests, found = self._folder.requests(), self._containers.find()
            running = [each for each in found if each.running]
            if stack in requests and running:
                aim = self._aim(requests, stack, running, standby=standby)
                upkeep.check_ports(aim, running, self.api)
                upkeep.check_image(aim, self.api)
                self._converge(aim, found, deadline, turn)

    def leave(self, deadline: Deadline) -> None:
        """Let all of its containers end what they are at, and go: another proxy has the ports."""
        with self._locked("ports", deadline):
            self._containers.hand_over(self._containers.find(), None, deadline)

    def _aim(
        self, requests: Mapping[str, EdgeRequest], stack: str, running: Sequence[EdgeContainer], *, standby: bool
    ) -> Desired:
        aim = desired(requests, stack, [(each.version, each.image) for each in running])
        return self._containers.on_standby(aim, running) if standby else aim

    def _converge(
        self, aim: Desired, found: list[EdgeContainer], deadline: Deadline, turn: Callable[[], object] | None = None
    ) -> bool:
        if turn is None and any(each.running and each.standby for each in found) and aim.http_port not in STANDBY_PORTS:
            turn = self.redirect(aim.image).end  # requests may be redirected to a container that leaves
        return upkeep.converge(aim, found, self._containers, api=self.api, out=self.out, deadline=deadline, turn=turn)

    def redirect(self, image: str) -> PortRedirect:
        return PortRedirect(self.api, image, f"{self._containers.steering}-ports", self._folder.redirected)

    def redirects(self, wanted: EdgeRequest) -> dict[int, int]:
        """Ports that the edge should have → those on which it listens meanwhile; empty where these are the same."""
        standby = [each for each in self._containers.running() if each.standby]
        if not standby:
            return {}
        https = {wanted.https_port: standby[-1].https_port} if standby[-1].https_port else {}
        return {wanted.http_port: standby[-1].http_port, **https}

    def requested(self, stack: str) -> EdgeRequest | None:
        """What a stack asked for last."""
        return self._folder.requests().get(stack)

    def certified(self, acme: Acme) -> set[str]:
        """The names that the edge has certificates for from this authority."""
        resolvers = read_object(os.path.join(self._folder.acme, f"{resolver_name(acme)}.json"))
        held = [each for resolver in resolvers.values() for each in (resolver or {}).get("Certificates") or ()]
        return {name for each in held for name in (each["domain"]["main"], *(each["domain"].get("sans") or ()))}

    def last_lines(self) -> list[str]:
        return [line for each in self._containers.running() for line in self.api.logs(each.id)]

    def lacks(self, wanted: EdgeRequest, stack: str, *, standby: bool = False) -> Change | None:
        """What `ensure` would do; None: nothing. Changes nothing."""
        requests, own = self._folder.requests(), wanted._replace(certificates=())
        running = self._containers.running()
        try:
            aim = self._aim({**requests, stack: own}, stack, running, standby=standby)
        except SlipwayError as error:  # as `ensure` will say
            return Change("edge", EDGE_CHANGED, (error.what,))
        if not running:
            return Change("edge", EDGE_STARTED, (f"Traefik {aim.version}",))
        old = running[-1]
        if [each.configuration for each in running] != [self._containers.configuration(aim)]:
            because = tuple(
                f"{what} {before or 'none'} => {after or 'none'}"
                for what, before, after in (
                    ("Traefik", old.version, aim.version),
                    ("HTTP port", old.http_port, aim.http_port),
                    ("HTTPS port", old.https_port, aim.https_port),
                )
                if before != after
            )
            gone = {old.http_port, old.https_port} - {aim.http_port, aim.https_port, None}
            return Change("edge", EDGE_REPLACED, because or ("its settings",), bool(gone))
        named = self._folder.marker(self._folder.certificates_of(stack))
        same = named == secret_files.certificates_marker(wanted.certificates, stack)
        if same and requests.get(stack) == own and self.api.network(network.NETWORK) and not self._outdated(stack):
            return None
        reason = "certificate" if not same else "its settings" if stack in requests else f"{stack} joins it"
        return Change("edge", EDGE_CHANGED, (reason,))

    def check(self, wanted: EdgeRequest, stack: str, *, standby: bool = False) -> None:
        """Raise where `ensure` would find ports that another stack wants otherwise, or that somebody else has."""
        running = self._containers.running()
        aim = self._aim({**self._folder.requests(), stack: wanted}, stack, running, standby=standby)
        upkeep.check_ports(aim, running, self.api)

    def attach(self, container: str) -> str:
        """Connect a container to the edge's network; its address, which stays the same as long as it exists."""
        with self._locked("an address", None):
            address = network.attach(self.api, network.ensure_network(self.api), container, self._folder.last_address())
            self._folder.store_last_address(address)
            return address

    def write(self, stack: str, routing: Routing, deadline: Deadline) -> float:
        """Write the stack's routes and wait until every running container of the edge has them.

        Returns: seconds from the moment of writing until they were live.

        Raises:
            SlipwayError: no edge runs, a route belongs to another stack, Traefik finds a fault in it or does not take
                it in time. What was written before is back.
        """
        with self._locked(f"routes of {stack}", deadline):
            request = self._folder.requests().get(stack)
            running = self._containers.running()
            if request is None or not running:
                raise SlipwayError(
                    "no edge runs on this host",
                    f"the routes of {stack} have nothing that serves them",
                    "run the deployment again, which starts it",
                )
            self.check_routes(stack, routing.services)
            return self._publish(stack, routing, running, deadline)

    def _publish(self, stack: str, routing: Routing, running: list[EdgeContainer], deadline: Deadline) -> float:
        users = secret_files.write_users(self._folder, stack, routing)
        name = marker(stack, f"{time.time_ns():x}")
        path = self._folder.routes_of(stack)
        before, begin = self._folder.content(path), runtime.monotonic()
        self._folder.publish(path, self._rendered(stack, routing, name, users))
        try:
            self._containers.see_live(stack, name, running, deadline)
        except BaseException:
            self._folder.publish(path, before)
            self._containers.see_back(path, running)
            raise
        seconds = runtime.monotonic() - begin
        self._folder.keep_only(f"credentials/{stack}", (os.path.basename(each) for each in users.values()))
        return seconds

    def _rendered(self, stack: str, routing: Routing, name: str, users: Mapping[str, str]) -> bytes:
        requests = self._folder.requests()
        ports = Ports(requests[stack].http_port, requests[stack].https_port)
        proxies, streams = trusted(requests), self._folder.streams()
        content = dynamic(stack, routing, ports=ports, users=users, proxies=proxies, streams=streams)
        return text(content, name, routing)

    def _write_anew(self, stack: str, deadline: Deadline) -> None:
        """Write the routes of every stack that would be written otherwise today; those of others where it works."""
        for each in self._folder.stacks():
            if routing := self._outdated(each):
                with contextlib.suppress(*(() if each == stack else (SlipwayError,))):
                    self._publish(each, routing, self._containers.running(), deadline)

    def _outdated(self, stack: str) -> Routing | None:
        """The routes of a stack, where they would be written otherwise today: for another edge, by another agent."""
        path = self._folder.routes_of(stack)
        written = self._folder.written(path)
        if written is None or written.routing is None or stack not in self._folder.requests():
            return None
        users = secret_files.users_of(stack, written.routing)
        current = self._rendered(stack, written.routing, written.marker, users) == self._folder.content(path)
        return None if current else written.routing

    def settle(self, stack: str, deadline: Deadline) -> None:
        """Wait until what was written last is live: whoever wrote it may have been ended before it saw that.

        Raises:
            SlipwayError: Traefik does not take it.
        """
        name = self._folder.marker(self._folder.routes_of(stack))
        if name is not None:
            with self._locked(f"routes of {stack}", deadline):
                self._containers.see_live(stack, name, self._containers.running(), deadline)

    def current(self, stack: str) -> Routing | None:
        """What was written last; None when nothing was."""
        written = self._folder.written(self._folder.routes_of(stack))
        return written.routing if written else None

    def metrics(self) -> dict[Target, Counters]:
        """Counters since the edge started, summed over its running containers; they fall when it is replaced."""
        with contextlib.ExitStack() as stack:
            apis = [contextlib.closing(TraefikApi(each.api_port)) for each in self._containers.running()]
            return traffic(stack.enter_context(api).metrics() for api in apis)

    def drop_stack(self, stack: str) -> None:
        """Remove all that the edge has of a stack; the edge itself with the last one. Fine when there is nothing."""
        if not self._folder.has(""):
            return
        with self._locked(f"{stack} leaves", None):
            self._folder.publish(self._folder.routes_of(stack), None)
            secret_files.write_certificates(self._folder, (), stack)
            self._folder.keep_only(f"credentials/{stack}", ())
            self._folder.keep_only(f"certificates/{stack}", ())
            requests = self._folder.requests()
            request = requests.pop(stack, None)
            if requests or self._folder.stacks():
                self._folder.store_requests(requests)
                return
            if request and self._folder.has(self._folder.redirected):  # nobody would be where that leads
                self.redirect(request.image).end()
            self.api.remove(self._containers.steering)
            for each in self._containers.find():
                self.api.stop(each.id)
                self.api.remove(each.id)
            self._remove_network()
            remove_tree(self._folder.path)

    def status(self) -> dict[str, Any] | None:
        """What runs, for the probe; None when this host has no edge."""
        found = self._containers.find()
        if not found:
            return None
        serving = ([each for each in found if each.running] or found)[-1]
        return {
            "version": serving.version,
            "image": serving.image,
            "http_port": serving.http_port,
            "https_port": serving.https_port,
            "containers": [
                {"id": each.id, "name": each.name, "state": each.state, "api_port": each.api_port} for each in found
            ],
            "stacks": self._folder.stacks(),
        }

    def _remove_network(self) -> None:
        """Remove the network unless a container still has an address on it, for the edge of another user, say."""
        found = self.api.network(network.NETWORK)
        if found is not None and not network.taken(self.api):
            self.api.remove_network(found["Id"])

    def check_routes(self, stack: str, services: Iterable[ServiceEntry | ServiceRouting]) -> None:
        """Two stacks must not want the same requests, nor one a part of what comes to a host name of the other.

        What it had already stays, and a stack may name neighbours that it lets in.

        Raises:
            SlipwayError: names the stack that serves them, and how it lets this one in.
        """
        wanted, requests = claims(services), self._folder.requests()
        written = self.current(stack)
        fresh = wanted - claims(written.services if written else ())
        for other in self._folder.stacks():
            current = self.current(other) if other != stack else None
            theirs = claims(current.services if current else ())
            for host, what in sorted(wanted & theirs):
                if what.startswith("/"):
                    raise SlipwayError(
                        f"stack {other} of this host already serves {host or 'every host'}{what}",
                        f"which of the two got a request would be chance, so the routes of {stack} are unchanged",
                        f"give {stack} another route, or take {other} off this host first",
                    )
            if other in requests and stack in requests[other].neighbours:
                continue
            names = {host for host, _ in theirs if host}
            for host, what in sorted(fresh):
                if host in names:
                    raise SlipwayError(
                        f"{host}{what} is inside of a host name of stack {other}, which does not let {stack} in",
                        f"visitors of {other} would be answered by {stack}, so its routes are unchanged",
                        f"give {stack} another host name, or set `neighbours: [{stack}]` in the stack file of {other} "
                        "and deploy that first",
                    )

    @contextlib.contextmanager
    def _locked(self, reason: str, deadline: Deadline | None) -> Iterator[None]:
        wait = _LOCK_SECONDS if deadline is None else min(_LOCK_SECONDS, deadline.remaining())
        with lock(self._folder.lock, owner=self.out.host, reason=reason, wait=wait, of="the edge of this host"):
            yield
