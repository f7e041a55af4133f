"""Revocation over the admin API: what the authority is told, what becomes of the names, and what it says against it."""

import json

import pytest
from cryptography import x509

from harness import wait_until
from scripted_ca import ScriptedCA
from test_cli_entities import run
from test_openapi import Checked


@pytest.fixture(scope="module")
def call(acme_cluster):
    return Checked(acme_cluster.cp, acme_cluster.cp.get("/openapi.json").json())


def pem(cp, certificate):
    return cp.get(f"/certificates/{certificate['id']}").json()["cert"]


def revoked(pebble, cert_pem):
    serial = x509.load_pem_x509_certificate(cert_pem.encode()).serial_number
    status = pebble.certificate_status(serial)
    return status["Status"] == "Revoked" and status.get("Reason", 0)


def issue(cp, host):
    r = cp.issue(host)
    assert r.status_code == 201, r.text
    return r.json()["order"]


def test_key_compromise_is_replaced_before_all_others(call, acme_cluster, pebble):
    cp = acme_cluster.cp
    order = issue(cp, "stolen.example.com")
    before = pem(cp, order["certificate"])
    r = call("post", "/acme/certificates/stolen.example.com/revoke", json={"reason": "keyCompromise"}, status=200).json()
    assert r["message"] == "the certificate is revoked" and r["code"] == 1 and r["revoked"] == 1 and r["already"] == 0
    assert r["certificate"] == order["certificate"]
    assert revoked(pebble, before) == 1
    new = wait_until(lambda: (o := cp.get(f"/acme/orders/{r['replacement']['id']}").json())["state"] == "valid" and o, 30, "replacement")
    assert new["lane"] == "emergency" and new["renewal"] is True and new["certificate"] == order["certificate"]
    after = pem(cp, order["certificate"])
    old_key, new_key = (x509.load_pem_x509_certificate(p.encode()).public_key().public_numbers() for p in (before, after))
    assert old_key != new_key
    for d in acme_cluster.data_planes:
        assert d.verified("stolen.example.com", pebble.root())
    shown = cp.get(f"/acme/orders/{order['id']}").json()
    assert shown["revoked_at"] and shown["revocation_reason"] == 1 and shown["renew_at"] is None
    assert "revoked" in [e["event"] for e in call("get", f"/acme/orders/{order['id']}/events").json()["data"]]
    assert "replaces" in [e["event"] for e in call("get", f"/acme/orders/{new['id']}/events").json()["data"]]


def test_revoked_already_is_success(call, acme_cluster, pebble):
    cp = acme_cluster.cp
    order = issue(cp, "twice.example.com")
    first = call("post", f"/acme/certificates/{order['certificate']['id']}/revoke", json={"reason": 4, "replace": False}, status=200).json()
    assert first["replacement"] is None and first["already"] == 0
    again = call("post", "/acme/certificates/twice.example.com/revoke", json={"reason": 4, "replace": False}, status=200).json()
    assert again["message"] == "the certificate was revoked already" and again["already"] == 1
    assert revoked(pebble, pem(cp, order["certificate"])) == 4


def test_cessation_ends_the_renewal_and_serves_on(call, acme_cluster, pebble):
    cp = acme_cluster.cp
    order = issue(cp, "ended.example.com")
    r = call("post", "/acme/certificates/ended.example.com/revoke", json={"reason": "cessationOfOperation"}, status=200).json()
    assert r["replacement"] is None
    assert cp.get(f"/acme/orders/{order['id']}").json()["renew_at"] is None
    assert acme_cluster.data_planes[0].verified("ended.example.com", pebble.root())
    assert cp.patch("/acme", json={"force": False}).status_code == 202
    assert len(cp.get("/acme/orders?host=ended.example.com").json()["data"]) == 1


def test_both_of_a_pair(call, acme_cluster, pebble):
    cp = acme_cluster.cp
    r = cp.post("/acme", json={"host": "pair.example.com", "key_type_alt": "rsa-2048"}, headers={"Prefer": "wait=30"})
    assert r.status_code == 201, r.text
    whole = cp.get(f"/certificates/{r.json()['order']['certificate']['id']}").json()
    done = call("post", "/acme/certificates/pair.example.com/revoke", json={"replace": False}, status=200).json()
    assert done["revoked"] == 2 and done["reason"] == "unspecified"
    assert revoked(pebble, whole["cert"]) is not False and revoked(pebble, whole["cert_alt"]) is not False


