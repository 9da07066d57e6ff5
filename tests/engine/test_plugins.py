"""The contract of the engine and the plugins that the program relies on.

Holds for the official plugins as for those that `dev/toolchain/go` builds in their place; nothing here may be true of
one kind only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker_plugin import ANSWERS, ask_all, serving_places
from local_servers import free_port
from pulumi_project import UP_SECONDS

from dev.toolchain.pulumi import ENGINE_VERSION, MORE_PLUGIN_VERSIONS, PLUGIN_VERSIONS

if TYPE_CHECKING:
    from local_servers import Registry, SshServer
    from pulumi_project import Project

LOCAL = """
from pulumi_command import local
it = local.Command("it", **given)
pulumi.export("stdout", it.stdout)
pulumi.export("stderr", it.stderr)
"""

REMOTE = """
from pulumi_command import remote
connection = given.pop("connection")
proxy = connection.pop("proxy", None)
if proxy:
    connection["proxy"] = remote.ProxyConnectionArgs(**proxy)
it = remote.Command("it", connection=remote.ConnectionArgs(**connection), add_previous_output_in_env=False, **given)
pulumi.export("stdout", it.stdout)
"""

IMAGE = """
import pulumi_docker as docker
auth = docker.ProviderRegistryAuthArgs(**given["auth"])
provider = docker.Provider("registry", disable_docker_daemon_check=True, registry_auth=[auth])
image = docker.get_registry_image(name=given["name"], opts=pulumi.InvokeOptions(provider=provider))
pulumi.export("id", image.id)
pulumi.export("name", image.name)
pulumi.export("digest", image.sha256_digest)
"""

SECRET = "canary-5f2a"


# --- the engine


def test_plugins_are_those_of_the_installed_packages(pulumi_env: dict[str, str]) -> None:
    listed = subprocess.run(
        ["pulumi", "plugin", "ls", "--json"], env=pulumi_env, capture_output=True, timeout=UP_SECONDS, check=True
    )
    found = {(plugin["name"], plugin["version"]) for plugin in json.loads(listed.stdout)}
    packages = Path(sys.prefix).glob("lib/python*/site-packages/pulumi_*/pulumi-plugin.json")
    wanted = {package["name"]: package["version"] for package in (json.loads(path.read_text()) for path in packages)}
    used = PLUGIN_VERSIONS | MORE_PLUGIN_VERSIONS
    assert {name: wanted.get(name) for name in used} == used
    assert set(PLUGIN_VERSIONS.items()) <= found


def test_engine_is_new_enough(pulumi_env: dict[str, str]) -> None:
    version = subprocess.run(["pulumi", "version"], env=pulumi_env, capture_output=True, timeout=60, check=True)
    major, minor = version.stdout.decode().lstrip("v").split(".")[:2]
    assert (int(major), int(minor)) >= (3, 220), f"wanted {ENGINE_VERSION} or thereabouts"


# --- local commands


def test_changed_input_updates_in_place(project: Project) -> None:
    log = project.folder / "log"
    lines = {step: f"cat >> {log}; echo ' {step}' >> {log}; echo {step}" for step in ("create", "update", "delete")}

    created = project.up(LOCAL, **lines, stdin="one")
    assert created.steps == [("create", "it")]
    assert project.outputs["stdout"] == "create"

    updated = project.up(LOCAL, **lines, stdin="two")
    assert updated.steps == [("update", "it")]
    assert project.outputs["stdout"] == "update"

    assert project.destroy().steps == [("delete", "it")]
    assert log.read_text() == "one create\ntwo update\ntwo delete\n"


def test_unchanged_command_does_not_run_again(project: Project) -> None:
    log = project.folder / "log"
    for _ in range(2):
        outcome = project.up(LOCAL, create=f"echo run >> {log}", stdin="same")
    assert outcome.steps == [("same", "it")]
    assert log.read_text() == "run\n"


def test_preview_runs_nothing(project: Project) -> None:
    log = project.folder / "log"
    assert project.preview(LOCAL, create=f"touch {log}").steps == [("create", "it")]
    assert not log.exists()


def test_change_without_update_runs_create(project: Project) -> None:
    project.up(LOCAL, create="cat", stdin="one")
    assert project.up(LOCAL, create="cat", stdin="two").steps == [("update", "it")]
    assert project.outputs["stdout"] == "two"


def test_changed_trigger_creates_the_new_before_it_deletes_the_old(project: Project) -> None:
    log = project.folder / "log"
    lines = {step: f"cat >> {log}; echo ' {step}' >> {log}" for step in ("create", "update", "delete")}
    project.up(LOCAL, **lines, stdin="one", triggers=[1])
    replaced = project.up(LOCAL, **lines, stdin="two", triggers=[2])
    assert replaced.steps == [("create-replacement", "it"), ("replace", "it"), ("delete-replaced", "it")]
    assert log.read_text() == "one create\ntwo create\none delete\n"


def test_failing_command_tells_its_output_and_never_its_stdin(project: Project) -> None:
    line = "cat > /dev/null; echo to-stdout; echo to-stderr >&2; exit 3"
    failed = project.up(LOCAL, create=line, stdin=SECRET, fails=True)
    assert f'exit status 3: running "{line}":\n' in failed.errors
    assert "to-stdout\n" in failed.errors
    assert "to-stderr\n" in failed.errors
    assert SECRET not in failed.text
    assert SECRET not in failed.logged
    assert "Traceback" not in failed.text


def test_failed_update_is_tried_again(project: Project) -> None:
    project.up(LOCAL, create="true", update="exit 1", stdin="one")
    project.up(LOCAL, create="true", update="exit 1", stdin="two", fails=True)
    assert project.up(LOCAL, create="true", update="cat", stdin="two").steps == [("update", "it")]
    assert project.outputs["stdout"] == "two"


@pytest.mark.parametrize(
    ("logging", "shown"),
    [
        (None, {"to-stdout", "to-stderr"}),
        ("stdoutAndStderr", {"to-stdout", "to-stderr"}),
        ("stdout", {"to-stdout"}),
        ("stderr", {"to-stderr"}),
        ("none", set()),
    ],
)
def test_output_is_logged_as_asked_and_kept_always(project: Project, logging: str | None, shown: set[str]) -> None:
    outcome = project.up(
        LOCAL, create="echo to-stdout; echo to-stderr >&2", **({"logging": logging} if logging else {})
    )
    assert {line for line in ("to-stdout", "to-stderr") if line in outcome.logged} == shown
    assert project.outputs == {"stdout": "to-stdout", "stderr": "to-stderr"}


def test_command_runs_as_asked(project: Project) -> None:
    folder = project.folder / "where"
    folder.mkdir()
    interpreter = [sys.executable, "-c"]
    line = "import os; print(os.getcwd(), os.environ['ADDED'], 'PATH' in os.environ)"
    project.up(LOCAL, create=line, interpreter=interpreter, dir=str(folder), environment={"ADDED": "value"})
    assert project.outputs["stdout"] == f"{folder} value True"


@pytest.mark.parametrize(("given", "found"), [({}, "one"), ({"add_previous_output_in_env": False}, "")])
def test_previous_output_is_in_the_environment_unless_forbidden(
    project: Project, given: dict[str, bool], found: str
) -> None:
    lines = {"create": "cat", "update": 'printf %s "$PULUMI_COMMAND_STDOUT"'}
    project.up(LOCAL, **lines, stdin="one", **given)
    project.up(LOCAL, **lines, stdin="two", **given)
    assert project.outputs["stdout"] == found


def test_secret_stdin_is_encrypted_in_state(project: Project) -> None:
    secret = LOCAL.replace("**given", "stdin=pulumi.Output.secret(given['hidden']), create=given['create']")
    outcome = project.up(secret, create="cat > /dev/null", hidden=SECRET)
    assert SECRET not in project.state
    assert SECRET not in json.dumps(outcome.events)


def test_unknown_input_is_refused(project: Project) -> None:
    program = 'pulumi.CustomResource("command:local:Command", "it", given, pulumi.ResourceOptions(version="1.2.1"))\n'
    assert "craete" in project.up(program, craete="true", fails=True).errors


def test_interrupt_ends_the_local_command(project: Project) -> None:
    pid = project.folder / "pid"
    project.write(LOCAL, create=f"echo $$ > {pid}; exec sleep 300")
    argv = project.command("up", "--yes", "--skip-preview")
    with subprocess.Popen(
        argv, cwd=project.folder, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as engine:
        try:
            deadline = time.monotonic() + UP_SECONDS
            while not (pid.exists() and pid.read_text().strip()):
                assert engine.poll() is None, "the engine ended before the command began"
                assert time.monotonic() < deadline, "the command never began"
                time.sleep(0.1)
            engine.send_signal(signal.SIGINT)
            output, _ = engine.communicate(timeout=60)
        finally:
            engine.kill()
    assert engine.returncode != 0, output
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


# --- remote commands


def test_remote_command_updates_in_place(project: Project, ssh_server: SshServer) -> None:
    log = project.folder / "log"
    lines = {step: f"cat >> {log}; echo ' {step}' >> {log}; echo {step}" for step in ("create", "update", "delete")}

    created = project.up(REMOTE, connection=ssh_server.connection(), **lines, stdin="one")
    assert created.steps == [("create", "it")]
    assert project.outputs["stdout"] == "create"

    updated = project.up(REMOTE, connection=ssh_server.connection(), **lines, stdin="two")
    assert updated.steps == [("update", "it")]
    assert project.outputs["stdout"] == "update"

    assert project.up(REMOTE, connection=ssh_server.connection(), **lines, stdin="two").steps == [("same", "it")]
    assert project.destroy().steps == [("delete", "it")]
    assert log.read_text() == "one create\ntwo update\ntwo delete\n"


def test_changed_host_is_an_update(project: Project, ssh_server: SshServer) -> None:
    project.up(REMOTE, connection=ssh_server.connection(), create="true")
    moved = project.up(REMOTE, connection=ssh_server.connection(host="localhost"), create="true")
    assert moved.steps == [("update", "it")]


def test_failing_remote_command_tells_its_output_and_never_its_stdin(project: Project, ssh_server: SshServer) -> None:
    line = "cat > /dev/null; echo to-stdout; echo to-stderr >&2; exit 3"
    failed = project.up(REMOTE, connection=ssh_server.connection(), create=line, stdin=SECRET, fails=True)
    assert f'Process exited with status 3: running "{line}":\n' in failed.errors
    assert "to-stdout\n" in failed.errors
    assert "to-stderr\n" in failed.errors
    assert SECRET not in failed.text
    assert SECRET not in failed.logged


def test_remote_lines_reach_the_log(project: Project, ssh_server: SshServer) -> None:
    outcome = project.up(REMOTE, connection=ssh_server.connection(), create="echo begun; echo done")
    assert "begun" in outcome.logged
    assert "done" in outcome.logged


def test_a_megabyte_of_stdin_arrives_whole(project: Project, ssh_server: SshServer) -> None:
    project.up(REMOTE, connection=ssh_server.connection(), create="wc -c", stdin="x" * (1 << 20))
    assert project.outputs["stdout"].strip() == str(1 << 20)


def test_private_key_is_encrypted_in_state(project: Project, ssh_server: SshServer) -> None:
    project.up(REMOTE, connection=ssh_server.connection(), create="true")
    assert ssh_server.private_key.splitlines()[1] not in project.state


def test_other_host_key_is_refused(project: Project, ssh_server: SshServer, bastion: SshServer) -> None:
    log = project.folder / "log"
    connection = ssh_server.connection(host_key=bastion.host_keys["ed25519"])
    failed = project.up(REMOTE, connection=connection, create=f"touch {log}", fails=True)
    assert "host key mismatch" in failed.errors
    assert not log.exists()


def test_ecdsa_key_of_a_server_with_several_keys_can_be_pinned(project: Project, bastion: SshServer) -> None:
    connection = bastion.connection(host_key=bastion.host_keys["ecdsa"])
    project.up(REMOTE, connection=connection, create="echo reached")
    assert project.outputs["stdout"] == "reached"


def test_wrong_key_is_refused(project: Project, ssh_server: SshServer, bastion: SshServer) -> None:
    connection = ssh_server.connection(private_key=bastion.private_key)
    assert "unable to authenticate" in project.up(REMOTE, connection=connection, create="true", fails=True).errors


def test_variable_that_the_server_does_not_accept_is_an_error(project: Project, ssh_server: SshServer) -> None:
    given = {"create": "true", "environment": {"NOT_ACCEPTED": "value"}}
    failed = project.up(REMOTE, connection=ssh_server.connection(), **given, fails=True)
    assert 'could not set environment variable "NOT_ACCEPTED"' in failed.errors


def test_unreachable_host_is_given_up(project: Project, ssh_server: SshServer) -> None:
    connection = ssh_server.connection(port=free_port(), dial_error_limit=2)
    begun = time.monotonic()
    failed = project.up(REMOTE, connection=connection, create="true", fails=True)
    assert "after 2 failed attempts" in failed.errors
    assert "connection refused" in failed.errors
    assert time.monotonic() - begun < UP_SECONDS / 4


def test_host_is_reached_through_a_bastion(project: Project, ssh_server: SshServer, bastion: SshServer) -> None:
    proxy = bastion.connection(host_key=bastion.host_keys["ecdsa"])
    project.up(REMOTE, connection=ssh_server.connection(proxy=proxy), create="cat", stdin="through")
    assert project.outputs["stdout"] == "through"
    assert f"port {ssh_server.port}" in bastion.log.read_text()


def test_bastion_with_another_host_key_is_refused(project: Project, ssh_server: SshServer, bastion: SshServer) -> None:
    proxy = bastion.connection(host_key=ssh_server.host_keys["ed25519"])
    failed = project.up(REMOTE, connection=ssh_server.connection(proxy=proxy), create="true", fails=True)
    assert "proxy: " in failed.errors
    assert "host key mismatch" in failed.errors


# --- registries


def test_digest_is_known_at_preview_time(project: Project, registry: Registry) -> None:
    digest = registry.push("team/app", "1.0")
    auth = {"address": f"http://{registry.address}", "auth_disabled": True}
    name = f"{registry.address}/team/app:1.0"

    preview = project.preview(IMAGE, name=name, auth=auth)
    assert digest in preview.text

    project.up(IMAGE, name=name, auth=auth)
    assert project.outputs == {"id": digest, "name": name, "digest": digest}


def test_every_question_has_the_vendors_answer(pulumi_env: dict[str, str], tmp_path: Path) -> None:
    """The answers were recorded from the vendor's plugin, in whose place ours may stand."""
    home = Path(pulumi_env.get("PULUMI_HOME", Path.home() / ".pulumi"))
    plugin = home / f"plugins/resource-docker-v{PLUGIN_VERSIONS['docker']}/pulumi-resource-docker"
    entries = json.loads(ANSWERS.read_text())
    with serving_places(tmp_path) as places:
        answers = ask_all(plugin, entries, places)
    given = {entry["question"]: answer for entry, answer in zip(entries, answers, strict=True)}
    assert given == {entry["question"]: entry["answer"] for entry in entries}


