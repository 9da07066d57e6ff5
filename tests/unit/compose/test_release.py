"""Release: same inputs, same id; any change of anything, another; secrets by name only."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, DIGEST, application

from slipway.compose.application import Application
from slipway.compose.git import Revision
from slipway.compose.schema_check import checked
from slipway.contract.canonical import canonical, release_id
from slipway.contract.problems import SlipwayError

COMPOSE = """
    services:
      web:
        image: nginx
        environment: {PASSWORD: "${S}", GREETING: "${G:-hello} $$5 ünï"}
        volumes: ["./app.conf:/etc/app.conf:ro", "data:/data"]
        x-slipway: {port: 80, smoke: [{http: {path: /, json: {a: null}}}], migrate: "run it"}
      db: {image: postgres}
    volumes: {data: }
"""
REVISION = Revision("0" * 40, "main")
IMAGES = {"web": f"nginx:latest@{DIGEST}", "db": f"postgres:latest@{DIGEST}"}


def assemble(found: Application, revision: Revision = REVISION, images: dict[str, str] | None = None) -> dict[str, Any]:
    return found.release(revision, images or IMAGES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.conf").write_text("one")
    return tmp_path


def test_same_inputs_give_the_same_release(folder: Path) -> None:
    first = assemble(application(folder, COMPOSE, secrets={"S": CANARY}))
    second = assemble(application(folder, COMPOSE, secrets={"S": CANARY}), images=dict(reversed(IMAGES.items())))
    assert first["id"] == second["id"]
    assert canonical(first) == canonical(second)


def test_a_secrets_value_changes_nothing_and_is_nowhere(folder: Path) -> None:
    first = assemble(application(folder, COMPOSE, secrets={"S": CANARY}))
    second = assemble(application(folder, COMPOSE, secrets={"S": f"other-{CANARY}", "UNUSED": CANARY}))
    assert first == second
    assert first["secrets"] == ["S"]
    assert CANARY not in json.dumps(first)


def test_any_change_of_anything_is_another_release(folder: Path) -> None:
    secrets = {"S": CANARY, "T": CANARY}
    base = application(folder, COMPOSE, secrets=secrets)
    ids = [
        assemble(base)["id"],
        assemble(base, Revision("1" * 40, "main"))["id"],
        assemble(base, Revision("0" * 40 + "-dirty", "main"))["id"],
        assemble(base, Revision("0" * 40, "other"))["id"],
        assemble(base, images={**IMAGES, "db": f"postgres:17@{DIGEST}"})["id"],
        assemble(base, images={**IMAGES, "db": f"postgres:latest@{DIGEST[:-1]}0"})["id"],
        assemble(application(folder, COMPOSE, secrets=secrets, variables={"G": "bye"}))["id"],
        assemble(application(folder, COMPOSE, secrets=secrets, name="other"))["id"],
        assemble(application(folder, COMPOSE, secrets=secrets, stack="other"))["id"],
        assemble(application(folder, COMPOSE.replace("${S}", "${T}"), secrets=secrets))["id"],
        assemble(application(folder, COMPOSE.replace("path: /", "path: /x"), secrets=secrets))["id"],
        assemble(application(folder, COMPOSE.replace("run it", "run that"), secrets=secrets))["id"],
        assemble(application(folder, COMPOSE.replace("port: 80", "port: 81"), secrets=secrets))["id"],
        assemble(application(folder, COMPOSE.replace("data: }", "data: {name: x}}"), secrets=secrets))["id"],
    ]
    (folder / "app.conf").write_text("two")
    ids.append(assemble(application(folder, COMPOSE, secrets=secrets))["id"])
    (folder / "app.conf").chmod(0o755)
    ids.append(assemble(application(folder, COMPOSE, secrets=secrets))["id"])
    assert len(set(ids)) == len(ids)


def test_the_folder_it_is_read_from_does_not_matter(tmp_path: Path) -> None:
    ids = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.conf").write_text("x")
        ids.add(assemble(application(tmp_path / name, COMPOSE, secrets={"S": CANARY}))["id"])
    assert len(ids) == 1


def test_the_id_is_that_of_its_content_also_after_a_way_through_json(folder: Path) -> None:
    release = assemble(application(folder, COMPOSE, secrets={"S": CANARY}))
    assert release["id"] == release_id(release)
    assert release["id"] == release_id(json.loads(json.dumps(release)))


def test_the_document_keeps_the_contract(folder: Path) -> None:
    release = assemble(application(folder, COMPOSE, secrets={"S": CANARY}))
    document = {
        "contract": 1, "stack": "shop-test", "host": "here", "services": ["web"],
        "release": copy.deepcopy(release),
        "secrets": {"S": CANARY}, "registries": [], "convergence": "", "fleet": None, "edge": None, "watch": None,
        "options": {"deadline": 1, "health_deadline": 1, "lock_wait": 0, "retention": 2, "disk_minimum_mb": 0},
    }  # fmt: skip
    checked("deployment", document)
    del document["release"]["services"]["web"]["strategy"]
    with pytest.raises(SlipwayError):
        checked("deployment", document)


def test_every_service_has_its_image_by_digest_and_no_build(folder: Path) -> None:
    release = assemble(application(folder, COMPOSE, secrets={"S": CANARY}))
    services = release["compose"]["services"]
    assert {name: service["image"] for name, service in services.items()} == IMAGES == release["images"]
    assert not any("build" in service for service in services.values())


def test_a_service_without_an_image_is_a_bug_and_not_a_release(folder: Path) -> None:
    with pytest.raises(KeyError):
        assemble(application(folder, COMPOSE, secrets={"S": CANARY}), images={"web": IMAGES["web"]})


def test_putting_a_release_together_changes_nothing_else(folder: Path) -> None:
    found = application(folder, COMPOSE, secrets={"S": CANARY})
    before = copy.deepcopy((found.document, found.files))
    assemble(found)
    assert (found.document, found.files) == before
