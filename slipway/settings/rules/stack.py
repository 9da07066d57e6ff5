"""Rules over several settings, or over what they point at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pydantic import SecretStr

from slipway.contract.problems import Problem
from slipway.settings.certificates import certificate_problems
from slipway.settings.edge_settings import edge_problems
from slipway.settings.model import is_secret
from slipway.settings.rules.github import github_problems
from slipway.settings.rules.hetzner import hetzner_problems
from slipway.settings.secrets.forms import passwords_in_urls
from slipway.settings.secrets.rules import (
    GUESSED,
    is_password,
    made_up,
    new_secret,
    passwords_assigned,
    placeholder_inside,
    user_names,
    weakness,
)
from slipway.settings.setting_files import config_edit, config_rm, config_set, entry, set_host_key
from slipway.settings.values import is_placeholder, one_host_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.settings.model import HostSettings, Settings

__all__ = ["broken_rules", "is_variable_name", "too_long", "weak_secrets"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)  # what Compose can substitute
_PASSED_ON = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)  # what `environment: [discovery.type]` can take as well
_LONGEST = 131_070  # bytes of name and value together: Linux, MAX_ARG_STRLEN, without the `=` and the end
_SURROGATE = re.compile("[\ud800-\udfff]")


def broken_rules(settings: Settings) -> list[Problem]:
    """Everything that keeps this stack from being deployed, whatever its Compose file says."""
    return [
        *_host_problems(settings),
        *_registry_problems(settings),
        *_variable_problems(settings),
        *_placeholder_problems(settings),
        *edge_problems(settings),
        *certificate_problems(settings),
        *github_problems(settings),
        *hetzner_problems(settings),
        *weak_secrets(settings, refused=True),
    ]


def _host_problems(settings: Settings) -> Iterator[Problem]:
    stack = settings.stack
    if not settings.hosts:
        yield Problem.about(
            "hosts",
            "the list is empty",
            "there is nowhere to deploy to",
            f"{config_set(stack, 'hosts[0].name', 'web-1')} && {config_set(stack, 'hosts[0].address')}",
        )
    yield from _repeated_hosts(settings.hosts)
    for index, host in enumerate(settings.hosts):
        for path, machine in ((f"hosts[{index}]", host), (f"hosts[{index}].bastion", host.bastion)):
            if machine is not None and host.made and not host.local and not one_host_key(machine.host_key):
                stated = "has no pinned host key" if not machine.host_key else "has a host key that is not a public key"
                yield Problem.about(
                    f"{path}.hostKey",
                    f"{machine.address} {stated}",
                    "anyone in between could impersonate that host and read the secrets; compare what it shows with "
                    "the provider's console",
                    set_host_key(stack, path, machine.address, machine.port),
                )
    if any(not host.local for host in settings.hosts):
        yield from _key_problems(settings)


def _repeated_hosts(hosts: Sequence[HostSettings]) -> Iterator[Problem]:
    names = [host.name for host in hosts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem.about(
            "hosts",
            f"the name '{name}' is used twice",
            "each host is known by its name",
            "rename one of them in the stack file",
        )
    machines: dict[tuple[str, int], str] = {}
    for host in (each for each in hosts if each.made):
        place = (host.address.lower(), 0 if host.local else host.port)
        other = machines.setdefault(place, host.name)
        if other != host.name:
            yield Problem.about(
                "hosts",
                f"'{other}' and '{host.name}' are the same machine ({host.address})",
                "two deployments would fight over the same containers",
                "remove one of them from the stack file",
            )


def _key_problems(settings: Settings) -> Iterator[Problem]:
    fix = config_set(settings.stack, "sshKey", "< ~/.ssh/deploy_ed25519", secret=True)
    where = "sshKeyFile" if settings.ssh_key_file and not settings.ssh_key.get_secret_value() else "sshKey"
    meaning = "no host can be reached"
    try:
        key = settings.private_key()
    except OSError as error:
        yield Problem.about(where, f"{settings.ssh_key_file} cannot be read ({error.strerror})", meaning, fix)
        return
    except UnicodeDecodeError:
        key = "no text"
    if not key.strip():
        yield Problem.about(where, "no private key is set", meaning, fix)
    elif not re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----", key):
        yield Problem.about(where, "this is not a private key in OpenSSH or PEM form", meaning, fix)


def _registry_problems(settings: Settings) -> Iterator[Problem]:
    password = bool(settings.registry_password.get_secret_value())
    if settings.registry_username and not password:
        yield Problem.about(
            "registryPassword",
            "empty, though registryUsername is set",
            "the registry will refuse the push",
            config_set(settings.stack, "registryPassword", secret=True),
        )
    if password and not settings.registry_username:
        yield Problem.about(
            "registryUsername",
            "empty, though registryPassword is set",
            "nobody would log in to the registry",
            config_set(settings.stack, "registryUsername"),
        )
    if settings.registry_username and not settings.registry:
        yield Problem.about(
            "registry",
            "not set, though registryUsername is",
            "the credentials belong to no registry (such as ghcr.io/acme)",
            config_set(settings.stack, "registry"),
            "setting-missing",
        )


def _variable_problems(settings: Settings) -> Iterator[Problem]:
    """What keeps a name from being substituted, or a value from being handed over."""
    given = [("variables", name, value) for name, value in settings.variables.items()]
    given += [("secrets", name, value.get_secret_value()) for name, value in settings.secrets.items()]
    for section, name, value in given:
        where = entry(section, name)
        if not is_variable_name(name, secret=section == "secrets"):
            better = re.sub(r"[^A-Z0-9]+", "_", name.upper())
            renamed = f" && {config_set(settings.stack, entry(section, better), secret=section == 'secrets')}"
            yield Problem.about(
                f"{section}.{name}",
                "this is not the name of a variable",
                "no ${NAME} in a Compose file can refer to it; names have letters, digits and underscores, and "
                f"`{name}: ${{{better}}}` under `environment:` gives it any other in the container",
                config_rm(settings.stack, where) + (renamed if _VARIABLE.fullmatch(better) else ""),
            )
        if "\0" in value or _SURROGATE.search(value):  # text of an environment may hold what is not UTF-8
            yield Problem.about(
                f"{section}.{name}",
                "holds a zero byte or bytes that are not UTF-8",
                "no environment can carry it, other than in base64",
                config_set(settings.stack, where, secret=section == "secrets"),
            )
    yield from too_long("variables", settings.variables, settings.stack)
    # An empty one stands for nothing, as in the `.env` that Compose read: the secret is meant.
    for name in sorted(name for name in settings.secrets if settings.variables.get(name)):
        yield Problem.about(
            f"variables.{name}",
            "there is a secret of the same name",
            "it is unclear which one is meant, and this one is readable",
            config_rm(settings.stack, entry("variables", name)),
        )


def is_variable_name(name: str, *, secret: bool) -> bool:
    """Whether a stack can have a secret or a variable of that name."""
    return bool((_VARIABLE if secret else _PASSED_ON).fullmatch(name))


def too_long(section: str, values: Mapping[str, str], stack: str) -> Iterator[Problem]:
    """The variables or secrets with which no program can be started: Compose gets them in its environment."""
    for name, value in values.items():
        if (size := len(f"{name}{value}".encode(errors="replace"))) > _LONGEST:
            yield Problem.about(
                f"{section}.{name}",
                f"its value has {size - len(name):,} bytes",
                f"Linux starts no program with more than {_LONGEST:,} in one variable: keep it in a file that the "
                "service mounts",
                config_rm(stack, entry(section, name)),
            )


def _placeholder_problems(settings: Settings) -> Iterator[Problem]:
    """What somebody pasted and did not fill in."""
    for path, value in _texts(settings.model_dump(by_alias=True, exclude={"stack", "application"})):
        section = path.split(".", maxsplit=1)[0]
        # A secret that anyone could guess is another matter: `weak_secrets`.
        if is_placeholder(value, "variables" if section == "secrets" else section):
            fix = config_set(settings.stack, path, secret=is_secret(path))
            shown = "its value" if is_secret(path) else f"'{value}'"
            yield Problem.about(path, f"{shown} is a placeholder", "nobody wrote the value that belongs there", fix)


def _texts(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of the settings with its path, as `pulumi config set --path` takes it."""
    if isinstance(node, dict):
        for key, each in node.items():
            yield from _texts(each, entry(path, key) if path else key)
    elif isinstance(node, list):
        for index, each in enumerate(node):
            yield from _texts(each, f"{path}[{index}]")
    elif isinstance(node, SecretStr):
        yield path, node.get_secret_value()
    elif isinstance(node, str):
        yield path, node


