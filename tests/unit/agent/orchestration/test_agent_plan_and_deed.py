"""What a plan says is what happens: every service, its reason, and what is interrupted."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from fake_machine import World
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation
from strategies import CANARY
from thorough import THOROUGH

from slipway.agent.deploy.planned import unlike_plan
from slipway.agent.deploy.recorded import planned_from_record
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.stack_dir import StackFolder
from slipway.compose.schema_check import checked
from slipway.contract.deployment import Deployment
from slipway.contract.plan import UNBUILT, Change, sentence
from slipway.hosts.plans import change_of, plan_text

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDS = st.fixed_dictionaries(
    {"condition": st.sampled_from(["service_started", "service_healthy"]), "restart": st.booleans()}
)
WEB = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["rolling", "blue-green", "canary", "recreate"]),
        "replicas": st.integers(0, 3),
        "keep": st.sampled_from([0, 0, 30]),
        "path": st.sampled_from(["/", "/", "/shop"]),
        "version": st.integers(0, 2),
        "needs": st.none() | NEEDS,
    }
)
PLAIN = st.fixed_dictionaries({"version": st.integers(0, 1), "replicas": st.integers(0, 2), "needs": st.none() | NEEDS})
RELEASES = st.fixed_dictionaries(
    {
        "web": st.none() | WEB,
        "api": st.none() | PLAIN,
        "db": PLAIN,
        "wait": st.sampled_from([0, 40]),
        "of_it": st.integers(1, 2),
        "stopped": st.none() | st.sampled_from(["api", "db"]),
    }
)


def release(stack: Simulation, change: Mapping[str, Any]) -> dict[str, Any]:
    services, slipway = {}, {}
    for name, other in (("db", ""), ("api", "db"), ("web", "api")):
        own = change[name]
        if own is None:
            continue
        needs = {other: own["needs"]} if other and own["needs"] and change[other] else {}
        more = {"depends_on": needs, "deploy": {"replicas": own["replicas"]}}
        if name == "web":
            routed = stack.web("1", strategy=own["strategy"], replicas=own["replicas"], keep=own["keep"],
                               canary=CANARY if own["strategy"] == "canary" else None)  # fmt: skip
            slipway["web"] = routed["services"]["web"]
            slipway["web"]["routes"] = [{**each, "path": own["path"]} for each in slipway["web"]["routes"]]
            more = {**routed["compose"]["services"]["web"], **more}
        services[name] = stack.service(**{**more, "environment": {"VERSION": str(own["version"])}})
    return stack.release(services, slipway)


def mismatches(releases: list[dict[str, Any]]) -> list[str]:
    """Deploy one after another, each planned before; where a plan was not what happened."""
    home = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    world, found = World(), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        world.install(patch)
        stack = Simulation(world.host("one", home))
        record: dict[str, Any] | None = None
        try:
            for change in releases:
                wanted = release(stack, change)
                if not (change["stopped"] or Keeping(stack.folder).containers):
                    found += _unlike_record(stack, wanted, record)
                found += _held_against(stack, wanted, change)
                record = _record(stack, wanted)
                stack.later(change["wait"])
        finally:
            world.time.bury()
            shutil.rmtree(home)
    return found


# Stricter than the agent's own rules, which also hold for a service of which a part had stopped.
WORDS = {
    **dict.fromkeys(("rolled", "recreated", "restarted"), lambda old, new: bool(old and new) and not old & new),
    "scaled": lambda old, new: bool(old & new) and old != new,
    "created": lambda old, new: bool(new) and not old,
    **dict.fromkeys(("removed", "stopped"), lambda old, new: bool(old) and not new),
}


def _unlike_word(planned: list[Change], before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Where what became of a service's containers is not what the word for it says."""
    return [
        f"{each.service} {each.action}: {before.get(each.service)} became {after.get(each.service)}"
        for each in planned
        if each.action in WORDS
        and not WORDS[each.action](set(before.get(each.service, ())), set(after.get(each.service, ())))
    ]


