"""Adds tags to images that a registry has already: `python3 registry_tags.py`, run by components/images.py.

A manifest is copied byte for byte, so that the tag has the image's own digest (`docker buildx imagetools create` wraps
it in an index, which has another). Standard library only: the engine runs it with whatever `python3` the machine has.
`SLIPWAY_TAGS` holds pairs `REPOSITORY:TAG=REPOSITORY@DIGEST`; standard input one line of JSON, {"username": …,
"password": …} or {}. The requests are those of the OCI distribution specification 1.1, the token exchange that of
Docker's registry documentation ("Token authentication").
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from email.message import Message

_SECONDS = 30
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.25
_KINDS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but what authorises here is not shown elsewhere, nor in the clear."""

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:  # noqa: ANN401  # as its base
        """The next request, without what only the first server may see."""
        found = super().redirect_request(req, *rest)
        if found is not None and (found.type, found.host) != (req.type, req.host):
            found.remove_header("Authorization")
        return found


_open = urllib.request.build_opener(_Redirects).open


class Registry:
    """One repository's manifests, with whatever authorisation its registry asks for."""

    actions = "pull,push"
    """What a token has to allow."""

    def __init__(self, repository: str, credentials: dict[str, str]) -> None:
        address, _, self._path = repository.partition("/")
        scheme = "http" if _is_local(address) else "https"
        host = "registry-1.docker.io" if address == "docker.io" else address  # where Docker Hub's API is
        self._base = f"{scheme}://{host}/v2/{self._path}/"
        self._plain = scheme == "http"
        self._credentials = credentials
        self._authorization = ""

    def read(self, reference: str) -> tuple[bytes, str]:
        """A manifest's bytes and media type."""
        body, headers = self._ask("GET", f"manifests/{reference}", None, {"Accept": ", ".join(_KINDS)})
        return body, headers["Content-Type"]

    def has(self, reference: str) -> bool:
        """Whether there is a manifest of that tag or digest.

        Raises:
            OSError: the registry does not answer, or refuses to say.
        """
        try:
            self._ask("HEAD", f"manifests/{reference}", None, {"Accept": ", ".join(_KINDS)})
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def write(self, tag: str, manifest: bytes, kind: str) -> None:
        """Put a manifest under a tag."""
        self._ask("PUT", f"manifests/{tag}", manifest, {"Content-Type": kind})

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[bytes, Message]:
        asked = False  # for a new authorisation: an old one ends after minutes
        for attempt in range(1, _ATTEMPTS + 1):
            authorization = {"Authorization": self._authorization} if self._authorization else {}
            request = urllib.request.Request(  # noqa: S310  # the scheme is ours
                self._base + path, data=body, method=method, headers={**headers, **authorization}
            )
            try:
                with _open(request, timeout=_SECONDS) as answer:
                    return answer.read(), answer.headers
            except urllib.error.HTTPError as error:
                if attempt == _ATTEMPTS or (error.code == HTTPStatus.UNAUTHORIZED and asked):
                    raise
                if error.code == HTTPStatus.UNAUTHORIZED:
                    asked = True
                    self._authorization = self._authorize(error.headers.get("WWW-Authenticate", ""))
                elif error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code == HTTPStatus.TOO_MANY_REQUESTS:
                    # two tags put at once can meet in the registry
                    time.sleep(attempt * _PAUSE_SECONDS)
                else:
                    raise
        raise AssertionError  # the loop returns or raises

    def _authorize(self, challenge: str) -> str:
        """The Authorization header that a challenge asks for; OSError where that would show the password to others."""
        pair = f"{self._credentials.get('username', '')}:{self._credentials.get('password', '')}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.lower().startswith("bearer"):
            return basic
        realm = urllib.parse.urlsplit(fields.get("realm", ""))
        if realm.scheme != "https" and not (realm.scheme == "http" and _is_local(realm.netloc) and self._plain):
            raise OSError(f"its tokens come from {fields.get('realm') or 'nowhere'}, which is not https")
        query = urllib.parse.urlencode(
            {"service": fields.get("service", ""), "scope": f"repository:{self._path}:{self.actions}"}
        )
        known = {"Authorization": basic} if self._credentials else {}
        request = urllib.request.Request(f"{fields['realm']}?{query}", headers=known)  # noqa: S310  # checked above
        with _open(request, timeout=_SECONDS) as answer:
            granted = json.load(answer)
        return "Bearer " + str(granted.get("token") or granted["access_token"])


def _is_local(address: str) -> bool:
    """As `registry_names.is_local`, which this program cannot import: a loopback address, or localhost itself."""
    host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tag(pair: str, credentials: dict[str, str]) -> str | None:
    """Put one tag; what went wrong, or None."""
    target, _, source = pair.partition("=")
    repository, _, digest = source.partition("@")
    registry = Registry(repository, credentials)
    try:
        registry.write(target.rpartition(":")[2], *registry.read(digest))
    except (OSError, ValueError, KeyError) as error:
        return (
            f"slipway: error: {target} could not be tagged ({error}) — the image is there, under its digest only — "
            "check the registry and its credentials, then run it again"
        )
    return None


def main() -> int:
    """Put every tag, side by side; 1 when any could not be put."""
    credentials = json.loads(sys.stdin.readline() or "{}")
    pairs = os.environ["SLIPWAY_TAGS"].split()
    with ThreadPoolExecutor(8) as pool:
        failures = [failure for failure in pool.map(lambda pair: _tag(pair, credentials), pairs) if failure]
    for failure in failures:
        sys.stderr.write(f"{failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
