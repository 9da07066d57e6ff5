"""The GitHub workflows that the package ships, with the folder and the environments of an application's repository."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.compose.git import repository_of
from slipway.contract.problems import SlipwayError
from slipway.package import shipped_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WORKFLOWS", "workflows_for"]

WORKFLOWS = ("preview.yml", "deploy.yml", "rollback.yml", "promote.yml")
_BETWEEN = "promote.yml"  # from the first environment to the last: of no use with one alone
_FOLDER = Path(".github") / "workflows"
_MOVED = re.compile(
    r"^#\n# When this project is a folder of your application's repository: .*\n(?:# .*\n)*", re.MULTILINE
)


def workflows_for(root: Path, application: Path, stacks: Sequence[str]) -> dict[Path, str]:
    """File → text of every workflow, for the repository that holds both the project and the application."""
    repository, other = repository_of(root), repository_of(application)
    if repository is None or repository != other:
        place = other or "a Git repository that holds the application"
        what = "--workflows: this project and the application are not in one Git repository"
        fix = f"move the project into a folder of {place} (git init makes one), then run it again"
        raise SlipwayError(what, "a run on GitHub checks out one repository, and would miss the other", fix)
    folder = os.path.relpath(root.resolve(), repository.resolve())
    return {
        repository / _FOLDER / name: _adapted(
            name, shipped_file(f"{_FOLDER}/{name}").read_text("utf-8"), folder, list(stacks)
        )
        for name in WORKFLOWS
        if name != _BETWEEN or len(stacks) > 1
    }


def _adapted(name: str, text: str, folder: str, stacks: list[str]) -> str:
    """The workflow with this repository's folder and environments; the first environment is the one of a push."""
    if folder != ".":
        text = _MOVED.sub("", text)
    text = re.sub(r"(?m)^(  SLIPWAY_FOLDER:) .*$", rf"\1 {folder}", text)
    if name == _BETWEEN:
        ends = {"staging": stacks[0], "production": stacks[-1]}
        return re.sub(r"\b(staging|production)\b", lambda found: ends[found[0]], text)
    text = re.sub(r"(?m)^(\s+options:) \[staging, production\]$", rf"\1 [{', '.join(stacks)}]", text)
    text = text.replace("|| 'staging'", f"|| '{stacks[0]}'")
    text = re.sub(r"(?m)^(  STACK:) staging$", rf"\1 {stacks[0]}", text)
    return text.replace("(staging, production)", f"({', '.join(stacks)})").replace(
        "goes to staging", f"goes to {stacks[0]}"
    )
