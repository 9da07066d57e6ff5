"""Bringing a stack back from a bundle: into a backend that lost it, or one that never had it.

Everything is checked before anything is changed. Then a stack comes back in an order in which each step can be run
again: its file, the stack itself, its state, its tags.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cli.backend.checkpoints import checkpoints_of
from cli.bundles.archive import CONTRACT
from cli.bundles.engine import answer, exported_state, file_of
from cli.bundles.exporting import keep_backup
from cli.bundles.state import (
    Owner,
    completed,
    encryption_in,
    owner_of,
    release_id_in,
    renamed,
    resources_of,
    same,
    written,
)
from cli.bundles.storage import write_whole
from cli.stack import engine_of
from components.errors import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.bundles.archive import Bundle
    from cli.stack import Engine

__all__ = ["Imported", "engine_for", "import_bundle"]

_STACK_FILE_MODE = 0o644  # as the engine writes it: it belongs into the repository
_MANAGED = "pulumi:"  # tags that the engine itself sets


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A stack that was brought back; the form that `--json` prints (cli/contract/bundle.schema.json, with meanings)."""

    contract: int = CONTRACT
    bundle: str
    project: str
    stack: str
    changed: bool
    folder_made: str | None
    stack_made: bool
    stack_file: str
    resources: int
    release: str | None
    tags: list[str]
    overridden: list[str]
    backup: str | None


def engine_for(bundle: Bundle, stack: str) -> Engine:
    """The engine for the stack called `stack`, or for the bundle's own when empty.

    Raises:
        SlipwayError: when there is no program, or nothing says which stack is meant.
    """
    owner = _owner(bundle)
    if not stack and not owner:
        raise SlipwayError(
            Problem(
                f"{bundle.place} does not say which stack it is of: it holds no resources",
                "nothing was brought back",
                f"slipway import {bundle.place} --stack NAME",
            )
        )
    return engine_of(stack or (owner.stack if owner else ""))


def import_bundle(engine: Engine, bundle: Bundle, *, force: bool = False) -> Imported:
    """Bring the stack back; with `force` also where the bundle does not fit, and over a state that is there.

    Raises:
        SlipwayError: naming everything that does not fit, before anything is changed; or what failed on the way.
    """
    gone = _missing_folder(engine)
    text = None if gone else exported_state(engine)
    present = json.loads(text) if text else None
    if present is None and "--config-file" in engine.options:  # that file is made anew for each run
        raise SlipwayError(
            Problem("stack local is not there", "only make up can make it", "make up, then import with --force")
        )
    owner, mine = owner_of(bundle.state), Owner(engine.short, engine.project)
    state = renamed(bundle.state, owner, mine) if owner and owner != mine else bundle.state
    there = present is not None and same(present, state)
    problems = list(_against(engine, bundle, None if there else present))
    if problems and not force:
        raise SlipwayError(problems)
    backup = keep_backup(engine) if present and resources_of(present) and not there else None
    stack_file = _restore_file(file_of(engine), bundle)
    if gone:
        gone.mkdir(parents=True, mode=0o700, exist_ok=True)
    if present is None:
        provider = _encryption(file_of(engine)).get("secretsprovider")
        whose = ["--secrets-provider", provider] if provider else []
        answer(
            engine, "the stack cannot be made, its state was not brought back", "stack", "init", "--no-select", *whose
        )
    if not there:
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:  # mode 0700
            file = Path(folder) / "state.json"
            file.write_text(json.dumps(state))
            answer(engine, "the stack's state is as before", "stack", "import", "--file", str(file))
    return Imported(
        bundle=bundle.place,
        project=engine.project,
        stack=engine.short,
        changed=not there,
        folder_made=str(gone) if gone else None,
        stack_made=present is None,
        stack_file=stack_file,
        resources=len(resources_of(state)),
        release=release_id_in(state),
        tags=_set_tags(engine, bundle.tags),
        overridden=[problem.what for problem in problems],
        backup=str(backup) if backup else None,
    )


