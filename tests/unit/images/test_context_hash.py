"""What a build sees: the hash changes with it, and with nothing else."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.compose.builds import Build
from slipway.images.context_hash import context_hash


def context(folder: Path) -> Path:
    """A context in which a link makes the plugin's own hash insufficient."""
    app = folder / "app"
    (app / "src").mkdir(parents=True)
    for name in ("Dockerfile", "a", "b", "src/code", "odd\nname ü"):
        (app / name).write_text("same")
        (app / name).chmod(0o644)
    (app / "link").symlink_to("a")
    (app / ".dockerignore").write_text("")
    return app


def hashed(app: Path, **values: Any) -> str:
    return context_hash(Build(repository="r", context=str(app), **values))


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a link to an equal file": lambda app: relink(app / "link", "b"),
    "a link to a folder": lambda app: relink(app / "link", "src"),
    "a link to nothing": lambda app: relink(app / "link", "nowhere"),
    "a link out of the context": lambda app: relink(app / "link", "/etc/hostname"),
    "another link": lambda app: (app / "second").symlink_to("a"),
    "an empty folder": lambda app: (app / "empty").mkdir(),
    "a folder's mode": lambda app: (app / "src").chmod(0o700),
    "a file's mode": lambda app: (app / "a").chmod(0o755),
    "a file's content": lambda app: (app / "src" / "code").write_text("new"),
    "a file's name": lambda app: (app / "a").rename(app / "c"),
    "a file of an odd name": lambda app: (app / "odd\nname ü").write_text("new"),
    "a new file of a name that is no text": lambda app: Path(os.fsdecode(bytes(app) + b"/\xff")).touch(),
    "bytes that move from a name to the content": lambda app: (app / "a").rename(app / "a2"),
    "a file behind a link that leads nowhere": lambda app: (app / "src" / "z").write_text("new"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_build_would_see_differently_changes_the_hash(tmp_path: Path, change: str) -> None:
    app = context(tmp_path)
    before = hashed(app)
    CHANGES[change](app)
    assert before != hashed(app) != ""


@pytest.mark.parametrize("change", ["a link to an equal file", "an empty folder", "a folder's mode"])
def test_an_ignored_change_changes_nothing(tmp_path: Path, change: str) -> None:
    app = context(tmp_path)
    (app / ".dockerignore").write_text("link\nempty\nsrc\n!src/code\n")
    before = hashed(app)
    CHANGES[change](app)
    assert hashed(app) == before == ""


@pytest.mark.timeout(10)
def test_an_ignore_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    app = context(tmp_path)
    (app / ".dockerignore").unlink(missing_ok=True)
    os.mkfifo(app / ".dockerignore")
    assert hashed(app)


def test_times_change_nothing(tmp_path: Path) -> None:
    app = context(tmp_path)
    before = hashed(app)
    os.utime(app / "a", (1, 1))
    assert hashed(app) == before


def test_a_context_that_the_plugin_sees_whole_has_no_hash(tmp_path: Path) -> None:
    """So that an image of an earlier version's state is not built again."""
    app = context(tmp_path)
    (app / "link").unlink()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").touch()
    assert not hashed(app)
    assert not hashed(app, additional_contexts={"more": str(tmp_path / "more"), "image": "docker-image://x"})
    assert not hashed(app, dockerfile_inline="FROM scratch")
    assert not hashed(Path("https://example.com/x.git"))


def test_a_named_context_has_an_ignore_file_of_its_own(tmp_path: Path) -> None:
    app, more = context(tmp_path), tmp_path / "more"
    (app / "link").unlink()
    (app / ".dockerignore").write_text("data\n")
    more.mkdir()
    (more / ".dockerignore").write_text("junk\n")
    found = []
    for change in ("data", "data", "junk", "other"):
        (more / change).write_text(f"{len(found)}")
        found.append(hashed(app, additional_contexts={"more": str(more)}))
    assert found[1] == found[2]
    assert len(set(found)) == 3


def test_a_name_of_a_context_counts(tmp_path: Path) -> None:
    app = context(tmp_path)
    assert hashed(app, additional_contexts={"a": str(app)}) != hashed(app, additional_contexts={"b": str(app)})


def test_the_dockerfiles_own_ignore_file_comes_first(tmp_path: Path) -> None:
    app = context(tmp_path)
    (app / "Dockerfile.dockerignore").write_text("link\n")
    (app / "sub.dockerignore").write_text("")
    assert not hashed(app)
    assert hashed(app, dockerfile="sub")
    assert hashed(app, dockerfile_inline="FROM scratch"), "an inline one has none"


def test_an_inline_dockerfile_is_not_ruled_by_the_programs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = context(tmp_path)
    (app / "link").unlink()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dockerignore").write_text("a\n")
    before = hashed(app, dockerfile_inline="FROM scratch")
    (app / "a").write_text("new")
    assert before != hashed(app, dockerfile_inline="FROM scratch") != ""


@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        ("", "a.py docs docs/a.md docs/deep docs/deep/b.md x+y"),
        ("# a.py\n\n  docs  \n", "a.py x+y"),
        ("/docs/\n", "a.py x+y"),
        ("*\n!docs/deep\n", "docs/deep docs/deep/b.md"),
        ("docs\n!docs/a.md\n", "a.py docs/a.md x+y"),
        ("**/*.md\n", "a.py docs docs/deep x+y"),
        ("**/b.md\n**.py\n", "docs docs/a.md docs/deep x+y"),
        ("docs/**\n", "a.py docs x+y"),
        ("**/**/**/**/**/**/**/**/**/b.md\n" * 50, "a.py docs docs/a.md docs/deep x+y"),
        ("docs/*/b.md\nx+y\n", "a.py docs docs/a.md docs/deep"),
        ("*.md\n", "a.py docs docs/a.md docs/deep docs/deep/b.md x+y"),
        ("[a-b].py\nx?y\n", "docs docs/a.md docs/deep docs/deep/b.md"),
        ("\ufeffdocs\r\nx\\+y\n", "a.py"),
        ("**\n!a.py\n", "a.py"),
        ("./docs/../a.py\ndocs/deep/\n", "docs docs/a.md x+y"),
        ("!a.py\na.py\n", "docs docs/a.md docs/deep docs/deep/b.md x+y"),
    ],
)
def test_an_ignore_file_is_read_as_the_builder_reads_it(tmp_path: Path, rules: str, seen: str) -> None:
    app = tmp_path / "app"
    (app / "docs" / "deep").mkdir(parents=True)
    for name in ("a.py", "docs/a.md", "docs/deep/b.md", "x+y"):
        (app / name).touch()
    (tmp_path / "Dockerfile.dockerignore").write_text(rules, newline="")
    build = Build(repository="r", context=str(app), dockerfile="../Dockerfile")
    from slipway.images.context_hash import _Ignored, _seen  # noqa: PLC0415  # a table of the rules alone

    assert " ".join(entry.path for entry in _seen(app, _Ignored.of_build(build))) == seen
