"""What a stack says of its machines at Hetzner (`hetzner` in its file), and nothing of what is there."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from slipway.settings.blocks.hosts import HostName, HostSettings
from slipway.settings.values import Listed, Mapped, Network, User, matching

__all__ = [
    "NO_SERVERS", "TOKEN_KEY", "TOKEN_VARIABLE", "HetznerSettings", "ServerSettings", "VolumeSettings",
]  # fmt: skip

TOKEN_KEY = "hcloud:token"  # noqa: S105  # the name of pulumi-hcloud's own setting
TOKEN_VARIABLE = "HCLOUD_TOKEN"  # noqa: S105  # and of its variable

_SMALLEST_VOLUME_GB = 10  # https://docs.hetzner.com/cloud/volumes/overview/
_Path = Annotated[str, matching(r"/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", "is not the absolute path of a folder")]
_Word = Annotated[str, matching(r"[a-z0-9][a-z0-9.-]*", "is not one of Hetzner's names")]


def _private(value: str) -> str:
    if value and not ((found := ipaddress.ip_network(value)).version == 4 and found.is_private):  # noqa: PLR2004
        raise ValueError("is not a private IPv4 network, such as 10.10.0.0/16")
    return value


class _Block(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class VolumeSettings(_Block):
    """A disk of its own for data: it outlives its server."""

    size: int = Field(ge=_SMALLEST_VOLUME_GB, le=10240, description="GB; it only grows")
    path: _Path = Field("/data", description="folder on the server where it is mounted")
    protect: bool = Field(default=True, description="keep it, with its data, when its server or the stack is removed")


class ServerSettings(_Block):
    """One kind of machine, made as often as `count` says."""

    name: HostName = Field(description="name of the host; further ones are NAME-2, NAME-3 and so on")
    type: _Word = Field(description="Hetzner's server type, such as cx23")
    location: _Word = Field(description="Hetzner's location, such as fsn1; a server cannot move")
    image: _Word = Field("debian-13", description="Hetzner's image; counts when the server is created")
    count: int = Field(1, ge=0, le=100, description="how many")
    labels: Mapped = Field(default_factory=dict, description="labels at Hetzner, besides Slipway's own")
    backups: bool = Field(default=False, description="Hetzner's daily backups, for a fifth of the server's price")
    volume: VolumeSettings | None = Field(None, description="disk for data of each: size, path, protect")

    @property
    def names(self) -> list[str]:
        """The hosts' names; another count renames none of them."""
        return [self.name, *(f"{self.name}-{number}" for number in range(2, self.count + 1))][: self.count]


class HetznerSettings(_Block):
    """The machines that `pulumi up` makes, and what is around them."""

    servers: Listed[ServerSettings] = Field(
        default_factory=list, description="machines: name, type, location, image, count, labels, backups, volume"
    )
    ssh_from: Listed[Network] = Field(
        default_factory=list, description="networks from which SSH may be used; anywhere: 0.0.0.0/0 and ::/0"
    )
    network: Annotated[str, AfterValidator(_private)] = Field(
        "", description="private network between the servers, such as 10.10.0.0/16; none when empty"
    )
    user: User = Field("deploy", description="SSH user on the servers, made for the purpose")
    rebuild: str = Field(
        "",
        description="server that is built anew where its image differs, or it never became ready; its volume and "
        "addresses stay",
    )
    drop_volumes: Listed[HostName] = Field(
        default_factory=list, description="servers whose unprotected volume, with its data, may go with them"
    )

    @property
    def machines(self) -> dict[str, ServerSettings]:
        """Name of a host → what it is."""
        return {name: server for server in self.servers for name in server.names}

    def hosts(self) -> list[HostSettings]:
        """All of them as hosts; without an address, which only the state knows."""
        about = {"address": "", "user": self.user, "port": 22, "host_key": "", "bastion": None}
        return [
            HostSettings.model_construct(None, name=name, **about) for server in self.servers for name in server.names
        ]


NO_SERVERS: Final = HetznerSettings.model_validate({})
"""What a stack says that has no machines at Hetzner."""
