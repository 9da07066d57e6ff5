"""What the edge keeps beside the routes, all of it secret: certificates with their keys, and who may log in."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from slipway.agent.edge.edge_dir import EdgeFolder
from slipway.agent.edge.rendering import marker, text
from slipway.agent.edge.routing import claims
from slipway.agent.edge.static_config import DEFAULT_CERTIFICATE, FOLDER
from slipway.agent.state.lock import lock
from slipway.contract import CONTRACT
from slipway.contract.problems import SlipwayError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from slipway.agent.edge.routing import Routing, ServiceRouting
    from slipway.agent.output import Output
    from slipway.contract.deployment import Certificate, ServiceEntry

__all__ = [
    "accept_certificate", "certificates_marker", "check_certificates", "drop_other_certificates", "end_of",
    "names_of", "users_of", "write_certificates", "write_users",
]  # fmt: skip

_ALTERNATIVE_NAMES, _DNS = bytes.fromhex("0603551d11"), 0x82  # of a certificate's DER: RFC 5280, 4.2.1.6
_VERSION = 0xA0  # its tag: RFC 5280, 4.1
_KINDS = (("cert", "pem"), ("key", "key"))
_FILE = re.compile(r"/certificates/[^/]+/(\w+)\.pem")
_LOCK_WAIT = 120.0  # another stack may be replacing the edge


def accept_certificate(content: bytes, out: Output) -> dict[str, Any]:
    """Keep the certificate and key (PEM) of this JSON for visitors who ask for no name that the edge knows.

    One that is there already stays: whoever came second meant the same. Without any, Traefik makes an RSA key at every
    change of a route, before the change is live (tls.Manager.UpdateConfigs).

    Raises:
        UsageError: this is no such JSON.
    """
    try:
        given = json.loads(content)
        certificate, key = str(given["certificate"]), str(given["key"])
    except (ValueError, KeyError, TypeError):
        raise UsageError("standard input is not a certificate with its key", "nothing was kept", "pulumi up") from None
    folder = EdgeFolder()
    with lock(folder.lock, owner=out.host, reason="a certificate", wait=_LOCK_WAIT, of="the edge of this host"):
        changed = not folder.has_certificate()
        if changed:
            folder.put(f"{DEFAULT_CERTIFICATE}.pem", certificate)
            folder.put(f"{DEFAULT_CERTIFICATE}.key", key)
    return {"contract": CONTRACT, "changed": changed}


def write_users(folder: EdgeFolder, stack: str, routing: Routing) -> dict[str, str]:
    """Put the htpasswd contents where Traefik reads them; service → file. What is in use is not overwritten."""
    found = users_of(stack, routing)
    for service in routing.services:
        if service.service in found:
            folder.put(found[service.service][len(FOLDER) + 1 :], service.middlewares.basic_auth or "")
    return found


def users_of(stack: str, routing: Routing) -> dict[str, str]:
    """Service → file with its htpasswd content, as Traefik's container sees it."""
    ways = ((service.service, service.middlewares.basic_auth) for service in routing.services)
    return {
        name: f"{FOLDER}/credentials/{stack}/{name}-{_digest(content)}" for name, content in ways if content is not None
    }


def certificates_marker(certificates: Sequence[Certificate], stack: str) -> str | None:
    """Named after the content, so that the same certificates again change nothing; None without any."""
    return marker(stack, "tls-" + _digest("".join(map(_name, certificates)))) if certificates else None


def check_certificates(
    folder: EdgeFolder,
    certificates: Sequence[Certificate],
    stack: str,
    *,
    services: Iterable[ServiceEntry | ServiceRouting] = (),
    neighbours: Sequence[str] = (),
) -> None:
    """Refuse a certificate for a host of another stack, whose visitors would be shown it: Traefik has one set for all.

    Of the stack's own `certificates`, and of those of others for hosts that its `services` are new to, unless they are
    `neighbours`. What is there already stays, both may have the same one, a stack's next one may name what its former
    one does, and a wildcard names nobody's host.
    """
    own = folder.content(folder.certificates_of(stack)) or b""
    others = [each for each in folder.stacks() if each != stack]
    former = {name for each in _written(folder, stack, own) for name in names_of(each)} if others else set()
    wanted = {_name(each) for each in certificates}
    fresh = {host for host, _ in claims(services)} - _hosts(folder, stack)
    requests = folder.requests()
    for other in others:
        hosts, theirs = _hosts(folder, other), folder.content(folder.certificates_of(other)) or b""
        for each in () if other in requests and stack in requests[other].neighbours else certificates:
            if _name(each).encode() not in own + theirs:
                _check_names(each.certificate, hosts - former, stack, other)
        for certificate in () if other in neighbours else _written(folder, other, theirs, wanted):
            _check_names(certificate, fresh, other, stack)


def _written(folder: EdgeFolder, stack: str, listed: bytes, but: Collection[str] = ()) -> Iterator[str]:
    """The certificates that a stack's file lists."""
    for name in set(_FILE.findall(listed.decode())).difference(but):
        if content := folder.content(os.path.join(folder.path, "certificates", stack, f"{name}.pem")):
            yield content.decode()


