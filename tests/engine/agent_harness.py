"""Drives the packed agent against the local Docker engine: tiny images, release documents, and its two streams."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from slipway.hosts.agent_package import pack_agent

REGISTRY = "127.0.0.1:5050"
BASE = f"{REGISTRY}/library/python:3.13-slim-trixie"
PORT = 8000

# One program for every behaviour a test needs, so that all test images share their layers.
SERVER = """
import http.server, json, os, signal, sys, time
if len(sys.argv) > 1:
    print("running", *sys.argv[1:], flush=True)
    if sys.argv[1] == "fail":
        print("boom: the migration cannot go on", os.environ.get("TOKEN", ""), flush=True)
        sys.exit(3)
    if sys.argv[1] == "hang":
        time.sleep(600)
    if sys.argv[1] == "mark":
        with open(sys.argv[2], "a") as handle:
            handle.write(os.environ.get("VERSION", "?") + "\\n")
    sys.exit(0)
mode = os.environ.get("MODE", "")
print("starting", os.environ.get("VERSION", "?"), "token", os.environ.get("TOKEN", ""), flush=True)
if mode == "exit":
    print("cannot start: out of luck", flush=True)
    sys.exit(7)
if mode == "done":
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        healthy = not (mode == "sick" and self.path == "/health")
        body = json.dumps({"status": "healthy" if healthy else "sick", "version": os.environ.get("VERSION", "?"),
                           "database": {"tables": [1, 2]}}).encode()
        self.send_response(200 if healthy else 503)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
CHECK = "exec 3<>/dev/tcp/127.0.0.1/8000; printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3; grep ' 200 ' <&3 >/dev/null"


def docker(*arguments: str, check: bool = True) -> str:
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)
    if check and ended.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {ended.stderr}")
    return ended.stdout.strip()


def image(version: str, *, platform: str = "") -> str:
    """Build and push a test image; its reference by tag and digest."""
    reference = f"{REGISTRY}/slipway-agent-test/app:{version}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "server.py").write_text(SERVER)
        Path(folder, "Dockerfile").write_text(
            f"FROM {BASE}\nCOPY server.py /server.py\nENV VERSION={version} PYTHONUNBUFFERED=1\n"
            'ENTRYPOINT ["python", "-S", "/server.py"]\n'
        )
        more = ["--platform", platform] if platform else []
        docker("build", "-q", *more, "-t", reference, folder)
    docker("push", "-q", reference)
    for each in json.loads(docker("image", "inspect", reference))[0]["RepoDigests"]:
        if each.startswith(f"{REGISTRY}/slipway-agent-test/app@"):
            return f"{reference}@{each.partition('@')[2]}"
    raise AssertionError("no digest")


def healthcheck() -> dict[str, Any]:
    return {"test": ["CMD", "bash", "-c", CHECK], "interval": "1s", "timeout": "5s", "retries": 4}


def service(reference: str, **more: Any) -> dict[str, Any]:
    plain = {"image": reference, "healthcheck": healthcheck(), "networks": {"default": None}, "init": True}
    return {**plain, "security_opt": ["seccomp:unconfined"], **more}  # probes cost less so


def entry(**more: Any) -> dict[str, Any]:
    """What the release says of a service beside its Compose part."""
    if more.get("migrate"):
        more["migrate"] = {"irreversible": False, **more["migrate"]}
    return {
        "strategy": "recreate",
        "port": PORT,
        "routes": [],
        "middlewares": {"redirects": [], "basic_auth": None, "ip_allow_list": [], "rate_limit": None, "max_body": None,
                        "security_headers": False},
        "sticky": False,
        "preview": "",
        "drain": 10,
        "keep": 0,
        "update": {"order": "stop-first", "parallelism": 0, "delay": 0, "monitor": 0, "failure_action": "rollback",
                   "max_failure_ratio": 0, **more.pop("update", {})},
        "canary": None,
        "migrate": None,
        "smoke": [],
        "hosts": [],
        **more,
    }  # fmt: skip


