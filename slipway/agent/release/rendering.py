"""From a release to the Compose file of this host: pure, no file is read or written."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.compose_cli import ComposeFile
from slipway.agent.docker.facts import CONFIG_LABEL, JOB_LABEL, RELEASE_LABEL, STACK_LABEL
from slipway.agent.docker.pull import without_tag
from slipway.agent.strategies.graph import levels
from slipway.agent.strategies.service import Service, Traffic
from slipway.contract.compose_tree import PLACEHOLDER, joined_services, joining, shipped_file, texts, used_definitions
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from slipway.agent.state.stack_dir import StackFolder
    from slipway.contract.deployment import Release

__all__ = ["Rendered", "referenced_paths", "render"]

_PATH_KEYS = ("source", "file", "device")
# What Compose itself leaves out of its hash: changing it must not replace a container.
_NOT_CONFIG = ("depends_on", "profiles", "pull_policy", "scale", "build", "develop")
_NOT_CONFIG_DEPLOY = ("replicas", "update_config", "rollback_config")
_SAID_NEVER = ("no", "none")  # `restart` and `deploy.restart_policy.condition` of a Compose file


class Rendered(NamedTuple):
    """A release made ready for one host; holds secret values."""

    services: dict[str, Service]
    compose: dict[str, Any]
    environment: dict[str, str]
    files: tuple[tuple[str, str], ...]
    data: tuple[str, ...]

    @property
    def file(self) -> ComposeFile:
        return ComposeFile(self.compose, self.environment)

    def started_by_compose(self, service: str) -> bool:
        """Whether Compose has to start it: for its hooks, and for files of which the host has none.

        It copies those before a container's first start (2.40), where older versions did so once it was made (2.26).
        """
        own = self.compose["services"][service]
        used = used_definitions(self.compose, {service: own})
        files = [*used["secrets"].values(), *used["configs"].values()]
        return "post_start" in own or any("environment" in each or "content" in each for each in files)

    def linked(self, services: Collection[str], links: Callable[[Service], Sequence[str]]) -> ComposeFile:
        """The file in which `services` find what they follow by the `links` to it, where there are any."""
        tree = dict(self.compose["services"])
        for name in services:
            followed = [self.services[each] for each in sorted(self.services[name].replaced_with)]
            # Docker takes the last of several links with one name.
            found = [link for each in followed if each.alias for link in links(_as_linked(each, tree[name]))]
            if found and not tree[name].get("network_mode"):
                tree[name] = {**tree[name], "external_links": [*(tree[name].get("external_links") or ()), *found]}
        return self.file._replace(content={**self.compose, "services": tree})


def render(
    release: Release,
    services: Collection[str],
    secrets: Mapping[str, str],
    *,
    key: bytes,
    folder: StackFolder,
) -> Rendered:
    """The Compose file of this host's services with values, paths and labels in place."""
    kept = {name: service for name, service in release.compose["services"].items() if name in services}
    source = {**release.compose, **used_definitions(release.compose, kept), "services": kept}
    tree = _filled(source, secrets, folder)
    environment = _environment(tree, secrets)
    wanted = {}
    conditions = {name: _depends_on(service, kept) for name, service in tree["services"].items()}
    awaited = {
        other for each in conditions.values() for other, (condition, _) in each.items()
        if condition == "service_completed_successfully"
    }  # fmt: skip
    for name in sorted(tree["services"]):
        service, entry, depends = tree["services"][name], release.services[name], conditions[name]
        config = _config_hash(service, tree, environment, release.files, key)
        service.pop("profiles", None)
        service.pop("depends_on", None)
        _link_by_name(service)
        if depends:
            service["depends_on"] = {n: {"condition": how, "required": True} for n, (how, _) in depends.items()}
        labels = {STACK_LABEL: folder.stack, CONFIG_LABEL: config, RELEASE_LABEL: release.id}
        policy, reached = _policy(service), bool(entry.routes or service.get("ports"))
        # Said, not left out: without a word many servers are not restarted either.
        if policy in (*_SAID_NEVER, "on-failure") and not reached:
            labels[JOB_LABEL] = "true"
        _add_labels(service, labels)
        wanted[name] = Service(
            name=name,
            image=release.images[name],
            config=config,
            replicas=_replicas(service),
            strategy=entry.strategy,
            depends_on={other: condition for other, (condition, _) in depends.items()},
            replaced_with=frozenset(other for other, (_, follows) in depends.items() if follows),
            completes=name in awaited,
            traffic=Traffic(
                bool(entry.routes), entry.drain, entry.keep, bool(entry.preview), entry.canary_steps, entry.update
            ),
            runs_once=policy in _SAID_NEVER and not (reached or _is_checked(service)),
        )
        if any(
            joining(name, tree["services"])
        ):  # documents of older versions let them roll: who joins would join the container that goes
            wanted[name] = wanted[name].in_place
    _name_generations(wanted, tree["services"])
    return Rendered(wanted, tree, environment, *referenced_paths(source))


