"""A restricted stack: its Compose file may be a stranger's, and reaches nothing but its own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from samples import application, problems_of, whats

RESTRICTED = {"restricted": True, "domain": "pr-1.example.com"}


def compose(service: dict[str, Any], **top: Any) -> str:
    return json.dumps({"services": {"web": {"image": "x", "restart": "always", **service}}, **top})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with an application in it, and what is none of its business beside."""
    subprocess.run(["git", "init", "-q", tmp_path / "repo"], check=True)
    (tmp_path / "repo" / "app").mkdir()
    (tmp_path / "repo" / "inside.env").write_text("A=1")
    (tmp_path / "repo" / "Dockerfile").write_text("FROM x")
    (tmp_path / "outside.env").write_text("TOKEN=of-the-runner")
    (tmp_path / "outside.yaml").write_text("services: {}")
    (tmp_path / "repo" / "app" / "link.env").symlink_to(tmp_path / "outside.env")
    return tmp_path / "repo" / "app"


REACHES = [
    ({"privileged": True}, "privileged"),
    ({"network_mode": "host"}, "network_mode: host"),
    ({"network_mode": "container:other"}, "network_mode: container:other"),
    ({"pid": "host"}, "pid"),
    ({"ipc": "host"}, "ipc"),
    ({"uts": "host"}, "uts"),
    ({"userns_mode": "host"}, "userns_mode"),
    ({"cgroup": "host"}, "cgroup"),
    ({"cgroup_parent": "/"}, "cgroup_parent"),
    ({"runtime": "other"}, "runtime"),
    ({"devices": ["/dev/sda:/dev/sda"]}, "devices"),
    ({"device_cgroup_rules": ["a *:* rwm"]}, "device_cgroup_rules"),
    ({"group_add": ["docker"]}, "group_add"),
    ({"cap_add": ["SYS_ADMIN"]}, "cap_add: SYS_ADMIN"),
    ({"cap_add": ["ALL"]}, "cap_add: ALL"),
    ({"cap_add": ["cap_net_admin"]}, "cap_add: cap_net_admin"),
    ({"security_opt": ["seccomp:unconfined"]}, "security_opt: seccomp:unconfined"),
    ({"security_opt": ["apparmor=unconfined"]}, "security_opt: apparmor=unconfined"),
    ({"sysctls": {"kernel.msgmax": "1"}}, "sysctls: kernel.msgmax"),
    ({"volumes": ["/var/run/docker.sock:/s"]}, "volumes: /var/run/docker.sock"),
    ({"volumes": ["/:/host:ro"]}, "volumes: /"),
    ({"volumes": [{"type": "bind", "source": "/etc", "target": "/e", "read_only": True}]}, "volumes: /etc"),
    ({"volumes": ["./a:/a", "./a/b:/b"]}, "volumes: a/b"),
    ({"volumes": ["../a:/a"]}, "volumes: _/a"),
    ({"volumes_from": ["container:other"]}, "volumes_from"),
    ({"external_links": ["other"]}, "external_links"),
    ({"oom_score_adj": -1000}, "oom_score_adj"),
    ({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}}, "deploy.resources"),
    ({"logging": {"driver": "syslog", "options": {"syslog-address": "tcp://x:1"}}}, "logging.driver: syslog"),
    ({"build": {"context": "/"}}, "build.context: /"),
    ({"build": {"context": "../../"}}, "build.context: "),
    ({"build": {"context": ".", "dockerfile": "../../outside.env"}}, "build.dockerfile: ../../outside.env"),
    ({"build": {"context": "link/../../../x"}}, "build.context: "),
    ({"build": {"context": "service:web/../../x"}}, "build.context: "),
    ({"build": {"context": "https://example.com/x.git"}}, "build.context: https://example.com/x.git"),
    ({"build": {"context": "..", "additional_contexts": {"a": "/root"}}}, "build.a: /root"),
    ({"build": {"context": "..", "network": "host"}}, "build.network"),
    ({"build": {"context": "..", "privileged": True}}, "build.privileged"),
    ({"build": {"context": "..", "ssh": ["default"]}}, "build.ssh"),
    ({"build": {"context": "..", "cache_to": ["type=local,dest=/x"]}}, "build.cache_to"),
]


@pytest.mark.parametrize(("service", "what"), REACHES, ids=[what for _, what in REACHES])
def test_what_reaches_beyond_its_containers_is_refused(folder: Path, service: dict[str, Any], what: str) -> None:
    found = problems_of(folder, compose(service), **RESTRICTED)
    mine = [each for each in found if "restricted" in each.meaning]
    assert any(each.what.startswith(f"services.web.{what}") for each in mine), whats(found)
    assert "pulumi config rm restricted" in mine[0].fix


