"""`pulumi new` from the template, then `slipway init`: from nothing to a preview that would deploy, and an upgrade."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from applications import shop
from built_wheel import ROOT, build_wheel, uv
from stack_harness import UP_SECONDS

if TYPE_CHECKING:
    from applications import Application
    from built_wheel import Installed
    from stack_harness import Engine

NAME = "shop-deploy"
NEWER = "999.0.1"
# What the Python host of version 3.79, which machines without downloads have, makes of a project without asking.
_OLD_HOST = {"bin", "include", "lib", "lib64", "pyvenv.cfg", "share"}
OWN_RESOURCE = """
    from pulumi_command import local

    local.Command("of-the-team", create="true", triggers=[outputs["release"]])
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine with an engine whose state is a folder, and the package installed as users have it."""

    folder: Path
    environment: dict[str, str]
    installed: Installed

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

    def new(self, *options: str) -> str:
        """Make the project; its environment is the one with the package."""
        argv = ("pulumi", "new", str(ROOT / "template"), "--yes", "--offline", "--name", NAME)
        said = self.good(*argv, "--dir", str(self.project), *options)
        if not (self.project / ".venv").exists():
            (self.project / ".venv").symlink_to(self.installed.folder)
        return said

    def slipway(self, *argv: str) -> str:
        """The new project's own command, in its folder."""
        return self.good(str(self.project / ".venv" / "bin" / "slipway"), *argv, at=self.project)


