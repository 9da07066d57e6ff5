"""`slipway import`: a stack comes back from a bundle into a backend that lost it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from typing import Any

__all__ = ["import_"]


def import_(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE", help="What slipway export (or pulumi stack export) made: a path, or an address."
        ),
    ],
    *,
    stack: Annotated[
        str,
        typer.Option("--stack", "-s", envvar="PULUMI_STACK", help="Stack to bring back; the bundle's own if none."),
    ] = "",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also over a state that is there (a bundle of it is kept first), from another stack's bundle, "
            "or beside another encryption.",
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON (slipway/cli/schemas/bundle.schema.json) instead of text.")
    ] = False,
) -> None:
    """Bring a stack back from a bundle: its state, its tags, and its file where it is missing.

    Touches no host. Everything is checked before anything is changed, and twice the same changes nothing.

    Exit code: 0 when the backend has the bundle's state; 1 when not, with every reason; 2 for wrong usage.
    """
    import os  # noqa: PLC0415  # help must not wait for it

    from slipway.releases.bundles.importing import import_bundle  # noqa: PLC0415  # as above
    from slipway.releases.bundles.storage import read_bundle  # noqa: PLC0415  # as above
    from slipway.releases.engine import engine_of  # noqa: PLC0415  # as above

    read = read_bundle(bundle, os.environ)
    engine = engine_of(stack or (read.owner.stack if read.owner else ""))
    done = import_bundle(engine, read, force=force)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(done, indent=2, ensure_ascii=False))
        return
    for line in _told(done):
        typer.echo(line)


def _told(done: dict[str, Any]) -> list[str]:
    from slipway.releases.format import counted, plain  # noqa: PLC0415  # as above

    file = f"Pulumi.{done['stack']}.yaml"
    files = {
        "kept": f"{file} stays as it is",
        "differs": f"{file} stays as it is, which is not as in the bundle: the preview shows what that changes",
        "restored": f"{file} brought back",
        "absent": f"there is no {file}, here or in {done['bundle']}: the stack has no settings",
    }
    look = "slipway status" if done["stack"] == "local" else "pulumi preview"  # the engine alone lacks its passphrase
    state = f"{counted(done['resources'], 'resource')}, release {plain(done['release'] or 'none')}"
    return [
        *(f"overridden: {each}" for each in done["overridden"]),
        *([f"what was there is kept in {done['backup']}"] if done["backup"] else []),
        *([f"made the backend's folder {done['folder_made']}, which was gone"] if done["folder_made"] else []),
        *([f"made stack {done['stack']} anew"] if done["stack_made"] else []),
        files[done["stack_file"]],
        f"brought back the state: {state}" if done["changed"] else f"the backend has this state already: {state}",
        *(
            [f"set {'tag' if len(done['tags']) == 1 else 'tags'} {plain(', '.join(done['tags']))}"]
            if done["tags"]
            else []
        ),
        f"now look whether the hosts are as it says: {look} --stack {done['stack']}",
    ]
