"""Where one stack's state is kept on the host: `~/.local/share/slipway/stacks/<stack>/`, 0700."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.state.atomic_files import read_object, write_atomically
from slipway.contract.canonical import canonical
from slipway.contract.host_paths import stack_folder
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StackFolder", "moment"]


def moment() -> str:
    """Now, as RFC 3339 in UTC."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(runtime.time()))


class StackFolder:
    """The paths of one stack; creating a `StackFolder` touches nothing."""

    def __init__(self, stack: str) -> None:
        self.stack = stack
        self.path = stack_folder(stack)
        self.lock = os.path.join(self.path, "lock")
        self.journal = os.path.join(self.path, "journal.jsonl")
        self.ledger = os.path.join(self.path, "ledger.jsonl")
        self.key = os.path.join(self.path, "key")
        self.secrets = os.path.join(self.path, "secrets.json")
        self.secrets_before = os.path.join(self.path, "secrets-before.json")
        self.beside = os.path.join(self.path, "beside.json")
        self.counted = os.path.join(self.path, "counted.json")
        self.kept = os.path.join(self.path, "kept.json")
        self.watch = os.path.join(self.path, "watch.json")
        self.watched = os.path.join(self.path, "watched.json")
        self.watch_log = os.path.join(self.path, "watch.log")
        self.releases = os.path.join(self.path, "releases")
        self.files = os.path.join(self.path, "files")
        self.data = os.path.join(self.path, "data")
        self.control = os.path.join(self.path, "control")
        self.compose = os.path.join(self.path, "compose.json")

    def create(self) -> None:
        """Make the stack's folder, for its owner alone."""
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            os.chmod(self.path, 0o700)
        except OSError as error:
            all_stacks = shlex.quote(os.path.dirname(os.path.dirname(self.path)))
            raise SlipwayError(
                f"{self.path} cannot be written ({error.strerror})",
                "Slipway keeps its record of this stack there",
                f"mkdir -p {shlex.quote(self.path)} && sudo chown -R $(id -un) {all_stacks}",
            ) from error

    def file(self, sha: str, name: str) -> str:
        """Where a shipped file lies; its folder is its content's SHA-256, so a changed file is a new path."""
        return os.path.join(self.files, sha, name)

    def hash_key(self, *, make: bool) -> bytes:
        """The key that configuration hashes are made with, so that a label cannot be used to guess a secret."""
        try:
            with open(self.key, "rb") as handle:
                return handle.read()
        except FileNotFoundError:
            key = os.urandom(32).hex().encode()
            if make:
                write_atomically(self.key, key)
            return key

    def actor(self) -> str:
        return self.origin().get("actor", "")

    def origin(self) -> dict[str, str]:
        """`actor`, `kind` and `run` (address) of a deployment, as the driver that came last said when it looked."""
        try:
            with open(os.path.join(self.path, "actor"), encoding="utf-8") as file:
                said = file.read(1000).split("\n")
        except OSError:
            return {}
        names = ("actor", "kind", "run")[: len(said)]
        return {name: said[place].strip() for place, name in enumerate(names) if said[place].strip()}

    def stored_secrets(self) -> dict[str, str]:
        """The values that the live release was proven with; empty when there is none."""
        return {str(name): str(value) for name, value in read_object(self.secrets).items()}

    def store_secrets(self, values: Mapping[str, str]) -> None:
        write_atomically(self.secrets, json.dumps(values, sort_keys=True).encode())

    def previous_secrets(self) -> dict[str, str]:
        return {str(name): str(value) for name, value in read_object(self.secrets_before).items()}

    def store_previous_secrets(self, values: dict[str, str]) -> None:
        """Keep them, in a 0600 file, as long as the live release is watched."""
        write_atomically(self.secrets_before, json.dumps(values, sort_keys=True).encode())

    def release(self, identifier: str) -> dict[str, Any] | None:
        return read_object(os.path.join(self.releases, identifier, "release.json")) or None

    def store_release(self, release: Mapping[str, Any]) -> None:
        """Keep a release (it holds no secret values); writes nothing where it is kept, as on the way back to it."""
        if self.release(release["id"]) == release:
            return
        folder = os.path.join(self.releases, release["id"])
        os.makedirs(folder, mode=0o700, exist_ok=True)
        write_atomically(os.path.join(folder, "release.json"), canonical(release))

    def kept_releases(self) -> dict[str, dict[str, Any]]:
        try:
            names = sorted(os.listdir(self.releases))
        except OSError:
            return {}
        found = {name: self.release(name) for name in names}
        return {name: release for name, release in found.items() if release is not None}
