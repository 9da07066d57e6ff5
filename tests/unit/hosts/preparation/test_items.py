"""The list, and the scripts that are made of it."""

from __future__ import annotations

import dataclasses
import subprocess
from typing import TYPE_CHECKING

import pytest

from slipway.agent.edge import containers
from slipway.hosts.preparation import firewall
from slipway.hosts.preparation.item import Item, Wanted
from slipway.hosts.preparation.items import items
from slipway.hosts.preparation.script import apply_script, check_script, results, whole_script

if TYPE_CHECKING:
    from pathlib import Path

WANTED = Wanted(
    login_keys=("ssh-ed25519 AAAAC3",), volumes={"/dev/b": "/mnt/b", "/dev/a": "/mnt/a b"}, private=("10.0.0.0/8",)
)
LIST = items(WANTED)
EVERY = pytest.mark.parametrize("item", LIST, ids=[item.id for item in LIST])


def sh(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True, check=False, timeout=60)


def item(check: str, apply: str = "", **changed: object) -> Item:
    made = Item(id="one", title="One", why="because", check=check, apply=apply)
    return dataclasses.replace(made, **changed)


def test_every_item_has_a_name_of_its_own_and_says_why() -> None:
    assert len({each.id for each in LIST}) == len({each.title for each in LIST}) == len(LIST)
    assert all(each.title and len(each.title) <= 24 and each.why and each.check and each.apply for each in LIST)
    assert [each.title for each in LIST if each.id.startswith("volume")] == ["volume at /mnt/a b", "volume at /mnt/b"]


@EVERY
def test_sh_can_read_every_script(item: Item) -> None:
    for script in (check_script([item]), apply_script(item), whole_script([item])):
        read = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (read.returncode, read.stderr) == (0, "")


@EVERY
def test_every_check_says_something_wherever_it_runs(item: Item) -> None:
    ended = sh(check_script([item]))
    (result,) = results([item], ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert result.text
    assert not result.text.startswith("its check"), result


@pytest.mark.parametrize(
    ("check", "state", "text"),
    [
        ("ok fine; ok too", "ok", "fine; too"),
        ("ok fine; unknown who", "unknown", "who"),
        ("ok fine; unknown who; differs bad; differs worse", "differs", "bad; worse"),
        ("true", "unknown", "its check said nothing"),
        ("no-such-program; exit 3", "unknown", "its check failed: sh: 1: no-such-program: not found"),
        ("echo a line of another kind; ok fine", "ok", "fine"),
        ("cat; ok its input is empty", "ok", "its input is empty"),
    ],
)
def test_the_worst_that_a_check_says_is_what_there_is(check: str, state: str, text: str) -> None:
    first, result, last = results(three := [item("ok"), item(check), item("ok")], sh(check_script(three)).stdout)
    assert (first.state, last.state) == ("ok", "ok")
    assert result.state == state
    assert text.split(": ", maxsplit=1)[0] in result.text
    assert text.rsplit(": ", maxsplit=1)[-1] in result.text


def test_a_script_that_ended_early_leaves_the_rest_unknown() -> None:
    assert [result.state for result in results([item(""), item("")], "slipway-item 0\nok\tfine\n")] == ["ok", "unknown"]
    assert [result.state for result in results([item("")], "")] == ["unknown"]


def test_the_whole_list_brings_about_what_differs_alone_and_ends_with_what_is_left(tmp_path: object) -> None:
    there = item(f'[ -e {tmp_path}/a ] && ok a || differs "no a"', f"touch {tmp_path}/a", id="there")
    never = item('differs "no b"', "echo trying >&2", id="never")
    fails = item(f"[ -e {tmp_path}/c ] && ok c || differs 'no c'", f"false\ntouch {tmp_path}/c", id="fails")
    unknown = item("unknown why", f"touch {tmp_path}/d", id="unknown")
    first = sh(whole_script([there, never, fails, unknown]))
    assert first.returncode == 1
    assert first.stdout.splitlines() == ["slipway: there", "slipway: never", "slipway: fails"]
    assert [line for line in first.stderr.splitlines() if "error" in line] == [
        "slipway: error: never: no b", "slipway: error: fails: no c",
    ]  # fmt: skip
    again = sh(whole_script([there, unknown]))
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.parametrize("lists", ["fresh", "old"])
def test_what_is_installed_already_is_not_upgraded(tmp_path: Path, lists: str) -> None:
    fails = "[ -e updated ] || [ $1 = update ] && touch updated" if lists == "old" else "true"
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$@" >> asked\n{fails}\n')
    (tmp_path / "apt-get").chmod(0o755)
    made = item("ok", f"PATH={tmp_path}:$PATH\ninstall_packages docker.io docker-compose-v2")
    assert sh(apply_script(made)).returncode == 0
    asked = [line for line in (tmp_path / "asked").read_text().splitlines() if line.startswith("install ")]
    assert len(asked) == (1 if lists == "fresh" else 2)
    for line in asked:
        assert "--no-upgrade" in line.split()
        assert line.endswith(" docker.io docker-compose-v2")


def test_the_unit_that_drains_finds_the_edge_by_its_label() -> None:
    (drain,) = (each for each in LIST if each.id == "drain")
    assert f"--filter label={containers._NUMBER} " in drain.apply


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (Wanted(), "define ssh_from_4 = { 0.0.0.0/0 }"),
        (Wanted(), "define private_6 = { ::1 }"),
        (Wanted(ports=(443, 80, 80)), "define ports = { 80, 443 }"),
        (Wanted(ssh_from=("192.0.2.0/25", "192.0.2.128/25")), "define ssh_from_4 = { 192.0.2.0/24 }"),
        (Wanted(ssh_from=("192.0.2.0/25",)), "define ssh_from_6 = { ::1 }"),
        (Wanted(ssh_port=2222), "define ssh_port = { 2222 }"),
    ],
)
def test_what_is_open_is_written_so_that_nftables_takes_it(wanted: Wanted, line: str) -> None:
    (found,) = (each for each in items(wanted) if each.id == "firewall")
    assert f"\n{line}\n" in found.apply
    assert "[ -e /etc/slipway/open.nft ] || put" in found.apply, "what is open already stays as it is"


