"""What a stack deploys: its Compose file, or a release of before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.compose.application import Application
    from slipway.contract.problems import Problem
    from slipway.settings.model import Settings

__all__ = ["application_of"]


def application_of(settings: Settings, *, problems: Iterable[Problem] = ()) -> Application:
    """The application that `settings` name.

    Args:
        settings: the stack's settings.
        problems: what was found wrong before, to be told together.

    Raises:
        SlipwayError: with every problem of it.
    """
    if settings.release:
        from slipway.compose.restored_release import restored_application  # noqa: PLC0415  # few updates are rollbacks

        return restored_application(settings, problems=problems)
    from slipway.compose.application import read_application  # noqa: PLC0415  # as late as the other

    return read_application(settings, problems=problems)
