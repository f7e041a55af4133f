"""Notices of what happens to certificates: signed, tried again, bounded."""

import hashlib
import hmac
import http.server
import json
import subprocess
import threading
import time

import pytest

from harness import wait_until
from scripted_ca import ScriptedCA

SECRET = "a secret of the operator"


class Hook:
    def __init__(self):
        self.got, self.status = [], 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((outer.status, self.headers, body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/cardea"

    def bodies(self, host, status=200):
        return [json.loads(b) for s, _, b in self.got if s == status and json.loads(b)["host"] == host]

    def events(self, host):
        return [b["event"] for b in self.bodies(host)]


@pytest.fixture(scope="module")
def hook():
    h = Hook()
    yield h
    h.server.shutdown()


@pytest.fixture(scope="module")
def ca(bare_cluster):
    c = ScriptedCA(bare_cluster.folder).start()
    c.reuses = lambda host: not host.startswith("bad")
    yield c
    c.stop()


@pytest.fixture(scope="module")
def cp(bare_cluster, ca, hook):
    return bare_cluster.add_control_plane(
        acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on", acme_webhook_url=hook.url, acme_webhook_secret=SECRET, acme_webhook_queue=5
    ).start()


def sql(database, text):
    return subprocess.run(["psql", database, "-Atqc", text], check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def issue(cp, host):
    r = cp.post("/acme", json={"host": host}, headers={"Prefer": "wait=30"})
    assert r.status_code == 201, r.text
    return r.json()["order"]


def test_issued_is_told_and_signed(cp, hook):
    order = issue(cp, "first.example.com")
    wait_until(lambda: hook.events("first.example.com") == ["issued"], 20, "told")
    body = hook.bodies("first.example.com")[0]
    assert body["order"] == order["id"] and body["certificate"] == order["certificate"]["id"] and body["not_after"] == order["not_after"]
    assert body["hosts"] == ["first.example.com"] and body["state"] == "valid" and body["problem"] is None
    _, headers, raw = hook.got[-1]
    at, mac = (part.split("=")[1] for part in headers["X-Cardea-Signature"].split(","))
    assert abs(int(at) - time.time()) < 30 and headers["Content-Type"] == "application/json"
    assert hmac.compare_digest(mac, hmac.new(SECRET.encode(), at.encode() + b"." + raw, hashlib.sha256).hexdigest())
    assert SECRET not in cp.process.log()


def test_renewed(cp, hook):
    issue(cp, "again.example.com")
    assert cp.patch("/acme", json={"force": True}).status_code == 202
    wait_until(lambda: hook.events("again.example.com") == ["issued", "renewed"], 30, "told")


def test_failing_once(cp, ca, hook):
    def validate(o, n):
        n.challenge = n.authz = o.status = "invalid"
        n.error = {"type": "urn:ietf:params:acme:error:connection", "detail": "nobody answers", "status": 400}

    ca.validate = validate
    r = cp.post("/acme", json={"host": "bad.example.com"}, headers={"Prefer": "wait=30"})
    assert r.status_code == 500
    wait_until(lambda: hook.events("bad.example.com") == ["failing"], 20, "told")
    assert hook.bodies("bad.example.com")[0]["problem"]["detail"] == "nobody answers"
    cp.post(f"/acme/orders/{r.json()['order']['id']}/retry")
    wait_until(lambda: cp.get(f"/acme/orders/{r.json()['order']['id']}").json()["attempts"] == 2, 20, "a second failure")
    issue(cp, "after.example.com")
    wait_until(lambda: hook.events("after.example.com"), 20, "told")
    assert hook.events("bad.example.com") == ["failing"]


def test_expiring_is_told_once_when_a_renewal_does_not_succeed(cp, ca, hook, database):
    order = issue(cp, "late.example.com")
    ca.answer["new-order"] = lambda a: (400, {"type": "urn:ietf:params:acme:error:malformed", "detail": "not today"}, {}) if a.payload["identifiers"][0]["value"] == "late.example.com" else None
    sql(database, f"UPDATE acme_orders SET renew_at = now() - interval '1 hour', not_after = now() - interval '1 second' WHERE id = '{order['id']}'")
    wait_until(lambda: cp.get("/acme/orders?host=late.example.com").json()["data"][0]["attempts"] == 1, 30, "it failed")
    sql(database, "UPDATE acme_orders SET lane = 3, urgent_at = now() WHERE host = 'late.example.com' AND state <> 'valid'")
    wait_until(lambda: "expiring" in hook.events("late.example.com"), 20, "told")
    ca.answer.clear()
    issue(cp, "beacon.example.com")
    wait_until(lambda: hook.events("beacon.example.com"), 20, "told")
    assert hook.events("late.example.com").count("expiring") == 1
    assert hook.bodies("late.example.com")[-1]["not_after"]


def test_what_is_not_taken_comes_again_and_the_queue_is_bounded(cp, hook, database):
    hook.status = 503
    hosts = [f"queued{n}.example.com" for n in range(8)]
    for h in hosts:
        issue(cp, h)
    wait_until(lambda: int(sql(database, "SELECT count(*) FROM acme_notices")) <= 5, 60, "no more than are kept")
    wait_until(lambda: "acme_webhook_queue is full" in cp.process.log(), 20, "said")
    hook.status = 200
    wait_until(lambda: hook.events(hosts[-1]) == ["issued"], 60, "told at last")
    again = [json.loads(b)["id"] for s, _, b in hook.got if s == 503]
    assert hook.bodies(hosts[-1])[0]["id"] in again
    wait_until(lambda: sql(database, "SELECT count(*) FROM acme_notices") == "0", 60, "all are gone")


def test_given_up_after_a_day(cp, hook, database):
    hook.status = 500
    issue(cp, "old.example.com")
    wait_until(lambda: hook.bodies("old.example.com", 500), 20, "tried")
    sql(database, "UPDATE acme_notices SET at = now() - interval '25 hours', next_attempt = now()")
    wait_until(lambda: sql(database, "SELECT count(*) FROM acme_notices") == "0", 30, "given up")
    wait_until(lambda: "it is given up" in cp.process.log(), 20, "said")
    hook.status = 200


@pytest.mark.parametrize("url", ["ftp://example.com/", "example.com", "http://user@example.com/"])
def test_wrong_address(bare_cluster, url):
    c = bare_cluster.add_control_plane(acme_webhook_url=url)
    bare_cluster.control_planes.remove(c)
    c.process.start()
    assert c.process.popen.wait(20) == 2 and "acme_webhook_url" in c.process.log()


def test_nobody_is_told_without_an_address(bare_cluster, ca, cp, hook, database):
    assert cp.process.stop() == 0
    c = bare_cluster.add_control_plane(acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on").start()
    before = len(hook.got)
    issue(c, "quiet.example.com")
    assert sql(database, "SELECT count(*) FROM acme_notices") == "0" and len(hook.got) == before
    c.process.stop()
