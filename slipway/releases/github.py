"""Asking GitHub, with PyGithub: a commit's checks, an environment's variables, a comment, an issue.

PyGithub tries again where that helps. The token is in no message.
"""

from __future__ import annotations

import itertools
import logging
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from github import Auth, Github, GithubException, RateLimitExceededException, UnknownObjectException
from github.CommitStatus import CommitStatus
from github.GithubRetry import GithubRetry
from github.PaginatedList import PaginatedList

from slipway.contract.problems import SlipwayError
from slipway.releases.format import short
from slipway.releases.github_settings import api_in, github_repository, token_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from github.CheckRun import CheckRun
    from github.CheckSuite import CheckSuite
    from github.IssueComment import IssueComment

__all__ = ["Check", "Checks", "GitHubUnreachableError", "Repository", "required_repository"]

State = Literal["pending", "success", "failure"]

_TIMEOUT_SECONDS = 15
_TRIES_AGAIN = 3
_WAIT_SECONDS = 60.0  # that GitHub may ask for when it has been asked too often; longer is an error
_SAID = 300  # characters of what GitHub said
_UNAUTHORISED, _CONFLICT, _BROKEN = 401, 409, 500
_REFUSED = (403, 404)
_TOO_OFTEN = (403, 429)
_SCHEDULED = "schedule"  # the event of runs by a clock: they ask what is live, of whatever commit is the newest then
_STATUSES: dict[str, State] = {"pending": "pending", "success": "success"}  # any other word is a failure
_GOOD = ("success", "neutral", "skipped")  # what a branch's protection takes for passed, too


class GitHubUnreachableError(SlipwayError):
    """GitHub does not answer, or not now: asking later may help."""


class _Retry(GithubRetry):
    """Sends again what may be done twice, and a POST only where GitHub refused it: else there could be two comments."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:  # noqa: FBT001, FBT002  # urllib3's
        """Whether an answer asks for another try."""
        refused = method == "POST" and status_code in _TOO_OFTEN
        return super().is_retry("GET" if refused else method, status_code, has_retry_after)


class Check(NamedTuple):
    """One check of a commit: a check run or a status of GitHub's."""

    name: str
    state: State
    word: str
    """What GitHub calls it: queued, in_progress, timed_out, …"""
    url: str = ""


class Checks(NamedTuple):
    """All checks of a commit that count."""

    checks: tuple[Check, ...]
    missing: tuple[str, ...] = ()
    """Names that were asked for and that the commit does not have yet."""

    @property
    def state(self) -> State:
        """Failure as soon as one failed; success when there is at least one and all are well; else pending."""
        states = {check.state for check in self.checks}
        if "failure" in states:
            return "failure"
        return "success" if states == {"success"} and not self.missing else "pending"


def required_repository(given: str, folder: Path, environment: Mapping[str, str]) -> Repository:
    """The repository, to be asked. Raises `SlipwayError` when it is not known which one, or there is no token."""
    name = github_repository(given, folder, environment)
    if not name:
        raise SlipwayError(
            "it is not known which repository on GitHub the application is in",
            "its checks cannot be asked for",
            "give --repository OWNER/NAME, or set GITHUB_REPOSITORY",
        )
    if not token_in(environment):
        raise SlipwayError(
            "there is no token for GitHub",
            f"the checks of {name} cannot be asked for",
            "set GITHUB_TOKEN (in a workflow: env: {GITHUB_TOKEN: ${{ github.token }}})",
        )
    return Repository(name, environment)


