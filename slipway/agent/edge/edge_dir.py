"""The edge's files, of which Traefik's container sees what it needs: `~/.local/share/slipway/edge`."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from slipway.agent.edge.rendering import Written, read
from slipway.agent.edge.static_config import DEFAULT_CERTIFICATE, PLUGINS, authority_file, resolver_name
from slipway.agent.state.atomic_files import remove_files, write_atomically
from slipway.contract.deployment import Acme, EdgeRequest
from slipway.contract.host_paths import edge_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["EdgeFolder"]

_ROUTES = ".yaml"
_CERTIFICATES = ".tls.yaml"
_PLUGINS = "plugins-local/src/slipway"
_SHARED = "_edge.yaml"  # no stack's name begins like this
_MANIFEST = """\
displayName: Slipway {0}
type: middleware
import: slipway/{0}
summary: Slipway {0}
testData: {{}}
"""
_PLUGIN = """\
package %s

import (
	"context"
	"io"
	"net/http"
)

type Config struct {
	Page  string `json:"page,omitempty"`
	Limit int64  `json:"limit,omitempty"`
}

// A body of unknown length that turns out too long counts as given up by its sender, not as the service's error.
type limited struct{ body io.ReadCloser }

func (l *limited) Read(to []byte) (int, error) {
	read, err := l.body.Read(to)
	if _, long := err.(*http.MaxBytesError); long {
		err = context.Canceled
	}
	return read, err
}

func (l *limited) Close() error { return l.body.Close() }

func CreateConfig() *Config { return &Config{} }

func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	page := []byte(config.Page)
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
%s
	}), nil
}
"""
_BODIES = {
    "maintenance": """\
		answer.Header().Set("Content-Type", "text/html; charset=utf-8")
		answer.Header().Set("Cache-Control", "no-store")
		answer.Header().Set("Retry-After", "60")
		answer.WriteHeader(http.StatusServiceUnavailable)
		answer.Write(page)""",
    "body": """\
		if request.ContentLength > config.Limit {
			answer.Header().Set("Connection", "close")
			http.Error(answer, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
			return
		}
		if request.ContentLength < 0 {
			request.Body = &limited{http.MaxBytesReader(answer, request.Body, config.Limit)}
		}
		next.ServeHTTP(answer, request)""",
}


class EdgeFolder:
    """The paths of the edge; creating an `EdgeFolder` touches nothing."""

    def __init__(self) -> None:
        self.path = edge_folder()
        self.lock = os.path.join(self.path, "lock")
        self.routes = os.path.join(self.path, "routes")
        self.shared = os.path.join(self.routes, _SHARED)
        self.pending = os.path.join(self.path, "pending")
        self.acme = os.path.join(self.path, "acme")
        self.temporary = os.path.join(self.path, "tmp")
        self._requests = os.path.join(self.path, "wishes.json")
        self._last_address = os.path.join(self.path, "last-address")
        self.redirected = os.path.join(self.path, "redirected.json")

    def create(self, resolvers: Iterable[Acme]) -> None:
        for path in (self.path, self.routes, self.pending, self.acme, self.temporary):
            os.makedirs(path, mode=0o700, exist_ok=True)
        for name in PLUGINS:
            self.put(f"{_PLUGINS}/{name}/.traefik.yml", _MANIFEST.format(name))
            self.put(f"{_PLUGINS}/{name}/{name}.go", _PLUGIN % (name, _BODIES[name]))
        for acme in resolvers:
            storage = f"acme/{resolver_name(acme)}.json"
            if not self.has(storage):
                self.put(storage, "")
            if acme.ca:
                self.put(authority_file(acme), acme.ca)

    def streams(self) -> bool:
        """Whether the edge can limit requests without holding back answers; one of an earlier version cannot."""
        return self.has(f"{_PLUGINS}/body/body.go")

    def put(self, path: str, content: str) -> None:
        """Write a 0600 file below the folder, unless it is as wanted."""
        whole = os.path.join(self.path, path)
        with contextlib.suppress(OSError), open(whole, encoding="utf-8") as file:
            if file.read() == content:
                return
        os.makedirs(os.path.dirname(whole), mode=0o700, exist_ok=True)
        write_atomically(whole, content.encode())

    def has(self, path: str) -> bool:
        return os.path.exists(os.path.join(self.path, path))

    def has_certificate(self) -> bool:
        """Whether there is a certificate for who asks for no name that is known; its key is written last."""
        return self.has(f"{DEFAULT_CERTIFICATE}.key")

    def keep_only(self, folder: str, names: Iterable[str]) -> None:
        whole, kept = os.path.join(self.path, folder), set(names)
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(whole):
                if name not in kept:
                    os.unlink(os.path.join(whole, name))
        with contextlib.suppress(OSError):
            if not kept:
                os.rmdir(whole)

    def keep_static(self, number: int) -> None:
        for name in os.listdir(self.path):
            if name.startswith("static-") and name != f"static-{number}.yaml":
                os.unlink(os.path.join(self.path, name))

    # --- files that Traefik watches

    def routes_of(self, stack: str) -> str:
        return os.path.join(self.routes, stack + _ROUTES)

    def certificates_of(self, stack: str) -> str:
        return os.path.join(self.routes, stack + _CERTIFICATES)

    def publish(self, path: str, content: bytes | None) -> None:
        """Put a watched file in place, or take it away: one event for Traefik, which else looks twice and waits."""
        if content is None:
            remove_files(path)
            return
        pending = os.path.join(self.pending, os.path.basename(path))
        write_atomically(pending, content)
        os.rename(pending, path)

    def content(self, path: str) -> bytes | None:
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def written(self, path: str) -> Written | None:
        """What a watched file says about itself."""
        content = self.content(path)
        return None if content is None else read(content)

    def marker(self, path: str) -> str | None:
        """The marker of a watched file; None when there is none."""
        written = self.written(path)
        return written.marker if written else None

    def markers(self) -> list[str]:
        found = [self.marker(os.path.join(self.routes, name)) for name in self._watched()]
        return [each for each in found if each is not None]

    def stacks(self) -> list[str]:
        names = [name for name in self._watched() if name != _SHARED and not name.endswith(_CERTIFICATES)]
        return sorted(name[: -len(_ROUTES)] for name in names)

    def _watched(self) -> list[str]:
        try:
            return [name for name in sorted(os.listdir(self.routes)) if name.endswith(_ROUTES)]
        except FileNotFoundError:
            return []

    # --- what the agent remembers

    def requests(self) -> dict[str, EdgeRequest]:
        """What each stack asked for last, without its certificates, which are no matter of the container."""
        content = self.content(self._requests)
        found = json.loads(content) if content else {}
        return {
            stack: EdgeRequest.from_json({**request, "acme": request["acme"] and Acme(*request["acme"])._asdict()})
            for stack, request in found.items()
        }

    def store_requests(self, requests: Mapping[str, EdgeRequest]) -> None:
        content = {stack: request._asdict() for stack, request in requests.items()}
        for each in content.values():
            del each["certificates"]
            for name in ("trusted_proxies", "neighbours"):
                if not each[name]:
                    del each[name]  # agents of earlier versions cannot read it
        self.put("wishes.json", json.dumps(content, sort_keys=True))

    def last_address(self) -> str:
        """The address that was given last; empty when none was."""
        return (self.content(self._last_address) or b"").decode()

    def store_last_address(self, address: str) -> None:
        self.put("last-address", address)
