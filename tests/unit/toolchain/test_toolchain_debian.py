"""Debian 13 packages come from the servers that this machine's own sources name, and from nowhere else."""

import os
import re
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.toolchain.process import ToolchainError
from dev.toolchain.stand_ins import debian
from dev.toolchain.stand_ins.debian import Source, sources

ROOT = Path(__file__).resolve().parents[3]
PUBLIC = {"deb.debian.org", "security.debian.org", "archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com"}
MACHINE_SUITE = debian.machine_suite
OWN_KEY = "/etc/apt/keyrings/mirror.asc"


@pytest.fixture(autouse=True)
def bookworm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "machine_suite", lambda: "bookworm")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    (folder / "sources.list.d").mkdir(parents=True)
    return folder


def described(found: list[Source]) -> list[tuple[str, str, str]]:
    return [(source.uri, source.suite, source.signed_by) for source in found]


def test_deb822_sources_keep_server_and_key_and_change_suite(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(f"""\
# the mirror of the house
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: {OWN_KEY}

Types: deb
URIs: http://mirror.example/security http://other.example/security
Suites: bookworm-security
Components: main
""")
    assert described(sources(etc)) == [
        ("http://mirror.example/debian", "trixie", OWN_KEY),
        ("http://mirror.example/debian", "trixie-updates", OWN_KEY),
        ("http://mirror.example/security", "trixie-security", str(debian.KEYRING)),
        ("http://other.example/security", "trixie-security", str(debian.KEYRING)),
    ]
    assert {source.components for source in sources(etc)} == {"main"}


def test_one_line_sources_keep_server_and_key_and_change_suite(etc: Path) -> None:
    (etc / "sources.list").write_text(f"""\
# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by={OWN_KEY}] http://mirror.example/debian bookworm main contrib
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian   bookworm-updates   main
""")
    (etc / "sources.list.d/security.list").write_text("deb http://mirror.example/security stable-security main\n")
    assert described(sources(etc)) == [
        ("http://mirror.example/debian", "trixie", OWN_KEY),
        ("http://mirror.example/debian", "trixie-updates", str(debian.KEYRING)),
        ("http://mirror.example/security", "trixie-security", str(debian.KEYRING)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "deb http://packages.example/docker bookworm stable\n",
        "deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main\n",
        "deb http://mirror.example/debian sid main\n",
        "",
    ],
    ids=["another vendor", "a disc", "another suite", "none"],
)
def test_machine_without_a_debian_source_gets_the_public_one(etc: Path, text: str) -> None:
    (etc / "sources.list").write_text(text)
    assert [source.uri for source in sources(etc)] == [
        "http://deb.debian.org/debian",
        "http://deb.debian.org/debian-security",
    ]


def test_switched_off_source_is_not_used(etc: Path) -> None:
    stanza = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n"
    (etc / "sources.list.d/debian.sources").write_text(stanza)
    assert "mirror.example" not in str(sources(etc))


def test_other_system_gets_the_public_source(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "machine_suite", lambda: "")
    (etc / "sources.list").write_text("deb http://mirror.example/ubuntu noble main\n")
    assert "mirror.example" not in str(sources(etc))


def test_mirror_list_in_a_file_is_resolved(etc: Path) -> None:
    (etc / "mirrors.list").write_text("# near\nhttps://near.example/debian\tpriority:1\nhttps://far.example/debian\n")
    line = f"deb mirror+file:{etc}/mirrors.list bookworm main\n"
    (etc / "sources.list").write_text(line)
    assert [source.uri for source in sources(etc)] == ["https://near.example/debian"]


def test_source_is_written_with_the_key_of_the_place_it_is_for() -> None:
    source = Source(uri="http://mirror.example/debian", suite="trixie", components="main", signed_by=OWN_KEY)
    assert f"Signed-By: {OWN_KEY}\n" in source.render()
    assert "Signed-By: /other.asc\n" in source.render("/other.asc")


def test_settings_that_name_files_or_credentials_of_this_machine_are_left_out(
    program: Callable[[str, str], Path],
) -> None:
    program(
        "apt-config",
        """cat <<'END'
Acquire "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::CaInfo "/etc/house.pem";
Acquire::https::SslKey "/etc/private.key";
Acquire::Retries "3";
Acquire::Languages:: "en";
END""",
    )
    assert debian.acquire_settings() == 'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::Retries "3";\n'


@pytest.mark.usefixtures("machine")
def test_machine_without_apt_has_no_settings() -> None:
    assert debian.acquire_settings() == ""


@pytest.fixture
def lists(program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The log of a machine's apt-get, which fails when there is a file `broken`."""
    keyring = tmp_path / "keyring"
    keyring.touch()
    monkeypatch.setattr(debian, "KEYRING", keyring)
    monkeypatch.setattr(debian, "sources", lambda: [Source(uri="http://a.example", suite="trixie", components="main")])
    return program("apt-get", f"[ ! -e {tmp_path}/broken ]")


def updates(lists: Path) -> int:
    return lists.read_text().count("update -qq")


def test_lists_are_fetched_once_a_day(lists: Path, cache: Path) -> None:
    for _ in range(2):
        assert debian.apt()[:1] == ["-o"]
    assert updates(lists) == 1
    old = time.time() - 25 * 3600
    (cache / "apt/fetched").touch()
    os.utime(cache / "apt/fetched", (old, old))
    debian.apt()
    assert updates(lists) == 2


def test_lists_that_failed_to_come_from_new_sources_are_fetched_again(
    lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian.apt()
    monkeypatch.setattr(debian, "sources", lambda: [Source(uri="http://b.example", suite="trixie", components="main")])
    (tmp_path / "broken").touch()
    for _ in range(2):
        with pytest.raises(ToolchainError, match="package lists cannot be fetched"):
            debian.apt()
    (tmp_path / "broken").unlink()
    debian.apt()
    assert updates(lists) == 4


def test_apt_state_is_private(lists: Path, cache: Path) -> None:
    options = debian.apt()
    assert f"Dir::State={cache}/apt/state" in options
    assert "Dir::Etc::sourcelist=/dev/null" in options
    assert str(cache) in lists.read_text()


def test_no_server_of_this_machine_is_written_into_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "machine_suite", MACHINE_SUITE)
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    proxies = re.findall(r'"(http\S+)"', debian.acquire_settings())
    found = [urllib.parse.urlsplit(uri).hostname for uri in (*(source.uri for source in sources()), *proxies)]
    hosts = [host for host in dict.fromkeys(found) if host and host not in PUBLIC]
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=False).stdout.decode().split("\0")
    texts = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}
    assert [(name, host) for name, text in texts.items() for host in hosts if host.encode() in text] == []
