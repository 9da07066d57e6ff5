"""A stack as a command sees it: where its program is, what the engine says of it, and how hosts call it."""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from slipway.contract.problems import SlipwayError
from slipway.releases import local_stack
from slipway.settings.setting_files import read_stack_file, stack_file
from slipway.settings.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.settings.model import Settings

__all__ = [
    "Engine", "Stack", "engine_of", "known_stacks", "last_words", "listed_stacks", "located", "output_of",
    "program_folder", "read_stack", "setting_sources", "settings_of", "stack_of",
]  # fmt: skip

_ENGINE_SECONDS = 120  # a remote state behind a slow link; decrypting with a cloud key


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How the engine is called for one stack."""

    root: Path
    """Folder of Pulumi.yaml."""
    stack: str
    """The stack's name, as the engine takes it."""
    environment: Mapping[str, str]
    options: Sequence[str]
    """What comes after any command of the engine, `--stack` included."""

    def begin(self) -> Engine:
        """Ask for the stack's configuration now, in the background: the engine takes 0.2 s to decrypt it."""
        self._asked  # noqa: B018  # asking is what it does
        return self

    def configuration(self) -> dict[str, dict[str, Any]]:
        """The stack's configuration: key → value as text, and whether it is kept encrypted."""
        return self._asked.result()

    @functools.cached_property
    def _asked(self) -> Future[dict[str, dict[str, Any]]]:
        return ThreadPoolExecutor(1).submit(_configuration, self)

    @property
    def project(self) -> str:
        """The name of the Pulumi project."""
        return str(yaml.safe_load((self.root / "Pulumi.yaml").read_text())["name"])

    @property
    def short(self) -> str:
        """The stack's name, without organisation and project."""
        return self.stack.rsplit("/", 1)[-1]

    @property
    def stack_file(self) -> Path:
        """The path of the stack's file, which may not exist yet."""
        if "--config-file" in self.options:
            return Path(self.options[list(self.options).index("--config-file") + 1])
        return stack_file(self.root, self.short)

    def absent(self) -> tuple[str, str]:
        """What it means that there is no such stack, and what leads on."""
        if self.stack_file.is_file():
            return "its settings are here, the stack itself is not", f"pulumi stack init {shlex.quote(self.stack)}"
        names = {file.name.split(".")[1] for file in self.root.glob("Pulumi.*.yaml")}
        return suggestion(self.short, names, "nothing was done"), "pulumi stack ls"

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the engine's commands on the stack that need no configuration; otherwise as `run`."""
        return self.run(*arguments, "--stack", self.stack)

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the engine's commands, `given` on its standard input.

        Its standard output may hold secrets: only ever show standard error.
        """
        command = ["pulumi", *arguments, "--cwd", str(self.root), "--non-interactive"]
        try:
            return subprocess.run(
                command, env=dict(self.environment), input=given, capture_output=True, text=True,
                timeout=_ENGINE_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise SlipwayError(
                f"pulumi {arguments[0]} did not end within {_ENGINE_SECONDS} s",
                "the stack's settings cannot be read",
                "pulumi stack ls",
            ) from None


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack as its hosts know it."""

    settings: Settings
    application: str
    project: str
    """Compose project on the hosts: application and stack."""


def program_folder(start: Path) -> Path:
    """The folder of Pulumi.yaml: `start` or the nearest one above it. Raises `SlipwayError` when there is none."""
    for folder in (start, *start.parents):
        if (folder / "Pulumi.yaml").is_file():
            return folder
    raise SlipwayError(
        "there is no Pulumi.yaml here or above",
        "the stack's settings are beside it",
        "cd to the project's folder, then run it again",
    )


def engine_of(name: str, *, deploys: bool = False, own_key: bool = False) -> Engine:
    """The engine for the stack called `name`, or for the one selected in the engine when empty.

    With `deploys`, the stack `local` that `make up` made here also gets what a deployment from this machine needs.
    With `own_key`, a key for the hosts in its stack file comes before SLIPWAY_SSH_KEY, which may be another stack's.
    Raises `SlipwayError` when there is no program or no engine, or no stack is named and none selected.
    """
    root = program_folder(Path.cwd())
    environment, options = _environment(root), []
    if name.rsplit("/", 1)[-1] == local_stack.NAME and local_stack.is_made(root):
        environment |= (local_stack.prepared(root) if deploys else {}) | local_stack.engine_environment(root)
        options = ["--config-file", str(local_stack.configuration(root))]
    name = name or _selected(Engine(root=root, stack="", environment=environment, options=[]))
    engine = Engine(root=root, stack=name, environment=environment, options=[*options, "--stack", name])
    if own_key and read_stack_file(engine.stack_file, engine.project).entries.get("sshKey"):
        environment.pop("SLIPWAY_SSH_KEY", None)
    return engine


