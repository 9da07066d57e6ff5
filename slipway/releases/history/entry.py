"""One event of a stack's life: an update of the engine, or something that a host did by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway.contract.outcomes import DEPLOYING, RETURN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["HistoryEntry"]


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """What happened, when, by whom, with what result."""

    number: int | None
    """The update's; None for what happened without the engine, or is no longer in its history."""
    kind: str
    """deploy, rollback, promotion, repair (of drift), automatic rollback; else the engine's: destroy, refresh, …"""
    result: str
    """succeeded, failed, in progress, or interrupted."""
    at: datetime
    seconds: float | None = None
    release: str | None = None
    """The one deployed, or meant to be; for an automatic rollback the one that was rolled back to."""
    commit: str = ""
    branch: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    """Service → image by digest."""
    actor: str = ""
    run: str = ""
    """Address of the CI run; empty outside of CI."""
    message: str = ""
    reason: str = ""
    """Why it failed, or why it was rolled back."""
    returned: str | None = None
    """The release that a failed update went back to, where that is not the one that was live before."""
    irreversible: tuple[str, ...] = ()
    """Services whose migration of this release cannot be undone."""
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Host → outcome, reason, seconds, touched."""
    changes: Mapping[str, int] = field(default_factory=dict)
    """The engine's resources by what happened to them."""

    @property
    def proven(self) -> bool:
        """Whether its release ran well at its end."""
        return self.result == "succeeded" and self.release is not None and self.kind in (*DEPLOYING, RETURN)
