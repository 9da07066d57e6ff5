"""`slipway host`: what a stack's hosts have of all that a prepared host has, and a key that may only look at them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import AsJson, StackName

if TYPE_CHECKING:
    from slipway.releases.engine import Stack


class _What(StrEnum):
    CHECK = "check"
    PREPARE = "prepare"
    KEY = "key"


def host(
    what: Annotated[
        _What, typer.Argument(metavar="check|prepare|key", help="What hosts have; what they lack; who may look.")
    ],
    name: Annotated[
        str, typer.Argument(metavar="[HOST|FILE]", help="A host, all if none; with key: a public key's file.")
    ] = "",
    *,
    login: Annotated[
        str, typer.Option("--login", metavar="USER", help="Log in as USER: root, or one who may use sudo.")
    ] = "",
    ssh_from: Annotated[
        list[str] | None,
        typer.Option("--ssh-from", metavar="CIDR", help="Network from which SSH is reached; repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With prepare: do not ask.")] = False,
    json: AsJson = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="With key: make it one for previews of this stack.")
    ] = False,
    add: Annotated[bool, typer.Option("--add", help="With key: add the line on every host reached over SSH.")] = False,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="With key: replace the one that github.sshKey has made.")
    ] = False,
    stack: StackName = "",
) -> None:
    """Check what hosts have of all that a prepared host has, or prepare them, or let a key look at a stack.

    `check` changes nothing. `prepare` (Debian 12 and 13, Ubuntu 22.04 and 24.04) shows what a host lacks, asks, and
    brings it about. A second run finds nothing to do. A change of sshd or of the firewall with which nobody can log in
    any more is put back.

    `key FILE --preview` prints the line of authorized_keys that lets a key look at a stack, for previews, and do
    nothing else. Set the private half as sshKey where previews run. It needs the agent of the last deployment, so
    deploy once before, and again after an upgrade of Slipway.

    `key --rotate` makes another key in place of the one that GitHub has (github.sshKey): the hosts let it in and the
    earlier one no more, and the environment's secret is set. Deploys nothing. Needs an administrator's GITHUB_TOKEN,
    and the stack's own sshKey.

    Exit code: 0; with check: 0 when nothing differs. 1 when something differs, a host cannot be reached, a step failed
    or the file holds no public key; 2 for wrong usage.
    """
    if what is _What.KEY:
        fits = not (preview or add or name) if rotate else preview and name
        if not fits or login or ssh_from or yes or json:
            raise typer.BadParameter("key needs FILE --preview [--add], or --rotate")
    elif preview or add or rotate:
        raise typer.BadParameter("--preview, --add and --rotate are for a key")
    elif what is _What.CHECK and yes:
        raise typer.BadParameter("check changes nothing, so it has no --yes")
    elif what is _What.PREPARE and json:
        raise typer.BadParameter("prepare has no --json; check has")
    if rotate:
        raise typer.Exit(_rotated(stack))
    networks = _networks(ssh_from or ())
    from slipway.releases.engine import read_stack

    found = read_stack(stack)
    if what is _What.KEY:
        _key(Path(name), found, add=add)
    elif what is _What.PREPARE:
        from slipway.cli.hosts.prepare import prepare

        raise typer.Exit(0 if prepare(found.settings, name, login=login, ssh_from=networks, yes=yes) else 1)
    else:
        _check(found, name, login, networks, json=json)


def _networks(given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    from ipaddress import ip_network

    try:
        return tuple(str(ip_network(each)) for each in given)
    except ValueError as error:
        raise typer.BadParameter(f"{error}", param_hint="'--ssh-from'") from None


def _check(found: Stack, name: str, login: str, networks: tuple[str, ...], *, json: bool) -> None:
    from slipway.cli.hosts.check import check_document, check_hosts, chosen, report
    from slipway.cli.printing import print_json, print_out, print_problems
    from slipway.contract.problems import SlipwayError

    results = check_hosts(chosen(found.settings, name, login), found.settings, networks)
    document = check_document(found.settings.stack, results)
    if json:
        print_json(document)
    else:
        print_out(report(document))
        for result in results.values():
            if isinstance(result, SlipwayError):
                print_problems(result.problems, found.settings.stack)
    raise typer.Exit(0 if document["prepared"] else 1)


def _key(file: Path, found: Stack, *, add: bool) -> None:
    from slipway.cli.init.preview_key import add_line, authorized_line
    from slipway.cli.printing import print_problems

    line = authorized_line(file, found.project, found.settings)
    if not add:
        typer.echo(line)
        return
    failed = False
    for name, outcome in add_line(line, found.settings).items():
        if isinstance(outcome, bool):
            typer.echo(f"{name}: {'added' if outcome else 'was there'}")
        else:
            print_problems(outcome.problems, found.settings.stack)
            failed = True
    raise typer.Exit(1 if failed else 0)


def _rotated(stack: str) -> int:
    import json

    from slipway.cli.deploy.update import deploy
    from slipway.contract.commands import of_stack
    from slipway.contract.problems import SlipwayError
    from slipway.releases.engine import engine_of, output_of, settings_of
    from slipway.releases.locks.waiting import when_free
    from slipway.settings.blocks.github import SSH_KEY
    from slipway.settings.setting_files import config_set

    engine = engine_of(stack, deploys=True)
    github, command = settings_of(engine).github, of_stack("slipway host key --rotate", engine.stack)
    first = of_stack("export SLIPWAY_GITHUB_ADMIN=true && pulumi up", engine.stack)
    if not github.ssh_key:
        raise SlipwayError(
            "github.sshKey is not set",
            "GitHub has no key of this stack that was made here",
            f"{config_set(engine.stack, 'github.sshKey', 'true')} && {first}",
        )
    what, meaning = (
        f"the engine does not give the state of stack {engine.stack}",
        "it is not known whether it has a key",
    )
    pair = "$slipway:ssh_key:SshKey$command:local:Command::"
    if pair not in output_of(engine.ask("stack", "export"), what, meaning, command):
        raise SlipwayError("github.sshKey is set, but no key was made yet", "there is none to replace", first)
    pairs, line = f"**{pair}**", "**slipway:host:Host$command:remote:Command::**-key"
    parts = (pairs, line, f"**:ActionsEnvironmentSecret::**/{SSH_KEY}")
    given = ["--replace", pairs, *(word for each in parts for word in ("--target", each))]
    own = {
        **github.model_dump(mode="json", by_alias=True, exclude_unset=True),
        "manage": "own",
    }  # --target limits no more
    for_this = {"SLIPWAY_GITHUB_ADMIN": "true", "SLIPWAY_GITHUB": json.dumps(own)}
    return when_free(
        engine, lambda note: deploy(engine, given, message=note, settings=for_this, command=command, announced=False)
    )
