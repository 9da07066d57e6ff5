"""The GitHub workflows that the package ships, with the folder, stacks, branch and runner of a repository."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from slipway.cli.init.application_ci import looked_at, starter
from slipway.cli.init.updates import OTHERS, dependabot
from slipway.compose.git import git_output, repository_of
from slipway.contract.problems import Problem, SlipwayError
from slipway.package import shipped_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.cli.init.prompts import InitOptions
    from slipway.cli.init.requirements import Requirements

__all__ = ["WORKFLOWS", "by_hand", "changed_workflows", "first_files", "workflows_for"]

WORKFLOWS = (
    "deploy.yml", "staging.yml", "release.yml", "production.yml", "rollback.yml", "preview.yml", "drift.yml",
    "health.yml", "cleanup.yml", "refresh.yml", "pr-environment.yml",
)  # fmt: skip
_OF_TWO = ("release.yml", "production.yml", "refresh.yml")  # stacks: production is never the one to try it on
_APPLICATIONS = "ci.yml"  # written for it once
_FIRST, _LAST = "staging", "production"  # stacks as the shipped files call them; the first is the one of a push
_PULL_REQUESTS = "pr"  # the stack that is the template of pull requests' own, and deployed by none of the others
_FOLDER = Path(".github") / "workflows"
_RUNNER = "ubuntu-24.04"
_MOVED = re.compile(
    r"^#\n# When this project is a folder of your application's repository: .*\n(?:# .*\n)*", re.MULTILINE
)


def workflows_for(
    root: Path, application: Path, stacks: Sequence[str], *, runner: Sequence[str] = ()
) -> dict[Path, str]:
    """File → text of every workflow, for the repository that holds both the project and the application.

    `runner` are the labels of the machine that they run on, GitHub's own if none.
    """
    repository, other = repository_of(root), repository_of(application)
    if repository is None or repository != other:
        place = other or "a Git repository that holds the application"
        what = "--workflows: this project and the application are not in one Git repository"
        fix = f"move the project into a folder of {place} (git init makes one), then run it again"
        raise SlipwayError(what, "a run on GitHub checks out one repository, and would miss the other", fix)
    folder = os.path.relpath(root.resolve(), repository.resolve())
    own = _without_template(stacks)
    names = [name for name in WORKFLOWS[:-1] if own and (name not in _OF_TWO or len(own) > 1)]
    names += WORKFLOWS[-1:] if _PULL_REQUESTS in stacks else ()
    files = {name: shipped_file(f"{_FOLDER}/{name}").read_text("utf-8") for name in names}
    source = os.path.relpath(application.resolve(), repository.resolve())
    return {
        repository / _FOLDER / _file(name, own): _adapted(
            text, (folder, source), own, _branch(repository), list(runner)
        )
        for name, text in files.items()
    }


def changed_workflows(
    root: Path, application: Path, stacks: Sequence[str], options: InitOptions, done: dict[str, str]
) -> dict[Path, str]:
    """File → text of the workflows to write; `done` gets a word about each.

    Raises `SlipwayError` when one would replace an edited one.
    """
    texts, refused = {}, []
    for file, text in workflows_for(root, application, stacks, runner=options.runner).items():
        name = os.path.relpath(file, root)
        there = file.is_file()
        done[name] = "replaced" if there else "written"
        if there and file.read_text(encoding="utf-8") == text:
            done[name] = "unchanged"
        elif not there or options.force:
            texts[file] = text
        else:
            meaning = (
                "what somebody wrote there would be lost, so nothing was written; `git diff` shows what --force did"
            )
            fix = f"slipway init {shlex.quote(os.path.relpath(application))} --workflows --force"
            refused.append(Problem(f"{name} exists already, and differs", meaning, fix))
    if refused:
        raise SlipwayError(refused)
    return texts


def first_files(root: Path, application: Path, first: Requirements, runner: Sequence[str]) -> dict[Path, str]:
    """What the application gets once, and keeps however it is changed: `ci.yml` and `dependabot.yml`."""
    repository = repository_of(root)
    if repository is None:
        return {}
    files = {}
    workflow, updates = repository / _FOLDER / _APPLICATIONS, repository / ".github" / "dependabot.yml"
    others = [file for file in workflow.parent.glob("*.y*ml") if file.name not in WORKFLOWS]
    if not workflow.exists() and not any(map(_checks_pull_requests, others)):
        labels = _runs_on(runner or [_RUNNER])
        files[workflow] = starter(repository, application, first, branch=_branch(repository), runner=labels)
    if not any((repository / name).exists() for name in (updates.relative_to(repository), *OTHERS)):
        folders = [root.resolve(), *looked_at(repository, application, first.contexts)]
        files[updates] = dependabot(repository.resolve(), dict.fromkeys(folders))
    return files


def _checks_pull_requests(workflow: Path) -> bool:
    try:
        triggers = yaml.safe_load(workflow.read_text("utf-8"))[True]  # `on` is a boolean in YAML
    except (OSError, ValueError, TypeError, LookupError, yaml.YAMLError):
        return False
    return "pull_request" in ([triggers] if isinstance(triggers, str) else triggers or ())


def _branch(repository: Path) -> str:
    found = git_output(repository, "symbolic-ref", "--short", "refs/remotes/origin/HEAD")
    return found.removeprefix("origin/") or "main"


def _runs_on(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else json.dumps(labels)


def by_hand(stacks: Sequence[str]) -> list[str]:
    """What is left that only somebody with rights over the repository on GitHub can do."""
    own = _without_template(stacks)
    reviewer = f"; with a colleague as reviewer of {own[-1]}" if len(own) > 1 else ""
    environments = [*stacks, *(("preview", "observe") if own else ())]
    open_ones = " and ".join(name for name in environments if name in ("preview", _PULL_REQUESTS))
    created = f"create the environments {', '.join(environments)} (Settings, Environments){reviewer}"
    tags = f"; for {own[-1]} and observe the tags of releases (v*), too" if len(own) > 1 else ""
    previewed = f", those of preview for {', '.join(own[:-1] or own)} alone" if own else ""
    secrets = f"gh secret set PULUMI_ACCESS_TOKEN --env {stacks[0]}"
    bucket = "PULUMI_BACKEND_URL, PULUMI_CONFIG_PASSPHRASE and the bucket's AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return [
        f"{created}; all but {open_ones} for the default branch alone{tags}",
        f"set the secrets of each{previewed}: {secrets} (or {bucket})",
        "switch the workflows on: gh variable set SLIPWAY_ENABLED --body true",
    ]


def _without_template(stacks: Sequence[str]) -> list[str]:
    return [stack for stack in stacks if stack != _PULL_REQUESTS]


def _file(name: str, stacks: Sequence[str]) -> str:
    """What a workflow's file is called: those of one stack like the stack, unless another has that name."""
    stack = {f"{_FIRST}.yml": stacks[0], f"{_LAST}.yml": stacks[-1]}.get(name) if stacks else None
    taken = {*WORKFLOWS, _APPLICATIONS} - {f"{_FIRST}.yml", f"{_LAST}.yml"}
    return name if stack is None else f"stack-{stack}.yml" if f"{stack}.yml" in taken else f"{stack}.yml"


