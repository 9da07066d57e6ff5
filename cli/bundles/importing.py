"""Bringing a stack back from a bundle: into a backend that lost it, or one that never had it.

Owns: whether the bundle fits, what has to be asked for with --force, and the order in which a stack comes back: its
file, the stack itself, its state, its tags. Each step can be run again. Does not own: the bundle (see `archive`), what
runs on the hosts: `pulumi preview` compares it with the state that was brought back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cli.backend.updates import updates_of
from cli.bundles.archive import CONTRACT
from cli.bundles.asking import bring_back, exported_state, make_stack, set_tag, tags_of
from cli.bundles.backups import backup_point
from cli.bundles.places import saved
from cli.bundles.stack_file import (
    KEYS,
    completed,
    encryption_in,
    encryption_of_state,
    file_of,
    made_for_this_machine,
    same_settings,
)
from cli.bundles.state import Owner, held_by, owner_of, release_id_in, renamed, resources_of, same, time_of
from cli.stack import engine_of, program_folder
from cli.wording import plain
from slipway.contract.problems import Problem, SlipwayError
from toolchain import local

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.bundles.archive import Bundle
    from cli.bundles.stack_file import Encryption
    from cli.stack import Engine

__all__ = ["Imported", "bring", "engine_for"]

_STACK_FILE_MODE = 0o644  # as the engine writes it: it belongs into the repository
_MANAGED = "pulumi:"  # tags that the engine itself sets


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A stack that was brought back; the form that `--json` prints (cli/contract/bundle.schema.json)."""

    bundle: str
    project: str
    stack: str
    changed: bool
    """False when the stack had this state already."""
    folder_made: str | None
    """The backend's folder, when it was gone."""
    stack_made: bool
    stack_file: str
    """kept, differs, restored, completed or absent (see the schema)."""
    resources: int
    release: str | None
    tags: list[str]
    overridden: list[str]
    backup: str | None

    @property
    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {"contract": CONTRACT, **asdict(self)}


def engine_for(bundle: Bundle, stack: str) -> Engine:
    """The engine for the stack called `stack`, or for the bundle's own when empty.

    Raises:
        SlipwayError: when there is no program, or nothing says which stack is meant.
    """
    owner = _owner(bundle)
    name = stack or (owner.stack if owner else "")
    if not name:
        raise SlipwayError(
            Problem(
                f"{bundle.place} does not say which stack it is of: it holds no resources",
                "nothing was brought back",
                f"slipway import {bundle.place} --stack NAME",
            )
        )
    folder = local.ROOT / ".slipway"
    if name == "local" and program_folder(Path.cwd()) == local.ROOT and (folder / "passphrase").is_file():
        (folder / "state").mkdir(exist_ok=True)  # by it the stack of `make up` is known
    return engine_of(name)


def bring(engine: Engine, bundle: Bundle, *, force: bool = False) -> Imported:
    """Bring the stack back; with `force` also where the bundle does not fit, and over a state that is there.

    Raises:
        SlipwayError: naming everything that does not fit, before anything is changed; or what failed on the way.
    """
    gone = _folder_gone(engine)
    text = None if gone else exported_state(engine)
    present: dict[str, Any] = json.loads(text) if text else {}
    state = _fitted(engine, bundle)
    there = bool(text) and same(present, state)
    problems = [*_misfit(engine, bundle), *_encrypted_otherwise(engine, bundle)]
    if text and not there:
        problems += _replaced(engine, present, bundle)
    if problems and not force:
        raise SlipwayError(problems)
    backup = str(backup_point(engine)) if resources_of(present) and not there else None
    stack_file = _ready_file(engine, bundle)
    if gone:
        _make_folder(gone)
    if not text:
        _make(engine)
    if not there:
        bring_back(engine, state)
        _look(engine, state)
    return Imported(
        bundle=bundle.place,
        project=engine.project,
        stack=engine.short,
        changed=not there,
        folder_made=str(gone) if gone else None,
        stack_made=not text,
        stack_file=stack_file,
        resources=len(resources_of(state)),
        release=release_id_in(state),
        tags=_set_tags(engine, bundle.tags),
        overridden=[problem.what for problem in problems],
        backup=backup,
    )


def _owner(bundle: Bundle) -> Owner | None:
    """Whose stack the bundle is."""
    if bundle.manifest is not None:
        return Owner(bundle.manifest["stack"], bundle.manifest["project"])
    return owner_of(bundle.state)


def _fitted(engine: Engine, bundle: Bundle) -> Mapping[str, Any]:
    """The bundle's state, with its resources given to this stack where they are another's."""
    owner, mine = owner_of(bundle.state), Owner(engine.short, engine.project)
    return renamed(bundle.state, owner, mine) if owner and owner != mine else bundle.state


