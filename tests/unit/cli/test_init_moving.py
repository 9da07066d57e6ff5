"""`slipway init --from`: what is read of a running project, written into the stack, and said of what differs."""

# ruff: noqa: F811  # fixtures of another module

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY
from test_init_command import Engine, Init, engine, init, program, said, shown, stack  # noqa: F401  # fixtures

from slipway.contract.problems import SlipwayError
from slipway.hosts import running_project

ANONYMOUS = "ab" * 32
COMPOSE = """\
name: shop
services:
  api:
    image: registry.example/shop/api:${TAG:-latest}
    environment: {DATABASE_PASSWORD: "${DATABASE_PASSWORD}", LEVEL: "${LEVEL:-info}"}
    x-slipway: {route: /, port: 80}
    volumes: ["./uploads:/uploads"]
  db:
    image: postgres:16
    volumes: ["database:/var/lib/postgresql/data"]
  mailer: {image: "mailer:1"}
  extra: {image: "extra:1"}
volumes: {database: }
"""
ENV = """\
# written by the deployment
DATABASE_PASSWORD='Zk3$q!x"y'
export TAG=2f91c04
LEVEL=debug
DOMAIN=shop.example
STRIPE=sk_live_4eC39HqLyjWDarjtT1zdp7dc
COMPOSE_PROJECT_NAME=shop
DOCKER_HOST=unix:///run/docker.sock
DOCKER_IMAGE_BACKEND=shop/api
"""


def container(
    service: str,
    *,
    image: str,
    project: str = "shop",
    ports: tuple[int, ...] = (),
    env: tuple[str, ...] = (),
    mounts: tuple[dict[str, Any], ...] = (),
    files: str = "",
    **config: Any,
) -> dict[str, Any]:
    return {
        "Id": f"{project}-{service}",
        "Name": f"/{project}-{service}-1",
        "Image": f"sha256:{image}",
        "Config": {
            "Image": image,
            "Env": ["PATH=/bin", *env],
            **config,
            "Labels": {
                "com.docker.compose.project": project,
                "com.docker.compose.service": service,
                "com.docker.compose.oneoff": "False",
                "com.docker.compose.project.working_dir": f"/srv/{project}",
                "com.docker.compose.project.config_files": files,
            },
        },
        "Mounts": list(mounts),
        "NetworkSettings": {
            "Ports": {f"{port}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(port)}] for port in ports},  # noqa: S104
            "Networks": {f"{project}_default": {}},
        },
    }


def volume(name: str, target: str) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Name": name,
        "Source": f"/var/lib/docker/volumes/{name}",
        "Destination": target,
        "RW": True,
    }


def folder(source: str, target: str, *, writable: bool = True) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Destination": target, "RW": writable}


RUNNING = [
    container("traefik", image="traefik:v3", ports=(80, 443), mounts=(folder("/srv/shop/acme", "/acme"),)),
    container("api", image="registry.example/shop/api:2f91c04", env=("DATABASE_PASSWORD=x", "OLD_FLAG=1"),
              mounts=(folder("/srv/shop/uploads", "/uploads"),)),
    container("db", image="postgres:15", ports=(5432,), mounts=(volume("shop_db", "/var/lib/postgresql/data"),)),
    container("cache", image="redis:7", mounts=(volume(ANONYMOUS, "/data"),)),
    container("web", image="nginx:1", project="blog", ports=(443,)),
]  # fmt: skip


