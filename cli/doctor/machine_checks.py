"""Whether this machine has the programs that a deployment from it needs; gets and changes nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cli.doctor.check_result import good, warnings, wrongs
from cli.local_stack import tools
from cli.stack import program_folder
from components.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cli.doctor.check_result import CheckResult

__all__ = ["BUILDX", "COMPOSE", "MACHINE_CHECKS", "OLDEST_ENGINE"]

_SECONDS = 20
OLDEST_ENGINE, COMPOSE, BUILDX = (3, 220), (2, 20), (0, 12)
"""The oldest that are used: the same as for `make up` (a unit test compares)."""

_GET = "see README.md (in a clone of Slipway, make up installs what is missing)"


class _Answer(NamedTuple):
    """What a program said of itself; `code` is None when it is not there or does not answer."""

    code: int | None
    text: str


def _ask(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> _Answer:
    given = {**os.environ, **(environment or {})}
    if shutil.which(argv[0], path=given.get("PATH", os.defpath)) is None:
        return _Answer(None, "is not on PATH")
    try:
        done = subprocess.run(
            [shutil.which(argv[0], path=given.get("PATH", os.defpath)) or argv[0], *argv[1:]],
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


def _version(text: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found[0] if found else ""


def _numbers(version: str) -> tuple[int, int]:
    major, minor, *_ = (*version.split("."), "0", "0")
    return int(major or 0), int(minor)


def python() -> list[CheckResult]:
    """This very interpreter."""
    return [good("machine", f"Python {platform.python_version()}")]


def uv() -> list[CheckResult]:
    """uv, by which Pulumi's Python host makes the program's environment."""
    answer = _ask(["uv", "--version"])
    if answer.code == 0:
        return [good("machine", f"uv {_version(answer.text)}")]
    problem = Problem(f"uv {answer.text}", "the program's Python environment cannot be made anew here", _GET)
    return warnings("machine", problem)


def pulumi() -> list[CheckResult]:
    """The engine; one that `make up` got is as good as one on PATH."""
    environment = tools(program_folder(Path.cwd()))
    if environment is None:
        return wrongs("machine", Problem("pulumi is not on PATH", "nothing can be previewed or deployed", _GET))
    answer = _ask(["pulumi", "version"], environment)
    version = _version(answer.text)
    if answer.code != 0 or not version:
        return wrongs("machine", Problem(f"pulumi: {answer.text}", "nothing can be previewed or deployed", _GET))
    if _numbers(version) < OLDEST_ENGINE:
        oldest = ".".join(map(str, OLDEST_ENGINE))
        what, meaning = f"pulumi {version} is older than {oldest}", "the program was never tried with it"
        return wrongs("machine", Problem(what, meaning, "https://www.pulumi.com/docs/install/ has a newer one"))
    return [good("machine", f"pulumi {version}")]


def docker() -> list[CheckResult]:
    """Docker's client, and the engine that builds and that a local host is."""
    client = _ask(["docker", "--version"])
    if client.code != 0:
        meaning = "no Compose file can be read, no image built"
        return wrongs("machine", Problem(f"docker {client.text}", meaning, _GET))
    engine = _ask(["docker", "info", "--format", "{{.ServerVersion}}"])
    found = [good("machine", f"docker {_version(client.text)}")]
    if engine.code == 0 and _version(engine.text):
        return [*found, good("machine", f"Docker engine {_version(engine.text)} answers")]
    reason = engine.text or f"exit code {engine.code}"
    problem = Problem(
        f"the Docker engine of this machine does not answer ({reason})",
        "nothing can be built here, or deployed to this machine",
        "docker info; start it (sudo systemctl start docker), or get the right to use it (group docker)",
    )
    return [*found, *wrongs("machine", problem)]


def compose() -> list[CheckResult]:
    """Compose, which reads the application's file."""
    return _plugin("Compose", ["docker", "compose", "version", "--short"], COMPOSE, "the Compose file cannot be read")


def buildx() -> list[CheckResult]:
    """Buildx, which builds images."""
    return _plugin("Buildx", ["docker", "buildx", "version"], BUILDX, "no image can be built")


def _plugin(name: str, argv: list[str], oldest: tuple[int, int], meaning: str) -> list[CheckResult]:
    answer = _ask(argv)
    # a client without the plugin prints its own help, or takes the plugin's option for one of its own
    version = _version(answer.text.rpartition("buildx")[2]) if answer.code == 0 else ""
    mend = f"install docker-{name.lower()}-plugin (in a clone of Slipway, make up does)"
    if not version:
        reason = answer.text if answer.code is None else "is not installed"
        what = f"docker {reason}" if answer.code is None else f"Docker's plugin {name} {reason}"
        return wrongs("machine", Problem(what, meaning, mend)) if answer.code is not None else []
    if _numbers(version) < oldest:
        what = f"{name} {version} is older than {'.'.join(map(str, oldest))}"
        return wrongs("machine", Problem(what, "it lacks what a deployment uses", mend))
    return [good("machine", f"{name} {version}")]


def git() -> list[CheckResult]:
    """Git, which names the commit that a release was made of."""
    answer = _ask(["git", "--version"])
    if answer.code == 0:
        return [good("machine", f"git {_version(answer.text)}")]
    problem = Problem(
        f"git {answer.text}", "releases do not name their commit, and images have no tag of it", "apt-get install git"
    )
    return warnings("machine", problem)


MACHINE_CHECKS: tuple[Callable[[], list[CheckResult]], ...] = (python, uv, pulumi, docker, compose, buildx, git)
"""Independent of each other, in the order in which they are shown."""
