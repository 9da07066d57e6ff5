"""Reads the contract's schemas (packed beside this module) and holds documents against them.

A validator for the part of JSON Schema that the contract uses, and no more: an unknown keyword is an error here, so
that a schema can never ask for something that is silently not checked. Messages name places, never values: a value
can be a secret.
"""

from __future__ import annotations

import json
import re
from typing import Any

from agent.errors import DocumentError

__all__ = ["problems", "require", "schema"]

_MOST_SHOWN = 8
_NOTES = frozenset({"$schema", "title", "description", "$defs"})
_KEYWORDS = _NOTES | {
    "$ref", "type", "const", "enum", "pattern", "minLength", "minimum", "maximum", "minItems", "items", "required",
    "properties", "additionalProperties", "propertyNames", "oneOf",
}  # fmt: skip


def schema(name: str) -> dict[str, Any]:
    """One of the contract's schemas: `deployment`, `probe` or `report`."""
    import pkgutil

    content = pkgutil.get_data("agent", f"contract/{name}.schema.json")
    return dict(json.loads(content or b"{}"))


def require(document: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - checked here
    """The document, when it keeps the contract.

    Raises:
        DocumentError: it does not; every problem is in the evidence.
    """
    found = problems(document, schema(name))
    if found:
        raise DocumentError(
            f"the {name} document breaks the contract: {found[0]}",
            "driver and agent do not understand each other, so nothing was touched",
            "run the deployment again, so that the driver ships its own agent",
            found[:_MOST_SHOWN],
        )
    return dict(document)


def problems(value: Any, rules: dict[str, Any]) -> list[str]:  # noqa: ANN401 - JSON
    """What breaks the rules, as `<place>: <rule>`; empty when nothing does."""
    return _check(value, rules, rules, "document")


def _check(value: Any, rules: dict[str, Any], root: dict[str, Any], place: str) -> list[str]:  # noqa: ANN401 - JSON
    unknown = set(rules) - _KEYWORDS
    if unknown:
        return [f"{place}: the schema uses {', '.join(sorted(unknown))}, which this agent does not check"]
    if "$ref" in rules:
        target, root = _resolve(rules["$ref"], root)
        return _check(value, target, root, place)
    if "oneOf" in rules:
        return _one_of(value, rules["oneOf"], root, place)
    wrong = _itself(value, rules)
    return [f"{place}: {wrong}"] if wrong else _inside(value, rules, root, place)


def _itself(value: Any, rules: dict[str, Any]) -> str:  # noqa: ANN401 - JSON
    """What is wrong with the value as a whole."""
    if "const" in rules and not _equal(value, rules["const"]):
        return f"must be {json.dumps(rules['const'])}"
    if "enum" in rules and not any(_equal(value, choice) for choice in rules["enum"]):
        return f"must be one of {', '.join(map(str, rules['enum']))}"
    kinds = rules.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"must be {' or '.join(kinds)}"
    return ""


def _inside(value: Any, rules: dict[str, Any], root: dict[str, Any], place: str) -> list[str]:  # noqa: ANN401 - JSON
    """What is wrong with its content."""
    if isinstance(value, str):
        return _text(value, rules, place)
    if isinstance(value, dict):
        return _object(value, rules, root, place)
    if isinstance(value, list):
        return _array(value, rules, root, place)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value, rules, place)
    return []


def _text(value: str, rules: dict[str, Any], place: str) -> list[str]:
    if len(value) < rules.get("minLength", 0):
        return [f"{place}: must not be empty"]
    if "pattern" in rules and not re.search(rules["pattern"].replace("$", r"\Z"), value):
        return [f"{place}: must match {rules['pattern']}"]
    return []


def _number(value: float, rules: dict[str, Any], place: str) -> list[str]:
    if value < rules.get("minimum", value):
        return [f"{place}: must be at least {rules['minimum']}"]
    if value > rules.get("maximum", value):
        return [f"{place}: must be at most {rules['maximum']}"]
    return []


def _array(value: list[Any], rules: dict[str, Any], root: dict[str, Any], place: str) -> list[str]:
    if len(value) < rules.get("minItems", 0):
        return [f"{place}: must have at least {rules['minItems']} entries"]
    found = []
    for position, item in enumerate(value):
        found += _check(item, rules.get("items", {}), root, f"{place}[{position}]")
    return found


def _object(value: dict[str, Any], rules: dict[str, Any], root: dict[str, Any], place: str) -> list[str]:
    found = [f"{place}: {name} is missing" for name in rules.get("required", ()) if name not in value]
    known = rules.get("properties", {})
    other = rules.get("additionalProperties", True)
    for name, item in value.items():
        here = f"{place}.{name}"
        if "propertyNames" in rules:
            found += _check(name, rules["propertyNames"], root, f"{here} (its name)")
        if name in known:
            found += _check(item, known[name], root, here)
        elif other is False:
            found.append(f"{here}: is not part of the contract")
        elif isinstance(other, dict):
            found += _check(item, other, root, here)
    return found


def _one_of(value: Any, choices: list[dict[str, Any]], root: dict[str, Any], place: str) -> list[str]:  # noqa: ANN401 - JSON
    results = [_check(value, choice, root, place) for choice in choices]
    fitting = sum(not result for result in results)
    if fitting == 1:
        return []
    if fitting > 1:
        return [f"{place}: fits several forms"]
    # The form of the right type tells more than "fits none": null is the other form everywhere in the contract.
    return results[-1] if value is not None else [f"{place}: must not be null"]


def _resolve(reference: str, root: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    document, _, pointer = reference.partition("#")
    if document:
        root = schema(document[: -len(".schema.json")])
    target: Any = root
    for part in pointer.strip("/").split("/"):
        target = target[part]
    return dict(target), root


def _is(value: Any, kind: str) -> bool:  # noqa: ANN401 - JSON
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[kind])


def _equal(value: Any, other: Any) -> bool:  # noqa: ANN401 - JSON
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
