"""Where a stack file is, what it states, and the commands that change a stack's settings.

The engine hands over values only: neither whether somebody wrote them, nor which entries of a mapping are encrypted.
"""

from __future__ import annotations

import json
import re
import shlex
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "StatedSettings", "config_edit", "config_rm", "config_set", "entries_of", "entry", "keyscan", "project_default",
    "read_stack_file", "secrets_adopt", "secrets_import", "set_host_key", "stack_file", "stack_files_folder",
]  # fmt: skip


class StatedSettings(NamedTuple):
    """What a stack file states, by setting; empty when there is none."""

    entries: dict[str, Any]
    others: Mapping[str, Any] = MappingProxyType({})  # by whole key, in other namespaces than the project's
    top: Mapping[str, Any] = MappingProxyType({})  # keys beside `config`: how secrets are encrypted
    unreadable: str = ""  # why it cannot be read, and so states nothing: the engine reports it


def entries_of(stated: object, *, encrypted: bool) -> list[str]:
    """The entries of a stated mapping that are encrypted, or are not; none when it is encrypted as a whole."""
    if not isinstance(stated, dict) or _encrypted(stated):
        return []
    return [name for name, value in stated.items() if _encrypted(value) is encrypted]


def _encrypted(value: object) -> bool:
    """How the engine writes a secret: https://www.pulumi.com/docs/iac/concepts/secrets/."""
    return isinstance(value, dict) and list(value) == ["secure"] and isinstance(value["secure"], str)


def stack_files_folder(root: Path) -> Path:
    """The folder of the stack files: that of Pulumi.yaml, `root`, or the one that its `stackConfigDir` names."""
    try:
        named = str(yaml.safe_load((root / "Pulumi.yaml").read_bytes()).get("stackConfigDir") or "")
        return root / named.lstrip("/")  # the engine joins an absolute one to the root, too
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return root  # the engine reports what is wrong with Pulumi.yaml


def project_default(root: Path, project: str, key: str) -> object:
    """What Pulumi.yaml gives every stack whose file does not state `key`; None when that is nothing."""
    try:
        config = dict(yaml.safe_load((root / "Pulumi.yaml").read_bytes()).get("config") or {})
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError):
        return None  # as above
    found = config.get(f"{project}:{key}", config.get(key))
    return found.get("value", found.get("default")) if isinstance(found, dict) else found


def stack_file(root: Path, stack: str) -> Path:
    """The path of a stack's file, which may not exist yet; `root` is the folder of Pulumi.yaml."""
    return stack_files_folder(root) / f"Pulumi.{stack}.yaml"


def read_stack_file(path: Path, project: str) -> StatedSettings:
    """What the stack file at `path` states."""
    try:
        top = dict(yaml.safe_load(path.read_bytes()) or {})
        config = {str(key): value for key, value in dict(top.pop("config", None) or {}).items()}
    except FileNotFoundError:
        return StatedSettings({})
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        return StatedSettings({}, unreadable=type(error).__name__)
    own = {key: value for key, value in config.items() if key.startswith(f"{project}:")}
    others = {key: value for key, value in config.items() if key not in own}
    return StatedSettings({key.removeprefix(f"{project}:"): value for key, value in own.items()}, others, top)


def config_set(stack: str, key: str, value: str = "", *, secret: bool = False) -> str:
    """The command that sets `key` of a stack; `value` as a shell takes it, also `< FILE`, or `COMMAND |` that gives it.

    Without a value the engine asks; where there is no terminal it would store an empty one, so the shell refuses there.
    """
    value = value or "< /dev/tty"
    source, given, redirection = (
        (value, "", "") if value.endswith(" |") else ("", "", value) if value.startswith("<") else ("", value, "")
    )
    on = f"--stack {shlex.quote(stack)}"
    words = (source, "pulumi config set", "--secret" if secret else "", _named(key), given, on, redirection)
    return " ".join(filter(None, words))


def config_edit(stack: str, key: str) -> str:
    """The commands that change a secret of several lines, in an editor: what the engine asks for is one line."""
    named = f"{_named(key)} --stack {shlex.quote(stack)}"
    return (
        f"export f=$(mktemp) && pulumi config get {named} > $f && ${{EDITOR:-vi}} $f && "
        f"{config_set(stack, key, '< $f', secret=True)} && rm $f"
    )


def config_rm(stack: str, key: str) -> str:
    """The command that removes `key` from a stack's settings."""
    return f"pulumi config rm {_named(key)} --stack {shlex.quote(stack)}"


def secrets_import(stack: str, file: str = ".env", *, empty: bool = False) -> str:
    """The command that sets what a `.env` file holds, as secrets and variables of a stack; the rest `empty`."""
    words = (shlex.quote(file) if file else "", "--empty" if empty else "", f"--stack {shlex.quote(stack)}")
    return " ".join(["slipway secrets import", *filter(None, words)])


def secrets_adopt(stack: str) -> str:
    """The command that turns secrets in plain text in the Compose file into secrets of the stacks."""
    return f"slipway secrets adopt --stack {shlex.quote(stack)}"


def entry(setting: str, name: str) -> str:
    """How the engine's `--path` names an entry of a mapping, whatever its name is."""
    return f"{setting}.{name}" if re.fullmatch(r"[\w-]+", name) else f"{setting}[{json.dumps(name)}]"


def _named(key: str) -> str:
    if not set(key) & set(".["):
        return shlex.quote(key)
    quoted = shlex.quote(key)
    return f"--path {quoted}" if quoted[0] == "'" else f"--path '{quoted}'"


def keyscan(address: str, port: int) -> str:
    """The command that prints the keys which a host shows."""
    return f"ssh-keyscan -p {port} {shlex.quote(address)}"


def set_host_key(stack: str, path: str, address: str, port: int) -> str:
    """The command that pins the key which a host shows; `path` is the host's in the settings."""
    return config_set(stack, f"{path}.hostKey", f'"$({keyscan(address, port)})"')
