"""The Deployment document beyond its schema: that its parts belong together.

Owns every check that needs no host. Raises `DocumentError`; messages name places, never values.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from agent import contract, strategies
from agent.errors import DocumentError
from agent.graph import levels
from agent.rendering import PathError, placeholders, referenced_paths

__all__ = ["canonical", "parse", "release_id"]


def canonical(value: Any) -> bytes:  # noqa: ANN401 - JSON
    """JSON with sorted keys and no spaces, UTF-8: what identities are computed from."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def release_id(release: dict[str, Any]) -> str:
    """The id that a release's content gives it."""
    content = {key: value for key, value in release.items() if key != "id"}
    return "r-" + hashlib.sha256(canonical(content)).hexdigest()[:12]


def parse(raw: bytes) -> dict[str, Any]:
    """The document, checked against its schema and for parts that contradict each other.

    Raises:
        DocumentError: it cannot be deployed.
    """
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise _bad("standard input is not JSON") from error
    document = contract.require(value, "deployment")
    release = document["release"]
    if release_id(release) != release["id"]:
        raise _bad(f"release {release['id']} does not have the id of its content")
    if sorted(document["secrets"]) != sorted(release["secrets"]):
        raise _bad("secrets do not have exactly the names of release.secrets")
    _check_text(document)
    _check_services(document)
    _check_references(release)
    fleet = document["fleet"]
    if fleet is not None and not {fleet["leader"], document["host"]} <= set(fleet["hosts"]):
        raise _bad("fleet.hosts names neither this host nor the leader")
    return document


def _check_services(document: dict[str, Any]) -> None:
    release = document["release"]
    composed = release["compose"]["services"]
    for name in document["services"]:
        for where, known in (
            ("release.compose.services", composed),
            ("release.services", release["services"]),
            ("release.images", release["images"]),
        ):
            if name not in known:
                raise _bad(f"service {name} is not in {where}")
        strategies.find(release["services"][name]["strategy"], name)
    levels({name: set(_depends_on(composed[name])) & set(composed) for name in composed})


def _check_references(release: dict[str, Any]) -> None:
    try:
        files, _ = referenced_paths(release["compose"])
    except PathError as error:
        raise _bad(str(error)) from error
    for sha, _name in files:
        if sha not in release["files"]:
            raise _bad(f"file {sha[:12]}… is used by release.compose but is not in release.files")
    for sha, entry in release["files"].items():
        try:
            content = base64.b64decode(entry["content"], validate=True)
        except binascii.Error as error:
            raise _bad(f"file {sha[:12]}… is not base64") from error
        if hashlib.sha256(content).hexdigest() != sha:
            raise _bad(f"file {sha[:12]}… does not have the SHA-256 of its content")
        if entry.get("folder"):
            _check_folder(sha, content)
    unknown = placeholders(release["compose"]) - set(release["secrets"])
    if unknown:
        raise _bad(f"release.compose needs {', '.join(sorted(unknown))}, which is not in release.secrets")


def _check_folder(sha: str, listed: bytes) -> None:
    """A shipped folder is a JSON list of {path, mode, content}; no path may lead out of it."""
    try:
        for entry in json.loads(listed):
            inside = entry["path"].split("/")
            if not all(inside) or ".." in inside or "\0" in entry["path"] or int(entry["mode"]) & ~0o777:
                raise ValueError(entry["path"])  # noqa: TRY301
            base64.b64decode(entry["content"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(f"folder {sha[:12]}… is not a list of files inside it") from error


def _check_text(document: dict[str, Any]) -> None:
    try:
        canonical(document).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad("a text is not valid Unicode (a lone surrogate)") from error
    for name, value in document["secrets"].items():
        if "\0" in value:
            raise _bad(f"secret {name} holds a zero byte, which no environment can carry")


def _depends_on(service: dict[str, Any]) -> list[str]:
    depends = service.get("depends_on") or ()
    return list(depends)


def _bad(what: str) -> DocumentError:
    return DocumentError(
        f"the deployment document cannot be used: {what}",
        "nothing was touched",
        "run the deployment again; when it persists, this is a bug in Slipway",
    )
