"""User data, applied by Debian's own cloud-init on a host without systemd; NEEDS_SYSTEMD is what does not run there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncssh
from remote_stack import machine_settings

from dev.testhosts.cloud_init import add_packages, apply_user_data
from slipway.hosts.connection import reached
from slipway.hosts.key_pair import KeyPair
from slipway.hosts.preparation.cloud_init import STATUS_COMMAND, Wanted, user_data
from slipway.hosts.preparation.items import items
from slipway.hosts.preparation.on_host import check
from slipway.settings.model import HostSettings

if TYPE_CHECKING:
    from dev.testhosts.hosts import TestHosts
    from dev.testhosts.server import TestHost

NEEDS_SYSTEMD = {"drain", "swap", "journal", "clock"}
PACKAGES = ("ca-certificates", "logrotate", "nftables", "unattended-upgrades")


def born(host: TestHost, login: asyncssh.SSHKey, user: str = "deploy") -> tuple[str, HostSettings, Wanted]:
    """Apply user data; cloud-init's status, and the host as its settings know it afterwards."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    pair = KeyPair(key.export_private_key().decode(), key.export_public_key().decode().strip())
    public = " ".join(login.export_public_key().decode().split()[:2])
    wanted = Wanted(user=user, login_keys=(public,), ssh_from=("198.18.0.0/15",), reboot_at="04:15")
    status = apply_user_data(host, user_data("web-frankfurt-1", wanted, pair))
    return status, HostSettings.model_validate(machine_settings(host, user=user, hostKey=pair.public)), wanted


def asked(host: HostSettings, key: str, command: str) -> str:
    async def ask() -> str:
        async with reached(host, key) as connection:
            process = await connection.start(command)
            return (await process.stdout.read()).decode()

    return asyncio.run(ask())


def test_a_machine_is_prepared_at_birth_and_the_first_connection_is_pinned(test_hosts: TestHosts) -> None:
    login = asyncssh.generate_private_key("ssh-ed25519")
    with test_hosts.create() as host:
        add_packages(host, *PACKAGES)
        status, settings, wanted = born(host, login, "app")
        assert "status: done" in status, status
        key = login.export_private_key().decode()
        assert asked(settings, key, "hostname; id -un; id -nG").splitlines() == ["web-frankfurt-1", "app", "app docker"]
        assert "slipway: error" not in asked(settings, key, STATUS_COMMAND)
        root = settings.model_copy(update={"user": "root"})
        results = asyncio.run(check(root, host.key_file.read_text(), items(wanted)))
        assert {result.item.id for result in results if result.state == "unknown"} == NEEDS_SYSTEMD
        assert [result for result in results if result.state == "differs"] == []
        assert "04:15" in next(result.text for result in results if result.item.id == "upgrades")
        assert list(host.path("/etc/ssh").glob("ssh_host_*_key")) == [host.path("/etc/ssh/ssh_host_ed25519_key")]
        assert oct(host.path("/var/lib/slipway/prepare").stat().st_mode)[-3:] == "700"


def test_what_failed_at_birth_is_named_to_whoever_asks(test_hosts: TestHosts) -> None:
    login = asyncssh.generate_private_key("ssh-ed25519")
    with test_hosts.create(docker=False) as host:  # no network either: nothing can be fetched
        status, settings, _ = born(host, login)
        assert "status: error" in status, status
        said = asked(settings, login.export_private_key().decode(), STATUS_COMMAND)
        assert "status: error" in said
        assert "slipway: error: docker: there is no Docker" in said
        assert "slipway: error: user" not in said
