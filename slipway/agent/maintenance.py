"""Answers every request of a stack with a page of the user's own, while something is fixed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent.deadline import Deadline, Stop
from slipway.agent.docker.docker_api import DockerApi, find_socket
from slipway.agent.edge.edge import Edge
from slipway.agent.state.lock import lock
from slipway.contract import CONTRACT
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["PAGE_LIMIT", "maintain"]

PAGE_LIMIT = 200_000  # bytes; it is part of the route file, which Traefik reads whole
_LOCK_WAIT = 60.0
_SECONDS = 60.0


def maintain(folder: StackFolder, page: str | None, out: Output) -> dict[str, Any]:
    """Show `page` (HTML) in place of everything that the stack serves; None ends it. Deployments leave it as it is.

    Raises:
        SlipwayError: the stack has no route here, or the edge does not take the page over.
    """
    if page is not None and len(page.encode()) > PAGE_LIMIT:
        raise SlipwayError(
            f"the page has {len(page.encode())} bytes, {PAGE_LIMIT} are allowed",
            "nothing was changed",
            "put images and styles of the page somewhere else, and refer to them",
        )
    stop = Stop()
    stop.install()
    reason = "maintenance off" if page is None else "maintenance on"
    with lock(folder.lock, owner=folder.actor(), reason=reason, wait=_LOCK_WAIT, stop=stop):
        edge = Edge(DockerApi(find_socket()), out)
        routing = edge.current(folder.stack)
        if routing is None or not routing.services:
            raise SlipwayError(
                "no service of this stack has a route here",
                "there is nothing that a page could replace",
                "give a service a route (x-slipway.route), deploy, then try again",
            )
        changed = routing.maintenance != page
        if changed:
            edge.write(folder.stack, routing._replace(maintenance=page), Deadline(_SECONDS, reason, (stop.check,)))
    return {"contract": CONTRACT, "stack": folder.stack, "maintenance": page is not None, "changed": changed}
