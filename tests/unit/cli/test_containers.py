"""`slipway ps`, `logs`, `exec` and `shell`. The hosts here answer from a table; processes are this machine's own."""

import asyncio
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest
from rich.console import Console

from slipway.cli.containers import exec as exec_module
from slipway.cli.containers import list as list_module
from slipway.cli.containers import logs as logs_module
from slipway.cli.containers.exec import SIGNAL_SCRIPT, best_container, docker_exec
from slipway.cli.containers.list import ps_table
from slipway.cli.main import main
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.connection import LocalConnection, ended
from slipway.releases import engine as engine_module
from slipway.releases.engine import Stack
from slipway.settings.model import HostSettings

NOW = datetime(2026, 11, 20, 13, 30, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]
UNREACHABLE = SlipwayError(Problem("host web-2: it cannot be reached", "its state is unknown", "ssh web-2 true"))
DIGEST = "a1" * 32

Hosts = Callable[..., None]


def container(service: str, number: int = 1, **more: Any) -> dict[str, Any]:
    values = {
        "id": f"{service}{number}".ljust(12, "0"),
        "name": f"shop-staging-{service}-{number}",
        "service": service,
        "number": number,
        "one_off": False,
        "generation": "live",
        "release": "r-0123456789ab",
        "image": f"registry.example/shop-{service}:main@sha256:{DIGEST}",
        "state": "running",
        "exit_code": 0,
        "health": "healthy",
        "started": "2026-11-20T13:09:55.123456789Z",
        "restarts": 0,
        "ports": [],
    }
    return values | more


def listing(*containers: dict[str, Any], services: tuple[str, ...] = ("api", "db")) -> dict[str, Any]:
    return {
        "contract": 1, "stack": "shop-staging", "socket": "/var/run/docker.sock", "live": "r-0123456789ab",
        "services": list(services), "containers": list(containers),
    }  # fmt: skip


