"""What Kong keeps in Vault (KV version 2) and Consul is taken over."""

import json
import time

import pytest

from pki import der, key_pem, make_key, pair
from storages import ConsulStandIn, Redis, Vault, account_row, certificate_row, host_row


@pytest.fixture(scope="module")
def vault(bare_cluster):
    v = Vault(bare_cluster.folder).start()
    yield v
    v.stop()


@pytest.fixture()
def consul():
    c = ConsulStandIn().start()
    yield c
    c.stop()


def ask(c, wish):
    r = c.cp.post("/acme/import", json=wish, headers={"Prefer": "wait=20"})
    assert r.status_code == 200, r.text
    return r.json()


def fill(storage, host, directory, email):
    cert, text, key = pair(host)
    for row in (account_row(directory, email, key_pem(make_key())), certificate_row(host, text, key), host_row(host), ("kong_acme:update_lock:" + host, "placeholder")):
        storage.put(*row)
    return cert


def results(report):
    return {row["kind"]: row["result"] for row in report["rows"]}


def test_vault_with_a_token(acme_cluster, vault, pebble):
    cert = fill(vault, "vault.example.com", pebble.directory, "vault@example.com")
    report = ask(acme_cluster, vault.settings())
    assert results(report) == {"account": "taken", "certificate": "taken", "host": "left", "passing": "left"}, report
    assert acme_cluster.data_planes[0].peer_certificate("vault.example.com") == der(cert)
    assert [a["directory"] for a in acme_cluster.cp.get("/acme/accounts").json()["data"] if a["email"] == "vault@example.com"] == [pebble.directory]
    assert ask(acme_cluster, vault.settings())["unchanged"] == 2
    for more, why in [({"token": "other"}, "token"), ({"token": None}, "token"), ({"port": 1}, "vault"), ({"https": True}, "vault")]:
        r = acme_cluster.cp.post("/acme/import", json=vault.settings(**more))
        assert r.status_code == 502 and why in r.json()["message"], r.text
    assert ask(acme_cluster, vault.settings(kv_path="secret/other"))["keys"] == 0
    assert vault.token not in acme_cluster.cp.process.log()


def test_vault_with_a_login_of_kubernetes(acme_cluster, vault, tmp_path, pebble):
    fill(vault, "kubernetes.example.com", pebble.directory, "kubernetes@example.com")
    jwt = tmp_path / "token"
    jwt.write_text(vault.jwt + "\n")
    good = {"token": None, "auth_method": "kubernetes", "auth_role": vault.role, "jwt_path": str(jwt)}
    assert ask(acme_cluster, vault.settings(**good))["taken"] >= 2
    secret = tmp_path / "keyring"
    secret.write_text("1 0123456789abcdef\n")
    for more, why in [({"jwt_path": str(tmp_path / "none")}, "jwt_path"), ({"jwt_path": str(secret)}, "no JWT"), ({"jwt_path": "/dev/zero"}, ""), ({"auth_role": "other"}, "login"), ({"auth_path": "elsewhere"}, "login")]:
        r = acme_cluster.cp.post("/acme/import", json=vault.settings(**{**good, **more}))
        assert r.status_code in (413, 502) and why in r.json()["message"] and "0123456789" not in r.text, r.text


def test_vault_by_tls(acme_cluster, bare_cluster):
    v = Vault(bare_cluster.folder, tls=True).start()
    try:
        for more, why in [({}, "certificate"), ({"tls_server_name": "vault.internal"}, "certificate")]:
            r = acme_cluster.cp.post("/acme/import", json=v.settings(https=True, **more))
            assert r.status_code == 502 and why in r.json()["message"].lower(), r.text
        assert ask(acme_cluster, v.settings(https=True, tls_verify=False))["keys"] == 0
        # One that trusts it, by its own name.
        cp = bare_cluster.add_control_plane(acme_storage_ca_file=v.ca_file).start()
        assert cp.post("/acme/import", json=v.settings(https=True, tls_server_name="vault.internal")).status_code == 200
        for name in ("other.internal", None):
            r = cp.post("/acme/import", json=v.settings(https=True, tls_server_name=name))
            assert r.status_code == 502 and "subject" in r.json()["message"].lower(), r.text
        cp.process.stop()
    finally:
        v.stop()


