"""Validates what is sent to agents and received from them, by the contract's schemas."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from slipway import contract
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["checked", "release_checked"]

_FOLDER = Path(contract.__file__).parent / "schemas"


def _schema(uri: str) -> Any:  # noqa: ANN401  # a JSON document
    return json.loads((_FOLDER / uri.rsplit("/", 1)[-1]).read_text())


@functools.cache
def _validator(kind: str) -> Any:  # noqa: ANN401  # the library's class differs by draft
    if kind == "release":
        definitions = _schema("deployment.schema.json")["$defs"]
        return jsonschema_rs.validator_for({"$ref": "#/$defs/release", "$defs": definitions})
    return jsonschema_rs.validator_for(_schema(f"{kind}.schema.json"), retriever=_schema)


def _first_error(kind: str, document: object) -> tuple[str, str] | None:
    """The first place that is wrong, and the rule that it breaks; without its value, which may be a secret."""
    error = next(_validator(kind).iter_errors(document), None)
    if error is None:
        return None
    return "/".join(map(str, error.instance_path)) or "the document", "/".join(map(str, error.schema_path))


def release_checked(release: Any) -> Any:  # noqa: ANN401  # anything may be handed in
    """`release` itself, if it is the document of a release.

    Raises:
        SlipwayError: naming the first place that is wrong.
    """
    if error := _first_error("release", release):
        raise SlipwayError(
            f"release: {error[0]} is not as in a release",
            "it was made by another version of Slipway, or is something else (`slipway show --release` prints one)",
            "slipway history",
        )
    return release


def checked(kind: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """`document` itself, if it is a valid `kind`: deployment, report or probe.

    Raises:
        SlipwayError: naming the first place that is wrong, without its value (which may be a secret).
    """
    if error := _first_error(kind, document):
        raise SlipwayError(
            f"{kind}: {error[0]} breaks the contract ({error[1]})",
            "driver and agent are of different versions, or this is a bug in Slipway",
            "uv sync --reinstall-package slipway-deploy",
        )
    return document
