"""ComposeDeployment: what every host is told, when it is told again, and what of it is secret."""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from certified import certificate
from recorded import Recorded, is_secret, open_strings, plain, program
from samples import CANARY, DIGEST, LOCAL, PRIVATE_KEY, REMOTE, application, probe, settings

from components import deployment
from components.deployment import ComposeDeployment, ComposeDeploymentArgs
from components.host import Host, HostArgs
from components.release_record import ReleaseRecord
from slipway.agent.release.document import parse
from slipway.compose.git import Revision
from slipway.compose.schema_check import checked
from slipway.contract.deployment import Deployment
from slipway.hosts.deployment_document import drift_of

if TYPE_CHECKING:
    from slipway.compose.application import Application

COMPOSE = """
    services:
      web:
        image: nginx
        environment: {PASSWORD: "${S}", GREETING: "$$5"}
        ports: ["8080:80"]
        volumes: ["./app.conf:/etc/app.conf:ro"]
        x-slipway: {port: 80, smoke: [{http: {path: /}}]}
      db: {image: postgres}
"""
IMAGES = {"web": f"nginx:1@{DIGEST}", "db": f"postgres:17@{DIGEST}"}
REVISION = Revision("0" * 40, "main")
THREE = [{**REMOTE, "name": name, "address": f"{name}.example.com"} for name in ("a", "b", "c")]


def report(release: str, host: str = "here") -> dict[str, Any]:
    return {
        "contract": 1, "stack": "shop-test", "host": host, "release": release, "previous": None, "outcome": "deployed",
        "touched": ["web"], "services": {}, "seconds": 1.5, "phases": {}, "removed": [], "warnings": [],
    }  # fmt: skip


_read: "dict[str, Application]" = {}


def read(folder: Path, text: str, values: dict[str, Any]) -> "Application":
    """The application of a Compose file; one that was read before is not read again."""
    key = repr((text, sorted(values.items())))
    if key not in _read:
        (folder / "app.conf").write_text("configuration")
        _read[key] = application(folder, text, **values)
    return _read[key]


class Deployed:
    """One deployment as the engine saw it."""

    def __init__(
        self,
        folder: Path,
        *,
        text: str = COMPOSE,
        probes: dict[str, dict[str, Any]] | None = None,
        images: dict[str, str] | None = None,
        preview: bool = False,
        stdout: str | None = None,
        edge: str = "",
        **values: Any,
    ) -> None:
        values = {"secrets": {"S": CANARY}, "ssh_key": PRIVATE_KEY, **values}
        self.application = read(folder, text, values)
        self.settings = settings(folder, **values)
        self.expected = self.application.release(REVISION, images or IMAGES)
        self.settled: list[str] = []
        self.engine = Recorded(stdout=json.dumps(report(self.expected["id"])) if stdout is None else stdout)
        probes = probes or {}

        def build() -> Any:
            hosts = [
                Host(
                    machine.name,
                    HostArgs(machine=machine, private_key=PRIVATE_KEY, probe=probes.get(machine.name) or probe()),
                )
                for machine in self.settings.hosts
            ]
            arguments = ComposeDeploymentArgs(
                settings=self.settings,
                application=self.application,
                revision=REVISION,
                images={name: pulumi.Output.from_input(image) for name, image in (images or IMAGES).items()},
                hosts=hosts,
                edge=edge,
                settled=self.settled.append,
            )
            made = ComposeDeployment(self.application.stack, arguments)
            return made.release, made.urls, made.report, made.summary, pulumi.Output.from_input(made.report.is_secret())

        self.release, self.urls, self.report, self.summary, self.secret = program(self.engine, build, preview=preview)

    @property
    def commands(self) -> dict[str, dict[str, Any]]:
        """What deploys on the hosts."""
        made = self.engine.resources.items()
        commands = {name: inputs for (kind, name), inputs in made if kind.startswith("command:")}
        return {
            name: inputs for name, inputs in commands.items() if not name.endswith(("-fingerprint-key", "-removal"))
        }

    def document(self, host: str = "here") -> dict[str, Any]:
        return dict(json.loads(plain(self.commands[f"shop-test-{host}"]["stdin"])))


def live(release: str, **changes: Any) -> dict[str, Any]:
    """The probe of a host that runs a release."""
    running = {"release": release, "commit": "", "branch": "", "since": "x", "images": {}, "services": {}}
    return probe(live=running, convergence="c-of-the-host", **changes)


# --- the document


