"""What all resources of the emulated Hetzner Cloud share: requests, faults, actions, lists, labels and protection.

Owns: the rules of the API as a whole. Does not own: what one kind of resource does (hetzner_servers, …).
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from flask import Response, request
from hetzner_actions import Action, now
from hetzner_catalogue import catalogue, pricing
from hetzner_description import described
from hetzner_lists import page

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["READ_ONLY", "TOKEN", "Core", "HetznerError", "Record", "route"]

TOKEN = "canaryHetznerToken4f1c".ljust(64, "x")
READ_ONLY = "canaryHetznerReader9d2a".ljust(64, "x")

Record = dict[str, Any]

_STATUS = {
    "unauthorized": 401, "forbidden": 403, "token_readonly": 403, "resource_limit_exceeded": 403, "not_found": 404,
    "uniqueness_error": 409, "conflict": 409, "resource_unavailable": 412, "placement_error": 412, "locked": 423,
    "protected": 423, "rate_limit_exceeded": 429, "server_error": 500, "maintenance": 503, "unavailable": 503,
}  # fmt: skip
_OWN_KINDS = (
    *("servers", "ssh_keys", "volumes", "primary_ips", "placement_groups", "networks", "firewalls"),
    *("load_balancers", "certificates", "zones"),
)


class HetznerError(Exception):
    """An answer that is an error, with the vendor's code."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details or None
        self.status = _STATUS.get(code, 422)


def route(*operations: str) -> Callable[[Any], Any]:
    """Have the method answer those operations, named as in the description."""

    def mark(method: Any) -> Any:
        method.operations = operations
        return method

    return mark


