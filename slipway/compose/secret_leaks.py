"""Where secrets stand in a Compose file, and where they would be readable; names only, never a value."""

from __future__ import annotations

import itertools
import re
import shlex
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from slipway.compose.config.compose_model import secret_names, strings, with_placeholders, without_escapes
from slipway.compose.config.environment_nodes import only_in_env_file
from slipway.compose.config.readable_texts import (
    declared_plain,
    dropped,
    mounted_secrets,
    readable_literals,
    secret_texts,
    values_written,
)
from slipway.compose.equal_secrets import as_config, logins, mounted_itself, names_on_networks, places_of, secrets_in
from slipway.contract.problems import Problem
from slipway.settings.secrets.forms import passwords_in_urls
from slipway.settings.secrets.rules import (
    GUESSED,
    PLAIN_INSTEAD,
    SHORTEST_SECRET,
    is_password,
    is_secret,
    new_secret,
    probably_secret,
    user_names,
    weakness,
)
from slipway.settings.setting_files import config_rm, config_set, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path as FilePath

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings

__all__ = [
    "check_known_values", "check_places", "instead_of_value", "known_values", "secret_uses",
]  # fmt: skip

Path = tuple[str, ...]


def secret_uses(model: Mapping[str, Any], settings: Settings, found: Findings) -> set[str]:
    """Names of the secrets that the hosts need for Compose's model of a file; reports places that others could read.

    What does not reach a host or a build is left out. Commands and health checks are refused in production alone: the
    release has the secret's name there, and who can read it on the host can inspect the environment as well.
    """
    names = set()
    for path, text, is_key in strings(model):
        for name in secret_names(text) if not dropped(path) else ():
            if _kept(path) and not is_key:
                names.add(name)
                continue
            place = ".".join(with_placeholders(list(path)))
            fix = _way_out(path, name, model.get("services") or {}) + _declared_plain(name, settings)
            fix = with_placeholders(fix + _published(path, model))
            if _command(path) and not settings.production:
                names.add(name)
                found.warn(f"secret {name} stands in {place}", f"{_READABLE}; production refuses it", fix)
            else:
                found.refuse(f"secret {name} stands in {place}", _READABLE, fix)
    return names


def _declared_plain(name: str, settings: Settings) -> str:
    """The way out for what counts as a secret although neither its name nor its form says so, as `.env` may hold it."""
    given = settings.secrets.get(name)
    if given is None or is_secret(name, given.get_secret_value()):
        return ""
    plain, away = (
        config_set(settings.stack, entry("variables", name)),
        config_rm(settings.stack, entry("secrets", name)),
    )
    return f"; if it is no secret: {plain} && {away}"


def _published(path: Path, model: Mapping[str, Any]) -> str:
    """The other way out for a service that is built, and names an image which may be had without that."""
    image = model["services"][path[1]].get("image") if path[0] == "services" and path[2:3] == ("build",) else ""
    return f"; or remove `build:` from {path[1]}, if {image} is published and does" if image else ""


def check_places(
    places: Mapping[str, Sequence[Path]], services: Mapping[str, Any], settings: Settings, found: Findings
) -> None:
    """Report variables that stand where others can read them, with what to write instead.

    One without a value must not be set as a secret where that is refused; one that looks like a secret gets a warning.
    """
    for name, paths in places.items():
        readable = [path for path in paths if not dropped(path) and not _kept(path)]
        refused = [path for path in readable if settings.production or not _command(path)]
        if not readable:
            continue
        place = " and ".join(".".join(path) for path in readable)
        way_out = "; ".join(dict.fromkeys(_way_out(path, name, services) for path in readable))
        for number, problem in enumerate(found.problems):
            if problem.code != "variable-missing" or problem.subject != name or not refused:
                continue
            meaning, fix = problem.meaning.partition(";")[0], problem.fix
            if probably_secret(name):
                meaning = f"it stands in {place}, where a secret is refused: {_READABLE}"
                fix = f"{way_out}, then {new_secret(settings.stack, name)}"
            found.problems[number] = problem._replace(meaning=meaning, fix=fix)
        if name not in settings.secrets and is_secret(name, settings.variables.get(name, "")):
            secret = f"{config_rm(settings.stack, entry('variables', name))} && {new_secret(settings.stack, name)}"
            what = f"variable {name} stands in {place}, and looks like a secret"
            found.warn(what, _READABLE, f"{way_out}, then {secret}")


