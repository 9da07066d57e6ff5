"""Reading a Compose file: by Compose itself, with the stack's values and nothing else."""

import json
import os
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, application, problems_of, settings, whats

from slipway.compose.config import compose_files, compose_model
from slipway.compose.config.compose_model import resolve, secret_names, with_placeholders, without_escapes
from slipway.contract import compose_program
from slipway.contract.problems import SlipwayError

WEB = "services:\n  web:\n    image: nginx\n"


def model(folder: Path, text: str, **values: Any) -> dict[str, Any]:
    (folder / "compose.yaml").write_text(textwrap.dedent(text))
    return resolve(settings(folder, **values)).model


def web(folder: Path, **service: Any) -> dict[str, Any]:
    """Compose's model of a service."""
    # as JSON, which leaves no doubt about a text's type
    read: dict[str, Any] = model(
        folder, json.dumps({"services": {"web": {"image": "nginx", **service}}}, ensure_ascii=False)
    )
    return dict(read["services"]["web"])


# --- variables


def test_every_variable_without_a_value_is_listed_at_once(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        """
        services:
          web:
            image: nginx:${TAG}
            command: ["${ARGUMENT}", "$BARE"]
            environment:
              A: ${DB_PASSWORD:?set it}
              B: ${OTHER?}
              C: ${DB_PASSWORD:?set it}
              D: ${FINE:-default}${FINE_TOO-}${GIVEN}${NESTED:-${INNER:-x}}
              E: ${WHEN_SET:+x}
        """,
        variables={"GIVEN": "x"},
    )
    assert whats(problems) == [
        "variable DB_PASSWORD of the Compose file has no value (set it)",
        "variable OTHER of the Compose file has no value",
        "variable ARGUMENT of the Compose file has no value",
        "variable BARE of the Compose file has no value",
        "variable TAG of the Compose file has no value",
        "5 values of the Compose file are missing",
    ]
    secret = "pulumi config set --secret --path 'secrets.DB_PASSWORD' --stack test"
    assert problems[0].fix == f"openssl rand -hex 24 | {secret}"
    assert problems[1].fix == "pulumi config set --path 'variables.OTHER' --stack test < /dev/tty"
    assert problems[1].meaning.endswith("if it is a secret, set secrets.OTHER with --secret instead")


def test_a_missing_variable_is_told_beside_what_it_makes_impossible(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "services: {web: {image: '${IMAGE}', ports: ['${PORT:?}:80']}}")
    assert "variable IMAGE of the Compose file has no value" in whats(problems)
    assert "variable PORT of the Compose file has no value" in whats(problems)


def test_a_variable_in_a_port_may_be_missing_without_a_second_error(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "services: {web: {image: nginx, ports: ['${PORT:?}:80']}}")
    assert whats(problems) == ["variable PORT of the Compose file has no value"]


# What a service says of X -> what becomes of it: without a value, with one, and with a secret.
UNSET_UNLESS_GIVEN = {
    "mapping": {"environment": {"X": None}},
    "list": {"environment": ["X"]},
    "list of others": {"environment": ["X", "Y=1"]},
    "beside an env_file": {"environment": ["X"], "env_file": ".env"},
    "in an env_file and the environment": {"environment": {"X": None}, "env_file": "x.env"},
}


@pytest.mark.parametrize("service", UNSET_UNLESS_GIVEN.values(), ids=UNSET_UNLESS_GIVEN)
def test_a_variable_without_a_value_is_unset_unless_the_stack_gives_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: dict[str, Any]
) -> None:
    monkeypatch.setenv("X", "of the machine that deploys")
    (tmp_path / ".env").write_text("X=of the folder\n" if "env_file" not in service else "Z=1\n")
    (tmp_path / "x.env").write_text("X\n")
    text = json.dumps({"services": {"web": {"image": "nginx", **service}}})

    def given(**more: Any) -> object:
        return application(tmp_path, text, **more).document["services"]["web"]["environment"]["X"]

    assert given() is None
    assert given(variables={"X": "a $value"}) == "a $$value"
    assert given(variables={"X": ""}) == ""
    assert given(secrets={"X": CANARY}) == "${X}"


def test_only_a_path_is_no_variable_to_be_left_unset(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, environment: [GIVEN, MISSING, 'PLAIN=x', HOME, PATH]}}"
    assert whats(problems_of(tmp_path, text)) == [
        "variable PATH of the Compose file has no value (the container's own is $$PATH, in a shell)"
    ]
    found = application(tmp_path, text, variables={"GIVEN": "value", "PATH": "mine"})
    assert found.document["services"]["web"]["environment"] == {
        "GIVEN": "value", "MISSING": None, "PLAIN": "x", "HOME": None, "PATH": "mine"
    }  # fmt: skip


