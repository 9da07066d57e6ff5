"""What `slipway preview` prints: every host and service, on narrow terminals and in Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from slipway.cli.deploy.markdown import fenced, shortened
from slipway.cli.deploy.preview import _Resources
from slipway.cli.deploy.preview_view import in_markdown, rendered
from slipway.compose.schema_check import checked
from slipway.contract import plan

LONG = "a-service-with-a-name-of-forty-characters"
SCHEMA = json.loads((Path(__file__).parents[3] / "slipway/cli/schemas/preview.schema.json").read_text())


def change(service: str, action: str = "recreated", **more: Any) -> dict[str, Any]:
    return {"service": service, "action": action, "because": ["environment LOG_LEVEL"], "interrupts": False,
            "seconds": None, **more}  # fmt: skip


def document(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    host = {"host": "web-1", "seen": "host", "changes": list(changes), "unchanged": ["cache"], "steps": []}
    found = {"contract": 1, "stack": "production", "changes": bool(changes), "hosts": [host], "unplanned": [],
             "removed": [], "resources": [], "warnings": [], **more}  # fmt: skip
    jsonschema_rs.validator_for(SCHEMA).validate(found)
    return found


def shown(found: dict[str, Any], columns: int) -> str:
    console = Console(width=columns)
    with console.capture() as capture:
        console.print(rendered(found))
    return capture.get()


@pytest.mark.parametrize("action", [value for name in plan.__all__ if isinstance(value := getattr(plan, name), str)])
def test_whatever_a_host_says_it_would_do_fits_the_preview(action: str) -> None:
    if action not in (plan.PLANS_VARIABLE, plan.UNBUILT):
        host = {
            "contract": 1,
            "host": "a",
            "seen": "host",
            "changes": [change("db", action)],
            "unchanged": [],
            "steps": [],
        }
        assert checked("plan", host)
        assert document(change("db", action))


@pytest.mark.parametrize("columns", [80, 120])
def test_no_name_is_cut_or_folded(columns: int) -> None:
    because = [f"environment A_VERY_LONG_NAME_OF_A_VARIABLE_{number}" for number in range(9)]
    text = shown(document(change(LONG, "migration run", because=because, interrupts=True, seconds=12.3)), columns)
    assert LONG in text
    assert "migration run" in text
    assert all(len(line) <= columns for line in text.splitlines())
    assert "".join(text.split()).count("A_VERY_LONG") == len(because)


def test_what_is_interrupted_is_said_once_more_at_the_end() -> None:
    text = shown(document(change("db", interrupts=True, seconds=5.23), change("web", "rolled")), 120)
    assert "db   recreated; interrupted until it is healthy, 5.2 s last time" in text
    assert text.splitlines()[-1].strip() == "production: interrupted for a while: db on web-1"
    assert (
        shown(document(change("web", "rolled")), 120).splitlines()[-1].strip() == "production: nothing is interrupted"
    )
    assert shown(document(), 120).splitlines()[-1].strip() == "production: nothing to do"


def test_what_machines_cost_is_one_line() -> None:
    found = document(change("web"), cost="3.50 → 17.00 EUR a month net (+13.50)")
    assert "servers at Hetzner: 3.50 → 17.00 EUR a month net (+13.50)" in shown(found, 80).splitlines()
    assert "servers at Hetzner: `3.50 → 17.00 EUR a month net (+13.50)`" in in_markdown(found).splitlines()
    assert "Hetzner" not in shown(document(), 80) + in_markdown(document())


def test_markdown_is_a_table_that_no_text_breaks_out_of() -> None:
    found = document(
        change("web", because=["environment A|B", "`<img src=x>`"]),
        resources=[{"type": "docker-build:index:Image", "name": "shop-web", "operation": "update"}],
        warnings=["host web-1: <b>"],
    )
    text = in_markdown(found)
    assert "| `web` | recreated | `environment A\\|B`, `'<img src=x>'` | no |" in text.splitlines()
    assert "- `update image shop-web`" in text.splitlines()
    assert "> ⚠️ `host web-1: <b>`" in text.splitlines()


HOSTILE = ["https://evil.test", "www.evil.test", "#123", "org/repo#1", "~~x~~", "$x^2$", "$`x`$", ":tada:", "@all",
           "a|b", "a\\|b", "\\", "```", "**x**", "<img>", "![](https://evil)", "x\n# y", "`", "GH-1",
           "<!-- stack x -->", "</sub>", "| --- |", "\r\n\r\n> x", "&lt;", "[x]: https://evil", "\u202e",
           "\x1b]8;;https://evil\x07"]  # fmt: skip


def _parsed(text: str, **found: Any) -> tuple[list[str], str]:
    """The kinds of all parts that GitHub's Markdown has in a preview full of `text`, and what is not in code."""
    found = document(
        change(text, because=[text, text]), change(text, interrupts=True), stack=text, warnings=[text],
        resources=[{"type": f"x:y:{text}", "name": text, "operation": "update"}],
        removed=[{"project": text, "host": text}], **found,
    )  # fmt: skip
    found["hosts"][0].update(host=text, unchanged=[text])
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(in_markdown(found))
    parts = [part for token in tokens for part in (token.children or [token])]
    return [part.type for part in parts], " ".join(part.content for part in parts if part.type != "code_inline")


@given(
    st.lists(st.sampled_from([*HOSTILE, "a", " ", "\n", "|", "-"]), max_size=6).map(lambda parts: f"Ж{''.join(parts)}")
)
@settings(max_examples=50)
def test_markdown_keeps_all_that_others_wrote_in_code(text: str) -> None:
    for unplanned in ([], [text]):
        kinds, bare = _parsed(text, unplanned=unplanned)
        assert "Ж" not in bare
        assert kinds == _parsed("plain", unplanned=["plain"] if unplanned else [])[0]


