"""What of a Compose file reaches the hosts, and what is refused or warned of."""

import base64
import json
import os
import shlex
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, LOCAL, REMOTE, ROOT, application, load, problems_of, settings, whats

from slipway.compose.application import read_application
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings import registry_names
from slipway.settings.load import collect_settings
from slipway.x_slipway.service import ServiceExtension

WEB = "services:\n  web:\n    image: nginx\n"


def described(**service: Any) -> str:
    """A Compose file with one service."""
    return json.dumps({"services": {"web": {"image": "nginx", **service}}})


# --- the whole file


def test_a_plain_compose_file_deploys(tmp_path: Path) -> None:
    found = application(tmp_path, WEB)
    assert found.document == {
        "name": "shop-test",
        "services": {"web": {"networks": {"default": None}}},
        "networks": {"default": {"name": "shop-test_default"}},
    }
    assert found.images == {"web": "nginx"}
    assert (found.builds, found.files, found.secrets, found.warnings) == ({}, {}, (), ())
    assert found.entries["web"] == ServiceExtension().document()
    assert (found.entries["web"]["strategy"], found.entries["web"]["routes"]) == ("recreate", [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")
def test_an_application_in_another_users_repository_names_the_command_that_trusts_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    os.chown(tmp_path, 4001, 4001)
    [problem] = problems_of(tmp_path, WEB)
    assert problem.fix == f"git config --global --add safe.directory {tmp_path}"


def test_the_example_deploys_without_a_warning() -> None:
    found = read_application(
        settings(ROOT / "example", compose_file="compose.yaml", secrets={"POSTGRES_PASSWORD": CANARY})
    )
    assert found.warnings == ()
    assert set(found.builds) == {"api", "scheduler", "web", "worker"}
    assert found.secrets == ("POSTGRES_PASSWORD",)
    assert CANARY not in str(found)


def test_what_only_a_developers_machine_needs_does_not_reach_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("FROM_FILE=1\n")
    found = application(
        tmp_path,
        """
        x-anchor: {a: 1}
        services:
          web:
            image: nginx
            pull_policy: always
            env_file: [a.env]
            attach: false
            develop: {watch: [{path: ., action: rebuild}]}
            x-other: {b: 2}
          debug: {image: nginx, profiles: [debug]}
        """,
    )
    assert found.document["services"] == {"web": {"environment": {"FROM_FILE": "1"}, "networks": {"default": None}}}
    assert set(found.document) == {"name", "services", "networks"}


def test_profiles_are_chosen_by_compose_s_own_variable(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx}, jobs: {image: nginx, profiles: [jobs]}}"
    assert set(application(tmp_path, text).images) == {"web"}
    assert set(application(tmp_path, text, variables={"COMPOSE_PROFILES": "jobs"}).images) == {"web", "jobs"}


@pytest.mark.parametrize("text", ["volumes: {a: }", "services: {}", "services: {a: {image: x, profiles: [p]}}"])
def test_a_file_without_services_is_a_problem(tmp_path: Path, text: str) -> None:
    [problem] = problems_of(tmp_path, text)
    assert problem.what == "the Compose file has no services"


def test_an_empty_command_or_entrypoint_is_kept_because_it_means_something(tmp_path: Path) -> None:
    found = application(tmp_path, described(command=[], entrypoint=""))
    assert found.document["services"]["web"]["command"] == []
    assert found.document["services"]["web"]["entrypoint"] == []


def test_settings_problems_and_the_files_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "compose.yaml").write_text("services: {web: {image: 'nginx:${TAG}'}}")
    found, problems = collect_settings(
        project="slipway", stack="test", configuration={"slipway:zzz": "1"}, encrypted=[], root=tmp_path, environment={}
    )
    with pytest.raises(SlipwayError) as raised:
        read_application(found, problems=problems)
    assert whats(list(raised.value.problems)) == [
        "stack configuration: unknown key 'zzz'",
        "hosts: the list is empty",
        "variable TAG of the Compose file has no value",
    ]


