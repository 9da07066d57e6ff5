"""`slipway doctor`: every check on its own, and that nothing stops at the first failure."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from dev.toolchain import docker as docker_tools
from dev.toolchain import pulumi as pulumi_tools
from slipway import cli as cli_module
from slipway.cli.doctor import doctor as doctor_module
from slipway.cli.doctor import host_checks, machine_checks, stack_checks
from slipway.cli.doctor.check_result import CheckResult
from slipway.cli.doctor.doctor import report
from slipway.cli.main import app
from slipway.cli.printing import print_out
from slipway.compose.application import Application, read_application
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.agent_package import pack_agent
from slipway.images import image_check
from slipway.releases.engine import Engine
from slipway.settings.model import HostSettings, Settings

Doctor = Callable[..., dict[str, Any]]

_SCHEMA = json.loads((Path(cli_module.__file__).parent / "schemas" / "doctor.schema.json").read_text())
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
CANARY = "canary-7f3Q9zKpL2vX"
ENGINE = """\
#!/bin/sh
case "$*" in
  version*) echo "${{ENGINE_VERSION:-v3.256.0}}";;
  whoami*) [ -z "$LOGGED_OUT" ] || {{ echo "error: not logged in" >&2; exit 255; }}
           echo '{{"user": "root", "url": "file://{folder}/state"}}';;
  "stack --show-name"*) [ -n "$SELECTED" ] || {{ echo "error: no stack selected" >&2; exit 255; }}; echo "$SELECTED";;
  "stack ls"*) echo '[{{"name": "staging"}}]';;
  config*) cat {folder}/configuration.json 2>/dev/null || {{ echo "error: incorrect passphrase" >&2; exit 255; }};;
