"""What `make check`, `make test` and `make bench` run, each after getting what it needs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from dev.toolchain import golang
from dev.toolchain.cache import cache_root
from dev.toolchain.docker import ensure_docker
from dev.toolchain.golang import ensure_actionlint
from dev.toolchain.local import machine
from dev.toolchain.progress import say
from dev.toolchain.pulumi import MORE_PLUGIN_VERSIONS, ensure_plugin

__all__ = ["bench", "check", "part", "test"]

_BIN = Path(sys.executable).parent
_ROOT = Path(__file__).resolve().parents[2]
_TOOL_TESTS = (
    "tests/unit/toolchain",
    "tests/engine/test_local_registry.py",
    "tests/engine/test_plugins.py",
    "tests/hosts/test_testhost.py",
    "tests/hosts/test_traffic_tools.py",
)
"""Tests of what makes and proves Slipway: `make test` runs them when that changes."""

_SHARD = "SLIPWAY_TEST_SHARD"  # "2/4" has `make test` run that part of the engine and host tests, and nothing else


def _run(what: str, *argv: str) -> bool:
    begun = time.monotonic()
    done = subprocess.run([str(_BIN / argv[0]), *argv[1:]], check=False)
    say(f"{what}: {'ok' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - begun:.1f} s")
    return done.returncode == 0


def check(arguments: list[str]) -> int:
    """Lint, types, imports, workflows, and unit tests over a sample of what they can enumerate: no engine."""
    os.environ.update(ensure_docker())
    results = [
        _run("lint", "ruff", "check", "--quiet", "."),
        _run("format", "ruff", "format", "--check", "--quiet", "."),
        _run("types", "mypy"),
        _run("imports", "lint-imports", "--no-cache"),
        _run("workflows", str(ensure_actionlint())),
        _run("workflows' security", "zizmor", "--offline", "--quiet", "--persona", "pedantic", ".github/workflows"),
        _run("unit tests", "pytest", "-q", "-n", "2", "tests/unit", *arguments),
    ]
    return 0 if all(results) else 1


def _prepare(*plugins: str) -> None:
    """Get everything; what settings would read stands under names that tests read and settings ignore."""
    with golang.caches():  # the plugins that only tests use are built from what the engine's build has fetched
        found = {name: value for name, value in machine().items() if name.startswith("SLIPWAY_")}
        for name in plugins:
            ensure_plugin(name)
    os.environ.update({name.replace("SLIPWAY_", "SLIPWAY_TEST_", 1): value for name, value in found.items()})


def _tools() -> str:
    """A hash of the tools, their tests, what those share with other tests, and who runs them: root can test more."""
    harness = (file for file in _ROOT.glob("tests/**/*.py") if not file.name.startswith("test_"))
    tests = (file for path in _TOOL_TESTS for file in ((_ROOT / path), *(_ROOT / path).rglob("*")))
    files = {*(_ROOT / "dev").rglob("*"), *harness, *tests, _ROOT / "uv.lock"}
    digest = hashlib.sha256(f"{os.geteuid()} {sys.version}".encode())
    for file in sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts):
        content = file.read_bytes()
        digest.update(f"\n{file.relative_to(_ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def test(arguments: list[str]) -> int:
    """Every check and test that can run on this machine; tests of our own tools only when those changed."""
    stamp, tools = cache_root() / "tool-tests.stamp", _tools()
    passed = stamp.is_file() and stamp.read_text() == tools
    left_out = [f"--ignore={path}" for path in _TOOL_TESTS]
    os.environ["SLIPWAY_TEST_THOROUGH"] = "1"
    if shard := os.environ.get(_SHARD):
        _prepare(*MORE_PLUGIN_VERSIONS)
        return 0 if _run(f"engine and host tests, part {shard}", "pytest", *part(shard), *arguments) else 1
    if check(left_out) != 0:
        return 1
    _prepare(*MORE_PLUGIN_VERSIONS)
    # Two at a time: three take as long on two cores. A file stays together, because its tests share stacks and hosts.
    together = ("pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")  # order: tests/conftest.py
    results = []
    if passed and os.environ.get("SLIPWAY_TEST_ALL") != "1":
        say("tests of our own tools: left out, unchanged since they passed here (all: SLIPWAY_TEST_ALL=1 make test)")
    else:
        results.append(_run("tests of our own tools", *together, *_TOOL_TESTS))
        if results[0]:
            stamp.write_text(tools)
    others = (*together, "--durations=10", *left_out, "tests/engine", "tests/hosts", *arguments)
    return 0 if all([*results, _run("engine and host tests", *others)]) else 1


def part(shard: str) -> list[str]:
    """The files of engine and host tests of part `2/4`; in each part, as many of those that take longest."""
    number, parts = map(int, shard.split("/"))
    files = (*_ROOT.glob("tests/engine/test_*.py"), *_ROOT.glob("tests/hosts/test_*.py"))
    ordered = sorted(files, key=lambda file: (-file.stat().st_size, file.name))
    return [str(file.relative_to(_ROOT)) for file in ordered[number - 1 :: parts]]


def bench(arguments: list[str]) -> int:
    """The benchmark; writes dev/bench/results.md and dev/bench/results.json."""
    _prepare()
    return 0 if _run("bench", "python", "-m", "dev.bench", *arguments) else 1
