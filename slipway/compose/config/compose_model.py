"""The Compose file, resolved by Compose itself; secrets in it are marks that no other text can be."""

from __future__ import annotations

import json
import os
import re
import secrets as randomness
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.compose.config.compose_files import compose_files, left_out, look_command, names_of, unknown_profiles
from slipway.compose.config.compose_output import loses_text, read_yaml, rewritten, with_texts
from slipway.compose.config.env_files import (
    missing_env_files,
    private_values,
    put_stack_values,
    with_env_files,
    without_env_files,
)
from slipway.compose.config.environment_nodes import texts_of
from slipway.compose.config.stand_ins import dotenv_values, guess
from slipway.contract.compose_program import compose_program
from slipway.contract.host_paths import LONGEST_STACK, project_on_hosts
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.dotenv_file import written_dotenv
from slipway.settings.rules.stack import too_long
from slipway.settings.secrets.rules import is_secret, new_secret, probably_secret
from slipway.settings.setting_files import config_set, entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slipway.settings.model import Settings

__all__ = [
    "ComposeModel",
    "missing_variable",
    "places_of_variables",
    "resolve",
    "secret_names",
    "strings",
    "with_placeholders",
    "without_escapes",
    "written_texts",
]

_SECONDS = 60  # reading a file takes a tenth of one; an `include` over the network may take several
_UNSET = re.compile(r'The \\?"(?P<name>[^"\\]+)\\?" variable is not set')
_REFERENCE = re.compile(r"\$\$|\$\{?([A-Za-z_]\w*)", re.ASCII)
_REQUIRED = re.compile(r"required variable (?P<name>\w+) is missing a value(?:: (?P<message>.*))?")
_LACKS = re.compile(r"undefined|unknown service|neither an image nor a build")  # what another file may have
_LISTS = frozenset(("annotations", "args", "environment", "labels"))
# Of this run alone, so that no text of a Compose file can be taken for one.
_RUN = randomness.token_hex(8)
_RUN_FOLDER = f"/path-of-{_RUN}"  # shows where this machine's PATH was substituted; there is no such folder
_MARK = f"slipway-{_RUN}-{{}}-secret"
_MARKED = re.compile(_MARK.format(r"([A-Za-z_][A-Za-z0-9_]*)"))
_PLAIN_NAME = re.compile(r"^name: *([\"']?)([a-z0-9][a-z0-9_-]*)\1 *(?:#.*)?$", re.MULTILINE)


class ComposeModel(NamedTuple):
    """What a Compose file says once its variables have their values."""

    files: tuple[Path, ...]
    """The first one's folder is that of all relative paths; each is merged over those before it."""
    name: str
    """Name of the application."""
    stack: str
    """Compose project name on the hosts: application and Pulumi stack. Networks and volumes are named after it."""
    model: dict[str, Any]
    """Compose's canonical form; relative paths below the first file's folder, secrets as marks (see `secret_names`),
    every dollar doubled (see `without_escapes`)."""
    problems: list[Problem]
    """A problem for every variable that nothing gives a value."""
    dormant: dict[str, Any]
    """The services of profiles that are not active: one of them may build an image that others name."""
    warnings: list[Problem]
    unused: list[str]
    """Files beside the one that was found which seem to be meant to be merged over it; none where the stack names its
    files."""
    places: Mapping[str, Sequence[tuple[str, ...]]] = MappingProxyType({})
    """Where variables stand that lack a value, or that look like a secret and are none."""


