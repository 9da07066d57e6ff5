"""The commands that change an edited stack file, and the settings that they leave there."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.cli.init.stack_file import StackFile, change_commands


@pytest.mark.parametrize(
    ("before", "wanted", "command"),
    [
        pytest.param({"MODE": "prod"}, {"MODE": "PROD"}, ("variables.MODE", "PROD"), id="case"),
        pytest.param({"ON": True}, {"ON": "true"}, None, id="a switch as text"),
        pytest.param({"PORT": "8000"}, {"PORT": 8000}, None, id="a number as text"),
        pytest.param({}, {"spring.profile": "eu"}, ('variables["spring.profile"]', "eu"), id="a dot"),
        pytest.param({}, {"a[0]": "x"}, ('variables["a[0]"]', "x"), id="brackets"),
    ],
)
def test_a_command_for_every_value_that_differs(
    before: dict[str, Any], wanted: dict[str, Any], command: tuple[str, str] | None
) -> None:
    found = change_commands({"variables": wanted}, StackFile(settings={"variables": before}))
    assert found == ([("config", "set", "--path", *command)] if command else [])
