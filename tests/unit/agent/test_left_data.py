"""Data that a stack would leave behind in the project that it takes over from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from slipway.agent.move.left_data import LeftData, check_left_data, left_data, seeds_of
from slipway.agent.move.old_project import OldContainer
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from pathlib import Path

AT, AROUND = "/var/lib/postgresql/data", "/var/lib/postgresql"


class Engine:
    """Knows one container, whose image keeps data at `AT`, and volumes by name."""

    def __init__(self, image: str, mounts: list[dict[str, Any]], volumes: tuple[str, ...]) -> None:
        self.details = {"Config": {"Image": image}, "Image": "sha256:1", "Mounts": mounts}
        self.volumes, self.composed = volumes, ("old_data", "trial_data")

    def image(self, reference: str) -> dict[str, Any] | None:
        return {"Config": {"Volumes": {AT: {}}}} if reference == "sha256:1" else None

    def container(self, _: str) -> dict[str, Any]:
        return self.details

    def volume(self, name: str) -> dict[str, Any] | None:
        labels = {"com.docker.compose.project": "shop"} if name in self.composed else {}
        return {"Name": name, "Labels": labels, "Mountpoint": f"/nowhere/{name}"} if name in self.volumes else None


def old_bind(source: object, *, writable: bool = True, at: str = AT) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Destination": at, "RW": writable}


def old_volume(name: str, at: str = AT) -> dict[str, Any]:
    return {"Type": "volume", "Name": name, "Source": f"/nowhere/{name}/_data", "Destination": at, "RW": True}


def new(kind: str, source: object = "", at: str = AT, **more: Any) -> dict[str, Any]:
    return {"type": kind, "target": at, **({"source": str(source)} if source else {}), **more}


def left(
    mounts: list[dict[str, Any]],
    own: list[dict[str, Any]],
    *,
    service: str = "db",
    image: str = "postgres:16",
    was: str = "postgres:14",
    existing: tuple[str, ...] = ("old_data",),
    seeds: dict[str, set[str]] | None = None,
    volumes: dict[str, Any] | None = None,
    others: list[dict[str, Any]] | None = None,
    trial: dict[str, tuple[str, ...]] | None = None,
) -> list[LeftData]:
    compose = {
        "services": {service: {"image": image, "volumes": own}, "web": {"image": "nginx", "volumes": others or []}},
        "volumes": {"data": {"name": "shop_data"}, **(volumes or {})},
    }
    old = OldContainer("1", "old-db-1", "db", "", {"Name": "no"}, (), (), {})
    api: Any = Engine(was, mounts, existing)
    return list(left_data(compose, (old,), api=api, seeds=seeds or {}, trial=trial or {}))


def refused(mounts: list[dict[str, Any]], own: list[dict[str, Any]], *, service: str = "db", **more: Any) -> str:
    """Everything that is said; empty where nothing is."""
    try:
        check_left_data((service,), left(mounts, own, service=service, **more))
    except SlipwayError as error:
        return str(error)
    return ""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of the old project with a database in it."""
    folder = tmp_path / "postgres14"
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "1").write_text("rows")
    return folder


def test_a_folder_that_the_stack_would_not_have_is_refused_with_the_mount_that_keeps_it(
    data: Path, tmp_path: Path
) -> None:
    said = refused([old_bind(data)], [new("bind", tmp_path / "own")])
    assert f"db would start without the data of old-db-1, which is in the folder {data} ({AT})" in said
    assert f"write `{data}:{AT}` in services.db.volumes" in said
    assert f"mkdir -p {tmp_path / 'own'}" in said
    (tmp_path / "own").mkdir()  # made on purpose
    assert refused([old_bind(data)], [new("bind", tmp_path / "own")]) == ""


