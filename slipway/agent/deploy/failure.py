"""What a failed deployment does: nothing when nothing was touched, else it rolls back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.crash_report import as_error
from slipway.agent.deadline import Deadline
from slipway.agent.deploy.rollback import clear_first, roll_back_to
from slipway.agent.deploy.volume_age import anonymous_volumes, remove_volumes, with_older_volumes
from slipway.agent.docker.docker_api import DockerUnreachableError
from slipway.agent.drift import drift
from slipway.agent.move.old_project import UNDOING
from slipway.agent.state.owner import forget_owner
from slipway.agent.state.validation_mark import validated_target
from slipway.contract import barriers
from slipway.contract.outcomes import FAILED, RETURNED
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.agent.deploy.attempt import Attempt
    from slipway.agent.state.ledger import Live

__all__ = ["undo", "unfinished"]

_DOCKER_SECONDS, _POLL_SECONDS = 60.0, 0.5


def undo(attempt: Attempt, error: Exception) -> SlipwayError:
    """Leave the host on a release that was proven; the error to end with, which says which one serves."""
    out = attempt.out
    failure = as_error(error, attempt.folder, out.redactor)
    attempt.failed_at = runtime.monotonic()
    attempt.stop.clear()
    with contextlib.suppress(OSError):  # a full disk must not keep the previous release from coming back
        attempt.fleet.publish(barriers.FAILED, out.redactor.brief(failure.what, 500))
    out.progress("failed", failure.what)
    evidence = list(failure.evidence)
    known = True
    try:
        now = _on_to_validated(attempt, _return_with_docker(attempt), evidence)
    except Exception as second:  # noqa: BLE001 - both failures belong in one message
        known = False
        again = as_error(second, attempt.folder, out.redactor)
        now = f"and the rollback failed too ({again.what}), so it is not certain what serves"
        evidence += [f"rollback: {again}", *again.evidence]
    reason = out.redactor.brief(f"{failure.what}; {now}", 1000)
    with contextlib.suppress(OSError):
        back = {} if attempt.back_seconds is None else {"back_seconds": attempt.back_seconds}
        attempt.ledger.append(attempt.release.id, FAILED, reason=reason, **attempt.origin, **back)
        if known:
            attempt.end_journal(FAILED)
        if known and attempt.live is None:
            forget_owner(attempt.folder)
    problem = failure.problems[0]
    with contextlib.suppress(SlipwayError):
        handover = attempt.handover
        if handover and (handover.lost or (not known and handover.old.open)):
            problem = problem._replace(fix="slipway move undo")
        problem = with_older_volumes(problem, evidence, attempt)
    return SlipwayError(problem._replace(meaning=f"{problem.meaning}; {now}", evidence=tuple(evidence)))


def unfinished(attempt: Attempt, error: Exception, watch: Callable[[Attempt], None]) -> SlipwayError:
    """What to end with where the release was recorded, and something after that failed; it is watched all the same."""
    failure = as_error(error, attempt.folder, attempt.out.redactor)
    with contextlib.suppress(OSError):
        attempt.fleet.publish(barriers.FAILED, attempt.out.redactor.brief(failure.what, 500))
    with contextlib.suppress(OSError, SlipwayError):  # the disk or Docker, which may be what failed
        if attempt.deployed or attempt.keeping.kept:
            watch(attempt)
        attempt.end_journal(attempt.outcome)
    problem, now = failure.problems[0], f"release {attempt.release.id} is recorded and serves"
    return SlipwayError(problem._replace(meaning=f"{problem.meaning}; {now}, and the next deployment does the rest"))


def _return_with_docker(attempt: Attempt) -> str:
    """`_return`, once Docker answers: an upgrade of it restarts it."""
    until = runtime.monotonic() + _DOCKER_SECONDS
    while True:
        try:
            return _return(attempt)
        except DockerUnreachableError:
            if runtime.monotonic() > until:
                raise
            runtime.sleep(_POLL_SECONDS)


def _return(attempt: Attempt) -> str:
    """Leave the host as it was; which release serves now, in words."""
    if attempt.undoing:
        return "the undo of the move, which was cut off, is not finished yet"
    if not attempt.touched and attempt.runs_instead:
        return f"the project {attempt.runs_instead} runs, and not this stack"
    if not (attempt.touched or attempt.unfinished):
        return _as_before(attempt)
    handover = attempt.handover
    if handover and handover.old.open and handover.old.proofs in (None, attempt.ledger.proofs):
        deadline = Deadline(attempt.options.deadline, "giving back")
        alone = attempt.live is None or handover.old.alone
        if alone:
            with contextlib.suppress(OSError):  # a full disk must not keep it from coming back
                handover.old.note(UNDOING)
            attempt.runs_instead = handover.old.name
        return handover.give_back(lambda: _take_away(attempt, alone=alone), deadline, stays=not alone)
    return _take_away(attempt, alone=attempt.live is None)


def _as_before(attempt: Attempt) -> str:
    """What serves where nothing was touched, in words."""
    if attempt.live is None:
        return "nothing was started"
    unlike = []
    with contextlib.suppress(SlipwayError):  # it is not Docker's answer that it fails for
        unlike = drift(attempt.live.services, attempt.containers())
    said = "; ".join(f"{each['service']}: {each['what']}" for each in unlike)
    return f"release {attempt.live.release} {f'is as it was ({said})' if said else 'still serves'}"


def _take_away(attempt: Attempt, *, alone: bool) -> str:
    """Leave of this stack what was there before the deployment: when it was `alone`, nothing."""
    if alone or attempt.live is None:
        unnamed = anonymous_volumes(attempt)
        clear_first(attempt)
        remove_volumes(unnamed, attempt)
        return "nothing was live before, so what it had started was removed (volumes stay)"
    return _to_live(attempt, attempt.live)


def _to_live(attempt: Attempt, live: Live) -> str:
    return roll_back_to(attempt, live, now=attempt.document.secrets, proven=attempt.folder.stored_secrets()).said


def _on_to_validated(attempt: Attempt, now: str, evidence: list[str]) -> str:
    """Once what was live is back: go on to the release that was validated last; which serves now, in words."""
    wanted = validated_target(attempt.ledger, attempt.folder, attempt.release.id)
    if wanted is None or attempt.live is None or attempt.runs_instead:
        return now
    attempt.touched = False
    try:
        but = _to_validated(attempt, wanted, attempt.live)
    except Exception as error:  # noqa: BLE001 - what was live serves on, whatever keeps the other from it
        failure = as_error(error, attempt.folder, attempt.out.redactor)
        evidence += [f"rollback to the validated {wanted.release}: {failure}", *failure.evidence]
        serves = _to_live(attempt, attempt.live) if attempt.touched else now
        return f"{serves}; could not roll back to the last validated release {wanted.release} ({failure.what})"
    return (
        f"rolled back to release {wanted.release}, the last validated one, which serves{but} "
        f"(release {attempt.live.release}, live before, is not validated)"
    )


def _to_validated(attempt: Attempt, wanted: Live, live: Live) -> str:
    folder = attempt.folder
    secrets = {**folder.stored_secrets(), **attempt.document.secrets}
    needed = (folder.release(wanted.release) or {}).get("secrets", [])
    missing = sorted(set(needed) - set(secrets))
    if missing:
        raise SlipwayError(
            f"its secrets {', '.join(missing)} no longer have a value",
            "it would run without their values",
            "deploy a release that works",
        )
    attempt.out.progress("back", f"on to {wanted.release}, the last validated release")
    back = roll_back_to(attempt, wanted, now=secrets, proven=secrets, prefix="validated:")
    folder.store_secrets(secrets)
    attempt.ledger.append(
        wanted.release,
        RETURNED,
        reason=f"{attempt.release.id} failed; the last validated release",
        **attempt.origin,
        previous=live.release,
        convergence="",
        services=back.services,
    )
    folder.store_secrets({name: secrets[name] for name in needed})
    attempt.keeping.forget()  # what was kept of it is live again
    return back.but
