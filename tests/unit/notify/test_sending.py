"""A message arrives wherever that is possible in time; wherever it is not, that is said, and nothing else happens."""

import email
import email.policy
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from certified import certificate
from hook_server import Answer, hook_server
from mail_server import mail_server

from slipway.notify import sending
from slipway.notify.delivery import Target
from slipway.notify.message import EVENTS, Message
from slipway.notify.sending import send
from slipway.notify.services import SERVICES

SECRET = "hunter2-9fXyZ0123456"
MESSAGE = Message("failed", "shop-production", reason="web did not become healthy", command="slipway rollback --to r-1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PAUSE", 0.05)
    monkeypatch.setattr(sending, "_ATTEMPT_SECONDS", 2.0)


def target(url: str, to: str = "webhook", **parts: Any) -> Target:
    return Target(to, url, tuple(EVENTS), "ops", **parts)


def mailed(url: str) -> Target:
    return target(url, "email", sender="slipway@shop.test", recipients=("ann@shop.test", "bob@shop.test"))


def sent(to: Target, message: Message = MESSAGE, seconds: float = 10) -> tuple[bool, str]:
    began = time.monotonic()
    [delivery] = send([to], message, redact=str, seconds=seconds)
    assert time.monotonic() - began < seconds + 10  # on a busy machine
    assert "9fXyZ" not in delivery.said, "the address is a secret"
    return delivery.accepted, delivery.said


