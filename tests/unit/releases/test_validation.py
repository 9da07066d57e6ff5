"""`slipway validate`. Hosts answer from a table, the engine is a script; GitHub is one that only takes notes."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest

from slipway.cli.main import main
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts import host_sessions as host_sessions_module
from slipway.releases import engine as engine_module
from slipway.releases import github as github_module
from slipway.releases import validation as validation_module
from slipway.releases.engine import Engine, Stack
from slipway.settings.model import HostSettings

LIVE, OLD = "r-0123456789ab", "r-00000000000d"
COMMIT = "3f2a91c04b7d5e8f60123456789abcdef0123456"
TOKEN = "ghp_canary0123456789"
AWAY = SlipwayError(Problem("host web-2: it cannot be reached", "its state is unknown", "ssh web-2 true"))
REFUSED = SlipwayError(
    Problem(f"host web-2: release {LIVE} was never proven on this host", "nothing was marked", "slipway status")
)
SCHEMA = json.loads(
    (Path(validation_module.__file__).parents[1] / "cli" / "schemas" / "validate.schema.json").read_text()
)


class World:
    """What a validation meets; a test changes it before."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.marks: dict[str, bool | SlipwayError] = {}
        self.asked: list[tuple[str, tuple[str, ...], str]] = []
        self.tags: list[tuple[str, ...]] = []
        self.tag_error = ""
        self.variables: list[tuple[str, str, str]] = []
        self.github_error: SlipwayError | None = None


