"""When a service counts as healthy and a one-off as done, how long each is waited for, and what is said of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from programs import NEVER, Program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulation import Ended, Simulation
    from virtual_time import VirtualTime

LONG = {"health_deadline": 120}
ALWAYS = {"restart": "always"}
WATCH: dict[str, Any] = {"seconds": 120, "minimum": 50, "error_relative": 0.1, "error_floor": 0.01,
                         "latency_relative": 0.2, "latency_floor": 0.05, "restarts": 2, "notify": None}  # fmt: skip


def job(stack: Simulation, after: float, code: int = 0, *, checked: bool = False, **own: Any) -> dict[str, Any]:
    """A service that ends by itself."""
    found = stack.service(environment={"MODE": "ends", "AFTER": f"{after}", "CODE": f"{code}"}, **own)
    return found if checked else {key: value for key, value in found.items() if key != "healthcheck"}


# --- one-offs that nobody waits for


@pytest.mark.parametrize("after", [0.2, 0.95, 1.5, 4, 130])
@pytest.mark.parametrize(
    "own",
    [{"restart": "no"}, {"deploy": {"restart_policy": {"condition": "none"}}}, {"restart": "on-failure"}, {}],
    ids=["no", "none", "on-failure", "unsaid"],
)
@pytest.mark.parametrize("checked", [False, True], ids=["", "checked"])
def test_one_that_ends_with_zero_is_done_whenever_it_does(
    stack: Simulation, own: dict[str, Any], after: float, *, checked: bool
) -> None:
    if checked and after > 2:
        own = {**own, "healthcheck": {"disable": True}}  # else it has to become healthy before
    wanted = stack.shop(extra={"job": job(stack, after, checked=checked, **own)})
    assert stack.deploy(wanted, watch=WATCH).code == 0
    stack.later(after + 40)
    probe = stack.probe()
    assert (probe["drift"], probe["watch"]["reason"]) == ([], "")
    assert [each["state"] for each in probe["live"]["services"]["job"]["containers"]] == ["completed"]
    before = stack.containers("job")[0].run
    assert stack.deploy(wanted).report["outcome"] == "unchanged"
    assert stack.deploy(stack.shop("2", extra={"job": job(stack, after, checked=checked, **own)})).code == 0
    assert stack.containers("job")[0].run == before, "it does not run again"
    stack.later(after + 1)
    assert stack.probe()["drift"] == []


@pytest.mark.parametrize("after", [0.2, 0.95, 1.5, 4, 30, 110])
def test_one_that_fails_fails_the_release_whenever_it_does(stack: Simulation, after: float) -> None:
    first = stack.deploy(stack.shop()).report["release"]
    ended = stack.deploy(stack.shop(extra={"job": job(stack, after, 3, restart="no")}), options=LONG)
    assert "one-off job failed: it ended with exit code 3" in ended.error
    assert f"release {first}" in ended.error
    assert stack.versions() == {"api": ["1"], "db": ["1"]}


@pytest.mark.parametrize("after", [0.2, 1.5, 3])
def test_one_that_fails_while_others_start_fails_the_release_though_it_ran_for_a_moment(
    stack: Simulation, after: float
) -> None:
    stack.deploy(stack.shop())
    ended = stack.deploy(stack.shop("2", api_environment={"MODE": "slow"}, extra={"job": job(stack, after, 3)}))
    assert "service job did not stay up: it ended with exit code 3" in ended.error


def test_one_that_outlasts_the_health_deadline_is_left_at_work(stack: Simulation) -> None:
    ended = stack.deploy(stack.shop(extra={"job": job(stack, 500, 3, restart="no")}), options={"health_deadline": 30})
    assert "job is still at work" in ended.err
    assert 30 < ended.seconds < 35
    stack.later(500)
    assert [each["what"] for each in stack.probe()["drift"]] == ["shop-job-1 is exited (exit code 3)"]


@pytest.mark.parametrize(
    "own", [{"ports": [{"target": 1, "published": "1"}]}, {"restart": "always"}], ids=["published", "always"]
)
def test_a_server_that_was_stopped_is_not_done(stack: Simulation, own: dict[str, Any]) -> None:
    wanted = stack.shop(db_service=own)
    stack.deploy(wanted)
    stack.later(30)
    stack.host.engine.handle("POST", f"/containers/{stack.ids('db')[0]}/stop")
    assert [each["what"] for each in stack.probe()["drift"]] == ["shop-db-1 is exited (exit code 0)"]
    assert stack.deploy(wanted).report["outcome"] == "repaired"
    assert stack.versions() == {"api": ["1"], "db": ["1"]}


# --- how long is waited


class Apart:
    """Programs that know what time it is."""

    def __init__(self, stack: Simulation, seconds: float, **check: Any) -> None:
        self.time: VirtualTime = stack.world.time
        self.until = self.time.now + seconds
        self.image = stack.world.image("apart", self.behaviour, check=check)

    def behaviour(self, _: Mapping[str, str], __: list[str]) -> Program:
        """Ends at once until that time has come."""
        return Program() if self.time.now >= self.until else Program(ready=NEVER, exits=0.1, code=1, says=("no db",))


def release(stack: Simulation, image: str, version: str = "1", **how: Any) -> dict[str, Any]:
    """An `app` of that image beside a database."""
    app = stack.service(image=image, environment={"VERSION": version}, **{**ALWAYS, **how})
    db = stack.service(environment={"VERSION": how.pop("db", "1")})
    return stack.release({"app": app, "db": db})


@pytest.mark.parametrize("seconds", [2, 10, 60, 100])
@pytest.mark.parametrize("condition", ["service_started", "service_healthy", None])
def test_an_app_that_crashes_until_its_database_is_up_is_waited_for(
    stack: Simulation, condition: str | None, seconds: float
) -> None:
    needs = {"depends_on": {"db": {"condition": condition}}} if condition else {}
    ended = stack.deploy(release(stack, Apart(stack, seconds).image, **needs), options=LONG)
    assert ended.code == 0
    assert (
        seconds < 10 or "app is restarting, restarted 5 times, last exit code 1: what it needs may not be" in ended.err
    )
    assert seconds < 10 or "so it is waited for (no db)" in ended.err


def test_an_app_whose_dependency_is_replaced_is_waited_for_and_one_whose_is_not_is_given_up(stack: Simulation) -> None:
    needs = {"depends_on": {"db": {"condition": "service_started"}}}
    good = Apart(stack, 0).image
    stack.deploy(release(stack, good, **needs))
    stack.later(300)
    ended = stack.deploy(release(stack, Apart(stack, 1000).image, "2", **needs))
    assert "it was restarted 5 times, last exit code 1" in ended.error
    assert ended.seconds < 10
    both = release(stack, Apart(stack, 20).image, "3", **needs)
    both = stack.release({**both["compose"]["services"], "db": stack.service(environment={"VERSION": "2"})})
    assert stack.deploy(both, options=LONG).code == 0


def test_a_crash_loop_is_seen_at_once_though_others_take_long_to_stop(stack: Simulation) -> None:
    def wanted(version: str, mode: str) -> dict[str, Any]:
        slow = stack.service(environment={"VERSION": version, "MODE": "stubborn"}, stop_grace_period="60s",
                             depends_on={"api": {"condition": "service_started"}})  # fmt: skip
        return stack.shop(version, api_environment={"MODE": mode}, api_service=ALWAYS, extra={"slow": slow})

    stack.deploy(wanted("1", ""))
    ended = stack.deploy(wanted("2", "exit"))
    assert "last exit code 7" in ended.error
    failed = next(line for line in ended.out.errors if " failed " in line)
    assert "it was restarted" in failed
    assert stack.versions() == {"api": ["1"], "db": ["1"], "slow": ["1"]}
    begun = next(line for line in ended.out.errors if "recreate:slow" in line)
    assert ended.out.errors.index(failed) == ended.out.errors.index(begun) + 1
    assert ended.seconds < 2 * 60 + 10


@pytest.mark.parametrize(("ready", "period", "code"), [(25, "10s", 0), (40, "10s", 1), (70, "1m", 0), (90, "1m", 1)])
def test_the_health_deadline_begins_after_the_start_period(
    stack: Simulation, ready: float, period: str, code: int
) -> None:
    image = stack.world.image("slow", lambda *_: Program(ready=ready))
    check = {"test": ["CMD", "x"], "interval": "10s", "timeout": "5s", "retries": 30, "start_period": period}
    wanted = stack.release({"app": stack.service(image=image, healthcheck=check)})
    assert stack.deploy(wanted, options={"health_deadline": 20, "deadline": 3600}).code == code


@pytest.mark.parametrize("seconds", [10, 130, 300])
def test_an_awaited_one_off_may_take_as_long_as_the_deployment(stack: Simulation, seconds: float) -> None:
    needs = {"init": {"condition": "service_completed_successfully"}}
    wanted = stack.release({"init": job(stack, seconds), "app": stack.service(depends_on=needs)})
    assert stack.deploy(wanted, options={"health_deadline": 120, "deadline": 600}).code == 0


SECOND = 10**9


@pytest.mark.parametrize("ready", [1, 100, 150])
def test_an_image_s_own_check_with_a_long_interval_is_hastened(stack: Simulation, ready: float) -> None:
    check = {"Test": ["CMD", "x"], "Interval": 300 * SECOND, "Timeout": 30 * SECOND, "Retries": 3}
    image = stack.world.image("own", lambda *_: Program(ready=ready), check=check)
    app = {key: value for key, value in stack.service(image=image).items() if key != "healthcheck"}
    ended = stack.deploy(stack.release({"app": app}), options={"health_deadline": 120, "deadline": 3600})
    assert (ended.code == 0) is (ready < 120), ended.err
    assert ready >= 120 or ended.seconds < ready + 5


@pytest.mark.parametrize("interval", [1, 10, 30])
def test_a_container_that_is_sick_after_a_later_restart_is_seen_as_by_docker(stack: Simulation, interval: int) -> None:
    sick: list[bool] = []
    image = stack.world.image("later", lambda *_: Program(healthy=not sick))
    check = {"test": ["CMD", "x"], "interval": f"{interval}s", "timeout": "5s", "retries": 3}
    assert stack.deploy(stack.release({"app": stack.service(image=image, healthcheck=check, **ALWAYS)})).code == 0
    sick.append(True)
    stack.host.engine.restart_engine()
    stack.later(1 + 4 * interval + 1)  # Docker alone: three intervals
    assert stack.containers("app")[0].health.status == "unhealthy"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "check",
    [{"interval": "30s"}, {"interval": "5m"}, {"start_period": "5m"}, {"interval": "1s"}],
)
def test_no_check_is_asked_four_times_a_second_for_long(
    stack: Simulation, check: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, asked = stack.host.engine, []
    probe = engine._probe
    monkeypatch.setattr(engine, "_probe", lambda *what: (asked.append(stack.world.time.now), probe(*what)))
    image = stack.world.image("dear", lambda *_: Program(healthy=False))
    app = stack.service(image=image, healthcheck={"test": ["CMD", "x"], "retries": 20, **check}, **ALWAYS)
    stack.deploy(stack.release({"app": app}), options={"health_deadline": 60, "deadline": 3600})
    pace = [late - early for early, late in pairwise(asked)]
    assert sum(each < 0.9 for each in pace) <= 120


# --- what is said


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ((1, "connection refused"), "its health check said no (exit code 1)"),
        ((-1, "Health check exceeded timeout (5s)"), "its health check hangs: no answer within its timeout"),
        ((-1, 'OCI runtime exec failed: exec: "curl": executable file not found in $PATH: unknown'),
         "its health check cannot run: its program is not in the image"),
        ((127, "/bin/sh: 1: curl: not found"), "its health check cannot run: its program is not in the image"),
        ((127, "told so"), "its health check said no (exit code 127)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_check_is_said(stack: Simulation, probe: tuple[int, str], said: str) -> None:
    image = stack.world.image("said", lambda *_: Program(healthy=False, probe=probe))
    ended = stack.deploy(stack.release({"app": stack.service(image=image)}))
    assert said in ended.error
    assert f": {probe[1]}" in ended.err


ABSENT = [
    (-1, 'OCI runtime exec failed: exec: "curl": executable file not found in $PATH: unknown'),
    (126, 'OCI runtime exec failed: exec: "/check": stat /check: no such file or directory: unknown'),
    (127, "/bin/sh: 1: curl: not found"),
]


@pytest.mark.parametrize("probe", ABSENT)
@pytest.mark.parametrize(("check", "after"), [({}, 5), ({"start_period": "15s"}, 15)], ids=["", "start period"])
def test_a_check_whose_program_is_missing_is_given_up_long_before_docker_would(
    stack: Simulation, probe: tuple[int, str], check: dict[str, Any], after: int
) -> None:
    image = stack.world.image("absent", lambda *_: Program(healthy=False, probe=probe, adds=("/tmp/x", "/run/app.pid")))
    data = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}
    app = stack.service(image=image, healthcheck={"test": ["CMD", "curl"], **check}, **data, **ALWAYS)
    wanted = stack.release({"app": app}, volumes={"data": {"name": "data"}})
    began = stack.world.time.now
    ended = stack.deploy(wanted, options={"health_deadline": 300, "deadline": 600})
    assert "its health check cannot run: its program is not in the image, after " in ended.error
    assert after <= stack.world.time.now - began < after + 5
    assert "it may be installed at the start, so it is waited for" in ended.err


@pytest.mark.parametrize("probe", ABSENT)
@pytest.mark.parametrize("ready", [2, 20, 40])
def test_a_container_that_installs_the_program_of_its_check_has_the_time_that_docker_gives_it(
    stack: Simulation, probe: tuple[int, str], ready: int
) -> None:
    slow = Program(ready=ready, probe=probe, adds=("/usr/bin/curl",) if ready > 5 else ())
    image = stack.world.image("slow", lambda *_: slow)
    check = {"test": ["CMD", "curl"], "interval": "10s", "retries": 5}
    app = stack.service(image=image, healthcheck=check, **ALWAYS)
    assert stack.deploy(stack.release({"app": app}), options={"health_deadline": 300, "deadline": 600}).code == 0


def test_a_check_that_has_not_run_yet_is_told_from_one_that_said_no(stack: Simulation) -> None:
    check = {"test": ["CMD", "x"], "interval": "10m", "start_interval": "5m", "start_period": "5s"}
    ended = stack.deploy(stack.release({"app": stack.service(healthcheck=check)}))
    assert "last seen: starting, its health check has not run yet" in ended.error


@pytest.mark.parametrize("restart", ["no", "always", ""])
def test_out_of_memory_is_said(stack: Simulation, restart: str) -> None:
    stack.deploy(stack.shop())
    own = {"restart": restart} if restart else {}
    ended: Ended = stack.deploy(stack.shop("2", api_environment={"MODE": "hungry"}, api_service=own))
    assert "exit code 137, out of memory: the host had no more" in ended.error


def test_only_who_could_not_start_is_named(stack: Simulation) -> None:
    held = {"ports": [{"target": 1, "published": "7001"}]}
    services = {name: stack.service() for name in ("a", "b", "c")}
    services |= {"first": stack.service(**held), "second": stack.service(**held)}
    ended = stack.deploy(stack.release(services))
    assert ended.code == 1
    assert "error: second did not start: Error response from daemon: " in ended.error