def _record(stack: Simulation, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the engine's state has of a deployment that was proven."""
    document = stack.document(wanted)
    services = stack.deploy(wanted).report["services"]
    edge = document["edge"]["image"] if document["edge"] else ""
    return {"release": wanted, "services": services, "secrets": {}, "edge": edge}


def _unlike_record(stack: Simulation, wanted: dict[str, Any], record: dict[str, Any] | None) -> list[str]:
    """Where a plan from the record is not the one that the host makes."""
    document = Deployment.from_json(stack.document(wanted))
    offline = json.loads(json.dumps(planned_from_record(document, record, StackFolder(stack.stack))))
    online = stack.plan(wanted)
    # The edge of a host that has had no route for a while is in no record.
    known = {"edge started"} if not (record and record["edge"]) else set()
    told = [
        [{**change, "seconds": None} for change in plan["changes"] if change["action"] not in known]
        for plan in (offline, online)
    ]
    same = told[0] == told[1] and offline["unchanged"] == online["unchanged"]
    return [] if same else [f"from the record: {told[0]}; from the host: {told[1]}"]


def _held_against(stack: Simulation, wanted: dict[str, Any], change: Mapping[str, Any]) -> list[str]:
    for stopped in stack.containers(change["stopped"] or "none")[: change["of_it"]]:
        stack.host.engine.handle("POST", f"/containers/{stopped.id}/stop?t=1")
    stack.later(2)
    before = containers(stack)
    plan = checked("plan", stack.plan(wanted))
    assert containers(stack) == before, "a plan changes nothing"
    ended = stack.deploy(wanted)
    assert ended.code == 0, ended.error
    planned = [change_of(each) for each in plan["changes"]]
    found = unlike_plan(planned, before, containers(stack))
    if not change["stopped"]:
        found += _unlike_word(planned, before, containers(stack))
    assert ("defect" in ended.err) == bool(found), "the agent says so by itself"
    assert not set(plan["unchanged"]) & {each.service for each in planned}
    again = stack.plan(wanted)
    return [*found, *(f"again: {step}" for step in again["steps"])]


@settings(max_examples=100 if THOROUGH else 10, deadline=None, derandomize=True)
@given(releases=st.lists(RELEASES, min_size=3, max_size=4))
def test_what_a_plan_says_is_what_happens(releases: list[dict[str, Any]]) -> None:
    assert mismatches(releases) == []


def containers(stack: Simulation) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    kept = Keeping(stack.folder).containers
    for each in stack.containers():
        if each.id[:12] not in kept:
            found.setdefault(each.labels["com.docker.compose.service"], []).append(each.id)
    return found


def said(plan: Mapping[str, Any]) -> dict[str, str]:
    """Service → what happens to it and why, in words."""
    return {each.service: sentence(each) for each in map(change_of, plan["changes"])}


def test_every_reason_is_named(stack: Simulation) -> None:
    needs = {"depends_on": {"db": {"condition": "service_healthy", "restart": True}}}
    mount = [{"type": "volume", "source": "data", "target": "/data"}]
    secret = {"environment": {"VERSION": "1", "PASSWORD": "${PASSWORD}"}}
    first = stack.release(
        {"db": stack.service(**secret), "api": stack.service(**needs), "old": stack.service()}, secrets=("PASSWORD",)
    )
    assert said(stack.plan(first, secrets={"PASSWORD": "a"})) == dict.fromkeys(
        ("db", "api", "old"), "created: first deployment"
    )
    assert stack.deploy(first, secrets={"PASSWORD": "a"}).code == 0
    plan = said(stack.plan(first, secrets={"PASSWORD": "b"}))
    assert plan["db"] == "recreated: secret PASSWORD; interrupted until it is healthy"
    assert plan["api"] == "restarted: db is replaced; interrupted until it is healthy"
    assert stack.deploy(first, secrets={"PASSWORD": "b"}).code == 0

    more = stack.service(**{**secret, "environment": {**secret["environment"], "LEVEL": "debug"}}, volumes=mount,
                         labels={"<{%evil%}>": "x"})  # fmt: skip
    second = stack.release(
        {"db": more, "api": stack.service(**needs)}, volumes={"data": {"name": "shop_data"}}, secrets=("PASSWORD",)
    )
    stack.host.engine.handle("POST", f"/containers/{stack.ids('api')[0]}/stop?t=1")
    stack.later(2)
    plan = said(stack.plan(second, secrets={"PASSWORD": "b"}))
    for reason in ("environment LEVEL", "mount /data", "volume data", "label < {%evil%}>", " s last time"):
        assert reason in plan["db"], plan
    assert plan["api"].startswith("restarted: drift: shop-api-1 is exited (exit code 0), db is replaced")
    assert plan["old"] == "removed: no longer in the Compose file"


def _on(key: str, name: str = "") -> dict[str, Any]:
    mount = {"type": "volume", "source": key, "target": "/data"}
    return {"db_service": {"volumes": [mount]}, "volumes": {key: {"name": name or f"shop_{key}"}}}


@pytest.mark.parametrize(
    ("more", "because"),
    [
        (_on("store"), "mount /data, volume data stays behind, unused, volume store starts empty"),
        (_on("data", "shop_other"), "volume data starts empty"),
        (_on("store", "shop_data"), "mount /data, volume data, volume store"),
        (_on("store", "there"), "mount /data, volume data stays behind, unused, volume store"),
        ({}, "mount /data, volume data stays behind, unused"),
    ],
)
def test_a_plan_says_which_volume_starts_empty_and_which_stays_behind(
    stack: Simulation, more: dict[str, Any], because: str
) -> None:
    stack.host.engine.volumes["there"] = {"Name": "there", "Labels": {}}
    assert stack.deploy(stack.shop(**_on("data"))).code == 0
    assert said(stack.plan(stack.shop(**more)))["db"].startswith(f"recreated: {because};")
    gone = said(stack.plan(stack.release({"api": stack.service()})))["db"]
    assert gone == "removed: no longer in the Compose file, volume data stays behind, unused"


def _route(host: str, path: str = "/", *, strip: bool = False) -> dict[str, Any]:
    return {"host": host, "path": path, "strip": strip}


NO_MIDDLEWARES: dict[str, Any] = {
    "redirects": [], "basic_auth": None, "ip_allow_list": [], "rate_limit": None, "max_body": None,
    "security_headers": False,
}  # fmt: skip
REDIRECT = {"from": "www.shop.test", "to": "shop.test", "permanent": True}
REQUESTS = [
    # what x-slipway says, besides `route: shop.test` and `port: 8000`, and what the plan says of it
    ({"routes": [_route("shop2.test")]}, "x-slipway route shop.test => shop2.test"),
    ({"routes": [_route("shop.test"), _route("", "/status")]}, "x-slipway route none => /status"),
    ({"routes": [_route("a.test"), _route("", "/")]}, "x-slipway route shop.test => / and a.test"),
    ({"routes": [_route("shop.test", strip=True)]}, "x-slipway route"),
    ({"routes": [], "preview": ""}, "x-slipway route shop.test => none"),
    ({"port": 9000}, "x-slipway port 8000 => 9000"),
    ({"preview": "new.shop.test"}, "x-slipway preview none => new.shop.test"),
    ({"sticky": True}, "x-slipway sticky"),
    ({"middlewares": {**NO_MIDDLEWARES, "redirects": [REDIRECT]}}, "x-slipway redirect"),
    ({"middlewares": {**NO_MIDDLEWARES, "ip_allow_list": ["192.0.2.0/24"]}}, "x-slipway ipAllowList"),
    ({"middlewares": {**NO_MIDDLEWARES, "security_headers": True}}, "x-slipway securityHeaders"),
    ({"drain": 7.0}, ""),
    ({"smoke": []}, ""),
]


def test_a_variable_without_a_value_is_unset_whatever_the_host_has_and_the_plan_names_it(stack: Simulation) -> None:
    stack.host.environment |= {"TZ": "of-the-host", "HOME": "/root"}

    def shop(**environment: str | None) -> dict[str, Any]:
        return stack.shop("1", api_environment=environment)

    assert stack.deploy(shop()).code == 0
    assert said(stack.plan(shop(TZ=None, HOME=None)))["api"].startswith("recreated: environment HOME, environment TZ")
    assert stack.deploy(shop(TZ=None, HOME=None)).code == 0
    [container] = [each for each in stack.host.engine.containers.values() if each.id in stack.ids("api")]
    assert {"TZ", "HOME"} <= set(container.config["Env"])
    assert said(stack.plan(shop(TZ=None, HOME=None))) == {}
    assert said(stack.plan(shop(TZ="UTC", HOME=None)))["api"].startswith("recreated: environment TZ;")


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
@pytest.mark.parametrize(("more", "reason"), REQUESTS, ids=[each[1] or str(each[0]) for each in REQUESTS])
def test_what_requests_meet_is_a_reason_beside_others(
    stack: Simulation, strategy: str, more: dict[str, Any], reason: str
) -> None:
    before: dict[str, Any] = {"routes": [_route("shop.test")], "port": 8000, "strategy": strategy}
    assert stack.deploy(stack.web("1", **before)).code == 0
    action = "rolled" if strategy == "rolling" else "recreated"
    wanted = ", ".join(filter(None, ["environment VERSION", reason]))
    told = said(stack.plan(stack.web("2", **{**before, **more})))["web"]
    assert told.partition(";")[0] == f"{action}: {wanted}"
    alone = said(stack.plan(stack.web("1", **{**before, **more})))
    assert alone.get("web", reason).rpartition(": ")[2] == reason


def test_a_service_that_leaves_says_which_address_goes_with_it(stack: Simulation) -> None:
    web = stack.web("1", routes=[_route("shop.test")])
    both = {**web["compose"]["services"], "db": stack.service()}
    assert stack.deploy(stack.release(both, {"web": web["services"]["web"]})).code == 0
    plan = said(stack.plan(stack.release({"db": both["db"]})))
    assert plan["web"] == "removed: no longer in the Compose file, x-slipway route shop.test => none"


ACME = {"email": "a@shop.test", "server": "https://acme.test", "ca": ""}
EDGES = [
    # what is wanted of the edge besides what runs, and what the plan says of it
    ({}, None),
    ({"http_port": 8081}, "edge replaced: HTTP port 1 => 8081; interrupted until it is healthy"),
    ({"version": "3.7.1", "image": "traefik:v3.7.1@sha256:0"}, "edge replaced: Traefik 3.6.0 => 3.7.1"),
    ({"version": "3.5.0", "image": "traefik:v3.5.0@sha256:0"}, "edge changed: its settings"),
    ({"version": "3.7.1", "image": "traefik:v3.7.1@sha256:0", "http_port": 8081},
     "edge replaced: Traefik 3.6.0 => 3.7.1, HTTP port 1 => 8081; interrupted until it is healthy"),
    ({"https": True}, "edge replaced: HTTPS port none => 2"),
    ({"acme": ACME}, "edge replaced: its settings"),
    ({"image": "traefik:other@sha256:0"}, "edge replaced: its settings"),
    ({"trusted_proxies": ["10.0.0.1"]}, "edge replaced: its settings"),
    ({"https_port": 3}, "edge changed: its settings"),
    ({"certificates": [{"certificate": "c", "key": "k"}]}, "edge changed: certificate"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "wanted"), EDGES, ids=[each[1] or "the same" for each in EDGES])
def test_what_happens_to_the_edge_is_what_is_said(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], wanted: str | None
) -> None:
    monkeypatch.setattr("slipway.agent.edge.secret_files.certificates_marker", lambda each, _: "x" if each else None)
    web = stack.web("1")
    first = said(stack.plan(web))
    assert first == {"edge": "edge started: Traefik 3.6.0", "web": "created: first deployment"}
    assert stack.deploy(web).code == 0
    document = stack.edge(**more)
    wanted = wanted and wanted.replace("port 1 ", f"port {stack.host.http_port} ")
    assert said(checked("plan", stack.plan(web, edge=document))).get("edge") == wanted


