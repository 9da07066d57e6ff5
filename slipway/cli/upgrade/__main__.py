"""The second half of an upgrade, run with the new version: only that knows its changelog and its migrations."""

from __future__ import annotations

import sys
from pathlib import Path

from slipway.cli.upgrade.changelog import changes_between
from slipway.cli.upgrade.migrations import MIGRATIONS, migrate_stack_files
from slipway.contract.problems import SlipwayError
from slipway.package import shipped_file, version


def main(before: str) -> None:
    """Change the stack files of the project in the current folder, and print what is new since `before`."""
    migrated = migrate_stack_files(Path.cwd(), before, MIGRATIONS)
    if changes := changes_between(shipped_file("CHANGELOG.md").read_text(encoding="utf-8"), before, version()):
        print(changes, end="\n\n")
    for name, changed in migrated.items():
        print(f"{name}: {'; '.join(changed)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except SlipwayError as error:
        sys.exit(str(error))
