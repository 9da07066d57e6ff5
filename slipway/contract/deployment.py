"""The Deployment document (schemas/deployment.schema.json) as values: what the driver hands to a host's agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.strategies import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ERROR_FLOOR", "ERROR_RELATIVE", "EVERY_VOLUME", "LATENCY_FLOOR_SECONDS", "LATENCY_RELATIVE",
    "MINIMUM_REQUESTS", "Acme", "Canary", "Certificate", "Deployment", "EdgeRequest", "FleetMembers", "Middlewares",
    "Migration", "Options", "RateLimit", "Redirect", "Registry", "Release", "Route", "ServiceEntry", "Thresholds",
    "Update", "WatchLimits", "known",
]  # fmt: skip

EVERY_VOLUME = "*"
"""Where volumes are named: all of the stack's own, and its data folders."""

# How much worse a release may be than the one before it, where nobody says: for canaries and the watch alike.
ERROR_RELATIVE = 0.1
"""Tolerated increase of errors over the previous release, as a share of them."""
LATENCY_RELATIVE = 0.2
"""Tolerated increase of time (p50, p95) over the previous release, as a share of it."""
ERROR_FLOOR = 0.01
"""Of all requests; below it a difference between two hours of the same service is chance."""
LATENCY_FLOOR_SECONDS = 0.05
"""As the floor of errors."""
MINIMUM_REQUESTS = 500
"""Below as many, traffic decides nothing."""


class Options(NamedTuple):
    """How the agent deploys: seconds, releases that are kept, MB of 10^6 bytes."""

    deadline: float
    health_deadline: float
    lock_wait: float
    retention: int
    disk_minimum_mb: int


class Thresholds(NamedTuple):
    """How much worse a generation may be than the one before it."""

    minimum: int  # requests that each side needs before it is called good
    error_relative: float = ERROR_RELATIVE
    error_floor: float = ERROR_FLOOR  # share of all requests
    latency_relative: float = LATENCY_RELATIVE
    latency_floor: float = LATENCY_FLOOR_SECONDS


class WatchLimits(NamedTuple):
    """What is watched after a success, and from which restart of one container on the release counts as bad."""

    seconds: int
    minimum: int
    error_relative: float
    error_floor: float
    latency_relative: float
    latency_floor: float
    restarts: int
    notify: Mapping[str, Any] | None
    """Who gets messages when a host rolled back, secrets among it: `targets` (slipway/notify); words of a release."""

    @property
    def thresholds(self) -> Thresholds:
        """For its traffic."""
        return Thresholds(**known(Thresholds, self._asdict()))


class Acme(NamedTuple):
    """How certificates are had; `ca` is the PEM of the authority behind that server, empty for a public one."""

    email: str
    server: str
    ca: str


class Certificate(NamedTuple):
    """A certificate with its chain and its key, both PEM."""

    certificate: str
    key: str


