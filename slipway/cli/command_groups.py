"""The commands in the groups that `slipway --help` shows. Each is loaded when it is called: help comes at once."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS", "GROUPS", "CommandGroups"]

GROUPS: Mapping[str, Mapping[str, str]] = {
    "Set up": {
        "init": "Write an application's stack files, and create its stacks.",
        "secrets": "Import a .env file; take secrets out of the Compose file.",
        "host": "Check hosts, prepare them; make keys for previews.",
        "upgrade": "Upgrade this project to another version of Slipway.",
        "doctor": "Check everything that a deployment needs; names each fix.",
    },
    "Deploy": {
        "preview": "Show what a deployment would change, and interrupt.",
        "up": "Deploy, showing every step on every host as it happens.",
        "move": "Show a move from a Compose project; undo or finish it.",
        "promote": "Deploy the release of one stack to another, without a build.",
        "pr": "Deploy a pull request to an environment of its own.",
        "validate": "Mark the live release as good: failed updates return to it.",
        "tag": "Tag the live release's images in the registry: v1.2.0.",
        "await-checks": "Validate or roll back, as the commit's GitHub checks end.",
    },
    "Look": {
        "status": "Show what runs, and whether it is what was deployed.",
        "health": "Ask all that is deployed whether it answers its visitors.",
        "ps": "List the containers of all hosts.",
        "logs": "Show the logs of all containers, in the order of time.",
        "cost": "Show what the stack's machines cost a month.",
        "watch": "Follow requests and errors of the release deployed last.",
    },
    "Go back": {
        "history": "List all updates: who, when, result, and the way back.",
        "show": "Show one update: its release, its changes, its hosts.",
        "diff": "Show what changed between two releases.",
        "rollback": "Roll back to an earlier release.",
        "export": "Save the state and live release of a stack in one file.",
        "import": "Restore a stack from such a file.",
    },
    "Operate": {
        "exec": "Run a command in a container.",
        "shell": "Open a shell in a container or on a host.",
        "lock": "Show who holds the stack's lock; release a stale one.",
        "maintenance": "Switch the maintenance page on or off.",
        "prune": "Delete old images from the registry, but for ways back.",
        "notify": "Send a message to those whom a stack's `notify` names.",
    },
}
"""Group → command → its line in the help. A command is the function of that name in `commands/GROUP/COMMAND.py`."""

COMMANDS: Mapping[str, str] = {name: group for group, commands in GROUPS.items() for name in commands}
"""Command → its group, in the order of the help."""

_FUNCTIONS = {"exec": "exec_", "import": "import_"}  # Python uses these names itself


class _Command(TyperCommand):
    """One command: what goes wrong in it leads on to commands for the same stack."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # a private type of typer's
        """Run it."""
        try:
            return super().invoke(ctx)
        except SlipwayError as error:
            # Without the option, what it leads on to reads PULUMI_STACK as well, or means the selected stack.
            raise error.of_stack(ctx.params.get("stack") or os.environ.get("PULUMI_STACK", "")) from error


class CommandGroups(TyperGroup):
    """All commands of the program."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002  # typer's signature
        """The names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> Any:  # noqa: ANN401, ARG002  # a private type of typer's
        """Load the command called `cmd_name`; None when there is none."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:  # after a typo, all that may have been meant
            self.commands.setdefault(name, _load(name))
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: object, formatter: Any) -> None:  # noqa: ANN401, ARG002  # as above
        """Write one section per group."""
        width = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), line) for name, line in commands.items()])


def _load(name: str) -> Any:  # noqa: ANN401  # as above
    function = _FUNCTIONS.get(name, name.replace("-", "_"))
    module = import_module(f"slipway.cli.commands.{COMMANDS[name].lower().replace(' ', '_')}.{function}")
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=_Command)(getattr(module, function))
    return typer.main.get_command(single)