@pytest.mark.parametrize("more", [{"http_port": 8081}, {"https": True}, {"acme": ACME}, {"https_port": 3}], ids=str)
def test_the_edge_is_replaced_just_where_that_is_said(stack: Simulation, more: dict[str, Any]) -> None:
    web = stack.web("1")
    assert stack.deploy(web).code == 0
    document = stack.edge(**more)
    [change] = stack.plan(web, edge=document)["changes"][:1]
    before = [each["id"] for each in stack.probe()["edge"]["containers"]]
    assert stack.deploy(web, edge=document).code == 0
    after = [each["id"] for each in stack.probe()["edge"]["containers"]]
    assert (before != after) == (change["action"] == "edge replaced")
    assert "edge" not in said(stack.plan(web, edge=document))


def test_routes_are_written_anew_where_the_edge_means_something_else_by_them(stack: Simulation) -> None:
    limited = {"middlewares": {**NO_MIDDLEWARES, "ip_allow_list": ["192.0.2.1"], "max_body": 9}}
    blog = Simulation(stack.host, "blog")
    shop, other = stack.web("1", **limited), blog.web("1", routes=[_route("blog.test")], **limited)
    assert [stack.deploy(shop).code, blog.deploy(other).code] == [0, 0]
    before = stack.ids() + blog.ids()

    def written() -> list[dict[str, Any]]:
        routes = stack.host.edges[0].folder / "routes"
        return [yaml.safe_load((routes / f"{name}.yaml").read_bytes())["http"] for name in ("shop", "blog")]

    assert not any("visitor" in name for http in written() for name in http["middlewares"])
    assert stack.deploy(shop, edge=stack.edge(trusted_proxies=["10.0.0.1"])).code == 0
    for name, http in zip(("shop", "blog"), written(), strict=True):
        visitor = http["middlewares"][f"{name}~web~allow-visitor"]
        assert visitor["ipAllowList"]["ipStrategy"] == {"excludedIPs": ["10.0.0.1"]}
        assert "plugin" in http["middlewares"][f"{name}~web~body"]
    assert stack.ids() + blog.ids() == before


