"""Names of images, as registries and clients know them."""

import pytest

from slipway.settings.registry_names import mirrored, without_tag


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
