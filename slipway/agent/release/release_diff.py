"""What differs for one service between two releases, in the words of the Compose file: pure, and without a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.agent.docker.pull import without_tag
from slipway.contract.compose_tree import secrets_of, used_definitions
from slipway.contract.plan import UNBUILT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["changed_networks", "differences", "left_behind", "requests"]

_BY_NAME = {"environment": "environment {}", "labels": "label {}", "sysctls": "sysctl {}", "extra_hosts": "host {}"}
_NOT_CONFIG = ("image", "depends_on", "profiles", "pull_policy", "build", "develop", "volumes")


def differences(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    service: str,
    rotated: Collection[str] = (),
    absent: Collection[str] = (),
) -> list[str]:
    """What differs for `service` in release `new`, also in what requests to it meet.

    `rotated` are secrets with other values, `absent` the volumes of `new` that this host does not have yet.
    """
    then = ((old or {}).get("compose") or {}).get("services", {}).get(service)
    now = new["compose"]["services"][service]
    if old is None or then is None:
        return ["new service"]
    found = _image((old.get("images") or {}).get(service, ""), new["images"].get(service, ""))
    for key in sorted(set(_changed(then, now)) - set(_NOT_CONFIG)):
        found += _names(key, then.get(key), now.get(key))
    found += [f"mount {target}" for target in _changed(_mounts(then), _mounts(now))]
    used = [used_definitions(release["compose"], {service: own}) for release, own in ((old, then), (new, now))]
    said = {**left_behind(old, new, service), **{name: f"volume {name} starts empty" for name in absent}}
    for kind in used[0]:
        for name in _changed(used[0][kind], used[1][kind]):
            found.append((kind == "volumes" and said.get(name)) or f"{kind[:-1]} {name}")
    modes = [_modes(release, own) for release, own in ((old, then), (new, now))]
    if set(modes[0]) == set(modes[1]) and modes[0] != modes[1]:
        found.append("mode of a shipped file")
    entries = [(release.get("services") or {}).get(service) or {} for release in (old, new)]
    uses = secrets_of(new["compose"], service, entries[1])
    found += [f"secret {name}" for name in sorted(uses & set(rotated))]
    return found + requests(*entries)


def left_behind(old: Mapping[str, Any], new: Mapping[str, Any], service: str) -> dict[str, str]:
    """The volumes of `service` that no service of release `new` uses any more, in words: nothing removes them."""
    then, now = old["compose"], new["compose"]
    used = used_definitions(then, {service: then["services"].get(service) or {}})["volumes"]
    still = _called(used_definitions(now, now["services"])["volumes"]).values()
    return {key: f"volume {key} stays behind, unused" for key, name in _called(used).items() if name not in still}


def changed_networks(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> set[str]:
    """The networks that both releases have under one name, and with other settings."""
    then, now = (((release or {}).get("compose") or {}).get("networks") or {} for release in (old, new))
    names = [_called(networks) for networks in (then, now)]
    return {key for key in {*then, *now} if names[0].get(key) == names[1].get(key) and then.get(key) != now.get(key)}


def _called(definitions: Mapping[str, Any]) -> dict[str, str]:
    return {key: str((own or {}).get("name") or key) for key, own in definitions.items()}


def requests(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What requests to a service meet otherwise, of its two entries of `x-slipway`."""
    found = []
    routes = [each.get("routes") or [] for each in (then, now)]
    old, new = ({each["host"] + each["path"].rstrip("/") or "/" for each in side} for side in routes)
    for key, before, after in (
        ("route", " and ".join(sorted(old - new)), " and ".join(sorted(new - old))),
        *((key, then.get(key), now.get(key)) for key in ("port", "preview")),
    ):
        if before != after:
            found.append(f"x-slipway {key} {before or 'none'} => {after or 'none'}")
    if old == new and routes[0] != routes[1]:
        found.append("x-slipway route")
    sides = [{"sticky": each.get("sticky"), **(each.get("middlewares") or {})} for each in (then, now)]
    keys = [key.title().replace("_", "").replace("Redirects", "Redirect") for key in _changed(*sides)]
    return found + [f"x-slipway {key[0].lower()}{key[1:]}" for key in keys]


def _image(then: str, now: str) -> list[str]:
    before, after = (image.partition("@")[2] for image in (then, now))
    if before == after:
        return [] if without_tag(then) == without_tag(now) else [f"image's name {now.partition('@')[0]}"]
    if after == UNBUILT:
        return ["image (to be built)"]
    return [f"image {_short(before)} => {_short(after)}"]


def _short(digest: str) -> str:
    return digest.replace("sha256:", "")[:12] or "none"


def _names(key: str, then: object, now: object) -> list[str]:
    if key in _BY_NAME and isinstance(then or {}, dict) and isinstance(now or {}, dict):
        return [_BY_NAME[key].format(name) for name in _changed(then or {}, now or {}, ...)]  # type: ignore[arg-type]
    if key == "deploy" and isinstance(then or {}, dict) and isinstance(now or {}, dict):
        changed = _changed(then or {}, now or {})  # type: ignore[arg-type]
        return [f"deploy.{name}" for name in changed if name not in ("update_config", "rollback_config")]
    return [key]


def _changed(then: Mapping[str, Any], now: Mapping[str, Any], absent: object = None) -> list[str]:
    return sorted(key for key in {*then, *now} if then.get(key, absent) != now.get(key, absent))


def _mounts(service: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(mount.get("target", "")) if isinstance(mount, dict) else str(mount): mount
        for mount in service.get("volumes") or ()
    }


def _modes(release: Mapping[str, Any], service: Mapping[str, Any]) -> dict[str, str]:
    text = json.dumps(service.get("volumes") or [])
    return {sha: file["mode"] for sha, file in (release.get("files") or {}).items() if sha in text}
