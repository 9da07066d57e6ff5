"""What runs, in the words of the report and the probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.facts import Container

__all__ = ["ended_well", "observed"]


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
            "containers": [_container(each) for each in own],
        }
    return found


def ended_well(containers: Sequence[Container], service: str) -> bool:
    """Whether a service is a one-off that ended well."""
    own = [each for each in containers if each.service == service]
    return bool(own) and all(each.state == "exited" and each.exit_code == 0 for each in own)


def _container(container: Container) -> dict[str, Any]:
    completed = container.state == "exited" and container.exit_code == 0
    return {
        "id": container.id,
        "name": container.name,
        "state": "completed" if completed else container.state,
        "health": container.health,
        "since": container.started,
        "restarts": container.restarts,
        "ports": [f"{at or '0.0.0.0'}:{public}->{port}/{kind}" for at, public, port, kind in container.ports],  # noqa: S104 - shown
    }