class Core:
    """Records by kind, and the generic operations on them."""

    handlers: ClassVar[dict[str, str]]

    def __init_subclass__(cls) -> None:
        marked = ((name, getattr(cls, name)) for name in dir(cls))
        cls.handlers = {operation: name for name, method in marked for operation in getattr(method, "operations", ())}

    def __init__(self) -> None:
        self.described = described()
        self.lock = threading.RLock()
        self.tokens = {TOKEN: "read and write", READ_ONLY: "read"}
        self.records: dict[str, dict[int, Record]] = {**catalogue(), **{kind: {} for kind in _OWN_KINDS}}
        """Kind → id → resource. Names with an underscore are not shown."""
        self.limits: dict[str, int] = {}
        """Kind → how many of it the project may have."""
        self.unavailable: set[tuple[str, str]] = set()
        """Server types that a location has none of at the moment."""
        self.asked: list[str] = []
        """Method and path of every request."""
        self.violations: list[str] = []
        self.remaining, self.limit, self._counted = 3600.0, 3600, time.monotonic()
        """Requests that are left, and at most are."""
        self._actions: dict[int, Action] = {}
        self._orders: list[tuple[str, float, tuple[str, str] | None]] = []
        self._faults: list[tuple[str, str, str, str, int, dict[str, str]]] = []
        self._numbers = itertools.count(1)

    # --- what tests order

    def fail(
        self,
        code: str,
        message: str = "",
        *,
        method: str = "",
        path: str = "",
        status: int = 0,
        times: int = 1,
        **headers: str,
    ) -> None:
        """Answer the next requests (of that method, whose path matches the expression) with that error.

        Without a code the answer is `status` with a page that is no JSON, as something between gives it.
        """
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.lock:
            self._faults += [(method, path, code, message, status, given)] * times

    def fail_action(self, command: str, code: str = "action_failed", message: str = "Action failed") -> None:
        """Have the next action of that name end so."""
        self._orders.append((command, 0.0, (code, message)))

    def slow_action(self, command: str, seconds: float) -> None:
        """Have the next action of that name take so long."""
        self._orders.append((command, seconds, None))

    @property
    def written(self) -> list[str]:
        """The requests that were more than questions."""
        return [each for each in self.asked if not each.startswith("GET ")]

    def named(self, kind: str, name: str) -> Record:
        """The record as the API shows it now."""
        with self.lock:
            self._settle()
            return self.view(kind, next(each for each in self.records[kind].values() if each["name"] == name))

    def names(self, kind: str) -> list[str]:
        with self.lock:
            self._settle()
            return sorted(each["name"] for each in self.records[kind].values())

    # --- one request

    def answer(self, operation: str, **parts: Any) -> Response:
        path = request.path.removeprefix("/v1")
        body = request.get_json(silent=True)
        with self.lock:
            self.asked.append(f"{request.method} {path}")
            try:
                ready = self._admit(operation, path, body)
                if ready is not None:
                    return ready
                self._settle()
                given = self._handle(operation, body or {}, parts)
            except HetznerError as error:
                return self._error(operation, error)
            return self._reply(operation, self.described.success(operation), given)

    def _admit(self, operation: str, path: str, body: Any) -> Response | None:
        for each in self._faults:
            method, pattern, code, message, status, headers = each
            if method in ("", request.method) and re.search(pattern, path):
                self._faults.remove(each)
                if not code:
                    return Response("<html>bad gateway</html>", status, headers, content_type="text/html")
                error = HetznerError(code, message or code)
                error.status = status or error.status
                return self._error(operation, error, **headers)
        rights = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if rights is None:
            raise HetznerError("unauthorized", "unable to authenticate")
        self.remaining = min(self.limit, self.remaining + time.monotonic() - self._counted)  # one comes back a second
        self._counted = time.monotonic()
        if self.remaining < 1:
            raise HetznerError("rate_limit_exceeded", "limit of 3600 requests per hour reached")
        self.remaining -= 1
        if rights == "read" and request.method != "GET":
            raise HetznerError("token_readonly", "the token is only allowed to perform GET requests")
        if request.data and body is None:
            raise HetznerError("json_error", "invalid JSON")
        query = {name: request.args.getlist(name) for name in request.args}
        if wrong := self.described.request(operation, query, body):
            self.violations += [f"{request.method} {path}: {each}" for each in wrong]
            raise HetznerError("invalid_input", "; ".join(wrong), fields=[])
        return None

    def _error(self, operation: str, error: HetznerError, **headers: str) -> Response:
        body = {"error": {"code": error.code, "message": error.message, "details": error.details}}
        return self._reply(operation, error.status, body, **headers)

    def _reply(self, operation: str, status: int, body: Any, **headers: str) -> Response:
        wrong = self.described.answer(operation, status, body)
        self.violations += [f"answer {status} to {request.method} {request.path}: {each}" for each in wrong]
        limits = {
            "RateLimit-Limit": str(self.limit), "RateLimit-Remaining": str(int(self.remaining)),
            "RateLimit-Reset": str(int(time.time() + self.limit - self.remaining)),
        }  # fmt: skip
        if body is None:
            return Response(status=status, headers={**limits, **headers})
        return Response(json.dumps(body), status, {**limits, **headers}, content_type="application/json")

    def _handle(self, operation: str, body: Record, parts: Record) -> Any:
        method, _, template = operation.partition(" ")
        kind, *rest = template.strip("/").split("/")
        one = self.find(kind, parts) if rest and rest[0].startswith("{") and kind != "actions" else None
        changes = method == "DELETE" or (method == "POST" and rest[1:2] == ["actions"])
        if one is not None and changes and self._busy(kind, one["id"]):
            raise HetznerError("locked", f"{kind[:-1]} is locked: an action on it is running")
        if name := self.handlers.get(operation):
            if one is None:
                return getattr(self, name)(body, **parts)
            inner = {key: value for key, value in parts.items() if key not in {"id", "id_or_name"}}
            return getattr(self, name)(one, body, **inner)
        return self._generic((method, *rest), kind, one, body, parts)

    def _generic(  # noqa: PLR0911  # one each
        self, asked: tuple[str, ...], kind: str, one: Record | None, body: Record, parts: Record
    ) -> Any:
        single = kind[:-1]
        match asked:
            case ("GET",):
                return page(kind, (self.view(kind, each) for each in self.records[kind].values()))
            case ("GET", _) if one is not None:
                return {single: self.view(kind, one)}
            case ("PUT", _) if one is not None:
                self.unique(kind, body.get("name", one["name"]), one)
                one.update(body)
                return {single: self.view(kind, one)}
            case ("DELETE", _) if one is not None:
                self.protected(one)
                del self.records[kind][one["id"]]
                return None
            case ("POST", _, "actions", "change_protection") if one is not None:
                return {
                    "action": self.action(
                        "change_protection", (single, one["id"]), then=lambda: one["protection"].update(body)
                    )
                }
            case ("GET", "actions"):
                return self._listed_actions(lambda action: any(each[0] == single for each in action.resources))
            case ("GET", "actions", _):
                return {"action": self._one_action(parts["id"]).shown()}
            case ("GET", _, "actions") if one is not None:
                return self._listed_actions(lambda action: (single, one["id"]) in action.resources)
            case ("GET", _, "actions", _):
                return {"action": self._one_action(parts["action_id"]).shown()}
        raise HetznerError("not_found", "not emulated")

    @route("GET /pricing")
    def _pricing(self, _: Record) -> Record:
        return {"pricing": pricing()}

    @route("GET /datacenters")
    def _datacenters(self, _: Record) -> Record:
        return {**page("datacenters", self.records["datacenters"].values()), "recommendation": 1}

    @route("GET /actions")
    def _several_actions(self, _: Record) -> Any:
        found = (self._actions.get(int(number)) for number in request.args.getlist("id"))
        return {"actions": [each.shown() for each in found if each]}

    @route("GET /actions/{id}")
    def _any_action(self, _: Record, **parts: int) -> Any:
        return {"action": self._one_action(parts["id"]).shown()}

    def _one_action(self, number: int) -> Action:
        if number not in self._actions:
            raise HetznerError("not_found", f"action with ID '{number}' not found")
        return self._actions[number]

    def _listed_actions(self, wanted: Callable[[Action], bool]) -> Record:
        return page("actions", (each.shown() for each in self._actions.values() if wanted(each)))

    # --- what the kinds use

    def view(self, kind: str, record: Record) -> Record:
        """A record as the API shows it."""
        shown = getattr(self, f"show_{kind}", lambda each: each)(record)
        return {name: copy.deepcopy(value) for name, value in shown.items() if not name.startswith("_")}

    def find(self, kind: str, parts: Record) -> Record:
        """The record of that id (or name) in the address."""
        key = parts.get("id", parts.get("id_or_name"))
        for each in self.records[kind].values():
            if each["id"] == key or str(each["id"]) == key or (isinstance(key, str) and each["name"] == key):
                return each
        raise HetznerError("not_found", f"{kind[:-1]} with ID '{key}' not found")

    def get(self, kind: str, key: Any, field: str = "") -> Record:
        """A record named in a body, by id or name."""
        for each in self.records[kind].values():
            if key is not None and (each["id"] == key or each["name"] == key or str(each["id"]) == key):
                return each
        raise HetznerError("not_found", f"{field or kind[:-1]} not found", fields=[{"name": field or kind[:-1]}])

    def new(self, kind: str, body: Record, **more: Any) -> Record:
        """A record of that kind, kept; its name is free and the quota is not used up."""
        self.unique(kind, body["name"])
        if len(self.records[kind]) >= self.limits.get(kind, 1_000_000):
            raise HetznerError(
                "resource_limit_exceeded", f"{kind[:-1]} limit exceeded", limits=[{"name": f"{kind[:-1]}_limit"}]
            )
        record = {
            "id": next(self._numbers), "name": body["name"], "labels": body.get("labels", {}), "created": now(), **more,
        }  # fmt: skip
        self.records[kind][record["id"]] = record
        return record

    def unique(self, kind: str, name: str, but: Record | None = None) -> None:
        if any(each["name"] == name and each is not but for each in self.records[kind].values()):
            raise HetznerError("uniqueness_error", f"{kind[:-1]} name is already used", fields=[{"name": "name"}])

    def protected(self, record: Record, against: str = "delete") -> None:
        if record.get("protection", {}).get(against):
            raise HetznerError("protected", f"{against} protection is enabled")

    def action(
        self,
        command: str,
        *resources: tuple[str, int],
        then: Callable[[], Any] = lambda: None,
        work: Callable[[], None] | None = None,
    ) -> Record:
        """Begin something; `then` happens under the lock when it has ended well, `work` beside, before that."""
        order = next((each for each in self._orders if each[0] == command), None)
        if order:
            self._orders.remove(order)
        _, seconds, error = order or ("", 0.0, None)
        begun = time.monotonic()
        action = Action(
            id=next(self._numbers), command=command, resources=list(resources), begun=begun, until=begun + seconds,
            effect=then, error=error, started=now(),
        )  # fmt: skip
        if work and not error:
            action.work = threading.Thread(target=self._work, args=(action, work), daemon=True)
            action.work.start()
        self._actions[action.id] = action
        return action.shown()

    def _work(self, action: Action, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever a machine does wrong is the action's end
            action.error = ("action_failed", f"{error!r}"[:500])

    def _settle(self) -> None:
        for action in list(self._actions.values()):
            if action.status == "running" and action.over:
                action.status, action.finished = "error" if action.error else "success", now()
                if not action.error:
                    action.effect()

    def _busy(self, kind: str, number: int) -> bool:
        key = (kind[:-1], number)
        return any(each.status == "running" and each.resources[0] == key for each in self._actions.values())
