"""Rules over several settings, or over what they point at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slipway.contract.problems import Problem
from slipway.settings.certificates import certificate_problems
from slipway.settings.edge_settings import edge_problems
from slipway.settings.secret_rules import weakness
from slipway.settings.values import one_host_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.settings.model import HostSettings, Settings

__all__ = ["broken_rules", "weak_secrets"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)  # what Compose can substitute


def broken_rules(settings: Settings) -> list[Problem]:
    """Everything that keeps this stack from being deployed, whatever its Compose file says."""
    return [
        *_host_problems(settings),
        *_registry_problems(settings),
        *_variable_problems(settings),
        *edge_problems(settings),
        *certificate_problems(settings),
        *weak_secrets(settings, refused=True),
    ]


def _host_problems(settings: Settings) -> list[Problem]:
    if not settings.hosts:
        return [
            Problem.about(
                "hosts",
                "the list is empty",
                "there is nowhere to deploy to",
                "pulumi config set --path 'hosts[0].name' web-1 && pulumi config set --path 'hosts[0].address' ADDRESS",
            )
        ]
    problems = _repeated_hosts(settings.hosts)
    for index, host in enumerate(settings.hosts):
        for path, machine in ((f"hosts[{index}]", host), (f"hosts[{index}].bastion", host.bastion)):
            if machine is not None and not host.local and not one_host_key(machine.host_key):
                stated = "has no pinned host key" if not machine.host_key else "has a host key that is not a public key"
                problems.append(
                    Problem.about(
                        f"{path}.hostKey",
                        f"{machine.address} {stated}",
                        "anybody on the way could pose as that host and read the secrets",
                        f"pulumi config set --path '{path}.hostKey' "
                        f'"$(ssh-keyscan -p {machine.port} {machine.address})" '
                        "(compare it with the provider's console)",
                    )
                )
    if any(not host.local for host in settings.hosts):
        problems += _key_problems(settings)
    return problems


def _repeated_hosts(hosts: Sequence[HostSettings]) -> list[Problem]:
    names = [host.name for host in hosts]
    problems = [
        Problem.about(
            "hosts",
            f"the name '{name}' is used twice",
            "each host is known by its name",
            "rename one of them in the stack file",
        )
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    machines: dict[tuple[str, int], str] = {}
    for host in hosts:
        place = (host.address.lower(), 0 if host.local else host.port)
        other = machines.setdefault(place, host.name)
        if other != host.name:
            problems.append(
                Problem.about(
                    "hosts",
                    f"'{other}' and '{host.name}' are the same machine ({host.address})",
                    "two deployments would fight for the same containers",
                    "remove one of them from the stack file",
                )
            )
    return problems


def _key_problems(settings: Settings) -> list[Problem]:
    fix = "pulumi config set --secret sshKey < ~/.ssh/deploy_ed25519"
    where = "sshKeyFile" if settings.ssh_key_file and not settings.ssh_key.get_secret_value() else "sshKey"
    meaning = "no host can be reached"
    try:
        key = settings.private_key()
    except OSError as error:
        return [Problem.about(where, f"{settings.ssh_key_file} cannot be read ({error.strerror})", meaning, fix)]
    except UnicodeDecodeError:
        key = "no text"
    if not key.strip():
        return [Problem.about(where, "no private key is set", meaning, fix)]
    if not re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----", key):
        return [Problem.about(where, "this is not a private key in OpenSSH or PEM form", meaning, fix)]
    return []


def _registry_problems(settings: Settings) -> list[Problem]:
    problems = []
    password = bool(settings.registry_password.get_secret_value())
    if settings.registry_username and not password:
        problems.append(
            Problem.about(
                "registryPassword",
                "empty, though registryUsername is set",
                "the registry will refuse the push",
                "pulumi config set --secret registryPassword",
            )
        )
    if password and not settings.registry_username:
        problems.append(
            Problem.about(
                "registryUsername",
                "empty, though registryPassword is set",
                "nobody would log in to the registry",
                "pulumi config set registryUsername USER",
            )
        )
    if settings.registry_username and not settings.registry:
        problems.append(
            Problem.about(
                "registry",
                "not set, though registryUsername is",
                "the credentials are for nowhere",
                "pulumi config set registry ghcr.io/YOUR-TEAM",
                "setting-missing",
            )
        )
    return problems


def _variable_problems(settings: Settings) -> list[Problem]:
    """What keeps a name from being substituted, or a value from being handed over."""
    problems = []
    plain = {f"variables.{name}": (name, value) for name, value in settings.variables.items()}
    secret = {f"secrets.{name}": (name, value.get_secret_value()) for name, value in settings.secrets.items()}
    for where, (name, value) in (plain | secret).items():
        if not _VARIABLE.fullmatch(name):
            problems.append(
                Problem.about(
                    where,
                    "this is not the name of a variable",
                    "no ${NAME} of a Compose file could mean it",
                    f"pulumi config rm --path '{where}', then set it under a name of letters, digits and underscores",
                )
            )
        if "\0" in value or not _unicode(value):
            problems.append(
                Problem.about(
                    where,
                    "holds a zero byte or bytes that are not UTF-8",
                    "no environment can carry it",
                    f"set it again, as text or in base64: pulumi config set --path '{where}'",
                )
            )
    problems += [
        Problem.about(
            f"variables.{name}",
            "there is a secret of the same name",
            "only one can be meant, and this one is readable",
            f"pulumi config rm --path 'variables.{name}'",
        )
        for name in sorted(settings.variables.keys() & settings.secrets.keys())
    ]
    return problems


def _unicode(value: str) -> bool:
    """Whether it can be written as UTF-8; text of an environment may hold what is none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def weak_secrets(settings: Settings, *, refused: bool) -> list[Problem]:
    """Secrets that are empty, a placeholder or, named like a secret, shorter than 12 characters.

    `refused=True` gives those that this stack must not run with: all of them in production, none elsewhere;
    `refused=False` the others, to warn of.
    """
    if settings.production != refused:
        return []
    found = {name: weakness(name, secret.get_secret_value()) for name, secret in settings.secrets.items()}
    return [
        Problem.about(
            f"secrets.{name}",
            what,
            "anybody could guess it",
            f"openssl rand -base64 24 | pulumi config set --secret --path 'secrets.{name}'",
        )
        for name, what in found.items()
        if what
    ]
