"""The simulated engine and Compose do what the real ones do: each scenario on both, with the same observations.

What is compared is structure and order, never how long something took. The program in every container is one script
that behaves as its environment says; `programs.Program` says the same of the simulated one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent_harness import BASE
from test_agent_docker import usable

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from fake_machine import FakeConnection, World
from programs import Program

from slipway.agent import runtime
from slipway.agent.deadline import Deadline
from slipway.agent.docker.compose_cli import Compose, run_arguments, up_arguments
from slipway.agent.docker.docker_api import DockerApi, DockerError, find_socket
from slipway.agent.release.rendering import Rendered
from slipway.agent.state.stack_dir import StackFolder
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = [
    pytest.mark.skipif(not usable(), reason="needs a Docker engine, the local registry and the base image in it"),
    pytest.mark.timeout(120),
]

SECOND = 1_000_000_000
MARK = "dev.slipway.contract"
SCRIPT = """
import os, signal, sys, time
wanted = {name: float(os.environ.get(name, default)) for name, default in
          (("READY", "0"), ("EXITS", "inf"), ("CODE", "0"), ("STOPS", "0"))}
def stop(*_):
    time.sleep(wanted["STOPS"])
    os._exit(int(wanted["CODE"]))
signal.signal(signal.SIGTERM, signal.SIG_IGN if wanted["STOPS"] == float("inf") else stop)
print("started", flush=True)
begin = time.monotonic()
while time.monotonic() - begin < wanted["EXITS"]:
    if time.monotonic() - begin >= wanted["READY"]:
        open("/ready", "a").close()
    time.sleep(0.02)
sys.exit(int(wanted["CODE"]))
"""
COMMAND = ["python", "-S", "-c", SCRIPT]


def behaviour(environment: Mapping[str, str], _command: list[str]) -> Program:
    return Program(
        ready=float(environment.get("READY", "0")),
        exits=float(environment.get("EXITS", "inf")),
        code=int(environment.get("CODE", "0")),
        stops=float(environment.get("STOPS", "0")),
        commands={"bash": (0.0, 3, "out\nbad\n"), "sh": (1.0, 4, "")},
        silent=("sh",),
    )


class Bench:
    """One engine, real or not, and the containers that a scenario makes on it."""

    def __init__(self, image: str, name: str, home: Path) -> None:
        self.image = image
        self.name = name
        self.home = home
        self.api = DockerApi(find_socket())
        self.ids: list[str] = []

    def make(self, name: str = "a", *, start: bool = True, **more: Any) -> str:
        """A container; its environment, host configuration and networks as the API has them."""
        environment = more.pop("env", {})
        networks = more.pop("networks", None)
        body = {
            "Image": self.image,
            "Cmd": COMMAND,
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "Labels": {MARK: self.name, **more.pop("labels", {})},
            "HostConfig": more.pop("host", {}),
            **more,
        }
        if networks is not None:
            body["NetworkingConfig"] = {"EndpointsConfig": networks}
            body["HostConfig"].setdefault("NetworkMode", next(iter(networks)))
        made = self.api.create_container(f"{self.name}-{name}", body)
        self.ids.append(made)
        if start:
            self.api.start(made)
            self.begun(made)
        return made

    def begun(self, identifier: str) -> None:
        """Wait until its program has begun, and so knows what to do with signals."""
        end = runtime.monotonic() + 15
        while not self.api.logs(identifier):
            assert runtime.monotonic() < end
            runtime.sleep(0.02)

    def look(self, identifier: str) -> dict[str, Any]:
        """What it says about the state of a container; never times."""
        details = self.api.container(identifier)
        if details is None:
            return {"gone": True}
        state = details["State"]
        return {
            "status": state["Status"],
            "running": state["Running"],
            "restarting": state["Restarting"],
            "code": state["ExitCode"],
            "restarts": details["RestartCount"],
            "health": (state.get("Health") or {}).get("Status"),
        }

    def until(self, identifier: str, seconds: float = 15.0, **wanted: Any) -> dict[str, Any]:
        """Wait until a container looks like that."""
        end = runtime.monotonic() + seconds
        while True:
            seen = self.look(identifier)
            if all(seen.get(name) == value for name, value in wanted.items()):
                return seen
            assert runtime.monotonic() < end, (wanted, seen)
            runtime.sleep(0.02)

    def refused(self, action: Callable[[], Any]) -> int:
        """The status with which it refuses; 0: it does not."""
        try:
            action()
        except DockerError as error:
            return error.status
        return 0

    def post(self, path: str) -> None:
        self.api._raw("POST", path)

    def address(self, identifier: str, network: str) -> str:
        """The last part of its address on a network; empty: it has none now."""
        details = self.api.container(identifier) or {}
        return str(details["NetworkSettings"]["Networks"][network]["IPAddress"]).rpartition(".")[2]

    def network(self, name: str, subnet: str) -> str:
        body = {"Name": f"{self.name}-{name}", "Driver": "bridge", "Labels": {MARK: self.name}}
        self.api.create_network({**body, "IPAM": {"Config": [{"Subnet": subnet}]}})
        return f"{self.name}-{name}"

    def happened(self) -> list[str]:
        """Actions of this bench's containers so far, each with the name that it was about; probes of health aside."""
        filters = {"type": ["container"], "label": [f"{MARK}={self.name}"]}
        until = f"{runtime.time() + 0.001:.6f}"
        raw = self.api._raw("GET", "/events", {"since": "1", "until": until, "filters": json.dumps(filters)})
        events = [json.loads(line) for line in raw.splitlines()]
        names = [(each["Action"], each["Actor"]["Attributes"]["name"].replace(self.name, "")) for each in events]
        found = [f"{action}{name}" for action, name in names if not action.startswith("exec_")]
        # The engine says in either order that a container has died and that it was stopped.
        for at, (one, other) in enumerate(itertools.pairwise(found)):
            if one.startswith("stop") and other.startswith("die"):
                found[at : at + 2] = [other, one]
        return found

    def clean(self) -> None:
        for each in self.api.containers({MARK: self.name}):
            self.api.remove(each["Id"])
        for network in self.api._json("GET", "/networks", {"filters": json.dumps({"label": [f"{MARK}={self.name}"]})}):
            self.api.remove_network(network["Id"])


