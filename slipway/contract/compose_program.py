"""Which program is Compose on this machine."""

from __future__ import annotations

import os

__all__ = ["compose_plugin", "compose_program"]

_FOLDERS = (
    "~/.docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


def compose_plugin() -> str | None:
    """The Compose plugin in a folder where the docker CLI looks; None where it is elsewhere or missing."""
    own = os.environ.get("DOCKER_CONFIG")
    folders = (f"{own}/cli-plugins", *_FOLDERS) if own else _FOLDERS
    paths = (os.path.join(os.path.expanduser(folder), "docker-compose") for folder in folders)
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def compose_program() -> list[str]:
    """What `docker compose` itself runs after it has looked through all plugins, which takes it 0.1 s a call."""
    plugin = compose_plugin()
    return [plugin] if plugin else ["docker", "compose"]
