"""A few questions to Hetzner's Cloud API (https://docs.hetzner.cloud), beside what pulumi-hcloud asks."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from slipway.contract.problems import SlipwayError, in_brief
from slipway.settings.blocks.hetzner import TOKEN_KEY
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Api"]

_ENDPOINT = "https://api.hetzner.cloud/v1"
_SECONDS = 20
_NO_KEY = b'{"name": "slipway", "public_key": "none"}'
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_LATER = "wait some minutes (it allows 3,600 requests an hour to a project), then run it again"


class Api:
    """One project at Hetzner, as its token shows it."""

    def __init__(self, token: str, stack: str, environment: Mapping[str, str] = os.environ) -> None:
        """`HCLOUD_ENDPOINT` in the environment is another address of the API, as it is for pulumi-hcloud."""
        self._address = environment.get("HCLOUD_ENDPOINT", _ENDPOINT).rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {token}",
            "User-Agent": "slipway",
            "Content-Type": "application/json",
        }
        self._stack = stack

    def all(self, kind: str, **query: str) -> list[dict[str, Any]]:
        """Every object of a kind, such as `servers`, that fits the query. Raises SlipwayError."""
        found: list[dict[str, Any]] = []
        page: int | None = 1
        while page:
            answer = self.read(kind, **query, page=str(page), per_page="50")
            found += answer[kind]
            page = ((answer.get("meta") or {}).get("pagination") or {}).get("next_page")
        return found

    def read(self, path: str, **query: str) -> dict[str, Any]:
        """What a path answers. Raises SlipwayError when it answers with an error, or not at all."""
        try:
            return self._asked(f"{path}?{urlencode(query)}" if query else path)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None

    def act(self, path: str) -> None:
        """Begin an action, such as `servers/17/actions/shutdown`. Raises SlipwayError."""
        try:
            self._asked(path, b"")
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None

    def may_write(self) -> bool:
        """Whether the token may change anything: asked by what could not be made anyhow, as no answer says it."""
        try:
            self._asked("ssh_keys", _NO_KEY)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == _UNAUTHORIZED:
                raise self._refused(error) from None
            return error.code != _FORBIDDEN
        return True

    def _asked(self, path: str, content: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._address}/{path}", content, self._headers)  # noqa: S310  # ours
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310  # as above
                document: dict[str, Any] = json.load(answer)
                return document
        except urllib.error.HTTPError:
            raise
        except (OSError, ValueError) as error:
            raise SlipwayError(
                f"Hetzner's API does not answer ({in_brief(str(getattr(error, 'reason', error)))})",
                "nothing is known of the servers, so nothing was changed",
                f"curl -i {self._address}/locations",
            ) from None

    def _refused(self, error: urllib.error.HTTPError) -> SlipwayError:
        try:
            said = json.load(error)["error"]["message"]
        except (OSError, ValueError, LookupError, TypeError):
            said = error.reason
        if error.code == _UNAUTHORIZED:
            what, fix = "Hetzner's API refuses the token", config_set(self._stack, TOKEN_KEY, secret=True)
            return SlipwayError(what, "it was revoked, or is not one of the Cloud API; nothing was changed", fix)
        what = f"Hetzner's API answers {error.code}: {in_brief(str(said))}"
        fix = _LATER if error.code == _TOO_MANY else "https://status.hetzner.com, then run it again"
        return SlipwayError(what, "nothing is known of the servers, so nothing was changed", fix)
