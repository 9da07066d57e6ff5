"""The environment of a pull request: a stack PR-N made from the stack PR, and gone without a trace when it ends.

The stack PR (by default `pr`) is a template: it is configured like any other, and never deployed itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from slipway.cli.deploy.engine_run import engine_run
from slipway.cli.deploy.update import deploy
from slipway.contract.deployment import EVERY_VOLUME
from slipway.contract.host_paths import project_on_hosts, shell_stack_path
from slipway.contract.problems import SlipwayError
from slipway.hosts.connection import ended, reached
from slipway.releases.engine import engine_of, known_stacks, listed_stacks, output_of, settings_of
from slipway.releases.locks.waiting import when_free
from slipway.settings.setting_files import config_set, read_stack_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from subprocess import CompletedProcess

    from slipway.releases.engine import Engine
    from slipway.settings.model import HostSettings, Settings

__all__ = ["Environment", "address", "bring_down", "bring_up", "environments", "left_behind"]

_FILES = 'for each in * ../edge/routes/*.yaml; do name=${each##*/} && echo "file ${name%%.*} $each"; done'
# What there is on a host, a line each: kind, Compose project, name.
_INVENTORY = " && ".join(
    (
        """docker container ls --all --format 'container {{.Label "com.docker.compose.project"}} {{.Names}}'""",
        """docker volume ls --format 'volume {{.Label "com.docker.compose.project"}} {{.Name}}'""",
        """docker network ls --format 'network {{.Label "com.docker.compose.project"}} {{.Name}}'""",
        f"if cd {shell_stack_path()} 2>/dev/null; then {_FILES}; fi",
    )
)


class Environment(NamedTuple):
    """The environment of one pull request."""

    number: int
    stack: str
    updated: datetime | None
    """When it was deployed last; None when it never was."""
    busy: bool
    """Whether an update of it runs."""


def environments(template: Engine) -> list[Environment]:
    """All that there are, by their stacks."""
    found = []
    for name, each in listed_stacks(template).items():
        if numbered := re.fullmatch(rf"{re.escape(template.short)}-(\d+)", name):
            at = each.get("lastUpdate")
            updated = datetime.fromisoformat(at) if at else None
            found.append(Environment(int(numbered[1]), name, updated, bool(each.get("updateInProgress"))))
    return sorted(found)


def bring_up(template: Engine, number: int, options: Sequence[str] = ()) -> int:
    """Create the pull request's stack where there is none, give it the template's settings, and deploy it.

    Returns: the engine's exit code. Raises SlipwayError when the template lacks what keeps strangers out.
    """
    settings = settings_of(template)
    _check_template(template, settings)
    stack = _stack_of(template, number)
    if stack.short not in known_stacks(template):
        _done(
            stack.run("stack", "init", stack.stack, *_secrets_provider(template)), f"stack {stack.short} cannot be made"
        )
    _copy_settings(template, stack)
    own = {
        "domain": f"{stack.short}.{settings.domain}",
        f"removeVolumes[{len(settings.remove_volumes)}]": EVERY_VOLUME,
        "restricted": str(settings.restricted or not _states(template, "restricted")).lower(),
    }
    given = [word for key, value in own.items() for word in ("--plaintext", f"{key}={value}")]
    _done(stack.run("config", "set-all", "--path", *given, *stack.options), f"stack {stack.short} cannot be configured")
    note = f"pull request {number}"
    return when_free(stack, lambda taken_over: deploy(stack, options, message=taken_over or note))


def _check_template(template: Engine, settings: Settings) -> None:
    if not settings.name:
        raise SlipwayError(
            f"stack {template.short} does not say the application's name",
            "the pull request's own Compose file would, and could take another application's",
            config_set(template.stack, "name"),
        )
    if not settings.domain:
        raise SlipwayError(
            f"stack {template.short} has no domain",
            f"each pull request gets a name below it, such as {template.short}-42.{template.short}.example.com",
            config_set(template.stack, "domain", f"{template.short}.example.com"),
        )
    if not settings.basic_auth and not _states(template, "basicAuth"):
        raise SlipwayError(
            f"stack {template.short} has no password for its routes (basicAuth)",
            "everybody could open what pull requests deploy; an empty basicAuth says that they may",
            f"{config_set(template.stack, 'secrets.GATE', 'htpasswd -nB USER |', secret=True)} && "
            f"{config_set(template.stack, 'basicAuth', 'GATE')}",
        )


def _states(template: Engine, key: str) -> bool:
    """Whether the template's stack file says something of a setting: `pulumi config` shows the defaults, too."""
    return key in read_stack_file(template.stack_file, template.project).entries


