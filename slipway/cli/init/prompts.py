"""What only a person can say of an application's stacks, by options or at a terminal; all problems come at once."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from pydantic import TypeAdapter, ValidationError

from slipway.cli.init.stack_file import StackFile, stated
from slipway.contract.problems import Problem
from slipway.settings.model import LOCAL_ADDRESS, HostSettings
from slipway.settings.registry_names import address_of, is_local
from slipway.settings.secrets.rules import is_secret, new_secret, probably_secret
from slipway.settings.spelling import nearest
from slipway.settings.values import Domain, Email, RegistryPlace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from slipway.cli.init.requirements import Requirements

__all__ = ["InitOptions", "Prompter", "ask_for_stacks", "given_variables"]

_STACKS = ("staging", "production")  # when nobody names others
_USER = "deploy"  # as docs/guide/hosts.md prepares a host
_STACK = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)  # what the engine takes: tokens.ParseStackName
_HOST = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<address>\[[^\]\s]+\]|[^\[\]\s:]+|[^\[\]\s@]*:[^\[\]\s@]*:[^\[\]\s@]*?)(?::(?P<port>\d+))?"
)
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class InitOptions:
    """The options of `slipway init`, as they were written."""

    environments: Sequence[str] = ()
    registry: str = ""
    registry_user: str = ""
    hosts: Sequence[str] = ()
    domains: Sequence[str] = ()
    acme_email: str = ""
    variables: Sequence[str] = ()
    compose_file: Sequence[str] = ()
    accept_host_key: bool = False
    moves_from: str = ""
    from_running: str = ""
    workflows: bool = False
    runner: Sequence[str] = ()
    force: bool = False

    def again(self, application: Path, *, compose_file: Sequence[str] = ()) -> str:
        """The same command, without its flags."""
        given: dict[str, Sequence[str]] = {
            "--environment": self.environments,
            "--from": [self.moves_from],
            "--from-running": [self.from_running],
            "--host": self.hosts,
            "--registry": [self.registry],
            "--domain": self.domains,
            "--variable": self.variables,
            "--compose-file": compose_file or self.compose_file,
        }
        words = [word for option, values in given.items() for value in values if value for word in (option, value)]
        return shlex.join(["slipway", "init", os.path.relpath(application), *words])


def ask_for_stacks(options: InitOptions, *, asking: bool, known: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The names of the stacks, and what is wrong with them; `known` are those that have a stack file already."""
    names = list(dict.fromkeys(options.environments))
    if not names and asking:
        names = typer.prompt("Environments, with spaces between", default=" ".join(known or _STACKS)).split()
    names = names or list(_STACKS)
    odd = [name for name in names if not _STACK.fullmatch(name)]
    reasons = dict.fromkeys(odd, "the engine takes letters, digits, dots and dashes")
    if "local" in names:
        reasons["local"] = "`make up` keeps one of that name for this machine"
    what, fix = "--environment: '{}' cannot be the name of a stack", "give it another name: --environment staging"
    return names, [Problem(what.format(name), why, fix) for name, why in reasons.items()]


def given_variables(options: InitOptions, stacks: Sequence[str]) -> dict[str, str]:
    """The variables that options give the first stack, as far as an option may hold them."""
    values = {}
    for text in options.variables:
        stack, rest = _of_stack(text, stacks)
        entry = _VARIABLE.fullmatch(rest)
        if entry and stack in ("", stacks[0]) and not is_secret(entry["name"], entry["value"]):
            values[entry["name"]] = entry["value"]
    return {name: value for name, value in values.items() if not probably_secret(name)}


def _of_stack(text: str, stacks: Collection[str]) -> tuple[str, str]:
    """`STACK=TEXT` as a pair; an empty stack means every one."""
    head, separator, rest = text.partition("=")
    return (head, rest) if separator and head in stacks else ("", text)


