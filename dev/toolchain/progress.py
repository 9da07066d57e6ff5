"""What a person sees while the machine is being prepared: one line a step, with elapsed time.

Owns: the printed form. Does not own: what the steps do.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["say", "step"]

_STARTED = time.monotonic()


def _elapsed() -> str:
    seconds = time.monotonic() - _STARTED
    return f"{int(seconds // 60):d}:{int(seconds % 60):02d}"


def say(text: str) -> None:
    """Print one progress line to standard error, prefixed with the time since the program began (m:ss)."""
    print(f"[{_elapsed()}] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str, why: str) -> Iterator[None]:
    """Announce a step that takes time (what, and why it is needed), then say how long it took (seconds)."""
    say(f"{what} ({why})")
    begun = time.monotonic()
    yield
    say(f"{what}: done in {time.monotonic() - begun:.1f} s")
