"""Which variables may be empty: those that Compose takes so. Compose is the real one."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import application, settings

from slipway.compose.config.empty_values import empty_names
from slipway.contract.problems import SlipwayError

CASES = [
    # of a service, what may be empty, what may not
    ({"environment": {"A": "${A}", "B": "x${B}y", "C": "$C", "D": "${D:-}${E-x}", "F": "${F?}"}}, "A B C F", ""),
    ({"environment": {"A": "${A:?}", "B": "${B}"}}, "B", "A"),
    ({"environment": {"URL": "https://${DOMAIN}/${B}"}}, "B", "DOMAIN"),
    ({"volumes": ["${A}:/data", "${B}./x:/x"], "command": "${C}"}, "B C", "A"),
    ({"ports": ["80:${A}"], "read_only": "${B}", "environment": {"C": "${C}", "D": "$D", "E": "$E"}}, "C D E", "A B"),
    ({"environment": {"A": "${GIVEN}"}}, "", ""),
]


def compose(service: dict[str, Any]) -> str:
    return json.dumps({"services": {"web": {"image": "nginx", **service}}})


@pytest.mark.parametrize(("service", "empty", "refused"), CASES)
def test_what_compose_takes_as_empty_may_be_empty(
    tmp_path: Path, service: dict[str, Any], empty: str, refused: str
) -> None:
    (tmp_path / "compose.yaml").write_text(compose(service))
    assert empty_names(settings(tmp_path, variables={"GIVEN": ""})) == (empty.split(), refused.split())
    rest = {
        "A": "8080" if "ports" in service else "./a",
        "B": "true",
        "DOMAIN": "x",
        **dict.fromkeys(empty.split(), ""),
        "GIVEN": "",
    }
    assert application(tmp_path, compose(service), variables=rest)


def test_a_file_that_cannot_be_read_at_all_is_told(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(compose({"environment": {"A": "$A"}, "imag": "x"}))
    with pytest.raises(SlipwayError, match="imag"):
        empty_names(settings(tmp_path))
