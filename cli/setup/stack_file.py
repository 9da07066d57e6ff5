"""Stack files as `slipway init` writes them: YAML with the commands for what is secret beside it.

Owns: the form of a new stack file, what a file already says, and telling one that still is the shipped pattern. Does
not own: what the settings mean (see components/settings.py), or writing to disk (see `writing`).
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "StackValues",
    "Stated",
    "contradictions",
    "default_settings",
    "read_stated",
    "rendered",
    "secret_commands",
]

# What the shipped patterns hold where a value belongs.
_PLACEHOLDER = re.compile(r"YOUR-[A-Z-]+|([A-Z0-9]+-)+ADDRESS")
_RETENTION = {"staging": 3, "production": 10}
_PRODUCTION = ("production", "prod")


@dataclass(frozen=True, kw_only=True)
class StackValues:
    """What a stack file is to say, by setting; only what is not the default."""

    stack: str
    settings: Mapping[str, Any]
    """Setting → value, in the order in which they are written; `variables` holds those that have one."""
    secrets: Sequence[str] = ()
    """Names of the secrets that the Compose file needs."""
    variables: Sequence[str] = ()
    """Names of the variables that still have no value."""

    @property
    def remote(self) -> bool:
        """Whether any of its hosts is another machine."""
        return any(host["address"] != "local" for host in self.settings["hosts"])


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a stack file says now."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Setting → value, placeholders left out, encrypted values as the engine writes them."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Keys of other namespaces (`aws:region`), as they stand."""
    top: Mapping[str, Any] = field(default_factory=dict)
    """Keys beside `config`: how secrets are encrypted, environments."""
    filled: bool = False
    """Whether it holds somebody's values rather than the shipped pattern."""

    @property
    def secrets(self) -> set[str]:
        """Names of the secrets that it holds."""
        entries = self.settings.get("secrets")
        return set(entries) - {"secure"} if isinstance(entries, dict) else set()


def read_stated(file: Path, project: str) -> Stated:
    """What the stack file says; nothing when there is none.

    Raises:
        SlipwayError: when it cannot be read, or is not YAML.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.safe_load(text) or {}
        config = content.get("config") or {}
        shipped = any(_placeholders(value) for value in config.values())
    except FileNotFoundError:
        return Stated()
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise SlipwayError(
            Problem(
                f"{file.name} cannot be read ({type(error).__name__})",
                "it is not known whether it holds somebody's values, so nothing was written",
                f"correct {file.name} or move it away, then run it again",
            )
        ) from None
    prefix = f"{project}:"
    own = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    settings = {key: value for key, value in own.items() if not _pattern(key, value, shipped=shipped)}
    # The shipped patterns are written for the project's first name; under another one the engine does not see them.
    ours = prefix if not shipped else (prefix, "slipway:")
    return Stated(
        settings=settings,
        others={key: value for key, value in config.items() if not key.startswith(ours)},
        top={key: value for key, value in content.items() if key != "config"},
        filled=bool(own) and not shipped,
    )


def _pattern(key: str, value: Any, *, shipped: bool) -> bool:  # noqa: ANN401  # whatever YAML holds
    """Whether a value says nothing about anybody's stack."""
    if _placeholders(value):
        return True
    return shipped and key in ("application", "domain", "retention", "production") and not _encrypted(value)


def _placeholders(value: Any) -> bool:  # noqa: ANN401  # as above
    if isinstance(value, dict):
        return any(_placeholders(each) for each in value.values())
    if isinstance(value, list):
        return any(_placeholders(each) for each in value)
    return isinstance(value, str) and _PLACEHOLDER.search(value) is not None


def _encrypted(value: object) -> bool:
    return isinstance(value, dict) and "secure" in json.dumps(value)


def secret_commands(values: StackValues, stated: Stated) -> list[str]:
    """The commands that set what the stack still lacks and nobody may write into a file in the clear."""
    stack = f"--stack {values.stack}"
    commands = []
    if values.settings.get("registryUsername") and "registryPassword" not in stated.settings:
        commands.append(f"pulumi config set --secret registryPassword {stack}")
    key_given = {"sshKey", "sshKeyFile"} & {*stated.settings, *values.settings}
    if values.remote and not key_given:
        commands.append(f"pulumi config set --secret sshKey {stack} < ~/.ssh/deploy_ed25519")
    commands += [
        f"openssl rand -base64 24 | pulumi config set --secret --path 'secrets.{name}' {stack}"
        for name in values.secrets
        if name not in stated.secrets
    ]
    return commands


def default_settings(stack: str) -> dict[str, Any]:
    """What a stack of this name is told beyond what is asked for."""
    production = {"production": True} if stack in _PRODUCTION else {}
    return {**production, **({"retention": _RETENTION[stack]} if stack in _RETENTION else {})}


def rendered(values: StackValues, stated: Stated, *, project: str, application: str, notes: Mapping[str, str]) -> str:
    """The text of the stack file; what `stated` says beyond `values` is kept.

    Args:
        values: what it is to say.
        stated: what it says now.
        project: name of the Pulumi project, the namespace of its settings.
        application: name of the application, for people.
        notes: host → what stands beside its key.
    """
    lines = [
        f"# Stack {values.stack} of {application}, written by `slipway init`. Every setting: README.md, Settings.",
        "config:",
    ]
    commands = secret_commands(values, Stated())
    for key, value in values.settings.items():
        if key == "hosts":
            lines += [f"  # {command}" for command in commands]
            lines += [f"  {project}:hosts:", *_hosts(value, notes)]
        else:
            lines += _entry(f"{project}:{key}", value)
    lines += [
        f"  # pulumi config set --path 'variables.{name}' VALUE --stack {values.stack}" for name in values.variables
    ]
    kept = {f"{project}:{key}": value for key, value in stated.settings.items() if key not in values.settings}
    for key, value in {**kept, **stated.others}.items():
        lines += _entry(key, value)
    for key, value in stated.top.items():
        lines += yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=1000).splitlines()
    return "\n".join(lines) + "\n"


def _hosts(hosts: Iterable[Mapping[str, Any]], notes: Mapping[str, str]) -> list[str]:
    lines = []
    for host in hosts:
        text = yaml.safe_dump([dict(host)], sort_keys=False, allow_unicode=True, width=1000)
        for line in textwrap.indent(text, "    ").splitlines():
            note = notes.get(str(host["name"])) if line.lstrip(" -").startswith("hostKey:") else None
            lines.append(f"{line} # {note}" if note else line)
    return lines


def _entry(key: str, value: Any) -> list[str]:  # noqa: ANN401  # whatever a setting holds
    text = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=1000)
    return textwrap.indent(text, "  ").splitlines()


def contradictions(values: StackValues, stated: Stated) -> list[str]:
    """The settings that a file says otherwise than asked; numbers may have become text, which the engine does."""
    return [key for key, value in values.settings.items() if not _same(value, stated.settings.get(key))]


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401  # whatever a setting holds
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same(value, other.get(key)) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return str(one).lower() == str(other).lower()
