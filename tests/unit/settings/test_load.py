"""Where settings come from: which source wins, and that every problem is told at once, without a secret's value."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import CANARY, KEY, LOCAL, PRIVATE_KEY, REMOTE, ROOT, load, problems_of_loading, whats

from slipway.contract.problems import Problem
from slipway.settings.model import Settings


def complete(problems: list[Problem]) -> bool:
    """Whether there are problems, each with what, meaning and fix."""
    return bool(problems) and all(problem.what and problem.meaning and problem.fix for problem in problems)


# --- the order of the sources


def test_the_environment_wins_over_the_stack_and_the_stack_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SLIPWAY_RETENTION=3\nSLIPWAY_LOCK_WAIT=3\nSLIPWAY_DEADLINE=33\n")
    found = load(
        tmp_path,
        {"retention": "4", "lockWait": "4"},
        environment={"SLIPWAY_RETENTION": "6"},
    )
    assert (found.retention, found.lock_wait, found.deadline) == (6, 4, 33)


def test_a_default_of_pulumi_yaml_fills_in_nothing_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SLIPWAY_RETENTION=3\nSLIPWAY_CACHE=registry\nSLIPWAY_PLATFORMS=linux/arm64\n")
    defaults = {"retention": "5", "cache": "none", "platforms": "[]", "application": "example", "production": "false"}
    found = load(tmp_path, defaults)
    assert (found.retention, found.cache, found.platforms) == (3, "registry", ["linux/arm64"])


def test_a_default_that_the_stack_file_states_wins_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  slipway:retention: 5\n")
    (tmp_path / ".env").write_text("SLIPWAY_RETENTION=3\nSLIPWAY_LOCK_WAIT=3\n")
    found = load(tmp_path, {"retention": "5", "lockWait": "60"})
    assert (found.retention, found.lock_wait) == (5, 3)


def test_a_stack_file_is_read_where_pulumi_yaml_says(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.test.yaml").write_text("config:\n  slipway:retention: 5\n")
    (tmp_path / ".env").write_text("SLIPWAY_RETENTION=3\n")
    assert load(tmp_path, {"retention": "5"}).retention == 5


def test_a_stack_named_production_is_production_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, {"production": "false"}, stack="production").production
    assert load(tmp_path, stack="prod").production
    assert not load(tmp_path, stack="staging").production
    assert load(tmp_path, {"production": "true"}, stack="staging").production
    assert not load(tmp_path, stack="production", environment={"SLIPWAY_PRODUCTION": "false"}).production
    (tmp_path / "Pulumi.production.yaml").write_text("config:\n  slipway:production: false\n")
    assert not load(tmp_path, {"production": "false"}, stack="production").production


def test_variables_and_secrets_are_merged_entry_by_entry(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SLIPWAY_VARIABLES__A=dotenv\nSLIPWAY_VARIABLES__B=dotenv\nC=dotenv\nD=dotenv\n")
    found = load(
        tmp_path,
        {"variables": '{"B": "stack", "C": "stack"}', "secrets": f'{{"S": "{CANARY}", "T": "{CANARY}"}}'},
        encrypted=["secrets"],
        environment={"SLIPWAY_VARIABLES__C": "environment", "SLIPWAY_SECRETS__T": "environment-value"},
    )
    assert found.variables == {"A": "dotenv", "B": "stack", "C": "environment", "D": "dotenv"}
    assert found.secrets["S"].get_secret_value() == CANARY
    assert found.secrets["T"].get_secret_value() == "environment-value"


def test_an_entry_may_hold_two_underscores(tmp_path: Path) -> None:
    assert load(tmp_path, environment={"SLIPWAY_VARIABLES__APP__MODE": "x"}).variables == {"APP__MODE": "x"}


def test_an_empty_variable_of_a_ci_system_says_nothing(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {"registryUsername": "me", "registry": "ghcr.io/acme", "registryPassword": CANARY},
        encrypted=["registryPassword"],
        environment={"SLIPWAY_REGISTRY_PASSWORD": "", "SLIPWAY_RETENTION": "", "SLIPWAY_VARIABLES__EMPTY": ""},
    )
    assert found.registry_password.get_secret_value() == CANARY
    assert found.variables == {"EMPTY": ""}


def test_the_redactor_of_a_stack_knows_every_secret_of_it(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {"notifyUrl": "https://hooks.test/T0/9fXyZ01234567890abcd", "registryPassword": CANARY,
         "registryUsername": "me", "registry": "ghcr.io/acme", "secrets": '{"TOKEN": "pass w+rd/1"}'},
        encrypted=["notifyUrl", "registryPassword", "secrets"],
    )  # fmt: skip
    text = f"login {CANARY} failed, token pass%20w%2brd%2F1, sent to /T0/9fXyZ01234567890abcd"
    said = found.redactor().text(text)
    assert said == "login [registryPassword] failed, token [TOKEN], sent to /T0/[notifyUrl]"


def test_nothing_but_the_given_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_RETENTION", "9")
    monkeypatch.setenv("RETENTION", "9")
    assert load(tmp_path).retention == 5
    assert load(tmp_path, environment=None).retention == 9


def test_settings_themselves_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_RETENTION", "9")
    monkeypatch.setenv("SLIPWAY_STACK", "evil")
    assert Settings(stack="test").retention == 5


def test_names_of_the_toolchain_and_of_tests_are_no_settings(tmp_path: Path) -> None:
    environment = {
        "SLIPWAY_HOME": "/x",
        "SLIPWAY_TEST_KILL_AFTER": "x",
        "SLIPWAY_LOCAL_X": "x",
        "SLIPWAY_BENCH_X": "x",
        "SLIPWAY_HEALTH_LOGIN": "a:b",
    }
    assert load(tmp_path, environment=environment).retention == 5


def test_keys_of_other_projects_and_providers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    from slipway.settings.load import load_settings  # noqa: PLC0415  # the one test that needs full keys

    found = load_settings(
        project="slipway",
        stack="test",
        configuration={"slipway:hosts": json.dumps([LOCAL]), "hcloud:token": CANARY, "other:thing": "x"},
        encrypted=[],
        root=tmp_path,
        environment={},
    )
    assert found.hosts[0].name == "here"


# --- .env


def test_dotenv_gives_compose_variables_that_nothing_else_gives(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GREETING=hello $USER ${HOME}\nDATABASE_URL=postgres://a:pw@db/x\nDB_PASSWORD=pw\n")
    found = load(tmp_path)
    assert found.variables == {"GREETING": "hello $USER ${HOME}"}
    assert set(found.secrets) == {"DATABASE_URL", "DB_PASSWORD"}


def test_what_is_not_evidently_plain_in_dotenv_is_secret_unless_it_stands_where_no_secret_may(tmp_path: Path) -> None:
    service = {
        "image": "x:${TAG}", "ports": ["${PORT:-1}:1"], "command": ["$RUN"],
        "x-slipway": {"route": {"host": "$HOST"}, "migrate": "run $RUN"}, "logging": {"options": {"token": "$OPTION"}},
        "environment": {"user": "${OTHER}", "B": "${API_TOKEN}"}, "build": {"args": {"C": "${ARG}"}},
        "volumes": ["$DATA:/x"], "labels": ["l=$LABEL"],
    }  # fmt: skip
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "more.yml").write_text(json.dumps({"services": {"s": {"image": "${API_TOKEN}${MORE}"}}}))
    (tmp_path / "app" / "compose.yaml").write_text(json.dumps({"services": {"s": service}}))
    (tmp_path / "app" / "compose.bad.yaml").write_text("a: [")
    names = ["TAG", "PORT", "HOST", "RUN", "OTHER", "API_TOKEN", "ARG", "LABEL", "OPTION", "MORE", "DOMAIN", "DATA"]
    (tmp_path / ".env").write_text("".join(f"{name}=k3Xz8Qp1\n" for name in names))
    found = load(tmp_path, {"application": "app", "composeFile": '["more.yml"]'})
    assert set(found.variables) == {"TAG", "PORT", "HOST", "MORE", "DOMAIN", "DATA", "ARG", "LABEL"}
    assert set(found.secrets) == {"RUN", "OTHER", "API_TOKEN", "OPTION"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=$A/x", "one/x"), ("X=${A}${A}", "oneone"), ('X="<$A>"', "<one>"), ("X='$A ${A}'", "$A ${A}"),
        ("X=${GONE:-two}", "two"), ("X=${GONE-two}", "two"), ("X=${A:-two}", "one"), ("X=a$$A", "a$A"),
        (r'X="\$A"', "$A"), ("X=pa$word ${LATER}", "pa$word ${LATER}"), ("X=100$", "100$"), ("export X=$A", "one"),
        ("X=$STACK", "of the stack"), ("X=http://${DOMAIN}/", "http://shop.example/"), ("X=${B}", "one and more"),
    ],
)  # fmt: skip
def test_dotenv_refers_to_what_comes_before_as_in_compose(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / ".env").write_text(f"A=one\nB=$A and more\n{line}\nLATER=1\n")
    found = load(tmp_path, {"variables": '{"STACK": "of the stack"}', "domain": "shop.example"})
    assert found.variables["X"] == value


def test_what_holds_a_secret_of_dotenv_or_the_stack_is_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_PASSWORD=of-dotenv\nDB_USER=me\nDSN=$DB_USER:${DB_PASSWORD}@db\nOTHER=$DSN\n")
    found = load(tmp_path)
    assert found.secrets["DSN"].get_secret_value() == found.secrets["OTHER"].get_secret_value() == "me:of-dotenv@db"
    assert found.variables == {"DB_USER": "me"}
    found = load(tmp_path, {"secrets": '{"DB_PASSWORD": "of-the-stack"}'}, encrypted={"secrets"})
    assert found.secrets["DSN"].get_secret_value() == "me:of-the-stack@db"


def test_dotenv_never_overrides_a_secret_or_the_domain(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_PASSWORD=dotenv\nDOMAIN=dev.local\n")
    found = load(
        tmp_path, {"secrets": f'{{"DB_PASSWORD": "{CANARY}"}}', "domain": "example.com"}, encrypted=["secrets"]
    )
    assert found.secrets["DB_PASSWORD"].get_secret_value() == CANARY
    assert "DOMAIN" not in found.variables


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A=1\nthis is no line\nB=2\n", ".env: line 2 is not NAME=VALUE"),
        (f"A='{CANARY}\n".encode(), ".env: line 1 is not NAME=VALUE"),
        (b"A=\xff\xfe", ".env cannot be read (it is not UTF-8)"),
    ],
)
def test_a_broken_dotenv_is_a_problem_and_no_traceback(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / ".env").write_bytes(content)
    problems = problems_of_loading(tmp_path)
    assert whats(problems) == [said]
    assert CANARY not in str(problems)


def test_a_dotenv_that_is_a_folder_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert whats(problems_of_loading(tmp_path)) == [".env cannot be read (Is a directory)"]


def test_a_dotenv_written_on_windows_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes('\ufeffA=1\r\nB="two"\r\n'.encode())
    assert load(tmp_path).variables == {"A": "1", "B": "two"}


# --- unknown names


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    [problem] = problems_of_loading(tmp_path, {"registy": "ghcr.io/acme"})
    assert problem == Problem(
        "stack configuration: unknown key 'registy'",
        "did you mean 'registry'?",
        "pulumi config rm registy --stack test && pulumi config set registry --stack test < /dev/tty",
    )


def test_an_unknown_key_unlike_any_other_says_so(tmp_path: Path) -> None:
    [problem] = problems_of_loading(tmp_path, {"qqqq": "x"})
    assert problem.meaning == "no setting has that name"


def test_the_stacks_name_is_no_setting(tmp_path: Path) -> None:
    assert whats(problems_of_loading(tmp_path, {"stack": "x"})) == ["stack configuration: unknown key 'stack'"]


@pytest.mark.parametrize("name", ["SLIPWAY_REGISTY", "SLIPWAY_REGISTRYPASSWORD", "SLIPWAY_SECRET__A", "SLIPWAY_HOMES"])
def test_an_unknown_variable_is_found_in_the_environment_and_in_dotenv(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"{name}={CANARY}\n")
    first, second = problems_of_loading(tmp_path, environment={name: CANARY})
    assert (first.what, second.what) == (f".env: unknown variable '{name}'", f"environment: unknown variable '{name}'")
    assert "did you mean 'SLIPWAY_" in first.meaning
    assert first.fix == f"remove the line {name}=… from .env"
    assert second.fix == f"unset {name}"
    assert CANARY not in str([first, second])


@pytest.mark.parametrize("name", ["SLIPWAY_RETENTION__X", "SLIPWAY_HOSTS__0", "SLIPWAY_SECRETS__", "SLIPWAY_"])
def test_a_variable_of_an_entry_that_cannot_be_is_unknown(tmp_path: Path, name: str) -> None:
    assert whats(problems_of_loading(tmp_path, environment={name: "x"})) == [f"environment: unknown variable '{name}'"]


def test_unknown_keys_of_hosts_and_bastions_name_the_nearest(tmp_path: Path) -> None:
    host = {**REMOTE, "adress": "x", "bastion": {"address": "b", "hostkey": KEY, "zzz": "x"}}
    problems = {problem.what: problem for problem in problems_of_loading(tmp_path, {"hosts": json.dumps([host])})}
    assert problems["hosts[0].adress: unknown key"].meaning == "did you mean 'address'?"
    assert problems["hosts[0].adress: unknown key"].fix == "pulumi config rm --path 'hosts[0].adress' --stack test"
    assert problems["hosts[0].bastion.hostkey: unknown key"].meaning == "did you mean 'hostKey'?"
    assert problems["hosts[0].bastion.zzz: unknown key"].meaning == "no setting has that name"


def test_a_bastion_has_no_name_to_mistake_a_key_for(tmp_path: Path) -> None:
    host = {**REMOTE, "bastion": {"address": "b", "hostKey": KEY, "name": "x"}}
    [problem] = problems_of_loading(
        tmp_path, {"hosts": json.dumps([host]), "sshKey": PRIVATE_KEY}, encrypted=["sshKey"]
    )
    assert problem.what == "hosts[0].bastion.name: unknown key"


# --- encryption


@pytest.mark.parametrize("key", ["registryPassword", "sshKey", "secrets"])
def test_a_secret_in_plain_text_in_the_stack_file_is_refused(tmp_path: Path, key: str) -> None:
    value = json.dumps({"TOKEN": CANARY}) if key == "secrets" else CANARY
    problems = problems_of_loading(tmp_path, {key: value, "registryUsername": "me", "registry": "ghcr.io/a"})
    assert f"stack configuration: '{key}' is stored in plain text" in whats(problems)
    assert CANARY not in str(problems)
    assert "--secret" in problems[0].fix


def test_one_plain_secret_among_encrypted_ones_is_found(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text(
        f"config:\n  slipway:secrets:\n    GOOD:\n      secure: v1:abc\n    BAD: {CANARY}\n"
    )
    value = json.dumps({"GOOD": CANARY, "BAD": CANARY})
    problems = problems_of_loading(tmp_path, {"secrets": value}, encrypted=["secrets"])
    assert whats(problems) == ["stack configuration: 'secrets.BAD' is stored in plain text"]
    assert CANARY not in str(problems)


def test_no_secrets_are_no_plain_ones(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  slipway:secrets: {}\n")  # the engine leaves it so
    assert load(tmp_path, {"secrets": "{}"}).secrets == {}


def test_a_mapping_that_is_encrypted_as_a_whole_is_encrypted(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  slipway:secrets:\n    secure: v1:abc\n")
    assert load(tmp_path, {"secrets": json.dumps({"A": CANARY})}, encrypted=["secrets"]).secrets


def test_a_secret_named_secure_is_no_encryption(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text(f"config:\n  slipway:secrets:\n    A: {{secure: v1:x, b: {CANARY}}}\n")
    problems = problems_of_loading(tmp_path, {"secrets": json.dumps({"A": {"b": CANARY}})}, encrypted=["secrets"])
    assert whats(problems) == ["stack configuration: 'secrets.A' is stored in plain text"]


def test_an_encrypted_variable_is_refused_because_it_would_not_stay_so(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text(
        "config:\n  slipway:variables:\n    PORT: '80'\n    PIN:\n      secure: v1:abc\n"
    )
    problems = problems_of_loading(
        tmp_path, {"variables": json.dumps({"PORT": "80", "PIN": CANARY})}, encrypted=["variables"]
    )
    assert whats(problems) == ["stack configuration: 'variables.PIN' is encrypted, which variables do not stay"]
    assert CANARY not in str(problems)


def test_secrets_from_the_environment_or_dotenv_need_no_encryption(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"SLIPWAY_SECRETS__A={CANARY}\n")
    assert set(load(tmp_path, environment={"SLIPWAY_SECRETS__B": CANARY}).secrets) == {"A", "B"}


@pytest.mark.parametrize("content", ["{{{", "- a\n", "config: 3\n", "", "config:\n  3: x\n", "\xff"])
def test_a_strange_stack_file_is_the_engines_to_complain_of(tmp_path: Path, content: str) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text(content, encoding="latin-1")
    assert load(tmp_path).retention == 5


# --- types


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("retention", "many", "retention: input should be a valid integer"),
        ("retention", "1", "retention: input should be greater than or equal to 2"),
        ("production", "perhaps", "production: input should be a valid boolean"),
        ("cache", "disk", "cache: input should be 'none', 'inline', 'registry' or 'github'"),
        ("hosts", "web-1", "hosts: is not a list"),
        ("hosts", "{}", "hosts: is not a list"),
        ("hosts", '["web-1"]', "hosts[0]: is not a mapping"),
        ("hosts", "[{}]", "hosts[0].name: is missing"),
        ("variables", "x", "variables: is not a mapping"),
        ("variables", "[1]", "variables: is not a mapping"),
        ("secrets", "x", "secrets: is not a mapping"),
        ("registry", "https://ghcr.io/acme", "registry: is written without https:// (HOST[:PORT]/PATH)"),
        (
            "registry",
            "ghcr.io/Acme",
            "registry: has capital letters, which no image name may have (write ghcr.io/acme)",
        ),
        ("registry", "acme", "registry: does not begin with a registry's host (Docker Hub is docker.io/YOUR-TEAM)"),
        ("registry", "me:pw@ghcr.io/acme", "registry: holds an @ (the user goes into registryUsername)"),
        ("registry", "ghcr.io/a b", "registry: has a path that is not one of an image"),
        ("mirror", "https://mirror.example", "mirror: is written without https://"),
        ("pin", "a b", "pin: is not an image's tag"),
        ("domain", "https://example.com", "domain: is not a domain name"),
        ("name", "My App", "name: is not 1 to 31 lower-case letters"),
        ("platforms", "windows/amd64", "platforms[0]: is not one of linux/amd64"),
        ("removeVolumes", '["a; rm -rf /"]', "removeVolumes[0]: is not the name of a volume"),
    ],
)
def test_a_value_of_the_wrong_type_or_form_says_what_is_expected(
    tmp_path: Path, key: str, value: str, said: str
) -> None:
    problems = problems_of_loading(tmp_path, {key: value}, encrypted=["secrets"])
    assert any(what.startswith(said) for what in whats(problems)), whats(problems)
    assert complete(problems)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "Web 1", "hosts[0].name: is not 1 to 41 lower-case letters"),
        ("address", "deploy@web", "hosts[0].address: is more than a name or an IP address (user and port"),
        ("address", "ssh://web", "hosts[0].address: is more than a name or an IP address (user and port"),
        ("address", "web:2222", "hosts[0].address: is more than a name or an IP address (the port"),
        ("address", "", "hosts[0].address: is neither a name nor an IP address"),
        ("address", "-oProxyCommand=x", "hosts[0].address: is neither a name nor an IP address"),
        ("address", "$(id)", "hosts[0].address: is neither a name nor an IP address"),
        ("user", "root; id", "hosts[0].user: is not a user's name"),
        ("user", "", "hosts[0].user: is not a user's name"),
        ("port", 70000, "hosts[0].port: input should be less than or equal to 65535"),
        ("port", "ssh", "hosts[0].port: input should be a valid integer"),
        ("bastion", "jump", "hosts[0].bastion: is not a mapping"),
    ],
)
def test_a_hosts_value_of_the_wrong_form_says_what_is_expected(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    problems = problems_of_loading(tmp_path, {"hosts": json.dumps([{**REMOTE, field: value}])})
    assert [what for what in whats(problems) if what.startswith(said)], whats(problems)


@pytest.mark.parametrize(
    "address", ["203.0.113.10", "web-1.example.com", "2001:db8::1", "fe80::1%eth0", "::1", "web_1"]
)
def test_names_and_addresses_of_both_families_are_addresses(tmp_path: Path, address: str) -> None:
    found = load(
        tmp_path,
        {"hosts": json.dumps([{**REMOTE, "address": address}]), "sshKey": PRIVATE_KEY},
        encrypted=["sshKey"],
    )
    assert found.hosts[0].address == address


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("ghcr.io/acme", "ghcr.io/acme"),
        ("ghcr.io/acme/", "ghcr.io/acme"),
        ("127.0.0.1:5050", "127.0.0.1:5050"),
        ("localhost", "localhost"),
        ("localhost:5000/a/b-c_d", "localhost:5000/a/b-c_d"),
        ("registry:5000", "registry:5000"),
        ("docker.io/acme", "docker.io/acme"),
        (
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop",
        ),
    ],
)
def test_registries_of_every_kind_are_taken(tmp_path: Path, value: str, kept: str) -> None:
    assert load(tmp_path, {"registry": value}).registry == kept


def test_lists_and_mappings_may_be_json_or_words_between_commas(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {"platforms": '["linux/amd64"]', "variables": ' {"A": 1, "B": true, "C": null, "D": "x", "E": 1.5, "F": [1]}'},
        environment={
            "SLIPWAY_PLATFORMS": "linux/amd64, linux/arm64/v8",
            "SLIPWAY_HOSTS": json.dumps([LOCAL]),
            "SLIPWAY_VARIABLES": '{"G": "g"}',
        },
    )
    assert found.platforms == ["linux/amd64", "linux/arm64"]
    assert found.variables == {"A": "1", "B": "true", "C": "", "D": "x", "E": "1.5", "F": "[1]", "G": "g"}


@pytest.mark.parametrize("value", ['{"A": "' + CANARY, "[" + CANARY, "{" + CANARY + "}"])
@pytest.mark.parametrize("key", ["hosts", "variables", "secrets", "platforms", "removeVolumes"])
def test_broken_json_is_told_without_repeating_it(tmp_path: Path, key: str, value: str) -> None:
    problems = problems_of_loading(tmp_path, {key: value}, encrypted=["secrets"])
    assert f"stack configuration: '{key}' begins like a list or mapping, but is not valid JSON" in whats(problems)
    assert CANARY not in str(problems)


@pytest.mark.parametrize("value", ["{brace", "[1]", '{"a": 1}', "'quoted'", '"', "$HOME", "a b\tc", "ünï"])
def test_a_password_may_look_like_anything(tmp_path: Path, value: str) -> None:
    found = load(
        tmp_path,
        {"registry": "ghcr.io/acme", "registryUsername": "me"},
        environment={
            "SLIPWAY_REGISTRY_PASSWORD": value,
            "SLIPWAY_SECRETS__S": value,
            "SLIPWAY_VARIABLES__V": value,
        },
    )
    assert found.registry_password.get_secret_value() == value
    assert found.secrets["S"].get_secret_value() == value
    assert found.variables["V"] == value


def test_the_mend_is_where_the_value_came_from(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SLIPWAY_LOCK_WAIT=x\n")
    problems = problems_of_loading(tmp_path, {"retention": "x"}, environment={"SLIPWAY_DISK_MINIMUM_MB": "x"})
    assert {problem.what.split(":")[0]: problem.fix for problem in problems} == {
        "lockWait": "correct SLIPWAY_LOCK_WAIT=… in .env",
        "retention": "pulumi config set retention --stack test < /dev/tty",
        "diskMinimumMb": "unset SLIPWAY_DISK_MINIMUM_MB",
    }


# --- all at once


def test_every_problem_of_every_source_and_rule_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SLIPWAY_NOTHING=1\nno line\n")
    problems = problems_of_loading(
        tmp_path,
        {
            "hosts": json.dumps([{**REMOTE, "hostKey": ""}, {**REMOTE, "name": "web-2"}]),
            "retention": "x",
            "cache": "y",
            "zzz": "1",
            "secrets": json.dumps({"DB_PASSWORD": "changeme", "not-a-name": CANARY}),
            "variables": json.dumps({"DB_PASSWORD": "x"}),
            "registryUsername": "me",
            "application": "nowhere",
        },
        encrypted=["secrets"],
        stack="production",
        environment={"SLIPWAY_WRONG": CANARY},
    )
    beginnings = [
        ".env: line 2",
        ".env: unknown variable 'SLIPWAY_NOTHING'",
        "stack configuration: unknown key 'zzz'",
        "environment: unknown variable 'SLIPWAY_WRONG'",
        "retention: input",
        "cache: input",
        "hosts: 'web-1' and 'web-2' are the same machine",
        "hosts[0].hostKey: 203.0.113.10 has no pinned host key",
        "sshKey: no private key is set",
        "registryPassword: empty",
        "registry: not set",
        "secrets.not-a-name: this is not the name of a variable",
        "variables.DB_PASSWORD: there is a secret of the same name",
        "secrets.DB_PASSWORD: is a placeholder",
        "application: 'nowhere' is not a folder",
    ]
    for beginning in beginnings:
        assert any(what.startswith(beginning) for what in whats(problems)), beginning
    assert len(problems) == len(beginnings)
    assert complete(problems)
    assert CANARY not in str(problems)


def test_a_key_that_cannot_be_used_is_not_also_called_missing(tmp_path: Path) -> None:
    assert whats(problems_of_loading(tmp_path, {"hosts": "web-1"})) == ["hosts: is not a list"]
    broken = problems_of_loading(tmp_path, {"hosts": "[web-1"})
    assert whats(broken) == ["stack configuration: 'hosts' begins like a list or mapping, but is not valid JSON"]


def test_a_folder_that_is_not_there_names_the_command(tmp_path: Path) -> None:
    [problem] = problems_of_loading(tmp_path, {"application": "nowhere"})
    assert problem.fix.startswith("pulumi config set application ")


# --- secrets stay out of everything


SECRET_EVERYWHERE = {
    "registry": f"https://me:{CANARY}@ghcr.io",
    "registryPassword": f"[{CANARY}",
    "mirror": f"{CANARY} x",
    "cache": CANARY,
    "platforms": f'["{CANARY}"]',
    "pin": f"{CANARY} x",
    "hosts": json.dumps([{"name": f"{CANARY} x", "address": f"{CANARY}@x", "user": f"{CANARY};", "port": CANARY,
                          "hostKey": [CANARY], "bastion": CANARY}, CANARY, {CANARY: {}, "bastion": {"port": CANARY}}]),
    "sshKey": CANARY,
    "domain": f"{CANARY} x",
    "variables": json.dumps([CANARY]),
    "secrets": json.dumps([CANARY]),
    "retention": CANARY,
    "deadline": CANARY,
    "healthDeadline": CANARY,
    "lockWait": CANARY,
    "diskMinimumMb": CANARY,
    "removeVolumes": f'["{CANARY} x"]',
    "production": CANARY,
    "name": f"{CANARY} x",
}  # fmt: skip


@pytest.mark.parametrize("key", SECRET_EVERYWHERE)
def test_no_message_repeats_a_value_that_was_refused(tmp_path: Path, key: str) -> None:
    problems = problems_of_loading(tmp_path, {key: SECRET_EVERYWHERE[key]}, encrypted=["secrets", "registryPassword"])
    values_only = [what for what in whats(problems) if f".{CANARY}" not in what]  # an unknown key is named
    assert problems
    assert CANARY not in str([values_only, [problem.meaning for problem in problems]])


def test_no_traceback_holds_a_value_that_was_refused(tmp_path: Path) -> None:
    """With the locals of every frame, as pytest and error trackers print them."""
    code = (
        "import sys, traceback; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from samples import load\n"
        "try: load(Path(sys.argv[2]), {'retention': sys.argv[3], 'cache': sys.argv[3]})\n"
        "except Exception as error:\n"
        "    shown = ''.join(traceback.TracebackException.from_exception(error).format())\n"
        "    print(repr(error), shown, error.__cause__, error.__context__ if not error.__suppress_context__ else '')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1] / "fixtures"), str(tmp_path), CANARY],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert "SlipwayError" in done.stdout
    assert CANARY not in done.stdout + done.stderr


def test_settings_never_print_a_secret(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {"registry": "ghcr.io/acme", "registryUsername": "me"},
        environment={"SLIPWAY_REGISTRY_PASSWORD": CANARY, "SLIPWAY_SECRETS__A": CANARY, "SLIPWAY_SSH_KEY": CANARY},
    )
    assert CANARY not in repr(found) + str(found) + found.model_dump_json() + str(found.model_dump())


@given(st.dictionaries(st.sampled_from(sorted(SECRET_EVERYWHERE)), st.text(max_size=30), max_size=6))
def test_no_configuration_is_too_strange_for_a_clear_answer(
    tmp_path_factory: pytest.TempPathFactory, configuration: dict[str, str]
) -> None:
    root = tmp_path_factory.getbasetemp()
    problems = problems_of_loading(root, configuration, encrypted=["secrets", "registryPassword", "sshKey"])
    assert complete(problems) or not problems


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_no_variable_is_too_strange_for_a_clear_answer(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> None:
    root = tmp_path_factory.getbasetemp()
    environment = {f"SLIPWAY_{name}": value for name, value in variables.items()}
    problems = problems_of_loading(root, {"variables": json.dumps(variables)}, environment=environment)
    assert complete(problems) or not problems
