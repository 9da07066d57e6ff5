"""Turns the short forms of the case files into the agent's own values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slipway.agent.docker.facts import Container
from slipway.agent.state.ledger import Live, Proof
from slipway.agent.strategies.service import Service, Traffic
from slipway.contract.deployment import Update

CASES = Path(__file__).parent / "cases"
IMAGE = "registry.test/app@sha256:" + "a" * 64


def cases(kind: str) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((CASES / kind).glob("*.json"))}


def container(*, service: str, number: int = 1, **more: Any) -> Container:
    values = {"id": f"{service}{number}", "name": f"s-{service}-{number}", "image": IMAGE, **more}
    return Container(service=service, number=number, **values)


def proof(*, config: str, replicas: int = 1, completed: bool = False) -> Proof:
    return Proof(config, IMAGE, replicas, completed)


def live(value: dict[str, Any] | None) -> Live | None:
    if value is None:
        return None
    return Live(value["release"], "", "2026-01-01T00:00:00Z", {k: proof(**v) for k, v in value["services"].items()})


def service(name: str, *, config: str, **more: Any) -> Service:
    return Service(
        name=name,
        image=IMAGE,
        config=config,
        replicas=more.get("replicas", 1),
        strategy=more.get("strategy", "recreate"),
        depends_on=more.get("depends_on", {}),
        replaced_with=frozenset(more.get("replaced_with", ())),
        completes=more.get("completes", False),
        traffic=traffic(**more.get("traffic", {})),
    )


def traffic(**more: Any) -> Traffic:
    update = Update(**more.pop("update", {}))
    return Traffic(**{**more, "canary": tuple(more.get("canary", ()))}, update=update)
