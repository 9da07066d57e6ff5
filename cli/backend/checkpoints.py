"""What a backend keeps of a stack: its updates, and the state after each of them.

Owns: getting at them: in a self-managed backend through its objects, because the engine keeps them there but refuses
to export them; from Pulumi Cloud by `pulumi stack export --version`. Also what the deployment noted in them. Secrets in
them stay as they are: encrypted. The updates are read the same way: the engine takes 0.2 s to print what stands there.
Does not own: what is made of it (see `cli/history`, `cli/rollback`).
"""

from __future__ import annotations

import functools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cli.backend.layout import decoded, history_prefix, inflated, names, read, tags_object
from cli.backend.store import backend_url, is_cloud, open_store
from cli.backend.updates import update_of, updates_of
from cli.stack import last_words
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from obstore.store import ObjectStore

    from cli.backend.updates import Update
    from cli.stack import Engine

__all__ = ["Checkpoints", "Noted", "checkpoints_of", "deployment_in", "live_release_in", "noted_in", "release_in"]

_ATTEMPTED = re.compile(rb'"type":\s*"slipway:release:ReleaseRecord"')
_DEPLOYED = re.compile(rb'"type":\s*"slipway:deployment:ComposeDeployment"')
_ABOUT = re.compile(rb'"about":\s*(?=\{)')
_NEXT = re.compile(rb'"urn":\s*"')
_UPDATE = re.compile(r"-(\d+)\.history\.json(?:\.gz|\.zst)?$")  # nanoseconds, always of the same length
_STATE = re.compile(r"-(\d+)\.checkpoint\.json(?:\.gz|\.zst)?$")
_ABOUT_BYTES = 1_000_000  # far above what a release with hundreds of services and hosts takes
_AT_ONCE = 16  # reads of a bucket side by side


class Checkpoints(Protocol):
    """What the backend has of one stack: its updates, the states after them, its tags."""

    def updates(self) -> list[Update]:
        """Every update, oldest first.

        Raises:
            SlipwayError: when they cannot be read.
        """

    def tag(self, name: str) -> str | None:
        """The value of a tag of the stack; None without one."""

    def state(self, number: int) -> dict[str, Any]:
        """The state after update `number`, in the form of `pulumi stack export`'s `deployment`.

        Raises:
            SlipwayError: when it is not there any more, or cannot be read.
        """

    def noted(self, numbers: Iterable[int]) -> dict[int, Noted]:
        """What is noted in the state after each of these updates; nothing where the state is gone.

        Raises:
            SlipwayError: when they cannot be read.
        """


def checkpoints_of(engine: Engine) -> Checkpoints:
    """The states of the stack that `engine` is called for.

    Raises:
        SlipwayError: when its backend cannot be reached.
    """
    url = backend_url(engine)
    if is_cloud(url):
        return _Cloud(engine)
    return _SelfManaged(open_store(url, engine.environment), engine.project, engine.short)


