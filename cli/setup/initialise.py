"""`slipway init`: from an application's Compose file to stack files, stacks and a list of what is left to do.

Owns: the order, and that nothing is written before everything is known and nothing of somebody's is overwritten. Does
not own: the questions (see `answers`), the files (see `stack_file`, `workflows`, `writing`), the engine's stacks (see
`engine_stacks`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from cli.setup.answers import answers, environments
from cli.setup.engine_stacks import make_stacks
from cli.setup.init_view import introduce
from cli.setup.needs import first_needs, needs_of
from cli.setup.pinning import pin
from cli.setup.stack_file import (
    StackValues,
    contradictions,
    default_settings,
    read_stated,
    rendered,
    secret_commands,
)
from cli.setup.workflows import workflows_for
from cli.setup.writing import write_all
from components.settings import LOCAL_ADDRESS, Settings
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cli.setup.answers import Answers, Given
    from cli.setup.needs import Needs
    from cli.setup.stack_file import Stated

__all__ = ["Outcome", "WrongUsageError", "initialise"]

_HERE = {"name": LOCAL_ADDRESS, "address": LOCAL_ADDRESS}
_ANY_REGISTRY = "registry.invalid/any"  # while it is not known whether one is needed
_STAND_IN = "for what the stack file holds encrypted"


class WrongUsageError(SlipwayError):
    """Options that are missing or wrong: exit code 2, and nothing was written."""


@dataclass(kw_only=True)
class Outcome:
    """What was done, and what is left."""

    needs: Needs
    stacks: Sequence[str]
    files: dict[str, str] = field(default_factory=dict)
    """File, relative to the program → written, unchanged, replaced."""
    made: Sequence[str] = ()
    """Stacks made in the backend."""
    place: str = ""
    """Where the backend is."""
    keys: list[str] = field(default_factory=list)
    """What became of the hosts' keys."""
    commands: dict[str, list[str]] = field(default_factory=dict)
    """Stack → commands that set what it still lacks."""
    problems: list[Problem] = field(default_factory=list)
    """What stands in the way of a preview."""
    suggestions: list[str] = field(default_factory=list)

    @property
    def unchanged(self) -> bool:
        """Whether everything was there already."""
        return not self.made and all(what == "unchanged" for what in self.files.values())


def initialise(
    application: Path,
    given: Given,
    *,
    root: Path,
    compose_file: str = "",
    asking: bool,
    accept_host_keys: bool,
    force: bool,
    workflows: bool,
) -> Outcome:
    """Write the stack files for the application and make their stacks.

    Args:
        application: folder of the Compose file.
        given: what was given as options.
        root: folder of Pulumi.yaml.
        compose_file: its name, when it is not one that Compose finds by itself.
        asking: whether somebody at a terminal answers.
        accept_host_keys: pin the keys that hosts show, unseen.
        force: change stack files that hold other values.
        workflows: take over the GitHub workflows as well.

    Raises:
        WrongUsageError: options are missing or wrong; all of them are told.
        SlipwayError: the Compose file cannot be read, or a file that holds somebody's values says otherwise.
    """
    if not application.is_dir():
        raise SlipwayError(
            Problem(
                f"'{application}' is not a folder",
                "there is no Compose file to deploy",
                "slipway init PATH-TO-THE-FOLDER-WITH-THE-COMPOSE-FILE",
            )
        )
    project = str(yaml.safe_load((root / "Pulumi.yaml").read_text())["name"])
    known = [stack for stack in _stack_files(root) if read_stated(_file(root, stack), project).filled]
    stacks, wrong = environments(given, asking=asking, known=known)
    if wrong:
        raise WrongUsageError(wrong)
    stated = {stack: read_stated(_file(root, stack), project) for stack in stacks}
    work = _Work(root, project, application, compose_file, stated, force=force)
    seen = first_needs(work.settings(stacks[0], {}))
    open_ones = {stack: each for stack, each in stated.items() if force or not each.filled}
    introduce(seen)
    found = answers(given, seen, stated, asking=asking and bool(open_ones))
    if found.problems:
        raise WrongUsageError(found.problems)
    shown = pin(found, open_ones, asking=asking, accepted=accept_host_keys)
    return work.finish(seen, found, shown, workflows=workflows)


def _stack_files(root: Path) -> list[str]:
    names = sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in root.glob("Pulumi.*.yaml"))
    ordered = sorted(names, key=lambda name: (name in ("production", "prod"), name))
    return [name for name in ordered if name != "local"]


def _file(root: Path, stack: str) -> Path:
    return root / f"Pulumi.{stack}.yaml"