def _link_by_name(service: dict[str, Any]) -> None:
    """Let `links` lead to whatever has the service's name: Compose links to one container, which a rollout removes.

    It is no part of the configuration: older containers go on without it.
    """
    if service.get("network_mode"):
        return
    links = [str(each).partition(":")[::2] for each in service.pop("links", None) or ()]
    if named := [f"{name}:{own}" for name, own in links if own not in ("", name)]:
        service["external_links"] = [*named, *(service.get("external_links") or ())]


def _as_linked(followed: Service, service: Mapping[str, Any]) -> Service:
    """With the names that `service` links to it by."""
    links = [str(each).partition(":")[::2] for each in service.get("external_links") or ()]
    return followed._replace(names=(*followed.names, *(own for name, own in links if name == followed.name and own)))


def _is_checked(service: Mapping[str, Any]) -> bool:
    check = service.get("healthcheck") or {"disable": True}
    return not check.get("disable") and (check.get("test") or [])[:1] != ["NONE"]


def _name_generations(wanted: dict[str, Service], tree: Mapping[str, dict[str, Any]]) -> None:
    """Give the containers that others follow a name of their generation, beside those that all of them have.

    It is no part of the configuration: older containers go on without it.
    """
    followed = {other for each in wanted.values() for other in each.replaced_with}
    aliases = {name: {name, *_aliases(service)} for name, service in tree.items()}
    for name in (name for level in levels({n: each.depends_on for n, each in wanted.items()}) for name in level):
        service, own = wanted[name], tree[name]
        if name not in followed or own.get("network_mode"):
            continue
        others = {alias for other, names in aliases.items() if other != name for alias in names}
        generations = [service.config, *sorted(wanted[each].alias for each in service.replaced_with)]
        alias = f"{name}.{hashlib.sha256(' '.join(generations).encode()).hexdigest()[:12]}"
        wanted[name] = service._replace(alias=alias, names=tuple(sorted(aliases[name] - others)))
        networks = own.get("networks") or ["default"]
        networks = networks if isinstance(networks, dict) else dict.fromkeys(networks)
        own["networks"] = {
            network: {**(entry or {}), "aliases": [*((entry or {}).get("aliases") or ()), alias]}
            for network, entry in networks.items()
        }


def _aliases(service: Mapping[str, Any]) -> list[str]:
    networks = service.get("networks") or {}
    entries = networks.values() if isinstance(networks, dict) else ()
    return [alias for entry in entries for alias in (entry or {}).get("aliases") or ()]