@pytest.fixture
def hosts(stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """Hosts by name: what their agents list, or the error of reaching them."""

    def set_up(**answers: Mapping[str, Any] | SlipwayError) -> None:
        named = {name.replace("_", "-"): answer for name, answer in answers.items()}

        @contextlib.asynccontextmanager
        async def reached(host: HostSettings, _private_key: str) -> AsyncIterator[LocalConnection]:
            if isinstance(error := named[host.name], SlipwayError):
                raise error
            yield LocalConnection()

        @contextlib.asynccontextmanager
        async def channel(
            _connection: object, host: str, _project: str, *, command: tuple[str, ...]
        ) -> AsyncIterator[SimpleNamespace]:
            assert command == ("containers",)

            async def answer(_content: bytes, _seconds: float) -> Any:
                return named[host]

            yield SimpleNamespace(answer=answer)

        monkeypatch.setattr(list_module, "reached", reached)
        monkeypatch.setattr(exec_module, "reached", reached)
        monkeypatch.setattr(list_module, "channel", channel)
        monkeypatch.setattr(engine_module, "read_stack", lambda _: stack(*named))

    return set_up


def slipway(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["slipway", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(str(end.value.code or 0))


# --- ps


def test_ps_shows_what_runs_on_all_hosts_and_says_what_it_leaves_out(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = container("seed", state="exited", health=None)
    run = container("api", 9, one_off=True, generation="one-off")
    hosts(
        web_1=listing(container("api", ports=["0.0.0.0:80->8000/tcp", "[::]:80->8000/tcp"]), seed, run),
        web_2=listing(container("api", 2, generation="kept", health=None)),
    )
    assert slipway(monkeypatch, "ps") == 0
    said = capsys.readouterr()
    rows = [row.split() for row in said.out.splitlines()]
    assert [row[:8] for row in rows] == [
        ["host", "service", "container", "state", "health", "image", "generation", "ports"],
        ["web-1", "api", "api-1", "running", "healthy", DIGEST[:12], "live", "80->8000"],
        ["web-2", "api", "api-2", "running", "-", DIGEST[:12], "kept", "-"],
    ]
    assert said.err == "not shown: 1 stopped and 1 one-off run (slipway ps --all --stack staging)\n"
    assert slipway(monkeypatch, "ps", "--all", "seed", "--host", "web-1") == 0
    said = capsys.readouterr()
    assert [row.split()[:5] for row in said.out.splitlines()[1:]] == [["web-1", "seed", "seed-1", "exited", "0"]]
    assert said.err == ""


def test_ps_as_json_is_as_documented_also_for_a_host_that_does_not_answer(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=listing(container("api"), container("db", state="exited", exit_code=137)), web_2=UNREACHABLE)
    assert slipway(monkeypatch, "ps", "--json") == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    jsonschema_rs.validator_for(
        json.loads((ROOT / "slipway/cli/schemas/ps.schema.json").read_text()),
        retriever=lambda uri: json.loads((ROOT / "slipway/contract/schemas" / uri.rpartition("/")[2]).read_text()),
    ).validate(document)
    assert [[each["service"] for each in host["containers"]] for host in document["hosts"]] == [["api"], []]
    assert document["hosts"][1]["errors"] == [UNREACHABLE.problems[0].to_json()]
    assert said.err == f"{UNREACHABLE}\n"


def test_ps_says_so_when_nothing_runs(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=listing())
    assert slipway(monkeypatch, "ps") == 0
    assert capsys.readouterr() == ("", "nothing runs\n")


def test_the_table_fits_a_terminal_of_100_columns() -> None:
    found = {
        "project": "shop-staging",
        "hosts": [
            {
                "name": "production-1",
                "containers": [
                    container("scheduler", 12, ports=["127.0.0.1:5432->5432/tcp", "0.0.0.0:53->53/udp"]),
                    container("web", 3, name="my-own-name-of-a-container", health="unhealthy", generation="other"),
                ],
            }
        ],
    }
    console = Console(width=100, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(ps_table(found, NOW))
    text = str(getattr(console.file, "getvalue", str)())
    assert max(map(len, text.splitlines())) <= 100
    for word in ("production-1", "scheduler", "running", "unhealthy", DIGEST[:12], "other", "20 min ago"):
        assert word in text


# --- services and hosts that are not there


@pytest.mark.parametrize("command", [("ps", "apy"), ("logs", "apy"), ("exec", "apy", "--", "true")])
def test_an_unknown_service_is_answered_with_the_nearest_one(
    command: tuple[str, ...], hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=listing(container("api")))
    assert slipway(monkeypatch, *command) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "slipway: error: no service 'apy' is deployed on stack staging — did you mean 'api'? — "
        "slipway ps --all --stack staging\n"
    )


@pytest.mark.parametrize("command", [("ps",), ("logs",), ("exec", "api"), ("shell",)])
def test_an_unknown_host_is_answered_with_those_that_there_are(
    command: tuple[str, ...], hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=listing(container("api")), web_2=listing())
    monkeypatch.setattr("slipway.cli.printing.has_terminal", lambda: True)
    rest = ("--", "true") if command[0] == "exec" else ()
    assert slipway(monkeypatch, *command, "--host", "web-3", *rest) == 1
    assert "stack staging has no host 'web-3' — did you mean 'web-" in capsys.readouterr().err


# --- which container


@pytest.mark.parametrize(
    ("containers", "number", "expected"),
    [
        ([container("api", 1, health="unhealthy"), container("api", 2)], None, 2),
        ([container("api", 2), container("api", 1)], None, 1),
        ([container("api", 1, generation="kept"), container("api", 2, health="unhealthy")], None, 2),
        ([container("api", 1, generation="kept"), container("api", 2, generation="other")], None, 2),
        ([container("api", 1, state="exited"), container("api", 2, health="starting")], None, 2),
        ([container("api", 1), container("api", 2)], 2, 2),
        ([container("api", 1, one_off=True), container("db", 2)], None, None),
        ([container("api", 1)], 2, None),
    ],
)
def test_the_best_container_is_chosen(
    containers: list[dict[str, Any]], number: int | None, expected: int | None
) -> None:
    found = best_container(listing(*containers), "api", number)
    assert (found["number"] if found else None) == expected


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that tells its arguments in a file, then runs what comes after the container's id."""
    program = tmp_path / "docker"
    program.write_text(
        "#!/bin/sh\n"
        f'printf "%s\\n" "$@" >> {tmp_path}/arguments; echo "$DOCKER_HOST" > {tmp_path}/engine\n'
        'while [ "${1#--}" != "$1" ] || [ "$1" = exec ]; do\n'
        '  case "$1" in --user) shift 2 ;; --env) export "$2"; shift 2 ;; *) shift ;; esac\n'
        'done\nshift\nexec "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_exec_ends_with_the_commands_own_code_in_the_first_healthy_container(
    hosts: Hosts, docker: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=listing(container("api", health="unhealthy")), web_2=listing(container("api", 2)))
    assert slipway(monkeypatch, "exec", "api", "--user", "app", "--", "sh", "-c", "echo out; echo err >&2; exit 7") == 7
    assert capfd.readouterr() == ("out\n", "in web-2 api-2 (--host chooses another)\nerr\n")
    arguments = (docker / "arguments").read_text().splitlines()
    assert arguments[:4] == ["exec", "--interactive", "--user", "app"]
    assert arguments[6:] == ["api200000000", "sh", "-c", "echo out; echo err >&2; exit 7"]
    assert (docker / "engine").read_text() == "unix:///var/run/docker.sock\n"


def test_exec_takes_an_unwell_container_when_there_is_no_other_and_says_so(
    hosts: Hosts, docker: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert docker
    hosts(web_1=listing(container("api", health="unhealthy", generation="other")), web_2=UNREACHABLE)
    assert slipway(monkeypatch, "exec", "api", "--", "true") == 0
    assert capfd.readouterr().err.splitlines() == [
        str(UNREACHABLE),
        "in web-1 api-1, of a generation that is not live (r-0123456789ab), unhealthy (--host chooses another)",
    ]


def test_exec_in_the_only_container_says_nothing_of_its_own(
    hosts: Hosts, docker: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert docker
    hosts(web_1=listing(container("api")))
    assert slipway(monkeypatch, "exec", "api", "--", "echo", "a  b", "$HOME", "--", "-x") == 0
    assert capfd.readouterr() == ("a  b $HOME -- -x\n", "")


@pytest.mark.parametrize(
    ("containers", "options", "what"),
    [
        (
            [container("db", state="exited", exit_code=1)],
            (),
            "db is not running (shop-staging-db-1 on web-1 exited with 1)",
        ),
        ([container("db", state="restarting")], (), "db is not running (shop-staging-db-1 on web-1 is restarting)"),
        ([], (), "db is not running on web-1"),
        ([container("db", 3)], ("--index", "2"), "db has no running container number 2"),
    ],
)
def test_a_service_that_does_not_run_is_told_with_its_state(  # noqa: PLR0917  # pytest's parameters
    containers: list[dict[str, Any]],
    options: tuple[str, ...],
    what: str,
    hosts: Hosts,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hosts(web_1=listing(*containers))
    assert slipway(monkeypatch, "exec", "db", *options, "--", "true") == 1
    assert capsys.readouterr().err.startswith(f"slipway: error: {what} — ")


def test_a_host_that_cannot_be_reached_is_the_error_when_there_is_no_other(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_2=UNREACHABLE)
    assert slipway(monkeypatch, "exec", "api", "--", "true") == 1
    assert capsys.readouterr().err == f"{UNREACHABLE}\n"


def test_an_answer_that_is_none_is_a_broken_contract_and_not_a_traceback(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1={"contract": 1, "rubbish": True})
    assert slipway(monkeypatch, "ps") == 1
    assert capsys.readouterr().err.startswith("slipway: error: listing: the document breaks the contract")


# --- quoting


@pytest.mark.parametrize("word", ["a b", "c'd", '"$HOME"', "*", "", "ü\n;", "--", "-rf", "`id`", "\\"])
def test_every_word_reaches_the_container_as_it_is(word: str, docker: Path) -> None:
    line = docker_exec(listing(), "f00d", ["printf", "%s", word], terminal=False)
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True, timeout=10)
    assert done.stdout.decode() == word
    assert shlex.split(line)[:2] == ["exec", "env"]
    assert docker


def test_a_terminal_is_asked_for_only_where_there_is_one() -> None:
    assert "--tty" not in shlex.split(docker_exec(listing(), "f00d", ["sh"], terminal=False))
    assert "--tty --env TERM" in docker_exec(listing(), "f00d", ["sh"], terminal=True)


def test_what_was_begun_in_a_container_is_found_by_its_mark_and_gets_the_signal() -> None:
    marked = subprocess.Popen(["sleep", "60"], env={**os.environ, "SLIPWAY_EXEC": "0123456789abcdef"})
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, "SLIPWAY_EXEC": "fedcba9876543210"})
    try:
        subprocess.run(
            ["sh", "-c", SIGNAL_SCRIPT, "sh", "SLIPWAY_EXEC=0123456789abcdef", "TERM"], check=True, timeout=30
        )
        assert marked.wait(timeout=10) == -15
        assert other.poll() is None
    finally:
        for each in (marked, other):
            each.kill()
            each.wait()


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -TERM $$", 143), ("true", 0)])
def test_the_end_of_a_program_is_told_as_a_shell_tells_it(script: str, code: int) -> None:
    async def run() -> int | None:
        return await ended(await LocalConnection().start_here(script, terminal=False))

    assert asyncio.run(run()) == code


PUMPS = """\
import asyncio
from slipway.cli.containers.stdio import _piped
from slipway.hosts.connection import LocalConnection
async def run():
    return await _piped(await LocalConnection().start("cat; echo end; exit 3"))
raise SystemExit(asyncio.run(run()))
"""


@pytest.mark.parametrize("kind", ["closed", "null", "file", "pipe", "silent pipe"])
def test_any_kind_of_standard_input_is_handed_on_with_its_end(kind: str, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"some input\n")
    redirection = {
        "closed": "<&-",
        "null": "</dev/null",
        "file": f"<{tmp_path}/input",
        "pipe": "",
        "silent pipe": "",
    }[kind]
    before = {"pipe": "echo some input |", "silent pipe": "sleep 0.3 |"}.get(kind, "")
    done = subprocess.run(
        ["sh", "-c", f'{before} "$0" -c "$1" {redirection}', sys.executable, PUMPS],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout == (b"some input\n" if kind in ("file", "pipe") else b"") + b"end\n"
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize(("script", "out", "err"), [
    ("echo Welcome; printf 'M\\n'; printf '\\0data'", b"\0data", b""),
    ("echo This account is disabled; exit 3", b"", b"This account is disabled\n"),
])  # fmt: skip
def test_what_a_start_up_file_prints_is_not_the_command_s(script: str, out: bytes, err: bytes) -> None:
    program = PUMPS.replace('"cat; echo end; exit 3")', f"{script!r}), 'M'")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == (out, err)


# --- usage


@pytest.mark.parametrize(
    "arguments",
    [
        ("exec",), ("exec", "api"), ("exec", "api", "--index", "0", "--", "true"), ("logs", "--tail", "many"),
        ("logs", "--since", "soon"), ("shell", "--index", "2"), ("shell", "--user", "root"), ("ps", "--hosts", "x"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(web_1=listing())
    assert slipway(monkeypatch, *arguments) == 2


def test_a_shell_needs_a_terminal(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1=listing(container("api")))
    monkeypatch.setattr("slipway.cli.printing.has_terminal", lambda: False)
    assert slipway(monkeypatch, "shell", "api") == 1
    assert capsys.readouterr().err.startswith("slipway: error: standard input and output are no terminal — ")


@pytest.mark.parametrize("arguments", [["ps", "--help"], ["logs", "-h"], ["exec", "--help"], ["shell", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['slipway', *{arguments!r}]\n"
        "from slipway.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'pulumi', 'asyncssh', 'rich', 'yaml', 'asyncio', 'components', 'toolchain'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


# --- logs


@pytest.mark.parametrize("coloured", [False, True])
def test_logs_goes_on_without_a_host_that_does_not_answer(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, coloured: bool
) -> None:
    hosts(web_1=listing(container("api")), web_2=UNREACHABLE)
    asked: list[tuple[str, ...]] = []

    @contextlib.asynccontextmanager
    async def channel(
        _connection: object, _host: str, _project: str, *, command: tuple[str, ...]
    ) -> AsyncIterator[SimpleNamespace]:
        asked.append(command)

        async def events() -> AsyncIterator[dict[str, Any]]:
            yield {"containers": [{"id": "api1", "name": "shop-staging-api-1", "service": "api", "number": 1}]}
            yield {"container": "api1", "at": "2026-11-20T13:00:01.000000000Z", "stream": "stdout", "text": "hello"}
            yield {"problem": {"what": "the log of shop-staging-db-1 cannot be read", "meaning": "-", "fix": "-"}}
            yield {"caught_up": True}

        yield SimpleNamespace(events=events)

    monkeypatch.setattr(logs_module, "reached", list_module.reached)
    monkeypatch.setattr(logs_module, "channel", channel)
    monkeypatch.setattr(logs_module, "in_colour", lambda: coloured)
    assert slipway(monkeypatch, "logs") == 1
    said = capsys.readouterr()
    assert ("\x1b[" in said.out) is coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", said.out) == "web-1 api-1 | hello\n"
    assert sorted(said.err.splitlines()) == [
        "slipway: error: host web-1: the log of shop-staging-db-1 cannot be read — - — -",
        str(UNREACHABLE),
    ]
    assert asked == [("logs", "--tail", "100")]
