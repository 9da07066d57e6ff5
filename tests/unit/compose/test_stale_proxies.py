"""A proxy that would go on asking the containers of an earlier release is warned of, with the cure; others are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from samples import application

if TYPE_CHECKING:
    from pathlib import Path

STALE = {
    "nginx": "server { listen 80; location / { proxy_pass http://api:8000; } }",
    "nginx with a path": "location /api/ { proxy_pass http://api:8000/v1/; }",
    "nginx without a port": "location / { proxy_pass http://api; }",
    "nginx upstream": "upstream a { least_conn; server api:8000 max_fails=3; keepalive 8; }",
    "nginx beside a dynamic one": "location /a { proxy_pass http://api:80; } location /b { proxy_pass $there; }",
    "fastcgi": "location ~ [.]php$ { fastcgi_pass api:9000; }",
    "uwsgi": "location / { uwsgi_pass uwsgi://api:3031; }",
    "grpc": "location / { grpc_pass grpc://api:50051; }",
    "nginx stream": "stream { server { listen 5; proxy_pass api:5; } }",
    "haproxy": "backend b\n  server one api:8000 check\n",
    "envoy": "clusters:\n- type: STATIC\n  endpoint: {address: {socket_address: {address: api, port_value: 80}}}\n",
    "apache": "ProxyPass /api http://api:8000/\n",
    "apache balancer": "<Proxy balancer://b>\n  BalancerMember http://api:8000\n</Proxy>\n",
    "varnish": 'backend default { .host = "api"; .port = "80"; }',
    "by its alias": "location / { proxy_pass http://backend:8000; }",
    "by a variable": "location / { proxy_pass http://${UPSTREAM}:8000; }",
}
FINE = {
    "nginx with a variable": "resolver 127.0.0.11; location / { set $to http://api:8000; proxy_pass $to; }",
    "nginx that watches": "resolver 127.0.0.11; upstream a { zone a 64k; server api:8000 resolve; }",
    "nginx comment": "# proxy_pass http://api:8000;\nserver { listen 80; }",
    "nginx elsewhere": "location / { proxy_pass http://api.example.com; }",
    "words of another program": 'redis.host = "api"',
    "another service": "location / { proxy_pass http://db:8000; }",
    "itself": "location / { proxy_pass http://front:8000; }",
    "haproxy with resolvers": "backend b\n  server one api:8000 check resolvers docker\n",
    "haproxy by default": "defaults\n  default-server resolvers docker\nbackend b\n  server one api:8000\n",
    "envoy by name": "clusters:\n- type: STRICT_DNS\n  endpoint: {socket_address: {address: api, port_value: 80}}\n",
    "apache without reuse": "ProxyPass /api http://api:8000/ disablereuse=on\n",
    "caddy": ":80 {\n  reverse_proxy api:8000\n}\n",
}


IMAGES = {
    "haproxy": "haproxytech/haproxy-alpine",
    "envoy": "envoyproxy/envoy",
    "apache": "httpd",
    "varnish": "varnish",
    "caddy": "caddy",
}


def program_of(kind: str) -> str:
    """An image of the proxy that a case is named after; nginx for all others."""
    return IMAGES.get(kind.partition(" ")[0], "nginxinc/nginx-unprivileged")


def warned(
    folder: Path, text: str, *, program: str = "nginx", api: Any = None, place: str = "file", **front: Any
) -> list[str]:
    """What is said of a front that has this configuration, and of nothing else."""
    (folder / "front").mkdir(exist_ok=True)
    (folder / "front" / "site.conf").write_text(text)
    mount = {"type": "bind", "source": "./front/site.conf", "target": "/etc/site.conf", "read_only": True}
    own: dict[str, Any] = {"image": f"{program}:1", "environment": {"UPSTREAM": "api"}, **front}
    top: dict[str, Any] = {}
    if place == "file":
        own["volumes"] = [mount]
    elif place == "folder":
        own["volumes"] = [{**mount, "source": "./front", "target": "/etc/conf.d"}]
    elif place == "config":
        own["configs"], top = ["site"], {"configs": {"site": {"content": text.replace("$", "$$")}}}
    else:
        (folder / "front" / "Dockerfile").write_text(f"FROM nginx\n{place}\n")
        own["build"] = "./front"
        del own["image"]
    rolling = {"deploy": {"update_config": {"order": "start-first"}}} if api is None else api
    aliases = {"networks": {"default": {"aliases": ["backend"]}}}
    services = {"api": {"image": "api", **aliases, **rolling}, "db": {"image": "db"}, "front": own}
    found = application(folder, json.dumps({"services": services, **top}))
    return [f"{each.what} — {each.fix}" for each in found.warnings if "passes requests on" in each.what]


@pytest.mark.parametrize("kind", STALE)
def test_a_proxy_that_resolves_once_is_warned_of(tmp_path: Path, kind: str) -> None:
    [said] = warned(tmp_path, STALE[kind], program=program_of(kind))
    assert "services.front passes requests on to api at the address that api had" in said
    assert "write `depends_on: {api: {condition: service_started, restart: true}}` in services.front" in said


@pytest.mark.parametrize("kind", FINE)
def test_what_resolves_at_each_request_or_names_no_such_service_is_not(tmp_path: Path, kind: str) -> None:
    assert warned(tmp_path, FINE[kind], program=program_of(kind)) == []


@pytest.mark.parametrize("place", ["file", "folder", "config"])
@pytest.mark.parametrize("kind", STALE)
def test_words_of_a_proxy_in_the_configuration_of_another_program_mean_nothing(
    tmp_path: Path, kind: str, place: str
) -> None:
    assert warned(tmp_path, STALE[kind], program="ghcr.io/acme/worker", place=place) == []


def test_a_mounted_file_is_read_as_the_dockerfiles_program(tmp_path: Path) -> None:
    (tmp_path / "front").mkdir()
    (tmp_path / "front" / "Dockerfile").write_text("FROM haproxy:3.0\n")
    mount = {"type": "bind", "source": "./front/site.conf", "target": "/etc/site.conf", "read_only": True}
    [said] = warned(tmp_path, STALE["haproxy"], build="./front", volumes=[mount])
    assert "(/etc/site.conf)" in said


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("folder", "/etc/conf.d/site.conf"),
        ("config", "configs.site"),
        ("COPY site.conf /etc/nginx/conf.d/", "site.conf"),
        ("COPY --chown=1 . /etc/nginx/conf.d/", "site.conf"),
        ('COPY ["site.conf", "/etc/nginx/"]', "site.conf"),
        ("COPY *.conf /etc/nginx/", "site.conf"),
        ("COPY missing.conf \\\n  ./site.conf /etc/nginx/", "site.conf"),
        ("RUN echo 'proxy_pass http://api:8000;' > /etc/nginx/a.conf", "its Dockerfile"),
    ],
)
def test_wherever_its_configuration_comes_from(tmp_path: Path, place: str, named: str) -> None:
    [said] = warned(tmp_path, STALE["nginx"], place=place)
    assert f"({named})" in said


@pytest.mark.parametrize(
    "copies", ["COPY --from=build /site.conf /etc/", "COPY ../front/site.conf /etc/", "COPY <<EOF /x"]
)
def test_what_its_build_does_not_copy_out_of_its_context_is_not_read(tmp_path: Path, copies: str) -> None:
    assert warned(tmp_path, STALE["nginx"], place=copies) == []


@pytest.mark.parametrize(
    ("api", "strategy"),
    [
        ({"x-slipway": {"route": "/", "port": 80}}, "rolling"),
        ({"x-slipway": {"route": "/", "port": 80, "strategy": "blue-green"}}, "blue-green"),
        ({"x-slipway": {"route": "/", "port": 80, "strategy": "canary"}}, "canary"),
    ],
)
def test_however_the_service_behind_it_rolls(tmp_path: Path, api: dict[str, Any], strategy: str) -> None:
    [said] = warned(tmp_path, STALE["nginx"], api=api)
    assert f"api is {strategy}" in said


def test_a_service_that_is_recreated_keeps_its_address(tmp_path: Path) -> None:
    assert warned(tmp_path, STALE["nginx"], api={}) == []


def test_the_cure_silences_it(tmp_path: Path) -> None:
    follows = {"api": {"condition": "service_started", "restart": True}}
    assert warned(tmp_path, STALE["nginx"], depends_on=follows) == []
