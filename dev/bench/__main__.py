"""`python -m dev.bench [RUNS [way-back|plans|redaction|move]]`: every measurement, into dev/bench/results.{md,json}.

With `way-back` only those of history and rollback are taken again, with `plans` those of previews, with `redaction`
or `move` those that need no host; the others stay as they were written.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "hosts"), str(ROOT / "tests" / "engine")]  # test hosts and stacks live there

from dev.bench.measures import agent_memory, agent_packed_kb, agent_start, interleaved, median, seconds  # noqa: E402
from dev.bench.moving import moves  # noqa: E402
from dev.bench.peers import EmptyProgram, ExampleCopy, Script  # noqa: E402
from dev.bench.plans import on_the_fake, on_the_real, preview_beside_noop  # noqa: E402
from dev.bench.redaction_forms import redaction_forms_missed  # noqa: E402
from dev.bench.report import write  # noqa: E402
from dev.bench.traffic_changes import figures, measured, peers  # noqa: E402
from dev.bench.traffic_peers import pushed_versions, routed_stack  # noqa: E402
from dev.bench.way_back import cold_rollbacks, help_seconds, long_history, warm_rollbacks  # noqa: E402
from dev.toolchain.docker import ensure_docker  # noqa: E402
from dev.toolchain.progress import say  # noqa: E402
from dev.toolchain.pulumi import ensure_pulumi  # noqa: E402
from dev.toolchain.registry import ensure_registry  # noqa: E402
from dev.toolchain.stand_ins.images import ensure_images  # noqa: E402

if TYPE_CHECKING:
    from stack_harness import Engine, Stack

    from dev.testhosts.server import TestHost

_FLEETS = (1, 2, 4)
_CASES = 30_000


def main(arguments: list[str]) -> int:
    """Measure everything; 0 when all of it could be measured (a missed number is for people to judge)."""
    runs = int(arguments[0]) if arguments else 5
    say("redaction")
    missed = {"redaction_forms_missed": float(len(redaction_forms_missed(_CASES))), "redaction_cases": float(_CASES)}
    write(ROOT / "dev" / "bench", missed, {}, {"runs": runs, "cpus": os.cpu_count(), "machine": platform.machine()})
    if arguments[1:] == ["redaction"]:
        return 0
    if arguments[1:] in ([], ["move"]):
        figures_of_moves, samples = _moves(runs)
        conditions = {"runs": runs, "cpus": os.cpu_count(), "machine": platform.machine()}
        write(ROOT / "dev" / "bench", figures_of_moves, samples, conditions)
        if arguments[1:]:
            return 0
    from stack_harness import Engine  # noqa: PLC0415  # on the path since above

    from dev.testhosts.hosts import TestHosts  # noqa: PLC0415  # as above

    machine = ensure_docker() | ensure_pulumi()
    os.environ.update(machine)
    registry = ensure_registry()
    mirror = ensure_images(registry).get("SLIPWAY_MIRROR", "")
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="slipway-bench-")))
        (folder / "program").mkdir()
        engine = Engine.prepare(folder / "program", machine=machine, registry=registry, mirror=mirror)
        hosts = exits.enter_context(TestHosts(registry_port=int(registry.rpartition(":")[2])))
        say("starting test hosts")
        servers = hosts.create_many(1 if arguments[1:] else max(_FLEETS))
        bench = _Bench(engine, folder, servers, exits, runs)
        if arguments[1:] == ["way-back"]:
            bench.way_back_alone()
        elif arguments[1:] == ["plans"]:
            bench.plans_alone()
        else:
            bench.measure()
    say("wrote dev/bench/results.md and dev/bench/results.json")
    return 0


def _moves(runs: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    from workload import pushed_images  # noqa: PLC0415  # on the path since above

    os.environ.update(ensure_docker())
    registry = ensure_registry()
    ensure_images(registry)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        place = Path(folder)
        (place / "images").mkdir()
        return moves(place, pushed_images(registry, place / "images").one, runs)


class _Bench:
    def __init__(
        self, engine: Engine, folder: Path, servers: list[TestHost], exits: contextlib.ExitStack, runs: int
    ) -> None:
        self.engine, self.folder, self.servers, self.exits, self.runs = engine, folder, servers, exits, runs
        self._figures: dict[str, float] = {}
        self._samples: dict[str, list[float]] = {}

    def write(self, figures: dict[str, float], samples: dict[str, list[float]]) -> None:
        """Add to both files."""
        self._figures |= figures
        self._samples |= samples
        conditions = {"runs": self.runs, "cpus": os.cpu_count(), "machine": platform.machine()}
        write(ROOT / "dev" / "bench", self._figures, self._samples, conditions)

    def measure(self) -> None:
        """Measure one thing after the other, each on hosts that run nothing else, and write it down at once."""
        stack = self._stack()
        say("first deployment on 1 host")
        stack.up()
        with agent_memory() as memory:
            compared = self._beside_the_script(stack)
        deploy, script = compared
        figures = {
            "deploy_vs_script": median(deploy) / median(script),
            "agent_packed_kb": agent_packed_kb(),
            "agent_rss_mb": max(memory),
            "agent_start_s": median(agent_start(self.servers[0], self.runs)),
            "ssh_connections_per_host": float(self._connections(stack)),
        }
        self.write(figures, {"deploy": deploy, "script": script})
        self._noop(stack)
        self._plans(stack)
        self._way_back(stack)
        alone = self._fleet(1)
        for count in _FLEETS[1:]:
            taken = self._fleet(count)
            name = {2: "two", 4: "four"}[count]
            ratio = {f"{name}_hosts_vs_one": median(taken) / median(alone)}
            self.write(ratio, {"hosts_1": alone, f"hosts_{count}": taken})
        self._traffic()

    def plans_alone(self) -> None:
        """Only what previews say, and take; the no-op beside an empty program with it."""
        stack = self._stack()
        say("first deployment on 1 host")
        stack.up()
        self._noop(stack)
        self._plans(stack)
        stack.destroy()

    def _noop(self, stack: Stack) -> None:
        say("nothing to do, beside an empty program")
        empty = EmptyProgram(self.engine, self.folder / "empty")
        stack.up()
        noop, nothing = interleaved(self.runs, stack.up, empty.run)
        self.write({"noop_vs_empty": median(noop) / median(nothing)}, {"noop": noop, "empty": nothing})

    def _plans(self, stack: Stack) -> None:
        self.write(*preview_beside_noop(stack, self.runs))
        self.write(*on_the_fake())
        self.write(*on_the_real(stack, self.servers[0]))

    def way_back_alone(self) -> None:
        """Only history and rollback."""
        stack = self._stack()
        say("first deployment on 1 host")
        stack.up()
        self._way_back(stack)

    def _way_back(self, stack: Stack) -> None:
        """History and rollback: of the example, which is live on the first host and goes, then of one small service."""
        host = self.servers[0]
        self.write(*warm_rollbacks(stack, host, self.runs, lambda: _change(stack), "rollback_warm_example"))
        self.write(*cold_rollbacks(stack, host, self.runs))
        self.write(*long_history(stack, self.runs))
        self.write(*help_seconds(self.runs))
        stack.destroy()
        images = pushed_versions(self.engine.registry, self.folder / "images-back", ["one", "two"])
        small = routed_stack([host], self.engine, self.folder / "small")
        self.exits.callback(small.remove)
        small.variables["IMAGE"] = images["one"]
        small.up()
        self.write(*warm_rollbacks(small, host, self.runs, lambda: small.variables.__setitem__("IMAGE", images["two"])))
        small.destroy()

    def _traffic(self) -> None:
        """Changes under load, Slipway beside its peers, on one host."""
        for number, group in enumerate(peers(self.servers[0], self.engine, self.folder / "traffic")):
            self.write(*figures(*measured(group, self.engine.registry, self.folder / f"traffic-{number}", self.runs)))

    def _fleet(self, count: int) -> list[float]:
        """Changed image → verified on `count` hosts, of one small service.

        All hosts share this machine's cores, which the health checks of four example applications alone keep busy.
        """
        names = [f"fleet-{count}-{number}" for number in range(self.runs + 1)]
        images = pushed_versions(self.engine.registry, self.folder / f"images-{count}", names)
        stack = routed_stack(self.servers[:count], self.engine, self.folder / f"fleet-{count}")
        self.exits.callback(stack.remove)
        say(f"first deployment on {count} host(s)")
        samples = []
        for number, name in enumerate(names):
            stack.variables["IMAGE"] = images[name]
            taken = seconds(stack.up)
            if number:
                say(f"changed image on {count} host(s): {number} of {self.runs}, {taken:.1f} s")
                samples.append(taken)
        stack.destroy()
        return samples

    def _stack(self) -> Stack:
        """The example application on the first host."""
        from stack_harness import Stack  # noqa: PLC0415  # on the path since this module's head

        folder = self.folder / "example"
        application: Any = ExampleCopy(folder / "app")
        server = self.servers[0]
        stack = Stack(
            self.engine,
            folder,
            application,
            hosts=[{"name": server.name, "address": server.address, "user": server.user, "hostKey": server.host_key}],
            secrets={"POSTGRES_PASSWORD": "only-for-this-benchmark"},
            sshKeyFile=str(server.key_file),
            deadline=300,
            healthDeadline=120,
        )
        self.exits.callback(stack.remove)
        return stack

    def _beside_the_script(self, stack: Stack) -> list[list[float]]:
        """Changed image → verified, Slipway and the shell script in turn."""
        script = Script(self.engine, self.folder / "script", self.servers[0], port=8200)
        say("first deployment of the shell script")
        script.run()

        def slipway() -> None:
            stack.up()

        samples: list[list[float]] = [[], []]
        for number in range(self.runs):
            say(f"changed image, Slipway and the shell script: {number + 1} of {self.runs}")
            _change(stack)
            samples[0].append(seconds(slipway))
            script.application.change()
            samples[1].append(seconds(script.run))
        script.remove()
        return samples

    def _connections(self, stack: Stack) -> int:
        """SSH connections that one deployment opens to its host, the agent being there."""
        before = self.servers[0].connections()
        _change(stack)
        stack.up()
        return self.servers[0].connections() - before


def _change(stack: Stack) -> None:
    application: Any = stack.application
    application.change()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