@pytest.mark.parametrize("text", ["services: [", None])
def test_earlier_problems_are_told_beside_a_file_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    if text:
        (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(SlipwayError) as raised:
        read_application(settings(tmp_path), problems=[Problem("earlier", "b", "c")])
    assert len(raised.value.problems) == 2
    with pytest.raises(SlipwayError) as raised:
        read_application(settings(tmp_path / "nowhere"), problems=[Problem("earlier", "b", "c")])
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize(
    ("image", "variables", "said", "fix"),
    [
        ("x/y:${EMPTY}", {"EMPTY": ""}, "x/y:", "pulumi config set --path 'variables.EMPTY' --stack test < /dev/tty"),
        ("${REGISTRY}/y:$TAG", {"REGISTRY": "", "TAG": "1"}, "/y:1",
         "pulumi config set --path 'variables.REGISTRY' --stack test < /dev/tty"),
        ("x/y:${UNSET:-}", {}, "x/y:", "correct services.web.image"),
        ("X/y Z", {}, "X/y Z", "correct services.web.image"),
        ("x/y:${TAG}", {"TAG": "a b"}, "x/y:a b", "correct services.web.image"),
    ],
)  # fmt: skip
def test_a_name_that_no_image_can_have_is_refused_before_a_registry_is_asked(
    tmp_path: Path, image: str, variables: dict[str, str], said: str, fix: str
) -> None:
    [problem] = problems_of(tmp_path, f"services:\n  web:\n    image: '{image}'\n", variables=variables)
    assert problem.what == f"services.web.image: '{said}' is not the name of an image"
    assert problem.fix == fix


def test_of_an_image_whose_variable_is_missing_only_that_is_said(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, "services:\n  web:\n    image: 'x/y:${TAG}'\n")
    assert problem.what == "variable TAG of the Compose file has no value"


def test_a_secret_that_hosts_could_not_hand_over_is_refused_and_one_of_a_build_alone_is_not(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").touch()
    text = "services: {web: {build: {context: ., secrets: [s]}, environment: %s}}\nsecrets: {s: {environment: S}}\n"
    secrets = {"S": CANARY * 10_000}
    assert problems_of(tmp_path, text % "{}", secrets=secrets) == []
    [problem] = problems_of(tmp_path, text % "{A: '${S}'}", secrets=secrets)
    assert problem.what == f"secrets.S: its value has {len(secrets['S']):,} bytes"
    assert CANARY not in str(problem)


# --- hosts


def test_services_run_on_their_hosts_and_everywhere_without_any(tmp_path: Path) -> None:
    text = """
        services:
          web: {image: nginx}
          db: {image: postgres, x-slipway: {hosts: [db-1]}}
    """
    hosts = [{**REMOTE, "name": name, "address": f"{name}.example.com"} for name in ("web-1", "db-1")]
    found = application(tmp_path, text, hosts=hosts)
    assert found.services_of("web-1") == ["web"]
    assert found.services_of("db-1") == ["db", "web"]


def test_an_unknown_host_names_the_nearest(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, described(**{"x-slipway": {"hosts": ["heer"]}}))
    assert problem.what == "services.web.x-slipway.hosts: 'heer' is not a host of stack test"
    assert problem.meaning == "did you mean 'here'?"
    assert problem.fix == "name one of: here"


# --- extensions out of place


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x-slipway: {}\nservices: {web: {image: x}}", "x-slipway stands at the top of the Compose file"),
        ("services: {web: {image: x, x-slipaway: {}}}", "services.web.x-slipaway: unknown key"),
        ("services: {web: {image: x, x-shipway: {}}}", "services.web.x-shipway: unknown key"),
        ("x-slipwya: {}\nservices: {web: {image: x}}", "x-slipwya: unknown key"),
    ],
)
def test_an_extension_that_nothing_would_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert whats(problems_of(tmp_path, text)) == [said]


