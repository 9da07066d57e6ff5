"""What `pulumi new` gives: few files, and the same flow as this repository's own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from slipway.settings.model import known_keys

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template"


def test_its_program_is_ours_with_the_components_of_the_package() -> None:
    ours = (ROOT / "__main__.py").read_text()
    assert (TEMPLATE / "__main__.py").read_text() == re.sub(r"\bcomponents\.", "slipway.components.", ours)
    assert len(ours.splitlines()) <= 75


def test_it_pins_this_version_of_the_package_and_depends_on_nothing_else() -> None:
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == [f"{own['name']}=={own['version']}"]
    assert project["requires-python"] == own["requires-python"]
    assert (
        f'"{own["name"]} @ git+SLIPWAY-REPOSITORY-URL@v{own["version"]}"' in (TEMPLATE / "pyproject.toml").read_text()
    )


def test_package_lock_template_and_changelog_agree_on_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    pin = (TEMPLATE / "pyproject.toml").read_text()
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [each["version"] for each in locked if each["name"] == "slipway-deploy"] == [version]
    assert f"slipway-deploy=={version}" in pin
    assert headings[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", headings[1])


def test_it_runs_as_this_repository_does_and_needs_no_list_of_settings() -> None:
    ours, project = (yaml.safe_load((folder / "Pulumi.yaml").read_text()) for folder in (ROOT, TEMPLATE))
    assert project["runtime"] == ours["runtime"]
    assert project.keys() == {"name", "description", "runtime", "template"}
    assert "template" not in ours


def test_its_stack_files_hold_settings_alone() -> None:
    for file in TEMPLATE.glob("Pulumi.*.yaml"):
        names = {key.removeprefix("slipway:") for key in yaml.safe_load(file.read_text())["config"]}
        assert names <= set(known_keys())
