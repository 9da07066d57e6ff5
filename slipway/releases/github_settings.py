"""Which repository on GitHub, which token and which address of its API are meant; asks nobody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slipway.compose.git import git_output
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["api_in", "github_repository", "token_in"]

_NAME = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
_HOSTS = ("github.com", "www.github.com", "ssh.github.com")


def api_in(environment: Mapping[str, str]) -> str:
    """The address of GitHub's API, another one for GitHub Enterprise Server."""
    return (environment.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")


def token_in(environment: Mapping[str, str]) -> str:
    """The token that GitHub's own command line would use; empty when there is none."""
    return environment.get("GH_TOKEN") or environment.get("GITHUB_TOKEN") or ""


def github_repository(given: str, folder: Path, environment: Mapping[str, str]) -> str:
    """OWNER/NAME: as given, else of the workflow that runs this, else of the Git remote `origin` of `folder`.

    Empty when it is not known. Raises `SlipwayError` when what is given has another form.
    """
    if given and not _NAME.fullmatch(given):
        raise SlipwayError(
            f"{given!r} is not a GitHub repository", "it is not known whom to ask", "give it as --repository OWNER/NAME"
        )
    if name := given or environment.get("GITHUB_REPOSITORY"):
        return name
    address = git_output(folder, "remote", "get-url", "origin")  # it may hold a token: never show it
    return _in_address(address, environment)


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
