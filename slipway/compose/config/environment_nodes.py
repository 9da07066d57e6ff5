"""Where the variables of services are written in a Compose file, and how another text is written in their place."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import yaml

from slipway.settings.secrets.forms import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "REFERENCE",
    "WrittenVariable",
    "edited",
    "env_files",
    "only_in_env_file",
    "scalars",
    "texts_of",
    "top_node",
    "value_of",
    "with_reference",
    "written_variables",
]

REFERENCE = re.compile(r"\$\$|\$\{?([A-Za-z_]\w*)(?:(:?-)((?:[^{}$]|\$\$|\$(?![A-Za-z_{$]))*))?\}?", re.ASCII)
"""To a variable, with its default."""
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # of a node: its anchor and tag


class WrittenVariable(NamedTuple):
    """A variable of a service as it is written in a file."""

    file: Path
    node: yaml.ScalarNode
    key: str  # `NAME=` in a list, else empty
    flow: bool  # whether it stands in braces or brackets

    @property
    def raw(self) -> str:
        """Its value, references as they are."""
        return str(self.node.value)[len(self.key) :]


def top_node(text: str) -> yaml.Node | None:
    """What the text of a file holds, with where everything stands; raises `yaml.YAMLError`."""
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return node


def written_variables(file: Path, top: yaml.Node | None) -> Iterator[tuple[str, str, WrittenVariable]]:
    """Service, variable and entry of everything in the environments of a file."""
    for service, node, flow in _pairs(_child(top, "services"), flow=False):
        for key, environment, inside in _pairs(node, flow=flow):
            if key != "environment":
                continue
            for name, value, deep in _pairs(environment, flow=inside):
                if isinstance(value, yaml.ScalarNode):
                    yield service, name, WrittenVariable(file, value, "", deep)
            if isinstance(environment, yaml.SequenceNode):
                for each in environment.value:
                    name, equals, _ = str(each.value).partition("=")
                    if isinstance(each, yaml.ScalarNode) and equals:
                        yield (
                            service,
                            name,
                            WrittenVariable(file, each, f"{name}=", inside or bool(environment.flow_style)),
                        )


def texts_of(files: Sequence[Path]) -> dict[Path, str | None]:
    """Texts of Compose files, and of all that they name; None of what cannot be read, as one of a repository."""
    texts: dict[Path, str | None] = {}
    left = [*files]
    while left:
        if (file := left.pop(0)) in texts:
            continue
        try:
            texts[file] = text = file.read_text(encoding="utf-8")
            top = top_node(text)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            texts[file] = None
            continue
        included = [each for entry in _items(_child(top, "include")) for each in _items(_child(entry, "path") or entry)]
        extended = (
            _child(_child(node, "extends"), "file") for _, node, _ in _pairs(_child(top, "services"), flow=False)
        )
        left += [file.parent / str(each.value) for each in (*included, *extended) if each is not None]
    return texts


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else [node] if node else []


def value_of(reference: re.Match[str], variables: Mapping[str, str]) -> tuple[str | None, bool]:
    """The value of a reference, and whether that is its default."""
    given = variables.get(reference[1] or "")
    if reference[2] and (given is None or (given == "" and reference[2] == ":-")):
        return reference[3].replace("$$", "$"), True
    return given, False


def env_files(top: yaml.Node | None) -> Iterator[tuple[str, str]]:
    """Service and path of every file with variables of its own."""
    for service, node, _ in _pairs(_child(top, "services"), flow=False):
        for each in _items(_child(node, "env_file")):
            yield service, str((_child(each, "path") or each).value)


def only_in_env_file(files: Sequence[Path], service: str, name: str) -> bool:
    """Whether a service has a variable from an `env_file` alone, over which a value of the stack's wins."""
    try:
        tops = [(file, top_node(file.read_text(encoding="utf-8"))) for file in files]
        written = {each[:2] for file, top in tops for each in written_variables(file, top)}
        return (service, name) not in written and any(service in dict(env_files(top)) for _, top in tops)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False


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


def scalars(text: str) -> list[tuple[int, str]]:
    """Every scalar with where it begins, in the order of the file."""
    return [
        (event.start_mark.index if event.start_mark else 0, str(event.value))
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.ScalarEvent)
    ]


def edited(text: str, edits: Sequence[tuple[WrittenVariable, str]]) -> str:
    """The text of a file with other texts in the place of variables; empty where more of it would change."""
    after = text
    for written, new in sorted(edits, key=lambda edit: -edit[0].node.start_mark.index):
        start, end = written.node.start_mark.index, written.node.end_mark.index
        after = after[:start] + _written_instead(written, text[start:end], new) + after[end:]
    news = {each.node.start_mark.index: new for each, new in edits}
    expected = [news.get(index, value) for index, value in scalars(text)]
    return after if expected == [value for _, value in scalars(after)] else ""


def _written_instead(entry: WrittenVariable, source: str, new: str) -> str:
    """`new` as the text of a node, quoted as before where that is still right."""
    found = _PROPERTIES.match(source)
    properties = found[0] if found else ""
    style = entry.node.style
    if style == "|" and "\n" in new:
        header, _, body = source.partition("\n")
        indent = body[: len(body) - len(body.lstrip(" "))]
        lines = (f"{indent}{line}" if line else "" for line in new.rstrip("\n").split("\n"))
        return "\n".join((header, *lines)) + source[len(source.rstrip("\n")) :]
    if style == "'":
        return f"{properties}'{new}'" if "'" not in new else properties + json.dumps(new, ensure_ascii=False)
    block = style in ("|", ">")
    plain = not entry.flow and style != '"' and yaml.safe_load(f"a: {new}") == {"a": new}
    end = source[len(source.rstrip("\n")) :] if block else ""
    return properties + (new if plain else json.dumps(new, ensure_ascii=False)) + (end or "\n" if block else "")


def with_reference(raw: str, text: str, value: str, variable: str, reference: str) -> str:
    """What is written of a variable with a reference in place of its secret value; empty where that is not in it.

    `${NAME:-…}` stays, for stacks that have a value of their own.
    """
    written = value.replace("$", "$$")
    if value != text and f":{written}@" in raw:
        return raw.replace(f":{written}@", f":{reference}@", 1)
    if variable:
        default = re.search(rf"(?<=\$\{{{variable})(:?-){re.escape(written)}\}}", raw)
        return f"{raw[: default.end(1)]}{reference}{raw[default.end() - 1 :]}" if default else ""
    if value != text:
        new = replaced(raw, written, reference)
        return new if new != raw else ""
    return reference if raw.replace("$$", "$") == text and not REFERENCE.search(raw.replace("$$", "")) else ""
