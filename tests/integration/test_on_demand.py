"""Issuance on demand: a client asks for a name without a certificate; the data plane asks its control plane, the handshake waits for what comes.
Two control planes of one database: the first allows by patterns, the second asks a server."""

import asyncio
import http.server
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import psycopg2
import pytest
import requests

from acme_parts import StandIn
from harness import BUILD, LANE, wait_until
from pki import der, pair
from test_stream import Subscriber, pb  # noqa: F401

PLENTY = "client=1000000/1h domain=1000000/1d name=100/1h"


class Allows:
    """The server of acme_on_demand_ask: names that it was told of get their status, others 200."""

    def __init__(self):
        self.statuses, self.asked, self.hang = {}, [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                outer.asked.append((self.path.split("?")[0], query))
                status = outer.statuses.get(query["domain"][0], 200)
                if status is None:
                    outer.hang.wait(20)
                    status = 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/allowed?key=1"

    def times(self, name):
        return sum(q["domain"] == [name] for _, q in self.asked)

    def stop(self):
        self.hang.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def allows():
    a = Allows()
    yield a
    a.stop()


@pytest.fixture(scope="module")
def world(bare_cluster, allows):
    c = bare_cluster
    c.ca = StandIn(c.folder).start()
    conf = {"acme_directory": c.ca.directory, "acme_ca_file": c.ca.ca_file, "acme_allow_private": "on", "acme_limits": "none"}
    patterns = c.add_control_plane(acme_on_demand_domains="*.shop.example, *.shop.test", acme_on_demand_limits=PLENTY, **conf).start()
    asks = c.add_control_plane(
        acme_on_demand_ask=allows.url, acme_on_demand_ask_timeout="1s", acme_on_demand_limits="client=8/1h domain=5/1d name=2/1h", **conf
    ).start()
    cert, cert_pem, key = pair("default.example.com")
    c.default = der(cert)
    (c.folder / "default.crt").write_text(cert_pem)
    (c.folder / "default.key").write_text(key)
    long = {"on_demand": "on", "on_demand_hold": "50s", "ssl_handshake_timeout": "60s"}
    add = c.add_data_plane
    c.first = add(control_planes=[patterns.cluster_addr], **long).start()
    c.second = add(control_planes=[asks.cluster_addr], **long).start()
    c.unheld = add(
        control_planes=[patterns.cluster_addr], on_demand="on", on_demand_hold="0", ssl_cert=c.folder / "default.crt", ssl_cert_key=c.folder / "default.key"
    ).start()
    c.short = add(control_planes=[patterns.cluster_addr], on_demand="on", on_demand_hold="1s").start()
    c.ca.addresses(http=[f"{d.ip}:{c.http_port}" for d in c.data_planes])
    c.patterns, c.asks, c.root = patterns, asks, c.ca.root()
    yield c
    c.ca.stop()


def sql(world, statement, *args):
    with psycopg2.connect(world.dsn) as db, db.cursor() as cur:
        cur.execute(statement, args)
        return cur.fetchall() if cur.description else None


def orders(world, like):
    return sql(world, "SELECT count(*) FROM acme_orders WHERE host LIKE %s", like)[0][0]


def served(world, d, host, client=None):
    """The leaf in DER, verified for the name, or the alert. client: the address that the connection comes from."""
    context = ssl.create_default_context(cafile=str(world.root))
    with socket.create_connection((d.ip, d.tls_port), timeout=70, source_address=(client, 0) if client else None) as raw:
        with context.wrap_socket(raw, server_hostname=host) as tls:
            return tls.getpeercert(binary_form=True)


def refused(world, d, host, client=None):
    """The handshake ends with the alert of an unknown name; how long it took."""
    begin = time.monotonic()
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        served(world, d, host, client)
    return time.monotonic() - begin


def event(d, name):
    return d.metric("cardea_dp_on_demand_total", f'{{event="{name}"}}')


def result(cp, name):
    for line in requests.get(f"http://{cp.ip}:{cp.status_port}/metrics", timeout=5).text.splitlines():
        if line.startswith(f'cardea_acme_on_demand_total{{result="{name}"}} '):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(name)


class Moved:
    """By how much counters moved."""

    def __init__(self, of, *names):
        self.read = lambda: [(event if hasattr(of, "tls_port") else result)(of, n) for n in names]
        self.before = self.read()

    def __call__(self):
        return [b - a for a, b in zip(self.before, self.read())]


# --- allowed by a pattern ---


def test_the_first_handshake_gets_the_certificate(world):
    moved = Moved(world.first, "asked", "comes", "served", "held", "late")
    assert served(world, world.first, "one.shop.example")
    assert moved() == [1, 1, 1, 1, 0]
    assert orders(world, "one.shop.example") == 1
    assert world.first.metric("cardea_dp_on_demand_held") == 0
    assert "a certificate is ordered on demand" in world.patterns.process.log()
    wait_until(lambda: world.unheld.peer_certificate("one.shop.example") != world.default, 10, "the others have it too")


def test_capitals_and_a_dot_at_the_end_are_the_same_name(world):
    assert served(world, world.first, "MiXed.Shop.Example")
    assert orders(world, "mixed.shop.example") == 1


def test_without_holding_the_default_certificate_goes_out_meanwhile(world):
    name = "unheld.shop.example"
    moved = Moved(world.unheld, "asked", "held")
    assert world.unheld.peer_certificate(name) == world.default
    wait_until(lambda: world.unheld.peer_certificate(name) != world.default, 20, "the certificate")
    assert served(world, world.unheld, name)
    assert moved() == [1, 0] and orders(world, name) == 1


def test_a_name_that_no_pattern_allows(world):
    moved, decided = Moved(world.first, "asked", "refused", "remembered"), Moved(world.patterns, "not_allowed")
    assert refused(world, world.first, "shop.example") < 5
    assert refused(world, world.first, "shop.example") < 5
    assert moved() == [1, 1, 1] and decided() == [1]
    assert orders(world, "shop.example") == 0


@pytest.mark.parametrize(
    "name", ["localhost", "192.0.2.1", "*.shop.example", "under_score.shop.example", "-a.shop.example", "a-.shop.example", "a.shop.1", "a." + "b" * 64 + ".shop.example"]
)
def test_what_is_no_name_asks_nobody(world, name):
    moved = Moved(world.first, "asked", "held", "remembered")
    r = subprocess.run(
        ["openssl", "s_client", "-connect", f"{world.first.ip}:{world.first.tls_port}", "-servername", name], input=b"", capture_output=True, timeout=20
    )
    assert b"unrecognized name" in r.stderr
    assert moved() == [0, 0, 0]


def test_labels_that_repeat(world):
    decided = Moved(world.patterns, "invalid")
    refused(world, world.first, "www.www.shop.example")
    assert decided() == [1]


def test_a_hundred_names_ten_times_each(world):
    names = [f"n{i}.crowd.shop.example" for i in range(100)]
    asked, made = Moved(world.first, "asked", "held", "late", "crowded"), world.ca.counters()["requests"]["new-order"]

    async def shake(name):
        context = ssl.create_default_context(cafile=str(world.root))
        _, writer = await asyncio.open_connection(world.first.ip, world.first.tls_port, ssl=context, server_hostname=name, ssl_handshake_timeout=60)
        leaf = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        return leaf["subjectAltName"]

    async def all_at_once():
        return await asyncio.gather(*(shake(name) for name in names for _ in range(10)))

    got = asyncio.run(all_at_once())
    assert got == [(("DNS", name),) for name in names for _ in range(10)]
    assert orders(world, "n%.crowd.shop.example") == 100
    assert world.ca.counters()["requests"]["new-order"] - made == 100
    moved = asked()
    assert moved[0] == 100 and moved[2:] == [0, 0], moved


def test_two_data_planes_of_two_control_planes_ask_at_once(world):
    name = "same.shop.test"
    leafs = []
    threads = [threading.Thread(target=lambda d=d: leafs.append(served(world, d, name))) for d in (world.first, world.second) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(leafs) == 6 and len(set(leafs)) == 1
    assert orders(world, name) == 1


# --- allowed by a server ---


def test_a_server_allows(world, allows):
    assert served(world, world.second, "yes.asked.example", f"127.0.{LANE}.101")
    path, query = next(a for a in allows.asked if a[1]["domain"] == ["yes.asked.example"])
    assert path == "/allowed" and query == {"key": ["1"], "domain": ["yes.asked.example"], "client": [f"127.0.{LANE}.101"]}
    assert allows.times("yes.asked.example") == 1


@pytest.mark.parametrize("status", [302, 400, 403, 404])
def test_a_server_refuses_and_is_not_asked_again(world, allows, status):
    name = f"no{status}.asked.example"
    allows.statuses[name] = status
    decided = Moved(world.asks, "ask_refused")
    for _ in range(3):
        assert refused(world, world.second, name, f"127.0.{LANE}.102") < 5
    assert allows.times(name) == 1 and decided() == [1] and orders(world, name) == 0


@pytest.mark.parametrize("status", [500, 503, None], ids=["500", "503", "silence"])
def test_a_server_that_fails(world, allows, status):
    name = f"fails{status}.asked.example".lower()
    allows.statuses[name] = status
    decided = Moved(world.asks, "ask_failed", "ask_refused")
    assert refused(world, world.second, name, f"127.0.{LANE}.103") < 10
    assert decided() == [1, 0] and orders(world, name) == 0
    assert "acme_on_demand_ask" in world.asks.process.log()


# --- budgets ---


def test_a_client_that_asks_for_too_many_names(world, allows):
    client, other = f"127.0.{LANE}.104", f"127.0.{LANE}.105"
    for i in range(9):
        allows.statuses[f"scan{i}.asked.example"] = 404
    moved = Moved(world.second, "refused", "client_refused", "remembered")
    for i in range(8):
        refused(world, world.second, f"scan{i}.asked.example", client)
    refused(world, world.second, "mine.asked.test", client)
    assert moved() == [8, 1, 0]
    refused(world, world.second, "more.asked.test", client)
    assert moved() == [8, 1, 1]
    assert served(world, world.second, "mine.asked.test", other)
    assert "a budget of issuance on demand is used up" in world.asks.process.log()


def test_a_domain_with_too_many_names(world):
    clients = [f"127.0.{LANE}.{106 + i}" for i in range(6)]
    for i in range(5):
        assert served(world, world.second, f"n{i}.budget.example", clients[i])
    decided = Moved(world.asks, "domain_budget")
    refused(world, world.second, "n5.budget.example", clients[5])
    assert decided() == [1] and orders(world, "%.budget.example") == 5


def test_a_name_whose_order_fails(world):
    """The one who waits goes on in the end; who asks next is told why, and nobody orders again."""
    name = "fail-on-demand.shop.example"
    assert 0.5 < refused(world, world.short, name) < 8
    assert refused(world, world.short, name) < 0.9
    wait_until(lambda: sql(world, "SELECT 1 FROM acme_orders WHERE host = %s AND failures > 0", name), 20, "the order failed")
    decided = Moved(world.patterns, "failing")
    assert refused(world, world.first, name) < 5
    assert decided() == [1] and orders(world, name) == 1


# --- what is away ---


def test_the_control_plane_does_not_answer(world):
    world.patterns.process.signal(signal.SIGSTOP)
    try:
        assert 0.5 < refused(world, world.short, "silence.shop.example") < 8
    finally:
        world.patterns.process.signal(signal.SIGCONT)
    wait_until(lambda: served(world, world.short, "silence.shop.example"), 20, "served when it goes on")


def test_the_control_plane_is_away(world):
    name = "away.shop.example"
    world.patterns.process.stop()
    wait_until(lambda: world.first.metric("cardea_dp_connected") == 0, 20, "no stream")
    moved = Moved(world.first, "asked", "away", "held")
    assert refused(world, world.first, name) < 5
    assert moved() == [0, 1, 0]
    world.patterns.start()
    wait_until(lambda: world.first.metric("cardea_dp_connected") == 1, 30, "a stream")
    assert served(world, world.first, name)


def test_a_control_plane_that_comes_back_while_handshakes_wait(world):
    """What was asked is asked again on the next stream."""
    name, leafs = "return.shop.example", []
    world.patterns.process.signal(signal.SIGSTOP)
    t = threading.Thread(target=lambda: leafs.append(served(world, world.first, name)))
    t.start()
    wait_until(lambda: world.first.metric("cardea_dp_on_demand_held") == 1, 10, "a handshake waits")
    world.patterns.process.signal(signal.SIGCONT)
    world.patterns.process.kill()
    world.patterns.start()
    t.join(60)
    assert leafs and orders(world, name) == 1


# --- configuration ---


@pytest.mark.parametrize(
    "plane,key,value,says",
    [
        ("dp", "on_demand_hold", "10s", "ssl_handshake_timeout"),
        ("dp", "on_demand_names_max", "0", "on_demand_names_max"),
        ("cp", "acme_on_demand_domains", "*.a.com, a..b", "acme_on_demand_domains"),
        ("cp", "acme_on_demand_domains", "a.*", "acme_on_demand_domains"),
        ("cp", "acme_on_demand_ask", "ftp://a/", "acme_on_demand_ask"),
        ("cp", "acme_on_demand_ask", "http://user@a/", "acme_on_demand_ask"),
        ("cp", "acme_on_demand_limits", "client=1", "acme_on_demand_limits"),
        ("cp", "acme_on_demand_limits", "account=1/1h", "acme_on_demand_limits"),
        ("cp", "acme_on_demand_refused_ttl", "0", "acme_on_demand_refused_ttl"),
    ],
)
def test_what_is_refused_at_the_start(world, tmp_path, plane, key, value, says):
    of = world.unheld if plane == "dp" else world.patterns
    lines = [line for line in of.config.read_text().splitlines() if not line.startswith(key + " ")]
    (tmp_path / "conf").write_text("\n".join(lines + [f"{key} = {value}"]) + "\n")
    r = subprocess.run([BUILD / f"cardea-{plane}", "-t", "-c", tmp_path / "conf"], capture_output=True, text=True, timeout=20)
    assert r.returncode == 2 and says in r.stderr, r.stderr


def test_a_name_that_is_there_in_capitals_is_known(world, pb):
    """Asked for by a data plane that has not got it yet."""
    _, cert, key = pair("known.shop.example")
    assert world.patterns.post("/certificates", json={"cert": cert, "key": key, "snis": ["Known.Shop.Example"]}).status_code == 201
    before = result(world.patterns, "known")
    s = Subscriber(pb, world)
    try:
        s.wait(lambda: s.revision > 0)
        s.say(want_certificate=pb.WantCertificate(host="known.shop.example", client="127.0.0.1"))
        wait_until(lambda: result(world.patterns, "known") == before + 1, what="known")
    finally:
        s.close()
    assert orders(world, "known.shop.example") == 0


def test_a_control_plane_that_does_not_issue_on_demand(world):
    """The data plane is told so, and remembers it."""
    plain = world.add_control_plane(acme_directory=world.ca.directory, acme_ca_file=world.ca.ca_file, acme_allow_private="on").start()
    d = world.add_data_plane(control_planes=[plain.cluster_addr], on_demand="on").start()
    wait_until(lambda: d.metric("cardea_dp_connected") == 1, 20, "a stream")
    moved = Moved(d, "refused", "remembered")
    for _ in range(2):
        assert refused(world, d, "plain.shop.example") < 5
    assert moved() == [1, 1]
    assert "this control plane does not issue on demand" in d.process.log()
