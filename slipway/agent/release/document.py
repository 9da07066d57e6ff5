"""Reads the Deployment document: the driver holds it against its schema, the agent checks what could harm this host."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from slipway.agent.release.rendering import referenced_paths
from slipway.agent.strategies.graph import levels
from slipway.contract import CONTRACT
from slipway.contract.canonical import release_id
from slipway.contract.compose_tree import placeholders
from slipway.contract.deployment import Deployment
from slipway.contract.host_paths import is_stack
from slipway.contract.problems import DocumentError

__all__ = ["parse"]


def parse(raw: bytes) -> Deployment:
    """The document, of this agent's contract and with nothing in it that leads out of the stack's folder.

    Raises:
        DocumentError: it cannot be deployed. It names places, never values.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise _bad("standard input is not JSON") from None
    if not isinstance(document, dict):
        raise _bad("it is not an object")
    if document.get("contract") != CONTRACT:
        raise _bad(f"this agent does not know its contract, only version {CONTRACT}")
    try:
        _check(document)
        return Deployment.from_json(document)
    except (KeyError, TypeError, AttributeError):
        raise _bad("a part of it is missing or has another form than the contract's") from None


def _check(document: dict[str, Any]) -> None:
    release = document["release"]
    if not is_stack(document["stack"]):
        raise _bad("stack is not the name of one")
    if release_id(release) != release["id"]:
        raise _bad(f"release {release['id']} does not have the id of its content")
    composed = release["compose"]["services"]
    if without := set(composed) - set(release["images"]):
        raise _bad(f"release.images lacks {', '.join(sorted(without))}")
    levels({name: set(service.get("depends_on") or ()) for name, service in composed.items()})
    _check_files(release)
    unknown = placeholders(release["compose"]) - set(document["secrets"])
    if unknown:
        raise _bad(f"release.compose needs {', '.join(sorted(unknown))}, which is not among the secrets")


def _check_files(release: dict[str, Any]) -> None:
    try:
        files, _ = referenced_paths(release["compose"])
    except ValueError as error:
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


def _bad(what: str) -> DocumentError:
    return DocumentError(
        f"the deployment document cannot be used: {what}",
        "nothing was touched",
        "run the deployment again, so that the driver ships its own agent; when it persists, this is a bug in Slipway",
    )
