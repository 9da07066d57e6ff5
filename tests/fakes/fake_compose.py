"""`docker compose` as far as the agent calls it, on the fake engine, from the rendered file.

It makes what Compose makes: the same names, numbers, labels and order of requests; a replacement gets its name last.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fake_docker import FakeDocker

VERSION = "2.40.0"
_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_NUMBER, _ONE_OFF = "com.docker.compose.container-number", "com.docker.compose.oneoff"
_CONFIG_HASH = "com.docker.compose.config-hash"
_START_SECONDS = 0.08
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class Failed(Exception):  # noqa: N818 - how a call ends
    """A call that ends with an error."""


class FakeCompose:
    """One call of Compose."""

    def __init__(self, engine: FakeDocker, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.engine = engine
        self.environment = environment
        self.lines: list[str] = []
        words = list(argv[argv.index("-p") :])
        self.project = words[1]
        self.path = words[words.index("-f") + 1]
        self.words = words[words.index("--project-directory") + 2 :]

    def run(self) -> int:
        """Do it; the exit code."""
        self.engine.time.sleep(_START_SECONDS)
        with open(self.path, encoding="utf-8") as file:  # noqa: PTH123 - as the agent writes it
            self.file = _interpolated(json.load(file))
        try:
            return {"up": self._up, "run": self._run}[self.words[0]](self.words[1:])
        except Failed as error:
            self.lines.append(f"Error response from daemon: {error}")
            return 1

    # --- up

    def _up(self, words: list[str]) -> int:
        recreate, start = "--force-recreate" in words, "--no-start" not in words
        scale, names = {}, []
        while words:
            word = words.pop(0)
            if word == "--scale":
                name, _, count = words.pop(0).partition("=")
                scale[name] = int(count)
            elif word == "--pull":
                assert words.pop(0) == "never"
            elif not word.startswith("-"):
                names.append(word)
        self._networks(names)
        self._volumes(names)
        for name in self._ordered(names):
            self._converge(name, scale.get(name, _replicas(self.file["services"][name])), recreate=recreate)
        for name in self._ordered(names) if start else ():
            for each in self._existing(name):
                if each["State"] not in ("running", "restarting"):
                    if each["State"] == "created":  # the real one copies them now (2.40), not before
                        self.engine.handed.add(each["Id"])
                    self._ask("POST", f"/containers/{each['Id']}/start")
        return 0

    def _ordered(self, names: list[str]) -> list[str]:
        """Those that others of them depend on first."""
        found: list[str] = []

        def visit(name: str) -> None:
            for other in self.file["services"][name].get("depends_on") or ():
                if other in names:
                    visit(other)
            if name not in found:
                found.append(name)

        for name in names:
            visit(name)
        return found

    def _converge(self, name: str, wanted: int, *, recreate: bool) -> None:
        existing = self._existing(name)
        for each in existing[wanted:]:
            self._ask("POST", f"/containers/{each['Id']}/stop")
            self._ask("DELETE", f"/containers/{each['Id']}", force="true")
        if recreate:
            for each in existing[:wanted]:
                self._replace(name, each)
        highest = max((int(each["Labels"][_NUMBER]) for each in existing), default=0)
        for number in range(highest + 1, highest + 1 + wanted - len(existing)):
            self._create(name, number, self._name(name, number))

    def _replace(self, name: str, old: Mapping[str, Any]) -> None:
        number = int(old["Labels"][_NUMBER])
        final = self._name(name, number)
        made = self._create(name, number, f"{old['Id'][:12]}_{final}")
        self._ask("POST", f"/containers/{old['Id']}/stop")
        self._ask("DELETE", f"/containers/{old['Id']}", force="true")
        self._ask("POST", f"/containers/{made}/rename", name=final)

    def _name(self, name: str, number: int) -> str:
        return str(self.file["services"][name].get("container_name") or f"{self.project}-{name}-{number}")

    def _existing(self, name: str) -> list[dict[str, Any]]:
        """The service's containers, low numbers first."""
        wanted = [f"{_PROJECT}={self.project}", f"{_SERVICE}={name}", f"{_ONE_OFF}=False"]
        found: list[dict[str, Any]] = self._ask(
            "GET", "/containers/json", all="true", filters=json.dumps({"label": wanted})
        )
        return sorted(found, key=lambda each: int(each["Labels"][_NUMBER]))

    def _create(self, name: str, number: int, container: str) -> str:
        return str(self._ask("POST", "/containers/create", self._body(name, number), name=container)["Id"])

    # --- run

    def _run(self, words: list[str]) -> int:
        assert words[:3] == ["--rm", "--no-deps", "-T"], words
        container, name, command = words[4], words[5], words[6:]
        self._networks([name])
        self._volumes([name])
        body = self._body(name, 1)
        body["Labels"][_ONE_OFF] = "True"
        body["Cmd"] = command
        body["HostConfig"]["AutoRemove"] = True
        made = str(self._ask("POST", "/containers/create", body, name=container)["Id"])
        self._ask("POST", f"/containers/{made}/start")
        held = self.engine.containers[made]
        code = int(self._ask("POST", f"/containers/{made}/wait")["StatusCode"])
        self.lines += [line for _, line in held.logs]
        return code

    # --- what containers are made of

    def _variable(self, name: str, value: str | None) -> str:
        """As Compose tells the engine: one without a value is the caller's, or unset."""
        value = self.environment.get(name) if value is None else value
        return name if value is None else f"{name}={value}"

    def _body(self, name: str, number: int) -> dict[str, Any]:
        service = self.file["services"][name]
        networks = {} if service.get("network_mode") else service.get("networks") or {"default": None}
        mode = str(service.get("network_mode") or self._network(next(iter(networks))))
        host: dict[str, Any] = {"NetworkMode": mode, "RestartPolicy": _policy(service)}
        host |= {key: service[name] for key, name in (("PidMode", "pid"), ("IpcMode", "ipc")) if name in service}
        for key in ("NetworkMode", "PidMode", "IpcMode"):
            kind, _, owner = str(host.get(key)).partition(":")
            if kind == "service":
                host[key] = f"container:{self._existing(owner)[0]['Id']}"
        host["PortBindings"] = {
            f"{port['target']}/{port.get('protocol') or 'tcp'}": [
                {"HostIp": str(port.get("host_ip") or ""), "HostPort": str(port["published"])}
            ]
            for port in service.get("ports") or ()
            if port.get("published")
        }
        host["Mounts"] = [
            {
                "Type": each["type"],
                "Source": self._volume(each["source"])
                if each.get("source") and each["type"] == "volume"
                else each.get("source", ""),
                "Target": each["target"],
                **({"ReadOnly": True} if each.get("read_only") else {}),
            }
            for each in service.get("volumes") or ()
            if each["type"] in ("volume", "bind")
        ]
        content = {key: value for key, value in service.items() if key not in ("depends_on", "deploy", "scale")}
        labels = {
            **(service.get("labels") or {}),
            _PROJECT: self.project,
            _SERVICE: name,
            _NUMBER: str(number),
            _ONE_OFF: "False",
            _CONFIG_HASH: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        }
        body: dict[str, Any] = {
            "Image": service["image"],
            "Cmd": service.get("command") or [],
            "Env": [self._variable(*each) for each in (service.get("environment") or {}).items()],
            "Labels": labels,
            "HostConfig": host,
        }
        if networks:
            body["NetworkingConfig"] = {
                "EndpointsConfig": {
                    self._network(each): {
                        "Aliases": [f"{self.project}-{name}-{number}", name, *((own or {}).get("aliases") or ())],
                        "Links": self._links(service),
                    }
                    for each, own in (networks if isinstance(networks, dict) else dict.fromkeys(networks)).items()
                }
            }
        if service.get("stop_grace_period"):
            body["StopTimeout"] = int(seconds(service["stop_grace_period"]))
        if service.get("stop_signal"):
            body["StopSignal"] = service["stop_signal"]
        if service.get("healthcheck"):
            body["Healthcheck"] = health_check(service["healthcheck"])
        return body

    def _links(self, service: Mapping[str, Any]) -> list[str]:
        """Those of `links` lead to the very containers that are there now, the youngest first."""
        own = [str(each).partition(":") for each in service.get("links") or ()]
        found = [
            f"{each['Names'][0][1:]}:{alias or name}" for name, _, alias in own for each in self._existing(name)[::-1]
        ]
        return [*found, *(service.get("external_links") or ())]

    def _networks(self, names: list[str]) -> None:
        used = {
            each
            for name in names
            if not self.file["services"][name].get("network_mode")
            for each in self.file["services"][name].get("networks") or {"default": None}
        }
        for each in sorted(used):
            if (self.file.get("networks") or {}).get(each, {}).get("external"):
                continue
            real = self._network(each)
            if not self._there(f"/networks/{real}"):
                labels = {_PROJECT: self.project, "com.docker.compose.network": each}
                self._ask("POST", "/networks/create", {"Name": real, "Driver": "bridge", "Labels": labels})

    def _volumes(self, names: list[str]) -> None:
        used = {
            each["source"]
            for name in names
            for each in self.file["services"][name].get("volumes") or ()
            if each["type"] == "volume" and each.get("source")
        }
        for each in sorted(used):
            real = self._volume(each)
            if not self._there(f"/volumes/{real}"):
                labels = {_PROJECT: self.project, "com.docker.compose.volume": each}
                self._ask(
                    "POST", "/volumes/create", {"Name": real, "Labels": labels, "DriverOpts": self._options(each)}
                )

    def _network(self, name: str) -> str:
        return str(((self.file.get("networks") or {}).get(name) or {}).get("name") or f"{self.project}_{name}")

    def _volume(self, name: str) -> str:
        return str(((self.file.get("volumes") or {}).get(name) or {}).get("name") or f"{self.project}_{name}")

    def _options(self, name: str) -> dict[str, str] | None:
        options: dict[str, str] | None = ((self.file.get("volumes") or {}).get(name) or {}).get("driver_opts")
        return options

    # --- asking the engine

    def _there(self, path: str) -> bool:
        return self.engine.handle("GET", path)[0] == http.client.OK

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> Any:
        target = path + (f"?{urlencode(query)}" if query else "")
        status, answer = self.engine.handle(method, target, json.dumps(body).encode() if body else b"")
        content = json.loads(answer) if answer.strip() else {}
        if status >= http.client.BAD_REQUEST:
            raise Failed(content["message"])
        return content