def test_routes_that_an_earlier_agent_wrote_otherwise_are_written_anew(stack: Simulation) -> None:
    """Also where an agent was ended between a new edge and that."""
    web = stack.web("1")
    assert stack.deploy(web).code == 0
    before, path = stack.ids(), stack.host.edges[0].folder / "routes/shop.yaml"
    content = path.read_bytes()
    earlier = content.replace(b"20ms", b"30ms")
    assert earlier != content
    path.write_bytes(earlier)
    assert said(stack.plan(web)) == {"edge": "edge changed: its settings"}
    assert stack.deploy(web).code == 0
    assert b"30ms" not in path.read_bytes()
    assert stack.plan(web)["changes"] == []
    assert stack.ids() == before


def test_an_edge_whose_ports_another_stack_wants_otherwise_is_no_replacement(stack: Simulation) -> None:
    assert stack.deploy(stack.web("1")).code == 0
    other = Simulation(stack.host, "blog")
    plan = said(stack_plan := other.plan(other.web("1"), edge=other.edge(http_port=8081)))
    assert stack_plan["changes"][0]["action"] == "edge changed"
    assert "stack blog wants the edge's HTTP on port 8081, but stack shop has it on" in plan["edge"]


def test_an_image_that_is_yet_to_be_built_counts_as_changed(stack: Simulation) -> None:
    first = stack.shop()
    assert stack.deploy(first).code == 0
    unbuilt = {**first["images"], "api": f"api@{UNBUILT}"}
    services = {**first["compose"]["services"]}
    services["api"] = {**services["api"], "image": unbuilt["api"]}
    plan = said(stack.plan({**first, "images": unbuilt, "compose": {**first["compose"], "services": services}}))
    assert plan == {"api": "recreated: image (to be built); interrupted until it is healthy"}