@pytest.fixture
def host(program: Path, engine: Engine) -> Path:
    """The programs `docker` and `ssh` of a host on which RUNNING runs; what ssh is asked for is in `asked`."""
    parts = engine.folder / "host"
    parts.mkdir()
    (parts / "containers").write_text(json.dumps(RUNNING))
    networks = [{"Name": "shop_default", "Labels": {"com.docker.compose.project": "shop",
                 "com.docker.compose.network": "default"}, "Containers": {"shop-api": {}, "blog-web": {}}}]  # fmt: skip
    (parts / "networks").write_text(json.dumps(networks))
    (parts / "images").write_text(json.dumps([{"Id": "sha256:postgres:15", "Config": {"Env": ["PATH=/bin"]}}]))
    for name, text in {
        "docker": f"""#!/bin/sh
case "$*" in
  "ps --filter label=com.docker.compose.project=shop "*) cat {parts}/folder;;
  "ps --all"*) printf 'shop/mailer\nblog/extra\n';;
  ps*) [ ! -f {parts}/down ] || {{ echo "Cannot connect to the Docker daemon" >&2; exit 1; }}; echo one; echo two;;
  "inspect --format"*) echo sha256:x;;
  inspect*) cat {parts}/containers;;
  "network ls"*) echo net;;
  "network inspect"*) cat {parts}/networks;;
  "image inspect"*) cat {parts}/images;;
  *) exit 9;;
esac
""",
        "ssh": f"""#!/bin/sh
echo "$*" >> {parts}/asked
[ "$1" != -G ] || {{ echo "user deploy"; echo "hostname 203.0.113.7"; echo "port 2222"; exit 0; }}
while [ "$1" != -- ]; do shift; done
[ "$2" != deploy@down ] || {{ echo "ssh: connect to host down port 22: Connection refused" >&2; exit 255; }}
[ "$2" != box@silent ] || exit 0
[ "$2" != box@noisy ] || echo "Welcome to box"
exec /bin/sh -c "$3"
""",
    }.items():
        (engine.folder / name).write_text(text)
        (engine.folder / name).chmod(0o755)
    (program.parent / "shop" / "compose.yaml").write_text(COMPOSE)
    return parts


@pytest.fixture
def served(host: Path, tmp_path: Path) -> str:
    """The folder of the project on the host; its `.env` is there."""
    place = tmp_path / "srv"
    place.mkdir()
    (place / ".env").write_text(ENV)
    content = (host / "containers").read_text().replace("/srv/shop", str(place))
    (host / "containers").write_text(content)
    (host / "folder").write_text(f"{place}\n{place}\n")
    return str(place)


def test_what_runs_becomes_a_stack_that_takes_its_place(
    init: Init,
    program: Path,
    engine: Engine,
    host: Path,
    served: str,
) -> None:
    derived = "DATABASE_HOST=db.${P}_default\nDATABASE_NAME=$P\nDOMAIN=${P}.example\nBUCKET=${P}-media\n"
    derived = derived.replace("P}", "COMPOSE_PROJECT_NAME}").replace("$P", "$COMPOSE_PROJECT_NAME")
    (Path(served) / ".env").write_text(ENV.replace("DOMAIN=shop.example\n", "") + derived)
    result = init("--from", f"box:{served}", "--yes")
    assert result.exit_code == 0, said(result)
    config = stack(program, "production")["config"]
    assert config["shop-deploy:moveFrom"] == ["shop"]
    assert config["shop-deploy:adoptVolumes"] == {"database": "shop_db"}
    assert config["shop-deploy:variables"] == {
        "TAG": "2f91c04",
        "LEVEL": "debug",
        "DOCKER_IMAGE_BACKEND": "shop/api",
        "DATABASE_HOST": "db.shop-production_default",
        "DATABASE_NAME": "shop",
        "BUCKET": "shop-production-media",
    }
    assert config["shop-deploy:domain"] == "shop.example"
    [machine] = config["shop-deploy:hosts"]
    assert (machine["address"], machine["user"], machine["port"]) == ("203.0.113.7", "deploy", 2222)
    for line in (
        "Takes over from shop; volumes: database (shop_db)",
        "secrets of its .env: DATABASE_PASSWORD, STRIPE",
        "left out of its .env: DOCKER_HOST (of the machine that runs Docker)",
        "- COMPOSE_PROJECT_NAME is shop-production in BUCKET, DATABASE_HOST: where that names data, such",
        "- traefik has port 80 and 443: the edge takes over from it",
        "- cache runs, and the Compose file has no such service: it is stopped with the rest",
        "- the data of cache at /data is in a volume without a name: give it one in the Compose file, then set",
        f"adoptVolumes.KEY to {ANONYMOUS}",
        "- db runs postgres:15, the Compose file says postgres:16",
        "- db has port 5432, which the Compose file does not publish",
        "- api has variables that the Compose file does not set: OLD_FLAG",
        "- api runs with another value of DATABASE_PASSWORD than the stack gives it",
        f"- api writes to the folder {served}/uploads, and would start with one of the stack's own (./uploads)",
        "- extra is new: it does not run there",
        "- blog-web-1, not of shop, has port 80 or 443, which the edge needs",
        "- on the network shop_default are containers of others",
    ):
        assert line in result.output
    assert "mailer" not in result.output.split("Differences")[1]  # it ran, and ended
    assert "acme" not in result.output  # of the proxy that goes
    asked = (host / "asked").read_text()
    assert "BatchMode=yes" in asked
    for secret in ("Zk3", "sk_live"):
        assert secret not in result.output
        assert secret not in (program / "Pulumi.production.yaml").read_text()
        assert secret not in (engine.folder / "calls").read_text()
    assert (engine.folder / "given").read_text() == 'Zk3$q!x"y\nsk_live_4eC39HqLyjWDarjtT1zdp7dc\n'
    calls = (engine.folder / "calls").read_text()
    assert "config set --secret --path secrets.DATABASE_PASSWORD" in calls


