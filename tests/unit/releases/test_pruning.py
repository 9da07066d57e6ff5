"""What stacks need of a registry stays, and where that is not known nothing is deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.contract.problems import Problem, SlipwayError
from slipway.images.stored_images import StoredImage
from slipway.releases.history.entries import HistoryEntry
from slipway.releases.history.ledgers import HostLedger, LedgerLine
from slipway.releases.history.stack_history import StackHistory
from slipway.releases.pruning import needs as needs_module
from slipway.releases.pruning import prune
from slipway.releases.pruning.needs import Needs, StackNeeds, read_needs, unchanged
from slipway.releases.pruning.prune import carry_out, planned

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOW = datetime.now(UTC)
REGISTRY = "r.example/acme"
RECORD = "slipway:release:ReleaseRecord"
UPDATED = {"lastUpdate": "2026-11-01T00:00:00.000Z"}


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def image(number: int) -> str:
    return f"{REGISTRY}/shop-web:main@{digest(number)}"


def entry(number: int, **more: Any) -> HistoryEntry:
    """Update and release of that number, with the image of that number."""
    given = {"kind": "deploy", "result": "succeeded", "images": {"web": image(number)}, "irreversible": (), **more}
    return HistoryEntry(number=number, at=NOW + timedelta(minutes=number), release=f"r-{number}", **given)


class World:
    """A project's stacks as the engine and their hosts know them; a test changes them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.listed: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, StackHistory] = {}
        self.states: dict[str, Any] = {}
        self.locks: set[str] = set()
        self.kept: dict[str, int] = {}
        """Release → image, of those that hosts alone know."""
        self.engine: Any = SimpleNamespace(root=root, project="shop", environment={})
        (root / "Pulumi.yaml").write_text("name: shop")
        for name in (
            "listed_stacks", "engine_of", "stack_locks", "read_history", "exported_state", "settings_of",
            "read_ledgers", "read_release",
        ):  # fmt: skip
            monkeypatch.setattr(needs_module, name, getattr(self, name))

    def stack(
        self, name: str, *numbers: int, state: Iterable[int] = (), warm: Iterable[str] = (), live: str = "",
        file: bool = True,
    ) -> None:  # fmt: skip
        lines = [LedgerLine(host="a", at=NOW, release=live, outcome="deployed")] if live else []
        self.listed[name] = dict(UPDATED)
        self.histories[name] = StackHistory(
            stack=name, project=f"shop-{name}", checkpoints=None, known_settings=self.settings_of(name),  # type: ignore[arg-type]
            entries=[entry(number) for number in numbers],
            hosts={"a": HostLedger(lines=lines, warm=frozenset(warm))},
        )  # fmt: skip
        built = [{"type": "docker-build:index:Image", "outputs": {"ref": image(number)}} for number in state]
        self.states[name] = {"deployment": {"resources": built}}
        if file:
            (self.root / f"Pulumi.{name}.yaml").write_text(f"config: {{'shop:registry': {REGISTRY}}}")

    def listed_stacks(self, _: object) -> dict[str, dict[str, Any]]:
        return self.listed

    def engine_of(self, name: str, *, own_key: bool = False) -> Any:  # noqa: ARG002  # it reaches no host
        return SimpleNamespace(short=name, stack=name, stack_file=self.root / f"Pulumi.{name}.yaml")

    def stack_locks(self, engine: Any) -> Any:
        return SimpleNamespace(read=lambda: ["lock"] if engine.short in self.locks else [])

    def read_history(self, engine: Any, *, hosts: bool = True) -> StackHistory:
        found = self.histories[engine.short]
        if isinstance(found, SlipwayError):
            raise found
        return found if hosts else replace(found, hosts={}, known_settings=None)

    def read_ledgers(self, _: object, project: str) -> Any:
        return self.histories[project.removeprefix("shop-")].hosts

    def read_release(self, *words: Any) -> dict[str, Any] | None:
        return {"images": {"web": image(self.kept[words[-1]])}} if words[-1] in self.kept else None

    def exported_state(self, engine: Any) -> Any:
        return self.states[engine.short]

    def settings_of(self, _: object) -> Any:
        return SimpleNamespace(retention=2, registry_login=dict)

    def needed(self, keep: int = 1) -> set[int]:
        return {int(each.removeprefix("sha256:"), 16) for each in read_needs(self.engine, keep).digests}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


# --- what is needed


def test_the_state_the_hosts_and_the_last_releases_count_of_every_stack(world: World) -> None:
    world.stack("staging", 1, 2, 3, 4, state=[9], live="r-4")
    world.stack("production", 1, 2, live="r-2")
    world.stack("pr", file=True)
    world.stack("pr-7", 5, file=False, live="r-5")
    assert world.needed() == {9, 4, 3, 2, 1, 5}
    assert world.needed(keep=4) == {9, 4, 3, 2, 1, 5}
    del world.listed["production"]
    (world.root / "Pulumi.production.yaml").unlink()
    assert world.needed() == {9, 4, 3, 5}, "two releases, as hosts keep them"
    assert world.needed(keep=3) == {9, 4, 3, 2, 5}


