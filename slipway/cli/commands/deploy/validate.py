"""`slipway validate`: mark the release that runs as validated, so that failed updates return to it."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import AsJson, RepositoryName, StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["validate"]


def validate(
    *,
    stack: StackName = "",
    release: Annotated[
        str,
        typer.Option("--release", "-r", metavar="RELEASE", help="Release to mark; the live one if none."),
    ] = "",
    note: Annotated[str, typer.Option("--note", "-m", help="What it was validated by, for the hosts' ledgers.")] = "",
    repository: RepositoryName = "",
    no_github: Annotated[
        bool, typer.Option("--no-github", help="Set no variables of the GitHub environment, though there is a token.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Mark the live release as validated: on every host, in the stack's backend, and at GitHub.

    Every host must run it, healthy and as deployed. From the first mark on, a failed update ends on the release that
    was validated last. Marking twice changes nothing and says so.

    Exit code: 0 when everybody knows; 1 when a host does not run it as deployed, or somebody could not be told; 2 for
    wrong usage.
    """
    import os  # noqa: PLC0415  # help must not wait for it
    import re  # noqa: PLC0415  # as above

    if release and not re.fullmatch(r"r-[0-9a-f]{12}", release):
        raise typer.BadParameter("a release is r- and 12 hex digits", param_hint="'--release'")
    from slipway.hosts.host_sessions import survey  # noqa: PLC0415  # as above
    from slipway.releases.engine import engine_of, stack_of  # noqa: PLC0415  # as above
    from slipway.releases.github import connect, repository_of, token_in  # noqa: PLC0415  # as above
    from slipway.releases.status import status_document  # noqa: PLC0415  # as above
    from slipway.releases.validation import to_be_marked, validate_release  # noqa: PLC0415  # as above

    engine = engine_of(stack)
    found = stack_of(engine)
    place = repository_of(repository, found.settings.application, os.environ) if not no_github else ""
    document = status_document(found, survey(found.settings, found.project))
    release = to_be_marked(document, release)
    token = token_in(os.environ)
    told = connect(place, token, os.environ) if place and token else _why_not(wanted=not no_github, place=place)
    done = validate_release(engine, found.settings, found.project, release, note=note, github=told)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(done.document(), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(done.lines()))
    for problem in done.all_problems:
        typer.echo(f"slipway: error: {problem}", err=True)
    raise typer.Exit(0 if done.complete else 1)


def _why_not(*, wanted: bool, place: str) -> str:
    if not wanted:
        return "--no-github"
    return "no token: GITHUB_TOKEN" if place else "no repository: --repository OWNER/NAME"
