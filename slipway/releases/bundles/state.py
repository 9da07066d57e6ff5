"""A stack's state as the engine exports it, and how a stack's file says that it is encrypted."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from slipway.contract.commands import of_stack
from slipway.contract.problems import SlipwayError
from slipway.releases.engine import output_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from slipway.releases.engine import Engine

__all__ = [
    "Owner", "answer", "encryption_in", "exported_state", "owner_of", "renamed", "resources_of", "same", "state_in",
    "written",
]  # fmt: skip

_STACK_NOT_FOUND = 6  # the engine's exit code (sdk/go/common/util/cmdutil/exit.go)

_URN = "urn:pulumi:"  # urn:pulumi:STACK::PROJECT::TYPE::NAME
_CIPHERTEXT = re.compile(r'"ciphertext": "[^"]*"')  # differs each time the engine writes the same secret
_ENCRYPTION = ("secretsprovider", "encryptedkey", "encryptionsalt")  # keys of a stack's file


class Owner(NamedTuple):
    """Whose resources they are, as their URNs say."""

    stack: str
    project: str


def exported_state(engine: Engine) -> dict[str, Any] | None:
    """What `pulumi stack export` prints, secrets encrypted; None when there is no such stack."""
    done = engine.ask("stack", "export")
    if done.returncode == _STACK_NOT_FOUND:
        return None
    state: dict[str, Any] = json.loads(_output(engine, done, "nothing was changed"))
    return state


def answer(engine: Engine, meaning: str, *arguments: str) -> str:
    """What `pulumi ARGUMENTS` prints for the stack; `meaning` is what it means when that fails."""
    return _output(engine, engine.ask(*arguments), meaning)


def _output(engine: Engine, done: subprocess.CompletedProcess[str], meaning: str) -> str:
    meaning += (
        ": PULUMI_CONFIG_PASSPHRASE may be wrong, the state elsewhere, or another update at work "
        "(`pulumi cancel` removes the lock of one that is gone)"
    )
    fix = of_stack("pulumi whoami --verbose && slipway lock", engine.stack)
    if done.returncode == _STACK_NOT_FOUND:
        meaning, fix = engine.absent()
    return output_of(done, f"pulumi {' '.join(done.args[1:3])} failed on stack {engine.short}", meaning, fix)


def state_in(content: bytes, place: str) -> dict[str, Any]:
    """The state in `content`, as the engine exports it; `place` is what an error calls it."""
    try:
        state: dict[str, Any] = json.loads(content)
        if all(each["urn"].startswith(_URN) for each in resources_of(state)):
            return state
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise SlipwayError(
        f"{place} is neither a bundle nor an export of the engine",
        "nothing was changed",
        "give a file that `slipway export` or `pulumi stack export` made",
    )


def resources_of(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The resources in a state; none when nothing was deployed yet."""
    return state["deployment"].get("resources") or []


def written(state: Mapping[str, Any], what: str) -> str:
    """The `time` (RFC 3339) when the engine wrote it, or the `version` of the engine; empty when none ever did."""
    return str((state["deployment"].get("manifest") or {}).get(what) or "")


def owner_of(state: Mapping[str, Any]) -> Owner | None:
    """Whose resources they are; None when there are none."""
    for resource in resources_of(state):
        stack, project = resource["urn"].removeprefix(_URN).split("::")[:2]
        return Owner(stack, project)
    return None


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are the state after the same update; ciphertexts differ by nature."""
    texts = [_CIPHERTEXT.sub("", json.dumps(resources_of(each), sort_keys=True)) for each in (one, other)]
    return written(one, "time") == written(other, "time") and texts[0] == texts[1]


def renamed(state: Mapping[str, Any], old: Owner, new: Owner) -> dict[str, Any]:
    """`state` with its resources given to `new`, as `pulumi stack rename` does it (pkg/resource/edit, RenameStack)."""
    before, after = (f'"{_URN}{each.stack}::{each.project}::' for each in (old, new))
    was, now = (f'{after}pulumi:pulumi:Stack::{each.project}-{each.stack}"' for each in (old, new))
    given: dict[str, Any] = json.loads(json.dumps(state).replace(before, after).replace(was, now))
    return given


def encryption_in(content: bytes, place: str) -> dict[str, str]:
    """How the secrets of a stack with this file are encrypted: secretsprovider, encryptedkey, encryptionsalt."""
    try:
        found = yaml.safe_load(content) or {}
        known = {key: str(found[key]) for key in _ENCRYPTION if found.get(key)}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError):
        raise SlipwayError(
            f"{place} is not a stack's file", "its encryption cannot be compared", f"fix {place}, or move it away"
        ) from None
    return {key: value for key, value in known.items() if (key, value) != ("secretsprovider", "passphrase")}
