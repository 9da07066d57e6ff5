"""One look at an address as a visitor's browser would have it: name, connection, certificate, answer.

What answers may be anybody: every look ends in time, reads no more than it needs, and follows a redirect only within
the stack's own addresses.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from slipway.contract.http_answers import BODY_LIMIT, wrong_body, wrong_status
from slipway.releases.health.addresses import ANSWERS, REDIRECTS, SERVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any
    from urllib.parse import SplitResult

    from slipway.releases.health.addresses import Target

__all__ = ["LOOK_SECONDS", "Look", "Looker", "browser_tls"]

LOOK_SECONDS = 10.0
_MOST_ADDRESSES = 8  # of one name
_HOPS = 10
_MOVED = (301, 302, 303, 307, 308)
_BROKEN = 500
_PORTS = {"http": 80, "https": 443}
_SAFE = "!#$%&'()*+,/:;=?@[]~"  # as they stand in an address (RFC 3986, section 2.2), and % of what is encoded already
# https://docs.openssl.org/3.0/man1/openssl-verification-options/, and its header x509_vfy.h
_CERTIFICATES = {
    9: ("tls-expired", "the certificate is not valid yet"),
    10: ("tls-expired", "the certificate has expired"),
    18: ("tls-untrusted", "the certificate vouches for itself: nobody else does"),
    62: ("tls-name", "the certificate is for another name"),
    64: ("tls-name", "the certificate is for another address"),
}
_AWAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
# The first that fits.
_FAULTS: tuple[tuple[type[Exception], str, str], ...] = (
    (ssl.SSLError, "tls", "what answers does not speak TLS as browsers do"),
    (ConnectionRefusedError, "refused", "the connection is refused"),
    (OSError, "closed", "the connection is closed without an answer"),
    (http.client.IncompleteRead, "closed", "the answer is cut short"),
    (http.client.BadStatusLine, "protocol", "what answers does not speak HTTP"),
    (Exception, "protocol", "the headers of the answer are too large, or malformed"),
)


class Look(NamedTuple):
    """What was seen; without a fault all is well."""

    fault: str = ""
    """One of health.schema.json."""
    reason: str = ""
    """The same in words, as far as others say them."""
    status: int | None = None
    seconds: float = 0.0
    expires: datetime | None = None
    """The end of the certificate that is the first to expire."""
    lifetime: timedelta = timedelta()
    """Of that certificate."""


def browser_tls() -> ssl.SSLContext:
    """Trusts whom this machine trusts (SSL_CERT_FILE: another file of authorities)."""
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # browsers take what it would refuse
    return context


class _Fault(Exception):  # noqa: N818 - a finding
    def __init__(self, fault: str, reason: str) -> None:
        super().__init__(reason)
        self.fault, self.reason = fault, reason


class _Answer(NamedTuple):
    status: int
    location: str
    body: str
    certificate: Mapping[str, Any]


class Looker:
    """Looks at the addresses of one stack."""

    def __init__(self, own: Iterable[str], tls: ssl.SSLContext, *, local: bool, login: str = "") -> None:
        """`own` are the stack's addresses, `local`: whether this machine is one of its hosts; `login` USER:PASSWORD."""
        parts = [urlsplit(url) for url in own]
        self._own = {(each.hostname, port) for each in parts for port in (each.port, *_PORTS.values())}
        self._local, self._login, self._tls = local, login, tls

    def look(self, target: Target) -> Look:
        """Look at every address of the target's name; the first that is no good decides."""
        begin, seen, away = time.monotonic(), [], Look()
        try:
            addresses = self._addresses(urlsplit(target.url).hostname or "")
        except _Fault as fault:
            return Look(fault.fault, fault.reason)
        for address in addresses:
            found = self._at(target, address)
            if found.fault and len(addresses) > 1:
                found = found._replace(reason=f"{address}: {found.reason}")
            if found.fault == "unreachable" and ":" in address:
                away = found  # where this machine has no IPv6, visitors may
            elif found.fault:
                return found
            else:
                seen.append(found)
        soonest = min(seen, key=lambda each: each.expires or datetime.max.replace(tzinfo=UTC), default=away)
        return soonest._replace(seconds=time.monotonic() - begin)

    def _at(self, target: Target, address: str) -> Look:
        until, look, urls = time.monotonic() + LOOK_SECONDS, Look(), [target.url]
        try:
            while True:
                parts = urlsplit(urls[-1])
                answer = self._ask(target, parts, address, until)
                look = _with_certificate(look, answer)._replace(status=answer.status)
                onward = _onward(urls[-1], answer)
                if not onward or not self._follows(target, onward, answer, urls):
                    break
                if onward.hostname != parts.hostname:
                    address = self._addresses(onward.hostname or "")[0]
                urls.append(onward.geturl())
            wrong = next(filter(None, (_wrong(check, answer, onward) for check in target.checks)), None)
        except _Fault as fault:
            wrong = fault.fault, fault.reason
        if not wrong:
            return look
        after = f" (after a redirect to {urls[-1]})" if len(urls) > 1 and wrong[0] != "redirect-loop" else ""
        return look._replace(fault=wrong[0], reason=wrong[1] + after)

    def _follows(self, target: Target, onward: SplitResult, answer: _Answer, urls: Sequence[str]) -> bool:
        """Whether a redirect is followed: within the stack, unless it is itself what is wanted."""
        if any(_is_meant(check, answer.status) for check in target.checks):
            return False
        if (onward.hostname, onward.port or _PORTS[onward.scheme]) not in self._own:
            return False
        if onward.geturl() in urls or len(urls) > _HOPS:
            raise _Fault("redirect-loop", f"it is redirected in a circle, to {onward.geturl()}")
        return True

    def _ask(self, target: Target, parts: SplitResult, address: str, until: float) -> _Answer:
        read = any(check.get("contains") or check.get("json") for check in target.checks)
        headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "slipway", "Connection": "close"}
        headers["Accept-Encoding"] = "identity"
        asked = urlsplit(target.url)
        if target.login and parts.hostname == asked.hostname and parts.scheme in ("https", asked.scheme):
            headers["Authorization"] = f"Basic {b64encode(self._login.encode()).decode()}"
        try:
            return self._answer(parts, address, headers, until, limit=BODY_LIMIT if read else 0)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _fault(error, late=time.monotonic() >= until) from None

    def _answer(
        self, parts: SplitResult, address: str, headers: Mapping[str, str], until: float, *, limit: int
    ) -> _Answer:
        left, port, certificate = max(until - time.monotonic(), 0.001), parts.port or _PORTS[parts.scheme], None
        connected = socket.create_connection((address, port), left)
        with _ended(connected, left), contextlib.ExitStack() as closing:
            link = closing.enter_context(connected)
            if parts.scheme == "https":
                link = closing.enter_context(self._tls.wrap_socket(connected, server_hostname=parts.hostname))
                certificate = link.getpeercert()
            connection = http.client.HTTPConnection(address, port)
            connection.sock = link
            path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
            connection.request("GET", path, headers=dict(headers))
            response = closing.enter_context(contextlib.closing(connection.getresponse()))
            body = response.read(limit).decode("utf-8", "replace") if limit else ""
            if time.monotonic() >= until:
                raise TimeoutError
            return _Answer(response.status, response.getheader("Location") or "", body, certificate or {})

    def _addresses(self, name: str) -> list[str]:
        found = _resolved(name)
        for each in found:
            known = ipaddress.ip_address(each.partition("%")[0])
            known = getattr(known, "ipv4_mapped", None) or known
            if known.is_link_local or known.is_unspecified or (known.is_loopback and not self._local):
                raise _Fault("dns", f"{name} resolves to {each}, where no visitor finds it")
        return found


