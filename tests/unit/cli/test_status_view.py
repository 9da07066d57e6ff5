from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from rich.console import Console

from slipway.cli.printing import print_out
from slipway.cli.status.status_view import rendered
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.engine import Stack
from slipway.releases.format import ago
from slipway.releases.status import status_document


@pytest.fixture
def printed(stack: Callable[..., Stack], now: datetime) -> Callable[..., str]:
    """The lines that a terminal of 130 columns shows, without colour."""

    def text(**seen: object) -> str:
        hosts = {name.replace("_", "-"): answer for name, answer in seen.items()}
        console = Console(width=130, color_system=None, highlight=False)
        with console.capture() as capture:
            console.print(rendered(status_document(stack(*hosts), hosts, now)))
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    return text


def test_a_healthy_host_is_one_block_that_says_everything(printed: Callable[..., str], probe: dict[str, Any]) -> None:
    assert printed(web_1=probe) == (
        "shop on stack staging: as deployed\n"
        "\n"
        "web-1 (web-1.example): release r-0123456789ab, commit 3f2a91c04b7d on main, "
        "live since 2025-11-20 13:10:00 UTC (20 min ago)\n"
        "  service  container  state      health   image         started     restarts\n"
        "  api      api-1      running    healthy  a1a1a1a1a1a1  20 min ago  0\n"
        "  seed     seed-1     completed  -        a1a1a1a1a1a1  20 min ago  0"
    )


