"""Traefik is built once per version of its sources, from a copy of the ACME library, and never over what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from dev.toolchain import golang, traefik
from dev.toolchain.process import ToolchainError
from dev.toolchain.stand_ins import images

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import FakeDocker


PUBLISHED = "package published"


class Go:
    """Go, of which only the files that it is given and gives are real; the modules are read-only, as its cache is."""

    def __init__(self, modules: Path) -> None:
        self.modules = modules
        self.built: list[tuple[str, str]] = []
        self.sources: dict[str, str] = {}
        self.broken = False
        files = [f"{folder}/{name}" for name, folder in traefik._REPLACED.items()]
        files += [f"traefik/pkg/provider/{name}/provider.go" for name in traefik._PROVIDERS]
        files += ["traefik/pkg/tls/generate/generate.go", "lego/challenge/challenge.go"]
        for file in (modules / name for name in files):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(PUBLISHED)
            file.chmod(0o444)
        for folder in sorted((path for path in modules.rglob("*") if path.is_dir()), reverse=True):
            folder.chmod(0o555)

    def package_folder(self, source: Path, package: str) -> Path:
        assert (source / "go.mod").is_file()
        module = "lego" if "go-acme" in package else "traefik"
        return self.modules / module / package.partition("/v5/" if module == "lego" else "/v3/")[2]

    def build(self, source: Path, package: str, program: Path, *, define: str = "") -> None:
        if self.broken:
            raise ToolchainError("it does not compile", "there is no program", "fix it")
        assert (source / "go.sum").is_file()
        self.built.append((package, define))
        self.sources = {str(path.relative_to(source)): path.read_text() for path in source.rglob("*.go")}
        program.write_text("traefik")


@pytest.fixture
def go(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    fake = Go(machine / "modules")
    monkeypatch.setattr(golang, "package_folder", fake.package_folder)
    monkeypatch.setattr(golang, "build", fake.build)
    return fake


def test_program_is_built_once_without_what_is_left_out(go: Go, cache: Path) -> None:
    first = traefik.ensure_traefik()
    assert traefik.ensure_traefik() == first == cache / "traefik/traefik"
    assert go.built == [(traefik._PACKAGE, f"{traefik._VERSION_VARIABLE}={traefik.VERSION}")]
    assert [name for name, text in go.sources.items() if text == PUBLISHED] == [
        "lego/challenge/challenge.go",
        "traefik/pkg/tls/generate/generate.go",
    ]
    assert "package ingressnginx\n" in go.sources["traefik/pkg/provider/kubernetes/ingress-nginx/absent.go"]
    assert [path.name for path in first.parent.iterdir()] == [traefik.PROGRAM]


def test_failed_build_leaves_nothing_and_is_tried_again(go: Go, cache: Path) -> None:
    go.broken = True
    with pytest.raises(ToolchainError, match="does not compile"):
        traefik.ensure_traefik()
    assert not (cache / "traefik").exists()
    assert not (cache / "traefik.partial").exists()
    go.broken = False
    assert traefik.ensure_traefik().is_file()


def test_stand_in_changes_with_the_modules_it_is_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker: FakeDocker
) -> None:
    del docker
    monkeypatch.setattr(images, "debian_key", lambda *_: "")
    image = next(each for each in images._IMAGES if each.recipe == "traefik")
    before = images._key(image)
    (tmp_path / "go").mkdir()
    (tmp_path / "go/go.sum").write_text("another")
    monkeypatch.setattr(traefik, "_SOURCE", tmp_path / "go")
    assert images._key(image) != before


def test_version_is_the_one_of_the_module_and_of_the_image() -> None:
    assert f"github.com/traefik/traefik/v3 v{traefik.VERSION}" in (traefik._SOURCE / "fetched/go.mod").read_text()
    image = next(each for each in images._IMAGES if each.recipe == "traefik")
    assert (image.tag, image.mirrored) == (f"traefik:v{traefik.VERSION}", f"library/traefik:v{traefik.VERSION}")


@pytest.mark.parametrize("module", ["go-acme/lego/v5", "traefik/traefik/v3"])
def test_module_that_is_changed_is_the_one_that_is_built_with(module: str) -> None:
    versions = [
        set(re.findall(rf"{module} (v\S+)", (traefik._SOURCE / file).read_text()))
        for file in ("go.mod", "fetched/go.mod")
    ]
    assert versions[0] == versions[1]
    assert len(versions[0]) == 1