_READABLE = "everyone who can list processes, inspect containers or pull the image can read it"


def _kept(path: Path) -> bool:
    """Whether it is kept from others: a container's environment, or the content of a config."""
    match path:
        case ("services", _, "environment", _) | ("configs", _, "content"):
            return True
        case _:
            return False


def _command(path: Path) -> bool:
    """Whether it is what runs in a container."""
    match path:
        case ("services", _, "command" | "entrypoint", *_) | ("services", _, "healthcheck", "test", *_):
            return True
        case _:
            return False


def _way_out(path: Path, name: str, services: Mapping[str, Any], plain: str = "") -> str:
    """What to write instead, so that a program still gets the secret, which is `plain` in the environment so far."""
    value = f"`{name}: ${{{name}}}`"
    match path:
        case ("services", service, "healthcheck" | "command" | "entrypoint" | "post_start" | "pre_stop" as key, *_):
            held = _variable_with(name, services.get(service) or {}, plain)
            has = f": {service} has it in its environment" if held else f", and {value} in the environment of {service}"
            if key == "healthcheck" or _in_shell(services.get(service) or {}, path):
                return f"write $${held or name} there{', as `CMD-SHELL`' if key == 'healthcheck' else ''}{has}"
            shell = f", or a shell does (`sh -c 'exec … $${held or name}'`)"
            return f"{_handed_over(service, name)}{shell}"
        case ("services", _, "build", *_):
            return f"hand it to the build in `build.secrets`, with `environment: {name}`; not in the environment"
        case ("services", service, *_):
            return _handed_over(service, name)
        case _:
            folder = "mount it on the hosts, as root alone can read it there, and name that folder instead"
            elsewhere = f"write {value} in the environment of the service that needs it"
            return {"configs": f"write ${{{name}}} in its place there", "volumes": folder}.get(path[0], elsewhere)


def _handed_over(service: str, name: str) -> str:
    file = f"in a file (`configs:` with `content:` that holds ${{{name}}}), which {service} mounts"
    value = f"`{name}: ${{{name}}}` in its environment"
    return f"hand it over {file}, or as {value}, where the program or its image reads it there"


def _variable_with(name: str, service: Mapping[str, Any], plain: str) -> str:
    """The variable of a service that holds the secret and nothing else, else of its name; empty without one."""
    environment = with_placeholders(service.get("environment") or {})
    holding = [variable for variable, value in environment.items() if value in (f"${{{name}}}", plain or None)]
    others = [*holding, *({name} & environment.keys())]
    return name if name in holding else next(iter(others), "")


def _in_shell(service: Mapping[str, Any], path: Path) -> bool:
    """Whether a shell runs it, which knows the container's variables: a string alone is none, as Compose splits it."""
    key, hook = path[2], path[4:5] == ("command",)
    lists = [service[key][int(path[3])][path[4]]] if hook else map(service.get, dict.fromkeys(("entrypoint", key)))
    words = [str(word) for each in lists for word in each or ()]
    return any(
        re.fullmatch(r"(.*/)?(ba|da|z|a|k)?sh", word) and re.fullmatch(r"-\w*c", option)
        for word, option in itertools.pairwise(words)
    )


