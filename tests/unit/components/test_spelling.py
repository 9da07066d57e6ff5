"""What somebody meant who misspelt a word."""

from slipway.settings.spelling import nearest


def test_nearest_finds_a_typing_error_and_nothing_far_away() -> None:
    assert nearest("registy", ["registry", "mirror"]) == "registry"
    assert nearest("zzz", ["registry", "mirror"]) is None
