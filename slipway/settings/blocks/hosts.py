"""Machines as a stack says them (`hosts` in its file)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from slipway.settings.values import Address, User, matching

__all__ = ["LOCAL_ADDRESS", "BastionSettings", "HostName", "HostSettings"]

LOCAL_ADDRESS = "local"

HostName = Annotated[str, matching(r"[a-z0-9][a-z0-9-]{0,40}", "is not 1 to 41 lower-case letters, digits and dashes")]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class BastionSettings(_Model):
    """The SSH host that one must go through to reach another."""

    address: Address = Field(description="name or IP address")
    user: User = Field("root", description="SSH user")
    port: int = Field(22, ge=1, le=65535, description="SSH port")
    host_key: str = Field("", description="pinned public host key, as ssh-keyscan prints it")


class HostSettings(_Model):
    """A machine with Docker and Python 3: reached over SSH, or this one (address `local`)."""

    name: HostName = Field(description="short name, unique in the stack")
    address: Address = Field(description="name or IP address; `local` for this machine")
    user: User = Field("root", description="SSH user; must be allowed to use Docker")
    port: int = Field(22, ge=1, le=65535, description="SSH port")
    host_key: str = Field("", description="pinned public host key, as ssh-keyscan prints it")
    bastion: BastionSettings | None = Field(None, description="SSH host to go through")

    @property
    def local(self) -> bool:
        """Whether this is the machine that Slipway itself runs on."""
        return self.address == LOCAL_ADDRESS

    @property
    def made(self) -> bool:
        """Whether it has an address: one at Hetzner has none before it is created."""
        return bool(self.address)

    @property
    def authority(self) -> str:
        """How it stands in a URL."""
        if self.local:
            return "127.0.0.1"
        return f"[{self.address}]" if ":" in self.address else self.address or self.name  # RFC 3986, section 3.2.2
