"""`slipway upgrade`: another version of Slipway in this project."""

from pathlib import Path
from typing import Annotated

import typer


def upgrade(
    version: Annotated[str, typer.Argument(metavar="[VERSION]", help="The newest one when left out.")] = "",
) -> None:
    """Pin another version of Slipway, install it, and show what changed.

    Changes the pin in pyproject.toml, runs `uv sync`, shows the changelog between the two versions, and rewrites in the
    stack files what the new version needs. Deploys nothing: `pulumi preview` shows what the new version would change.

    Exit code: 0 when the version is pinned and installed; 1 when uv fails, and then nothing was changed; 2 for wrong
    usage.
    """
    from slipway.cli.upgrade.upgrade import upgrade_project  # help must not wait for it
    from slipway.releases.engine import program_folder  # as above

    upgrade_project(program_folder(Path.cwd()), version)