@pytest.mark.parametrize(
    ("kind", "entry", "what"),
    [
        ("volumes", {"external": True}, "external"),
        ("volumes", {"name": "shop-production_data"}, "name: shop-production_data"),
        ("volumes", {"driver": "other/driver"}, "driver: other/driver"),
        ("volumes", {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}, "driver_opts"),
        ("volumes", {"driver_opts": {"type": "none", "o": "bind", "device": "./a/b"}}, "driver_opts"),
        ("volumes", {"labels": {"com.docker.compose.project": "shop-production"}}, "labels"),
        ("volumes", {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}}, "driver_opts"),
        ("networks", {"external": True}, "external"),
        ("networks", {"name": "shop-production_default"}, "name: shop-production_default"),
        ("networks", {"driver": "macvlan"}, "driver: macvlan"),
        ("networks", {"driver_opts": {"com.docker.network.bridge.name": "docker0"}}, "driver_opts"),
        ("networks", {"ipam": {"config": [{"subnet": "169.254.169.0/24"}]}}, "ipam"),
    ],
)
def test_what_reaches_beyond_the_stack_is_refused(folder: Path, kind: str, entry: dict[str, Any], what: str) -> None:
    use = ["data:/data"] if kind == "volumes" else ["data"]
    found = problems_of(folder, compose({kind: use}, **{kind: {"data": entry}}), **RESTRICTED)
    assert any(each.what.startswith(f"{kind}.data.{what}") for each in found), whats(found)


@pytest.mark.parametrize(
    "extension",
    [
        {"route": "shop.example.com"},
        {"route": "example.com/x"},
        {"route": "evilpr-1.example.com"},
        {"route": "/", "preview": "next.example.com"},
        {"route": "/", "redirect": {"from": "www.example.com", "to": "https://pr-1.example.com"}},
    ],
)
def test_another_name_of_the_edge_is_refused(folder: Path, extension: dict[str, Any]) -> None:
    found = problems_of(folder, compose({"x-slipway": {"port": 80, **extension}}), **RESTRICTED)
    assert any("is not below the stack's domain" in each.what for each in found), whats(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {web: {image: x, env_file: ../../outside.env}}", "env_file: ../../outside.env"),
        ("services: {web: {image: x, env_file: [{path: link.env, required: false}]}}", "env_file: link.env"),
        ("services: {web: {image: x, env_file: /proc/self/environ}}", "env_file: /proc/self/environ"),
        ("services: {web: {image: x, env_file: '${HOME}/x'}}", "env_file: ${HOME}/x"),
        ("services: {web: {image: x, env_file: ~/x}}", "env_file: ~/x"),
        ("x-a: &a {env_file: ../../outside.env}\nservices: {web: {<<: *a, image: x}}", "env_file: ../../outside.env"),
        ("services: {web: {image: x, label_file: ../../outside.env}}", "label_file: ../../outside.env"),
        ("include: [../../outside.yaml]\nservices: {web: {image: x}}", "include: ../../outside.yaml"),
        ("include: [{path: a.yaml, env_file: ../../outside.env}]\nservices: {}", "include: ../../outside.env"),
        ("include: [{path: a.yaml, project_directory: ..}]\nservices: {}", "project_directory: ~"),
        ("include: ['https://example.com/x.git']\nservices: {}", "include: https://example.com/x.git"),
        ("include: [deep.yaml]\nservices: {}", "env_file: ../../outside.env"),
        ("services: {web: {extends: {file: ../../outside.yaml, service: x}}}", "extends: ../../outside.yaml"),
        # the path is cleaned before the link is followed, and the other way round
        ("include: [up/../../outside.yaml]\nservices: {}", "include: up/../../outside.yaml"),
        ("include: [{path: [../a.yaml, deeper/b/c.yaml]}]\nservices: {}", "env_file: ../outside.env"),
        ("include: [linked/c.yaml]\nservices: {}", "linked/.env is outside of the repository"),
        ("include: [deep/../../../outside.yaml]\nservices: {}", "include: deep/../../../outside.yaml"),
        ("include: [github.com/a/b]\nservices: {}", "include: github.com/a/b"),
        ("include: ['git@example.com:a/b']\nservices: {}", "include: git@example.com:a/b"),
        ("include: [a.git]\nservices: {}", "include: a.git"),
        # what Compose reads and a reader of YAML may not
        ("services: {web: {image: x}}\n---\nservices: {web: {env_file: ../../outside.env}}", "as a YAML document"),
        ("a: &a 1\nb: &a 2\nservices: {web: {image: x, env_file: ../../outside.env}}", "as a YAML document"),
        ('{"services": {"web": {"image": "x",\t"env_file": "../../outside.env"}}}', "as a YAML document"),
        ("services: {web: {image: x, !!binary ZW52X2ZpbGU=: ../../outside.env}}", "is outside of the repository"),
        ("services: {web: {image: x, env_file: !!binary Li4vLi4vb3V0c2lkZS5lbnY=}}", "is outside of the repository"),
        ("\ufeffservices: {web: {image: x, env_file: ../../outside.env}}", "../../outside.env"),
    ],
)
def test_no_file_of_the_deploying_machine_is_read(folder: Path, text: str, said: str) -> None:
    (folder / "up").symlink_to(folder.parent)
    (folder / "deeper" / "b").mkdir(parents=True)
    (folder / "deeper" / "b" / "c.yaml").write_text("services: {c: {image: y, env_file: ../outside.env}}")
    (folder / "linked").mkdir()
    (folder / "linked" / "c.yaml").write_text("services: {c: {image: y}}")
    (folder / "linked" / ".env").symlink_to(folder.parents[1] / "outside.env")
    (folder / "deep").symlink_to(folder)
    (folder / "deep.yaml").write_text("services: {other: {image: y, env_file: ../../outside.env}}")
    found = problems_of(folder, text, **RESTRICTED)
    assert any(said in each.what for each in found), whats(found)
    assert "of-the-runner" not in str(found)


