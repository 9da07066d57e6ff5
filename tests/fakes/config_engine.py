"""The engine's `config` commands on a stack file, as far as Slipway uses them; `secure` is text turned around.

Run as a program in the engine's place: `config_engine.py FOLDER config …`. Every call is noted, without standard input.
"""

import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import yaml

folder, *words = sys.argv[1:]
with Path(folder, "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\n")


def option(name: str) -> str:
    return words[words.index(name) + 1] if name in words else ""


file = Path(option("--config-file") or Path(folder, f"Pulumi.{option('--stack')}.yaml"))
top = (yaml.safe_load(file.read_text()) if file.exists() else None) or {}
stated = top.setdefault("config", {})


def parts(path: str) -> tuple[str, str]:
    """Section and name of `section.name` or `section["name"]`."""
    section, bracket, name = path.partition("[")
    if bracket:
        return section, str(json.loads(name[:-1]))
    section, _, name = path.partition(".")
    return section, name


def put(path: str, value: object) -> None:
    section, name = parts(path)
    stated.setdefault(f"shop:{section}", {})[name] = value
    refused = Path(folder, "refuses")
    if refused.exists() and refused.read_text() == path:
        sys.exit(f"error: {path} is refused, with {value} in its words")


match words[:2]:
    case ["stack", "ls"]:
        sys.stdout.write(json.dumps([{"name": each.stem[7:]} for each in Path(folder).glob("Pulumi.*.yaml")]))
        sys.exit()
    case ["config", "--json"]:
        shown = {}
        for key, value in stated.items():
            secret = key == "shop:secrets"
            plain = {name: each["secure"][::-1] for name, each in value.items()} if secret else value
            text = plain if isinstance(plain, str) else json.dumps(plain)
            shown[key] = {"value": text, "secret": secret}
        sys.stdout.write(json.dumps(shown))
        sys.exit()
    case ["config", "set-all"]:
        for flag, pair in pairwise(words):
            if flag == "--plaintext":
                path, _, text = pair.partition("=")
                number = re.fullmatch(r"[+-]?[1-9]\d*|[+-]?0", text)
                put(path, int(text) if number else text == "true" if text in ("true", "false") else text)
    case ["config", "set"]:
        text = sys.stdin.read()
        text = text if "--raw" in words else text.rstrip("\n")
        put(option("--path"), {"secure": text[::-1]} if "--secret" in words else text)
    case ["config", "rm"]:
        section, name = parts(option("--path"))
        del stated[f"shop:{section}"][name]
file.write_text(yaml.safe_dump(top))
if Path(folder, "meanwhile").exists():
    Path(folder, f"Pulumi.{option('--stack')}.yaml").write_text("config: {}\n")
