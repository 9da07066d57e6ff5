"""`slipway up` as a whole. The engine here is a script that writes an event log and ends as the real one does."""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_up_story import _HOST, ERROR, HOST_BEGINS, end, say

from slipway.releases import engine as engine_module

Engine = Callable[..., Path]

_SCRIPT = """\
#!{python}
import json, os, signal, sys, time
here = {here!r}
def asked(*_):
    with open(here + "/signals", "a") as file:
        file.write("asked\\n")
    time.sleep(0.5)
    open(here + "/over", "w").close()
    sys.exit(255)
signal.signal(signal.SIGINT, asked)
arguments = sys.argv[1:]
with open(here + "/calls", "a") as file:
    file.write(json.dumps([arguments, os.environ.get("PULUMI_DEBUG_COMMANDS")]) + "\\n")
log = arguments[arguments.index("--event-log") + 1]
for event, pause in json.load(open(here + "/events.json")):
    with open(log, "a") as file:
        file.write(json.dumps(event) + "\\n")
    time.sleep(pause)
print({said!r}, flush=True)
sys.exit({code})
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Make a program and put an engine on PATH that does so; the program's folder."""

    def does(*events: tuple[object, float], code: int = 0, said: str = "") -> Path:
        (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "events.json").write_text(json.dumps(events))
        script = folder / "pulumi"
        script.write_text(_SCRIPT.format(python=sys.executable, here=str(folder), said=said, code=code))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'state'}")
        monkeypatch.delenv("PULUMI_STACK", raising=False)
        return tmp_path

    return does


# Tests may run in a container, which does not see the processes of others.
_MAIN = (
    "from slipway.releases.locks import liveness; liveness._sees_all_processes = lambda: True; "
    "from slipway.cli.main import main; main()"
)


def _start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN, *(arguments if arguments[:1] == ("preview",) else ("up", *arguments))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = _start(folder, *arguments, **environment)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error


STEPS = [(HOST_BEGINS, 0.0), (say(_HOST, "web-1 start web 1.20 s\n"), 0.0)]
STACK_ENDS = {
    "resOutputsEvent": {
        "metadata": {
            "op": "same", "urn": "urn:pulumi:s::p::pulumi:pulumi:Stack::p-s", "type": "pulumi:pulumi:Stack",
            "old": None, "new": {"outputs": {"release": "r-1", "urls": ["http://shop.example/"]}},
        }
    }
}  # fmt: skip
SUMMARY = {"summaryEvent": {"resourceChanges": {"update": 1, "same": 4}}}
SUMMARY_ONLY = (SUMMARY, 0.0)


def test_steps_then_summary_release_and_url_and_exit_code_0(engine: Engine) -> None:
    folder = engine(*STEPS, (end(_HOST, "update"), 0.0), (STACK_ENDS, 0.0), (SUMMARY, 0.0))
    code, out, error = _run(folder, "--stack", "staging", "--yes", "--", "--target", "x")
    assert (code, error) == (0, "")
    first, done, *rest = out.splitlines()
    assert first.endswith("] web-1: start web, 1.20 s")
    assert first.startswith("[0:0")
    assert done.startswith("done in ")
    assert done.endswith(" s: 1 updated, 4 unchanged")
    assert rest == ["release r-1", "ready: http://shop.example/"]
    [arguments, debug] = json.loads((folder / "bin/calls").read_text())
    assert arguments[:3] == ["up", "--yes", "--skip-preview"]
    assert {"--stack", "staging", str(folder), "--target", "x"} <= set(arguments)
    assert debug in {"1", "true"}  # else the engine knows no --event-log


