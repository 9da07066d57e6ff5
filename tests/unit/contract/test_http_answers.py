"""A registry's rate limit, told from other refusals."""

import pytest

from slipway.contract.http_answers import limited


@pytest.mark.parametrize(
    "message",
    [
        "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating",
        "got bad response from registry: 429 Too Many Requests",
        "error parsing HTTP 429 response body: invalid character",
        "unexpected status code 429 Too Many Requests - Server message: toomanyrequests",
        "HTTP Error 429: Too Many Requests",
        "denied: retry-after: rate limit exceeded",
    ],
)
def test_a_rate_limit_is_known_by_its_words(message: str) -> None:
    assert limited(message)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "manifest for acme/rate-limiter:429 not found: manifest unknown",
        f"manifest for x@sha256:{'429' * 21}a not found",
        "dial tcp 10.0.0.1:429: connect: connection refused",
        "denied: requested access to the resource is denied",
    ],
)
def test_other_refusals_are_none(message: str) -> None:
    assert not limited(message)
