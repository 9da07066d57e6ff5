"""Stops and removes containers side by side: each is given the time that its own configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["finish_stops", "stop_and_remove"]

_AT_ONCE = 8
_STOP_SECONDS = 600.0


def stop_and_remove(containers: Sequence[str], api: DockerApi, seconds: float) -> None:
    """Stop and remove; fine for those that are gone. `seconds` bounds the wait for each answer.

    Raises:
        SlipwayError: the engine refused one of them; the others are gone nevertheless.
    """
    waiting = iter(containers)  # each thread takes the next one
    failures: list[SlipwayError] = []

    def work() -> None:
        client = api.again()
        for identifier in waiting:
            try:
                client.stop(identifier, seconds)
                client.remove(identifier)
            except SlipwayError as error:
                failures.append(error)
        client.close()

    runtime.join([runtime.start_thread(work) for _ in range(min(_AT_ONCE, len(containers)))])
    if failures:
        raise failures[0]


def finish_stops(
    stack: str, begun: Collection[str], api: DockerApi, note: Callable[[Sequence[str]], None]
) -> list[str]:
    """Stop and remove to the end what a deployment that was cut off was stopping; their names. `note` gets their ids.

    The engine goes on with a stop that nobody waits for any more, and until its grace period is over such a container
    runs as if nothing were: a plan that counted on it would lose its requests. `begun` are those that a step of ours
    was stopping; Compose stops a container once its replacement, named after it, is made.
    """
    seen = facts.containers(api, stack)
    replaced = {each.name[: len(each.id)] for each in seen if each.halfway}
    leaving = [each for each in seen if each.halfway or each.id in replaced or each.id in begun]
    if leaving:
        note([each.id for each in leaving])
        stop_and_remove([each.id for each in leaving], api, _STOP_SECONDS)
    return [each.name for each in leaving]