def fake_compose(
    engine: FakeDocker, argv: Sequence[str], environment: Mapping[str, str], write: Callable[[bytes], None]
) -> int:
    """Run one call; what it says is written as it says it."""
    call = FakeCompose(engine, argv, environment)
    try:
        return call.run()
    finally:
        write("".join(f"{line}\n" for line in call.lines).encode())


def health_check(check: Mapping[str, Any]) -> dict[str, Any]:
    """A Compose health check as the engine is told of it."""
    if check.get("disable"):
        return {"Test": ["NONE"]}
    names = {
        "interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod", "start_interval": "StartInterval",
    }  # fmt: skip
    made: dict[str, Any] = {"Test": check.get("test")}
    made |= {ours: int(seconds(check[name]) * 1e9) for name, ours in names.items() if check.get(name)}
    return made | ({"Retries": int(check["retries"])} if check.get("retries") else {})


def seconds(duration: str) -> float:
    """A Compose duration."""
    parts = re.findall(r"([0-9.]+)(ms|us|ns|h|m|s)", str(duration))
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _policy(service: Mapping[str, Any]) -> dict[str, Any]:
    name, _, most = str(service.get("restart") or "no").partition(":")
    return {"Name": name, "MaximumRetryCount": int(most or 0)}


def _replicas(service: Mapping[str, Any]) -> int:
    declared = (service.get("deploy") or {}).get("replicas", service.get("scale"))
    return 1 if declared is None else int(declared)


def _interpolated(tree: Any) -> Any:
    """Compose's own reading of `$$`; the agent leaves nothing else to it."""
    if isinstance(tree, dict):
        return {name: _interpolated(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_interpolated(value) for value in tree]
    return tree.replace("$$", "$") if isinstance(tree, str) else tree
