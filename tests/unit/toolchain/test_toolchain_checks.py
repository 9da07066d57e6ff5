"""`make test` runs the tests of our own tools when those changed, and says when it leaves them out."""

from pathlib import Path

import pytest

from dev.toolchain import checks

TOOLS = "tests/unit/toolchain"


class Runs:
    """The pytest runs that were asked for, and which of them fail."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.failing: tuple[str, ...] = ()

    def run(self, what: str, *argv: str) -> bool:
        self.commands.append(argv)
        return what not in self.failing

    def ran_tool_tests(self) -> bool:
        ran, self.commands = any(TOOLS in argv for argv in self.commands), []
        return ran


@pytest.fixture
def runs(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    del cache
    for file in ("dev/tool.py", f"{TOOLS}/test_tool.py", "tests/hosts/traffic.py", "tests/hosts/test_way_back.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("1\n")
    (tmp_path / "uv.lock").write_text("locked\n")
    runs = Runs()
    monkeypatch.setattr(checks, "_ROOT", tmp_path)
    monkeypatch.setattr(checks, "_run", runs.run)
    monkeypatch.setattr(checks, "_prepare", lambda *_: None)
    monkeypatch.setattr(checks, "ensure_docker", dict)
    monkeypatch.setattr(checks, "ensure_actionlint", lambda: Path("actionlint"))
    return runs


def test_tool_tests_that_passed_are_left_out_with_a_word_on_how_to_run_them(
    runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks.test([]) == 0
    assert runs.ran_tool_tests()
    assert checks.test([]) == 0
    assert not runs.ran_tool_tests()
    assert "SLIPWAY_TEST_ALL=1 make test" in capsys.readouterr().err
    monkeypatch.setenv("SLIPWAY_TEST_ALL", "1")
    checks.test([])
    assert runs.ran_tool_tests()


@pytest.mark.parametrize(
    "file", ["dev/tool.py", "dev/new.py", f"{TOOLS}/test_tool.py", "tests/hosts/traffic.py", "uv.lock"]
)
def test_a_change_of_the_tools_runs_their_tests_again(file: str, tmp_path: Path, runs: Runs) -> None:
    checks.test([])
    runs.ran_tool_tests()
    (tmp_path / file).write_text("2\n")
    checks.test([])
    assert runs.ran_tool_tests()


def test_a_change_of_another_test_does_not(tmp_path: Path, runs: Runs) -> None:
    checks.test([])
    runs.ran_tool_tests()
    (tmp_path / "tests/hosts/test_way_back.py").write_text("2\n")
    checks.test([])
    assert not runs.ran_tool_tests()


def test_tool_tests_that_failed_run_again(runs: Runs) -> None:
    runs.failing = ("tests of our own tools",)
    assert checks.test([]) == 1
    assert runs.ran_tool_tests()
    runs.failing = ()
    assert checks.test([]) == 0
    assert runs.ran_tool_tests()


def test_the_other_tests_run_each_time_and_name_the_ten_slowest(runs: Runs) -> None:
    runs.failing = ("engine and host tests",)
    assert checks.test(["-k", "drift"]) == 1
    others = runs.commands[-1]
    assert {"--durations=10", "tests/engine", "tests/hosts", "drift"} <= set(others)
    assert f"--ignore={TOOLS}" in others


def test_check_runs_the_tool_tests_as_well(runs: Runs) -> None:
    assert checks.check([]) == 0
    assert not any(argument.startswith("--ignore") for argv in runs.commands for argument in argv)


def test_every_tool_test_that_is_named_exists() -> None:
    root = Path(__file__).resolve().parents[3]
    assert [path for path in checks._TOOL_TESTS if not (root / path).exists()] == []


@pytest.mark.parametrize("parts", [1, 3, 4])
def test_the_parts_of_the_engine_and_host_tests_are_all_of_them_once_each(parts: int) -> None:
    found = [file for number in range(1, parts + 1) for file in checks.part(f"{number}/{parts}")]
    files = Path(__file__).parents[2].glob("*/test_*.py")
    assert sorted(found) == sorted(
        f"tests/{file.parent.name}/{file.name}" for file in files if file.parent.name != "unit"
    )


def test_a_part_runs_nothing_else(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TEST_SHARD", "1/2")
    assert checks.test([]) == 0
    [command] = runs.commands
    assert command[0] == "pytest"
    assert [word for word in command if word.startswith("tests/")] == checks.part("1/2")
