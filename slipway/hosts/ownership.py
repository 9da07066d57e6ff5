"""Whose the stacks on the hosts are, before anything is planned: what the hosts noted, and what the state deployed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from slipway.contract.host_paths import project_on_hosts, shell_stack_path
from slipway.contract.owner import OWNER_FILE, named, owned_by_another
from slipway.contract.problems import Problem
from slipway.hosts.host_sessions import other_owner
from slipway.settings.model import LOCAL_ADDRESS
from slipway.settings.setting_files import config_rm, config_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.compose.application import Application
    from slipway.hosts.records import Deployed
    from slipway.settings.model import HostSettings, Settings


__all__ = ["not_ours"]

_BESIDE = (
    "its containers would be replaced, and its volumes used, so nothing was touched; under another name this stack "
)


def not_ours(
    settings: Settings,
    application: Application,
    probes: Mapping[str, Mapping[str, Any]],
    deployed: Deployed | None,
) -> Iterator[Problem]:
    """What keeps a stack from its hosts: it, or a host, had another name so far, or what runs there is not its own.

    Args:
        settings: of the stack.
        application: what is to be deployed.
        probes: host → what its agent reported.
        deployed: what the stack's state deployed (see `read_deployed`); None where that is not known.
    """
    stack = application.stack
    if deployed and deployed.done and stack not in deployed.done:
        yield _renamed(settings.stack, application, next(iter(deployed.done)))
        return
    known = deployed.begun.get(stack, {}) if deployed else {}
    for index, host in enumerate(settings.hosts):
        if probe := probes.get(host.name):
            # An equal mark is a copy's, too: it is this stack's under another name where its state says so.
            copied = deployed is not None and stack not in deployed.done
            owner = named(settings.owner)[0] if copied else settings.owner
            new = deployed is not None and host.name not in known
            problem = (
                _of_another(probe, application, settings.stack)
                or owned_by_another(stack, str(probe.get("owner") or ""), owner, application.name)
                or _of_another_user(probe, settings, index)
                or _renamed_host(probe, settings, index, known)
                or (_unknown(probe, application, settings.owner) if new else None)
            )
            if problem:
                yield problem.on(host.name)


def _renamed(stack: str, application: Application, former: str) -> Problem:
    name = former.removesuffix(f"-{stack.lower()}")
    if project_on_hosts(name, stack) == former:
        fix = config_set(stack, "name", shlex.quote(name))
    else:
        of = f"{project_on_hosts(application.name, '')}"
        was = former.removeprefix(of) if former.startswith(of) else former.rpartition("-")[2]
        fix = f"pulumi stack rename {shlex.quote(was)} --stack {shlex.quote(stack)}"
    return Problem(
        f"this stack runs as {former} so far, and would be {application.stack} now",
        "it would begin anew on empty volumes, and what runs would be removed, so nothing was touched: the application "
        f"(setting `name`, or else its folder) or the stack has another name; where that is meant, under the former "
        f"name `pulumi destroy --stack {shlex.quote(stack)}` comes first, which keeps all volumes but those of "
        "`removeVolumes`",
        fix,
    )


def _renamed_host(probe: Mapping[str, Any], settings: Settings, index: int, known: Mapping[str, str]) -> Problem | None:
    """The engine would take the stack off a host that has another name, or that of another one, now."""
    host, address = settings.hosts[index], _address(settings.hosts[index])
    called = str(probe.get("called") or "")
    before, here = known.get(host.name, address), called == host.name or (probe["live"] and probe.get("owner"))
    if here and before != address and LOCAL_ADDRESS in (before, address):
        return _reached_otherwise(settings, index, before)
    if called not in ("", host.name) and host.name not in known:
        return _called_otherwise(settings, index, called)
    gone = {name: at for name, at in known.items() if name not in {each.name for each in settings.hosts}}
    was = next((name for name, at in gone.items() if at == address), "")
    if not gone or known.get(host.name) == address:
        return None
    if was:
        what = f"this machine is called {was} so far"
        way_on = f"where it is another machine, remove {was} in an update of its own"
    elif host.name in known or not probe["live"] or not probe.get("owner"):
        return None  # it has its name and another address, or what runs there is none of this stack's
    else:
        was = next(iter(gone))
        what = f"this machine runs this stack, and the state knows no {host.name}, but {was} at another address"
        way_on = f"where {was} is lost, and this machine is to be it from now on, that name leads on, too"
    return Problem(
        what,
        f"the engine knows a host by its name, and would take the stack off {was}, which may be this machine, so "
        f"nothing was touched; {way_on}",
        config_set(settings.stack, f"hosts[{index}].name", was),
    )


def _reached_otherwise(settings: Settings, index: int, before: str) -> Problem:
    """The engine has a command of its own for this machine, and one for a machine over SSH."""
    name = settings.hosts[index].name
    return Problem(
        f"this machine was reached {'as `local`' if before == LOCAL_ADDRESS else 'over SSH'} so far",
        f"the engine would deploy the other way, and then take off {name} what it deployed this way: all that runs, so "
        f"nothing was touched; where that is meant, `pulumi destroy --stack {shlex.quote(settings.stack)}` with the "
        "former settings comes first, which keeps all volumes but those of `removeVolumes`",
        config_set(settings.stack, f"hosts[{index}].address", shlex.quote(before)),
    )


def _called_otherwise(settings: Settings, index: int, called: str) -> Problem:
    twice = called in {host.name for host in settings.hosts}
    return Problem(
        f"this machine is {called}, too" if twice else f"this machine is called {called} so far",
        f"the engine knows a host by its name, and would deploy twice to this one, and take it off {called} again, so "
        "nothing was touched",
        config_rm(settings.stack, f"hosts[{index}]")
        if twice
        else config_set(settings.stack, f"hosts[{index}].name", shlex.quote(called)),
    )


def _address(host: HostSettings) -> str:
    return LOCAL_ADDRESS if host.local else host.address  # as in what a state has deployed


def _of_another(probe: Mapping[str, Any], application: Application, stack: str) -> Problem | None:
    """What is wrong where another application's stack has the same name on a host: two names joined say not whose."""
    project, owner = application.stack, other_owner(probe, application.stack, stack)
    if not owner:
        return None
    return Problem(
        f"{project} is application {owner}'s here; stack {stack} of application {application.name} is called so, too",
        f"{_BESIDE}runs beside it",
        f"pulumi config set name {application.name}-new",
    )


