"""Who works on the data of a stack beside it, or would after a reboot, is stopped, refused, or named: never silent."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from simulation import Simulation
from test_agent_move import ALWAYS, UNLESS_STOPPED, VOLUME, Before, before, command, deploy, shop  # noqa: F401  # fixture

from slipway.agent.docker.facts import works_or_will
from slipway.agent.move.old_project import NOTES

if TYPE_CHECKING:
    from fake_docker import Container

MOUNT = {"Type": "volume", "Source": VOLUME, "Target": "/data"}


def stop(before: Before, *names: str) -> None:
    for name in names:
        before._ask("POST", f"/containers/{before.ids[name]}/stop")


def users(stack: Simulation) -> list[str]:
    return sorted(
        each.name for each in stack.host.engine.containers.values() if VOLUME in each.volumes and each.running
    )


def reboot(stack: Simulation) -> None:
    for each in stack.containers():
        each.host["RestartPolicy"] = ALWAYS
    stack.host.engine.restart_engine()
    stack.later(5)


def drift(stack: Simulation) -> list[str]:
    return [f"{each['service']}: {each['what']}" for each in stack.probe()["drift"]]


@pytest.mark.parametrize("policy", ["no", "always", "unless-stopped", "on-failure"])
@pytest.mark.parametrize("how", ["never started", "runs", "ended well", "crashed", "stopped by hand"])
def test_who_is_said_to_work_or_to_be_started_is_who_works_once_docker_started_anew(
    stack: Simulation, before: Before, policy: str, how: str
) -> None:
    image = before.container("web").config["Image"]
    environment = {"ended well": ["EXITS=0.2"], "crashed": ["EXITS=0.2", "CODE=1"]}.get(how, [])
    restart = {"RestartPolicy": {"Name": policy, "MaximumRetryCount": 2}}
    body = {"Image": image, "Env": environment, "HostConfig": restart}
    made = before._ask("POST", "/containers/create?name=one", body)["Id"]
    if how != "never started":
        before._ask("POST", f"/containers/{made}/start")
    stack.later(5)
    if how == "stopped by hand":
        before._ask("POST", f"/containers/{made}/stop")
    said = works_or_will(before._ask("GET", f"/containers/{made}/json"))
    one = stack.host.engine.containers[made]
    one.config["Env"], worked = [], one.running
    stack.host.engine.restart_engine()
    stack.later(5)
    if (policy, how) != ("on-failure", "crashed"):  # that one may be started, or has failed too often
        assert said is (worked or one.running)


@pytest.mark.parametrize("stopped", [("db",), ("db", "worker", "web", "traefik")], ids=str)
def test_old_containers_that_were_stopped_by_hand_rest_after_a_reboot_and_an_undo_leaves_them_so(
    stack: Simulation, before: Before, stopped: tuple[str, ...]
) -> None:
    for name in stopped:
        before.container(name).host["RestartPolicy"] = ALWAYS
    stop(before, *stopped)
    changes = stack.plan(shop(stack), move_from=["old"])["changes"]
    said = [reason for each in changes if each["service"] == "old" for reason in each["because"]]
    names = ", ".join(sorted(f"old-{name}-1" for name in stopped))
    assert said[-1] == f"not running now, and not started by Docker at the next boot any more: {names}"
    assert deploy(stack, shop(stack)).code == 0
    before.stopped()
    assert command(stack, "show").report["state"] == "moved"
    reboot(stack)
    before.stopped()
    assert users(stack) == ["shop-db-1"]
    assert drift(stack) == []
    answer = command(stack, "undo").report
    assert (answer["state"], answer["down"]) == ("undone", [])
    for name in before.ids:
        each = before.container(name)
        assert each.running is (name not in stopped), name
        assert each.host["RestartPolicy"]["Name"] == ("always" if name in stopped else before.policies[name]["Name"])


def test_a_failed_move_says_that_a_project_that_did_not_run_is_stopped(stack: Simulation, before: Before) -> None:
    before.container("db").host["RestartPolicy"] = ALWAYS
    stop(before, *before.ids)
    ended = deploy(stack, shop(stack, environment={"MODE": "exit"}))
    assert "the project old is stopped as before" in ended.error
    assert before.container("db").host["RestartPolicy"] == ALWAYS
    assert [name for name in before.ids if before.container(name).running] == []


def test_a_reboot_in_the_middle_starts_no_old_database_that_was_stopped_by_hand(
    stack: Simulation, before: Before
) -> None:
    before.container("db").host["RestartPolicy"] = ALWAYS
    stop(before, "db")
    assert deploy(stack, shop(stack), kill="start:db:finished").code != 0
    reboot(stack)
    assert users(stack) == ["shop-db-1"]
    assert deploy(stack, shop(stack)).code == 0
    before.stopped()


def someone(before: Before, what: str) -> str:
    """A container that is not the stack's, on its data; its name."""
    image = before.container("web").config["Image"]
    if what == "the old one":
        before._ask("POST", f"/containers/{before.ids['db']}/start")
        return "old-db-1"
    if what == "the old one, made anew":
        before._ask("DELETE", f"/containers/{before.ids['db']}?force=true")
        before.ids["db"] = before._run("db", image, UNLESS_STOPPED, Mounts=[MOUNT])
        return "old-db-1"
    made = before._run("guest", image, UNLESS_STOPPED, project="another", Mounts=[MOUNT])
    if what == "a one-off run":
        labels = before.host.engine.containers[made].config["Labels"]
        labels |= {"com.docker.compose.project": "old", "com.docker.compose.oneoff": "True"}
    return "another-guest-1"


