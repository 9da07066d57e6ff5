"""Whether this machine has the programs that a deployment from it needs; installs and changes nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slipway.cli.doctor.check_result import CheckResult, good, warnings, wrongs
from slipway.contract.problems import Problem, in_brief
from slipway.releases.engine import program_folder
from slipway.releases.local_stack import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BUILDX", "COMPOSE", "MACHINE_CHECKS", "OLDEST_ENGINE"]

_SECONDS = 20
OLDEST_ENGINE, COMPOSE, BUILDX = (3, 220), (2, 20), (0, 12)
"""The oldest that are used: the same as for `make up` (a unit test compares)."""

_GET_UV = "https://docs.astral.sh/uv/getting-started/installation/"
_GET_PULUMI = "https://www.pulumi.com/docs/install/"
_GET_DOCKER = "https://docs.docker.com/engine/install/"


class _Answer(NamedTuple):
    """A program's version as it printed it; `code` is None when it is not there or does not answer."""

    code: int | None
    text: str

    @property
    def version(self) -> str:
        found = re.search(r"\d+\.\d+(\.\d+)?", self.text) if self.code == 0 else None
        return found[0] if found else ""


def _ask(*argv: str, environment: Mapping[str, str] | None = None) -> _Answer:
    given = {**os.environ, **(environment or {})}
    program = shutil.which(argv[0], path=given.get("PATH", os.defpath))
    if program is None:
        return _Answer(None, "is not on PATH")
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return _Answer(None, f"does not answer within {_SECONDS} s")
    except OSError as error:
        return _Answer(None, f"cannot be started ({error.strerror})")
    output = (done.stdout.strip() or done.stderr.strip()) if done.returncode == 0 else done.stderr.strip()
    return _Answer(done.returncode, in_brief(output) or f"ends with exit code {done.returncode}")


def _wrong(what: str, meaning: str, fix: str) -> list[CheckResult]:
    return wrongs("machine", Problem(what, meaning, fix))


def _good_or_old(name: str, version: str, oldest: tuple[int, int], meaning: str, fix: str) -> list[CheckResult]:
    if tuple(map(int, version.split(".")[:2])) < oldest:
        return _wrong(f"{name} {version} is older than {'.'.join(map(str, oldest))}", meaning, fix)
    return [good("machine", f"{name} {version}")]


def _optional(program: str, meaning: str, fix: str) -> list[CheckResult]:
    answer = _ask(program, "--version")
    if answer.code == 0:
        return [good("machine", f"{program} {answer.version}")]
    return warnings("machine", Problem(f"{program} {answer.text}", meaning, fix))


def python() -> list[CheckResult]:
    """This very interpreter."""
    return [good("machine", f"Python {platform.python_version()}")]


def pulumi() -> list[CheckResult]:
    """The engine; one that `make up` installed is as good as one on PATH."""
    answer = _ask("pulumi", "version", environment=tools(program_folder(Path.cwd())))
    if not answer.version:
        return _wrong(f"pulumi {answer.text}", "nothing can be previewed or deployed", _GET_PULUMI)
    newer = "https://www.pulumi.com/docs/install/ has a newer one"
    return _good_or_old("pulumi", answer.version, OLDEST_ENGINE, "the program was never tried with it", newer)


def docker() -> list[CheckResult]:
    """Docker's client, and the engine that builds and that a local host is."""
    client = _ask("docker", "--version")
    if client.code != 0:
        return _wrong(f"docker {client.text}", "no Compose file can be read, no image built", _GET_DOCKER)
    found = [good("machine", f"docker {client.version}")]
    engine = _ask("docker", "info", "--format", "{{.ServerVersion}}")
    if engine.version:
        return [*found, good("machine", f"Docker engine {engine.version} answers")]
    what = f"the Docker engine of this machine does not answer ({engine.text})"
    fix = "sudo systemctl start docker"
    return [
        *found,
        *_wrong(what, "nothing can be built here or deployed to this machine; group docker may use it", fix),
    ]


def _plugin(name: str, oldest: tuple[int, int], meaning: str, *version: str) -> list[CheckResult]:
    answer = _ask("docker", name.lower(), *version)
    if answer.code is None:
        return []  # that there is no client is reported once
    found = answer._replace(text=answer.text.rpartition("buildx")[2]).version
    fix = f"sudo apt-get install docker-{name.lower()}-plugin"
    # a client without the plugin prints its own help, or takes the plugin's option for one of its own
    if not found:
        return _wrong(f"Docker's plugin {name} is not installed", meaning, fix)
    return _good_or_old(name, found, oldest, "it lacks what a deployment uses", fix)


uv = partial(_optional, "uv", "the program's Python environment cannot be made anew here", _GET_UV)
compose = partial(_plugin, "Compose", COMPOSE, "the Compose file cannot be read", "version", "--short")
buildx = partial(_plugin, "Buildx", BUILDX, "no image can be built", "version")
git = partial(
    _optional, "git", "releases do not name their commit, and images have no tag of it", "apt-get install git"
)
MACHINE_CHECKS: tuple[Callable[[], list[CheckResult]], ...] = (python, uv, pulumi, docker, compose, buildx, git)
"""Independent of each other, in the order in which they are shown."""
