"""The packed agent against the real Docker engine of this machine: what no simulation can show.

Orchestration is exhausted on the simulated machine (tests/unit/agent/orchestration), whose engine is held against the
real one in `test_fake_docker_is_true`.
"""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_harness import (
    BASE,
    PORT,
    REGISTRY,
    Agent,
    Ended,
    docker,
    document,
    eventually,
    image,
    pack,
    release,
    service,
)  # fmt: skip
from local_servers import free_port

from dev.toolchain.golang import ensure_compose
from slipway.compose.schema_check import checked
from slipway.contract.canonical import release_id

CANARY = "canary-S3cr3t$value"
HTTP = {"kind": "http", "port": PORT, "deadline": 3, "path": "/health"}


def usable() -> bool:
    """An engine here, and the registry with the base image."""
    if shutil.which("docker") is None:
        return False
    try:
        with socket.create_connection(("127.0.0.1", int(REGISTRY.partition(":")[2])), 2):
            pass
    except OSError:
        return False
    return subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.skipif(not usable(), reason="needs a Docker engine, the local registry and the base image in it"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield pack(Path(folder, "agent.pyz"))


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    return {version: image(version) for version in ("1", "2", "3")}


@pytest.fixture
def agent(archive: Path, tmp_path: Path) -> Iterator[Agent]:
    found = Agent(archive, tmp_path / "home", f"agt{uuid.uuid4().hex[:8]}")
    yield found
    for process in found.processes:  # a test that failed halfway leaves its agent at work
        process.kill()
        process.wait()
    for identifier in [each for every in found.containers().values() for each in every]:
        docker("rm", "-f", identifier, check=False)
    for network in found.networks():
        docker("network", "rm", network, check=False)
    for volume in found.volumes():
        docker("volume", "rm", "-f", volume, check=False)


Build = Callable[..., dict[str, Any]]


@pytest.fixture
def shop(agent: Agent, images: dict[str, str]) -> Build:
    """A release of two services: `db` and, once that is healthy, `api`."""

    def build(api: str = "1", db: str = "1", **more: Any) -> dict[str, Any]:
        own = {
            "db": service(images[db], **more.pop("db_service", {})),
            "api": service(
                images[api], depends_on={"db": {"condition": "service_healthy"}}, **more.pop("api_service", {})
            ),
            **more.pop("extra", {}),
        }
        return release(agent.stack, own, **more)

    return build


# --- converging ------------------------------------------------------------------------------------------------------


def test_report_and_probe_keep_the_contract(agent: Agent, shop: Build) -> None:
    report = agent.deploy(shop(slipway={"api": {"smoke": [HTTP]}})).document
    checked("report", report)
    assert (report["outcome"], report["touched"]) == ("deployed", ["api", "db"])
    probe = agent.probe()
    checked("probe", probe)
    assert probe["live"]["release"] == report["release"]
    assert probe["drift"] == []
    assert probe["live"]["services"]["api"]["containers"][0]["health"] == "healthy"


def test_compose_and_the_watch_show_nothing_of_the_deployers_environment(agent: Agent, images: dict[str, str]) -> None:
    rules = {"seconds": 120, "minimum": 50, "error_relative": 0.1, "error_floor": 0.01, "latency_relative": 0.2,
             "latency_floor": 0.05, "restarts": 2, "notify": None}  # fmt: skip
    wanted = document(agent.stack, release(agent.stack, {"api": service(images["1"])}), watch=rules)
    process = agent.popen("deploy", PULUMI_CONFIG_PASSPHRASE=CANARY, GITHUB_TOKEN=CANARY)
    assert process.stdin
    process.stdin.write(json.dumps(wanted))
    process.stdin.close()
    started: dict[str, bytes] = {}

    def look() -> bool:
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes()
                if agent.stack.encode() in words and int(entry.name) != process.pid and environment:
                    started["watch" if b"watch" in words else "compose"] = environment
        return process.poll() is not None and "watch" in started

    eventually(look)
    assert process.returncode == 0
    assert started.keys() == {"watch", "compose"}
    assert not any(CANARY.encode() in environment for environment in started.values())
    agent.destroy()  # also ends the watch


def test_probe_of_a_host_without_the_stack_changes_nothing(agent: Agent) -> None:
    probe = agent.probe()
    checked("probe", probe)
    assert probe["live"] is None
    assert not agent.home.exists()


def test_secret_arrives_as_it_is_also_as_a_file_and_its_rotation_is_seen(agent: Agent, shop: Build) -> None:
    wanted = shop(
        api_service={
            "environment": {"TOKEN": "${TOKEN}"},
            "secrets": [{"source": "token", "target": "token"}],
        },
        secrets=("TOKEN",),
    )
    content = {**wanted["compose"], "secrets": {"token": {"environment": "TOKEN"}}}
    wanted = with_compose(wanted, content)
    for value in ("first-value", 'se$cond "va\'lue"\n☃'):
        assert "api" in agent.deploy(wanted, secrets={"TOKEN": value}).document["touched"]
        api = agent.containers()["api"][0]
        assert docker("exec", api, "cat", "/run/secrets/token") == value
        assert f"TOKEN={value}" in json.loads(docker("inspect", api))[0]["Config"]["Env"]


def with_compose(wanted: dict[str, Any], compose: dict[str, Any]) -> dict[str, Any]:
    """The release with another Compose file and the id that belongs to it."""
    content = {**{key: value for key, value in wanted.items() if key != "id"}, "compose": compose}
    return {"id": release_id(content), **content}


@pytest.fixture(scope="module", params=["debian", "today"])
def compose(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment with an older and with today's Compose: they differ in what they do at a container's start."""
    return {"DOCKER_CONFIG": str(ensure_compose())} if request.param == "today" else {}


def test_who_is_replaced_together_and_turned_back_has_its_secrets_and_configs(
    agent: Agent, images: dict[str, str], compose: dict[str, str]
) -> None:
    own = {
        "secrets": [{"source": "token", "target": "/run/secrets/token"}],
        "configs": [{"source": "conf", "target": "/etc/app.conf"}],
    }
    for version, mode in (("1", ""), ("2", ""), ("2", "sick")):
        services = {name: service(images[version], environment={"MODE": mode}, **own) for name in ("db", "cache")}
        wanted = release(agent.stack, services, secrets=("TOKEN",), configs={"conf": {"content": "token ${TOKEN}"}})
        wanted = with_compose(wanted, {**wanted["compose"], "secrets": {"token": {"environment": "TOKEN"}}})
        ended = agent.deploy(wanted, secrets={"TOKEN": "first-value"}, environment=compose)
        assert (ended.code != 0) == bool(mode), ended.err
        for [container] in agent.containers().values():
            found = docker("exec", container, "cat", "/run/secrets/token", "/etc/app.conf")
            assert found == "first-valuetoken first-value"


def test_other_settings_for_a_network_are_refused_and_the_way_out_leads_on(
    agent: Agent, shop: Build, compose: dict[str, str]
) -> None:
    """Today's Compose takes the first container off the network and fails; the older one leaves all as it was."""
    assert agent.deploy(shop(), environment=compose).code == 0
    name = f"{agent.stack}_default"
    refused = agent.deploy(shop("2", networks={"default": {"name": name, "internal": True}}), environment=compose)
    assert f"add `name: {name}-2` there" in refused.err
    assert agent.deploy(shop(), environment=compose).document["outcome"] == "unchanged"
    closed = {"networks": {"default": {"name": f"{name}-2", "internal": True}}}
    assert agent.deploy(shop("2", **closed), environment=compose).code == 0
    assert docker("network", "inspect", "--format", "{{.Internal}}", f"{name}-2") == "true"
    [api] = agent.containers()["api"]
    ask = "import urllib.request as u; print(u.urlopen('http://db:8000/', timeout=3).status)"
    assert docker("exec", api, "python", "-c", ask) == "200"


# --- failing ---------------------------------------------------------------------------------------------------------


def failing(agent: Agent, wanted: dict[str, Any], **more: Any) -> tuple[Ended, str]:
    ended = agent.deploy(wanted, **more)
    return ended, ended.error


def test_data_in_a_volume_without_a_name_outlives_every_release(agent: Agent, shop: Build) -> None:
    rolls = {"api": {"strategy": "rolling", "update": {"order": "start-first"}}}
    unnamed = {"volumes": [{"type": "volume", "target": "/data"}]}  # as an image's own VOLUME

    def data() -> str:
        return docker("exec", agent.containers()["api"][0], "cat", "/data/log")

    agent.deploy(shop(slipway=rolls, api_service=unnamed))
    docker("exec", agent.containers()["api"][0], "sh", "-c", "echo precious > /data/log")
    report = agent.deploy(shop(api="2", slipway=rolls, api_service=unnamed)).document
    assert (report["outcome"], report["touched"], data()) == ("deployed", ["api"], "precious")
    sick = {**unnamed, "healthcheck": {"test": ["CMD", "false"], "interval": "1s", "retries": 1}}
    failing(agent, shop(api="3", slipway=rolls, api_service=sick))
    assert data() == "precious"


def test_hanging_migration_is_ended_at_its_deadline_and_removed(agent: Agent, shop: Build) -> None:
    agent.deploy(shop())
    before = agent.containers()
    slipway = {"api": {"migrate": {"command": ["hang"], "deadline": 6}}}
    ended, error = failing(agent, shop("2", slipway=slipway))
    assert "the migration of api took longer than 6 s" in error
    assert "running hang" in ended.err
    assert agent.containers() == before


def test_ended_by_a_signal_it_goes_back_like_a_failure(agent: Agent, shop: Build) -> None:
    first = agent.deploy(shop()).document
    process = start(agent, document(agent.stack, shop("2", api_service={"environment": {"MODE": "sick"}})))
    eventually(lambda: agent.versions().get("api") == "2")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert "asked to end (SIGTERM)" in err
    assert f"rolled back to release {first['release']}" in err
    assert agent.versions()["api"] == "1"


def test_a_stop_that_compose_had_begun_is_awaited_on_the_way_back(agent: Agent, shop: Build) -> None:
    deaf = {"restart": "always", "stop_signal": "SIGWINCH", "stop_grace_period": "4s"}
    first = agent.deploy(shop(api_service=deaf)).document
    process = start(agent, document(agent.stack, shop("2", api_service=deaf)))
    eventually(lambda: len(agent.containers()["api"]) > 1)  # Compose has made its successor, and stops it
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert "had been told to stop, and that was waited for" in err
    assert f"rolled back to release {first['release']}" in err
    time.sleep(5)  # as long as Docker could still be at it
    assert agent.versions()["api"] == "1"
    assert agent.probe()["drift"] == []
    ended = agent.deploy(shop("2", api_service=deaf))
    assert f"{agent.stack}-api-1 did not stop when asked to and was killed" in ended.err


def test_lost_ssh_session_does_not_end_it_halfway(agent: Agent, shop: Build) -> None:
    agent.deploy(shop())
    process = start(agent, document(agent.stack, shop("2")))
    assert process.stderr is not None
    assert process.stdout is not None
    eventually((agent.folder / "lock").read_text)
    process.stderr.close()
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    assert agent.versions()["api"] == "2"
    assert agent.probe()["last"]["outcome"] == "deployed"


def start(agent: Agent, wanted: dict[str, Any], **environment: str) -> subprocess.Popen[str]:
    process = agent.popen("deploy", **environment)
    assert process.stdin is not None
    process.stdin.write(json.dumps(wanted))
    process.stdin.close()
    process.stdin = None
    return process


# --- crashing --------------------------------------------------------------------------------------------------------


def test_killed_the_next_run_converges(agent: Agent, shop: Build) -> None:
    """Every other moment is tried on the simulated machine."""
    migrate = {"command": ["mark", "/tmp/x"], "deadline": 20}
    slipway = {"api": {"migrate": migrate, "smoke": [HTTP]}}
    assert agent.deploy(shop("1", slipway=slipway)).code == 0
    wanted = shop("2", slipway=slipway)
    ended = agent.deploy(wanted, environment={"SLIPWAY_TEST_KILL_AFTER": "recreate:api:started"})
    assert ended.code == -signal.SIGKILL, ended.err
    assert agent.probe()["interrupted"] == f"{wanted['id']} at recreate:api started"
    again = agent.deploy(wanted)
    assert again.code == 0, again.err
    assert "an interrupted deployment" in again.err
    probe = agent.probe()
    assert (probe["interrupted"], probe["live"]["release"], probe["drift"]) == (None, wanted["id"], [])
    assert {name: len(each) for name, each in agent.containers().items()} == {"api": 1, "db": 1}
    assert agent.versions()["api"] == "2"


# --- what hosts and registries lack ----------------------------------------------------------------------------------


def port(number: int) -> dict[str, Any]:
    return {
        "ports": [
            {"target": PORT, "published": str(number), "protocol": "tcp", "host_ip": "127.0.0.1", "mode": "ingress"}
        ]
    }


def test_port_held_by_a_program_is_found_before_anything_is_touched(agent: Agent, shop: Build) -> None:
    number = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", number))
        holder.listen()
        _, error = failing(agent, shop(api_service=port(number)))
    assert f"port {number}/tcp that service api publishes is held by another program" in error
    assert agent.containers() == {}


def test_port_held_by_another_container_names_it_and_own_port_is_no_conflict(
    agent: Agent, shop: Build, images: dict[str, str]
) -> None:
    number = free_port()
    name = f"{agent.stack}-holder"
    docker("run", "-d", "--rm", "--name", name, "-p", f"127.0.0.1:{number}:{PORT}", images["1"])
    try:
        _, error = failing(agent, shop(api_service=port(number)))
        assert f"is held by {name}" in error
    finally:
        docker("rm", "-f", name)
    assert agent.deploy(shop(api_service=port(number))).code == 0
    assert agent.deploy(shop("2", api_service=port(number))).code == 0


def test_missing_volume_driver_is_found_before_anything_is_touched(agent: Agent, shop: Build) -> None:
    mount = [{"type": "volume", "source": "data", "target": "/data"}]
    _, error = failing(agent, shop(api_service={"volumes": mount}, volumes={"data": {"driver": "netapp"}}))
    assert "the volume driver netapp (volume data) is not installed" in error
    assert agent.containers() == {}


@pytest.mark.parametrize("kind", ["volumes", "networks"])
def test_missing_external_thing_is_found_before_anything_is_touched(agent: Agent, shop: Build, kind: str) -> None:
    use = {
        "volumes": {"volumes": [{"type": "volume", "source": "far", "target": "/x"}]},
        "networks": {"networks": {"far": None}},
    }
    wanted = shop(api_service=use[kind])
    compose = {
        **wanted["compose"],
        kind: {**wanted["compose"].get(kind, {}), "far": {"name": "no-such", "external": True}},
    }
    _, error = failing(agent, with_compose(wanted, compose))
    assert f"the external {kind[:-1]} no-such does not exist" in error
    assert agent.containers() == {}


def test_full_disk_stops_before_anything_is_touched(agent: Agent, shop: Build) -> None:
    _, error = failing(agent, shop(), options={"disk_minimum_mb": 10**9})
    assert "MB are free on" in error
    assert agent.containers() == {}


def test_image_that_does_not_exist_is_named(agent: Agent) -> None:
    missing = f"{REGISTRY}/slipway-agent-test/app:9@sha256:" + "0" * 64
    _, error = failing(agent, release(agent.stack, {"api": service(missing)}))
    assert f"does not exist in {REGISTRY}" in error


def test_registry_that_does_not_answer_is_named(agent: Agent) -> None:
    number = free_port()
    gone = f"127.0.0.1:{number}/app@sha256:" + "0" * 64
    _, error = failing(agent, release(agent.stack, {"api": service(gone)}))
    assert f"registry 127.0.0.1:{number} cannot be reached" in error


def test_image_for_another_architecture_is_refused_before_it_runs(agent: Agent) -> None:
    other = foreign_image()
    _, error = failing(agent, release(agent.stack, {"api": service(other)}))
    assert "arm64" in error or "architecture" in error
    assert agent.containers() == {}


def foreign_image() -> str:
    reference = f"{REGISTRY}/slipway-agent-test/foreign:1"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_text("x")
        subprocess.run(["tar", "-cf", f"{folder}/root.tar", "-C", folder, "file"], check=True)
        docker("import", "--platform", "linux/arm64", f"{folder}/root.tar", reference)
    docker("push", "-q", reference)
    digests: list[str] = json.loads(docker("image", "inspect", reference))[0]["RepoDigests"]
    return f"{reference}@{digests[0].partition('@')[2]}"


def test_without_docker_the_probe_says_so_and_a_deployment_is_refused(
    agent: Agent, shop: Build, tmp_path: Path
) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    probe = agent.run("probe", "--stack", agent.stack, **nowhere).document
    checked("probe", probe)
    assert "Docker is not running" in probe["problems"][0]["what"]
    assert probe["machine"]["docker"] is None
    ended = agent.deploy(shop(), environment=nowhere)
    assert "Docker is not running" in ended.error
    assert agent.run("destroy", "--stack", agent.stack, **nowhere).code == 1


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["probe"], ["probe", "--stack", "../x"], ["probe", "--stack"], ["deploy", "--force"]]
)
def test_wrong_command_line_is_exit_code_2(agent: Agent, arguments: list[str]) -> None:
    ended = agent.run(*arguments)
    assert ended.code == 2
    assert ended.error


