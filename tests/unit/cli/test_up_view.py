import re

import pytest
from rich.console import Console
from test_up_story import _HOST, _IMAGE, ERROR, HOST_BEGINS, begin, end, say, step

from slipway.cli.deploy.up_events import Story
from slipway.cli.deploy.up_view import LiveView

DIGEST = "sha256:" + "1d8f5c8d" * 8


def _view(width: int, *, stopping: bool = False) -> tuple[LiveView, Console, Story]:
    console = Console(width=width, force_terminal=True, color_system=None, highlight=False, record=True, quiet=False)
    story = Story()
    return LiveView(story, lambda: stopping, console), console, story


@pytest.mark.parametrize("width", [80, 120])
def test_long_lines_fold_below_their_own_beginning(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    view, console, _ = _view(width)
    view.report(HOST_BEGINS)
    view.report(say(_HOST, f"web-1 fetch example:5000/web@{DIGEST} 2.01 s\n"))
    view.report(say(_HOST, "web-1 canary " + "many words " * 20 + "1.00 s\n"))
    lines = console.export_text().splitlines()
    assert lines[0].rstrip() == " 0:00  web-1       fetch       2.01 s  example:5000/web@sha256:1d8f5c8d1d8f"
    assert all(len(line) <= width for line in lines)
    assert all(line.startswith(" " * 39) for line in lines if not line.startswith(" 0:00"))
    assert capsys.readouterr().out


def test_what_is_at_work_stands_below_with_what_it_said_last() -> None:
    view, console, _ = _view(80, stopping=True)
    view.report(begin(_IMAGE, "create"))
    view.report(say(_IMAGE, "#5 [2/4] RUN " + "x" * 200 + "\n"))
    view.report(HOST_BEGINS)
    view.report(say(_HOST, "web-1 start web 1.20 s\n"))
    console.export_text(clear=True)
    console.print(view.at_work())
    lines = console.export_text().splitlines()
    assert re.fullmatch(r"image shop-web  #5 \[2/4\] RUN x+…  0 s *", lines[0])
    assert re.fullmatch(r"web-1 +after start web 1\.20 s +0 s *", lines[1])
    assert "stopping: the engine ends what it is doing" in lines[2]
    assert all(len(line) <= 80 for line in lines)


def test_a_builds_log_is_printed_when_it_fails_and_else_not() -> None:
    for failing in (True, False):
        view, console, _ = _view(100)
        view.report(begin(_IMAGE, "create"))
        view.report(say(_IMAGE, "#5 this is the reason\n"))
        view.report(step("resOpFailedEvent", _IMAGE, "create") if failing else end(_IMAGE, "create"))
        assert ("this is the reason" in console.export_text()) == failing


def test_the_error_is_left_for_the_end_and_its_evidence_is_not() -> None:
    view, console, story = _view(100)
    view.report(HOST_BEGINS)
    view.report(say(_HOST, "    web | no database\n"))
    view.report(say(_HOST, f"{ERROR}\n"))
    text = console.export_text()
    assert "no database" in text
    assert ERROR not in text
    assert story.errors == [ERROR]


def test_what_components_keep_for_later_is_no_host_at_work() -> None:
    view, console, story = _view(80)
    place = "urn:pulumi:s::slipway::slipway:"
    for urn in (
        f"{place}host:Host$command:remote:Command::shop-s-web-1-removal",
        f"{place}deployment:ComposeDeployment$slipway:deployment:FingerprintKey$command:local:Command::s-fingerprint-key",
    ):
        view.report(begin(urn, "create"))
        view.report(end(urn, "create"))
    assert (story.at_work, story.hosts, console.export_text()) == ({}, {}, "")
