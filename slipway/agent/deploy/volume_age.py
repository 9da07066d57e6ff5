"""What the age of a stack's volumes says of a deployment that failed: which it made itself, and which it found."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.agent.deploy.attempt import Attempt

__all__ = ["anonymous_volumes", "remove_volumes", "with_older_volumes"]

_UNNAMED = re.compile(r"[0-9a-f]{64}")
_REFUSED = re.compile(
    r"password authentication failed|Access denied for user|Login failed for user|Authentication failed|WRONGPASS"
    r"|ACCESS_REFUSED",
    re.IGNORECASE,
)
"""What clients of PostgreSQL, MySQL, SQL Server, MongoDB, Redis and RabbitMQ print of a password that is not theirs."""


def anonymous_volumes(attempt: Attempt) -> list[str]:
    """The volumes without a name that this attempt's containers were given: nothing could ask for them again."""
    api = attempt.access.api
    names = {
        str(mount.get("Name"))
        for container in api.containers({PROJECT_LABEL: attempt.folder.stack})
        for mount in container.get("Mounts") or ()
        if _UNNAMED.fullmatch(str(mount.get("Name")))
    }
    return [name for name in sorted(names) if not _is_older(api.volume(name), attempt)]


def remove_volumes(names: Iterable[str], attempt: Attempt) -> None:
    """Remove them; one that is in use stays."""
    for name in names:
        with contextlib.suppress(SlipwayError):
            attempt.access.api.remove_volume(name)


def with_older_volumes(problem: Problem, evidence: Iterable[str], attempt: Attempt) -> Problem:
    """The problem, with the volumes that explain it where a database refused the stack's password."""
    if not _REFUSED.search("\n".join((problem.what, *evidence))):
        return problem
    volumes = attempt.access.api.volumes(attempt.folder.stack)
    older = sorted(str(each["Name"]) for each in volumes if _is_older(each, attempt))
    if not older:
        return problem
    meaning = f"a database keeps the password that its volume was made with ({', '.join(older)} is older than this)"
    fix = "give the secret its earlier value"
    if attempt.live is None:
        fix = f"{fix}, or begin with empty data, on this host: docker volume rm {' '.join(older)}"
    else:
        fix = f"{fix}, or change the password in the database first"
    return problem._replace(meaning=f"{problem.meaning}; {meaning}", fix=fix)


def _is_older(volume: dict[str, Any] | None, attempt: Attempt) -> bool:
    """Whether a volume was there before this attempt began; also where that is not known."""
    try:
        text = re.sub(r"\.\d+", "", str((volume or {})["CreatedAt"])).replace("Z", "+00:00")
        made = datetime.fromisoformat(text).timestamp()
    except (KeyError, ValueError):
        return True
    return made < runtime.time() - (runtime.monotonic() - attempt.begin) - 1  # the engine leaves out fractions
