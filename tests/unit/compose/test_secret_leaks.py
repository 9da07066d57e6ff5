"""Where secrets may stand in a Compose file, and that they never stand in the clear."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from documents import IMAGE
from samples import CANARY, application, problems_of, settings, whats

from slipway.agent.release.rendering import render
from slipway.agent.state.stack_dir import StackFolder
from slipway.compose.application import read_application
from slipway.compose.config.readable_texts import secret_texts
from slipway.compose.git import Revision
from slipway.compose.secret_leaks import known_values
from slipway.contract.deployment import Release
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.rules.stack import broken_rules
from slipway.settings.secrets.rules import new_secret


def test_a_secret_in_an_environment_or_a_config_reaches_the_hosts_by_name(tmp_path: Path) -> None:
    found = application(
        tmp_path,
        """
        services:
          my.web_1:
            image: nginx
            environment:
              PASSWORD: ${S}
              URL: postgres://app:${S}@db/${T:-x}?a=$$1
            configs: [c]
        configs: {c: {content: "key=${U}"}}
        """,
        secrets={"S": CANARY, "T": CANARY, "U": CANARY, "UNUSED": CANARY},
    )
    service = found.document["services"]["my.web_1"]
    assert service["environment"] == {"PASSWORD": "${S}", "URL": "postgres://app:${S}@db/${T}?a=$$1"}
    assert found.document["configs"]["c"]["content"] == "key=${U}"
    assert found.secrets == ("S", "T", "U")
    assert CANARY not in str(found)


READABLE: list[tuple[dict[str, Any], str]] = [
    ({"command": ["run", "--password=${S}"]}, "command.1"),
    ({"command": "run ${S}"}, "command.1"),
    ({"entrypoint": ["${S}"]}, "entrypoint.0"),
    ({"labels": {"a": "${S}"}}, "labels.a"),
    ({"labels": ["${S}=x"]}, "labels.${S}"),
    ({"annotations": {"a": "${S}"}}, "annotations.a"),
    ({"healthcheck": {"test": ["CMD", "curl", "${S}"]}}, "healthcheck.test.2"),
    ({"image": "nginx:${S}"}, "image"),
    ({"container_name": "web-${S}"}, "container_name"),
    ({"hostname": "${S}"}, "hostname"),
    ({"user": "${S}"}, "user"),
    ({"working_dir": "/${S}"}, "working_dir"),
    ({"volumes": ["./${S}:/x"]}, "volumes.0.source"),
    ({"extra_hosts": ["${S}:127.0.0.1"]}, "extra_hosts.0"),
    ({"logging": {"options": {"a": "${S}"}}}, "logging.options.a"),
    ({"sysctls": {"a": "${S}"}}, "sysctls.a"),
    ({"environment": ["${S}=x"]}, "environment.${S}"),
    ({"x-slipway": {"migrate": "run ${S}"}}, "x-slipway.migrate"),
    ({"x-slipway": {"smoke": [{"http": {"port": 1, "host": "${S}"}}]}}, "x-slipway.smoke.0.http.host"),
    ({"build": {"context": ".", "args": {"A": "${S}"}}}, "build.args.A"),
    ({"build": {"context": ".", "labels": {"A": "${S}"}}}, "build.labels.A"),
    ({"build": {"context": ".", "dockerfile_inline": "FROM ${S}"}}, "build.dockerfile_inline"),
    ({"build": {"context": ".", "target": "${S}"}}, "build.target"),
]


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    """The problems of one Compose file with a service for each case."""
    folder = tmp_path_factory.mktemp("readable")
    (folder / "Dockerfile").touch()
    services = {f"s{index}": {"image": "nginx", **service} for index, (service, _) in enumerate(READABLE)}
    return problems_of(folder, json.dumps({"services": services}), secrets={"S": CANARY}, production=True)


@pytest.mark.parametrize("index", range(len(READABLE)), ids=lambda index: READABLE[index][1])
def test_a_secret_where_others_could_read_it_is_refused(readable: list[Problem], index: int) -> None:
    what = f"secret S stands in services.s{index}.{READABLE[index][1]}"
    told = [problem for problem in readable if problem.what == what]
    assert len(told) == 1, whats(readable)
    assert "environment" in told[0].fix
    assert ("CMD-SHELL" in told[0].fix) == (".healthcheck." in what)
    assert ("`build.secrets`" in told[0].fix) == (".build." in what)
    assert told[0].fix.endswith("if nginx is published and does") == (".build." in what)
    assert CANARY not in str(readable)


# A service in which ${REDIS_PASSWORD} stands where others can read it, and a part of the way out that the error names.
OPEN = [
    ({"command": "redis-server --requirepass ${REDIS_PASSWORD}"}, "command", "`configs:` with `content:`"),
    ({"command": ["redis-server", "--requirepass", "${REDIS_PASSWORD:?}"]}, "command.2", "`configs:` with `content:`"),
    ({"entrypoint": ["run", "$REDIS_PASSWORD"]}, "entrypoint.1", "`configs:` with `content:`"),
    (
        {"healthcheck": {"test": ["CMD", "redis-cli", "-a", "${REDIS_PASSWORD}"]}},
        "healthcheck.test.3",
        "$$REDIS_PASSWORD",
    ),
    ({"healthcheck": {"test": "redis-cli -a ${REDIS_PASSWORD}"}}, "healthcheck.test", "CMD-SHELL"),
    ({"labels": {"password": "${REDIS_PASSWORD}"}}, "labels.password", "environment"),
    ({"build": {"context": ".", "args": {"P": "${REDIS_PASSWORD}"}}}, "build.args.P", "`build.secrets`"),
]


@pytest.mark.parametrize(("service", "place", "way_out"), OPEN)
def test_a_missing_secret_is_not_asked_for_where_it_would_be_refused(
    tmp_path: Path, service: dict[str, Any], place: str, way_out: str
) -> None:
    (tmp_path / "Dockerfile").touch()
    text = json.dumps({"services": {"db": {"image": "redis", **service, "ports": ["${PORT}:1"]}}})
    asked = {problem.subject: problem for problem in problems_of(tmp_path, text, production=True)}
    problem = asked["REDIS_PASSWORD"]
    assert problem.meaning.startswith(f"it stands in services.db.{place}, where a secret is refused")
    assert way_out in problem.fix
    assert problem.fix.endswith(" --stack test")
    assert "if it is a secret" not in asked["PORT"].meaning  # nor does any other go there as one
    # as a plain variable it deploys, with a warning that repeats no value
    found = application(tmp_path, text, variables={"REDIS_PASSWORD": CANARY, "PORT": "1"})
    [warning] = [each for each in found.warnings if each.what.startswith("variable REDIS_PASSWORD")]
    assert f"stands in services.db.{place}" in warning.what
    assert way_out in warning.fix
    assert CANARY not in str(found.warnings)


IN_COMMANDS: list[tuple[dict[str, Any], str]] = [
    # a service in which ${S} is a part of a command; the way out
    ({"healthcheck": {"test": ["CMD", "mysqladmin", "-p${S}"]}, "environment": {"MYSQL_PASSWORD": "${S}"}},
     "write $$MYSQL_PASSWORD there, as `CMD-SHELL`: db has it in its environment"),
    ({"healthcheck": {"test": "redis-cli -a ${S}"}},
     "write $$S there, as `CMD-SHELL`, and `S: ${S}` in the environment of db"),
    ({"command": ["sh", "-c", "run ${S}"], "environment": {"A": "${S}", "S": "${S}", "B": "x${S}"}},
     "write $$S there: db has it in its environment"),
    ({"command": "/bin/bash -ec 'run ${S}'", "environment": {"B": "x${S}"}},
     "write $$S there, and `S: ${S}` in the environment of db"),
    ({"entrypoint": "sh", "command": ["-c", "run ${S}"], "environment": {"S": "${S}"}},
     "write $$S there: db has it in its environment"),
    ({"entrypoint": ["/start.sh", "sh", "-c", "run ${S}"]}, "write $$S there, and"),
    ({"command": "redis-server --requirepass ${S}", "environment": {"R": "${S}"}}, "(`sh -c 'exec … $$R'`)"),
    ({"command": ["run.sh", "-c", "${S}"]}, "`configs:` with `content:`"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "way_out"), IN_COMMANDS)
def test_a_secret_in_a_command_stops_production_only_and_its_value_is_in_no_release(
    tmp_path: Path, service: dict[str, Any], way_out: str
) -> None:
    text = json.dumps({"services": {"db": {"image": "x", **service}}})
    value = f"{CANARY}$x"
    [problem] = problems_of(tmp_path, text, secrets={"S": value}, production=True)
    found = application(tmp_path, text, secrets={"S": value})
    [warning] = [each for each in found.warnings if each.what.startswith("secret S stands in")]
    assert (problem.what, problem.fix) == (warning.what, warning.fix)
    assert way_out in warning.fix
    release = Release.from_json(found.release(Revision("c", "b"), {"db": IMAGE}))
    assert CANARY not in json.dumps([found.document, dict(found.entries), str(found.warnings), str(release)])
    assert found.secrets == ("S",)
    rendered = render(release, ["db"], {"S": value}, key=b"k", folder=StackFolder(found.stack))
    there = rendered.compose["services"]["db"]
    assert f"{CANARY}$$x" in json.dumps([there.get("command"), there.get("entrypoint"), there.get("healthcheck")])
    assert CANARY not in json.dumps([there["labels"], rendered.services["db"].config])
    others = render(release, ["db"], {"S": "another"}, key=b"k", folder=StackFolder(found.stack))
    assert others.services["db"].config != rendered.services["db"].config


def test_elsewhere_a_missing_secret_of_a_command_is_asked_for_and_then_deploys(tmp_path: Path) -> None:
    text = "services: {db: {image: redis, command: 'redis-server --requirepass ${REDIS_PASSWORD:?}'}}"
    [problem] = problems_of(tmp_path, text)
    assert problem.fix.startswith("openssl rand")
    assert application(tmp_path, text, secrets={"REDIS_PASSWORD": CANARY}).secrets == ("REDIS_PASSWORD",)


def test_every_place_of_a_missing_secret_is_named_at_once(tmp_path: Path) -> None:
    service = {"image": "redis", "command": "x ${REDIS_PASSWORD}", "healthcheck": {"test": "y ${REDIS_PASSWORD}"}}
    [problem] = problems_of(tmp_path, json.dumps({"services": {"db": service}}), production=True)
    assert "it stands in services.db.command and services.db.healthcheck.test, where" in problem.meaning
    assert "`configs:`" in problem.fix
    assert "CMD-SHELL" in problem.fix


def test_a_missing_secret_where_only_its_service_reads_it_is_asked_for_as_ever(tmp_path: Path) -> None:
    for text in (
        "services: {db: {image: x, environment: {A: '${REDIS_PASSWORD}'}}}",
        "services: {db: {image: x, environment: ['A=${REDIS_PASSWORD}']}}",
        "services: {db: {image: x, configs: [c]}}\nconfigs: {c: {content: 'pw ${REDIS_PASSWORD}'}}",
        "x-a: {command: '${REDIS_PASSWORD}'}\nservices: {db: {image: x, environment: {A: '${REDIS_PASSWORD}'}}}",
    ):
        [problem] = problems_of(tmp_path, text)
        assert problem.meaning == "stack test would run with an empty one"
        assert problem.fix.startswith("openssl rand")


def test_a_service_cannot_be_named_so_that_a_secret_slips_through(tmp_path: Path) -> None:
    text = "services: {web.environment.x: {image: nginx, command: ['${S}']}, environment: {image: '${S}'}}"
    problems = problems_of(tmp_path, text, secrets={"S": CANARY}, production=True)
    assert whats(problems) == [
        "secret S stands in services.environment.image",
        "secret S stands in services.web.environment.x.command.0",
    ]


def test_an_anchor_may_hold_a_secret_for_the_environments_that_use_it(tmp_path: Path) -> None:
    found = application(
        tmp_path,
        """
        x-environment: &environment {PASSWORD: "${S}"}
        services:
          web: {image: nginx, environment: *environment, x-mine: {more: "${S}"}}
          api: {image: nginx, environment: {<<: *environment, B: c}}
        """,
        secrets={"S": CANARY},
    )
    assert found.document["services"]["api"]["environment"] == {"PASSWORD": "${S}", "B": "c"}
    assert found.secrets == ("S",)


# --- in the clear


@pytest.mark.parametrize("production", [True, False])
def test_a_weak_secret_of_the_file_itself_is_refused_in_production_and_warned_of_elsewhere(
    tmp_path: Path,
    production: bool,  # noqa: FBT001  # both are the test
) -> None:
    text = "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD: '${POSTGRES_PASSWORD:-changeme}'}}}"
    said = ["services.db.environment.POSTGRES_PASSWORD is a placeholder and is in plain text"]
    if production:
        assert whats(problems_of(tmp_path, text, production=True)) == said
    else:
        assert whats(list(application(tmp_path, text).warnings)) == said
    strong = application(tmp_path, text, production=production, secrets={"POSTGRES_PASSWORD": CANARY})
    assert strong.warnings == ()


def test_a_strong_secret_of_the_file_itself_is_named_without_repeating_it(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text(f"API_TOKEN={CANARY}\n")
    text = f"services: {{web: {{image: x, env_file: a.env, environment: {{URL: 'postgres://a:{CANARY}@db/x', A: b}}}}}}"
    found = application(tmp_path, text)
    assert whats(list(found.warnings)) == [
        "services.web.environment.API_TOKEN (a.env) is in plain text",
        "services.web.environment.URL is in plain text",
    ]
    assert "write `API_TOKEN: ${API_TOKEN}` under `environment:` of web" in found.warnings[0].meaning
    assert found.warnings[0].fix == "pulumi config set --secret --path 'secrets.API_TOKEN' --stack test < /dev/tty"
    refused = problems_of(tmp_path, text, production=True)
    assert whats(refused) == whats(list(found.warnings))
    assert {each.fix for each in refused} == {"slipway secrets adopt --stack test"}
    assert CANARY not in f"{found.warnings}{refused}"


def test_production_deploys_what_the_stack_declares_plain_and_nobody_could_guess(tmp_path: Path) -> None:
    text = "services: {web: {image: x, environment: {API_TOKEN: '${API_TOKEN}'}}}"
    found = application(tmp_path, text, production=True, variables={"API_TOKEN": CANARY})
    assert whats(list(found.warnings)) == ["services.web.environment.API_TOKEN is in plain text"]
    assert problems_of(tmp_path, text, production=True, variables={"API_TOKEN": "changeme"})


@pytest.mark.parametrize(
    ("environments", "written"),
    [
        pytest.param(
            {"db": {"POSTGRES_PASSWORD": CANARY}, "api": {"DB_PASSWORD": CANARY}},
            ["`POSTGRES_PASSWORD: ${DB_PASSWORD}`", "`DB_PASSWORD: ${DB_PASSWORD}`"],
            id="two names",
        ),
        pytest.param(
            {"api": {"DATABASE_URL": f"postgres://u:{CANARY}@db/x"}, "db": {"POSTGRES_PASSWORD": CANARY}},
            ["`${POSTGRES_PASSWORD}` as its password", "`POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}`"],
            id="a URL to a service",
        ),
        pytest.param(
            {"api": {"DATABASE_URL": f"postgres://u:{CANARY}@db:5432/x"}, "db": {}},
            ["`${DATABASE_PASSWORD}` as its password"],
            id="a URL alone",
        ),
        pytest.param(
            {"api": {"DATABASE_URL": f"postgres://u:{CANARY}@db.example.com/x"}, "db": {}},
            ["`DATABASE_URL: ${DATABASE_URL}`"],
            id="a URL to somebody else",
        ),
        pytest.param(
            {"db": {"POSTGRES_PASSWORD": CANARY}, "cache": {"REDIS_PASSWORD": f"other-{CANARY}"}},
            ["`POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}`", "`REDIS_PASSWORD: ${REDIS_PASSWORD}`"],
            id="two values",
        ),
    ],
)
def test_literals_that_must_be_equal_become_one_secret(
    environments: dict[str, dict[str, str]], written: list[str], tmp_path: Path
) -> None:
    services = {name: {"image": "x", "environment": values} for name, values in environments.items()}
    found = application(tmp_path, json.dumps({"services": services})).warnings
    problems = [each for each in found if each.what.endswith("in plain text")]
    assert sorted(each.meaning.partition("; write ")[2].removesuffix(" there") for each in problems) == sorted(written)
    for each in problems:
        name = each.meaning.partition("${")[2].partition("}")[0]
        assert f"secrets.{name}'" in each.fix
        assert each.fix.startswith("openssl rand -hex") == name.endswith("PASSWORD")
    assert CANARY not in str(problems)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        # short words are equal by chance
        ("sentry", {"SENTRY_SECRET_KEY": "SENTRY_SECRET_KEY", "POSTGRES_PASSWORD": "POSTGRES_PASSWORD"}),
        ("plane", {"RABBITMQ_DEFAULT_PASS": "RABBITMQ_DEFAULT_PASS", "POSTGRES_PASSWORD": "POSTGRES_PASSWORD"}),
        ("plane", {"PLANE_SECRET": "PLANE_SECRET", "PLANE_DB_PASSWORD": "PLANE_DB_PASSWORD"}),
        ("admin", {"GRAFANA_ADMIN_PASSWORD": "GRAFANA_ADMIN_PASSWORD", "KEYCLOAK_ADMIN_PASSWORD":
                   "KEYCLOAK_ADMIN_PASSWORD"}),
        # of alike names they are one
        ("plane", {"PGPASSWORD": "PGPASSWORD", "POSTGRES_PASSWORD": "PGPASSWORD"}),
        ("secret-key", {"AWS_SECRET_ACCESS_KEY": "MINIO_ROOT_PASSWORD", "MINIO_ROOT_PASSWORD": "MINIO_ROOT_PASSWORD"}),
        ("plane", {"PASSWORD": "DB_PASSWORD", "DB_PASSWORD": "DB_PASSWORD"}),
        # and long ones whatever their names
        (CANARY, {"SENTRY_SECRET_KEY": "POSTGRES_PASSWORD", "POSTGRES_PASSWORD": "POSTGRES_PASSWORD"}),
    ],
)  # fmt: skip
def test_equal_words_of_unlike_names_are_not_one_secret(text: str, secrets: dict[str, str], tmp_path: Path) -> None:
    services = {f"s{number}": {"image": "x", "environment": {name: text}} for number, name in enumerate(secrets)}
    found = {each.what: each.meaning for each in application(tmp_path, json.dumps({"services": services})).warnings}
    for number, (name, secret) in enumerate(secrets.items()):
        [said] = [meaning for what, meaning in found.items() if what.startswith(f"services.s{number}.environment")]
        assert f"`{name}: ${{{secret}}}`" in said


def test_a_short_password_in_a_url_is_that_of_the_service_it_leads_to(tmp_path: Path) -> None:
    services = {
        "db": {"image": "x", "environment": {"POSTGRES_PASSWORD": "plane"}},
        "mq": {"image": "x", "environment": {"RABBITMQ_DEFAULT_PASS": "plane"}},
        "api": {
            "image": "x",
            "environment": {
                "DATABASE_URL": "postgres://plane:plane@db/plane",
                "BACKGROUND_URL": "amqp://plane:plane@mq/plane",
            },
        },
    }
    found = [each.meaning for each in application(tmp_path, json.dumps({"services": services})).warnings]
    for secret in ("POSTGRES_PASSWORD", "RABBITMQ_DEFAULT_PASS"):
        assert any(f"`${{{secret}}}` as its password" in said for said in found)


def test_settings_that_are_only_about_secrets_are_fine(tmp_path: Path) -> None:
    environment = {
        "POSTGRES_PASSWORD_FILE": "/run/secrets/db", "TOKEN_TTL": "3600", "MYSQL_ALLOW_EMPTY_PASSWORD": "yes",
        "SMTP_PASSWORD": "", "KEYCLOAK_URL": "https://id.example.com", "SECRET_KEY": "/run/secrets/key",
        "PUBLIC_KEY": "ssh-ed25519 AAAA", "USE_TOKEN": "1",
    }  # fmt: skip
    text = json.dumps({"services": {"web": {"image": "x", "environment": environment}}})
    assert application(tmp_path, text, production=True).warnings == ()


@pytest.mark.parametrize(
    ("service", "place"),
    [
        ({"environment": {"MOTTO": f"x{CANARY}x"}}, "services.web.environment.MOTTO"),
        ({"command": ["run", CANARY]}, "services.web.command.1"),
        ({"labels": {CANARY: "x"}}, "services.web.labels.…"),
        ({"build": {"context": ".", "args": {"A": CANARY}}}, "services.web.build.args.A"),
        ({"volumes": ["./app.conf:/a:ro"]}, "app.conf"),
        ({"volumes": ["./conf:/a:ro"]}, "conf/deep"),
    ],
)
def test_the_value_of_a_known_secret_is_found_wherever_it_stands(
    tmp_path: Path, service: dict[str, Any], place: str
) -> None:
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "conf").mkdir()
    (tmp_path / "app.conf").write_text(f"password = {CANARY}")
    (tmp_path / "conf" / "deep").write_text(f"password = {CANARY}")
    text = json.dumps({"services": {"web": {"image": "x", **service}}})
    problems = problems_of(tmp_path, text, secrets={"S": CANARY}, production=True)
    assert f"the value of secret S is in plain text in {place}" in whats(problems)
    assert CANARY not in str(problems)


COPIED = (
    "pulumi config get --path 'secrets.DB_PASSWORD' --stack test | "
    "pulumi config set --secret --path 'secrets.MYSQL_PASSWORD' --stack test"
)
LEADING_ON = [
    # a service's other parts; the way out
    ({"volumes": ["./app.env.hjson:/c:ro"]}, "`configs:` entry whose `content:`"),
    ({"env_file": "app.env"}, COPIED),
    ({"environment": {"MYSQL_PASSWORD": CANARY}}, "write `MYSQL_PASSWORD: ${DB_PASSWORD}` there"),
    ({"env_file": "app.env", "environment": {"MYSQL_PASSWORD": CANARY}}, "`MYSQL_PASSWORD: ${DB_PASSWORD}` there"),
    ({"environment": {"MOTTO": f"x{CANARY}x"}}, "write ${DB_PASSWORD} in its place there"),
    ({"healthcheck": {"test": ["CMD", "ping", CANARY]}}, "$$DB_PASSWORD"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "way_out"), LEADING_ON)
def test_a_secrets_value_elsewhere_has_a_way_out_that_works_there(
    tmp_path: Path, service: dict[str, Any], way_out: str
) -> None:
    (tmp_path / "app.env").write_text(f"MYSQL_PASSWORD={CANARY}\n")
    for arguments in (["init", "-q"], ["add", "app.env"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    (tmp_path / "app.env.hjson").write_text(f"key: {CANARY}")
    text = json.dumps({"services": {"db": {"image": "x", **service}}})
    for production in (True, False):
        said = problems_of(tmp_path, text, production=production, secrets={"DB_PASSWORD": CANARY})
        [problem] = [each for each in said if each.what.startswith("the value of secret DB_PASSWORD")]
        assert way_out in problem.fix
        assert CANARY not in str(problem)
    if way_out.startswith("pulumi"):
        named = {"DB_PASSWORD": CANARY, "MYSQL_PASSWORD": CANARY}
        found = application(tmp_path, text, production=True, secrets=named)
        assert found.document["services"]["db"]["environment"] == {"MYSQL_PASSWORD": "${MYSQL_PASSWORD}"}


def test_a_password_in_the_content_of_a_config_is_that_of_the_service_that_has_it(tmp_path: Path) -> None:
    text = f"""
        services:
          db: {{image: x, environment: {{POSTGRES_PASSWORD: {CANARY}}}}}
          app: {{image: x, configs: [c]}}
        configs: {{c: {{content: 'password: {CANARY}'}}}}"""
    said = [each for each in problems_of(tmp_path, text, production=True) if "configs.c.content" in each.what]
    assert ["secrets.POSTGRES_PASSWORD" in each.fix for each in said] == [True]


@pytest.mark.parametrize("host", ["db", "db.example.com"])
def test_a_weak_password_in_a_url_to_a_service_is_refused_in_production(tmp_path: Path, host: str) -> None:
    text = f"services: {{db: {{image: x}}, web: {{image: x, environment: {{URL: 'postgres://u:changeme@{host}/x'}}}}}}"
    place, own = "services.web.environment.URL", host == "db"
    said = f"the password in {place} is a placeholder and is in plain text" if own else f"{place} is in plain text"
    assert whats(application(tmp_path, text).warnings) == [said]
    assert whats(problems_of(tmp_path, text, production=True)) == [said]


def test_a_value_in_a_file_of_a_mounted_folder_is_changed_or_the_mount_is(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / ".env.example").write_text(f"DB_PASSWORD={CANARY}")
    text = "services: {web: {image: x, volumes: ['./conf:/app:ro']}}"
    [problem] = problems_of(tmp_path, text, secrets={"DB_PASSWORD": CANARY})
    fix = f"{new_secret('test', 'DB_PASSWORD')}; or mount less than the folder that holds conf/.env.example"
    assert problem.fix == fix


FILES = [
    ('connection: "postgres://lemmy:password@db:5432/x"', "the password for db in app.conf is a placeholder"),
    ("url=redis://:plum@cache-1/0", "the password for cache-1 in app.conf has fewer than 12 characters"),
    ("postgres://u:password@elsewhere.example/x", ""),
    ("# postgres://u:password@db/x\n-- postgres://u:password@db/x", ""),
    ("postgres://u:${PASSWORD}@db/x postgres://u:{{ pw }}@db/x postgres://u:<password>@db/x", ""),
    (f"postgres://u:{CANARY}@db/x", ""),
    ("https://db/x@y:z", ""),
]


@pytest.mark.parametrize(("content", "what"), FILES)
def test_a_weak_password_for_a_service_in_a_shipped_file_is_as_bad_as_in_an_environment(
    tmp_path: Path, content: str, what: str
) -> None:
    (tmp_path / "app.conf").write_text(content)
    services = {"db": {"image": "x", "volumes": ["./app.conf:/c:ro"]}, "c": {"image": "x", "container_name": "cache-1"}}
    text = json.dumps({"services": services})
    said = [each.what for each in application(tmp_path, text).warnings if "app.conf" in each.what]
    assert said == ([what] if what else [])
    if what:
        assert whats(problems_of(tmp_path, text, production=True)) == [what]
    else:
        assert application(tmp_path, text, production=True)


def test_a_weak_secret_that_stands_as_a_password_in_a_file_is_said_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "init.sql").write_text("CREATE USER u WITH PASSWORD 'wordy';")
    text = json.dumps({"services": {"db": {"image": "wordy", "volumes": ["./init.sql:/i.sql:ro"]}}})
    found = application(tmp_path, text, secrets={"DB_PASSWORD": "wordy", "EMPTY_PASSWORD": ""})
    assert [each.what for each in found.warnings if "value of secret" in each.what] == [
        "the value of secret DB_PASSWORD is in plain text in init.sql"
    ]


def test_the_default_of_a_shipped_file_is_known_to_all_so_only_production_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "app.template").write_text(f"password: ${{DB_PASSWORD:-{CANARY}}}\n")
    text = json.dumps({"services": {"web": {"image": "x", "volumes": ["./app.template:/c:ro"]}}})
    said = ["the value of secret DB_PASSWORD is in plain text in app.template"]
    found = application(tmp_path, text, secrets={"DB_PASSWORD": CANARY})
    assert whats(list(found.warnings)) == said
    assert whats(problems_of(tmp_path, text, secrets={"DB_PASSWORD": CANARY}, production=True)) == said
    (tmp_path / "app.template").write_text(f"password: {CANARY}\n")
    assert whats(problems_of(tmp_path, text, secrets={"DB_PASSWORD": CANARY})) == said


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("names", [["DB_PASSWORD"], ["DB_PASSWORD", "SQL_PASSWORD"]])
def test_a_secret_that_is_its_users_name_is_looked_for_where_it_is_meant_and_has_one_way_out(
    tmp_path: Path, names: list[str], *, tracked: bool, production: bool
) -> None:
    (tmp_path / "db.env").write_text("DB_USER=hello_shop_app\nDB_NAME=hello_shop_app_prod\n")
    if tracked:
        for words in (["init", "-q"], ["add", "db.env"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
    web = {"image": "x:1", "restart": "always", "env_file": ["db.env"], "command": "run hello_shop_app.wsgi:x",
        "environment": {name: f"${{{name}}}" for name in names}}  # fmt: skip
    text, values = json.dumps({"services": {"web": web}}), dict.fromkeys(names, "hello_shop_app")
    if production:
        found = problems_of(tmp_path, text, secrets=values, production=True)
    else:
        found = list(application(tmp_path, text, secrets=values).warnings)
    said = [each for each in found if "db.env" not in each.what]
    assert whats(said) == [
        f"secret {name} is the name of its user in services.web.environment.DB_USER" for name in names
    ]
    ask = " && ".join(f"pulumi config set --secret --path 'secrets.{name}' --stack test < /dev/tty" for name in names)
    new = ask if len(names) > 1 else new_secret("test", "DB_PASSWORD")
    assert {each.fix for each in said} == {new}
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    meant = json.dumps({"services": {"web": {**web, "command": "serve --password hello_shop_app"}}})
    found = problems_of(tmp_path, meant, secrets=values, production=True)
    assert [each for each in whats(found) if "services.web.command" in each]


@pytest.mark.parametrize("variable", ["ADMIN_USER", "DASHBOARD_USERNAME", "LOGIN"])
def test_a_password_that_is_its_users_name_is_one_that_anyone_could_guess(tmp_path: Path, variable: str) -> None:
    environment = {variable: "kibanaserver", "DASHBOARD_PASSWORD": "kibanaserver"}
    text = json.dumps({"services": {"web": {"image": "x", "environment": environment}}})
    said = "services.web.environment.DASHBOARD_PASSWORD is its user's name and is in plain text"
    values = {"kept": "kibanaserver"}
    assert whats(problems_of(tmp_path, text, production=True, variables=values)) == [said]
    assert whats(list(application(tmp_path, text).warnings)) == [said]
    other = json.dumps({"services": {"web": {"image": "x", "environment": {**environment, variable: "somebody"}}}})
    assert "its user's name" not in str(application(tmp_path, other).warnings)
    used = json.dumps({"services": {"web": {"image": "x", "environment": {**environment,
        "DASHBOARD_PASSWORD": "${DASHBOARD_PASSWORD}"}}}})  # fmt: skip
    [problem] = problems_of(tmp_path, used, production=True, secrets={"DASHBOARD_PASSWORD": "kibanaserver"})
    assert problem.fix == new_secret("test", "DASHBOARD_PASSWORD")


def test_a_variable_that_repeats_a_secret_is_found(tmp_path: Path) -> None:
    text = "services: {web: {image: x, environment: {URL: '${URL}'}}}"
    problems = problems_of(
        tmp_path, text, secrets={"S": CANARY}, variables={"URL": f"https://x/{CANARY}"}, production=True
    )
    assert whats(problems) == ["the value of secret S is in plain text in services.web.environment.URL"]


def test_a_short_value_stands_everywhere_by_chance(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, environment: {MODE: web}}}"
    assert problems_of(tmp_path, text, secrets={"S": "web"}) == []


def test_a_dollar_in_a_secret_does_not_hide_it(tmp_path: Path) -> None:
    value = "pa$$word$with$dollars"
    model = {"services": {"web": {"environment": {"A": value.replace("$", "$$")}}}}
    assert len(known_values(model, {}, settings(tmp_path, secrets={"S": value}))) == 1


def test_no_value_of_a_secret_reaches_an_application_whatever_it_holds(tmp_path: Path) -> None:
    """Values that a pattern, a shell, YAML, JSON or Compose could take for its own."""
    hostile = [
        "\\1", "\\g<0>", "(?P<x>", ".*", "$1", "$$", "${S0}", "$(id)", "`id`", "'", '"', "\n", "\t", ": ", " #",
        "- ", "{}", "[]", "&a", "*a", "!t", "%", "@", "|", ">", "=", "<<", "~", "null", "true", "0123", "ünï 🚀", "\\",
        "\r\n", " x ",
    ]  # fmt: skip
    secrets = {f"S{index}": f"{CANARY}{value}" for index, value in enumerate(hostile)}
    environment = {f"V_{name}": f"<${{{name}}}>" for name in secrets}
    text = json.dumps({"services": {"web": {"image": "x", "environment": environment}}})
    found = application(tmp_path, text, secrets=secrets)
    assert found.document["services"]["web"]["environment"] == environment
    assert set(found.secrets) == set(secrets)
    assert CANARY not in str(found)


TYPED = "hunter2Secret9x"
PLAIN: list[tuple[dict[str, Any], str, str]] = [  # part of the file, place, what the way out names
    ({"command": f"redis-server --requirepass {TYPED}"}, "services.web.command", "$$WEB_SECRET"),
    ({"command": ["run", "--api-key", TYPED]}, "services.web.command", "WEB_SECRET"),
    ({"entrypoint": ["run", f"--password={TYPED}"]}, "services.web.entrypoint", "WEB_SECRET"),
    ({"healthcheck": {"test": ["CMD", "redis-cli", "-a", TYPED]}}, "services.web.healthcheck", "`CMD-SHELL`"),
    ({"healthcheck": {"test": f"mysqladmin ping -p{TYPED}"}}, "services.web.healthcheck", "`CMD-SHELL`"),
    ({"labels": {"widget.password": TYPED}}, "services.web.labels.widget.password", "WEB_SECRET"),
    ({"labels": {"t.basicauth.users": f"me:{TYPED}"}}, "services.web.labels.t.basicauth.users", "basicAuth"),
    ({"logging": {"options": {"splunk-token": TYPED}}}, "services.web.logging.options.splunk-token", "WEB_SECRET"),
    ({"build": {"context": ".", "args": {"NPM_TOKEN": TYPED}}}, "services.web.build.args.NPM_TOKEN", "build.secrets"),
    ({"configs": ["x"]}, "configs.x.content", "${X_SECRET}"),
    (
        {"build": {"context": ".", "args": {"URL": f"redis://:{TYPED}@db"}}},
        "services.web.build.args.URL",
        "build.secrets",
    ),
    ({"volumes": ["nas:/x"]}, "volumes.nas.driver_opts.o", "mount it on the hosts"),
]


@pytest.mark.parametrize(
    ("image", "command", "names"),
    [
        ("redis:7", ["redis-server", "--requirepass", TYPED], "CACHE_SECRET"),
        ("acme/app", ["serve", "--url", f"redis://:{TYPED}@db"], "CACHE_SECRET"),
        ("acme/app", ["serve", "--password", TYPED], "EMAIL_HOST_PASSWORD"),
        ("acme/mailer", ["serve", "--password", TYPED], "EMAIL_HOST_PASSWORD"),
        ("redis:7", ["redis-server", "--requirepass", "", "--appendonly", "yes"], ""),
        ("redis:7", ["redis-cli", "-a", "", "ping"], ""),
    ],
)
def test_the_password_of_one_thing_is_not_proposed_for_another(
    tmp_path: Path, image: str, command: list[str], names: str
) -> None:
    name = "cache" if names.startswith("CACHE") or not names else "web"
    environment = {"EMAIL_HOST_PASSWORD": "${EMAIL_HOST_PASSWORD}"}
    service = {"image": image, "restart": "always", "environment": environment, "command": command}
    text = json.dumps({"services": {name: service}})
    found = problems_of(tmp_path, text, production=True, secrets={"EMAIL_HOST_PASSWORD": CANARY})
    assert [names in each.fix and ("EMAIL" in each.fix) == ("EMAIL" in names) for each in found] == [True] * bool(names)


def with_part(part: dict[str, Any]) -> str:
    tops = {
        "configs": {"x": {"content": f"requirepass {TYPED}\n"}},
        "volumes": {"nas": {"driver_opts": {"type": "cifs", "device": "//nas/x", "o": f"username=a,password={TYPED}"}}},
    }
    used = {key: tops[key] for key in part if key in tops}
    return json.dumps({"services": {"web": {"image": "nginx:1", "restart": "always", **part}}, **used})


@pytest.mark.parametrize(("part", "place", "way_out"), PLAIN)
def test_a_secret_in_plain_text_is_refused_in_production_wherever_it_stands(
    tmp_path: Path, part: dict[str, Any], place: str, way_out: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM nginx:1\nARG NPM_TOKEN\n")
    [problem] = problems_of(tmp_path, with_part(part), production=True)
    assert problem.what == f"a secret is in plain text in {place}"
    assert way_out in problem.fix
    assert "pulumi config set --secret" in problem.fix
    assert TYPED not in str(problem)
    assert not application(tmp_path, with_part(part)).warnings


@pytest.mark.parametrize(
    "part",
    [
        {"command": "serve --token-file /run/secrets/t --api-key $$KEY --user=me"},
        {"command": ["sh", "-c", 'exec redis-server --requirepass "$$PW"']},
        {"healthcheck": {"test": "curl -H 'Authorization: Bearer $$T' http://u:$$PW@web/x"}},
        {"labels": {"traefik.http.routers.token.rule": "Host(`x.test`)", "com.example.key": "shop", "x.password": ""}},
        {"build": {"context": ".", "args": {"SECRET_KEY_BASE": "dummy", "API_KEY": "invalid", "NPM_TOKEN": ""}}},
        {"build": {"context": ".", "args": {"SECRET_KEY": "build", "DATABASE_URL": "postgres://a:any@localhost/a"}}},
        {"environment": {"API_KEY_RATE_LIMIT": "60/minute", "PASS_SCHEME": "BLF-CRYPT", "SENTRY_DSN": "0"}},
        {
            "command": "run --password=${DECLARED}",
            "labels": {"a.token": "${OTHER}", "a.basicauth.users": "me:${OTHER}"},
        },
    ],
)
def test_a_reference_a_place_a_stand_in_of_a_build_and_what_is_declared_plain_are_no_secret_in_plain_text(
    tmp_path: Path, part: dict[str, Any]
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM nginx:1\nARG NPM_TOKEN\n")
    given = {"DECLARED": TYPED, "OTHER": "a1b2c3d4e5f6g7"}
    assert application(tmp_path, with_part(part), production=True, variables=given)


HIDDEN: list[tuple[dict[str, Any], dict[str, Any], str]] = [  # of a service, of the file, place
    ({"post_start": [{"command": ["x"], "environment": {"DB_PASSWORD": TYPED}}]}, {},
     "services.web.post_start.0.environment.DB_PASSWORD"),
    ({"pre_stop": [{"command": ["x"], "environment": ["APIKEY=" + TYPED]}]}, {},
     "services.web.pre_stop.0.environment.APIKEY"),
    ({"storage_opt": {"password": TYPED}}, {}, "services.web.storage_opt.password"),
    ({"deploy": {"labels": {"x.token": TYPED}}}, {}, "services.web.deploy.labels.x.token"),
    ({"gpus": [{"driver": "x", "count": 1, "options": {"licenseKey": TYPED}}]}, {},
     "services.web.gpus.0.options.licenseKey"),
    ({"x-slipway": {"migrate": f"mysql -p{TYPED} shop"}}, {}, "services.web.x-slipway.migrate"),
    ({"configs": ["db_password"]}, {"configs": {"db_password": {"content": TYPED}}}, "configs.db_password.content"),
    ({"configs": [{"source": "c", "target": "/run/secrets/db"}]}, {"configs": {"c": {"content": f"{TYPED}\n"}}},
     "configs.c.content"),
    ({"configs": [{"source": "c", "target": "/etc/x/api_token.txt"}]}, {"configs": {"c": {"content": TYPED}}},
     "configs.c.content"),
    ({"configs": ["c"]}, {"configs": {"c": {"content": f"a_token=${{S}}\npassword={TYPED}\n"}}}, "configs.c.content"),
    ({"networks": ["n"]}, {"networks": {"n": {"driver_opts": {"encryption_key": TYPED}}}},
     "networks.n.driver_opts.encryption_key"),
    ({"environment": {"PW": "${S}"}, "command": ["sh", "-c", f"x --requirepass $${{PW:-{TYPED}}}"]}, {},
     "services.web.command"),
    ({"environment": {"JAVA_OPTS": f"-Dtoken=${{S}} -Ddb.password={TYPED}"}}, {}, "services.web.environment.JAVA_OPTS"),
    ({"environment": {"URLS": f"postgres://a:${{S}}@db/x,redis://:{TYPED}@redis"}}, {},
     "services.web.environment.URLS"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "rest", "place"), HIDDEN)
def test_no_place_of_the_file_is_left_out(
    tmp_path: Path, part: dict[str, Any], rest: dict[str, Any], place: str
) -> None:
    text = json.dumps({"services": {"web": {"image": "nginx:1", **part}}, **rest})
    [problem] = problems_of(tmp_path, text, production=True, secrets={"S": CANARY})
    assert place in problem.what
    assert TYPED not in str(problem)
    assert not {TYPED, CANARY} & {*str(application(tmp_path, text, secrets={"S": CANARY}).warnings).split()}


def test_a_text_that_refers_to_a_secret_and_nothing_else_of_the_kind_deploys(tmp_path: Path) -> None:
    environment = {
        "URLS": "postgres://${U}:${S}@db/x,redis://:${S}${S}@redis", "OPTS": "-Dtoken=${S} -Ddb.password=${S}",
        "HEADER": "Authorization: Bearer ${S}", "API_TOKEN": "${S}", "AUTH": "me:${S}", "PASSWORD_URL": "x:${S}",
    }  # fmt: skip
    text = json.dumps({"services": {"web": {"image": "x", "environment": environment}}})
    assert not application(tmp_path, text, production=True, secrets={"S": CANARY}, variables={"U": "me"}).warnings


DECLARED = [  # a service, with ${A} for what the stack's variable A holds; whether that is declared so
    ({"command": ["run", "--password", "${A}"]}, True),
    ({"command": "redis-cli -a ${A} ping"}, True),
    ({"labels": {"x.token": "${A}"}}, True),
    ({"environment": {"OPTS": "-Ddb.password=${A} -Xmx1g"}}, True),
    ({"command": ["run", "--password", "${A}"], "ulimits": {"nofile": "${N}"}}, True),  # unreadable without values
    ({"environment": {"A": "${A}"}, "command": f"run --password {TYPED}"}, False),  # said of another place
    ({"command": ["run", "--password", "${A}x"]}, False),
    ({"environment": {"OPTS": "-Ddb.password=${A}x -Xmx1g"}}, False),
]


@pytest.mark.parametrize(("part", "deploys"), DECLARED)
def test_a_variable_declares_plain_what_it_stands_for_and_nothing_else(
    tmp_path: Path,
    part: dict[str, Any],
    deploys: bool,  # noqa: FBT001  # both are the test
) -> None:
    assert (
        bool(problems_of(tmp_path, with_part(part), production=True, variables={"A": TYPED, "N": "9"})) is not deploys
    )


OTHERS = {"base.yaml": "services: {base: {image: x, environment: ['API_KEY=${A}']}}", "a.env": "A_KEY=of-the-file\n"}
DECLARED_OTHERWISE = {  # the Compose file, with the stack's variables A and A_KEY
    "passed on, in a list": "services: {web: {image: x, environment: [A_KEY]}}",
    "passed on, in a mapping": "services: {web: {image: x, environment: {A_KEY: }}}",
    "over an env_file": "services: {web: {image: x, env_file: a.env}}",
    "of a file that is included": "{include: [base.yaml], services: {web: {image: x}}}",
    "of a file that is extended": "services: {web: {extends: {file: base.yaml, service: base}}}",
    "of a service that is extended": "services: {b: {image: x, environment: {API_KEY: '${A:?}'}}, web: {extends: b}}",
    "in a list of labels": "services: {b: {image: x, labels: ['x.token=${A}']}, web: {extends: b}}",
    "a part that anyone could guess": "services: {web: {image: x, environment: {O: '-Dstore.password=${W} -Xmx1g'}}}",
}


@pytest.mark.parametrize("text", DECLARED_OTHERWISE.values(), ids=DECLARED_OTHERWISE)
def test_a_plain_variable_declares_what_it_stands_for_however_it_gets_there(tmp_path: Path, text: str) -> None:
    for name, content in OTHERS.items():
        (tmp_path / name).write_text(content)
    variables = {"A": CANARY, "A_KEY": TYPED, "W": "changeit"}
    assert application(tmp_path, text, production=True, variables=variables).warnings or "labels" in text


def test_a_variable_that_is_passed_on_and_easy_to_guess_becomes_a_secret_where_it_is(tmp_path: Path) -> None:
    text = "services: {web: {image: x, environment: [A_PASSWORD]}}"
    [problem] = problems_of(tmp_path, text, production=True, variables={"A_PASSWORD": "changeme"})
    assert problem.fix.startswith("pulumi config rm --path 'variables.A_PASSWORD' --stack test && ")
    assert application(tmp_path, text, production=True, secrets={"A_PASSWORD": CANARY})


@pytest.mark.parametrize(
    ("service", "warned"),
    [({"image": "postgres:17"}, True), ({"image": "postgres:17", "build": "."}, False)],
)
@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE"])
def test_the_path_of_a_secret_where_an_image_takes_its_value_is_warned_of(
    tmp_path: Path, service: dict[str, Any], name: str, *, warned: bool
) -> None:
    (tmp_path / "Dockerfile").touch()
    service = {**service, "secrets": ["pw"], "environment": {name: "/run/secrets/pw"}}
    text = json.dumps({"services": {"db": service}, "secrets": {"pw": {"environment": "PW"}}})
    said = application(tmp_path, text, production=True, secrets={"PW": CANARY}).warnings
    expected = [f"write `{name}_FILE: /run/secrets/pw` there instead, where the image knows that"]
    assert [each.fix for each in said] == (expected if warned and not name.endswith("FILE") else [])


@pytest.mark.parametrize(("value", "deploys"), [("/run/secrets/pw", True), ("/run/secrets/other", False)])
def test_where_a_secret_of_the_service_is_mounted_is_none(
    tmp_path: Path,
    value: str,
    deploys: bool,  # noqa: FBT001  # both are the test
) -> None:
    text = (
        f"services: {{web: {{image: x, secrets: [pw], environment: {{APP_PASSWORD: {value}}}}}}}\n"
        "secrets: {pw: {environment: PW}}"
    )
    found = problems_of(tmp_path, text, production=True, secrets={"PW": CANARY})
    assert bool(found) is not deploys


def test_what_is_refused_in_an_environment_says_how_it_deploys_where_it_is_none(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, with_part({"environment": {"SHOP_KEY": "0a" * 16}}), production=True)
    assert "if it is none, a plain variable of the stack in its place deploys" in problem.meaning


CONTENTS = {
    "-----BEGIN PRIVATE KEY-----\nMIIE\n": True,
    "--password hunter22\n": True,
    "-- password: hunter22\n# token = hunter22\n<!-- <password>\nhunter22</password> -->\n": False,
    "redis://:{password}@db mysql://%s:%s@db amqp://<user>:<password>@db http://a:%(pw)s@db {os.getenv('A')}\n": False,
}


@pytest.mark.parametrize(("content", "refused"), CONTENTS.items())
def test_comments_and_templates_in_the_content_of_a_config_are_no_secrets(content: str, refused: bool) -> None:  # noqa: FBT001
    assert bool([*secret_texts({"configs": {"x": {"content": content}}}, lambda _: ())]) is refused


def test_a_secret_beside_its_own_variable_is_called_as_that_is(tmp_path: Path) -> None:
    part = {"healthcheck": {"test": f"sqlcmd -U sa -P {TYPED}"}, "environment": {"SA_PASSWORD": TYPED}}
    [told] = [each for each in problems_of(tmp_path, with_part(part), production=True) if "healthcheck" in each.what]
    assert "write $$SA_PASSWORD there" in told.fix
    assert "secrets.SA_PASSWORD" in told.fix


CHECK = {"test": "sqlcmd -U sa -P Zq7-shop-example"}
HASHED = "$2a$14$0l3IozJx7xQRVmlkEQ32OeEEfP5mRxTpbDTCTcXRqn19gXD8YK1pO"
NAMED = [
    # what it is; services, with the content of a config; secrets of the stack; the place; what is to be done there
    ("the default of a variable, in a command",
     {"cache": {"command": ["cached", "--requirepass", "${CACHE_AUTH:-a-shared-word}"]},
      "web": {"environment": {"CACHE_AUTH": "${CACHE_AUTH:-a-shared-word}"}}}, {},
     "services.cache.command", r"hand it over .*\{CACHE_AUTH\}.*, then pulumi .*'secrets.CACHE_AUTH'.*"),
    ("the default of a variable, in a config", {"content": "password: ${MAIL_PW:-a-shared-word}"}, {},
     "configs.c.content", r"pulumi config set --secret --path 'secrets.MAIL_PW' --stack test < /dev/tty"),
    ("a hash as the default of a variable", {"web": {"environment": {"ADMIN_HASH": f"${{ADMIN_HASH:-{HASHED}}}"}}}, {},
     "services.web.environment.ADMIN_HASH", r"pulumi config set --secret --path 'secrets.ADMIN_HASH' .*"),
    ("of the environment, there by another variable",
     {"db": {"environment": {"SA_PASSWORD": "${SHOP_DB_PASSWORD:-Zq7-shop-example}"}, "healthcheck": CHECK}}, {},
     "services.db.healthcheck", r"write \$\$SA_PASSWORD there, as `CMD-SHELL`.*, then .*'secrets.SHOP_DB_PASSWORD'.*"),
    ("of a service with one password, which the stack has",
     {"db": {"environment": {"SA_PASSWORD": "${DB_PW}"}, "healthcheck": CHECK}}, {"DB_PW": CANARY},
     "services.db.healthcheck", r"write \$\$SA_PASSWORD there, as `CMD-SHELL`: db has it in its environment"),
    ("of a service with two passwords",
     {"db": {"environment": {"SA_PASSWORD": "${A}", "APP_PASSWORD": "${B}"}, "healthcheck": CHECK}},
     {"A": CANARY, "B": f"b{CANARY}"}, "services.db.healthcheck", r"write \$\$DB_SECRET there.*'secrets.DB_SECRET'.*"),
    ("several in one text",
     {"db": {"environment": {"DB_PASSWORD": "wordy-1"}}, "store": {"environment": {"STORE_PASSWORD": "wordy-2"}},
      "content": "db: {password: wordy-1}\nstore: {secret: wordy-2}"}, {}, "configs.c.content",
     r"write \$\{DB_PASSWORD\} .*write \$\{STORE_PASSWORD\} .*'secrets.DB_PASSWORD'.*&& .*'secrets.STORE_PASSWORD'.*"),
    ("the value of a weak secret, also in a hook",
     {"store": {"environment": {"STORE_PASSWORD": "${STORE_PASSWORD}"},
                "post_start": [{"command": ["sh", "-c", "mc alias set s http://store:9000 root changeme"]}]},
      "content": "secret: changeme"}, {"STORE_PASSWORD": "changeme"}, "secrets.STORE_PASSWORD: is a placeholder, and",
     (r"configs.c.content: write \$\{STORE_PASSWORD\} in its place there; services.store.post_start.0.command.2: "
     r"write \$\$STORE_PASSWORD there: store has it in its environment, then pulumi .*'secrets.STORE_PASSWORD'.*")),
    ("the variable of its name is there already",
     {"db": {"environment": {"A_PASSWORD": "${B_PASSWORD}"}, "healthcheck": {"test": "ping -p${A_PASSWORD}"}}},
     {"A_PASSWORD": CANARY, "B_PASSWORD": CANARY}, "services.db.healthcheck",
     r"write \$\$A_PASSWORD there, as `CMD-SHELL`: db has it in its environment"),
    ("of an env_file, whose value is the stack's under another name", {"db": {"env_file": "app.env"}},
     {"DB_PASSWORD": TYPED}, "services.db.environment.MYSQL_PASSWORD", re.escape(COPIED)),
]  # fmt: skip


@pytest.mark.parametrize(("services", "secrets", "place", "fix"), [c[1:] for c in NAMED], ids=[c[0] for c in NAMED])
def test_one_line_says_which_secret_it_is_and_all_there_is_to_do_in_order(
    tmp_path: Path, services: dict[str, Any], secrets: dict[str, str], place: str, fix: str
) -> None:
    (tmp_path / "app.env").write_text(f"MYSQL_PASSWORD={TYPED}\n")
    for arguments in (["init", "-q"], ["add", "app.env"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    content = {key: value for key, value in services.items() if key == "content"}
    model = {name: {"image": "x", **each} for name, each in services.items() if name != "content"}
    model["reader"] = {"image": "x", "configs": ["c"] if content else []}
    (tmp_path / "compose.yaml").write_text(
        json.dumps({"services": model, **({"configs": {"c": content}} if content else {})})
    )
    stack = settings(tmp_path, production=True, secrets=secrets)
    with pytest.raises(SlipwayError) as raised:
        read_application(stack, problems=broken_rules(stack))
    [problem] = [each for each in raised.value.problems if place in each.what]
    assert re.fullmatch(fix, problem.fix), problem.fix
    named = [each for each in secrets if "changeme" in secrets[each]]
    assert not named or list(raised.value.problems) == [problem]
