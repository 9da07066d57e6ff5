"""What visitors get is asked for before and after requests move: "deployed" over a dead site does not happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from programs import NEVER, Program
from simulation import PORT, SMOKE
from strategies import STRATEGIES

if TYPE_CHECKING:
    from simulation import Ended, Simulation

EVERY = {**STRATEGIES, "recreate": {"strategy": "recreate"}}
every = pytest.mark.parametrize("how", EVERY.values(), ids=EVERY)
UNANSWERED = [
    # how it behaves, what is said, what the fix names, seconds within which that is known
    ("elsewhere", "nothing listens on port 8000 of web (the route's port): it listens on 9000", "`port: 9000`", 30),
    (
        "alone",
        "nothing listens on port 8000 of web (the route's port): it listens on 127.0.0.1:8000",
        "0.0.0.0:8000",
        30,
    ),
    ("nowhere", "nothing listens on port 8000 of web (the route's port)", "x-slipway.port", 150),
    ("unavailable", "web does not answer for its route / on port 8000: 503 Service Unavailable", "`smoke: off`", 60),
]


def web(stack: Simulation, version: str, mode: str = "", **how: Any) -> dict[str, Any]:
    return stack.web(version, **{"port": PORT, "smoke": [], **how}, environment={"MODE": mode})


def serves_the_first(stack: Simulation, ended: Ended, first: str, replicas: int = 1) -> None:
    assert ended.code == 1, ended.err
    assert f"release {first}" in ended.error
    assert "serves" in ended.error
    assert stack.visit() == (200, "1")
    assert stack.versions()["web"] == ["1"] * replicas
    assert stack.probe()["drift"] == []


@every
@pytest.mark.parametrize(("mode", "said", "fix", "seconds"), UNANSWERED, ids=[each[0] for each in UNANSWERED])
def test_a_release_that_does_not_answer_on_the_routes_port_gets_no_request(  # noqa: PLR0917 - a case is one line
    stack: Simulation, how: dict[str, Any], mode: str, said: str, fix: str, seconds: float
) -> None:
    first = stack.deploy(web(stack, "1", **how)).report["release"]
    ended = stack.deploy(web(stack, "2", mode, **how), options={"health_deadline": 120})
    assert said in ended.error
    assert fix in ended.error
    assert "probed: " in ended.err
    assert ended.seconds < seconds
    assert how["strategy"] == "recreate" or stack.witness.seen == []
    serves_the_first(stack, ended, first, how.get("replicas", 1))


@every
@pytest.mark.parametrize(("mode", "said", "fix", "seconds"), UNANSWERED, ids=[each[0] for each in UNANSWERED])
def test_a_wrong_port_is_named_before_smoke_checks_fail_for_it(  # noqa: PLR0917 - a case is one line
    stack: Simulation, how: dict[str, Any], mode: str, said: str, fix: str, seconds: float
) -> None:
    checks = [
        SMOKE,
        {"kind": "tcp", "port": PORT, "deadline": 2},
        {"kind": "command", "command": ["no"], "deadline": 2},
    ]
    how = {**how, "smoke": checks[:2]}
    first = stack.deploy(web(stack, "1", **how)).report["release"]
    ended = stack.deploy(web(stack, "2", mode, **{**how, "smoke": checks}), options={"health_deadline": 120})
    assert said in ended.error
    assert fix in ended.error
    assert ended.seconds < seconds
    serves_the_first(stack, ended, first, how.get("replicas", 1))


def test_a_smoke_check_without_an_answer_says_so_once(stack: Simulation) -> None:
    ended = stack.deploy(web(stack, "1", "choosy", smoke=[{**SMOKE, "port": 9100}]))
    assert "smoke check of web failed: http://" in ended.error
    assert "last answer: " in ended.err
    assert "it listens on 8000" in ended.err
    assert "wrong: " not in ended.err
    assert "wrong: status is 500" in stack.deploy(web(stack, "1", "smoke", smoke=[SMOKE])).err


@every
def test_what_answers_anything_else_passes_and_is_asked_at_once(stack: Simulation, how: dict[str, Any]) -> None:
    begin = stack.deploy(web(stack, "1", **how)).seconds
    assert begin < 20
    assert stack.deploy(web(stack, "2", "refusing", **how)).code == 0
    assert stack.visit() == (200, "2")


@every
@pytest.mark.parametrize("mode", ["elsewhere", "unavailable"])
def test_smoke_off_tries_no_route(stack: Simulation, how: dict[str, Any], mode: str) -> None:
    assert stack.deploy(web(stack, "1", mode, **{**how, "smoke": None})).code == 0


def test_a_release_that_takes_its_time_without_a_health_check_gets_no_request_before(stack: Simulation) -> None:
    own = {"service": {"healthcheck": None}}
    stack.deploy(web(stack, "1", **own))
    assert stack.deploy(web(stack, "2", "slow", **own)).code == 0
    assert stack.witness.seen == []


def test_a_route_that_is_given_a_port_on_which_nobody_listens_stays_where_it_was(stack: Simulation) -> None:
    how = {"service": {"environment": {"MODE": "choosy"}}}
    first = stack.deploy(web(stack, "1", "choosy", **how)).report["release"]
    ended = stack.deploy(web(stack, "1", "choosy", **how, port=9000))
    assert "nothing listens on port 9000 of web (the route's port): it listens on 8000" in ended.error
    assert "`port: 8000`" in ended.error
    assert stack.witness.seen == []
    serves_the_first(stack, ended, first)


def test_every_route_is_asked_for_by_its_host_and_path(stack: Simulation) -> None:
    routes = [{"host": "", "path": "/", "strip": False}, {"host": "a.test", "path": "/gone", "strip": False}]
    first = stack.deploy(web(stack, "1")).report["release"]
    ended = stack.deploy(web(stack, "2", "partly", routes=routes))
    assert "web does not answer for its route a.test/gone on port 8000: 504 Gateway Timeout" in ended.error
    serves_the_first(stack, ended, first)
    stripped = [{**route, "strip": True} for route in routes]
    assert stack.deploy(web(stack, "2", "partly", routes=stripped)).code == 0


def test_some_containers_may_be_missing_where_that_is_allowed(stack: Simulation) -> None:
    how = {"replicas": 2, "update": {"max_failure_ratio": 0.5}}
    ended = stack.deploy(web(stack, "1", "elsewhere", **how))
    assert "nothing listens on port 8000" in ended.error  # all of them are


@pytest.mark.parametrize("mode", ["half elsewhere", "half unavailable"])
def test_those_that_may_be_missing_get_no_request(stack: Simulation, mode: str) -> None:
    how = {"replicas": 4, "update": {"max_failure_ratio": 0.5}}
    stack.deploy(web(stack, "1", **how))
    assert stack.deploy(web(stack, "2", mode, **how)).code == 0
    assert stack.deploy(web(stack, "2", mode, **how)).code == 0
    assert [each for each in stack.witness.seen if "web" in each.what] == []
    [servers] = stack.host.edges[-1].routed().values()
    assert len(servers) == 2
    assert stack.versions()["web"] == ["2"] * 4
    assert stack.probe()["drift"] == []


@pytest.mark.parametrize(
    ("mode", "said", "seconds"),
    [
        ("pending", "it ended with exit code 3", 30),
        ("hanging", "it did not end in time", 30),
        ("silent", "it ended with exit code 3", 30),
    ],
)
def test_a_command_that_fails_inside_of_the_container_stops_the_release(
    stack: Simulation, mode: str, said: str, seconds: float
) -> None:
    check = {"kind": "command", "command": ["check", "--all"], "deadline": 3}
    first = stack.deploy(web(stack, "1", smoke=[check])).report["release"]
    ended = stack.deploy(web(stack, "2", mode, smoke=[check]))
    assert f"smoke check of web failed: check --all in shop-web-2: {said}" in ended.error
    assert f"last answer: {said}" in ended.err
    assert ("| 2 migrations are missing" in ended.err) == (mode == "pending")
    assert ended.seconds < seconds
    assert stack.witness.seen == []
    serves_the_first(stack, ended, first)


def test_a_failed_check_shows_the_answer_of_the_container_that_it_names(stack: Simulation) -> None:
    check = {"kind": "command", "command": ["check", "--all"], "deadline": 3}
    ended = stack.deploy(web(stack, "1", "half hanging", smoke=[check], replicas=2))
    assert "check --all in shop-web-1: it ended with exit code 3" in ended.error


def test_a_check_that_closed_its_output_and_does_not_end_has_not_passed(stack: Simulation) -> None:
    check = {"kind": "command", "command": ["check"], "deadline": 3}
    ended = stack.deploy(web(stack, "1", "silent hanging", smoke=[check]))
    assert "smoke check of web failed: check in shop-web-1: it did not end in time" in ended.error
    assert ended.seconds < 30


# --- what passes requests on


def site(stack: Simulation, version: str, *, rolls: bool = False, old: bool = True) -> dict[str, Any]:
    """A routed proxy, unchanged, that keeps the address of `api`, which changes with its version."""
    services = {
        "api": stack.service(environment={"VERSION": version}),
        "web": stack.service(environment={"MODE": "proxy"}, depends_on={"api": {"condition": "service_started"}}),
    }
    if old:
        services["old"] = stack.service()
        services["api"]["depends_on"] = {"old": {"condition": "service_started"}}
    routed = {"strategy": "rolling", "port": PORT, "routes": [{"host": "", "path": "/", "strip": False}]}
    api = {"strategy": "rolling", "update": {"order": "start-first"}} if rolls else {}
    return stack.release(services, {"web": routed, "api": api})


def behind(stack: Simulation) -> str:
    """The version that the proxy passes requests on to; empty where nobody answers there."""
    [proxy] = stack.containers("web")
    found = stack.host.engine.passes_on(proxy)
    return found.environment["VERSION"] if found else ""


@pytest.mark.parametrize("how", [{"rolls": True}, {"old": False}], ids=["rolling", "a lower address free"])
def test_a_proxy_that_lost_what_it_passes_on_to_fails_the_release_and_serves_again(
    stack: Simulation, how: dict[str, Any]
) -> None:
    assert stack.deploy(site(stack, "1", **{**how, "old": True})).code == 0
    first = stack.deploy(site(stack, "1", **how)).report["release"]
    assert behind(stack) == "1"
    ended = stack.deploy(site(stack, "2", **how))
    assert "route / of web does not answer through the edge: 502 Bad Gateway" in ended.error
    assert (
        "write `depends_on: {api: {condition: service_started, restart: true}}` in web, so that it follows"
        in ended.error
    )
    assert f"rolled back to release {first}, which serves" in ended.error
    assert ("web starts again" in ended.err) == ("old" in how)  # its address did not come back
    assert behind(stack) == "1"
    assert stack.probe()["drift"] == []


def test_a_proxy_whose_service_is_recreated_goes_on_reaching_it(stack: Simulation) -> None:
    assert stack.deploy(site(stack, "1")).code == 0
    assert stack.deploy(site(stack, "2")).code == 0
    assert behind(stack) == "2"


def two(stack: Simulation, version: str, *, old: bool = False, far: bool = False) -> dict[str, Any]:
    """As `site`, but the proxy answers its route itself, and only its smoke check asks `api`.

    Where that is `far`, a service with the route stands in front of the proxy.
    """
    wanted = site(stack, version, old=old)
    services, slipway = wanted["compose"]["services"], wanted["services"]
    services["web"]["environment"]["MODE"] = "front"
    slipway["web"]["smoke"] = [{**SMOKE, "path": "/api/x", "deadline": 30}]
    if far:
        services["cache"] = {**services["web"], "environment": {"MODE": "proxy"}}
        needs = {"depends_on": {"cache": {"condition": "service_started"}}}
        services["web"] = {**services["web"], **needs, "environment": {"MODE": "front", "UPSTREAM": "cache"}}
    return stack.release(services, slipway)


def answers(stack: Simulation) -> bool:
    return stack.host.edges[-1].request("shop.test", "/api/x", {})[0] == 200


@pytest.mark.parametrize("far", [False, True], ids=["routed", "behind another"])
def test_a_way_back_is_over_once_the_smoke_checks_of_what_needs_it_pass(stack: Simulation, *, far: bool) -> None:
    """The address of what is recreated is given away where a lower one is free."""
    assert stack.deploy(two(stack, "1", old=True, far=far)).code == 0
    first = stack.deploy(two(stack, "1", far=far)).report["release"]
    ended = stack.deploy(two(stack, "2", far=far))
    assert "smoke check of web failed" in ended.error
    assert f"rolled back to release {first}, which serves" in ended.error
    assert f"{'cache' if far else 'web'} starts again: smoke check of web failed" in ended.err
    assert answers(stack)
    again = stack.deploy(two(stack, "1", far=far))
    assert (again.report["outcome"], again.report["touched"]) == ("unchanged", [])
    assert stack.deploy(two(stack, "1", far=far)).seconds < again.seconds  # and nothing is doubted any more


def failed(stack: Simulation) -> None:
    """What an earlier version leaves: a failed deployment, and a proxy that has kept the address of what is gone."""
    stack.deploy(two(stack, "1"))
    bad = two(stack, "1")
    bad["compose"]["services"]["worker"] = stack.service(environment={"MODE": "sick"})
    assert stack.deploy(stack.release(bad["compose"]["services"], bad["services"])).code == 1
    [proxy] = stack.containers("web")
    proxy.upstream = "10.9.9.9"
    assert not answers(stack)


@pytest.mark.parametrize("more", [False, True], ids=["nothing changes", "another service is new"])
def test_after_a_failure_what_is_live_is_asked_before_it_is_said_to_be_as_it_was(
    stack: Simulation, *, more: bool
) -> None:
    failed(stack)
    wanted = two(stack, "1")
    if more:
        wanted["compose"]["services"]["worker"] = stack.service()
        wanted = stack.release(wanted["compose"]["services"], wanted["services"])
    ended = stack.deploy(wanted)
    assert ended.report["outcome"] == ("deployed" if more else "repaired")
    assert "web" in ended.report["touched"]
    assert answers(stack)
    assert stack.deploy(wanted).report["touched"] == []


def test_after_a_failure_what_does_not_answer_at_all_is_not_said_to_serve(stack: Simulation) -> None:
    failed(stack)
    [api] = stack.containers("api")
    api.program = Program(ready=NEVER)
    ended = stack.deploy(two(stack, "1"))
    assert "smoke check of web failed" in ended.error
    assert "it is not certain what serves" in ended.error
    assert "still serves" not in ended.error


# --- addresses


def addresses(stack: Simulation) -> dict[str, str]:
    return {
        each.labels["com.docker.compose.service"]: each.endpoints["shop_default"]["IPAddress"]
        for each in stack.containers()
        if each.running
    }


def several(stack: Simulation, version: str, names: str, mode: str = "") -> dict[str, Any]:
    """Services that are recreated together."""
    modes = {"mail": mode}
    environments = {name: {"VERSION": version, "MODE": modes.get(name, "")} for name in names.split()}
    return stack.release({name: stack.service(environment=each) for name, each in environments.items()})


@pytest.mark.parametrize("mode", ["", "sick"])
@pytest.mark.parametrize("first", ["", "old"], ids=["no address free", "a lower address free"])
def test_what_is_recreated_together_gets_its_addresses_back(stack: Simulation, mode: str, first: str) -> None:
    for names in (first, f"{first} worker", f"{first} worker mail", f"{first} worker mail api", "worker mail api"):
        assert not names or stack.deploy(several(stack, "1", names)).code == 0
    before = addresses(stack)
    assert before["worker"] < before["mail"] < before["api"]
    ended = stack.deploy(several(stack, "2", "worker mail api", mode))
    assert (ended.code == 0) == (not mode)
    after = addresses(stack)
    moved = {name for name in before if after[name] != before[name]}
    assert len(moved) == bool(first)
    assert not {after[name] for name in moved} & set(before.values())


@pytest.mark.parametrize("other", ["before", "web2"])
def test_a_routed_service_that_is_recreated_with_others_leaves_them_their_addresses(
    stack: Simulation, other: str
) -> None:
    """The edge's network gives each container an address that it never had; it is joined after the start."""

    def site(version: str, *names: str) -> dict[str, Any]:
        services = {name: stack.service(environment={"VERSION": version}) for name in names}
        routed = {"strategy": "recreate", "port": PORT, "routes": [{"host": "", "path": "/", "strip": False}]}
        return stack.release(services, {"web": routed})

    for names in (("web",), ("web", other), ("web", other, "zone")):
        assert stack.deploy(site("1", *names)).code == 0
    before = addresses(stack)
    for version in ("2", "3", "4"):  # its address there goes round
        assert stack.deploy(site(version, "web", other, "zone")).code == 0
        assert addresses(stack) == before
