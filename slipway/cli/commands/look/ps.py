"""`slipway ps`: the containers of a stack on all of its hosts."""

from typing import Annotated

import typer

from slipway.cli.options import AsJson, HostNames, ServiceNames, StackName


def ps(
    services: ServiceNames = None,
    *,
    stack: StackName = "",
    host: HostNames = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="Stopped containers and one-off runs too.")] = False,
    json: AsJson = False,
) -> None:
    """Show the stack's containers: state, health, image, generation, published ports.

    Changes nothing. `slipway status` reports whether what runs is what was deployed.

    Exit code: 0 when every host answered; 1 when one did not, a service or host is not known, or the stack's settings
    cannot be read; 2 for wrong usage.
    """
    from slipway.cli.containers import list as listing
    from slipway.cli.printing import print_json, print_out, print_problems
    from slipway.releases.engine import read_stack

    found, named = read_stack(stack), services or []
    answers = listing.list_containers(found, listing.selected_hosts(found.settings, host or []))
    listings = [each.listing for each in answers if each.listing is not None]
    if listings:
        listing.require_services(named, listings, found.settings.stack)
    document = listing.ps_document(found, answers, named, every=every)
    if json:
        print_json(document)
    elif any(each["containers"] for each in document["hosts"]):
        from datetime import UTC, datetime

        print_out(listing.ps_table(document, datetime.now(UTC)))
    elif listings:
        typer.echo("nothing runs" if not every else "there are no containers", err=True)
    hidden = "" if every or json else listing.left_out(answers, named)
    if hidden:
        typer.echo(f"not shown: {hidden} (slipway ps --all --stack {found.settings.stack})", err=True)
    problems = [problem for each in answers for problem in each.problems]
    print_problems(problems, found.settings.stack)
    raise typer.Exit(1 if problems else 0)
