"""Commit and branch, wherever the program runs; tags that registries take."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.compose.git import Revision, read_revision, repository_of, tag_of


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
