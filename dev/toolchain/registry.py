"""The registry on this machine: where the embedded default pushes images to, and a mirror where there is no other.

Owns: the container `slipway-local-registry` and its volume of the same name. Does not own: what is in it.
Produces: its address. It listens on loopback only, which every engine accepts without TLS.
All clones of this repository on the machine share it. It goes with the clone that made it (a label of the volume tells
which), once no container runs an image from it.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from dev.toolchain.cache import cache_root, locked
from dev.toolchain.process import ToolchainError, run
from dev.toolchain.progress import say, step
from dev.toolchain.stand_ins.images import ensure_registry_image

__all__ = ["CONTAINER", "ensure_registry", "remove_registry"]

CONTAINER = "slipway-local-registry"
_ADDRESS = "127.0.0.1"
_FIRST_PORT = 5050
_PORTS_TRIED = 20
_START_SECONDS = 20
_CLONE = Path(__file__).resolve().parents[2]
_NAMED = 3  # of the containers that keep it, as many are told by name
_MAKER_LABEL = "dev.slipway.made-by"


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
    # of an existing volume this changes nothing, its label neither
    run(["docker", "volume", "create", "--label", f"{_MAKER_LABEL}={_CLONE}", CONTAINER], seconds=60)
    try:
        run(argv, seconds=60)
    except ToolchainError as error:
        if "is already in use by container" in str(error):  # another user's run was quicker, and holds another lock
            return True
        run(["docker", "rm", "--force", CONTAINER])  # it exists, but never ran
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
            text = memory.read_text().strip() if memory.is_file() else ""
            remembered = int(text) if text.isdigit() else _FIRST_PORT
            ports = dict.fromkeys([remembered, *range(_FIRST_PORT, _FIRST_PORT + _PORTS_TRIED)])
            with step("starting a registry on this machine", "images are pushed to it, hosts pull from it"):
                port = next((candidate for candidate in ports if _create(candidate, image)), 0)
            container = _container()
            if not port or container is None:
                raise ToolchainError(
                    f"no port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS_TRIED - 1} is free on {_ADDRESS}",
                    "the registry has nowhere to listen",
                    "stop what listens there (ss -ltnp), then run it again",
                )
            port = _port(container)
        _await(port)
        memory.write_text(str(port))
    return f"{_ADDRESS}:{port}"


def _maker() -> str | None:
    """The folder of the clone that made the registry, "" when nobody knows, None without a registry."""
    inspect = ["docker", "volume", "inspect", "--format", "{{json .Labels}}", CONTAINER]
    done = subprocess.run(inspect, capture_output=True, check=False, timeout=30)
    return str((json.loads(done.stdout) or {}).get(_MAKER_LABEL, "")) if done.returncode == 0 else None


def _stands(clone: str) -> bool:
    try:
        return (Path(clone) / "dev" / "toolchain").is_dir()
    except PermissionError:  # another user's
        return True


def _users(address: str) -> list[str]:
    """The containers on this engine, whose ever they are, that were made from images of the registry."""
    containers = run(["docker", "ps", "--all", "--quiet"]).decode().split()
    # not what `docker ps` shows as the image: that is a bare identifier once the tag has moved on
    inspect = ["docker", "container", "inspect", "--format", "{{.Config.Image}} {{.Name}}", *containers]
    listed = subprocess.run(inspect, capture_output=True, check=False, timeout=60) if containers else None
    lines = listed.stdout.decode().splitlines() if listed else []  # without those that ended meanwhile
    images = [line.rsplit(" ", 1) for line in lines]
    return [name.removeprefix("/") for image, name in images if image.startswith(f"{address}/")]


def remove_registry() -> None:
    """Remove the registry with everything in it, unless others need it; nothing happens when there is none.

    It stays, and a line says why, when another clone made it and still exists, or containers run images from it.
    """
    with locked("registry"):
        maker, container = _maker(), _container()
        if maker is None and container is None:
            return
        if maker and maker != str(_CLONE) and _stands(maker):
            say(f"kept the registry {CONTAINER}: {maker} made it (`make down` there removes it)")
            return
        users = _users(f"{_ADDRESS}:{_port(container)}") if container is not None else []
        if users:
            some = ", ".join(users[:_NAMED]) + (f" and {len(users) - _NAMED} more" if len(users) > _NAMED else "")
            say(f"kept the registry {CONTAINER}: {some} run images from it (`make down` again after them)")
            return
        if container is not None:
            run(["docker", "rm", "--force", CONTAINER])
        run(["docker", "volume", "rm", "--force", CONTAINER])
        (cache_root() / "registry.port").unlink(missing_ok=True)
