"""`slipway secrets import`: what becomes of every line of a `.env` file, and of the stack file.

The engine is a stand-in that keeps what it is given; tests/engine/test_new_project.py has the real one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from config_project import enter_project
from samples import CANARY
from typer.testing import CliRunner

from slipway.cli import confirm
from slipway.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Import a file with this content into the stack `staging` of the project `shop`."""
    enter_project(tmp_path, monkeypatch)

    def import_(content: str | bytes, *options: str, **stated: Any) -> Result:
        written = content.encode() if isinstance(content, str) else content
        (tmp_path / "my.env").write_bytes(written)
        if stated:
            stated["secrets"] = {name: {"secure": value[::-1]} for name, value in stated.get("secrets", {}).items()}
            config = {f"shop:{key}": value for key, value in stated.items()}
            (tmp_path / "Pulumi.staging.yaml").write_text(yaml.safe_dump({"config": config}))
        return CliRunner().invoke(app, ["secrets", "import", "my.env", "--stack", "staging", *options])

    return import_


def stack(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Its variables, and its secrets decrypted."""
    file = folder / "Pulumi.staging.yaml"
    config = (yaml.safe_load(file.read_text()) if file.exists() else {}).get("config", {})
    secrets = config.get("shop:secrets") or {}
    return config.get("shop:variables") or {}, {name: each["secure"][::-1] for name, each in secrets.items()}


LINES = [
    # a file, and what becomes of it: variables and secrets
    ("A=1", {"A": 1}, {}),
    ("export A=x # said", {"A": "x"}, {}),
    ("A='a $B'", {"A": "a $B"}, {}),
    ("\ufeffA=x\r\nB=y\r\n", {"A": "x", "B": "y"}, {}),
    ("A=007\nB=+5\nC=-0\nD=1e3", {"A": "007", "B": "+5", "C": "-0", "D": "1e3"}, {}),
    ("A=hällo wörld ☃", {"A": "hällo wörld ☃"}, {}),
    ("A==x=y", {"A": "=x=y"}, {}),
    ("A=-v", {"A": "-v"}, {}),
    ("A=", {"A": ""}, {}),
    ("A=1\nA=x", {"A": "x"}, {}),
    (f"API_TOKEN={CANARY}", {}, {"API_TOKEN": CANARY}),
    ("API_TOKEN='two\nlines\n'", {}, {"API_TOKEN": "two\nlines\n"}),
    ("SMTP_PASSWORD=", {"SMTP_PASSWORD": ""}, {}),
    (f"URL=postgres://shop:{CANARY}@db/shop", {}, {"URL": f"postgres://shop:{CANARY}@db/shop"}),
    (f"PW={CANARY}\nURL=http://x/?p=${{PW}}", {}, {"PW": CANARY, "URL": f"http://x/?p={CANARY}"}),
    ("HOST=db\nURL=http://$HOST/", {"HOST": "db", "URL": "http://db/"}, {}),
    ("SLIPWAY_REGISTRY=r\nCOMPOSE_PROJECT_NAME=x\nDOCKER_HOST=y\nCOMPOSE_PROFILES=p", {"COMPOSE_PROFILES": "p"}, {}),
    ("discovery.type=single-node\nA-B=x", {"discovery.type": "single-node", "A-B": "x"}, {}),
    (
        "COMPOSE_FILE=a.yaml,b.yaml\nCOMPOSE_PATH_SEPARATOR=,",
        {"COMPOSE_FILE": "a.yaml,b.yaml", "COMPOSE_PATH_SEPARATOR": ","},
        {},
    ),
    ("# nothing\n\n", {}, {}),
]


@pytest.mark.parametrize(("content", "variables", "secrets"), LINES)
def test_every_line_becomes_a_variable_or_a_secret(
    run: Run, tmp_path: Path, content: str, variables: dict[str, Any], secrets: dict[str, str]
) -> None:
    result = run(content, "--yes")
    assert result.exit_code == 0, result.output
    assert stack(tmp_path) == (variables, secrets)
    assert all(value not in result.output for value in secrets.values())
    calls = (tmp_path / "calls").read_text()
    assert all(value not in calls and json.dumps(value)[1:-1] not in calls for value in secrets.values())


def test_what_is_derived_from_the_name_of_the_project_has_that_of_the_stack(run: Run, tmp_path: Path) -> None:
    content = (
        "COMPOSE_PROJECT_NAME=basic\nNET=${COMPOSE_PROJECT_NAME}-docker\nMYSQL_HOST=db.$NET\nBASIC=basic\n"
        "DOMAIN=${COMPOSE_PROJECT_NAME}-x.example.com\nMYSQL_DATABASE=$COMPOSE_PROJECT_NAME\nMAIL=a@${COMPOSE_PROJECT_NAME}.org\n"
        "BUCKET=my-${COMPOSE_PROJECT_NAME}-media\n"
        f"URL=mysql://u:{CANARY}@db.${{NET}}/x\nKEPT='$COMPOSE_PROJECT_NAME'\n"
    )
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "compose.yaml").write_text("name: given\nservices: {web: {image: x}}\n")
    result = run(content, "--yes", "--plain", "KEPT", application="app")
    assert result.exit_code == 0, result.output
    assert "left out: COMPOSE_PROJECT_NAME (given-staging takes its place in NET, MYSQL_HOST, URL)" in result.output
    variables, secrets = stack(tmp_path)
    assert variables == {
        "NET": "given-staging-docker",
        "MYSQL_HOST": "db.given-staging-docker",
        "BASIC": "basic",
        "DOMAIN": "basic-x.example.com",
        "MYSQL_DATABASE": "basic",
        "MAIL": "a@basic.org",
        "BUCKET": "my-basic-media",
        "KEPT": "$COMPOSE_PROJECT_NAME",
    }
    assert secrets == {"URL": f"mysql://u:{CANARY}@db.given-staging-docker/x"}


def test_a_project_s_name_to_which_nothing_refers_is_not_asked_for(run: Run, tmp_path: Path) -> None:
    assert run("COMPOSE_PROJECT_NAME=basic\nA=1\n", "--yes").exit_code == 0  # there is no Compose file
    assert stack(tmp_path) == ({"A": 1}, {})


READABLE = "readable until now: change it where it is used"
STATED = {
    "variables": {"A": "1", "OLD_TOKEN": "readable", "WAS_EMPTY_KEY": ""},
    "secrets": {"B": "b-secret", "C_KEY": "c-secret"},
}


def test_a_stack_keeps_what_the_file_does_not_name_and_says_what_changes(run: Run, tmp_path: Path) -> None:
    content = (
        "A=2\nB=new-value\nC_KEY=c-secret\nOLD_TOKEN=hidden-now\nWAS_EMPTY_KEY=Zk3qXy8Qp1Lw\nNEW=x\nPIN_KEY=changeme\n"
    )
    result = run(content, "--yes", **STATED, domain="shop.example")
    variables, secrets = stack(tmp_path)
    assert variables == {"A": 2, "NEW": "x"}
    expected = {"B": "new-value", "C_KEY": "c-secret", "OLD_TOKEN": "hidden-now", "PIN_KEY": "changeme"} | {
        "WAS_EMPTY_KEY": "Zk3qXy8Qp1Lw"
    }
    assert secrets == expected
    assert "shop.example" in (tmp_path / "Pulumi.staging.yaml").read_text()
    said = [line.split(maxsplit=2) for line in result.output.splitlines() if line.startswith("    ")]
    assert {(how, name, "".join(note)) for how, name, *note in said} == {
        ("changed", "B", "already a secret"),
        ("moved", "OLD_TOKEN", f"by its name, {READABLE}, has fewer than 12 characters"),
        ("moved", "WAS_EMPTY_KEY", "by its name"),
        ("new", "PIN_KEY", "by its name, is a placeholder"),
        ("changed", "A", ""),
        ("new", "NEW", ""),
    }  # fmt: skip
    assert "  unchanged: 1" in result.output
    again = run(content, "--yes")
    assert (again.exit_code, stack(tmp_path)) == (0, (variables, secrets))
    assert sum("set" in call or "set-all" in call for call in calls_of(tmp_path)) == 5  # none of the second run


def test_only_what_is_evidently_plain_or_declared_so_becomes_a_variable(run: Run, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {s: {image: 'x:$TAG', environment: {A: $OTHER, B: $KNOWN}}}")
    lines = "".join(f"{name}=k3Xz8Qp1\n" for name in ("TAG", "OTHER", "KNOWN", "STATED_KEY"))
    result = run(lines, "--yes", variables={"KNOWN": "x", "STATED_KEY": "x"}, application=".")
    assert result.exit_code == 0, result.output
    variables, secrets = stack(tmp_path)
    assert (set(variables), set(secrets)) == ({"TAG", "KNOWN"}, {"OTHER", "STATED_KEY"})
    assert "OTHER       nothing shows that it is plain" in result.output


def calls_of(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def test_an_empty_line_leaves_the_stacks_secret_and_says_how_to_set_one(run: Run, tmp_path: Path) -> None:
    stated = {"secrets": {"PG_PASS": CANARY, "OTHER_KEY": "x"}}
    result = run("PG_PASS=\nSMTP_PASSWORD=\nTITLE=\nOTHER_KEY=\n", "--yes", "--plain", "OTHER_KEY", **stated)
    assert result.exit_code == 0, result.output
    assert stack(tmp_path) == ({"SMTP_PASSWORD": "", "TITLE": "", "OTHER_KEY": ""}, {"PG_PASS": CANARY})
    assert "left out: PG_PASS (empty: the stack's secret stays)" in result.output
    assert "SMTP_PASSWORD  empty; a secret by its name: set secrets.SMTP_PASSWORD if it is" in result.output
    assert "TITLE          empty\n" in result.output


def test_options_decide_what_is_secret(run: Run, tmp_path: Path) -> None:
    result = run("A_KEY=a-b-c\nPLACE=x\nC_KEY=c-secret", "--plain", "A_KEY", "--plain", "C_KEY", "--secret", "PLACE",
                 "--yes", **STATED)  # fmt: skip
    assert result.exit_code == 0, result.output
    variables, secrets = stack(tmp_path)
    assert (variables["A_KEY"], variables["C_KEY"], secrets["PLACE"]) == ("a-b-c", "c-secret", "x")
    assert "C_KEY" not in secrets
    result = run("A=1", "--plain", "NOWHERE", "--yes")
    assert (result.exit_code, "NOWHERE is not in my.env" in str(result.exception)) == (1, True)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("A=1\n\nbroken line here\n", [3]),
        ("A=1\n'x\n", [2]),
        ("KEY=-----BEGIN\nMIIEcanary\nab+/canary==\n", [2, 3]),
        ("A-B=x\n1A=canary\nÄ=canary\nA.B=x", [2, 3]),
        ("A=x\nB=a\0canary\n", [2]),
        (b"A=1\nB=\xff\n", []),
    ],
)
def test_broken_lines_are_named_by_number_without_what_they_hold(
    run: Run, tmp_path: Path, content: str | bytes, lines: list[int]
) -> None:
    result = run(content, "--yes", **STATED)
    before = (tmp_path / "Pulumi.staging.yaml").read_bytes()
    said = str(result.exception)
    assert result.exit_code == 1
    assert [int(line.partition("line ")[2].split()[0]) for line in said.splitlines() if "line " in line] == lines
    assert "my.env" in said
    assert "canary" not in said + result.output
    assert (tmp_path / "Pulumi.staging.yaml").read_bytes() == before
    assert not any("set" in call or "set-all" in call for call in calls_of(tmp_path))


def test_nothing_changes_without_a_yes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("A=1", "--plan")
    assert (result.exit_code, stack(tmp_path)) == (0, ({}, {}))
    result = run("A=1")  # no terminal
    assert (result.exit_code, stack(tmp_path)) == (1, ({}, {}))
    assert str(result.exception).endswith("slipway secrets import my.env --stack staging --yes")
    monkeypatch.setattr(confirm, "has_terminal", lambda: True)
    monkeypatch.setattr(confirm.typer, "confirm", lambda _: False)
    assert (run("A=1").exit_code, stack(tmp_path)) == (0, ({}, {}))
    monkeypatch.setattr(confirm.typer, "confirm", lambda _: True)
    assert (run("A=1").exit_code, stack(tmp_path)) == (0, ({"A": 1}, {}))


@pytest.mark.parametrize("at", ["refuses", "meanwhile"])
def test_a_change_that_cannot_be_finished_is_none(run: Run, tmp_path: Path, at: str) -> None:
    (tmp_path / at).write_text("secrets.B_TOKEN")
    result = run(f"A=1\nA_TOKEN=first-{CANARY}\nB_TOKEN={CANARY}", "--yes", **STATED)
    assert result.exit_code == 1
    assert CANARY not in str(result.exception) + result.output
    if at == "refuses":
        assert stack(tmp_path) == (STATED["variables"], STATED["secrets"])
    else:
        assert "somebody else" in str(result.exception)
        assert (tmp_path / "Pulumi.staging.yaml").read_text() == "config: {}\n"  # theirs
    assert not list(tmp_path.glob(".Pulumi*"))


def test_a_file_that_is_not_there_leads_to_its_example(run: Run, tmp_path: Path) -> None:
    run("A=1", "--plan")
    for name, fix in ((None, "write its lines NAME=VALUE"), (".env.example", "cp .env.example gone.env")):
        if name:
            (tmp_path / name).write_text("A=\n")
        result = CliRunner().invoke(app, ["secrets", "import", "gone.env", "--stack", "staging"])
        assert str(result.exception).endswith(fix)


def test_a_secret_that_no_compose_file_could_refer_to_is_refused_and_may_be_a_variable(
    run: Run, tmp_path: Path
) -> None:
    result = run(f"api.token={CANARY}", "--yes")
    assert result.exit_code == 1
    assert "api.token counts as a secret (by its name), and a secret's name has no dots or dashes" in str(
        result.exception
    )
    assert run(f"api.token={CANARY}", "--yes", "--plain", "api.token").exit_code == 0
    assert stack(tmp_path) == ({"api.token": CANARY}, {})


COMPOSE = """\
services:
  web:
    image: nginx:1.29
    environment: {A: $A, B: $B, C: $SMTP_PASSWORD, D: $DB_PASSWORD, MUST: "${MUST:?}", URL: "https://$DOMAIN/"}
    volumes: ["$PLACE:/data"]
"""


@pytest.mark.parametrize("file", [True, False])
def test_empty_sets_what_nothing_has_as_compose_would(run: Run, tmp_path: Path, *, file: bool) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    run("", "--plan", variables={"B": "of the stack"}, application=".")
    options = ["secrets", "import", *(["my.env"] if file else []), "--empty", "--stack", "staging"]
    (tmp_path / "my.env").write_text(f"A=x\nDB_PASSWORD={CANARY}\n")
    plan = CliRunner().invoke(app, [*options, "--plan"])
    assert plan.exit_code == 0, plan.exception
    assert "SMTP_PASSWORD  empty, as Compose takes it, though named like a secret" in " ".join(
        plan.output.split("new   ")
    ).replace("    ", "")
    for name in ("DOMAIN", "MUST", "PLACE"):
        assert f"left out: {name} (still missing: it must not be empty)" in plan.output
    unasked = CliRunner().invoke(app, options)
    assert str(unasked.exception).endswith(
        f"slipway secrets import {'my.env ' if file else ''}--empty --stack staging --yes"
    )
    assert CliRunner().invoke(app, [*options, "--yes"]).exit_code == 0
    variables, secrets = stack(tmp_path)
    assert secrets == ({"DB_PASSWORD": CANARY} if file else {})
    rest = {} if file else {"DB_PASSWORD": ""}
    assert variables == {"A": "x" if file else "", "B": "of the stack", "SMTP_PASSWORD": "", **rest}
    assert CANARY not in plan.output + unasked.output


@pytest.mark.parametrize("options", [["import"], ["import", "--empty", "--plain", "A"], ["adopt", "--empty"]])
def test_options_that_would_have_no_effect_are_refused(run: Run, options: list[str]) -> None:
    run("", "--plan")
    assert CliRunner().invoke(app, ["secrets", *options, "--stack", "staging"]).exit_code == 2
