"""After a deployment: the watch, generations that are kept for a way back at once, and requests in flight."""

from __future__ import annotations

import errno
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED
from strategies import STRATEGIES
from visitors import Visitors

from slipway.agent import runtime
from slipway.notify.delivery import Answer

if TYPE_CHECKING:
    from simulation import Simulation

    from slipway.notify.delivery import Target
    from slipway.notify.message import Message

RULES: dict[str, Any] = {"seconds": 120, "minimum": 50, "error_relative": 0.1, "error_floor": 0.01,
                         "latency_relative": 0.2, "latency_floor": 0.05, "restarts": 2, "notify": None}  # fmt: skip


def test_the_watch_ends_by_itself_when_all_is_well(stack: Simulation) -> None:
    stack.deploy(stack.web("1"))
    stack.deploy(stack.web("2"), watch=RULES)
    stack.later(60)
    seen = stack.probe()["watch"]
    assert (seen["state"], seen["reason"]) == ("watching", "")
    stack.later(65)
    assert stack.probe()["watch"]["state"] == "over"
    assert [process.alive for process in stack.host.detached] == [False]
    assert stack.outcomes() == ["deployed", "deployed"]
    assert not stack.host.home.joinpath("stacks", "shop", "secrets-before.json").exists()


@pytest.mark.parametrize("rules", [RULES, None])
def test_the_same_release_without_a_watch_ends_the_one_that_goes_on(
    stack: Simulation, rules: dict[str, Any] | None
) -> None:
    release = stack.web("1")
    stack.deploy(release, watch=RULES)
    stack.deploy(release, watch=rules)
    stack.later(10)
    assert [process.alive for process in stack.host.detached] == [rules is not None]
    assert (stack.probe()["watch"] is not None) == (rules is not None)


@pytest.mark.parametrize("keep", [0, 600])
@pytest.mark.parametrize(
    ("mode", "said"),
    [("errors", "errors 30.00 %"), ("crash", "was restarted 2 times"), ("ill", "is unhealthy for 10 s")],
)
def test_a_release_that_turns_bad_goes_back_by_itself(stack: Simulation, mode: str, said: str, keep: int) -> None:
    first = stack.web("1", keep=keep, service={"restart": "always"})
    stack.deploy(first)
    visitors = Visitors(stack.host, rate=50 if mode == "errors" else 0)
    stack.later(20)
    sour = {"environment": {"MODE": mode, "AFTER": "8"}, "service": {"restart": "always"}}
    assert stack.deploy(stack.web("2", keep=keep, **sour), watch=RULES).code == 0
    stack.later(60)
    visitors.leave()
    assert stack.outcomes()[-2:] == ["rejected", "returned"]
    probe = stack.probe()
    assert said in probe["returned"]["reason"]
    assert "which serves" in probe["watch"]["reason"]
    assert (probe["live"]["release"], probe["drift"], probe["convergence"]) == (first["id"], [], "")
    assert stack.visit() == (200, "1")
    assert stack.versions() == {"web": ["1"]}
    assert set(visitors.answers) <= {200, 500}
    broken = stack.web("3", keep=keep, environment={"MODE": "crash", "AFTER": "0"})
    assert stack.deploy(broken).code == 1
    assert stack.probe()["returned"] == probe["returned"], "a deployment that fails hides it"
    assert stack.deploy(first, convergence="c-0000000000000001").code == 0
    assert stack.probe()["returned"] is None


def test_the_way_back_of_the_watch_to_a_kept_generation_starts_no_container(stack: Simulation) -> None:
    stack.deploy(stack.web("1", keep=600))
    before = stack.ids()
    visitors = Visitors(stack.host, rate=50)
    stack.later(20)
    stack.deploy(stack.web("2", keep=600, environment={"MODE": "errors"}), watch=RULES)
    stack.later(60)
    visitors.leave()
    assert stack.ids() == before


