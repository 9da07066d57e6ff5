"""The state of a stack after each of its updates.

Owns: getting at them: in a self-managed backend through its objects, because the engine keeps them there but refuses
to export them; from Pulumi Cloud by `pulumi stack export --version`. Also what the deployment noted in them. Secrets in
them stay as they are: encrypted. Does not own: what is made of it (see `cli/history`, `cli/rollback`).
"""

from __future__ import annotations

import functools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from cli.backend.layout import decoded, history_prefix, names, read
from cli.backend.store import backend_url, is_cloud, open_store
from cli.stack import last_words
from components.errors import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from obstore.store import ObjectStore

    from cli.stack import Engine

__all__ = ["Checkpoints", "about_in", "checkpoints_of", "deployment_in"]

_TYPE = "slipway:deployment:ComposeDeployment"  # components/deployment.py; importing it would import the engine's SDK
_RESOURCE = re.compile(rb'"type":\s*"slipway:deployment:ComposeDeployment"')
_ABOUT = re.compile(rb'"about":\s*(?=\{)')
_NEXT = re.compile(rb'"urn":\s*"')
_UPDATE = re.compile(r"-(\d+)\.history\.json(?:\.gz|\.zst)?$")  # nanoseconds, always of the same length
_STATE = re.compile(r"-(\d+)\.checkpoint\.json(?:\.gz|\.zst)?$")
_AT_ONCE = 16  # reads of a bucket side by side


class Checkpoints(Protocol):
    """The states of one stack."""

    def state(self, number: int) -> dict[str, Any]:
        """The state after update `number`, in the form of `pulumi stack export`'s `deployment`.

        Raises:
            SlipwayError: when it is not there any more, or cannot be read.
        """

    def about(self, numbers: Iterable[int]) -> dict[int, Mapping[str, Any] | None]:
        """What the deployment noted in the state after each of these updates; None without one.

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
    """The outputs of the deployment in a state (`resources` of an export's `deployment`); None without one."""
    for resource in state.get("resources") or ():
        if resource.get("type") == _TYPE and resource.get("outputs"):
            outputs: Mapping[str, Any] = resource["outputs"]
            return outputs
    return None


def about_in(content: bytes) -> Mapping[str, Any] | None:
    """What the deployment noted in a state, without reading all of the state; None without a deployment.

    `about` is the first of the deployment's outputs, so that it is found from there on: decoding 500 states whole takes
    seconds.
    """
    resource = _RESOURCE.search(content)
    if resource is None:
        return None
    following = _NEXT.search(content, resource.end())
    about = _ABOUT.search(content, resource.end(), following.start() if following else len(content))
    if about is None:
        return None
    text = content[about.end() : about.end() + 1_000_000].decode("utf-8", "replace")
    try:
        found: Mapping[str, Any] = json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return None
    return found


class _SelfManaged:
    def __init__(self, store: ObjectStore, project: str, stack: str) -> None:
        self._store, self._stack = store, stack
        self._prefix = history_prefix(project, stack)

    def state(self, number: int) -> dict[str, Any]:
        name = self._name(number)
        content = read(self._store, name) if name else None
        if name is None or content is None:
            raise SlipwayError(_lost(number, self._stack))
        document = decoded(name, content)
        state: dict[str, Any] | None = (document.get("checkpoint") or {}).get("latest")
        return state or {"resources": []}

    def about(self, numbers: Iterable[int]) -> dict[int, Mapping[str, Any] | None]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            wanted = list(numbers)
            return dict(zip(wanted, pool.map(self._about, wanted), strict=True))

    def _about(self, number: int) -> Mapping[str, Any] | None:
        name = self._name(number)
        content = read(self._store, name) if name else None
        if name is None or content is None:
            return None
        if not name.endswith(".json"):
            content = json.dumps(decoded(name, content), separators=(",", ":")).encode()
        return about_in(content)

    def _name(self, number: int) -> str | None:
        """The object with the state after update `number`."""
        return self._names[number - 1] if 0 < number <= len(self._names) else None

    @functools.cached_property
    def _names(self) -> list[str | None]:
        """The objects with the states, oldest first; each update's two objects have the same time in their names."""
        found = names(self._store, self._prefix)
        updates = sorted(match[1] for name in found if (match := _UPDATE.search(name)))
        states = {match[1]: name for name in found if (match := _STATE.search(name))}
        return [states.get(time) for time in updates]


class _Cloud:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def state(self, number: int) -> dict[str, Any]:
        done = self._engine.ask("stack", "export", "--version", str(number))
        if done.returncode != 0:
            lost = _lost(number, self._engine.short)
            raise SlipwayError(lost._replace(what=f"{lost.what} ({last_words(done)})"))
        state: dict[str, Any] = json.loads(done.stdout)["deployment"]
        return state

    def about(self, numbers: Iterable[int]) -> dict[int, Mapping[str, Any] | None]:
        with ThreadPoolExecutor(4) as pool:  # processes
            wanted = list(numbers)
            return dict(zip(wanted, pool.map(self._about, wanted), strict=True))

    def _about(self, number: int) -> Mapping[str, Any] | None:
        try:
            return (deployment_in(self.state(number)) or {}).get("about")
        except SlipwayError:
            return None  # an old version that the service has dropped


def _lost(number: int, stack: str) -> Problem:
    return Problem(
        f"the state after update {number} of stack {stack} is not in the backend",
        "it is not known what was deployed then",
        "slipway history tells the updates; slipway rollback --from FILE takes a bundle or an export",
    )
