"""Adds the steps of a handover to those of a deployment. Pure: facts and steps in, steps and words out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent.move.shared_data import shared
from slipway.agent.strategies.steps import (
    Barrier,
    Create,
    Migrate,
    Prune,
    Record,
    ScaleUp,
    StandIn,
    Start,
    Step,
    StopOld,
    TakePorts,
)
from slipway.contract.barriers import PROVEN
from slipway.contract.plan import OLD_STOPPED, PORTS_TAKEN, Change
from slipway.contract.published_ports import chosen_ports, published_ports
from slipway.contract.strategies import RECREATE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slipway.agent.move.old_project import OldContainer
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.strategies.service import Service

__all__ = ["old_changes", "taken_over", "with_handover"]


def with_handover(
    steps: Sequence[Step],
    rendered: Rendered,
    old: Sequence[OldContainer],
    ports: Collection[int],
    data: Mapping[str, Collection[str]],
    *,
    beside: Collection[str] = (),
) -> list[Step]:
    """`steps` that also take over from the `old` containers.

    `ports` are those that the edge is to have, `data` what each service may write to (see `shared_data`); services that
    are to run `beside` old ones share it with them for a while, as these do with whoever starts before.

    Who is in the way of a service stops right before that starts, which is created by then and answers to its names
    on the old networks: a restart, for whoever needs it. All else stops after the release is recorded.
    """
    running = [each._replace(mounts=() if each.service in beside else each.mounts) for each in old if each.running]
    proxies = [each for each in running if not set(each.ports).isdisjoint(ports)]
    left = [each for each in running if each not in proxies]
    found: list[Step] = []
    for step in steps:
        if proxies and (step == Barrier(PROVEN) or isinstance(step, Record)):
            found.append(TakePorts(_ids(proxies)))
            proxies = []
        if isinstance(step, Prune) and left:
            found.append(StopOld("", _ids(left)))
            left = []
        if isinstance(step, Migrate) and step.service not in beside:  # it works on the service's data
            away = [each for each in left if shared(data[step.service], each.mounts)]
            left = [each for each in left if each not in away]
            found += [StopOld("", _ids(away))] if away else []
        created: list[str] = []
        swaps: list[Step] = []
        for name in step.services if isinstance(step, (Start, ScaleUp)) else ():
            own = () if name in beside else data[name]
            away = [each for each in left if _in_the_way(each, rendered.services[name], rendered.compose, own)]
            left = [each for each in left if each not in away]
            if away:
                created.append(name)
                swaps += [StandIn(name, _ids(away)), StopOld(name, _ids(away))]
        if created and isinstance(step, ScaleUp):
            counts = dict(zip(step.services, step.counts))
            found.append(Create(tuple(created), tuple(counts[name] for name in created)))
            left_over = step._replace(counts=tuple(0 if name in created else counts[name] for name in step.services))
            found += [*swaps, left_over]  # `StopOld` starts what was created
        else:
            found += [Create(tuple(created))] if created else []
            found += [*swaps, step]
    found += [TakePorts(_ids(proxies))] if proxies else []
    return [*found, *([StopOld("", _ids(left))] if left else [])]


def taken_over(
    steps: Sequence[Step], old: Sequence[OldContainer], data: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """Service → from which old containers it takes over, and with which data, in words."""
    found: dict[str, str] = {}
    for step, after in zip(steps, (*steps[1:], None)):
        service = after.service if isinstance(after, Migrate) else getattr(step, "service", "")
        if isinstance(step, StopOld) and service and service not in found:
            away = [each for each in old if each.id in step.containers]
            used = shared(data[service], [mount for each in away for mount in each.mounts])
            named = ", ".join(each.name for each in away)
            for each in away:
                if each.service != service and each.service in data:
                    found.setdefault(each.service, f"{each.name} stops before {service} starts")
            found[service] = f"in place of {named}" + (f", on {', '.join(used)}" if used else "")
    return found


def old_changes(
    steps: Sequence[Step],
    rendered: Rendered,
    old: Sequence[OldContainer],
    project: str,
    edge_ports: Collection[int],
    *,
    data: Mapping[str, Collection[str]],
    beside: Collection[str] = (),
) -> Iterator[Change]:
    """What happens to the old project as a whole; `edge_ports` are those that the edge will have, all else as above."""
    names, services = {each.id: each.name for each in old}, rendered.compose["services"].values()
    ports = set(edge_ports).union(*map(chosen_ports, services))
    closing = {each.id: set(each.ports) - ports for each in old if each.running}
    left = [each for each in old if each.running]
    for step in steps:
        for name in step.services if isinstance(step, (Start, ScaleUp)) else ():
            for each in left:
                if used := shared(data[name], each.mounts):
                    first = f"`strategy: recreate` of {name if name in beside else each.service} stops it first"
                    because = f"{each.name} works on {', '.join(used)} beside {name} until then; {first}"
                    yield Change(project, OLD_STOPPED, (because,))
        left = [each for each in left if not isinstance(step, StopOld) or each.id not in step.containers]
        if isinstance(step, TakePorts):
            said = [f"from {_named(step.containers, names)}, while requests go on"]
            closed = {port for each in step.containers for port in closing.pop(each, ())}
            said += [f"port {port} closes: the edge will not have it" for port in sorted(closed)]
            yield Change("edge", PORTS_TAKEN, tuple(said))
        elif isinstance(step, StopOld) and not step.service:
            because = f"stopped and kept until `slipway move finish`: {_named(step.containers, names)}"
            yield Change(project, OLD_STOPPED, (because,))
    stopped = [each for step in steps if isinstance(step, StopOld) for each in step.containers]
    closed = {port for each in stopped for port in closing.get(each, ())}
    if closed and all(each.get("network_mode") != "host" for each in services):  # one could listen on any of them
        because = f"port {', '.join(map(str, sorted(closed)))} closes: nothing of the stack publishes it"
        yield Change(project, OLD_STOPPED, (because,))
    if idle := sorted(each.name for each in old if not each.ran):
        because = f"not running now, and not started by Docker at the next boot any more: {', '.join(idle)}"
        yield Change(project, OLD_STOPPED, (because,))


def _named(containers: Sequence[str], names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names.get(each, each) for each in containers))


def _in_the_way(old: OldContainer, service: Service, compose: Mapping[str, Any], data: Collection[str]) -> bool:
    """Whether an old container must stop before the service starts: their data, their port, or taking turns."""
    if not service.replicas:
        return False
    own = compose["services"][service.name]
    needed = bool(shared(data, old.mounts))
    needed = needed or any(port.width == 1 and port.first in old.ports for port in published_ports(own))
    return needed or (service.strategy == RECREATE and old.service == service.name)


def _ids(containers: Sequence[OldContainer]) -> tuple[str, ...]:
    return tuple(each.id for each in containers)