def resolve(settings: Settings) -> ComposeModel:
    """Let Compose read the application's file with the stack's values.

    Raises:
        SlipwayError: when there is no file, or Compose cannot read it.
    """
    files, unused = compose_files(settings)
    given = _given(settings)
    long = [*too_long("variables", settings.variables, settings.stack)]
    given |= {each.subject.removeprefix("variables."): "1" for each in long}  # so that the rest is read
    try:
        name = settings.name or _as_name(_project_name(files, settings, given))
        stack = project_on_hosts(name, settings.stack)
        model, problems = _model(files, settings, given, "--project-name", stack)
    except SlipwayError as error:
        lacks = any(_LACKS.search(problem.what) for problem in error.problems)
        left = [left_out(files[0].name, each, settings.stack, missed=True) for each in unused if lacks]
        raise SlipwayError([*error.problems, *left]) from None
    if len(stack) > LONGEST_STACK:
        what = f"name: '{stack}', application and stack, has more than {LONGEST_STACK} characters"
        meaning = "containers and networks could not be named after it"
        problems.append(Problem(what, meaning, config_set(settings.stack, "name")))
    warnings = [left_out(files[0].name, each, settings.stack, missed=False) for each in unused]
    written, unread = _written(files, given)
    if unread and not problems:
        meaning = "Compose does not say which values are of an `env_file`, and the stack's are to win over those"
        problems.append(Problem(unread, meaning, "write that entry in its long form, or without a variable"))
    warnings += put_stack_values(model, written, given, settings)
    warnings += private_values(written, given, files[0].parent, settings.stack)
    dormant = _dormant(files, given, model)
    problems += long
    problems += unknown_profiles(settings, [*(model.get("services") or {}).values(), *dormant.values()])
    asked = {problem.subject for problem in problems if problem.code == "variable-missing"}
    asked |= {each for each, value in settings.variables.items() if is_secret(each, value)}
    places = places_of_variables(asked, files, given) if asked else {}
    return ComposeModel(files, name, stack, model, problems, dormant, warnings, unused, places)


def project_of(settings: Settings) -> str:
    """Compose project name on the hosts: application and Pulumi stack; raises as `resolve` does."""
    files, _ = compose_files(settings)
    return project_on_hosts(settings.name or _as_name(_project_name(files, settings, _given(settings))), settings.stack)


def _given(settings: Settings) -> dict[str, str]:
    """What Compose reads the files with."""
    given = {"PWD": "."} | ({"DOMAIN": settings.domain} if settings.domain else {})  # the folder, for a relative path
    given |= settings.variables | {name: _MARK.format(name) for name in settings.secrets}
    return given | ({"COMPOSE_PROFILES": ",".join(settings.profiles)} if settings.profiles else {})


def places_of_variables(
    names: Collection[str], files: Sequence[Path], given: Mapping[str, str]
) -> dict[str, list[tuple[str, ...]]]:
    """Name → the paths of the texts that refer to it; none where Compose cannot read the files as they are written."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for place, text in written_texts(files, given):
        for name in dict.fromkeys(each for each in _REFERENCE.findall(text) if each in names):
            found.setdefault(name, []).append(place)
    return found


def written_texts(files: Sequence[Path], given: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Path and text of all that the files say, references as they are; none where Compose cannot read them so."""
    done = _compose_config(files, given, (), "--no-interpolate")
    for path, text, _ in strings(read_yaml(done.stdout)) if done.returncode == 0 else ():
        named = path[-1].isdigit() and path[-2] in _LISTS  # NAME=VALUE, which Compose's model has as a mapping
        yield (*path[:-1], text.partition("=")[0]) if named else path, text


