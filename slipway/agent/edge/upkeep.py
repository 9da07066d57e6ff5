"""Keeps the edge's container as the stacks of this host want it; the caller holds the edge's lock."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.edge.handover_container import SteeringContainer
from slipway.agent.edge.metrics import listening
from slipway.agent.edge.reuseport_handover import Steering
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.edge.containers import EdgeContainer, EdgeContainers
    from slipway.agent.edge.static_config import Desired
    from slipway.agent.output import Output

__all__ = ["check_image", "check_ports", "converge"]


def check_ports(aim: Desired, running: Sequence[EdgeContainer], api: DockerApi) -> None:
    """Raise where a port is somebody else's."""
    own = {port for each in running for port in (each.http_port, each.https_port)}
    for port in (aim.http_port, aim.https_port):
        if port is None or port in own or not listening(port):
            continue
        holders = [
            each["Names"][0].lstrip("/")
            for each in api.containers()
            if any(public.get("PublicPort") == port for public in each.get("Ports") or ())
        ]
        who = f"container {holders[0]}" if holders else "another program"
        raise SlipwayError(
            f"port {port} of this host is in use by {who}",
            "the edge listens there for all stacks; nothing was touched",
            f"docker stop {holders[0]}" if holders else f"sudo ss -ltnp 'sport = :{port}'",
        )


def check_image(aim: Desired, api: DockerApi) -> None:
    """Raise where the image is not here."""
    if api.image(aim.image) is None:
        raise SlipwayError(
            f"the edge's image {aim.image} is not on this host", "nothing was touched", f"docker pull {aim.image}"
        )


def converge(
    aim: Desired,
    found: list[EdgeContainer],
    containers: EdgeContainers,
    *,
    api: DockerApi,
    out: Output,
    deadline: Deadline,
    turn: Callable[[], object] | None = None,
) -> bool:
    """Have one container that is as wanted, from those `found`; whether one was started.

    `turn` is called when it serves and before others leave.
    """
    configuration = containers.configuration(aim)
    right = [each for each in found if each.configuration == configuration]
    running = [each for each in found if each.running]
    serving = next((each for each in reversed(right) if each.running), None)
    if serving is not None and found == [serving] and containers.ready(serving.api_port):
        return False
    # Of a run that was ended: what it steered with, and that a container was asked to leave.
    api.remove(containers.steering)
    containers.publish_shared(each.number for each in found)
    with contextlib.ExitStack() as stack:
        steering = None
        if serving is not None:
            containers.wait_ready(serving.id, serving.api_port, deadline)
        else:
            steering = _steering(running, aim, api, containers.steering, out)
            if steering is not None:
                stack.callback(steering.close)
            begin = runtime.monotonic()
            serving = containers.start(aim, found, deadline)
            ports = " and ".join(str(port) for port in (aim.http_port, aim.https_port) if port is not None)
            instead = f" beside {running[-1].version}" if running else ""
            out.progress("edge", f"traefik {aim.version} on port {ports}{instead}", runtime.monotonic() - begin)
        if turn is not None:
            turn()
        leaving = [each for each in found if each.id != serving.id]
        if leaving:
            if steering is not None:
                steering.turn()
            begin = runtime.monotonic()
            containers.hand_over(leaving, serving, deadline)
            out.progress("edge", "handed over", runtime.monotonic() - begin)
    return serving not in right


def _steering(
    running: list[EdgeContainer], aim: Desired, api: DockerApi, name: str, out: Output
) -> Steering | SteeringContainer | None:
    """Hold new connections with the one container that serves; None where there is nothing to hold them from."""
    if len(running) != 1:
        return None
    shared = {aim.http_port, aim.https_port} & {running[0].http_port, running[0].https_port}
    ports = [port for port in shared if port is not None]
    steering: Steering | SteeringContainer = Steering(ports)
    if not steering.works:
        steering = SteeringContainer(api, aim.image, name, ports)
    if steering.works:
        return steering
    out.progress("edge", "new connections cannot be held here: some may get 404 or no answer")
    return None
