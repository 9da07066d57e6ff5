"""What unit tests share: property tests that repeat themselves, and probe documents as data: one healthy host."""

import copy
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import configuration, settings
from thorough import THOROUGH

from slipway.releases.engine import Stack
from slipway.settings.model import HostSettings, Settings

# Property tests here repeat themselves from run to run and do not mind a busy machine.
configuration.set_hypothesis_home_dir(Path(__file__).parents[2] / ".pytest_cache" / "hypothesis")
settings.register_profile(
    "slipway", database=None, deadline=None, derandomize=True, max_examples=50 if THOROUGH else 10
)
settings.load_profile("slipway")

NOW = datetime(2025, 11, 20, 13, 30, 0, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The agent sets its own, and some tests run it in this process: the next test must not inherit that."""
    before = os.umask(0o022)
    yield
    os.umask(before)


PROBE: dict[str, Any] = {
    "contract": 1,
    "stack": "shop-staging",
    "agent": "0123456789ab",
    "machine": {
        "hostname": "web-1", "architecture": "amd64", "docker": "26.1.5", "compose": "2.26.1", "python": "3.13.5",
        "disk_free_mb": 30000, "user": "deploy",
    },
    "problems": [],
    "live": {
        "release": "r-0123456789ab",
        "commit": "3f2a91c04b7d5e8f60123456789abcdef0123456",
        "branch": "main",
        "since": "2025-11-20T13:10:00Z",
        "images": {"api": "registry.example/shop-api:main@sha256:" + "a1" * 32},
        "services": {
            "api": {
                "image": "registry.example/shop-api:main@sha256:" + "a1" * 32,
                "release": "r-0123456789ab",
                "replicas": 1,
                "containers": [
                    {
                        "id": "f00dfeedbeef", "name": "shop-staging-api-1", "state": "running", "health": "healthy",
                        "since": "2025-11-20T13:09:55.123456789Z", "restarts": 0, "ports": [],
                    }
                ],
            },
            "seed": {
                "image": "registry.example/shop-api:main@sha256:" + "a1" * 32,
                "release": "r-0123456789ab",
                "replicas": 1,
                "containers": [
                    {
                        "id": "f00dfeedbee0", "name": "shop-staging-seed-1", "state": "completed", "health": None,
                        "since": "2025-11-20T13:09:50Z", "restarts": 0, "ports": [],
                    }
                ],
            },
        },
    },
    "convergence": "c-0011223344556677",
    "drift": [],
    "interrupted": None,
    "lock": None,
    "last": {"release": "r-0123456789ab", "outcome": "deployed", "at": "2025-11-20T13:10:00Z", "reason": ""},
    "returned": None,
    "validated": None,
    "edge": None,
    "watch": None,
    "maintenance": False,
    "certificate": False,
}  # fmt: skip

EDGE: dict[str, Any] = {
    "version": "3.6.0",
    "image": "registry.example/traefik:v3.6.0@sha256:" + "b2" * 32,
    "http_port": 80,
    "https_port": 443,
    "containers": [{"id": "0011223344556677", "name": "slipway-edge-1", "state": "running", "api_port": 32768}],
    "stacks": ["shop-staging"],
}

WATCH: dict[str, Any] = {
    "release": "r-0123456789ab",
    "state": "watching",
    "reason": "",
    "at": "2025-11-20T13:29:59Z",
    "left": 2617,
    "kept": [{"service": "api", "left": 540}],
    "services": {
        "api": {"requests": 1204, "errors": 3, "p50": 0.012, "p95": 0.048, "verdict": "0.2 % of 1204 requests failed"},
    },
    "pid": 4711,
    "alive": True,
}


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def probe() -> dict[str, Any]:
    """What the agent of a host says that runs as deployed; the test's own copy."""
    return copy.deepcopy(PROBE)


@pytest.fixture
def edge() -> dict[str, Any]:
    """An edge that serves the stack's routes."""
    return copy.deepcopy(EDGE)


@pytest.fixture
def watch() -> dict[str, Any]:
    """A watch over the live release that is going on."""
    return copy.deepcopy(WATCH)


@pytest.fixture
def stack() -> Callable[..., Stack]:
    """A stack with hosts of these names."""

    def made(*names: str) -> Stack:
        hosts = [HostSettings(name=name, address=f"{name}.example", host_key=KEY) for name in names]
        return Stack(settings=Settings(stack="staging", hosts=hosts), application="shop", project="shop-staging")

    return made
