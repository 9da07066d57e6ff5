"""Hetzner's own description of its Cloud API (OpenAPI), for tests that must not trust their own idea of Hetzner.

Owns: finding it. Does not own: what is held against it. Produces: the description, as JSON has it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dev.toolchain.cache import cached
from dev.toolchain.download import fetch_unchecked

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["description"]

_BESIDE: Final = Path(__file__).resolve().parents[3] / "shared/hetzner/openapi.json"
_ADDRESS: Final = "https://docs.hetzner.cloud/cloud.spec.json"
_FILE: Final = "openapi.json"


def description() -> Mapping[str, Any]:
    """The description beside the repository (`../shared/hetzner`), else the official one, downloaded once.

    Raises:
        DownloadBlockedError: it is neither there nor can it be downloaded.
    """
    if _BESIDE.is_file():
        return _read(_BESIDE)
    return _read(cached("hetzner-api", _ADDRESS, _download, holds=[_FILE]) / _FILE)


def _download(folder: Path) -> None:
    (folder / _FILE).write_bytes(fetch_unchecked(_ADDRESS))


def _read(file: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(file.read_text())
    return found
