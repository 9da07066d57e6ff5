"""Old and new container never work on the same data at once, however each of them names it."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED, Simulation
from test_agent_move import UNLESS_STOPPED, VOLUME, Before, before, command, deploy, shop, undo_killed  # noqa: F401  # fixture

from slipway.agent.move.shared_data import data_of, shared, within

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fake_docker import Container

Mount = dict[str, Any]


def bind(source: str) -> Mount:
    return {"Type": "bind", "Source": source}


def volume(name: str) -> Mount:
    return {"Type": "volume", "Name": name}


def device(path: str, **options: str) -> Mount:
    return {"Options": {"type": "none", "o": "bind", **options, "device": path}}


VOLUMES = {
    "plain": {"Options": None},
    "other": {},
    "on folder": device("{}/data"),
    "on link": device("{}/link", o="rw,bind"),
    "rbind": device("{}/data/", o="rbind", type=""),
    "share": device(":/export", type="nfs", o="addr=10.0.0.1,rw"),
    "same share": device(":/export", type="nfs", o="rw,nolock,addr=10.0.0.1"),
    "share elsewhere": device(":/export", type="nfs", o="addr=10.0.0.2,rw"),
    "disk": device("/dev/sdb1", type="ext4", o=""),
    "same disk": device("/dev/sdb1", type="ext4", o="noatime"),
    "memory": device("tmpfs", type="tmpfs", o="size=1m"),
    "more memory": device("tmpfs", type="tmpfs", o="size=1m"),
    "of a plugin": {"Mountpoint": "", "Options": {"size": "1"}},
}
SAME = [
    (volume("plain"), volume("plain")),
    (volume("not there"), volume("not there")),
    (volume("of a plugin"), volume("of a plugin")),
    (bind("{}/data"), bind("{}/data/")),
    (bind("{}/data"), bind("{}/../{name}/data/.")),
    (bind("{}/data"), bind("{}/link")),
    (bind("{}/link/deep"), bind("{}/data")),
    (bind("{}/data/deep"), bind("{}/link")),
    (bind("{}"), bind("{}/data")),
    (bind("{}/data/not there yet"), bind("{}/link")),
    (bind("{}/data/app.sqlite"), bind("{}/link")),
    (bind("{}/data/app.sqlite"), bind("{}/link/app.sqlite")),
    (bind("{}/d\xe4ta"), bind("{}/d\xe4ta")),
    (bind("/"), bind("{}/data")),
    (bind("{}/data/app.sqlite"), bind("{}/hard")),
    (bind("{}/twice"), bind("{}/data")),
    (bind("{}/twice/deep"), bind("{}/data")),
    (bind("{}/twice"), bind("{}/data/deep")),
    (volume("on folder"), bind("{}/twice/deep")),
    (volume("on folder"), bind("{}/data")),
    (volume("on folder"), volume("on link")),
    (volume("rbind"), bind("{}/link/deep")),
    (volume("share"), volume("same share")),
    (volume("disk"), volume("same disk")),
    (volume("plain"), bind("/var/lib/docker/volumes/plain/_data")),
]
APART = [
    (volume("plain"), volume("other")),
    (volume("memory"), volume("more memory")),
    (volume("share"), volume("share elsewhere")),
    (bind("{}/data"), bind("{}/database")),
    (bind("{}/data/deep"), bind("{}/data/app.sqlite")),
    (bind("{}/twice/deep"), bind("{}/twice/app.sqlite")),
    (bind("{}/data"), bind("{}/data") | {"RW": False}),
    (volume("plain") | {"RW": False}, volume("plain")),
    (volume("on folder"), bind("{}/database")),
    (bind("/etc/hostname"), bind("/etc/hostname")),
    (bind("/sys/fs"), bind("/sys/fs")),
    (bind("/dev/null"), bind("/dev/null")),
    (bind("/run"), bind("/run")),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "app.sqlite").write_text("")
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "hard").hardlink_to(tmp_path / "data" / "app.sqlite")
    return tmp_path


@pytest.fixture
def twice(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder `data` is mounted at `twice` as well."""
    stat, mounted = os.stat, re.compile(f"{re.escape(str(place))}/twice(?=/|$)")

    def seen(path: Any, *words: Any, **more: Any) -> os.stat_result:
        return stat(mounted.sub(f"{place}/data", path) if isinstance(path, str) else path, *words, **more)

    monkeypatch.setattr(os, "stat", seen)


