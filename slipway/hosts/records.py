"""Previews that look at no host (`preview: offline`): what the stack's state says of the last proven deployment.

The state is read as the engine exports it, without its secrets. The planner is the agent's, run here.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pulumi

from slipway.compose.schema_check import checked, release_checked
from slipway.contract.problems import SlipwayError, in_brief
from slipway.hosts.agent_package import pack_agent
from slipway.hosts.plans import published
from slipway.settings.model import LOCAL_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Deployed", "Record", "Records", "outputs_in_state", "read_deployed", "read_records"]

_ENGINE_SECONDS = 120
_PLAN_SECONDS = 60
_WRITTEN_SECONDS = 0.2  # what the engine takes to write a state of many resources
_REMOVES = re.compile(r" destroy --stack ([a-z0-9_-]+)")
_OURS = re.compile(r"slipway:(host:Host|deployment:ComposeDeployment)\$command:")
_UNKNOWN = "unknown"
_ONLINE = "export SLIPWAY_PREVIEW=online && slipway preview"


class Record(NamedTuple):
    """What the state says of a host that a release was proven on."""

    document: Mapping[str, Any]
    """record.schema.json"""
    convergence: str
    """Token of that deployment."""
    docker: str
    """Version of the host's engine."""


class Records(NamedTuple):
    """What the state says of a stack's hosts."""

    hosts: Mapping[str, Record]

    def probe(self, host: str) -> dict[str, Any]:
        """What a look at the host would have found if it is as recorded; of a probe document what a preview needs."""
        record = self.hosts.get(host)
        release = record.document["release"] if record else {}
        return {
            "machine": {"docker": record.docker if record else _UNKNOWN},
            "live": {"release": release["id"], "images": release["images"]} if record else None,
            "convergence": record.convergence if record else "",
            "owner": _UNKNOWN,
            "drift": [],
            "lock": None,
            "last": None,
            "returned": None,
            "interrupted": None,
            "edge": {"image": record.document["edge"]} if record else None,
        }

    async def plan(self, host: str, document: str, fingerprints: Mapping[str, str]) -> dict[str, Any]:
        """The Plan document (plan.schema.json) of `host` for a deployment document.

        Raises:
            SlipwayError: what the planner complains of.
        """
        given = json.loads(document)
        record = self.hosts.get(host)
        known = {**(record.document["secrets"] if record else {}), **fingerprints}
        given["secrets"] = {name: known.get(name, _UNKNOWN) for name in given["secrets"]}
        content = json.dumps({"document": given, "record": record.document if record else None})
        return published(await asyncio.to_thread(_planned, given["stack"], content), host)


def _planned(stack: str, content: str) -> Mapping[str, Any]:
    with tempfile.NamedTemporaryFile(prefix="slipway-", suffix=".pyz") as agent:
        agent.write(pack_agent().content)
        agent.flush()
        try:
            done = subprocess.run(
                [sys.executable, "-I", agent.name, "plan-recorded", "--stack", stack],
                input=content, capture_output=True, text=True, timeout=_PLAN_SECONDS, check=False,
            )  # fmt: skip
            problem = in_brief(done.stderr) if done.returncode else ""
        except subprocess.TimeoutExpired:
            problem = f"no answer within {_PLAN_SECONDS} s"
    if problem:
        raise SlipwayError(f"the planner failed ({problem})", "the state alone does not say what would change", _ONLINE)
    return checked("plan", json.loads(done.stdout))


def read_records(stack: str) -> Records:
    """What the state of `stack` says; run in the folder of Pulumi.yaml.

    Raises:
        SlipwayError: the engine does not give the state.
    """
    resources = _exported(stack)
    try:
        return _read(resources)
    except (ValueError, TypeError, KeyError, AttributeError, SlipwayError):
        raise SlipwayError(
            f"the state of {stack} is not as Slipway writes it", "an offline preview plans against it", _ONLINE
        ) from None


class Deployed(NamedTuple):
    """Compose project → host → its address (`local` for this machine), of what a state has."""

    done: Mapping[str, Mapping[str, str]]
    """What a deployment was proven on."""
    begun: Mapping[str, Mapping[str, str]]
    """These, and what the engine would take a stack off: a first deployment failed, or was cut off."""


