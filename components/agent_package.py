"""The agent, packed for shipping.

Owns: the bytes of the .pyz and its version. Does not own: the agent itself, or how it reaches a host (see `probe`).
Same sources, same bytes: entries are sorted and carry one fixed time.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["AgentPackage", "pack_agent"]

_MAIN = b"from agent.__main__ import main\n\nraise SystemExit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can carry


class AgentPackage(NamedTuple):
    """The packed agent: its bytes, and their SHA-256 in hex."""

    content: bytes
    digest: str


@functools.cache
def pack_agent() -> AgentPackage:
    """Pack the agent's sources and schemas from this copy of Slipway."""
    folder = Path(__file__).resolve().parent.parent / "agent"
    files = {
        f"agent/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".py", ".json")
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted({**files, "__main__.py": _MAIN}.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix, on every machine
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    content = buffer.getvalue()
    return AgentPackage(content, hashlib.sha256(content).hexdigest())
