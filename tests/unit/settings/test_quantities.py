"""Durations, shares and sizes: what people write, and what is no such thing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from slipway.settings.quantities import OptionalDuration, OptionalSize, Share, plain, seconds

SHARE, SIZE, OPTIONAL = TypeAdapter(Share), TypeAdapter(OptionalSize), TypeAdapter(OptionalDuration)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("24h0m0s", 86400), ("2d", 172800), ("1.5s", 1.5), ("0s", 0),
        ("250us", 0.00025), ("0", 0), (0, 0), (30, 30), ("30", 30), (0.5, 0.5), (" 10m ", 600), ("0.1s0.2s", 0.3),
    ],
)  # fmt: skip
def test_a_duration_is_in_composes_form_or_in_seconds(text: object, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "m", "1x", "1m 30s", "-1s", -1, "1e3", True, None, [], "31d", float("nan"), float("inf"), 10**400, "\u0661s"],
)
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


def test_an_empty_duration_is_one_that_nobody_set() -> None:
    assert OPTIONAL.validate_python("") is None
    assert OPTIONAL.validate_python(None) is None
    assert OPTIONAL.validate_python("0") == 0


@pytest.mark.parametrize(
    ("text", "expected"), [("10%", 0.1), ("0.5 %", 0.005), ("200%", 2), (0.1, 0.1), (1, 1), ("0", 0), ("0.25", 0.25)]
)
def test_a_share_is_a_percentage_or_a_number_up_to_one(text: object, expected: float) -> None:
    assert SHARE.validate_python(text) == expected


@pytest.mark.parametrize("text", ["", "%", 10, "10", -0.1, "-1%", True, None, float("nan"), "1e2%", 1.01])
def test_a_number_that_may_be_per_cent_or_not_is_refused(text: object) -> None:
    with pytest.raises(ValidationError, match="is neither a percentage"):
        SHARE.validate_python(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10MB", 10 * 1024**2), ("10m", 10 * 1024**2), ("1g", 1024**3), ("512k", 524288), ("1.5kb", 1536), (4096, 4096),
     ("4096", 4096), ("100b", 100), ("1 MiB", 1024**2), (None, None)],
)  # fmt: skip
def test_a_size_is_in_composes_form_or_in_bytes(text: object, expected: int) -> None:
    assert SIZE.validate_python(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "0", 0, -1, "-1m", True, "10TB", [], 1.5])
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValidationError, match="is not a size"):
        SIZE.validate_python(text)


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_no_value_is_too_strange_and_none_is_repeated(value: Any) -> None:
    for adapter in (SHARE, SIZE, OPTIONAL):
        try:
            found = adapter.validate_python(value)
            assert found is None or 0 <= found < float("inf")
        except ValidationError as error:
            [problem] = error.errors(include_url=False, include_input=False, include_context=False)
            assert problem["type"] == "value_error"


def test_a_whole_number_is_written_without_a_fraction() -> None:
    assert [str(plain(number)) for number in (30.0, 0.5, 0)] == ["30", "0.5", "0"]
