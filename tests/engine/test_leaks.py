"""Secret values: nowhere in the clear but in 0600 files of the deploying user and in the containers' own environment.

One stack with canaries for secrets is deployed, fails in every way that could tell them, is previewed and destroyed;
meanwhile everything that is printed, stored or visible to others is collected, and the tests look for canaries in it.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gzip
import json
import os
import re
import stat
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, quote_plus

import pytest
from applications import SERVER, Application, health
from containers import docker, remove_images
from github_fake import TOKEN, serving_github
from github_repository_fake import FakeRepository
from hook_server import Hook, hook_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_servers import Registry
    from stack_harness import Stack

CANARIES = {
    "PLAIN": "canary-plain-8d1f0a6b2c",
    "DOLLARS": "canary $dollar ${BRACES} \"double\" 'single' 4f9a7711",
    "LINES": "canary first 77ab12cd\ncanary second 99ef34ab\ncanary third 11bb22cc",
    "UNICODE": "canary-ünïcødé-💥-5b7d0e2f",
    "MOUNTED": "canary-mounted-6e5d4c3b2a",
    "INDEX_TOKEN": "canary-build-0a1b2c3d4e",
}
USER, PASSWORD = "deployer", "correct-horse"  # of the private registry
HOOK = "canary-hook-4c5d6e7f80"  # in the address that messages go to
RUN = {
    "RUN_TOKEN": "canary-run-9b8c7d6e5f",
    "RUN_TOKEN_2": "canary-run-0f1e2d3c4b",
}  # given to GitHub, by the run alone

COMPOSE = (
    """\
name: leak
services:
  web:
    build: {context: ./web, secrets: [index]}
    restart: unless-stopped
    environment:
      MODE: ${MODE:-}
      TELL: PLAIN DOLLARS LINES UNICODE DATABASE
      PLAIN: ${PLAIN}
      DOLLARS: ${DOLLARS}
      LINES: ${LINES}
      UNICODE: ${UNICODE}
      DATABASE: postgres://app:${PLAIN}@db/app
    secrets: [mounted]
    configs: [settings]
    volumes: ["data:/data"]
"""
    + health("3s", indent=4)
    + """\
    x-slipway:
      port: 8000
      migrate: {command: [python3, -IS, /app.py, migrate]}
configs:
  settings: {content: "password=${PLAIN}"}
secrets:
  index: {environment: INDEX_TOKEN}
  mounted: {environment: MOUNTED}
volumes:
  data:
"""
)
DOCKERFILE = """\
FROM python:3.13-slim-trixie
RUN --mount=type=secret,id=index test -s /run/secrets/index
COPY app.py version /
ENV PYTHONUNBUFFERED=1
CMD ["python3", "-IS", "/app.py"]
"""


def forms(value: str) -> set[str]:
    """How a value can look when it is written somewhere: whole or line by line, escaped or encoded."""
    found = set()
    for text in {value, *value.split("\n")}:
        raw = text.encode()
        found |= {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
        found |= {text.replace("$", "$$"), quote(text), quote(text, safe=""), quote_plus(text), raw.hex()}
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            for shift in range(3):  # wherever the value stands in what was encoded, these characters are its own
                body = raw[(3 - shift) % 3 :]
                found.add(encode(body[: len(body) // 3 * 3]).decode())
    return found


NEEDLES = {
    form.encode(): name
    for name, value in {**CANARIES, **RUN, "PASSWORD": PASSWORD, "HOOK": HOOK, "GITHUB": TOKEN}.items()
    for form in forms(value)
}


def canaries_in(content: str | bytes) -> set[str]:
    """The names of the secrets that can be read in `content`."""
    content = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    return {name for needle, name in NEEDLES.items() if needle in content}


def files_with_canaries(folder: Path) -> dict[str, set[str]]:
    """Path below `folder` → the secrets that can be read in the file or its name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        if names := canaries_in(content) | canaries_in(str(path)):
            found[str(path.relative_to(folder))] = names
    return found


_LOOKS = 50


