"""The steps of `slipway init`, and what it prints: nothing is written before everything is known."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import typer
import yaml

from slipway.cli.init import stack_file
from slipway.cli.init.create_stacks import CreatedStacks, create_stacks
from slipway.cli.init.host_keys import pin_host_keys
from slipway.cli.init.moving import Moving, look_at_project, store_secrets
from slipway.cli.init.prompts import InitOptions, Prompter, ask_for_stacks, given_variables
from slipway.cli.init.requirements import Requirements, before_stacks, open_requirements, read_requirements
from slipway.cli.init.workflows import by_hand, changed_workflows, first_files
from slipway.contract.commands import runnable
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.releases.engine import engine_of, last_words
from slipway.releases.format import counted
from slipway.settings import setting_files
from slipway.settings.model import LOCAL_ADDRESS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["InitReport", "WrongUsageError", "init_stacks", "show"]

_HERE = {"name": LOCAL_ADDRESS, "address": LOCAL_ADDRESS}
_ANY_REGISTRY = "registry.invalid/any"  # while it is not known whether one is needed
_STAND_IN = "for what the stack file holds encrypted"


class WrongUsageError(SlipwayError):
    """Options that are missing or wrong: exit code 2, and nothing was written."""


@dataclass(kw_only=True)
class InitReport:
    """What was done (by file), what is left (commands by stack), and what stands in the way of a preview."""

    requirements: Requirements
    stacks: Sequence[str]
    files: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    created: CreatedStacks = field(default_factory=CreatedStacks)
    problems: list[Problem] = field(default_factory=list)
    hosts: dict[str, set[str]] = field(default_factory=dict)  # stack → addresses
    domain: bool = False  # whether every stack has one
    moving: Moving | None = None
    workflows: bool = False  # whether they were asked for


def init_stacks(application: Path, options: InitOptions, *, root: Path, asking: bool) -> InitReport:
    """Write the stack files for the application and create their stacks.

    The application is the Compose file's folder, `root` that of Pulumi.yaml.

    Raises:
        WrongUsageError: options are missing or wrong; all of them are named.
        SlipwayError: the Compose file cannot be read, or an edited workflow would be overwritten.
    """
    moving, options = _with_move(options, application)
    project = str(yaml.safe_load((root / "Pulumi.yaml").read_text())["name"])
    known = _known_files(root, project)
    stacks, wrong = ask_for_stacks(options, asking=asking, known=list(known))
    if wrong:
        raise WrongUsageError(wrong)
    files = {stack: stack_file.present_file(setting_files.stack_file(root, stack), project) for stack in stacks}
    new = [stack for stack, file in files.items() if not file.edited]
    common = {stack: stack_file.common_compose_file(stack, known, root, application) for stack in new}
    composed = {
        stack: _compose_file(options, file, moving, application) or common.get(stack, ("", ""))[0]
        for stack, file in files.items()
    }
    source: dict[str, Any] = {"application": application, "compose_file": composed[stacks[0]]}
    if moving:
        source["secrets"] = dict.fromkeys(moving.env.secrets, _STAND_IN)
    moving, first = _first_reading(moving, options, stacks, files[stacks[0]], source)
    moved = moving.settings if moving else {}
    _introduce(first, {stack: said for stack, (names, said) in common.items() if names == composed[stack]})
    answers = Prompter(options, first, files, asking=asking and bool(new))
    if answers.problems:
        raise WrongUsageError(answers.problems)
    hosts = {stack: answers.settings[stack]["hosts"] for stack in new}
    notes = pin_host_keys(hosts, asking=asking, accepted=options.accept_host_key)

    report = InitReport(requirements=first, stacks=stacks, moving=moving, workflows=options.workflows)
    texts: dict[Path, str] = {}
    changes: dict[str, list[tuple[str, ...]]] = {}
    folder = os.path.relpath(application.resolve(), root.resolve())
    for stack, file in files.items():
        named = composed[stack] or (first.file if first.unused else "")  # so that it is said, and no oversight
        given = _given({"application": folder, "composeFile": named}, moved, answers.settings[stack])
        if file.edited:
            settings = {**file.settings, "hosts": file.hosts, **given}
        else:
            # Its name for good: else that of a colleague's clone would replace what runs by an empty application.
            settings = {"name": first.name, **given, **stack_file.default_settings(stack)}
        report.hosts[stack] = {str(host["address"]) for host in settings.get("hosts") or ()}
        report.domain = bool(settings.get("domain")) and (report.domain or len(report.hosts) == 1)
        requirements = open_requirements(
            _reading_settings(stack, settings, file, {**source, "compose_file": composed[stack]}), first
        )
        said = {each.what for each in report.problems}
        report.problems += [each for each in requirements.problems if each.what not in said]
        left = stack_file.left_commands(stack, settings, requirements, file)
        report.commands[stack] = [moving.with_value_of_today(each, stack) if moving else each for each in left]
        path = setting_files.stack_file(root, stack)
        if file.edited:
            changes[stack] = stack_file.change_commands(given, file)
            report.files[path.name] = "left as it is: it was edited" if changes[stack] else "unchanged"
        else:
            report.files[path.name] = "replaced" if path.exists() else "written"
            pinned = notes.get(stack, {})
            texts[path] = stack_file.new_stack_file(project, stack, settings, requirements, file.top, notes=pinned)
    texts |= _workflows(root, application, options, report) if options.workflows else {}
    stack_file.write_all(texts)
    _create(files, changes, report, force=options.force)
    return report


def _workflows(root: Path, application: Path, options: InitOptions, report: InitReport) -> dict[Path, str]:
    texts = changed_workflows(root, application, report.stacks, options, report.files)
    own = first_files(root, application, report.requirements, options.runner)
    for file in own:
        report.files[os.path.relpath(file, root)] = "written; it is the application's own from now on"
    return {**texts, **own}


def _first_reading(
    moving: Moving | None,
    options: InitOptions,
    stacks: Sequence[str],
    file: stack_file.StackFile,
    source: Mapping[str, Any],
) -> tuple[Moving | None, Requirements]:
    """What the Compose file asks for before anything is asked or written, and where it differs from what runs."""
    moved = moving.settings if moving else {}
    known = {**moved, "variables": {**moved.get("variables", {}), **given_variables(options, stacks)}}
    reading = _reading_settings(stacks[0], known, file, source)
    try:
        moving = moving and _compared(replace(moving, stored=file.secrets), reading, options, source["application"])
        return moving, read_requirements(reading)
    except SlipwayError as error:
        raise SlipwayError(before_stacks(error.problems, source["application"], options.again)) from None


def _compose_file(options: InitOptions, file: stack_file.StackFile, moving: Moving | None, application: Path) -> Any:  # noqa: ANN401  # YAML's
    """The Compose files as the options name them, or the stack's file, or what runs; one alone is plain text."""
    named: Any = list(options.compose_file) or file.settings.get("composeFile")
    if moving and not named:
        named = moving.compose_files(application)
    return named[0] if isinstance(named, list) and len(named) == 1 else named or ""


