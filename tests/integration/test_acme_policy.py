"""The plugin acme drives the engine: its authority, account and policy are those of the names that it covers."""

import time

import pytest
from cryptography import x509

from harness import wait_until
from scripted_ca import ScriptedCA

SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
DAY = 86400


@pytest.fixture(scope="module")
def ca(bare_cluster):
    c = ScriptedCA(bare_cluster.folder).start()
    c.reuses = lambda host: not host.startswith("bad")
    yield c
    c.stop()


@pytest.fixture(scope="module")
def cp(bare_cluster, ca):
    """No acme_directory: what there is to know comes from the plugin."""
    return bare_cluster.add_control_plane(acme_ca_file=ca.ca_file, acme_allow_private="on").start()


@pytest.fixture
def plugin(cp, ca):
    config = {
        "account_email": "kong@example.com",
        "api_uri": ca.base,
        "tos_accepted": True,
        "cert_type": "rsa",
        "rsa_key_size": 2048,
        "renew_threshold_days": 20,
        "fail_backoff_minutes": 30,
        "domains": ["one.example.com", "*.kong.example.com"],
    }
    r = cp.post("/plugins", json={"name": "acme", "config": config})
    assert r.status_code == 201, r.text
    path = f"/plugins/{r.json()['id']}"
    wait_until(lambda: names(cp) == ["plugin acme"], 20, "its authority")
    yield path
    cp.delete(path)
    wait_until(lambda: names(cp) == [], 20, "no authority")


def names(cp):
    return [a["name"] for a in cp.get("/acme/authorities/status").json()["data"]]


def leaf(cp, order):
    return x509.load_pem_x509_certificate(cp.get(f"/certificates/{order['certificate']['id']}").json()["cert"].encode())


def issue(cp, host, **more):
    r = cp.post("/acme", json={"host": host, **more}, headers={"Prefer": "wait=30"})
    assert r.status_code == 201, r.text
    return r.json()["order"]


def test_nothing_without_it(cp):
    r = cp.post("/acme", json={"host": "early.example.com"})
    assert r.status_code == 404 and "plugin acme" in r.text


def test_authority_account_key_and_renewal(cp, ca, plugin):
    ca.asked.clear()
    order = issue(cp, "one.example.com")
    assert order["authority"] == ca.base + "/directory" and order["key_type"] == "rsa-2048"
    assert leaf(cp, order).public_key().key_size == 2048
    account = next(a.payload for a in ca.asked if a.page == "account" and a.payload)
    assert account["contact"] == ["mailto:kong@example.com"]
    left = (order["not_after"] - order["renew_at"]) / DAY
    assert 20 <= left <= 23, "renew_threshold_days, with jitter"


def test_what_is_asked_for_goes_before_the_policy(cp, plugin):
    order = issue(cp, "asked.kong.example.com", key_type="ecdsa-p384")
    assert order["key_type"] == "ecdsa-p384"


def test_a_change_is_followed(cp, plugin):
    config = {"cert_type": "ecc", "renew_threshold_days": 88, "preferred_chain": "Some Root", "profile": "classic"}
    assert cp.patch(plugin, json={"config": config}).status_code == 200
    order = issue(cp, "at-once.kong.example.com")
    assert (order["key_type"], order["preferred_chain"], order["profile"]) == ("ecdsa-p256", "Some Root", "classic")

    def left():
        order = issue(cp, f"n{time.monotonic_ns()}.kong.example.com")
        return (order["not_after"] - order["renew_at"]) / DAY

    # 88 of 90 days would renew again and again: the share of the configuration holds.
    wait_until(lambda: left() > 29, 30, "the engine knows it too")


def test_names_that_it_is_not_for(cp, plugin):
    r = cp.post("/acme", json={"host": "other.example.com"})
    assert r.status_code == 400 and "not allowed" in r.text


def test_failures_wait_as_it_says(cp, ca, plugin):
    def validate(o, n):
        n.challenge = n.authz = o.status = "invalid"
        n.error = {"type": "urn:ietf:params:acme:error:connection", "detail": "nobody answers", "status": 400}

    ca.validate = validate
    r = cp.post("/acme", json={"host": "bad.kong.example.com"}, headers={"Prefer": "wait=30"})
    assert r.status_code == 500 and "nobody answers" in r.text
    assert r.json()["order"]["next_attempt"] - time.time() > 29 * 60


def test_external_account_binding(cp, ca, plugin):
    ca.asked.clear()
    config = {"account_email": "bound@example.com", "eab_kid": "kid-7", "eab_hmac_key": SECRET}
    assert cp.patch(plugin, json={"config": config}).status_code == 200
    wait_until(lambda: issue(cp, f"b{time.monotonic_ns()}.kong.example.com") and any(a.page == "account" for a in ca.asked), 30, "a new account")
    account = next(a.payload for a in ca.asked if a.page == "account" and a.payload)
    assert account["contact"] == ["mailto:bound@example.com"] and account["externalAccountBinding"]


def test_one_that_is_off_says_nothing(cp, plugin):
    assert cp.patch(plugin, json={"enabled": False}).status_code == 200
    wait_until(lambda: names(cp) == [], 20, "no authority")
    assert cp.post("/acme", json={"host": "one.example.com"}).status_code == 404
    assert cp.patch(plugin, json={"enabled": True}).status_code == 200
    wait_until(lambda: names(cp) == ["plugin acme"], 20, "its authority")


def test_an_authority_without_tls_is_none(cp, plugin):
    assert cp.patch(plugin, json={"config": {"api_uri": "http://localhost:1"}}).status_code == 200
    r = wait_until(lambda: [r] if (r := cp.post("/acme", json={"host": "plain.kong.example.com"})).status_code == 404 else None, 20, "said")[0]
    assert "https" in r.text


def test_beside_authorities_of_its_own_right(cp, ca, plugin, bare_cluster):
    other = ScriptedCA(bare_cluster.folder / "other" if (bare_cluster.folder / "other").mkdir() is None else None).start()
    other.reuses = lambda host: True
    made = cp.post("/acme_authorities", json={"name": "other", "directory": other.directory, "ca_cert": other.ca_file.read_text(), "contact": "o@example.com"})
    assert made.status_code == 201, made.text
    try:
        wait_until(lambda: names(cp) == ["plugin acme", "other"], 20, "both")
        assert issue(cp, "covered.kong.example.com")["authority"] == ca.base + "/directory"
        cp.patch(plugin, json={"config": {"domains": ["one.example.com"], "allow_any_domain": False}})
        cp.patch(plugin, json={"enabled": False})
        wait_until(lambda: names(cp) == ["other"], 20, "the other")
        assert issue(cp, "free.example.com")["authority"] == other.directory
    finally:
        cp.delete("/acme_authorities/other")
        other.stop()