def _summary(folder: Path, *arguments: str) -> tuple[str, str]:
    """The summary of the job and the outputs of the step."""
    files = {name: folder / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    given = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/shop"}
    _run(folder, *arguments, **given, **{name: str(file) for name, file in files.items()})
    return files["GITHUB_STEP_SUMMARY"].read_text(), files["GITHUB_OUTPUT"].read_text()


def test_a_ci_job_gets_release_duration_links_and_the_way_back(engine: Engine) -> None:
    folder = engine(*STEPS, (end(_HOST, "update"), 0.0), (STACK_ENDS, 0.0), (SUMMARY, 0.0))
    summary, outputs = _summary(folder, "--stack", "staging")
    first, _, how, *rest = summary.splitlines()
    assert first == "### ✅ `staging`: `r-1`"
    assert re.fullmatch(r"done in \d+\.\d s: 1 updated, 4 unchanged", how)
    assert "- <http://shop.example/>" in rest
    by_hand = "<https://github.com/acme/shop/actions/workflows/rollback.yml>"
    assert f"- the way back: `slipway rollback --stack staging`, or by hand: {by_hand}" in rest
    assert outputs == "release=r-1\nurl=http://shop.example/\n"


def test_a_ci_job_gets_the_errors_of_a_failure_which_break_out_of_nothing(engine: Engine) -> None:
    said = "error: ```\n# x\n::set-output name=url::https://evil.test"
    summary, outputs = _summary(engine(SUMMARY_ONLY, code=1, said=said), "--stack", "staging")
    assert summary.startswith("### ❌ `staging`: no release\n\nfailed after ")
    fence = "`" * 4
    assert f"\n{fence}text\n" in summary
    assert summary.count(f"\n{fence}\n") == 1
    assert outputs == "release=\nurl=\n"


def test_a_step_is_printed_when_it_happens_and_not_at_the_end(engine: Engine) -> None:
    folder = engine(STEPS[0], (say(_HOST, "web-1 start web 1.20 s\n"), 3.0), (end(_HOST, "update"), 0.0))
    process = _start(folder, "--stack", "staging")
    assert process.stdout is not None
    assert "start web" in process.stdout.readline()
    assert process.poll() is None
    process.communicate(timeout=60)


def test_a_failure_ends_with_its_error_and_the_engines_exit_code(engine: Engine) -> None:
    folder = engine(*STEPS, (say(_HOST, "    web | no database\n"), 0.0), (say(_HOST, f"{ERROR}\n"), 0.0), code=255)
    code, out, error = _run(folder, "--stack", "staging")
    assert code == 255
    assert error == f"{ERROR}\n"
    assert "web-1:     web | no database" in out
    assert "failed after " in out.splitlines()[-1]


STACK = "urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"
TRACEBACK = """\
Program failed with an unhandled exception:
Traceback (most recent call last):
  File "/shop/__main__.py", line 40, in <module>
    raise ValueError("mine")
ValueError: mine
"""
PRINTED = "Diagnostics:\n  pulumi:pulumi:Stack (p-s):\n" + "\n".join(
    f"    {line}" for line in f"error: {TRACEBACK}".splitlines()
)
ON_THE_WAY = [
    # what the events say, what the engine prints, what is to be read, the reason in the error's first words
    ([say(STACK, "about to fail\n"), say(STACK, TRACEBACK, "error", "error: ")], PRINTED,
     ["about to fail", 'File "/shop/__main__.py", line 40', "ValueError: mine"], "ValueError: mine"),
    ([], PRINTED, ["ValueError: mine"], "Program failed with an unhandled exception:"),
    ([say(_HOST, "ssh: handshake failed\n", "error", "error: ")], "", ["ssh: handshake failed"], "exit code 255"),
    ([], "error: it is out of order", ["error: it is out of order"], "it is out of order"),
]  # fmt: skip


@pytest.mark.parametrize("what", ["up", "preview"])
@pytest.mark.parametrize(("events", "printed", "read", "reason"), ON_THE_WAY, ids=[each[3] for each in ON_THE_WAY])
def test_the_programs_own_words_stand_above_the_error(  # noqa: PLR0917 - a case is one line
    engine: Engine, what: str, events: list[object], printed: str, read: list[str], reason: str
) -> None:
    folder = engine(*((event, 0.0) for event in events), code=255, said=printed)
    code, out, error = _run(folder, *(["preview"] if what == "preview" else []), "--stack", "s")
    assert code != 0
    *above, last = [*out.splitlines(), *error.splitlines()]
    assert all(any(words in line for line in above) for words in read)
    assert last.startswith(f"slipway: error: pulumi {what} failed ({reason}) — ")
    assert last.endswith(f" — fix that, then slipway {what} --stack s")
    assert what == "up" or not out


def test_a_preview_that_fails_with_errors_shows_their_evidence_and_no_more(engine: Engine) -> None:
    lines = [say(STACK, "the program says\n"), HOST_BEGINS, say(_HOST, "    web | no\n"), say(_HOST, f"{ERROR}\n")]
    code, out, error = _run(engine(*((each, 0.0) for each in lines), code=255), "preview", "--stack", "s")
    assert (code, out) == (1, "")
    assert error.splitlines() == ["web-1:     web | no", ERROR]


def test_an_error_of_the_engines_own_is_quoted_and_put_in_the_familys_form(engine: Engine) -> None:
    code, out, error = _run(engine(code=6, said="error: no stack named 'x' found"), "--stack", "x")
    assert code == 6
    assert "error: no stack named 'x' found" in out.splitlines()
    said = "slipway: error: pulumi up failed (no stack named 'x' found) — nothing was done — pulumi stack ls\n"
    assert error == said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("resource_limit_exceeded", "that limit is reached — ask for more at https://console.hetzner.cloud (Limits)"),
        ("resource_unavailable", "at that place now — choose another type or location in hetzner.servers, or wait"),
    ],
)
def test_what_hetzner_refuses_comes_with_the_way_out(engine: Engine, code: str, words: str) -> None:
    _, _, error = _run(engine(code=255, said=f"error: server limit exceeded ({code})"), "--stack", "x")
    assert words in error


