"""What comes before the agent speaks is passed over; where it does not speak, the error names what is in its way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.agent_channel import Channel, channel
from slipway.hosts.connection import for_any_shell
from slipway.hosts.start_failure import start_failure

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.hosts.connection import Process

PLACE = "-p 22 deploy@203.0.113.10"
SHELLS = ("sh", "bash", "dash", "zsh", "tcsh", "fish")


class _Login:
    """A host whose sshd starts a command as OpenSSH's does: the user's shell, then -c."""

    place = PLACE

    def __init__(self, home: Path, shell: str = "bash", **environment: str) -> None:
        self._argv = [shutil.which(shell) or shell, "-c"]
        # With SSH_CLIENT, bash reads ~/.bashrc (its SSH_SOURCE_BASHRC, which distributions set).
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), "SSH_CLIENT": "::1 1 22", **environment}

    async def start(self, command: str) -> Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._argv, for_any_shell(command), env=self._environment, stdin=pipe, stdout=pipe, stderr=pipe,
            limit=1 << 22, start_new_session=True,
        )  # fmt: skip
        self.process = process
        return process


def probed(login: _Login, *, install: bool = False) -> str:
    """The stack that the agent speaks of; SlipwayError when it does not."""

    async def look() -> str:
        async with channel(login, "web-1", "shop-test", install=install) as opened:
            return str(opened.probe["stack"])

    return asyncio.run(look())


def problem(login: _Login, *, install: bool = False) -> Problem:
    with pytest.raises(SlipwayError) as raised:
        probed(login, install=install)
    [found] = raised.value.problems
    return found


@pytest.mark.parametrize(
    "bashrc",
    [
        "echo Welcome",
        "printf 'no end of line'",
        "echo; echo; printf '\\xff\\xfe\\n'; echo '{}'; echo 'agent: hello'",
        "for i in $(seq 900); do echo 'A line of a message of the day, which is long'; done",
        "echo oops >&2; set -u; false",
        "return 0",
        "alias python3=nothing; exec=1",
    ],
)
def test_what_a_start_up_file_prints_is_passed_over(tmp_path: Path, bashrc: str) -> None:
    (tmp_path / ".bashrc").write_text(f"{bashrc}\n")
    assert probed(_Login(tmp_path)) == "shop-test"


@pytest.mark.parametrize("shell", [each for each in SHELLS if shutil.which(each)])
def test_every_login_shell_starts_the_agent(tmp_path: Path, shell: str) -> None:
    assert probed(_Login(tmp_path, shell, SLIPWAY_HOME=str(tmp_path / "here"))) == "shop-test"


@given(st.text("ab \n'\"\\$`!%{}()*?~#;&|<>\u00f6", max_size=30))
def test_a_shell_gets_the_very_command(text: str) -> None:
    """Through the shells that are here; no other sees more of it than one quoted word without `!` and line ends."""
    line = for_any_shell(f"printf '%s.' '{text.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'")
    for shell in ("sh", "bash"):
        assert subprocess.run([shell, "-c", line], capture_output=True, check=True).stdout.decode() == f"{text}."
    quoted = line.removeprefix("exec /bin/sh -c '").removesuffix("'")
    assert not set("'!\n") & set(quoted)


@pytest.mark.parametrize(
    ("bashrc", "what"),
    [
        ("exit 0", "web-1: the shell ended before the agent began, and printed nothing"),
        ("exit 1", "web-1: the login shell of deploy ended at once with exit code 1 and printed nothing"),
        (
            "exec echo Hello, you may use sftp alone",
            "something else ran in place of the agent (it said: Hello, you may",
        ),
        ("echo 'cannot start' >&2; exit 4", "the agent did not start, exit code 4 (it said: cannot start)"),
        ("echo 'This account is currently not available.'; exit 1", "the login shell of deploy is nologin"),
        (
            "echo 'rbash: /bin/sh: restricted: cannot specify' >&2; exit 126",
            "the login shell of deploy is a restricted",
        ),
    ],
)
def test_a_shell_that_does_not_start_it_is_named(tmp_path: Path, bashrc: str, what: str) -> None:
    (tmp_path / ".bashrc").write_text(f"{bashrc}\n")
    found = problem(_Login(tmp_path))
    assert what in found.what
    assert "nothing was done there" in found.meaning
    assert found.fix.startswith((f"ssh {PLACE} ", "on the host, as root: usermod --shell /bin/sh deploy"))


@pytest.mark.parametrize("shell", ["/bin/false", "/usr/sbin/nologin"])
def test_an_account_without_a_shell_is_named(tmp_path: Path, shell: str) -> None:
    said = str(problem(_Login(tmp_path, shell)))
    assert "nologin" in said or "/bin/false" in said


OLD = "import sys; sys.version_info = (3, 6, 8); sys.version = '3.6.8 (default)'"
MINIMAL = "import sys; sys.modules['json'] = None"


@pytest.mark.parametrize(
    ("python", "what"),
    [
        ("", "host web-1: python3 is missing"),
        (OLD, "host web-1: its python3 is 3.6.8, which is too old"),
        (MINIMAL, "host web-1: its python3 has no module json"),
    ],
)
def test_a_python_that_cannot_run_it_is_named(tmp_path: Path, python: str, what: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "printf"):
        (folder / name).symlink_to(str(shutil.which(name)))
    if python:
        run = f"{python}; code = sys.argv[3]; sys.argv = ['-c', *sys.argv[4:]]; exec(code)"
        (folder / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{run}" "$@"\n')
        (folder / "python3").chmod(0o755)
    found = problem(_Login(tmp_path, PATH=str(folder)))
    assert found.what == what
    assert found.fix.startswith(
        "install Python 3.9 or newer" if python == OLD else "on the host, as root: apt-get install"
    )


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("a file")
    found = problem(_Login(tmp_path), install=True)
    assert f"{tmp_path}/.local" in found.what
    assert found.fix == f"ssh {PLACE} 'ls -ld {tmp_path}/.local'"


HOME = "/home/deploy"
STACKS = f"{HOME}/.local/share/slipway/stacks"


@pytest.mark.parametrize(
    ("number", "path", "there", "fix"),
    [
        (errno.EACCES, f"{HOME}/.local/share", f"{HOME}/.local", f"chown -R deploy {HOME}/.local"),
        (errno.EPERM, f"{STACKS}/shop", f"{STACKS}/shop", f"chown -R deploy {STACKS}/shop"),
        (errno.EACCES, f"{HOME}/.local", HOME, f"install -d -o deploy -m 700 {HOME}"),
        (errno.EACCES, HOME, "/home", f"install -d -o deploy -m 700 {HOME}"),
        (errno.EACCES, "/srv/slipway/stacks", "/srv", "install -d -o deploy -m 700 /srv/slipway/stacks/shop"),
        (errno.ENOSPC, f"{STACKS}/shop/a.pyz.1", f"{STACKS}/shop", f"df -h {STACKS}/shop; df -i {STACKS}/shop"),
        (errno.EDQUOT, f"{STACKS}/shop/a.pyz.1", f"{STACKS}/shop", f"df -h {STACKS}/shop; df -i {STACKS}/shop"),
        (errno.EROFS, f"{HOME}/.local", HOME, f"findmnt --target {HOME}"),
        (errno.ENOTDIR, f"{HOME}/.local/share", f"{HOME}/.local", f"ls -ld {HOME}/.local"),
    ],
)
def test_whose_folder_is_in_the_way_and_the_command_that_gives_it_back(
    number: int, path: str, there: str, fix: str
) -> None:
    folder = f"{STACKS}/shop" if path.startswith("/home") else "/srv/slipway/stacks/shop"
    said = {"path": path, "there": there, "folder": folder, "number": number, "reason": os.strerror(number),
            "owner": "root", "user": "deploy", "home": HOME}  # fmt: skip
    found = start_failure("web-1", f"Welcome\nagent: failed {json.dumps(said)}\n", 1, PLACE)
    assert f"{path} cannot be written ({os.strerror(number)}" in found.what
    assert fix in found.fix
    assert "Traceback" not in str(found)
    assert start_failure("local", f"agent: failed {json.dumps(said)}\n", 1, "").fix.endswith(fix)


@pytest.mark.parametrize(
    ("said", "code", "what", "fix"),
    [
        ('Please login as the user "ubuntu" rather than "root".', 142, "but ubuntu may", "to ubuntu in hosts"),
        ("WARNING: Your password has expired.\nPassword change required", 1, "expired", f"ssh -t {PLACE} passwd"),
        ("fatal: Interactive git shell is not enabled.\n", 128, "restricted", "usermod --shell /bin/sh deploy"),
        ("\x1b[2J<{%evil%}>\n", 1, "exit code 1", f"ssh {PLACE} 'echo works'"),
        ("", None, "printed nothing", f"ssh {PLACE} 'echo works'"),
    ],
)  # fmt: skip
def test_what_hosts_say_in_place_of_the_agent_is_understood(said: str, code: int | None, what: str, fix: str) -> None:
    found = start_failure("web-1", said, code, PLACE)
    assert what in found.what
    assert fix in found.fix
    assert str(found).isprintable()
    assert "<{%" not in str(found)


@pytest.mark.parametrize("said", ["{bad", "[]", "{}", "", "null", "1e999", '{"path": 1}', "[" * 100_000, '"\x1b[2J"'])
def test_a_host_that_only_claims_to_say_why_is_quoted(said: str) -> None:
    found = start_failure("web-1", f"agent: failed {said}\n", 1, PLACE)
    assert "the agent did not start, exit code 1 (it said: agent: failed" in found.what
    assert str(found).isprintable()


@pytest.mark.parametrize("there", ["/home/x/.local", "/srv/x"])
def test_no_name_that_a_host_says_becomes_a_part_of_the_command(there: str) -> None:
    said = {"path": f"{there}/a", "there": there, "user": "a b;c", "owner": "$(x)", "number": 13, "home": "/home/x",
            "reason": "no", "folder": "/srv/x y"}  # fmt: skip
    fix = start_failure("web-1", f"agent: failed {json.dumps(said)}\n", 1, PLACE).fix
    assert "'a b;c'" in fix.replace("'\"'\"'", "'")


class _Endless:
    returncode = 0

    async def readline(self) -> bytes:
        return b"y\n" * 100

    async def read(self, *_: int) -> bytes:
        return b""

    async def wait(self) -> int:
        return 0


def test_what_never_ends_is_given_up() -> None:
    process: Any = SimpleNamespace(stdin=None, stdout=_Endless(), stderr=_Endless(), wait=_Endless().wait, returncode=0)
    with pytest.raises(SlipwayError, match=r"before the agent does not end \(it said: y y y"):
        asyncio.run(Channel("web-1", process, PLACE).ship())


@pytest.mark.parametrize(
    ("bashrc", "said"),
    [
        ("sleep 60", "no whole line"),
        ("yes '' | tr -d '\\n'", "no whole line"),
        ("yes | tr -d '\\n'", "no whole line"),
        ("echo Press a key; yes | tr -d '\\n'", "Press a key"),
        ("yes", "y y y"),
    ],
)
def test_a_start_up_file_without_an_end_is_called_that(
    tmp_path: Path, bashrc: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.hosts.agent_channel._PROBE_SECONDS", 1)
    monkeypatch.setattr("slipway.hosts.agent_channel.END_SECONDS", 1)
    (tmp_path / ".bashrc").write_text(f"{bashrc}\n")
    login = _Login(tmp_path)

    async def look() -> None:
        try:
            async with channel(login, "web-1", "shop-test"):
                pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(login.process.pid, signal.SIGKILL)
            await login.process.wait()

    with pytest.raises(SlipwayError) as raised:
        asyncio.run(look())
    [found] = raised.value.problems
    assert f"what the shell runs before the agent does not end (it said: {said}" in found.what
    assert "prints without end, or waits" in found.meaning
    assert found.fix == f"ssh {PLACE} 'echo works' | head -c 1000"
