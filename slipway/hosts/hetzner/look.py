"""What is at Hetzner, looked at before anything is planned where the machines are to change."""

from __future__ import annotations

import base64
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.hetzner.api import Api
from slipway.hosts.hetzner.machines import Machines, machines_in_state, stated
from slipway.hosts.hetzner.power import switched_on
from slipway.hosts.hetzner.prices import cost_of, difference, earlier
from slipway.hosts.key_pair import public_half
from slipway.settings.blocks.github import SSH_KEY
from slipway.settings.blocks.hetzner import TOKEN_KEY
from slipway.settings.setting_files import config_rm, config_set
from slipway.settings.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from slipway.settings.model import Settings

__all__ = ["LABEL", "CloudView", "look_at_cloud", "volume_name"]

LABEL = "slipway"
"""The label of all that a stack has at Hetzner; its value is what hosts call the stack."""


@dataclass(frozen=True, kw_only=True)
class CloudView:
    """The machines of a stack, and what is at Hetzner already."""

    project: str
    """What hosts call the stack."""
    machines: Machines
    pending: Mapping[str, str]
    """Host → why the engine must change it before it can be used: `created`, `rebuilt` or `resized`."""
    public_key: str
    """That may log in to the servers."""
    key: str
    """Its name at Hetzner."""
    foreign_key: bool = False
    """Whether it is there already, and not this stack's."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Host → id of its volume, which is there and not in the state."""
    zone: str = ""
    """Network zone of the servers' location; empty where it was not asked for."""
    silent: Callable[[], Iterable[Problem]] = tuple
    """Asks which of them are off, and switches these on."""


def look_at_cloud(settings: Settings, project: str) -> CloudView | None:
    """Look at what the state knows of the machines; and at Hetzner, where they are to change. None without any.

    Raises:
        SlipwayError: with everything that is wrong there.
    """
    if not settings.hetzner_token.get_secret_value() and not settings.hetzner.servers:
        return None  # without a token nothing is made or deleted
    machines = machines_in_state(settings.stack)
    if problems := [*_losses(settings, machines)]:
        raise SlipwayError(problems)
    if not settings.hetzner.servers:
        return None
    private, pending = settings.private_key(), machines.pending(settings)
    public = (
        public_half(private) if private.strip() else machines.public_key
    )  # a preview that looks at no host has none
    if settings.github.ssh_key and os.environ.get(SSH_KEY) and not settings.github_admin and machines.public_key:
        public = machines.public_key  # this run has GitHub's key, and the servers are its administrator's
        _needs_administrator(settings.stack, [name for name, why in pending.items() if why != "resized"])
    if stated(settings, public) != machines.stated or pending:
        return _Look(settings, project, machines, public).view()
    foreign = not any(kind == "SshKey" for kind, _ in machines.resources)
    return CloudView(
        project=project,
        machines=machines,
        pending={},
        public_key=public,
        key=machines.key,
        foreign_key=foreign,
        silent=partial(switched_on, settings, machines.servers),
    )


def _needs_administrator(stack: str, new: Sequence[str]) -> None:
    if not new:
        return
    problem = Problem(
        f"{', '.join(new)} would be made with the key that GitHub alone has (github.sshKey)",
        "nobody else could log in there, nor could that key be changed: an administrator's update makes servers",
        f"env -u {SSH_KEY} {of_stack('slipway up', stack)}  # where the administrator's key is, then run this again",
    )
    if not pulumi.runtime.is_dry_run():
        raise SlipwayError([problem])
    pulumi.log.warn(printable(str(problem)))


