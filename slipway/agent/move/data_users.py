"""Whether anybody else works on data that a stack is about to work on, asked until the moment at which it does."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import RUNS, SERVICE_LABEL, SHORT_ID, comparable, restart_policy, works_or_will
from slipway.agent.move.checks import to_rest
from slipway.agent.move.old_container import runs
from slipway.agent.move.old_project import UNDOING, UNDONE
from slipway.agent.move.shared_data import WHOLE_DISKS, data_of, data_of_service, shared, without_tools
from slipway.agent.state.atomic_files import read_object, write_atomically
from slipway.agent.state.lock import lock
from slipway.agent.state.stack_dir import moment
from slipway.contract.host_paths import moves_lock
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from slipway.agent.deadline import Deadline, Stop
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldProject

__all__ = ["DataUsedError", "DataUsers"]


class DataUsedError(SlipwayError):
    """Somebody else works on the data, so nothing was started on it."""


class DataUsers:
    """Those of other stacks and of nobody; who worked beside the stack before may go on to do so."""

    def __init__(
        self,
        old: OldProject,
        api: DockerApi,
        engine: str,
        giving_up: Callable[[], Collection[str]],
        *,
        live: Mapping[str, Any],
        cut_off: str,
        beside: str,
        stop: Stop,
    ) -> None:
        """`old` is the project that was taken over from last, `engine` the engine's folder.

        Containers that are `giving_up` will have stopped. `live` is the Compose file of what is live; `cut_off` is when
        a deployment began that was cut off and may have left that down. The file `beside` is what `note` writes.
        """
        self._stack, self._old, self._api, self._engine = old.stack, old, api, engine
        self._giving_up, self._stop = giving_up, stop
        # Data → until when the stack worked on it: whoever came later may be why it does not any more.
        since = cut_off if old.state not in (UNDOING, UNDONE) else ""  # since then the old project works there
        self._had = {data: since for name in live["services"] for data in data_of_service(name, live, api)}
        self._works_on()
        self._file, self._beside = beside, {each: who for each, who in read_object(beside).items() if each in self._had}

    @contextlib.contextmanager
    def kept_off(self, compose: Mapping[str, Any], starting: Collection[str], deadline: Deadline) -> Iterator[None]:
        """Have no other stack of this host start on the data of these services meanwhile; refuses as `check` does."""
        if not self._asked(compose, starting):
            yield
            return
        reason, wait = f"start of {', '.join(starting)}", deadline.remaining()
        with lock(
            moves_lock(), owner=self._stack, reason=reason, wait=wait, stop=self._stop, of="the data of this host"
        ):
            self.check(compose, starting)
            yield

    def check(self, compose: Mapping[str, Any], starting: Collection[str]) -> None:
        """Refuse data that somebody else writes to, unless both did so before or the file says that it is shared.

        A container counts if it works, or does so at the next boot; one of a project always, on data that is new to the
        stack: all of that starts again together.

        Raises:
            DataUsedError: whose it is, and what helps.
        """
        for used, details, project in self._others(self._asked(compose, starting)):
            came = max(comparable(details["Created"]), comparable(details["State"]["StartedAt"]))
            starts_again = project and not self._old.is_noted(str(details["Id"]))
            for each in used:
                works = works_or_will(details) or (starts_again and each not in self._had)
                known = _name(details) in self._beside.get(each, ())
                if works and not known and came >= self._had.get(each, ""):
                    raise self._used(each, details, project, compose)

    def note(self) -> None:
        """Note who works beside the stack now: it may go on to, however often it is started again or made anew."""
        now = self._works_on()
        self._beside.update({each: [] for each in now})
        for used, details, _ in self._others(now):
            if works_or_will(details) and not self._old.is_noted(str(details["Id"])):
                for each in used:
                    self._beside[each].append(_name(details))
        with contextlib.suppress(OSError):  # a full disk: whoever starts again is asked about, as a new one
            write_atomically(self._file, json.dumps(self._beside, sort_keys=True).encode())

    def _others(self, data: Collection[str]) -> Iterator[tuple[list[str], Mapping[str, Any], str | None]]:
        """What of `data` a container of others writes to, volumes first; all about that; its project."""
        giving_up = self._giving_up() if data else ()
        for entry in self._api.containers() if data else ():
            identifier, project = str(entry["Id"]), (entry.get("Labels") or {}).get(PROJECT_LABEL)
            if project == self._stack or identifier[:SHORT_ID] in giving_up:
                continue
            theirs = data_of(entry, self._api)
            written = without_tools(theirs, self._engine)
            used = [each for each in without_tools(data, self._engine) if shared([each], written)]
            used += [each for each in WHOLE_DISKS if each in data and each in theirs]
            if used and (details := self._api.container(identifier)):
                yield sorted(used, key=os.path.isabs), details, project

    def _asked(self, compose: Mapping[str, Any], starting: Collection[str]) -> Sequence[str]:
        """Their data but for what the stack works on now."""
        data = [each for name in starting for each in data_of_service(name, compose, self._api, external=False)]
        now = self._works_on() if data else ()
        return [each for each in data if each not in now]

    def _works_on(self) -> set[str]:
        """The data that the stack works on now; until when it did is noted."""
        now: set[str] = set()
        for entry in self._api.containers({PROJECT_LABEL: self._stack}):
            data, until = data_of(entry, self._api), moment()
            if entry["State"] in RUNS:
                now.update(data)
            elif details := self._api.container(str(entry["Id"])):
                until = details["State"]["FinishedAt"]
            self._had.update({each: max(comparable(until), self._had.get(each, "")) for each in data})
        return now

    def _used(
        self, what: str, details: Mapping[str, Any], project: str | None, compose: Mapping[str, Any]
    ) -> DataUsedError:
        name = str(details["Name"]).lstrip("/")
        keys = [key for key, each in compose["volumes"].items() if str((each or {}).get("name") or key) == what]
        whole, last = os.path.split(what)
        fix = f"write `{whole.rstrip('/')}/${{COMPOSE_PROJECT_NAME}}/{last}` in place of {what}, for data of its own"
        share = "an external volume says that both may (`docker volume create --opt type=none --opt o=bind "
        share += f"--opt device={shlex.quote(what)} NAME` for a folder), `:ro` that one only reads"
        said = what
        if keys:
            said, share = f"{what} ({keys[0]} in the Compose file)", "`external: true` says that both may"
            fix = f"write `name: ${{COMPOSE_PROJECT_NAME}}_{keys[0]}` in volumes.{keys[0]}, for data of its own"
        place = f"where this stack takes the place of {project or name}, set moveFrom: its data stays"
        if what in self._had:  # another place would be empty
            place = "it is not known to have worked there beside this stack (if both may, start it again afterwards)"
            fix = to_rest(name, restart_policy(details), works=runs(details))
        user = f"{name} of {project}" if project else name
        return DataUsedError(
            f"the {'folder' if os.path.isabs(what) else 'volume'} {said} is used by {user}",
            f"two would write the same data, so nothing was started on it; {share}, and {place}",
            fix,
        )


def _name(details: Mapping[str, Any]) -> str:
    """By what a container is known again that was made anew."""
    labels = details["Config"].get("Labels") or {}
    compose = [str(labels.get(each) or "") for each in (PROJECT_LABEL, SERVICE_LABEL)]
    return "/".join(compose) if all(compose) else str(details["Name"])