WHO = ["the old one", "the old one, made anew", "a stranger", "a one-off run"]


@pytest.mark.parametrize("who", WHO)
def test_who_starts_on_the_data_in_the_middle_of_a_move_is_stopped_or_named(
    stack: Simulation, before: Before, who: str
) -> None:
    _, ended = stack.begin(shop(stack, environment={"MODE": "slow"}), move_from=["old"])
    while not stack.containers("web"):
        stack.later(0.1)
    name = someone(before, who)
    done = ended()
    assert done.code == 0
    warned = " ".join(done.report["warnings"])
    if "old one" in who:
        said = (
            f"{name} of old was started during the move, worked on old_data, beside the new containers, and is stopped"
        )
        assert said in warned
        before.stopped()
        assert users(stack) == ["shop-db-1"]
        assert drift(stack) == []
        assert command(stack, "undo").report["down"] == []
        assert users(stack) == ["old-db-1"]
    else:
        assert f"db: {name} works on its data (old_data), too; to end that, on the host: docker update" in warned


@pytest.mark.parametrize("stopped_before", [False, True])
@pytest.mark.parametrize("who", WHO[:2])
def test_who_of_the_old_project_was_made_anew_or_started_since_the_plan_stops_before_the_new_one_starts(
    stack: Simulation, before: Before, who: str, *, stopped_before: bool
) -> None:
    if stopped_before:
        before.container("db").host["RestartPolicy"] = ALWAYS
        stop(before, "db")
    both = []
    stack.world.time.before.append(lambda: both.append(len(users(stack)) > 1))
    _, ended = stack.begin(shop(stack), move_from=["old"])
    while not (stack.host.home / "stacks" / "shop" / NOTES).exists():
        stack.later(0.001)
    someone(before, who)
    done = ended()
    assert done.code == 0
    before.stopped()
    assert any(both) is stopped_before  # nobody was to stop then
    assert ("was started during the move" in " ".join(done.report["warnings"])) is stopped_before
    assert command(stack, "undo").report["down"] == []
    as_before = stopped_before and who == "the old one"  # it did not run when it was noted
    assert users(stack) == ([] if as_before else ["old-db-1"])


