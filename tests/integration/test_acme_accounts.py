"""Accounts: external binding, given keys, contact, a key that is replaced while orders are under way, deactivation."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time
import urllib.parse

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from harness import wait_until
from pki import key_pem
from scripted_ca import ScriptedCA

SECRET = base64.urlsafe_b64encode(b"0123456789abcdef0123456789abcdef").decode().rstrip("=")


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture(scope="module")
def ca(bare_cluster):
    c = ScriptedCA(bare_cluster.folder).start()
    c.reuses = lambda host: True
    yield c
    c.stop()


def add(cluster, ca, **settings):
    return cluster.add_control_plane(acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on", **settings)


def issue(cp, host):
    r = cp.post("/acme", data={"host": host}, headers={"Prefer": "wait=30"})
    assert r.status_code in (201, 202), r.text
    return wait_until(lambda: (o := cp.get(f"/acme/orders/{r.json()['order']['id']}").json())["state"] == "valid" and o, 30, "valid")


def bound(ca, kid):
    """The account's binding, checked as RFC 8555 section 7.3.4 says."""
    payload = next(a.payload for a in ca.asked if a.page == "account" and a.payload and "externalAccountBinding" in a.payload)
    jws = payload["externalAccountBinding"]
    header = json.loads(decode(jws["protected"]))
    assert header == {"alg": "HS256", "kid": kid, "url": ca.base + "/account"}
    mac = hmac.new(decode(SECRET), f"{jws['protected']}.{jws['payload']}".encode(), hashlib.sha256).digest()
    assert decode(jws["signature"]) == mac
    assert json.loads(decode(jws["payload"]))["kty"] == "EC"
    return payload


def test_required_and_missing_binding_is_told(bare_cluster, ca):
    ca.answer["dir"] = lambda a: (200, {**ca.proper(a)[1], "meta": {"externalAccountRequired": True}}, {})
    c = add(bare_cluster, ca, acme_email="none@example.com").start()
    r = c.post("/acme", data={"host": "unbound.example.com"})
    assert r.status_code == 500 and "external account binding" in r.text
    c.process.stop()
    ca.answer.clear()


def test_configured_binding(bare_cluster, ca):
    ca.asked.clear()
    c = add(bare_cluster, ca, acme_email="bound@example.com", acme_eab_kid="kid-1", acme_eab_hmac_key=SECRET).start()
    issue(c, "bound.example.com")
    assert bound(ca, "kid-1")["contact"] == ["mailto:bound@example.com"]
    assert SECRET not in c.process.log()
    c.process.stop()


