"""What BuildKit sees of a build's folders, where pulumi-docker-build's own hash of them misses something.

Version 0.0.22 (provider/internal/context.go, hashBuildContext) hashes what a link leads to and not where it leads, no
folder's existence or mode, named contexts by the main one's ignore file, and with an inline Dockerfile by the ignore
file beside Pulumi.yaml. At a link that leads nowhere it leaves out the rest of that folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.compose.builds import Build

__all__ = ["context_hash"]

_IGNORE_FILE = ".dockerignore"
_USUAL_FOLDER = 0o755  # what a checkout makes; a build of such folders alone needs no hash of ours


def context_hash(build: Build) -> str:
    """Changes whenever what BuildKit would see of the build's folders does; empty where the plugin sees all of it."""
    context = Path(build.context)
    ignored = _Ignored.of_build(build)
    inline_differs = bool(build.dockerfile_inline) and bool(_Ignored.read(Path(_IGNORE_FILE)).rules)
    entries = [("", entry) for entry in _seen(context, ignored)]
    missed = inline_differs or any(entry.unusual for _, entry in entries)
    for name, folder in sorted(build.additional_contexts.items()):
        if Path(folder).is_dir():
            missed = missed or bool(ignored.rules)
            named = [*_seen(Path(folder), _Ignored.read(Path(folder) / _IGNORE_FILE))]
            missed = missed or any(entry.unusual for entry in named)
            entries += [(name, entry) for entry in named]
    if not missed:
        return ""
    whole = hashlib.sha256()
    for name, entry in entries:
        parts = (name, entry.path, f"{entry.mode:o}", entry.content())
        for part in map(os.fsencode, parts):
            whole.update(b"%d:%s" % (len(part), part))
    return whole.hexdigest()


class _Entry(NamedTuple):
    """A file, link or folder of a context."""

    file: str
    path: str
    """Below the context."""
    mode: int
    empty: bool
    """Whether it is a folder in which a build sees nothing."""

    @property
    def unusual(self) -> bool:
        """Whether it is one of those that the plugin does not hash, or not as they are."""
        if stat.S_ISDIR(self.mode):
            return self.empty or stat.S_IMODE(self.mode) != _USUAL_FOLDER
        return stat.S_ISLNK(self.mode)

    def content(self) -> str:
        """Where a link leads, or the hash of a file's bytes; what cannot be read the builder reports itself."""
        try:
            if stat.S_ISLNK(self.mode):
                return os.readlink(self.file)  # noqa: PTH115  # the text itself, however odd
            if stat.S_ISREG(self.mode):
                with open(self.file, "rb") as file:  # noqa: PTH123  # a context has thousands of them
                    return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            pass
        return ""


class _Ignored:
    """An ignore file's rules, as BuildKit reads them (moby/patternmatcher)."""

    def __init__(self, lines: list[str]) -> None:
        self.rules: list[tuple[bool, re.Pattern[str]]] = []
        """Whether the rule brings back what earlier ones ignore, and what it matches."""
        self._kept: list[str] = []
        for line in lines:
            pattern = "" if line.startswith("#") else line.strip()
            keeps = pattern.startswith("!")
            pattern = pattern.removeprefix("!").strip()
            if not pattern:
                continue
            pattern = os.path.normpath(pattern)
            pattern = pattern.lstrip("/") or pattern
            try:
                self.rules.append((keeps, re.compile(_expression(pattern), re.DOTALL)))
            except re.error:  # the builder refuses the file
                continue
            if keeps:
                self._kept.append(re.split(r"[*?\[\\]", pattern)[0])

    @classmethod
    def read(cls, file: Path) -> _Ignored:
        if not file.is_file():  # a pipe would be waited for
            return cls([])
        try:
            return cls(file.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n"))
        except OSError:
            return cls([])

    @classmethod
    def of_build(cls, build: Build) -> _Ignored:
        """Those of the main context: the Dockerfile's own ignore file comes before the context's."""
        context = Path(build.context)
        own = context / f"{build.dockerfile or 'Dockerfile'}{_IGNORE_FILE}"
        return cls.read(own if own.is_file() and not build.dockerfile_inline else context / _IGNORE_FILE)

    def match(self, path: str, above: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        """Whether `path` is ignored, and which rules match it; `above` are those that match the folder it is in."""
        above = above or (False,) * len(self.rules)
        matched = tuple(up or bool(rule.fullmatch(path)) for up, (_, rule) in zip(above, self.rules, strict=True))
        ignored = False
        for hit, (keeps, _) in zip(matched, self.rules, strict=True):
            ignored = not keeps if hit else ignored
        return ignored, matched

    def may_keep_below(self, folder: str) -> bool:
        """Whether something in an ignored folder may be brought back."""
        return any(kept.startswith(f"{folder}/") or f"{folder}/".startswith(kept) for kept in self._kept)


def _expression(pattern: str) -> str:
    """An ignore file's pattern as a regular expression."""
    if pattern.startswith("**") and not re.search(r"[*?\[\]\\]", pattern[2:]):
        rest = pattern[2:]
        return f".*{re.escape(rest)}" + (f"|{re.escape(rest[1:])}" if rest.startswith("/") else "")
    parts = re.findall(r"\*\*/?|\\.|.", pattern, re.DOTALL)
    text = ""
    for index, part in enumerate(parts):
        if part.startswith("**"):
            again = text.endswith("(.*/)?")  # matches the same, after trying every split
            text += ".*" if index == len(parts) - 1 else "" if again else "(.*/)?"
        elif part in ("*", "?"):
            text += "[^/]*" if part == "*" else "[^/]"
        else:
            text += part if part in ("[", "]", "^", "-") else re.escape(part[-1])
    return text


def _seen(folder: Path, ignored: _Ignored, below: str = "", above: tuple[bool, ...] = ()) -> Iterator[_Entry]:
    """What a build sees of a folder, in a fixed order; not the folder itself."""
    try:
        with os.scandir(folder) as found:
            children = sorted(found, key=lambda child: os.fsencode(child.name))
    except OSError:  # the builder reports it
        return
    for child in children:
        path = f"{below}{child.name}"
        left_out, matched = ignored.match(path, above)
        try:
            is_folder, mode = child.is_dir(follow_symlinks=False), child.stat(follow_symlinks=False).st_mode
        except OSError:  # gone meanwhile, as a temporary file is
            continue
        if left_out and not (is_folder and ignored.may_keep_below(path)):
            continue
        inside = [*_seen(Path(child.path), ignored, f"{path}/", matched)] if is_folder else []
        if not left_out:
            yield _Entry(child.path, path, mode, is_folder and not inside)
        yield from inside