class Onlooker:
    """Looks at every command line on this machine, and at every file of the agent, while the block runs."""

    def __init__(self, home: Path) -> None:
        self.processes: set[bytes] = set()
        self.files: set[tuple[str, int, int]] = set()
        """Name, mode and owner of files that held a secret at some moment."""
        self._home = home
        self._searched: set[tuple[Path, int, int, int]] = set()
        """Path, inode, time and size of contents that hold no secret."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        looks: dict[str, int] = {}  # process → how often it was looked at: what it shows is settled after some times
        while not self._ended.wait(0.01):
            for process in os.scandir("/proc"):
                looks[process.name] = looks.get(process.name, 0) + 1
                if process.name.isdigit() and looks[process.name] < _LOOKS:
                    with contextlib.suppress(OSError):
                        self.processes.add(Path(process.path, "cmdline").read_bytes())
            for folder, _, names in os.walk(self._home):  # unlike rglob, it lives with folders that vanish
                for path in (Path(folder, name) for name in names if not name.endswith((".pyz", ".pyc"))):
                    with contextlib.suppress(OSError):
                        status = path.stat()
                        state = (path, status.st_ino, status.st_mtime_ns, status.st_size)
                        if stat.S_ISREG(status.st_mode) and state not in self._searched:
                            if canaries_in(path.read_bytes()):
                                status = path.stat()
                                self.files.add((path.name, stat.S_IMODE(status.st_mode), status.st_uid))
                            else:
                                self._searched.add(state)


@dataclasses.dataclass
class Evidence:
    """What was collected while the stack lived."""

    stack: Stack
    onlooker: Onlooker
    printed: dict[str, str] = dataclasses.field(default_factory=dict)
    """Run → all that the engine printed, verbose logs included, and its event log."""
    containers: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    images: str = ""
    layers: list[bytes] = dataclasses.field(default_factory=list)
    home: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    """File of the agent → secrets in it, while the stack lived."""
    modes: dict[str, int] = dataclasses.field(default_factory=dict)
    owners: set[int] = dataclasses.field(default_factory=set)
    codes: dict[str, int] = dataclasses.field(default_factory=dict)
    """Command of `slipway` → its exit code, the last time."""
    messages: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    opened: dict[str, str] = dataclasses.field(default_factory=dict)
    """What GitHub was given, sealed."""

    def keep(self, what: str, run: Any) -> None:
        self.printed[what] = run.text + json.dumps(run.events, ensure_ascii=False)

    @property
    def temporary(self) -> Path:
        return self.stack.folder / "tmp"

    def look_at_the_host(self) -> None:
        """Containers, images, layers and the agent's files as they are now."""
        self.containers = [container.document for container in self.stack.every_container()]
        images = {document["Config"]["Image"] for document in self.containers}
        commands = (("history", "--no-trunc"), ("image", "inspect"))
        self.images = "".join(docker(*command, each) for each in images for command in commands)
        self.home = files_with_canaries(self.stack.home)
        paths = [path for path in self.stack.home.rglob("*") if not path.is_symlink()]
        self.modes = {str(path.relative_to(self.stack.home)): stat.S_IMODE(path.stat().st_mode) for path in paths}
        self.owners = {path.stat().st_uid for path in paths}

    def read_layers(self, registry: Registry) -> None:
        """What the private registry holds of the image, but for the large layers, which are the base image's."""
        authorization = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"

        def ask(path: str) -> bytes:
            address = f"http://{registry.address}/v2/team/leak-web/{path}"
            headers = {"Authorization": f"Basic {authorization}", "Accept": accept}
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
                content: bytes = answer.read()
                return content

        manifest = json.loads(ask(f"manifests/{self.stack.name}"))
        self.layers = [ask(f"blobs/{manifest['config']['digest']}")]
        small = [layer["digest"] for layer in manifest["layers"] if layer["size"] < 1_000_000]
        self.layers += [gzip.decompress(ask(f"blobs/{digest}")) for digest in small]


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with hook_server() as found:
        yield found


@pytest.fixture(scope="module")
def github() -> Iterator[FakeRepository]:
    with serving_github(FakeRepository) as fake:
        yield fake


def _notifies(stack: Stack, url: str) -> None:
    stack.pulumi("config", "set", "--path", "notify.ops.to", "webhook")
    stack.pulumi("config", "set", "--secret", "--path", "notify.ops.url", stdin=url)
    stack.pulumi("config", "set", "--path", "notify.ops.events[0]", "succeeded")
    stack.pulumi("config", "set", "--path", "notify.ops.events[1]", "failed")


