"""What an answer over HTTP says: whether a smoke check is content with it, and whether it is a rate limit.

One rule for a deployment on its hosts and for `slipway health`; one for registries, engines and builders.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BODY_LIMIT", "WAY_OUT", "limited", "wrong_body", "wrong_status"]

BODY_LIMIT = 1_000_000
"""Bytes of an answer that are looked at: a stream has no end."""
WAY_OUT = (
    "run it again in some minutes, or `pulumi config set mirror HOST` with a registry that caches Docker Hub, whose "
    "limit counts all that your address pulls"
)
_SAID = re.compile(
    r"toomanyrequests|too many requests|\brate limit|(?:status|code|error|http|registry|credentials):? 429\b",
    re.IGNORECASE,
)


def wrong_status(check: Mapping[str, Any], status: int) -> str:
    """Why the status does not satisfy the check; empty when it does."""
    expected = check.get("status", http.client.OK)
    return "" if status == expected else f"status is {status}, not {expected}"


def wrong_body(check: Mapping[str, Any], body: str) -> str:
    """Why the body does not satisfy the check; empty when it does."""
    if check.get("contains") and check["contains"] not in body:
        return f"the body does not contain {json.dumps(check['contains'], ensure_ascii=False)}"
    return _wrong_field(check.get("json") or {}, body)


def _wrong_field(fields: Mapping[str, Any], text: str) -> str:
    if not fields:
        return ""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    for field, value in fields.items():
        found, there = _field(body, field)
        if not there:
            return f"field {field} is missing"
        if found != value or isinstance(found, bool) != isinstance(value, bool):
            return f"field {field} is {json.dumps(found)}, not {json.dumps(value)}"
    return ""


def _field(body: Any, dotted: str) -> tuple[Any, bool]:  # noqa: ANN401 - JSON
    if isinstance(body, dict) and dotted in body:
        return body[dotted], True
    for part in dotted.split("."):
        if isinstance(body, dict) and part in body:
            body = body[part]
        elif isinstance(body, list) and part.isdecimal() and int(part) < len(body):
            body = body[int(part)]
        else:
            return None, False
    return body, True


def limited(message: str) -> bool:
    """Whether a message about a failed request means a rate limit; a 429 within a digest or port does not."""
    return bool(_SAID.search(message))