@given(st.lists(st.sampled_from(["```", "`````", "~~~", "```text", "x", "\x1b", "# x", ""])).map("\n".join))
def test_lines_in_a_fence_stay_in_it(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"before\n\n{fenced(text)}\n\nafter")
    assert [token.type for token in tokens if token.nesting != -1] == [
        "paragraph_open",
        "inline",
        "fence",
        "paragraph_open",
        "inline",
    ]


@given(st.text("ab|\n`"), st.integers(20, 200))
def test_what_is_too_long_is_cut_at_a_line(text: str, most: int) -> None:
    cut = shortened(text, most, "the rest")
    assert cut == text or (len(cut) <= most and cut.endswith("the rest"))
    assert cut == text or set(cut.splitlines()[:-2]) <= set(text.splitlines())


@pytest.mark.parametrize("unchanged", [[], ["cache"]])
def test_markdown_says_nothing_to_do_only_where_there_is_nothing(unchanged: list[str]) -> None:
    for changes in ([], [change("web")]):
        found = document(*changes)
        found["hosts"][0]["unchanged"] = unchanged
        text = in_markdown(found)
        assert ("Nothing to do." in text) == (not changes)
        assert ("unchanged: `cache`" in text) == bool(unchanged)


def test_a_host_without_a_plan_is_no_good_news() -> None:
    found = document(unplanned=["web-2"])
    assert shown(found, 120).splitlines()[-1].strip() == "production: not planned on web-2"


def test_what_a_host_would_refuse_is_no_good_news() -> None:
    found = document(change("web"))
    found["hosts"][0]["refused"] = [{"what": "port 80 is in use", "meaning": "x", "fix": "x"}]
    for text in (shown(found, 120).splitlines()[-1].strip(), in_markdown(found).replace("`", "")):
        assert "production: would be refused by web-1" in text


def test_a_project_of_another_name_is_not_removed_in_silence() -> None:
    resources = _Resources()
    place = "urn:pulumi:production::deploy::slipway:host:Host"
    for urn, kind, operation in (
        (f"{place}::web-1", "slipway:host:Host", "same"),
        (f"{place}$command:remote:Command::shop-production-web-1-removal", "command:remote:Command", "delete"),
        (f"{place}$command:remote:Command::clone-production-web-1-removal", "command:remote:Command", "create"),
        (f"{place}$command:remote:Command::shop-production-web-2-removal", "command:remote:Command", "delete"),
        (f"{place}::a-web-1", "slipway:host:Host", "delete"),
        (f"{place}$command:remote:Command::shop-production-a-web-1-removal", "command:remote:Command", "delete"),
    ):
        resources.report({"resourcePreEvent": {"metadata": {"type": kind, "urn": urn, "op": operation}}})
    assert resources.removed == [
        {"project": "shop-production", "host": "web-1"}
    ]  # web-2 itself goes, as somebody asked
    found = document(change("db", "created"), removed=resources.removed)
    for text in (shown(found, 120).splitlines()[-1].strip(), in_markdown(found).replace("`", "")):
        assert "production: removes shop-production from web-1, and leaves its data behind" in text


def test_hostile_text_is_shown_as_it_is() -> None:
    found = document(change("web", because=["label a[/b]", "mount /data[red]"]))
    assert "label a[/b], mount /data[red]" in shown(found, 120)


COMMAND = "slipway:deployment:ComposeDeployment$command:remote:Command"
WHAT_CHANGES = [
    # operation, type, changes of the host, what is said of the host and at the end
    (("same", COMMAND), [], "nothing to do", "nothing to do"),
    (("update", COMMAND), [], "no container changes", "the deployment runs anew; no container changes"),
    (("update", COMMAND), [change("web")], "", "nothing is interrupted"),
    (("update", "docker-build:index:Image"), [], "nothing to do", "nothing is interrupted"),
    (("delete", "slipway:host:Host"), [], "nothing to do", "nothing is interrupted"),
]


def test_a_host_on_which_a_deployment_was_cut_off_is_said_to_be_checked_though_none_of_its_containers_changes() -> None:
    resources = [{"type": "docker:index:Image", "name": "web", "operation": "update"}]
    for found in (document(), document(resources=resources)):
        found["changes"] = True
        found["hosts"][0]["steps"] = ["files", "routes:web", "record", "prune"]
        assert "no container changes; what runs is checked and recorded" in shown(found, 120)
        assert "No container changes; what runs is checked and recorded." in in_markdown(found)


@pytest.mark.parametrize(
    ("step", "changes", "of_host", "end"), WHAT_CHANGES, ids=[str(each[0]) for each in WHAT_CHANGES]
)
def test_the_words_agree_with_the_exit_code(
    step: tuple[str, str], changes: list[dict[str, Any]], of_host: str, end: str
) -> None:
    resources = _Resources()
    urn = f"urn:pulumi:s::slipway::{step[1]}::web-2"
    resources.report({"resourcePreEvent": {"metadata": {"op": step[0], "type": step[1].split("$")[-1], "urn": urn}}})
    found = document(*changes, resources=resources.changed)
    found["changes"] = resources.unlike or bool(changes)
    text, markdown = shown(found, 120), in_markdown(found)
    assert text.splitlines()[-1].strip() == f"production: {end}"
    assert f"`production`: {end}." in markdown
    assert of_host in text
    assert not of_host or f"{of_host.capitalize()}." in markdown
    assert ("nothing to do" in text.splitlines()[-1]) == (not found["changes"])
    assert ("delete host web-2" in text) == (step[0] == "delete")