def _given(where: Mapping[str, Any], moved: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a stack's settings, in the order of its file."""
    variables = {**moved.get("variables", {}), **answers["variables"]}
    return {key: value for key, value in {**where, **moved, **answers, "variables": variables}.items() if value}


def _create(
    files: Mapping[str, stack_file.StackFile],
    changes: Mapping[str, Sequence[tuple[str, ...]]],
    report: InitReport,
    *,
    force: bool,
) -> None:
    """Create the stacks, and have the engine set what it alone may: secrets, and with `force` the `changes`."""
    provided = [stack for stack, file in files.items() if "secretsprovider" in file.top]
    report.created = create_stacks(report.stacks, encrypted_elsewhere=provided)
    report.problems += report.created.problems
    if report.moving and not report.created.problems:
        [(stack, file)] = files.items()
        report.problems += store_secrets(engine_of(stack), report.moving.env.secrets, known=file.secrets)
    for stack, commands in changes.items():
        left = _change(stack, commands, report) if force and report.created.backend else commands
        report.commands[stack] = [*(stack_file.shown_command(each, stack) for each in left), *report.commands[stack]]


def _with_move(options: InitOptions, application: Path) -> tuple[Moving | None, InitOptions]:
    """The project to take over from, and the options completed by what it says."""
    if not application.is_dir():
        fix = "slipway init PATH-TO-THE-FOLDER-WITH-THE-COMPOSE-FILE"
        raise SlipwayError(f"'{application}' is not a folder", "there is no Compose file to deploy", fix)
    if not (options.moves_from or options.from_running):
        return None, options
    environments = options.environments or ("production",)
    if len(environments) != 1:
        fix = f"slipway init {shlex.quote(str(application))} --environment production --from [USER@]HOST:FOLDER"
        raise WrongUsageError("--from: one stack alone takes over from a project", "nothing was written", fix)
    moving = look_at_project(options.moves_from, options.from_running, application)
    domains = (f"{environments[0]}={moving.domain}",) if moving.domain else ()
    return moving, replace(
        options,
        environments=environments,
        hosts=options.hosts or (moving.host,),
        domains=options.domains or domains,
    )


def _compared(moving: Moving, settings: Settings, options: InitOptions, application: Path) -> Moving:
    """`moving` with its differences; raises where the project is called as the stack will be on its hosts."""
    compared = moving.compared(settings)
    if moving.project.name == compared.own_name:
        other = next(each for each in ("production", "live") if each != settings.stack)
        place, running = shlex.quote(options.moves_from or LOCAL_ADDRESS), shlex.quote(options.from_running)
        again = f"slipway init {shlex.quote(str(application))} --environment {other} --from {place}"
        raise SlipwayError(
            f"the project that runs is called {moving.project.name}, as stack {settings.stack} would be on its hosts",
            "its containers would be replaced and not kept, with no way back, so nothing was written; under another "
            "name the stack takes over from it",
            f"{again} --from-running {running}" if options.from_running else again,
        )
    return compared


def _known_files(root: Path, project: str) -> dict[str, stack_file.StackFile]:
    """The stacks with an edited file, and what it says; production last."""
    folder = setting_files.stack_files_folder(root)
    files = {file.stem.removeprefix("Pulumi."): file for file in folder.glob("Pulumi.*.yaml")}
    ordered = sorted(files, key=lambda name: (name in ("production", "prod"), name))
    found = {name: stack_file.present_file(files[name], project) for name in ordered if name != "local"}
    return {name: file for name, file in found.items() if file.edited}


def _reading_settings(
    stack: str, settings: Mapping[str, Any], file: stack_file.StackFile, source: Mapping[str, Any]
) -> Settings:
    """The settings by which the Compose file is read; a stand-in for whatever the stack's file holds encrypted."""
    variables = {**(file.settings.get("variables") or {}), **(settings.get("variables") or {})}
    values: dict[str, Any] = {
        **source,
        "registry": settings.get("registry") or _ANY_REGISTRY,
        "hosts": settings.get("hosts") or [_HERE],
        "domain": settings.get("domain") or "",
        "variables": {name: str(value) for name, value in variables.items()},
        "secrets": source.get("secrets", {}) | dict.fromkeys(file.secrets, _STAND_IN),
        "adopt_volumes": settings.get("adoptVolumes") or {},
        "name": str(file.settings.get("name") or ""),
    }
    return Settings(stack=stack, **values)


def _change(stack: str, commands: Sequence[tuple[str, ...]], report: InitReport) -> Sequence[tuple[str, ...]]:
    """Let the engine change the stack's file; the commands that are left when it refuses one."""
    engine = engine_of(stack)
    for number, command in enumerate(commands):
        done = engine.ask(*command)
        if done.returncode != 0:
            what = f"Pulumi.{stack}.yaml could not be changed ({last_words(done)})"
            report.problems.append(
                Problem(what, "it lacks what is still to set", stack_file.shown_command(command, stack))
            )
            return commands[number:]
    if commands:
        report.files[f"Pulumi.{stack}.yaml"] = "changed"
    return ()


def _say(text: str) -> None:
    """Print a line, of which some may come from a host or a Compose file."""
    typer.echo(printable(runnable(text)))


def _introduce(requirements: Requirements, unlike: Mapping[str, str]) -> None:
    built = f"{', '.join(requirements.built)} built" if requirements.built else "none built"
    routed = f"{', '.join(requirements.routed)} with a route" if requirements.routed else "none with a route"
    services = counted(len(requirements.services), "service")
    _say(f"{requirements.name}: {requirements.file} has {services}: {built}; {routed}")
    for stack in filter(unlike.get, unlike):
        _say(f"{stack}: {unlike[stack]}")


def _hints(requirements: Requirements, hosts: Mapping[str, set[str]], *, domain: bool) -> Iterator[str]:
    """What would be better in the Compose file: a route for each service that speaks HTTP, no port that two want."""
    rooted = requirements.rooted
    for name in requirements.unused:
        yield f"{name} is left out: to merge it over {requirements.file}, add it to `composeFile` in the stack files"
    for service, (port, published, private) in requirements.web.items():
        said = f"{service} publishes port {published or f'{port} of its containers'}"
        if private:
            block = f"`x-slipway: {{route: HOST, port: {port}}}`"
            yield (
                f"{said} for the host itself alone: where a proxy there leads visitors to it, {block} in place of its "
                "`ports` has the edge do so"
            )
            continue
        route = "/" if not rooted else f"{service}.${{DOMAIN}}" if domain else f"/{service}"
        rooted = True
        block = f"`x-slipway: {{route: {json.dumps(route) if '$' in route else route}, port: {port}}}`"
        better = f"with {block} in place of its `ports` it changes without a lost request"
        yield f"{said}: {better}"
    for one, other in combinations(hosts, 2):
        if hosts[one] & hosts[other]:
            for service, ports in requirements.taken.items():
                if service not in requirements.web:
                    yield (
                        f"{one} and {other} share a host, on which only one of them can have port {ports[0]} of "
                        f"{service}: drop its `ports` (other services reach it without), or let a variable name it"
                    )


def show(report: InitReport) -> None:
    """Print what was done and what is left, on standard output."""
    width = max(map(len, (*report.files, *report.stacks)))
    for name, what in report.files.items():
        _say(f"  {name:<{width}}  {what}")
    for stack in report.created.created:
        _say(f"  {f'stack {stack}':<{width}}  created in {report.created.backend}")
    if not report.created.created and set(report.files.values()) == {"unchanged"}:
        typer.echo("everything exists already: nothing was changed")
    moved = report.moving.described(report.requirements.file) if report.moving else ()
    hints = (f"  hint: {line}" for line in _hints(report.requirements, report.hosts, domain=report.domain))
    for line in (*moved, *hints):
        _say(line)
    for problem in report.problems:
        typer.echo()
        _say(f"In the way: {problem.what} — {problem.meaning}")
        _say(f"  {problem.fix}")
    left = {f"to set for {stack}": commands for stack, commands in report.commands.items()}
    for where, lines in {**left, "to do on GitHub": by_hand(report.stacks) if report.workflows else ()}.items():
        if lines:
            typer.echo(f"\nStill {where}:")
        for line in lines:
            _say(f"  {line}")
    ready = not report.problems and not report.commands[report.stacks[0]]
    typer.echo(f"\n{'Next' if ready else 'Then'}: pulumi preview --stack {report.stacks[0]}")
