"""What one run of the engine did, and what it said."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

__all__ = ["Run"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What one run of the engine did."""

    code: int
    text: str
    """All that it printed."""
    events: list[dict[str, Any]]
    """The engine's event log."""
    seconds: float

    @property
    def _begun(self) -> list[dict[str, Any]]:
        """What was begun for each resource but the stack itself and the providers."""
        begun = [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]
        inner = ("pulumi:pulumi:", "pulumi:providers:")
        return [step for step in begun if not step["type"].startswith(inner) and step["op"] != "read"]

    @property
    def steps(self) -> dict[str, str]:
        """Resource → operation, the program's components included."""
        return {_name(step): step["op"] for step in self._begun}

    @property
    def changes(self) -> dict[str, str]:
        """Resource → operation, for what is more than `same`; components have no life of their own."""
        return {
            _name(step): step["op"]
            for step in self._begun
            if step["op"] != "same" and not step["type"].startswith("slipway:")
        }

    @property
    def services(self) -> dict[str, set[str]]:
        """HOST/SERVICE → the inputs that differ, for every service that is created, changed or deleted."""
        changed = [step for step in self._begun if step["type"] == "slipway:deployment:Service"]
        return {_name(step): _differing(step) for step in changed if step["op"] != "same"}

    def said(self, *severities: str) -> str:
        """What was shown for resources, of the given severities (all but debug when none is given)."""
        shown = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        wanted = severities or ("info", "info#err", "warning", "error")
        return "".join(each["message"] for each in shown if each["severity"] in wanted)

    @property
    def problems(self) -> list[list[str]]:
        """The errors in the family's form, split into what, meaning and fix."""
        lines = dict.fromkeys(re.findall(r"slipway: error: (.+)", self.said("error") or self.text))
        return [line.split(" — ") for line in lines]

    @property
    def problem(self) -> str:
        """The one error in the family's form, as one line without its prefix; it has all three parts."""
        assert len(self.problems) == 1, f"{len(self.problems)} problems were told:\n{self.text}"
        assert len(self.problems[0]) >= 3, f"a part is missing: {self.problems[0]}"
        return " — ".join(self.problems[0])


def _differing(step: dict[str, Any]) -> set[str]:
    old, new = ((step.get(side) or {}).get("inputs") or {} for side in ("old", "new"))
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}


def _name(step: dict[str, Any]) -> str:
    return str(step["urn"]).rsplit("::", 1)[1]
