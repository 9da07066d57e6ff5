"""Data that a stack would leave behind in the project that it takes over from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from slipway.agent.move.left_data import check_left_data, seeds_of
from slipway.agent.move.old_project import OldContainer
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from pathlib import Path

AT = "/var/lib/postgresql/data"


class Engine:
    """Knows one container, and volumes by name."""

    def __init__(self, image: str, mounts: list[dict[str, Any]], volumes: tuple[str, ...]) -> None:
        self.details = {"Config": {"Image": image}, "Mounts": mounts}
        self.volumes = volumes

    def container(self, _: str) -> dict[str, Any]:
        return self.details

    def volume(self, name: str) -> dict[str, Any] | None:
        return {"Name": name, "Mountpoint": f"/nowhere/{name}"} if name in self.volumes else None


def old_bind(source: object, *, writable: bool = True, at: str = AT) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Destination": at, "RW": writable}


def old_volume(name: str, at: str = AT) -> dict[str, Any]:
    return {"Type": "volume", "Name": name, "Source": f"/nowhere/{name}/_data", "Destination": at, "RW": True}


def new(kind: str, source: object = "", at: str = AT, **more: Any) -> dict[str, Any]:
    return {"type": kind, "target": at, **({"source": str(source)} if source else {}), **more}


def refused(
    mounts: list[dict[str, Any]],
    own: list[dict[str, Any]],
    *,
    service: str = "db",
    image: str = "postgres:16",
    was: str = "postgres:14",
    existing: tuple[str, ...] = ("old_data",),
    seeds: dict[str, set[str]] | None = None,
    volumes: dict[str, Any] | None = None,
) -> str:
    """Everything that is said; empty where nothing is."""
    compose = {
        "services": {service: {"image": image, "volumes": own}, "web": {"image": "nginx"}},
        "volumes": {"data": {"name": "shop_data"}, **(volumes or {})},
    }
    old = OldContainer("1", "old-db-1", "db", "", {"Name": "no"}, (), (), {})
    api: Any = Engine(was, mounts, existing)
    try:
        check_left_data(compose, (service,), (old,), api=api, seeds=seeds or {})
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
        [new("bind", tmp_path / "own", "/elsewhere")],
        [],
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
        ("mysql:8", "postgres:14", False),
    ],
)
def test_a_service_under_another_name_is_known_by_its_image(image: str, was: str, *, found: bool) -> None:
    said = refused([old_volume("old_data")], [new("volume", "data")], service="database", image=image, was=was)
    assert bool(said) is found


def test_what_a_release_brings_is_known_by_folder() -> None:
    files = {"ab": {"content": "W3sicGF0aCI6ICJhL2IiLCAiY29udGVudCI6ICIifV0=", "seeds": ["conf", "more"]},
             "cd": {"content": "eA=="}}  # fmt: skip
    assert seeds_of(files, "/stack/data") == {"/stack/data/conf": {"a/b"}, "/stack/data/more": {"a/b"}}
