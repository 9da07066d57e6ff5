"""Steers connections for an agent that is not root: a container does it during the handover, and ends with it.

As root it runs `reuseport_handover` with the host's own Python, of whose files it sees no others than Python's and the
system's libraries.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.docker.docker_api import DockerError
from slipway.agent.edge import reuseport_handover

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["SteeringContainer"]

_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.02


class SteeringContainer:
    """As `reuseport_handover.Steering`, from a container made of `image`, which has a chroot command as most have."""

    def __init__(self, api: DockerApi, image: str, name: str, ports: Sequence[int]) -> None:
        self._api = api
        self._name = name
        self._api.remove(name)  # of a run that was ended
        try:
            self._api.start(self._api.create_container(name, _body(image, ports)))
            self.works = self._says(reuseport_handover.HELD)
        except DockerError:
            self.works = False
        if not self.works:
            self.close()

    def turn(self) -> None:
        """Give new connections to the container that came since."""
        with contextlib.suppress(DockerError):  # it ended by itself: both containers get connections
            self._api.signal(self._name, "SIGUSR1")
            self._says(reuseport_handover.TURNED)

    def close(self) -> None:
        with contextlib.suppress(DockerError):  # not running
            self._api.signal(self._name, "SIGTERM")
            self._says(reuseport_handover.LEFT)
        self._api.remove(self._name)

    def _says(self, word: str) -> bool:
        until = runtime.monotonic() + _ANSWER_SECONDS
        while word not in self._api.logs(self._name):
            state = (self._api.container(self._name) or {}).get("State", {})
            if runtime.monotonic() > until or state.get("Status") in {None, "exited", "dead"}:
                return word in self._api.logs(self._name)
            runtime.sleep(_POLL_SECONDS)
        return True


def _body(image: str, ports: Sequence[int]) -> dict[str, Any]:
    source = reuseport_handover.__loader__.get_source(reuseport_handover.__name__)  # type: ignore[union-attr]  # also out of the packed agent
    listeners = {
        port: (int(family), address) for port in ports for family, address in [reuseport_handover.listener(port)]
    }
    program = f"{source}\nlistener = {listeners!r}.__getitem__\nserve({list(ports)!r})\n"  # /proc is not there
    return {
        "Image": image,
        "Entrypoint": ["chroot", "/host", os.path.realpath(sys.executable), "-I", "-c", program],
        "User": "0:0",
        "HostConfig": {
            "NetworkMode": "host",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN", "NET_BIND_SERVICE", "SYS_CHROOT"],
            "SecurityOpt": ["no-new-privileges"],
            "Binds": [f"{path}:/host{path}:ro" for path in _pythons()],
        },
    }


def _pythons() -> list[str]:
    """The folders that Python runs from; of several inside each other the outer ones."""
    found = [os.path.realpath(sys.base_prefix), os.path.dirname(os.path.realpath(sys.executable))]
    found = [path for path in ("/usr", "/lib", "/lib64", "/nix/store", *found) if os.path.isdir(path)]
    return [path for path in dict.fromkeys(found) if not any(path.startswith(f"{outer}/") for outer in found)]
