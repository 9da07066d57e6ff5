"""Before anything is planned: a host that cannot take the stack is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from samples import LOCAL, REMOTE, application, probe, settings

from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.agent_package import pack_agent
from slipway.hosts.preflight import look_at_hosts
from slipway.hosts.records import Deployed, Records, read_deployed

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.settings.model import Settings


class Sessions:
    """Hosts that have answered."""

    def __init__(self, probes: dict[str, Any]) -> None:
        self.probes, self.closed = probes, False

    def open(self, *_: object, **__: object) -> dict[str, Any]:
        return self.probes

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def deployed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the stack's state deployed."""
    found: dict[str, Any] = {}
    monkeypatch.setattr("slipway.hosts.preflight.read_deployed", lambda _: Deployed(found, found))
    return found


@pytest.mark.parametrize(
    ("name", "stack", "owner", "refused"),
    [
        ("shop", "api-prod", "shop-api", True),
        ("shop-api", "prod", "shop", True),
        ("shop-api", "prod", "shop-api", False),
        ("shop-api", "prod", "Shop_API", True),
        ("shop-api", "prod", "Shop-Api", False),
        ("shop-api", "Prod.1", "shop-api", False),
        ("shop-api", "prod", "", False),
        ("shop-api", "prod", None, False),
    ],
)
def test_a_stack_never_takes_the_place_of_another_applications(
    tmp_path: Path, name: str, stack: str, owner: str | None, refused: int
) -> None:
    values = {"name": name, "stack": stack, "hosts": [LOCAL, REMOTE]}
    shop = application(tmp_path, "services: {web: {image: nginx}}", **values)
    second = probe(**({} if owner is None else {"application": owner}))
    sessions: Any = Sessions({"here": probe(), "web-1": second})
    if not refused:
        assert look_at_hosts(settings(tmp_path, **values), shop, sessions).probes["web-1"] is second
        return
    with pytest.raises(SlipwayError) as error:
        look_at_hosts(settings(tmp_path, **values), shop, sessions)
    [problem] = error.value.problems
    assert problem.what.startswith(f"host web-1: {shop.stack} is application {owner}'s here; stack {stack} of")
    assert problem.fix == f"pulumi config set name {name}-new"
    assert sessions.closed, "nothing was left on any host"


@pytest.mark.parametrize(
    ("noted", "refused"),
    [("", False), ("shop/test", False), ("shop/test 0123", False), ("deploy/test", True), ("shop/prod a1", True)],
)
def test_a_stack_of_another_pulumi_project_is_refused_before_any_resource_is_made(
    tmp_path: Path, noted: str, refused: int
) -> None:
    """With a resource in its state, `pulumi destroy` would remove the other's containers."""
    shop = application(tmp_path, "services: {web: {image: nginx}}", hosts=[LOCAL])
    sessions: Any = Sessions({"here": probe(owner=noted)})
    if not refused:
        assert look_at_hosts(settings(tmp_path, hosts=[LOCAL], owner="shop/test a1"), shop, sessions).probes
        return
    with pytest.raises(SlipwayError) as error:
        look_at_hosts(settings(tmp_path, hosts=[LOCAL], owner="shop/test a1"), shop, sessions)
    assert "was deployed here by the Pulumi stack " in str(error.value)
    assert sessions.closed


@pytest.mark.parametrize("preview", ["online", "offline"])
def test_a_stack_that_ran_under_another_name_is_refused_before_any_resource_is_made(
    tmp_path: Path, deployed: dict[str, Any], preview: str
) -> None:
    deployed["store-test"] = {"here": "127.0.0.1"}
    shop = application(tmp_path, "services: {web: {image: nginx}}", hosts=[LOCAL])
    sessions: Any = Sessions({"here": probe()})
    with pytest.raises(SlipwayError, match="runs as store-test so far"):
        look_at_hosts(settings(tmp_path, hosts=[LOCAL], preview=preview), shop, sessions)
    assert sessions.closed


def test_a_state_that_cannot_be_read_keeps_nobody_from_a_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("slipway.hosts.preflight.read_deployed", read_deployed)
    monkeypatch.setattr("pulumi.runtime.invoke", lambda *_: 1 / 0)
    monkeypatch.setattr("pulumi.log.warn", said.append)
    shop = application(tmp_path, "services: {web: {image: nginx}}", hosts=[LOCAL])
    sessions: Any = Sessions({"here": probe(live={"release": "r-1", "images": {}})})
    assert look_at_hosts(settings(tmp_path, hosts=[LOCAL]), shop, sessions).probes
    assert len([each for each in said if "renamed would not be noticed" in each]) == 1


