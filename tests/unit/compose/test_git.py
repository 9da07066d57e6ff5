"""Commit and branch, wherever the program runs; tags that registries take."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.compose.git import (
    Revision,
    commit_words,
    read_revision,
    refused_repository,
    repository_of,
    run_git,
    tag_of,
)


def git(folder: Path, *argv: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *argv], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "file").write_text("x")
    git(folder, "init", "-q", "-b", "feature/x")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def test_commit_and_branch_are_those_of_the_repository(repository: Path) -> None:
    assert read_revision(repository / "app") == Revision(git(repository, "rev-parse", "HEAD"), "feature/x")
    assert repository_of(repository / "app") == repository.resolve()


def test_only_changes_below_the_applications_folder_make_it_dirty(repository: Path) -> None:
    (repository / "elsewhere").write_text("x")
    assert not read_revision(repository / "app").commit.endswith("-dirty")
    (repository / "app" / "new").write_text("x")
    assert read_revision(repository / "app").commit.endswith("-dirty")
    (repository / "app" / "new").unlink()
    (repository / "app" / "file").write_text("y")
    assert read_revision(repository / "app").commit.endswith("-dirty")


def test_a_commit_is_told_by_its_first_line_and_its_author(repository: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "Faster\n\nmuch more")
    commit = git(repository, "rev-parse", "HEAD")
    for named in (commit, f"{commit}-dirty", commit[:12]):
        assert commit_words(repository / "app", named) == {"commit": named, "subject": "Faster", "author": "t"}


@pytest.mark.parametrize("commit", ["", "0" * 40, "--output=told", "HEAD"])
def test_of_what_is_no_commit_of_the_repository_nothing_is_told(repository: Path, commit: str) -> None:
    assert commit_words(repository / "app", commit) == {"commit": commit, "subject": "", "author": ""}
    assert not (repository / "told").exists()


def test_ignored_files_do_not_make_it_dirty(repository: Path) -> None:
    (repository / ".gitignore").write_text(".env\n")
    (repository / "app" / ".env").write_text("x")
    assert not read_revision(repository / "app").commit.endswith("-dirty")


@pytest.mark.parametrize(
    ("environment", "branch"),
    [
        ({}, ""),
        ({"GITHUB_REF_NAME": "main"}, "main"),
        ({"GITHUB_REF_NAME": "12/merge", "GITHUB_HEAD_REF": "feature"}, "feature"),
        ({"GITHUB_REF_NAME": "main", "GITHUB_HEAD_REF": ""}, "main"),
        ({"CI_COMMIT_REF_NAME": "trunk"}, "trunk"),
        ({"GITHUB_HEAD_REF": "<{%evil%}>\x1b[2J"}, r"< {%evil%}>\x1b[2J"),  # of anybody's pull request
    ],
)
def test_a_detached_checkout_takes_the_branch_from_the_ci_system(
    repository: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], branch: str
) -> None:
    git(repository, "checkout", "-q", "--detach")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert read_revision(repository).branch == branch


def test_a_local_branch_wins_over_the_ci_systems(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    assert read_revision(repository).branch == "feature/x"


def test_outside_of_git_there_is_neither(tmp_path: Path) -> None:
    assert read_revision(tmp_path) == Revision("", "")
    assert repository_of(tmp_path) is None


def test_a_repository_without_a_commit_has_neither(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert read_revision(tmp_path) == Revision("", "")


def test_a_machine_without_git_has_neither(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_revision(repository) == Revision("", "")


def test_a_hook_of_another_repository_does_not_answer_for_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = read_revision(repository)
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert read_revision(repository) == expected


def test_looking_changes_nothing_in_the_repository(repository: Path) -> None:
    def state() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (repository / ".git").rglob("*")}

    before = state()
    (repository / "app" / "file").touch()
    read_revision(repository)
    assert state() == before


OTHER, OWNER = 4001, 4002
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")


def given_to(user: int, *places: Path) -> None:
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)


def armed(directory: Path, proof: Path) -> None:
    """Let everything that a git folder's configuration can name leave its name in `proof`."""
    proof.mkdir(exist_ok=True)
    settings = {
        "core.fsmonitor": f"touch {proof}/fsmonitor; false",
        "core.hooksPath": f"{directory}/armed",
        "log.showSignature": "true",
        "gpg.program": f"touch {proof}/gpg",
        "filter.evil.clean": f"touch {proof}/clean; cat",
        "filter.evil.smudge": f"touch {proof}/smudge; cat",
        "filter.a=b.c.clean": f"touch {proof}/odd; cat",
        "filter.a=b.c.smudge": f"touch {proof}/odd; cat",
    }
    for key, value in settings.items():
        git(proof, "config", "--file", str(directory / "config"), key, value)
    (directory / "armed").mkdir()
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (directory / "armed" / hook).write_text(f"#!/bin/sh\ntouch {proof}/{hook}\n")
        (directory / "armed" / hook).chmod(0o755)


