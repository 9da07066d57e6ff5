"""`slipway doctor`: all checks of a stack side by side; what depends on something that is wrong is skipped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipway.cli.doctor import host_checks, stack_checks
from slipway.cli.doctor.check_result import AREAS, CheckResult, skipped, wrongs
from slipway.cli.doctor.machine_checks import MACHINE_CHECKS
from slipway.cli.printing import bug
from slipway.cli.style import indented
from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import printable
from slipway.releases.engine import Engine, engine_of, program_folder
from slipway.releases.format import counted
from slipway.releases.local_stack import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["examine", "report"]

_CONTRACT = 1  # version of schemas/doctor.schema.json; a change that a reader cannot ignore raises it
_STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red", "skipped": "dim"}
_WIDTH = max(map(len, _STYLES)) + 2
_Read = TypeVar("_Read")


def examine(name: str) -> dict[str, Any]:
    """Check everything around the stack called `name`, or the one selected in the engine when empty."""
    with ThreadPoolExecutor(8) as pool:
        machine = [pool.submit(_checked, "machine", check) for check in MACHINE_CHECKS]
        stack, results = _examine_stack(pool, name)
        results = [result for each in machine for result in each.result()] + results
    results.sort(key=lambda result: AREAS.index(result.area))  # a stable sort: within an area as they were found
    well = not any(result.state == "wrong" for result in results)
    return {"contract": _CONTRACT, "stack": stack, "well": well, "findings": [result._asdict() for result in results]}


def _read(
    area: str, check: Callable[[], tuple[_Read | None, list[CheckResult]]]
) -> tuple[_Read | None, list[CheckResult]]:
    """What a check reads that others need, and its results; a check that fails is a result, too."""
    try:
        return check()
    except SlipwayError as error:
        return None, wrongs(area, *error.problems)
    except Exception as error:  # noqa: BLE001  # the others are still worth reporting
        return None, wrongs(area, bug(error))


def _checked(area: str, check: Callable[[], list[CheckResult]]) -> list[CheckResult]:
    return _read(area, lambda: (None, check()))[1]


def _rest_skipped(first: str, why: str) -> list[CheckResult]:
    return [skipped(area, f"not checked: {why}") for area in AREAS[AREAS.index(first) :]]


def _examine_stack(pool: ThreadPoolExecutor, name: str) -> tuple[str, list[CheckResult]]:
    """The stack's name, as far as it is known, and what was found about it."""
    try:
        if tools(program_folder(Path.cwd())) is None:
            return name, _rest_skipped("backend", "there is no engine")
        engine = engine_of(name)
    except SlipwayError as error:
        rest = _rest_skipped("secrets", "it is not known which stack is meant")
        return name, [*wrongs("backend", *error.problems), *rest]
    backend = pool.submit(_checked, "backend", lambda: stack_checks.backend(engine))
    results = _examine_settings(pool, engine)
    return engine.stack, [*backend.result(), *results]


def _examine_settings(pool: ThreadPoolExecutor, engine: Engine) -> list[CheckResult]:
    """What needs the stack's configuration."""
    configured, results = _read("secrets", lambda: stack_checks.configuration(engine))
    if configured is None:
        return [*results, *_rest_skipped("settings", "the engine cannot read the configuration")]
    settings, found = _read("settings", lambda: stack_checks.settings(engine, configured))
    results += found
    if settings is None:
        return [*results, *_rest_skipped("application", "the settings cannot be used")]
    application, found = None, [skipped("application", "not checked: there is no such folder (see the settings)")]
    if settings.application.is_dir():
        application, found = _read("application", lambda: stack_checks.application(settings))
    registry = pool.submit(_checked, "registry", lambda: stack_checks.registry(settings, application))
    hosts = pool.submit(_checked, "hosts", lambda: host_checks.hosts(settings, application))
    return [*results, *found, *registry.result(), *hosts.result()]


def report(document: Mapping[str, Any]) -> RenderableType:
    """`document` for people: a line per result, what is wrong with its meaning and its fix."""
    blocks: list[RenderableType] = []
    findings = groupby(document["findings"], lambda each: f"host {each['host']}" if each["host"] else each["area"])
    for title, results in findings:
        blocks += [Text(title, "bold"), *(row for result in results for row in _rows(result))]
    states = [result["state"] for result in document["findings"]]
    wrong, unwise = states.count("wrong"), states.count("warning")
    about = f"stack {document['stack']}: " if document["stack"] else ""
    well = f"nothing is wrong, {counted(unwise, 'warning')}" if unwise else "nothing is wrong"
    style = "bold red" if wrong else "bold green"
    return Group(*blocks, Text(), Text(about + (f"{counted(wrong, 'thing')} to fix" if wrong else well), style))


def _rows(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    style = _STYLES[result["state"]]
    for word, key, look in (
        (result["state"], "what", "dim" if style == "dim" else ""), ("", "meaning", "dim"), ("", "fix", "cyan"),
    ):  # fmt: skip
        if result[key]:
            # The word stands alone in its column, however often the text beside it is folded.
            row = Table.grid(padding=(0, 0))
            row.add_column(width=_WIDTH)
            row.add_column(overflow="fold")
            row.add_row(Text(word, style), Text(printable(result[key]), look))
            yield indented(row)
