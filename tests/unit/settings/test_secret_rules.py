"""Telling secrets, and telling weak ones."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.settings.secret_rules import is_secret, named_like_a_secret, weakness


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "PGPASSWORD", "SECRET_KEY", "SECRET_KEY_BASE", "JWT_SECRET", "SENTRY_DSN", "DB_PWD", "apiKey",
     "AWS_SECRET_ACCESS_KEY", "API_TOKEN_2", "authToken", "redis_password", "MAIL_PASS"],
)  # fmt: skip
def test_a_variable_is_named_like_a_secret(name: str) -> None:
    assert named_like_a_secret(name)


@pytest.mark.parametrize(
    "name",
    ["KEYCLOAK_HOST", "MONKEY", "COMPASS", "TOKEN_EXPIRY", "PASSWORD_FILE", "AWS_ACCESS_KEY_ID", "STRIPE_PUBLIC_KEY",
     "MYSQL_ALLOW_EMPTY_PASSWORD", "PASSWORD_MIN_LENGTH", "TOKEN_URL", "WEB_PORT", ""],
)  # fmt: skip
def test_a_variable_that_only_sounds_like_a_secret_is_none(name: str) -> None:
    assert not named_like_a_secret(name)


@pytest.mark.parametrize("value", ["true", "no", "3600", "/run/secrets/key", "https://id.example.com/token"])
def test_a_switch_number_or_place_is_no_secret(value: str) -> None:
    assert not is_secret("API_TOKEN", value)


def test_an_address_with_credentials_is_a_secret_whatever_its_name() -> None:
    assert is_secret("DATABASE_URL", "postgres://app:hunter22@db/app")
    assert is_secret("CELERY_BROKER_URL", "redis://:hunter22@cache/0")
    assert not is_secret("DATABASE_URL", "postgres://db/app")


@pytest.mark.parametrize(
    "value",
    ["changeme", "CHANGE_ME", "Change-Me!", "change me please", "password", "Password123", "secret", "xxx", "********",
     "<your-password>", "your-password-here", "replace_with_real_one", "todo", "example", "${DB_PASSWORD}",
     "django-insecure-k3j4h5k3j4h5"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["DB_PASSWORD", "APP_USER"])
def test_a_placeholder_is_weak_whatever_its_name(name: str, value: str) -> None:
    assert weakness(name, value) == "is a placeholder"


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_nothing_is_weak(value: str) -> None:
    assert weakness("ANY", value) == "is empty"


def test_only_what_is_named_like_a_secret_is_too_short() -> None:
    assert weakness("DB_PASSWORD", "Kq3vX9pLm2z") == "has fewer than 12 characters"
    assert weakness("DB_PASSWORD", "Kq3vX9pLm2zT") is None
    assert weakness("DB_USER", "app") is None
    assert weakness("CHAT_ID", "123456") is None


@pytest.mark.parametrize("value", ["DB_PASSWORD", "dbpassword", "123456789012345", "abcdefghijklm", "zzzzzzzzzzzzzzz"])
def test_what_anybody_would_try_first_is_weak(value: str) -> None:
    assert weakness("DB_PASSWORD", value) == "is a placeholder"


@given(st.integers(12, 40), st.sampled_from([secrets.token_hex, secrets.token_urlsafe]))
def test_a_random_secret_is_never_weak(size: int, make: object) -> None:
    assert weakness("DB_PASSWORD", make(size)) is None  # type: ignore[operator]


@given(st.text(), st.text())
def test_no_name_or_value_is_too_strange_to_judge(name: str, value: str) -> None:
    said = weakness(name, value)
    is_secret(name, value)
    assert said is None or len(value.strip()) < 4 or value.strip() not in said
