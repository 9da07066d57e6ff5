"""The engine's own commands on a stack, as bundles need them.

Owns: what their answers and their errors mean here. Does not own: running them (see cli/stack.py), or what is done
with the answers. Standard output may hold settings, so only standard error is ever told.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.stack import last_words
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from cli.stack import Engine

__all__ = ["bring_back", "exported_state", "make_stack", "set_tag", "tags_of"]

_SHOWN = 300  # characters of what the engine said
_AGAIN = "run it again when that is fixed"


def exported_state(engine: Engine) -> str | None:
    """What `pulumi stack export` prints, secrets encrypted; None when there is no such stack.

    Raises:
        SlipwayError: when the backend cannot be read.
    """
    done = engine.ask("stack", "export")
    if done.returncode == 0:
        return done.stdout
    if "no stack named" in done.stderr:
        return None
    raise _refused(f"the state of stack {engine.short} cannot be read", done, "nothing was changed")


def tags_of(engine: Engine) -> dict[str, str]:
    """The stack's tags.

    Raises:
        SlipwayError: when the backend cannot be read.
    """
    done = engine.ask("stack", "tag", "ls", "--json")
    if done.returncode == 0:
        found: dict[str, str] | None = json.loads(done.stdout or "null")
        return found or {}
    raise _refused(f"the tags of stack {engine.short} cannot be read", done, "nothing was changed")


def make_stack(engine: Engine, provider: str) -> None:
    """Make the stack anew, without selecting it; `provider` is whose key encrypts, the backend's own when empty.

    Raises:
        SlipwayError: when the backend refuses.
    """
    whose = ["--secrets-provider", provider] if provider else []
    done = engine.ask("stack", "init", "--no-select", *whose)
    if done.returncode != 0:
        raise _refused(f"stack {engine.short} cannot be made", done, f"its state was not brought back; {_AGAIN}")


def bring_back(engine: Engine, state: Mapping[str, Any]) -> None:
    """Make `state` the stack's own.

    Raises:
        SlipwayError: when the engine refuses; then the stack's state is as before.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:  # mode 0700
        file = Path(folder) / "state.json"
        file.write_text(json.dumps(state))
        done = engine.ask("stack", "import", "--file", str(file))
    if done.returncode != 0:
        meaning = f"the state of stack {engine.short} is as before; {_AGAIN}"
        raise _refused("the engine does not take the bundle's state", done, meaning)


def set_tag(engine: Engine, name: str, value: str) -> None:
    """Set a tag of the stack.

    Raises:
        SlipwayError: when the backend refuses.
    """
    done = engine.ask("stack", "tag", "set", name, value)
    if done.returncode != 0:
        raise _refused(f"tag {name} cannot be set", done, f"the state was brought back, this tag was not; {_AGAIN}")


def _refused(what: str, done: subprocess.CompletedProcess[str], meaning: str) -> SlipwayError:
    """The family's form of an error of the engine's."""
    said = last_words(done)[:_SHOWN]
    fix = "see whether the backend answers: pulumi whoami --verbose, then pulumi stack ls"
    if "passphrase" in said:
        fix = "export PULUMI_CONFIG_PASSPHRASE=… (the stack's own)"
    elif "unable to open bucket" in done.stderr:
        fix = "make the folder or bucket that it names, or log in where the state is to live: pulumi login"
    elif "pulumi cancel" in done.stderr:
        fix = "wait for the other update; or, when its process is gone: pulumi cancel"
    return SlipwayError(Problem(f"{what} ({said})", meaning, fix))
