"""Who gets messages about what happens to a stack: the setting `notify`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from slipway.notify.delivery import Target
from slipway.notify.message import EVENTS, QUIET_EVENTS
from slipway.notify.services import EMAIL, SERVICES
from slipway.settings.values import Email, Listed, matching

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NotifyName", "NotifySettings", "targets"]

NotifyName = Annotated[str, matching(r"[a-z0-9][a-z0-9-]{0,40}", "is not lower-case letters, digits and dashes")]


class NotifySettings(BaseModel):
    """One place that messages go to."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )

    to: Literal[SERVICES] = Field(description="which service it is")  # type: ignore[valid-type]
    url: SecretStr = Field(description="address of the webhook; smtp:// or smtps:// with user and password for e-mail")
    events: Listed[Literal[tuple(EVENTS)]] = Field(default_factory=list, description="which events it gets")  # type: ignore[valid-type]
    sender: Email = Field("", validate_default=True, description="who an e-mail is from")
    recipients: Listed[Email] = Field(default_factory=list, validate_default=True, description="who gets an e-mail")

    @field_validator("url")
    @classmethod
    def _fitting(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        if wrong := _wrong(url.get_secret_value(), mail=info.data.get("to") == EMAIL):
            raise ValueError(wrong)
        return url

    @field_validator("sender", "recipients")
    @classmethod
    def _named(cls, value: str | list[str], info: ValidationInfo) -> str | list[str]:
        if info.data.get("to") == EMAIL and not value:
            raise ValueError("is missing: an e-mail has a sender and recipients")
        return value


def _wrong(url: str, *, mail: bool) -> str:
    """Why no message can be sent there; empty when one can."""
    try:
        place = urlsplit(url)
        host = (place.hostname or "") if place.port != 0 and re.fullmatch(r"[!-~]+", url) else ""
    except ValueError:
        host = ""
    if mail:
        usable = host and place.scheme in ("smtp", "smtps") and not place.path.strip("/")
        return "" if usable else "is not smtps://[USER:PASSWORD@]HOST[:PORT] or smtp://… (%40 is an @ in a password)"
    if re.search(r"(^|\.)(webhook\.office|outlook\.office(365)?)\.com$", host):
        return "is an Office 365 connector, which Microsoft has retired: make a webhook with the app Workflows"
    usable = host and place.scheme in ("http", "https") and "@" not in place.netloc
    return "" if usable else "is not an http:// or https:// address (without a user in it)"


def targets(notify: Mapping[str, NotifySettings], *, production: bool) -> list[Target]:
    """Where messages go; without `events`, outside of production, not those that ask for nothing."""
    usual = tuple(event for event in EVENTS if production or event not in QUIET_EVENTS)
    return [
        Target(
            each.to, each.url.get_secret_value(), tuple(each.events) or usual, name, each.sender, tuple(each.recipients)
        )
        for name, each in sorted(notify.items())
    ]