def _stack_of(template: Engine, number: int) -> Engine:
    return engine_of(f"{template.stack}-{number}")


def _secrets_provider(template: Engine) -> list[str]:
    """The option that has a new stack's secrets encrypted as the template's are."""
    stated = str(read_stack_file(template.stack_file, template.project).top.get("secretsprovider", ""))
    return ["--secrets-provider", stated] if stated else []


def _copy_settings(template: Engine, stack: Engine) -> None:
    """Give it the template's settings and secrets, encrypted anew; what it had of its own goes."""
    stack.stack_file.unlink(missing_ok=True)
    copied = template.run("config", "cp", "--stack", template.stack, "--dest", stack.stack)
    _done(copied, f"stack {stack.short} cannot have the settings of {template.short}")


def _done(done: CompletedProcess[str], what: str) -> None:
    output_of(done, what, "nothing was deployed", "pulumi whoami --verbose && pulumi stack ls")


def bring_down(template: Engine, number: int, report: Callable[[str], None]) -> bool:
    """Destroy the pull request's stack with all that it has, and forget it; whether there was one.

    Raises SlipwayError when the engine could not destroy it: then the stack stays, to be destroyed again.
    """
    stack = _stack_of(template, number)
    if stack.short not in known_stacks(template):
        return False
    if not stack.stack_file.is_file():  # another machine's, mostly a runner's
        _copy_settings(template, stack)
    code = when_free(stack, lambda _: _destroy(stack, report))
    again = f"slipway pr down {number} --stack {shlex.quote(template.stack)}"
    if code:
        raise SlipwayError(f"stack {stack.short} could not be destroyed", "it stays, with what is left of it", again)
    _done(stack.run("stack", "rm", "--yes", *stack.options), f"stack {stack.short} is empty and cannot be removed")
    stack.stack_file.unlink(missing_ok=True)
    return True


def _destroy(stack: Engine, report: Callable[[str], None]) -> int:
    plain = ["destroy", "--yes", "--skip-preview", "--non-interactive", "--color", "never", "--cwd", str(stack.root)]
    with engine_run([*plain, *stack.options], stack.environment) as run:
        code = run.follow(lambda _: None, lambda: None)
        if code:
            report(run.output)
    return code


def left_behind(template: Engine) -> dict[str, list[str] | SlipwayError]:
    """By host: what is there of pull requests that have no stack (any more); or why it does not say."""
    settings = settings_of(template)
    there = {project_on_hosts(settings.name, each.stack) for each in environments(template)}
    mine = re.compile(re.escape(project_on_hosts(settings.name, template.short)) + r"-\d+")

    async def look_at(host: HostSettings) -> list[str] | SlipwayError:
        try:
            async with reached(host, settings.private_key()) as connection:
                process = await connection.start(_INVENTORY)
                answered = (await process.stdout.read()).decode(errors="replace")
                if await ended(process):
                    what = f"{host.name}: Docker does not say what is there"
                    return SlipwayError(what, "something of a pull request may be left", "slipway doctor")
        except SlipwayError as error:
            return error
        return list(_strays(answered, mine, there))

    async def look_at_all() -> list[list[str] | SlipwayError]:
        return await asyncio.gather(*map(look_at, settings.hosts))

    names = [host.name for host in settings.hosts]
    return dict(zip(names, asyncio.run(look_at_all()), strict=True))


def _strays(inventory: str, mine: re.Pattern[str], there: set[str]) -> Iterator[str]:
    for line in inventory.splitlines():
        kind, _, rest = line.partition(" ")
        project, _, name = rest.partition(" ")
        if mine.fullmatch(project) and project not in there:
            yield f"{kind} {name}"


def address(template: Engine, number: int) -> str:
    """The first address of what was deployed."""
    stack = _stack_of(template, number)
    done = stack.ask("stack", "output", "urls", "--json")
    return str(next(iter(json.loads(done.stdout)), "")) if done.returncode == 0 else ""
