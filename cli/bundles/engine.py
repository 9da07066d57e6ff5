"""The engine's own commands on a stack. Their standard output may hold settings: only standard error is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from cli.stack import last_words
from components.errors import Problem, SlipwayError

if TYPE_CHECKING:
    import subprocess

    from cli.stack import Engine

__all__ = ["answer", "exported_state", "file_of"]

_STACK_NOT_FOUND = 6  # the engine's exit code (sdk/go/common/util/cmdutil/exit.go)


def file_of(engine: Engine) -> Path:
    """Where the stack's file is, or would be."""
    if "--config-file" in engine.options:
        return Path(engine.options[list(engine.options).index("--config-file") + 1])
    project = yaml.safe_load((engine.root / "Pulumi.yaml").read_text()) or {}
    return engine.root / str(project.get("stackConfigDir") or "") / f"Pulumi.{engine.short}.yaml"


def exported_state(engine: Engine) -> str | None:
    """What `pulumi stack export` prints, secrets encrypted; None when there is no such stack.

    Raises:
        SlipwayError: when the backend cannot be read.
    """
    done = engine.ask("stack", "export")
    return None if done.returncode == _STACK_NOT_FOUND else _output(engine, done, "nothing was changed")


def answer(engine: Engine, meaning: str, *arguments: str) -> str:
    """What `pulumi ARGUMENTS` prints for the stack.

    Raises:
        SlipwayError: when it fails, with `meaning` as what that means.
    """
    return _output(engine, engine.ask(*arguments), meaning)


def _output(engine: Engine, done: subprocess.CompletedProcess[str], meaning: str) -> str:
    if done.returncode == 0:
        return done.stdout
    raise SlipwayError(
        Problem(
            f"pulumi {' '.join(done.args[1:3])} failed on stack {engine.short} ({last_words(done)[:300]})",
            meaning,
            "check PULUMI_CONFIG_PASSPHRASE and where the state is (pulumi whoami --verbose), then run it again; if "
            "another update holds the stack, wait for it, or when its process is gone: pulumi cancel",
        )
    )
