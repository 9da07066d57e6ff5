"""Sends messages about what a command does to a stack, beside doing it.

A message never fails a command. At its end it waits for those that are not sent yet, each at most
`slipway.notify.sending.SECONDS`.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import typer

from slipway.cli.printing import bug
from slipway.contract.problems import Problem, SlipwayError
from slipway.notify.message import Message
from slipway.notify.sending import send
from slipway.settings.deploy_origin import actor, run_url
from slipway.settings.dotenv_file import read_dotenv
from slipway.settings.model import PREFIX
from slipway.settings.setting_files import read_stack_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from slipway.notify.sending import Delivery
    from slipway.releases.engine import Engine, Stack
    from slipway.settings.model import Settings

__all__ = ["Announcements", "message_of", "not_taken", "waits_for_nobody"]


class Announcements:
    """Messages about one stack, sent one after the other in the background; the block waits for the last one.

    `settings` are those of one update alone, by variable (`SLIPWAY_RELEASE`).
    """

    def __init__(self, engine: Engine, settings: Mapping[str, str] | None = None) -> None:
        self._engine, self._update = engine, settings or {}
        self._pool = ThreadPoolExecutor(1)
        self._problems: list[Problem] = []
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown()
        for problem in self._problems:
            typer.echo(f"slipway: warning: {problem.of_stack(self._engine.short)}", err=True)

    def begin(self) -> None:
        """Say that something is changed from now on, once."""
        if not self._begun:
            self._begun = True
            self.say("started")

    def say(self, event: str, **parts: Any) -> None:  # noqa: ANN401  # parts of a message
        """Send it to those who want it; parts are those of `Message`."""
        self._pool.submit(self._send, event, parts)

    @cached_property
    def _asked_for(self) -> bool:
        """Whether any message is wanted, without asking the engine, which takes its time to decrypt the settings."""
        stated = read_stack_file(self._engine.stack_file, self._engine.project).entries
        variables = {**read_dotenv(self._engine.root / ".env").values, **self._engine.environment}
        return bool(stated.get("notify") or variables.get(f"{PREFIX}NOTIFY"))

    @cached_property
    def _stack(self) -> Stack:
        from slipway.releases.engine import stack_of  # needed only where a message is sent

        return stack_of(self._engine)

    def _send(self, event: str, parts: Mapping[str, Any]) -> None:
        try:
            if self._asked_for:
                settings = self._stack.settings
                message = message_of(self._stack, event, self._update, **parts)
                self._problems += not_taken(send(settings.notify_targets(), message, redact=settings.redactor().text))
        except SlipwayError:
            pass  # what is wrong with the settings, the update itself says
        except Exception as error:  # noqa: BLE001  # a bug here must not become one of the deployment
            self._problems.append(bug(error))


def message_of(stack: Stack, event: str, update: Mapping[str, str] | None = None, **parts: Any) -> Message:  # noqa: ANN401
    """A message about a stack: what it deploys, who does it, and where."""
    from slipway.compose.git import commit_words, read_revision  # as above

    update, folder = update or {}, stack.settings.application
    if file := update.get("SLIPWAY_RELEASE"):
        release = json.loads(Path(file).read_text(encoding="utf-8"))
        parts["release"] = parts.get("release") or release["id"]
        commit = str(release["commit"])
    else:
        folder = Path(update.get("SLIPWAY_APPLICATION", folder))
        commit = read_revision(folder).commit
    words = commit_words(folder, parts.pop("commit", commit))
    return Message(event, stack.project, **{**words, "actor": actor(), "run": run_url(), **parts})


def not_taken(deliveries: Iterable[Delivery]) -> Iterator[Problem]:
    """A problem for each of those that wanted a message and did not get it."""
    for each in deliveries:
        if not each.accepted:
            what = f"notify.{each.target.name} ({each.target.to}): {each.said}"
            yield Problem(what, "it got no message", "slipway notify test")


def waits_for_nobody(engine: Engine, settings: Settings) -> bool:
    """Whether GitHub says that a job in the stack's environment needs no approval; False where it does not say."""
    from slipway.releases.github_settings import github_repository, token_in

    environment = settings.github.environment or engine.short
    if not token_in(engine.environment):
        return False
    from slipway.releases.github import Repository  # 0.2 s that most messages need not pay

    try:
        name = github_repository(settings.github_repository, settings.application, engine.environment)
        if not name:
            return False
        path = f"/repos/{name}/environments/{quote(environment, safe='')}"
        found = Repository(name, engine.environment, at_once=True).read(
            path, f"environment {environment}", "actions: read"
        )
    except SlipwayError:
        return False
    return found is not None and all(
        each["type"] != "required_reviewers" for each in found.get("protection_rules") or ()
    )
