"""What only a person can say of an application's stacks: by options, or asked for at a terminal.

Owns: the options' own little forms (`STACK=…`), the questions, and naming all that is missing at once. Does not own:
what a value must look like (see components/values.py), or what the Compose file needs (see `needs`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer
from pydantic import TypeAdapter, ValidationError

from components.registry import address_of, is_local
from components.secrecy import is_secret
from components.settings import LOCAL_ADDRESS, HostSettings
from components.spelling import nearest
from components.values import Domain, Email, RegistryPlace
from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cli.setup.needs import Needs
    from cli.setup.stack_file import Stated

__all__ = ["ENVIRONMENTS", "Answers", "Given", "answers", "environments"]

ENVIRONMENTS = ("staging", "production")
"""The stacks that are made when nobody names others."""

_USER = "deploy"  # as docs/guide/hosts.md prepares a host
_STACK = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)  # what the engine takes: tokens.ParseStackName
_HOST = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<address>\[[^\]\s]+\]|[^\[\]\s:]+|[^\[\]\s@]*:[^\[\]\s@]*:[^\[\]\s@]*?)(?::(?P<port>\d+))?"
)
_ENTRY = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was given as options, as it was written."""

    environments: Sequence[str] = ()
    registry: str = ""
    registry_user: str = ""
    hosts: Sequence[str] = ()
    domains: Sequence[str] = ()
    acme_email: str = ""
    variables: Sequence[str] = ()


