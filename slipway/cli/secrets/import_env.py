"""A `.env` file becomes secrets and variables of a stack: what would change, by name and reason, and the change."""

from __future__ import annotations

import functools
import re
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple

import typer
from pydantic import SecretStr

from slipway.cli.confirm import confirmed
from slipway.compose.config.compose_model import project_of
from slipway.compose.config.empty_values import empty_names
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.releases.engine import setting_sources
from slipway.releases.format import counted
from slipway.releases.stack_settings import Change, change_settings, stated_values
from slipway.settings.dotenv_file import (
    PROJECT,
    dotenv_entries,
    of_the_machine,
    plain_places,
    read_dotenv,
    unusable_lines,
)
from slipway.settings.load import collect_settings
from slipway.settings.model import PREFIX
from slipway.settings.rules.stack import is_variable_name
from slipway.settings.secrets.rules import named_like_a_secret, weakness
from slipway.settings.setting_files import entry, secrets_import

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from slipway.releases.engine import Engine

__all__ = ["ImportRequest", "import_env"]

_EXAMPLE = re.compile(
    r"(?i).*(example|sample|template|dist|default).*env.*|.*env.*(example|sample|template|dist|default).*"
)
_NEW, _CHANGED, _MOVED, _SAME = "new", "changed", "moved", "unchanged"


class ImportRequest(NamedTuple):
    """What is asked for."""

    file: Path | None
    plain: Sequence[str] = ()
    """Names that are variables, whatever they look like."""
    secret: Sequence[str] = ()
    """Names that are secrets, whatever they look like."""
    yes: bool = False
    """Do it without asking."""
    plan: bool = False
    """Only show it."""
    empty: bool = False
    """Set to nothing what the Compose file refers to, and neither file nor stack has."""

    @property
    def name(self) -> str:
        """Of the file, as it is shown."""
        return self.file.name if self.file else "no file"


class _Line(NamedTuple):
    name: str
    value: str
    secret: bool
    how: str  # what becomes of it, in the words above
    note: str


def import_env(request: ImportRequest, engine: Engine) -> None:
    """Show what the file would change in the stack, ask, and change it.

    Raises:
        SlipwayError: with every line that cannot be read, and then nothing is changed.
    """
    variables, secrets = stated_values(engine)
    plain = {*variables, *_plain_places(engine)}  # the stack declares its variables so
    lines, left = list[_Line](), dict[str, str]()
    if request.file:
        project = functools.partial(_project, engine)
        lines, left = _read(request, request.file, variables, secrets, plain, project=project)
    if request.empty:
        empty, refused = _empty(engine, lines)
        lines, left = [*lines, *empty], left | refused
    _show(request, engine, lines, left)
    changes = list(_changes(lines, variables, secrets))
    if request.plan or not changes:
        return
    file = engine.stack_file.name
    values = counted(sum(each.value is not None for each in changes), "value")
    command = secrets_import(engine.stack, str(request.file or ""), empty=request.empty)
    if confirmed(f"Import {values} into {file}?", yes=request.yes, command=command):
        change_settings(engine, changes, _count(len(changes)))
        typer.echo(f"{file} has them now. Next: pulumi preview --stack {engine.stack}")


def _plain_places(engine: Engine) -> set[str]:
    """The variables that must be plain, as far as the settings say where the Compose file is."""
    try:
        settings, _ = collect_settings(**setting_sources(engine, engine.configuration()))
    except SlipwayError:
        return set()
    return plain_places(settings.application, settings.compose_file)


def _project(engine: Engine) -> str:
    settings, _ = collect_settings(**setting_sources(engine, engine.configuration()))
    return project_of(settings)


def _empty(engine: Engine, lines: Sequence[_Line]) -> tuple[list[_Line], dict[str, str]]:
    """What the Compose file asks for beyond the stack and these lines; and what of that cannot be empty."""
    settings, _ = collect_settings(**setting_sources(engine, engine.configuration()))
    variables = {line.name: line.value for line in lines if not line.secret}
    secrets = {line.name: SecretStr(line.value) for line in lines if line.secret}
    given = {"variables": settings.variables | variables, "secrets": settings.secrets | secrets}
    names, refused = empty_names(settings.model_copy(update=given))
    note = "empty, as Compose takes it"
    notes = {name: f"{note}, though named like a secret" if named_like_a_secret(name) else note for name in names}
    found = [_Line(name, "", secret=False, how=_NEW, note=note) for name, note in notes.items()]
    return found, dict.fromkeys(refused, "still missing: it must not be empty")


