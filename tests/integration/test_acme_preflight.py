"""test_http_challenge_flow: what stands between an authority and the data planes is told before an attempt is spent."""

import http.server
import signal
import socket
import threading

import pytest
import requests

from dns_stub import DnsStub
from harness import wait_until
from test_openapi import Checked

A, AAAA = 1, 28


@pytest.fixture(scope="module")
def dns():
    s = DnsStub()
    yield s
    s.close()


@pytest.fixture(scope="module")
def cluster(bare_cluster, dns, http_port):
    bare_cluster.add_control_plane(dns_resolver=dns.address, acme_preflight_port=http_port, acme_allow_private="on", acme_barrier_timeout="2s").start()
    for _ in range(2):
        bare_cluster.add_data_plane().start()
    return bare_cluster


@pytest.fixture(scope="module")
def call(cluster):
    return Checked(cluster.cp, cluster.cp.get("/openapi.json").json())


def look(call, host, status):
    return call("post", "/acme", json={"host": host, "test_http_challenge_flow": True}, status=status).json()


def challenges(cluster):
    return sum(d.metric("cardea_dp_challenges") for d in cluster.data_planes)


def test_a_name_that_points_to_every_data_plane(call, cluster, dns):
    ips = [d.ip for d in cluster.data_planes]
    dns.records["good.example.com"] = {A: ips}
    r = look(call, "GOOD.example.com", 200)
    assert r["message"] == "sanity test for host good.example.com passed" and r["passed"] and r["data_planes"] == 2
    assert r["addresses"] == [{"address": ip, "passed": True, "status": 200} for ip in ips]
    assert cluster.cp.get("/acme/orders").json()["data"] == [], "no order is made"
    wait_until(lambda: challenges(cluster) == 0, 20, "its challenge is gone")
    form = cluster.cp.post("/acme", data={"host": "good.example.com", "test_http_challenge_flow": "true"})
    assert form.status_code == 200, form.text


def test_an_address_needs_no_dns(call, cluster, dns):
    asked = dns.questions
    assert look(call, cluster.data_planes[0].ip, 200)["passed"]
    assert dns.questions == asked


