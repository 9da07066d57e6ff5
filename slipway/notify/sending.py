"""Sends a message to all targets that want it, at once, again where that may help, and within bounds."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from slipway.notify.delivery import attempt
from slipway.notify.message import TEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.notify.delivery import Target
    from slipway.notify.message import Message

__all__ = ["SECONDS", "Delivery", "send"]

SECONDS = 20.0
"""How long the sending of a message takes at most."""
_ATTEMPT_SECONDS = 8.0
_PAUSE = 1.0  # before the second attempt, and twice as long each time


class Delivery(NamedTuple):
    """What became of a message at one target."""

    target: Target
    accepted: bool
    said: str
    """In words, without the address."""


def send(
    targets: Sequence[Target], message: Message, *, redact: Callable[[str], str], seconds: float = SECONDS
) -> list[Delivery]:
    """Send `message` to those that want its event; what came of it, in their order, after `seconds` at the latest.

    `redact` hides the secrets that are known here.
    """
    wanted = [each for each in targets if message.event == TEST or message.event in each.events]
    cleaned, until = message.clean(redact), time.monotonic() + seconds
    said = {place: Delivery(each, False, f"no answer within {seconds:.0f} s") for place, each in enumerate(wanted)}

    def deliver(place: int, target: Target) -> None:
        said[place] = _deliver(target, cleaned, until)

    # Of a server that answers a byte at a time no time-out of a socket makes an end, and no thread that waits for it
    # keeps the process.
    threads = [threading.Thread(target=deliver, args=each, daemon=True) for each in enumerate(wanted)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [said[place] for place in range(len(wanted))]


def _deliver(target: Target, message: Message, until: float) -> Delivery:
    pause, tries = _PAUSE, 0
    while True:
        answer = attempt(target, message, max(0.1, min(_ATTEMPT_SECONDS, until - time.monotonic())))
        tries += 1
        wait = max(pause, answer.after)
        if not answer.again or time.monotonic() + wait >= until:
            times = f", {tries} times" if tries > 1 and not answer.accepted else ""
            later = f", and asks to wait {answer.after:.0f} s" if answer.again and answer.after else ""
            return Delivery(target, answer.accepted, f"{answer.said}{times}{later}")
        time.sleep(wait)
        pause *= 2
