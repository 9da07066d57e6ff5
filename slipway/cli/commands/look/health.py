"""`slipway health`: whether what is deployed answers its visitors, in all environments of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.options import AsJson


def health(
    *,
    stack: Annotated[
        str,
        typer.Option(
            "--stack", "-s", envvar="PULUMI_STACK", help="The stack; all that have a stack file here if none."
        ),
    ] = "",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only what is down, recovered, or began to expire.")
    ] = False,
    warn_days: Annotated[
        int, typer.Option("--warn-days", metavar="N", min=0, help="Warn of a certificate with fewer days left.")
    ] = 14,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="FILE", help="Where the last result is kept. [below ~/.local/state/slipway]"),
    ] = None,
    notify: Annotated[
        bool, typer.Option("--notify", help="Tell those whom the setting notify names what is down, and recovered.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Ask every address of what is deployed, as visitors do: name, connection, certificate, answer.

    What an answer must be, the HTTP smoke checks say; without one, anything below 500 will do. The addresses are those
    of the releases in the stacks' state: hosts and secrets are not needed, and the passphrase for --notify alone. Each
    look takes 10 seconds at most; an address counts as down after the second. SLIPWAY_HEALTH_LOGIN (USER:PASSWORD)
    opens services with basicAuth. Changes nothing but the file with the last result.

    Exit code: 0 when every address is up, also with a certificate that soon expires; 1 when one is down, a stack's
    state cannot be read, there is nothing to probe, the last result cannot be kept, or a message did not arrive; 2 for
    wrong usage.
    """
    import os

    from slipway.cli.printing import print_json, print_out, print_problems
    from slipway.contract.problems import Problem, SlipwayError
    from slipway.releases.health.memory import Memory, SetAsideError, compared, memory_file, recalled, remember
    from slipway.releases.health.stack_health import LOGIN_VARIABLE, health_document, stacks_asked

    login = os.environ.get(LOGIN_VARIABLE, "")
    if login and ":" not in login:
        raise typer.BadParameter("is not USER:PASSWORD", param_hint=LOGIN_VARIABLE)
    engines = stacks_asked(stack)
    file = state or memory_file(engines[0].root, engines[0].project)
    document = health_document(engines, warn_days=warn_days, login=login)
    problems: list[Problem] = []
    before: Memory | None = None
    try:
        before = recalled(file)
    except SlipwayError as error:
        problems += error.problems
        before = {} if isinstance(error, SetAsideError) else None
    after = compared(document, before or {})
    for engine, each in zip(engines, document["stacks"], strict=True) if notify else ():
        from slipway.cli.status.health_messages import tell

        failed, unheard = tell(engine, each)
        problems += [problem.of_stack(each["stack"]) for problem in failed]
        if unheard:  # the next run sends it again
            after[each["stack"]] = (before or {}).get(each["stack"], {})
    try:
        if before is not None:
            remember(file, after)
    except SlipwayError as error:
        problems += error.problems
    if json:
        print_json(document)
    else:
        from slipway.cli.status.health_view import rendered

        if shown := rendered(document, quiet=quiet):
            print_out(shown)
        for each in document["stacks"]:
            print_problems(map(Problem.from_json, each["errors"]), each["stack"])
    print_problems(problems, stack)
    raise typer.Exit(0 if document["up"] and not problems else 1)
