"""The rest of the program, at once or after the servers that it makes are there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.contract.problems import SlipwayError
from slipway.hosts.host_sessions import HostSessions
from slipway.hosts.preflight import look_at_hosts
from slipway.settings.engine_errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.compose.application import Application
    from slipway.hosts.preflight import View
    from slipway.settings.model import Settings

__all__ = ["when_ready"]


def when_ready(
    settings: Settings,
    application: Application,
    view: View,
    machines: pulumi.Output[dict[str, dict[str, str]]] | None,
    converge: Callable[[View], Any],
) -> dict[str, pulumi.Output[Any]]:
    """The stack's outputs: of what `converge` makes of the hosts at once, or after new servers are there, and answer.

    Args:
        settings: of the stack.
        application: what is deployed.
        view: the hosts as they are now.
        machines: host → `address` and `hostKey` of those at Hetzner; None where there are none.
        converge: gives the deployment (components/deployment.py) to the hosts in a view.
    """
    if machines is None:
        return _exports(converge(view))
    if not view.pending or pulumi.runtime.is_dry_run():
        return {**_exports(converge(view)), "machines": machines}

    async def later(known: Mapping[str, Mapping[str, str]]) -> pulumi.Output[Any]:
        from slipway.hosts.hetzner.birth import ready  # noqa: PLC0415  # few updates make servers

        try:
            there = settings.located(known)
            changed = [host for host in there.hosts if host.name in view.pending]
            await asyncio.gather(
                *(ready(host, settings.private_key(), new=view.pending[host.name] != "resized") for host in changed)
            )
            found = converge(look_at_hosts(there, application, HostSessions(there)))
        except SlipwayError as error:
            raise pulumi.RunError(shown(error.of_stack(settings.stack))) from None
        return pulumi.Output.all(**_exports(found))

    made: Any = machines.apply(later)
    return {**{name: made[name] for name in ("release", "urls", "hosts")}, "machines": machines}


def _exports(deployment: Any) -> dict[str, pulumi.Output[Any]]:  # noqa: ANN401  # of a room that is above
    return {"release": deployment.release, "urls": deployment.urls, "hosts": deployment.summary}
