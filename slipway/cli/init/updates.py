"""A first `dependabot.yml`: one entry for each kind of dependency that the repository's files show."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["OTHERS", "dependabot"]

OTHERS = (
    ".github/dependabot.yaml", ".github/renovate.json", ".github/renovate.json5", "renovate.json", "renovate.json5",
    ".renovaterc", ".renovaterc.json",
)  # fmt: skip
"""Files of a repository that is kept up to date already."""
_KINDS = {
    "docker": ("Dockerfile", "Containerfile", "*.Dockerfile", "Dockerfile.*"),
    "docker-compose": ("compose.y*ml", "docker-compose.y*ml"),
    "npm": ("package.json",),
    "uv": ("uv.lock",),
    "pip": ("poetry.lock", "requirements*.txt", "*-requirements.txt"),
}
_HEAD = """\
# What keeps dependencies up to date. `slipway init --workflows` wrote it once; it is yours from now on. What tags of
# base images stand for comes new with refresh.yml.
"""


def dependabot(repository: Path, folders: Iterable[Path]) -> str:
    """The text of the file, for a repository and those of its folders that may hold something."""
    found = [("github-actions", "/")]
    for folder in folders:
        place = os.path.relpath(folder, repository)
        where = "/" if place == "." else f"/{place}"
        kinds = [kind for kind, names in _KINDS.items() if any(any(folder.glob(name)) for name in names)]
        found += [(kind, where) for kind in kinds if (kind, "uv" in kinds) != ("pip", True)]
    updates = [
        {
            "package-ecosystem": kind,
            "directory": where,
            "schedule": {"interval": "weekly"},
            "cooldown": {"default-days": 7},  # a version that was taken over by somebody is mostly found out by then
        }
        for kind, where in dict.fromkeys(found)
    ]
    return _HEAD + yaml.safe_dump({"version": 2, "updates": updates}, sort_keys=False)
