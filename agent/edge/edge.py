"""The edge of this host: one Traefik that all stacks share, its routes written by nobody else.

Owns when its container is made, replaced and removed, writing routes and seeing them live, and what the edge knows
about traffic. Does not own what routes there are to be. Every change is made under the edge's own lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

from agent.edge import network
from agent.edge.certificate import self_signed
from agent.edge.containers import EdgeContainers
from agent.edge.counting import Counters, Target, connections, listening, traffic
from agent.edge.folder import EdgeFolder
from agent.edge.rendering import Ports, dynamic, marker, text, tls, users_file
from agent.edge.settings import DEFAULT_CERTIFICATE, FOLDER, StackRequest, authority_file, desired, resolver_name
from agent.edge.steering import Steering
from agent.edge.steering_container import SteeringContainer
from agent.edge.traefik_api import TraefikApi
from agent.errors import SlipwayError
from agent.lock import lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agent.deadline import Deadline
    from agent.docker_api import DockerApi
    from agent.edge.containers import EdgeContainer
    from agent.edge.routing import Routing
    from agent.edge.settings import Desired
    from agent.output import Output

__all__ = ["Counters", "Edge", "Target"]

_LOCK_SECONDS = 120.0  # another stack may be replacing the edge, whose requests in flight get half a minute
_LIVE_SECONDS = 10.0
_BACK_SECONDS = 2.0
_POLL_SECONDS = 0.004
# Traefik gives the new routers to its entry points one after the other, its API's possibly first, with nothing to
# wait for in between.
_SETTLE_SECONDS = 0.01


class Edge:
    """The one edge of this host."""

    def __init__(self, api: DockerApi, out: Output) -> None:
        self.api = api
        self.out = out
        self._folder = EdgeFolder()
        self._containers = EdgeContainers(api, self._folder)

    def ensure(self, wanted: Mapping[str, Any], stack: str, deadline: Deadline) -> bool:
        """Make the edge as `wanted` (document["edge"]) by this stack and as all others want it.

        A container that is not as wanted is replaced by one that takes over on the same ports. Ended anywhere, the
        next call goes on from what it finds.

        Returns: whether a container was started.

        Raises:
            SlipwayError: another stack wants other ports, somebody else has a port, the image is not on this host,
                or the container does not come up. What served before still does.
        """
        with self._locked(f"edge for {stack}", deadline):
            before = self._folder.requests()
            requests = {**before, stack: StackRequest.of(wanted)}
            found = self._containers.find()
            running = [each for each in found if each.running]
            aim = desired(requests, stack, [(each.version, each.image) for each in running])
            self._check_ports(aim, running)
            self._check_image(aim)
            self._prepare(aim)
            self._write_certificates(wanted["certificates"], stack)
            network.ensure_network(self.api)
            started = self._converge(aim, found, deadline)
            self._folder.store_requests(requests)
            self._await_certificates(stack, deadline)
            return started

    def lacks(self, wanted: Mapping[str, Any], stack: str) -> bool:
        """Whether `ensure` would have something to do. Changes nothing."""
        wish, requests = StackRequest.of(wanted), self._folder.requests()
        if requests.get(stack) != wish:
            return True
        running = [each for each in self._containers.find() if each.running]
        aim = desired(requests, stack, [(each.version, each.image) for each in running])
        configuration = self._containers.configuration(aim)
        if [each.configuration for each in running] != [configuration] or self.api.network(network.NETWORK) is None:
            return True
        named = self._folder.written(self._folder.certificates_of(stack))
        return (named.marker if named else None) != self._certificates_marker(wanted["certificates"], stack)

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
            wish = self._folder.requests().get(stack)
            running = [each for each in self._containers.find() if each.running]
            if wish is None or not running:
                raise SlipwayError(
                    "no edge runs on this host",
                    f"the routes of {stack} have nothing that serves them",
                    "run the deployment again, which starts it",
                )
            self._check_routes(stack, routing)
            users = self._write_users(stack, routing)
            name = marker(stack, f"{time.time_ns():x}")
            content = dynamic(stack, routing, ports=Ports(wish.http_port, wish.https_port), users=users)
            path = self._folder.routes_of(stack)
            before, begin = self._folder.content(path), time.monotonic()
            self._folder.publish(path, text(content, name, routing))
            try:
                self._see_live(stack, name, running, deadline)
            except BaseException:
                self._folder.publish(path, before)
                self._see_back(path, running)
                raise
            seconds = time.monotonic() - begin
            self._folder.keep_only(f"credentials/{stack}", (os.path.basename(each) for each in users.values()))
            return seconds

    def routed(self, stack: str) -> dict[str, dict[str, int]]:
        """Service → generation → weight, as last written."""
        routing = self.current(stack)
        return {
            each.service: {backend.generation: backend.weight for backend in each.backends}
            for each in (routing.services if routing else ())
        }

    def current(self, stack: str) -> Routing | None:
        """What was written last; None when nothing was."""
        written = self._folder.written(self._folder.routes_of(stack))
        return written.routing if written else None

    def metrics(self) -> dict[Target, Counters]:
        """Counters since the edge started, summed over its running containers; they fall when it is replaced."""
        apis = [TraefikApi(each.api_port) for each in self._containers.find() if each.running]
        try:
            return traffic(api.metrics() for api in apis)
        finally:
            for api in apis:
                api.close()

    def open_connections(self, servers: Iterable[str]) -> int:
        """Established TCP connections from this host to these `address:port`."""
        return connections(servers)

    def drop_stack(self, stack: str) -> None:
        """Remove all that the edge has of a stack; the edge itself with the last one. Fine when there is nothing."""
        if not self._folder.has(""):
            return
        with self._locked(f"{stack} leaves", None):
            self._folder.publish(self._folder.routes_of(stack), None)
            self._folder.publish(self._folder.certificates_of(stack), None)
            self._folder.keep_only(f"credentials/{stack}", ())
            self._folder.keep_only(f"certificates/{stack}", ())
            requests = self._folder.requests()
            requests.pop(stack, None)
            if requests or self._folder.stacks():
                self._folder.store_requests(requests)
                return
            self.api.remove(self._containers.steering)
            for each in self._containers.find():
                self.api.stop(each.id)
                self.api.remove(each.id)
            self._remove_network()
            self._folder.remove()

    def status(self) -> dict[str, Any] | None:
        """What runs, for the probe; None when this host has no edge.

        {version, image, http_port, https_port (None without TLS), containers: [{id, name, state, api_port}], stacks}
        """
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

    # --- the container

    def _converge(self, aim: Desired, found: list[EdgeContainer], deadline: Deadline) -> bool:
        configuration = self._containers.configuration(aim)
        right = [each for each in found if each.configuration == configuration]
        running = [each for each in found if each.running]
        serving = next((each for each in reversed(right) if each.running), None)
        if serving is not None and found == [serving] and self._containers.ready(serving):
            return False
        # Of a run that was ended: what it steered with, and that a container was asked to leave.
        self.api.remove(self._containers.steering)
        self._containers.publish_shared(each.number for each in found)
        with contextlib.ExitStack() as stack:
            steering = self._steering(running, aim) if serving is None else None
            if steering is not None:
                stack.callback(steering.close)
            begin = time.monotonic()
            if serving is None:
                serving = self._containers.start(aim, found, deadline)
                instead = f" beside {running[-1].version}" if running else ""
                seconds = time.monotonic() - begin
                self.out.progress("edge", f"traefik {aim.version} on port {_ports(aim)}{instead}", seconds)
            else:
                self._containers.wait_ready(serving.id, serving.api_port, deadline)
            leaving = [each for each in found if each.id != serving.id]
            if leaving:
                if steering is not None:
                    steering.turn()
                begin = time.monotonic()
                self._containers.hand_over(leaving, serving, deadline)
                self.out.progress("edge", "handed over", time.monotonic() - begin)
        return serving not in right

    def _steering(self, running: list[EdgeContainer], aim: Desired) -> Steering | SteeringContainer | None:
        """Hold new connections with the one container that serves; None where there is nothing to hold them from."""
        if len(running) != 1:
            return None
        shared = {aim.http_port, aim.https_port} & {running[0].http_port, running[0].https_port}
        ports = [port for port in shared if port is not None]
        steering: Steering | SteeringContainer = Steering(ports)
        if not steering.works:
            steering = SteeringContainer(self.api, aim.image, self._containers.steering, ports)
        if steering.works:
            return steering
        self.out.progress("edge", "connections cannot be steered here: new ones may see 404 for some 0.1 s")
        return None

    def _prepare(self, aim: Desired) -> None:
        """Files that the container needs to start with."""
        self._folder.create()
        if not self._folder.has(f"{DEFAULT_CERTIFICATE}.key"):
            made = self_signed("TRAEFIK DEFAULT CERT")  # the name of the one that Traefik makes itself
            self._folder.put(f"{DEFAULT_CERTIFICATE}.pem", made.certificate)
            self._folder.put(f"{DEFAULT_CERTIFICATE}.key", made.key)
        for acme in aim.resolvers:
            name = resolver_name({"email": acme[0], "server": acme[1]})
            if not self._folder.has(f"acme/{name}.json"):
                self._folder.put(f"acme/{name}.json", "")
            if acme[2]:
                self._folder.put(authority_file(acme), acme[2])

    def _check_image(self, aim: Desired) -> None:
        if self.api.image(aim.image) is None:
            raise SlipwayError(
                f"the edge's image {aim.image} is not on this host",
                "nothing was touched",
                f"docker pull {aim.image}",
            )

    def _check_ports(self, aim: Desired, running: Sequence[EdgeContainer]) -> None:
        own = {port for each in running for port in (each.http_port, each.https_port)}
        for port in (aim.http_port, aim.https_port):
            if port is None or port in own or not listening(port):
                continue
            holders = [
                each["Names"][0].lstrip("/")
                for each in self.api.containers()
                if any(public.get("PublicPort") == port for public in each.get("Ports") or ())
            ]
            who = f"container {holders[0]}" if holders else "another program"
            raise SlipwayError(
                f"port {port} of this host is in use by {who}",
                "the edge listens there for all stacks; nothing was touched",
                f"docker stop {holders[0]}" if holders else f"sudo ss -ltnp 'sport = :{port}' shows it; stop it",
            )

    def _remove_network(self) -> None:
        """Remove the network unless a container still has an address on it, for the edge of another user, say."""
        found = self.api.network(network.NETWORK)
        if found is not None and not network.taken(self.api):
            self.api.remove_network(found["Id"])

    # --- routes

    def _see_live(self, stack: str, name: str, running: Sequence[EdgeContainer], deadline: Deadline) -> None:
        until = time.monotonic() + min(_LIVE_SECONDS, deadline.remaining())
        for each in running:
            api = TraefikApi(each.api_port)
            try:
                while not api.shows(name):
                    if time.monotonic() > until:
                        raise self._not_taken(stack, name, each, api)
                    deadline.pause(_POLL_SECONDS)
                if faults := api.faults(f"{stack}~"):
                    raise SlipwayError(
                        f"Traefik does not accept the routes of {stack}: {faults[0]}",
                        "the routes from before are back",
                        "mend what it names in x-slipway of the Compose file, then run it again",
                        [f"| {fault}" for fault in faults],
                    )
            finally:
                api.close()
        time.sleep(_SETTLE_SECONDS)

    def _not_taken(self, stack: str, name: str, container: EdgeContainer, api: TraefikApi) -> SlipwayError:
        status, body = api.get(f"/api/http/middlewares/{name}@file")
        answer = f"its API answered {status}: {body.decode('utf-8', 'replace').strip()[:200]}"
        return SlipwayError(
            f"the routes of {stack} did not become live in {container.name}",
            f"{self._folder.routes_of(stack)} was written as {name}, but {answer}; the routes from before are back",
            f"docker logs {container.name}",
            [f"| {line}" for line in self.api.logs(container.id)],
        )

    def _see_back(self, path: str, running: Sequence[EdgeContainer]) -> None:
        """Wait a moment until what was there before is live again; that it is not hides no other failure."""
        written, until = self._folder.written(path), time.monotonic() + _BACK_SECONDS
        for each in running if written else ():
            api = TraefikApi(each.api_port)
            while written and not api.shows(written.marker) and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
            api.close()

    def _check_routes(self, stack: str, routing: Routing) -> None:
        """Two stacks must not want the same requests: which of them got one would be chance."""
        wanted = {(route.host, route.path) for service in routing.services for route in service.routes}
        for other in self._folder.stacks():
            current = self.current(other) if other != stack else None
            for service in current.services if current else ():
                for route in service.routes:
                    if (route.host, route.path) in wanted:
                        raise SlipwayError(
                            f"stack {other} of this host already serves {route.host or 'every host'}{route.path}",
                            f"which of both got a request would be chance, so the routes of {stack} stay as they were",
                            f"give {stack} another route, or take {other} off this host first",
                        )

    def _write_users(self, stack: str, routing: Routing) -> dict[str, str]:
        """Put the htpasswd contents where Traefik reads them; service → file. What is in use is not overwritten."""
        found = {}
        for service in routing.services:
            content = service.middlewares.basic_auth
            if content is not None:
                digest = hashlib.sha256(content.encode()).hexdigest()[:12]
                path = users_file(stack, service.service, digest)
                self._folder.put(path, content)
                found[service.service] = f"{FOLDER}/{path}"
        return found

    # --- certificates of one's own

    def _write_certificates(self, certificates: Sequence[Mapping[str, str]], stack: str) -> None:
        files = []
        for each in certificates:
            name = f"certificates/{stack}/{_digest(each)}"
            self._folder.put(f"{name}.pem", each["certificate"])
            self._folder.put(f"{name}.key", each["key"])
            files.append((f"{FOLDER}/{name}.pem", f"{FOLDER}/{name}.key"))
        path, wanted = self._folder.certificates_of(stack), self._certificates_marker(certificates, stack)
        written = self._folder.written(path)
        if (written.marker if written else None) != wanted:
            self._folder.publish(path, text(tls(files), wanted, None) if wanted else None)

    def _await_certificates(self, stack: str, deadline: Deadline) -> None:
        """Wait until the stack's certificates are live, then remove those that are not named any more."""
        written = self._folder.written(self._folder.certificates_of(stack))
        if written is not None:
            running = [each for each in self._containers.find() if each.running]
            self._see_live(f"{stack}~certificates", written.marker, running, deadline)
        content = self._folder.content(self._folder.certificates_of(stack)) or b""
        with contextlib.suppress(FileNotFoundError):
            names = os.listdir(os.path.join(self._folder.path, "certificates", stack))
            self._folder.keep_only(f"certificates/{stack}", [name for name in names if name.encode() in content])

    def _certificates_marker(self, certificates: Sequence[Mapping[str, str]], stack: str) -> str | None:
        """Named after the content, so that the same certificates again change nothing; None without any."""
        if not certificates:
            return None
        return marker(stack, "tls-" + hashlib.sha256("".join(map(_digest, certificates)).encode()).hexdigest()[:12])

    @contextlib.contextmanager
    def _locked(self, reason: str, deadline: Deadline | None) -> Iterator[None]:
        wait = _LOCK_SECONDS if deadline is None else min(_LOCK_SECONDS, deadline.remaining())
        with lock(self._folder.lock, owner=self.out.host, reason=reason, wait=wait):
            yield


def _digest(certificate: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{certificate['certificate']}\0{certificate['key']}".encode()).hexdigest()[:12]


def _ports(aim: Desired) -> str:
    return str(aim.http_port) if aim.https_port is None else f"{aim.http_port} and {aim.https_port}"
