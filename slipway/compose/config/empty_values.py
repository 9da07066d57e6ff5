"""Variables that a Compose file refers to, the stack lacks, and Compose would take as empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.compose.config.compose_model import resolve
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.settings.model import Settings

__all__ = ["empty_names"]

_NEVER = ("DOMAIN", "PATH")  # the setting `domain` gives the one, the container has the other


def empty_names(settings: Settings) -> tuple[list[str], list[str]]:
    """Those that may be empty; and those that may not: `${NAME:?}`, or what Compose cannot read then (`:/data`).

    Raises:
        SlipwayError: Compose cannot read the file, whatever they hold.
    """
    missing = {each.subject for each in resolve(settings).problems if each.code == "variable-missing"}
    names = sorted(missing.difference(_NEVER))
    refused = _refused(names, settings)
    return [name for name in names if name not in refused], sorted(missing.intersection({*refused, *_NEVER}))


def _refused(names: Sequence[str], settings: Settings) -> set[str]:
    """The names that Compose refuses when they are empty, halved until each is found."""
    empty = {**settings.variables, **dict.fromkeys(names, "")}
    try:
        found = resolve(settings.model_copy(update={"variables": empty})).problems
        return {each.subject for each in found if each.code == "variable-missing"}.intersection(names)
    except SlipwayError:
        if len(names) == 1:
            return set(names)
    half = len(names) // 2
    return _refused(names[:half], settings) | _refused(names[half:], settings)
