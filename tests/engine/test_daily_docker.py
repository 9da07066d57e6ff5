"""The agent's `containers` and `logs` against the real Docker engine of this machine: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent_harness import BASE, docker, pack

from slipway.compose.schema_check import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

PROOF = {"image": BASE, "replicas": 1, "completed": False}
SPEAKS = "i=0; while true; do i=$((i+1)); echo line-$i; sleep 0.1; done"


def usable() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.skipif(not usable(), reason="needs a Docker engine with the base image"),
    pytest.mark.timeout(120),
]


class Stack:
    """Containers that look like a stack's, and the agent that reads them."""

    def __init__(self, archive: Path, home: Path) -> None:
        self.name = f"day{uuid.uuid4().hex[:8]}"
        self.folder = home / "stacks" / self.name
        self.folder.mkdir(parents=True)
        self.environment = {**os.environ, "SLIPWAY_HOME": str(home)}
        self._argv = [sys.executable, str(archive)]

    def starts(self, service: str, script: str, *options: str, number: int = 1, **labels: str) -> str:
        """Run `script` in a new container; its id."""
        known = {
            "com.docker.compose.project": self.name,
            "com.docker.compose.service": service,
            "com.docker.compose.container-number": str(number),
            **labels,
        }
        given = [word for name, value in known.items() for word in ("--label", f"{name}={value}")]
        name = f"{self.name}-{service}-{number}"
        return docker("run", "--detach", "--init", "--name", name, *given, *options, BASE, "sh", "-c", script)[:12]

    def agent(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._argv, command, "--stack", self.name, *options],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def told(self, *options: str) -> list[dict[str, Any]]:
        """What `logs` prints, up to its end."""
        done = self.agent("logs", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def texts(self, *options: str) -> list[str]:
        return [each["text"] for each in self.told(*options) if "text" in each]

    @contextlib.contextmanager
    def following(self, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
        """`logs --follow`, and what it said so far."""
        process = subprocess.Popen(
            [*self._argv, "logs", "--stack", self.name, "--follow", *options],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said: list[dict[str, Any]] = []

        def collect() -> None:
            for line in process.stdout or ():
                said.append(json.loads(line))  # noqa: PERF401  # each as soon as it is there

        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        try:
            yield process, said
        finally:
            process.kill()
            process.wait(timeout=30)
            thread.join(timeout=30)

    def remove(self) -> None:
        found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").split()
        if found:
            docker("rm", "--force", *found)


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield pack(Path(folder, "agent.pyz"))


@pytest.fixture
def stack(archive: Path, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(archive, tmp_path / "home")
    yield made
    made.remove()


def eventually(condition: Any, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.05)


def numbers(said: list[dict[str, Any]]) -> list[int]:
    return [int(each["text"].removeprefix("line-")) for each in said if each.get("text", "").startswith("line-")]


def test_each_container_is_listed_with_the_generation_that_it_belongs_to(stack: Stack) -> None:
    sleeps = "sleep 300"
    live = stack.starts("web", sleeps, **{"dev.slipway.config": "c2", "dev.slipway.release": "r-2"})
    kept = stack.starts("web", sleeps, number=2, **{"dev.slipway.config": "c1", "dev.slipway.release": "r-1"})
    new = stack.starts("web", sleeps, number=3, **{"dev.slipway.config": "c3", "dev.slipway.release": "r-3"})
    run = stack.starts("web", "exit 3", number=4, **{"com.docker.compose.oneoff": "True"})
    foreign = stack.starts("stranger", sleeps)
    proven = {"at": "2026-11-20T13:00:00Z", "release": "r-2", "outcome": "deployed", "reason": "", "convergence": "x"}
    ledger = [
        {**proven, "services": {"web": {**PROOF, "config": "c2"}}},
        {"at": "2026-11-20T13:01:00Z", "release": "r-3", "outcome": "failed", "reason": "it was sick"},
    ]
    (stack.folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ledger))
    entry = {"service": "web", "containers": [kept], "until": time.time() + 60, "drain": 1.0, "port": 8000}
    (stack.folder / "kept.json").write_text(json.dumps([entry]))
    eventually(lambda: docker("inspect", "--format", "{{.State.Status}}", run) == "exited")
    done = stack.agent("containers")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    checked("listing", document)
    assert (document["live"], document["services"]) == ("r-2", ["web"])
    assert {each["id"]: each["generation"] for each in document["containers"]} == {
        live: "live", kept: "kept", new: "other", run: "one-off", foreign: "other",
    }  # fmt: skip
    assert [each["number"] for each in document["containers"] if each["service"] == "web"] == [1, 2, 3, 4]
    ended = next(each for each in document["containers"] if each["id"] == run)
    assert (ended["state"], ended["exit_code"], ended["one_off"]) == ("exited", 3, True)


def test_lines_are_whole_and_in_order_whatever_they_are_made_of(stack: Stack) -> None:
    script = (
        "echo first; head -c 50000 /dev/zero | tr '\\0' x; echo; "
        "printf 'caf\\303\\251 \\377 end\\n'; echo; "
        "printf 'tab\\tand \\033[1mbold\\n' >&2; sleep 0.1; printf unfinished"
    )
    container = stack.starts("web", script)
    terminal = stack.starts("tty", "echo seen on a terminal", "--tty")
    eventually(lambda: docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={stack.name}") == "")
    told = stack.told()
    assert {each["name"] for each in told[0]["containers"]} == {f"{stack.name}-web-1", f"{stack.name}-tty-1"}
    assert told[-1] == {"caught_up": True}
    lines = [each for each in told if each.get("container") == container]
    assert [(each["stream"], each["text"]) for each in lines if each["stream"] == "stdout"] == [
        ("stdout", text) for text in ("first", "x" * 50_000, "café \N{REPLACEMENT CHARACTER} end", "", "unfinished")
    ]
    assert [each["text"] for each in lines if each["stream"] == "stderr"] == ["tab\tand \x1b[1mbold"]
    assert [each["text"] for each in told if each.get("container") == terminal] == ["seen on a terminal"]
    moments = [each["at"] for each in told if "at" in each]
    assert moments == sorted(moments)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", moment) for moment in moments)


def test_only_what_was_asked_for_is_told(stack: Stack) -> None:
    stack.starts("web", "for i in 1 2 3; do echo web-$i; done")
    stack.starts("db", "for i in 1 2 3; do echo db-$i; done")
    stack.starts("web", "echo of a run", number=2, **{"com.docker.compose.oneoff": "True"})
    eventually(lambda: docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={stack.name}") == "")
    assert stack.texts("--services", "web", "--tail", "2") == ["web-2", "web-3"]
    assert sorted(stack.texts("--tail", "1")) == ["db-3", "web-3"]
    assert len(stack.texts("--since", "-600")) == 6
    assert stack.texts("--since", f"{time.time() + 60:.3f}") == []
    assert stack.texts("--services", "nobody") == []
    for wrong in (("--tail", "x"), ("--since", "soon"), ("--since",), ("--lines", "1")):
        assert stack.agent("logs", *wrong).returncode == 2


def test_following_loses_and_repeats_no_line(stack: Stack) -> None:
    container = stack.starts("web", SPEAKS)
    eventually(lambda: len(stack.texts()) > 5)
    with stack.following() as (process, said):
        eventually(lambda: len(numbers(said)) > 25)
        found = numbers(said)
        assert found == list(range(1, len(found) + 1))
        docker("restart", "--time", "1", container)
        eventually(lambda: len(numbers(said)) > len(found) + 25)
        again = numbers(said)
        second = len(again) - again[::-1].index(1) - 1
        assert again == [*range(1, second + 1), *range(1, len(again) - second + 1)]
        later = stack.starts("web", "echo line-1000", number=2)
        eventually(lambda: numbers(said).count(1000) == 1)
        named = [each["containers"] for each in said if "containers" in each]
        assert named[-1] == [{"id": later, "name": f"{stack.name}-web-2", "service": "web", "number": 2}]
        stack.starts("db", "echo nothing of ours", **{"com.docker.compose.project": "another"})
        docker("rm", "--force", f"{stack.name}-db-1")
        assert process.poll() is None
    assert not any("nothing of ours" in str(each) for each in said)


def test_following_from_now_on_tells_nothing_of_before(stack: Stack) -> None:
    stack.starts("web", SPEAKS)
    eventually(lambda: len(stack.texts()) > 5)
    before = len(stack.texts())
    with stack.following("--tail", "0", "--services", "web") as (_, said):
        eventually(lambda: len(numbers(said)) > 5)
        found = numbers(said)
    assert found[0] >= before
    assert found == list(range(found[0], found[0] + len(found)))


def test_following_ends_with_its_input_whatever_it_is_at(stack: Stack) -> None:
    stack.starts("web", "yes a rather long line that nobody will ever read to its end")
    with stack.following("--tail", "1") as (process, said):
        eventually(lambda: len(said) > 100)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=10) == 0
    silent = stack.starts("silent", "sleep 300")
    with stack.following("--services", "silent") as (process, said):
        eventually(lambda: {"caught_up": True} in said)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=10) == 0
    assert silent


def test_a_log_that_cannot_be_read_is_told_and_the_others_are_read(stack: Stack) -> None:
    stack.starts("dark", "echo unseen", "--log-driver", "none")
    stack.starts("web", "echo seen")
    eventually(lambda: docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={stack.name}") == "")
    told = stack.told()
    [problem] = [each["problem"] for each in told if "problem" in each]
    assert problem["what"].startswith(f"the log of {stack.name}-dark-1 cannot be read (")
    assert [each["text"] for each in told if "text" in each] == ["seen"]


@pytest.mark.parametrize("command", ["containers", "logs"])
def test_an_engine_that_does_not_answer_is_one_line_each_for_people_and_programs(
    stack: Stack, command: str, tmp_path: Path
) -> None:
    stack.environment["DOCKER_HOST"] = f"unix://{tmp_path}/nobody.sock"
    done = stack.agent(command)
    assert done.returncode == 1
    [failed] = json.loads(done.stdout)["failed"]
    assert failed["what"].startswith("Docker is not running (")
    assert done.stderr.startswith(f"slipway: error: {failed['what']}")
    assert done.stderr.count("\n") == 1
