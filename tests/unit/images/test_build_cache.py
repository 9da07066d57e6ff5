"""Where build layers are kept: what is asked of the builder, and a builder that cannot do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.compose.builds import Build
from slipway.images.build_cache import cache_of, check_builder
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUILD = Build(repository="ghcr.io/acme/shop-web", context="/app")


def settings(**values: object) -> Settings:
    return Settings(stack="staging", **values)  # type: ignore[arg-type]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A `docker` on PATH that runs the given shell lines."""

    def install(script: str) -> None:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return install


def test_without_a_setting_nothing_is_read_or_written() -> None:
    assert cache_of(BUILD, settings()) == ((), ())


@pytest.mark.parametrize("kind", ["registry", "github"])
def test_a_refused_export_never_fails_the_build(kind: str) -> None:
    cache = cache_of(BUILD, settings(cache=kind))
    assert cache.imports
    assert all(each.endswith("ignore-error=true") for each in cache.exports)


def test_the_compose_files_own_cache_comes_before_the_setting() -> None:
    own = Build(repository="r", context="/app", cache_from=("type=registry,ref=x",), cache_to=("type=inline",))
    assert cache_of(own, settings(cache="registry")) == (("type=registry,ref=x",), ("type=inline",))


@pytest.mark.parametrize("cache", ["none", "inline"])
def test_a_cache_that_every_builder_has_asks_no_builder(cache: str, docker: Callable[[str], None]) -> None:
    docker("exit 1")
    assert check_builder([BUILD], settings(cache=cache)) == []


def test_dockers_own_builder_is_refused_where_it_cannot_export(docker: Callable[[str], None]) -> None:
    docker('[ "$1" = buildx ] && echo "Driver:        docker" || echo "[[Backing Filesystem extfs]]"')
    [problem] = check_builder([BUILD], settings(cache="registry"))
    assert "builder 'default' cannot export a cache" in problem.what
    assert "--driver docker-container" in problem.fix


@pytest.mark.parametrize(
    "script",
    [
        'echo "Driver:        docker-container"',
        '[ "$1" = buildx ] && echo "Driver: docker" || echo "[[driver-type io.containerd.snapshotter.v1]]"',
    ],
)
def test_a_builder_that_can_export_is_taken(script: str, docker: Callable[[str], None]) -> None:
    docker(script)
    assert check_builder([BUILD], settings(cache="github")) == []


def test_a_builder_that_does_not_exist_is_named(docker: Callable[[str], None]) -> None:
    docker("exit 1")
    [problem] = check_builder([BUILD], settings(cache="registry", builder="gone"))
    assert "no BuildKit builder 'gone'" in problem.what
