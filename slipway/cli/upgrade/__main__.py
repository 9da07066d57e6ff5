"""The second half of an upgrade, run with the new version: only that knows its changelog and its migrations."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from slipway.cli.init.stack_file import write_all
from slipway.contract.problems import SlipwayError
from slipway.package import shipped_file, version
from slipway.settings.setting_files import stack_files_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MIGRATIONS", "Migration", "changes_between", "migrate_stack_files"]

_VERSION = re.compile(r"## \[(\d[^\]]*)\]")


class Migration(NamedTuple):
    """One change of stack files."""

    version: str  # the first one that needs it
    what: str  # it changes, in a few words
    change: Callable[[str, str], str]
    """A stack file's text and the project's name → its new text, the same where there is nothing to change."""


MIGRATIONS: tuple[Migration, ...] = ()
"""In the order of their versions."""


def main(before: str) -> None:
    """Change the stack files of the project in the current folder, and print what is new since `before`."""
    migrated = migrate_stack_files(Path.cwd(), before, MIGRATIONS)
    if changes := changes_between(shipped_file("CHANGELOG.md").read_text(encoding="utf-8"), before, version()):
        print(changes, end="\n\n")
    for name, changed in migrated.items():
        print(f"{name}: {'; '.join(changed)}")


def migrate_stack_files(root: Path, before: str, migrations: Sequence[Migration]) -> dict[str, list[str]]:
    """Change all stack files of the project in `root`, or none; file → what was changed.

    Raises:
        SlipwayError: when a file cannot be written.
    """
    project = yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8"))["name"]
    texts: dict[Path, str] = {}
    changed: dict[str, list[str]] = {}
    for file in sorted(stack_files_folder(root).glob("Pulumi.*.yaml")):
        text = file.read_text(encoding="utf-8")
        for migration in migrations:
            after = text if _order(migration.version) <= _order(before) else migration.change(text, project)
            if after != text:
                text = texts[file] = after
                changed.setdefault(file.name, []).append(migration.what)
    write_all(texts)
    return changed


def changes_between(changelog: str, before: str, after: str) -> str:
    """The sections of the versions that are newer than `before`, up to `after`, the newest first."""
    sections = re.split(r"^(?=## \[)", changelog, flags=re.MULTILINE)
    return "\n\n".join(
        section.strip()
        for section in sections
        if (found := _VERSION.match(section)) and _order(before) < _order(found[1]) <= _order(after)
    )


def _order(version: str) -> tuple[int, ...]:
    """What versions are compared by: the numbers of MAJOR.MINOR.PATCH."""
    numbers = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in numbers[1].split(".")) if numbers else ()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except SlipwayError as error:
        sys.exit(str(error))
