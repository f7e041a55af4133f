"""tls_certificate_verify on both planes: weakening writes are refused, and a data plane with it refuses such a revision."""

import pytest

from harness import wait_until

WEAK = [
    ("services", {"name": "weak", "protocol": "https", "host": "a.example", "tls_verify": False}, {"tls_verify"}),
    ("upstreams", {"name": "weak", "healthchecks": {"active": {"https_verify_certificate": False}}}, {"healthchecks"}),
]
TEXT = "must not be false while 'tls_certificate_verify' is on"


@pytest.fixture(scope="module")
def strict(bare_cluster):
    bare_cluster.add_control_plane(tls_certificate_verify="on").start()
    return bare_cluster


@pytest.mark.parametrize("kind, body, fields", WEAK)
def test_weakening_writes_are_refused(strict, kind, body, fields):
    r = strict.cp.post(f"/{kind}", json=body)
    assert (r.status_code, r.json()["code"], set(r.json()["fields"])) == (400, 2, fields)
    assert TEXT in r.json()["message"]
    r = strict.cp.put(f"/{kind}/weak", json=body)
    assert r.status_code == 400
    assert strict.cp.get(f"/{kind}/weak").status_code == 404


def test_weakening_changes_are_refused(strict):
    r = strict.cp.post("/services", json={"name": "good", "protocol": "https", "host": "a.example", "tls_verify": True})
    assert r.status_code == 201, r.text
    assert strict.cp.patch("/services/good", json={"tls_verify": False}).status_code == 400
    assert strict.cp.get("/services/good").json()["tls_verify"] is True
    assert strict.cp.patch("/services/good", json={"tls_verify": None}).status_code == 200


def test_weakening_imports_are_refused(strict):
    line = '{"services": {"name": "imported", "protocol": "https", "host": "a.example", "tls_verify": false}}\n'
    r = strict.cp.post("/import", data=line, headers={"Content-Type": "application/x-ndjson"})
    assert TEXT in r.text
    assert strict.cp.get("/services/imported").status_code == 404


def test_a_data_plane_refuses_such_a_revision(bare_cluster, strict):
    """The control plane that took it does not have the rule."""
    lax = bare_cluster.add_control_plane().start()
    d = bare_cluster.add_data_plane(tls_certificate_verify="on", control_planes=[lax.cluster_addr]).start()
    r = lax.post("/services", json={"name": "lax", "protocol": "https", "host": "a.example", "tls_verify": False})
    assert r.status_code == 201, r.text

    def refused():
        return "tls_verify: false is not allowed with tls_certificate_verify" in d.process.log()

    wait_until(refused, 20, "the refusal")
    assert d.status("/status/ready").status_code == 200
    assert lax.patch("/services/lax", json={"tls_verify": True}, headers={"Prefer": "wait=10"}).status_code == 200
