"""User data of new machines: cloud-init's own schema accepts it, and it holds the list and one secret."""

from __future__ import annotations

import json
import subprocess

import jsonschema_rs
import pytest
import yaml

from dev.toolchain.cloud_init import cloud_config_schema
from dev.toolchain.process import ToolchainError
from slipway.contract.problems import SlipwayError
from slipway.hosts.key_pair import KeyPair
from slipway.hosts.preparation.cloud_init import MOST_BYTES, Wanted, user_data
from slipway.hosts.preparation.items import items

PAIR = KeyPair(
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPublic",
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILogin"
CASES = {
    "least": Wanted(),
    "most": Wanted(
        user="app",
        login_keys=(KEY, KEY.replace("Login", "Other")),
        ssh_port=2222,
        ports=(80, 443, 8443),
        ssh_from=("203.0.113.0/24", "2001:db8::/32", "203.0.113.7/32"),
        private=("10.0.0.0/16",),
        volumes={"/dev/disk/by-id/scsi-0HC_Volume_17": "/mnt/it's data"},
        reboot_at="04:15",
    ),
}
EVERY = pytest.mark.parametrize("wanted", CASES.values(), ids=CASES)


@EVERY
def test_cloud_inits_own_schema_accepts_it(wanted: Wanted) -> None:
    try:
        schema = json.loads(cloud_config_schema().read_text())
    except (OSError, ToolchainError) as error:
        pytest.skip(f"cloud-init's schema comes from a Debian package, which cannot be fetched: {error}")
    validator = jsonschema_rs.validator_for(schema)
    text = user_data("web-1", wanted, PAIR)
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    assert [error.message for error in validator.iter_errors(document)] == []
    assert list(validator.iter_errors({**document, "runcmd": 7}))


@EVERY
def test_it_runs_the_whole_list_and_sh_can_read_that(wanted: Wanted) -> None:
    document = yaml.safe_load(user_data("web-1", wanted, PAIR))
    (file,) = document["write_files"]
    assert document["runcmd"] == [["/bin/sh", "-c", f"/bin/sh {file['path']} > /var/log/slipway-prepare.log 2>&1"]]
    script = file["content"]
    steps = [line.split()[2] for line in script.splitlines() if line.startswith("step ")]
    assert steps == [item.id for item in items(wanted)]
    read = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


@EVERY
def test_its_one_secret_stands_where_cloud_init_reads_it_and_nowhere_else(wanted: Wanted) -> None:
    text = user_data("web-1", wanted, PAIR)
    document = yaml.safe_load(text)
    assert document["ssh_keys"] == {"ed25519_private": PAIR.private, "ed25519_public": PAIR.public}
    assert text.count("b3BlbnNzaC1rZXktdjEA") == 1


def test_a_machine_gets_its_ssh_port_at_birth_alone() -> None:
    wanted = CASES["most"]
    assert "\n    Port 2222\n" in user_data("web-1", wanted, PAIR)
    assert not any("Port 2222" in item.apply for item in items(wanted))
    assert "Port 22" not in user_data("web-1", Wanted(), PAIR)


def test_what_hetzner_would_not_take_is_refused_before_it_is_asked() -> None:
    with pytest.raises(SlipwayError, match="Hetzner takes 32,768") as caught:
        user_data("web-1", Wanted(login_keys=(f"ssh-rsa {'A' * MOST_BYTES}",)), PAIR)
    assert "web-1" in str(caught.value)
