"""A program on a host with this process's own standard streams, or with the terminal that they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import stat
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any

from slipway.contract.commands import of_stack
from slipway.contract.problems import SlipwayError
from slipway.hosts.connection import Connection, LocalConnection, Process, Terminal, ended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ["attached"]

_PIECE = 65_536
_DRAIN_SECONDS = 10.0  # of a command that was asked to end, before it is killed
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_SIGNALLED = 128  # what shells add to a signal's number
_NO_READER = _SIGNALLED + signal.SIGPIPE


async def attached(
    connection: Connection,
    command: str,
    *,
    host: str,
    stack: str,
    terminal: bool,
    pass_signal: Callable[[signal.Signals], Awaitable[None]] | None = None,
) -> int:
    """Run `command`, a line for a host's shell, until it ends; its exit code.

    With `terminal` it gets the one that standard input and output are; else they are piped byte for byte, and
    `pass_signal` is given the signal that this process was asked to end with (SIGTERM when nobody reads its output any
    more). Raises SlipwayError when the host gives no terminal, or the connection breaks before the end is known.
    """
    pass_signal = None if terminal else pass_signal
    try:
        if isinstance(connection, LocalConnection):
            running = _exit_code(await connection.start_here(command, terminal=terminal))
        elif terminal:
            running = _at_terminal(connection, command)
        else:
            mark = f"slipway-{secrets.token_hex(8)}"
            running = _piped(await connection.start(f"printf '%s\\n' {mark}; {command}"), mark)
        code = await (_passing_signals(running, pass_signal) if pass_signal else running)
    except BrokenPipeError:
        code = _NO_READER
    except OSError as error:
        what = f"host {host}: the connection broke ({str(error) or 'closed'})"
        meaning = "whether the command ended is not known: run it again only where that does no harm"
        raise SlipwayError(what, meaning, of_stack("slipway ps", stack)) from None
    if code == _NO_READER and pass_signal:
        await pass_signal(signal.SIGTERM)
    return code


async def _passing_signals(
    running: Coroutine[Any, Any, int], pass_signal: Callable[[signal.Signals], Awaitable[None]]
) -> int:
    """The exit code; when this process is asked to end, the program is asked too and given some time."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
    ending, asking = asyncio.ensure_future(running), asyncio.ensure_future(asked.get())
    for name in (signal.SIGINT, *_ENDS):
        loop.add_signal_handler(name, asked.put_nowait, name)
    try:
        await asyncio.wait({ending, asking}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            for name in (asking.result(), signal.SIGKILL):
                await pass_signal(name)
                await asyncio.wait({ending}, timeout=_DRAIN_SECONDS)
                if ending.done():
                    break
            else:
                return _SIGNALLED + asking.result()
        return ending.result()
    finally:
        for name in (signal.SIGINT, *_ENDS):
            loop.remove_signal_handler(name)
        for task in (ending, asking):
            task.cancel()
        await asyncio.gather(ending, asking, return_exceptions=True)


async def _at_terminal(connection: Any, command: str) -> int:  # noqa: ANN401  # an SSH one
    """Every key goes to the program, Ctrl-C too; the terminal is as before at the end."""
    process: Any = await connection.start(command, Terminal(os.environ.get("TERM") or "xterm", *_size()))
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    loop.add_signal_handler(signal.SIGWINCH, lambda: process.change_terminal_size(*_size()))
    for name in _ENDS:
        loop.add_signal_handler(name, lambda: task and task.cancel())
    before = termios.tcgetattr(sys.stdin.fileno())
    try:
        tty.setraw(sys.stdin.fileno(), termios.TCSADRAIN)  # what was typed meanwhile is kept
        return await _piped(process)
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
        for name in (signal.SIGWINCH, *_ENDS):
            loop.remove_signal_handler(name)


def _size() -> tuple[int, int]:
    """The terminal's own columns and lines; COLUMNS and LINES are of the shell that exported them."""
    with contextlib.suppress(OSError):
        found = os.get_terminal_size(sys.stdout.fileno())
        if found.columns and found.lines:
            return found.columns, found.lines
    return 80, 24


async def _piped(process: Process, mark: str = "") -> int:
    """Copy bytes in both directions until the program ends; what start-up files print before the `mark` is dropped."""
    feeding = asyncio.create_task(_feed(process))
    try:
        if mark:
            try:
                await process.stdout.readuntil(f"{mark}\n".encode())
            except asyncio.IncompleteReadError as ended_before:
                os.write(sys.stderr.fileno(), ended_before.partial)
        await asyncio.gather(_copy(process.stdout, sys.stdout.fileno()), _copy(process.stderr, sys.stderr.fileno()))
        return await _exit_code(process)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _exit_code(process: Process) -> int:
    code = await ended(process)
    if code is None:
        raise ConnectionError
    return code


async def _feed(process: Process) -> None:
    """Standard input, as fast as the program takes it; then its end. Where there is none, its end at once."""
    # the end of the program, or of the connection, is seen by whoever reads its output
    with contextlib.suppress(OSError):
        while sys.stdin is not None and (data := await _typed(sys.stdin.fileno())):
            process.stdin.write(data)
            await process.stdin.drain()
    with contextlib.suppress(OSError):
        process.stdin.write_eof()


async def _typed(descriptor: int) -> bytes:
    """The next bytes; nothing is taken that nobody asked for, so what comes later is left to the next program."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    kind = os.fstat(descriptor).st_mode
    # files, folders, /dev/null and the like cannot be waited for, and never have to be
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        with contextlib.suppress(PermissionError):
            loop.add_reader(descriptor, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(descriptor)
    return os.read(descriptor, _PIECE)


async def _copy(stream: Any, descriptor: int) -> None:  # noqa: ANN401  # asyncio's or asyncssh's
    while True:
        try:
            data: bytes = await stream.read(_PIECE)
        except Exception as error:  # noqa: BLE001  # asyncssh raises errors of its own for a lost connection
            raise OSError(str(error)) from None
        if not data:
            return
        # in a thread: whoever reads our output may be waiting for us to read our input
        await asyncio.to_thread(_write, descriptor, data)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
