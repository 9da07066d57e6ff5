"""`slipway secrets adopt`: the patch, the secrets of every stack, and what happens when it is not wanted."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from config_project import enter_project
from samples import CANARY
from typer.testing import CliRunner

from slipway.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]

SHOP = f"""\
services:
  db:
    image: postgres  # the database
    environment:
      POSTGRES_PASSWORD: {CANARY}
  web:
    image: nginx
    environment:
      - DATABASE_URL=postgres://shop:{CANARY}@db/shop
      - SECRET_KEY=${{KEY:-changeme}}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Adopt in the project `shop`, whose two stacks deploy the folder `app`."""
    enter_project(tmp_path, monkeypatch)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "compose.yaml").write_text(SHOP)
    for stack in ("staging", "production"):
        (tmp_path / f"Pulumi.{stack}.yaml").write_text("config: {'shop:application': app}\n")
    return lambda *options: CliRunner().invoke(app, ["secrets", "adopt", "--stack", "staging", *options])


def secrets(folder: Path, stack: str) -> dict[str, str]:
    config: dict[str, Any] = yaml.safe_load((folder / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {name: each["secure"][::-1] for name, each in (config.get("shop:secrets") or {}).items()}


def test_the_patch_applies_and_all_stacks_get_todays_values(run: Run, tmp_path: Path) -> None:
    shown = run("--plan")
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "app" / "compose.yaml").read_text() == SHOP
    assert not secrets(tmp_path, "staging")
    (tmp_path / "x.patch").write_text(shown.stdout)
    result = run("--yes")
    assert result.exit_code == 0, result.output
    edited = (tmp_path / "app" / "compose.yaml").read_text()
    assert edited == SHOP.replace(CANARY, "${POSTGRES_PASSWORD}")
    for stack in ("staging", "production"):
        assert secrets(tmp_path, stack) == {"POSTGRES_PASSWORD": CANARY, "KEY": "changeme"}
    assert CANARY not in (tmp_path / "calls").read_text()
    assert CANARY not in result.stderr
    assert "secret KEY: today's value, which is a placeholder, for services.web.environment.SECRET_KEY" in result.stderr
    (tmp_path / "app" / "compose.yaml").write_text(SHOP)
    subprocess.run(["git", "apply", "../x.patch"], check=True, cwd=tmp_path / "app")
    assert (tmp_path / "app" / "compose.yaml").read_text() == edited
    again = run("--yes")
    assert (again.exit_code, again.stdout) == (0, "")


@pytest.mark.parametrize(
    ("config", "has"),
    [
        ("{'shop:application': app}", True),
        ("{'shop:application': ./app/../app, 'shop:composeFile': compose.yaml}", True),
        ("{'shop:application': app, 'shop:composeFile': [other.yaml, compose.yaml]}", True),
        ("{'shop:application': linked}", True),
        ("{'shop:application': other}", False),
        ("{'shop:application': app, 'shop:composeFile': other.yaml}", False),
        ("{'shop:application': app, 'shop:variables': {COMPOSE_FILE: other.yaml}}", False),
        ("{'shop:application': missing}", False),
        ("{}", False),
    ],
)
def test_only_stacks_that_read_the_same_file_get_the_secrets(
    run: Run, tmp_path: Path, config: str, *, has: bool
) -> None:
    (tmp_path / "other").mkdir()
    for other in (tmp_path / "other" / "compose.yaml", tmp_path / "app" / "other.yaml"):
        other.write_text("services: {web: {image: x}}\n")
    (tmp_path / "linked").symlink_to("app")
    (tmp_path / "Pulumi.production.yaml").write_text(f"config: {config}\n")
    result = run("--yes")
    assert result.exit_code == 0, result.output
    assert bool(secrets(tmp_path, "production")) == has
    assert ("Pulumi.production.yaml" in result.stderr) == has
    assert ("production stays as it is" in result.stderr) == ("missing" in config or config == "{}")


def test_a_password_that_a_url_has_percent_encoded_is_said_to_change_with_the_other(run: Run, tmp_path: Path) -> None:
    text = SHOP.replace(f"shop:{CANARY}@", "shop:a%2Fb%24c-d@").replace(CANARY, "a/b$$c-d")
    (tmp_path / "app" / "compose.yaml").write_text(text)
    said = run("--plan").stderr
    assert (
        "  DATABASE_PASSWORD is POSTGRES_PASSWORD, percent-encoded for a URL: whoever changes one changes both" in said
    )
    (tmp_path / "app" / "compose.yaml").write_text(text.replace("a%2Fb", "a%2Fx"))
    assert "percent-encoded" not in run("--plan").stderr


def test_a_compose_file_that_is_a_link_stays_one(run: Run, tmp_path: Path) -> None:
    link = tmp_path / "app" / "compose.yaml"
    link.rename(tmp_path / "shared.yaml")
    link.symlink_to("../shared.yaml")
    assert run("--yes").exit_code == 0
    assert link.is_symlink()
    assert (tmp_path / "shared.yaml").read_text() == SHOP.replace(CANARY, "${POSTGRES_PASSWORD}")


def test_new_gives_random_values_where_todays_are_weak(run: Run, tmp_path: Path) -> None:
    assert run("--yes", "--new").exit_code == 0
    keys = [secrets(tmp_path, stack)["KEY"] for stack in ("staging", "production")]
    assert keys[0] == "changeme"  # KEY may be of a certain form
    (tmp_path / "app" / "compose.yaml").write_text("services: {db: {image: x, environment: {DB_PASSWORD: postgres}}}\n")
    assert run("--yes", "--new").exit_code == 0
    values = [secrets(tmp_path, stack)["DB_PASSWORD"] for stack in ("staging", "production")]
    assert [len(each) for each in values] == [48, 48]
    assert values[0] != values[1]


PAIRS = [
    # what it is; the variables of `db` and `web`; the stack's own; whether the values are new
    ("two ends", {"POSTGRES_PASSWORD": "sonar"}, {"SONAR_JDBC_PASSWORD": "sonar"}, {}, True),
    ("two secrets", {"DB_PASSWORD": "${DB_PASSWORD:-wordy}"}, {"SECRET_KEY": "${SECRET_KEY:-wordy}"}, {}, True),
    ("the stack's variables", {"POSTGRES_PASSWORD": "${DB_PASSWORD}"}, {"DB_PASS": "${JDBC_PASSWORD}"},
     {"shop:variables": {"DB_PASSWORD": "changeme", "JDBC_PASSWORD": "changeme"}}, True),
    ("a URL in the stack", {"POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:-wordy}"}, {"DATABASE_URL": "${URL}"},
     {"shop:variables": {"URL": "postgres://u:wordy@db/x"}}, True),
    ("a URL in an env_file", {"POSTGRES_PASSWORD": "wordy"}, {"web.env": "URL=postgres://u:wordy@db/x"}, {}, True),
    ("both in files", {"db.env": "POSTGRES_PASSWORD=wordy"}, {"web.env": "URL=postgres://u:wordy@db/x"}, {}, True),
    ("another secret has it", {"POSTGRES_PASSWORD": "wordy"}, {"X": "${X}"},
     {"shop:secrets": {"X": {"secure": "x/bd@ydrow:u//:sbd"}}}, False),
    ("a file has it", {"POSTGRES_PASSWORD": "wordy"}, {"CONFIGURED": "yes"}, {}, False),
]  # fmt: skip


@pytest.mark.parametrize(("db", "web", "stated", "new"), [case[1:] for case in PAIRS], ids=[case[0] for case in PAIRS])
def test_new_keeps_equal_what_is_equal(
    run: Run, tmp_path: Path, db: dict[str, str], web: dict[str, str], stated: dict[str, Any], *, new: bool
) -> None:
    services: dict[str, Any] = {"db": {"image": "x", "environment": db}, "web": {"image": "x", "environment": web}}
    for service in services.values():
        if name := next((each for each in service["environment"] if each.endswith(".env")), ""):
            (tmp_path / "app" / name).write_text(service.pop("environment")[name])
            service["env_file"] = name
    if "CONFIGURED" in web:
        (tmp_path / "app" / "app.conf").write_text("password = wordy")
        services["web"]["volumes"] = ["./app.conf:/c:ro"]
    (tmp_path / "app" / "compose.yaml").write_text(yaml.safe_dump({"services": services}))
    for stack in ("staging", "production"):
        config = yaml.safe_dump({"config": {"shop:application": "app", **stated}})
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(config)
    result = run("--yes", "--new")
    assert result.exit_code == 0, result.output
    assert ("today's value, which" in result.stderr) != new
    assert ("stands in app.conf, too" in result.stderr) == ("CONFIGURED" in web)
    passwords = {
        value.partition("//u:")[2].partition("@")[0] or value for value in secrets(tmp_path, "staging").values()
    }
    assert len(passwords) == 1
    assert passwords.isdisjoint({"sonar", "wordy", "changeme"}) == new


def test_a_stack_that_has_a_secret_keeps_its_value(run: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.production.yaml").write_text(
        "config: {'shop:application': app, 'shop:secrets': {POSTGRES_PASSWORD: {secure: nwo}}}\n"
    )
    assert run("--yes").exit_code == 0
    assert secrets(tmp_path, "production") == {"POSTGRES_PASSWORD": "own", "KEY": "changeme"}


@pytest.mark.parametrize(
    ("options", "code"), [((), 1), (("--plan",), 0), (("x.env", "--yes"), 2), (("--secret", "X", "--yes"), 2)]
)
def test_nothing_changes_unless_it_is_wanted(run: Run, tmp_path: Path, options: tuple[str, ...], code: int) -> None:
    assert run(*options).exit_code == code
    assert (tmp_path / "app" / "compose.yaml").read_text() == SHOP
    assert not secrets(tmp_path, "staging")


def test_an_engine_that_refuses_leaves_the_compose_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "refuses").write_text("secrets.KEY")
    result = run("--yes")
    assert result.exit_code == 1
    assert (tmp_path / "app" / "compose.yaml").read_text() == SHOP
    assert CANARY not in str(result.exception)


def test_a_password_that_is_its_user_s_name_is_renewed_and_its_word_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "app" / "compose.yaml").write_text(
        "services:\n"
        "  db: {image: postgres, environment: {POSTGRES_USER: hello_shop_app, POSTGRES_PASSWORD: hello_shop_app}}\n"
        "  web:\n    image: x\n    env_file: [web.env]\n    command: run hello_shop_app.wsgi\n"
    )
    (tmp_path / "app" / "web.env").write_text("SQL_USER=hello_shop_app\nSQL_PASSWORD=hello_shop_app\n")
    result = run("--new", "--yes")
    assert result.exit_code == 0, result.output
    assert "left:" not in result.output
    new = secrets(tmp_path, "staging")
    assert new["POSTGRES_PASSWORD"] == new["SQL_PASSWORD"] != "hello_shop_app"
