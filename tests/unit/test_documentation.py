"""What the documentation says about the program is what the program says.

`.venv/bin/python tests/unit/test_documentation.py` writes the README's tables anew.
"""

import ast
import re
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import typer.main
import yaml
from pydantic import BaseModel, SecretStr
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from slipway.cli.command_groups import COMMANDS
from slipway.cli.main import app
from slipway.settings.blocks.github import GitHubSettings, ReviewerSettings, RulesetSettings
from slipway.settings.blocks.hetzner import HetznerSettings, ServerSettings, VolumeSettings
from slipway.settings.model import PREFIX, BastionSettings, HostSettings, known_keys
from slipway.settings.quantities import Kind
from slipway.x_slipway.routing import RateLimit, Redirect, Route
from slipway.x_slipway.service import CommandCheck, HttpCheck, Migrate, ServiceExtension, TcpCheck
from slipway.x_slipway.update_config import Canary

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CHANGELOG.md", CONTRIBUTING]


# --- tables

_NONE = "\N{EN DASH}"
_PLAIN: dict[object, str] = {
    str: "text", int: "integer", bool: "boolean", Path: "path", SecretStr: "text", dict: "mapping",
}  # fmt: skip


def _type(annotation: object) -> str:
    """An annotation in words, as a person who writes YAML thinks of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Annotated, Union, types.UnionType):
        return _type(next(argument for argument in arguments if argument is not type(None)))
    if origin is list:
        return f"list of {_type(arguments[0])}s"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "block"
    return _PLAIN.get(origin or annotation, "any")


def _type_of(field: FieldInfo) -> str:
    kinds = [rule.name for rule in field.metadata if isinstance(rule, Kind)]
    return (kinds[0] if kinds else _type(field.annotation)) + _range(field)


def _range(field: FieldInfo) -> str:
    limits = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    if len(limits) == 2:
        return f", {limits['ge']:,}{_NONE}{limits['le']:,}"
    return f", at least {limits['ge']:,}" if limits else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, SecretStr):
        return _NONE
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return _NONE if value in (None, "", [], {}) or isinstance(value, BaseModel) else f"`{value}`"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _fields(model: type[BaseModel], prefix: str, *, camel: bool) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = field.alias if field.alias and not camel else (to_camel(name) if camel else name)
        yield _row(f"`{prefix}{key}`", _type_of(field), _default(field), str(field.description))


def settings_table() -> str:
    rows = [_row("setting", "type", "default", "meaning", "in the environment"), _row(*["---"] * 5)]
    for key, field in known_keys().items():
        variable = PREFIX + re.sub(r"(?<!^)(?=[A-Z])", "_", key).upper()
        secret = ", secret" if "SecretStr" in str(field.annotation) else ""
        kind = _type_of(field) + secret
        rows.append(_row(f"`{key}`", kind, _default(field), str(field.description), f"`{variable}`"))
    return "\n".join(rows)


def hosts_table() -> str:
    rows = [_row("key of a host", "type", "default", "meaning"), _row(*["---"] * 4)]
    rows += [row for row in _fields(HostSettings, "", camel=True) if "`bastion`" not in row]
    rows += _fields(BastionSettings, "bastion.", camel=True)
    return "\n".join(rows)


def github_table() -> str:
    rows = [_row("key of `github`", "type", "default", "meaning"), _row(*["---"] * 4)]
    blocks = ("| `reviewers` ", "| `ruleset` ")
    rows += [row for row in _fields(GitHubSettings, "", camel=True) if not row.startswith(blocks)]
    rows += _fields(ReviewerSettings, "reviewers.", camel=True)
    rows += _fields(RulesetSettings, "ruleset.", camel=True)
    return "\n".join(rows)


def hetzner_table() -> str:
    rows = [_row("key of `hetzner`", "type", "default", "meaning"), _row(*["---"] * 4)]
    blocks = ("| `servers` ", "| `servers[].volume` ")
    rows += [row for row in _fields(HetznerSettings, "", camel=True) if not row.startswith(blocks)]
    rows += [row for row in _fields(ServerSettings, "servers[].", camel=True) if not row.startswith(blocks)]
    rows += _fields(VolumeSettings, "servers[].volume.", camel=True)
    return "\n".join(rows)


def extension_table() -> str:
    rows = [_row("key of `x-slipway`", "type", "default", "meaning"), _row(*["---"] * 4)]
    blocks = tuple(f"| `{key}` " for key in ("redirect", "rateLimit", "canary", "migrate"))
    rows += [row for row in _fields(ServiceExtension, "", camel=False) if not row.startswith(blocks)]
    rows += _fields(Route, "route[].", camel=False)
    rows += _fields(Redirect, "redirect[].", camel=False)
    rows += _fields(RateLimit, "rateLimit.", camel=False)
    rows += _fields(Canary, "canary.", camel=False)
    rows += _fields(Migrate, "migrate.", camel=False)
    rows += _fields(HttpCheck, "smoke[].http.", camel=False)
    rows += _fields(TcpCheck, "smoke[].tcp.", camel=False)
    rows += _fields(CommandCheck, "smoke[].command.", camel=False)
    return "\n".join(rows)


TABLES = {
    "settings": settings_table, "hosts": hosts_table, "hetzner": hetzner_table, "github": github_table,
    "x-slipway": extension_table,
}  # fmt: skip


def _section(text: str, name: str) -> re.Match[str]:
    found = re.search(rf"<!-- table: {name} -->\n((?:[^<].*\n)*)<!-- end -->", text)
    assert found, f"README.md has no place for the table '{name}'"
    return found


@pytest.mark.parametrize("name", TABLES)
def test_the_readmes_tables_are_those_of_the_program(name: str) -> None:
    assert _section(README.read_text(), name)[1] == TABLES[name]() + "\n", (
        f".venv/bin/python {Path(__file__).relative_to(ROOT)}"
    )


def test_pulumi_yaml_has_every_setting_with_its_meaning_and_default() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert list(declared) == list(known_keys())
    for key, field in known_keys().items():
        assert declared[key]["description"] == field.description, key
        secret = "SecretStr" in str(field.annotation)
        assert declared[key].get("secret", False) == secret, key
        default = field.get_default(call_default_factory=True, validated_data={})
        expected = "" if isinstance(default, SecretStr) else str(default) if isinstance(default, Path) else default
        expected = expected.model_dump(exclude_defaults=True) if isinstance(expected, BaseModel) else expected
        assert declared[key]["default"] == expected, key


# --- error texts

_ENOUGH = 10  # characters that are fixed in what happened: fewer would match any error


_STACK = r" --stack [\w./'-]+"
_SET = r"pulumi config set (?:--secret )?(?:--path )?[^ ]+"
_COMMANDS = {  # what makes a command → the command, and nothing behind it
    "config_set": _SET + _STACK + " < /dev/tty",
    "set_host_key": _SET + r" \"\$\(ssh-keyscan [^)]+\)\"" + _STACK,
    "new_secret": rf"(?:openssl rand -hex 24 \| {_SET}{_STACK}|{_SET}{_STACK} < /dev/tty)",
    "config_rm": r"pulumi config rm (?:--path )?[^ ]+" + _STACK,
}


def _pattern(node: ast.expr, names: Mapping[str, Sequence[ast.expr]]) -> str:  # noqa: PLR0911  # a return per kind
    """The texts that an expression can give, as a regular expression; what only a run knows is `.*`.

    `names` are the values that names of its function are given.
    """
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _pattern(node.value, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _pattern(node.left, names) + _pattern(node.right, names)
    if isinstance(node, ast.IfExp):
        return f"(?:{_pattern(node.body, names)}|{_pattern(node.orelse, names)})"
    if isinstance(node, ast.Name) and node.id in names:
        others = {name: values for name, values in names.items() if name != node.id}
        return f"(?:{'|'.join(_pattern(value, others) for value in names[node.id])})"
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and len(node.args) == _WITHOUT_VALUE[node.func.id]
    ):
        return _COMMANDS[node.func.id]
    return ".*"


_WITHOUT_VALUE = defaultdict(lambda: -1, {"config_set": 2, "set_host_key": 4, "new_secret": 2, "config_rm": 2})


def _given(function: ast.AST) -> dict[str, list[ast.expr]]:
    """Name → the values that a function assigns to it; none of names that it changes in other ways."""
    found: dict[str, list[ast.expr]] = {}
    other = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=False))
                for name, value in pairs:
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(value)
                    else:
                        other |= {each.id for each in ast.walk(name) if isinstance(each, ast.Name)}
        elif isinstance(node, (ast.AugAssign, ast.For, ast.comprehension, ast.NamedExpr)):
            other |= {each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.arg):
            other.add(node.arg)
    return {name: values for name, values in found.items() if name not in other}


def _errors() -> Iterator[str]:
    """A regular expression for every error that components, agent and commands can give: what, meaning, fix."""
    for file in sorted(file for folder in ("components", "slipway") for file in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(file.read_text())
        inside = {
            id(node): function
            for function in ast.walk(tree)
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and len(node.args) >= 3 and not isinstance(node.args[0], ast.Starred):
                about = isinstance(node.func, ast.Attribute) and node.func.attr == "about"
                names = _given(inside[id(node)]) if id(node) in inside else {}
                what, meaning, fix = (_pattern(each, names) for each in node.args[about : 3 + about])
                if about:
                    what = f"{_pattern(node.args[0], names)}: {what}"
                if len(re.sub(r"\.\*|\\", "", what)) >= _ENOUGH and not re.fullmatch(what, "any: text"):
                    # the agent adds to the meaning which release serves now
                    yield f"slipway: error: {what} — {meaning}(?:; .*)? — {fix}"


def _shown_errors() -> list[str]:
    pages = [page.read_text() for page in PAGES]
    return [line for page in pages for line in page.splitlines() if line.startswith("slipway: error: ")]


@pytest.fixture(scope="module")
def errors() -> list[re.Pattern[str]]:
    return [re.compile(pattern) for pattern in _errors()]


@pytest.mark.parametrize("line", _shown_errors(), ids=lambda line: line.removeprefix("slipway: error: ")[:40])
def test_every_error_that_is_shown_is_one_that_the_program_gives(line: str, errors: list[re.Pattern[str]]) -> None:
    assert any(pattern.fullmatch(line) for pattern in errors)


@pytest.mark.parametrize(
    "topic", ["variable", "secret", "cache", "database", "smoke check", "host key", "disk", "host does not answer"]
)
def test_the_readme_says_what_to_do_when_it_goes_wrong(topic: str) -> None:
    headings = re.findall(r"^### (.+)$", README.read_text(), re.MULTILINE)
    assert any(topic in heading for heading in headings)


# --- commands and files


def test_every_command_and_option_is_documented() -> None:
    program = typer.main.get_command(app)
    documented = "".join(page.read_text() for page in PAGES)
    for name in COMMANDS:
        each = program.get_command(None, name)  # type: ignore[attr-defined]
        assert f"slipway {name}" in documented
        for parameter in (one for one in each.params if one.param_type_name == "option"):
            assert any(f"`{option}" in documented for option in parameter.opts), f"{name} {parameter.opts}"


_SHOWN = re.compile(r"^(?:\$ |- run: )?(?:uv run (?:--no-sync )?|\.venv/bin/)?slipway ([a-z-]+)((?: .*|$))")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_in_a_code_block_exists(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    commands = {name: group.get_command(None, name) for name in group.list_commands(None)}
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in re.sub(r"(\\\n|\n  +(?=\[))", " ", block).splitlines():
            if found := _SHOWN.match(line.strip()):
                name, rest = found[1], re.split(r"  #| -- | \| [a-z]", found[2])[0]
                assert name in commands, line
                known = {option for each in commands[name].params for option in each.opts} | {"--help", "-h"}
                assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest)) <= known, line


_GENERATED = ("dev/bench/results.md",)  # by `make bench`; not there before the first run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target or target in _GENERATED:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


_NAMED = re.compile(r"(?<![\w./~-])(?:(?:slipway|components|dev|tests|docs)/[\w./-]*|[A-Z][\w.]*\.(?:md|yaml))")


@pytest.mark.parametrize("page", [CONTRIBUTING, *sorted((ROOT / "docs/adr").glob("*.md"))], ids=lambda page: page.name)
def test_every_path_of_the_tree_that_is_named_exists(page: Path) -> None:
    named = {path.rstrip(".") for path in _NAMED.findall(page.read_text())}
    assert [path for path in sorted(named) if not list(ROOT.glob(path.rstrip("/")))] == []


def test_contributing_names_the_files_of_every_kind_of_change() -> None:
    for kind in ("setting", "strategy", "command", "check to doctor"):
        section = CONTRIBUTING.read_text().partition(f"\n## Add a {kind}\n")[2].partition("\n## ")[0]
        assert len(_NAMED.findall(section)) >= 4, kind


def test_decisions_are_numbered_without_gaps_and_say_context_decision_and_consequences() -> None:
    records = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
        assert headings[:3] == ["Context", "Decision", "Consequences"], record.name


if __name__ == "__main__":
    text = README.read_text()
    for each, table in TABLES.items():
        found = _section(text, each)
        text = text[: found.start(1)] + table() + "\n" + text[found.end(1) :]
    README.write_text(text)


def test_what_the_readme_shows_after_make_up_needs_nothing_on_path() -> None:
    section = README.read_text().partition("\n## Try it\n")[2].partition("\n## ")[0]
    commands = re.findall(
        r"^(?:\$ )?([\w./]+) ", "\n".join(re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)), re.MULTILINE
    )
    assert {name for name in commands if name in ("uv", "pulumi", "slipway")} == set()
    assert ".venv/bin/slipway status --stack local" in section
