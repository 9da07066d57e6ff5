"""Whether hosts can be deployed to: one look at each, over one connection, that leaves nothing there."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.cli.doctor.check_result import CheckResult, good, skipped, warnings, wrongs
from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.agent_channel import agent_path, channel
from slipway.hosts.agent_package import pack_agent
from slipway.hosts.connection import Connection, reached
from slipway.hosts.host_sessions import full_disk
from slipway.settings.edge_settings import edge_faults, edge_version, newer_edge
from slipway.settings.setting_files import config_set
from slipway.settings.values import one_host_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.compose.application import Application
    from slipway.settings.model import HostSettings, Settings

__all__ = ["hosts"]

_SECONDS = 20
_CLOCK_SECONDS = 5.0  # beyond that, times in logs and ledgers of several machines cannot be put in order
_GOOD_DOCKER = 25  # the first with `start_interval`
_MARK = "slipway-doctor:"  # whatever a start-up file printed stands before it
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp: include/net/tcp_states.h


class _HostState(NamedTuple):
    """A host: its probe, how many seconds its clock is ahead, its agent's file, the TCP ports that are taken."""

    probe: Mapping[str, Any]
    clock: float
    agent: str
    listening: frozenset[int]


def hosts(settings: Settings, application: Application | None) -> list[CheckResult]:
    """Check every host, side by side."""
    if not settings.hosts:
        return [skipped("hosts", "there are none in the settings")]
    try:
        key = settings.private_key()
    except (OSError, ValueError):
        key = ""
    stack = application.stack if application else f"slipway-doctor-{settings.stack}"[:63]

    async def look_at_all() -> list[_HostState | SlipwayError | str]:
        return await asyncio.gather(*(_look(host, key, stack) for host in settings.hosts))

    states = asyncio.run(look_at_all())
    return [
        result._replace(host=host.name)
        for host, state in zip(settings.hosts, states, strict=True)
        for result in _results(host, state, settings, application)
    ]


async def _look(host: HostSettings, key: str, stack: str) -> _HostState | SlipwayError | str:
    if not host.local and not key:
        return "no private key is set"
    if not host.made:
        return "`pulumi up` makes it"
    if not host.local and not one_host_key(host.host_key):
        return "no host key is pinned"
    sockets = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; true"
    script = f"echo {_MARK}; date +%s.%N; readlink {agent_path(stack)} || echo; {sockets}"
    try:
        async with reached(host, key) as connection:
            before = time.time()
            clock, agent, listening = _parsed(await _output(connection, f"exec /bin/sh -c {shlex.quote(script)}"))
            ahead = clock - (before + time.time()) / 2 if clock else 0.0
            async with channel(connection, host.name, stack) as opened:
                return _HostState(opened.probe, ahead, agent, listening)
    except SlipwayError as error:
        return error


async def _output(connection: Connection, command: str) -> str:
    """What the command prints; nothing when it cannot be run or does not end."""
    process: Any = await connection.start(command)
    with contextlib.suppress(Exception):  # asyncssh raises errors of its own for a lost connection
        output, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
        return str(output, errors="replace")
    return ""


def _parsed(text: str) -> tuple[float, str, frozenset[int]]:
    clock, agent, *lines = [*text.rpartition(f"{_MARK}\n")[2].splitlines(), "", ""]
    listening = frozenset(
        int(words[1].rpartition(":")[2], 16)
        for line in lines
        if len(words := line.split()) > 3 and words[3] == _LISTEN and ":" in words[1]  # noqa: PLR2004  # the state's place
    )
    try:
        return float(clock.replace(".%N", "").replace("N", "")), agent, listening
    except ValueError:
        return 0.0, agent, listening


def _results(
    host: HostSettings, state: _HostState | SlipwayError | str, settings: Settings, application: Application | None
) -> Iterator[CheckResult]:
    if isinstance(state, str):
        yield skipped("hosts", f"not checked: {state} (see the settings)")
    elif isinstance(state, SlipwayError):
        yield from wrongs("hosts", *state.problems)
    else:
        there = f"{host.user}@{host.address}:{host.port} shows the pinned key and accepts the login"
        yield good("hosts", "this machine" if host.local else there)
        yield from _equipment(state.probe)
        if disk := full_disk(state.probe, settings):
            yield from wrongs("hosts", disk)
        else:
            yield good("hosts", f"{state.probe['machine']['disk_free_mb']:,} MB free on Docker's disk")
        yield from _clock(state.clock)
        if application:
            yield from _agent(state, settings.stack)
            yield from _edge(host, state, settings, application)


