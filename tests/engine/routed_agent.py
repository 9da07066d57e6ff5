"""A routed service, driven by the packed agent on this machine's Docker, with the real edge on ports of its own.

Owns: documents with routes, ports that are free, and removing the edge. Does not own: the agent's harness, the load.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from typing import TYPE_CHECKING, Any

from agent_harness import REGISTRY, Agent, docker, release, service
from local_servers import free_ports

from slipway.settings.certificates import self_signed

if TYPE_CHECKING:
    from pathlib import Path

EDGE_LABEL = "dev.slipway.edge"
EDGE_NETWORK = "slipway-edge"
_TRAEFIK = f"{REGISTRY}/library/traefik:v3.7.13"


def traefik() -> str:
    """Traefik's image by digest, as this machine's registry has it."""
    docker("pull", "-q", _TRAEFIK)
    digests = json.loads(docker("image", "inspect", _TRAEFIK))[0]["RepoDigests"]
    return next(str(each) for each in digests if each.startswith(f"{REGISTRY}/library/traefik@"))


class RoutedAgent(Agent):
    """An agent whose stack `web` is reached through the edge."""

    def __init__(self, archive: Path, home: Path, stack: str, image: str) -> None:
        super().__init__(archive, home, stack)
        self.image = image
        self.http_port, self.https_port = free_ports(2)
        self.traefik = traefik()
        pair = dict(zip(("certificate", "key"), self_signed("nobody.test"), strict=True))
        assert self.run("certificate", "--stack", stack, stdin=json.dumps(pair)).code == 0  # as the driver does

    def edge(self, **more: Any) -> dict[str, Any]:
        return {
            "image": self.traefik,
            "version": "3.7.13",
            "http_port": self.http_port,
            "https_port": self.https_port,
            "https": False,
            "acme": None,
            "certificates": [],
            **more,
        }

    def release(self, version: str, *, environment: dict[str, str] | None = None, **slipway: Any) -> dict[str, Any]:
        """One service, `web`; `slipway` is what its entry has beside a route and a smoke check."""
        replicas = slipway.pop("replicas", 1)
        values = {"VERSION": version, **(environment or {})}
        web = service(self.image, environment=values, stop_grace_period="5s")
        for key in ("restart", "healthcheck"):
            if key in slipway:
                web[key] = slipway.pop(key)
        if replicas != 1:
            web["deploy"] = {"replicas": replicas}
        own = {
            "strategy": "rolling",
            "drain": 4,  # longer than any request of the tests; WebSockets always take all of it
            "routes": [{"host": "", "path": "/", "strip": False}],
            "smoke": [{"kind": "http", "port": 8000, "deadline": 2, "path": "/smoke", "status": 200}],
            **slipway,
        }
        own["update"] = {"order": "start-first", **slipway.get("update", {})}
        return release(self.stack, {"web": web}, slipway={"web": own})

    def up(self, version: str, **more: Any) -> Any:
        """Deploy that version; the run of the agent."""
        environment = more.pop("agent", {})
        top = {name: more.pop(name) for name in ("watch", "options") if name in more}
        wanted = self.release(version, **more)
        return self.deploy(wanted, edge=self.edge(), environment=environment, **top)

    def ask(self, path: str = "/", **headers: str) -> tuple[int, str]:
        """Status and X-Version of an answer through the edge."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers.get("X-Version", "")
        finally:
            connection.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/"

    def edge_containers(self) -> list[str]:
        owner = hashlib.sha256(str(self.home / "edge").encode()).hexdigest()[:6]
        return docker("ps", "-a", "-q", "--no-trunc", "--filter", f"label={EDGE_LABEL}={owner}").split()

    def steps(self) -> list[str]:
        """The journal of the last deployment: `step state`."""
        lines = [json.loads(line) for line in (self.folder / "journal.jsonl").read_text().splitlines()]
        return [f"{line['step']} {line['state']}" for line in lines if "step" in line]

    def ledger(self) -> list[str]:
        lines = (self.folder / "ledger.jsonl").read_text().splitlines()
        return [str(json.loads(line)["outcome"]) for line in lines]
