"""Who deploys, and from where, as locks, ledgers and history record it."""

from __future__ import annotations

import getpass
import os
import socket
from typing import NamedTuple

from slipway.contract.redaction import printable

__all__ = ["Origin", "actor", "in_pull_request", "origin", "run_url", "user_name"]


class Origin(NamedTuple):
    """Where an update comes from."""

    actor: str
    """A person and machine, or the CI run."""
    kind: str
    """deploy, rollback or promotion."""
    run: str
    """Address of the CI run; empty outside of CI."""


def origin(kind: str) -> Origin:
    """This process's origin."""
    return Origin(actor(), kind, printable(run_url()))


def actor() -> str:
    """Who deploys: the CI run's actor, or user and machine."""
    # https://docs.github.com/actions/reference/variables-reference
    if run := os.environ.get("GITHUB_RUN_ID"):
        who, where = os.environ.get("GITHUB_ACTOR", "GitHub Actions"), os.environ.get("GITHUB_REPOSITORY")
        return printable(f"{who} (run {run} of {where})")
    return printable(f"{user_name()}@{socket.gethostname()}")


def user_name() -> str:
    """Whose process this is."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def in_pull_request() -> bool:
    """Whether this is the CI job of a pull request (GitHub) or merge request (GitLab)."""
    # https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows
    return os.environ.get("GITHUB_EVENT_NAME", "").startswith("pull_request") or "CI_MERGE_REQUEST_IID" in os.environ


def run_url() -> str:
    """The address of the CI run that this process is part of; empty outside of CI."""
    if run := os.environ.get("GITHUB_RUN_ID"):
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{os.environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}"
    # GitLab: https://docs.gitlab.com/ci/variables/predefined_variables/, Jenkins: its "Building a software project"
    return os.environ.get("CI_JOB_URL") or os.environ.get("BUILD_URL") or ""
