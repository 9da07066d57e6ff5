"""What a backend keeps of a stack: its updates, the state after each of them, its tags.

A self-managed backend is read through its objects: the engine keeps earlier states there, but does not export them.
Pulumi Cloud is read by the engine's commands. Secrets stay encrypted.
"""

from __future__ import annotations

import functools
import json
import re
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.problems import SlipwayError
from slipway.releases.backend.store import backend_url, is_cloud, names, open_store, read
from slipway.releases.engine import output_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from obstore.store import ObjectStore

    from slipway.releases.engine import Engine

__all__ = [
    "Checkpoints", "ReleaseRecords", "StackUpdate", "checkpoints_of", "deployment_in", "live_release_in", "records_in",
    "release_in",
]  # fmt: skip

_DEPLOYMENT, _RECORD = "slipway:deployment:ComposeDeployment", "slipway:release:ReleaseRecord"
_ABOUT = re.compile(rb'"about":\s*(?=\{)')
_UPDATE = re.compile(r"-(\d+)\.history\.json(?:\.gz|\.zst)?$")  # STACK-NANOSECONDS: names sort by time
_STATE = re.compile(r"-(\d+)\.checkpoint\.json(?:\.gz|\.zst)?$")
_ABOUT_BYTES = 1_000_000  # far above what a release with hundreds of services and hosts takes
_ALL = 1_000_000  # updates on the one page that is asked for


@dataclass(frozen=True, kw_only=True)
class StackUpdate:
    """One update, preview aside, as the engine knows it."""

    number: int
    """1 for the oldest; Pulumi Cloud's own version there."""
    kind: str
    """The engine's: update, refresh, destroy, import, …"""
    result: str
    """succeeded, failed or in-progress."""
    began: datetime
    ended: datetime | None
    message: str
    environment: Mapping[str, str]
    """What the engine noted of the machine, the source and the CI system."""
    changes: Mapping[str, int]
    """Resources by what happened to them."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.ended - self.began).total_seconds() if self.ended else None


class ReleaseRecords(NamedTuple):
    """What updates recorded of releases in a state (components/release_record.py, components/deployment.py)."""

    attempted: Mapping[str, Any] | None = None
    """The release that was last meant to be deployed."""
    deployed: Mapping[str, Any] | None = None
    """The one that every host reported last, with what they reported."""


class Checkpoints(ABC):
    """What the backend has of one stack."""

    at_once = 16
    """Reads side by side: of objects in a bucket."""

    @abstractmethod
    def updates(self) -> list[StackUpdate]:
        """Every update, oldest first. Raises `SlipwayError` when they cannot be read."""

    @abstractmethod
    def tag(self, name: str) -> str | None:
        """The value of a tag of the stack; None without one."""

    @abstractmethod
    def content(self, number: int) -> bytes | None:
        """The JSON that holds the state after update `number`; None when it is not there any more."""

    def state(self, number: int) -> dict[str, Any]:
        """The state after update `number`, as `pulumi stack export` has it. Raises `SlipwayError` without it."""
        document = _decoded(self.content(number))
        if not document:
            raise SlipwayError(
                f"the state after update {number} is not in the stack's backend, or is damaged there",
                "it is not known what was deployed then; `slipway rollback --from FILE` takes a bundle or an export",
                "slipway history",
            )
        return document.get("deployment") or (document.get("checkpoint") or {}).get("latest") or {}

    def release_records(self, numbers: Sequence[int]) -> dict[int, ReleaseRecords]:
        """What is recorded in the state after each of these updates; nothing where the state is gone or damaged."""
        with ThreadPoolExecutor(self.at_once) as pool:
            found = pool.map(lambda number: records_in(self.content(number) or b""), numbers)
            return dict(zip(numbers, found, strict=True))


def checkpoints_of(engine: Engine) -> Checkpoints:
    """The states of the stack that `engine` is called for. Raises `SlipwayError` when its backend cannot be reached."""
    url = backend_url(engine)
    if is_cloud(url):
        return _Cloud(engine)
    return _SelfManaged(open_store(url, engine.environment), engine.project, engine.short)


def deployment_in(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The outputs of the deployment in a state (an export's `deployment`); None without one."""
    return _outputs(state, _DEPLOYMENT)


def release_in(state: Mapping[str, Any], identifier: str) -> Mapping[str, Any] | None:
    """The document of a release in a state: deployed by then, or only attempted; None when it is not there."""
    for kind in (_DEPLOYMENT, _RECORD):
        if text := (_outputs(state, kind) or {}).get("document"):
            document: Mapping[str, Any] = json.loads(text)
            if document["id"] == identifier:
                return document
    return None