SCENARIOS: list[Callable[[Bench], Any]] = []


def scenario(action: Callable[[Bench], Any]) -> Callable[[Bench], Any]:
    SCENARIOS.append(action)
    return action


# --- a container's life


@scenario
def a_life(bench: Bench) -> Any:
    made = bench.make(start=False)
    created = bench.look(made)
    bench.api.start(made)
    bench.begun(made)
    running = bench.look(made)
    bench.api.start(made)  # fine when it runs
    bench.api.stop(made)
    stopped = bench.look(made)
    bench.api.stop(made)  # fine when it is stopped
    bench.api.start(made)
    again = bench.until(made, running=True)
    bench.api.remove(made)
    return [created, running, stopped, again, bench.look(made), bench.happened()]


@scenario
def a_program_that_ends(bench: Bench) -> Any:
    made = bench.make(env={"EXITS": "0.3", "CODE": "3"})
    return [bench.until(made, status="exited"), bench.happened(), bench.api.logs(made)]


@scenario
def a_program_that_is_asked_to_stop_ends_with_its_own_code(bench: Bench) -> Any:
    made = bench.make(env={"STOPS": "0.2", "CODE": "4"})
    bench.api.stop(made)
    return [bench.look(made), bench.happened()]


@scenario
def a_program_that_ignores_sigterm_is_killed_when_its_time_is_over(bench: Bench) -> Any:
    made = bench.make(env={"STOPS": "inf"}, StopTimeout=1)
    begin = runtime.monotonic()
    bench.api.stop(made)
    return [bench.look(made), 0.9 < runtime.monotonic() - begin < 4, bench.happened()]


@scenario
def a_stop_goes_on_when_nobody_waits_for_it(bench: Bench) -> Any:
    made = bench.make(env={"STOPS": "inf"}, StopTimeout=2)
    _abandoned_stop(bench, made)
    runtime.sleep(0.5)
    meanwhile = bench.look(made)
    return [meanwhile, bench.until(made, status="exited")]


def _abandoned_stop(bench: Bench, identifier: str) -> None:
    """Ask, and go away before the answer."""
    client = bench.api.again(0.2)
    if isinstance(client._connection, FakeConnection):
        world = client._connection.world
        asking = world.here.start(lambda: bench.api.again().stop(identifier))
        runtime.sleep(0.2)
        world.kill(asking)
        return
    with contextlib.suppress(SlipwayError):
        client._raw("POST", f"/containers/{identifier}/stop")
    client.close()