def test_a_variable_that_is_unset_here_and_needed_there_is_one_problem(tmp_path: Path) -> None:
    services = {"a": {"image": "x", "environment": ["Z"]}, "b": {"image": "x", "environment": {"V": "${Z}"}}}
    problems = problems_of(tmp_path, json.dumps({"services": services}))
    assert whats(problems) == ["variable Z of the Compose file has no value"]


def test_the_machines_environment_gives_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_THE_SHELL", "x")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "evil")
    monkeypatch.setenv("COMPOSE_FILE", "/nowhere.yaml")
    monkeypatch.setenv("COMPOSE_PROFILES", "extra")
    text = "services: {web: {image: nginx, command: '$FROM_THE_SHELL ${HOME}'}, more: {image: x, profiles: [extra]}}"
    (tmp_path / "compose.yaml").write_text(text)
    found = resolve(settings(tmp_path, name=""))
    assert whats(found.problems) == [
        "variable FROM_THE_SHELL of the Compose file has no value",
        "variable HOME of the Compose file has no value",
    ]
    assert set(found.model["services"]) == {"web"}
    assert "evil" not in found.stack


@pytest.mark.parametrize("form", ["[{}]", "{{{}: }}"])
def test_a_name_with_dots_is_passed_on_where_the_stack_gives_it_a_value(tmp_path: Path, form: str) -> None:
    def text(name: str) -> str:
        return f"services: {{web: {{image: x, environment: {form.format(name)}}}}}"

    found = application(tmp_path, text("discovery.type"), variables={"discovery.type": "single-node"})
    assert found.document["services"]["web"]["environment"] == {"discovery.type": "single-node"}
    left = application(tmp_path, text("discovery.type")).document["services"]["web"]["environment"]
    assert left == {"discovery.type": None}  # unset, as Compose has it


def test_what_cannot_stand_in_braces_is_said(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, "services: {web: {image: 'x:${dotted.key}'}}")
    assert "invalid interpolation format for services.web.image" in problem.what
    assert "${NAME} takes letters, digits and underscores" in problem.meaning
    text = "services: {web: {image: x, secrets: [a]}}\nsecrets: {a: {environment: a.b}}"
    [problem] = problems_of(tmp_path, text)
    assert problem == (
        "secrets.a.environment: a.b is not the name of a variable of Compose",
        "those have letters, digits and underscores",
        "write `environment: A` there",
        *problem[3:],
    )


def test_this_machines_path_is_no_value(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, environment: {PATH: '/app:${PATH}', X: '$$PATH'}}}"
    [problem] = problems_of(tmp_path, text)
    assert problem.what.startswith("variable PATH of the Compose file has no value (")
    found = application(tmp_path, text, variables={"PATH": "/bin"}).document["services"]["web"]["environment"]
    assert found == {"PATH": "/app:/bin", "X": "$$PATH"}


def test_the_applications_own_dotenv_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAG=from-dotenv\nCOMPOSE_PROFILES=extra\n")
    problems = problems_of(tmp_path, "services: {web: {image: 'nginx:${TAG}'}}")
    assert whats(problems) == ["variable TAG of the Compose file has no value"]


def test_an_override_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "compose.override.yaml").write_text("services: {web: {image: override}, extra: {image: x}}")
    assert model(tmp_path, WEB)["services"] == {"web": {"image": "nginx", "networks": {"default": None}}}


def test_the_domain_is_a_variable_unless_the_stack_says_otherwise(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, command: ['${DOMAIN}']}}"
    assert model(tmp_path, text, domain="example.com")["services"]["web"]["command"] == ["example.com"]
    other = model(tmp_path, text, domain="example.com", variables={"DOMAIN": "other.com"})
    assert other["services"]["web"]["command"] == ["other.com"]


HOSTILE = [
    "a: b", "# no comment", "'", '"', "- x", "{a: b}", "[1]", "*alias", "&anchor", "!tag", "%", "@", "`", "|", ">", "=",
    "<<", "~", "null", "true", "yes", "on", "0123", "0x1f", "1_000", "1e3", ".5", "1:30", "2020-01-01",
    " lead", "trail ",
    "tab\there", "line\nbreak", "back\\slash", "ünïcödé 🚀", "$dollar", "$$", "${BRACES}", "$${X}", "\\1", "(?P<x>",
    "%s",
]  # fmt: skip


