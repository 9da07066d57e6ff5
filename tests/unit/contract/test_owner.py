"""Whose a stack is, by what a host noted and who asks."""

from __future__ import annotations

import pytest

from slipway.contract.owner import owned_by_another

A1, B2 = "a1" * 8, "b2" * 8


@pytest.mark.parametrize(
    ("noted", "asks", "another"),
    [
        ("one/prod", "one/prod", False),
        ("one/prod\n", "one/prod", False),
        (f"one/prod {A1}\n", f"two/live {A1}", False),
        (f"one/prod {A1}", f"one/prod {B2}", False),
        (f"one/prod {A1}", "one/prod", False),
        ("", f"one/prod {A1}", False),
        (f"one/prod {A1}", "", False),
        ("one/prod", "two/prod", True),
        (f"one/prod {A1}", f"two/prod {B2}", True),
        (f"one/prod {A1}", "two/prod", True),
        ("one/prod acme", "two/prod acme", True),  # of one organization of Pulumi Cloud
    ],
)
def test_a_name_or_a_mark_that_is_the_same_is_the_same_stack(noted: str, asks: str, *, another: bool) -> None:
    assert (owned_by_another("shop-prod", noted, asks, "shop") is not None) == another
