"""Kong's surface of ACME: the plugin's secrets, and the list of certificates (kong-acme-hybrid.md 1.2 and 1.4)."""

import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"


def colons(data):
    return ":".join(f"{b:02X}" for b in data)


def test_secrets_of_the_plugin_are_sealed_in_the_database_and_stay_there(acme_cluster):
    c = acme_cluster
    config = {
        "account_email": "ops@example.com",
        "eab_kid": "kid-1",
        "eab_hmac_key": SECRET,
        "storage_config": {"redis": {"host": "redis.internal", "password": SECRET}},
    }
    made = c.cp.post("/plugins", json={"name": "acme", "config": config}, headers={"Prefer": "wait=20"})
    assert made.status_code == 201, made.text
    try:
        assert made.json()["config"]["eab_hmac_key"] == SECRET
        shown = c.cp.get(f"/plugins/{made.json()['id']}").json()
        assert shown["config"]["eab_hmac_key"] == SECRET and shown["config"]["storage_config"]["redis"]["password"] == SECRET
        stored = subprocess.run(["psql", c.dsn, "-Atc", "SELECT config FROM plugins WHERE name = 'acme'"], capture_output=True, text=True, check=True).stdout
        assert "kid-1" in stored and stored.count("sealed:") == 2 and SECRET not in stored
        changed = c.cp.patch(f"/plugins/{made.json()['id']}", json={"config": {"eab_kid": "kid-2"}})
        assert changed.json()["config"]["eab_hmac_key"] == SECRET
    finally:
        c.cp.delete(f"/plugins/{made.json()['id']}")


def test_certificates_are_shown_as_kong_shows_them(acme_cluster):
    c = acme_cluster
    hosts = [f"shown{i}.example.com" for i in range(3)]
    for h in hosts:
        assert c.cp.issue(h).status_code == 201
    leaf = x509.load_der_x509_certificate(c.data_planes[0].peer_certificate(hosts[0]))
    one = c.cp.get(f"/acme/certificates/{hosts[0].upper()}").json()["data"]
    assert one["host"] == hosts[0] and one["valid"] is True
    assert one["digest"] == colons(leaf.fingerprint(hashes.SHA1())) and one["digest_sha256"] == colons(leaf.fingerprint(hashes.SHA256()))
    assert int(one["serial_number"].replace(":", ""), 16) == leaf.serial_number
    assert one["not_before"] == f"{leaf.not_valid_before:%Y-%m-%d %H:%M:%S}" and one["not_after"] == f"{leaf.not_valid_after:%Y-%m-%d %H:%M:%S}"
    assert one["pubkey_type"] == "id-ecPublicKey" and one["issuer_cn"].startswith("Pebble Intermediate CA")
    listed = []
    page = c.cp.get("/acme/certificates?size=2").json()
    while True:
        listed += [row["host"] for row in page["data"]]
        if not page["next"]:
            break
        page = c.cp.get(page["next"]).json()
    assert listed == sorted(listed) and set(hosts) <= set(listed)
    assert c.cp.get("/acme/certificates?invalid_only=1").json()["data"] == []
    for path, status in [("/acme/certificates/none.example.com", 404), ("/acme/certificates?size=0", 400), ("/acme/certificates?offset=x", 400), ("/acme/certificates/" + "a" * 300, 404)]:
        assert c.cp.get(path).status_code == status


def test_names_that_the_plugin_is_not_for_are_refused(acme_cluster):
    c = acme_cluster
    config = {"account_email": "ops@example.com", "domains": ["allowed.example.com", "*.tenants.example.com"]}
    made = c.cp.post("/plugins", json={"name": "acme", "config": config})
    assert made.status_code == 201, made.text
    plugin = f"/plugins/{made.json()['id']}"
    try:
        refused = c.cp.post("/acme", json={"host": "other.example.com"})
        assert refused.status_code == 400 and refused.json()["message"] == "host other.example.com is not allowed: config.domains of the plugin acme does not have it"
        assert c.cp.post("/acme", json={"hosts": ["allowed.example.com", "other.example.com"]}).status_code == 400
        assert c.cp.get("/acme/orders?host=other.example.com").json()["data"] == []
        assert c.cp.issue("ALLOWED.example.com").status_code == 201
        assert c.cp.issue("a.tenants.example.com").status_code == 201
        assert c.cp.patch(plugin, json={"config": {"allow_any_domain": True}}).status_code == 200
        assert c.cp.issue("other.example.com").status_code == 201
    finally:
        c.cp.delete(plugin)
