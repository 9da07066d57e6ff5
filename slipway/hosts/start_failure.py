"""Why a host did not start the agent, from what it printed instead: start-up files, shells, Python, folders."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
from typing import Any

from slipway.contract.problems import Problem, in_brief

__all__ = ["FAILED", "OLDEST_PYTHON", "start_failure"]

FAILED = b"agent: failed "
"""How the bootstrap (agent_channel.py) begins the line that says why it could not put the agent into its folder."""

OLDEST_PYTHON = (3, 9)
_NOTHING = "nothing was done there"
_SHOWN = 300
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_STARTS = "a start-up file (such as ~/.bashrc) ends the shell, or `command=` stands before the key in authorized_keys"

# What is said instead of the agent → what that is, what it means. Sources: nologin(8), pam_unix, cloud-init's
# `disable_root_opts`, git-shell(1), bash(1) "RESTRICTED SHELL".
_SAID = (
    (r"account is (currently )?not available|nologin", "the login shell of {user} is nologin", "it may run nothing"),
    (r"(?i)login as the user \"(?P<name>[\w.-]+)\"", "{user} may not log in there, but {name} may",
     "the machine's image is made so"),
    (r"(?i)password (has )?expired|required to change your password|account has expired",
     "the password or account of {user} has expired", "sshd lets it run nothing"),
    (r"(?i)restricted|git-shell|interactive git shell|unrecognized command",
     "the login shell of {user} is a restricted one", "it may not run the agent"),
)  # fmt: skip


def start_failure(host: str, said: str, code: int | None, place: str, *, goes_on: bool = False) -> Problem:
    """The problem of `host` that printed `said` (standard output, then error) and ended with `code` (None: unknown).

    `place` is USER@ADDRESS with ssh's options, as a person would type them; empty for this machine. `goes_on`: it
    neither ended nor came to the agent.
    """
    last = next((line for line in reversed(said.splitlines()) if line.startswith("agent: ")), "")
    word, _, rest = last.removeprefix("agent: ").partition(" ")
    if word == "python":
        return _python(host, rest, place)
    if word == "failed":
        with contextlib.suppress(
            ValueError, LookupError, TypeError, AttributeError, RecursionError
        ):  # of something else
            return _folder(host, json.loads(rest), place)
    user = place.rpartition(" ")[2].partition("@")[0] or "this user"
    for pattern, what, meaning in _SAID:
        if found := re.search(pattern, said):
            words = {"user": user, **found.groupdict()}
            return Problem(
                f"host {host}: {what.format(**words)}", f"{meaning}; {_NOTHING}", _way_out(pattern, words, place)
            )
    text = in_brief(said, _SHOWN)
    if goes_on:
        what = f"what the shell runs before the agent does not end (it said: {text or 'no whole line'})"
        meaning = f"a start-up file (such as ~/.bashrc) prints without end, or waits for something; {_NOTHING}"
        return Problem(f"host {host}: {what}", meaning, f"{_there(place, 'echo works')} | head -c 1000")
    if text and code:
        what = f"the agent did not start, exit code {code} (it said: {text})"
    elif text:
        what = f"something else ran in place of the agent (it said: {text})"
    elif code:
        what = f"the login shell of {user} ended at once with exit code {code} and printed nothing"
    else:
        what = "the shell ended before the agent began, and printed nothing"
    meaning = f"{_STARTS}, or it is /bin/false" if code and not text else _STARTS
    return Problem(f"host {host}: {what}", f"{meaning}; {_NOTHING}", _there(place, "echo works"))


def _way_out(pattern: str, words: dict[str, Any], place: str) -> str:
    if "name" in words:
        return f"set user of this host to {words['name']} in hosts of the stack's settings"
    if "expired" in pattern:
        return _there(place, "passwd", terminal=True)
    return _as_root(place, f"usermod --shell /bin/sh {shlex.quote(words['user'])}")


def _python(host: str, what: str, place: str) -> Problem:
    oldest, meaning = ".".join(map(str, OLDEST_PYTHON)), "the agent cannot run there"
    kind, _, module = what.partition(" ")
    if kind not in ("none", "lacks"):
        fix = f"install Python {oldest} or newer there, as the python3 that its shell finds"
        return Problem(f"host {host}: its python3 is {what}, which is too old", meaning, fix)
    found = f"its python3 has no module {module}" if module else "python3 is missing"
    return Problem(f"host {host}: {found}", meaning, _as_root(place, "apt-get install -y python3"))


def _folder(host: str, found: dict[str, Any], place: str) -> Problem:
    """What kept the agent from being put into its folder; `found` is of the bootstrap (agent_channel.py)."""
    path, there, user, number = found["path"], found["there"], found["user"], found["number"]
    home, shown = found["home"], shlex.quote(there)
    owner = f"; {there} belongs to {found['owner']}" if number in _FORBIDDEN else ""
    what = f"host {host}: {path} cannot be written ({found['reason']}{owner})"
    if number not in _FORBIDDEN:
        full = f"df -h {shown}; df -i {shown}"
        commands = {errno.EROFS: f"findmnt --target {shown}", errno.ENOSPC: full, errno.EDQUOT: full}
        fix = _there(place, commands.get(number, f"ls -ld {shown}"))
    elif there.startswith(f"{home}/"):
        fix = _as_root(place, f"chown -R {shlex.quote(user)} {shown}")
    else:  # never a folder of the system
        missing = home if os.path.commonpath((home, path)) == home else found["folder"]
        fix = _as_root(place, f"install -d -o {shlex.quote(user)} -m 700 {shlex.quote(missing)}")
    return Problem(what, f"the agent and its records lie there; {_NOTHING}", fix)


def _as_root(place: str, command: str) -> str:
    """The deploy user need not be able to do it."""
    return f"on the host, as root: {command}" if place else f"sudo {command}"


def _there(place: str, command: str, *, terminal: bool = False) -> str:
    return f"ssh {'-t ' if terminal else ''}{place} {shlex.quote(command)}" if place else command
