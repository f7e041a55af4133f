"""dns-01: wildcards proved by records that a real DNS server takes (RFC 2136, TSIG) or that the operator's webhook sets, and nothing that stays behind."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import signal
import socket
import threading

import psycopg2
import pytest
import requests

from acme_parts import psql
from dns_stub import DnsStub
from harness import LANE, Pebble, wait_until
from knot import SECOND, SECRET, Knot

WEBHOOK_SECRET = "shared with the webhook"


@pytest.fixture(scope="module")
def knot(run_folder):
    one = ("127.0.0.1",)
    k = Knot(run_folder, {
        "example.com": (one, f"w 5 A 127.0.{LANE}.11\n_acme-challenge.alias 5 CNAME alias.delegated.example.com.\n_acme-challenge.loop 5 CNAME _acme-challenge.loop", True),
        "closed.example.org": (one, "", False),
        "lagging.example.org": (("127.0.0.1", SECOND), "", True),
        "half.example.org": (("127.0.0.1", "127.0.0.3"), "", True),
    }).start("example.com")  # fmt: skip
    yield k
    k.stop()


@pytest.fixture(scope="module")
def pebble(bare_cluster, http_port, knot):
    """It asks the same server."""
    p = Pebble(bare_cluster.folder, http_port, env={"PEBBLE_DNS_SERVER": knot.address}, own_ports=True).start()
    yield p
    p.stop()


@pytest.fixture(scope="module")
def key_file(bare_cluster):
    path = bare_cluster.folder / "tsig.key"
    path.write_text(SECRET + "\n")
    return path


@contextlib.contextmanager
def plane(cluster, authority, **settings):
    c = cluster.add_control_plane(
        acme_directory=authority.directory, acme_ca_file=authority.ca_file, acme_allow_private="on",
        **{"acme_dns_propagation_timeout": "20s", **settings},
    ).start()
    try:
        yield c
    finally:
        c.process.stop()


def updating(knot, key_file, **settings):
    return {
        "acme_dns_update_server": knot.address, "acme_dns_update_key_name": "cardea", "acme_dns_update_key_file": key_file, "dns_resolver": knot.address,
        "acme_dns_port": knot.port, **settings,
    }  # fmt: skip


def order(cp, *hosts, status=201):
    r = cp.post("/acme", json={"hosts": hosts}, headers={"Prefer": "wait=60"} if status == 201 else {"Prefer": "respond-async"})
    assert r.status_code == status, r.text
    return r.json()["order"]


def problem(cp, made):
    return wait_until(lambda: cp.get(f"/acme/orders/{made['id']}").json()["last_problem"], 40, "a problem")


def rows(cluster, made):
    return psql(cluster.dsn, f"SELECT count(*) FROM acme_dns_records WHERE order_id = '{made['id']}'")


def end(cluster, made):
    """So that no later control plane goes on with it."""
    psql(cluster.dsn, f"UPDATE acme_orders SET state = 'failed', authorizations = '[]', lease_owner = NULL, lease_until = NULL WHERE id = '{made['id']}'")


def test_wildcard_beside_a_name_by_http(bare_cluster, pebble, knot, key_file):
    c = bare_cluster
    with plane(c, pebble, **updating(knot, key_file)) as cp:
        d = c.add_data_plane().start()
        made = order(cp, "*.w.example.com", "w.example.com")
        assert made["hosts"] == ["*.w.example.com", "w.example.com"] and made["attempts"] == 0
        root = pebble.root()
        assert d.verified("w.example.com", root) and d.verified("any.w.example.com", root)
        wait_until(lambda: rows(c, made) == "0" and knot.txt("_acme-challenge.w.example.com") == [], 20, "nothing is left")
        told = [e["event"] for e in cp.get(f"/acme/orders/{made['id']}/events").json()["data"]]
        assert told.index("record set") < told.index("record shown") < told.index("validating")
        metrics = requests.get(f"http://127.0.0.1:{cp.status_port}/metrics", timeout=5).text
        for result in ("set", "shown", "removed"):
            assert f'cardea_acme_dns_records_total{{result="{result}"}} 1' in metrics


def test_delegated_by_an_alias(bare_cluster, pebble, knot, key_file):
    """Where a CNAME leads is where the record is set; one of the names is no wildcard, but dns-01 comes first."""
    with plane(bare_cluster, pebble, **updating(knot, key_file, acme_challenges="dns-01,http-01")) as cp:
        made = order(cp, "alias.example.com", "*.alias.example.com")
        told = {e["event"]: e.get("detail") for e in cp.get(f"/acme/orders/{made['id']}/events").json()["data"]}
        assert told["record set"] == "alias.delegated.example.com"
        wait_until(lambda: knot.txt("alias.delegated.example.com") == [] and rows(bare_cluster, made) == "0", 20, "nothing is left")


def test_a_name_server_that_is_dead_is_left_out(bare_cluster, pebble, knot, key_file):
    with plane(bare_cluster, pebble, **updating(knot, key_file)) as cp:
        order(cp, "*.half.example.org")


def wrong_key(folder):
    path = folder / "wrong.key"
    path.write_text(base64.b64encode(b"x" * 32).decode())
    return path


@contextlib.contextmanager
def silent():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield "127.0.0.1:%d" % s.getsockname()[1]


@pytest.mark.parametrize("host,settings,says", [
    ("*.a.example.com", {"acme_dns_update_key_file": wrong_key}, "BADSIG"),
    ("*.b.example.com", {"acme_dns_update_key_name": "unknown"}, "BADKEY"),
    ("*.closed.example.org", {}, "BADKEY"),
    ("*.c.example.com", {"acme_dns_update_zone": "nowhere.example"}, "is not in the zone nowhere.example"),
    ("*.d.example.com", {"acme_dns_update_zone": "d.example.com"}, "NOTAUTH|REFUSED"),
    ("*.nobody.example", {}, "REFUSED|no zone"),
    ("*.loop.example.com", {}, "aliases|SERVFAIL"),
    ("*.e.example.com", {"acme_dns_update_server": silent, "acme_dns_timeout": "500ms"}, "does not answer in time"),
    ("*.f.example.com", {"acme_dns_update_server": "127.0.0.1:1"}, "does not answer in time"),
])  # fmt: skip
def test_the_server_does_not_take_it(bare_cluster, pebble, knot, key_file, host, settings, says):
    with contextlib.ExitStack() as stack:
        conf = updating(knot, key_file, **settings)
        for name, value in settings.items():
            if value is wrong_key:
                conf[name] = wrong_key(bare_cluster.folder)
            elif value is silent:
                conf[name] = stack.enter_context(silent())
        cp = stack.enter_context(plane(bare_cluster, pebble, **conf))
        made = order(cp, host, status=202)
        p = problem(cp, made)
        assert p["type"].endswith(":dns"), p
        assert any(s in p["detail"] for s in says.split("|")), p
        assert cp.get(f"/acme/orders/{made['id']}").json()["state"] == "publishing", "it is tried again"
        end(bare_cluster, made)
    psql(bare_cluster.dsn, "DELETE FROM acme_dns_records")


def test_a_record_that_is_never_shown(bare_cluster, pebble, knot, key_file):
    """A second server of the zone has no such record: the authority is not asked, and the record goes."""
    stub = DnsStub(SECOND, knot.port)
    stub.records["_acme-challenge.lagging.example.org"] = {}
    try:
        with plane(bare_cluster, pebble, **{**updating(knot, key_file), "acme_dns_propagation_timeout": "1s"}) as cp:
            made = order(cp, "*.lagging.example.org", status=202)
            p = problem(cp, made)
            assert "is not shown everywhere" in p["detail"] and SECOND in p["detail"], p
            assert cp.get(f"/acme/orders/{made['id']}").json()["state"] == "new"
            wait_until(lambda: knot.txt("_acme-challenge.lagging.example.org") == [] and rows(bare_cluster, made) == "0", 20, "nothing is left")
            end(bare_cluster, made)
    finally:
        stub.close()


class Webhook:
    """Sets records in Pebble's own DNS server."""

    def __init__(self, challtest):
        self.calls, self.status, self.sets = [], 200, True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                t, v1 = (part.split("=")[1] for part in self.headers["X-Cardea-Signature"].split(","))
                assert hmac.new(WEBHOOK_SECRET.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest() == v1
                call = json.loads(body)
                if outer.status == 200 and outer.sets:
                    document = {"host": call["name"] + ".", "value": call["value"]}
                    requests.post(f"{challtest}/{'set-txt' if call['action'] == 'present' else 'clear-txt'}", json=document, timeout=5)
                outer.calls.append((outer.status, call["action"], call["name"], call["value"]))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/dns"

    def of(self, name, status=200):
        """{value: [actions]} that were taken."""
        found = {}
        for s, action, n, value in self.calls:
            if s == status and n == name:
                found.setdefault(value, []).append(action)
        return found


@pytest.fixture(scope="module")
def web(bare_cluster, http_port):
    """An authority that asks its own DNS server, and the webhook."""
    p = Pebble(bare_cluster.folder / "cluster", http_port, own_ports=True).start()
    p.hook = Webhook(p.challtest)
    yield p
    p.hook.server.shutdown()
    p.stop()


def by_webhook(web):
    dns = web.env["PEBBLE_DNS_PORT"]
    return {"acme_dns_webhook": web.hook.url, "acme_dns_webhook_secret": WEBHOOK_SECRET, "acme_dns_resolver": f"127.0.0.1:{dns}"}


def test_webhook(bare_cluster, web):
    with plane(bare_cluster, web, **by_webhook(web)) as cp:
        made = order(cp, "*.hook.example.com")
        name = "_acme-challenge.hook.example.com"
        wait_until(lambda: list(web.hook.of(name).values()) == [["present", "cleanup"]] and rows(bare_cluster, made) == "0", 20, "nothing is left")


def test_a_webhook_that_fails(bare_cluster, web):
    name = "_acme-challenge.bad.example.com"
    web.hook.status = 500
    with plane(bare_cluster, web, **by_webhook(web)) as cp:
        made = order(cp, "*.bad.example.com", status=202)
        assert "acme_dns_webhook answers 500" in problem(cp, made)["detail"]
        web.hook.status = 200
        assert cp.post(f"/acme/orders/{made['id']}/retry").status_code in (200, 202)
        wait_until(lambda: cp.get(f"/acme/orders/{made['id']}").json()["state"] == "valid", 30, "issued")
        # A clean-up that fails is tried again.
        wait_until(lambda: list(web.hook.of(name).values()) == [["present", "cleanup"]] and rows(bare_cluster, made) == "0", 20, "nothing is left")


def test_killed_between_set_and_clean_up(bare_cluster, web):
    """What the killed one set is known to the next: whichever order goes on, each record that was set is removed."""
    name = "_acme-challenge.killed.example.com"
    web.hook.sets = False
    with plane(bare_cluster, web, **by_webhook(web)) as first:
        made = order(first, "*.killed.example.com", status=202)
        wait_until(lambda: web.hook.of(name), 30, "set")
        first.process.signal(signal.SIGKILL)
        first.process.popen.wait()
    web.hook.sets = True
    assert rows(bare_cluster, made) == "1"
    with psycopg2.connect(bare_cluster.dsn) as db, db.cursor() as cur:  # as if its lease had run out, and an operator had given the order up
        cur.execute("UPDATE acme_orders SET state = 'failed', authorizations = '[]', lease_until = NULL, lease_owner = NULL WHERE id = %s", (made["id"],))
    with plane(bare_cluster, web, **by_webhook(web)):
        wait_until(lambda: list(web.hook.of(name).values()) == [["present", "cleanup"]] and rows(bare_cluster, made) == "0", 20, "nothing is left")


def test_taken_over_between_set_and_shown(bare_cluster, web):
    name = "_acme-challenge.over.example.com"
    web.hook.sets = False
    with plane(bare_cluster, web, **by_webhook(web)) as first:
        made = order(first, "*.over.example.com", status=202)
        wait_until(lambda: web.hook.of(name), 30, "set")
        first.process.kill()
    web.hook.sets = True
    psql(bare_cluster.dsn, f"UPDATE acme_orders SET lease_until = now() WHERE id = '{made['id']}'")
    with plane(bare_cluster, web, **by_webhook(web)) as cp:
        wait_until(lambda: cp.get(f"/acme/orders/{made['id']}").json()["state"] == "valid", 40, "issued")
        wait_until(lambda: list(web.hook.of(name).values()) == [["present", "present", "cleanup"]] and rows(bare_cluster, made) == "0", 20, "nothing is left")


def test_requests_come_from_the_egress_address(bare_cluster, web):
    """One that this machine does not have reaches nobody; one that it has does."""
    with plane(bare_cluster, web, acme_egress_address="192.0.2.1", **by_webhook(web)) as cp:
        made = order(cp, "*.egress.example.com", status=202)
        assert "bind" in problem(cp, made)["detail"]
    psql(bare_cluster.dsn, f"UPDATE acme_orders SET next_attempt = now(), lease_until = now() WHERE id = '{made['id']}'")
    with plane(bare_cluster, web, acme_egress_address="127.0.0.9", **by_webhook(web)) as cp:
        wait_until(lambda: cp.get(f"/acme/orders/{made['id']}").json()["state"] == "valid", 30, "issued")


def test_without_any_of_it_wildcards_are_refused(bare_cluster, web):
    with plane(bare_cluster, web) as cp:
        r = cp.post("/acme", json={"host": "*.example.com"})
        assert r.status_code == 400 and "acme_dns_update_server" in r.text


@pytest.mark.parametrize("settings,says", [
    ({"acme_challenges": "dns-01"}, "acme_challenges: dns-01 needs"),
    ({"acme_dns_update_server": "127.0.0.1", "acme_dns_webhook": "http://127.0.0.1/"}, "set one"),
    ({"acme_dns_update_server": "nowhere"}, "acme_dns_update_server"),
    ({"acme_dns_update_server": "127.0.0.1", "acme_dns_update_key_name": "a"}, "go together"),
    ({"acme_dns_update_server": "127.0.0.1", "acme_dns_update_key_name": "a", "acme_dns_update_key_file": "/nowhere"}, "acme_dns_update_key_file"),
    ({"acme_dns_update_server": "127.0.0.1", "acme_dns_update_zone": "a..b"}, "acme_dns_update_zone"),
    ({"acme_egress_address": "eth0"}, "acme_egress_address"),
    ({"acme_dns_webhook": "ftp://127.0.0.1/"}, "acme_dns_webhook"),
    ({"acme_dns_webhook": "http://127.0.0.1/", "acme_dns_resolver": "x"}, "acme_dns_resolver"),
])  # fmt: skip
def test_settings(bare_cluster, settings, says):
    c = bare_cluster.add_control_plane(**settings)
    bare_cluster.control_planes.remove(c)
    c.start(wait=False)
    assert c.process.popen.wait(20) == 2 and says in c.process.log()
