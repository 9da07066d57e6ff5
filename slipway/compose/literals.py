"""Secrets that a Compose file holds in plain text, and the edit that leaves them to the stack; nothing is written here.

Every distinct value becomes one secret and keeps its value, so that existing databases keep working.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import yaml

from slipway.compose.config.compose_model import resolve, secret_names, without_escapes
from slipway.compose.config.environment_nodes import (
    REFERENCE,
    edited,
    env_files,
    scalars,
    top_node,
    value_of,
    with_reference,
    written_variables,
)  # fmt: skip
from slipway.compose.config.readable_texts import declared_plain, readable_literals, values_written, why_readable
from slipway.compose.equal_secrets import (
    Literal,
    logins,
    mounted_files,
    names_on_networks,
    one_secret_each,
    password_for,
    places_of,
)  # fmt: skip
from slipway.compose.secret_leaks import instead_of_value
from slipway.contract.problems import SlipwayError
from slipway.settings.rules.stack import is_variable_name
from slipway.settings.secrets.rules import (
    PLAIN_INSTEAD,
    SHORTEST_SECRET,
    new_secret,
    password_in_url,
    user_names,
    weakness,
)
from slipway.settings.setting_files import config_rm, config_set, entry, secrets_adopt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from slipway.compose.config.environment_nodes import WrittenVariable
    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings

__all__ = ["Adoption", "PlainSecrets", "adoption", "check_readable_values"]

_SEVERAL = "another service has another value of that name, over which the stack's would win, too"
_COMPOSED = "it is put together of variables"
_is_name = functools.partial(is_variable_name, secret=True)


class Adoption:
    """The secrets of a Compose file that the stack takes over, and those that stay."""

    def __init__(self, logins: Collection[str] = (), left: Mapping[str, str] | None = None) -> None:
        self.secrets: dict[str, str] = {}
        """Name → its present value."""
        self.users: dict[str, list[str]] = {}
        """Name → the places that use it."""
        self.meant: dict[str, str] = {}
        """Name → that of the secret which it seems to be, for all that seem to be one."""
        self.kept: dict[str, str] = {}
        """Name → another place that has its value and would not get a new one."""
        self.inside: dict[str, str] = {}
        """Name → the password of one of the application's services in its value, a URL."""
        self.logins = logins
        """The names of the services' users, which are no passwords."""
        self.left = dict(left or {})
        """Place → why it stays as it is."""
        self.files: dict[Path, tuple[str, str]] = {}
        """File → its text before and after the edit."""
        self.remains: dict[tuple[Path, int], str] = {}
        """File and line after the edit → a secret whose value it still shows: in a comment, as a default."""


def adoption(settings: Settings) -> Adoption:
    """The secrets that the stack's Compose file holds in plain text, and the edit that refers to them instead.

    Raises:
        SlipwayError: Compose cannot read the file.
    """
    resolved = resolve(settings)
    try:
        shipped = mounted_files(resolved.model, resolved.files[0].parent, settings.stack)
        return PlainSecrets(settings, resolved.model, resolved.files, shipped).adopted()
    except (yaml.YAMLError, UnicodeDecodeError):  # Compose reads a little more than PyYAML does
        what = f"{resolved.files[0].name} cannot be edited: it has a form of YAML that is not known here"
        raise SlipwayError(what, "nothing was changed", "write ${NAME} there by hand") from None


def check_readable_values(
    settings: Settings, model: Mapping[str, Any], files: Sequence[Path], shipped: Mapping[str, bytes], found: Findings
) -> None:
    """Report secrets that an `environment:` of the Compose file holds in plain text.

    Production refuses them, but for one that the stack declares plain, as a variable, and that nobody could guess. The
    way out is `slipway secrets adopt` where it can take the place over, and one command where no other needs the value.
    """
    if not readable_literals(model.get("services") or {}):
        return
    try:
        plain = PlainSecrets(settings, model, files, shipped)
        adopted = plain.adopted()
    except (yaml.YAMLError, UnicodeDecodeError, SlipwayError):
        plain, adopted = PlainSecrets(settings, model, (), shipped), Adoption()
        adopted.left = {each.place: "the file has a form of YAML that is not known here" for each in plain.literals}
    written = values_written(settings, files)
    known = {value for name, value in plain.stated.items() if plain.is_strong(name, value)}
    for each in plain.literals:
        if each.text in known:
            continue  # `check_known_values` reports it, with the secret's name
        inside = each.value != each.text and weakness("PASSWORD", each.value)  # of a URL
        weak = weakness(each.name, each.text, user_names(model["services"][each.service]["environment"])) or inside
        path = ("services", each.service, "environment", each.name)
        plainly = declared_plain(settings, written(path))
        refused = settings.production and bool(weak or why_readable(each.name, each.text, plainly))
        meaning, fix = plain.way_out(each, adopted, refused=refused)
        meaning += f"; {PLAIN_INSTEAD}" if refused and not weak else ""
        of = f" ({file})" if (file := plain.file_of(each)) else ""
        place = f"{'the password in ' if inside else ''}{each.place}{of}"
        what = f"{place} {f'{weak} and ' if weak else ''}is in plain text"
        (found.refuse if refused else found.warn)(what, meaning, fix)