def _read(
    request: ImportRequest,
    file: Path,
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
    plain: Collection[str],
    *,
    project: Callable[[], str],
) -> tuple[list[_Line], dict[str, str]]:
    """What becomes of each name; and those that are left out, with the reason."""
    if not file.is_file():
        raise SlipwayError(_no_file(file))
    dotenv = read_dotenv(file)
    problems = unusable_lines(dotenv, file.name)
    unknown = sorted({*request.plain, *request.secret} - dotenv.values.keys())
    problems += [
        Problem(
            f"{name} is not in {file.name}",
            "its --secret or --plain has no effect",
            f"correct {name}, or leave that option out",
        )
        for name in unknown
    ]
    if problems:
        raise SlipwayError(problems)
    left = {name: "a setting of Slipway's own" for name in dotenv.values if name.startswith(PREFIX)}
    lines, renamed = [], list[str]()

    def own_project(name: str) -> str:
        renamed.append(name)
        left[PROJECT] = f"{(own := project())} takes its place in {', '.join(renamed)}"
        return own

    for name, value, why in dotenv_entries(dotenv, variables, secrets, plain, project=own_project):
        if of_the_machine(name):
            left[name] = "of the machine that runs Docker"
            continue
        if not value and name in secrets and name not in (*request.plain, *request.secret):
            left[name] = "empty: the stack's secret stays"
            continue
        declared = name in request.secret or (name in secrets and name not in request.plain)
        secret = declared or bool(why and value and name not in request.plain)
        if secret and not is_variable_name(name, secret=True):
            what = f"{name} counts as a secret ({why or 'by --secret'}), and a secret's name has no dots or dashes"
            fix = f"rename it, or import it as a variable: --plain {name}"
            problems.append(Problem(what, "no ${NAME} in a Compose file could refer to it", fix))
        lines.append(_line(name, value, why, secret=secret, variables=variables, secrets=secrets))
    if problems:
        raise SlipwayError(problems)
    return lines, left


def _no_file(file: Path) -> Problem:
    """Says which file beside it, if any, shows what it needs, such as `.env.example`."""
    beside = sorted(file.parent.glob("*")) if file.parent.is_dir() else []
    example = next((each for each in beside if each.is_file() and _EXAMPLE.fullmatch(each.name)), None)
    if example is None:
        return Problem(f"{file} is not a file", "there is nothing to import", "write its lines NAME=VALUE")
    meaning = f"{example.name} shows what it needs: fill in the copy, and keep it out of git"
    return Problem(f"{file} is not a file", meaning, f"cp {shlex.quote(str(example))} {shlex.quote(str(file))}")


def _line(
    name: str, value: str, why: str, *, secret: bool, variables: Mapping[str, str], secrets: Mapping[str, str]
) -> _Line:
    here, there = (secrets, variables) if secret else (variables, secrets)
    how = _MOVED if name in there else _NEW if name not in here else _SAME if here[name] == value else _CHANGED
    notes = []
    if secret:
        notes.append("already a secret" if name in secrets else why or "by --secret")
        notes += ["readable until now: change it where it is used"] if how == _MOVED and there[name] else []
        notes += [weak] if (weak := weakness(name, value)) else []
    else:
        notes += ["a secret until now"] if how == _MOVED else []
        empty = (
            f"empty; a secret by its name: set {entry('secrets', name)} if it is to have a value" if why else "empty"
        )
        notes += [] if value else [empty]
    return _Line(name, value, secret, how, ", ".join(notes))


def _changes(lines: Sequence[_Line], variables: Collection[str], secrets: Collection[str]) -> Iterator[Change]:
    for line in lines:
        section, other = ("secrets", "variables") if line.secret else ("variables", "secrets")
        if line.how != _SAME:
            yield Change(entry(section, line.name), line.value, line.secret)
        if line.name in (variables if line.secret else secrets):
            yield Change(entry(other, line.name), None)


def _count(total: int) -> Callable[[int], None]:
    """Shows how many changes are made: the engine encrypts one value at a time, in about half a second."""

    def report(made: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{made} of {total}{chr(10) if made == total else ''}", nl=False, err=True)

    return report


def _show(request: ImportRequest, engine: Engine, lines: Sequence[_Line], left: Mapping[str, str]) -> None:
    width = max((len(line.name) for line in lines), default=0)
    typer.echo(printable(f"{request.name} for {engine.project}/{engine.short}"))
    for title, secret in (("secrets, encrypted in the stack file", True), ("variables, readable by all", False)):
        some = [line for line in lines if line.secret is secret and line.how != _SAME]
        typer.echo(f"  {title}: {len(some) or 'none'}")
        for line in some:
            typer.echo(printable(f"    {line.how:<8} {line.name:<{width}}  {line.note}".rstrip()))
    same = [line.name for line in lines if line.how == _SAME]
    if same:
        typer.echo(f"  unchanged: {len(same)}")
    for name, why in left.items():
        typer.echo(printable(f"  left out: {name} ({why})"))
    if not all(line.how == _SAME for line in lines):
        typer.echo("  (--secret NAME or --plain NAME decides otherwise)")
