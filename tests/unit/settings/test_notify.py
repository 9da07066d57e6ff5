"""The setting `notify`: who is told what, with addresses that are secrets and can be written to."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, load, problems_of_loading, whats

from slipway.notify.message import EVENTS

HOOK = f"https://hooks.test/T0/{CANARY}"
MAIL = {"to": "email", "url": f"smtps://me:{CANARY}@mail.test", "sender": "a@shop.test", "recipients": ["b@shop.test"]}


def given(**targets: Any) -> dict[str, str]:
    return {"notify": json.dumps(targets)}


def stated(folder: Path, url: str) -> None:
    (folder / "Pulumi.test.yaml").write_text(f"config:\n  slipway:notify:\n    ops: {{to: slack, url: {url}}}\n")


def test_targets_are_those_of_the_stack_by_name(tmp_path: Path) -> None:
    found = load(tmp_path, given(ops={"to": "slack", "url": HOOK, "events": "failed, down"}, mail=MAIL))
    mail, ops = found.notify_targets()
    assert (ops.name, ops.to, ops.url, ops.events) == ("ops", "slack", HOOK, ("failed", "down"))
    assert (mail.name, mail.to, mail.sender, mail.recipients) == ("mail", "email", "a@shop.test", ("b@shop.test",))
    assert CANARY not in repr(found)


def test_the_environment_gives_them_as_json(tmp_path: Path) -> None:
    [found] = load(
        tmp_path, environment={"SLIPWAY_NOTIFY": json.dumps({"ops": {"to": "teams", "url": HOOK}})}
    ).notify_targets()
    assert (found.name, found.to) == ("ops", "teams")


def test_production_is_told_everything_and_others_what_asks_for_somebody(tmp_path: Path) -> None:
    target = given(ops={"to": "slack", "url": HOOK})
    [quiet] = load(tmp_path, target).notify_targets()
    [all_of_it] = load(tmp_path, target, stack="production").notify_targets()
    assert all_of_it.events == tuple(EVENTS)
    assert set(EVENTS) - set(quiet.events) == {"started", "succeeded"}


@pytest.mark.parametrize(("url", "plain"), [(HOOK, True), ("{secure: v1:x}", False)])
def test_an_address_in_plain_text_is_refused(tmp_path: Path, url: str, plain: object) -> None:
    stated(tmp_path, url)
    found = problems_of_loading(
        tmp_path, given(ops={"to": "slack", "url": HOOK}), encrypted=[] if plain else ["notify"]
    )
    assert whats(found) == (["stack configuration: 'notify.ops.url' is stored in plain text"] if plain else [])
    for problem in found:
        assert "pulumi config set --secret --path 'notify.ops.url' --stack test" in problem.fix
        assert CANARY not in str(problem)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ({"to": "pager", "url": HOOK}, "notify.ops.to: input should be 'discord', 'slack', 'teams'"),
        ({"to": "slack"}, "notify.ops.url: is missing"),
        ({"to": "slack", "url": CANARY}, "notify.ops.url: is not an http:// or https:// address (without"),
        ({"to": "slack", "url": f"https://me:{CANARY}@h.test"}, "notify.ops.url: is not an http:// or https://"),
        ({"to": "slack", "url": f"https://h.test/{CANARY} x"}, "notify.ops.url: is not an http:// or https://"),
        ({"to": "slack", "url": f"https://h.test:x/{CANARY}"}, "notify.ops.url: is not an http:// or https://"),
        ({"to": "slack", "url": f"smtp://{CANARY}"}, "notify.ops.url: is not an http:// or https:// address"),
        ({"to": "teams", "url": f"https://acme.webhook.office.com/{CANARY}"}, "notify.ops.url: is an Office 365"),
        ({"to": "teams", "url": f"https://outlook.office.com/{CANARY}"}, "notify.ops.url: is an Office 365"),
        ({"to": "slack", "url": HOOK, "events": ["fail"]}, "notify.ops.events[0]: input should be 'started'"),
        ({"to": "slack", "url": HOOK, "channel": "#ops"}, "notify.ops.channel: unknown key"),
        ({**MAIL, "url": HOOK}, "notify.ops.url: is not smtps://[USER:PASSWORD@]HOST[:PORT] or smtp://…"),
        ({**MAIL, "url": f"smtp://me:{CANARY}@h.test/x"}, "notify.ops.url: is not smtps://"),
        ({**MAIL, "sender": ""}, "notify.ops.sender: is missing"),
        ({**MAIL, "recipients": []}, "notify.ops.recipients: is missing"),
        ({**MAIL, "recipients": ["nobody"]}, "notify.ops.recipients[0]: is not an e-mail address"),
    ],
)  # fmt: skip
def test_what_no_message_can_be_sent_to_is_refused_without_its_address(
    tmp_path: Path, target: dict[str, Any], what: str
) -> None:
    [problem] = problems_of_loading(tmp_path, given(ops=target), encrypted=["notify"])
    assert problem.what.startswith(what)
    assert "pulumi config" in problem.fix
    assert CANARY not in str(problem)


def test_a_name_is_one_that_a_path_can_have(tmp_path: Path) -> None:
    [problem] = problems_of_loading(tmp_path, given(**{"my ops": {"to": "slack", "url": HOOK}}))
    assert problem.what == 'notify["my ops"]: is not lower-case letters, digits and dashes'
    assert problem.fix == """pulumi config rm --path 'notify["my ops"]' --stack test"""


def test_the_redactor_knows_the_addresses(tmp_path: Path) -> None:
    mail = {**MAIL, "url": "smtps://me:p%40ss-9fXyZ0123@mail.test"}
    found = load(tmp_path, given(ops={"to": "slack", "url": HOOK}, mail=mail), encrypted=["notify"]).redactor()
    said = found.text(f"POST {HOOK}, login p@ss-9fXyZ0123")
    assert CANARY not in said
    assert "9fXyZ" not in said
