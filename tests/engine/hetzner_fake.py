"""The Hetzner Cloud API on loopback, as far as Slipway uses it, held against Hetzner's own OpenAPI description.

Owns: serving it. A project with everything that `hetzner_core`, `_servers`, `_networks`, `_balancers` and `_dns` know;
tests set up and look at its records, and order failures. What is asked and answered is validated: what breaks the
description is in `violations`, and the fixture's end asserts that there is none. Not emulated: floating IPs, ISOs,
storage boxes, metrics, consoles, snapshots.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import threading
from typing import TYPE_CHECKING

import pytest
from flask import Flask, Response, request
from hetzner_attachments import Machine, Machines
from hetzner_core import READ_ONLY, TOKEN
from hetzner_description import described
from hetzner_dns import Zones
from werkzeug.serving import make_server

from dev.toolchain.download import DownloadBlockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["READ_ONLY", "TOKEN", "FakeHetzner", "Machine", "Machines", "serving_hetzner"]

_LEFT_OUT = re.compile(
    r"/(floating_ips|isos|storage_box(es|_types))(/|$)|metrics$|/(request_console|\w+_iso|\w+_rescue|reset_password)$"
    r"|/(create_image|import_zonefile|retry)$|/zonefile$"
)


class FakeHetzner(Zones):
    """One project at Hetzner; a test changes what it holds while it is asked."""

    url = ""
    """What HCLOUD_ENDPOINT is."""

    def application(self) -> Flask:
        application = Flask("hetzner")
        methods = ["GET", "POST", "PUT", "DELETE"]
        application.add_url_rule("/v1/<path:_>", view_func=lambda _: self._dispatched(), methods=methods)
        return application

    def _dispatched(self) -> Response:
        asked = f"{request.method} {request.path.removeprefix('/v1')}"
        for pattern, operation in _patterns():
            if found := pattern.fullmatch(asked):
                parts = found.groupdict().items()
                return self.answer(operation, **{name: int(text) if text.isdigit() else text for name, text in parts})
        self.violations.append(f"{asked} is not described, or not emulated")
        return Response(
            '{"error": {"code": "not_found", "message": "not found"}}', 404, content_type="application/json"
        )


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """What asks for an operation, those without anything variable first; a rule of Flask's each would take a second."""
    kept = (each for each in described().operations if not _LEFT_OUT.search(each))
    ordered = sorted(kept, key=lambda operation: operation.count("{"))
    return [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation)), operation) for operation in ordered]


@contextlib.contextmanager
def serving_hetzner(machines: Machines | None = None) -> Iterator[FakeHetzner]:
    """The fake, answering; nothing that was asked or answered may break Hetzner's description.

    Skips the test where the description cannot be had.
    """
    try:
        described()
    except DownloadBlockedError as error:
        pytest.skip(f"Hetzner's description of its API is not here: {error}")
    fake = FakeHetzner(machines)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, fake.application(), threaded=True)
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert fake.violations == [], fake.violations
