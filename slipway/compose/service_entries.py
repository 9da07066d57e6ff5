"""Every service's entry in the release document: what Compose, `x-slipway` and the settings say of it together."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from slipway.settings.edge_settings import edge_warnings
from slipway.settings.quantities import seconds
from slipway.settings.secrets.rules import missing_secret
from slipway.settings.setting_files import config_set, entry
from slipway.x_slipway.route_clashes import clashes
from slipway.x_slipway.strategy import choose
from slipway.x_slipway.update_config import read_update

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings
    from slipway.x_slipway.service import ServiceExtension
    from slipway.x_slipway.source_lines import SourceLines

__all__ = ["check_config_files", "service_entries"]


def service_entries(
    services: Mapping[str, Mapping[str, Any]],
    extensions: Mapping[str, ServiceExtension],
    settings: Settings,
    lines: SourceLines,
    found: Findings,
) -> dict[str, dict[str, Any]]:
    """Service → its entry."""
    found.add(*clashes(extensions, settings.domain))
    entries = {}
    for name, extension in extensions.items():
        update, problems = read_update(name, services[name])
        found.add(*problems)
        strategy = choose(name, services, extension, update, lines=lines, found=found)
        entries[name] = extension.document(
            strategy=strategy, update=update, domain=settings.domain, watched=bool(settings.watch_seconds)
        )
        if extension.basic_auth:
            _check_passwords(name, extension.basic_auth, settings, found)
        _check_stop(name, services[name], settings, found)
    found.warnings += edge_warnings(settings, entries)
    return entries


def _check_stop(name: str, service: Mapping[str, Any], settings: Settings, found: Findings) -> None:
    """Whether a container can take its whole grace period and its successor still has time to become healthy."""
    try:
        grace = seconds(service.get("stop_grace_period") or 0)
    except ValueError:
        return  # Compose's to refuse
    start = min(settings.health_deadline, settings.deadline // 2)
    left = settings.deadline - start
    if grace > left:
        found.warn(
            f"services.{name}.stop_grace_period is {grace:.0f} s, and the deadline of {settings.deadline} s leaves it "
            f"{left} s, since what comes next may take {start} s to start",
            "a deployment that stops it may run out of time, and its rollback has to wait for that stop as well",
            config_set(settings.stack, "deadline", str(math.ceil(grace) + max(start, settings.health_deadline))),
        )


def _check_passwords(name: str, secret: str, settings: Settings, found: Findings) -> None:
    """Whether the secret of a `basicAuth` is there, and holds passwords."""
    fix = config_set(settings.stack, entry("secrets", secret), "htpasswd -nB USER |", secret=True)
    where, meaning = f"services.{name}.x-slipway.basicAuth needs", "nobody could pass the password prompt"
    if secret not in settings.secrets:
        found.add(missing_secret(settings.stack, secret, f"{where} it", meaning, fix))
        return
    lines = [line for line in settings.secrets[secret].get_secret_value().splitlines() if line.strip()]
    if not lines or not all(":" in line.strip()[1:-1] for line in lines):
        found.refuse(f"secrets.{secret}: these are not lines of htpasswd ({where} them)", meaning, fix)


def check_config_files(model: Mapping[str, Any], folder: Path, found: Findings) -> None:
    """Warn of owners and modes that Compose does not give a config which is a file: it mounts that as it is."""
    configs = model.get("configs") or {}
    for name, service in (model.get("services") or {}).items():
        for used in service.get("configs") or ():
            file, mode = configs.get(used["source"], {}).get("file"), used.get("mode")
            stated = {key: str(used[key]) for key in ("uid", "gid") if key in used}
            if mode is not None:  # later versions of Compose write it as text
                bits = int(mode, 8) if isinstance(mode, str) else mode
                runs = bool(file) and os.access(folder / file.replace("$$", "$"), os.X_OK)
                stated |= {} if bits & 0o555 == (0o555 if runs else 0o444) else {"mode": f"{bits:04o}"}
            if file and stated:
                found.warn(
                    f"services.{name}.configs: {', '.join(stated)} of {used['source']} has no effect",
                    "it is a file, which Compose mounts as it is: all can read it there",
                    f"write its text as `content:` of configs.{used['source']}, which has them",
                )