@pytest.mark.usefixtures("twice")
@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [*((*each, True) for each in SAME), *((*each, False) for each in APART)],
    ids=str,
)
def test_who_writes_to_the_same_data(place: Path, one: Mount, other: Mount, *, expected: bool) -> None:
    def filled(text: str) -> str:
        return text.replace("{}", str(place)).replace("{name}", place.name)

    class Api:
        def volume(self, name: str) -> Mapping[str, Any] | None:
            found = VOLUMES.get(name)
            options = {key: filled(value) for key, value in ((found or {}).get("Options") or {}).items()}
            point = f"/var/lib/docker/volumes/{name}/_data"
            return None if found is None else {"Mountpoint": point, **found, "Options": options}

    def data(mount: Mount) -> tuple[str, ...]:
        api: Any = Api()
        mounted = {"RW": True, **mount, **({"Source": filled(mount["Source"])} if "Source" in mount else {})}
        return data_of({"Mounts": [mounted]}, api)

    assert bool(shared(data(one), data(other))) is expected
    assert bool(shared(data(other), data(one))) is expected


def test_a_tool_that_looks_at_the_whole_host_does_not_count_as_one_that_works_on_its_data() -> None:
    volumes = ["plain", "/var/lib/docker/volumes/plain/_data"]
    assert within(["/var/lib/docker/volumes"], volumes) == []
    assert within(["/"], ["/srv/data"]) == []
    assert within(["/srv/data/deep"], ["/srv/data"]) == ["/srv/data/deep"]


def test_volumes_are_called_by_name_and_folders_by_path() -> None:
    assert shared(["plain", "/srv/x"], ["plain", "/srv/x"]) == ["plain"]
    assert shared(["/srv/x/deep", "/srv/y"], ["/srv/x"]) == ["/srv/x/deep"]


class Pair:
    """A database of the old project, called `database`, and `db`, which takes its place on the same data."""

    def __init__(self, stack: Simulation, before: Before, mount: Mount) -> None:
        self.stack, self.before = stack, before
        image = before.container("web").config["Image"]
        for name in before.ids:
            before._ask("POST", f"/containers/{before.ids[name]}/stop")
        before.ids = {"database": before._run("database", image, UNLESS_STOPPED, Mounts=[mount])}
        self.both = 0
        stack.world.time.before.append(self._look)

    @property
    def old(self) -> Container:
        return self.before.container("database")

    def _look(self) -> None:
        self.both += self.old.running and any(each.running for each in self.stack.containers("db"))

    def wanted(self, mount: Mapping[str, Any], version: str = "1", **volumes: Any) -> dict[str, Any]:
        service = self.stack.service(environment={"VERSION": version}, volumes=[{"target": "/data", **mount}])
        return self.stack.release({"db": service}, {"db": {"strategy": "rolling"}}, volumes=volumes)


WAYS: list[tuple[str, Mount, str]] = [
    ("link", {"type": "bind", "source": "{}/data"}, "{}/link"),
    ("link", {"type": "bind", "source": "{}/link"}, "{}/data"),
    ("inside", {"type": "bind", "source": "{}/data"}, "{}/data/deep"),
    ("around", {"type": "bind", "source": "{}/data/deep"}, "{}/data"),
    ("volume on it", {"type": "bind", "source": "{}/data"}, "volume"),
    ("adopted volume on it", {"type": "volume", "source": "adopted"}, "{}/link"),
    ("volume that Compose makes on it", {"type": "volume", "source": "made"}, "{}/data"),
]