def _owner(bundle: Bundle) -> Owner | None:
    """Whose stack the bundle is."""
    if bundle.manifest is not None:
        return Owner(bundle.manifest["stack"], bundle.manifest["project"])
    return owner_of(bundle.state)


def _against(engine: Engine, bundle: Bundle, present: Mapping[str, Any] | None) -> Iterator[Problem]:
    """What speaks against it; `present` is the state that would be replaced."""
    owner, file = _owner(bundle), file_of(engine)
    if owner and owner != Owner(engine.short, engine.project):
        yield Problem(
            f"{bundle.place} is of stack {owner.stack!r} of project {owner.project!r}, "
            f"not of stack {engine.short} of project {engine.project}",
            "the next pulumi up would take what runs for the one to be the other's, and remove or rename it",
            f"slipway import {bundle.place} --stack {owner.stack!r}; or, if it was renamed: add --force",
        )
    here, theirs = _encryption(file), encryption_in(bundle.stack_file or b"", f"stack.yaml in {bundle.place}")
    if here and theirs and here != theirs:
        differ = next(key for key in sorted({*here, *theirs}) if here.get(key) != theirs.get(key))
        yield Problem(
            f"{file.name} has another {differ} than {bundle.place}",
            "its secrets and the state's may need different passphrases or keys, and one could not be read",
            f"restore the file of then (git log -- {file.name}; tar -xzOf BUNDLE stack.yaml prints the bundle's); "
            "or, if both are encrypted with the same passphrase or key: add --force",
        )
    if present is None:
        return
    held, when, then = len(resources_of(present)), written(present, "time"), written(bundle.state, "time")
    if held or (when > then and checkpoints_of(engine).updates()):  # the last update may have removed all
        age = "newer than" if when > then else "older than" if when < then else "as old as"
        yield Problem(
            f"stack {engine.short} has a state already ({held:,} resources, written {when[:19]}), {age} the bundle's "
            f"({len(resources_of(bundle.state)):,} resources, written {then[:19]})",
            "it would be replaced, and the engine would forget what only it knows",
            f"pulumi stack --stack {engine.short} shows it; to replace it: add --force, which keeps a bundle of it",
        )


def _encryption(file: Path) -> dict[str, str]:
    return encryption_in(file.read_bytes(), str(file)) if file.is_file() else {}


def _missing_folder(engine: Engine) -> Path | None:
    """The backend's folder when it is one and is gone: the engine does nothing without it."""
    parts = urlsplit(engine.environment.get("PULUMI_BACKEND_URL") or "")
    folder = Path(parts.netloc + unquote(parts.path)).expanduser()
    return folder if parts.scheme == "file" and folder.is_absolute() and not folder.exists() else None


def _restore_file(file: Path, bundle: Bundle) -> str:
    """Give the stack its file, or the file its encryption, where it lacks them; what was done."""
    if bundle.stack_file is None:
        return "kept" if file.is_file() else "absent"
    if not file.is_file():
        write_whole(bundle.stack_file, file, mode=_STACK_FILE_MODE)
        return "restored"
    here, encryption = file.read_bytes(), encryption_in(bundle.stack_file, bundle.place)
    if encryption and not _encryption(file):
        write_whole(completed(here, encryption), file, mode=_STACK_FILE_MODE)
        return "completed"
    return "kept" if bundle.stack_file == here else "differs"


def _set_tags(engine: Engine, tags: Mapping[str, str]) -> list[str]:
    """Set the tags that the stack lacks or has otherwise; their names."""
    refused = "the state was brought back, the stack's tags were not"
    present = json.loads(answer(engine, refused, "stack", "tag", "ls", "--json") if tags else "null") or {}
    missing = [name for name in sorted(tags) if present.get(name) != tags[name] and not name.startswith(_MANAGED)]
    for name in missing:
        answer(engine, refused, "stack", "tag", "set", name, tags[name])
    return missing