@pytest.mark.parametrize(("environment", "other"), [("production", "live"), ("live", "production")])
def test_a_project_that_is_called_as_the_stack_would_be_is_refused(
    init: Init, program: Path, host: Path, served: str, *, environment: str, other: str
) -> None:
    name = f"shop-{environment}"
    for part in (host / "containers", host / "networks"):
        part.write_text(part.read_text().replace('project": "shop"', f'project": "{name}"'))
    result = init("--environment", environment, "--from", f"box:{served}", "--yes")
    assert result.exit_code == 1
    assert f"the project that runs is called {name}, as stack {environment} would be on its hosts" in said(result)
    assert f"--environment {other} --from box:{served}" in said(result)
    assert not (program / f"Pulumi.{environment}.yaml").exists()
    again = init("--environment", other, "--from", f"box:{served}", "--yes")
    assert again.exit_code == 0, said(again)
    assert stack(program, other)["config"]["shop-deploy:moveFrom"] == [name]


def test_it_proposes_the_route_that_takes_the_place_of_a_label_and_names_the_proxy(
    init: Init, program: Path, served: str
) -> None:
    labels = (
        'labels: {traefik.http.routers.api.rule: "Host(`api.shop.example`)", '
        'traefik.http.services.api.loadbalancer.server.port: "3000"}'
    )
    file = program.parent / "shop" / "compose.yaml"
    file.write_text(COMPOSE.replace("x-slipway: {route: /, port: 80}", labels))
    result = init("--from", f"box:{served}", "--yes")
    assert result.exit_code == 0, said(result)
    for line in (
        "- services.api has the label traefik.http.routers.api.rule=Host(`api.shop.example`): it is left out",
        'set `x-slipway: {route: "api.${DOMAIN}", port: 3000}` in services.api of the Compose file',
        "- blog-web-1, not of shop, has port 80 or 443, which the edge needs",
    ):
        assert line in result.output


@pytest.mark.parametrize(
    ("place", "asked"), [("box@noisy", "-- box@noisy "), ("deploy@[2001:db8::1]", "-- deploy@2001:db8::1 ")]
)
def test_a_host_is_read_whatever_its_start_up_files_print_and_under_any_address(
    init: Init, program: Path, engine: Engine, served: str, *, place: str, asked: str
) -> None:
    result = init("--from", f"{place}:{served}", "--yes")
    assert result.exit_code == 0, said(result)
    assert asked in (engine.folder / "host" / "asked").read_text()
    assert stack(program, "production")["config"]["shop-deploy:moveFrom"] == ["shop"]


@pytest.mark.parametrize(
    "options", [("--from-running", "shop"), ("--from", "local", "--from-running", "shop"), ("--from", "local:{}")]
)
def test_the_project_may_run_on_this_machine(
    init: Init,
    program: Path,
    served: str,
    options: tuple[str, ...],
) -> None:
    result = init(*(each.format(served) for each in options), "-e", "live", "--yes")
    assert result.exit_code == 0, said(result)
    config = stack(program, "live")["config"]
    assert (config["shop-deploy:moveFrom"], config["shop-deploy:hosts"][0]["address"]) == (["shop"], "local")
    assert config["shop-deploy:variables"].keys() == {"TAG", "LEVEL", "DOCKER_IMAGE_BACKEND"}  # of the project's `.env`


