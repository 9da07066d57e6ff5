"""Several drivers of one stack, and several stacks on one host: nobody disturbs another."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from remote_stack import end_tree, finish
from workload import webshop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from applications import Application
    from remote_stack import RemoteStack
    from workload import Images

    from dev.testhosts.server import TestHost

HOSTS = 1


@pytest.fixture(scope="module")
def drivers(deployable: Callable[..., RemoteStack], host: TestHost, images: Images) -> tuple[RemoteStack, RemoteStack]:
    """Two drivers of the same stack who do not know of each other: each has an engine's state of its own."""
    variables = {"SIDE_IMAGE": images.one}  # the other image is left to the tests
    one = deployable(host, variables=variables)
    other = deployable(host, name=one.name, variables=variables)
    other.port = one.port
    other.variables["PORT"] = one.variables["PORT"]
    one.up()
    return one, other


def test_second_driver_waits_and_both_end_consistently(
    drivers: tuple[RemoteStack, RemoteStack], host: TestHost
) -> None:
    one, other = drivers
    one.variables |= {"VERSION": "first", "START": "4"}
    other.variables |= {"VERSION": "second", "START": "0"}
    other.settings["lockWait"] = 60
    process = one.start("up", "--yes", "--skip-preview")
    try:
        one.await_step(host, "await")
        other.up()
        text = finish(process)
    finally:
        if process.poll() is None:
            end_tree(process)
    assert process.returncode == 0, text
    assert one.version_on(host) == "second"
    outcomes = [(line["release"], line["outcome"]) for line in one.ledger_on(host) if line["outcome"] != "migrated"]
    assert [outcome for _, outcome in outcomes[-2:]] == ["deployed", "deployed"]
    assert outcomes[-1][0] == other.outputs["release"]


def test_two_stacks_of_one_application_leave_each_other_alone(
    deployable: Callable[..., RemoteStack], host: TestHost, images: Images
) -> None:
    # retention 2: the third release of one stack lets go of an image that the other one needs for its way back
    busy, quiet = (deployable(host, retention=2) for _ in range(2))
    host.inside(["docker", "rm", "--force", "keeper-0", "keeper-1"])  # only the stacks keep images now
    try:
        quiet.variables |= {"IMAGE": images.one, "SIDE_IMAGE": images.one}
        quiet.up()
        quiet.ask(host, "/append/kept")
        before = quiet.ids_on(host)
        busy.variables |= {"IMAGE": images.one, "SIDE_IMAGE": images.one}
        busy.up()
        busy.deploy("2", IMAGE=images.two, SIDE_IMAGE=images.two)
        busy.deploy("3")
        assert busy.version_on(host) == "3"
        assert quiet.ids_on(host) == before

        kept = host.inside(["docker", "image", "ls", "--digests"])
        assert images.one.partition("@")[2] in kept, "the other stack's image was pruned"
        busy.destroy()
        assert not busy.containers_on(host)
        assert quiet.ids_on(host) == before
        assert quiet.ask(host)["data/log"] == "kept\n"
        kept = host.inside(["docker", "image", "ls", "--digests"])
        assert images.one.partition("@")[2] in kept
        assert images.two.partition("@")[2] not in kept, "what only the destroyed stack used is gone"
    finally:
        for number, image in enumerate(images.small):
            host.inside(["docker", "create", "--quiet", "--name", f"keeper-{number}", image], seconds=180)


def test_an_application_never_takes_the_place_of_one_whose_names_join_to_the_same(
    deployable: Callable[..., RemoteStack], host: TestHost
) -> None:
    def other(folder: Path) -> Application:
        made = webshop(folder)
        made.replace("compose.yaml", "name: shop\n", "name: shop-api\n")
        return made

    number = f"t{os.getpid()}"
    first = deployable(host, name=f"api-{number}")
    thief = deployable(host, name=number, application=other)
    assert first.project == thief.project
    first.up()
    before = first.ids_on(host)
    problem = thief.up(expect_failure=True).problem
    assert f"{first.project} is application shop's here; stack {number} of application shop-api is called so" in problem
    thief.destroy()
    assert first.ids_on(host) == before
    thief.settings["name"] = "shop-api-new"
    thief.up()
    assert first.ids_on(host) == before


def test_a_stack_a_host_or_its_user_by_another_name_is_refused_and_goes_on_as_printed(
    deployable: Callable[..., RemoteStack], host: TestHost
) -> None:
    one = deployable(host)
    one.up()
    before, name, machine = one.ids_on(host), one.name, one.settings["hosts"][0]
    own = dict(machine)

    def refused(what: str) -> str:
        assert what in one.preview(expect_failure=True).problem
        problem = one.up(expect_failure=True).problem
        assert what in problem
        assert one.ids_on(host) == before
        return str(problem).rpartition(" — ")[2].strip()

    one.pulumi("stack", "rename", f"{name}-new")
    one.name = f"{name}-new"
    fix = refused(f"this stack runs as {one.project} so far, and would be {one.project}-new now")
    subprocess.run(["sh", "-c", fix], check=True, cwd=one.folder, env=one.environment, capture_output=True)
    one.name = name
    machine["name"] = "webserver"
    assert refused(f"host webserver: this machine is called {host.name} so far").startswith(
        f"pulumi config set --path 'hosts[0].name' {host.name} --stack "
    )
    machine |= {**own, "user": "root"}
    assert refused(f"another user deployed this stack here: {own['user']}").startswith(
        f"pulumi config set --path 'hosts[0].user' {own['user']} --stack "
    )
    machine |= own
    assert set(one.up().steps.values()) == {"same"}
    assert one.ids_on(host) == before
