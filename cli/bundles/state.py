"""What `pulumi stack export` prints, read.

Owns: where in it resources, times and the release are; whether two of them say the same; giving its resources to a
stack of another name. Does not own: getting or restoring one (see `exporting`, `importing`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cli.backend.checkpoints import deployment_in, live_release_in

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Owner",
    "engine_of",
    "held_by",
    "owner_of",
    "release_id_in",
    "release_in",
    "renamed",
    "resources_of",
    "same",
    "time_of",
    "well_formed",
]

_URN = "urn:pulumi:"  # urn:pulumi:STACK::PROJECT::TYPE::NAME
_ROOT = "pulumi:pulumi:Stack"
_RELEASE = re.compile(r"r-[0-9a-f]{12}")
_CIPHERTEXT = "ciphertext"  # differs each time the engine writes the same secret


class Owner(NamedTuple):
    """Whose resources they are, as their URNs say."""

    stack: str
    project: str


def resources_of(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The resources in a state; none when nothing was deployed yet."""
    found: list[Mapping[str, Any]] = _deployment(state).get("resources") or []
    return found


def time_of(state: Mapping[str, Any]) -> str:
    """When the engine wrote it, RFC 3339; empty when it never did."""
    return str((_deployment(state).get("manifest") or {}).get("time") or "")


def engine_of(state: Mapping[str, Any]) -> str:
    """Version of the engine that wrote it; empty when none did."""
    return str((_deployment(state).get("manifest") or {}).get("version") or "")


def owner_of(state: Mapping[str, Any]) -> Owner | None:
    """Whose resources they are; None when there are none."""
    for resource in resources_of(state):
        head, _, rest = str(resource["urn"]).partition("::")
        return Owner(head.removeprefix(_URN), rest.partition("::")[0])
    return None


def release_in(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The document of the release that is live (deployment.schema.json); None when there is none."""
    try:
        return live_release_in(_deployment(state))
    except (KeyError, TypeError, ValueError):  # of another version of Slipway: it is one more help, not a must
        return None


def release_id_in(state: Mapping[str, Any]) -> str | None:
    """The id of that release; also known where the document is not kept."""
    release = (deployment_in(_deployment(state)) or {}).get("release")
    return release if isinstance(release, str) and _RELEASE.fullmatch(release) else None


def well_formed(state: Any) -> bool:  # noqa: ANN401  # anything may be handed in
    """Whether it is an export of the engine, as far as it is read here."""
    if not isinstance(state, dict) or not isinstance(state.get("deployment"), dict):
        return False
    resources = state["deployment"].get("resources") or []
    return isinstance(resources, list) and all(
        isinstance(each, dict) and str(each.get("urn", "")).startswith(_URN) for each in resources
    )


def held_by(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every resource by its URN and its provider's id, sorted: what must not be lost on the way."""
    return sorted((str(resource["urn"]), str(resource.get("id", ""))) for resource in resources_of(state))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are the state after the same update; ciphertexts differ by nature."""
    return time_of(one) == time_of(other) and _readable(resources_of(one)) == _readable(resources_of(other))


def renamed(state: Mapping[str, Any], old: Owner, new: Owner) -> dict[str, Any]:
    """`state` with its resources given to `new`, as `pulumi stack rename` does it (pkg/resource/edit, RenameStack)."""
    before, after = f"{_URN}{old.stack}::{old.project}::", f"{_URN}{new.stack}::{new.project}::"
    root = f"{before}{_ROOT}::{old.project}-{old.stack}"

    def changed(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
        if isinstance(value, dict):
            return {key: changed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [changed(each) for each in value]
        if value == root:
            return f"{after}{_ROOT}::{new.project}-{new.stack}"
        return after + value[len(before) :] if isinstance(value, str) and value.startswith(before) else value

    given: dict[str, Any] = changed(state)
    return given


def _deployment(state: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = state.get("deployment") or {}
    return found


def _readable(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """`value` without its ciphertexts."""
    if isinstance(value, dict):
        return {key: "" if key == _CIPHERTEXT else _readable(each) for key, each in value.items()}
    return [_readable(each) for each in value] if isinstance(value, list) else value
