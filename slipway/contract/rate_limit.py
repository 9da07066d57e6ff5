"""Rate limits of registries: how registries, engines and builders report one, and what helps."""

from __future__ import annotations

import re

__all__ = ["WAY_OUT", "limited"]

WAY_OUT = (
    "run it again in some minutes, or `pulumi config set mirror HOST` with a registry that caches Docker Hub, whose "
    "limit counts all that your address pulls"
)
_SAID = re.compile(
    r"toomanyrequests|too many requests|\brate limit|(?:status|code|error|http|registry|credentials):? 429\b",
    re.IGNORECASE,
)


def limited(message: str) -> bool:
    """Whether a message about a failed request means a rate limit; a 429 within a digest or port does not."""
    return bool(_SAID.search(message))
