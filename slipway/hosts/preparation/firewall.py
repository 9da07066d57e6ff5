"""What is reached from outside: SSH, the edge's ports and nothing else, also where Docker publishes a port.

Docker writes rules of its own, which come before those of ufw. A table of nftables beside them has the last word all
the same: whatever one table drops stays dropped, and nothing that Docker flushes or adds touches this one.
"""

from __future__ import annotations

from ipaddress import collapse_addresses, ip_network
from typing import TYPE_CHECKING, Any

from slipway.hosts.preparation.item import Item, file_check, file_put

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slipway.hosts.preparation.item import Wanted

__all__ = ["firewall"]

_RULES, _OPEN = "/etc/slipway/firewall.nft", "/etc/slipway/open.nft"
_UNIT = "/etc/systemd/system/slipway-firewall.service"
_CONTAINERS = '{ "docker0", "docker_gwbridge", "br-*" }'  # how Docker names its bridges

# `original proto-dst` is the port that was asked for, whatever it is translated to: by Docker for a published port, or
# by the edge while it is replaced.
_TABLE = f"""\
# Written by Slipway, and overwritten. What is open is in {_OPEN}, which is yours.
include "{_OPEN}"
table inet slipway
delete table inet slipway
table inet slipway {{
    chain outside {{
        ip saddr $private_4 accept
        ip6 saddr $private_6 accept
        meta l4proto tcp ct original proto-dst $ports accept
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname "lo" accept
        iifname {_CONTAINERS} accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        udp dport {{ 68, 546 }} accept
        ip saddr $ssh_from_4 tcp dport $ssh_port accept
        ip6 saddr $ssh_from_6 tcp dport $ssh_port accept
        jump outside
    }}
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        ip daddr 169.254.169.254 reject
        ct state established,related accept
        iifname {_CONTAINERS} accept
        ct status dnat jump outside
        ct status dnat drop
        oifname {_CONTAINERS} drop
    }}
}}
"""
_SERVICE = f"""\
[Unit]
Description=What Slipway leaves open to the network
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target docker.service shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {_RULES}
ExecReload=/usr/sbin/nft -f {_RULES}

[Install]
WantedBy=sysinit.target
"""
_ENTRY = f"""has_entry() {{ sed -n "s/^define $1 = //p" {_OPEN} | grep -qwF -- "$2"; }}\n"""
_RELOAD = f"if [ -e {_RULES} ]; then nft -f {_RULES}; else nft delete table inet slipway; fi"


def _set(networks: Sequence[str], version: int) -> str:
    parsed: list[Any] = [each for each in map(ip_network, networks) if each.version == version]
    # nftables has no empty set, and from its own loopback address nobody comes in.
    return ", ".join(map(str, collapse_addresses(parsed))) or ("127.0.0.1" if version == 4 else "::1")  # noqa: PLR2004  # of IP


def _open(wanted: Wanted) -> str:
    ssh_from = wanted.ssh_from or ("0.0.0.0/0", "::/0")
    return f"""\
# What may reach this host: yours to change. Then: sudo nft -f {_RULES}
define ssh_port = {{ {wanted.ssh_port} }}
define ssh_from_4 = {{ {_set(ssh_from, 4)} }}
define ssh_from_6 = {{ {_set(ssh_from, 6)} }}
define ports = {{ {", ".join(map(str, sorted(set(wanted.ports))))} }}
define private_4 = {{ {_set(wanted.private, 4)} }}
define private_6 = {{ {_set(wanted.private, 6)} }}
"""


def _asked(wanted: Wanted) -> Iterator[tuple[str, str]]:
    """What must be open besides what somebody has opened: name of a set, and an entry of it."""
    yield from (("ports", str(port)) for port in sorted(set(wanted.ports)))
    yield from ((f"private_{6 if ':' in each else 4}", each) for each in wanted.private)


def firewall(wanted: Wanted) -> Item:
    """The firewall. What is open stays so, and is only added to; SSH's networks are those that are named, if any."""
    content = _open(wanted)
    kept = "|".join(f"{port}/tcp" for port in (wanted.ssh_port, *wanted.ports))
    asked = "".join(
        f"has_entry {name} {entry} || differs '{_OPEN}: {name} lacks {entry}'\n" for name, entry in _asked(wanted)
    )
    adds = "".join(
        f"has_entry {n} {entry} || sed -i 's|^define {n} = {{ |&{entry}, |' {_OPEN}\n" for n, entry in _asked(wanted)
    )
    ssh = [line for line in content.splitlines() if wanted.ssh_from and line.startswith("define ssh_from_")]
    named = "".join(f"grep -qxF '{line}' {_OPEN} || differs '{_OPEN} lacks: {line}'\n" for line in ssh)
    sets = "".join(f"sed -i 's|^{line.partition('{')[0]}.*|{line}|' {_OPEN}\n" for line in ssh)
    check = f"""
nft list chain inet slipway forward > /dev/null 2>&1 || {{
    differs "Slipway's is not loaded"
    closed=$(ss -Hltun | awk '{{ print $5 "/" $1 }}' | grep -vE '^(127[.]|\\[::1\\])' | sed 's/.*://' | sort -nu |
        grep -vxE '{kept}|(68|546)/udp' | tr '\\n' ' ')
    [ ! "$closed" ] || differs "it would close what is open now: ${{closed% }}"
    return
}}
{file_check(_RULES, _TABLE)}
{file_check(_UNIT, _SERVICE)}
[ -e {_OPEN} ] || {{ differs "there is no {_OPEN}"; return; }}
{_ENTRY}{asked}{named}"""
    apply = f"""
[ -e {_OPEN} ] || {file_put(_OPEN, content)}
{_ENTRY}{adds}{sets}
{file_put(_RULES, _TABLE)}
{file_put(_UNIT, _SERVICE)}
nft -f {_RULES}
enable slipway-firewall.service
"""
    return Item(
        id="firewall",
        title="firewall: SSH, web",
        why="Docker passes by ufw, so a port that a Compose file publishes is open to the world; and what runs in a "
        "container could read the machine's secrets at 169.254.169.254",
        check=check,
        apply=apply,
        root=True,
        saved=(_OPEN, _RULES, _UNIT),
        reload=_RELOAD,
    )
