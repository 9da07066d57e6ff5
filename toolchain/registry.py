"""The registry on this machine: where the embedded default pushes images to, and a mirror where there is no other.

Owns: the container `slipway-local-registry` and its volume of the same name. Does not own: what is in it.
Produces: its address. It listens on loopback only, which every engine accepts without TLS.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from typing import Any

from toolchain.cache import cache_root, locked
from toolchain.images import ensure_registry_image
from toolchain.process import ToolchainError, run
from toolchain.progress import step

__all__ = ["CONTAINER", "ensure_registry", "remove_registry"]

CONTAINER = "slipway-local-registry"
_ADDRESS = "127.0.0.1"
_FIRST_PORT = 5050
_PORTS_TRIED = 20
_START_SECONDS = 20


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(_ADDRESS, port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK and bool(answer.getheader("Docker-Distribution-Api-Version"))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _container() -> dict[str, Any] | None:
    inspect = ["docker", "container", "inspect", "--format", "{{json .}}", CONTAINER]
    done = subprocess.run(inspect, capture_output=True, check=False, timeout=30)
    if done.returncode != 0:
        return None
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _port(container: dict[str, Any]) -> int:
    bindings = container["HostConfig"]["PortBindings"] or {}
    return int(bindings.get("5000/tcp", [{"HostPort": "0"}])[0]["HostPort"])


def _restarted() -> bool:
    return subprocess.run(["docker", "start", CONTAINER], capture_output=True, check=False, timeout=60).returncode == 0


def _create(port: int, image: str) -> bool:
    """Start the container from `image` on `port`; False when something else occupies it."""
    argv = [
        *("docker", "run", "--detach", "--name", CONTAINER, "--restart", "unless-stopped"),
        *("--publish", f"{_ADDRESS}:{port}:5000", "--volume", f"{CONTAINER}:/var/lib/registry"),
        *("--env", "REGISTRY_STORAGE_DELETE_ENABLED=true", "--env", "OTEL_TRACES_EXPORTER=none"),
        *("--label", "dev.slipway.role=registry", "--pull", "never", image),
    ]
    try:
        run(argv, seconds=60)
    except ToolchainError as error:
        run(["docker", "rm", "--force", "--volumes", CONTAINER])  # it exists, but never ran
        if any(word in str(error) for word in ("port is already allocated", "address already in use")):
            return False
        raise
    return True


def _await(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        if time.monotonic() > deadline:
            log = run(["docker", "logs", "--tail", "10", CONTAINER]).decode(errors="replace")
            raise ToolchainError(
                f"the registry on {_ADDRESS}:{port} did not answer within {_START_SECONDS} s",
                f"images have nowhere to go; its last lines:\n{log}",
                f"docker rm -f {CONTAINER}, then run it again",
            )
        time.sleep(0.05)


def ensure_registry() -> str:
    """Make the machine's registry run (delete enabled, kept in a named volume); its address, such as 127.0.0.1:5050.

    The port is the first free one from 5050 on; it is remembered, and kept as long as the container exists.

    Raises:
        ToolchainError: no port is free, or the registry does not answer within 20 s.
    """
    container = _container()
    if container is not None and container["State"]["Running"] and _answers(_port(container)):
        return f"{_ADDRESS}:{_port(container)}"
    memory = cache_root() / "registry.port"
    with locked("registry"):
        container = _container()
        if container is not None and not container["State"]["Running"] and not _restarted():
            run(["docker", "rm", "--force", CONTAINER])  # its port went to something else meanwhile; the volume stays
            container = None
        if container is not None:
            port = _port(container)
        else:
            image = ensure_registry_image()
            remembered = int(memory.read_text()) if memory.is_file() else _FIRST_PORT
            ports = dict.fromkeys([remembered, *range(_FIRST_PORT, _FIRST_PORT + _PORTS_TRIED)])
            with step("starting a registry on this machine", "images are pushed to it, hosts pull from it"):
                port = next((candidate for candidate in ports if _create(candidate, image)), 0)
            if not port:
                raise ToolchainError(
                    f"no port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS_TRIED - 1} is free on {_ADDRESS}",
                    "the registry has nowhere to listen",
                    "stop what listens there (ss -ltnp), then run it again",
                )
        _await(port)
        memory.write_text(str(port))
    return f"{_ADDRESS}:{port}"


def remove_registry() -> None:
    """Remove the registry with everything in it; nothing happens when there is none."""
    with locked("registry"):
        if _container() is not None:
            run(["docker", "rm", "--force", CONTAINER])
        run(["docker", "volume", "rm", "--force", CONTAINER])
        (cache_root() / "registry.port").unlink(missing_ok=True)
