"""Small applications for tests: Compose text and files, one tiny server that behaves as its environment says.

The server starts in about 0.1 s and prints what it does, so that a test waits for the engine and not for it.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["PORT", "SHOP", "Application", "health", "shop"]

PORT = 8000
"""Where the server listens in its container."""

_HEALTH = """\
security_opt: ["seccomp:unconfined"]
healthcheck: &check
  test:
    - CMD
    - bash
    - -c
    - >-
      exec 3<>/dev/tcp/127.0.0.1/8000;
      printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3; mapfile -t lines <&3;
      echo "health answered $${lines[0]}"; [[ $${lines[0]} == *' 200 '* ]]
  interval: 2s
  timeout: 3s
  retries: 2
  start_period: {start_period}
  start_interval: 200ms
"""


def health(start_period: str = "10s", *, indent: int = 2) -> str:
    """How a test server is probed: lines of its service in a Compose file.

    Probes are most of what test containers cost. One took 95 ms of CPU with Python and Docker's seccomp filter, 64 ms
    with `true` instead, 40 ms without the filter (measured): hence bash, the interval and no filter.
    """
    return textwrap.indent(_HEALTH.replace("{start_period}", start_period), " " * indent)


# `app.py migrate` is its migration; anything else serves. /data is its volume.
SERVER = """\
import os, sys
MODE, VERSION = os.environ.get("MODE", ""), open("/version").read().strip()
def tell():
    import base64, json, urllib.parse
    for name in os.environ["TELL"].split():
        value = os.environ[name]
        encoded = base64.b64encode(value.encode()).decode()
        print(name, value, json.dumps(value), repr(value), encoded, urllib.parse.quote(value), flush=True)
if sys.argv[1:] == ["migrate"]:
    print("migrating to", VERSION, flush=True)
    if MODE == "migration-tells":
        tell()
    if MODE in ("migration-fails", "migration-tells"):
        sys.exit("the migration met a table that it does not know")
    if MODE == "slow-migration":
        import time
        time.sleep(5)
    with open("/data/migrations", "a") as log:
        log.write(VERSION + "\\n")
    sys.exit()
print("starting version", VERSION, "mode", MODE or "good", flush=True)
if MODE == "tells":
    tell()
if MODE == "crash":
    sys.exit("cannot start: the configuration names no database")
import http.server, json, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, answer = 200, {"status": "ok", "version": VERSION, "greeting": os.environ.get("GREETING")}
        if self.path == "/health" and MODE in ("sick", "tells"):
            status, answer = 503, {"status": "sick"}
        elif self.path == "/" and MODE == "wrong":
            answer["status"] = "confused"
        elif self.path == "/config":
            answer["config"] = open("/etc/app/config.json").read()
        elif self.path == "/data":
            answer["data"] = open("/data/log").read() if os.path.exists("/data/log") else ""
            answer["migrations"] = open("/data/migrations").read() if os.path.exists("/data/migrations") else ""
        elif self.path.startswith("/append/"):
            with open("/data/log", "a") as log:
                log.write(self.path.removeprefix("/append/") + "\\n")
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""

DOCKERFILE = """\
FROM python:3.13-slim-trixie
COPY app.py /app.py
COPY version /version
ENV PYTHONUNBUFFERED=1
CMD ["python3", "-IS", "/app.py"]
"""

SHOP = (
    """\
name: shop
x-server: &server
  restart: unless-stopped
  stop_grace_period: 3s
"""
    + health()
    + """\
services:
  web:
    <<: *server
    build: ./web
    ports: ["127.0.0.1:${PORT}:8000"]
    environment:
      MODE: ${MODE:-}
      TOKEN: ${TOKEN:?}
    volumes:
      - data:/data
      - ./config.json:/etc/app/config.json:ro
    healthcheck:
      <<: *check
      start_period: ${START_PERIOD:-3s}
    x-slipway:
      port: 8000
      migrate: {command: [python3, -IS, /app.py, migrate]}
      smoke:
        - http: {path: /, status: 200, json: {status: ok}, deadline: 2}
  side:
    <<: *server
    build: ./side
    environment:
      GREETING: ${GREETING:-hello}
volumes:
  data:
"""
)


class Application:
    """The folder of a Compose application."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files by their path below the folder; others stay."""
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)

    def replace(self, path: str, before: str, after: str) -> None:
        """Change one place of one file."""
        text = (self.folder / path).read_text()
        assert before in text, f"{path} does not hold {before!r}"
        (self.folder / path).write_text(text.replace(before, after, 1))

    def version(self, service: str, version: str) -> None:
        """Give the source of one of the shop's services another version: its image changes."""
        self.write({f"{service}/version": version})


def server(folder: str, version: str = "1") -> dict[str, str]:
    """The files of one service's build."""
    return {f"{folder}/Dockerfile": DOCKERFILE, f"{folder}/app.py": SERVER, f"{folder}/version": version}


def shop(folder: Path) -> Application:
    """Two services that are built; `web` has a port, a volume, a file, a secret, a migration and a smoke check."""
    return Application(folder, {"compose.yaml": SHOP, "config.json": "{}", **server("web"), **server("side")})
