"""A stack on a simulated host: releases are built, deployed by the real agent, and looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_harness import document, release
from fake_machine import SilentOutput
from programs import NEVER, Program
from witness import Witness

from slipway.agent.deploy.deploy import deploy, planned
from slipway.agent.deploy.destroy import destroy
from slipway.agent.host_probe import probe
from slipway.agent.state.owner import owner_of
from slipway.agent.state.stack_dir import StackFolder
from slipway.agent.state.validation_mark import mark
from slipway.agent.watch.watch import start_watch
from slipway.contract.deployment import Deployment
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fake_docker import Container
    from fake_machine import FakeHost
    from virtual_time import Process

KILLED = -9
PORT = 8000
SMOKE = {"kind": "http", "port": PORT, "deadline": 2, "path": "/smoke", "status": 200}


def behaviour(environment: Mapping[str, str], command: list[str]) -> Program:
    """One program for all that tests need; its environment says how it behaves."""
    mode = environment.get("MODE", "")
    if command:
        return (
            Program(exits=0.2, code=3 if command[0] == "fail" else 0, says=(f"running {' '.join(command)}",))
            if (command[0] != "hang")
            else Program(stops=NEVER, says=("running hang",))
        )
    text = environment.get("TEXT", "")
    says = (f"starting {environment.get('VERSION', '?')}",)
    return {
        "": Program(says=says),
        "exit": Program(ready=NEVER, exits=0.05, code=7, says=(*says, "cannot start: out of luck")),
        "refused": Program(
            ready=NEVER, exits=0.05, code=1, says=(*says, 'FATAL:  password authentication failed for user "shop"')
        ),
        "done": Program(ready=NEVER, exits=0.05, says=says),
        "sick": Program(healthy=False, says=says),
        "never": Program(ready=NEVER, says=says),
        "elsewhere": Program(ports=("9000",), says=says),
        "alone": Program(ports=("127.0.0.1:8000",), says=says),
        "nowhere": Program(ports=("127.0.0.11:53",), says=says),
        "proxy": Program(upstream="api", says=says),
        "anew": Program(upstream=environment.get("UPSTREAM", "api"), itself=("/",), resolves=10.0, says=says),
        "core proxy": Program(upstream="core", says=says),
        "front": Program(upstream=environment.get("UPSTREAM", "api"), itself=("/",), says=says),
        "refusing": Program(answers={"/": (401, "who?")}, says=says),
        "choosy": Program(ports=("8000",), says=says),
        "partly": Program(answers={"/gone": (504, "no")}, says=says),
        "unavailable": Program(answers={"/": (503, "no")}, says=says),
        "pending": Program(
            commands={"check": (0.5, 3, "2 migrations are missing\ntoken hunter2-hunter2\n")}, says=says
        ),
        "hanging": Program(commands={"check": (NEVER, 0, "")}, says=says),
        "silent": Program(commands={"check": (1.5, 3, "")}, silent=("check",), says=says),
        "silent hanging": Program(commands={"check": (NEVER, 0, "")}, silent=("check",), says=says),
        "half elsewhere": Program(says=says, runs=_every_second(Program(ports=("9000",), says=says))),
        "half unavailable": Program(says=says, runs=_every_second(Program(answers={"/": (503, "no")}, says=says))),
        "half hanging": Program(
            commands={"check": (0.5, 3, "")},
            runs=_every_second(Program(commands={"check": (NEVER, 0, "")}, says=says)),
            says=says,
        ),
        "smoke": Program(answers={"/smoke": (500, "no")}, says=says),
        "crash": Program(exits=float(environment.get("AFTER", "3")), code=1, says=says),
        "ends": Program(
            ready=NEVER, exits=float(environment.get("AFTER", "3")), code=int(environment.get("CODE", "0"))
        ),
        "hungry": Program(ready=NEVER, exits=0.2, code=137, hungry=True, says=says),
        "ill": Program(ill=float(environment.get("AFTER", "3")), says=says),
        "stubborn": Program(stops=NEVER, says=says),
        "finishing": Program(stops=4.0, says=says),
        "slow": Program(ready=4.0, says=says),
        "errors": Program(fails=0.3, says=says),
        "late": Program(seconds=0.15, says=says),
        "talks": Program(answers={"/smoke": (500, text)}, commands={"check": (0.1, 3, text)}, says=(text,)),
        "talks and ends": Program(ready=NEVER, exits=0.05, code=1, says=(text,)),
        "talks when asked": Program(healthy=False, probe=(1, text), says=says),
    }[mode]


def _every_second(program: Program) -> Callable[[Container], None]:
    """Makes every second container of a service behave like this."""

    def change(container: Container) -> None:
        if int(container.name.rpartition("-")[2]) % 2 == 0:
            container.program = program

    return change


def unfit(container: Container) -> bool:
    """Whether a container is of a release that its gates stop."""
    return container.environment.get("MODE", "") in (
        "exit", "sick", "never", "smoke", "elsewhere", "alone", "nowhere", "unavailable", "pending", "hanging",
    )  # fmt: skip


class Ended:
    """One run of the agent."""

    def __init__(self, out: SilentOutput, error: SlipwayError | None, *, killed: bool, seconds: float) -> None:
        self.out = out
        self.failure = error
        self.code = KILLED if killed else (error.exit_code if error else 0)
        self.err = "\n".join([*out.errors, *(error.evidence if error else ()), *([str(error)] if error else ())])
        self.seconds = seconds

    @property
    def report(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out.said[-1])
        return found

    @property
    def error(self) -> str:
        assert self.failure is not None, (self.code, self.err)
        return str(self.failure)


class Simulation:
    """A stack of a simulated host."""

    def __init__(self, host: FakeHost, stack: str = "shop") -> None:
        self.host = host
        self.world = world = host.world
        self.stack = stack
        self.witness = Witness(host)
        self.witness.unfit = unfit
        self.image = next(
            (f"{image.name}:1@{image.digest}" for image in world.registry.values() if image.behaviour is behaviour), ""
        ) or world.image("1", behaviour)
        self.points: list[str] = []
        """what happened at each point at which the agent can be killed"""
        self._kill_at: int | None = None
        self._agent: Process | None = None
        host.engine.mutating = self._point

    # --- what is to be deployed

    def service(self, **more: Any) -> dict[str, Any]:
        check = {"test": ["CMD", "check"], "interval": "1s", "timeout": "5s", "retries": 4}
        environment = {"VERSION": "1", **more.pop("environment", {})}
        return {"image": self.image, "environment": environment, "healthcheck": check,
                "networks": {"default": None}, "stop_grace_period": "5s", **more}  # fmt: skip

    def release(
        self, services: dict[str, dict[str, Any]], slipway: dict[str, Any] | None = None, **top: Any
    ) -> dict[str, Any]:
        return release(self.stack, services, slipway=slipway, **top)

    def web(self, version: str, *, strategy: str = "rolling", **more: Any) -> dict[str, Any]:
        """A release of one routed service, which changes with its version."""
        replicas = more.pop("replicas", 1)
        own = more.pop("service", {})
        own["environment"] = {"VERSION": version, **more.pop("environment", {})}
        if replicas != 1:
            own["deploy"] = {"replicas": replicas}
        update = {"order": "start-first", **more.pop("update", {})}
        routed = {"strategy": strategy, "routes": [{"host": "", "path": "/", "strip": False}], "smoke": [SMOKE],
                  "update": update, **more}  # fmt: skip
        return self.release({"web": self.service(**own)}, {"web": routed})

    def shop(self, api: str = "1", db: str = "1", **more: Any) -> dict[str, Any]:
        """A release of `db` and, once that is healthy, `api`."""
        needs = {"depends_on": {"db": {"condition": "service_healthy"}}}
        own = {"db": {"VERSION": db, **more.pop("db_environment", {})},
               "api": {"VERSION": api, **more.pop("api_environment", {})}}  # fmt: skip
        services = {
            "db": self.service(environment=own["db"], **more.pop("db_service", {})),
            "api": self.service(environment=own["api"], **needs, **more.pop("api_service", {})),
            **more.pop("extra", {}),
        }
        return self.release(services, **more)

    def edge(self, **more: Any) -> dict[str, Any]:
        return {
            "image": self.host.traefik.reference,
            "version": "3.6.0",
            "http_port": self.host.http_port,
            "https_port": 2,
            "https": False,
            "acme": None,
            "certificates": [],
            **more,
        }

    def document(self, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
        routed = any(each["routes"] for each in wanted["services"].values())
        options = {"deadline": 600, "disk_minimum_mb": 0, **more.pop("options", {})}
        edge = self.edge() if routed else None
        return document(self.stack, wanted, host=self.host.name, options=options, **{"edge": edge, **more})

    # --- running the agent

    @property
    def folder(self) -> StackFolder:
        path = self.host.home
        found = StackFolder(self.stack)
        for name, value in vars(found).items():
            if isinstance(value, str) and value.startswith(found.path):
                setattr(found, name, str(path / "stacks" / self.stack) + value[len(found.path) :])
        return found

    def start(self, work: Callable[[SilentOutput], Any], **environment: str) -> tuple[Process, Callable[[], Ended]]:
        """Begin to run something as the agent; the process, and what waits for its end."""
        out = SilentOutput(self.host.name)
        begin = self.world.time.now

        def run() -> None:
            result = work(out)
            if result is not None:
                out.result(result)

        process = self.host.start(run, **environment)

        def ended() -> Ended:
            error = None
            try:
                self.world.wait(process)
            except SlipwayError as failure:
                error = failure
            return Ended(out, error, killed=process.killed, seconds=self.world.time.now - begin)

        return process, ended

    def begin(self, wanted: dict[str, Any], *, kill: str = "", **more: Any) -> tuple[Process, Callable[[], Ended]]:
        """Begin a deployment, to be killed after that line of its journal."""
        content = self.document(wanted, **more)
        return self.start(
            lambda out: deploy(Deployment.from_json(content), StackFolder(self.stack), out, start_watch),
            SLIPWAY_TEST_KILL_AFTER=kill,
        )

    def begin_at(
        self, wanted: dict[str, Any], *, kill_at: int | None = None, **more: Any
    ) -> tuple[Process, Callable[[], Ended]]:
        """Begin a deployment, to be killed at the point of that number; its points are noted."""
        self.points = []
        self._kill_at = kill_at
        self._agent, ended = self.begin(wanted, **more)
        return self._agent, ended

    def deploy(self, wanted: dict[str, Any], **more: Any) -> Ended:
        """Deploy, as `begin_at` does, to the end."""
        _, ended = self.begin_at(wanted, **more)
        return ended()

    def plan(self, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
        """What a deployment would do now."""
        content = Deployment.from_json(self.document(wanted, **more))
        _, ended = self.start(lambda out: planned(content, StackFolder(self.stack), out))
        return ended().report

    def probe(self) -> dict[str, Any]:
        _, ended = self.start(lambda _: probe(StackFolder(self.stack)))
        return ended().report

    def destroy(self, *volumes: str, owner: str | None = None, host: str = "") -> Ended:
        _, ended = self.start(lambda out: self.take_away(out, *volumes, owner=owner, host=host))
        return ended()

    def take_away(self, out: SilentOutput, *volumes: str, owner: str | None = None, host: str = "") -> dict[str, Any]:
        """What `destroy` runs; by its own stack where no owner is given."""
        folder = StackFolder(self.stack)
        return destroy(folder, volumes, out, owner_of(folder) if owner is None else owner, host)

    def validate(self, release: str) -> Ended:
        _, ended = self.start(lambda out: mark(StackFolder(self.stack), release, "by a test", out))
        return ended()

    def _point(self, what: str) -> None:
        if self._agent is None or not self._agent.alive:
            return
        if what.startswith("before "):
            return  # nothing has happened since the point before it
        number = len(self.points)
        self.points.append(what)
        if number == self._kill_at:
            self.world.kill(self._agent)

    # --- looking

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.world.time.sleep(seconds)

    def containers(self, service: str | None = None) -> list[Container]:
        """Those of the stack in any state, by name."""
        found = [
            each
            for each in self.host.engine.containers.values()
            if each.labels.get("com.docker.compose.project") == self.stack
            and service in (None, each.labels["com.docker.compose.service"])
        ]
        return sorted(found, key=lambda each: each.name)

    def versions(self) -> dict[str, list[str]]:
        """Service → VERSION of each container that runs."""
        names = sorted({each.labels["com.docker.compose.service"] for each in self.containers()})
        return {name: [each.environment["VERSION"] for each in self.containers(name) if each.running] for name in names}

    def ids(self, *services: str) -> list[str]:
        return [each.id for name in services or (None,) for each in self.containers(name)]

    def steps(self) -> list[str]:
        """The journal of the last deployment: `step:state`."""
        return [f"{line['step']}:{line['state']}" for line in self._lines("journal.jsonl") if "step" in line]

    def outcomes(self) -> list[str]:
        return [str(line["outcome"]) for line in self._lines("ledger.jsonl")]

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.host.home / "stacks" / self.stack / name
        return [json.loads(line) for line in path.read_text().splitlines()]

    def visit(self, path: str = "/", **headers: str) -> tuple[int, str]:
        """What a visitor gets: status, and the VERSION of who answered."""
        edge = next(each for each in self.host.edges if each.serves)
        servers = edge.servers(headers.get("Host", "shop.test"), path, headers)
        answering = [self.host.engine.at(each.address) for each in servers]
        living = [each for each in answering if each is not None and self.host.engine.answering(each)]
        versions = sorted({each.environment["VERSION"] for each in living})
        return (200 if versions else 503), "+".join(versions)