def test_a_migration_is_promised_only_where_it_is_known_that_it_runs(stack: Simulation) -> None:
    def shop(api: str) -> dict[str, Any]:
        return stack.shop(api, slipway={"api": {"migrate": {"command": ["ok"], "deadline": 20}}})

    def migration(plan: dict[str, Any]) -> list[str]:
        return [sentence(each) for each in map(change_of, plan["changes"]) if each.action == "migration run"]

    first, second = shop("1"), shop("2")
    perhaps = "migration run: if this release has not run it yet"
    assert migration(stack.plan(first)) == ["migration run: new release"]
    _record(stack, first)
    record = _record(stack, second)
    assert migration(stack.plan(first)) == [], "the host knows that it has run it"
    document = Deployment.from_json(stack.document(first))
    for known in (record, None):
        assert migration(planned_from_record(document, known, stack.folder)) == [perhaps]
    unbuilt = {**first, "id": "r-0123456789ab", "images": {**first["images"], "api": f"api@{UNBUILT}"}}
    assert migration(stack.plan(unbuilt)) == [perhaps]


def test_what_happened_otherwise_is_reported_as_a_defect() -> None:
    planned = [Change("web", "rolled", ("image",))]
    assert unlike_plan(planned, {"web": ["a"], "db": ["b"]}, {"web": ["c"], "db": ["b"]}) == []
    assert unlike_plan(planned, {"web": ["a"], "db": ["b"]}, {"web": ["a"], "db": ["c"]}) == [
        "db was to be left alone, and 1 of its containers are new and 1 gone",
        "web was to be rolled, and 0 of its containers are new and 0 gone",
    ]


