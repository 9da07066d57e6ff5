"""The administrator's side of a repository on GitHub, for pulumi-github and for Slipway's own questions.

As `github_fake`, of which it is the other half: each answer is held to GitHub's own description. It is reached as a
GitHub Enterprise Server (`/api/v3`), and knows the older form `/repositories/ID` of a repository's address.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from github_fake import ADMINISTRATION, REPOSITORY, FakeGitHub, answer
from nacl.public import PrivateKey, SealedBox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["FakeRepository"]

_ID = 1296269
_OWNER, _NAME = REPOSITORY.split("/")


class FakeRepository(FakeGitHub):
    """One repository, its users and teams; a test changes what it holds while it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.private, self.plan, self.admin = True, "enterprise", True
        self.users = {"ann": "write", "bob": "none"}
        self.teams = {"ops": True, "guests": False}
        self.rules: dict[str, dict[str, Any]] = {}
        """Environment → what was last put there."""
        self.sealed: dict[str, dict[str, str]] = {}
        """Environment, or the empty name for the repository → name → sealed value."""
        self.shared: dict[str, str] = {}
        """Variables of the repository."""
        self.policies: dict[str, list[dict[str, Any]]] = {}
        self.keys: list[dict[str, Any]] = []
        self.rulesets: list[dict[str, Any]] = []
        self.actions = {"enabled": True, "allowed_actions": "all"}
        self.workflows = {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": True}
        self.refused: list[tuple[str, int, str]] = []
        """Method and path (a regular expression), status and message, for as long as it stands here."""
        self._key = PrivateKey.generate()
        self._times: dict[tuple[str, str], str] = {}

    def environment(self, name: str, **rules: Any) -> None:
        """Have an environment that somebody made by hand."""
        self.rules[name] = rules
        self.environments.setdefault(name, {})

    def opened(self, environment: str = "") -> dict[str, str]:
        """The secrets as a workflow gets them."""
        box = SealedBox(self._key)
        found = self.sealed.get(environment, {})
        return {name: box.decrypt(base64.b64decode(value)).decode() for name, value in found.items()}

    def seal(self, environment: str, name: str, value: str) -> None:
        """Have a secret that somebody set by hand."""
        sealed = base64.b64encode(SealedBox(self._key.public_key).encrypt(value.encode())).decode()
        self._keep(environment, name, sealed)

    @property
    def written(self) -> list[str]:
        """The requests that were more than questions."""
        return [each for each in self.asked if not each.startswith("GET ")]

    # --- what is answered

    def application(self) -> Flask:
        application = super().application()
        for path, methods in ADMINISTRATION.items():
            rule = path.replace("{", "<").replace("}", ">")
            view = self._view(path.removeprefix("/repos/{owner}/{repo}"))
            application.add_url_rule(rule, path, view, methods=methods.split())
        inner: Any = application.wsgi_app

        def as_described(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            path = environ["PATH_INFO"].removeprefix("/api/v3")
            environ["PATH_INFO"] = path.replace(f"/repositories/{_ID}/", f"/repos/{REPOSITORY}/")
            given: Iterable[bytes] = inner(environ, start)
            return given

        application.wsgi_app = as_described  # type: ignore[method-assign]
        return application

    def _before(self) -> Response | None:
        asked = f"{request.method} {request.path}"
        for pattern, status, message in self.refused:
            if re.fullmatch(pattern, asked):
                self.asked.append(asked)
                return answer({"message": message}, status)
        return super()._before()

    def _view(self, path: str) -> Callable[..., Response]:
        """What answers at a path: by the last words of it, whether in an environment or not."""
        within = path.removeprefix("/environments/{environment_name}").removeprefix("/actions")
        views: dict[str, Callable[..., Response]] = {
            "": self._environment if path else self._repository,
            "/users/{username}": self._user, "/orgs/{org}": self._organisation,
            "/collaborators/{username}/permission": self._permission,
            "/orgs/{org}/teams/{team_slug}": self._team,
            "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}": self._access,
            "/deployment-branch-policies": self._policies,
            "/deployment-branch-policies/{branch_policy_id}": self._policy,
            "/secrets": self._secrets, "/secrets/public-key": self._public_key, "/secrets/{secret_name}": self._secret,
            "/variables": self._all_variables, "/variables/{name}": self._one_variable,
            "/keys": self._all_keys, "/keys/{key_id}": self._one_key,
            "/rulesets": self._all_rulesets, "/rulesets/{ruleset_id}": self._one_ruleset,
            "/permissions": self._permissions, "/permissions/workflow": self._workflow_permissions,
        }  # fmt: skip
        return views[within]

    def _example(self, name: str, /, **changes: Any) -> dict[str, Any]:
        return copy.deepcopy(self._examples[name]) | changes

    def _repository(self, **_: str) -> Response:
        about = self._example("full-repository", id=_ID, name=_NAME, full_name=REPOSITORY, private=self.private)
        about["has_discussions"] = False
        about["owner"] |= {"login": _OWNER, "type": "Organization"}
        about["permissions"] = {"admin": self.admin, "push": True, "pull": True}
        return answer(about)

    def _organisation(self, org: str) -> Response:
        if org != _OWNER:
            return _missing()
        plan = {"name": self.plan, "space": 1, "private_repos": 1}
        return answer(self._example("organization-full", login=org, plan=plan, archived_at=None))

    def _person(self, login: str) -> dict[str, Any]:
        number = list(self.users).index(login) + 1
        return self._example("public-user-default-response", login=login, id=number, user_view_type="public")

    def _user(self, username: str) -> Response:
        return answer(self._person(username)) if username in self.users else _missing()

    def _permission(self, username: str, **_: str) -> Response:
        if username not in self.users:
            return _missing()
        granted = self.users[username]
        body = self._example("repository-collaborator-permission-response-if-user-has-admin-permissions")
        body["user"]["role_name"] = granted
        return answer(body | {"permission": granted, "role_name": granted})

    def _team(self, team_slug: str, **_: str) -> Response:
        if team_slug not in self.teams:
            return _missing()
        return answer(self._group(team_slug))

    def _group(self, slug: str) -> dict[str, Any]:
        team = self._example("team-full", slug=slug, id=self._number(slug), type="organization")
        team["organization"]["archived_at"] = None
        return team

    def _access(self, team_slug: str, **_: str) -> Response:
        return Response(status=204) if self.teams.get(team_slug) else _missing()

    def _number(self, slug: str) -> int:
        return list(self.teams).index(slug) + 101

    def _environment(self, environment_name: str, **_: str) -> Response:
        name = environment_name
        if request.method == "PUT":
            self.rules[name] = request.get_json(silent=True) or {}
            self.environments.setdefault(name, {})
        if name not in self.environments:
            return _missing()
        if request.method == "DELETE":
            for held in (self.environments, self.rules, self.sealed, self.policies):
                held.pop(name, None)  # type: ignore[attr-defined]
            return Response(status=204)
        rules = self.rules.get(name, {})
        body = self._example("environment", name=name, protection_rules=list(self._protection(rules)))
        body["deployment_branch_policy"] = rules.get("deployment_branch_policy")
        body["can_admins_bypass"] = rules.get("can_admins_bypass", True)
        return answer(body)

    def _protection(self, rules: dict[str, Any]) -> Iterable[dict[str, Any]]:
        if rules.get("wait_timer"):
            yield {"id": 1, "node_id": "x", "type": "wait_timer", "wait_timer": rules["wait_timer"]}
        if reviewers := rules.get("reviewers"):
            users = {self._person(each)["id"]: self._person(each) for each in self.users}
            teams = {self._number(each): self._group(each) for each in self.teams}
            known = {"User": users, "Team": teams}
            yield {
                "id": 2, "node_id": "x", "type": "required_reviewers",
                "prevent_self_review": rules.get("prevent_self_review", False),
                "reviewers": [{"type": one["type"], "reviewer": known[one["type"]][one["id"]]} for one in reviewers],
            }  # fmt: skip

    def _policies(self, environment_name: str, **_: str) -> Response:
        found = self.policies.setdefault(environment_name, [])
        if environment_name not in self.environments:
            return _missing()
        if request.method == "GET":
            return self._page("branch_policies", found)
        found.append({"id": next(self._numbers), "node_id": "x", "type": "branch", **request.get_json()})
        return answer(found[-1])

    def _policy(self, environment_name: str, branch_policy_id: str, **_: str) -> Response:
        return _one(self.policies.get(environment_name, []), branch_policy_id)

    def _secrets(self, environment_name: str = "", **_: str) -> Response:
        if environment_name and environment_name not in self.environments:
            return _missing()
        names = self.sealed.get(environment_name, {})
        return self._page("secrets", [self._dated(environment_name, name) for name in names])

    def _public_key(self, **_: str) -> Response:
        return answer({"key_id": "5681", "key": base64.b64encode(bytes(self._key.public_key)).decode()})

    def _secret(self, secret_name: str, environment_name: str = "", **_: str) -> Response:
        if request.method == "PUT":
            self._keep(environment_name, secret_name, request.get_json()["encrypted_value"])
            return answer({}, 201)
        if secret_name not in self.sealed.get(environment_name, {}):
            return _missing()
        if request.method == "DELETE":
            del self.sealed[environment_name][secret_name]
            return Response(status=204)
        return answer(self._dated(environment_name, secret_name))

    def _keep(self, environment: str, name: str, sealed: str) -> None:
        self.sealed.setdefault(environment, {})[name] = sealed
        second = dt.timedelta(seconds=next(self._numbers))  # GitHub's times have whole seconds
        when = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC) + second
        self._times[environment, name] = f"{when:%Y-%m-%dT%H:%M:%SZ}"

    def _dated(self, environment: str, name: str) -> dict[str, Any]:
        return {"name": name, "created_at": "2026-11-20T12:00:00Z", "updated_at": self._times[environment, name]}

    def _held(self, environment: str) -> dict[str, str] | None:
        return self.environments.get(environment) if environment else self.shared

    def _all_variables(self, environment_name: str = "", **_: str) -> Response:
        held = self._held(environment_name)
        if request.method == "POST" and environment_name:
            return self._new_variable(environment_name)
        if held is None:
            return _missing()
        if request.method == "POST":
            body = request.get_json()
            if body["name"] in held:
                return answer({"message": "Already exists - variable already exists"}, 409)
            held[body["name"]] = body["value"]
            return answer({}, 201)
        times = {"created_at": "2026-11-20T12:00:00Z", "updated_at": "2026-11-20T12:00:00Z"}
        return self._page("variables", [{"name": name, "value": value, **times} for name, value in held.items()])

    def _one_variable(self, name: str, environment_name: str = "", **_: str) -> Response:
        held = self._held(environment_name) or {}
        if request.method == "DELETE" and name in held:
            del held[name]
            return Response(status=204)
        return self._answer_variable(held, name)

    def _all_keys(self, **_: str) -> Response:
        if request.method == "GET":
            return answer(self.keys)
        body = request.get_json()
        if any(each["key"] == body["key"] for each in self.keys):
            return answer({"message": "Validation Failed", "errors": [{"message": "key is already in use"}]}, 422)
        self.keys.append(self._example("deploy-key", id=next(self._numbers), **body))
        return answer(self.keys[-1], 201)

    def _one_key(self, key_id: str, **_: str) -> Response:
        return _one(self.keys, key_id)

    def _all_rulesets(self, **_: str) -> Response:
        if request.method == "POST":
            self.ruleset(**request.get_json())
            return answer(self.rulesets[-1], 201)
        short = ("id", "name", "target", "source_type", "source", "enforcement", "node_id", "created_at", "updated_at")
        return answer([{key: each[key] for key in short} for each in self.rulesets])

    def ruleset(self, **body: Any) -> None:
        """Have a ruleset."""
        number = next(self._numbers)
        self.rulesets.append(self._example("repository-ruleset", id=number, bypass_actors=[], source=REPOSITORY) | body)

    def _one_ruleset(self, ruleset_id: str, **_: str) -> Response:
        return _one(self.rulesets, ruleset_id)

    def _permissions(self, **_: str) -> Response:
        if request.method == "PUT":
            self.actions |= request.get_json()
            return Response(status=204)
        return answer({"sha_pinning_required": False, **self.actions})

    def _workflow_permissions(self, **_: str) -> Response:
        if request.method == "PUT":
            self.workflows |= request.get_json()
            return Response(status=204)
        return answer(self.workflows)


def _missing() -> Response:
    return answer({"message": "Not Found"}, 404)


def _one(entries: list[dict[str, Any]], number: str) -> Response:
    """Reads, changes or removes the entry with that id."""
    found = next((each for each in entries if each["id"] == int(number)), None)
    if found is None:
        return _missing()
    if request.method == "DELETE":
        entries.remove(found)
        return Response(status=204)
    if request.method == "PUT":
        found |= request.get_json()
    return answer(found)
