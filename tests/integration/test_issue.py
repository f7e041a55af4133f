"""The whole path: an order, the barrier, http-01 through the data planes, and the certificate served by all of them."""

import datetime

import pytest
import requests
from cryptography import x509

from harness import CHALLTEST, wait_until


def leaf(data_plane, host):
    return x509.load_der_x509_certificate(data_plane.peer_certificate(host))


def test_one_call_makes_a_certificate_live_everywhere(acme_cluster, pebble):
    c = acme_cluster
    r = c.cp.issue("one.example.com")
    assert r.status_code == 201, r.text
    order = r.json()["order"]
    assert order["state"] == "valid" and order["last_problem"] is None
    assert int(r.headers["X-Cardea-Revision"]) == order["revision"]
    root = pebble.root()
    for d in c.data_planes:
        assert d.verified("one.example.com", root)
    shown = c.cp.get("/certificates/one.example.com").json()
    assert shown["id"] == order["certificate"]["id"] and "managed-by-acme" in shown["tags"]


def test_challenge_is_gone_afterwards(acme_cluster):
    c = acme_cluster
    assert c.cp.issue("clean.example.com").status_code == 201
    for d in c.data_planes:
        assert d.metric("cardea_dp_challenges") == 0
        assert d.http("/.well-known/acme-challenge/unknown-token", "clean.example.com").status_code == 404


def test_same_host_twice_is_one_order(acme_cluster):
    c = acme_cluster
    first = c.cp.post("/acme", data={"host": "twice.example.com"}, headers={"Prefer": "respond-async"})
    second = c.cp.post("/acme", data={"host": "TWICE.example.com"}, headers={"Prefer": "respond-async"})
    assert first.status_code == 202 and second.status_code == 202
    assert first.json()["order"]["id"] == second.json()["order"]["id"]
    assert c.cp.issue("twice.example.com").status_code == 201


def test_rsa_on_request(acme_cluster):
    c = acme_cluster
    r = c.cp.post("/acme", json={"host": "rsa.example.com", "key_type": "rsa-2048"}, headers={"Prefer": "wait=30"})
    assert r.status_code == 201, r.text
    assert leaf(c.data_planes[1], "rsa.example.com").public_key().key_size == 2048


@pytest.mark.parametrize(
    "host,reason",
    [
        ("", "empty"),
        ("*.example.com", "wildcard"),
        ("192.0.2", "number"),
        ("[::1]", "brackets"),
        ("a.example.com:443", ""),
        ("b\u00fccher.example", "A-label"),
        ("a" * 64 + ".example.com", ""),
        (".".join(["abcdefgh"] * 30), ""),
        ("example.com.", "dot"),
        ("-a.example.com", ""),
        ("a..example.com", ""),
        ("a_b.example.com", ""),
        (None, "host"),
        (5, "host"),
    ],
)
def test_hosts_that_are_refused(acme_cluster, host, reason):
    r = acme_cluster.cp.post("/acme", json={"host": host} if host is not None else {})
    assert r.status_code == 400, r.text
    assert reason in r.json()["message"]


def test_failing_validation_is_shown_and_tried_again(acme_cluster, pebble):
    c = acme_cluster
    pebble.resolve("broken.example.com", "127.0.0.250")
    r = c.cp.issue("broken.example.com")
    assert r.status_code == 500, r.text
    order = r.json()["order"]
    assert order["attempts"] >= 1 and order["last_problem"]["detail"]
    assert order["state"] not in ("valid", "failed") and order["next_attempt"] > 0
    pebble.resolve("broken.example.com", c.data_planes[0].ip)
    assert c.cp.post(f"/acme/orders/{order['id']}/retry").status_code == 200
    wait_until(lambda: c.cp.get(f"/acme/orders/{order['id']}").json()["state"] == "valid", 30, "order valid after the retry")


