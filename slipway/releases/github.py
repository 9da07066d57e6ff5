"""GitHub, as far as marks need it: the checks of a commit, and the variables of an environment.

Owns: which repository and token are meant, asking GitHub (with PyGithub, which tries again where that helps), and
telling why it refused. Does not own: what follows from checks (see `validation`). The token is never in a message.
"""

from __future__ import annotations

import logging
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn
from urllib.parse import urlsplit

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from github.CheckRun import CheckRun
    from github.CheckSuite import CheckSuite
    from github.Commit import Commit
    from github.CommitStatus import CommitStatus
    from github.Environment import Environment

__all__ = [
    "Check",
    "Checks",
    "GitHubAwayError",
    "Repository",
    "connect",
    "repository_of",
    "required_repository",
    "token_in",
]  # fmt: skip

State = Literal["pending", "success", "failure"]

_TIMEOUT_SECONDS = 15
_TRIES_AGAIN = 3
_WAIT_SECONDS = 60.0  # that GitHub may ask for when it has been asked too often; longer is an error
_GOOD = ("success", "neutral", "skipped")  # what a branch's protection takes for passed, too
_SAID = 300  # characters of what GitHub said
_NAME = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
_HOSTS = ("github.com", "www.github.com", "ssh.github.com")
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _BROKEN = 401, 403, 404, 409, 500


class GitHubAwayError(SlipwayError):
    """GitHub does not answer, or not now: asking later may help."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a commit."""

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


def token_in(environment: Mapping[str, str]) -> str:
    """The token that GitHub's own command line would use; empty when there is none."""
    return environment.get("GH_TOKEN") or environment.get("GITHUB_TOKEN") or ""


def repository_of(given: str, folder: Path, environment: Mapping[str, str]) -> str:
    """OWNER/NAME: as given, else of the workflow that runs this, else of the Git remote `origin` of `folder`.

    Returns: empty when it is not known.

    Raises:
        SlipwayError: when what is given has another form.
    """
    if given:
        if not _NAME.fullmatch(given):
            raise SlipwayError(
                f"{given!r} is no repository of GitHub",
                "it is not known whom to ask",
                "give it as --repository OWNER/NAME",
            )
        return given
    return environment.get("GITHUB_REPOSITORY") or _in_address(_remote(folder), environment)


def required_repository(given: str, folder: Path, environment: Mapping[str, str]) -> Repository:
    """The repository, to be asked.

    Raises:
        SlipwayError: when it is not known which one, or there is no token.
    """
    name, token = repository_of(given, folder, environment), token_in(environment)
    if not name:
        raise SlipwayError(
            "it is not known which repository on GitHub the application is in",
            "its checks cannot be asked for",
            "give --repository OWNER/NAME, or set GITHUB_REPOSITORY",
        )
    if not token:
        raise SlipwayError(
            "there is no token for GitHub",
            f"the checks of {name} cannot be asked for",
            "set GITHUB_TOKEN (in a workflow: env: {GITHUB_TOKEN: ${{ github.token }}})",
        )
    return connect(name, token, environment)


def connect(name: str, token: str, environment: Mapping[str, str]) -> Repository:
    """The repository called `name`; nothing is asked yet."""
    return Repository(name, token, environment.get("GITHUB_API_URL") or "https://api.github.com")