def test_changed_login_of_a_registry_is_an_update_in_place(project: Project) -> None:
    """A state of today has addresses without http://."""
    program = """
import pulumi_docker as docker
auth = docker.ProviderRegistryAuthArgs(**given)
docker.Provider("registry", disable_docker_daemon_check=True, registry_auth=[auth])
"""
    given = {"address": "127.0.0.1:5000", "username": "deployer", "password": "one"}
    steps = []
    for change in ({}, {"address": "http://127.0.0.1:5000"}, {}, {"password": "two"}):
        given.update(change)
        begun = [event.get("resourcePreEvent", {}).get("metadata") for event in project.up(program, **given).events]
        steps += [step["op"] for step in begun if step and step["type"] == "pulumi:providers:docker"]
    assert steps == ["create", "update", "same", "update"]


def test_missing_tag_fails_the_preview(project: Project, registry: Registry) -> None:
    registry.push("team/app", "1.0")
    auth = {"address": f"http://{registry.address}", "auth_disabled": True}
    failed = project.preview(IMAGE, name=f"{registry.address}/team/app:2.0", auth=auth, fails=True)
    assert "team/app:2.0" in failed.text
    assert "404 Not Found" in failed.text


def test_registry_takes_the_right_login_only(project: Project, private_registry: tuple[Registry, str]) -> None:
    registry, digest = private_registry
    assert registry.login
    username, password = registry.login
    name = f"{registry.address}/app:1"
    auth = {"address": f"http://{registry.address}", "username": username, "password": password}
    outcome = project.up(IMAGE, name=name, auth=auth)
    assert project.outputs["digest"] == digest
    assert password not in outcome.text

    failed = project.preview(IMAGE, name=name, auth={**auth, "password": "wrong"}, fails=True)
    assert "401 Unauthorized" in failed.text


def test_secret_registry_password_is_encrypted_in_state(project: Project) -> None:
    program = """
import pulumi_docker as docker
auth = docker.ProviderRegistryAuthArgs(
    address="registry.invalid", username="deployer", password=pulumi.Output.secret(given["password"])
)
docker.Provider("registry", disable_docker_daemon_check=True, registry_auth=[auth])
"""
    outcome = project.up(program, password=SECRET)
    assert SECRET not in project.state
    assert SECRET not in json.dumps(outcome.events)


def test_unreachable_registry_is_told(project: Project) -> None:
    address = f"127.0.0.1:{free_port()}"
    auth = {"address": f"http://{address}", "auth_disabled": True}
    failed = project.preview(IMAGE, name=f"{address}/app:1", auth=auth, fails=True)
    assert "Error during registry request" in failed.text
    assert "connection refused" in failed.text
