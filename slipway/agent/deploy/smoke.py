"""Smoke checks, asked of every container of a service: over the network, as a client would, or by a command in it."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.deadline import Deadline
from slipway.agent.docker import facts
from slipway.agent.edge.metrics import listeners
from slipway.agent.traffic.http_get import CONNECT_SECONDS, Answer, get, words
from slipway.contract.http_answers import BODY_LIMIT, wrong_body, wrong_status
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.agent.deploy.health_wait import GateContext
    from slipway.agent.docker.facts import Container

__all__ = ["Answer", "CheckTarget", "addresses", "ask", "judge", "run_again", "run_checks"]

_TRY_SECONDS = 5.0
_AGAIN = 10  # seconds until what may have kept a wrong address starts again
_PAUSE_SECONDS = 0.2
_COMMAND_PAUSE_SECONDS = 1.0  # it may load a whole application
_POLL_SECONDS = 0.02
_OUTPUT_LINES = 20
_CUT = "it did not end in time"
_SHOWN = 300
_HOST_NETWORK = "127.0.0.1"


class CheckTarget(NamedTuple):
    """What a service's checks are asked of: its containers of one configuration, or one address for all of them."""

    config: str
    edge: tuple[str, int] | None = None
    host: str = ""  # Host header, where the address alone does not say which service is meant


def run_checks(service: str, checks: Sequence[Mapping[str, Any]], target: CheckTarget, context: GateContext) -> None:
    """Run every smoke check of a service.

    Raises:
        SlipwayError: one did not pass; names the URL, the last answer and the field that was wrong.
    """
    for check in checks:
        begin = runtime.monotonic()
        _until_passed(service, check, target, context)
        context.out.progress("smoke", f"{service} {_title(check, context)}", runtime.monotonic() - begin)


def run_again(
    service: str, checks: Sequence[Mapping[str, Any]], target: CheckTarget, context: GateContext, *, last: bool
) -> None:
    """As `run_checks`, after a failure: however long all else took, and soon over while this is not the `last` try."""
    checks = [{**each, "deadline": each["deadline"] if last else min(each["deadline"], _AGAIN)} for each in checks]
    deadline = Deadline(sum(each["deadline"] + _TRY_SECONDS for each in checks), "asking again")
    run_checks(service, checks, target, context._replace(deadline=deadline))


def judge(check: Mapping[str, Any], answer: Answer) -> str:
    """Why the answer does not satisfy the check; empty when it does."""
    if answer.error:
        return answer.error
    if check["kind"] == "tcp":
        return ""
    if check["kind"] == "command":
        return f"it ended with exit code {answer.status}" if answer.status else ""
    return wrong_status(check, answer.status) or wrong_body(check, answer.body)


def addresses(container: Container, port: int) -> list[tuple[str, int]]:
    """Where to ask: the container's own address; the published port where that is out of reach (rootless engines)."""
    found = [(address, port) for address in container.addresses]
    for host, published, target, protocol in container.ports:
        if target == port and protocol == "tcp":
            loopback = _HOST_NETWORK if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
            found.append((loopback, published))
    return list(dict.fromkeys(found)) or [(_HOST_NETWORK, port)]


def ask(check: Mapping[str, Any], address: tuple[str, int], timeout: float) -> Answer:
    if check["kind"] == "tcp":
        try:
            runtime.connect(address, min(timeout, CONNECT_SECONDS))
        except OSError as error:
            return Answer(words(error))
        return Answer()
    host = {"Host": check["host"]} if check.get("host") else {}
    return get(address, check.get("path", "/"), host, seconds=timeout, limit=BODY_LIMIT)


