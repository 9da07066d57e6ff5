"""`slipway notify`: a message to those whom a stack names."""

from typing import Annotated

import typer

from slipway.cli.options import StackName


def notify(
    event: Annotated[str, typer.Argument(metavar="test|EVENT", help="What happened, such as `approval-needed`.")],
    *,
    stack: StackName = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What the message says of it.")] = "",
) -> None:
    """Send a message about a stack to those whom the setting `notify` names, and print which of them took it.

    `test` goes to all of them; an event to those who want it. An event is for workflows: it is no failure there that a
    message did not arrive, or that nobody is named. `approval-needed` is sent unless GitHub says (with a token in
    GITHUB_TOKEN) that the stack's environment has no reviewers.

    Exit code: 0; 1 when a test did not arrive everywhere or has nobody to go to; 2 for wrong usage.
    """
    from slipway.notify.message import EVENTS, TEST

    if event not in (TEST, *EVENTS):
        raise typer.BadParameter(f"it is {TEST}, {', '.join(EVENTS)}", param_hint="'EVENT'")
    from slipway.cli.announcements import message_of, waits_for_nobody
    from slipway.contract.problems import Problem, SlipwayError
    from slipway.notify.sending import send
    from slipway.releases.engine import engine_of, stack_of
    from slipway.settings.setting_files import config_set

    engine = engine_of(stack)
    found = stack_of(engine)
    targets = found.settings.notify_targets()
    if event == "approval-needed" and targets and waits_for_nobody(engine, found.settings):
        typer.echo(f"the environment of {engine.short} has no reviewers on GitHub: nothing was sent")
        return
    if not targets and event == TEST:
        fix = f"{config_set(engine.stack, 'notify.team.to', 'slack')} && "
        fix += config_set(engine.stack, "notify.team.url", secret=True)
        raise SlipwayError("notify: empty", "nobody gets messages about this stack", fix)
    deliveries = send(targets, message_of(found, event, reason=reason), redact=found.settings.redactor().text)
    for each in deliveries:
        typer.echo(f"{each.target.name} ({each.target.to}): {each.said}")
    if not deliveries:
        typer.echo(f"nobody wants to be told of {event}")
    refused = [each for each in deliveries if not each.accepted]
    if refused and event == TEST:
        raise SlipwayError(
            Problem(
                f"notify.{each.target.name}: {each.said}",
                "it gets no message about this stack",
                config_set(engine.stack, f"notify.{each.target.name}.url", secret=True),
            )
            for each in refused
        )
