"""The root file system that test hosts share read-only: a Debian 13 server with SSH and Docker, but no service manager.

Owns: what is installed on a test host and how it comes up. Does not own: a running host (dev/testhosts/hosts.py).
Produces: a folder in the cache, owned by root.
"""

from __future__ import annotations

import fcntl
import shutil
from typing import TYPE_CHECKING

from dev.toolchain.cache import cached
from dev.toolchain.progress import step
from dev.toolchain.stand_ins.rootfs import bootstrap, debian_key

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

__all__ = ["BOOT", "ENTER", "INIT", "ensure_host_rootfs", "hold_host_rootfs"]

_FOLDER = "testhost-rootfs"
INIT = "/usr/local/sbin/testhost-init"
_PACKAGES = (
    *("openssh-server", "sudo", "procps", "iproute2", "iptables", "socat", "python3"),
    *("docker.io", "docker-cli", "docker-compose"),  # the client is only recommended by docker.io on Debian 13
)
_SSHD = """\
# The host key is each host's own. Beside the log one thing differs from Debian's defaults: tests come from one address
# and fail to log in on purpose, for which sshd would stop answering them all.
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
PerSourcePenalties no
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
[ "$TESTHOST_INTERNET" = 0 ] || ip route add default via "$TESTHOST_GATEWAY"
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit  # every look-up of a name is refused, not just one a second
# 127.0.0.1:REGISTRY here is 127.0.0.1:REGISTRY on the machine: one image reference for both, without TLS
echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
iptables -w -t nat -A OUTPUT -d 127.0.0.1 -p tcp --dport "$TESTHOST_REGISTRY" \\
    -j DNAT --to-destination "$TESTHOST_GATEWAY"
iptables -w -t nat -A POSTROUTING -o eth0 -s 127.0.0.1 -j MASQUERADE
mkdir -p /run/sshd
env -i PATH="$PATH" /usr/sbin/sshd -D -E /var/log/sshd.log </dev/null &
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

# Outside, still in the machine's root: into the host's control groups, then into namespaces of its own.
ENTER = """
for group in $TESTHOST_CGROUPS; do echo $$ > "$group/cgroup.procs"; done
exec unshare --mount --net --pid --uts --ipc --cgroup --propagation private --fork --kill-child sh -euc "$1"
"""
# Inside the namespaces, still in the machine's root. Not chroot: under one, `docker exec` ends up in the outer root.
BOOT = r"""
umask 022
hostname "$TESTHOST_NAME"
cd "$TESTHOST_FOLDER"
mount -o loop,noatime disk.img disk
mkdir -p disk/upper disk/work disk/docker
mount -t overlay overlay -o "lowerdir=$TESTHOST_ROOTFS,upperdir=disk/upper,workdir=disk/work" root
mkdir -p root/var/lib/docker
mount --bind disk/docker root/var/lib/docker  # the engine's own overlays cannot lie on an overlay
[ -e disk/prepared ] || cp -a seed/. root/
# A host without a program looks as if its packages had never been installed: no files, no group, not in dpkg's list.
forget() {
    packages=$1
    shift
    rm -f "$@"
    awk -v RS= -v ORS='\n\n' -v packages=" $packages " '!index(packages, " " $2 " ")' \
        root/var/lib/dpkg/status > root/var/lib/dpkg/status.new
    mv root/var/lib/dpkg/status.new root/var/lib/dpkg/status
}
if [ "$TESTHOST_DOCKER" = 0 ] && [ -e root/usr/sbin/dockerd ] && [ ! -e disk/prepared ]; then
    forget "docker.io docker-cli docker-compose containerd runc" root/usr/bin/docker* root/usr/bin/containerd* \
        root/usr/bin/ctr root/usr/sbin/dockerd root/usr/sbin/runc root/usr/libexec/docker/cli-plugins/*
    sed -i '/^docker:/d' root/etc/group root/etc/gshadow
fi
if [ "$TESTHOST_PYTHON" = 0 ] && [ ! -e disk/prepared ]; then
    forget "python3 python3-minimal python3.13 python3.13-minimal" root/usr/bin/python3*
fi
touch disk/prepared
mount -t tmpfs -o mode=755,size=64k tmpfs root/dev
mkdir root/dev/pts root/dev/shm
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 kmsg:1:11 fuse:10:229; do
    name=${node%%:*} numbers=${node#*:}
    mknod -m 666 "root/dev/$name" c "${numbers%:*}" "${numbers#*:}"
done
mount -t devpts -o newinstance,mode=620,ptmxmode=666,gid=5 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "root/dev/${number#*:}"; done
mount -t tmpfs tmpfs root/dev/shm
mount -t sysfs sysfs root/sys
mount -t tmpfs -o mode=755 tmpfs root/run
mount -t tmpfs -o mode=1777 tmpfs root/tmp
groups=$(cat /proc/self/cgroup)
case $groups in *:[a-z]*:*) v1=1; mount -t tmpfs -o mode=755 tmpfs root/sys/fs/cgroup ;; *) v1=0 ;; esac
for line in $groups; do
    kind=$(echo "$line" | cut -d: -f2)
    case $kind in
        '') if [ $v1 = 1 ]; then at=root/sys/fs/cgroup/unified; mkdir "$at"; else at=root/sys/fs/cgroup; fi
            mount -t cgroup2 cgroup2 "$at" ;;
        name=*) at=root/sys/fs/cgroup/${kind#name=}; mkdir "$at"; mount -t cgroup -o "none,$kind" cgroup "$at" ;;
        *) at=root/sys/fs/cgroup/$kind; mkdir "$at"; mount -t cgroup -o "$kind" cgroup "$at" ;;
    esac
done
if [ $v1 = 0 ]; then  # a group with processes of its own cannot hand controllers on: they move into a leaf
    mkdir root/sys/fs/cgroup/init
    echo $$ > root/sys/fs/cgroup/init/cgroup.procs
    sed 's/ / +/g; s/^/+/' root/sys/fs/cgroup/cgroup.controllers > root/sys/fs/cgroup/cgroup.subtree_control || true
fi
cd root
mkdir -p .outside
pivot_root . .outside
mount -t proc proc /proc
[ ! -e /proc/sysrq-trigger ] || mount --bind -o ro /proc/sysrq-trigger /proc/sysrq-trigger
umount -l /.outside
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    TESTHOST_ADDRESS="$TESTHOST_ADDRESS" TESTHOST_GATEWAY="$TESTHOST_GATEWAY" TESTHOST_REGISTRY="$TESTHOST_REGISTRY" \
    TESTHOST_INTERNET="$TESTHOST_INTERNET" chroot . tini -- "$TESTHOST_INIT"
"""


def ensure_host_rootfs() -> Path:
    """The root file system of test hosts: a folder that is only ever mounted read-only, under an overlay.

    An older one stays as long as hosts run on it.

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

    key = debian_key(*_PACKAGES, *commands)
    rootfs = cached(f"{_FOLDER}/{key}", key, make)
    for stamp in rootfs.parent.glob("*.stamp"):
        if stamp.stem != key:
            _remove_unused(stamp.with_suffix(""))
    return rootfs


def _use(rootfs: Path) -> TextIO:
    return rootfs.with_suffix(".use").open("w")


def _remove_unused(rootfs: Path) -> None:
    with _use(rootfs) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        rootfs.with_suffix(".stamp").unlink(missing_ok=True)
        shutil.rmtree(rootfs, ignore_errors=True)


def hold_host_rootfs(rootfs: Path) -> TextIO:
    """Keep `rootfs` from being removed for as long as the returned file is open."""
    handle = _use(rootfs)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle
