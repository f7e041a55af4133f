"""The admin API as a client sees it: Kong's shapes for certificates and SNIs, and what bad input gets."""

import json
import uuid

import pytest

from pki import key_pem, make_cert, make_key, pair, pem


@pytest.fixture(scope="module")
def cp(bare_cluster):
    return bare_cluster.add_control_plane().start()


def create(cp, *names):
    _, cert, key = pair(*(names or ["x.example.com"]))
    r = cp.post("/certificates", json={"cert": cert, "key": key, "snis": list(names)})
    assert r.status_code == 201, r.text
    return r.json()


def test_certificate_comes_back_byte_for_byte(cp):
    _, cert, key = pair("bytes.example.com")
    sent = {"cert": cert + "\r\n", "key": key, "snis": ["b2.example.com", "b1.example.com"], "tags": ["t1"]}
    r = cp.post("/certificates", json=sent)
    assert r.status_code == 201
    assert int(r.headers["X-Cardea-Revision"]) > 0
    body = r.json()
    assert (body["cert"], body["key"]) == (sent["cert"], key)
    assert body["snis"] == ["b1.example.com", "b2.example.com"]
    assert body["cert_alt"] is None and body["tags"] == ["t1"]
    again = cp.get(f"/certificates/{body['id']}")
    assert again.status_code == 200 and again.json() == body
    assert cp.get("/certificates/b1.example.com").json() == body


def test_forms_and_files(cp):
    _, cert, key = pair("form.example.com")
    r = cp.post("/certificates", data={"cert": cert, "key": key, "snis": "form.example.com"})
    assert r.status_code == 201 and r.json()["snis"] == ["form.example.com"]
    files = {"cert": ("c.pem", cert), "key": ("k.pem", key), "snis[]": (None, "multi.example.com")}
    r = cp.post("/certificates", files=files)
    assert r.status_code == 201, r.text
    assert r.json()["cert"] == cert and r.json()["snis"] == ["multi.example.com"]


def test_patch_put_delete(cp):
    c = create(cp, "p1.example.com", "p2.example.com")
    path = f"/certificates/{c['id']}"
    r = cp.patch(path, json={"snis": ["p2.example.com", "p3.example.com"]})
    assert r.status_code == 200 and r.json()["snis"] == ["p2.example.com", "p3.example.com"]
    assert cp.get("/snis/p1.example.com").status_code == 404
    assert cp.get("/snis/p3.example.com").json()["certificate"] == {"id": c["id"]}
    r = cp.patch(path, json={"tags": ["a", "b"]})
    assert r.json()["snis"] == ["p2.example.com", "p3.example.com"] and r.json()["tags"] == ["a", "b"]
    r = cp.put(path, json={"cert": c["cert"], "key": c["key"]})
    assert r.status_code == 200 and r.json()["snis"] == [] and r.json()["tags"] is None
    assert cp.delete(path).status_code == 204
    assert cp.get(path).status_code == 404
    assert cp.delete(path).status_code == 204


def test_delete_takes_snis_along(cp):
    c = create(cp, "gone.example.com")
    assert cp.delete("/certificates/gone.example.com").status_code == 204
    assert cp.get("/snis/gone.example.com").status_code == 404
    assert cp.get(f"/certificates/{c['id']}").json()["code"] == 6


def test_snis(cp):
    c = create(cp)
    r = cp.post("/snis", json={"name": "s1.example.com", "certificate": {"id": c["id"]}})
    assert r.status_code == 201, r.text
    r = cp.post(f"/certificates/{c['id']}/snis", data={"name": "s2.example.com"})
    assert r.status_code == 201 and r.json()["certificate"] == {"id": c["id"]}
    assert sorted(s["name"] for s in cp.get(f"/certificates/{c['id']}/snis").json()["data"]) == ["s1.example.com", "s2.example.com"]
    other = create(cp)
    r = cp.patch("/snis/s1.example.com", json={"certificate": {"id": other["id"]}})
    assert r.status_code == 200 and cp.get(f"/certificates/{other['id']}").json()["snis"] == ["s1.example.com"]
    assert cp.delete("/snis/s1.example.com").status_code == 204
    assert cp.get(f"/certificates/{c['id']}/snis/nothere.example.com").status_code == 404