def test_a_rejected_release_is_not_where_the_next_way_back_leads(stack: Simulation) -> None:
    stack.deploy(stack.shop("1"))
    crash = {"MODE": "crash", "AFTER": "2"}
    for version in ("2", "3"):
        bad = stack.shop(version, api_environment=crash, api_service={"restart": "always"})
        assert stack.deploy(bad, watch=RULES).code == 0
        stack.later(60)
        assert stack.versions()["api"] == ["1"]
    assert stack.outcomes() == ["deployed", *(["deployed", "rejected", "returned"] * 2)]


def test_a_release_that_was_proven_after_its_rejection_is_a_way_back(stack: Simulation) -> None:
    always = {"api_service": {"restart": "always"}}
    stack.deploy(stack.shop("1", **always))
    second = stack.shop("2", **always)
    stack.deploy(second, watch=RULES)
    stack.later(5)
    stack.host.engine.handle("POST", f"/containers/{stack.ids('api')[0]}/stop?t=1")  # no fault of the release
    stack.later(30)
    assert stack.versions()["api"] == ["1"]
    stack.deploy(second, watch=RULES)
    stack.later(200)
    crash = {"MODE": "crash", "AFTER": "8"}
    assert stack.deploy(stack.shop("3", api_environment=crash, **always), watch=RULES).code == 0
    stack.later(60)
    assert (stack.versions()["api"], stack.outcomes()[-2:]) == (["2"], ["rejected", "returned"])


def _as(stack: Simulation, kind: str) -> None:
    (stack.host.home / "stacks" / "shop" / "actor").write_text(f"ann\n{kind}\n")


@pytest.mark.parametrize("earlier", [True, False])
def test_the_watch_never_goes_forward_to_what_a_person_left(stack: Simulation, *, earlier: bool) -> None:
    sour = {"api_environment": {"MODE": "crash", "AFTER": "8"}, "api_service": {"restart": "always"}}
    if earlier:
        stack.deploy(stack.shop("1"))
    second = stack.shop("2", **sour)
    stack.deploy(second)
    stack.deploy(stack.shop("3"))
    _as(stack, "rollback")
    assert stack.deploy(second, watch=RULES).code == 0
    stack.later(60)
    assert stack.versions()["api"] == (["1"] if earlier else ["2"])
    seen = stack.probe()["watch"]
    assert ("no release is known here to roll back to" in seen["reason"]) is not earlier, seen


@pytest.mark.parametrize("kind", ["rollback", "deploy"])
def test_a_rollback_is_not_measured_by_what_it_fled_from(stack: Simulation, kind: str) -> None:
    first = stack.web("1", environment={"MODE": "errors"})
    stack.deploy(first)
    stack.deploy(stack.web("2"))
    visitors = Visitors(stack.host, rate=50)
    stack.later(20)
    _as(stack, kind)
    assert stack.deploy(first, watch=RULES).code == 0
    stack.later(60)
    visitors.leave()
    assert stack.versions() == {"web": ["1"] if kind == "rollback" else ["2"]}


@pytest.mark.parametrize("killed", [False, True])
def test_what_a_deployment_interrupts_is_no_yardstick(stack: Simulation, *, killed: bool) -> None:
    first = stack.web("1", strategy="recreate")
    stack.deploy(first)
    visitors = Visitors(stack.host, rate=50)
    stack.later(20)
    wanted = stack.web("2", strategy="recreate", environment={"MODE": "sick"})
    if killed:
        agent, _ = stack.begin_at(wanted)
        stack.later(5)
        stack.world.kill(agent)
        stack.later(60)
        assert stack.deploy(first).code == 0
    else:
        assert stack.deploy(wanted).code == 1
    assert sum(visitors.answers.values()) - visitors.answers[200] > 100, "the outage is seen at the edge"
    stack.later(20)
    bad = stack.web("3", strategy="recreate", environment={"MODE": "errors", "AFTER": "8"})
    assert stack.deploy(bad, watch=RULES).code == 0
    order = json.loads((stack.host.home / "stacks" / "shop" / "watch.json").read_text())
    counted, errors, _ = order["baseline"]["web"]
    assert (counted > 900, errors) == (True, 0)
    stack.later(60)
    visitors.leave()
    assert stack.versions() == {"web": ["1"]}


