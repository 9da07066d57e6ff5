"""The Docker engine and the Compose and Buildx plugins on this machine.

Owns: seeing what is there, installing and starting what is missing, telling why. Does not own: images, the engine's
configuration, an engine that somebody else started. Produces: an engine that answers `docker info`, and environment
additions for the programs that talk to it (usually none).
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dev.toolchain.cache import cache_root, locked
from dev.toolchain.download import DownloadBlockedError, fetch
from dev.toolchain.process import ToolchainError, run
from dev.toolchain.progress import say, step
from dev.toolchain.stand_ins.debian import download_packages, machine_suite

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ensure_docker", "find_docker"]

_START_SECONDS = 60
_GOOD_ENGINE = (25, 0)  # the first engine with `start_interval`: a first health verdict in 100 ms rather than a second
_NO_CLIENT = "no docker program"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plugin:
    """A CLI plugin: the oldest version that will do, the official release, the Debian 13 package with the same."""

    name: str
    oldest: tuple[int, int]
    url: str
    package: str

    @property
    def file(self) -> str:
        return f"docker-{self.name}"


def _plugins() -> list[_Plugin]:
    machine = platform.machine()
    go_name = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    releases = "https://github.com/docker/{}/releases/download/{}"
    return [
        _Plugin(
            name="compose",
            oldest=(2, 20),
            url=f"{releases.format('compose', 'v2.40.3')}/docker-compose-linux-{machine}",
            package="docker-compose",
        ),
        _Plugin(
            name="buildx",
            oldest=(0, 12),
            url=f"{releases.format('buildx', 'v0.29.1')}/buildx-v0.29.1.linux-{go_name}",
            package="docker-buildx",
        ),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Seen:
    """What one `docker info` told: the engine's version ("" without one), why not, and the plugins' versions."""

    engine: str
    problem: str
    plugins: Mapping[str, tuple[int, int]]


def _version(text: str) -> tuple[int, int]:
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _look(environment: Mapping[str, str] | None = None) -> _Seen:
    """Engine and plugins in one command, about 60 ms."""
    try:
        done = subprocess.run(
            ["docker", "info", "--format", "{{json .ServerVersion}}\n{{json .ClientInfo.Plugins}}"],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except FileNotFoundError:
        return _Seen(engine="", problem=_NO_CLIENT, plugins={})
    except subprocess.TimeoutExpired:
        raise ToolchainError(
            "the Docker engine did not answer within 20 s", "it hangs; nothing can run on it", "restart the engine"
        ) from None
    documents = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    engine, plugins = documents if len(documents) == 2 else ("", [])  # noqa: PLR2004 — as many as the format asks for
    found = {plugin["Name"]: _version(plugin.get("Version", "")) for plugin in plugins or []}
    return _Seen(engine=engine or "", problem=done.stderr.strip(), plugins=found)


def _engine_packages() -> list[str]:
    """What to give apt-get: the distribution's engine, or the files of Debian 13's where that is much older.

    Debian 13's engine runs on Debian 12 unchanged (its `runc` does not: that one stays the distribution's).
    """
    policy = run(["apt-cache", "policy", "docker.io"]).decode()
    candidate = re.search(r"Candidate: (\S+)", policy)
    client = [] if shutil.which("docker") else ["docker-cli"]
    recent = candidate is not None and _version(candidate[1]) >= _GOOD_ENGINE
    runs_newer = machine_suite() == "bookworm"
    if recent or not runs_newer:
        separate_client = client if run(["apt-cache", "search", "--names-only", "^docker-cli$"]).strip() else []
        return ["docker.io", *separate_client]
    folder = Path(tempfile.mkdtemp(dir=cache_root(), prefix="engine-"))
    return [str(file) for file in download_packages("docker.io", "containerd", *client, into=folder)]


def _install_engine() -> None:
    if os.geteuid() != 0:
        raise ToolchainError(
            "Docker is not installed",
            "only root can install an engine",
            "sudo apt-get install docker.io && sudo usermod -aG docker $USER, then log in again",
        )
    if not shutil.which("apt-get"):
        raise ToolchainError(
            "Docker is not installed",
            "this machine has no apt to get it with",
            "install Docker as https://docs.docker.com/engine/install/ says for this system",
        )
    with step("installing the Docker engine", "the example application runs on this machine"):
        run(["apt-get", "update", "-qq"], seconds=180)
        packages = _engine_packages()
        try:
            run(
                # never at the price of a package that somebody chose, such as a client from another repository
                ["apt-get", "install", "--yes", "--no-install-recommends", "--no-remove", "-qq", *packages],
                env={"DEBIAN_FRONTEND": "noninteractive"},
            )
        finally:
            for file in packages:
                if file.startswith("/"):
                    shutil.rmtree(Path(file).parent, ignore_errors=True)


def _system_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def _engine_environment() -> dict[str, str]:
    """What a directly started engine inherits: how to reach the network, and none of this process's secrets."""
    wanted = re.compile(r"(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|HOME|LANG|TZ", re.IGNORECASE)
    return {
        **{name: value for name, value in os.environ.items() if wanted.fullmatch(name)},
        "PATH": _system_path(),  # it calls iptables
    }