def _fingerprint(public: str) -> str:
    """As Hetzner writes it."""
    if not public:
        return "unknown"
    digest = hashlib.md5(base64.b64decode(public.split()[1]), usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


class _Look:
    """One look at what is at Hetzner."""

    def __init__(self, settings: Settings, project: str, machines: Machines, public: str) -> None:
        self._settings, self._project, self._machines, self._public = settings, project, machines, public
        self._api = Api(settings.hetzner_token.get_secret_value(), settings.stack)
        self._problems: list[Problem] = []

    def view(self) -> CloudView:
        api, hetzner = self._api, self._settings.hetzner
        images = sorted({server.image for server in hetzner.servers})
        with ThreadPoolExecutor(8) as pool:
            writes, pricing = pool.submit(api.may_write), pool.submit(api.read, "pricing")
            types, places = pool.submit(api.all, "server_types"), pool.submit(api.all, "locations")
            found = [pool.submit(api.all, "images", name=each, include_deprecated="true") for each in images]
            servers = pool.submit(api.all, "servers")
            keys = pool.submit(api.all, "ssh_keys", fingerprint=_fingerprint(self._public))
            volumes = pool.submit(api.all, "volumes", label_selector=f"{LABEL}=={self._project}")
            self._permission(may_write=writes.result())
            self._kinds(types.result(), places.result())
            self._in_stock(types.result())
            for name, images_of_name in zip(images, found, strict=True):
                self._image(name, images_of_name.result())
        self._taken(servers.result())
        self._volumes()
        if self._problems:
            raise SlipwayError([*self._problems, *switched_on(self._settings, self._machines.servers)])
        own = f"slipway-{_fingerprint(self._public).replace(':', '')[:8]}"
        names = [str(each["name"]) for each in keys.result()]
        key = own if not names or own in names else names[0]
        pending = self._machines.pending(self._settings)
        prices = pricing.result()["pricing"]
        if line := difference(cost_of(earlier(self._machines.stated), prices), cost_of(hetzner, prices)):
            pulumi.log.info(printable(line))
        for line in _announced(self._settings, self._machines, pending):
            pulumi.log.warn(printable(line))
        zones = {str(each["name"]): str(each.get("network_zone", "")) for each in places.result()}
        return CloudView(
            project=self._project,
            machines=self._machines,
            pending=pending,
            public_key=self._public,
            key=key,
            foreign_key=key != own or (own in names and not self._known("SshKey")),
            volumes=self._left(volumes.result()),
            silent=partial(switched_on, self._settings, self._machines.servers),
            zone=next((zones[server.location] for server in hetzner.servers), ""),
        )

    def _known(self, kind: str, name: str = "") -> bool:
        return any(kind == its and name in ("", each) for its, each in self._machines.resources)

    def _problem(self, what: str, meaning: str, fix: str) -> None:
        self._problems.append(Problem(what, meaning, fix))

    def _permission(self, *, may_write: bool) -> None:
        if may_write:
            return
        problem = Problem(
            f"the token in {TOKEN_KEY} may read only",
            "`pulumi up` could change nothing at Hetzner",
            config_set(self._settings.stack, TOKEN_KEY, secret=True),
        )
        if pulumi.runtime.is_dry_run():
            pulumi.log.warn(printable(str(problem)))
        else:
            self._problems.append(problem)

    def _kinds(self, types: Sequence[Mapping[str, Any]], places: Sequence[Mapping[str, Any]]) -> None:
        """Types and locations: whether they are there, go together, and stay."""
        known, locations = {str(each["name"]): each for each in types}, [str(each["name"]) for each in places]
        for index, server in enumerate(self._settings.hetzner.servers):
            path, kind = f"hetzner.servers[{index}]", known.get(server.type)
            set_type, set_location = (
                config_set(self._settings.stack, f"{path}.{each}") for each in ("type", "location")
            )
            if server.location not in locations:
                meaning = suggestion(server.location, locations, f"there are {', '.join(sorted(locations))}")
                self._problem(f"{path}: Hetzner has no location {server.location}", meaning, set_location)
            there = next(
                (self._machines.servers[name] for name in server.names if name in self._machines.servers), None
            )
            if there and there.location != server.location:
                meaning = "a server cannot move, as its addresses and volume cannot: another name makes another server"
                fix = config_set(self._settings.stack, f"{path}.location", there.location)
                self._problem(f"{path}: {server.name} is in {there.location}, not in {server.location}", meaning, fix)
            if kind is None:
                meaning = suggestion(server.type, known, f"there are {', '.join(sorted(known))}")
                self._problem(f"{path}: Hetzner has no server type {server.type}", meaning, set_type)
                continue
            where = sorted({str(price["location"]) for price in kind.get("prices") or ()})
            if server.location in locations and server.location not in where:
                what = f"{path}: there is no {server.type} in {server.location}"
                self._problem(what, f"it can be had in {', '.join(where)}", set_type)
            if kind.get("deprecation"):
                gone = str(kind["deprecation"].get("unavailable_after", ""))[:10]
                _warned(f"{path}: server type {server.type} is deprecated", f"none can be made after {gone}", set_type)

    def _in_stock(self, types: Sequence[Mapping[str, Any]]) -> None:
        """Whether what a server is to become can be had: it would be off, or gone, and nothing could take its place."""
        gone = {
            (kind["name"], place["name"])
            for kind in types
            for place in kind.get("locations") or ()
            if not place.get("available", True)
        }
        for name, why in self._machines.pending(self._settings).items():
            server, known = self._settings.hetzner.machines[name], self._machines.servers.get(name)
            if known and why in ("resized", "rebuilt") and (server.type, server.location) in gone:
                index = self._settings.hetzner.servers.index(server)
                what = f"Hetzner has no {server.type} to give in {server.location} now, so {name} stays as it is"
                fix = config_set(self._settings.stack, f"hetzner.servers[{index}].type", known.type)
                if known.type == server.type:
                    fix = config_rm(self._settings.stack, "hetzner.rebuild")
                self._problem(what, "it would be away, and not come back; wait, or do without for now", fix)

    def _image(self, name: str, found: Sequence[Mapping[str, Any]]) -> None:
        index = next(at for at, server in enumerate(self._settings.hetzner.servers) if server.image == name)
        path = f"hetzner.servers[{index}].image"
        fix = config_set(self._settings.stack, path)
        if not found:
            self._problem(f"{path}: Hetzner has no image {name}", "no server can be made from it", fix)
        elif all(each.get("deprecated") for each in found):
            _warned(f"{path}: image {name} is deprecated", "it gets no fixes, and will be removed", fix)

    def _taken(self, servers: Sequence[Mapping[str, Any]]) -> None:
        """Names are unique in a project at Hetzner."""
        for each in servers:
            name = str(each["name"])
            if name in self._settings.hetzner.machines and name not in self._machines.servers:
                self._problem(
                    f"there is a server {name} at Hetzner already, which this stack's state does not know",
                    "names are unique there: give this one another, or name the one that exists in `hosts`",
                    config_set(self._settings.stack, "hetzner.servers[0].name"),
                )

    def _volumes(self) -> None:
        for index, server in enumerate(self._settings.hetzner.servers):
            for name in server.names if server.volume else ():
                size = self._machines.volumes.get(name, 0)
                if server.volume and server.volume.size < size:
                    self._problem(
                        f"the volume of {name} has {size} GB, and {server.volume.size} are asked for",
                        "volumes only grow: a smaller one would be another one, without the data",
                        config_set(self._settings.stack, f"hetzner.servers[{index}].volume.size", str(size)),
                    )

    def _left(self, volumes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Volumes of an earlier life of the stack, to be taken up again."""
        names = {volume_name(self._project, name): name for name in self._settings.hetzner.machines}
        return {
            names[each["name"]]: str(each["id"])
            for each in volumes
            if each["name"] in names and not self._known("Volume", names[each["name"]])
        }


def volume_name(project: str, host: str) -> str:
    """What a host's volume is called at Hetzner."""
    return f"{project}-{host}"


def _losses(settings: Settings, machines: Machines) -> Iterator[Problem]:
    """Volumes that would go with their data, or be pulled from a server that runs."""
    hetzner, pending = settings.hetzner, machines.pending(settings)
    wanted = {name for name, server in hetzner.machines.items() if server.volume}
    for name in sorted(machines.volumes.keys() - wanted):
        if name in hetzner.machines and name in machines.servers and pending.get(name) != "rebuilt":
            index = next(at for at, server in enumerate(hetzner.servers) if name in server.names)
            fix = config_set(settings.stack, f"hetzner.servers[{index}].volume.size", str(machines.volumes[name]))
            what = f"the volume of {name} is no longer wanted, and {name} runs with it"
            yield Problem(what, "what is mounted is not pulled from a server: it can go when that is built anew", fix)
        elif name in machines.unprotected and name not in hetzner.drop_volumes:
            fix = config_set(settings.stack, f"hetzner.dropVolumes[{len(hetzner.drop_volumes)}]", name)
            what = f"the volume of {name} would be deleted, with {machines.volumes[name]} GB"
            yield Problem(what, "it is not protected, and its data would be gone; name it where that is meant", fix)
        elif name not in machines.unprotected:
            pulumi.log.warn(
                f"the volume of {name} is no longer wanted: it stays at Hetzner with its data and its price, and is "
                f"taken up again when {name} has a volume again"
            )


def _announced(settings: Settings, machines: Machines, pending: Mapping[str, str]) -> Iterator[str]:
    """What is unusual about the machines, for people."""
    for name in settings.hetzner.machines:
        if pending.get(name) == "rebuilt":
            yield f"{name} is built anew: what runs there is away for some minutes; its volume and addresses stay"
        elif pending.get(name) == "resized":
            yield (
                f"{name} becomes a {settings.hetzner.machines[name].type}: it is switched off for that, and what runs "
                "there is away for a minute or two; its disk keeps its size, so that it can become smaller again"
            )
        elif name in machines.servers and name not in pending:
            if (wanted_type := settings.hetzner.machines[name].type) != machines.servers[name].type:
                yield f"{name} becomes a {wanted_type} in the next `pulumi up`: one at a time, so that the others serve"
            was, image = machines.servers[name].image, settings.hetzner.machines[name].image
            if was != image:
                fix = config_set(settings.stack, "hetzner.rebuild", name)
                said = f"{name} was created with image {was}, not {image}, which only a new server takes; "
                again = f"{fix} && " + of_stack("pulumi up", settings.stack)
                yield f"{said}to build it anew, with its volume and addresses: {again}"


def _warned(what: str, meaning: str, fix: str) -> None:
    pulumi.log.warn(printable(str(Problem(what, meaning, fix))))
