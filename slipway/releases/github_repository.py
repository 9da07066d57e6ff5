"""What a stack's repository on GitHub has, and what its state has of it, before anything is changed there.

Owns: every check that can be made beforehand. Does not own: the resources (components/github.py).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.records import outputs_in_state
from slipway.releases.github_settings import api_in
from slipway.settings.blocks.github import MOST_SECRETS, NOTHING
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from slipway.releases.github import Repository
    from slipway.settings.model import Settings

__all__ = ["COMPONENT", "RepositoryView", "look_at_repository"]

COMPONENT = "slipway:github:GitHubEnvironment"
"""The component's type in the engine's state."""

_SECRETS = "environments: read and write, secrets: read and write"
_ADMINISTRATION = "administration: read and write"
_GRANT = "https://github.com/settings/personal-access-tokens, or the GitHub App's settings"
_ENTERPRISE = "enterprise"


@dataclass(frozen=True, kw_only=True)
class RepositoryView:
    """A repository as it is now. Entries are known by the type and name of their resource."""

    owner: str
    name: str
    api: str
    admin: bool
    """Whether this run may change it."""
    ssh_key: bool = False
    """Whether the stack's state has a key for the hosts."""
    known: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """What the stack's state has → the type by which the engine knows it."""
    adopted: frozenset[tuple[str, str]] = frozenset()
    """What was there before the stack, of that."""
    existing: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """What GitHub has → the id by which it is imported; empty where the resource takes over what is there."""
    differing: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """What is imported → the properties in which it is not as wanted."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What an environment that is there says, in the properties of its resource."""
    reviewers: Mapping[str, list[int]] = field(default_factory=dict)
    """users and teams → their ids."""
    others: Mapping[tuple[str, str], Callable[[], None]] = field(default_factory=dict)
    """What goes because the stack manages all and does not name it → what removes it."""


def look_at_repository(settings: Settings, environment: Mapping[str, str] = os.environ) -> RepositoryView | None:
    """Look at the repository of a stack; None where it has none.

    Only a run that may change something there asks GitHub. Raises `SlipwayError` with everything that is wrong there.
    """
    if not settings.github_repository:
        return None
    owner, _, name = settings.github_repository.partition("/")
    about: dict[str, Any] = {"owner": owner, "name": name, "api": api_in(environment), **_of_state(settings.stack)}
    if not settings.github_admin or (settings.github == NOTHING and not about["known"]):
        return RepositoryView(**about, admin=settings.github_admin)
    if not environment.get("GITHUB_TOKEN"):
        raise SlipwayError(
            "there is no token for GitHub",
            f"githubAdmin is on, and {settings.github_repository} cannot be looked at or changed",
            "set GITHUB_TOKEN to an administrator's token, or: " + config_set(settings.stack, "githubAdmin", "false"),
        )
    if (other := environment.get("GITHUB_OWNER")) and other != owner:
        raise SlipwayError(
            f"GITHUB_OWNER is {other}", f"pulumi-github would change {other}/{name} instead", "unset GITHUB_OWNER"
        )
    from slipway.releases.github import Repository  # noqa: PLC0415  # 0.2 s that most stacks need not pay

    asked = {**environment, "GH_TOKEN": environment["GITHUB_TOKEN"]}  # pulumi-github knows the one alone
    own = {*about["known"]} - about["adopted"]
    look = _Look(settings, Repository(settings.github_repository, asked, at_once=True), own)
    found = look.all()
    if look.problems:
        raise SlipwayError(look.problems)
    return RepositoryView(**about, admin=True, **found)


def _of_state(stack: str) -> dict[str, Any]:
    """What the state has below the component, and what of it was there before."""
    known: dict[tuple[str, str], str] = {}
    adopted: list[list[str]] = []
    ssh_key = False
    for urn, outputs in outputs_in_state(stack).items():
        _, _, kind_and_name = urn.partition(COMPONENT)
        kind, _, name = kind_and_name.partition("::")
        if kind.startswith("$github:"):
            known[kind.rpartition(":")[2], name] = kind.removeprefix("$")
        elif kind.startswith("$slipway:ssh_key:"):
            ssh_key = True
        elif kind_and_name and not kind:
            adopted = outputs.get("adopted") or []
    return {"known": known, "adopted": frozenset((kind, name) for kind, name in adopted), "ssh_key": ssh_key}


