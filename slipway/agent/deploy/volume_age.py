"""What the age of a stack's volumes says of a deployment that failed: which it made itself, and which it found."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import unnamed_volume
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.agent.deploy.attempt import Attempt

__all__ = ["anonymous_volumes", "remove_volumes", "with_older_volumes"]

_DATABASES = (
    ("password authentication failed", "postgres|pgdata"),
    ("Access denied for user", "mysql|mariadb"),
    ("Login failed for user", "mssql"),
    ("ACCESS_REFUSED", "rabbitmq"),
    ("Authentication failed", "mongo|^/data/db"),
)
"""What clients print of a password that a database refuses, and where the images of that database keep their data."""


def anonymous_volumes(attempt: Attempt) -> list[str]:
    """The volumes without a name that this attempt's containers were given: nothing could ask for them again."""
    api = attempt.access.api
    names = {
        str(mount.get("Name"))
        for container in api.containers({PROJECT_LABEL: attempt.folder.stack})
        for mount in container.get("Mounts") or ()
        if unnamed_volume(mount)
    }
    return [name for name in sorted(names) if not _is_older(api.volume(name), attempt)]


def remove_volumes(names: Iterable[str], attempt: Attempt) -> None:
    """Remove them; one that is in use stays."""
    for name in names:
        with contextlib.suppress(SlipwayError):
            attempt.access.api.remove_volume(name)


def with_older_volumes(problem: Problem, evidence: Iterable[str], attempt: Attempt) -> Problem:
    """The problem, with the volume that explains it where a database refused the stack's password.

    Only where one volume alone can be that database's does the fix remove it: others hold what nobody asked about.
    """
    text = "\n".join((problem.what, *evidence))
    data = next((where for refusal, where in _DATABASES if re.search(refusal, text, re.IGNORECASE)), None)
    if data is None:
        return problem
    volumes = attempt.access.api.volumes(attempt.folder.stack)
    older = sorted(str(each["Name"]) for each in volumes if _is_older(each, attempt))
    known = sorted(_mounted_at(data, attempt.release.compose).intersection(older))
    if not older:
        return problem
    names = " and ".join(known or older)
    are = "is" if len(known or older) == 1 else "are"
    meaning = (
        f"{problem.meaning}; a database keeps the password that its volume was made with, and {names} {are} older than "
        "this deployment"
    )
    if attempt.live is None and len(known) == 1:
        return problem._replace(
            meaning=f"{meaning}: give the secret its earlier value, or delete that data and begin anew",
            fix=f"docker volume rm {names}",
        )
    fix = "give the secret its earlier value, or change the password in the database first"
    return problem._replace(meaning=meaning, fix=fix)


def _mounted_at(pattern: str, compose: Mapping[str, Any]) -> set[str]:
    """The volumes that a service mounts at such a place."""
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes") or ()]
    keys = {str(each.get("source")) for each in mounts if re.search(pattern, str(each.get("target")))}
    return {str((compose["volumes"].get(key) or {}).get("name") or key) for key in keys}


def _is_older(volume: dict[str, Any] | None, attempt: Attempt) -> bool:
    """Whether a volume was there before this attempt began; also where that is not known."""
    try:
        text = re.sub(r"\.\d+", "", str((volume or {})["CreatedAt"])).replace("Z", "+00:00")
        made = datetime.fromisoformat(text).timestamp()
    except (KeyError, ValueError):
        return True
    return made < runtime.time() - (runtime.monotonic() - attempt.begin) - 1  # the engine leaves out fractions
