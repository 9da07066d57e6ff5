"""Where the values of `github.secrets` are, and what keeps a repository's side from being as the stack says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import SecretStr
from pydantic.alias_generators import to_snake

from slipway.contract.problems import Problem
from slipway.settings.blocks.github import (
    MOST_REVIEWERS,
    MOST_SECRETS,
    NOTHING,
    SECRET_BYTES,
    SECRET_NAME,
    SSH_KEY,
    UNFIT,
)
from slipway.settings.setting_files import config_rm, config_set, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.settings.model import Settings

__all__ = ["github_problems", "github_secret"]


def github_secret(settings: Settings, name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The value of one of `github.secrets`; empty where there is none."""
    key = to_snake(name.removeprefix("SLIPWAY_").lower())
    value = getattr(settings, key, "") if name.startswith("SLIPWAY_") else settings.secrets.get(name)
    if key == "ssh_key" and not settings.ssh_key.get_secret_value():
        return settings.private_key()
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return (value if isinstance(value, str) else "") or settings.variables.get(name) or environment.get(name, "")


def github_problems(settings: Settings) -> Iterator[Problem]:
    """What keeps the repository's side from being as `github` says, whatever is there."""
    github, stack = settings.github, settings.stack
    if github == NOTHING:
        return
    if not settings.github_repository:
        yield Problem.about(
            "githubRepository",
            "not set, though github is",
            "it is not known which repository is meant",
            config_set(stack, "githubRepository", "OWNER/NAME"),
            "setting-missing",
        )
    if github.reviewers and len([*github.reviewers.users, *github.reviewers.teams]) > MOST_REVIEWERS:
        yield Problem.about(
            "github.reviewers",
            f"there are more than {MOST_REVIEWERS}",
            "GitHub takes no more; a team counts as one",
            config_set(stack, "github.reviewers"),
        )
    yield from _contradictions(settings)
    for section in ("variables", "repositoryVariables"):
        for name in getattr(github, to_snake(section)):
            if not SECRET_NAME.fullmatch(name):
                where = entry(f"github.{section}", name)
                yield Problem.about(where, UNFIT, "it cannot be set there", config_rm(stack, where))
    if settings.github_admin:
        for section in ("secrets", "repositorySecrets"):
            yield from _secret_problems(settings, section)


def _contradictions(settings: Settings) -> Iterator[Problem]:
    github = settings.github
    for key, wrong, what, meaning in (
        (
            "protectedBranches",
            github.protected_branches and (github.branches or github.tags),
            "set, though branches or tags are",
            "GitHub takes one of them",
        ),
        (
            "shaPinning",
            github.sha_pinning and not github.actions_permissions,
            "set, though actionsPermissions is not",
            "GitHub takes both or none",
        ),
        (
            "sshKey",
            github.ssh_key and SSH_KEY in github.secrets,
            f"set, though secrets name {SSH_KEY}",
            "that secret would be two keys",
        ),
        (
            "sshKey",
            github.ssh_key and all(host.local for host in settings.hosts),
            "set, though no host is reached over SSH",
            "there is nothing that a key could log in to",
        ),
    ):
        if wrong:
            yield Problem.about(f"github.{key}", what, meaning, config_rm(settings.stack, f"github.{key}"))


def _secret_problems(settings: Settings, section: str) -> Iterator[Problem]:
    names: list[str] = getattr(settings.github, to_snake(section))
    if len(set(names)) > MOST_SECRETS:
        yield Problem.about(
            f"github.{section}", f"names {len(set(names))} secrets", f"GitHub keeps {MOST_SECRETS}",
            config_rm(settings.stack, f"github.{section}"),
        )  # fmt: skip
    for name in names:
        size = len(github_secret(settings, name).encode(errors="replace"))
        if not size:
            yield Problem.about(
                f"github.{section}",
                f"{name} has no value",
                "the workflows would run without it; a secret of the stack or a variable where this runs gives it",
                f"export {name}=…",
                "setting-missing",
            )
        elif size > SECRET_BYTES:
            yield Problem.about(
                f"github.{section}",
                f"{name} has {size:,} bytes",
                f"GitHub keeps {SECRET_BYTES:,} in one secret: keep it encrypted in a file instead",
                config_set(settings.stack, f"github.{section}"),
            )
