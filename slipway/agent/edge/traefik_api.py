"""What a running Traefik says about itself, over its own API on loopback; asked on one kept connection."""

from __future__ import annotations

import http.client
import json
from urllib.parse import quote

from slipway.agent import runtime

__all__ = ["TraefikApi"]

_TIMEOUT = 2.0


class TraefikApi:
    """The API of one edge container."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = runtime.http_connection("127.0.0.1", port, _TIMEOUT)

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; (0, reason) when nothing answers."""
        reason = b""
        for _ in range(2):  # a kept connection may have gone since
            try:
                self._connection.request("GET", path)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                reason = str(error).encode()
        return 0, reason

    def ready(self) -> bool:
        return self.get("/ping")[0] == http.client.OK

    def shows(self, marker: str) -> bool:
        """Whether the file with this marker is live: Traefik replaces routers and this answer in one go."""
        return self.get(f"/api/http/middlewares/{quote(marker, safe='~')}@file")[0] == http.client.OK

    def faults(self, prefix: str) -> list[str] | None:
        """What Traefik finds wrong with routers, services and middlewares whose name begins with `prefix`.

        None when it does not answer, as on a host that is too busy.
        """
        status, body = self.get("/api/rawdata")
        if status != http.client.OK:
            return None
        found = json.loads(body)
        lines = []
        for kind in ("routers", "services", "middlewares"):
            for name, entry in sorted((found.get(kind) or {}).items()):
                if name.startswith(prefix) and entry.get("status", "enabled") != "enabled":
                    errors = entry.get("error") or [str(entry["status"])]
                    lines.append(f"{kind[:-1]} {name}: {', '.join(errors)}")
        return lines

    def metrics(self) -> str:
        """Its counters, in Prometheus' text form; empty when it does not answer."""
        status, body = self.get("/metrics")
        return body.decode("utf-8", "replace") if status == http.client.OK else ""
