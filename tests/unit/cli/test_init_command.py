"""`slipway init`: what it writes, asks and refuses. Compose is the real one; the engine is a script that answers so."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from slipway.cli.init import host_keys as host_keys_module
from slipway.cli.init.host_keys import HostKey, SshAddress
from slipway.cli.main import app
from slipway.contract.problems import Problem

Init = Callable[..., Result]

ROOT = Path(__file__).resolve().parents[3]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
SHOP = """\
name: shop
services:
  web:
    build: ./web
    ports: ["8080:8000"]
    environment:
      PUBLIC_URL: ${PUBLIC_URL}
      DATABASE_PASSWORD: ${DATABASE_PASSWORD}
    secrets: [signing_key]
  api:
    image: nginx:1.29
    x-slipway: {route: /api, port: 80}
secrets:
  signing_key:
    environment: SIGNING_KEY
"""
FLAGS = (
    "--registry",
    "ghcr.io/acme",
    "--host",
    "staging=deploy@203.0.113.10",
    "--host",
    "production=web@203.0.113.11:2222",
)
ENGINE = """\
#!/bin/sh
echo "$*" >> {calls}
case "$*" in
  whoami*) [ -f {folder}/out ] && {{ echo "error: not logged in" >&2; exit 255; }}
           echo '{{"user": "root", "url": "file:///state"}}';;
  "stack --show-name"*) cat {folder}/selected 2>/dev/null || {{ echo "error: no stack selected" >&2; exit 255; }};;
  "stack select --stack "*) echo "$4" > {folder}/selected;;
  "stack ls"*) echo '['; sed 's/.*/{{"name": "&"}}/' {folder}/stacks | paste -sd,; echo ']';;
  "config "*) [ ! -f {folder}/refusing ] || {{ echo "error: the backend is full" >&2; exit 255; }}
           case "$*" in *--secret*) cat >> {folder}/given; echo >> {folder}/given;; esac;;
  "stack init"*) [ -f {folder}/refusing ] && {{ echo "error: the backend is full" >&2; exit 255; }}
           for name; do :; done; while [ "$1" != --stack ]; do shift; done; echo "$2" >> {folder}/stacks;;
