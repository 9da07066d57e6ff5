"""What a message looks like in each service: whole, within its limits, and without anything that others made up."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway.notify.message import EVENTS, Message
from slipway.notify.services import POSTED, mail

RUN = "https://github.com/acme/shop/actions/runs/12"
FULL = Message(
    "failed", "shop-production", host="web-1", release="r-0f03ad15b050", commit="f2385a43cc87" + "0" * 28,
    subject="Faster checkout (#12)", author="Ada", actor="ada (run 12 of acme/shop)", seconds=75.2, run=RUN,
    reason="web did not become healthy", outcome="r-cddd4815ccc7 serves",
    command="slipway rollback --to r-cddd4815ccc7 --stack production",
)  # fmt: skip
HOSTILE = (
    "@everyone @here <!channel> <@U123> <#C1> [x](https://evil.test) <https://evil.test|x> `x` ```x``` <b>x</b> "
    "*x* _x_ ~~x~~ ||x|| <at>x</at> # x \x1b[31m \u202e \x00 \r\n- x\n> x &lt;"
)
PARTS = [each for each in Message._fields if each not in {"event", "seconds"}]
MESSAGES = st.builds(
    Message, event=st.sampled_from([*EVENTS, "test"]), seconds=st.floats(0, 10**6),
    **{each: st.text(max_size=50) | st.builds(lambda text, times: text * times, st.text(max_size=9), st.just(300))
       for each in PARTS},
)  # fmt: skip


def texts(content: Any) -> list[str]:
    """Every text that a service shows of what is posted to it."""
    if isinstance(content, dict):
        shown = {key: value for key, value in content.items() if key not in {"type", "url", "$schema", "contentType"}}
        return [text for value in shown.values() for text in texts(value)]
    if isinstance(content, list):
        return [text for each in content for text in texts(each)]
    return [content] if isinstance(content, str) else []


def posted(to: str, message: Message) -> Any:
    return POSTED[to](message.clean(str))


@pytest.mark.parametrize("to", POSTED)
def test_every_service_is_told_everything(to: str) -> None:
    shown = json.dumps(posted(to, FULL), ensure_ascii=False)
    plain = re.sub(r"\\\\(?=[^\\])", "", shown)
    for part in (
        "shop-production: failed", "web-1", "r-0f03ad15b050", "f2385a43cc87", "Faster checkout (#12)", "Ada",
        "ada (run 12 of acme/shop)", "1 min 15 s", RUN, "web did not become healthy", "r-cddd4815ccc7 serves",
        FULL.command,
    ):  # fmt: skip
        assert part in plain, part


def test_a_generic_webhook_gets_the_parts_too_and_what_it_got_before() -> None:
    found = posted("webhook", FULL)
    assert {"event", "environment", "commit", "subject", "author", "seconds", "run", "command"} <= set(found)
    before = ("stack", "host", "release", "reason", "outcome")
    assert [found[each] for each in before] == ["shop-production", FULL.host, FULL.release, FULL.reason, FULL.outcome]
    assert found["content"] == found["text"]


@given(message=MESSAGES)
@example(FULL._replace(**dict.fromkeys(PARTS, "\\_*`" * 500)))
@example(FULL._replace(**dict.fromkeys(PARTS, "💥" * 2000)))
@example(FULL._replace(**dict.fromkeys(PARTS, '"' * 2000)))
@example(FULL._replace(**dict.fromkeys(PARTS, "\ud800" * 2000)))
def test_no_message_is_larger_than_its_service_takes(message: Message) -> None:
    discord = posted("discord", message)
    [embed] = discord["embeds"]
    assert 0 < len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4096
    assert sum(map(len, texts(discord))) <= 6000
    slack = posted("slack", message)
    assert len(slack["blocks"]) <= 50
    assert sum(len(text) for block in slack["blocks"] for text in texts(block)) <= 3000
    assert all(each["text"] for part in slack["blocks"][0]["elements"] for each in part["elements"])
    # One that states no charset was once counted in 2 bytes a character: half of the 28 KB.
    assert len(json.dumps(posted("teams", message), ensure_ascii=False).encode()) <= 14 * 1024
    webhook = posted("webhook", message)
    assert len(webhook["content"]) <= 2000  # Discord's limit
    assert webhook["content"].endswith(webhook["text"][-900:]), "the run's address is kept"
    assert all(len(line) < 998 for line in mail(message.clean(str), "a@b.test", ["c@d.test"]).as_string().splitlines())


@given(message=MESSAGES)
@example(FULL._replace(**dict.fromkeys(PARTS, HOSTILE)))
def test_nothing_of_others_is_markup_or_calls_anybody(message: Message) -> None:
    message = message._replace(command="slipway rollback")
    for to in POSTED:
        found = posted(to, message)
        shown = texts({key: value for key, value in found.items() if key not in {*Message._fields, "stack"}})
        assert all(each.isprintable() for text in shown for each in text if each not in "\n\u200b"), to
        if to != "slack":  # rich text knows no mention
            assert not re.search(r"@(?!\u200b)", "".join(shown)), to
        if to != "webhook":
            continue
        assert not re.search(r"[<>`*\[\]|]|\b__|~", "".join(shown)), to
    discord = posted("discord", message)
    assert discord["allowed_mentions"] == posted("webhook", message)["allowed_mentions"] == {"parse": []}
    for line in [discord["embeds"][0]["title"], *discord["embeds"][0]["description"].split("\n")]:
        text = re.sub(r"^\*\*[A-Z][a-z]+\*\* |^```$", "", line)
        assert not re.search(r"(?<!\\)(?:\\\\)*[*_~`|<>\[\]]", text.replace("\\\\", "")), line
    slack = posted("slack", message)
    assert not re.search(r"[<>]|&(?!amp;)", slack["text"])
    assert {part["type"] for part in slack["blocks"][0]["elements"]} <= {"rich_text_section", "rich_text_preformatted"}
    kinds = {each["type"] for part in slack["blocks"][0]["elements"] for each in part["elements"]}
    assert kinds <= {"text", "link"}
    [card] = posted("teams", message)["attachments"]
    for block in card["content"]["body"]:
        text = re.sub(r"^\*\*[A-Z][a-z]+\*\* ", "", block["text"])
        assert not re.search(r"[<>`*\[\]]|(?<![^\W_])_|_(?![^\W_])", text), text


@given(message=MESSAGES)
def test_a_mail_is_text_of_one_line_a_part(message: Message) -> None:
    letter = mail(message.clean(str), "a@b.test", ["c@d.test"])
    assert letter.get_content_type() == "text/plain"
    assert "\n" not in letter["Subject"]
    assert all(each.isprintable() for line in letter.get_content().split("\n") for each in line)


@pytest.mark.parametrize(
    "run", ["javascript:alert(1)", "https://x.test/)[y](z", "http://x.test/<a>", "https://x.test/\n", "file:///etc", ""]
)
def test_only_an_address_of_the_web_is_a_link(run: str) -> None:
    assert FULL._replace(run=run).clean(str).run == ""
    assert FULL.clean(str).run == RUN


def test_a_secret_is_gone_before_a_text_is_cut() -> None:
    secret = "hunter2" * 10
    found = FULL._replace(reason="x" * 690 + secret).clean(lambda text: text.replace(secret, "[TOKEN]"))
    assert "hunter" not in found.reason
    assert len(found.reason) == 697