@scenario
def what_cannot_be_done_is_refused(bench: Bench) -> Any:
    made = bench.make()
    stopped = bench.make("b", start=False)
    missing = {"Image": "registry.test/none@sha256:" + "0" * 64}
    return [
        bench.refused(lambda: bench.make("a")),
        bench.refused(lambda: bench.api.create_container(f"{bench.name}-c", missing)),
        bench.refused(lambda: bench.api.start("no-such-container")),
        bench.refused(lambda: bench.api.signal(stopped, "SIGTERM")),
        bench.refused(lambda: bench.api._raw("DELETE", f"/containers/{made}")),
        bench.refused(lambda: bench.post(f"/containers/{stopped}/rename?name={bench.name}-a")),
        bench.api.container("no-such-container"),
    ]


@scenario
def a_renamed_container_is_found_by_its_new_name(bench: Bench) -> Any:
    made = bench.make()
    bench.post(f"/containers/{made}/rename?name={bench.name}-other")
    details = bench.api.container(f"{bench.name}-other") or {}
    return [details["Id"] == made, bench.api.container(f"{bench.name}-a"), bench.happened()]


@scenario
def a_paused_container_is_not_running_for_its_health_check(bench: Bench) -> Any:
    made = bench.make(Healthcheck=check())
    bench.until(made, health="healthy")
    bench.post(f"/containers/{made}/pause")
    paused = bench.look(made)
    bench.post(f"/containers/{made}/unpause")
    return [paused, bench.until(made, health="healthy")]


# --- restarts


@scenario
def a_crashing_container_is_restarted_ever_more_slowly(bench: Bench) -> Any:
    made = bench.make(env={"EXITS": "0.1", "CODE": "5"}, host={"RestartPolicy": {"Name": "always"}})
    starts: list[str] = []
    states = set()
    end = runtime.monotonic() + 60
    while len(starts) < 6:
        assert runtime.monotonic() < end, starts
        details = bench.api.container(made) or {}
        if details["State"]["StartedAt"] not in starts:
            starts.append(details["State"]["StartedAt"])
        states.add((details["State"]["Status"], details["State"]["Running"], details["State"]["Restarting"]))
        runtime.sleep(0.01)
    seconds = [float(each[17:].rstrip("Z")) + 60 * int(each[14:16]) for each in starts]
    pauses = [later - sooner for sooner, later in itertools.pairwise(seconds[1:])]
    return [
        sorted(states - {("exited", False, False)}),
        pauses[-1] - pauses[0] > 0.5,  # 0.2 s, then doubled every time; a busy machine adds to each of them
    ]


@scenario
def only_failures_are_restarted_and_only_so_often(bench: Bench) -> Any:
    policy = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}
    bad = bench.make(env={"EXITS": "0.1", "CODE": "5"}, host=policy)
    good = bench.make("b", env={"EXITS": "0.1"}, host=policy)
    return [bench.until(bad, status="exited", restarts=2), bench.until(good, status="exited")]


@scenario
def what_is_stopped_by_hand_stays_so(bench: Bench) -> Any:
    seen = []
    for name, how in {
        "stop": bench.api.stop,
        "kill": lambda made: bench.api.signal(made, "SIGKILL"),
        "term": lambda made: bench.api.signal(made, "SIGTERM"),
    }.items():
        made = bench.make(name, host={"RestartPolicy": {"Name": "always"}})
        how(made)
        bench.until(made, status="exited")
        runtime.sleep(0.6)
        seen.append((name, bench.look(made)))
    return seen


@scenario
def one_that_waits_for_its_restart_can_be_stopped(bench: Bench) -> Any:
    made = bench.make(env={"EXITS": "0", "CODE": "5"}, host={"RestartPolicy": {"Name": "always"}})
    bench.until(made, restarting=True, restarts=4)
    bench.api.stop(made)
    stopped = bench.look(made)
    runtime.sleep(1.0)
    return [stopped, bench.look(made)]