esac
"""


class Engine:
    """The script in the engine's place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "stacks").touch()
        (folder / "pulumi").write_text(ENGINE.format(calls=folder / "calls", folder=folder))
        (folder / "pulumi").chmod(0o755)

    @property
    def stacks(self) -> list[str]:
        return (self.folder / "stacks").read_text().split()

    def refuses(self) -> None:
        (self.folder / "refusing").touch()

    def forgets_the_login(self) -> None:
        (self.folder / "out").touch()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `pulumi new` leaves it, beside an application; the current folder."""
    for name in [name for name in os.environ if name.startswith(("SLIPWAY_", "PULUMI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: shop-deploy\nruntime: python\n")
    (tmp_path / "shop" / "web").mkdir(parents=True)
    (tmp_path / "shop" / "web" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "shop" / "compose.yaml").write_text(SHOP)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def engine(program: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(program.parent / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, HostKey | Problem]:
    """The keys that hosts show, by address; others do not answer."""
    keys: dict[str, HostKey | Problem] = {}

    def show(servers: list[SshAddress]) -> dict[SshAddress, HostKey | Problem]:
        return {server: keys.get(server.address, Problem("it does not answer", "-", "-")) for server in servers}

    monkeypatch.setattr(host_keys_module, "shown_keys", show)
    return keys


@pytest.fixture
def init(program: Path, engine: Engine, shown: object, monkeypatch: pytest.MonkeyPatch) -> Init:
    """Run `slipway init ../shop`; with `answers`, at a terminal where somebody types them."""

    def run(*options: str, answers: list[str] | None = None, application: str = "../shop") -> Result:
        assert program.is_dir()
        assert engine.folder.is_dir()
        assert shown is not None
        monkeypatch.setattr("slipway.cli.printing.has_terminal", lambda: answers is not None)
        typed = "".join(f"{answer}\n" for answer in answers or [])
        return CliRunner().invoke(app, ["init", application, *options], input=typed)

    return run


def said(result: Result) -> str:
    """All of it, with the exception that `main` would have told."""
    return result.output + str(result.exception or "")


def stack(program: Path, name: str = "staging") -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((program / f"Pulumi.{name}.yaml").read_text())
    return content


def files(program: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in program.iterdir() if file.is_file()}


# --- what is written


@pytest.mark.parametrize("path", ["app", "./app", "deep/er", ".."])
def test_an_application_may_be_anywhere(init: Init, program: Path, path: str) -> None:
    (program / path).mkdir(parents=True, exist_ok=True)
    (program / path / "compose.yaml").write_text("name: shop\nservices: {web: {image: nginx}}\n")
    result = init("-e", "staging", "--host", "local", application=path)
    assert result.exit_code == 0, said(result)


def test_stack_files_are_where_pulumi_yaml_says(init: Init, program: Path) -> None:
    (program / "Pulumi.yaml").write_text("name: shop-deploy\nruntime: python\nstackConfigDir: stacks\n")
    result = init("-e", "staging", "--registry", "ghcr.io/acme", "--host", "local", "--domain", "shop.example")
    assert result.exit_code == 0, said(result)
    assert (program / "stacks" / "Pulumi.staging.yaml").is_file()
    assert not (program / "Pulumi.staging.yaml").exists()


def test_a_stack_file_says_where_and_with_what_values_in_the_projects_own_namespace(init: Init, program: Path) -> None:
    result = init(*FLAGS, "--registry-user", "bot", "--domain", "example.com", "--acme-email", "ops@example.com",
                  "--variable", "staging=PUBLIC_URL=https://staging.example.com")  # fmt: skip
    assert result.exit_code == 0, said(result)
    assert stack(program)["config"] == {
        "shop-deploy:name": "shop",  # for good, whatever a clone's folder is called
        "shop-deploy:application": "../shop",
        "shop-deploy:registry": "ghcr.io/acme",
        "shop-deploy:registryUsername": "bot",
        "shop-deploy:hosts": [{"name": "staging-1", "address": "203.0.113.10", "user": "deploy", "hostKey": ""}],
        "shop-deploy:domain": "staging.example.com",
        "shop-deploy:acmeEmail": "ops@example.com",
        "shop-deploy:variables": {"PUBLIC_URL": "https://staging.example.com"},
        "shop-deploy:retention": 3,
    }
    production = stack(program, "production")["config"]
    assert production["shop-deploy:hosts"] == [
        {"name": "production-1", "address": "203.0.113.11", "user": "web", "port": 2222, "hostKey": ""}
    ]
    assert (production["shop-deploy:domain"], production["shop-deploy:production"]) == ("example.com", True)
    assert "shop-deploy:variables" not in production


def test_what_is_left_to_set_is_told_as_commands_for_each_stack(init: Init) -> None:
    result = init(*FLAGS, "--registry-user", "bot", "--variable", "staging=PUBLIC_URL=https://x")
    lines = [line.strip() for line in result.output.splitlines()]
    for expected in (
        "pulumi config set --secret registryPassword --stack staging < /dev/tty",
        "pulumi config set --secret sshKey --stack staging < ~/.ssh/deploy_ed25519",
        "openssl rand -hex 24 | pulumi config set --secret --path 'secrets.DATABASE_PASSWORD' --stack production",
        "openssl rand -hex 24 | pulumi config set --secret --path 'secrets.SIGNING_KEY' --stack staging",
        "pulumi config set --path 'variables.PUBLIC_URL' --stack production < /dev/tty",
        "Then: pulumi preview --stack staging",
    ):
        assert expected in lines
    assert "pulumi config set --path 'variables.PUBLIC_URL' --stack staging < /dev/tty" not in lines


def test_more_than_three_values_are_left_to_a_file(init: Init, program: Path) -> None:
    names = [f"NAME_{number}" for number in range(7)]
    environment = "".join(f"      {name}: ${{{name}}}\n" for name in names)
    (program.parent / "shop" / "compose.yaml").write_text(
        SHOP.replace("      PUBLIC_URL", f"{environment}      PUBLIC_URL")
    )
    lines = [line.strip() for line in init(*FLAGS).output.splitlines()]
    command = (
        "slipway secrets import ../shop/.env --stack {}  "
        "# DATABASE_PASSWORD, SIGNING_KEY, NAME_0, NAME_1, NAME_2 and 5 more"
    )
    for name in ("staging", "production"):
        assert command.format(name) in lines
        assert f"# {command.format(name)}" in (program / f"Pulumi.{name}.yaml").read_text()
    assert not any("variables.NAME_0" in line for line in lines)


def test_a_published_port_without_a_route_is_told_as_one_that_could_have_one(init: Init) -> None:
    output = init(*FLAGS).output
    assert "web publishes port 8080: with `x-slipway: {route: /, port: 8000}` in place of its `ports`" in output
    assert "api publishes" not in output


@pytest.mark.parametrize(
    ("service", "port"),
    [
        ("{image: nginx, ports: ['8080:80']}", 80),
        ("{build: ., ports: ['9999:8000']}", 8000),
        ("{build: ., ports: ['9999:1234'], healthcheck: {test: [CMD, curl, 'http://127.0.0.1:1234/up']}}", 1234),
        ("{build: ., ports: ['9999:1234']}", None),
        ("{image: grafana/grafana, ports: ['3000:3000']}", 3000),
        (
            "{image: acme/app, ports: ['9001:9001', '7777:7777'], healthcheck: {test: curl -f http://localhost:7777/}}",
            7777,
        ),
        ("{image: 'postgres:16', ports: ['5432:5432']}", None),
        ("{image: 'docker.io/pgvector/pgvector:pg16', ports: ['5432:5432']}", None),
        ("{build: ., ports: ['5432:5432']}", None),
        ("{image: acme/mail, ports: ['25:25']}", None),
        ("{image: nginx, ports: ['53:53/udp']}", None),
        ("{image: nginx, ports: ['8080:80'], x-slipway: {route: /x}}", None),
    ],
)
def test_a_route_is_suggested_for_what_speaks_http_alone(
    service: str, port: int | None, init: Init, program: Path
) -> None:
    (program.parent / "shop" / "compose.yaml").write_text(f"services: {{it: {service}}}")
    hints = [line for line in init(*FLAGS).output.splitlines() if "hint: it publishes" in line]
    assert [f"port: {port}}}`" in hint for hint in hints] == ([True] if port else [])


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("8088:80", "port 8088: with `x-slipway: {route: /, port: 80}`"),
        ("80", "port 80 of its containers: with `x-slipway: {route: /, port: 80}`"),
        ("127.0.0.1:3000:8000", "port 3000 for the host itself alone: where a proxy there leads visitors to it, `x-s"),
        ("[::1]:3000:8000", "port 3000 for the host itself alone: "),
        ("10.0.0.5:3000:8000", "port 3000: with `x-slipway: {route: /, port: 8000}`"),
        ("8000-8001:80-81", "port 8000: with `x-slipway: {route: /, port: 80}`"),
    ],
)  # fmt: skip
def test_the_port_of_the_host_is_named_and_one_that_only_the_host_reaches_is_not_opened_to_all(
    port: str, said: str, init: Init, program: Path
) -> None:
    text = f"services: {{it: {{image: nginx, ports: ['{port}']}}}}"
    (program.parent / "shop" / "compose.yaml").write_text(text)
    [hint] = [line for line in init(*FLAGS).output.splitlines() if "hint: it publishes" in line]
    assert f"it publishes {said}" in hint


@pytest.mark.parametrize(
    ("domain", "routes"),
    [([], ["/", "/b", "/c"]), (["--domain", "example.com"], ["/", '"b.${DOMAIN}"', '"c.${DOMAIN}"'])],
)
def test_each_service_is_suggested_a_route_of_its_own(
    domain: list[str], routes: list[str], init: Init, program: Path
) -> None:
    services = ", ".join(f"{name}: {{image: nginx, ports: ['80{number}:80']}}" for number, name in enumerate("abc"))
    (program.parent / "shop" / "compose.yaml").write_text(f"services: {{{services}}}")
    output = init(*FLAGS, *domain).output
    assert [f"x-slipway: {{route: {route}, port: 80}}" in output for route in routes] == [True] * 3


@pytest.mark.parametrize(("second", "told"), [("203.0.113.10", True), ("203.0.113.11", False)])
def test_two_stacks_of_one_host_are_told_of_a_port_that_only_one_can_have(
    second: str,
    told: bool,  # noqa: FBT001  # pytest's parameter
    init: Init,
    program: Path,
) -> None:
    text = "services: {db: {image: postgres, ports: ['5432:5432']}, free: {image: postgres, ports: ['5432']}}"
    (program.parent / "shop" / "compose.yaml").write_text(text)
    output = init("--host", "staging=203.0.113.10", "--host", f"production={second}").output
    assert ("staging and production share a host, on which only one of them can have port 5432 of db" in output) == told
    assert "of free" not in output


def test_an_application_of_ready_images_on_this_machine_needs_no_registry_and_no_key(init: Init, program: Path) -> None:
    (program.parent / "shop" / "compose.yaml").write_text("services: {web: {image: nginx}}")
    result = init("-e", "home", "--host", "local")
    assert result.exit_code == 0, said(result)
    assert stack(program, "home")["config"] == {
        "shop-deploy:name": "shop",
        "shop-deploy:application": "../shop",
        "shop-deploy:hosts": [{"name": "local", "address": "local"}],
    }
    assert "pulumi config set" not in result.output
    assert "Next: pulumi preview --stack home" in result.output
    assert not (program / "Pulumi.staging.yaml").exists()


def test_hosts_may_have_names_several_ports_and_ipv6_addresses(init: Init, program: Path) -> None:
    init(
        "-e",
        "staging",
        "--registry",
        "ghcr.io/acme",
        "--host",
        "staging=db-1=[2001:db8::1]:2222",
        "--host",
        "2001:db8::2",
    )
    assert stack(program)["config"]["shop-deploy:hosts"] == [
        {"name": "db-1", "address": "2001:db8::1", "user": "deploy", "port": 2222, "hostKey": ""},
        {"name": "staging-2", "address": "2001:db8::2", "user": "deploy", "hostKey": ""},
    ]


# --- what is missing or wrong


def test_every_missing_option_is_named_at_once_and_nothing_is_written(init: Init, program: Path) -> None:
    (program.parent / "shop" / "compose.yaml").write_text(SHOP + "x-domain: ${DOMAIN}\n")
    before = files(program)
    result = init("--yes")
    assert result.exit_code == 2
    assert files(program) == before
    lines = [line.removeprefix("slipway: error: ").split(" — ") for line in result.stderr.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("--registry is missing", "--registry ghcr.io/YOUR-TEAM"),
        ("--host is missing", "--host staging=deploy@ADDRESS (or staging=local)"),
        ("--domain is missing", "--domain staging=staging.example.com"),
        ("--host is missing", "--host production=deploy@ADDRESS (or production=local)"),
        ("--domain is missing", "--domain production=production.example.com"),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--registry", "https://ghcr.io"), "--registry: is written without https://"),
        (("--registry", "ghcr.io/ACME"), "write ghcr.io/acme"),
        (("--host", "prod=203.0.113.1"), "'prod' is not one of the environments (staging, production)"),
        (("--host", "staging=ssh://x"), "is not [USER@]ADDRESS[:PORT]"),
        (("--host", "staging=x:99999"), "--host: 'x:99999': port"),
        (("--host", "staging=a=b=c"), "--host: "),
        (("--domain", "https://example.com"), "--domain: is not a domain name"),
        (("--acme-email", "nobody"), "--acme-email: is not an e-mail address"),
        (("--variable", "PUBLIC_URL"), "'PUBLIC_URL' is not followed by =VALUE"),
        (("--environment", "local"), "'local' cannot be the name of a stack"),
        (("--environment", "a b"), "'a b' cannot be the name of a stack"),
    ],
)
def test_a_wrong_option_is_told_and_nothing_is_written(
    options: tuple[str, ...], expected: str, init: Init, program: Path
) -> None:
    before = files(program)
    result = init(*FLAGS, *options)
    assert result.exit_code == 2
    assert expected in result.output
    assert files(program) == before


@pytest.mark.parametrize("name", ["DATABASE_PASSWORD", "SIGNING_KEY", "API_TOKEN"])
def test_a_secret_is_never_an_option_and_its_value_is_not_repeated(name: str, init: Init, program: Path) -> None:
    result = init(*FLAGS, "--variable", f"{name}=canary-7f3Q9zKpL2vX")
    assert result.exit_code == 2
    assert f"pulumi config set --secret --path 'secrets.{name}'" in result.output
    assert "canary" not in said(result)
    assert not (program / "Pulumi.staging.yaml").exists()


@pytest.mark.parametrize(
    ("compose", "expected"),
    [
        ("services: [", "compose.yaml: "),
        ("services: {web: {}}", "the service has nothing to run"),
        (None, "shop/ holds no compose.yaml"),
    ],
)
def test_a_compose_file_that_cannot_be_read_is_told_before_anything_is_written(
    compose: str | None, expected: str, init: Init, program: Path
) -> None:
    file = program.parent / "shop" / "compose.yaml"
    if compose is None:
        file.unlink()
    else:
        file.write_text(compose)
    before = files(program)
    result = init(*FLAGS)
    assert result.exit_code == 1
    assert expected in said(result)
    assert files(program) == before


def test_what_the_compose_file_must_change_is_told_beside_what_was_written(init: Init, program: Path) -> None:
    (program.parent / "shop" / "compose.yaml").write_text(
        "services: {web: {image: nginx, x-slipway: {rout: /}, volumes: ['../outside:/x']}}"
    )
    result = init(*FLAGS)
    assert result.exit_code == 0
    assert (program / "Pulumi.staging.yaml").exists()
    assert "In the way: services.web.x-slipway" in result.output
    assert "did you mean 'route'?" in result.output


def test_a_folder_that_is_none_is_told(init: Init) -> None:
    assert "'../shopp' is not a folder" in said(init(*FLAGS, application="../shopp"))


# --- a second time, and somebody's values


def test_a_second_time_changes_nothing_and_says_so(init: Init, program: Path, engine: Engine) -> None:
    init(*FLAGS)
    before = files(program)
    for options in ((), FLAGS):
        result = init(*options)
        assert result.exit_code == 0, said(result)
        assert "everything exists already: nothing was changed" in result.output
        assert files(program) == before
    assert engine.stacks == ["staging", "production"]


def test_what_the_engine_writes_into_the_file_is_no_other_value(init: Init, program: Path) -> None:
    init(*FLAGS)
    file = program / "Pulumi.staging.yaml"
    file.write_text(file.read_text().replace("retention: 3", 'retention: "3"') + "encryptionsalt: v1:x\n")
    assert "nothing was changed" in init(*FLAGS).output


def test_a_file_that_somebody_edited_is_left_alone_and_the_commands_that_would_change_it_are_shown(
    init: Init, program: Path
) -> None:
    init(*FLAGS)
    before = files(program)
    (program / "Pulumi.staging.yaml").unlink()
    result = init(*FLAGS, "--domain", "production=other.example", "--host", "production=db=203.0.113.12")
    assert result.exit_code == 0, said(result)
    assert files(program)["Pulumi.production.yaml"] == before["Pulumi.production.yaml"]
    assert "Pulumi.production.yaml  left as it is: it was edited" in result.output
    lines = [line.strip() for line in result.output.splitlines()]
    assert "pulumi config set --path domain other.example --stack production" in lines
    assert "pulumi config set --path 'hosts[1].address' 203.0.113.12 --stack production" in lines
    assert not [line for line in lines if "retention" in line or "hosts[0].address" in line]
    assert "Pulumi.staging.yaml" in files(program)


def test_fewer_hosts_than_an_edited_file_has_are_said_to_be_removed(init: Init) -> None:
    init(*FLAGS, "--host", "staging=203.0.113.12")
    output = init("-e", "staging", "--host", "203.0.113.12").output
    assert "pulumi config set --path 'hosts[0].address' 203.0.113.12 --stack staging" in output
    assert "pulumi config rm --path 'hosts[1]' --stack staging" in output


def test_several_compose_files_are_written_as_a_list_and_stay_one(init: Init, program: Path) -> None:
    (program.parent / "shop" / "prod.yaml").write_text("services: {web: {ports: !override []}}\n")
    both = ("--compose-file", "compose.yaml", "--compose-file", "prod.yaml")
    result = init(*FLAGS, *both)
    assert "shop: compose.yaml with prod.yaml has 2 services" in result.output, said(result)
    assert "web publishes" not in result.output
    for stack in ("staging", "production"):
        config = yaml.safe_load(files(program)[f"Pulumi.{stack}.yaml"])["config"]
        assert config["shop-deploy:composeFile"] == ["compose.yaml", "prod.yaml"]
    for options in ((), both):
        assert "nothing was changed" in init(*FLAGS, *options).output
    one = init(*FLAGS, "--compose-file", "compose.yaml").output.splitlines()
    assert [line.strip() for line in one if "composeFile" in line and "staging" in line] == [
        "pulumi config rm composeFile --stack staging",
        "pulumi config set --path composeFile compose.yaml --stack staging",
    ]


def test_a_further_stack_is_deployed_from_the_files_of_those_before_where_they_agree(init: Init, program: Path) -> None:
    for name in ("prod", "test"):
        (program.parent / "shop" / f"{name}.yaml").write_text("services: {}\n")

    def written(stack: str, *options: str) -> Any:
        result = init("-e", stack, "--registry", "ghcr.io/acme", "--host", "203.0.113.10", *options)
        return yaml.safe_load(files(program)[f"Pulumi.{stack}.yaml"])["config"].get("shop-deploy:composeFile"), result

    both = ("--compose-file", "compose.yaml", "--compose-file", "prod.yaml")
    assert written("production", *both)[0] == ["compose.yaml", "prod.yaml"]
    named, result = written("staging")
    assert named == ["compose.yaml", "prod.yaml"]
    assert "shop: compose.yaml with prod.yaml has" in result.output
    assert written("qa", "--compose-file", "test.yaml")[0] == "test.yaml"
    assert written("demo")[0] is None, "it is not known which of them is meant"


@pytest.mark.parametrize(
    ("there", "stated", "further", "written", "words"),
    [
        ("production", "compose.staging.yaml", "production", "compose.production.yaml", " in place of "),
        ("prod", "compose.Staging.yaml", "production", "compose.prod.yaml", " in place of "),
        ("", "compose.staging.yaml", "production", "", "without "),
        ("", "staging/compose.yaml", "production", "", "without "),
        ("qa", "compose.prod.yaml", "qa", "compose.qa.yaml", " in place of "),
        ("", "compose.shared.yaml", "production", "compose.shared.yaml", None),
        ("", "compose.stagings.yaml", "production", "compose.stagings.yaml", None),
    ],
)
def test_a_further_stack_takes_no_file_that_is_called_after_another_one(
    init: Init, program: Path, *, there: str, stated: str, further: str, written: str, words: str | None
) -> None:
    shop, donor = program.parent / "shop", "prod" if "prod" in stated else "staging"
    for name in ([f"compose.{there}.yaml"] if there else []) + [stated]:
        (shop / name).parent.mkdir(exist_ok=True)
        (shop / name).write_text("services: {}\n")
    flags = ("--registry", "ghcr.io/acme", "--host", "203.0.113.10")
    both = ("--compose-file", "compose.yaml", "--compose-file", stated)

    def named(stack: str) -> Any:
        return yaml.safe_load(files(program)[f"Pulumi.{stack}.yaml"])["config"]["shop-deploy:composeFile"]

    init("-e", donor, *flags, *both)
    for beside in ((), ("-e", donor)):
        (program / f"Pulumi.{further}.yaml").unlink(missing_ok=True)
        output = init(*beside, "-e", further, *flags).output
        assert named(further) == (["compose.yaml", written] if written else "compose.yaml")
        assert named(donor) == ["compose.yaml", stated]
        assert (f"{further}: {written}{words}{stated}\n" in output) is (words is not None), output


def test_fewer_compose_files_than_an_edited_file_has_are_said_to_be_removed(init: Init, program: Path) -> None:
    for name in ("a", "b"):
        (program.parent / "shop" / f"{name}.yaml").write_text("services: {}\n")
    names = ("compose.yaml", "a.yaml", "b.yaml")
    init(*FLAGS, *(word for name in names for word in ("--compose-file", name)))
    output = init(*FLAGS, "--compose-file", "compose.yaml", "--compose-file", "b.yaml").output
    assert [line.strip() for line in output.splitlines() if "composeFile" in line and "staging" in line] == [
        "pulumi config set --path 'composeFile[1]' b.yaml --stack staging",
        "pulumi config rm --path 'composeFile[2]' --stack staging",
    ]


def test_an_override_file_that_lies_there_is_left_out_in_so_many_words(init: Init, program: Path) -> None:
    (program.parent / "shop" / "compose.override.yaml").write_text("services: {}\n")
    output = init(*FLAGS).output
    assert (
        "hint: compose.override.yaml is left out: to merge it over compose.yaml, add it to `composeFile` in the stack "
        "files" in output
    )
    config = yaml.safe_load(files(program)["Pulumi.staging.yaml"])["config"]
    assert config["shop-deploy:composeFile"] == "compose.yaml"
    assert "nothing was changed" in init(*FLAGS).output


def test_an_edited_file_needs_no_options_and_gives_other_stacks_the_registry(init: Init, program: Path) -> None:
    init("-e", "staging", "--registry", "ghcr.io/acme", "--host", "203.0.113.10")
    before = files(program)
    result = init("-e", "staging", "-e", "test", "--host", "test=local")
    assert result.exit_code == 0, said(result)
    assert files(program)["Pulumi.staging.yaml"] == before["Pulumi.staging.yaml"]
    assert stack(program, "test")["config"]["shop-deploy:registry"] == "ghcr.io/acme"


def test_hosts_that_somebody_set_as_text_are_left_alone_as_well(init: Init, program: Path) -> None:
    text = (
        'config:\n  shop-deploy:registry: ghcr.io/acme\n  shop-deploy:hosts: \'[{"name": "a", "address": "local"}]\'\n'
    )
    (program / "Pulumi.staging.yaml").write_text(text)
    result = init("-e", "staging")
    assert result.exit_code == 0, said(result)
    assert (program / "Pulumi.staging.yaml").read_text() == text


def test_with_force_the_engine_changes_what_is_asked_and_nothing_else_is_touched(
    init: Init, program: Path, engine: Engine
) -> None:
    init(*FLAGS)
    before = files(program)
    result = init("-e", "staging", "--registry", "ghcr.io/other", "--force")
    assert result.exit_code == 0, said(result)
    assert files(program) == before  # the engine here writes nothing
    asked = [call for call in (engine.folder / "calls").read_text().splitlines() if call.startswith("config")]
    assert [call.partition(" --stack")[0] for call in asked] == ["config set --path registry ghcr.io/other"]
    assert "Pulumi.staging.yaml  changed" in result.output
    engine.refuses()
    result = init("-e", "staging", "--registry", "ghcr.io/other", "--force")
    assert "In the way: Pulumi.staging.yaml could not be changed (the backend is full)" in result.output
    assert "  pulumi config set --path registry ghcr.io/other --stack staging" in result.output


def test_what_an_edited_file_holds_encrypted_is_not_said_to_be_missing(init: Init, program: Path) -> None:
    init(*FLAGS)
    content = stack(program)
    content["config"]["shop-deploy:secrets"] = {"DATABASE_PASSWORD": {"secure": "v1:abc:def"}}
    (program / "Pulumi.staging.yaml").write_text(yaml.safe_dump(content))
    result = init("-e", "staging")
    assert "secrets.DATABASE_PASSWORD" not in result.output
    assert "secrets.SIGNING_KEY" in result.output


def pattern(stack: str) -> str:
    """A stack file of the template."""
    return (ROOT / "template" / f"Pulumi.{stack}.yaml").read_text()


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_shipped_pattern_holds_nobodys_values(name: str, init: Init, program: Path) -> None:
    (program / f"Pulumi.{name}.yaml").write_text(pattern(name) + "encryptionsalt: v1:salt\n")
    result = init(*FLAGS)
    assert result.exit_code == 0, said(result)
    after = stack(program, name)
    assert after["encryptionsalt"] == "v1:salt"
    assert after["config"]["shop-deploy:registry"] == "ghcr.io/acme"
    assert "YOUR-" not in str(after)
    assert "-ADDRESS" not in str(after)
    assert not [key for key in after["config"] if key.startswith("slipway:")]


@pytest.mark.parametrize(
    ("shipped", "value"),
    [
        ("ghcr.io/YOUR-TEAM", "ghcr.io/mine"),
        ("  slipway:retention: 3", "  slipway:secrets: {API_KEY: {secure: v1:a}}"),
    ],
)
def test_a_value_that_somebody_set_in_the_shipped_pattern_makes_the_file_theirs(
    shipped: str, value: str, init: Init, program: Path
) -> None:
    (program / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    file = program / "Pulumi.staging.yaml"
    file.write_text(pattern("staging").replace(shipped, value))
    before = file.read_text()
    assert init("-e", "staging", "--registry", "ghcr.io/acme", "--host", "203.0.113.10").exit_code == 0
    assert file.read_text() == before


def test_a_stack_file_that_is_no_yaml_is_left_alone(init: Init, program: Path) -> None:
    (program / "Pulumi.staging.yaml").write_text("config: [")
    result = init(*FLAGS)
    assert result.exit_code == 1
    assert "Pulumi.staging.yaml cannot be read" in said(result)
    assert not (program / "Pulumi.production.yaml").exists()


# --- stacks in the backend


def test_stacks_are_created_where_somebody_is_logged_in(init: Init, engine: Engine) -> None:
    result = init(*FLAGS)
    assert engine.stacks == ["staging", "production"]
    assert "stack staging" in result.output
    assert "created in file:///state" in result.output


def test_the_first_stack_is_selected_where_none_is(init: Init, engine: Engine) -> None:
    init(*FLAGS)
    assert (engine.folder / "selected").read_text() == "staging\n"
    init("-e", "test", "--registry", "ghcr.io/acme", "--host", "local")
    assert engine.stacks == ["staging", "production", "test"]
    assert (engine.folder / "selected").read_text() == "staging\n"


def test_without_a_login_the_files_are_there_and_the_commands_are_told(
    init: Init, engine: Engine, program: Path
) -> None:
    engine.forgets_the_login()
    result = init(*FLAGS)
    assert result.exit_code == 0
    assert (program / "Pulumi.staging.yaml").exists()
    assert "pulumi login && pulumi stack init staging && pulumi stack init production" in result.output


def test_without_an_engine_the_files_are_there_and_it_is_said_what_is_missing(
    init: Init, program: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (engine.folder / "pulumi").unlink()
    (engine.folder / "docker").symlink_to(str(shutil.which("docker")))
    monkeypatch.setenv("PATH", str(engine.folder))
    result = init(*FLAGS)
    assert result.exit_code == 0, said(result)
    assert (program / "Pulumi.staging.yaml").exists()
    assert "In the way: pulumi is not on PATH — the stacks cannot be created yet" in result.output
    assert init(*FLAGS, "--domain", "example.com", "--force").exit_code == 0


def test_without_a_passphrase_no_stack_is_created_and_it_is_told_how(
    init: Init, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    result = init(*FLAGS)
    assert "In the way: stack staging is not created yet: PULUMI_CONFIG_PASSPHRASE is not set" in result.output
    assert engine.stacks == []


def test_a_stack_that_the_backend_refuses_is_told(init: Init, engine: Engine) -> None:
    engine.refuses()
    result = init(*FLAGS)
    assert result.exit_code == 0
    assert "In the way: stack staging could not be created (the backend is full)" in result.output


# --- host keys


def test_a_key_is_pinned_with_its_fingerprint_when_it_is_accepted(
    init: Init, program: Path, shown: dict[str, Any]
) -> None:
    shown["203.0.113.10"] = HostKey(KEY, "SHA256:fingerprint")
    result = init(*FLAGS, "--accept-host-key")
    assert stack(program)["config"]["shop-deploy:hosts"][0]["hostKey"] == KEY
    assert "# SHA256:fingerprint" in (program / "Pulumi.staging.yaml").read_text()
    assert "host key of staging-1 (203.0.113.10): SHA256:fingerprint" in result.output
    left = [line for line in result.output.splitlines() if "hosts[0].hostKey" in line]
    assert [line.rpartition(" --stack ")[2] for line in left] == ["production"]  # that host did not answer


def test_a_key_that_nobody_compared_is_shown_and_not_pinned(init: Init, program: Path, shown: dict[str, Any]) -> None:
    shown["203.0.113.10"] = HostKey(KEY, "SHA256:fingerprint")
    result = init(*FLAGS)
    assert "SHA256:fingerprint" in result.output
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in result.output
    assert stack(program)["config"]["shop-deploy:hosts"][0]["hostKey"] == ""


@pytest.mark.parametrize(
    ("typed", "pinned"),
    [(["yes"], KEY), (["y"], KEY), (["YES"], KEY), (["no"], ""), (["n"], ""), ([""], ""), (["same", "y"], KEY)],
)
def test_at_a_terminal_a_yes_pins_a_key_and_no_answer_is_taken_for_another(
    typed: list[str], pinned: str, init: Init, program: Path, shown: dict[str, Any]
) -> None:
    shown["203.0.113.10"] = HostKey(KEY, "SHA256:fingerprint")
    options = (
        "-e",
        "staging",
        "--registry",
        "ghcr.io/acme",
        "--host",
        "203.0.113.10",
        "--variable",
        "PUBLIC_URL=https://x",
    )
    result = init(*options, answers=["", "", *typed])  # no domain, no user of the registry
    assert result.exit_code == 0, said(result)
    assert stack(program)["config"]["shop-deploy:hosts"][0]["hostKey"] == pinned
    assert ("not pinned: the preview will refuse this host" in result.output) == (not pinned)
    assert ("'same' is neither yes nor no" in result.output) == (typed[0] == "same")


# --- at a terminal


def test_at_a_terminal_it_asks_for_what_it_needs_until_the_answer_is_right(init: Init, program: Path) -> None:
    answers = [
        "staging",
        "https://ghcr.io/acme", "ghcr.io/acme", "bot",
        "", "ssh://x", "root@203.0.113.10 203.0.113.12:2200",
        "not a domain", "staging.example.com",
        "https://staging.example.com",
        "ops@example.com",
    ]  # fmt: skip
    file = program.parent / "shop" / "compose.yaml"
    file.write_text(SHOP.replace("${PUBLIC_URL}", "${PUBLIC_URL:?the address that visitors use}"))
    result = init(answers=answers)
    assert result.exit_code == 0, said(result)
    config = stack(program)["config"]
    assert config["shop-deploy:registry"] == "ghcr.io/acme"
    assert config["shop-deploy:registryUsername"] == "bot"
    assert [host["address"] for host in config["shop-deploy:hosts"]] == ["203.0.113.10", "203.0.113.12"]
    assert config["shop-deploy:hosts"][0]["user"] == "root"
    assert config["shop-deploy:variables"] == {"PUBLIC_URL": "https://staging.example.com"}
    assert config["shop-deploy:acmeEmail"] == "ops@example.com"
    assert "it is written without https://" in result.output
    assert "it is not a domain name" in result.output
    assert "the address that visitors use" in result.output
    assert "DATABASE_PASSWORD of" not in result.output  # a secret is not asked for


def test_a_terminal_that_goes_away_in_between_leaves_nothing(init: Init, program: Path, engine: Engine) -> None:
    before = files(program)
    result = init(answers=["staging", "ghcr.io/acme"])
    assert result.exit_code == 1
    assert "Aborted" in result.output
    assert (files(program), engine.stacks) == (before, [])


def test_with_yes_a_terminal_is_not_asked_either(init: Init) -> None:
    assert init("--yes", answers=["staging"]).exit_code == 2


def test_a_second_time_at_a_terminal_asks_nothing_but_the_environments(init: Init, program: Path) -> None:
    init(*FLAGS)
    before = files(program)
    result = init(answers=[""])
    assert "nothing was changed" in result.output, said(result)
    assert files(program) == before


# --- workflows


@pytest.fixture
def repository(program: Path) -> Path:
    """A repository that holds project and application."""
    subprocess.run(["git", "init", "--quiet", program.parent], check=True)
    return program.parent


def test_workflows_get_the_projects_folder_and_environments(init: Init, repository: Path) -> None:
    hosts = ("--registry", "ghcr.io/acme", "--host", "local", "--runner", "own")
    result = init("-e", "test", "-e", "live", *hosts, "--workflows")
    assert result.exit_code == 0
    folder = repository / ".github" / "workflows"
    drift = yaml.safe_load((folder / "drift.yml").read_text())
    assert drift["env"] == {"PROJECT_FOLDER": "deploy"}
    assert drift["jobs"]["stack"]["strategy"]["matrix"]["stack"] == ["test", "live"]
    assert drift["jobs"]["stack"]["runs-on"] == "own"
    assert {file.name for file in folder.iterdir()} == {
        "deploy.yml", "test.yml", "live.yml", "release.yml", "rollback.yml", "preview.yml", "drift.yml", "health.yml",
        "cleanup.yml", "refresh.yml", "ci.yml",
    }  # fmt: skip
    assert "Still to do on GitHub:" in result.output
    assert "gh variable set SLIPWAY_ENABLED" in said(result)
    assert "nothing was changed" in init("-e", "test", "-e", "live", *hosts, "--workflows").output


def test_a_workflow_of_somebodys_is_not_overwritten_and_nothing_else_is_written(
    init: Init, repository: Path, program: Path
) -> None:
    other = repository / ".github" / "workflows" / "deploy.yml"
    other.parent.mkdir(parents=True)
    other.write_text("name: mine\n")
    result = init(*FLAGS, "--workflows")
    assert result.exit_code == 1
    assert "deploy.yml exists already, and differs" in said(result)
    assert other.read_text() == "name: mine\n"
    assert not (program / "Pulumi.staging.yaml").exists()
    assert init(*FLAGS, "--workflows", "--force").exit_code == 0
    assert "inputs.folder || 'deploy'" in other.read_text()


def test_workflows_need_one_repository_that_holds_both(init: Init, program: Path) -> None:
    result = init(*FLAGS, "--workflows")
    assert result.exit_code == 1
    assert "are not in one Git repository" in said(result)
    assert not (program / "Pulumi.staging.yaml").exists()


# --- a Compose file that takes no empty value

NEEDS = """\
services:
  web:
    image: nginx:1.29
    volumes: ["${UPLOADS}:/data"]
    read_only: ${READ_ONLY}
    environment: {DATABASE_PASSWORD: "${DATABASE_PASSWORD}"}
