"""A state that the layout of 73a406a made goes on: the same resources, told the same.

`earlier_state.json` is what `registered` gave there, with the imports of that layout: URN → inputs. A resource whose
URN and inputs are those of the state is neither replaced nor run again, so no container is touched.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from recorded import Recorded, is_secret, program
from samples import CANARY, DIGEST, LOCAL, PRIVATE_KEY, REMOTE, application, probe, settings

from components.deployment import ComposeDeployment, ComposeDeploymentArgs
from components.host import Host, HostArgs
from components.images import RegistryImages, RegistryImagesArgs
from slipway.compose.git import Revision

COMPOSE = """
    services:
      web:
        build: {context: ., args: {A: "1"}}
        environment: {PASSWORD: "${S}"}
        volumes: ["./app.conf:/etc/app.conf:ro", "data:/data"]
        healthcheck: {test: [CMD, "true"]}
        deploy: {replicas: 2, update_config: {order: start-first}}
        x-slipway: {route: shop.example.com, port: 80, migrate: {command: [migrate]}, smoke: [{http: {path: /}}]}
      db: {image: postgres:17, volumes: ["data:/var/lib/postgresql/data"]}
    volumes: {data: {}}
"""
EDGE = f"traefik:v3.6.0@{DIGEST}"
TAGS = "urn:pulumi:test::slipway::slipway:images:RegistryImages$command:local:Command::shop-tags"
STATE = Path(__file__).with_name("earlier_state.json")


def registered(folder: Path) -> dict[str, dict[str, Any]]:
    """URN → inputs of all that a deployment to two hosts registers when its release is live there already."""
    (folder / "app.conf").write_text("configuration")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    values: dict[str, Any] = {
        "secrets": {"S": CANARY}, "ssh_key": PRIVATE_KEY, "hosts": [LOCAL, REMOTE], "registry_username": "me",
        "registry_password": CANARY, "mirror": "",
    }  # fmt: skip
    shop, revision = application(folder, COMPOSE, **values), Revision("0" * 40, "main")
    given = settings(folder, **values)
    images = {"web": f"ghcr.io/acme/shop-web:test@{DIGEST}", "db": f"postgres:17@{DIGEST}"}
    release = shop.release(revision, images)["id"]
    report = {
        "contract": 1, "stack": "shop-test", "host": "here", "release": release, "previous": None,
        "outcome": "deployed", "touched": ["web"], "services": {}, "seconds": 1.5, "phases": {},
        "removed": [], "warnings": [],
    }  # fmt: skip
    running = {"release": release, "commit": "", "branch": "", "since": "x", "images": {}, "services": {}}

    def build() -> Any:
        built = RegistryImages(
            "shop", RegistryImagesArgs(settings=given, application=shop, revision=revision, live=images, live_edge=EDGE)
        )
        hosts = [
            Host(
                machine.name,
                HostArgs(
                    machine=machine, private_key=PRIVATE_KEY, probe=probe(live=running, convergence="c-of-the-host")
                ),
            )
            for machine in given.hosts
        ]
        made = ComposeDeployment(
            shop.stack,
            ComposeDeploymentArgs(
                settings=given, application=shop, revision=revision, images=built.images, hosts=hosts, edge=EDGE
            ),
        )
        return made.release, made.urls

    found = program(Recorded(stdout=json.dumps(report)), build)
    assert found[0] == release
    monitor: Any = pulumi.runtime.settings.get_monitor()
    return {urn: copy.deepcopy(each.state) for urn, each in monitor.resources.items()}


def opened(value: Any) -> Any:
    """The inputs with secrets in the clear, and the documents that hosts are told as what they say."""
    if is_secret(value):
        return {"secret": opened(value["value"])}
    if isinstance(value, dict):
        return {key: opened(each) for key, each in sorted(value.items())}
    if isinstance(value, str) and value.startswith("{"):
        return json.loads(value)
    return value


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("program")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {urn: opened(inputs) for urn, inputs in registered(folder).items()}


@pytest.fixture(scope="module")
def earlier() -> dict[str, dict[str, Any]]:
    return dict(json.loads(STATE.read_text()))


def told(urn: str) -> bool:
    """Whether it is new since and does nothing on a host: a service as the engine shows it, their key, the removal."""
    return any(
        part in urn for part in ("slipway:deployment:Service::", "slipway:deployment:FingerprintKey", "-removal")
    )


def test_no_resource_is_created_deleted_or_of_another_type(
    earlier: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]
) -> None:
    assert sorted(urn for urn in now if not told(urn)) == sorted(earlier)


def test_only_the_command_that_tags_images_runs_again(
    earlier: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]
) -> None:
    assert {urn for urn in now if now[urn] != earlier.get(urn) and not told(urn)} == {TAGS}
    changed = {key for key in now[TAGS] if now[TAGS][key] != earlier[TAGS].get(key)}
    assert changed <= {"create", "update"}  # in place, and all it does is tag