def _of_another_user(probe: Mapping[str, Any], settings: Settings, index: int) -> Problem | None:
    elsewhere = probe.get("elsewhere")
    if not elsewhere:
        return None
    user, folder = str(elsewhere["user"]), str(elsewhere["folder"])
    home = folder.rpartition("/stacks/")[0]
    return Problem(
        f"another user deployed this stack here: {user}, whose record of it is {folder}",
        "this one has no record of that, neither history nor a way back, so nothing was touched; to change the user, "
        "`pulumi destroy` as the former one comes first, which keeps all volumes but those of `removeVolumes`",
        f"export SLIPWAY_HOME={shlex.quote(home)}"
        if settings.hosts[index].local
        else config_set(settings.stack, f"hosts[{index}].user", shlex.quote(user)),
    )


def _unknown(probe: Mapping[str, Any], application: Application, owner: str) -> Problem | None:
    """What an older Slipway deployed is nobody's by the host's notes: the state of its stack knows it."""
    if probe.get("owner") or not probe["live"]:
        return None
    file = shell_stack_path(application.stack, OWNER_FILE)
    return Problem(
        f"{application.stack} was deployed here by an older Slipway, and this stack's state knows nothing of it",
        f"{_BESIDE}runs beside it, and where it is the same one, `echo {shlex.quote(owner)} > {file}` on the host says "
        "so",
        f"pulumi config set name {application.name}-new",
    )
