"""ComposeDeployment: one release on every host of a stack.

Owns: what each host is told (the deployment document), when a host must be told again though nothing changed (drift),
and what the stack reports. Does not own: converging a host (the agent's part), or building (see `images`).
Produces: release id, URLs, a report per host.

Drift. The engine compares inputs with inputs, so it cannot see what happened on a host. Every document therefore
carries a token that the host keeps with its last success. A host that runs what it was told hands the token back and
nothing changes; where it does not, the document gets a new token, which shows as a change of that host's deployment
and, once the deployment succeeded, is the one that the host hands back.
"""

from __future__ import annotations

import json
import secrets as randomness
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.compose.release import Release
from slipway.compose.schema_check import checked
from slipway.contract import CONTRACT
from slipway.contract.canonical import canonical
from slipway.contract.outcomes import RETURNED
from slipway.contract.problems import SlipwayError
from slipway.contract.published_ports import published_ports
from slipway.hosts.agent_channel import agent_path
from slipway.hosts.edge_document import edge_document, route_urls
from slipway.settings.edge_settings import watch_document
from slipway.settings.engine_errors import raised_to_pulumi
from slipway.settings.registry_names import address_of

from .release_record import ReleaseRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.compose.application import Application
    from slipway.compose.git import Revision
    from slipway.settings.model import Settings

    from .host import Host

__all__ = ["TYPE", "ComposeDeployment", "ComposeDeploymentArgs", "drift_of"]

TYPE = "slipway:deployment:ComposeDeployment"
"""The component's type in the engine's state."""


@dataclass(frozen=True, kw_only=True)
class ComposeDeploymentArgs:
    """What is deployed, and where."""

    settings: Settings
    application: Application
    revision: Revision
    images: pulumi.Output[dict[str, str]]
    """Service → image by digest."""
    hosts: Sequence[Host]
    edge: str = ""
    """The edge's image by digest; empty when no service has a route."""
    settled: Callable[[str], None] | None = None
    """Told the name of each host when the engine is done with it (see `fleet`)."""


