"""The wait for a commit's checks and what follows, on a clock that only the test moves."""

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from slipway.cli.announcements import Announcements
from slipway.cli.main import main
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.engine import Stack
from slipway.releases.github import Check, Checks, GitHubUnreachableError
from slipway.releases.github_checks import Aftermath, ChecksOutcome, Standing, standing_of, wait_for_checks
from slipway.releases.status import status_document
from slipway.releases.validation import GitHubMark, HostMark, Validation

SHA = "3f2a91c04b7d5e8f60123456789abcdef0123456"
LIVE, OLD, NEW = "r-0123456789ab", "r-00000000000d", "r-11111111111e"
AWAY = GitHubUnreachableError(Problem("GitHub does not answer (503)", "it is away", "later"))


def checks(missing: Sequence[str] = (), **words: str) -> Checks:
    """Checks by name; a word that GitHub uses is its state."""
    states: dict[str, Any] = {"queued": "pending", "in_progress": "pending", "skipped": "success", "success": "success"}
    found = (
        Check(name=name, state=states.get(word, "failure"), word=word, url=f"https://ci/{name}")
        for name, word in words.items()
    )
    return Checks(tuple(found), tuple(missing))


def waited(
    *looks: Checks | SlipwayError, timeout: float = 60, interval: float = 10
) -> tuple[ChecksOutcome, list[str], list[float]]:
    """The outcome, what was told and when it was looked; the last look repeats."""
    clock = [0.0]
    at: list[float] = []
    told: list[str] = []

    def look() -> Checks:
        at.append(clock[0])
        found = looks[min(len(at), len(looks)) - 1]
        if isinstance(found, SlipwayError):
            raise found
        return found

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    outcome = wait_for_checks(
        look, SHA, timeout=timeout, interval=interval, tell=told.append, now=lambda: clock[0], sleep=sleep
    )
    return outcome, told, at


def test_every_change_is_told_once_until_all_are_well() -> None:
    outcome, told, at = waited(
        checks(),
        checks(lint="success", test="queued"),
        checks(lint="success", test="in_progress"),
        checks(lint="success", test="in_progress"),
        checks(lint="success", test="success", docs="skipped"),
    )
    assert outcome == ChecksOutcome("success", "all 3 checks of 3f2a91c04b7d passed")
    assert told == [
        "[0:00] no check yet",
        "[0:10] lint: success",
        "[0:10] test: queued  https://ci/test",
        "[0:20] test: in progress  https://ci/test",
        "[0:40] test: success",
        "[0:40] docs: skipped",
    ]
    assert at == [0, 10, 20, 30, 40]


def test_checks_of_one_name_in_two_workflows_are_told_once_each() -> None:
    two = [Check(name="test", state="pending", word=word, url=f"https://ci/{word}") for word in ("queued", "waiting")]
    _, told, _ = waited(Checks(tuple(two)), timeout=30)
    assert told == ["[0:00] test: queued  https://ci/queued", "[0:00] test: waiting  https://ci/waiting"]


def test_first_failure_ends_the_wait_and_is_named() -> None:
    outcome, told, at = waited(checks(lint="timed_out", test="in_progress"))
    assert outcome == ChecksOutcome("failure", "3f2a91c04b7d failed lint (timed out)")
    assert told[0] == "[0:00] lint: timed out  https://ci/lint"
    assert at == [0]


@pytest.mark.parametrize(
    ("look", "why"),
    [
        (checks(), "no check at all after 25 s"),
        (checks(test="in_progress", lint="success"), "test not done after 25 s"),
        (checks(lint="success", missing=["e2e"]), "e2e not done after 25 s"),
        (AWAY, "GitHub did not answer after 25 s"),
    ],
)
def test_wait_ends_at_its_time_after_a_last_look_and_says_what_was_missing(
    look: Checks | SlipwayError, why: str
) -> None:
    outcome, _, at = waited(look, timeout=25)
    assert outcome == ChecksOutcome("timeout", why)
    assert at == [0, 10, 20, 25]


def test_github_that_is_away_for_a_while_is_waited_out_and_told_once() -> None:
    outcome, told, _ = waited(checks(test="queued"), AWAY, AWAY, checks(test="success"))
    assert outcome == ChecksOutcome("success", "the check of 3f2a91c04b7d passed")
    assert told == [
        "[0:00] test: queued  https://ci/test",
        "[0:10] GitHub does not answer (503); it is asked again",
        "[0:30] test: success",
    ]


def test_github_that_refuses_ends_the_wait_at_once() -> None:
    with pytest.raises(SlipwayError, match="refuses"):
        waited(SlipwayError(Problem("GitHub refuses", "the token is wrong", "set another")))


def test_control_characters_of_a_checks_name_do_not_reach_the_terminal() -> None:
    _, told, _ = waited(Checks((Check(name="\x1b[2Jevil", state="failure", word="failure"),)))
    assert "\x1b" not in "".join(told)


