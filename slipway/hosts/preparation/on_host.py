"""The list on a running host, over SSH: what it has, and bringing about what it lacks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import Problem, SlipwayError, in_brief
from slipway.hosts.connection import reached
from slipway.hosts.preparation.script import AS_ROOT, apply_script, check_script, results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.hosts.connection import Connection
    from slipway.hosts.preparation.item import Item
    from slipway.hosts.preparation.script import Result
    from slipway.settings.model import HostSettings

__all__ = ["bring_about", "check"]

_CHECK_SECONDS, _APPLY_SECONDS = 60, 900  # the packages of a fresh machine come over the network
_AGAIN_SECONDS, _POLL_SECONDS = 10, 0.5


async def _run(connection: Connection, host: HostSettings, script: str, seconds: float) -> tuple[int, str, str]:
    """Run a script of sh, as root if that is possible: its exit code, its output, its errors."""
    import asyncssh  # noqa: PLC0415  # 0.2 s, where a connection has loaded it already

    try:
        process: Any = await connection.start(AS_ROOT)
        output, errors = await asyncio.wait_for(process.communicate(script.encode()), seconds)
    except (TimeoutError, OSError, asyncssh.Error) as error:
        reason = f"no end within {seconds:.0f} s" if isinstance(error, TimeoutError) else f"connection lost: {error}"
        problem = Problem(f"it did not answer ({reason})", "what it has is not known", "slipway host check")
        raise SlipwayError(problem.on(host.name)) from None
    code = -1 if process.returncode is None else process.returncode
    return code, output.decode(errors="replace"), errors.decode(errors="replace")


async def _checked(connection: Connection, host: HostSettings, items: Sequence[Item]) -> list[Result]:
    _, output, _ = await _run(connection, host, check_script(items), _CHECK_SECONDS)
    return results(items, output)


async def check(host: HostSettings, key: str, items: Sequence[Item]) -> list[Result]:
    """What the host has of each item; nothing is changed there.

    Raises:
        SlipwayError: it cannot be reached.
    """
    async with reached(host, key) as connection:
        return await _checked(connection, host, items)


async def bring_about(host: HostSettings, key: str, items: Sequence[Item], done: Callable[[Result], None]) -> None:
    """Bring about these items, one after the other; `done` gets what the host then has of each.

    Raises:
        SlipwayError: one failed; those after it were not begun, and nobody is locked out.
    """
    async with reached(host, key) as connection:
        for item in items:
            code, output, errors = await _run(connection, host, apply_script(item), _APPLY_SECONDS)
            failure = f"it ended with {code}: {in_brief(errors) or 'it did not say why'}" if code else ""
            if saved := output.strip():
                failure = failure or await _locked_out(host, key)
                # The first connection is still open, whatever sshd or the firewall says to another one.
                end = f"sh {saved}/back {saved}" if failure else f"rm -rf {saved}"
                await _run(connection, host, end, _CHECK_SECONDS)
            if not failure:
                (result,) = await _checked(connection, host, [item])
                if result.state == "differs":
                    failure = f"afterwards it is not so: {result.text}"
            if failure:
                meaning = "what came before it is done and stays; run it again when that is fixed"
                fix = f"slipway host prepare {host.name}"
                raise SlipwayError(Problem(f"{item.title}: {failure}", meaning, fix).on(host.name))
            done(result)


async def _locked_out(host: HostSettings, key: str) -> str:
    """Why nobody could log in any more; empty when one can. While sshd starts anew, it refuses for a moment."""
    until = time.monotonic() + _AGAIN_SECONDS
    while True:
        try:
            async with reached(host, key) as second:
                await _run(second, host, "true\n", _CHECK_SECONDS)
        except SlipwayError as error:
            reason = error.what
        else:
            return ""
        if time.monotonic() > until:
            return f"a second login failed with it, so what was there before was put back ({reason})"
        await asyncio.sleep(_POLL_SECONDS)
