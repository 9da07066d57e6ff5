"""`.env` files: what they hold, as Compose reads them, and which of it is secret."""

from __future__ import annotations

import contextlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import yaml

from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.model import PREFIX
from slipway.settings.rules.stack import is_variable_name
from slipway.settings.secrets.rules import named_like_a_secret, why_not_plain, why_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator, Mapping
    from pathlib import Path

__all__ = [
    "PROJECT",
    "Dotenv",
    "DotenvEntry",
    "dotenv_entries",
    "of_the_machine",
    "parsed_dotenv",
    "plain_places",
    "read_dotenv",
    "unusable_lines",
    "written_dotenv",
]

# What Docker, BuildKit and Compose read themselves, but those that say which application it is (COMPOSE_FILE and the
# like); DOCKER_IMAGE is the application's. And what has the loader, git, ssh, shells and interpreters run others; not
# GIT_TOKEN and the like. https://docs.docker.com/compose/how-tos/environment-variables/envvars/,
# https://docs.docker.com/reference/cli/docker/#environment-variables, and what earlier releases of both read.
_OF_THE_MACHINE = re.compile(
    r"""(?x)
    COMPOSE_(?: ANSI | API_VERSION | BAKE | COMPATIBILITY | CONVERT_WINDOWS_PATHS | DISABLE_ENV_FILE | DOCKER_CLI_BUILD
      | ENV_FILES | EXPERIMENTAL\w* | FORCE_WINDOWS_HOST | HTTP_TIMEOUT | IGNORE_ORPHANS | INTERACTIVE_NO_CLI | MENU
      | PARALLEL_LIMIT | PROGRESS | PROJECT_DIR(?:ECTORY)? | PROJECT_NAME | REMOVE_ORPHANS | STATUS_STDOUT
      | TLS_VERSION )
    | DOCKER_(?: API_VERSION | AUTH_CONFIG | BUILDKIT | CERT_PATH | CLI_(?:EXPERIMENTAL|HINTS|PLUGIN\w*) | CONFIG
      | CONTENT_TRUST(?:_\w+)? | CONTEXT | CUSTOM_HEADERS | DEFAULT_PLATFORM | HIDE_LEGACY_COMMANDS | HOST
      | SCAN_SUGGEST | TLS | TLS_VERIFY )
    | BUILDKIT_(?: COLORS | HOST | PROGRESS | TTY_LOG_LINES ) | BUILDX_\w+
    | PATH | HOME | PWD | TMPDIR | SHELL | IFS
    | (?:LD|DYLD)_\w+ | GLIBC_TUNABLES | GCONV_PATH | LOCPATH
    | BASH_ENV | BASH_FUNC_\S+ | SHELLOPTS | BASHOPTS | PROMPT_COMMAND | PS4
    | GIT_(?: CONFIG\w* | SSH\w* | EXEC_PATH | PROXY_COMMAND | ASKPASS | EXTERNAL_DIFF | TEMPLATE_DIR | \w*EDITOR
      | \w*PAGER | DIR | WORK_TREE | INDEX_FILE | OBJECT_DIRECTORY | ALLOW_PROTOCOL | TRACE\w* )
    | SSH_(?: ASKPASS\w* | AUTH_SOCK | COMMAND )
    | PYTHON(?: PATH | HOME | STARTUP | USERBASE | BREAKPOINT | WARNINGS | INSPECT )
    | PERL5(?: LIB | OPT | DB ) | RUBY(?: LIB | OPT ) | GODEBUG""",
    re.ASCII,
)

PROJECT = "COMPOSE_PROJECT_NAME"
_NAME_OF_HOSTS = re.compile(r"(?<![\w-])\0(?=[-_])")  # a network's or container's begins with the project's