def test_values_arrive_as_they_were_given_whatever_they_hold(tmp_path: Path) -> None:
    variables = {f"V{index}": value for index, value in enumerate(HOSTILE)}
    environment = {name: f"${{{name}}}" for name in variables}
    text = json.dumps({"services": {"web": {"image": "nginx", "environment": environment}}})
    read = model(tmp_path, text, variables=variables)
    assert without_escapes(read["services"]["web"]["environment"]) == variables


def test_what_the_file_itself_says_is_read_as_compose_reads_it(tmp_path: Path) -> None:
    read = web(tmp_path, environment={f"V{index}": value.replace("$", "$$") for index, value in enumerate(HOSTILE)})
    assert without_escapes(read["environment"]) == {f"V{index}": value for index, value in enumerate(HOSTILE)}


def test_numbers_switches_and_dates_in_an_extension_keep_their_type(tmp_path: Path) -> None:
    extension = {"a": 1, "b": 1.5, "c": True, "d": None, "e": "1", "f": "true", "g": "=", "h": "2020-01-01", "i": 1e21}
    assert web(tmp_path, **{"x-slipway": extension})["x-slipway"] == extension


def test_a_doubled_dollar_stays_doubled_for_the_hosts_compose(tmp_path: Path) -> None:
    text = """
        services:
          web:
            image: nginx
            command: ["sh", "-c", "echo $$HOME $${X}"]
            environment: {A: "$$5", B: "${PRICE}"}
    """
    document = application(tmp_path, text, variables={"PRICE": "$5"}).document
    assert document["services"]["web"]["command"] == ["sh", "-c", "echo $$HOME $${X}"]
    assert document["services"]["web"]["environment"] == {"A": "$$5", "B": "$$5"}


# --- secrets as marks


def test_a_secret_goes_through_compose_as_a_mark_and_never_as_itself(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, environment: {A: '${S}', B: 'x ${S} $$ ${T}'}}}"
    (tmp_path / "compose.yaml").write_text(text)
    seen: list[Any] = []
    real = subprocess.run

    def spy(*arguments: Any, **more: Any) -> Any:
        seen.append((arguments, more))
        return real(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose_model.subprocess, "run", spy)
        found = resolve(settings(tmp_path, secrets={"S": CANARY, "T": f"{CANARY}\n'\"$"}))
    environment = found.model["services"]["web"]["environment"]
    assert seen
    assert CANARY not in str(seen) + str(found)
    assert secret_names(environment["A"]) == ["S"]
    assert secret_names(environment["B"]) == ["S", "T"]
    assert with_placeholders(environment) == {"A": "${S}", "B": "x ${S} $$ ${T}"}


def test_no_text_of_a_compose_file_can_be_taken_for_a_secrets_mark(tmp_path: Path) -> None:
    texts = ["slipway-secret-S-value", "slipway-0123456789abcdef-S-secret", compose_model._MARK.format("S")[:-1]]
    read = web(tmp_path, environment={f"V{index}": text for index, text in enumerate(texts)})
    assert [secret_names(text) for text in read["environment"].values()] == [[], [], []]


def test_compose_complains_of_a_secret_by_its_name(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, ports: ['${S}:80']}}"
    [problem] = problems_of(tmp_path, text, secrets={"S": CANARY})
    assert "${S}" in problem.what
    assert compose_model._MARK[:24] not in str(problem)


# --- names


@pytest.mark.parametrize(
    ("text", "values", "name", "stack"),
    [
        ("name: My-App", {}, "my-app", "my-app-test"),
        ("name: shop", {}, "shop", "shop-test"),
        ("name: 'shop_2' # comment", {}, "shop-2", "shop-2-test"),
        ("name: ${NAME:-Odd_Name.x}", {}, "odd-namex", "odd-namex-test"),
        ("name: ${NAME}", {"variables": {"NAME": "given"}}, "given", "given-test"),
        ("", {}, "folder-of-it", "folder-of-it-test"),
        ("name: shop", {"name": "other"}, "other", "other-test"),
        ("name: shop", {"stack": "Feature.X"}, "shop", "shop-feature-x"),
        ("name: shop", {"variables": {"COMPOSE_PROJECT_NAME": "told"}}, "told", "told-test"),
    ],
)
def test_application_and_stack_are_named_by_settings_file_or_folder(
    tmp_path: Path, text: str, values: dict[str, Any], name: str, stack: str
) -> None:
    folder = tmp_path / "Folder-Of-It"
    folder.mkdir()
    (folder / "compose.yaml").write_text(f"{text}\n{WEB}")
    found = resolve(settings(folder, **{"name": "", **values}))
    assert (found.name, found.stack, found.model["name"]) == (name, stack, stack)


