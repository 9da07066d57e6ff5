"""What a change costs the requests that arrive meanwhile: Slipway and its peers, the same service, host and load.

Owns: the load around each change, and which figures come of it. Does not own: the client (tests/hosts/traffic.py), how
each peer changes an image (see `traffic_peers`).

All times of one change count from the start of its command, on this machine:
`traffic` until only the new release answered; `command` until the command had ended; `live` until all traffic was on
the *verified* new release. That is `traffic` where a release is proven before it gets requests, and the later of both
where it gets them first, as with plain Compose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import time
from typing import TYPE_CHECKING

from traffic import Load

from dev.bench.traffic_peers import Peer, Plain, Scale, SlipwayPeer, Swarm, pushed_versions
from dev.toolchain.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from stack_harness import Engine

    from dev.testhosts.server import TestHost

__all__ = ["Change", "change_under_load", "figures", "measured", "peers"]

RATE = 500
CONNECTIONS = 20
_BEFORE_SECONDS, _AFTER_SECONDS = 4, 2
_TAKE_OVER_SECONDS = 60  # after the command's end
_LIMIT_SECONDS = 300
_YIELDING = 10  # of 19


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One change under load. Seconds from the start of the command, milliseconds where the name says so."""

    sent: int
    lost: int
    kinds: dict[str, int]
    retried: int
    p99_before_ms: float
    p99_during_ms: float
    gap: float
    """The longest time without a good answer."""
    traffic: float
    command: float
    live: float
    shift_live: float | None


def change_under_load(peer: Peer, image: str, version: str) -> Change:
    """Make `image` live, which answers `version`, under a load from 4 s before until 2 s after the last other answer.

    Raises:
        AssertionError: the new version did not take over within a minute.
    """
    with Load(
        peer.url,
        host=peer.host_name,
        rate=RATE,
        connections=CONNECTIONS,
        limit_seconds=_LIMIT_SECONDS,
        limit_requests=RATE * _LIMIT_SECONDS,
    ) as load:
        time.sleep(_BEFORE_SECONDS)
        load.mark("during")
        with _as_if_elsewhere():
            done = peer.change(image)
        load.until_only(version, _TAKE_OVER_SECONDS, steady=_AFTER_SECONDS)
        load.mark("after")
    result = load.result()
    others = [seen.last for name, seen in result.versions.items() if name != version]
    new = result.versions[version]
    traffic, command = max([new.first, *others]) - done.began, done.ended - done.began
    return Change(
        sent=result.requests.sent,
        lost=result.failed,
        kinds=result.requests.failed,
        retried=result.retried,
        p99_before_ms=result.windows["before"].p99_ms,
        p99_during_ms=result.windows["during"].p99_ms,
        gap=result.longest_gap["seconds"],
        traffic=traffic,
        command=command,
        live=traffic if peer.verifies_first else max(traffic, command),
        shift_live=done.shift_live,
    )


@contextlib.contextmanager
def _as_if_elsewhere() -> Iterator[None]:
    """Whatever this process starts yields to the host's own programs: it would run on another machine."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, _YIELDING)
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):  # only root may take it back
            os.setpriority(os.PRIO_PROCESS, 0, before)


def peers(host: TestHost, engine: Engine, folder: Path) -> list[list[Callable[[], Peer]]]:
    """How to make them, in groups: those of one take turns, so that a slow moment of the machine meets all of them.

    Between the groups the host is emptied: what idles on it costs the others time.
    """
    return [
        [lambda: SlipwayPeer(host, engine, folder / "slipway"), lambda: Plain(host)],
        [lambda: Scale(host)],
        [lambda: Swarm(host)],
    ]


def measured(
    group: Sequence[Callable[[], Peer]], registry: str, folder: Path, runs: int
) -> tuple[dict[str, list[Change]], dict[str, list[Change]], list[float]]:
    """For each peer of a group `runs` changes to an image that the host has not seen, and as many ways back.

    Returns: both, and the seconds that Slipway took to leave a release that turned bad after the shift.
    """
    left: list[float] = []
    forward: dict[str, list[Change]] = {}
    back: dict[str, list[Change]] = {}
    with contextlib.ExitStack() as exits:
        made = []
        for make in group:
            peer = make()
            exits.callback(peer.remove)
            names = [f"{peer.name}-{number}" for number in range(runs + 1)]
            images = pushed_versions(registry, folder / "images" / peer.name, names)
            say(f"{peer.name}: first deployment")
            peer.start(images[names[0]])
            made.append((peer, names, images))
            forward[peer.name], back[peer.name] = [], []
        for number in range(1, runs + 1):
            for peer, names, images in made:
                say(f"{peer.name}: changed and brought back under load, {number} of {runs}")
                forward[peer.name].append(change_under_load(peer, images[names[number]], names[number]))
                back[peer.name].append(change_under_load(peer, images[names[0]], names[0]))
        for peer, _, _ in made:
            if isinstance(peer, SlipwayPeer):
                say("slipway: a release that crashes after the shift")
                left += [peer.leave_a_bad_release() for _ in range(runs)]
    return forward, back, left


def figures(
    forward: dict[str, list[Change]], back: dict[str, list[Change]], left: Sequence[float]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Figures and samples (seconds) of what was measured so far, under the names of results.json."""
    found: dict[str, float] = {}
    samples: dict[str, list[float]] = {}

    def middle(changes: list[Change], name: str) -> float:
        return statistics.median(float(getattr(each, name)) for each in changes)

    for name, changes in forward.items():
        prefix = "" if name == "slipway" else f"{name}_"
        every = [*changes, *back[name]]
        found[f"{prefix}lost_requests"] = sum(each.lost for each in every)
        found[f"{prefix}sent_requests"] = sum(each.sent for each in every)
        found[f"{prefix}retried_requests"] = sum(each.retried for each in every)
        found[f"{prefix}p99_during_vs_before"] = statistics.median(
            each.p99_during_ms / each.p99_before_ms for each in changes
        )
        found[f"{prefix}longest_gap_s"] = max(each.gap for each in every)
        samples[f"{name}_change_live"] = [each.live for each in changes]
        samples[f"{name}_change_command"] = [each.command for each in changes]
        samples[f"{name}_back_live"] = [each.live for each in back[name]]
    if "slipway" in forward and "compose" in forward:
        for way, ratio in ((forward, "change_vs_compose"), (back, "back_vs_compose")):
            found[ratio] = middle(way["slipway"], "live") / middle(way["compose"], "live")
            found[f"{ratio}_command"] = middle(way["slipway"], "command") / middle(way["compose"], "command")
    if left:
        found["back_after_shift_s"] = max(left)
    shifts = [each.shift_live for each in forward.get("slipway", []) if each.shift_live is not None]
    if shifts:
        found["shift_live_ms"] = max(shifts) * 1000
    return found, samples
