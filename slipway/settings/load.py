"""Where the values of settings come from, each source read once; every problem is reported at once.

A value is looked for in the environment (`SLIPWAY_<NAME>`), then in the stack's configuration, then in `.env` beside
Pulumi.yaml: what this run says wins, what was reviewed and committed comes next, and the machine's own file only fills
gaps, so that a developer's `.env` never overrides what production was given. An empty variable counts as unset, because
that is what a CI system makes of one that it does not have.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, Unpack

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.alias_generators import to_camel, to_snake

from slipway.contract.host_paths import HOME_VARIABLE
from slipway.contract.plan import PLANS_VARIABLE
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.blocks.github import GitHubSettings, ReviewerSettings, RulesetSettings
from slipway.settings.blocks.hetzner import TOKEN_KEY, HetznerSettings, ServerSettings, VolumeSettings
from slipway.settings.blocks.notify import NotifySettings
from slipway.settings.deploy_origin import in_pull_request
from slipway.settings.dotenv_file import Dotenv, dotenv_entries, plain_places, read_dotenv
from slipway.settings.edge_settings import tls_is_meant
from slipway.settings.model import (
    OFFLINE,
    PREFIX,
    SECRET_KEYS,
    BastionSettings,
    HostSettings,
    Settings,
    container_keys,
    is_secret,
    known_keys,
)
from slipway.settings.rules.hetzner import hetzner_token
from slipway.settings.rules.stack import broken_rules
from slipway.settings.setting_files import (
    config_rm,
    config_set,
    entries_of,
    entry,
    read_stack_file,
    stack_file,
)
from slipway.settings.spelling import nearest, suggestion
from slipway.settings.values import message_of, tolerate_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo

__all__ = ["StackSources", "collect_settings", "load_settings"]

# Names in the same prefix that belong to the toolchain, the agent, commands and tests, not to a stack.
_FOREIGN = ("SLIPWAY_TEST_", "SLIPWAY_LOCAL_", "SLIPWAY_BENCH_")
_FOREIGN_NAMES = (HOME_VARIABLE, PLANS_VARIABLE, "SLIPWAY_KEEP_GO_CACHE", "SLIPWAY_HEALTH_LOGIN")
_BY_ENTRY = ("variables", "secrets")
_BLOCKS: dict[object, type[BaseModel]] = {
    "hosts": HostSettings, "bastion": BastionSettings, "github": GitHubSettings, "reviewers": ReviewerSettings,
    "ruleset": RulesetSettings, "notify": NotifySettings, "hetzner": HetznerSettings, "servers": ServerSettings,
    "volume": VolumeSettings,
}  # fmt: skip
_STACK, _ENVIRONMENT, _DOTENV = "stack configuration", "environment", ".env"


def _variable(key: str) -> str:
    """The variable that sets `key`."""
    return PREFIX + to_snake(key).upper()


def _defaults(field: FieldInfo) -> tuple[str, ...]:
    """How the engine writes a setting's default when the stack does not set it."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, SecretStr):
        return ("",)
    default = default.model_dump(exclude_defaults=True) if isinstance(default, BaseModel) else default
    return (json.dumps(default),) if isinstance(default, (bool, int, list, dict)) else (str(default),)


