"""Progress and evidence on standard error, results on standard output; redacted and capped.

A line over 64 KiB hangs the driver's SSH plugin. A reader that went away never ends a deployment halfway.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import Redactor, printable

__all__ = ["LINE_LIMIT", "RESULT_LIMIT", "Output"]

LINE_LIMIT = 2_000
_PART = 500
RESULT_LIMIT = 48_000


class Output:
    """Writes for one host; `redactor` is replaced as soon as the secrets are known."""

    def __init__(self, host: str, redactor: Redactor | None = None) -> None:
        self.host = host
        self.redactor = redactor or Redactor()

    def progress(self, phase: str, what: str, seconds: float | None = None) -> None:
        """One short line: `<host> <phase> <what> <seconds>`."""
        took = "" if seconds is None else f" {seconds:.2f} s"
        self._error(f"{self.host} {phase} {what}{took}")

    def failure(self, error: SlipwayError) -> None:
        """The evidence, then the error's one line, which is always the last, and names the fix however long it is."""
        # As one text: a secret may go on in the next line.
        for line in self.redactor.text("\n".join(error.evidence)).split("\n") if error.evidence else ():
            self._error(f"    {line}")
        brief = self.redactor.brief
        short = [Problem(brief(each.what, _PART), brief(each.meaning, _PART), each.fix) for each in error.problems]
        self._error(str(SlipwayError(short)))

    def result(self, document: dict[str, Any]) -> None:
        """A document on one line; secrets are redacted in its free text alone."""
        self.say(json.dumps(self.redactor.document(document), ensure_ascii=False, separators=(",", ":")))

    def say(self, line: str) -> None:
        """One line on standard output, as it is."""
        _write(1, line)

    def _error(self, line: str) -> None:
        text = printable(self.redactor.text(line))
        encoded = text.encode("utf-8", "replace")
        if len(encoded) > LINE_LIMIT:
            text = encoded[: LINE_LIMIT - 4].decode("utf-8", "ignore") + " …"
        _write(2, text)


def _write(descriptor: int, line: str) -> None:
    data = (line + "\n").encode("utf-8", "replace")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        # Nobody listens any more; later writes must not be tried for real either.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
    sys.stdout.flush()