def outputs_in_state(stack: str, tries: int = 4) -> dict[str, dict[str, Any]]:
    """URN → outputs of every resource in the state of `stack`.

    The engine that runs this program is asked, which takes a hundredth of a second; `pulumi stack export` takes one.
    It may be writing that state, in a folder, at this very moment, and reads half of it then.
    """
    try:
        state = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": stack}).value or {}
    except Exception as error:
        if not tries or "failed to load checkpoint" not in str(error):
            raise
        time.sleep(_WRITTEN_SECONDS)
        return outputs_in_state(stack, tries - 1)
    return {urn: each.get("outputs") or {} for urn, each in state.get("outputs", {}).items()}


def read_deployed(stack: str) -> Deployed:
    """What the state of `stack` has deployed."""
    addresses: dict[str, str] = {}
    done: dict[str, dict[str, str]] = {}
    begun: dict[str, dict[str, str]] = {}
    for urn, outputs in outputs_in_state(stack).items():
        kind, _, name = urn.rpartition("::")  # below another component, where a program nests them
        if kind.endswith("slipway:host:Host"):
            addresses[name] = str(outputs.get("address", ""))
        elif (ours := _OURS.search(kind)) and (made := _REMOVES.search(str(outputs.get("delete")))):
            host = name.removeprefix(f"{made[1]}-")
            host = host.removesuffix("-removal") if ours[1] == "host:Host" else host
            begun.setdefault(made[1], {})[host] = way = LOCAL_ADDRESS if kind.endswith("$command:local:Command") else ""
            if ours[1] != "host:Host" and outputs.get("stdout"):
                done.setdefault(made[1], {})[host] = way

    def addressed(found: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        return {
            project: {host: at or addresses.get(host, "") for host, at in hosts.items()}
            for project, hosts in found.items()
        }

    return Deployed(addressed(done), addressed(begun))


def _read(resources: Iterable[Mapping[str, Any]]) -> Records:
    deployment: dict[str, Any] = {}
    secrets: dict[str, dict[str, str]] = {}
    docker = {}
    for each in resources:
        if each.get("delete"):  # what another has taken the place of
            continue
        name, outputs = each["urn"].rpartition("::")[2], each.get("outputs") or {}
        if each["type"] == "slipway:deployment:ComposeDeployment":
            deployment = outputs if outputs.get("document") else deployment
        elif each["type"] == "slipway:host:Host":
            docker[name] = str(outputs.get("docker") or _UNKNOWN)
        elif each["type"] == "slipway:deployment:Service":
            values = (each.get("inputs") or {}).get("secretValues") or {}
            secrets.setdefault(name.partition("/")[0], {}).update(values)
    if not deployment.get("document"):
        return Records({})
    release = release_checked(json.loads(deployment["document"]))
    hosts = {}
    for host, report in (deployment.get("report") or {}).items():
        own = {"release": release, "services": report["services"], "edge": deployment.get("edge", "")}
        document = checked("record", {**own, "secrets": secrets.get(host, {})})
        hosts[host] = Record(document, report.get("convergence", ""), docker.get(host, _UNKNOWN))
    return Records(hosts)


def _exported(stack: str) -> list[dict[str, Any]]:
    problem = ""
    try:
        done = subprocess.run(
            ["pulumi", "stack", "export", "--stack", stack, "--non-interactive"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_ENGINE_SECONDS,
            check=False,
        )  # fmt: skip
        problem = (done.stderr.strip() or f"it ended with {done.returncode}") if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = getattr(error, "strerror", None) or f"no answer within {_ENGINE_SECONDS} s"
    if problem:
        raise SlipwayError(
            f"the state of {stack} cannot be read ({in_brief(problem)})",
            "an offline preview plans against the stack's state",
            f"pulumi stack export --stack {stack}",
        )
    try:
        return list((json.loads(done.stdout).get("deployment") or {}).get("resources") or [])
    except (ValueError, AttributeError, TypeError):
        raise SlipwayError(
            f"the state of {stack} is not JSON", "an offline preview plans against it", _ONLINE
        ) from None
