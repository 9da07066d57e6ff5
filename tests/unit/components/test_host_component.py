"""Host: one interface for machines over SSH and for this one; what a command is given, and what never."""

from typing import Any

import pulumi
import pytest
from recorded import Recorded, is_secret, open_strings, plain, program
from samples import CANARY, KEY, LOCAL, REMOTE, host_key, probe

from components.host import Host, HostArgs
from slipway.hosts.connection import for_any_shell
from slipway.settings.model import HostSettings

RSA = host_key("ssh-rsa")
KEY_WITH_CANARY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----\n"


def command(machine: dict[str, Any], said: dict[str, Any] | None = None) -> tuple[Recorded, dict[str, Any]]:
    """Run one command on a host; what the engine saw, and the command's inputs."""
    engine = Recorded()
    described = HostSettings.model_validate(machine)

    def build() -> Any:
        host = Host(described.name, HostArgs(machine=described, private_key=KEY_WITH_CANARY, probe=said or probe()))
        host.command(
            "deploy",
            create="do it",
            delete="undo it",
            stdin=pulumi.Output.secret(f"stdin {CANARY}"),
            opts=pulumi.ResourceOptions(parent=host),
        )
        return host.name, host.address, host.docker

    program(engine, build)
    [inputs] = [inputs for (kind, _), inputs in engine.resources.items() if kind.startswith("command:")]
    return engine, inputs


def test_a_command_over_ssh_pins_the_host_key() -> None:
    _, inputs = command({**REMOTE, "hostKey": f"[203.0.113.10]:22 {KEY} comment"})
    connection = plain(inputs["connection"])
    assert connection["hostKey"] == KEY
    assert (connection["host"], connection["port"], connection["user"]) == ("203.0.113.10", 22, "deploy")


def test_a_bastion_is_pinned_as_well() -> None:
    bastion = {"address": "jump.example.com", "user": "jump", "port": 2222, "hostKey": RSA}
    _, inputs = command({**REMOTE, "bastion": bastion})
    proxy = plain(inputs["connection"])["proxy"]
    assert (proxy["host"], proxy["port"], proxy["user"], proxy["hostKey"]) == ("jump.example.com", 2222, "jump", RSA)
    assert proxy["privateKey"] == KEY_WITH_CANARY


@pytest.mark.parametrize("machine", [REMOTE, LOCAL])
def test_a_command_has_no_triggers_no_environment_and_no_output_of_before(machine: dict[str, Any]) -> None:
    _, inputs = command(machine)
    assert "triggers" not in inputs
    assert "environment" not in inputs
    assert inputs["addPreviousOutputInEnv"] is False
    assert inputs["logging"] == "stderr"
    assert (inputs["create"], inputs["update"], inputs["delete"]) == ("do it", "do it", "undo it")


@pytest.mark.parametrize("machine", [REMOTE, {**REMOTE, "bastion": {"address": "b", "hostKey": KEY}}, LOCAL])
def test_the_private_key_and_standard_input_are_secret(machine: dict[str, Any]) -> None:
    engine, inputs = command(machine)
    assert is_secret(inputs["stdin"])
    for resource in engine.resources.values():
        assert not any(CANARY in text for text in open_strings(resource))
    if machine is not LOCAL:
        assert is_secret(inputs["connection"])


@pytest.mark.parametrize(
    ("shell", "sh"),
    [("/bin/bash", True), ("", True), ("/usr/bin/zsh", True), ("/bin/tcsh", False), ("/usr/bin/fish", False)],
)
def test_a_login_shell_that_reads_no_commands_of_sh_gets_them_by_sh_and_others_as_ever(shell: str, sh: bool) -> None:  # noqa: FBT001
    found = probe()
    machine = {**found["machine"], "shell": shell} if shell else found["machine"]
    _, inputs = command(REMOTE, {**found, "machine": machine})
    wanted = ["do it", "do it", "undo it"] if sh else [for_any_shell(each) for each in ("do it", "do it", "undo it")]
    assert [plain(inputs[key]) for key in ("create", "update", "delete")] == wanted


def test_this_machine_is_not_connected_to() -> None:
    engine, inputs = command(LOCAL)
    assert "connection" not in inputs
    assert [kind for kind, _ in engine.resources] == ["slipway:host:Host", "command:local:Command"]
    assert CANARY not in str({key: value for key, value in inputs.items() if key != "stdin"})


def test_a_host_says_its_name_address_and_engine() -> None:
    engine = Recorded()

    def outputs(machine: dict[str, Any]) -> Any:
        described = HostSettings.model_validate(machine)

        def build() -> Any:
            host = Host(described.name, HostArgs(machine=described, private_key="", probe=probe()))
            return host.name, host.address, host.docker

        return program(engine, build)

    assert outputs(REMOTE) == ("web-1", "203.0.113.10", "26.1.5")
    assert outputs(LOCAL) == ("here", "127.0.0.1", "26.1.5")


def test_a_slow_or_dead_host_is_given_up_soon() -> None:
    connection = plain(command(REMOTE)[1]["connection"])
    assert connection["dialErrorLimit"] * connection["perDialTimeout"] <= 60