class Prompter:
    """The settings of the stacks in `files`: as given, else as another stack has them, else asked for."""

    def __init__(
        self, options: InitOptions, requirements: Requirements, files: Mapping[str, StackFile], *, asking: bool
    ) -> None:
        self.options, self.requirements, self.files, self.asking = options, requirements, files, asking
        self.problems: list[Problem] = []
        """What is missing or wrong."""
        self.settings: dict[str, dict[str, Any]] = {}
        """Stack → setting → value, empty ones included; for an edited stack file only what options say."""
        registry = self._registry()
        common = {"registry": registry, "registryUsername": self._registry_user(registry)}
        given = {"registry": options.registry, "registryUsername": options.registry_user}
        hosts = self._by_stack("--host", options.hosts)
        domains = self._by_stack("--domain", options.domains)
        variables = self._by_stack("--variable", options.variables)
        for stack, file in files.items():
            self.settings[stack] = {
                **(given if file.edited else common),
                "hosts": self._hosts(stack, hosts, file),
                "domain": self._domain(stack, domains, new=not file.edited),
                "acmeEmail": options.acme_email,
                "variables": self._variables(stack, variables, new=not file.edited),
            }
        email = self._email()
        for settings in (self.settings[stack] for stack, file in files.items() if not file.edited):
            settings["acmeEmail"] = email if _any_remote([settings]) else ""

    def _registry(self) -> str:
        built = ", ".join(self.requirements.built)
        value = self.options.registry or stated(self.files.values(), "registry")
        if value or not built:
            return self._valid(RegistryPlace, value, "--registry")
        if self.asking:
            return _ask(f"Registry for the images of {built} (such as ghcr.io/YOUR-TEAM)", RegistryPlace)
        self._missing("--registry", f"{built}: built, and hosts can only run what they can pull", "ghcr.io/YOUR-TEAM")
        return ""

    def _registry_user(self, registry: str) -> str:
        user = self.options.registry_user or stated(self.files.values(), "registryUsername")
        if user or not registry or not self.asking or self.options.registry or is_local(address_of(registry)):
            return user
        return _ask(f"User of {address_of(registry)} (empty: none)", str)

    def _hosts(self, stack: str, given: list[tuple[str, str]], file: StackFile) -> list[dict[str, Any]]:
        texts = [text for only, text in given if only in ("", stack)]
        if not texts and not file.edited:
            if not self.asking:
                self._missing("--host", f"nowhere to deploy {stack} to", f"{stack}=deploy@ADDRESS (or {stack}=local)")
                return []
            texts = typer.prompt(
                f"Hosts of {stack}: [USER@]ADDRESS[:PORT], spaces between, `local` for this machine",
                value_proc=lambda text: _checked_hosts(stack, text.split()),
            )
        hosts = []
        pinned = {(host["address"], str(host.get("port", 22))): host.get("hostKey") for host in file.hosts}
        for number, text in enumerate(texts, 1):
            host = _host(stack, text, number)
            if isinstance(host, str):
                self._wrong("--host", host, "--host [STACK=[NAME=]][USER@]ADDRESS[:PORT]")
                continue
            key = pinned.get((host["address"], str(host.get("port", 22))))
            hosts.append({**host, "hostKey": key} if key else host)
        return hosts

    def _domain(self, stack: str, given: list[tuple[str, str]], *, new: bool) -> str:
        own = [text for only, text in given if only == stack]
        common = [text if stack in ("production", "prod") else f"{stack}.{text}" for only, text in given if not only]
        if value := next(iter([*own, *common]), ""):
            return self._valid(Domain, value, "--domain")
        needed = self.requirements.domain and new
        if self.asking and new:
            use = "${DOMAIN} in the Compose file, and where routes answer"
            while True:
                value = _ask(f"Domain of {stack} ({use}; {'needed' if needed else 'empty: none'})", Domain)
                if value or not needed:
                    return value
        if needed:
            self._missing("--domain", "${DOMAIN} in the Compose file would be empty", f"{stack}={stack}.example.com")
        return ""

    def _variables(self, stack: str, given: list[tuple[str, str]], *, new: bool) -> dict[str, str]:
        values = {}
        for text in (text for only, text in given if only in ("", stack)):
            entry = _VARIABLE.fullmatch(text)
            if entry is None:
                what = f"'{text.split('=')[0]}' is not followed by =VALUE"
                self._wrong("--variable", what, "--variable [STACK=]NAME=VALUE")
            elif entry["name"] in self.requirements.secrets or is_secret(entry["name"], entry["value"]):
                what = f"{entry['name']} is a secret, which an option would show to everybody on this machine"
                self._wrong("--variable", what, new_secret(stack, entry["name"]))
            else:
                values[entry["name"]] = entry["value"]
        for name, said in self.requirements.variables.items() if self.asking and new else ():
            if name not in values:
                about = f", {said}" if said else ""
                values[name] = _ask(f"{name} of {stack}{about} (empty: later, or because it is secret)", str)
        return {name: value for name, value in values.items() if value}

    def _email(self) -> str:
        if email := self.options.acme_email or stated(self.files.values(), "acmeEmail"):
            return self._valid(Email, email, "--acme-email")
        stacks = list(self.settings.values())
        served = self.requirements.routed or any(each["domain"] for each in stacks)
        if self.asking and served and _any_remote(stacks):
            return _ask("E-mail for certificates of Let's Encrypt (empty: no TLS)", Email)
        return ""

    def _by_stack(self, option: str, texts: Sequence[str]) -> list[tuple[str, str]]:
        """`STACK=TEXT` as pairs; an empty stack means every one."""
        pairs = []
        for text in texts:
            pair, (head, separator, _) = _of_stack(text, self.files), text.partition("=")
            if pair[0] or not separator or option == "--variable":
                pairs.append(pair)
            else:
                close = nearest(head, self.files) or next(iter(self.files))
                what = f"'{head}' is not one of the environments ({', '.join(self.files)})"
                self._wrong(option, what, f"{option} {close}=…, or add --environment {head}")
        return pairs

    def _valid(self, kind: Any, value: str, option: str) -> str:  # noqa: ANN401  # a type of pydantic's
        try:
            return str(TypeAdapter(kind).validate_python(value))
        except ValidationError as error:
            self._wrong(option, _message(error), f"{option} with a value that is right")
            return ""

    def _missing(self, option: str, why: str, example: str) -> None:
        self.problems.append(Problem(f"{option} is missing", why, f"{option} {example}"))

    def _wrong(self, option: str, what: str, fix: str) -> None:
        problem = Problem(f"{option}: {what}", "the value cannot be used", fix)
        if problem not in self.problems:
            self.problems.append(problem)