@pytest.mark.parametrize("file", ["/var/run/docker.sock", "/", "~/.ssh/id_rsa", "../../outside.env", "link.env"])
def test_a_config_is_no_way_to_a_file_of_the_host(folder: Path, file: str) -> None:
    text = compose({"configs": [{"source": "c", "target": "/c"}]}, configs={"c": {"file": file}})
    assert problems_of(folder, text, **RESTRICTED)


def test_a_service_that_does_not_run_builds_nothing_from_outside(folder: Path) -> None:
    other = {"image": "x", "profiles": ["never"], "build": {"context": "../..", "ssh": ["default"]}}
    found = problems_of(folder, json.dumps({"services": {"web": {"image": "x"}, "other": other}}), **RESTRICTED)
    assert [each.what.partition(" ")[0] for each in found if "restricted" in each.meaning] == [
        "services.other.build.ssh", "services.other.build.context:", "services.other.build.dockerfile:",
    ]  # fmt: skip


def test_what_stays_within_its_own_deploys(folder: Path) -> None:
    service = {
        "build": {"context": "..", "additional_contexts": {"base": "docker-image://alpine:3"}},
        "cap_add": ["NET_BIND_SERVICE"], "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
        "volumes": ["data:/data", "./site:/site:ro", "./uploads:/up"], "env_file": "../inside.env",
        "ports": ["127.0.0.1:8080:80"], "container_name": "shop-production-web-1",
        "labels": {"traefik.http.routers.x.rule": "Host(`shop.example.com`)"},
        "sysctls": {"net.core.somaxconn": 1024}, "ulimits": {"nofile": 1024}, "networks": ["back"],
        "x-slipway": {"route": ["/", "api.pr-1.example.com"], "port": 80},
    }  # fmt: skip
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("x")
    text = compose(service, volumes={"data": {}}, networks={"back": {"internal": True}})
    found = application(folder, text, **RESTRICTED)
    web = found.document["services"]["web"]
    assert "ports" not in web
    assert web["expose"] == ["80"]
    assert not web.keys() & {"labels", "container_name"}
    assert any("ports are not published" in each for each in whats(found.warnings))
    assert "ports" in application(folder, text, domain="pr-1.example.com").document["services"]["web"]


def test_it_pushes_to_its_own_repository_whatever_its_image_is_called(folder: Path) -> None:
    text = compose({"build": "..", "image": "registry.test/team/production:latest"})
    given = {"name": "shop", "registry": "registry.test/team"}
    assert application(folder, text, **RESTRICTED, **given).builds["web"].repository == "registry.test/team/shop-web"
    assert application(folder, text, **given).builds["web"].repository == "registry.test/team/production"


def test_every_route_asks_for_the_stacks_password_whatever_the_file_says(folder: Path) -> None:
    names = {"none": {}, "own": {"basicAuth": "OWN"}}
    services = {
        name: {"image": "x", "x-slipway": {"route": f"/{name}", "port": 80, **block}} for name, block in names.items()
    }
    secrets = {"GATE": "u:$2y$05$abc", "OWN": "o:$2y$05$abc"}
    text = json.dumps({"services": {**services, "inner": {"image": "x"}}})
    found = application(folder, text, domain="example.com", basic_auth="GATE", secrets=secrets)
    asked = {name: entry["middlewares"]["basic_auth"] for name, entry in found.entries.items()}
    assert asked == {"none": "GATE", "own": "GATE", "inner": None}
    assert found.secrets == ("GATE",)
    problems = problems_of(folder, text, domain="example.com", basic_auth="GATE", secrets={"OWN": secrets["OWN"]})
    assert {each.subject for each in problems} == {"GATE"}