def test_pages_are_stable_while_rows_are_written(cp):
    c = create(cp)
    names = {f"page{i}.example.com" for i in range(25)}
    for n in names:
        assert cp.post("/snis", json={"name": n, "certificate": {"id": c["id"]}}).status_code == 201
    seen, url, extra = [], "/snis?size=7", 0
    while url:
        page = cp.get(url).json()
        seen += [s["name"] for s in page["data"]]
        assert ("offset" in page) == (page["next"] is not None)
        url = page["next"]
        extra += 1
        cp.post("/snis", json={"name": f"extra{extra}.example.com", "certificate": {"id": c["id"]}})
    assert names <= set(seen) and len(seen) == len(set(seen))


def test_tags(cp):
    _, cert, key = pair("tag.example.com")
    for tags in (["red"], ["red", "blue"], ["blue"]):
        assert cp.post("/certificates", json={"cert": cert, "key": key, "tags": tags}).status_code == 201
    assert len(cp.get("/certificates?tags=red").json()["data"]) == 2
    assert len(cp.get("/certificates?tags=red,blue").json()["data"]) == 1
    assert len(cp.get("/certificates?tags=red/blue").json()["data"]) == 3
    r = cp.get("/certificates?tags=a,b/c")
    assert r.status_code == 400 and r.json()["code"] == 11


def certificates_that_are_refused():
    _, cert, key = pair("bad.example.com")
    other = key_pem(make_key())
    rsa_key = make_key("rsa")
    yield "empty", {}, 400, "2 schema violations (cert: required field missing; key: required field missing)"
    yield "garbage", {"cert": "garbage", "key": key}, 400, "invalid certificate"
    yield "empty chain", {"cert": "", "key": key}, 400, "cert"
    yield "garbage key", {"cert": cert, "key": "garbage"}, 400, "invalid key"
    yield "wrong key", {"cert": cert, "key": other}, 400, "certificate does not match key"
    yield "unknown field", {"cert": cert, "key": key, "colour": 1}, 400, "unknown field"
    yield "number as cert", {"cert": 5, "key": key}, 400, "expected a string"
    yield "alt without key", {"cert": cert, "key": key, "cert_alt": cert}, 400, "all or none of these fields must be set"
    yield "alt of the same type", {"cert": cert, "key": key, "cert_alt": cert, "key_alt": key}, 400, "need to have different type"
    yield "bad sni", {"cert": cert, "key": key, "snis": ["a b"]}, 400, "snis"
    yield "two wildcards", {"cert": cert, "key": key, "snis": ["*.a.*"]}, 400, "only one wildcard must be specified"
    yield "sni twice", {"cert": cert, "key": key, "snis": ["d.example.com", "d.example.com"]}, 400, "d.example.com is duplicated"
    encrypted = rsa_key.private_bytes(*encryption())
    yield "encrypted key", {"cert": pem(make_cert(["e.example.com"], rsa_key)), "key": encrypted.decode()}, 400, "key"


def encryption():
    from cryptography.hazmat.primitives import serialization as s

    return s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")


@pytest.mark.parametrize("name,body,status,text", list(certificates_that_are_refused()), ids=lambda v: v if isinstance(v, str) and len(v) < 30 else "")
def test_refused_certificates(cp, name, body, status, text):
    r = cp.post("/certificates", json=body)
    assert r.status_code == status, r.text
    assert text in r.json()["message"], r.text
    assert r.json()["code"] == 2 and r.json()["name"] == "schema violation"


def test_duplicate_sni(cp):
    c = create(cp, "dup.example.com")
    r = cp.post("/snis", json={"name": "dup.example.com", "certificate": {"id": c["id"]}})
    assert r.status_code == 409
    assert r.json()["code"] == 5 and r.json()["message"] == "UNIQUE violation detected on '{name=\"dup.example.com\"}'"
    _, cert, key = pair("dup.example.com")
    r = cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["dup.example.com"]})
    assert r.status_code == 400
    assert f"dup.example.com already associated with existing certificate '{c['id']}'" in r.json()["message"]


def test_unknown_certificate(cp):
    missing = str(uuid.uuid4())
    r = cp.post("/snis", json={"name": "u.example.com", "certificate": {"id": missing}})
    assert r.status_code == 400 and r.json()["code"] == 4, r.text
    assert f"the foreign key '{{id=\"{missing}\"}}' does not reference an existing 'certificates' entity." == r.json()["message"]


