"""Whether this machine has the programs that a deployment from it needs; gets and changes nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slipway.cli.doctor.check_result import good, warnings, wrongs
from slipway.contract.problems import Problem
from slipway.releases.engine import program_folder
from slipway.releases.local_stack import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.cli.doctor.check_result import CheckResult

__all__ = ["BUILDX", "COMPOSE", "MACHINE_CHECKS", "OLDEST_ENGINE"]

_SECONDS = 20
OLDEST_ENGINE, COMPOSE, BUILDX = (3, 220), (2, 20), (0, 12)
"""The oldest that are used: the same as for `make up` (a unit test compares)."""

_GET = "see README.md (in a clone of Slipway, make up installs what is missing)"


class _Answer(NamedTuple):
    """What a program said of itself; `code` is None when it is not there or does not answer."""

    code: int | None
    text: str

    @property
    def version(self) -> str:
        found = re.search(r"\d+\.\d+(\.\d+)?", self.text) if self.code == 0 else None
        return found[0] if found else ""

    def older_than(self, oldest: tuple[int, int]) -> bool:
        return tuple(map(int, self.version.split(".")[:2])) < oldest


def _ask(*argv: str, environment: Mapping[str, str] | None = None) -> _Answer:
    given = {**os.environ, **(environment or {})}
    program = shutil.which(argv[0], path=given.get("PATH", os.defpath))
    if program is None:
        return _Answer(None, "is not on PATH")
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            env=given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Answer(None, f"does not answer within {_SECONDS} s")
    except OSError as error:
        return _Answer(None, f"cannot be started ({error.strerror})")
    said = (done.stdout.strip() or done.stderr.strip()) if done.returncode == 0 else done.stderr.strip()
    return _Answer(done.returncode, " ".join(said.split())[-300:] or f"ends with exit code {done.returncode}")


def python() -> list[CheckResult]:
    """This very interpreter."""
    return [good("machine", f"Python {platform.python_version()}")]


def uv() -> list[CheckResult]:
    """uv, by which Pulumi's Python host makes the program's environment."""
    return _optional("uv", "the program's Python environment cannot be made anew here", _GET)


def git() -> list[CheckResult]:
    """Git, which names the commit that a release was made of."""
    meaning = "releases do not name their commit, and images have no tag of it"
    return _optional("git", meaning, "apt-get install git")


def _optional(program: str, meaning: str, fix: str) -> list[CheckResult]:
    answer = _ask(program, "--version")
    if answer.code == 0:
        return [good("machine", f"{program} {answer.version}")]
    return warnings("machine", Problem(f"{program} {answer.text}", meaning, fix))


def pulumi() -> list[CheckResult]:
    """The engine; one that `make up` got is as good as one on PATH."""
    environment, nothing = tools(program_folder(Path.cwd())), "nothing can be previewed or deployed"
    if environment is None:
        return wrongs("machine", Problem("pulumi is not on PATH", nothing, _GET))
    answer = _ask("pulumi", "version", environment=environment)
    if not answer.version:
        return wrongs("machine", Problem(f"pulumi: {answer.text}", nothing, _GET))
    newer = "https://www.pulumi.com/docs/install/ has a newer one"
    return _old_or_good("pulumi", answer, OLDEST_ENGINE, "the program was never tried with it", newer)


def _old_or_good(name: str, answer: _Answer, oldest: tuple[int, int], meaning: str, fix: str) -> list[CheckResult]:
    if answer.older_than(oldest):
        what = f"{name} {answer.version} is older than {'.'.join(map(str, oldest))}"
        return wrongs("machine", Problem(what, meaning, fix))
    return [good("machine", f"{name} {answer.version}")]


def docker() -> list[CheckResult]:
    """Docker's client, and the engine that builds and that a local host is."""
    client = _ask("docker", "--version")
    if client.code != 0:
        return wrongs("machine", Problem(f"docker {client.text}", "no Compose file can be read, no image built", _GET))
    found = [good("machine", f"docker {client.version}")]
    engine = _ask("docker", "info", "--format", "{{.ServerVersion}}")
    if engine.version:
        return [*found, good("machine", f"Docker engine {engine.version} answers")]
    problem = Problem(
        f"the Docker engine of this machine does not answer ({engine.text})",
        "nothing can be built here, or deployed to this machine",
        "docker info; start it (sudo systemctl start docker), or get the right to use it (group docker)",
    )
    return [*found, *wrongs("machine", problem)]


def compose() -> list[CheckResult]:
    """Compose, which reads the application's file."""
    return _plugin(
        "Compose", _ask("docker", "compose", "version", "--short"), COMPOSE, "the Compose file cannot be read"
    )


def buildx() -> list[CheckResult]:
    """Buildx, which builds images."""
    answer = _ask("docker", "buildx", "version")
    return _plugin("Buildx", answer._replace(text=answer.text.rpartition("buildx")[2]), BUILDX, "no image can be built")


def _plugin(name: str, answer: _Answer, oldest: tuple[int, int], meaning: str) -> list[CheckResult]:
    if answer.code is None:
        return []  # that there is no client is said once
    fix = f"install docker-{name.lower()}-plugin (in a clone of Slipway, make up does)"
    # a client without the plugin prints its own help, or takes the plugin's option for one of its own
    if not answer.version:
        return wrongs("machine", Problem(f"Docker's plugin {name} is not installed", meaning, fix))
    return _old_or_good(name, answer, oldest, "it lacks what a deployment uses", fix)


MACHINE_CHECKS: tuple[Callable[[], list[CheckResult]], ...] = (python, uv, pulumi, docker, compose, buildx, git)
"""Independent of each other, in the order in which they are shown."""
