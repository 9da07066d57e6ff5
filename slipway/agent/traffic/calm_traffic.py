"""What generations counted while no deployment was at work: the yardstick of those after them.

What a deployment interrupts, or brings back after a failure, says nothing of how well the old generation works.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from slipway.agent.edge.metrics import Target
from slipway.agent.state.atomic_files import read_object, write_atomically
from slipway.agent.strategies.service import generation_of
from slipway.agent.traffic.canary_statistics import EMPTY, Window
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.edge.edge import Edge
    from slipway.agent.edge.metrics import Counters
    from slipway.agent.state.ledger import Live
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["calm", "counted", "pause", "resume"]


def counted(edge: Edge, stack: str, live: Live | None) -> dict[str, Counters]:
    """Service → what the edge counted of its generation in this release."""
    wanted = {Target(stack, *each.split("/")) for each in _keys(live).values()}
    return {target.service: each for target, each in edge.metrics().items() if target in wanted} if wanted else {}


def calm(folder: StackFolder, live: Live | None) -> dict[str, Window]:
    """Service of `live` → what counts of it, as it was noted."""
    known = read_object(folder.counted)
    return {service: Window.of(known[key][0]) for service, key in _keys(live).items() if key in known}


def pause(folder: StackFolder, edge: Edge, live: Live | None) -> dict[str, Window]:
    """Service of `live` → what counts of it so far; nothing more counts until `resume`, also when that never comes."""
    known: dict[str, Any] = read_object(folder.counted)
    samples: dict[str, Counters] = {}
    found: dict[str, Window] = {}
    with contextlib.suppress(SlipwayError):  # what the edge cannot say now does not count
        samples = counted(edge, folder.stack, live)
    for service, key in _keys(live).items():
        window, since = known.get(key, (EMPTY, EMPTY))  # of an older version: all that the edge counted
        found[service] = Window.of(window)
        if since is not None and service in samples:
            found[service] = found[service].plus(Window.between(since, samples[service]))
        known[key] = (found[service], None)
    write_atomically(folder.counted, json.dumps(known).encode())
    return found


def resume(folder: StackFolder, edge: Edge, live: Live | None, before: Live | None) -> None:
    """From here on, what `live` answers counts again; that of `before` is kept, which may come back."""
    known, samples = read_object(folder.counted), counted(edge, folder.stack, live)
    kept: dict[str, Any] = {key: (known[key][0], None) for key in _keys(before).values() if key in known}
    for service, key in _keys(live).items():
        kept[key] = (known.get(key, (EMPTY,))[0], samples.get(service, EMPTY))
    write_atomically(folder.counted, json.dumps(kept).encode())


def _keys(live: Live | None) -> dict[str, str]:
    """Service → SERVICE/GENERATION."""
    return {name: f"{name}/{generation_of(proof.config)}" for name, proof in (live.services if live else {}).items()}