def test_the_watch_brings_back_the_secrets_of_then(stack: Simulation) -> None:
    wanted = stack.shop("1", api_environment={"TOKEN": "${TOKEN}"}, secrets=("TOKEN",))
    stack.deploy(wanted, secrets={"TOKEN": "then"})
    crash = {"TOKEN": "${TOKEN}", "MODE": "crash", "AFTER": "2"}
    bad = stack.shop("2", api_environment=crash, secrets=("TOKEN",), api_service={"restart": "always"})
    stack.deploy(bad, secrets={"TOKEN": "now"}, watch=RULES)
    stack.later(60)
    assert stack.containers("api")[0].environment["TOKEN"] == "then"
    assert stack.probe()["drift"] == []


@pytest.mark.parametrize("former", [RULES, None])
@pytest.mark.parametrize("kill", ["record:started", "record:finished", "prune:started", "prune:finished", "watch"])
def test_killed_between_record_and_watch_the_next_deployment_has_it_watched(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch, kill: str, former: dict[str, Any] | None
) -> None:
    sour = stack.web("2", environment={"MODE": "crash", "AFTER": "8"}, service={"restart": "always"})
    assert stack.deploy(stack.web("1"), watch=former).code == 0
    stack.later(5)
    with monkeypatch.context() as patch:
        if kill == "watch":
            patch.setattr(runtime, "detach", lambda *_: stack.world.kill(stack._agent))
        assert stack.deploy(sour, watch=RULES, kill=kill).code == KILLED
    stack.later(2)
    probe, seen = stack.probe(), stack.probe()["watch"] or {"state": "over"}
    assert seen["state"] == "over" or kill == "watch" or seen["release"] == probe["live"]["release"]
    assert stack.deploy(sour, watch=RULES).code == 0
    stack.later(1)
    assert stack.probe()["watch"]["release"] == sour["id"]
    stack.later(60)
    assert stack.outcomes()[-2:] == ["rejected", "returned"]
    assert stack.versions() == {"web": ["1"]}