def touched(folder: Path) -> None:
    """Let git believe that it has to compare contents."""
    for path in folder.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            path.write_bytes(path.read_bytes())
            os.utime(path, (1, 1))


@pytest.fixture
def armed_repository(repository: Path, tmp_path: Path) -> Path:
    (repository / ".gitattributes").write_text("app/file filter=evil\n*.x filter=a=b.c\n")
    (repository / "app" / "a.x").write_text("x")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "two")
    armed(repository / ".git", tmp_path / "ran")
    touched(repository)
    return repository


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was run; this project is in a folder of the one who runs."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "Pulumi.yaml").touch()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "ran"


def everything(folder: Path, target: Path) -> None:
    """Every kind of question that is put to git."""
    read_revision(folder)
    refused_repository(folder)
    top = repository_of(folder) or folder
    run_git(folder, "ls-files", "-z")
    run_git(folder, "log", "--oneline", "--max-count=3", "HEAD")
    run_git(top, "worktree", "add", "--detach", "--quiet", str(target), "HEAD")
    run_git(top, "worktree", "remove", "--force", str(target))


def test_what_is_armed_here_does_run_where_git_is_asked_without_care(armed_repository: Path, ran: Path) -> None:
    for argv in (["status"], ["worktree", "add", "--detach", str(ran.parent / "tree")]):
        subprocess.run(["git", *argv], cwd=armed_repository, capture_output=True, check=False)
    assert {path.name for path in ran.iterdir()} >= {"clean", "smudge", "odd", "post-checkout", "fsmonitor"}


@needs_root
@pytest.mark.parametrize("whole", [True, False], ids=["all of it", "only its git folder"])
def test_a_repository_of_another_user_runs_nothing_and_is_refused(
    armed_repository: Path, ran: Path, *, whole: bool
) -> None:
    given_to(OTHER, armed_repository if whole else armed_repository / ".git")
    everything(armed_repository / "app", ran / "tree")
    assert not list(ran.iterdir())
    assert read_revision(armed_repository / "app") == Revision("", "")
    assert refused_repository(armed_repository / "app") == armed_repository


@needs_root
def test_one_that_its_owner_refused_is_read_once_the_operator_trusts_it(armed_repository: Path, ran: Path) -> None:
    given_to(OTHER, armed_repository)
    Path.home().mkdir()
    git(ran.parent, "config", "--global", "--add", "safe.directory", str(armed_repository))
    assert refused_repository(armed_repository / "app") is None
    assert read_revision(armed_repository / "app").branch == "feature/x"
    everything(armed_repository / "app", ran / "tree")
    assert not list(ran.iterdir())


@needs_root
def test_the_owner_of_the_project_is_trusted_with_what_he_committed_but_not_to_run_anything(
    armed_repository: Path, ran: Path
) -> None:
    expected = read_revision(armed_repository / "app").commit.removesuffix("-dirty")
    for path in ran.iterdir():
        path.unlink()
    given_to(OWNER, armed_repository)
    os.chown("Pulumi.yaml", OWNER, OWNER)
    touched(armed_repository)
    everything(armed_repository / "app", ran / "tree")
    assert read_revision(armed_repository / "app") == Revision(expected, "feature/x")
    assert repository_of(armed_repository / "app") == armed_repository
    assert not list(ran.iterdir())


