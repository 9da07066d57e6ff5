"""What changes in a Compose file's model when a stack takes over from something that runs already.

Adopted volumes and networks become external: Compose creates none of them, and Slipway removes none. The labels by
which the previous proxy finds containers are left out, or it would send requests to the new ones too early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.settings.setting_files import config_rm, config_set, entry
from slipway.settings.spelling import nearest
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
        free = [key for key in stated.keys() - names.keys() if not (stated[key] or {}).get("external")]
        for key in sorted(names.keys() - stated.keys()):
            close, fix = nearest(key, free), config_rm(settings.stack, entry(setting, key))
            if close:  # the data comes along
                fix = f"{config_set(settings.stack, entry(setting, close), names[key])} && {fix}"
                free.remove(close)
            elif free:
                fix = f"call it '{key}' in the Compose file again, or, where no service needs {names[key]}: {fix}"
            renamed = f"; did you mean '{close}'?" if close else ""
            found.refuse(
                f"{setting}: '{key}' is not one of the {kind} of the Compose file",
                f"no service would use {names[key]}, and whatever has another name now would start empty{renamed}",
                fix,
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