@scenario
def a_container_started_by_hand_counts_its_restarts_anew(bench: Bench) -> Any:
    policy = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}
    made = bench.make(env={"EXITS": "0.1", "CODE": "5"}, host=policy)
    first = bench.until(made, status="exited", restarts=2)
    bench.api.start(made)
    return [first, bench.until(made, status="exited", restarts=2)]


# --- health


def check(**more: Any) -> dict[str, Any]:
    return {
        "Test": ["CMD", "test", "-e", "/ready"],
        "Interval": SECOND // 5,
        "Timeout": SECOND * 5,
        "Retries": 2,
        **more,
    }


@scenario
def health_goes_from_starting_to_healthy(bench: Bench) -> Any:
    made = bench.make(env={"READY": "0.1"}, Healthcheck=check(Retries=20), start=False)
    before = bench.look(made)
    bench.api.start(made)
    first = bench.look(made)
    return [before, first, bench.until(made, health="healthy")]


@scenario
def health_is_given_up_after_so_many_failures(bench: Bench) -> Any:
    made = bench.make(env={"READY": "inf"}, Healthcheck=check())
    seen = bench.until(made, health="unhealthy")
    log = ((bench.api.container(made) or {})["State"]["Health"])["Log"]
    return [seen, [each["ExitCode"] for each in log][:2]]


@scenario
def failures_within_the_start_period_do_not_count(bench: Bench) -> Any:
    quick = check(Retries=1, Interval=SECOND * 30, StartPeriod=SECOND * 20, StartInterval=SECOND // 10)
    made = bench.make(env={"READY": "1.5"}, Healthcheck=quick)
    runtime.sleep(1.0)
    return [bench.look(made), bench.until(made, health="healthy")]


@scenario
def one_that_ended_counts_as_unhealthy_until_it_starts_again(bench: Bench) -> Any:
    made = bench.make(Healthcheck=check())
    bench.until(made, health="healthy")
    bench.api.stop(made)
    stopped = bench.look(made)
    bench.api.start(made)
    return [stopped, bench.look(made), bench.until(made, health="healthy")]


@scenario
def a_check_that_is_switched_off_is_none(bench: Bench) -> Any:
    return bench.look(bench.make(Healthcheck={"Test": ["NONE"]}))


# --- networks


@scenario
def addresses_are_the_lowest_that_are_free(bench: Bench) -> Any:
    network = bench.network("n", "10.231.7.0/24")
    made = [bench.make(name, networks={network: {}}) for name in "abc"]
    first = [bench.address(each, network) for each in made]
    bench.api.remove(made[1])
    again = bench.make("d", networks={network: {}})
    bench.api.stop(made[0])
    stopped = bench.address(made[0], network)
    late = bench.make("e", networks={network: {}})
    bench.api.start(made[0])
    return [
        first,
        bench.address(again, network),
        stopped,
        bench.address(late, network),
        bench.address(made[0], network),
    ]


@scenario
def a_container_needs_the_very_network_that_it_ran_on(bench: Bench) -> Any:
    network = bench.network("n", "10.231.9.0/24")
    made = bench.make(networks={network: {}})
    bench.api.stop(made)
    bench.api.remove_network(network)
    gone = bench.refused(lambda: bench.api.start(made))
    bench.network("n", "10.231.9.0/24")
    another = bench.refused(lambda: bench.api.start(made))
    bench.api.disconnect_network(network, made)
    bench.api.connect_network(network, {"Container": made})
    return gone, another, bench.refused(lambda: bench.api.start(made)), bench.address(made, network)


@scenario
def a_fixed_address_is_kept_in_the_configuration_only(bench: Bench) -> Any:
    network = bench.network("n", "10.231.8.0/24")
    fixed = {"IPAMConfig": {"IPv4Address": "10.231.8.40"}}
    made, other = bench.make("a"), bench.make("b")
    bench.api.connect_network(network, {"Container": made, "EndpointConfig": fixed})
    connected = bench.address(made, network)
    twice = bench.refused(lambda: bench.api.connect_network(network, {"Container": other, "EndpointConfig": fixed}))
    bench.api.stop(made)
    endpoint = (bench.api.container(made) or {})["NetworkSettings"]["Networks"][network]
    bench.api.start(made)
    back = bench.address(made, network)
    bench.api.disconnect_network(network, made)
    names = list((bench.api.container(made) or {})["NetworkSettings"]["Networks"])
    return [connected, twice, endpoint["IPAddress"], endpoint["IPAMConfig"]["IPv4Address"], back, names]


@scenario
def a_network_is_refused_when_it_is_there_overlaps_or_is_in_use(bench: Bench) -> Any:
    network = bench.network("n", "10.231.9.0/24")
    made = bench.make(networks={network: {}})
    refusals = [
        bench.refused(lambda: bench.network("n", "10.231.10.0/24")),
        bench.refused(lambda: bench.network("m", "10.231.9.0/25")),
        bench.refused(lambda: bench.api.remove_network(network)),
    ]
    holders = [each["Name"].removeprefix(bench.name) for each in bench.api.network(network)["Containers"].values()]  # type: ignore[index]
    bench.api.stop(made)
    left = bench.api.network(network)["Containers"]  # type: ignore[index]
    return [
        refusals,
        holders,
        left,
        bench.refused(lambda: bench.api.remove_network(network)),
        bench.api.network(network),
    ]


@scenario
def a_published_port_is_one_container_s(bench: Bench) -> Any:
    published = {"PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18473"}]}}
    first = bench.make(host=published, ExposedPorts={"8000/tcp": {}})
    second = bench.make("b", host=published, ExposedPorts={"8000/tcp": {}}, start=False)
    refused = bench.refused(lambda: bench.api.start(second))
    ports = (bench.api.container(first) or {})["NetworkSettings"]["Ports"]
    [entry] = [each for each in bench.api.containers({MARK: bench.name}) if each["Id"] == first]
    bench.api.stop(first)
    bench.api.start(second)
    return [refused, ports, entry["Ports"], bench.look(second)["status"]]


