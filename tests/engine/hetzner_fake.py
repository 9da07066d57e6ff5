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
from typing import TYPE_CHECKING, Any

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
        for operation in self.described.operations:
            method, _, path = operation.partition(" ")
            if not _LEFT_OUT.search(path):
                rule = re.sub(r"\{(id|action_id)\}", r"<int:\1>", path).replace("{", "<").replace("}", ">")
                view = functools.partial(self.answer, operation)
                application.add_url_rule(f"/v1{rule}", operation, view, methods=[method])
        application.register_error_handler(404, self._unknown)
        application.register_error_handler(405, self._unknown)
        return application

    def _unknown(self, _: Any) -> Response:
        self.violations.append(f"{request.method} {request.path} is not described, or not emulated")
        return Response(
            '{"error": {"code": "not_found", "message": "not found"}}', 404, content_type="application/json"
        )


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
