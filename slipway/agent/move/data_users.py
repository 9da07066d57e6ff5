"""Whether anybody else works on data that a stack is about to work on, asked until the moment at which it does."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import RUNS, SHORT_ID, works_or_will
from slipway.agent.move.old_project import UNDOING, UNDONE
from slipway.agent.move.shared_data import WHOLE_DISKS, data_of, data_of_service, shared, without_tools
from slipway.agent.state.lock import lock
from slipway.contract.host_paths import moves_lock
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from slipway.agent.deadline import Stop
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldProject

__all__ = ["DataUsers"]


class DataUsers:
    """Those of other stacks and of nobody; what the stack works on now, it may share with them."""

    def __init__(
        self,
        old: OldProject,
        api: DockerApi,
        engine: str,
        giving_up: Callable[[], Collection[str]],
        cut_off: Mapping[str, Any],
        *,
        wait: float,
        stop: Stop,
    ) -> None:
        """`old` is the project that was taken over from last, `engine` the engine's folder.

        Containers that are `giving_up` will have stopped. `cut_off` is the Compose file of what ran when a deployment
        was cut off, which may have left it down. Another stack that starts on new data is awaited for `wait`.
        """
        self._stack, self._old, self._api, self._engine = old.stack, old, api, engine
        self._giving_up, self._wait, self._stop = giving_up, wait, stop
        # What is down may be so since somebody else works there, as after the undo of a move.
        own = [each for each in api.containers({PROJECT_LABEL: old.stack}) if each.get("State") in RUNS]
        self._before = {data for each in own for data in data_of(each, api)}
        if old.state not in (UNDOING, UNDONE):
            self._before.update(data for name in cut_off["services"] for data in data_of_service(name, cut_off, api))

    @contextlib.contextmanager
    def kept_off(self, compose: Mapping[str, Any], starting: Collection[str]) -> Iterator[None]:
        """Have no other stack of this host start on the data of these services meanwhile; refuses as `check` does."""
        if not self._new(compose, starting):
            yield
            return
        reason = f"start of {', '.join(starting)}"
        with lock(moves_lock(), owner=self._stack, reason=reason, wait=self._wait, stop=self._stop):
            self.check(compose, starting)
            yield

    def check(self, compose: Mapping[str, Any], starting: Collection[str]) -> None:
        """Refuse data that somebody else writes to, unless this stack does so already or says that it is shared.

        A container of no project counts if it works, or does so at the next boot, one of a project always: all of that
        starts again together.
        """
        data = self._new(compose, starting)
        giving_up = self._giving_up() if data else ()
        for entry in self._api.containers() if data else ():
            identifier, project = str(entry["Id"]), (entry.get("Labels") or {}).get(PROJECT_LABEL)
            if project == self._stack or identifier[:SHORT_ID] in giving_up:
                continue
            theirs = data_of(entry, self._api)
            used = shared(without_tools(data, self._engine), without_tools(theirs, self._engine))
            used += [each for each in WHOLE_DISKS if each in data and each in theirs]
            details = self._api.container(identifier) if used else None
            starts_again = project and not self._old.is_noted(identifier)
            if details and (starts_again or works_or_will(details)):
                raise _used(used[0], str(entry["Names"][0]).lstrip("/"), project, compose)

    def _new(self, compose: Mapping[str, Any], starting: Collection[str]) -> Sequence[str]:
        data = [each for name in starting for each in data_of_service(name, compose, self._api, external=False)]
        return [each for each in data if each not in self._before]


def _used(what: str, name: str, project: str | None, compose: Mapping[str, Any]) -> SlipwayError:
    keys = [key for key, each in compose["volumes"].items() if str((each or {}).get("name") or key) == what]
    whole, last = os.path.split(what)
    fix = f"write `{whole.rstrip('/')}/${{COMPOSE_PROJECT_NAME}}/{last}` in place of {what}, for data of its own"
    share = "an external volume says that both may (`docker volume create --opt type=none --opt o=bind "
    share += f"--opt device={shlex.quote(what)} NAME` for a folder), `:ro` that one only reads"
    if keys:
        what, share = f"{what} ({keys[0]} in the Compose file)", "`external: true` says that both may"
        fix = f"write `name: ${{COMPOSE_PROJECT_NAME}}_{keys[0]}` in volumes.{keys[0]}, for data of its own"
    user = f"{name} of {project}" if project else name
    return SlipwayError(
        f"the {'folder' if os.path.isabs(what) else 'volume'} {what} is used by {user}",
        f"two would write the same data, so nothing was started on it; {share}, and where this stack takes the place "
        f"of {project or name}, set moveFrom: its data stays",
        fix,
    )