@pytest.mark.parametrize(
    ("options", "code_and_words"),
    [
        (("--from", "box"), (1, "--from: 'box' names no project")),
        (("--from", "box:relative"), (1, "names no project")),
        (("--from", "box:/srv/other"), (1, "box: no Compose project runs from /srv/other")),
        (("--from", "box", "--from-running", "other"), (1, "running: blog, shop")),
        (("--from", "deploy@down:/srv/shop"), (1, "its containers cannot be read (ssh: connect to host down port 22")),
        (("--from", "box@silent:/srv/shop"), (1, "a start-up file such as ~/.bashrc ended the shell")),
        (("--from", "box:22:/srv/other"), (1, "--from box:22 --from-running PROJECT")),
        (("--from", "box:/srv/shp"), (1, "--from box --from-running shop")),
        (("--from", "box", "--from-running", "blgo"), (1, "--from box --from-running blog")),
        (("--from", "-oProxyCommand=x:/srv"), (1, "names no project")),
        (("--from", "box:/srv/blog", "-e", "a", "-e", "b"), (2, "one stack alone takes over from a project")),
    ],
)
def test_what_cannot_be_taken_over_is_said_before_anything_is_written(
    init: Init,
    program: Path,
    host: Path,
    options: tuple[str, ...],
    code_and_words: tuple[int, str],
) -> None:
    code, expected = code_and_words
    before = sorted(program.iterdir())
    result = init(*options, "--yes")
    assert result.exit_code == code
    assert expected in said(result)
    assert sorted(program.iterdir()) == before
    assert host.is_dir()


@pytest.mark.parametrize(
    ("env", "lines"),
    [
        ("A=1\nKEY=-----BEGIN KEY-----\nMIIEcanary\nab+/canary==\n", ["line 3 is not", "line 4 is not"]),
        ("A=1\nthis is canary\n1A=canary\n", ["line 2 is not NAME=VALUE", "line 3 names no variable"]),
        ("A='canary\n", ["line 1 is not NAME=VALUE"]),
        ("A=can\0ary\n", ["line 1 holds a zero byte"]),
        ("secure=canary\n", ["line 1 is called `secure`"]),
    ],
)
def test_a_line_of_a_hosts_dotenv_that_would_be_lost_is_named_and_nothing_is_written(
    init: Init, program: Path, served: str, env: str, lines: list[str]
) -> None:
    (Path(served) / ".env").write_text(env)
    result = init("--from", f"box:{served}", "--yes")
    assert result.exit_code == 1
    for each in lines:
        assert f".env of shop: {each}" in said(result)
    assert "canary" not in said(result)
    assert not (program / "Pulumi.production.yaml").exists()


def test_a_hosts_dotenv_is_read_as_compose_reads_it_there(
    init: Init, program: Path, engine: Engine, served: str
) -> None:
    (Path(served) / ".env").write_text("DB_PASSWORD:hunter2secretvalue\nAPI_TOKEN: abc-def\nX=${NO:-x}\n")
    result = init("--from", f"box:{served}", "--yes")
    assert result.exit_code == 0, said(result)
    assert stack(program, "production")["config"]["shop-deploy:variables"] == {"X": "x"}
    assert (engine.folder / "given").read_text() == "hunter2secretvalue\nabc-def\n"
    assert "hunter2" not in said(result) + (program / "Pulumi.production.yaml").read_text()


def test_nothing_of_a_hosts_dotenv_steers_a_program_here(init: Init, program: Path, served: str) -> None:
    (Path(served) / ".env").write_text(
        "LD_PRELOAD=/x.so\nGIT_SSH_COMMAND=/x\nspring.datasource.password=hunter2\nA=1\n"
    )
    result = init("--from", f"box:{served}", "--yes")
    assert result.exit_code == 0, said(result)
    assert stack(program, "production")["config"]["shop-deploy:variables"] == {"A": "1"}
    assert "left out of its .env: LD_PRELOAD (of the machine that runs Docker)" in said(result)
    assert "spring.datasource.password (a secret that no ${NAME} in a Compose file could refer to)" in said(result)


