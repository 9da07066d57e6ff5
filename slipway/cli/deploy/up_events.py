"""The engine's events of one `pulumi up` in the words of Slipway: hosts, their steps, resources, the end.

Their form is that of the engine's `--event-log` (pulumi/sdk, apitype/events.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.commands import runnable
from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ENDED", "ERROR", "ON_A_HOST", "STOPPING", "Line", "Story", "Work"]

ON_A_HOST = "slipway:deployment:ComposeDeployment$command:"
"""In the URN of what runs on a host."""

# What components keep for later; done in an instant.
_INNER_COMMANDS = re.compile(r"slipway:(host:Host|deployment:FingerprintKey)\$command:.*-(removal|fingerprint-key)$")
_INNER = ("pulumi:", "slipway:")  # the stack, providers and components have no life of their own
ERROR = "slipway: error: "
"""How an error of the family begins."""

_DONE = {
    "create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "refresh": "refreshed",
    "import": "imported", "create-replacement": "created anew", "delete-replaced": "old one deleted",
    "read": "read", "discard": "discarded",
}  # fmt: skip
_QUIET = ("same", "replace", "read", "refresh", "discard", "read-replacement", "discard-replaced")
STOPPING = "stopping: the engine ends what it is doing, and is waited for"
"""Printed in place of the engine's advice to press Ctrl-C again, which does not reach it from here."""

_CANCELLING = "^C received; cancelling"
_ADVICE = "Note that terminating immediately"
ENDED = ("update failed", "update canceled", "preview failed", "preview canceled")
"""The engine's own last words, which say nothing more."""
_UNHANDLED = "Program failed with an unhandled exception"
_COMMAND = re.compile(r"exit status \d+: running \"")  # how pulumi-command begins an error
_STEP = re.compile(r"(?P<phase>[a-z]+) (?P<what>.*?)(?: (?P<seconds>\d+\.\d\d) s)?")  # slipway/agent/output.py


class Line(NamedTuple):
    """Something that happened; `kind` is step, resource, log, evidence, warning, error or info."""

    kind: str
    where: str  # host or resource; empty for the run as a whole
    text: str
    phase: str = ""
    seconds: float | None = None


@dataclass
class Work:
    """A host or resource at work: since when, what it printed last and when, by the caller's clock in seconds."""

    where: str
    began: float
    last: str = ""
    changed: float = 0.0


