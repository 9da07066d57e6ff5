"""Every command that Slipway prints can be pasted: it is whole, it exists, and it names its stack."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from slipway.cli.main import app, main
from slipway.contract.commands import of_stack, runnable
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
GROUPS = typer.main.get_command(app)
COMMAND = re.compile(
    r"(?<!x-)(?<!inet )\b(slipway|pulumi) (?!agent|in |on |is |by |may |has |can |driver|resource|which )[a-z][a-z-]+"
)
# What says something of a command, and tells nobody to run it: in an error's first part, in a heading, in an example.
SAID = (
    "<!-- ",
    "pulumi {X}", "{X} is no option of pulumi", "pulumi by {X}",
    "pulumi is not on PATH", "Options handed to pulumi", "slipway {X}", "  no update yet: pulumi up",
    "pulumi config set", "Bundle (slipway export)", "What slipway export", "file with a release",
    "for {X} s, in the background (slipway watch",
)  # fmt: skip
# Sentences that end with a command, whole and with its stack.
BEFORE = re.compile(
    r"not shown: \{X\} \((?=slipway ps .*\))|\n?\{X\}.*\n*(Next|to restore it|\{X\})?: (?=pulumi|slipway)"
    r"|\{X\} older: |.*: (?=pulumi cancel --yes|slipway lock --release)", re.DOTALL
)  # fmt: skip


def _text(node: ast.AST) -> str:
    """A literal, with `X` for what is put into it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "{X}" for each in node.values)
    return ""


def _all() -> list[str]:
    files = [*(ROOT / "slipway").rglob("*.py"), *(ROOT / "components").rglob("*.py")]
    return [_text(node) for file in files for node in ast.walk(ast.parse(file.read_text()))]


def _literals() -> Iterator[tuple[str, str]]:
    for file in sorted([*(ROOT / "slipway").rglob("*.py"), *(ROOT / "components").rglob("*.py")]):
        tree = ast.parse(file.read_text())
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            text = "" if id(node) in documents | parts else _text(node)
            plain = re.sub(r"`[^`]*`", "", text)  # a name of a command in prose stands in backticks
            if COMMAND.search(plain) and file.name != "commands.py":
                yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", text


LITERALS = dict(_literals())


def _run(command: str) -> None:
    """Let the command line itself read a command of ours; the engine's are compared with what it has."""
    words = [word for word in shlex.split(command) if word not in ("<", ">")]
    if words[0] == "pulumi":
        assert words[1] in ("up", "destroy", "preview", "config", "stack", "login", "whoami", "cancel", "console"), (
            command
        )
        assert all(re.fullmatch(r"--?[a-z-]+|[\w{}/.:\[\]-]+|\$f", word) for word in words[1:]), command
        return
    found = GROUPS.get_command(GROUPS.context_class(GROUPS), words[1])
    assert found is not None, command
    filled = [{"{X}": "on" if words[1] == "maintenance" else "1", "NUMBER": "1"}.get(word, word) for word in words[2:]]
    found.make_context(words[1], filled, resilient_parsing=False)  # a word too many, or no such option: UsageError


@pytest.mark.parametrize("place", LITERALS)
def test_every_printed_command_can_be_pasted_and_names_its_stack(place: str) -> None:
    text = LITERALS[place]
    if text.startswith(SAID):
        return
    text = BEFORE.sub("", text, count=1).rstrip(")").replace("--stack {}", "--stack {X}")
    assert re.match(r"(slipway|pulumi|openssl|read|export) ", text), f"prose around a command: {text}"
    for part in re.split(r" && | \| ", of_stack(text, "shop")):
        if part.startswith(("slipway ", "pulumi ")):
            stackless = re.match(
                r"pulumi (login|whoami|stack (ls|init|select))|slipway (init|upgrade|promote|prune)", part
            )
            assert stackless or " --stack " in part, part
            _run(part)


