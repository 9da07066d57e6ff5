"""How the addresses were the last time, so that each change is reported once: a file that the next run reads.

On a machine that stays it is below the user's state folder; a CI runner keeps it in its cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import SlipwayError
from slipway.releases.health.stack_health import DOWN, EXPIRING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Memory", "SetAsideError", "compared", "memory_file", "recalled", "remember"]

_FORM = "slipway-health 1"
_AGAIN = "how things were the last time is not known, so each is reported again"
RECOVERED = "recovered"

Memory = dict[str, dict[str, dict[str, str]]]
"""Stack → address → its state, and since when."""


class SetAsideError(SlipwayError):
    """The file was something else, and has another name now: a new one can be written in its place."""


def memory_file(root: Path, project: str) -> Path:
    """The file for the project in `root` where nobody names one (XDG base directory specification)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]  # of several clones
    return Path(base) / "slipway" / f"health-{project}-{place}.json"


def recalled(file: Path) -> Memory:
    """What `file` says; nothing where there is none.

    Raises `SlipwayError` when it cannot be read, and `SetAsideError` once when it is something else.
    """
    try:
        text = file.read_text()
        content: Any = json.loads(text) if text.strip() else {_FORM: {}}
        return {
            stack: {url: {key: str(each[key]) for key in ("state", "since")} for url, each in probes.items()}
            for stack, probes in content[_FORM].items()
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(
            file, f"cannot be read ({error.strerror})", "make it readable, or give another --state"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        aside = file.with_name(f"{file.name}.unusable")
        try:
            file.replace(aside)
        except OSError as error:
            what = f"is not a file of `slipway health` and cannot be renamed ({error.strerror})"
            raise _unusable(file, what, "give another --state") from None
        what, meaning = f"{file} is not a file of `slipway health`", f"it is now called {aside.name}; {_AGAIN}"
        fix = f"if it is yours: mv {shlex.quote(str(aside))} {shlex.quote(str(file))}, and give another --state"
        raise SetAsideError(what, meaning, fix) from None


def compared(document: dict[str, Any], before: Memory) -> Memory:
    """Fill in `since` and `change` of every probe; what is to be remembered, also of stacks that were not asked."""
    after: Memory = dict(before)
    for stack in document["stacks"]:
        if stack["errors"]:  # nothing new is known
            continue
        known = before.get(stack["stack"], {})
        for probe in stack["probes"]:
            last = known.get(probe["url"])
            same = last is not None and last["state"] == probe["state"]
            probe["since"] = last["since"] if last and same else document["checked"]
            probe["change"] = None if same else _change(last, probe["state"])
        after[stack["stack"]] = {
            each["url"]: {key: each[key] for key in ("state", "since")} for each in stack["probes"]
        }
    return after


def remember(file: Path, memory: Memory) -> None:
    """Write it whole or not at all. Raises `SlipwayError` when that fails."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({_FORM: memory}, indent=1) + "\n")
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        what = f"cannot be written ({error.strerror})"
        raise _unusable(file, what, "make its folder writable, or give another --state") from None


def _change(last: Mapping[str, str] | None, state: str) -> str | None:
    if state == DOWN:
        return DOWN
    if last and last["state"] == DOWN:
        return RECOVERED
    return EXPIRING if state == EXPIRING else None


def _unusable(file: Path, what: str, fix: str) -> SlipwayError:
    return SlipwayError(f"{file} {what}", _AGAIN, fix)
