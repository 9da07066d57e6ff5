"""`slipway upgrade` with a uv of the tests: what changes, and that nothing is left half done."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.cli.upgrade.__main__ import Migration, changes_between, migrate_stack_files
from slipway.cli.upgrade.upgrade import read_pin
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PYPROJECT = """\
[project]
dependencies = [
    "slipway-deploy==0.1.0",
    # "slipway-deploy @ git+https://git.example.com/slipway@v0.0.1",
]
"""
LOCK = '[[package]]\nname = "slipway-deploy"\nversion = "{}"\n'
CHANGELOG = "# Changelog\n\n## [0.3.0]\n\n- third\n\n## [0.2.1] - 2026-12-01\n\n- second\n\n## [0.1.0]\n\n- first\n"
# It finds 0.2.0, and fails in the step that the file `fails` names.
UV = """\
#!{python}
import pathlib, subprocess, sys
with open("calls", "a") as calls:
    print(*sys.argv[1:], file=calls)
fails = pathlib.Path("fails")
if sys.argv[1] == "lock":
    pathlib.Path("uv.lock").write_text({lock!r}.format("0.2.0"))
if fails.exists() and sys.argv[1] == fails.read_text():
    fails.unlink()
    sys.exit("error: no such version")
if sys.argv[1] == "sync":
    pathlib.Path("uv.lock").write_text("synced")
if sys.argv[1] == "run":
    sys.exit(subprocess.run([sys.executable, *sys.argv[4:]]).returncode)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that pins 0.1.0; the current folder."""
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: shop-deploy\nruntime: python\n")
    (folder / "Pulumi.staging.yaml").write_text("config:\n  shop-deploy:old: 1 # why\n")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "uv.lock").write_text(LOCK.format("0.1.0"))
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(UV.format(python=sys.executable, lock=LOCK))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.chdir(folder)
    return folder


def files(project: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in project.iterdir() if file.name != "calls"}


def upgrade(*argv: str) -> Result:
    return CliRunner().invoke(app, ["upgrade", *argv])


@pytest.mark.parametrize(("argv", "version"), [((), "0.2.0"), (("0.3.0",), "0.3.0"), (("v0.3.0",), "0.3.0")])
def test_the_pin_is_the_version_named_or_the_newest_one_and_is_installed(
    argv: tuple[str, ...], version: str, project: Path
) -> None:
    result = upgrade(*argv)
    assert result.exit_code == 0, result.exception
    assert files(project)["pyproject.toml"] == PYPROJECT.replace("0.1.0", version)
    assert files(project)["uv.lock"] == "synced"
    assert (project / "calls").read_text().splitlines()[-2:] == [
        "sync",
        "run --no-sync python -m slipway.cli.upgrade 0.1.0",
    ]
    assert result.output.endswith(f"slipway-deploy 0.1.0 → {version}\n\nNext: pulumi preview\n")


@pytest.mark.parametrize("step", ["lock", "sync", "run"])
def test_when_uv_fails_everything_is_as_it_was(step: str, project: Path) -> None:
    before = files(project)
    (project / "fails").write_text(step)
    result = upgrade()
    assert isinstance(result.exception, SlipwayError)
    assert f"uv {step}" in str(result.exception)
    assert "no such version" in str(result.exception)
    after = files(project)
    if step != "lock":
        assert (project / "calls").read_text().endswith("sync\n")  # the environment as well
        assert after.pop("uv.lock") == "synced"  # by the uv here, which writes it whatever it holds
        before.pop("uv.lock")
    assert after == before


def test_the_newest_version_again_changes_nothing(project: Path) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.replace("0.1.0", "0.2.0"))
    before = files(project)
    result = upgrade()
    assert "slipway-deploy 0.2.0 is pinned already: nothing was changed" in result.output
    assert files(project) == before


@pytest.mark.parametrize(
    "line",
    [
        '"slipway-deploy @ git+https://git.example.com/slipway@v{}",',
        '"slipway-deploy @ git+ssh://git@git.example.com/slipway@v{}",',
        'slipway-deploy = {{ git = "https://git.example.com/slipway", tag = "v{}" }}',
    ],
)
def test_a_git_tag_is_a_pin_as_well_and_needs_a_version(line: str, project: Path) -> None:
    (project / "pyproject.toml").write_text(line.format("0.1.0"))
    assert "no version was named" in str(upgrade().exception)
    assert upgrade("0.3.0").exit_code == 0
    assert (project / "pyproject.toml").read_text() == line.format("0.3.0")


@pytest.mark.parametrize("text", ["", '# "slipway-deploy==1"', '"slipway-deploy>=1"', '"slipway==1"'])
def test_a_project_without_a_pin_is_told_how_to_make_one(text: str) -> None:
    with pytest.raises(SlipwayError, match="pins no version of slipway-deploy"):
        read_pin(text)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("0.1.0", "0.2.1", "## [0.2.1] - 2026-12-01\n\n- second"),
        ("0.1.0", "0.3.0", "## [0.3.0]\n\n- third\n\n## [0.2.1] - 2026-12-01\n\n- second"),
        ("0.0.9", "0.1.0", "## [0.1.0]\n\n- first"),
        ("0.3.0", "0.2.1", ""),
    ],
)
def test_the_changelog_between_two_versions_is_that_of_all_newer_ones(before: str, after: str, expected: str) -> None:
    assert changes_between(CHANGELOG, before, after) == expected


def test_a_changelog_without_versions_shows_nothing() -> None:
    assert changes_between("# Changelog\n\n## [Unreleased]\n\n- next\n", "0.1.0", "0.2.0") == ""


def test_stack_files_are_changed_where_pulumi_yaml_says(project: Path) -> None:
    (project / "Pulumi.yaml").write_text("name: shop-deploy\nstackConfigDir: stacks\n")
    (project / "stacks").mkdir()
    (project / "stacks" / "Pulumi.staging.yaml").write_text("old")
    change = Migration("0.2.0", "old is new", lambda text, _: text.replace("old", "new"))
    assert migrate_stack_files(project, "0.1.0", [change]) == {"Pulumi.staging.yaml": ["old is new"]}
    assert (project / "stacks" / "Pulumi.staging.yaml").read_text() == "new"


def test_stack_files_get_what_the_versions_since_then_need_and_keep_their_comments(project: Path) -> None:
    renamed = Migration("0.2.0", "old is new", lambda text, name: text.replace(f"{name}:old:", f"{name}:new:"))
    doubled = Migration("0.10.0", "1 is 2", lambda text, _: text.replace(" 1 ", " 2 "))
    (project / "Pulumi.production.yaml").write_text("config: {}\n")
    assert migrate_stack_files(project, "0.1.0", [renamed, doubled]) == {
        "Pulumi.staging.yaml": ["old is new", "1 is 2"]
    }
    assert files(project)["Pulumi.staging.yaml"] == "config:\n  shop-deploy:new: 2 # why\n"
    assert files(project)["Pulumi.production.yaml"] == "config: {}\n"
    assert migrate_stack_files(project, "0.10.0", [renamed, doubled]) == {}
