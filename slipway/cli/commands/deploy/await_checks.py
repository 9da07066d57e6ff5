"""`slipway await-checks`: validate a release when its commit's checks pass at GitHub, roll back when they do not."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import INTERRUPTED, NO_VARIABLES, RepositoryName, StackName

if TYPE_CHECKING:
    from slipway.releases.engine import Engine, Stack
    from slipway.releases.github import Checks, Repository
    from slipway.releases.github_checks import Aftermath


class _OnTimeout(StrEnum):
    ROLLBACK = "rollback"
    KEEP = "keep"


def _seconds(text: str) -> float:
    from slipway.settings.quantities import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


def await_checks(
    *,
    sha: Annotated[str, typer.Option("--sha", metavar="SHA", help="Commit that was deployed, 7 to 40 hex digits.")],
    stack: StackName = "",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="TIME", parser=_seconds, help="How long to wait, such as 5m.")
    ] = "5m",  # type: ignore[assignment]  # typer hands defaults to the parser, too
    interval: Annotated[
        float, typer.Option("--interval", metavar="TIME", parser=_seconds, help="How often to look.")
    ] = "10s",  # type: ignore[assignment]  # as above
    check: Annotated[
        list[str] | None, typer.Option("--check", metavar="NAME", help="Only this check counts; may be repeated.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="NAME", help="This check, or file of a workflow, does not count; repeatable."),
    ] = None,
    on_timeout: Annotated[
        _OnTimeout, typer.Option("--on-timeout", help="What to do when the checks do not end in time.")
    ] = _OnTimeout.ROLLBACK,
    repository: RepositoryName = "",
    no_variables: Annotated[bool, typer.Option("--no-variables", help=NO_VARIABLES)] = False,
) -> None:
    """Wait for the checks of a deployed commit, then validate its release or roll back to the last validated one.

    All passed (success, neutral or skipped, at least one): as `slipway validate`. One failed: as `slipway rollback --to
    validated`. The workflow run that this is part of does not wait for itself. When a newer release is live by then,
    nothing is rolled back.

    Exit code: 0 when the release is validated; 1 when checks failed or took too long (rolled back, or nothing to go
    back to), or anything else is wrong; 2 for wrong usage; 130 after Ctrl-C.
    """
    import os
    import re

    if not re.fullmatch(r"[0-9a-f]{7,40}", sha):
        raise typer.BadParameter("a commit is 7 to 40 hex digits", param_hint="'--sha'")
    if interval < 1:
        raise typer.BadParameter("GitHub is asked once a second at most", param_hint="'--interval'")
    from slipway.cli.announcements import Announcements
    from slipway.cli.printing import print_problems
    from slipway.contract.commands import of_stack
    from slipway.releases.engine import engine_of, stack_of
    from slipway.releases.format import short
    from slipway.releases.github import required_repository
    from slipway.releases.github_checks import standing_of, wait_for_checks

    engine = engine_of(stack)
    found = stack_of(engine)
    github = required_repository(repository, found.settings.application, os.environ)
    aftermath = _aftermath(engine, found, sha, "--no-variables" if no_variables else github)
    before = standing_of(aftermath.look(), sha)
    typer.echo(f"checks of {short(sha)} in {github.name}; {before.words}")
    own = os.environ.get("GITHUB_RUN_ID", "")

    def look() -> Checks:
        return github.checks(sha, only=check or (), ignored=ignore or (), own_run=own)

    try:
        outcome = wait_for_checks(look, sha, timeout=timeout, interval=interval, tell=typer.echo)
    except KeyboardInterrupt:
        typer.echo("no longer waiting; nothing was changed", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(outcome.why)
    if outcome.state == "success":
        if done := aftermath.validate(outcome, before):
            typer.echo("\n".join(done.lines()))
            print_problems(done.all_problems, found.settings.stack)
        raise typer.Exit(1 if done and done.all_problems else 0)
    with Announcements(engine) as people:
        command = of_stack("slipway rollback --to validated", engine.short)
        people.say("checks-failed", commit=sha, release=before.release, reason=outcome.why, command=command)
        if outcome.state == "timeout" and on_timeout is _OnTimeout.KEEP:
            typer.echo("the release stays as it is: neither validated nor rolled back")
        else:
            aftermath.go_back(outcome)
    raise typer.Exit(1)


def _aftermath(engine: Engine, found: Stack, sha: str, github: Repository | str) -> Aftermath:
    from slipway.cli.deploy.update import deploy
    from slipway.hosts.host_sessions import survey
    from slipway.releases.github_checks import Aftermath
    from slipway.releases.history.stack_history import read_history
    from slipway.releases.past_releases import named_entry
    from slipway.releases.rollback import to_validated
    from slipway.releases.status import status_document
    from slipway.releases.validation import validate_release

    settings, project = found.settings, found.project
    return Aftermath(
        sha=sha,
        look=lambda: status_document(found, survey(settings, project)),
        mark=lambda release, note: validate_release(engine, settings, project, release, note=note, github=github),
        past=lambda: str(named_entry(read_history(engine), sha).release),
        roll_back=lambda reason: to_validated(engine.stack, reason=reason, deploy=deploy, tell=typer.echo),
        tell=typer.echo,
    )