class Repository:
    """One repository on GitHub."""

    def __init__(self, name: str, environment: Mapping[str, str], *, at_once: bool = False) -> None:
        """`environment` says with which token it is asked, and where; nothing is asked yet.

        `at_once` without PyGithub's pause between requests, for who asks a handful.
        """
        self.name, self._token, self._api = name, token_in(environment), api_in(environment)
        logging.getLogger("github").setLevel(logging.CRITICAL)  # it prints what it retries; the errors here report it
        retry = _Retry(
            total=_TRIES_AGAIN,
            backoff_factor=0.5,
            max_rate_limit_wait=_WAIT_SECONDS,
            raise_on_status=False,
            allowed_methods=frozenset({"GET", "PATCH"}),  # each of ours may be done twice
        )
        limits: dict[str, Any] = {"timeout": _TIMEOUT_SECONDS, "retry": retry, "per_page": 100}
        limits |= {"seconds_between_requests": 0} if at_once else {}
        client = Github(auth=Auth.Token(self._token), base_url=self._api, user_agent="slipway", lazy=True, **limits)
        self._repository = client.get_repo(name)

    def checks(
        self, sha: str, *, only: Collection[str] = (), ignored: Collection[str] = (), own_run: str = ""
    ) -> Checks:
        """The check runs of a commit, the latest of each name in each workflow, and its statuses.

        `only` those that are named count (all when empty), and none that is `ignored` (the name of a check, or of a
        workflow's file), by a schedule, or of the workflow run `own_run`, which asks and would wait for itself. Raises
        `GitHubUnreachableError`, or `SlipwayError` when GitHub refuses.
        """
        try:
            commit = self._repository.get_commit(sha)
            runs = list(commit.get_check_runs(filter="latest"))
            # PyGithub's own method for the latest status of every context reads the first page only.
            address, options = f"{commit.url}/status", {"per_page": 100}
            statuses = PaginatedList(CommitStatus, commit.requester, address, options, list_item="statuses")
            workflows = self._workflows(runs, ignored)
            runs = [run for run in runs if workflows.get(run.check_suite.id) != _SCHEDULED]
            found = [*_of_runs(runs, workflows, own_run), *map(_of_status, statuses)]
            found += [] if only else _announced(commit.get_check_suites(), runs)
        except Exception as error:  # noqa: BLE001  # PyGithub raises errors of its own and of two other libraries
            raise self._error(error, f"the checks of commit {short(sha)}", "checks: read and statuses: read") from None
        found = sorted(each for each in found if each.name not in ignored and (not only or each.name in only))
        names = {each.name for each in found}
        return Checks(tuple(found), tuple(name for name in only if name not in names))

    def pull_request_is_open(self, number: int) -> bool:
        """Whether there is that pull request and it is neither merged nor closed. Raises as `checks`."""
        try:
            return bool(self._repository.get_pull(number).complete().state == "open")
        except UnknownObjectException:
            return self._lacks(number)
        except Exception as error:  # noqa: BLE001  # as above
            raise self._error(error, f"pull request {number}", "pull requests: read") from None

    def _lacks(self, number: int) -> bool:
        """False where there is no such pull request; raises where the token may not see the repository's at all."""
        try:
            self._repository.get_pulls(state="all", sort="created").get_page(0)
        except Exception as error:  # noqa: BLE001  # as above
            raise self._error(error, f"pull request {number}", "pull requests: read") from None
        return False

    def _workflows(self, runs: Collection[CheckRun], ignored: Collection[str]) -> Mapping[int, str]:
        """Check suite → the workflow whose run it is, or that a clock ran it: each run has a suite of its own.

        Nothing without the permission `actions: read`: then the runs of one workflow count as those of several.
        """
        if not runs:
            return {}
        try:
            listed = self._repository.get_workflow_runs(head_sha=next(iter(runs)).head_sha)
            return {
                run.check_suite_id: _SCHEDULED
                if run.event == _SCHEDULED or str(run.path).partition("@")[0].rpartition("/")[2] in ignored
                else f"workflow {run.workflow_id}"
                for run in listed
            }
        except RateLimitExceededException:
            raise
        except GithubException as error:
            if error.status not in _REFUSED:
                raise
            return {}

    def read(self, path: str, what: str, permission: str, *, method: str = "GET") -> Any:  # noqa: ANN401  # JSON
        """What GitHub answers, {} if that has no content; None where nothing is. Raises as `checks`."""
        try:
            return self._repository.requester.requestJsonAndCheck(method, path)[1] or {}
        except UnknownObjectException:
            return None
        except Exception as error:  # noqa: BLE001  # as above
            raise self._error(error, what, permission) from None

    def remove(self, path: str, what: str, permission: str) -> None:
        """Remove what is at `path`, if it is there. Raises as `checks`."""
        try:
            self._repository.requester.requestJsonAndCheck("DELETE", path)
        except UnknownObjectException:
            return
        except Exception as error:  # noqa: BLE001  # as above
            raise self._error(error, what, permission) from None

    def read_all(self, path: str, key: str, what: str, permission: str) -> list[dict[str, Any]]:
        """The entries under `key` of all pages; none where GitHub knows nothing of it. Raises as `checks`."""
        found: list[dict[str, Any]] = []
        for number in itertools.count(1):
            page = self.read(f"{path}?per_page=100&page={number}", what, permission) or {}
            found += (entries := page.get(key) or [])
            if not entries or len(found) >= page.get("total_count", 0):
                break
        return found

    def set_variable(self, environment: str, name: str, value: str) -> bool:
        """Have the variable `name` of an environment be `value`; whether it was another one. Raises as `checks`."""
        what = f"variable {name} of environment {environment}"
        permission = "environments: write (a job's own GITHUB_TOKEN cannot have it; a classic token needs repo)"
        try:
            place = self._repository.get_environment(environment)
            try:
                if place.get_variable(name).complete().value == value:
                    return False
                taken = place.get_variable(name).edit(value)
            except UnknownObjectException:
                try:
                    place.create_variable(name, value)
                    taken = True
                except GithubException as error:
                    if error.status != _CONFLICT:
                        raise
                    taken = place.get_variable(name).edit(value)  # made meanwhile
        except Exception as error:  # noqa: BLE001  # as above
            raise self._error(error, what, permission) from None
        if not taken:
            raise self._refusal(what, "it did not take the new value", permission)
        return True

    def comment(self, number: int, mark: str, text: Callable[[str], str]) -> str:
        """Have one comment on a pull request begin with `mark`, made or updated in place; its address.

        `text` makes what follows of what follows now. A stranger's comment is no such comment, however it begins.
        Raises as `checks`.
        """
        try:
            issue = self._repository.get_issue(number)
            for each in issue.get_comments():
                if each.body.startswith(mark) and _trusted(each):
                    now = each.body.removeprefix(mark)
                    if now != (new := text(now)):
                        each.edit(f"{mark}{new}")
                    return each.html_url
            return issue.create_comment(f"{mark}{text('')}").html_url
        except Exception as error:  # noqa: BLE001  # as above
            raise self._error(error, f"a comment on pull request {number}", "pull-requests: write") from None

    def issue(self, title: str, label: str, text: str) -> str:
        """Have one open issue with that title and label say `text`, or none be open without a text; its address."""
        try:
            found = next((each for each in self._repository.get_issues(labels=[label]) if each.title == title), None)
            if found is None:
                return self._repository.create_issue(title, text, labels=[label]).html_url if text else ""
            if not text:
                found.edit(state="closed")
            elif found.body != text:
                found.edit(body=text)
            address = found.html_url
        except Exception as error:  # noqa: BLE001  # as above
            raise self._error(error, f"the issue '{title}'", "issues: write") from None
        return address

    def _error(self, error: Exception, what: str, permission: str) -> SlipwayError:
        """What came of asking, in the family's form, without anything that could hold the token."""
        status = error.status if isinstance(error, GithubException) else 0
        said = self._said(error)
        if isinstance(error, RateLimitExceededException) or not status or status >= _BROKEN:
            return GitHubUnreachableError(
                f"GitHub does not return or take {what} of {self.name} ({said})",
                "it is not reachable, or was asked too often",
                "run it again later; https://www.githubstatus.com shows whether GitHub has an outage",
            )
        if status == _UNAUTHORISED:
            return SlipwayError(
                f"GitHub does not know the token in GITHUB_TOKEN ({said})",
                f"{what} of {self.name} cannot be reached",
                "set a valid one (GH_TOKEN comes first where both are set)",
            )
        return self._refusal(what, said, permission)

    def _refusal(self, what: str, said: str, permission: str) -> SlipwayError:
        return SlipwayError(
            f"GitHub refuses {what} of {self.name} ({said})",
            "it is not there, or the token may not see or change it",
            f"give the token the permission {permission}, and see that it exists",
        )

    def _said(self, error: Exception) -> str:
        """GitHub's own message, or the kind of error where there is none: a library's text holds addresses."""
        if not isinstance(error, GithubException):
            return f"{urlsplit(self._api).hostname}: {type(error).__name__}"
        message = error.data.get("message", "") if isinstance(error.data, dict) else ""
        text = " ".join(f"{error.status} {message}".split())[:_SAID]
        return text.replace(self._token, "[token]") if self._token else text


