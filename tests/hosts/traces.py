"""What a session of test hosts shows outside of its hosts, and its removal.

Owns: the names (all carry the owner's process id), the choice of a free network, finding and removing what is left.
Does not own: hosts. A killed session leaves a bridge, firewall rules, control groups and a folder, never a process.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from dev.toolchain.cache import cache_root

__all__ = [
    "PREFIX",
    "HostError",
    "call",
    "claim",
    "free_network",
    "group_roots",
    "name_servers",
    "remove_groups",
    "remove_leftovers",
    "remove_traces",
    "session_folder",
]

PREFIX = "slwt"  # of interfaces (at most 15 characters with a process id of 7), control groups and rule comments
_NETWORKS = ipaddress.IPv4Network("198.18.0.0/15")  # RFC 2544: set apart for tests, so that nobody routes it


class HostError(Exception):
    """A test host, or a command on it, did not do what was asked: what was tried and what it said."""


def call(*argv: str, stdin: str | None = None) -> str:
    """Run `argv` on this machine, return its standard output; HostError when it fails."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise HostError(f"`{' '.join(argv)}` exited {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def session_folder(mark: str) -> Path:
    """The folder of the session `mark` in the cache: disks, keys, consoles."""
    return cache_root() / "testhosts" / mark


def claim(mark: str) -> Path:
    """Make the session's folder and say in it whose it is; the folder."""
    folder = session_folder(mark)
    folder.mkdir(parents=True)
    (folder / "owner").write_text(f"{os.getpid()} {_started(os.getpid())}")
    return folder


def _started(pid: int) -> str:
    """When process `pid` began (clock ticks since the machine's start), as a word; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def group_roots() -> list[Path]:
    """The control group hierarchies of this machine, as mounted."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(mount[1]) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]


def remove_groups(name: str) -> None:
    """Remove the control groups whose name matches `name` (a glob) and those below, once empty; waits up to 2 s."""
    for root in group_roots():
        for top in root.glob(name):
            for _ in range(100):  # a group is busy for a moment after its last process died
                folders = [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
                with contextlib.suppress(OSError):
                    for folder in folders:
                        folder.rmdir()
                if not top.exists():
                    break
                time.sleep(0.02)


def free_network() -> ipaddress.IPv4Network:
    """A /24 of the test range that nothing on this machine has an address in or a route to."""
    routes = json.loads(call("ip", "-json", "-4", "route", "show", "table", "all"))
    taken = [
        ipaddress.IPv4Network(route["dst"])
        for route in routes
        if re.fullmatch(r"[0-9.]+(/[0-9]+)?", route["dst"]) and route["dst"] != "0.0.0.0/0"
    ]
    for network in _NETWORKS.subnets(new_prefix=24):
        if not any(network.overlaps(other) for other in taken):
            return network
    raise HostError(f"every network of {_NETWORKS} is in use on this machine")


def name_servers() -> str:
    """The name servers that this machine asks, as a resolv.conf for somebody else: without those on its loopback."""
    for file in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        lines = file.read_text().splitlines() if file.is_file() else []
        servers = [line for line in lines if re.match(r"nameserver (?!127\.|::1)", line)]
        if servers:
            return "\n".join(servers) + "\n"
    return ""


def remove_traces(mark: str) -> None:
    """Remove what a session named `mark` made outside of its hosts' namespaces. What is not there is no error."""
    _, pid, number = mark.split("-")
    for table in ("filter", "nat"):
        saved = subprocess.run(["iptables-save", "-t", table], capture_output=True, text=True, check=False).stdout
        for line in saved.splitlines():
            if re.search(rf"--comment \"?{re.escape(mark)}\"?(\s|$)", line) and line.startswith("-A "):
                rule = line.replace('"', "").split()
                subprocess.run(["iptables", "-w", "-t", table, "-D", *rule[1:]], capture_output=True, check=False)
    subprocess.run(["ip", "link", "delete", f"{PREFIX}{pid}b{number}"], capture_output=True, check=False)
    remove_groups(f"{mark}-*")
    shutil.rmtree(session_folder(mark), ignore_errors=True)


def remove_leftovers() -> list[str]:
    """Remove the traces of sessions whose owner is dead; their names. Safe while others run."""
    root = cache_root() / "testhosts"
    root.mkdir(exist_ok=True)
    removed = []
    with (root / ".leftovers.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for folder in root.glob(f"{PREFIX}-*-*"):
            try:
                pid, started = (folder / "owner").read_text().split()
            except (OSError, ValueError):
                pid, started = folder.name.split("-")[1], _started(int(folder.name.split("-")[1]))
                if started:  # its owner is just beginning
                    continue
            if _started(int(pid)) != started:
                remove_traces(folder.name)
                removed.append(folder.name)
    return removed
