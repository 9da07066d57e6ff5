"""A stack takes over from a Compose project that runs: what visitors get, whose data it is, and every way back."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from programs import Program
from simulation import KILLED, SMOKE, Simulation
from thorough import sample

from slipway.agent.edge.port_redirect import PortRedirect
from slipway.agent.move.commands import move
from slipway.agent.state.stack_dir import StackFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fake_docker import Container
    from fake_machine import FakeHost, World
    from simulation import Ended

    Make = Callable[..., tuple["Simulation", "Before", "Onlooker"]]

PORT = 1  # that the edge wants and the old proxy has
VOLUME = "old_data"
BINDINGS = {"80/tcp": [{"HostIp": "", "HostPort": str(PORT)}]}
SOCKET = {"Type": "bind", "Source": "/var/run/docker.sock", "Target": "/var/run/docker.sock"}
ALWAYS = {"Name": "always", "MaximumRetryCount": 0}
UNLESS_STOPPED = {"Name": "unless-stopped", "MaximumRetryCount": 0}


def old_program(environment: Mapping[str, str], _command: list[str]) -> Program:
    """The programs of the old project."""
    return Program(
        stops=float(environment.get("STOPS", "0.3")),
        ready=float(environment.get("READY", "0.4")),
        exits=float(environment.get("EXITS", "inf")),
        code=int(environment.get("CODE", "0")),
    )


class Before:
    """The project that runs already: a proxy on the port, an application, its worker, and a database on a volume.

    Or on the folder `data`.
    """

    def __init__(self, stack: Simulation, data: str = "") -> None:
        self.host, self.data = stack.host, data
        world = stack.world
        image = world.image("1", old_program, name="registry.test/old/app")
        self.host.engine.add(world.registry[image.replace(":1@", "@")])
        self._ask("POST", "/networks/create", {"Name": "old_default", "Labels": self._labels("", "network")})
        self._ask("POST", "/volumes/create", {"Name": VOLUME, "Labels": self._labels("", "volume")})
        mount = {"Type": "bind" if data else "volume", "Source": data or VOLUME, "Target": "/data"}
        self.ids = {
            "db": self._run("db", image, UNLESS_STOPPED, Mounts=[mount]),
            "worker": self._run("worker", image, {"Name": "on-failure", "MaximumRetryCount": 3}),
            "web": self._run("web", image, ALWAYS),
            "traefik": self._run("traefik", image, ALWAYS, PortBindings=BINDINGS, Mounts=[SOCKET]),
        }
        self.policies = {name: self.container(name).host["RestartPolicy"] for name in self.ids}
        stack.later(1.0)
        self.starts = self._runs()

    def container(self, name: str) -> Container:
        return self.host.engine.containers[self.ids[name]]

    def as_before(self) -> None:
        """All of it runs, with the policies that it had, and nothing of it is gone."""
        for name, policy in self.policies.items():
            each = self.container(name)
            assert each.running, name
            assert each.host["RestartPolicy"] == policy, name
        assert VOLUME in self.host.engine.volumes
        assert self.host.redirects == {}

    def untouched(self) -> None:
        self.as_before()
        assert self._runs() == self.starts

    def stopped(self) -> None:
        """All of it is still there, and no reboot brings it back."""
        for name in self.ids:
            each = self.container(name)
            assert (each.running, each.host["RestartPolicy"]["Name"]) == (False, "no"), name

    def _runs(self) -> dict[str, int]:
        return {name: self.container(name).run for name in self.ids}

    def _labels(self, service: str, kind: str = "", project: str = "old") -> dict[str, str]:
        more = {"com.docker.compose.service": service, "com.docker.compose.oneoff": "False"} if service else {}
        return {"com.docker.compose.project": project, **more, **({f"com.docker.compose.{kind}": kind} if kind else {})}

    def _run(self, service: str, image: str, policy: dict[str, Any], project: str = "old", **host: Any) -> str:
        body = {"Image": image, "Env": [], "Labels": self._labels(service, project=project),
                "HostConfig": {"NetworkMode": "old_default", "RestartPolicy": policy, **host},
                "NetworkingConfig": {"EndpointsConfig": {"old_default": {"Aliases": [service]}}}}  # fmt: skip
        made = str(self._ask("POST", f"/containers/create?name={project}-{service}-1", body)["Id"])
        self._ask("POST", f"/containers/{made}/start")
        return made

    def _ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> Any:
        status, answer = self.host.engine.handle(method, target, json.dumps(body or {}).encode())
        assert status < 400, answer
        return json.loads(answer) if answer else None


class Onlooker:
    """Looks at every instant: what a visitor of the port gets, who is on the volume, who answers as `db` to the old."""

    def __init__(self, host: FakeHost, before: Before) -> None:
        self.host, self.before = host, before
        self.lost: list[tuple[float, str]] = []
        self.without_database = 0.0
        self._since: float | None = None
        host.world.time.before.append(self._look)

    def _look(self) -> None:
        engine, now = self.host.engine, self.host.world.time.now
        data = self.before.data or VOLUME
        users = [
            each.name for each in engine.containers.values() if data in (*each.volumes, *each.binds) and each.running
        ]
        assert len(users) <= 1, users
        listening = self._listening(PORT)
        assert len(listening) <= 1, "two on one port"
        target = self.host.redirects.get(PORT, PORT)
        if wrong := self._visit(target):
            self.lost.append((now, wrong))
        served = any(
            "db" in (each.endpoints["old_default"]["Aliases"] or ()) and engine.answering(each)
            for each in engine.containers.values()
            if "old_default" in each.endpoints
        )
        if served or not self.before.container("web").running:
            if self._since is not None:
                self.without_database += now - self._since
            self._since = None
        elif self._since is None:
            self._since = now

    def _listening(self, port: int) -> list[str]:
        edges = [each.container.name for each in self.host.edges if each.alive and each.points["web"] == port]
        proxy = self.before.container("traefik")
        return [*edges, *([proxy.name] if proxy.running and port == PORT else [])]

    def _visit(self, port: int) -> str:
        engine, proxy, web = self.host.engine, self.before.container("traefik"), self.before.container("web")
        if port == PORT and engine.answering(proxy):
            return "" if engine.answering(web) else "502 of the old proxy"
        edge = next((each for each in self.host.edges if each.serves and each.points["web"] == port), None)
        if edge is None:
            return "refused"
        status, _ = edge.request("shop.test", "/", {})
        return "" if status == 200 else f"{status} of the edge"


@pytest.fixture
def before(stack: Simulation) -> Before:
    return Before(stack)


@pytest.fixture
def onlooker(stack: Simulation, before: Before) -> Onlooker:
    return Onlooker(stack.host, before)


@pytest.fixture
def make(world: World, home: Path) -> Make:
    """A host with an old project and somebody who looks, as often as one is wanted."""
    numbers = itertools.count()

    def made(data: str = "") -> tuple[Simulation, Before, Onlooker]:
        world.time.before.clear()  # the hosts before are over
        number = next(numbers)
        folder = home / str(number)
        folder.mkdir()
        stack = Simulation(world.host(f"host-{number}", folder))
        before = Before(stack, data)
        return stack, before, Onlooker(stack.host, before)

    return made


def shop(stack: Simulation, version: str = "1", **more: Any) -> dict[str, Any]:
    """The release that takes over: `web` routed, `worker`, and `db` on the adopted volume, or on the folder `data`."""
    folder = more.pop("data", "")
    mount = {"type": "bind" if folder else "volume", "source": folder or "data", "target": "/data"}
    needs = {"depends_on": {"db": {"condition": "service_healthy"}}}
    return stack.release(
        {
            "db": stack.service(environment={"VERSION": version}, volumes=[mount]),
            "worker": stack.service(environment={"VERSION": version}, **needs),
            "web": stack.service(environment={"VERSION": version, **more.pop("environment", {})}, **needs),
            **{name: more.pop(name) for name in ("cron", "once", "last") if name in more},
        },
        {"web": {"strategy": "rolling", "routes": [{"host": more.pop("host", ""), "path": "/", "strip": False}],
                 "smoke": [SMOKE], "update": {"order": "start-first"}}},
        **{"volumes": {"data": {"name": VOLUME, "external": True, "x-adopted": True}}, **more},
    )  # fmt: skip


def deploy(stack: Simulation, wanted: dict[str, Any], **more: Any) -> Ended:
    return stack.deploy(wanted, move_from=["old"], **more)


def command(stack: Simulation, what: str, **environment: str) -> Ended:
    _, ended = stack.start(lambda out: move(StackFolder(stack.stack), what, out), **environment)
    return ended()


def test_it_takes_over_without_a_lost_request_and_one_on_the_volume(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    ended = deploy(stack, shop(stack))
    assert ended.code == 0, ended.err
    before.stopped()
    assert stack.versions() == {"db": ["1"], "web": ["1"], "worker": ["1"]}
    assert stack.visit() == (200, "1")
    assert onlooker.lost == []
    assert stack.witness.seen == []
    assert [each.points["web"] for each in stack.host.edges] == [PORT]
    assert stack.host.redirects == {}
    # The old one takes 0.3 s to stop, the new one 0.1 s to start: nothing else comes in between.
    assert onlooker.without_database < 0.5


def test_a_port_of_the_old_proxy_that_the_edge_will_not_have_is_said_to_close(
    stack: Simulation, before: Before
) -> None:
    held = before.container("traefik").host["PortBindings"]
    held["443/tcp"] = [{"HostIp": "", "HostPort": "443"}]
    [change] = [each for each in stack.plan(shop(stack), move_from=["old"])["changes"] if each["service"] == "edge"
                and each["action"] == "ports taken over"]  # fmt: skip
    assert change["because"][1:] == ["port 443 closes: the edge will not have it"]


@pytest.mark.parametrize(
    ("more", "closes"),
    [
        ({}, True),
        ({"ports": [{"target": 80, "published": "3000"}]}, False),
        ({"ports": [{"target": 80, "published": "2990-3010"}]}, False),
        ({"network_mode": "host"}, False),  # it may listen there itself
    ],
)
@pytest.mark.parametrize("service", ["web", "worker", "db"])
def test_a_port_that_nothing_of_the_stack_has_is_said_to_close(
    stack: Simulation, before: Before, *, service: str, more: dict[str, Any], closes: bool
) -> None:
    before.container(service).host["PortBindings"] = {"80/tcp": [{"HostIp": "", "HostPort": "3000"}]}
    wanted = shop(stack)
    wanted["compose"]["services"]["worker"].update(more)
    said = [line for each in stack.plan(wanted, move_from=["old"])["changes"] for line in each["because"]]
    assert ("port 3000 closes: nothing of the stack publishes it" in said) is closes


def test_a_preview_says_all_of_it_and_what_is_interrupted(stack: Simulation, before: Before) -> None:
    plan = stack.plan(shop(stack), move_from=["old"])
    said = {
        each["service"]: (each["action"], each["interrupts"], ", ".join(each["because"])) for each in plan["changes"]
    }
    assert said["db"] == ("taken over", True, "in place of old-db-1, on old_data")
    assert said["worker"] == ("taken over", True, "in place of old-worker-1")
    assert said["web"] == ("created", False, "first deployment")
    ports = next(each for each in plan["changes"] if each["action"] == "ports taken over")
    assert (ports["interrupts"], ports["because"]) == (False, ["from old-traefik-1, while requests go on"])
    assert said["old"] == ("old project stopped", False, "stopped and kept until `slipway move finish`: old-web-1")
    assert "refused" not in plan
    before.untouched()
    assert deploy(stack, shop(stack)).code == 0
    assert [step.partition(":started")[0] for step in stack.steps() if step.endswith(":started")] == plan["steps"]
    again = stack.plan(shop(stack), move_from=["old"])
    assert (again["changes"], again["steps"]) == ([], [])


def test_a_proxy_of_its_own_is_named_beside_the_project(stack: Simulation, before: Before, onlooker: Onlooker) -> None:
    proxy = before.container("traefik")
    proxy.name = "the-proxy"
    proxy.config["Labels"] = {}
    ended = stack.deploy(shop(stack), move_from=["old"])
    assert "in use by container the-proxy" in ended.error
    before.as_before()
    assert stack.deploy(shop(stack), move_from=["old", "the-proxy"]).code == 0
    before.stopped()
    assert onlooker.lost == []
    assert command(stack, "undo").code == 0
    before.as_before()
    assert onlooker.lost == []


FAILURES: dict[str, dict[str, Any]] = {
    "never starts": {"environment": {"MODE": "exit"}},
    "is sick": {"environment": {"MODE": "sick"}},
    "answers 503": {"environment": {"MODE": "unavailable"}},
    "fails its smoke check": {"environment": {"MODE": "smoke"}},
}


@pytest.mark.parametrize("how", FAILURES.values(), ids=FAILURES)
def test_a_release_that_fails_leaves_the_old_project_running_as_before(
    stack: Simulation, before: Before, onlooker: Onlooker, how: dict[str, Any]
) -> None:
    ended = deploy(stack, shop(stack, **how))
    assert ended.code == 1
    assert "the project old runs again as before" in ended.error
    before.as_before()
    assert stack.ids() == []
    assert onlooker.lost == []
    assert deploy(stack, shop(stack)).code == 0
    before.stopped()
    assert onlooker.lost == []


def test_undo_brings_it_back_without_a_lost_request_and_it_can_move_again(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    assert deploy(stack, shop(stack)).code == 0
    answer = command(stack, "undo").report
    assert (answer["state"], {each["running"] for each in answer["containers"]}) == ("undone", {True})
    assert stack.probe()["move"] == {"project": "old", "state": "undone"}
    before.as_before()
    assert stack.versions() == {"db": [], "web": [], "worker": []}  # stopped, so that their logs can be read
    assert {each.host["RestartPolicy"]["Name"] for each in stack.containers()} == {"unless-stopped"}
    assert stack.host.edges == []
    assert onlooker.lost == []
    assert deploy(stack, shop(stack)).code == 0
    before.stopped()
    assert stack.versions() == {"db": ["1"], "web": ["1"], "worker": ["1"]}
    assert onlooker.lost == []


@pytest.mark.parametrize("again", ["up", "undo and up", "up after an earlier version"])
@pytest.mark.parametrize("restart", ["always", "unless-stopped", "on-failure", "no", None])
def test_what_an_undo_stopped_did_not_complete_and_starts_again(
    stack: Simulation, before: Before, restart: str | None, again: str
) -> None:
    quiet = {key: value for key, value in stack.service().items() if key != "healthcheck"}
    wanted = shop(
        stack,
        cron={**quiet, "restart": restart} if restart else quiet,
        once={**quiet, "restart": "no", "environment": {"MODE": "done"}},
        last={**quiet, "depends_on": {"once": {"condition": "service_completed_successfully"}}},
    )
    assert deploy(stack, wanted).code == 0
    assert command(stack, "undo").code == 0
    listed = {name: each["containers"][0]["state"] for name, each in stack.probe()["live"]["services"].items()}
    assert listed.pop("once") == "completed"
    assert set(listed.values()) == {"exited"}
    stack.host.engine.restart_engine()
    stack.later(5)
    assert [each.name for each in stack.containers() if each.running] == []
    if again == "undo and up":
        assert command(stack, "undo").code == 0
    if again == "up after an earlier version":
        for each in stack.containers():
            each.host["RestartPolicy"] = {"Name": "no"}
    plan = {each["service"]: each for each in stack.plan(wanted, move_from=["old"])["changes"]}
    assert plan["cron"]["action"] == ("one-off run" if restart == "no" else "created")
    assert plan["cron"]["because"] == ["drift: stopped by `slipway move undo`"]
    assert "once" not in plan
    ended = deploy(stack, wanted)
    assert ended.code == 0
    assert "defect" not in ended.err
    assert [each.running for each in stack.containers("cron")] == [True]
    assert [each.host["RestartPolicy"]["Name"] for each in stack.containers("cron")] == [restart or "no"]
    assert stack.probe()["drift"] == []
    before.stopped()


def test_nothing_watches_what_was_undone_nor_says_so(stack: Simulation, before: Before) -> None:
    rules = {"seconds": 120, "minimum": 50, "error_relative": 0.1, "error_floor": 0.01,
             "latency_relative": 0.2, "latency_floor": 0.05, "restarts": 2, "notify": None}  # fmt: skip
    assert deploy(stack, shop(stack), watch=rules).code == 0
    stack.later(10)
    assert stack.probe()["watch"]["alive"]
    assert command(stack, "undo").code == 0
    stack.later(10)
    assert [process.alive for process in stack.host.detached] == [False]
    assert stack.probe()["watch"] is None
    before.as_before()
    assert deploy(stack, shop(stack)).code == 0
    assert stack.probe()["watch"] is None


OWN_PORT = 8088


@pytest.mark.parametrize("held", ["by the new one", "by somebody else", "by nobody, and it crashes"])
def test_an_undo_brings_back_who_needs_the_port_of_a_new_one_or_says_who_is_down(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    monkeypatch.setattr("slipway.agent.move.undo.check_way_back", lambda *_: None)  # it was free a moment ago
    port = {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": str(OWN_PORT)}]}}
    image = before.container("web").config["Image"]
    policy = {"Name": "no"} if "crashes" in held else ALWAYS
    before.ids["site"] = before._run("site", image, policy, **port)
    before.policies["site"] = policy
    published = {"target": 80, "published": str(OWN_PORT)} if held == "by the new one" else {"target": 80}
    wanted = shop(stack, cron=stack.service(ports=[published]))
    for _ in range(2):
        assert deploy(stack, wanted).code == 0
        assert not before.container("site").running
        if held == "by somebody else":
            other = before._run("other", image, ALWAYS, **port)
            before.host.engine.containers[other].config["Labels"] = {}
        if held == "by nobody, and it crashes":
            before.container("site").config["Env"] = ["EXITS=0.5", "CODE=1"]
        ended = command(stack, "undo")
        if held != "by the new one":
            assert "not all of old runs again: old-site-1 does not run" in ended.error
            assert "slipway move undo" in ended.error
            assert ("port is already allocated" in ended.error) == (held == "by somebody else")
            assert command(stack, "show").report["down"] == ["old-site-1"]
            assert "old-site-1 does not run" in command(stack, "undo").error
            if held == "by somebody else":
                before._ask("DELETE", f"/containers/{other}?force=true")
            before.container("site").config["Env"] = []
            ended = command(stack, "undo")
        assert (ended.report["down"], ended.report["slow"]) == ([], [])
        before.as_before()
        assert [each.name for each in stack.containers() if each.running] == []


@pytest.mark.parametrize("names", [["old"], ["old", "old-proxy"]], ids=["the same", "one more"])
def test_what_an_undo_could_not_start_is_not_forgotten_by_the_next_move(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr("slipway.agent.move.undo.check_way_back", lambda *_: None)  # it was free a moment ago
    port = {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": str(OWN_PORT)}]}}
    image = before.container("web").config["Image"]
    before.ids["site"] = before._run("site", image, ALWAYS, **port)
    before.policies["site"] = ALWAYS
    assert deploy(stack, shop(stack)).code == 0
    other = before._run("other", image, ALWAYS, **port)
    before.host.engine.containers[other].config["Labels"] = {}
    assert "old-site-1 does not run" in command(stack, "undo").error
    assert stack.deploy(shop(stack), move_from=names).code == 0
    assert "old-site-1" in [each["name"] for each in command(stack, "show").report["containers"]]
    before._ask("DELETE", f"/containers/{other}?force=true")
    assert command(stack, "undo").report["down"] == []
    before.as_before()


def test_an_undo_says_what_starts_again_and_again(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    before.container("web").config["Env"] = ["EXITS=1", "CODE=1"]
    said = "old-web-1 does not work yet (restarted "
    assert command(stack, "undo").report["slow"][0].startswith(said)
    assert before.container("web").host["RestartPolicy"] == ALWAYS


def test_a_job_of_the_old_project_that_ended_is_not_down(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    before.container("worker").config["Env"] = ["EXITS=1"]
    ended = command(stack, "undo")
    assert (ended.report["down"], ended.report["slow"]) == ([], [])
    assert ended.seconds < 30


def test_after_finish_there_is_no_way_back_and_only_remove_removes(stack: Simulation, before: Before) -> None:
    before.ids["seed"] = before._run("seed", before.container("web").config["Image"], {"Name": "no"})
    before._ask("POST", f"/containers/{before.ids['seed']}/stop")
    assert deploy(stack, shop(stack)).code == 0
    assert stack.containers("db")[0].endpoints.keys() == {"shop_default", "old_default"}
    answer = command(stack, "finish").report
    assert (answer["state"], answer["ended"]) == ("finished", ["old-seed-1"])
    assert stack.containers("db")[0].endpoints.keys() == {"shop_default"}
    assert command(stack, "undo").report["state"] == "finished"
    before.stopped()
    assert stack.versions()["web"] == ["1"]
    answer = command(stack, "remove").report
    assert (answer["containers"], answer["networks"]) == ([], [])
    named = {"old-db-1", "old-web-1", "old-worker-1", "old-traefik-1", "old-seed-1", "network old_default"}
    assert set(answer["removed"]) == named
    assert command(stack, "remove").report["removed"] == []
    assert set(before.ids.values()).isdisjoint(stack.host.engine.containers)
    assert VOLUME in stack.host.engine.volumes
    assert deploy(stack, shop(stack, "2")).code == 0
    assert stack.visit() == (200, "2")


def test_nothing_of_a_stack_that_took_over_from_nobody_is_undone(stack: Simulation) -> None:
    assert stack.deploy(stack.web("1")).code == 0
    for what in ("show", "undo", "finish", "remove"):
        assert command(stack, what).report["state"] == ""
    assert stack.visit() == (200, "1")


def points(stack: Simulation) -> list[dict[str, Any]]:
    """Where the run that just ended could have been killed."""
    return [*({"kill": step} for step in stack.steps()), *({"kill_at": number} for number in range(len(stack.points)))]


def test_killed_at_any_point_the_next_run_takes_over(make: Make) -> None:
    stack, _, _ = make()
    assert deploy(stack, shop(stack)).code == 0
    for where in sample(points(stack)):
        stack, before, onlooker = make()
        wanted = shop(stack)
        assert deploy(stack, wanted, **where).code == KILLED, where
        ended = deploy(stack, wanted)
        assert ended.code == 0, (where, ended.err)
        before.stopped()
        assert stack.visit() == (200, "1"), where
        assert stack.host.redirects == {}, where
        assert [each.points["web"] for each in stack.host.edges] == [PORT], where
        assert onlooker.lost == [], where


def test_killed_at_any_point_undo_brings_the_old_project_back(make: Make) -> None:
    stack, _, _ = make()
    assert deploy(stack, shop(stack)).code == 0
    for where in sample(points(stack)):
        stack, before, onlooker = make()
        assert deploy(stack, shop(stack), **where).code == KILLED, where
        ended = command(stack, "undo")
        assert ended.code == 0, (where, ended.err)
        stack.later(60)
        before.as_before()
        assert onlooker.lost == [], where
        assert stack.host.edges == [], where


def test_killed_at_any_point_a_failing_next_run_brings_the_old_project_back(make: Make) -> None:
    stack, _, _ = make()
    assert deploy(stack, shop(stack)).code == 0
    for where in sample(points(stack)):
        stack, before, onlooker = make()
        assert deploy(stack, shop(stack), **where).code == KILLED, where
        if command(stack, "show").report["state"] == "moved":
            continue  # from there on nothing turns it back but `undo`
        ledger = stack.host.home / "stacks" / stack.stack / "ledger.jsonl"
        recorded = ledger.exists() and "deployed" in stack.outcomes()
        ended = deploy(stack, shop(stack, environment={"MODE": "exit"}))
        if recorded:
            assert "rolled back to release" in ended.error, (where, ended.err)
            continue
        assert "runs again as before" in ended.error, (where, ended.err)
        before.as_before()
        assert onlooker.lost == [], where


def test_an_undo_killed_at_any_point_is_ended_by_the_next_one(make: Make) -> None:
    for number in range(1000):
        stack, before, onlooker = make()
        assert deploy(stack, shop(stack)).code == 0
        killed = undo_killed(stack, number)
        assert onlooker.lost == [], number
        assert command(stack, "undo").code == 0, number
        stack.later(60)
        before.as_before()
        assert onlooker.lost == [], number
        assert stack.host.edges == [], number
        if not killed:
            break
    assert 10 < number < 999


def undo_killed(stack: Simulation, number: int) -> bool:
    """Undo, to be killed at the point of that number; whether it was."""
    stack.points, stack._kill_at = [], number
    stack._agent, ended = stack.start(lambda out: move(StackFolder(stack.stack), "undo", out))
    return ended().code == KILLED


@pytest.mark.parametrize("kind", ["volume", "folder"])
def test_after_an_undo_killed_at_any_point_the_next_deployment_takes_over_again(
    make: Make, tmp_path: Path, kind: str
) -> None:
    data = str(tmp_path) if kind == "folder" else ""
    stack, _, _ = make(data)
    assert deploy(stack, shop(stack, data=data)).code == 0
    assert not undo_killed(stack, 1_000)
    for number in sample(list(range(len(stack.points)))):
        stack, before, onlooker = make(data)
        assert deploy(stack, shop(stack, data=data)).code == 0
        assert undo_killed(stack, number)
        if number % 2:
            stack.later(60)
        ended = deploy(stack, shop(stack, "2", data=data))
        assert ended.code == 0, (number, ended.err)
        before.stopped()
        assert stack.visit() == (200, "2"), number
        assert stack.versions() == {"db": ["2"], "web": ["2"], "worker": ["2"]}, number
        assert onlooker.lost == [], number
        assert command(stack, "undo").code == 0, number
        before.as_before()


def test_a_failed_deployment_killed_on_its_way_back_is_followed_by_one_that_takes_over(make: Make) -> None:
    stack, _, _ = make()
    broken = {"environment": {"MODE": "smoke"}}
    assert deploy(stack, shop(stack, **broken)).code == 1
    begin = next(number for number, what in enumerate(stack.points) if "old-db" in what or "DELETE" in what)
    for number in sample(list(range(begin, len(stack.points)))):
        stack, before, onlooker = make()
        assert deploy(stack, shop(stack, **broken), kill_at=number).code == KILLED, number
        ended = deploy(stack, shop(stack))
        assert ended.code == 0, (number, ended.err)
        before.stopped()
        assert stack.visit() == (200, "1"), number
        assert onlooker.lost == [], number


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("validated", [False, True])
def test_a_second_move_that_fails_brings_the_old_project_back_and_no_release(
    stack: Simulation, before: Before, onlooker: Onlooker, *, killed: bool, validated: bool
) -> None:
    moved = shop(stack)
    assert deploy(stack, moved).code == 0
    if validated:
        assert stack.validate(moved["id"]).code == 0
    assert command(stack, "undo").code == 0
    if killed:
        assert deploy(stack, shop(stack, "2"), kill="start:db:started").code == KILLED
    ended = deploy(stack, shop(stack, "3", environment={"MODE": "exit"}))
    assert "the project old runs again as before" in ended.error
    before.as_before()
    assert stack.versions() in ({}, {"db": [], "web": [], "worker": []})
    assert onlooker.lost == []


def test_what_cannot_begin_after_an_undo_says_that_the_old_project_runs(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    assert command(stack, "undo").code == 0
    ended = deploy(stack, shop(stack, "2"), options={"disk_minimum_mb": 10**9})
    assert "the project old runs, and not this stack" in ended.error
    before.as_before()


def test_a_preview_after_an_undo_that_was_cut_off_says_that_it_is_finished_first(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    assert deploy(stack, shop(stack)).code == 0
    assert undo_killed(stack, 18)
    assert command(stack, "show").report["state"] == "undoing"
    plan = stack.plan(shop(stack, "2"), move_from=["old"])
    said = {each["service"]: (each["action"], each["interrupts"]) for each in plan["changes"]}
    assert said["db"] == ("taken over", True)
    assert plan["changes"][0] == {
        "service": "old", "action": "undo finished", "interrupts": True, "seconds": None,
        "because": ["it was cut off: all of it runs again, and the stack stands still, before anything else is done"],
    }  # fmt: skip
    assert "refused" not in plan
    assert deploy(stack, shop(stack, "2")).code == 0
    assert [step.partition(":started")[0] for step in stack.steps() if step.endswith(":started")] == plan["steps"]
    before.stopped()
    assert onlooker.lost == []


@pytest.mark.parametrize("kind", ["volume", "folder"])
def test_without_moveFrom_an_undo_that_was_cut_off_is_finished_and_the_data_not_shared(  # noqa: N802  # the setting
    make: Make, tmp_path: Path, kind: str
) -> None:
    data = str(tmp_path) if kind == "folder" else ""
    stack, before, _ = make(data)
    assert deploy(stack, shop(stack, data=data)).code == 0
    assert undo_killed(stack, 18)
    ended = stack.deploy(shop(stack, "2", data=data), edge=stack.edge(http_port=3))
    assert f"{data or 'old_data'}{'' if data else ', which this stack adopts,'} is in use by old-db-1" in ended.error
    assert "pulumi config set --path 'moveFrom[0]' old" in ended.error
    before.as_before()


def test_an_undo_that_was_cut_off_is_not_finished_where_others_got_the_edge(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    assert deploy(stack, shop(stack)).code == 0
    assert undo_killed(stack, 0)
    other = Simulation(stack.host, "blog")
    web = other.web("1")
    web["services"]["web"]["routes"][0]["host"] = "blog.test"
    assert other.deploy(web).code == 0
    ended = deploy(stack, shop(stack, "2"))
    assert "the edge of this host serves blog, too" in ended.error
    assert "the undo of the move, which was cut off, is not finished yet" in ended.error
    assert "take blog off this host first" in ended.error
    assert stack.visit() == (200, "1")
    assert onlooker.lost == []
    assert other.destroy().code == 0
    assert deploy(stack, shop(stack, "2")).code == 0
    before.stopped()


def test_no_watch_is_left_to_roll_back_what_an_undo_is_stopping(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    order = stack.host.home / "stacks" / stack.stack / "watch.json"
    order.write_text("{}")
    assert undo_killed(stack, 0)
    assert not order.exists()
    assert command(stack, "undo").code == 0
    before.as_before()


def test_a_reboot_after_the_move_starts_nothing_of_the_old_project(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    del onlooker  # it asserts that nobody shares the volume
    assert deploy(stack, shop(stack)).code == 0
    for each in stack.containers():
        each.host["RestartPolicy"] = ALWAYS
    stack.host.engine.restart_engine()
    stack.later(5)
    before.stopped()
    assert stack.versions()["db"] == ["1"]


class Authority:
    """Gives a certificate for every name of a route that asks for one, once visitors of port 80 reach the edge."""

    def __init__(self, host: FakeHost, names: set[str]) -> None:
        self.host, self.names = host, names
        self.asked_in_vain = False
        self.given = False
        host.world.time.before.append(self._look)

    def _look(self) -> None:
        routers = [each for edge in self.host.edges for each in edge.http.get("routers", {}).values()]
        asked = any((each.get("tls") or {}).get("certResolver") for each in routers)
        reached = PORT in self.host.redirects or any(each.points["web"] == PORT for each in self.host.edges)
        self.asked_in_vain = self.asked_in_vain or (asked and not reached and not self.given)
        if asked and reached and not self.given:
            self.given = True
            self.host.world.time.at(self.host.world.time.now + 3.0, self._give)

    def _give(self) -> None:
        held = [{"domain": {"main": name}} for name in sorted(self.names)]
        for file in (self.host.home / "edge" / "acme").glob("*.json"):
            file.write_text(json.dumps({"acme": {"Certificates": held}}))


UNUSABLE = 13
"""what the script of the redirection says where iptables cannot be used"""
ACME = {"email": "it@shop.test", "server": "https://ca.test/", "ca": ""}


@pytest.mark.parametrize("names", [{"shop.test"}, set()], ids=["given", "not given"])
def test_tls_is_taken_over_once_the_edge_has_certificates(
    stack: Simulation, before: Before, onlooker: Onlooker, names: set[str]
) -> None:
    before.container("traefik").host["PortBindings"]["443/tcp"] = [{"HostIp": "", "HostPort": "2"}]
    authority = Authority(stack.host, names)
    held: list[set[int]] = []
    stack.world.time.before.append(lambda: held.append(set(stack.host.redirects)))
    ended = deploy(stack, shop(stack, host="shop.test"), edge=stack.edge(https=True, acme=ACME))
    assert not authority.asked_in_vain  # a certificate authority allows few failures an hour
    assert onlooker.lost == []
    assert {1} in held
    assert ({1, 2} in held) is bool(names)
    if names:
        assert ended.code == 0
        before.stopped()
        routers = stack.host.edges[0].http["routers"].values()
        assert any(each.get("tls") for each in routers)
        assert stack.plan(shop(stack, host="shop.test"), edge=stack.edge(https=True, acme=ACME))["steps"] == []
    else:
        assert "no certificate for shop.test within 120 s" in ended.error
        assert "the project old runs again as before" in ended.error
        before.as_before()


@pytest.mark.parametrize("names", [{"shop.test"}, set()], ids=["given", "not given"])
def test_without_redirection_certificates_are_asked_for_once_the_edge_has_its_ports(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch, names: set[str]
) -> None:
    monkeypatch.setattr("slipway.agent.edge.port_redirect.PortRedirect._run", lambda *_: UNUSABLE)
    before.container("traefik").host["PortBindings"]["443/tcp"] = [{"HostIp": "", "HostPort": "2"}]
    authority = Authority(stack.host, names)
    ended = deploy(stack, shop(stack, host="shop.test"), edge=stack.edge(https=True, acme=ACME))
    assert not authority.asked_in_vain
    assert "HTTPS has no certificate until the edge has got one" in ended.err + "".join(ended.out.errors)
    if names:
        assert ended.code == 0, ended.error
        before.stopped()
    else:
        assert "the project old runs again as before" in ended.error
        before.as_before()


def busy_once_there_are_rules(stack: Simulation, patch: pytest.MonkeyPatch) -> None:
    run = PortRedirect._run

    def stays(redirect: PortRedirect, ports: Mapping[int, int]) -> int:
        return run(redirect, ports) if ports or not stack.host.redirects else UNUSABLE

    patch.setattr(PortRedirect, "_run", stays)


def test_ports_that_stay_redirected_keep_the_edge_that_they_lead_to(
    stack: Simulation, before: Before, onlooker: Onlooker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another program holds the lock of iptables for longer than is waited."""
    assert deploy(stack, shop(stack)).code == 0
    with monkeypatch.context() as patch:
        busy_once_there_are_rules(stack, patch)
        ended = command(stack, "undo")
    assert ended.code == 1
    assert "ports of this host are still redirected" in ended.error
    assert stack.visit()[0] == 200
    assert command(stack, "undo").code == 0
    assert onlooker.lost == []
    before.as_before()


