"""`slipway preview`: what a deployment would change, per service and host."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName


def preview(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- PULUMI_OPTION", help="Options handed to pulumi preview.")
    ] = None,
    *,
    stack: StackName = "",
    json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request's comment.")] = False,
    comment: Annotated[
        bool, typer.Option("--comment", help="Put it into the pull request's one comment, too.")
    ] = False,
    issue: Annotated[bool, typer.Option("--issue", help="Open, update or close the stack's issue of drift.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Plan the live release, not what is checked out: what differs is drift.")
    ] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 when something would change.")
    ] = False,
) -> None:
    """Show what a deployment would change: per host and service what happens, because of what, and what it interrupts.

    Runs `pulumi preview` and changes nothing. The hosts plan it themselves, by what runs there now. An image that is to
    be built counts as changed.

    In a job on GitHub, --comment and --issue need GITHUB_TOKEN, with the permission pull-requests: write or issues:
    write. --issue implies --live; where nothing is live yet, nothing has drifted.

    Exit code: 0 when it could be planned (with --detailed-exitcode: when nothing would change); 1 when not; 2 when
    something would change, and for wrong usage.
    """
    given = options or []
    if given and not given[0].startswith("-"):
        raise typer.BadParameter(f"{given[0]!r} is no option of pulumi preview (a stack is named with --stack)")
    if json and markdown:
        raise typer.BadParameter("either --json or --markdown, not both")
    from slipway.cli.deploy.preview import NothingLiveError, live_previewed, previewed
    from slipway.cli.deploy.preview_posts import close_issue, post, pull_request
    from slipway.cli.deploy.preview_view import in_markdown, rendered
    from slipway.cli.printing import print_json, print_out
    from slipway.contract.problems import SlipwayError
    from slipway.releases.engine import engine_of

    if comment:
        pull_request()
    engine = engine_of(stack, deploys=True)
    try:
        document = (live_previewed if live or issue else previewed)(engine, given)
    except (SlipwayError, typer.Exit) as error:
        if issue and isinstance(error, NothingLiveError):
            close_issue(engine)
            typer.echo(f"nothing is live on stack {engine.short}: nothing can have drifted", err=True)
            return
        post(engine, None, comment=comment, issue=issue)
        raise
    if json:
        print_json(document)
    elif markdown:
        typer.echo(in_markdown(document))
    else:
        print_out(rendered(document))
    post(engine, document, comment=comment, issue=issue)
    if document["unplanned"]:
        raise typer.Exit(1)
    raise typer.Exit(2 if detailed_exitcode and document["changes"] else 0)
