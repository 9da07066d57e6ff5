"""Facts and a wanted release in, steps out: pure, so that every case of it is a line of data in a test.

Owns order (dependencies, migrations before anything live is replaced, gates before what needs them) and deciding that
there is nothing to do. Does not own how one service changes (`strategies`) or doing it (`runner`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent import strategies
from agent.facts import RUNS
from agent.graph import ancestors, levels
from agent.steps import Await, Barrier, Fetch, Migrate, Prune, Record, Remove, Smoke, Start, Step, Write
from agent.strategies.recreate import ended_as_proven

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agent.facts import Container
    from agent.ledger import Live, Proof
    from agent.rendering import Service

__all__ = ["Plan", "Wanted", "converge", "deployment"]

_GATED = ("service_healthy", "service_completed_successfully")


class Wanted(NamedTuple):
    """A release as this host should run it, without its secrets."""

    release: str
    convergence: str
    services: Mapping[str, Service]
    migrations: tuple[str, ...] = ()
    """services with a migration of this release that is not done yet and is this host's to run"""
    smoke: tuple[str, ...] = ()
    retention: int = 3
    fleet: bool = False


class Plan(NamedTuple):
    """What to do, in order; `touched` are the services whose containers change."""

    steps: tuple[Step, ...]
    touched: tuple[str, ...]


def deployment(
    wanted: Wanted, containers: Sequence[Container], live: Live | None, missing_images: Collection[str] = ()
) -> Plan:
    """The whole deployment. No steps at all when the release is live, proven and complete already."""
    proofs = live.services if live else {}
    migration, started = _migration(wanted, containers, proofs)
    steps, touched = converge(wanted.services, containers, proofs, started=started)
    changing = bool(touched or started or wanted.migrations)
    unproven = [s.name for s in wanted.services.values() if name_of_proof(proofs.get(s.name)) != s.config]
    recorded = live is not None and (live.release, live.convergence) == (wanted.release, wanted.convergence)
    obsolete = set(proofs) - set(wanted.services)
    if not (changing or unproven or missing_images or obsolete or not recorded):
        return Plan(_barriers_only() if wanted.fleet else (), ())
    awaited = {name for step in [*migration, *steps] if isinstance(step, Await) for name in step.services}
    late = tuple(name for name in unproven if name not in awaited and wanted.services[name].replicas)
    images = tuple(sorted({service.image for service in wanted.services.values()}))
    whole: list[Step] = [Fetch(images)] if changing or missing_images else []
    whole += [*_barrier(wanted, "prepared"), Write(wanted.release), *migration, *_barrier(wanted, "migrated"), *steps]
    whole += [Await(late)] if late else []
    if wanted.smoke and (changing or unproven or live is None or live.release != wanted.release):
        whole.append(Smoke(wanted.smoke))
    whole += [*_barrier(wanted, "proven"), Record(wanted.release), Prune(wanted.retention)]
    return Plan(tuple(whole), tuple(sorted({*touched, *started})))


def converge(
    services: Mapping[str, Service],
    containers: Sequence[Container],
    proofs: Mapping[str, Proof],
    started: Collection[str] = (),
) -> tuple[list[Step], list[str]]:
    """Steps that make the containers those of `services`, and the services touched by them."""
    steps: list[Step] = []
    touched: set[str] = set()
    for name in sorted({each.service for each in containers} - set(services)):
        # First, because what replaces it under another name may need its port or its volume.
        steps.append(Remove(name, tuple(each.id for each in containers if each.service == name)))
        touched.add(name)
    needed = {
        other for service in services.values() for other, condition in service.depends_on.items() if condition in _GATED
    }
    late: list[str] = []
    replaced: set[str] = set()
    for level in levels({name: list(service.depends_on) for name, service in services.items()}):
        sequences = []
        for name in level:
            if name in started:
                continue
            service = services[name]
            own = [each for each in containers if each.service == name]
            sequence = strategies.find(service.strategy, name)(service, own, proofs.get(name))
            if service.replaced_with & replaced and service.replicas and not ended_as_proven(service, proofs.get(name)):
                sequence = (Start((name,), recreate=True), Await((name,)))
            if not sequence:
                continue
            touched.add(name)
            if any(isinstance(step, Start) and step.recreate for step in sequence):
                replaced.add(name)
            if isinstance(sequence[-1], Await) and name not in needed:
                # Nobody waits for it: start the next level meanwhile.
                sequence = sequence[:-1]
                late.append(name)
            sequences.append(sequence)
        steps += _join(sequences)
    if late:
        steps.append(Await(tuple(late)))
    return steps, sorted(touched)


def name_of_proof(proof: Proof | None) -> str:
    """The configuration that was proven; empty when none was."""
    return proof.config if proof else ""


def _migration(
    wanted: Wanted, containers: Sequence[Container], proofs: Mapping[str, Proof]
) -> tuple[list[Step], list[str]]:
    """Migrations in dependency order, each after what it depends on runs at all (in whichever release)."""
    edges = {name: list(service.depends_on) for name, service in wanted.services.items()}
    alive = {each.service for each in containers if each.state in RUNS}
    steps: list[Step] = []
    started: list[str] = []
    order = [name for level in levels(edges) for name in level]
    for service in (name for name in order if name in wanted.migrations):
        before = ancestors(service, edges)
        missing = [
            name
            for name in order
            if name in before
            and name not in alive
            and wanted.services[name].replicas
            and not ended_as_proven(wanted.services[name], proofs.get(name))
        ]
        for level in levels({name: edges[name] for name in missing}):
            stopped = [name for name in level if any(each.service == name for each in containers)]
            steps += [Start((name,), recreate=True) for name in stopped]
            new = tuple(name for name in level if name not in stopped)
            steps += [Start(new, recreate=False)] if new else []
            steps.append(Await(tuple(level)))
        alive.update(missing)
        started += missing
        steps.append(Migrate(service))
    return steps, started


def _join(sequences: Sequence[tuple[Step, ...]]) -> list[Step]:
    """Interleave the services of one level: what Compose or a gate can do for several at once becomes one step."""
    waiting = [list(sequence) for sequence in sequences]
    joined: list[Step] = []
    while any(waiting):
        waiting = [sequence for sequence in waiting if sequence]
        heads = sorted((sequence[0] for sequence in waiting), key=_rank)
        first = heads[0]
        same = [s for s in waiting if s[0] is first or _joins(first, s[0])]
        if isinstance(first, (Start, Await)):
            services = tuple(name for s in same for name in getattr(s[0], "services", ()))
            joined.append(first._replace(services=services))
        else:
            same = [s for s in same if s[0] is first]
            joined.append(first)
        for sequence in same:
            del sequence[0]
    return joined


def _rank(step: Step) -> int:
    return 0 if isinstance(step, Remove) else 2 if isinstance(step, Await) else 1


def _joins(first: Step, other: Step) -> bool:
    if isinstance(first, Start) and isinstance(other, Start):
        return first.recreate == other.recreate
    return isinstance(first, Await) and isinstance(other, Await)


def _barrier(wanted: Wanted, reached: str) -> list[Step]:
    return [Barrier(reached)] if wanted.fleet else []


def _barriers_only() -> tuple[Step, ...]:
    return Barrier("prepared"), Barrier("migrated"), Barrier("proven")
