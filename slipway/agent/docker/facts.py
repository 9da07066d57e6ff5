"""The containers of a stack as plain values. Reads only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.docker_api import PROJECT_LABEL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from slipway.agent.docker.docker_api import DockerApi

__all__ = [
    "CAN_START",
    "CONFIG_LABEL",
    "EDGE_NETWORK",
    "JOB_LABEL",
    "NEVER_RESTARTED",
    "RELEASE_LABEL",
    "RUNS",
    "SERVICE_LABEL",
    "SHORT_ID",
    "STACK_LABEL",
    "Container",
    "comparable",
    "container",
    "containers",
    "fixed_address",
    "in_lost_namespaces",
    "joined_containers",
    "log_tail",
    "one_offs",
    "restart_policy",
    "unnamed_volume",
    "works_or_will",
]  # fmt: skip

STACK_LABEL = "dev.slipway.stack"
CONFIG_LABEL = "dev.slipway.config"
RELEASE_LABEL = "dev.slipway.release"
JOB_LABEL = "dev.slipway.job"
EDGE_NETWORK = "slipway-edge"
NEVER_RESTARTED = ("no", "")  # names of a container's policy in the engine
RUNS = ("running", "restarting")
CAN_START = ("exited", "created")

SERVICE_LABEL = "com.docker.compose.service"
_NUMBER_LABEL = "com.docker.compose.container-number"
_ONE_OFF_LABEL = "com.docker.compose.oneoff"
SHORT_ID = 12
_NAMESPACES = ("NetworkMode", "PidMode", "IpcMode")
_ENGINES_LIMIT = 4096  # bytes that the engine keeps of a probe's output, the first; an ellipsis says so
_LOG_LINES = 20
_UNNAMED = re.compile(r"[0-9a-f]{64}")
_GENERATION_LINK = re.compile(r"(.+)\.[0-9a-f]{12}:")  # see `rendering`
# Compose gives a replacement this kind of name until the old container is gone.
_HALFWAY_NAME = re.compile(r"[0-9a-f]{12}_")


class Container(NamedTuple):
    """One container of the stack."""

    id: str
    name: str
    service: str
    number: int = 1
    config: str = ""
    release: str = ""
    image: str = ""
    state: str = "running"
    health: str | None = None
    exit_code: int = 0
    restarts: int = 0
    started: str = ""
    created: str = ""  # to be compared as text
    restart_policy: str = "no"
    addresses: tuple[str, ...] = ()
    ports: tuple[tuple[str, int, int, str], ...] = ()  # published: host address, host port, container port, protocol
    check_code: int | None = None
    """exit code of the newest health probe; -1 when it timed out, None before the first one"""
    check_output: str = ""  # what it printed
    edge: str = ""  # its address on the edge's network
    one_off: bool = False  # made by `docker compose run`
    terminal: bool = False
    may_end: bool = False  # its file says so: never restarted, or on failure only
    serves: bool = False  # something about it says that it is a server
    out_of_memory: bool = False
    memory: int = 0  # bytes that it may use; 0: all of the host's
    error: str = ""  # why the engine could not start it
    follows: tuple[str, ...] = ()  # services that it finds by the name of one generation
    joined: tuple[str, ...] = ()  # containers whose network, processes or memory it uses
    unnamed: tuple[str, ...] = ()  # where it has volumes without a name: only what replaces it in place keeps them

    @property
    def halfway(self) -> bool:
        """Whether Compose was killed between making this container and giving it its name."""
        return bool(_HALFWAY_NAME.match(self.name))

    @property
    def ended_well(self) -> bool:
        """Whether it did what it was for. A server that was stopped, or left down by a reboot, did not."""
        ended = self.state == "exited" and self.exit_code == 0
        return ended and self.restart_policy in (*NEVER_RESTARTED, "on-failure") and (self.may_end or not self.serves)

    @property
    def ending(self) -> str:
        """How its program ended last, in words."""
        return f"exit code {self.exit}"

    @property
    def exit(self) -> str:
        """Its last exit code, and what that was due to where the engine knows."""
        if not self.out_of_memory:
            return str(self.exit_code)
        limit = f"its limit is {self.memory / 1e6:.0f} MB" if self.memory else "the host had no more"
        return f"{self.exit_code}, out of memory: {limit}"

    @property
    def published(self) -> list[str]:
        """Its published ports, as `docker ps` shows them."""
        return [f"{at or '0.0.0.0'}:{public}->{port}/{kind}" for at, public, port, kind in self.ports]  # noqa: S104 - shown


def containers(
    api: DockerApi, stack: str, services: Collection[str] | None = None, *, one_offs: bool = False
) -> list[Container]:
    """The stack's containers, those of one-off runs only when asked for; sorted by service and number."""
    found = []
    for entry in api.containers({PROJECT_LABEL: stack}):
        labels = entry.get("Labels") or {}
        if labels.get(_ONE_OFF_LABEL) == "True" and not one_offs:
            continue
        if services is not None and labels.get(SERVICE_LABEL, "") not in services:
            continue
        details = api.container(entry["Id"])
        if details is not None:
            found.append(container(details))
    return sorted(found, key=lambda each: (each.service, each.number, each.name))


def one_offs(api: DockerApi, stack: str) -> list[tuple[str, str]]:
    """Id and name of every container that `docker compose run` made for this stack."""
    found = api.containers({PROJECT_LABEL: stack, _ONE_OFF_LABEL: "True"})
    return [(str(entry["Id"]), str(entry["Names"][0]).lstrip("/")) for entry in found]