def test_no_command_of_another_program_has_a_remark_behind_it() -> None:
    begins = re.compile(
        r"(sudo|docker|ssh|ssh-keyscan|git|uv|systemctl|mkdir|apt-get|openssl|htpasswd|curl|make (?=up|test)) ?[^:]*$"
    )
    remark = re.compile(r", (then|with|which|or)\b|; |\((or|on|in|installs|a|see)\b| (shows|says|names) ")
    assert [text for text in _all() if begins.match(text) and remark.search(text)] == []


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("slipway status", "slipway status --stack shop"),
        ("slipway status --stack other", "slipway status --stack other"),
        ("slipway exec SERVICE -- sh -c x", "slipway exec SERVICE --stack shop -- sh -c x"),
        ("slipway exec SERVICE -- ls -s x", "slipway exec SERVICE --stack shop -- ls -s x"),
        ("slipway show 3 --release > FILE", "slipway show 3 --release --stack shop > FILE"),
        ("pulumi login && pulumi up", "pulumi login && pulumi up --stack shop"),
        ("pulumi whoami --verbose && pulumi stack ls", "pulumi whoami --verbose && pulumi stack ls"),
        ("openssl rand -hex 24 | pulumi config set a", "openssl rand -hex 24 | pulumi config set a --stack shop"),
        ("docker logs web", "docker logs web"),
        ("write `slipway status` there", "write `slipway status` there"),
    ],
)
def test_a_command_gets_its_stack_once_and_where_it_is_read(command: str, whole: str) -> None:
    assert of_stack(command, "shop") == whole == of_stack(whole, "another")
    assert of_stack(command, "") == command


@pytest.mark.parametrize(
    ("text", "under_uv"),
    [
        ("slipway up", "uv run slipway up"),
        ("pulumi login && slipway up --stack x", "pulumi login && uv run slipway up --stack x"),
        ("`slipway move` shows it", "`uv run slipway move` shows it"),
        ("slipway: error: no", "slipway: error: no"),
        ("uv run slipway up", "uv run slipway up"),
        (
            "ssh web-1 .local/share/slipway x; docker logs slipway-edge",
            "ssh web-1 .local/share/slipway x; docker logs slipway-edge",
        ),
        ("docker buildx create --name slipway --driver docker", "docker buildx create --name slipway --driver docker"),
    ],
)
def test_a_command_begins_with_what_works_where_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, text: str, under_uv: str
) -> None:
    assert runnable(text) == text
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert runnable(text) == under_uv == runnable(under_uv)
    assert str(Problem("a", "b", text)) == f"a — b — {under_uv}"
    assert of_stack(text, "") == under_uv
    assert of_stack(of_stack("slipway up", "shop"), "shop") == "uv run slipway up --stack shop"
    assert of_stack("uv run slipway init x", "shop") == "uv run slipway init x"


def test_a_problem_of_a_host_names_the_stack_of_whoever_prints_it() -> None:
    error = SlipwayError([Problem("host a: no answer", "unknown", "slipway status"), Problem("b", "c", "d")])
    assert str(error.of_stack("my stack")).splitlines() == [
        "slipway: error: host a: no answer — unknown — slipway status --stack 'my stack'",
        "slipway: error: b — c — d",
    ]


@pytest.mark.parametrize(
    ("words", "selected", "stack"),
    [
        (["ps", "--stack", "a", "web"], "b", "a"),
        (["ps", "--stack=a", "web"], "b", "a"),
        (["ps", "-s", "a"], "", "a"),
        (["ps", "-sa"], "", "a"),
        (["ps", "web"], "b", "b"),
        (["ps", "web"], "", ""),
        (["exec", "api", "--", "sh", "-s", "foo"], "b", "b"),
        (["exec", "api", "--", "pulumi", "--stack", "foo"], "", ""),
        (["exec", "-s", "a", "api", "--", "pulumi", "--stack=foo"], "b", "a"),
        (["upgrade"], "b", "b"),
    ],
)
def test_an_error_leads_on_to_the_stack_of_the_command_not_of_what_it_runs(
    words: list[str], selected: str, stack: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    failure = SlipwayError("a", "b", "slipway status")
    monkeypatch.setenv("PULUMI_STACK", selected)
    monkeypatch.setattr("sys.argv", ["slipway", *words])
    for name in ("read_stack", "program_folder"):
        monkeypatch.setattr(f"slipway.releases.engine.{name}", fail)
    with pytest.raises(SystemExit, match="1"):
        main()
    option = f" --stack {stack}" if stack else ""
    assert capsys.readouterr().err == f"slipway: error: a — b — slipway status{option}\n"
    assert failure.problems[0].fix == "slipway status", "whoever holds the error keeps it as it was"
