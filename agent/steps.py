"""The steps that plans are made of: plain values, each with the name that the journal knows it by."""

from __future__ import annotations

from typing import NamedTuple, Union

__all__ = [
    "Await", "Barrier", "Fetch", "Migrate", "Prune", "Record", "Remove", "Smoke", "Start", "Step", "Write",
    "names", "phase",
]  # fmt: skip


class Fetch(NamedTuple):
    """Pull what is missing of these images and verify all of them."""

    images: tuple[str, ...]

    @property
    def name(self) -> str:
        """In the journal."""
        return "fetch"


class Write(NamedTuple):
    """Put the release and its files in place."""

    release: str

    @property
    def name(self) -> str:
        """In the journal."""
        return "files"


class Barrier(NamedTuple):
    """Wait for the rest of the fleet."""

    reached: str

    @property
    def name(self) -> str:
        """In the journal."""
        return f"barrier:{self.reached}"


class Migrate(NamedTuple):
    """Run a service's migration in a container of its own."""

    service: str

    @property
    def name(self) -> str:
        """In the journal."""
        return f"migrate:{self.service}"


class Start(NamedTuple):
    """Have Compose make and start containers; `recreate` replaces those that are there."""

    services: tuple[str, ...]
    recreate: bool

    @property
    def name(self) -> str:
        """In the journal."""
        return ("recreate:" if self.recreate else "start:") + "+".join(self.services)


class Remove(NamedTuple):
    """Stop and remove containers."""

    service: str
    containers: tuple[str, ...]

    @property
    def name(self) -> str:
        """In the journal."""
        return f"remove:{self.service}"


class Await(NamedTuple):
    """Wait until these services are healthy, or certainly are not."""

    services: tuple[str, ...]

    @property
    def name(self) -> str:
        """In the journal."""
        return "await:" + "+".join(self.services)


class Smoke(NamedTuple):
    """Run the smoke checks of these services."""

    services: tuple[str, ...]

    @property
    def name(self) -> str:
        """In the journal."""
        return "smoke"


class Record(NamedTuple):
    """Write down that the release is live: from here on there is no going back."""

    release: str

    @property
    def name(self) -> str:
        """In the journal."""
        return "record"


class Prune(NamedTuple):
    """Remove what no way back needs."""

    retention: int

    @property
    def name(self) -> str:
        """In the journal."""
        return "prune"


Step = Union[Fetch, Write, Barrier, Migrate, Start, Remove, Await, Smoke, Record, Prune]

_PHASES: dict[type, str] = {
    Fetch: "fetch",
    Write: "files",
    Barrier: "fleet",
    Migrate: "migrate",
    Start: "converge",
    Remove: "converge",
    Await: "health",
    Smoke: "smoke",
    Record: "record",
    Prune: "prune",
}


def phase(step: Step) -> str:
    """The part of a deployment that a step's time is counted for, and that its progress lines begin with."""
    return _PHASES[type(step)]


def names(steps: tuple[Step, ...]) -> list[str]:
    """Every name that the journal will hold for these steps, in order; each is there `started` and `finished`."""
    return [step.name for step in steps]
