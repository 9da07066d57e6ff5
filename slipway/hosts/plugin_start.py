"""The engine's plugins start while hosts answer; by itself it starts them one by one, once the program has ended."""

from __future__ import annotations

import contextlib
import threading
from importlib.metadata import version
from typing import Any

from pulumi.runtime.proto.resource_pb2 import ResourceInvokeRequest
from pulumi.runtime.settings import get_monitor

__all__ = ["start_plugins"]


def start_plugins(*packages: str) -> None:
    """Have the engine start the plugins of its default providers for `packages`, such as `command`, meanwhile."""
    for package in packages:
        threading.Thread(target=_start, args=(package,), daemon=True).start()


def _start(package: str) -> None:
    """Call a function that no plugin has: the engine starts the plugin to hear so."""
    nothing = ResourceInvokeRequest(
        tok=f"{package}:index:nothing", version=version(f"pulumi-{package}"), acceptResources=True
    )
    monitor: Any = get_monitor()
    with contextlib.suppress(Exception):  # whatever is wrong with a plugin is said when a resource needs it
        monitor.Invoke(nothing)
