"""The stack `local` that `make up` made beside this program, and the tools that it got for it.

`make up` keeps all of it in .slipway/: state, passphrase, secrets, and in machine.json the `environment` that its tools
need and the `prepare` command that gets this machine ready for a deployment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NAME", "configuration", "engine_environment", "is_made", "prepared", "tools"]

NAME = "local"
_FOLDER = ".slipway"


def is_made(root: Path) -> bool:
    """Whether `make up` made the stack `local` of the program in `root`."""
    return (root / _FOLDER / "state").is_dir() and bool(_machine(root))


def tools(root: Path) -> dict[str, str] | None:
    """What to add to the environment so that `pulumi` works: nothing when it is on PATH; None when there is none."""
    if shutil.which("pulumi"):
        return {}
    found: dict[str, str] = _machine(root).get("environment", {})
    path = os.pathsep.join(filter(None, (os.environ.get("PATH"), found.get("PATH"))))
    return {**found, "PATH": path} if shutil.which("pulumi", path=path) else None


def engine_environment(root: Path) -> dict[str, str]:
    """The environment in which the engine finds the stack `local` and its secrets; starts nothing."""
    folder = root / _FOLDER
    found = {
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(folder / "passphrase"),
    }
    try:
        kept = json.loads((folder / "secrets.json").read_text())
        given = json.loads(os.environ.get("SLIPWAY_SECRETS") or "{}")
        return {**found, "SLIPWAY_SECRETS": json.dumps({**kept, **given})}
    except (OSError, ValueError, TypeError):
        return found  # what is wrong with secrets that were given is found where settings are read


def configuration(root: Path) -> Path:
    """The stack file of `local` with this machine's salt."""
    return root / _FOLDER / f"Pulumi.{NAME}.yaml"


def prepared(root: Path) -> dict[str, str]:
    """The environment for a deployment from this machine, which is made ready for it."""
    done = subprocess.run(_machine(root)["prepare"], cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        found: dict[str, str] = json.loads(done.stdout)
        return found
    raise SlipwayError("this machine is not ready for the stack local", "nothing was deployed", "make up")


def _machine(root: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((root / _FOLDER / "machine.json").read_text())
    except (OSError, ValueError):
        return {}
    return found
