"""Messages to those whom a stack's setting `notify` names: what `slipway health` found down, and what recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.cli.announcements import not_taken
from slipway.contract.host_paths import project_on_hosts
from slipway.contract.problems import SlipwayError
from slipway.notify.message import Message
from slipway.notify.sending import send
from slipway.releases.engine import settings_of
from slipway.settings.deploy_origin import run_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.contract.problems import Problem
    from slipway.releases.engine import Engine

__all__ = ["tell"]


def tell(engine: Engine, stack: Mapping[str, Any]) -> tuple[list[Problem], bool]:
    """Send a message for what went down on a stack and one for what recovered.

    Returns: why some did not arrive, and whether one reached nobody who wants it.
    """
    messages = list(_messages(stack))
    if not messages:
        return [], False
    try:
        settings = settings_of(engine)
    except SlipwayError as error:
        meaning = "whom `notify` names is not known, so nobody was told what is down or recovered"
        return [problem._replace(meaning=meaning) for problem in error.problems], True
    sent = [send(settings.notify_targets(), each, redact=settings.redactor().text) for each in messages]
    problems = [problem for deliveries in sent for problem in not_taken(deliveries)]
    return problems, any(each and not any(one.accepted for one in each) for each in sent)


def _messages(stack: Mapping[str, Any]) -> Iterator[Message]:
    for event in ("down", "recovered"):
        if changed := [each for each in stack["probes"] if each["change"] == event]:
            yield Message(
                event,
                project_on_hosts(stack["application"], stack["stack"]),
                release=stack["release"],
                reason="; ".join(": ".join(filter(None, (each["url"], each["reason"]))) for each in changed),
                run=run_url(),
            )
