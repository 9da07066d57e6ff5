"""`slipway exec`, `shell` and `logs` where the host is this machine: the command gets our own streams and terminal."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from daily_session import SLIPWAY, Session, slipway
from hook_server import hook_server
from stack_harness import docker, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stack_harness import Stack


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A deployed application on this machine."""
    stack = make_stack()
    stack.up()
    return stack


def test_exec_hands_bytes_on_unchanged_both_ways_and_ends_as_its_command_does(stack: Stack) -> None:
    data = random.Random(2).randbytes(3_000_000)  # noqa: S311  # any bytes
    program = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); sys.exit(9)"
    done = slipway(stack, "exec", "web", "--", "python3", "-c", program, stdin=data)
    assert done.stdout == data
    assert done.stderr == b""
    assert done.returncode == 9
    assert slipway(stack, "exec", "web", "--", "no-such-program").returncode in (126, 127)


def test_exec_at_a_terminal_gives_the_command_that_terminal(stack: Stack) -> None:
    # Docker tells a terminal its size a moment after the command began.
    settled = 'while test "$(stty size)" != "31 97"; do sleep 0.1; done; '
    script = (
        settled + 'stty size; test -t 0 && test -t 1 && echo "it is a $TERM"; read line; echo "got $line"; sleep 60'
    )
    session = Session(stack, "exec", "web", "--", "sh", "-c", script, size=(31, 97))
    session.shows("31 97")
    session.shows("it is a xterm-256color")
    session.types("hello\r")
    session.shows("got hello")
    session.types("\x03")
    assert session.ends() == 130


def test_exec_that_is_asked_to_end_ends_its_command_too(stack: Stack) -> None:
    process = subprocess.Popen(
        [SLIPWAY, "exec", "--stack", stack.name, "web", "--", "sh", "-c", "echo begun; sleep 302; true"],
        cwd=stack.folder,
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    container = stack.containers()["web"].id
    try:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        assert "sleep 302" in docker("top", container)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143
    finally:
        process.kill()
        process.communicate(timeout=30)
    eventually(lambda: "sleep 302" not in docker("top", container))


def test_a_command_whose_output_nobody_reads_any_more_ends(stack: Stack) -> None:
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
    container = stack.containers()["web"].id
    eventually(lambda: "nobody reads this" not in docker("top", container))


def test_shell_opens_in_a_container_and_on_this_machine(stack: Stack) -> None:
    session = Session(stack, "shell", "web")
    session.types("echo in $(hostname); exit 4\r")
    session.shows(f"in {stack.containers()['web'].id[:12]}")
    assert session.ends() == 4
    session = Session(stack, "shell")
    session.shows("local: this machine")
    session.types("echo $((40 + 2)) here; exit 3\r")
    session.shows("42 here")
    assert session.ends() == 3


def test_logs_and_ps_show_this_machine_as_any_other_host(stack: Stack) -> None:
    lines = slipway(stack, "logs", "web").stdout.decode().splitlines()
    assert lines
    assert all(line.startswith("local web-1 | ") for line in lines)
    rows = [line.split() for line in slipway(stack, "ps").stdout.decode().splitlines()]
    assert ["local", "web", "web-1", "running"] in [row[:4] for row in rows]


def test_health_needs_no_secret_and_says_once_that_a_stack_went_down_and_came_back(
    stack: Stack, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{stack.port}/"
    bare = dict.fromkeys(("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "SLIPWAY_SECRETS"), "")
    asked = ("health", "--state", str(tmp_path / "last.json"))
    shown = stack.slipway(*asked, **bare).text
    assert f"shop on stack {stack.name}: up" in shown
    assert url in shown
    docker("stop", stack.containers()["web"].id)
    with hook_server(204) as hook:
        notify = json.dumps({"ops": {"to": "webhook", "url": hook.url}})
        said = stack.slipway(*asked, "--quiet", "--notify", expect=1, SLIPWAY_NOTIFY=notify)
        assert "the connection is refused" in said.text
        docker("start", stack.containers()["web"].id)
        eventually(lambda: stack.serves("1"))
        assert "recovered" in stack.slipway(*asked, "--quiet", "--notify", SLIPWAY_NOTIFY=notify).text
        assert [(each["event"], each["environment"]) for each in hook.came] == [
            ("down", stack.project), ("recovered", stack.project),
        ]  # fmt: skip
        assert hook.url not in said.text
    assert stack.slipway(*asked, "--quiet", **bare).text == ""
