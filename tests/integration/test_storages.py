"""What Kong keeps in Redis is taken over: accounts, certificates with their keys, names that are renewed."""

import json
import time

import pytest
from cryptography.hazmat.primitives import serialization

from harness import wait_until
from pki import der, key_pem, make_cert, make_key, pair, pem
from storages import Redis, account_row, bad_rows, certificate_row, host_row
from test_cli_entities import run
from test_openapi import Checked


@pytest.fixture(scope="module")
def redis(acme_cluster):
    r = Redis(acme_cluster.folder, "redis").start()
    yield r
    r.stop()


@pytest.fixture()
def empty(redis):
    redis.run("FLUSHALL")
    return redis


@pytest.fixture(scope="module")
def call(acme_cluster):
    return Checked(acme_cluster.cp, acme_cluster.cp.get("/openapi.json").json())


def by_key(report):
    return {row["key"]: row for row in report["rows"]}


def served(c, host):
    return c.data_planes[0].peer_certificate(host)


def test_everything_is_taken_served_and_renewed(call, acme_cluster, empty, pebble):
    cp, account_key = acme_cluster.cp, key_pem(make_key("rsa"))
    pairs = {h: pair(h, kind=k) for h, k in (("one.example.com", "ec"), ("two.example.com", "rsa"))}
    rows = [account_row(pebble.directory, "kong@example.com", account_key)]
    for host, (_, cert, key) in pairs.items():
        rows += [certificate_row(host, cert, key), host_row(host)]
    rows += [("kong_acme:update_lock:one.example.com", "placeholder"), ("kong_acme:renew_last_run", "2026-11-01 00:00:00")]
    for key, value in [*rows, ("other", "value"), ("xkong_acme:cert_key:x", "y")]:
        empty.put(key, value)
    wish = {**empty.settings(), "api_uri": pebble.directory}

    dry = call("post", "/acme/import", json={**wish, "dry_run": True}, status=200).json()
    assert (dry["taken"], dry["left"], dry["refused"], dry["revision"]) == (3, 4, 0, None)
    assert cp.get("/snis/one.example.com").status_code == 404

    report = call("post", "/acme/import", json=wish, status=200, headers={"Prefer": "wait=20"}).json()
    assert (report["keys"], report["taken"], report["unchanged"], report["left"], report["refused"]) == (7, 3, 0, 4, 0), report
    for host, (cert, _, _) in pairs.items():
        assert served(acme_cluster, host) == der(cert)
        order = cp.get(f"/acme/orders?host={host}").json()["data"][0]
        assert order["state"] == "valid" and abs(order["not_after"] - cert.not_valid_after.timestamp()) < 86400
        assert time.time() < order["renew_at"] < order["not_after"]
    assert [o["key_type"] for h in pairs for o in cp.get(f"/acme/orders?host={h}").json()["data"]] == ["ecdsa-p256", "rsa-2048"]
    kept = [a for a in cp.get("/acme/accounts").json()["data"] if a["email"] == "kong@example.com"]
    assert [a["directory"] for a in kept] == [pebble.directory]

    again = call("post", "/acme/import", json=wish, status=200).json()
    assert (again["taken"], again["unchanged"], again["left"]) == (0, 3, 4), again
    # Renewed like those that were issued here.
    assert cp.patch("/acme", json={"force": True}).status_code == 202
    for host, (cert, _, _) in pairs.items():
        wait_until(lambda host=host, cert=cert: served(acme_cluster, host) != der(cert), 60, f"{host} renewed")
        assert acme_cluster.data_planes[0].verified(host, pebble.root())
    # What is served ends later now, or not: either way what Kong has does not come back unless forced.
    third = by_key(call("post", "/acme/import", json=wish, status=200).json())
    assert third["kong_acme:cert_key:one.example.com"]["result"] in ("left", "taken")
    for secret in (account_key, pairs["one.example.com"][2]):
        assert secret.split("\n")[1] not in cp.process.log()