def _until_passed(service: str, check: Mapping[str, Any], target: CheckTarget, context: GateContext) -> None:
    until = runtime.monotonic() + check["deadline"]
    passed: set[str] = set()
    last: dict[str, tuple[str, Answer]] = {}
    while True:
        seen = [c for c in facts.containers(context.api, context.stack, (service,)) if c.id not in context.leaving]
        running = [each for each in seen if each.state == "running" and each.config == target.config]
        for each in running:
            if each.id in passed:
                continue
            url, answer = _tried(check, each, target, context, until)
            # Where the last try was cut short, its earlier one knows more.
            if answer.error != _CUT or each.id not in last:
                last[each.id] = url, answer
            if not judge(check, answer):
                passed.add(each.id)
        waiting = [each for each in running if each.id not in passed]
        if running and not waiting:
            return
        if runtime.monotonic() >= until:
            failed = next((each for each in waiting if each.id in last), None)
            # One that crashed meanwhile may have answered before.
            url, answer = (
                last[failed.id] if failed else next(reversed(last.values()), (_title(check, context), Answer()))
            )
            brief = context.out.redactor.brief
            reason = brief((judge(check, answer) if last else "") or "no container runs", _SHOWN)
            elsewhere = _listening(context, failed) if failed and answer.error and check["kind"] != "command" else []
            raise SlipwayError(
                f"smoke check of {service} failed: {url}: {reason}",
                f"the release runs but does not answer as promised within {check['deadline']} s",
                f"fix {service} or the smoke check in its x-slipway, then deploy again",
                [
                    f"probed: {url}",
                    *_evidence(check, answer, reason, brief),
                    *elsewhere,
                    *facts.log_tail(context.api, failed),
                ],
            )
        context.deadline.pause(_COMMAND_PAUSE_SECONDS if check["kind"] == "command" else _PAUSE_SECONDS)


def _tried(
    check: Mapping[str, Any], container: Container, target: CheckTarget, context: GateContext, until: float
) -> tuple[str, Answer]:
    """What was asked of a container, and what it answered."""
    if check["kind"] == "command":
        return f"{_title(check, context)} in {container.name}", _execute(check, container, context, until)
    url, answer = "", Answer()
    for address in [target.edge] if target.edge else addresses(container, check["port"]):
        url = _url(check, address)
        left = max(0.1, min(_TRY_SECONDS, until - runtime.monotonic()))
        answer = ask({**check, "host": target.host} if target.host else check, address, left)
        if not answer.error:
            break
    return url, answer


def _execute(check: Mapping[str, Any], container: Container, context: GateContext, until: float) -> Answer:
    """Run a command check; at its side, since a command may hang."""
    ended: list[Answer] = []

    def run() -> None:
        try:
            with contextlib.closing(context.api.again(None)) as api:
                code, written = api.execute(container.id, check["command"], until)
                ended.append(Answer(_CUT if code is None else "", code or 0, written))
        except SlipwayError as error:
            ended.append(Answer(getattr(error, "message", error.what)))

    runtime.start_thread(run)
    while not ended and runtime.monotonic() < until:
        context.deadline.pause(_POLL_SECONDS)
    return ended[0] if ended else Answer(_CUT)


def _evidence(check: Mapping[str, Any], answer: Answer, reason: str, brief: Callable[[str, int], str]) -> list[str]:
    if check["kind"] == "command":
        lines = [line for line in answer.body.splitlines() if line.strip()]
        return [f"last answer: {reason}", *(f"| {line}" for line in lines[-_OUTPUT_LINES:])]
    last = answer.error or (f"{answer.status} {brief(answer.body, _SHOWN)}".strip() if answer.status else "none")
    return [f"last answer: {last}", *([f"wrong: {reason}"] if reason != last else [])]


def _listening(context: GateContext, container: Container) -> list[str]:
    """Where a container that did not answer listens instead."""
    found = listeners(context.api.container(container.id) or {})
    return [f"it listens on {', '.join(found)}"] if found else []


def _title(check: Mapping[str, Any], context: GateContext) -> str:
    if check["kind"] == "command":
        return context.out.redactor.brief(" ".join(map(shlex.quote, check["command"])), _SHOWN)
    return f"tcp {check['port']}" if check["kind"] == "tcp" else f"http {check['port']}{check.get('path', '/')}"


def _url(check: Mapping[str, Any], address: tuple[str, int]) -> str:
    where = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
    return f"tcp://{where}" if check["kind"] == "tcp" else f"http://{where}{check.get('path', '/')}"
