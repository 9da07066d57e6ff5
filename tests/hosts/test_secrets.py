"""Secrets over SSH: on a host they stand in 0600 files of the deploy user and in the containers' own environment."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from remote_stack import HOME, meanwhile
from stack_harness import docker, eventually, free_port

from dev.toolchain.stand_ins.images import ensure_registry_image
from slipway.settings.certificates import self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from remote_stack import RemoteStack
    from workload import Images

    from dev.testhosts.server import TestHost

HOSTS = 1
CERTIFICATE, KEY = self_signed("shop.test")
CANARIES = {
    "token": "canary-token-7f3a91c2e8",
    "rotated": "canary-rotated-4be0d6a177",
    "password": "canary-registry-9d82f05c3b",
    "visitors": "canary-visitors-1d6e5f2a90",
    "hook": "canary-hook-83b0c7e4d1",
    "channel": "canary-channel-5a7c1e9d04",
    "mail": "canary-mail-2f8b6d0c13",
    "key": KEY.splitlines()[1],
}


# The side service behind the edge, for everything that the edge is told in confidence.
ROUTED_SIDE = """\
    image: ${SIDE_IMAGE:?}
    x-slipway: {port: 8000, route: shop.test, basicAuth: VISITORS}
"""
BCRYPT = "$2y$05$0Ego4b85VSIZllfd7b9kqezNhLl1cnqzfMRkgta9E5K8ZlhR3htvy"  # of the password, cost 5


# Where the engine keeps what it was given for a container, for root alone: its environment, and what it prints.
OF_THE_ENGINE = (
    "/var/lib/docker/containers/",
    "/var/lib/docker/containerd/",
    "/run/docker/",
    "/run/containerd/",
    "/tmp/runc-process",  # what runs a health check, gone a moment later
)


def forms(value: str) -> list[bytes]:
    """A value as it is, and as it looks within any base64 text (the three ways its bytes can be grouped)."""
    encoded = [base64.b64encode(b"." * shift + value.encode())[2 + shift : -4] for shift in range(3)]
    return [value.encode(), *encoded]


def told(text: str | bytes) -> list[str]:
    """The names of the canaries that stand in a text, in any form."""
    content = text if isinstance(text, bytes) else text.encode()
    return [name for name, value in CANARIES.items() if any(form in content for form in forms(value))]


def holders(host: TestHost) -> list[str]:
    """The files of a host that hold a canary in any form."""
    patterns = "\n".join(form.decode() for value in CANARIES.values() for form in forms(value))
    grep = ["grep", "--recursive", "--files-with-matches", "--binary-files=text", "--fixed-strings", "--devices=skip"]
    places = ["/etc", "/home", "/root", "/run", "/srv", "/opt", "/tmp", "/usr/local", "/var"]
    return host.inside([*grep, "-f", "-", *places], stdin=patterns, check=False, seconds=120).splitlines()


@contextlib.contextmanager
def private_registry(folder: Path, host: TestHost) -> Iterator[str]:
    """A registry that wants a login, reached under one address from this machine and from the host; the address."""
    port, name = free_port(), f"slipway-hosts-test-{os.getpid()}"
    gateway = f"{host.address.rpartition('.')[0]}.1"
    (folder / "htpasswd").write_text(f"deployer:{BCRYPT}\n")
    settings = {"REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM": "test"}
    settings |= {"REGISTRY_AUTH_HTPASSWD_PATH": "/htpasswd", "OTEL_TRACES_EXPORTER": "none"}
    environment = [f"--env={name}={value}" for name, value in settings.items()]
    published = [f"--publish={address}:{port}:5000" for address in ("127.0.0.1", gateway)]
    mount = f"--volume={folder / 'htpasswd'}:/htpasswd:ro"
    docker("run", "--detach", "--rm", "--name", name, mount, *environment, *published, ensure_registry_image())
    try:
        relay = f"socat TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr TCP:{gateway}:{port}"
        host.inside(["sh", "-c", f"setsid {relay} </dev/null >/dev/null 2>&1 &"])
        ask = f"printf 'GET /v2/ HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:127.0.0.1:{port}"
        eventually(lambda: "401" in host.inside(["sh", "-c", ask], check=False))
        yield f"127.0.0.1:{port}"
    finally:
        host.inside(["pkill", "-x", "socat"], check=False)
        docker("rm", "--force", "--volumes", name, check=False)


def pushed(address: str, image: str, folder: Path) -> str:
    """An image of this machine's registry, put into a private one; its reference there."""
    name = f"{address}/private/server"
    login = base64.b64encode(f"deployer:{CANARIES['password']}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {address: {"auth": login}}}))
    docker("pull", "--quiet", image)
    docker("tag", image, f"{name}:1")
    docker("--config", str(folder), "push", "--quiet", f"{name}:1")
    docker("image", "rm", "--force", f"{name}:1")
    return f"{name}@{image.partition('@')[2]}"


@pytest.fixture(scope="module")
def seen(
    deployable: Callable[..., RemoteStack], host: TestHost, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RemoteStack, dict[str, Any]]]:
    """A stack after deployments, a failed one and a rotation, and what could be watched meanwhile."""
    folder = tmp_path_factory.mktemp("private")
    watched: dict[str, Any] = {"processes": set(), "output": []}

    def sample() -> None:
        for entry in host.path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                watched["processes"].add((entry / "cmdline").read_bytes())
                environment = (entry / "environ").read_bytes()
                if not (entry / "root").samefile(host.path("/")):  # asked after: what becomes a container moves once
                    continue  # a container's own environment may hold what it was given
                if told(environment):
                    watched["processes"].add((entry / "cmdline").read_bytes() + b" environment: " + environment)

    with private_registry(folder, host) as address:
        stack = deployable(
            host,
            secrets={"TOKEN": CANARIES["token"]},
            registry=f"{address}/private",
            registryUsername="deployer",
            certificate=CERTIFICATE,
            watch="1h",
        )
        stack.secrets = {"TOKEN": CANARIES["token"], "VISITORS": f"visitor:{{SHA}}{CANARIES['visitors']}"}
        stack.application.replace("compose.yaml", "    image: ${SIDE_IMAGE:?}\n", ROUTED_SIDE)
        stack.variables |= {"IMAGE": pushed(address, images.one, folder), "START_PERIOD": "2s"}
        password = {
            "SLIPWAY_REGISTRY_PASSWORD": CANARIES["password"],
            "SLIPWAY_CERTIFICATE_KEY": KEY,
            "SLIPWAY_NOTIFY_URL": f"http://127.0.0.1:1/{CANARIES['hook']}",
            "SLIPWAY_NOTIFY": json.dumps(
                {
                    "ops": {"to": "slack", "url": f"http://127.0.0.1:1/{CANARIES['channel']}"},
                    "mail": {
                        "to": "email",
                        "url": f"smtp://me:{CANARIES['mail']}@127.0.0.1:1",
                        "sender": "a@shop.test",
                        "recipients": ["b@shop.test"],
                    },
                }
            ),
        }
        with meanwhile(sample, every=0.02):
            watched["output"].append(stack.up(**password))
            stack.secrets["TOKEN"] = CANARIES["rotated"]
            watched["output"].append(stack.up(**password))
            stack.variables |= {"VERSION": "bad", "MODE": "tells"}
            watched["output"].append(stack.preview(**password))
            watched["output"].append(stack.up(expect_failure=True, **password))
        yield stack, watched


