"""What pydantic found wrong, in words that follow the name of the value and never repeat the value itself."""

from __future__ import annotations

from typing import Any

__all__ = ["message_of"]

_MESSAGES = {
    "missing": "is missing",
    "model_type": "is not a mapping",
    "dict_type": "is not a mapping",
    "list_type": "is not a list",
}


def message_of(error: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    """The message of one error of a `ValidationError`."""
    message = _MESSAGES.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"
