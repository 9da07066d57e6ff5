"""Docker Engine with Compose, and its settings."""

from __future__ import annotations

import json
import shlex
from importlib.resources import files

from slipway.hosts.preparation.item import Item

__all__ = ["ADDRESS_POOLS", "docker", "docker_settings"]

ADDRESS_POOLS = ("172.18.0.0/15",)
"""From where Docker takes its networks' addresses: 512 networks of 254. Hetzner's gateway is 172.31.1.1, and its
private networks begin with 10."""

_WANTED = {
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-size": "20m", "max-file": "5"},
    "default-address-pools": [{"base": base, "size": 24} for base in ADDRESS_POOLS],
}
_FILE = "/etc/docker/daemon.json"
# With live-restore on before the engine stops, containers go on running while it starts again.
_RESTART = """
live() { [ "$(docker info --format '{{.LiveRestoreEnabled}}' 2> /dev/null)" = true ]; }
kill -HUP $(pidof dockerd) || :
for _ in 1 2 3 4 5 6 7 8 9 10; do live && break; sleep 1; done
if systemd && { live || [ ! "$(docker ps -q)" ]; }; then systemctl restart docker; fi
"""
_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"  # https://docs.docker.com/engine/install/debian/


def docker() -> Item:
    """The engine, and Compose.

    The distribution's packages, wherever those have Compose v2: they get their fixes by the same upgrades as all else,
    and no key and no server of anybody else is needed. Debian 12 has Compose v1, and gets Docker's own packages.
    """
    check = """
has docker || { differs "there is no Docker"; return; }
version=$(docker version --format '{{.Server.Version}}' 2> /dev/null)
if [ "$version" ]; then ok "Docker $version"
elif [ "$(id -u)" = 0 ]; then differs "Docker does not answer"
else unknown "this user may not ask Docker"; fi
compose=$(docker compose version --short 2> /dev/null) || { differs "there is no Compose v2"; return; }
ok "Compose $compose"
"""
    apply = f"""
if installed docker-ce; then packages=docker-compose-plugin
else
    case $system in
    debian-12)
        has docker && fail "Docker is Debian's, which has no Compose v2; https://docs.docker.com/engine/install/debian/"
        install_packages ca-certificates gpg python3
        mkdir -p /etc/apt/keyrings
        python3 -c 'import sys, urllib.request
sys.stdout.write(urllib.request.urlopen("https://download.docker.com/linux/debian/gpg", timeout=60).read().decode())
' > /etc/apt/keyrings/docker.asc
        gpg --show-keys --with-colons /etc/apt/keyrings/docker.asc | grep -q '^fpr:*{_KEY}:' || {{
            rm /etc/apt/keyrings/docker.asc
            fail "download.docker.com gave another key than Docker's"
        }}
        from="https://download.docker.com/linux/debian $codename stable"
        echo "deb [signed-by=/etc/apt/keyrings/docker.asc] $from" > /etc/apt/sources.list.d/docker.list
        apt-get update -qq
        packages="docker-ce docker-ce-cli containerd.io docker-compose-plugin" ;;
    debian-*) packages="docker.io docker-cli docker-compose" ;;
    *) packages="docker.io docker-compose-v2" ;;
    esac
fi
install_packages $packages
! systemd || systemctl enable -q --now docker
"""
    return Item(
        id="docker", title="Docker and Compose v2", why="everything runs in containers", check=check, apply=apply
    )


def _merge(command: str) -> str:
    program = files("slipway.hosts.preparation").joinpath("daemon_json.py").read_text(encoding="utf-8")
    return f"""\
swarm=$(docker info --format '{{{{.Swarm.LocalNodeState}}}}' 2> /dev/null) || :
python3 - {command} {_FILE} {shlex.quote(json.dumps(_WANTED))} "$swarm" <<'END_OF_PROGRAM'
{program}END_OF_PROGRAM
"""


def docker_settings() -> Item:
    """The engine's settings; what somebody has set already stays, and is named."""
    apply = f"{_merge('apply')}{_RESTART}"
    return Item(
        id="docker-settings",
        title="Docker: logs, networks",
        why="logs of containers fill the disk, an upgrade of Docker stops every container, and by default there is "
        "room for 31 networks. Docker restarts, and containers go on running",
        check=f"has python3 || {{ differs 'there is no python3'; return; }}\n{_merge('check')}",
        apply=apply,
    )
