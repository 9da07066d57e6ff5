"""What the tests of components are made of: settings, applications and probes, with canaries for secrets."""

import base64
import textwrap
from pathlib import Path
from typing import Any

from components.application import Application, read_application
from components.configuration import load_settings
from components.settings import Settings
from slipway.contract.problems import Problem, SlipwayError

CANARY = "canary-7f3Q9zKpL2vX"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nY2FuYXJ5\n-----END OPENSSH PRIVATE KEY-----\n"
LOCAL = {"name": "here", "address": "local"}
REMOTE = {"name": "web-1", "address": "203.0.113.10", "user": "deploy", "hostKey": KEY}
ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "0123456789abcdef" * 4


def settings(folder: Path, **values: Any) -> Settings:
    """Settings of a local stack over the application in `folder`; secrets as plain texts."""
    values = {"stack": "test", "name": "shop", "registry": "ghcr.io/acme", "hosts": [LOCAL], **values}
    return Settings(application=folder, **values)


def application(folder: Path, text: str, **values: Any) -> Application:
    """The application that a Compose file describes."""
    (folder / "compose.yaml").write_text(textwrap.dedent(text))
    return read_application(settings(folder, **values))


def problems_of(folder: Path, text: str, **values: Any) -> list[Problem]:
    """The problems of a Compose file."""
    try:
        application(folder, text, **values)
    except SlipwayError as error:
        return list(error.problems)
    return []


def load(root: Path, configuration: dict[str, str] | None = None, **more: Any) -> Settings:
    """Settings as the engine, the environment and `.env` in `root` give them; a good stack where they say nothing."""
    (root / "example").mkdir(exist_ok=True)
    configuration = {"hosts": '[{"name": "here", "address": "local"}]', **(configuration or {})}
    return load_settings(
        project="slipway",
        stack=more.pop("stack", "test"),
        configuration={f"slipway:{key}": value for key, value in configuration.items()},
        encrypted={f"slipway:{key}" for key in more.pop("encrypted", ())},
        root=root,
        environment=more.pop("environment", {}),
        **more,
    )


def problems_of_loading(root: Path, configuration: dict[str, str] | None = None, **more: Any) -> list[Problem]:
    """The problems of settings."""
    try:
        load(root, configuration, **more)
    except SlipwayError as error:
        return list(error.problems)
    return []


def whats(problems: list[Problem]) -> list[str]:
    return [problem.what for problem in problems]


def host_key(algorithm: str, content: bytes = b"0123456789") -> str:
    """A public key in the form of OpenSSH."""
    name = algorithm.encode()
    return f"{algorithm} {base64.b64encode(len(name).to_bytes(4, 'big') + name + content).decode()}"


def probe(**changes: Any) -> dict[str, Any]:
    """The probe of a healthy host that runs nothing yet."""
    return {
        "contract": 1,
        "stack": "shop-test",
        "agent": "0123456789ab",
        "machine": {
            "hostname": "web-1",
            "architecture": "amd64",
            "docker": "26.1.5",
            "compose": "2.26.1",
            "python": "3.13.5",
            "disk_free_mb": 30000,
            "user": "deploy",
        },
        "problems": [],
        "live": None,
        "convergence": "",
        "drift": [],
        "interrupted": None,
        "lock": None,
        "last": None,
        "validated": None,
        "edge": None,
        "watch": None,
        "maintenance": False,
        "certificate": False,
        **changes,
    }
