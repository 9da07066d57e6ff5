"""`slipway validate`: mark the release that runs as validated, so that failed updates return to it."""

from typing import Annotated

import typer

from slipway.cli.options import WHY, AsJson, RepositoryName, StackName


def validate(
    *,
    stack: StackName = "",
    release: Annotated[
        str, typer.Option("--release", "-r", metavar="RELEASE", help="Release to mark; the live one if none.")
    ] = "",
    note: Annotated[str, typer.Option("--note", "-m", help=WHY)] = "",
    repository: RepositoryName = "",
    no_github: Annotated[bool, typer.Option("--no-github", help="Leave GitHub out.")] = False,
    json: AsJson = False,
) -> None:
    """Mark the live release as validated: on every host, in the stack's backend, and at GitHub.

    Every host must run it, healthy and as deployed. From the first mark on, a failed update ends on the release that
    was validated last. Marking twice changes nothing and says so.

    Exit code: 0 when the mark is everywhere; 1 when a host does not run it as deployed, or the mark is missing
    somewhere; 2 for wrong usage.
    """
    import os
    import re

    if release and not re.fullmatch(r"r-[0-9a-f]{12}", release):
        raise typer.BadParameter("a release is r- and 12 hex digits", param_hint="'--release'")
    from slipway.cli.printing import print_json, print_problems
    from slipway.hosts.host_sessions import survey
    from slipway.releases.engine import engine_of, stack_of
    from slipway.releases.github import Repository
    from slipway.releases.github_settings import github_repository, token_in
    from slipway.releases.status import status_document
    from slipway.releases.validation import to_be_marked, validate_release

    engine = engine_of(stack)
    found = stack_of(engine)
    place = "" if no_github else github_repository(repository, found.settings.application, os.environ)
    release = to_be_marked(status_document(found, survey(found.settings, found.project)), release)
    why_not = "no token: GITHUB_TOKEN" if place else "no repository: --repository OWNER/NAME"
    asked = place and token_in(os.environ)
    github = Repository(place, os.environ) if asked else "--no-github" if no_github else why_not
    done = validate_release(engine, found.settings, found.project, release, note=note, github=github)
    if json:
        print_json(done.document())
    else:
        typer.echo("\n".join(done.lines()))
    print_problems(done.all_problems, found.settings.stack)
    raise typer.Exit(1 if done.all_problems else 0)
