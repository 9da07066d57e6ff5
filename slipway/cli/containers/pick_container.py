"""Which container of a service a command runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.cli.containers.list import require_services
from slipway.cli.printing import print_problems
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from slipway.cli.containers.list import HostListing

__all__ = ["PickedContainer", "best_container", "own_containers", "pick_container"]

_GENERATIONS = ("live", "other", "kept")
_HEALTH = {"healthy": 0, None: 0, "starting": 1, "unhealthy": 2}


class PickedContainer(NamedTuple):
    """A container and the host that it runs on."""

    on: HostListing
    container: Mapping[str, Any]


async def pick_container(
    listings: AsyncGenerator[HostListing, None], service: str, number: int | None, stack: str
) -> PickedContainer:
    """The best container of the first host that has a good one, else of all hosts; raises SlipwayError without any."""
    picked: list[PickedContainer] = []
    answers: dict[str, Mapping[str, Any]] = {}
    problems: list[Problem] = []
    async for each in listings:
        problems += each.problems
        if each.listing is None:
            continue
        answers[each.host.name] = each.listing
        if container := best_container(each.listing, service, number):
            picked.append(PickedContainer(each, container))
            if _rank(container) == (0, 0):
                break
    if not answers:
        raise SlipwayError(problems)
    print_problems(problems)
    if not picked:
        require_services([service], answers.values(), stack)
        raise SlipwayError(_not_running(answers, service, number, stack))
    return min(picked, key=lambda each: _rank(each.container))


def best_container(listing: Mapping[str, Any], service: str, number: int | None) -> Mapping[str, Any] | None:
    """The running container of `service` that a command is best run in; with `number` only that one is considered."""
    running = [
        each
        for each in own_containers(listing, service)
        if each["state"] == "running" and number in (None, each["number"])
    ]
    return min(running, key=lambda each: (*_rank(each), each["number"]), default=None)


def own_containers(listing: Mapping[str, Any], service: str) -> list[Mapping[str, Any]]:
    """The containers of `service`, one-off runs left out."""
    return [each for each in listing["containers"] if each["service"] == service and not each["one_off"]]


def _rank(container: Mapping[str, Any]) -> tuple[int, int]:
    """How good a container is to run a command in; (0, 0) is best, and no reason to look further.

    The live generation comes before an unproven one, and that before one that is only kept; then a healthy or
    unchecked container before a starting one, and that before an unhealthy one.
    """
    return _GENERATIONS.index(container["generation"]), _HEALTH.get(container["health"], 0)


def _not_running(answers: Mapping[str, Mapping[str, Any]], service: str, number: int | None, stack: str) -> Problem:
    found = [(host, each) for host, listing in answers.items() for each in own_containers(listing, service)]
    running = sorted({each["number"] for _, each in found if each["state"] == "running"})
    if number is not None and running:
        fix = f"--index {' or '.join(map(str, running))}, or leave it out"
        return Problem(
            f"{service} has no running container number {number}", "each release numbers its containers anew", fix
        )
    states = "; ".join(
        f"{each['name']} on {host} "
        + (f"exited with {each['exit_code']}" if each["state"] == "exited" else f"is {each['state']}")
        for host, each in found
    )
    return Problem(
        f"{service} is not running" + (f" ({states})" if states else f" on {', '.join(answers)}"),
        "a command needs a container that runs",
        f"slipway logs {service} --stack {stack}, then slipway up --stack {stack}",
    )
