"""A command in a container of a service, or a shell on a host."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from slipway.cli.containers.list import HostListing, host_listings, require_services, selected_hosts
from slipway.cli.containers.stdio import attached
from slipway.cli.printing import print_problems
from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.connection import reached

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence

    from slipway.releases.engine import Stack

__all__ = [
    "SHELL", "SIGNAL_SCRIPT", "ExecRequest", "best_container", "docker_exec", "exec_in_container", "shell_on_host",
]  # fmt: skip

SHELL = ("sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi")
"""The best shell that an image has."""

SIGNAL_SCRIPT = """\
for each in /proc/[0-9]*; do
    grep -qF "$1" "$each/environ" 2>/dev/null && kill -s "$2" "${each#/proc/}"
done
true"""
"""Run by sh in a container: sends the signal $2 to every process whose environment has the mark $1. That an engine's
client ends does not end what it began in a container (https://github.com/moby/moby/issues/9098)."""

_PASS_SECONDS = 5.0
_TERMINATED = 143  # what shells call a command that SIGTERM ended
_GENERATIONS = ("live", "other", "kept")
_HEALTH = {"healthy": 0, None: 0, "starting": 1, "unhealthy": 2}


@dataclass(frozen=True, kw_only=True)
class ExecRequest:
    """A command to run, and in which container; with `terminal` it gets this process's."""

    service: str
    command: Sequence[str]
    host: str = ""
    number: int | None = None
    user: str = ""
    terminal: bool


def exec_in_container(stack: Stack, request: ExecRequest) -> int:
    """Run a command in a container; its exit code. Raises SlipwayError without one, or when the connection breaks."""
    return _until_terminated(_exec(stack, request))


def shell_on_host(stack: Stack, host: str) -> int:
    """Open a login shell on a host, the stack's first one if none is named; the shell's exit code."""
    hosts = selected_hosts(stack.settings, [host] if host else [])
    machine = hosts[0]
    where = "this machine" if machine.local else f"{machine.user}@{machine.address}"
    others = f", the first of {len(hosts)} hosts (--host NAME chooses another)" if len(hosts) > 1 else ""
    typer.echo(f"{machine.name}: {where}{others}", err=True)

    async def open_shell() -> int:
        async with reached(machine, stack.settings.private_key()) as connection:
            login = 'exec "${SHELL:-/bin/sh}" -l'
            return await attached(connection, login, host=machine.name, stack=stack.settings.stack, terminal=True)

    return _until_terminated(open_shell())


def _until_terminated(running: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(running)
    except asyncio.CancelledError:
        return _TERMINATED


async def _exec(stack: Stack, request: ExecRequest) -> int:
    settings = stack.settings
    hosts = selected_hosts(settings, [request.host] if request.host else [])
    async with contextlib.aclosing(host_listings(stack, hosts)) as listings:
        on, container = await pick_container(listings, request.service, request.number, settings.stack)
        listing, connection = on.listing, on.connection
        assert listing is not None  # noqa: S101  # of a picked container
        assert connection is not None  # noqa: S101  # as above
        _announce(on, container, request, stack, several=len(hosts) > 1)
        mark = f"SLIPWAY_EXEC={secrets.token_hex(8)}"

        async def pass_signal(name: signal.Signals) -> None:
            words = ("sh", "-c", SIGNAL_SCRIPT, "sh", mark, name.name.removeprefix("SIG"))
            line = docker_exec(listing, container["id"], words, terminal=False, user=request.user)
            process: Any = await connection.start(line)
            output = b""
            with contextlib.suppress(TimeoutError):
                output, _ = await asyncio.wait_for(process.communicate(), _PASS_SECONDS)
            if process.returncode != 0:
                said = printable(output.decode(errors="replace").strip())
                typer.echo(f"the command may go on in {container['name']} {said}".rstrip(), err=True)

        line = docker_exec(
            listing, container["id"], request.command, terminal=request.terminal, user=request.user, mark=mark
        )
        return await attached(
            connection,
            line,
            host=on.host.name,
            stack=settings.stack,
            terminal=request.terminal,
            pass_signal=pass_signal,
        )


def docker_exec(
    listing: Mapping[str, Any],
    container: str,
    command: Sequence[str],
    *,
    terminal: bool,
    user: str = "",
    mark: str = "",
) -> str:
    """The line for a host's shell that runs `command` in a container, with the engine that the listing came from.

    `mark` is a variable NAME=VALUE by which the processes of a command without a terminal can be found again.
    """
    options = ["--interactive"]
    options += ["--tty", "--env", "TERM"] if terminal else []
    options += ["--user", user] if user else []
    options += ["--env", mark] if mark and not terminal else []
    words = ["env", f"DOCKER_HOST=unix://{listing['socket']}", "docker", "exec", *options, container, *command]
    return f"exec {shlex.join(words)}"


def _announce(
    on: HostListing, container: Mapping[str, Any], request: ExecRequest, stack: Stack, *, several: bool
) -> None:
    """Say which container it is, unless there is but one, or it was named."""
    own = own_containers(on.listing or {}, request.service)
    alone = sum(each["state"] == "running" for each in own) == 1
    live, health = container["generation"] == "live", container["health"]
    notes = "" if live else f", of a generation that is not live ({container['release']})"
    notes += f", {health}" if health in ("starting", "unhealthy") else ""
    choice = ["--host"] if several and not request.host else []
    choice += [] if request.number is not None or alone else ["--index"]
    if choice or notes:
        other = f" ({' and '.join(choice)} choose{'s' if len(choice) == 1 else ''} another)" if choice else ""
        name = container["name"].removeprefix(f"{stack.project}-")
        typer.echo(f"in {on.host.name} {name}{notes}{other}", err=True)


async def pick_container(
    listings: AsyncGenerator[HostListing, None], service: str, number: int | None, stack: str
) -> tuple[HostListing, Mapping[str, Any]]:
    """The best container of the first host that has a good one, else of all hosts; raises SlipwayError without any."""
    picked: list[tuple[HostListing, Mapping[str, Any]]] = []
    answers: dict[str, Mapping[str, Any]] = {}
    problems: list[Problem] = []
    async for each in listings:
        problems += each.problems
        if each.listing is None:
            continue
        answers[each.host.name] = each.listing
        if container := best_container(each.listing, service, number):
            picked.append((each, container))
            if _rank(container) == (0, 0):
                break
    if not answers:
        raise SlipwayError(problems)
    print_problems(problems, stack)
    if not picked:
        require_services([service], answers.values(), stack)
        raise SlipwayError(_not_running(answers, service, number, stack))
    return min(picked, key=lambda each: _rank(each[1]))


def best_container(listing: Mapping[str, Any], service: str, number: int | None) -> Mapping[str, Any] | None:
    """The running container of `service` that a command is best run in; with `number` only that one is considered."""
    own = own_containers(listing, service)
    running = [each for each in own if each["state"] == "running" and number in (None, each["number"])]
    return min(running, key=lambda each: (*_rank(each), each["number"]), default=None)


def own_containers(listing: Mapping[str, Any], service: str) -> list[Mapping[str, Any]]:
    """The containers of `service`, one-off runs left out."""
    return [each for each in listing["containers"] if each["service"] == service and not each["one_off"]]


def _rank(container: Mapping[str, Any]) -> tuple[int, int]:
    """How good a container is to run a command in; (0, 0) is best, and no reason to look further.

    The live generation comes before an unproven one, and that before one that is only kept; then a healthy or
    unchecked container before a starting one, and that before an unhealthy one.
    """
    return _GENERATIONS.index(container["generation"]), _HEALTH.get(container["health"], 0)


def _not_running(answers: Mapping[str, Mapping[str, Any]], service: str, number: int | None, stack: str) -> Problem:
    found = [(host, each) for host, listing in answers.items() for each in own_containers(listing, service)]
    running = sorted({each["number"] for _, each in found if each["state"] == "running"})
    if number is not None and running:
        what, fix = f"{service} has no running container number {number}", f"--index {' or '.join(map(str, running))}"
        return Problem(what, "each release numbers its containers anew", f"{fix}, or leave it out")
    states = "; ".join(
        f"{each['name']} on {host} "
        + (f"exited with {each['exit_code']}" if each["state"] == "exited" else f"is {each['state']}")
        for host, each in found
    )
    what = f"{service} is not running" + (f" ({states})" if states else f" on {', '.join(answers)}")
    fix = of_stack(f"slipway logs {service}", stack)
    return Problem(what, "a command needs a container that runs", fix)
