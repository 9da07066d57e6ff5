"""A registry's password goes to that registry and to its token service over TLS, and nowhere else."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from slipway.images import registry_tags
from slipway.images.registry_tags import Registry
from slipway.settings.registry_names import is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOGIN = {"username": "me", "password": "secret"}
MANIFESTS = "/v2/shop/api/manifests"


@contextlib.contextmanager
def server(answer: Callable[[Any], tuple[int, dict[str, str], bytes]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """HOST:PORT of a server, and what it is asked: path, and what authorises."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            seen.append((self.path, self.headers.get("Authorization", "")))
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = respond  # noqa: N815 - the names that the library calls

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{found.server_port}", seen
    finally:
        found.shutdown()
        found.server_close()


def challenged(
    wanted: str, then: tuple[int, dict[str, str], bytes]
) -> Callable[[Any], tuple[int, dict[str, str], bytes]]:
    """Asks who has not said for it to authorise as `wanted`."""
    return lambda request: then if request.headers.get("Authorization") else (401, {"WWW-Authenticate": wanted}, b"")


KIND = {"Content-Type": "application/json"}


def test_what_authorises_is_not_shown_where_a_redirect_leads() -> None:
    with server(lambda _: (200, KIND, b"manifest")) as (elsewhere, seen):
        redirect = (307, {"Location": f"http://{elsewhere}/stored"}, b"")
        with server(challenged("Basic", redirect)) as (address, asked):
            assert Registry(f"{address}/shop/api", LOGIN).read("v1")[0] == b"manifest"
    assert [bool(authorization) for _, authorization in asked] == [False, True]
    assert seen == [("/stored", "")]


def test_a_redirect_within_the_registry_keeps_it() -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        if not request.headers.get("Authorization"):
            return 401, {"WWW-Authenticate": "Basic"}, b""
        return (200, KIND, b"manifest") if request.path == "/here" else (307, {"Location": "/here"}, b"")

    with server(answer) as (address, asked):
        assert Registry(f"{address}/shop/api", LOGIN).read("v1")[0] == b"manifest"
    assert asked[-1][0] == "/here"
    assert asked[-1][1]


def test_a_token_service_on_this_machine_may_speak_plain_http() -> None:
    with server(lambda _: (200, KIND, json.dumps({"token": "t"}).encode())) as (tokens, seen):
        wanted = f'Bearer realm="http://{tokens}/token",service="s"'
        with server(challenged(wanted, (200, KIND, b"manifest"))) as (address, asked):
            assert Registry(f"{address}/shop/api", LOGIN).has("v1")
    assert asked[-1] == (f"{MANIFESTS}/v1", "Bearer t")
    assert seen[0][1].startswith("Basic ")


@pytest.mark.parametrize(
    "realm",
    ["http://tokens.example/token", "http://127.0.0.1.nip.io/token", "http://localhost.evil.example/", "ftp://x/", ""],
)
def test_a_token_service_that_is_not_https_gets_no_password(monkeypatch: pytest.MonkeyPatch, realm: str) -> None:
    asked: list[str] = []
    opened = registry_tags._open
    monkeypatch.setattr(
        registry_tags, "_open", lambda request, **more: (asked.append(request.host), opened(request, **more))[1]
    )
    with server(lambda _: (401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}, b"")) as (address, seen):
        with pytest.raises(OSError, match="which is not https"):
            Registry(f"{address}/shop/api", LOGIN).read("v1")
        assert seen == [(f"{MANIFESTS}/v1", "")]
        assert asked == [address]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("localhost", True), ("localhost:5000", True), ("127.0.0.1", True), ("127.9.9.9:5000", True),
        ("[::1]:5000", True), ("localhost.evil.example", False), ("127.0.0.1.nip.io", False),
        ("localhostx:5000", False), ("127.evil.example", False), ("127.1", False), ("10.0.0.1:5000", False),
        ("[2001:db8::1]:5000", False), ("registry.example", False), ("", False),
    ],
)  # fmt: skip
def test_only_what_is_on_this_machine_is_asked_in_the_clear(address: str, *, local: bool) -> None:
    assert is_local(address) is local
    assert registry_tags._is_local(address) is local
    assert Registry(f"{address}/shop/api", {})._base.startswith("http://" if local else "https://")
