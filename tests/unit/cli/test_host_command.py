"""`slipway host check` and `prepare`: usage, what is shown, exit codes, and what is refused before anything changes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncssh
import jsonschema_rs
import pytest
from rich.console import Console
from typer.testing import CliRunner

from slipway.cli.hosts import check, prepare
from slipway.cli.main import app
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.preparation.item import Wanted
from slipway.hosts.preparation.items import items
from slipway.hosts.preparation.script import ONLY_ROOT, Result
from slipway.releases import engine
from slipway.settings.blocks.hetzner import HetznerSettings
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = json.loads((Path(check.__file__).parents[1] / "schemas" / "host-check.schema.json").read_text())
LIST = items(Wanted())
GONE = SlipwayError(Problem("host db-1: deploy@192.0.2.2:22 cannot be reached", "its state is unknown", "ssh db-1"))
REFUSED = SlipwayError(Problem("host db-1: refuses the key in sshKey", "nothing", "ssh-copy-id", "login-refused"))


def found(*differing: str, **texts: str) -> list[Result]:
    return [
        Result(item, "differs" if item.id in differing else "ok", texts.get(item.id.replace("-", "_"), "so"))
        for item in LIST
    ]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    hosts = [
        {"name": "web-1", "address": "192.0.2.1", "user": "app", "port": 2222},
        {"name": "db-1", "address": "192.0.2.2"},
        {"name": "here", "address": "local"},
    ]
    made = Settings.model_validate({"stack": "staging", "hosts": hosts, "sshKey": key, "httpPort": 8080})
    monkeypatch.setattr(engine, "read_stack", lambda _: SimpleNamespace(settings=made, project="shop"))
    return made


@pytest.fixture
def run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, list[tuple[str, str, tuple[str, ...]]]]]:
    """Runs `slipway host …` where the hosts have what is given; its result, and what was brought about."""

    def run(
        *arguments: str, **hosts: list[Result] | SlipwayError
    ) -> tuple[Any, list[tuple[str, str, tuple[str, ...]]]]:
        done = []

        async def look(host: Any, _key: str, _items: Any) -> list[Result]:
            answer = hosts.get(host.name.replace("-", "_"), found())
            if isinstance(answer, SlipwayError):
                raise answer
            return answer

        async def bring(host: Any, _key: str, lacking: Any, say: Any) -> None:
            done.append((host.name, host.user, tuple(item.id for item in lacking)))
            for item in lacking:
                say(Result(item, "ok", "done"))

        monkeypatch.setattr(check, "check", look)
        monkeypatch.setattr(prepare, "bring_about", bring)
        return CliRunner().invoke(app, ["host", *arguments]), done

    assert settings.hosts
    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--yes"), ("check", "--preview"), ("prepare", "--json"), ("prepare", "--add"), ("key",),
        ("key", "file"), ("key", "file", "--preview", "--login", "root"), ("key", "file", "--preview", "--yes"),
        ("check", "--ssh-from", "192.0.2.1/24"), ("prepare", "--ssh-from", "anywhere"), ("prepare", "a", "b"),
        ("look",),
    ],
)  # fmt: skip
def test_what_belongs_to_another_use_is_wrong_usage(run: Any, arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0].exit_code == 2


@pytest.mark.parametrize(
    ("web", "code", "prepared"),
    [(found(), 0, True), (found("sshd", sshd="maxauthtries 6"), 1, False), (GONE, 1, False)],
    ids=["prepared", "differs", "gone"],
)
def test_a_check_shows_all_hosts_and_its_code_says_whether_anything_differs(
    run: Any, web: list[Result] | SlipwayError, code: int, *, prepared: bool
) -> None:
    ended, done = run("check", "--json", web_1=web)
    document = json.loads(ended.stdout)
    jsonschema_rs.validator_for(SCHEMA).validate(document)
    assert (ended.exit_code, document["prepared"], done) == (code, prepared, [])
    assert [host["name"] for host in document["hosts"]] == ["web-1", "db-1"]
    people = run("check", web_1=web)[0]
    assert people.exit_code == code
    assert "host db-1: prepared" in people.stdout
    assert ("cannot be reached" in people.stderr) is isinstance(web, SlipwayError)
    assert ("maxauthtries 6" in people.stdout) is (code == 1 and isinstance(web, list))


def test_what_cannot_be_known_is_no_difference(run: Any) -> None:
    unknown = [result._replace(state="unknown", text="no systemd here") for result in found()]
    ended, _ = run("check", "web-1", web_1=unknown)
    assert ended.exit_code == 0
    assert f"host web-1: prepared, {len(LIST)} cannot be known" in ended.stdout


@pytest.mark.parametrize("what", ["check", "prepare"])
@pytest.mark.parametrize("name", ["here", "other"])
def test_a_host_that_is_not_reached_over_ssh_is_refused_with_those_that_are(run: Any, what: str, name: str) -> None:
    ended, _ = run(what, name)
    assert isinstance(ended.exception, SlipwayError)
    assert "web-1, db-1" in str(ended.exception)


def test_preparing_shows_the_plan_and_changes_what_differs_alone(run: Any) -> None:
    ended, done = run("prepare", "--yes", "--login", "root", web_1=found("sshd", "swap", sshd="maxauthtries 6"))
    assert (ended.exit_code, done) == (0, [("web-1", "root", ("sshd", "swap"))])
    assert "host web-1: 2 things to change" in ended.stdout
    assert "host db-1: nothing to change" in ended.stdout
    why = {item.id: item.why for item in LIST}
    assert why["sshd"] in ended.stdout
    assert why["user"] not in ended.stdout
    assert "web-1: sshd: done" in ended.stdout


def test_nothing_is_changed_where_nobody_can_be_asked_or_nothing_differs(run: Any) -> None:
    ended, done = run("prepare", "web-1", web_1=found("sshd"))
    assert "slipway host prepare web-1 --yes" in str(ended.exception)
    assert done == []
    ended, done = run("prepare")
    assert (ended.exit_code, done) == (0, [])


@pytest.mark.parametrize(
    ("db", "reason", "fix"),
    [
        (GONE, "cannot be reached", "ssh db-1"),
        (found("system", system="fedora-41"), "fedora-41 cannot be prepared", "slipway host check db-1"),
        (found(sshd=ONLY_ROOT), "root is not root", "slipway host prepare db-1 --login root"),
        (REFUSED, "refuses the key", "ssh-copy-id"),
    ],
    ids=["gone", "fedora", "rights", "refused"],
)
def test_one_host_that_cannot_be_prepared_stops_all_before_any_change(
    run: Any, db: list[Result] | SlipwayError, reason: str, fix: str
) -> None:
    ended, done = run("prepare", "--yes", web_1=found("sshd"), db_1=db)
    assert done == []
    assert reason in str(ended.exception)
    assert fix in str(ended.exception)


def test_a_user_who_is_not_there_yet_leads_to_root(run: Any) -> None:
    ended, done = run("prepare", "web-1", web_1=REFUSED)
    assert (str(ended.exception).endswith("slipway host prepare web-1 --login root"), done) == (True, [])


def test_a_host_is_prepared_for_what_its_stack_says(settings: Settings) -> None:
    web, db = check.chosen(settings, "", "root")
    wanted = check.wanted_of(web, settings, ("192.0.2.0/24",))
    assert (wanted.user, wanted.ssh_port, wanted.ports) == ("app", 2222, (8080, 443))
    assert wanted.ssh_from == ("192.0.2.0/24",)
    assert wanted.login_keys[0].split()[0] == "ssh-ed25519"
    assert check.wanted_of(db, settings, ()).user == "deploy"
    assert (wanted.private, dict(wanted.volumes)) == ((), {})
    server = {"name": "web-1", "type": "cx23", "location": "fsn1", "volume": {"size": 10, "path": "/srv/data"}}
    block = HetznerSettings.model_validate({"servers": [server], "network": "10.10.0.0/16"})
    wanted = check.wanted_of(web, settings.model_copy(update={"hetzner": block}), ())
    assert (wanted.private, dict(wanted.volumes)) == (("10.10.0.0/16",), {"": "/srv/data"})


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("view", ["check", "plan"])
def test_nothing_is_cut_on_a_narrow_terminal(view: str, width: int) -> None:
    long = "there is no /etc/systemd/system/slipway-firewall.service; maxauthtries 6; " * 3
    results = found("sshd", "firewall", "upgrades", sshd=long, firewall=long)
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        shown = {"web-frankfurt-falkenstein-1": results}
        if view == "plan":
            console.print(
                prepare.plan_view({name: [r for r in each if r.state == "differs"] for name, each in shown.items()})
            )
        else:
            console.print(check.report(check.check_document("production", shown)))
    lines = capture.get().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    words = " ".join(lines).split()
    assert all(" ".join(words).count(word) for word in long.split())
    assert "…" not in capture.get()
