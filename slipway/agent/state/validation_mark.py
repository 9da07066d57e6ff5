"""Marks of what was validated: that the tests of a release passed, which this host cannot know by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent.state.ledger import Ledger
from slipway.agent.state.lock import lock
from slipway.contract import CONTRACT
from slipway.contract.outcomes import VALIDATED
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.output import Output
    from slipway.agent.state.ledger import Live
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["mark", "validated_target"]

_LOCK_WAIT = 60.0
_NOTE_LIMIT = 1_000


def mark(folder: StackFolder, release: str, note: str, out: Output, *, actor: str = "") -> dict[str, Any]:
    """Record that `release` is validated; `note` says by what. Twice is fine, and says so.

    Raises:
        SlipwayError: it was never proven here, or was rejected since.
    """
    _require_proven(Ledger(folder.ledger), release)  # before the lock, which would make a folder for any name
    owner = actor or folder.actor()
    with lock(folder.lock, owner=owner, reason=f"mark {release} as {VALIDATED}", wait=_LOCK_WAIT):
        ledger = Ledger(folder.ledger)
        _require_proven(ledger, release)
        validated = ledger.validated()
        changed = validated is None or validated.release != release
        if changed:
            reason = out.redactor.brief(" ".join(note.split()), _NOTE_LIMIT)
            ledger.append(release, VALIDATED, reason=reason, actor=owner)
    return {
        "contract": CONTRACT,
        "stack": folder.stack,
        "release": release,
        "commit": str((folder.release(release) or {}).get("commit", "")),
        "mark": VALIDATED,
        "changed": changed,
    }


def validated_target(ledger: Ledger, folder: StackFolder, failed: str) -> Live | None:
    """The release that a failed deployment of `failed` goes on to, once what was live is back; None for none.

    That is the one validated last, when the live one is not validated itself and the other is still kept here.
    """
    validated, live = ledger.validated(), ledger.live()
    if validated is None or live is None or validated.release == failed:
        return None
    if live.release in ledger.validated_releases():
        return None
    return validated if folder.release(validated.release) is not None else None


def _require_proven(ledger: Ledger, release: str) -> None:
    if release not in ledger.proven_releases():
        raise SlipwayError(
            f"release {release} was never proven on this host",
            "only what ran here and passed its checks can be validated, so nothing was marked",
            "slipway status",
        )
    why = ledger.rejection(release)
    if why is not None:
        raise SlipwayError(
            f"release {release} was rejected on this host: {why}",
            "a release that turned out bad cannot be validated, so nothing was marked",
            "deploy it again, or a release that works",
        )