# What follows is as in Compose's own parser and template (compose-go: dotenv/parser.go, template/template.go).
_SPACE = "\t\v\f\r \x85\xa0"
_TRAILING = _SPACE + "\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_GAP = re.compile(rf"(?:[{_SPACE}\n]|#[^\n]*)*")
_NAME = re.compile(rf"(?:export[\t\f\r ]+)?([\w.\[\]-]+)[{_SPACE}]*(?:[=:][{_SPACE}]*|(\n|\Z))")
_QUOTED = re.compile(r"(?s)\"((?:\\.|[^\"\\])*)\"|'((?:\\.|[^'\\])*)'")
_SPECIAL = re.compile(r"[\\\"$]")
_ESCAPE = re.compile(r"\\(?:([abfnrtv$\\])|0(\d{0,3}))", re.ASCII)
_MEANT = dict(zip("abfnrtv$\\", ("\a", "\b", "\f", "\n", "\r", "\t", "\v", "$$", "\\"), strict=True))
_REFERENCE = re.compile(r"\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+?])|(?=\})))", re.ASCII)
_BRACE = re.compile(r"(?s)\{.?|\}")  # what follows one that opens is not looked at
# Keys of a Compose file with a value that Docker, the edge or the files beside it are told.
_PLAIN_KEYS = frozenset(
    {"image", "platform", "ports", "expose", "container_name", "hostname", "domainname", "user", "volumes", "networks",
     "deploy", "route", "redirect", "preview", "context", "dockerfile", "name", "extra_hosts", "file", "restart",
     "profiles", "device", "devices", "mem_limit", "cpus", "shm_size", "tmpfs", "working_dir", "args", "labels",
     "annotations", "driver_opts", "logging"},
)  # fmt: skip
_PLAIN = ("DOMAIN", "COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR", "COMPOSE_PROFILES")
_DEPTH = 20  # of references in defaults
_MOST = 4_000_000  # characters: values that refer to one another grow faster than any file


class Dotenv(NamedTuple):
    """A `.env` file."""

    values: dict[str, str]
    """Name → value as written, without its quotes; `dotenv_entries` puts in place what it refers to."""
    problems: list[Problem]
    """Lines that Compose cannot read."""
    verbatim: frozenset[str] = frozenset()
    """Names whose values stand in single quotes, in which nothing is substituted."""
    lines: Mapping[str, int] = MappingProxyType({})
    """Name → number of its line."""
    bare: tuple[int, ...] = ()
    """Numbers of the lines that name a variable and give it no value."""
    broken: tuple[int, ...] = ()
    """Numbers of the lines that `problems` are about."""


class DotenvEntry(NamedTuple):
    """A variable of a `.env` file."""

    name: str
    value: str
    """With the values of what it refers to."""
    secret: str
    """Why it is one; empty when it is none."""


def dotenv_entries(
    dotenv: Dotenv,
    known: Mapping[str, str],
    secrets: Mapping[str, str],
    plain: Container[str] = (),
    *,
    project: Callable[[str], str] | None = None,
) -> Iterator[DotenvEntry]:
    """What the file holds, in its order, settings aside; `known` values and `secrets` are what it may refer to.

    All is secret that is not evidently plain, or declared so: a name in `plain` is, unless name or form say otherwise.
    `project` says, for the name of a variable, what names on the hosts in its value begin with in place of the
    file's COMPOSE_PROJECT_NAME; all else derived from that stays: databases and buckets are called so.

    Raises:
        SlipwayError: values refer to one another so often that they would fill the memory.
    """
    values, hidden, budget, before = {**known, **secrets}, set(secrets), [_MOST], ""
    for name in dotenv.values:
        if name.startswith(PREFIX):
            continue
        used, text = set[str](), dotenv.values[name]
        values[name] = text if name in dotenv.verbatim else _expanded(text, values, used, budget)
        value = values[name]
        if project and name != "DOMAIN" and _NAME_OF_HOSTS.search(value):
            value = _NAME_OF_HOSTS.sub(project(name), value)
        value = value.replace("\0", before)
        names = ", ".join(sorted(used & hidden))
        why = why_secret(name, value) or (f"it holds {names}" if names else "")
        why = why or ("" if name in plain or name in _PLAIN else why_not_plain(name, value))
        (hidden.add if why else hidden.discard)(name)
        yield DotenvEntry(name, value, why)
        if project and name == PROJECT and value:
            before, values[name] = value, "\0"


def plain_places(folder: Path, names: Collection[str] = ()) -> set[str]:
    """Variables of the Compose files in a folder, and of those with these `names`, that stand where no secret may.

    In an image's name, ports, routes, mounts, labels, build arguments and the like; not in what a container gets.
    """
    found, files = set[str](), {*folder.glob("*compose*.y*ml"), *(folder / name for name in names)}
    for file in files:
        with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
            found |= set(_open_references(yaml.safe_load(file.read_text(encoding="utf-8"))))
    return found


def _open_references(node: object, *, plain: bool = False) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key != "environment" and not (plain and named_like_a_secret(str(key))):
                yield from _open_references(value, plain=plain or key in _PLAIN_KEYS)
    elif isinstance(node, list):
        for each in node:
            yield from _open_references(each, plain=plain)
    elif plain and isinstance(node, str):
        yield from (found[1] or found[2] for found in _REFERENCE.finditer(node) if found[1] or found[2])


def of_the_machine(name: str) -> bool:
    """Whether a variable is about the machine that runs Docker, and none of the application."""
    return bool(_OF_THE_MACHINE.fullmatch(name))


def written_dotenv(values: Mapping[str, str]) -> bytes:
    """A `.env` file in which Compose reads these values; without those whose names nothing can refer to."""
    written = {name: _SPECIAL.sub(r"\\\g<0>", value).replace("\r", r"\r") for name, value in values.items()}
    lines = [f'{name}="{value}"\n' for name, value in written.items() if is_variable_name(name, secret=False)]
    return "".join(lines).encode("utf-8", "surrogateescape")


def unusable_lines(dotenv: Dotenv, name: str) -> list[Problem]:
    """What keeps the file from becoming part of a stack: nothing of it may be lost, or be taken for a name.

    What stands there may be a piece of a key: it is not repeated.
    """
    if dotenv.problems and not dotenv.broken:
        return dotenv.problems
    found = dict.fromkeys((*dotenv.broken, *dotenv.bare), "is not NAME=VALUE")
    for each, value in dotenv.values.items():
        if not is_variable_name(each, secret=False):
            found.setdefault(dotenv.lines[each], "names no variable")
        elif "\0" in value:
            found.setdefault(dotenv.lines[each], "holds a zero byte")
        elif each == "secure":
            found.setdefault(dotenv.lines[each], "is called `secure`, by which Pulumi knows encrypted values")
    fix = "correct it, or put # before it"
    return [Problem(f"{name}: line {line} {what}", "it would be lost", fix) for line, what in sorted(found.items())]


def _expanded(text: str, known: Mapping[str, str], used: set[str], budget: list[int], depth: int = 0) -> str:
    """`text` as Compose reads it; adds the names whose values are in it to `used`, and takes its length off `budget`.

    What refers to a name that is not known stays as it is: Compose would leave it empty, which nobody means.
    """
    pieces, at, closings = list[str](), 0, _closings(text) if depth < _DEPTH else {}
    for found in _REFERENCE.finditer(text):
        start, (plain, braced, operator) = found.start(), found.groups()
        if start < at:
            continue  # of a default
        end = closings.get(start + 1, 0) if braced else found.end()
        if end < found.end():
            continue  # no template
        default, value = text[found.end() : end - 1], known.get(plain or braced or "")
        if operator and "\n" in default:
            continue
        given = value is not None and (value != "" or not (operator or "").startswith(":"))
        if not (plain or braced):
            new = "$"
        elif (operator or "").endswith("+" if given else "-"):
            new = _expanded(default, known, used, budget, depth + 1)
        elif given and value is not None:
            new = value
            used.add(plain or braced)
        else:
            new = "" if (operator or "").endswith("+") else text[start:end]
        pieces += text[at:start], new
        at = end
        budget[0] -= len(new) + 1
        if budget[0] < 0:
            what = f"the values of the .env are more than {_MOST:,} characters, once they hold what they refer to"
            raise SlipwayError(what, "nobody means that", "write those values out in it")
    return "".join([*pieces, text[at:]])


def _closings(text: str) -> dict[int, int]:
    """Where braces begin → where they end; those that nothing closes, at the last that could."""
    found, opened = dict[int, int](), list[int]()
    for brace in _BRACE.finditer(text):
        if brace[0] != "}":
            opened.append(brace.start())
        elif opened:
            found[opened.pop()] = brace.end()
    return {**dict.fromkeys(opened, text.rfind("}") + 1), **found}


def read_dotenv(path: Path) -> Dotenv:
    """A `.env` file; an empty one when there is none."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Dotenv({}, [])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        what = f"{path.name} cannot be read ({reason})"
        return Dotenv({}, [Problem(what, "its values would be missing", f"correct {path.name}")])
    return parsed_dotenv(text, path.name)


def parsed_dotenv(text: str, name: str = ".env") -> Dotenv:
    """The text of a `.env` file; problems call it by `name`."""
    values, broken, verbatim, lines, bare = dict[str, str](), [], set[str](), dict[str, int](), []
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    at, line, counted = 0, 1, 0
    while (gap := _GAP.match(text, at)) and (at := gap.end()) < len(text):
        line, counted = line + text.count("\n", counted, at), at
        found = _NAME.match(text, at)
        quoted = _QUOTED.match(text, found.end()) if found and found[2] is None else None
        end = (text.find("\n", at) + 1 or len(text) + 1) - 1
        if found is None or (not quoted and found[2] is None and text[found.end() : found.end() + 1] in ('"', "'")):
            broken.append(line)
            at = end
            continue
        key, lines[found[1]], at = found[1], line, quoted.end() if quoted else end
        if found[2] is not None:
            bare.append(line)
            values.setdefault(key, "")
            continue
        verbatim.discard(key)
        if not quoted:
            values[key] = text[found.end() : end].partition(" #")[0].rstrip(_TRAILING)
        elif quoted[1] is None:
            values[key] = quoted[2].replace("\\'", "'")
            verbatim.add(key)
        else:
            values[key] = _ESCAPE.sub(_character, quoted[1].replace('\\"', '"'))
    meaning, fix = "its values would be missing", "correct it, or put # before it"
    problems = [Problem(f"{name}: line {each} is not NAME=VALUE", meaning, fix) for each in broken]
    return Dotenv(values, problems, frozenset(verbatim), lines, tuple(bare), tuple(broken))


def _character(escape: re.Match[str]) -> str:
    letter, octal = escape.groups()
    if letter:
        return _MEANT[letter]
    return chr(int(octal, 8)) if re.fullmatch("[0-3][0-7]{2}", octal) else "\\" + octal
