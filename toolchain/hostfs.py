"""The root file system that test hosts share read-only: a Debian 13 server with SSH and Docker, but no service manager.

Owns: what is installed on a test host and how it comes up. Does not own: a running host (tests/hosts/testhost.py).
Produces: a folder in the cache, owned by root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolchain.cache import cached
from toolchain.progress import step
from toolchain.rootfs import bootstrap, debian_key

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["INIT", "ensure_host_rootfs"]

INIT = "/usr/local/sbin/testhost-init"
_PACKAGES = (
    *("openssh-server", "sudo", "procps", "iproute2", "iptables", "socat", "python3"),
    *("docker.io", "docker-cli", "docker-compose"),  # the client is only recommended by docker.io on Debian 13
)
_SSHD = """\
# the host key is each host's own; nothing else differs from Debian's defaults but the log
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
"""
# Ends when its standard input does, that is, when the process that owns the host dies in whatever way: then process 1
# (tini) ends, and the kernel ends everything else in the PID namespace.
_INIT = """\
#!/bin/sh
set -eu
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip address add "$TESTHOST_ADDRESS/24" dev eth0
ip link set eth0 up
# 127.0.0.1:REGISTRY here is 127.0.0.1:REGISTRY on the machine: one image reference for both, without TLS
echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
iptables -w -t nat -A OUTPUT -d 127.0.0.1 -p tcp --dport "$TESTHOST_REGISTRY" -j DNAT --to-destination "$TESTHOST_GATEWAY"
iptables -w -t nat -A POSTROUTING -o eth0 -s 127.0.0.1 -j MASQUERADE
mkdir -p /run/sshd
env -u TESTHOST_ADDRESS -u TESTHOST_GATEWAY -u TESTHOST_REGISTRY /usr/sbin/sshd -D -E /var/log/sshd.log </dev/null &
[ ! -x /usr/sbin/dockerd ] || testhost-dockerd
cat >/dev/null
"""
_DOCKERD = """\
#!/bin/sh
# Starts the engine, detached. PATH as a service manager would give it.
exec setsid env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \\
    sh -c 'exec dockerd </dev/null >>/var/log/dockerd.log 2>&1 &'
"""
_COMMANDS = (
    "rm -f /etc/ssh/ssh_host_*",
    "useradd --create-home --uid 1000 --shell /bin/bash --groups docker deploy",
    "install -d -m 700 -o deploy -g deploy /home/deploy/.ssh && install -d -m 700 /root/.ssh",
)


def ensure_host_rootfs() -> Path:
    """The root file system of test hosts: a folder that is only ever mounted read-only, under an overlay.

    Raises:
        ToolchainError: not root, or packages cannot be fetched.
    """
    files = {
        INIT: (_INIT, "755"),
        "/usr/local/sbin/testhost-dockerd": (_DOCKERD, "755"),
        "/etc/ssh/sshd_config.d/testhost.conf": (_SSHD, "644"),
    }
    writes = [
        f"cat > {path} <<'END_OF_FILE'\n{content}END_OF_FILE\nchmod {mode} {path}"
        for path, (content, mode) in files.items()
    ]
    commands = [*_COMMANDS, *writes]

    def make(folder: Path) -> None:
        with step("making the root file system of test hosts", "tests deploy to real servers with SSH and Docker"):
            bootstrap(folder, include=_PACKAGES, commands=commands)

    return cached("testhost-rootfs", debian_key(*_PACKAGES, *commands), make)
