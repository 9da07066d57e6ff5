"""What a stack says of its repository on GitHub (`github` in its file), and nothing of what is there."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from slipway.settings.values import Listed, Mapped, matching

__all__ = [
    "MOST_REVIEWERS", "MOST_SECRETS", "NOTHING", "SECRET_BYTES", "SECRET_NAME", "SSH_KEY", "UNFIT", "GitHubSettings",
    "RepositoryName", "ReviewerSettings", "RulesetSettings",
]  # fmt: skip

SECRET_BYTES = 48 * 1024  # https://docs.github.com/actions/reference/security/secrets: 48 KB
MOST_SECRETS = 100  # of an environment, and of a repository; the same page

RepositoryName = Annotated[str, matching(r"([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)?", "is not OWNER/NAME")]
MOST_REVIEWERS = 6
SSH_KEY = "SLIPWAY_SSH_KEY"
SECRET_NAME = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*")
UNFIT = "is not a name that GitHub takes: upper-case letters, digits and underscores, not GITHUB_… at its beginning"
_Name = Annotated[str, matching(SECRET_NAME.pattern, UNFIT)]


class _Block(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class ReviewerSettings(_Block):
    """Who approves the jobs of an environment; one of them is enough."""

    users: Listed[str] = Field(default_factory=list, description="logins")
    teams: Listed[str] = Field(default_factory=list, description="teams of the organisation, by their slug")


class RulesetSettings(_Block):
    """Rules for the default branch."""

    name: str = Field("slipway", min_length=1, max_length=100, description="its name; one of that name is adopted")
    required_checks: Listed[str] = Field(default_factory=list, description="checks without which nothing is merged")
    required_linear_history: bool = Field(default=False, description="no merge commits")
    required_signatures: bool = Field(default=False, description="signed commits only")


class GitHubSettings(_Block):
    """The environment of a stack, and what stacks share in the repository."""

    environment: Annotated[str, matching(r"[^/]{0,255}", "has a slash, or more than 255 characters")] = Field(
        "", description="name of the environment; the stack's when empty"
    )
    manage: Literal["own", "all"] = Field(
        "own",
        description="with all, secrets and variables of the environment that the stack does not name are removed; "
        "policies and rulesets, too, where it names any",
    )
    reviewers: ReviewerSettings | None = Field(None, description="who approves its jobs: users, teams; at most 6")
    wait_timer: int | None = Field(None, ge=0, le=43200, description="minutes that its jobs wait")
    prevent_self_review: bool | None = Field(None, description="whoever started a job may not approve it")
    protected_branches: bool = Field(default=False, description="only protected branches may use it")
    branches: Listed[str] = Field(default_factory=list, description="patterns of the branches that may use it")
    tags: Listed[str] = Field(default_factory=list, description="patterns of the tags that may use it")
    secrets: Listed[_Name] = Field(
        default_factory=list,
        description="names of its secrets; their values are those of the stack (`SLIPWAY_…` for a setting), else of "
        "the variables of that name where `pulumi up` runs",
    )
    ssh_key: bool = Field(
        default=False,
        description=f"make a key for the hosts, known to this environment alone, as its secret `{SSH_KEY}`",
    )
    variables: Mapped = Field(default_factory=dict, description="its variables")
    repository_secrets: Listed[_Name] = Field(default_factory=list, description="secrets that all environments share")
    repository_variables: Mapped = Field(default_factory=dict, description="variables that all environments share")
    deploy_keys: Mapped = Field(default_factory=dict, description="keys that may read the repository: title → key")
    ruleset: RulesetSettings | None = Field(
        None,
        description="rules for the default branch: name, requiredChecks, requiredLinearHistory, requiredSignatures",
    )
    actions_permissions: Literal["", "all", "local_only", "selected"] = Field(
        "", description="which actions may run in the repository: all, local_only or selected; left as it is when empty"
    )
    sha_pinning: bool = Field(
        default=False, description="with actionsPermissions: only actions that are pinned by their SHA may run"
    )
    workflow_permissions: Literal["", "read", "write"] = Field(
        "",
        description="what a workflow's token may do unless the workflow says: read or write; it never approves a "
        "pull request; left as it is when empty",
    )

    @property
    def all_secrets(self) -> list[str]:
        """Names of the environment's secrets, that of a key made here too."""
        return [*self.secrets, *([SSH_KEY] if self.ssh_key else [])]


NOTHING: Final = GitHubSettings.model_validate({})
"""What a stack says that says nothing of GitHub."""
