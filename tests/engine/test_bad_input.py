"""Bad input: told in the family's form, before anything on a host has changed.

What a host lacks or refuses is in `test_agent_docker`; all else that settings may say is in tests/unit/settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from applications import Application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local_servers import Registry
    from stack_harness import Stack

COMPOSE: dict[str, Any] = {
    "name": "stock",
    "services": {
        "stock": {
            "image": "python:3.13-slim-trixie",
            "command": ["python3", "-c", "import time; time.sleep(1e6)"],
            "init": True,
            "restart": "unless-stopped",
        }
    },
}
BUILT = {"build": "./built"}


@pytest.fixture(scope="module")
def live(make_stack: Callable[..., Stack]) -> Stack:
    """A stack with one service that runs, and the folder of another one's build."""

    def stock(folder: Path) -> Application:
        dockerfile = "FROM python:3.13-slim-trixie\nCMD [python3, -c, 'import time; time.sleep(1e6)']\n"
        return Application(folder, {"compose.yaml": yaml.safe_dump(COMPOSE), "built/Dockerfile": dockerfile})

    stack = make_stack(stock, retention=2)
    stack.up()
    return stack


@pytest.fixture
def stack(live: Stack) -> Iterator[Stack]:
    """The same, fixed afterwards."""
    settings, secrets = dict(live.settings), dict(live.secrets)
    yield live
    live.settings, live.secrets, live.registry_password = settings, secrets, ""
    live.application.write({"compose.yaml": yaml.safe_dump(COMPOSE)})


def refused(stack: Stack, compose: str | dict[str, Any], *words: str, **environment: str) -> str:
    """Deploy this Compose file: it is refused with one problem that says `words`, and the host stays as it was."""
    stack.application.write({"compose.yaml": compose if isinstance(compose, str) else yaml.safe_dump(compose)})
    [problem] = problems_at_once(stack, **environment)
    for word in words:
        assert word in problem
    return problem


def problems_at_once(stack: Stack, **environment: str) -> list[str]:
    """The problems of deploying it as it is now; the host stays as it was."""
    before = unchanging(stack)
    problems = stack.up(expect_failure=True, **environment).problems
    after = unchanging(stack)
    assert {path: found for path, found in after["files"].items() if before["files"].get(path) != found} == {}
    assert after == before
    assert all(len(problem) >= 3 for problem in problems), problems
    return [" — ".join(problem) for problem in problems]


def unchanging(stack: Stack) -> dict[str, Any]:
    """The host's state but for the record of what was tried, and by whom."""
    tried = ("actor", "journal.jsonl", "ledger.jsonl", "lock", "release.json")
    state = stack.host_state()
    state["files"] = {
        path: found
        for path, found in state["files"].items()
        if not path.endswith(tried) and not (stack.home / path).is_dir()
    }
    return state


def with_service(name: str = "other", **service: Any) -> dict[str, Any]:
    return {**COMPOSE, "services": {**COMPOSE["services"], name: service}}


def test_compose_file_that_does_not_parse(stack: Stack) -> None:
    refused(stack, "services:\n  stock: [\n", "compose.yaml", "yaml")


def test_variable_without_a_value(stack: Stack) -> None:
    compose = with_service(image="python:3.13-slim-trixie", environment={"X": "${FORGOTTEN_PASSWORD}"})
    refused(stack, compose, "FORGOTTEN_PASSWORD", "pulumi config set --secret --path 'secrets.FORGOTTEN_PASSWORD'")


def test_unreachable_registry(stack: Stack) -> None:
    stack.settings["registry"] = "127.0.0.1:1/nobody"
    refused(stack, with_service(**BUILT), "registry: 127.0.0.1:1 does not answer", "curl")


def test_wrong_registry_credentials(stack: Stack, private_registry: tuple[Registry, str]) -> None:
    registry, _ = private_registry
    stack.settings |= {"registry": f"{registry.address}/team", "registryUsername": "deployer"}
    stack.registry_password = "a-password-that-is-wrong"
    problem = refused(stack, with_service(**BUILT), registry.address, "refuses user deployer", "registryPassword")
    assert stack.registry_password not in problem


def test_tag_that_does_not_exist(stack: Stack) -> None:
    image = f"{stack.engine.registry}/library/python:no-such-tag"
    refused(stack, with_service(image=image), "services.other.image", image, "does not exist")


def test_all_problems_of_a_compose_file_are_told_at_once(stack: Stack) -> None:
    def service(extension: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {**COMPOSE["services"]["stock"], **more, "x-slipway": extension}

    services = {
        "misspelt": service({"strategy": "recreated"}),
        "one": service({"route": "shop.example/api", "port": 8000}),
        "other": service({"route": "shop.example/api/", "port": 8000}),
        "portless": service({"route": "portless.example", "port": None}),
        "unrouted": service({"strategy": "canary"}),
        "falling": service({"route": "/falling", "port": 8000, "strategy": "canary", "canary": {"steps": [5, 50, 25]}}),
        "pinned": service({"route": "/pinned", "port": 8000, "strategy": "blue-green"}, ports=["8080:80"]),
        "open": {**COMPOSE["services"]["stock"], "labels": {"token": "${TOKEN}"}},
    }
    text = yaml.safe_dump({**COMPOSE, "services": {**COMPOSE["services"], **services}})
    line = text.splitlines().index("    - 8080:80") + 1
    stack.application.write({"compose.yaml": text})
    expected = [
        ("services.misspelt.x-slipway.strategy", "'recreated'", "recreate"),
        ("services.one and services.other have the same route: shop.example/api",),
        ("services.portless.x-slipway.route", "no port", "set `port: CONTAINER-PORT`"),
        ("services.unrouted.x-slipway.strategy: canary", "no route", "set `route: HOST`"),
        ("canary.steps", "do not rise to 100 (5, 50, 25)"),
        ("host port 8080", f"compose.yaml, line {line}", "blue-green impossible", "`- 8080:80`"),
        ("secret TOKEN stands in services.open.labels.token",),
    ]
    told = problems_at_once(stack)
    for words in expected:
        assert [problem for problem in told if all(word in problem for word in words)], (words, told)
    assert len(told) == len(expected), told


def test_after_all_of_it_the_good_one_deploys(stack: Stack) -> None:
    before = stack.ids()
    stack.up()
    assert stack.ids() == before
