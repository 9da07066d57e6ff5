"""Writable mounts of what an image is built from hide every later image."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import application, problems_of, whats

from slipway.compose.context_mounts import filled_folders

VOTE = "FROM python:3 AS base\nWORKDIR /usr/local/app\nFROM base\nCOPY . .\n"
BOUND = {"driver_opts": {"type": "none", "o": "bind", "device": "./vote"}}


def folder(path: Path, dockerfile: str = VOTE) -> dict[str, Any]:
    for name in ("vote/app.py", "vote/static/x.css", "vote/data/.gitkeep", "other/x"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    (path / "vote" / "Dockerfile").write_text(dockerfile)
    return {"build": "./vote", "restart": "always"}


@pytest.mark.parametrize(
    ("mount", "dockerfile", "hides"),
    [
        ("./vote:/usr/local/app", VOTE, True),
        ("./vote/:/usr/local/app/", VOTE, True),
        (".:/usr/local/app", VOTE, True),
        ("./vote:/usr/local", VOTE, True),
        ("./vote/static:/usr/local/app/static", VOTE, True),
        ("code:/usr/local/app", VOTE, True),
        ("./vote:/app", "FROM base-with-a-folder-of-its-own\nCOPY . .\n", True),
        ("./vote:/app", "FROM x\n", True),
        ("./vote:/usr/local/app:ro", VOTE, False),
        ("./vote/app.py:/usr/local/app/app.py", VOTE, False),
        ("./vote/data:/usr/local/app/data", VOTE, False),
        ("./vote/new:/usr/local/app/new", VOTE, False),
        ("./other:/usr/local/app/other", VOTE, False),
        ("./vote/static:/srv/static", VOTE, False),
        ("./vote/static:/config", "FROM x\nCOPY root/ /\n", False),
        ("./vote:/workspace", VOTE, False),
        ("/srv/vote:/usr/local/app", VOTE, False),
        ("data:/usr/local/app", VOTE, False),
    ],
)
def test_a_writable_mount_that_hides_what_the_image_has_is_told(
    tmp_path: Path, mount: str, dockerfile: str, hides: bool  # noqa: FBT001  # what is expected
) -> None:  # fmt: skip
    service = folder(tmp_path, dockerfile)
    volumes = {"code": BOUND, "data": {}}
    text = json.dumps({"services": {"vote": {**service, "volumes": [mount]}}, "volumes": volumes})
    said = "which its image is built from, is mounted writable at"
    assert any(said in each for each in whats(list(application(tmp_path, text).warnings))) == hides
    if hides:
        [problem] = problems_of(tmp_path, text, production=True)
        assert said in problem.what


def test_of_an_image_that_is_not_built_nothing_is_said(tmp_path: Path) -> None:
    folder(tmp_path)
    text = json.dumps({"services": {"vote": {"image": "x", "volumes": ["./vote:/usr/local/app"]}}})
    assert not any("built from" in each for each in whats(list(application(tmp_path, text).warnings)))


@pytest.mark.parametrize(
    ("dockerfile", "target", "places"),
    [
        (VOTE, "", {"/usr/local/app"}),
        ("FROM x AS build\nWORKDIR /src\nCOPY . .\nFROM scratch\nCOPY --from=build /src/app /bin/\n", "", {"/bin"}),
        ("FROM x AS dev\nWORKDIR /src\nFROM y\nCOPY . /app\n", "dev", {"/src"}),
        ("FROM x\nENV HOME=/srv/app\nWORKDIR $HOME/web\nCOPY --chown=a:b a b ./\n", "", {"/srv/app/web"}),
        ("ARG D=/a\nFROM x\nCOPY . ${D}\n", "", {"/given"}),
        ("FROM x\nENV D /a\nCOPY . ${D}\n", "", {"/a"}),
        ('FROM x\ncopy ["a b", "/app"]\nADD x \\\n  /opt/y\n', "", {"/app", "/opt/y"}),
        ("FROM x\nWORKDIR ${FROM_BASE}\n", "", {"/"}),
        ("", "", set()),
    ],
)
def test_a_dockerfile_says_what_it_fills(dockerfile: str, target: str, places: set[str]) -> None:
    args = {"D": "/given"} if "ARG" in dockerfile else {}
    assert filled_folders(dockerfile, target, args) == places