def _trusted(comment: IssueComment) -> bool:
    """Whether an application or somebody of the repository's own wrote it."""
    return comment.user.type == "Bot" or comment.author_association in ("OWNER", "MEMBER", "COLLABORATOR")


def _of_runs(runs: Iterable[CheckRun], workflows: Mapping[int, str], own_run: str) -> Iterator[Check]:
    """The newest run of each name in each workflow, as it is now; without those of the workflow run `own_run`."""
    newest = {
        (workflows.get(run.check_suite.id, run.check_suite.id), run.name): run  # a suite is of one app alone
        for run in sorted(runs, key=lambda each: each.id)
    }
    for run in newest.values():
        if own_run and re.search(rf"/actions/runs/{re.escape(own_run)}(?:/|$)", run.details_url or ""):
            continue
        ended = run.status == "completed"
        state: State = "pending" if not ended else "success" if run.conclusion in _GOOD else "failure"
        word = run.conclusion if ended else run.status
        yield Check(run.name, state, word or "unknown", run.html_url or run.details_url or "")


def _of_status(status: CommitStatus) -> Check:
    state = _STATUSES.get(status.state, "failure")
    return Check(status.context, state, status.state, status.target_url or "")


def _announced(suites: Iterable[CheckSuite], runs: Collection[CheckRun]) -> Iterator[Check]:
    """Suites that go on although all their listed runs have ended: a job that waits for others is not listed yet.

    One without any run says nothing: GitHub opens it for every application that could have one.
    """
    listed = {run.check_suite.id for run in runs}
    running = {run.check_suite.id for run in runs if run.status != "completed"}
    for suite in suites:
        if suite.status != "completed" and suite.id in listed - running:
            yield Check(suite.app.name, "pending", "goes on, its next check is not listed yet")
