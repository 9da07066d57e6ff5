"""The packed agent: the same bytes from the same sources, small, and complete."""

import ast
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import ROOT

from slipway.hosts import agent_package
from slipway.hosts.agent_package import pack_agent


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "agent.pyz"
    path.write_bytes(pack_agent().content)
    return path


def _shipped(content: bytes) -> dict[str, str]:
    """The sources within the archive."""
    parts = zipfile.ZipFile(io.BytesIO(content)).read("sources").decode().split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """In another process, with another order of the folder, whatever the files' times and modes."""
    code = (
        "import pathlib, random; from slipway.hosts import agent_package\n"
        "found = pathlib.Path.glob\n"
        "pathlib.Path.glob = lambda *a: sorted(found(*a), key=lambda _: random.random())\n"
        "print(agent_package.pack_agent().digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert done.stdout.strip() == pack_agent().digest


def test_its_digest_is_that_of_its_bytes() -> None:
    assert pack_agent().digest == hashlib.sha256(pack_agent().content).hexdigest()


def test_it_is_at_most_150_kilobytes() -> None:
    assert len(pack_agent().content) <= 150 * 1024


def test_it_holds_the_agents_sources_the_contract_and_what_sends_messages_and_nothing_else() -> None:
    names = set(_shipped(pack_agent().content))
    sources = {
        path.relative_to(ROOT).as_posix()
        for folder in ("slipway/agent", "slipway/contract", "slipway/notify")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert names == sources | {"slipway/__init__.py"}


def test_nothing_of_this_machine_is_in_it() -> None:
    outer = zipfile.ZipFile(io.BytesIO(pack_agent().content))
    for entry in outer.infolist():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert (entry.create_system, entry.external_attr >> 16) == (3, 0o644)


def test_it_runs_by_itself_without_anything_of_this_program(packed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(packed), "version"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": os.defpath},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert pack_agent().digest[:12] in done.stdout


def test_modules_that_a_start_up_file_of_the_host_points_python_at_take_no_place(packed: Path, tmp_path: Path) -> None:
    for name in ("json", "secrets", "hashlib", "zipfile", "argparse", "subprocess", "slipway"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('of the application')")
    for flags in ([], ["-X", "utf8"]):
        done = subprocess.run(
            [sys.executable, *flags, str(packed), "version"],
            capture_output=True, text=True, check=False, env={"PATH": os.defpath, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert pack_agent().digest[:12] in done.stdout


def test_another_source_is_another_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _sources(tmp_path, monkeypatch)
    first = pack_agent.__wrapped__()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.cpython-311.pyc").write_text("x")
    assert pack_agent.__wrapped__() == first
    (folder / "a.py").write_text("x = 2\n")
    assert pack_agent.__wrapped__() != first


def _sources(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path, text in (("agent/a.py", "x = 1\n"), ("hosts/agent_package.py", ""), ("hosts/__pycache__/x", "")):
        (root / "slipway" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "slipway" / path).write_text(text)
    monkeypatch.setattr(agent_package, "__file__", str(root / "slipway" / "hosts" / "agent_package.py"))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setattr("sys.pycache_prefix", None)
    return root / "slipway" / "agent"


def test_it_is_packed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _sources(tmp_path, monkeypatch)
    first = pack_agent.__wrapped__()
    monkeypatch.setattr(agent_package, "_packed", lambda *_: pytest.fail("packed again"))
    assert pack_agent.__wrapped__() == first


@pytest.mark.parametrize("damage", [lambda _: b"", lambda kept: kept[:-1], lambda kept: kept[:-9] + bytes(9)])
def test_what_a_crash_left_of_it_is_packed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    _sources(tmp_path, monkeypatch)
    first = pack_agent.__wrapped__()
    (kept,) = tmp_path.rglob("agent.pyz")
    kept.write_bytes(damage(kept.read_bytes()))
    assert pack_agent.__wrapped__() == first


def test_where_nothing_may_be_written_it_is_packed_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _sources(tmp_path, monkeypatch)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    first = pack_agent.__wrapped__()
    assert not list(tmp_path.rglob("agent.pyz*"))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setattr("sys.pycache_prefix", "/proc/nowhere")
    assert pack_agent.__wrapped__() == first


def test_sources_lose_what_only_readers_need_but_no_line(packed: Path) -> None:
    for name, shipped in _shipped(packed.read_bytes()).items():
        source = (ROOT / name).read_text()
        compile(shipped, name, "exec")
        assert len(shipped.splitlines()) == len(source.splitlines()), name
        assert _without_docstrings(source) == _without_docstrings(shipped), name
        assert not any(map(_for_readers, ast.parse(shipped).body)), name
        assert not any(ast.get_docstring(each) for each in ast.walk(ast.parse(shipped)) if _documented(each)), name


def _documented(node: ast.AST) -> bool:
    return isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))


def _for_readers(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__all__"
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse


def _without_docstrings(source: str) -> list[str]:
    """Every statement as the parser sees it, with its line; aside from docstrings and what is there for linters."""
    tree = ast.parse(source)
    tree.body = [each for each in tree.body if not _for_readers(each)]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            kept = [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.stmt)]
            found.append(f"{node.lineno} {[ast.dump(each) for each in kept]}")
    return sorted(found)
