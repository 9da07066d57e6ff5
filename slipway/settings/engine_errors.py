"""Problems as the engine's own error reports: the message, without a traceback."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, TypeVar

from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["raised_to_pulumi", "reported_to_pulumi", "shown"]

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

# How a program says to the language host that it has reported the error already; any other code adds "unhandled error".
# Source: pulumi-language-python-exec, PYTHON_PROCESS_EXITED_AFTER_SHOWING_USER_ACTIONABLE_MESSAGE_CODE.
_REPORTED = 32


def raised_to_pulumi(function: Callable[[_Given], _Made]) -> Callable[[_Given], _Made]:
    """`function` for an `apply`: a `SlipwayError` in it becomes the engine's error report."""

    def raising(given: _Given) -> _Made:
        try:
            return function(given)
        except SlipwayError as error:
            import pulumi  # noqa: PLC0415  # loaded already where anything is applied

            raise pulumi.RunError(shown(error.of_stack(pulumi.get_stack()))) from None

    return raising


@contextlib.contextmanager
def reported_to_pulumi() -> Iterator[None]:
    """Turn a `SlipwayError` into the engine's error report, and end the program.

    Nothing is garbage meanwhile but what imports and components need later: looking for it costs a tenth of their time.
    """
    gc.disable()
    try:
        yield
    except SlipwayError as error:
        import pulumi  # noqa: PLC0415  # 0.3 s that a command line that needs no engine need not pay

        error = error.of_stack(pulumi.get_stack())
        pulumi.log.error(f"\n{shown(error)}" if len(error.problems) > 1 else shown(error))
        raise SystemExit(_REPORTED) from None
    finally:
        gc.enable()


def shown(error: SlipwayError) -> str:
    """An error as the engine may print it."""
    return "\n".join(map(printable, str(error).splitlines()))
