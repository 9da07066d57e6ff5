"""The wheel: what users install, complete and without what is never shipped."""

from __future__ import annotations

import tomllib
import zipfile
from typing import TYPE_CHECKING

from built_wheel import ROOT, Installed

from slipway.cli.init.workflows import WORKFLOWS
from slipway.hosts.agent_package import pack_agent

if TYPE_CHECKING:
    from pathlib import Path

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SHIPPED = ("CHANGELOG.md", *(f".github/workflows/{name}" for name in WORKFLOWS))


def test_the_wheel_holds_the_package_with_its_components_and_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    expected = {f"slipway/shipped/{name}": (ROOT / name).read_bytes() for name in SHIPPED}
    for room, prefix in (("slipway", ""), ("components", "slipway/")):
        for file in (ROOT / room).rglob("*"):
            inside = file.relative_to(ROOT)
            if file.is_file() and not any(part == "__pycache__" or part[0] == "." for part in inside.parts):
                expected[prefix + inside.as_posix()] = file.read_bytes()
    assert content.keys() == expected.keys()
    assert content == expected


def test_the_installed_command_and_components_work_without_the_source_tree(installed: Installed) -> None:
    assert "Usage: slipway" in installed.run("slipway", "--help")
    assert installed.run("slipway", "--version") == f"slipway {VERSION}"
    program = "import slipway.components.deployment as module; print(module.__file__)"
    assert installed.run("python", "-c", program).startswith(str(installed.folder))


def test_the_installed_package_packs_the_same_agent(installed: Installed) -> None:
    program = "from slipway.hosts.agent_package import pack_agent; print(pack_agent().digest)"
    assert installed.run("python", "-c", program) == pack_agent().digest
