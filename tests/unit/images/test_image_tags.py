"""A version is one image for good, and what is tagged keeps its digest."""

from __future__ import annotations

import hashlib
from email.message import Message
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError

import pytest

from slipway.contract.problems import SlipwayError
from slipway.images.image_tags import tag_images
from slipway.images.registry_tags import Registry

CONTENT = {"shop/api": b"api", "shop/web": b"web"}


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What a registry has, by REPOSITORY:REFERENCE."""
    found = {f"{name}:{digest(content)}": content for name, content in CONTENT.items()}

    class Fake(Registry):
        def _ask(self, method: str, path: str, body: bytes | None, headers: Any) -> tuple[bytes, Message]:
            key = f"{self._path}:{path.removeprefix('manifests/')}"
            answer = Message()
            answer["Content-Type"] = "kind"
            if method == "PUT":
                assert headers == {"Content-Type": "kind"}
                found[key] = body or b""
            if key not in found:
                raise HTTPError(key, HTTPStatus.NOT_FOUND, "", answer, None)
            return found[key], answer

    monkeypatch.setattr("slipway.images.image_tags.Registry", Fake)
    return found


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


IMAGES = [f"registry.example/{name}:main@{digest(content)}" for name, content in CONTENT.items()]


def test_each_image_is_tagged_byte_for_byte_and_once(stored: dict[str, bytes]) -> None:
    assert tag_images([*IMAGES, IMAGES[0]], "v1", {}) == [
        "registry.example/shop/api:v1",
        "registry.example/shop/web:v1",
    ]
    assert {name: stored[f"{name}:v1"] for name in CONTENT} == CONTENT
    assert tag_images(IMAGES, "v1", {}) == []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"shop/web:v1": b"another"}, r"registry\.example/shop/web:v1 is sha256:\w+ already"),
        (
            {f"shop/web:{digest(b'web')}": None},
            r"the registry of registry\.example/shop/web:v1 does not have the image that runs",
        ),
    ],
)
def test_where_one_cannot_be_tagged_none_is(stored: dict[str, bytes], there: dict[str, Any], said: str) -> None:
    for key, content in there.items():
        stored.pop(key, None) if content is None else stored.update({key: content})
    before = dict(stored)
    with pytest.raises(SlipwayError, match=said):
        tag_images(IMAGES, "v1", {})
    assert stored == before
