"""The edge on the real Docker engine with the real Traefik: routes, handing over, and what lets it go wrong."""

from __future__ import annotations

import asyncio
import base64
import collections
import contextlib
import http.client
import http.server
import json
import socket
import ssl
import statistics
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent_harness import BASE, PORT, REGISTRY, docker, image
from local_servers import free_ports

import slipway.agent.edge.upkeep as module
from slipway.agent.deadline import Deadline
from slipway.agent.docker.docker_api import DockerApi, find_socket
from slipway.agent.edge.containers import EdgeContainers
from slipway.agent.edge.edge import Edge
from slipway.agent.edge.metrics import Target, connections
from slipway.agent.edge.routing import GENERATION_HEADER, Backend, Preview, Routing, ServiceRouting
from slipway.agent.edge.secret_files import accept_certificate
from slipway.agent.edge.static_config import desired, resolver_name
from slipway.agent.output import Output
from slipway.contract.deployment import Acme, EdgeRequest, Middlewares, RateLimit, Redirect, Route
from slipway.contract.problems import SlipwayError
from slipway.settings.certificates import self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not Path("/var/run/docker.sock").exists(), reason="needs a Docker engine on this machine"),
]
TRAEFIK = f"{REGISTRY}/library/traefik:v3.7.13"
HOST = "shop.test"
PASSWORD = "admin:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc="


class Site:
    """An edge with a folder and ports of its own, and two generations behind it."""

    def __init__(self, home: Path) -> None:
        self.edge = Edge(DockerApi(find_socket()), Output("testhost"))
        self.http_port, self.https_port = free_ports(2)
        self.label = f"slipway.test.edge={uuid.uuid4().hex[:8]}"
        self.home = home
        docker("pull", "-q", TRAEFIK)
        digests = json.loads(docker("image", "inspect", TRAEFIK))[0]["RepoDigests"]
        self.image = next(each for each in digests if each.startswith(f"{REGISTRY}/library/traefik@"))
        self.servers: dict[str, str] = {}

    def wanted(self, **more: Any) -> EdgeRequest:
        return EdgeRequest.from_json(
            {
                "image": self.image,
                "version": "3.7.13",
                "http_port": self.http_port,
                "https_port": self.https_port,
                "https": False,
                "acme": None,
                "certificates": [],
                **more,
            }
        )

    def ensure(self, stack: str = "shop", **more: Any) -> bool:
        return self.edge.ensure(self.wanted(**more), stack, Deadline(60, "the test"))

    def start(self, version: str, *options: str) -> str:
        """Start a container of the application; its id."""
        return docker("run", "-d", "--init", "--label", self.label, *options, image(version))

    def server(self, version: str) -> str:
        """Address of a server with this version, started once."""
        if version not in self.servers:
            self.servers[version] = f"{self.edge.attach(self.start(version))}:{PORT}"
            wait_for(self.servers[version])
        return self.servers[version]

    def routing(self, *backends: Backend, **more: Any) -> Routing:
        maintenance = more.pop("maintenance", None)
        values = {"routes": (Route(HOST),), "backends": backends or self.both(100, 0), **more}
        return Routing((ServiceRouting("web", **values),), maintenance)

    def both(self, old: int, new: int) -> tuple[Backend, Backend]:
        return Backend("g1", old, (self.server("one"),)), Backend("g2", new, (self.server("two"),))

    def write(self, *backends: Backend, stack: str = "shop", **more: Any) -> float:
        return self.edge.write(stack, self.routing(*backends, **more), Deadline(20, "the test"))

    def get(self, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
        return ask(http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10), path, headers)

    def version(self, **headers: str) -> str:
        return str(json.loads(self.get(**headers)[2])["version"])

    def weights(self) -> dict[str, int]:
        written = self.edge.current("shop")
        return {each.generation: each.weight for each in written.services[0].backends} if written else {}

    def containers(self) -> list[str]:
        status = self.edge.status()
        return [each["name"] for each in status["containers"]] if status else []

    def remove(self) -> None:
        for stack in [*self.edge._folder.requests(), "shop"]:
            self.edge.drop_stack(stack)
        found = docker("ps", "-aq", "--filter", f"label={self.label}").split()
        if found:
            docker("rm", "-f", *found)
        self.edge._remove_network()


