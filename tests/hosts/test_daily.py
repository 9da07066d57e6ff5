"""`slipway ps`, `logs`, `exec` and `shell` on two real hosts: in order, byte for byte, and leaving nothing behind."""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import jsonschema_rs
import pytest
from daily_session import ENDS_SECONDS, SLIPWAY, Session, slipway
from remote_stack import refusing
from stack_harness import ROOT, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from remote_stack import RemoteStack

    from dev.testhosts.server import TestHost

HOSTS = 2


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], hosts: list[TestHost]) -> RemoteStack:
    """A deployed webshop on both hosts."""
    stack = deployable(*hosts, variables={"START_PERIOD": "2s"})
    stack.up()
    return stack


def validator(name: str) -> jsonschema_rs.Validator:
    folder = ROOT / "slipway/cli/schemas"
    return jsonschema_rs.validator_for(
        json.loads((folder / f"{name}.schema.json").read_text()),
        retriever=lambda uri: json.loads((ROOT / "slipway/contract/schemas" / uri.rpartition("/")[2]).read_text()),
    )


def says(stack: RemoteStack, host: TestHost, text: str, *, stream: int = 1) -> None:
    """Let the web container of a host write a line to its log."""
    container = stack.containers_on(host)["web"].id
    host.inside(["docker", "exec", container, "sh", "-c", f'echo "$1" > /proc/1/fd/{stream}', "sh", text])


def left_on(host: TestHost) -> list[str]:
    """What runs on a host only as long as somebody reads logs or runs commands."""
    lines = host.inside(["ps", "-eo", "args="]).splitlines()
    return [line for line in lines if re.search(r"docker (logs|exec)|logs --stack|containers --stack", line)]


