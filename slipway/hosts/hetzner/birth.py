"""A new server, from its user data until it can be deployed to."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pulumi

from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.connection import load_asyncssh, reached
from slipway.hosts.preparation.cloud_init import STATUS_COMMAND, Wanted, user_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.hosts.key_pair import KeyPair
    from slipway.settings.model import HostSettings, Settings

__all__ = ["first_configuration", "ready"]

_BOOT_SECONDS = 900  # a slow mirror; Docker and all updates are installed meanwhile
_AGAIN_SECONDS = 2
_PREPARED = f"command -v cloud-init > /dev/null || exit 0; {STATUS_COMMAND}"
_DOCKER = "docker version > /dev/null 2>&1 || echo Docker does not answer"
_GOOD = ("", "status: done", "status: disabled")
_FAILED = ("status: error", "slipway: error: ")


def first_configuration(settings: Settings, host: str, key: KeyPair, login_key: str, volumes: Mapping[str, str]) -> str:
    """User data of a new server; `volumes` are devices and where they are mounted. It holds the host's private key."""
    network = settings.hetzner.network
    wanted = Wanted(
        user=settings.hetzner.user,
        login_keys=(login_key,),
        ports=(settings.http_port, settings.https_port),
        private=(network,) if network else (),
        volumes=volumes,
    )
    return user_data(host, wanted, key)


async def ready(host: HostSettings, private_key: str, *, new: bool) -> None:
    """Wait until a server answers with its key, cloud-init has done its part on a new one, and Docker runs.

    A new one is asked as root, who may log in with the same key from the first moment on: the user for deployments is
    made by what is waited for. Raises SlipwayError with cloud-init's own words, or when the time is over.
    """
    deadline = time.monotonic() + _BOOT_SECONDS
    machine = host.model_copy(update={"user": "root"}) if new else host
    lost = load_asyncssh().Error
    pulumi.log.info(printable(f"host {host.name}: waiting until {host.address} answers, and is prepared"))
    while True:
        problem: Exception | None = None
        said = ""
        try:
            async with reached(machine, private_key) as connection:
                for command in (_PREPARED, _DOCKER) if new else (_DOCKER,):
                    process = await connection.start(command)
                    said = (await process.stdout.read()).decode(errors="replace").strip()
                    if said.partition("\n")[0] not in _GOOD or _failed(said):
                        break
                else:
                    return
        except (SlipwayError, OSError, lost) as error:
            problem, said = error, ""
        if _failed(said) or time.monotonic() > deadline:
            break
        await asyncio.sleep(_AGAIN_SECONDS)
    if isinstance(problem, SlipwayError):
        raise problem
    what = f"host {host.name} did not become ready: {'; '.join(said.splitlines()) or problem}"
    if not new:
        docker = f"ssh {host.user}@{host.address} systemctl status docker"
        raise SlipwayError(what, "it was off for its new type, and nothing was deployed there", docker)
    raise SlipwayError(
        what,
        "cloud-init prepares it at its first start, so nothing was deployed there; the server stays as it is; "
        "/var/log/slipway-prepare.log there, and `cloud-init status --long`, say why; it can be built anew",
        f"pulumi config set --path hetzner.rebuild {host.name} && slipway up",
    )


def _failed(said: str) -> bool:
    return any(line.startswith(_FAILED) for line in said.splitlines())
