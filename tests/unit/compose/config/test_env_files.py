"""`env_file`: the stack's values win, and a file that is missing is named."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, application, problems_of, whats

from slipway.compose.application import Application


def deployed(folder: Path, files: dict[str, str], service: dict[str, Any], **values: Any) -> Application:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    services = {"web": {"image": "x", **service}, "other": {"image": "x", "environment": {"P": "${DB_PASSWORD-}"}}}
    return application(folder, json.dumps({"services": services}), **values)


def environment(found: Application) -> dict[str, Any]:
    given: dict[str, Any] = found.document["services"]["web"]["environment"]
    return given


FILE = "DB_PASSWORD=of-the-file\nLEVEL=debug\nCOST=1\n"


@pytest.mark.parametrize(
    ("name", "service", "warned"),
    [
        (".env", {"env_file": ".env"}, []),
        (".env", {"env_file": ["./.env"]}, []),
        ("web.env", {"env_file": [{"path": "web.env", "required": False}]}, ["COST", "DB_PASSWORD", "LEVEL"]),
        ("deep/web.env", {"env_file": "deep/web.env"}, ["COST", "DB_PASSWORD", "LEVEL"]),
    ],
)
def test_the_stacks_value_wins_over_an_env_file(
    tmp_path: Path, name: str, service: dict[str, Any], warned: list[str]
) -> None:
    found = deployed(
        tmp_path, {name: FILE}, service, secrets={"DB_PASSWORD": CANARY}, variables={"LEVEL": "info", "COST": "$5"}
    )
    assert environment(found) == {"DB_PASSWORD": "${DB_PASSWORD}", "LEVEL": "info", "COST": "$$5"}
    assert found.secrets == ("DB_PASSWORD",)
    said = [warning.what for warning in found.warnings if "has another value" in warning.what]
    assert [what.split()[1] for what in said] == warned
    assert CANARY not in str(found)


def test_equal_values_need_no_word(tmp_path: Path) -> None:
    found = deployed(tmp_path, {"a.env": "LEVEL=info\n"}, {"env_file": "a.env"}, variables={"LEVEL": "info"})
    assert environment(found) == {"LEVEL": "info"}
    assert found.warnings == ()


@pytest.mark.parametrize("stated", [{"LEVEL": "own"}, ["LEVEL=own"]])
def test_what_the_service_sets_itself_comes_first(tmp_path: Path, stated: Any) -> None:
    service = {"env_file": ".env", "environment": stated}
    found = deployed(tmp_path, {".env": "LEVEL=debug\nOTHER=1\n"}, service, variables={"LEVEL": "info"})
    assert environment(found) == {"LEVEL": "own", "OTHER": "1"}


def test_a_files_own_references_have_the_stacks_values(tmp_path: Path) -> None:
    found = deployed(
        tmp_path, {".env": "URL=pg://u:${DB_PASSWORD}@db\n"}, {"env_file": ".env"}, secrets={"DB_PASSWORD": CANARY}
    )
    assert environment(found) == {"URL": "pg://u:${DB_PASSWORD}@db"}


@pytest.mark.parametrize("production", [False, True])
def test_an_untracked_file_is_as_a_dotenv_and_its_way_out_is_to_import_it(tmp_path: Path, production: bool) -> None:  # noqa: FBT001
    text = (
        "DATADOG=0123456789abcdef0123456789abcdef\nADMIN=hunter2Secret9x\nLEVEL=debug\nEMPTY=\nOWN=a1B2c3D4e5\n"
        "STATED=a1B2c3D4e5\nURL=pg://u@db/${DB_NAME}?x=${LEVEL}\nSITE=https://shop.example.com/\nAPI_KEY_RATE_LIMIT=60/minute\n"
    )
    service = {"env_file": "a b.env", "environment": {"OWN": "x"}, "restart": "always"}
    given = {"variables": {"STATED": "x", "DB_NAME": "shop"}, "production": production}

    def said() -> list[Any]:
        return [
            each for each in deployed(tmp_path, {"a b.env": text}, service, **given).warnings if "every" in each.what
        ]

    [warning] = said()
    assert warning.what == "ADMIN, DATADOG of a b.env would be in plain text in every release"
    assert warning.fix.startswith("slipway secrets import ")
    assert "a b.env' --stack test" in warning.fix
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert said()
    subprocess.run(["git", "-C", tmp_path, "add", "a b.env"], check=True)
    assert not said()


def test_a_service_without_an_env_file_is_left_alone(tmp_path: Path) -> None:
    found = deployed(tmp_path, {}, {"environment": {"LEVEL": "own"}}, variables={"LEVEL": "info"})
    assert environment(found) == {"LEVEL": "own"}


def test_every_missing_env_file_is_named_with_both_ways_out(tmp_path: Path) -> None:
    text = """
        services:
          a: {image: x, env_file: .env}
          b: {image: x, env_file: [here.env, {path: gone.env}, {path: may.env, required: false}]}
          c: {image: x, environment: {X: "${UNSET}"}}
    """
    (tmp_path / "here.env").touch()
    found = problems_of(tmp_path, text)
    assert whats(found)[-2:] == [
        "services.a.env_file: .env does not exist",
        "services.b.env_file: gone.env does not exist",
    ]
    assert "commit it without its secrets" in found[-1].meaning
    assert "secrets.NAME with --secret" in found[-1].meaning
    assert found[-1].fix == "pulumi config set --path 'variables.NAME' --stack test < /dev/tty"


@pytest.mark.parametrize("path", ["/opt/gone/env", "~/gone.env"])
def test_a_missing_env_file_outside_of_the_application_is_not_to_be_committed(tmp_path: Path, path: str) -> None:
    [problem] = problems_of(tmp_path, f"services: {{a: {{image: x, env_file: '{path}'}}}}")
    assert problem.what == f"services.a.env_file: {path} does not exist"
    assert "commit" not in problem.meaning
    assert "never on the host" in problem.meaning


def test_a_missing_env_file_of_an_included_file_is_still_a_problem(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("services: {b: {image: x, env_file: gone.env}}")
    [problem] = problems_of(tmp_path, "include: [more.yaml]\nservices: {a: {image: x}}")
    assert "gone.env" in problem.what


UNREADABLE_WITHOUT_VALUES = {
    "a mount": {"volumes": ["${CONF:-./app.conf}:/etc/app.conf:ro"]},
    "a number": {"ulimits": {"nofile": "${FILES:-1024}"}},
}


@pytest.mark.parametrize("more", UNREADABLE_WITHOUT_VALUES.values(), ids=UNREADABLE_WITHOUT_VALUES)
def test_the_stacks_value_wins_whatever_else_is_in_the_file(tmp_path: Path, more: dict[str, Any]) -> None:
    files = {"app.conf": "x", "web.env": FILE + "OWN=file\n", "deep/more.env": "EXTRA=file\n"}
    service = {"env_file": ["web.env", {"path": "deep/more.env"}], "environment": {"OWN": "service"}, **more}
    values = {"LEVEL": "info", "COST": "$5", "OWN": "stack", "EXTRA": "stack"}
    found = deployed(tmp_path, files, service, secrets={"DB_PASSWORD": CANARY}, variables=values)
    wanted = {"DB_PASSWORD": "${DB_PASSWORD}", "LEVEL": "info", "COST": "$$5", "OWN": "service", "EXTRA": "stack"}
    assert environment(found) == wanted
    assert sum("has another value" in warning.what for warning in found.warnings) == 4


def test_an_override_s_env_file_counts_with_that_of_the_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.env").write_text(f"{name.upper()}=file\n")
    (tmp_path / "app.conf").write_text("")
    (tmp_path / "compose.override.yaml").write_text("services: {web: {env_file: b.env}}")
    text = "services: {web: {image: x, env_file: a.env, volumes: ['${C:-./app.conf}:/c:ro']}}"
    files = ["compose.yaml", "compose.override.yaml"]
    found = application(tmp_path, text, compose_file=files, variables={"A": "stack", "B": "stack"})
    assert environment(found) == {"A": "stack", "B": "stack"}


def test_what_only_an_included_file_shows_is_refused_where_it_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=file\n")
    (tmp_path / "more.yaml").write_text("services: {b: {image: x, env_file: a.env, volumes: ['${C:-./a}:/c:ro']}}")
    [problem] = problems_of(tmp_path, "include: [more.yaml]\nservices: {a: {image: x}}", variables={"A": "stack"})
    assert "too many colons" in problem.what
    assert "beside the `env_file` of more.yaml" in problem.what


@pytest.mark.parametrize(
    "text",
    [
        "{include: [more.yaml], services: {a: {image: x, %s}}}",
        "{include: [{path: [more.yaml]}], services: {a: {image: x, %s}}}",
        "services: {a: {extends: {file: more.yaml, service: c}, %s}}",
        "services: {a: {extends: {file: compose.yaml, service: c}, %s}, c: {image: x}}",
    ],
)
@pytest.mark.parametrize("entry", ["volumes: ['${C:-./a.env}:/c:ro']", "ulimits: {nofile: '${U:-1024}'}"])
def test_what_compose_cannot_read_without_values_is_refused_only_beside_an_env_file(
    tmp_path: Path, text: str, entry: str
) -> None:
    (tmp_path / "a.env").write_text("A=file\n")
    (tmp_path / "more.yaml").write_text("services: {c: {extends: {file: deep.yaml, service: c}}}")
    (tmp_path / "deep.yaml").write_text("services: {c: {image: x}}")
    assert application(tmp_path, text % entry)
    (tmp_path / "deep.yaml").write_text("services: {c: {image: x, env_file: a.env}}")
    assert ["deep.yaml" in each.what for each in problems_of(tmp_path, text % entry)] == [True] * ("more" in text)


def test_a_missing_env_file_is_named_whatever_else_is_in_the_file(tmp_path: Path) -> None:
    text = "services: {a: {image: x, env_file: gone.env, volumes: ['${C:-./a}:/c:ro']}}"
    assert whats(problems_of(tmp_path, text)) == ["services.a.env_file: gone.env does not exist"]


def test_a_secret_with_the_file_s_own_value_and_a_file_that_is_not_there_need_no_word(tmp_path: Path) -> None:
    service = {"env_file": [".env", {"path": ".env.prod", "required": False}]}
    found = deployed(
        tmp_path, {".env": f"DB_PASSWORD={CANARY}\nLEVEL=x\n"}, service,
        secrets={"DB_PASSWORD": CANARY}, variables={"LEVEL": "y"},
    )  # fmt: skip
    assert not [warning for warning in found.warnings if "has another value" in warning.what]


def test_services_with_the_same_other_value_are_one_warning(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("LEVEL=debug\n")
    text = "services: {a: {image: x, env_file: a.env}, b: {image: x, env_file: a.env}}"
    found = application(tmp_path, text, variables={"LEVEL": "info"})
    [said] = [warning.what for warning in found.warnings if "LEVEL" in warning.what]
    assert said == "services.a, b: LEVEL is in a.env, and stack test has another value"


@pytest.mark.parametrize("tracked", [False, True])
def test_a_secret_s_value_under_another_name_is_that_secret_where_git_does_not_track_the_file(
    tmp_path: Path, *, tracked: bool
) -> None:
    (tmp_path / "db.env").write_text(f"MYSQL_PASSWORD={CANARY}\nMYSQL_USER=shop-of-the-year\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if tracked:
        subprocess.run(["git", "-C", tmp_path, "add", "db.env"], check=True)
    text = "services: {db: {image: x, env_file: db.env}}"
    if tracked:
        [problem] = problems_of(tmp_path, text, secrets={"DB_PASSWORD": CANARY})
        assert problem.fix.startswith("pulumi config get")
        return
    found = application(tmp_path, text, secrets={"DB_PASSWORD": CANARY}, production=True)
    assert found.document["services"]["db"]["environment"] == {
        "MYSQL_PASSWORD": "${DB_PASSWORD}", "MYSQL_USER": "shop-of-the-year",
    }  # fmt: skip