class _Look:
    """Asks one repository about what a stack wants there."""

    def __init__(self, settings: Settings, repository: Repository, own: Collection[tuple[str, str]]) -> None:
        """`own` is what the engine removes by itself, once the stack no longer names it."""
        self.problems: list[Problem] = []
        self._github, self._stack, self._ask = settings.github, settings.stack, repository
        self._own, self._all = own, settings.github.manage == "all"
        self._others: dict[tuple[str, str], Callable[[], None]] = {}
        self._repo = f"/repos/{repository.name}"
        self._name = self._github.environment or settings.stack
        self._place = f"{self._repo}/environments/{quote(self._name, safe='')}"
        self._settings_page = f"https://github.com/{repository.name}/settings"
        self._owner, _, self._short = repository.name.partition("/")
        self._existing: dict[tuple[str, str], str] = {}
        self._differing: dict[tuple[str, str], tuple[str, ...]] = {}

    def all(self) -> dict[str, Any]:
        about = self._ask.read(self._repo, "the repository", "metadata: read")
        if about is None:
            self._problem(
                "githubRepository",
                f"GitHub knows no {self._ask.name}, or does not show it to this token",
                f"check the name, and let the token see it: {_GRANT}",
            )
            return {}
        if not (about.get("permissions") or {"admin": True})["admin"]:
            self._problem(
                "githubRepository",
                f"the token may not administer {self._ask.name}",
                f"grant its owner the role admin, and the token {_ADMINISTRATION}; {_SECRETS}: {_GRANT}",
            )
            return {}
        self._plan(about)
        steps = (self._environment, self._secrets, self._variables, self._keys, self._rulesets)
        with ThreadPoolExecutor(len(steps) + 1) as pool:
            reviewers = pool.submit(self._reviewers, public=not about.get("private"))
            permissions = {
                "ActionsRepositoryPermissions": self._github.actions_permissions,
                "WorkflowRepositoryPermissions": self._github.workflow_permissions,
            }  # every repository has them
            self._existing |= {(kind, self._short): "" for kind, said in permissions.items() if said}
            environment, *_ = (each.result() for each in [pool.submit(step) for step in steps])
            return {
                "existing": self._existing,
                "differing": self._differing,
                "environment": environment or {},
                "reviewers": reviewers.result(),
                "others": self._others,
            }

    def _problem(self, subject: str, what: str, fix: str, meaning: str = "nothing is changed there") -> None:
        self.problems.append(Problem.about(subject, what, meaning, fix))

    def _plan(self, about: Mapping[str, Any]) -> None:
        """Environments of private repositories need a plan that has them.

        https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments
        """
        kind = "orgs" if about["owner"]["type"] == "Organization" else "users"
        owner = self._ask.read(f"/{kind}/{self._owner}", "the owner", "metadata: read") or {}
        plan = str((owner.get("plan") or {}).get("name", "")).lower()  # only its owners see it
        if not plan or not about.get("private") or plan == _ENTERPRISE:
            return
        if plan == "free":
            self._problem(
                "github.environment",
                f"{self._ask.name} is private, and the plan of {self._owner} is free",
                "make the repository public, or upgrade the plan",
                "GitHub has environments and rulesets for public repositories only",
            )
        elif self._github.reviewers or self._github.wait_timer:
            self._problem(
                "github.reviewers",
                f"{self._ask.name} is private, and the plan of {self._owner} is {plan}",
                "make the repository public, or leave out reviewers and waitTimer",
                "reviewers and wait timers of private repositories need GitHub Enterprise",
            )

    def _reviewers(self, *, public: bool) -> dict[str, list[int]]:
        wanted = self._github.reviewers
        users, teams = (wanted.users, wanted.teams) if wanted else ([], [])
        return {
            "users": [each for at, login in enumerate(users) if (each := self._user(at, login, public=public))],
            "teams": [each for at, slug in enumerate(teams) if (each := self._team(at, slug, public=public))],
        }

    def _user(self, at: int, login: str, *, public: bool) -> int:
        user = self._ask.read(f"/users/{quote(login, safe='')}", f"user {login}", "metadata: read")
        if not user:
            self._problem(
                "github.reviewers.users",
                f"GitHub knows no user {login}",
                config_set(self._stack, f"github.reviewers.users[{at}]"),
            )
            return 0
        path = f"{self._repo}/collaborators/{quote(login, safe='')}/permission"
        granted = self._ask.read(path, f"the permission of {login}", "metadata: read") or {}
        if not public and granted.get("permission", "none") == "none":
            self._problem(
                "github.reviewers.users",
                f"{login} may not read {self._ask.name}",
                f"{self._settings_page}/access",
                "GitHub takes no such reviewer",
            )
        return int(user["id"])

    def _team(self, at: int, slug: str, *, public: bool) -> int:
        path = f"/orgs/{self._owner}/teams/{quote(slug, safe='')}"
        team = self._ask.read(path, f"team {slug}", "members: read (of the organisation)")
        if not team:
            self._problem(
                "github.reviewers.teams",
                f"GitHub knows no team {slug} in {self._owner}",
                config_set(self._stack, f"github.reviewers.teams[{at}]"),
                "it is not there, or the token may not see it (members: read)",
            )
            return 0
        if not public and self._ask.read(f"{path}{self._repo}", f"team {slug}", "members: read") is None:
            self._problem(
                "github.reviewers.teams",
                f"team {slug} may not read {self._ask.name}",
                f"{self._settings_page}/access",
                "GitHub takes no such reviewer",
            )
        return int(team["id"])

    def _environment(self) -> dict[str, Any]:
        """The environment in the properties of its resource; nothing when it is not there yet."""
        found = self._ask.read(self._place, f"environment {self._name}", "actions: read")
        if found is None:
            return {}
        self._existing["RepositoryEnvironment", self._name] = ""
        self._policies()
        rules = {rule["type"]: rule for rule in found.get("protection_rules") or ()}
        required = rules.get("required_reviewers", {})
        ids = {
            f"{kind.lower()}s": [
                each["reviewer"]["id"] for each in required.get("reviewers", ()) if each["type"] == kind
            ]
            for kind in ("User", "Team")
        }
        return {
            "can_admins_bypass": found.get("can_admins_bypass", True),
            "deployment_branch_policy": found.get("deployment_branch_policy"),
            "prevent_self_review": required.get("prevent_self_review", False),
            "reviewers": [ids] if required else None,
            "wait_timer": rules.get("wait_timer", {}).get("wait_timer"),
        }

    def _policies(self) -> None:
        path = f"{self._place}/deployment-branch-policies"
        wanted = {"branch": self._github.branches, "tag": self._github.tags}
        for each in self._ask.read_all(path, "branch_policies", f"the policies of {self._name}", "actions: read"):
            kind = each.get("type", "branch")
            key = ("RepositoryEnvironmentDeploymentPolicy", f"{self._name}/{kind} {each['name']}")
            self._existing[key] = self._id(self._name, each["id"])
            if any(wanted.values()) and each["name"] not in wanted[kind]:
                self._other(key, f"{path}/{each['id']}", _ADMINISTRATION)

    def _secrets(self) -> None:
        """Those that are there: a secret's resource replaces the value of one."""
        for kind, place, within, wanted in (
            ("ActionsEnvironmentSecret", f"{self._place}/secrets", f"{self._name}/", self._github.all_secrets),
            ("ActionsSecret", f"{self._repo}/actions/secrets", "", self._github.repository_secrets),
        ):
            what = f"the secrets of {self._name}" if within else "the secrets"
            asked = wanted or (self._all and within)
            names = {each["name"] for each in self._ask.read_all(place, "secrets", what, _SECRETS)} if asked else set()
            self._existing |= {(kind, f"{within}{name}"): "" for name in names & {*wanted}}
            for name in names - {*wanted} if within else ():
                self._other((kind, f"{within}{name}"), f"{place}/{name}", _SECRETS)
            if len(names | {*wanted}) > MOST_SECRETS:
                subject = "github.secrets" if within else "github.repositorySecrets"
                many = f"with the {len(names - {*wanted})} of others it would have {len(names | {*wanted})} secrets"
                self._problem(subject, many, f"remove some: {self._settings_page}", f"GitHub keeps {MOST_SECRETS}")

    def _variables(self) -> None:
        from slipway.releases.validation import VARIABLES  # noqa: PLC0415  # as `Repository`

        for kind, place, within, wanted in (
            ("ActionsEnvironmentVariable", f"{self._place}/variables", (self._name,), self._github.variables),
            ("ActionsVariable", f"{self._repo}/actions/variables", (), self._github.repository_variables),
        ):
            permission = "environments: read and write, variables: read and write"
            asked = wanted or (self._all and within)
            for each in self._ask.read_all(place, "variables", "the variables", permission) if asked else ():
                name, key = each["name"], "/".join((*within, each["name"]))
                if name in wanted:
                    left = () if each["value"] == wanted[name] else ("value",)
                    self._imported(kind, key, self._id(*within, name), left)
                elif within and name not in VARIABLES:  # those are set by `slipway validate`
                    self._other((kind, key), f"{place}/{name}", permission)

    def _keys(self) -> None:
        wanted = {_key(key): title for title, key in self._github.deploy_keys.items()}
        path = f"{self._repo}/keys?per_page=100"
        for each in (self._ask.read(path, "the deploy keys", _ADMINISTRATION) or ()) if wanted else ():
            if title := wanted.get(_key(each["key"])):
                self._imported("RepositoryDeployKey", title, self._id(each["id"]), ("title", "key", "readOnly"))

    def _rulesets(self) -> None:
        wanted = self._github.ruleset
        path = f"{self._repo}/rulesets?includes_parents=false&per_page=100"
        for each in (self._ask.read(path, "the rulesets", _ADMINISTRATION) or ()) if wanted else ():
            if wanted and each["name"] == wanted.name:
                left = ("rules", "conditions", "enforcement", "bypassActors", "target")
                self._imported("RepositoryRuleset", wanted.name, self._id(each["id"]), left)
            else:
                address = f"{self._repo}/rulesets/{each['id']}"
                self._other(("RepositoryRuleset", each["name"]), address, _ADMINISTRATION)

    def _other(self, key: tuple[str, str], address: str, permission: str) -> None:
        """Something that the stack does not name."""
        if self._all and key not in self._own:
            self._others[key] = partial(self._ask.remove, address, " ".join(key), permission)

    def _imported(self, kind: str, name: str, number: str, left: tuple[str, ...]) -> None:
        self._existing[kind, name] = number
        self._differing[kind, name] = left

    def _id(self, *parts: object) -> str:
        """The id by which pulumi-github imports it."""
        return ":".join([self._short, *(str(each).replace(":", "??") for each in parts)])


def _key(text: str) -> str:
    """A public key without its comment."""
    return " ".join(text.split()[:2])
