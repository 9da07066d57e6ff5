"""The agent, packed for shipping.

Owns: the bytes of the .pyz and its version. Does not own: the agent itself, or how it reaches a host (see `probe`).
Same sources, same bytes: entries are sorted and carry one fixed time.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import json
import tokenize
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
        f"agent/{path.relative_to(folder).as_posix()}": _slim(path)
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


def _slim(path: Path) -> bytes:
    """A file as it is shipped: JSON without spaces, Python without comments and docstrings, line for line.

    Every line keeps its number, so that a traceback from a host points into the sources.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")).encode()
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