def test_what_a_watch_went_back_to_and_what_hosts_alone_keep_counts(world: World) -> None:
    world.kept = {"r-70": 70, "r-71": 71}
    world.stack("live", 1, 2, 3, 4, 5, live="r-1", warm=["r-70"])
    assert world.needed() == {1, 5, 4, 70}
    world.stack("live", live="r-71")
    assert world.needed() == {71}, "the backend is new"


def test_a_failed_release_is_no_way_back_unless_the_state_has_it(world: World) -> None:
    world.stack("live", 1, 2, live="r-2")
    world.histories["live"] = replace(world.histories["live"], entries=[entry(1), entry(2), entry(3, result="failed")])
    assert world.needed() == {1, 2}
    world.states["live"] = {
        "deployment": {"resources": [{"type": RECORD, "outputs": {"anywhere": [{"in": image(3)}]}}]}
    }
    assert world.needed() == {1, 2, 3}


def _no_answer(world: World) -> None:
    found = world.histories["live"]
    error = SlipwayError("host a: no answer", "", "slipway doctor")
    world.histories["live"] = replace(found, hosts={"a": error})


UNKNOWN = {
    "a host does not answer": (_no_answer, "what stack live needs is not known: host a: no answer"),
    "its settings cannot be read": (
        lambda world: world.histories.update(live=SlipwayError("the passphrase is wrong", "", "")),
        "what stack live needs is not known: the passphrase is wrong",
    ),
    "nobody knows its live release": (
        lambda world: world.stack("live", 1, live="r-8"),
        "neither its state nor a host says which images r-8 has",
    ),
    "it is locked": (lambda world: world.locks.add("live"), "an update of live runs, or has left a lock"),
    "it is updated": (lambda world: world.listed["live"].update(updateInProgress=True), "an update of live runs"),
    "its file is not here": (lambda world: world.stack("other", 1, file=False), "it has no stack file here"),
    "a pull request's host does not answer": (
        lambda world: (
            world.stack("live-3", 1, file=False), world.histories.update({"live-3": SlipwayError("no", "", "")}),
        ),
        "what stack live-3 needs is not known: no",
    ),
    "its state is elsewhere": (
        lambda world: (world.root / "Pulumi.pr.yaml").write_text(f"config: {{'shop:registry': {REGISTRY}}}"),
        f"stack pr pushes to {REGISTRY}, and is not in this backend",
    ),
    "its state is elsewhere, and its registry is encrypted": (
        lambda world: (world.root / "Pulumi.pr.yaml").write_text("config: {'shop:registry': {secure: AAA}}"),
        "stack pr pushes to an unknown registry",
    ),
    "a file cannot be read": (
        lambda world: (world.root / "Pulumi.pr.yaml").write_text("config: ["),
        "stack pr pushes to an unknown registry",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), UNKNOWN.values(), ids=UNKNOWN)
def test_where_one_stack_is_not_known_nothing_is_deleted(world: World, change: Any, said: str) -> None:
    world.stack("live", 1, 2, state=[2], live="r-2")
    world.stack("second", 2, live="r-2")
    assert world.needed() == {1, 2}
    change(world)
    with pytest.raises(SlipwayError) as caught:
        world.needed()
    assert said in str(caught.value)
    assert "nothing was deleted" in str(caught.value)


@pytest.mark.parametrize("where", ["Pulumi.yaml", "Pulumi.yaml, plain", "Pulumi.yaml, value", "environment", ".env"])
def test_a_stack_elsewhere_whose_registry_is_that_of_the_project_counts(world: World, where: str) -> None:
    world.stack("live", 1, state=[1], live="r-1")
    (world.root / "Pulumi.production.yaml").write_text("config: {'shop:domain': example.com}")
    assert world.needed() == {1}, "it has no registry"
    text = {
        "Pulumi.yaml": f"config: {{registry: {{type: string, default: {REGISTRY}}}}}",
        "Pulumi.yaml, plain": f"config: {{registry: {REGISTRY}}}",
        "Pulumi.yaml, value": f"config: {{'shop:registry': {{value: {REGISTRY}}}}}",
    }
    (world.root / "Pulumi.yaml").write_text(f"name: shop\n{text.get(where, '')}")
    (world.root / ".env").write_text(f"SLIPWAY_REGISTRY={REGISTRY}" if where == ".env" else "")
    world.engine.environment |= {"SLIPWAY_REGISTRY": REGISTRY} if where == "environment" else {}
    with pytest.raises(SlipwayError, match=f"stack production pushes to {REGISTRY}, and is not in this backend"):
        world.needed()
    (world.root / "Pulumi.production.yaml").write_text("config: {'shop:registry': r.example/other}")
    if where == "environment":  # which comes before what any file says
        with pytest.raises(SlipwayError, match="stack production pushes to"):
            world.needed()
    else:
        assert world.needed() == {1}


def test_a_stack_that_pushes_elsewhere_or_is_empty_is_none_of_it(world: World) -> None:
    world.stack("live", 1, state=[1], live="r-1")
    (world.root / "Pulumi.local.yaml").write_text("config: {'shop:registry': '127.0.0.1:5050'}")
    world.listed["new"] = {}
    assert world.needed() == {1}


