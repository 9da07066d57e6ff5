"""Drift, locks, retention, destruction, and a host on which other things happen at the same time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from programs import Program
from simulation import Simulation

from slipway.agent.deploy import destroy as destroying

if TYPE_CHECKING:
    from pathlib import Path


def plain(*_: object) -> Program:
    return Program()


def ask(stack: Simulation, method: str, path: str) -> None:
    """Somebody does something by hand."""
    assert stack.host.engine.handle(method, path)[0] < 400


@pytest.mark.parametrize(
    ("method", "how"), [("POST", "/stop"), ("DELETE", "?force=true"), ("POST", "/pause"), ("POST", "/kill")]
)
def test_a_change_by_hand_is_drift_and_is_repaired(stack: Simulation, method: str, how: str) -> None:
    stack.deploy(stack.shop())
    db = stack.ids("db")
    ask(stack, method, f"/containers/{stack.ids('api')[0]}{how}")
    assert [each["service"] for each in stack.probe()["drift"]] == ["api"]
    report = stack.deploy(stack.shop()).report
    assert (report["outcome"], report["touched"]) == ("repaired", ["api"])
    assert stack.probe()["drift"] == []
    assert stack.ids("db") == db


@pytest.mark.parametrize(("method", "how"), [("POST", "/stop"), ("DELETE", "?force=true")])
def test_a_routed_container_that_went_by_hand_comes_back_behind_its_route(
    stack: Simulation, method: str, how: str
) -> None:
    stack.deploy(stack.web("1"))
    ask(stack, method, f"/containers/{stack.ids()[0]}{how}")
    assert stack.deploy(stack.web("1")).code == 0
    assert stack.visit() == (200, "1")
    assert stack.probe()["drift"] == []


def test_an_edge_that_was_removed_by_hand_comes_back_with_its_routes(stack: Simulation) -> None:
    stack.deploy(stack.web("1"))
    [edge] = [each.container.id for each in stack.host.edges]
    ask(stack, "DELETE", f"/containers/{edge}?force=true")
    assert stack.probe()["drift"]
    before = stack.ids()
    assert stack.deploy(stack.web("1")).code == 0
    assert stack.visit() == (200, "1")
    assert stack.ids() == before


def test_docker_restarted_at_any_moment_of_a_deployment_leaves_one_of_both_releases(stack: Simulation) -> None:
    always = {"service": {"restart": "always"}}
    first = stack.web("0", **always)
    stack.deploy(first)
    for number, seconds in enumerate((0.05, 0.2, 0.4, 0.6)):
        wanted = stack.web(f"{number + 1}", **always)
        _, ended = stack.begin(wanted)
        stack.later(seconds)
        stack.host.engine.restart_engine(1.0)
        ended()
        stack.later(3)
        assert stack.deploy(wanted).code == 0
        assert stack.visit() == (200, f"{number + 1}")
        assert stack.probe()["drift"] == []


def test_of_two_at_once_one_waits_for_the_other(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    both = [stack.begin(stack.shop(version)) for version in ("2", "3")]
    assert [ended().code for _, ended in both] == [0, 0]
    assert stack.versions()["api"] == ["3"]
    assert stack.probe()["drift"] == []


def test_of_two_at_once_without_waiting_the_second_names_the_first(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    actor = stack.host.home / "stacks" / "shop" / "actor"
    actor.write_text("tester")
    process, ended = stack.begin(stack.shop("2", api_environment={"MODE": "slow"}))
    stack.later(2)
    actor.write_text("mona")
    assert "tester (pid" in stack.probe()["lock"]
    second = stack.deploy(stack.shop("3"), options={"lock_wait": 0})
    assert "another deployment holds this stack: tester (pid" in second.error
    assert " s: deploy r-" in second.error, "age and reason are told"
    assert process.alive
    assert ended().code == 0
    assert stack.versions()["api"] == ["2"]
    assert (actor.parent / "ledger.jsonl").read_text().count('"actor": "tester"') == 1, "who looks on deploys not"


def test_the_lock_of_a_killed_deployment_needs_no_hand(stack: Simulation) -> None:
    process, _ = stack.begin(stack.shop(api_environment={"MODE": "slow"}))
    stack.later(2)
    stack.world.kill(process)
    assert stack.probe()["lock"] is None
    assert stack.deploy(stack.shop("2"), options={"lock_wait": 0}).code == 0


def test_prune_keeps_what_a_way_back_needs_and_says_what_went(stack: Simulation) -> None:
    images = [stack.world.image(version, plain) for version in ("a", "b", "c", "d")]
    releases = [stack.shop(api_service={"image": image}) for image in images]
    for each in releases[:3]:
        report = stack.deploy(each, options={"retention": 2}).report
    kept = sorted(path.name for path in (stack.host.home / "stacks" / "shop" / "releases").iterdir())
    assert kept == sorted(each["id"] for each in releases[1:3])
    assert releases[0]["id"] in report["removed"]
    present = {reference.partition("@")[2] for reference in stack.host.engine.images}
    assert {each.partition("@")[2] for each in images[1:3]} < present
    assert images[0].partition("@")[2] not in present
    assert stack.deploy(releases[1], options={"retention": 2}).code == 0


def test_the_release_validated_last_is_never_pruned(stack: Simulation) -> None:
    first = stack.shop("0")
    stack.deploy(first)
    stack.validate(first["id"])
    for version in ("1", "2", "3"):
        stack.deploy(stack.shop(version), options={"retention": 1})
    kept = {path.name for path in (stack.host.home / "stacks" / "shop" / "releases").iterdir()}
    assert first["id"] in kept
    assert len(kept) == 2


@pytest.mark.parametrize("named", [("data", "data/uploads"), ("*",)])
def test_destroy_twice_keeps_volumes_unless_named(stack: Simulation, named: tuple[str, ...]) -> None:
    mounts = [
        {"type": "volume", "source": "data", "target": "/data"},
        {"type": "bind", "source": "@data/uploads", "target": "/uploads"},
    ]
    volumes = {"data": {"name": "shop_data"}}
    stack.deploy(stack.shop(api_service={"volumes": mounts}, volumes=volumes))
    gone = stack.destroy().report
    assert sorted(gone["kept_volumes"]) == ["data/uploads", "shop_data"]
    assert stack.ids() == []
    assert "shop_default" not in stack.host.engine.networks
    assert [path.name for path in (stack.host.home / "stacks" / "shop").iterdir()] == ["data"]
    assert stack.destroy().report["removed"] == []
    last = stack.destroy(*named)
    assert (last.code, last.report["warnings"], last.report["kept_volumes"]) == (0, [], [])
    assert stack.host.engine.volumes == {}
    assert not (stack.host.home / "stacks" / "shop").exists()


def test_an_adopted_volume_stays_even_where_all_are_removed(stack: Simulation) -> None:
    """It has this stack's name: the project that it was adopted from was called so."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.volume": "data"}
    made = json.dumps({"Name": "old_data", "Labels": labels}).encode()
    assert stack.host.engine.handle("POST", "/volumes/create", made)[0] == 201
    mounts = [{"type": "volume", "source": "data", "target": "/data"}]
    volumes = {"data": {"name": "old_data", "external": True, "x-adopted": True}}
    assert stack.deploy(stack.shop(api_service={"volumes": mounts}, volumes=volumes)).code == 0
    assert stack.destroy("*").report["kept_volumes"] == ["old_data"]
    assert list(stack.host.engine.volumes) == ["old_data"]