@pytest.mark.parametrize(
    ("organization", "asked"), [("team", "team/site/test"), ("organization", "test"), ("", "test")]
)
def test_the_state_of_a_stack_is_that_of_its_organization(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, organization: str, asked: str
) -> None:
    names: list[str] = []
    monkeypatch.setattr("slipway.hosts.preflight.read_deployed", lambda name: names.append(name) or Deployed({}, {}))
    monkeypatch.setattr("pulumi.get_organization", lambda: organization)
    monkeypatch.setattr("pulumi.get_project", lambda: "site")
    shop = application(tmp_path, "services: {web: {image: nginx}}", hosts=[LOCAL])
    sessions: Any = Sessions({"here": probe()})
    look_at_hosts(settings(tmp_path, hosts=[LOCAL]), shop, sessions)
    assert names == [asked]


class Asked(Sessions):
    """What the hosts are asked for, too."""

    def open(self, *_: object, **how: object) -> dict[str, Any]:
        self.how = how
        return self.probes


def machines(folder: Path) -> Settings:
    """A host that is there, and a server that is not made yet."""
    block = {"servers": [{"name": "web", "type": "cx23", "location": "fsn1"}], "sshFrom": ["::/0"]}
    stack = settings(folder, hosts=[LOCAL], hetzner=block)
    return stack.model_copy(update={"hosts": [*stack.hosts, *stack.hetzner.hosts()]})


def test_an_update_that_makes_servers_first_looks_at_the_others_and_leaves_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulumi.runtime.is_dry_run", lambda: False)
    shop = application(tmp_path, "services: {web: {image: nginx}}", hosts=[LOCAL])
    sessions: Any = Asked({"here": probe()})
    view = look_at_hosts(machines(tmp_path), shop, sessions, {"web": "created"})
    assert (sessions.how["install"], sessions.how["certificate"], sessions.how["look"]) == (False, False, "probe")
    assert {*view.probes} == {"here", "web"}
    assert (view.pending, view.plan, view.settled) == ({"web": "created"}, None, None)


def test_a_preview_plans_a_server_that_does_not_exist_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulumi.runtime.is_dry_run", lambda: True)
    shop = application(tmp_path, "services: {web: {image: nginx}}", hosts=[LOCAL])
    sessions: Any = Asked({"here": probe(agent=pack_agent().version)})
    view = look_at_hosts(machines(tmp_path), shop, sessions, {"web": "created"})
    assert view.probes["web"]["live"] is None
    planned: list[str] = []

    async def plan(_self: Records, host: str, *_: object) -> dict[str, Any]:
        planned.append(host)
        return {}

    monkeypatch.setattr(Records, "plan", plan)
    assert view.plan
    asyncio.run(view.plan("web", "{}", {}))  # type: ignore[arg-type]
    assert planned == ["web"]


def test_a_program_that_makes_no_servers_is_told_so(tmp_path: Path) -> None:
    shop = application(tmp_path, "services: {web: {image: nginx}}", hosts=[LOCAL])
    sessions: Any = Asked({"here": probe()})
    with pytest.raises(SlipwayError, match=r"__main__\.py makes no web, which are in hetzner\.servers"):
        look_at_hosts(machines(tmp_path), shop, sessions)


def test_where_a_host_does_not_answer_who_may_know_why_is_asked(tmp_path: Path) -> None:
    class Silent(Sessions):
        def open(self, *_: object, **__: object) -> dict[str, Any]:
            raise SlipwayError("host web cannot be reached", "its state is unknown", "ssh web")

    why = [Problem("host web was off at Hetzner", "it is switched on now", "slipway up")]
    shop, stack = application(tmp_path, "services: {web: {image: nginx}}", hosts=[REMOTE]), settings(tmp_path)
    with pytest.raises(SlipwayError, match=r"cannot be reached(.|\n)*was off at Hetzner"):
        look_at_hosts(stack, shop, Silent({}), {}, lambda: why)  # type: ignore[arg-type]
    with pytest.raises(SlipwayError) as raised:
        look_at_hosts(stack, shop, Silent({}))  # type: ignore[arg-type]
    assert "off at Hetzner" not in str(raised.value)
