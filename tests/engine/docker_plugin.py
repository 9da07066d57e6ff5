"""Asks a docker plugin for digests as the engine does, and keeps the vendor's answers for who stands in for it.

`PYTHONPATH=. .venv/bin/python tests/engine/docker_plugin.py PLUGIN` records `docker_plugin_answers.json` anew with the
vendor's program PLUGIN. An entry there is a question (a provider's `registryAuth`, the `environment`, the `arguments`
of the look-up) and its answer.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from local_servers import BCRYPT, free_port, serving_registry
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ANSWERS", "ask_all", "serving_places"]

ANSWERS = Path(__file__).with_name("docker_plugin_answers.json")
_TOKEN = "docker:index/getRegistryImage:getRegistryImage"
_URN = "urn:pulumi:test::test::pulumi:providers:docker::registry"
_SECONDS = 60


class _Engine(engine_pb2_grpc.EngineServicer):
    """What a plugin needs of the engine: somebody who takes its log."""

    def Log(self, request: Any, context: Any) -> Empty:  # noqa: N802, ARG002  # gRPC's names
        return Empty()


def ask_all(plugin: Path, questions: list[dict[str, Any]], places: dict[str, str]) -> list[dict[str, str]]:
    """The plugin's answers; `places` is what the questions and answers call by name: addresses, digests, folders."""
    with ThreadPoolExecutor(4) as pool:  # a process each: the official plugin takes its time to begin
        return list(pool.map(lambda question: _ask(plugin, _put(question, places), places), questions))


def _ask(plugin: Path, question: dict[str, Any], places: dict[str, str]) -> dict[str, str]:
    with _started(plugin, question.get("environment", {})) as provider:
        try:
            given = Struct()  # what is nested arrives as JSON
            given.update({"registryAuth": json.dumps(question.get("registryAuth", []))})
            checked = provider.CheckConfig(provider_pb2.CheckRequest(urn=_URN, news=given), timeout=_SECONDS)
            if checked.failures:
                return {"error": _named(checked.failures[0].reason, places)}
            variables = {f"docker:config:{name}": value for name, value in given.items()}
            provider.Configure(
                provider_pb2.ConfigureRequest(args=checked.inputs, variables=variables, acceptSecrets=True),
                timeout=_SECONDS,
            )
            arguments = Struct()
            arguments.update(question["arguments"])
            found = provider.Invoke(provider_pb2.InvokeRequest(tok=_TOKEN, args=arguments), timeout=_SECONDS)
        except grpc.RpcError as error:
            return {"error": _named(str(error.details()), places)}
    if found.failures:
        return {"error": _named(found.failures[0].reason, places)}
    values = getattr(found, "return")
    return {name: _named(str(values[name]), places) for name in ("id", "name", "sha256Digest")}


@contextlib.contextmanager
def _started(plugin: Path, environment: dict[str, str]) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    server = grpc.server(ThreadPoolExecutor(2))
    engine_pb2_grpc.add_EngineServicer_to_server(_Engine(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    kept = {name: value for name, value in os.environ.items() if name != "DOCKER_CONFIG"}
    process = subprocess.Popen(
        [plugin, f"127.0.0.1:{port}"],
        env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        process.kill()
        process.communicate()
        server.stop(None)


def _put(question: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(question)
    for name, value in places.items():
        text = text.replace(f"<{name}>", value)
    return dict(json.loads(text))


def _named(text: str, places: dict[str, str]) -> str:
    """A text without what differs from run to run, and without the frame that each kind of plugin puts around it."""
    text = re.sub(r"^(?:.*invoking \S+: )?(?:\d+ errors? occurred:\s*\* )?", "", text.strip(), flags=re.DOTALL)
    for name, value in places.items():
        text = text.replace(value, f"<{name}>")
    return re.sub(r"127\.0\.0\.1:\d+->", "", text)


# --- where the questions are about


@contextlib.contextmanager
def serving_places(folder: Path) -> Iterator[dict[str, str]]:
    """What the questions call by name: registries of each kind, what they hold, a Docker client's configuration."""
    with contextlib.ExitStack() as servers:
        opened = servers.enter_context(serving_registry(_made(folder / "open")))
        digest = opened.push("team/app", "1.0")
        with serving_registry(_made(folder / "closed")) as filling:
            filling.push("team/app", "1.0")
        closed = servers.enter_context(serving_registry(folder / "closed", ("deployer", "correct-horse"), BCRYPT))
        certificate = _certificate(folder)
        basic = base64.b64encode(b"deployer:correct-horse").decode()
        stored = {"auths": {closed.address: {"auth": basic}}}
        (_made(folder / "docker") / "config.json").write_text(json.dumps(stored))
        helper = _made(folder / "bin") / "docker-credential-slipway-test"
        helper.write_text('#!/bin/sh\necho \'{"Username": "deployer", "Secret": "correct-horse"}\'\n')
        helper.chmod(0o755)
        yield {
            "open": opened.address,
            "closed": closed.address,
            "scripted": servers.enter_context(_scripted(None)),
            "tls": servers.enter_context(_scripted(certificate)),
            "nobody": f"127.0.0.1:{free_port()}",
            "digest": digest,
            "hex": digest.removeprefix("sha256:"),
            "stored": str(folder / "docker"),
            "absent": str(folder / "absent"),
            "path": f"{helper.parent}:{os.environ['PATH']}",
        }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _certificate(folder: Path) -> Path:
    """A certificate that nobody trusts, and its key."""
    file = folder / "certificate.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*argv, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.public"],
                   check=True, capture_output=True, timeout=_SECONDS)  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.public").read_text())
    return file


@contextlib.contextmanager
def _scripted(certificate: Path | None) -> Iterator[str]:
    """A registry that answers by the name of the repository."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Scripted) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Scripted(BaseHTTPRequestHandler):
    """`status-NNN`, `token` (of an open realm), `login` (of one that wants the user), `silent` (no digest in HEAD)."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        repository = self.path.split("/")[2]
        allowed = self.headers.get("Authorization", "") == "Bearer good"
        if status := re.fullmatch(r"status-(\d+)", repository):
            self._answer(int(status[1]))
        elif repository == "basic":
            self._answer(401, ("WWW-Authenticate", 'Basic realm="test"'))
        elif repository in {"token", "login", "silent"} and not allowed:
            scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
            realm = f"{scheme}://{self.headers['Host']}/{'login' if repository == 'login' else 'token'}"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:{repository}:pull"'
            self._answer(401, ("WWW-Authenticate", challenge))
        elif repository in {"silent", "silent-open"}:
            self._answer(200, body=b"a manifest")
        else:
            self._answer(200, ("Docker-Content-Digest", f"sha256:{'d' * 64}"))

    def do_GET(self) -> None:
        if self.path.startswith("/token?"):
            self._answer(200, body=b'{"token": "good"}')
        elif self.path.startswith("/login?"):
            right = "Basic " + base64.b64encode(b"deployer:correct-horse").decode()
            allowed = self.headers.get("Authorization") == right
            self._answer(200 if allowed else 401, body=b'{"access_token": "good"}')
        else:
            self.do_HEAD()

    def _answer(self, status: int, *headers: tuple[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _record(plugin: Path) -> None:
    questions = json.loads(ANSWERS.read_text())
    with tempfile.TemporaryDirectory() as temporary, serving_places(Path(temporary)) as places:
        answers = ask_all(plugin, questions, places)
    entries = [{**question, "answer": answer} for question, answer in zip(questions, answers, strict=True)]
    ANSWERS.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")


if __name__ == "__main__":
    _record(Path(sys.argv[1]))
