"""The message of an update, where it stands among options of `pulumi up`.

Owns: finding it, and adding to it. Does not own: what is added (see `operation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["message_in", "with_message"]


def message_in(arguments: Sequence[str]) -> str:
    """The message that options of `pulumi up` give; empty when they give none."""
    found = _message(arguments)
    return found[2] if found else ""


def with_message(arguments: Sequence[str], more: str) -> list[str]:
    """Options of `pulumi up` with `more` after the message that they give, or as the message where they give none."""
    if not more:
        return list(arguments)
    found = _message(arguments)
    if found is None:
        return [*arguments, "--message", more]
    number, option, text = found
    return [*arguments[:number], f"{option}{text} ({more})", *arguments[number + 1 :]]


def _message(arguments: Sequence[str]) -> tuple[int, str, str] | None:
    """Where the message stands in options, what stands before it there, and its text; the last one counts."""
    found = None
    before = ""
    for number, argument in enumerate(arguments):
        if before in ("--message", "-m"):
            found, before = (number, "", argument), ""
            continue
        before = argument
        for option in ("--message=", "-m=", "-m"):
            if argument.startswith(option) and argument != "-m":
                found = (number, option, argument.removeprefix(option))
                break
    return found
