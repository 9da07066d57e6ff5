"""Builds actionlint, which knows the language of GitHub's workflow files.

Owns: how the program is built from its Go module; `go/actionlint/go.mod` says which version. Does not own: what it
checks. Produces: a program, kept in the cache until that file changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dev.toolchain import golang
from dev.toolchain.cache import cached
from dev.toolchain.progress import step

__all__ = ["ensure_actionlint"]

_SOURCE: Final = Path(__file__).parent / "go/actionlint"
_PACKAGE: Final = "github.com/rhysd/actionlint/cmd/actionlint"
_PROGRAM: Final = "actionlint"


def ensure_actionlint() -> Path:
    """The program, built when it is not there, which takes half a minute.

    Raises:
        ToolchainError: a module cannot be fetched, or it does not compile.
    """

    def build(folder: Path) -> None:
        with golang.caches(), step("building actionlint", "it checks the workflow files; once per version"):
            golang.build(_SOURCE, _PACKAGE, folder / _PROGRAM)

    key = "".join((_SOURCE / name).read_text() for name in ("go.mod", "go.sum"))
    return cached("actionlint", key, build, holds=[_PROGRAM]) / _PROGRAM
