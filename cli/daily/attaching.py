"""A program on a host with this process's own standard streams, or with the terminal that they are.

Owns: the terminal's modes and size, bytes in both directions, signals, and the exit code. Does not own: what is run, or
the connection (see components/connection.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any

from components.connection import LocalConnection, Terminal, ended
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from components.connection import Connection, Process

__all__ = ["attached", "has_terminal"]

_PIECE = 65_536
_DRAIN_SECONDS = 10.0  # of a command that was asked to end, before it is killed
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_SIGNALLED = 128  # what shells add to a signal's number
_NO_READER = _SIGNALLED + signal.SIGPIPE


def has_terminal() -> bool:
    """Whether a person sits at this process: both standard input and output are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


async def attached(
    connection: Connection,
    command: str,
    host: str,
    *,
    terminal: bool,
    passed: Callable[[signal.Signals], Awaitable[None]] | None = None,
) -> int:
    """Run `command` until it ends; its exit code.

    Args:
        connection: the host's.
        command: a line for its shell.
        host: its name, for errors.
        terminal: give it the terminal that standard input and output are; else they are piped as they are, byte for
            byte.
        passed: without a terminal, is handed the signal that this process was asked to end with, or SIGTERM when
            nobody reads its output any more, so that the command ends as well; its exit code is told as ever, if it
            ends in time.

    Raises:
        SlipwayError: when the host gives no terminal, or the connection breaks before the end is known.
    """
    passed = None if terminal else passed
    try:
        code = await _attached(connection, command, host, terminal=terminal, passed=passed)
    except BrokenPipeError:
        code = _NO_READER
    except OSError as error:
        raise SlipwayError(_broken(host, str(error))) from None
    if code == _NO_READER and passed:
        await passed(signal.SIGTERM)
    return code


async def _attached(
    connection: Connection,
    command: str,
    host: str,
    *,
    terminal: bool,
    passed: Callable[[signal.Signals], Awaitable[None]] | None,
) -> int:
    if isinstance(connection, LocalConnection):
        running = _waited(await connection.start_here(command, terminal=terminal), host)
    elif terminal:
        return await _at_terminal(connection, command, host)
    else:
        running = _piped(await connection.start(command), host)
    with _passing(passed) as asked:
        return await _until_ended(asyncio.create_task(running), asked)


async def _at_terminal(connection: Any, command: str, host: str) -> int:  # noqa: ANN401  # an SSH one
    size = _size()
    wanted = Terminal(os.environ.get("TERM") or "xterm", size.columns, size.lines)
    process: Any = await connection.start(command, wanted)
    loop = asyncio.get_running_loop()

    def resized() -> None:
        now = _size()
        process.change_terminal_size(now.columns, now.lines)

    loop.add_signal_handler(signal.SIGWINCH, resized)
    ends = asyncio.current_task()
    for name in _ENDS:
        loop.add_signal_handler(name, lambda: ends and ends.cancel())  # so that the terminal is as it was
    try:
        with _raw():
            return await _piped(process, host)
    finally:
        for name in (signal.SIGWINCH, *_ENDS):
            loop.remove_signal_handler(name)


def _size() -> os.terminal_size:
    """The terminal's own, whatever COLUMNS and LINES say: they are of the shell that exported them."""
    with contextlib.suppress(OSError):
        found = os.get_terminal_size(sys.stdout.fileno())
        if found.columns and found.lines:
            return found
    return os.terminal_size((80, 24))


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the program, Ctrl-C too; the terminal is as before at the end."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)  # what was typed meanwhile is kept
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def _piped(process: Process, host: str) -> int:
    """Hand bytes on in both directions until the program ends."""
    feeding = asyncio.create_task(_feed(process))
    try:
        await asyncio.gather(
            _hand_on(process.stdout, sys.stdout.fileno()), _hand_on(process.stderr, sys.stderr.fileno())
        )
        return await _waited(process, host)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _waited(process: Process, host: str) -> int:
    code = await ended(process)
    if code is None:
        raise SlipwayError(_broken(host, "closed"))
    return code


async def _feed(process: Process) -> None:
    """Standard input, as fast as the program takes it; then its end. Where there is none, its end at once."""
    # the end of the program, or of the connection, is seen by whoever reads its output
    with contextlib.suppress(OSError):
        while sys.stdin is not None and (data := await _given(sys.stdin.fileno())):
            process.stdin.write(data)
            await process.stdin.drain()
    with contextlib.suppress(OSError):
        process.stdin.write_eof()


async def _given(descriptor: int) -> bytes:
    """The next bytes; nothing is taken that nobody asked for, so what comes later is left to the next program."""
    kind = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        await _readable(descriptor)
    return os.read(descriptor, _PIECE)


async def _readable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:  # /dev/null and the like cannot be waited for, and never have to be
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def _hand_on(stream: Any, descriptor: int) -> None:  # noqa: ANN401  # asyncio's or asyncssh's
    while data := await _taken(stream):
        # in a thread: whoever reads our output may be waiting for us to read our input
        await asyncio.to_thread(_write, descriptor, data)


async def _taken(stream: Any) -> bytes:  # noqa: ANN401  # as above
    try:
        data: bytes = await stream.read(_PIECE)
    except Exception as error:  # noqa: BLE001  # asyncssh raises errors of its own for a lost connection
        raise OSError(str(error)) from None
    return data


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@contextlib.contextmanager
def _passing(passed: Callable[[signal.Signals], Awaitable[None]] | None) -> Iterator[asyncio.Queue[Any]]:
    """Meanwhile, being asked to end is put into a queue, with how to pass it on; without `passed` nothing changes."""
    asked: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    names = (signal.SIGINT, *_ENDS) if passed else ()
    for name in names:
        loop.add_signal_handler(name, asked.put_nowait, (name, passed))
    try:
        yield asked
    finally:
        for name in names:
            loop.remove_signal_handler(name)


async def _until_ended(running: asyncio.Task[int], asked: asyncio.Queue[Any]) -> int:
    """The exit code; when asked to end, the program is asked too and given some time."""
    asking = asyncio.create_task(asked.get())
    try:
        await asyncio.wait({running, asking}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            name, passed = asking.result()
            for signalled in (name, signal.SIGKILL):
                await passed(signalled)
                await asyncio.wait({running}, timeout=_DRAIN_SECONDS)
                if running.done():
                    break
            else:
                return _SIGNALLED + int(name)
        return running.result()
    finally:
        for task in (asking, running):
            task.cancel()
        await asyncio.gather(asking, running, return_exceptions=True)


def _broken(host: str, why: str) -> Problem:
    return Problem(
        f"host {host}: the connection broke ({why or 'closed'})",
        "whether the command ended there is not known",
        "slipway ps, then run it again if that does no harm",
    )