def test_networks_and_volumes_are_named_after_the_stack_unless_the_file_names_them(tmp_path: Path) -> None:
    read = model(
        tmp_path,
        """
        name: shop
        services:
          web:
            image: nginx
            container_name: ${COMPOSE_PROJECT_NAME}-web
            volumes: ["data:/a", "kept:/b", "outside:/c", "outside2:/d", "/anonymous"]
            networks: [default, back, others]
        networks: {back: , others: {external: true, name: proxy}}
        volumes:
          data:
          kept: {name: shop_kept}
          outside: {external: true}
          outside2: {external: true, name: shop_outside2}
        """,
    )
    assert {key: entry["name"] for key, entry in read["volumes"].items()} == {
        "data": "shop-test_data",
        "kept": "shop_kept",  # what Compose would have called it by hand: an explicit name is never touched
        "outside": "outside",
        "outside2": "shop_outside2",
    }
    assert {key: entry["name"] for key, entry in read["networks"].items()} == {
        "default": "shop-test_default",
        "back": "shop-test_back",
        "others": "proxy",
    }
    assert read["services"]["web"]["container_name"] == "shop-test-web"


def test_a_name_that_is_too_long_for_a_host_is_found_early(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, WEB, name="a" * 31, stack="s" * 32)
    assert len(problems) == 1
    assert problems[0].what.endswith("has more than 63 characters")
    assert problems_of(tmp_path, WEB, name="a" * 31, stack="s" * 31) == []


# --- which file


def test_the_file_is_the_one_that_compose_itself_would_read(tmp_path: Path) -> None:
    for index, name in enumerate(compose_files._COMPOSE_FILES):
        (tmp_path / name).write_text(f"services: {{s{index}: {{image: x}}}}\n")
    for _ in compose_files._COMPOSE_FILES:
        docker = shutil.which("docker") or "docker"
        done = subprocess.run(
            [docker, "compose", "config", "--services"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        found = resolve(settings(tmp_path))
        assert list(found.model["services"]) == done.stdout.split()
        found.files[0].unlink()


def test_a_file_may_have_any_name_and_be_in_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "prod.yml").write_text(WEB)
    found = resolve(settings(tmp_path, compose_file="deploy/prod.yml"))
    assert found.files == (tmp_path / "deploy" / "prod.yml",)


@pytest.mark.parametrize("values", [{}, {"compose_file": "nothing.yaml"}])
def test_a_folder_without_a_compose_file_is_a_problem(tmp_path: Path, values: dict[str, str]) -> None:
    with pytest.raises(SlipwayError) as raised:
        resolve(settings(tmp_path, **values))
    [problem] = raised.value.problems
    assert "holds no" in problem.what
    assert problem.fix.startswith("pulumi config set ")


# --- what Compose refuses


@pytest.mark.parametrize(
    ("content", "said", "meaning"),
    [
        (b"services: {a: {", "yaml: line 1", "cannot be read"),
        (b"", "empty compose file", "cannot be read"),
        (b"# nothing\n", "empty compose file", "cannot be read"),
        (b"services:\n\ta:\n\t\timage: x\n", "found character that cannot start any token", "cannot be read"),
        (b"services: [a, b]\n", "services must be a mapping", "cannot be read"),
        (b"services: {a: {image: x}, 1: {image: y}}\n", "Non-string key", "cannot be read"),
        (b"just text\n", "must be a mapping", "cannot be read"),
        (b"services: {a: {image: \xff\xfe}}\n", "UTF-8", "cannot be read"),
        (b"services: {a: {image: x, imagee: y}}\n", "Additional property imagee is not allowed", "cannot be read"),
        (b"services: {a: {command: x}}\n", "neither an image nor a build", "nothing to run"),
        (b"services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}\n", "cycle", "cycle"),
        (b"services: {a: {image: x, depends_on: [a]}}\n", "cycle", "cycle"),
        (b"services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]}}\n", "undefined service", "profile"),
        (b"services: {a: {image: x, volumes: ['vol:/x']}}\n", "undefined volume", "cannot be read"),
        (b"services: {a: {image: x, networks: [n]}}\n", "undefined network", "cannot be read"),
        (b"services: {a: {image: x, ports: ['x:y:z']}}\n", "", "cannot be read"),
        (b"services: {a: {image: x}}\nservices: {b: {image: x}}\n", "already", "cannot be read"),
    ],
)
def test_what_compose_refuses_is_told_in_its_words_with_a_meaning_and_a_fix(
    tmp_path: Path, content: bytes, said: str, meaning: str
) -> None:
    (tmp_path / "compose.yaml").write_bytes(content)
    with pytest.raises(SlipwayError) as raised:
        resolve(settings(tmp_path))
    [problem] = raised.value.problems
    assert problem.what.startswith("compose.yaml: ")
    assert said in problem.what
    assert meaning in problem.meaning
    assert problem.fix.startswith("correct compose.yaml")


def test_a_huge_file_is_read(tmp_path: Path) -> None:
    environment = "\n".join(f"      V{index}: '{'x' * 90}'" for index in range(5_000))
    read = model(tmp_path, f"services:\n  web:\n    image: nginx\n    environment:\n{environment}\n")
    assert len(read["services"]["web"]["environment"]) == 5_000


def test_a_value_too_large_for_an_environment_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, WEB, variables={"HUGE": "x" * 200_000})
    assert problem.what == "variables.HUGE: its value has 200,000 bytes"
    variables = {f"V{index}": "x" * 130_000 for index in range(20)} | {"LARGEST": "x" * 131_000}
    assert problems_of(tmp_path, WEB, variables=variables) == []  # no environment carries them here
    text = "services: {web: {image: nginx, labels: {a: '${V1}'}}}"
    assert model(tmp_path, text, variables=variables)["services"]["web"]["labels"] == {"a": variables["V1"]}


