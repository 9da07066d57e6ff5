"""Exporting a stack as it is now, and keeping some exports before something changes a stack."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.package import version
from slipway.releases.backend.checkpoints import checkpoints_of, live_release_in
from slipway.releases.backend.store import backend_url, is_cloud
from slipway.releases.bundles import archive
from slipway.releases.bundles.state import answer, resources_of, written
from slipway.releases.bundles.storage import write_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.releases.engine import Engine

__all__ = ["KEPT", "export_bundle", "keep_backup"]

KEPT = 20
"""Backups of a stack: older ones go when a new one is made."""
_NOTHING = "nothing was exported or changed"


def export_bundle(engine: Engine, to: str = "") -> dict[str, Any]:
    """Make a bundle of the stack and put it where `to` says (see `write_bundle`); what `--json` prints.

    Raises:
        SlipwayError: when there is no such stack, its backend does not answer, or the bundle cannot be written.
    """
    text = answer(engine, _NOTHING, "stack", "export")
    tags = json.loads(answer(engine, _NOTHING, "stack", "tag", "ls", "--json")) or {}
    updates = checkpoints_of(engine).updates()
    state, backend, file = json.loads(text), backend_url(engine), engine.stack_file
    release = live_release_in(state["deployment"]) or {}
    about = {
        "contract": archive.CONTRACT,
        "project": engine.project,
        "application": str(release.get("application", "")),
        "stack": engine.short,
        "backend": "cloud" if is_cloud(backend) else backend.partition(":")[0].replace("file", "folder"),
        "update": max((update.number for update in updates), default=0),
        "state_time": written(state, "time"),
        "resources": len(resources_of(state)),
        "release": release.get("id"),
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "slipway": version(),
        "engine": written(state, "version"),
    }
    parts = {
        archive.STATE: text.encode(),
        **({archive.RELEASE: _json(release)} if release else {}),
        **({archive.STACK_FILE: file.read_bytes()} if file.is_file() else {}),
        archive.TAGS: _json(tags),
    }
    content, manifest = archive.packed(about, parts)
    place = write_bundle(content, to, archive.name_of(manifest), engine.environment)
    sums = {"sha256": archive.sha256_of(content), "size": len(content)}
    return {"contract": archive.CONTRACT, "bundle": place, **sums, "manifest": manifest}


def keep_backup(engine: Engine) -> Path:
    """Keep a bundle of the stack as it is now in .slipway/backups/STACK/; its path. Raises as `export_bundle`."""
    folder = engine.root / ".slipway" / "backups" / engine.short
    made = export_bundle(engine, str(folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}{archive.SUFFIX}"))
    for old in sorted(folder.glob(f"*{archive.SUFFIX}"))[:-KEPT]:  # their names are their times
        old.unlink(missing_ok=True)
    return Path(made["bundle"])


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
