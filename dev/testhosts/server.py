"""One test host: a real server on this machine, with its own address, disk, processes, sshd and Docker engine.

Owns: switching it on and off, reaching it, breaking and fixing it. Does not own: its disk (disk.py), what is installed
on it (dev/toolchain/stand_ins/hostfs.py), the bridge it hangs on (hosts.py).

A host is a set of namespaces around one process tree. Its whole disk is one ext4 image with an overlay over the shared
root file system in it, mounted only inside, so that no mount ever shows outside and the disk survives a power cut.
The tree ends when the pipe from the owner's process closes: a killed owner leaves no process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from traces import PREFIX, HostError, call, group_roots, remove_groups

from dev.testhosts.disk import in_use, make_disk
from dev.toolchain.stand_ins.hostfs import BOOT, ENTER, INIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from dev.testhosts.disk import Plan

__all__ = ["Session", "TestHost"]

_BOOT_SECONDS = 60  # 2 on an idle machine
_CABLES = itertools.count(1)  # across the sessions of this process
_BALLAST = "/.testhost-ballast"
# What runs on a host counts as the host's, and sees itself at the root of its control groups, however it got there.
_JOIN = """
count=$1
shift
while [ "$count" -gt 0 ]; do
    echo $$ > "$1/cgroup.procs"
    shift
    count=$((count - 1))
done
exec "$@"
"""


def _wait(what: str, seconds: float, ready: Callable[[], bool]) -> None:
    """Ask `ready` every 20 ms until it says True."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise HostError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


class Session(Protocol):
    """What a host needs to know of the session that it belongs to."""

    mark: str
    folder: Path
    rootfs: Path
    bridge: str
    gateway: str
    key_file: Path
    registry_port: int

    def forget(self, host: TestHost) -> None:
        """Told by a host that was removed."""


