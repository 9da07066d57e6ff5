"""The system below Docker: its packages and their fixes, reboots, and what keeps it from filling up or drifting."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from slipway.hosts.preparation.item import Item, file_check, file_put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.hosts.preparation.item import Wanted

__all__ = ["clock", "drain", "journal", "packages", "swap", "system", "upgrades", "volumes"]

_SYSTEMS = ("debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04")
_PACKAGES = "ca-certificates logrotate nftables python3 unattended-upgrades"
_UPGRADES = "/etc/apt/apt.conf.d/52slipway"  # after 50unattended-upgrades, whose values it replaces
_DRAIN = "/etc/systemd/system/slipway-drain.service"
_EDGE = "dev.slipway.edge.number"  # the label of the edge's containers
# Only when the host itself stops: Docker alone may be restarted, and the edge goes on.
_STOP = (
    "! systemctl is-system-running | grep -q stopping || "
    f"docker ps -q --filter label={_EDGE} | xargs -r docker stop --time 60"
)
_SERVICE = f"""\
[Unit]
Description=Let the edge finish its requests before this host stops
After=docker.service network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c '{_STOP}'
TimeoutStopSec=90

[Install]
WantedBy=multi-user.target
"""
_JOURNAL = "/etc/systemd/journald.conf.d/slipway.conf"
_JOURNAL_LIMIT = "[Journal]\nSystemMaxUse=500M\n"


def system() -> Item:
    """Which systems can be prepared."""
    names = "|".join(_SYSTEMS)
    check = f'case $system in {names}) ok "$system" ;; *) differs "${{system:-no /etc/os-release}}" ;; esac'
    apply = 'fail "only Debian 12 and 13 and Ubuntu 22.04 and 24.04 can be prepared, and this is ${system:-another}"'
    why = "packages, their names and their settings differ; on others, prepare the host by hand"
    return Item(id="system", title="Debian or Ubuntu", why=why, check=check, apply=apply)


def packages() -> Item:
    """What all else needs."""
    check = f'for each in {_PACKAGES}; do if installed $each; then ok $each; else differs "no $each"; fi; done'
    why = "the agent is written in Python; the others are what the lines below set up"
    return Item(id="packages", title="packages", why=why, check=check, apply=f"install_packages {_PACKAGES}")


def upgrades(wanted: Wanted) -> Item:
    """Security fixes by themselves, and the reboot that some need."""
    settings = {
        "APT::Periodic::Update-Package-Lists": "1",
        "APT::Periodic::Unattended-Upgrade": "1",
        "Unattended-Upgrade::Automatic-Reboot": "true",
        "Unattended-Upgrade::Automatic-Reboot-WithUsers": "true",
    }
    asked = " ".join(shlex.quote(f'{name} "{value}";') for name, value in settings.items())
    check = f"""
now=$(apt-config dump 2> /dev/null)
for line in {asked}; do
    printf '%s\\n' "$now" | grep -qxF -- "$line" || differs "apt lacks ${{line##*::}}"
done
at=$(printf '%s\\n' "$now" | sed -n 's/^Unattended-Upgrade::Automatic-Reboot-Time "\\(.*\\)";/\\1/p')
ok "by themselves; reboots, if one is needed, at ${{at:-once}}"
"""
    lines = {**settings, "Unattended-Upgrade::Automatic-Reboot-Time": wanted.reboot_at}
    lines["Unattended-Upgrade::Origins-Pattern::"] = "origin=Docker"  # the distribution's own are there already
    content = "".join(f'{name} "{value}";\n' for name, value in lines.items())
    why = "most break-ins use a hole that has been fixed for months; a new kernel counts only after a reboot"
    apply = file_put(_UPGRADES, content)
    return Item(id="upgrades", title="upgrades and reboots", why=why, check=check, apply=apply)


def drain() -> Item:
    """Requests in flight are answered before a reboot."""
    return Item(
        id="drain",
        title="drain before a reboot",
        why="systemd ends containers in any order, and requests in flight with them; the edge, which comes back by "
        "itself, is to finish its own first",
        check=f"{file_check(_DRAIN, _SERVICE)}active slipway-drain.service",
        apply=f"{file_put(_DRAIN, _SERVICE)}enable slipway-drain.service",
        systemd=True,
    )


def swap(wanted: Wanted) -> Item:
    """Room for what is rarely used."""
    check = """
