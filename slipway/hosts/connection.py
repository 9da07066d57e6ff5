"""Starts programs on a host, over SSH with pinned host keys or on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes.util
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.model import BastionSettings, HostSettings, pinned_key
from slipway.settings.setting_files import keyscan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "OTHER_SHELLS",
    "Connection",
    "LocalConnection",
    "Process",
    "Terminal",
    "ended",
    "for_any_shell",
    "load_asyncssh",
    "reached",
]

_CONNECT_SECONDS = 15  # to reach, authenticate and start: far above a slow link's, far below a person's patience
_SIGNALLED = 128  # what shells add to a signal's number for the exit code of what it ended


class Terminal(NamedTuple):
    """A terminal that a program on a host is to have."""

    kind: str
    """Its TERM."""
    columns: int
    rows: int


OTHER_SHELLS = ("csh", "tcsh", "fish")
"""Login shells that do not read commands of sh."""


def for_any_shell(command: str) -> str:
    """`command` of sh for a login shell that may be another: csh and fish read quotes, `!` and line ends differently.

    What one of them could take for its own is an octal number, which printf(1) of sh undoes.
    """
    plain = re.sub(r"[\\'\"$`!\n]", lambda found: f"\\0{ord(found[0]):03o}", command)
    return f"""exec /bin/sh -c 'eval "$(printf %b "{plain}")"'"""


class Process(Protocol):
    """A running program: bytes in, bytes out."""

    stdin: Any
    stdout: Any
    stderr: Any


class Connection(Protocol):
    """A host on which programs can be started."""

    place: str
    """What stands between `ssh` and a command for a person who goes there; empty for this machine."""

    async def start(self, command: str) -> Process:
        """Start `command` of sh, whatever the login shell is."""


class LocalConnection:
    """This machine."""

    place = ""

    async def start(self, command: str) -> Process:
        """Start `command` with sh, in a process group of its own so that Ctrl-C reaches only the driver."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", command, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 22, start_new_session=True
        )

    async def start_here(self, command: str, *, terminal: bool) -> Process:
        """Start `command` with sh on this process's own standard streams.

        With `terminal` it stays in this session, which a program needs that is used at the terminal.
        """
        return await asyncio.create_subprocess_exec("/bin/sh", "-c", command, start_new_session=not terminal)


class _SshConnection:
    def __init__(self, connection: Any, place: str) -> None:  # noqa: ANN401  # asyncssh is imported late
        self._connection = connection
        self.place = place

    async def start(self, command: str, terminal: Terminal | None = None) -> Process:
        """Start `command`; with a `terminal` of its own where one is given, on which its two outputs are one.

        Raises:
            SlipwayError: when the host refuses it a terminal.
            OSError: when the connection is lost.
        """
        import asyncssh  # noqa: PLC0415  # loaded already

        wanted = {"term_type": terminal.kind, "term_size": (terminal.columns, terminal.rows)} if terminal else {}
        try:
            line = for_any_shell(command)
            process: Process = await self._connection.create_process(line, encoding=None, **wanted)
        except asyncssh.ChannelOpenError as error:
            if not terminal:
                raise OSError(str(error)) from None
            raise SlipwayError(
                f"the host gives no terminal ({error.reason})",
                "its sshd may be set to refuse them; nothing was run",
                "PermitTTY yes in its sshd_config, or pipe the input",
            ) from None
        except asyncssh.Error as error:
            raise OSError(error.reason) from None
        return process


async def ended(process: Process) -> int | None:
    """The exit code, as a shell reports it, of a program whose output has been read to its end; None when not known.

    A program over SSH whose connection broke is one of those: it may run on.
    """
    any_kind: Any = process
    await any_kind.wait()
    code: int | None = any_kind.returncode
    return code if code is None or code >= 0 else _SIGNALLED - code


def load_asyncssh() -> Any:  # noqa: ANN401  # a module
    """The module asyncssh, imported late: 0.1 s that a local stack need not pay.

    It looks for liboqs, for which `ctypes` runs gcc and ld twice (0.1 s); ML-KEM, which OpenSSH prefers since 10.0,
    needs none.
    """
    find = ctypes.util.find_library
    ctypes.util.find_library = lambda name: None if "oqs" in name else find(name)
    try:
        import asyncssh  # noqa: PLC0415  # as above
    finally:
        ctypes.util.find_library = find
    return asyncssh


