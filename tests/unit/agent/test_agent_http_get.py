"""One request of the agent's own, over TLS as well."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from slipway.agent.traffic.http_get import get
from slipway.settings.certificates import self_signed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("host", ["shop.test", ""])
def test_whoever_answers_over_tls_is_asked_for_the_name_whatever_its_certificate(
    tmp_path: Path, host: str, *, tls: bool
) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for path, content in zip((tmp_path / "certificate", tmp_path / "key"), self_signed("other.test"), strict=True):
        path.write_text(content)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    def serve(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        with plain:
            try:
                connection = context.wrap_socket(plain, server_side=True)
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        headers = {"Host": host} if host else {}
        answer = get(listening.getsockname(), "/", headers, seconds=10, tls=tls)
        server.join()
    assert (answer.status == http.client.NO_CONTENT) is tls
    assert bool(answer.error) is not tls
    assert asked == ([host or None] if tls else [])
