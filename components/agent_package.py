"""The agent, packed for shipping.

Owns: the bytes of the .pyz and its version. Does not own: the agent itself, or how it reaches a host (see `probe`).
Same sources, same bytes: entries are sorted and carry one fixed time.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import io
import os
import tokenize
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AgentPackage", "pack_agent"]

_MAIN = b"""\
import os
import sys

tree = sys.path[0] + ".d"  # the same, unpacked when it was installed: only there does Python keep bytecode
if os.path.isdir(tree):
    sys.path[0] = tree

from agent.__main__ import main

raise SystemExit(main())
"""
_PARTS = ("agent/**/*.py", "slipway/__init__.py", "slipway/contract/*.py")
_KEPT = 4
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can carry


class AgentPackage(NamedTuple):
    """The packed agent: its bytes, and their SHA-256 in hex."""

    content: bytes
    digest: str


@functools.cache
def pack_agent() -> AgentPackage:
    """Pack the agent from the sources of this copy of Slipway, once: it takes longer than to read them."""
    root = Path(__file__).resolve().parent.parent
    sources = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for part in _PARTS
        for path in root.glob(part)
    }
    key = hashlib.sha256(Path(__file__).read_bytes() + repr(sorted(sources.items())).encode()).hexdigest()
    kept = _kept(key)
    content = kept if kept is not None else _packed(sources)
    digest = hashlib.sha256(content).hexdigest()
    if kept is None:
        _keep(key, digest, content)
    return AgentPackage(content, digest)


def _packed(sources: Mapping[str, str]) -> bytes:
    files = {name: _slim(text) for name, text in sources.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted({**files, "__main__.py": _MAIN}.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix, on every machine
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "slipway" / "agent"


def _kept(key: str) -> bytes | None:
    """What was packed from the same sources before, whole; None when nothing was."""
    with contextlib.suppress(OSError, RuntimeError):  # a user without a home is a RuntimeError
        for path in _folder().glob(f"{key}-*.pyz"):
            content = path.read_bytes()
            if path.stem == f"{key}-{hashlib.sha256(content).hexdigest()}":
                return content
    return None


def _keep(key: str, digest: str, content: bytes) -> None:
    """Keep it for the next run, with the few before it; a folder that cannot be written only costs time."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{os.getpid()}.new"
        partial.write_bytes(content)
        partial.replace(folder / f"{key}-{digest}.pyz")
        for old in sorted(folder.glob("*.pyz"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            old.unlink()


def _slim(text: str) -> bytes:
    """A file as it is shipped: without comments and docstrings.

    Every line keeps its number, so that a traceback from a host points into the sources.
    """
    lines = text.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    for token in [each for each in tokens if each.type == tokenize.COMMENT]:
        row, column = token.start
        lines[row - 1] = lines[row - 1][:column].rstrip()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            first = node.body[0]
            assert first.end_lineno is not None  # noqa: S101  # parsed from text
            # The body of a class or function must not be empty; before `from __future__` nothing else may stand.
            lines[first.lineno - 1] = "" if isinstance(node, ast.Module) else " " * first.col_offset + "0"
            lines[first.lineno : first.end_lineno] = [""] * (first.end_lineno - first.lineno)
    return ("\n".join(lines) + "\n").encode()
