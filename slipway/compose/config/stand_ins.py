"""Values with which a Compose file can be read while the stack lacks its own: nothing of them is ever deployed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slipway.settings.dotenv_file import dotenv_entries, of_the_machine, plain_places, read_dotenv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["dotenv_values", "guess"]

_SWITCHES = "attachable|external|init|internal|oom_kill_disable|privileged|read_only|stdin_open|tty"


def dotenv_values(folder: Path, mark: str) -> dict[str, str]:
    """What the `.env` in a folder gives a value, which is `mark` with its name for a secret."""
    entries = dotenv_entries(read_dotenv(folder / ".env"), {}, {}, plain_places(folder))
    return {
        each.name: mark.format(each.name) if each.secret and each.value else each.value
        for each in entries
        if not of_the_machine(each.name)
    }


def guess(name: str, files: Sequence[Path]) -> str:
    """A value that Compose can read in the place of a variable: a folder, address, switch, or what fits most others."""
    text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
    variable = rf"\$(?:{name}\b|\{{{name}\b[^}}]*\}})"
    if re.search(rf"{variable}[^\s:\"']*:/|\bsource[\"']?:\s*[\"']?{variable}", text):
        return "./1"
    if re.search(rf"{variable}:[^\s/\"']+:[\d$]", text):  # of a port
        return "127.0.0.1"
    return "true" if re.search(rf"\b(?:{_SWITCHES})[\"']?:\s*[\"']?{variable}", text) else "1"
