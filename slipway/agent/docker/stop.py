"""Stops and removes containers side by side: each is given the time that its own configuration asks for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["stop_and_remove"]

_AT_ONCE = 8


def stop_and_remove(containers: Sequence[str], api: DockerApi, seconds: float) -> None:
    """Stop and remove; fine for those that are gone. `seconds` bounds the wait for each answer.

    Raises:
        SlipwayError: the engine refused one of them; the others are gone nevertheless.
    """
    waiting = list(containers)
    failures: list[SlipwayError] = []

    def work() -> None:
        client = api.again()
        while waiting:
            try:
                identifier = waiting.pop()
            except IndexError:
                break
            try:
                client.stop(identifier, seconds)
                client.remove(identifier)
            except SlipwayError as error:
                failures.append(error)
        client.close()

    threads = [threading.Thread(target=work) for _ in range(min(_AT_ONCE, len(waiting)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
