"""No request is lost while the agent changes a routed service: the packed agent, Docker and Traefik of this machine.

Every failure and every crash is tried on the simulated machine (tests/unit/agent/orchestration); the same as here
through Pulumi and SSH is in `test_traffic`.
"""

from __future__ import annotations

import collections
import contextlib
import http.server
import json
import os
import signal
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from agent_harness import docker, eventually, pack, release, service
from moving import KEEPS, Before
from routed import nothing_lost
from routed_agent import RoutedAgent
from traffic import Load, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from workload import Images

REQUESTS = int(os.environ.get("SLIPWAY_TEST_REQUESTS", "1500"))
"""Requests that each change is under, at least; 20000 is what the promise was shown with (see dev/bench/traffic.md)."""
RATE = 300
OLD_SECONDS = 5
HOOK = "canary-hook-5f0c1e7a"


@pytest.fixture(scope="module")
def made(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RoutedAgent]]:
    """Makes agents with homes of their own; their stacks and edges go at the end."""
    archive = pack(tmp_path_factory.mktemp("agent") / "agent.pyz")
    agents: list[RoutedAgent] = []

    def make() -> RoutedAgent:
        home = tmp_path_factory.mktemp("home")
        agents.append(RoutedAgent(archive, home, f"t{uuid.uuid4().hex[:8]}", images.one))
        return agents[-1]

    yield make
    for agent in agents:
        for process in agent.processes:
            process.kill()
        ended = agent.destroy()
        left = [*agent.containers().values(), *agent.networks(), *agent.edge_containers()]
        for each in left:
            docker("rm", "-f", *each, check=False)
        assert ended.code == 0, ended.err
        assert not left


@pytest.fixture(scope="module")
def agent(made: Callable[..., RoutedAgent]) -> RoutedAgent:
    """A routed service, live as version `first`; each test leaves some version live."""
    agent = made()
    ended = agent.up("first")
    assert ended.code == 0, ended.err
    eventually(lambda: agent.ask() == (200, "first"), 5)
    return agent