# --- what the hosts run


Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(stack: Callable[..., Stack], probe: dict[str, Any]) -> Look:
    """A status document of two hosts; what differs is given for both."""

    def made(live: str = LIVE, commit: str = SHA, validated: str | None = None, **more: Any) -> dict[str, Any]:
        own = probe | {"live": probe["live"] | {"release": live, "commit": commit}, "validated": validated}
        return status_document(stack("web-1", "web-2"), {"web-1": own, "web-2": own} | more)

    return made


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Standing(LIVE, SHA, True, False, "")),
        ({"validated": LIVE}, Standing(LIVE, SHA, True, True, "")),
        ({"validated": OLD}, Standing(LIVE, SHA, True, False, OLD)),
        ({"commit": "f" * 40}, Standing(LIVE, "f" * 40, False, False, "")),
        ({"commit": f"{SHA}-dirty"}, Standing(LIVE, f"{SHA}-dirty", False, False, "")),
    ],
)
def test_standing_of_the_hosts_beside_a_commit(look: Look, given: dict[str, Any], expected: Standing) -> None:
    assert standing_of(look(**given), SHA) == expected
    assert standing_of(look(**given), SHA[:7]).of_commit == expected.of_commit


def test_hosts_apart_or_unreachable_are_no_standing_to_act_on(look: Look, probe: dict[str, Any]) -> None:
    other = probe | {"live": probe["live"] | {"release": OLD}, "validated": OLD}
    assert standing_of(look(**{"web-2": other}), SHA) == Standing("", "", False, False, "")
    assert standing_of(look(**{"web-2": probe | {"live": None}}), SHA).release == ""
    with pytest.raises(SlipwayError, match="web-2 is away"):
        standing_of(look(**{"web-2": SlipwayError(Problem("web-2 is away", "a", "b"))}), SHA)


# --- what follows