def check_known_values(
    model: Mapping[str, Any],
    files: Mapping[str, bytes],
    settings: Settings,
    sources: Sequence[FilePath],
    found: Findings,
) -> None:
    """Report secrets whose values stand where every release would store them, and weak passwords in shipped files.

    Values that nobody could guess are refused; the rest, and a file's defaults, in production alone, as are literals.
    """
    guessed = {each.subject.removeprefix("secrets."): each for each in found.problems if each.code == GUESSED}
    for each in known_values(model, files, settings, sources, guessed):
        found.problems = [of for of in found.problems if of is not guessed.get(each.subject)]
        value = settings.secrets[each.subject].get_secret_value()
        weak = weakness(each.subject, value, logins(model.get("services") or {})) or any(
            f":-{value}}}".encode() in file for file in files.values()
        )
        (found.warn if weak and not settings.production else found.refuse)(each.what, each.meaning, each.fix)
    for each in _weak_passwords(model, files, settings):
        (found.refuse if settings.production else found.warn)(each.what, each.meaning, each.fix)
    for service, description in (model.get("services") or {}).items():
        paths = [*mounted_secrets(description)] if "build" not in description else []
        for name, value in (description.get("environment") or {}).items():
            if is_password(name) and value in paths:
                found.warn(
                    f"services.{service}.environment.{name} is the path of a mounted secret",
                    f"unless {description['image']} reads a file there, the path itself is the password",
                    f"write `{name}_FILE: {value}` there instead, where the image knows that",
                )
    for each in _secret_texts(model, settings, sources) if settings.production else ():
        found.refuse(each.what, each.meaning, each.fix)


def _secret_texts(model: Mapping[str, Any], settings: Settings, sources: Sequence[FilePath]) -> Iterator[Problem]:
    """Secrets in plain text outside environments, but for values of the stack's own: those are reported as such."""
    own = [value for each in settings.secrets.values() if (value := each.get_secret_value()).strip()]
    services, written = model.get("services") or {}, values_written(settings, sources)
    for path, text, why in secret_texts(model, lambda path: [*declared_plain(settings, written(path)), *own]):
        ways, names = [], secrets_in(path, text, services, written)
        for name, value in names:
            stays = _kept(path) and name in written(path)  # the file refers to it
            ways += [] if stays else [_way_out(path, name, services, value)]
        if path[-1].endswith(".basicauth.users"):
            ways = [f"remove the label: `basicAuth: {names[0][0]}` of x-slipway takes its place"]
        new = " && ".join(new_secret(settings.stack, name) for name, _ in names if name not in settings.secrets)
        yield Problem(
            f"a secret is in plain text in {'.'.join(map(str, with_placeholders(list(path))))}",
            f"{why}; {'it would be stored so with every release' if _kept(path) else _READABLE}; {PLAIN_INSTEAD}",
            ", then ".join(filter(None, ("; ".join(dict.fromkeys(ways)), new))),
        )


def known_values(
    model: Mapping[str, Any],
    files: Mapping[str, bytes],
    settings: Settings,
    sources: Sequence[FilePath] = (),
    guessed: Mapping[str, Problem] = MappingProxyType({}),
) -> list[Problem]:
    """A problem for every secret of the stack whose value stands in Compose's model or in a shipped file.

    What the environments hold in plain text of a weak one is reported there. `sources` are the Compose files. Of the
    `guessed`, a new value is the last step: by itself it would not reach those places.
    """
    services = model.get("services") or {}
    plain = {(service, name) for service, name, _ in readable_literals(services)}
    values = {name: secret.get_secret_value() for name, secret in sorted(settings.secrets.items())}
    long = "|".join(re.escape(value) for value in values.values() if len(value) >= SHORTEST_SECRET)
    found, names = [], logins(services)
    given = (path for path, _, key in strings(services, ("services",)) if path[2:3] == ("environment",) and not key)
    of_users = [path for path in given if user_names({path[-1]: "x"})]
    for name, value in values.items():
        weak = bool(weakness(name, value, names))
        stands = places_of(value, model, files, weak=weak)
        paths = sorted({path for path in stands if not weak or path[1::2] not in plain})
        if weak and not weakness(name, value) and name not in guessed:
            paths += [path for path in of_users if services[path[1]][path[2]][path[3]] == value]
        if paths:
            users = [path for path in paths if path in of_users]
            own = guessed.get(name)
            problem = _known_value(name, paths, services, settings, sources, users=users, guessed=own)
            what, fix = (re.sub(long or "(?!)", "…", text) for text in (problem.what, problem.fix))
            found.append(problem._replace(what=what, fix=fix))
    return found