def test_manual_certificate_is_not_overwritten(acme_cluster):
    from pki import pair

    c = acme_cluster
    _, cert, key = pair("manual.example.com")
    assert c.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["manual.example.com"]}).status_code == 201
    r = c.cp.issue("manual.example.com")
    assert r.status_code == 500, r.text
    assert c.cp.get("/certificates/manual.example.com").json()["cert"] == cert


def test_every_data_plane_was_asked_only_with_the_challenge_held(acme_cluster, pebble):
    """Names that resolve to each data plane in turn: the barrier means that none of them is asked too early."""
    c = acme_cluster
    for i in range(6):
        host = f"spread{i}.example.com"
        pebble.resolve(host, c.data_planes[i % 2].ip)
        r = c.cp.issue(host)
        assert r.status_code == 201, r.text
        assert r.json()["order"]["attempts"] == 0


def test_renewal_replaces_the_certificate(acme_cluster, database):
    import psycopg2

    c = acme_cluster
    r = c.cp.issue("renew.example.com")
    assert r.status_code == 201
    before = leaf(c.data_planes[0], "renew.example.com").serial_number
    with psycopg2.connect(database) as db, db.cursor() as cur:
        cur.execute("UPDATE acme_orders SET renew_at = now() WHERE id = %s", (r.json()["order"]["id"],))
    for d in c.data_planes:
        wait_until(lambda: leaf(d, "renew.example.com").serial_number != before, 30, "renewed certificate served")
    orders = c.cp.get("/acme/orders?host=renew.example.com").json()["data"]
    assert [o["renewal"] for o in orders] == [True, False]
    shown = c.cp.get("/certificates/renew.example.com").json()
    assert shown["id"] == r.json()["order"]["certificate"]["id"]


def test_renewal_time_follows_the_lifetime(acme_cluster):
    c = acme_cluster
    order = c.cp.issue("when.example.com").json()["order"]
    cert = leaf(c.data_planes[0], "when.example.com")
    epoch = datetime.datetime(1970, 1, 1)
    start, end = ((t - epoch).total_seconds() for t in (cert.not_valid_before, cert.not_valid_after))
    assert order["not_after"] == end
    assert start + 0.5 * (end - start) < order["renew_at"] < start + 0.75 * (end - start)


def test_authority_down_keeps_the_order(acme_cluster, pebble):
    c = acme_cluster
    pebble.stop()
    try:
        r = c.cp.issue("down.example.com")
        assert r.status_code == 500 and r.json()["order"]["last_problem"]["detail"]
        order = r.json()["order"]["id"]
    finally:
        pebble.start()
        requests.post(f"{CHALLTEST}/set-default-ipv4", json={"ip": c.data_planes[0].ip}, timeout=5)
    c.cp.post(f"/acme/orders/{order}/retry")
    # A new Pebble knows no accounts: the engine registers again by itself.
    wait_until(lambda: c.cp.get(f"/acme/orders/{order}").json()["state"] == "valid", 60, "order valid with a new authority")


def test_issuance_is_in_the_audit(acme_cluster):
    """Who asked for it, then what the engine wrote, each with its revision."""
    cp = acme_cluster.cp
    r = cp.issue("audited.example.com")
    assert r.status_code == 201, r.text
    order = r.json()["order"]
    asked = cp.get("/audit?kind=acme_orders&entity=audited.example.com").json()["data"]
    assert [(a["method"], a["path"], a["actor"]) for a in asked] == [("POST", "/acme", "anonymous")]
    stored = cp.get(f"/audit?entity={order['certificate']['id']}").json()["data"]
    assert [(a["actor"], a["actor_kind"], a["kind"], a["revision"]) for a in stored] == [("acme", "engine", "certificates", order["revision"])]
    challenges = [a for a in cp.get("/audit?kind=acme_challenges").json()["data"] if a["id"] > asked[0]["id"]]
    assert len(challenges) == 1 and 0 < challenges[0]["revision"] < order["revision"]
