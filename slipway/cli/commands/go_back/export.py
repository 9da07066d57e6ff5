"""`slipway export`: one file with all that brings a stack back when its backend is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import StackName  # noqa: TC001  # typer reads the annotations when the command is made

if TYPE_CHECKING:
    from typing import Any

__all__ = ["export"]


def export(
    *,
    stack: StackName = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="PLACE",
            help="File (.tar.gz), folder, or s3://, gs:// or azblob:// address; the current folder if none.",
        ),
    ] = "",
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON (slipway/cli/schemas/bundle.schema.json) instead of text.")
    ] = False,
) -> None:
    """Keep the stack as it is now in one file: its state, the release that is live, its file and its tags.

    Changes nothing. Secrets are in it as the engine keeps them, encrypted. `slipway import` brings the stack back.

    Exit code: 0 when the file was written; 1 when it was not, and then nothing of it is left; 2 for wrong usage.
    """
    from slipway.releases.bundles.exporting import export_bundle  # noqa: PLC0415  # help must not wait for it
    from slipway.releases.engine import engine_of  # noqa: PLC0415  # as above

    made = export_bundle(engine_of(stack), to)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(made, indent=2, ensure_ascii=False))
        return
    for line in _told(made, to):
        typer.echo(line)


def _told(made: dict[str, Any], to: str) -> list[str]:
    from shlex import quote  # noqa: PLC0415  # help must not wait for it

    from slipway.releases.format import counted  # noqa: PLC0415  # as above

    manifest = made["manifest"]
    files = "Pulumi." + manifest["stack"] + ".yaml" if "stack.yaml" in manifest["parts"] else "no stack file"
    held = counted(manifest["resources"], "resource")
    return [
        made["bundle"],
        f"  stack    {manifest['stack']} of {manifest['project']}, "
        + (f"after update {manifest['update']}" if manifest["update"] else "no update in its history"),
        f"  release  {manifest['release'] or 'none'}",
        f"  holds    {held}, {files}; secrets are encrypted",
        f"  size     {made['size']:,} bytes",
        f"  sha256   {made['sha256']}",
        # Parameters may hold credentials, so they are not repeated.
        f"to bring it back: slipway import {quote(made['bundle'] + ('?…' if '://' in to and '?' in to else ''))}",
    ]
