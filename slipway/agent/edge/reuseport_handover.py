"""Sends new connections to one of two edge containers that listen on the same ports.

Traefik takes connections before it has its routes, and answers them 404. So they are held with the old container until
the new one has them, and all go to the new one before the old one stops listening. Sockets of ours join the kernel's
group of those that share a port (SO_REUSEPORT), whose members must be of one user (Traefik's: root), and with them we
choose which member the kernel gives new connections to. When this process ends early, both containers serve.

Where the group and its choice change, one after the other, a connection may be meant for a socket of ours. Those drop
what they receive, so the client's system sends it again a second later (RFC 6298, 2.1), and a container gets it.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HELD", "LEFT", "TURNED", "Steering", "listener", "serve"]

_ATTACH_FILTER, _ATTACH_SELECTION = 26, 51  # SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF: Python has no names for them
_RETURN = 0x06  # BPF_RET | BPF_K: a program that always gives the same answer
HELD, TURNED, LEFT = "held", "turned", "left"
_PATIENCE = 180
_OLD, _NEW = 0, 2  # places in the group, by the order of joining: old, ours, new, ours


class Steering:
    """Steers the connections of some ports; `works` says whether it can."""

    def __init__(self, ports: Iterable[int]) -> None:
        """Take part in the group of each port and hold new connections with who is in it now (one container)."""
        self._first: dict[int, socket.socket] = {}
        self._second: dict[int, socket.socket] = {}
        self.works = True
        try:
            for port in ports:
                self._join(port, self._first, _OLD)
        except OSError:
            self.works = False
            self.close()

    def turn(self) -> None:
        """Give new connections to the container that came since.

        Another socket of ours joins behind it: when a member leaves, the last one moves to its place, and that must
        not be the container.
        """
        for port in list(self._first):
            self._join(port, self._second, _NEW)

    def close(self) -> None:
        """Leave the groups, each set to its first place: where one serves alone, and where the next handover holds.

        With the old container gone, the new one comes to that place when the second of ours leaves.
        """
        for port, first in self._first.items():
            second = self._second.get(port)
            if second is not None:
                second.close()
                _always(first, _ATTACH_SELECTION, _OLD)
            first.close()
        self._first.clear()
        self._second.clear()

    @staticmethod
    def _join(port: int, ours: dict[int, socket.socket], place: int) -> None:
        family, address = listener(port)
        joined = ours[port] = socket.socket(family, socket.SOCK_STREAM)
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            joined.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        joined.bind((address, port))
        with contextlib.suppress(PermissionError):  # Linux 6.18 asks for NET_ADMIN
            _always(joined, _ATTACH_FILTER, 0)  # no byte of any packet
        joined.listen(0)
        _always(joined, _ATTACH_SELECTION, place)


def serve(ports: Iterable[int]) -> None:
    """Steer as the main program: SIGUSR1 turns, SIGTERM ends, and so do three minutes without either."""
    signals = {signal.SIGUSR1, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    steering = Steering(ports)
    if not steering.works:
        return
    print(HELD, flush=True)
    while (got := signal.sigtimedwait(signals, _PATIENCE)) is not None and got.si_signo == signal.SIGUSR1:
        steering.turn()
        print(TURNED, flush=True)
    steering.close()
    print(LEFT, flush=True)


def _always(sock: socket.socket, option: int, answer: int) -> None:
    """Attach a program that always gives the same answer: bytes to keep of a packet, or a place in the group."""
    program = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, answer))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", 1, ctypes.addressof(program)))


def listener(port: int) -> tuple[socket.AddressFamily, str]:
    """How Traefik listens: for both families on one socket, where this host has IPv6."""
    try:
        with open("/proc/net/tcp6", encoding="ascii") as file:
            both = any(f":{port:04X} " in line.split(None, 2)[1] + " " for line in list(file)[1:])
    except FileNotFoundError:
        both = False
    return (socket.AF_INET6, "::") if both else (socket.AF_INET, "0.0.0.0")  # noqa: S104 - as Traefik does
