"""Proxies inside of the application that resolve a service's name once, and so lose it when it rolls.

Read are the configuration files that a service mounts, the ones its build copies, and its `configs`, as those of the
program that its image or Dockerfile names: to any other, the same words mean something else. What resolves a name at
each request (Caddy, Traefik, nginx with `resolver` and a variable) is fine.
"""

from __future__ import annotations

import base64
import json
import os
import re
from fnmatch import fnmatch
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.compose.equal_secrets import names_on_networks
from slipway.contract.compose_tree import following, shipped_file
from slipway.contract.strategies import RECREATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.compose.builds import Build
    from slipway.x_slipway.findings import Findings

__all__ = ["check_proxies"]

_LARGEST = 200_000  # bytes of a file that a person wrote
_NAME = r"([A-Za-z0-9_.-]+)"
_TARGETS = {
    # https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server: `resolve` watches the name
    "nginx": (
        re.compile(rf"\b(?:proxy|fastcgi|uwsgi|scgi|grpc|memcached)_pass\s+(?:[a-z]+://)?{_NAME}(?=[:/;\s])"),
        re.compile(rf"\bserver\s+{_NAME}(?::\d+)?(?=[\s;])(?![^;{{]*\bresolve\b)[^;{{]*;"),
    ),
    # https://docs.haproxy.org/3.0/configuration.html#5.3: without `resolvers`, a name is resolved at the start
    "haproxy": (re.compile(rf"^\s*server\s+\S+\s+{_NAME}:\d+(?!.*\bresolvers\b)", re.MULTILINE),),
    # `STATIC` is the default of a cluster's type
    "envoy": (re.compile(rf"socket_address:\s*\{{?\s*address:\s*[\"']?{_NAME}"),),
    # https://httpd.apache.org/docs/2.4/mod/mod_proxy.html: a worker's address is cached for its life
    "apache": (re.compile(rf"^\s*(?:ProxyPass|BalancerMember)\s.*?\b(?:https?|ajp|fcgi)://{_NAME}", re.MULTILINE),),
    "varnish": (re.compile(rf"\.host\s*=\s*\"{_NAME}\""),),
}
_PROGRAMS = {
    "nginx": ("nginx", "openresty", "angie"),
    "haproxy": ("haproxy",),
    "envoy": ("envoy",),
    "apache": ("httpd", "apache"),
    "varnish": ("varnish",),
}
_DYNAMIC = {
    "haproxy": re.compile(r"^\s*default-server\b.*\bresolvers\b", re.MULTILINE),
    "envoy": re.compile(r"type:\s*[\"']?(?:STRICT_DNS|LOGICAL_DNS)"),
    "apache": re.compile(r"(?:disablereuse=on|enablereuse=off|addressttl=)", re.IGNORECASE),
}
_COMMENT = re.compile(r"(?m)^\s*(?:#|//).*$")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_COPY = re.compile(r"(?im)^\s*(?:COPY|ADD)\s+((?:--\S+\s+)*)(.+)$")
_FILES = {
    "nginx": ("*.conf*", "*.template", "nginx*", "default"),
    "haproxy": ("*.cfg*",),
    "envoy": ("*envoy*",),
    "apache": ("*.conf*",),
    "varnish": ("*.vcl*",),
}
_NOT_OURS = {"node_modules", ".git", ".venv"}