def test_no_variable_of_the_stack_steers_the_programs_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shlex.join(compose_program.compose_program())
    plugin = tmp_path / "own" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(f'#!/bin/sh\nenv >> {tmp_path}/seen\nexec {real} "$@"\n')
    plugin.chmod(0o755)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "own"))
    given = dict.fromkeys(("LD_PRELOAD", "GIT_SSH_COMMAND", "BASH_ENV", "OTEL_TRACES", "HOME", "X"), "/of-the-stack")
    environment = {name: f"${{{name}}}" for name in given}
    text = json.dumps({"services": {"web": {"image": "nginx", "environment": environment}}})
    assert model(tmp_path, text, variables=given)["services"]["web"]["environment"] == given
    seen = (tmp_path / "seen").read_text()
    assert "DOCKER_CONFIG=" in seen
    assert "/of-the-stack" not in seen


def test_includes_and_extended_files_are_read_from_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "compose.yaml").write_text("services: {db: {image: x, volumes: ['./conf:/c:ro']}}\n")
    (tmp_path / "part" / "base.yaml").write_text("services: {base: {image: y, volumes: ['./base:/b:ro']}}\n")
    read = model(
        tmp_path,
        "include: [part/compose.yaml]\nservices: {web: {extends: {file: part/base.yaml, service: base}}}\n",
    )
    assert read["services"]["db"]["volumes"][0]["source"] == "part/conf"
    assert read["services"]["web"]["volumes"][0]["source"] == "part/base"


# --- without Compose


def test_a_machine_without_docker_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compose.yaml").write_text(WEB)
    monkeypatch.setattr(compose_program, "_FOLDERS", ())
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlipwayError, match=r"docker is not on PATH — .* — https://docs.docker.com/"):
        resolve(settings(tmp_path))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1", "docker has no Compose v2 plugin"),
        ("exec sleep 30", "compose.yaml: Compose did not end within 1 s"),
        ("exit 14", "compose.yaml: Compose gave no reason"),
        ("printf '\\377\\376' >&2; exit 1", "compose.yaml: \ufffd\ufffd"),
    ],
)
def test_a_docker_that_cannot_help_is_a_problem_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    (tmp_path / "compose.yaml").write_text(WEB)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    monkeypatch.setattr(compose_program, "_FOLDERS", ())
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}")
    monkeypatch.setattr(compose_model, "_SECONDS", 1)
    with pytest.raises(SlipwayError) as raised:
        resolve(settings(tmp_path))
    assert whats(list(raised.value.problems)) == [said]


def test_compose_runs_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    assert model(tmp_path, WEB)["services"]


@pytest.mark.parametrize("source", ["${PWD}/data", "$PWD/data", "./data"])
def test_pwd_is_the_folder_of_the_compose_file(source: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(f"services: {{web: {{image: x, volumes: ['{source}:/data']}}}}")
    found = resolve(settings(tmp_path))
    assert found.problems == []
    [mount] = found.model["services"]["web"]["volumes"]
    assert (mount["type"], mount["source"].removeprefix("./")) == ("bind", "data")


def test_pwd_that_the_stack_sets_is_the_stacks(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: x, volumes: ['${PWD}/data:/data']}}")
    found = resolve(settings(tmp_path, variables={"PWD": "/srv/shop"}))
    assert found.model["services"]["web"]["volumes"][0]["source"] == "/srv/shop/data"


# --- several files

