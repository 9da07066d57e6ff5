"""`slipway maintenance`. The hosts here answer from a table; the last tests start a real process."""

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from answering_hosts import answering_hosts, exit_code

from slipway.cli.status import maintenance as maintenance_module
from slipway.cli.status.maintenance import PAGE_LIMIT, built_in_page
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts import agent_channel as agent_channel_module
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import LocalConnection
from slipway.releases import engine as engine_module
from slipway.releases.engine import Stack

UNREACHABLE = SlipwayError(Problem("host web-2: it cannot be reached", "its state is unknown", "ssh web-2 true"))

Hosts = Callable[..., list[tuple[str, tuple[str, ...], str]]]


@pytest.fixture
def hosts(
    stack: Callable[..., Stack], probe: dict[str, Any], edge: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Hosts:
    """Hosts by name: True (a route, and it changes), False (it is so already), None (no route), or an error.

    Returns: host, command and page of what their agents are asked for.
    """

    def set_up(**answers: bool | SlipwayError | None) -> list[tuple[str, tuple[str, ...], str]]:
        named = {name.replace("_", "-"): answer for name, answer in answers.items()}
        asked: list[tuple[str, tuple[str, ...], str]] = []

        def agent(host: str, command: tuple[str, ...]) -> SimpleNamespace:
            async def answer(content: bytes, _seconds: float) -> dict[str, Any]:
                asked.append((host, command, content.decode()))
                return {"changed": named[host]}

            routed = {"edge": None if named[host] is None else edge}
            return SimpleNamespace(probe=probe | routed, answer=answer)

        answering_hosts(monkeypatch, maintenance_module, named, agent)
        monkeypatch.setattr(engine_module, "read_stack", lambda _: stack(*named))
        return asked

    return set_up


def _maintenance(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return exit_code(monkeypatch, "maintenance", *arguments)


def test_on_shows_the_built_in_page_on_every_host_that_has_a_route(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = hosts(web_1=True, web_2=None, web_3=True)
    assert _maintenance(monkeypatch, "on") == 0
    page = built_in_page("shop")
    assert asked == [
        ("web-1", ("maintenance", "--owner", "", "--on"), page),
        ("web-3", ("maintenance", "--owner", "", "--on"), page),
    ]
    assert capsys.readouterr().out.splitlines() == [
        "web-1: maintenance page on",
        "web-2: has no route of this stack, so nothing to show a page in place of",
        "web-3: maintenance page on",
    ]


def test_off_ends_it(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = hosts(web_1=True)
    assert _maintenance(monkeypatch, "off") == 0
    assert asked == [("web-1", ("maintenance", "--owner", "", "--off"), "")]
    assert capsys.readouterr().out == "web-1: maintenance page off, serves again\n"


@pytest.mark.parametrize(
    ("switch", "said"),
    [("on", "maintenance page was on already, with this page"), ("off", "maintenance page was off already")],
)
def test_twice_changes_nothing_and_says_so(
    switch: str, said: str, hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=False)
    assert _maintenance(monkeypatch, switch) == 0
    assert capsys.readouterr().out == f"web-1: {said}\n"


def test_the_users_own_page_is_sent_as_it_is(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = hosts(web_1=True)
    (tmp_path / "page.html").write_text("<h1>Zurück um 12 Uhr</h1>")
    assert _maintenance(monkeypatch, "on", "--page", str(tmp_path / "page.html")) == 0
    assert asked[0][2] == "<h1>Zurück um 12 Uhr</h1>"


def test_one_host_that_does_not_answer_is_told_with_how_the_others_stand(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=True, web_2=UNREACHABLE)
    assert _maintenance(monkeypatch, "on") == 1
    said = capsys.readouterr()
    assert said.out == "web-1: maintenance page on\n"
    assert said.err.splitlines() == [
        str(UNREACHABLE),
        "page on: web-1; not known: web-2; once that is fixed: slipway maintenance on --stack staging",
    ]


def test_a_stack_without_any_route_is_an_error(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = hosts(web_1=None, web_2=None)
    assert _maintenance(monkeypatch, "on") == 1
    assert asked == []
    assert capsys.readouterr().err.startswith("slipway: error: no service of stack staging has a route on any host — ")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * (PAGE_LIMIT + 1), "has 200,001 bytes, 200,000 are allowed"),
    ],
)
def test_a_page_that_cannot_be_shown_is_told_before_any_host_is_reached(
    content: bytes | None, what: str, hosts: Hosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = hosts(web_1=True)
    file = tmp_path / "page.html"
    if content is not None:
        file.write_bytes(content)
    said: list[str] = []
    monkeypatch.setattr("slipway.cli.main.typer.echo", lambda text, **_: said.append(text))
    assert _maintenance(monkeypatch, "on", "--page", str(file)) == 1
    assert said[-1].startswith(f"slipway: error: {file} {what} — ")
    assert asked == []


@pytest.mark.parametrize("arguments", [(), ("maybe",), ("off", "--page", "x.html"), ("on", "--pag", "x")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _maintenance(monkeypatch, *arguments) == 2


def test_the_built_in_page_needs_nothing_from_anywhere() -> None:
    page = built_in_page("shop <b>& more</b>")
    assert "shop &lt;b&gt;&amp; more&lt;/b&gt;" in page
    assert "{{" not in page
    assert "//" not in page.replace("<!doctype", "")
    assert not any(word in page for word in ("<script", "<img", "<link", "url(", "@import"))
    assert "prefers-color-scheme: dark" in page
    assert len(page.encode()) < PAGE_LIMIT


_AGENT = """\
import json, sys
if sys.argv[1:] == ["maintenance", "--stack", "shop-staging", "--on"]:
    page = sys.stdin.buffer.read().decode()
    if page == "refuse":
        print("    evidence", file=sys.stderr)
        problem = {"what": "the edge is away", "meaning": "nothing was changed — yet", "fix": "then again"}
        print(json.dumps({"contract": 1, "failed": [problem]}))
        sys.exit(f"slipway: error: the edge is away")
    print('{"changed": true, "page": "%s"}' % page)
else:
    sys.exit("unexpected: %s" % sys.argv[1:])
"""


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An agent that answers one command, in the place of ours."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("__main__.py", _AGENT)
    content = archive.getvalue()
    package = SimpleNamespace(content=content, digest=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(agent_channel_module, "pack_agent", lambda: package)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))


def _ask(page: str, *command: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with channel(LocalConnection(), "web-1", "shop-staging", command=command) as opened:
            return await opened.answer(page.encode(), 20)

    return asyncio.run(ask())


@pytest.mark.usefixtures("packed")
def test_another_command_of_the_agent_gets_its_input_and_gives_its_answer(tmp_path: Path) -> None:
    assert _ask("the page", "maintenance", "--on") == {"changed": True, "page": "the page"}
    assert list(tmp_path.iterdir()) == [], "something was left on the host"


@pytest.mark.usefixtures("packed")
def test_the_agents_own_error_is_the_hosts() -> None:
    with pytest.raises(SlipwayError) as raised:
        _ask("refuse", "maintenance", "--on")
    assert raised.value.problems == (
        Problem("host web-1: the edge is away", "nothing was changed — yet", "then again", subject="web-1"),
    )


@pytest.mark.usefixtures("packed")
def test_an_agent_that_ends_without_a_word_is_told() -> None:
    with pytest.raises(SlipwayError, match="host web-1: the agent did not answer"):
        _ask("", "unknown")