def _any_remote(stacks: Sequence[Mapping[str, Any]]) -> bool:
    return any(host["address"] != LOCAL_ADDRESS for settings in stacks for host in settings["hosts"])


def _ask(text: str, kind: Any) -> str:  # noqa: ANN401  # a type of pydantic's
    def check(answer: str) -> str:
        try:
            return str(TypeAdapter(kind).validate_python(answer.strip()))
        except ValidationError as error:
            raise typer.BadParameter(f"it {_message(error)}") from None

    return str(typer.prompt(text, default="", show_default=False, value_proc=check))


def _message(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return str(first["msg"]).removeprefix("Value error, ")


def _checked_hosts(stack: str, texts: list[str]) -> list[str]:
    for number, text in enumerate(texts, 1):
        if isinstance(found := _host(stack, text, number), str):
            raise typer.BadParameter(found)
    if not texts:
        raise typer.BadParameter("at least one is needed")
    return texts


def _host(stack: str, text: str, number: int) -> dict[str, Any] | str:
    """`[NAME=][USER@]ADDRESS[:PORT]` as an entry of the setting `hosts`, or what is wrong with it."""
    name, _, address = text.rpartition("=")
    if address == LOCAL_ADDRESS:
        return {"name": name or LOCAL_ADDRESS, "address": LOCAL_ADDRESS}
    parts = _HOST.fullmatch(address)
    if parts is None:
        return f"'{address}' is not [USER@]ADDRESS[:PORT] (an IPv6 address with a port stands in [])"
    host: dict[str, Any] = {
        "name": name or f"{stack.lower()}-{number}",
        "address": parts["address"].strip("[]"),
        "user": parts["user"] or _USER,
    }
    if parts["port"] and parts["port"] != "22":
        host["port"] = int(parts["port"])
    try:
        HostSettings.model_validate(host)
    except ValidationError as error:
        return f"'{address}': {'.'.join(map(str, error.errors()[0]['loc']))} {_message(error)}"
    return {**host, "hostKey": ""}
