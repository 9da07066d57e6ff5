"""The application's source as it was at a commit, for a promotion: the Compose file belongs to the images."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.compose.git import read_revision, repository_of
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["commits_between", "source_at"]

_SECONDS = 120
_SHOWN = 20


def commits_between(folder: Path, before: str, after: str) -> list[str] | None:
    """Commits in `after` that are not in `before`, newest first; None when git does not know them."""
    if not before or not after or "-dirty" in before:
        return None
    done = _git(folder, "log", "--oneline", f"--max-count={_SHOWN + 1}", f"{before}..{after}")
    return done.stdout.splitlines() if done.returncode == 0 else None


@contextlib.contextmanager
def source_at(folder: Path, commit: str) -> Iterator[Path]:
    """The application's folder as it was at `commit`: `folder` itself where it is that, else a temporary work tree.

    Without a commit (the release was made outside of git) it is `folder` as it is.
    """
    if not commit or read_revision(folder).commit == commit:
        yield folder
        return
    top = repository_of(folder)
    if top is None or _git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
        raise SlipwayError(
            f"commit {commit[:12]} is not in the repository of {folder}",
            "the Compose file that belongs to the release is not known",
            "git fetch origin, or run it in a checkout of that commit",
        )
    with tempfile.TemporaryDirectory(prefix="slipway-") as temporary:
        tree = Path(temporary) / "source"
        added = _git(top, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        if added.returncode != 0:
            said = " ".join(added.stderr.split())[-300:]
            raise SlipwayError(
                f"git cannot check out commit {commit[:12]} ({said})",
                "the Compose file that belongs to the release cannot be read",
                f"git -C {top} checkout {commit[:12]}, then run it again",
            )
        try:
            yield tree / folder.resolve().relative_to(top.resolve())
        finally:
            _git(top, "worktree", "remove", "--force", str(tree))


def _git(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *argv]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))
