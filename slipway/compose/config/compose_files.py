"""Which files make up an application's Compose file, and how messages name them."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.setting_files import config_rm, config_set, entry
from slipway.settings.spelling import nearest, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from slipway.settings.model import Settings

__all__ = [
    "COMPOSE_FILE_MISSING", "compose_files", "found_file", "left_out", "look_command", "names_of",
    "unknown_profiles",
]  # fmt: skip

COMPOSE_FILE_MISSING = "compose-file-missing"
"""The code of that problem; its evidence are files that may be meant."""

# The names Compose looks for, in its order (compose-go, cli.DefaultFileNames; a unit test asks Compose itself).
# The override file that it merges by itself is for the developer's own machine: read only where the stack names it.
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")


def compose_files(settings: Settings) -> tuple[tuple[Path, ...], list[str]]:
    """The files that the stack names, or the one that Compose finds; and the names of those that are left out."""
    folder, variable = settings.application, settings.variables.get("COMPOSE_FILE")
    named: list[str] = settings.compose_file
    if not named and variable:
        named = [name for name in variable.split(settings.variables.get("COMPOSE_PATH_SEPARATOR") or ":") if name]
    if missing := [name for name in named if not (folder / name).is_file()]:
        key = "composeFile" if settings.compose_file else entry("variables", "COMPOSE_FILE")
        place = f"composeFile[{named.index(missing[0])}]" if len(settings.compose_file) > 1 else key
        what = f"{key}: {folder.name}/ holds no {' and no '.join(missing)}"
        meaning = "the application is not known" if len(missing) < len(named) else "there is nothing to deploy"
        raise SlipwayError(_no_file(settings, what, meaning, place))
    if named:
        return tuple(folder / name for name in named), []
    found = found_file(folder)
    if found is None:
        what = f"application: {folder.name}/ holds no {' or '.join(_COMPOSE_FILES)}"
        raise SlipwayError(_no_file(settings, what, "there is nothing to deploy", "application"))
    return (found,), [*_overrides(found, settings)]


def found_file(folder: Path) -> Path | None:
    """The file that Compose finds in a folder by itself."""
    return next((folder / name for name in _COMPOSE_FILES if (folder / name).is_file()), None)


def _no_file(settings: Settings, what: str, meaning: str, key: str) -> Problem:
    """Names what seems to be a Compose file under another name (`docker-compose.prod.yml`)."""
    there = settings.application.glob("*compose*.y*ml") if settings.application.is_dir() else ()
    others = sorted(file.name for file in there if file.is_file())
    if others:
        meaning = f"{meaning}; there {'is' if len(others) == 1 else 'are'} {', '.join(others)}"
        key = "composeFile" if key == "application" else key
    fix = config_set(settings.stack, key, shlex.quote(others[0]) if len(others) == 1 else "")
    return Problem(what, meaning, fix, COMPOSE_FILE_MISSING, evidence=tuple(others))


def _overrides(file: Path, settings: Settings) -> Iterator[str]:
    """The files beside a Compose file that are named as what is merged over it: by Compose itself, or for the stack."""
    stages = {"override", settings.stack.lower()} | ({"prod", "production"} if settings.production else set())
    for stem in ("compose", "docker-compose"):
        for stage in sorted(stages):
            names = (f"{stem}.{stage}.{suffix}" for suffix in ("yaml", "yml"))
            yield from (name for name in names if (file.parent / name).is_file())


def left_out(name: str, beside: str, stack: str, *, missed: bool) -> Problem:
    """A file that is not merged; `missed` where the application cannot be read without it."""
    what, merged = f"{beside} lies beside {name} and is not used", f"`composeFile: [{name}, {beside}]`"
    if missed:
        first, second = (config_set(stack, f"composeFile[{index}]", each) for index, each in enumerate((name, beside)))
        return Problem(what, f"what is missing may be in it: {merged} merges both", f"{first} && {second}")
    meaning = f"{merged} in the stack file merges both; if this stack is not meant to use it, the command says so"
    return Problem(what, meaning, config_set(stack, "composeFile", name))


def names_of(files: Sequence[Path]) -> str:
    """The files in a sentence."""
    return " with ".join(file.name for file in files)


def look_command(files: Sequence[Path]) -> str:
    """The command by which Compose says the same of the files, from the folder where this runs."""
    named = " ".join(f"-f {shlex.quote(os.path.relpath(file))}" for file in files)
    return f"docker compose {named} config"


def unknown_profiles(settings: Settings, services: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """A problem for every profile of the stack that no service has."""
    known = {profile for service in services for profile in service.get("profiles") or ()}
    return [
        Problem.about(
            f"profiles[{index}]",
            f"no service has the profile '{name}'",
            suggestion(name, known, "it would change nothing"),
            config_set(settings.stack, f"profiles[{index}]", shlex.quote(close))
            if (close := nearest(name, known))
            else config_rm(settings.stack, f"profiles[{index}]"),
        )
        for index, name in enumerate(settings.profiles)
        if name not in known | {"*"}
    ]
