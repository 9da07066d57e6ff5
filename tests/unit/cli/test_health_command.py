"""`slipway health` from the command line: what it prints, remembers and ends with."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hook_server import hook_server

from slipway.cli.main import main
from slipway.cli.status import health_messages
from slipway.contract.problems import SlipwayError
from slipway.releases.health import memory, stack_health
from slipway.releases.health.look import Look, Looker
from slipway.releases.health.memory import compared, recalled
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.releases.health.addresses import Target

SCHEMA = json.loads((Path(__file__).parents[3] / "slipway/cli/schemas/health.schema.json").read_text())
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
BLOCK: dict[str, Any] = {
    "routes": [{"host": "shop.example.com", "path": "/", "strip": False}],
    "port": 80,
    "smoke": [],
    "middlewares": {"redirects": [], "ip_allow_list": [], "basic_auth": "USERS"},
}
RELEASE = {"services": {"web": BLOCK}, "compose": {"services": {"web": {}}}}
EVIL = 'field a is "\x1b[2J\u202e##[add-mask]x", with hunter22 and ZXZlOmh1bnRlcjIy' + "x" * 5000


def state(name: str, **outputs: Any) -> dict[str, Any]:
    about = {"application": "shop"}
    host = name.replace("staging", "test")
    release = json.loads(json.dumps(RELEASE).replace("shop.", f"{host}."))
    made = {"about": about, "release": "r-0123456789ab", "document": json.dumps(release)}
    made |= {"urls": [f"https://{host}.example.com/"], **outputs}
    deployment = {"type": "slipway:deployment:ComposeDeployment", "urn": "urn:pulumi:x", "outputs": made}
    address = "127.0.0.1" if name == "local" else "203.0.113.1"
    machine = {"type": "slipway:host:Host", "urn": "urn:pulumi:y", "outputs": {"address": address}}
    return {"deployment": {"resources": [machine, deployment]}}


class World:
    """The project's stacks with their states, and what a look at each address sees."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.states: dict[str, Any] = {"staging": state("staging"), "production": state("production")}
        self.sees: dict[str, Look] = {}
        self.looks: list[str] = []
        self.logins: list[str] = []
        self.local: dict[str, bool] = {}

    def engine(self, name: str, *, own_key: bool = False) -> Any:  # noqa: ARG002  # it reaches no host
        return SimpleNamespace(
            short=name, root=self.root, project="shop", absent=lambda: ("it is not here", "pulumi stack ls")
        )

    def exported(self, engine: Any) -> Any:
        found = self.states.get(engine.short)
        if isinstance(found, Exception):
            raise found
        return found

    def looks_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def look(looker: Looker, target: Target) -> Look:
            self.looks.append(target.url)
            self.local[target.url] = looker._local
            self.logins.append(looker._login if target.login else "")
            return self.sees.get(target.url, Look(status=200, seconds=0.084))

        monkeypatch.setattr(Looker, "look", look)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(stack_health, "known_stacks", lambda _: set(made.states))
    monkeypatch.setattr(stack_health, "engine_of", made.engine)
    monkeypatch.setattr(stack_health, "exported_state", made.exported)
    monkeypatch.setattr(stack_health, "_AGAIN_SECONDS", 0)
    made.looks_through(monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("staging", "production", "local"):
        (tmp_path / f"Pulumi.{name}.yaml").touch()
    return made


@pytest.fixture
def slipway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["slipway", "health", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


STAGING, PRODUCTION = "https://test.example.com/", "https://production.example.com/"
DOWN = Look("refused", "the connection is refused")


def test_every_stack_of_the_project_is_asked_or_the_one_that_is_named(world: World, slipway: Any) -> None:
    world.states["pr-42"] = state("pr-42")  # has no file here: a pull request's
    code, out, _ = slipway()
    assert (code, sorted(world.looks)) == (0, [PRODUCTION, STAGING])
    assert "shop on stack production: up" in out
    world.looks.clear()
    assert slipway("--stack", "staging")[0] == 0
    assert world.looks == [STAGING]


def test_addresses_of_this_machine_are_asked_where_the_stack_is_on_it(world: World, slipway: Any) -> None:
    world.states["local"] = state("local")
    slipway()
    assert world.local == {STAGING: False, PRODUCTION: False, "https://local.example.com/": True}


def test_quiet_prints_what_is_down_and_what_recovered_and_nothing_else(world: World, slipway: Any) -> None:
    assert slipway("--quiet") == (0, "", "")
    world.sees[STAGING] = DOWN
    code, out, _ = slipway("--quiet")
    assert (code, "the connection is refused" in out, PRODUCTION in out, "noticed" in out) == (1, True, False, False)
    code, out, _ = slipway("-q")
    assert (code, "the connection is refused (noticed" in out) == (1, True)
    del world.sees[STAGING]
    code, out, _ = slipway("-q")
    assert (code, "recovered" in out, PRODUCTION in out) == (0, True, False)
    assert slipway("-q") == (0, "", "")


def test_an_address_is_down_after_a_second_look_and_not_after_one(
    world: World, slipway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [DOWN, Look(status=200)]
    monkeypatch.setattr(Looker, "look", lambda *_: answers.pop(0))
    assert slipway("--stack", "staging")[0] == 0
    world.sees[STAGING] = DOWN
    world.looks_through(monkeypatch)
    assert slipway("--stack", "staging")[0] == 1
    assert world.looks == [STAGING, STAGING]


def test_json_says_what_changed_whatever_quiet_says_and_is_as_its_schema_says(world: World, slipway: Any) -> None:
    changes = []
    for seen in (Look(status=200), DOWN, DOWN._replace(fault="timeout"), Look(status=200), Look(status=200)):
        world.sees[STAGING] = seen
        code, out, _ = slipway("--json", "--quiet", "--state", str(world.root / "kept" / "state.json"))
        document = json.loads(out)
        VALIDATOR.validate(document)
        production, staging = document["stacks"]
        assert (code == 0) == document["up"] == staging["up"] == (not seen.fault)
        assert production["probes"][0]["change"] is None
        changes.append(staging["probes"][0]["change"])
    assert changes == [None, "down", None, "recovered", None]
    assert not (world.root / "state").exists()


@pytest.mark.parametrize(
    ("certificate", "expiring"),
    [
        ((13, 90, "14"), True),
        ((15, 90, "14"), False),
        ((3, 6, "14"), False),  # renewed when a third of its life is left
        ((1, 6, "14"), True),
        ((20, 90, "21"), True),
    ],
)
def test_a_certificate_that_is_not_renewed_in_time_is_told_once_and_is_no_outage(
    certificate: tuple[int, int, str],
    expiring: bool,  # noqa: FBT001
    world: World,
    slipway: Any,
) -> None:
    left, life, days = certificate
    ends = datetime.now(UTC) + timedelta(days=left, minutes=1)
    world.sees[STAGING] = Look(status=200, expires=ends, lifetime=timedelta(days=life))
    code, out, _ = slipway("-q", "--warn-days", days)
    assert (code, "expiring" in out, f"certificate {left} day" in out) == (0, expiring, expiring)
    assert slipway("-q", "--warn-days", days) == (0, "", "")


def test_a_state_that_cannot_be_read_is_not_up_and_changes_nothing_that_is_known(world: World, slipway: Any) -> None:
    world.sees[STAGING] = DOWN
    slipway()
    known = world.states["staging"]
    for broken in (
        SlipwayError("the backend is away", "m", "f"),
        None,
        state("staging", document="{}"),
        state("x", urls=None),
    ):
        world.states["staging"] = broken
        code, out, err = slipway("--json")
        VALIDATOR.validate(json.loads(out))
        assert (code, json.loads(out)["stacks"][1]["probes"]) == (1, [])
        assert slipway("-q")[0] == 1
        assert "slipway: error" in slipway("-q")[2]
        assert err == ""
    world.states["staging"], world.sees = known, {}
    assert "recovered" in slipway("-q")[1]


def test_a_monitor_that_has_nothing_to_ask_says_so(world: World, slipway: Any) -> None:
    world.states = {"staging": {"deployment": {}}}
    code, out, err = slipway()
    assert (code, out, "nothing to probe on staging" in err) == (1, "", True)
    world.states["production"] = state("production")
    code, out, _ = slipway()
    assert (code, "stack staging: nothing to probe" in out) == (0, True)
    world.states = {}
    assert (slipway()[0], "the project has no stack with" in slipway()[2]) == (1, True)


def test_a_file_that_is_something_else_is_reported_once_and_kept_beside_a_new_one(world: World, slipway: Any) -> None:
    world.sees[STAGING] = DOWN
    for content in ("# A readme", "{}", "[]", '{"slipway-health 1": {"staging": 1}}', "[" * 100_000):
        file = world.root / "file"
        file.write_text(content)
        code, out, err = slipway("--state", str(file))
        assert (code, "refused" in out, "is not a file of `slipway health`" in err) == (1, True, True)
        assert (world.root / "file.unusable").read_text() == content
        assert slipway("--state", str(file))[2] == ""
        assert recalled(file)["staging"][STAGING]["state"] == "down"
    file.write_text("")  # as `touch` makes one
    assert slipway("--state", str(file))[2] == ""
    code, _, err = slipway("--state", "/proc/nowhere/file")
    assert (code, "cannot be written" in err) == (1, True)


def test_the_password_is_sent_and_never_shown(world: World, slipway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HEALTH_LOGIN", "eve:hunter22")
    world.sees[STAGING] = Look("body", EVIL, 200)
    for options in ((), ("--json",), ("-q",)):
        code, out, err = slipway("--stack", "staging", *options)
        assert code == 1
        assert "hunter22" not in out + err
        assert "ZXZlOmh1bnRlcjIy" not in out + err
        assert all(line.isprintable() for line in (out + err).splitlines())
        assert len(out) < 2000
    assert set(world.logins) == {"eve:hunter22"}
    monkeypatch.setenv("SLIPWAY_HEALTH_LOGIN", "hunter22")
    code, out, err = slipway()
    assert (code, "hunter22" in out + err) == (2, False)


def test_without_the_password_it_says_that_only_the_edge_was_asked(world: World, slipway: Any) -> None:
    world.sees[STAGING] = Look(status=401)
    assert "behind a password" in slipway()[1]


def test_stacks_that_were_not_asked_are_remembered(world: World, slipway: Any) -> None:
    world.sees = {STAGING: DOWN, PRODUCTION: DOWN}
    slipway()
    world.sees = {}
    slipway("--stack", "production")
    (file,) = (world.root / "state" / "slipway").iterdir()
    assert {stack: probes for stack, probes in recalled(file).items() if stack == "staging"}
    assert "recovered" in slipway("-q", "--stack", "staging")[1]


@pytest.fixture
def notifying(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the stacks name these webhooks."""

    def name(*urls: str) -> None:
        hooks: Any = {f"hook-{place}": {"to": "webhook", "url": url} for place, url in enumerate(urls)}
        secrets: Any = {"TOKEN": "hunter22hunter22"}
        settings = Settings(stack="production", production=True, notify=hooks, secrets=secrets)
        monkeypatch.setattr(health_messages, "settings_of", lambda _: settings)

    return name


def test_people_are_told_once_that_it_is_down_and_once_that_it_recovered(
    world: World, slipway: Any, notifying: Any
) -> None:
    with hook_server(204) as hook:
        notifying(hook.url)
        seen = DOWN._replace(reason="refused: hunter22hunter22")
        for world.sees[STAGING] in (Look(status=200), seen, seen, Look(status=200), Look(status=200)):
            assert slipway("--notify", "-q")[2] == ""
        assert [(each["event"], each["environment"]) for each in hook.came] == [
            ("down", "shop-staging"), ("recovered", "shop-staging"),
        ]  # fmt: skip
        assert hook.came[0]["reason"].startswith(f"{STAGING}: refused")
        assert "hunter22" not in json.dumps(hook.came)
        world.sees[STAGING] = seen
        slipway("-q")  # without --notify
        assert len(hook.came) == 2


def test_what_reached_nobody_is_told_again(world: World, slipway: Any, notifying: Any) -> None:
    world.sees[STAGING] = DOWN
    with hook_server(400) as deaf, hook_server(204) as hook:
        notifying(deaf.url)
        code, _, err = slipway("--notify", "-q")
        assert (code, "notify.hook-0 (webhook)" in err, deaf.url in err) == (1, True, False)
        notifying(hook.url, deaf.url)
        assert "notify.hook-1" in slipway("--notify", "-q")[2]
        assert slipway("--notify", "-q")[2] == ""
        assert [each["event"] for each in hook.came] == ["down"]


def test_who_is_to_be_told_must_be_known(world: World, slipway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_: object) -> Settings:
        raise SlipwayError("the passphrase is missing", "m", "read -rs PULUMI_CONFIG_PASSPHRASE")

    monkeypatch.setattr(health_messages, "settings_of", locked)
    assert slipway("--notify", "-q") == (0, "", "")
    world.sees[STAGING] = DOWN
    for _ in range(2):
        code, _, err = slipway("--notify", "-q")
        assert (code, "the passphrase is missing" in err, "nobody was told" in err) == (1, True, True)


def test_two_clones_of_a_project_do_not_share_what_they_remember(tmp_path: Path) -> None:
    assert memory.memory_file(tmp_path / "a", "shop") != memory.memory_file(tmp_path / "b", "shop")


def test_every_change_of_state_is_what_people_call_it() -> None:
    def change(before: str, after: str) -> Any:
        known: Mapping[str, Any] = {"s": {"u": {"state": before, "since": "then"}}} if before else {}
        probe: dict[str, Any] = {"url": "u", "state": after}
        compared({"checked": "now", "stacks": [{"stack": "s", "errors": [], "probes": [probe]}]}, dict(known))
        return probe["change"], probe["since"]

    seen = {f"{a} {b}": change(a, b) for a in ("", "up", "expiring", "down") for b in ("up", "expiring", "down")}
    assert seen == {
        " up": (None, "now"), " expiring": ("expiring", "now"), " down": ("down", "now"),
        "up up": (None, "then"), "up expiring": ("expiring", "now"), "up down": ("down", "now"),
        "expiring up": (None, "now"), "expiring expiring": (None, "then"), "expiring down": ("down", "now"),
        "down up": ("recovered", "now"), "down expiring": ("recovered", "now"), "down down": (None, "then"),
    }  # fmt: skip
