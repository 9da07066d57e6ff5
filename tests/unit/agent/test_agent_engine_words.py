"""What the engine says when containers, networks or images cannot be had: its meaning and the command that helps."""

import subprocess
from pathlib import Path

import pytest

from slipway.agent.docker.compose_cli import failed_start
from slipway.agent.docker.pull import explain
from slipway.contract.problems import FREE_NETWORKS

BIND = "driver failed programming external connectivity: Bind for 0.0.0.0:80"
DAEMON = "Error response from daemon: "
CREATE = f"failed to create network shop_back: {DAEMON}"
OTHER = "another network of this host has the addresses that the Compose file gives"


@pytest.mark.parametrize(
    ("said", "meaning", "fix"),
    [
        (f"{BIND} failed: port is already allocated", "a port that it publishes is taken", "sudo ss -ltnp"),
        ("listen tcp4 0.0.0.0:53: bind: address already in use", "a port that it publishes is taken", "sudo ss -ltnp"),
        ("failed to bind host port 0.0.0.0:80/tcp: address already in use", "a port", "sudo ss -ltnp"),
        ("write /var/lib/docker/x: no space left on device", "the disk of this host is full", "docker system df"),
        (f"{DAEMON}No such image: x@sha256:1", "its image vanished", "run the deployment again"),
        (f"{CREATE}could not find an available, non-overlapping IPv4 address pool among the defaults to assign",
         "networks have every range of addresses that Docker gives them", FREE_NETWORKS),
        (f"{CREATE}could not find an available, non-overlapping IPv6 address pool among the defaults to assign",
         "Docker gives a network IPv6 addresses by itself from version 27 on", "write `ipam: {config: [{"),
        (f"{CREATE}all predefined address pools have been fully subnetted", "networks", FREE_NETWORKS),
        (f"{CREATE}Pool overlaps with other one on this address space", f"{OTHER} shop_back:", "docker network ls -q"),
        (f"{CREATE}invalid pool request: Pool overlaps with other one on this address space", OTHER, "docker"),
        ('network shop_default was found but has incorrect label com.docker.compose.network set to "" (expected: "x")',
         "something else made a network of that name", "docker network rm shop_default"),
        ("network a;$(b) was found but has incorrect label x", "something else", "docker network rm 'a;$(b)'"),
        (f"{DAEMON}Address already in use", "another container has the address", "docker ps -q | xargs docker inspect"),
        (f"{DAEMON}no available IPv4 addresses on this network's address pools: shop_back (1f)",
         "another container has the address that it asks for, or its network has none left", "docker ps -q"),
        ("anything else", "Compose could not make the containers", "read its lines above"),
    ],
)  # fmt: skip
def test_what_keeps_services_from_starting_is_said_with_the_command_that_helps(
    said: str, meaning: str, fix: str
) -> None:
    [problem] = failed_start(["web"], ["Network shop_default  Creating", said]).problems
    assert problem.what.startswith("web did not start: ")
    assert problem.meaning.startswith(meaning)
    assert problem.fix.startswith(fix)


def test_a_registrys_rate_limit_is_called_that() -> None:
    [problem] = explain(
        "docker.io/library/x:1@sha256:4", "toomanyrequests: You have reached your pull rate limit"
    ).problems
    assert problem.what == "registry docker.io lets this host pull no more for now (rate limit)"
    assert "pulumi config set mirror" in problem.fix


def test_what_frees_addresses_leaves_the_networks_of_stopped_containers(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("""#!/bin/sh
case "$*" in
  "network ls"*) printf 'old_default\nleft\nshop_default\n';;
  "ps -aqf network=left") ;;
  "ps -aqf network="*) echo 1f;;
  *) echo "$*";;
esac
""")
    docker.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", FREE_NETWORKS], env=environment, capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == ["network rm left"]


def test_no_advice_removes_stopped_containers_which_a_move_needs_to_go_back() -> None:
    root = Path(__file__).resolve().parents[3] / "slipway"
    deadly = ("system prune", "container prune", "network prune", "volume prune", "prune --all", "prune -a")
    found = [f"{file}: {each}" for file in root.rglob("*.py") for each in deadly if each in file.read_text()]
    assert found == []
