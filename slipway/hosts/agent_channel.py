"""The agent of one host, over one connection: shipped where it is missing, its probe read, then its events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import textwrap
from typing import TYPE_CHECKING, Any

from slipway.compose.schema_check import checked
from slipway.contract.host_paths import shell_stack_path
from slipway.contract.problems import Problem, SlipwayError, in_brief
from slipway.hosts.agent_package import pack_agent
from slipway.hosts.connection import ended
from slipway.hosts.start_failure import FAILED, start_failure
from slipway.settings.deploy_origin import origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from slipway.hosts.connection import Connection, Process

__all__ = ["END_SECONDS", "Channel", "agent_path", "channel"]

END_SECONDS = 5  # of an agent that has said all it will say
_NOISE = 65_536  # bytes that a host may print before the agent speaks
_UNKNOWN = "its state is unknown, so nothing is changed"
_PROBE_SECONDS = 60  # an engine under load answers late; a host that takes longer is as good as unreachable

# Runs on the host: uses the shipped agent when it is the right one, else asks for it. Installed under a name of its
# own version, because a running agent reads modules out of its unpacked folder late; the link moves atomically.
_BOOTSTRAP = textwrap.dedent("""\
    import sys
    if sys.version_info < (3, 9):
        sys.exit(print("agent: python %s" % sys.version.split()[0]))
    try:
        import atexit, hashlib, http.client, json, os, pwd, runpy, shutil, tempfile
    except ImportError as error:
        sys.exit(print("agent: python lacks %s" % error.name))
    folder, digest, size, how, actor = sys.argv[1:6]
    os.umask(0o077)
    size, install = int(size), how == "install"
    def user(number):
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            return str(number)
    def failed(kind, error, trace):
        if not isinstance(error, OSError):
            return sys.__excepthook__(kind, error, trace)
        path = there = os.path.abspath(error.filename or folder)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        print("agent: failed " + json.dumps({
            "path": path, "there": there, "folder": folder, "number": error.errno, "reason": error.strerror,
            "owner": user(os.lstat(there).st_uid), "user": user(os.getuid()), "home": os.path.expanduser("~"),
        }), flush=True)
    sys.excepthook = failed
    path = os.path.join(folder, "agent-%s.pyz" % digest[:12])
    def good():
        try:
            with open(path, "rb") as file:
                return hashlib.sha256(file.read()).hexdigest() == digest
        except OSError:
            return False
    if good():
        print("agent: here", flush=True)
    else:
        print("agent: wanted", flush=True)
        content = sys.stdin.buffer.read(size)
        if hashlib.sha256(content).hexdigest() != digest:
            sys.exit("the agent arrived damaged")
        if install:
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, 0o700)
        else:
            folder = tempfile.mkdtemp(prefix="slipway-")
            atexit.register(shutil.rmtree, folder, True)
            path = os.path.join(folder, os.path.basename(path))
        partial = "%s.%d" % (path, os.getpid())
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, path)
    if install:
        for above in (folder, os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))):
            mode = os.stat(above).st_mode
            if mode & 0o022 and not mode & 0o1000:
                os.chmod(above, mode & 0o755)
        runpy.run_path(path, run_name="install")["install"](path)
        link = os.path.join(folder, "agent.pyz")
        if not os.path.islink(link) or os.readlink(link) != os.path.basename(path):
            partial = "%s.%d" % (link, os.getpid())
            os.symlink(os.path.basename(path), partial)
            os.rename(partial, link)
            kept = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".pyz")]
            for old in sorted((one for one in kept if one != link), key=os.path.getmtime)[:-3]:
                shutil.rmtree(old + ".d", True)
                for gone in (old, old + ".d.seal"):
                    if os.path.exists(gone):
                        os.unlink(gone)
        with open(os.path.join(folder, "actor"), "w") as file:
            file.write(actor)
    sys.excepthook = sys.__excepthook__
    sys.argv = [path] + sys.argv[6:]
    runpy.run_path(path, {"installed": install}, "__main__")
    """)


def agent_path(stack: str) -> str:
    """The agent of `stack` as a word for the shell of a host."""
    return shell_stack_path(stack, "agent.pyz")


def _command(stack: str, *, install: bool, command: Sequence[str], kind: str) -> str:
    package = pack_agent()
    how = "install" if install else "look"
    given = [command[0], "--stack", stack, *command[1:]]
    words = [package.digest, str(len(package.content)), how, "\n".join(origin(kind)), *given]
    return (
        'command -v python3 >/dev/null 2>&1 || { echo "agent: python none"; exit 3; }; '
        f"exec python3 -I -c {shlex.quote(_BOOTSTRAP)} {shell_stack_path(stack)} {shlex.join(words)}"
    )


class Channel:
    """One host's agent, attending: its probe, and from then on its events and the verdicts sent to it.

    `place` is how a person reaches the host: what stands between `ssh` and a command; empty for this machine.
    """

    def __init__(self, host: str, process: Process, place: str = "") -> None:
        self.host = host
        self._place = place
        self._process = process
        self.probe: Mapping[str, Any] = {}
        self._failure: Problem | None = None

    async def start(self) -> None:
        """Ship the agent if it is missing, and read its probe.

        Raises:
            SlipwayError: when the host lacks Python 3, or the agent does not answer as the contract says.
        """
        await self.ship()
        line = await self._line()
        said = self._understood(line)
        if said is None:
            raise SlipwayError(self._failure or await self._silence(line))
        if self._failure:
            raise SlipwayError(self._failure)
        self.probe = checked("probe", said)

    async def ship(self) -> None:
        """Ship the agent if it is missing; from then on it runs.

        Raises:
            SlipwayError: when the host lacks Python 3, or does not answer.
        """
        if await self._begun():
            self._process.stdin.write(pack_agent().content)
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._process.stdin.drain()

    async def _begun(self) -> bool:
        """Whether the agent wants to be shipped; what start-up files print before it says so is passed over."""
        said, goes_on = b"", True
        with contextlib.suppress(TimeoutError, ValueError):  # asyncio's, of a line without an end
            async with asyncio.timeout(_PROBE_SECONDS):
                while len(said) < _NOISE and (line := await self._process.stdout.readline()):
                    if line.endswith((b"agent: here\n", b"agent: wanted\n")):  # maybe behind one without an end
                        return bool(line.endswith(b"wanted\n"))
                    said += line
                goes_on = len(said) >= _NOISE
        code = None
        with contextlib.suppress(Exception):  # asyncssh raises errors of its own for a lost connection
            async with asyncio.timeout(END_SECONDS):
                said += b"\n" + await self._process.stderr.read(_NOISE)
                code = await ended(self._process)
        raise SlipwayError(start_failure(self.host, said.decode(errors="replace"), code, self._place, goes_on=goes_on))

    async def answer(self, content: bytes, seconds: float) -> dict[str, Any]:
        """Give `content` as the rest of standard input; the JSON that the agent answers with within `seconds`.

        Raises:
            SlipwayError: what the agent itself complains of, or that it did not answer.
        """
        with contextlib.suppress(Exception):  # one that reads nothing may have answered and ended already
            self._process.stdin.write(content)
            self._process.stdin.write_eof()
        try:
            line: bytes = await asyncio.wait_for(self._process.stdout.readline(), seconds)
            found = self._understood(line)
        except Exception:  # noqa: BLE001  # asyncssh raises errors of its own for a lost connection
            found = None
        if found is None or self._failure:
            raise SlipwayError(await self.complaint())
        return found

    def _understood(self, line: bytes) -> dict[str, Any] | None:
        """What the agent said, None for rubbish; its own error is kept for `complaint`."""
        if line.startswith(FAILED):
            self._failure = start_failure(self.host, line.decode(errors="replace"), None, self._place)
        try:
            said: dict[str, Any] = json.loads(line)
            failed = [Problem.from_json(each).on(self.host) for each in said.get("failed") or ()]
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return None
        self._failure = failed[0] if failed else self._failure
        return said

    async def complaint(self, otherwise: Problem | None = None) -> Problem:
        """What an agent that has ended complained of: its own error, where it gave one, else `otherwise`."""
        return self._failure or otherwise or await self._silence(b"")

    async def _line(self) -> bytes:
        try:
            line: bytes = await asyncio.wait_for(self._process.stdout.readline(), _PROBE_SECONDS)
        except ValueError:  # asyncio's, of a line without an end
            line = b"a line that is too long"
        return line.rstrip(b"\n")

    async def _silence(self, said: bytes) -> Problem:
        with contextlib.suppress(Exception):  # asyncssh raises errors of its own for a lost connection
            said += b"\n" + await asyncio.wait_for(self._process.stderr.read(2000), 2)
        text = in_brief(said.decode(errors="replace"), 400) or "nothing"
        return Problem(
            f"host {self.host}: the agent did not answer (it said: {text})",
            _UNKNOWN,
            "slipway status",
        )

    async def release(self) -> None:
        """Let the agent go, and wait until it is gone: a loop that is closed before that complains."""
        process: Any = self._process  # both kinds of process can be waited for
        with contextlib.suppress(Exception):  # asyncssh raises errors of its own for a lost connection, once a stream
            process.stdin.write_eof()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(END_SECONDS):  # `wait_for` complains of a gathering that is cancelled
                await asyncio.gather(_drop(process.stdout), _drop(process.stderr), process.wait())

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The agent's messages until it ends (a fleet's host publishes the phases of its deployment)."""
        while line := await self._next():
            said = self._understood(line)
            if said is not None and not said.get("failed"):
                yield said

    async def _next(self) -> bytes:
        """The agent's next line; empty when it, or the connection to it, has ended."""
        line = b""
        with contextlib.suppress(Exception):  # asyncssh raises errors of its own for a lost connection
            line = await self._process.stdout.readline()
        return line

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; one that is gone gets nothing (its own agent notices the silence)."""
        with contextlib.suppress(Exception):  # asyncssh raises errors of its own for a lost connection
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()


async def _drop(stream: Any) -> None:  # noqa: ANN401  # asyncio's or asyncssh's
    while await stream.read(65_536):
        pass


@contextlib.asynccontextmanager
async def channel(
    connection: Connection,
    name: str,
    stack: str,
    *,
    install: bool = False,
    look: str = "probe",
    command: Sequence[str] = (),
    kind: str = "deploy",
) -> AsyncIterator[Channel]:
    """The agent of `stack` on a host, its probe read; it is let go at the end.

    `look` is which of its commands probes: `attend` and `plan` go on after it.

    With a `command` (another one of the agent's, then its options) it runs that, and there is no probe. `kind` is what
    the host's ledger will call the deployment that it is installed for.

    Raises:
        SlipwayError: when the host or its agent does not answer.
    """
    async with contextlib.AsyncExitStack() as exits:
        try:
            words = command or (look,)
            process = await connection.start(_command(stack, install=install, command=words, kind=kind))
            channel = Channel(name, process, connection.place)
            exits.push_async_callback(channel.release)
            await (channel.ship() if command else channel.start())
        except TimeoutError:
            what, fix = f"no answer within {_PROBE_SECONDS} s", "slipway status"
            raise SlipwayError(f"host {name}: {what}", _UNKNOWN, fix) from None
        except OSError as error:
            raise SlipwayError(f"host {name}: the connection broke ({error})", _UNKNOWN, "run it again") from None
        yield channel