def test_other_extensions_are_nobodys_business(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "x-common: {}\nservices: {web: {image: x, x-sliver: {}, x-ray: {}}}") == []


# --- dollars


def test_what_does_not_go_through_compose_again_has_single_dollars(tmp_path: Path) -> None:
    found = application(
        tmp_path,
        """
        services:
          web:
            build:
              context: .
              dockerfile_inline: |
                FROM scratch
                ENV PATH=$${PATH}:/x
              args: {PRICE: "$$5", GIVEN: "${V}"}
            labels: {price: "$$5"}
            x-slipway:
              port: 80
              migrate: {command: [sh, -c, "echo $$HOME"]}
              smoke: [{http: {path: "/$$x", json: {price: "$$5"}, contains: "$$"}}]
        """,
        variables={"V": "$x"},
    )
    build = found.builds["web"]
    assert build.dockerfile_inline == "FROM scratch\nENV PATH=${PATH}:/x\n"
    assert build.args == {"PRICE": "$5", "GIVEN": "$x"}
    extension = found.entries["web"]
    assert extension["migrate"]["command"] == ["sh", "-c", "echo $HOME"]
    assert extension["smoke"][0]["path"] == "/$x"
    assert extension["smoke"][0]["json"] == {"price": "$5"}
    assert found.document["services"]["web"]["labels"] == {"price": "$$5"}


# --- top-level secrets and configs


ELSEWHERE = {
    # where Compose would take the secret `tls-key` from → the names in the stack that take its place
    "file": ({"file": "./tls.key"}, ["TLS_KEY"]),
    "file with a name": ({"file": "./tls.key", "name": "other"}, ["TLS_KEY"]),
    "external": ({"external": True}, ["TLS_KEY"]),
    "external with a name": ({"external": True, "name": "v1"}, ["TLS_KEY"]),
    "environment": ({"environment": "MINE"}, ["MINE"]),
}


