"""The script that redirects ports of a host, with the host's iptables, says what it did."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
from typing import TYPE_CHECKING, cast

import pytest

from slipway.agent import runtime
from slipway.agent.docker.docker_api import DockerError
from slipway.agent.edge import port_redirect
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from slipway.agent.docker.docker_api import DockerApi


FAMILIES = ("ip6tables", "iptables")


@pytest.mark.parametrize(
    ("fails", "families", "pairs", "code"),
    [
        ("", FAMILIES, "1:2", 0),
        ("", FAMILIES, "", 0),
        ("-I", FAMILIES, "1:2", 1),
        ("-I", ["ip6tables"], "1:2", 0),  # IPv4 alone decides
        ("-D", FAMILIES, "", 2),
        ("-D", FAMILIES, "1:2", 2),
        ("-D", ["ip6tables"], "", 2),
        ("-S", FAMILIES, "", 13),
        ("-S", FAMILIES, "1:2", 13),
        ("-S", ["ip6tables"], "1:2", 4),
        ("-S", ["iptables"], "1:2", 9),
    ],
)
def test_the_script_of_the_redirection_says_what_it_did(
    tmp_path: Path, fails: str, families: Collection[str], pairs: str, code: int
) -> None:
    """`iptables` here keeps rules in a file, one a line, and does not do what `fails` names."""
    for family in FAMILIES:
        rules, stub = tmp_path / f"{family}.rules", tmp_path / family
        rules.write_text(
            "-A OUTPUT -p tcp -m comment --comment slipway-move -j REDIRECT --to-ports 9\n-A OUTPUT -j DOCKER\n"
        )
        stub.write_text(
            f"""#!/bin/sh
            shift 4
            case $1 in
              {fails if fails and family in families else "none"}) exit 4 ;;
              -S) cat {rules} ;;
              -D) shift; grep -vxe "-A $*" {rules} > {rules}.new; mv {rules}.new {rules} ;;
              -I) shift; echo "-A $*" >> {rules} ;;
            esac"""
        )
        stub.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    done = subprocess.run(["sh", "-c", port_redirect._SCRIPT], env={"PATH": path, "PAIRS": pairs}, check=False)
    assert done.returncode == code
    for family in FAMILIES:
        assert "-A OUTPUT -j DOCKER" in (tmp_path / f"{family}.rules").read_text()
        assert (
            fails != "-S" or family not in families or len((tmp_path / f"{family}.rules").read_text().splitlines()) == 2
        )


def test_a_host_without_iptables_is_not_redirected(tmp_path: Path) -> None:
    shell = shutil.which("sh") or "/bin/sh"
    done = subprocess.run(
        [shell, "-c", port_redirect._SCRIPT], env={"PATH": str(tmp_path), "PAIRS": "1:2"}, check=False
    )
    assert done.returncode == 1


class _Engine:
    """Runs a container that ends with the next of these codes; one of None never ends, of -1 it does not start."""

    def __init__(self, *codes: int | None) -> None:
        self.codes, self.code = list(codes), None

    def remove(self, _name: str) -> None: ...

    def create_container(self, name: str, _body: object) -> str:
        self.code = self.codes.pop(0)
        return name

    def start(self, _name: str) -> None:
        if self.code == -1:
            raise DockerError(500, "no chroot", "the start")

    def container(self, _name: str) -> dict[str, object]:
        return {"State": {"Running": self.code is None, "ExitCode": self.code}}


@pytest.mark.parametrize(
    ("codes", "held", "stays"),
    [
        ([0, 0, 0], True, False),
        ([0, 0, 2], True, True),  # a rule is seen
        ([2, 2, 2], False, True),
        ([0, 0, 13], True, True),  # set, and then not to be seen
        ([0, 0, None], True, True),
        ([0, 0, 137], True, True),
        ([0, 0, -1], True, True),
        ([4, 4, 4], True, False),  # no IPv6
        ([4, 4, 12], True, True),
        ([4, 0, 4], True, True),  # IPv6 was not to be seen before it was redirected
        ([0, 1, 1], False, False),
        ([13, 13], False, False),  # never usable: nothing is tried
        ([13, None], False, False),
        ([-1, -1], False, False),
        ([127, 127], False, False),
        ([0, None, 0], False, False),
        ([0, None, 13], False, True),  # cut off while it may have set some
        ([13], None, False),  # nobody has set any
        ([None], None, False),
        ([2], None, True),
    ],
)
def test_only_rules_that_are_there_or_may_be_keep_it_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, codes: list[int | None], held: bool | None, stays: bool
) -> None:
    """Whoever asks: each time it is another object, as after a run that was cut off."""
    times = itertools.count(step=10)
    monkeypatch.setattr(runtime, "monotonic", lambda: float(next(times)))
    monkeypatch.setattr(runtime, "sleep", lambda _: None)
    engine, note = cast("DockerApi", _Engine(*codes)), tmp_path / "note"
    assert held is None or port_redirect.PortRedirect(engine, "image", "ports", str(note)).set({80: 8080}) is held
    with pytest.raises(SlipwayError, match="still redirected") if stays else contextlib.nullcontext():
        port_redirect.PortRedirect(engine, "image", "ports", str(note)).end()
    assert note.exists() is (stays and held is not None)


def test_rules_are_noted_before_the_first_and_no_longer_than_until_the_next_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, noted = tmp_path / "note", []

    class Engine(_Engine):
        def start(self, _name: str) -> None:
            noted.append(note.exists())

    redirect = port_redirect.PortRedirect(cast("DockerApi", Engine(0, 0, 13, 13)), "image", "ports", str(note))
    assert redirect.set({80: 8080})
    assert noted == [False, True]
    with pytest.raises(SlipwayError):
        redirect.end()
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(port_redirect, "_BOOT", str(tmp_path / "boot"))
    redirect.end()
    assert not note.exists()


def test_where_it_cannot_be_noted_nothing_is_redirected(tmp_path: Path) -> None:
    engine = _Engine(0)
    redirect = port_redirect.PortRedirect(cast("DockerApi", engine), "i", "ports", f"{tmp_path}/none/note")
    with pytest.raises(FileNotFoundError):
        redirect.set({1: 2})
    assert engine.codes == []
