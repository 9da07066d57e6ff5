"""Every service's entry in the release document: what Compose, `x-slipway` and the settings say of it together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.problems import Problem
from slipway.settings.edge_settings import edge_warnings
from slipway.settings.secret_rules import missing_secret
from slipway.settings.setting_files import config_set
from slipway.x_slipway.route_clashes import clashes
from slipway.x_slipway.strategy import choose
from slipway.x_slipway.update_config import read_update

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.settings.model import Settings
    from slipway.x_slipway.service import ServiceExtension
    from slipway.x_slipway.source_lines import SourceLines

__all__ = ["ServiceEntries", "plan_services"]


class ServiceEntries(NamedTuple):
    """What the release document says of the services, and what is to be said of that."""

    documents: dict[str, dict[str, Any]]
    """Service → its entry."""
    secrets: set[str]
    """Names of the secrets that the edge needs."""
    problems: list[Problem]
    warnings: list[Problem]


def plan_services(
    services: Mapping[str, Mapping[str, Any]],
    extensions: Mapping[str, ServiceExtension],
    settings: Settings,
    lines: SourceLines,
) -> ServiceEntries:
    """Put the entries of all services together."""
    entries = ServiceEntries({}, set(), list(clashes(extensions, settings.domain)), [])
    for name, extension in extensions.items():
        update, found = read_update(name, services[name])
        choice = choose(name, services, extension, update, lines)
        document = extension.document(
            strategy=choice.strategy, update=update, domain=settings.domain, watched=bool(settings.watch_seconds)
        )
        entries.documents[name] = document
        entries.problems.extend([*found, *choice.problems, *_password_problems(name, extension, settings)])
        entries.warnings.extend(choice.warnings)
        if extension.basic_auth:
            entries.secrets.add(extension.basic_auth)
    entries.warnings.extend(edge_warnings(settings, entries.documents))
    return entries


def _password_problems(name: str, extension: ServiceExtension, settings: Settings) -> Iterator[Problem]:
    """A `basicAuth` whose secret is missing or holds something else."""
    secret = extension.basic_auth
    if not secret:
        return
    fix = f"htpasswd -nB USER | {config_set(settings.stack, f'secrets.{secret}', secret=True)}"
    if secret not in settings.secrets:
        where = f"services.{name}.x-slipway.basicAuth needs it"
        yield missing_secret(settings.stack, secret, where, "nobody could pass the password prompt", fix)
        return
    lines = [line for line in settings.secrets[secret].get_secret_value().splitlines() if line.strip()]
    if not lines or not all(":" in line.strip()[1:-1] for line in lines):
        yield Problem(
            f"secrets.{secret}: these are not lines of htpasswd (services.{name}.x-slipway.basicAuth needs them)",
            "nobody could pass the password prompt",
            fix,
        )