def _remote(folder: Path) -> str:
    """The address of `origin`, which may hold a token: it is never told."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "remote", "get-url", "origin"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
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


class Repository:
    """One repository on GitHub."""

    def __init__(self, name: str, token: str, api: str) -> None:
        """`api` is the address of GitHub's API, another one for GitHub Enterprise Server."""
        from github import Auth, Github  # noqa: PLC0415  # 0.2 s that only those who ask GitHub need to wait
        from github.GithubRetry import GithubRetry  # noqa: PLC0415  # as above

        logging.getLogger("github").setLevel(logging.CRITICAL)  # it prints what it retries; what comes of it is told
        retry = GithubRetry(
            total=_TRIES_AGAIN,
            backoff_factor=0.5,
            max_rate_limit_wait=_WAIT_SECONDS,
            raise_on_status=False,
            allowed_methods=frozenset({"GET", "POST", "PATCH"}),  # each of ours may be done twice
        )
        self.name = name
        self._token = token
        self._api = api.rstrip("/")
        client = Github(
            auth=Auth.Token(token),
            base_url=self._api,
            timeout=_TIMEOUT_SECONDS,
            retry=retry,
            per_page=100,
            user_agent="slipway",
            lazy=True,
        )
        self._repository = client.get_repo(name)

    def checks(
        self, sha: str, *, only: Collection[str] = (), ignored: Collection[str] = (), own_run: str = ""
    ) -> Checks:
        """The check runs and statuses of a commit, the latest of each name.

        Args:
            sha: the commit.
            only: names of those that count; all when empty.
            ignored: names of those that do not.
            own_run: id of the workflow run that asks; it would wait for itself.

        Raises:
            GitHubAwayError: when GitHub does not answer.
            SlipwayError: when it refuses.
        """
        try:
            commit = self._repository.get_commit(sha)
            runs = list(commit.get_check_runs(filter="latest"))
            found = [_of_run(run) for run in _latest(runs) if not _belongs(run, own_run)]
            found += [_of_status(status) for status in self._statuses(commit)]
            found += [] if only else _announced(commit.get_check_suites(), runs)
        except Exception as error:  # noqa: BLE001  # PyGithub raises errors of its own and of two other libraries
            self._raise(error, f"the checks of commit {sha[:12]}", "checks: read and statuses: read")
        wanted = [each for each in found if each.name not in ignored and (not only or each.name in only)]
        there = {each.name for each in wanted}
        return Checks(
            tuple(sorted(wanted, key=lambda each: each.name)), tuple(name for name in only if name not in there)
        )

    def set_variable(self, environment: str, name: str, value: str) -> bool:
        """Have the variable `name` of a deployment environment be `value`; whether it was another one.

        Raises:
            GitHubAwayError: when GitHub does not answer.
            SlipwayError: when it refuses.
        """
        what = f"variable {name} of environment {environment}"
        permission = "environments: write (a job's own GITHUB_TOKEN cannot have it; a classic token needs repo)"
        try:
            place = self._repository.get_environment(environment)
            known = _value(place, name)
            if known == value:
                return False
            taken = _create(place, name, value) if known is None else place.get_variable(name).edit(value)
        except Exception as error:  # noqa: BLE001  # as above
            self._raise(error, what, permission)
        if not taken:
            self._refuse(what, "it did not take the new value", permission)
        return True

    def _statuses(self, commit: Commit) -> Iterable[CommitStatus]:
        """The latest status of every context; PyGithub itself reads the first page only."""
        from github.CommitStatus import CommitStatus  # noqa: PLC0415  # loaded already
        from github.PaginatedList import PaginatedList  # noqa: PLC0415  # as above

        return PaginatedList(
            CommitStatus, commit.requester, f"{commit.url}/status", {"per_page": 100}, list_item="statuses"
        )

    def _raise(self, error: Exception, what: str, permission: str) -> NoReturn:
        """Tell what came of asking in the family's form, without anything that could hold the token."""
        from github import GithubException, RateLimitExceededException  # noqa: PLC0415  # loaded already

        status = error.status if isinstance(error, GithubException) else 0
        said = self._said(error)
        if isinstance(error, RateLimitExceededException) or not status or status >= _BROKEN:
            raise GitHubAwayError(
                f"GitHub does not tell or take {what} of {self.name} ({said})",
                "it is not reachable, or was asked too often",
                "run it again later; https://www.githubstatus.com tells whether GitHub is well",
            ) from None
        if status == _UNAUTHORISED:
            raise SlipwayError(
                f"GitHub does not know the token in GITHUB_TOKEN ({said})",
                f"{what} of {self.name} cannot be reached",
                "set a valid one (GH_TOKEN comes first where both are set)",
            ) from None
        self._refuse(what, said, permission)

    def _refuse(self, what: str, said: str, permission: str) -> NoReturn:
        raise SlipwayError(
            f"GitHub refuses {what} of {self.name} ({said})",
            "it is not there, or the token may not see or change it",
            f"give the token the permission {permission}, and see that it exists",
        ) from None

    def _said(self, error: Exception) -> str:
        """GitHub's own message, or the kind of error where there is none: a library's text holds addresses."""
        from github import GithubException  # noqa: PLC0415  # loaded already

        if not isinstance(error, GithubException):
            return f"{urlsplit(self._api).hostname}: {type(error).__name__}"
        message = error.data.get("message", "") if isinstance(error.data, dict) else ""
        text = " ".join(f"{error.status} {message}".split())[:_SAID]
        return text.replace(self._token, "[token]") if self._token else text


def _value(place: Environment, name: str) -> str | None:
    """What a variable is; None when there is none."""
    from github import UnknownObjectException  # noqa: PLC0415  # loaded already

    try:
        return place.get_variable(name).complete().value
    except UnknownObjectException:
        return None


def _create(place: Environment, name: str, value: str) -> bool:
    from github import GithubException  # noqa: PLC0415  # loaded already

    try:
        place.create_variable(name, value)
    except GithubException as error:
        if error.status != _CONFLICT:
            raise
        return place.get_variable(name).edit(value)  # made meanwhile, or by a first try whose answer got lost
    return True


def _latest(runs: Iterable[CheckRun]) -> Iterable[CheckRun]:
    """The newest of each name: one that was run again counts as it is now."""
    newest: dict[str, CheckRun] = {}
    for run in sorted(runs, key=lambda each: each.id):
        newest[run.name] = run
    return newest.values()


def _belongs(run: CheckRun, own_run: str) -> bool:
    return bool(own_run) and re.search(rf"/actions/runs/{re.escape(own_run)}(?:/|$)", run.details_url or "") is not None


def _of_run(run: CheckRun) -> Check:
    word = run.conclusion if run.status == "completed" else run.status
    state: State = "pending"
    if run.status == "completed":
        state = "success" if run.conclusion in _GOOD else "failure"
    return Check(name=run.name, state=state, word=word or "unknown", url=run.html_url or run.details_url or "")


def _of_status(status: CommitStatus) -> Check:
    state: State = "pending"
    if status.state != "pending":
        state = "success" if status.state == "success" else "failure"
    return Check(name=status.context, state=state, word=status.state, url=status.target_url or "")


def _announced(suites: Iterable[CheckSuite], runs: Collection[CheckRun]) -> list[Check]:
    """Suites that go on although every run of them that is listed has ended: a job that waits for others is not yet.

    One without any run says nothing: GitHub opens it for every application that could have one.
    """
    ended: dict[int, bool] = {}
    for run in runs:
        ended[run.check_suite.id] = ended.get(run.check_suite.id, True) and run.status == "completed"
    return [
        Check(name=suite.app.name, state="pending", word="goes on, its next check is not listed yet")
        for suite in suites
        if suite.status != "completed" and ended.get(suite.id, False)
    ]