class _Sources:
    """The raw values of every source, merged in this project's order, with the problems met on the way."""

    def __init__(self, *, stack: str, stated: Mapping[str, Any], encrypted: Collection[str]) -> None:
        self.problems: list[Problem] = []
        self.values: dict[str, Any] = {}
        self.unreadable: set[str] = set()
        self.origins: dict[str, str] = {}
        self.stack, self._stated, self._encrypted = stack, stated, encrypted
        self._known = known_keys()
        self._containers = container_keys()
        self._by_variable = {_variable(key): key for key in self._known}

    def take_configuration(self, configuration: Mapping[str, str]) -> None:
        """Take what the engine hands over as the stack's configuration."""
        for key, value in configuration.items():
            if key not in self._known:
                close = nearest(key, self._known)
                self.problems.append(
                    Problem(
                        f"{_STACK}: unknown key '{key}'",
                        suggestion(key, self._known, "no setting has that name"),
                        config_rm(self.stack, key) + (f" && {self.fix(close)}" if close else ""),
                    )
                )
            elif key in self._stated or value not in _defaults(self._known[key]):
                # anything else is Pulumi.yaml's own default, which the engine fills in where nobody said anything
                self._check_encryption(key, value)
                self._merge(key, value, _STACK)

    def take_variables(self, variables: Mapping[str, str], where: str) -> None:
        """Take the variables that begin with SLIPWAY_."""
        for name, value in variables.items():
            if not name.startswith(PREFIX) or name.startswith(_FOREIGN) or name in _FOREIGN_NAMES:
                continue
            head, separator, entry = name.partition("__")
            key = self._by_variable.get(head)
            if key is None or (separator and (key not in _BY_ENTRY or not entry)):
                self.problems.append(
                    Problem(
                        f"{where}: unknown variable '{name}'",
                        suggestion(head, () if key else self._by_variable, "no setting has that name"),
                        f"unset {name}" if where == _ENVIRONMENT else f"remove the line {name}=… from .env",
                        subject=name,
                    )
                )
            elif entry:
                self._merge(key, {entry: value}, where)
            elif value:
                self._merge(key, value, where)

    def fix(self, path: str) -> str:
        """How to set `path` where its value came from."""
        key = path.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]
        where = self.origins.get(key, _STACK)
        if where == _ENVIRONMENT:
            return f"unset {_variable(key)}"
        if where == _DOTENV:
            return f"correct {_variable(key)}=… in .env"
        return config_set(self.stack, path, secret=is_secret(path))  # asks for the value

    def _check_encryption(self, key: str, value: str) -> None:
        stated = self._stated.get(key)
        if key in SECRET_KEYS and stated != {}:  # what the engine leaves when the last entry is removed
            entries = [entry(key, name) for name in entries_of(stated, encrypted=False)]
            self.problems += [
                Problem(
                    f"{_STACK}: '{each}' is stored in plain text",
                    "everyone who can read the stack file can read the secret: change it where it is used",
                    " && ".join(
                        [config_rm(self.stack, each)]
                        + [config_set(self.stack, path, secret=True) for path in _paths(each, value)]
                    ),
                )
                for each in (entries if key in self._encrypted else [key])
            ]
        elif key == "notify":
            self.problems += [
                Problem(
                    f"{_STACK}: '{path}' is stored in plain text",
                    "everyone who can read the stack file can send messages in its name: replace it at the service",
                    f"{config_rm(self.stack, path)} && {config_set(self.stack, path, secret=True)}",
                )
                for name, each in (stated.items() if isinstance(stated, dict) else ())
                for path in [f"{entry(key, str(name))}.url"]
                if "url" in entries_of(each, encrypted=False)
            ]
        elif key == "variables" and key in self._encrypted:
            self.problems += [
                Problem(
                    f"{_STACK}: 'variables.{name}' is encrypted, which variables do not stay",
                    "its value would be in plain text in every release",
                    f"{config_rm(self.stack, entry('variables', name))} && "
                    + config_set(self.stack, entry("secrets", name), secret=True),
                )
                for name in entries_of(stated, encrypted=True) or ["NAME"]
            ]

    def _merge(self, key: str, value: object, where: str) -> None:
        """Later sources win; mappings (variables, secrets) are merged entry by entry."""
        self.origins[key] = where
        if key in self._containers:
            try:
                value = tolerate_json(value)
            except ValueError as error:
                problem = Problem(f"{where}: '{key}' {error}", "the value cannot be used", self.fix(key), subject=key)
                self.problems.append(problem)
                self.unreadable.add(key)
                return
        before = self.values.get(key)
        self.values[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value


def _paths(key: str, value: str) -> list[str]:
    """What to set again of a setting that is stored as a whole: its entries, or itself; nothing if it is unreadable."""
    try:
        return [entry(key, name) for name in dict(json.loads(value))] if key in _BY_ENTRY else [key]
    except (ValueError, TypeError):
        return []


class StackSources(TypedDict):
    """What a stack's settings are read from."""

    project: str
    """Name of the Pulumi project; the namespace of its configuration keys."""
    stack: str
    """Name of the stack, without organisation and project."""
    configuration: Mapping[str, str]
    """The engine's configuration, `project:key` → text (JSON for lists and mappings), decrypted."""
    encrypted: Collection[str]
    """The keys of `configuration` that the stack file holds encrypted, if only in part."""
    root: Path
    """Folder of Pulumi.yaml, where the stack file and `.env` are looked for and relative paths start."""
    environment: NotRequired[Mapping[str, str] | None]
    """The process's own when None."""


def load_settings(**given: Unpack[StackSources]) -> Settings:
    """As `collect_settings`, and any problem is an error. Raises `SlipwayError` with all of them."""
    settings, problems = collect_settings(**given)
    if problems:
        raise SlipwayError(problems)
    return settings


def collect_settings(**given: Unpack[StackSources]) -> tuple[Settings, list[Problem]]:
    """Read every setting of one stack, and everything that keeps it from being used.

    Raises `SlipwayError` when one has the wrong type or form: with every problem found, never with a secret's value.
    """
    project, stack, root, prefix = given["project"], given["stack"], given["root"], f"{given['project']}:"
    file, dotenv = read_stack_file(stack_file(root, stack), project), read_dotenv(root / ".env")
    sources = _Sources(
        stack=stack,
        stated=file.entries,
        encrypted={key.removeprefix(prefix) for key in given["encrypted"]},
    )
    sources.take_variables(dotenv.values, _DOTENV)
    sources.take_configuration(
        {key.removeprefix(prefix): value for key, value in given["configuration"].items() if key.startswith(prefix)}
    )
    environment = given.get("environment")
    environment = os.environ if environment is None else environment
    sources.take_variables(environment, _ENVIRONMENT)
    problems = [*dotenv.problems, *sources.problems]
    sources.values.setdefault("production", stack in ("production", "prod"))

    settings, unusable = _validated(stack, sources)
    token, plain = hetzner_token(stack, given["configuration"], given["encrypted"], environment)
    machines = {"hosts": [*settings.hosts, *settings.hetzner.hosts()], "hetzner_token": SecretStr(token)}
    machines["hetzner_token_kept"] = TOKEN_KEY in given["configuration"]
    settings = settings.model_copy(update=machines)
    problems += plain if settings.hetzner.servers else []
    if "https" not in sources.values:
        settings = settings.model_copy(update={"https": tls_is_meant(settings)})
    if "preview" not in sources.values and settings.production and in_pull_request():
        settings = settings.model_copy(update={"preview": OFFLINE})
    settings = _with_dotenv_variables(settings, dotenv, root / settings.application)
    broken = {_key(problem) for problem in unusable} | sources.unreadable
    problems += unusable
    problems += [problem for problem in broken_rules(settings) if _key(problem) not in broken]
    folder = root / settings.application
    if not folder.is_dir():
        problems.append(
            Problem.about(
                "application",
                f"'{settings.application}' is not a folder",
                "there is no Compose file to deploy",
                config_set(stack, "application"),
            )
        )
    if broken:
        raise SlipwayError(problems)
    owner = f"{project}/{stack} {_mark(file.top)}".strip()
    return settings.model_copy(update={"application": folder, "owner": owner}), problems


def _mark(top: Mapping[str, Any]) -> str:
    """What sets a stack apart from others of its name: a digest of what encrypts its secrets; empty for a service.

    No two have the same, unless one's stack file is a copy of the other's.
    """
    own = str(top.get("encryptionsalt") or top.get("encryptedkey") or "")
    return hashlib.sha256(own.encode()).hexdigest()[:16] if own else ""


def _validated(stack: str, sources: _Sources) -> tuple[Settings, list[Problem]]:
    """The settings, without those that cannot be used, and the problems of these."""
    try:
        return Settings(stack=stack, **sources.values), []
    except ValidationError as error:
        # without input and context: a context's exception holds the value that it complains of
        found = error.errors(include_url=False, include_input=False, include_context=False)
    broken = {str(each["loc"][0]) for each in found}
    rest = {key: value for key, value in sources.values.items() if key not in broken}
    return Settings(stack=stack, **rest), [_problem(each, sources) for each in found]


def _key(problem: Problem) -> str:
    """The setting that a problem is about."""
    return problem.subject.split(".")[0].split("[")[0]


def _with_dotenv_variables(settings: Settings, dotenv: Dotenv, folder: Path) -> Settings:
    """Add what `.env` gives and nothing else does: as variables where it is plain, else as secrets."""
    plain, secret = dict(settings.variables), dict(settings.secrets)
    known = ({"DOMAIN": settings.domain} if settings.domain else {}) | plain
    values = {name: value for name, value in dotenv.values.items() if name not in known and name not in secret}
    given = {name: value.get_secret_value() for name, value in secret.items()}
    open_names = plain_places(folder, settings.compose_file) if values else ()
    for name, value, why in dotenv_entries(dotenv._replace(values=values), known, given, open_names):
        if why and value:  # `${NAME:-…}` has its default for an empty one
            secret[name] = SecretStr(value)
        else:
            plain[name] = value
    return settings.model_copy(update={"variables": plain, "secrets": secret})


def _problem(error: Any, sources: _Sources) -> Problem:  # noqa: ANN401  # pydantic's ErrorDetails
    """A pydantic error as one of ours; pydantic's own text names the expectation, never the value."""
    head, *rest = error["loc"]
    path = str(head) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    if rest[-1:] == ["[key]"]:  # of a mapping
        path = entry(str(head), str(rest[0]))
        return Problem.about(path, message_of(error), "it can have no such name", config_rm(sources.stack, path))
    if error["type"] == "extra_forbidden":
        model = next(_BLOCKS[part] for part in reversed(error["loc"][:-1]) if part in _BLOCKS)
        known = [to_camel(name) for name in model.model_fields]
        return Problem.about(
            path,
            "unknown key",
            suggestion(str(rest[-1]), known, "no setting has that name"),
            config_rm(sources.stack, path),
        )
    return Problem.about(path, message_of(error), "the value cannot be used", sources.fix(path))
