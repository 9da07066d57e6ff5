"""What `pulumi stack export` prints, and how a stack's file says that it is encrypted."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from slipway.contract.problems import SlipwayError
from slipway.releases.backend.checkpoints import live_release_in

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Owner", "encryption_in", "owner_of", "release_in", "renamed", "resources_of", "same", "state_in", "written"]

_URN = "urn:pulumi:"  # urn:pulumi:STACK::PROJECT::TYPE::NAME
_CIPHERTEXT = re.compile(r'"ciphertext": "[^"]*"')  # differs each time the engine writes the same secret
_ENCRYPTION = ("secretsprovider", "encryptedkey", "encryptionsalt")  # keys of a stack's file


class Owner(NamedTuple):
    """Whose resources they are, as their URNs say."""

    stack: str
    project: str


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
        "give a file that slipway export or pulumi stack export made",
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


def release_in(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The document of the release that is live (deployment.schema.json); None when there is none."""
    try:
        return live_release_in(state["deployment"])
    except (KeyError, TypeError, ValueError):  # written by another version of Slipway; a bundle is of use without it
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
