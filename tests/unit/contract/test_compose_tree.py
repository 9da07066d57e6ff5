"""What a Compose tree refers to."""

from __future__ import annotations

import pytest

from slipway.contract.compose_tree import ShippedFile, shipped_file

SHA = "0a" * 32


@pytest.mark.parametrize("name", ["app.conf", "_", "...", "a b"])
def test_what_ships_is_read_as_it_was_written(name: str) -> None:
    file = ShippedFile(SHA, name)
    assert str(file) == f"@files/{SHA}/{name}"
    assert shipped_file(str(file)) == file


@pytest.mark.parametrize(
    "source",
    [None, "", "./app.conf", "/files/x", "@data/a", "@files/", f"@files/{SHA}", f"@files/{SHA}/", f"@files/{SHA}/..",
     f"@files/{SHA}/.", f"@files/{SHA}/a/b", f"@files/{SHA}/a\0", f"@files/{SHA[1:]}/a", f"@files/{SHA.upper()}/a",
     "@files/../../etc/passwd", f"x@files/{SHA}/a"],
)  # fmt: skip
def test_any_other_source_is_no_shipped_file(source: object) -> None:
    assert shipped_file(source) is None
