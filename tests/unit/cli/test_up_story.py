"""What the engine's events tell. The events are those that the engine wrote for a program like ours, shortened."""

from collections.abc import Iterator
from typing import Any

import pytest

from slipway.cli.deploy.up_events import STOPPING, Line, Story

_STACK = "urn:pulumi:s::slipway::pulumi:pulumi:Stack::slipway-s"
_DEPLOYMENT = "urn:pulumi:s::slipway::slipway:deployment:ComposeDeployment::shop-s"
_HOST = "urn:pulumi:s::slipway::slipway:deployment:ComposeDeployment$command:remote:Command::shop-s-web-1"
_IMAGE = "urn:pulumi:s::slipway::slipway:images:RegistryImages$docker-build:index:Image::shop-web"
ERROR = "slipway: error: web did not become healthy — the release stays away — fix web"


def step(kind: str, urn: str, op: str, parent: str = "", **new: Any) -> dict[str, Any]:
    state = {"type": "", "urn": urn, "parent": parent, **new}
    sides = {"old": state, "new": None} if op == "delete" else {"old": None, "new": state}
    return {kind: {"metadata": {"op": op, "urn": urn, "type": urn.split("::")[2].rpartition("$")[2], **sides}}}


def begin(urn: str, op: str, parent: str = "") -> dict[str, Any]:
    return step("resourcePreEvent", urn, op, parent)


def end(urn: str, op: str, **new: Any) -> dict[str, Any]:
    return step("resOutputsEvent", urn, op, **new)


def say(urn: str, message: str, severity: str = "info", prefix: str = "") -> dict[str, Any]:
    said = {"urn": urn, "message": message, "severity": severity, "color": "never"}
    return {"diagnosticEvent": said | ({"prefix": prefix} if prefix else {})}


HOST_BEGINS = begin(_HOST, "update", _DEPLOYMENT)


def told(story: Story, *events: dict[str, Any]) -> list[Line]:
    """What these events tell, one second after the other."""

    def lines() -> Iterator[Line]:
        for second, event in enumerate(events):
            yield from story.report(event, float(second))

    return list(lines())


def test_an_agents_step_is_told_with_its_host_and_its_duration() -> None:
    lines = told(
        Story(), HOST_BEGINS, say(_HOST, "web-1 start web 1.20 s\n"), say(_HOST, "web-1 watch for 60 s, too\n")
    )
    assert lines == [
        Line("step", "web-1", "web", phase="start", seconds=1.2),
        Line("step", "web-1", "for 60 s, too", phase="watch"),
    ]


def test_what_a_host_does_now_is_known_until_it_ends() -> None:
    story = Story()
    told(story, HOST_BEGINS, say(_HOST, "web-1 start web 1.20 s\n"))
    work = story.at_work[_HOST]
    assert (work.where, work.last, work.began, work.changed) == ("web-1", "web-1 start web 1.20 s", 0.0, 1.0)
    assert told(story, end(_HOST, "update")) == []
    assert story.at_work == {}


def test_a_resource_that_changes_is_told_and_one_that_does_not_is_not() -> None:
    lines = told(Story(), begin(_IMAGE, "create"), say(_IMAGE, "#5 pushing\n"), end(_IMAGE, "create"))
    assert lines == [
        Line("log", "image shop-web", "#5 pushing"),
        Line("resource", "image shop-web", "created", seconds=2.0),
    ]
    assert told(Story(), begin(_IMAGE, "same"), end(_IMAGE, "same"), begin(_DEPLOYMENT, "create")) == []


def test_a_host_that_is_left_says_so() -> None:
    lines = told(Story(), begin(_HOST, "delete", _DEPLOYMENT), end(_HOST, "delete"))
    assert lines == [Line("resource", "web-1", "deleted", seconds=1.0)]


def test_a_failure_is_told_once_with_its_evidence_and_without_the_command_line() -> None:
    story = Story()
    running = [say(_HOST, "    web  | no database\n"), say(_HOST, f"{ERROR}\n")]
    again = say(
        _HOST, f'exit status 1: running "exec python3":\n    web  | no database\n{ERROR}\n\n', "error", "error: "
    )
    failed = step("resOpFailedEvent", _HOST, "update", _DEPLOYMENT)
    over = {"diagnosticEvent": {"prefix": "error: ", "message": "update failed\n", "severity": "error"}}
    assert told(story, HOST_BEGINS, *running, again, failed, over) == [
        Line("evidence", "web-1", "    web  | no database"),
        Line("error", "web-1", ERROR),
    ]
    assert story.errors == [ERROR]


