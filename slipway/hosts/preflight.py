"""What must hold before anything is planned: hosts answer and have what they need, the registry accepts us."""

from __future__ import annotations

import subprocess
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.contract.http_answers import WAY_OUT, limited
from slipway.contract.problems import Problem, SlipwayError, in_brief
from slipway.contract.redaction import printable
from slipway.hosts.agent_package import pack_agent
from slipway.hosts.fleet import Fleet, require_parallel
from slipway.hosts.host_sessions import full_disk
from slipway.hosts.ownership import not_ours
from slipway.hosts.plans import Plans
from slipway.hosts.records import Records, read_deployed, read_records
from slipway.images.build_cache import check_builder
from slipway.settings.model import OFFLINE
from slipway.settings.registry_names import address_of, api_url
from slipway.settings.rules.stack import weak_secrets
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from slipway.compose.application import Application
    from slipway.hosts.host_sessions import HostSessions
    from slipway.hosts.records import Deployed
    from slipway.settings.model import HostSettings, Settings

__all__ = ["View", "check_access", "check_registry", "look_at_hosts", "warn"]

_REGISTRY_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class View:
    """The hosts of a stack as they are now."""

    machines: Mapping[str, HostSettings]
    """Name → how to reach it."""
    probes: Mapping[str, Mapping[str, Any]]
    """Name → probe document."""
    settled: Callable[[str], None] | None
    """Takes the name of a host that the engine is done with; None on a single host."""
    plan: Callable[[str, str, Mapping[str, str]], Awaitable[dict[str, Any]]] | None = None
    """Takes a host's name, its deployment document and the fingerprints of its secrets, gives what that would do
    (plan.schema.json); None in an update."""
    pending: Mapping[str, str] = field(default_factory=dict)
    """Host → why it is not yet as it will be: `created`, `rebuilt` or `resized` (see `hetzner`)."""

    @property
    def live_images(self) -> dict[str, str]:
        """Service → image by digest of what is live, over all hosts (they run the same release)."""
        images: dict[str, str] = {}
        for probe in self.probes.values():
            images |= (probe["live"] or {}).get("images", {})
        return images

    @property
    def live_edge(self) -> str:
        """The image by digest that the hosts' edge runs; the first host's, when they differ."""
        edges = [probe.get("edge") or {} for probe in self.probes.values()]
        return next((str(edge["image"]) for edge in edges if edge.get("image")), "")


def look_at_hosts(
    settings: Settings,
    application: Application,
    sessions: HostSessions,
    pending: Mapping[str, str] | None = None,
    silent: Callable[[], Iterable[Problem]] = tuple,
) -> View:
    """Look at every host and at the registry, side by side.

    Where hosts are `pending`, to be created or changed first, an update only looks for what is wrong on the others, and
    a preview plans those that do not exist yet from nothing. `silent` is asked for what is wrong besides, where a host
    does not answer.

    Raises:
        SlipwayError: with the problems of all of them.
    """
    machines = {host.name: host for host in settings.hosts}
    if unmade := [name for name, host in machines.items() if not host.made and pending is None]:
        raise SlipwayError(
            f"__main__.py makes no {', '.join(unmade)}, which are in hetzner.servers",
            "it is of a version of Slipway that knew no servers at Hetzner",
            "take over the __main__.py of the template of this version",
        )
    if settings.preview == OFFLINE:
        sessions.close()
        return _as_recorded(settings, application, machines)
    previewing, pending = pulumi.runtime.is_dry_run(), pending or {}
    updating = not previewing and not pending
    together = updating and len(machines) > 1
    if together:
        require_parallel(len(machines), getattr(pulumi.runtime.settings.SETTINGS, "parallel", None))
    fleet, plans = Fleet(machines), Plans(sessions) if previewing else None
    attended = plans.attend if plans else fleet.attend if together else None
    deployed = _deployed(settings.stack)
    with ThreadPoolExecutor(1) as pool:
        registry = pool.submit(check_registry, settings, application)
        problems: list[Problem] = []
        probes: dict[str, Mapping[str, Any]] = {}
        try:
            probes = sessions.open(
                application.stack,
                install=updating,
                certificate=updating and application.routed,
                look="plan" if plans else "attend" if together else "probe",
                attended=attended,
            )
        except SlipwayError as error:
            problems += [*error.problems, *silent()]
        problems += [each.on(host) for host, probe in probes.items() if (each := full_disk(probe, settings))]
        # Before any resource is made: with what it registers, `pulumi destroy` would remove the other's.
        problems += not_ours(settings, application, probes, deployed)
        problems += registry.result()
    if problems:
        sessions.close()
        raise SlipwayError(problems)
    for host, probe in probes.items():
        if plans and probe["lock"]:
            pulumi.log.warn(
                printable(f"host {host}: a deployment is running, so the plan is from the midst of it: {probe['lock']}")
            )
        if plans and probe["agent"] != pack_agent().version:  # of the last deployment, for a key that only looks
            pulumi.log.warn(f"host {host}: its agent is of another version of Slipway, so its plan may differ")
    nothing = Records({})
    there = frozenset(probes)
    imagined = {host: nothing.probe(host) for host in machines if host not in there}

    def plan(host: str, document: str, fingerprints: Mapping[str, str]) -> Awaitable[dict[str, Any]]:
        return plans.of(host, document) if plans and host in there else nothing.plan(host, document, fingerprints)

    return View(
        machines=machines,
        probes={**probes, **imagined},
        pending=pending,
        plan=plan if plans else None,
        settled=(lambda host: sessions.call(fleet.settled, host)) if together else None,
    )


