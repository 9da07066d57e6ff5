"""The peers that Slipway is measured beside: the shell script (deploy.sh) and an empty Pulumi program.

Owns: laying them out with the same application, host and registry. Does not own: how they are timed (see `measures`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack_harness import Engine

    from dev.testhosts.server import TestHost

__all__ = ["EmptyProgram", "ExampleCopy", "Script"]

ROOT = Path(__file__).resolve().parents[2]
_BUILT = ("web", "api", "worker", "scheduler")


class ExampleCopy:
    """The example application in a folder of its own, so that it can be changed."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ROOT / "example", folder, ignore=shutil.ignore_patterns("__pycache__", ".venv", ".env"))
        self.folder = folder

    def change(self) -> None:
        """One line of the API's source that no build has seen: its image and the worker's change."""
        with (self.folder / "api" / "app" / "__init__.py").open("a") as file:
            file.write(f"# {secrets.token_hex(8)}\n")


class Script:
    """deploy.sh with its own copy of the application on a host."""

    def __init__(self, engine: Engine, folder: Path, host: TestHost, *, port: int) -> None:
        self.application = ExampleCopy(folder)
        images = f"{engine.registry}/script-{os.getpid()}"
        lines = ["services:"]
        for service in _BUILT:
            lines += [f"  {service}:", f"    image: {images}/{'worker' if service == 'scheduler' else service}:latest"]
        if engine.mirror:
            lines += ["  db:", f"    image: {engine.mirror}/library/postgres:17-trixie"]
            lines += ["  cache:", f"    image: {engine.mirror}/valkey/valkey:8"]
        (folder / "images.yaml").write_text("\n".join(lines) + "\n")
        (folder / ".env").write_text(f"POSTGRES_PASSWORD={secrets.token_hex(12)}\nWEB_PORT={port}\n")
        self._environment = {**engine.environment, "SSH": " ".join(host.ssh())}
        self._host = host
        host.run("mkdir -p app/config")
        for name in ("compose.yaml", "images.yaml", ".env", "config/features.json"):
            host.run(f"cat > app/{name}", stdin=(folder / name).read_text())

    def run(self) -> None:
        """Deploy once; raises CalledProcessError when it fails."""
        subprocess.run(
            [str(ROOT / "dev" / "bench" / "deploy.sh")],
            cwd=self.application.folder,
            env=self._environment,
            check=True,
            capture_output=True,
            timeout=300,
        )

    def remove(self) -> None:
        """End what it runs on the host."""
        self._host.run("cd app && docker compose -f compose.yaml -f images.yaml down --volumes", seconds=120)


class EmptyProgram:
    """A Pulumi program that does nothing, with a backend of its own: what any `pulumi up` costs."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        (folder / "state").mkdir(parents=True)
        (folder / "Pulumi.yaml").write_text("name: empty\nruntime: python\n")
        (folder / "__main__.py").write_text('"""Nothing."""\n')
        self._folder = folder
        self._environment = {**engine.environment, "PULUMI_BACKEND_URL": (folder / "state").as_uri()}
        self._pulumi("stack", "init", "empty")

    def run(self) -> None:
        """One update that changes nothing."""
        self._pulumi("up", "--yes", "--skip-preview", "--stack", "empty")

    def _pulumi(self, *argv: str) -> None:
        subprocess.run(
            ["pulumi", *argv], cwd=self._folder, env=self._environment, check=True, capture_output=True, timeout=120
        )
