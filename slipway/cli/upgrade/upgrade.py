"""The order of an upgrade: pin, environment, then the new version's own part; all of it or nothing."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, NamedTuple

import typer

from slipway.contract.problems import SlipwayError
from slipway.package import DISTRIBUTION

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Pin", "read_pin", "upgrade_project"]

_FROM_INDEX = re.compile(rf"(?m)^[^#\n]*[\"']{DISTRIBUTION}\s*(?P<pin>==\s*(?P<version>[^\"',;\s]+))")
_FROM_GIT = (
    re.compile(rf"(?m)^[^#\n]*[\"']{DISTRIBUTION}\s*@\s*git\+[^\"'#\n]*@v?(?P<version>\d[^\"'@/#\s]*)"),
    re.compile(rf"(?m)^{DISTRIBUTION}\s*=\s*{{[^}}\n]*tag\s*=\s*[\"']v?(?P<version>[^\"']+)"),
)


class Pin(NamedTuple):
    """Where a project's pyproject.toml pins the package."""

    text: str  # all of the file
    found: re.Match[str]

    @property
    def version(self) -> str:
        """The version that is pinned."""
        return self.found["version"]

    def replaced(self, group: str, text: str) -> str:
        """The file with another `version`, or another `pin`: what of the package index is allowed."""
        return f"{self.text[: self.found.start(group)]}{text}{self.text[self.found.end(group) :]}"


def read_pin(text: str) -> Pin:
    """The pin in a pyproject.toml's text; raises SlipwayError when there is none."""
    for pattern in (_FROM_INDEX, *_FROM_GIT):
        if found := pattern.search(text):
            return Pin(text, found)
    what = f"pyproject.toml pins no version of {DISTRIBUTION}"
    fix = f'write "{DISTRIBUTION}==VERSION" into its dependencies, then run uv sync'
    raise SlipwayError(what, "it is not known what to change", fix)


def upgrade_project(root: Path, version: str) -> None:
    """Upgrade the project in `root` to `version`, to the newest one that its package index has when empty.

    Raises:
        SlipwayError: when there is no pin, or uv or the new version fails; everything is then as it was.
    """
    project, lock = root / "pyproject.toml", root / "uv.lock"
    before = {file: file.read_bytes() if file.is_file() else None for file in (project, lock)}
    pin = read_pin((before[project] or b"").decode())
    synced = False
    try:
        version = version.removeprefix("v") or _newest(root, pin)
        if version != pin.version:
            project.write_text(pin.replaced("version", version), encoding="utf-8")
            synced = True  # perhaps in part
            _uv(root, "sync")
            said = _uv(root, "run", "--no-sync", "python", "-m", "slipway.cli.upgrade", pin.version)
    except BaseException:
        _restore(before)
        if synced:
            with contextlib.suppress(SlipwayError):
                _uv(root, "sync")
        raise
    if version == pin.version:
        _restore(before)
        typer.echo(f"{DISTRIBUTION} {version} is pinned already: nothing was changed")
        return
    typer.echo(f"{said}{DISTRIBUTION} {pin.version} → {version}\n\nNext: pulumi preview")


def _restore(files: dict[Path, bytes | None]) -> None:
    for file, content in files.items():
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(content)


def _newest(root: Path, pin: Pin) -> str:
    """The newest version that uv finds for this project."""
    if pin.found.re in _FROM_GIT:
        what = "pyproject.toml pins a Git tag, and no version was named"
        meaning = "a Git repository does not say which tag is the newest release"
        raise SlipwayError(what, meaning, "slipway upgrade VERSION")
    (root / "pyproject.toml").write_text(pin.replaced("pin", f">={pin.version}"), encoding="utf-8")
    _uv(root, "lock", "--upgrade-package", DISTRIBUTION)
    packages = tomllib.loads((root / "uv.lock").read_text(encoding="utf-8"))["package"]
    return next(str(package["version"]) for package in packages if package["name"] == DISTRIBUTION)


def _uv(root: Path, *arguments: str) -> str:
    """Run uv in the project; what it printed."""
    program = os.environ.get("UV", "uv")  # `uv run` says where it is itself
    try:
        done = subprocess.run(
            [program, *arguments], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        fix = "install uv: https://docs.astral.sh/uv/"
        raise SlipwayError(f"uv cannot be run ({error.strerror})", "nothing was changed", fix) from None
    if done.returncode == 0:
        return done.stdout
    what = f"uv {' '.join(arguments)} failed ({' '.join(done.stderr.split()) or f'exit code {done.returncode}'})"
    meaning = "pyproject.toml, uv.lock and stack files are as they were"
    raise SlipwayError(what, meaning, "correct what uv reports")
