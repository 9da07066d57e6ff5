"""Which variables of the old containers do not have the value that a secret of the stack has now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SERVICE_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldProject
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["other_values"]


def other_values(old: OldProject, folder: StackFolder, api: DockerApi) -> dict[str, list[str]]:
    """Old container → names of such variables: a database whose password changed since lets it in no more."""
    secrets = [value for value in folder.stored_secrets().values() if value]
    now: dict[str, dict[str, str]] = {}
    for entry in api.containers({PROJECT_LABEL: folder.stack}):
        now.setdefault((entry.get("Labels") or {}).get(SERVICE_LABEL, ""), _variables(api.container(entry["Id"])))
    found = {}
    for each in (each for each in old.noted() if each.ran):
        own = _variables(api.container(each.id))
        stack = now.get(each.service, {})
        if names := sorted(
            name
            for name in own.keys() & stack.keys()
            if any(value in stack[name] and value not in own[name] for value in secrets)
        ):
            found[each.name] = names
    return found


def _variables(details: Mapping[str, Any] | None) -> dict[str, str]:
    pairs = (str(each).partition("=") for each in ((details or {}).get("Config") or {}).get("Env") or ())
    return {name: value for name, _, value in pairs}
