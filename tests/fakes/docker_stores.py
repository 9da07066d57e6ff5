"""Volumes, images and networks of a simulated Docker engine."""

from __future__ import annotations

import ipaddress
import itertools
import json
from typing import TYPE_CHECKING, Any

from docker_objects import Container, Image, Network, Refused, labelled, volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from virtual_time import VirtualTime

_POOLS = tuple(ipaddress.IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32))


class Stores:
    """What containers are made from and connected to."""

    time: VirtualTime
    registry: Mapping[str, Image]
    images: dict[str, Image]
    containers: dict[str, Container]
    networks: dict[str, Network]
    volumes: dict[str, dict[str, Any]]
    changes: int
    mutating: Callable[[str], None]
    container: Callable[[str], Container]
    _id: Callable[[], str]
    _moment: Callable[[float | None], str]

    # --- volumes and images

    def _list_volumes(self, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        wanted = json.loads(query.get("filters") or "{}")
        return 200, {"Volumes": [each for each in self.volumes.values() if labelled(each["Labels"], wanted)]}

    def _inspect_volume(self, name: str, **_: Any) -> tuple[int, Any]:
        if name not in self.volumes:
            raise Refused(404, f"get {name}: no such volume")
        return 200, self.volumes[name]

    def _create_volume(self, *, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        name = body.get("Name") or self._id()
        made = volume(name, body.get("Labels") or {}, self._moment(self.time.now), body.get("DriverOpts"))
        return 201, self.volumes.setdefault(name, made)

    def _remove_volume(self, name: str, **_: Any) -> tuple[int, Any]:
        if name not in self.volumes:
            raise Refused(404, f"get {name}: no such volume")
        users = [each.id for each in self.containers.values() if name in each.volumes]
        if users:
            raise Refused(409, f"remove {name}: volume is in use - [{', '.join(users)}]")
        del self.volumes[name]
        return 204, None

    def add(self, image: Image) -> None:
        """Have an image here already."""
        self.images[image.reference] = image

    def _find_image(self, reference: str) -> Image:
        name, at, digest = reference.partition("@")
        head, colon, last = name.rpartition(":")
        name = head if colon and "/" not in last else name
        for each in self.images.values():
            if reference == each.id or (at and each.reference == f"{name}@{digest}"):
                return each
        raise Refused(404, f"No such image: {reference}")

    def _inspect_image(self, reference: str, **_: Any) -> tuple[int, Any]:
        image = self._find_image(reference)
        return 200, {
            "Id": image.id,
            "RepoDigests": [image.reference],
            "Architecture": image.architecture,
            "Config": {"Healthcheck": image.check or None},
        }

    def _remove_image(self, reference: str, **_: Any) -> tuple[int, Any]:
        image = self._find_image(reference)
        user = next((each for each in self.containers.values() if each.image is image), None)
        if user is not None:
            how = "cannot be forced" if user.running else "must be forced"
            raise Refused(
                409,
                f"conflict: unable to delete {image.id[7:19]} ({how}) - image is being used by "
                f"{'running' if user.running else 'stopped'} container {user.id[:12]}",
            )
        del self.images[image.reference]
        return 200, [{"Untagged": image.reference}]

    def _pull(self, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        reference = f"{query['fromImage']}@{query['tag']}"
        image = self.registry.get(reference)
        if image is None:
            raise Refused(404, f"manifest for {reference} not found: manifest unknown: manifest unknown")
        self.time.sleep(image.pull_seconds)
        self.images[reference] = image
        return 200, b'{"status":"Pull complete"}\r\n'

    # --- networks

    def _release(self, container: Container) -> None:
        for name, endpoint in container.endpoints.items():
            if endpoint["IPAddress"] and name in self.networks:
                self.networks[name].used.pop(endpoint["IPAddress"], None)
            endpoint["IPAddress"] = ""

    def _find_network(self, name: str) -> Network:
        for each in self.networks.values():
            if name in (each.name, each.id):
                return each
        raise Refused(404, f"network {name} not found")

    def _attach(self, container: Container, network: Network, endpoint: Mapping[str, Any]) -> None:
        container.endpoints[network.name] = {
            "IPAMConfig": endpoint.get("IPAMConfig"),
            "Aliases": endpoint.get("Aliases"),
            "Links": endpoint.get("Links"),
            "NetworkID": "",
            "IPAddress": "",
        }

    def _take_address(self, network: Network, container: Container, endpoint: Mapping[str, Any]) -> str:
        """The one that is asked for, or the lowest that is free."""
        if network.name in ("host", "none"):
            return ""
        wanted = (endpoint.get("IPAMConfig") or {}).get("IPv4Address")
        if wanted:
            if network.used.get(wanted, container.id) != container.id:
                raise Refused(403, "Address already in use")
            network.used[wanted] = container.id
            return str(wanted)
        for address in itertools.islice(network.subnet.hosts(), 1, None):  # the first is the gateway's
            if str(address) not in network.used:
                network.used[str(address)] = container.id
                return str(address)
        raise Refused(500, "no available IPv4 addresses on this network's address pools")

    def _list_networks(self, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        wanted = json.loads(query.get("filters") or "{}")
        found = [each for each in self.networks.values() if labelled(each.labels, wanted)]
        return 200, [self._network(each) for each in found]

    def _inspect_network(self, name: str, **_: Any) -> tuple[int, Any]:
        return 200, self._network(self._find_network(name))

    def _network(self, network: Network) -> dict[str, Any]:
        return {
            "Name": network.name,
            "Id": network.id,
            "Driver": network.body.get("Driver", "bridge"),
            "IPAM": {"Config": [{"Subnet": str(network.subnet), "Gateway": str(network.subnet[1])}]},
            "Labels": network.labels,
            "Containers": {
                identifier: {"Name": self.containers[identifier].name, "IPv4Address": address}
                for address, identifier in network.used.items()
                if identifier in self.containers
            },
        }

    def _create_network(self, *, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        if body["Name"] in self.networks:
            raise Refused(409, f"network with name {body['Name']} already exists")
        asked = ((body.get("IPAM") or {}).get("Config") or [{}])[0].get("Subnet")
        used = [each.subnet for each in self.networks.values() if each.name not in ("host", "none")]
        if asked and any(ipaddress.IPv4Network(asked).overlaps(each) for each in used):
            raise Refused(403, "invalid pool request: Pool overlaps with other one on this address space")
        free = (pool for pool in _POOLS if not any(pool.overlaps(each) for each in used))
        subnet = ipaddress.IPv4Network(asked) if asked else next(free)
        network = Network(body["Name"], self._id(), subnet, dict(body.get("Labels") or {}), body)
        self.networks[network.name] = network
        return 201, {"Id": network.id, "Warning": ""}

    def _connect(self, name: str, *, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        network, container = self._find_network(name), self.container(str(body["Container"]))
        if "host" in container.endpoints:
            raise Refused(
                400,
                "container sharing network namespace with another container or host cannot be connected to any other "
                "network",
            )
        if "none" in container.endpoints:
            raise Refused(
                400,
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            )
        if network.name in ("bridge", "host", "none") and (body.get("EndpointConfig") or {}).get("Aliases"):
            raise Refused(
                400,
                "network-scoped alias is supported only for containers in user defined networks",
            )
        if network.name in container.endpoints:
            raise Refused(403, f"endpoint with name {container.name} already exists in network {network.name}")
        endpoint = body.get("EndpointConfig") or {}
        if container.running:
            address = self._take_address(network, container, endpoint)
            self._attach(container, network, endpoint)
            container.endpoints[network.name] |= {"IPAddress": address, "NetworkID": network.id}
        else:
            self._attach(container, network, endpoint)
        self.changes += 1
        return 200, None

    def _disconnect(self, name: str, *, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        network, container = self._find_network(name), self.container(str(body["Container"]))
        endpoint = container.endpoints.pop(network.name, None)
        if endpoint is None:
            raise Refused(404, f"container {container.id} is not connected to network {network.name}")
        network.used.pop(endpoint["IPAddress"], None)
        self.changes += 1
        return 200, None

    def _remove_network(self, name: str, **_: Any) -> tuple[int, Any]:
        network = self._find_network(name)
        if network.used:
            raise Refused(403, f"error while removing network: network {name} has active endpoints")
        del self.networks[network.name]
        return 204, None