@pytest.mark.parametrize("text", ["", "{", "[]", '{"contract": 1}'])
def test_bad_document_is_exit_code_2_and_changes_nothing(agent: Agent, text: str) -> None:
    ended = agent.run("deploy", stdin=text)
    assert ended.code == 2
    assert ended.error
    assert not agent.home.exists()


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_secret_values_are_nowhere_but_in_the_0600_file_and_the_containers_environment(
    agent: Agent, shop: Build
) -> None:
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.extend([str(path)] * (CANARY.encode() in path.read_bytes()))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    slipway = {"api": {"migrate": {"command": ["ok"], "deadline": 20}, "smoke": [HTTP]}}
    secrets = {
        "secrets": {"TOKEN": CANARY},
        "registries": [{"address": REGISTRY, "username": "u", "password": "canary-pass"}],
    }
    environment = {"TOKEN": "${TOKEN}"}
    try:
        good = agent.deploy(
            shop(api_service={"environment": environment}, secrets=("TOKEN",), slipway=slipway), **secrets
        )
        slipway["api"]["migrate"]["command"] = ["fail"]
        bad = agent.deploy(
            shop("2", api_service={"environment": environment}, secrets=("TOKEN",), slipway=slipway), **secrets
        )
        sick = agent.deploy(
            shop("3", api_service={"environment": {**environment, "MODE": "exit"}}, secrets=("TOKEN",)), **secrets
        )
    finally:
        done.set()
        watcher.join()
    assert (good.code, bad.code, sick.code) == (0, 1, 1)
    assert seen == []
    assert "boom: the migration cannot go on [TOKEN]" in bad.err
    assert "token [TOKEN]" in sick.err
    for ended in (good, bad, sick):
        assert "canary" not in ended.out + ended.err
    assert "canary" not in json.dumps(agent.probe())
    for path in agent.home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.is_dir() or "files" in path.parts
        if path.is_file() and path.name != "secrets.json":
            assert CANARY.encode() not in path.read_bytes(), path
    assert (agent.folder / "secrets.json").stat().st_mode & 0o777 == 0o600
    for identifiers in agent.containers().values():
        details = json.loads(docker("inspect", *identifiers))
        for each in details:
            each["Config"].pop("Env")
        assert "canary" not in json.dumps(details)