def test_the_account_is_the_one_that_kong_had(acme_cluster, bare_cluster, empty, pebble):
    """Registered with the authority before; what is taken over is that account, by its address there."""
    cp = acme_cluster.cp
    key = make_key()
    pem_text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()).decode()
    empty.put(*account_row(pebble.directory, "taken@example.com", pem_text))
    made = cp.post("/plugins", json={"name": "acme", "config": {"account_email": "taken@example.com", "tos_accepted": True, **empty.settings()}})
    assert made.status_code == 201, made.text
    try:
        def taken():
            r = cp.post("/acme/import", json={})
            assert r.status_code == 200, r.text
            return r.json()["rows"][0]["result"] in ("taken", "unchanged")
        wait_until(taken, 10, "the plugin's storage")
    finally:
        cp.delete(f"/plugins/{made.json()['id']}")
    # Another key for the same address is refused: orders of that account may be at work.
    empty.put(*account_row(pebble.directory, "taken@example.com", key_pem(make_key())))
    row = cp.post("/acme/import", json=empty.settings()).json()["rows"][0]
    assert row["result"] == "refused" and "DELETE /acme/accounts/" in row["reason"]


def test_bad_rows_are_refused_one_by_one(call, acme_cluster, empty):
    _, cert, key = pair("bad.example.com")
    old_key = make_key()
    expired = (pem(make_cert(["expired.example.com"], old_key, days=-0.5)), key_pem(old_key))
    bad = bad_rows(cert, key, key_pem(make_key()), expired)
    for k, v, _ in bad:
        empty.put(k, v)
    empty.put("kong_acme:cert_key:huge.example.com", "x" * (300 << 10))
    empty.put(b"kong_acme:cert_key:\xff\xfe.example.com", "{}")
    empty.run("RPUSH", "kong_acme:cert_key:list.example.com", "x")
    empty.put(*certificate_row("bad.example.com", cert, key))
    report = call("post", "/acme/import", json=empty.settings(), status=200).json()
    rows = by_key(report)
    for k, _, why in bad:
        assert rows[k]["result"] == "refused" and why in rows[k]["reason"], rows[k]
        assert key.split("\n")[1] not in rows[k]["reason"]
    assert "acme_storage_value_max" in rows["kong_acme:cert_key:huge.example.com"]["reason"] or "announced" in rows["kong_acme:cert_key:huge.example.com"]["reason"]
    assert rows["kong_acme:cert_key:\\xff\\xfe.example.com"]["result"] == "refused"
    assert "something else" in rows["kong_acme:cert_key:list.example.com"]["reason"]
    assert rows["kong_acme:cert_key:bad.example.com"]["result"] == "taken"
    assert report["refused"] == len(bad) + 3 and report["taken"] == 1


def test_manual_certificates_stay_unless_forced(acme_cluster, empty):
    cp = acme_cluster.cp
    mine, mine_pem, mine_key = pair("manual.example.com")
    theirs, theirs_pem, theirs_key = pair("manual.example.com")
    r = cp.post("/certificates", json={"cert": mine_pem, "key": mine_key, "snis": ["manual.example.com"]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    empty.put(*certificate_row("manual.example.com", theirs_pem, theirs_key))
    empty.put(*host_row("manual.example.com"))
    rows = by_key(cp.post("/acme/import", json=empty.settings()).json())
    assert rows["kong_acme:cert_key:manual.example.com"]["result"] == "refused" and "force" in rows["kong_acme:cert_key:manual.example.com"]["reason"]
    assert served(acme_cluster, "manual.example.com") == der(mine)
    forced = cp.post("/acme/import", json={**empty.settings(), "force": True}, headers={"Prefer": "wait=20"}).json()
    assert forced["taken"] == 1, forced
    assert served(acme_cluster, "manual.example.com") == der(theirs)
    assert cp.get(f"/certificates/{r.json()['id']}").status_code == 200, "the manual one is still there, for no name"


def test_hosts_whose_certificates_came_by_another_way(acme_cluster, empty):
    """Traditional Kong keeps certificates as entities: they are brought in as such, the storage says which are renewed."""
    cp = acme_cluster.cp
    _, cert, key = pair("entity.example.com")
    assert cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["entity.example.com"], "tags": ["managed-by-acme"]}).status_code == 201
    assert cp.get("/acme/orders?host=entity.example.com").json()["data"] == []
    empty.put(*host_row("entity.example.com"))
    assert cp.post("/acme/import", json=empty.settings()).json()["taken"] == 1
    assert cp.get("/acme/orders?host=entity.example.com").json()["data"][0]["state"] == "valid"
    assert cp.post("/acme/import", json=empty.settings()).json()["unchanged"] == 1


