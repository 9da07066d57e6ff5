"""Rules over several settings: hosts, keys, registry, names of variables, weak secrets."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from samples import (
    CANARY,
    KEY,
    LOCAL,
    PRIVATE_KEY,
    REMOTE,
    application,
    host_key,
    load,
    problems_of,
    problems_of_loading,
    settings,
    whats,
)

from slipway.settings.rules.stack import broken_rules, weak_secrets
from slipway.settings.secrets.rules import new_secret
from slipway.settings.setting_files import config_set


def host_problems(root: Path, *hosts: dict[str, Any], **environment: str) -> list[Any]:
    return problems_of_loading(
        root, {"hosts": json.dumps(hosts)}, environment={"SLIPWAY_SSH_KEY": PRIVATE_KEY, **environment}
    )


# --- hosts


def test_no_host_is_a_problem_with_the_commands_that_add_one(tmp_path: Path) -> None:
    [problem] = host_problems(tmp_path)
    assert problem.what == "hosts: the list is empty"
    assert "pulumi config set --path 'hosts[0].address'" in problem.fix


def test_a_host_without_a_pinned_key_gets_the_ssh_keyscan_command(tmp_path: Path) -> None:
    [problem] = host_problems(tmp_path, {**REMOTE, "hostKey": "", "port": 2222})
    assert problem.what == "hosts[0].hostKey: 203.0.113.10 has no pinned host key"
    assert "pulumi config set --path 'hosts[0].hostKey' \"$(ssh-keyscan -p 2222 203.0.113.10)" in problem.fix


def test_a_bastion_needs_a_pinned_key_of_its_own(tmp_path: Path) -> None:
    [problem] = host_problems(tmp_path, {**REMOTE, "bastion": {"address": "jump.example.com", "port": 22}})
    assert problem.what == "hosts[0].bastion.hostKey: jump.example.com has no pinned host key"


@pytest.mark.parametrize(
    "key",
    ["SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDYSsXyuIMNCFWfYZk", PRIVATE_KEY, "ssh-ed25519", "ssh-ed25519 not/base64!",
     "ssh-dss AAAAB3NzaC1kc3MAAACB", "ssh-rsa " + KEY.split()[1], "ssh-ed25519 QUFBQQ==",
     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"],
)  # fmt: skip
def test_what_is_no_public_key_is_not_taken_for_one(tmp_path: Path, key: str) -> None:
    [problem] = host_problems(tmp_path, {**REMOTE, "hostKey": key})
    assert problem.what == "hosts[0].hostKey: 203.0.113.10 has a host key that is not a public key"
    assert key.rsplit(maxsplit=1)[-1] not in str(problem)


@pytest.mark.parametrize(
    ("stated", "pinned"),
    [
        (KEY, KEY),
        (f"{KEY} root@web-1", KEY),
        (f"203.0.113.10 {KEY}", KEY),
        (f"[203.0.113.10]:2222 {KEY}\n", KEY),
        (f"# 203.0.113.10:22 SSH-2.0-OpenSSH_9.2p1\n203.0.113.10 {KEY}", KEY),
        (f"  {KEY}  \n", KEY),
        (host_key("ecdsa-sha2-nistp256"), host_key("ecdsa-sha2-nistp256")),
        (host_key("sk-ssh-ed25519@openssh.com"), host_key("sk-ssh-ed25519@openssh.com")),
        (f"ssh-host ssh-key {KEY}", KEY),
        (f"h {KEY}\nh {host_key('ecdsa-sha2-nistp256')}\nh {host_key('ssh-rsa')}", host_key("ecdsa-sha2-nistp256")),
        (f"h {KEY}\nh {host_key('ssh-rsa')}", host_key("ssh-rsa")),
    ],
)
def test_a_host_key_may_be_a_line_of_ssh_keyscan(tmp_path: Path, stated: str, pinned: str) -> None:
    from slipway.settings.model import pinned_key  # noqa: PLC0415  # beside the only test that needs it

    found = load(
        tmp_path,
        {"hosts": json.dumps([{**REMOTE, "hostKey": stated}])},
        environment={"SLIPWAY_SSH_KEY": PRIVATE_KEY},
    )
    assert pinned_key(found.hosts[0]) == pinned


def test_this_machine_needs_neither_host_key_nor_private_key(tmp_path: Path) -> None:
    assert problems_of_loading(tmp_path, {"hosts": json.dumps([LOCAL])}) == []


def test_a_name_is_used_once(tmp_path: Path) -> None:
    problems = host_problems(tmp_path, REMOTE, {**REMOTE, "address": "203.0.113.11"})
    assert whats(problems) == ["hosts: the name 'web-1' is used twice"]


@pytest.mark.parametrize(
    "second", [{**REMOTE, "name": "web-2"}, {**REMOTE, "name": "web-2", "user": "root", "port": 22}]
)
def test_a_machine_is_deployed_to_once(tmp_path: Path, second: dict[str, Any]) -> None:
    problems = host_problems(tmp_path, REMOTE, second)
    assert whats(problems) == ["hosts: 'web-1' and 'web-2' are the same machine (203.0.113.10)"]


def test_two_machines_behind_one_address_are_two(tmp_path: Path) -> None:
    assert host_problems(tmp_path, REMOTE, {**REMOTE, "name": "web-2", "port": 2222}) == []


# --- the private key


def test_a_remote_host_needs_a_private_key(tmp_path: Path) -> None:
    problems = host_problems(tmp_path, REMOTE, SLIPWAY_SSH_KEY="")
    assert whats(problems) == ["sshKey: no private key is set"]
    assert problems[0].fix == "pulumi config set --secret sshKey --stack test < ~/.ssh/deploy_ed25519"


@pytest.mark.parametrize(
    "key", [KEY, CANARY, "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n", "-----BEGIN CERTIFICATE-----\n"]
)
def test_what_is_no_private_key_is_not_sent_to_a_host(tmp_path: Path, key: str) -> None:
    [problem] = host_problems(tmp_path, REMOTE, SLIPWAY_SSH_KEY=key)
    assert problem.what == "sshKey: this is not a private key in OpenSSH or PEM form"
    assert CANARY not in str(problem)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "no private key is set"),
        (b"\xff\xfe\x00binary", "this is not a private key in OpenSSH or PEM form"),
        (CANARY.encode(), "this is not a private key in OpenSSH or PEM form"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_told_without_its_content(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    [problem] = host_problems(tmp_path, REMOTE, SLIPWAY_SSH_KEY="", SLIPWAY_SSH_KEY_FILE=str(file))
    assert problem.what.startswith("sshKeyFile: ")
    assert said in problem.what
    assert CANARY not in str(problem)


def test_a_key_file_that_is_a_folder_is_a_problem(tmp_path: Path) -> None:
    [problem] = host_problems(tmp_path, REMOTE, SLIPWAY_SSH_KEY="", SLIPWAY_SSH_KEY_FILE=str(tmp_path))
    assert "Is a directory" in problem.what


@pytest.mark.parametrize("kind", ["OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"])
def test_private_keys_of_every_form_are_taken(tmp_path: Path, kind: str) -> None:
    key = f"-----BEGIN {kind}-----\nx\n-----END {kind}-----"
    assert host_problems(tmp_path, REMOTE, SLIPWAY_SSH_KEY=key) == []


def test_a_private_key_on_one_line_gets_its_lines_back(tmp_path: Path) -> None:
    flat = PRIVATE_KEY.replace("\n", "\\n")
    assert settings(tmp_path, ssh_key=flat).private_key() == PRIVATE_KEY
    assert settings(tmp_path, ssh_key=PRIVATE_KEY).private_key() == PRIVATE_KEY


def test_the_key_wins_over_the_key_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("other")
    assert settings(tmp_path, ssh_key=PRIVATE_KEY, ssh_key_file=str(tmp_path / "key")).private_key() == PRIVATE_KEY
    assert settings(tmp_path, ssh_key_file=str(tmp_path / "key")).private_key() == "other"
    assert settings(tmp_path).private_key() == ""


# --- the registry


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"registry_username": "me"}, "registryPassword: empty, though registryUsername is set"),
        ({"registry_password": CANARY}, "registryUsername: empty, though registryPassword is set"),
        ({"registry_username": "me", "registry_password": CANARY, "registry": ""}, "registry: not set, though"),
    ],
)
def test_half_of_the_registrys_credentials_is_a_problem(
    tmp_path: Path, configuration: dict[str, str], said: str
) -> None:
    [problem] = broken_rules(settings(tmp_path, **configuration))
    assert problem.what.startswith(said)
    assert CANARY not in str(problem)


def test_a_registry_without_credentials_is_fine(tmp_path: Path) -> None:
    assert broken_rules(settings(tmp_path)) == []


# --- names and values of variables


@pytest.mark.parametrize(
    ("where", "name"),
    [
        *((where, name) for where in ("variables", "secrets") for name in ("1A", "", "A=B", "A B", "Ä", "A\0")),
        ("secrets", "A-B"),
        ("secrets", "a.b"),
    ],
)
def test_a_name_that_no_compose_file_can_mean_is_refused(tmp_path: Path, where: str, name: str) -> None:
    problems = broken_rules(settings(tmp_path, **{where: {name: CANARY}}))
    assert whats(problems) == [f"{where}.{name}: this is not the name of a variable"]
    assert CANARY not in str(problems)


def test_a_name_that_only_a_container_may_have_gets_the_way_to_give_it(tmp_path: Path) -> None:
    assert broken_rules(settings(tmp_path, variables={"discovery.type": "single-node", "A-B": "x"})) == []
    [problem] = broken_rules(settings(tmp_path, secrets={"db.password": CANARY}))
    assert "`db.password: ${DB_PASSWORD}` under `environment:`" in problem.meaning
    assert problem.fix == (
        "pulumi config rm --path 'secrets[\"db.password\"]' --stack test && "
        "pulumi config set --secret --path 'secrets.DB_PASSWORD' --stack test < /dev/tty"
    )


@pytest.mark.parametrize("character", ["x", "ü"])
def test_a_value_with_which_no_program_can_be_started_is_refused_to_the_byte(tmp_path: Path, character: str) -> None:
    fits = character * ((131_070 - len("HUGE")) // len(character.encode()))
    subprocess.run(["true"], env={"HUGE": fits}, check=True)
    assert broken_rules(settings(tmp_path, variables={"HUGE": fits})) == []
    with pytest.raises(OSError, match="too long"):
        subprocess.run(["true"], env={"HUGE": f"{fits}x"}, check=True)
    [problem] = broken_rules(settings(tmp_path, variables={"HUGE": f"{fits}x"}))
    assert problem.what == "variables.HUGE: its value has 131,067 bytes"
    assert problem.fix == "pulumi config rm --path 'variables.HUGE' --stack test"


@pytest.mark.parametrize("value", [f"{CANARY}\0", f"{CANARY}\udcff"])
@pytest.mark.parametrize("where", ["variables", "secrets"])
def test_a_value_that_no_environment_can_carry_is_refused(tmp_path: Path, where: str, value: str) -> None:
    problems = broken_rules(settings(tmp_path, **{where: {"A": value}}))
    assert whats(problems) == [f"{where}.A: holds a zero byte or bytes that are not UTF-8"]
    assert CANARY not in str(problems)


def test_a_name_is_a_variable_or_a_secret_and_not_both(tmp_path: Path) -> None:
    problems = broken_rules(settings(tmp_path, variables={"A": "x", "B": "x"}, secrets={"A": CANARY}))
    assert whats(problems) == ["variables.A: there is a secret of the same name"]


def test_an_empty_variable_gives_way_to_the_secret_of_its_name(tmp_path: Path) -> None:
    text = "services: {db: {image: x, environment: {P: '${PG_PASS:?say}', Q: '${PG_PASS:-x}'}}}"
    [asked] = problems_of(tmp_path, text, variables={"PG_PASS": ""})
    assert asked.fix == new_secret("test", "PG_PASS")
    given = settings(tmp_path, variables={"PG_PASS": ""}, secrets={"PG_PASS": CANARY})
    assert broken_rules(given) == []
    found = application(tmp_path, text, variables=given.variables, secrets={"PG_PASS": CANARY})
    assert found.document["services"]["db"]["environment"] == {"P": "${PG_PASS}", "Q": "${PG_PASS}"}


# --- weak secrets

WEAK = {"EMPTY": "", "DB_PASSWORD": "changeme", "API_TOKEN": "short-token", "GOOD_PASSWORD": CANARY, "DB_USER": "app"}


def test_a_password_that_is_the_name_of_a_user_of_the_stack_is_weak(tmp_path: Path) -> None:
    values = {"secrets": {"DB_PASSWORD": "kibanaserver"}, "production": True}
    found = settings(tmp_path, **values, variables={"DB_USERNAME": "kibanaserver"})
    assert whats(weak_secrets(found, refused=True)) == ["secrets.DB_PASSWORD: is its user's name"]
    assert weak_secrets(settings(tmp_path, **values), refused=True) == []


def test_weak_secrets_are_refused_in_production_and_warned_of_elsewhere(tmp_path: Path) -> None:
    said = {
        "secrets.EMPTY: is empty",
        "secrets.DB_PASSWORD: is a placeholder",
        "secrets.API_TOKEN: has fewer than 12 characters",
    }
    production = settings(tmp_path, secrets=WEAK, production=True)
    staging = settings(tmp_path, secrets=WEAK)
    assert set(whats(weak_secrets(production, refused=True))) == said == set(whats(broken_rules(production)))
    assert weak_secrets(production, refused=False) == []
    assert set(whats(weak_secrets(staging, refused=False))) == said
    assert weak_secrets(staging, refused=True) == [] == broken_rules(staging)


def test_a_weak_secret_gets_the_command_that_makes_a_good_one(tmp_path: Path) -> None:
    [problem] = weak_secrets(settings(tmp_path, secrets={"SESSION_KEY": "abc"}, production=True), refused=True)
    assert problem.fix == "openssl rand -hex 24 | pulumi config set --secret --path 'secrets.SESSION_KEY' --stack test"


def test_a_weak_secret_names_those_that_may_be_the_other_end_of_one_password(tmp_path: Path) -> None:
    secrets = {"DB_PASSWORD": "sonar", "SONAR_PASS": "sonar", "A_TOKEN": "changeme", "B_TOKEN": "changeme", "C_KEY": ""}
    passwords = {"MYSQL_PASSWORD": "changeme123", "LEAN_DB_PASSWORD": "changeme123"}
    for problem in weak_secrets(settings(tmp_path, secrets=passwords), refused=False):
        assert "if it is one password with" in problem.meaning
        assert "openssl" not in problem.fix  # two random values would not be one
    meanings = [each.meaning for each in weak_secrets(settings(tmp_path, secrets=secrets), refused=False)]
    said = ["one password with SONAR_PASS," in meanings[0], "one password with DB_PASSWORD," in meanings[1]]
    assert [*said, *("one password" in meaning for meaning in meanings[2:])] == [True, True, False, False, False]


@pytest.mark.parametrize(
    "value",
    ["Server=db;User Id=sa;Password={};", "host=db user=x password={}", "postgres://db/x?user=a&password={}",
     "postgres://a@db/x?password={}", "Data Source=tcp:db,1433;Pwd={}"],
)  # fmt: skip
def test_a_weak_password_in_a_connection_string_is_found_but_for_hosts_of_others(tmp_path: Path, value: str) -> None:
    def said(text: str) -> list[str]:
        return whats(weak_secrets(settings(tmp_path, secrets={"DB": text}, production=True), refused=True))

    assert said(value.format("testpass")) == ["secrets.DB: its password for db is a placeholder"]
    assert not said(value.format(CANARY))
    assert not said(value.replace("db", "db.example.com").format("testpass"))


@pytest.mark.parametrize(
    ("value", "weak"),
    [("store|store?accessKey=a&secretKey=changeme", True), (f"store|store?secretKey={CANARY}", False),
     ("db:\n  password: changeme\n", True), ("https://api.example/v1?token=changeme", False)],
)  # fmt: skip
def test_a_placeholder_in_a_text_of_several_settings_is_weak_and_lines_are_changed_in_an_editor(
    tmp_path: Path,
    value: str,
    weak: bool,  # noqa: FBT001  # both are the test
) -> None:
    said = weak_secrets(settings(tmp_path, secrets={"STORES": value}, production=True), refused=True)
    assert whats(said) == (["secrets.STORES: a secret in it is a placeholder"] if weak else [])
    assert ["${EDITOR:-vi} $f && pulumi config set --secret" in each.fix for each in said] == ["\n" in value] * weak


@pytest.mark.parametrize(
    ("password", "what"), [("tr0ub4dor", "has fewer than 12 characters"), ("changeme", "is a placeholder")]
)
def test_a_weak_password_in_a_url_is_found_and_both_ends_are_set_together(
    tmp_path: Path, password: str, what: str
) -> None:
    secrets = {
        "DATABASE_URL": f"postgresql://app:{password}@db:5432/x",
        "POSTGRES_PASSWORD": password,
        "CACHE_URL": f"redis://:{CANARY}@cache",
        "MAIL_URL": f"smtp://app:{password}@mail.example.com",
    }
    both = " && ".join(
        config_set("test", f"secrets.{name}", secret=True) for name in ("POSTGRES_PASSWORD", "DATABASE_URL")
    )
    url, plain = weak_secrets(settings(tmp_path, secrets=secrets, production=True), refused=True)[::-1]
    assert [url.what, plain.what] == [
        f"secrets.DATABASE_URL: its password for db {what}",
        f"secrets.POSTGRES_PASSWORD: {what}",
    ]
    assert "one password with POSTGRES_PASSWORD, set one for all" in url.meaning
    assert "one password with DATABASE_URL, set one for all" in plain.meaning
    assert url.fix == plain.fix == both


@pytest.mark.parametrize("taken", [{"adopt_volumes": {"data": "shop_data"}}, {"move_from": ["shop"]}])
def test_the_password_of_a_database_that_is_taken_over_changes_there_first(tmp_path: Path, taken: Any) -> None:
    secrets = {"DB_PASSWORD": "short", "SECRET_KEY": "brief"}
    password, key = weak_secrets(settings(tmp_path, secrets=secrets, **taken), refused=False)
    assert ["change it there first" in each.meaning for each in (password, key)] == [True, False]
    assert ["signed or encrypted" in each.meaning for each in (password, key)] == [False, True]
    assert password.fix == config_set("test", "secrets.DB_PASSWORD", secret=True)


def test_no_problem_of_a_weak_secret_repeats_it(tmp_path: Path) -> None:
    problems = weak_secrets(settings(tmp_path, secrets={"A_KEY": "wEaK-vAlUe"}), refused=False)
    assert problems
    assert "wEaK-vAlUe" not in str(problems)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"registry": "ghcr.io/acme", "registry_username": "YOUR-USER", "registry_password": CANARY},
         "registryUsername"),
        ({"registry": "ghcr.io/acme", "registry_username": "USER", "registry_password": CANARY}, "registryUsername"),
        ({"hosts": [{**REMOTE, "address": "STAGING-ADDRESS"}]}, "hosts[0].address"),
        ({"hosts": [{**REMOTE, "address": "ADDRESS"}]}, "hosts[0].address"),
        ({"variables": {"PUBLIC_URL": "VALUE"}}, "variables.PUBLIC_URL"),
        ({"variables": {"PUBLIC_URL": "https://YOUR-DOMAIN/x"}}, "variables.PUBLIC_URL"),
        ({"secrets": {"API_KEY": "YOUR-API-KEY"}}, "secrets.API_KEY"),
    ],
)  # fmt: skip
def test_a_placeholder_is_no_value(values: dict[str, Any], path: str, tmp_path: Path) -> None:
    [problem] = [each for each in broken_rules(settings(tmp_path, **values)) if each.what.startswith(f"{path}: ")]
    assert problem.what.endswith("is a placeholder")
    assert problem.fix.startswith("pulumi config set ")
    assert ("--secret" in problem.fix) == path.startswith("secrets.")
    assert not problem.fix.endswith("VALUE --stack test")


@pytest.mark.parametrize("value", ["ghcr.io/YOUR-TEAM", "ghcr.io/your-team", "docker.io/YOUR-TEAM/shop"])
def test_a_placeholder_of_the_registry_is_not_spelt_for_the_user(value: str, tmp_path: Path) -> None:
    problems = problems_of_loading(tmp_path, {"registry": value})
    assert [(each.what, each.fix) for each in problems] == [
        ("registry: is a placeholder", "pulumi config set registry --stack test < /dev/tty")
    ]


def test_a_value_that_only_looks_like_a_placeholder_is_one(tmp_path: Path) -> None:
    given = {"DB_USER": "USER", "SORT": "NAME", "TEXT": "the VALUE of it", "MODE": "your-mode", "PLACE": "MY-PLACE"}
    assert broken_rules(settings(tmp_path, variables=given)) == []
