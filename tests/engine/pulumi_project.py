"""A Pulumi project of a test: its own folder, program, state, and the outcome of every run."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["STACK", "UP_SECONDS", "Outcome", "Project"]

UP_SECONDS = 240  # for one run of the engine on a busy machine
STACK = "test"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one run of the engine did, from its event log."""

    code: int
    text: str
    events: list[dict[str, Any]]

    @property
    def steps(self) -> list[tuple[str, str]]:
        """(operation, resource name) in the order in which they were begun; the stack and providers are left out."""
        begun = [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]
        return [
            (step["op"], step["urn"].rsplit("::", 1)[1])
            for step in begun
            if not step["type"].startswith("pulumi:") and step["op"] != "read"
        ]

    @property
    def logged(self) -> str:
        """Everything shown for resources while they were at work, statuses that pass by included."""
        shown = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return "".join(message["message"] for message in shown if message["severity"] != "debug")

    @property
    def errors(self) -> str:
        shown = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return "".join(message["message"] for message in shown if message["severity"] == "error")


@dataclasses.dataclass(frozen=True)
class Project:
    """A Pulumi project in its own folder, state and all."""

    folder: Path
    env: dict[str, str]

    def write(self, program: str, **given: object) -> None:
        """Make `program` the project's, with `given` as its variable of that name."""
        (self.folder / "given.json").write_text(json.dumps(given))
        head = "import json\nimport pulumi\ngiven = json.load(open('given.json'))\n"
        (self.folder / "__main__.py").write_text(head + program)

    def command(self, *argv: str) -> list[str]:
        events = ["--event-log", str(self.folder / "events.json")]
        return ["pulumi", *argv, "--stack", STACK, "--non-interactive", "--color", "never", *events]

    def pulumi(self, *argv: str, fails: bool = False) -> Outcome:
        (self.folder / "events.json").unlink(missing_ok=True)
        done = subprocess.run(
            self.command(*argv),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"pulumi {argv[0]} exited {done.returncode}:\n{text}"
        return Outcome(done.returncode, text, self.events())

    def events(self) -> list[dict[str, Any]]:
        log = self.folder / "events.json"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def up(self, program: str, *, fails: bool = False, **given: object) -> Outcome:
        self.write(program, **given)
        return self.pulumi("up", "--yes", "--skip-preview", fails=fails)

    def preview(self, program: str, *, fails: bool = False, **given: object) -> Outcome:
        self.write(program, **given)
        return self.pulumi("preview", fails=fails)

    def destroy(self, *, fails: bool = False) -> Outcome:
        return self.pulumi("destroy", "--yes", "--skip-preview", fails=fails)

    @property
    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = json.loads(self._shown("output", "--json"))
        return outputs

    @property
    def decrypted(self) -> str:
        """What a job with the stack's passphrase can read of the state."""
        return self._shown("export")

    def _shown(self, *argv: str) -> str:
        command = ["pulumi", "stack", *argv, "--show-secrets", "--stack", STACK]
        run = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, timeout=UP_SECONDS, check=True
        )
        return run.stdout.decode()

    @property
    def state(self) -> str:
        """All that the backend holds, history included."""
        files = (self.folder / "state").rglob("*.json*")
        return "".join(file.read_text() for file in files if file.is_file())
