"""Whether a stack can be previewed: its state, secrets, settings, Compose file and registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.cli.doctor.check_result import CheckResult, good, skipped, warnings, wrongs
from slipway.compose.application import Application, read_application
from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem
from slipway.images.image_check import missing_images
from slipway.releases.backend.store import backend_url, is_cloud, place_of
from slipway.releases.engine import Engine, known_stacks, located, setting_sources
from slipway.releases.locks.engine_locks import stack_locks
from slipway.settings.load import collect_settings
from slipway.settings.registry_names import address_of
from slipway.settings.rules.stack import weak_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.settings.model import Settings

__all__ = ["application", "backend", "configuration", "registry", "settings"]


def backend(engine: Engine) -> list[CheckResult]:
    """Whether somebody is logged in, the stack exists, and nobody else holds its state."""
    url = backend_url(engine)
    found = [good("backend", f"logged in at {place_of(url)}")]
    if engine.short not in known_stacks(engine):
        what = f"there is no stack {engine.short} of project {engine.project}"
        return [*found, *wrongs("backend", Problem(what, *engine.absent()))]
    found.append(good("backend", f"stack {engine.short} exists"))
    return found if is_cloud(url) else [*found, *_locks(engine)]


def _locks(engine: Engine) -> list[CheckResult]:
    locks, meaning = stack_locks(engine), "no other update can begin before that one is over, unless its lock is stale"
    fix = of_stack("slipway lock", engine.stack)
    held = [f"{lock.owner} has held its state since {lock.when}" for lock in (locks.read() if locks else ())]
    problems = [Problem(what, meaning, fix) for what in held]
    return warnings("backend", *problems) or [good("backend", "nobody holds its state")]


def configuration(engine: Engine) -> tuple[Mapping[str, Mapping[str, Any]], list[CheckResult]]:
    """The stack's configuration, if the engine can decrypt it here."""
    found = engine.configuration()
    encrypted = any(entry.get("secret") for entry in found.values())
    return found, [good("secrets", "they can be read here") if encrypted else skipped("secrets", "none are set")]


def settings(engine: Engine, configured: Mapping[str, Mapping[str, Any]]) -> tuple[Settings, list[CheckResult]]:
    """The stack's settings, as far as they can be used, and everything that is wrong with them."""
    found, problems = collect_settings(**setting_sources(engine, configured))
    hosts = ", ".join(host.name for host in found.hosts)
    right = good("settings", f"nothing is wrong with them; hosts: {hosts}")
    weak = warnings("settings", *weak_secrets(found, refused=False))
    return located(engine, found), [*(wrongs("settings", *problems) or [right]), *weak]


def application(found: Settings) -> tuple[Application, list[CheckResult]]:
    """The application, and everything that is unwise in its Compose file."""
    read = read_application(found)
    what = f"{read.name}: {len(read.document['services'])} services, {len(read.builds)} built"
    return read, [good("application", what), *warnings("application", *read.warnings)]


def registry(found: Settings, read: Application | None) -> list[CheckResult]:
    """Whether the registries answer, and the stack's own takes the credentials."""
    others = warnings("registry", *missing_images(read.images, found)) if read else []
    return [*_own_registry(found, read), *others]


def _own_registry(found: Settings, read: Application | None) -> list[CheckResult]:
    builds = read is None or bool(read.builds)
    if not found.registry or not (builds or found.registry_username):
        return [skipped("registry", "not asked: no service is built" if read else "there is none in the settings")]
    from slipway.hosts.preflight import check_access, check_registry  # the engine's library, 0.3 s

    problems = check_registry(found, read) if read and builds else check_access(found)
    who = f"lets {found.registry_username} in" if found.registry_username else "answers"
    return wrongs("registry", *problems) or [good("registry", f"{address_of(found.registry)} {who}")]
