"""`slipway doctor`: everything around a stack looked at side by side, and what came of it as a document.

Owns: what waits for what, that nothing stops at the first failure, and the form that `--json` prints
(cli/contract/doctor.schema.json). Does not own: the single looks (see `machine_checks`, `stack_checks`, `host_checks`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic.alias_generators import to_snake

from cli.failure import bug
from cli.setup import host_checks, stack_checks
from cli.setup.finding import AREAS, Finding, good, skipped, unwise, wrongs
from cli.setup.machine_checks import MACHINE_CHECKS, engine_environment
from cli.stack import engine_of
from components.settings import known_keys
from slipway.contract.problems import Problem, SlipwayError
from toolchain.process import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cli.stack import Engine
    from components.settings import Settings

__all__ = ["CONTRACT", "examine"]

CONTRACT = 1
"""Version of the JSON form; a change that a reader cannot ignore raises it."""

_Read = TypeVar("_Read")
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")


def examine(name: str) -> dict[str, Any]:
    """Look at everything around the stack called `name`, or the one selected in the engine when empty."""
    with ThreadPoolExecutor(8) as pool:
        machine = [pool.submit(_whole, "machine", check) for check in MACHINE_CHECKS]
        stack, findings = _stack(pool, name)
        findings = [finding for each in machine for finding in each.result()] + findings
    findings.sort(key=lambda finding: AREAS.index(finding.area))  # a stable sort: within an area as they were found
    return {
        "contract": CONTRACT,
        "stack": stack,
        "well": not any(finding.state == "wrong" for finding in findings),
        "findings": [finding._asdict() for finding in findings],
    }


def _whole(area: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """What a check finds; a check that fails is a finding, too."""
    try:
        return check()
    except (SlipwayError, ToolchainError) as error:
        problems = (
            error.problems if isinstance(error, SlipwayError) else [Problem(str(error), "it was not looked at", "")]
        )
        return wrongs(area, problems)
    except Exception as error:  # noqa: BLE001  # the others are still worth telling
        return wrongs(area, [bug(error)])


def _pair(area: str, check: Callable[[], tuple[_Read | None, list[Finding]]]) -> tuple[_Read | None, list[Finding]]:
    """As `_whole`, for a check that also reads something others need."""
    read: _Read | None = None

    def alone() -> list[Finding]:
        nonlocal read
        read, findings = check()
        return findings

    findings = _whole(area, alone)
    return read, findings


def _stack(pool: ThreadPoolExecutor, name: str) -> tuple[str, list[Finding]]:
    """The stack's name, as far as it is known, and what was found about it."""
    if engine_environment() is None:
        return name, [skipped(area, "not looked at: there is no engine") for area in AREAS[1:-1]]
    try:
        engine = engine_of(name)
    except SlipwayError as error:
        rest = [skipped(area, "not looked at: it is not known which stack is meant") for area in AREAS[2:-1]]
        return name, [*wrongs("backend", error.problems), *rest]
    apart = [
        pool.submit(_whole, area, check)
        for area, check in (
            ("backend", lambda: stack_checks.backend(engine)),
            ("secrets", lambda: stack_checks.secrets_provider(engine)),
        )
    ]
    findings = _within(pool, engine)
    return engine.stack, [finding for each in apart for finding in each.result()] + findings


def _within(pool: ThreadPoolExecutor, engine: Engine) -> list[Finding]:
    """What needs the stack's settings."""
    settings, findings = _pair("settings", lambda: stack_checks.settings(engine))
    if settings is None:
        why = "not looked at: the settings cannot be used"
        return [*findings, *(skipped(area, why) for area in ("application", "registry", "hosts"))]
    application = None
    if settings.application.is_dir():
        application, read = _pair("application", lambda: stack_checks.application(settings))
        findings += read
    else:
        findings.append(skipped("application", "not looked at: there is no such folder (see the settings)"))
    last = [
        pool.submit(_whole, "registry", lambda: stack_checks.registry(settings, application)),
        pool.submit(_whole, "hosts", lambda: host_checks.hosts(settings, application)),
        pool.submit(_whole, "github", lambda: _github(settings, engine.environment)),
    ]
    return findings + [finding for each in last for finding in each.result()]


def _github(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Whether there is a token, when anything of this stack asks GitHub."""
    keys = [key for key in known_keys() if key.startswith("github")]
    used = [key for key in keys if getattr(settings, to_snake(key), None)]
    if not used and not environment.get("GITHUB_ACTIONS"):
        return [skipped("github", "not in use")]
    if any(environment.get(token) for token in _TOKENS):
        return [good("github", "a token is there")]
    why = f"setting {used[0]}" if used else "a run on GitHub"
    problem = Problem(
        f"there is no token, which {why} wants",
        "what is GitHub's cannot be read or set",
        'export GITHUB_TOKEN="$(gh auth token)" (in a workflow: env: GITHUB_TOKEN)',
    )
    return unwise("github", [problem])