@pytest.mark.parametrize("running", [True, False])
def test_destroy_of_a_stack_that_was_refused_removes_nothing_that_is_called_so(
    stack: Simulation, *, running: bool
) -> None:
    """Compose made it, by hand; the stack's folder is there, as its agent is."""
    labels = {"com.docker.compose.project": stack.stack}
    engine = stack.host.engine
    image = stack.world.image("1", plain)
    pulled = "/images/create?fromImage={}&tag={}".format(*image.replace(":1@", "@").split("@"))
    for method, path, body in (
        ("POST", pulled, {}),
        ("POST", "/volumes/create", {"Name": "shop_data", "Labels": {**labels, "com.docker.compose.volume": "data"}}),
        ("POST", "/networks/create", {"Name": "shop_default", "Labels": labels}),
        ("POST", "/containers/create?name=shop-db-1", {"Image": image, "Labels": labels}),
        *([("POST", "/containers/shop-db-1/start", {})] if running else []),
    ):
        assert engine.handle(method, path, json.dumps(body).encode())[0] < 300
    assert stack.deploy(stack.shop()).code == 1
    there = (set(engine.containers), set(engine.networks), set(engine.volumes))
    assert stack.destroy("data").code == 0
    assert (set(engine.containers), set(engine.networks), set(engine.volumes)) == there


