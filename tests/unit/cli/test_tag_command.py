"""`slipway tag` tags what runs and was validated, and nothing that the application only pulls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

SHA = "3f2a91c04b7d5e8f60123456789abcdef0123456"
IMAGES = {"web": "r.example/shop-web:main@sha256:1", "side": "r.example/side:3@sha256:2", "db": "postgres:18@sha256:3"}


@pytest.mark.parametrize(
    ("words", "validated", "said"),
    [
        (["v1"], True, ""),
        (["v1", "--commit", SHA], True, ""),
        (["v1", "--commit", SHA[:9]], True, ""),
        (["v1", "--commit", "f" * 40], True, "is of commit 3f2a91c04b7d, not of ffffffffffff"),
        (["v1"], False, "was not validated on staging"),
        (["v 1"], True, None),
        (["../v1"], True, None),
        ([], True, None),
    ],
)
def test_what_is_tagged_and_what_is_refused(
    monkeypatch: pytest.MonkeyPatch, words: Sequence[str], validated: bool, said: str | None  # noqa: FBT001
) -> None:  # fmt: skip
    tagged: list[Any] = []

    def tag_images(images: list[str], name: str, login: dict[str, str]) -> list[str]:
        tagged.append((images, name, login))
        return ["r.example/shop-web:v1"]

    settings = SimpleNamespace(registry_login=lambda: {"username": "me"})
    history = SimpleNamespace(validated={"r-1": None} if validated else {}, settings=settings)
    live = SimpleNamespace(id="r-1", document={"commit": SHA, "images": IMAGES})
    built = {"web": SimpleNamespace(repository="r.example/shop-web")}
    for name, value in {
        "slipway.releases.engine.engine_of": lambda _: SimpleNamespace(short="staging", stack="staging"),
        "slipway.releases.history.stack_history.read_history": lambda _: history,
        "slipway.releases.past_releases.named_entry": lambda *_: None,
        "slipway.releases.past_releases.past_release": lambda *_: live,
        "slipway.compose.application.read_application": lambda _: SimpleNamespace(builds=built),
        "slipway.images.image_tags.tag_images": tag_images,
    }.items():
        monkeypatch.setattr(name, value)
    ran = CliRunner().invoke(app, ["tag", *words])
    if said is None:
        assert ran.exit_code == 2
    elif said:
        assert isinstance(ran.exception, SlipwayError)
        assert said in str(ran.exception)
    else:
        assert ran.exit_code == 0, ran.exception
        assert ran.stdout.splitlines() == ["r.example/shop-web:v1", "r-1: tagged v1"]
    assert tagged == ([] if said != "" else [([IMAGES["web"]], "v1", {"username": "me"})])
