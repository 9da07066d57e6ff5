"""What `make check`, `make test` and `make bench` run, each after getting what it needs.

Owns: which checks there are and their order. Does not own: the checks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from dev.toolchain.docker import ensure_docker
from dev.toolchain.local import machine
from dev.toolchain.progress import say

__all__ = ["bench", "check", "test"]

_BIN = Path(sys.executable).parent


def _run(what: str, *argv: str) -> bool:
    begun = time.monotonic()
    done = subprocess.run([str(_BIN / argv[0]), *argv[1:]], check=False)
    say(f"{what}: {'ok' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - begun:.1f} s")
    return done.returncode == 0


def check(arguments: list[str]) -> int:
    """Lint, types, imports and unit tests: no engine, no deployment; Compose alone reads Compose files."""
    os.environ.update(ensure_docker())
    results = [
        _run("lint", "ruff", "check", "--quiet", "."),
        _run("format", "ruff", "format", "--check", "--quiet", "."),
        _run("types", "mypy"),
        _run("imports", "lint-imports", "--no-cache"),
        _run("unit tests", "pytest", "-q", "-n", "2", "tests/unit", *arguments),
    ]
    return 0 if all(results) else 1


def _prepare() -> None:
    """Get everything; what settings would read stands under names that tests read and settings ignore."""
    found = {name: value for name, value in machine().items() if name.startswith("SLIPWAY_")}
    os.environ.update({name.replace("SLIPWAY_", "SLIPWAY_TEST_", 1): value for name, value in found.items()})


def test(arguments: list[str]) -> int:
    """Every check and test that can run on this machine."""
    if check([]) != 0:
        return 1
    _prepare()
    # They wait more than they compute: two at a time. A file stays together, because its tests share stacks and hosts.
    together = ("-n", "2", "--dist", "loadfile")
    return 0 if _run("engine and host tests", "pytest", *together, "tests/engine", "tests/hosts", *arguments) else 1


def bench(arguments: list[str]) -> int:
    """The benchmark; writes dev/bench/results.md and dev/bench/results.json."""
    _prepare()
    return 0 if _run("bench", "python", "-m", "dev.bench", *arguments) else 1
