"""A small client of the Docker Engine API: a request costs milliseconds, a call of the docker command 50 to 200."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from slipway.agent import runtime
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["KEPT", "DockerApi", "DockerError", "DockerUnreachableError", "find_socket", "frames", "last_lines"]

DEFAULT_SOCKET = "/var/run/docker.sock"
PROJECT_LABEL = "com.docker.compose.project"
_SIGKILL = "9"
_PIECE = 65_536
KEPT = 1 << 20  # bytes of what a program writes
_POLL_SECONDS = 0.1
_FRAME = 8  # bytes before a piece: stream number, three zeros, a length. Source: the reference, ContainerAttach


class DockerUnreachableError(SlipwayError):
    """No Docker engine answers this user."""


class DockerError(SlipwayError):
    """The engine refused a request; `status` is its HTTP status, `message` its own words."""

    def __init__(self, status: int, message: str, request: str) -> None:
        super().__init__(
            f"Docker refused {request}: {message}", "the engine on this host did not do its part", "docker info"
        )
        self.status = status
        self.message = message


def find_socket() -> str:
    """The engine's socket: DOCKER_HOST, else the system's, else the user's own (rootless).

    Raises:
        DockerUnreachableError: DOCKER_HOST names something else than a unix socket.
    """
    address = os.environ.get("DOCKER_HOST", "")
    if address.startswith("unix://"):
        return address[len("unix://") :]
    if address:
        raise DockerUnreachableError(
            f"DOCKER_HOST is {address}",
            "the agent speaks to the engine of its own host, over a unix socket",
            "unset DOCKER_HOST for this user",
        )
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    candidates = [DEFAULT_SOCKET, os.path.join(runtime, "docker.sock"), os.path.expanduser("~/.docker/run/docker.sock")]
    usable = [path for path in candidates if os.access(path, os.R_OK | os.W_OK)]
    return (usable or [path for path in candidates if os.path.exists(path)] or candidates)[0]


class DockerApi:
    """One connection to one engine; not for several threads at once (`again` makes another)."""

    def __init__(self, path: str, timeout: float | None = 60.0) -> None:
        self.path = path
        self._connection = runtime.unix_connection(path, timeout)

    def again(self, timeout: float | None = 60.0) -> DockerApi:
        """A client of the same engine with a connection of its own; no `timeout` waits for ever."""
        return DockerApi(self.path, timeout)

    def close(self) -> None:
        self._connection.close()

    def version(self) -> dict[str, Any]:
        return dict(self._json("GET", "/version"))

    def info(self) -> dict[str, Any]:
        """DockerRootDir, Plugins and the rest of `docker info`."""
        return dict(self._json("GET", "/info"))

    def containers(self, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        return list(self._json("GET", "/containers/json", {"all": "true", **_filters(labels)}))

    def container(self, identifier: str) -> dict[str, Any] | None:
        """Everything about one container; None when it is gone."""
        return self._optional(f"/containers/{identifier}/json")

    def added_files(self, identifier: str) -> list[str]:
        """Paths of files and folders that a container has and its image has not."""
        return [
            str(each["Path"])
            for each in self._json("GET", f"/containers/{identifier}/changes") or ()
            if each["Kind"] == 1
        ]

    def logs(self, identifier: str, tail: int = 20) -> list[str]:
        """The last lines that a container wrote; empty when it is gone or its log driver keeps none."""
        query = {"stdout": "true", "stderr": "true", "tail": str(tail)}
        try:
            raw = self._raw("GET", f"/containers/{identifier}/logs", query)
        except DockerError:
            return []
        if raw[1:4] == b"\0\0\0":  # else it has a terminal, whose lines are not framed
            raw = b"".join(piece for _, piece in frames(raw)[0])
        return raw.decode("utf-8", "replace").splitlines()[-tail:]

    def log_stream(self, identifier: str, **query: str) -> http.client.HTTPResponse:
        """What a container writes, in the engine's framing; `query` as in the engine's reference (ContainerLogs)."""
        wanted = {"stdout": "true", "stderr": "true", "timestamps": "true", **query}
        return self._send("GET", f"/containers/{identifier}/logs", wanted)

    def starts(self, labels: Mapping[str, str]) -> http.client.HTTPResponse:
        """Containers with these labels that start from now on: a line of JSON each, for ever."""
        label = [f"{name}={value}" for name, value in labels.items()]
        filters = json.dumps({"type": ["container"], "event": ["start"], "label": label})
        return self._send("GET", "/events", {"filters": filters})

    def killed(self, project: str, since: float, until: float) -> list[dict[str, str]]:
        """Labels and name of the project's containers that got SIGKILL meanwhile, as far as the engine remembers."""
        filters = {"type": ["container"], "event": ["kill"], "label": [f"{PROJECT_LABEL}={project}"]}
        query = {"since": f"{since:.9f}", "until": f"{until:.9f}", "filters": json.dumps(filters)}
        lines = self._raw("GET", "/events", query).splitlines()
        found = [dict(json.loads(line)["Actor"]["Attributes"]) for line in lines if line.strip()]
        return [each for each in found if each.get("signal") == _SIGKILL]

    def stop(self, identifier: str, timeout: float = 10.0, *, start: bool = False) -> None:
        """Stop a container, giving it the time its own configuration asks for (`timeout` seconds at most is waited).

        With `start` it runs again afterwards, also one that is removed when it ends.
        """
        path = f"/containers/{identifier}/{'restart' if start else 'stop'}"
        with contextlib.closing(self.again(timeout + 30)) as client:
            client._raw("POST", path, absent_is_fine=True)  # noqa: SLF001 - its own class

    def remove(self, identifier: str) -> None:
        """Remove a container with its anonymous volumes left alone; fine when it is gone."""
        self._raw("DELETE", f"/containers/{identifier}", {"force": "true"}, absent_is_fine=True)

    def execute(self, identifier: str, command: Sequence[str], until: float) -> tuple[int | None, str]:
        """Run a command in a container; its exit code, and the end of what it wrote.

        One that closes its output goes on: the exit code is None where it does so at `until`, on the monotonic clock.
        """
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        name = json.loads(self._raw("POST", f"/containers/{identifier}/exec", body=body))["Id"]
        start = json.dumps({"Detach": False, "Tty": False}).encode()
        stream = self._send("POST", f"/exec/{name}/start", None, {"Content-Type": "application/json"}, start)
        written, rest = b"", b""
        while piece := stream.read1(_PIECE):
            found, rest = frames(rest + piece)
            written = (written + b"".join(each for _, each in found))[-KEPT - 1 :]
        while (state := self._json("GET", f"/exec/{name}/json"))["Running"] and runtime.monotonic() < until:
            runtime.sleep(_POLL_SECONDS)
        return state["ExitCode"], last_lines(written).decode("utf-8", "replace")

    def create_container(self, name: str, body: Mapping[str, Any]) -> str:
        return str(json.loads(self._raw("POST", "/containers/create", {"name": name}, body=body))["Id"])

    def start(self, identifier: str) -> None:
        self._raw("POST", f"/containers/{identifier}/start")

    def update(self, identifier: str, body: Mapping[str, Any]) -> None:
        """Change a container's settings, such as its restart policy, without a restart."""
        self._raw("POST", f"/containers/{identifier}/update", body=body, absent_is_fine=True)

    def signal(self, identifier: str, name: str) -> None:
        self._raw("POST", f"/containers/{identifier}/kill", {"signal": name})

    def create_network(self, body: Mapping[str, Any]) -> None:
        self._raw("POST", "/networks/create", body=body)

    def connect_network(self, network: str, body: Mapping[str, Any]) -> None:
        self._raw("POST", f"/networks/{network}/connect", body=body)

    def disconnect_network(self, network: str, container: str) -> None:
        body = {"Container": container, "Force": True}
        self._raw("POST", f"/networks/{network}/disconnect", body=body, absent_is_fine=True)

    def networks(self, project: str) -> list[dict[str, Any]]:
        return list(self._json("GET", "/networks", _filters({PROJECT_LABEL: project})))

    def network(self, name: str) -> dict[str, Any] | None:
        return self._optional(f"/networks/{quote(name, safe='')}")

    def remove_network(self, identifier: str) -> None:
        self._raw("DELETE", f"/networks/{identifier}", absent_is_fine=True)

    def volumes(self, project: str) -> list[dict[str, Any]]:
        return list(self._json("GET", "/volumes", _filters({PROJECT_LABEL: project})).get("Volumes") or [])

    def volume(self, name: str) -> dict[str, Any] | None:
        return self._optional(f"/volumes/{quote(name, safe='')}")

    def remove_volume(self, name: str) -> None:
        self._raw("DELETE", f"/volumes/{quote(name, safe='')}", absent_is_fine=True)

    def image(self, reference: str) -> dict[str, Any] | None:
        """An image by reference; None when this engine does not have it."""
        return self._optional(f"/images/{quote(reference, safe='/:@')}/json")

    def remove_image(self, reference: str) -> None:
        """Remove one reference to an image, and the image with its last one."""
        self._raw("DELETE", f"/images/{quote(reference, safe='/:@')}", absent_is_fine=True)

    def pull(self, name: str, digest: str, credentials: Mapping[str, str] | None) -> Iterator[dict[str, Any]]:
        """Pull by digest, yielding the engine's messages; credentials travel in a header and touch no disk."""
        headers = {}
        if credentials is not None:
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(json.dumps(dict(credentials)).encode()).decode()
        query = {"fromImage": name, "tag": digest}
        for line in self._send("POST", "/images/create", query, headers, what=f"to pull {name}@{digest}"):
            if line.strip():
                yield json.loads(line)

    def _optional(self, path: str) -> dict[str, Any] | None:
        try:
            return dict(self._json("GET", path))
        except DockerError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def _json(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self._raw(method, path, query))

    def _raw(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        absent_is_fine: bool = False,
    ) -> bytes:
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            return self._send(method, path, query, headers, json.dumps(body).encode() if body else None).read()
        except DockerError as error:
            if error.status == http.client.NOT_FOUND and absent_is_fine:
                return b""
            raise

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        what: str = "",
    ) -> http.client.HTTPResponse:
        """The answer, yet to be read; `what` is what an error calls the request."""
        target = path + ("?" + urlencode(query) if query else "")
        while True:
            reused = self._connection.sock is not None
            try:
                self._connection.request(method, target, body=body, headers=dict(headers or {}))
                response = self._connection.getresponse()
                break
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()
                # The engine closes idle connections; one that just opened and failed is a real failure.
                if not reused or isinstance(error, TimeoutError):
                    raise _unreachable(self.path, error) from error
        if response.status >= http.client.BAD_REQUEST:
            raise DockerError(response.status, _message(response.read()), what or f"{method} {path}")
        return response


