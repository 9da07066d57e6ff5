"""authorized_keys as sh changes it: one line comes and goes, and nobody else's."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from slipway.hosts.authorized_keys import let_in, taken_off

if TYPE_CHECKING:
    from pathlib import Path

THEIRS = "ssh-rsa AAAA me@laptop"
OURS = "restrict,port-forwarding ssh-ed25519 {} slipway-shop/web-1"
LIKE_OURS = "ssh-ed25519 CCCC slipway-shop/web-1_bastion"


def run(home: Path, script: str, given: str = "") -> int:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    done = subprocess.run(["/bin/sh", "-c", script], input=given, text=True, check=False, env=environment)
    return done.returncode


def lines(home: Path) -> list[str]:
    return (home / ".ssh/authorized_keys").read_text().splitlines()


@pytest.mark.parametrize("before", [None, "", THEIRS, f"{THEIRS}\n{LIKE_OURS}\n", f"{OURS.format('OLD')}\n{THEIRS}\n"])
def test_a_key_takes_the_place_of_the_earlier_one_and_of_no_other(tmp_path: Path, before: str | None) -> None:
    if before is not None:
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh/authorized_keys").write_text(before)
    others = [line for line in (before or "").splitlines() if line in (THEIRS, LIKE_OURS)]
    for key in ("AAAA", "AAAA", "BBBB"):
        assert run(tmp_path, let_in("slipway-shop/web-1"), f"ssh-ed25519 {key}\n") == 0
        assert lines(tmp_path) == [*others, OURS.format(key)]
    assert (tmp_path / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        assert run(tmp_path, taken_off("slipway-shop/web-1"), "anything\n") == 0
        assert lines(tmp_path) == others
    assert [each.name for each in (tmp_path / ".ssh").iterdir()] == ["authorized_keys"]


def test_a_linked_file_stays_linked(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "keys").write_text(THEIRS)
    (tmp_path / ".ssh/authorized_keys").symlink_to("../keys")
    assert run(tmp_path, let_in("slipway-shop/web-1"), "ssh-ed25519 AAAA\n") == 0
    assert (tmp_path / "keys").read_text().splitlines() == [THEIRS, OURS.format("AAAA")]
    assert (tmp_path / ".ssh/authorized_keys").is_symlink()


def test_without_a_key_or_a_file_nothing_is_written(tmp_path: Path) -> None:
    assert run(tmp_path, taken_off("slipway-shop/web-1")) == 0
    assert not (tmp_path / ".ssh").exists()
    assert run(tmp_path, let_in("slipway-shop/web-1")) == 1
    assert lines(tmp_path) == []


def test_what_cannot_be_read_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".ssh/authorized_keys").mkdir(parents=True)
    assert run(tmp_path, let_in("slipway-shop/web-1"), "ssh-ed25519 AAAA\n") != 0
    assert (tmp_path / ".ssh/authorized_keys").is_dir()


def test_many_at_once_lose_no_line(tmp_path: Path) -> None:
    places = [f"web-{number}" for number in range(8)]
    started = [
        subprocess.Popen(
            ["/bin/sh", "-c", let_in(f"slipway-shop/{place}")],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            text=True,
        )
        for place in places
    ]
    for each in started:
        each.communicate("ssh-ed25519 AAAA\n", timeout=30)
    assert sorted(line.rpartition("-shop/")[2] for line in lines(tmp_path)) == places