def test_what_an_agent_said_after_its_stream_was_cut_is_told_from_the_error() -> None:
    story = Story()
    message = f'exit status 1: running "exec python3":\nweb-1 failed asked to end\n    | migrating\n{ERROR}\n'
    lines = told(story, HOST_BEGINS, say(_HOST, message, "error", "error: "))
    assert lines == [
        Line("step", "web-1", "asked to end", phase="failed"),
        Line("evidence", "web-1", "    | migrating"),
        Line("error", "web-1", ERROR),
    ]
    assert story.errors == [ERROR]


def test_a_command_that_fails_without_a_word_of_the_agents_is_told_whole() -> None:
    story = Story()
    error = say(_HOST, "ssh: handshake failed: EOF\n", "error", "error: ")
    lines = told(story, HOST_BEGINS, error, step("resOpFailedEvent", _HOST, "update", _DEPLOYMENT))
    assert lines == [
        Line("error", "web-1", "ssh: handshake failed: EOF"),
        Line("error", "web-1", "failed", seconds=2.0),
    ]


def test_problems_that_the_program_found_are_told_each() -> None:
    story = Story()
    event = {"diagnosticEvent": {"prefix": "error: ", "message": f"\n{ERROR}\n{ERROR}, too\n", "severity": "error"}}
    assert [line.text for line in told(story, event)] == [ERROR, f"{ERROR}, too"]
    assert story.errors == [ERROR, f"{ERROR}, too"]


def test_the_engines_advice_to_press_ctrl_c_again_is_not_passed_on() -> None:
    advice = "^C received; cancelling. If you would like to terminate immediately, press ^C again.\n"
    more = "Note that terminating immediately may lead to orphaned resources and other inconsistencies.\n"
    lines = told(Story(), {"stdoutEvent": {"message": advice + more, "color": "never"}})
    assert lines == [Line("warning", "", STOPPING)]


def test_a_warning_of_a_component_stands_for_itself() -> None:
    warning = say(_DEPLOYMENT, "host web-1: api: is missing\n", "warning", "warning: ")
    assert told(Story(), warning) == [Line("warning", "", "host web-1: api: is missing")]


def test_debug_messages_are_not_told() -> None:
    assert told(Story(), say(_HOST, "beginning rpc\n", "debug", "debug: ")) == []


def test_what_a_host_says_cannot_repaint_the_terminal() -> None:
    [line] = told(Story(), HOST_BEGINS, say(_HOST, "web-1 smoke \x1b[2Jweb 0.10 s\n"))
    assert line.text == r"\x1b[2Jweb"


def test_the_end_is_summed_up() -> None:
    story = Story()
    outputs = {"release": "r-1", "urls": ["http://one/", "http://two/"]}
    told(
        story,
        end(_STACK, "same", outputs=outputs),
        {"summaryEvent": {"resourceChanges": {"create": 2, "update": 1, "same": 5}, "result": "succeeded"}},
    )
    assert story.summary() == "2 created, 1 updated, 5 unchanged"
    assert story.ready() == ["http://one/", "http://two/"]
    assert story.outputs["release"] == "r-1"


def test_a_run_that_changed_nothing_has_no_changes() -> None:
    story = Story()
    told(story, {"summaryEvent": {"resourceChanges": {"same": 9}}})
    assert story.summary() == ""


PRINTED = """\
Updating (s):

 +  command:remote:Command shop-s-web-1 creating (0s)
Diagnostics:
  pulumi:pulumi:Stack (slipway-s):
    warning: a host was left
    error: update failed
{more}
Outputs:
    release: "r-0123"
"""


@pytest.mark.parametrize("more", ["", "\n  x:y:Z (other):\n    error: nobody said this\n"])
def test_what_only_the_engine_printed_is_not_lost(more: str) -> None:
    story = Story()
    warning = {"diagnosticEvent": {"prefix": "warning: ", "message": "a host was left\n", "severity": "warning"}}
    over = {"diagnosticEvent": {"prefix": "error: ", "message": "update failed\n", "severity": "error"}}
    told(story, warning, over)
    untold = story.unreported(PRINTED.format(more=more))
    assert bool(untold) == bool(more)
    assert more.strip() in untold


def test_an_engine_that_never_began_is_quoted() -> None:
    assert Story().unreported("error: no stack named 'nope' found\n") == "error: no stack named 'nope' found"
