"""History and the way back with the real engine: on a folder as backend and on an S3-compatible store."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import asyncssh
import jsonschema_rs
import pytest
from object_store import object_store
from stack_harness import ROOT, docker

from slipway.compose.schema_check import release_checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack_harness import Stack


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """Three releases, A, B and C, whose web answers 1, 2 and 3. C is live unless a test says so."""
    return filled(make_stack())


def filled(stack: Stack) -> Stack:
    stack.up()
    stack.application.write({"config.json": '{"colour": "green"}'})
    stack.application.version("web", "2")
    stack.up()
    stack.variables["GREETING"] = "good evening"
    stack.application.version("web", "3")
    stack.up()
    return stack


def history(stack: Stack, *argv: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(stack.slipway("history", "--json", "--all", *argv).out)
    return document


def releases(stack: Stack) -> list[str]:
    """Those of A, B and C."""
    oldest_first = [entry["release"] for entry in reversed(history(stack)["entries"]) if entry["result"] == "succeeded"]
    return list(dict.fromkeys(oldest_first))[:3]


def running(stack: Stack) -> dict[str, str]:
    """Service → digest of what runs."""
    return {service: container.digest for service, container in stack.containers().items()}


def test_history_tells_every_update_with_its_release_actor_and_hosts(stack: Stack) -> None:
    found = history(stack)
    newest = found["entries"][0]
    assert [entry["number"] for entry in found["entries"]] == list(range(len(found["entries"]), 0, -1))
    assert found["live"] == newest["release"] == stack.outputs["release"]
    assert newest["actor"]
    assert newest["hosts"]["local"]["outcome"] == "deployed"
    assert newest["images"].keys() == {"web", "side"}
    assert {entry["kind"] for entry in found["entries"]} == {"deploy"}
    assert found["entries"][1]["back"]["kind"] == "warm"
    assert found["errors"] == []


def test_back_to_a_forward_to_c_and_every_step_is_in_the_history(stack: Stack) -> None:
    first, _, last = releases(stack)
    at_c = running(stack)
    before = len(history(stack)["entries"])

    plan = stack.slipway("rollback", "--to", "1", "--plan").out
    assert first in plan
    assert "image of web" in plan
    assert "good evening" in plan
    assert re.search(r"web +recreated; interrupted.*\s+image \w+ => \w+, .*mount /etc/app/config.json", plan), plan
    assert "interrupted for a while: side on local, web on local" in plan
    assert running(stack) == at_c

    stack.slipway("rollback", "--to", "1", "-m", "the new one is ugly")
    assert stack.serves("1")
    assert stack.get("/config")["config"] == "{}", "the configuration file of then"
    assert "GREETING" not in stack.containers()["side"].environment or (
        stack.containers()["side"].environment["GREETING"] == "hello"
    ), "the Compose file of then"
    newest = history(stack)["entries"][0]
    assert (newest["kind"], newest["release"], newest["result"]) == ("rollback", first, "succeeded")
    assert newest["message"].endswith("the new one is ugly")

    stack.slipway("rollback", "--to", last)
    assert running(stack) == at_c, "the very images, not others of the same source"
    assert set(stack.up().steps.values()) == {"same"}, "what the rollback left is what the stack file says"
    kinds = [entry["kind"] for entry in history(stack)["entries"]]
    assert len(kinds) == before + 3
    assert kinds[:3] == ["deploy", "rollback", "rollback"]


def test_rotated_secret_stays_rotated_on_the_way_back_and_up_goes_forward_again(stack: Stack) -> None:
    at_c, pushed = running(stack), stack.tags("shop-web")
    stack.secrets["TOKEN"] = "rotated-token-of-the-tests"
    stack.up()
    stack.slipway("rollback", "--to", "1")
    assert stack.serves("1")
    assert stack.containers()["web"].environment["TOKEN"] == "rotated-token-of-the-tests"
    assert "rotated-token" not in json.dumps(history(stack))
    assert stack.up().changes == {f"{stack.project}-local": "update"}, "nothing is built"
    assert stack.serves("3")
    assert running(stack) == at_c, "the very images, not others of the same source"
    assert stack.tags("shop-web") == pushed


def test_failed_update_is_told_and_the_way_back_skips_it(stack: Stack) -> None:
    live, version = history(stack)["live"], stack.get()["version"]
    stack.variables["MODE"] = "crash"
    stack.up(expect_failure=True)
    stack.variables.pop("MODE")
    newest = history(stack)["entries"][0]
    assert (newest["result"], newest["kind"]) == ("failed", "deploy")
    assert newest["release"] not in (None, live)
    assert "did not become healthy" in newest["reason"]
    assert newest["back"] == {"kind": "no", "reason": "it never ran well"}
    assert history(stack)["live"] == live

    refused = stack.slipway("rollback", "--to", str(newest["number"]), expect=1)
    assert "it never ran well" in refused.errors
    assert "--force" in refused.errors
    assert stack.serves(version)

    stack.slipway("rollback")
    assert history(stack)["live"] not in (live, newest["release"])
    assert not stack.serves(version)
    stack.up()


def test_images_that_are_gone_are_refused_before_anything_changes(stack: Stack) -> None:
    """Ends with A live."""
    first = releases(stack)[0]
    before = stack.host_state()["containers"]
    image = next(entry for entry in history(stack)["entries"] if entry["release"] == first)["images"]["web"]
    for name in docker(
        "image", "ls", "--quiet", "--no-trunc", "--filter", f"reference={image.partition('@')[0]}"
    ).split():
        docker("image", "rm", "--force", name, check=False)
    docker(
        "image", "rm", "--force", f"{image.partition('@')[0].rpartition(':')[0]}@{image.partition('@')[2]}", check=False
    )
    repository, digest = image.partition("@")[0].rpartition(":")[0].partition("/")[2], image.partition("@")[2]
    manifest = stack.take_manifest(repository, digest)
    try:
        assert history(stack)["entries"][-1]["back"]["kind"] == "cold"
        refused = stack.slipway("rollback", "--to", "1", expect=1)
        assert "is gone from its registry" in refused.errors
        assert stack.host_state()["containers"] == before
    finally:
        stack.put_manifest(repository, digest, manifest)
    cold = stack.slipway("rollback", "--to", "1")
    assert "images are pulled from their registry" in cold.out
    assert stack.serves("1")


def test_release_of_an_update_is_one_that_plain_pulumi_deploys(stack: Stack) -> None:
    printed = stack.slipway("show", "2", "--release").out
    release = release_checked(json.loads(printed))
    file = stack.folder / "release.json"
    file.write_text(printed)
    stack.up(SLIPWAY_RELEASE=str(file), SLIPWAY_KIND="rollback")
    assert stack.serves("2")
    assert stack.outputs["release"] == release["id"]
    file.write_text(printed.replace("shop-web", "shop-bad"))
    run = stack.up(expect_failure=True, SLIPWAY_RELEASE=str(file))
    assert "its content is another release" in run.text
    stack.up()
    assert stack.serves("3")


def test_show_and_diff_tell_what_changed_and_no_secret(stack: Stack) -> None:
    def load(uri: str) -> Any:
        name = uri.rpartition("/")[2]
        folder = "slipway/contract/schemas" if name == "report.schema.json" else "slipway/cli/schemas"
        return json.loads((ROOT / folder / name).read_text())

    def as_its_schema_says(*argv: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(stack.slipway(*argv, "--json").out)
        jsonschema_rs.validator_for(load(f"{argv[0]}.schema.json"), retriever=load).validate(document)
        return document

    as_its_schema_says("history", "--all")
    shown = as_its_schema_says("show", "2")
    assert shown["reports"]["local"]["touched"] == ["web"]
    assert {"name": f"{stack.project}-local", "type": "command:local:Command", "what": "updated"} in shown["resources"]
    found = as_its_schema_says("diff", "1", "3")
    assert [image["name"] for image in found["images"]] == ["web"]
    assert any("+  GREETING: good evening" in line for each in found["services"] for line in each["lines"])
    assert any('+{"colour": "green"}' in line for each in found["files"] for line in each["lines"])
    said = stack.slipway("diff", "1", "3").text
    assert all(len(line) < 400 for line in said.splitlines())
    assert stack.secrets["TOKEN"] not in json.dumps([shown, found, said])


def test_the_way_back_in_an_object_store_is_the_same(make_stack: Callable[..., Stack]) -> None:
    with object_store() as bucket:
        stack = make_stack(backend=bucket.environment)
        stack.up()
        stack.application.write({"config.json": '{"colour": "green"}'})
        stack.application.version("web", "2")
        stack.up()
        stack.slipway("rollback")
        assert stack.serves("1")
        assert stack.get("/config")["config"] == "{}"
        assert '+{"colour": "green"}' in stack.slipway("diff", "1", "2").out
        found = [(entry["number"], entry["kind"], entry["release"]) for entry in history(stack)["entries"]]
        assert [(number, kind) for number, kind, _ in found] == [(3, "rollback"), (2, "deploy"), (1, "deploy")]
        assert found[0][2] == found[2][2] != found[1][2]
        stack.remove()  # while its backend is there


def test_way_back_survives_the_loss_of_the_backend(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.up()
    stack.application.version("web", "2")
    stack.up()
    first, second = releases(stack)
    bundle = str(stack.folder / "bundle.tar.gz")
    stack.slipway("export", "--to", bundle)
    shutil.rmtree(stack.folder / "state")
    stack.slipway("import", bundle)
    found = history(stack)
    assert found["live"] == second
    assert [(entry["number"], entry["release"]) for entry in found["entries"]] == [(None, second), (None, first)]
    assert found["entries"][1]["back"]["kind"] == "warm", "the host keeps it"
    stack.slipway("rollback")
    assert stack.serves("1")
    assert history(stack)["entries"][0]["number"] == 1, "a history anew"
    stack.slipway("rollback", "--from", bundle)
    assert stack.serves("2")


def test_host_that_does_not_answer_leaves_the_updates_to_be_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = asyncssh.generate_private_key("ssh-ed25519")
    public, key = pair.export_public_key().decode(), pair.export_private_key().decode()
    hosts = [{"name": "local", "address": "127.0.0.1", "port": 1, "hostKey": public}]
    monkeypatch.setitem(stack.settings, "hosts", hosts)
    said = stack.slipway("history", "--json", SLIPWAY_SSH_KEY=key)
    found = json.loads(said.out)
    assert found["entries"][0]["result"] == "succeeded"
    assert found["errors"]
    refused = stack.slipway("rollback", "--to", "1", expect=1, SLIPWAY_SSH_KEY=key)
    assert "host local" in refused.errors
    assert json.loads(stack.slipway("history", "--json", "--no-hosts", SLIPWAY_SSH_KEY="rubbish").out)["entries"]


def test_irreversible_migration_bars_the_way_back_until_forced(stack: Stack) -> None:
    before, version = stack.outputs["release"], stack.get()["version"]
    stack.application.replace("compose.yaml", "migrate]}", "migrate], irreversible: true}")
    stack.application.version("web", "4")
    stack.up()
    refused = stack.slipway("rollback", "--to", before, expect=1)
    assert "a migration since then cannot be undone" in refused.errors
    assert stack.serves("4")
    forced = stack.slipway("rollback", "--to", before, "--force")
    assert "overridden: " in forced.errors
    assert stack.serves(version)
