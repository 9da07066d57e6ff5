"""One container of a service, to run a command in.

Owns: which of several is taken, and what is said when none can be. Does not own: looking (see `looking`).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["INTERRUPTING", "chosen", "docker_exec", "not_running", "rank"]

INTERRUPTING = """\
for each in /proc/[0-9]*; do
    grep -qF "$1" "$each/environ" 2>/dev/null && kill -s "$2" "${each#/proc/}"
done
true"""
"""Run by sh in a container: sends the signal $2 to every process whose environment has the mark $1. That an engine's
client ends does not end what it began in a container (https://github.com/moby/moby/issues/9098)."""

_GENERATIONS = ("live", "other", "kept")
_HEALTH = {"healthy": 0, None: 0, "starting": 1, "unhealthy": 2}


def chosen(listing: Mapping[str, Any], service: str, number: int | None) -> Mapping[str, Any] | None:
    """The running container of `service` that a command is best run in; None when none runs.

    The best by `rank`, then the lowest number. With `number` only that one is looked at.
    """
    running = [
        each
        for each in _own(listing, service)
        if each["state"] == "running" and (number is None or each["number"] == number)
    ]
    return min(running, key=lambda each: (*rank(each), each["number"]), default=None)


def rank(container: Mapping[str, Any]) -> tuple[int, int]:
    """How good a container is to run a command in; (0, 0) is best, and no reason to look further.

    The live generation comes before one that is not proven yet, and that before one that is only kept; then a healthy
    one, or one that nothing checks, before one that starts, and that before one that is not healthy.
    """
    return _GENERATIONS.index(container["generation"]), _HEALTH.get(container["health"], 0)


def not_running(
    listings: Mapping[str, Mapping[str, Any]], service: str, number: int | None, stack: str
) -> SlipwayError:
    """The error that no container of `service` can be used; `listings` is by host."""
    found = [(host, each) for host, listing in listings.items() for each in _own(listing, service)]
    if number is not None and any(each["state"] == "running" for _, each in found):
        numbers = sorted({each["number"] for _, each in found if each["state"] == "running"})
        return SlipwayError(
            Problem(
                f"{service} has no running container number {number}",
                "each release numbers its containers anew",
                f"--index {' or '.join(map(str, numbers))}, or leave it out",
            )
        )
    states = "; ".join(f"{each['name']} on {host} {_state(each)}" for host, each in found)
    return SlipwayError(
        Problem(
            f"{service} is not running" + (f" ({states})" if states else f" on {', '.join(listings)}"),
            "a command needs a container that runs",
            f"slipway logs {service} --stack {stack}, then slipway up --stack {stack}",
        )
    )


def docker_exec(
    listing: Mapping[str, Any],
    container: str,
    command: Sequence[str],
    *,
    terminal: bool,
    user: str = "",
    mark: str = "",
) -> str:
    """The line for a host's shell that runs `command` in a container, with the engine that the listing came from.

    `mark` is a variable NAME=VALUE by which the command's processes can be found again.
    """
    options = ["--interactive"]
    options += ["--tty", "--env", "TERM"] if terminal else []
    options += ["--user", user] if user else []
    options += ["--env", mark] if mark else []
    words = ["env", f"DOCKER_HOST=unix://{listing['socket']}", "docker", "exec", *options, container, *command]
    return f"exec {shlex.join(words)}"


def _own(listing: Mapping[str, Any], service: str) -> list[Mapping[str, Any]]:
    return [each for each in listing["containers"] if each["service"] == service and not each["one_off"]]


def _state(each: Mapping[str, Any]) -> str:
    return f"exited with {each['exit_code']}" if each["state"] == "exited" else f"is {each['state']}"
