"""Stack files: reading one, the text of a new one, and the commands that set what is left.

An edited file is never rewritten here: the engine changes it, by `pulumi config set`.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
import secrets
import shlex
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from slipway.compose.config.missing_values import MANY
from slipway.contract.problems import SlipwayError
from slipway.settings.model import LOCAL_ADDRESS
from slipway.settings.secrets.rules import new_secret
from slipway.settings.setting_files import config_set, entry, read_stack_file, secrets_import, set_host_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from slipway.cli.init.requirements import Requirements

__all__ = [
    "StackFile", "change_commands", "common_compose_file", "default_settings", "left_commands", "new_stack_file",
    "present_file", "shown_command", "stated", "write_all",
]  # fmt: skip

# What the shipped patterns hold where a value belongs, and the settings that they have; a unit test reads them.
_PLACEHOLDER = re.compile(r"YOUR-[A-Z-]+|([A-Z0-9]+-)+ADDRESS")
_PLACEHOLDER_KEYS = ("registry", "registryUsername", "hosts")
_PATTERN_KEYS = {*_PLACEHOLDER_KEYS, "application", "composeFile", "domain", "production", "retention"}
_PATTERN_NAMESPACE = "slipway:"  # `pulumi new` can put a project's name into no key of YAML
_NAMED = 5  # of the values that a file is to have, beside the command that takes it
_PRODUCTION = ("production", "prod")
_RETENTION = {"staging": 3, "production": 10}


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """What a stack file says now."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # encrypted ones too; nothing of a shipped pattern
    top: Mapping[str, Any] = field(default_factory=dict)  # keys beside `config`: how secrets are encrypted
    edited: bool = False  # whether somebody set anything in it; else it may be replaced

    @property
    def hosts(self) -> list[dict[str, Any]]:
        """Its hosts, as far as they can be read."""
        entries = self.settings.get("hosts")
        listed = entries if isinstance(entries, list) else []
        return [each for each in listed if isinstance(each, dict) and "address" in each]

    @property
    def secrets(self) -> set[str]:
        """Names of the secrets that it holds."""
        entries = self.settings.get("secrets")
        return set(entries) - {"secure"} if isinstance(entries, dict) else set()


def present_file(file: Path, project: str) -> StackFile:
    """What the stack file says, nothing when there is none; raises SlipwayError for one that cannot be read."""
    found = read_stack_file(file, project)
    if found.unreadable:
        meaning = "it is not known whether it holds values that somebody set, so nothing was written"
        fix = f"correct {file.name} or move it away, then run it again"
        raise SlipwayError(f"{file.name} cannot be read ({found.unreadable})", meaning, fix)
    settings = {key.removeprefix(_PATTERN_NAMESPACE): value for key, value in found.others.items()} | found.entries
    pattern = settings.keys() <= _PATTERN_KEYS and all(
        _PLACEHOLDER.search(json.dumps(settings.get(key))) for key in _PLACEHOLDER_KEYS
    )
    if pattern or not settings:
        return StackFile(top=found.top)
    return StackFile(settings=found.entries, top=found.top, edited=True)


def stated(files: Iterable[StackFile], key: str) -> str:
    """What the first of these files that sets `key` says; empty when none does."""
    return next((str(each.settings[key]) for each in files if each.settings.get(key)), "")


def common_compose_file(stack: str, others: Mapping[str, StackFile], root: Path, application: Path) -> tuple[Any, str]:
    """The Compose files of a new stack: those of the application's other stacks; and in words which it has otherwise.

    In place of a file that is called after another stack it has the one that is called after itself, if there is one.
    Empty where the others do not agree; one alone is plain text.
    """
    folder = application.resolve()
    own = [
        each.settings for each in others.values() if (root / str(each.settings.get("application"))).resolve() == folder
    ]
    stated = [each.get("composeFile") or [] for each in own]
    lists = [[each] if isinstance(each, str) else each for each in stated]
    found = [{str(name): _own_file(str(name), stack, others, folder) for name in each} for each in lists]
    named = [[mine for mine in each.values() if mine] for each in found]
    if not named or any(each != named[0] for each in named):
        return "", ""
    unlike = {name: mine for each in found for name, mine in each.items() if mine != name}
    said = [f"{mine} in place of {name}" if mine else f"without {name}" for name, mine in unlike.items()]
    return named[0][0] if len(named[0]) == 1 else named[0] or "", ", ".join(said)