# --- lists, logs, volumes, events


@scenario
def lists_hold_what_has_all_labels_newest_first(bench: Bench) -> Any:
    bench.make("a", labels={"x": "1", "y": "1"})
    bench.make("b", labels={"x": "1"}, start=False)
    bench.make("c", labels={"x": "2"})

    def names(labels: dict[str, str]) -> list[str]:
        return [each["Names"][0].removeprefix(f"/{bench.name}") for each in bench.api.containers(labels)]

    running = bench.api._json(
        "GET", "/containers/json", {"filters": json.dumps({"label": [f"{MARK}={bench.name}", "x"]})}
    )
    return [
        names({MARK: bench.name}),
        names({MARK: bench.name, "x": "1"}),
        names({MARK: bench.name, "x": "1", "y": "1"}),
        names({MARK: bench.name, "x": "3"}),
        [each["State"] for each in bench.api.containers({MARK: bench.name})],
        len(running),
    ]


@scenario
def a_volume_in_use_is_not_removed(bench: Bench) -> Any:
    name = f"{bench.name}-v"
    mounts = {"Mounts": [{"Type": "volume", "Source": name, "Target": "/data"}]}
    made = bench.make(host=mounts)
    refused = bench.refused(lambda: bench.api.remove_volume(name))
    bench.api.remove(made)
    kept = bench.api.volume(name) is not None
    bench.api.remove_volume(name)
    return [refused, kept, bench.api.volume(name)]


@scenario
def an_image_in_use_is_not_removed(bench: Bench) -> Any:
    made = bench.make(start=False)
    details = bench.api.image(bench.image) or {}
    used = details["Id"] == (bench.api.container(made) or {})["Image"]
    return [used, bench.refused(lambda: bench.api.remove_image(details["Id"]))]


@scenario
def one_that_removes_itself_is_gone_once_it_ended(bench: Bench) -> Any:
    made = bench.make(env={"EXITS": "0.3"}, host={"AutoRemove": True})
    end = runtime.monotonic() + 10
    while bench.api.container(made) is not None:
        assert runtime.monotonic() < end
        runtime.sleep(0.02)
    return bench.happened()


@scenario
def a_restart_stops_and_starts_also_one_that_removes_itself(bench: Bench) -> Any:
    made = bench.make(host={"AutoRemove": True}, env={"STOPS": "0.2"})
    bench.api.stop(made, start=True)
    return [bench.until(made, status="running"), bench.happened()]


# --- Compose