def referenced_paths(compose: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The shipped files (SHA-256, name) and data folders that a Compose file points to.

    Raises:
        ValueError: one of them would lie outside its folder.
    """
    files, data = set(), set()
    for path in (text for key, text in texts(compose) if key in _PATH_KEYS):
        if shipped := shipped_file(path):
            files.add(shipped)
        elif path.startswith("@files/"):
            raise ValueError("a path under @files/ is not @files/SHA256/NAME")
        elif path.startswith("@data/"):
            inside = path[len("@data/") :]
            if not inside or inside.startswith("/") or ".." in inside.split("/") or "\0" in inside:
                raise ValueError("a path under @data/ leads outside of it")
            data.add(inside)
    return tuple(sorted(files)), tuple(sorted(data))


def _filled(tree: Any, secrets: Mapping[str, str], folder: StackFolder, key: str = "") -> Any:  # noqa: ANN401 - JSON
    """A copy with the values of the secrets, and this host's paths for `@files/…`, `@data/…` and `~/…`."""
    if isinstance(tree, dict):
        return {name: _filled(value, secrets, folder, name) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, secrets, folder) for value in tree]
    if not isinstance(tree, str):
        return tree
    if missing := [name for name in PLACEHOLDER.findall(tree) if name and name not in secrets]:
        raise SlipwayError(
            f"the release needs the secret {missing[0]}, which the stack does not have",
            "its services would start without it, so nothing is changed",
            f"pulumi config set --secret --path 'secrets.{missing[0]}'",
        )
    text = PLACEHOLDER.sub(lambda found: secrets[found[1]].replace("$", "$$") if found[1] else "$$", tree)
    shipped = shipped_file(text) if key in _PATH_KEYS else None
    if shipped:
        text = folder.file(*shipped).replace("$", "$$")
    elif key in _PATH_KEYS and text.startswith("@data/"):
        text = f"{folder.data}/{text[len('@data/') :]}".replace("$", "$$")
    elif key == "source" and (text == "~" or text.startswith("~/")):
        text = os.path.expanduser("~").replace("$", "$$") + text[1:]
    return text


def _config_hash(
    service: dict[str, Any], tree: dict[str, Any], environment: dict[str, str], files: Mapping[str, Any], key: bytes
) -> str:
    own = {name: value for name, value in service.items() if name not in _NOT_CONFIG and not name.startswith("x-")}
    own["image"] = without_tag(str(service.get("image", "")))
    if isinstance(own.get("deploy"), dict):
        own["deploy"] = {k: v for k, v in own["deploy"].items() if k not in _NOT_CONFIG_DEPLOY}
        if not own["deploy"]:
            del own["deploy"]
    used = used_definitions(tree, {"": service})
    values = {
        definition["environment"]: environment[definition["environment"]]
        for kind in ("secrets", "configs")
        for definition in used[kind].values()
        if isinstance(definition, dict) and "environment" in definition
    }
    modes = {sha: files[sha]["mode"] for sha in sorted(files) if sha in json.dumps([own, used])}
    content = json.dumps([own, used, values, modes], sort_keys=True, separators=(",", ":"))
    return hmac.new(key, content.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _environment(tree: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """Values that Compose reads from its own environment for `environment: NAME` of secrets and configs."""
    found = {}
    for kind in ("secrets", "configs"):
        for definition in (tree.get(kind) or {}).values():
            name = definition.get("environment") if isinstance(definition, dict) else None
            if isinstance(name, str):
                found[name] = secrets.get(name, "")
    return found


def _depends_on(service: Mapping[str, Any], present: Collection[str]) -> dict[str, tuple[str, bool]]:
    """Service → (condition, whether this one is replaced along with it)."""
    declared = service.get("depends_on") or {}
    if isinstance(declared, list):
        declared = {name: {} for name in declared}
    found = {
        name: (str(how.get("condition", "service_started")), bool(how.get("restart", False)))
        for name, how in declared.items()
        if name in present
    }
    for name, _ in joined_services(service):
        if name in present:
            found[name] = (found.get(name, ("service_started", True))[0], True)
    return found


def _add_labels(service: dict[str, Any], labels: Mapping[str, str]) -> None:
    present = service.get("labels") or {}
    if isinstance(present, list):
        present = dict(str(entry).partition("=")[::2] for entry in present)
    service["labels"] = {**present, **labels}


def _policy(service: Mapping[str, Any]) -> str:
    """The restart policy that is written down, without its limit; empty without a word."""
    declared = ((service.get("deploy") or {}).get("restart_policy") or {}).get("condition") or service.get("restart")
    return str(declared or "").partition(":")[0]


def _replicas(service: Mapping[str, Any]) -> int:
    declared = (service.get("deploy") or {}).get("replicas", service.get("scale"))
    return 1 if declared is None else int(declared)