def test_a_failed_move_whose_rules_stay_does_not_say_as_before_and_undo_leads_out(
    stack: Simulation, before: Before, onlooker: Onlooker, monkeypatch: pytest.MonkeyPatch
) -> None:
    before.container("traefik").host["PortBindings"]["443/tcp"] = [{"HostIp": "", "HostPort": "2"}]
    Authority(stack.host, set())
    with monkeypatch.context() as patch:
        busy_once_there_are_rules(stack, patch)
        ended = deploy(stack, shop(stack, host="shop.test"), edge=stack.edge(https=True, acme=ACME))
        assert "ports of this host are still redirected" in ended.error
        assert "as before" not in ended.error
        assert ended.error.endswith("slipway move undo")
        assert command(stack, "undo").code == 1
    assert command(stack, "undo").report["state"] == "undone"
    assert onlooker.lost == []
    before.as_before()


@pytest.mark.parametrize("again", ["undo", "up"])
@pytest.mark.parametrize("cut_off", ["move", "undo"])
def test_killed_with_rules_nothing_is_done_before_they_are_seen_to_be_gone(
    make: Make, monkeypatch: pytest.MonkeyPatch, cut_off: str, again: str
) -> None:
    def killed_at(number: int) -> tuple[Simulation, Before, Onlooker, set[int]]:
        stack, before, onlooker = make()
        with_rules: set[int] = set()
        if cut_off == "undo":
            assert deploy(stack, shop(stack)).code == 0
        stack.world.time.before.append(lambda: with_rules.update([len(stack.points)] if stack.host.redirects else ()))
        undo_killed(stack, number) if cut_off == "undo" else deploy(stack, shop(stack), kill_at=number)
        return stack, before, onlooker, with_rules

    *_, with_rules = killed_at(1_000)
    tried = 0
    for number in sample(sorted(with_rules)):
        stack, before, onlooker, _ = killed_at(number)
        if not stack.host.redirects:
            continue
        tried += 1
        with monkeypatch.context() as patch:
            patch.setattr(PortRedirect, "_run", lambda *_: UNUSABLE)
            ended = command(stack, "undo") if again == "undo" else deploy(stack, shop(stack))
            assert "ports of this host are still redirected" in ended.error, number
            assert "as before" not in ended.error, number
        stack.later(60)
        assert command(stack, "undo").report["state"] == "undone", number
        before.as_before()
        assert onlooker.lost == [], number
    assert tried


