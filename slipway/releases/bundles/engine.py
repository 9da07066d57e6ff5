"""The engine's own commands on a stack. Their standard output may hold settings: only standard error is ever shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.releases.engine import output_of

if TYPE_CHECKING:
    import subprocess

    from slipway.releases.engine import Engine

__all__ = ["answer", "exported_state"]

_STACK_NOT_FOUND = 6  # the engine's exit code (sdk/go/common/util/cmdutil/exit.go)


def exported_state(engine: Engine) -> str | None:
    """What `pulumi stack export` prints, secrets encrypted; None when there is no such stack."""
    done = engine.ask("stack", "export")
    return None if done.returncode == _STACK_NOT_FOUND else _output(engine, done, "nothing was changed")


def answer(engine: Engine, meaning: str, *arguments: str) -> str:
    """What `pulumi ARGUMENTS` prints for the stack; `meaning` is what it means when that fails."""
    return _output(engine, engine.ask(*arguments), meaning)


def _output(engine: Engine, done: subprocess.CompletedProcess[str], meaning: str) -> str:
    return output_of(
        done,
        f"pulumi {' '.join(done.args[1:3])} failed on stack {engine.short}",
        meaning,
        "check PULUMI_CONFIG_PASSPHRASE and where the state is (pulumi whoami --verbose), then run it again; if "
        "another update holds the stack, wait for it, or when its process is gone: pulumi cancel",
    )
