"""A registry that answers no more for now: how it, engines and builders say so, and what helps."""

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
    """Whether the words about a failed request mean a rate limit; digits of a digest or port do not."""
    return bool(_SAID.search(message))
