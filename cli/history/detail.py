"""One entry of the history with all that is known of it: what `slipway show` prints (cli/contract/show.schema.json)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.backend.checkpoints import deployment_in
from cli.history.document import CONTRACT, entry_document
from components.errors import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.history.entry import Entry
    from cli.history.stack_history import StackHistory

__all__ = ["detail_document"]

_OWN = "pulumi:pulumi:Stack"  # changes with every update, because its outputs do


def detail_document(history: StackHistory, entry: Entry) -> dict[str, Any]:
    """`entry` with the engine's resources and the hosts' reports."""
    state = _state(history, entry.number)
    earlier = [each.number for each in history.entries if each.number and entry.number and each.number < entry.number]
    before = _state(history, earlier[-1]) if earlier else {}
    mine = entry.proven and entry.kind != "automatic rollback"
    return {
        "contract": CONTRACT,
        "stack": history.stack,
        "entry": entry_document(history, entry),
        "resources": sorted(_changes(before, state), key=lambda change: change["name"]) if state else [],
        "reports": dict((deployment_in(state) or {}).get("report") or {}) if state and mine else {},
    }


def _state(history: StackHistory, number: int | None) -> Mapping[str, Any]:
    if number is None:
        return {}
    try:
        return history.checkpoints.state(number)
    except SlipwayError:
        return {}  # its backend has dropped it; what else is known is told all the same


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The resources that differ between two states, components and providers aside: they only hold others."""
    old, new = ({each["urn"]: each for each in state.get("resources") or ()} for state in (before, after))
    for urn in {*old, *new}:
        was, now = old.get(urn), new.get(urn)
        known = now or was or {}
        if not known.get("custom") or known["type"] == _OWN or known["type"].startswith("pulumi:providers:"):
            continue
        if was is None or now is None:
            what = "deleted" if now is None else "created"
        elif json.dumps(_shown(was), sort_keys=True) != json.dumps(_shown(now), sort_keys=True):
            what = "replaced" if was.get("id") != now.get("id") else "updated"
        else:
            continue
        yield {"name": urn.rsplit("::", 1)[-1], "type": known["type"], "what": what}


def _shown(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {key: resource.get(key) for key in ("inputs", "outputs")}