class Hands:
    """Takes notes of what would be done."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.marked: list[tuple[str, str]] = []
        self.rolled_back: list[str] = []
        self.said: list[dict[str, Any]] = []  # to people
        self.told: list[str] = []
        self.code = 0
        self.aftermath = Aftermath(
            sha=SHA,
            look=lambda: document,
            mark=self._mark,
            past=lambda: OLD,
            roll_back=self._roll_back,
            tell=self.told.append,
        )

    def _mark(self, release: str, note: str) -> Validation:
        self.marked.append((release, note))
        marks = (HostMark(host="web-1", changed=True),)
        github = GitHubMark(state="skipped")
        return Validation(stack="staging", release=release, commit=SHA, hosts=marks, tag=True, github=github)

    def _roll_back(self, reason: str) -> int:
        self.rolled_back.append(reason)
        return self.code


PASSED, FAILED = ChecksOutcome("success", "all 2 checks passed"), ChecksOutcome("failure", "test failed")
BEFORE = Standing(LIVE, SHA, True, False, "")
ANOTHER = Standing(NEW, "f" * 40, False, False, "")


def test_passed_checks_validate_the_live_release_of_the_commit(look: Look) -> None:
    hands = Hands(look())
    done = hands.aftermath.validate(PASSED, BEFORE)
    assert done is not None
    assert hands.marked == [(LIVE, "all 2 checks passed")]


def test_release_that_does_not_run_as_deployed_is_not_validated_by_its_checks(
    look: Look, probe: dict[str, Any]
) -> None:
    sick = probe | {"drift": [{"service": "api", "what": "it is gone"}]}
    hands = Hands(look(**{"web-2": sick}))
    with pytest.raises(SlipwayError, match="host web-2: api: it is gone"):
        hands.aftermath.validate(PASSED, BEFORE)
    assert hands.marked == []


@pytest.mark.parametrize(("before", "release"), [(BEFORE, LIVE), (ANOTHER, OLD)], ids=["seen live", "of the history"])
def test_newer_release_took_over_so_the_older_one_is_validated(look: Look, before: Standing, release: str) -> None:
    hands = Hands(look(live=NEW, commit="f" * 40))
    hands.aftermath.validate(PASSED, before)
    assert hands.marked == [(release, "all 2 checks passed")]
    assert hands.told == [f"meanwhile release {NEW} is live, which is of another commit (ffffffffffff)"]


def test_older_release_is_left_alone_when_the_newer_one_is_validated(look: Look) -> None:
    hands = Hands(look(live=NEW, commit="f" * 40, validated=NEW))
    assert hands.aftermath.validate(PASSED, BEFORE) is None
    assert hands.marked == []
    assert hands.told[-1] == f"{NEW} is validated already, so there is nothing to mark"


def test_failed_checks_bring_the_last_validated_release_back(look: Look) -> None:
    hands = Hands(look(validated=OLD))
    hands.aftermath.go_back(FAILED)
    assert hands.rolled_back == ["test failed"]
    assert hands.told == [f"going back to {OLD}, the last validated release", f"{OLD} serves again"]


def test_rollback_that_fails_is_told(look: Look) -> None:
    hands = Hands(look(validated=OLD))
    hands.code = 255
    hands.aftermath.go_back(FAILED)
    assert hands.told[-1] == "the rollback failed (exit code 255)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no other release is validated on every host, so there is nothing to go back to"),
        ({"validated": LIVE}, f"{LIVE} was validated before, so it stays"),
        (
            {"live": NEW, "commit": "f" * 40, "validated": OLD},
            f"release {NEW} is live, which is of another commit (ffffffffffff), so nothing is rolled back",
        ),
    ],
    ids=["nothing validated", "validated itself", "newer release"],
)
def test_nothing_is_rolled_back_that_is_not_the_commits_or_has_nowhere_to_go(
    look: Look, given: dict[str, Any], said: str
) -> None:
    hands = Hands(look(**given))
    hands.aftermath.go_back(FAILED)
    assert hands.rolled_back == []
    assert hands.told == [said]


# --- the command


@pytest.fixture
def command(
    look: Look, stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Hands, dict[str, Any]]]:
    """Runs `slipway await-checks` over hosts whose standing is given; exit code, what was done, what was asked."""

    def run(*words: str, found: Checks | BaseException, **given: Any) -> tuple[int, Hands, dict[str, Any]]:
        hands, asked = Hands(look(**given)), {}

        def ask(sha: str, **more: Any) -> Checks:
            asked.update(more, sha=sha)
            if isinstance(found, BaseException):
                raise found
            return found

        github = SimpleNamespace(name="acme/shop", checks=ask)
        engine = SimpleNamespace(stack="staging", short="staging")
        monkeypatch.setattr(
            Announcements, "say", lambda _, event, **parts: hands.said.append({"event": event, **parts})
        )
        monkeypatch.setattr("slipway.releases.github.required_repository", lambda *_: github)
        monkeypatch.setattr("slipway.releases.engine.engine_of", lambda _: engine)
        monkeypatch.setattr("slipway.releases.engine.stack_of", lambda _: stack("web-1", "web-2"))
        monkeypatch.setattr("slipway.cli.commands.deploy.await_checks._aftermath", lambda *_: hands.aftermath)
        monkeypatch.setenv("GITHUB_RUN_ID", "4711")
        monkeypatch.setattr(sys, "argv", ["slipway", "await-checks", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code or 0)), hands, asked

    return run


Command = Callable[..., tuple[int, Hands, dict[str, Any]]]


def test_command_validates_and_never_waits_for_its_own_run(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--sha", SHA, "--check", "test", "--ignore", "slow", "--ignore", "docs")
    code, hands, asked = command(*words, found=checks(test="success"))
    assert (code, hands.said) == (0, [])
    assert hands.marked == [(LIVE, f"the check of {SHA[:12]} passed")]
    assert asked == {"sha": SHA, "only": ["test"], "ignored": ["slow", "docs"], "own_run": "4711"}
    assert capsys.readouterr().out.splitlines() == [
        f"checks of {SHA[:12]} in acme/shop; release {LIVE} is live",
        "[0:00] test: success",
        f"the check of {SHA[:12]} passed",
        f"release {LIVE} (commit {SHA[:12]}) is validated on stack staging",
        "  web-1: marked",
        "  state: tag slipway:validated",
        "  GitHub: no variable set ()",
    ]


def test_command_rolls_back_what_failed_and_is_exit_code_1(command: Command) -> None:
    code, hands, _ = command("--sha", SHA, found=checks(test="failure"), validated=OLD)
    reason = f"{SHA[:12]} failed test (failure)"
    assert (code, hands.rolled_back, hands.marked) == (1, [reason], [])
    command_line = "slipway rollback --to validated --stack staging"
    assert hands.said == [
        {"event": "checks-failed", "commit": SHA, "release": LIVE, "reason": reason, "command": command_line}
    ]


@pytest.mark.parametrize(("policy", "rolled_back"), [("rollback", 1), ("keep", 0)])
def test_command_does_at_its_time_what_it_was_told(command: Command, policy: str, rolled_back: int) -> None:
    words = ("--sha", SHA, "--timeout", "0s", "--on-timeout", policy)
    code, hands, _ = command(*words, found=checks(test="queued"), validated=OLD)
    assert (code, len(hands.rolled_back), hands.marked) == (1, rolled_back, [])


def test_command_ended_by_hand_changes_nothing(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    code, hands, _ = command("--sha", SHA, found=KeyboardInterrupt(), validated=OLD)
    assert (code, hands.rolled_back, hands.marked) == (130, [], [])
    assert capsys.readouterr().err == "no longer waiting; nothing was changed\n"


def test_command_that_github_refuses_changes_nothing(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    refused = SlipwayError(Problem("GitHub refuses", "the token is wrong", "set another"))
    code, hands, _ = command("--sha", SHA, found=refused, validated=OLD)
    assert (code, hands.rolled_back, hands.marked) == (1, [], [])
    assert capsys.readouterr().err == "slipway: error: GitHub refuses — the token is wrong — set another\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--sha", "main"),
        ("--sha", "abc"),
        ("--sha", SHA, "--timeout", "soon"),
        ("--sha", SHA, "--interval", "0s"),
        ("--sha", SHA, "--on-timeout", "explode"),
    ],
)
def test_wrong_usage_is_exit_code_2(command: Command, words: Sequence[str]) -> None:
    code, hands, _ = command(*words, found=checks(test="success"))
    assert (code, hands.marked) == (2, [])
