import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from slipway import cli as cli_module
from slipway.compose.schema_check import checked
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.engine import Stack
from slipway.releases.status import status_document

_SCHEMA = Path(cli_module.__file__).parent / "schemas" / "status.schema.json"
_AGENT = Path(cli_module.__file__).parents[1] / "contract" / "schemas"
UNREACHABLE = SlipwayError(
    Problem("host web-2: it cannot be reached", "its state is unknown", "ssh web-2.example true")
)

LookedAt = Callable[..., dict[str, Any]]


def _validated(document: dict[str, Any]) -> dict[str, Any]:
    validator = jsonschema_rs.validator_for(
        json.loads(_SCHEMA.read_text()), retriever=lambda uri: json.loads((_AGENT / uri.rsplit("/", 1)[-1]).read_text())
    )
    problems = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(document)]
    assert problems == []
    return json.loads(json.dumps(document))


@pytest.fixture
def looked_at(stack: Callable[..., Stack], now: datetime) -> LookedAt:
    """The document for hosts as they answered, valid by its schema."""

    def document(**seen: object) -> dict[str, Any]:
        hosts = {name.replace("_", "-"): answer for name, answer in seen.items()}
        return _validated(status_document(stack(*hosts), hosts, now))

    return document


def test_the_probe_that_tests_use_is_one_by_the_contract(probe: dict[str, Any]) -> None:
    checked("probe", probe)


def test_a_host_that_runs_what_was_deployed_has_no_findings(looked_at: LookedAt, probe: dict[str, Any]) -> None:
    document = looked_at(web_1=probe)
    assert document["as_deployed"]
    assert document["hosts"][0]["findings"] == []
    assert document["hosts"][0]["probe"] == probe
    assert (document["application"], document["stack"], document["project"]) == ("shop", "staging", "shop-staging")
    assert document["checked"] == "2025-11-20T13:30:00Z"


