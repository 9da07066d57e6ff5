"""A `.env` file says here what it says to Compose, which is asked as well."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway.contract.compose_program import compose_program
from slipway.contract.problems import SlipwayError
from slipway.settings.dotenv_file import (
    dotenv_entries,
    of_the_machine,
    parsed_dotenv,
    plain_places,
    unusable_lines,
    written_dotenv,
)

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = "B=v\nE=\n"
READ = {
    "A:b": "b",
    "A: b c": "b c",
    "A:=1": "=1",
    "A = b": "b",
    "A==x": "=x",
    "export A=1": "1",
    "\vA\t=\u00a01 \u2003": "1",
    "A=b # c": "b",
    "A=b#c": "b#c",
    "A= #c": "#c",
    "A=x\t#c": "x\t#c",
    "A='x' # c": "x",
    'A="x"#c': "x",
    "A=1\nA='2'": "2",
    "A='2'\nA=$B": "v",
    r"A='a\\b'": r"a\\b",
    r"A='x\'y\n'": r"x'y\n",
    "A='$B'": "$B",
    "A='x\n\n#y'": "x\n\n#y",
    r'A="a\nb\\c\"d\$e\q"': 'a\nb\\c"d$e\\q',
    r'A="\t\0101\075\0"': "\tA\\75\\",
    r'A="a\\$B\$B\\\$B"': r"a\v$B\$B",
    r"A=\$B": r"\v",
    "A=it's": "it's",
    "A=$$B$$$B": "$B$v",
    "A=$${B}": "${B}",
    "A={${B}}": "{v}",
    "A=$ $1 $- $": "$ $1 $- $",
    "A=${E:-x}": "x",
    "A=${E-x}.": ".",
    "A=${E:+x}${B:+y}${E+z}": "yz",
    "A=${Q:-x}${Q-y}${Q:+z}": "xy",
    "A=${B:?no}": "v",
    "A=${Q:-${R:-${B}}}": "v",
    "A=${Q:-$B$$${E:+x}}": "v$",
    'A=${Q:-{"a": {"b": 1}}}': '{"a": {"b": 1}}',
    "A=${Q:-{x}": "{x",
    "A=${Q:-a}b}": "ab}",
    "A=${Q:-}}": "}",
    "A='x": None,
    "A=1\nA B=1": None,
    "MIIE+x/=": None,
    '"A"=1': None,
    "A,B=1": None,
    "=x": None,
    ":x=1": None,
}
"""What a file holds behind GIVEN → the value of A; None where it cannot be read."""


def value(text: str) -> str | None:
    dotenv = parsed_dotenv(GIVEN + text)
    return None if dotenv.problems else {each.name: each.value for each in dotenv_entries(dotenv, {}, {})}["A"]


def compose(folder: Path, texts: dict[str, str]) -> dict[str, str] | None:
    """What Compose says that A is in each of them; None when it reads one of them not at all."""
    services = {}
    for name, text in texts.items():
        (folder / f"{name}.env").write_bytes((GIVEN + text).encode())
        services[name] = {"image": "x", "env_file": f"{name}.env"}
    (folder / "compose.yaml").write_text(json.dumps({"services": services}))
    done = subprocess.run(
        [*compose_program(), "config", "--format", "json"],
        cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder)}, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return None
    found = json.loads(done.stdout)["services"]
    return {name: each["environment"]["A"].replace("$$", "$") for name, each in found.items()}


@pytest.mark.parametrize(("text", "expected"), READ.items())
def test_a_line_is_read_as_compose_reads_it(text: str, expected: str | None) -> None:
    assert value(text) == expected


def test_compose_reads_these_lines_so(tmp_path: Path) -> None:
    texts = {f"s{number}": text for number, (text, expected) in enumerate(READ.items()) if expected is not None}
    assert compose(tmp_path, texts) == {name: READ[text] for name, text in texts.items()}
    for text in [text for text, expected in READ.items() if expected is None and not text.startswith(("=", ":"))]:
        assert compose(tmp_path, {"s": text}) is None, text


def test_compose_reads_any_line_as_we_do(tmp_path: Path) -> None:
    """Texts of the characters that mean something, as many as Compose reads at once."""
    texts: list[str] = []

    @given(st.lists(st.text(" #'\"\\x$B{}:-+E\n", max_size=14), min_size=20, max_size=20))
    def collected(found: list[str]) -> None:
        texts.extend(f"A={each}\n" for each in found)

    collected()
    read = {}
    for text in texts:
        dotenv = parsed_dotenv(GIVEN + text)
        unknown = [each for each in dotenv_entries(dotenv, {}, {}) if "$" in each.value]
        if not dotenv.problems and not dotenv.bare and not unknown:
            read[f"s{len(read)}"] = text
    assert len(read) > 20
    found = compose(tmp_path, read)
    assert found == {name: value(text) for name, text in read.items()}


@pytest.mark.parametrize("text", ["A=$Q", "A=${Q}", "A=${Q?x}", "A=${", "A=${1}", "A=${B.x}", "A=${B", "A=pa$word"])
def test_what_refers_to_nothing_known_stays_as_it_is(text: str) -> None:
    """Compose leaves it empty or refuses it; of a password, nobody means either."""
    assert value(text) == text[2:]


def test_values_that_grow_by_referring_to_one_another_are_refused() -> None:
    text = "A0=xxxxxxxxxx\n" + "".join(f"A{each + 1}={f'$A{each}' * 10}\n" for each in range(30))
    with pytest.raises(SlipwayError, match="more than 4,000,000 characters"):
        list(dotenv_entries(parsed_dotenv(text), {}, {}))


@pytest.mark.parametrize(
    "text",
    ["${A:-" * 20_000, "${" * 50_000, "{" * 100_000 + "${A:-x}", "}" * 100_000, "$A" * 50_000, "${B:-x" * 20_000],
)
def test_a_hostile_value_takes_no_longer_than_its_reading(text: str) -> None:
    begun = time.process_time()
    with contextlib.suppress(SlipwayError):
        list(dotenv_entries(parsed_dotenv(f"A={text}\nB='{text}'\nC=\"{text}\"\n{text}\n"), {}, {}))
    assert time.process_time() - begun < 5


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@example("\\")
@example("a\\\"$B\\\\$${B}\n\\n#'")
def test_what_is_written_is_read_as_it_was(text: str) -> None:
    values = {"B": "v", "a.b-c": text, "A": text}
    dotenv = parsed_dotenv(written_dotenv({**values, "no name": "x"}).decode())
    read = {each.name: each.value for each in dotenv_entries(dotenv, {}, {})}
    assert values == read


@pytest.mark.parametrize(
    ("name", "of_it"),
    [
        *dict.fromkeys(("LD_PRELOAD", "GIT_SSH_COMMAND", "GIT_CONFIG_KEY_0", "BASH_ENV", "PYTHONPATH", "DOCKER_HOST",
                        "COMPOSE_PROJECT_NAME", "PATH", "GIT_TRACE2", "BASH_FUNC_x%%"), True).items(),
        *dict.fromkeys(("GIT_TOKEN", "GIT_COMMIT", "SSH_PRIVATE_KEY", "PYTHONUNBUFFERED", "COMPOSE_PROFILES", "ENV",
                        "HTTP_PROXY", "SHELL_COLOR", "OLD_PATH"), False).items(),
    ],
)  # fmt: skip
def test_what_steers_programs_is_no_value_of_an_application(name: str, of_it: bool) -> None:  # noqa: FBT001
    assert of_the_machine(name) is of_it


def test_a_line_that_would_be_lost_is_named_by_its_number_once() -> None:
    text = "A=1\n\nB C=canary\nMIIEcanary\n1A=canary\nKEY=-----BEGIN\nab+/canary==\nD=\0canary\n'\n"
    found = unusable_lines(parsed_dotenv(text), "my.env")
    assert [each.what for each in found] == [
        "my.env: line 3 is not NAME=VALUE",
        "my.env: line 4 is not NAME=VALUE",
        "my.env: line 5 names no variable",
        "my.env: line 7 is not NAME=VALUE",
        "my.env: line 8 holds a zero byte",
        "my.env: line 9 is not NAME=VALUE",
    ]
    assert "canary" not in str(found)


def test_what_stands_where_no_secret_may_is_plain_wherever_that_is(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("""
        services:
          web:
            image: "shop:${TAG}"
            build: {context: ., args: {GIT_SHA: "${GIT_SHA}"}}
            labels: ["version=${VERSION}"]
            annotations: {a: "${NOTE}"}
            logging: {options: {tag: "${LOG_TAG}"}}
            environment: {A: "${HANDED}"}
        volumes: {v: {driver_opts: {o: "${MOUNT}"}}}
        """)
    assert plain_places(tmp_path) == {"TAG", "GIT_SHA", "VERSION", "NOTE", "LOG_TAG", "MOUNT"}