def weak_secrets(settings: Settings, *, refused: bool) -> list[Problem]:
    """Secrets that are empty, a placeholder or, named like a secret, shorter than 12 characters; and such in URLs.

    `refused=True` gives those that this stack must not run with: all of them in production, none elsewhere;
    `refused=False` the others, to warn of.
    """
    if settings.production != refused:
        return []
    values = {name: secret.get_secret_value() for name, secret in settings.secrets.items()}
    users = user_names({**settings.variables, **values})
    found = {name: (what, value) for name, value in values.items() if (what := weakness(name, value, users))}
    inside = {name: dict(_own_passwords(value)) for name, value in values.items()}
    for name, passwords in inside.items():
        for password, host in passwords.items():
            if what := weakness("PASSWORD", password):
                found.setdefault(name, (f"its password for {host} {what}", password))
        if placeholder_inside(values[name]):
            found.setdefault(name, ("a secret in it is a placeholder", ""))
    return [_weak_secret(settings, name, found, inside) for name in found]


def _own_passwords(value: str) -> Iterator[tuple[str, str]]:
    """The passwords in a secret's URLs and connection strings, and their hosts: of services, as others have dots."""
    found = [*passwords_in_urls(value), *passwords_assigned(value)]
    return ((unquote(password), host) for password, host in found if host and "." not in host)


