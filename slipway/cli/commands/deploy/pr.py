"""`slipway pr`: an environment for each pull request, made from a stack that is its template."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import RepositoryName

if TYPE_CHECKING:
    from slipway.cli.deploy.pr_environment import Environment
    from slipway.releases.engine import Engine
    from slipway.releases.github import Repository


class _What(StrEnum):
    UP = "up"
    DOWN = "down"
    SWEEP = "sweep"


def pr(
    what: Annotated[
        _What, typer.Argument(metavar="up|down|sweep", help="Deploy one, remove one, or remove the ended.")
    ],
    number: Annotated[int | None, typer.Argument(min=1, help="The pull request, with up and down.")] = None,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- PULUMI_OPTION", help="With up: options of the engine.")
    ] = None,
    *,
    stack: Annotated[str, typer.Option("--stack", "-s", help="The stack that is the template.")] = "pr",
    days: Annotated[
        int, typer.Option("--days", min=0, help="With sweep: remove what was not deployed for so long; 0 for never.")
    ] = 0,
    repository: RepositoryName = "",
) -> None:
    """Deploy a pull request to an environment of its own, and remove it when the pull request ends.

    `up NUMBER` makes the stack pr-NUMBER with the settings and secrets of the stack pr, under the name
    pr-NUMBER.DOMAIN, and deploys it. It is `restricted`, and asks for the password of `basicAuth`, unless the stack pr
    says otherwise. In a job on GitHub the address is the output `url` of the step.

    `down NUMBER` destroys it, with all of its volumes, and removes the stack.

    `sweep` does that for all whose pull request is closed on GitHub (with a token in GITHUB_TOKEN) or, with --days,
    that were not deployed for so long, and reports what the hosts still have of any that is gone.

    Exit code: 0 when it is done, also when there was nothing to do; up: the engine's own; 1 when something failed or is
    left; 2 for wrong usage.
    """
    if (number is None) != (what is _What.SWEEP):
        raise typer.BadParameter("up and down take the number of a pull request, sweep takes none", param_hint="NUMBER")
    if options and what is not _What.UP:
        raise typer.BadParameter("options are for `up` alone", param_hint="-- PULUMI_OPTION")
    if days and what is not _What.SWEEP:
        raise typer.BadParameter("only `sweep` looks for what is old", param_hint="'--days'")
    from slipway.cli.deploy.pr_environment import address, bring_down, bring_up
    from slipway.releases.engine import engine_of

    template = engine_of(stack)
    if number is None:
        raise typer.Exit(_sweep(template, days, repository))
    if what is _What.UP:
        code = bring_up(template, number, options or ())
        if code == 0 and (place := address(template, number)):
            typer.echo(f"pull request {number}: {place}")
        raise typer.Exit(code)
    there = bring_down(template, number, lambda text: typer.echo(text, err=True))
    typer.echo(f"{template.short}-{number}: {'removed' if there else 'there is no such stack'}")
    raise typer.Exit(_left(template))


def _sweep(template: Engine, days: int, repository: str) -> int:
    from slipway.cli.deploy.pr_environment import bring_down, environments
    from slipway.cli.printing import print_problems
    from slipway.contract.problems import SlipwayError

    failed, github = 0, _github(repository)
    for each in environments(template):
        try:
            reason = _why_ended(each, days, github)
            if reason and not each.busy:
                bring_down(template, each.number, lambda text: typer.echo(text, err=True))
            typer.echo(
                f"{each.stack}: {f'{reason}, and an update runs' if each.busy and reason else reason or 'stays'}"
            )
        except SlipwayError as error:
            print_problems(error.problems, each.stack)
            failed = 1
    return _left(template) or failed


def _github(repository: str) -> Repository | None:
    """Whom to ask about pull requests; None where nobody can be."""
    import os
    from pathlib import Path

    from slipway.releases.github import Repository
    from slipway.releases.github_settings import github_repository, token_in

    name = github_repository(repository, Path.cwd(), os.environ)
    return Repository(name, os.environ) if name and token_in(os.environ) else None


def _why_ended(environment: Environment, days: int, github: Repository | None) -> str:
    """Why it goes; empty when it stays."""
    from datetime import UTC, datetime

    if days and environment.updated and (datetime.now(UTC) - environment.updated).days >= days:
        return f"not deployed for {days} days; removed"
    if github and not github.pull_request_is_open(environment.number):
        return "the pull request is closed; removed"
    return ""


def _left(template: Engine) -> int:
    """Report what hosts have of pull requests that are gone; 1 if anything, or if one does not say."""
    from slipway.cli.deploy.pr_environment import left_behind
    from slipway.contract.problems import SlipwayError
    from slipway.contract.redaction import printable

    code = 0
    for host, found in left_behind(template).items():
        if isinstance(found, SlipwayError):
            typer.echo(str(found), err=True)
            code = 1
        elif found:
            typer.echo(f"{host} still has of pull requests that are gone: {printable(', '.join(found))}", err=True)
            code = 1
    return code
