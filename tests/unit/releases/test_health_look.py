"""What `slipway health` says of servers that are down in every way, or hostile: real ones, on this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from certified import certificate

from slipway.releases.health import look as looking
from slipway.releases.health.addresses import ANSWERS, GUARDED, REDIRECTS, SERVES, Target
from slipway.releases.health.look import Look, Looker, browser_tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "shop.example.com"


def answer(status: int = 200, body: str = "ok", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *(f"{key}: {headers[key]}" for key in headers)]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()


def says(status: int = 200, body: str = "ok", **headers: str) -> Any:
    return lambda link, _: link.sendall(answer(status, body, **headers))


def _forever(link: socket.socket, piece: bytes, pause: float = 0.0) -> None:
    with contextlib.suppress(OSError):
        while True:
            link.sendall(piece)
            time.sleep(pause)


def drips(begin: bytes, piece: bytes = b"x", pause: float = 0.02) -> Any:
    def speak(link: socket.socket, _: str) -> None:
        link.sendall(begin)
        _forever(link, piece, pause)

    return speak


class Servers:
    """Servers on loopback, and what names resolve to."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.names: dict[str, list[str]] = {}
        self._listening: list[socket.socket] = []

    def start(self, speak: Any, tls: tuple[str, str] | None = None, folder: Path | None = None) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        self._listening.append(listening)
        context = None
        if tls:
            assert folder is not None
            (folder / "server.pem").write_text("".join(tls))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "server.pem")
        threading.Thread(target=self._serve, args=(listening, speak, context), daemon=True).start()
        return int(listening.getsockname()[1])

    def _serve(self, listening: socket.socket, speak: Any, context: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listening.accept()
                threading.Thread(target=self._speak, args=(link, speak, context), daemon=True).start()

    def _speak(self, link: socket.socket, speak: Any, context: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
            closing.enter_context(link)
            if context:
                link = closing.enter_context(context.wrap_socket(link, server_side=True))
            request = link.recv(65536).decode("latin-1")
            self.requests.append(request)
            speak(link, request)

    def close(self) -> None:
        for each in self._listening:
            each.close()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    made = Servers()
    real = socket.getaddrinfo

    def resolve(host: str, port: Any, *more: Any, **options: Any) -> Any:
        if host in made.names:
            return [answer for each in made.names[host] for answer in real(each, port, *more, **options)]
        if host.endswith("example.com"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(looking, "LOOK_SECONDS", 1.0)
    made.names[NAME] = ["127.0.0.1"]
    yield made
    made.close()


def look(url: str, *checks: Any, login: str = "", local: bool = True, own: tuple[str, ...] = ()) -> Look:
    looker = Looker([url, *own], browser_tls(), local=local, login=login)
    return looker.look(Target(url, "web", checks or (SERVES,), login=bool(login)))


HTTP: dict[str, Any] = {"kind": "http", "status": 200}
BODY = {**HTTP, "contains": "well"}
FIELD = {**HTTP, "json": {"database": "up"}}
TO_NAME, TO_ELSEWHERE = ({"kind": REDIRECTS, "to": to} for to in (NAME, "elsewhere.example.com"))
NESTED = "[" * 200_000


@pytest.mark.parametrize(
    ("speak", "check", "fault", "reason"),
    [
        (says(200), SERVES, "", ""),
        (says(404), SERVES, "", ""),
        (says(503), SERVES, "status", "status is 503"),
        (says(503), ANSWERS, "", ""),
        (says(401), GUARDED, "", ""),
        (says(200), GUARDED, "status", "status is 200, not 401"),
        (says(204), HTTP, "status", "status is 204, not 200"),
        (says(body="all is well"), BODY, "", ""),
        (says(body="all is lost"), BODY, "body", 'the body does not contain "well"'),
        (says(body='{"database": "up"}'), FIELD, "", ""),
        (says(body='{"database": "\x1b[2J"}'), FIELD, "body", "the body is not JSON"),
        (says(body='{"database": "down"}'), FIELD, "body", 'field database is "down", not "up"'),
        (says(body=NESTED), FIELD, "body", "the body is not JSON"),
        (says(302, Location="https://elsewhere.example.com/"), TO_ELSEWHERE, "", ""),
        (says(302, Location="https://evil.example.com/"), TO_NAME, "status", "not a redirect to"),
        (lambda *_: None, SERVES, "closed", "closed without an answer"),
        (lambda link, _: link.sendall(b"220 mail ESMTP\r\n"), SERVES, "protocol", "does not speak HTTP"),
        (lambda link, _: link.sendall(b"\x16\x03\x01\x00\x00"), SERVES, "protocol", "does not speak HTTP"),
        (lambda *_: time.sleep(5), SERVES, "timeout", "no answer within"),
        (drips(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), SERVES, "timeout", "no answer within"),
        (drips(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", 0), SERVES, "protocol", "headers"),
        (drips(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 5000, 0), SERVES, "protocol", "headers"),
        (drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0), SERVES, "timeout", "no answer within"),
        (drips(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n"), BODY, "timeout", "no answer within"),
        (drips(b"HTTP/1.1 200 OK\r\n\r\n"), SERVES, "", ""),
        (drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, 0), BODY, "body", "does not contain"),
        (
            drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
            BODY, "timeout", "no answer within",
        ),
    ],
)  # fmt: skip
def test_every_answer_is_told_apart_and_none_holds_a_look_up(
    speak: Any, check: Any, fault: str, reason: str, servers: Servers
) -> None:
    begin = time.monotonic()
    found = look(f"http://{NAME}:{servers.start(speak)}/", check)
    assert (found.fault, time.monotonic() - begin < 4) == (fault, True)
    assert reason in found.reason


def test_a_name_that_does_not_resolve_and_a_port_that_nobody_has_are_told_apart(servers: Servers) -> None:
    assert look("http://absent.example.com/") == Look("dns", "absent.example.com does not resolve")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert look(f"http://{NAME}:{port}/").fault == "refused"
    assert not servers.requests


def test_a_resolver_that_hangs_ends_the_look(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5) or [])
    begin = time.monotonic()
    assert look(f"http://{NAME}/").fault == "dns"
    assert time.monotonic() - begin < 4
    assert not servers.requests


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1"])  # noqa: S104
def test_an_address_that_no_visitor_reaches_is_not_asked(address: str, servers: Servers) -> None:
    servers.names[NAME] = [address]
    port = servers.start(says())
    found = look(f"http://{NAME}:{port}/", local=False)
    assert (found.fault, f"{NAME} resolves to" in found.reason) == ("dns", True)
    assert not servers.requests


def test_every_address_of_a_name_must_answer_and_the_one_that_does_not_is_named(servers: Servers) -> None:
    servers.names[NAME] = ["127.0.0.1", "127.0.0.9"]
    found = look(f"http://{NAME}:{servers.start(says())}/")
    assert (found.fault, found.reason) == ("refused", "127.0.0.9: the connection is refused")


def test_addresses_of_a_network_that_this_machine_does_not_have_do_not_count(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.names[NAME] = ["2001:db8::1", "127.0.0.1"]
    port, real = servers.start(says()), socket.create_connection

    def connect(address: tuple[str, int], seconds: float) -> socket.socket:
        if ":" in address[0]:
            raise OSError(101, "Network is unreachable")
        return real(address, seconds)

    monkeypatch.setattr(socket, "create_connection", connect)
    assert look(f"http://{NAME}:{port}/").fault == ""
    servers.names[NAME] = ["2001:db8::1"]
    assert look(f"http://{NAME}:{port}/").fault == "unreachable"


CASES: dict[str, tuple[tuple[str, str], bool, str]] = {
    "well": (certificate(NAME, ends=60), True, ""),
    "expired": (certificate(NAME, starts=-9, ends=-1), True, "tls-expired"),
    "not yet": (certificate(NAME, starts=1, ends=9), True, "tls-expired"),
    "another name": (certificate("other.example.com"), True, "tls-name"),
    "of nobody": (certificate(NAME, ends=5), False, "tls-untrusted"),
}


@pytest.mark.parametrize("name", CASES)
def test_certificates_that_browsers_refuse_are_told_apart(
    name: str, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, trusted, fault = CASES[name]
    (tmp_path / "trusted.pem").write_text(pair[0] if trusted else certificate("else.example.com")[0])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    found = look(f"https://{NAME}:{servers.start(says(), pair, tmp_path)}/")
    assert found.fault == fault, found
    if not fault:
        assert found.expires is not None
        assert (found.status, found.lifetime.days) == (200, 61)


def test_what_does_not_speak_tls_is_no_certificate(servers: Servers) -> None:
    assert look(f"https://{NAME}:{servers.start(says())}/").fault == "tls"
    assert look(f"https://{NAME}:{servers.start(lambda *_: time.sleep(5))}/").fault in ("tls", "timeout")


def test_redirects_are_followed_within_the_stack_and_nowhere_else(servers: Servers) -> None:
    def speak(link: socket.socket, request: str) -> None:
        path = request.split()[1]
        link.sendall(answer() if path == "/home" else answer(301, Location="/home"))

    assert look(f"http://{NAME}:{servers.start(speak)}/", HTTP).status == 200
    said = look(
        f"http://{NAME}:{servers.start(lambda link, request: speak(link, request) if 'GET / ' in request else None)}/"
    )
    assert (said.fault, "(after a redirect to http" in said.reason) == ("closed", True)
    inner = servers.start(says())
    for where in (
        f"http://127.0.0.1:{inner}/", "http://169.254.169.254/latest/meta-data/", f"http://localhost:{inner}/",
        f"http://{NAME}:{inner}/", "file:///etc/passwd", "http://[", f"http://{NAME}:0/", "",
        f"http://{NAME}:99999/",
    ):  # fmt: skip
        servers.requests.clear()
        found = look(f"http://{NAME}:{servers.start(says(302, Location=where))}/", HTTP)
        assert found.fault == "status", where
        assert "status is 302, not 200" in found.reason
        assert len(servers.requests) == 1, where
    servers.names["www.example.com"] = ["127.0.0.1"]
    there = f"http://www.example.com:{inner}/"
    assert look(f"http://{NAME}:{servers.start(says(302, Location=there))}/", HTTP, own=(there,)).fault == ""


def test_a_circle_of_redirects_is_one_and_so_is_an_endless_row(servers: Servers) -> None:
    assert look(f"http://{NAME}:{servers.start(says(302, Location='/'))}/").fault == "redirect-loop"

    def on(link: socket.socket, request: str) -> None:
        link.sendall(answer(302, Location=f"{request.split()[1]}x"))

    servers.requests.clear()
    assert look(f"http://{NAME}:{servers.start(on)}/").fault == "redirect-loop"
    assert len(servers.requests) == 11


def test_the_password_goes_to_the_service_that_asks_for_it_alone(servers: Servers, tmp_path: Path) -> None:
    servers.names["www.example.com"] = ["127.0.0.1"]
    other = f"http://www.example.com:{servers.start(says())}/"
    first = f"http://{NAME}:{servers.start(says(302, Location=other))}/"
    assert look(first, HTTP, login="eve:a pass:word", own=(other,)).fault == ""
    asked, redirected = servers.requests
    assert "Authorization: Basic ZXZlOmEgcGFzczp3b3Jk" in asked
    assert "Authorization" not in redirected
    plain = f"http://{NAME}:{servers.start(says())}/"
    pair = certificate(NAME)
    (tmp_path / "trusted.pem").write_text(pair[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
        tls = f"https://{NAME}:{servers.start(says(302, Location=plain), pair, tmp_path)}/"
        servers.requests.clear()
        assert look(tls, HTTP, login="eve:word", own=(plain,)).fault == ""
    assert ["Authorization" in each for each in servers.requests] == [True, False]


def test_what_is_asked_is_the_address_as_a_browser_writes_it(servers: Servers) -> None:
    port = servers.start(says())
    look(f"http://{NAME}:{port}/straße?q=a b")
    assert servers.requests[0].splitlines()[0] == "GET /stra%C3%9Fe?q=a%20b HTTP/1.1"
    assert f"Host: {NAME}:{port}" in servers.requests[0]
    assert json.dumps(servers.requests[0]).count("Accept-Encoding: identity") == 1
