"""A connection that arrives while the kernel's group changes is not lost, however long the change takes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from slipway.agent.edge import reuseport_handover as module

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Listener:
    """Answers each connection with its name; shares the port as Traefik does."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name, self.open = name, True
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(("0.0.0.0", port))  # noqa: S104 - as Traefik does
        self.socket.listen(64)
        self.socket.settimeout(0.02)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while self.open:
            with contextlib.suppress(TimeoutError):
                connection, _ = self.socket.accept()
                connection.sendall(self.name.encode())
                connection.close()

    def leave(self) -> None:
        self.open = False
        self.thread.join()
        self.socket.close()


@contextlib.contextmanager
def visitors(port: int, answers: list[str]) -> Iterator[None]:
    """A new connection every few milliseconds, whatever became of those before it."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def visit() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                answers.append(connection.recv(9).decode() or "nothing")
        except OSError as error:
            answers.append(type(error).__name__)

    def come() -> None:
        while not over.wait(0.004):
            threads.append(threading.Thread(target=visit))
            threads[-1].start()

    coming = threading.Thread(target=come)
    coming.start()
    try:
        yield
    finally:
        over.set()
        coming.join()
        for thread in threads:
            thread.join()


def test_no_connection_is_lost_between_a_change_and_its_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    attach = module._always

    def late(sock: socket.socket, option: int, answer: int) -> None:
        time.sleep(0.15 if option == module._ATTACH_SELECTION else 0)  # as a busy machine does
        attach(sock, option, answer)

    monkeypatch.setattr(module, "_always", late)
    answers: list[str] = []
    old = Listener("old")
    with visitors(old.port, answers):
        steering = module.Steering([old.port])
        assert steering.works
        began = len(answers)
        new = Listener("new", old.port)
        time.sleep(0.2)
        held = answers[began:]
        steering.turn()
        time.sleep(0.1)
        turned = len(answers)
        time.sleep(0.1)
        old.leave()
        steering.close()
        time.sleep(0.1)
    new.leave()
    assert (set(answers), set(held), set(answers[turned:])) == ({"old", "new"}, {"old"}, {"new"})
