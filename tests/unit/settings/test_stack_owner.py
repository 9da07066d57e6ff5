"""What distinguishes two stacks of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.settings.load import collect_settings

if TYPE_CHECKING:
    from pathlib import Path


def owner(folder: Path, project: str = "shop", stack: str = "prod") -> tuple[str, str]:
    settings, _ = collect_settings(
        project=project, stack=stack, configuration={}, encrypted=(), root=folder, environment={}
    )
    name, _, mark = settings.owner.partition(" ")
    return name, mark


@pytest.mark.parametrize(
    ("stack_file", "marked"),
    [
        ("encryptionsalt: v1:abc:v1:def\n", True),
        ("secretsprovider: awskms://k\nencryptedkey: abc\n", True),
        ("config: {}\n", False),
        (None, False),
    ],
)
def test_whose_a_stack_is(tmp_path: Path, stack_file: str | None, *, marked: bool) -> None:
    if stack_file is not None:
        (tmp_path / "Pulumi.prod.yaml").write_text(stack_file)
    named, mark = owner(tmp_path)
    assert (named, len(mark)) == ("shop/prod", 16 * marked)
    assert "abc" not in mark


def test_the_mark_goes_with_the_stack_file(tmp_path: Path) -> None:
    for name, salt in (("prod", "1"), ("production", "1"), ("test", "2")):
        (tmp_path / f"Pulumi.{name}.yaml").write_text(f"encryptionsalt: v1:{salt}\n")
    assert owner(tmp_path)[1] == owner(tmp_path, "store")[1] == owner(tmp_path, stack="production")[1]
    assert owner(tmp_path)[1] != owner(tmp_path, stack="test")[1]