def test_data_that_stays_where_it_is_is_no_reason(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    for kept in (
        [new("bind", data)],
        [new("bind", f"{data}/", f"{AT}/")],
        [new("bind", tmp_path / "link")],
        [new("bind", tmp_path)],  # with all around it
        [new("tmpfs")],
        [new("bind", tmp_path / "own", read_only=True)],
        [new("bind", data, "/elsewhere")],
    ):
        assert refused([old_bind(data)], kept) == "", kept
    assert refused([old_bind(data, writable=False)], [new("bind", tmp_path / "own")]) == ""


@pytest.mark.parametrize(
    ("theirs", "own", "expected"),
    [
        (old_volume("old_data"), new("volume", "data"), "pulumi config set --path adoptVolumes.data old_data"),
        (old_volume("ab" * 32), new("volume", "data"), f"--path adoptVolumes.data {'ab' * 32}"),
        (old_volume("old_data"), new("volume", "da.ta"), "--path 'adoptVolumes[\"da.ta\"]' old_data"),
        (old_volume("old_data"), new("volume"), f"write `data:{AT}` in services.db.volumes"),
        (old_volume("old_data"), new("bind", "/nowhere/own"), f"write `data:{AT}` in services.db.volumes"),
        (old_bind("/nowhere/of others"), new("volume", "data"), f"write `/nowhere/of others:{AT}` in"),
        (old_volume("old_data"), new("volume", "adopted"), ""),
        (old_volume("old_data", "/other"), new("volume", "data"), ""),
        (old_volume("old_data"), new("volume", "data", AROUND), f"write `data:{AT}` in services.db"),
        (old_volume("ab" * 32), new("volume", "data", AROUND), f"volume {'ab' * 32} ({AT})"),
        (old_volume("old_data"), new("volume", "data", "/elsewhere"), f"write `data:{AT}` in services.db.volumes"),
        (old_bind("/nowhere/db"), new("volume", "data", "/elsewhere"), f"write `/nowhere/db:{AT}` in services.db"),
        (old_volume("ab" * 32), new("volume", "data", "/elsewhere"), ""),
    ],
)
def test_a_volume_that_the_stack_would_not_have_is_refused_with_what_adopts_it(
    theirs: dict[str, Any], own: dict[str, Any], expected: str
) -> None:
    volumes = {"adopted": {"name": "old_data", "external": True, "x-adopted": True}, "da.ta": {"name": "shop_dot"}}
    said = refused([theirs], [own], volumes=volumes)
    assert bool(said) == bool(expected)
    assert expected in said
    if own.get("source") == "data" and own["target"] == theirs["Destination"]:
        assert "docker volume create shop_data" in said
        assert refused([theirs], [own], existing=("old_data", "shop_data")) == ""  # made on purpose


def test_a_volume_of_a_trial_takes_the_place_of_the_data_only_where_it_is_adopted() -> None:
    old, own, existing = [old_volume("old_data")], [new("volume", "trial")], ("old_data", "trial_data")
    said = refused(old, own, existing=existing, volumes={"trial": {"name": "trial_data"}})
    assert "(pulumi config set --path adoptVolumes.trial trial_data)" in said
    assert said.endswith("pulumi config set --path adoptVolumes.trial old_data")
    assert "docker volume create" not in said
    adopted = {"trial": {"name": "trial_data", "external": True, "x-adopted": True}}
    assert refused(old, own, existing=existing, volumes=adopted) == ""


def test_a_folder_of_a_trial_takes_the_place_of_the_data_only_without_its_container(data: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    mounts, own = [old_bind(data)], [new("bind", tmp_path / "own")]
    said = refused(mounts, own, trial={"shop-db-1": (str(tmp_path / "own"),)})
    assert f"write `{data}:{AT}` in services.db.volumes" in said
    assert "(docker rm --force shop-db-1)" in said
    assert refused(mounts, own, trial={"shop-db-1": (str(tmp_path / "other"),)}) == ""


def test_a_folder_that_holds_only_what_the_release_brings_holds_no_data(tmp_path: Path) -> None:
    conf, own = tmp_path / "conf.d", tmp_path / "stack" / "conf.d"
    (conf / "more").mkdir(parents=True)
    mounts, mine = [old_bind(conf)], [new("bind", own)]
    assert refused(mounts, mine) == ""  # empty
    (conf / "more" / "a.conf").write_text("older text")
    assert "would start without the data" in refused(mounts, mine)
    seeds = {str(own): {"more/a.conf", "b.conf"}}
    assert refused(mounts, mine, seeds=seeds) == ""
    (conf / "made.conf").write_text("on the server")
    assert "would start without the data" in refused(mounts, mine, seeds=seeds)
    file = tmp_path / "nginx.conf"
    file.write_text("x")
    assert refused([old_bind(file)], [new("bind", tmp_path / "shipped.conf")]) == ""


def test_a_folder_that_only_its_owner_may_read_is_data(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def denied(_: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    seeds = {str(tmp_path / "own"): {"base/1"}}
    assert "would start without" in refused([old_bind(data)], [new("bind", tmp_path / "own")], seeds=seeds)


@pytest.mark.parametrize(
    ("image", "was", "found"),
    [
        ("postgres:16", "postgres:14", True),
        ("mirror.test/library/postgres@sha256:ab", "postgres", True),
        ("mysql:8", "postgres:14", True),
    ],
)
def test_a_service_under_another_name_is_known_by_its_image_or_the_path_of_its_data(
    image: str, was: str, *, found: bool
) -> None:
    mounts, own = [old_volume("old_data")], [new("volume", "data")]
    assert bool(refused(mounts, own, service="database", image=image, was=was)) is found
    assert refused(mounts, [new("volume", "data", "/else")], service="database", image="mysql:8") == ""
    two = [new("volume", "data")]  # nobody knows which of them
    assert refused(mounts, own, service="database", image="mysql:8", others=two) == ""


def test_a_part_of_a_folder_that_would_be_another_is_refused_where_it_holds_something(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "cache").mkdir(parents=True)
    (app / "main.py").write_text("x")
    old, own = [old_bind(app, at="/app")], [new("volume", "data", f"/app/{each}") for each in ("cache", "uploads")]
    assert refused(old, own) == ""
    (app / "uploads").mkdir()
    (app / "uploads" / "photo").write_text("x")
    assert f"would start without the data of old-db-1, which is in the folder {app} (/app)" in refused(old, own)
    assert "at /app/uploads" in refused(old, own)
    assert refused(old, [new("bind", app / "uploads", "/app/uploads")]) == ""


STAYS = [
    # what the old container has, what the service has, what another service has, what is said to stay
    (old_volume("old_data", "/data"), [], [], "volume old_data (/data of old-db-1)"),
    (old_volume("old_data", "/data"), [new("volume", "data", "/data2")], [], "volume old_data (/data of old-db-1)"),
    (old_volume("old_data", "/data"), [], [new("volume", "adopted", "/backup")], ""),
    (old_volume("old_data", "/data"), [], [new("volume", "adopted", "/backup", read_only=True)], "volume old_data"),
    (old_volume("old_data", "/data"), [new("volume", "adopted", "/new")], [], ""),
    (old_volume("ab" * 32, "/data"), [], [], "unnamed volume (/data of old-db-1)"),
    (old_bind("/nowhere/files", at="/files"), [], [], "folder /nowhere/files (/files of old-db-1)"),
    (old_bind("/nowhere/files", at="/files", writable=False), [], [], ""),
    (old_bind("/dev/null", at="/files"), [], [], ""),
    (old_bind("{}/app.sqlite", at="/app.sqlite"), [], [], "file {}/app.sqlite (/app.sqlite of old-db-1)"),
    (old_bind("{}/app.sqlite", at="/app.sqlite"), [new("bind", "{}/shipped", "/app.sqlite")], [], ""),
    (old_bind("{}/empty", at="/files"), [], [], ""),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "own", "others", "expected"), STAYS)
def test_what_nobody_takes_over_is_named(
    tmp_path: Path, theirs: dict[str, Any], own: list[Any], others: list[Any], expected: str
) -> None:
    (tmp_path / "app.sqlite").write_text("rows")
    (tmp_path / "empty").mkdir()
    theirs = {**theirs, "Source": theirs["Source"].replace("{}", str(tmp_path))}
    volumes = {"adopted": {"name": "old_data", "external": True, "x-adopted": True}}
    assert refused([theirs], own, volumes=volumes, others=others) == ""
    found = ", ".join(each.words for each in left([theirs], own, volumes=volumes, others=others) if not each.used)
    assert bool(found) == bool(expected)
    assert expected.replace("{}", str(tmp_path)) in found


def test_what_a_release_brings_is_known_by_folder() -> None:
    files = {"ab": {"content": "W3sicGF0aCI6ICJhL2IiLCAiY29udGVudCI6ICIifV0=", "seeds": ["conf", "more"]},
             "cd": {"content": "eA=="}}  # fmt: skip
    assert seeds_of(files, "/stack/data") == {"/stack/data/conf": {"a/b"}, "/stack/data/more": {"a/b"}}
