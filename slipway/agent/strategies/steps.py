"""The steps that plans are made of: plain values, and the names that the journal knows them by."""

from __future__ import annotations

from typing import NamedTuple, Union

__all__ = [
    "Barrier", "CheckRoutes", "Create", "Drain", "EdgeUp", "Fetch", "Judge", "KeepOld", "LeaveOld", "Migrate",
    "Observe", "Prune", "Record", "Remove", "ScaleUp", "ShiftTraffic", "Smoke", "StandIn", "Start", "Step", "StopOld",
    "TakePorts", "Unroute", "WaitHealthy", "Write", "name_of", "phase",
]  # fmt: skip


class Fetch(NamedTuple):
    """Pull what is missing of these images and verify all of them."""

    images: tuple[str, ...]


class Write(NamedTuple):
    """Put the release and its files in place."""

    release: str


class EdgeUp(NamedTuple):
    """Have Traefik run on this host as this deployment wants it."""

    version: str


class Barrier(NamedTuple):
    """Wait for the rest of the fleet."""

    reached: str


class Migrate(NamedTuple):
    """Run a service's migration in a container of its own."""

    service: str


class Start(NamedTuple):
    """Have Compose make and start containers; `recreate` replaces those that are there."""

    services: tuple[str, ...]
    recreate: bool


class ScaleUp(NamedTuple):
    """Start containers of the new generation beside those that are there."""

    services: tuple[str, ...]
    counts: tuple[int, ...]  # how many more of each
    batch: int = 1


class Remove(NamedTuple):
    """Stop and remove containers that no request reaches."""

    service: str
    containers: tuple[str, ...]


class WaitHealthy(NamedTuple):
    """Wait until the new generation of these services is healthy, or certainly is not."""

    services: tuple[str, ...]
    counts: tuple[int, ...] = ()
    """how many containers of each there are by now; empty: as many as there should be at the end"""
    batch: int = 1


class Smoke(NamedTuple):
    """Run the smoke checks of these services against their new generation."""

    services: tuple[str, ...]
    batch: int = 0  # 0: at the end, when all of the release runs; else before this batch gets traffic
    preview: bool = False  # through the edge, under the host name of the preview
    changed: tuple[str, ...] = ()  # services, at the end


class CheckRoutes(NamedTuple):
    """Ask the edge for every route of these services, which need what changed."""

    services: tuple[str, ...]
    changed: tuple[str, ...] = ()
    doubted: bool = False  # after a failure: with their smoke checks, and what keeps a wrong address starts again


class LeaveOld(NamedTuple):
    """Wait until services that stay have left the old containers of what changed, before those go."""

    services: tuple[str, ...]  # whose smoke checks are asked for
    changed: tuple[str, ...]


class ShiftTraffic(NamedTuple):
    """Send a share of a service's requests to its new generation, and see it live."""

    service: str
    share: int  # percent
    old: tuple[str, ...] = ()  # containers that get the rest
    without: tuple[str, ...] = ()  # containers that get none, whatever generation they are of
    batch: int = 1
    ahead: bool = False  # before containers stop whose successors are yet to start


class Judge(NamedTuple):
    """Compare the traffic of the new generation with the old one's over the same time."""

    service: str
    share: int


class Observe(NamedTuple):
    """Look at a batch for a while: it must stay up."""

    service: str
    seconds: float
    batch: int = 1


class Drain(NamedTuple):
    """Let the requests in flight end, then stop and remove containers that get no new ones."""

    service: str
    containers: tuple[str, ...]
    batch: int = 1


class KeepOld(NamedTuple):
    """Leave the old generation running for a while, for a quick rollback."""

    service: str
    containers: tuple[str, ...]


class Unroute(NamedTuple):
    """Take the routes of these services off the edge."""

    services: tuple[str, ...]


class Create(NamedTuple):
    """Have Compose create containers, and not start them yet."""

    services: tuple[str, ...]
    counts: tuple[int, ...] = ()  # how many more of each; empty: as many as there should be at the end


class StopOld(NamedTuple):
    """Stop containers of the project that this stack takes over from; they stay."""

    service: str  # whose containers, created before, start at once in their place; empty: all that are left
    containers: tuple[str, ...]


class StandIn(NamedTuple):
    """Have a service's containers answer to the names that those stopped for it have among the old ones."""

    service: str
    away: tuple[str, ...]


class TakePorts(NamedTuple):
    """Take the edge's ports over from old containers, and stop these."""

    containers: tuple[str, ...]


class Record(NamedTuple):
    """Write down that the release is live: from here on there is no going back."""

    release: str


class Prune(NamedTuple):
    """Remove what no rollback needs."""

    retention: int


Step = Union[
    Fetch, Write, EdgeUp, Barrier, Migrate, Start, ScaleUp, Remove, WaitHealthy, Smoke, ShiftTraffic, Judge, Observe,
    Drain, KeepOld, Unroute, Record, Prune, CheckRoutes, Create, StopOld, StandIn, TakePorts,
    LeaveOld,
]  # fmt: skip

# What the journal knows each kind of step by, and the part of a deployment that its time is counted for.
_KINDS: dict[type, tuple[str, str]] = {
    Fetch: ("fetch", "fetch"),
    Write: ("files", "files"),
    EdgeUp: ("edge", "edge"),
    Barrier: ("barrier:{reached}", "fleet"),
    Migrate: ("migrate:{service}", "migrate"),
    Start: ("start:{services}", "converge"),
    ScaleUp: ("grow:{services}{batch}", "converge"),
    Remove: ("remove:{service}", "converge"),
    WaitHealthy: ("await:{services}{batch}", "health"),
    Smoke: ("smoke:{services}{batch}", "smoke"),
    LeaveOld: ("leave:{services}", "smoke"),
    CheckRoutes: ("routes:{services}", "smoke"),
    ShiftTraffic: ("shift:{service}:{share}{batch}", "shift"),
    Judge: ("judge:{service}:{share}", "canary"),
    Observe: ("observe:{service}{batch}", "monitor"),
    Drain: ("retire:{service}{batch}", "retire"),
    KeepOld: ("keep:{service}", "retire"),
    Unroute: ("unroute:{services}", "shift"),
    Create: ("create:{services}", "move"),
    StopOld: ("stop-old:{service}", "move"),
    StandIn: ("stand-in:{service}", "move"),
    TakePorts: ("take-ports", "move"),
    Record: ("record", "record"),
    Prune: ("prune", "prune"),
}


def name_of(step: Step) -> str:
    """What the journal knows a step by: it is there `started` and `finished`."""
    pattern, _ = _KINDS[type(step)]
    if isinstance(step, Start) and step.recreate:
        pattern = "recreate:{services}"
    elif isinstance(step, Smoke) and step.preview:
        pattern = "preview:{services}"
    elif isinstance(step, Smoke) and not step.batch:
        pattern = "smoke"
    elif isinstance(step, ShiftTraffic) and step.ahead:
        pattern = "unload:{service}:{share}{batch}"
    services, batch = "+".join(getattr(step, "services", ())), getattr(step, "batch", 1)
    return pattern.format(**{**step._asdict(), "services": services, "batch": "" if batch == 1 else f":{batch}"})


def phase(step: Step) -> str:
    """The part of a deployment that a step's time is counted for, and that its progress lines begin with."""
    return _KINDS[type(step)][1]
