"""Configuration problems are found at once, all together, and without showing a secret."""

from pathlib import Path

import pytest

from app.database import connect, wait_for_database
from app.errors import ExampleError
from app.faults import Faults
from app.features import Features
from app.settings import Settings

SHIPPED_FEATURES = Path(__file__).resolve().parents[2] / "config" / "features.json"


def test_empty_environment_switches_nothing_on() -> None:
    settings = Settings.from_environment({"FAIL_HEALTH": "", "ERROR_RATE": " "})
    assert settings.faults == Faults()
    assert not settings.migrate_on_start
    assert settings.commit == "unknown"


def test_every_unusable_value_is_named() -> None:
    with pytest.raises(ExampleError) as raised:
        Settings.from_environment({"FAIL_HEALTH": "maybe", "ERROR_RATE": "5", "CRASH_AFTER": "soon"})
    assert all(key in str(raised.value) for key in ("FAIL_HEALTH", "ERROR_RATE", "CRASH_AFTER"))


def test_missing_password_says_what_to_set() -> None:
    with pytest.raises(ExampleError, match="POSTGRES_PASSWORD is not set"):
        connect(Settings(), role="api")


def test_password_appears_in_no_text() -> None:
    settings = Settings.from_environment({"POSTGRES_PASSWORD": "correct horse"})
    assert "correct horse" not in repr(settings)
    assert "correct horse" not in repr(connect(settings, role="api"))


def test_wait_for_database_ends_with_the_drivers_words() -> None:
    settings = Settings(postgres_host="127.0.0.1", postgres_password="canary", database_url=None)
    engine = connect(settings, role="api")
    with pytest.raises(ExampleError, match=r"did not answer within 0 s: .*127\.0\.0\.1") as raised:
        wait_for_database(engine, seconds=0)
    assert "canary" not in str(raised.value)


def test_shipped_features_are_valid() -> None:
    assert Features.load(SHIPPED_FEATURES).announcement


def test_features_file_that_was_not_shipped_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExampleError, match="is a directory"):
        Features.load(tmp_path)
    with pytest.raises(ExampleError, match="cannot be used"):
        Features.load(tmp_path / "features.json")


def test_unknown_feature_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "features.json"
    path.write_text('{"anouncement": "a slip of the pen"}')
    with pytest.raises(ExampleError, match="anouncement"):
        Features.load(path)
