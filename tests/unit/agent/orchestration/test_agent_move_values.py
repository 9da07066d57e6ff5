"""An undo names what would run with the old values, and what does not work afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_agent_move import Before, command, deploy, shop

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from simulation import Simulation

OLD = ["PW=s3c/ret$9", "URL=postgres://u:s3c%2Fret@db/x", "DSN=u:s3c/ret$9@elsewhere", "LEVEL=info", "VERSION=0"]


@pytest.mark.parametrize(("secret", "named"), [("s3c/ret$9", []), ("rotated-since", ["DSN", "PW"])])
def test_a_secret_that_has_another_value_than_in_the_old_container_is_named(
    stack: Simulation, secret: str, named: list[str]
) -> None:
    before = Before(stack)
    before.container("web").config["Env"] = OLD
    own = {"PW": "${PW}", "DSN": "u:${PW}@db", "LEVEL": "debug"}
    wanted: dict[str, Any] = shop(stack, environment=own, secrets=("PW",))
    assert deploy(stack, wanted, secrets={"PW": secret}).code == 0
    expected = {"old-web-1": named} if named else {}
    assert command(stack, "show").report["other_values"] == expected
    assert command(stack, "undo").report["other_values"] == expected
    assert deploy(stack, wanted, secrets={"PW": secret}).code == 0
    assert command(stack, "finish").report["other_values"] == {}


def test_an_undo_keeps_no_old_generation_that_the_next_release_would_say_runs(stack: Simulation) -> None:
    Before(stack)
    for version in ("1", "2"):
        release = shop(stack, version)
        release["services"]["web"]["keep"] = 600
        assert deploy(stack, release).code == 0
    assert [each["service"] for each in stack.probe()["watch"]["kept"]] == ["web"]
    assert command(stack, "undo").code == 0
    assert deploy(stack, shop(stack, "2")).code == 0
    watch = stack.probe()["watch"]
    assert not watch or watch["kept"] == []


def test_a_finished_move_names_the_folders_that_stay_in_use(stack: Simulation, tmp_path: Path) -> None:
    data = str(tmp_path / "uploads")
    Before(stack, data)
    assert deploy(stack, shop(stack, data=data)).code == 0
    assert command(stack, "show").report["folders"] == []
    for what in ("finish", "remove"):
        assert command(stack, what).report["folders"] == [data]
