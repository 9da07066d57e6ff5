"""Blocks of a Compose file that Slipway validates itself, and pydantic's errors about them as problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from slipway.contract.problems import Problem
from slipway.settings.spelling import suggestion
from slipway.settings.values import message_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Block", "problems_of"]


class Block(BaseModel):
    """Keys in camel case, unknown ones refused, no value in a message."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, alias_generator=to_camel)


def problems_of(
    where: str, block: object, error: ValidationError, known: Mapping[str, type[BaseModel]]
) -> list[Problem]:
    """What pydantic found wrong with `block`, which stands at `where`.

    `known` holds the block's own model under "", those of blocks in it under their keys.
    """
    return [_problem(where, block, each, known) for each in error.errors(include_url=False, include_input=False)]


def _problem(where: str, block: object, error: Any, known: Mapping[str, type[BaseModel]]) -> Problem:  # noqa: ANN401
    path = tuple(str(part) for part in error["loc"])
    place = ".".join((where, *_written(block, error["loc"])))
    if error["type"] == "extra_forbidden":
        keys = _keys(path[:-1], known)
        return Problem(
            f"{place}: unknown key",
            suggestion(path[-1], keys, f"nothing in {where.rsplit('.', 1)[-1]} has that name"),
            f"remove or rename it in the Compose file (known: {', '.join(keys)})",
        )
    if error["type"] in ("model_type", "dict_type"):
        return Problem(
            f"{place}: is not a mapping",
            "the service cannot be planned",
            f"correct it in the Compose file (known: {', '.join(_keys(path, known))})",
        )
    return Problem(f"{place}: {message_of(error)}", "the service cannot be planned", "correct it in the Compose file")


def _written(block: object, location: tuple[str | int, ...]) -> list[str]:
    """The place as it is written: one entry may stand where a list is read, and then has no number."""
    place, node = [], block
    for part in location:
        if isinstance(part, int):
            if not isinstance(node, list):
                continue
            node = node[part] if part < len(node) else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
        place.append(str(part))
    return place


def _keys(path: tuple[str, ...], known: Mapping[str, type[BaseModel]]) -> list[str]:
    """The keys that the block at `path` takes; the last named part of the path says which block it is."""
    owner = next((part for part in reversed(path) if part in known), "")
    return [field.alias or name for name, field in known[owner].model_fields.items()]