def test_redis_by_tls(bare_cluster, acme_cluster):
    server = Redis(bare_cluster.folder, "redis-verified", tls=True).start()
    try:
        cp = bare_cluster.add_control_plane(acme_storage_ca_file=server.ca_file).start()
        good = {"ssl": True, "ssl_verify": True, "server_name": "redis.internal"}
        assert cp.post("/acme/import", json=server.settings(**good)).status_code == 200
        for name in ("other.internal", None):
            r = cp.post("/acme/import", json=server.settings(**{**good, "server_name": name}))
            assert r.status_code == 502 and "mismatch" in r.json()["message"].lower(), r.text
        cp.process.stop()
    finally:
        server.stop()


def test_values_of_vault_that_are_none(acme_cluster, vault):
    name = "kong_acme:cert_key:odd.example.com"
    for value, why in [(5, "no text"), ({"key": "x"}, "no text"), (["x"], "no text")]:
        r = vault.call("POST", f"/data/acme/{name}", data={"value": value})
        assert r.status_code == 200
        row = next(r for r in ask(acme_cluster, vault.settings())["rows"] if r["key"] == name)
        assert row["result"] == "refused" and why in row["reason"], row
    vault.call("DELETE", f"/data/acme/{name}")
    row = next(r for r in ask(acme_cluster, vault.settings())["rows"] if r["key"] == name)
    assert row["result"] == "left", "its last version is deleted"


def test_consul(acme_cluster, consul, pebble):
    cert = fill(consul, "consul.example.com", pebble.directory, "consul@example.com")
    consul.put("kong_acme:cert_key:over.example.com", "{}", flags=1000)
    consul.put("kong_acme:cert_key:empty.example.com", "")
    consul.put("kong_acme:account:https://unknown.example/directory:YUBi", json.dumps({"key": "x"}))
    report = ask(acme_cluster, consul.settings())
    rows = {r["key"]: r for r in report["rows"]}
    assert rows["kong_acme:cert_key:consul.example.com"]["result"] == "taken", report
    assert acme_cluster.data_planes[0].peer_certificate("consul.example.com") == der(cert)
    assert rows["kong_acme:cert_key:over.example.com"]["result"] == "left", "its time is over"
    assert rows["kong_acme:cert_key:empty.example.com"]["result"] == "left"
    assert "api_uri" in rows["kong_acme:account:https:--unknown.example-directory:YUBi"]["reason"]
    for more, status in [({"token": "other"}, 502), ({"port": 1}, 502), ({"kv_path": "elsewhere"}, 200)]:
        assert acme_cluster.cp.post("/acme/import", json=consul.settings(**more)).status_code == status, more
    assert consul.token not in acme_cluster.cp.process.log()


@pytest.mark.parametrize("body,why", [
    (b"", "no JSON"), (b"{", "no JSON"), (b"true", "no answer of Consul"), (b"[{}]", None), (b'[{"Value":5}]', "no answer of Consul"), (b'[{"Value":"x"}]', "base64"), (b"[[]]", "no answer of Consul"), (b"\xff", "no JSON"),
])
def test_answers_of_consul_that_are_none(acme_cluster, consul, body, why):
    name = "kong_acme:cert_key:odd.example.com"
    consul.put(name, "x")
    consul.replies["acme/" + name] = body
    row = ask(acme_cluster, consul.settings())["rows"][0]
    assert row["result"] == ("refused" if why else "left") and (why is None or why in row["reason"]), row


def test_a_list_that_is_none(acme_cluster, consul):
    for body in (b"{", b"{}", b"5"):
        consul.replies["acme/"] = body
        began = time.monotonic()
        assert acme_cluster.cp.post("/acme/import", json=consul.settings()).status_code == 400
        assert time.monotonic() - began < 10
