"""One attempt to hand a message over, by HTTP or SMTP, and what came of it, in words that never hold the address."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.notify.services import EMAIL, POSTED, mail

if TYPE_CHECKING:
    from email.message import EmailMessage

    from slipway.notify.message import Message

__all__ = ["Answer", "Target", "attempt"]

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_HERE = ("localhost", "127.0.0.1", "::1")
_TEMPORARY = 400, 500  # https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1


class Target(NamedTuple):
    """Where messages go; `url` is a secret."""

    to: str
    """One of SERVICES."""
    url: str
    """http or https; of a mail server smtp (STARTTLS) or smtps, with user and password."""
    events: tuple[str, ...]
    name: str
    """What it is called where something is said about it."""
    sender: str = ""
    recipients: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Target:
        """From a document."""
        return cls(**{**content, "events": tuple(content["events"]), "recipients": tuple(content["recipients"])})


class Answer(NamedTuple):
    """What came of an attempt."""

    accepted: bool
    said: str
    again: bool = False
    """Whether it may go well a little later."""
    after: float = 0.0
    """Not before that many seconds."""


def attempt(target: Target, message: Message, seconds: float) -> Answer:
    """Try once, with so many seconds for each step."""
    try:
        if target.to == EMAIL:
            return _mailed(target, mail(message, target.sender, target.recipients), seconds)
        return _posted(target.url, POSTED[target.to](message), seconds)
    except Exception as error:  # noqa: BLE001 - a message is never worth a failure; its words can hold the address
        return _failed(error, seconds)


def _posted(url: str, content: dict[str, Any], seconds: float) -> Answer:
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):  # the address is the secret of one service: no other one gets the message
        def redirect_request(self, *_: object) -> None:
            return None

    body = json.dumps(content, ensure_ascii=False).encode()
    request = Request(url, body, {"Content-Type": "application/json; charset=utf-8", "User-Agent": "slipway"})  # noqa: S310
    try:
        with build_opener(Stay).open(request, timeout=seconds) as answer:
            return Answer(accepted=True, said=f"answered {answer.status}")
    except HTTPError as error:
        error.close()
        return Answer(False, f"answered {error.code}", error.code in _AGAIN, _seconds(error.headers["Retry-After"]))


def _seconds(retry_after: str | None) -> float:
    """Of a Retry-After, which is a number or a date (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)."""
    import time
    from email.utils import parsedate_to_datetime

    try:
        return min(86400.0, max(0.0, float(retry_after or 0)))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(str(retry_after)).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def _mailed(target: Target, letter: EmailMessage, seconds: float) -> Answer:
    import smtplib
    import ssl
    from urllib.parse import unquote, urlsplit

    place, context = urlsplit(target.url), ssl.create_default_context()
    host, tls = place.hostname or "", place.scheme == "smtps"
    own = target.sender.rpartition("@")[2]  # else it asks the DNS for this machine's name, which can take its time
    client = (
        smtplib.SMTP_SSL(host, place.port or 465, own, timeout=seconds, context=context)
        if tls
        else smtplib.SMTP(host, place.port or 587, own, timeout=seconds)
    )
    try:
        if not tls and host not in _HERE:  # without it, the password would travel in the clear
            client.starttls(context=context)
        if place.username:
            client.login(unquote(place.username), unquote(place.password or ""))
        refused = client.send_message(letter)
        with contextlib.suppress(OSError):  # the mail is theirs by now
            client.quit()
    except smtplib.SMTPNotSupportedError:
        return Answer(accepted=False, said="offers no STARTTLS, or no login")
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return Answer(False, f"refused every recipient ({min(codes)})", _TEMPORARY[0] <= min(codes) < _TEMPORARY[1])
    except smtplib.SMTPAuthenticationError as error:
        return Answer(accepted=False, said=f"refused the login ({error.smtp_code})")
    except smtplib.SMTPResponseException as error:
        code = error.smtp_code
        return Answer(False, f"answered {code}", _TEMPORARY[0] <= code < _TEMPORARY[1])
    finally:
        client.close()
    return Answer(True, f"accepted, but not for {len(refused)} of the recipients" if refused else "accepted")


def _failed(error: Exception, seconds: float) -> Answer:
    import http.client
    import smtplib
    import socket
    import ssl

    reason = getattr(error, "reason", error)
    cause = reason if isinstance(reason, Exception) else error
    if isinstance(cause, socket.gaierror):
        return Answer(False, "its name does not resolve", again=True)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Answer(accepted=False, said=f"its certificate is not valid ({cause.verify_message})")
    if isinstance(cause, ConnectionRefusedError):
        return Answer(False, "nothing listens there", again=True)
    if isinstance(cause, (socket.timeout, TimeoutError)):
        return Answer(False, f"no answer within {seconds:.0f} s", again=True)
    lost = isinstance(cause, (ConnectionError, http.client.BadStatusLine, smtplib.SMTPServerDisconnected))
    return Answer(False, "closed the connection" if lost else f"cannot be reached ({type(cause).__name__})", again=lost)
