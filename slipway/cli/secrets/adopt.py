"""Secrets in plain text in a Compose file become secrets of every stack: the edit as a patch, and the change."""

from __future__ import annotations

import difflib
import os
import secrets
from typing import TYPE_CHECKING

import typer

from slipway.cli.init.stack_file import write_all
from slipway.cli.printing import has_terminal
from slipway.cli.secrets.confirm import confirmed
from slipway.compose.git import repository_of
from slipway.compose.literals import Adoption, adoption
from slipway.contract.redaction import printable
from slipway.releases import local_stack
from slipway.releases.engine import engine_of, known_stacks, setting_sources
from slipway.releases.format import counted
from slipway.releases.stack_settings import Change, change_settings, stated_values
from slipway.settings.load import collect_settings
from slipway.settings.secret_rules import made_up, weakness
from slipway.settings.setting_files import entry, secrets_adopt, stack_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.releases.engine import Engine

__all__ = ["adopt"]


def adopt(engine: Engine, *, yes: bool, plan: bool, new: bool) -> None:
    """Show the edit of the Compose file and the secrets that it needs, ask, and do both.

    The patch goes to standard output, all else to standard error. With `new`, a random value replaces a weak one that
    may be any text: for stacks whose databases do not exist yet.
    """
    settings, _ = collect_settings(**setting_sources(engine, engine.configuration()))
    found = adoption(settings)
    _show(found, new=new)
    if plan or not found.secrets:
        return
    engines = [engine, *_others(engine)] if found.files else [engine]
    stacks = ", ".join(each.short for each in engines)
    edit = ", and edit the Compose file" if found.files else ""
    question = f"Store {counted(len(found.secrets), 'secret')} in {stacks}{edit}?"
    if not confirmed(question, yes=yes, command=secrets_adopt(engine.stack)):
        return
    planned = [(each, list(_changes(found, each, new=new))) for each in engines]
    for each, changes in planned:
        change_settings(each, changes)
        typer.echo(f"{each.stack_file.name} has them now", err=True)
    edits = {file.resolve(): after for file, (_, after) in found.files.items()}  # a link stays one
    write_all(edits, failed=f"{stacks} have the secrets; the Compose file is as it was")
    edited = ", ".join(os.path.relpath(file) for file in found.files) or "no file"
    typer.echo(printable(edited) + f" is edited. Next: pulumi preview --stack {engine.stack}", err=True)


def _others(engine: Engine) -> Iterator[Engine]:
    """The project's other stacks with a file: they read the same Compose file."""
    known = known_stacks(engine) - {engine.short, local_stack.NAME}
    for name in sorted(known):
        if stack_file(engine.root, name).exists():
            yield engine_of(name)


def _changes(found: Adoption, engine: Engine, *, new: bool) -> Iterator[Change]:
    """What a stack lacks of it; a secret that it has stays."""
    variables, stated = stated_values(engine)
    for name, value in found.secrets.items():
        if name not in stated:
            yield Change(entry("secrets", name), _value(name, variables.get(name, value), new=new), secret=True)
        if name in variables:
            yield Change(entry("variables", name), None)


def _value(name: str, today: str, *, new: bool) -> str:
    return secrets.token_hex(24) if new and made_up(name) and weakness(name, today) else today


def _show(found: Adoption, *, new: bool) -> None:
    for file, (before, after) in found.files.items():
        name = os.path.relpath(
            file.resolve(), repository_of(file.parent) or file.parent.resolve()
        )  # where `git apply` looks for it
        old, changed = (text.splitlines(keepends=True) for text in (before, after))
        for line in difflib.unified_diff(old, changed, f"a/{name}", f"b/{name}"):
            shown = line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            if has_terminal():
                for each in shown.splitlines():
                    typer.echo(printable(each))
            else:
                typer.echo(shown, nl=False)
    if not found.secrets:
        typer.echo("the Compose file holds no secret in plain text that can be adopted", err=True)
    for name, users in found.users.items():
        weak = weakness(name, found.secrets[name])
        fresh = new and made_up(name) and weak
        how = "a new random value" if fresh else f"today's value{f', which {weak}' if weak else ''}"
        typer.echo(printable(f"  secret {name}: {how}, for {', '.join(users)}"), err=True)
    for place, why in found.left.items():
        typer.echo(printable(f"  not adopted: {place}: {why}"), err=True)
    for (file, number), name in found.remains.items():
        typer.echo(
            printable(f"  left: line {number} of {os.path.relpath(file)} still shows the value of {name}"), err=True
        )
    if any(weakness(name, value) for name, value in found.secrets.items()) and not new:
        typer.echo(
            "  production refuses weak values. An existing database keeps the password that it was created with: "
            "change it there first. Where there is no database yet, --new stores random values",
            err=True,
        )
