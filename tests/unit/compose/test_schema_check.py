"""The driver's check of what it sends and hears."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, DIGEST, probe

from slipway import contract
from slipway.compose.schema_check import checked
from slipway.contract.problems import SlipwayError
from slipway.x_slipway.service import ServiceExtension


def deployment(**changes: Any) -> dict[str, Any]:
    release = {
        "id": "r-0123456789ab", "application": "shop", "commit": "", "branch": "", "images": {"web": f"nginx@{DIGEST}"},
        "compose": {"services": {"web": {}}}, "files": {}, "secrets": [],
        "services": {"web": ServiceExtension.model_validate({}).document()},
    }  # fmt: skip
    return {
        "contract": 1, "stack": "shop-test", "host": "here", "release": release, "services": ["web"], "secrets": {},
        "registries": [], "convergence": "c-1", "fleet": None, "edge": None, "watch": None,
        "options": {"deadline": 1, "health_deadline": 1, "lock_wait": 0, "retention": 2, "disk_minimum_mb": 0},
        **changes,
    }  # fmt: skip


def observed(**changes: Any) -> dict[str, Any]:
    container = {
        "id": "0123456789ab", "name": "web-1", "state": "running", "health": None, "since": "x", "restarts": 0,
        "ports": [],
    }  # fmt: skip
    return {"image": "x", "release": "r-1", "replicas": 1, "containers": [container], **changes}


def test_a_good_document_is_handed_back() -> None:
    for kind, document in (("deployment", deployment()), ("probe", probe())):
        assert checked(kind, document) is document


def test_what_only_newer_agents_say_is_optional() -> None:
    """A key that only looks runs the agent of the last deployment, which may be an older one."""
    schema = json.loads((Path(contract.__file__).parent / "schemas" / "probe.schema.json").read_text())
    assert set(schema["required"]) == probe().keys()


def test_schemas_refer_to_each_other() -> None:
    live = {
        "release": "r-1", "commit": "", "branch": "", "since": "x", "images": {}, "services": {"web": observed()},
    }  # fmt: skip
    assert checked("probe", probe(live=live))
    with pytest.raises(SlipwayError):
        checked("probe", probe(live={**live, "services": {"web": observed(replicas="one")}}))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"secrets": {"A": {"nested": CANARY}}}, "secrets/A"),
        ({"secrets": [CANARY]}, "secrets"),
        ({"registries": [{"address": "", "username": "me", "password": CANARY}]}, "registries/0/address"),
        ({"registries": [{"address": "x", "username": "me", "password": [CANARY]}]}, "registries/0/password"),
        ({"stack": f"UPPER {CANARY}"}, "stack"),
        ({"contract": CANARY}, "contract"),
        ({"services": CANARY}, "services"),
        ({"extra": CANARY}, "the document"),
    ],
)
def test_a_broken_document_is_told_by_its_place_and_never_by_its_value(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(SlipwayError) as raised:
        checked("deployment", deployment(**changes))
    [problem] = raised.value.problems
    assert problem.what.startswith(f"deployment: {place} breaks the contract (")
    assert CANARY not in str(raised.value) + repr(raised.value.__context__)


@pytest.mark.parametrize("key", sorted(deployment()))
def test_every_part_of_a_deployment_is_required(key: str) -> None:
    document = deployment()
    del document[key]
    with pytest.raises(SlipwayError, match="deployment: the document breaks the contract"):
        checked("deployment", document)
