"""GitHub's REST API on loopback, as far as Slipway uses it, held against GitHub's own OpenAPI description.

Owns: a repository with checks, statuses and environments that tests set up, and failures that they order. Whatever is
asked and answered is validated: what breaks the description is in `violations`, and the fixture's end asserts that
there is none. Bodies are GitHub's own examples with the values that matter replaced.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import json
import logging
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Response, request
from openapi_core import OpenAPI
from openapi_core.contrib.flask import FlaskOpenAPIRequest, FlaskOpenAPIResponse
from openapi_core.exceptions import OpenAPIError
from werkzeug.serving import make_server

from dev.toolchain.github_api import description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ADMINISTRATION", "REPOSITORY", "TOKEN", "FakeGitHub", "answer", "serving_github"]

TOKEN = "ghp_canary-github-token-5b1f"
REPOSITORY = "acme/shop"

_Fake = TypeVar("_Fake", bound="FakeGitHub")

_LIMITS = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"

_BASE = "/repos/{owner}/{repo}"
_PATHS = {
    "check-runs": f"{_BASE}/commits/{{ref}}/check-runs",
    "check-suites": f"{_BASE}/commits/{{ref}}/check-suites",
    "status": f"{_BASE}/commits/{{ref}}/status",
    "workflow-runs": f"{_BASE}/actions/runs",
    "issues": f"{_BASE}/issues",
    "issue": f"{_BASE}/issues/{{issue_number}}",
    "pulls": f"{_BASE}/pulls",
    "pull": f"{_BASE}/pulls/{{pull_number}}",
    "comments": f"{_BASE}/issues/{{issue_number}}/comments",
    "comment": f"{_BASE}/issues/comments/{{comment_id}}",
    "variables": f"{_BASE}/environments/{{environment_name}}/variables",
    "variable": f"{_BASE}/environments/{{environment_name}}/variables/{{name}}",
} | {
    f"{place}-versions{one}": f"/{place}/{{{owner}}}/packages/{{package_type}}/{{package_name}}/versions{one}"
    for place, owner in (("orgs", "org"), ("users", "username"))
    for one in ("", "/{package_version_id}")
}  # test_prune.py answers there
_ENVIRONMENT = f"{_BASE}/environments/{{environment_name}}"
ADMINISTRATION = {  # path → what github_repository_fake.py does there
    _BASE: "GET",
    "/users/{username}": "GET",
    "/orgs/{org}": "GET",
    f"{_BASE}/collaborators/{{username}}/permission": "GET",
    "/orgs/{org}/teams/{team_slug}": "GET",
    "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}": "GET",
    _ENVIRONMENT: "GET PUT DELETE",
    f"{_ENVIRONMENT}/deployment-branch-policies": "GET POST",
    f"{_ENVIRONMENT}/deployment-branch-policies/{{branch_policy_id}}": "GET PUT DELETE",
    f"{_BASE}/keys": "GET POST",
    f"{_BASE}/keys/{{key_id}}": "GET DELETE",
    f"{_BASE}/rulesets": "GET POST",
    f"{_BASE}/rulesets/{{ruleset_id}}": "GET PUT DELETE",
    f"{_BASE}/actions/permissions": "GET PUT",
    f"{_BASE}/actions/permissions/workflow": "GET PUT",
} | {
    f"{within}/{path}": methods
    for within in (_ENVIRONMENT, f"{_BASE}/actions")
    for path, methods in {
        "secrets": "GET", "secrets/public-key": "GET", "secrets/{secret_name}": "GET PUT DELETE",
        "variables": "GET POST", "variables/{name}": "GET PATCH DELETE",
    }.items()
}  # fmt: skip


class FakeGitHub:
    """One repository; a test changes what it holds while it is asked."""

    def __init__(self) -> None:
        self._examples, self._openapi = _described()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.url = ""
        self.token = TOKEN
        """The one that it knows."""
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.suites: dict[str, dict[int, dict[str, Any]]] = {}
        self.workflow_runs: dict[str, dict[int, dict[str, Any]]] = {}
        self.statuses: dict[str, list[dict[str, Any]]] = {}
        self.environments: dict[str, dict[str, str]] = {}
        self.pulls: dict[int, str] = {}
        """Pull request → open or closed."""
        self.issues: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.failures: list[tuple[str, str, int, str, dict[str, str]]] = []
        """Method, part of the path, status, message and headers of answers to come, in place of the right ones."""
        self.asked: list[str] = []
        """Method and path of every request."""
        self.violations: list[str] = []
        self.watching: Callable[[str], None] = lambda _: None
        """Called with each request's method and path, before it is answered."""

    # --- what tests set up

    def check(
        self,
        sha: str,
        name: str,
        outcome: str = "",
        *,
        suite: int = 1,
        run: str = "1",
        status: str = "",
        workflow: int = 1,
        event: str = "push",
        file: str = "ci.yml",
    ) -> None:
        """A check run: completed with that conclusion, or in progress without one; an earlier one stays as it was.

        Every run of a workflow has a suite of its own; running it again adds check runs to that.
        """
        with self._lock:
            number = next(self._numbers)
            entry = copy.deepcopy(self._examples["check-run-paginated"]["check_runs"][0])
            address = f"https://github.com/{REPOSITORY}/actions/runs/{run}/job/{number}"
            entry |= {
                "id": number,
                "name": name,
                "head_sha": sha,
                "status": status or ("completed" if outcome else "in_progress"),
                "conclusion": outcome or None,
                "completed_at": "2026-11-20T12:00:00Z" if outcome else None,
                "details_url": address,
                "html_url": address,
                "url": f"{self.url}/repos/{REPOSITORY}/check-runs/{number}",
                "check_suite": {"id": suite},
            }
            self.runs.setdefault(sha, []).append(entry)
            ran = copy.deepcopy(self._examples["workflow-run-paginated"]["workflow_runs"][0])
            ran |= {"id": int(run), "head_sha": sha, "check_suite_id": suite, "workflow_id": workflow, "event": event}
            ran["path"] = f".github/workflows/{file}"
            self.workflow_runs.setdefault(sha, {})[suite] = ran
            self._suite(sha, suite, "completed" if outcome else "in_progress")

    def suite(self, sha: str, number: int, status: str) -> None:
        """A suite that is so, whatever its runs say: it may go on when all that are listed have ended."""
        with self._lock:
            self._suite(sha, number, status)

    def _suite(self, sha: str, number: int, status: str) -> None:
        entry = copy.deepcopy(self._examples["check-suite-paginated"]["check_suites"][0])
        conclusion = "success" if status == "completed" else None
        entry |= {"id": number, "head_sha": sha, "status": status, "conclusion": conclusion}
        entry["app"] = copy.deepcopy(self._examples["check-run-paginated"]["check_runs"][0]["app"]) | {"name": "CI"}
        self.suites.setdefault(sha, {})[number] = entry

    def status(self, sha: str, context: str, state: str) -> None:
        """A commit status; the latest of a context counts."""
        with self._lock:
            entry = copy.deepcopy(self._examples["combined-commit-status"]["statuses"][0])
            entry |= {"id": next(self._numbers), "context": context, "state": state}
            others = [each for each in self.statuses.get(sha, []) if each["context"] != context]
            self.statuses[sha] = [*others, entry]

    def fail(
        self, status: int, message: str, *, method: str = "", path: str = "", times: int = 1, **headers: str
    ) -> None:
        """Answer the next requests (of that method, with that in their path) so."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        with self._lock:
            self.failures += [(method, path, status, message, given)] * times

    # --- what is answered

    def application(self) -> Flask:
        application = Flask("github")
        views = {
            "check-runs": self._check_runs,
            "check-suites": self._check_suites,
            "status": self._status,
            "workflow-runs": self._workflow_runs,
            "issues": self._issues,
            "issue": functools.partial(self._edited, self.issues),
            "pulls": lambda **_: answer([]),
            "pull": self._pull,
            "comments": self._comments,
            "comment": functools.partial(self._edited, self.comments),
            "variables": self._new_variable,
            "variable": self._variable,
        }
        for name, view in views.items():
            path = _PATHS[name].replace("{", "<").replace("}", ">")
            methods = {
                "variables": ["POST"], "variable": ["GET", "PATCH"], "issues": ["GET", "POST"], "issue": ["PATCH"],
                "comments": ["GET", "POST"], "comment": ["PATCH"],
            }.get(name, ["GET"])  # fmt: skip
            application.add_url_rule(path, name, view, methods=methods)
        application.before_request(self._before)
        application.after_request(self._after)
        return application

    def _before(self) -> Response | None:
        self.watching(f"{request.method} {request.path}")
        with self._lock:
            self.asked.append(f"{request.method} {request.path}")
            public = [None] if {*(request.view_args or ())} == {"org"} else []  # anybody may ask about an organisation
            if request.headers.get("Authorization") not in (f"token {self.token}", f"Bearer {self.token}", *public):
                return answer({"message": "Bad credentials"}, 401)
            if (
                "owner" in (request.view_args or {})
                and "/".join((request.view_args or {}).get(part, "") for part in ("owner", "repo")) != REPOSITORY
            ):
                return answer({"message": "Not Found"}, 404)
            try:
                self._openapi.validate_request(FlaskOpenAPIRequest(request))
            except OpenAPIError as error:
                self.violations.append(f"{request.method} {request.path}: {_why(error)}")
                return answer({"message": "it breaks the description"}, 422)
            for each in self.failures:
                method, path, status, message, headers = each
                if method in ("", request.method) and path in request.path:
                    self.failures.remove(each)
                    return answer({"message": message, "documentation_url": _LIMITS}, status, **headers)
        return None

    def _after(self, response: Response) -> Response:
        known = request.url_rule is not None
        if known and response.status_code < 300:  # its errors are hardly described
            try:
                self._openapi.validate_response(FlaskOpenAPIRequest(request), FlaskOpenAPIResponse(response))
            except OpenAPIError as error:
                self.violations.append(f"answer to {request.method} {request.path}: {_why(error)}")
        return response

    def _check_runs(self, ref: str, **_: str) -> Response:
        return self._page("check_runs", self.runs.get(ref, []))

    def _check_suites(self, ref: str, **_: str) -> Response:
        return self._page("check_suites", list(self.suites.get(ref, {}).values()))

    def _workflow_runs(self, **_: str) -> Response:
        return self._page("workflow_runs", list(self.workflow_runs.get(request.args["head_sha"], {}).values()))

    def comment(self, issue: int, body: str, *, author: str = "github-actions[bot]", association: str = "NONE") -> None:
        """A comment on an issue or pull request."""
        entry = copy.deepcopy(self._examples["issue-comment-items"][0])
        number = next(self._numbers)
        entry |= {"id": number, "body": body, "author_association": association}
        entry["url"] = f"{self.url}/repos/{REPOSITORY}/issues/comments/{number}"
        entry["issue_url"] = f"{self.url}/repos/{REPOSITORY}/issues/{issue}"
        entry["user"] |= {"login": author, "type": "Bot" if author.endswith("[bot]") else "User"}
        self.comments.append(entry)

    def _comments(self, issue_number: str, **_: str) -> Response:
        if request.method == "POST":
            self.comment(int(issue_number), request.get_json()["body"])
            return answer(self.comments[-1], 201)
        found = [each for each in self.comments if each["issue_url"].endswith(f"/{issue_number}")]
        return answer(found)

    def _pull(self, pull_number: str, **_: str) -> Response:
        state = self.pulls.get(int(pull_number))
        entry = {**self._examples["pull-request"], "number": int(pull_number), "state": state, "requested_teams": []}
        return answer(entry) if state else answer({"message": "Not Found"}, 404)

    def _issues(self, **_: str) -> Response:
        if request.method == "POST":
            entry = copy.deepcopy(self._examples["issue"])
            number = next(self._numbers)
            entry |= {"number": number, "state": "open", "url": f"{self.url}/repos/{REPOSITORY}/issues/{number}"}
            self.issues.append(entry | {key: request.get_json()[key] for key in ("title", "body")})
            return answer(self.issues[-1], 201)
        return answer([each for each in self.issues if each["state"] == request.args.get("state", "open")])

    def _edited(self, entries: list[dict[str, Any]], **_: str) -> Response:
        found = next(each for each in entries if each["url"].endswith(request.path))
        found.update(request.get_json())
        return answer(found)

    def _status(self, ref: str, **_: str) -> Response:
        entries = self.statuses.get(ref, [])
        states = {each["state"] for each in entries}
        worst = next((state for state in ("error", "failure", "pending") if state in states), "success")
        around = copy.deepcopy(self._examples["combined-commit-status"])
        around |= {"sha": ref, "state": "failure" if worst == "error" else worst if entries else "pending"}
        return self._page("statuses", entries, around)

    def _page(self, name: str, entries: list[dict[str, Any]], around: dict[str, Any] | None = None) -> Response:
        size, number = int(request.args.get("per_page", 30)), int(request.args.get("page", 1))
        part = entries[(number - 1) * size : number * size]
        headers = {}
        if number * size < len(entries):
            headers["Link"] = f'<{self.url}{request.path}?per_page={size}&page={number + 1}>; rel="next"'
        return answer({**(around or {}), "total_count": len(entries), name: part}, **headers)

    def _new_variable(self, environment_name: str, **_: str) -> Response:
        found = self.environments.get(environment_name)
        body = request.get_json()
        if found is None:
            return answer({"message": "Not Found"}, 404)
        if body["name"] in found:
            return answer({"message": "Already exists - variable already exists"}, 409)
        found[body["name"]] = body["value"]
        return answer({}, 201)

    def _variable(self, environment_name: str, name: str, **_: str) -> Response:
        return self._answer_variable(self.environments.get(environment_name, {}), name)

    def _answer_variable(self, found: dict[str, str], name: str) -> Response:
        if name not in found:
            return answer({"message": "Not Found"}, 404)
        if request.method == "PATCH":
            found[name] = request.get_json()["value"]
            return Response(status=204)
        times = {"created_at": "2026-11-20T12:00:00Z", "updated_at": "2026-11-20T12:00:00Z"}
        return answer({"name": name, "value": found[name], **times})


def _why(error: OpenAPIError) -> str:
    """Which parts break the description, without the whole that they are parts of."""
    parts = getattr(error.__cause__, "schema_errors", ())
    return "; ".join(f"{'.'.join(map(str, each.path))}: {each.message[:200]}" for each in parts) or f"{error!r}"


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")


@functools.cache
def _described() -> tuple[dict[str, Any], OpenAPI]:
    """GitHub's examples by name, and its description of the paths above."""
    document = json.loads(description(sorted({*_PATHS.values(), *ADMINISTRATION})).read_text())
    document["servers"] = [{"url": "/"}]
    _allow_null(document)
    put = document["paths"][_ENVIRONMENT]["put"]["requestBody"]["content"]["application/json"]["schema"]
    put["properties"]["can_admins_bypass"] = {"type": "boolean"}  # GitHub takes it, and describes it in answers alone
    examples = {name: each["value"] for name, each in document["components"]["examples"].items()}
    return examples, OpenAPI.from_dict(document)


def _allow_null(part: Any) -> None:
    """Say `null` among the values of a nullable enumeration, as OpenAPI 3.0.3 asks for and GitHub leaves out."""
    if isinstance(part, dict):
        if part.get("nullable") and isinstance(part.get("enum"), list) and None not in part["enum"]:
            part["enum"].append(None)
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        _allow_null(each)


@contextlib.contextmanager
def serving_github(kind: type[_Fake] = FakeGitHub) -> Iterator[_Fake]:  # type: ignore[assignment]
    """The fake, answering; nothing that was asked or answered may break GitHub's description."""
    fake = kind()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, fake.application(), threaded=True)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert fake.violations == [], fake.violations
