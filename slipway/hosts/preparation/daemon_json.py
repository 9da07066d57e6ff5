"""Settings of Docker's engine beside those that somebody made: a program for hosts, standard library only.

Usage: `check|apply FILE SETTINGS SWARM`. What the file says already stays as it is; `check` names it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["merged", "wanted_beside"]


def wanted_beside(existing: dict[str, Any], wanted: dict[str, Any], swarm: str) -> dict[str, Any]:
    """The settings that can be added to the existing ones: the engine refuses to start with some together."""
    left_out = set()
    if existing.get("log-driver", "json-file") not in ("json-file", "local"):
        left_out.add("log-opts")  # other drivers know no sizes
    if swarm == "active":
        left_out.add("live-restore")
    return {key: value for key, value in wanted.items() if key not in left_out}


def merged(existing: dict[str, Any], wanted: dict[str, Any], path: str = "") -> tuple[dict[str, Any], list[str]]:
    """The existing settings with those wanted that it lacks, and what it keeps although something else is wanted."""
    result, kept = dict(existing), []
    for key, value in wanted.items():
        here = existing.get(key)
        if key not in existing:
            result[key] = value
        elif isinstance(here, dict) and isinstance(value, dict):
            result[key], more = merged(here, value, f"{path}{key}.")
            kept += more
        elif here != value:
            kept.append(f"{path}{key} is {json.dumps(here)}, as somebody set it")
    return result, kept


def _main(command: str, path: str, settings: str, swarm: str) -> None:
    file = Path(path)
    try:
        existing = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, ValueError) as error:
        existing = error
    if not isinstance(existing, dict):
        sys.exit(f"differs\t{path} is not a JSON object that can be read; Docker does not start with it, so edit it")
    after, kept = merged(existing, wanted_beside(existing, json.loads(settings), swarm))
    if command == "apply":
        if after != existing:
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_suffix(".slipway-new")
            new.write_text(json.dumps(after, indent=2) + "\n", encoding="utf-8")
            new.replace(file)
        return
    if lacking := [key for key in after if after[key] != existing.get(key)]:
        print(f"differs\t{path} lacks {', '.join(lacking)}")  # noqa: T201  # its output is what the check says
    for text in kept or [path]:
        print(f"ok\t{text}")  # noqa: T201  # as above


if __name__ == "__main__":
    _main(*sys.argv[1:])