def _start_engine() -> None:
    """Start the installed engine: as a service where systemd runs, else detached with its log in the cache folder."""
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "enable", "--now", "docker"], seconds=_START_SECONDS * 2)
        _await_engine(None, "journalctl -u docker")
        return
    dockerd = shutil.which("dockerd", path=_system_path())
    if dockerd is None:
        raise ToolchainError("dockerd is not on PATH", "the engine cannot be started", "apt-get install docker.io")
    log = cache_root() / "dockerd.log"
    with log.open("ab") as sink:
        daemon = subprocess.Popen(
            [dockerd],
            env=_engine_environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    (cache_root() / "dockerd.pid").write_text(f"{daemon.pid}\n")
    _await_engine(daemon, str(log))


def _await_engine(daemon: subprocess.Popen[bytes] | None, log: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _look().engine:
            return
        if daemon is not None and daemon.poll() is not None:
            break
        time.sleep(0.1)
    tail = "\n".join(Path(log).read_text(errors="replace").splitlines()[-15:]) if Path(log).is_file() else "none"
    raise ToolchainError(
        f"the Docker engine did not come up within {_START_SECONDS} s",
        f"its last lines:\n{tail}",
        f"read {log}, fix what it names, and run it again",
    )


def _look_for_rootless() -> tuple[_Seen, dict[str, str]] | None:
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")) / "docker.sock"
    if "DOCKER_HOST" not in os.environ and rootless.exists():
        additions = {"DOCKER_HOST": f"unix://{rootless}"}
        if (seen := _look(additions)).engine:
            return seen, additions
    return None


def _ensure_engine(seen: _Seen) -> tuple[_Seen, dict[str, str]]:
    if rootless := _look_for_rootless():
        return rootless
    if os.environ.get("DOCKER_HOST"):
        raise ToolchainError(
            "the Docker engine that DOCKER_HOST names does not answer",
            seen.problem,
            "start that engine, or unset DOCKER_HOST",
        )
    if "permission denied" in seen.problem.lower():
        raise ToolchainError(
            "this user may not talk to the Docker engine",
            "its socket belongs to the group docker",
            "sudo usermod -aG docker $USER, then log in again",
        )
    if seen.problem == _NO_CLIENT or shutil.which("dockerd", path=_system_path()) is None:
        _install_engine()
    elif os.geteuid() != 0:
        raise ToolchainError(
            "the Docker engine is installed but not running", "only root can start it", "sudo systemctl start docker"
        )
    if not (seen := _look()).engine:  # a package's own service may already have started it
        with step("starting the Docker engine", "nothing answers on its socket"):
            _start_engine()
        seen = _look()
    return seen, {}


def _ensure_plugin(plugin: _Plugin) -> None:
    """Put `plugin` where the Docker CLI looks: for everybody as root, else for this user."""
    mine = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"), "cli-plugins")
    folder = Path("/usr/local/lib/docker/cli-plugins") if os.geteuid() == 0 else mine
    folder.mkdir(parents=True, exist_ok=True)
    version = ".".join(map(str, plugin.oldest))
    with (
        step(f"getting the Docker plugin {plugin.name}", f"there is none of version {version} or newer"),
        tempfile.TemporaryDirectory(dir=cache_root(), prefix=f"{plugin.name}-") as scratch,
    ):
        work = Path(scratch)
        try:
            binary = fetch(plugin.url, work / plugin.file, checksums=f"{plugin.url.rsplit('/', 1)[0]}/checksums.txt")
        except DownloadBlockedError:
            say(f"its official release cannot be downloaded: taking Debian 13's package {plugin.package}")
            package = download_packages(plugin.package, into=work)[0]
            run(["dpkg-deb", "--extract", str(package), str(work / "tree")])
            binary = work / "tree/usr/libexec/docker/cli-plugins" / plugin.file
        staged = folder / f".{plugin.file}.partial"
        shutil.copyfile(binary, staged)
        staged.chmod(0o755)
        staged.rename(folder / plugin.file)


def _lacking(seen: _Seen) -> list[_Plugin]:
    return [plugin for plugin in _plugins() if seen.plugins.get(plugin.name, (0, 0)) < plugin.oldest]


def find_docker() -> dict[str, str] | None:
    """Environment additions with which the Docker CLI finds an engine; None when none answers. Starts nothing."""
    if _look().engine:
        return {}
    rootless = _look_for_rootless()
    return rootless[1] if rootless else None


def ensure_docker() -> dict[str, str]:
    """Make the engine answer and the Compose (2.20 or newer) and Buildx (0.12 or newer) plugins usable.

    Returns:
        Environment additions with which the Docker CLI finds the engine; usually none.

    Raises:
        ToolchainError: what is missing needs root, cannot be had from any source, or does not start.
    """
    seen = _look()
    additions: dict[str, str] = {}
    if seen.engine and not _lacking(seen):
        return additions
    with locked("docker"):
        seen = _look()
        if not seen.engine:
            seen, additions = _ensure_engine(seen)
        for plugin in _lacking(seen):
            _ensure_plugin(plugin)
        still = _lacking(_look(additions))
        if still:
            raise ToolchainError(
                f"the Docker CLI does not see {' and '.join(plugin.name for plugin in still)}",
                "a plugin of that name that it prefers is too old, or does not run here",
                "docker info --format '{{json .ClientInfo.Plugins}}' shows which file it takes; remove that one",
            )
    return additions
