"""Rolls back without a driver: what the watch does when the live release turns out bad."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.deadline import Stop
from slipway.agent.deploy.attempt import Attempt
from slipway.agent.deploy.rollback import roll_back_to
from slipway.agent.move.claims import taken_over_by
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.lock import lock
from slipway.contract.deployment import Deployment, Options, Release
from slipway.contract.outcomes import REJECTED, RETURNED, WATCH
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.agent.output import Output
    from slipway.agent.state.ledger import Live
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["roll_back"]

_AT_ONCE = 0.5  # seconds; a probe holds the lock for an instant


def roll_back(order: Mapping[str, Any], folder: StackFolder, why: str, out: Output) -> str:
    """Roll back to the release that was live before the one of `order`; what happened, in words.

    Nothing is done, and nothing said, where a deployment was at work meanwhile: it may have cured what was wrong.
    """
    options = Options(**order["options"])
    begin = runtime.monotonic()
    with lock(folder.lock, owner=WATCH, reason=f"roll back {order['release']}", wait=options.lock_wait):
        if runtime.monotonic() - begin > _AT_ONCE:
            return ""
        ledger = Ledger(folder.ledger)
        live, before = ledger.live(), ledger.before()
        if live is None or live.release != order["release"]:
            return "another release is live by now, so nothing changed"
        release = folder.release(live.release)
        if before is None or release is None:
            raise SlipwayError(
                f"no release is known here to roll back to from {order['release']}",
                "there is none before it, or each turned bad or was rolled back from, so it keeps serving",
                "deploy a release that works",
            )
        secrets = folder.previous_secrets()
        document = Deployment(folder.stack, order["host"], Release.from_json(release), (), secrets, options)
        attempt = Attempt(document, folder, out, Stop(), origin={"actor": WATCH})
        if taken := taken_over_by(folder.stack, attempt.reach().api):
            return f"stack {taken.stack} took over by now, so nothing changed"
        with contextlib.suppress(OSError):  # a full disk must not keep the previous release from coming back
            attempt.begin_journal(before.release, "")
        attempt.failed_at = runtime.monotonic()
        said = roll_back_to(attempt, before, now=secrets, proven=secrets).said
        try:
            _record(attempt, live, before, why)
            folder.store_secrets(secrets)
            attempt.keeping.forget()
            attempt.end_journal(RETURNED)
        except OSError as error:
            said += f"; this host could not record it ({error.strerror}), so it shows as drift from {live.release}"
        return said


def _record(attempt: Attempt, live: Live, before: Live, why: str) -> None:
    attempt.ledger.append(live.release, REJECTED, reason=why, **attempt.origin)
    attempt.ledger.append(
        before.release,
        RETURNED,
        reason=why,
        **attempt.origin,
        previous=live.release,
        convergence="",
        services=before.services,
    )