@pytest.fixture(scope="module")
def evidence(
    make_stack: Callable[..., Stack], private_registry: tuple[Registry, str], hook: Hook, github: FakeRepository
) -> Iterator[Evidence]:
    registry, _ = private_registry

    def application(folder: Path) -> Application:
        files = {"compose.yaml": COMPOSE, "web/Dockerfile": DOCKERFILE, "web/app.py": SERVER, "web/version": "1"}
        return Application(folder, files)

    place = f"{registry.address}/team"
    stack = make_stack(application, registry=place, registryUsername=USER)
    stack.secrets.clear()
    found = Evidence(stack, Onlooker(stack.home))
    found.temporary.mkdir()
    own = {
        "TMPDIR": str(found.temporary),
        "RUN_TOKEN": RUN["RUN_TOKEN"],
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_API_URL": f"{github.url}/api/v3",
    }
    admin = {**own, "SLIPWAY_GITHUB_ADMIN": "true"}
    stack.settings |= {
        "githubRepository": "acme/shop",
        "github": {"environment": "live", "secrets": ["PLAIN", "RUN_TOKEN"], "repositorySecrets": ["UNICODE"]},
    }
    stack.pulumi("config", "set", "--secret", "registryPassword", stdin=PASSWORD)
    for name, value in CANARIES.items():
        stack.pulumi("config", "set", "--secret", "--path", f"secrets.{name}", stdin=value)

    _notifies(stack, f"{hook.url}/{HOOK}")
    found.messages = hook.came

    verbose = ("--diff", "--verbose", "3", "--logtostderr")
    with found.onlooker:
        found.keep("first preview", stack.preview(*verbose, **admin))
        found.keep("up", stack.up(*verbose, **admin))
        github.refused.append(("PUT .*/secrets/.*", 403, "Resource not accessible by this token"))
        found.keep("refused", stack.up(expect_failure=True, **admin | {"RUN_TOKEN": RUN["RUN_TOKEN_2"]}))
        github.refused[:] = [("GET .*/secrets", 403, f"Resource not accessible by {TOKEN}")]
        found.keep("not looked at", stack.preview(expect_failure=True, **admin))
        github.refused.clear()
        found.look_at_the_host()
        found.read_layers(registry)

        stack.variables["MODE"] = "tells"
        found.keep("preview of a change", stack.preview(*verbose, **own))
        found.keep("unhealthy", stack.up(expect_failure=True, **own))
        stack.variables["MODE"] = "migration-tells"
        found.keep("failed migration", stack.up(expect_failure=True, **own))
        stack.variables.pop("MODE")
        telling = DOCKERFILE.replace("test -s", "cat") + "RUN exit 7\n"
        stack.application.write({"web/Dockerfile": telling.replace("index\n", "index && exit 7\n")})
        found.keep("failed build", stack.up(expect_failure=True, **own))
        stack.application.write({"web/Dockerfile": DOCKERFILE, "web/version": "2"})
        found.keep("another release", stack.up(**own))
        for what in ("history", "output"):
            found.printed[what] = stack.pulumi("stack", what, "--json")
        bundle = str(stack.folder / "bundle.tar.gz")
        for command in (
            ("history",), ("history", "--json"), ("show", "1", "--json"), ("show", "live", "--release"), ("diff", "1"),
            ("rollback", "--plan"), ("rollback", "--to", "1"), ("validate", "--no-github"), ("ps", "--json"),
            ("status",), ("doctor",), ("lock",), ("export", "--to", bundle), ("import", bundle),
            ("rollback", "--from", bundle), ("notify", "test"), ("up",),
        ):  # fmt: skip
            said = stack.slipway(*command, expect=None, **own)
            found.printed[f"slipway {' '.join(command)}"] = said.text
            found.codes[command[0]] = said.code
        stack.variables["MODE"] = "tells"
        found.printed["slipway up that fails"] = stack.slipway("up", expect=None, **own).text
        with gzip.open(bundle) as content:
            found.printed["bundle"] = content.read().decode(errors="replace")
        found.opened = {**github.opened("live"), **github.opened()}
        found.keep("destroy", stack.run("destroy", "--yes", "--skip-preview", *verbose, **admin))
    yield found
    remove_images(f"{place}/leak-web")


def test_the_search_finds_what_it_is_for() -> None:
    """A canary test that cannot fail proves nothing."""
    for name, value in CANARIES.items():
        encoded = base64.b64encode(f"user:{value}".encode()).decode()
        hidden = [f"x{value}y", json.dumps({"a": value}), encoded, quote(value)]
        assert all(name in canaries_in(text) for text in hidden), name
    assert canaries_in("nothing of that kind") == set()