def test_images_came_with_credentials_that_left_no_trace(
    seen: tuple[RemoteStack, dict[str, Any]], host: TestHost
) -> None:
    stack, _ = seen
    assert stack.containers_on(host)["web"].image.startswith(stack.settings["registry"])
    assert not host.path("/home/deploy/.docker").exists()
    assert not host.path("/root/.docker").exists()


def test_output_and_state_tell_no_secret(seen: tuple[RemoteStack, dict[str, Any]]) -> None:
    stack, watched = seen
    for run in watched["output"]:
        assert not told(run.text), run.text
        assert not told(json.dumps(run.events))
    for file in stack.folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert not told(file.read_bytes()), file


def test_processes_of_the_host_show_no_secret(seen: tuple[RemoteStack, dict[str, Any]]) -> None:
    _, watched = seen
    assert any(b"deploy\0--stack" in line for line in watched["processes"]), "the agent was seen at work"
    assert not [line for line in watched["processes"] if told(line)]


def test_logs_and_labels_of_the_host_show_no_secret(seen: tuple[RemoteStack, dict[str, Any]], host: TestHost) -> None:
    stack, _ = seen
    assert not told(host.sshd_log())
    assert not told(host.dockerd_log())
    for container in stack.containers_on(host).values():
        assert not told(json.dumps(container.labels))


@pytest.mark.usefixtures("seen")
def test_only_private_files_of_the_deploy_user_hold_secrets(host: TestHost) -> None:
    outside = [path for path in holders(host) if not path.startswith(OF_THE_ENGINE)]
    kept = {name for path in outside for name in told(host.path(path).read_bytes())}
    assert kept >= {"rotated", "visitors", "hook", "channel", "mail", "key"}, (
        "going back, the edge and the watch keep theirs"
    )
    for path in outside:
        state = host.path(path).stat()
        assert path.startswith(HOME), path
        assert (oct(state.st_mode & 0o777), state.st_uid) == ("0o600", 1000), path
    for path in holders(host):
        assert "password" not in told(host.path(path).read_bytes()), path


def test_destroy_leaves_no_secret(seen: tuple[RemoteStack, dict[str, Any]], host: TestHost) -> None:
    stack, _ = seen
    stack.destroy()
    assert not [path for path in holders(host) if not path.startswith(OF_THE_ENGINE)]
