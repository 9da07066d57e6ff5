"""`pulumi new` from this repository, then `slipway init`: from nothing to a preview that would deploy."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from applications import shop
from stack_harness import ROOT, UP_SECONDS

if TYPE_CHECKING:
    from applications import Application
    from stack_harness import Engine

NAME = "shop-deploy"
# What a clone does not have: the caches, environments and secrets of whoever runs the tests.
_NOT_CLONED = (".git", ".venv", ".slipway", "__pycache__", ".*_cache", "node_modules", "results", ".hypothesis")
# What the Python host of version 3.79 makes of a project without asking (see docs/guide/start.md).
_OLD_HOST = {"bin", "include", "lib", "lib64", "pyvenv.cfg", "share"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine with an engine whose state is a folder, and a clone of this repository."""

    folder: Path
    environment: dict[str, str]

    @property
    def template(self) -> Path:
        """The clone."""
        return self.folder / "slipway"

    @property
    def project(self) -> Path:
        """Where the new project goes."""
        return self.folder / "deploy"

    def run(self, *argv: str, at: Path | None = None, stdin: str = "", **environment: str) -> tuple[int, str]:
        """Run a program; its exit code and all that it printed."""
        done = subprocess.run(
            argv,
            cwd=at or self.folder,
            env={**self.environment, **environment},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stdout, done.stdout
        return done.returncode, done.stdout

    def good(self, *argv: str, at: Path | None = None, stdin: str = "", **environment: str) -> str:
        """As `run`, for what must not fail."""
        code, text = self.run(*argv, at=at, stdin=stdin, **environment)
        assert code == 0, f"{' '.join(argv)} exited {code}:\n{text}"
        return text

    def slipway(self, *argv: str) -> str:
        """The new project's own command, in its folder."""
        program = f"import sys; sys.argv = ['slipway', *{list(argv)!r}]; from slipway.cli.main import main; main()"
        return self.good(sys.executable, "-c", program, at=self.project)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as a clone has it, with a .git as well."""
    folder = tmp_path_factory.mktemp("clone") / "slipway"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_CLONED), symlinks=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


@pytest.fixture
def machine(engine: Engine, clone: Path, tmp_path: Path) -> Machine:
    (tmp_path / "state").mkdir()
    (tmp_path / "slipway").symlink_to(clone)
    environment = {
        **engine.environment,
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "SLIPWAY_HOME": str(tmp_path / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Machine(folder=tmp_path, environment=environment)


@pytest.fixture
def application(machine: Machine) -> Application:
    (machine.folder / "shop").mkdir()
    return shop(machine.folder / "shop")


def new(machine: Machine, *options: str) -> str:
    template = str(machine.template.resolve())
    return machine.good(
        "pulumi", "new", template, "--yes", "--offline", "--name", NAME, "--dir", str(machine.project), *options
    )


def files(folder: Path) -> dict[str, bytes]:
    found = {}
    for top, folders, names in os.walk(folder):
        inside = Path(top).relative_to(folder)
        folders[:] = [name for name in folders if not (inside == Path() and name in {*_OLD_HOST, ".venv", ".git"})]
        found |= {
            str(inside / name): (Path(top) / name).read_bytes()
            for name in names
            if not (inside == Path() and name in _OLD_HOST)
        }
    return found


def test_a_new_project_is_the_clone_with_a_name_of_its_own(machine: Machine) -> None:
    said = new(machine, "--generate-only")
    assert "slipway init" in said  # the quick start
    before, after = files(machine.template.resolve()), files(machine.project)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"Pulumi.yaml"}
    assert not (machine.project / ".git").exists()
    ours, theirs = (yaml.safe_load(content["Pulumi.yaml"]) for content in (before, after))
    assert theirs["name"] == NAME
    assert "template" not in theirs
    assert {key: entry for key, entry in theirs["config"].items() if ":" not in key} == ours["config"]


def test_its_first_preview_lists_what_is_missing_and_nothing_else(machine: Machine) -> None:
    said = new(machine, "--stack", "staging")
    assert "Your new project is ready to go!" in said
    code, text = machine.run("pulumi", "preview", "--stack", "staging", "--non-interactive", at=machine.project)
    assert code != 0
    problems = [line.strip() for line in text.splitlines() if "slipway: error:" in line]
    assert any("hosts: the list is empty" in problem for problem in problems)
    assert any("registry: not set" in problem for problem in problems)
    assert all(problem.count(" — ") >= 2 for problem in problems)


@pytest.mark.parametrize("options", [("--generate-only",), ("--stack", "staging")], ids=["generate-only", "stack"])
def test_init_makes_it_one_that_previews(
    options: tuple[str, ...], machine: Machine, application: Application, engine: Engine
) -> None:
    new(machine, *options)
    init = (
        "init", str(application.folder), "--environment", "staging", "--registry", f"{engine.registry}/new-project",
        "--host", "local", "--variable", "PORT=18099",
    )  # fmt: skip
    said = machine.slipway(*init)
    command = "pulumi config set --secret --path 'secrets.TOKEN' --stack staging"
    assert command in said
    assert "Then: pulumi preview --stack staging" in said
    assert "nothing was changed" in machine.slipway(*init)

    machine.good(
        *("pulumi", "config", "set", "--secret", "--path", "secrets.TOKEN", "--stack", "staging"),
        at=machine.project,
        stdin="a-token-of-the-tests",
    )
    again = machine.slipway("init", str(application.folder), "--environment", "staging", "--yes")
    assert "secrets.TOKEN" not in again
    assert "Next: pulumi preview --stack staging" in again

    mirror = {"SLIPWAY_MIRROR": engine.mirror} if engine.mirror else {}
    preview = ("pulumi", "preview", "--stack", "staging", "--non-interactive")
    text = machine.good(*preview, at=machine.project, **mirror)
    assert "slipway:deployment:ComposeDeployment" in text
    assert "a-token-of-the-tests" not in text
    assert "stack staging: nothing is wrong" in machine.slipway("doctor", "--stack", "staging")


def test_a_project_that_exists_is_not_overwritten_unasked(machine: Machine) -> None:
    new(machine, "--generate-only")
    (machine.project / "Pulumi.staging.yaml").write_text("config: {}\n")
    argv = ("pulumi", "new", str(machine.template.resolve()), "--yes", "--offline", "--generate-only", "--name", NAME)
    code, text = machine.run(*argv, "--dir", str(machine.project))
    assert code != 0
    assert "is not empty" in text
    assert (machine.project / "Pulumi.staging.yaml").read_text() == "config: {}\n"


def test_no_file_holds_what_pulumi_new_would_replace(clone: Path) -> None:
    placeholders = ("$" + "{PROJECT}", "$" + "{DESCRIPTION}")
    holding = [name for name, content in files(clone).items() if any(each.encode() in content for each in placeholders)]
    assert holding == []
