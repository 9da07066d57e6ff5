"""The package as it is installed: its distribution, its version, and the files that it ships beside the code."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

__all__ = ["DISTRIBUTION", "shipped_file", "version"]

DISTRIBUTION = "slipway-deploy"  # `slipway` belongs to another project on PyPI
_PACKAGE = Path(__file__).resolve().parent


def version() -> str:
    """The version of the installed distribution."""
    return importlib.metadata.version(DISTRIBUTION)


def shipped_file(path: str) -> Path:
    """A file that stands at `path` in the repository: the wheel's copy, or in a source tree the file itself."""
    copy = _PACKAGE / "shipped" / path
    return copy if copy.is_file() else _PACKAGE.parent / path