"""
HERE = ("-e", "staging", "--host", "local")


def test_a_file_that_needs_values_is_read_with_those_of_the_options_and_of_dotenv(init: Init, program: Path) -> None:
    shop = program.parent / "shop"
    (shop / "compose.yaml").write_text(NEEDS)
    (shop / ".env").write_text("READ_ONLY=true\nDATABASE_PASSWORD=c4n4ry-c4n4ry\n")
    result = init(*HERE, "--variable", "UPLOADS=./library")
    assert result.exit_code == 0, said(result)
    assert stack(program)["config"]["shop-deploy:variables"] == {"UPLOADS": "./library"}
    assert "c4n4ry" not in result.output + (program / "Pulumi.staging.yaml").read_text()
    assert "In the way" not in result.output
    left = [line.strip() for line in result.output.splitlines() if "pulumi config set" in line]
    names = [line.split("--path ")[1].split(" ")[0] for line in left]
    assert names == ["'secrets.DATABASE_PASSWORD'", "'variables.READ_ONLY'"]


@pytest.mark.parametrize(
    "dotenv",
    [
        "NAME=shop\nBIND=\nPORT=8080\nUPLOADS=./x\n",  # Compose reads it so
        "NAME=shop\nBIND=127.0.0.1\nPORT=8080\nUPLOADS=\n",  # and cannot read it so
        "NAME=shop\nBIND=\nPORT=\nUPLOADS=\n",
        "NAME=\nBIND=\nPORT=8080\nUPLOADS=./x\n",
    ],
)
def test_an_empty_value_of_dotenv_is_tried_as_it_is(init: Init, program: Path, dotenv: str) -> None:
    shop = program.parent / "shop"
    web = {"image": "nginx", "ports": ["${BIND}:${PORT}:80"], "volumes": ["${UPLOADS}:/data"]}
    (shop / "compose.yaml").write_text(json.dumps({"name": "${NAME:?}", "services": {"web": web}}))
    (shop / ".env").write_text(dotenv)
    result = init(*HERE)
    assert result.exit_code == 0, said(result)


def test_a_file_that_needs_values_is_read_where_nothing_has_them(init: Init, program: Path) -> None:
    (program.parent / "shop" / "compose.yaml").write_text(NEEDS)
    result = init(*HERE)
    assert result.exit_code == 0, said(result)
    assert "variables.UPLOADS" in result.output


@pytest.mark.parametrize(
    ("dotenv", "named"),
    [
        ("GREETING=hello\nDB_PASSWORD=p\n", []),
        ("GREETING=\n", ["DB_PASSWORD", "GREETING"]),
        ("DB_PASSWORD=p\n", ["GREETING"]),
    ],
)
def test_a_file_that_is_wrong_elsewhere_names_no_variable_that_dotenv_has(
    dotenv: str, named: list[str], init: Init, program: Path
) -> None:
    shop = program.parent / "shop"
    web = {"image": "nginx", "environment": ["A=${GREETING}", "B=${DB_PASSWORD:?}"], "volumes": ["data:/d"]}
    (shop / "compose.yaml").write_text(json.dumps({"services": {"web": web}}))
    (shop / ".env").write_text(dotenv)
    result = said(init(*HERE))
    assert "refers to undefined volume data" in result
    assert sorted(re.findall(r"variable (\w+) of the Compose file has no value", result)) == named


@pytest.mark.parametrize(
    ("files", "fix"),
    [
        ({"web.env": ""}, "slipway init PATH-TO-THE-FOLDER-WITH-THE-COMPOSE-FILE"),
        (
            {"docker-compose.prod.yml": ""},
            "slipway init ../shop --environment staging --host local --compose-file docker-compose.prod.yml",
        ),
        (
            {"compose.yaml": "services: {web: {image: nginx, env_file: '${FOLDER}/web.env'}}"},
            "slipway init ../shop --environment staging --host local --variable FOLDER=VALUE",
        ),
        (
            {"compose.yaml": "services: {web: {image: nginx, env_file: '${THE_SECRET}/web.env'}}"},
            "write THE_SECRET=VALUE into ../shop/.env",
        ),
        (
            {"compose.yaml": "services: {web: {image: nginx, env_file: web.env}}"},
            "correct `env_file`, then run it again: slipway init ../shop --environment staging --host local",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_a_fix_that_needs_no_stack(
    files: dict[str, str], fix: str, init: Init, program: Path
) -> None:
    shop = program.parent / "shop"
    shutil.rmtree(shop)
    shop.mkdir()
    for name, text in files.items():
        (shop / name).write_text(text)
    result = init(*HERE)
    assert result.exit_code == 1
    assert said(result).endswith(fix)
    assert "--stack" not in said(result)
    assert not (program / "Pulumi.staging.yaml").exists()
