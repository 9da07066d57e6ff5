"""Names and words of other people, programs and hosts do nothing to the terminal, the engine, a comment or a job."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import test_widths
from rich.console import Console
from test_up_story import HOST_BEGINS, say

from slipway.cli.deploy.preview_view import in_markdown
from slipway.cli.deploy.preview_view import rendered as preview_rendered
from slipway.cli.deploy.up_events import Story
from slipway.cli.printing import json_text
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.releases.engine import Stack

EVIL = "\x1b[2J\x1b]52;c;QUJD\x07\x9b1m\r\u202e\u2028\x00<{%evil%}>##[add-mask]x`@all`|<img src=x>"
"""A cleared screen, the clipboard, an 8-bit sequence, an overwritten line, turned text, commands of engine and CI, the
end of a code span, a mention, a cell and HTML."""
WORDS = frozenset(  # of a schema, or compared
    ("kind", "result", "state", "health", "generation", "outcome", "at", "since", "started", "area", "seen", "action",
     "change", "checked")
)  # fmt: skip


def soiled(node: Any, key: str = "") -> Any:
    if isinstance(node, str):
        return node if key in WORDS else node + EVIL
    if isinstance(node, dict):
        return {name: soiled(value, name) for name, value in node.items()}
    if isinstance(node, list | tuple):
        made = [soiled(each, key) for each in node]
        return made if isinstance(node, list) else Problem(*made) if isinstance(node, Problem) else tuple(made)
    return SimpleNamespace(**soiled(vars(node))) if isinstance(node, SimpleNamespace) else node


def harmless(text: str) -> bool:
    """Whether only lines of printable characters are left, and nothing that anybody obeys."""
    return all(line.isprintable() for line in text.split("\n")) and "<{%" not in text and "##[" not in text


@pytest.mark.parametrize("name", test_widths.VIEWS)
def test_every_view_is_harmless_whatever_the_hosts_say(
    name: str,
    stack: Callable[..., Stack],
    probe: dict[str, Any],
    watch: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for each in (
        "ENTRY",
        "UPDATE",
        "DIFFERENCE",
        "ONE",
        "PS",
        "PROMOTION",
        "HEALTH",
        "REASON",
        "ISSUE",
        "SERVICE",
        "CONTAINER",
    ):
        monkeypatch.setattr(test_widths, each, soiled(getattr(test_widths, each)))
    view, _ = test_widths.VIEWS[name]
    console = Console(width=1000, color_system=None)
    with console.capture() as capture:
        console.print(view(stack, soiled(copy.deepcopy(probe)), soiled(copy.deepcopy(watch))))
    assert harmless(capture.get())
    assert "evil" in capture.get()


PREVIEW: dict[str, Any] = {
    "contract": 1, "stack": "staging", "changes": True, "unplanned": ["web-2"], "warnings": ["a warning"],
    "removed": [{"project": "shop", "host": "web-3"}],
    "resources": [{"operation": "create", "type": "a:b:C", "name": "one"}],
    "hosts": [{"host": "web-1", "seen": "host", "unchanged": ["db"], "changes": [
        {"service": "api", "action": "rolled", "because": ["image", "X"], "interrupts": True, "seconds": 1.5}]}],
}  # fmt: skip


def test_a_preview_is_harmless_on_a_terminal_and_in_a_comment() -> None:
    found = soiled(PREVIEW)
    console = Console(width=1000, color_system=None)
    with console.capture() as capture:
        console.print(preview_rendered(found))
    assert harmless(capture.get())
    text = in_markdown(found)
    assert harmless(text)
    for line in text.splitlines():  # everything of theirs is in code spans, where GitHub renders and mentions nothing
        outside = "".join(line.split("`")[::2])
        assert "<" not in outside
        assert "@" not in outside
        assert "evil" not in outside
    table = [line for line in text.splitlines() if line.startswith("| `")]
    assert [line.replace("\\|", "").count("|") for line in table] == [5]


def test_what_the_engine_relays_is_harmless() -> None:
    story = Story()
    lines = [line for event in (HOST_BEGINS, say("urn:pulumi:s::p::pulumi:pulumi:Stack::p-s", f"{EVIL}\n{EVIL}\n"))
             for line in story.report(event, 0.0)]  # fmt: skip
    assert lines
    assert all(harmless(line.text) and harmless(line.where) for line in lines)
    assert harmless(Story().unreported(f"Diagnostics:\n  {EVIL}\n"))


def test_an_error_is_one_harmless_line_for_each_problem() -> None:
    error = SlipwayError([Problem(EVIL, f"a\nb{EVIL}", f"fix {EVIL}"), Problem("b", "c", EVIL)])
    assert harmless(str(error))
    assert len(str(error).splitlines()) == 2


def test_json_says_the_same_and_is_harmless() -> None:
    document = {"text": EVIL + "\U000e0041pässwörd"}
    text = json_text(document)
    assert json.loads(text) == document
    assert text.isprintable()
    assert "pässwörd" in text
