"""Where `slipway init` touches disk and network: whole files or none, and the key that a host shows."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from slipway.cli.init.host_keys import HostKey, SshAddress, shown_keys
from slipway.cli.init.stack_file import write_all
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.values import one_host_key


def test_files_are_written_with_their_folders(tmp_path: Path) -> None:
    write_all({tmp_path / "a": "one", tmp_path / "deep" / "b": "two"})
    assert {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"a": "one", "b": "two"}


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    write_all({tmp_path / "a": "new"})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_one_that_cannot_be_written_leaves_every_other_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SlipwayError, match=r"cannot be written .* — no file was changed"):
        write_all({tmp_path / "old": "new", tmp_path / "first": "new", tmp_path / "file" / "inside": "new"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old": "old", "file": "no folder"}


def test_one_that_cannot_be_put_in_place_puts_the_others_back(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(SlipwayError, match="no file was changed"):
        write_all({tmp_path / "old": "new", tmp_path / "first": "new", tmp_path / "folder": "new"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old"]
    assert (tmp_path / "old").read_text() == "old"


@contextmanager
def _ssh_server(keys: Sequence[asyncssh.SSHKey]) -> Iterator[SshAddress]:
    """A real SSH server on the loopback address that shows these keys."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen("127.0.0.1", 0, server_host_keys=list(keys))

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)

    async def close() -> None:
        acceptor.close()
        await acceptor.wait_closed()

    try:
        yield SshAddress("127.0.0.1", acceptor.get_port())
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def test_the_key_is_the_one_that_the_engine_would_be_shown() -> None:
    ed25519, ecdsa = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    with _ssh_server([ed25519, ecdsa]) as place:
        key = shown_keys([place])[place]
    assert key == HostKey(_public(ecdsa), ecdsa.get_fingerprint())
    assert one_host_key(f"{_public(ed25519)} {_public(ecdsa)}") == _public(ecdsa)  # what a scan of all keys pins
    assert key.file == "/etc/ssh/ssh_host_ecdsa_key.pub"


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("@revoked web.example OLD", ""),
        ("@cert-authority *.example OLD", ""),
        ("@revoked * OLD\nweb.example NEW", "NEW"),
        ("web.example NEW\n@revoked * OLD", "NEW"),
        ("web.example OLD\n@revoked * OLD", ""),
        ("  @revoked * OLD web.example NEW", "NEW"),  # lines that YAML folded
        ("# web.example OLD\nweb.example NEW", "NEW"),
        ("#OLD", ""),
        ("NEW comment @home", "NEW"),
        ("web.example NEW # was OLD", "NEW"),
    ],
)
def test_what_is_marked_or_in_a_comment_is_not_pinned(text: str, pinned: str) -> None:
    keys = {name: _public(asyncssh.generate_private_key("ssh-ed25519")) for name in ("OLD", "NEW")}
    for name, key in keys.items():
        text = text.replace(name, key)
    assert one_host_key(text) == keys.get(pinned, "")


def test_a_host_with_one_key_only_shows_that_one() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with _ssh_server([key]) as place:
        assert shown_keys([place, place]) == {place: HostKey(_public(key), key.get_fingerprint())}


def test_a_host_that_does_not_answer_is_a_problem_and_no_failure_for_the_others() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with _ssh_server([key]) as place:
        found = shown_keys([place, SshAddress("127.0.0.1", 1)])
    assert isinstance(found[place], HostKey)
    silent = found[SshAddress("127.0.0.1", 1)]
    assert isinstance(silent, Problem)
    assert silent.fix == "ssh-keyscan -p 1 127.0.0.1"
