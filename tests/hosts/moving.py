"""A Compose project that runs before a stack takes its place: a proxy on the edge's port, a server, data on a volume.

Owns: the project on this machine's Docker, the release that takes over, and who watches its database. Does not own: the
agent (see `routed_agent`), the load.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from agent_harness import docker, eventually, release, service

if TYPE_CHECKING:
    from pathlib import Path

    from routed_agent import RoutedAgent

__all__ = ["KEEPS", "Before"]

COMPOSE = """\
services:
  proxy:
    image: {traefik}
    command: [--entrypoints.web.address=:80, --providers.file.filename=/etc/routes.yaml]
    ports: ["{port}:80"]
    configs: [{{source: routes, target: /etc/routes.yaml}}]
    restart: always
    depends_on: [web]
  web: {{image: "{image}", environment: {{VERSION: before}}, restart: always, depends_on: [db]}}
  db: {{image: "{image}", environment: {{VERSION: before}}, restart: unless-stopped, volumes: ["data:/data"]}}
volumes: {{data: }}
configs:
  routes:
    content: |
      http:
        routers: {{web: {{rule: "PathPrefix(`/`)", service: web}}}}
        services: {{web: {{loadBalancer: {{servers: [{{url: "http://web:8000"}}]}}}}}}
"""
# In place of that proxy: one that passes on to the address that `web` had when it started, as nginx does, and does not
# start without. Here `web` writes to the data that its successor has.
KEEPS = """\
services:
  proxy:
    image: {image}
    init: true
    command: [python3, -S, -c, "{keeps}"]
    ports: ["{port}:80"]
    restart: always{depends}
  web:
    image: {image}
    environment: {{VERSION: before}}
    restart: always
    volumes: ["files:/files"]
  db: {{image: "{image}", environment: {{VERSION: before}}, restart: unless-stopped, volumes: ["data:/data"]}}
volumes: {{data: , files: }}
"""
_KEEPS = """\
import shutil, socket, socketserver, threading
web = socket.gethostbyname('web')
class Pass(socketserver.BaseRequestHandler):
    def handle(self):
        with socket.create_connection((web, 8000), 2) as there:
            threading.Thread(target=shutil.copyfileobj, daemon=True,
                             args=(self.request.makefile('rb', 0), there.makefile('wb', 0))).start()
            shutil.copyfileobj(there.makefile('rb', 0), self.request.makefile('wb', 0))
socketserver.ThreadingTCPServer(('', 80), Pass).serve_forever()
"""
_ASK = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/{}').read().decode())"
# Asks the database as the old application does, by its name on the old network, and prints each time without an answer.
_WATCH = """
import http.client, time
good = 0.0
while True:
    try:
        connection = http.client.HTTPConnection("db", 8000, timeout=0.5)
        connection.request("GET", "/health")
        answered = connection.getresponse().status == 200
        connection.close()
    except OSError:
        answered = False
    now = time.monotonic()
    if answered:
        if not good or now - good > 0.1:
            print(now - (good or now), flush=True)
        good = now
    time.sleep(0.01)
"""


class Before:
    """The project `name`, with an agent whose edge wants its port."""

    def __init__(self, agent: RoutedAgent, name: str, folder: Path, compose: str = COMPOSE, depends: str = "") -> None:
        self.agent, self.name, self._file = agent, name, folder / "compose.yaml"
        self.watcher = f"{name}-watcher"
        found = compose.format(traefik=agent.traefik, image=agent.image, port=agent.http_port, depends=depends,
                               keeps=_KEEPS.replace("\n", "\\n"))  # fmt: skip
        self._file.write_text(found)
        self._files = compose == KEEPS

    def up(self) -> None:
        """Start it, and wait until visitors get answers."""
        self._compose("up", "-d")
        eventually(lambda: self.serves("before"), 30)

    def down(self) -> None:
        """Remove what is left of it, with its data."""
        docker("rm", "-f", self.watcher, check=False)
        self.agent.destroy()
        self._compose("down", "-v", "-t", "1")

    def _compose(self, *words: str) -> None:
        docker("compose", "-p", self.name, "-f", str(self._file), *words)

    def serves(self, version: str) -> bool:
        """Whether a visitor gets that version."""
        with contextlib.suppress(OSError):
            return self.agent.ask() == (200, version)
        return False

    def running(self) -> list[str]:
        """Ids of its containers that run."""
        return docker("ps", "-q", "--filter", f"label=com.docker.compose.project={self.name}").split()

    def ask_db(self, container: str, path: str = "") -> str:
        """What the server in that container answers; its answer has the lines of its volume."""
        return docker("exec", container, "python3", "-S", "-c", _ASK.format(path))

    def watch(self) -> None:
        """Begin to watch the database from the old network."""
        docker("rm", "-f", self.watcher, check=False)
        docker("run", "-d", "--name", self.watcher, "--network", f"{self.name}_default", "--init", self.agent.image,
               "python3", "-S", "-c", _WATCH)  # fmt: skip
        eventually(lambda: docker("logs", self.watcher) != "", 30)

    def seconds_without(self) -> float:
        """The longest time without an answer of the database since it is watched."""
        time.sleep(0.5)
        return max(map(float, docker("logs", self.watcher).split()), default=0.0)

    def wanted(self, version: str = "after") -> dict[str, Any]:
        """The release that takes over."""
        web = self.agent.release(version)["compose"]["services"]["web"]
        volumes = {"data": {"name": f"{self.name}_data", "external": True, "x-adopted": True}}
        if self._files:
            web = {**web, "volumes": [{"type": "volume", "source": "files", "target": "/files"}]}
            volumes["files"] = {"name": f"{self.name}_files", "external": True, "x-adopted": True}
        data = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}
        return release(
            self.agent.stack,
            {"web": {**web, "depends_on": {"db": {"condition": "service_healthy"}}},
             "db": service(self.agent.image, environment={"VERSION": "after"}, **data)},
            slipway={"web": {"strategy": "rolling", "routes": [{"host": "", "path": "/", "strip": False}],
                             "update": {"order": "start-first"}}},
            volumes=volumes,
        )  # fmt: skip

    def move(self, version: str = "after") -> Any:
        """Take over; the run of the agent."""
        return self.agent.deploy(self.wanted(version), edge=self.agent.edge(), move_from=[self.name])

    def command(self, what: str) -> dict[str, Any]:
        """What `slipway move` asks of the agent."""
        found: dict[str, Any] = json.loads(self.agent.run("move", "--stack", self.agent.stack, "--do", what).out)
        return found
