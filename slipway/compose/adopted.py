"""Volumes and networks that exist already: the settings say which ones, the release takes them as external.

So Compose makes none of them, and nothing of Slipway removes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.settings.setting_files import config_rm, entry
from slipway.settings.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings

__all__ = ["with_adopted"]


def with_adopted(model: Mapping[str, Any], settings: Settings, found: Findings) -> dict[str, Any]:
    """Compose's model with what `adoptVolumes` and `adoptNetworks` name in place."""
    adopted = dict(model)
    for kind, setting, names in (
        ("volumes", "adoptVolumes", settings.adopt_volumes),
        ("networks", "adoptNetworks", settings.adopt_networks),
    ):
        stated = dict(model.get(kind) or {})
        for key in names.keys() - stated.keys():
            meaning = "what stands there would be used by no service, and another would start empty"
            found.refuse(
                f"{setting}: '{key}' is not one of the {kind} of the Compose file",
                suggestion(key, stated, meaning),
                config_rm(settings.stack, entry(setting, key)),
            )
        if names:
            adopted[kind] = stated | {
                key: {"name": name, "external": True} for key, name in names.items() if key in stated
            }
    return adopted
