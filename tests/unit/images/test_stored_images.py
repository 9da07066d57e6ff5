"""What an image cannot be without, and what is deleted first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.images.stored_images import StoredImage, _about, held_with
from slipway.releases.pruning.prune import _order

if TYPE_CHECKING:
    from collections.abc import Mapping

OLD = datetime(2026, 1, 1, tzinfo=UTC)


def stored(**images: str) -> dict[str, StoredImage]:
    """Digest → an image, from words: `>child`, `@what it is about`."""
    return {
        digest: StoredImage(
            digest=digest,
            created=OLD,
            children=tuple(word[1:] for word in words.split() if word[0] == ">"),
            about=tuple(word[1:] for word in words.split() if word[0] == "@"),
        )
        for digest, words in images.items()
    }


IMAGES = stored(
    index=">amd >arm >gone", amd="", arm="", other=">arm", signature="@index", signed="@signature",
    attached=">statement", statement="@amd", lone="",
)  # fmt: skip


@pytest.mark.parametrize(
    ("needed", "held"),
    [
        ("", ""),
        ("nowhere", ""),
        ("lone", "lone"),
        ("index", "index amd arm signature signed statement"),
        ("other", "other arm"),
        ("amd", "amd statement"),
        ("signature", "signature signed"),
        ("attached", "attached statement"),
    ],
)
def test_platforms_signatures_and_attestations_stay_with_their_image(needed: str, held: str) -> None:
    assert held_with(IMAGES, needed.split()) == {*held.split()}


@given(st.data())
def test_nothing_that_is_left_is_broken(data: Any) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdefgh"), unique=True))
    some = st.lists(st.sampled_from("abcdefghx"), max_size=3)
    images = {
        name: StoredImage(digest=name, children=tuple(data.draw(some)), about=tuple(data.draw(some))) for name in names
    }
    needed = data.draw(st.sets(st.sampled_from("abcdefghx")))
    held = held_with(images, needed)
    assert needed & {*images} <= held <= {*images}
    for name, image in images.items():
        assert name not in held or {*image.children} & {*images} <= held
        assert name in held or not {*image.about} & held


def test_an_index_goes_before_its_platforms_and_an_image_before_its_signatures() -> None:
    assert [each.digest for each in sorted(IMAGES.values(), key=_order)] == [
        "attached", "index", "other", "amd", "arm", "lone", "signature", "signed", "statement",
    ]  # fmt: skip


HEX = "0f" * 32


@pytest.mark.parametrize(
    ("manifest", "tags", "about"),
    [
        ({}, ("latest", "sha256-short", f"x-sha256-{HEX}"), []),
        ({}, (f"sha256-{HEX}",), [f"sha256:{HEX}"]),
        ({}, (f"sha256-{HEX}.sig", f"sha256-{HEX}.att"), [f"sha256:{HEX}"] * 2),
        ({"subject": {"digest": "sha256:1"}}, (), ["sha256:1"]),
        ({"subject": None}, (), []),
    ],
)
def test_what_something_is_about_is_its_subject_or_in_its_tag(
    manifest: Mapping[str, Any], tags: tuple[str, ...], about: list[str]
) -> None:
    assert list(_about(manifest, tags)) == about