@pytest.mark.parametrize(("entry", "names"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_secret_of_the_compose_file_is_the_stacks_wherever_compose_has_it(
    tmp_path: Path, entry: dict[str, Any], names: list[str]
) -> None:
    services = {
        "web": {"image": "x", "secrets": [{"source": "tls-key", "target": "/run/tls", "mode": 0o400}]},
        "built": {"build": {"context": ".", "secrets": ["tls-key"]}},
    }
    (tmp_path / "Dockerfile").touch()
    text = json.dumps({"services": services, "secrets": {"tls-key": entry}})
    for name in names:
        found = application(tmp_path, text, secrets={name: CANARY, "other": "o"})
        kept = found.document["secrets"]["tls-key"]
        assert kept == {"environment": name, **({"name": kept["name"]} if "name" in kept else {})}
        assert found.secrets == (name,)
        assert found.builds["built"].secrets["tls-key"] == name
        assert CANARY not in str(found)
    [problem] = problems_of(tmp_path, text, secrets={"other": "o"})
    assert problem.what == f"secret {names[0]} is missing (secrets.tls-key of the Compose file needs it)"
    assert (problem.code, problem.subject) == ("secret-missing", names[0])
    assert problem.fix.startswith(f"pulumi config set --secret --path 'secrets.{names[0]}' --stack test < /dev/tty")


def test_a_secret_that_lies_in_its_file_is_set_from_there(tmp_path: Path) -> None:
    text = "services: {web: {image: x, secrets: [my_key]}}\nsecrets: {my_key: {file: './my key'}}"
    (tmp_path / "my key").write_text(CANARY)
    [problem] = problems_of(tmp_path, text)
    file = shlex.quote(os.path.relpath(tmp_path / "my key"))
    assert problem.fix == f"pulumi config set --secret --path 'secrets.MY_KEY' --stack test < {file}"
    assert "plain text" in problem.meaning
    assert application(tmp_path, text, secrets={"my_key": CANARY}).secrets == ("my_key",)  # or as the file names it


def test_a_config_that_only_swarm_has_is_refused(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, "services: {web: {image: x, configs: [c]}}\nconfigs: {c: {external: true}}")
    assert problem.what == "configs.c is kept outside of the Compose file (external)"


def test_a_secret_that_is_missing_says_which_and_why(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, "services: {web: {image: x, secrets: [s]}}\nsecrets: {s: {environment: S_KEY}}")
    assert problem.what == "secret S_KEY is missing (secrets.s of the Compose file needs it)"


def test_a_compose_secret_reaches_the_hosts_by_name_only(tmp_path: Path) -> None:
    found = application(
        tmp_path,
        "services: {web: {image: x, secrets: [{source: s, target: /etc/s, mode: 0400}]}}\n"
        "secrets: {s: {environment: S_KEY}, unused: {environment: OTHER}}",
        secrets={"S_KEY": CANARY},
    )
    assert found.secrets == ("S_KEY",)
    assert found.document["secrets"] == {"s": {"name": "shop-test_s", "environment": "S_KEY"}}
    assert CANARY not in str(found)


def test_a_secret_of_a_build_alone_does_not_reach_the_hosts(tmp_path: Path) -> None:
    found = application(
        tmp_path,
        "services: {web: {build: {context: ., dockerfile_inline: FROM scratch, "
        "secrets: [npm, {source: pip, target: index}]}}}\n"
        "secrets: {npm: {environment: NPM_TOKEN}, pip: {environment: PIP_TOKEN}}",
        secrets={"NPM_TOKEN": CANARY, "PIP_TOKEN": CANARY},
    )
    assert found.builds["web"].secrets == {"npm": "NPM_TOKEN", "index": "PIP_TOKEN"}
    assert found.secrets == ()
    assert "secrets" not in found.document


def test_a_config_that_is_a_variables_value_becomes_content(tmp_path: Path) -> None:
    text = (
        "services: {web: {image: x, configs: [plain, secret, content]}}\n"
        "configs: {plain: {environment: P}, secret: {environment: S}, content: {content: 'a $$x ${P} ${S}'}}"
    )
    found = application(tmp_path, text, variables={"P": "$5"}, secrets={"S": CANARY})
    contents = {key: entry["content"] for key, entry in found.document["configs"].items()}
    assert contents == {"plain": "$$5", "secret": "${S}", "content": "a $$x $$5 ${S}"}
    assert found.secrets == ("S",)
    missing = problems_of(tmp_path, text, secrets={"S": CANARY})
    assert "variable P of the Compose file has no value (configs.plain is its value)" in whats(missing)


def test_a_config_that_is_a_file_becomes_a_shipped_mount_and_other_content_another_address(tmp_path: Path) -> None:
    text = """
        services:
          web: {image: x, configs: [{source: app, target: /etc/app.conf}, other]}
        configs: {app: {file: ./app.conf}, other: {file: app.conf}}
    """
    (tmp_path / "app.conf").write_text("one")
    first = application(tmp_path, text)
    (tmp_path / "app.conf").write_text("two")
    second = application(tmp_path, text)
    mounts = first.document["services"]["web"]["volumes"]
    assert [mount["target"] for mount in mounts] == ["/etc/app.conf", "/other"]
    assert {mount["source"] for mount in mounts} == {f"@files/{next(iter(first.files))}/app.conf"}
    assert all(mount["read_only"] and mount["type"] == "bind" for mount in mounts)
    assert "configs" not in first.document
    assert "configs" not in first.document["services"]["web"]
    assert [base64.b64decode(entry["content"]) for entry in first.files.values()] == [b"one"]
    assert set(first.files).isdisjoint(second.files)
    (tmp_path / "app.conf").unlink()
    assert whats(problems_of(tmp_path, text)) == [
        "configs.app: ./app.conf does not exist",
        "configs.other: app.conf does not exist",
    ]


# --- volumes


def test_volumes_keep_their_identity(tmp_path: Path) -> None:
    found = application(
        tmp_path,
        """
        services: {db: {image: x, volumes: ["data:/a", "kept:/b", "outside:/c", "bound:/d", "/srv/x:/e"]}}
        volumes:
          data:
          kept: {name: shop_kept}
          outside: {external: true}
          bound: {driver_opts: {type: none, o: "bind,ro", device: ./some/../data}}
        """,
    )
    assert found.document["volumes"] == {
        "data": {"name": "shop-test_data"},
        "kept": {"name": "shop_kept"},
        "outside": {"name": "outside", "external": True},
        "bound": {
            "name": "shop-test_bound",
            "driver_opts": {"type": "none", "o": "bind,ro", "device": "@data/data"},
        },
    }
    assert found.document["services"]["db"]["volumes"][-1]["source"] == "/srv/x"


def test_destroy_removes_only_volumes_that_the_file_has(tmp_path: Path) -> None:
    text = "services: {db: {image: x, volumes: ['data:/a', 'out:/b']}}\nvolumes: {data: , out: {external: true}}"
    assert problems_of(tmp_path, text, remove_volumes=["data"]) == []
    problems = problems_of(tmp_path, text, remove_volumes=["dataa", "out"])
    assert [(problem.what, problem.meaning) for problem in problems] == [
        ("removeVolumes: 'dataa' is not a volume of the Compose file's own", "did you mean 'data'?"),
        ("removeVolumes: 'out' is not a volume of the Compose file's own", "`pulumi destroy` could not remove it"),
    ]


# --- images and the mirror


@pytest.mark.parametrize(
    ("image", "mirrored"),
    [
        ("nginx", "mirror.example:5000/library/nginx"),
        ("nginx:1.27", "mirror.example:5000/library/nginx:1.27"),
        ("nginx@sha256:abc", "mirror.example:5000/library/nginx@sha256:abc"),
        ("nginx:1.27@sha256:abc", "mirror.example:5000/library/nginx:1.27@sha256:abc"),
        ("library/nginx", "mirror.example:5000/library/nginx"),
        ("valkey/valkey:8", "mirror.example:5000/valkey/valkey:8"),
        ("docker.io/nginx", "mirror.example:5000/library/nginx"),
        ("docker.io/library/nginx:1", "mirror.example:5000/library/nginx:1"),
        ("index.docker.io/grafana/grafana", "mirror.example:5000/grafana/grafana"),
        ("ghcr.io/acme/app:1", "ghcr.io/acme/app:1"),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/app", "localhost:5000/app"),
        ("registry:5000/app", "registry:5000/app"),
        ("a/b/c:1", "mirror.example:5000/a/b/c:1"),
    ],
)
def test_only_images_of_docker_hub_go_through_the_mirror(image: str, mirrored: str) -> None:
    assert registry_names.mirrored(image, "mirror.example:5000") == mirrored
    assert registry_names.mirrored(image, "") == image


def test_the_mirror_of_the_stack_is_the_one(tmp_path: Path) -> None:
    found = application(tmp_path, WEB, mirror="mirror.example:5000")
    assert found.images == {"web": "mirror.example:5000/library/nginx"}


# --- warnings


@pytest.mark.parametrize(
    ("service", "warnings"),
    [
        ({"healthcheck": {"test": "true"}}, ["services.web has no restart policy"]),
        ({"healthcheck": {"test": "true"}, "restart": "always"}, []),
        ({"healthcheck": {"test": "true"}, "restart": "no"}, []),
        ({"healthcheck": {"test": "true"}, "deploy": {"restart_policy": {"condition": "any"}}}, []),
        ({}, []),
    ],
)
def test_a_long_running_service_without_restart_policy_is_warned_of(
    tmp_path: Path, service: dict[str, Any], warnings: list[str]
) -> None:
    found = application(tmp_path, described(**service))
    assert whats(list(found.warnings)) == warnings


def test_a_one_off_that_others_wait_for_needs_no_restart_policy(tmp_path: Path) -> None:
    found = application(
        tmp_path,
        "services: {once: {image: x, healthcheck: {test: 'true'}}, "
        "web: {image: x, depends_on: {once: {condition: service_completed_successfully}}}}",
    )
    assert found.warnings == ()


def test_a_fixed_container_name_is_warned_of(tmp_path: Path) -> None:
    found = application(tmp_path, described(container_name="web"))
    assert whats(list(found.warnings)) == ["services.web.container_name fixes the name of the only container"]
    assert found.document["services"]["web"]["container_name"] == "web"
    services = {name: {"image": "x", "container_name": f"the-{name}"} for name in ("a", "b", "c")}
    found = application(tmp_path, json.dumps({"services": {**services, "d": {"image": "x"}}}))
    assert whats(list(found.warnings)) == ["services.a, b, c: container_name fixes the name of the only container"], (
        "an application that names all of them gets one warning"
    )


# --- everything at once


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        """
        x-slipway: {}
        services:
          web:
            build: {context: ./nowhere, network: mine}
            hostname: "web-${S}"
            x-slipway: {strategy: rolling-ish, hosts: [zzz], prot: 80}
            volumes: ["./gone.conf:/a:ro", "~you/x:/b"]
          db:
            image: postgres:${TAG}
            secrets: [tls]
            x-slipway: {strategy: recreat, smoke: [{http: {}}]}
        secrets: {tls: {file: ./tls.key}}
        """,
        secrets={"S": CANARY},
        registry="",
        remove_volumes=["none"],
    )
    beginnings = [
        "variable TAG", "secret S stands in services.web.hostname", "x-slipway stands at the top",
        "secret TLS is missing (secrets.tls of the Compose file needs it)", "services.web.x-slipway.prot: unknown key",
        "services.db.x-slipway.strategy: unknown strategy 'recreat'",
        "services.db.x-slipway.smoke: a check names no port", "services.web.build.context: ./nowhere",
        "services.web.build.network: 'mine' is not", "registry: not set",
        "services.web: ./gone.conf is neither", "services.web: the mount at /b is of ~you/x", "removeVolumes: 'none'",
    ]  # fmt: skip
    for beginning in beginnings:
        assert any(what.startswith(beginning) for what in whats(problems)), (beginning, whats(problems))
    assert all(problem.what and problem.meaning and problem.fix for problem in problems)
    assert CANARY not in str(problems)


def test_the_settings_of_the_stack_files_read_the_example(tmp_path: Path) -> None:
    """The whole way from the engine's configuration to an application, as `make up` goes it."""
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "compose.yaml").write_text(textwrap.dedent(WEB))
    found = read_application(load(tmp_path, {"hosts": json.dumps([LOCAL])}, stack="local"))
    assert found.stack == "example-local"


@pytest.mark.parametrize(
    ("grace", "deadline", "fix"),
    [
        ("10s", 600, ""),
        ("8m", 600, ""),  # beside 120 s until its successor is healthy
        ("8m1s", 600, "601"),
        ("1h", 600, "3720"),
        ("1h", 3720, ""),
        ("20s", 30, "140"),
        ("15s", 30, ""),
    ],
)
def test_a_stop_that_the_deadline_leaves_no_time_for_is_warned_of(
    tmp_path: Path, grace: str, deadline: int, fix: str
) -> None:
    service = described(stop_grace_period=grace, restart="always")
    found = application(tmp_path, service, deadline=deadline).warnings
    wanted = [f"pulumi config set deadline {fix} --stack test"] if fix else []
    assert [problem.fix for problem in found] == wanted
