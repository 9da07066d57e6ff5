"""Deployments that fail at each of their stages: the release that was live serves, at every instant."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import fake_compose
import fake_machine
import pytest
from simulation import SMOKE, Simulation
from strategies import CANARY, STRATEGIES, strategies

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from fake_docker import FakeDocker
    from simulation import Ended


SEEN_SECONDS = 3.0
"""A container that crashes while it serves loses requests until that is seen and they go elsewhere."""


def left_as_it_was(stack: Simulation, ended: Ended, first: str, *, replicas: int = 1, crashed: bool = False) -> None:
    """The first version serves, nothing of the other is left, and that is known."""
    assert f"release {first}" in ended.error, ended.error
    assert "serves" in ended.error
    assert crashed or stack.witness.seen == []
    assert stack.visit() == (200, "1")
    assert stack.versions() == {"web": ["1"] * replicas}
    probe = stack.probe()
    assert (probe["live"]["release"], probe["drift"], probe["interrupted"]) == (first, [], None)
    assert probe["last"]["outcome"] == "failed"


@strategies
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("exit", "service web did not become healthy: it "),
        ("sick", "service web did not become healthy: its health check said no"),
        ("never", "service web did not become healthy"),
        ("smoke", "smoke check of web failed"),
    ],
)
def test_a_release_that_fails_a_gate_gets_no_request(
    stack: Simulation, how: dict[str, Any], mode: str, said: str
) -> None:
    first = stack.deploy(stack.web("1", **how)).report["release"]
    ended = stack.deploy(stack.web("2", environment={"MODE": mode}, **how))
    assert said in ended.error
    left_as_it_was(stack, ended, first, replicas=how.get("replicas", 1))


def test_a_success_with_nothing_to_do_counts_after_a_failure(stack: Simulation) -> None:
    first = stack.web("1")
    release = stack.deploy(first, convergence="c-1").report["release"]
    assert stack.deploy(stack.web("2", environment={"MODE": "exit"}), convergence="c-2").code == 1
    before, since = stack.ids("web"), stack.probe()["live"]["since"]
    assert stack.deploy(first, convergence="c-3").report["outcome"] == "unchanged"
    probe = stack.probe()
    assert (probe["last"]["release"], probe["last"]["outcome"]) == (release, "unchanged")
    assert (stack.ids("web"), probe["live"]["since"], probe["convergence"]) == (before, since, "c-3")


@strategies
@pytest.mark.parametrize("mode", ["crash", "ill"])
def test_a_release_that_falls_ill_after_the_shift_is_shifted_back(
    stack: Simulation, how: dict[str, Any], mode: str
) -> None:
    first = stack.deploy(stack.web("1", **how)).report["release"]
    how = {**how, "update": {**how.get("update", {}), "monitor": 30}}
    ended = stack.deploy(stack.web("2", environment={"MODE": mode, "AFTER": "12"}, **how))
    said = ("after it began to serve", "did not become healthy", "no container of web is left to send requests to")
    assert any(words in ended.error for words in said)
    assert all(breach.seconds < SEEN_SECONDS for breach in stack.witness.seen)
    assert mode == "crash" or not stack.witness.seen
    left_as_it_was(stack, ended, first, replicas=how.get("replicas", 1), crashed=mode == "crash")


@pytest.mark.parametrize("mode", ["errors", "late"])
def test_a_canary_that_is_worse_is_stopped_at_its_first_step(stack: Simulation, mode: str) -> None:
    how = {"strategy": "canary", "canary": {**CANARY, "too_little": "probe", "patience": 60.0, "minimum": 40}}
    first = stack.deploy(stack.web("1", **how)).report["release"]
    ended = stack.deploy(stack.web("2", environment={"MODE": mode}, **how))
    assert "the canary of web is worse at 20 % of the traffic" in ended.error
    assert not any("judge:web:50" in step for step in stack.steps())
    left_as_it_was(stack, ended, first)


def test_a_canary_of_which_too_little_is_known_counts_as_worse_where_that_is_wanted(stack: Simulation) -> None:
    how = {"strategy": "canary", "canary": {**CANARY, "too_little": "fail", "minimum": 40}}
    first = stack.deploy(stack.web("1", **how)).report["release"]
    ended = stack.deploy(stack.web("2", **how))
    assert "the canary of web is worse" in ended.error
    left_as_it_was(stack, ended, first)


def test_a_failed_preview_check_leaves_all_requests_where_they_were(stack: Simulation) -> None:
    how = STRATEGIES["blue-green"]
    first = stack.deploy(stack.web("1", **how)).report["release"]
    stack.host.engine.mutating = lambda _: None
    bad = stack.web("2", **how, smoke=[{**SMOKE, "contains": "nothing has this"}])
    left_as_it_was(stack, stack.deploy(bad), first)


def test_a_crash_loop_is_given_up_long_before_the_deadline(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    wanted = stack.shop(api_environment={"MODE": "exit"}, api_service={"restart": "always"})
    ended = stack.deploy(wanted, options={"health_deadline": 300})
    assert "it was restarted 5 times, last exit code 7" in ended.error
    assert ended.seconds < 30


def database(**more: Any) -> dict[str, Any]:
    """A database whose volume the Compose file names, and an image that has one more."""
    mounts = [{"type": "volume", "source": "data", "target": "/data"}, {"type": "volume", "target": "/scratch"}]
    return {"db_service": {"volumes": mounts}, "volumes": {"data": {"name": "shop_data"}}, **more}


def test_volumes_without_a_name_do_not_outlive_a_first_deployment_that_failed(stack: Simulation) -> None:
    for _ in range(2):
        assert stack.deploy(stack.shop(**database(api_environment={"MODE": "exit"}))).code != 0
        assert list(stack.host.engine.volumes) == ["shop_data"]


def test_volumes_without_a_name_stay_where_a_release_was_live(stack: Simulation) -> None:
    assert stack.deploy(stack.shop(**database())).code == 0
    before = set(stack.host.engine.volumes)
    assert len(before) == 2
    assert stack.deploy(stack.shop(**database(api_environment={"MODE": "exit"}))).code != 0
    assert set(stack.host.engine.volumes) == before


def test_a_volume_that_is_older_than_the_failed_deployment_is_not_its_own(stack: Simulation) -> None:
    """Such as one that a container of plain Compose handed on."""
    stack.host.engine.volumes["a" * 64] = {"Name": "a" * 64, "Labels": {}, "CreatedAt": "2020-01-01T00:00:00+01:00"}
    mounts = [{"type": "volume", "source": "old", "target": "/data"}]
    volumes = {"old": {"name": "a" * 64, "external": True}}
    bad = stack.shop(db_service={"volumes": mounts}, volumes=volumes, api_environment={"MODE": "exit"})
    assert stack.deploy(bad).code != 0
    assert list(stack.host.engine.volumes) == ["a" * 64]


@pytest.mark.parametrize(
    ("adopted", "said"),
    [
        (("one", "two"), ("the volumes one, two do not exist", "adoptVolumes says that the data is in them",
                          "make them, restore a backup into them, and deploy after that: docker volume create one &&")),
        (("two",), ("the volume two does not exist", "adoptVolumes says", "restore a backup into it")),
        ((), ("the external volumes one, two do not exist", "the Compose file declares them as external",
              "— docker volume create one && docker volume create two")),
    ],
)  # fmt: skip
def test_a_host_without_the_adopted_data_begins_with_the_backup_and_never_empty(
    stack: Simulation, adopted: Collection[str], said: Collection[str]
) -> None:
    volumes = {key: {"name": key, "external": True, "x-adopted": key in adopted} for key in ("one", "two")}
    mounts = [{"type": "volume", "source": key, "target": f"/{key}"} for key in volumes]
    ended = stack.deploy(stack.shop(db_service={"volumes": mounts}, volumes=volumes))
    assert ended.code != 0
    assert [part for part in said if part not in ended.error] == []
    assert ("declares" in ended.error) is (not adopted)
    assert stack.host.engine.volumes == {}


REFUSALS = [
    # what is mounted where, what is said, the command that the fix is; empty: there is no such command
    ({"data": "/var/lib/postgresql/data"}, "shop_data is older than this deployment", "docker volume rm shop_data"),
    ({"data": "/pgdata", "uploads": "/uploads"}, "shop_data is older than", "docker volume rm shop_data"),
    ({"a": "/var/lib/postgresql/data", "b": "/var/lib/postgresql"}, "shop_a and shop_b are older than", ""),
    ({"uploads": "/uploads", "data": "/data"}, "shop_data and shop_uploads are older than", ""),
    ({"uploads": "/uploads"}, "shop_uploads is older than", ""),
    ({"data": "/var/lib/mysql"}, "shop_data is older than", ""),
]


@pytest.mark.parametrize(
    ("mounted", "said", "command"), REFUSALS, ids=["+".join(each[0].values()) for each in REFUSALS]
)
def test_a_refused_password_names_the_volume_that_keeps_the_earlier_one(
    stack: Simulation, mounted: dict[str, str], said: str, command: str
) -> None:
    """And never asks for the removal of another."""
    mounts = [{"type": "volume", "source": name, "target": at} for name, at in mounted.items()]
    files = {"db_service": {"volumes": mounts}, "volumes": {name: {"name": f"shop_{name}"} for name in mounted}}
    refused = stack.shop(**files, api_environment={"MODE": "refused"})
    first = stack.deploy(refused)
    assert "older than this" not in first.error, "its volumes are this deployment's own"
    stack.later(5)
    again = stack.deploy(refused).error
    assert said in again
    otherwise = "or change the password in the database first"
    assert again.endswith(f" — {command}" if command else otherwise)

    assert stack.destroy("data").code == 0
    assert stack.deploy(stack.shop(**files)).code == 0
    stack.later(5)
    rotated = stack.deploy(refused).error
    assert said in rotated
    assert rotated.endswith(otherwise)


def test_a_host_knows_whose_a_stack_is_from_the_first_attempt_to_the_end(stack: Simulation) -> None:
    assert stack.probe()["application"] == ""
    stack.deploy(stack.web("1", environment={"MODE": "exit"}))
    assert (stack.probe()["application"], stack.probe()["live"]) == ("app", None)
    assert stack.deploy(stack.web("1")).code == 0
    assert stack.probe()["application"] == "app"
    assert stack.destroy().code == 0
    assert stack.probe()["application"] == ""


@pytest.mark.parametrize("external", [False, True])
def test_a_volume_of_another_stack_is_refused_unless_it_is_said_to_be_shared(stack: Simulation, external: int) -> None:
    mount = {"db_service": {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}}
    shop, blog = stack, Simulation(stack.host, "blog")
    assert blog.deploy(blog.shop(**mount, volumes={"data": {"name": "fixed"}})).code == 0
    ended = shop.deploy(
        shop.shop(**mount, volumes={"data": {"name": "fixed", **({"external": True} if external else {})}})
    )
    if external:
        assert ended.code == 0
        assert shop.deploy(shop.shop(db="2", **mount, volumes={"data": {"name": "fixed"}})).code == 0, "shared already"
    else:
        assert "the volume fixed (data in the Compose file) is used by blog-db-1 of blog" in ended.error
        assert shop.ids() == []


PLACES = ("bind", "volume on it", "link to it", "above", "below")


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("project", ["blog", ""])
@pytest.mark.parametrize("theirs", PLACES)
@pytest.mark.parametrize("ours", PLACES)
def test_a_folder_of_somebody_else_is_refused_however_each_of_both_names_it(
    stack: Simulation, tmp_path: Path, ours: str, theirs: str, project: str, *, works: bool
) -> None:
    data = tmp_path / "srv" / "data"
    (data / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    paths = {"bind": data, "link to it": tmp_path / "link", "above": data.parent, "below": data / "deep"}
    mount = {"type": "bind", "source": str(paths.get(ours)), "target": "/data"}
    volumes: dict[str, Any] = {}
    if ours not in paths:
        mount |= {"type": "volume", "source": "data"}
        volumes["data"] = {"driver_opts": {"type": "none", "o": "bind", "device": str(data)}}
    wanted = stack.shop(db_service={"volumes": [mount]}, volumes=volumes)
    name = stand_in(stack, project, str(paths.get(theirs, data)), volume="other" * (theirs not in paths), works=works)
    ended = stack.deploy(wanted)
    if not project and not works:
        assert ended.code == 0, "a container of nobody that rests is nobody's data"
        return
    assert f"is used by {name}{' of blog' * bool(project)} — two would write the same data" in ended.error
    assert ended.error.endswith("for data of its own")
    assert stack.ids() == []


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        *((each, each) for each in ("/etc/localtime", "/dev/null", "/proc", "/sys", "/run", "/tmp", "/var/log")),
        ("/srv/a", "/srv/ab"),
        ("/srv/a", "/srv"),
        ("/srv/a", "/"),
        ("/var/lib/docker/containers", "/var/lib/docker/containers"),
        ("/var/lib/docker", "/var/lib/docker/volumes/x/_data"),
        ("/var/lib/docker/volumes", "/var/lib/docker"),
    ],
)
def test_a_tool_that_sees_the_whole_machine_stands_in_nobodys_way(
    stack: Simulation, ours: str, theirs: str, turned: int
) -> None:
    stand_in(stack, "tool", ours if turned else theirs)
    mount = {"type": "bind", "source": theirs if turned else ours, "target": "/data"}
    assert stack.deploy(stack.shop(db_service={"volumes": [mount]})).code == 0


@pytest.mark.parametrize("way", ["read only", "external", "shared already"])
def test_data_may_be_shared_by_who_only_reads_or_says_so_or_does_so_already(
    stack: Simulation, tmp_path: Path, way: str
) -> None:
    mount: dict[str, Any] = {"type": "bind", "source": str(tmp_path), "target": "/data"}
    volumes: dict[str, Any] = {}
    if way == "shared already":
        assert stack.deploy(stack.shop(db_service={"volumes": [mount]})).code == 0
    stand_in(stack, "blog", str(tmp_path), volume="both" * (way == "external"))
    if way == "external":
        mount |= {"type": "volume", "source": "both"}
        volumes["both"] = {"name": "both", "external": True}
    mount |= {"read_only": True} if way == "read only" else {}
    assert stack.deploy(stack.shop(db="2", db_service={"volumes": [mount]}, volumes=volumes)).code == 0


def test_who_shares_one_folder_does_not_share_the_next(stack: Simulation, tmp_path: Path) -> None:
    names = ("one", "two")
    mounts = [{"type": "bind", "source": str(tmp_path / name), "target": f"/{name}"} for name in names]
    assert stack.deploy(stack.shop(db_service={"volumes": mounts[:1]})).code == 0
    for name in names:
        stand_in(stack, name, str(tmp_path / name))
    error = stack.deploy(stack.shop(db_service={"volumes": mounts})).error
    assert f"the folder {tmp_path / 'two'} is used by two-guest of two" in error


def test_a_volume_counts_also_where_its_user_is_of_no_project(stack: Simulation) -> None:
    mount = {"db_service": {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}}
    stand_in(stack, "", "", volume="fixed")
    error = stack.deploy(stack.shop(**mount, volumes={"data": {"name": "fixed"}})).error
    assert "the volume fixed (data in the Compose file) is used by -guest" in error


def stand_in(stack: Simulation, project: str, path: str, *, volume: str = "", works: bool = True) -> str:
    """A container of somebody else with a folder of the host, or a volume on it; its name."""
    engine = stack.host.engine

    def ask(target: str, body: dict[str, Any]) -> Any:
        status, answer = engine.handle("POST", target, json.dumps(body).encode())
        assert status < 400, answer
        return json.loads(answer) if answer else None

    if volume:
        device = {"type": "none", "o": "bind", "device": path}
        ask("/volumes/create", {"Name": volume, "DriverOpts": device if path else {}})
    mount = {"Type": "volume" if volume else "bind", "Source": volume or path, "Target": "/data"}
    labels = {"com.docker.compose.project": project} if project else {}
    image = stack.shop()["images"]["db"]
    engine.add(stack.world.registry[image.replace(":1@", "@")])
    name = f"{project}-guest"
    body = {"Image": image, "Env": [], "Labels": labels, "HostConfig": {"Mounts": [mount]}}
    made = ask(f"/containers/create?name={name}", body)["Id"]
    if works:
        ask(f"/containers/{made}/start", {})
    return name


@pytest.mark.parametrize(
    ("labels", "external", "refused"),
    [
        ({}, False, True),
        ({"com.docker.compose.network": "other"}, False, True),
        ({"com.docker.compose.network": "back", "com.docker.compose.project": "blog"}, False, False),
        ({}, True, False),
    ],
)
def test_a_network_in_the_way_is_named_before_anything_starts(
    stack: Simulation, labels: dict[str, str], external: int, refused: int
) -> None:
    stack.host.engine.handle("POST", "/networks/create", json.dumps({"Name": "taken", "Labels": labels}).encode())
    networks = {"back": {"name": "taken", **({"external": True} if external else {})}}
    ended = stack.deploy(stack.shop(api_service={"networks": {"back": None}}, networks=networks))
    assert (ended.code != 0) == refused
    if refused:
        assert "the network taken (back in the Compose file) is there, and something else made it" in ended.error
        assert ended.error.endswith(" — docker network rm taken")
        assert stack.ids() == []


NETWORK, DISK = {"name": "shop_back"}, {"driver_opts": {"type": "none", "o": "bind", "device": "/a"}}
SHARE = {"driver_opts": {"type": "cifs", "o": "password=a$$b", "device": "//nas/a"}}  # Compose's own escape
FIXED: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    ("networks", NETWORK, {**NETWORK, "internal": True}, True),
    ("networks", NETWORK, {**NETWORK, "driver_opts": {"com.docker.network.driver.mtu": "1400"}}, True),
    ("networks", {**NETWORK, "ipam": {"config": [{"subnet": "10.9.0.0/24"}]}}, NETWORK, True),
    ("networks", NETWORK, {"name": "shop_back-2", "internal": True}, False),
    ("networks", NETWORK, NETWORK, False),
    ("volumes", {"name": "shop_data"}, {"name": "shop_data", **DISK}, True),
    ("volumes", {"name": "shop_data", **DISK}, {"name": "shop_data"}, True),
    ("volumes", {"name": "shop_data", **DISK}, {"name": "shop_data", **DISK}, False),
    ("volumes", {"name": "shop_data", **DISK}, {"name": "shop_data-2"}, False),
    ("volumes", {"name": "shop_data", **SHARE}, {"name": "shop_data", **SHARE}, False),
]


@pytest.mark.parametrize(("kind", "then", "now", "refused"), FIXED)
def test_what_docker_cannot_change_is_refused(
    stack: Simulation, kind: str, then: dict[str, Any], now: dict[str, Any], *, refused: bool
) -> None:
    key = {"networks": "back", "volumes": "data"}[kind]
    mount = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}
    uses: Any = {"networks": {"db_service": {"networks": {"back": None}}}, "volumes": {"db_service": mount}}[kind]
    assert stack.deploy(stack.shop(**uses, **{kind: {key: then}})).code == 0
    ended = stack.deploy(stack.shop("2", **uses, **{kind: {key: now}}))
    assert (ended.code != 0) == refused
    assert stack.versions()["api"] == ["1" if refused else "2"]
    if refused:
        name = then["name"]
        assert f"the {kind[:-1]} {name} ({key} in the Compose file) is there with other settings" in ended.error
        assert f"`name: {name}-2`" in ended.error


def test_a_failed_first_deployment_leaves_nothing_but_volumes(stack: Simulation) -> None:
    volumes = {"data": {"name": "shop_data"}}
    mount = [{"type": "volume", "source": "data", "target": "/data"}]
    bad = stack.shop(api_environment={"MODE": "exit"}, db_service={"volumes": mount}, volumes=volumes)
    ended = stack.deploy(bad)
    assert "nothing was live before" in ended.error
    assert stack.ids() == []
    assert not any(each.startswith("shop") for each in stack.host.engine.networks)
    assert list(stack.host.engine.volumes) == ["shop_data"]
    assert stack.deploy(stack.shop()).code == 0


def test_evidence_names_what_was_probed_what_answered_and_the_log_tail(stack: Simulation) -> None:
    ended = stack.deploy(stack.shop(api_environment={"MODE": "sick"}))
    for line in ("probed with: CMD check", "last answer: it said no (exit code 1): not well", "| starting 1"):
        assert line in ended.err


def test_a_bad_new_secret_does_not_break_the_way_back(stack: Simulation) -> None:
    wanted = stack.shop(api_environment={"MODE": "${MODE_SECRET}"}, secrets=("MODE_SECRET",))
    stack.deploy(wanted, secrets={"MODE_SECRET": ""})
    db = stack.ids("db")
    ended = stack.deploy(wanted, secrets={"MODE_SECRET": "exit"})
    assert "as it was before, which serves" in ended.error
    assert stack.ids("db") == db
    assert stack.probe()["drift"] == []


def test_an_old_secret_that_was_revoked_is_replaced_by_that_of_today(stack: Simulation) -> None:
    wanted = stack.shop(api_environment={"MODE": "${MODE_SECRET}"}, secrets=("MODE_SECRET",))
    stack.deploy(wanted, secrets={"MODE_SECRET": ""})
    stack.folder.store_secrets({"MODE_SECRET": "exit"})  # what worked then does not work any more
    broken = stack.shop("2", api_environment={"MODE": "sick", "NEW": "${MODE_SECRET}"}, secrets=("MODE_SECRET",))
    ended = stack.deploy(broken, secrets={"MODE_SECRET": ""})
    assert "which serves" in ended.error
    assert stack.versions()["api"] == ["1"]
    assert stack.outcomes()[-2:] == ["repaired", "failed"]


def test_a_plan_says_that_a_program_has_the_edge_s_port(stack: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, port = stack.web("1"), stack.host.http_port
    taken = [(f"00000000:{port:04X}", "00000000:0000", "0A")]
    with monkeypatch.context() as others:
        others.setattr(stack.host, "sockets", lambda _=None: iter(taken))
        [refused] = stack.plan(wanted)["refused"]
        assert refused["what"] == f"port {port} of this host is in use by another program"
        assert refused["what"] in stack.deploy(wanted).error
        assert not stack.host.engine.containers
    assert "refused" not in stack.plan(wanted)
    assert stack.deploy(wanted).code == 0
    assert "refused" not in stack.plan(wanted)


def test_an_image_that_cannot_be_had_leaves_everything_untouched(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    before = stack.ids()
    missing = "registry.test/shop/app@sha256:" + "f" * 64
    ended = stack.deploy(stack.shop(api_service={"image": missing}))
    assert "does not exist in registry.test" in ended.error
    assert "still serves" in ended.error
    assert stack.ids() == before


def test_an_image_for_another_machine_is_refused_before_it_runs(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    before = stack.ids()
    foreign = stack.world.image("9", lambda *_: None, architecture="arm64")
    ended = stack.deploy(stack.shop(api_service={"image": foreign}))
    assert "is for arm64, this host is amd64" in ended.error
    assert stack.ids() == before


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("mode", ["", "slow", "sick"])
def test_ended_by_a_signal_at_any_time_it_goes_back_like_a_failure(
    stack: Simulation, seconds: float, mode: str
) -> None:
    first = stack.deploy(stack.web("1")).report["release"]
    process, ended = stack.begin(stack.web("2", environment={"MODE": mode}))
    stack.later(seconds)
    if process.alive:
        process.signals[signal.SIGTERM](signal.SIGTERM, None)
    result = ended()
    if result.code:
        assert "asked to end (SIGTERM)" in result.error
        left_as_it_was(stack, result, first)
    else:
        assert mode != "sick"
        assert stack.visit() == (200, "2")
    assert stack.witness.seen == []


def test_the_whole_deployment_has_an_end(stack: Simulation) -> None:
    first = stack.deploy(stack.web("1")).report["release"]
    ended = stack.deploy(stack.web("2", environment={"MODE": "slow"}), options={"deadline": 3, "health_deadline": 600})
    assert "the deployment took longer than 3 s" in ended.error
    left_as_it_was(stack, ended, first)


def test_a_container_that_ignores_sigterm_is_waited_for_as_long_as_it_asked_and_no_longer(stack: Simulation) -> None:
    stack.deploy(stack.web("1", environment={"MODE": "stubborn"}))
    ended = stack.deploy(stack.web("2"))
    assert stack.versions() == {"web": ["2"]}
    assert 5 < ended.seconds < 7
    assert stack.witness.seen == []


def test_going_back_to_a_release_whose_document_is_gone_says_so(stack: Simulation) -> None:
    first = stack.deploy(stack.shop()).report["release"]
    path = stack.host.home / "stacks" / "shop" / "releases" / first / "release.json"
    path.unlink()
    ended = stack.deploy(stack.shop("2", api_environment={"MODE": "exit"}))
    assert f"the record of release {first} is missing on this host" in ended.error
    assert "it is not certain what serves" in ended.error
    assert stack.probe()["interrupted"]


def test_failures_may_be_as_many_as_the_service_allows(stack: Simulation) -> None:
    stack.deploy(stack.web("1", replicas=4))
    allowed = {"update": {"max_failure_ratio": 0.5}, "replicas": 4}
    wanted = stack.web("2", **allowed)
    assert stack.deploy(wanted).code == 0
    assert stack.deploy(stack.web("3", environment={"MODE": "sick"}, **allowed)).code == 1
    assert stack.visit() == (200, "2")


@pytest.mark.parametrize("times", [1, 2])
def test_images_that_somebody_removes_after_they_were_fetched(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """As `docker image prune --all` of a nightly job does: fetched once more, and no oftener."""
    left = times

    def compose(engine: FakeDocker, argv: Sequence[str], *more: Any) -> int:
        nonlocal left
        if "up" in argv and left:
            left -= 1
            engine.images = {}
        return fake_compose.fake_compose(engine, argv, *more)

    monkeypatch.setattr(fake_machine, "fake_compose", compose)
    ended = stack.deploy(stack.web("1"))
    assert left == 0
    if times > 1:
        assert "its image vanished after it was fetched, twice" in ended.error
        ended = stack.deploy(stack.web("1"))
    assert ended.code == 0, ended.error
    assert stack.visit() == (200, "1")
