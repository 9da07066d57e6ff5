"""A stack whose backend is lost comes back from a bundle: in a folder, in a bucket, and from the one to the other."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from object_store import object_store

from slipway.releases.backend.checkpoints import live_release_in
from slipway.releases.bundles.storage import read_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from object_store import Bucket
    from stack_harness import Stack

CORE = "canary-of-the-tests"  # what stays of each secret however often it is escaped
CANARIES = {"TOKEN": f'{CORE}-"env"/ö?$& value', "OTHER": f"http://127.0.0.1:9/{CORE}"}
PLAIN = "a plain greeting"


def slipway(stack: Stack, *argv: str, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
    """Run the real command; its standard output."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("slipway")), *argv],
        cwd=stack.folder,
        env={**stack.environment, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, f"slipway {' '.join(argv)}: {done.stdout}{done.stderr}"
    assert not any(canary in done.stdout + done.stderr for canary in CANARIES.values())
    return done.stdout if code == 0 else done.stderr


def exported(stack: Stack, to: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Make a bundle; what the command says of it."""
    said = slipway(stack, "export", "--stack", stack.name, "--to", to, "--json", environment=environment)
    document: dict[str, Any] = json.loads(said)
    return document


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A deployed shop, with secrets from the environment and in its stack file, and a tag."""
    stack = make_stack(secrets={"TOKEN": CANARIES["TOKEN"]}, variables={"GREETING": PLAIN})
    stack.pulumi("config", "set", "--secret", "notifyUrl", stdin=CANARIES["OTHER"])
    stack.pulumi("stack", "tag", "set", "team", "shop")
    stack.up()
    return stack


@pytest.fixture(scope="module")
def bundle(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A bundle of it, in a folder elsewhere; its place is under `bundle`."""
    return exported(stack, f"{tmp_path_factory.mktemp('bundles')}/")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with object_store() as bucket:
        yield bucket


def _forms(value: str) -> set[bytes]:
    """A value as it would stand in a file: as it is, in JSON, in an address, and in base64 at any offset."""
    raw = value.encode()
    texts = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], urllib.parse.quote(value)}
    within = {base64.b64encode(b"x" * offset + raw)[4 if offset else 0 : -4] for offset in range(3)}
    return {text.encode() for text in texts} | within


def test_a_bundle_holds_no_secret_in_the_clear(stack: Stack, bundle: dict[str, Any]) -> None:
    with tarfile.open(bundle["bundle"]) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        parts = {name: file.read() for name, file in files.items() if file}
    assert set(parts) == {"manifest.json", "state.json", "release.json", "stack.yaml", "tags.json"}
    for name, content in parts.items():
        for canary in (CORE, *CANARIES.values()):
            assert not [form for form in _forms(canary) if form in content], name
    # the same look finds what is not secret, and, with the passphrase, what is
    assert any(form in parts["release.json"] for form in _forms(PLAIN))
    assert CORE in stack.pulumi("stack", "export", "--show-secrets")


def test_a_bundle_says_what_it_is_of_and_is_its_owners_alone(stack: Stack, bundle: dict[str, Any]) -> None:
    release = stack.outputs["release"]
    path = Path(bundle["bundle"])
    assert path.name == f"slipway-{stack.name}-1-{release}.slipway.tar.gz"
    assert path.stat().st_mode & 0o777 == 0o600
    assert bundle["manifest"]["release"] == release
    assert bundle["manifest"]["application"] == "shop"
    assert bundle["manifest"]["backend"] == "folder"
    read = read_bundle(str(path), {})
    assert read.release is not None
    assert read.release["id"] == release
    assert read.tags == {"team": "shop"}
    assert read.state == json.loads(stack.pulumi("stack", "export"))


def _is_as_before(stack: Stack, containers: dict[str, str], environment: Mapping[str, str] | None = None) -> None:
    """The engine finds nothing to change, and the hosts run what was deployed."""
    given = dict(environment or {})
    run = stack.up(**given)
    assert set(run.steps.values()) == {"same"}, run.text
    assert not run.said("warning")
    assert stack.ids() == containers
    assert "as deployed" in slipway(stack, "status", "--stack", stack.name, environment=given)


def test_a_lost_folder_and_stack_file_come_back_and_nothing_on_the_host_changes(
    stack: Stack, bundle: dict[str, Any]
) -> None:
    containers, document = stack.ids(), read_bundle(bundle["bundle"], {}).release
    file = stack.folder / f"Pulumi.{stack.name}.yaml"
    content = file.read_bytes()
    file.unlink()
    shutil.rmtree(stack.folder / "state")

    said = slipway(stack, "import", bundle["bundle"])
    assert f"created stack {stack.name}" in said
    assert f"{file.name} restored" in said
    assert file.read_bytes() == content
    assert stack.pulumi("config", "get", "notifyUrl").strip() == CANARIES["OTHER"]
    assert stack.history() == []
    assert json.loads(stack.pulumi("stack", "tag", "ls", "--json")) == {"team": "shop"}
    assert live_release_in(json.loads(stack.pulumi("stack", "export"))["deployment"]) == document
    assert stack.outputs["release"] == bundle["manifest"]["release"]
    _is_as_before(stack, containers)
    assert len(stack.history()) == 1


def test_what_the_engine_refuses_is_told_and_the_next_try_goes_on(stack: Stack, bundle: dict[str, Any]) -> None:
    locks = stack.folder / f"state/.pulumi/locks/organization/slipway/{stack.name}"
    locks.mkdir(parents=True, exist_ok=True)
    lock = {"pid": os.getpid(), "username": "x", "hostname": "y", "timestamp": "2026-01-01T00:00:00Z"}
    (locks / "other.json").write_text(json.dumps(lock))
    told = slipway(stack, "import", bundle["bundle"], "--force", code=1)
    assert "locked by 1 lock" in told
    assert "pulumi cancel" in told

    shutil.rmtree(stack.folder / "state")
    told = slipway(stack, "import", bundle["bundle"], code=1, environment={"PULUMI_CONFIG_PASSPHRASE": "another"})
    assert "incorrect passphrase" in told
    assert told.startswith("slipway: error: ")
    slipway(stack, "import", bundle["bundle"])
    assert stack.outputs["release"] == bundle["manifest"]["release"]


def test_a_stack_moves_into_a_bucket_and_comes_back_when_it_is_lost_there(
    stack: Stack, bundle: dict[str, Any], bucket: Bucket
) -> None:
    containers, release = stack.ids(), stack.outputs["release"]
    slipway(stack, "import", bundle["bundle"], environment=bucket.environment)
    _is_as_before(stack, containers, bucket.environment)

    address, _, parameters = bucket.url.partition("?")
    made = exported(stack, f"{address}/kept/bundles/?{parameters}", bucket.environment)
    name = f"kept/bundles/slipway-{stack.name}-1-{release}.slipway.tar.gz"
    assert made["bundle"] == f"{address}/{name}"
    assert made["manifest"]["backend"] == "s3"
    assert [each for each in bucket.names() if not each.startswith(".pulumi/")] == [name]

    for lost in bucket.names(".pulumi/"):
        bucket.client.delete_object(Bucket=bucket.name, Key=lost)
    said = slipway(stack, "import", f"{address}/{name}?{parameters}", environment=bucket.environment)
    assert f"created stack {stack.name}" in said
    _is_as_before(stack, containers, bucket.environment)


def test_a_failed_update_can_be_exported_and_its_bundle_holds_what_serves(stack: Stack, tmp_path: Path) -> None:
    serving = stack.outputs["release"]
    stack.variables["MODE"] = "wrong"
    try:
        stack.up(expect_failure=True)
        made = exported(stack, str(tmp_path / "failed.tar.gz"))
        assert made["manifest"]["update"] == len(stack.history())
        assert made["manifest"]["release"] == serving
        shutil.rmtree(stack.folder / "state")
        slipway(stack, "import", made["bundle"])
    finally:
        del stack.variables["MODE"]
    stack.up()
    assert stack.outputs["release"] == serving
    assert stack.get()["status"] == "ok"
