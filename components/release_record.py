"""ReleaseRecord: a release in the state of its update, also when it fails on a host: for history and rollback.

A release holds no secret: names only. `about` comes first among the outputs and is small, so that history finds it
without reading the rest.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.contract.canonical import canonical
from slipway.settings.deploy_origin import origin

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ReleaseRecord"]


class ReleaseRecord(pulumi.ComponentResource):
    """The release that an update is about."""

    about: pulumi.Output[dict[str, Any]]
    """What it is, by whom, why and from where."""
    document: pulumi.Output[str]
    """The whole release (deployment.schema.json, `$defs/release`) as the JSON text that its id covers:
    as a structure the engine would keep 5.0 as 5, which is another release."""

    def __init__(
        self,
        name: str,
        release: pulumi.Output[dict[str, Any]],
        *,
        kind: str,
        returned: Mapping[str, Mapping[str, str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`returned`: host → how its watch had rolled it back by then (probe.schema.json)."""
        super().__init__("slipway:release:ReleaseRecord", name, None, opts)
        began = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"  # unlike what an earlier update left in the state
        by = {"at": began, **origin(kind)._asdict()}
        self.about = release.apply(lambda document: {**by, **_known(document), "returned": dict(returned or {})})
        self.document = release.apply(lambda document: canonical(document).decode())
        self.register_outputs({"about": self.about, "document": self.document})


def _known(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "release": document["id"],
        **{key: document[key] for key in ("application", "commit", "branch", "images")},
        "irreversible": [
            name for name, entry in document["services"].items() if (entry["migrate"] or {}).get("irreversible")
        ],
    }
