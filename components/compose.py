"""The Compose file, resolved by Compose itself.

Owns: which variables get which values, and telling what Compose complains of. Does not own: what of the file can be
deployed (see `application`). Produces: Compose's own resolved model, secrets as marks that no other text can be.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from components.errors import Problem, SlipwayError
from components.settings import named_like_a_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from components.settings import Settings

__all__ = ["ComposeModel", "missing_variable", "resolve", "secret_names", "with_placeholders"]

# The names Compose looks for, in its order: https://docs.docker.com/compose/intro/compose-application-model/
# Only one file is read: an override file is for the developer's own machine.
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_UNSET = re.compile(r'The \\?"(?P<name>[^"\\]+)\\?" variable is not set')
_REQUIRED = re.compile(r"required variable (?P<name>\w+) is missing a value(?:: (?P<message>.*))?")
_MARK = "slipway-secret-{}-value"
_MARKED = re.compile(r"slipway-secret-(\w+)-value")


class ComposeModel(NamedTuple):
    """What a Compose file says once its variables have their values."""

    file: Path
    model: dict[str, Any]
    """Compose's canonical form; relative paths as they were written, secrets as marks (see `secret_names`)."""
    problems: list[Problem]
    """A problem for every variable that nothing gives a value."""


def resolve(settings: Settings) -> ComposeModel:
    """Let Compose read the application's file with the stack's values.

    Raises:
        SlipwayError: when there is no file, or Compose cannot read it.
    """
    file = _compose_file(settings)
    given = {"DOMAIN": settings.domain} if settings.domain else {}
    given |= settings.variables | {name: _MARK.format(name) for name in settings.secrets}
    problems: list[Problem] = []
    for _ in range(100):  # each round finds one `${NAME:?}` that is missing; a file has no hundred of them
        done = _compose_config(file, given)
        missing = _REQUIRED.search(done.stderr)
        if done.returncode == 0 or missing is None:
            break
        problems.append(missing_variable(missing["name"], settings, missing["message"] or ""))
        given[missing["name"]] = "missing"
    if done.returncode != 0:
        raise SlipwayError([*problems, _compose_problem(file, done.stderr)])
    unset = sorted({match["name"] for match in _UNSET.finditer(done.stderr)})
    problems += [missing_variable(name, settings, "") for name in unset]
    model = yaml.load(done.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # a safe loader
    return ComposeModel(file, model, problems)


def secret_names(text: str) -> list[str]:
    """The names of the secrets whose marks stand in `text`."""
    return _MARKED.findall(text)


def with_placeholders(node: Any) -> Any:  # noqa: ANN401  # a JSON tree
    """The tree with every secret's mark as `${NAME}`."""
    if isinstance(node, dict):
        return {key: with_placeholders(value) for key, value in node.items()}
    if isinstance(node, list):
        return [with_placeholders(value) for value in node]
    return _MARKED.sub(r"${\1}", node) if isinstance(node, str) else node


def _compose_file(settings: Settings) -> Path:
    names = (settings.compose_file,) if settings.compose_file else _COMPOSE_FILES
    for name in names:
        if (settings.application / name).is_file():
            return settings.application / name
    raise SlipwayError(
        Problem(
            f"application: {settings.application.name}/ holds no {' or '.join(names)}",
            "there is nothing to deploy",
            "pulumi config set application PATH-TO-THE-FOLDER-WITH-THE-COMPOSE-FILE",
        )
    )


def missing_variable(name: str, settings: Settings, message: str) -> Problem:
    """The problem of a variable without a value; `message` says more where the file does."""
    secret = f"pulumi config set --secret --path 'secrets.{name}'"
    plain = f"pulumi config set --path 'variables.{name}' VALUE"
    return Problem(
        f"variable {name} of the Compose file has no value" + (f" ({message})" if message else ""),
        f"stack {settings.stack} would run with an empty one",
        f"openssl rand -base64 24 | {secret}"
        if named_like_a_secret(name)
        else f"{plain} (or, if it is secret: {secret})",
    )


def _compose_config(file: Path, values: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Compose with nothing but the stack's values: neither this process's environment nor the folder's `.env`."""
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    argv = ["docker", "compose", "--file", str(file), "--env-file", os.devnull]
    argv += ["config", "--format", "yaml", "--no-path-resolution"]
    try:
        return subprocess.run(
            argv, cwd=file.parent, env={**values, **passed}, capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        raise SlipwayError(
            Problem(
                "docker is not on PATH",
                "the Compose file cannot be read",
                "make up (installs it), or install the Docker CLI with Compose",
            )
        ) from None


def _compose_problem(file: Path, stderr: str) -> Problem:
    """Compose's own complaint, with its meaning where it is a common one."""
    lines = [line for line in stderr.splitlines() if line and "level=warning" not in line]
    text = "; ".join(lines[-3:]) or "Compose gave no reason"
    meaning = "the Compose file cannot be read"
    if "unknown docker command" in text or "is not a docker command" in text or "unknown shorthand flag" in text:
        return Problem(
            "docker has no Compose v2 plugin", meaning, "make up (installs it), or install docker-compose-plugin"
        )
    if "neither an image nor a build" in text:
        meaning = "the service has nothing to run"
    elif "cycle" in text:
        meaning = "no service of the circle could ever start first"
    return Problem(
        f"{file.name}: {text}", meaning, f"correct {file.name} (docker compose -f {file.name} config shows the same)"
    )