@pytest.mark.parametrize(("new", "old"), [each[1:] for each in WAYS], ids=[each[0] for each in WAYS])
def test_two_never_work_on_one_folder_however_they_name_it(
    stack: Simulation, before: Before, place: Path, new: Mount, old: str
) -> None:
    options = {"type": "none", "o": "bind", "device": f"{place}/data"}
    for name in ("volume", "adopted"):
        before._ask("POST", "/volumes/create", {"Name": name, "DriverOpts": options})
    volumes = {"adopted": {"name": "adopted", "external": True, "x-adopted": True},
               "made": {"name": "made", "driver_opts": options}}  # fmt: skip
    source = old.format(place)
    pair = Pair(stack, before, {"Type": "volume" if old == "volume" else "bind", "Source": source, "Target": "/data"})
    new = {**new, "source": new["source"].format(place)}
    ended = deploy(stack, pair.wanted(new, **volumes))
    assert ended.code == 0, ended.err
    assert not pair.old.running
    pair.before._ask("POST", f"/containers/{pair.old.id}/start")
    pair.both = 0
    refused = deploy(stack, pair.wanted(new, "2", **volumes))
    assert "is in use by old-database-1" in refused.error
    assert "docker stop old-database-1" in refused.error
    pair.before._ask("POST", f"/containers/{pair.old.id}/stop")
    pair.both = 0
    assert undo_killed(stack, 3)
    stack.later(60)
    assert deploy(stack, pair.wanted(new, "2", **volumes)).code == 0
    assert deploy(stack, pair.wanted(new, "3", **volumes), kill="start:db:started").code in (0, KILLED)
    assert command(stack, "undo").code == 0
    assert pair.old.running
    assert pair.both == 0


@pytest.fixture
def two(stack: Simulation) -> Simulation:
    """Another stack of the same host."""
    return Simulation(stack.host, "two")


ADOPTED = {"data": {"name": VOLUME, "external": True, "x-adopted": True}}


def on_volume(stack: Simulation, version: str = "1") -> dict[str, Any]:
    service = stack.service(
        environment={"VERSION": version}, volumes=[{"type": "volume", "source": "data", "target": "/data"}]
    )
    return stack.release({"db": service}, {"db": {"strategy": "recreate"}}, volumes=ADOPTED)


def users(stack: Simulation) -> list[str]:
    return [each.name for each in stack.host.engine.containers.values() if VOLUME in each.volumes and each.running]


@pytest.mark.parametrize("head_start", [0.0, 0.05, 0.3, 1.0, 2.0])
def test_of_two_stacks_that_take_over_from_one_project_at_once_one_gets_it(
    stack: Simulation, two: Simulation, before: Before, head_start: float
) -> None:
    seen: set[int] = set()
    stack.world.time.before.append(lambda: seen.add(len(users(stack))))
    _, first = stack.begin(on_volume(stack), move_from=["old"])
    stack.later(head_start)
    _, second = two.begin(on_volume(two), move_from=["old"])
    ends = [first(), second()]
    assert sorted(each.code for each in ends) == [0, 1]
    [lost] = [each.error for each in ends if each.code]
    winner = "two" if ends[0].code else "shop"
    assert f"stack {winner} of this host takes over from old, or has done so, and may go back" in lost
    assert "pulumi config rm --path 'moveFrom[0]'" in lost
    assert users(stack) == [f"{winner}-db-1"]
    assert max(seen) == 1
    loser = stack if winner == "two" else two
    assert command(two if winner == "two" else stack, "undo").code == 0
    before.as_before()
    assert deploy(loser, on_volume(loser)).code == 0
    assert max(seen) == 1


def test_a_migration_waits_until_the_old_container_has_left_the_data(stack: Simulation, before: Before) -> None:
    seen: list[list[str]] = []
    stack.world.time.before.append(lambda: seen.append(users(stack)))
    services = on_volume(stack)["compose"]["services"]
    migrates = {"db": {"strategy": "recreate", "migrate": {"command": ["migrate"], "deadline": 60}}}
    wanted = stack.release(services, migrates, volumes=ADOPTED)
    [taken] = [each for each in stack.plan(wanted, move_from=["old"])["changes"] if each["action"] == "taken over"]
    assert (taken["service"], taken["interrupts"]) == ("db", True)
    assert "in place of old-db-1" in taken["because"][0]
    assert deploy(stack, wanted).code == 0
    assert any("migrate" in name for names in seen for name in names)
    assert max(map(len, seen)) == 1
    assert command(stack, "undo").code == 0
    before.as_before()


@pytest.mark.usefixtures("before")
def test_who_waits_for_the_old_container_has_what_compose_copies_at_the_start(stack: Simulation) -> None:
    services = on_volume(stack)["compose"]["services"]
    services["db"]["configs"] = [{"source": "own", "target": "/run/own"}]
    configs = {"own": {"name": "own", "content": "x"}}
    assert deploy(stack, stack.release(services, volumes=ADOPTED, configs=configs)).code == 0
    assert "create:db:finished" in stack.steps()
    assert set(stack.ids("db")) <= stack.host.engine.handed