def _resolved(name: str) -> list[str]:
    """The addresses of a name; in a thread of its own, since nothing ends a resolver."""
    found: list[list[str] | Exception] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found.append(list(dict.fromkeys(str(each[4][0]) for each in answers))[:_MOST_ADDRESSES])
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(LOOK_SECONDS)
    match found:
        case [list() as addresses]:
            return addresses
        case [socket.gaierror(errno=socket.EAI_AGAIN)] | []:
            raise _Fault("dns", f"no name server answers for {name}")
        case _:
            raise _Fault("dns", f"{name} does not resolve")


@contextlib.contextmanager
def _ended(connected: socket.socket, seconds: float) -> Iterator[None]:
    """End a connection when its time is over: the socket's own limit begins anew with every byte that arrives."""
    twin = connected.dup()  # the other one goes over to TLS

    def end() -> None:
        with contextlib.suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        end()
        twin.close()


def _fault(error: Exception, *, late: bool) -> _Fault:
    if late or isinstance(error, TimeoutError):
        return _Fault("timeout", f"no answer within {LOOK_SECONDS:.0f} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        fallback = ("tls-untrusted", f"the certificate is not trusted ({error.verify_message})")
        return _Fault(*_CERTIFICATES.get(error.verify_code, fallback))
    if isinstance(error, OSError) and error.errno in _AWAY:
        return _Fault("unreachable", error.strerror or "")
    return next((_Fault(fault, reason) for kind, fault, reason in _FAULTS if isinstance(error, kind)))


def _with_certificate(look: Look, answer: _Answer) -> Look:
    if not answer.certificate:
        return look
    begins, ends = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(str(answer.certificate[key])), UTC)
        for key in ("notBefore", "notAfter")
    )
    if look.expires and look.expires <= ends:
        return look
    return look._replace(expires=ends, lifetime=ends - begins)


def _onward(url: str, answer: _Answer) -> SplitResult | None:
    """Where a redirect leads; None without one, or where it leads to no page."""
    if answer.status not in _MOVED or not answer.location:
        return None
    try:
        there = urlsplit(urljoin(url, answer.location))._replace(fragment="")
        known = there.scheme in _PORTS and there.hostname and there.port != 0
    except ValueError:
        return None
    return there if known else None


def _is_meant(check: Mapping[str, Any], status: int) -> bool:
    meant = check["kind"] == "http" and not wrong_status(check, status)
    return meant or check["kind"] in (REDIRECTS, ANSWERS["kind"])


def _wrong(check: Mapping[str, Any], answer: _Answer, onward: SplitResult | None) -> tuple[str, str] | None:
    """Fault and reason where an answer does not satisfy a check."""
    said, where = "", f", redirected to {onward.geturl()}" if onward else ""
    if check["kind"] == "http":
        said = wrong_status(check, answer.status)
        if body := wrong_body(check, answer.body) if not said else "":
            return "body", body
    elif check["kind"] == REDIRECTS and (not onward or onward.hostname != check["to"]):
        said = f"status is {answer.status}, not a redirect to {check['to']}"
    elif check["kind"] == SERVES["kind"] and answer.status >= _BROKEN:
        said = f"status is {answer.status}"
    return ("status", said + where) if said else None