def test_the_edge_does_not_go_while_rules_lead_to_it_though_the_old_proxy_is_gone(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    redirected = PortRedirect.set
    with monkeypatch.context() as patch:
        patch.setattr(PortRedirect, "set", lambda *each: redirected(*each) and stack.world.kill(stack._agent))
        assert deploy(stack, shop(stack)).code == KILLED
    before._ask("DELETE", f"/containers/{before.ids.pop('traefik')}?force=true")
    before.policies.pop("traefik")
    with monkeypatch.context() as patch:
        patch.setattr(PortRedirect, "_run", lambda *_: UNUSABLE)
        assert "ports of this host are still redirected" in command(stack, "undo").error
    assert len(stack.host.edges) == 1
    command(stack, "undo")
    before.as_before()
    assert stack.host.edges == []


@pytest.mark.parametrize("code", [1, UNUSABLE])
def test_without_redirection_the_port_is_refused_for_a_moment_only(
    stack: Simulation, before: Before, onlooker: Onlooker, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("slipway.agent.edge.port_redirect.PortRedirect._run", lambda *_: code)
    ended = deploy(stack, shop(stack))
    assert ended.code == 0
    assert "for about a second connections are refused" in ended.err + "".join(ended.out.errors)
    assert {what for _, what in onlooker.lost} == {"refused"}
    assert onlooker.lost[-1][0] - onlooker.lost[0][0] < 2
    before.stopped()
    assert command(stack, "undo").code == 0
    before.as_before()


def test_a_stack_that_can_still_be_undone_is_not_destroyed(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    ended = stack.destroy()
    assert "took over from old, and that is not finished" in ended.error
    assert stack.visit() == (200, "1")
    assert command(stack, "finish").code == 0
    assert stack.destroy().code == 0
    assert VOLUME in stack.host.engine.volumes
    before.stopped()


@pytest.mark.parametrize("more", [["old", "old-extra-1"], ["other", "old-extra-1"]])
def test_names_that_come_after_a_move_that_was_cut_off_lose_no_way_back(
    stack: Simulation, before: Before, more: list[str]
) -> None:
    assert deploy(stack, shop(stack), kill="stop-old:db:finished").code == KILLED
    image = before.container("web").config["Image"]
    before.ids["extra"] = before._run("extra", image, ALWAYS)
    before.policies["extra"] = ALWAYS
    assert stack.deploy(shop(stack), move_from=more).code == 0
    before.stopped()
    assert command(stack, "undo").code == 0
    before.as_before()


def test_another_name_in_the_setting_loses_no_way_back(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    before._run("extra", before.container("web").config["Image"], ALWAYS)
    assert stack.deploy(shop(stack, "2"), move_from=["old", "other"]).code == 0
    assert command(stack, "undo").report["project"] == "old"
    before.as_before()


def test_undo_is_refused_while_others_need_the_edge(stack: Simulation, before: Before, onlooker: Onlooker) -> None:
    assert deploy(stack, shop(stack)).code == 0
    other = Simulation(stack.host, "blog")
    web = other.web("1")
    web["services"]["web"]["routes"][0]["host"] = "blog.test"
    assert command(stack, "show").report["edge_with"] == []
    planned = {each["service"]: each["because"] for each in other.plan(web)["changes"]}
    ends = "from then on `slipway move undo` of stack shop is refused: finish its move first"
    assert planned["edge"] == ["blog joins it", ends]
    assert other.deploy(web).code == 0
    third = Simulation(stack.host, "third")
    web["services"]["web"]["routes"][0]["host"] = "third.test"
    assert "third joins it" in str(plan := third.plan(web)), "the way back is gone already"
    assert ends not in str(plan)
    assert command(stack, "show").report["edge_with"] == ["blog"]
    ended = command(stack, "undo")
    assert "the edge of this host serves blog, too" in ended.error
    assert stack.visit() == (200, "1")
    before.stopped()
    assert onlooker.lost == []


def test_an_undo_that_needs_no_port_of_the_edge_is_none_of_the_other_stacks_business(
    stack: Simulation, before: Before
) -> None:
    edge = stack.edge(http_port=3)
    assert deploy(stack, shop(stack), edge=edge).code == 0
    other = Simulation(stack.host, "blog")
    web = other.web("1")
    web["services"]["web"]["routes"][0]["host"] = "blog.test"
    assert other.deploy(web, edge=other.edge(http_port=3)).code == 0
    ended = command(stack, "undo")
    assert ended.code == 0, ended.error
    before.as_before()
    assert other.versions() == {"web": ["1"]}


def test_a_stack_that_ran_before_a_move_that_fails_runs_on_as_if_there_had_been_none(
    stack: Simulation, before: Before
) -> None:
    job = stack.release({"job": stack.service()})
    assert stack.deploy(job).code == 0
    for _ in range(2):
        assert deploy(stack, stack.release({"job": stack.service(environment={"MODE": "exit"})})).code != 0
        before.as_before()
        assert [each.running for each in stack.containers("job")] == [True]
        assert stack.probe()["move"] is None
    assert stack.deploy(job).code == 0


def test_a_project_that_does_not_run_is_no_reason_to_stop(stack: Simulation) -> None:
    assert deploy(stack, stack.web("1")).code == 0
    assert command(stack, "show").report["state"] == ""
    assert stack.visit() == (200, "1")


def test_an_undo_says_what_somebody_removed_meanwhile(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    before._ask("DELETE", f"/containers/{before.ids['worker']}")
    ended = command(stack, "undo")
    assert "not all of old runs again: old-worker-1 was removed and is not there to start" in ended.error
    assert "in its folder on the host: docker compose -p old up -d" in ended.error
    assert before.container("db").running
    assert command(stack, "show").report["state"] == "undone"


def test_an_undo_says_what_does_not_start(stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.agent.move.undo.check_way_back", lambda *_: None)  # it was free a moment ago
    before.container("worker").host["PortBindings"] = {"9/tcp": [{"HostIp": "", "HostPort": "9"}]}
    assert deploy(stack, shop(stack)).code == 0
    before._run("other", before.container("web").config["Image"], ALWAYS, project="other",
                PortBindings={"9/tcp": [{"HostIp": "", "HostPort": "9"}]})  # fmt: skip
    ended = command(stack, "undo")
    assert "not all of old runs again: old-worker-1 does not run: failed to set up container networking" in ended.error
    assert before.container("db").running
    assert before.container("traefik").running


def test_an_undo_takes_nothing_down_for_a_project_without_its_database(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    before._ask("DELETE", f"/containers/{before.ids['db']}?force=true")
    ended = command(stack, "undo")
    assert f"old cannot run again: old-db-1 was removed, which worked on {VOLUME} — nothing was changed" in ended.error
    assert ended.error.endswith("slipway move finish")
    assert stack.visit() == (200, "1")
    assert command(stack, "show").report["state"] == "moved"


def test_with_nothing_left_to_go_back_to_the_stack_runs_on(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    for each in before.ids.values():
        before._ask("DELETE", f"/containers/{each}")
    ended = command(stack, "undo")
    assert "nothing is left of old: old-db-1 was removed" in ended.error
    assert "slipway move finish" in ended.error
    assert stack.visit() == (200, "1")
    assert command(stack, "finish").report["state"] == "finished"


@pytest.mark.parametrize("mode", ["bridge", "host", "none"])
def test_old_containers_on_networks_without_names_are_taken_over(
    stack: Simulation, before: Before, onlooker: Onlooker, mode: str
) -> None:
    web, worker = before.container("web"), before.container("worker")
    for each in (worker, web):
        before._ask("POST", f"/networks/{mode}/connect", {"Container": each.id})
        before._ask("POST", "/networks/old_default/disconnect", {"Container": each.id})
        each.host["NetworkMode"] = mode
    assert deploy(stack, shop(stack)).code == 0
    before.stopped()
    assert command(stack, "undo").code == 0
    before.as_before()
    assert onlooker.lost == []


@pytest.mark.parametrize("mode", ["host", "none", "service:db"])
def test_a_service_that_can_be_on_no_other_network_takes_over(stack: Simulation, before: Before, mode: str) -> None:
    wanted = shop(stack)
    worker = wanted["compose"]["services"]["worker"]
    del worker["networks"]
    worker["network_mode"] = mode
    assert deploy(stack, wanted).code == 0
    before.stopped()
    assert command(stack, "undo").code == 0
    before.as_before()


def test_who_takes_over_answers_to_every_name_that_the_old_ones_had(stack: Simulation, before: Before) -> None:
    before._run("db-reader", before.container("web").config["Image"], ALWAYS, Mounts=[
        {"Type": "volume", "Source": VOLUME, "Target": "/data"}])  # fmt: skip
    assert deploy(stack, shop(stack)).code == 0
    names = stack.containers("db")[0].endpoints["old_default"]["Aliases"]
    assert names == ["db", "old-db-1", "db-reader", "old-db-reader-1"]


def test_what_is_gone_once_it_is_stopped_is_not_taken_over(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    before.container("worker").host["AutoRemove"] = True
    [refused] = stack.plan(shop(stack), move_from=["old"])["refused"]
    assert refused["what"] == "old-worker-1 of old was started with `docker run --rm`"
    assert refused["fix"] == "docker stop old-worker-1"
    assert refused["what"] in deploy(stack, shop(stack)).error
    before.untouched()
    before._ask("POST", f"/containers/{before.ids.pop('worker')}/stop")
    before.policies.pop("worker")
    assert deploy(stack, shop(stack)).code == 0
    before.stopped()
    assert command(stack, "undo").code == 0
    before.as_before()
    assert onlooker.lost == []


def test_one_that_takes_minutes_to_stop_gets_them(stack: Simulation, before: Before, onlooker: Onlooker) -> None:
    database = before.container("db")
    database.config |= {"StopTimeout": 120, "Env": ["STOPS=90"]}
    database.program = old_program(database.environment, [])
    assert deploy(stack, shop(stack)).code == 0
    assert database.code == 0  # it ended by itself, not by SIGKILL
    before.stopped()
    assert onlooker.lost == []


def test_an_edge_is_none_to_take_over_from(stack: Simulation, before: Before) -> None:
    ended = stack.deploy(shop(stack), move_from=["old", "slipway-edge-0c54dc-2"])
    assert "moveFrom names slipway-edge-0c54dc-2, an edge of Slipway" in ended.error
    assert "pulumi config rm --path 'moveFrom[1]'" in ended.error
    before.untouched()


@pytest.mark.parametrize("names", [["shop"], ["old", "shop"], ["shop-db-1"], []], ids=str)
def test_a_stack_takes_over_from_nothing_that_is_called_as_it_is(
    stack: Simulation, before: Before, names: list[str]
) -> None:
    before._run("db", before.container("web").config["Image"], ALWAYS, project="shop")
    [refused] = stack.plan(shop(stack), move_from=names)["refused"]
    assert refused["what"] == (
        f"moveFrom names {names[-1]}, and shop is what this stack itself is called on its hosts" if names else
        "shop-db-1 of a Compose project shop is here already, as this stack is called, too"
    )  # fmt: skip
    assert refused["fix"] == "pulumi config set name app-new"
    ended = stack.deploy(shop(stack), move_from=names)
    assert refused["what"] in ended.error
    before.untouched()
    assert [(each.run, each.running) for each in stack.containers()] == [(1, True)]


def test_what_a_swarm_would_start_again_is_not_taken_over(stack: Simulation, before: Before) -> None:
    before.container("db").config["Labels"] |= {"com.docker.swarm.task.id": "x"}
    ended = deploy(stack, shop(stack))
    assert "the volume old_data, which this stack adopts, is in use by old-db-1" in ended.error
    before.untouched()


def test_a_service_does_not_start_without_the_data_that_the_old_one_has(stack: Simulation, before: Before) -> None:
    wanted = shop(stack, volumes={"data": {"name": "shop_data"}})
    [refused] = stack.plan(wanted, move_from=["old"])["refused"]
    what = "db would start without the data of old-db-1, which is in the volume old_data (/data)"
    assert (refused["what"], refused["fix"]) == (what, "pulumi config set --path adoptVolumes.data old_data")
    assert what in deploy(stack, wanted).error
    before.untouched()
    before._ask("POST", "/volumes/create", {"Name": "shop_data"})  # to begin anew, as the error has it
    assert deploy(stack, wanted).code == 0
    before.stopped()


def test_a_preview_names_the_data_that_nobody_takes_over(stack: Simulation, before: Before) -> None:
    wanted = shop(stack, volumes={"data": {"name": "shop_data"}})
    wanted["compose"]["services"]["db"]["volumes"][0]["target"] = "/data2"
    plan = stack.plan(wanted, move_from=["old"])
    [change] = [each for each in plan["changes"] if each["action"] == "data not taken over"]
    assert (change["service"], change["because"]) == ("old", ["volume old_data (/data of old-db-1)"])
    assert deploy(stack, wanted).code == 0
    before.stopped()
    assert stack.plan(wanted, move_from=["old"])["changes"] == []


FOLDER = "com.docker.compose.project.working_dir"


def test_of_two_folders_whose_projects_have_one_name_nothing_is_stopped_that_was_not_named(
    stack: Simulation, before: Before
) -> None:
    for name in before.ids:
        before.container(name).config["Labels"][FOLDER] = "/opt/blog/docker" if name == "worker" else "/opt/shop/docker"
    [refused] = stack.plan(shop(stack), move_from=["old"])["refused"]
    assert refused["what"] == (
        "old, which moveFrom names, runs from several folders: /opt/blog/docker (old-worker-1), "
        "/opt/shop/docker (old-db-1, old-web-1, old-traefik-1)"
    )
    named = ["old-db-1", "old-web-1", "old-traefik-1"]
    pairs = [f"--plaintext 'moveFrom[{at}]={name}'" for at, name in enumerate(named)]
    assert refused["fix"] == f"pulumi config set-all --path {' '.join(pairs)}"
    assert refused["what"] in deploy(stack, shop(stack)).error
    before.untouched()
    assert stack.deploy(shop(stack), move_from=named).code == 0
    assert before.container("worker").running
    assert before.container("worker").host["RestartPolicy"] == before.policies["worker"]


def test_one_application_of_two_folders_is_taken_over_where_both_are_named(stack: Simulation, before: Before) -> None:
    for name in before.ids:
        before.container(name).config["Labels"][FOLDER] = "/srv/releases/2" if name == "web" else "/srv/releases/1/"
    assert stack.deploy(shop(stack), move_from=["old", "old-web-1"]).code == 0
    before.stopped()


def test_finish_removes_nothing_of_another_folder(stack: Simulation, before: Before) -> None:
    for name in ("seed", "other"):
        before.ids[name] = before._run(name, before.container("web").config["Image"], {"Name": "no"})
        before._ask("POST", f"/containers/{before.ids[name]}/stop")
    for name in before.ids:
        before.container(name).config["Labels"][FOLDER] = "/opt/blog" if name == "other" else "/opt/shop"
    assert deploy(stack, shop(stack)).code == 0
    assert command(stack, "finish").report["ended"] == ["old-seed-1"]
    command(stack, "remove")
    assert set(before.ids.values()).intersection(stack.host.engine.containers) == {before.ids["other"]}


@pytest.mark.parametrize("how", [{}, {"move_from": ["other"]}])
def test_data_that_somebody_works_on_is_not_adopted_without_him(
    stack: Simulation, before: Before, how: dict[str, list[str]]
) -> None:
    [refused] = stack.plan(shop(stack), **how)["refused"]
    assert refused["what"] == "the volume old_data, which this stack adopts, is in use by old-db-1"
    assert refused["fix"] == f"pulumi config set --path 'moveFrom[{len(how)}]' old"
    assert "is in use by old-db-1" in stack.deploy(shop(stack), **how).error
    before.untouched()


def test_an_old_container_that_somebody_starts_after_the_move_is_named_with_what_stops_it(
    stack: Simulation, before: Before
) -> None:
    assert deploy(stack, shop(stack)).code == 0
    before._ask("POST", f"/containers/{before.ids['db']}/start")
    [refused] = stack.plan(shop(stack, "2"), move_from=["old"])["refused"]
    assert refused["what"] == "the volume old_data, which this stack adopts, is in use by old-db-1"
    assert refused["fix"] == "docker stop old-db-1"


def test_a_volume_whose_name_the_file_fixes_needs_no_adoption(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    wanted = shop(stack, volumes={"data": {"name": VOLUME}})
    assert "is used by old-db-1 of old" in stack.deploy(wanted).error
    assert deploy(stack, wanted).code == 0
    before.stopped()
    assert onlooker.lost == []