size=$(awk 'NR > 1 { sum += $3 } END { print int(sum / 1024) }' /proc/swaps)
if [ "$size" -gt 0 ]; then ok "$size MiB"; else differs "there is none"; fi
"""
    apply = f"""
fallocate -l {wanted.swap_mb}M /swapfile
chmod 600 /swapfile
mkswap /swapfile > /dev/null
grep -q '^/swapfile ' /etc/fstab || echo '/swapfile none swap sw 0 0' >> /etc/fstab
swapon /swapfile
echo 'vm.swappiness = 10' > /etc/sysctl.d/60-slipway.conf
sysctl -q -p /etc/sysctl.d/60-slipway.conf
"""
    why = "without any, the kernel kills a process as soon as memory is short for a moment"
    return Item(id="swap", title="swap", why=why, check=check, apply=apply, systemd=True)


def journal() -> Item:
    """A bound for the system's log."""
    return Item(
        id="journal",
        title="journal of 500 MB",
        why="it takes up to 4 GB otherwise, of a disk that databases share",
        check=file_check(_JOURNAL, _JOURNAL_LIMIT),
        apply=f"{file_put(_JOURNAL, _JOURNAL_LIMIT)}systemctl restart systemd-journald",
        systemd=True,
    )


def clock() -> Item:
    """The right time."""
    check = """
if [ "$(timedatectl show -p NTP --value 2> /dev/null)" = yes ]; then ok "set by the network"
else differs "nothing sets it"; fi
"""
    apply = """
has chronyd || has ntpd || install_packages systemd-timesyncd
timedatectl set-ntp true
"""
    why = "certificates are refused and logs of several hosts are out of order when clocks are wrong"
    return Item(id="clock", title="clock", why=why, check=check, apply=apply, systemd=True)


def volumes(wanted: Wanted) -> Iterator[Item]:
    """Data volumes, mounted by the host itself, also after a rebuild. One without a file system gets one, once.

    Docker waits for them: a container that starts before its volume is mounted begins with an empty folder below it.
    """
    for number, (device, path) in enumerate(sorted(wanted.volumes.items()), 1):
        where, what = shlex.quote(path), shlex.quote(device)
        waits = f"/etc/systemd/system/docker.service.d/slipway-volume-{number}.conf"
        unit = f'[Unit]\nRequiresMountsFor="{path}"\n'
        check = f"""
there=$(findmnt -n -o SOURCE --mountpoint {where})
if [ "$there" ] && {f'[ "$there" = "$(readlink -f {what})" ]' if device else ":"}; then ok {where}
else differs "nothing, or something else, is mounted at "{where}; fi
{file_check(waits, unit)}"""
        first = f"""
for _ in $(seq 150); do [ -e {what} ] && break; sleep 2; done  # a new server gets it a moment later
[ -e {what} ] || fail {what}" is not attached to this machine"
blkid {what} > /dev/null || {{
    [ "$(blkid -p {what}; echo $?)" = 2 ] || fail {what}" has something on it that is no file system; it stays as it is"
    mkfs.ext4 -q {what}
}}
mkdir -p {where}
grep -qF -- {what}' ' /etc/fstab || echo {what}' '{where}' auto defaults,nofail,discard 0 2' >> /etc/fstab
"""
        apply = f"""{first if device else ""}
{file_put(waits, unit)}
! systemd || systemctl daemon-reload
mountpoint -q {where} || mount {where}
"""
        why = "data that is on a volume outlives the machine; what is written below an empty mount point does not"
        yield Item(id=f"volume-{number}", title=f"volume at {path}", why=why, check=check, apply=apply, root=True)
