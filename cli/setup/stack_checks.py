"""Whether a stack can be previewed: its state, its passphrase, its settings, its Compose file, its registry.

Owns: which questions, and that each one is answered however the others end. Does not own: the answers, which are those
of a deployment (see components/configuration.py, components/application.py, components/preflight.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from cli.backend.store import backend_url, is_cloud, place_of
from cli.setup.engine_stacks import known_stacks
from cli.setup.finding import good, skipped, unwise, wrongs
from cli.setup.passphrase import given_passphrase, opens
from cli.stack import last_words, setting_sources
from components.application import read_application
from components.configuration import collect_settings
from components.registry import address_of
from components.rules import weak_secrets
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from cli.setup.finding import Finding
    from cli.stack import Engine
    from components.application import Application
    from components.settings import Settings

__all__ = ["application", "backend", "registry", "secrets_provider", "settings"]


def backend(engine: Engine) -> list[Finding]:
    """Whether somebody is logged in, the stack exists, and nobody else holds its state."""
    try:
        url = backend_url(engine)
    except SlipwayError as error:
        return wrongs("backend", error.problems)
    found = [good("backend", f"logged in at {place_of(url)}")]
    try:
        if engine.short not in known_stacks(engine):
            problem = Problem(
                f"there is no stack {engine.short} of project {engine.project}",
                "nothing can be previewed",
                f"pulumi stack init {engine.stack}",
            )
            return [*found, *wrongs("backend", [problem])]
        found.append(good("backend", f"stack {engine.short} is there"))
        if not is_cloud(url):
            found += _locks(engine)
    except SlipwayError as error:
        found += wrongs("backend", error.problems)
    return found


def _locks(engine: Engine) -> list[Finding]:
    from cli.locks.engine_locks import stack_locks  # noqa: PLC0415  # Pulumi Cloud keeps none of them

    locks = stack_locks(engine)
    held = locks.read() if locks else []
    if not held:
        return [good("backend", "nobody holds its state")]
    return unwise(
        "backend",
        [
            Problem(
                f"{lock.owner} holds its state since {lock.when}",
                "no other update can begin before that one is over",
                f"slipway lock --stack {engine.stack} says whether the lock is stale",
            )
            for lock in held
        ],
    )


def secrets_provider(engine: Engine) -> list[Finding]:
    """Whether the stack's secrets can be read here, as far as that can be told without reading any."""
    file = engine.root / f"Pulumi.{engine.short}.yaml"
    if "--config-file" in engine.options:
        file = type(file)(engine.options[engine.options.index("--config-file") + 1])
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return [skipped("secrets", f"there is no {file.name}")]
    except (OSError, ValueError, yaml.YAMLError):
        problem = Problem(f"{file.name} cannot be read", "it says how secrets are encrypted", f"correct {file.name}")
        return wrongs("secrets", [problem])
    if provider := content.get("secretsprovider"):
        return [good("secrets", f"encrypted with {str(provider).split(':', 1)[0]}")]
    proof = content.get("encryptionsalt")
    if not proof:
        return [skipped("secrets", "the backend keeps the key, or nothing was encrypted yet")]
    return _passphrase(engine, str(proof))


def _passphrase(engine: Engine, proof: str) -> list[Finding]:
    fix = "export PULUMI_CONFIG_PASSPHRASE=… (the stack's own)"
    meaning = "the stack's secrets cannot be read, nor new ones set"
    try:
        phrase = given_passphrase(engine.environment)
        if phrase is None:
            return wrongs("secrets", [Problem("PULUMI_CONFIG_PASSPHRASE is not set", meaning, fix)])
        if opens(phrase, proof):
            return [good("secrets", "the passphrase is the stack's")]
    except OSError as error:
        what = f"the file in PULUMI_CONFIG_PASSPHRASE_FILE cannot be read ({error.strerror})"
        return wrongs("secrets", [Problem(what, meaning, fix)])
    except ValueError as error:
        return [skipped("secrets", f"the passphrase was not checked: {error}")]
    return wrongs("secrets", [Problem("the passphrase is not the stack's", meaning, fix)])


def settings(engine: Engine) -> tuple[Settings | None, list[Finding]]:
    """The stack's settings, as far as they can be used, and everything that is wrong with them."""
    done = engine.ask("config", "--json", "--show-secrets")
    if done.returncode != 0:
        return None, [skipped("settings", f"the engine cannot read them ({last_words(done)})")]
    configured: dict[str, dict[str, Any]] = json.loads(done.stdout)
    try:
        found, problems = collect_settings(**setting_sources(engine, configured))
    except SlipwayError as error:
        return None, wrongs("settings", error.problems)
    weak = unwise("settings", weak_secrets(found, refused=False))
    if problems:
        return found, [*wrongs("settings", problems), *weak]
    hosts = ", ".join(host.name for host in found.hosts)
    return found, [good("settings", f"nothing is wrong with them; hosts: {hosts}"), *weak]


def application(found: Settings) -> tuple[Application | None, list[Finding]]:
    """The application, and everything that is wrong with its Compose file."""
    try:
        read = read_application(found)
    except SlipwayError as error:
        return None, wrongs("application", error.problems)
    services = read.document["services"]
    what = f"{read.name}: {len(services)} services, {len(read.builds)} built"
    return read, [good("application", what), *unwise("application", read.warnings)]


def registry(found: Settings, read: Application | None) -> list[Finding]:
    """Whether the registry answers and takes the credentials."""
    if not found.registry or (read and not read.builds):
        return [skipped("registry", "not asked: no service is built" if read else "there is none in the settings")]
    from components.preflight import check_access, check_registry  # noqa: PLC0415  # the engine's library, 0.3 s

    address = address_of(found.registry)
    problems = check_registry(found, read) if read else check_access(found)
    who = f"lets {found.registry_username} in" if found.registry_username else "answers"
    return wrongs("registry", problems) if problems else [good("registry", f"{address} {who}")]
