"""`dev/toolchain/bootstrap`: makes the locked Python environment once, then only looks."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[3] / "dev/toolchain/bootstrap"
SYNC = f"""
mkdir -p .venv/bin
ln -sf {sys.executable} .venv/bin/python
echo "$UV_PROJECT_ENVIRONMENT" >.venv/where
"""
STUB = "import sys\nprint('toolchain', *sys.argv[1:])\nraise SystemExit(7)\n"


@pytest.fixture
def clone(machine: Path) -> Path:
    """A repository with bootstrap, a lock file, and a toolchain that tells its arguments and exits with 7."""
    for name in ("sh", "dirname", "mkdir", "cmp", "cp", "cat", "rm", "pwd"):
        (machine / "bin" / name).symlink_to(str(shutil.which(name, path="/usr/bin:/bin")))
    (machine / "clone/dev/toolchain").mkdir(parents=True)
    shutil.copy(BOOTSTRAP, machine / "clone/dev/toolchain/bootstrap")
    (machine / "clone/dev/__init__.py").touch()
    (machine / "clone/dev/toolchain/__init__.py").touch()
    (machine / "clone/dev/toolchain/__main__.py").write_text(STUB)
    (machine / "clone/uv.lock").write_text("one\n")
    return machine / "clone"


@pytest.fixture
def uv(program: Callable[[str, str], Path]) -> Path:
    """The log of a uv that works."""
    return program("uv", SYNC)


def start(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(clone / "dev/toolchain/bootstrap"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")


def test_environment_is_made_once_and_the_toolchain_takes_over(clone: Path, uv: Path) -> None:
    for _ in range(2):
        done = start(clone, "up", "--more")
        assert (done.returncode, done.stdout) == (7, "toolchain up --more\n"), done.stderr
    assert uv.read_text() == "sync --locked --inexact --compile-bytecode --quiet\n"
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["check", "test", "bench"])
def test_test_tools_are_there_for_tests_alone(clone: Path, uv: Path, command: str) -> None:
    start(clone, "up")
    start(clone, command)
    (clone / ".venv/bin/pytest").touch()
    start(clone, command)
    start(clone, "up")
    assert uv.read_text().splitlines() == [
        "sync --locked --inexact --compile-bytecode --quiet",
        "sync --locked --inexact --group dev --compile-bytecode --quiet",
    ]
    (clone / ".venv/bin/pytest").unlink()  # as a plain `uv sync` does
    start(clone, command)
    assert len(uv.read_text().splitlines()) == 3


def test_changed_lock_file_is_followed(clone: Path, uv: Path) -> None:
    start(clone)
    (clone / "uv.lock").write_text("two\n")
    start(clone)
    start(clone)
    assert len(uv.read_text().splitlines()) == 2


def test_environment_is_in_the_clone_whatever_uv_is_told_elsewhere(
    clone: Path, uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "/elsewhere")
    assert start(clone).returncode == 7
    assert uv.read_text()
    assert (clone / ".venv/where").read_text() == ".venv\n"


def test_half_made_environment_is_made_again(clone: Path, program: Callable[[str, str], Path]) -> None:
    program("uv", f"{SYNC}\necho 'no such index' >&2; exit 2")
    done = start(clone, "up")
    assert done.returncode == 1
    assert "no such index\nslipway: error: uv cannot make the Python environment — " in done.stderr
    log = program("uv", SYNC)
    log.write_text("")
    assert start(clone, "up").returncode == 7
    assert log.read_text()


@pytest.mark.usefixtures("uv")
def test_python_that_is_gone_is_made_again(clone: Path) -> None:
    start(clone)
    (clone / ".venv/bin/python").unlink()
    (clone / ".venv/bin/python").symlink_to("/gone/python")
    assert start(clone).returncode == 7


def test_python_that_does_not_run_is_a_clear_error(clone: Path, program: Callable[[str, str], Path]) -> None:
    program("uv", "mkdir -p .venv/bin\nprintf '#!/gone/python' >.venv/bin/python\nchmod 755 .venv/bin/python")
    for _ in range(2):
        done = start(clone, "up")
        assert done.returncode == 1
        assert "slipway: error: the Python in .venv does not run — " in done.stderr
        assert "rm -r .venv, then run it again" in done.stderr


def test_moved_clone_gets_an_environment_of_its_own(clone: Path, uv: Path) -> None:
    start(clone)
    (clone / ".venv/of the old place").touch()
    moved = clone.rename(clone.with_name("moved"))
    for _ in range(2):
        assert start(moved).returncode == 7
    assert len(uv.read_text().splitlines()) == 2
    assert not (moved / ".venv/of the old place").exists()


def test_without_uv_it_is_installed_into_the_cache(
    clone: Path, machine: Path, program: Callable[[str, str], Path]
) -> None:
    log = program("uv", SYNC)
    (machine / "bin/uv").rename(machine / "uv-of-pip")
    venv = machine / "cache/slipway/uv"
    pip = f"printf '#!/bin/sh\\n/bin/mv {machine}/uv-of-pip {venv}/bin/uv\\n' >{venv}/bin/pip; chmod 755 {venv}/bin/pip"
    program("python3", f"mkdir -p {venv}/bin; {pip}")
    assert start(clone, "up").returncode == 7
    assert start(clone, "up").returncode == 7
    assert log.read_text() == "sync --locked --inexact --compile-bytecode --quiet\n"


def test_machine_without_venv_is_told_what_to_install(clone: Path, program: Callable[[str, str], Path]) -> None:
    program("python3", "echo ensurepip is not available; exit 1")
    done = start(clone, "up")
    assert done.returncode == 1
    assert "ensurepip is not available\nslipway: error: python3 cannot make a virtual environment — " in done.stderr


def test_index_that_does_not_answer_is_told(clone: Path, machine: Path, program: Callable[[str, str], Path]) -> None:
    folder = machine / "cache/slipway/uv/bin"
    program("python3", f"mkdir -p {folder}; printf '#!/bin/sh\\nexit 1' >{folder}/pip; chmod 755 {folder}/pip")
    done = start(clone, "up")
    assert done.returncode == 1
    assert "slipway: error: pip cannot install uv — " in done.stderr


def test_cache_that_cannot_be_made_is_told(clone: Path, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "file"))
    done = start(clone, "up")
    assert done.returncode == 1
    assert "set XDG_CACHE_HOME to a folder of yours" in done.stderr