def composed(bench: Bench, **more: Any) -> tuple[Rendered, Compose]:
    """A project with one service `app`, and who calls Compose for it."""
    quick = {"test": ["CMD", "test", "-e", "/ready"], "interval": "1s", "retries": 3, "start_period": "20s",
             "start_interval": "250ms"}  # fmt: skip
    service = {"image": bench.image, "command": COMMAND, "environment": {"PRICE": "$$5"}, "restart": "always",
               "labels": {MARK: bench.name}, "healthcheck": quick, "networks": {"default": None},
               "stop_grace_period": "3s", "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
               **more}  # fmt: skip
    tree = {
        "services": {"app": service, "other": {"image": bench.image, "networks": {"default": None}}},
        "networks": {"default": {"name": f"{bench.name}_default", "labels": {MARK: bench.name}}},
        "volumes": {"data": {"name": f"{bench.name}_data", "labels": {MARK: bench.name}}},
    }
    folder = StackFolder(bench.name)
    folder.create()
    return Rendered({}, tree, {}, (), ()), Compose(folder, bench.api.path, lambda _: None)


def described(bench: Bench) -> list[Any]:
    """The project's containers: what the agent reads of them."""
    found = []
    for each in bench.api.containers({"com.docker.compose.project": bench.name}):
        details = bench.api.container(each["Id"]) or {}
        labels = {
            name.rpartition(".")[2]: value
            for name, value in details["Config"]["Labels"].items()
            if name.startswith("com.docker.compose.") and name.endswith(("service", "container-number", "oneoff"))
        }
        found.append(
            {
                "name": details["Name"].replace(bench.name, "P"),
                "labels": labels,
                "hashed": bool(details["Config"]["Labels"].get("com.docker.compose.config-hash")),
                "status": details["State"]["Status"],
                "restart": details["HostConfig"]["RestartPolicy"]["Name"],
                "grace": details["Config"].get("StopTimeout"),
                "check": {k: v for k, v in details["Config"]["Healthcheck"].items() if v},
                "networks": [name.replace(bench.name, "P") for name in details["NetworkSettings"]["Networks"]],
                "price": [one for one in details["Config"]["Env"] if one.startswith("PRICE")],
                "volumes": [one["Name"].replace(bench.name, "P") for one in details["Mounts"]],
            }
        )
    return sorted(found, key=lambda each: str(each["name"]))


def ids(bench: Bench) -> list[str]:
    return sorted(each["Id"] for each in bench.api.containers({"com.docker.compose.project": bench.name}))


@contextlib.contextmanager
def project(bench: Bench) -> Iterator[None]:
    try:
        yield
    finally:
        for each in ids(bench):
            bench.api.remove(each)
        for network in bench.api.networks(bench.name):
            bench.api.remove_network(network["Id"])
        for volume in bench.api.volumes(bench.name):
            bench.api.remove_volume(volume["Name"])


def up(rendered: Rendered, compose: Compose, *, recreate: bool, count: int | None = None) -> int:
    words = up_arguments(["app"], recreate=recreate, scale={"app": count} if count is not None else None)
    return compose.call(words, rendered.file, Deadline(60, "the call")).code


@scenario
def compose_makes_containers_beside_those_that_are_there(bench: Bench) -> Any:
    with project(bench):
        rendered, compose = composed(bench)
        codes = [up(rendered, compose, recreate=False)]
        one, first = ids(bench), described(bench)
        codes.append(up(rendered, compose, recreate=False, count=3))
        three = ids(bench)
        again = up(rendered, compose, recreate=False, count=3)
        networks = [each["Name"].replace(bench.name, "P") for each in bench.api.networks(bench.name)]
        return [
            codes, first, set(one) < set(three), described(bench), again, ids(bench) == three, networks,
            [each["Name"].replace(bench.name, "P") for each in bench.api.volumes(bench.name)],
        ]  # fmt: skip


@scenario
def compose_numbers_go_on_after_the_highest_that_is_there(bench: Bench) -> Any:
    with project(bench):
        rendered, compose = composed(bench)
        up(rendered, compose, recreate=False, count=3)
        bench.api.remove(f"{bench.name}-app-1")
        up(rendered, compose, recreate=False, count=3)
        return [each["name"] for each in described(bench)]


@scenario
def compose_takes_the_highest_numbers_away(bench: Bench) -> Any:
    with project(bench):
        rendered, compose = composed(bench)
        up(rendered, compose, recreate=False, count=3)
        up(rendered, compose, recreate=False, count=1)
        return [each["name"] for each in described(bench)]


