"""A small good Deployment document to start from."""

from __future__ import annotations

from typing import Any

from slipway.contract.canonical import release_id

IMAGE = "registry.test:5000/team/app:abc@sha256:" + "a" * 64


def service_entry(**more: Any) -> dict[str, Any]:
    """A service without a route, changed by stopping it first."""
    return {
        "strategy": "recreate",
        "port": 8000,
        "routes": [],
        "middlewares": {
            "redirects": [],
            "basic_auth": None,
            "ip_allow_list": [],
            "rate_limit": None,
            "max_body": None,
            "security_headers": False,
        },
        "sticky": False,
        "preview": "",
        "drain": 30,
        "keep": 0,
        "update": {
            "order": "stop-first",
            "parallelism": 0,
            "delay": 0,
            "monitor": 0,
            "failure_action": "rollback",
            "max_failure_ratio": 0,
        },
        "canary": None,
        "migrate": None,
        "smoke": [],
        "hosts": [],
        **more,
    }


def release(*, strategy: str = "recreate", source: str = "", **more: Any) -> dict[str, Any]:
    service: dict[str, Any] = {"image": IMAGE, "environment": {"TOKEN": "${TOKEN}", "PRICE": "$$5"}, **more}
    if source:
        service["volumes"] = [{"type": "bind", "source": source, "target": "/x"}]
    content = {
        "application": "shop",
        "commit": "c" * 40,
        "branch": "main",
        "images": {"api": IMAGE},
        "compose": {"name": "shop", "services": {"api": service}, "networks": {"default": {"name": "shop_default"}}},
        "files": {},
        "secrets": ["TOKEN"],
        "services": {"api": service_entry(strategy=strategy)},
    }
    return {"id": release_id(content), **content}


def document(**more: Any) -> dict[str, Any]:
    return {
        "contract": 1,
        "stack": "shop",
        "host": "one",
        "release": release(),
        "services": ["api"],
        "secrets": {"TOKEN": "canary-value"},
        "registries": [{"address": "registry.test:5000", "username": "u", "password": "p"}],
        "options": {"deadline": 60, "health_deadline": 30, "lock_wait": 5, "retention": 2, "disk_minimum_mb": 1},
        "convergence": "",
        "edge": None,
        "watch": None,
        "fleet": None,
        **more,
    }