esac
"""
# The beginning of a real one, with listeners on 22 (0016) and 80 (0050), and a connection on 443 (01BB).
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:01BB 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the program with an application, an engine that answers so, and a stack; the current folder."""
    for name in [name for name in os.environ if name.startswith(("SLIPWAY_", "PULUMI_", "GITHUB_", "GH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pulumi").write_text(ENGINE.format(folder=tmp_path))
    (tmp_path / "bin" / "pulumi").chmod(0o755)
    configure(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def configure(program: Path, **changed: str) -> None:
    values = {"application": "app", "hosts": '[{"name": "web-1", "address": "local"}]', **changed}
    entries = {f"shop:{key}": {"value": value, "secret": key == "secrets"} for key, value in values.items() if value}
    (program / "configuration.json").write_text(json.dumps(entries))


@pytest.fixture
def doctor(program: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run `slipway doctor --json` without looking at hosts; what it printed, valid by its schema."""

    def run(*options: str, missing: Mapping[str, Problem] = MappingProxyType({})) -> dict[str, Any]:
        assert program.is_dir()
        monkeypatch.setattr(
            stack_checks, "missing_images", lambda images, _: [missing[each] for each in images if each in missing]
        )
        monkeypatch.setattr(host_checks, "hosts", lambda *_: [CheckResult("hosts", "ok", "this machine", host="web-1")])
        result = CliRunner().invoke(app, ["doctor", "--json", *(options or ("--stack", "staging"))])
        assert not result.exception or isinstance(result.exception, SystemExit), result.exception
        document: dict[str, Any] = json.loads(result.output)
        jsonschema_rs.validator_for(_SCHEMA).validate(document)
        assert result.exit_code == (0 if document["well"] else 1)
        return document

    return run


def found(document: dict[str, Any], area: str) -> list[tuple[str, str]]:
    return [(each["state"], each["what"]) for each in document["findings"] if each["area"] == area]


def wrong(document: dict[str, Any]) -> list[str]:
    return [each["what"] for each in document["findings"] if each["state"] == "wrong"]


def only(program: Path, monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """Leave nothing on PATH but these, the shell's own and the engine."""
    for name in ("cat", "sh", *programs):
        (program / "bin" / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(program / "bin"))


# --- the whole


def test_a_stack_that_lacks_nothing_is_well(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "docker", list)  # there is no engine in a unit test
    monkeypatch.setattr(doctor_module, "MACHINE_CHECKS", (machine_checks.python, machine_checks.pulumi))
    document = doctor()
    assert document["well"], wrong(document)
    assert document["stack"] == "staging"
    assert found(document, "secrets") == [("skipped", "none are set")]
    assert found(document, "settings") == [("ok", "nothing is wrong with them; hosts: web-1")]
    assert found(document, "application") == [("ok", "app: 1 services, 0 built")]
    assert found(document, "registry") == [("skipped", "not asked: no service is built")]


def test_registries_of_images_that_are_not_built_are_asked_too(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "MACHINE_CHECKS", ())
    problem = Problem("the registry of web (docker.io) does not answer", "unknown", "again")
    assert ("warning", problem.what) in found(doctor(missing={"web": problem}), "registry")


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("postgres:17-trixie", ("docker.io/library/postgres", "17-trixie")),
        ("postgres", ("docker.io/library/postgres", "latest")),
        ("registry.test:5000/a/b", ("registry.test:5000/a/b", "latest")),
        ("registry.test:5000/a/b:1@sha256:ab", ("registry.test:5000/a/b", "sha256:ab")),
    ],
)
def test_an_image_is_asked_for_by_digest_or_else_by_tag(
    monkeypatch: pytest.MonkeyPatch, image: str, asked: tuple[str, str]
) -> None:
    calls = []

    class Nothing:
        def __init__(self, repository: str, _login: object) -> None:
            self.repository = repository

        def has(self, reference: str) -> bool:
            calls.append((self.repository, reference))
            return False

    monkeypatch.setattr(image_check, "Registry", Nothing)
    [problem] = image_check.missing_images({"db": image}, Settings(stack="staging"))
    assert calls == [asked]
    assert "the image of db, " in problem.what


def test_every_failure_is_told_however_many_there_are(
    doctor: Doctor, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(program, monkeypatch)
    configure(program, retention="1", hosts="", registryUsername="bot")
    document = doctor("--stack", "production")
    text = "\n".join(wrong(document))
    for expected in (
        "docker is not on PATH",
        "there is no stack production of project shop",
        "retention: input should be greater than or equal to 2",
        "hosts: the list is empty",
        "registryPassword: empty, though registryUsername is set",
    ):
        assert expected in text
    assert ("warning", "git is not on PATH") in found(document, "machine")
    assert ("warning", "uv is not on PATH") in found(document, "machine")


def test_problems_of_settings_and_of_the_compose_file_are_told_together(doctor: Doctor, program: Path) -> None:
    configure(program, registryUsername="bot", secrets=json.dumps({"API_TOKEN": CANARY}))
    (program / "app" / "compose.yaml").write_text("services: {web: {image: 'x:${TAG}', x-slipway: {rout: /}}}")
    document = doctor()
    text = "\n".join(wrong(document))
    assert "registryUsername is set" in text
    assert "variable TAG of the Compose file has no value" in text
    assert found(document, "registry") == [("skipped", "there is none in the settings")]
    assert "x-slipway" in text
    assert found(document, "hosts") == [("ok", "this machine")]
    assert CANARY not in json.dumps(document)


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail() -> list[CheckResult]:
        raise KeyError(CANARY)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(doctor_module, "MACHINE_CHECKS", (fail, machine_checks.python))
    monkeypatch.setattr(stack_checks, "backend", lambda _: fail())
    document = doctor()
    assert wrong(document) == ["a bug in Slipway (KeyError)"] * 2
    assert found(document, "machine")[1][0] == "ok"
    assert found(document, "settings")[0][0] == "ok"
    assert CANARY not in json.dumps(document)


def test_without_an_engine_the_machine_is_told_and_the_rest_skipped(
    doctor: Doctor, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program / "bin" / "pulumi").unlink()
    only(program, monkeypatch)
    document = doctor()
    assert "pulumi is not on PATH" in wrong(document)
    assert found(document, "settings") == [("skipped", "not checked: there is no engine")]


def test_no_selected_stack_is_told_and_the_machine_is_looked_at(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = doctor("--stack", "")
    assert "no stack is selected (no stack selected)" in wrong(document)
    assert ("ok", "pulumi 3.256.0") in found(document, "machine")
    monkeypatch.setenv("SELECTED", "staging")
    assert doctor("--stack", "")["stack"] == "staging"


# --- this machine


def test_what_is_missing_on_path_is_told_with_what_gets_it(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(program, monkeypatch)
    (finding,) = machine_checks.docker()
    assert (finding.state, finding.what) == ("wrong", "docker is not on PATH")
    assert finding.fix.startswith("https://")
    assert machine_checks.compose() == []  # without a client, its plugins say nothing more


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            '[ "$1" = --version ] && echo "Docker version 28.2.2, build x" || { echo "Cannot connect" >&2; exit 1; }',
            [("ok", "docker 28.2.2"), ("wrong", "the Docker engine of this machine does not answer (Cannot connect)")],
        ),
        (
            '[ "$1" = --version ] && echo "Docker version 28.2.2, build x" || echo 26.1.5',
            [("ok", "docker 28.2.2"), ("ok", "Docker engine 26.1.5 answers")],
        ),
        ("exit 126", [("wrong", "docker ends with exit code 126")]),
    ],
)
def test_a_docker_engine_that_does_not_answer_is_told_apart_from_a_missing_client(
    script: str, expected: list[tuple[str, str]], program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(program, monkeypatch)
    (program / "bin" / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (program / "bin" / "docker").chmod(0o755)
    assert [(each.state, each.what) for each in machine_checks.docker()] == expected


@pytest.mark.parametrize(
    ("said", "state"),
    [("2.26.1-4", "ok"), ("v2.40.3", "ok"), ("2.19.9", "wrong"), ("", "wrong"), ("not a docker command", "wrong")],
)
def test_a_plugin_that_is_missing_or_too_old_is_wrong(
    said: str, state: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(program, monkeypatch)
    (program / "bin" / "docker").write_text(f"#!/bin/sh\necho '{said}'\n")
    (program / "bin" / "docker").chmod(0o755)
    (finding,) = machine_checks.compose()
    assert finding.state == state


def test_programs_may_be_as_old_as_the_toolchain_takes_them() -> None:
    oldest = {plugin.name: plugin.oldest for plugin in docker_tools._plugins()}
    assert oldest == {"compose": machine_checks.COMPOSE, "buildx": machine_checks.BUILDX}
    assert pulumi_tools.OLDEST_ENGINE == machine_checks.OLDEST_ENGINE


@pytest.mark.parametrize(("version", "state"), [("v3.220.0", "ok"), ("v3.219.0", "wrong"), ("rubbish", "wrong")])
def test_an_engine_that_is_too_old_is_wrong(
    version: str, state: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.is_dir()
    monkeypatch.setenv("ENGINE_VERSION", version)
    (finding,) = machine_checks.pulumi()
    assert finding.state == state


# --- backend and passphrase


def engine(program: Path, **environment: str) -> Engine:
    return Engine(
        root=program, stack="staging", environment={**os.environ, **environment}, options=["--stack", "staging"]
    )


def test_nobody_logged_in_is_told_with_the_command(program: Path) -> None:
    (finding,) = doctor_module._checked("backend", lambda: stack_checks.backend(engine(program, LOGGED_OUT="1")))
    assert (finding.state, finding.fix) == ("wrong", "pulumi login")


def test_who_holds_the_state_is_said_and_is_no_error(program: Path) -> None:
    lock = program / "state" / ".pulumi" / "locks" / "organization" / "shop" / "staging" / "one.json"
    assert [each.what for each in stack_checks.backend(engine(program))][-1] == "nobody holds its state"
    lock.parent.mkdir(parents=True)
    lock.write_text(
        json.dumps({"pid": 4711, "username": "ada", "hostname": "ci-3", "timestamp": "2026-11-20T19:00:00Z"})
    )
    (*_, finding) = stack_checks.backend(engine(program))
    assert (finding.state, finding.what) == (
        "warning",
        "ada@ci-3 (pid 4711) has held its state since 2026-11-20 19:00:00 UTC",
    )


def test_secrets_that_the_engine_decrypts_are_well(doctor: Doctor, program: Path) -> None:
    configure(program, secrets=json.dumps({"API_TOKEN": CANARY}))
    document = doctor()
    assert found(document, "secrets") == [("ok", "they can be read here")]
    assert CANARY not in json.dumps(document)


def test_a_configuration_that_the_engine_cannot_decrypt_is_wrong_in_its_words_with_the_fix(
    doctor: Doctor, program: Path
) -> None:
    (program / "configuration.json").unlink()
    document = doctor()
    (finding,) = [each for each in document["findings"] if each["area"] == "secrets"]
    assert finding["what"] == "the engine cannot read the stack's configuration (incorrect passphrase)"
    assert finding["fix"].startswith("read -rs PULUMI_CONFIG_PASSPHRASE && export")
    assert [found(document, area)[0][0] for area in ("settings", "hosts")] == ["skipped", "skipped"]


def test_a_registry_that_does_not_answer_is_told_also_when_the_compose_file_cannot_be_used() -> None:
    settings = Settings(stack="staging", registry="127.0.0.1:1")
    (finding,) = stack_checks.registry(settings, None)
    assert (finding.state, finding.fix) == ("wrong", "curl -i http://127.0.0.1:1/v2/")
    assert "127.0.0.1:1 does not answer" in finding.what


def test_credentials_are_tried_also_where_no_service_is_built(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: 'localhost:1/shop'}}")
    given = {"stack": "staging", "application": tmp_path, "registry": "localhost:1"}
    read = read_application(Settings(**given))
    assert stack_checks.registry(Settings(**given), read)[0].state == "skipped"
    named = Settings(**given, registry_username="bot", registry_password="wrong")
    assert stack_checks.registry(named, read)[0].state == "wrong"


# --- hosts


def application(folder: Path, *, routed: bool) -> tuple[Settings, Application]:
    route = ", x-slipway: {route: /, port: 80}" if routed else ""
    (folder / "compose.yaml").write_text(f"services: {{web: {{image: nginx{route}}}}}")
    settings = Settings(stack="staging", application=folder, hosts=[HostSettings(name="web-1", address="local")])
    return settings, read_application(settings)


def judged(
    folder: Path,
    probe: dict[str, Any],
    *,
    clock: float = 0.0,
    agent: str = "",
    listening: tuple[int, ...] = (),
    routed: bool = True,
    **settings: Any,
) -> dict[str, CheckResult]:
    """What is found of a host, by its first three words."""
    read, app = application(folder, routed=routed)
    seen = host_checks._HostState(probe, clock, agent, frozenset(listening))
    findings = host_checks._results(read.hosts[0], seen, read.model_copy(update=settings), app)
    return {" ".join(each.what.split()[:3]): each for each in findings}


def test_a_host_that_has_everything_is_told_line_by_line(tmp_path: Path, probe: dict[str, Any]) -> None:
    findings = judged(tmp_path, probe)
    assert {each.state for each in findings.values()} == {"ok"}
    assert "no agent yet:" in findings
    assert findings["port 80: free"].what == "port 80: free for the edge"


def test_what_the_agent_complains_of_is_wrong(tmp_path: Path, probe: dict[str, Any]) -> None:
    probe["problems"] = [{"what": "Docker is down", "meaning": "nothing runs", "fix": "start it"}]
    assert judged(tmp_path, probe)["Docker is down"] == CheckResult(
        "hosts", "wrong", "Docker is down", "nothing runs", "start it"
    )


def test_a_full_disk_is_wrong_and_an_old_docker_a_warning(tmp_path: Path, probe: dict[str, Any]) -> None:
    probe["machine"] |= {"disk_free_mb": 499, "docker": "20.10.24"}
    findings = judged(tmp_path, probe, disk_minimum_mb=500)
    assert findings["499 MB are"].state == "wrong"
    assert findings["Docker 20.10.24 is"].state == "warning"


@pytest.mark.parametrize(("clock", "state"), [(4.9, "ok"), (5.1, "warning"), (-3600.0, "warning")])
def test_a_clock_that_is_more_than_5_s_off_is_a_warning(
    clock: float, state: str, tmp_path: Path, probe: dict[str, Any]
) -> None:
    finding = judged(tmp_path, probe, clock=clock)["its clock is"]
    assert finding.state == state
    if clock < 0:
        assert "3600 s behind" in finding.what


def test_the_edges_ports_are_free_its_own_or_taken(tmp_path: Path, probe: dict[str, Any], edge: dict[str, Any]) -> None:
    taken = judged(tmp_path, probe, listening=(22, 80, 443), https=True)
    assert (taken["port 80 is"].state, taken["port 443 is"].state) == ("wrong", "wrong")
    assert "pulumi config set httpsPort --stack staging" in taken["port 443 is"].fix
    own = judged(tmp_path, {**probe, "edge": edge}, listening=(22, 80, 443), https=True)
    assert own["ports 80 and"].what == "ports 80 and 443: the edge's already"
    assert judged(tmp_path, probe, listening=(80,), routed=False)["the edge's ports:"].state == "skipped"


@pytest.mark.parametrize(
    ("version", "image", "fix"),
    [
        ("3.6.2", "traefik:v3.7.13", "pulumi up --stack staging"),
        ("3.6.8", "traefik:v3.6.8", "pulumi config set edgeImage traefik:v3.7.13 --stack staging"),
        ("3.7.13", "traefik:v3.7.13", ""),
    ],
)
def test_an_edge_with_known_faults_is_a_warning(  # noqa: PLR0917 - a case is one line
    tmp_path: Path, probe: dict[str, Any], edge: dict[str, Any], version: str, image: str, fix: str
) -> None:
    found = judged(tmp_path, {**probe, "edge": {**edge, "version": version}}, edge_image=image)
    [*said] = [each for each in found.values() if each.what.startswith(f"the edge is Traefik {version}")]
    assert [(each.state, each.fix) for each in said] == ([("warning", fix)] if fix else [])


def test_the_agent_is_told_by_its_version(tmp_path: Path, probe: dict[str, Any]) -> None:
    digest = pack_agent().digest[:12]
    assert "in this version" in judged(tmp_path, probe, agent=f"agent-{digest}.pyz")["the agent is"].what
    assert "of another version" in judged(tmp_path, probe, agent="agent-000000000000.pyz")["an agent of"].what


def test_a_deployment_that_runs_or_was_interrupted_is_a_warning(tmp_path: Path, probe: dict[str, Any]) -> None:
    findings = judged(tmp_path, {**probe, "lock": "ada, 3 s", "interrupted": "r-1, shift"})
    assert [each.state for each in findings.values() if each.what.startswith("a deployment")] == ["warning"] * 2


@pytest.mark.parametrize(
    ("host", "key", "reason"), [({"hostKey": KEY}, "", "no private key"), ({}, "a key", "no host key is pinned")]
)
def test_a_host_whose_settings_are_not_whole_is_not_reached_for(host: dict[str, str], key: str, reason: str) -> None:
    machine = HostSettings.model_validate({"name": "web-1", "address": "203.0.113.10", **host})
    settings = Settings.model_validate({"stack": "staging", "hosts": [machine], "sshKey": key})
    (finding,) = host_checks.hosts(settings, None)
    assert (finding.state, finding.host) == ("skipped", "web-1")
    assert reason in finding.what


def test_an_error_of_reaching_a_host_is_told_whole() -> None:
    machine = HostSettings(name="web-1", address="local")
    error = SlipwayError([Problem("a", "b", "c"), Problem("d", "e", "f")])
    assert [each.what for each in host_checks._results(machine, error, Settings(stack="staging"), None)] == ["a", "d"]


def test_what_listens_on_a_host_is_read_from_its_kernel() -> None:
    clock, agent, listening = host_checks._parsed(
        f"Welcome\n2\nslipway-doctor:\n1763665200.123456789\nagent-0123456789ab.pyz\n{TCP}"
    )
    assert (clock, agent, listening) == (1763665200.123456789, "agent-0123456789ab.pyz", {22, 80})


@pytest.mark.parametrize("text", ["", "\n\n", "rubbish\n\n", "1763665200.N\n\n", "1\n\n a b:zz c 0B\n"])
def test_a_host_that_tells_rubbish_breaks_nothing(text: str) -> None:
    assert host_checks._parsed(text)[2] == frozenset()


# --- what is printed


def test_each_finding_is_a_line_and_what_is_wrong_says_meaning_and_mend(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [
        CheckResult("machine", "ok", "git 2.39.5"),
        CheckResult("hosts", "wrong", "port 80 is taken\x1b[2J", "no route", "stop it", "web-1"),
        CheckResult("hosts", "warning", "late", "times differ", "set it", "web-2"),
    ]
    print_out(report({"stack": "staging", "well": False, "findings": [each._asdict() for each in findings]}))
    assert capsys.readouterr().out.splitlines() == [
        "machine",
        "  ok       git 2.39.5",
        "host web-1",
        r"  wrong    port 80 is taken\x1b[2J",
        "           no route",
        "           stop it",
        "host web-2",
        "  warning  late",
        "           times differ",
        "           set it",
        "",
        "stack staging: 1 thing to fix",
    ]


def test_warnings_alone_are_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    print_out(
        report({"stack": "", "well": True, "findings": [CheckResult("hosts", "warning", "a", "b", "c")._asdict()]})
    )
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is wrong, 1 warning"


def test_help_of_both_commands_imports_nothing_heavy() -> None:
    for name in ("init", "doctor"):
        program = (
            f"import sys; sys.argv = ['slipway', '{name}', '--help']\n"
            "from slipway.cli.main import main\n"
            "try:\n    main()\n"
            "finally:\n    print(sorted({'pulumi', 'asyncssh', 'rich', 'yaml', 'asyncio', 'components', 'toolchain'}"
            " & set(sys.modules)), file=sys.stderr)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr.splitlines()[-1] == "[]"