@pytest.mark.parametrize(
    "said", ['Process exited with status 137 from signal KILL: running "exec python3"', 'signal: killed: running "x"']
)
def test_a_killed_agent_leads_to_the_update_that_ends_what_it_had_begun(engine: Engine, said: str) -> None:
    code, _, error = _run(engine(*STEPS, code=255, said=f"error: {said}"), "--stack", "x")
    ends = "a host's agent was killed; the next update finishes or undoes what it had begun — slipway up --stack x\n"
    assert (code, error) == (255, f"slipway: error: pulumi up failed ({said}) — {ends}")


@pytest.mark.parametrize(
    ("asked", "meaning", "fix"),
    [
        ("prodction", "did you mean 'production'?", "pulumi stack ls"),
        ("org/shop/prodction", "did you mean 'production'?", "pulumi stack ls"),
        ("other", "nothing was done", "pulumi stack ls"),
        ("org/shop/staging", "its settings are here, the stack itself is not", "pulumi stack init org/shop/staging"),
    ],
)
def test_of_names_that_no_stack_has_only_one_with_settings_is_to_be_made(
    tmp_path: Path, asked: str, meaning: str, fix: str
) -> None:
    for name in ("production", "staging"):
        (tmp_path / f"Pulumi.{name}.yaml").touch()
    assert engine_module.Engine(root=tmp_path, stack=asked, environment={}, options=[]).absent() == (meaning, fix)


@pytest.mark.parametrize("given", [[], ["--", "--message", "mine"]])
def test_what_a_dead_engine_held_is_taken_over_and_the_update_says_so(engine: Engine, given: list[str]) -> None:
    folder = engine(SUMMARY_ONLY)
    with subprocess.Popen(["true"]) as dead:
        pass
    lock = folder / "state/.pulumi/locks/organization/shop/staging/0c.json"
    lock.parent.mkdir(parents=True)
    said = {"pid": dead.pid, "username": "ann", "hostname": socket.gethostname(), "timestamp": "2026-11-20T14:02:11Z"}
    lock.write_text(json.dumps(said))
    code, _, error = _run(folder, "--stack", "staging", *given)
    assert code == 0
    assert error.startswith("took over the lock of ann@")
    assert not lock.exists()
    [arguments, _] = json.loads((folder / "bin/calls").read_text())
    messages = [after for before, after in itertools.pairwise(arguments) if before == "--message"]
    assert messages == [error.strip(), *given[2:]]  # the engine takes the last one: a message of one's own


def test_an_engine_that_is_refused_for_anothers_lock_tries_again_and_then_says_so(engine: Engine) -> None:
    said = "error: the stack is currently locked by 1 lock(s).\n  file:///x.json: created by ann@laptop (pid 4711) at T"
    folder = engine(code=255, said=said)
    code, out, error = _run(folder, "--stack", "staging", SLIPWAY_LOCK_WAIT="1")
    assert (code, out) == (1, "")
    waits, refusal = error.splitlines()
    rest = "stack staging is locked by another run of pulumi (ann@laptop (pid 4711"
    assert re.match(rf"waiting up to [01] s: {re.escape(rest)}", waits)
    assert refusal.startswith(f"slipway: error: {rest}")
    assert len((folder / "bin/calls").read_text().splitlines()) == 2


def test_ctrl_c_is_passed_on_once_and_the_engine_waited_for(engine: Engine) -> None:
    folder = engine(*STEPS, (say(_HOST, "web-1 smoke web 0.10 s\n"), 30.0))
    process = _start(folder, "--stack", "staging")
    assert process.stdout is not None
    while "smoke" not in process.stdout.readline():
        pass
    began = time.monotonic()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert process.stderr is not None
    assert process.stderr.readline() == "hosts that had begun are asked to go back, and waited for\n"
    assert not (folder / "bin/over").exists(), "it says so afterwards"
    out, _ = process.communicate(timeout=20)
    assert time.monotonic() - began >= 0.4, "it did not wait for the engine"
    assert process.returncode == 255
    assert (folder / "bin/signals").read_text() == "asked\n"
    assert "stopped after " in out


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell a process that its parent ended")
def test_an_engine_is_asked_to_stop_when_its_slipway_is_killed(engine: Engine) -> None:
    folder = engine(*STEPS, (say(_HOST, "web-1 smoke web 0.10 s\n"), 30.0))
    process = _start(folder, "--stack", "staging")
    assert process.stdout is not None
    while "smoke" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=20)
    until = time.monotonic() + 10
    while not (folder / "bin/signals").exists():
        assert time.monotonic() < until, "the engine goes on"
        time.sleep(0.05)


def test_a_stack_named_without_its_option_is_wrong_usage(engine: Engine) -> None:
    folder = engine()
    code, _, error = _run(folder, "staging")
    assert code == 2
    assert "a stack is named with --stack" in error
    assert not (folder / "bin/calls").exists()
