"""Which repository on GitHub, which token and which address of its API are meant; asks nobody."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["api_in", "repository_of", "token_in"]

_NAME = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
_HOSTS = ("github.com", "www.github.com", "ssh.github.com")


def api_in(environment: Mapping[str, str]) -> str:
    """The address of GitHub's API, another one for GitHub Enterprise Server."""
    return (environment.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")


def token_in(environment: Mapping[str, str]) -> str:
    """The token that GitHub's own command line would use; empty when there is none."""
    return environment.get("GH_TOKEN") or environment.get("GITHUB_TOKEN") or ""


def repository_of(given: str, folder: Path, environment: Mapping[str, str]) -> str:
    """OWNER/NAME: as given, else of the workflow that runs this, else of the Git remote `origin` of `folder`.

    Empty when it is not known. Raises `SlipwayError` when what is given has another form.
    """
    if given and not _NAME.fullmatch(given):
        raise SlipwayError(
            f"{given!r} is not a GitHub repository", "it is not known whom to ask", "give it as --repository OWNER/NAME"
        )
    return given or environment.get("GITHUB_REPOSITORY") or _in_address(_remote(folder), environment)


def _remote(folder: Path) -> str:
    """The address of `origin`, which may hold a token: never show it."""
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:  # no Git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _in_address(address: str, environment: Mapping[str, str]) -> str:
    server = urlsplit(environment.get("GITHUB_SERVER_URL", "")).hostname
    if "://" in address:
        host, path = urlsplit(address).hostname or "", urlsplit(address).path
    elif found := _SCP.fullmatch(address):
        host, path = found[1], found[2]
    else:
        return ""
    name = path.strip("/").removesuffix(".git")
    return name if host.lower() in (*_HOSTS, server) and _NAME.fullmatch(name) else ""
