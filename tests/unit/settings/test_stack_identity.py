"""What distinguishes two stacks of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pytest

from slipway.settings.program import stack_identity

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("stack_file", "organization", "marked"),
    [
        ("encryptionsalt: v1:abc:v1:def\n", "organization", True),
        ("secretsprovider: awskms://k\nencryptedkey: abc\n", "organization", True),
        ("config: {}\n", "acme", True),
        ("config: {}\n", "organization", False),
        (None, "organization", False),
    ],
)
def test_identity_of_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack_file: str | None, organization: str, *, marked: bool
) -> None:
    known = {"get_project": "shop", "get_stack": "prod", "get_organization": organization}
    for name, value in known.items():
        monkeypatch.setattr(pulumi, name, lambda value=value: value)
    if stack_file is not None:
        (tmp_path / "Pulumi.prod.yaml").write_text(stack_file)
    named, _, mark = stack_identity(tmp_path).partition(" ")
    assert (named, bool(mark)) == ("shop/prod", marked)
    assert "abc" not in mark
