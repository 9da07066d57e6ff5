"""`slipway import`: restore a stack from a bundle, in a backend that lost it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUNDLE = "What slipway export (or pulumi stack export) made: a path or address."
_FORCE = (
    "Also over an existing state (which is saved first), from another stack's bundle, or beside another encryption."
)


def import_(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help=_BUNDLE)],
    *,
    stack: Annotated[
        str, typer.Option("--stack", "-s", envvar="PULUMI_STACK", help="Stack to restore; the bundle's own if none.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help=_FORCE)] = False,
    json: AsJson = False,
) -> None:
    """Restore a stack from a bundle: its state, its tags, and its file where it is missing.

    Touches no host. Everything is checked before anything is changed, and a second time changes nothing.

    Exit code: 0 when the backend has the bundle's state; 1 when not, with every reason; 2 for wrong usage.
    """
    import os

    from slipway.cli.printing import print_json
    from slipway.releases.bundles.importing import import_bundle
    from slipway.releases.bundles.storage import read_bundle
    from slipway.releases.engine import engine_of

    read = read_bundle(bundle, os.environ)
    engine = engine_of(stack or (read.owner.stack if read.owner else ""))
    done = import_bundle(engine, read, force=force)
    if json:
        print_json(done)
        return
    for line in _lines(done):
        typer.echo(line)


def _lines(done: dict[str, Any]) -> Iterator[str]:
    from slipway.contract.redaction import printable
    from slipway.releases.format import counted

    stack, file = done["stack"], f"Pulumi.{done['stack']}.yaml"
    yield from (f"overridden: {each}" for each in done["overridden"])
    if done["backup"]:
        yield f"the previous state is saved in {done['backup']}"
    if done["folder_made"]:
        yield f"created the backend's folder {done['folder_made']}, which was gone"
    if done["stack_made"]:
        yield f"created stack {stack}"
    yield {
        "kept": f"{file} stays as it is",
        "differs": f"{file} stays as it is, which differs from the bundle's: the preview shows what that changes",
        "restored": f"{file} restored",
        "absent": f"there is no {file}, here or in {done['bundle']}: the stack has no settings",
    }[done["stack_file"]]
    state = f"{counted(done['resources'], 'resource')}, release {printable(done['release'] or 'none')}"
    yield f"restored the state: {state}" if done["changed"] else f"the backend has this state already: {state}"
    if done["tags"]:
        yield f"set {'tag' if len(done['tags']) == 1 else 'tags'} {printable(', '.join(done['tags']))}"
    look = "slipway status" if stack == "local" else "pulumi preview"  # the engine alone lacks its passphrase
    yield f"check whether the hosts match: {look} --stack {stack}"
