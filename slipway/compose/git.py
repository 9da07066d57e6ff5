"""Asking git; commit and branch of the application, as it reports them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

__all__ = ["Revision", "git_output", "read_revision", "repository_of", "run_git", "tag_of"]

_SECONDS = 120  # a checkout of a large repository

# Set while git runs a hook; they would point every question at the hook's repository.
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


class Revision(NamedTuple):
    """Where the application's source stands."""

    commit: str
    """40 hex digits, with `-dirty` when the application's folder has uncommitted changes; empty outside git."""
    branch: str
    """Empty outside git; on a detached HEAD (a CI checkout) what the CI system says."""


def run_git(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run git in `folder`; as one that failed, where there is no git or it does not end.

    A checkout of another user is read as well: a container in CI has no other.
    """
    options = ["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    try:
        return subprocess.run(
            ["git", *options, *argv], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def git_output(folder: Path, *argv: str) -> str:
    """What git answers; nothing when it fails."""
    done = run_git(folder, *argv)
    return done.stdout.strip() if done.returncode == 0 else ""


def repository_of(folder: Path) -> Path | None:
    """The top folder of the repository that holds `folder`; None outside of git."""
    top = git_output(folder, "rev-parse", "--show-toplevel")
    return Path(top) if top else None


def read_revision(folder: Path) -> Revision:
    """The revision of the repository that holds `folder`; dirty only when something below `folder` is uncommitted."""
    commit = git_output(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return Revision("", "")
    if git_output(folder, "status", "--porcelain", "--untracked-files=normal", "--", "."):
        commit += "-dirty"
    branch = git_output(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    # GITHUB_HEAD_REF is set for pull requests only: https://docs.github.com/actions/reference/variables-reference
    # GitLab: https://docs.gitlab.com/ci/variables/predefined_variables/
    for variable in ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"):
        branch = branch or os.environ.get(variable, "")
    return Revision(commit, branch)


def tag_of(text: str) -> str:
    """`text` as an image tag: [A-Za-z0-9_.-], at most 128 characters, not starting with a dot or dash.

    Source of the rule: the OCI distribution specification, "Pulling manifests".
    """
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).lstrip(".-")[:128]