class EdgeRequest(NamedTuple):
    """What one stack asks of the host's edge; `https` serves its routes over TLS.

    `trusted_proxies` are addresses and networks whose X-Forwarded-For is believed, `neighbours` stacks that may have
    paths, redirects and previews below its host names.
    """

    image: str
    version: str
    http_port: int
    https_port: int
    https: bool
    acme: Acme | None = None
    certificates: tuple[Certificate, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EdgeRequest:
        """From the document's `edge`."""
        acme = content["acme"]
        return cls(**{
            **known(cls, content),
            "acme": Acme(**acme) if acme else None,
            "certificates": tuple(Certificate(**each) for each in content.get("certificates", ())),
            **{name: tuple(content.get(name, ())) for name in ("trusted_proxies", "neighbours")},
        })  # fmt: skip


class FleetMembers(NamedTuple):
    """The hosts of a deployment; the leader runs the release's migrations."""

    hosts: tuple[str, ...]
    leader: str


class Registry(NamedTuple):
    """What to log in with."""

    address: str
    username: str
    password: str


class Route(NamedTuple):
    """Requests for `host` (any when empty) below the path prefix `path`; `strip` takes the prefix off."""

    host: str
    path: str = "/"
    strip: bool = False


class Redirect(NamedTuple):
    """Requests for the host `origin` are sent to `target`, a host name or a URL."""

    origin: str
    target: str
    permanent: bool


class RateLimit(NamedTuple):
    """`average` requests per `period` (seconds) and client address, `burst` at once."""

    average: int
    burst: int
    period: float


class Middlewares(NamedTuple):
    """What happens to a request on its way; `basic_auth` names the secret whose value is a file of htpasswd."""

    redirects: tuple[Redirect, ...] = ()
    basic_auth: str | None = None
    ip_allow_list: tuple[str, ...] = ()
    rate_limit: RateLimit | None = None
    max_body: int | None = None
    security_headers: bool = False

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Middlewares:
        """From a service's `middlewares`."""
        limit = content["rate_limit"]
        return cls(**{
            **known(cls, content),
            "redirects": tuple(Redirect(each["from"], each["to"], each["permanent"]) for each in content["redirects"]),
            "ip_allow_list": tuple(content["ip_allow_list"]),
            "rate_limit": RateLimit(**limit) if limit else None,
        })  # fmt: skip


class Update(NamedTuple):
    """Compose's `deploy.update_config`; times in seconds."""

    order: str = "stop-first"
    parallelism: int = 0
    delay: float = 0.0
    monitor: float = 0.0
    failure_action: str = "rollback"
    max_failure_ratio: float = 0.0

    def tolerated(self, containers: int) -> int:
        """How many of these many containers may fail: never all of them."""
        ratio = 1.0 if self.failure_action == "continue" else self.max_failure_ratio
        return max(0, min(int(ratio * containers + 1e-9), containers - 1))  # 0.29 * 100 is not quite 29


class Canary(NamedTuple):
    """Percent of the traffic, step by step, and how each step is judged; times in seconds."""

    steps: tuple[int, ...]
    pause: float
    patience: float
    too_little: str  # when too few requests come: promote, fail or probe
    minimum: int
    error_relative: float
    error_floor: float
    latency_relative: float
    latency_floor: float

    @property
    def thresholds(self) -> Thresholds:
        """For each step."""
        return Thresholds(**known(Thresholds, self._asdict()))


class Migration(NamedTuple):
    """A command that runs once per release; `irreversible`: earlier releases cannot read the data afterwards."""

    command: tuple[str, ...]
    deadline: float
    irreversible: bool = False


class ServiceEntry(NamedTuple):
    """x-slipway of one service, defaults filled in; times in seconds."""

    strategy: str
    port: int | None
    routes: tuple[Route, ...]
    middlewares: Middlewares
    sticky: bool
    preview: str
    drain: float
    keep: float
    update: Update
    canary: Canary | None
    migrate: Migration | None
    smoke: tuple[Mapping[str, Any], ...] | None
    """None: switched off, and the routes are not tried either"""
    scheme: str = "http"

    @property
    def canary_steps(self) -> tuple[int, ...]:
        """Empty without canary."""
        return self.canary.steps if self.canary and self.strategy == CANARY else ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ServiceEntry:
        """From an entry of the release's `services`."""
        canary, migration = content["canary"], content["migrate"]
        return cls(**{
            **known(cls, content),
            "routes": tuple(Route(**each) for each in content["routes"]),
            "middlewares": Middlewares.from_json(content["middlewares"]),
            "update": Update(**known(Update, content["update"])),
            "canary": Canary(**{**known(Canary, canary), "steps": tuple(canary["steps"])}) if canary else None,
            "migrate": Migration(**known(Migration, migration)) if migration else None,
            "smoke": None if content["smoke"] is None else tuple(content["smoke"]),
        })  # fmt: skip


class Release(NamedTuple):
    """A release; `content` is its document, as it is kept on the host."""

    id: str
    images: Mapping[str, str]
    compose: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    secrets: tuple[str, ...]
    services: Mapping[str, ServiceEntry]
    content: Mapping[str, Any]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Release:
        """From its document."""
        services = {name: ServiceEntry.from_json(entry) for name, entry in content["services"].items()}
        own = known(cls, content)
        return cls(**{**own, "secrets": tuple(content["secrets"]), "services": services, "content": content})


class Deployment(NamedTuple):
    """A release on its way to one host; `secrets` are today's values by name."""

    stack: str
    host: str
    release: Release
    services: tuple[str, ...]
    secrets: Mapping[str, str]
    options: Options
    convergence: str = ""
    registries: tuple[Registry, ...] = ()
    edge: EdgeRequest | None = None
    watch: WatchLimits | None = None
    fleet: FleetMembers | None = None
    owner: str = ""
    """the Pulumi stack that deploys, `PROJECT/STACK MARK` (`stack_identity`)"""
    move_from: tuple[str, ...] = ()
    """Compose projects and containers of this host that the stack takes over from"""
    move_beside: tuple[str, ...] = ()
    """routed services that start beside old containers of the same data"""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Deployment:
        """From the document; KeyError, TypeError or AttributeError where it breaks the contract."""
        edge, watch, fleet = content["edge"], content["watch"], content["fleet"]
        return cls(**{
            **known(cls, content),
            "release": Release.from_json(content["release"]),
            "services": tuple(content["services"]),
            "options": Options(**content["options"]),
            "registries": tuple(Registry(**each) for each in content["registries"]),
            "edge": EdgeRequest.from_json(edge) if edge else None,
            "watch": WatchLimits(**watch) if watch else None,
            "fleet": FleetMembers(tuple(fleet["hosts"]), fleet["leader"]) if fleet else None,
            "move_from": tuple(content.get("move_from", ())),
            "move_beside": tuple(content.get("move_beside", ())),
        })  # fmt: skip


def known(kind: Any, content: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a NamedTuple's class
    """The fields of `kind` in `content`: what an agent of another time kept here may hold others, too."""
    fields: Iterable[str] = kind._fields
    return {name: content[name] for name in fields if name in content}
