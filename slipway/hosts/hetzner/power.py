"""Servers at Hetzner on and off, where pulumi-hcloud would cut their power, or has left it off."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pulumi

from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.hetzner.api import Api
from slipway.settings.engine_errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

    from slipway.settings.model import Settings

__all__ = ["after_shutdown", "switched_on"]

_OFF_SECONDS = 180  # systemd gives what does not end 90
_AGAIN_SECONDS = 2


def after_shutdown(settings: Settings, host: str) -> Callable[[str], Coroutine[None, None, str]]:
    """For an `apply`: gives its argument once the server has shut down by itself, and has written what it holds.

    pulumi-hcloud cuts the power of one that runs to change its type. That happens here, too, to one that takes long.
    """

    async def shut_down(given: str) -> str:
        try:
            await asyncio.to_thread(_shut_down, settings, host)
        except SlipwayError as error:
            raise pulumi.RunError(shown(error.of_stack(settings.stack))) from None
        return given

    return shut_down


def _shut_down(settings: Settings, host: str) -> None:
    api, deadline, asked = _api(settings), time.monotonic() + _OFF_SECONDS, False
    while (found := api.all("servers", name=host)) and found[0]["status"] != "off":
        if not asked:
            pulumi.log.info(printable(f"host {host}: shutting down"))
            api.act(f"servers/{found[0]['id']}/actions/shutdown")
            asked = True
        if time.monotonic() > deadline:
            pulumi.log.warn(printable(f"host {host} has not shut down after {_OFF_SECONDS} s: its power is cut"))
            return
        time.sleep(_AGAIN_SECONDS)


def switched_on(settings: Settings, known: Iterable[str]) -> Iterator[Problem]:
    """For each of these servers that is off, as a failed update leaves one, a problem; an update switches it on."""
    if not (known := [name for name in known if name in settings.hetzner.machines]):
        return
    api = _api(settings)
    try:
        off = {str(each["name"]): each for each in api.all("servers") if each["status"] == "off"}
    except SlipwayError:
        return  # nothing more is known, and what is wrong has been said
    for name in sorted(off.keys() & {*known}):
        yield _switched_on(api, off[name])


def _switched_on(api: Api, server: Mapping[str, object]) -> Problem:
    name, again = server["name"], "slipway up"
    if pulumi.runtime.is_dry_run():
        return Problem(f"host {name} is off at Hetzner", "an update switches it on", again)
    try:
        api.act(f"servers/{server['id']}/actions/poweron")
    except SlipwayError as error:
        return Problem(f"host {name} is off at Hetzner", f"switching it on failed: {error.problems[0].what}", again)
    return Problem(f"host {name} was off at Hetzner", "it is switched on now, and answers in a minute", again)


def _api(settings: Settings) -> Api:
    return Api(settings.hetzner_token.get_secret_value(), settings.stack)