SEVERAL = {
    "base.yaml": """
        name: shop
        services:
          web:
            image: nginx
            ports: ["80:80", "81:81"]
            volumes: ["./a:/a:ro"]
            environment: {A: "1", B: "2"}
          db: {image: postgres, ports: ["5432:5432"], profiles: [all]}
    """,
    "deploy/prod.yaml": """
        services:
          web:
            ports: !override ["8080:80"]
            volumes: ["./deploy/b:/b:ro"]
            environment: {B: !reset null, C: "${C}"}
            env_file: [plain.env]
          db: !reset null
    """,
}


def several(folder: Path, **values: Any) -> compose_model.ComposeModel:
    (folder / "deploy").mkdir(exist_ok=True)
    for name, text in SEVERAL.items():
        (folder / name).write_text(textwrap.dedent(text))
    (folder / "plain.env").write_text("D=4\n")
    return resolve(settings(folder, **{"variables": {"C": "3"}, "name": "", **values}))


@pytest.mark.parametrize(
    "values",
    [
        {"compose_file": ["base.yaml", "deploy/prod.yaml"]},
        {"compose_file": "base.yaml, deploy/prod.yaml"},
        {"compose_file": '["base.yaml", "deploy/prod.yaml"]'},
        {"variables": {"C": "3", "COMPOSE_FILE": "base.yaml:deploy/prod.yaml"}},
        {"variables": {"C": "3", "COMPOSE_FILE": "base.yaml;deploy/prod.yaml", "COMPOSE_PATH_SEPARATOR": ";"}},
        {"compose_file": ["base.yaml", "deploy/prod.yaml"], "variables": {"C": "3", "COMPOSE_FILE": "other.yaml"}},
    ],
)
def test_several_files_are_merged_by_compose_with_paths_of_the_first_ones_folder(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    found = several(tmp_path, **values)
    web = found.model["services"]["web"]
    assert found.files == (tmp_path / "base.yaml", tmp_path / "deploy" / "prod.yaml")
    assert (found.name, found.problems, found.unused) == ("shop", [], [])
    assert set(found.model["services"]) == {"web"}
    assert [port["published"] for port in web["ports"]] == ["8080"]
    assert [mount["source"] for mount in web["volumes"]] == ["./a", "./deploy/b"]
    assert web["environment"] == {"A": "1", "C": "3", "D": "4"}


def test_the_last_name_of_several_files_is_the_applications(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("name: other\nservices: {}\n")
    found = several(tmp_path, compose_file=["base.yaml", "deploy/prod.yaml", "other.yaml"])
    assert (found.name, found.model["name"]) == ("other", "other-test")


@pytest.mark.parametrize(
    ("values", "what", "key"),
    [
        ({"compose_file": ["base.yaml", "no.yaml"]}, "composeFile: {} holds no no.yaml", "--path 'composeFile[1]'"),
        ({"compose_file": ["no.yaml"]}, "composeFile: {} holds no no.yaml", "composeFile"),
        (
            {"compose_file": ["no.yaml", "nor.yaml"]},
            "composeFile: {} holds no no.yaml and no nor.yaml",
            "--path 'composeFile[0]'",
        ),
        (
            {"variables": {"COMPOSE_FILE": "base.yaml:no.yaml"}},
            "variables.COMPOSE_FILE: {} holds no no.yaml",
            "--path 'variables.COMPOSE_FILE'",
        ),
    ],
)
def test_a_file_that_is_named_and_missing_is_said_by_name(
    tmp_path: Path, values: dict[str, Any], what: str, key: str
) -> None:
    with pytest.raises(SlipwayError) as raised:
        several(tmp_path, **values)
    [problem] = raised.value.problems
    assert problem.what == what.format(f"{tmp_path.name}/")
    assert problem.fix == f"pulumi config set {key} --stack test < /dev/tty"


def test_an_error_of_several_files_names_them_and_the_command_that_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("services: {web: {depends_on: [gone]}}\n")
    with pytest.raises(SlipwayError) as raised:
        several(tmp_path, compose_file=["base.yaml", "bad.yaml"])
    [problem] = raised.value.problems
    assert problem.what.startswith("base.yaml with bad.yaml: ")
    look = problem.meaning.split("`")[-2]
    assert look.startswith("docker compose -f ")
    done = subprocess.run(shlex.split(look), capture_output=True, text=True, check=False)
    assert 'depends on undefined service "gone"' in done.stderr


@pytest.mark.parametrize(
    ("stack", "values", "told"),
    [
        ("test", {}, ["compose.override.yml"]),
        ("staging", {}, ["compose.override.yml", "docker-compose.staging.yaml"]),
        ("prod", {"production": True}, ["compose.override.yml", "compose.production.yaml"]),
        ("live", {"production": True}, ["compose.override.yml", "compose.production.yaml"]),
        ("test", {"compose_file": ["compose.yaml"]}, []),
        ("test", {"variables": {"COMPOSE_FILE": "compose.yaml"}}, []),
    ],
)
def test_a_file_beside_that_is_meant_to_be_merged_is_mentioned_until_the_stack_names_its_files(
    tmp_path: Path, stack: str, values: dict[str, Any], told: list[str]
) -> None:
    for name in ("compose.override.yml", "docker-compose.staging.yaml", "compose.production.yaml", "compose.ci.yaml"):
        (tmp_path / name).write_text(WEB)
    (tmp_path / "compose.yaml").write_text(WEB)
    found = resolve(settings(tmp_path, stack=stack, **values))
    assert found.unused == told
    assert whats(found.warnings) == [f"{name} lies beside compose.yaml and is not used" for name in told]
    for warning, name in zip(found.warnings, told, strict=True):
        assert f"`composeFile: [compose.yaml, {name}]`" in warning.meaning
        assert warning.fix == f"pulumi config set composeFile compose.yaml --stack {stack}"


def test_what_a_file_lacks_may_be_in_one_that_lies_beside(tmp_path: Path) -> None:
    (tmp_path / "compose.override.yaml").write_text("volumes: {data: }\n")
    problems = problems_of(tmp_path, "services: {web: {image: x, volumes: ['data:/data']}}")
    assert problems[0].what.startswith('compose.yaml: service "web" refers to undefined volume data')
    assert whats(problems[1:]) == ["compose.override.yaml lies beside compose.yaml and is not used"]
    assert problems[1].fix == (
        "pulumi config set --path 'composeFile[0]' compose.yaml --stack test && "
        "pulumi config set --path 'composeFile[1]' compose.override.yaml --stack test"
    )


# --- profiles


def test_profiles_are_a_setting_that_comes_before_composes_own_variable(tmp_path: Path) -> None:
    text = "services: {web: {image: x}, a: {image: x, profiles: [a, b]}, c: {image: x, profiles: [c]}}"
    cases: list[tuple[Any, dict[str, str], set[str]]] = [
        ([], {}, {"web"}),
        (["a"], {}, {"web", "a"}),
        ("b, c", {}, {"web", "a", "c"}),
        (["*"], {}, {"web", "a", "c"}),
        ([], {"COMPOSE_PROFILES": "c"}, {"web", "c"}),
        (["a"], {"COMPOSE_PROFILES": "c"}, {"web", "a"}),
    ]
    for profiles, variables, services in cases:
        assert set(model(tmp_path, text, profiles=profiles, variables=variables)["services"]) == services
    [problem] = problems_of(tmp_path, text.replace("[c]", "[extra]"), profiles=["extar"])
    assert problem.fix == "pulumi config set --path 'profiles[0]' extra --stack test"
    [problem] = problems_of(tmp_path, text, profiles=["a", "d"])
    assert problem.what == "profiles[1]: no service has the profile 'd'"
    assert problem.fix == "pulumi config rm --path 'profiles[1]' --stack test"


# --- values that the stack lacks, where Compose takes no empty one


UNREADABLE = [
    # a service in which an empty value is no reading, the value that the folder's `.env` has
    ({"volumes": ["${PLACE}:/data"]}, "./library"),
    ({"volumes": ["${PLACE}/sub:/data:ro"]}, "./library"),
    ({"volumes": ["$PLACE:/data"]}, "/srv/library"),
    ({"volumes": [{"type": "bind", "source": "${PLACE}", "target": "/data"}]}, "library"),
    ({"healthcheck": {"test": ["NONE"], "retries": "${PLACE}"}}, "3"),
    ({"read_only": "${PLACE}"}, "false"),
    ({"ports": ["${PLACE}:80"]}, "8080"),
    ({"ports": ["80:${PLACE}"]}, "8080"),
    ({"env_file": ["${PLACE}/.env_web"]}, "."),
]


@pytest.mark.parametrize("dotenv", [True, False])
@pytest.mark.parametrize(("service", "value"), UNREADABLE)
def test_a_file_that_takes_no_empty_value_is_read_as_if_it_had_one(
    tmp_path: Path, service: dict[str, Any], value: str, *, dotenv: bool
) -> None:
    (tmp_path / ".env_web").touch()
    (tmp_path / "library" / "sub").mkdir(parents=True)
    if dotenv:
        (tmp_path / ".env").write_text(f"PLACE={value}\n")
    text = {"services": {"web": {"image": "nginx", "environment": {"A": "$OTHER"}, **service}}}
    problems = [each for each in problems_of(tmp_path, json.dumps(text)) if each.code]
    assert whats(problems) == [f"variable {name} of the Compose file has no value" for name in ("OTHER", "PLACE")]
    if dotenv or "env_file" not in service:
        assert resolve(settings(tmp_path)).model["services"]["web"]["image"] == "nginx"
    assert application(tmp_path, json.dumps(text), variables={"PLACE": value, "OTHER": "x"})


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ({"volumes": ["${PLACE}:/data"], "imag": "x"}, "Additional property imag is not allowed"),
        ({"volumes": ["${PLACE}:/data"], "depends_on": ["gone"]}, "gone"),
        ({"volumes": ["${PLACE}:/data"], "env_file": ["${PLACE}/.env_web"]}, ""),
        ({"ports": ["${PLACE}:80"], "depends_on": ["$PLACE"]}, ""),
        ({"volumes": ["nowhere:/data"], "command": "${PLACE}"}, "undefined volume nowhere"),
    ],
)
def test_what_compose_says_of_a_guessed_value_is_not_repeated(
    tmp_path: Path, broken: dict[str, Any], complaint: str
) -> None:
    problems = problems_of(tmp_path, json.dumps({"services": {"web": {"image": "nginx", **broken}}}))
    assert problems[0].subject == "PLACE"
    assert [complaint in each.what for each in problems[1:]] == [True] * bool(complaint)