def test_rows_of_kongs_own_storage_and_the_command(acme_cluster, empty, tmp_path):
    cp = acme_cluster.cp
    cert, text, key = pair("rows.example.com")
    rows = [dict(zip(("key", "value"), certificate_row("rows.example.com", text, key))), {"key": "tok#http-01", "value": "tok.thumb", "ttl": 3600}]
    document = tmp_path / "kong.yml"
    document.write_text(json.dumps({"_format_version": "3.0", "acme_storage": rows}))
    dry = run(cp, "acme", "import", "-f", document, "--dry-run", "-o", "json")
    assert dry.returncode == 0, dry.stderr
    assert [(r["kind"], r["result"]) for r in json.loads(dry.stdout)] == [("certificate", "taken"), ("passing", "left")] and "--dry-run" in dry.stderr
    table = run(cp, "acme", "import", "-f", document)
    assert table.returncode == 0 and "rows.example.com" in table.stdout and "taken" in table.stdout and key.split("\n")[1] not in table.stdout
    wait_until(lambda: served(acme_cluster, "rows.example.com") == der(cert), 20, "served")
    empty.put(*host_row("nobody.example.com"))
    refused = run(cp, "acme", "import", "--storage", "redis", "host=127.0.0.1", f"port={empty.port}", "-o", "json")
    assert refused.returncode == 1 and json.loads(refused.stdout)[0]["result"] == "refused", refused.stderr
    for argv in (["host=x"], ["--storage", "redis", "-f", document], ["--storage", "redis", "host"], ["-f", tmp_path / "none"]):
        assert run(cp, "acme", "import", *argv).returncode == 2, argv


@pytest.mark.parametrize("wish,status,why", [
    ({"storage": "shm"}, 400, "redis, consul, vault"),
    ({"storage": "redis"}, 400, "host is missing"),
    ({"storage": "redis", "storage_config": {"redis": {"host": "127.0.0.1", "port": 70000}}}, 400, "port"),
    ({"storage": "redis", "storage_config": {"redis": {"host": "127.0.0.1", "port": "x"}}}, 400, "port"),
    ({"storage": "redis", "storage_config": {"redis": {"host": "127.0.0.1", "ssl": 1}}}, 400, "ssl"),
    ({"storage": "redis", "storage_config": {"redis": {"host": "127.0.0.1", "port": 1}}}, 502, "redis 127.0.0.1:1/0"),
    ({"storage": "vault", "storage_config": {"vault": {"auth_method": "kubernetes"}}}, 400, "auth_role"),
    ({"storage": "vault", "storage_config": {"vault": {"auth_method": "x"}}}, 400, "auth_method"),
    ({"storage": "consul", "storage_config": {"consul": {"kv_path": "/a/../b"}}}, 400, "kv_path"),
    ({"storage": "consul", "storage_config": {"consul": {"token": "a\r\nX: b"}}}, 400, "token"),
    ({"storage": "redis", "api_uri": "http://ca.example", "storage_config": {"redis": {"host": "127.0.0.1"}}}, 400, "api_uri"),
    ({"rows": [{"value": "x"}]}, 400, "no key"),
])
def test_wrong_settings(acme_cluster, wish, status, why):
    r = acme_cluster.cp.post("/acme/import", json=wish)
    assert r.status_code == status and why in r.json()["message"], r.text


@pytest.mark.parametrize("wish", [{"storage": 1}, {"storage_config": []}, {"rows": {}}, {"dry_run": "x"}, {"force": 1}, {"api_uri": 5}])
def test_wrong_types(call, wish):
    call("post", "/acme/import", json=wish, status=400, body_valid=False)