@dataclass
class Answers:
    """What is known of the stacks, by stack where they differ; problems are told together."""

    registry: str = ""
    registry_user: str = ""
    acme_email: str = ""
    hosts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def environments(given: Given, *, asking: bool, known: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The names of the stacks; `known` are those that have a stack file already."""
    names = list(dict.fromkeys(given.environments))
    if not names and asking:
        default = " ".join(known or ENVIRONMENTS)
        names = typer.prompt("Environments, with spaces between", default=default).split()
    names = names or list(ENVIRONMENTS)
    problems = [
        Problem(
            f"--environment: '{name}' cannot be the name of a stack",
            "`make up` keeps one of that name for this machine"
            if name == "local"
            else "the engine takes letters, digits, dots and dashes",
            "give it another name: --environment staging",
        )
        for name in names
        if name == "local" or not _STACK.fullmatch(name)
    ]
    return names, problems


def answers(given: Given, needs: Needs, stated: Mapping[str, Stated], *, asking: bool) -> Answers:
    """Everything that the stack files of `stated` are to say: as given, else as they say already, else asked for."""
    reader = _Reader(given, needs, stated, asking=asking)
    reader.read()
    return reader.found


class _Reader:
    def __init__(self, given: Given, needs: Needs, stated: Mapping[str, Stated], *, asking: bool) -> None:
        self.given, self.needs, self.stated, self.asking = given, needs, stated, asking
        self.found = Answers()

    def read(self) -> None:
        found = self.found
        found.registry = self._registry()
        found.registry_user = self.given.registry_user or self._already("registryUsername")
        if (
            found.registry
            and not found.registry_user
            and self.asking
            and not self.given.registry
            and not is_local(address_of(found.registry))
        ):
            found.registry_user = typer.prompt(
                f"User of {address_of(found.registry)} (empty: none)", default="", show_default=False
            )
        hosts = self._by_stack("--host", self.given.hosts)
        domains = self._by_stack("--domain", self.given.domains)
        variables = self._by_stack("--variable", self.given.variables)
        for stack, stated in self.stated.items():
            found.hosts[stack] = self._hosts(stack, hosts, stated)
            found.domains[stack] = self._domain(stack, domains, stated)
            found.variables[stack] = self._variables(stack, variables, stated)
        self._email()

    def _registry(self) -> str:
        needed = self.needs.built
        value = self.given.registry or self._already("registry")
        if value or not needed:
            return self._valid(RegistryPlace, value, "--registry")
        if not self.asking:
            self._missing(
                "--registry",
                f"{', '.join(needed)}: built, and hosts can only run what they can pull",
                "ghcr.io/YOUR-TEAM",
            )
            return ""
        return self._ask(f"Registry for the images of {', '.join(needed)} (such as ghcr.io/YOUR-TEAM)", RegistryPlace)

    def _hosts(self, stack: str, given: list[tuple[str, str]], stated: Stated) -> list[dict[str, Any]]:
        texts = [text for only, text in given if only in ("", stack)]
        if not texts and stated.settings.get("hosts"):
            return [dict(host) for host in stated.settings["hosts"]]
        if not texts and not self.asking:
            self._missing("--host", f"nowhere to deploy {stack} to", f"{stack}=deploy@ADDRESS (or {stack}=local)")
            return []
        if not texts:
            texts = typer.prompt(
                f"Hosts of {stack}: [USER@]ADDRESS[:PORT], spaces between, `local` for this machine",
                value_proc=lambda text: self._checked_hosts(stack, text.split()),
            )
        before = {(host.get("address"), str(host.get("port", 22))): host for host in stated.settings.get("hosts") or []}
        hosts = [host for number, text in enumerate(texts, 1) if (host := self._host(stack, text, number))]
        return [
            {**host, "hostKey": known["hostKey"]}
            if (known := before.get((host["address"], str(host.get("port", 22))))) and known.get("hostKey")
            else host
            for host in hosts
        ]

    def _checked_hosts(self, stack: str, texts: list[str]) -> list[str]:
        for number, text in enumerate(texts, 1):
            found = _host(stack, text, number)
            if isinstance(found, str):
                raise typer.BadParameter(found)
        if not texts:
            raise typer.BadParameter("at least one is needed")
        return texts

    def _host(self, stack: str, text: str, number: int) -> dict[str, Any] | None:
        found = _host(stack, text, number)
        if isinstance(found, dict):
            return found
        self._wrong("--host", found, "--host [STACK=[NAME=]][USER@]ADDRESS[:PORT]")
        return None

    def _domain(self, stack: str, given: list[tuple[str, str]], stated: Stated) -> str:
        own = [text for only, text in given if only == stack]
        common = [text if stack in ("production", "prod") else f"{stack}.{text}" for only, text in given if not only]
        value = next(iter([*own, *common]), "") or str(stated.settings.get("domain") or "")
        if value:
            return self._valid(Domain, value, "--domain")
        if self.asking:
            use = "${DOMAIN} in the Compose file, and where routes answer"
            while True:
                value = self._ask(
                    f"Domain of {stack} ({use}; {'needed' if self.needs.domain else 'empty: none'})", Domain
                )
                if value or not self.needs.domain:
                    return value
        if self.needs.domain:
            self._missing("--domain", "${DOMAIN} in the Compose file would be empty", f"{stack}={stack}.example.com")
        return ""

    def _variables(self, stack: str, given: list[tuple[str, str]], stated: Stated) -> dict[str, str]:
        values = {name: str(value) for name, value in (stated.settings.get("variables") or {}).items()}
        for only, text in given:
            entry = _ENTRY.fullmatch(text)
            if only not in ("", stack):
                continue
            if entry is None:
                self._wrong(
                    "--variable", f"'{text.split('=')[0]}' is not followed by =VALUE", "--variable [STACK=]NAME=VALUE"
                )
            elif entry["name"] in self.needs.secrets or is_secret(entry["name"], entry["value"]):
                self._wrong(
                    "--variable",
                    f"{entry['name']} is a secret, which an option would show to everybody on this machine",
                    "openssl rand -base64 24 | "
                    f"pulumi config set --secret --path 'secrets.{entry['name']}' --stack {stack}",
                )
            else:
                values[entry["name"]] = entry["value"]
        if self.asking:
            for name, said in self.needs.variables.items():
                if name not in values and (value := self._variable(stack, name, said)):
                    values[name] = value
        return values

    def _variable(self, stack: str, name: str, said: str) -> str:
        text = f"{name} of {stack}{f', {said}' if said else ''} (empty: later, or because it is secret)"
        return str(typer.prompt(text, default="", show_default=False))

    def _email(self) -> None:
        found = self.found
        found.acme_email = self.given.acme_email or self._already("acmeEmail")
        remote = any(host["address"] != LOCAL_ADDRESS for hosts in found.hosts.values() for host in hosts)
        if found.acme_email:
            found.acme_email = self._valid(Email, found.acme_email, "--acme-email")
        elif self.asking and remote and (self.needs.routed or any(found.domains.values())):
            found.acme_email = self._ask("E-mail for certificates of Let's Encrypt (empty: no TLS)", Email)

    # --- forms

    def _by_stack(self, option: str, texts: Iterable[str]) -> list[tuple[str, str]]:
        """`STACK=TEXT` as pairs; an empty stack means every one."""
        return list(self._pairs(option, texts))

    def _pairs(self, option: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
        for text in texts:
            head, separator, rest = text.partition("=")
            if separator and head in self.stated:
                yield head, rest
            elif not separator or option == "--variable":
                yield "", text
            else:
                close = nearest(head, self.stated)
                self._wrong(
                    option,
                    f"'{head}' is not one of the environments ({', '.join(self.stated)})",
                    f"{option} {close or next(iter(self.stated))}=…, or add --environment {head}",
                )

    def _already(self, key: str) -> str:
        """What one of the stack files says already."""
        return next((str(each.settings[key]) for each in self.stated.values() if each.settings.get(key)), "")

    def _ask(self, text: str, kind: Any) -> str:  # noqa: ANN401  # a type of pydantic's
        return str(typer.prompt(text, default="", show_default=False, value_proc=_checking(kind)))

    def _valid(self, kind: Any, value: str, option: str) -> str:  # noqa: ANN401  # as above
        try:
            return str(TypeAdapter(kind).validate_python(value))
        except ValidationError as error:
            self._wrong(option, _said(error), f"{option} with a value that is right")
            return ""

    def _missing(self, option: str, why: str, example: str) -> None:
        self.found.problems.append(Problem(f"{option} is missing", why, f"{option} {example}"))

    def _wrong(self, option: str, what: str, fix: str) -> None:
        problem = Problem(f"{option}: {what}", "the value cannot be used", fix)
        if problem not in self.found.problems:
            self.found.problems.append(problem)


def _checking(kind: Any) -> Callable[[str], str]:  # noqa: ANN401  # as above
    adapter: TypeAdapter[str] = TypeAdapter(kind)

    def check(text: str) -> str:
        try:
            return adapter.validate_python(text.strip())
        except ValidationError as error:
            raise typer.BadParameter(f"it {_said(error)}") from None

    return check


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return str(first["msg"]).removeprefix("Value error, ")


def _host(stack: str, text: str, number: int) -> dict[str, Any] | str:
    """`[NAME=][USER@]ADDRESS[:PORT]` as an entry of the setting `hosts`, or what is wrong with it."""
    name, _, place = text.rpartition("=")
    if place == LOCAL_ADDRESS:
        return {"name": name or LOCAL_ADDRESS, "address": LOCAL_ADDRESS}
    parts = _HOST.fullmatch(place)
    if parts is None:
        return f"'{place}' is not [USER@]ADDRESS[:PORT] (an IPv6 address with a port stands in [])"
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
        where = error.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]
        return f"'{place}': {'.'.join(map(str, where))} {_said(error)}"
    return {**host, "hostKey": ""}
