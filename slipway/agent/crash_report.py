"""A bug of ours, reported like any other failure; its traceback goes to a file, not to the terminal."""

from __future__ import annotations

import errno
import os
import shlex
import traceback
from typing import TYPE_CHECKING

from slipway.agent.state.atomic_files import write_atomically
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.contract.redaction import Redactor

__all__ = ["as_error"]

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # of a write they name no file


def as_error(error: Exception, folder: StackFolder | None, redactor: Redactor) -> SlipwayError:
    """The error itself when it is one of the family, else one that says it is a bug and where its traceback lies."""
    if isinstance(error, SlipwayError):
        return error
    place = getattr(error, "filename", None) or (folder and getattr(error, "errno", 0) in _OF_THE_DISK and folder.path)
    if isinstance(error, OSError) and error.strerror and place:
        there = shlex.quote(os.fsdecode(place if os.path.lexists(place) else os.path.dirname(place)))
        return SlipwayError(
            f"{place}: {error.strerror}",
            "the agent could not read or write on this host",
            f"ls -ld {there}; df {there}; df -i {there}",
        )
    path = ""
    if folder is not None and os.path.isdir(folder.path):
        path = os.path.join(folder.path, "bug.txt")
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        try:
            write_atomically(path, redactor.text(text).encode("utf-8", "replace"))
        except OSError:
            path = ""
    return SlipwayError(
        f"the agent failed unexpectedly ({type(error).__name__}: {redactor.brief(str(error), 200)})",
        "this is a bug in Slipway",
        f"report it with {path} of this host" if path else "report it with the lines above",
    )