@contextlib.contextmanager
def loaded(agent: RoutedAgent, requests: int = REQUESTS, rate: int = RATE) -> Iterator[list[Result]]:
    """Traffic around a block: from before it until `requests` were sent; the result is put into the list."""
    found: list[Result] = []
    limits = {"limit_seconds": 540, "limit_requests": 200_000}
    with Load(agent.url, rate=rate, long=2, long_seconds=2, websockets=2, **limits) as load:  # type: ignore[arg-type]
        load.until(rate // 2)
        load.mark("during")
        yield found
        load.mark("after")
        load.until(max(requests, load.sent() + rate))
    found.append(load.result())


def only(agent: RoutedAgent, version: str) -> None:
    """That version alone answers, and nothing of another one is left."""
    assert {agent.ask()[1] for _ in range(10)} == {version}
    containers = agent.containers()["web"]
    values = [docker("inspect", "-f", "{{.Config.Env}}", each) for each in containers]
    assert all(f"VERSION={version} " in f"{each} " or f"VERSION={version}]" in each for each in values), values


def versions_in_order(result: Result, old: str, new: str) -> None:
    """Both answered, and the old one not long after the new one began to."""
    assert {old, new} <= set(result.versions), result.describe()
    assert result.versions[old].last_due - result.versions[new].first < OLD_SECONDS, result.describe()


def test_rolling(agent: RoutedAgent) -> None:
    with loaded(agent) as results:
        ended = agent.up("rolled")
        assert ended.code == 0, ended.err
    nothing_lost(results[0])
    versions_in_order(results[0], "first", "rolled")
    only(agent, "rolled")
    assert agent.probe()["drift"] == []
    before = agent.containers()
    again = agent.up("rolled")
    assert again.document["outcome"] == "unchanged"
    assert again.document["touched"] == []
    assert agent.containers() == before


def test_rolling_in_batches(agent: RoutedAgent) -> None:
    assert agent.up("rolled", replicas=3).code == 0
    with loaded(agent) as results:
        ended = agent.up("batches", replicas=3, update={"parallelism": 1, "delay": 0.3})
        assert ended.code == 0, ended.err
    nothing_lost(results[0])
    only(agent, "batches")
    assert len(agent.containers()["web"]) == 3
    with loaded(agent) as results:
        assert agent.up("batches", replicas=1).code == 0
    nothing_lost(results[0])
    assert len(agent.containers()["web"]) == 1


# Asks for its upstream's addresses once, when it starts, and turns to one after the other, without a second try.
PROXY = """
import http.client, http.server, itertools, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
addresses = sorted({each[4][0] for each in socket.getaddrinfo("api", 8000, socket.AF_INET)})
print("found", *addresses, flush=True)
turns = itertools.cycle(addresses)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, version = 200, ""
        if self.path.startswith("/api"):
            connection = http.client.HTTPConnection(next(turns), 8000, timeout=2)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                status, version = answer.status, answer.headers.get("X-Version", "")
            except OSError:
                status = 502
        self.send_response(status)
        self.send_header("X-Version", version)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def behind_a_proxy(agent: RoutedAgent, version: str, *, follows: bool) -> dict[str, Any]:
    """A proxy with the route, which does not change, in front of `api`."""
    rolls = {"strategy": "rolling", "update": {"order": "start-first"}}
    check = {"kind": "http", "port": 8000, "deadline": 20, "path": "/api", "status": 200}
    front = service(agent.image, entrypoint=["python3", "-IS", "-c", PROXY], stop_grace_period="5s")
    front["depends_on"] = {"api": {"condition": "service_healthy", "restart": follows}}
    services = {"api": service(agent.image, environment={"VERSION": version}, stop_grace_period="5s"), "front": front}
    routed = {**rolls, "routes": [{"host": "", "path": "/", "strip": False}], "smoke": [check]}
    return release(agent.stack, services, slipway={"api": rolls, "front": routed})


def test_behind_a_proxy_that_resolves_a_name_once(made: Callable[..., RoutedAgent]) -> None:
    agent = made()
    wanted = behind_a_proxy(agent, "first", follows=True)
    assert agent.deploy(wanted, edge=agent.edge()).code == 0
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            answers.append(agent.ask("/api"))

    visitor = threading.Thread(target=visit)
    visitor.start()
    ended = agent.deploy(behind_a_proxy(agent, "second", follows=True), edge=agent.edge())
    eventually(lambda: answers[-1] == (200, "second"), 5)
    begin = len(answers)
    eventually(lambda: len(answers) > begin + 100, 20)
    over.set()
    visitor.join()
    assert ended.code == 0, ended.err
    assert set(answers) == {(200, "first"), (200, "second")}, collections.Counter(answers)
    assert set(answers[begin:]) == {(200, "second")}
    apart = behind_a_proxy(agent, "second", follows=False)
    assert agent.deploy(apart, edge=agent.edge()).document["touched"] == ["front"]  # it was linked to what it followed
    over.clear()
    visitor = threading.Thread(target=visit)
    visitor.start()
    ended = agent.deploy(behind_a_proxy(agent, "third", follows=False), edge=agent.edge())
    over.set()
    visitor.join()
    assert "front goes on asking the old containers of api" in ended.err
    assert "which serves" in ended.err
    assert set(answers[begin:]) == {(200, "second")}, collections.Counter(answers[begin:])


def test_blue_green_keeps_the_old_generation_for_a_way_back_at_once(agent: RoutedAgent) -> None:
    assert agent.up("blue", strategy="blue-green").code == 0
    with loaded(agent) as results:
        ended = agent.up("green", strategy="blue-green", keep=60, preview="next.shop.test")
        assert ended.code == 0, ended.err
        assert "preview:web finished" in agent.steps()
        assert len(agent.containers()["web"]) == 2
        assert agent.probe()["drift"] == []
        back = agent.up("blue", strategy="blue-green", keep=60)
        assert back.code == 0, back.err
    nothing_lost(results[0])
    assert not any(step.startswith("grow:") for step in agent.steps())
    assert agent.ask() == (200, "blue")
    assert agent.up("blue", strategy="rolling").code == 0


def test_a_release_that_listens_on_another_port_gets_no_request(agent: RoutedAgent) -> None:
    """Also what only the real parts show: sockets of a container, a command in it, a request through Traefik."""
    assert agent.up("here", smoke=[{"kind": "command", "command": ["python", "-c", "pass"], "deadline": 9}]).code == 0
    for how, said in (
        (
            {"environment": {"LISTEN": "9000"}},
            "nothing listens on port 8000 of web (the route's port): it listens on 9000",
        ),
        ({"smoke": [{"kind": "command", "command": ["sh", "-c", "echo no; exit 3"], "deadline": 1}]}, "exit code 3"),
    ):
        with loaded(agent) as results:
            ended = agent.up("there", **{"smoke": [], "healthcheck": {"test": ["CMD", "true"]}, **how})
        assert ended.code == 1, ended.err
        assert said in ended.err
        nothing_lost(results[0])
        only(agent, "here")
    well = {"healthcheck": {"test": ["CMD", "true"]}, "environment": {"LISTEN": "9000"}}
    assert agent.up("elsewhere", smoke=None, **well).code == 0
    assert agent.ask()[0] == 502
    assert agent.up("first").code == 0


CANARY = {"steps": [20, 50, 100], "pause": 2.0, "minimum": 40, "patience": 4.0, "too_little": "fail",
          "error_relative": 0.1, "error_floor": 0.01, "latency_relative": 0.2, "latency_floor": 0.05}  # fmt: skip


def test_good_canary_is_promoted(agent: RoutedAgent) -> None:
    with loaded(agent, RATE * 8) as results:
        # a busy machine slows both sides, but not always alike: that is not what this is about
        ended = agent.up("promoted", strategy="canary", canary={**CANARY, "latency_floor": 1.0})
        assert ended.code == 0, ended.err
    nothing_lost(results[0])
    assert [step for step in agent.steps() if step.startswith(("shift", "judge"))] == [
        f"{step} {state}"
        for step in ("shift:web:20", "judge:web:20", "shift:web:50", "judge:web:50", "shift:web:100")
        for state in ("started", "finished")
    ]
    only(agent, "promoted")


def test_worse_canary_is_stopped_at_its_first_step(agent: RoutedAgent) -> None:
    live = agent.ask()[1]
    with loaded(agent, RATE * 8) as results:
        ended = agent.up("worse", strategy="canary", canary=CANARY, environment={"SLOW_MS": "150"})
        assert "the canary of web is worse at 20 % of the traffic" in ended.error
        assert "p95" in ended.error
    nothing_lost(results[0])
    assert not any("judge:web:50" in step for step in agent.steps())
    only(agent, live)


@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("smoke", {"SMOKE_FAILS": "1"}, "smoke check of web failed"),
        ("crashes", {"CRASH_AFTER": "0.01"}, "web"),
    ],
)
def test_bad_release_gets_no_request_that_matters(
    agent: RoutedAgent, name: str, environment: dict[str, str], said: str
) -> None:
    live = agent.ask()[1]
    with loaded(agent) as results:
        ended = agent.up(f"bad-{name}", environment=environment, options={"health_deadline": 10})
        assert said in ended.error
        assert "serves" in ended.error
    nothing_lost(results[0])
    only(agent, live)


def test_crash_after_the_shift_is_seen_and_the_old_generation_serves(agent: RoutedAgent) -> None:
    live = agent.ask()[1]
    with loaded(agent) as results:
        ended = agent.up("crashes-later", environment={"CRASH_AFTER": "4"}, update={"monitor": 8})
        assert "web" in ended.error
        assert "after it began to serve" in ended.error or "restarted" in ended.error
    only(agent, live)
    # its own crash loses what it was answering at that moment; nothing else does
    assert sum(results[0].requests.failed.values()) < RATE * 2, results[0].describe()


def test_edge_restart_and_upgrade(agent: RoutedAgent) -> None:
    live = agent.ask()[1]
    before = agent.edge_containers()
    with loaded(agent) as results:
        # other static settings: what an upgrade of Traefik is to the edge
        changed = agent.edge(acme={"email": "ops@shop.test", "server": "https://ca.shop.test/directory", "ca": ""})
        ended = agent.deploy(agent.release(live), edge=changed)
        assert ended.code == 0, ended.err
    result = results[0]
    # Traefik cannot hand a WebSocket over: it ends when the old container's 30 s of grace are over.
    assert result.requests.failed == result.long.failed == {}, result.describe()
    assert set(result.websockets.failed) <= {"reset"}, result.describe()
    after = agent.edge_containers()
    assert len(after) == 1
    assert set(after).isdisjoint(before)


def test_agent_killed_in_the_middle_of_a_change(made: Callable[..., RoutedAgent]) -> None:
    """Every other moment is tried on the simulated machine."""
    agent = made()
    assert agent.up("zero").code == 0
    with loaded(agent, rate=100) as results:
        for point in ("shift:web:100:started", "retire:web:0:started"):
            killed = agent.up(f"at-{point}", agent={"SLIPWAY_TEST_KILL_AFTER": point})
            assert killed.code == -signal.SIGKILL, (point, killed.err)
            assert agent.ask()[0] == 200, point
            fixed = agent.up(f"at-{point}")
            assert fixed.code == 0, (point, fixed.err)
            only(agent, f"at-{point}")
    nothing_lost(results[0])


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A place for messages: its address, with a secret in it, and what came."""
    came: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append({"path": self.path, **json.loads(self.rfile.read(int(self.headers["Content-Length"])))})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{HOOK}", came
        server.shutdown()


RULES = {"seconds": 120, "minimum": 50, "error_relative": 0.1, "error_floor": 0.01, "latency_relative": 0.2,
         "latency_floor": 0.05, "restarts": 2, "notify": None}  # fmt: skip


def test_watch_brings_the_release_before_back_and_says_so(made: Callable[..., RoutedAgent]) -> None:
    agent = made()
    assert agent.up("good").code == 0
    with listening() as (address, came), Load(agent.url, rate=RATE) as load:
        load.until(RATE)
        target = {"to": "webhook", "url": address, "events": ["rolled-back"], "name": "ops", "sender": "",
                  "recipients": []}  # fmt: skip
        told_of = {"stack": "production", "commit": "c0ffee", "subject": "Sours", "author": "Ada"}
        rules = {**RULES, "notify": {"targets": [target], **told_of}}
        ended = agent.up("sours", environment={"FAIL_RATE": "0.5"}, watch=rules, keep=60)
        assert ended.code == 0, ended.err
        eventually(lambda: agent.ledger()[-1] == "returned", 30)
        load.until(load.sent() + RATE)
        eventually(lambda: came, 10)
    result = load.result()
    assert set(result.requests.failed) <= {"status_500"}, result.describe()
    assert agent.ledger()[-2:] == ["rejected", "returned"]
    only(agent, "good")
    [message] = came
    assert message["path"] == f"/{HOOK}"
    assert "rolled back to release" in message["text"]
    assert message["content"] == message["text"]
    assert (message["event"], message["subject"], message["author"]) == ("rolled-back", "Sours", "Ada")
    told = [path for path in agent.home.rglob("*") if path.is_file() and HOOK in path.read_text(errors="replace")]
    assert not told, "the address is a secret"
    probe = agent.probe()
    assert probe["last"]["outcome"] == "returned"
    assert "errors" in probe["last"]["reason"]
    assert probe["watch"]["state"] == "returned"
    assert probe["convergence"] == ""
    assert agent.up("good").code == 0


def test_watch_outlives_its_deployment_and_ends_by_itself(made: Callable[..., RoutedAgent]) -> None:
    agent = made()
    assert agent.up("good").code == 0
    assert agent.up("well", watch={**RULES, "seconds": 4}, keep=2).code == 0
    eventually(lambda: agent.probe()["watch"], 4)
    first = agent.probe()["watch"]
    assert (first["state"], first["alive"]) == ("watching", True)
    eventually(lambda: agent.probe()["watch"]["state"] == "over", 20)
    eventually(lambda: not agent.probe()["watch"]["alive"], 10)
    only(agent, "well")
    assert agent.ledger()[-1] == "deployed"


@pytest.fixture
def before(made: Callable[..., RoutedAgent], tmp_path: Path) -> Iterator[Before]:
    """A Compose project that has the port of an agent's edge."""
    found = Before(made(), f"before-{uuid.uuid4().hex[:8]}", tmp_path)
    found.up()
    yield found
    found.down()


def test_moving_over_from_a_compose_project_and_back(before: Before) -> None:
    agent = before.agent

    def load() -> Load:  # a WebSocket does not outlive the proxy that it goes through
        return Load(agent.url, rate=RATE, long=2, long_seconds=2, fresh=0.3, limit_seconds=300, limit_requests=100_000)

    before.ask_db(f"{before.name}-db-1", "append/kept")
    with load() as there:
        there.until(RATE)
        ended = before.move()
        assert ended.code == 0, ended.err
        there.until(there.sent() + RATE)
    result = there.result()
    assert result.failed == 0, result.describe()
    versions_in_order(result, "before", "after")
    assert "kept" in before.ask_db(f"{agent.stack}-db-1")
    assert before.running() == []
    shown = before.command("show")
    assert (shown["state"], len(shown["containers"]), shown["networks"]) == ("moved", 3, [f"{before.name}_default"])

    before.ask_db(f"{agent.stack}-db-1", "append/more")
    with load() as back:
        back.until(RATE)
        assert before.command("undo")["state"] == "undone"
        back.until(back.sent() + RATE)
    result = back.result()
    assert result.failed == 0, result.describe()
    versions_in_order(result, "after", "before")
    assert "more" in before.ask_db(f"{before.name}-db-1")
    policy = docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", f"{before.name}-db-1")
    assert policy == "unless-stopped"

    assert before.move().code == 0
    assert before.serves("after")
    assert before.command("remove")["containers"] == []
    assert "more" in before.ask_db(f"{agent.stack}-db-1")
    assert agent.probe()["drift"] == []


@pytest.mark.parametrize("depends", ["\n    depends_on: [web]", ""], ids=["named", "unnamed"])
def test_a_proxy_that_keeps_an_address_serves_again_after_an_undo(
    made: Callable[..., RoutedAgent], tmp_path: Path, depends: str
) -> None:
    before = Before(made(), f"before-{uuid.uuid4().hex[:8]}", tmp_path, KEEPS, depends)
    with contextlib.ExitStack() as stack:
        stack.callback(before.down)
        before.up()
        for version in ("after", "later"):
            ended = before.move(version)
            assert ended.code == 0, ended.err
            assert before.serves(version)
        assert before.command("undo")["slow"] == []
        assert before.serves("before")
        assert len(before.running()) == 3
