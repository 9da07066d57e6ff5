"""One HTTP request of the agent's own to a container or the edge, and in words why there was no answer."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONNECT_SECONDS", "Answer", "get", "words"]

CONNECT_SECONDS = 2.0


class Answer(NamedTuple):
    """What one try brought: a refusal in words, or a status and a body; of a command, exit code and output."""

    error: str = ""
    status: int = 0
    body: str = ""


def get(
    address: tuple[str, int],
    path: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    limit: int = 0,
    tls: bool = False,
) -> Answer:
    """Ask for a path, and read `limit` bytes of the answer: a stream has no end."""
    connection = runtime.http_connection(*address, min(seconds, CONNECT_SECONDS))
    try:
        connection.connect()
        connection.sock.settimeout(seconds)
        if tls:
            connection.sock = runtime.tls(connection.sock, headers.get("Host", ""))
        connection.request("GET", path, headers={"User-Agent": "slipway", "Connection": "close", **headers})
        response = connection.getresponse()
        return Answer("", response.status, response.read(limit).decode("utf-8", "replace") if limit else "")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(words(error))
    finally:
        connection.close()


def words(error: Exception) -> str:
    """Why there was no answer."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):  # that one only hung up
        return "what answers does not speak HTTP"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
