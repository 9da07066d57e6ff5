"""The ledgers of a stack's hosts, read side by side, with their clocks set right."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slipway.contract.outcomes import PROVEN, REJECTED, RETURNED, WATCH
from slipway.contract.problems import SlipwayError
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slipway.releases.backend.checkpoints import ReleaseRecords, StackUpdate
    from slipway.settings.model import HostSettings, Settings

__all__ = ["HostLedger", "LedgerLine", "noted", "read_ledgers", "read_release"]

_ANSWER_SECONDS = 30.0
_TEXTS = ("release", "outcome", "reason", "actor", "kind", "run")
_SAME_CLOCK = timedelta(seconds=2)  # the agent reports whole seconds, and its answer takes a while


@dataclass(frozen=True, kw_only=True)
class LedgerLine:
    """One line of a host's ledger (slipway/agent/state/ledger.py)."""

    host: str
    at: datetime
    """By this machine's clock."""
    release: str
    outcome: str
    reason: str = ""
    actor: str = ""
    kind: str = ""
    run: str = ""
    seconds: float | None = None
    previous: str | None = None
    irreversible: bool = False
    """Of a migration: earlier releases cannot run with the data afterwards."""

    @property
    def proven(self) -> bool:
        """Whether the release was seen to run well."""
        return self.outcome in PROVEN


@dataclass(frozen=True, kw_only=True)
class HostLedger:
    """What one host reported."""

    lines: Sequence[LedgerLine]
    """Oldest first."""
    warm: frozenset[str]
    """Releases that it keeps with all their images, so that it can roll back to them by itself."""

    @property
    def live(self) -> str | None:
        """The release that it runs; None before the first."""
        return next((line.release for line in reversed(self.lines) if line.proven), None)


def read_ledgers(settings: Settings, project: str) -> dict[str, HostLedger | SlipwayError]:
    """The ledger of every host of the stack for the Compose project `project`, or why it has none."""

    async def read_all() -> list[HostLedger | SlipwayError]:
        return await asyncio.gather(*(_read(host, settings.private_key(), project) for host in settings.hosts))

    return dict(zip([host.name for host in settings.hosts], asyncio.run(read_all()), strict=True))


def read_release(settings: Settings, host: str, project: str, identifier: str) -> dict[str, Any] | None:
    """The document of a release that `host` keeps; None when it does not answer with one."""
    machine = next(each for each in settings.hosts if each.name == host)
    command = ("release", "--release", identifier)
    try:
        return asyncio.run(_ask(machine, settings.private_key(), project, command, ends_with="id"))[0]
    except SlipwayError:
        return None


def noted(
    updates: Iterable[StackUpdate], records: Mapping[int, ReleaseRecords], lines: Iterable[LedgerLine]
) -> list[LedgerLine]:
    """What watches did and `lines` lack, as updates found and noted it: a ledger goes with its host, or is destroyed.

    By a wrong clock it may seem later than the update that found it.
    """
    known = {(line.host, line.release, line.outcome, line.reason) for line in lines}
    found: dict[tuple[str, ...], LedgerLine] = {}
    for update in updates:
        record = records.get(update.number)
        for host, back in ((record and record.attempted) or {}).get("returned", {}).items():
            at = min(datetime.fromisoformat(back["at"]), update.began - _SAME_CLOCK)
            for outcome, release in ((REJECTED, back["from"]), (RETURNED, back["to"])):
                key = (host, release, outcome, back["reason"])
                line = LedgerLine(
                    host=host, at=at, release=release, outcome=outcome, reason=back["reason"], actor=WATCH
                )
                if key not in known:
                    found.setdefault(key, line)
    return list(found.values())


async def _ask(
    host: HostSettings, private_key: str, project: str, command: tuple[str, ...], *, ends_with: str
) -> list[dict[str, Any]]:
    """The lines that the agent of `host` answers with, whose last one has the key `ends_with`."""
    try:
        async with (
            reached(host, private_key) as connection,
            channel(connection, host.name, project, command=command) as opened,
            asyncio.timeout(_ANSWER_SECONDS),
        ):
            lines = [line async for line in opened.events()]
            if not lines or ends_with not in lines[-1]:
                raise SlipwayError(await opened.complaint())
            return lines
    except TimeoutError:
        raise SlipwayError(
            f"host {host.name}: no answer within {_ANSWER_SECONDS:.0f} s",
            "what happened there is not known",
            "slipway status",
        ) from None


async def _read(host: HostSettings, private_key: str, project: str) -> HostLedger | SlipwayError:
    try:
        *lines, last = await _ask(host, private_key, project, ("history",), ends_with="warm")
        return _ledger(host, lines, last)
    except SlipwayError as error:
        return error
    except (LookupError, TypeError, ValueError) as error:
        return SlipwayError(
            f"host {host.name}: its ledger cannot be read ({type(error).__name__})",
            "what happened there is not known: the file ledger.jsonl of the stack may be damaged",
            "slipway status",
        )


def _ledger(host: HostSettings, lines: list[dict[str, Any]], last: dict[str, Any]) -> HostLedger:
    ahead = datetime.fromisoformat(last["now"]) - datetime.now(UTC)
    if abs(ahead) <= _SAME_CLOCK:
        ahead = timedelta()
    found = [
        LedgerLine(
            host=host.name,
            at=datetime.fromisoformat(line["at"]) - ahead,
            **{name: str(line.get(name) or "") for name in _TEXTS},
            seconds=line.get("seconds"),
            previous=line.get("previous"),
            irreversible=line.get("irreversible") is True,
        )
        for line in lines
    ]
    return HostLedger(lines=found, warm=frozenset(last["warm"]))