def test_data_that_the_stack_left_is_refused_to_it_while_another_works_there(stack: Simulation, tmp_path: Path) -> None:
    data = tmp_path / "pg"
    data.mkdir()
    old, wanted = Before(stack, str(data)), shop(stack, data=str(data))
    assert deploy(stack, wanted).code == 0
    assert command(stack, "undo").code == 0
    image = old.container("web").config["Image"]
    for name in ("db", "traefik"):
        old._ask("DELETE", f"/containers/{old.ids[name]}?force=true")
    old._run("db", image, UNLESS_STOPPED, Mounts=[{"Type": "bind", "Source": str(data), "Target": "/data"}])
    failed = stack.deploy(wanted)  # without moveFrom: the user gave the move up
    assert failed.code == 1
    assert f"the folder {data} is in use by old-db-1" in failed.error
    running = [each for each in stack.host.engine.containers.values() if each.running and str(data) in each.binds]
    assert [each.name for each in running] == ["old-db-1"]


@pytest.mark.parametrize("names", [["other", "old"], ["old-db-1"], ["old-traefik-1"]], ids=str)
def test_what_another_stack_took_over_is_refused_in_the_preview(
    stack: Simulation, two: Simulation, before: Before, names: list[str]
) -> None:
    assert deploy(stack, on_volume(stack)).code == 0
    [refused] = two.plan(on_volume(two), move_from=names)["refused"]
    assert refused["what"] == f"stack shop of this host takes over from {names[-1]}, or has done so, and may go back"
    assert refused["fix"] == f"pulumi config rm --path 'moveFrom[{len(names) - 1}]'"
    before.stopped()
    assert command(stack, "finish").code == 0
    assert "stack shop of this host" not in str(two.plan(on_volume(two), move_from=names))


def test_an_undo_starts_nothing_on_data_that_somebody_else_works_on_by_now(
    stack: Simulation, two: Simulation, before: Before
) -> None:
    assert deploy(stack, on_volume(stack)).code == 0
    for each in stack.containers("db"):
        before._ask("POST", f"/containers/{each.id}/stop")
    assert two.deploy(on_volume(two)).code == 0
    refused = command(stack, "undo")
    assert "old-db-1 of old cannot run: two-db-1 works on its data" in refused.error
    assert "docker stop two-db-1" in refused.error
    assert users(stack) == ["two-db-1"]
    before.stopped()
    before._ask("POST", f"/containers/{two.containers('db')[0].id}/stop")
    assert command(stack, "undo").code == 0
    before.as_before()


def test_a_failed_deployment_starts_nothing_on_data_that_somebody_else_works_on_by_now(
    stack: Simulation, before: Before
) -> None:
    broken = on_volume(stack)
    broken["compose"]["services"]["db"]["environment"]["MODE"] = "never"
    image = before.container("web").config["Image"]
    _, ended = stack.begin(broken, move_from=["old"])
    stack.later(5)
    mount = {"Type": "volume", "Source": VOLUME, "Target": "/data"}
    before._run("guest", image, UNLESS_STOPPED, project="another", Mounts=[mount])
    assert "runs again, but not all of it: old-db-1 does not run: another-guest-1 works on its data" in ended().error
    assert users(stack) == ["another-guest-1"]
    assert before.container("web").running


def test_who_shared_the_data_before_the_move_keeps_nobody_from_going_back(stack: Simulation, before: Before) -> None:
    image = before.container("web").config["Image"]
    for name in ("guest", "tool"):
        mount = {"Type": "bind" if name == "tool" else "volume", "Target": "/data",
                 "Source": "/var/lib/docker" if name == "tool" else VOLUME}  # fmt: skip
        before._run(name, image, UNLESS_STOPPED, project="another", Mounts=[mount])
    wanted = on_volume(stack)
    wanted["compose"]["volumes"]["data"].pop("x-adopted")  # as `external: true` says that both may
    assert deploy(stack, wanted).code == 0
    assert command(stack, "undo").code == 0
    before.as_before()