def test_the_document_is_secret_and_keeps_the_contract_for_both_sides(tmp_path: Path) -> None:
    made = Deployed(tmp_path)
    [inputs] = made.commands.values()
    assert is_secret(inputs["stdin"])
    document = made.document()
    checked("deployment", document)
    assert parse(plain(inputs["stdin"]).encode()) == Deployment.from_json(document)
    assert "\n" not in plain(inputs["stdin"])
    assert document["release"] == json.loads(json.dumps(made.expected))
    assert (document["stack"], document["host"], document["services"]) == ("shop-test", "here", ["db", "web"])
    assert document["fleet"] is None


def test_secrets_stand_in_the_document_and_nowhere_else(tmp_path: Path) -> None:
    made = Deployed(tmp_path, registry_username="me", registry_password=f"registry-{CANARY}")
    document = made.document()
    assert document["secrets"] == {"S": CANARY}
    assert document["registries"] == [{"address": "ghcr.io", "username": "me", "password": f"registry-{CANARY}"}]
    assert CANARY not in json.dumps(document["release"])
    for resource in made.engine.resources.values():
        assert not any(CANARY in text for text in open_strings(resource))


def test_only_the_secrets_that_the_release_uses_are_sent(tmp_path: Path) -> None:
    made = Deployed(tmp_path, secrets={"S": CANARY, "UNUSED": CANARY})
    assert set(made.document()["secrets"]) == {"S"}


def test_the_options_are_the_settings(tmp_path: Path) -> None:
    values = {"deadline": 11, "health_deadline": 12, "lock_wait": 13, "retention": 14, "disk_minimum_mb": 15}
    assert Deployed(tmp_path, **values).document()["options"] == values


def test_without_credentials_no_registry_is_named(tmp_path: Path) -> None:
    assert Deployed(tmp_path).document()["registries"] == []


# --- the command


def test_the_command_line_names_stack_and_release_and_nothing_secret(tmp_path: Path) -> None:
    made = Deployed(tmp_path)
    [inputs] = made.commands.values()
    assert inputs["create"].endswith(f" deploy --stack shop-test --release {made.expected['id']}")
    assert inputs["update"] == inputs["create"]
    assert "destroy --stack shop-test" in inputs["delete"]
    assert "--volumes" not in inputs["delete"]
    assert "triggers" not in inputs


def test_destroy_is_done_already_where_no_agent_is(tmp_path: Path) -> None:
    [inputs] = Deployed(tmp_path).commands.values()
    assert inputs["delete"].startswith('[ ! -e "')
    assert " ] || exec " in inputs["delete"]


def test_destroy_removes_the_volumes_that_are_named(tmp_path: Path) -> None:
    text = COMPOSE + "    volumes: {data: , more: }\n"
    text = text.replace("db: {image: postgres}", "db: {image: postgres, volumes: ['data:/x', 'more:/y']}")
    [inputs] = Deployed(tmp_path, text=text, remove_volumes=["data", "more"]).commands.values()
    assert inputs["delete"].endswith(" --volumes data,more")


def test_what_a_failed_first_deployment_left_is_removed_by_a_resource_that_was_there_before(tmp_path: Path) -> None:
    made = Deployed(tmp_path)
    [(name, inputs)] = [
        each for each in made.engine.of("command:local:Command").items() if each[0].endswith("-removal")
    ]
    assert name == "shop-test-here-removal"
    assert not inputs.keys() & {"create", "update"}, "it connects to no host before the end"
    assert json.loads(inputs["stdin"]) == {"owner": "", "host": "here"}
    assert "destroy --stack shop-test" in inputs["delete"]
    # More than a pipe holds, and no agent: over SSH, a program that ends before it has read is an error, `EOF`.
    environment = {"SLIPWAY_HOME": str(tmp_path / "empty"), "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sh", "-c", inputs["delete"]], stdin=subprocess.PIPE, env=environment) as process:
        assert process.stdin
        process.stdin.write(bytes(1 << 20))  # raises BrokenPipeError otherwise
    assert process.returncode == 0
    assert list(made.engine.resources).index(("command:local:Command", name)) < list(made.engine.resources).index(
        ("command:local:Command", "shop-test-here")
    )


def test_every_host_has_one_command_named_after_it(tmp_path: Path) -> None:
    made = Deployed(tmp_path, hosts=THREE)
    assert {name: plain(inputs["connection"])["host"] for name, inputs in made.commands.items()} == {
        "shop-test-a": "a.example.com", "shop-test-b": "b.example.com", "shop-test-c": "c.example.com",
    }  # fmt: skip


# --- drift


def test_the_token_stays_while_the_host_runs_the_release_without_drift(tmp_path: Path) -> None:
    release = Deployed(tmp_path).expected["id"]
    made = Deployed(tmp_path, probes={"here": live(release)})
    assert made.document()["convergence"] == "c-of-the-host"