def test_what_a_host_calls_things_does_nothing_to_the_terminal(
    init: Init, program: Path, host: Path, served: str
) -> None:
    evil = "x\x1b[31mX\n::error::pwn <{%bad%}>"
    containers = json.loads((host / "containers").read_text())
    for each in containers:
        each["Config"] |= {"Image": evil, "Env": [f"{evil}=1"]}
        each["Name"] = evil
        for mount in each["Mounts"]:
            mount |= {"Source": mount["Source"] + evil, "Destination": mount["Destination"] + evil}
    containers[2]["Mounts"] += [{**containers[2]["Mounts"][0], "Name": evil}]
    containers[3]["Config"]["Labels"]["com.docker.compose.service"] = evil
    containers[4]["Config"]["Labels"]["com.docker.compose.project"] = evil
    (host / "containers").write_text(json.dumps(containers))
    (Path(served) / ".env").write_text("A='x\n::error::pwn\x1b[0m'\n")
    for _ in range(2):  # a second time, its stack is an edited one, whose changes are commands
        result = init("--from", f"box:{served}", "--yes", "--accept-host-key")
        text = said(result)
        assert "Takes over from shop" in text
        assert not [each for each in text if not each.isprintable() and each != "\n"]
        assert "\n::error" not in text
        assert "<{%" not in text
        file = program / "Pulumi.production.yaml"
        file.write_text("# mine\n" + file.read_text().replace("info", "warn"))


@pytest.mark.parametrize(
    "content", ["", "{bad", "{}", "null", "[1]", "[{}]", '[{"Config": 1}]', "[" * 100_000, "Warning: x\n[]"]
)
def test_a_host_whose_docker_says_something_else_is_an_error_in_words(init: Init, host: Path, content: str) -> None:
    (host / "containers").write_text(content)
    result = init("--from-running", "shop", "--from", "box", "--yes")
    assert result.exit_code == 1
    assert isinstance(result.exception, SlipwayError)
    assert "what its docker says is not what Docker says" in said(result) or "no Compose project" in said(result)