def _deployed(stack: str) -> Deployed | None:
    try:
        organization = pulumi.get_organization()  # of Pulumi Cloud, where the name alone is the user's default one's
        qualified = f"{organization}/{pulumi.get_project()}/{stack}"
        return read_deployed(stack if organization in ("", "organization") else qualified)
    except Exception as error:  # noqa: BLE001  # whatever the engine says: it keeps nobody from a deployment
        pulumi.log.warn(printable(f"a stack or host that was renamed would not be noticed: {error}"))
        return None


def _as_recorded(settings: Settings, application: Application, machines: Mapping[str, HostSettings]) -> View:
    renamed = not_ours(settings, application, {}, _deployed(settings.stack))
    if problems := [*renamed, *check_registry(settings, application)]:
        raise SlipwayError(problems)
    records = read_records(settings.stack)
    probes = {host: records.probe(host) for host in machines}
    return View(machines=machines, probes=probes, plan=records.plan, settled=None)


def check_registry(settings: Settings, application: Application) -> list[Problem]:
    """Whether the registry answers and takes the credentials; asked only when something is built or pinned."""
    if not application.builds:
        return []
    problems = [] if settings.pin or settings.images else check_builder(application.builds.values(), settings)
    return [*problems, *check_access(settings)]


def check_access(settings: Settings) -> list[Problem]:
    """Whether the registry of `settings` answers and takes the credentials."""
    if settings.registry_username:
        return _login(settings)
    address = address_of(settings.registry)
    try:
        urllib.request.urlopen(api_url(address), timeout=_REGISTRY_SECONDS).close()  # noqa: S310  # the scheme is ours
    except urllib.error.HTTPError:
        return []  # it answered; whether it lets us push without credentials is its own decision, which the push shows
    except (OSError, ValueError) as error:
        return [_unreachable(address, str(getattr(error, "reason", error)))]
    return []


def _login(settings: Settings) -> list[Problem]:
    """Try the credentials with Docker's own client, in a folder that is gone afterwards."""
    address = address_of(settings.registry)
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        try:
            user = ("--username", settings.registry_username, "--password-stdin")
            done = subprocess.run(
                ["docker", "--config", folder, "login", *user, address],
                input=settings.registry_password.get_secret_value(),
                capture_output=True,
                text=True,
                timeout=_REGISTRY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [_unreachable(address, f"no answer within {_REGISTRY_SECONDS} s")]
    if done.returncode == 0:
        return []
    said = in_brief(settings.redactor().text(done.stderr))
    if limited(said):
        what = f"registry: {address} refuses more requests for now (rate limit)"
        return [Problem(what, "images could be neither pushed nor pulled", WAY_OUT)]
    if any(word in said.lower() for word in ("unauthorized", "denied", "incorrect username", "401", "403")):
        what = f"registryPassword: {address} refuses user {settings.registry_username}"
        fix = config_set(settings.stack, "registryPassword", secret=True)
        return [Problem(what, "images could be neither pushed nor pulled", fix)]
    return [_unreachable(address, said)]


def _unreachable(address: str, reason: str) -> Problem:
    return Problem(
        f"registry: {address} does not answer ({reason})",
        "images could be neither pushed nor pulled",
        f"curl -i {api_url(address)}",
    )


def warn(settings: Settings, application: Application) -> None:
    """Say what is allowed but unwise, once per problem."""
    for problem in (*weak_secrets(settings, refused=False), *application.warnings):
        pulumi.log.warn(printable(str(problem)))
