"""Keeps the edge's container as the stacks of this host want it: checks, starting, handing over."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.edge.handover_container import SteeringContainer
from slipway.agent.edge.metrics import listening
from slipway.agent.edge.reuseport_handover import Steering
from slipway.agent.edge.static_config import authority_file, resolver_name
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.edge.containers import EdgeContainer, EdgeContainers
    from slipway.agent.edge.edge_dir import EdgeFolder
    from slipway.agent.edge.static_config import Desired
    from slipway.agent.output import Output

__all__ = ["Upkeep"]


class Upkeep:
    """Changes the edge's container; the caller holds the edge's lock."""

    def __init__(self, api: DockerApi, out: Output, folder: EdgeFolder, containers: EdgeContainers) -> None:
        self.api = api
        self.out = out
        self._folder = folder
        self._containers = containers

    def check_image(self, aim: Desired) -> None:
        if self.api.image(aim.image) is None:
            raise SlipwayError(
                f"the edge's image {aim.image} is not on this host",
                "nothing was touched",
                f"docker pull {aim.image}",
            )

    def check_ports(self, aim: Desired, running: Sequence[EdgeContainer]) -> None:
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

    def prepare(self, aim: Desired) -> None:
        self._folder.create()
        for acme in aim.resolvers:
            name = resolver_name(acme)
            if not self._folder.has(f"acme/{name}.json"):
                self._folder.put(f"acme/{name}.json", "")
            if acme[2]:
                self._folder.put(authority_file(acme), acme[2])

    def converge(self, aim: Desired, found: list[EdgeContainer], deadline: Deadline) -> bool:
        """Have one container that is as wanted, from those `found`; whether one was started."""
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
            begin = runtime.monotonic()
            if serving is None:
                serving = self._containers.start(aim, found, deadline)
                instead = f" beside {running[-1].version}" if running else ""
                seconds = runtime.monotonic() - begin
                self.out.progress("edge", f"traefik {aim.version} on port {_ports(aim)}{instead}", seconds)
            else:
                self._containers.wait_ready(serving.id, serving.api_port, deadline)
            leaving = [each for each in found if each.id != serving.id]
            if leaving:
                if steering is not None:
                    steering.turn()
                begin = runtime.monotonic()
                self._containers.hand_over(leaving, serving, deadline)
                self.out.progress("edge", "handed over", runtime.monotonic() - begin)
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
        self.out.progress("edge", "new connections cannot be held here and may get 404 for about 0.1 s")
        return None


def _ports(aim: Desired) -> str:
    return str(aim.http_port) if aim.https_port is None else f"{aim.http_port} and {aim.https_port}"