class Bindings:
    """Gives an external account binding for an e-mail address, as ZeroSSL does: 200 also when it does not."""

    def __init__(self, folder):
        self.asked, self.answer = [], None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                outer.asked.append((self.path, urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())))
                body = json.dumps(outer.answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "scripted.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://localhost:{self.server.server_address[1]}/acme/eab-credentials-email"


def test_binding_that_is_given_for_an_address(bare_cluster, ca, database):
    b = Bindings(bare_cluster.folder)
    b.answer = {"success": False, "error": {"code": 2900, "type": "missing_email"}}
    ca.asked.clear()
    c = add(bare_cluster, ca, acme_email="auto+1@example.com", acme_eab_url=b.url).start()
    r = c.post("/acme", data={"host": "auto.example.com"})
    assert r.status_code == 500 and "missing_email" in r.text
    b.answer = {"success": True, "eab_kid": "kid-2", "eab_hmac_key": SECRET}
    c.post(f"/acme/orders/{r.json()['order']['id']}/retry")
    wait_until(lambda: c.get(f"/acme/orders/{r.json()['order']['id']}").json()["state"] == "valid", 30, "valid")
    bound(ca, "kid-2")
    assert len(b.asked) >= 2 and all(a == ("/acme/eab-credentials-email", {"email": ["auto+1@example.com"]}) for a in b.asked)
    assert [a["eab_kid"] for a in c.get("/acme/accounts").json()["data"] if a["email"] == "auto+1@example.com"] == ["kid-2"]
    c.process.stop()
    b.server.shutdown()


def number(n, size):
    return base64.urlsafe_b64encode(n.to_bytes(size, "big")).decode().rstrip("=")


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_given_account_key(bare_cluster, ca, form):
    key = ec.generate_private_key(ec.SECP256R1() if form == "pem" else ec.SECP384R1())
    n, size = key.private_numbers(), 32 if form == "pem" else 48
    point = n.public_numbers
    jwk = {"kty": "EC", "crv": "P-384", "x": number(point.x, size), "y": number(point.y, size), "d": number(n.private_value, size)}
    path = bare_cluster.folder / f"account.{form}"
    path.write_text(key_pem(key) if form == "pem" else json.dumps(jwk))
    seen = []
    ca.keep_jws = seen
    c = add(bare_cluster, ca, acme_email=f"{form}@example.com", acme_account_key=path).start()
    issue(c, f"{form}.example.com")
    assert number(point.x, size) in "".join(json.dumps(json.loads(decode(j["protected"]))) for j in seen)
    ca.keep_jws = None
    c.process.stop()


def test_account_key_that_is_none_is_refused_at_start(bare_cluster, ca):
    path = bare_cluster.folder / "account.bad"
    path.write_text('{"kty":"EC","crv":"P-256"}')
    c = add(bare_cluster, ca, acme_account_key=path)
    c.start(wait=False)
    assert c.process.popen.wait(20) == 2
    assert "account key" in c.process.log()
    bare_cluster.control_planes.remove(c)


@pytest.fixture(scope="module")
def pebble_cp(bare_cluster, pebble):
    c = bare_cluster.add_control_plane(
        acme_directory=pebble.directory, acme_ca_file=pebble.ca_file, acme_allow_private="on", acme_max_in_flight=2, acme_email="life@example.com"
    ).start()
    bare_cluster.add_data_plane(control_planes=[c.cluster_addr]).start()
    import requests

    from harness import CHALLTEST

    requests.post(f"{CHALLTEST}/set-default-ipv4", json={"ip": bare_cluster.data_planes[-1].ip}, timeout=5)
    return c


def account(cp, email="life@example.com"):
    return next(a for a in cp.get("/acme/accounts").json()["data"] if a["email"] == email and not a["deactivated_at"])


def test_key_rollover_at_pebble(pebble_cp, pebble):
    """Before, during and after: every order becomes valid, and the account stays the same."""
    cp = pebble_cp
    issue(cp, "before.example.com")
    old = account(cp)
    r = cp.post(f"/acme/accounts/{old['id']}/rollover", json={})
    assert r.status_code == 202 and r.json()["key_change_pending"], r.text
    during = cp.post("/acme", data={"host": "during.example.com"}, headers={"Prefer": "respond-async"}).json()["order"]["id"]
    wait_until(lambda: not account(cp)["key_change_pending"], 60, "the key replaced")
    assert account(cp)["last_problem"] is None and account(cp)["url"] == old["url"]
    wait_until(lambda: cp.get(f"/acme/orders/{during}").json()["state"] == "valid", 60, "the order that was under way")
    issue(cp, "after.example.com")
    assert "replaced" in cp.process.log()


def test_contact(pebble_cp):
    cp = pebble_cp
    a = account(cp)
    for bad in ({}, {"contact": "x"}, {"contact": ["http://x"]}, {"contact": ["mailto:x"]}, {"contact": [5]}):
        assert cp.patch(f"/acme/accounts/{a['id']}", json=bad).status_code == 400
    r = cp.patch(f"/acme/accounts/{a['id']}", json={"contact": ["mailto:new@example.com"]})
    assert r.status_code == 200 and r.json()["contact"] == ["mailto:new@example.com"], r.text
    assert cp.patch("/acme/accounts/00000000-0000-4000-8000-000000000000", json={"contact": ["mailto:n@example.com"]}).status_code == 404


def test_deactivation(pebble_cp):
    """For ever; the next order makes another account."""
    cp = pebble_cp
    a = account(cp)
    r = cp.delete(f"/acme/accounts/{a['id']}")
    assert r.status_code == 200 and r.json()["deactivated_at"], r.text
    issue(cp, "another-account.example.com")
    assert account(cp)["id"] != a["id"] and account(cp)["url"] != a["url"]


@pytest.fixture()
def silent(ca):
    """From `silent.set()` on the authority says nothing about accounts, until the test is over."""
    begun, over = threading.Event(), threading.Event()
    begun.asked = threading.Event()

    def answer(a):
        if begun.is_set():
            begun.asked.set()
            over.wait(60)

    ca.answer["account"] = answer
    yield begun
    over.set()
    ca.answer.clear()


def waiting(cp, silent, email):
    """A change that the authority has been asked for; the list gets what its caller is told."""
    silent.set()
    a, told = account(cp, email), []

    def change():
        with contextlib.suppress(requests.ConnectionError):
            told.append(cp.patch(f"/acme/accounts/{a['id']}", json={"contact": ["mailto:new@example.com"]}).status_code)

    thread = threading.Thread(target=change)
    thread.start()
    assert silent.asked.wait(10)
    return thread, told


def test_stop_does_not_wait_for_a_change(bare_cluster, ca, silent):
    c = add(bare_cluster, ca, acme_email="stop@example.com").start()
    issue(c, "stop.example.com")
    thread, told = waiting(c, silent, "stop@example.com")
    started = time.monotonic()
    assert c.process.stop() == 0
    assert time.monotonic() - started < 10
    thread.join(5)
    assert not thread.is_alive()


def test_authority_that_leaves_ends_a_change(bare_cluster, ca, silent):
    c = bare_cluster.add_control_plane(acme_allow_private="on").start()
    r = c.post("/acme_authorities", json={"name": "leaves", "directory": ca.directory, "ca_cert": ca.ca_file.read_text(), "contact": "leaves@example.com"})
    assert r.status_code == 201, r.text
    wait_until(lambda: c.get("/acme/authorities/status").json()["data"], 10, "the authority")
    issue(c, "leaves.example.com")
    thread, told = waiting(c, silent, "leaves@example.com")
    assert c.delete("/acme_authorities/leaves").status_code == 204
    thread.join(15)
    assert told == [503]
    started = time.monotonic()
    assert c.process.stop() == 0 and time.monotonic() - started < 10
