"""Test hosts as the servers of the emulated Hetzner Cloud: created there, started here, reached at their address.

Owns: a host per server, its volumes (images on this machine that outlive it), its keys and its user data as files.
Does not own: what cloud-init makes of user data (`born`). Not as at Hetzner: a volume is in `/dev` a moment after the
engine has started, not before it; so is its firewall; a private address is a second one of the same network card.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from traces import call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from hetzner_attachments import Machine

    from dev.testhosts.hosts import TestHosts
    from dev.testhosts.server import TestHost

__all__ = ["HostMachines"]

SEED = "/var/lib/cloud/seed/nocloud"
_DEVICE = "/dev/disk/by-id/scsi-0HC_Volume_{}"
_GIGABYTE = 1000**3


class HostMachines:
    """A context manager: the hosts, and what is on their volumes, end with it.

    Args:
        hosts: Makes them.
        born: Does what a new server does with its user data, given as text; the files lie in `SEED` by then.
        docker: Whether the image that every server is made from has an engine.
        internet: Whether servers reach package servers.
    """

    def __init__(
        self,
        hosts: TestHosts,
        born: Callable[[TestHost, str], object] = lambda *_: None,
        *,
        docker: bool = True,
        internet: bool = False,
    ) -> None:
        self._hosts, self._born = hosts, born
        self._given = {"docker": docker, "internet": internet}
        self._volumes: dict[int, dict[int, str]] = {}
        self._wanted: dict[str, list[dict[str, Any]] | None] = {}
        self._rules: dict[str, list[list[str]]] = {}
        self._lock = threading.Lock()
        self._folder = hosts.folder / f"volumes-{id(self)}"
        self.running: dict[int, TestHost] = {}
        """Server → its host."""

    def address(self) -> str:
        return self._hosts.free_address()

    def create(self, machine: Machine) -> None:
        self.remove(machine.server)
        host = self._hosts.create(machine.name, address=machine.address, **self._given)
        with self._lock:  # the harness waits for sshd: only now may the firewall keep it out
            self.running[machine.server] = host
            self._filter(machine.address, self._wanted.get(machine.address))
        host.inside(["userdel", "--remove", "deploy"], check=False)  # whoever logs in there is made by user data
        with host.path("/root/.ssh/authorized_keys").open("a") as file:
            file.writelines(f"{key}\n" for key in machine.keys)
        host.inside(["mkdir", "-p", SEED])
        host.path(f"{SEED}/user-data").write_text(machine.user_data)
        host.path(f"{SEED}/meta-data").write_text(f"instance-id: {machine.server}\nlocal-hostname: {machine.name}\n")
        for volume, size, file_system in machine.volumes:
            self.attach(machine.server, volume, size, file_system)
        for address in machine.private:
            self.join(machine.server, address)
        self._born(host, machine.user_data)

    def power(self, server: int, *, on: bool) -> None:
        host = self.running[server]
        if not on:
            host.power_cut()
        elif not host.running:
            with self._lock:
                self._filter(host.address, None)
            host.boot()
            with self._lock:
                self._filter(host.address, self._wanted.get(host.address))
            for volume, device in self._volumes.get(server, {}).items():
                self._show(host, volume, device)
            host.inside(["mount", "--all"], check=False)  # as a boot does, each for itself

    def remove(self, server: int) -> None:
        with self._lock:
            host = self.running.pop(server, None)
        if host:
            host.remove()
        for volume in list(self._volumes.get(server, ())):
            self.detach(server, volume)

    def join(self, server: int, address: str) -> None:
        """Give it a private address, as ADDRESS/PREFIX."""
        if server in self.running:
            self.running[server].inside(["ip", "address", "replace", address, "dev", "eth0"])

    def guard(self, address: str, rules: list[dict[str, Any]] | None) -> None:
        """The firewall before the machine, as at Hetzner: on this machine, where none of the host's own rules count."""
        with self._lock:
            self._wanted[address] = rules
            there = any(host.address == address and host.running for host in self.running.values())
            self._filter(address, rules if there else None)

    def _filter(self, address: str, rules: list[dict[str, Any]] | None) -> None:
        for rule in self._rules.pop(address, ()):
            call("iptables", "-w", "-D", *rule)
        if rules is None:
            return
        known = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"]
        allowed = [part for rule in rules for part in _accepting(rule)]
        mark = ["-m", "comment", "--comment", self._hosts.mark]
        self._rules[address] = [
            [chain, "-d", address, *part, *mark]
            for chain in ("FORWARD", "OUTPUT")
            for part in (["-j", "DROP"], *allowed, known)  # each is put before the one before it
        ]
        for rule in self._rules[address]:
            call("iptables", "-w", "-I", rule[0], "1", *rule[1:])

    def attach(self, server: int, volume: int, size: int, file_system: str) -> None:
        if server not in self.running:  # it gets it at birth
            return
        self._folder.mkdir(exist_ok=True)
        image = self._image(volume)
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(size * _GIGABYTE)
            if file_system:
                call(f"mkfs.{file_system}", "-q", str(image))
        device = call("losetup", "--find", "--show", str(image)).strip()
        with self._lock:
            self._volumes.setdefault(server, {})[volume] = device
        self._show(self.running[server], volume, device)

    def detach(self, server: int, volume: int) -> None:
        device = self._volumes.get(server, {}).pop(volume, None)
        host = self.running.get(server)
        if host and host.running:
            host.inside(["sh", "-c", f"umount --lazy {_node(volume)}; rm -f {_node(volume)} {_DEVICE.format(volume)}"])
        if device:
            call("losetup", "--detach", device)

    def drop_volume(self, volume: int) -> None:
        self._image(volume).unlink(missing_ok=True)

    def _image(self, volume: int) -> Path:
        return self._folder / f"{volume}.img"

    @staticmethod
    def _show(host: TestHost, volume: int, device: str) -> None:
        """Make the volume a device of the host, under the name that Hetzner gives it."""
        number = subprocess.run(["stat", "-c", "%t %T", device], capture_output=True, text=True, check=True).stdout
        major, minor = (str(int(part, 16)) for part in number.split())
        link, node = _DEVICE.format(volume), _node(volume)
        host.inside(
            ["sh", "-c", f"mkdir -p {link.rpartition('/')[0]}; mknod {node} b {major} {minor}; ln -s {node} {link}"]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as rest:
            rest.callback(shutil.rmtree, self._folder, ignore_errors=True)
            for address in list(self._rules):
                rest.callback(self.guard, address, None)
            for server in list(self.running):
                rest.callback(self.remove, server)


def _accepting(rule: dict[str, Any]) -> list[list[str]]:
    """One of Hetzner's rules as the ends of rules of iptables, IPv4 alone."""
    port = {"any": "1:65535"}.get(rule["port"] or "", (rule["port"] or "").replace("-", ":"))
    ports = ["--dport", port] if port else []
    sources = [each for each in rule["source_ips"] if ":" not in each]
    return [["-p", rule["protocol"], *ports, "-s", source, "-j", "ACCEPT"] for source in sources]


def _node(volume: int) -> str:
    return f"/dev/volume{volume}"