@pytest.mark.parametrize(
    "kw,status",
    [
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": "[]", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": '{"cert":"\\u0000"}', "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b'{"cert":"\xff"}', "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": '{"a":1,"a":2}', "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": "[" * 1000, "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": "<a/>", "headers": {"Content-Type": "text/xml"}}, 415),
        ({"data": "a=%zz", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 400),
        ({"data": "&".join(f"a{i}=1" for i in range(1001)), "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 400),
        ({"data": b"x" * (11 << 20), "headers": {"Content-Type": "application/json"}}, 413),
    ],
)
def test_bad_bodies(cp, kw, status):
    r = cp.post("/certificates", **kw)
    assert r.status_code == status, r.text
    if status == 415:
        assert r.content == b""
    else:
        assert "message" in r.json()
    assert cp.get("/status").status_code == 200


@pytest.mark.parametrize(
    "method,path,status",
    [
        ("GET", "/nothing", 404),
        ("GET", "//certificates", 404),
        ("GET", "/acme_challenges", 404),
        ("DELETE", "/certificates", 405),
        ("POST", "/certificates/x.example.com", 405),
        ("BREW", "/certificates", 405),
        ("GET", "/certificates/unknown.example.com", 404),
        ("GET", "/certificates?size=0", 400),
        ("GET", "/certificates?size=x", 400),
        ("GET", "/certificates?offset=!!", 400),
        ("GET", "/snis/unknown.example.com/certificate", 404),
    ],
)
def test_paths_and_methods(cp, method, path, status):
    r = cp.request(method, path)
    assert r.status_code == status, r.text
    assert "message" in r.json()


def test_options_and_workspace(cp):
    r = cp.request("OPTIONS", "/certificates")
    assert r.status_code == 204 and r.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert cp.get("/default/certificates").status_code == 200
    assert cp.get("/certificates/").status_code == 200
    r = cp.request("HEAD", "/certificates")
    assert r.status_code == 200 and r.content == b""


def test_information(cp):
    root = cp.get("/").json()
    assert root["version"].startswith("3.9") and root["configuration"]["database"] == "postgres"
    assert root["configuration"]["pg_dsn"] == "******"
    assert cp.get("/status").json()["database"]["reachable"] is True
    r = cp.get("/clustering/data-planes")
    assert r.status_code == 200 and r.json()["data"] == []
    assert r.headers["Server"].startswith("cardea/")
    assert r.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "X-Kong-Admin-Latency" in r.headers


def test_wait_without_data_planes_answers_at_once(cp):
    _, cert, key = pair("wait.example.com")
    r = cp.post("/certificates", json={"cert": cert, "key": key}, headers={"Prefer": "wait=5"})
    assert r.status_code == 201


def test_revisions_grow_by_one_per_write(cp):
    _, cert, key = pair("rev.example.com")
    numbers = []
    for i in range(5):
        r = cp.post("/certificates", json={"cert": cert, "key": key, "snis": [f"rev{i}.example.com"]})
        numbers.append(int(r.headers["X-Cardea-Revision"]))
    assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_keys_are_sealed_in_the_database(cp, database):
    import psycopg2

    c = create(cp, "sealed.example.com")
    with psycopg2.connect(database) as db, db.cursor() as cur:
        cur.execute("SELECT key FROM certificates WHERE id = %s", (c["id"],))
        sealed = bytes(cur.fetchone()[0])
    assert b"PRIVATE KEY" not in sealed and sealed[:2] == b"C1"
    body = json.loads(cp.get(f"/certificates/{c['id']}").text)
    assert body["key"] == c["key"]


def test_hangup_reads_the_log_level_again(cp):
    import signal

    from harness import wait_until

    text = cp.config.read_text()
    try:
        cp.config.write_text(text.replace("log_level = debug", "log_level = warn"))
        cp.process.signal(signal.SIGHUP)
        wait_until(lambda: cp.get("/status").status_code == 200 and quiet(cp), 10, "no debug lines any more")
        cp.config.write_text("log_level = loud\n")
        cp.process.signal(signal.SIGHUP)
        wait_until(lambda: "configuration not read again" in cp.process.log(), 10, "refusal logged")
        assert cp.get("/status").status_code == 200
    finally:
        cp.config.write_text(text)
        cp.process.signal(signal.SIGHUP)


def quiet(cp):
    before = len(cp.process.log())
    cp.get("/certificates")
    return len(cp.process.log()) == before
