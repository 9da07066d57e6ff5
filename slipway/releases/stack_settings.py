"""Variables and secrets of a stack, as the engine keeps them: read, and changed all at once or not at all."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from slipway.contract.problems import SlipwayError
from slipway.releases.engine import last_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from slipway.releases.engine import Engine

__all__ = ["Change", "change_settings", "stated_values"]

_TOGETHER = 100  # plain values in one command line, which takes 2 MB
# What the engine would write as another number than it is: https://pkg.go.dev/strconv#ParseInt
_OTHER_NUMBER = re.compile(r"\+\d+|-0\d*")


class Change(NamedTuple):
    """A change of one setting."""

    path: str
    """As the engine's `--path` takes it."""
    value: str | None
    """None removes it."""
    secret: bool = False


def stated_values(engine: Engine) -> tuple[dict[str, str], dict[str, str]]:
    """The stack's variables and its secrets, decrypted: name → value."""
    configured = engine.configuration()

    def entries(key: str) -> dict[str, str]:
        try:
            stated = dict(json.loads(str(configured[f"{engine.project}:{key}"]["value"])))
        except (LookupError, ValueError, TypeError):
            return {}
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in stated.items()}

    return entries("variables"), entries("secrets")


def change_settings(engine: Engine, changes: Sequence[Change], report: Callable[[int], None] = lambda _: None) -> None:
    """Let the engine make the changes in a copy of the stack's file, which then takes the file's place.

    Secrets go through standard input; `report` gets the number of changes made so far. Raises SlipwayError when the
    engine refuses one, or somebody else changed the file meanwhile: then it is as it was.
    """
    file = engine.stack_file.resolve()
    copy = file.with_name(f".{file.stem}.{secrets.token_hex(4)}.partial.yaml")  # the engine goes by the ending
    before = _content(file)
    made = 0
    try:
        if before is not None:
            copy.touch(file.stat().st_mode & 0o777)
            copy.write_bytes(before)
        for words, value, count in _commands(changes):
            done = engine.run("config", *words, "--config-file", str(copy), "--stack", engine.stack, given=value)
            if done.returncode != 0:
                said = last_words(done)
                reason = said if not value or value not in said else f"exit code {done.returncode}"
                what = "the variables" if words[0] == "set-all" else words[-1]
                meaning, fix = "nothing was changed", f"pulumi config --stack {engine.stack}"
                raise SlipwayError(f"the engine does not change {what} ({reason})", meaning, fix)
            made += count
            report(made)
        if _content(file) != before:
            what = f"{file.name} was changed by somebody else meanwhile"
            raise SlipwayError(what, "nothing was changed here, so that nothing of theirs is lost", "run it again")
        copy.replace(file)
    except OSError as error:
        what = f"{file.name} cannot be written ({error.strerror or error})"
        raise SlipwayError(what, "nothing was changed", "make it and its folder writable, then run it again") from None
    finally:
        with suppress(OSError):
            copy.unlink(missing_ok=True)


def _commands(changes: Sequence[Change]) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Words behind `pulumi config`, what standard input holds, and how many changes that makes.

    Plain values of usual form go together, in far less time.
    """
    plain = [each for each in changes if each.value is not None and not each.secret]
    unusual = [each for each in plain if _OTHER_NUMBER.fullmatch(each.value or "")]
    usual = [each for each in plain if each not in unusual]
    for start in range(0, len(usual), _TOGETHER):
        some = usual[start : start + _TOGETHER]
        pairs = [word for each in some for word in ("--plaintext", f"{each.path}={each.value}")]
        yield ("set-all", "--path", *pairs), "", len(some)
    for each in unusual:
        yield ("set", "--type", "string", "--path", each.path), each.value or "", 1
    for each in changes:
        if each.value is None:
            yield ("rm", "--path", each.path), "", 1
        elif each.secret:
            raw = ("--raw",) if each.value.endswith("\n") else ()  # else it takes line ends away
            yield ("set", "--secret", *raw, "--path", each.path), each.value, 1


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
