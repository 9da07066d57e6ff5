"""What is in the cache is whole."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.toolchain.cache import cache_root, cached, locked
from dev.toolchain.process import ToolchainError

ROOT = Path(__file__).resolve().parents[3]


def maker(text: str, made: list[str]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        made.append(text)
        (folder / "file").write_text(text)

    return make


def test_complete_thing_is_not_made_again(cache: Path) -> None:
    made: list[str] = []
    for _ in range(2):
        assert cached("group/thing", "1", maker("one", made)) == cache / "group/thing"
    assert made == ["one"]
    assert (cache / "group/thing/file").read_text() == "one"


def test_changed_key_makes_it_again_from_nothing(cache: Path) -> None:
    made: list[str] = []
    (cached("thing", "1", maker("one", made)) / "left over").touch()
    cached("thing", "2", maker("two", made))
    assert made == ["one", "two"]
    assert [file.name for file in (cache / "thing").iterdir()] == ["file"]


def test_failed_maker_leaves_what_was_there_and_is_asked_again(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "file").write_text("half")
        raise ToolchainError("it", "failed", "fix it")

    cached("thing", "1", maker("one", []))
    with pytest.raises(ToolchainError):
        cached("thing", "2", fail)
    assert (cache / "thing/file").read_text() == "one"
    assert not (cache / "thing.partial").exists()
    made: list[str] = []
    cached("thing", "2", maker("two", made))
    assert made == ["two"]


def test_killed_maker_is_asked_again_and_its_half_never_used(cache: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from dev.toolchain.cache import cached
def make(folder):
    (folder / "half").touch()
    print("begun", flush=True)
    time.sleep(60)
cached("thing", "1", make)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not (cache / "thing").exists()
    cached("thing", "1", maker("whole", []))
    assert [file.name for file in (cache / "thing").iterdir()] == ["file"]


def test_stamp_comes_after_the_thing(cache: Path) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", die)  # the stamp's own text is all that `cached` writes
        with pytest.raises(KeyboardInterrupt):
            cached("thing", "1", lambda folder: (folder / "file").touch())
    assert (cache / "thing/file").exists()
    assert not (cache / "thing.stamp").exists()
    made: list[str] = []
    cached("thing", "1", maker("again", made))
    assert made == ["again"]


def test_thing_without_a_file_that_it_must_hold_is_made_again(cache: Path) -> None:
    made: list[str] = []
    for _ in range(2):
        cached("thing", "1", maker("one", made), holds=["file"])
    (cache / "thing/file").unlink()
    cached("thing", "1", maker("one", made), holds=["file"])
    assert len(made) == 2


@pytest.mark.usefixtures("cache")
def test_callers_at_the_same_time_make_it_once() -> None:
    made: list[str] = []

    def slow(folder: Path) -> None:
        time.sleep(0.05)
        maker("one", made)(folder)

    threads = [threading.Thread(target=cached, args=("thing", "1", slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["one"]


@pytest.mark.usefixtures("cache")
def test_lock_of_a_dead_process_is_free() -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from dev.toolchain.cache import locked
with locked("thing"):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with locked("thing"):
        pass


def test_cache_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ToolchainError, match="set XDG_CACHE_HOME"):
        cache_root()


def test_without_xdg_the_cache_is_in_the_home_folder(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == machine / "home/.cache/slipway"
    assert os.access(cache_root(), os.W_OK)
