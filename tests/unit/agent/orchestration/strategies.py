"""Every way in which a routed service can change, as entries of its release."""

from __future__ import annotations

from typing import Any

import pytest

CANARY = {"steps": [20, 50, 100], "pause": 2.0, "minimum": 0, "patience": 4.0, "too_little": "pass",
          "error_relative": 0.1, "error_floor": 0.01, "latency_relative": 0.2, "latency_floor": 0.05}  # fmt: skip
STRATEGIES: dict[str, dict[str, Any]] = {
    "rolling": {"strategy": "rolling"},
    "batches": {"strategy": "rolling", "replicas": 3, "update": {"parallelism": 1}},
    "stop-first": {"strategy": "rolling", "replicas": 3, "update": {"parallelism": 1, "order": "stop-first"}},
    "blue-green": {"strategy": "blue-green", "preview": "next.shop.test"},
    "canary": {"strategy": "canary", "canary": CANARY},
}
strategies = pytest.mark.parametrize("how", STRATEGIES.values(), ids=STRATEGIES)