@needs_root
def test_filters_of_the_operators_own_are_in_force_there_too(armed_repository: Path, ran: Path) -> None:
    given_to(OWNER, armed_repository)
    os.chown("Pulumi.yaml", OWNER, OWNER)
    Path.home().mkdir()
    git(ran.parent, "config", "--global", "filter.evil.smudge", "tr x y")
    tree = ran.parent / "tree"
    assert run_git(armed_repository, "worktree", "add", "--detach", str(tree), "HEAD").returncode == 0
    assert ((tree / "app" / "file").read_text(), (tree / "app" / "a.x").read_text()) == ("y", "x")
    assert not list(ran.iterdir())


@needs_root
@pytest.mark.parametrize("owner", [OTHER, OWNER])
def test_a_worktree_is_as_trusted_as_its_repository(armed_repository: Path, ran: Path, owner: int) -> None:
    tree = ran.parent / "tree"
    run_git(armed_repository, "worktree", "add", "--detach", str(tree), "HEAD")
    for path in ran.iterdir():
        path.unlink()
    given_to(owner, armed_repository)
    given_to(0, armed_repository / ".git" / "worktrees")  # made by the one who runs: git itself looks no further
    os.chown("Pulumi.yaml", OWNER, OWNER)
    touched(tree)
    everything(tree / "app", ran / "another")
    assert not list(ran.iterdir())
    assert bool(repository_of(tree / "app")) is True  # the worktree itself is one's own


@needs_root
@pytest.mark.parametrize(("owner", "read"), [(OTHER, False), (OWNER, True)])
def test_a_submodule_is_as_trusted_as_its_own_owner(
    armed_repository: Path, ran: Path, tmp_path: Path, owner: int, *, read: bool
) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(armed_repository), "module")
    git(outer, "commit", "-q", "-m", "one")
    module = outer / ".git" / "modules" / "module"
    armed(module, ran)
    given_to(owner, module, outer / "module")
    os.chown("Pulumi.yaml", OWNER, OWNER)
    touched(outer / "module")
    everything(outer, ran / "tree")
    assert not list(ran.iterdir())
    assert read_revision(outer).commit.endswith("-dirty") is not read
    (outer / "module" / "app" / "file").write_text("changed")
    assert read_revision(outer).commit.endswith("-dirty")


def test_ones_own_filters_work_and_hooks_do_not_run(armed_repository: Path, ran: Path) -> None:
    everything(armed_repository / "app", ran / "tree")
    assert {path.name for path in ran.iterdir()} == {"clean", "smudge", "odd"}


def test_a_folder_that_only_looks_like_a_git_folder_is_none(repository: Path, ran: Path) -> None:
    git(repository, "init", "-q", "--bare", "app/bare")
    armed(repository / "app" / "bare", ran)
    everything(repository / "app" / "bare", ran / "tree")
    assert not list(ran.iterdir())
    assert repository_of(repository / "app" / "bare") is None


def test_what_cannot_be_compared_counts_as_changed(repository: Path) -> None:
    (repository / ".git" / "index").write_bytes(b"broken")
    assert read_revision(repository / "app").commit.endswith("-dirty")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("main", "main"),
        ("feature/login form", "feature-login-form"),
        ("-x", "x"),
        (".x", "x"),
        ("v1.2_3", "v1.2_3"),
        ("ünï", "n"),
        ("a" * 200, "a" * 128),
        ("///", ""),
    ],
)
def test_any_text_becomes_a_tag(text: str, tag: str) -> None:
    assert tag_of(text).strip("-") == tag.strip("-")


@given(st.text())
def test_a_tag_is_one_that_registries_take_or_empty(text: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?", tag_of(text))
