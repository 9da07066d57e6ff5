"""Docker on this machine, as tests look at it."""

from __future__ import annotations

import dataclasses
import subprocess
from typing import Any

__all__ = ["Container", "docker", "remove_images"]


def docker(*arguments: str, check: bool = True) -> str:
    """The output of one `docker` command."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert not (check and done.returncode), f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def remove_images(prefix: str) -> None:
    """Remove every image whose name begins with `prefix`, by its names: others may have the same content, and id."""
    lines = docker("image", "ls", "--all", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}").splitlines()
    names = []
    for name, tag, digest in (line.split() for line in lines if line.startswith(prefix)):
        names += [f"{name}:{tag}"] if tag != "<none>" else []
        names += [f"{name}@{digest}"] if digest != "<none>" else []
    if names:
        docker("image", "rm", "--force", *dict.fromkeys(names), check=False)


@dataclasses.dataclass(frozen=True)
class Container:
    """A container of a stack, as Docker describes it."""

    document: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.document["Id"])

    @property
    def name(self) -> str:
        return str(self.document["Name"]).lstrip("/")

    @property
    def service(self) -> str:
        return str(self.labels["com.docker.compose.service"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.document["Config"]["Labels"])

    @property
    def image(self) -> str:
        """The reference that it was made from: by digest, where Slipway made it."""
        return str(self.document["Config"]["Image"])

    @property
    def digest(self) -> str:
        return self.image.partition("@")[2]

    @property
    def running(self) -> bool:
        return bool(self.document["State"]["Running"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.document["Config"]["Env"])
