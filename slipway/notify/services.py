"""How each service takes a message: the JSON that is posted, and the mail. Every text is cleaned before.

No text of others is markup anywhere: it is escaped, or stands where the service knows no markup. The limits are those
of https://docs.discord.com/developers/resources/message#embed-object-embed-limits (title 256, description 4096),
https://docs.slack.dev/reference/block-kit/blocks (50 blocks, 3000 characters) and
https://learn.microsoft.com/microsoftteams/limits-specifications-teams (28 KB).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import EmailMessage

    from slipway.notify.message import Message

__all__ = ["EMAIL", "POSTED", "SERVICES", "mail"]

_GOOD, _BAD, _NEUTRAL = 0x2DA44E, 0xCF222E, 0x57606A
_COLOURS = {"succeeded": _GOOD, "recovered": _GOOD, "started": _NEUTRAL, "approval-needed": _NEUTRAL, "test": _NEUTRAL}
_CONTENT = 2000  # characters of a message: https://docs.discord.com/developers/resources/webhook#execute-webhook
# Where nobody knows what is markup, what looks like it and is none.
_LOOK_ALIKE = str.maketrans("<>`*~[]|", "\u2039\u203a'\u2217\u223c\u2045\u2046\u00a6")
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # within a word it is none
_MENTION = "@\u200b"  # nobody is called by it


def _plain(text: str) -> str:
    return _EMPHASIS.sub("\u02cd", text.translate(_LOOK_ALIKE)).replace("@", _MENTION)


def _plain_text(message: Message) -> str:
    command = [f"Roll back: {message.command}"] if message.command else []
    said = "\n".join([message.title, *(f"{label}: {text}" for label, text in message.lines), *command])
    return _plain(said) + (f"\nRun: {message.run}" if message.run else "")


def _webhook(message: Message) -> dict[str, Any]:
    """`text` is what most chats read, `content` what Discord reads; the rest is for programs."""
    text = _plain_text(message)
    stack = {"stack": message.environment}
    content = text if len(text) <= _CONTENT else f"{text[: _CONTENT // 2]}…{text[1 - _CONTENT // 2 :]}"
    return {"text": text, "content": content, "allowed_mentions": {"parse": []}, **stack, **message._asdict()}


def _discord(message: Message) -> dict[str, Any]:
    def escaped(text: str) -> str:
        return re.sub(r"([\\*_~`|<>\[\]])", r"\\\1", text).replace("@", _MENTION)

    lines = [f"**{label}** {escaped(text)}" for label, text in message.lines]
    if message.command:
        lines.append("```\n" + message.command.replace("`", "'") + "\n```")
    embed = {
        "title": escaped(message.title),
        "description": "\n".join(lines),
        "color": _COLOURS.get(message.event, _BAD),
        **({"url": message.run} if message.run else {}),
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _slack(message: Message) -> dict[str, Any]:
    """`rich_text` knows no markup; `text` is what a notification shows."""
    bold = {"bold": True}
    elements: list[dict[str, Any]] = [{"type": "text", "text": message.title, "style": bold}]
    for label, text in message.lines:
        elements += [{"type": "text", "text": f"\n{label} ", "style": bold}, {"type": "text", "text": text}]
    if message.run:
        elements += [{"type": "text", "text": "\n"}, {"type": "link", "url": message.run, "text": "Run"}]
    parts = [{"type": "rich_text_section", "elements": elements}]
    if message.command:
        parts.append({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": message.command}]})
    title = _plain(message.title).replace("&", "&amp;")
    return {"text": title, "blocks": [{"type": "rich_text", "elements": parts}]}


def _teams(message: Message) -> dict[str, Any]:
    """An adaptive card, which is all that Workflows take; of its texts, webhooks take only those with markup."""

    def block(text: str, **looks: str) -> dict[str, Any]:
        return {"type": "TextBlock", "text": text, "wrap": True, **looks}

    body = [block(_plain(message.title), weight="Bolder", size="Medium")]
    body += [block(f"**{label}** {_plain(text)}", spacing="Small") for label, text in message.lines]
    if message.command:
        body.append(block(_plain(message.command), fontType="Monospace"))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": "Run", "url": message.run}] if message.run else [],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}]}


def mail(message: Message, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Plain text: no reader takes it for HTML."""
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    found = EmailMessage()
    found["Subject"], found["From"], found["To"] = message.title, sender, ", ".join(recipients)
    found["Date"], found["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    found["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    said = [message.title, "", *(f"{label}: {text}" for label, text in message.lines)]
    said += [f"{label}: {text}" for label, text in (("Run", message.run), ("Roll back", message.command)) if text]
    found.set_content("\n".join(said), cte="quoted-printable")
    return found


POSTED = {"discord": _discord, "slack": _slack, "teams": _teams, "webhook": _webhook}
"""Service → what is posted to it."""

EMAIL = "email"
SERVICES = (*POSTED, EMAIL)
