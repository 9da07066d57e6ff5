"""How a service goes to its next release: the default, what Compose says, and what makes it impossible."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from samples import LOCAL, application, problems_of, whats

ROUTED = {"route": "/", "port": 80}


def text(extension: dict[str, Any] | None = None, **service: Any) -> str:
    return json.dumps({"services": {"web": {"image": "nginx", **service, "x-slipway": extension or {}}}})


def entry(
    folder: Path, extension: dict[str, Any] | None = None, *, service: Any = None, **values: Any
) -> dict[str, Any]:
    """The entry of a service in the release document; it gives no warning."""
    found = application(folder, text(extension, **(service or {})), **values)
    assert found.warnings == ()
    return dict(found.entries["web"])


def update_of(folder: Path, extension: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    return dict(entry(folder, extension, service={"deploy": {"update_config": config}})["update"])


# --- which one


@pytest.mark.parametrize(
    ("extension", "order", "strategy"),
    [
        ({}, "", "recreate"),
        ({}, "stop-first", "recreate"),
        ({}, "start-first", "rolling"),
        (ROUTED, "", "rolling"),
        (ROUTED, "stop-first", "rolling"),
        ({**ROUTED, "strategy": "recreate"}, "start-first", "recreate"),
        ({**ROUTED, "strategy": "blue-green"}, "", "blue-green"),
        ({**ROUTED, "strategy": "canary"}, "", "canary"),
        ({"strategy": "rolling"}, "", "rolling"),
        ({"strategy": ""}, "", "recreate"),  # ${STRATEGY:-}
    ],
)
def test_a_service_with_a_route_rolls_and_others_when_they_say_so(
    tmp_path: Path, extension: dict[str, Any], order: str, strategy: str
) -> None:
    service = {"deploy": {"update_config": {"order": order}}} if order else {}
    assert entry(tmp_path, extension, service=service)["strategy"] == strategy


# --- deploy.update_config


def test_without_a_block_everything_changes_at_once_beside_the_old(tmp_path: Path) -> None:
    assert entry(tmp_path, ROUTED)["update"] == {
        "order": "start-first", "parallelism": 0, "delay": 0, "monitor": 0, "failure_action": "rollback",
        "max_failure_ratio": 0,
    }  # fmt: skip
    assert entry(tmp_path)["update"]["order"] == "stop-first"


def test_what_compose_says_is_what_is_done(tmp_path: Path) -> None:
    config = {
        "order": "stop-first", "parallelism": 2, "delay": "1m30s", "monitor": "500ms", "failure_action": "pause",
        "max_failure_ratio": 0.25,
    }  # fmt: skip
    assert update_of(tmp_path, ROUTED, **config) == {**config, "delay": 90, "monitor": 0.5}


def test_a_block_that_says_little_has_composes_defaults(tmp_path: Path) -> None:
    assert update_of(tmp_path, ROUTED, delay="5s") == {
        "order": "start-first", "parallelism": 1, "delay": 5, "monitor": 0, "failure_action": "rollback",
        "max_failure_ratio": 0,
    }  # fmt: skip
    assert update_of(tmp_path, {"strategy": "rolling"}, delay="5s")["order"] == "start-first"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"failure_action": "explode"}, "failure_action: input should be 'rollback', 'pause' or 'continue'"),
        ({"max_failure_ratio": 1.5}, "max_failure_ratio: input should be less than or equal to 1"),
    ],
)
def test_what_compose_lets_pass_and_means_nothing_is_a_problem(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    [problem] = problems_of(tmp_path, text(deploy={"update_config": config}))
    assert problem.what == f"services.web.deploy.update_config.{said}"


# --- drain, keep, canary


@pytest.mark.parametrize(
    ("strategy", "watched", "keep"),
    [("rolling", "0", 0), ("rolling", "1h", 300), ("blue-green", "0", 600), ("blue-green", "1h", 600),
     ("canary", "0", 0), ("canary", "1h", 300), ("recreate", "1h", 0)],
)  # fmt: skip
def test_the_old_generation_is_kept_while_it_may_be_needed(
    tmp_path: Path, strategy: str, watched: str, keep: int
) -> None:
    assert entry(tmp_path, {**ROUTED, "strategy": strategy}, watch=watched)["keep"] == keep
    assert entry(tmp_path, {**ROUTED, "strategy": strategy, "keep": "2m"}, watch=watched)["keep"] == 120
    assert entry(tmp_path, {**ROUTED, "strategy": strategy, "keep": 0}, watch=watched)["keep"] == 0


def test_requests_in_flight_get_half_a_minute_unless_said_otherwise(tmp_path: Path) -> None:
    assert entry(tmp_path)["drain"] == 30
    assert entry(tmp_path, {**ROUTED, "drain": "1m30s"})["drain"] == 90


def test_only_a_canary_has_steps(tmp_path: Path) -> None:
    block = {"steps": ["10%", 100], "pause": "5s", "errorRate": "50%", "tooLittle": "probe"}
    assert entry(tmp_path, {**ROUTED, "strategy": "rolling", "canary": block})["canary"] is None
    assert entry(tmp_path, {**ROUTED, "strategy": "canary", "canary": block})["canary"] == {
        "steps": [10, 100], "pause": 5, "minimum": 500, "patience": 600, "too_little": "probe", "error_relative": 0.5,
        "error_floor": 0.01, "latency_relative": 0.2, "latency_floor": 0.05,
    }  # fmt: skip
    assert entry(tmp_path, {**ROUTED, "strategy": "canary"})["canary"]["steps"] == [5, 25, 50, 100]


@pytest.mark.parametrize(
    ("steps", "shown"),
    [([5, 50], "5, 50"), ([50, 25, 100], "50, 25, 100"), ([5, 5, 100], "5, 5, 100"), ([0, 100], "0, 100"),
     ([], "there are none"), ([100, 200], "100, 200"), ([-5, 100], "-5, 100")],
)  # fmt: skip
def test_steps_that_do_not_rise_to_100_are_a_problem(tmp_path: Path, steps: list[int], shown: str) -> None:
    [problem] = problems_of(tmp_path, text({**ROUTED, "strategy": "canary", "canary": {"steps": steps}}))
    assert problem.what == f"services.web.x-slipway.canary.steps: the steps do not rise to 100 ({shown})"


def test_a_canary_without_a_route_is_a_problem(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, text({"strategy": "canary"}), deadline=90)
    assert problem.what == "services.web.x-slipway.strategy: canary: the service has no route"


def test_steps_that_nobody_walks_are_a_problem(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, text({**ROUTED, "canary": {"pause": "1s"}}))
    assert problem.what == "services.web.x-slipway.canary: the strategy is not canary"


# --- what cannot run twice

OBSTACLES = {
    "ports: ['8080:80']": "publishes the host port 8080",
    "container_name: fixed": "has a fixed container_name",
    "network_mode: host": "has network_mode host",
    "networks: {default: {ipv4_address: 10.0.0.7}}": "has a fixed ipv4_address",
    "volumes: ['/data']": "has a volume without a name at /data",
    "deploy: {mode: global}": "has deploy.mode global, one container a host",
}


def described(line: str, extension: str) -> str:
    return textwrap.dedent(f"""\
        services:
          web:
            image: nginx
            {line}
            x-slipway: {{route: /, port: 80{extension}}}
        """)


@pytest.mark.parametrize("strategy", ["rolling", "blue-green", "canary"])
@pytest.mark.parametrize("line", OBSTACLES)
def test_a_strategy_that_cannot_be_names_the_line_to_change(tmp_path: Path, line: str, strategy: str) -> None:
    [problem] = problems_of(tmp_path, described(line, f", strategy: {strategy}"))
    assert problem.what == (
        f"services.web {OBSTACLES[line]} (compose.yaml, line 4), which makes the strategy {strategy} impossible"
    )
    assert f"`{line}` in compose.yaml, line 4" in problem.fix
    assert problem.fix.endswith("or set `strategy: recreate`")


@pytest.mark.parametrize("line", OBSTACLES)
def test_without_a_strategy_it_is_recreated_with_a_warning(tmp_path: Path, line: str) -> None:
    found = application(tmp_path, described(line, ""))
    assert found.entries["web"]["strategy"] == "recreate"
    expected = f"services.web {OBSTACLES[line]} (compose.yaml, line 4), so that two generations cannot run side by side"
    assert expected in whats(list(found.warnings))


@pytest.mark.parametrize("line", OBSTACLES)
def test_recreate_needs_no_second_place(tmp_path: Path, line: str) -> None:
    found = application(tmp_path, described(line, ", strategy: recreate"))
    assert not [what for what in whats(list(found.warnings)) if "two generations cannot" in what]


def test_a_port_among_several_is_named_by_its_own_line(tmp_path: Path) -> None:
    [problem] = problems_of(
        tmp_path,
        """\
        services:
          web:
            image: nginx
            ports:
              - "81"
              - "${PORT:-8080}:80"
            x-slipway: {route: /, port: 80, strategy: rolling}
        """,
    )
    assert problem.what.startswith("services.web publishes the host port 8080 (compose.yaml, line 6)")
    assert '`- "${PORT:-8080}:80"`' in problem.fix or '`"${PORT:-8080}:80"`' in problem.fix


def test_what_another_file_says_is_named_by_its_keys(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("services: {web: {image: nginx, ports: ['8080:80']}}")
    [problem] = problems_of(
        tmp_path,
        "services: {web: {extends: {file: base.yaml, service: web}, "
        "x-slipway: {route: /, port: 80, strategy: rolling}}}",
    )
    assert problem.what.startswith("services.web publishes the host port 8080 (services.web.ports.0)")


@pytest.mark.parametrize(
    "service",
    [
        {"ports": ["80"]},
        {"ports": ["9000-9003:80"], "deploy": {"replicas": 2}},
        {"network_mode": "none"},
        {"networks": {"default": {"aliases": ["x"]}}},
        {"deploy": {"mode": "replicated"}},
    ],
)
def test_what_leaves_room_for_two_is_no_obstacle(tmp_path: Path, service: dict[str, Any]) -> None:
    assert entry(tmp_path, {**ROUTED, "strategy": "rolling"}, service=service)["strategy"] == "rolling"


def test_a_range_too_narrow_for_two_generations_is_one(tmp_path: Path) -> None:
    [problem] = problems_of(
        tmp_path, text({**ROUTED, "strategy": "rolling"}, ports=["9000-9002:80"], deploy={"replicas": 2})
    )
    assert problem.what.startswith("services.web publishes the host port 9000-9002")


JOINED = [
    ("network_mode: 'service:web'", "network"),
    ("pid: 'service:web'", "processes"),
    ("ipc: 'service:web'", "memory"),
    ("volumes_from: [web]", "folders"),
    ("volumes_from: ['web:ro']", "folders"),
]


@pytest.mark.parametrize(("line", "shared"), JOINED)
def test_what_others_share_cannot_be_there_twice(tmp_path: Path, line: str, shared: str) -> None:
    (tmp_path / "static").mkdir()
    web = "{image: x, volumes: ['./static:/static:ro'], x-slipway: {route: /, port: 80%s}}"
    compose = f"services: {{web: {web}, side: {{image: x, {line}}}}}"
    [problem] = problems_of(tmp_path, compose % ", strategy: rolling")
    assert problem.what.startswith(f"services.web shares its {shared} with side (compose.yaml, line 1)")
    assert application(tmp_path, compose % "", hosts=[LOCAL]).entries["web"]["strategy"] == "recreate"


def test_named_volumes_are_the_same_in_both_generations(tmp_path: Path) -> None:
    web = "{image: x, volumes: ['data:/data'], x-slipway: {route: /, port: 80}}"
    compose = f"{{services: {{web: {web}, side: {{image: x, volumes_from: [web]}}}}, volumes: {{data: {{}}}}}}"
    assert application(tmp_path, compose, hosts=[LOCAL]).entries["web"]["strategy"] == "rolling"


def test_a_published_port_alone_is_as_it_was(tmp_path: Path) -> None:
    found = application(tmp_path, text(ports=["8080:80"]), hosts=[LOCAL])
    assert (found.entries["web"]["strategy"], found.warnings) == ("recreate", ())