@pytest.mark.parametrize(
    ("answers", "tries", "accepted", "said"),
    [
        ([200], 1, True, "answered 200"),
        ([204], 1, True, "answered 204"),
        ([202], 1, True, "answered 202"),
        ([500, 503, 204], 3, True, "answered 204"),
        ([Answer(429, (("Retry-After", "0.3"),)), 204], 2, True, "answered 204"),
        ([Answer(429, (("Retry-After", "60"),))], 1, False, "answered 429, and asks to wait 60 s"),
        ([Answer(429, (("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)), 204], 2, True, "answered 204"),
        ([Answer(429, (("Retry-After", "soon"),)), 204], 2, True, "answered 204"),
        ([Answer(503, (("Retry-After", "nan"),)), 204], 2, True, "answered 204"),
        ([0, 204], 2, True, "answered 204"),
        ([-1, 204], 2, True, "answered 204"),
        ([400], 1, False, "answered 400"),
        ([404], 1, False, "answered 404"),
        ([Answer(302, (("Location", "/elsewhere"),))], 1, False, "answered 302"),
    ],
)
def test_what_may_go_well_a_little_later_is_tried_again_and_nothing_else(
    answers: list[Answer | int], tries: int, accepted: object, said: str
) -> None:
    with hook_server(*answers) as hook:
        assert sent(target(hook.url)) == (accepted, said)
        assert len(hook.came) == tries
        assert {each["Content-Type"] for each in hook.headers} == {"application/json; charset=utf-8"}


@pytest.mark.parametrize(("answer", "said"), [(500, "answered 500"), (-1, "no answer within"), (0, "closed the")])
def test_what_stays_wrong_is_given_up_in_time(answer: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_ATTEMPT_SECONDS", 1.0)
    with hook_server(answer) as hook:
        accepted, why = sent(target(hook.url), seconds=4)
        assert not accepted
        assert why.startswith(said)
        assert 1 < len(hook.came) < 20


def test_a_server_that_answers_a_byte_at_a_time_ends_no_later() -> None:
    with hook_server(-2) as hook:
        assert sent(target(hook.url), seconds=1) == (False, "no answer within 1 s")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/9fXyZ", "nothing listens there"),
        ("http://no-such-name.invalid/9fXyZ", "its name does not resolve"),
        ("http://[9fXyZ", "cannot be reached (ValueError)"),
        ("http://127.0.0.1:80:80/9fXyZ", ""),
        ("http://127.0.0.1/9fXyZ ü", "cannot be reached"),
    ],
)
def test_an_address_where_nobody_is_is_said_without_itself(url: str, said: str) -> None:
    accepted, why = sent(target(url), seconds=3)
    assert not accepted
    assert why.startswith(said)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with mail_server(context=_context(tmp_path), tls=True) as server:
        accepted, said = sent(mailed(f"smtps://localhost:{server.port}"))
    assert not accepted
    assert said.startswith("its certificate is not valid (")


def test_targets_are_told_at_once_and_one_that_hangs_keeps_no_other() -> None:
    with hook_server(-1) as dead, hook_server(204) as alive:
        targets = [target(dead.url), target(alive.url), target("http://127.0.0.1:1/")]
        began = time.monotonic()
        told = send(targets, MESSAGE, redact=str, seconds=3)
        assert time.monotonic() - began < 13
    assert [each.accepted for each in told] == [False, True, False]


@pytest.mark.parametrize("event", [*EVENTS, "test"])
def test_only_those_who_want_an_event_are_told_and_all_get_a_test(event: str) -> None:
    with hook_server() as hook:
        wants = target(hook.url)._replace(events=("failed",), name="failures")
        told = send([wants], MESSAGE._replace(event=event), redact=str)
        assert [each.target.name for each in told] == (["failures"] if event in {"failed", "test"} else [])
        assert len(hook.came) == len(told)


@pytest.mark.parametrize("to", [each for each in SERVICES if each != "email"])
def test_no_service_is_told_a_secret(to: str) -> None:
    with hook_server() as hook:
        message = Message("failed", "shop", reason=f"password={SECRET}", subject=SECRET, run=f"https://ci/{SECRET}")
        send([target(hook.url, to)], message, redact=lambda text: text.replace(SECRET, "[TOKEN]"))
        assert SECRET not in json.dumps(hook.came)
        assert "[TOKEN]" in json.dumps(hook.came).replace("\\\\", "").replace("\\u2045", "[").replace("\\u2046", "]")


# --- mail


def _context(folder: Path, *names: str) -> ssl.SSLContext:
    pem, key = certificate("localhost", *names)
    (folder / "certificate.pem").write_text(pem)
    (folder / "key.pem").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def test_a_mail_is_plain_text_from_and_to_whom_it_says() -> None:
    with mail_server() as server:
        message = MESSAGE._replace(subject="<b>Grüße</b>\r\nBcc: eve@evil.test\r\n.\r\nQUIT", run="https://ci.test/1")
        assert sent(mailed(f"smtp://127.0.0.1:{server.port}"), message) == (True, "accepted")
    [raw] = server.mails
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert found["Subject"] == "shop-production: failed"
    assert (found["From"], found["To"]) == ("slipway@shop.test", "ann@shop.test, bob@shop.test")
    assert (found["Bcc"], found["Auto-Submitted"], found.get_content_type()) == (None, "auto-generated", "text/plain")
    text = found.get_content().replace("\r\n", "\n")
    assert "Commit: <b>Grüße</b> Bcc: eve@evil.test . QUIT\n" in text
    assert "Reason: web did not become healthy\n" in text
    assert text.splitlines()[-2:] == ["Run: https://ci.test/1", "Roll back: slipway rollback --to r-1"]
    assert [each for each in server.said if each.startswith(("RCPT", "rcpt"))] == [
        "rcpt TO:<ann@shop.test>", "rcpt TO:<bob@shop.test>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "accepted", "said"),
    [
        ({"AUTH": "535 no"}, False, "refused the login (535)"),
        ({"RCPT": "550 no"}, False, "refused every recipient (550)"),
        ({"DATA": "554 spam 9fXyZ"}, False, "answered 554"),
        ({"MAIL": "421 busy"}, False, "answered 421, "),
        ({"QUIT": "500 no"}, True, "accepted"),
        ({"QUIT": "close"}, True, "accepted"),
        ({"MAIL": "close"}, False, "closed the connection, "),
    ],
)
def test_what_a_mail_server_refuses_is_said_by_its_number(
    answers: dict[str, str], accepted: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_PAUSE", 3.0)  # so that there is a second attempt, and no third
    with mail_server(**answers) as server:
        taken, why = sent(mailed(f"smtp://me:{SECRET}@127.0.0.1:{server.port}"), seconds=8)
    assert (taken, why[: len(said)]) == (accepted, said)
    assert bool(server.mails) is accepted


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_login_travels_over_tls_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    context = _context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    monkeypatch.setattr("slipway.notify.delivery._HERE", ())
    with mail_server(context=context, tls=scheme == "smtps") as server:
        assert sent(mailed(f"{scheme}://me:p%40ss@localhost:{server.port}")) == (True, "accepted")
    assert server.covered == [True]
    [login] = [each for each in server.said if each.startswith("AUTH")]
    assert login == "AUTH PLAIN AG1lAHBAc3M="


def test_a_server_without_starttls_gets_neither_login_nor_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.notify.delivery._HERE", ())
    with mail_server() as server:
        accepted, said = sent(mailed(f"smtp://me:{SECRET}@localhost:{server.port}"))
    assert (accepted, said) == (False, "offers no STARTTLS, or no login")
    assert [each.split()[0] for each in server.said] == ["ehlo"]