def read_stack(name: str) -> Stack:
    """The stack called `name`, or the one selected in the engine when empty."""
    return stack_of(engine_of(name))


def stack_of(engine: Engine) -> Stack:
    """The stack that `engine` is called for, as its hosts know it."""
    from slipway.compose.application import read_application  # noqa: PLC0415  # not everybody needs the application

    settings = settings_of(engine)
    application = read_application(settings)
    return Stack(settings=settings, application=application.name, project=application.stack)


def settings_of(engine: Engine) -> Settings:
    """The settings of the stack that `engine` is called for."""
    configured = engine.configuration()
    from slipway.settings.load import load_settings  # noqa: PLC0415  # the engine decrypts meanwhile

    return located(engine, load_settings(**setting_sources(engine, configured)))


def located(engine: Engine, settings: Settings) -> Settings:
    """The settings with the addresses of the machines at Hetzner that the last update made."""
    if not settings.hetzner.servers:
        return settings
    done = engine.ask("stack", "output", "machines", "--json")  # not there before a first update
    return settings.located(json.loads(done.stdout)) if done.returncode == 0 else settings


def setting_sources(engine: Engine, configured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What `slipway.settings.load` reads settings from; `configured` is as `pulumi config --json` prints it."""
    return {
        "project": engine.project,
        "stack": engine.short,
        "configuration": {key: str(entry.get("value", "")) for key, entry in configured.items()},
        "encrypted": {key for key, entry in configured.items() if entry.get("secret")},
        "root": engine.root,
        "environment": engine.environment,
    }


def listed_stacks(engine: Engine) -> dict[str, dict[str, Any]]:
    """The project's stacks by their names, without organisation and project, as `pulumi stack ls --json` has them.

    Raises `SlipwayError` when nobody answers.
    """
    listed = output_of(
        engine.ask("stack", "ls", "--json"),
        "the backend does not say which stacks there are",
        "it is not known whether this one exists",
        "pulumi whoami --verbose && pulumi stack ls",
    )
    return {str(each["name"]).rsplit("/", 1)[-1]: each for each in json.loads(listed)}


def known_stacks(engine: Engine) -> set[str]:
    """The names of the project's stacks. Raises as `listed_stacks`."""
    return {*listed_stacks(engine)}


def _environment(root: Path) -> dict[str, str]:
    """This process's environment, with the engine that `make up` got where none is on PATH."""
    tools = local_stack.tools(root)
    if tools is not None:
        return {**os.environ, **tools}
    raise SlipwayError(
        "pulumi is not on PATH",
        "nothing is known of the stack without it (in a clone of Slipway, `make up` gets it)",
        "https://www.pulumi.com/docs/install/",
    )


def _selected(engine: Engine) -> str:
    return output_of(
        engine.run("stack", "--show-name"),
        "no stack is selected",
        "it is not known which stack is meant; `--stack NAME` says it",
        "pulumi stack ls && pulumi stack select",
    ).strip()


def _configuration(engine: Engine) -> dict[str, dict[str, Any]]:
    done = engine.run("config", "--json", "--show-secrets", *engine.options)
    named = shlex.quote(engine.stack)
    fix = f"read -rs PULUMI_CONFIG_PASSPHRASE && export PULUMI_CONFIG_PASSPHRASE && pulumi config --stack {named}"
    meaning = "it is not known which hosts to look at"
    if "no stack named" in done.stderr:
        meaning, fix = engine.absent()
    elif "invalid YAML" in done.stderr:
        fix = f"correct {engine.stack_file}"
    printed = output_of(
        done,
        "the engine cannot read the stack's configuration",
        meaning,
        fix,
    )
    configured: dict[str, dict[str, Any]] = json.loads(printed)
    return configured


def output_of(done: subprocess.CompletedProcess[str], what: str, meaning: str, fix: str) -> str:
    """What the engine printed; when it failed, an error of these three parts and the engine's last words."""
    if done.returncode == 0:
        return done.stdout
    raise SlipwayError(f"{what} ({last_words(done)[:300]})", meaning, fix)


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """What the engine ended with, for an error."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(line.removeprefix("error: ") for line in lines[-2:]) or f"exit code {done.returncode}"
