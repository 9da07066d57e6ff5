"""What Hetzner's description says of a request and its answer, and what breaks it.

It lies beside the repository (`../shared/hetzner`); else the official one is downloaded, once. OpenAPI 3.0 is turned
into JSON Schema. It is held closer than the description asks for: an object has no member that is not described, so
that a misspelt one is found on either side.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs

from dev.toolchain.cache import cached
from dev.toolchain.download import fetch_unchecked

__all__ = ["Described", "described"]

_SCHEMA_WORDS = {
    "type", "properties", "required", "items", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "additionalProperties", "allOf", "oneOf", "anyOf",
}  # fmt: skip


_BESIDE = Path(__file__).resolve().parents[3] / "shared/hetzner/openapi.json"
_ADDRESS = "https://docs.hetzner.cloud/cloud.spec.json"
_BY_ID = (  # described as a name that may be an id in digits; the clients send the number
    *(("create_server_request", field) for field in ("image", "server_type", "location", "ssh_keys")),
    ("rebuild_server_from_image_request", "image"),
    ("change_type_of_server_request", "server_type"),
    *(("create_load_balancer_request", field) for field in ("load_balancer_type", "location")),
    ("change_type_of_load_balancer_request", "load_balancer_type"),
    *((f"create_{kind}_request", "location") for kind in ("volume", "primary_ip")),
)

_ASKED_WITH = (
    ("load_balancers", "add_service", "load_balancer_service_request"),
    ("primary_ips", "change_dns_ptr", "change_reverse_dns_entry_for_this_server_request"),  # no name is the default one
)


class Described:
    """The operations of the API, each with what may be asked and answered."""

    def __init__(self) -> None:
        document = json.loads((_BESIDE if _BESIDE.is_file() else _downloaded()).read_text())
        self._schemas = {name: _schema(schema) for name, schema in document["components"]["schemas"].items()}
        self._relax()
        self.operations: dict[str, dict[str, Any]] = {
            f"{method.upper()} {path}": operation
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if method in {"get", "post", "put", "delete"}
        }
        paged = self.operations["GET /servers/actions"]["parameters"]  # all actions are asked for as a kind's are
        self.operations["GET /actions"]["parameters"] = [each for each in paged if each["in"] == "query"]
        for kind, action, schema in _ASKED_WITH:
            content = self.operations[f"POST /{kind}/{{id}}/actions/{action}"]["requestBody"]["content"]
            content["application/json"]["schema"] = {"$ref": f"#/components/schemas/{schema}"}
        gone = self.operations["DELETE /load_balancers/{id}"]["responses"]
        if "content" not in gone.get("204", {"content": ()}):  # the client wants an action, as where a zone is deleted
            gone["201"] = self.operations["DELETE /zones/{id_or_name}"]["responses"]["201"]
            del gone["204"]

    def _relax(self) -> None:
        """What Hetzner takes from its own clients and gives them, and the description of February 2026 does not say."""
        for name in ("available", "recommended"):  # the official client cannot do without them
            self._schemas["server_type_location"]["properties"].setdefault(name, {"type": "boolean"})
        wanted = self._schemas["create_primary_ip_request"]["required"]
        if "assignee_type" in wanted:  # it goes with `assignee_id` since August 2026
            wanted.remove("assignee_type")
        service = self._schemas["load_balancer_service"]  # what is left out of one has a default
        self._schemas["load_balancer_service_request"] = {**service, "required": ["protocol"]}
        for name, field in _BY_ID:
            given = self._schemas[name]["properties"]
            whole = given[field].get("items", given[field])
            whole["type"] = ["string", "integer"]

    def request(self, operation: str, query: dict[str, list[str]], body: Any) -> list[str]:
        """What breaks the description; `body` is None where there is none."""
        described = self.operations[operation]
        given = {each["name"]: each for each in described.get("parameters", ()) if each["in"] == "query"}
        wrong = [f"query {name} is not described" for name in query if name not in given]
        wrong += [
            f"query {name} is missing" for name, each in given.items() if each.get("required") and name not in query
        ]
        for name in query.keys() & given.keys():
            schema = _schema(given[name]["schema"])
            values: Any = [_value(value, schema.get("items", schema)) for value in query[name]]
            wrong += self._errors(schema, values if schema.get("type") == "array" else values[0], f"query {name}")
        content = described.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return wrong + (["a body is not described"] if body else [])
        if body is None:
            return wrong + (["the body is missing"] if described["requestBody"].get("required") else [])
        return wrong + self._errors(_schema(content["schema"]), body, "body")

    def answer(self, operation: str, status: int, body: Any) -> list[str]:
        responses = self.operations[operation]["responses"]
        found = responses.get(str(status), responses.get(f"{status // 100}XX"))
        if found is None:
            return [f"status {status} is not described"]
        content = found.get("content", {}).get("application/json")
        if content is None:
            return ["a body is not described"] if body is not None else []
        return self._errors(_schema(content["schema"]), body, "body")

    def success(self, operation: str) -> int:
        """The status of what went well."""
        return next(int(status) for status in self.operations[operation]["responses"] if status.startswith("2"))

    def _errors(self, schema: dict[str, Any], value: Any, what: str) -> list[str]:
        return [
            f"{what}{''.join(f'.{part}' for part in error.instance_path)}: {error.message[:200]}"
            for error in self._validator(_key(schema)).iter_errors(value)
        ]

    @functools.cache  # noqa: B019  # there is one
    def _validator(self, key: str) -> jsonschema_rs.Draft202012Validator:
        whole = {**_KNOWN[key], "components": {"schemas": self._schemas}}
        return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _downloaded() -> Path:
    def make(folder: Path) -> None:
        (folder / "openapi.json").write_bytes(fetch_unchecked(_ADDRESS))

    return cached("hetzner-api", _ADDRESS, make, holds=["openapi.json"]) / "openapi.json"


_KNOWN: dict[str, dict[str, Any]] = {}


def _key(schema: dict[str, Any]) -> str:
    key = repr(schema)
    _KNOWN.setdefault(key, schema)
    return key


def _value(text: str, schema: dict[str, Any]) -> Any:
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return int(text) if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text) else text


def _schema(given: dict[str, Any]) -> dict[str, Any]:
    """One schema of OpenAPI 3.0 as JSON Schema."""
    if "$ref" in given:
        return {"$ref": given["$ref"]}
    made = {word: given[word] for word in _SCHEMA_WORDS & given.keys()}
    if given.get("format") == "date-time":
        made["format"] = given["format"]
    if "properties" in made:
        made["properties"] = {name: _schema(each) for name, each in made["properties"].items()}
        made.setdefault("additionalProperties", False)
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _schema(made["additionalProperties"])
    if "items" in made:
        made["items"] = _schema(made["items"])
    for word in ("allOf", "oneOf", "anyOf"):
        if word in made:
            made[word] = [_schema(each) for each in made[word]]
    if given.get("nullable"):
        return {"anyOf": [{"type": "null"}, made]}
    return made


@functools.cache
def described() -> Described:
    """The description.

    Raises:
        DownloadBlockedError: it is neither beside the repository nor to be downloaded.
    """
    return Described()