def ask(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": HOST, **{k.replace("_", "-"): v for k, v in headers.items()}})
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()


def wait_for(server: str) -> None:
    address, _, port = server.rpartition(":")
    until = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, int(port)), 2):
            return
        assert time.monotonic() < until, server
        time.sleep(0.05)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(home))
        made = Site(home)
        certificate, key = self_signed("nobody.test")
        accept_certificate(json.dumps({"certificate": certificate, "key": key}).encode(), Output("testhost"))
        try:
            made.ensure()
            yield made
        finally:
            made.remove()
    assert docker("ps", "-aq", "--filter", f"label={made.label}") == ""


class Load:
    """Requests at a constant rate from another thread: over kept connections, or a new one each time."""

    def __init__(self, port: int, *, keep: bool, rate: int, workers: int, seconds: float) -> None:
        self.port, self.keep, self.interval, self.workers = port, keep, workers / rate, workers
        self.seen: collections.Counter[str] = collections.Counter()
        self.sent = 0
        self.end = time.monotonic() + seconds
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        self.thread.start()

    def failures(self) -> dict[str, int]:
        self.thread.join()
        return {what: count for what, count in self.seen.items() if what != "200"}

    async def _all(self) -> None:
        await asyncio.gather(*(self._worker() for _ in range(self.workers)))

    async def _worker(self) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        due = time.monotonic()
        while time.monotonic() < self.end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self.interval, time.monotonic() - 1)
            self.sent += 1
            for _ in range(2):  # a kept connection may be closed before it is used again (RFC 9110, 9.2.2)
                reused = streams is not None
                try:
                    streams = streams or await asyncio.open_connection("127.0.0.1", self.port)
                    status, close = await asyncio.wait_for(self._ask(*streams), 10)
                except (OSError, EOFError, TimeoutError) as error:
                    if streams is not None:
                        streams[1].close()
                    streams = None
                    if reused:
                        continue
                    self.seen[type(error).__name__] += 1
                else:
                    self.seen[status] += 1
                    if close or not self.keep:
                        streams[1].close()
                        streams = None
                break
        if streams is not None:
            streams[1].close()

    @staticmethod
    async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bool]:
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if "content-length" in fields:
            await reader.readexactly(int(fields["content-length"]))
        else:
            while (size := int(await reader.readline(), 16)) or await reader.readline() != b"\r\n":
                await reader.readexactly(size + 2)
        return head.split(" ")[1], fields.get("connection") == "close"


def test_route_is_live_when_the_write_returns(site: Site) -> None:
    seconds = []
    for turn in range(20):
        seconds.append(site.write(*(site.both(100, 0) if turn % 2 else site.both(0, 100))))
        assert {site.version() for _ in range(3)} == {"one" if turn % 2 else "two"}
    assert statistics.median(seconds) < 0.3, seconds
    assert site.edge.current("shop") == site.routing(*site.both(100, 0))
    assert site.weights() == {"g1": 100, "g2": 0}


def test_weights_share_the_requests_and_a_probe_reaches_its_generation(site: Site) -> None:
    site.write(*site.both(75, 25))
    before = site.edge.metrics()
    assert collections.Counter(site.version() for _ in range(40)) == {"one": 30, "two": 10}
    assert {site.version(**{GENERATION_HEADER: "g2"}) for _ in range(10)} == {"two"}
    target = Target("shop", "web", "g2")
    after = site.edge.metrics()
    was = before[target].requests if target in before else 0
    assert after[target].requests - was == 20
    assert after[target].buckets[-1] == (float("inf"), after[target].requests)