def _own_file(name: str, stack: str, others: Iterable[str], folder: Path) -> str:
    """What a stack has in place of a file of others: the same, if that is called after none of them; or nothing."""
    called = [(each, word) for each in others for word in _words(each) if _after(word).search(name)]
    if not called or any(_after(word).search(name) for word in _words(stack)):
        return name
    other, word = called[0]
    own = (_after(word).sub(mine, name) for mine in _words(stack))
    return next((each for each in own if (folder / each).is_file()), name if word != other else "")


def _words(stack: str) -> list[str]:
    """What its files are called after; its name first."""
    return sorted(_PRODUCTION, key=stack.__ne__) if stack in _PRODUCTION else [stack]


def _after(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", re.IGNORECASE)


def default_settings(stack: str) -> dict[str, Any]:
    """What a new stack of this name says beyond what is asked for."""
    production = {"production": True} if stack in _PRODUCTION else {}
    return {**production, **({"retention": _RETENTION[stack]} if stack in _RETENTION else {})}


def new_stack_file(
    project: str,
    stack: str,
    settings: Mapping[str, Any],
    requirements: Requirements,
    top: Mapping[str, Any],
    *,
    notes: Mapping[str, str],
) -> str:
    """The text of a stack file: `settings` in their order, with the commands for what is secret beside it.

    `top` are the keys beside `config` that the engine wrote already; `notes` holds what stands beside a host's key.
    """
    about = f"Stack {stack} of {requirements.name}, written by `slipway init`. Every setting: the README of Slipway."
    lines = [f"# {about}", "config:"]
    for key, value in settings.items():
        if key == "hosts":
            lines += [f"  # {command}" for command in _secret_commands(stack, settings, requirements, StackFile())]
            lines += [f"  {project}:hosts:", *_hosts(value, notes)]
        else:
            lines += textwrap.indent(_yaml({f"{project}:{key}": value}), "  ").splitlines()
    lines += [f"  # {command}" for command in _variable_commands(stack, requirements)]
    return "\n".join([*lines, _yaml(dict(top)) if top else ""])


def _hosts(hosts: Iterable[Mapping[str, Any]], notes: Mapping[str, str]) -> Iterator[str]:
    for host in hosts:
        for line in textwrap.indent(_yaml([dict(host)]), "    ").splitlines():
            note = notes.get(str(host["name"])) if line.lstrip(" -").startswith("hostKey:") else None
            yield f"{line} # {note}" if note else line


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000))


def left_commands(stack: str, settings: Mapping[str, Any], requirements: Requirements, file: StackFile) -> list[str]:
    """The commands that set what the stack lacks: host keys, secrets and variables."""
    pins = [
        set_host_key(stack, f"hosts[{index}]", host["address"], host.get("port", 22))
        for index, host in enumerate(settings.get("hosts") or ())
        if host["address"] != LOCAL_ADDRESS and not host.get("hostKey")
    ]
    return [*pins, *_secret_commands(stack, settings, requirements, file), *_variable_commands(stack, requirements)]