@pytest.fixture
def machine(engine: Engine, wheel: Path, installed: Installed, tmp_path: Path) -> Machine:
    (tmp_path / "state").mkdir()
    environment = {
        **engine.environment,
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "SLIPWAY_HOME": str(tmp_path / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "UV_FIND_LINKS": str(wheel.parent),  # a host that knows uv makes the environment itself
    }
    environment.pop("PYTHONPATH", None)
    # The host of 3.79 runs the Python that is first on PATH, whatever environment Pulumi.yaml names.
    environment["PATH"] = f"{installed.folder / 'bin'}:{environment['PATH']}"
    return Machine(folder=tmp_path, environment=environment, installed=installed)


@pytest.fixture
def application(machine: Machine) -> Application:
    (machine.folder / "shop").mkdir()
    return shop(machine.folder / "shop")


def files(folder: Path) -> set[str]:
    found: set[str] = set()
    for top, folders, names in os.walk(folder):
        inside = Path(top).relative_to(folder)
        folders[:] = [name for name in folders if not (inside == Path() and name in {*_OLD_HOST, ".venv"})]
        found |= {str(inside / name) for name in names if not (inside == Path() and name in {*_OLD_HOST, ".venv"})}
    return found


def test_a_new_project_has_few_files_a_name_of_its_own_and_nothing_left_to_replace(machine: Machine) -> None:
    said = machine.new("--generate-only")
    assert "slipway init" in said  # the quick start
    names = files(machine.project)
    assert names == files(ROOT / "template")
    assert len(names) <= 12
    texts = {name: (machine.project / name).read_text() for name in names}
    assert not [name for name, text in texts.items() if "$" + "{" in text]
    project = yaml.safe_load(texts["Pulumi.yaml"])
    assert project["name"] == NAME
    assert "template" not in project


def lists_what_is_missing_and_nothing_else(machine: Machine) -> None:
    """Its first preview."""
    code, text = machine.run("pulumi", "preview", "--stack", "staging", "--non-interactive", at=machine.project)
    assert code != 0
    problems = [line.strip() for line in text.splitlines() if "slipway: error:" in line]
    assert any("hosts: the list is empty" in problem for problem in problems), text
    assert any("application: 'example' is not a folder" in problem for problem in problems), text
    assert all(problem.count(" — ") >= 2 for problem in problems)


SET_TOKEN = ("pulumi", "config", "set", "--secret", "--path", "secrets.TOKEN", "--stack", "staging")


def test_init_makes_the_stack_of_a_project_that_has_none(
    machine: Machine, application: Application, engine: Engine
) -> None:
    machine.new("--generate-only")
    init = ("init", str(application.folder), "--environment", "staging", "--registry", f"{engine.registry}/new-project",
            "--host", "local", "--variable", "PORT=18099")  # fmt: skip
    said = machine.slipway(*init)
    assert "pulumi config set --secret --path 'secrets.TOKEN' --stack staging" in said
    assert "Then: pulumi preview --stack staging" in said
    machine.good(*SET_TOKEN, at=machine.project, stdin="a-token-of-the-tests")
    assert "nothing was changed" in machine.slipway(*init)


def test_its_first_preview_lists_what_is_missing_and_init_makes_it_one_that_previews_with_resources_of_the_team(
    machine: Machine, application: Application, engine: Engine
) -> None:
    assert "Your new project is ready to go!" in machine.new("--stack", "staging")
    lists_what_is_missing_and_nothing_else(machine)
    machine.slipway("init", str(application.folder), "--environment", "staging", "--host", "local",
                    "--registry", f"{engine.registry}/new-project", "--variable", "PORT=18099")  # fmt: skip

    (machine.project / "my.env").write_text("TOKEN=a-token-of-the-tests\nLEVEL=+5 \n")
    said = machine.slipway("secrets", "import", "my.env", "--stack", "staging", "--yes")
    assert "a-token-of-the-tests" not in said
    shown = ("pulumi", "config", "--show-secrets", "--json", "--stack", "staging")
    stated = json.loads(machine.good(*shown, at=machine.project))
    secrets, variables = (stated[f"{NAME}:{key}"] for key in ("secrets", "variables"))
    assert (secrets["secret"], secrets["objectValue"]) == (True, {"TOKEN": "a-token-of-the-tests"})
    assert (variables["secret"], variables["objectValue"]["LEVEL"]) == (False, "+5")
    assert "secure:" in (machine.project / "Pulumi.staging.yaml").read_text()
    again = machine.slipway("init", str(application.folder), "--environment", "staging", "--yes")
    assert "secrets.TOKEN" not in again
    assert "Next: pulumi preview --stack staging" in again

    with (machine.project / "__main__.py").open("a") as program:
        program.write(OWN_RESOURCE)
    mirror = {"SLIPWAY_MIRROR": engine.mirror} if engine.mirror else {}
    preview = ("pulumi", "preview", "--stack", "staging", "--non-interactive")
    text = machine.good(*preview, at=machine.project, **mirror)
    assert "slipway:deployment:ComposeDeployment" in text
    assert "of-the-team" in text
    assert "a-token-of-the-tests" not in text
    assert "stack staging: nothing is wrong" in machine.slipway("doctor", "--stack", "staging")


def test_a_project_that_exists_is_not_overwritten_unasked(machine: Machine) -> None:
    machine.new("--generate-only")
    (machine.project / "Pulumi.staging.yaml").write_text("config: {}\n")
    argv = ("pulumi", "new", str(ROOT / "template"), "--yes", "--offline", "--generate-only", "--name", NAME)
    code, text = machine.run(*argv, "--dir", str(machine.project))
    assert code != 0
    assert "is not empty" in text
    assert (machine.project / "Pulumi.staging.yaml").read_text() == "config: {}\n"


def test_an_upgrade_installs_the_newer_version_and_shows_its_changelog(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, index, project = tmp_path / "source", tmp_path / "index", tmp_path / "deploy"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", ".slipway", ".*_cache", "tests"))
    definition = source / "pyproject.toml"
    definition.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{NEWER}"', definition.read_text(), count=1))
    with (source / "CHANGELOG.md").open("a") as changelog:
        changelog.write(f"\n## [{NEWER}]\n\n- Everything is better.\n")
    build_wheel(index, source)
    shutil.copy(wheel, index)
    shutil.copytree(ROOT / "template", project)
    (project / "Pulumi.yaml").write_text(f"name: {NAME}\nruntime: python\n")
    before = (project / "pyproject.toml").read_text()
    monkeypatch.setenv("UV_FIND_LINKS", str(index))

    uv("sync", at=project)
    lock = (project / "uv.lock").read_text()
    with pytest.raises(AssertionError, match="uv sync failed"):
        uv("run", "slipway", "upgrade", "998.0", at=project)
    assert (project / "pyproject.toml").read_text() == before
    assert (project / "uv.lock").read_text() == lock

    said = uv("run", "slipway", "upgrade", at=project)
    assert "- Everything is better." in said
    assert "Next: pulumi preview" in said
    assert f'"slipway-deploy=={NEWER}"' in (project / "pyproject.toml").read_text()
    assert uv("run", "--no-sync", "slipway", "--version", at=project).strip() == f"slipway {NEWER}"
    assert "nothing was changed" in uv("run", "slipway", "upgrade", at=project)
