"""The settings of Docker's engine: what somebody set stays, what is wanted is added, and again changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.hosts.preparation import daemon_json
from slipway.hosts.preparation.daemon_json import merged, wanted_beside

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = st.sampled_from(["live-restore", "log-driver", "log-opts", "dns", "mtu"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
SETTINGS = st.dictionaries(KEYS, VALUES, max_size=5)
WANTED = {"live-restore": True, "log-driver": "json-file", "log-opts": {"max-size": "20m", "max-file": "5"}}


def holds(document: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Whether all that is set in `part` is set so in `document`."""
    return all(
        key in document
        and (
            holds(document[key], value)
            if isinstance(value, dict) and isinstance(document[key], dict)
            else document[key] == value
        )
        for key, value in part.items()
    )


@given(SETTINGS, SETTINGS)
def test_what_somebody_set_stays_and_again_adds_nothing(existing: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = json.dumps(existing)
    after, kept = merged(existing, wanted)
    assert json.dumps(existing) == before
    assert holds(after, existing)
    assert set(after) == {*existing, *wanted}
    assert merged(after, wanted) == (after, kept)
    assert holds(after, wanted) is (not kept)


@pytest.mark.parametrize(
    ("existing", "swarm", "left_out"),
    [
        ({}, "inactive", set()),
        ({}, "", set()),
        ({"log-driver": "local"}, "", set()),
        ({"log-driver": "journald"}, "", {"log-opts"}),
        ({}, "active", {"live-restore"}),
        ({"log-driver": "syslog"}, "active", {"log-opts", "live-restore"}),
    ],
)
def test_what_the_engine_would_not_start_with_is_left_out(
    existing: dict[str, Any], swarm: str, left_out: set[str]
) -> None:
    assert set(WANTED) - set(wanted_beside(existing, WANTED, swarm)) == left_out


def run(command: str, file: Path) -> subprocess.CompletedProcess[str]:
    program = Path(daemon_json.__file__).read_text(encoding="utf-8")
    argv = [sys.executable, "-I", "-", command, str(file), json.dumps(WANTED), "inactive"]
    return subprocess.run(argv, input=program, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (None, "lacks live-restore, log-driver, log-opts"),
        ("{}", "lacks live-restore, log-driver, log-opts"),
        ('{"log-opts": {"max-size": "1g"}, "live-restore": true}', "lacks log-opts, log-driver"),
    ],
)
def test_the_program_says_what_a_file_lacks_and_adds_it_once(tmp_path: Path, before: str | None, said: str) -> None:
    file = tmp_path / "docker" / "daemon.json"
    if before:
        file.parent.mkdir()
        file.write_text(before)
    assert run("check", file).stdout.splitlines()[0] == f"differs\t{file} {said}"
    assert file.exists() is bool(before)
    assert run("apply", file).returncode == 0
    written = file.stat().st_mtime_ns
    assert {line.split("\t")[0] for line in run("check", file).stdout.splitlines()} == {"ok"}
    assert run("apply", file).returncode == 0
    assert file.stat().st_mtime_ns == written
    assert holds(json.loads(file.read_text()), json.loads(before or "{}"))
    assert [entry.name for entry in file.parent.iterdir()] == ["daemon.json"]


def test_what_somebody_set_otherwise_is_named(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({**WANTED, "log-opts": {"max-size": "1g", "max-file": "5"}}))
    assert run("check", file).stdout == 'ok\tlog-opts.max-size is "1g", as somebody set it\n'


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_file_that_docker_cannot_read_is_left_alone(tmp_path: Path, content: str, command: str) -> None:
    file = tmp_path / "daemon.json"
    file.write_bytes(content.encode("latin-1"))
    ended = run(command, file)
    assert (ended.returncode, ended.stderr.split("\t")[0]) == (1, "differs")
    assert file.read_bytes() == content.encode("latin-1")