def _weak_secret(
    settings: Settings,
    name: str,
    found: Mapping[str, tuple[str, str]],
    inside: Mapping[str, Mapping[str, str]],
) -> Problem:
    what, password = found[name]
    urls = [each for each, passwords in inside.items() if password in passwords]
    same = [each for each, (_, its) in found.items() if its == password and each not in urls]
    if name not in urls and (not password.strip() or is_placeholder(password, "secrets")):  # keys have it by chance
        same = [each for each in same if password.strip() and is_password(name) and is_password(each)]
    others = [each for each in (*same, *urls) if each != name]
    meaning, fix = "anyone could guess it", new_secret(settings.stack, name)
    if others:
        meaning += f"; if it is one password with {' and '.join(others)}, set one for all"
    moved = bool(settings.adopt_volumes or settings.move_from)
    if taken_over := moved and bool(inside[name] or is_password(name)):
        meaning += "; a database that is taken over keeps the password it has: change it there first"
    elif moved:
        meaning += "; what is signed or encrypted with the one of today (sessions, links) ends with another"
    if others or taken_over:  # by hand: two random values would not be one
        names = [name, *others] if name not in urls else [*others, name]
        fix = " && ".join(_asked(settings, each) for each in names)
    elif not made_up(name):
        fix = _asked(settings, name)
    return Problem.about(f"secrets.{name}", what, meaning, fix, GUESSED)


def _asked(settings: Settings, name: str) -> str:
    if "\n" in settings.secrets[name].get_secret_value().strip():
        return config_edit(settings.stack, entry("secrets", name))
    return config_set(settings.stack, entry("secrets", name), secret=True)