def test_visitor_stays_with_a_generation(site: Site) -> None:
    site.write(*site.both(50, 50), sticky=True)
    _, headers, body = site.get()
    cookie = headers["set-cookie"].partition(";")[0]
    assert {site.get(Cookie=cookie)[2] for _ in range(10)} == {body}


def test_preview_reaches_the_new_generation(site: Site) -> None:
    site.write(*site.both(100, 0), preview=Preview("next.test", "g2"))
    assert (site.version(), site.version(Host="next.test")) == ("one", "two")


def test_faulty_route_fails_and_the_old_one_serves(site: Site) -> None:
    site.write(*site.both(0, 100))
    wrong = Middlewares(ip_allow_list=("not-an-address",))
    with pytest.raises(SlipwayError, match="does not accept the routes of shop") as raised:
        site.write(*site.both(100, 0), middlewares=wrong)
    assert any("not-an-address" in line for line in raised.value.evidence)
    assert site.version() == "two"
    assert site.weights() == {"g1": 0, "g2": 100}


def test_dead_server_beside_a_living_one_costs_no_request(site: Site) -> None:
    address = site.server("one").rpartition(":")[0]
    site.write(Backend("g1", 100, (site.server("one"), f"{address}:9")))
    assert {site.get()[0] for _ in range(20)} == {200}


def test_longer_path_and_host_win(site: Site) -> None:
    services = tuple(
        ServiceRouting(name, (route,), (Backend("g1", 1, (site.server(version),)),))
        for name, route, version in (
            ("any", Route("", "/api/deep"), "one"),
            ("host", Route(HOST), "one"),
            ("path", Route(HOST, "/api", strip=True), "two"),
        )
    )
    site.edge.write("shop", Routing(services), Deadline(20, "the test"))
    found = [json.loads(site.get(path)[2])["version"] for path in ("/", "/api", "/api/deep", "/apix")]
    assert found == ["one", "two", "two", "one"]
    assert json.loads(site.get("/api/deep/x", Host="other.test")[2])["version"] == "one"


def test_middlewares_do_what_they_are_named_for(site: Site) -> None:
    ways = Middlewares(
        redirects=(Redirect("www.shop.test", HOST, permanent=True),),
        basic_auth=PASSWORD,
        ip_allow_list=("127.0.0.0/8",),
        max_body=10,
        security_headers=True,
    )
    site.write(*site.both(100, 0), middlewares=ways)
    status, headers, _ = site.get("/x?y=1", Host="www.shop.test")
    assert (status, headers["location"]) == (301, f"http://{HOST}:{site.http_port}/x?y=1")
    assert site.get()[0] == 401
    key = "Basic " + base64.b64encode(b"admin:admin").decode()
    status, headers, _ = site.get(Authorization=key)
    assert (status, headers["x-frame-options"]) == (200, "SAMEORIGIN")
    connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/", body=b"x" * 11, headers={"Host": HOST, "Authorization": key})
        assert connection.getresponse().status == 413
    stored = list(site.home.glob("edge/credentials/shop/*"))
    assert [file.stat().st_mode & 0o777 for file in stored] == [0o600]
    site.write(*site.both(100, 0), middlewares=Middlewares(ip_allow_list=("192.0.2.1",)))
    assert site.get()[0] == 403
    assert not list(site.home.glob("edge/credentials/shop/*"))
    site.write(*site.both(100, 0), middlewares=Middlewares(rate_limit=RateLimit(1, 2, 60.0)))
    assert [site.get()[0] for _ in range(4)] == [200, 200, 429, 429]


def test_maintenance_page_answers_instead(site: Site) -> None:
    page = "<h1>Back at {{ .Time }} `soon` 🚧</h1>"
    site.write(*site.both(100, 0), maintenance=page)
    status, headers, body = site.get("/any")
    assert (status, body.decode()) == (503, page)
    assert int(headers["retry-after"]) > 0
    site.write(*site.both(100, 0))
    assert site.get()[0] == 200