class Server:
    """Somebody else at the port of http-01."""

    def __init__(self, ip, port, status, body, **fields):
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer((ip, port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("status,body,fields,says", [
    (404, b"Not found\n", {}, "no data plane of this fleet"),
    (200, b"welcome", {}, "no data plane of this fleet"),
    (200, b"", {}, "no data plane of this fleet"),
    (500, b"x" * 100000, {}, "answers"),
    (301, b"", {"Location": "https://other.example.com/"}, "redirect to https://other.example.com/"),
])  # fmt: skip
def test_somebody_else_answers(call, cluster, dns, http_port, status, body, fields, says):
    elsewhere = "127.0.0.98"
    dns.records["else.example.com"] = {A: [cluster.data_planes[0].ip, elsewhere]}
    with Server(elsewhere, http_port, status, body, **fields):
        r = look(call, "else.example.com", 400)
    assert says in r["message"] and elsewhere in r["message"], r
    assert r["message"].startswith("problem found running sanity check for else.example.com: ")
    assert [a["passed"] for a in r["addresses"]] == [True, False]


def test_nobody_answers(call, dns, http_port):
    dns.records["dead.example.com"] = {A: ["127.0.0.99"]}
    r = look(call, "dead.example.com", 400)
    assert f"nobody answers at 127.0.0.99, port {http_port}" in r["message"] and "proxy_listen" in r["message"]
    assert r["addresses"] == [{"address": "127.0.0.99", "passed": False, "status": None}]


def test_dns_says_no(call, dns):
    assert "NXDOMAIN" in look(call, "none.example.com", 400)["message"]
    dns.records["empty.example.com"] = {}
    r = look(call, "empty.example.com", 400)
    assert "no A or AAAA record" in r["message"] and "points to data planes" in r["message"] and r["addresses"] == []
    dns.rcode = 2
    try:
        assert "dns_resolver" in look(call, "failing.example.com", 400)["message"]
    finally:
        dns.rcode = None


def test_ipv6_counts_too(call, cluster, dns, http_port):
    dns.records["six.example.com"] = {A: [cluster.data_planes[0].ip], AAAA: ["::1"]}
    r = look(call, "six.example.com", 400)
    assert [(a["address"], a["passed"]) for a in r["addresses"]] == [(cluster.data_planes[0].ip, True), ("::1", False)]


@pytest.mark.parametrize("body,status,says", [
    ({"host": "*.example.com"}, 400, "wildcard"),
    ({"hosts": ["a.example.com", "b.example.com"]}, 400, "one host"),
    ({"host": ""}, 400, ""),
])  # fmt: skip
def test_refusals(call, body, status, says):
    r = call("post", "/acme", json={**body, "test_http_challenge_flow": True}, status=status)
    assert says in r.text


def test_names_of_the_plugin(call, cluster, dns):
    dns.records["in.example.com"] = {A: [cluster.data_planes[0].ip]}
    made = cluster.cp.post("/plugins", json={"name": "acme", "config": {"account_email": "a@example.com", "domains": ["in.example.com"], "api_uri": "https://localhost:1"}})
    assert made.status_code == 201, made.text
    plugin = f"/plugins/{made.json()['id']}"
    try:
        assert look(call, "in.example.com", 200)["passed"]
        assert "not allowed" in look(call, "good.example.com", 400)["message"]
        cluster.cp.patch(plugin, json={"config": {"allow_any_domain": True}})
        assert look(call, "good.example.com", 200)["passed"], "Kong refuses this one"
    finally:
        cluster.cp.delete(plugin)


def test_private_addresses_are_told(bare_cluster, dns, http_port, cluster):
    c = bare_cluster.add_control_plane(dns_resolver=dns.address, acme_preflight_port=http_port).start()
    r = c.post("/acme", json={"host": "good.example.com", "test_http_challenge_flow": True})
    assert r.status_code == 400 and "private address" in r.text
    c.process.stop()


@pytest.mark.parametrize("where", ["dns", "address", "barrier"])
def test_a_control_plane_that_stops_meanwhile(bare_cluster, cluster, dns, http_port, where):
    c = bare_cluster.add_control_plane(dns_resolver=dns.address, acme_preflight_port=http_port, acme_allow_private="on", acme_barrier_timeout="20s").start()
    hole = socket.socket()
    hole.bind(("127.0.0.97", http_port))
    hole.listen()
    dns.records["stopped.example.com"] = {A: ["127.0.0.97"]}
    dns.silent = where == "dns"
    if where == "barrier":
        cluster.data_planes[1].process.signal(signal.SIGSTOP)
    begun = dns.questions
    asking = threading.Thread(target=ask_in_vain, args=(c,))
    asking.start()
    try:
        if where == "barrier":
            wait_until(lambda: cluster.data_planes[0].metric("cardea_dp_challenges") == 1, 20, "published")
        else:
            wait_until(lambda: dns.questions > begun, 20, "asked")
        if where == "address":
            hole.settimeout(20)
            hole.accept()
        assert c.process.stop(40) == 0
    finally:
        dns.silent = False
        cluster.data_planes[1].process.signal(signal.SIGCONT)
        asking.join(30)
        hole.close()


def ask_in_vain(c):
    try:
        c.post("/acme", data={"host": "stopped.example.com", "test_http_challenge_flow": "true"})
    except requests.RequestException:
        pass


def test_a_data_plane_that_is_behind(call, cluster, dns):
    """One that is stopped (not killed) still counts as connected, and does not take the challenge in time."""
    d = cluster.data_planes[1]
    d.process.signal(signal.SIGSTOP)
    try:
        r = look(call, "in.example.com", 400)
    finally:
        d.process.signal(signal.SIGCONT)
    assert "do not hold the challenge in time" in r["message"]


def test_without_any_data_plane(call, cluster, dns):
    for d in cluster.data_planes:
        d.process.stop()
    # One that left counts for a while: it may come back with what it holds.
    wait_until(lambda: "no data plane is connected" in look(call, "in.example.com", 400)["message"], 60, "nobody is left")
