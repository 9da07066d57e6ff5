"""The stack `local`: this machine is registry, host and engine state at once.

Owns: the folder .slipway/ (state, passphrase, the local stack's own secrets), what outlives it because volumes do
(`_with_volumes`), and the order in which a machine gets ready. Does not own: what a deployment is; `pulumi up` does
that, as it does for every other stack.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from dev.toolchain.docker import ensure_docker, find_docker
from dev.toolchain.process import ToolchainError, run
from dev.toolchain.progress import say
from dev.toolchain.pulumi import ensure_pulumi
from dev.toolchain.registry import ensure_registry, remove_registry
from dev.toolchain.stand_ins.images import ensure_images

__all__ = ["ROOT", "SECRETS", "configuration", "down", "initialise", "known", "machine", "up"]

ROOT = Path(__file__).resolve().parents[2]
_FOLDER = ROOT / ".slipway"
SECRETS = _FOLDER / "secrets.json"
_STACK = "local"
_DEPLOYMENT = "slipway:deployment:ComposeDeployment"
_IMAGE = "docker-build:index:Image"
_EXAMPLE_SECRETS = ("POSTGRES_PASSWORD",)  # what the example application asks for; made up once, kept with its volume


def machine() -> dict[str, str]:
    """Everything that a deployment from this machine needs, gone for side by side.

    Returns: the environment in which `pulumi` and `docker` then work, and the settings `registry` (unless the user has
    one) and, where stand-ins serve, `mirror`.
    """
    with ThreadPoolExecutor(1) as pool:
        engine = pool.submit(ensure_pulumi)  # compiles for minutes where downloads are blocked; the rest is downloading
        try:
            found = _docker_side()
        except ToolchainError as error:
            if not engine.done():
                say(f"{error} (this ends when Pulumi is there, which the next run then need not wait for)")
            raise
        found |= engine.result()
    tools = {name: value for name, value in found.items() if not name.startswith("SLIPWAY_")}
    os.environ.update(tools)
    _FOLDER.mkdir(exist_ok=True)
    # slipway/releases/local_stack.py finds these tools by it, and has this machine made ready without us
    prepare = [str(Path(__file__).with_name("bootstrap")), "machine"]
    (_FOLDER / "machine.json").write_text(json.dumps({"environment": tools, "prepare": prepare}))
    return found


def _docker_side() -> dict[str, str]:
    docker = ensure_docker()
    os.environ.update(docker)
    registry = ensure_registry()
    return {**docker, "SLIPWAY_REGISTRY": os.environ.get("SLIPWAY_REGISTRY") or registry, **ensure_images(registry)}


def known() -> dict[str, str]:
    """The environment that tells the engine of the stack `local` and its secrets; starts nothing."""
    return {**_engine(), "SLIPWAY_SECRETS": json.dumps(_secrets())}


def _engine() -> dict[str, str]:
    return {
        "PULUMI_BACKEND_URL": (_FOLDER / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(_FOLDER / "passphrase"),
    }


def up(arguments: list[str]) -> int:
    """Deploy the local stack; the exit code of `pulumi up`."""
    prepared = machine() | known()
    initialise(prepared)
    done = _pulumi(["up", "--yes", "--skip-preview", *arguments], prepared)
    if _exists():
        _remember_deployed()
    if done == 0:
        _keep_with_volumes(_kept(SECRETS))  # an earlier version kept them here alone
        shown = run(["pulumi", "stack", "output", "--json", "--stack", _STACK, "--cwd", str(ROOT)], env=prepared)
        for url in json.loads(shown).get("urls", []):
            say(f"ready: {url}")
        say(f"what runs, from {ROOT}: .venv/bin/slipway status --stack {_STACK}")
    return done


def down(arguments: list[str]) -> int:
    """Remove what `up` made: containers, networks, images, registry, state. Volumes go only if VOLUMES names them."""
    named = [name for name in os.environ.get("VOLUMES", "").split(",") if name]
    if (_FOLDER / "state").is_dir():
        os.environ.update(ensure_docker() | ensure_pulumi())
        if _exists():
            repositories = _remember_deployed()
            done = _pulumi(["destroy", "--yes", "--skip-preview", *arguments], _engine())
            if done != 0:
                return done
            _remove_images(repositories)
        shutil.rmtree(_FOLDER / "state")
    elif (docker := find_docker()) is None:
        say("nothing to remove")
        return 0
    else:
        os.environ.update(docker)
    remove_registry()
    _remove_volumes(named)
    return 0


def _exists() -> bool:
    return _state().is_file()


def _state() -> Path:
    return _FOLDER / "state" / ".pulumi" / "stacks" / _project() / f"{_STACK}.json"


def _project() -> str:
    return str(yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["name"])


def _pulumi(arguments: list[str], prepared: dict[str, str]) -> int:
    """Run the engine on the local stack in the foreground, its output going straight to the terminal."""
    argv = ["pulumi", *arguments, "--stack", _STACK, "--config-file", str(configuration()), "--cwd", str(ROOT)]
    return subprocess.run(argv, env={**os.environ, **prepared}, check=False).returncode


def configuration() -> Path:
    """Pulumi.local.yaml for this project, with this machine's salt, which has no place in a committed file."""
    file = _FOLDER / "Pulumi.local.yaml"
    salt = (_FOLDER / "salt").read_text() if (_FOLDER / "salt").is_file() else ""
    # The keys must have the project's name, which a fork may have changed in Pulumi.yaml.
    text = re.sub(r"(?m)^(\s+)slipway:", rf"\g<1>{_project()}:", (ROOT / "Pulumi.local.yaml").read_text())
    file.write_text(text + (f"encryptionsalt: {salt}\n" if salt else ""))
    return file