def _adapted(text: str, folders: tuple[str, str], stacks: Sequence[str], branch: str, runner: list[str]) -> str:
    """`folders` are the project's and the application's."""
    folder, application = folders
    if folder != ".":
        text = _MOVED.sub("", text)
    names = [name if yaml.safe_load(name) == name else json.dumps(name) for name in stacks or (_FIRST, _LAST)]
    labels = runner or [_RUNNER]
    changes = {
        **{f"{name}.yml": _file(f"{name}.yml", stacks) for name in (_FIRST, _LAST)},
        f"[{_FIRST}, {_LAST}]": f"[{', '.join(names)}]",
        f"[{_FIRST}]": f"[{', '.join(names[:-1] or names)}]",
        _FIRST: names[0],
        _LAST: names[-1],
        "[main": f"[{branch}",
        f'["{_RUNNER}"]': json.dumps(labels),
        f"runs-on: {_RUNNER}": f"runs-on: {_runs_on(labels)}",
        "|| '.'": f"|| '{folder}'",
        "APPLICATION_FOLDER: example\n": f"APPLICATION_FOLDER: {application}\n",
        "PROJECT_FOLDER: .\n": f"PROJECT_FOLDER: {folder}\n",
    }
    return re.sub("|".join(map(re.escape, changes)), lambda found: changes[found[0]], text)