def _secret_commands(
    stack: str, settings: Mapping[str, Any], requirements: Requirements, file: StackFile
) -> Iterator[str]:
    """What nobody may write into a file in the clear."""
    if settings.get("registryUsername") and "registryPassword" not in file.settings:
        yield config_set(stack, "registryPassword", secret=True)
    remote = any(host["address"] != LOCAL_ADDRESS for host in settings.get("hosts") or ())
    if remote and not {"sshKey", "sshKeyFile"} & file.settings.keys():
        yield config_set(stack, "sshKey", "< ~/.ssh/deploy_ed25519", secret=True)
    missing = [name for name in requirements.secrets if name not in file.secrets]
    if _many(requirements):
        names = [*missing, *requirements.variables]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        where = posixpath.normpath(f"{settings.get('application') or '.'}/.env")
        yield f"{secrets_import(stack, where)}  # {', '.join(names[:_NAMED])}{more}"
    else:
        yield from (new_secret(stack, name) for name in missing)


def _variable_commands(stack: str, requirements: Requirements) -> list[str]:
    return (
        [] if _many(requirements) else [config_set(stack, entry("variables", each)) for each in requirements.variables]
    )


def _many(requirements: Requirements) -> bool:
    """Whether a file is the better way to set so many values."""
    return len(requirements.secrets) + len(requirements.variables) > MANY


def change_commands(settings: Mapping[str, Any], file: StackFile) -> list[tuple[str, ...]]:
    """The engine's commands that make an edited file say `settings`, without `pulumi` and `--stack`."""
    before = dict(_leaves(file.settings))
    changes = [
        ("config", "set", "--path", path, value)
        for path, value in _leaves(settings)
        if value and before.get(path) != value
    ]
    lists = {key: value for key, value in settings.items() if isinstance(value, list) and value}
    superfluous = [
        ("config", "rm", "--path", f"{key}[{index}]")
        for key, value in lists.items()
        if isinstance(stated := file.settings.get(key), list)
        for index in reversed(range(len(value), len(stated)))
    ]
    forms = {
        key for key, value in settings.items() if isinstance(value, list) != isinstance(file.settings.get(key), list)
    }
    replaced = [("config", "rm", key) for key in sorted(forms) if settings[key] and file.settings.get(key)]
    return [*replaced, *changes, *superfluous]


def shown_command(command: Iterable[str], stack: str) -> str:
    """A command of the engine as somebody would type it."""
    return " ".join(map(_quoted, ("pulumi", *command, "--stack", stack)))


def _quoted(word: str) -> str:
    """A word for a shell; on one line and printable, whatever a host's `.env` gave."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = ("\\" + each if each in "\\'" else each if each.isprintable() else f"\\U{ord(each):08x}" for each in word)
    return f"$'{''.join(escaped)}'"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401  # whatever YAML holds
    """Every plain value with its path, as `pulumi config set --path` takes it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, entry(path, str(key)) if path else str(key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, f"{path}[{index}]")
    else:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)


def write_all(files: Mapping[Path, str], *, failed: str = "no file was changed") -> None:
    """Write every file whole, and the folders that are missing.

    Raises:
        SlipwayError: all had to stay as they were; `failed` is what that means.
    """
    suffix = f".{secrets.token_hex(4)}.partial"
    partials = {file: file.with_name(file.name + suffix) for file in files}
    before = {file: file.read_bytes() if file.is_file() else None for file in files}
    replaced: list[Path] = []
    file = next(iter(files), None)
    try:
        for file, partial in partials.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(files[file], encoding="utf-8")
            if before[file] is not None:
                partial.chmod(file.stat().st_mode & 0o777)
        for file, partial in partials.items():
            partial.replace(file)
            replaced.append(file)
    except OSError as error:
        for each in replaced:
            each.unlink() if before[each] is None else each.write_bytes(before[each] or b"")
        what = f"{file} cannot be written ({error.strerror or error})"
        fix = "make its folder writable (ls -ld shows whose it is), then run it again"
        raise SlipwayError(what, failed, fix) from None
    finally:
        for partial in partials.values():
            with contextlib.suppress(OSError):  # where its folder could not be made
                partial.unlink(missing_ok=True)