def test_no_more_is_read_of_a_host_than_a_project_can_have(
    init: Init, host: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = Path(served) / ".env"
    env.write_text("A=1\n" * 300_000)
    assert "the .env is larger than 1,000,000 bytes" in said(init("--from", f"box:{served}", "--yes"))
    env.unlink()
    env.symlink_to("/dev/zero")
    assert init("--from", f"box:{served}", "--yes").exit_code == 0  # it has no file of values
    monkeypatch.setattr(running_project, "_MOST", 100_000)
    (host / "containers").unlink()
    (host / "containers").symlink_to("/dev/zero")
    assert "it answers more than 100,000 bytes" in said(init("--from", f"box:{served}", "--yes"))


def test_a_secret_that_a_running_container_has_keeps_its_value(
    init: Init, program: Path, host: Path, served: str
) -> None:
    (program.parent / "shop" / "compose.yaml").write_text(
        COMPOSE.replace("environment: {", 'environment: {SESSION_KEY: "${SESSION_KEY}", OTHER_KEY: "${OTHER_KEY}", ')
    )
    containers = json.loads((host / "containers").read_text())
    api = next(each for each in containers if each["Id"] == "shop-api")
    api["Config"]["Env"] += [f"SESSION_KEY={CANARY}"]
    (host / "containers").write_text(json.dumps(containers))
    result = init("--from", f"box:{served}", "--yes")
    [command] = [each for each in result.output.splitlines() if "secrets.SESSION_KEY" in each]
    ssh, box, asked, *rest = shlex.split(command)
    assert (ssh, box, rest[:3]) == ("ssh", "box", ["|", "pulumi", "config"])
    assert 'index . 0) "SESSION_KEY"' in asked
    assert "com.docker.compose.project=shop --filter label=com.docker.compose.service=api" in asked
    assert "pulumi config set --secret --path 'secrets.OTHER_KEY' --stack production < /dev/tty" in result.output
    assert CANARY not in said(result)


@pytest.mark.parametrize(
    ("options", "taken", "new"),
    [
        (("--from", "box:/opt/shop/docker"), ["docker-mailer-1"], "extra is new"),
        (("--from", "box:/opt/blog/docker/"), ["docker-extra-1"], "mailer is new"),
        (("--from", "box", "--from-running", "docker"), ["docker-mailer-1", "docker-extra-1"], ""),
    ],
)
def test_of_two_folders_whose_projects_have_one_name_the_containers_are_taken_over_by_name(
    init: Init, program: Path, host: Path, *, options: tuple[str, ...], taken: list[str], new: str
) -> None:
    two = [container(name, image=f"{name}:1", project="docker") for name in ("mailer", "extra")]
    for each, folder in zip(two, ("/opt/shop/docker", "/opt/blog/docker"), strict=True):
        each["Config"]["Labels"]["com.docker.compose.project.working_dir"] = folder
    (host / "containers").write_text(json.dumps(two))
    result = init(*options, "--yes")
    assert result.exit_code == 0, said(result)
    assert stack(program, "production")["config"]["shop-deploy:moveFrom"] == taken
    assert (
        "- docker runs from several folders, which may be several applications: /opt/blog/docker (docker-extra-1), "
        "/opt/shop/docker (docker-mailer-1); moveFrom names the containers"
    ) in result.output
    assert new in result.output


VALUES = [
    # what the Compose file sets, what runs, whether that is said to differ
    ("${STRIPE}", CANARY, False),
    ("x ${STRIPE}$${A}", f"x {CANARY}${{A}}", False),
    ("${STRIPE}", "pa$1wor", True),  # of pa$1wor$D, as Compose reads a .env
    ("${STRIPE}", CANARY[:-1], True),
    ("${LEVEL:-info}", "info", False),
    ("${LEVEL:-info}", "debug", True),
    ("fixed", "fixed", False),
    ("", "", False),
    (None, "of the machine", False),
    ("${UNKNOWN_PASSWORD}", "anything", False),  # asked for already
]


@pytest.mark.parametrize(("text", "runs", "differs"), VALUES)
def test_a_value_that_differs_is_named_and_not_shown(
    init: Init, program: Path, host: Path, *, text: str | None, runs: str, differs: bool
) -> None:
    content = {"name": "shop", "services": {"mailer": {"image": "mailer:1", "environment": {"VALUE": text}}}}
    (program.parent / "shop" / "compose.yaml").write_text(json.dumps(content))
    (host / "images").write_text("[]")
    (host / "containers").write_text(json.dumps([container("mailer", image="mailer:1", env=(f"VALUE={runs}",))]))
    (host.parent / ".env").write_text(f"STRIPE={CANARY}\n")
    (host / "folder").write_text(f"{host.parent}\n")
    result = init("--from-running", "shop", "--yes")
    assert result.exit_code == 0, said(result)
    assert ("- mailer runs with another value of VALUE than the stack gives it" in result.output) is differs
    assert CANARY not in said(result)


@pytest.mark.parametrize(
    ("more", "taken_out"),
    [
        ({}, False),
        ({"ports": ["8000:8000"]}, False),
        ({"ports": ["80:80", "443:443"]}, True),
        ({"network_mode": "host"}, True),
    ],
)
def test_only_what_keeps_the_ports_of_the_edge_is_to_leave_the_compose_file(
    init: Init, program: Path, host: Path, *, more: dict[str, Any], taken_out: bool
) -> None:
    api = {"image": "api:1", "x-slipway": {"route": "/", "port": 80}}
    content = {"name": "shop", "services": {"web": {"image": "web:1", **more}, "api": api}}
    (program.parent / "shop" / "compose.yaml").write_text(json.dumps(content))
    (host / "containers").write_text(json.dumps([container("web", image="web:1", ports=(80,))]))
    result = init("--from-running", "shop", "--yes")
    assert "- web has port 80: the edge takes over from it" in result.output, said(result)
    assert ("; take web out of the Compose file" in result.output) is taken_out
    assert "hint: web publishes port 80:" not in result.output  # it is no application, with its port 443


@pytest.mark.parametrize(("holder", "edge"), [("blog-web-1", False), ("slipway-edge-0c54dc-2", True)])
def test_a_port_that_nobody_has_afterwards_is_named_and_the_edge_is_none_to_take_over_from(
    init: Init, program: Path, host: Path, *, holder: str, edge: bool
) -> None:
    api = {"image": "api:1", "x-slipway": {"route": "/", "port": 3000}}
    content = {"name": "shop", "services": {"api": api, "web": {"image": "web:1", "ports": ["8000-8002:80"]}}}
    (program.parent / "shop" / "compose.yaml").write_text(json.dumps(content))
    every = [
        container("api", image="api:1", ports=(3000, 8001)),
        container("gone", image="gone:1", ports=(80, 9000)),
        container("web", image="web:1", project="blog", ports=(80,)),
    ]
    every[-1]["Name"] = f"/{holder}"
    every[-1]["Config"]["Labels"] = {"dev.slipway.edge": "0c54dc"} if edge else {}
    (host / "containers").write_text(json.dumps(every))
    result = init("--from-running", "shop", "--yes")
    assert "- api has port 3000, which the Compose file does not publish" in result.output, said(result)
    assert "- gone has port 9000, which the Compose file does not publish" in result.output
    assert ("add its name to moveFrom" in result.output) is not edge


@pytest.mark.parametrize(("text", "runs", "differs"), [
    ("${STRIPE}", "of today", False), ("x ${STRIPE}$$", "x of today$", False), ("x ${STRIPE}", "y of today", True),
])  # fmt: skip
def test_a_secret_that_the_stack_has_already_is_not_said_to_differ(
    init: Init, program: Path, host: Path, *, text: str, runs: str, differs: bool
) -> None:
    content = {"name": "shop", "services": {"mailer": {"image": "mailer:1", "environment": {"VALUE": text}}}}
    (program.parent / "shop" / "compose.yaml").write_text(json.dumps(content))
    (host / "containers").write_text(json.dumps([container("mailer", image="mailer:1", env=(f"VALUE={runs}",))]))
    (host.parent / ".env").write_text(f"STRIPE={CANARY}\n")
    (host / "folder").write_text(f"{host.parent}\n")
    (program / "Pulumi.production.yaml").write_text(
        "config: {shop-deploy:registry: registry.example, shop-deploy:secrets: {STRIPE: {secure: v1:abc}}}\n"
    )
    result = init("--from-running", "shop", "--yes")
    assert result.exit_code == 0, said(result)
    assert ("another value of VALUE" in result.output) is differs


@pytest.mark.parametrize("stacks", [0, 1])
def test_what_slipway_runs_itself_is_not_offered_and_two_of_a_folder_are_something_to_take_over(
    init: Init, host: Path, stacks: int
) -> None:
    every = [*RUNNING, container("web", image="nginx:1", project="cel-production")]
    for each in every[-1:] * stacks:
        each["Config"]["Labels"]["dev.slipway.stack"] = "cel-production"
    every[-1]["Config"]["Labels"]["com.docker.compose.project.working_dir"] = "/srv/shop"
    (host / "containers").write_text(json.dumps(every))
    result = init("--from", "box:/srv/none", "--yes")
    assert ("cel-production" in said(result)) is (not stacks)
    result = init("--from", "box:/srv/shop", "--yes")
    assert ("several Compose projects run from /srv/shop (cel-production, shop)" in said(result)) is (not stacks)
    assert "nothing to take over" not in said(result)


def test_an_engine_that_takes_no_secret_leaves_it_to_the_next_run(
    init: Init,
    program: Path,
    engine: Engine,
    served: str,
) -> None:
    (engine.folder / "stacks").write_text("production\n")
    engine.refuses()
    result = init("--from-running", "shop", "--from", f"local:{served}", "--yes")
    assert result.exit_code == 0
    assert "2 secrets of the running project could not be set (the engine does not change" in said(result)
    assert "Zk3" not in said(result)
    assert (program / "Pulumi.production.yaml").is_file()


FILES = [
    # those that run, those of the repository, options, what the stack says, a part of what is said
    ("/srv/shop/compose.yaml", ["compose.yaml"], (), None, ""),
    ("", ["compose.yaml"], (), None, ""),
    ("/srv/shop/docker-compose.yml", ["compose.yaml", "docker-compose.yml"], (), "docker-compose.yml", ""),
    ("/srv/shop/a.yaml,/srv/shop/ops/b.yaml", ["a.yaml", "ops/b.yaml"], (), ["a.yaml", "ops/b.yaml"], ""),
    ("base.yaml,prod.yaml", ["base.yaml", "prod.yaml", "compose.yaml"], (), ["base.yaml", "prod.yaml"], ""),
    ("/srv/shop/compose.yaml,/srv/shop/prod.yaml", ["compose.yaml"], (), None,
     "it was started from compose.yaml with prod.yaml, this stack is read from compose.yaml"),
    ("/srv/shop/a.yaml,/srv/shop/b.yaml", ["a.yaml", "b.yaml"], ("--compose-file", "b.yaml"), "b.yaml",
     "it was started from a.yaml with b.yaml, this stack is read from b.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("running", "files", "options", "written", "line"), FILES)
def test_the_files_that_the_project_was_started_from_are_those_of_the_stack(
    init: Init,
    program: Path,
    host: Path,
    *,
    running: str,
    files: list[str],
    options: tuple[str, ...],
    written: Any,
    line: str,
) -> None:
    shop = program.parent / "shop"
    (shop / "compose.yaml").unlink()
    for name in files:
        (shop / name).parent.mkdir(exist_ok=True)
        (shop / name).write_text(COMPOSE)
    (host / "containers").write_text(json.dumps([container("mailer", image="mailer:1", files=running)]))
    result = init("--from-running", "shop", *options, "--yes")
    assert result.exit_code == 0, said(result)
    assert stack(program, "production")["config"].get("shop-deploy:composeFile") == written
    assert line in result.output
    assert ("was started from" in result.output) == bool(line)


def test_without_the_files_that_run_the_fix_names_those_that_there_are(init: Init, program: Path, host: Path) -> None:
    (program.parent / "shop" / "compose.yaml").rename(program.parent / "shop" / "docker-compose.prod.yaml")
    (host / "containers").write_text(json.dumps([container("mailer", image="m:1", files="/srv/shop/gone.yaml")]))
    result = init("--from-running", "shop", "--yes")
    words = "--environment production --from-running shop --host local --compose-file docker-compose.prod.yaml"
    assert said(result).endswith(f"slipway init ../shop {words}")
    assert init(*shlex.split(words), "--yes").exit_code == 0


COMMANDS = [
    # what the service sets, what runs, what its image has, a part of what is said
    ({}, {"Cmd": ["run"]}, {"Cmd": ["run"]}, ""),
    ({}, {"Cmd": ["serve", CANARY]}, {"Cmd": ["run"]}, "mailer runs with a command of its own"),
    ({"command": "serve --now"}, {"Cmd": ["serve", "--now"]}, {"Cmd": ["run"]}, ""),
    ({"command": ["serve"]}, {"Cmd": ["serve", CANARY]}, {}, "mailer runs with another command"),
    ({"command": ["serve"]}, {"Cmd": ["run"]}, {"Cmd": ["run"]}, "mailer runs with another command"),
    ({"command": ["serve"]}, {}, {}, "mailer runs with another command"),
    ({"command": ["sh", "-c", "echo $$HOME (${STRIPE})"]}, {"Cmd": ["sh", "-c", "echo $HOME (s3cr3t\n)"]}, {}, ""),
    ({"entrypoint": ["/x"]}, {"Entrypoint": ["/x"]}, {"Entrypoint": ["/y"], "Cmd": ["run"]}, ""),
    ({"entrypoint": ["/x"]}, {"Entrypoint": ["/y"]}, {"Entrypoint": ["/y"]}, "mailer runs with another entrypoint"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "running", "image", "line"), COMMANDS)
def test_a_command_that_differs_is_told_and_not_shown(
    init: Init,
    program: Path,
    host: Path,
    *,
    service: dict[str, Any],
    running: dict[str, Any],
    image: dict[str, Any],
    line: str,
) -> None:
    text = {"name": "shop", "services": {"mailer": {"image": "mailer:1", **service}}}
    (program.parent / "shop" / "compose.yaml").write_text(json.dumps(text))
    (host / "images").write_text(json.dumps([{"Id": "sha256:mailer:1", "Config": image}]))
    (host / "containers").write_text(json.dumps([container("mailer", image="mailer:1", **running)]))
    (host.parent / ".env").write_text("STRIPE=sk_live_4eC39HqLyjWDarjtT1zdp7dc\n")
    (host / "folder").write_text(f"{host.parent}\n")
    result = init("--from-running", "shop", "--yes")
    assert result.exit_code == 0, said(result)
    assert line in result.output
    assert ("runs with" in result.output) == bool(line)
    assert CANARY not in result.output
