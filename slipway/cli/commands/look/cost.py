"""`slipway cost`: what the stack's machines cost a month."""

from __future__ import annotations

import typer

from slipway.cli.options import AsJson, StackName


def cost(*, stack: StackName = "", json: AsJson = False) -> None:
    """Show what the stack's machines cost a month, by Hetzner's own prices: servers, backups, volumes and addresses.

    It is the machines that the stack's settings ask for, net, without traffic beyond what is included. A token that may
    read is enough: hcloud:token in the stack file, or HCLOUD_TOKEN. Changes nothing.

    Exit code: 0; 1 when a price is not known, or Hetzner does not answer; 2 for wrong usage.
    """
    from slipway.cli.printing import print_json, print_out, print_problems
    from slipway.cli.status.cost_view import cost_document, rendered
    from slipway.hosts.hetzner.api import Api
    from slipway.hosts.hetzner.prices import cost_of
    from slipway.releases.engine import engine_of, settings_of

    settings = settings_of(engine_of(stack))
    pricing = {"currency": "EUR"}
    if settings.hetzner.servers:
        pricing = Api(settings.hetzner_token.get_secret_value(), settings.stack).read("pricing")["pricing"]
    found = cost_of(settings.hetzner, pricing)
    document = cost_document(settings.stack, found)
    if json:
        print_json(document)
    else:
        print_out(rendered(document))
    print_problems(found.unknown, settings.stack)
    raise typer.Exit(1 if found.unknown else 0)