def check_proxies(
    services: Mapping[str, Mapping[str, Any]],
    entries: Mapping[str, Mapping[str, Any]],
    *,
    builds: Mapping[str, Build],
    images: Mapping[str, str],
    shipped: Mapping[str, Mapping[str, Any]],
    configs: Mapping[str, Mapping[str, Any]],
    found: Findings,
) -> None:
    """Warn of a service that rolls behind a proxy that would go on asking its old containers."""
    rolling = {
        alias: name
        for name, service in services.items()
        if entries[name]["strategy"] != RECREATE
        for alias in names_on_networks({name: service})
    }
    for front, service in services.items() if rolling else ():
        named: dict[str, str] = {}
        build = builds.get(front)
        recipe = build.recipe if build else ""
        kinds = _kinds(recipe or images.get(front, ""))
        copied = _copied(Path(build.context), recipe, kinds) if build else ()
        for place, text in (*_texts(service, shipped, configs), *copied) if kinds else ():
            for name in _kept_names(text, kinds, service, build):
                named.setdefault(rolling.get(name, front), place)
        for name in sorted(set(named) - {front}):
            if ((service.get("depends_on") or {}).get(name) or {}).get("restart"):
                continue
            found.warn(
                f"services.{front} passes requests on to {name} at the address that {name} had when {front} started "
                f"({named[name]}), and {name} is {entries[name]['strategy']}",
                f"after a release of {name} they would go to a container that is gone, or to another service",
                f"write `{following([name])}` in services.{front}, so that it follows, or have it resolve the name at "
                "each request",
            )


def _kinds(text: str) -> list[str]:
    """The proxies that an image's name or a Dockerfile names."""
    return [kind for kind, programs in _PROGRAMS.items() if any(each in text.lower() for each in programs)]


def _kept_names(text: str, kinds: Sequence[str], service: Mapping[str, Any], build: Build | None) -> Iterator[str]:
    """The names that a proxy's configuration has it resolve once."""
    values = {name: value for name, value in (service.get("environment") or {}).items() if isinstance(value, str)}
    values |= dict(build.args) if build else {}
    text = _VARIABLE.sub(lambda match: values.get(match[1], match[0]), _COMMENT.sub("", text))
    for kind in kinds:
        if kind in _DYNAMIC and _DYNAMIC[kind].search(text):
            continue
        for pattern in _TARGETS[kind]:
            yield from pattern.findall(text)


def _texts(
    service: Mapping[str, Any],
    shipped: Mapping[str, Mapping[str, Any]],
    configs: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str]]:
    """Every configuration that the service mounts: where it stands, and its text."""
    for mount in service.get("volumes") or ():
        address = shipped_file(mount.get("source"))
        if address and (entry := shipped.get(address.sha)):
            content = base64.b64decode(entry["content"])
            files = json.loads(content) if entry.get("folder") else [{"path": "", "content": entry["content"]}]
            for file in files:
                shown = "/".join(filter(None, (str(mount["target"]), file["path"])))
                yield shown, base64.b64decode(file["content"]).decode("utf-8", "replace")
    for config in service.get("configs") or ():
        yield f"configs.{config['source']}", str(configs.get(config["source"], {}).get("content") or "")


def _copied(context: Path, recipe: str, kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the Dockerfile of a proxy holds and copies."""
    yield "its Dockerfile", recipe
    names = [name for kind in kinds for name in _FILES[kind]]
    for source in _sources(recipe):
        found = [source] if (context / source).exists() else sorted(glob(source, root_dir=context))  # noqa: PTH207 - it takes all
        paths = [context / each for each in found]
        for path in paths:
            for file in _walk(path, names) if path.is_dir() else [path]:
                yield str(file.relative_to(context)), _read(file)


def _sources(recipe: str) -> Iterator[str]:
    """The paths that a Dockerfile copies out of its context."""
    for flags, rest in _COPY.findall(recipe.replace("\\\n", " ")):
        words = re.sub(r'[\[\]",]', " ", rest).split()
        for source in words[:-1] if "--from" not in flags else ():
            parts = [part for part in source.split("/") if part not in ("", ".")]
            if ".." not in parts and ":" not in source:
                yield "/".join(parts) or "."


def _walk(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - _NOT_OURS)
        yield from (Path(path, file) for file in sorted(files) if any(fnmatch(file, name) for name in names))


def _read(path: Path) -> str:
    """A text; empty where there is none, or it is too long to be a configuration."""
    try:
        return path.read_text("utf-8", "replace") if path.stat().st_size <= _LARGEST else ""
    except OSError:
        return ""