def test_two_stacks_cannot_have_the_same_route(site: Site) -> None:
    site.write(*site.both(100, 0))
    site.ensure("other")
    with pytest.raises(SlipwayError, match=r"stack shop of this host already serves shop\.test/"):
        site.write(*site.both(100, 0), stack="other")
    site.write(*site.both(100, 0), stack="other", routes=(Route("other.test"),))
    assert site.version(Host="other.test") == "one"
    site.edge.drop_stack("other")
    assert site.version() == "one"


def test_same_wish_again_touches_nothing(site: Site) -> None:
    before = site.containers()
    assert not site.edge.lacks(site.wanted(), "shop")
    assert site.ensure() is False
    assert site.containers() == before


def test_other_ports_of_another_stack_are_refused_and_named(site: Site) -> None:
    before = site.containers()
    with pytest.raises(SlipwayError, match=f"stack shop has it on {site.http_port}"):
        site.ensure("other", http_port=free_ports(1)[0])
    assert site.containers() == before


def test_port_of_somebody_else_is_refused_before_anything_is_touched(site: Site) -> None:
    before = site.containers()
    with socket.socket() as holder:
        holder.bind(("", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(SlipwayError, match=f"port {port} of this host is in use by another program"):
            site.ensure(http_port=port)
    assert site.containers() == before


def test_containers_keep_their_addresses_and_do_not_reach_one_another(site: Site) -> None:
    first, second = site.server("one"), site.server("two")
    identifier = next(
        each
        for each in docker("ps", "-q", "--no-trunc", "--filter", f"label={site.label}").split()
        if site.edge.attach(each) == first.partition(":")[0]
    )
    docker("restart", "-t", "1", identifier)
    wait_for(first)
    assert site.edge.attach(identifier) == first.partition(":")[0]
    script = f"import socket; socket.create_connection(({second.partition(':')[0]!r}, {PORT}), 2)"
    with pytest.raises(AssertionError, match=r"timed out|unreachable"):
        docker("exec", identifier, "python", "-c", script)


def test_address_is_not_given_again_at_once(site: Site) -> None:
    gone = site.start("one")
    address = site.edge.attach(gone)
    docker("rm", "-f", gone)
    assert site.edge.attach(site.start("one")) != address


def test_open_connections_are_those_to_the_servers(site: Site) -> None:
    address, _, port = site.server("one").rpartition(":")
    before = connections([site.server("one")])
    with socket.create_connection((address, int(port)), 5):
        assert connections([site.server("one")]) == before + 1
        assert connections([f"{address}:9"]) == 0


@pytest.mark.parametrize("steered_by", ["agent", "container"])
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "new"])
def test_handover_loses_no_request(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], steered_by: str, *, keep: bool
) -> None:
    if steered_by == "container":  # as for an agent that is not root

        class Refused:
            works = False

            def __init__(self, _ports: list[int]) -> None:
                pass

        monkeypatch.setattr(module, "Steering", Refused)
    site.write(*site.both(100, 0))
    https = not site.edge._folder.requests()["shop"].https
    before = site.containers()
    load = Load(site.http_port, keep=keep, rate=300, workers=15, seconds=8)
    time.sleep(1)
    assert site.ensure(https=https) is True
    assert load.failures() == {}
    assert "cannot be held" not in capfd.readouterr().err
    assert load.sent > 300
    after = site.containers()
    assert (len(after), set(after) & set(before)) == (1, set())
    assert docker("ps", "-aq", "--filter", "name=edge-.*-steering") == ""


def test_long_request_outlives_its_edge(site: Site) -> None:
    script = (
        "import http.server as h, time\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        time.sleep(5); self.send_response(200); self.end_headers(); self.wfile.write(b'late')\n"
        "h.ThreadingHTTPServer(('', 8000), H).serve_forever()\n"
    )
    slow = docker("run", "-d", "--init", "--label", site.label, "--entrypoint", "python", BASE, "-c", script)
    server = f"{site.edge.attach(slow)}:8000"
    wait_for(server)
    site.write(Backend("slow", 1, (server,)))
    answers: list[tuple[int, dict[str, str], bytes]] = []
    asking = threading.Thread(target=lambda: answers.append(site.get()))
    asking.start()
    time.sleep(0.5)
    site.ensure(https=not site.edge._folder.requests()["shop"].https)
    asking.join()
    assert [(status, body) for status, _, body in answers] == [(200, b"late")]


