"""What tests deploy to hosts: one tiny server that behaves as its environment says, in images that exist already.

Owns: the server, its images in this machine's registry, the Compose files around it. Does not own: stacks (see
`remote_stack`). A change of version is a change of a variable: most tests of hosts need no build.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from applications import Application, health
from stack_harness import docker

__all__ = ["BIG_MEGABYTES", "Images", "pushed_images", "webshop"]

BIG_MEGABYTES = 96

SERVER = Path(__file__).with_name("workload_server.py")  # its docstring says what a variable can make it do

DOCKERFILE = """\
FROM python:3.13-slim-trixie
COPY app.py mark /
ENV PYTHONUNBUFFERED=1
CMD ["python3", "-IS", "/app.py"]
"""

WEBSHOP = (
    """\
name: shop
x-server: &server
  image: ${IMAGE:?}
  restart: unless-stopped
  stop_grace_period: 3s
"""
    + health()
    + """\
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
)


class Images:
    """References by digest, in this machine's registry."""

    def __init__(self, references: dict[str, str]) -> None:
        self.one, self.two, self.big = (references[name] for name in ("one", "two", "big"))

    @property
    def small(self) -> tuple[str, str]:
        """What every test host is given at its start."""
        return self.one, self.two


def pushed_images(registry: str, folder: Path) -> Images:
    """Build the server's images and push them: two that differ in a byte, and one of BIG_MEGABYTES more.

    Each process has its own: with the last tag of a name Docker drops the name's digests, which another one may use.
    """
    found = {}
    for name in ("one", "two", "big"):
        source = folder / name
        source.mkdir()
        own = f"{name}-{os.getpid()}"
        filling = random.Random(own).randbytes(BIG_MEGABYTES * 1_000_000) if name == "big" else own.encode()  # noqa: S311
        for path, content in {
            "app.py": SERVER.read_bytes(),
            "Dockerfile": DOCKERFILE.encode(),
            "mark": filling,
        }.items():
            (source / path).write_bytes(content)
            os.utime(source / path, (0, 0))  # times are part of a layer: the same content is the same digest
        tag = f"{registry}/slipway-hosts-test/server:{own}"
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", tag, source], check=True, capture_output=True, timeout=300
        )
        docker("push", "--quiet", tag)
        digests = docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', tag).split()
        found[name] = next(each for each in digests if each.startswith(f"{registry}/slipway-hosts-test/server@"))
        docker("image", "rm", "--force", tag)
    return Images(found)


def webshop(folder: Path) -> Application:
    """Two services of ready images: `web` has a port, a volume, a config file, a secret, a migration, a smoke check."""
    return Application(folder, {"compose.yaml": WEBSHOP, "config.json": "{}"})