@scenario
def names_are_of_networks_that_somebody_made(bench: Bench) -> Any:
    network = bench.network("n", "10.231.9.0/24")
    made = bench.make("a", start=False, networks={network: {}})
    alone, outside = (bench.make(mode, start=False, host={"NetworkMode": mode}) for mode in ("none", "host"))

    def connect(to: str, container: str) -> int:
        body = {"Container": container, "EndpointConfig": {"Aliases": ["db"]}}
        return bench.refused(lambda: bench.api.connect_network(to, body))

    return [
        *(connect(to, made) for to in ("bridge", "none", "host")),
        connect(network, alone),
        connect(network, outside),
    ]


@scenario
def a_command_beside_the_program(bench: Bench) -> Any:
    made = bench.make()
    code, written = bench.api.execute(made, ["bash", "-c", "echo out; echo bad >&2; exit 3"], float("inf"))
    silent = ["sh", "-c", "exec >&- 2>&-; sleep 1; exit 4"]
    # Docker 26 holds the answer until the command ends; the fake lets go at once, as others may. The code is the same.
    more = bench.api.execute(made, silent, float("inf"))
    bench.api.stop(made)
    return [code, sorted(written.splitlines()), more, bench.refused(lambda: bench.api.execute(made, ["true"], 0.0))]


@scenario
def compose_starts_what_is_stopped_and_changes_nothing_else(bench: Bench) -> Any:
    with project(bench):
        rendered, compose = composed(bench)
        up(rendered, compose, recreate=False)
        before = ids(bench)
        bench.api.stop(before[0])
        changed, compose = composed(bench, environment={"PRICE": "$$6"})
        up(changed, compose, recreate=False)
        return [ids(bench) == before, described(bench)]


@scenario
def compose_makes_a_replacement_before_it_stops_the_old_one_and_names_it_last(bench: Bench) -> Any:
    with project(bench):
        rendered, compose = composed(bench)
        up(rendered, compose, recreate=False)
        [old] = ids(bench)
        code = up(rendered, compose, recreate=True)
        names = bench.happened()
        stages = [each.replace(old[:12], "OLD") for each in names]
        return [code, old not in ids(bench), stages[2:], described(bench)]


@scenario
def compose_runs_a_command_in_a_container_of_its_own(bench: Bench) -> Any:
    with project(bench):
        rendered, compose = composed(bench, environment={"EXITS": "0.3", "CODE": "3"}, restart="no")
        up(rendered, compose, recreate=False)
        name = f"{bench.name}-one-off"
        ended = compose.call(run_arguments("app", name, COMMAND), rendered.file, Deadline(60, "the call"))
        return [ended.code, [line for line in ended.output if line == "started"], bench.api.container(name)]


@scenario
def compose_says_no_when_the_engine_does(bench: Bench) -> Any:
    with project(bench):
        rendered, compose = composed(bench, image="registry.test/none@sha256:" + "0" * 64)
        return [up(rendered, compose, recreate=False) != 0, described(bench)]


# --- both sides


def really(action: Callable[[Bench], Any], image: str, home: Path) -> Any:
    bench = Bench(image, f"true{uuid.uuid4().hex[:8]}", home)
    try:
        return action(bench)
    finally:
        bench.clean()


def simulated(action: Callable[[Bench], Any], home: Path, patch: pytest.MonkeyPatch) -> Any:
    world = World()
    world.install(patch)
    host = world.host("fake", home)
    reference = world.image("1", behaviour)
    image = next(each for each in world.registry.values() if each.behaviour is behaviour)
    host.engine.add(image)
    found: list[Any] = []
    process = host.start(lambda: found.append(action(Bench(reference, "fake", home))))
    try:
        world.wait(process)
    finally:
        world.time.bury()
    return found[0]


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("action", SCENARIOS, ids=lambda each: each.__name__)
def test_fake_docker_is_true(action: Callable[[Bench], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "real"))
    real = really(action, BASE, tmp_path)
    with monkeypatch.context() as patch:
        fake = simulated(action, tmp_path / "fake", patch)
    assert plain(fake) == plain(real)
    shutil.rmtree(tmp_path / "real", ignore_errors=True)