class PlainSecrets:
    """Finds the secrets in plain text in the environments of a Compose file, and what can be done about each."""

    def __init__(
        self, settings: Settings, model: Mapping[str, Any], files: Sequence[Path], shipped: Mapping[str, bytes]
    ) -> None:
        """`model` is Compose's of `files`, and `shipped` the files that services mount.

        Raises:
            yaml.YAMLError, UnicodeDecodeError: the files have a form that only Compose knows.
        """
        self.settings, self.model, self.found = settings, model, Adoption()
        self.logins = logins(model.get("services") or {})
        self.stated = {name: value for name, each in settings.secrets.items() if (value := each.get_secret_value())}
        self.shipped = {path: content for path, content in shipped.items() if path not in {file.name for file in files}}
        services = model.get("services") or {}
        self.texts = {file: file.read_bytes().decode("utf-8") for file in files}
        self.entries: dict[tuple[str, str], WrittenVariable] = {}
        tops = {file: top_node(text) for file, text in self.texts.items()}
        for file, top in tops.items():  # the later win
            for service, name, written in written_variables(file, top):
                self.entries[service, name] = written
        self.names: dict[tuple[str, str], str] = {}  # wanted name and value → the free one
        self.files = [each for top in tops.values() for each in env_files(top)]  # service and path
        self.edits: dict[tuple[Path, int], tuple[WrittenVariable, str]] = {}  # by where a node begins: aliases share it
        texts = [value for text in self.texts.values() for _, value in scalars(text)]
        self.references = [each for text in texts for each in REFERENCE.finditer(text)]
        hosts = names_on_networks(services)
        self.literals = [self._literal(*each, hosts) for each in readable_literals(services)]
        known = [*self.stated.items(), *(each.means for each in self.literals if each.value == each.text)]
        self.literals = [self._with_known(each, known) for each in self.literals]
        self.wanted = one_secret_each([each.means for each in self.literals], hosts, self.stated)

    def _literal(self, service: str, name: str, text: str, hosts: set[str]) -> Literal:
        password = password_for(text, hosts)
        written = self.entries.get((service, name))
        for found in REFERENCE.finditer(written.raw) if written else ():
            given, default = value_of(found, self.settings.variables)
            around = written.raw[: found.start()][-1:] + written.raw[found.end() :][:1] if written else ""
            in_url = around == ":@" and given == (password_in_url(text) or ("",))[0]
            if found[1] and (in_url or given == text) and found[1] not in self.settings.secrets:
                value = given if in_url else password or text
                return Literal(service, name, text, str(value), found[1], default, given == text)
        passed = not (written and written.raw) and text == self.settings.variables.get(name)
        return Literal(service, name, text, password or text, name if passed else "", default=False, whole=True)

    def _with_known(self, literal: Literal, known: list[tuple[str, str]]) -> Literal:
        """The literal as a text that holds one known secret and no other, where it does."""
        of_file = (literal.service, literal.name) in self.entries
        for name, value in known if of_file and literal.value == literal.text and not literal.variable else ():
            if SHORTEST_SECRET <= len(value) < len(literal.text) and not why_readable(
                literal.name, literal.text, [value]
            ):
                return literal._replace(value=value, whole=False, like=name)
        return literal

    def file_of(self, literal: Literal) -> str:
        """The `env_file` that it is in; empty where it is written in the Compose file, or in one that is included."""
        folder, line = self.settings.application, re.compile(rf"(?m)^\s*(export\s+)?{re.escape(literal.name)}\s*=")
        named = [path for service, path in self.files if service == literal.service and (folder / path).is_file()]
        own = () if (literal.service, literal.name) in self.entries else reversed(named)
        return next((path for path in own if line.search((folder / path).read_text("utf-8", "replace"))), "")

    def way_out(self, literal: Literal, adopted: Adoption, *, refused: bool) -> tuple[str, str]:
        """What a literal means, and the command that leads on: for all that need its value, or where it is alone."""
        stack, secret, left = self.settings.stack, self.wanted[literal.means], adopted.left.get(literal.place, "")
        kept = next((place for name, place in adopted.kept.items() if literal.place in adopted.users[name]), "")
        others = left or (kept and f"its value stands in {kept}, too")
        known = f"everyone who can read the Compose file or the release knows it{f'; {others}' if others else ''}"
        equal = [each for each in self.literals if each.value == literal.value]
        moved = bool(self.settings.move_from or self.settings.adopt_volumes)  # its data knows the value: none to renew
        new = (lambda _, name: config_set(stack, entry("secrets", name), secret=True)) if moved else new_secret
        if {each.variable for each in equal} == {literal.variable} != {""}:
            name = literal.variable
            remove = f"{config_rm(stack, entry('variables', name))} && " if name in self.settings.variables else ""
            fix = [*self._elsewhere(literal, name), remove + new(stack, name)]
            return f"{known}; the stack's secret {name} takes its place", ", then ".join(fix)
        if left and self._contested(secret, literal.value):  # under a name of its own, which changes nothing elsewhere
            secret, equal = self._free(secret, literal.value, equal[0].service, self.found.secrets), [literal]
        reference = f"`${{{secret}}}`"
        write = f"{reference} as its password" if literal.value != literal.text else f"`{literal.name}: {reference[1:]}"
        names = dict.fromkeys(each.variable or self.wanted[each.means] for each in equal)
        # one after the other, and by hand: two random values would not be one
        ask = " && ".join(config_set(stack, entry("secrets", name), secret=True) for name in names)
        ask = ask if len(names) > 1 else new(stack, secret)
        there = f"under `environment:` of {literal.service}" if self.file_of(literal) else "there"
        first = self._elsewhere(literal, secret)
        if left:
            return known, ", then ".join([f"write {write} {there}", *first, *([] if secret in self.stated else [ask])])
        alone = not (refused or moved or len(names) > 1)
        return f"{known}; write {write} {there}", ", then ".join([*first, ask]) if alone else secrets_adopt(stack)

    def _elsewhere(self, literal: Literal, secret: str) -> list[str]:
        """What to do before it changes where its value stands beyond the environments, and would differ from it."""
        services, paths = self.model["services"], self._others(literal, {})
        ways = {".".join(path): instead_of_value(path, secret, services) for path in paths}
        return [f"{place}: {way}" if " there" in way else way for place, way in ways.items()]

    def is_strong(self, name: str, value: str) -> bool:
        """Whether nobody could guess it."""
        return len(value) >= SHORTEST_SECRET and not weakness(name, value, self.logins)

    def adopted(self) -> Adoption:
        """The secrets that the stack can take over, and the edit for it."""
        left: dict[str, str] = {}
        while True:  # what stays in plain text keeps others there that have its value
            self.found, self.edits, self.names = Adoption(self.logins, left), {}, {}
            for literal in self.literals:
                if literal.place in left:
                    continue
                others = [*map(".".join, self._others(literal, left))]
                if others and not weakness(self.wanted[literal.means], literal.value, self.logins):
                    key = others[0].removeprefix(f"services.{literal.service}.").partition(".")[0]
                    own = key in ("command", "entrypoint", "healthcheck")
                    first = f": write $${literal.name} there first, which a shell reads" if own else ""
                    self.found.left[literal.place] = f"its value stands in {others[0]}, too{first}"
                elif why := self._adopt(literal, others):
                    self.found.left[literal.place] = why
            if self.found.left.keys() == left.keys():
                break
            left = self.found.left
        self._edit()
        return self.found

    def _others(self, literal: Literal, left: Mapping[str, str]) -> list[tuple[str, ...]]:
        """The other places that have its value and are not adopted."""
        weak = bool(weakness(self.wanted[literal.means], literal.value, self.logins))
        taken = {each.place for each in self.literals if each.value == literal.value or not weak} - left.keys()
        equal = [(each.place,) for each in self.literals if each.place in left and each.value == literal.value]
        places = [*equal, *places_of(literal.value, self.model, self.shipped, weak=weak)]
        return [path for path in places if ".".join(path) not in taken]

    def _adopt(self, literal: Literal, others: list[str]) -> str:
        """Adopt one literal; the reason where it cannot be, else empty."""
        if secret_names(literal.text):
            return _COMPOSED
        value, variable = literal.value, literal.variable
        written = self.entries.get((literal.service, literal.name))
        if variable and not literal.default:
            given = self.settings.variables[variable]
            return self._take(variable, given, literal, others, inside=value)
        if written is None:  # of an `env_file`, over which the stack's value wins; or of a file that is included
            if not _is_name(literal.name):
                why = "it stands in another file, and a secret's name has no dots or dashes"
            elif literal.service not in dict(self.files):
                why = "it stands in another place, which `include` or `extends` names"
            else:
                why = _SEVERAL if self._contested(literal.name, literal.text) else ""
            return why or self._take(literal.name, literal.text, literal, others, inside=value)
        wanted = self.wanted[literal.means]
        if variable == wanted and not self._contested(variable, value):
            return self._take(variable, value, literal, others)
        secret = self._free(wanted, value, literal.service, {**self.stated, **self.found.secrets})
        new = with_reference(written.raw, literal.text, value, variable, f"${{{secret}}}")
        if not new:
            composed = not variable and any(found[1] for found in REFERENCE.finditer(written.raw))
            return _COMPOSED if composed else "Compose reads another text than is written"
        self._take(secret, value, literal, others)
        self.edits[written.file, written.node.start_mark.index] = written, written.key + new
        return ""

    def _contested(self, variable: str, value: str) -> bool:
        """Whether other places, or an `env_file` over which the stack wins, have another value: one cannot be both."""
        values = {**self.settings.variables, **self.stated}
        given = [value_of(each, values)[0] for each in self.references if each[1] == variable]
        for service, description in (self.model.get("services") or {}).items():
            environment = description.get("environment") or {}
            if variable in environment and (service, variable) not in self.entries:
                text = without_escapes(environment[variable])
                given.append(self.stated.get(variable) if secret_names(text or "") == [variable] else text)
        return any(each != value for each in given)

    def _take(self, secret: str, value: str, literal: Literal, others: list[str], *, inside: str = "") -> str:
        if self.found.secrets.setdefault(secret, value) != value:
            return f"{secret} has another value elsewhere"
        self.found.users.setdefault(secret, []).append(literal.place)
        self.found.meant.setdefault(secret, self.wanted[literal.means])
        self.found.inside |= {secret: inside} if inside not in ("", value) else {}
        self.found.kept |= {secret: others[0]} if others else {}
        return ""

    def _free(self, secret: str, value: str, service: str, taken: Mapping[str, str]) -> str:
        """A name that a secret can have and no other value has: in the files, of a variable, or of the `taken`."""
        if (secret, value) in self.names:
            return self.names[secret, value]
        own = secret
        if not _is_name(own):  # SPRING_DATASOURCE_PASSWORD for spring.datasource.password
            own = re.sub(r"\W+", "_", secret, flags=re.ASCII).strip("_").upper()
            own = own if _is_name(own) else f"SECRET_{own}".rstrip("_")
        prefix = re.sub(r"\W+", "_", service, flags=re.ASCII).upper()
        apart = f"{prefix if _is_name(prefix) else f'SERVICE_{prefix}'}_{own}"
        same = [each.name for each in self.literals if each.text == value and self.wanted[each.means] == secret]
        names = [own, *filter(_is_name, same), apart, *(f"{apart}_{number}" for number in range(2, 100))]
        used = {*self.settings.variables, *(name for (_, its), name in self.names.items() if its != value)}
        names = [name for name in names if name not in used and not self._contested(name, value)]
        free = next(name for name in names if taken.get(name, value) == value)
        return self.names.setdefault((secret, value), free)

    def _edit(self) -> None:
        for file, before in self.texts.items():
            after = edited(before, [edit for (of, _), edit in self.edits.items() if of == file])
            if not after and before:
                what = f"{file.name} cannot be edited without changing more of it than its secrets"
                raise SlipwayError(what, "nothing was changed", f"write ${{NAME}} there by hand in {file.name}")
            if after != before:
                self.found.files[file] = before, after
            for number, line in enumerate(after.splitlines(), 1):
                shown = line.replace("$$", "$")
                for name, value in self.found.secrets.items():
                    if any(
                        len(each) >= SHORTEST_SECRET and each in shown for each in {*value.splitlines()} - self.logins
                    ):
                        self.found.remains[file, number] = name