def container(details: dict[str, Any]) -> Container:
    """A container from the engine's answer to inspecting it."""
    labels = details["Config"].get("Labels") or {}
    state = details["State"]
    health = state.get("Health") or {}
    status = health.get("Status")
    last = (health.get("Log") or [{}])[-1]
    number = labels.get(_NUMBER_LABEL, "1")
    networks = (details.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=details["Id"][:SHORT_ID],
        name=details["Name"].lstrip("/"),
        service=labels.get(SERVICE_LABEL, ""),
        number=int(number) if str(number).isdigit() else 1,
        config=labels.get(CONFIG_LABEL, ""),
        release=labels.get(RELEASE_LABEL, ""),
        image=details["Config"].get("Image", ""),
        state=state.get("Status", ""),
        health=None if status in (None, "none") else str(status),
        exit_code=int(state.get("ExitCode") or 0),
        restarts=int(details.get("RestartCount") or 0),
        started=str(state.get("StartedAt") or ""),
        created=comparable(str(details.get("Created") or "")),
        restart_policy=restart_policy(details).get("Name") or "no",
        addresses=tuple(str(n["IPAddress"]) for _, n in sorted(networks.items()) if (n or {}).get("IPAddress")),
        ports=_ports(details),
        check_code=last.get("ExitCode"),
        check_output=" ".join(_whole_words(str(last.get("Output", ""))).split()),
        edge=fixed_address(networks.get(EDGE_NETWORK)),
        one_off=labels.get(_ONE_OFF_LABEL) == "True",
        terminal=bool(details["Config"].get("Tty")),
        may_end=labels.get(JOB_LABEL) == "true",
        joined=tuple(each[:SHORT_ID] for each in joined_containers(details)),
        unnamed=tuple(str(each["Destination"]) for each in details.get("Mounts") or () if unnamed_volume(each)),
        serves=bool(
            (details.get("HostConfig") or {}).get("PortBindings")
            or details["Config"].get("ExposedPorts")
            or EDGE_NETWORK in networks
            or any(probe.get("ExitCode") == 0 for probe in health.get("Log") or ())
        ),
        out_of_memory=bool(state.get("OOMKilled")),
        memory=int((details.get("HostConfig") or {}).get("Memory") or 0),
        error=str(state.get("Error") or ""),
        follows=tuple(
            sorted(
                {
                    f[1]
                    for n in networks.values()
                    for each in (n or {}).get("Links") or ()
                    if (f := _GENERATION_LINK.match(each))
                }
            )
        ),
    )


def unnamed_volume(mount: Mapping[str, Any]) -> bool:
    """Whether a container's mount is a volume that the engine made and named by itself."""
    return bool(_UNNAMED.fullmatch(str(mount.get("Name"))))


def joined_containers(details: Mapping[str, Any]) -> list[str]:
    """The containers whose namespaces this one uses, as the engine names them."""
    host = details.get("HostConfig") or {}
    return sorted({str(host.get(mode)).partition("container:")[2] for mode in _NAMESPACES} - {""})


def in_lost_namespaces(containers: Iterable[Container]) -> dict[str, str]:
    """Id of each container that runs in a namespace of one which was started again since → the name of that one."""
    by_id = {each.id: each for each in containers}
    return {
        each.id: by_id[other].name
        for each in by_id.values()
        for other in each.joined
        if each.state in RUNS and other in by_id and comparable(each.started) < comparable(by_id[other].started)
    }


def restart_policy(details: Mapping[str, Any]) -> dict[str, Any]:
    return dict((details.get("HostConfig") or {}).get("RestartPolicy") or {"Name": "no"})


def works_or_will(details: Mapping[str, Any]) -> bool:
    """Whether a container works, or Docker starts it when it starts itself: `always` also what was stopped by hand."""
    state, policy = details["State"], restart_policy(details)["Name"]
    if state.get("Running") or state.get("Status") != "exited":
        return bool(state.get("Running"))
    failed = state.get("ExitCode") if policy == "on-failure" else policy == "unless-stopped" and state.get("Error")
    return policy == "always" or bool(failed)


def log_tail(api: DockerApi, container: Container | None) -> list[str]:
    """The end of a container's log, as the evidence of an error; empty where there is none."""
    lines = api.logs(container.id, _LOG_LINES) if container else []
    return [f"last lines of {container.name}:", *(f"| {line}" for line in lines)] if container and lines else []


def _whole_words(output: str) -> str:
    """What a probe printed, as far as the engine kept it, without a word that it cut: that may be half a secret."""
    return output if len(output.encode()) <= _ENGINES_LIMIT else output[: max(map(output.rfind, (" ", "\n"))) + 1]


def comparable(moment: str) -> str:
    """A moment of the engine's, which leaves out zeros at the end, so that text sorts as time does."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<9}" if whole else ""


def _ports(details: dict[str, Any]) -> tuple[tuple[str, int, int, str], ...]:
    found = []
    for target, bindings in ((details.get("NetworkSettings") or {}).get("Ports") or {}).items():
        port, _, protocol = target.partition("/")
        found += [(b.get("HostIp", ""), int(b["HostPort"]), int(port), protocol) for b in bindings or ()]
    return tuple(sorted(found))


def fixed_address(network: dict[str, Any] | None) -> str:
    """The address that a container has on a network as long as it exists, running or not."""
    return str(((network or {}).get("IPAMConfig") or {}).get("IPv4Address") or "")
