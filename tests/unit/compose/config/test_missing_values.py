"""Many values that a stack lacks: named together with the command that takes them from a file."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import application, problems_of, whats

NAMES = [f"NAME_{number}" for number in range(4)]


def compose(**environment: Any) -> str:
    return json.dumps({"services": {"web": {"image": "nginx", "environment": environment}}})


@pytest.mark.parametrize(
    ("needed", "dotenv", "meaning"),
    [
        (NAMES, {}, "write them as NAME=VALUE into a file that git ignores"),
        (NAMES, dict.fromkeys(NAMES, "x"), "example/.env has all of them"),
        ([*NAMES, "TOKEN"], {"TOKEN": "x", "OTHER": "y"}, "example/.env has 1 of them"),
        (NAMES[:3], dict.fromkeys(NAMES, "x"), None),
        (["DOCKER_IMAGE", *NAMES], {"DOCKER_IMAGE": "x"}, "example/.env has 1 of them"),
        # the import leaves it out, so that file is no way to it
        (["DOCKER_HOST", *NAMES], {"DOCKER_HOST": "x"}, "write them as NAME=VALUE into a file that git ignores"),
    ],
)
def test_more_than_three_missing_values_name_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: list[str], dotenv: dict[str, str], meaning: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "example"
    folder.mkdir()
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in dotenv.items()))
    problems = problems_of(folder, compose(**{name: f"${{{name}}}" for name in needed}))
    assert whats(problems[: len(needed)]) == [f"variable {name} of the Compose file has no value" for name in needed]
    told = [(each.what, each.meaning.partition(";")[0], each.fix) for each in problems[len(needed) :]]
    many = f"{len(needed)} values of the Compose file are missing"
    empty = "--empty " if " 1 of" in str(meaning) else ""  # what settles the others as well
    assert told == ([(many, meaning, f"slipway secrets import example/.env {empty}--stack test")] if meaning else [])
    assert "--empty" in problems[-1].meaning or not told or "all of them" in str(meaning)


def test_secrets_count_as_missing_values_and_are_told_where_nothing_else_can_be_read(tmp_path: Path) -> None:
    mounted = {name: {"environment": name.upper()} for name in ("a", "b", "c", "d")}
    text = json.dumps({"services": {"web": {"image": "nginx", "secrets": list(mounted)}}, "secrets": mounted})
    assert problems_of(tmp_path, text)[-1].code == "values-missing"
    ports = {"services": {"web": {"image": "nginx", "ports": [f"${{{name}:?}}:x" for name in NAMES]}}}
    problems = problems_of(tmp_path, json.dumps(ports))
    assert problems[-1].what == "4 values of the Compose file are missing"


def test_what_compose_would_take_from_the_folder_and_the_stack_leaves_unset_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("A=s3cr3t\nB=s3cr3t\nC=\nGIVEN=x\n")
    found = application(tmp_path, compose(A=None, B=None, C=None, D=None, GIVEN=None), variables={"GIVEN": "y"})
    [warning] = found.warnings
    assert warning.what == "A, B have a value in .env, and none in the stack"
    assert warning.fix == "slipway secrets import .env --stack test"
    assert "s3cr3t" not in str(found)