def test_the_failures_told_their_reasons(evidence: Evidence) -> None:
    """The runs did print the logs in which the secrets stood, with the secrets' names in their places."""
    for what in ("unhealthy", "failed migration"):
        for name in ("PLAIN", "DOLLARS", "LINES", "UNICODE"):
            assert f"{name} [{name}]" in evidence.printed[what]
    assert "exit code: 7" in evidence.printed["failed build"]


def test_github_was_given_secrets_and_refused_some(evidence: Evidence) -> None:
    assert evidence.opened == {name: {**CANARIES, **RUN}[name] for name in ("PLAIN", "RUN_TOKEN", "UNICODE")}
    for what in ("refused", "not looked at"):
        assert "Resource not accessible by" in evidence.printed[what]


def test_nothing_that_is_printed_holds_a_secret(evidence: Evidence) -> None:
    assert {what: names for what, text in evidence.printed.items() if (names := canaries_in(text))} == {}


def test_commands_told_what_they_are_for(evidence: Evidence) -> None:
    """Else it would prove nothing that they tell no secret."""
    ended = {name: code for name, code in evidence.codes.items() if code and name != "doctor"}
    assert ended == {}
    assert "migration" in evidence.printed["slipway history"], "why an update failed"
    assert " back to r-" in evidence.printed["slipway rollback --to 1"]
    assert "slipway:deployment:ComposeDeployment" in evidence.printed["bundle"]


def test_messages_tell_what_happened_and_no_secret(evidence: Evidence) -> None:
    test, done, failed = evidence.messages
    assert [each["event"] for each in evidence.messages] == ["test", "succeeded", "failed"]
    assert canaries_in(json.dumps(evidence.messages, ensure_ascii=False)) == set()
    assert {each["environment"] for each in (test, done, failed)} == {evidence.stack.project}
    assert done["release"].startswith("r-")
    assert done["command"].startswith("slipway rollback --to r-")
    assert "web did not become healthy" in failed["reason"]
    assert failed["command"] == f"slipway rollback --to {done['release']} --stack {evidence.stack.name}"


def test_no_process_shows_a_secret_in_its_command_line(evidence: Evidence) -> None:
    seen = evidence.onlooker.processes
    assert [argv for argv in seen if canaries_in(argv)] == []
    assert any(b"agent" in argv and b"deploy" in argv for argv in seen), "the agent was not seen at work"


def test_state_and_stack_file_hold_secrets_only_encrypted(evidence: Evidence) -> None:
    folder = evidence.stack.folder
    assert files_with_canaries(folder / "state") == {}
    assert canaries_in((folder / f"Pulumi.{evidence.stack.name}.yaml").read_text()) == set()
    assert any((folder / "state").rglob("*.checkpoint.json")), "the history was not looked at"


def test_agent_keeps_secrets_in_private_files_that_are_known(evidence: Evidence) -> None:
    project = f"stacks/{evidence.stack.project}"
    assert evidence.home == {f"{project}/secrets.json": set(CANARIES) - {"INDEX_TOKEN"}}
    assert evidence.modes[project] == 0o700
    assert evidence.owners == {os.geteuid()}


def test_every_file_that_ever_held_a_secret_was_private(evidence: Evidence) -> None:
    names = {
        re.sub(r"\.\d+\.new$", "", name) for name, _, _ in evidence.onlooker.files
    }  # as written, before the rename
    assert names <= {"secrets.json", "compose.json"}
    assert "secrets.json" in names
    assert {(mode, owner) for _, mode, owner in evidence.onlooker.files} == {(0o600, os.geteuid())}


def test_containers_hold_secrets_in_their_environment_only(evidence: Evidence) -> None:
    assert evidence.containers
    for document in evidence.containers:
        assert "PLAIN" in canaries_in(json.dumps(document["Config"].pop("Env")))
        assert canaries_in(json.dumps(document)) == set()


def test_no_image_holds_a_secret(evidence: Evidence) -> None:
    assert canaries_in(evidence.images) == set()
    assert len(evidence.layers) > 2
    assert [canaries_in(layer) for layer in evidence.layers] == [set()] * len(evidence.layers)


def test_nothing_is_left_behind_with_a_secret(evidence: Evidence) -> None:
    assert files_with_canaries(evidence.temporary) == {}
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    assert canaries_in(own.read_text() if own.exists() else "") == set()
    assert files_with_canaries(evidence.stack.home) == {}


def test_destroy_left_nothing_on_the_host(evidence: Evidence) -> None:
    eventually_gone = time.monotonic() + 5
    while evidence.stack.every_container() and time.monotonic() < eventually_gone:
        time.sleep(0.1)
    assert evidence.stack.every_container() == []
