"""No form of a secret value gets through."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway import contract
from slipway.contract.redaction import FREE_TEXT, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = Path(contract.__file__).parent / "schemas"
NASTY = "p$a\"ss'w/ö rd\\1=?&"


@pytest.mark.parametrize(
    "form",
    [
        NASTY,
        json.dumps(NASTY)[1:-1],
        json.dumps(NASTY, ensure_ascii=False)[1:-1],
        quote(NASTY, safe=""),
        quote_plus(NASTY),
        base64.b64encode(NASTY.encode()).decode(),
        base64.urlsafe_b64encode(NASTY.encode()).decode().rstrip("="),
        NASTY.replace("$", "$$"),
    ],
)
def test_each_form_of_a_value_is_replaced_by_its_name(form: str) -> None:
    assert Redactor({"PASSWORD": NASTY}).text(f"before {form} after") == "before [PASSWORD] after"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
def test_value_inside_longer_base64_is_found_at_every_alignment(before: str) -> None:
    value = "correct-horse-battery-staple"
    text = base64.b64encode(f"{before}{value}!".encode()).decode()
    assert "[TOKEN]" in Redactor({"TOKEN": value}).text(text)


def test_longest_value_wins_so_that_no_rest_of_it_remains() -> None:
    redactor = Redactor({"SHORT": "hunter", "LONG": "hunter2-and-more"})
    assert redactor.text("x hunter2-and-more y hunter z") == "x [LONG] y [SHORT] z"


def test_each_line_of_a_key_is_hidden_on_its_own() -> None:
    key = "-----BEGIN KEY-----\nabcdefgh12345678\nijklmnop\n-----END KEY-----\n"
    assert "abcdefgh12345678" not in Redactor({"KEY": key}).text("log: abcdefgh12345678")


def test_values_too_short_to_be_secret_do_not_shred_the_message() -> None:
    assert Redactor({"FLAG": "1", "MODE": "on"}).text("1 container on host") == "1 container on host"


def test_without_secrets_nothing_changes() -> None:
    assert Redactor().text("as is") == "as is"


# Some characters that a form changes, and few others, so that values contain one another.
_values = st.text("ab$\"'\\\\/+&=?% \n\u00f6\U0001f511", min_size=4, max_size=12).filter(
    lambda value: len(value.strip()) >= 4
)
_FORMS = [
    str,
    str.strip,
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: repr(value)[1:-1],
    quote,
    lambda value: quote(value, safe=""),
    quote_plus,
    lambda value: base64.b64encode(value.encode()).decode(),
    lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    lambda value: value.replace("$", "$$"),
]


@pytest.mark.parametrize("form", _FORMS)
@given(secrets=st.lists(_values, min_size=1, max_size=4, unique=True), before=st.text("xyz -", max_size=5))
@example(secrets=["aaaa", "aaaab"], before="")
def test_no_form_of_any_value_remains_whatever_the_others_are(form: Any, secrets: list[str], before: str) -> None:
    redactor = Redactor({f"S{number}": value for number, value in enumerate(secrets)})
    for value in secrets:
        assert form(value) not in redactor.text(f"{before}{form(value)}{before}")


@given(text=st.text("xyz "), secrets=st.lists(_values, max_size=3))
def test_a_text_without_secrets_stays_as_it_is(text: str, secrets: list[str]) -> None:
    assert Redactor({f"S{number}": value for number, value in enumerate(secrets)}).text(text) == text


# --- documents

NAMES = frozenset(
    ("agent", "architecture", "at", "because", "branch", "code", "commit", "compose", "convergence", "docker",
     "health", "host", "hostname", "id", "image", "images", "live", "name", "outcome", "ports", "previous", "python",
     "release", "removed", "service", "services", "since", "socket", "stack", "stacks", "started",
     "state", "steps", "subject", "touched", "unchanged", "user", "validated", "version")
)  # fmt: skip


def strings(schema: Any, key: str = "") -> Iterator[str]:
    """The keys at which a schema has texts of any content."""
    if isinstance(schema, list):
        for each in schema:
            yield from strings(each, key)
    elif isinstance(schema, dict):
        if "string" in (schema.get("type") or ()) and "enum" not in schema:
            yield key
        for name, each in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
            yield from strings(each, name)
        for part in ("items", "additionalProperties", "oneOf", "anyOf"):
            yield from strings(schema.get(part), key)


@pytest.mark.parametrize("kind", ["probe", "report", "plan", "listing"])
def test_every_text_of_a_document_is_a_name_or_redacted(kind: str) -> None:
    found = set(strings(json.loads((SCHEMAS / f"{kind}.schema.json").read_text())))
    assert found
    assert found <= NAMES | FREE_TEXT
    assert not NAMES & FREE_TEXT


DOCUMENT = {
    "contract": 1, "live": {"release": "r-0123456789ab", "images": {"db": "postgres:17@sha256:" + "ab" * 32}},
    "drift": [{"service": "db", "what": "postgres ended"}], "edge": None, "maintenance": False, "ready": True,
    "warnings": ["release false postgres 0123"], "seconds": 1234.5, "unchanged": ["release", "false"],
}  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        "false",
        "true",
        "null",
        "postgres",
        "release",
        "contract",
        "images",
        "1234",
        "0123",
        "abab",
        "service",
        '":"',
        "}]",
    ],
)
def test_a_secret_that_is_an_ordinary_word_leaves_a_document_whole(value: str) -> None:
    found = Redactor({"ORDINARY": value}).document(DOCUMENT)
    assert {**found, "drift": 0, "warnings": 0} == {**DOCUMENT, "drift": 0, "warnings": 0}
    assert found["drift"][0]["service"] == "db"
    assert value not in found["drift"][0]["what"] + found["warnings"][0]
