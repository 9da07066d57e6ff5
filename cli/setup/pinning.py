"""Pinning the keys that hosts show, once somebody has accepted them.

Owns: showing each key to be compared, and what counts as accepted. Does not own: asking the hosts (see `host_keys`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.setup.host_keys import Place, ShownKey, shown_keys
from components.settings import LOCAL_ADDRESS
from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.setup.answers import Answers
    from cli.setup.stack_file import Stated

__all__ = ["pin"]


def pin(found: Answers, open_ones: Mapping[str, Stated], *, asking: bool, accepted: bool) -> dict[str, dict[str, str]]:
    """Pin the keys of the hosts of these stacks that have none yet, if they are accepted.

    Returns: by stack and host, what is to stand beside its key.
    """
    hosts = [
        (stack, host)
        for stack in open_ones
        for host in found.hosts[stack]
        if host["address"] != LOCAL_ADDRESS and not host.get("hostKey")
    ]
    places: dict[Place, str] = {}
    for _, host in hosts:
        place = Place(str(host["address"]), int(host.get("port", 22)))
        places[place] = f"{places[place]}, {host['name']}" if place in places else str(host["name"])
    shown = shown_keys(places)
    taken = {}
    for place, key in shown.items():
        if isinstance(key, Problem):
            typer.echo(f"{places[place]}: {key.what}; its key stays open", err=True)
        elif _accepted(places[place], place, key, asking=asking, accepted=accepted):
            taken[place] = key
    notes: dict[str, dict[str, str]] = {}
    for stack, host in hosts:
        place = Place(str(host["address"]), int(host.get("port", 22)))
        if pinned := taken.get(place):
            host["hostKey"] = pinned.key
            notes.setdefault(stack, {})[host["name"]] = pinned.fingerprint
    return notes


def _accepted(name: str, place: Place, key: ShownKey, *, asking: bool, accepted: bool) -> bool:
    """Whether a key may be pinned; it is shown in any case."""
    typer.echo(f"host key of {name} ({place.address}): {key.fingerprint}")
    if accepted:
        return True
    typer.echo(f"  compare with the provider's console: ssh-keygen -lf {key.file}")
    if not asking:
        typer.echo("  not pinned: nobody compared it (--accept-host-key pins it)")
        return False
    return str(typer.prompt("  Type yes if it is the same", default="", show_default=False)).strip() == "yes"
