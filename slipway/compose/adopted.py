"""What changes in a Compose file's model when a stack takes over from something that runs already.

Adopted volumes and networks become external: Compose creates none of them, and Slipway removes none. The labels by
which the previous proxy finds containers are left out, or it would send requests to the new ones too early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.settings.setting_files import config_rm, entry
from slipway.settings.spelling import suggestion
from slipway.x_slipway.proxy_labels import is_proxy_label, is_proxy_variable, unguarded, unreplaced_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings

__all__ = ["with_adopted"]


def with_adopted(model: Mapping[str, Any], settings: Settings, found: Findings) -> dict[str, Any]:
    """Compose's model with the adopted volumes and networks, fit to start beside what `moveFrom` names."""
    adopted = dict(model)
    if settings.move_from:
        services = model.get("services") or {}
        for each in unreplaced_labels(services, settings.domain):
            what, meaning, fix = each.problem()[:3]
            (found.warn if each.routed else found.refuse)(what, meaning, fix)
        for problem in unguarded(services):
            found.warn(problem.what, problem.meaning, problem.fix)
        adopted["services"] = {name: _without_proxy_words(each) for name, each in services.items()}
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
                key: {"name": name, "external": True, "x-adopted": True} for key, name in names.items() if key in stated
            }
    return adopted


def _without_proxy_words(service: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(service)
    for key, is_for_proxy in (("labels", is_proxy_label), ("environment", is_proxy_variable)):
        if key in service:
            found[key] = {name: value for name, value in (service[key] or {}).items() if not is_for_proxy(name)}
    return found
