"""The agent, packed for shipping. Same sources, same bytes: entries are sorted and carry one fixed time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AgentPackage", "pack_agent"]

# Beside the archive, whose digest the driver checks, is the same unpacked and compiled: it starts in half the time.
# What a crash tore, or somebody edited in passing, does not run. Against intent it guards nothing: who may write here
# can write the seal, too.
_MAIN = """\
import os
import sys

if os.environ.get("PYTHONPATH") and not sys.flags.ignore_environment:  # an application's `json.py` is not ours
    os.execv(sys.executable, [sys.executable, "-E"] + sys.argv)

import hashlib


def seal(tree):
    found = hashlib.sha256(sys.implementation.cache_tag.encode())
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for path in sorted(os.path.join(folder, name) for name in folders + names):
            found.update(os.fsencode(path[len(tree):]) + b"\\0")
            if not os.path.isdir(path):
                with open(path, "rb") as file:
                    found.update(hashlib.sha256(file.read()).digest())
    return found.hexdigest()


def whole(tree):
    try:
        with open(tree + ".seal") as file:
            return file.read() == seal(tree)
    except (OSError, ValueError):
        return False


def sources(archive):
    import zipfile

    parts = zipfile.ZipFile(archive).read("sources").decode().split("\\0")
    return dict(zip(parts[::2], parts[1::2]))


class Sources:  # where nothing is installed, they run from memory
    def __init__(self, archive):
        self.archive, self.files = archive, sources(archive)

    def find_spec(self, name, path=None, target=None):
        from importlib.machinery import ModuleSpec

        for end in (".py", "/__init__.py"):
            file = name.replace(".", "/") + end
            if file in self.files:
                found = ModuleSpec(name, self, origin=os.path.join(self.archive, file), is_package=end != ".py")
                found.has_location, found.loader_state = True, file
                return found

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        spec = module.__spec__
        exec(compile(self.files[spec.loader_state], spec.origin, "exec"), module.__dict__)


def install(archive):
    tree = archive + ".d"
    if whole(tree):
        return
    import compileall
    import shutil

    partial = "%s.%d" % (tree, os.getpid())
    try:
        for name, source in sources(archive).items():
            path = os.path.join(partial, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(source.encode())
        compileall.compile_dir(partial, quiet=2)
        with open(partial + ".seal", "w") as file:
            file.write(seal(partial))
        if not whole(tree):  # another one may have been quicker
            if os.path.isdir(tree):
                os.rename(tree, partial + ".old")
            os.rename(partial, tree)
            os.rename(partial + ".seal", tree + ".seal")
    except OSError:
        if not whole(tree):
            raise
    finally:
        for rest in (partial, partial + ".old"):
            shutil.rmtree(rest, True)
        if os.path.exists(partial + ".seal"):
            os.unlink(partial + ".seal")


if __name__ == "__main__":
    archive = os.path.realpath(sys.path[0])
    if globals().get("installed") or whole(archive + ".d"):
        sys.path[0] = archive + ".d"
    else:
        sys.meta_path.insert(0, Sources(archive))

    from slipway.agent.__main__ import main

    raise SystemExit(main())
"""
_PARTS = ("slipway/__init__.py", *(f"slipway/{room}/**/*.py" for room in ("agent", "contract", "notify")))
_SEAL = 32  # bytes of SHA-256
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can carry
_DOCSTRING = re.compile(r'^( *)"""(?:[^"\\]|\\.|"(?!""))*"""$', re.MULTILINE | re.DOTALL)

# On a line of its own, or behind code when it has no quote; a test holds that no string has one.
_COMMENT = re.compile(r"^ *# .*$|  # [^\"'\n]*$", re.MULTILINE)
# Imports for type checkers alone, which no host runs.
_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?: {4}.*\n|\n)+", re.MULTILINE)
# Said for linters: nothing of the agent imports with a star.
_EXPORTS = re.compile(r"^__all__ = \[[^\]]*\](?=\n)", re.MULTILINE)
# The types of functions, for checkers, too; those of a class's fields make a NamedTuple. Brackets in them are nested
# three deep at most.
_HEAD = re.compile(
    r"^( *def \w+\()(.*?)(\))(?: -> [^\n]*?)?(?=:(?: \.\.\.)?(?:  # [^\n]*)?$)", re.MULTILINE | re.DOTALL
)
_INNER = r"[^\[\]]*"
_NESTED = rf"\[{_INNER}(?:\[{_INNER}(?:\[{_INNER}(?:\[{_INNER}\]{_INNER})*\]{_INNER})*\]{_INNER})*\]"
_TYPE = re.compile(rf"(?<=\w)(?<!lambda _): (?:[^,=\[\]()\n]|{_NESTED})+?(?= = |,|\n|$)")


class AgentPackage(NamedTuple):
    """The packed agent: its bytes, and their SHA-256 in hex."""

    content: bytes
    digest: str

    @property
    def version(self) -> str:
        """As a probe names it."""
        return self.digest[:12]


@functools.cache
def pack_agent() -> AgentPackage:
    """Pack the agent and the contract from the sources of this package.

    It takes longer than all else that a host is reached for, so it is kept, where and as Python keeps bytecode.
    """
    root = Path(__file__).resolve().parents[2]
    sources = sorted(path for part in _PARTS for path in root.glob(part))
    states = [(str(each), *_state(each.stat())) for each in (*sources, Path(__file__))]
    kept = Path(importlib.util.cache_from_source(__file__)).with_name("agent.pyz")
    with contextlib.suppress(OSError):
        content = kept.read_bytes()
        package = _package(content[_SEAL:])
        if content[:_SEAL] == _sealed(states, package):
            return package
    package = _package(_packed(root, sources))
    if not sys.dont_write_bytecode:
        partial = kept.with_name(f"{kept.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a package that is installed for all users
            partial.write_bytes(_sealed(states, package) + package.content)
            partial.replace(kept)
    return package


def _state(of: os.stat_result) -> tuple[int, int, int]:
    return of.st_size, of.st_mtime_ns, of.st_ctime_ns


def _package(packed: bytes) -> AgentPackage:
    return AgentPackage(packed, hashlib.sha256(packed).hexdigest())


def _sealed(states: object, package: AgentPackage) -> bytes:
    return hashlib.sha256(f"{states}{package.digest}".encode()).digest()


def _packed(root: Path, paths: Sequence[Path]) -> bytes:
    files = {path.relative_to(root).as_posix(): _lean(path.read_text(encoding="utf-8")) for path in paths}
    # In one piece, since what modules have in common then takes its place once: a quarter less.
    sources = "\0".join(part for each in sorted(files.items()) for part in each)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"__main__.py": _MAIN, "sources": sources}.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix, on every machine
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def _lean(source: str) -> str:
    """The same program on the same lines, without what only its readers need."""
    source = _COMMENT.sub("", _DOCSTRING.sub(_blank, source))
    for block in (_TYPES, _EXPORTS):
        source = block.sub(_lines, source)
    return _HEAD.sub(lambda found: found[1] + _TYPE.sub(_lines, found[2]) + found[3], source)


def _lines(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def _blank(docstring: re.Match[str]) -> str:
    """Nothing, on as many lines: a traceback from a host points into the sources."""
    return docstring[1] + '""' + "\n" * docstring[0].count("\n")
