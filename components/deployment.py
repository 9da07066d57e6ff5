"""ComposeDeployment: one release on every host of a stack; reports release id, URLs and what each host did.

Drift: the engine compares inputs with inputs, so it cannot see what happened on a host. Every document carries a token
that the host keeps with its last success. A host that runs what it was given hands the token back and nothing
changes; where it does not, the document gets a new token, which shows as a change of that host's deployment.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi

from slipway.compose.schema_check import checked
from slipway.compose.service_inputs import service_inputs
from slipway.contract.compose_tree import secrets_of
from slipway.contract.plan import UNBUILT
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.agent_channel import agent_path
from slipway.hosts.deployment_document import deployment_document, drift_of, port_urls, route_urls
from slipway.hosts.plans import plan_text
from slipway.settings.engine_errors import raised_to_pulumi

from .release_record import ReleaseRecord
from .service import FingerprintKey, Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from slipway.compose.application import Application
    from slipway.compose.git import Revision
    from slipway.settings.model import Settings

    from .host import Host

__all__ = ["TYPE", "ComposeDeployment", "ComposeDeploymentArgs"]

TYPE = "slipway:deployment:ComposeDeployment"
"""The component's type in the engine's state."""

_REPORT = '{"contract":'  # begins every document of an agent


@dataclass(frozen=True, kw_only=True)
class ComposeDeploymentArgs:
    """What is deployed, and where."""

    settings: Settings
    application: Application
    revision: Revision
    images: Mapping[str, pulumi.Output[str]]
    """Service → image by digest."""
    hosts: Sequence[Host]
    edge: str = ""
    """The edge's image by digest; empty when no service has a route."""
    settled: Callable[[str], None] | None = None
    """Called with the name of each host when the engine is done with it (see `fleet`)."""
    plan: Callable[[str, str, Mapping[str, str]], Awaitable[Mapping[str, Any]]] | None = None
    """In a preview: called with a host's name, its document and the fingerprints of its secrets, gives what that would
    do (plan.schema.json)."""


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
        self._args, self._name = args, name
        settings, application, machines = args.settings, args.application, [host.machine for host in args.hosts]
        release = pulumi.Output.all(**args.images).apply(lambda images: application.release(args.revision, images))
        self.release = release.apply(lambda document: str(document["id"]))
        values = {each: settings.secrets[each].get_secret_value() for each in application.secrets}
        self._fingerprints = FingerprintKey(name, pulumi.ResourceOptions(parent=self)).of(values)
        reports = {host.label: self._on(host, release) for host in args.hosts}
        self.report = pulumi.Output.all(**reports).apply(dict)
        self.summary = self.report.apply(_summary)
        self.urls = pulumi.Output.from_input(
            [*route_urls(settings, application, machines), *port_urls(settings, application, machines)]
        )
        returned = {host.label: host.probe["returned"] for host in args.hosts if host.probe.get("returned")}
        own = pulumi.ResourceOptions(parent=self)
        record = ReleaseRecord(name, release, kind=settings.kind, returned=returned, opts=own)
        about = pulumi.Output.all(about=record.about, hosts=self.summary).apply(
            lambda known: {**known["about"], "hosts": known["hosts"], "project": name}
        )
        self.register_outputs(
            {
                "about": about,
                "document": record.document,
                "edge": args.edge,
                "release": self.release,
                "urls": self.urls,
                "report": self.report,
                "summary": self.summary,
            }
        )

    def _on(self, host: Host, release: pulumi.Output[dict[str, Any]]) -> pulumi.Output[dict[str, Any]]:
        """The deployment on one host; its report."""
        args, stack = self._args, self._args.application.stack
        for difference in () if host.probe["lock"] else drift_of(host.probe):  # what a deployment does is no drift
            pulumi.log.warn(printable(f"host {host.label}: {difference}"), resource=self)
        path = agent_path(stack)
        named = shlex.quote(",".join(args.settings.remove_volumes))
        volumes = f" --volumes {named}" if args.settings.remove_volumes else ""

        def document(assembled: Mapping[str, Any]) -> str:
            names = [each.label for each in args.hosts]
            return deployment_document(
                args.settings,
                args.application,
                assembled,
                args.edge,
                host=host.label,
                hosts=names,
                probe=host.probe,
            )

        if args.plan:
            show = partial(self._show_plan, host, document)
            known = pulumi.Output.all(images=args.images, fingerprints=self._fingerprints)
            known.apply(show, run_with_unknowns=True)  # type: ignore[arg-type]  # awaitable
        gone, destroy = f"[ ! -e {path} ]", f'exec python3 "$(readlink -f {path})" destroy --stack {stack}{volumes}'
        # In the state before anything is done: a first deployment that fails is not yet a resource in the state, and
        # `destroy` would leave on the host what it had begun. Both say on stdin whose it is; one of an older version
        # does not, and stays as it is.
        # Mostly the agent is gone by then; SSH reports a program that ends before it has read its stdin as `EOF`.
        removal = host.command(
            f"{self._name}-{host.label}-removal",
            delete=f"{gone} && exec cat >/dev/null || {destroy}",
            stdin=json.dumps({"owner": args.settings.owner, "host": host.label}),
            opts=pulumi.ResourceOptions(
                parent=host, delete_before_replace=True, ignore_changes=["stdin"], depends_on=host.keys
            ),
        )
        command = host.command(
            f"{self._name}-{host.label}",
            create=pulumi.Output.concat(
                f'exec python3 "$(readlink -f {path})" deploy --stack {stack} --release ', self.release
            ),
            delete=f"{gone} || {destroy}",
            stdin=pulumi.Output.secret(release.apply(raised_to_pulumi(document))),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, depends_on=[removal]),
        )
        self._services(host, command)
        if (settled := args.settled) and not pulumi.runtime.is_dry_run():
            command.stdout.apply(lambda _: settled(host.label))
        # The whole output counts as secret because stdin does; the agent keeps secrets out of its report, so it is not.
        return pulumi.Output.unsecret(command.stdout.apply(raised_to_pulumi(_report)))

    async def _show_plan(
        self, host: Host, document: Callable[[Mapping[str, Any]], str], found: Mapping[str, Any]
    ) -> str:
        """Say what a deployment would do on a host; what is yet to be built counts as changed."""
        args = self._args
        assert args.plan is not None  # noqa: S101  # the caller looked
        images = {
            name: image if isinstance(image, str) else f"{name}@{UNBUILT}" for name, image in found["images"].items()
        }
        fingerprints = found["fingerprints"] if isinstance(found["fingerprints"], dict) else {}
        try:
            wanted = document(args.application.release(args.revision, images))
            plan = await args.plan(host.label, wanted, fingerprints)
        except SlipwayError as error:
            pulumi.log.warn(
                f"host {host.label}: what would change cannot be planned: {printable(str(error))}", resource=self
            )
        else:
            pulumi.log.info(plan_text(plan), resource=self)
            for problem in map(Problem.from_json, plan.get("refused") or ()):
                said = printable(str(problem.on(host.label)))
                pulumi.log.warn(f"a deployment would be refused: {said}", resource=self)
        return ""

    def _services(self, host: Host, command: pulumi.Resource) -> None:
        """The services that a host runs, once it runs them."""
        application = self._args.application
        beside = application.services_of(host.label)
        for name in beside:
            used = sorted(secrets_of(application.document, name, application.entries[name]))
            inputs = {
                "image": self._args.images[name],
                **service_inputs(application, name, beside=beside),
                "secretValues": self._fingerprints.apply(partial(_only, used)),
            }
            Service(f"{host.label}/{name}", inputs, pulumi.ResourceOptions(parent=self, depends_on=[command]))


def _only(names: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    return {name: known[name] for name in names}


def _report(stdout: str) -> dict[str, Any]:
    """The report at the end of what a host printed; start-up files of its shell may have left a line open before it."""
    lines = stdout.strip().splitlines()
    try:
        return dict(checked("report", json.loads(lines[-1][max(lines[-1].find(_REPORT), 0) :]))) if lines else {}
    except (ValueError, SlipwayError) as error:
        raise SlipwayError(
            f"a host's report cannot be read ({' '.join(str(error).split())})",
            "what was deployed there is not known",
            "slipway status",
        ) from None


def _summary(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    shown = ("release", "previous", "outcome", "touched", "seconds")
    return {host: {key: report[key] for key in shown if key in report} for host, report in reports.items()}