def test_destroy_takes_links_as_links_and_what_is_written_meanwhile(
    stack: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.deploy(stack.shop())
    folder, other = stack.host.home / "stacks" / "shop", tmp_path / "other"
    other.mkdir()
    (other / "precious").touch()
    (folder / "link").symlink_to(other)
    real, locks = destroying.remove_tree, []

    def interrupted(path: str) -> None:
        locks.append((folder / "lock").exists())
        (folder / "watched.json").write_text("{}")
        real(path)

    monkeypatch.setattr(destroying, "remove_tree", interrupted)
    assert stack.destroy().code == 0
    assert not folder.exists()
    assert (other / "precious").exists()
    assert locks
    assert all(locks)


def test_destroy_takes_the_edge_along_only_with_the_last_stack(stack: Simulation, home: Path) -> None:
    shop, blog = stack, Simulation(stack.host, "blog")
    shop.deploy(shop.web("1", routes=[{"host": "shop.test", "path": "/", "strip": False}]))
    blog.deploy(blog.web("1", routes=[{"host": "blog.test", "path": "/", "strip": False}]))
    assert shop.destroy().code == 0
    assert blog.visit(Host="blog.test") == (200, "1")
    assert blog.destroy().code == 0
    assert shop.host.edges == [] or not shop.host.edges[0].alive
    assert "slipway-edge" not in shop.host.engine.networks
    assert not (home / "edge").exists()


def test_a_stack_cannot_take_the_route_of_another(stack: Simulation) -> None:
    shop, blog = stack, Simulation(stack.host, "blog")
    shop.deploy(shop.web("1"))
    ended = blog.deploy(blog.web("2"))
    assert "stack shop of this host already serves every host/" in ended.error
    assert shop.visit() == (200, "1")
    assert blog.ids() == []


def _at(host: str, path: str = "/") -> dict[str, Any]:
    return {"routes": [{"host": host, "path": path, "strip": False}]}


NO_WAYS = {"redirects": [], "basic_auth": None, "ip_allow_list": [], "rate_limit": None, "max_body": None,
           "security_headers": False}  # fmt: skip


def _redirects(host: str) -> dict[str, Any]:
    return {
        **_at("blog.test"),
        "middlewares": {**NO_WAYS, "redirects": [{"from": host, "to": "x.test", "permanent": True}]},
    }


HAS = {**_redirects("www.shop.test"), **_at("shop.test"), "preview": "next.shop.test"}
INSIDE = [
    # what a neighbour wants, and what is said to be inside
    (_at("shop.test", "/admin"), "shop.test/admin"),
    (_at("shop.test", "/x/"), "shop.test/x"),
    (_at("www.shop.test"), "www.shop.test/"),
    (_at("next.shop.test", "/login"), "next.shop.test/login"),
    (_redirects("shop.test"), "shop.test (redirect)"),
    (_redirects("next.shop.test"), "next.shop.test (redirect)"),
    ({**_at("blog.test"), "preview": "shop.test"}, "shop.test (preview)"),
]


@pytest.mark.parametrize(("wanted", "what"), INSIDE, ids=[each[1] for each in INSIDE])
def test_a_stack_gets_nothing_below_a_host_name_of_another_that_does_not_let_it_in(
    stack: Simulation, wanted: dict[str, Any], what: str
) -> None:
    shop, blog = stack, Simulation(stack.host, "blog")
    assert shop.deploy(shop.web("1", **HAS)).code == 0
    release = blog.web("2", **wanted)
    said = f"{what} is inside of a host name of stack shop, which does not let blog in"
    assert said in blog.plan(release)["refused"][0]["what"]
    ended = blog.deploy(release)
    assert said in ended.error
    assert "`neighbours: [blog]`" in ended.error
    assert blog.ids() == []
    assert shop.deploy(shop.web("1", **HAS), edge=shop.edge(neighbours=["blog"])).code == 0
    assert blog.deploy(release).code == 0
    # What it has stays, whatever becomes of that.
    assert shop.deploy(shop.web("1", **HAS)).code == 0
    assert blog.deploy(blog.web("3", **wanted)).code == 0
    assert shop.deploy(shop.web("1", **HAS)).code == 0


@pytest.mark.parametrize(
    "wanted", [_at("blog.test"), _at("a.shop.test"), _at("test"), _at("", "/blog"), _redirects("b.test")]
)
def test_a_stack_may_have_what_no_other_one_has(stack: Simulation, wanted: dict[str, Any]) -> None:
    shop, blog = stack, Simulation(stack.host, "blog")
    assert shop.deploy(shop.web("1", **HAS)).code == 0
    assert blog.deploy(blog.web("2", **wanted)).code == 0


def test_a_neighbour_that_is_let_in_gets_no_route_of_its_host(stack: Simulation) -> None:
    shop, blog = stack, Simulation(stack.host, "blog")
    assert shop.deploy(shop.web("1", **_at("shop.test", "/a/")), edge=shop.edge(neighbours=["blog"])).code == 0
    assert "already serves shop.test/a" in blog.deploy(blog.web("1", **_at("shop.test", "/a"))).error


def test_a_pruned_image_is_fetched_again(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    for each in stack.ids():
        ask(stack, "DELETE", f"/containers/{each}?force=true")
    stack.host.engine.images.clear()
    assert stack.deploy(stack.shop()).code == 0
    assert stack.probe()["drift"] == []


def test_a_registry_that_is_slow_is_waited_for_before_anything_is_touched(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    before = stack.ids()
    slow = stack.world.image("9", plain, pull_seconds=30)
    process, ended = stack.begin(stack.shop(api_service={"image": slow}))
    stack.later(29)
    assert stack.ids() == before
    assert process.alive
    assert ended().code == 0
