"""Every rule of the contract rejects what breaks it, and says where without saying what."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema_rs
import pytest
from documents import document, release

from agent import contract
from agent.document import parse
from agent.errors import DocumentError, SlipwayError


def change(path: str, value: Any) -> dict[str, Any]:
    """The good document with one place changed (`a.b.0`), or removed when the value is `...`."""
    broken = copy.deepcopy(document())
    *parents, last = path.split(".")
    target: Any = broken
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return broken


BROKEN = {
    "const": ("contract", 2),
    "const_type": ("contract", True),
    "pattern": ("stack", "Has Capitals"),
    "pattern_end": ("stack", "good\n"),
    "min_length": ("host", ""),
    "type": ("services", "api"),
    "item_type": ("services", [1]),
    "required": ("host", ...),
    "additional": ("surprise", 1),
    "additional_type": ("secrets", {"TOKEN": 5}),
    "minimum": ("options.deadline", 0),
    "boolean_is_no_integer": ("options.retention", True),
    "one_of": ("fleet", {"hosts": ["a"], "leader": "a"}),
    "one_of_null": ("release.services.api", None),
    "property_names": ("release.files", {"short": {"mode": 420, "content": ""}}),
    "maximum": ("release.services.api.port", 70000),
    "enum": ("release.services.api.smoke", [{"kind": "udp", "port": 1, "deadline": 1}]),
    "nested_required": ("release.services.api.migrate", {"command": ["x"]}),
    "min_items": ("release.services.api.migrate", {"command": [], "deadline": 1}),
    "reference": ("release.id", "r-1"),
    "image_without_digest": ("release.images.api", "nginx:latest"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_document_is_refused_as_the_reference_validator_does(rule: str) -> None:
    broken = change(*BROKEN[rule])
    assert contract.problems(broken, contract.schema("deployment"))
    if rule != "pattern_end":  # Python's $ also matches before a newline, JSON Schema's does not
        assert not jsonschema_rs.is_valid(contract.schema("deployment"), broken)


def test_good_document_is_accepted() -> None:
    assert contract.problems(document(), contract.schema("deployment")) == []
    assert parse(json.dumps(document()).encode())["stack"] == "shop"


def test_unknown_keyword_in_a_schema_is_not_silently_ignored() -> None:
    assert contract.problems({}, {"type": "object", "minProperties": 1})


def test_problem_names_the_place_and_never_the_value() -> None:
    broken = change("secrets", {"TOKEN": ["canary-value"]})
    found = contract.problems(broken, contract.schema("deployment"))
    assert found == ["document.secrets.TOKEN: must be string"]


MISMATCHED: dict[str, dict[str, Any]] = {
    "id": {"release": {**release(), "commit": "f" * 40}},
    "secret_names": {"secrets": {"OTHER": "x"}},
    "unknown_service": {"services": ["api", "ghost"]},
    "strategy": {"release": release(strategy="rainbow")},
    "circle": {"release": release(depends_on={"api": {"condition": "service_started"}})},
    "placeholder_without_secret": {"release": release(environment={"A": "${UNKNOWN}"})},
    "file_not_shipped": {"release": release(source="@files/" + "0" * 64 + "/x.conf")},
    "file_reference": {"release": release(source="@files/../../etc/passwd")},
    "data_outside": {"release": release(source="@data/../key")},
    "fleet_without_this_host": {"fleet": {"hosts": ["x", "y"], "leader": "x"}},
    "zero_byte": {"secrets": {"TOKEN": "a\0b"}},
    "lone_surrogate": {"secrets": {"TOKEN": "\ud800"}},
}


@pytest.mark.parametrize("what", MISMATCHED)
def test_parts_that_contradict_each_other_are_refused(what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(json.dumps({**document(), **MISMATCHED[what]}).encode())
    assert caught.value.exit_code == 2
    assert "\ud800" not in caught.value.line()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_what_is_no_document_is_a_clear_error(raw: bytes) -> None:
    with pytest.raises(SlipwayError):
        parse(raw)
