import copy

import pytest

from dev.architecture import PAGE, PICTURE, contracts, page, picture


def test_the_picture_is_what_the_import_contract_and_the_rooms_say() -> None:
    assert PICTURE.read_text() == picture(contracts()), "uv run python -m dev.architecture"


def test_the_pages_rooms_are_those_of_the_import_contract() -> None:
    assert PAGE.read_text() == page(PAGE.read_text(), contracts()), "uv run python -m dev.architecture"


def test_another_import_contract_gives_another_page_and_picture() -> None:
    rules = copy.deepcopy(contracts())
    (agent,) = (rule for rule in rules if rule.get("source_modules") == ["slipway.agent"])
    agent["forbidden_modules"].remove("slipway.settings")
    assert picture(rules) != picture(contracts())
    assert page(PAGE.read_text(), rules) != PAGE.read_text()


def test_a_room_that_may_skip_a_layer_is_refused_rather_than_drawn_wrong() -> None:
    rules = copy.deepcopy(contracts())
    (agent,) = (rule for rule in rules if rule.get("source_modules") == ["slipway.agent"])
    agent["forbidden_modules"].remove("slipway.images")
    with pytest.raises(ValueError, match=r"slipway\.agent"):
        picture(rules)
