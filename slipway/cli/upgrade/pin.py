"""Where a project's pyproject.toml pins the package."""

from __future__ import annotations

import re
from typing import NamedTuple

from slipway.contract.problems import Problem, SlipwayError
from slipway.package import DISTRIBUTION

__all__ = ["Pin", "read_pin"]

_FROM_INDEX = re.compile(rf"(?m)^[^#\n]*[\"']{DISTRIBUTION}\s*(?P<pin>==\s*(?P<version>[^\"',;\s]+))")
_FROM_GIT = (
    re.compile(rf"(?m)^[^#\n]*[\"']{DISTRIBUTION}\s*@\s*git\+[^\"'#\n]*@v?(?P<version>\d[^\"'@/#\s]*)"),
    re.compile(rf"(?m)^{DISTRIBUTION}\s*=\s*{{[^}}\n]*tag\s*=\s*[\"']v?(?P<version>[^\"']+)"),
)


class Pin(NamedTuple):
    """The version in a pyproject.toml."""

    text: str
    """All of the file."""
    found: re.Match[str]

    @property
    def version(self) -> str:
        """The version that is pinned."""
        return self.found["version"]

    @property
    def from_git(self) -> bool:
        """Whether a Git tag is pinned, and not a version of a package index."""
        return self.found.re in _FROM_GIT

    def at(self, version: str) -> str:
        """The file with another version pinned."""
        return f"{self.text[: self.found.start('version')]}{version}{self.text[self.found.end('version') :]}"

    def at_least(self) -> str:
        """The file with this version or any newer one of the package index allowed."""
        return f"{self.text[: self.found.start('pin')]}>={self.version}{self.text[self.found.end('pin') :]}"


def read_pin(text: str) -> Pin:
    """The pin in a pyproject.toml's text; raises SlipwayError when there is none."""
    for pattern in (_FROM_INDEX, *_FROM_GIT):
        if found := pattern.search(text):
            return Pin(text, found)
    raise SlipwayError(
        Problem(
            f"pyproject.toml pins no version of {DISTRIBUTION}",
            "it is not known what to change",
            f'write "{DISTRIBUTION}==VERSION" into its dependencies, then run uv sync',
        )
    )