def test_a_service_named_edge_is_not_the_edge(stack: Simulation) -> None:
    web = stack.web("1")
    services = {**web["compose"]["services"], "edge": stack.service()}
    plan = stack.plan(stack.release(services, {"web": web["services"]["web"]}))
    assert [each["service"] for each in plan["changes"]].count("edge") == 2


def test_a_stopped_service_with_another_configuration_is_recreated_without_interruption(
    stack: Simulation,
) -> None:
    assert stack.deploy(stack.shop()).code == 0
    stack.host.engine.handle("POST", f"/containers/{stack.ids('api')[0]}/stop?t=1")
    stack.later(2)
    plan = said(stack.plan(stack.shop(api="2")))
    assert plan["api"].startswith("recreated: environment VERSION, drift: ")
    assert "interrupted" not in plan["api"]


@pytest.mark.parametrize(
    ("own", "first"),
    [({"restart": "no"}, "one-off run"), ({"deploy": {"restart_policy": {"condition": "none"}}}, "one-off run"),
     ({"restart": "on-failure"}, "created"), ({}, "created")],
    ids=["no", "none", "on-failure", "unsaid"],
)  # fmt: skip
def test_a_job_that_nobody_awaits_runs_when_the_plan_says_so_and_at_no_other_time(
    stack: Simulation, own: dict[str, Any], first: str
) -> None:
    def wanted(value: str) -> dict[str, Any]:
        environment = {"MODE": "ends", "AFTER": "2", "VERSION": value}
        job = stack.service(environment=environment, **own)
        del job["healthcheck"]
        return stack.shop(extra={"job": job})

    def planned(release: dict[str, Any]) -> list[str]:
        found = [each for each in map(change_of, stack.plan(release)["changes"]) if each.service == "job"]
        runs = [each.run for each in stack.containers("job")]
        ended = stack.deploy(release)
        assert (ended.code, ended.report.get("warnings") or []) == (0, []), ended.err
        ran = [each.run for each in stack.containers("job")] != runs or "job" in ended.report["touched"]
        assert ran == bool(found), (found, ended.report["touched"])
        stack.later(10)
        return [sentence(each) for each in found]

    assert planned(wanted("1")) == [f"{first}: first deployment"]
    assert planned(wanted("1")) == []
    assert planned(wanted("2")) == ["one-off run: environment VERSION"]
    stack.host.engine.handle("DELETE", f"/containers/{stack.containers('job')[0].id}?force=1")
    # What ended after it was recorded is known by its container alone.
    assert planned(wanted("2")) == ([] if first == "one-off run" else ["created: drift: is missing"])


def test_a_job_at_work_is_said_to_be_stopped(stack: Simulation) -> None:
    def wanted(value: str) -> dict[str, Any]:
        job = stack.service(environment={"MODE": "ends", "AFTER": "500", "VERSION": value}, restart="no")
        del job["healthcheck"]
        return stack.shop(extra={"job": job})

    assert stack.deploy(wanted("1"), options={"health_deadline": 10}).code == 0
    changes = [sentence(change_of(each)) for each in stack.plan(wanted("2"))["changes"]]
    assert changes == ["one-off run: environment VERSION; its run that is at work is stopped"]


def test_a_service_that_goes_is_said_to_be_gone(stack: Simulation) -> None:
    assert stack.deploy(stack.shop()).code == 0
    without = stack.release({"db": stack.service()})
    assert "gone from then on: api" in plan_text(stack.plan(without))


def test_a_stack_that_comes_to_the_edge_of_another_changes_nothing_of_it(stack: Simulation) -> None:
    assert stack.deploy(stack.web("1")).code == 0
    other = Simulation(stack.host, "blog")
    assert said(other.plan(other.web("1")))["edge"] == "edge changed: blog joins it"


def test_a_route_that_was_removed_by_hand_is_drift_and_its_return_a_repair(stack: Simulation) -> None:
    web = stack.web("1")
    assert stack.deploy(web).code == 0
    (stack.host.edges[0].folder / "routes/shop.yaml").unlink()
    assert said(stack.plan(web))["web"] == "route changed: drift: its route is gone"
    assert stack.deploy(web).report["outcome"] == "repaired"
    assert stack.visit() == (200, "1")