CHANGES = {
    "drift": ({"drift": [{"service": "api", "what": "is missing"}]}, ["api: is missing"]),
    "interrupted": (
        {"interrupted": "r-9 at start:api started"},
        ["a deployment was interrupted (r-9 at start:api started); the next one finishes or undoes it"],
    ),
    "of another application": (
        {"application": "shop-staging"},
        ["what is called shop-staging here is application shop-staging's"],
    ),
    "never deployed": ({"live": None, "last": None, "convergence": ""}, ["nothing is deployed here"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_keeps_a_host_from_running_as_deployed_is_found(
    case: str, looked_at: LookedAt, probe: dict[str, Any]
) -> None:
    change, findings = CHANGES[case]
    document = looked_at(web_1=probe | change)
    assert document["hosts"][0]["findings"] == findings
    assert not document["as_deployed"]


@pytest.mark.parametrize(
    ("state", "health", "finding"),
    [
        ("running", "unhealthy", "api: shop-staging-api-1 is unhealthy"),
        ("restarting", None, "api: shop-staging-api-1 is restarting"),
        ("paused", "healthy", "api: shop-staging-api-1 is paused"),
    ],
)
def test_a_container_that_is_not_well_counts_even_without_drift(
    state: str, health: str | None, finding: str, looked_at: LookedAt, probe: dict[str, Any]
) -> None:
    probe["live"]["services"]["api"]["containers"][0] |= {"state": state, "health": health}
    assert looked_at(web_1=probe)["hosts"][0]["findings"] == [finding]


@pytest.mark.parametrize(
    ("restarts", "since", "finding"),
    [
        (45, "2025-11-20T13:29:48Z", "api: shop-staging-api-1 was restarted 45 times, the last time 12 s ago"),
        (3, "2025-11-20T13:21:00Z", "api: shop-staging-api-1 was restarted 3 times, the last time 9 min ago"),
        (2, "2025-11-20T13:29:48Z", ""),
        (45, "2025-11-20T13:19:00Z", ""),
    ],
)
def test_a_container_that_crashes_between_looks_is_found(
    restarts: int, since: str, finding: str, looked_at: LookedAt, probe: dict[str, Any]
) -> None:
    probe["live"]["services"]["api"]["containers"][0] |= {"restarts": restarts, "since": since}
    assert looked_at(web_1=probe)["hosts"][0]["findings"] == ([finding] if finding else [])


def test_a_container_named_in_drift_is_told_once(looked_at: LookedAt, probe: dict[str, Any]) -> None:
    probe["live"]["services"]["api"]["containers"][0] |= {"state": "exited"}
    probe["drift"] = [{"service": "api", "what": "shop-staging-api-1 is exited (exit code 137)"}]
    findings = looked_at(web_1=probe)["hosts"][0]["findings"]
    assert findings == ["api: shop-staging-api-1 is exited (exit code 137)"]


@pytest.mark.parametrize("health", ["starting", "healthy", None])
def test_a_container_that_starts_or_has_no_check_is_well(
    health: str | None, looked_at: LookedAt, probe: dict[str, Any]
) -> None:
    probe["live"]["services"]["api"]["containers"][0]["health"] = health
    assert looked_at(web_1=probe)["as_deployed"]


def test_a_failed_or_running_deployment_is_no_finding_while_the_release_serves(
    looked_at: LookedAt, probe: dict[str, Any]
) -> None:
    probe["last"] = {"release": "r-2", "outcome": "failed", "at": "2025-11-20T13:20:00Z", "reason": "no luck"}
    probe["lock"] = "ci (pid 12) since 4 s: deploy r-3"
    assert looked_at(web_1=probe)["as_deployed"]


def test_a_host_that_was_rolled_back_by_itself_is_not_as_deployed(
    looked_at: LookedAt, probe: dict[str, Any], watch: dict[str, Any]
) -> None:
    returned = {"from": "r-0123456789ab", "to": "r-0000000before", "at": "2025-11-20T13:20:00Z"}
    probe["returned"] = returned | {"reason": "api: 9 % fail"}
    probe["watch"] = watch | {"state": "returned", "reason": "api: 9 % fail; it serves", "alive": False}
    [host] = looked_at(web_1=probe)["hosts"]
    assert not host["as_deployed"]
    assert host["findings"] == [
        "r-0123456789ab was deployed, and the watch rolled back to r-0000000before: api: 9 % fail",
    ]
    assert host["returned"] == probe["returned"]


def test_maintenance_a_watch_and_a_kept_generation_are_no_findings(
    looked_at: LookedAt, probe: dict[str, Any], edge: dict[str, Any], watch: dict[str, Any]
) -> None:
    document = looked_at(web_1=probe | {"edge": edge, "watch": watch, "maintenance": True})
    assert document["as_deployed"]
    assert document["hosts"][0]["returned"] is None


def test_an_unreachable_host_does_not_hide_the_others(looked_at: LookedAt, probe: dict[str, Any]) -> None:
    first, second = looked_at(web_1=probe, web_2=UNREACHABLE)["hosts"]
    assert first["as_deployed"]
    assert second["probe"] is None
    assert not second["as_deployed"]
    assert second["errors"] == [UNREACHABLE.problems[0].to_json()]


def test_what_a_host_lacks_is_an_error_of_that_host(looked_at: LookedAt, probe: dict[str, Any]) -> None:
    probe["problems"] = [{"what": "no engine answers", "meaning": "nothing runs", "fix": "systemctl start docker"}]
    document = looked_at(web_1=probe)
    assert not document["as_deployed"]
    assert document["hosts"][0]["errors"] == probe["problems"]


def test_hosts_on_different_releases_are_a_finding_of_the_stack(looked_at: LookedAt, probe: dict[str, Any]) -> None:
    other = probe | {"live": probe["live"] | {"release": "r-ba9876543210"}}
    document = looked_at(web_1=probe, web_2=other)
    assert all(host["as_deployed"] for host in document["hosts"])
    assert not document["as_deployed"]
    assert document["findings"] == [
        "the hosts run different releases: web-1 r-0123456789ab, web-2 r-ba9876543210",
    ]
