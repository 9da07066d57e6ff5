"""Stops containers side by side, and removes them: each is given the time that its own configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["finish_stops", "grace", "side_by_side", "stop_and_remove"]

_KILLED = 137  # exit code of what SIGKILL ended
_AT_ONCE = 8
_DOCKER_SECONDS = 10  # Docker's own, where a container asks for no other time
_ENDLESS_SECONDS = 600  # for one that asks never to be killed


def stop_and_remove(containers: Sequence[str], api: DockerApi) -> list[str]:
    """Stop and remove, waiting as long as each may take; fine for those that are gone. Who had to be killed, in words.

    Raises:
        SlipwayError: the engine refused one of them; the others are gone nevertheless.
    """
    killed: list[str] = []

    def act(client: DockerApi, identifier: str) -> None:
        details = client.container(identifier)
        if details is not None:
            client.stop(identifier, grace(details))
            killed.extend(_killed(details, client.container(identifier)))
        client.remove(identifier)

    side_by_side(containers, api, act)
    return killed


def side_by_side(containers: Sequence[str], api: DockerApi, act: Callable[[DockerApi, str], None]) -> None:
    """Have `act` done to each of them with a client of its own, several at once.

    Raises:
        SlipwayError: the engine refused one of them; it is done to the others nevertheless.
    """
    waiting = iter(containers)  # each thread takes the next one
    failures: list[Exception] = []

    def work() -> None:
        client = api.again()
        for identifier in waiting:
            try:
                act(client, identifier)
            except Exception as error:  # noqa: BLE001 - none of them may get lost with its thread
                failures.append(error)
        client.close()

    runtime.join([runtime.start_thread(work) for _ in range(min(_AT_ONCE, len(containers)))])
    if failures:
        raise next((each for each in failures if isinstance(each, SlipwayError)), failures[0])


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
        stop_and_remove([each.id for each in leaving], api)
    return [each.name for each in leaving]


def grace(details: dict[str, Any]) -> float:
    """Seconds that a container may take to stop."""
    asked = details["Config"].get("StopTimeout")
    return float(_DOCKER_SECONDS if asked is None else _ENDLESS_SECONDS if asked < 0 else asked)


def _killed(before: dict[str, Any], after: dict[str, Any] | None) -> list[str]:
    if after is None or not before["State"].get("Running") or after["State"].get("ExitCode") != _KILLED:
        return []
    return [f"{before['Name'].lstrip('/')} did not stop when asked to and was killed after {grace(before):.0f} s"]
