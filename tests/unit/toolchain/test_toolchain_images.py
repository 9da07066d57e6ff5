"""Official images first, stand-ins where there are none, and never in place of what somebody put there."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from dev.toolchain import traefik
from dev.toolchain.stand_ins import images
from dev.toolchain.stand_ins.images import STAND_IN_LABEL, ensure_images, ensure_registry_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import FakeDocker

HUB = "registry-1.docker.io"
TAGS = [image.tag for image in images._IMAGES]
NOWHERE = "127.0.0.1:1"
DIGEST = f"sha256:{'d1' * 32}"
BLOCKED = "blocked by a test"


@pytest.fixture(autouse=True)
def quick(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_ensure_base", lambda: None)
    (machine / "traefik").write_text("a program that takes minutes to build")
    monkeypatch.setattr(traefik, "ensure_traefik", lambda: machine / "traefik")
    monkeypatch.setattr(images, "debian_key", lambda *parts: f"key of {parts}")


def stand_in(docker: FakeDocker, image: images._Image, *, key: str = "", digests: tuple[str, ...] = ()) -> None:
    labels = {STAND_IN_LABEL: "true", images._KEY_LABEL: key or images._key(image)}
    docker.image(image.tag, digests=digests, **labels)


def test_official_images_are_left_alone(docker: FakeDocker) -> None:
    for tag in TAGS:
        docker.image(tag)
    assert ensure_images(NOWHERE) == {}
    assert [call.split()[:2] for call in docker.calls] == [["image", "inspect"]]


def test_missing_images_are_pulled(docker: FakeDocker) -> None:
    docker.image(TAGS[0])
    for tag in TAGS[1:]:
        docker.image(tag, where="hub")
    assert ensure_images(NOWHERE) == {}
    assert sorted(docker.called("pull")) == sorted(f"pull {tag}" for tag in TAGS[1:])
    assert not docker.called("buildx")


def test_blocked_hub_is_not_asked_and_stand_ins_are_served_to_hosts(
    docker: FakeDocker, blocked_servers: Callable[..., None]
) -> None:
    blocked_servers(HUB)
    assert ensure_images(NOWHERE) == {"SLIPWAY_MIRROR": NOWHERE}
    assert not docker.called("pull")
    assert len(docker.called("buildx build")) == len(TAGS)
    pushed = {f"push --quiet {NOWHERE}/{image.mirrored}" for image in images._IMAGES}
    assert set(docker.called("push")) == pushed


def test_hub_that_refuses_is_remembered(docker: FakeDocker, cache: Path) -> None:
    assert ensure_images(NOWHERE) == {"SLIPWAY_MIRROR": NOWHERE}
    assert "no such host" in (cache / "blocked" / HUB).read_text()
    pulls = len(docker.called("pull"))
    (docker.folder / "images" / TAGS[0]).unlink()
    ensure_images(NOWHERE)
    assert len(docker.called("pull")) == pulls


def test_only_what_cannot_be_pulled_is_made(docker: FakeDocker) -> None:
    for tag in TAGS[1:]:
        docker.image(tag)
    assert ensure_images(NOWHERE) == {"SLIPWAY_MIRROR": NOWHERE}
    assert [f"--tag {TAGS[0]} " in call for call in docker.called("buildx build")] == [True]
    assert len(docker.called("push")) == 1


def test_stand_in_of_another_recipe_is_made_again_and_one_of_this_is_kept(
    docker: FakeDocker, blocked_servers: Callable[..., None]
) -> None:
    blocked_servers(HUB)
    first, *others = images._IMAGES
    stand_in(docker, first, key="older")
    for image in others:
        stand_in(docker, image)
    ensure_images(NOWHERE)
    assert [f"--tag {first.tag} " in call for call in docker.called("buildx build")] == [True]


def test_image_that_somebody_put_under_the_name_is_not_replaced(
    docker: FakeDocker, blocked_servers: Callable[..., None]
) -> None:
    blocked_servers(HUB)
    for tag in TAGS:
        docker.image(tag, maintainer="somebody")
    ensure_images(NOWHERE)
    assert not docker.called("buildx")
    assert not docker.called("tag")


class Served(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Docker-Content-Digest", DIGEST)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serving() -> Iterator[str]:
    """A registry that holds everything under the one digest."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_stand_in_that_the_registry_has_is_not_pushed_again(docker: FakeDocker, serving: str) -> None:
    first, *others = images._IMAGES
    for image in others:
        name = image.mirrored.rsplit(":", 1)[0]
        stand_in(docker, image, digests=(f"{serving}/{name}@{DIGEST}",))
    stand_in(docker, first, digests=(f"{serving}/another/name@{DIGEST}",))
    assert ensure_images(serving) == {"SLIPWAY_MIRROR": serving}
    assert docker.called("push") == [f"push --quiet {serving}/{first.mirrored}"]


def test_image_of_a_registry_is_pulled_or_made(docker: FakeDocker, blocked_servers: Callable[..., None]) -> None:
    blocked_servers(HUB)
    assert ensure_registry_image() == "registry:2"
    assert len(docker.called("buildx build")) == 1
    assert ensure_registry_image() == "registry:2"
    assert len(docker.called("buildx build")) == 1


@pytest.mark.parametrize(
    ("index", "passed"),
    [("https://pypi.example/simple", "https://pypi.example/simple"), ("https://me:secret@pypi.example/simple", "")],
)
def test_package_index_with_a_credential_is_not_passed_to_a_build(
    docker: FakeDocker,
    blocked_servers: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    index: str,
    passed: str,
) -> None:
    blocked_servers(HUB)
    monkeypatch.setenv("PIP_INDEX_URL", index)
    ensure_images(NOWHERE)
    built = [call for call in docker.called("buildx build") if "INDEX_URL=" in call]
    assert len(built) == 1
    assert f"--build-arg INDEX_URL={passed} " in built[0]
    assert "secret@" not in docker.log.read_text()
