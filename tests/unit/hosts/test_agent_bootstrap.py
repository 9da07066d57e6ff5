"""What runs on a host is what was shipped, and nobody else may write where it lies."""

from __future__ import annotations

import marshal
import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slipway.hosts.agent_channel import _command
from slipway.hosts.agent_package import pack_agent

if TYPE_CHECKING:
    from collections.abc import Callable

STACK = "shop-test"


def start(home: Path, *, install: bool, umask: str = "022", **environment: str) -> str:
    """What the agent says of its version, started as a session starts it."""
    command = _command(STACK, install=install, command=["version"], kind="deploy").replace(f"--stack {STACK}", "")
    done = subprocess.run(
        ["/bin/sh", "-c", f"umask {umask}; cd {shlex.quote(str(home))}; {command}"],
        input=pack_agent().content, capture_output=True, check=False,
        env={"PATH": os.environ["PATH"], "SLIPWAY_HOME": str(home / "deep" / "slipway"), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unpacked agent."""
    assert "agent: wanted" in start(tmp_path, install=True)
    return next((tmp_path / "deep/slipway/stacks" / STACK).glob("agent-*.pyz.d"))


def content(tree: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in tree.rglob("*")}


EVIL = "import os\nos.open(os.environ['RAN'], os.O_CREAT)\n"


def _armed(source: Path) -> str:
    return source.read_text().replace("import annotations\n", f"import annotations\n{EVIL}", 1)


def edited(tree: Path) -> None:
    path = tree / "slipway/agent/command.py"
    path.write_text(_armed(path))


def edited_but_for_its_time_and_length(tree: Path) -> None:
    path = tree / "slipway/agent/state/identity.py"
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(EVIL.encode()[: len(before)].ljust(len(before)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def compiled_otherwise(tree: Path) -> None:
    for path in (tree / "slipway/agent/__pycache__").glob("command.*.pyc"):
        source = tree / "slipway/agent/command.py"
        code = compile(_armed(source), "x", "exec")
        path.write_bytes(path.read_bytes()[:16] + marshal.dumps(code))


def shadowed(tree: Path) -> None:
    (tree / "json.py").write_text(EVIL)


def shadowed_by_a_link(tree: Path) -> None:
    (tree.parent / "elsewhere").mkdir()
    (tree.parent / "elsewhere/__init__.py").write_text(EVIL)
    (tree / "json").symlink_to(tree.parent / "elsewhere")


def torn(tree: Path) -> None:
    (tree / "slipway/agent/command.py").write_bytes(b"")
    for path in (tree / "slipway/agent/__pycache__").glob("command.*.pyc"):
        path.write_bytes(b"\0" * 100)


def incomplete(tree: Path) -> None:
    (tree / "slipway/agent/runtime.py").unlink()


def unsealed(tree: Path) -> None:
    Path(f"{tree}.seal").unlink()
    edited(tree)


def sealed_with_rubbish(tree: Path) -> None:
    Path(f"{tree}.seal").write_bytes(b"\xff\0")
    edited(tree)


@pytest.mark.parametrize(
    "change",
    [edited, edited_but_for_its_time_and_length, compiled_otherwise, shadowed, shadowed_by_a_link, torn, incomplete,
     unsealed, sealed_with_rubbish],
)  # fmt: skip
def test_what_was_edited_or_torn_does_not_run(installed: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    change(installed)
    ran, version = tmp_path / "ran", pack_agent().version
    assert version in start(tmp_path, install=False, RAN=str(ran))
    archive = str(installed).removesuffix(".d")
    done = subprocess.run(
        ["python3", archive, "version"],
        capture_output=True,
        text=True,
        env={**os.environ, "RAN": str(ran)},
        check=False,
    )
    assert version in done.stdout, done.stderr
    assert version in start(tmp_path, install=True, RAN=str(ran))
    assert not ran.exists()
    whole = content(installed)
    assert not (installed / "json").exists()
    assert not (installed / "json.py").exists()
    assert version in start(tmp_path, install=True, RAN=str(ran))
    assert content(installed) == whole
    assert sorted(path.name for path in installed.parent.iterdir() if "agent-" in path.name) == [
        f"agent-{version}.pyz{end}" for end in ("", ".d", ".d.seal")
    ]


def test_it_runs_compiled_and_writes_nothing_more(installed: Path, tmp_path: Path) -> None:
    before = content(installed)
    sources = list(installed.rglob("*.py"))
    assert len(list(installed.rglob("*.pyc"))) == len(sources)
    for install in (True, False):
        assert "agent: here" in start(tmp_path, install=install)
    assert content(installed) == before


def test_what_lies_in_the_users_home_takes_no_modules_place(installed: Path, tmp_path: Path) -> None:
    for name in ("hashlib", "zipfile", "json"):
        (tmp_path / f"{name}.py").write_text(EVIL)
    ran = tmp_path / "ran"
    start(tmp_path, install=True, RAN=str(ran), PYTHONPATH=str(tmp_path))
    assert not ran.exists()
    assert installed.is_dir()


@pytest.mark.parametrize("umask", ["000", "002", "022"])
def test_nobody_else_may_write_into_a_folder_of_the_host(tmp_path: Path, umask: str) -> None:
    start(tmp_path, install=True, umask=umask)
    assert _open_to_others(tmp_path / "deep") == []


def test_folders_that_others_could_write_into_are_closed(installed: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "deep/slipway", tmp_path / "deep/slipway/stacks", installed.parent):
        path.chmod(0o775)
    start(tmp_path, install=True)
    assert _open_to_others(tmp_path / "deep") == []


def test_a_folder_that_all_share_stays_one(tmp_path: Path) -> None:
    (tmp_path / "deep/slipway").mkdir(parents=True)
    (tmp_path / "deep/slipway").chmod(0o1777)
    start(tmp_path, install=True)
    assert (tmp_path / "deep/slipway").stat().st_mode & 0o7777 == 0o1777


def test_two_that_install_it_at_once_both_run(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: start(tmp_path, install=True), range(4)))
    assert all(pack_agent().version in each for each in said)
    found = sorted(path.name for path in (tmp_path / "deep/slipway/stacks" / STACK).glob("agent-*"))
    assert found == [f"agent-{pack_agent().version}.pyz{end}" for end in ("", ".d", ".d.seal")]
    assert "agent: here" in start(tmp_path, install=True)


def _open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if not path.is_symlink() and path.stat().st_mode & 0o022]
