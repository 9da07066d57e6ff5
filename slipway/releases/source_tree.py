"""The application's source as it was at a commit, for a promotion: the Compose file belongs to the images."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.compose.git import read_revision, repository_of, run_git
from slipway.contract.problems import SlipwayError
from slipway.releases.format import short

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["commits_between", "source_at"]

_SHOWN = 20


def commits_between(folder: Path, before: str, after: str) -> list[str] | None:
    """Commits in `after` that are not in `before`, newest first; None when git does not know them."""
    if not before or not after or "-dirty" in before:
        return None
    done = run_git(folder, "log", "--oneline", f"--max-count={_SHOWN + 1}", f"{before}..{after}")
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
    if top is None or run_git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
        raise SlipwayError(
            f"commit {short(commit)} is not in the repository of {folder}",
            "the Compose file that belongs to the release is not known",
            "git fetch origin, or run it in a checkout of that commit",
        )
    with tempfile.TemporaryDirectory(prefix="slipway-") as temporary:
        tree = Path(temporary) / "source"
        added = run_git(top, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        if added.returncode != 0:
            said = " ".join(added.stderr.split())[-300:]
            raise SlipwayError(
                f"git cannot check out commit {short(commit)} ({said})",
                "the Compose file that belongs to the release cannot be read",
                f"git -C {top} checkout {short(commit)}, then run it again",
            )
        try:
            yield tree / folder.resolve().relative_to(top.resolve())
        finally:
            run_git(top, "worktree", "remove", "--force", str(tree))