def test_a_deployment_of_what_is_watched_already_begins_no_other_watch(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.deploy(stack.web("1"), watch=RULES)
    stack.later(30)
    with monkeypatch.context() as patch:
        patch.setattr("slipway.agent.deploy.deploy.report", lambda *_, **__: stack.world.kill(stack._agent))
        assert stack.deploy(stack.web("1"), watch=RULES).code == KILLED
    assert stack.deploy(stack.web("1"), watch=RULES).code == 0
    assert len(stack.host.detached) == 1


def test_another_deployment_takes_over_from_the_watch(stack: Simulation) -> None:
    stack.deploy(stack.shop("1"))
    stack.deploy(stack.shop("2"), watch=RULES)
    stack.deploy(stack.shop("3"), watch=RULES)
    stack.later(2)
    assert [process.alive for process in stack.host.detached] == [False, True]


def test_what_a_deployment_does_on_its_way_back_is_no_fault_of_the_release_before(stack: Simulation) -> None:
    def wanted(version: str, mode: str = "") -> dict[str, Any]:
        slow = {"db_environment": {"MODE": "stubborn"}, "db_service": {"stop_grace_period": "30s"}}
        return stack.shop(version, version, api_environment={"MODE": mode}, **slow)

    stack.deploy(wanted("1"))
    good = wanted("2")
    stack.deploy(good, watch=RULES)
    stack.later(5)
    process, ended = stack.begin(wanted("3", "sick"), watch=RULES)
    stack.later(3)
    for _ in range(4):  # without what it needs, say
        stack.containers("api")[0].restarts += 1
    while process.alive:
        stack.later(0.5)
    assert ended().code == 1
    stack.later(30)
    assert stack.outcomes() == ["deployed", "deployed", "failed"]
    assert stack.probe()["live"]["release"] == good["id"]
    assert stack.probe()["watch"]["state"] == "watching"


def test_the_watch_outlives_a_restart_of_docker(stack: Simulation) -> None:
    stack.deploy(stack.web("1", service={"restart": "always"}))
    stack.deploy(stack.web("2", service={"restart": "always"}), watch=RULES)
    stack.later(5)
    stack.host.engine.restart_engine(4.0)
    stack.later(2)
    assert "cannot look" in stack.probe()["watch"]["reason"]
    stack.later(130)
    assert stack.probe()["watch"]["state"] == "over"
    assert stack.visit() == (200, "2")
    assert stack.outcomes() == ["deployed", "deployed"]


# --- kept generations


def test_a_kept_generation_is_the_way_back_at_once_and_goes_when_its_time_is_over(stack: Simulation) -> None:
    how = {**STRATEGIES["blue-green"], "keep": 60}
    blue = stack.web("blue", **how)
    stack.deploy(blue)
    stack.deploy(stack.web("green", **how))
    assert stack.versions() == {"web": ["blue", "green"]}
    assert stack.probe()["drift"] == []
    back = stack.deploy(blue)
    assert back.seconds < 1
    assert not any(step.startswith("grow:") for step in stack.steps())
    assert stack.visit() == (200, "blue")
    stack.later(61)
    assert stack.versions() == {"web": ["blue"]}
    assert stack.probe()["drift"] == []
    assert stack.witness.seen == []


def test_a_kept_generation_whose_time_is_over_is_not_counted_on_when_the_watch_dies(stack: Simulation) -> None:
    how = {**STRATEGIES["blue-green"], "keep": 10, "environment": {"MODE": "stubborn"}}
    blue = stack.web("blue", **how)
    stack.deploy(blue)
    stack.deploy(stack.web("green", **how))
    stack.later(12)  # it stops by now, and ignores that
    [watch] = stack.host.detached
    stack.world.kill(watch)
    assert stack.deploy(blue).code == 0
    stack.later(10)
    assert stack.visit() == (200, "blue")
    assert stack.witness.seen == []


def test_a_third_release_replaces_what_was_kept(stack: Simulation) -> None:
    how = {**STRATEGIES["blue-green"], "keep": 60}
    for version in ("1", "2", "3"):
        stack.deploy(stack.web(version, **how))
    assert stack.versions() == {"web": ["2", "3"]}
    assert stack.witness.seen == []


def test_the_watch_waits_with_retiring_while_a_deployment_is_at_work(stack: Simulation) -> None:
    how = {**STRATEGIES["blue-green"], "keep": 5}
    stack.deploy(stack.web("1", **how))
    stack.deploy(stack.web("2", **how))
    process, ended = stack.begin(stack.web("3", environment={"MODE": "slow"}, **how))
    while process.alive:
        assert stack.versions()["web"][0] in ("1", "2")
        stack.later(0.5)
    assert ended().code == 0
    stack.later(10)
    assert stack.versions() == {"web": ["3"]}
    assert stack.witness.seen == []


# --- requests in flight


@pytest.mark.parametrize("how", STRATEGIES.values(), ids=STRATEGIES)
def test_requests_in_flight_end_before_their_container_does(stack: Simulation, how: dict[str, Any]) -> None:
    stack.deploy(stack.web("1", drain=10, **how))
    visitors = Visitors(stack.host, rate=20, long=3.0)
    stack.later(1)
    for version in ("2", "3"):
        assert stack.deploy(stack.web(version, drain=10, **how)).code == 0
        stack.later(4)
    visitors.leave()
    assert (set(visitors.answers), visitors.cut) == ({200}, 0)
    assert visitors.whole >= 3


def test_a_request_that_outlasts_the_drain_is_cut_and_counted(stack: Simulation) -> None:
    stack.deploy(stack.web("1", drain=2))
    visitors = Visitors(stack.host, rate=0, long=30.0)
    stack.later(1)
    ended = stack.deploy(stack.web("2", drain=2))
    assert "drain web, 1 connection(s) cut 2.0" in ended.err
    stack.later(30)
    visitors.leave()
    assert visitors.cut == 1


def test_a_message_of_the_watch_is_sent_and_one_that_cannot_be_changes_nothing(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Message]] = []

    def refused(target: Target, message: Message, _: float) -> Answer:
        asked.append((target.url, message))
        return Answer(accepted=False, said="answered 404")

    monkeypatch.setattr("slipway.notify.sending.attempt", refused)
    target = {"to": "slack", "url": "https://hooks.test/secret", "events": ["rolled-back"], "name": "ops",
              "sender": "", "recipients": []}  # fmt: skip
    notify = {"targets": [target], "stack": "production", "commit": "c0ffee", "subject": "Faster", "author": "Ada"}
    stack.deploy(stack.shop("1"))
    bad = stack.shop("2", api_environment={"MODE": "crash", "AFTER": "2"}, api_service={"restart": "always"})
    stack.deploy(bad, watch={**RULES, "notify": notify})
    stack.later(60)
    [(url, message)] = asked
    assert (url, message.event, message.subject) == ("https://hooks.test/secret", "rolled-back", "Faster")
    assert "restarted" in message.reason
    assert "rolled back to release" in message.outcome
    assert stack.outcomes()[-1] == "returned"


