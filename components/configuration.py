"""Where the values of settings come from, each source read once.

Owns: the order of the sources, unknown keys, and telling every problem at once. Does not own: the settings (see
`settings`) and the rules over them (see `rules`). Produces: `Settings`, or one `SlipwayError` with all problems.

A value is looked for in the environment (`SLIPWAY_<NAME>`), then in the stack's configuration, then in `.env` beside
Pulumi.yaml: what this run says wins, what was reviewed and committed comes next, and the machine's own file only fills
gaps, so that a developer's `.env` never overrides what production was told.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from components.errors import Problem, SlipwayError, nearest
from components.rules import broken_rules
from components.settings import (
    PREFIX,
    SECRET_KEYS,
    BastionSettings,
    HostSettings,
    Settings,
    known_keys,
    named_like_a_secret,
    tolerate_json,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo

__all__ = ["load_settings"]

# Names in the same prefix that belong to the toolchain, the agent and tests, not to a stack.
_FOREIGN = ("SLIPWAY_HOME", "SLIPWAY_TEST_", "SLIPWAY_LOCAL_", "SLIPWAY_BENCH_")


def _defaults(field: FieldInfo) -> tuple[str, ...]:
    """How the engine writes a setting's default when the stack does not set it."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, SecretStr):
        return ("",)
    return (json.dumps(default),) if isinstance(default, (bool, int, list, dict)) else (str(default),)


class _Sources:
    """The raw values of every source, merged in this project's order, with the problems met on the way."""

    def __init__(
        self,
        configuration: Mapping[str, str],
        encrypted: Collection[str],
        environment: Mapping[str, str],
        dotenv: Mapping[str, str],
    ) -> None:
        self.problems: list[Problem] = []
        self._encrypted = encrypted
        self.values: dict[str, Any] = {}
        known = known_keys()
        by_variable = {PREFIX + name.upper(): to_camel(name) for name in Settings.model_fields if name != "stack"}
        for source, where in ((dotenv, ".env"), (configuration, ""), (environment, "environment")):
            for key, value in source.items():
                if where == "":
                    self._take_configuration(key, value, known)
                elif key.startswith(PREFIX) and not key.startswith(_FOREIGN):
                    self._take_variable(key, value, where, by_variable)

    def _take_configuration(self, key: str, value: str, known: Mapping[str, FieldInfo]) -> None:
        if key not in known:
            close = nearest(key, known)
            self.problems.append(
                Problem(
                    f"stack configuration: unknown key '{key}'",
                    f"did you mean '{close}'?" if close else "no setting has that name",
                    f"pulumi config rm {key}" + (f" && pulumi config set {close} …" if close else ""),
                )
            )
            return
        if value in _defaults(known[key]):  # Pulumi.yaml's own default fills in what nobody set
            return
        if key in SECRET_KEYS and key not in self._encrypted:
            self.problems.append(
                Problem(
                    f"stack configuration: '{key}' is stored in plain text",
                    "everybody who reads the stack file reads the secret; count it as known",
                    f"pulumi config rm {key}, change the secret where it is used, then: "
                    f"pulumi config set --secret {'--path secrets.NAME' if key == 'secrets' else key}",
                )
            )
        self._merge(key, value, "stack configuration")

    def _take_variable(self, key: str, value: str, where: str, by_variable: Mapping[str, str]) -> None:
        head, _, entry = key.partition("__")
        if head not in by_variable:
            close = nearest(head, by_variable)
            self.problems.append(
                Problem(
                    f"{where}: unknown variable '{key}'",
                    f"did you mean '{close}'?" if close else "no setting has that name",
                    f"unset {key}" if where == "environment" else f"remove the line {key}=… from .env",
                )
            )
            return
        self._merge(by_variable[head], {entry: value} if entry else value, where)

    def _merge(self, key: str, value: object, where: str) -> None:
        """Later sources win; mappings (variables, secrets) are merged entry by entry."""
        try:
            value = tolerate_json(value)
        except ValueError:
            self.problems.append(
                Problem(
                    f"{where}: '{key}' is not valid JSON",
                    "it starts like a list or mapping",
                    f"pulumi config set --path '{key}…'",
                )
            )
            return
        before = self.values.get(key)
        self.values[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value


def load_settings(
    *,
    project: str,
    stack: str,
    configuration: Mapping[str, str],
    encrypted: Collection[str],
    root: Path,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read and validate every setting of one stack.

    Args:
        project: name of the Pulumi project; the namespace of its configuration keys.
        stack: name of the stack, without organisation and project.
        configuration: the engine's configuration, `project:key` → text (JSON for lists and mappings), decrypted.
        encrypted: the keys of `configuration` that the stack file holds encrypted.
        root: folder of Pulumi.yaml, where `.env` is looked for and relative paths start.
        environment: the process's environment when None.

    Raises:
        SlipwayError: with every problem found; never with a secret's value.
    """
    dotenv = {key: value or "" for key, value in dotenv_values(root / ".env", interpolate=False).items()}
    prefix = f"{project}:"
    sources = _Sources(
        {key.removeprefix(prefix): value for key, value in configuration.items() if key.startswith(prefix)},
        {key.removeprefix(prefix) for key in encrypted},
        os.environ if environment is None else environment,
        dotenv,
    )
    values = sources.values
    values.setdefault("production", stack in ("production", "prod"))
    try:
        settings = Settings(stack=stack, **values)
    except ValidationError as error:
        raise SlipwayError([*sources.problems, *map(_problem, error.errors(include_url=False))]) from None
    settings = _with_dotenv_variables(settings, dotenv)
    problems = [*sources.problems, *broken_rules(settings)]
    if not (root / settings.application).is_dir():
        problems.append(
            Problem(
                f"application: '{settings.application}' is not a folder",
                "there is no Compose file to deploy",
                "pulumi config set application PATH-TO-THE-FOLDER-WITH-THE-COMPOSE-FILE",
            )
        )
    if problems:
        raise SlipwayError(problems)
    return settings.model_copy(update={"application": root / settings.application})


def _with_dotenv_variables(settings: Settings, dotenv: Mapping[str, str]) -> Settings:
    """Add `.env`'s plain names as variables that nothing else gives; those named like a secret become secrets."""
    given = settings.variables.keys() | settings.secrets.keys()
    fill = {key: value for key, value in dotenv.items() if not key.startswith(PREFIX) and key not in given}
    secret = {key: SecretStr(value) for key, value in fill.items() if named_like_a_secret(key)}
    plain = {key: value for key, value in fill.items() if key not in secret}
    return settings.model_copy(
        update={"variables": {**plain, **settings.variables}, "secrets": {**secret, **settings.secrets}}
    )


def _problem(error: Any) -> Problem:  # noqa: ANN401  # pydantic's ErrorDetails
    """A pydantic error as one of ours; pydantic's own text names the expectation, never the value."""
    head, *rest = [str(part) for part in error["loc"]]
    path = head + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)
    if error["type"] == "extra_forbidden":
        known = [to_camel(name) for name in (*HostSettings.model_fields, *BastionSettings.model_fields)]
        close = nearest(str(error["loc"][-1]), known)
        return Problem(
            f"{path}: unknown key",
            f"did you mean '{close}'?" if close else "no setting has that name",
            f"pulumi config rm --path '{path}'",
        )
    return Problem(
        f"{path}: {error['msg'][:1].lower()}{error['msg'][1:]}",
        "the value cannot be used",
        f"pulumi config set --path '{path}' VALUE",
    )
