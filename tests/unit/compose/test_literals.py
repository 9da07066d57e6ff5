"""Secrets that a Compose file holds in the clear: what becomes of each, to the letter; services get the same."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from documents import IMAGE
from samples import application, problems_of, settings

from slipway.agent.release.rendering import render
from slipway.agent.state.stack_dir import StackFolder
from slipway.compose.git import Revision
from slipway.compose.literals import Adoption, adoption
from slipway.contract.deployment import Release
from slipway.contract.problems import SlipwayError

LONG = "hunter2hunter2hunter2"
HASH = "$2a$14$0l3IozJx7xQRVmlkEQ32OeEEfP5mRxTpbDTCTcXRqn19gXD8YK1pO"


def compose(*environments: str, more: str = "") -> str:
    """Services `a`, `b`, … with these environments."""
    services = "".join(f"  {name}:\n    image: x\n{each}" for name, each in zip("abcd", environments, strict=False))
    return f"services:\n{services}{more}"


def mapping(line: str) -> str:
    return f"    environment:\n      # why\n      {line}\n      OTHER: 1 # said\n"


CASES: list[tuple[str, str, str, dict[str, str]]] = [
    # what it is; the line as written; the line as it becomes; the secrets
    ("plain", f"DB_PASSWORD: {LONG}", "DB_PASSWORD: ${DB_PASSWORD}", {"DB_PASSWORD": LONG}),
    ("remark", f"DB_PASSWORD: {LONG}   # old", "DB_PASSWORD: ${DB_PASSWORD}   # old", {"DB_PASSWORD": LONG}),
    ("single quotes", "A_TOKEN: 'it''s: a #b'", "A_TOKEN: '${A_TOKEN}'", {"A_TOKEN": "it's: a #b"}),
    ("double quotes", r'A_TOKEN: "a\tb\u00e9 c d e f"', 'A_TOKEN: "${A_TOKEN}"', {"A_TOKEN": "a\tbé c d e f"}),
    ("escaped", "A_TOKEN: pa$$word-of-mine", "A_TOKEN: ${A_TOKEN}", {"A_TOKEN": "pa$word-of-mine"}),
    ("short", "DB_PASSWORD: postgres", "DB_PASSWORD: ${DB_PASSWORD}", {"DB_PASSWORD": "postgres"}),
    ("number", "DB_PASSWORD: 1234567890123", "DB_PASSWORD: ${DB_PASSWORD}", {"DB_PASSWORD": "1234567890123"}),
    ("anchor", f"DB_PASSWORD: &pw {LONG}", "DB_PASSWORD: &pw ${DB_PASSWORD}", {"DB_PASSWORD": LONG}),
    ("non-ASCII", "A_TOKEN: schlüssel-☃-grün", "A_TOKEN: ${A_TOKEN}", {"A_TOKEN": "schlüssel-☃-grün"}),
    ("URL of a service", f"DATABASE_URL: postgres://u:{LONG}@b:5432/x", "DATABASE_URL: postgres://u:${DATABASE_PASSWORD}@b:5432/x",
     {"DATABASE_PASSWORD": LONG}),
    ("URL of another", f"MAIL_URL: smtp://u:{LONG}@mail.example/", "MAIL_URL: ${MAIL_URL}",
     {"MAIL_URL": f"smtp://u:{LONG}@mail.example/"}),
    ("default", f"DB_PASSWORD: ${{PW:-{LONG}}}", f"DB_PASSWORD: ${{PW:-{LONG}}}", {"PW": LONG}),
    ("default in a URL", f"CACHE_URL: redis://:${{P-{LONG}}}@b/0", f"CACHE_URL: redis://:${{P-{LONG}}}@b/0",
     {"P": LONG}),
    ("default in a URL of another", f"MAIL_URL: smtp://${{U:-u}}:${{P:-{LONG}}}@mail.example/",
     f"MAIL_URL: smtp://${{U:-u}}:${{P:-{LONG}}}@mail.example/", {"P": LONG}),
    ("a hash as default", f"A_HASH: ${{A_HASH:-{HASH}}}", f"A_HASH: ${{A_HASH:-{HASH}}}", {"A_HASH": HASH}),
    ("of a variable", "DB_PASSWORD: ${GIVEN}", "DB_PASSWORD: ${GIVEN}", {"GIVEN": "of-the-stack-so-far"}),
    ("no secret", "PUBLIC_KEY: abcdefghijklmnop", "PUBLIC_KEY: abcdefghijklmnop", {}),
]  # fmt: skip


def adopted(folder: Path, text: str, **values: Any) -> Adoption:
    (folder / "compose.yaml").write_bytes(text.encode())
    return adoption(settings(folder, **values))


def configurations(folder: Path, text: str, **values: Any) -> dict[str, str]:
    """Service → hash of its configuration on a host: equal ones are not replaced."""
    found = application(folder, text, **values)
    release = Release.from_json(found.release(Revision("c", "b"), dict.fromkeys(found.entries, IMAGE)))
    rendered = render(
        release, list(found.entries), values.get("secrets", {}), key=b"k", folder=StackFolder(found.stack)
    )
    return {name: service.config for name, service in rendered.services.items()}


@pytest.mark.parametrize(
    ("written", "becomes", "secrets"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_literal_becomes_a_secret_with_todays_value_and_nothing_else_of_the_file_changes(
    tmp_path: Path, written: str, becomes: str, secrets: dict[str, str]
) -> None:
    text, variables = compose(mapping(written), "    command: [x]\n"), {"GIVEN": "of-the-stack-so-far"}
    found = adopted(tmp_path, text, variables=variables)
    assert (found.secrets, found.left) == (secrets, {})
    after = compose(mapping(becomes), "    command: [x]\n")
    assert [after for _, after in found.files.values()] == ([after] if becomes != written else [])
    before = configurations(tmp_path, text, variables=variables)
    kept = {name: value for name, value in variables.items() if name not in secrets}
    assert configurations(tmp_path, after, secrets=secrets, variables=kept) == before
    assert not adopted(tmp_path, after, secrets=secrets, variables=kept).secrets


LISTS = [
    (f"    environment: [DB_PASSWORD={LONG}, A=1]\n", '    environment: ["DB_PASSWORD=${DB_PASSWORD}", A=1]\n'),
    (f"    environment: {{DB_PASSWORD: {LONG}, A: 1}}\n", '    environment: {DB_PASSWORD: "${DB_PASSWORD}", A: 1}\n'),
    (f"    environment:\n      - DB_PASSWORD={LONG} #\n", "    environment:\n      - DB_PASSWORD=${DB_PASSWORD} #\n"),
    (f"    environment:\n      - 'DB_PASSWORD={LONG}'\n", "    environment:\n      - 'DB_PASSWORD=${DB_PASSWORD}'\n"),
    (f"    environment:\r\n      DB_PASSWORD: {LONG}\r\n", "    environment:\r\n      DB_PASSWORD: ${DB_PASSWORD}\r\n"),
    (f"    environment:\n      DB_PASSWORD: |-\n        {LONG}\n      A: 1\n",
     "    environment:\n      DB_PASSWORD: ${DB_PASSWORD}\n      A: 1\n"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "becomes"), LISTS)
def test_every_form_of_an_environment_keeps_its_form(tmp_path: Path, written: str, becomes: str) -> None:
    found = adopted(tmp_path, compose(written))
    assert found.secrets == {"DB_PASSWORD": LONG}
    assert [after for _, after in found.files.values()] == [compose(becomes)]


def test_equal_values_are_one_secret_and_unlike_ones_of_one_name_are_two(tmp_path: Path) -> None:
    lines = [f"POSTGRES_PASSWORD: {LONG}", f"DATABASE_URL: postgres://u:{LONG}@a/x",
             "POSTGRES_PASSWORD: another-password-here", "POSTGRES_PASSWORD: yet-another-one-here"]  # fmt: skip
    environments = map(mapping, lines)
    found = adopted(tmp_path, compose(*environments), secrets={"D_POSTGRES_PASSWORD": "taken-by-something"})
    assert found.secrets == {
        "POSTGRES_PASSWORD": LONG,
        "C_POSTGRES_PASSWORD": "another-password-here",
        "D_POSTGRES_PASSWORD_2": "yet-another-one-here",
    }
    [(_, after)] = found.files.values()
    assert "postgres://u:${POSTGRES_PASSWORD}@a/x" in after


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("spring.datasource.password", "SPRING_DATASOURCE_PASSWORD"),
        ("Auth--ApiKey", "AUTH_APIKEY"),
        ("1_PASSWORD", "SECRET_1_PASSWORD"),
        ("пароль.password", "PASSWORD"),
        ("API_KEY", "API_KEY"),
    ],
)
def test_a_variable_with_any_name_becomes_a_secret_that_compose_can_refer_to(
    tmp_path: Path, name: str, secret: str
) -> None:
    text = compose(mapping(f"{name}: {LONG}"))
    found = adopted(tmp_path, text)
    assert (found.secrets, found.left) == ({secret: LONG}, {})
    [(_, after)] = found.files.values()
    assert f"{name}: ${{{secret}}}" in after
    assert configurations(tmp_path, after, secrets=found.secrets) == configurations(tmp_path, text)


def test_a_name_that_is_made_is_one_that_the_file_refers_to_nowhere(tmp_path: Path) -> None:
    lines = [f"auth.token: {LONG}", "X: ${AUTH_TOKEN:-other}", "auth.token: quite-another-value"]
    found = adopted(tmp_path, compose(*map(mapping, lines)))
    assert found.secrets == {"A_AUTH_TOKEN": LONG, "C_AUTH_TOKEN": "quite-another-value"}


def test_a_line_that_still_shows_an_adopted_value_is_named(tmp_path: Path) -> None:
    text = compose(mapping(f"DB_PASSWORD: {LONG} # {LONG}"), mapping("C_PASSWORD: ${C_PASSWORD:-pa$$word-of-mine}"))
    found = adopted(tmp_path, f"# was {LONG}\n{text}")
    lines = {line: name for (_, line), name in found.remains.items()}
    assert lines == {1: "DB_PASSWORD", 7: "DB_PASSWORD", 13: "C_PASSWORD"}
    assert not adopted(tmp_path, text.replace(f" # {LONG}", "").replace(":-pa$$word-of-mine", "")).remains


def test_a_name_that_is_taken_is_another_one_for_all_that_share_the_value(tmp_path: Path) -> None:
    lines = ["POSTGRES_PASSWORD: postgres", "DATABASE_URL: postgres://u:postgres@a/x"]
    found = adopted(tmp_path, compose(*map(mapping, lines)), secrets={"POSTGRES_PASSWORD": "of-another-thing"})
    assert found.secrets == {"A_POSTGRES_PASSWORD": "postgres"}
    assert len(found.users["A_POSTGRES_PASSWORD"]) == 2


@pytest.mark.parametrize("more", ["", "environment: {REDIS_PASSWORD: of-d-alone-789}"])
def test_a_name_with_several_values_in_env_files_is_not_taken_as_the_stack_s_wins_over_all(
    tmp_path: Path, more: str
) -> None:
    (tmp_path / "a.env").write_text("REDIS_PASSWORD=of-a-alone-123\n")
    (tmp_path / "b.env").write_text("REDIS_PASSWORD=of-b-alone-456\n")
    (tmp_path / "c.env").write_text("REDIS_PASSWORD=of-a-alone-123\nREDIS_CACHE_PASSWORD=of-b-alone-456\n")
    text = (
        "services: {a: {image: x, env_file: a.env}, b: {image: x, env_file: b.env}, c: {image: x, env_file: c.env}, "
        f"d: {{image: x, {more}}}}}"
    )
    before, found = configurations(tmp_path, text), adopted(tmp_path, text)
    assert "REDIS_PASSWORD" not in found.secrets
    fixes = {each.fix.partition(", then")[0] for each in problems_of(tmp_path, text, production=True)}
    assert {each for each in fixes if each.startswith("write")} == {
        "write `REDIS_PASSWORD: ${A_REDIS_PASSWORD}` under `environment:` of a",
        "write `REDIS_PASSWORD: ${REDIS_CACHE_PASSWORD}` under `environment:` of b",
        "write `REDIS_PASSWORD: ${A_REDIS_PASSWORD}` under `environment:` of c",
        "write `REDIS_CACHE_PASSWORD: ${REDIS_CACHE_PASSWORD}` under `environment:` of c",
    }
    set_before = problems_of(tmp_path, text, production=True, secrets={"A_REDIS_PASSWORD": f"new-{LONG}"})
    assert "write `REDIS_PASSWORD: ${A_REDIS_PASSWORD}` under `environment:` of a" in [e.fix for e in set_before]
    after = next((each[1] for each in found.files.values()), text)
    assert configurations(tmp_path, after, secrets=found.secrets) == before
    apart = text.replace("b.env", "b.env, environment: {REDIS_PASSWORD: '${REDIS_CACHE_PASSWORD}'}")
    taken = adopted(tmp_path, apart, variables={"REDIS_CACHE_PASSWORD": "of-b-alone-456"}).secrets
    assert (taken["REDIS_PASSWORD"], taken["REDIS_CACHE_PASSWORD"]) == ("of-a-alone-123", "of-b-alone-456")


def test_shared_anchors_are_edited_once(tmp_path: Path) -> None:
    shared = f"x-environment: &shared\n  DB_PASSWORD: {LONG}\n"
    own = "    environment:\n      <<: *shared\n"
    found = adopted(tmp_path, shared + compose(own, own, "    environment: *shared\n"))
    assert found.secrets == {"DB_PASSWORD": LONG}
    [(_, after)] = found.files.values()
    assert after == shared.replace(LONG, "${DB_PASSWORD}") + compose(own, own, "    environment: *shared\n")


@pytest.mark.parametrize(
    ("environment", "more", "why"),
    [
        (mapping(f"DB_PASSWORD: {LONG}") + f"    command: [run, {LONG}]\n", "",
         "its value stands in services.a.command.1, too: write $$DB_PASSWORD there first, which a shell reads"),
        (mapping(f"DB_PASSWORD: ${{USER_PART:-x}}-{LONG}"), "", "it is put together of variables"),
        (mapping(f"DB_PASSWORD: {LONG}") + "    extends: {file: other.yaml, service: z}\n", "",
         "it stands in another place, which `include` or `extends` names"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_left_with_the_reason(tmp_path: Path, environment: str, more: str, why: str) -> None:
    (tmp_path / "other.yaml").write_text(
        json.dumps({"services": {"z": {"environment": {"Z_TOKEN": "quite-another-value"}}}})
    )
    found = adopted(tmp_path, compose(environment, more=more))
    assert list(found.left.values()) == [why]


def test_a_value_in_an_env_file_is_the_stacks_without_an_edit(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text(f"DB_PASSWORD={LONG}\n")
    text = compose("    env_file: x.env\n")
    found = adopted(tmp_path, text)
    assert (found.secrets, found.files) == ({"DB_PASSWORD": LONG}, {})
    assert configurations(tmp_path, text, secrets=found.secrets) == configurations(tmp_path, text)


INSIDE = "SETTINGS: |\n        db:\n          password: {0}\n\n        again: {{secret: '{0}'}}"


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        (f"MYSQL_PASSWORD: {LONG}", "MYSQL_PASSWORD: ${DB_PASSWORD}"),
        (INSIDE.format(LONG), INSIDE.format("${DB_PASSWORD}")),
        (f'SETTINGS: "db: password={LONG}"', 'SETTINGS: "db: password=${DB_PASSWORD}"'),
        (f"MAIL_URL: smtp://u:{LONG}@mail.example/", "MAIL_URL: smtp://u:${DB_PASSWORD}@mail.example/"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["the stack's", "another literal"])
def test_a_value_that_is_known_becomes_a_reference_to_that_secret_wherever_it_stands(
    tmp_path: Path, line: str, becomes: str, *, known: bool
) -> None:
    others = "" if known else mapping(f"DB_PASSWORD: {LONG}")
    uses = "    environment: [DB_PASSWORD, 'A_URL=pg://u:${DB_PASSWORD}@db']\n" if known else ""
    text, secrets = compose(others, mapping(line), uses), {"DB_PASSWORD": LONG}
    found = adopted(tmp_path, text, secrets=secrets if known else {})
    assert (found.secrets, found.left) == (secrets, {})
    [(_, after)] = found.files.values()
    assert after == text.replace(line, becomes).replace(f"DB_PASSWORD: {LONG}", "DB_PASSWORD: ${DB_PASSWORD}")
    assert known or configurations(tmp_path, after, secrets=secrets) == configurations(tmp_path, text)
    assert application(tmp_path, after, production=True, secrets=secrets).secrets == ("DB_PASSWORD",)


def test_a_text_with_another_secret_beside_the_known_one_is_taken_as_a_whole(tmp_path: Path) -> None:
    both = f"password={LONG} token=another-one-of-mine"
    found = adopted(tmp_path, compose(mapping(f"SETTINGS: {both}")), secrets={"DB_PASSWORD": LONG})
    assert found.secrets == {"SETTINGS": both}


def test_the_edited_file_itself_keeps_no_value_although_a_service_mounts_it(tmp_path: Path) -> None:
    text = compose(mapping(f"A_TOKEN: {LONG}") + "    volumes: ['.:/app:ro']\n")
    found = adopted(tmp_path, text)
    assert (found.secrets, found.left) == ({"A_TOKEN": LONG}, {})
    [(_, after)] = found.files.values()
    application(tmp_path, after, production=True, secrets=found.secrets)


def test_the_last_of_several_files_is_edited(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(compose(mapping("DB_PASSWORD: of-the-base-file")))
    (tmp_path / "over.yaml").write_text(compose(mapping(f"DB_PASSWORD: {LONG}")))
    found = adoption(settings(tmp_path, compose_file=["base.yaml", "over.yaml"]))
    assert {file.name for file in found.files} == {"over.yaml"}
    assert found.secrets == {"DB_PASSWORD": LONG}


def test_production_refuses_and_names_the_command(tmp_path: Path) -> None:
    text = compose(mapping("POSTGRES_PASSWORD: postgres"))
    with pytest.raises(SlipwayError) as raised:
        application(tmp_path, text, production=True)
    [problem] = raised.value.problems
    assert problem.fix == "slipway secrets adopt --stack test"


def test_odd_files_are_edited_or_refused_but_never_damaged(tmp_path: Path) -> None:
    rounds = base64.b64encode(bytes(range(60))).decode()
    for text in (
        "\ufeff" + compose(mapping(f"A_TOKEN: {LONG}")),
        compose(mapping(f'A_TOKEN: !!str "{rounds}"')),
        compose(mapping("A_TOKEN: >-\n        folded folded\n        and more\n\n      # remark")),
        "# only\n---\n" + compose(mapping(f"A_TOKEN: {LONG}")) + "...\n",
        json.dumps({"services": {"a": {"image": "x", "environment": {"A_TOKEN": LONG}}}}),
    ):
        try:
            found = adopted(tmp_path, text)
        except SlipwayError:
            continue
        [(before, after)] = found.files.values()
        assert before == text
        assert configurations(tmp_path, after, secrets=found.secrets) == configurations(tmp_path, text)


TWO_ENDS = [
    # what it is; the environments of services; what each secret has to be, by the variables that read it
    ("a client's own word", [{"POSTGRES_PASSWORD": "sonar"}, {"SONAR_JDBC_PASSWORD": "sonar"}], 1),
    ("a framework's word", [{"MYSQL_PASSWORD": "P4ssb0lt"}, {"DATASOURCES_DEFAULT_PASSWORD": "P4ssb0lt"}], 1),
    ("a placeholder", [{"POSTGRES_PASSWORD": "password"}, {"SPRING_DATASOURCE_PASSWORD": "password"}], 1),
    ("no word for it", [{"POSTGRES_PASSWORD": "lemmy"}, {"LEMMY_PASS": "lemmy"}], 1),
    ("defaults", [{"MINIO_ROOT_PASSWORD": "${MINIO_ROOT_PASSWORD:-miniosecret}"},
                  {"S3_A_SECRET_ACCESS_KEY": "${S3_A_SECRET_ACCESS_KEY:-miniosecret}",
                   "S3_B_SECRET_ACCESS_KEY": "${S3_B_SECRET_ACCESS_KEY-miniosecret}"}], 1),
    ("a default that is a URL", [{"POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:-postgres}"},
                                 {"DATABASE_URL": "${DATABASE_URL:-postgresql://postgres:postgres@a:5432/p}"}], 1),
    ("a URL with variables", [{"POSTGRES_PASSWORD": "shop"},
                              {"DATABASE_URL": "postgres://${DB_USER:-shop}:shop@a/x"}], 1),
    ("a URL by an alias", [{"POSTGRES_PASSWORD": "shop"}, {"DATABASE_URL": "postgres://shop:shop@main-db/x"}], 1),
    ("one of two", [{"POSTGRES_PASSWORD": "plane"}, {"RABBITMQ_DEFAULT_PASS": "plane"}, {"API_PASSWORD": "plane"}], 1),
    ("a user of the same word", [{"POSTGRES_PASSWORD": "${PG_PASSWORD:-plane}"},
                                 {"DATABASE_URL": "postgres://${DB_USER:-plane}:${DB_PASS:-plane}@a/x"}], 1),
    ("two things", [{"POSTGRES_PASSWORD": "plane"}, {"RABBITMQ_DEFAULT_PASS": "plane"}], 2),
    ("people's", [{"POSTGRES_PASSWORD": "plane"}, {"GRAFANA_ADMIN_PASSWORD": "plane"}], 2),
    ("another's key", [{"POSTGRES_PASSWORD": "changeme"}, {"STRIPE_API_KEY": "changeme"}], 2),
]  # fmt: skip


@pytest.mark.parametrize(("environments", "secrets"), [case[1:] for case in TWO_ENDS], ids=[c[0] for c in TWO_ENDS])
def test_both_ends_of_a_password_refer_to_one_secret(
    tmp_path: Path, environments: list[dict[str, str]], secrets: int
) -> None:
    services = {name: {"image": "x", "environment": each} for name, each in zip("abc", environments, strict=False)}
    services["a"]["networks"] = {"default": {"aliases": ["main-db"]}}
    text = json.dumps({"services": services})
    found = adopted(tmp_path, text)
    assert (len(found.secrets), found.left, found.kept) == (secrets, {}, {})
    assert sum(map(len, found.users.values())) == sum(map(len, environments))
    [after] = [after for _, after in found.files.values()] or [text]
    assert configurations(tmp_path, after, secrets=found.secrets) == configurations(tmp_path, text)
    renewed = application(tmp_path, after, secrets=dict.fromkeys(found.secrets, "a-new-value-for-it"), production=True)
    today = set(found.secrets.values())
    for service, entry in renewed.document["services"].items():
        for name, value in entry["environment"].items():
            assert f"${{{next(iter(found.secrets))}}}" in value or secrets > 1, (service, name)
            assert value not in today


def test_a_remark_about_a_variable_is_no_use_of_it(tmp_path: Path) -> None:
    found = adopted(tmp_path, "# set ${DB_PASSWORD} first\n" + compose(mapping("DB_PASSWORD: ${DB_PASSWORD:-wordy}")))
    assert (found.secrets, found.files) == ({"DB_PASSWORD": "wordy"}, {})


def test_a_variable_with_two_defaults_does_not_become_one_secret(tmp_path: Path) -> None:
    lines = ["DB_PASSWORD: ${PW:-one-of-the-two-values}", "API_TOKEN: ${PW:-the-other-of-the-two}"]
    text = compose(*map(mapping, lines))
    found = adopted(tmp_path, text)
    assert "PW" not in found.secrets
    [(_, after)] = found.files.values()
    assert configurations(tmp_path, after, secrets=found.secrets) == configurations(tmp_path, text)


ELSEWHERE = [
    # a service's other parts; a file that it mounts; whether the weak password `wordy` stands there as one
    ({}, "connection: postgres://u:wordy@a:5432/x", True),
    ({}, '{"password": "wordy"}', True),
    ({}, "CREATE USER wordy WITH PASSWORD 'wordy';", True),
    ({}, "db_password = wordy\n", True),
    ({}, "<password>wordy</password>", True),
    ({"command": ["serve", "--requirepass", "wordy"]}, "", True),
    ({"command": "serve --password=wordy"}, "", True),
    ({"healthcheck": {"test": ["CMD", "ping", "-u", "x", "-pwordy"]}}, "", True),
    ({"labels": {"cli": "redis://:wordy@a"}}, "", True),
    ({"environment": {"MIRROR": "http://u:wordy@elsewhere.example/"}}, "", True),
    ({"command": ["sh", "-c", "serve --requirepass $${DB_PASSWORD:-wordy}"]}, "", False),  # the service has its own
    ({"command": ["sh", "-c", "serve --requirepass $${OTHER_PASSWORD:-wordy}"]}, "", True),
    ({"command": "serve --name wordy", "hostname": "wordy"}, "user: wordy\nhost = wordy\n", False),
    ({"command": "serve --password=Wordy"}, "password: wordy-list", False),
]  # fmt: skip


@pytest.mark.parametrize(("more", "file", "stands"), ELSEWHERE)
def test_a_weak_value_that_stands_elsewhere_too_is_kept_and_the_place_is_said(
    tmp_path: Path, more: dict[str, Any], file: str, *, stands: bool
) -> None:
    (tmp_path / "app.hjson").write_text(file)
    environment = {"DB_PASSWORD": "wordy", **more.pop("environment", {})}
    service = {"image": "x", "environment": environment, "volumes": ["./app.hjson:/c:ro"], **more}
    found = adopted(tmp_path, json.dumps({"services": {"a": service}}))
    assert found.secrets["DB_PASSWORD"] == "wordy"
    assert list(found.kept) == (["DB_PASSWORD"] if stands else [])
    assert not file or not stands or found.kept["DB_PASSWORD"] == "app.hjson"


@pytest.mark.parametrize(("text", "stands"), [(each[1], each[2]) for each in ELSEWHERE if each[1] and not each[0]])
def test_a_weak_value_that_stands_in_the_content_of_a_config_is_kept(
    tmp_path: Path, text: str, *, stands: bool
) -> None:
    services = {"a": {"image": "x", "environment": {"DB_PASSWORD": "wordy"}}, "b": {"image": "x", "configs": ["c"]}}
    found = adopted(tmp_path, json.dumps({"services": services, "configs": {"c": {"content": text}}}))
    assert found.kept == ({"DB_PASSWORD": "configs.c.content"} if stands else {})


def test_a_strong_value_in_a_shipped_file_stays_in_both(tmp_path: Path) -> None:
    (tmp_path / "app.hjson").write_text(f"api_key: {LONG}")
    text = compose(mapping(f"API_KEY: {LONG}") + "    volumes: [./app.hjson:/c:ro]\n")
    assert adopted(tmp_path, text).left == {"services.a.environment.API_KEY": "its value stands in app.hjson, too"}


@pytest.mark.parametrize("key", ["command", "entrypoint", "healthcheck"])
def test_what_keeps_a_secret_in_a_command_of_its_own_service_says_what_to_write_there(tmp_path: Path, key: str) -> None:
    words = json.dumps(["CMD-SHELL", f"psql {LONG}"])
    line = f"    healthcheck: {{test: {words}}}\n" if key == "healthcheck" else f"    {key}: {words}\n"
    [why] = adopted(tmp_path, compose(mapping(f"DB_PASSWORD: {LONG}") + line)).left.values()
    assert why.endswith(", too: write $$DB_PASSWORD there first, which a shell reads")


STANDS_TOO = [
    # another service that has the password, with {} in its place; the file that it mounts; what the way out says of it
    ({"volumes": ["./app.cfg:/etc/app.cfg:ro"]}, "in place of app.cfg, a `configs:` entry"),
    ({"command": "serve --requirepass {}"}, "services.b.command"),
    ({"command": ["sh", "-c", "serve --requirepass {}"]}, "write $$"),
    ({"configs": ["c"]}, "configs.c.content: write ${"),
    ({"labels": {"cli": "redis://:{}@a"}}, "services.b.labels.cli: hand it over"),
]  # fmt: skip


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize("written", ["%s", "${PW:-%s}"], ids=["literal", "default"])
@pytest.mark.parametrize("value", [LONG, "wordy"])
@pytest.mark.parametrize(("other", "says"), STANDS_TOO)
def test_a_new_value_is_the_last_step_where_the_old_one_stands_elsewhere_too(
    tmp_path: Path, other: dict[str, Any], says: str, value: str, written: str, *, production: bool
) -> None:
    (tmp_path / "app.cfg").write_text(f"[database]\npassword = {value}\n")
    db = {"image": "x", "environment": {"DB_PASSWORD": written % value}}
    services = {"a": db, "b": {"image": "x", **other}}
    configs = {"c": {"content": "password: {}"}}
    text = json.dumps({"services": services, "configs": configs}).replace("{}", value)
    found = problems_of(tmp_path, text, production=True) if production else application(tmp_path, text).warnings
    [fix] = [each.fix for each in found if each.what.startswith("services.a.") and each.what.endswith("in plain text")]
    if fix == ADOPT:  # keeps today's value, so the place is named then
        assert adopted(tmp_path, text).kept
    else:
        *before, last = fix.split(", then ")
        assert [each for each in before if says in each]
        assert "config set --secret" in last


ADOPT = "slipway secrets adopt --stack test"
ASK = "pulumi config set --secret --path 'secrets.{}' --stack test < /dev/tty"
RANDOM = "openssl rand -hex 24 | pulumi config set --secret --path 'secrets.{}' --stack test"
WAYS_OUT = [
    # what it is; the environment lines of services; the command in production, and elsewhere
    ("a default", ["REDIS_PASSWORD: ${REDIS_PASSWORD:-redis}"] * 2, *[RANDOM.format("REDIS_PASSWORD")] * 2),
    ("a default of another name", ["POSTGRES_PASSWORD: ${PW:-redis}"], *[ASK.format("PW")] * 2),
    ("in a shell as well",
     ["REDIS_PASSWORD: ${REDIS_PASSWORD:-redispassword}\n    command: sh -c 'run $${REDIS_PASSWORD:-redispassword}'"],
     *[RANDOM.format("REDIS_PASSWORD")] * 2),
    ("two variables for one value",
     ["MINIO_ROOT_PASSWORD: ${MINIO_ROOT_PASSWORD:-minio}", "S3_SECRET_ACCESS_KEY: ${S3_KEY:-minio}"], ADOPT, ADOPT),
    ("two unlike names", ["POSTGRES_PASSWORD: plane", "PLANE_SECRET: plane"], ADOPT, ADOPT),
    ("a literal and a default", ["POSTGRES_PASSWORD: redis", "DB_PASSWORD: ${DB_PASSWORD:-redis}"], ADOPT, ADOPT),
    ("a literal", ["POSTGRES_PASSWORD: redis"], ADOPT, RANDOM.format("POSTGRES_PASSWORD")),
    ("the stack's variable", ["DB_PASSWORD: ${GIVEN_PASSWORD}"],
     *["pulumi config rm --path 'variables.GIVEN_PASSWORD' --stack test && " + ASK.format("GIVEN_PASSWORD")] * 2),
    ("beside one of another file", ["DB_PASSWORD: redis\n    extends: {file: more.yaml, service: z}"], ADOPT,
     RANDOM.format("DB_PASSWORD")),
    ("put together", ["DB_PASSWORD: ${A:-x}-y"],
     *["write `DB_PASSWORD: ${DB_PASSWORD}` there, then " + RANDOM.format("DB_PASSWORD")] * 2),
]  # fmt: skip


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize(("lines", "here", "elsewhere"), [case[1:] for case in WAYS_OUT], ids=[c[0] for c in WAYS_OUT])
def test_the_command_for_a_secret_in_plain_text_leads_on_and_breaks_nothing_by_itself(
    tmp_path: Path, lines: list[str], here: str, elsewhere: str, *, production: bool
) -> None:
    more = {"services": {"z": {"environment": {"OTHER_PASSWORD": "redis"}}}}
    (tmp_path / "more.yaml").write_text(json.dumps(more))
    text = compose(*(f"    environment:\n      {line}\n" for line in lines))
    variables = {"GIVEN_PASSWORD": "given"}
    if production:
        problems = problems_of(tmp_path, text, production=True, variables=variables)
    else:
        problems = list(application(tmp_path, text, variables=variables).warnings)
    found = {each.what.split(" ")[0]: each.fix for each in problems if each.what.endswith("in plain text")}
    assert {fix for place, fix in found.items() if not place.endswith("OTHER_PASSWORD")} == {
        here if production else elsewhere
    }
    if set(found.values()) == {ADOPT}:  # which ends it
        assert not adopted(tmp_path, text, variables=variables).left
    elif "${" in text and "then" not in str(found):
        name = next(iter(found.values())).rpartition("secrets.")[2].partition("'")[0]
        kept = {} if name in variables else variables
        values = {name: "a-new-value-for-it"}
        end = application(tmp_path, text, production=production, variables=kept, secrets=values)
        assert not [each for each in end.warnings if each.what.endswith("in plain text")]


@pytest.mark.parametrize("moved", [{"move_from": ["old"]}, {"adopt_volumes": {"data": "old_data"}}, {}])
@pytest.mark.parametrize("lines", [case[1] for case in WAYS_OUT], ids=[case[0] for case in WAYS_OUT])
def test_a_secret_that_data_of_another_project_knows_is_not_made_anew(
    tmp_path: Path, lines: list[str], moved: dict[str, Any]
) -> None:
    (tmp_path / "more.yaml").write_text(json.dumps({"services": {"z": {"environment": {"OTHER_PASSWORD": "redis"}}}}))
    services = (f"    environment:\n      {line}\n    volumes: [data:/data]\n" for line in lines)
    text = compose(*services) + "volumes: {data: }\n"
    warnings = application(tmp_path, text, variables={"GIVEN_PASSWORD": "given"}, **moved).warnings
    fixes = [each.fix for each in warnings if each.what.endswith("in plain text")]
    assert fixes
    assert not moved or not [each for each in fixes if "openssl rand" in each]
