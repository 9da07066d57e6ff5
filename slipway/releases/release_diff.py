"""How two releases differ: images, Compose file, `x-slipway`, files, names of secrets. Pure.

A release holds the names of secrets alone, so no difference can show a secret.
"""

from __future__ import annotations

import base64
import difflib
import json
from typing import TYPE_CHECKING, Any

import yaml

from slipway.contract.compose_tree import shipped_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["difference"]

_CONTEXT = 2  # lines around a change


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What changes from release `before` to release `after` (slipway/cli/schemas/diff.schema.json)."""
    names = set(before["secrets"]), set(after["secrets"])
    return {
        "contract": 1,
        "before": _named(before),
        "after": _named(after),
        "images": _changed(before["images"], after["images"]),
        "services": _services(before, after),
        "other": _text_changes(_rest(before), _rest(after)),
        "files": list(_files(before, after)),
        "secrets": {"added": sorted(names[1] - names[0]), "removed": sorted(names[0] - names[1])},
    }


def _named(release: Mapping[str, Any]) -> dict[str, Any]:
    return {"release": release["id"], "commit": release["commit"], "branch": release["branch"]}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _services(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Service → lines of a diff over its Compose part and its `x-slipway`, the image aside."""
    old, new = ({name: _service(each, name) for name in each["compose"]["services"]} for each in (before, after))
    return [
        {"name": name, "lines": lines}
        for name in sorted({*old, *new})
        if (lines := _text_changes(old.get(name, ""), new.get(name, "")))
    ]


def _service(release: Mapping[str, Any], name: str) -> str:
    part = {key: value for key, value in release["compose"]["services"][name].items() if key != "image"}
    return _yaml({**part, "x-slipway": release["services"][name]})


def _rest(release: Mapping[str, Any]) -> str:
    """Networks, volumes and what else stands at the top."""
    return _yaml({key: value for key, value in release["compose"].items() if key not in ("services", "name")})


def _yaml(node: object) -> str:
    return yaml.safe_dump(node, sort_keys=True, width=1000, allow_unicode=True)


def _text_changes(before: str, after: str) -> list[str]:
    """Lines that go (`-`) and come (`+`), with a little of what is around them."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=_CONTEXT)
    return [line for line in lines if not line.startswith(("---", "+++"))]


def _files(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Mounted files whose content differs, by the place where a service sees them."""
    old, new = _mounted(before), _mounted(after)
    for place in sorted({*old, *new}):
        if old.get(place) != new.get(place):
            texts = [_content(release, shas.get(place)) for release, shas in ((before, old), (after, new))]
            yield {"name": place, "lines": _text_changes(*texts) or ["(not text, or only its mode)"]}


def _mounted(release: Mapping[str, Any]) -> dict[str, str]:
    """`service:target` → SHA-256 of what is mounted there."""
    return {
        f"{name}:{mount.get('target')}": file.sha
        for name, service in release["compose"]["services"].items()
        for mount in service.get("volumes") or []
        if (file := shipped_file(mount.get("source")))
    }


def _content(release: Mapping[str, Any], sha: str | None) -> str:
    """The text of a file, or of all files of a folder one after the other; empty for what is no text."""
    if sha is None:
        return ""
    entry = release["files"][sha]
    content = base64.b64decode(entry["content"])
    try:
        if entry.get("folder"):
            files = json.loads(content)
            return "\n".join(f"{each['path']}:\n{base64.b64decode(each['content']).decode()}" for each in files)
        return content.decode()
    except UnicodeDecodeError:
        return ""