def test_password_namespace_database_and_tls(acme_cluster):
    cp = acme_cluster.cp
    r = Redis(acme_cluster.folder, "redis-tls", password="s3cret-s3cret", tls=True).start()
    try:
        _, cert, key = pair("space.example.com")
        name, value = certificate_row("space.example.com", cert, key)
        r.put("x[y]*" + name, value, database=3)
        r.put("xy" + name, "not ours", database=3)
        good = {"ssl": True, "password": "s3cret-s3cret", "database": 3, "extra_options": {"namespace": "x[y]*", "scan_count": 1}}

        def ask(**more):
            return cp.post("/acme/import", json={**r.settings(**{**good, **more}), "dry_run": True})

        report = ask().json()
        assert (report["keys"], report["taken"], report["rows"][0]["key"]) == (1, 1, name), report
        # Older names of the same settings.
        older = {"ssl": True, "auth": "s3cret-s3cret", "database": 3, "namespace": "x[y]*"}
        assert cp.post("/acme/import", json={**r.settings(**older), "dry_run": True}).json()["taken"] == 1
        for more, why in [({"password": "wrong-wrong"}, "username or password"), ({"password": None}, "wants storage_config.redis.password"), ({"database": 99}, "AUTH or SELECT"),
                          ({"ssl_verify": True}, "certificate"), ({"ssl": False}, "redis 127.0.0.1")]:
            answer = ask(**more)
            assert answer.status_code == 502 and why in answer.json()["message"], answer.text
            assert "s3cret" not in answer.text
        assert "s3cret" not in cp.process.log()
    finally:
        r.stop()


def test_a_server_that_does_not_answer_is_given_up_in_its_time(acme_cluster, redis):
    cp = acme_cluster.cp
    redis.process.popen.send_signal(19)
    try:
        began = time.monotonic()
        r = cp.post("/acme/import", json=redis.settings(timeout=300))
        assert r.status_code == 502 and "300 ms" in r.json()["message"] and time.monotonic() - began < 5
    finally:
        redis.process.popen.send_signal(18)
    assert cp.post("/acme/import", json=redis.settings()).status_code == 200


def test_what_is_issued_is_written_through(acme_cluster, empty, pebble):
    """Kong's nodes that share the storage find the newest certificates there."""
    cp = acme_cluster.cp
    config = {"account_email": "through@example.com", "tos_accepted": True, "domains": ["*.through.example.com", "through.example.com"], **empty.settings(extra_options={"namespace": "ns:"})}
    made = cp.post("/plugins", json={"name": "acme", "config": config})
    assert made.status_code == 201, made.text
    try:
        assert cp.issue("a.through.example.com").status_code == 201

        def written(host):
            return json.loads(empty.get(f"ns:kong_acme:cert_key:{host}") or "{}").get("cert")

        first = wait_until(lambda: written("a.through.example.com"), 30, "written")
        certificate = cp.get("/acme/orders?host=a.through.example.com").json()["data"][0]["certificate"]["id"]
        shown = cp.get(f"/certificates/{certificate}").json()
        assert first == shown["cert"] and json.loads(empty.get("ns:kong_acme:cert_key:a.through.example.com"))["key"] == shown["key"]
        host = wait_until(lambda: empty.get("ns:kong_acme:renew_config:a.through.example.com"), 10, "renewed by Kong's clock")
        assert json.loads(host)["host"] == "a.through.example.com" and json.loads(host)["expire_at"] > time.time()
        assert not [k for k in empty.keys() if "one.example.com" in k], "the plugin does not cover it"
        # Renewed: the newer one takes its place.
        assert cp.patch("/acme", json={"force": True}).status_code == 202
        wait_until(lambda: written("a.through.example.com") not in (None, first), 60, "the renewed one is written")
        # And back: what was written is what a takeover finds.
        report = cp.post("/acme/import", json={}).json()
        assert report["refused"] == 0 and report["unchanged"] >= 1, report
    finally:
        cp.delete(f"/plugins/{made.json()['id']}")
