"""What a CI job gets of an update beside its log: GitHub's job summary, and the outputs of the step.

Written where GitHub names the files (`GITHUB_STEP_SUMMARY`, `GITHUB_OUTPUT`), and nowhere else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.cli.deploy.markdown import code, fenced
from slipway.contract.commands import of_stack
from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["set_output", "summarise"]

_ROLLBACK = "actions/workflows/rollback.yml"
_ADDRESS = re.compile(r"https?://[\w.:/-]+", re.ASCII)


def summarise(
    stack: str, how: str, *, release: str, urls: Sequence[str] = (), errors: Sequence[str] = (), back: str = ""
) -> None:
    """Add one update of `stack`: `how` it ended in words, its release and addresses or its `errors`, the way `back`."""
    lines = [f"### {'❌' if errors else '✅'} {code(stack)}: {code(release) if release else 'no release'}", "", how, ""]
    lines += [f"- {f'<{url}>' if _ADDRESS.fullmatch(url) else code(url)}" for url in urls]
    lines += [fenced("\n".join(errors)), ""] if errors else []
    lines += [f"- the way back: {code(back or of_stack('slipway rollback', stack))}{_by_hand()}", ""]
    _append("GITHUB_STEP_SUMMARY", lines)
    set_output("release", release)
    set_output("url", urls[0] if urls else "")


def set_output(name: str, value: str) -> None:
    """Give the step an output."""
    _append("GITHUB_OUTPUT", [f"{name}={printable(value)}"])


def _by_hand() -> str:
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    return f", or by hand: <{server}/{repository}/{_ROLLBACK}>" if server and repository else ""


def _append(variable: str, lines: Sequence[str]) -> None:
    if place := os.environ.get(variable):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))
