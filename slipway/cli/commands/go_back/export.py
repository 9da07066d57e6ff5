"""`slipway export`: one file with all that restores a stack when its backend is lost."""

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName

_PLACE = "File (.tar.gz), folder, or s3://, gs:// or azblob:// address; the current folder if none."


def export(
    *,
    stack: StackName = "",
    to: Annotated[str, typer.Option("--to", metavar="PLACE", help=_PLACE)] = "",
    json: AsJson = False,
) -> None:
    """Save the stack as it is now in one file: its state, the live release, its file and its tags.

    Changes nothing. Secrets in it stay encrypted, as the engine keeps them. `slipway import` restores the stack.

    Exit code: 0 when the file was written; 1 when it was not, and then nothing of it is left; 2 for wrong usage.
    """
    from shlex import quote

    from slipway.cli.printing import print_json
    from slipway.releases.bundles.exporting import export_bundle
    from slipway.releases.engine import engine_of
    from slipway.releases.format import counted

    made = export_bundle(engine_of(stack), to)
    if json:
        print_json(made)
        return
    manifest = made["manifest"]
    update = f"after update {manifest['update']}" if manifest["update"] else "no update in its history"
    file = f"Pulumi.{manifest['stack']}.yaml" if "stack.yaml" in manifest["parts"] else "no stack file"
    parameters = "?…" if "://" in to and "?" in to else ""  # may hold credentials, so they are not repeated
    typer.echo(
        f"{made['bundle']}\n"
        f"  stack    {manifest['stack']} of {manifest['project']}, {update}\n"
        f"  release  {manifest['release'] or 'none'}\n"
        f"  holds    {counted(manifest['resources'], 'resource')}, {file}; secrets are encrypted\n"
        f"  size     {made['size']:,} bytes\n"
        f"  sha256   {made['sha256']}\n"
        f"to restore it: slipway import {quote(made['bundle'] + parameters)}"
    )
