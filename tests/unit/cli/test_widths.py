"""Every view of the command line at 80 and 120 columns, with long names and failures: nothing is cut or folded."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console, RenderableType
from test_up_story import HOST_BEGINS, say

from slipway.cli.containers.list import ps_table
from slipway.cli.deploy.up_events import Story
from slipway.cli.deploy.up_view import LiveView
from slipway.cli.doctor.doctor import report
from slipway.cli.history.history_view import diff_rendered, history_rendered, update_rendered
from slipway.cli.history.promotion_view import rendered as promotion_rendered
from slipway.cli.status import health_view, status_view, watch_view
from slipway.cli.status.watch_events import HostWatch
from slipway.contract.problems import Problem
from slipway.releases.status import status_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.releases.engine import Stack
    from slipway.releases.promotion import Promotion

HOST = "web-frankfurt-falkenstein-1"
PROJECT = "customer-portal-production"
SERVICE = "notification-scheduler"
CONTAINER = f"{PROJECT}-{SERVICE}-1"
RELEASE = "r-0123456789ab"
ACTOR = "continuous-integration-of-the-portal"
BRANCH = "feature/notification-scheduler-second-attempt"
IMAGE = f"registry.example.com:5000/customer-portal/{SERVICE}:main@sha256:{'a1' * 32}"
REASON = f"{CONTAINER} did not become healthy within 120 s: GET http://127.0.0.1:8000/healthz answered 503 " * 2
RUN = "https://github.com/customer-portal/customer-portal/actions/runs/123456789"
ISSUE = Problem(f"host {HOST}: {REASON}", "visitors still get the previous release", f"slipway logs {SERVICE}")
SOURCE = {"commit": "3f2a91c04b7d5e8f60123456789abcdef0123456", "branch": BRANCH}

ENTRY: dict[str, Any] = {
    "number": 117, "kind": "automatic rollback", "result": "failed", "seconds": 754.2, "release": RELEASE,
    **SOURCE, "actor": ACTOR, "run": RUN, "message": "", "reason": REASON, "returned": "r-ffffffffffff",
    "at": "2025-11-20T13:10:00Z", "validated": True, "back": {"kind": "no", "reason": "it never ran well"},
    "images": {SERVICE: IMAGE},
    "hosts": {HOST: {"outcome": "failed", "reason": REASON, "seconds": 99, "previous": RELEASE, "touched": [SERVICE]}},
}  # fmt: skip
UPDATE = {
    "stack": "production", "entry": ENTRY, "reports": {HOST: {"phases": {"health": 120.0}, "warnings": [REASON]}},
    "resources": [{"what": "update", "name": f"{HOST}/{SERVICE}", "type": "slipway:deployment:ComposeDeployment"}],
}  # fmt: skip
ENTRY_FACTS = ["117", "rollback", "failed", RELEASE, ACTOR, "3f2a91c0", "12:34", "r-ffffffffffff", *REASON.split()]
DIFFERENCE = {
    "before": {"release": RELEASE, **SOURCE}, "after": {"release": "r-ffffffffffff", **SOURCE},
    "images": [{"name": SERVICE, "before": IMAGE, "after": IMAGE}], "services": [], "files": [], "other": [],
    "secrets": {"added": ["NOTIFICATION_SCHEDULER_DATABASE_PASSWORD"], "removed": []},
}  # fmt: skip
ONE: dict[str, Any] = {
    "id": "f00dfeedbeef", "name": CONTAINER, "service": SERVICE, "number": 1, "one_off": False, "generation": "live",
    "image": IMAGE, "state": "restarting", "exit_code": 0, "health": "unhealthy", "restarts": 1234,
    "started": "2025-11-20T13:09:55Z", "since": "2025-11-20T13:09:55Z",
    "ports": ["127.0.0.1:15432->5432/tcp", "0.0.0.0:18080->8080/tcp"],
}  # fmt: skip
PS = {"project": "other", "hosts": [{"name": HOST, "containers": [ONE]}]}
SIDE: dict[str, Any] = {
    "live": SimpleNamespace(id=RELEASE, document={**SOURCE, "images": {SERVICE: IMAGE}}), "status": object(),
    "since": "2025-11-20T13:10:00Z", "healthy": False,
    "history": SimpleNamespace(validated={RELEASE: SimpleNamespace(actor=ACTOR, at=datetime.now(UTC))}),
}  # fmt: skip
SIDES = [SimpleNamespace(stack=name, **SIDE) for name in ("staging-frankfurt", "production-frankfurt")]
PROMOTION = SimpleNamespace(
    source=SIDES[0], target=SIDES[1], checks="7 of 9 checks passed, 2 run",
    release=SimpleNamespace(document={"images": {SERVICE: IMAGE.replace("a1", "b2")}}),
    commits=[f"3f2a91c0 {REASON}"], configuration={"differ": ["NOTIFICATION_SCHEDULER_URL"]}, obstacles=[ISSUE],
)  # fmt: skip
PROBE: dict[str, Any] = {
    "url": f"https://customer-portal.example.com/{SERVICE}/api/healthz", "service": SERVICE, "state": "down",
    "since": "2025-11-20T13:10:00Z", "change": None, "fault": "status", "reason": REASON, "status": 503,
    "seconds": 1.5, "expires": None, "days_left": None, "behind_login": False,
}  # fmt: skip
UP = {**PROBE, "state": "up", "days_left": 61, "behind_login": True}
HEALTH: dict[str, Any] = {
    "checked": "2025-11-20T14:00:00Z",
    "stacks": [
        {"stack": "production", "application": PROJECT, "up": False, "errors": [], "probes": [
            PROBE, UP, {**UP, "change": "recovered"}, {**UP, "state": "expiring", "days_left": 3}, {**UP, "url": "https://a.example/"}]},
        {"stack": "staging", "application": None, "up": False, "errors": [ISSUE.to_json()], "probes": []},
        {"stack": "local", "application": None, "up": True, "errors": [], "probes": []},
    ],
}  # fmt: skip
EVENT = f"{HOST} failed {REASON}"


def _history(*_: Any) -> RenderableType:
    short = {**ENTRY, "number": 9, "kind": "deploy", "result": "succeeded", "actor": "ann", "reason": "", "seconds": 2}
    errors = [{"what": ISSUE.what}]
    return history_rendered(
        {"stack": "production", "live": RELEASE, "validated": RELEASE, "errors": errors, "entries": [ENTRY, short]}
    )


def _status(stack: Callable[..., Stack], probe: dict[str, Any], watch: dict[str, Any]) -> RenderableType:
    live = {"image": IMAGE, "replicas": 1, "containers": [ONE]}
    probe["live"]["services"] = {SERVICE: live, f"{SERVICE}-old": {**live, "containers": []}}
    probe["last"] = {"release": RELEASE, "outcome": "failed", "at": "2025-11-20T12:30:00Z", "reason": REASON}
    probe |= {"watch": watch, "drift": [{"service": SERVICE, "what": REASON}]}
    return status_view.rendered(status_document(stack(HOST), {HOST: probe}, datetime(2025, 11, 20, 14, tzinfo=UTC)))


def _watch(_stack: object, _probe: object, watch: dict[str, Any]) -> RenderableType:
    view = watch_view.LiveView(f"{PROJECT} on stack production", Console())
    one = watch["services"]["api"]
    seen = watch | {"services": {SERVICE: one, SERVICE * 2: one | {"requests": 123456789}}, "reason": REASON}
    view.report(HostWatch(host=HOST, watch=seen | {"state": "failed"}))
    view.report(HostWatch(host="web-2", problems=(ISSUE,), ended=True))
    return view.rendered()


def _doctor(*_: Any) -> RenderableType:
    result = {"area": "hosts", "host": HOST, "state": "wrong", **ISSUE.to_json()}
    return report({"stack": "production", "findings": [result]})


VIEWS: dict[str, tuple[Callable[..., RenderableType], list[str]]] = {
    "history": (_history, ["9", "ann", "succeeded", *ENTRY_FACTS]),
    "show": (
        lambda *_: update_rendered(UPDATE), [*ENTRY_FACTS[:4], RUN, SERVICE, "a1a1a1a1a1a1", HOST, *REASON.split()],
    ),
    "diff": (lambda *_: diff_rendered(DIFFERENCE), [RELEASE, SERVICE, "NOTIFICATION_SCHEDULER_DATABASE_PASSWORD"]),
    "status": (
        _status,
        [HOST, SERVICE, f"{SERVICE}-old", CONTAINER, "restarting", "unhealthy", "a1a1a1a1a1a1", "50", "1234",
         "completed", *REASON.split()],
    ),
    "health": (
        lambda *_: health_view.rendered(HEALTH, quiet=False) or "",
        [PROJECT, PROBE["url"], "recovered", "expiring", "certificate", "61", "nothing to probe", "not known",
         *REASON.split()],
    ),
    "ps": (
        lambda *_: ps_table(PS, datetime(2025, 11, 20, 14, tzinfo=UTC)),
        [HOST, SERVICE, CONTAINER, "restarting", "unhealthy", "a1a1a1a1a1a1", "live", "127.0.0.1:15432->5432", "50"],
    ),
    "watch": (_watch, [HOST, SERVICE, SERVICE * 2, "123,456,789", *REASON.split(), *str(ISSUE).split()]),
    "promote": (
        lambda *_: promotion_rendered(cast("Promotion", PROMOTION)),
        [RELEASE, ACTOR, BRANCH, "staging-frankfurt", "production-frankfurt", *str(ISSUE).split()],
    ),
    "doctor": (_doctor, str(ISSUE).replace(" — ", " ").split()),
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", VIEWS)
def test_long_names_and_failures_are_whole(
    name: str, width: int, stack: Callable[..., Stack], probe: dict[str, Any], watch: dict[str, Any]
) -> None:
    view, words = VIEWS[name]
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(view(stack, copy.deepcopy(probe), watch))
    text = capture.get()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    shown = text.replace(",", " ").replace("(", " ").split()
    assert [word for word in words if word.strip(",") not in shown and word not in text] == []


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_host_and_phase_leave_what_they_say_readable(width: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None, highlight=False, record=True)
    story = Story()
    view = LiveView(story, lambda: False, console)
    view.report(HOST_BEGINS)
    for line in (f"web-1 health {REASON}9.00 s\n", f"{HOST} failed {REASON}\n"):
        view.report(say(HOST_BEGINS["resourcePreEvent"]["metadata"]["urn"], line))
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert [word for word in REASON.split() if word not in text] == []


def test_a_row_is_one_line_as_soon_as_there_is_room() -> None:
    console = Console(width=240, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(ps_table(PS, datetime(2025, 11, 20, 14, tzinfo=UTC)))
    assert len(capture.get().splitlines()) == 2


def _without(field: str) -> dict[str, Any]:
    host = {**ENTRY["hosts"][HOST], **dict.fromkeys(("outcome", "release", "previous", "seconds"))}
    return {**ENTRY, "hosts": {HOST: host}, field: None}


SCHEMA = json.loads((Path(__file__).parents[3] / "slipway/cli/schemas/history.schema.json").read_text())
NULLABLE = [name for name, rule in SCHEMA["$defs"]["entry"]["properties"].items() if "null" in rule.get("type", ())]


@pytest.mark.parametrize("field", NULLABLE)
def test_what_an_update_does_not_have_is_left_out(field: str) -> None:
    entries = [_without(field)]
    document = {"stack": "production", "live": None, "validated": None, "errors": [], "entries": entries}
    for shown in (history_rendered(document), update_rendered({**UPDATE, "entry": entries[0]})):
        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(shown)
        assert "None" not in capture.get()
        assert "null" not in capture.get()