def _known_value(
    name: str,
    paths: Sequence[Path],
    services: Mapping[str, Any],
    settings: Settings,
    sources: Sequence[FilePath],
    *,
    users: Sequence[Path],
    guessed: Problem | None,
) -> Problem:
    """What to say of a secret whose value stands at `paths`."""
    secret = settings.secrets[name]
    same = sorted(each for each, its in settings.secrets.items() if its == secret)  # two random ones would not be one
    one = " && ".join(config_set(settings.stack, entry("secrets", each), secret=True) for each in same)
    new = guessed.fix if guessed else one if len(same) > 1 else new_secret(settings.stack, name)
    ways = {".".join(path): _instead(path, name, services, settings, sources) for path in paths if path not in users}
    if not ways:
        places = " and ".join(map(".".join, users))
        return Problem(f"secret {name} is the name of its user in {places}", "anyone could guess it", new, subject=name)
    several = len(set(ways.values())) > 1
    edit = "; ".join(
        dict.fromkeys(f"{place}: {way}" if several and " there" in way else way for place, way in ways.items())
    )
    if all(len(path) == 1 and not mounted_itself(path[0], services) for path in paths):
        fix = new if guessed else f"{new}; or {edit}"
    elif guessed:
        fix = f"{edit}, then {new}"
    else:
        fix = edit + (", and change the secret" if any(path[2:3] != ("environment",) for path in paths) else "")
    subject = f"{guessed.what}, and its value" if guessed else f"the value of secret {name}"
    meaning = guessed.meaning if guessed else "it would be stored so with every release"
    return Problem(f"{subject} is in plain text in {' and '.join(ways)}", meaning, fix, subject=name)


def _instead(
    path: Path, name: str, services: Mapping[str, Any], settings: Settings, sources: Sequence[FilePath]
) -> str:
    """What to do where a secret's value stands in plain text."""
    value, stack = settings.secrets[name].get_secret_value(), settings.stack
    match path:
        case (file,) if not mounted_itself(file, services):
            return f"mount less than the folder that holds {file}"
        case (file,):
            return as_config(file, f"${{{name}}}")
        case ("services", service, "environment", variable):
            if without_escapes(services[service]["environment"][variable]) != value:
                return f"write ${{{name}}} in its place there"
            if only_in_env_file(sources, service, variable) and re.fullmatch(r"\w+", variable, re.ASCII):
                get = f"pulumi config get --path '{entry('secrets', name)}' --stack {shlex.quote(stack)}"
                return config_set(stack, entry("secrets", variable), f"{get} |", secret=True)
            return f"write `{variable}: ${{{name}}}` there"
        case _:
            return _way_out(path, name, services)


def instead_of_value(path: Path, name: str, services: Mapping[str, Any]) -> str:
    """What to do where a value stands in plain text, for which the stack gets the secret `name`."""
    if len(path) == 1:
        return as_config(path[0], f"${{{name}}}")
    return f"write ${{{name}}} in its place there" if path[2::2] == ("environment",) else _way_out(path, name, services)


def _weak_passwords(model: Mapping[str, Any], files: Mapping[str, bytes], settings: Settings) -> Iterator[Problem]:
    """Passwords of the application's own services, in URLs of shipped files, that anyone could guess."""
    hosts = names_on_networks(model.get("services") or {})
    known = {secret.get_secret_value() for secret in settings.secrets.values()}
    for file, content in files.items():
        text = re.sub(r"(?m)^\s*(#|//|--|;).*$", "", content.decode(errors="replace"))
        for password, host in dict.fromkeys(passwords_in_urls(text)):
            weak = weakness("PASSWORD", password)
            if weak and host in hosts and password not in known and not re.search(r"[$<{%]", password):
                meaning = "it is in plain text, and stored so with every release"
                what = f"the password for {host} in {file} {weak}"
                yield Problem(what, meaning, as_config(file, "${NAME} of a secret"))
