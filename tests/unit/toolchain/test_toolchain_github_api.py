"""GitHub's description of its API: the published package and no other, cut to what is used."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dev.toolchain.github_api as api
from dev.toolchain.process import ToolchainError

LEAF = {"type": "string"}
WHOLE: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"version": "1"},
    "servers": [{"url": "https://api.github.com"}],
    "paths": {
        "/used": {"get": {"responses": {"200": {"$ref": "#/components/responses/found"}}}},
        "/unused": {"get": {"responses": {"200": {"$ref": "#/components/responses/other"}}}},
    },
    "components": {
        "responses": {
            "found": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/tree"}}}},
            "other": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/lonely"}}}},
        },
        "schemas": {
            "tree": {"anyOf": [{"$ref": "#/components/schemas/leaf"}, {"$ref": "#/components/schemas/tree"}]},
            "leaf": LEAF,
            "lonely": LEAF,
        },
    },
}


@pytest.fixture
def package(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as the registry would give it, its sums taken for the published ones."""
    file = machine / "package.tgz"
    content = json.dumps(WHOLE).encode()
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo("package/generated/api.github.com.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(api, "_SHA512", hashlib.sha512(file.read_bytes()).hexdigest())
    return file


@pytest.fixture
def npm(package: Path, program: Callable[[str, str], Path]) -> Path:
    """An npm on PATH that has the package; its log."""
    return program("npm", f'cp {package} "octokit-openapi-{api._VERSION}.tgz"')


def test_description_holds_what_is_used_with_all_that_it_refers_to_and_no_more(npm: Path, cache: Path) -> None:
    found = json.loads(api.description(["/used"]).read_text())
    assert set(found["paths"]) == {"/used"}
    assert found["components"]["schemas"] == {name: WHOLE["components"]["schemas"][name] for name in ("tree", "leaf")}
    assert set(found["components"]["responses"]) == {"found"}
    assert [each.name for each in (cache / "github-api").iterdir()] == ["github-api.json"], "29 MB need not stay"
    assert npm.read_text().split() == ["pack", "--silent", f"@octokit/openapi@{api._VERSION}"]


def test_description_is_fetched_once_until_other_paths_are_asked_for(npm: Path) -> None:
    for paths in (["/used"], ["/used"], ["/unused", "/used"], ["/used", "/unused"]):
        api.description(paths)
    assert len(npm.read_text().splitlines()) == 2


def test_path_that_github_does_not_have_is_named(npm: Path) -> None:
    with pytest.raises(ToolchainError, match="GitHub's API has no /unknown"):
        api.description(["/used", "/unknown"])
    assert npm.exists()


def test_other_content_than_the_published_is_refused_and_not_kept(
    npm: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_SHA512", "0" * 128)
    with pytest.raises(ToolchainError, match="has SHA-512"):
        api.description(["/used"])
    assert not (cache / "github-api").exists()
    assert npm.exists()


@pytest.mark.parametrize(
    ("given", "registry"),
    [
        (({}, ""), "https://registry.npmjs.org"),
        (({"NPM_CONFIG_REGISTRY": "https://npm.acme.example/all/"}, ""), "https://npm.acme.example/all"),
        (({}, "fund=false\nregistry = https://npm.acme.example/\n"), "https://npm.acme.example"),
        (({"npm_config_registry": "https://one.example"}, "registry=https://two.example"), "https://one.example"),
    ],
)
def test_without_npm_it_comes_from_the_registry_that_npm_is_set_to(
    machine: Path,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[dict[str, str], str],
    registry: str,
) -> None:
    environment, npmrc = given
    asked: list[tuple[str, str]] = []

    def fetch(url: str, target: Path, *, sha256: str) -> Path:
        asked.append((url, sha256))
        shutil.copy(package, target)
        return target

    for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry", "NPM_CONFIG_USERCONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (machine / "home" / ".npmrc").write_text(npmrc)
    monkeypatch.setattr(api, "fetch", fetch)
    assert api.description(["/used"]).is_file()
    assert asked == [(f"{registry}/@octokit/openapi/-/openapi-{api._VERSION}.tgz", api._SHA256)]
