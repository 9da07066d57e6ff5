"""Host: a machine on which the engine can run commands, over SSH or on this machine.

What pulumi-command must not be trusted with is decided here, once: secrets only on stdin (a failing command line is
printed whole), no `environment` over SSH (a default sshd refuses it), no triggers (they replace: new create, then old
delete), the host key always pinned, and the host's name in every resource's name, so that another host is another
resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_command import local, remote

from slipway.hosts.authorized_keys import let_in, taken_off
from slipway.hosts.connection import OTHER_SHELLS, for_any_shell
from slipway.settings.model import pinned_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.settings.model import BastionSettings, HostSettings

__all__ = ["Host", "HostArgs"]

_KEYS = ["connection.privateKey", "connection.proxy.privateKey"]


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """What a host is."""

    machine: HostSettings
    """How to reach it."""
    private_key: str
    """Private key for it and its bastion; unused for this machine."""
    probe: Mapping[str, Any]
    """What its agent reported before anything was planned (slipway/contract/schemas/probe.schema.json)."""
    needs: Sequence[pulumi.Resource] = ()
    """What makes the machine: it goes last, when nothing is left to be taken off it."""


class Host(pulumi.ComponentResource):
    """A machine with Docker and Python 3, reached over SSH or this one."""

    name: pulumi.Output[str]
    address: pulumi.Output[str]
    docker: pulumi.Output[str]

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:host:Host", name, None, opts)
        self.label = name
        self.machine = args.machine
        self.probe = args.probe
        # `pulumi config set` takes the last line end away, an environment variable keeps it: the same key either way
        self._needs = [*args.needs]
        self._private_key = args.private_key.strip() + "\n"
        self.keys: list[local.Command | remote.Command] = []
        """What lets keys in. A deployment may be destroyed with one: they are taken off after it."""
        self.name = pulumi.Output.from_input(name)
        self.address = pulumi.Output.from_input("127.0.0.1" if args.machine.local else args.machine.address)
        self.docker = pulumi.Output.from_input(str(args.probe["machine"]["docker"]))
        self.register_outputs({"name": self.name, "address": self.address, "docker": self.docker})

    def command(
        self,
        name: str,
        *,
        create: pulumi.Input[str] | None = None,
        delete: pulumi.Input[str],
        stdin: pulumi.Input[str] | None = None,
        bastion: BastionSettings | None = None,
        opts: pulumi.ResourceOptions,
    ) -> local.Command | remote.Command:
        """A command that runs on this host whenever `create` or `stdin` changes, in place, and `delete` at the end.

        Without `create` it connects to the host at the end only. `stdin` may hold secrets; `create` and `delete` are
        shown in previews and errors and must not. What it prints on stderr is shown while it runs; its stdout is the
        resource's output. With `bastion` it runs there instead.
        """
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=self._needs))
        options: dict[str, Any] = {
            "create": create,
            "update": create,
            "delete": delete,
            "stdin": stdin,
            "add_previous_output_in_env": False,
            "opts": opts,
        }
        if self.machine.local:
            return local.Command(name, logging=local.Logging.STDERR, **options)
        # Those that read commands of sh keep the very command that their state has.
        if bastion or str(self.probe["machine"].get("shell")).rpartition("/")[2] in OTHER_SHELLS:
            for key in ("create", "update", "delete"):
                options[key] = options[key] and pulumi.Output.from_input(options[key]).apply(for_any_shell)
        if pulumi.runtime.is_dry_run():  # it may have a key that only looks, or none: that is no change
            options["opts"] = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=_KEYS))
        connection = remote.ConnectionArgs(**self._reach(bastion)) if bastion else self._connection()
        return remote.Command(name, connection=connection, logging=remote.Logging.STDERR, **options)

    def let_in(self, name: str, public_half: pulumi.Output[str]) -> list[local.Command | remote.Command]:
        """Have a key log in here and at the bastion, in place of the earlier one of that name; not on this machine."""
        if self.machine.local:
            return []
        jump = self.machine.bastion
        for place, bastion in ((self.label, None), *([(f"{self.label}_bastion", jump)] if jump else [])):
            comment = f"slipway-{name}/{place}"  # hosts have no underscore in their names
            made = self.command(
                f"{name}-{place}-key",
                create=let_in(comment),
                delete=taken_off(comment),
                stdin=public_half.apply(lambda key: f"{key}\n"),
                bastion=bastion,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.keys.append(made)
        return self.keys

    def _connection(self) -> remote.ConnectionArgs:
        bastion = self.machine.bastion
        return remote.ConnectionArgs(
            **self._reach(self.machine), proxy=remote.ProxyConnectionArgs(**self._reach(bastion)) if bastion else None
        )

    def _reach(self, machine: HostSettings | BastionSettings) -> dict[str, Any]:
        return {
            "host": machine.address,
            "port": machine.port,
            "user": machine.user,
            "private_key": pulumi.Output.secret(self._private_key),
            "host_key": pinned_key(machine),
            "dial_error_limit": 2,  # the probe reached it a moment ago; more tries only delay the error
            "per_dial_timeout": 15,  # seconds
        }