def _unreachable(path: str, error: Exception) -> DockerUnreachableError:
    if isinstance(error, PermissionError):
        return DockerUnreachableError(
            f"this user may not use Docker ({path}: permission denied)",
            "the agent starts and stops containers through that socket",
            "sudo usermod -aG docker $(id -un)",
        )
    if isinstance(error, TimeoutError):
        return DockerUnreachableError(
            f"Docker did not answer in time ({path})",
            "the engine hangs or is overloaded",
            "sudo systemctl restart docker",
        )
    import shutil

    if isinstance(error, FileNotFoundError) and shutil.which("docker") is None and shutil.which("dockerd") is None:
        return DockerUnreachableError(
            "Docker is not installed",
            "releases run as containers",
            "curl -fsSL https://get.docker.com | sudo sh",
        )
    return DockerUnreachableError(
        f"Docker is not running ({path}: {getattr(error, 'strerror', None) or type(error).__name__})",
        "releases run as containers",
        "sudo systemctl start docker",
    )


def _filters(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {"filters": json.dumps({"label": [f"{k}={v}" for k, v in labels.items()]})} if labels else {}


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip() or "no answer"


def frames(content: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Stream number and content of each piece that the engine framed, and the begin of one that is not whole yet."""
    found, start = [], 0
    while len(content) - start >= _FRAME:
        end = start + _FRAME + int.from_bytes(content[start + 4 : start + _FRAME], "big")
        if len(content) < end:
            break
        found.append((content[start], content[start + _FRAME : end]))
        start = end
    return found, content[start:]


def last_lines(written: bytes) -> bytes:
    """Of more than `KEPT` bytes the last whole lines: the end of a secret that was cut would not be hidden."""
    return written if len(written) <= KEPT else written[-KEPT:].partition(b"\n")[2]
