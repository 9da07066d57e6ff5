"""`env_file`: what the stack says wins over it, and a file that is missing is named with the ways out.

Compose merges these files into `environment` by itself; only the file as written still shows which is which.
"""

from __future__ import annotations

import os
import re
from posixpath import normpath
from typing import TYPE_CHECKING, Any

from slipway.compose.git import run_git
from slipway.contract.problems import Problem
from slipway.settings.dotenv_file import dotenv_entries, plain_places, read_dotenv
from slipway.settings.secrets.rules import SHORTEST_SECRET, is_secret, user_names
from slipway.settings.setting_files import config_set, entry, secrets_import

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from slipway.settings.model import Settings

__all__ = [
    "MISSING_ENV_FILE", "missing_env_files", "private_values", "put_stack_values", "with_env_files",
    "without_env_files",
]  # fmt: skip

_ASIDE = "x-env-file-"
_KEY = re.compile(r"\benv_file(?=[\"']?\s*:)")


MISSING_ENV_FILE = "env-file-missing"
"""The code of that problem."""


def without_env_files(files: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of Compose files in `folder`, in which no service has one."""
    copies = [folder / f"{number}.yaml" for number, _ in enumerate(files)]
    for number, file in enumerate(files):
        copies[number].write_text(_KEY.sub(f"{_ASIDE}{number}", file.read_text(encoding="utf-8")), encoding="utf-8")
    return copies


def with_env_files(model: dict[str, Any]) -> dict[str, Any]:
    """What Compose reads of such copies, with the files."""
    for service in (model.get("services") or {}).values():
        aside = [value for key, value in service.items() if key.startswith(_ASIDE)]
        service["env_file"] = [each for value in aside for each in (value if isinstance(value, list) else [value])]
    return model


def put_stack_values(
    model: Mapping[str, Any], written: Mapping[str, Any], given: Mapping[str, str], settings: Settings
) -> list[Problem]:
    """Give variables of an `env_file` the value that the stack has under their name; warnings where that is another.

    The stack replaces `.env`, so no warning there. `environment` comes before either, as in Compose. What a file that
    Git does not track repeats of a secret under another name is that secret.
    """
    others: dict[tuple[str, str], list[str]] = {}  # variable and its files → services
    values = {**given, **{name: value.get_secret_value() for name, value in settings.secrets.items()}}
    held = {values[each].replace("$", "$$"): each for each in settings.secrets if len(values[each]) >= SHORTEST_SECRET}
    for service, description in sorted((model.get("services") or {}).items()):
        as_written = (written.get("services") or {}).get(service) or {}
        files = [path for path, _ in _env_files(as_written)]
        there = [path for path in files if "$" in path or (settings.application / path).is_file()]
        environment = description.get("environment") or {}
        of_files = environment.keys() - _names(as_written.get("environment")) if files else set()
        logins = user_names(environment)  # a password that is one is weak, and the user none
        repeated = {name: environment[name] for name in of_files - given.keys() if environment[name] not in logins}
        repeated = {name: held[value] for name, value in repeated.items() if value in held}
        if repeated and not run_git(settings.application, "ls-files", "--", *there).stdout:
            environment |= {name: given[secret] for name, secret in repeated.items()}
        for name in sorted(of_files & given.keys()):
            same = (None, *(each.replace("$", "$$") for each in (given[name], values[name])))
            if environment[name] not in same and any(normpath(path) != ".env" for path in there):
                others.setdefault((name, " or ".join(there)), []).append(service)
            environment[name] = given[name].replace("$", "$$")
    return [
        Problem(
            f"services.{', '.join(services)}: {name} is in {where}, and stack {settings.stack} has another value",
            "the stack's is taken",
            f"write {name} under `environment:` of {' and '.join(services)} if it is to have a value of its own",
        )
        for (name, where), services in others.items()
    ]


def private_values(written: Mapping[str, Any], given: Mapping[str, str], folder: Path, stack: str) -> list[Problem]:
    """A warning for every file that Git does not track and that holds, as a `.env` may, what nothing shows to be plain.

    What is a secret by its name or form is reported where all such are.
    """
    own: dict[str, set[str]] = {}  # file → what all of its services have without it
    for service in (written.get("services") or {}).values():
        names = _names(service.get("environment")) | given.keys()
        for path, _ in _env_files(service):
            own[path] = own.get(path, names) & names
    untracked = [path for path in sorted(own) if "$" not in path and not run_git(folder, "ls-files", "--", path).stdout]
    plain = plain_places(folder) if untracked else set()
    warnings = []
    for path in untracked:
        entries = dotenv_entries(read_dotenv(folder / path), dict.fromkeys(given, "1"), {}, plain)
        private = {each.name for each in entries if each.secret and each.value and not is_secret(*each[:2])}
        if left := sorted(private - own[path]):
            warnings.append(
                Problem(
                    f"{', '.join(left)} of {path} would be in plain text in every release",
                    "Git does not track the file, and nothing shows that they are no secrets; the stack's values win "
                    "over it",
                    secrets_import(stack, os.path.relpath(folder / path)),
                )
            )
    return warnings


def missing_env_files(written: Mapping[str, Any], folder: Path, stack: str) -> list[Problem]:
    """A problem for every file that a service requires and that is not there."""
    missing = [
        (service, path)
        for service, description in sorted((written.get("services") or {}).items())
        for path, required in _env_files(description)
        if required and "$" not in path and not (folder / path).is_file()
    ]
    return [_missing(service, path, stack) for service, path in missing]


def _missing(service: str, path: str, stack: str) -> Problem:
    meaning = "Compose refuses to run the service; a file that git ignores is on no other machine and never in CI: "
    if path.startswith(("/", "~")):
        meaning = "Compose reads it on the machine that runs Slipway, never on the host: "
    else:
        meaning += "commit it without its secrets, or "
    return Problem(
        f"services.{service}.env_file: {path} does not exist",
        f"{meaning}write each of its variables under `environment:` as `NAME: ${{NAME}}` and set it for the stack "
        f"({entry('secrets', 'NAME')} with --secret if it is secret)",
        config_set(stack, entry("variables", "NAME")),
        MISSING_ENV_FILE,
    )


def _env_files(service: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Path of each, and whether it must be there."""
    stated = service.get("env_file") or []
    for each in [stated] if isinstance(stated, (str, dict)) else stated:
        if isinstance(each, dict):
            yield str(each.get("path")), each.get("required", True) is not False
        else:
            yield str(each), True


def _names(environment: object) -> set[str]:
    """The variables that `environment` itself sets, in either of its forms."""
    stated = environment or []
    return {str(each).partition("=")[0] for each in stated} if isinstance(stated, (dict, list)) else set()