def initialise(prepared: dict[str, str]) -> None:
    """Make the state folder, a passphrase and the stack, once."""
    if _exists():
        return
    (_FOLDER / "state").mkdir(parents=True, exist_ok=True)
    passphrase = _FOLDER / "passphrase"
    if not passphrase.is_file():
        _write_private(passphrase, secrets.token_urlsafe(24))
    # In a folder of its own: `stack init` writes the salt into Pulumi.local.yaml, and ours is committed.
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        (Path(folder) / "Pulumi.yaml").write_text(f"name: {_project()}\nruntime: python\n")
        run(["pulumi", "stack", "init", _STACK, "--cwd", folder], env=prepared)
        salt = yaml.safe_load((Path(folder) / f"Pulumi.{_STACK}.yaml").read_text())["encryptionsalt"]
    (_FOLDER / "salt").write_text(salt)


def _with_volumes() -> Path:
    """The folder of what volumes of the local stack need to be of use, or to be removed; of all clones, as volumes are.

    Below the user's data folder (XDG base directory specification).
    """
    folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "slipway" / "local"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _secrets() -> dict[str, str]:
    """The local stack's own secrets: this clone's, else those that the volumes of an earlier clone were made with."""
    own, shared = _kept(SECRETS), _kept(_with_volumes() / SECRETS.name)
    made = {name: own.get(name) or shared.get(name) or secrets.token_urlsafe(24) for name in _EXAMPLE_SECRETS}
    if made.keys() - shared.keys():
        _keep_with_volumes(made)
    if made.keys() - own.keys():
        _FOLDER.mkdir(exist_ok=True)
        _write_private(SECRETS, json.dumps(made | own))
    return made | own | _object(os.environ.get("SLIPWAY_SECRETS") or "{}", "SLIPWAY_SECRETS")


def _keep_with_volumes(values: dict[str, str]) -> None:
    _write_private(_with_volumes() / SECRETS.name, json.dumps({name: values[name] for name in _EXAMPLE_SECRETS}))


def _kept(file: Path) -> dict[str, str]:
    return _object(file.read_text(), str(file)) if file.is_file() else {}


def _object(text: str, where: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ToolchainError(
            f"{where} is not a JSON object", "the stack's secrets cannot be read", 'make it {"NAME": "value"}'
        )
    return found


def _write_private(file: Path, text: str) -> None:
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.rename(file)


def _remember_deployed() -> list[str]:
    """The repositories of the images that the stack built, which the engine still has after `destroy`.

    Keeps the names of the Compose projects that the stack deployed, too: their volumes outlive the state.
    """
    latest = json.loads(_state().read_text())["checkpoint"].get("latest") or {}
    resources = latest.get("resources") or []
    deployed = {resource["urn"].split("::")[-1] for resource in resources if resource["type"] == _DEPLOYMENT}
    (_with_volumes() / "projects").write_text("".join(f"{name}\n" for name in sorted(deployed | _projects())))
    tags = [tag for resource in resources if resource["type"] == _IMAGE for tag in resource["inputs"].get("tags", [])]
    return sorted({tag.rpartition(":")[0] for tag in tags})


def _remove_images(repositories: list[str]) -> None:
    """Remove every version of the images from the engine; one that a container uses stays."""
    for repository in repositories:
        argv = ["docker", "image", "ls", "--digests", "--format", "{{.Tag}} {{.Digest}}", repository]
        for tag, digest in (line.split(" ") for line in run(argv).decode().splitlines()):
            image = f"{repository}@{digest}" if tag == "<none>" else f"{repository}:{tag}"
            subprocess.run(["docker", "image", "rm", image], capture_output=True, check=False)


def _projects() -> set[str]:
    files = (_FOLDER / "projects", _with_volumes() / "projects")  # the first is of 0.2 and earlier
    return {name for file in files if file.is_file() for name in file.read_text().split()}


def _remove_volumes(named: list[str]) -> None:
    """Remove the local stack's volumes that were named; say which ones are kept and how they would go."""
    form = '{{.Name}} {{.Label "com.docker.compose.project"}} {{.Label "com.docker.compose.volume"}}'
    label = "label=com.docker.compose.volume"
    listed = run(["docker", "volume", "ls", "--filter", label, "--format", form]).decode().splitlines()
    projects = _projects()
    for volume, project, short in (line.split(" ") for line in listed):
        if project not in projects:
            continue
        if short in named or volume in named:
            run(["docker", "volume", "rm", volume])
            say(f"removed volume {volume}")
        else:
            say(f"kept volume {volume} (its data stays; `make down VOLUMES={short}` removes it)")
