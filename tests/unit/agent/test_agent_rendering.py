"""The Compose file that Compose gets: values and paths in place, and a hash that changes when, and only when, it
must.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import yaml
from documents import IMAGE, release

from slipway.agent.docker.facts import CONFIG_LABEL, JOB_LABEL, RELEASE_LABEL, STACK_LABEL
from slipway.agent.docker.health import Haste, image_check, quicken, seconds
from slipway.agent.docker.pull import without_tag
from slipway.agent.docker.yaml_file import to_yaml
from slipway.agent.release.rendering import Rendered, render
from slipway.agent.state.stack_dir import StackFolder
from slipway.contract.deployment import Release
from slipway.contract.problems import SlipwayError

NASTY = [
    "plain",
    "$",
    "$$HOME ${PATH}",
    "quote\" ' back\\slash",
    "line\nbreak\r\n\ttab",
    "ünï ☃ 🚀",
    "\x7f\x85\u2028",
    "a: b # c",
    "",
]


def rendered(value: str = "x", *, base: dict[str, Any] | None = None) -> Rendered:
    made = Release.from_json(base or release())
    return render(made, ["api"], {"TOKEN": value}, key=b"key", folder=StackFolder("shop"))


def with_service(**more: Any) -> dict[str, Any]:
    return release(**more)


@pytest.mark.parametrize("value", NASTY)
def test_secret_reaches_compose_exactly_as_it_is(value: str) -> None:
    read = yaml.safe_load(to_yaml(rendered(value).compose))
    environment = read["services"]["api"]["environment"]
    # Compose turns $$ into $ when it reads the file.
    assert environment == {"TOKEN": value.replace("$", "$$"), "PRICE": "$$5"}


def test_secret_that_the_stack_lacks_is_named() -> None:
    with pytest.raises(SlipwayError, match=r"needs the secret OTHER, .*--path 'secrets\.OTHER'"):
        rendered(base=release(command=["echo", "$${NO} ${TOKEN}${OTHER}"]))


def test_doubled_dollar_before_a_brace_is_no_placeholder() -> None:
    base = release(command=["echo", "$${TOKEN}", "${TOKEN}"])
    assert rendered("v", base=base).compose["services"]["api"]["command"] == ["echo", "$${TOKEN}", "v"]


def test_labels_name_stack_configuration_and_release() -> None:
    labels = rendered().compose["services"]["api"]["labels"]
    assert labels[STACK_LABEL] == "shop"
    assert labels[RELEASE_LABEL] == release()["id"]
    assert labels[CONFIG_LABEL] == rendered().services["api"].config


def config(base: dict[str, Any] | None = None, value: str = "x") -> str:
    return rendered(value, base=base).services["api"].config


UNCHANGED: dict[str, dict[str, Any]] = {
    "dependency order": {"depends_on": {}},
    "replicas": {"deploy": {"replicas": 3}},
    "profiles": {"profiles": ["x"]},
    "commit tag of the same digest": {"image": IMAGE.replace(":abc@", ":def@")},
    "extension": {"x-slipway": {"port": 1}},
}
CHANGED: dict[str, dict[str, Any]] = {
    "image": {"image": IMAGE.replace("a" * 64, "b" * 64)},
    "environment": {"environment": {"TOKEN": "${TOKEN}", "PRICE": "$$6"}},
    "command": {"command": ["x"]},
    "limits": {"deploy": {"resources": {"limits": {"memory": "1"}}}},
    "labels": {"labels": {"a": "b"}},
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_hash_ignores_what_needs_no_new_container(what: str) -> None:
    assert config(with_service(**UNCHANGED[what])) == config()


@pytest.mark.parametrize("what", CHANGED)
def test_hash_sees_what_needs_a_new_container(what: str) -> None:
    assert config(with_service(**CHANGED[what])) != config()


def test_rotated_secret_changes_the_hash_of_its_users() -> None:
    assert config(value="old") != config(value="new")


def test_definition_of_a_used_network_is_part_of_the_hash() -> None:
    other = release()
    other["compose"]["networks"]["default"]["driver_opts"] = {"mtu": "1400"}
    assert config(other) != config()
    other = release()
    other["compose"]["networks"]["unused"] = {}
    assert config(other) == config()


def test_secret_read_from_the_environment_travels_in_it_and_is_hashed() -> None:
    base = release(secrets=[{"source": "token"}])
    base["compose"]["secrets"] = {"token": {"environment": "TOKEN"}}
    one = rendered("one-value", base=base)
    assert one.environment == {"TOKEN": "one-value"}
    assert config(base, "one") != config(base, "two")


def test_only_this_hosts_services_and_what_they_use_remain() -> None:
    base = release(depends_on={"db": {"condition": "service_healthy"}})
    base["compose"]["services"]["db"] = {"image": IMAGE}
    base["compose"]["volumes"] = {"data": {}}
    tree = rendered(base=base).compose
    assert list(tree["services"]) == ["api"]
    assert "depends_on" not in tree["services"]["api"]
    assert tree["volumes"] == {}


def test_files_and_data_become_paths_of_this_host() -> None:
    sha = hashlib.sha256(b"x").hexdigest()
    base = release(volumes=[
        {"type": "bind", "source": f"@files/{sha}/nginx.conf", "target": "/a"},
        {"type": "bind", "source": "@data/uploads/x", "target": "/b"},
    ])  # fmt: skip
    base["files"][sha] = {"mode": 0o644, "content": "eA=="}
    found = rendered(base=base)
    folder = StackFolder("shop")
    sources = [each["source"] for each in found.compose["services"]["api"]["volumes"]]
    assert sources == [folder.file(sha, "nginx.conf"), f"{folder.data}/uploads/x"]
    assert found.files == ((sha, "nginx.conf"),)
    assert found.data == ("uploads/x",)


def test_the_home_of_the_user_who_deploys_is_where_compose_would_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/de$loy")
    sources = ["~/pictures", "~", "/srv/~/x", "~root/x"]
    volumes = [{"type": "bind", "source": source, "target": f"/{number}"} for number, source in enumerate(sources)]
    found = rendered(base=release(volumes=volumes, command=["~/x"]))
    assert [each["source"] for each in found.compose["services"]["api"]["volumes"]] == [
        "/home/de$$loy/pictures", "/home/de$$loy", "/srv/~/x", "~root/x",
    ]  # fmt: skip
    assert found.compose["services"]["api"]["command"] == ["~/x"]
    assert (found.files, found.data) == ((), ())


def test_text_that_only_looks_like_a_path_of_ours_is_left_alone() -> None:
    base = release(command=["@data/x"])
    assert rendered(base=base).compose["services"]["api"]["command"] == ["@data/x"]


@pytest.mark.parametrize(
    ("check", "image", "added", "haste"),
    [
        ({"test": "x", "interval": "10s", "timeout": "5s", "retries": 2}, {}, ("250ms", "10000ms"), ((25, 30), 0)),
        ({"test": "x"}, {}, ("250ms", "30000ms"), ((120, 180), 0)),
        ({"test": "x", "interval": "1s", "timeout": "1s"}, {}, ("250ms", "1000ms"), ((4, 6), 0)),
        # One that is expensive, or takes long to start, is not asked four times a second for long.
        ({"test": "x", "interval": "5m"}, {}, ("2500ms", "300000ms"), ((930, 990), 0)),
        ({"test": "x", "start_period": "1m"}, {}, ("500ms", None), (None, 60)),
        ({"test": "x", "start_period": "5m"}, {}, ("2500ms", None), (None, 300)),
        ({"test": "x", "start_period": "1h"}, {}, ("5000ms", None), (None, 3600)),
        ({"test": "x", "start_period": "1m", "start_interval": "1s"}, {}, None, (None, 60)),
        ({"disable": True}, {}, None, (None, 0)),
        ({"test": ["NONE"]}, {}, None, (None, 0)),
        (None, {}, None, (None, 0)),
        # The image's own, and what the file says of it.
        (None, {"Test": ["CMD", "x"], "Interval": 300 * 10**9}, ("2500ms", "300000ms"), ((930, 990), 0)),
        (None, {"Test": ["CMD", "x"], "StartPeriod": 60 * 10**9}, ("500ms", None), (None, 60)),
        (None, {"Test": ["CMD", "x"], "StartInterval": 10**9}, None, (None, 0)),
        (None, {"Test": ["NONE"]}, None, (None, 0)),
        ({"disable": True}, {"Test": ["CMD", "x"]}, None, (None, 0)),
        ({"interval": "10s", "timeout": None}, {"Test": ["CMD", "x"], "Interval": 300 * 10**9, "Timeout": 5 * 10**9,
                                                "Retries": 2}, ("250ms", "10000ms"), ((25, 30), 0)),
    ],
)  # fmt: skip
def test_first_health_verdict_is_quick_and_costs_no_more_than_120_probes(
    check: dict[str, Any] | None,
    image: dict[str, Any],
    added: tuple[str, str | None] | None,
    haste: tuple[tuple[float, float] | None, float],
) -> None:
    service = {} if check is None else {"healthcheck": dict(check)}
    before = dict(service)
    found = quicken(service, image_check({"Config": {"Healthcheck": image}}), quick=True)
    assert found == Haste(*haste)
    names = {"start_interval": added[0], "start_period": added[1]} if added else {}
    wanted = {name: value for name, value in names.items() if value}
    assert service == ({"healthcheck": {**(check or {}), **wanted}} if added else before)


def test_an_engine_that_cannot_be_quick_is_given_until_its_first_probe() -> None:
    service: dict[str, Any] = {"healthcheck": {"test": "x", "interval": "5m", "timeout": "10s"}}
    assert quicken(service, {}, quick=False) == Haste(None, 310)
    assert service == {"healthcheck": {"test": "x", "interval": "5m", "timeout": "10s"}}


@pytest.mark.parametrize(
    ("own", "once", "label"),
    [
        ({}, False, False),
        ({"restart": "no"}, True, True),
        ({"deploy": {"restart_policy": {"condition": "none"}}}, True, True),
        ({"restart": "no", "healthcheck": {"test": "x"}}, False, True),
        ({"restart": "no", "healthcheck": {"disable": True}}, True, True),
        ({"restart": "no", "healthcheck": {"test": ["NONE"]}}, True, True),
        ({"restart": "no", "ports": [{"target": 80, "published": "80"}]}, False, False),
        ({"restart": "on-failure"}, False, True),
        ({"restart": "on-failure:3"}, False, True),
        ({"restart": "always"}, False, False),
        ({"restart": "no", "deploy": {"restart_policy": {"condition": "any"}}}, False, False),
    ],
)
def test_a_service_whose_file_says_that_it_may_end_is_known(own: dict[str, Any], *, once: bool, label: bool) -> None:
    found = rendered(base=release(**own))
    assert found.services["api"].runs_once is once
    assert (JOB_LABEL in found.compose["services"]["api"]["labels"]) is label


@pytest.mark.parametrize(
    ("text", "value"), [("1m30s", 90.0), ("250ms", 0.25), ("1.5s", 1.5), ("2h", 7200.0), (None, 7.0)]
)
def test_durations(text: str | None, value: float) -> None:
    assert seconds(text, 7.0) == value


def test_tag_is_taken_off_but_a_port_is_not() -> None:
    assert without_tag("h:5000/a/b:tag@sha256:1") == "h:5000/a/b@sha256:1"
    assert without_tag("h:5000/a/b@sha256:1") == "h:5000/a/b@sha256:1"
    assert without_tag("nginx:1@sha256:1") == "nginx@sha256:1"


@pytest.mark.parametrize(
    ("service", "top", "expected"),
    [
        ({}, {}, False),
        ({"secrets": [{"source": "s"}]}, {"secrets": {"s": {"environment": "TOKEN"}}}, True),
        ({"secrets": ["s"]}, {"secrets": {"s": {"environment": "TOKEN"}}}, True),
        ({"configs": [{"source": "c"}]}, {"configs": {"c": {"content": "x"}}}, True),
        ({}, {"configs": {"c": {"content": "x"}}}, False),
        ({"post_start": [{"command": ["x"]}]}, {}, True),
    ],
)
def test_what_only_compose_can_start(service: dict[str, Any], top: dict[str, Any], *, expected: bool) -> None:
    wanted = release()
    wanted["compose"] = {"services": {"api": {"image": IMAGE, **service}}, **top}
    found = render(Release.from_json(wanted), ["api"], {"TOKEN": "x"}, key=b"key", folder=StackFolder("shop"))
    assert found.started_by_compose("api") is expected


def test_no_secret_is_in_anything_but_the_rendered_file() -> None:
    found = rendered("canary-value")
    assert "canary-value" not in json.dumps([found.services["api"]._asdict()], default=str)


def generations(front: dict[str, Any] | None = None, **api: Any) -> Rendered:
    """`front` follows `api`."""
    own = release()
    needs = {"depends_on": {"api": {"condition": "service_started", "restart": True}}}
    services = {"api": {"image": IMAGE, **api}, "front": {"image": IMAGE, **needs, **(front or {})}}
    entries = {name: {**own["services"]["api"], "strategy": "rolling"} for name in services}
    wanted = {**own, "images": dict.fromkeys(services, IMAGE), "services": entries, "secrets": []}
    wanted["compose"] = {"services": services, "networks": {"back": {}}}
    return render(Release.from_json(wanted), list(services), {}, key=b"key", folder=StackFolder("shop"))


@pytest.mark.parametrize(
    ("api", "networks", "names"),
    [
        ({}, {"default": []}, ["api"]),
        ({"networks": ["back"]}, {"back": []}, ["api"]),
        ({"networks": {"back": None}}, {"back": []}, ["api"]),
        ({"networks": {"back": {"aliases": ["server", "front"]}}}, {"back": ["server", "front"]}, ["api", "server"]),
    ],
)
def test_what_others_follow_has_a_name_of_its_generation_on_each_network(
    api: dict[str, Any], networks: dict[str, list[str]], names: list[str]
) -> None:
    """A name that another service has, too, is none that leads to this one alone."""
    found = generations(**api)
    service = found.services["api"]
    assert service.alias.startswith("api.")
    assert list(service.names) == names
    given = {name: each["aliases"] for name, each in found.compose["services"]["api"]["networks"].items()}
    assert given == {name: [*own, service.alias] for name, own in networks.items()}
    assert found.services["front"].alias == ""
    changed = generations(**api, environment={"A": "1"})
    assert changed.services["api"].alias != service.alias
    # It is no part of the configuration, so that nobody is replaced for it.
    assert service.config == generations({"depends_on": ["api"]}, **api).services["api"].config


def test_without_a_network_of_its_own_there_is_no_name_of_a_generation() -> None:
    found = generations(network_mode="host")
    assert found.services["api"].alias == ""
    assert "networks" not in found.compose["services"]["api"]


def test_links_lead_only_those_that_start_to_the_new_generation() -> None:
    found = generations({"external_links": ["db:db"]})
    assert found.linked(["api", "front"], lambda _: []) == found.file
    file = found.linked(["front"], lambda other: [f"{other.alias}:{name}" for name in other.names])
    links = {name: each.get("external_links") for name, each in file.content["services"].items()}
    assert links == {"api": None, "front": ["db:db", f"{found.services['api'].alias}:api"]}
    assert found.compose["services"]["front"]["external_links"] == ["db:db"]
    alone = generations({"network_mode": "host", "links": ["api:backend"]})
    assert alone.compose["services"]["front"]["links"] == ["api:backend"]
    assert alone.linked(["front"], lambda other: [f"{other.alias}:api"]) == alone.file


def test_what_is_linked_by_a_name_of_its_own_is_found_by_it_in_the_new_generation() -> None:
    found = generations({"links": ["api", "api:backend"], "external_links": ["db:db"]})
    front = found.compose["services"]["front"]
    assert "links" not in front
    assert front["external_links"] == ["api:backend", "db:db"]
    file = found.linked(["front"], lambda other: [f"new:{name}" for name in other.names])
    assert file.content["services"]["front"]["external_links"] == ["api:backend", "db:db", "new:api", "new:backend"]