def test_run_ended_between_two_containers_is_mended(site: Site) -> None:
    site.write(*site.both(100, 0))
    containers = EdgeContainers(site.edge.api, site.edge._folder)
    found = containers.find()
    https = not site.edge._folder.requests()["shop"].https
    aim = desired({"shop": site.wanted(https=https)}, "shop", [])
    containers.start(aim, found, Deadline(30, "the test"))
    assert len(site.containers()) == 2
    site.ensure(https=https)
    assert len(site.containers()) == 1
    assert site.get()[0] in {200, 404}  # routes still say what they were written with
    site.write(*site.both(100, 0))
    assert site.version() == "one"


def test_edge_that_cannot_start_leaves_the_old_one_serving(site: Site) -> None:
    site.write(*site.both(100, 0))
    before = site.containers()
    broken = image("one")
    with pytest.raises(SlipwayError, match="container does not serve") as raised:
        site.ensure(image=broken, version="3.99.0")
    assert raised.value.evidence
    assert site.containers() == before
    assert site.version() == "one"


def test_own_certificate_is_served_and_plain_http_leads_to_it(site: Site) -> None:
    certificate, key = self_signed(HOST)
    site.ensure(https=True, certificates=[{"certificate": certificate, "key": key}])
    site.write(*site.both(100, 0), https=True)
    status, headers, _ = site.get("/x")
    assert (status, headers["location"]) == (301, f"https://{HOST}:{site.https_port}/x")
    assert site.version(**{GENERATION_HEADER: "g2"}) == "two"
    context = ssl.create_default_context(cadata=certificate)
    with (
        socket.create_connection(("127.0.0.1", site.https_port), 10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        secure.sendall(f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        assert secure.recv(1000).startswith(b"HTTP/1.0 200")
    files = list(site.home.glob("edge/certificates/shop/*"))
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    site.ensure(https=True)
    assert not list(site.home.glob("edge/certificates/shop/*"))


def test_acme_challenge_is_answered_in_plain_http_beside_the_redirect(site: Site) -> None:
    nobody = {"email": "me@shop.test", "server": "https://127.0.0.1:1/directory", "ca": self_signed("ca.test")[0]}
    site.ensure(https=True, acme=nobody)
    site.write(*site.both(100, 0), https=True, resolver=resolver_name(Acme(**nobody)))
    assert site.get()[0] == 301
    assert site.get("/.well-known/acme-challenge/token")[0] == 404
    storage = site.home / f"edge/acme/{resolver_name(Acme(**nobody))}.json"
    assert storage.stat().st_mode & 0o777 == 0o600
    assert not any("ERR" in line or "panic" in line for line in docker("logs", *site.containers()).splitlines())


def test_edge_that_was_removed_comes_back_with_its_routes(site: Site) -> None:
    site.ensure()
    site.write(*site.both(0, 100))
    docker("rm", "-f", *site.containers())
    assert site.edge.lacks(site.wanted(), "shop")
    assert site.ensure() is True
    assert site.version() == "two"


def test_last_stack_takes_the_edge_along(site: Site) -> None:
    site.remove()
    assert site.edge.status() is None
    assert not (site.home / "edge").exists()
    site.edge.drop_stack("shop")


class _Behind(http.server.BaseHTTPRequestHandler):
    """Says what arrived; `/stream` goes on after its first line until the test ends the server."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        said = [each for each in self.headers if each in ("Forwarded", "X.Forwarded.For", "X_Forwarded_For")]
        seen = f"{self.path} {self.headers.get('X-Forwarded-Proto')} {said}".encode()
        self.send_response(200)
        if self.path != "/stream":
            self.send_header("Content-Length", str(len(seen)))
        self.end_headers()
        self.wfile.write(seen)
        self.wfile.flush()
        if self.path == "/stream":
            self.server.ended.wait(20)  # type: ignore[attr-defined]
            self.close_connection = True

    do_GET = do_POST = answer  # noqa: N815 - the names that the library calls

    def log_message(self, *_: Any) -> None:
        pass


def test_real_traefik_understands_what_keeps_visitors_out_and_lets_answers_through(site: Site) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Behind)
    server.ended = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy, visitor = "127.0.0.2", "203.0.113.7"
    backends = (Backend("g1", 1, (f"127.0.0.1:{server.server_port}",)),)
    only = Middlewares(ip_allow_list=(visitor,))
    services = (
        ServiceRouting("web", (Route(HOST),), backends, Middlewares(max_body=1000), preview=Preview("next.test", "g1")),
        ServiceRouting("admin", (Route(HOST, "/admin"),), backends, only),
        ServiceRouting("secure", (Route("tls.test"),), backends, https=True),
        ServiceRouting("plain", (Route("open.test"),), backends),
    )

    def status(path: str, source: str = "127.0.0.1", host: str = HOST, body: bytes = b"", **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=10, source_address=(source, 0))
        with contextlib.closing(connection):
            connection.request("POST" if body else "GET", path, body or None, {"Host": host, **headers})
            return connection.getresponse().status

    def forwarded(addresses: str, scheme: str = "http") -> dict[str, str]:
        return {"X-Forwarded-For": addresses, "X-Forwarded-Proto": scheme}

    try:
        site.ensure(https=True, trusted_proxies=[proxy])
        site.edge.write("shop", Routing(services), Deadline(20, "the test"))
        for path in ("/admin/users", "/%61dmin/users", "//admin/users", "/x/../admin/users"):
            assert status(path) == 403, path
        for path in (
            "/admin%2Fusers", "/admin%2fusers", "/admin%5Cusers", "/x/..%2Fadmin/users", "/admin%00/users",
            "/admin;x/users", "/admin%3bx", "/ADMIN/users", "/x/..;/admin", "/x/%2e%2e;/admin", "/;x/admin",
            "/admin%20", "/admin%0a", "/%2561dmin", "/x/..%252fadmin",
        ):  # fmt: skip
            assert status(path) == 404, path
            assert status(path, host="open.test") == 200, path
            assert status(path, host="next.test") == 404, path
        assert [status(path, host="next.test") for path in ("/admin", "/admin/x", "/", "/x")] == [404, 404, 200, 200]
        assert [status(path) for path in ("/administrator", "/page;id=1", "/?a=1;b=2")] == [200] * 3
        for source, named, expected in (
            (proxy, visitor, 200), (proxy, f"198.51.100.1, {visitor}, {proxy}", 200),
            (proxy, f"{visitor}, 198.51.100.1", 403), ("127.0.0.1", visitor, 403),
        ):  # fmt: skip
            assert status("/admin", source, **forwarded(named)) == expected, (source, named)
        assert status("/", proxy, "tls.test", **forwarded(visitor, "https")) == 200
        assert status("/", proxy, "tls.test", **forwarded(visitor)) == 301
        assert status("/", "127.0.0.1", "tls.test", **forwarded(visitor, "https")) == 301
        assert status("/", body=b"x" * 1000) == 200
        assert status("/", body=b"x" * 1001) == 413
        spoofed = {
            "Host": HOST,
            "Forwarded": "for=192.0.2.1",
            "X.Forwarded.For": "192.0.2.1",
            "X_Forwarded_For": "192.0.2.1",
        }
        connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/", headers=spoofed)
            assert connection.getresponse().read() == b"/ http []"
        connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/stream", headers={"Host": HOST})
            assert connection.getresponse().read(7) == b"/stream"
    finally:
        server.ended.set()  # type: ignore[attr-defined]
        server.shutdown()