def _equipment(probe: Mapping[str, Any]) -> Iterator[CheckResult]:
    machine = probe["machine"]
    if probe["problems"]:
        yield from wrongs("hosts", *(Problem.from_json(each) for each in probe["problems"]))
        return
    versions = ", ".join(f"{name} {machine[name.lower()]}" for name in ("Docker", "Compose", "Python"))
    yield good("hosts", f"{versions}, {machine['architecture']}")
    major = str(machine["docker"] or "").split(".", 1)[0]
    if major.isdigit() and int(major) < _GOOD_DOCKER:
        meaning = "each container that starts costs a second or more until its first health verdict"
        fix = "https://docs.docker.com/engine/install/"
        yield from warnings("hosts", Problem(f"Docker {machine['docker']} is older than {_GOOD_DOCKER}", meaning, fix))


def _clock(ahead: float) -> list[CheckResult]:
    if abs(ahead) <= _CLOCK_SECONDS:
        return [good("hosts", "its clock is right")]
    what = f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    meaning = "times of its releases and logs are not those of others; far off, certificates are refused. On the host:"
    return warnings("hosts", Problem(what, meaning, "sudo timedatectl set-ntp true"))


def _agent(state: _HostState, stack: str) -> Iterator[CheckResult]:
    if not state.agent:
        yield good("hosts", "no agent yet: the first deployment installs it")
    elif pack_agent().version in state.agent:
        yield good("hosts", "the agent is installed, in this version")
    else:
        yield good("hosts", "an agent of another version is installed: the next deployment replaces it")
    if lock := state.probe["lock"]:
        what = f"a deployment runs now: {lock}"
        yield from warnings("hosts", Problem(what, "another one waits for it", of_stack("slipway status", stack)))
    if interrupted := state.probe["interrupted"]:
        what = f"a deployment was interrupted ({interrupted})"
        yield from warnings("hosts", Problem(what, "the next one finishes or undoes it", of_stack("pulumi up", stack)))


def _edge(host: HostSettings, state: _HostState, settings: Settings, application: Application) -> Iterator[CheckResult]:
    """Whether the edge's ports are free, or the edge's already."""
    if not any(application.entries[service]["routes"] for service in application.services_of(host.name)):
        yield skipped("hosts", "the edge's ports: no service with a route runs here")
        return
    ports = {"httpPort": settings.http_port, **({"httpsPort": settings.https_port} if settings.https else {})}
    edge = state.probe["edge"]
    own = {edge["http_port"], edge["https_port"]} - {None} if edge else set()
    taken = {key: port for key, port in ports.items() if port in state.listening and port not in own}
    if taken and settings.move_from and not edge:
        numbers = " and ".join(map(str, taken.values()))
        yield skipped(
            "hosts", f"{numbers}: in use; a preview says whether by {', '.join(settings.move_from)}, which hands over"
        )
        return
    for key, port in taken.items():
        fix = config_set(settings.stack, key)
        meaning = "the edge could not start, and no route would answer; `sudo ss -lntp` on the host names it"
        yield from wrongs("hosts", Problem(f"port {port} is taken by another program", meaning, fix))
    if edge and (faults := edge_faults(edge["version"])):
        what = f"the edge is Traefik {edge['version']}, which has known faults: {'; '.join(faults)}"
        own_image = edge_faults(edge_version(settings.edge_image))
        fix = newer_edge(settings) if own_image else of_stack("pulumi up", settings.stack)
        yield from warnings("hosts", Problem(what, "a pinned image gets no fixes by itself", fix))
    if not taken:
        whose = "the edge's already" if own >= set(ports.values()) else "free for the edge"
        numbers = " and ".join(map(str, ports.values()))
        yield good("hosts", f"{'ports' if len(ports) > 1 else 'port'} {numbers}: {whose}")
