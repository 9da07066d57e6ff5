"""Writable mounts of a folder that the service's own image is built from, as development setups have them.

A writable folder is copied to a host once and then kept, so what later images have in its place is never seen.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.compose.builds import Build
    from slipway.compose.shipped_files import ShippedFiles
    from slipway.x_slipway.findings import Findings

__all__ = ["check_context_mounts", "filled_folders"]

_INSTRUCTION = re.compile(r"^[ \t]*(FROM|ENV|ARG|WORKDIR|COPY|ADD)[ \t]+(.*)$", re.IGNORECASE | re.MULTILINE)
_KEEPS_A_FOLDER = (".gitkeep", ".keep", ".gitignore")  # so that git has a folder for data
_ANYWHERE = "/"


def check_context_mounts(
    services: Mapping[str, Mapping[str, Any]],
    volumes: Mapping[str, Any],
    builds: Mapping[str, Build],
    files: ShippedFiles,
    found: Findings,
    *,
    production: bool,
) -> None:
    """Warn of mounts that hide what their service's image has there; in production they are refused."""
    report = found.refuse if production else found.warn
    for name, service in services.items():
        for source, target in _writable(service, volumes) if name in builds else ():
            if _hides(files.folder / source, target, builds[name], files):
                report(
                    f"services.{name}: {source}, which its image is built from, is mounted writable at {target}",
                    "the folder is copied to a host once and kept: it hides what later images have there, so the "
                    "service would run these files for ever",
                    "if the service only reads there, mount it read-only (`:ro`), so that it ships with each release; "
                    "else move the mount to compose.override.yaml, which only your own machine reads",
                )


def _writable(service: Mapping[str, Any], volumes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Source and target of the service's mounts of folders below the Compose file's, those of bound volumes as well."""
    for mount in service.get("volumes") or ():
        source = str(mount.get("source") or "")
        if mount["type"] == "volume":
            options = (volumes.get(source) or {}).get("driver_opts") or {}
            source = str(options.get("device") or "") if "bind" in str(options.get("o") or "").split(",") else ""
        elif mount["type"] != "bind":
            continue
        if source and not source.startswith(("/", "~")) and not mount.get("read_only"):
            yield source.replace("$$", "$"), posixpath.normpath(str(mount.get("target")).replace("$$", "$"))


def _hides(source: Path, target: str, build: Build, files: ShippedFiles) -> bool:
    folder, context = Path(os.path.normpath(source)), Path(build.context)
    whole = context.is_relative_to(folder)
    if not (context.is_dir() and folder.is_dir() and (whole or folder.is_relative_to(context))):
        return False
    if all(file.name in _KEEPS_A_FOLDER for file in files.seeds(folder)):
        return False  # a place for data
    return any(
        whole if place == _ANYWHERE else _below(place, target) or _below(target, place) for place in _places(build)
    )


def _below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _places(build: Build) -> set[str]:
    """The folders that the build fills; `/` where its Dockerfile does not say, since its base may."""
    return filled_folders(build.recipe, build.target or "", build.args) or {_ANYWHERE}


def filled_folders(dockerfile: str, target: str, args: Mapping[str, str]) -> set[str]:
    """Working directories and destinations of COPY and ADD in a Dockerfile's stage `target`, by default the last."""
    stages: dict[str, tuple[set[str], str]] = {}
    values, stage, places, folder = dict(args), "", set[str](), _ANYWHERE
    for keyword, rest in _INSTRUCTION.findall(re.sub(r"\\[ \t]*\r?\n", " ", dockerfile)):
        words = _words(string.Template(rest.strip()).safe_substitute(values))
        match keyword.upper():
            case "FROM":
                own, folder = stages.get(words[0].lower() if words else "", (set(), _ANYWHERE))
                places, stage = set(own), words[-1].lower() if len(words) > 2 else f"#{len(stages)}"  # noqa: PLR2004  # IMAGE AS NAME
            case "ENV" | "ARG":
                pairs = words if "=" in rest else ["=".join(words)]
                given = args if keyword.upper() == "ARG" else {}
                values |= {key: given.get(key, value) for key, _, value in (each.partition("=") for each in pairs)}
                continue
            case "WORKDIR":
                folder = _joined(folder, words)
                places.add(folder)
            case _:
                places.add(_joined(folder, words))
        stages[stage] = (places, folder)
    return stages.get(target.lower(), (places, folder))[0]


def _words(rest: str) -> list[str]:
    """An instruction's words without its flags; also of the form that is a JSON list."""
    plain = re.sub(r"^(--\S+[ \t]+)+", "", rest)
    try:
        return [str(each) for each in json.loads(plain)] if plain.startswith("[") else plain.replace('"', "").split()
    except ValueError:
        return plain.split()


def _joined(folder: str, words: list[str]) -> str:
    path = posixpath.normpath(posixpath.join(folder, words[-1] if words else "."))
    return _ANYWHERE if "$" in path else path