@pytest.fixture
def world(stack: Callable[..., Stack], probe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Two hosts that run the live release, an engine, and a GitHub that takes everything."""
    made = World()
    made.seen = {"web-1": probe, "web-2": json.loads(json.dumps(probe))}
    made.marks = {"web-1": True, "web-2": True}

    @contextlib.asynccontextmanager
    async def reached(host: HostSettings, _key: str) -> AsyncIterator[None]:
        if isinstance(error := made.marks[host.name], SlipwayError):
            raise error
        yield

    @contextlib.asynccontextmanager
    async def channel(_: None, host: str, _project: str, *, command: tuple[str, ...]) -> AsyncIterator[SimpleNamespace]:
        async def answer(content: bytes, _seconds: float) -> dict[str, Any]:
            made.asked.append((host, command, content.decode()))
            return {"changed": made.marks[host], "commit": COMMIT}

        yield SimpleNamespace(answer=answer)

    def ask(_engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
        made.tags.append(words)
        return subprocess.CompletedProcess(words, 1 if made.tag_error else 0, "", made.tag_error)

    class GitHub:
        def __init__(self, name: str, environment: dict[str, str]) -> None:
            assert environment["GITHUB_TOKEN"] == TOKEN
            self.name = name

        def set_variable(self, environment: str, name: str, value: str) -> bool:
            if made.github_error:
                raise made.github_error
            made.variables.append((environment, name, value))
            return True

    engine = Engine(root=tmp_path, stack="acme/shop/staging", environment={}, options=[])
    monkeypatch.setattr(engine_module, "engine_of", lambda _: engine)
    monkeypatch.setattr(engine_module, "stack_of", lambda _: stack("web-1", "web-2"))
    monkeypatch.setattr(Engine, "ask", ask)
    monkeypatch.setattr(host_sessions_module, "survey", lambda *_: made.seen)
    monkeypatch.setattr(host_sessions_module, "reached", reached)
    monkeypatch.setattr(host_sessions_module, "channel", channel)
    monkeypatch.setattr(validation_module, "actor", lambda: "ada@desk")
    monkeypatch.setattr(github_module, "Repository", GitHub)
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN", "GH_TOKEN", "PULUMI_STACK"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def validate(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:  # noqa: ARG001  # must be there first
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["slipway", "validate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code or 0))

    return run


@pytest.fixture
def on_github(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # it knows no GitHub first
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/shop")
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)


@pytest.mark.usefixtures("on_github")
def test_live_release_is_marked_on_every_host_in_the_state_and_at_github(
    world: World, validate: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    world.marks["web-2"] = False
    assert validate("--note", "load test of Friday") == 0
    command = ("mark", "--owner", "", "--release", LIVE, "--as", "validated", "--actor", "ada@desk")
    assert sorted(world.asked) == [(host, command, "load test of Friday") for host in ("web-1", "web-2")]
    assert world.tags == [("stack", "tag", "set", "slipway:validated", LIVE)]
    assert world.variables == [
        ("staging", "SLIPWAY_VALIDATED_RELEASE", LIVE),
        ("staging", "SLIPWAY_VALIDATED_SHA", COMMIT),
    ]
    assert capsys.readouterr().out.splitlines() == [
        f"release {LIVE} (commit 3f2a91c04b7d) is validated on stack staging",
        "  web-1: marked",
        "  web-2: was marked already",
        "  state: tag slipway:validated",
        "  GitHub acme/shop, environment staging: SLIPWAY_VALIDATED_RELEASE and SLIPWAY_VALIDATED_SHA set",
    ]


@pytest.mark.usefixtures("on_github")
def test_without_github_that_is_said_and_no_error(
    world: World,
    validate: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert validate("--no-github") == 0
    monkeypatch.delenv("GITHUB_TOKEN")
    assert validate() == 0
    monkeypatch.delenv("GITHUB_REPOSITORY")
    assert validate() == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "GitHub" in line] == [
        "  GitHub: no variable set (--no-github)",
        "  GitHub: no variable set (no token: GITHUB_TOKEN)",
        "  GitHub: no variable set (no repository: --repository OWNER/NAME)",
    ]
    assert world.variables == []


def _restarted(world: World) -> None:
    world.seen["web-2"]["drift"] = [{"service": "api", "what": "shop-staging-api-1 is exited"}]


def _sick(world: World) -> None:
    world.seen["web-2"]["live"]["services"]["api"]["containers"][0]["health"] = "unhealthy"


def _away(world: World) -> None:
    world.seen["web-2"] = AWAY


def _apart(world: World) -> None:
    world.seen["web-2"]["live"]["release"] = OLD


def _nothing(world: World) -> None:
    world.seen["web-2"]["live"] = None


def _rolled_back(world: World) -> None:
    world.seen["web-2"]["returned"] = {
        "from": "r-bad",
        "to": "r-good",
        "at": "2025-11-20T13:20:00Z",
        "reason": "errors",
    }


@pytest.mark.parametrize(
    ("how", "what"),
    [
        (_restarted, "host web-2: api: shop-staging-api-1 is exited"),
        (_sick, "host web-2: api: shop-staging-api-1 is unhealthy"),
        (_away, "host web-2: it cannot be reached"),
        (_apart, "the hosts run different releases"),
        (_nothing, "host web-2: nothing is deployed here"),
        (_rolled_back, "host web-2: r-bad was deployed, and the watch rolled back to r-good"),
    ],
)
def test_release_that_does_not_run_as_deployed_everywhere_is_marked_nowhere(
    world: World,
    validate: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    how: Callable[[World], None],
    what: str,
) -> None:
    how(world)
    assert validate() == 1
    assert validate("--release", LIVE) == 1, "naming it does not make it well"
    assert (world.asked, world.tags, world.variables) == ([], [], [])
    assert f"slipway: error: {what}" in capsys.readouterr().err


def test_release_of_before_is_marked_although_another_one_is_live(world: World, validate: Callable[..., int]) -> None:
    _restarted(world)  # says nothing about that one
    assert validate("--release", OLD) == 0
    assert {command[4] for _, command, _ in world.asked} == {OLD}
    assert world.tags == [("stack", "tag", "set", "slipway:validated", OLD)]


@pytest.mark.usefixtures("on_github")
def test_host_that_refuses_is_named_and_nobody_else_is_told(
    world: World, validate: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    world.marks["web-2"] = REFUSED
    assert validate() == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"release {LIVE} (commit 3f2a91c04b7d) is not validated on every host of stack staging",
        "  web-1: marked",
        "  GitHub: no variable set (first every host must have the mark)",
    ]
    assert said.err.strip() == str(REFUSED.of_stack("staging"))
    assert (world.tags, world.variables) == ([], [])


@pytest.mark.usefixtures("on_github")
def test_backend_that_does_not_take_the_tag_is_told_after_the_marks(
    world: World, validate: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    world.tag_error = "error: the bucket does not answer\n"
    assert validate() == 1
    said = capsys.readouterr()
    assert "  web-2: marked" in said.out
    assert "tag slipway:validated" not in said.out
    assert "does not set the tag slipway:validated of stack staging (the bucket does not answer)" in said.err
    assert f"slipway validate --release {LIVE} --stack staging" in said.err


@pytest.mark.usefixtures("on_github")
def test_github_that_refuses_is_an_error_after_the_marks_are_made(
    world: World, validate: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    world.github_error = SlipwayError(Problem("GitHub refuses", "it is not told", "give it environments: write"))
    assert validate() == 1
    said = capsys.readouterr()
    assert "  state: tag slipway:validated" in said.out
    assert said.err == "slipway: error: GitHub refuses — it is not told — give it environments: write\n"
    assert TOKEN not in said.out + said.err


@pytest.mark.usefixtures("on_github")
@pytest.mark.parametrize("trouble", ["", "host", "tag", "github"])
def test_json_keeps_its_schema_whatever_happens(
    world: World, validate: Callable[..., int], capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    if trouble == "host":
        world.marks["web-1"] = REFUSED
    elif trouble == "tag":
        world.tag_error = "no"
    elif trouble == "github":
        world.github_error = REFUSED
    assert validate("--json") == (1 if trouble else 0)
    document = json.loads(capsys.readouterr().out)
    jsonschema_rs.validator_for(SCHEMA).validate(document)
    assert document["complete"] is not bool(trouble)
    assert document["tag"] is (trouble not in ("host", "tag"))
    assert document["github"]["state"] == {"host": "skipped", "github": "failed"}.get(trouble, "set")
    assert [each["validated"] for each in document["hosts"]] == [trouble != "host", True]


@pytest.mark.parametrize("words", [("--release", "0f03"), ("--release", "r-0123456789abc"), ("now",), ("--frce",)])
def test_wrong_usage_is_exit_code_2(world: World, validate: Callable[..., int], words: Sequence[str]) -> None:
    assert validate(*words) == 2
    assert world.asked == []
