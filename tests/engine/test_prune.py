"""What goes from a registry and what stays, with a real one, the real engine's states, and GitHub's packages."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from flask import Response, request
from github_fake import TOKEN, FakeGitHub, answer, serving_github

from slipway.contract.problems import SlipwayError
from slipway.images.stored_images import ImageStore
from slipway.releases.pruning.github_packages import GitHubImageStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from local_servers import Registry
    from stack_harness import Stack

OPTIONS = ("--keep", "1", "--days", "0")


def test_what_any_stack_can_go_back_to_stays_and_the_rest_goes(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(retention=2)
    other = stack.beside(registry=stack.settings["registry"], retention=2)
    for version in ("2", "3", "4", "5"):  # 1 is the image of `side`, too
        stack.application.version("web", version)
        stack.up()
        if version == "3":
            other.slipway("promote", "--from", stack.name, "--to", other.name, "--confirm", "DEPLOY", "--force")
    entries = json.loads(stack.slipway("history", "--json", "--all").out)["entries"]
    [first, *others] = [entry["images"]["web"].partition("@")[2] for entry in reversed(entries)]
    assert len({first, *others}) == 4

    said = stack.slipway("prune", *OPTIONS, "--plan")
    assert first[:19] in said.out
    assert not [each for each in others if each[:19] in said.out]
    assert "slipway prune --yes" in stack.slipway("prune", *OPTIONS, expect=1).errors, "nobody can be asked here"
    assert "nothing to delete" in stack.slipway("prune", "--keep", "1", "--yes").out, "all are young"

    state = stack.folder / f"Pulumi.{other.name}.yaml"
    text = state.read_text()
    state.unlink()
    said = stack.slipway("prune", *OPTIONS, "--yes", expect=1)
    assert f"what stack {other.name} needs is not known" in said.errors
    state.write_text(text)
    elsewhere = stack.folder / "Pulumi.elsewhere.yaml"
    elsewhere.write_text(f"config: {{'slipway:registry': '{stack.settings['registry']}'}}")
    said = stack.slipway("prune", *OPTIONS, "--yes", expect=1)
    assert "stack elsewhere pushes to" in said.errors
    elsewhere.unlink()

    stack.slipway("prune", *OPTIONS, "--yes")
    assert "nothing to delete" in stack.slipway("prune", *OPTIONS, "--yes").out
    stack.slipway("rollback", "--to", "3")
    assert stack.serves("4")
    said = stack.slipway("rollback", "--to", "1", expect=1)
    assert "is gone from its registry" in said.errors
    assert "0 of" in stack.slipway("prune", *OPTIONS, "--yes").out, "the next update is of what the state still has"


# --- GitHub's packages

PACKAGE = "shop/web"
_PLACE = "packages/<package_type>/<path:package_name>/versions"


class FakePackages(FakeGitHub):
    """The container package of an organisation, or of a user, whose versions a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = "Organization"
        self.versions: list[dict[str, Any]] = []

    def application(self) -> Flask:
        application = super().application()
        application.add_url_rule("/users/<username>", "owner", self._owner)
        for place in ("orgs/<org>", "users/<username>"):
            path = f"/{place}/{_PLACE}"
            application.add_url_rule(path, path, self._versions)
            path += "/<int:package_version_id>"
            application.add_url_rule(path, path, self._deleted, methods=["DELETE"])
        return application

    def version(self, digest: str, *tags: str) -> None:
        entry = copy.deepcopy(self._examples["package-versions-for-org"][0])
        entry |= {"id": len(self.versions) + 1, "name": digest, "created_at": "2026-01-01T00:00:00Z"}
        entry["metadata"] = {"package_type": "container", "container": {"tags": list(tags)}}
        self.versions.append(entry)

    def _owner(self, username: str) -> Response:
        example = self._examples["public-user-default-response"]
        return answer({**example, "login": username, "type": self.kind, "user_view_type": "public"})

    def _versions(self, package_name: str, **_: str) -> Response:
        size, number = int(request.args["per_page"]), int(request.args["page"])
        found = self.versions if package_name == PACKAGE else []
        return answer(found[(number - 1) * size : number * size])

    def _deleted(self, package_version_id: int, **_: str) -> Response:
        self.versions = [each for each in self.versions if each["id"] != package_version_id]
        return Response(status=204)


@pytest.fixture
def github() -> Iterator[FakePackages]:
    with serving_github(FakePackages) as fake:
        yield fake


def store(github: FakePackages, registry: Registry, token: str = TOKEN) -> GitHubImageStore:
    """The package, whose manifests are in a registry on this machine."""
    told = {"GITHUB_API_URL": github.url, "GITHUB_TOKEN": token}
    found = GitHubImageStore(f"ghcr.io/acme/{PACKAGE}", {}, told)
    found._base = f"http://{registry.address}/v2/acme/{PACKAGE}/"
    return found


@pytest.mark.parametrize("kind", ["Organization", "User"])
def test_a_package_is_listed_with_what_has_no_tag_and_deleted_by_github(
    github: FakePackages, registry: Registry, kind: str
) -> None:
    github.kind = kind
    index = registry.push(f"acme/{PACKAGE}", "1")
    [child] = ImageStore(f"{registry.address}/acme/{PACKAGE}", {}).images()[index].children
    github.version(child)
    github.version(index, "1")
    for number in range(150):  # pages; their manifests are gone
        github.version(f"sha256:{number:064}")
    packages = store(github, registry)
    found = packages.images()
    assert {digest: (image.tags, image.children) for digest, image in found.items()} == {
        index: (("1",), (child,)),
        child: ((), ()),
    }
    assert {f"{image.created:%Y-%m-%d}" for image in found.values()} == {"2026-01-01"}
    packages.delete(index)
    packages.delete(index)
    assert index not in [each["name"] for each in github.versions]
    place = "orgs" if kind == "Organization" else "users"
    assert f"DELETE /{place}/acme/packages/container/{PACKAGE}/versions/2" in github.asked


def test_a_package_that_the_token_may_not_see_or_delete_is_said(github: FakePackages, registry: Registry) -> None:
    index = registry.push(f"acme/{PACKAGE}", "1")
    with pytest.raises(SlipwayError, match=r"GitHub does not list ghcr\.io/acme/shop/web"):
        store(github, registry).images()
    github.version(index, "1")
    packages = store(github, registry)
    packages.images()
    github.fail(403, "Resource not accessible by integration", method="DELETE")
    with pytest.raises(SlipwayError, match=r"deleting .*Resource not accessible.*packages: write"):
        packages.delete(index)
    with pytest.raises(SlipwayError, match="there is no token for GitHub"):
        store(github, registry, "")
