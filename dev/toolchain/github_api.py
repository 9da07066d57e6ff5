"""GitHub's own description of its REST API (OpenAPI), for tests that must not trust their own idea of GitHub.

Owns: getting the npm package that GitHub publishes it in, and cutting it to the paths that are used: the whole has
13 MB. Does not own: what is held against it. Produces: a JSON file in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dev.toolchain.cache import cached
from dev.toolchain.download import fetch
from dev.toolchain.process import ToolchainError, run

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["description"]

_VERSION: Final = "23.0.2"
# Two sums of one file: `fetch` takes the first, the second is what the registry publishes as its integrity.
_SHA256: Final = "71a18407dd5e8464f4e0525daf03deabbe65abd9287d6adc7b5d98f516cd0d0c"
_SHA512: Final = (
    "a55f0cecbf46636dc0c9b36f4e6a369f28e6a669edebedac444fedaabd192d07"
    "0f4b8967c3bbb979918d9b044d9010b70fb8195db171e401f32d455105718386"
)
_ARCHIVE: Final = f"octokit-openapi-{_VERSION}.tgz"
_MEMBER: Final = "package/generated/api.github.com.json"
_REGISTRY: Final = "https://registry.npmjs.org"
_SECONDS: Final = 600.0  # 29 MB
_CUT: Final = "github-api.json"


def description(paths: Collection[str]) -> Path:
    """The part of the description that is about `paths` (in its own form, `/repos/{owner}/…`), with what they refer to.

    Raises:
        ToolchainError: it cannot be had on this machine, or has no such path.
    """
    key = f"{_VERSION} {_SHA512} {' '.join(sorted(paths))}"

    def make(folder: Path) -> None:
        with tarfile.open(_archive(folder)) as archive:
            member = archive.extractfile(_MEMBER)
            assert member is not None  # noqa: S101  # the archive is the one whose sum is pinned
            whole = json.load(member)
        (folder / _ARCHIVE).unlink()
        (folder / _CUT).write_text(json.dumps(_cut(whole, paths)))

    return cached("github-api", key, make, holds=[_CUT]) / _CUT


def _archive(folder: Path) -> Path:
    """The package: by npm, which knows its registry, proxy and login, else from the registry that npm is set to."""
    target = folder / _ARCHIVE
    if shutil.which("npm"):
        run(["npm", "pack", "--silent", f"@octokit/openapi@{_VERSION}"], cwd=folder, seconds=_SECONDS)
    else:
        fetch(f"{_registry()}/@octokit/openapi/-/openapi-{_VERSION}.tgz", target, sha256=_SHA256)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").hexdigest()
    if found != _SHA512:
        raise ToolchainError(
            f"@octokit/openapi {_VERSION} has SHA-512 {found}, published is {_SHA512}",
            "the file was changed on its way",
            "find out by whom before trying again",
        )
    return target


def _registry() -> str:
    """The registry that npm is set to on this machine, by its environment or the user's own file."""
    for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        if found := os.environ.get(name):
            return found.rstrip("/")
    file = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc")
    line = re.search(r"^\s*registry\s*=\s*(\S+)", file.read_text(), re.MULTILINE) if file.is_file() else None
    return (line[1] if line else _REGISTRY).rstrip("/")


def _cut(whole: dict[str, Any], paths: Collection[str]) -> dict[str, Any]:
    missing = sorted(set(paths) - set(whole["paths"]))
    if missing:
        raise ToolchainError(
            f"GitHub's API has no {', '.join(missing)}",
            "what is asked for there cannot be checked",
            "look the path up in @octokit/openapi",
        )
    kept: dict[str, Any] = {path: whole["paths"][path] for path in paths}
    components: dict[str, dict[str, Any]] = {}
    waiting = _references(kept)
    while waiting:
        reference = waiting.pop()
        kind, name = reference.removeprefix("#/components/").split("/", 1)
        if name in components.get(kind, {}):
            continue
        part = whole["components"][kind][name]
        components.setdefault(kind, {})[name] = part
        waiting |= _references(part)
    return {**{name: whole[name] for name in ("openapi", "info", "servers")}, "paths": kept, "components": components}


def _references(part: Any) -> set[str]:  # noqa: ANN401  # JSON
    """Every `$ref` in a part of the description."""
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(_references, part.values()))
    return set().union(*map(_references, part)) if isinstance(part, list) else set()
