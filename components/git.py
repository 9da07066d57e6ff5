"""Commit and branch of the application, as git tells them.

Owns: two facts. Does not own: what they are used for (release identity, image tags).
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Revision", "read_revision", "tag_of"]


class Revision(NamedTuple):
    """Where the application's source stands."""

    commit: str
    """40 hex digits, with `-dirty` when the application's folder has uncommitted changes; empty outside git."""
    branch: str
    """Empty outside git; on a detached HEAD (a CI checkout) what the CI system says."""


def _git(folder: Path, *argv: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *argv], capture_output=True, text=True, timeout=30, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def read_revision(folder: Path) -> Revision:
    """The revision of the repository that holds `folder`; dirty only when something below `folder` is uncommitted."""
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return Revision("", "")
    if _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", "."):
        commit += "-dirty"
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    # GITHUB_HEAD_REF is set for pull requests only: https://docs.github.com/actions/reference/variables-reference
    return Revision(commit, branch or os.environ.get("GITHUB_HEAD_REF") or os.environ.get("GITHUB_REF_NAME") or "")


def tag_of(text: str) -> str:
    """`text` as an image tag: [A-Za-z0-9_.-], at most 128 characters, not starting with a dot or dash.

    Source of the rule: the OCI distribution specification, "Pulling manifests".
    """
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).lstrip(".-")[:128]