def _hosts(folder: EdgeFolder, stack: str) -> set[str]:
    """The host names that a stack wants requests of."""
    written = folder.written(folder.routes_of(stack))
    return {host for host, _ in claims(written.routing.services if written and written.routing else ())}


def _check_names(certificate: str, hosts: Collection[str], one: str, other: str) -> None:
    """Refuse a certificate of `one` that names one of the `hosts` of `other`."""
    if taken := sorted(set(names_of(certificate)).intersection(hosts)):
        raise SlipwayError(
            f"the certificate of {one} names {taken[0]}, a host name of stack {other}",
            f"visitors of {other} would be shown it, so nothing was touched; use one without that name, the same in "
            "both stacks, or",
            f"set `neighbours: [{one}]` in the stack file of {other} and deploy that first",
        )


def names_of(certificate: str) -> Iterator[str]:
    """The host names that a certificate (PEM, the first of a chain) is for, from its subjectAltName."""
    _, _, rest = base64.b64decode(certificate.split("-----")[2]).partition(_ALTERNATIVE_NAMES)
    critical = rest[:1] == b"\x01"
    names = _inside(_inside(rest[3 * critical :])[0])[0] if rest else b""
    while names:
        tag = names[0]
        content, names = _inside(names)
        if tag == _DNS:
            yield content.decode("ascii", "replace").lower()


def end_of(certificate: str) -> str:
    """Until when a certificate (PEM, the first of a chain) holds, as `YYYYMMDDHHMMSSZ`: RFC 5280, 4.1.2.5."""
    rest = _inside(_inside(base64.b64decode(certificate.split("-----")[2]))[0])[0]
    for _ in range(3 + (rest[0] == _VERSION)):  # serial number, algorithm, issuer
        _, rest = _inside(rest)
    end = _inside(_inside(_inside(rest)[0])[1])[0].decode()
    return end if len(end) == len("YYYYMMDDHHMMSSZ") else ("20" if end < "5" else "19") + end


def _inside(der: bytes) -> tuple[bytes, bytes]:
    """The content of the first value, and what follows it."""
    size = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + size], "big") if size else der[1]
    return der[2 + size : 2 + size + length], der[2 + size + length :]


def write_certificates(folder: EdgeFolder, certificates: Sequence[Certificate], stack: str) -> None:
    """Put the stack's own certificates where Traefik reads them."""
    for each in certificates:
        name = f"certificates/{stack}/{_name(each)}"
        folder.put(f"{name}.pem", each.certificate)
        folder.put(f"{name}.key", each.key)
    lists = _lists(folder, stack, certificates)

    def fewer(path: str) -> int:  # first whoever shows more, last whoever shows less: a name always has a certificate
        return (folder.content(path) or b"").count(b"certFile") - (lists[path] or b"").count(b"certFile")

    own = folder.certificates_of(stack)
    for path in sorted(lists, key=lambda path: 0 if path == own else fewer(path)):
        if folder.content(path) != lists[path]:
            folder.publish(path, lists[path])


def _lists(folder: EdgeFolder, stack: str, certificates: Sequence[Certificate]) -> dict[str, bytes | None]:
    """What the certificate file of each stack should say, where `stack` has these: path → content.

    Of two with the same names Traefik shows either, so that one is left out, as a comment, where another stack has one
    for all of its names that ends later.
    """
    files = {each: folder.certificates_of(each) for each in folder.stacks()}
    held = {each: _FILE.findall((folder.content(path) or b"").decode()) for each, path in files.items()}
    held[stack] = [_name(each) for each in certificates]
    markers = {each: folder.marker(path) for each, path in files.items()}
    markers[stack] = certificates_marker(certificates, stack)
    known = {
        (each, name): (set(names_of(content.decode())), end_of(content.decode()))
        for each, names in (held if len(held) > 1 else {}).items()
        for name in names
        if (content := folder.content(os.path.join(folder.path, "certificates", each, f"{name}.pem")))
    }
    found: dict[str, bytes | None] = {}
    for each, names in held.items():
        shown, comment = [], ""
        for name in names:
            files_of = {f"{kind}File": f"{FOLDER}/certificates/{each}/{name}.{end}" for kind, end in _KINDS}
            own, until = known.get((each, name), (set(), ""))
            later = (theirs for (other, _), (theirs, end) in known.items() if other != each and until < end)
            if own and any(map(own.issubset, later)):
                comment += f"# left out: {' '.join(files_of.values())}\n"
            else:
                shown.append(files_of)
        marked, tls = markers[each], {"tls": {"certificates": shown}} if shown else {}
        found[folder.certificates_of(each)] = text(tls, marked, None) + comment.encode() if marked and names else None
    return found


def drop_other_certificates(folder: EdgeFolder, stack: str) -> None:
    """Remove the stack's certificates that are not named any more."""
    content = folder.content(folder.certificates_of(stack)) or b""
    with contextlib.suppress(FileNotFoundError):
        names = os.listdir(os.path.join(folder.path, "certificates", stack))
        folder.keep_only(f"certificates/{stack}", [name for name in names if name.encode() in content])


def _name(certificate: Certificate) -> str:
    return _digest("\0".join(certificate))


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:12]
