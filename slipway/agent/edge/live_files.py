"""Sees that a file of routes or certificates is live in Traefik."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.edge.traefik_api import TraefikApi
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.edge.containers import EdgeContainer
    from slipway.agent.edge.edge_dir import EdgeFolder

__all__ = ["LiveFiles"]

_LIVE_SECONDS = 10.0
_BACK_SECONDS = 2.0
_POLL_SECONDS = 0.004
# Traefik gives the new routers to its entry points one after the other, its API's possibly first, with nothing to
# wait for in between.
_SETTLE_SECONDS = 0.01


class LiveFiles:
    """Waits for what was written to the edge's folder."""

    def __init__(self, api: DockerApi, folder: EdgeFolder) -> None:
        self._api = api
        self._folder = folder

    def see_live(self, stack: str, name: str, running: Sequence[EdgeContainer], deadline: Deadline) -> None:
        """Wait until every running container has what was written under the marker `name`."""
        until = runtime.monotonic() + min(_LIVE_SECONDS, deadline.remaining())
        for each in running:
            api = TraefikApi(each.api_port)
            try:
                while not api.shows(name) or (faults := api.faults(f"{stack}~")) is None:
                    if runtime.monotonic() > until:
                        raise self._not_taken(stack, name, each, api)
                    deadline.pause(_POLL_SECONDS)
                if faults:
                    raise SlipwayError(
                        f"Traefik does not accept the routes of {stack}: {faults[0]}",
                        "the previous routes are back",
                        "fix what it names in x-slipway of the Compose file, then run it again",
                        [f"| {fault}" for fault in faults],
                    )
            finally:
                api.close()
        runtime.sleep(_SETTLE_SECONDS)

    def _not_taken(self, stack: str, name: str, container: EdgeContainer, api: TraefikApi) -> SlipwayError:
        status, body = api.get(f"/api/http/middlewares/{name}@file")
        answer = f"its API answered {status}: {body.decode('utf-8', 'replace').strip()[:200]}"
        return SlipwayError(
            f"the routes of {stack} did not become live in {container.name}",
            f"{self._folder.routes_of(stack)} was written as {name}, but {answer}; the previous routes are back",
            f"docker logs {container.name}",
            [f"| {line}" for line in self._api.logs(container.id)],
        )

    def see_back(self, path: str, running: Sequence[EdgeContainer]) -> None:
        """Wait a moment until what was there before is live again; that it is not hides no other failure."""
        written, until = self._folder.written(path), runtime.monotonic() + _BACK_SECONDS
        for each in running if written else ():
            api = TraefikApi(each.api_port)
            while written and not api.shows(written.marker) and runtime.monotonic() < until:
                runtime.sleep(_POLL_SECONDS)
            api.close()
