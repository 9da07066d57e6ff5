"""What runs, in the words of the report, the probe and the listing (`contract/listing.schema.json`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent.docker import facts
from slipway.agent.docker.docker_api import DockerApi, find_socket
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.ledger import Ledger
from slipway.contract import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["ended_well", "listing", "observed"]


def observed(
    images: Mapping[str, str], replicas: Mapping[str, int], containers: Sequence[Container]
) -> dict[str, dict[str, Any]]:
    """Per service: image, the release that made its containers, wanted replicas, and each container."""
    found = {}
    for service in sorted(replicas):
        own = [each for each in containers if each.service == service]
        running = next((each.image for each in own if "@" in each.image), images.get(service, ""))
        found[service] = {
            "image": running,
            "release": next((each.release for each in own if each.release), ""),
            "replicas": replicas[service],
            "containers": [
                {
                    "id": each.id,
                    "name": each.name,
                    "state": "completed" if each.ended_well else each.state,
                    "health": each.health,
                    "since": each.started,
                    "restarts": each.restarts,
                    "ports": each.published,
                    **{name: list(of) for name, of in (("unnamed", each.unnamed), ("follows", each.follows)) if of},
                }
                for each in own
            ],
        }
    return found


def ended_well(containers: Sequence[Container], service: str) -> bool:
    """Whether a service is a one-off that ended well."""
    own = [each for each in containers if each.service == service]
    return bool(own) and all(each.ended_well for each in own)


def listing(folder: StackFolder) -> dict[str, Any]:
    """The Listing document: the containers of one stack as they are now, each with its generation."""
    api = DockerApi(find_socket(), timeout=20.0)
    live = Ledger(folder.ledger).live()
    proofs = live.services if live else {}
    kept = Keeping(folder).containers

    def generation(each: Container) -> str:
        if each.one_off:
            return "one-off"
        if each.id in kept:
            return "kept"
        return "live" if each.service in proofs and proofs[each.service].config == each.config else "other"

    return {
        "contract": CONTRACT,
        "stack": folder.stack,
        "socket": api.path,
        "live": live.release if live else None,
        "services": sorted(proofs),
        "containers": [
            {
                "id": each.id,
                "name": each.name,
                "service": each.service,
                "number": each.number,
                "one_off": each.one_off,
                "generation": generation(each),
                "release": each.release,
                "image": each.image,
                "state": each.state,
                "exit_code": each.exit_code,
                "health": each.health,
                "started": each.started,
                "restarts": each.restarts,
                "ports": each.published,
            }
            for each in facts.containers(api, folder.stack, one_offs=True)
        ],
    }