# --- fleet -----------------------------------------------------------------------------------------------------------


class Attendant:
    """The driver's end of a fleet's channel on one host."""

    def __init__(self, agent: Agent) -> None:
        self.process = agent.popen("attend", "--stack", agent.stack)
        self.probe = self.read()

    def read(self, seconds: float = 20.0) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert ready, "the attendant said nothing"
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def say(self, **verdict: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(verdict) + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.communicate(timeout=10)


@pytest.fixture
def attendant(agent: Agent) -> Iterator[Attendant]:
    found = Attendant(agent)
    yield found
    found.end()


FLEET = {"hosts": ["testhost", "other"], "leader": "testhost"}


def name_of(wanted: dict[str, Any]) -> str:
    return f"{wanted['release']['id']}/{wanted['convergence']}"


def test_fleet_goes_on_barrier_by_barrier(agent: Agent, shop: Build, attendant: Attendant) -> None:
    checked("probe", attendant.probe)
    wanted = document(agent.stack, shop(), fleet=FLEET, convergence="t1")
    process = start(agent, wanted)
    for phase in ("prepared", "migrated", "proven"):
        assert attendant.read() == {"deployment": name_of(wanted), "phase": phase, "reason": ""}
        assert (agent.containers() == {}) == (phase != "proven")
        attendant.say(deployment=name_of(wanted), go=phase)
    assert attendant.read()["phase"] == "done"
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert agent.probe()["convergence"] == "t1"


def test_fleet_without_its_driver_goes_back(agent: Agent, shop: Build, attendant: Attendant) -> None:
    first = agent.deploy(shop()).document
    wanted = document(agent.stack, shop("2"), fleet=FLEET)
    process = start(agent, wanted)
    assert attendant.read()["phase"] == "prepared"
    attendant.process.kill()
    attendant.process.communicate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the driver of this fleet deployment is gone" in err
    assert f"release {first['release']} still serves" in err


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_agent_stays_small(agent: Agent, archive: Path, shop: Build) -> None:
    assert archive.stat().st_size <= 158_000
    process = start(agent, document(agent.stack, shop(slipway={"api": {"smoke": [HTTP]}})))
    most = 0
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            status = Path("/proc", str(process.pid), "status").read_text()
            most = max(most, next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
        time.sleep(0.02)
    assert process.returncode == 0
    assert 5_000 < most <= 30_000