class ComposeDeployment(pulumi.ComponentResource):
    """A release, converged on every host."""

    release: pulumi.Output[str]
    """Id of the release."""
    urls: pulumi.Output[list[str]]
    """Where its routes answer, then its published ports."""
    report: pulumi.Output[dict[str, Any]]
    """Host → report of its last deployment (slipway/contract/schemas/report.schema.json)."""
    summary: pulumi.Output[dict[str, Any]]
    """Host → what a person wants to see of that: release, previous one, outcome, services touched, seconds."""

    def __init__(self, name: str, args: ComposeDeploymentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TYPE, name, None, opts)
        self._args = args
        self._name = name
        release = args.images.apply(lambda images: Release.assemble(args.application, args.revision, images))
        self.release = release.apply(lambda assembled: assembled.id)
        reports = {host.label: self._on(host, release) for host in args.hosts}
        self.report = pulumi.Output.all(**reports).apply(dict)
        self.summary = self.report.apply(_summary)
        self.urls = pulumi.Output.from_input(
            [
                *route_urls(args.settings, args.application, [host.machine for host in args.hosts]),
                *_urls(args.application, args.hosts, args.settings),
            ]
        )
        record = ReleaseRecord(name, release, kind=args.settings.kind, opts=pulumi.ResourceOptions(parent=self))
        about = pulumi.Output.all(about=record.about, hosts=self.summary).apply(
            lambda known: {**known["about"], "hosts": known["hosts"], "project": name}
        )
        self.register_outputs(
            {
                "about": about,
                "document": record.document,
                "release": self.release,
                "urls": self.urls,
                "report": self.report,
                "summary": self.summary,
            }
        )

    def _on(self, host: Host, release: pulumi.Output[Release]) -> pulumi.Output[dict[str, Any]]:
        """The deployment on one host; its report."""
        stack = self._args.application.stack
        for difference in drift_of(host.probe):
            pulumi.log.warn(f"host {host.label}: {difference}", resource=self)
        path = agent_path(stack)
        remove = (
            [f"--volumes {','.join(self._args.settings.remove_volumes)}"] if self._args.settings.remove_volumes else []
        )
        command = host.command(
            f"{self._name}-{host.label}",
            create=pulumi.Output.concat(
                f'exec python3 "$(readlink -f {path})" deploy --stack {stack} --release ', self.release
            ),
            delete=" ".join(
                [f'[ ! -e {path} ] || exec python3 "$(readlink -f {path})" destroy --stack {stack}', *remove]
            ),
            stdin=pulumi.Output.secret(
                release.apply(raised_to_pulumi(lambda assembled: self._document(host, assembled)))
            ),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        if self._args.settled and not pulumi.runtime.is_dry_run():
            settled = self._args.settled
            command.stdout.apply(lambda _: settled(host.label))
        # The whole output counts as secret because stdin does; the agent keeps secrets out of its report, so it is not.
        return pulumi.Output.unsecret(command.stdout.apply(_report))

    def _document(self, host: Host, release: Release) -> str:
        """What one host is told, as JSON on one line."""
        settings = self._args.settings
        labels = [each.label for each in self._args.hosts]
        services = self._args.application.services_of(host.label)
        document = {
            "contract": CONTRACT,
            "stack": self._args.application.stack,
            "host": host.label,
            "release": release.document,
            "services": services,
            "secrets": {name: settings.secrets[name].get_secret_value() for name in self._args.application.secrets},
            "registries": _credentials(settings),
            "options": {
                "deadline": settings.deadline,
                "health_deadline": settings.health_deadline,
                "lock_wait": settings.lock_wait,
                "retention": settings.retention,
                "disk_minimum_mb": settings.disk_minimum_mb,
            },
            "convergence": _token(host.probe, release.id),
            "edge": edge_document(settings, self._args.edge, services, self._args.application),
            "watch": watch_document(settings),
            "fleet": {"hosts": labels, "leader": self._leader(labels)} if len(labels) > 1 else None,
        }
        # one text for one document: a release that comes from the state has its keys in another order
        return canonical(checked("deployment", document)).decode()

    def _leader(self, labels: Sequence[str]) -> str:
        """The host that runs the migrations: the first that runs a service with one, else the first."""
        for label in labels:
            application = self._args.application
            if any(application.entries[service]["migrate"] for service in application.services_of(label)):
                return label
        return labels[0]


def drift_of(probe: Mapping[str, Any]) -> list[str]:
    """Where a host differs from what it was told, in words; empty when it does not."""
    differences = [f"{entry['service']}: {entry['what']}" for entry in probe["drift"]]
    last = probe["last"]
    if last is not None and last["outcome"] == RETURNED:
        differences.append(f"release {last['release']} was brought back by the watch ({last['reason']})")
    if probe["interrupted"]:
        differences.append(f"a deployment was interrupted ({probe['interrupted']})")
    return differences


def _token(probe: Mapping[str, Any], release: str) -> str:
    """The host's own token while it runs `release` without drift, else a new one that no state can hold yet."""
    live = probe["live"]
    if live is not None and live["release"] == release and not drift_of(probe):
        return str(probe["convergence"])
    return f"c-{randomness.token_hex(8)}"


def _credentials(settings: Settings) -> list[dict[str, str]]:
    if not settings.registry_username:
        return []
    return [
        {
            "address": address_of(settings.registry),
            "username": settings.registry_username,
            "password": settings.registry_password.get_secret_value(),
        }
    ]


def _report(stdout: str) -> dict[str, Any]:
    """The report on the last line that an agent printed."""
    lines = stdout.strip().splitlines()
    try:
        return dict(checked("report", json.loads(lines[-1]))) if lines else {}
    except (ValueError, SlipwayError) as error:
        # An error that is logged fails the update; one that is raised in here would show as a traceback.
        pulumi.log.error(
            f"slipway: error: a host's report cannot be read ({' '.join(str(error).split())}) — "
            "what was deployed there is not known — slipway status"
        )
        return {}


def _summary(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    shown = ("release", "previous", "outcome", "touched", "seconds")
    return {host: {key: report[key] for key in shown if key in report} for host, report in reports.items()}


def _urls(application: Application, hosts: Sequence[Host], settings: Settings) -> list[str]:
    """`http://ADDRESS:PORT` of every published port whose service speaks HTTP as far as its smoke checks tell."""
    urls = []
    for service, entry in sorted(application.document["services"].items()):
        if not any(check["kind"] == "http" for check in application.entries[service]["smoke"]):
            continue
        for port in published_ports(entry):
            for host in hosts:
                if service in application.services_of(host.label):
                    named = settings.domain if settings.domain and len(hosts) == 1 else host.machine.authority
                    urls.append(f"http://{named}:{port.first}/".replace(":80/", "/"))
    return urls
