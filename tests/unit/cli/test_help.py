"""What `slipway --help` shows, and that it is quick."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import slipway.cli.commands
from slipway.cli.command_groups import COMMANDS, GROUPS
from slipway.cli.main import app

_FOLDER = Path(slipway.cli.commands.__file__).parent


def _slipway(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    program = (
        f"import sys; sys.argv = ['slipway', *{arguments!r}]\n"
        "from slipway.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*(name for name in sys.modules if name.startswith('slipway.')), file=sys.stderr)\n"
    )
    environment = {"COLUMNS": str(columns), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_commands_stand_in_groups_with_a_line_each_and_nothing_cut_off() -> None:
    text = _slipway("--help").stdout
    assert all(len(line) <= 80 for line in text.splitlines())
    sections = [section.splitlines() for section in text.split("\n\n") if section.split("\n")[0].rstrip(":") in GROUPS]
    assert [lines[0] for lines in sections] == [f"{group}:" for group in GROUPS]
    for (_, *lines), commands in zip(sections, GROUPS.values(), strict=True):
        assert [tuple(line.strip().split(maxsplit=1)) for line in lines] == list(commands.items())


def test_every_command_of_the_folders_is_in_the_help() -> None:
    files = {file.stem.rstrip("_").replace("_", "-") for file in _FOLDER.glob("*/*.py") if file.stem != "__init__"}
    assert files == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded_and_says_what_it_does_and_its_exit_codes(name: str) -> None:
    command = typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]
    assert command.name == name
    assert "Exit code:" in (command.help or "")


def test_help_loads_no_command_and_a_command_loads_no_other() -> None:
    def loaded(*arguments: str) -> list[str]:
        modules = _slipway(*arguments).stderr.splitlines()[-1].split()
        return [name for name in modules if name.startswith("slipway.cli.commands.") and name.count(".") > 3]

    assert loaded("--help") == []
    assert loaded("import", "--help") == ["slipway.cli.commands.go_back.import_"]


def test_a_typo_is_answered_with_the_command_that_was_meant() -> None:
    ended = _slipway("stauts")
    assert ended.returncode == 2
    assert "Did you mean 'status'" in ended.stderr
