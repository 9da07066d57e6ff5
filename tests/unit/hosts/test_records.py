"""What an offline preview reads of the stack's state, and what it says where that cannot be read."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from documents import document

from slipway.contract.problems import SlipwayError
from slipway.hosts import records
from slipway.hosts.records import read_deployed, read_records

if TYPE_CHECKING:
    from pathlib import Path

URN = "urn:pulumi:staging::slipway::x::"


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `pulumi stack export` prints."""
    engine = tmp_path / "bin" / "pulumi"
    engine.parent.mkdir()
    engine.write_text(
        f'#!/bin/sh\ncat "{tmp_path}/state.json" || {{ echo "error: no stack named it" >&2; exit 255; }}\n'
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{engine.parent}:/usr/bin:/bin")
    return tmp_path / "state.json"


def state(*resources: dict[str, Any]) -> str:
    return json.dumps({"version": 3, "deployment": {"resources": resources} if resources else {}})


def test_the_last_proven_deployment_is_what_its_component_says(exported: Path) -> None:
    release = document()["release"]
    services = {name: {"image": "a", "release": release["id"], "replicas": 1, "containers": []} for name in ("web",)}
    exported.write_text(state(
        {"urn": f"{URN}web-1", "type": "slipway:host:Host", "outputs": {"docker": "26.1.5"}},
        {"urn": f"{URN}shop", "type": "slipway:deployment:ComposeDeployment", "outputs": {
            "document": json.dumps(release), "edge": "traefik@sha256:1",
            "report": {"web-1": {"services": services, "convergence": "c-1"}},
        }},
        {"urn": f"{URN}web-1/web", "type": "slipway:deployment:Service", "inputs": {"secretValues": {"TOKEN": "f1"}}},
        {"urn": f"{URN}web-1/db", "type": "slipway:deployment:Service", "inputs": {"secretValues": {"PASSWORD": "f2"}}},
    ))  # fmt: skip
    found = read_records("staging")
    assert found.hosts["web-1"].document == {
        "release": release, "services": services, "edge": "traefik@sha256:1",
        "secrets": {"TOKEN": "f1", "PASSWORD": "f2"},
    }  # fmt: skip
    probe = found.probe("web-1")
    assert (probe["convergence"], probe["machine"], probe["live"]["release"]) == (
        "c-1", {"docker": "26.1.5"}, release["id"],
    )  # fmt: skip
    assert found.probe("new")["live"] is None


@pytest.mark.parametrize(
    "resources",
    [
        (),
        ({"urn": f"{URN}web-1", "type": "slipway:host:Host"},),
        ({"urn": f"{URN}shop", "type": "slipway:deployment:ComposeDeployment", "outputs": {}},),
        ({"urn": f"{URN}shop", "type": "slipway:deployment:ComposeDeployment"},),
    ],
)
def test_a_state_without_a_proven_deployment_has_no_records(exported: Path, resources: Any) -> None:
    exported.write_text(state(*resources))
    assert not read_records("staging").hosts


@pytest.mark.parametrize(
    "content",
    [
        "no JSON", "null", "[]", state({"type": "slipway:host:Host"}),
        *(
            state({"urn": f"{URN}shop", "type": "slipway:deployment:ComposeDeployment", "outputs": outputs})
            for outputs in (
                {"document": {"secure": "x"}}, {"document": "{"}, {"document": "{}"},
                {"document": json.dumps(document()["release"]), "report": {"web-1": {}}},
                {"document": json.dumps(document()["release"]), "report": "x"},
            )
        ),
    ],
)  # fmt: skip
def test_a_state_that_is_damaged_is_told(exported: Path, content: str) -> None:
    exported.write_text(content)
    with pytest.raises(SlipwayError, match=r"^slipway: error: the state of staging is not"):
        read_records("staging")


def test_what_another_resource_took_the_place_of_is_passed_over(exported: Path) -> None:
    release = document()["release"]
    services = {"web": {"image": "a", "release": release["id"], "replicas": 1, "containers": []}}
    outputs = {"document": json.dumps(release), "edge": "", "report": {"web-1": {"services": services}}}
    kind = "slipway:deployment:Service"
    exported.write_text(state(
        {"urn": f"{URN}shop", "type": "slipway:deployment:ComposeDeployment", "outputs": outputs},
        {"urn": f"{URN}shop", "type": "slipway:deployment:ComposeDeployment"},
        {"urn": f"{URN}web-1/web", "type": kind, "inputs": {"secretValues": {"TOKEN": "new"}}},
        {"urn": f"{URN}web-1/web", "type": kind, "delete": True, "inputs": {"secretValues": {"TOKEN": "old"}}},
    ))  # fmt: skip
    assert read_records("staging").hosts["web-1"].document["secrets"] == {"TOKEN": "new"}


def test_a_state_that_cannot_be_read_is_told(exported: Path) -> None:
    with pytest.raises(SlipwayError, match=r"the state of staging cannot be read .*no stack named it"):
        read_records("staging")
    assert not exported.exists()


def test_an_engine_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SlipwayError, match="No such file or directory"):
        records.read_records("staging")


