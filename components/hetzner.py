"""HetznerServers: a stack's machines at Hetzner, and what is around them.

Owns: servers, their addresses and volumes, the login key, one firewall, placement groups, a private network.
Does not own: what runs there, nor a volume that is protected, which stays when its server or the stack goes.

What only counts when a server is created (user data, image, location, key) changes none that is there: each of these
would replace it. `hetzner.rebuild` names the one that may be. Addresses are resources of their own, so a server that
is replaced keeps them; the type changes with `keep_disk`, as a disk that grew never shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.hosts.hetzner.keys import HOST_KEY_LABEL, label_of
from slipway.hosts.hetzner.look import LABEL, volume_name
from slipway.hosts.hetzner.machines import COMPONENT, stated
from slipway.hosts.hetzner.power import after_shutdown
from slipway.hosts.key_pair import new_key_pair
from slipway.settings.engine_errors import raised_to_pulumi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.hosts.hetzner.look import CloudView
    from slipway.hosts.key_pair import KeyPair
    from slipway.settings.blocks.hetzner import ServerSettings
    from slipway.settings.model import Settings

__all__ = ["HetznerServers", "HetznerServersArgs"]

_BIRTH = ["userData", "image", "location", "sshKeys", "placementGroupId"]
_ANYWHERE = ["0.0.0.0/0", "::/0"]
_GROUP = 10  # https://docs.hetzner.com/cloud/placement-groups/overview/
_DEVICE = "/dev/disk/by-id/scsi-0HC_Volume_"  # https://docs.hetzner.com/cloud/volumes/faq


@dataclass(frozen=True, kw_only=True)
class HetznerServersArgs:
    """Which machines, and what is there."""

    settings: Settings
    cloud: CloudView


class HetznerServers(pulumi.ComponentResource):
    """Servers, ready to be created, and what the rest of the program waits for."""

    machines: pulumi.Output[dict[str, dict[str, str]]]
    """Host → `address` and `hostKey`, and `private`, its address in the private network."""
    resources: dict[str, list[pulumi.CustomResource]]
    """Host → what must be there as long as anything runs on it."""

    def __init__(self, name: str, args: HetznerServersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(COMPONENT, name, None, opts)
        import pulumi_hcloud  # noqa: PLC0415  # most stacks do not use it

        self._hcloud: Any = pulumi_hcloud
        self._args, self._settings, self._cloud = args, args.settings, args.cloud
        self._hetzner = args.settings.hetzner
        self._labels = {LABEL: args.cloud.project}
        kept = args.settings.hetzner_token if args.settings.hetzner_token_kept else None
        token = {"token": pulumi.Output.secret(kept.get_secret_value())} if kept else {}
        provider = pulumi_hcloud.Provider(
            f"{name}-hcloud",
            **token,
            opts=pulumi.ResourceOptions(parent=self, transformations=[] if token else [_without_token]),
        )
        self._provider = provider
        self.resources = {}
        machines: dict[str, pulumi.Input[Any]] = {}
        if self._hetzner.servers:
            self._login, self._wall, self._subnet = self._key(), self._firewall(name), self._network(name)
            for server in self._hetzner.servers:
                for first in range(0, server.count, _GROUP):
                    group = self._group(server, first // _GROUP)
                    names = server.names[first : first + _GROUP]
                    machines |= {host: self._server(host, server, group) for host in names}
        self.machines = pulumi.Output.all(**machines).apply(dict)
        self.register_outputs(
            {
                "key": self._cloud.key,
                "stated": self.machines.apply(lambda _: stated(self._settings, self._cloud.public_key)),
            }
        )

    def _options(self, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401  # any of their arguments
        return pulumi.ResourceOptions(parent=self, provider=self._provider, **more)

    def _key(self) -> list[pulumi.Resource]:
        """The login key, unless the project has it already: Hetzner takes each one once."""
        if self._cloud.foreign_key:
            return []
        key, public = self._cloud.key, self._cloud.public_key
        return [self._hcloud.SshKey(key, name=key, public_key=public, labels=self._labels, opts=self._options())]

    def _firewall(self, name: str) -> Any:  # noqa: ANN401  # pulumi-hcloud is imported late
        networks = [each if "/" in each else f"{each}/{128 if ':' in each else 32}" for each in self._hetzner.ssh_from]
        web = [str(self._settings.http_port), str(self._settings.https_port)]
        rules = [
            {"direction": "in", "protocol": "tcp", "port": port, "source_ips": sources, "description": what}
            for port, sources, what in [("22", networks, "SSH"), *((each, _ANYWHERE, "edge") for each in web)]
        ]
        rules.append({"direction": "in", "protocol": "icmp", "source_ips": _ANYWHERE, "description": "ping"})
        return self._hcloud.Firewall(name, name=name, rules=rules, labels=self._labels, opts=self._options())

    def _network(self, name: str) -> Any:  # noqa: ANN401  # as above
        """The subnet of the private network; None without one."""
        if not self._hetzner.network:
            return None
        about = {"ip_range": self._hetzner.network, "labels": self._labels}
        network = self._hcloud.Network(name, name=name, **about, opts=self._options())
        return self._hcloud.NetworkSubnet(
            name,
            network_id=network.id.apply(int),
            type="cloud",
            network_zone=self._cloud.zone or "eu-central",
            ip_range=self._hetzner.network,
            opts=self._options(ignore_changes=["networkZone"]),
        )

    def _group(self, server: ServerSettings, number: int) -> Any:  # noqa: ANN401  # as above
        """Keeps several of a kind on different machines of Hetzner's; a server joins it when it is created."""
        name = f"{self._cloud.project}-{server.name}{f'.{number + 1}' if number else ''}"  # no host's name has a dot
        known = ("PlacementGroup", name) in self._cloud.machines.resources
        if server.count < 2 and not known:  # noqa: PLR2004  # as one alone is apart by itself
            return None
        return self._hcloud.PlacementGroup(name, name=name, type="spread", labels=self._labels, opts=self._options())

    def _server(self, host: str, server: ServerSettings, group: Any) -> pulumi.Output[dict[str, str]]:  # noqa: ANN401
        labels = {**server.labels, **self._labels}
        addresses = {kind: self._address(host, server, kind, labels) for kind in ("ipv4", "ipv6")}
        volume = self._volume(host, server, labels) if server.volume else None
        known, reborn = self._cloud.machines.servers.get(host), self._cloud.pending.get(host) == "rebuilt"
        own = None if known and known.host_key and not reborn else new_key_pair()
        public = own.public if own else known.host_key if known else ""
        later = ["serverType"] if known and host not in self._cloud.pending else []  # as one is changed at a time
        kind = pulumi.Output.from_input(server.type)
        if self._cloud.pending.get(host) == "resized" and not pulumi.runtime.is_dry_run():
            kind = kind.apply(after_shutdown(self._settings, host))
        made = self._hcloud.Server(
            host,
            name=host,
            server_type=kind,
            image=server.image,
            location=server.location,
            ssh_keys=[self._cloud.key],
            user_data=self._user_data(host, server, volume, own) if own else None,
            firewall_ids=[self._wall.id.apply(int)],
            placement_group_id=group.id.apply(int) if group else None,
            public_nets=[
                {
                    "ipv4_enabled": True,
                    "ipv4": addresses["ipv4"].id.apply(int),
                    "ipv6_enabled": True,
                    "ipv6": addresses["ipv6"].id.apply(int),
                }
            ],
            backups=server.backups,
            keep_disk=True,
            shutdown_before_deletion=True,
            labels={**labels, HOST_KEY_LABEL: label_of(public)},
            opts=self._options(
                depends_on=[*self._login, *([volume] if volume else [])],  # which goes after it
                ignore_changes=[] if reborn else [*_BIRTH, *later],
                delete_before_replace=True,  # the new one has its name, addresses and volume
                additional_secret_outputs=["userData"],
            ),
        )
        self.resources[host] = [made]
        found: dict[str, pulumi.Input[str]] = {"address": addresses["ipv4"].ip_address, "hostKey": public}
        if volume:
            self.resources[host].append(self._attached(host, made, volume))
        if self._subnet:
            linked = self._linked(host, made)
            self.resources[host].append(linked)
            found["private"] = linked.ip
        # the address is known before the server is there: what waits for it waits for the server
        return pulumi.Output.all(**found, there=[each.id for each in self.resources[host]]).apply(_plain)

    def _address(self, host: str, server: ServerSettings, kind: str, labels: Mapping[str, str]) -> Any:  # noqa: ANN401
        return self._hcloud.PrimaryIp(
            f"{host}-{kind}",
            name=f"{self._cloud.project}-{host}-{kind}",
            type=kind,
            location=server.location,
            auto_delete=False,
            labels=dict(labels),
            opts=self._options(ignore_changes=["location", "assigneeType", "assigneeId"]),
        )

    def _volume(self, host: str, server: ServerSettings, labels: Mapping[str, str]) -> Any:  # noqa: ANN401
        assert server.volume  # noqa: S101  # the caller looked
        there = self._cloud.volumes.get(host)
        return self._hcloud.Volume(
            host,
            name=volume_name(self._cloud.project, host),
            size=server.volume.size,
            location=server.location,
            format="ext4",
            delete_protection=server.volume.protect,
            labels=dict(labels),
            opts=self._options(
                ignore_changes=["location", "format", *(["size", "labels", "deleteProtection"] if there else [])],
                retain_on_delete=server.volume.protect,
                import_=there,
            ),
        )

    def _attached(self, host: str, server: Any, volume: Any) -> pulumi.CustomResource:  # noqa: ANN401  # as above
        attached: pulumi.CustomResource = self._hcloud.VolumeAttachment(
            host,
            server_id=server.id.apply(int),
            volume_id=volume.id.apply(int),
            automount=False,
            # Never pulled from a server that runs: it goes with the server, which is shut down before it is deleted.
            opts=self._options(delete_before_replace=True, retain_on_delete=True),
        )
        return attached

    def _linked(self, host: str, server: Any) -> Any:  # noqa: ANN401  # as above
        return self._hcloud.ServerNetwork(
            host,
            server_id=server.id.apply(int),
            subnet_id=self._subnet.id,
            opts=self._options(delete_before_replace=True),
        )

    def _user_data(self, host: str, server: ServerSettings, volume: Any, key: KeyPair) -> pulumi.Output[str]:  # noqa: ANN401
        """With the host key in it, so it is a secret."""
        from slipway.hosts.hetzner.birth import first_configuration  # noqa: PLC0415  # few updates make servers

        def rendered(number: str) -> str:
            volumes = {f"{_DEVICE}{number}": server.volume.path} if server.volume else {}
            return first_configuration(self._settings, host, key, self._cloud.public_key, volumes)

        known = pulumi.Output.from_input(volume.id if volume else "")
        return pulumi.Output.secret(known.apply(raised_to_pulumi(rendered)))


def _plain(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in found.items() if name in ("address", "hostKey", "private")}


def _without_token(provider: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """Nothing of the token gets into the state: pulumi-hcloud's plugin reads it from the environment of each run."""
    return pulumi.ResourceTransformationResult({**provider.props, "token": None}, provider.opts)
