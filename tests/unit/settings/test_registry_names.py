"""Names of images, as registries and clients know them."""

import pytest

from slipway.settings.registry_names import (
    is_local,
    is_reference,
    mirrored,
    plugin_address,
    plugin_name,
    registry_of,
    without_tag,
)


@pytest.mark.parametrize(
    ("image", "bare"),
    [
        ("ghcr.io/team/shop:main", "ghcr.io/team/shop"),
        ("localhost:5000/shop:main@sha256:abc", "localhost:5000/shop@sha256:abc"),
        ("localhost:5000/shop", "localhost:5000/shop"),
        ("nginx:1.27", "nginx"),
    ],
)
def test_only_the_tag_is_taken_from_a_name_and_never_a_registrys_port(image: str, bare: str) -> None:
    assert without_tag(image) == bare


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("team/shop", "docker.io/team/shop"),
        ("docker.io/team/shop", "docker.io/team/shop"),
        ("ghcr.io/team/shop", "ghcr.io/team/shop"),
    ],
)
def test_images_without_a_registry_are_looked_up_at_docker_hub(image: str, repository: str) -> None:
    assert mirrored(image, "docker.io") == repository


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("127.0.0.1:5000", "http"),
        ("127.1.2.3", "http"),
        ("localhost", "http"),
        ("localhost:5000", "http"),
        ("[::1]:5000", "http"),
        ("localhost.example.com", "https"),
        ("127.example.com", "https"),
        ("10.0.0.1:5000", "https"),
        ("ghcr.io", "https"),
        ("", "https"),
    ],
)
def test_only_this_machines_registries_are_spoken_to_without_tls(address: str, scheme: str) -> None:
    assert is_local(address) is (scheme == "http")


@pytest.mark.parametrize(
    ("image", "registry", "address", "name"),
    [
        ("nginx:1", "docker.io", "registry-1.docker.io", "nginx:1"),
        ("team/shop:1", "docker.io", "registry-1.docker.io", "team/shop:1"),
        ("docker.io/nginx:1", "docker.io", "registry-1.docker.io", "nginx:1"),
        ("index.docker.io/team/shop:1", "docker.io", "registry-1.docker.io", "team/shop:1"),
        ("ghcr.io/team/shop:1", "ghcr.io", "ghcr.io", "ghcr.io/team/shop:1"),
        ("10.0.0.1:5000/shop:1", "10.0.0.1:5000", "10.0.0.1:5000", "10.0.0.1:5000/shop:1"),
        ("localhost/shop:1", "localhost", "http://localhost", "localhost/shop:1"),
        ("127.0.0.1:5000/shop:1", "127.0.0.1:5000", "http://127.0.0.1:5000", "127.0.0.1:5000/shop:1"),
    ],
)
def test_the_docker_plugin_is_asked_where_and_how_the_registry_answers(
    image: str, registry: str, address: str, name: str
) -> None:
    assert registry_of(image) == registry
    assert plugin_address(registry) == address
    assert plugin_name(image) == name


DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "image",
    [
        "nginx", "nginx:1.29-alpine", "library/nginx", "docker.io/library/nginx:latest", "ghcr.io/acme/web:V1_x",
        "localhost/web", "127.0.0.1:5050/web:1", "[::1]:5000/web", "registry:5000/a/b/c", "a__b/c-d.e", "Host/web",
        f"nginx@{DIGEST}", f"nginx:1@{DIGEST}", "a" * 255,
    ],
)  # fmt: skip
def test_what_a_registry_can_hold_is_a_reference(image: str) -> None:
    assert is_reference(image)


@pytest.mark.parametrize(
    "image",
    [
        "", ":", "x/y:", ":1", "x/y:@" + DIGEST, "/x", "x/", "x//y", "x y", " x", "x\n", "x:1:2", "X", "x/Y:1", "x:-1",
        "x:" + "1" * 129, "x@sha256:abc", "x@", f"x@{DIGEST}:1", "https://x/y", "x..y", "-x", "x_", "ü", "${X}",
        "a" * 256, "host:/x", "host:a/x",
    ],
)  # fmt: skip
def test_what_no_registry_can_hold_is_none(image: str) -> None:
    assert not is_reference(image)