@pytest.mark.parametrize(
    ("wanted", "lacks", "changed"),
    [
        (Wanted(), (), {}),
        (Wanted(ports=(8080, 443)), ("ports lacks 8080",), {"ports": "8080, 80, 443, 9000"}),
        (Wanted(ports=(900,)), ("ports lacks 900",), {"ports": "900, 80, 443, 9000"}),
        (
            Wanted(private=("10.10.0.0/16", "fd00::/8")),
            ("private_4 lacks 10.10.0.0/16", "private_6 lacks fd00::/8"),
            {"private_4": "10.10.0.0/16, 127.0.0.1", "private_6": "fd00::/8, ::1"},
        ),
        (
            Wanted(ssh_from=("192.0.2.0/24",)),
            ("define ssh_from_4", "define ssh_from_6"),
            {"ssh_from_4": "192.0.2.0/24", "ssh_from_6": "::1"},
        ),
    ],
)
def test_what_somebody_has_opened_stays_open_and_what_the_stack_needs_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, lacks: tuple[str, ...], changed: dict[str, str]
) -> None:
    monkeypatch.setattr(firewall, "_OPEN", str(file := tmp_path / "open.nft"))
    monkeypatch.setattr(firewall, "_ENTRY", firewall._ENTRY.replace("/etc/slipway/open.nft", str(file)))
    sets = {"ssh_port": "22", "ssh_from_4": "0.0.0.0/0", "ssh_from_6": "::/0", "ports": "80, 443, 9000"}
    sets |= {"private_4": "127.0.0.1", "private_6": "::1"}

    def written(sets: dict[str, str]) -> str:
        return "".join(f"define {name} = {{ {entries} }}\n" for name, entries in sets.items())

    file.write_text(written(sets))
    found = firewall.firewall(wanted)
    check = check_script([dataclasses.replace(found, check=f"nft() {{ :; }}\n{found.check}", root=False)])
    (result,) = results([found], sh(check).stdout)
    for words in lacks:
        assert words in result.text
    assert ("lacks" in result.text) is bool(lacks)
    edits = [line for line in found.apply.splitlines() if "has_entry" in line or line.startswith("sed")]
    for _ in range(2):
        assert sh("\n".join(edits)).returncode == 0
        assert file.read_text() == written({**sets, **changed})
    (result,) = results([found], sh(check).stdout)
    assert "lacks" not in result.text


def test_docker_waits_for_the_volumes_and_the_check_looks_at_what_it_knows() -> None:
    for device in ("/dev/a", ""):
        (volume,) = (each for each in items(Wanted(volumes={device: "/data"})) if each.id == "volume-1")
        for script in (volume.check, volume.apply):
            assert "/etc/systemd/system/docker.service.d/slipway-volume-1.conf" in script
            assert '\n[Unit]\nRequiresMountsFor="/data"\n' in script
        assert ("mkfs" in volume.apply) is bool(device), "where the device is not known, none is formatted"
