"""`python -m dev.toolchain COMMAND`: what the Makefile's targets call."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

from dev.toolchain.process import ToolchainError

_MERGED = (
    "import json, os, sys; print(json.dumps(json.load(open(sys.argv[1])) | json.loads(os.environ['SLIPWAY_SECRETS'])))"
)
_USAGE = "usage: make up | down | check | test | bench   (dev/toolchain/bootstrap env prints what a shell needs)"


def main(arguments: list[str]) -> int:
    """Run one command; 0 on success, 1 on failure, 2 for usage."""
    try:
        from dev.toolchain import checks, local  # noqa: PLC0415  # they need what .venv may lack
    except ImportError as error:
        fix = f"rm -r {sys.prefix}, then run it again"
        print(f"slipway: error: {error} — the Python environment is not complete — {fix}", file=sys.stderr)
        return 1
    commands = {
        "up": local.up,
        "down": local.down,
        "check": checks.check,
        "test": checks.test,
        "bench": checks.bench,
        "env": _env,
        "machine": _machine,
    }
    if not arguments or arguments[0] not in commands:
        print(_USAGE, file=sys.stderr)
        return 2
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in slipway/cli/deploy/engine_run.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return commands[arguments[0]](arguments[1:])
    except ToolchainError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, subprocess.SubprocessError) as error:
        meaning = "something on this machine is not as it must be"
        print(f"slipway: error: {error} — {meaning} — fix what it names, then run it again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("slipway: error: interrupted — nothing half-made is kept — run it again", file=sys.stderr)
        return 1


def _machine(arguments: list[str]) -> int:
    """Get this machine and the stack `local` ready, and print the environment as JSON: `slipway up --stack local`."""
    from dev.toolchain import local  # noqa: PLC0415  # as in main

    del arguments
    prepared = local.machine()
    local.initialise(prepared | local.known())
    local.configuration()
    print(json.dumps(prepared))
    return 0


def _env(arguments: list[str]) -> int:
    """Print `export` lines with which `pulumi --stack local` works in a shell."""
    from dev.toolchain import local  # noqa: PLC0415  # as in main

    del arguments
    prepared = local.machine() | local.known()
    local.initialise(prepared)
    for name, value in prepared.items():
        if name == "SLIPWAY_SECRETS":  # read when the shell reads this line, and never printed
            given = os.environ.get(name)
            reader = f"{shlex.quote(sys.executable)} -c {shlex.quote(_MERGED)}" if given else "cat"
            print(f'export {name}="$({reader} {shlex.quote(str(local.SECRETS))})"')
        else:
            print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