@contextlib.asynccontextmanager
async def reached(host: HostSettings, private_key: str) -> AsyncIterator[Connection]:
    """A connection to this machine, or to a host over SSH, through its bastion if it has one.

    Raises:
        SlipwayError: when it cannot be reached, shows another host key, or refuses the private key.
    """
    if host.local:
        yield LocalConnection()
        return
    if not host.made:
        what = f"host {host.name} does not exist yet, or was not ready when it was last waited for"
        raise SlipwayError(what, "nothing runs there that is known", "slipway up")
    asyncssh = load_asyncssh()
    async with contextlib.AsyncExitStack() as stack:
        machine: HostSettings | BastionSettings = host
        try:
            key = asyncssh.import_private_key(private_key)
            connection: Any = ()
            for machine in (host.bastion, host) if host.bastion else (host,):
                opened = asyncssh.connect(**_arguments(machine, key), tunnel=connection)
                connection = await stack.enter_async_context(opened)
        except (asyncssh.Error, asyncssh.KeyImportError, OSError, TimeoutError) as error:
            raise SlipwayError(_problem(host, machine, error)) from None
        jump = f"-J {host.bastion.user}@{host.bastion.address}:{host.bastion.port} " if host.bastion else ""
        yield _SshConnection(connection, f"{jump}-p {host.port} {host.user}@{host.address}")


def _arguments(machine: HostSettings | BastionSettings, key: Any) -> dict[str, Any]:  # noqa: ANN401  # asyncssh is imported late
    import asyncssh  # noqa: PLC0415  # loaded already

    trusted = asyncssh.import_public_key(pinned_key(machine))
    algorithm = trusted.algorithm.decode()  # an RSA key signs by newer names than its own
    return {
        "host": machine.address,
        "port": machine.port,
        "username": machine.user,
        "client_keys": [key],
        "known_hosts": ([trusted], [], []),
        "server_host_key_algs": ["rsa-sha2-512", "rsa-sha2-256"] if algorithm == "ssh-rsa" else [algorithm],
        "agent_path": None,
        "config": None,
        "connect_timeout": _CONNECT_SECONDS,
        "login_timeout": _CONNECT_SECONDS,
        "keepalive_interval": 5,  # a host that is cut off is given up after about half a minute
        "keepalive_count_max": 6,
        "x509_trusted_certs": None,
    }


def _problem(host: HostSettings, machine: HostSettings | BastionSettings, error: Exception) -> Problem:
    """What failed on the way to `host`, in the family's form; `machine` is the host itself or its bastion."""
    import asyncssh  # noqa: PLC0415  # loaded already

    place = f"{machine.user}@{machine.address}:{machine.port}"
    who = f"host {host.name}" + (" (bastion)" if machine is host.bastion else "")
    if isinstance(error, asyncssh.KeyImportError):
        return Problem(
            f"{who}: a key cannot be used ({error})",
            "nothing can be deployed there",
            "check sshKey and hostKey in the stack's settings",
        )
    if isinstance(error, asyncssh.HostKeyNotVerifiable) or "host key" in str(error).lower():
        return Problem(
            f"{who}: {machine.address} shows another host key than the pinned one",
            "the machine was rebuilt, or someone impersonates it; nothing was sent to it; compare what it "
            "shows with the provider's console, then set hostKey",
            keyscan(machine.address, machine.port),
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return Problem(
            f"{who}: {place} refuses the key in sshKey",
            "nothing can be deployed there",
            f"add its public half to ~{machine.user}/.ssh/authorized_keys on the host (ssh-copy-id), "
            "or set the right sshKey",
            "login-refused",
        )
    reason = str(error) or f"no answer within {_CONNECT_SECONDS} s"
    return Problem(
        f"{who}: {place} cannot be reached ({reason})",
        "its state is unknown, so nothing is changed",
        f"ssh -p {machine.port} {machine.user}@{machine.address} true",
    )
