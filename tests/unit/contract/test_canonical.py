"""Canonical JSON: one text for one value."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipway.contract.canonical import canonical

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(each) for key, each in reversed(value.items())}
    return [reordered(each) for each in value] if isinstance(value, list) else value


@given(json_values)
def test_canonical_json_is_the_same_in_any_order_and_loses_nothing(value: Any) -> None:
    text = canonical(value)
    assert text == canonical(reordered(value))
    assert json.loads(text) == value
    assert b": " not in text or '": ' in json.dumps(value) or ": " in str(value)


@given(json_values, json_values)
def test_canonical_json_of_different_values_differs(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical(one) == canonical(other)) == same
