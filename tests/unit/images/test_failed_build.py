"""The failing step's own output, out of all that a builder printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samples import settings

from slipway.compose.builds import Build
from slipway.images.failed_build import last_words, way_out

if TYPE_CHECKING:
    from pathlib import Path

FAILING_STEP = """\
#1 [internal] load build definition from Dockerfile
#5 [2/2] RUN make
#5 0.113 no rule to make target
#5 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2
------
 > [2/2] RUN make:
0.113 no rule to make target
------
Dockerfile:2

   2 | >>> RUN make
ERROR: failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2
"""


def test_failing_step_is_told_with_its_output_and_place() -> None:
    words = last_words(FAILING_STEP)
    assert words[0] == "------"
    assert "0.113 no rule to make target" in words
    assert words[-1].endswith("exit code: 2")
    assert not any("load build definition" in line for line in words)


def test_failure_outside_a_step_is_told_by_the_in_brief() -> None:
    lines = [f"line {number}" for number in range(100)]
    assert last_words("\n".join([*lines, "ERROR: denied"]))[-1] == "ERROR: denied"
    assert len(last_words("\n".join(lines))) == 40


def test_long_output_of_a_step_keeps_its_end() -> None:
    noise = "\n".join(f"0.1 compiling {number}" for number in range(200))
    words = last_words(f"------\n > [2/2] RUN make:\n{noise}\n------\nERROR: failed to solve")
    assert words[-1] == "ERROR: failed to solve"
    assert len(words) == 40


def test_a_push_that_fails_does_not_ask_for_the_build_that_succeeds(tmp_path: Path) -> None:
    build, known = (
        Build(repository="registry.example/web", context="."),
        settings(tmp_path, registry="registry.example"),
    )
    assert way_out("failed to solve: failed to push registry.example/web:1: 403", build, known) == (
        "slipway doctor --stack test"
    )
    assert way_out('failed to solve: process "/bin/sh -c make" did not complete', build, known).startswith(
        "docker build"
    )


def test_silence_is_no_words() -> None:
    assert last_words("") == []
