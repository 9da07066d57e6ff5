"""Making a bundle of a stack as it is now.

Owns: what goes into it, and what it says of itself. Does not own: its form (see `archive`), or where it is put (see
`places`).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cli.backend.store import backend_url, is_cloud
from cli.backend.updates import updates_of
from cli.bundles.archive import CONTRACT, RELEASE, STACK_FILE, STATE, TAGS, name_of, packed, sha256_of
from cli.bundles.asking import exported_state, tags_of
from cli.bundles.places import written
from cli.bundles.stack_file import file_of
from cli.bundles.state import engine_of, release_id_in, release_in, resources_of, time_of
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.stack import Engine

__all__ = ["Exported", "export"]

_KINDS = {"file": "folder"}  # the others are called as their address begins


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A bundle that was made."""

    place: str
    """Where it lies: a path, or an address without parameters."""
    sha256: str
    size: int
    """Bytes."""
    manifest: Mapping[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """The form that `--json` prints (cli/contract/bundle.schema.json)."""
        return {
            "contract": CONTRACT,
            "bundle": self.place,
            "sha256": self.sha256,
            "size": self.size,
            "manifest": dict(self.manifest),
        }


def export(engine: Engine, to: str = "", *, moment: str = "") -> Exported:
    """Make a bundle of the stack and put it where `to` says (see `written`); the stack stays as it is.

    With `moment`, the bundle's own name ends with it.

    Raises:
        SlipwayError: when there is no such stack, its backend does not answer, or the bundle cannot be written.
    """
    with ThreadPoolExecutor() as pool:  # each is a run of the engine, which takes its second
        states, updates = pool.submit(exported_state, engine), pool.submit(updates_of, engine)
        tags, backends = pool.submit(tags_of, engine), pool.submit(backend_url, engine)
        state = states.result()
        if state is None:
            raise SlipwayError(
                Problem(
                    f"there is no stack {engine.short} in this backend",
                    "there is nothing to export",
                    "pulumi stack ls tells the stacks, pulumi whoami --verbose the backend",
                )
            )
        last = max((update.number for update in updates.result()), default=0)
        about = _about(engine, json.loads(state), last, backends.result())
        content, manifest = packed(about, _parts(engine, state, tags.result()))
    place = written(content, to, name_of(manifest, moment), engine.environment)
    return Exported(place=place, sha256=sha256_of(content), size=len(content), manifest=manifest)


def _about(engine: Engine, state: Mapping[str, Any], update: int, backend: str) -> dict[str, Any]:
    release = release_in(state)
    scheme = backend.partition("://")[0]
    return {
        "contract": CONTRACT,
        "project": engine.project,
        "application": str((release or {}).get("application", "")),
        "stack": engine.short,
        "backend": "cloud" if is_cloud(backend) else _KINDS.get(scheme, scheme),
        "update": update,
        "state_time": time_of(state),
        "resources": len(resources_of(state)),
        "release": release_id_in(state),
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "slipway": version("slipway"),
        "engine": engine_of(state),
    }


def _parts(engine: Engine, state: str, tags: Mapping[str, str]) -> dict[str, bytes]:
    """The files of the bundle by name; those that the stack has."""
    release, file = release_in(json.loads(state)), file_of(engine)
    return {
        STATE: state.encode(),
        **({RELEASE: _text(release)} if release else {}),
        **({STACK_FILE: file.read_bytes()} if file.is_file() else {}),
        TAGS: _text(tags),
    }


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