def _misfit(engine: Engine, bundle: Bundle) -> Iterator[Problem]:
    owner = _owner(bundle)
    if owner and owner != Owner(engine.short, engine.project):
        yield Problem(
            f"{bundle.place} is of stack {plain(owner.stack)} of project {plain(owner.project)}, "
            f"not of stack {engine.short} of project {engine.project}",
            "the next pulumi up would take what runs for the one to be the other's, and remove or rename it",
            f"slipway import {bundle.place} --stack {plain(owner.stack)}; or, if it was renamed: add --force",
        )


def _encrypted_otherwise(engine: Engine, bundle: Bundle) -> Iterator[Problem]:
    """Whether the stack's file and the bundle's state may need different passphrases or keys."""
    file = file_of(engine)
    if made_for_this_machine(engine) or not file.is_file():
        return
    here, theirs = encryption_in(file.read_bytes(), str(file)), _encryption(bundle)
    if any(here) and any(theirs) and here != theirs:
        differ = next(key for key, one, other in zip(KEYS, here, theirs, strict=True) if one != other)
        yield Problem(
            f"{file.name} has another {differ} than {bundle.place}",
            "its secrets and the state's may need different passphrases or keys, and one could not be read",
            f"bring back the file of then (git log -- {file.name}; tar -xzOf BUNDLE stack.yaml prints the bundle's); "
            "or, if both are encrypted with the same passphrase or key: add --force",
        )


def _replaced(engine: Engine, present: Mapping[str, Any], bundle: Bundle) -> Iterator[Problem]:
    """Whether a state would be lost: one with resources, or one from which the last update removed them."""
    held, when, theirs = len(resources_of(present)), time_of(present), time_of(bundle.state)
    if not held and not (when > theirs and updates_of(engine)):
        return
    age = "newer than" if when > theirs else "older than" if when < theirs else "as old as"
    yield Problem(
        f"stack {engine.short} has a state already ({held:,} resources, written {when[:19]}), {age} the bundle's "
        f"({len(resources_of(bundle.state)):,} resources, written {theirs[:19]})",
        "it would be replaced, and the engine would forget what only it knows",
        f"pulumi stack --stack {engine.short} shows it; to replace it: add --force, which keeps a bundle of it first",
    )


def _encryption(bundle: Bundle) -> Encryption:
    if bundle.stack_file is not None:
        return encryption_in(bundle.stack_file, f"stack.yaml in {bundle.place}")
    return encryption_of_state(bundle.state)


def _folder_gone(engine: Engine) -> Path | None:
    """The backend's folder when it is one and is gone: the engine does nothing without it."""
    parts = urlsplit(engine.environment.get("PULUMI_BACKEND_URL") or "")
    folder = Path(parts.netloc + unquote(parts.path)).expanduser()
    return folder if parts.scheme == "file" and folder.is_absolute() and not folder.exists() else None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise SlipwayError(
            Problem(
                f"the backend's folder {folder} is gone and cannot be made ({error.strerror})",
                "the stack was not brought back",
                "make it, or export PULUMI_BACKEND_URL=… with the place where the state is to live",
            )
        ) from None


def _ready_file(engine: Engine, bundle: Bundle) -> str:
    """Give the stack its file, or the file its encryption, where it lacks them; what was done."""
    file, encryption = file_of(engine), _encryption(bundle)
    if made_for_this_machine(engine):
        return "kept"
    if not file.is_file():
        if bundle.stack_file is None:
            return "absent"
        saved(bundle.stack_file, file, mode=_STACK_FILE_MODE)
        return "restored"
    here = file.read_bytes()
    if any(encryption_in(here, str(file))) or not any(encryption):
        return "kept" if bundle.stack_file is None or same_settings(here, bundle.stack_file) else "differs"
    saved(completed(here, encryption), file, mode=_STACK_FILE_MODE)
    return "completed"


def _make(engine: Engine) -> None:
    if made_for_this_machine(engine):
        local.initialise(dict(engine.environment))
        return
    file = file_of(engine)
    make_stack(engine, encryption_in(file.read_bytes(), str(file)).provider if file.is_file() else "")


def _look(engine: Engine, state: Mapping[str, Any]) -> None:
    """Ask the backend what it has now: a state that lost something on the way must not look like success."""
    held = json.loads(exported_state(engine) or "{}")
    if held_by(held) != held_by(state):
        raise SlipwayError(
            Problem(
                f"the backend holds {len(resources_of(held)):,} resources of stack {engine.short} after the import, "
                f"the bundle {len(resources_of(state)):,}",
                "what is missing would be made anew by the next pulumi up",
                "run it again; or compare: pulumi stack export",
            )
        )


def _set_tags(engine: Engine, tags: Mapping[str, str]) -> list[str]:
    """Set the tags that the stack lacks or has otherwise; their names."""
    if not tags:
        return []
    present = tags_of(engine)
    missing = {name: value for name, value in sorted(tags.items()) if present.get(name) != value}
    wanted = {name: value for name, value in missing.items() if not name.startswith(_MANAGED)}
    for name, value in wanted.items():
        set_tag(engine, name, value)
    return [plain(name) for name in wanted]
