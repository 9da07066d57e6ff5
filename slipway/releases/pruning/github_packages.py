"""GitHub's container registry (ghcr.io), which lets images be deleted by GitHub's own API alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from slipway.contract.problems import SlipwayError
from slipway.images.stored_images import ImageStore, StoredImage
from slipway.releases.github import Repository
from slipway.releases.github_settings import token_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["GITHUB", "GitHubImageStore"]

GITHUB = "ghcr.io"
_READ, _DELETE = "packages: read", "packages: write, and over the package (its settings, Manage Actions access) Admin"


class GitHubImageStore(ImageStore):
    """One package. Its versions are manifests, also those without a tag."""

    def __init__(self, repository: str, credentials: dict[str, str], environment: Mapping[str, str]) -> None:
        """`environment` has the token, and says where the API is."""
        super().__init__(repository, credentials)
        _, owner, name = repository.split("/", 2)
        token = token_in(environment)
        if not token:
            fix = "set GITHUB_TOKEN (in a workflow: env: {GITHUB_TOKEN: ${{ github.token }}})"
            raise SlipwayError("there is no token for GitHub", f"{repository} can be pruned by its API alone", fix)
        self._name, self._ids = repository, dict[str, int]()
        self._github = Repository(f"{owner}/{name}", environment, at_once=True)
        self._owner, self._kind = owner, ""
        self._package = f"packages/container/{quote(name, safe='')}"
        # ghcr.io takes the token in place of a password, whatever the user is called.
        self._credentials = credentials or {"username": owner, "password": token}

    def images(self, known: Iterable[str] = ()) -> dict[str, StoredImage]:
        """As its base: everything that has a version; the date is that of the push."""
        versions = {str(each["name"]): each for each in self._versions()}
        self._ids = {digest: int(each["id"]) for digest, each in versions.items()}
        found = super().images({*versions, *known})
        if found and not versions:
            fix = f"give the token the permission {_READ} for it (the package's settings, Manage Actions access)"
            raise SlipwayError(f"GitHub does not list {self._name}", "it is there, and nothing was deleted", fix)
        return {
            digest: replace(image, created=datetime.fromisoformat(versions[digest]["created_at"]))
            for digest, image in found.items()
            if digest in versions
        }

    def delete(self, digest: str) -> None:
        """As its base. Raises `SlipwayError`."""
        path = f"{self._place()}/{self._package}/versions/{self._ids[digest]}"
        self._github.read(path, f"deleting {self._name}@{digest[:19]}", _DELETE, method="DELETE")

    def _versions(self) -> Iterable[dict[str, str]]:
        number, more = 1, True
        while more:
            path = f"{self._place()}/{self._package}/versions?per_page=100&page={number}"
            found = self._github.read(path, f"the versions of {self._name}", _READ) or []
            yield from found
            number, more = number + 1, len(found) == 100  # noqa: PLR2004  # a page

    def _place(self) -> str:
        """Where the owner's packages are: GitHub has one address for organisations, and one for users."""
        if not self._kind:
            asked = self._github.read(f"/users/{self._owner}", f"the owner of {self._name}", _READ) or {}
            self._kind = "orgs" if asked.get("type") == "Organization" else "users"
        return f"/{self._kind}/{self._owner}"
