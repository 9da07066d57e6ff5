"""A session's test hosts on a bridge of their own.

Owns: the bridge, its network and firewall rules, the key that opens every host, making hosts and removing every trace.
Does not own: one host's life (server.py), the registry whose address hosts share with this machine.
"""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import itertools
import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from traces import PREFIX, HostError, call, claim, free_network, remove_leftovers, remove_traces, session_folder

from dev.testhosts.disk import Plan
from dev.testhosts.server import TestHost
from dev.toolchain.cache import locked
from dev.toolchain.stand_ins.hostfs import ensure_host_rootfs, hold_host_rootfs

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["HostError", "TestHost", "TestHosts", "remove_leftovers", "unavailable"]

GIBIBYTE = 1024**3
_SESSIONS = itertools.count(1)


def unavailable() -> str | None:
    """Why no test host can run on this machine; None when one can."""
    if os.geteuid() != 0:
        return "test hosts need root (namespaces, mounts, a bridge)"
    missing = [name for name in ("ip", "iptables", "unshare", "nsenter", "mkfs.ext4", "ssh") if not shutil.which(name)]
    if missing:
        return f"test hosts need {', '.join(missing)} on this machine"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"this kernel does not let root make namespaces: {tried.stderr.strip()}" if tried.returncode else None


class TestHosts:
    """A session's hosts on a bridge of their own; a context manager that leaves nothing behind.

    Args:
        registry_port: Port on this machine's loopback that each host sees as its own 127.0.0.1:port.
    """

    __test__ = False

    def __init__(self, *, registry_port: int = 5050) -> None:
        reason = unavailable()
        if reason is not None:
            raise HostError(reason)
        self.rootfs = ensure_host_rootfs()
        self._rootfs_in_use = hold_host_rootfs(self.rootfs)
        self.registry_port = registry_port
        number = next(_SESSIONS)
        self.mark = f"{PREFIX}-{os.getpid()}-{number}"
        self.bridge = f"{PREFIX}{os.getpid()}b{number}"
        self.folder = session_folder(self.mark)
        self.key_file = self.folder / "key"
        self.gateway = ""
        self._hosts: list[TestHost] = []
        self._lock = threading.Lock()
        self._made = self._addresses = 0
        remove_leftovers()
        atexit.register(self.close)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        claim(self.mark)
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway test hosts", "-f", str(self.key_file))
        with locked("testhosts"):  # two sessions must not choose the same network
            network = free_network()
            self.gateway = str(next(network.hosts()))
            call("ip", "link", "add", self.bridge, "type", "bridge")
            call("ip", "address", "add", f"{self.gateway}/{network.prefixlen}", "dev", self.bridge)
            call("ip", "link", "set", self.bridge, "up")
        Path(f"/proc/sys/net/ipv4/conf/{self.bridge}/route_localnet").write_text("1")
        for table, chain, *rule in (
            # the engine drops what it does not know in FORWARD, and bridged packets pass there
            ("filter", "FORWARD", "-i", self.bridge, "-j", "ACCEPT"),
            (
                "filter",
                "FORWARD",
                "-o",
                self.bridge,
                "-m",
                "conntrack",
                "--ctstate",
                "ESTABLISHED,RELATED",
                "-j",
                "ACCEPT",
            ),
            ("filter", "INPUT", "-i", self.bridge, "-j", "ACCEPT"),
            # only hosts with a default route, that is with `internet`, ever send such packets
            ("nat", "POSTROUTING", "-s", str(network), "!", "-o", self.bridge, "-j", "MASQUERADE"),
            (
                *("nat", "PREROUTING", "-i", self.bridge, "-d", self.gateway, "-p", "tcp"),
                *("--dport", str(self.registry_port), "-j", "DNAT", "--to-destination", "127.0.0.1"),
            ),
        ):
            call("iptables", "-w", "-t", table, "-I", chain, "1", *rule, "-m", "comment", "--comment", self.mark)

    def create(
        self,
        name: str | None = None,
        *,
        docker: bool = True,
        python: bool = True,
        internet: bool = False,
        disk_bytes: int = 8 * GIBIBYTE,
        address: str = "",
    ) -> TestHost:
        """Make a host and boot it; safe from several threads at once.

        Args:
            name: Its host name; host1, host2, … without one.
            docker: Whether it has a Docker engine.
            python: Whether it has Python.
            internet: Whether it reaches more than this machine and the other hosts, such as package servers.
            disk_bytes: Size of its whole disk (sparse on this machine).
            address: Where it is reached, of `free_address`; an own one without.
        """
        with self._lock:
            self._made += 1
            number = self._made
        network = ipaddress.ip_interface(f"{self.gateway}/24").network
        plan = Plan(
            name=name or f"host{number}",
            address=address or str(network.network_address + 10 + number),
            number=number,
            docker=docker,
            python=python,
            internet=internet,
            disk_bytes=disk_bytes,
        )
        host = TestHost(self, plan)
        with self._lock:
            self._hosts.append(host)
        try:
            host.boot()
        except BaseException:
            host.remove()
            raise
        return host

    def free_address(self) -> str:
        """An address that no host of this session has, or is given by `create`."""
        network = ipaddress.ip_interface(f"{self.gateway}/24").network
        with self._lock:
            self._addresses += 1
            return str(network.broadcast_address - self._addresses)

    def create_many(self, count: int) -> list[TestHost]:
        """Make `count` hosts with everything on them, booting side by side."""
        with ThreadPoolExecutor(max_workers=count) as pool:
            return list(pool.map(lambda _: self.create(), range(count)))

    def forget(self, host: TestHost) -> None:
        """Called by a host that was removed."""
        with self._lock:
            if host in self._hosts:
                self._hosts.remove(host)

    def close(self) -> None:
        """Remove the hosts and every trace of them; again is allowed."""
        atexit.unregister(self.close)
        with contextlib.ExitStack() as rest:  # whatever one of them raises, the others are done, last to first
            rest.callback(self._rootfs_in_use.close)
            rest.callback(remove_traces, self.mark)
            for host in list(self._hosts):
                rest.callback(host.remove)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
