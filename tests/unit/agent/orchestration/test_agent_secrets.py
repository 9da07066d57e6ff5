"""What a program prints of its secrets is hidden before it is cut: whoever reads an error reads no part of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulation import SMOKE, Simulation

from slipway.agent.command import _hiding, known_here
from slipway.agent.crash_report import as_error
from slipway.agent.deadline import Deadline
from slipway.agent.deploy.deploy import deploy
from slipway.agent.docker import facts
from slipway.agent.docker.compose_cli import failed_start
from slipway.agent.docker.docker_api import KEPT, last_lines
from slipway.agent.docker.process import run
from slipway.agent.docker.pull import explain
from slipway.agent.output import Output
from slipway.agent.state.stack_dir import StackFolder
from slipway.agent.watch.watch import start_watch
from slipway.contract.deployment import Deployment
from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "".join(f"q{number:02d}w" for number in range(12))
PIECES = {SECRET[at : at + 4] for at in range(len(SECRET) - 3)}
CUTS = (200, 300, 500, 1000, 2000, 4096)
"""Characters at which something is cut."""
FILLERS = [cut - within for cut in CUTS for within in (5, 20, 47)]


def shown(error: SlipwayError, capfd: pytest.CaptureFixture[str]) -> str:
    """What the agent prints of an error."""
    capfd.readouterr()
    Output("one", Redactor({"TOKEN": SECRET})).failure(error)
    return capfd.readouterr().err


@pytest.mark.parametrize("width", [1, 10, 20])
def test_a_secret_that_goes_on_in_the_next_line_of_the_evidence_is_hidden(
    width: int, capfd: pytest.CaptureFixture[str]
) -> None:
    pieces = [SECRET[at : at + width] for at in range(0, len(SECRET), width)]
    error = SlipwayError("it ended", "x", "y", ["before", *(f"| {each}" for each in pieces), "| after"])
    said = shown(error, capfd)
    assert not [each for each in pieces if f"| {each}\n" in said]
    assert "before" in said
    assert "after" in said


def of_nobody(text: str) -> bool:
    return not any(piece in text for piece in PIECES)


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize(
    ("mode", "smoke"),
    [
        ("talks", SMOKE),
        ("talks", {"kind": "command", "deadline": 2, "command": ["check", "it"]}),
        ("talks and ends", SMOKE),
        ("talks when asked", SMOKE),
    ],
)
def test_no_part_of_a_secret_is_in_the_evidence_of_a_failure(
    stack: Simulation, capfd: pytest.CaptureFixture[str], mode: str, smoke: dict[str, Any], filler: int
) -> None:
    text = f"{'x' * (filler - 1)} {SECRET} {'y' * 50}"
    wanted = stack.web("1", environment={"MODE": mode, "TEXT": text}, smoke=[smoke])
    content = Deployment.from_json(stack.document(wanted))

    def deployed(out: Output) -> Any:
        out.redactor = Redactor({"TOKEN": SECRET})
        return deploy(content, StackFolder(stack.stack), out, start_watch)

    ended = stack.start(deployed)[1]()
    assert ended.failure is not None
    assert of_nobody(shown(ended.failure, capfd))
    assert of_nobody((stack.host.home / "stacks" / stack.stack / "ledger.jsonl").read_text())


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize(
    "fail",
    [
        lambda text: failed_start(["web"], [text]),
        lambda text: explain("registry.example/web@sha256:1", text),
        lambda text: as_error(ValueError(text), None, Redactor({"TOKEN": SECRET})),
        lambda text: SlipwayError(f"Traefik does not accept it: {text}", text, "fix it"),
    ],
)
def test_no_part_of_a_secret_is_in_what_an_error_says(
    capfd: pytest.CaptureFixture[str], fail: Callable[[str], SlipwayError], filler: int
) -> None:
    text = f"{'x' * (filler - 1)} {SECRET} {'y' * 3000}"
    found = shown(fail(text), capfd)
    assert of_nobody(found)
    assert found.splitlines()[-1].endswith(fail(text).problems[0].fix)


@pytest.mark.parametrize("lost", [1, 20, 47])
def test_of_a_long_output_the_last_whole_lines_are_kept(tmp_path: Path, lost: int) -> None:
    end = "\nthe end\n"
    tail = f"{SECRET} {'y' * (KEPT - len(end) - len(SECRET) - 1 + lost)}{end}"
    assert last_lines(f"begin {tail}".encode()) == b"the end\n"
    assert last_lines(b"short") == b"short"
    file = tmp_path / "said"
    file.write_text(f"begin {tail}")
    done = run(
        ["cat", str(file)],
        environment={"PATH": "/usr/bin:/bin"},
        folder=str(tmp_path),
        deadline=Deadline(30, "it"),
        started=lambda _: None,
    )
    assert done.output == ("the end",)


@pytest.mark.parametrize("kept", range(4080, 4096, 5))
def test_a_word_that_the_engine_cut_is_not_shown(kept: int) -> None:
    output = f"{'x' * kept} {SECRET}"[:4096] + "..."
    log = [{"ExitCode": 1, "Output": output}]
    details = {"Id": "1" * 64, "Name": "/web", "Config": {}, "State": {"Health": {"Status": "unhealthy", "Log": log}}}
    assert facts.container(details).check_output == "x" * kept


def test_a_host_hides_the_secrets_of_before_and_where_its_watch_reports_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    folder = StackFolder("shop")
    folder.create()
    folder.store_secrets({"TOKEN": "value-of-now"})
    folder.store_previous_secrets({"TOKEN": "value-of-before"})
    url = "https://hooks.test/T0/9fXyZ01234567890abcd"
    for notify in (url, {"targets": [{"name": "notifyUrl", "url": url}]}):  # as an older Slipway wrote it, and as now
        Path(folder.watch).write_text(json.dumps({"rules": {"notify": notify}}))
        redactor = Redactor(*known_here(folder))
        assert redactor.text("value-of-now value-of-before") == "[TOKEN] [TOKEN]"
        assert redactor.text("POST /T0/9fXyZ01234567890abcd: refused") == "POST /T0/[notify.notifyUrl]: refused"
    Path(folder.watch).write_text("null")
    assert Redactor(*known_here(folder)).text("value-of-before") == "[TOKEN]"


@pytest.mark.parametrize(
    ("value", "hidden"),
    [("temporal", False), ("postgres", False), ("shop", False), ("temporally", True), ("authentication-api", True)],
)
def test_a_weak_secret_that_is_a_name_does_not_black_out_the_name(value: str, *, hidden: bool) -> None:
    names = ["shop-staging", "temporal", "authentication-api", "docker.io/library/postgres:18@sha256:0123"]
    said = f"service {value} did not stay up"
    for secret in (value, f"postgres://app:{value}@db/x"):
        redactor = _hiding(names, {"PASSWORD": secret})
        assert redactor.text(said) == (said.replace(value, "[PASSWORD]") if hidden else said)