class TestHost:
    """One server. Made by `TestHosts.create`; ends with it, or with `remove()`, or as a context manager."""

    __test__ = False  # not a test case, whatever its name begins with

    def __init__(self, owner: Session, plan: Plan) -> None:
        self.name = plan.name
        self.address = plan.address
        self.port = 22
        self.user = "deploy"
        self.key_file = owner.key_file
        self.registry = f"127.0.0.1:{owner.registry_port}"
        self._plan = plan
        self._owner, self.rootfs = owner, owner.rootfs
        self._folder = owner.folder / plan.name
        self._veth = f"{PREFIX}{os.getpid()}v{next(_CABLES)}"
        self._groups = f"{owner.mark}-{plan.number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0
        self.host_key = make_disk(self._folder, plan, self.key_file.with_suffix(".pub"), self.registry)
        """The server's public key as `ssh-ed25519 AAAA…`, without a comment."""
        self.known_hosts = self._folder / "known_hosts"
        self.known_hosts.write_text(f"{self.address} {self.host_key}\n")

    @property
    def running(self) -> bool:
        """Whether its process tree exists."""
        return self._process is not None and self._process.poll() is None

    def boot(self) -> None:
        """Switch it on, from the disk as it is; returns when sshd (and the engine, if it has one) answer.

        Raises:
            HostError: it did not come up within a minute, with the last lines of its console and engine log.
        """
        if self.running:
            raise HostError(f"{self.name} is already running")
        groups = self._group_folders()
        for group in groups:
            group.mkdir(exist_ok=True)
            for setting in ("cpuset.mems", "cpuset.cpus"):  # a cpuset of version 1 begins empty and takes no process so
                if (group / setting).is_file() and not (group / setting).read_text().strip():
                    (group / setting).write_text((group.parent / setting).read_text())
        environment = {
            "TESTHOST_CGROUPS": " ".join(str(group) for group in groups),
            "TESTHOST_FOLDER": str(self._folder),
            "TESTHOST_ROOTFS": str(self._owner.rootfs),
            "TESTHOST_NAME": self.name,
            "TESTHOST_ADDRESS": self.address,
            "TESTHOST_GATEWAY": self._owner.gateway,
            "TESTHOST_REGISTRY": str(self._owner.registry_port),
            "TESTHOST_DOCKER": str(int(self._plan.docker)),
            "TESTHOST_PYTHON": str(int(self._plan.python)),
            "TESTHOST_INTERNET": str(int(self._plan.internet)),
            "TESTHOST_INIT": INIT,
        }
        before = Path("/proc/self/ns/cgroup").stat().st_ino
        with (self._folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                ["sh", "-euc", ENTER, "enter", BOOT],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,  # its closing is the host's end: see the module's docstring
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        try:
            _wait("entering the namespaces", _BOOT_SECONDS, lambda: self._entered(before))
            self._init = self._first_process()
            self._plug_in()
            _wait("an answer of sshd", _BOOT_SECONDS, lambda: self._checked(self._ssh_answers()))
            if self._plan.docker:
                _wait("an answer of the engine", _BOOT_SECONDS, lambda: self._checked(self.docker_answers()))
        except BaseException as error:
            console_text = (self._folder / "console.log").read_text(errors="replace")[-2000:]
            engine, sshd = self._log("dockerd.log")[-2000:], self.sshd_log()[-2000:]
            self.power_cut()
            if isinstance(error, HostError):
                logs = f"console:\n{console_text}\nengine:\n{engine}\nsshd:\n{sshd}"
                raise HostError(f"{self.name}: {error}\n{logs}") from error
            raise

    def _group_folders(self) -> list[Path]:
        return [root / self._groups for root in group_roots()]

    def _checked(self, answer: bool) -> bool:  # noqa: FBT001 — handed straight through
        if not self.running:
            raise HostError("its first process ended")
        return answer

    def _entered(self, before: int) -> bool:
        """Whether `unshare` has made the namespaces (the last of which is the control groups') and its child."""
        process = self._process
        if process is None or process.poll() is not None:
            raise HostError("its first process ended")
        with contextlib.suppress(OSError):
            return Path(f"/proc/{process.pid}/ns/cgroup").stat().st_ino != before and self._first_process() != 0
        return False

    def _first_process(self) -> int:
        """Process 1 of the host, as the machine numbers it; 0 before it exists."""
        if self._process is None:
            return 0
        pid = self._process.pid
        return int((Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or ["0"])[0])

    def _plug_in(self) -> None:
        # A server keeps its hardware address over a power cut; with another one, neighbours would for half a minute
        # send to the old one, which they remember.
        card = ":".join(["02", "00", *(f"{int(part):02x}" for part in self.address.split("."))])
        peer = ["peer", "name", "eth0", "address", card, "netns", str(self._init)]
        call("ip", "link", "add", self._veth, "type", "veth", *peer)
        call("ip", "link", "set", self._veth, "master", self._owner.bridge, "up")

    def _ssh_answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
        return False

    def docker_answers(self) -> bool:
        """Whether the engine inside answers a ping on its socket within a second."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(f"/proc/{self._init}/root/run/docker.sock")
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in connection.recv(64)
        return False

    def run(self, command: str, *, user: str | None = None, stdin: str | None = None, seconds: float = 60) -> str:
        """Run a shell `command` over SSH (as deploy unless `user` says otherwise), return its standard output.

        Raises:
            HostError: it exited non-zero or outlived `seconds`; with its standard error.
        """
        try:
            done = subprocess.run(
                [*self.ssh(user), command], input=stdin, capture_output=True, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{self.name}: `{command}` did not end within {seconds:.0f} s") from error
        if done.returncode != 0:
            raise HostError(f"{self.name}: `{command}` exited {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def ssh(self, user: str | None = None) -> list[str]:
        """The ssh command line that reaches it with its key pinned; append the remote command."""
        options = {
            "UserKnownHostsFile": str(self.known_hosts),
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "LogLevel": "ERROR",
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "none", *flags, "-i", str(self.key_file), f"{user or self.user}@{self.address}"]

    def inside(self, argv: Sequence[str], *, stdin: str | None = None, seconds: float = 60, check: bool = True) -> str:
        """Run `argv` on it as root without SSH (nsenter), return its standard output.

        Raises:
            HostError: it exited non-zero and `check` is set, or it outlived `seconds`.
        """
        if not self.running:
            raise HostError(f"{self.name} is switched off")
        groups = [group / "init" if (group / "init").is_dir() else group for group in self._group_folders()]
        join = ["sh", "-euc", _JOIN, "join", str(len(groups)), *map(str, groups)]
        enter = ["nsenter", "--target", str(self._init), "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        try:
            done = subprocess.run(
                [*join, *enter, "--root", "--wd", "env", "-i", path, "HOME=/root", *argv],
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{self.name}: {argv[0]} did not end within {seconds:.0f} s") from error
        if check and done.returncode != 0:
            raise HostError(f"{self.name}: `{' '.join(argv)}` exited {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def path(self, absolute: str) -> Path:
        """A file of the running host, as this machine sees it (do not follow absolute links through it)."""
        return Path(f"/proc/{self._init}/root") / absolute.lstrip("/")

    def _log(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return self.path(f"/var/log/{name}").read_text(errors="replace")
        return ""

    def sshd_log(self) -> str:
        """Everything sshd has logged (level VERBOSE) since the host was made."""
        return self._log("sshd.log")

    def dockerd_log(self) -> str:
        """Everything the engine has logged since the host was made."""
        return self._log("dockerd.log")

    def connections(self) -> int:
        """How many SSH connections were authenticated since the host was made."""
        return len(re.findall(r"^Accepted \S+ for ", self.sshd_log(), flags=re.MULTILINE))

    def kill_dockerd(self) -> None:
        """Kill the engine (SIGKILL), not its containers: what a crash of it looks like."""
        self.inside(["pkill", "-KILL", "-x", "dockerd"])  # in the host's PID namespace: no other dockerd is in reach
        _wait("the end of the engine", 10, lambda: not self.docker_answers())

    def start_dockerd(self) -> None:
        """Start the engine and wait until it answers."""
        self.inside(["testhost-dockerd"])
        _wait("an answer of the engine", _BOOT_SECONDS, self.docker_answers)

    def power_cut(self) -> None:
        """End every process at once, nobody warned. The disk stays; `boot()` switches it on again."""
        process, self._process = self._process, None
        if process is None:
            return
        first, self._init = self._init or process.pid, 0
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)  # the kernel ends a PID namespace with its first process
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        # the kernel takes its time with a dead namespace's cable: the next boot must not find it
        subprocess.run(["ip", "link", "delete", self._veth], capture_output=True, check=False)
        _wait("letting go of the disk", 10, lambda: not in_use(self._folder))
        remove_groups(self._groups)

    def fill_disk(self, leave_bytes: int = 0) -> None:
        """Leave about `leave_bytes` free on its disk; images, containers, home folders and logs share it."""
        self.free_disk()
        disk = os.statvfs(self.path("/var/lib/docker"))
        size = disk.f_bavail * disk.f_frsize - leave_bytes
        if size > 0:
            # what fallocate cannot get in one piece (block maps take space too) is written by hand
            slack = 0 if leave_bytes else 64 << 20
            by_hand = f"dd if=/dev/zero of={_BALLAST} bs=1M count={size >> 20}"
            rest = "" if leave_bytes else f"; cat /dev/zero >> {_BALLAST}"
            fill = f"fallocate -l {max(size - slack, 1)} {_BALLAST} || {by_hand}{rest}"
            self.inside(["sh", "-c", f"({fill}) 2>/dev/null || true"], seconds=300)

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        self.inside(["rm", "-f", _BALLAST])

    def cut_network(self) -> None:
        """Pull its network cable; its own interface and addresses stay."""
        call("ip", "link", "set", self._veth, "down")

    def fix_network(self) -> None:
        """Put the cable back."""
        call("ip", "link", "set", self._veth, "up")

    def remove(self) -> None:
        """Switch it off and remove its disk; again is allowed."""
        self.power_cut()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._owner.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
