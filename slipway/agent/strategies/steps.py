"""The steps that plans are made of: plain values, each with the name that the journal knows it by."""

from __future__ import annotations

from typing import NamedTuple, Union

__all__ = [
    "Barrier", "Drain", "EdgeUp", "Fetch", "Judge", "KeepOld", "Migrate", "Observe", "Prune", "Record", "Remove",
    "ScaleUp", "ShiftTraffic", "Smoke", "Start", "Step", "Unroute", "WaitHealthy", "Write", "names", "phase",
]  # fmt: skip


class Fetch(NamedTuple):
    """Pull what is missing of these images and verify all of them."""

    images: tuple[str, ...]

    @property
    def name(self) -> str:
        return "fetch"


class Write(NamedTuple):
    """Put the release and its files in place."""

    release: str

    @property
    def name(self) -> str:
        return "files"


class EdgeUp(NamedTuple):
    """Have Traefik run on this host as this deployment wants it."""

    version: str

    @property
    def name(self) -> str:
        return "edge"


class Barrier(NamedTuple):
    """Wait for the rest of the fleet."""

    reached: str

    @property
    def name(self) -> str:
        return f"barrier:{self.reached}"


class Migrate(NamedTuple):
    """Run a service's migration in a container of its own."""

    service: str

    @property
    def name(self) -> str:
        return f"migrate:{self.service}"


class Start(NamedTuple):
    """Have Compose make and start containers; `recreate` replaces those that are there."""

    services: tuple[str, ...]
    recreate: bool

    @property
    def name(self) -> str:
        return ("recreate:" if self.recreate else "start:") + "+".join(self.services)


class ScaleUp(NamedTuple):
    """Start containers of the new generation beside those that are there."""

    services: tuple[str, ...]
    counts: tuple[int, ...]  # how many more of each
    batch: int = 1

    @property
    def name(self) -> str:
        return _numbered("grow:" + "+".join(self.services), self.batch)


class Remove(NamedTuple):
    """Stop and remove containers that no request reaches."""

    service: str
    containers: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"remove:{self.service}"


class WaitHealthy(NamedTuple):
    """Wait until the new generation of these services is healthy, or certainly is not."""

    services: tuple[str, ...]
    counts: tuple[int, ...] = ()
    """how many containers of each there are by now; empty: as many as there should be at the end"""
    batch: int = 1

    @property
    def name(self) -> str:
        return _numbered("await:" + "+".join(self.services), self.batch)


class Smoke(NamedTuple):
    """Run the smoke checks of these services against their new generation."""

    services: tuple[str, ...]
    batch: int = 0  # 0: at the end, when all of the release runs; else before this batch gets traffic
    preview: bool = False  # through the edge, under the host name of the preview

    @property
    def name(self) -> str:
        if self.preview:
            return "preview:" + "+".join(self.services)
        return _numbered("smoke:" + "+".join(self.services), self.batch) if self.batch else "smoke"


class ShiftTraffic(NamedTuple):
    """Send a share of a service's requests to its new generation, and see it live."""

    service: str
    share: int  # percent
    old: tuple[str, ...] = ()  # containers that get the rest
    without: tuple[str, ...] = ()  # containers that get none, whatever generation they are of
    batch: int = 1
    ahead: bool = False  # before containers stop whose successors are yet to start

    @property
    def name(self) -> str:
        return _numbered(f"{'unload' if self.ahead else 'shift'}:{self.service}:{self.share}", self.batch)


class Judge(NamedTuple):
    """Compare the traffic of the new generation with the old one's over the same time."""

    service: str
    share: int

    @property
    def name(self) -> str:
        return f"judge:{self.service}:{self.share}"


class Observe(NamedTuple):
    """Look at a batch for a while: it must stay up."""

    service: str
    seconds: float
    batch: int = 1

    @property
    def name(self) -> str:
        return _numbered(f"observe:{self.service}", self.batch)


class Drain(NamedTuple):
    """Let the requests in flight end, then stop and remove containers that get no new ones."""

    service: str
    containers: tuple[str, ...]
    batch: int = 1

    @property
    def name(self) -> str:
        return _numbered(f"retire:{self.service}", self.batch)


class KeepOld(NamedTuple):
    """Leave the old generation running for a while, for a quick rollback."""

    service: str
    containers: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"keep:{self.service}"


class Unroute(NamedTuple):
    """Take the routes of these services off the edge."""

    services: tuple[str, ...]

    @property
    def name(self) -> str:
        return "unroute:" + "+".join(self.services)


class Record(NamedTuple):
    """Write down that the release is live: from here on there is no going back."""

    release: str

    @property
    def name(self) -> str:
        return "record"


class Prune(NamedTuple):
    """Remove what no rollback needs."""

    retention: int

    @property
    def name(self) -> str:
        return "prune"


Step = Union[
    Fetch, Write, EdgeUp, Barrier, Migrate, Start, ScaleUp, Remove, WaitHealthy, Smoke, ShiftTraffic, Judge, Observe,
    Drain, KeepOld, Unroute, Record, Prune,
]  # fmt: skip

_PHASES: dict[type, str] = {
    Fetch: "fetch",
    Write: "files",
    EdgeUp: "edge",
    Barrier: "fleet",
    Migrate: "migrate",
    Start: "converge",
    ScaleUp: "converge",
    Remove: "converge",
    WaitHealthy: "health",
    Smoke: "smoke",
    ShiftTraffic: "shift",
    Judge: "canary",
    Observe: "monitor",
    Drain: "retire",
    KeepOld: "retire",
    Unroute: "shift",
    Record: "record",
    Prune: "prune",
}


def phase(step: Step) -> str:
    """The part of a deployment that a step's time is counted for, and that its progress lines begin with."""
    return _PHASES[type(step)]


def names(steps: tuple[Step, ...]) -> list[str]:
    """Every name that the journal will hold for these steps, in order; each is there `started` and `finished`."""
    return [step.name for step in steps]


def _numbered(name: str, batch: int) -> str:
    return name if batch == 1 else f"{name}:{batch}"