@pytest.mark.parametrize(
    "changes",
    [
        {"live": None},
        {"drift": [{"service": "web", "what": "stopped"}]},
        {"interrupted": "r-1 at start"},
        {"live": {"release": "r-other"}},
        {"returned": {"from": "r-2", "to": "r-1", "at": "2025-11-20T13:20:00Z", "reason": "9 % fail"}},
        {"last": {"release": "r-2", "outcome": "failed", "at": "2025-11-20T13:20:00Z", "reason": "no luck"}},
    ],
)
def test_the_token_changes_otherwise_and_is_never_the_same_twice(tmp_path: Path, changes: dict[str, Any]) -> None:
    release = Deployed(tmp_path).expected["id"]
    tokens = {
        Deployed(tmp_path, probes={"here": {**live(release), **changes}}).document()["convergence"] for _ in range(2)
    }
    assert len(tokens) == 2
    assert "c-of-the-host" not in tokens


def test_a_second_run_with_nothing_changed_has_the_same_inputs(tmp_path: Path) -> None:
    release = Deployed(tmp_path).expected["id"]
    first, second = (Deployed(tmp_path, probes={"here": live(release)}) for _ in range(2))
    assert first.commands == second.commands


def test_only_the_host_with_drift_is_told_again(tmp_path: Path) -> None:
    release = Deployed(tmp_path, hosts=THREE).expected["id"]
    before = Deployed(tmp_path, hosts=THREE, probes={name: live(release) for name in "abc"})
    drifted = live(release, drift=[{"service": "web", "what": "stopped"}])
    after = Deployed(tmp_path, hosts=THREE, probes={"a": live(release), "b": drifted, "c": live(release)})
    changed = [name for name in before.commands if before.commands[name] != after.commands[name]]
    assert changed == ["shop-test-b"]


def test_drift_is_told_in_words() -> None:
    assert drift_of(probe(drift=[{"service": "web", "what": "stopped"}], interrupted="r-1 at start")) == [
        "web: stopped",
        "a deployment was interrupted (r-1 at start)",
    ]
    assert drift_of(probe()) == []


# --- several hosts


def test_hosts_of_a_fleet_know_each_other_and_run_their_own_services(tmp_path: Path) -> None:
    text = COMPOSE.replace("db: {image: postgres}", "db: {image: postgres, x-slipway: {hosts: [c]}}")
    made = Deployed(tmp_path, text=text, hosts=THREE)
    documents = {name: made.document(name) for name in "abc"}
    assert {name: document["services"] for name, document in documents.items()} == {
        "a": ["web"], "b": ["web"], "c": ["db", "web"],
    }  # fmt: skip
    assert all(document["fleet"] == {"hosts": ["a", "b", "c"], "leader": "a"} for document in documents.values())
    assert len({json.dumps(document["release"], sort_keys=True) for document in documents.values()}) == 1
    for document in documents.values():
        checked("deployment", document)


@pytest.mark.parametrize(
    ("extension", "leader"),
    [("{}", "a"), ("{migrate: run}", "a"), ("{migrate: run, hosts: [c]}", "c"), ("{hosts: [c]}", "a")],
)
def test_the_leader_is_the_first_host_that_runs_a_migration(tmp_path: Path, extension: str, leader: str) -> None:
    text = COMPOSE.replace("db: {image: postgres}", f"db: {{image: postgres, x-slipway: {extension}}}")
    assert Deployed(tmp_path, text=text, hosts=THREE).document("b")["fleet"]["leader"] == leader


def test_the_fleet_hears_of_every_host_when_the_engine_is_done_with_it(tmp_path: Path) -> None:
    assert sorted(Deployed(tmp_path, hosts=THREE).settled) == ["a", "b", "c"]


def test_a_preview_settles_nothing(tmp_path: Path) -> None:
    assert Deployed(tmp_path, hosts=THREE, preview=True).settled == []


# --- outputs


def test_outputs_are_the_release_and_what_was_observed(tmp_path: Path) -> None:
    made = Deployed(tmp_path)
    assert made.release == made.expected["id"]
    assert made.report == {"here": report(made.expected["id"])}
    assert made.summary["here"] == {
        "release": made.expected["id"], "previous": None, "outcome": "deployed", "touched": ["web"], "seconds": 1.5,
    }  # fmt: skip


def test_what_a_watch_did_is_noted_in_the_state_by_the_next_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    class Seen(ReleaseRecord):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.about.apply(seen.append)

    monkeypatch.setattr(deployment, "ReleaseRecord", Seen)
    back = {"from": "r-2", "to": "r-1", "at": "2025-11-20T13:20:00Z", "reason": "9 % fail"}
    Deployed(tmp_path, hosts=THREE, probes={"b": live("r-1", returned=back)})
    assert [each["returned"] for each in seen] == [{"b": back}]


