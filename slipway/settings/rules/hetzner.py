"""What keeps the machines at Hetzner from being as `hetzner` says, whatever is there."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from slipway.contract.problems import Problem
from slipway.settings.blocks.hetzner import TOKEN_KEY, TOKEN_VARIABLE
from slipway.settings.setting_files import config_rm, config_set
from slipway.settings.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from slipway.settings.model import Settings

__all__ = ["hetzner_problems", "hetzner_token"]

_TOKEN_LENGTH = 64  # pulumi-hcloud takes no other
_TOKENS = "https://console.hetzner.cloud: the project, Security, API tokens (read & write)"
# Docker's own address pools: https://docs.docker.com/engine/network/#subnet-allocation
_POOLS = tuple(ipaddress.ip_network(each) for each in ("172.16.0.0/12", "192.168.0.0/16"))


def hetzner_token(
    stack: str, configuration: Mapping[str, str], encrypted: Collection[str], environment: Mapping[str, str]
) -> tuple[str, list[Problem]]:
    """The token of pulumi-hcloud's own configuration, or of its variable; and what is wrong with where it stands."""
    token = configuration.get(TOKEN_KEY, "")
    if not token or TOKEN_KEY in encrypted:
        return token or environment.get(TOKEN_VARIABLE, ""), []
    problem = Problem(
        f"stack configuration: '{TOKEN_KEY}' is stored in plain text",
        "whoever can read the stack file owns the project at Hetzner: revoke that token there, and make another",
        f"{config_rm(stack, TOKEN_KEY)} && {config_set(stack, TOKEN_KEY, secret=True)}",
    )
    return token, [problem]


def hetzner_problems(settings: Settings) -> Iterator[Problem]:
    """What is wrong with `hetzner` by itself, and with the token; nothing where it says nothing."""
    hetzner, stack = settings.hetzner, settings.stack
    if not hetzner.servers:
        return
    token = settings.hetzner_token.get_secret_value()
    if len(token) != _TOKEN_LENGTH:
        yield Problem(
            f"the token of Hetzner's API has {len(token)} characters, not {_TOKEN_LENGTH}"
            if token
            else f"there is no token for Hetzner's API, neither {TOKEN_KEY} nor {TOKEN_VARIABLE}",
            f"no server can be made or looked at; a token comes from {_TOKENS}",
            config_set(stack, TOKEN_KEY, secret=True),
        )
    if not hetzner.ssh_from:
        yield Problem.about(
            "hetzner.sshFrom",
            "not set",
            "the firewall would let nobody in by SSH, nor Slipway; 0.0.0.0/0 lets everybody try, with the key alone",
            config_set(stack, "hetzner.sshFrom[0]", "0.0.0.0/0"),
            "setting-missing",
        )
    if hetzner.network:
        network = ipaddress.ip_network(hetzner.network)
        for pool in _POOLS:
            if network.overlaps(pool):
                yield Problem.about(
                    "hetzner.network",
                    f"{network} overlaps with {pool}, from which Docker takes its networks",
                    "containers could not reach the other servers, or the servers not their containers",
                    config_set(stack, "hetzner.network", "10.10.0.0/16"),
                )
    if hetzner.rebuild and hetzner.rebuild not in hetzner.machines:
        yield Problem.about(
            "hetzner.rebuild",
            f"there is no server {hetzner.rebuild}",
            suggestion(hetzner.rebuild, hetzner.machines, "nothing would be built anew"),
            config_rm(stack, "hetzner.rebuild"),
        )
