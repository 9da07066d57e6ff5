"""Secrets that a Compose file holds in plain text, and the edit that leaves them to the stack; nothing is written here.

Every distinct value becomes one secret and keeps its value, so that existing databases keep working.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import yaml

from slipway.compose.config.compose_model import resolve, without_escapes
from slipway.compose.secret_leaks import one_secret_each, password_for, readable_literals, strings_with
from slipway.contract.problems import SlipwayError
from slipway.settings.rules import is_variable_name
from slipway.settings.secret_rules import SHORTEST_SECRET, password_in_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from slipway.settings.model import Settings

__all__ = ["Adoption", "adoption"]

_REFERENCE = re.compile(r"\$\$|\$\{?([A-Za-z_]\w*)(?::?-((?:[^{}$]|\$\$)*))?\}?", re.ASCII)
_ELSEWHERE = "it stands in another file, which `include` or `extends` names"
_NO_LETTERS = re.compile(r"\W+", re.ASCII)
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # of a node: its anchor and tag


class _Entry(NamedTuple):
    """A variable of a service as it is written in a file."""

    file: Path
    node: yaml.ScalarNode
    key: str  # `NAME=` in a list, else empty
    flow: bool  # whether it stands in braces or brackets

    @property
    def raw(self) -> str:
        return str(self.node.value)[len(self.key) :]


class Adoption:
    """The secrets of a Compose file that the stack takes over, and those that stay."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        """Name → its present value."""
        self.users: dict[str, list[str]] = {}
        """Name → the places that use it."""
        self.left: dict[str, str] = {}
        """Place → why it stays as it is."""
        self.files: dict[Path, tuple[str, str]] = {}
        """File → its text before and after the edit."""
        self.remains: dict[tuple[Path, int], str] = {}
        """File and line after the edit → a secret whose value it still shows: in a comment, as a default."""


def adoption(settings: Settings) -> Adoption:
    """The secrets that the stack's Compose file holds in plain text, and the edit that refers to them instead.

    Raises:
        SlipwayError: Compose cannot read the file.
    """
    resolved = resolve(settings)
    try:
        return _Adopting(settings, resolved.model, resolved.files).adopted()
    except (yaml.YAMLError, UnicodeDecodeError):  # Compose reads a little more than PyYAML does
        what = f"{resolved.files[0].name} cannot be edited: it has a form of YAML that is not known here"
        raise SlipwayError(what, "nothing was changed", "write ${NAME} there by hand") from None


class _Adopting:
    def __init__(self, settings: Settings, model: Mapping[str, object], files: tuple[Path, ...]) -> None:
        self.settings, self.model, self.found = settings, model, Adoption()
        services = model.get("services")
        self.services: Mapping[str, Mapping[str, object]] = services if isinstance(services, dict) else {}
        self.texts = {file: file.read_bytes().decode("utf-8") for file in files}
        self.entries: dict[tuple[str, str], _Entry] = {}
        for file, text in self.texts.items():  # the later win
            for service, name, entry in _entries(file, text):
                self.entries[service, name] = entry
        self.names: dict[tuple[str, str], str] = {}  # wanted name and value → the free one
        self.with_files = {service for text in self.texts.values() for service in _with_env_file(text)}
        self.edits: dict[tuple[Path, int], tuple[_Entry, str]] = {}  # by where the node begins, which aliases share

    def adopted(self) -> Adoption:
        literals = readable_literals(self.services)
        wanted = one_secret_each([(name, text) for _, name, text in literals], self.services)
        left: dict[str, str] = {}
        while True:  # what stays in plain text keeps others there that have its value
            self.found, self.edits, self.names = Adoption(), {}, {}
            self.found.left |= left
            own = {_place(service, name) for service, name, _ in literals} - left.keys()
            for service, name, text in literals:
                place = _place(service, name)
                value = password_for(text, self.services) or text
                others = [other for other in self._holding(value) if other not in own]
                if place in left:
                    continue
                if others:
                    self.found.left[place] = f"its value stands in {others[0]}, too"
                elif why := self._adopt(service, name, text, value, wanted[name, text]):
                    self.found.left[place] = why
            if self.found.left.keys() == left.keys():
                break
            left = self.found.left
        self._edit()
        return self.found

    def _holding(self, value: str) -> list[str]:
        """The places of the model that hold the value; short ones are there by chance."""
        return strings_with(value, self.model) if len(value) >= SHORTEST_SECRET else []

    def _adopt(self, service: str, name: str, text: str, value: str, secret: str) -> str:
        """Adopt one literal; the reason where it cannot be, else empty."""
        entry, place = self.entries.get((service, name)), _place(service, name)
        if entry is None:  # of an `env_file`, over which the stack's value wins; or of a file that is included
            if not is_variable_name(name, secret=True):
                why = "it stands in another file, and a secret's name has no dots or dashes"
            else:
                why = "" if service in self.with_files else _ELSEWHERE
            return why or self._take(name, text, place)
        references = [found for found in _REFERENCE.finditer(entry.raw) if found[1]]
        if not references:
            if without_escapes(entry.raw) != text:
                return "Compose reads another text than is written"
            secret = self._free(secret, value, service)
            self._take(secret, value, place)
            credentials = password_in_url(entry.raw) if value != text else None
            written = value.replace("$", "$$")
            new = entry.raw.replace(f":{written}@", f":${{{secret}}}@", 1) if credentials else f"${{{secret}}}"
            self.edits[entry.file, entry.node.start_mark.index] = entry, entry.key + new
            return ""
        for found in references:
            variable = found[1]
            default = without_escapes(found[2]) if found[2] is not None else None
            given = self.settings.variables.get(variable, default)
            if given == value and variable not in self.settings.secrets:
                return self._take(variable, value, place)
        return "it is put together of variables"

    def _take(self, secret: str, value: str, place: str) -> str:
        if self.found.secrets.setdefault(secret, value) != value:
            return f"{secret} has another value elsewhere"
        self.found.users.setdefault(secret, []).append(place)
        return ""

    def _free(self, secret: str, value: str, service: str) -> str:
        """A name that a secret can have and no other value has: of another literal, in the stack, or in the file."""
        stated = {name: each.get_secret_value() for name, each in self.settings.secrets.items()}
        taken = {**self.settings.variables, **stated, **self.found.secrets}
        if (secret, value) in self.names:
            return self.names[secret, value]
        own, used = secret, set[str]()
        if not is_variable_name(secret, secret=True):  # SPRING_DATASOURCE_PASSWORD for spring.datasource.password
            own = _NO_LETTERS.sub("_", secret).strip("_").upper()
            own = own if is_variable_name(own, secret=True) else f"SECRET_{own}".rstrip("_")
            used = {found[1] for text in self.texts.values() for found in _REFERENCE.finditer(text)} - taken.keys()
        prefix = _NO_LETTERS.sub("_", service).upper()
        prefix = prefix if is_variable_name(prefix, secret=True) else f"SERVICE_{prefix}"
        names = [own, f"{prefix}_{own}", *(f"{prefix}_{own}_{number}" for number in range(2, 100))]
        used |= self.settings.variables.keys()
        free = next(name for name in names if name not in used and taken.get(name, value) == value)
        return self.names.setdefault((secret, value), free)

    def _edit(self) -> None:
        for file, before in self.texts.items():
            edits = [(entry, new) for (edited, _), (entry, new) in self.edits.items() if edited == file]
            after = before
            for entry, new in sorted(edits, key=lambda each: -each[0].node.start_mark.index):
                start, end = entry.node.start_mark.index, entry.node.end_mark.index
                after = after[:start] + _written(entry, before[start:end], new) + after[end:]
            if after != before:
                news = {entry.node.start_mark.index: new for entry, new in edits}
                expected = [news.get(index, value) for index, value in _scalars(before)]
                if expected != [value for _, value in _scalars(after)]:
                    what = f"{file.name} cannot be edited without changing more of it than its secrets"
                    raise SlipwayError(what, "nothing was changed", f"write ${{NAME}} there by hand in {file.name}")
                self.found.files[file] = before, after
            for number, line in enumerate(after.splitlines(), 1):
                shown = line.replace("$$", "$")
                for name, value in self.found.secrets.items():
                    if any(len(each) >= SHORTEST_SECRET and each in shown for each in value.splitlines()):
                        self.found.remains[file, number] = name


def _place(service: str, name: str) -> str:
    return f"services.{service}.environment.{name}"


def _entries(file: Path, text: str) -> Iterator[tuple[str, str, _Entry]]:
    """Service, variable and entry of everything in the environments of a file."""
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    for service, node, flow in _pairs(_child(top, "services"), flow=False):
        for key, environment, inside in _pairs(node, flow=flow):
            if key != "environment":
                continue
            for name, value, deep in _pairs(environment, flow=inside):
                if isinstance(value, yaml.ScalarNode):
                    yield service, name, _Entry(file, value, "", deep)
            if isinstance(environment, yaml.SequenceNode):
                for each in environment.value:
                    name, equals, _ = str(each.value).partition("=")
                    if isinstance(each, yaml.ScalarNode) and equals:
                        yield service, name, _Entry(file, each, f"{name}=", inside or bool(environment.flow_style))


def _with_env_file(text: str) -> Iterator[str]:
    """The services that read variables from files of their own."""
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    for service, node, _ in _pairs(_child(top, "services"), flow=False):
        if _child(node, "env_file") is not None:
            yield service


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    return next((value for name, value, _ in _pairs(node, flow=False) if name == key), None)


def _pairs(node: yaml.Node | None, *, flow: bool) -> Iterator[tuple[str, yaml.Node, bool]]:
    """Key, value and whether it stands in braces, of every entry of a mapping: those merged into it, then its own."""
    if not isinstance(node, yaml.MappingNode):
        return
    flow = flow or bool(node.flow_style)
    for key, value in node.value:
        if key.value == "<<":
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _pairs(each, flow=flow)
    for key, value in node.value:
        if key.value != "<<":
            yield str(key.value), value, flow


def _scalars(text: str) -> list[tuple[int, str]]:
    """Every scalar with where it begins, in the order of the file."""
    return [
        (event.start_mark.index if event.start_mark else 0, str(event.value))
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.ScalarEvent)
    ]


def _written(entry: _Entry, source: str, new: str) -> str:
    """`new` as the text of a node, quoted as before where that is still right."""
    found = _PROPERTIES.match(source)
    properties = found[0] if found else ""
    style = entry.node.style
    if style == "'":
        return f"{properties}'{new}'" if "'" not in new else properties + json.dumps(new, ensure_ascii=False)
    block = style in ("|", ">")
    plain = not entry.flow and style != '"' and yaml.safe_load(f"a: {new}") == {"a": new}
    end = source[len(source.rstrip("\n")) :] if block else ""
    return properties + (new if plain else json.dumps(new, ensure_ascii=False)) + (end or "\n" if block else "")
