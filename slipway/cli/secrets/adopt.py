"""Secrets in plain text in a Compose file become secrets of every stack: the edit as a patch, and the change."""

from __future__ import annotations

import difflib
import os
import secrets
from typing import TYPE_CHECKING
from urllib.parse import unquote

import typer

from slipway.cli.confirm import confirmed
from slipway.cli.init.stack_file import write_all
from slipway.cli.printing import has_terminal
from slipway.compose.config.compose_files import compose_files
from slipway.compose.git import repository_of
from slipway.compose.literals import Adoption, adoption
from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import printable
from slipway.releases import local_stack
from slipway.releases.engine import engine_of, known_stacks, setting_sources
from slipway.releases.format import counted
from slipway.releases.stack_settings import Change, change_settings, stated_values
from slipway.settings.load import collect_settings
from slipway.settings.secrets.rules import made_up, weakness
from slipway.settings.setting_files import entry, secrets_adopt, stack_file
from slipway.settings.values import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from slipway.releases.engine import Engine

__all__ = ["adopt"]


def adopt(engine: Engine, *, yes: bool, plan: bool, new: bool) -> None:
    """Show the edit of the Compose file and the secrets that it needs, ask, and do both.

    The patch goes to standard output, all else to standard error. With `new`, a random value replaces a weak one that
    may be any text: for stacks whose databases do not exist yet.
    """
    settings, _ = collect_settings(**setting_sources(engine, engine.configuration()))
    found = adoption(settings)
    _show(found, {name: value.get_secret_value() for name, value in settings.secrets.items()}, new=new)
    if plan or not found.secrets:
        return
    engines = [engine, *_others(engine, found.files)] if found.files else [engine]
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
    edited = printable(", ".join(os.path.relpath(file) for file in found.files)) or "no file"
    typer.echo(f"{edited} is edited. Next: pulumi preview --stack {engine.stack}", err=True)


def _others(engine: Engine, edited: Collection[Path]) -> Iterator[Engine]:
    """The project's other stacks with a file that read one of the edited Compose files, too."""
    known = known_stacks(engine) - {engine.short, local_stack.NAME}
    files = {file.resolve() for file in edited}
    for name in sorted(known):
        if not stack_file(engine.root, name).exists():
            continue
        other = engine_of(name)
        try:
            settings, _ = collect_settings(**setting_sources(other, other.configuration()))
            read, _ = compose_files(settings)
        except SlipwayError as error:
            why = error.problems[0].what
            typer.echo(f"  {name} stays as it is, as it is not known which Compose file it reads: {why}", err=True)
        else:
            if not files.isdisjoint(file.resolve() for file in read):
                yield other


def _changes(found: Adoption, engine: Engine, *, new: bool) -> Iterator[Change]:
    """What a stack lacks of it; a secret that it has stays."""
    variables, stated = stated_values(engine)
    values = {name: variables.get(name, value) for name, value in found.secrets.items()}
    values = _renewed(found, values, stated) if new else values
    for name, value in values.items():
        if name not in stated:
            yield Change(entry("secrets", name), value, secret=True)
        if name in variables:
            yield Change(entry("variables", name), None)


def _renewed(found: Adoption, today: Mapping[str, str], stated: Mapping[str, str]) -> dict[str, str]:
    """The stack's values, random where they may be: equal ones stay equal, as they may be two ends of one password."""
    values = dict(today)
    for names in _renewable(found, today, stated):
        old, value = today[names[0]], next((stated[name] for name in names if name in stated), secrets.token_hex(24))
        values |= dict.fromkeys(names, value)
        for name in [name for name, password in found.inside.items() if password == old]:
            values[name] = values[name].replace(f":{old}@", f":{value}@")
    return values


def _renewable(found: Adoption, values: Mapping[str, str], stated: Mapping[str, str]) -> list[list[str]]:
    """The secrets that can get a random value, together those that get the same one."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, value in values.items():  # placeholders may be equal by chance
        groups.setdefault((value, found.meant[name] if is_placeholder(value, "secrets") else ""), []).append(name)
    other = [value for name, value in stated.items() if name not in found.secrets]
    return [
        names
        for (value, _), names in groups.items()
        if any(made_up(name) and weakness(name, value, found.logins) for name in names)
        and found.kept.keys().isdisjoint(names)
        and not any(value == each or f":{value}@" in each for each in other)
    ]


def _encoded(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names of secrets that are one, percent-encoded and not."""
    for name, value in values.items():
        yield from ((name, other) for other, plain in values.items() if plain == unquote(value) != value)


def _show_patch(found: Adoption) -> None:
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


def _show(found: Adoption, stated: Mapping[str, str], *, new: bool) -> None:
    _show_patch(found)
    if not found.secrets:
        typer.echo("the Compose file holds no secret in plain text that can be adopted", err=True)
    fresh = {name for names in _renewable(found, found.secrets, stated) for name in names}
    for name, users in found.users.items():
        weak, kept = weakness(name, found.secrets[name], found.logins), found.kept.get(name)
        how = f"today's value{f', which {weak}' if weak else ''}{f' and stands in {kept}, too' if kept else ''}"
        how = "a new random value" if new and name in fresh else how
        typer.echo(printable(f"  secret {name}: {how}, for {', '.join(users)}"), err=True)
    for name, other in _encoded(found.secrets):
        typer.echo(f"  {name} is {other}, percent-encoded for a URL: whoever changes one changes both", err=True)
    for place, why in found.left.items():
        typer.echo(printable(f"  not adopted: {place}: {why}"), err=True)
    for (file, number), name in found.remains.items():
        typer.echo(
            printable(f"  left: line {number} of {os.path.relpath(file)} still shows the value of {name}"), err=True
        )
    if any(weakness(name, value, found.logins) for name, value in found.secrets.items()) and not new:
        typer.echo(
            "  production refuses weak values. An existing database keeps the password that it was created with: "
            "change it there first. Where there is no database yet, --new stores random values",
            err=True,
        )
