"""What the agent takes from the machine under it: time, threads, signals, connections and programs.

Everything else calls these through the module (`runtime.sleep(1)`), so that a test can put a simulated machine in
their place: nothing below orchestration is patched anywhere else.
"""

from __future__ import annotations

import contextlib
import os
import re
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

from slipway.contract.host_paths import HOME_VARIABLE

if TYPE_CHECKING:
    import http.client
    import socket
    import subprocess
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "born", "connect", "detach", "die", "forget_environment", "http_connection", "in_a_child", "join",
    "lower_priority", "monotonic", "on_signal", "popen", "signal_group", "sleep", "start_thread", "tcp_sockets",
    "time", "tls", "unix_connection",
]  # fmt: skip

# What the agent and the programs that it starts read of its environment: to find things, to reach Docker, and to speak.
_READ = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TZ|TERM|LANG|LANGUAGE|LC_[A-Z]+|LD_LIBRARY_PATH"
    r"|XDG_(RUNTIME_DIR|CONFIG_HOME|DATA_HOME)|DBUS_SESSION_BUS_ADDRESS|PYTHON(HOME|PATH|UTF8|DONTWRITEBYTECODE)"
    r"|DOCKER_(HOST|CONFIG|API_VERSION)|SSL_CERT_(FILE|DIR)|(?i:(HTTPS?|ALL|NO)_PROXY)"
    r"|SSH_ORIGINAL_COMMAND|SLIPWAY_(HOME|TEST_KILL_AFTER)"
)
_SYSTEMD = "/run/systemd/system"  # https://www.freedesktop.org/software/systemd/man/sd_booted.html


def start_thread(work: Callable[[], None]) -> threading.Thread:
    """Do `work` at the side of what goes on; it does not keep the process from ending."""
    import threading

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def join(threads: Iterable[threading.Thread]) -> None:
    """Wait for all of them."""
    for thread in threads:
        thread.join()


def in_a_child() -> None:
    """Go on in a child of this process, which gets SIGTERM when this one, which only waits for it, is killed.

    Pulumi's command plugin (1.2.1) kills (SIGKILL) what it started on this machine when an update is cancelled; a
    deployment has to go back.
    """
    import signal

    watched, held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held)
        start_thread(lambda: os.kill(os.getpid(), signal.SIGTERM) if not os.read(watched, 1) else None)
        return
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(child, number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def on_signal(number: int, action: Any) -> None:  # noqa: ANN401 - the signal module's own type
    """Take over a signal of this process."""
    import signal

    signal.signal(number, action)


def die() -> None:
    """End this process without a word, as a crash of the machine would."""
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def forget_environment() -> None:
    """Drop what nothing here reads, for every program started from now on.

    On the machine that deploys, it is the deployer's: passphrase and tokens, which a watch would show for an hour.
    """
    for name in [name for name in os.environ if not _READ.fullmatch(name)]:
        with contextlib.suppress(OSError):  # a name that is no name
            del os.environ[name]


def lower_priority(by: int) -> None:
    """Leave the processor to others first, from now on and in every program started."""
    with contextlib.suppress(OSError):
        os.nice(by)


def http_connection(host: str, port: int, timeout: float) -> http.client.HTTPConnection:
    """A connection over TCP, made when it is used first."""
    import http.client

    return http.client.HTTPConnection(host, port, timeout=timeout)


def tls(connection: socket.socket, name: str) -> socket.socket:
    """Speak TLS over a connection, asking for a name, with whoever answers: no certificate is checked."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=name or None)


def unix_connection(path: str, timeout: float | None) -> http.client.HTTPConnection:
    """A connection over a unix socket, made when it is used first."""
    import http.client
    import socket

    class UnixConnection(http.client.HTTPConnection):
        def connect(self) -> None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(self.timeout)
            try:
                connection.connect(path)
            except OSError:
                connection.close()
                raise
            self.sock = connection

    return UnixConnection("docker", timeout=timeout)


def connect(address: tuple[str, int], timeout: float) -> None:
    """Open a TCP connection and close it again; raises OSError when nobody answers."""
    import socket

    socket.create_connection(address, timeout).close()


def tcp_sockets(pid: int | None = None) -> Iterator[tuple[str, str, str]]:
    """(local, remote, state) of all TCP sockets of a process's network namespace, or ours, as the kernel prints them.

    None where there are no such files, or the process is another machine's.
    """
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/{pid or 'self'}/net/{name}", encoding="ascii") as file:
            next(file, None)
            for line in file:
                fields = line.split(None, 4)
                yield fields[1], fields[2], fields[3]


def popen(argv: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - as subprocess takes it
    """Start a program that reads nothing."""
    import subprocess

    return subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, **how)


def signal_group(group: int, number: int) -> None:
    """Send a signal to a program that was started as a group of its own, and to its children."""
    os.killpg(group, number)


def born(pid: int) -> str:
    """When a process started, in the kernel's ticks: tells it from a later one of that number; empty when gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:
            fields = handle.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == b"Z" else fields[19].decode()


def detach(argv: Sequence[str], name: str, log: str) -> None:
    """Start a program so that neither the end of this session nor that of its control group ends it.

    `name` is its unit's where systemd runs it; else it writes to the file `log`.
    """
    import subprocess

    if os.path.isdir(_SYSTEMD):
        how = [] if os.getuid() == 0 else ["--user"]
        home = [f"--setenv={HOME_VARIABLE}={os.environ[HOME_VARIABLE]}"] if HOME_VARIABLE in os.environ else []
        done = subprocess.run(
            ["systemd-run", *how, "--quiet", "--collect", f"--unit={name}", *home, *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        popen(argv, stdout=output, stderr=output, cwd="/", start_new_session=True)
    finally:
        os.close(output)