def test_what_a_state_deployed_is_said_by_the_commands_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(stdout: str = "x", *, stack: str = "shop-prod", create: str | None = "exec x deploy --stack x ") -> Any:
        return {"outputs": {"create": create, "delete": f"exec 'x destroy --stack {stack}'", "stdout": stdout}}

    deploys, removes = (
        "slipway:deployment:ComposeDeployment$command:remote:Command",
        "slipway:host:Host$command:local:C",
    )
    state: dict[str, Any] = {
        "team:Site$slipway:host:Host::web-1": {"outputs": {"address": "10.0.0.1"}},
        "slipway:host:Host::web-2": {},
        f"{deploys}::shop-prod-web-1": command(),
        f"{removes}::shop-prod-web-1-removal": command("", create=None),
        f"{deploys}::shop-prod-web-2": command(),
        f"{deploys}::shop-prod-web-3": command(""),
        f"team:Site${deploys}::blog-web-1": command(stack="blog"),
        f"{removes}::new-web-1-removal": command("", stack="new", create=None),
        "command:local:Command::key": {"outputs": {"create": "head -c 32"}},
        "command:local:Command::infra": {
            "outputs": {
                "create": "npx cdk deploy --stack infra ",
                "delete": "npx cdk destroy --stack infra",
                "stdout": "ok",
            }
        },
    }
    answer = SimpleNamespace(value={"outputs": {f"urn:pulumi:prod::x::{name}": each for name, each in state.items()}})
    monkeypatch.setattr("pulumi.runtime.invoke", lambda *_: answer)
    one = {"web-1": "10.0.0.1"}
    assert read_deployed("prod") == (
        {"shop-prod": {**one, "web-2": ""}, "blog": one},
        {"shop-prod": {**one, "web-2": "", "web-3": ""}, "blog": one, "new": one},
    )
    answer.value = {"outputs": {}}
    assert read_deployed("prod") == ({}, {})


@pytest.mark.parametrize(
    ("said", "times", "raised"),
    [
        ("failed to load checkpoint: EOF", 3, False),
        ("failed to load checkpoint: EOF", 9, True),
        ("no such stack", 1, True),
    ],
)
def test_a_state_that_the_engine_is_writing_is_read_once_more(
    monkeypatch: pytest.MonkeyPatch, said: str, times: int, *, raised: bool
) -> None:
    answers = [Exception(said)] * times + [SimpleNamespace(value={"outputs": {URN: {"outputs": {"a": 1}}}})]

    def invoke(*_: object) -> SimpleNamespace:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(records.pulumi.runtime, "invoke", invoke)
    monkeypatch.setattr(records, "_WRITTEN_SECONDS", 0)
    if raised:
        with pytest.raises(Exception, match=said):
            records.outputs_in_state("staging")
    else:
        assert records.outputs_in_state("staging") == {URN: {"a": 1}}
