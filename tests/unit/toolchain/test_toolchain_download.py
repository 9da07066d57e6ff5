"""A download is what was published, or none; a server that is out of reach is left alone for a day."""

import datetime as dt
import hashlib
import http.server
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dev.toolchain.download import DownloadBlockedError, blocked, fetch, remember_blocked
from dev.toolchain.process import ToolchainError

FILE = b"what was published" * 1000
SUM = hashlib.sha256(FILE).hexdigest()
HOUR = 3600


class Site(http.server.ThreadingHTTPServer):
    """Serves `files` (path → content); a path in `moved` redirects, one in `cut` ends half-way."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.files: dict[str, bytes] = {"/tool-1": FILE}
        self.moved: dict[str, str] = {}
        self.cut: set[str] = set()
        self.status = 200
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"https://localhost:{self.server_port}{path}"


class Pages(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.files.get(self.path, b"")
        if self.path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[self.path])
        else:
            self.send_response(self.server.status if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path in self.server.cut else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def site(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Site(context) as served:
        threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield served
        served.shutdown()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "into").mkdir()
    return tmp_path / "into" / "tool"


def left(target: Path) -> list[str]:
    return [file.name for file in target.parent.iterdir()]


def test_file_with_the_published_sum_is_kept(site: Site, target: Path) -> None:
    assert fetch(site.url("/tool-1"), target, sha256=SUM) == target
    assert target.read_bytes() == FILE
    assert left(target) == ["tool"]


@pytest.mark.parametrize("line", [f"{SUM}  tool-1", f"{SUM} *tool-1"], ids=["as text", "as binary"])
def test_sum_is_found_in_a_published_list(site: Site, target: Path, line: str) -> None:
    site.files["/sums"] = f"{'0' * 64}  tool-10\n{line}\n{'1' * 64}  other-tool-1\n".encode()
    fetch(site.url("/tool-1"), target, checksums=site.url("/sums"))
    assert target.read_bytes() == FILE


def test_file_with_another_sum_is_refused_and_not_kept(site: Site, target: Path) -> None:
    target.write_text("older")
    with pytest.raises(ToolchainError, match=f"has SHA-256 {SUM}, published is 0000") as caught:
        fetch(site.url("/tool-1"), target, sha256="0" * 64)
    assert not isinstance(caught.value, DownloadBlockedError)
    assert target.read_text() == "older"
    assert left(target) == ["tool"]
    assert blocked("localhost") == ""


def test_file_that_the_list_does_not_name_is_not_downloaded(site: Site, target: Path) -> None:
    site.files["/sums"] = f"{SUM}  tool-10\n".encode()
    with pytest.raises(ToolchainError, match="does not list"):
        fetch(site.url("/tool-1"), target, checksums=site.url("/sums"))
    assert site.asked == ["/sums"]
    assert left(target) == []


def test_file_without_a_sum_is_not_downloaded(site: Site, target: Path) -> None:
    with pytest.raises(ToolchainError, match="has no checksum"):
        fetch(site.url("/tool-1"), target)
    assert site.asked == []


def test_redirect_is_followed(site: Site, target: Path) -> None:
    site.moved["/latest"] = "/tool-1"
    fetch(site.url("/latest"), target, sha256=SUM)
    assert target.read_bytes() == FILE


def test_missing_file_says_nothing_about_the_server(site: Site, target: Path) -> None:
    with pytest.raises(DownloadBlockedError, match="does not exist"):
        fetch(site.url("/tool-2"), target, sha256=SUM)
    assert blocked("localhost") == ""
    assert left(target) == []


def test_refusing_server_is_not_asked_again_within_a_day(site: Site, target: Path) -> None:
    site.status = 403
    for _ in range(2):
        with pytest.raises(DownloadBlockedError):
            fetch(site.url("/tool-1"), target, sha256=SUM)
    assert site.asked == ["/tool-1"]
    assert "403" in blocked("localhost")


def test_partial_download_is_never_used(site: Site, target: Path) -> None:
    site.cut.add("/tool-1")
    with pytest.raises(DownloadBlockedError, match=r"cannot be reached .IncompleteRead"):
        fetch(site.url("/tool-1"), target, sha256=SUM)
    assert left(target) == []


def test_unreachable_server_is_asked_again_after_a_day(site: Site, target: Path, cache: Path) -> None:
    port = site.server_port
    site.shutdown()
    site.server_close()
    url = f"https://localhost:{port}/tool-1"
    with pytest.raises(DownloadBlockedError, match=r"cannot be reached .*[Cc]onnection refused"):
        fetch(url, target, sha256=SUM)
    with pytest.raises(DownloadBlockedError, match="could not be reached earlier today"):
        fetch(url, target, sha256=SUM)
    memory = cache / "blocked/localhost"
    for age, pattern in ((23 * HOUR, "earlier today"), (25 * HOUR, "cannot be reached")):
        os.utime(memory, (time.time() - age,) * 2)
        with pytest.raises(DownloadBlockedError, match=pattern):
            fetch(url, target, sha256=SUM)
    assert blocked("localhost"), "the failure after a day counts from then"


def test_server_that_came_back_is_used_after_a_day(site: Site, target: Path, cache: Path) -> None:
    remember_blocked("localhost", "it was down")
    os.utime(cache / "blocked/localhost", (time.time() - 25 * HOUR,) * 2)
    assert fetch(site.url("/tool-1"), target, sha256=SUM).is_file()


def test_untrusted_server_is_out_of_reach(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    monkeypatch.setenv("SSL_CERT_DIR", os.devnull)
    with pytest.raises(DownloadBlockedError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(site.url("/tool-1"), target, sha256=SUM)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_is_not_blamed_on_the_server(site: Site, target: Path) -> None:
    target.with_name("tool.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        fetch(site.url("/tool-1"), target, sha256=SUM)
    assert blocked("localhost") == ""


def test_memory_of_a_server_stays_in_its_folder(cache: Path) -> None:
    remember_blocked("../../escape", "odd name")
    assert [file.name for file in (cache / "blocked").iterdir()] == [".._.._escape"]