def test_the_report_is_shown_because_the_agent_keeps_secrets_out_of_it(tmp_path: Path) -> None:
    assert Deployed(tmp_path).secret is False


def test_what_an_agent_prints_before_its_report_is_passed_over(tmp_path: Path) -> None:
    made = Deployed(tmp_path, stdout=f"a line\n{json.dumps(report('r-1'))}\n")
    assert made.report["here"]["release"] == "r-1"
    compact = json.dumps(report("r-2"), separators=(",", ":"))
    made = Deployed(tmp_path, stdout=f"a line\nwithout an end {{}}{compact}\n")
    assert made.report["here"]["release"] == "r-2"


@pytest.mark.parametrize(
    ("values", "urls"),
    [
        ({}, ["http://127.0.0.1:8080/"]),
        ({"domain": "example.com"}, ["http://example.com:8080/"]),
        ({"hosts": THREE}, [f"http://{name}.example.com:8080/" for name in "abc"]),
        ({"hosts": THREE, "domain": "example.com"}, [f"http://{name}.example.com:8080/" for name in "abc"]),
    ],
)
def test_urls_are_those_of_published_ports_that_speak_http(
    tmp_path: Path, values: dict[str, Any], urls: list[str]
) -> None:
    assert Deployed(tmp_path, **values).urls == urls


def test_the_default_port_is_left_out_of_a_url(tmp_path: Path) -> None:
    assert Deployed(tmp_path, text=COMPOSE.replace("8080:80", "80:80")).urls == ["http://127.0.0.1/"]


def test_a_port_that_speaks_no_http_or_is_not_published_has_no_url(tmp_path: Path) -> None:
    assert Deployed(tmp_path, text=COMPOSE.replace("8080:80", "80")).urls == []
    assert Deployed(tmp_path, text=COMPOSE.replace("{http: {path: /}}", "{tcp: {}}")).urls == []


def test_an_ipv6_address_is_in_brackets_in_a_url(tmp_path: Path) -> None:
    assert Deployed(tmp_path, hosts=[{**REMOTE, "address": "2001:db8::1"}]).urls == ["http://[2001:db8::1]:8080/"]


def test_a_local_stack_needs_no_key(tmp_path: Path) -> None:
    made = Deployed(tmp_path, hosts=[LOCAL], ssh_key="")
    assert {kind for kind, _ in made.engine.resources if kind.startswith("command:")} == {"command:local:Command"}


# --- edge and watch

ROUTED = COMPOSE.replace("port: 80,", "port: 80, route: shop.example, basicAuth: USERS,").replace(
    'ports: ["8080:80"]', "init: true"
)
EDGE = f"traefik:v3.6.0@{DIGEST}"


def test_a_host_is_told_of_its_edge_and_how_to_watch(tmp_path: Path) -> None:
    pem, key = certificate("shop.example")
    values = {"secrets": {"S": CANARY, "USERS": f"me:{CANARY}"}, "https": True, "certificate": pem, "watch": "1h"}
    values |= {"certificate_key": key, "notify_url": f"https://hooks.example/{CANARY}"}
    made = Deployed(tmp_path, text=ROUTED, edge=EDGE, **values)
    document = made.document()
    assert parse(json.dumps(document).encode()) == Deployment.from_json(document)
    assert document["edge"]["image"] == EDGE
    assert document["edge"]["certificates"] == [{"certificate": pem, "key": key}]
    assert [each["url"] for each in document["watch"]["notify"]["targets"]] == [f"https://hooks.example/{CANARY}"]
    assert document["secrets"]["USERS"] == f"me:{CANARY}"
    assert document["release"]["services"]["web"]["middlewares"]["basic_auth"] == "USERS"
    assert CANARY not in json.dumps(document["release"])
    for resource in made.engine.resources.values():
        assert not any(CANARY in text or key in text for text in open_strings(resource))


def test_only_hosts_with_a_routed_service_have_an_edge(tmp_path: Path) -> None:
    text = ROUTED.replace("port: 80,", "hosts: [c], port: 80,")
    made = Deployed(tmp_path, text=text, hosts=THREE, edge=EDGE, secrets={"S": CANARY, "USERS": "me:hash"})
    assert [name for name in "abc" if made.document(name)["edge"]] == ["c"]
    assert made.document("a")["watch"] is None


def test_routes_come_before_published_ports_in_the_urls(tmp_path: Path) -> None:
    made = Deployed(
        tmp_path, text=COMPOSE.replace("port: 80,", "port: 80, route: /shop, strategy: recreate,"), edge=EDGE
    )
    assert made.urls == ["http://127.0.0.1/shop", "http://127.0.0.1:8080/"]
