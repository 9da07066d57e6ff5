"""`x-slipway`: its keys, defaults, and what is said of a wrong one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.agent import strategies as planners
from slipway.compose.schema_check import _schema
from slipway.contract.strategies import STRATEGIES
from slipway.x_slipway.service import HttpCheck, Migrate, ServiceExtension, TcpCheck, read_extension


def problems(block: object) -> list[tuple[str, str, str]]:
    return [problem[:3] for problem in read_extension("web", block)[1]]


def document(**block: Any) -> dict[str, Any]:
    extension, found = read_extension("web", block)
    assert found == []
    return extension.document()


@pytest.mark.parametrize("block", [None, {}])
def test_a_service_needs_no_extension(block: object) -> None:
    extension, found = read_extension("web", block)
    assert found == []
    document = extension.document()
    assert (document["strategy"], document["routes"], document["canary"]) == ("recreate", [], None)
    assert (document["port"], document["migrate"], document["smoke"]) == (None, None, [])


def test_every_strategy_has_a_planner_of_its_name() -> None:
    for strategy in STRATEGIES:
        assert planners.find(strategy, "web")


@pytest.mark.parametrize(
    ("block", "place", "meaning"),
    [
        ({"strategi": "x"}, "strategi", "did you mean 'strategy'?"),
        ({"migrate": {"comand": "x"}}, "migrate.comand", "did you mean 'command'?"),
        ({"smoke": [{"htp": {}}]}, "smoke.0.htp", "did you mean 'http'?"),
        ({"smoke": [{"http": {"pathh": "/"}}]}, "smoke.0.http.pathh", "did you mean 'path'?"),
        ({"smoke": [{"http": {"json_fields": {}}}]}, "smoke.0.http.json_fields", "nothing in x-slipway has that name"),
        ({"smoke": [{"tcp": {"prot": 1}}]}, "smoke.0.tcp.prot", "did you mean 'port'?"),
        ({"canary": {"step": [100]}}, "canary.step", "did you mean 'steps'?"),
        ({"route": {"paht": "/"}}, "route.paht", "did you mean 'path'?"),
        ({"backup": {}}, "backup", "nothing in x-slipway has that name"),
    ],
)
def test_an_unknown_key_names_the_nearest_of_its_own_block(block: dict[str, Any], place: str, meaning: str) -> None:
    told = {what: said for what, said, _ in problems(block)}
    assert told[f"services.web.x-slipway.{place}: unknown key"] == meaning


def test_an_unknown_key_is_told_with_the_known_ones() -> None:
    [(_, _, fix)] = problems({"smoke": [{"tcp": {"port": 1, "zzz": 1}}]})
    assert fix == "remove or rename it in the Compose file (known: port, deadline)"


def test_an_unknown_strategy_names_the_nearest() -> None:
    [(what, meaning, fix)] = problems({"strategy": "recreat"})
    assert what == "services.web.x-slipway.strategy: unknown strategy 'recreat'"
    assert meaning == "did you mean 'recreate'?"
    assert fix == "set `strategy: recreate` in the Compose file"
    assert problems({"strategy": "zzz"})[0][1] == f"the strategies are: {', '.join(STRATEGIES)}"


@pytest.mark.parametrize("check", [{"http": {}}, {"tcp": {}}])
def test_a_smoke_check_needs_a_port_of_its_own_or_of_its_service(check: dict[str, Any]) -> None:
    [(what, _, fix)] = problems({"smoke": [check]})
    assert what == "services.web.x-slipway.smoke: a check names no port, and the service has none"
    assert fix == "set `port: CONTAINER-PORT` in services.web.x-slipway"
    assert document(port=80, smoke=[check])["smoke"][0]["port"] == 80
    [kind] = check
    assert document(port=80, smoke=[{kind: {"port": 81}}])["smoke"][0]["port"] == 81


@pytest.mark.parametrize(
    "check", [{}, {"http": {}, "tcp": {"port": 1}}, {"http": None, "tcp": None}, {"command": "true", "http": {}}]
)
def test_a_smoke_check_is_of_one_kind(check: dict[str, Any]) -> None:
    assert [what for what, _, _ in problems({"port": 1, "smoke": [check]})] == [
        "services.web.x-slipway.smoke.0: a smoke check is one of http, tcp and command"
    ]


@pytest.mark.parametrize(
    ("migrate", "command"),
    [
        ({"command": ["alembic", "upgrade", "head"]}, ["alembic", "upgrade", "head"]),
        ({"command": "sh -c 'a && b' \"c d\""}, ["sh", "-c", "a && b", "c d"]),
        ("alembic upgrade head", ["alembic", "upgrade", "head"]),
        (["alembic", "upgrade", "head"], ["alembic", "upgrade", "head"]),
    ],
)
def test_a_migration_is_a_command_as_list_or_line_alone_or_in_a_block(migrate: object, command: list[str]) -> None:
    assert document(migrate=migrate)["migrate"] == {"command": command, "deadline": 300, "irreversible": False}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("x", ": is not a mapping"),
        ([], ": is not a mapping"),
        ({"migrate": ""}, ".migrate.command: names no command"),
        ({"migrate": {"command": "  "}}, ".migrate.command: names no command"),
        ({"migrate": []}, ".migrate.command: names no command"),
        ({"migrate": "unbalanced '"}, ".migrate.command: no closing quotation"),
        ({"migrate": 3}, ".migrate: is not a mapping"),
        ({"migrate": {}}, ".migrate.command: is missing"),
        ({"migrate": {"command": ["a"], "deadline": 0}}, ".migrate.deadline: input should be greater than or equal"),
        ({"port": 0}, ".port: input should be greater than or equal to 1"),
        ({"port": "http"}, ".port: input should be a valid integer"),
        ({"port": [80]}, ".port: input should be a valid integer"),
        ({"smoke": {}}, ".smoke: is not a list"),
        ({"smoke": "on"}, ".smoke: is not a list"),
        ({"smoke": True}, ".smoke: is not a list"),
        ({"smoke": None}, ".smoke: is not a list of checks, nor `off`"),
        ({"smoke": [{"command": ""}]}, ".smoke.0.command.run: names no command"),
        ({"smoke": [{"command": {"deadline": 1}}]}, ".smoke.0.command.run: "),
        ({"smoke": ["http"]}, ".smoke.0: is not a mapping"),
        ({"smoke": [{"http": "/"}]}, ".smoke.0.http: is not a mapping"),
        ({"smoke": [{"http": {"path": "health"}}]}, ".smoke.0.http.path: does not begin with a slash"),
        ({"smoke": [{"http": {"path": "/<{%x%}>"}}]}, ".smoke.0.http.path: has a blank, < or >"),
        ({"smoke": [{"http": {"path": "/a\nb"}}]}, ".smoke.0.http.path: has a blank, < or >"),
        ({"smoke": [{"http": {"status": 42}}]}, ".smoke.0.http.status: input should be greater than or equal to 100"),
        ({"smoke": [{"http": {"json": "x"}}]}, ".smoke.0.http.json: is not a mapping"),
        ({"hosts": "web-1"}, ".hosts: is not a list"),
        ({"hosts": [1]}, ".hosts.0: input should be a valid string"),
        ({"strategy": None}, ".strategy: input should be a valid string"),
        ({"scheme": "grpc"}, ".scheme: input should be 'http' or 'h2c'"),
    ],
)
def test_a_wrong_value_says_where_and_what_is_expected(block: object, said: str) -> None:
    found = problems(block)
    assert found[0][0].startswith(f"services.web.x-slipway{said}"), found
    assert all(part for problem in found for part in problem)


def test_every_problem_of_a_block_is_told_at_once() -> None:
    assert len(problems({"port": 0, "zzz": 1, "smoke": [{"http": {"status": 1, "y": 1}}], "hosts": 3})) == 5


def test_a_check_says_only_what_it_checks() -> None:
    assert document(port=80, smoke=[{"http": {}}, {"tcp": {"port": 5, "deadline": 7}}])["smoke"] == [
        {"kind": "http", "port": 80, "deadline": 30, "path": "/", "status": 200},
        {"kind": "tcp", "port": 5, "deadline": 7},
    ]
    http = {"path": "/h?a=1", "port": 8, "host": "x.y", "status": 204, "json": {"a.b": None}, "contains": "ok"}
    assert document(smoke=[{"http": {**http, "deadline": 9}}])["smoke"] == [{"kind": "http", **http, "deadline": 9}]


@pytest.mark.parametrize("command", ["manage.py migrate --check", ["manage.py", "migrate", "--check"]])
def test_a_command_check_is_a_line_or_a_list_or_a_block_with_a_deadline(command: Any) -> None:
    words = ["manage.py", "migrate", "--check"]
    for check, deadline in ((command, 30), ({"run": command}, 30), ({"run": command, "deadline": 5}, 5)):
        [found] = document(smoke=[{"command": check}])["smoke"]
        assert found == {"kind": "command", "command": words, "deadline": deadline}


@pytest.mark.parametrize("off", ["off", False])
def test_smoke_checks_can_be_switched_off(off: Any) -> None:
    assert document(route="shop.test", port=80, smoke=off)["smoke"] is None


def test_the_contract_has_a_place_for_everything_that_a_service_can_say() -> None:
    service = _schema("deployment.schema.json")["$defs"]["service"]["properties"]
    assert set(service) == set(document(route="a.example", port=1, scheme="h2c"))
    fields = {field.alias or name for name, field in (HttpCheck.model_fields | TcpCheck.model_fields).items()}
    assert set(service["smoke"]["items"]["properties"]) == fields | {"kind", "command"}
    assert set(service["migrate"]["oneOf"][1]["properties"]) == set(Migrate.model_fields)


keys = st.sampled_from([*ServiceExtension.model_fields, "http", "tcp", "json", "command", "path", "status", "x"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(anything)
def test_no_block_is_too_strange_for_a_clear_answer(block: object) -> None:
    extension, found = read_extension("web", block)
    assert all(part for problem in found for part in problem[:3])
    if not found:
        extension.document()
