"""Asking git; commit and branch of the application, as it reports them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Revision",
    "commit_words",
    "git_output",
    "read_revision",
    "refused_repository",
    "repository_of",
    "run_git",
    "tag_of",
]

_SECONDS = 120  # a checkout of a large repository

# A folder that only looks like a repository is none, no hook runs (checkouts have some), no program is asked for
# signatures, and looking writes nothing.
_OPTIONS = [
    word
    for setting in ("core.hooksPath=/dev/null", "core.fsmonitor=false", "log.showSignature=false", "color.ui=false",
                    "safe.bareRepository=explicit")
    for word in ("-c", setting)
] + ["--no-optional-locks"]  # fmt: skip
_PROGRAMS = ["config", "--show-scope", "-z", "--get-regexp", r"^(filter|hook)\."]

# Set while git runs a hook; they would point every question at the hook's repository.
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


class Revision(NamedTuple):
    """Where the application's source stands."""

    commit: str
    """40 hex digits, with `-dirty` when the application's folder has uncommitted changes; empty outside git."""
    branch: str
    """Empty outside git; on a detached HEAD (a CI checkout) what the CI system says."""


def run_git(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run git in `folder`; as one that failed, where there is no git, it does not end or refuses the repository.

    Nothing that a repository of another user says is run: no hook, filter or transport.
    """
    options = [*_OPTIONS, "-C", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    top, owners = _owners(folder)
    if top and owners <= _trusted():
        options += ["-c", f"safe.directory={top}"]
    if owners - {os.geteuid()}:
        environment |= {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1"}  # fetching runs what its remotes name
        environment |= _without_its_programs(_run([*options, *_PROGRAMS], environment).stdout, environment)
    return _run([*options, *argv], environment)


def refused_repository(folder: Path) -> Path | None:
    """The top folder of the repository that holds `folder`, where git refuses it because it is another user's."""
    top, owners = _owners(folder)
    return top if owners - _trusted() and run_git(folder, "rev-parse").returncode != 0 else None


def _run(argv: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *argv], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def _owners(folder: Path) -> tuple[Path | None, set[int]]:
    """The nearest folder with a `.git`, and whose it and everything is that git would take configuration from."""
    folder = folder.resolve()
    top = next((each for each in (folder, *folder.parents) if os.path.lexists(each / ".git")), None)
    if top is None:
        return None, set()
    directory = top / ".git"
    places = [top, directory]
    with contextlib.suppress(OSError):  # a worktree or a submodule: the file says where it is
        directory = top / os.fsdecode(directory.read_bytes()).removeprefix("gitdir:").strip()
    with contextlib.suppress(OSError):  # a worktree: and from there to the repository
        places.append(directory)
        directory /= os.fsdecode((directory / "commondir").read_bytes()).strip()
    owners = set()
    for path in (*places, directory, directory / "config"):
        with contextlib.suppress(OSError):  # git cannot read it either
            owners.add(path.stat().st_uid)
    return top, owners


def _trusted() -> set[int]:
    """Who runs this, and the owner of Pulumi.yaml, whose program runs as that user anyway (a container in CI)."""
    here = Path.cwd()
    project = next((path for each in (here, *here.parents) if (path := each / "Pulumi.yaml").is_file()), None)
    return {os.geteuid(), *([project.stat().st_uid] if project else ())}


def _without_its_programs(listed: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by which filters and hooks are as they are outside of the repository, `listed` as `_PROGRAMS` does."""
    words = listed.split("\0")
    own, others = {}, set()
    for scope, entry in zip(words[::2], words[1::2], strict=False):
        key, _, value = entry.partition("\n")
        if scope in ("local", "worktree"):
            others.add(key)
        else:
            own[key] = value
    first = int(environment.get("GIT_CONFIG_COUNT") or 0)
    variables = {"GIT_CONFIG_COUNT": str(first + len(others))}
    for number, key in enumerate(sorted(others), first):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": own.get(key, "")}
    return variables


def git_output(folder: Path, *argv: str) -> str:
    """What git answers; nothing when it fails."""
    done = run_git(folder, *argv)
    return done.stdout.strip() if done.returncode == 0 else ""


def repository_of(folder: Path) -> Path | None:
    """The top folder of the repository that holds `folder`; None outside of git."""
    top = git_output(folder, "rev-parse", "--show-toplevel")
    return Path(top) if top else None


def commit_words(folder: Path, commit: str) -> dict[str, str]:
    """`commit`, and its `subject` and `author` where the repository that holds `folder` knows it."""
    known = commit.removesuffix("-dirty")
    named = re.fullmatch(r"[0-9a-f]{7,64}", known)  # nothing else, which git could take for an option
    said = git_output(folder, "log", "-1", "--format=%s%x00%an", known, "--") if named else ""
    subject, _, author = said.partition("\0")
    return {"commit": commit, "subject": subject, "author": author}


def read_revision(folder: Path) -> Revision:
    """The revision of the repository that holds `folder`; dirty only when something below `folder` is uncommitted."""
    commit = git_output(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return Revision("", "")
    if _changed(folder):
        commit += "-dirty"
    branch = git_output(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    # GITHUB_HEAD_REF is set for pull requests only: https://docs.github.com/actions/reference/variables-reference
    # GitLab: https://docs.gitlab.com/ci/variables/predefined_variables/
    for variable in ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"):
        branch = branch or os.environ.get(variable, "")
    return Revision(commit, printable(branch))  # whoever asks for a merge names it, and the engine shows it


def _changed(folder: Path) -> bool:
    """Whether something below `folder` is uncommitted, or cannot be compared.

    Submodules are asked one by one: git would not look whose they are.
    """
    status = run_git(
        folder, "status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=dirty", "--", "."
    )
    if status.returncode != 0 or status.stdout:
        return True
    staged = run_git(folder, "ls-files", "--stage", "-z", "--", ".").stdout.split("\0")
    modules = (folder / entry.partition("\t")[2] for entry in staged if entry.startswith("160000 "))
    return any(_changed(module) for module in modules if (module / ".git").exists())


def tag_of(text: str) -> str:
    """`text` as an image tag: [A-Za-z0-9_.-], at most 128 characters, not starting with a dot or dash.

    Source of the rule: the OCI distribution specification, "Pulling manifests".
    """
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).lstrip(".-")[:128]
