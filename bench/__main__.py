"""`python -m bench [RUNS]`: every measurement of one run, written to bench/results.md and bench/results.json."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "hosts"), str(ROOT / "tests" / "engine")]  # test hosts and stacks live there

from bench.measures import agent_memory, agent_packed_kb, agent_start, interleaved, median, seconds  # noqa: E402
from bench.peers import EmptyProgram, ExampleCopy, Script  # noqa: E402
from bench.report import write  # noqa: E402
from toolchain.docker import ensure_docker  # noqa: E402
from toolchain.images import ensure_images  # noqa: E402
from toolchain.progress import say  # noqa: E402
from toolchain.pulumi import ensure_pulumi  # noqa: E402
from toolchain.registry import ensure_registry  # noqa: E402

if TYPE_CHECKING:
    from server import TestHost
    from stack_harness import Engine, Stack

_FLEETS = (1, 2, 4)


def main(arguments: list[str]) -> int:
    """Measure everything; 0 when all of it could be measured (a missed number is for people to judge)."""
    runs = int(arguments[0]) if arguments else 5
    from stack_harness import Engine  # noqa: PLC0415  # on the path since above
    from testhost import TestHosts  # noqa: PLC0415  # as above

    machine = ensure_docker() | ensure_pulumi()
    os.environ.update(machine)
    registry = ensure_registry()
    mirror = ensure_images(registry).get("SLIPWAY_MIRROR", "")
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="slipway-bench-")))
        (folder / "program").mkdir()
        engine = Engine.prepare(folder / "program", machine=machine, registry=registry, mirror=mirror)
        hosts = exits.enter_context(TestHosts(registry_port=int(registry.rpartition(":")[2])))
        say(f"starting {max(_FLEETS)} test hosts")
        servers = hosts.create_many(max(_FLEETS))
        bench = _Bench(engine, folder, servers, exits, runs)
        figures, samples = bench.measure()
    write(ROOT / "bench", figures, samples, {"runs": runs, "cpus": os.cpu_count(), "machine": platform.machine()})
    say("wrote bench/results.md and bench/results.json")
    return 0


class _Bench:
    def __init__(
        self, engine: Engine, folder: Path, servers: list[TestHost], exits: contextlib.ExitStack, runs: int
    ) -> None:
        self.engine, self.folder, self.servers, self.exits, self.runs = engine, folder, servers, exits, runs

    def measure(self) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Every figure by its stable name, and the samples (seconds) that they come from."""
        fleets: dict[int, Stack] = {}
        for count in _FLEETS:
            say(f"first deployment on {count} host(s)")
            fleets[count] = self._stack(count)
            fleets[count].up()
        one = fleets[1]
        with agent_memory() as memory:
            compared = self._beside_the_script(one)
        say("nothing to do, beside an empty program")
        empty = EmptyProgram(self.engine, self.folder / "empty")
        one.up()
        noop = interleaved(self.runs, one.up, empty.run)
        connections = self._connections(one)
        samples = {"deploy": compared[0], "script": compared[1], "noop": noop[0], "empty": noop[1]}
        samples |= self._fleets(fleets)
        start = agent_start(self.servers[0], self.runs)
        figures = {
            "deploy_vs_script": median(samples["deploy"]) / median(samples["script"]),
            "noop_vs_empty": median(samples["noop"]) / median(samples["empty"]),
            "ssh_connections_per_host": float(connections),
            "two_hosts_vs_one": median(samples["hosts_2"]) / median(samples["hosts_1"]),
            "four_hosts_vs_one": median(samples["hosts_4"]) / median(samples["hosts_1"]),
            "agent_packed_kb": agent_packed_kb(),
            "agent_rss_mb": max(memory),
            "agent_start_s": median(start),
        }
        return figures, samples

    def _stack(self, count: int) -> Stack:
        """The example application on the first `count` hosts."""
        from stack_harness import Stack  # noqa: PLC0415  # on the path since this module's head

        folder = self.folder / f"fleet-{count}"
        application: Any = ExampleCopy(folder / "app")
        servers = self.servers[:count]
        stack = Stack(
            self.engine,
            folder,
            application,
            hosts=[
                {"name": server.name, "address": server.address, "user": server.user, "hostKey": server.host_key}
                for server in servers
            ],
            secrets={"POSTGRES_PASSWORD": "only-for-this-benchmark"},
            variables={"WEB_PORT": str(8100 + count)},
            sshKeyFile=str(servers[0].key_file),
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
        return samples

    def _connections(self, stack: Stack) -> int:
        """SSH connections that one deployment opens to its host, the agent being there."""
        before = self.servers[0].connections()
        _change(stack)
        stack.up()
        return self.servers[0].connections() - before

    def _fleets(self, fleets: dict[int, Stack]) -> dict[str, list[float]]:
        """Changed image → verified on 1, 2 and 4 hosts, in turn."""
        samples: dict[str, list[float]] = {f"hosts_{count}": [] for count in fleets}
        for number in range(self.runs):
            for count, stack in fleets.items():
                say(f"changed image on {count} host(s): {number + 1} of {self.runs}")
                _change(stack)
                samples[f"hosts_{count}"].append(seconds(stack.up))
        return samples


def _change(stack: Stack) -> None:
    application: Any = stack.application
    application.change()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
