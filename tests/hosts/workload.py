"""What tests deploy to hosts: one tiny server that behaves as its environment says, in images that exist already.

Owns: the server, its images in this machine's registry, the Compose files around it. Does not own: stacks (see
`remote_stack`). A change of version is a change of a variable: most tests of hosts need no build.
"""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

from applications import Application
from stack_harness import docker

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BIG_MEGABYTES", "Images", "pushed_images", "webshop"]

BIG_MEGABYTES = 96

# `app.py probe` is its health check, `app.py migrate` its migration; anything else serves. A file /data/sick that holds
# its version makes it sick: how one host of several gets another verdict. START delays its listening, in seconds; so
# does a file /data/hold, as long as it is there.
SERVER = """\
import os, socket, sys, time
MODE, VERSION = os.environ.get("MODE", ""), os.environ.get("VERSION", "")
def read(path):
    try:
        return open(path).read()
    except OSError:
        return ""
if sys.argv[1:] == ["probe"]:
    with socket.create_connection(("127.0.0.1", 8000), 2) as peer:
        peer.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
        line = peer.makefile("rb").readline().decode().strip()
    print("health answered", line)
    sys.exit(" 200 " not in line)
if sys.argv[1:] == ["migrate"]:
    print("migrating to", VERSION, flush=True)
    with open("/data/migrations", "a") as log:
        log.write(VERSION + "\\n")
    sys.exit()
print("starting version", VERSION, "mode", MODE or "good", flush=True)
if MODE == "tells":
    import base64
    for name, value in os.environ.items():
        print(name, value, base64.b64encode(value.encode()).decode(), flush=True)
import http.server, json, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
time.sleep(float(os.environ.get("START", 0)))
while os.path.exists("/data/hold"):
    time.sleep(0.05)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sick = MODE in ("sick", "tells") or read("/data/sick").strip() == VERSION
        status = 503 if self.path == "/health" and sick else 200
        names = ("data/log", "data/migrations", "etc/app/config.json")
        answer = {"version": VERSION, **{name: read("/" + name) for name in names}}
        if self.path.startswith("/append/"):
            with open("/data/log", "a") as log:
                log.write(self.path.removeprefix("/append/") + "\\n")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""

DOCKERFILE = """\
FROM python:3.13-slim-trixie
COPY app.py mark /
ENV PYTHONUNBUFFERED=1
CMD ["python3", "-IS", "/app.py"]
"""

WEBSHOP = """\
name: shop
x-server: &server
  image: ${IMAGE:?}
  restart: unless-stopped
  stop_grace_period: 3s
  healthcheck: &check
    test: [CMD, python3, -IS, /app.py, probe]
    interval: 1s
    timeout: 3s
    retries: 2
    start_period: 10s
    start_interval: 200ms
services:
  web:
    <<: *server
    ports: ["${PORT}:8000"]
    environment:
      VERSION: ${VERSION}
      MODE: ${MODE:-}
      START: ${START:-0}
      TOKEN: ${TOKEN:?}
    volumes:
      - data:/data
      - ./config.json:/etc/app/config.json:ro
    healthcheck:
      <<: *check
      start_period: ${START_PERIOD:-20s}
    x-slipway:
      port: 8000
      migrate: {command: [python3, -IS, /app.py, migrate]}
      smoke:
        - http: {path: /, status: 200, deadline: 2}
  side:
    <<: *server
    image: ${SIDE_IMAGE:?}
    environment:
      VERSION: ${SIDE_VERSION:-1}
volumes:
  data:
"""


class Images:
    """References by digest, in this machine's registry."""

    def __init__(self, references: dict[str, str]) -> None:
        self.one, self.two, self.big = (references[name] for name in ("one", "two", "big"))

    @property
    def small(self) -> tuple[str, str]:
        """What every test host is given at its start."""
        return self.one, self.two


def pushed_images(registry: str, folder: Path) -> Images:
    """Build the server's images and push them: two that differ in a byte, and one of BIG_MEGABYTES more."""
    found = {}
    for name in ("one", "two", "big"):
        source = folder / name
        source.mkdir()
        filling = random.Random(name).randbytes(BIG_MEGABYTES * 1_000_000) if name == "big" else name.encode()  # noqa: S311
        for path, content in {"app.py": SERVER.encode(), "Dockerfile": DOCKERFILE.encode(), "mark": filling}.items():
            (source / path).write_bytes(content)
            os.utime(source / path, (0, 0))  # times are part of a layer: the same content is the same digest
        tag = f"{registry}/slipway-hosts-test/server:{name}-{os.getpid()}"  # another session may be at work
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", tag, source], check=True, capture_output=True, timeout=300
        )
        docker("push", "--quiet", tag)
        digests = docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', tag).split()
        found[name] = next(each for each in digests if each.startswith(f"{registry}/slipway-hosts-test/server@"))
        docker("image", "rm", tag)
    return Images(found)


def webshop(folder: Path) -> Application:
    """Two services of ready images: `web` has a port, a volume, a config file, a secret, a migration, a smoke check."""
    return Application(folder, {"compose.yaml": WEBSHOP, "config.json": "{}"})