def test_a_scaled_service_says_so(stack: Simulation) -> None:
    assert stack.deploy(stack.release({"web": stack.service(scale=1)})).code == 0
    assert said(stack.plan(stack.release({"web": stack.service(scale=2)})))["web"] == "scaled: scale"


def test_stopping_all_before_one_starts_is_an_interruption(stack: Simulation) -> None:
    update = {"order": "stop-first", "parallelism": 0}
    assert stack.deploy(stack.web("1", replicas=2, update=update)).code == 0
    plan = stack.plan(stack.web("2", replicas=2, update=update))
    assert [(each["action"], each["interrupts"]) for each in plan["changes"]] == [("rolled", True)]


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("stopped", [1, 3])
def test_a_repair_is_no_defect(stack: Simulation, version: str, stopped: int) -> None:
    assert stack.deploy(stack.web("1", replicas=3)).code == 0
    for each in stack.containers("web")[:stopped]:
        stack.host.engine.handle("POST", f"/containers/{each.id}/stop?t=1")
    stack.later(2)
    ended = stack.deploy(stack.web(version, replicas=3))
    assert (ended.code, ended.report["warnings"]) == (0, [])


def test_what_is_kept_for_a_rollback_is_no_drift(stack: Simulation) -> None:
    for version in ("1", "2"):
        assert stack.deploy(stack.web(version, keep=300)).code == 0
    assert said(stack.plan(stack.web("3", keep=300))) == {"web": "rolled: environment VERSION"}


def test_a_record_of_the_live_release_that_lacks_its_parts_fails_nothing(stack: Simulation) -> None:
    assert stack.deploy(stack.shop()).code == 0
    [record] = (stack.host.home / "stacks" / stack.stack / "releases").glob("*/release.json")
    content = json.loads(record.read_text())
    del content["images"], content["services"]
    record.write_text(json.dumps(content))
    assert stack.deploy(stack.shop(api="2")).code == 0


def test_a_strategy_that_a_volume_without_a_name_ends_is_warned_of_with_the_way_out(stack: Simulation) -> None:
    def release(version: str) -> dict[str, Any]:
        mount = {"type": "volume", "target": "/tmp"}  # as the VOLUME of an image
        web = stack.service(environment={"VERSION": version}, volumes=[mount])
        routed = {"strategy": "blue-green", "routes": [{"host": "", "path": "/", "strip": False}]}
        return stack.release({"web": web}, {"web": routed})

    assert stack.deploy(release("1")).report["warnings"] == []
    wanted = release("2")
    [change] = stack.plan(wanted)["changes"]
    said = change["because"][-1]
    assert (change["action"], change["interrupts"]) == ("recreated", True)
    assert said.startswith("in place, not blue-green, for the volume without a name at /tmp: ")
    assert "`tmpfs: [/tmp]`" in said
    assert stack.deploy(wanted).report["warnings"] == [f"web: replaced {said}"]


@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
def test_a_record_knows_of_volumes_without_a_name(stack: Simulation, strategy: str) -> None:
    """As the VOLUME of an image, which no Compose file shows."""

    def release(version: str) -> dict[str, Any]:
        whole = stack.web(version, strategy=strategy)
        whole["compose"]["services"]["web"]["volumes"] = [{"type": "volume", "target": "/tmp"}]
        return stack.release(whole["compose"]["services"], whole["services"])

    record = checked("record", _record(stack, release("1")))
    assert said(stack.plan(release("2")))["web"].startswith("recreated")
    assert _unlike_record(stack, release("2"), record) == []


def test_a_record_knows_who_finds_another_by_the_name_of_its_generation(stack: Simulation) -> None:
    def release(version: str, *, follows: bool) -> dict[str, Any]:
        needs = {"api": {"condition": "service_started", "restart": follows}}
        services = {"api": stack.service(environment={"VERSION": version}), "web": stack.service(depends_on=needs)}
        rolls = {"strategy": "rolling", "update": {"order": "start-first"}}
        return stack.release(services, {"api": rolls, "web": rolls})

    _record(stack, release("1", follows=True))
    record = checked("record", _record(stack, release("2", follows=True)))
    assert list(said(stack.plan(release("2", follows=False)))) == ["web"]
    assert _unlike_record(stack, release("2", follows=False), record) == []