@dataclass
class Story:
    """Everything that happened so far."""

    at_work: dict[str, Work] = field(default_factory=dict)  # URN → what is being done there now
    hosts: dict[str, str] = field(default_factory=dict)  # URN → host
    failed: set[str] = field(default_factory=set)  # URNs of the hosts whose agent said why it failed
    begun: bool = False  # whether anything is changed by now
    said: set[str] = field(default_factory=set)  # every line that was printed, without its indentation
    errors: list[str] = field(default_factory=list)  # in the family's form, each once
    crash: str = ""  # the last line of the program's traceback
    changes: Mapping[str, int] = field(default_factory=dict)  # operation → number of resources, of the summary
    outputs: Mapping[str, Any] = field(default_factory=dict)
    outputs_before: Mapping[str, Any] = field(default_factory=dict)

    def report(self, event: Mapping[str, Any], now: float) -> Iterator[Line]:
        """What `event` adds, at `now` by the caller's clock (seconds)."""
        for line in self._lines(event, now):
            text = printable(line.text)
            text = runnable(text) if text.startswith(ERROR) else text  # a host cannot know how it is called here
            self.said.add(text.strip())
            if text.startswith(_ADVICE):
                continue
            if text.startswith(_CANCELLING):
                yield Line("warning", "", STOPPING)
                continue
            if text.startswith(ERROR) and text not in self.errors:
                self.errors.append(text)
            yield line._replace(text=text)

    def unreported(self, output: str) -> str:
        """What the engine printed and no event said: nothing, usually, or why there were no events."""
        found, _, diagnostics = output.partition("Diagnostics:\n")
        printed = re.split(r"^\S", diagnostics, maxsplit=1, flags=re.MULTILINE)[0] if diagnostics else found
        for line in printed.splitlines():
            if line.strip() and not re.fullmatch(r"  \S+ \(.*\):", line) and printable(line).strip() not in self.said:
                said = (f"Diagnostics:\n{printed}" if diagnostics else found).strip()
                return "\n".join(map(printable, said.splitlines()))
        return ""

    def summary(self) -> str:
        """What changed, in words; empty when nothing did."""
        changed = [f"{number} {_DONE.get(what, what)}" for what, number in self.changes.items() if what != "same"]
        if not changed:
            return ""
        return ", ".join([*changed, f"{self.changes['same']} unchanged"] if self.changes.get("same") else changed)

    def ready(self) -> list[str]:
        """The stack's URLs."""
        urls = self.outputs.get("urls")
        return [printable(str(url)) for url in urls] if isinstance(urls, list) else []

    def _lines(self, event: Mapping[str, Any], now: float) -> Iterator[Line]:
        if begun := event.get("resourcePreEvent"):
            self._begin(begun["metadata"], now)
        elif ended := event.get("resOutputsEvent"):
            yield from self._end(ended["metadata"], now)
        elif failed := event.get("resOpFailedEvent"):
            yield from self._fail(failed["metadata"], now)
        elif said := event.get("diagnosticEvent"):
            yield from self._diagnose(said, now)
        elif summary := event.get("summaryEvent"):
            self.changes = summary.get("resourceChanges") or {}
        elif other := event.get("stdoutEvent") or event.get("policyEvent"):
            for text in str(other.get("message", "")).splitlines():
                yield Line("info", "", text)

    def _begin(self, step: Mapping[str, Any], now: float) -> None:
        if step["type"] == "pulumi:pulumi:Stack":
            self.outputs_before = (step.get("old") or {}).get("outputs") or {}
        if _INNER_COMMANDS.search(step["urn"]):
            return
        if ON_A_HOST in step["urn"]:
            self.hosts[step["urn"]] = _host_of(step)
        if step["op"] not in _QUIET and not step["type"].startswith(_INNER):
            self.begun = True
            self.at_work[step["urn"]] = Work(self._where(step["urn"]), now, changed=now)

    def _end(self, step: Mapping[str, Any], now: float) -> Iterator[Line]:
        if step["type"] == "pulumi:pulumi:Stack":
            self.outputs = (step.get("new") or {}).get("outputs") or self.outputs
        work = self.at_work.pop(step["urn"], None)
        if work and (step["urn"] not in self.hosts or step["op"].startswith("delete")):
            yield Line("resource", work.where, _DONE.get(step["op"], step["op"]), seconds=now - work.began)

    def _fail(self, step: Mapping[str, Any], now: float) -> Iterator[Line]:
        work = self.at_work.pop(step["urn"], None)
        if step["urn"] not in self.failed:
            yield Line("error", self._where(step["urn"]), "failed", seconds=now - work.began if work else None)

    def _diagnose(self, said: Mapping[str, Any], now: float) -> Iterator[Line]:
        if said["severity"] == "debug":
            return
        urn = said.get("urn", "")
        where = "" if not urn or urn.split("::")[2].rpartition("$")[2].startswith(_INNER) else self._where(urn)
        prefix, severity = said.get("prefix", ""), said["severity"]
        if urn in self.hosts and ERROR in said["message"]:
            self.failed.add(urn)
        self.said.add(prefix.strip())
        if severity == "error" and _UNHANDLED in said["message"]:
            self.crash = printable(said["message"].strip().splitlines()[-1]).strip()
        for number, text in enumerate(said["message"].splitlines()):
            stripped = printable(text).strip()
            if not stripped:
                continue
            again = stripped in self.said
            self.said |= {stripped, f"{prefix}{stripped}" if number == 0 else stripped}
            if severity not in ("error", "warning"):
                if work := self.at_work.get(urn):
                    work.last, work.changed = stripped, now
                yield self._progress(urn, where, text)
            elif again or stripped in ENDED or (urn in self.failed and _COMMAND.match(stripped)):
                pass  # what a command printed while it ran is in its error once more, after its whole command line
            elif urn in self.hosts:
                line = self._progress(urn, where, text)
                yield line._replace(kind=severity) if line.kind == "info" else line
            else:
                yield Line(severity, where, text)

    def _progress(self, urn: str, where: str, text: str) -> Line:
        if text.startswith((" ", "\t")) and urn:
            return Line("evidence", where, text.rstrip())
        if text.startswith(ERROR):
            return Line("error", where, text)
        if urn not in self.hosts:
            return Line("log" if urn in self.at_work else "info", where, text)
        # The agent begins its lines with the host's name, which stands before them already.
        step = _STEP.fullmatch(text.removeprefix(f"{where} "))
        if step is None or not text.startswith(f"{where} "):
            return Line("info", where, text)
        took = step["seconds"]
        return Line("step", where, step["what"], phase=step["phase"], seconds=float(took) if took else None)

    def _where(self, urn: str) -> str:
        if urn in self.hosts:
            return self.hosts[urn]
        kind, _, name = urn.rpartition("::")
        return f"{kind.rpartition('$')[2].rpartition(':')[2].lower()} {printable(name)}"


def _host_of(step: Mapping[str, Any]) -> str:
    """The host's name: the command is called after the deployment that it belongs to, then the host."""
    name = step["urn"].rpartition("::")[2]
    parent = ((step.get("new") or step.get("old") or {}).get("parent") or "").rpartition("::")[2]
    return printable(name.removeprefix(f"{parent}-"))
