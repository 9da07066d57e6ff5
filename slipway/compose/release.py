"""Release: an immutable description of what runs (deployment.schema.json, `$defs/release`). Same inputs, same id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.contract.canonical import release_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.compose.application import Application
    from slipway.compose.git import Revision

__all__ = ["Release"]


@dataclass(frozen=True)
class Release:
    """What runs: id, commit, image digests, resolved Compose file, configuration files, names of its secrets."""

    document: Mapping[str, Any]

    @property
    def id(self) -> str:
        """`r-` and 12 hex digits."""
        return str(self.document["id"])

    @classmethod
    def assemble(cls, application: Application, revision: Revision, images: Mapping[str, str]) -> Release:
        """Put a release together from the application and its images.

        Args:
            application: what the Compose file describes.
            revision: commit and branch of its source.
            images: service → image by digest (`NAME[:TAG]@sha256:…`), one for every service.
        """
        services = {
            name: {**service, "image": images[name]} for name, service in application.document["services"].items()
        }
        content = {
            "application": application.name,
            "commit": revision.commit,
            "branch": revision.branch,
            "images": dict(images),
            "compose": {**application.document, "services": services},
            "files": dict(application.files),
            "secrets": list(application.secrets),
            "services": dict(application.entries),
        }
        return cls.identified(content)

    @classmethod
    def identified(cls, content: Mapping[str, Any]) -> Release:
        """A release with the id that `content` (an id in it aside) has."""
        bare = {key: value for key, value in content.items() if key != "id"}
        return cls({"id": release_id(bare), **bare})
