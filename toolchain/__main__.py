"""`python -m toolchain COMMAND`: what the Makefile's targets call."""

from __future__ import annotations

import shlex
import sys

from toolchain.process import ToolchainError

_USAGE = "usage: make up | down | check | test | bench   (toolchain/bootstrap env prints what a shell needs)"


def main(arguments: list[str]) -> int:
    """Run one command; 0 on success, 1 on failure, 2 for usage."""
    from toolchain import checks, local  # noqa: PLC0415  # a usage error should not wait for imports

    commands = {
        "up": local.up,
        "down": local.down,
        "check": checks.check,
        "test": checks.test,
        "bench": checks.bench,
        "env": _env,
    }
    if not arguments or arguments[0] not in commands:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]](arguments[1:])
    except ToolchainError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("slipway: error: interrupted — nothing half-made is kept — run it again", file=sys.stderr)
        return 1


def _env(arguments: list[str]) -> int:
    """Print `export` lines with which `pulumi --stack local` works in a shell."""
    from toolchain import local  # noqa: PLC0415  # as in main

    del arguments
    for name, value in {**local.machine(), **local.known()}.items():
        if name == "SLIPWAY_SECRETS":  # read when the shell reads this line, and never printed
            print(f'export {name}="$(cat {shlex.quote(str(local.SECRETS))})"')
        else:
            print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
