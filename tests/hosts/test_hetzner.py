"""From a token to a serving application: servers of the emulated Hetzner Cloud are test hosts with cloud-init."""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING, Any

import pytest
from applications import Application
from hetzner_fake import TOKEN, serving_hetzner
from hetzner_machines import HostMachines
from routed import COMPOSE
from stack_harness import Stack

from dev.testhosts.cloud_init import add_packages, apply_user_data
from dev.toolchain.pulumi import ensure_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hetzner_fake import FakeHetzner
    from stack_harness import Engine
    from workload import Images

    from dev.testhosts.hosts import TestHosts
    from dev.testhosts.server import TestHost

PACKAGES = ("ca-certificates", "logrotate", "nftables", "unattended-upgrades")
WEB = {"name": "web", "type": "cx23", "location": "fsn1"}


class HetznerStack(Stack):
    """A stack whose hosts are made by `pulumi up`."""

    hetzner: FakeHetzner
    key = ""

    @property
    def environment(self) -> dict[str, str]:
        own = {"HCLOUD_TOKEN": TOKEN, "HCLOUD_ENDPOINT": self.hetzner.url, "SLIPWAY_SSH_KEY": self.key}
        return {**super().environment, **own}

    def machines(self, *servers: dict[str, Any], **more: Any) -> None:
        self.settings["hetzner"] = {"servers": [*servers], "sshFrom": ["0.0.0.0/0"], **more}


@pytest.fixture(name="machines", scope="module")
def _machines(test_hosts: TestHosts) -> Iterator[HostMachines]:
    boots: list[threading.Thread] = []

    def born(host: TestHost, user_data: str) -> None:
        add_packages(host, *PACKAGES)
        # the server is there while cloud-init still works, as at Hetzner
        boots.append(threading.Thread(target=apply_user_data, args=(host, user_data), daemon=True))
        boots[-1].start()

    with HostMachines(test_hosts, born) as machines:
        yield machines
        for boot in boots:
            boot.join(60)


@pytest.fixture(name="stack", scope="module")
def _stack(
    engine: Engine,
    images: Images,
    test_hosts: TestHosts,
    machines: HostMachines,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[HetznerStack]:
    ensure_plugin("hcloud")
    folder: Path = tmp_path_factory.mktemp("stack")
    with serving_hetzner(machines) as hetzner:
        HetznerStack.hetzner, HetznerStack.key = hetzner, test_hosts.key_file.read_text()
        application = Application(folder / "app", {"compose.yaml": COMPOSE})
        stack = HetznerStack(engine, folder, application, hosts=(), variables={"IMAGE": images.one, "VERSION": "1"})
        yield stack
        stack.remove()


def answers(address: str) -> str:
    """The version that visitors get there."""
    connection = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().headers.get("X-Version", "")
    except OSError:
        return ""
    finally:
        connection.close()


def addresses(stack: HetznerStack) -> dict[str, str]:
    return {name: each["address"] for name, each in stack.outputs["machines"].items()}


def test_one_update_leads_from_a_token_to_a_serving_application(stack: HetznerStack, machines: HostMachines) -> None:
    stack.machines({**WEB, "volume": {"size": 10, "path": "/srv/data"}})
    preview = stack.preview()
    assert "plan for host web:" in preview.text
    assert not machines.running
    made = stack.up()
    [host] = machines.running.values()
    assert addresses(stack) == {"web": host.address}
    assert answers(host.address) == "1"
    assert stack.outputs["urls"] == [f"http://{host.address}/"]
    assert TOKEN not in made.text
    assert "/srv/data" in host.inside(["cat", "/proc/mounts"])
    again = stack.up()
    assert set(again.changes.values()) <= {"same"}, again.changes
    assert stack.slipway("ps").out.count("web") >= 1
    assert "EUR" in stack.slipway("cost").out


def test_a_second_server_serves_the_same_release_and_goes_again(stack: HetznerStack, machines: HostMachines) -> None:
    [first] = machines.running.values()
    stack.machines({**WEB, "volume": {"size": 10, "path": "/srv/data"}, "count": 2})
    stack.up()
    found = addresses(stack)
    assert {name: answers(address) for name, address in found.items()} == {"web": "1", "web-2": "1"}
    assert stack.outputs["hosts"]["web"]["release"] == stack.outputs["hosts"]["web-2"]["release"]
    stack.machines({**WEB, "volume": {"size": 10, "path": "/srv/data"}})
    stack.up()
    assert [*machines.running.values()] == [first]
    assert answers(first.address) == "1"


def test_a_server_that_is_built_anew_has_its_address_and_its_data(stack: HetznerStack, machines: HostMachines) -> None:
    [before] = machines.running.values()
    before.inside(["sh", "-c", "echo kept > /srv/data/mark"])
    web = {**WEB, "image": "debian-12", "volume": {"size": 10, "path": "/srv/data"}}
    stack.machines(web, rebuild="web")
    stack.up()
    [after] = machines.running.values()
    assert after is not before
    assert addresses(stack) == {"web": before.address}
    assert answers(after.address) == "1"
    assert after.inside(["cat", "/srv/data/mark"]).strip() == "kept"
    stack.machines({**web, "type": "cx33"})
    stack.up()
    assert answers(after.address) == "1"


def test_destroy_takes_all_but_the_protected_volume_twice(stack: HetznerStack, machines: HostMachines) -> None:
    stack.destroy()
    stack.destroy()
    assert not machines.running
    kept = {each["name"] for each in stack.hetzner.records["volumes"].values()}
    assert f"{stack.project}-web" in kept
    assert not stack.hetzner.records["primary_ips"]
