"""GitHubEnvironment: a stack's environment in its repository on GitHub, and what stacks share there.

Owns: environment, policies, secrets, variables, deploy keys, a ruleset, the Actions permissions: what the stack names;
with `sshKey` also a key for the hosts, of which the environment has the private half.
Does not own: anything else in the repository, unless the stack manages all of the environment. What was there before
the stack is taken over, and stays when the stack no longer names it. A run without `githubAdmin` keeps everything as
the last one with it left it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pydantic.alias_generators import to_camel

from slipway.contract.problems import SlipwayError
from slipway.releases.github_repository import COMPONENT
from slipway.settings.blocks.github import NOTHING, SSH_KEY
from slipway.settings.engine_errors import raised_to_pulumi
from slipway.settings.rules.github import github_secret

from .ssh_key import SshKey, SshKeyArgs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from slipway.releases.github_repository import RepositoryView
    from slipway.settings.blocks.github import RulesetSettings
    from slipway.settings.model import Settings

    from .host import Host

__all__ = ["GitHubEnvironment", "GitHubEnvironmentArgs"]

_OPTIONAL = ("reviewers", "wait_timer", "prevent_self_review", "can_admins_bypass", "deployment_branch_policy")
_IGNORED = {"RepositoryDeployKey": ["title"]}  # one that was there keeps its own


@dataclass(frozen=True, kw_only=True)
class GitHubEnvironmentArgs:
    """What a stack wants of a repository, and what is there."""

    settings: Settings
    repository: RepositoryView
    hosts: Sequence[Host] = ()
    """Where a key that is made here logs in."""


class GitHubEnvironment(pulumi.ComponentResource):
    """A stack's side of its repository."""

    adopted: pulumi.Output[list[list[str]]]
    """Type and name of each resource that was there before the stack: it is never deleted."""

    def __init__(self, name: str, args: GitHubEnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(COMPONENT, name, None, opts)
        import pulumi_github  # noqa: PLC0415  # most stacks do not use it

        self._view, self._settings = args.repository, args.settings
        view = self._view
        self._key: SshKey | None = None
        if args.settings.github.ssh_key if view.admin else view.ssh_key:
            if view.admin and all(host.machine.local for host in args.hosts):  # settings refuse it where that is true
                raise SlipwayError(
                    "__main__.py gives GitHubEnvironment no hosts that are reached over SSH, and github.sshKey is set",
                    "GitHub would have a key that no host lets in; it is of a version of Slipway that made none",
                    "take over the __main__.py of the template of this version",
                )
            self._key = SshKey(name, SshKeyArgs(hosts=args.hosts), pulumi.ResourceOptions(parent=self))
        wanted = {(kind, each): properties for kind, each, properties in self._wanted()} if view.admin else {}
        kept = {} if view.admin else view.known
        if wanted or kept:  # it looks the repository's owner up
            self._provider = pulumi_github.Provider(
                f"{name}-github",
                owner=view.owner,
                base_url=f"{view.api}/",
                opts=pulumi.ResourceOptions(parent=self, transformations=[_without_token]),
            )
        adopted = view.adopted if not view.admin else view.adopted & {*wanted} | self._taken_over({*wanted})
        made: list[pulumi.CustomResource] = []
        for (kind, each), properties in wanted.items():
            options = self._options((kind, each), adopted)
            options.depends_on = made[:1]  # the environment
            made.append(getattr(pulumi_github, kind)(each, repository=view.name, **properties, opts=options))
        self._remove_others(made)
        first = [key for key in kept if key[0] == "RepositoryEnvironment"]
        for key in [*first, *(key for key in kept if key not in first)]:
            options = self._options(key, adopted)
            options.depends_on = made[:1]
            made.append(pulumi.CustomResource(kept[key], key[1], {}, options))
        self.adopted = pulumi.Output.from_input(sorted(map(list, adopted)))
        self.register_outputs({"adopted": self.adopted})

    def _taken_over(self, wanted: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """What is there and not in the state; said, as the engine shows some of it as new."""
        view = self._view
        found = frozenset(key for key in wanted if key in view.existing and key not in view.known)
        for key in sorted(found):
            pulumi.log.info(f"{_words(key)} is there already: it is taken over, and never deleted", resource=self)
            if left := view.differing.get(key):
                changed = f"{_words(key)} is taken over as it is: the next `pulumi up` changes it ({', '.join(left)})"
                pulumi.log.warn(changed, resource=self)
        return found

    def _remove_others(self, made: Collection[pulumi.CustomResource]) -> None:
        """Once all is there that the stack names."""
        for key in sorted(self._view.others):
            pulumi.log.warn(f"{_words(key)} is not named by the stack, which manages all: it is removed", resource=self)

        def remove(_: object) -> None:
            for each in self._view.others.values():
                each()

        if self._view.others and not pulumi.runtime.is_dry_run():
            pulumi.Output.all(*(each.id for each in made)).apply(raised_to_pulumi(remove))

    def _options(self, key: tuple[str, str], adopted: Collection[tuple[str, str]]) -> pulumi.ResourceOptions:
        view = self._view
        new = key not in view.known
        if not view.admin:
            ignored = ["*"]
        elif key[0] == "RepositoryEnvironment":
            ignored = [to_camel(name) for name in _OPTIONAL if name not in self._stated()]
        else:
            ignored = [*view.differing.get(key, ())] if new else _IGNORED.get(key[0], [])
        return pulumi.ResourceOptions(
            parent=self,
            provider=self._provider,
            retain_on_delete=key in adopted,
            delete_before_replace=True,  # they have their names from GitHub: the old one's end would be the new one's
            import_=view.existing.get(key) if new else None,
            ignore_changes=ignored,
        )

    def _stated(self) -> dict[str, Any]:
        """What the settings say of the environment."""
        github, ids = self._settings.github, self._view.reviewers
        stated: dict[str, Any] = {"wait_timer": github.wait_timer, "prevent_self_review": github.prevent_self_review}
        if github.reviewers:
            stated["reviewers"] = [{"users": ids["users"], "teams": ids["teams"]}]
        if github.branches or github.tags or github.protected_branches:
            custom = not github.protected_branches
            stated["deployment_branch_policy"] = {"protected_branches": not custom, "custom_branch_policies": custom}
        return {name: value for name, value in stated.items() if value is not None}

    def _wanted(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Type, name and properties of every resource, the environment first."""
        github, view = self._settings.github, self._view
        if github == NOTHING:
            return
        name = github.environment or self._settings.stack
        within = {"environment": name}
        there = {key: value for key, value in view.environment.items() if value is not None}
        yield "RepositoryEnvironment", name, {**within, **there, **self._stated()}
        for kind, patterns in (("branch", github.branches), ("tag", github.tags)):
            for each in patterns:
                yield (
                    "RepositoryEnvironmentDeploymentPolicy",
                    f"{name}/{kind} {each}",
                    {**within, f"{kind}_pattern": each},
                )
        for each in github.all_secrets:
            yield "ActionsEnvironmentSecret", f"{name}/{each}", {**within, **self._secret(each)}
        for each, value in github.variables.items():
            yield "ActionsEnvironmentVariable", f"{name}/{each}", {**within, "variable_name": each, "value": value}
        yield from self._shared()

    def _shared(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """What stacks share in the repository."""
        github = self._settings.github
        for each in github.repository_secrets:
            yield "ActionsSecret", each, self._secret(each)
        for each, value in github.repository_variables.items():
            yield "ActionsVariable", each, {"variable_name": each, "value": value}
        for each, key in github.deploy_keys.items():
            yield "RepositoryDeployKey", each, {"title": each, "key": key, "read_only": True}
        if ruleset := github.ruleset:
            yield "RepositoryRuleset", ruleset.name, _ruleset(ruleset)
        if github.actions_permissions:
            pinned = {"sha_pinning_required": True} if github.sha_pinning else {}
            allowed = {"allowed_actions": github.actions_permissions, **pinned}
            yield "ActionsRepositoryPermissions", self._view.name, allowed
        if github.workflow_permissions:
            granted = {
                "default_workflow_permissions": github.workflow_permissions,
                "can_approve_pull_request_reviews": False,
            }
            yield "WorkflowRepositoryPermissions", self._view.name, granted

    def _secret(self, name: str) -> dict[str, Any]:
        if name == SSH_KEY and self._key:
            return {"secret_name": name, "value": self._key.private_half}
        return {"secret_name": name, "value": pulumi.Output.secret(github_secret(self._settings, name))}


def _without_token(provider: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """pulumi-github puts GITHUB_TOKEN into the state; its plugin also reads it from the environment of each run."""
    properties = {name: value for name, value in provider.props.items() if name != "token"}
    return pulumi.ResourceTransformationResult(properties, provider.opts)


def _ruleset(ruleset: RulesetSettings) -> dict[str, Any]:
    checks = {"required_checks": [{"context": each} for each in ruleset.required_checks]}
    return {
        "name": ruleset.name,
        "target": "branch",
        "enforcement": "active",
        "conditions": {"ref_name": {"includes": ["~DEFAULT_BRANCH"], "excludes": []}},
        "rules": {
            "required_linear_history": ruleset.required_linear_history,
            "required_signatures": ruleset.required_signatures,
            **({"required_status_checks": checks} if ruleset.required_checks else {}),
        },
    }


def _words(key: tuple[str, str]) -> str:
    kind, name = key
    return f"{re.sub(r'(?<!^)(?=[A-Z])', ' ', kind).lower()} {name}"