def test_what_compose_says_of_a_value_in_dotenv_is_told_without_a_secret(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"PLACE=./x\nDB_PASSWORD={CANARY}\n")
    service = {"image": "nginx", "volumes": ["${PLACE}:/data"], "ports": ["${DB_PASSWORD}:80"], "depends_on": ["gone"]}
    problems = problems_of(tmp_path, json.dumps({"services": {"web": service}}))
    assert CANARY not in str(problems)
    assert {each.subject for each in problems} >= {"PLACE", "DB_PASSWORD"}
    assert len(problems) > len({"PLACE", "DB_PASSWORD"})


def test_a_variable_that_must_not_be_empty_and_is_empty_is_asked_for_once(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "services: {web: {image: 'nginx:${TAG:?}'}}", variables={"TAG": ""})
    assert whats(problems) == ["variable TAG of the Compose file has no value"]


@pytest.mark.parametrize(
    ("names", "meaning", "fix"),
    [
        ([], "there is nothing to deploy", "pulumi config set application --stack test < /dev/tty"),
        (["docker-compose.prod.yml"], "there is docker-compose.prod.yml",
         "pulumi config set composeFile docker-compose.prod.yml --stack test"),
        (["compose.base.yaml", "docker-compose-prod.yml"], "there are compose.base.yaml, docker-compose-prod.yml",
         "pulumi config set composeFile --stack test < /dev/tty"),
    ],
)  # fmt: skip
def test_a_compose_file_of_another_name_is_named(tmp_path: Path, names: list[str], meaning: str, fix: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(SlipwayError) as refused:
        resolve(settings(tmp_path))
    [problem] = refused.value.problems
    assert problem.meaning.endswith(meaning)
    assert problem.fix == fix


# --- texts that Compose's own YAML loses something of

TEXTS = [
    "\nfirst", "\n\nfirst\n", "\n", "\n\n", "  lead\nx", "\n  lead\nx", "a\n", "\tx\n\ty", " ", "\n ", "\n\tx", "\n#x",
    "\tx", "a\tb", "a\n\tb", "\t", "\n\t\n", "x\n\n", "\r\nx", "\n- a", "\n$$x", "|2-\n  x", "-tab-", "\n<&>\"'\\",
    "\nü 🚀\n", "\u2028x\n", "x\u2029\ty",
]  # fmt: skip


def test_every_text_is_what_the_file_says(tmp_path: Path) -> None:
    found = web(
        tmp_path,
        environment={f"V{number}": text for number, text in enumerate(TEXTS)},
        command=TEXTS,
        labels={"x\ty": "\nx"},
    )
    assert dict(zip(TEXTS, found["command"], strict=True)) == dict(zip(TEXTS, TEXTS, strict=True))
    assert [found["environment"][f"V{number}"] for number in range(len(TEXTS))] == TEXTS
    assert found["labels"] == {"x\ty": "\nx"}


def test_what_begins_with_x_stays_beside_such_a_text(tmp_path: Path) -> None:
    found = web(tmp_path, command=["\nx"], **{"x-slipway": {"route": "/", "port": 80, "a": "\tb"}})
    assert (found["command"], found["x-slipway"]) == (["\nx"], {"route": "/", "port": 80, "a": "\tb"})
