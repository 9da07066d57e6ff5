"""Importing a stack from a bundle: into a backend that lost it, or one that never had it.

Everything is checked before anything is changed. Then a stack is imported in an order in which each step can be run
again: its file, the stack itself, its state, its tags.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.backend.checkpoints import checkpoints_of
from slipway.releases.bundles.archive import CONTRACT
from slipway.releases.bundles.exporting import keep_backup
from slipway.releases.bundles.state import (
    Owner,
    answer,
    encryption_in,
    exported_state,
    owner_of,
    renamed,
    resources_of,
    same,
    written,
)
from slipway.releases.bundles.storage import reported, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.releases.bundles.archive import Bundle
    from slipway.releases.engine import Engine

__all__ = ["import_bundle"]

_MODE = 0o644  # of a stack's file, as the engine writes it: it belongs in the repository
_MANAGED = "pulumi:"  # tags that the engine itself sets


def import_bundle(engine: Engine, bundle: Bundle, *, force: bool = False) -> dict[str, Any]:
    """Import the stack; with `force` also where the bundle does not fit, and over a state that is there.

    Returns: what `--json` prints (slipway/cli/schemas/bundle.schema.json).

    Raises:
        SlipwayError: naming everything that does not fit, before anything is changed; or what failed on the way.
    """
    gone = _missing_folder(engine)
    present = None if gone else exported_state(engine)
    if present is None and "--config-file" in engine.options:  # that file is made anew for each run
        raise SlipwayError("stack local is not there", "only `make up` makes it; --force then replaces it", "make up")
    owner, mine = owner_of(bundle.state), Owner(engine.short, engine.project)
    state = renamed(bundle.state, owner, mine) if owner and owner != mine else bundle.state
    there = present is not None and same(present, state)
    problems = list(_against(engine, bundle, None if there else present))
    if problems and not force:
        raise SlipwayError(problems)
    backup = keep_backup(engine) if present and resources_of(present) and not there else None
    stack_file = _restore_file(engine.stack_file, bundle)
    if gone:
        with reported(str(gone), "is gone and cannot be made", "the stack was not imported"):
            gone.mkdir(parents=True, mode=0o700)
    if present is None:
        provider = _encryption(engine.stack_file).get("secretsprovider")
        whose = ["--secrets-provider", provider] if provider else []
        answer(engine, "the stack's state was not imported", "stack", "init", "--no-select", *whose)
    if not there:
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:  # mode 0700
            file = Path(folder) / "state.json"
            file.write_text(json.dumps(state))
            answer(engine, "the stack's state is as before", "stack", "import", "--file", str(file))
    return {
        "contract": CONTRACT,
        "bundle": bundle.place,
        "project": engine.project,
        "stack": engine.short,
        "changed": not there,
        "folder_made": str(gone) if gone else None,
        "stack_made": present is None,
        "stack_file": stack_file,
        "resources": len(resources_of(state)),
        "release": (bundle.release or {}).get("id"),
        "tags": _set_tags(engine, bundle.tags),
        "overridden": [problem.what for problem in problems],
        "backup": str(backup) if backup else None,
    }


def _against(engine: Engine, bundle: Bundle, present: Mapping[str, Any] | None) -> Iterator[Problem]:
    """Why it should not be imported; `present` is the state that would be replaced."""
    owner, file = bundle.owner, engine.stack_file
    if owner and owner != Owner(engine.short, engine.project):
        yield Problem(
            f"{bundle.place} is of stack {owner.stack!r} of project {owner.project!r}, "
            f"not of stack {engine.short} of project {engine.project}",
            "the next update would take what runs for the one to be the other's, and remove or rename it; --force says "
            "that it was renamed",
            of_stack(f"slipway import {shlex.quote(bundle.place)}", owner.stack),
        )
    here, theirs = _encryption(file), encryption_in(bundle.stack_file or b"", f"stack.yaml in {bundle.place}")
    if here and theirs and here != theirs:
        differ = next(key for key in sorted({*here, *theirs}) if here.get(key) != theirs.get(key))
        yield Problem(
            f"{file.name} has another {differ} than {bundle.place}",
            "its secrets and the state's may need different passphrases or keys, and one could not be read; --force "
            "says that both have the same, and the bundle holds the earlier file",
            f"tar -xzOf {shlex.quote(bundle.place)} stack.yaml",
        )
    if present is None:
        return
    held, when, then = len(resources_of(present)), written(present, "time"), written(bundle.state, "time")
    if held or (when > then and checkpoints_of(engine).updates()):  # the last update may have removed all
        yield Problem(
            f"stack {engine.short} has a state already ({held:,} resources, written {when[:19]}); the bundle's has "
            f"{len(resources_of(bundle.state)):,} resources, written {then[:19]}",
            "it would be replaced, and the engine would forget what only it knows; --force keeps a bundle of it",
            of_stack("pulumi stack", engine.stack),
        )


def _encryption(file: Path) -> dict[str, str]:
    return encryption_in(file.read_bytes(), str(file)) if file.is_file() else {}


def _missing_folder(engine: Engine) -> Path | None:
    """The backend's folder when it is one and is gone: the engine does nothing without it."""
    parts = urlsplit(engine.environment.get("PULUMI_BACKEND_URL") or "")
    folder = Path(parts.netloc + unquote(parts.path)).expanduser()
    return folder if parts.scheme == "file" and folder.is_absolute() and not folder.exists() else None


def _restore_file(file: Path, bundle: Bundle) -> str:
    """Give the stack its file where it has none; what was done."""
    if file.is_file():
        return "kept" if bundle.stack_file in (None, file.read_bytes()) else "differs"
    if bundle.stack_file is None:
        return "absent"
    write_whole(bundle.stack_file, file, mode=_MODE)
    return "restored"


def _set_tags(engine: Engine, tags: Mapping[str, str]) -> list[str]:
    """Set the tags that the stack lacks or has otherwise; their names."""
    refused = "the state was imported, the stack's tags were not"
    present = json.loads(answer(engine, refused, "stack", "tag", "ls", "--json") if tags else "null") or {}
    missing = [name for name in sorted(tags) if present.get(name) != tags[name] and not name.startswith(_MANAGED)]
    for name in missing:
        answer(engine, refused, "stack", "tag", "set", name, tags[name])
    return missing
