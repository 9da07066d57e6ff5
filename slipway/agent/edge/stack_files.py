"""The files beside a stack's routes: certificates of its own, and who may log in."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

from slipway.agent.edge.rendering import marker, text, tls, users_file
from slipway.agent.edge.static_config import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.edge.edge_dir import EdgeFolder
    from slipway.agent.edge.routing import Routing
    from slipway.contract.deployment import Certificate

__all__ = ["certificates_marker", "drop_other_certificates", "write_certificates", "write_users"]


def write_users(folder: EdgeFolder, stack: str, routing: Routing) -> dict[str, str]:
    """Put the htpasswd contents where Traefik reads them; service → file. What is in use is not overwritten."""
    found = {}
    for service in routing.services:
        content = service.middlewares.basic_auth
        if content is not None:
            digest = hashlib.sha256(content.encode()).hexdigest()[:12]
            path = users_file(stack, service.service, digest)
            folder.put(path, content)
            found[service.service] = f"{FOLDER}/{path}"
    return found


def certificates_marker(certificates: Sequence[Certificate], stack: str) -> str | None:
    """Named after the content, so that the same certificates again change nothing; None without any."""
    if not certificates:
        return None
    return marker(stack, "tls-" + hashlib.sha256("".join(map(_digest, certificates)).encode()).hexdigest()[:12])


def write_certificates(folder: EdgeFolder, certificates: Sequence[Certificate], stack: str) -> None:
    """Put the stack's own certificates where Traefik reads them."""
    files = []
    for each in certificates:
        name = f"certificates/{stack}/{_digest(each)}"
        folder.put(f"{name}.pem", each.certificate)
        folder.put(f"{name}.key", each.key)
        files.append((f"{FOLDER}/{name}.pem", f"{FOLDER}/{name}.key"))
    path, wanted = folder.certificates_of(stack), certificates_marker(certificates, stack)
    written = folder.written(path)
    if (written.marker if written else None) != wanted:
        folder.publish(path, text(tls(files), wanted, None) if wanted else None)


def drop_other_certificates(folder: EdgeFolder, stack: str) -> None:
    """Remove the stack's certificates that are not named any more."""
    content = folder.content(folder.certificates_of(stack)) or b""
    with contextlib.suppress(FileNotFoundError):
        names = os.listdir(os.path.join(folder.path, "certificates", stack))
        folder.keep_only(f"certificates/{stack}", [name for name in names if name.encode() in content])


def _digest(certificate: Certificate) -> str:
    return hashlib.sha256("\0".join(certificate).encode()).hexdigest()[:12]
