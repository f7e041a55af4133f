"""Upstreams end to end: how requests are spread, targets that fail and come back, names that change, fail and come back."""

import collections
import http.server
import itertools
import threading

import pytest

from dns_stub import A, SRV, DnsStub
from harness import wait_until

_names = itertools.count(1)


class Backend:
    """A real HTTP server that says its name; status and the one of /up can be set; hits counts what is not a check."""

    def __init__(self, name, ip="127.0.0.1", port=0):
        backend = self
        self.name, self.ip, self.status, self.up, self.hits, self.hosts = name, ip, 200, 200, 0, set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                check = self.path == "/up"
                backend.hits += not check
                backend.hosts.add(self.headers["Host"])
                body = backend.name.encode()
                self.send_response(backend.up if check else backend.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((ip, port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def target(self):
        return f"{self.ip}:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def dns():
    d = DnsStub()
    yield d
    d.close()


@pytest.fixture(scope="module")
def plane(bare_cluster, dns):
    bare_cluster.add_control_plane().start()
    return bare_cluster.add_data_plane(
        workers=2, dns_resolver=dns.address, dns_min_ttl="50ms", dns_max_ttl="100ms", dns_error_ttl="50ms", dns_not_found_ttl="50ms", dns_timeout="100ms"
    ).start()


@pytest.fixture
def backends():
    made = []

    def make(n, **kw):
        new = [Backend(f"b{i}", **kw) for i in range(n)]
        made.extend(new)
        return new

    yield make
    for b in made:
        b.close()


class Site:
    """A host of its own with a service and a route; with an upstream of that name when it has targets."""

    def __init__(self, plane, service_host=None, targets=(), port=80, retries=0, **upstream):
        self.plane, self.cp = plane, plane.cluster.cp
        self.name = f"u{next(_names)}.example.com"
        if service_host is None:
            self.post("/upstreams", {"name": self.name, **upstream})
            for t in targets:
                self.post(f"/upstreams/{self.name}/targets", t if isinstance(t, dict) else {"target": t})
        host = service_host or self.name
        self.post("/services", {"name": self.name, "host": host, "port": port, "retries": retries, "connect_timeout": 2000, "read_timeout": 2000})
        self.post(f"/services/{self.name}/routes", {"name": self.name, "hosts": [self.name]})

    def post(self, path, body):
        r = self.cp.post(path, json=body, headers={"Prefer": "wait=10"})
        assert r.status_code == 201, r.text

    def patch(self, path, body):
        r = self.cp.patch(path, json=body, headers={"Prefer": "wait=10"})
        assert r.status_code == 200, r.text

    def get(self, **kw):
        return self.plane.http("/", self.name, **kw)

    def ask(self):
        """The name of who answered, or the status."""
        r = self.get()
        return r.text if r.status_code == 200 else r.status_code

    def spread(self, n):
        return collections.Counter(self.ask() for _ in range(n))


def test_round_robin(plane, backends):
    bs = backends(3)
    counts = Site(plane, targets=[b.target for b in bs]).spread(60)
    # Two workers, each exact for its share.
    assert set(counts) == {"b0", "b1", "b2"} and all(18 <= n <= 22 for n in counts.values()), counts


def test_weights_and_their_changes(plane, backends):
    a, b, off = backends(3)
    s = Site(plane, targets=[{"target": a.target, "weight": 300}, {"target": b.target, "weight": 100}, {"target": off.target, "weight": 0}])
    counts = s.spread(80)
    assert 56 <= counts["b0"] <= 64 and 16 <= counts["b1"] <= 24 and off.hits == 0, counts
    s.patch(f"/upstreams/{s.name}/targets/{a.target}", {"weight": 0})
    assert set(s.spread(10)) == {"b1"}
    s.post(f"/upstreams/{s.name}/targets", {"target": backends(1)[0].target})
    assert set(s.spread(10)) == {"b0", "b1"}


def test_consistent_hashing_on_a_header(plane, backends):
    bs = backends(4)
    s = Site(plane, targets=[b.target for b in bs], hash_on="header", hash_on_header="X-Key")
    of = {k: s.get(headers={"X-Key": k}).text for k in map(str, range(60))}
    assert len(set(of.values())) == 4
    gone = bs[3]
    r = s.cp.delete(f"/upstreams/{s.name}/targets/{gone.target}", headers={"Prefer": "wait=10"})
    assert r.status_code == 204
    for k, name in of.items():
        now = s.get(headers={"X-Key": k}).text
        assert now == name if name != "b3" else now != "b3"


def test_consistent_hashing_on_a_capture_of_the_path(plane, backends):
    s = Site(
        plane,
        targets=[b.target for b in backends(4)],
        hash_on="uri_capture",
        hash_on_uri_capture="user",
        hash_fallback="header",
        hash_fallback_header="X-Key",
    )
    s.patch(f"/routes/{s.name}", {"paths": [r"~/u/(?<user>\w+)/(?<rest>.*)", "~/(?<other>v)/", "/plain"]})

    def who(path, **kw):
        r = plane.http(path, s.name, **kw)
        assert r.status_code == 200
        return r.text

    of = {user: who(f"/u/{user}/first") for user in map(str, range(60))}
    assert len(set(of.values())) == 4
    assert all(who(f"/u/{user}/{i}?q={i}") == name for user, name in of.items() for i in (1, 2))
    # A path without that capture: by the fallback.
    for path in ("/v/1", "/plain/1"):
        names = {key: who(path, headers={"X-Key": key}) for key in map(str, range(40))}
        assert len(set(names.values())) == 4
        assert all(who(path, headers={"X-Key": key}) == name for key, name in names.items())


def test_hash_on_cookie_is_set_and_followed(plane, backends):
    s = Site(plane, targets=[b.target for b in backends(3)], hash_on="cookie", hash_on_cookie="stick")
    first = s.get()
    assert first.headers["Set-Cookie"].startswith("stick=") and first.headers["Set-Cookie"].endswith("; Path=/")
    for _ in range(10):
        again = s.get(headers={"Cookie": first.headers["Set-Cookie"].split(";")[0]})
        assert again.text == first.text and "Set-Cookie" not in again.headers


def test_up08_no_targets(plane):
    r = Site(plane).get()
    assert r.status_code == 503
    assert r.json()["message"] == "failure to get a peer from the ring-balancer"


def test_up15_passive_checks(plane, backends):
    good, bad = backends(2)
    checks = {"passive": {"unhealthy": {"http_failures": 3}}}
    s = Site(plane, targets=[good.target, bad.target], healthchecks=checks)
    bad.status = 500
    wait_until(lambda: (s.ask(), bad.hits >= 3)[1], 10, "failures")
    wait_until(lambda: set(s.spread(6)) == {"b0"}, 10, "the failing target left out")
    good.status = 503
    wait_until(lambda: (s.ask(), good.hits)[1], 10)

    def peerless():
        r = s.get()
        return r.status_code == 503 and r.json().get("message") == "failure to get a peer from the ring-balancer"

    def down():
        try:
            return peerless()
        except ValueError:  # the target's own 503
            return False

    wait_until(down, 10, "nobody left")
    hits = good.hits + bad.hits
    assert all(peerless() for _ in range(6)) and good.hits + bad.hits == hits
    assert plane.metric("cardea_dp_picks_unhealthy") > 0


def test_up15_panic_mode(plane, backends):
    """Nobody is healthy: the operator would rather have all than none, until somebody is."""
    a, b = backends(2)
    every = {"interval": 0.1}
    checks = {"panic": True, "active": {"http_path": "/up", "healthy": {**every, "successes": 1}, "unhealthy": {**every, "http_failures": 1}}}
    s = Site(plane, targets=[a.target, b.target], healthchecks=checks)
    assert plane.metric("cardea_dp_picks_panic") == 0
    a.up = b.up = 500
    wait_until(lambda: (s.spread(4), plane.metric("cardea_dp_picks_panic") > 0)[1], 10, "panic")
    assert set(s.spread(8)) == {"b0", "b1"}
    b.up = 200
    wait_until(lambda: set(s.spread(6)) == {"b1"}, 10, "one is back: it alone")
    a.up = b.up = 500
    s.patch(f"/upstreams/{s.name}", {"healthchecks": {"panic": False}})
    wait_until(lambda: s.ask() == 503, 10, "as Kong")


def test_up15_passive_refused_connections(plane, backends):
    good, gone = backends(2)
    gone.close()
    checks = {"passive": {"unhealthy": {"tcp_failures": 1}}}
    s = Site(plane, targets=[good.target, gone.target], healthchecks=checks, retries=2)
    # Each is answered by the one that is there: a retry goes to a target that was not tried.
    assert set(s.spread(20)) == {"b0"}


def test_active_checks_take_out_and_bring_back(plane, backends):
    a, b = backends(2)
    every = {"interval": 0.1}
    checks = {"active": {"http_path": "/up", "healthy": {**every, "successes": 2}, "unhealthy": {**every, "http_failures": 2, "tcp_failures": 1, "timeouts": 1}}}
    s = Site(plane, targets=[a.target, b.target], healthchecks=checks)
    assert set(s.spread(6)) == {"b0", "b1"}
    b.up = 500
    wait_until(lambda: set(s.spread(6)) == {"b0"}, 10, "taken out")
    hits = b.hits
    assert set(s.spread(10)) == {"b0"} and b.hits == hits
    b.up = 200
    wait_until(lambda: set(s.spread(6)) == {"b0", "b1"}, 10, "back")
    a.up = b.up = 404
    wait_until(lambda: s.ask() == 503, 10, "all out")
    a.up = 302
    wait_until(lambda: set(s.spread(4)) == {"b0"}, 10, "one back")


def test_dns_change_is_followed(plane, backends, dns):
    (a,) = backends(1, ip="127.0.0.1")
    b = Backend("other", ip="127.0.0.2", port=a.port)
    try:
        dns.records["moves.test"] = {A: ["127.0.0.1"]}
        s = Site(plane, service_host="moves.test", port=a.port)
        assert s.ask() == "b0"
        dns.records["moves.test"] = {A: ["127.0.0.2"]}
        wait_until(lambda: s.ask() == "other", 10, "the new address")
        assert f"moves.test:{a.port}" in b.hosts
        dns.records["moves.test"] = {A: ["127.0.0.1", "127.0.0.2"]}
        wait_until(lambda: set(s.spread(6)) == {"b0", "other"}, 10, "both")
    finally:
        b.close()


def test_up14_f18_dns_failure_keeps_serving(plane, backends, dns):
    (a,) = backends(1)
    dns.records["stays.test"] = {A: ["127.0.0.1"]}
    s = Site(plane, targets=[f"stays.test:{a.port}"])
    assert s.ask() == "b0"
    for trouble in ({"rcode": 3}, {"rcode": 2}, {"rcode": 0}, {"silent": True}):
        before = plane.metric("cardea_dp_dns_failures")
        dns.rcode, dns.silent = trouble.get("rcode"), trouble.get("silent", False)
        kept, dns.records["stays.test"] = dns.records["stays.test"], {}
        try:
            wait_until(lambda: plane.metric("cardea_dp_dns_failures") >= before + 3 and plane.metric("cardea_dp_dns_stale") >= 1, 20, "stale")
            assert set(s.spread(6)) == {"b0"}
        finally:
            dns.rcode, dns.silent, dns.records["stays.test"] = None, False, kept
        wait_until(lambda: plane.metric("cardea_dp_dns_stale") == 0, 20, "fresh again")


def test_f18_unknown_name_is_answered_and_comes(plane, backends, dns):
    (a,) = backends(1)
    s = Site(plane, service_host="later.test", port=a.port)
    r = s.get()
    assert r.status_code == 503 and r.json()["message"] == "name resolution failed"
    dns.records["later.test"] = {A: ["127.0.0.1"]}
    wait_until(lambda: s.ask() == "b0", 20, "resolved")


def test_srv_records_have_ports_and_weights(plane, backends, dns):
    a, b = backends(2)
    dns.records["one.test"] = {A: ["127.0.0.1"]}
    dns.records["srv.test"] = {SRV: [(1, 30, a.port, "one.test"), (1, 10, b.port, "one.test"), (2, 99, 1, "one.test")]}
    counts = Site(plane, targets=["srv.test:1"]).spread(80)
    assert set(counts) == {"b0", "b1"} and 56 <= counts["b0"] <= 64, counts


def test_tr11_names_that_lead_where_no_request_may_go(plane, dns):
    dns.records["metadata.test"] = {A: ["169.254.169.254"]}
    s = Site(plane, service_host="metadata.test")
    before = plane.metric("cardea_dp_picks_denied")
    assert s.ask() == 503
    assert plane.metric("cardea_dp_picks_denied") == before + 1
    # Its own status listener is not for clients either.
    assert Site(plane, service_host=plane.ip, port=plane.status_port).ask() == 503


def health_of(s, **kw):
    r = s.cp.get(f"/upstreams/{s.name}/health", **kw)
    assert r.status_code == 200, r.text
    return r.json()["data"]


def test_health_endpoints_show_what_data_planes_see(plane, backends, dns):
    a, b = backends(2)
    checks = {"active": {"http_path": "/up", "healthy": {"interval": 0.1, "successes": 1}, "unhealthy": {"interval": 0.1, "http_failures": 1}}}
    s = Site(plane, targets=[a.target, b.target, "nowhere.test:80"], healthchecks=checks)

    def states():
        return {t["target"]: t["health"] for t in health_of(s)}

    wait_until(lambda: states() == {a.target: "HEALTHY", b.target: "HEALTHY", "nowhere.test:80": "DNS_ERROR"}, 10, "all told")
    b.up = 500
    wait_until(lambda: states()[b.target] == "UNHEALTHY", 10, "unhealthy")
    row = next(t for t in health_of(s) if t["target"] == b.target)
    assert row["data"]["addresses"] == [{"ip": "127.0.0.1", "port": b.port, "weight": 100, "health": "UNHEALTHY"}]
    assert row["data"]["weight"] == {"total": 100, "available": 0, "unavailable": 100}
    whole = health_of(s, params={"balancer_health": "1"})
    assert whole["health"] == "HEALTHY" and whole["details"]["weight"] == {"total": 200, "available": 100, "unavailable": 100}
    a.up = 500
    wait_until(lambda: health_of(s, params={"balancer_health": "1"})["health"] == "UNHEALTHY", 10, "all down")
    # Checks off: nobody looks after it.
    off = {"active": {"healthy": {"interval": 0}, "unhealthy": {"interval": 0}}}
    s.patch(f"/upstreams/{s.name}", {"healthchecks": off})
    wait_until(lambda: set(states().values()) == {"HEALTHCHECKS_OFF"}, 10, "off")
    assert set(Site(plane, targets=[a.target]).spread(2)) == {"b0"}


def test_health_is_told_again_to_a_new_stream(plane, backends):
    (a,) = backends(1)
    a.up = 500
    checks = {"active": {"http_path": "/up", "healthy": {"interval": 0.1}, "unhealthy": {"interval": 0.1, "http_failures": 1}}}
    s = Site(plane, targets=[a.target], healthchecks=checks)
    wait_until(lambda: health_of(s)[0]["health"] == "UNHEALTHY", 10, "unhealthy")
    s.cp.process.stop()
    s.cp.start()
    wait_until(lambda: health_of(s)[0]["health"] == "UNHEALTHY", 30, "told again")


def test_manual_marks_are_not_registered_on_a_control_plane(plane, backends):
    (a,) = backends(1)
    s = Site(plane, targets=[a.target])
    for path in (f"{a.target}/healthy", f"{a.target}/unhealthy", f"{a.target}/{a.target}/healthy"):
        assert s.cp.put(f"/upstreams/{s.name}/targets/{path}").status_code == 404
