"""The way back, measured: rollbacks to warm and cold releases, a long history, the command line's own start.

Owns: how each is brought about on the example application's stack. Does not own: timing (see `measures`), the files of
results (see `report`).
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev.bench.measures import median, seconds
from dev.toolchain.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack_harness import Stack

    from dev.testhosts.server import TestHost

__all__ = ["cold_rollbacks", "help_seconds", "long_history", "warm_rollbacks"]

_SLIPWAY = str(Path(sys.executable).parent / "slipway")
_UPDATES = 500


def warm_rollbacks(
    stack: Stack, host: TestHost, runs: int, change: Callable[[], None], name: str = "rollback_warm"
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Figures and samples of going back on `host` to a release that it keeps, to and fro between two.

    `stack` is live; `change` changes what it deploys. Afterwards the newer of the two releases is live.
    """
    older = str(stack.outputs["release"])
    change()
    stack.up()
    newer = str(stack.outputs["release"])
    whole: list[float] = []
    there: list[float] = []
    for number in range(runs):
        say(f"rollback to a warm release: {number + 1} of {runs}")
        whole.append(seconds(functools.partial(_back, stack, (older, newer)[number % 2])))
        there.append(_host_seconds(stack, host))
    if runs % 2:
        _back(stack, newer)
    figures = {f"{name}_s": median(whole), f"{name}_host_s": median(there)}
    return figures, {name: whole, f"{name}_host": there}


def cold_rollbacks(stack: Stack, host: TestHost, runs: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Figures and samples of going back to a release whose images are pulled again, beside going forward so.

    `stack` is live, with a release before that; afterwards the same release is live.
    """
    newer = str(stack.outputs["release"])
    back: list[float] = []
    forward: list[float] = []
    older = ""
    for number in range(runs):
        say(f"rollback to a cold release, beside a deployment without build: {number + 1} of {runs}")
        _forget_images(host)
        back.append(seconds(functools.partial(_back, stack, older)))
        older = older or str(stack.outputs["release"])
        _forget_images(host)
        forward.append(seconds(stack.up))
        _require(stack.outputs["release"] == newer, "it went forward to another release")
    return {"rollback_cold_vs_deploy": median(back) / median(forward)}, {
        "rollback_cold": back,
        "deploy_without_build": forward,
    }


def long_history(stack: Stack, runs: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Figures and samples of `slipway history --all` over 500 updates in a folder, hosts and all.

    The updates are copies of the stack's real ones, under the names and in the form that the engine gives them.
    """
    folder = stack.folder / "state" / ".pulumi" / "history" / "slipway" / stack.name
    kept = stack.folder / "history-of-before"
    shutil.copytree(folder, kept)
    try:
        _multiply(folder)
        told = json.loads(_said(stack, "history", "--all", "--json"))
        numbered = [entry for entry in told["entries"] if entry["number"]]
        _require(len(numbered) == _UPDATES, f"{len(numbered)} updates are told")
        _require(all(entry["release"] for entry in numbered), "an update is told without its release")
        say(f"history of {_UPDATES} updates")
        samples = [seconds(functools.partial(_said, stack, "history", "--all")) for _ in range(runs)]
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    return {"history_500_s": median(samples)}, {"history_500": samples}


def help_seconds(runs: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Figures and samples of `--help`: the slowest command counts."""
    from slipway.cli.command_groups import COMMANDS  # noqa: PLC0415  # only this figure needs it

    taken = {name: [seconds(functools.partial(_help, name)) for _ in range(runs)] for name in COMMANDS}
    slowest = max(taken, key=lambda name: median(taken[name]))
    return {"help_s": median(taken[slowest])}, {f"help of {slowest}": taken[slowest]}


def _back(stack: Stack, release: str) -> None:
    _said(stack, "rollback", *(["--to", release] if release else []))


def _said(stack: Stack, *argv: str) -> str:
    return stack.slipway(*argv).out


def _help(name: str) -> None:
    subprocess.run([_SLIPWAY, name.rstrip("-"), "--help"], check=True, capture_output=True, timeout=60)


def _host_seconds(stack: Stack, host: TestHost) -> float:
    """What the host's own record says of the last deployment."""
    path = f"~/.local/share/slipway/stacks/{stack.project}/ledger.jsonl"
    last: dict[str, Any] = json.loads(host.run(f"tail -n 1 {path}"))
    return float(last["seconds"])


def _forget_images(host: TestHost) -> None:
    """Remove every image that no container uses: what comes next is pulled."""
    host.inside(["docker", "image", "prune", "--all", "--force"], seconds=120)


def _require(held: bool, what: str) -> None:  # noqa: FBT001  # as `assert`, and never left out
    if not held:
        raise RuntimeError(what)


def _multiply(folder: Path) -> None:
    """Copies of a stack's updates until there are 500 of them, the newest staying the newest."""
    updates = sorted(folder.glob("*.history.json"))
    newest = updates[-1].name.removesuffix(".history.json")
    stack, _, last = newest.rpartition("-")
    for number in range(_UPDATES - len(updates)):
        source = updates[number % len(updates)].name.removesuffix(".history.json")
        copy = f"{stack}-{int(last) - (number + 1) * 60_000_000_000}"
        for kind in ("history", "checkpoint"):
            shutil.copy(folder / f"{source}.{kind}.json", folder / f"{copy}.{kind}.json")