def test_form_and_command_line(acme_cluster, pebble):
    cp = acme_cluster.cp
    a, b = issue(cp, "form.example.com"), issue(cp, "line.example.com")
    r = cp.post("/acme/certificates/form.example.com/revoke", data={"reason": "5", "replace": "false"})
    assert r.status_code == 200 and r.json()["code"] == 5
    assert revoked(pebble, pem(cp, a["certificate"])) == 5
    r = run(cp, "acme", "revoke", "line.example.com", "--reason", "superseded", "--no-replace", "-o", "json")
    assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout)[0]["certificate"] == b["certificate"]
    assert revoked(pebble, pem(cp, b["certificate"])) == 4
    r = run(cp, "acme", "revoke", "line.example.com", "--reason", "boredom")
    assert r.returncode == 1 and "cannot be given" in r.stderr
    r = run(cp, "acme", "events", b["id"])
    assert r.returncode == 0 and "revoked" in r.stdout
    r = run(cp, "acme", "hosts", "--host", "line.example.com", "--expiring", "3000d", "-o", "name")
    assert r.returncode == 0 and r.stdout == "line.example.com\n"


@pytest.mark.parametrize("which,body,valid,status,says", [
    ("nobody.example.com", {}, True, 404, "has no certificate"),
    ("00000000-0000-4000-8000-000000000000", {}, True, 404, "has no certificate"),
    ("x'y", {}, True, 404, "has no certificate"),
    ("stolen.example.com", {"reason": "certificateHold"}, True, 400, "do not suspend"),
    ("stolen.example.com", {"reason": 7}, True, 400, "cannot be given"),
    ("stolen.example.com", {"reason": -1}, True, 400, "cannot be given"),
    ("stolen.example.com", {"reason": ["x"]}, False, 400, "cannot be given"),
    ("stolen.example.com", {"replace": "maybe"}, False, 400, "true or false"),
    ("stolen.example.com", {"replace": 1}, False, 400, "true or false"),
])  # fmt: skip
def test_refusals(call, which, body, valid, status, says):
    r = call("post", f"/acme/certificates/{which}/revoke", json=body, body_valid=valid, status=status)
    assert says in r.text


def test_manual_certificate_is_none_of_ours(acme_cluster):
    from pki import key_pem, make_cert, make_key, pem as cert_pem

    cp, key = acme_cluster.cp, make_key()
    r = cp.post("/certificates", json={"cert": cert_pem(make_cert(["manual.example.com"], key)), "key": key_pem(key), "snis": ["manual.example.com"]})
    assert r.status_code == 201, r.text
    assert cp.post("/acme/certificates/manual.example.com/revoke").status_code == 404


@pytest.fixture(scope="module")
def scripted(bare_cluster, acme_cluster):
    """A second control plane with an authority that says what the test wants."""
    ca = ScriptedCA(bare_cluster.folder).start()
    ca.reuses = lambda host: True
    c = bare_cluster.add_control_plane(acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on").start()
    yield ca, c
    c.process.stop()
    ca.stop()


@pytest.mark.parametrize("status,body,answer,says", [
    (403, {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "not your certificate"}, 400, "not your certificate"),
    (400, {"type": "urn:ietf:params:acme:error:badRevocationReason", "detail": "no such reason here"}, 400, "no such reason here"),
    (500, {"type": "urn:ietf:params:acme:error:serverInternal", "detail": "out of order"}, 503, "out of order"),
    (503, b"<html>", 503, "503"),
    (400, {"type": "urn:ietf:params:acme:error:alreadyRevoked", "detail": "done"}, 200, "revoked already"),
])  # fmt: skip
def test_what_the_authority_says(scripted, status, body, answer, says):
    ca, c = scripted
    host = f"said{status}{answer}{len(says)}.example.com"
    assert c.issue(host).status_code == 201
    ca.answer["revoke"] = lambda a: (status, body, {})
    r = c.post(f"/acme/certificates/{host}/revoke", json={"reason": "superseded"})
    assert r.status_code == answer and says in r.text, r.text
    if answer != 200:
        newest = c.get(f"/acme/orders?host={host}").json()["data"][0]
        assert newest["revoked_at"] is None and newest["renewal"] is False


def test_key_compromise_is_replaced_even_when_the_authority_is_away(scripted):
    ca, c = scripted
    assert c.issue("away.example.com").status_code == 201
    ca.answer["revoke"] = lambda a: (500, b"no", {})
    r = c.post("/acme/certificates/away.example.com/revoke", json={"reason": "keyCompromise"})
    assert r.status_code == 503 and "another one for its names was ordered" in r.text
    ca.answer.clear()
    newest = wait_until(lambda: (o := c.get("/acme/orders?host=away.example.com").json()["data"][0])["state"] == "valid" and o, 30, "replacement")
    assert newest["renewal"] is True


def test_authority_without_revocation(scripted):
    ca, c = scripted
    assert c.issue("none.example.com").status_code == 201
    ca.answer["dir"] = lambda a: (200, {k: v for k, v in ca.proper(a)[1].items() if k != "revokeCert"}, {})
    c.process.stop()
    c.start()
    r = wait_until(lambda: [r] if (r := c.post("/acme/certificates/none.example.com/revoke")).status_code != 503 else None, 20, "answer")[0]
    assert r.status_code == 400 and "revokeCert" in r.text
