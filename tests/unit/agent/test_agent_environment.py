"""What of the deployer's environment reaches the programs that an agent starts: real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from samples import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# The agent as a host starts it, then each of the ways in which it starts a program.
PROGRAM = """
import json, runpy, subprocess, sys

log, sys.argv = sys.argv[1], ["agent.pyz", "version"]
try:
    runpy.run_module("slipway.agent", run_name="__main__")
except SystemExit:
    pass
from slipway.agent import runtime
from slipway.agent.docker import compose_cli

shown = ["cat", "/proc/self/environ"]
sys.stdout.buffer.write(runtime.popen(shown, stdout=subprocess.PIPE).communicate()[0])
file = compose_cli.ComposeFile({"services": {"web": {"environment": {"TZ": None}}}}, {"TOKEN": "of-the-stack"})
print(compose_cli._environment("/docker.sock", file))
runtime._SYSTEMD = "/nonexistent"
runtime.detach([*shown, "/dev/null"], "watch", log)
"""
KEPT = {
    "DOCKER_HOST": "unix:///run/docker.sock", "DOCKER_CONFIG": "/etc/docker-cli", "https_proxy": "http://proxy:1",
    "NO_PROXY": "10.0.0.0/8", "LC_CTYPE": "C.UTF-8", "TZ": "Europe/Berlin", "XDG_RUNTIME_DIR": "/run/user/7",
    "SSL_CERT_FILE": "/etc/ssl/own.pem", "SLIPWAY_HOME": "/srv/slipway", "PYTHONPATH": str(ROOT),
}  # fmt: skip
DROPPED = [
    "PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "SLIPWAY_SECRETS", "SLIPWAY_SECRETS__TOKEN", "SLIPWAY_SSH_KEY",
    "SLIPWAY_REGISTRY_PASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DOCKER_AUTH_CONFIG", "DOCKER_PASSWORD",
    "COMPOSE_FILE", "COMPOSE_PROFILES", "DOCKER_CONTEXT", "PYTHON_API_TOKEN", "LC_GIT_TOKEN", "XDG_TOKEN", "HOME_TOKEN",
    "MY_PATH", "path", "HTTP_PROXY_PASSWORD", "SSH_AUTH_SOCK", "ÄRGER", "BASH_FUNC_x%%", "TOKEN",
]  # fmt: skip


def test_programs_of_the_agent_get_nothing_of_the_deployer_but_what_they_read(tmp_path: Path) -> None:
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **KEPT, **dict.fromkeys(DROPPED, "a-canary")}
    log = tmp_path / "log"
    said = subprocess.run([sys.executable, "-c", PROGRAM, log], env=given, capture_output=True, check=True).stdout
    until = time.monotonic() + 20
    while not log.read_bytes() and time.monotonic() < until:
        time.sleep(0.01)
    _, _, started = said.decode().partition("\n")  # the version
    detached = dict(each.partition("=")[::2] for each in log.read_text().split("\0") if each)
    assert detached == {"PATH": given["PATH"], "HOME": str(tmp_path), **KEPT}
    assert "a-canary" not in started
    assert "'TZ'" not in started  # a service leaves it unset
    assert "of-the-stack" in started  # what the Compose file reads comes from the stack
