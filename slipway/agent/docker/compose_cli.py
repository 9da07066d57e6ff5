"""Docker Compose makes containers, networks and volumes, so that they are what `docker compose up` makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker.docker_api import DockerError
from slipway.agent.docker.process import Ended, run
from slipway.agent.docker.yaml_file import to_yaml
from slipway.agent.state.atomic_files import remove_files, write_atomically
from slipway.contract.compose_program import compose_plugin, compose_program
from slipway.contract.problems import FREE_DISK, FREE_NETWORKS, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["Compose", "ComposeFile", "VersionQuestion", "failed_start", "run_arguments", "start", "up_arguments"]

_EVIDENCE_LINES = 15
_LOOK = "docker network ls -q | xargs docker network inspect -f '{{.Name}} {{range .IPAM.Config}}{{.Subnet}} {{end}}'"
_NO_IMAGE = r"no such image"
_REASONS = (  # what the engine says; what it means and what helps, {} for the pattern's group
    (
        r"port is already allocated|failed to bind (?:host )?port|bind: address already in use",
        "a port that it publishes is taken",
        "sudo ss -ltnp",
    ),
    (r"no space left on device", "the disk of this host is full", FREE_DISK),
    (_NO_IMAGE, "its image vanished after it was fetched, twice", "run the deployment again"),
    (
        r"ipv6 address pool",
        "Docker gives a network IPv6 addresses by itself from version 27 on; before, the Compose file has to",
        "write `ipam: {config: [{subnet: 'fdXX:XXXX:XXXX::/64'}]}` beside `enable_ipv6`, X being digits of your own",
    ),
    (
        r"ipv4 address pool|address pools have been fully",
        "networks have every range of addresses that Docker gives them on this host; those of no container can go",
        FREE_NETWORKS,
    ),
    (
        r"create network (\S+): .*overlap",
        "another network of this host has the addresses that the Compose file gives {}: give it others, or remove that",
        _LOOK,
    ),
    (
        r"network (\S+) was found but has incorrect label",
        "something else made a network of that name, which Docker removes once no container uses it",
        "docker network rm {}",
    ),
    (
        r"address already in use|no available (?:ipv4 )?addresses",
        "another container has the address that it asks for, or its network has none left",
        "docker ps -q | xargs docker inspect -f '{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'",
    ),
)


class ComposeFile(NamedTuple):
    """A Compose file and the values that it reads from the environment; both hold secrets."""

    content: dict[str, Any]
    environment: dict[str, str]


def up_arguments(
    services: Sequence[str], *, recreate: bool, scale: Mapping[str, int] | None = None, start: bool = True
) -> list[str]:
    """Make and start these services alone, from images that are here; `scale` counts containers of all releases."""
    how = "--force-recreate" if recreate else "--no-recreate"
    counts = [word for name, count in (scale or {}).items() for word in ("--scale", f"{name}={count}")]
    return [
        "up",
        "-d" if start else "--no-start",
        "--no-deps",
        "--no-build",
        "--pull",
        "never",
        how,
        *counts,
        *services,
    ]


def run_arguments(service: str, name: str, command: Sequence[str]) -> list[str]:
    return ["run", "--rm", "--no-deps", "-T", "--name", name, service, *command]


class Compose:
    """Calls Compose for one stack on one engine."""

    def __init__(self, folder: StackFolder, socket: str, started: Callable[[int], None]) -> None:
        self._folder = folder
        self._socket = socket
        self._started = started
        self._program = compose_program()

    def call(self, arguments: Sequence[str], file: ComposeFile, deadline: Deadline) -> Ended:
        """Run Compose; its file, which has secret values, is there for this user only and only while it is needed."""
        folder, path = self._folder.path, self._folder.compose
        argv = [*self._program, "--ansi", "never", "-p", self._folder.stack, "-f", path]
        argv += ["--project-directory", folder, *arguments]
        write_atomically(path, to_yaml(file.content))
        try:
            values = _environment(self._socket, file)
            return run(argv, environment=values, folder=folder, deadline=deadline, started=self._started)
        finally:
            remove_files(path)

    def up(
        self,
        services: Sequence[str],
        file: ComposeFile,
        deadline: Deadline,
        *,
        recreate: bool,
        unable: Callable[[str], Sequence[str]],
        fetch: Callable[[], object],
        scale: Mapping[str, int] | None = None,
        start: bool = True,
    ) -> None:
        """Start services (see `up_arguments`); without `start` they are made alone.

        `unable` reads from Compose's last line which of them did not start; `fetch` gets their images again, once:
        others remove images, too, as a nightly `docker image prune` does.

        Raises:
            SlipwayError: Compose failed; its own last lines are in the evidence.
        """
        arguments = up_arguments(services, recreate=recreate, scale=scale, start=start)
        ended = self.call(arguments, file, deadline)
        if ended.code and re.search(_NO_IMAGE, " ".join(ended.output), re.IGNORECASE):
            fetch()
            ended = self.call(arguments, file, deadline)
        if ended.code:
            lines = [line for line in ended.output if line.strip()] or [f"exit code {ended.code}"]
            raise failed_start(unable(lines[-1]), lines)


class VersionQuestion:
    """Asks the Compose plugin for its version while other facts are gathered: it takes as long as all of them."""

    def __init__(self) -> None:
        plugin = compose_plugin()
        argv = (
            [plugin, "docker-cli-plugin-metadata"] if plugin else ["docker", "compose", "version", "--format", "json"]
        )
        try:
            self._process: subprocess.Popen[bytes] | None = runtime.popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:
            self._process = None

    def answer(self) -> str | None:
        """The version without its leading v; None when there is no Compose v2."""
        if self._process is None:
            return None
        try:
            output, _ = self._process.communicate(timeout=30)
            found = json.loads(output)
            return str(found.get("Version") or found.get("version") or "").lstrip("v") or None
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return None
        except (ValueError, AttributeError):
            return None


def _environment(socket: str, file: ComposeFile) -> dict[str, str]:
    """The environment of a Compose call: ours (see `runtime`), and the secrets that it reads there.

    A variable that a service leaves unset stays so, also where this host has one of that name.
    """
    services = file.content["services"].values()
    unset = {name for each in services for name, value in dict(each.get("environment") or {}).items() if value is None}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    own = {"DOCKER_HOST": f"unix://{socket}", "COMPOSE_IGNORE_ORPHANS": "true", "COMPOSE_MENU": "false"}
    return {**kept, **own, **file.environment}


def start(api: DockerApi, name: str) -> None:
    """Start a container that Compose made.

    Raises:
        SlipwayError: Docker cannot.
    """
    try:
        api.start(name)
    except DockerError as error:
        raise failed_start((name,), (error.message,)) from error


def failed_start(services: Sequence[str], output: Sequence[str]) -> SlipwayError:
    """Why services did not start, from what was said about it."""
    lines = [line for line in output if line.strip()] or ["no reason was given"]
    text = " ".join(lines)
    meaning, fix = "Compose could not make the containers", "read its lines above"
    for pattern, means, helps in _REASONS:
        if found := re.search(pattern, text, re.IGNORECASE):
            word = found[found.re.groups]
            meaning, fix = means.replace("{}", word), helps.replace("{}", shlex.quote(word))
            break
    last, names = lines[-1], ", ".join(services)
    return SlipwayError(f"{names} did not start: {last}", meaning, fix, lines[-_EVIDENCE_LINES:])
