"""`slipway init`: the stack files of an application, and what is left to do before its first preview."""

from pathlib import Path
from typing import Annotated

import typer

_ENVIRONMENT = "A stack to create; staging and production if none."
_HOST = "A machine to deploy to, `local` for this one; of every stack if none is named."
_DOMAIN = "Domain; without a stack it is production's, and STACK.DOMAIN elsewhere."


def init(
    application: Annotated[Path, typer.Argument(metavar="APPLICATION", help="Folder with the Compose file.")],
    *,
    environment: Annotated[
        list[str] | None, typer.Option("--environment", "-e", metavar="NAME", help=_ENVIRONMENT)
    ] = None,
    registry: Annotated[
        str, typer.Option("--registry", metavar="HOST/PATH", help="Where images are pushed, such as ghcr.io/acme.")
    ] = "",
    registry_user: Annotated[
        str, typer.Option("--registry-user", metavar="USER", help="User of the registry; none if it needs no login.")
    ] = "",
    host: Annotated[
        list[str] | None, typer.Option("--host", metavar="[STACK=[NAME=]][USER@]ADDRESS[:PORT]", help=_HOST)
    ] = None,
    domain: Annotated[list[str] | None, typer.Option("--domain", metavar="[STACK=]DOMAIN", help=_DOMAIN)] = None,
    acme_email: Annotated[
        str, typer.Option("--acme-email", metavar="ADDRESS", help="E-mail for certificates of Let's Encrypt.")
    ] = "",
    variable: Annotated[
        list[str] | None,
        typer.Option("--variable", metavar="[STACK=]NAME=VALUE", help="Value of a variable that is no secret."),
    ] = None,
    compose_file: Annotated[
        list[str] | None,
        typer.Option(
            "--compose-file", metavar="NAME", help="Compose file; several are merged, as by `docker compose`."
        ),
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="[USER@]HOST[:PORT]:FOLDER", help="Take over what runs from that folder.")
    ] = "",
    from_running: Annotated[
        str,
        typer.Option(
            "--from-running", metavar="PROJECT", help="Take over that project, of this machine or --from HOST."
        ),
    ] = "",
    accept_host_key: Annotated[
        bool, typer.Option("--accept-host-key", help="Pin the keys that the hosts show, without comparing.")
    ] = False,
    workflows: Annotated[
        bool, typer.Option("--workflows", help="Write the GitHub workflows into the application's repository.")
    ] = False,
    runner: Annotated[
        list[str] | None,
        typer.Option("--runner", metavar="LABEL", help="Of a self-hosted runner for the workflows; repeatable."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let Pulumi change edited stack files, and replace workflows.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; name all that is missing at once.")] = False,
) -> None:
    """Write the stack files of an application, create its stacks, and print what is left to do.

    At a terminal it asks for what the options leave open; elsewhere, or with --yes, it names every missing option at
    once. Secrets are never options: the commands that set them are printed. An edited stack file is left as it is, and
    the commands that would change it are printed; with --force they are run.

    With --from or --from-running the stack (production if none is named) takes over from a running Compose project: its
    volumes are adopted, the values of its `.env` become secrets and variables, and the differences to the Compose file
    are printed. The first deployment is the handover; `slipway move undo` reverses it.

    Exit code: 0 when the files are there, whatever is left to do; 1 when the Compose file or the running project cannot
    be read, or an edited workflow would be overwritten; 2 for missing or wrong options. With 1 and 2 nothing was
    written.
    """
    from slipway.cli.init.init import WrongUsageError, init_stacks, show
    from slipway.cli.init.prompts import InitOptions
    from slipway.cli.printing import has_terminal
    from slipway.releases.engine import program_folder

    options = InitOptions(
        environments=environment or (),
        registry=registry,
        registry_user=registry_user,
        hosts=host or (),
        domains=domain or (),
        acme_email=acme_email,
        variables=variable or (),
        compose_file=compose_file or (),
        moves_from=from_,
        from_running=from_running,
        accept_host_key=accept_host_key,
        workflows=workflows,
        runner=runner or (),
        force=force,
    )
    try:
        report = init_stacks(application, options, root=program_folder(Path.cwd()), asking=not yes and has_terminal())
    except WrongUsageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    show(report)