def test_a_move_that_was_undone_is_said_instead_of_all_that_follows_from_it(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    probe["drift"] = [{"service": "api", "what": "api-1 is exited (exit code 0)"}]
    for each in probe["live"]["services"]["api"]["containers"]:
        each["state"] = "exited"
    said = "the move was undone: old runs again, this stack is stopped; `slipway up` moves again"
    text = printed(web_1=probe | {"move": {"project": "old", "state": "undone"}})
    assert [line for line in text.splitlines() if "differs" in line] == [f"  differs: {said}"]
    assert "3f2a91c04b7d on main, stopped\n" in text
    assert "live since" not in text
    text = printed(web_1=probe | {"move": {"project": "old", "state": "undoing"}})
    assert "differs: api: api-1 is exited (exit code 0)" in text
    assert "differs: an undo of the move was cut off" in text
    assert "live since" in printed(web_1=probe | {"move": {"project": "old", "state": "moved"}})


def test_a_service_without_containers_is_a_row_of_its_own(printed: Callable[..., str], probe: dict[str, Any]) -> None:
    probe["live"]["services"]["api"]["containers"] = []
    probe["drift"] = [{"service": "api", "what": "is missing"}]
    text = printed(web_1=probe)
    assert "shop on stack staging: not as deployed" in text
    assert "  differs: api: is missing" in text
    assert "  api      -          missing" in text


def test_a_completed_one_off_without_a_container_is_not_missing(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    probe["live"]["services"]["seed"]["containers"] = []
    text = printed(web_1=probe)
    assert "shop on stack staging: as deployed\n" in text
    assert "  seed     -          completed  -        a1a1a1a1a1a1  -           -" in text
    assert "missing" not in text


@pytest.mark.parametrize(
    ("outcomes", "drift", "verdict"),
    [
        (("deployed", "deployed"), [], "as deployed"),
        (("failed", "failed"), [], "as deployed before the last update, which failed"),
        (("deployed", "failed"), [], "as deployed before the last update, which failed"),
        (("failed", "failed"), [{"service": "api", "what": "is missing"}], "not as deployed"),
    ],
)
def test_after_a_failed_update_the_title_does_not_say_that_it_was_deployed(
    outcomes: tuple[str, str], drift: list[dict[str, str]], verdict: str,
    printed: Callable[..., str], probe: dict[str, Any],
) -> None:  # fmt: skip
    first, second = (probe | {"drift": drift, "last": probe["last"] | {"outcome": outcome}} for outcome in outcomes)
    assert printed(web_1=first, web_2=second).startswith(f"shop on stack staging: {verdict}\n")


def test_an_unreachable_host_has_its_error_where_its_containers_would_be(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    text = printed(web_1=probe, web_2=SlipwayError(Problem("cannot be reached", "state unknown", "ssh web-2 true")))
    assert "api-1" in text
    assert "web-2 (web-2.example): not known\n  error: cannot be reached — state unknown — ssh web-2 true" in text


def test_a_running_an_interrupted_and_a_failed_deployment_are_told(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    probe["lock"] = "ci@runner (pid 4711) since 12 s: deploy r-2"
    probe["interrupted"] = "r-2 at start:api started"
    probe["last"] = {"release": "r-1", "outcome": "failed", "at": "2025-11-20T12:30:00Z", "reason": "smoke check [api]"}
    text = printed(web_1=probe)
    assert "  deploying now: ci@runner (pid 4711) since 12 s: deploy r-2" in text
    assert "  differs: a deployment was interrupted (r-2 at start:api started)" in text
    assert "  last deployment failed: r-1, 1 h ago: smoke check [api]" in text


def test_a_host_without_an_engine_does_not_call_its_containers_missing(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    probe["problems"] = [{"what": "the engine does not answer", "meaning": "unknown", "fix": "systemctl start docker"}]
    probe["machine"]["docker"] = None
    probe["live"]["services"]["api"]["containers"] = []
    text = printed(web_1=probe)
    assert "error: the engine does not answer — unknown — systemctl start docker" in text
    assert "missing" not in text


def test_nothing_deployed_is_said_and_not_an_empty_table(printed: Callable[..., str], probe: dict[str, Any]) -> None:
    text = printed(web_1=probe | {"live": None, "last": None, "convergence": ""})
    assert text.splitlines()[2:] == ["web-1 (web-1.example): nothing deployed", "  differs: nothing is deployed here"]


def test_a_host_that_was_rolled_back_by_itself_says_when_and_why_once(
    printed: Callable[..., str], probe: dict[str, Any], watch: dict[str, Any]
) -> None:
    probe["returned"] = {"from": "r-new", "to": "r-old", "at": "2025-11-20T13:20:00Z", "reason": "9 % fail"}
    probe["watch"] = watch | {"state": "returned", "release": "r-new", "alive": False}
    text = printed(web_1=probe)
    assert "shop on stack staging: not as deployed" in text
    assert (
        "  rolled back by itself: 10 min ago, r-new was deployed, "
        "and the watch rolled back to r-old: 9 % fail\n" in text
    )
    assert text.count("9 % fail") == 1


def test_what_the_watch_sees_keeps_and_how_long_it_goes_on_is_told(
    printed: Callable[..., str], probe: dict[str, Any], watch: dict[str, Any]
) -> None:
    text = printed(web_1=probe | {"watch": watch})
    assert "  watch: 43 min left; api 1,204 requests, 3 errors, p95 48 ms\n" in text
    assert "  kept: the old generation of api still runs, 9 min left\n" in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"alive": False}, "watch lost: its process is gone; if r-0123456789ab turns bad, nothing notices"),
        ({"state": "returning", "reason": "bad"}, "watch: rolling back to the release before r-0123456789ab: bad"),
        ({"state": "failed", "reason": "bad; going back failed: no"}, "watch: bad; going back failed: no"),
    ],
)
def test_a_watch_that_needs_eyes_says_so(
    change: dict[str, Any], text: str, printed: Callable[..., str], probe: dict[str, Any], watch: dict[str, Any]
) -> None:
    assert f"  {text}\n" in printed(web_1=probe | {"watch": watch | change})


@pytest.mark.parametrize(
    "change", [{"state": "over", "left": 0, "kept": []}, {"release": "r-of-long-ago", "alive": False}]
)
def test_a_watch_that_is_over_or_was_anothers_is_not_told(
    change: dict[str, Any], printed: Callable[..., str], probe: dict[str, Any], watch: dict[str, Any]
) -> None:
    assert "watch" not in printed(web_1=probe | {"watch": watch | change})


def test_the_edge_is_told_with_its_ports_and_whether_it_runs(
    printed: Callable[..., str], probe: dict[str, Any], edge: dict[str, Any]
) -> None:
    assert "  edge: Traefik 3.6.0, ports 80 and 443\n" in printed(web_1=probe | {"edge": edge})
    assert "  edge: Traefik 3.6.0, port 80\n" in printed(web_1=probe | {"edge": edge | {"https_port": None}})
    edge["containers"][0]["state"] = "exited"
    text = printed(web_1=probe | {"edge": edge})
    assert "  edge not running: Traefik 3.6.0, ports 80 and 443 (slipway-edge-1 is exited)\n" in text
    assert "edge" not in printed(web_1=probe | {"edge": edge | {"stacks": ["other-staging"]}})


def test_the_maintenance_page_is_told_in_the_title_and_at_its_host(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    text = printed(web_1=probe | {"maintenance": True}, web_2=probe)
    assert text.startswith("shop on stack staging: as deployed, maintenance page on\n")
    ends = "slipway maintenance off --stack staging ends it"
    assert text.count(f"  maintenance: visitors get the maintenance page; {ends}\n") == 1


def test_a_release_that_the_watch_rejected_is_told(printed: Callable[..., str], probe: dict[str, Any]) -> None:
    probe["last"] = {"release": "r-1", "outcome": "rejected", "at": "2025-11-20T12:30:00Z", "reason": "9 % fail"}
    assert "  rejected by the watch: r-1, 1 h ago: 9 % fail\n" in printed(web_1=probe)


def test_what_a_host_says_can_neither_style_nor_repaint_the_terminal(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    probe["last"] = {
        "release": "r-1", "outcome": "failed", "at": "2025-11-20T13:29:59Z", "reason": "[red]x[/red]\x1b[2J\r\nend",
    }  # fmt: skip
    text = printed(web_1=probe)
    assert r"last deployment failed: r-1, 1 s ago: [red]x[/red]\x1b[2J end" in text
    assert "\x1b" not in text


def test_a_dirty_tree_and_a_release_outside_git_are_told_apart(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    probe["live"] |= {"commit": "3f2a91c04b7d5e8f60123456789abcdef0123456-dirty", "branch": ""}
    assert "release r-0123456789ab, commit 3f2a91c04b7d-dirty, live since" in printed(web_1=probe)
    probe["live"] |= {"commit": ""}
    assert "release r-0123456789ab, live since" in printed(web_1=probe)


def test_a_log_gets_whole_lines(
    stack: Callable[..., Stack], probe: dict[str, Any], now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    probe["last"] |= {"outcome": "failed", "reason": "because " * 100 + "of it"}
    print_out(rendered(status_document(stack("web-1"), {"web-1": probe}, now)))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("because of it") and "last deployment failed: " in line for line in lines)
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2025-11-20T13:30:00Z", "now"),
        ("2025-11-20T13:29:18.999999999Z", "41 s ago"),
        ("2025-11-20T13:28:00Z", "2 min ago"),
        ("2025-11-20T10:00:00Z", "3 h ago"),
        ("2025-11-08T10:00:00+02:00", "12 d ago"),
        ("2025-11-20T13:30:09Z", "now"),
        ("0001-01-01T00:00:00Z", "never"),
        ("", "unknown"),
    ],
)
def test_age_is_told_in_its_largest_unit(moment: str, text: str, now: datetime) -> None:
    assert ago(moment, now) == text


def test_validated_release_is_told_live_or_as_what_a_failed_update_returns_to(
    printed: Callable[..., str], probe: dict[str, Any]
) -> None:
    assert "validated" not in printed(web_1=probe)
    assert "release r-0123456789ab, commit 3f2a91c04b7d on main, validated, live since" in printed(
        web_1=probe | {"validated": "r-0123456789ab"}
    )
    text = printed(web_1=probe | {"validated": "r-00000000000d"})
    assert "validated last: r-00000000000d; a failed update returns to it" in text
    assert "main, live since" in text