def live_release_in(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The document of the release that every host reported last; None without one that this version can read."""
    try:
        return release_in(state, str((deployment_in(state) or {})["release"]))
    except (KeyError, TypeError, ValueError):
        return None


def _outputs(state: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    found = (each.get("outputs") for each in state.get("resources") or () if each.get("type") == kind)
    return next(filter(None, found), None)


def records_in(content: bytes) -> ReleaseRecords:
    """What a state's JSON says of releases, without decoding all of it: 500 states whole would take seconds."""
    return ReleaseRecords(_about(content, _RECORD), _about(content, _DEPLOYMENT))


def _about(content: bytes, kind: str) -> Mapping[str, Any] | None:
    """`about`, the first of the outputs of the resource of this type."""
    found = re.search(rb'"type":\s*"%s"' % kind.encode(), content)
    resource = content[found.end() :].partition(b'"urn":')[0] if found else b""  # up to the next one
    about = _ABOUT.search(resource)
    text = resource[about.end() : about.end() + _ABOUT_BYTES] if about else b""
    try:
        recorded: Mapping[str, Any] = json.JSONDecoder().raw_decode(text.decode("utf-8", "replace"))[0]
    except ValueError:  # it is not there, or damaged
        return None
    return recorded


class _SelfManaged(Checkpoints):
    def __init__(self, store: ObjectStore, project: str, stack: str) -> None:
        self._store, self._project, self._stack = store, project, stack

    def updates(self) -> list[StackUpdate]:
        with ThreadPoolExecutor(self.at_once) as pool:
            kept = [_decoded(each) for each in pool.map(lambda pair: read(self._store, pair[0]), self._objects)]
        return [_update(number, each) for number, each in enumerate(kept, 1) if each]

    def tag(self, name: str) -> str | None:
        kept = _decoded(read(self._store, f".pulumi/stacks/{self._project}/{self._stack}.pulumi-tags"))
        return (kept.get("tags") or {}).get(name)

    def content(self, number: int) -> bytes | None:
        name = self._objects[number - 1][1] if 0 < number <= len(self._objects) else None
        return read(self._store, name) if name else None

    @functools.cached_property
    def _objects(self) -> list[tuple[str, str | None]]:
        """Every update's object, oldest first, and the one with the state after it: the same time is in their names."""
        found = names(self._store, f".pulumi/history/{self._project}/{self._stack}/")
        states = {match[1]: name for name in found if (match := _STATE.search(name))}
        return [(name, states.get(match[1])) for name in found if (match := _UPDATE.search(name))]


class _Cloud(Checkpoints):
    at_once = 4  # processes

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def updates(self) -> list[StackUpdate]:
        printed = output_of(
            self._engine.ask("stack", "history", "--json", "--page-size", str(_ALL), "--page", "1"),
            f"the engine cannot read the history of stack {self._engine.short}",
            "it is not known what was deployed",
            "pulumi login && pulumi stack ls",
        )
        # The engine prints null, or a sentence, for a stack without updates.
        newest_first = json.loads(printed) if printed.lstrip().startswith("[") else []
        return [_update(number, each) for number, each in enumerate(reversed(newest_first), 1)]

    def tag(self, name: str) -> str | None:
        done = self._engine.ask("stack", "tag", "get", name)
        return done.stdout.strip() if done.returncode == 0 else None

    def content(self, number: int) -> bytes | None:
        done = self._engine.ask("stack", "export", "--version", str(number))
        return done.stdout.encode() if done.returncode == 0 else None


def _decoded(content: bytes | None) -> dict[str, Any]:
    """An object's JSON; empty when there is none, or it is damaged."""
    try:
        found = json.loads(content or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _update(position: int, known: Mapping[str, Any]) -> StackUpdate:
    """One update as the engine prints it, or as a backend keeps it (times are seconds of the epoch then)."""
    began, ended = _moment(known.get("startTime")), _moment(known.get("endTime"))
    return StackUpdate(
        number=known.get("version") or position,  # a self-managed backend says 0 of all of them
        kind=known["kind"],
        result=known.get("result", "in-progress"),
        began=began or datetime.fromtimestamp(0, UTC),
        ended=ended if ended and began and ended >= began else None,
        message=known.get("message") or "",
        environment=known.get("environment") or {},
        changes=known.get("resourceChanges") or {},
    )


def _moment(known: str | int | None) -> datetime | None:
    if not known:
        return None
    return datetime.fromtimestamp(known, UTC) if isinstance(known, int) else datetime.fromisoformat(known)
