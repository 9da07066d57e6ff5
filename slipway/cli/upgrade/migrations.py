"""What a new version needs changed in stack files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import yaml

from slipway.cli.init.stack_file import write_all
from slipway.cli.upgrade.changelog import order_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["MIGRATIONS", "Migration", "migrate_stack_files"]


class Migration(NamedTuple):
    """One change of stack files."""

    version: str
    """The first version that needs it."""
    what: str
    """What it changes, in a few words."""
    change: Callable[[str, str], str]
    """A stack file's text and the project's name → its new text, the same where there is nothing to change."""


MIGRATIONS: tuple[Migration, ...] = ()
"""In the order of their versions."""


def migrate_stack_files(root: Path, before: str, migrations: Sequence[Migration]) -> dict[str, list[str]]:
    """Change all stack files of the project in `root`, or none; file → what was changed.

    Raises:
        SlipwayError: when a file cannot be written.
    """
    project = yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8"))
    texts: dict[Path, str] = {}
    changed: dict[str, list[str]] = {}
    for file in sorted((root / str(project.get("stackConfigDir") or "")).glob("Pulumi.*.yaml")):
        text = file.read_text(encoding="utf-8")
        for migration in migrations:
            after = text if order_of(migration.version) <= order_of(before) else migration.change(text, project["name"])
            if after != text:
                text = texts[file] = after
                changed.setdefault(file.name, []).append(migration.what)
    write_all(texts)
    return changed