def _fill_disk(monkeypatch: pytest.MonkeyPatch, but: tuple[str, ...]) -> None:
    """No file can be written any more by any module `but` these."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in [each for each in sys.modules if each.startswith("slipway.agent.") and not each.endswith(but)]:
        for function in ("write_atomically", "append_line"):
            if hasattr(sys.modules[name], function):
                monkeypatch.setattr(f"{name}.{function}", full)


@pytest.mark.parametrize(
    ("but", "event", "said"),
    [
        (("compose_cli",), "rolled-back", "could not record it (No space left on device)"),
        (("compose_cli", "ledger"), "rolled-back", "rolled back to release"),
        ((), "failed", "the rollback failed: "),
    ],
    ids=["notes", "notes but the ledger", "all"],
)
def test_a_release_that_fills_the_disk_is_rolled_back_from_as_far_as_that_goes_and_told_of(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch, but: tuple[str, ...], event: str, said: str
) -> None:
    told: list[Message] = []
    monkeypatch.setattr("slipway.notify.sending.send", lambda _, message, **__: told.append(message) or [])
    assert stack.deploy(stack.shop("1")).code == 0
    bad = stack.shop("2", api_environment={"MODE": "crash", "AFTER": "8"}, api_service={"restart": "always"})
    notify = {"targets": [], "stack": "production", "commit": "c0ffee", "subject": "Faster", "author": "Ada"}
    assert stack.deploy(bad, watch={**RULES, "notify": notify}).code == 0
    with monkeypatch.context() as disk:
        _fill_disk(disk, but)
        stack.later(90)
    [message] = told
    assert (message.event, said in message.outcome) == (event, True), message.outcome
    assert [process.alive for process in stack.host.detached] == [False]
    assert stack.versions()["api"] == ["1" if event == "rolled-back" else "2"]
    assert stack.outcomes()[2:] == (["rejected", "returned"] if "ledger" in but else [])
    assert stack.deploy(stack.shop("3")).code == 0
    assert stack.probe()["drift"] == []


def test_what_is_kept_goes_once_the_disk_has_room_and_the_release_is_watched_meanwhile(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.deploy(stack.web("1", keep=20))
    stack.deploy(stack.web("2", keep=20), watch=RULES)
    kept = stack.host.home.joinpath("stacks", "shop", "kept.json")

    def full(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(kept))

    with monkeypatch.context() as disk:
        disk.setattr("slipway.agent.state.kept_generations.remove_files", full)
        stack.later(40)
    assert kept.exists()
    assert stack.probe()["watch"]["state"] == "watching"
    stack.later(10)
    assert not kept.exists()
    stack.later(90)
    assert stack.probe()["watch"]["state"] == "over"
