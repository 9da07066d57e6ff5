"""Bundles that are kept before something changes a stack.

Owns: where they lie on this machine, and how many. Does not own: making one (see `exporting`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cli.bundles.archive import names_of
from cli.bundles.exporting import export
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from cli.stack import Engine

__all__ = ["KEPT", "backup_point"]

KEPT = 20
"""Backups of a stack: older ones go when a new one is made."""


def backup_point(engine: Engine, folder: Path | None = None) -> Path:
    """Keep a bundle of the stack as it is now, in `folder` or .slipway/backups/ beside Pulumi.yaml.

    Returns: its path; `slipway import` brings it back.

    Raises:
        SlipwayError: as `export`, or when the folder cannot be made one's own; then nothing may be changed.
    """
    folder = folder or engine.root / ".slipway" / "backups"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise SlipwayError(
            Problem(
                f"{folder} cannot be made a folder of yours alone ({error.strerror})",
                "there would be no way back, so nothing was changed",
                f"ls -ld {folder}",
            )
        ) from None
    made = export(engine, f"{folder}/", moment=f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    _prune(folder, str(made.manifest["project"]), str(made.manifest["stack"]))
    return Path(made.place)


def _prune(folder: Path, project: str, stack: str) -> None:
    """Remove what is more than KEPT of this stack's, the oldest first."""
    mine = names_of(project, stack)
    found = [path for path in folder.iterdir() if mine.fullmatch(path.name)]
    for path in sorted(found, key=lambda each: each.stat().st_mtime_ns)[:-KEPT]:
        path.unlink(missing_ok=True)