def test_an_update_since_then_stops_it(world: World) -> None:
    world.stack("live", 1, live="r-1")
    found = read_needs(world.engine, 1)
    unchanged(world.engine, found)
    world.locks.add("live")
    with pytest.raises(SlipwayError, match="an update of live runs"):
        unchanged(world.engine, found)
    world.listed["pr-1"] = dict(UPDATED)
    with pytest.raises(SlipwayError, match="pr-1 changed meanwhile"):
        unchanged(world.engine, found)


# --- what goes


OLD = NOW - timedelta(days=90)


class Store:
    """A repository with an index 1 of 2 and 3, its signature 4, and single images from 5 on."""

    def __init__(self, *_: object) -> None:
        self.deleted: list[int] = []
        self.refuses: dict[int, Exception] = {}
        self.unread: Exception | None = None
        self.found = {number: self._image(number) for number in range(1, 10)}
        self.found[1] = self._image(1, children=(digest(2), digest(3)))
        self.found[4] = self._image(4, about=(digest(1),), tags=(f"sha256-{1:064x}.sig",))

    def _image(self, number: int, **more: Any) -> StoredImage:
        return StoredImage(**{"digest": digest(number), "created": OLD + timedelta(days=number), **more})

    def images(self, _: object) -> dict[str, StoredImage]:
        if self.unread:
            raise self.unread
        return {each.digest: each for each in self.found.values()}

    def delete(self, found: str) -> None:
        number = int(found.removeprefix("sha256:"), 16)
        if number in self.refuses:
            raise self.refuses[number]
        self.deleted.append(number)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(prune, "ImageStore", lambda *_: found)
    return found


def needs(*numbers: int, stack: str = "live") -> Needs:
    settings: Any = SimpleNamespace(registry_login=dict)
    each = StackNeeds(
        stack=stack, settings=settings, digests=frozenset(map(digest, numbers)), named={},
        repositories=frozenset({f"{REGISTRY}/shop-web"}),
    )  # fmt: skip
    return Needs(stacks=(each,), updates={})


def gone(found: Needs, **options: Any) -> list[int]:
    [plan] = planned(found, {}, **{"days": 30, **options})
    return [int(each.digest.removeprefix("sha256:"), 16) for each in plan.gone]


def test_all_goes_but_what_is_needed_young_or_tagged(store: Store) -> None:
    store.found[6] = store._image(6, tags=("v1.2.0",))
    store.found[7] = store._image(7, tags=("buildcache",))
    store.found[8] = store._image(8, tags=("live", "main"))
    store.found[9] = store._image(9, created=NOW)
    assert gone(needs()) == [1, 2, 3, 5, 6, 4]
    assert gone(needs(), keep_tags=["v*"]) == [1, 2, 3, 5, 4]
    assert gone(needs(stack="other"), days=0) == [1, 2, 3, 5, 6, 8, 9, 4]
    assert gone(needs(1)) == [5, 6]
    assert gone(needs(3)) == [1, 2, 5, 6, 4], "its index is not what runs"


@pytest.mark.parametrize("error", [OSError("down"), HTTPError("u", 403, "", None, None), ValueError("no JSON")])  # type: ignore[arg-type]
def test_a_registry_that_cannot_be_read_stops_it(store: Store, error: Exception) -> None:
    store.unread = error
    with pytest.raises(SlipwayError, match="nothing was deleted"):
        gone(needs())


def test_what_is_refused_stays_whole_and_the_rest_goes(store: Store) -> None:
    store.refuses = {1: HTTPError("u", 405, "", None, None), 6: SlipwayError("GitHub refuses 6", "", "")}  # type: ignore[arg-type]
    [plan] = planned(needs(9), {}, days=30)
    problems = [str(each) for each in carry_out(plan)]
    assert store.deleted == [5, 7, 8]
    assert "REGISTRY_STORAGE_DELETE_ENABLED" in problems[0]
    assert problems[1].startswith("GitHub refuses 6")


def test_each_repository_is_left_alone_once_a_stack_was_updated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stack("live", 1, live="r-1")
    found = [prune.Pruning(repository=name, store=None, images={}, gone=[None]) for name in "abc"]  # type: ignore[arg-type,list-item]
    begun: list[str] = []

    def carry_out(each: prune.Pruning) -> list[Problem]:
        begun.append(each.repository)
        if each.repository == "b":
            world.listed["live"]["lastUpdate"] = "2026-11-02T00:00:00.000Z"
        return [Problem(f"{each.repository} refuses", "", "")]

    monkeypatch.setattr("slipway.releases.engine.engine_of", lambda _: world.engine)
    monkeypatch.setattr(prune, "planned", lambda *_, **__: found)
    monkeypatch.setattr(prune, "carry_out", carry_out)
    monkeypatch.setattr("slipway.cli.commands.operate.prune._show", lambda _: None)
    ran = CliRunner().invoke(app, ["prune", "--yes"])
    assert (ran.exit_code, begun) == (1, ["a", "b"])
    assert all(words in ran.stderr for words in ("a refuses", "b refuses", "live changed meanwhile", "nothing more"))