@contextlib.contextmanager
def following(stack: RemoteStack, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`slipway logs --follow` in the background; its output is to be read from a file beside the stack."""
    with (stack.folder / "followed").open("wb") as output, (stack.folder / "complained").open("wb") as errors:
        process = subprocess.Popen(
            [SLIPWAY, "logs", "--follow", "--stack", stack.name, *arguments],
            cwd=stack.folder,
            env=stack.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=30)


def followed(stack: RemoteStack) -> list[str]:
    return (stack.folder / "followed").read_text().splitlines()


def marks(lines: Sequence[str]) -> list[str]:
    return re.findall(r"mark-\S+", "\n".join(lines))


def test_ps_shows_the_containers_of_all_hosts(stack: RemoteStack, hosts: list[TestHost]) -> None:
    done = slipway(stack, "ps", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    validator("ps").validate(document)
    for host, seen in zip(hosts, document["hosts"], strict=True):
        assert seen["live"] == stack.live_on(host)
        assert {(each["service"], each["generation"], each["health"]) for each in seen["containers"]} == {
            ("web", "live", "healthy"),
            ("side", "live", "healthy"),
        }
        running = stack.containers_on(host)
        assert all(running[each["service"]].id.startswith(each["id"]) for each in seen["containers"])


def test_logs_of_all_hosts_come_in_the_order_of_time(stack: RemoteStack, hosts: list[TestHost]) -> None:
    for number in range(6):
        says(stack, hosts[number % 2], f"mark-{number}", stream=1 + number % 3 // 2)
    done = slipway(stack, "logs", "web", "--tail", "3", "--timestamps")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert marks(lines) == [f"mark-{number}" for number in range(6)]
    assert [line.split()[:3] for line in lines] == [[hosts[n % 2].name, "web-1", "|"] for n in range(6)]
    moments = [line.split()[3] for line in lines]
    assert moments == sorted(moments)
    assert slipway(stack, "logs", "web", "--tail", "1", "--host", hosts[0].name).stdout.endswith(b"web-1 | mark-4\n")

    told = [json.loads(line) for line in slipway(stack, "logs", "web", "--since", "10m", "--json").stdout.splitlines()]
    check = validator("logs")
    for line in told:
        check.validate(line)
    found = {line["text"]: (line["host"], line["stream"]) for line in told if line["text"].startswith("mark-")}
    assert found == {f"mark-{n}": (hosts[n % 2].name, "stderr" if n % 3 == 2 else "stdout") for n in range(6)}
    assert any(line["text"].startswith("starting version") for line in told)


def test_following_goes_on_with_the_next_release_until_ctrl_c_and_leaves_nothing(
    stack: RemoteStack, hosts: list[TestHost]
) -> None:
    says(stack, hosts[0], "mark-before")
    with following(stack, "web", "--tail", "1") as process:
        eventually(lambda: "mark-before" in marks(followed(stack)), ENDS_SECONDS)
        stack.deploy("followed")
        wanted = {(host.name, "starting version followed mode good") for host in hosts}
        eventually(
            lambda: wanted <= {(line.split()[0], line.partition("| ")[2]) for line in followed(stack)}, ENDS_SECONDS
        )
        for number, host in enumerate([*hosts, hosts[0]]):
            says(stack, host, f"mark-after-{number}")
        eventually(lambda: "mark-after-2" in marks(followed(stack)), ENDS_SECONDS)
        assert left_on(hosts[0])
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert [each for each in marks(followed(stack)) if "after" in each] == [f"mark-after-{n}" for n in range(3)]
    assert (stack.folder / "complained").read_text() == ""
    for host in hosts:
        eventually(lambda: not left_on(host))  # noqa: B023  # called in this very round


def test_a_connection_that_breaks_is_told_and_made_again_without_losing_or_repeating_a_line(
    stack: RemoteStack, hosts: list[TestHost]
) -> None:
    def begun() -> bool:
        says(stack, hosts[0], "mark-begun")
        return "mark-begun" in marks(followed(stack))

    with following(stack, "web", "--tail", "0") as process:
        eventually(begun, ENDS_SECONDS)
        for number in range(8):
            says(stack, hosts[0], f"mark-{number}")
            if number == 3:
                eventually(lambda: "mark-3" in marks(followed(stack)), ENDS_SECONDS)
                hosts[0].inside(["pkill", "-KILL", "-f", "sshd.*deploy"])
        eventually(lambda: "mark-7" in marks(followed(stack)), ENDS_SECONDS)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert [each for each in marks(followed(stack)) if each != "mark-begun"] == [f"mark-{n}" for n in range(8)]
    assert (
        f"slipway: error: host {hosts[0].name}: the connection to its logs broke — "
        in (stack.folder / "complained").read_text()
    )


def test_exec_hands_bytes_on_unchanged_both_ways(stack: RemoteStack) -> None:
    data = random.Random(1).randbytes(5_000_000)  # noqa: S311  # any bytes
    copy = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    done = slipway(stack, "exec", "web", "--", "python3", "-c", copy, stdin=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_exec_ends_as_its_command_does_where_it_was_asked_for_and_quotes_nothing_away(
    stack: RemoteStack, hosts: list[TestHost]
) -> None:
    words = ["a b", "c'd", '"$HOME"', "*", "", "ü\n-"]
    tell = (
        "import json, os, sys; print(json.dumps(sys.argv[1:])); "
        "print(os.environ['HOSTNAME'], os.getuid(), file=sys.stderr); sys.exit(7)"
    )
    chosen = ("--host", hosts[1].name, "--user", "65534:65534")
    done = slipway(stack, "exec", "web", *chosen, "--", "python3", "-c", tell, *words)
    assert json.loads(done.stdout) == words
    assert done.stderr.decode().split() == [stack.containers_on(hosts[1])["web"].id[:12], "65534"]
    assert done.returncode == 7


def test_exec_that_is_asked_to_end_ends_its_command_too(stack: RemoteStack, hosts: list[TestHost]) -> None:
    script = "echo begun; sleep 301; true"
    process = subprocess.Popen(
        [SLIPWAY, "exec", "--stack", stack.name, "web", "--", "sh", "-c", script],
        cwd=stack.folder,
        env=stack.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        assert "sleep 301" in hosts[0].inside(["ps", "-eo", "args="])
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        process.communicate(timeout=30)
    eventually(lambda: "sleep 301" not in hosts[0].inside(["ps", "-eo", "args="]))
    eventually(lambda: not left_on(hosts[0]))


def test_a_command_whose_output_nobody_reads_any_more_ends(stack: RemoteStack, hosts: list[TestHost]) -> None:
    process = subprocess.Popen(
        [SLIPWAY, "exec", "--stack", stack.name, "web", "--", "yes", "nobody reads this"],
        cwd=stack.folder,
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == b"nobody reads this\n"
        process.stdout.close()
        assert process.wait(timeout=30) == 141
    finally:
        process.kill()
        process.wait(timeout=30)
    eventually(lambda: "nobody reads this" not in hosts[0].inside(["ps", "-eo", "args="]))


def test_exec_at_a_terminal_gives_the_command_that_terminal(stack: RemoteStack) -> None:
    script = (
        # Docker tells a terminal its size a moment after the command began.
        'until test "$(stty size)" = "31 97"; do sleep 0.1; done; stty size; '
        'test -t 0 && test -t 1 && echo "it is a $TERM"; read line; echo "got $line"; '
        'until test "$(stty size)" = "25 88"; do sleep 0.1; done; stty size; sleep 60'
    )
    session = Session(stack, "exec", "web", "--", "sh", "-c", script, size=(31, 97))
    session.shows("31 97")
    session.shows("it is a xterm-256color")
    session.resize(25, 88)
    session.types("hello\r")
    session.shows("got hello")
    session.shows("25 88")
    session.types("\x03")
    assert session.ends() == 130


def test_shell_opens_in_a_container_and_on_a_host(stack: RemoteStack, hosts: list[TestHost]) -> None:
    session = Session(stack, "shell", "web", "--host", hosts[1].name)
    session.types("echo in $(hostname) with ${BASH_VERSION:+bash}; exit 4\r")
    session.shows(f"in {stack.containers_on(hosts[1])['web'].id[:12]} with bash")
    assert session.ends() == 4
    session = Session(stack, "shell")
    session.shows(f"{hosts[0].name}: deploy@{hosts[0].address}, the first of 2 hosts (--host NAME chooses another)")
    session.types("echo on $(hostname) as $(id -un); exit 3\r")
    session.shows(f"on {hosts[0].name} as deploy")
    assert session.ends() == 3


def test_a_host_that_cannot_be_reached_does_not_hide_the_others(stack: RemoteStack, hosts: list[TestHost]) -> None:
    says(stack, hosts[1], "mark-reached")
    commands = [("logs", "--tail", "1"), ("logs", "web", "--tail", "1"), ("ps",), ("exec", "web", "--", "hostname")]
    with refusing(hosts[0]), ThreadPoolExecutor(2) as together:
        *listings, executed = together.map(lambda command: slipway(stack, *command), commands)
    for command, done in zip(commands, listings, strict=False):
        assert done.returncode == 1, command
        assert f"slipway: error: host {hosts[0].name}: " in done.stderr.decode()
        assert f"{hosts[1].name} " in done.stdout.decode()
        assert hosts[0].name not in done.stdout.decode()
    assert executed.stdout.decode().strip() == stack.containers_on(hosts[1])["web"].id[:12]
    assert executed.returncode == 0
