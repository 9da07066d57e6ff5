"""Making a bundle of a stack as it is now, and keeping some before something changes a stack."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.backend.checkpoints import checkpoints_of
from cli.backend.store import backend_url, is_cloud
from cli.bundles.archive import CONTRACT, RELEASE, STACK_FILE, STATE, SUFFIX, TAGS, name_of, packed, sha256_of
from cli.bundles.engine import answer, exported_state, file_of
from cli.bundles.state import release_id_in, release_in, resources_of, written
from cli.bundles.storage import write_bundle
from components.errors import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.stack import Engine

__all__ = ["KEPT", "Exported", "export_bundle", "keep_backup"]

KEPT = 20
"""Backups of a stack: older ones go when a new one is made."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A bundle that was made; the form that `--json` prints (cli/contract/bundle.schema.json)."""

    contract: int = CONTRACT
    bundle: str
    """Where it lies: a path, or an address without parameters."""
    sha256: str
    size: int
    """Bytes."""
    manifest: Mapping[str, Any]


def export_bundle(engine: Engine, to: str = "") -> Exported:
    """Make a bundle of the stack and put it where `to` says (see `write_bundle`); the stack stays as it is.

    Raises:
        SlipwayError: when there is no such stack, its backend does not answer, or the bundle cannot be written.
    """
    text = exported_state(engine)
    if text is None:
        raise SlipwayError(
            Problem(
                f"there is no stack {engine.short} in this backend",
                "there is nothing to export",
                "pulumi stack ls shows the stacks, pulumi whoami --verbose the backend",
            )
        )
    with ThreadPoolExecutor() as pool:  # each is a run of the engine, which takes its second
        updates = pool.submit(lambda: checkpoints_of(engine).updates())
        tags = pool.submit(answer, engine, "nothing was exported", "stack", "tag", "ls", "--json")
        state, file = json.loads(text), file_of(engine)
        release = release_in(state)
        about = {
            "contract": CONTRACT,
            "project": engine.project,
            "application": str((release or {}).get("application", "")),
            "stack": engine.short,
            "backend": _kind(backend_url(engine)),
            "update": max((update.number for update in updates.result()), default=0),
            "state_time": written(state, "time"),
            "resources": len(resources_of(state)),
            "release": release_id_in(state),
            "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "slipway": version("slipway"),
            "engine": written(state, "version"),
        }
        parts = {
            STATE: text.encode(),
            **({RELEASE: _json(release)} if release else {}),
            **({STACK_FILE: file.read_bytes()} if file.is_file() else {}),
            TAGS: _json(json.loads(tags.result()) or {}),
        }
    content, manifest = packed(about, parts)
    place = write_bundle(content, to, name_of(manifest), engine.environment)
    return Exported(bundle=place, sha256=sha256_of(content), size=len(content), manifest=manifest)


def keep_backup(engine: Engine) -> Path:
    """Keep a bundle of the stack as it is now in .slipway/backups/STACK/ beside Pulumi.yaml.

    Returns: its path; `slipway import` brings it back.

    Raises:
        SlipwayError: as `export_bundle`; then nothing may be changed.
    """
    folder = engine.root / ".slipway" / "backups" / engine.short
    made = export_bundle(engine, str(folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}{SUFFIX}"))
    for old in sorted(folder.glob(f"*{SUFFIX}"))[:-KEPT]:  # their names are their times
        old.unlink(missing_ok=True)
    return Path(made.bundle)


def _kind(backend: str) -> str:
    """A backend as the manifest calls it: cloud, folder, or as its address begins."""
    scheme = backend.partition("://")[0]
    return "cloud" if is_cloud(backend) else "folder" if scheme == "file" else scheme


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
