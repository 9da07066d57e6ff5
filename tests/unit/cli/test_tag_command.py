"""`slipway tag` tags what runs and was validated, and nothing that the application only pulls."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHA = "3f2a91c04b7d5e8f60123456789abcdef0123456"
IMAGES = {"web": "r.example/shop-web:main@sha256:1", "side": "r.example/side:3@sha256:2", "db": "postgres:18@sha256:3"}


@pytest.mark.parametrize(
    ("words", "differs", "said"),
    [
        (["v1"], {}, ""),
        (["v1"], {"commit": ""}, ""),
        (["v1", "--commit", SHA], {}, ""),
        (["v1", "--commit", SHA[:9]], {}, ""),
        (["v1", "--commit", "f" * 40], {}, "is of commit 3f2a91c04b7d, not of ffffffffffff"),
        (["v1", "--commit", SHA], {"commit": f"{SHA}-dirty"}, "was made from uncommitted changes"),
        (["v1"], {"commit": f"{SHA}-dirty"}, "was made from uncommitted changes"),
        (["v1"], {"validated": {}}, "was not validated on staging"),
        (["v1"], {"built": "r.example/other"}, "runs no image that the application builds"),
        (["v1"], {"built": ""}, ""),
        (["v 1"], {}, None),
        (["../v1"], {}, None),
        ([], {}, None),
    ],
)
def test_what_is_tagged_and_what_is_refused(
    monkeypatch: pytest.MonkeyPatch, words: Sequence[str], differs: dict[str, Any], said: str | None
) -> None:
    tagged: list[Any] = []
    outputs: list[Any] = []
    commit, repository = differs.get("commit", SHA), differs.get("built", "r.example/shop-web")

    @contextlib.contextmanager
    def source_at(folder: str, given: str) -> Iterator[str]:
        assert (folder, given) == ("checkout", commit)
        yield "at that commit"

    def read_application(settings: SimpleNamespace) -> SimpleNamespace:
        assert settings.application == "at that commit"
        return SimpleNamespace(builds={"web": SimpleNamespace(repository=repository)} if repository else {})

    def tag_images(images: list[str], name: str, login: dict[str, str]) -> list[str]:
        tagged.append((images, name, login))
        return ["r.example/shop-web:v1"] if images else []

    settings = SimpleNamespace(
        registry_login=lambda: {"username": "me"},
        application="checkout",
        model_copy=lambda update: SimpleNamespace(**update),
    )
    history = SimpleNamespace(validated=differs.get("validated", {"r-1": None}), settings=settings)
    live = SimpleNamespace(id="r-1", document={"commit": commit, "images": IMAGES})
    for name, value in {
        "slipway.releases.engine.engine_of": lambda _: SimpleNamespace(short="staging", stack="staging"),
        "slipway.releases.history.stack_history.read_history": lambda _: history,
        "slipway.releases.past_releases.named_entry": lambda *_: None,
        "slipway.releases.past_releases.past_release": lambda *_: live,
        "slipway.compose.application.read_application": read_application,
        "slipway.releases.promotion.source_at": source_at,
        "slipway.images.image_tags.tag_images": tag_images,
        "slipway.cli.deploy.ci_summary.set_output": lambda *given: outputs.append(given),
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
        none = ["r-1: the application builds no image, so none is tagged"]
        assert ran.stdout.splitlines() == (["r.example/shop-web:v1", "r-1: tagged v1"] if repository else none)
    assert outputs == ([] if said != "" else [("release", "r-1")])
    assert tagged == ([] if said != "" else [([IMAGES["web"]] if repository else [], "v1", {"username": "me"})])
