"""Rules over several settings, or over what they point at.

Owns: what a validated set of settings must still satisfy, and which secrets are too weak. Does not own: types and
ranges (see `settings`). Produces: problems, for `configuration` to tell and for the program to warn of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.errors import Problem
from components.settings import named_like_a_secret, one_host_key

if TYPE_CHECKING:
    from components.settings import Settings

__all__ = ["broken_rules", "weak_secrets"]

_PLACEHOLDERS = frozenset(
    {"changeme", "change-me", "change_me", "password", "passwd", "secret", "todo", "xxx", "example", "default", "admin",
     "test", "placeholder", "replace-me", "replaceme", "none", "null", "123456", "12345678", "letmein"},
)  # fmt: skip
_SHORTEST_SECRET = 12  # characters; NIST SP 800-63B-4 asks for 15 of a sole password, 8 beside a second factor


def broken_rules(settings: Settings) -> list[Problem]:
    """Everything that keeps this stack from being deployed, whatever its Compose file says."""
    return [*_host_problems(settings), *_registry_problems(settings), *weak_secrets(settings, refused=True)]


def _host_problems(settings: Settings) -> list[Problem]:
    problems = []
    names = [host.name for host in settings.hosts]
    if not names:
        problems.append(
            Problem(
                "hosts: the list is empty",
                "there is nowhere to deploy to",
                "pulumi config set --path 'hosts[0].name' web-1 && pulumi config set --path 'hosts[0].address' ADDRESS",
            )
        )
    problems += [
        Problem(
            f"hosts: the name '{name}' is used twice",
            "each host is known by its name",
            "rename one of them in the stack file",
        )
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for index, host in enumerate(settings.hosts):
        for path, machine in ((f"hosts[{index}]", host), (f"hosts[{index}].bastion", host.bastion)):
            if machine is not None and not host.local and not one_host_key(machine.host_key):
                stated = "has no pinned host key" if not machine.host_key else "has a host key that is not a public key"
                problems.append(
                    Problem(
                        f"{path}.hostKey: {machine.address} {stated}",
                        "anybody on the way could pose as that host and read the secrets",
                        f"pulumi config set --path '{path}.hostKey' "
                        f"\"$(ssh-keyscan -t ed25519 -p {machine.port} {machine.address} | cut -d' ' -f2-)\" "
                        "(compare it with the provider's console)",
                    )
                )
    if any(not host.local for host in settings.hosts):
        problems += _key_problems(settings)
    return problems


def _key_problems(settings: Settings) -> list[Problem]:
    mend = "pulumi config set --secret sshKey < ~/.ssh/deploy_ed25519"
    try:
        key = settings.private_key()
    except OSError as error:
        return [
            Problem(
                f"sshKeyFile: {settings.ssh_key_file} cannot be read ({error.strerror})", "no host can be reached", mend
            )
        ]
    if not key:
        return [Problem("sshKey: no private key is set", "no host can be reached", mend)]
    if "PRIVATE KEY" not in key:
        return [Problem("sshKey: this is not a private key in OpenSSH or PEM form", "no host can be reached", mend)]
    return []


def _registry_problems(settings: Settings) -> list[Problem]:
    if settings.registry_username and not settings.registry_password.get_secret_value():
        return [
            Problem(
                "registryPassword: empty, though registryUsername is set",
                "the registry will refuse the push",
                "pulumi config set --secret registryPassword",
            )
        ]
    return []


def weak_secrets(settings: Settings, *, refused: bool) -> list[Problem]:
    """Secrets that are empty, a placeholder or, named like a secret, shorter than 12 characters.

    `refused=True` gives those that this stack must not run with: all of them in production, none elsewhere;
    `refused=False` the others, to warn of.
    """
    if settings.production != refused:
        return []
    problems = []
    for name, secret in settings.secrets.items():
        value = secret.get_secret_value()
        if not value.strip():
            what = "is empty"
        elif value.strip().lower() in _PLACEHOLDERS:
            what = "is a placeholder"
        elif len(value) < _SHORTEST_SECRET and named_like_a_secret(name):
            what = f"has fewer than {_SHORTEST_SECRET} characters"
        else:
            continue
        problems.append(
            Problem(
                f"secrets.{name}: {what}",
                "anybody could guess it",
                f"openssl rand -base64 24 | pulumi config set --secret --path 'secrets.{name}'",
            )
        )
    return problems
