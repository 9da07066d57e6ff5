"""The line of the user's own file that an error names."""

import textwrap
from pathlib import Path

import pytest

from slipway.x_slipway.source_lines import SourceLines

TEXT = """\
    x-shared: &shared
      container_name: fixed
      restart: always
    services:
      web:
        <<: *shared
        image: "${IMAGE:-nginx}"
        ports:
          - "9000:90"
          - "${WEB_PORT:-8080}:80"
          - target: 70
            published: "7000"
      db:
        <<: [*shared, {init: true}]
        ports: ["1:1", "2:2"]
    """


@pytest.fixture
def lines(tmp_path: Path) -> SourceLines:
    (tmp_path / "compose.yaml").write_text(textwrap.dedent(TEXT))
    return SourceLines([tmp_path / "compose.yaml"])


@pytest.mark.parametrize(
    ("path", "holding", "line"),
    [
        (("services", "web"), "", 5),
        (("services", "web", "image"), "", 7),
        (("services", "web", "ports"), "", 8),
        (("services", "web", "ports", 0), "9000", 9),
        (("services", "web", "ports", 1), "8080", 10),
        (("services", "web", "ports", 0), "7000", 11),  # found by what it holds, wherever Compose put it
        (("services", "web", "container_name"), "", 2),
        (("services", "db", "container_name"), "", 2),
        (("services", "db", "init"), "", 14),
        (("services", "db", "ports", 1), "", 15),
    ],
)
def test_a_key_or_entry_has_its_line(lines: SourceLines, path: tuple[str | int, ...], holding: str, line: int) -> None:
    place = lines.place(*path, holding=holding)
    assert place.shown == f"compose.yaml, line {line}"
    assert place.text == textwrap.dedent(TEXT).splitlines()[line - 1].strip()


@pytest.mark.parametrize(
    "path", [("services", "elsewhere", "ports", 0), ("services", "web", "ports", 9), ("services", 0), ("x-shared", "a")]
)
def test_what_stands_in_another_file_has_its_path(lines: SourceLines, path: tuple[str | int, ...]) -> None:
    assert lines.place(*path) == (".".join(map(str, path)), "")


@pytest.mark.parametrize("text", ["services: [", "\0", "", None])
def test_a_file_that_cannot_be_read_gives_paths(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "compose.yaml").write_text(text)
    assert SourceLines([tmp_path / "compose.yaml"]).place("services", "web").shown == "services.web"


@pytest.mark.parametrize(
    ("path", "holding", "shown"),
    [
        (("services", "web", "image"), "", "prod.yaml, line 3"),
        (("services", "web", "container_name"), "", "compose.yaml, line 2"),
        (("services", "web", "ports", 0), "9000", "compose.yaml, line 9"),
        (("services", "web", "ports", 0), "9001", "prod.yaml, line 4"),
        (("services", "web", "ports", 0), "", "services.web.ports.0"),  # Compose put the two lists together
        (("services", "new", "ports", 0), "1", "prod.yaml, line 5"),
    ],
)
def test_of_several_files_the_last_one_that_says_it_is_named(
    tmp_path: Path, lines: SourceLines, path: tuple[str | int, ...], holding: str, shown: str
) -> None:
    assert lines.place("services").shown == "compose.yaml, line 4"
    (tmp_path / "prod.yaml").write_text(
        "services:\n  web:\n    image: x\n    ports: !override [9001:1]\n  new: {ports: ['1:1']}\n"
    )
    both = SourceLines([tmp_path / "compose.yaml", tmp_path / "prod.yaml"])
    assert both.place(*path, holding=holding).shown == shown