def release(
    stack: str,
    services: dict[str, dict[str, Any]],
    *,
    slipway: dict[str, dict[str, Any]] | None = None,
    secrets: tuple[str, ...] = (),
    commit: str = "c" * 40,
    **top: Any,
) -> dict[str, Any]:
    """A release document with its id."""
    own = {name: entry(**(slipway or {}).get(name, {})) for name in services}
    content: dict[str, Any] = {
        "application": "app",
        "commit": commit,
        "branch": "main",
        "images": {name: each["image"] for name, each in services.items()},
        "compose": {
            "name": stack,
            "services": services,
            "networks": {"default": {"name": f"{stack}_default"}},
            **top,
        },
        "files": {},
        "secrets": sorted(secrets),
        "services": own,
    }
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return {"id": "r-" + hashlib.sha256(canonical).hexdigest()[:12], **content}


def document(stack: str, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A Deployment document around a release."""
    options = {"deadline": 60, "health_deadline": 15, "lock_wait": 20, "retention": 3, "disk_minimum_mb": 100}
    options.update(more.pop("options", {}))
    return {
        "contract": 1,
        "stack": stack,
        "host": "testhost",
        "release": wanted,
        "services": sorted(wanted["compose"]["services"]),
        "secrets": {},
        "registries": [],
        "options": options,
        "convergence": "",
        "edge": None,
        "watch": None,
        "fleet": None,
        **more,
    }


class Ended:
    """One run of the agent."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def document(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1, self.out
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def error(self) -> str:
        """The failure's one line, which is always the last."""
        assert self.code in (1, 2), (self.code, self.err)
        line = self.err.rstrip("\n").splitlines()[-1]
        assert line.startswith("slipway: error: "), self.err
        assert "Traceback" not in self.err
        return line


class Agent:
    """The packed agent with a state folder of its own."""

    def __init__(self, archive: Path, home: Path, stack: str) -> None:
        self.archive = archive
        self.home = home
        self.stack = stack
        self.processes: list[subprocess.Popen[str]] = []
        self.environment = {**os.environ, "SLIPWAY_HOME": str(home)}

    @property
    def folder(self) -> Path:
        return self.home / "stacks" / self.stack

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(self.archive), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **environment},
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        return Ended(
            subprocess.run(
                [sys.executable, str(self.archive), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                env={**self.environment, **environment},
                timeout=150,
                check=False,
            )
        )

    def deploy(self, wanted: dict[str, Any], *flags: str, **more: Any) -> Ended:
        environment = more.pop("environment", {})
        text = json.dumps(document(self.stack, wanted, **more))
        return self.run("deploy", *flags, stdin=text, **environment)

    def probe(self) -> dict[str, Any]:
        return self.run("probe", "--stack", self.stack).document

    def destroy(self, *flags: str) -> Ended:
        return self.run("destroy", "--stack", self.stack, *flags)

    def containers(self) -> dict[str, list[str]]:
        """Service → ids of its containers in any state, one-off runs included."""
        lines = docker(
            "ps", "-a", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.stack}",
            "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}',
        ).splitlines()  # fmt: skip
        found: dict[str, list[str]] = {}
        for line in sorted(lines):
            name, _, identifier = line.partition(" ")
            found.setdefault(name, []).append(identifier)
        return found

    def versions(self) -> dict[str, str]:
        """Service → the VERSION that its (first) running container has."""
        found = {}
        for name, identifiers in self.containers().items():
            details = next(iter(json.loads(docker("inspect", identifiers[0], check=False))), None)
            if details is None:
                continue  # replaced this very moment
            values = dict(each.partition("=")[::2] for each in details["Config"]["Env"])
            found[name] = values["VERSION"] if details["State"]["Running"] else details["State"]["Status"]
        return found

    def networks(self) -> list[str]:
        return docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={self.stack}").splitlines()

    def volumes(self) -> list[str]:
        return docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={self.stack}").splitlines()


def pack(target: Path) -> Path:
    """The agent as it is shipped."""
    target.write_bytes(pack_agent().content)
    return target


def eventually(condition: Any, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.05)
