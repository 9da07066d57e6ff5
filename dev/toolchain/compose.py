"""Builds a Compose as Docker ships it today, beside the older one of Debian that all other tests run.

Owns: how the plugin is built from its Go module; `go/compose/go.mod` says which version. Does not own: what is tried
with it. Produces: a folder for DOCKER_CONFIG, kept in the cache until that file changes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from dev.toolchain import golang
from dev.toolchain.cache import cached
from dev.toolchain.progress import step

__all__ = ["ensure_compose"]

_SOURCE: Final = Path(__file__).parent / "go/compose"
_MODULE: Final = "github.com/docker/compose/v2"
_PROGRAM: Final = "cli-plugins/docker-compose"


def ensure_compose() -> Path:
    """The folder with the plugin, built when it is not there, which takes two to five minutes on 2 cores.

    Raises:
        ToolchainError: a module cannot be fetched, or it does not compile.
    """
    text = "".join((_SOURCE / name).read_text() for name in ("go.mod", "go.sum"))
    [version] = re.findall(rf"^\t{_MODULE} (v\S+)", text, re.MULTILINE)

    def build(folder: Path) -> None:
        (folder / _PROGRAM).parent.mkdir()
        with golang.caches(), step(f"building Compose {version}", "some tests try today's; once per version"):
            define = f"{_MODULE}/internal.Version={version}"
            golang.build(_SOURCE, f"{_MODULE}/cmd", folder / _PROGRAM, define=define)

    return cached("compose", text, build, holds=[_PROGRAM])