class _Work:
    """The application, the program and what its stack files say."""

    def __init__(
        self,
        root: Path,
        project: str,
        application: Path,
        compose_file: str,
        stated: Mapping[str, Stated],
        *,
        force: bool,
    ) -> None:
        self.root, self.project, self.application, self.stated, self.force = root, project, application, stated, force
        self.compose_file = compose_file or next(
            (str(each.settings["composeFile"]) for each in stated.values() if each.settings.get("composeFile")), ""
        )

    def settings(self, stack: str, values: Mapping[str, Any]) -> Settings:
        """The settings by which the Compose file is read: `values`, and what the stack's file holds encrypted."""
        read = {key: value for key, value in values.items() if key in ("hosts", "domain", "variables")}
        given: dict[str, Any] = {
            "application": self.application,
            "compose_file": self.compose_file,
            "registry": values.get("registry") or _ANY_REGISTRY,
            "hosts": [_HERE],
            "secrets": dict.fromkeys(self.stated[stack].secrets, _STAND_IN),
            **read,
        }
        return Settings(stack=stack, **given)

    def finish(
        self, seen: Needs, found: Answers, shown: Mapping[str, Mapping[str, str]], *, workflows: bool
    ) -> Outcome:
        """Compare with what is there, write, make the stacks, and say what is left."""
        files: dict[Path, str] = {}
        refused: list[Problem] = []
        values: dict[str, StackValues] = {}
        outcome = Outcome(needs=seen, stacks=list(self.stated))
        for stack, stated in self.stated.items():
            settings = self._settings(stack, found)
            needs = needs_of(self.settings(stack, settings), seen)
            wanted = StackValues(
                stack=stack, settings=settings, secrets=needs.secrets, variables=tuple(needs.variables)
            )
            values[stack] = wanted
            file = _file(self.root, stack)
            differing = contradictions(wanted, stated)
            if stated.filled and not differing:
                outcome.files[file.name] = "unchanged"
            elif stated.filled and not self.force:
                refused.append(_refusal(file.name, differing))
            else:
                outcome.files[file.name] = "replaced" if stated.filled else "written"
                files[file] = rendered(
                    wanted, stated, project=self.project, application=needs.name, notes=shown.get(stack, {})
                )
            outcome.problems += [each for each in needs.problems if each not in outcome.problems]
        if workflows:
            refused += self._take_workflows(outcome, files)
        if refused:
            raise SlipwayError(refused)
        write_all(files)
        self._make_stacks(outcome)
        for stack, wanted in values.items():
            outcome.commands[stack] = self._commands(stack, wanted)
        outcome.suggestions += _suggestions(outcome.needs)
        return outcome

    def _settings(self, stack: str, found: Answers) -> dict[str, Any]:
        remote = any(host["address"] != LOCAL_ADDRESS for host in found.hosts[stack])
        asked = {
            "application": os.path.relpath(self.application.resolve(), self.root.resolve()),
            "composeFile": self.compose_file,
            "registry": found.registry,
            "registryUsername": found.registry_user,
            "hosts": found.hosts[stack],
            "domain": found.domains[stack],
            "acmeEmail": found.acme_email if remote else "",
            "variables": found.variables[stack],
        }
        given = {key: value for key, value in asked.items() if value}
        return given if self.stated[stack].filled else {**given, **default_settings(stack)}

    def _take_workflows(self, outcome: Outcome, files: dict[Path, str]) -> list[Problem]:
        refused = []
        for file, text in workflows_for(self.root, self.application, outcome.stacks).items():
            name = os.path.relpath(file, self.root)
            if not file.is_file():
                outcome.files[name] = "written"
            elif file.read_text(encoding="utf-8") == text:
                outcome.files[name] = "unchanged"
                continue
            elif file.resolve().is_relative_to(self.root.resolve()) or self.force:
                outcome.files[name] = "replaced"
            else:
                refused.append(
                    Problem(
                        f"{name} is there already, and is another one",
                        "what somebody wrote there would be lost, so nothing was written",
                        "slipway init --workflows --force, and look at it with git diff",
                    )
                )
                continue
            files[file] = text
        return refused

    def _make_stacks(self, outcome: Outcome) -> None:
        provided = [stack for stack, stated in self.stated.items() if "secretsprovider" in stated.top]
        made = make_stacks(outcome.stacks, encrypted_elsewhere=provided)
        outcome.made, outcome.place = made.made, made.place
        outcome.problems += made.problems

    def _commands(self, stack: str, wanted: StackValues) -> list[str]:
        pins = [
            f"pulumi config set --path 'hosts[{index}].hostKey' --stack {stack} "
            f'"$(ssh-keyscan -p {host.get("port", 22)} {host["address"]})"'
            for index, host in enumerate(wanted.settings["hosts"])
            if host["address"] != LOCAL_ADDRESS and not host.get("hostKey")
        ]
        plain = [f"pulumi config set --path 'variables.{name}' VALUE --stack {stack}" for name in wanted.variables]
        return [*pins, *secret_commands(wanted, self.stated[stack]), *plain]


def _refusal(name: str, differing: Sequence[str]) -> Problem:
    return Problem(
        f"{name} holds values already, and says otherwise: {', '.join(differing)}",
        "somebody's values would be overwritten, so nothing was written",
        "leave these options out; or pulumi config set KEY VALUE; or add --force, which keeps everything else in it",
    )


def _suggestions(needs: Needs) -> list[str]:
    return [
        f"{service} publishes port {ports[0]}: with `x-slipway: {{route: /, port: {ports[0]}}}` "
        "it changes without a lost request"
        for service, ports in needs.published.items()
    ][:3]