def test_what_an_undo_could_not_start_rests_after_the_next_move(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.agent.move.undo.check_way_back", lambda *_: None)  # it was free a moment ago
    port = {"PortBindings": {"5432/tcp": [{"HostIp": "", "HostPort": "5432"}]}}
    before.container("db").host |= {**port, "RestartPolicy": ALWAYS}
    assert deploy(stack, shop(stack)).code == 0
    other = before._run("other", before.container("web").config["Image"], ALWAYS, project="other", **port)
    assert "old-db-1 does not run" in command(stack, "undo").error
    assert deploy(stack, shop(stack)).code == 0
    before._ask("DELETE", f"/containers/{other}?force=true")
    reboot(stack)
    assert users(stack) == ["shop-db-1"]
    before.stopped()


def test_a_stack_that_another_took_over_from_is_left_alone_until_that_is_undone_or_finished(
    stack: Simulation, before: Before
) -> None:
    stop(before, *before.ids)
    assert stack.deploy(on_volume(stack)).code == 0
    two = Simulation(stack.host, "two")
    assert two.deploy(on_volume(two), move_from=["shop"]).code == 0
    said = "stack two of this host takes over from shop, or has done so, and may go back"
    assert [each["what"] for each in stack.plan(on_volume(stack))["refused"]] == [said]
    assert said in stack.deploy(on_volume(stack)).error
    assert said in stack.destroy().error
    assert users(stack) == ["two-db-1"]
    assert command(two, "undo").code == 0
    assert users(stack) == ["shop-db-1"]
    assert stack.deploy(on_volume(stack)).code == 0


def test_a_neighbour_of_another_folder_that_is_called_as_the_old_project_is_left_alone(
    stack: Simulation, before: Before
) -> None:
    label = {"com.docker.compose.project.working_dir": "/srv/neighbour"}
    for name in before.ids:
        before.container(name).config["Labels"] |= {"com.docker.compose.project.working_dir": "/srv/old"}
    assert deploy(stack, shop(stack), kill="stop-old:db:finished").code != 0
    made = before._run("blog", before.container("web").config["Image"], ALWAYS)
    blog = stack.host.engine.containers[made]
    blog.config["Labels"] |= label
    assert deploy(stack, shop(stack)).code == 0
    assert blog.running
    assert command(stack, "remove").code == 0
    assert blog.running


@pytest.mark.parametrize("stated", [["site"], []])
def test_a_routed_service_that_works_beside_an_old_one_on_its_data_is_named(
    stack: Simulation, before: Before, stated: list[str]
) -> None:
    mount = {"type": "volume", "source": "data", "target": "/data"}
    routed = {"strategy": "rolling", "routes": [{"host": "", "path": "/", "strip": False}]}
    adopted = {"data": {"name": VOLUME, "external": True, "x-adopted": True}}
    wanted = stack.release({"site": stack.service(volumes=[mount])}, {"site": routed}, volumes=adopted)
    said = [reason for each in stack.plan(wanted, move_from=["old"], move_beside=stated)["changes"]
            for reason in each["because"]]  # fmt: skip
    before.untouched()
    beside = "old-db-1 works on old_data beside site until then; `strategy: recreate` of site stops it first"
    assert (beside in said) is bool(stated)


def test_a_move_that_fails_because_docker_is_restarted_waits_for_it_and_gives_back(
    stack: Simulation, before: Before
) -> None:
    _, ended = stack.begin(shop(stack, environment={"MODE": "slow"}), move_from=["old"])
    while not stack.containers("web"):
        stack.later(0.1)
    stack.host.engine.restart_engine(10.0)
    assert "the project old runs again as before" in ended().error
    before.as_before()


def test_a_label_is_quoted_in_the_command_that_an_error_prints(stack: Simulation, before: Before) -> None:
    before.container("db").config["Labels"] |= {"com.docker.compose.project": "x; reboot #"}
    [refused] = stack.plan(on_volume(stack))["refused"]
    assert refused["fix"] == "pulumi config set --path 'moveFrom[0]' 'x; reboot #'"


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("finished", [False, True])
def test_who_works_on_the_data_after_a_move_is_drift_and_a_warning_of_the_next_deployment(
    stack: Simulation, before: Before, who: str, *, finished: bool
) -> None:
    assert deploy(stack, shop(stack)).code == 0
    if finished:
        assert command(stack, "finish").code == 0
    name = someone(before, who)
    fix = f"docker stop {name}" if who == "the old one" else f"docker update --restart no {name} && docker stop {name}"
    said = f"db: {name} works on its data (old_data), too; to end that, on the host: {fix}"
    assert drift(stack) == [said]
    again = deploy(stack, shop(stack)).report
    assert (again["outcome"], again["warnings"]) == ("unchanged", [said])
    for what in ("finish", "remove") if "old one" in who else ():
        ended = command(stack, what)
        assert f"{name} of old runs, or Docker starts it at the next boot" in ended.error
        assert fix in ended.error
        assert name in [each["name"] for each in command(stack, "show").report["containers"] if each["running"]]
        assert name in users(stack)
    engine = stack.host.engine
    rival = next(each for each in engine.containers.values() if each.name == name)
    for command_ in fix.split(" && "):
        if "update" in command_:
            rival.host["RestartPolicy"] = {"Name": "no"}
        else:
            before._ask("POST", f"/containers/{rival.id}/stop")
    assert drift(stack) == []
    assert deploy(stack, shop(stack)).report["warnings"] == []
    assert command(stack, "remove").code == 0


def on_volume(stack: Simulation) -> dict[str, Any]:
    mount = {"type": "volume", "source": "data", "target": "/data"}
    adopted = {"data": {"name": VOLUME, "external": True, "x-adopted": True}}
    return stack.release({"db": stack.service(volumes=[mount])}, {"db": {"strategy": "recreate"}}, volumes=adopted)


def test_adopted_data_that_docker_starts_somebody_on_at_the_next_boot_is_refused(
    stack: Simulation, before: Before
) -> None:
    old: Container = before.container("db")
    old.host["RestartPolicy"] = ALWAYS
    stop(before, *before.ids)
    [refused] = stack.plan(on_volume(stack))["refused"]
    assert refused["what"] == (
        "Docker starts old-db-1 at the next boot on the volume old_data, which this stack adopts"
    )
    assert refused["fix"] == "pulumi config set --path 'moveFrom[0]' old"
    assert refused["what"] in stack.deploy(on_volume(stack)).error
    assert deploy(stack, on_volume(stack)).code == 0  # as the error has it
    reboot(stack)
    assert users(stack) == ["shop-db-1"]


def test_a_stopped_container_that_stays_so_keeps_nobody_from_its_data(stack: Simulation, before: Before) -> None:
    stop(before, *before.ids)  # its database is `unless-stopped`
    assert stack.deploy(on_volume(stack)).code == 0
    assert drift(stack) == []
    before._ask("POST", f"/containers/{before.ids['db']}/update", {"RestartPolicy": ALWAYS})
    said = "Docker starts old-db-1 at the next boot on its data (old_data), too"
    assert drift(stack) == [f"db: {said}; to end that, on the host: docker update --restart no old-db-1"]