def deployment_in(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The outputs of the deployment in a state (an export's `deployment`); None without one."""
    return _outputs(state, "slipway:deployment:ComposeDeployment")


def release_in(state: Mapping[str, Any], identifier: str) -> Mapping[str, Any] | None:
    """The document of a release in a state: deployed by then, or only attempted; None when it is not there."""
    for kind in ("slipway:deployment:ComposeDeployment", "slipway:release:ReleaseRecord"):
        if text := (_outputs(state, kind) or {}).get("document"):
            document: Mapping[str, Any] = json.loads(text)
            if document["id"] == identifier:
                return document
    return None


def live_release_in(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The document of the release that every host reported last; None without one."""
    deployment = deployment_in(state)
    return release_in(state, str(deployment.get("release"))) if deployment else None


def _outputs(state: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    for resource in state.get("resources") or ():
        if resource.get("type") == kind and resource.get("outputs"):
            outputs: Mapping[str, Any] = resource["outputs"]
            return outputs
    return None


class Noted(NamedTuple):
    """What updates noted in a state (components/release_record.py, components/deployment.py)."""

    attempted: Mapping[str, Any] | None
    """The release that was last meant to be deployed."""
    deployed: Mapping[str, Any] | None
    """The one that every host reported last, with what they reported."""


def noted_in(content: bytes) -> Noted:
    """What a state's JSON says of releases, without decoding all of it: 500 states whole would take seconds."""
    return Noted(*(_about(content, kind) for kind in (_ATTEMPTED, _DEPLOYED)))


def _about(content: bytes, kind: re.Pattern[bytes]) -> Mapping[str, Any] | None:
    """`about`, the first of the outputs of the resource of this type."""
    resource = kind.search(content)
    if resource is None:
        return None
    following = _NEXT.search(content, resource.end())
    about = _ABOUT.search(content, resource.end(), following.start() if following else len(content))
    if about is None:
        return None
    text = content[about.end() : about.end() + _ABOUT_BYTES].decode("utf-8", "replace")
    try:
        found: Mapping[str, Any] = json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return None
    return found


class _SelfManaged:
    def __init__(self, store: ObjectStore, project: str, stack: str) -> None:
        self._store, self._project, self._stack = store, project, stack
        self._prefix = history_prefix(project, stack)

    def updates(self) -> list[Update]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            kept = list(pool.map(lambda name: (name, read(self._store, name)), self._updates))
        return [update_of(number, decoded(name, content)) for number, (name, content) in enumerate(kept, 1) if content]

    def tag(self, name: str) -> str | None:
        place = tags_object(self._project, self._stack)
        content = read(self._store, place)
        found = (decoded(place, content).get("tags") or {}).get(name) if content else None
        return str(found) if found is not None else None

    def state(self, number: int) -> dict[str, Any]:
        name = self._name(number)
        content = read(self._store, name) if name else None
        if name is None or content is None:
            raise SlipwayError(_lost(number, self._stack))
        document = decoded(name, content)
        state: dict[str, Any] | None = (document.get("checkpoint") or {}).get("latest")
        return state or {"resources": []}

    def noted(self, numbers: Iterable[int]) -> dict[int, Noted]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            wanted = list(numbers)
            return dict(zip(wanted, pool.map(self._noted, wanted), strict=True))

    def _noted(self, number: int) -> Noted:
        name = self._name(number)
        content = read(self._store, name) if name else None
        if name is None or content is None:
            return Noted(None, None)
        try:
            return noted_in(inflated(content))
        except ValueError:
            return Noted(None, None)  # cut short; `state` says so to who needs it

    def _name(self, number: int) -> str | None:
        """The object with the state after update `number`."""
        return self._names[number - 1] if 0 < number <= len(self._names) else None

    @functools.cached_property
    def _objects(self) -> list[str]:
        return names(self._store, self._prefix)

    @functools.cached_property
    def _updates(self) -> list[str]:
        """The objects with the updates, oldest first."""
        return sorted(name for name in self._objects if _UPDATE.search(name))

    @functools.cached_property
    def _names(self) -> list[str | None]:
        """The objects with the states, oldest first; each update's two objects have the same time in their names."""
        states = {match[1]: name for name in self._objects if (match := _STATE.search(name))}
        times = [match[1] for name in self._updates if (match := _UPDATE.search(name))]
        return [states.get(time) for time in times]


class _Cloud:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def updates(self) -> list[Update]:
        return updates_of(self._engine)

    def tag(self, name: str) -> str | None:
        done = self._engine.ask("stack", "tag", "get", name)
        return done.stdout.strip() if done.returncode == 0 else None

    def state(self, number: int) -> dict[str, Any]:
        done = self._engine.ask("stack", "export", "--version", str(number))
        if done.returncode != 0:
            lost = _lost(number, self._engine.short)
            raise SlipwayError(lost._replace(what=f"{lost.what} ({last_words(done)})"))
        state: dict[str, Any] = json.loads(done.stdout)["deployment"]
        return state

    def noted(self, numbers: Iterable[int]) -> dict[int, Noted]:
        with ThreadPoolExecutor(4) as pool:  # processes
            wanted = list(numbers)
            return dict(zip(wanted, pool.map(self._noted, wanted), strict=True))

    def _noted(self, number: int) -> Noted:
        try:
            return noted_in(json.dumps(self.state(number), separators=(",", ":")).encode())
        except SlipwayError:
            return Noted(None, None)  # an old version that the service has dropped


def _lost(number: int, stack: str) -> Problem:
    return Problem(
        f"the state after update {number} of stack {stack} is not in the backend",
        "it is not known what was deployed then",
        "slipway history tells the updates; slipway rollback --from FILE takes a bundle or an export",
    )