def strings(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Every string of the tree with its path, and whether it is a key."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, str(key)), str(key), True
            yield from strings(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from strings(value, (*path, str(index)))
    elif isinstance(node, str):
        yield path, node, False


def _dormant(files: Sequence[Path], given: Mapping[str, str], model: Mapping[str, Any]) -> dict[str, Any]:
    """The services that only inactive profiles have; asked for where a file, or one that it names, may have any."""
    if not _may_have("profiles", files):
        return {}
    done = _compose_config(files, given, ("--profile", "*"))
    services = read_yaml(done.stdout).get("services") or {} if done.returncode == 0 else {}
    return {name: each for name, each in services.items() if name not in (model.get("services") or {})}


def _written(files: Sequence[Path], given: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """The files with their `env_file`s as they are written, and why they cannot be read so.

    Without values, Compose refuses `${CONF:-./a}:/a:ro` (2.26), or a boolean. Then copies are read with them, in which
    no key is called `env_file`; what the files name themselves cannot be copied.
    """
    if not _may_have("env_file", files):
        return {}, ""
    done = _compose_config(files, given, (), "--no-interpolate")
    if done.returncode == 0:
        return read_yaml(done.stdout), ""
    unread, texts = _complaint(done.stderr), texts_of(files)
    there = [file.name for file, text in texts.items() if text is None or "env_file" in text]
    if len(texts) > len(files) or not there:
        return {}, f"{unread}, beside the `env_file` of {' and '.join(there)}" if there else ""
    with TemporaryDirectory(prefix="slipway-") as folder:
        place = ("--project-name", "x", "--project-directory", str(files[0].parent.absolute()))
        done = _compose_config(without_env_files(files, Path(folder)), given, place)
    return (with_env_files(read_yaml(done.stdout)), "") if done.returncode == 0 else ({}, unread)


def _may_have(key: str, files: Sequence[Path]) -> bool:
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    return any(word in text for word in (key, "include", "extends") for text in texts)


def secret_names(text: str) -> list[str]:
    """The names of the secrets whose marks stand in `text`."""
    return _MARKED.findall(text)


def with_placeholders(node: Any) -> Any:  # noqa: ANN401  # a JSON tree
    """The tree with every secret's mark as `${NAME}`."""
    return rewritten(node, lambda text: _MARKED.sub(r"${\1}", text))


def without_escapes(node: Any) -> Any:  # noqa: ANN401  # a JSON tree
    """The tree with every `$$` as `$`: for what does not go through Compose a second time."""
    return rewritten(node, lambda text: text.replace("$$", "$"))


def missing_variable(name: str, settings: Settings, message: str) -> Problem:
    """The problem of a variable without a value; `message` says more where the file does."""
    secret = probably_secret(name)
    other = "" if secret else f"; if it is a secret, set {entry('secrets', name)} with --secret instead"
    return Problem(
        f"variable {name} of the Compose file has no value" + (f" ({message})" if message else ""),
        f"stack {settings.stack} would run with an empty one{other}",
        new_secret(settings.stack, name) if secret else config_set(settings.stack, entry("variables", name)),
        "variable-missing",
        name,
        (message,) if message else (),
    )


def _project_name(files: Sequence[Path], settings: Settings, given: Mapping[str, str]) -> str:
    """The name that Compose gives the project: by the files, by COMPOSE_PROJECT_NAME, or by the folder.

    A name that stands plainly in the only file is read from there, which spares a run of Compose.
    """
    try:
        plain = _PLAIN_NAME.findall(files[0].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        plain = []
    if len(files) == len(plain) == 1 and "COMPOSE_PROJECT_NAME" not in given:
        return str(plain[0][1])
    model, _ = _model(files, settings, given)
    return str(model["name"])


def _as_name(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-") or "app"


def _model(
    files: Sequence[Path], settings: Settings, given: Mapping[str, str], *options: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Compose's model of the files, with a problem for every variable that has no value.

    An empty value may be all that Compose cannot read (`:/data`): with others in its place, it says what else there is.
    """
    values, required, unset, known, said = dict(given), [], set[str](), dict[str, str](), list[str]()
    for _ in range(100):  # each round finds one `${NAME:?}` that is missing; a file has no hundred of them
        done = _compose_config(files, values, options)
        if missing := _REQUIRED.search(done.stderr):
            required.append(missing_variable(missing["name"], settings, missing["message"] or ""))
            open_names = {missing["name"]}
        else:
            said.append(_complaint(done.stderr))
            unset |= {match["name"] for match in _UNSET.finditer(done.stderr)}
            open_names = unset - values.keys() or {name for name in unset if not values[name]}
        if done.returncode == 0 or not open_names:
            break
        known = known or dotenv_values(files[0].parent, _MARK)
        fits = {name: known[name] for name in open_names & known.keys() - values.keys() if known[name] or not missing}
        values |= {name: guess(name, files) for name in open_names} | fits
    problems = [*sorted(required), *(missing_variable(name, settings, "") for name in sorted(unset))]
    if _RUN_FOLDER in done.stdout:
        problems.append(missing_variable("PATH", settings, "the container's own is $$PATH, in a shell"))
    if done.returncode != 0:
        written = _written(files, values)[0] if "env file" in done.stderr else {}
        missing_files = missing_env_files(written, files[0].parent, settings.stack)
        guessed = unset - known.keys() and said[-1:] != said[:1]
        of_a_guess = guessed and re.search(r"\b(1|true)\b", said[-1])  # no news: the variable is missing
        own = missing_files or ([] if of_a_guess else [_compose_problem(files, done.stderr)])
        raise SlipwayError([*problems, *own])
    model = read_yaml(done.stdout)
    if loses_text(done.stdout):
        model = with_texts(model, json.loads(_compose_config(files, values, options, "--format", "json").stdout))
    return model, problems


def _compose_config(
    files: Sequence[Path], values: Mapping[str, str], options: tuple[str, ...], *more: str
) -> subprocess.CompletedProcess[str]:
    """Run Compose with nothing but the stack's values: neither this process's environment nor the folder's `.env`.

    They are a file, since an environment steers programs: LD_PRELOAD is meant for a container. (PATH and PWD are the
    exceptions: of two values Compose takes that of its own environment, in which newer versions put a PWD.) HOME is
    left out on purpose: `${HOME}` would be another one on every machine that deploys.
    """
    plugins = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")  # noqa: PTH111  # may have no home
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), _RUN_FOLDER))  # for an `include` over git
    named = [word for file in files for word in ("--file", str(file.absolute()))]
    try:
        with NamedTemporaryFile(prefix="slipway-", suffix=".env") as given:
            given.write(written_dotenv(values))
            given.flush()
            argv = [*compose_program(), *named, "--env-file", given.name, *options]
            return subprocess.run(
                [*argv, "config", "--format", "yaml", "--no-path-resolution", *more],
                cwd=files[0].parent,
                env={"PATH": values.get("PATH", path), "PWD": values.get("PWD", "."), "DOCKER_CONFIG": plugins},
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
    except FileNotFoundError:
        what, fix = "docker is not on PATH", "https://docs.docker.com/engine/install/"
    except subprocess.TimeoutExpired:
        what, fix = f"{names_of(files)}: Compose did not end within {_SECONDS} s", look_command(files)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "a name or value that is no text"
        what, fix = f"docker compose cannot be started ({reason})", "check the variables of the stack's settings"
    raise SlipwayError(what, "the Compose file cannot be read", fix)


def _complaint(stderr: str) -> str:
    return "; ".join([line for line in stderr.splitlines() if line and "level=warning" not in line][-3:])


def _compose_problem(files: Sequence[Path], stderr: str) -> Problem:
    """Compose's own complaint, with its meaning where it is a common one."""
    text = str(with_placeholders(_complaint(stderr))) or "Compose gave no reason"
    meaning = "the Compose file cannot be read"
    if "unknown docker command" in text or "is not a docker command" in text or "unknown shorthand flag" in text:
        return Problem("docker has no Compose v2 plugin", meaning, "https://docs.docker.com/compose/install/linux/")
    if "neither an image nor a build" in text:
        meaning = "the service has nothing to run"
    elif "cycle" in text:
        meaning = "no service of the cycle could start first"
    elif "depends on undefined service" in text or "declares unknown service" in text:
        meaning = "there is no such service, or its profile is not in the setting `profiles`"
    elif "invalid interpolation format" in text:
        meaning = "${NAME} takes letters, digits and underscores, and a dollar that is meant as one is written $$"
    names = names_of(files)
    return Problem(f"{names}: {text}", f"{meaning}; `{look_command(files)}` says the same", f"correct {names}")
