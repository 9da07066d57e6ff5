"""Lists of the emulated Hetzner Cloud: pages, filters, sorting, label selectors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import request

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["page", "selects"]


def page(kind: str, entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A page of those that the query selects."""
    found = [each for each in entries if _wanted(each)]
    for key in reversed(request.args.getlist("sort")):
        name, _, order = key.partition(":")
        found.sort(key=lambda each: each[name], reverse=order == "desc")
    size, number = min(int(request.args.get("per_page", 25)), 50), int(request.args.get("page", 1))
    last = max(-(-len(found) // size), 1)
    meta = {
        "page": number, "per_page": size, "previous_page": number - 1 or None,
        "next_page": number + 1 if number < last else None, "last_page": last, "total_entries": len(found),
    }  # fmt: skip
    return {kind: found[(number - 1) * size : number * size], "meta": {"pagination": meta}}


def _wanted(entry: dict[str, Any]) -> bool:
    for name in request.args:
        values = request.args.getlist(name)
        if name in {"sort", "page", "per_page"}:
            continue
        if name == "label_selector":
            if not selects(values[0], entry["labels"]):
                return False
        elif name == "include_deprecated":
            continue
        elif str(entry.get(name)) not in values:
            return False
    return "include_deprecated" in request.args or not (entry.get("os_flavor") and entry.get("deprecated"))


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether a label selector (`a`, `!a`, `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, joined by commas) selects."""
    for part in re.findall(r"[^,(]+(?:\([^)]*\))?", selector):
        if within := re.fullmatch(r"\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*", part):
            among = labels.get(within[1]) in {each.strip() for each in within[3].split(",")}
            fits = among == (within[2] == "in")
        elif "!=" in part:
            name, _, value = part.partition("!=")
            fits = labels.get(name.strip()) != value.strip()
        elif "=" in part:
            name, _, value = part.partition("=")
            fits = labels.get(name.strip()) == value.lstrip("=").strip()
        else:
            fits = (part.strip().lstrip("!") in labels) != part.strip().startswith("!")
        if not fits:
            return False
    return True
