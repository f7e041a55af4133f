"""A control plane without a database: its document, /config, the read side, and what data planes serve out of it."""

import hashlib
import json
import os
import signal
import ssl
import subprocess

import pytest
import requests
import yaml

from harness import BUILD, wait_until
from pki import der, pair

ZEROS = "0" * 32
SERVICE = "0855b320-0dd2-547d-891d-601e9b38647f"
ROUTE = "481a9539-f49c-51b6-b2e2-fe99ee68866c"
CERTIFICATE = "0f0f0f0f-0000-4000-8000-000000000001"
UNKNOWN = "0f0f0f0f-0000-4000-8000-00000000ffff"


def document(*pairs, **more):
    """Certificates with their names as Kong's documents have them: [(cert PEM, key PEM, names)]."""
    return {
        "_format_version": "3.0",
        "certificates": [
            {"id": f"0f0f0f0f-0000-4000-8000-{i:012}", "cert": c, "key": k, "tags": ["web"], "snis": [{"name": n} for n in names]}
            for i, (c, k, names) in enumerate(pairs, 1)
        ],
        **more,
    }


@pytest.fixture(scope="module")
def pairs():
    return {n: pair(n) for n in ("a.example.com", "b.example.com")}


@pytest.fixture(scope="module")
def rest():
    return {
        "services": [
            {
                "name": "my-service",
                "url": "http://upstream.example:81/p",
                "tags": ["web", "x"],
                "routes": [{"name": "my-route", "paths": ["/r"], "tags": ["x"]}],
                "plugins": [{"name": "request-termination", "config": {"status_code": 418}}],
            },
            {"name": "other", "host": "other.example"},
        ],
        "upstreams": [{"name": "up", "targets": [{"target": "1.2.3.4"}, {"target": "1.2.3.5:1", "weight": 7}]}],
        "consumers": [{"username": "c", "custom_id": "c-1"}],
    }


@pytest.fixture(scope="module")
def plane(dbless_cluster, pairs, rest):
    """A control plane that starts with a document of one certificate, and a data plane."""
    _, cert, key = pairs["a.example.com"]
    file = dbless_cluster.folder / "kong.yml"
    file.write_text(yaml.safe_dump(document((cert, key, ["a.example.com"]), **rest)))
    cp = dbless_cluster.add_control_plane(declarative_config=file).start()
    cp.document = file
    dbless_cluster.add_data_plane().start()
    return cp


def served(cluster, host):
    return cluster.data_planes[0].peer_certificate(host)


def put_file(plane, text):
    plane.document.write_text(text)
    plane.process.signal(signal.SIGHUP)


def test_a_data_plane_serves_the_document(plane, dbless_cluster, pairs):
    want = der(pairs["a.example.com"][0])
    wait_until(lambda: served(dbless_cluster, "a.example.com") == want, what="the certificate of the document")
    node = wait_until(lambda: plane.node(dbless_cluster.data_planes[0]), what="the data plane's row")
    assert node["connected"] and node["sync_status"] == "normal" and len(node["config_hash"]) == 32
    assert plane.get("/clustering/status").json()[node["id"]]["hostname"] == node["hostname"]


def test_information(plane):
    text = plane.document.read_bytes()
    status = plane.get("/status").json()
    assert status["configuration_hash"] == hashlib.md5(text).hexdigest() and "database" not in status
    root = plane.get("/").json()
    assert root["configuration"]["database"] == "off"
    assert plane.get("/status/ready").json() == {"message": "ready"}


def test_reading(plane):
    service = plane.get("/services/my-service").json()
    assert service["id"] == SERVICE and service["port"] == 81 and service["path"] == "/p" and service["retries"] == 5
    assert plane.get(f"/services/{SERVICE}").json() == service == plane.get(f"/services/{SERVICE.upper()}").json()
    assert plane.get("/routes/my-route").json()["service"] == {"id": SERVICE}
    assert plane.get("/routes/my-route/service").json() == service
    assert [r["id"] for r in plane.get("/services/my-service/routes").json()["data"]] == [ROUTE]
    assert plane.get("/services/other/routes").json() == {"data": [], "next": None}
    assert plane.get(f"/services/my-service/routes/{ROUTE}").status_code == 200
    assert plane.get(f"/services/other/routes/{ROUTE}").status_code == 404
    assert plane.get("/services/my-service/plugins").json()["data"][0]["config"]["status_code"] == 418
    assert plane.get("/consumers?custom_id=c-1").json()["data"][0]["username"] == "c"
    assert plane.get("/consumers?custom_id=c-2").json()["data"] == []
    certificate = plane.get(f"/certificates/{CERTIFICATE}").json()
    assert certificate["snis"] == ["a.example.com"] and "PRIVATE KEY" in certificate["key"]
    assert plane.get("/certificates/A.example.com").json() == certificate
    assert [s["name"] for s in plane.get("/certificates/a.example.com/snis").json()["data"]] == ["a.example.com"]
    assert plane.get("/snis/A.EXAMPLE.com").json()["certificate"] == {"id": CERTIFICATE}
    targets = plane.get("/upstreams/up/targets").json()["data"]
    assert sorted(t["target"] for t in targets) == ["1.2.3.4:8000", "1.2.3.5:1"]
    assert plane.get("/upstreams/up/targets/1.2.3.5:1").json()["weight"] == 7
    assert plane.get("/upstreams/up/health").json()["data"][0]["health"] == "HEALTHCHECKS_OFF"
    for path in ("/services/none", f"/services/{UNKNOWN}", "/upstreams/up/targets/none:1", "/tags2", "/plugins/none"):
        assert plane.get(path).status_code == 404, path


def test_paging(plane):
    ids, path = [], "/services?size=1"
    while path:
        page = plane.get(path).json()
        assert len(page["data"]) == 1
        ids += [s["id"] for s in page["data"]]
        path = page["next"]
    assert ids == sorted(ids) and len(ids) == 2
    targets, path = [], "/upstreams/up/targets?size=1"
    while path:
        page = plane.get(path).json()
        targets += [t["id"] for t in page["data"]]
        path = page["next"] and page["next"] + "&size=1"
    assert len(set(targets)) == 2 and targets == sorted(targets, reverse=True)


def test_tags(plane):
    def names(query):
        return [s["name"] for s in plane.get(f"/services?tags={query}").json()["data"]]

    assert names("web") == names("web,x") == names("web/none") == ["my-service"]
    assert names("web,none") == names("none") == []
    rows = plane.get("/tags").json()["data"]
    assert [(r["tag"], r["entity_name"]) for r in rows] == [("web", "certificates"), ("web", "services"), ("x", "routes"), ("x", "services")]
    assert [r["entity_id"] for r in plane.get("/tags/x").json()["data"]] == [ROUTE, SERVICE]
    seen, path = [], "/tags?size=3"
    while path:
        page = plane.get(path).json()
        seen += page["data"]
        path = page["next"]
    assert seen == rows


@pytest.mark.parametrize(
    "method,path,body,message",
    [
        ("POST", "/services", {"host": "h"}, "cannot create 'services' entities when not using a database"),
        ("POST", "/services/my-service/routes", {"paths": ["/"]}, "cannot create 'routes' entities when not using a database"),
        ("PATCH", f"/services/{SERVICE}", {}, "cannot update 'services' entities when not using a database"),
        ("PATCH", "/services/my-service", {"retries": 1}, "cannot update 'services' entities by 'name' when not using a database"),
        ("PUT", f"/services/{UNKNOWN}", {"host": "h"}, "cannot create or update 'services' entities when not using a database"),
        ("PUT", "/services/my-service", {"host": "h"}, "cannot create or update 'services' entities by 'name' when not using a database"),
        ("DELETE", f"/services/{SERVICE}", None, "cannot remove 'services' entities when not using a database"),
        ("DELETE", "/services/my-service", None, "cannot remove 'services' entities by 'name' when not using a database"),
        ("DELETE", "/certificates/a.example.com", None, "cannot remove 'certificates' entities when not using a database"),
        ("PUT", "/upstreams/up/targets/1.2.3.5:1", {"weight": 1}, "cannot update 'targets' entities by 'target' when not using a database"),
        ("POST", "/snis", {"name": "x.example", "certificate": {"id": CERTIFICATE}}, "cannot create 'snis' entities when not using a database"),
    ],
)
def test_writes_are_refused(plane, method, path, body, message):
    before = plane.get("/config").text
    r = plane.request(method, path, json=body)
    assert r.status_code == 405 and r.json() == {"code": 12, "name": "operation unsupported", "message": message}
    assert plane.get("/config").text == before


@pytest.mark.parametrize(
    "method,path,body,status,code",
    [
        ("POST", "/services", {"port": -1}, 400, 2),
        ("POST", "/routes", {"paths": ["/"], "service": {"name": "none"}}, 400, 13),
        ("PATCH", f"/services/{UNKNOWN}", {}, 404, 6),
        ("PATCH", "/services/none", {}, 404, 6),
        ("DELETE", f"/services/{UNKNOWN}", None, 204, None),
        ("DELETE", "/services/none", None, 204, None),
        ("DELETE", "/upstreams/up/targets/none", None, 404, None),
        ("POST", "/services/none/routes", {"paths": ["/"]}, 404, None),
    ],
)
def test_what_comes_before_the_refusal(plane, method, path, body, status, code):
    r = plane.request(method, path, json=body)
    assert r.status_code == status and (code is None or r.json()["code"] == code), r.text


def test_validation_writes_nothing_and_is_offered(plane):
    assert plane.post("/schemas/services/validate", json={"host": "h"}).status_code == 200
    assert plane.post("/schemas/services/validate", json={}).status_code == 400


def test_acme_says_why_not(plane):
    for r in (plane.post("/acme", data={"host": "a.example.com"}), plane.get("/acme/orders")):
        assert r.status_code == 405 and "not using a database" in r.json()["message"]


def test_what_only_a_database_holds(plane):
    for r in (plane.get("/audit"), plane.get("/admin/tokens"), plane.post("/admin/tokens", json={"name": "t", "role": "admin"}), plane.post("/import", data="{}", headers={"Content-Type": "application/x-ndjson"})):
        assert r.status_code == 405 and r.json() == {"message": "not available when not using a database"}, r.text


def test_the_older_surface_reads(plane):
    assert [a["name"] for a in plane.get("/apis").json()["data"]] == ["my-route"]


def test_config_is_a_document_of_itself(plane):
    text = plane.get("/config").json()["config"]
    assert text.startswith("_format_version: '3.0'\n_transform: false\n")
    loaded = yaml.safe_load(text)
    assert {k: len(v) for k, v in loaded.items() if k[0] != "_"} == {
        "certificates": 1, "snis": 1, "services": 2, "routes": 1, "upstreams": 1, "targets": 2, "consumers": 1, "plugins": 1,
    }  # fmt: skip
    assert loaded["routes"][0]["service"] == SERVICE and loaded["consumers"][0]["custom_id"] == "c-1"
    revision = plane.get("/status").json()["fleet"]["revision"]
    r = plane.post("/config", data={"config": text})
    assert r.status_code == 201 and r.json()["services"][SERVICE]["name"] == "my-service"
    # Nothing is different, so nothing is sent to data planes.
    assert int(r.headers["X-Cardea-Revision"]) == revision
    assert plane.get("/config").json()["config"] == text


def test_post_swaps_what_is_served(plane, dbless_cluster, pairs, rest):
    b, cert, key = pairs["b.example.com"]
    r = plane.post("/config", json=document((cert, key, ["b.example.com"]), **rest), headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    assert served(dbless_cluster, "b.example.com") == der(b)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served(dbless_cluster, "a.example.com")
    assert plane.get("/snis/a.example.com").status_code == 404
    # The same certificate's id with another content, and back by a file.
    put_file(plane, yaml.safe_dump(document((*pairs["a.example.com"][1:], ["a.example.com", "b.example.com"]), **rest)))
    wait_until(lambda: served(dbless_cluster, "b.example.com") == der(pairs["a.example.com"][0]), what="the file's certificate")
    assert plane.get(f"/certificates/{CERTIFICATE}").json()["snis"] == ["a.example.com", "b.example.com"]


@pytest.mark.parametrize("kind", ["json-object", "json-config", "json-text", "form", "multipart", "multipart-file", "text/yaml", "application/yaml"])
def test_forms_of_input(plane, rest, kind):
    name = kind.replace("/", "-")
    doc = {"_format_version": "3.0", "consumers": [{"username": name}], **{k: v for k, v in rest.items() if k != "consumers"}}
    text = yaml.safe_dump(doc)
    calls = {
        "json-object": lambda: plane.post("/config", json=doc),
        "json-config": lambda: plane.post("/config", json={"config": json.dumps(doc)}),
        "json-text": lambda: plane.post("/default/config", json={"config": text}),
        "form": lambda: plane.post("/config", data={"config": text}),
        "multipart": lambda: plane.post("/config", files={"config": (None, text)}),
        "multipart-file": lambda: plane.post("/config", files={"config": ("kong.yml", text)}),
        "text/yaml": lambda: plane.post("/config", data=text, headers={"Content-Type": "text/yaml"}),
        "application/yaml": lambda: plane.post("/config/", data=text, headers={"Content-Type": "application/yaml; charset=utf-8"}),
    }
    r = calls[kind]()
    assert r.status_code == 201, r.text
    assert [c["username"] for c in r.json()["consumers"].values()] == [name]
    assert [c["username"] for c in plane.get("/consumers").json()["data"]] == [name]
    hashed = plane.get("/status").json()["configuration_hash"]
    assert hashed != ZEROS
    if kind in ("json-text", "form", "multipart", "multipart-file", "text/yaml", "application/yaml"):
        assert hashed == hashlib.md5(text.encode()).hexdigest()


def test_check_hash(plane, rest):
    text = yaml.safe_dump({"_format_version": "3.0", **rest})
    assert plane.post("/config?check_hash=1", data={"config": text}).status_code == 201
    r = plane.post("/config?check_hash=1", data={"config": text})
    assert r.status_code == 304 and r.content == b""
    assert plane.post("/config", data={"config": text, "check_hash": "1"}).status_code == 304
    assert plane.post("/config?check_hash=true", data={"config": text}).status_code == 201
    assert plane.post("/config?check_hash=1", data={"config": text + "\n"}).status_code == 201


def fault(fields, message, **more):
    return {"code": 14, "name": "invalid declarative configuration", "message": f"declarative config is invalid: {message}", "fields": fields, **more}


BAD = [
    ({"data": {"config": "bobby tables"}}, fault({"error": "failed parsing declarative configuration: expected an object"}, '{error="failed parsing declarative configuration: expected an object"}')),
    ({"data": {"config": "a: b: c"}}, fault({"error": "failed parsing declarative configuration: 1:5: mapping values are not allowed in this context"}, '{error="failed parsing declarative configuration: 1:5: mapping values are not allowed in this context"}')),
    ({"json": {"a": 1}}, fault({"_format_version": "required field missing", "a": "unknown field"}, '{_format_version="required field missing",a="unknown field"}')),
    ({"json": {"_format_version": "3.0", "services": [{"port": -12}]}}, fault({"services": [{"host": "required field missing", "port": "value should be between 0 and 65535"}]}, '{services={{host="required field missing",port="value should be between 0 and 65535"}}}')),
    ({"json": {"_format_version": "3.0"}, "params": {"x": "y"}}, fault({"x": "unknown field"}, '{x="unknown field"}')),
    (
        {"json": {"_format_version": "3.0", "services": [{"name": "s", "port": -12, "host": "h", "tags": ["t"]}]}, "params": {"flatten_errors": "1"}},
        fault({}, "{}", flattened_errors=[{"entity_type": "service", "entity_name": "s", "entity_tags": ["t"], "entity": {"name": "s", "port": -12, "host": "h", "tags": ["t"]},
                                           "errors": [{"type": "field", "field": "port", "message": "value should be between 0 and 65535"}]}]),
    ),
]  # fmt: skip


@pytest.mark.parametrize("arguments,want", BAD)
def test_bad_documents_change_nothing(plane, arguments, want):
    before, status = plane.get("/config").text, plane.get("/status").json()
    r = plane.post("/config", **arguments)
    assert r.status_code == 400 and r.json() == want
    now = plane.get("/status").json()
    assert plane.get("/config").text == before
    assert (now["configuration_hash"], now["fleet"]) == (status["configuration_hash"], status["fleet"])


def test_other_refusals(plane):
    r = plane.post("/config")
    assert r.status_code == 400 and r.json() == {"message": "expected a declarative configuration"}
    assert plane.post("/config", data="a: b", headers={"Content-Type": "text/plain"}).status_code == 415
    assert plane.post("/services", data="a: b", headers={"Content-Type": "text/yaml"}).status_code == 415
    assert plane.request("DELETE", "/config").status_code == 405
    r = plane.post("/config", data="{", headers={"Content-Type": "application/json"})
    assert r.status_code == 400 and r.json() == {"message": "Cannot parse JSON body"}


def test_laughs_are_refused_at_once(plane):
    lines = ["a0: &a0 [lol]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    r = plane.post("/config", data={"config": "\n".join(lines)}, timeout=20)
    assert r.status_code == 400 and "aliases stand for too many values" in r.json()["fields"]["error"]


def test_a_bad_file_changes_nothing(plane):
    before = plane.get("/config").text
    put_file(plane, "_format_version: '3.0'\nservices:\n- port: -1\n")
    wait_until(lambda: "in 'port': value should be between 0 and 65535" in plane.process.log(), what="the refusal in the log")
    put_file(plane, "a: [")
    wait_until(lambda: "did not find expected node content" in plane.process.log(), what="the second refusal")
    plane.document.unlink()
    plane.process.signal(signal.SIGHUP)
    wait_until(lambda: "No such file or directory" in plane.process.log(), what="the third refusal")
    assert plane.get("/config").text == before and plane.process.alive()


def test_large_document(plane):
    consumers = [{"username": f"user-{i}", "tags": [f"t{i % 7}"]} for i in range(5000)]
    r = plane.post("/config", json={"_format_version": "3.0", "consumers": consumers}, timeout=120)
    assert r.status_code == 201 and len(r.json()["consumers"]) == 5000
    page = plane.get("/consumers?size=1000&tags=t3").json()
    assert len(page["data"]) == 714 + (1 if 5000 % 7 > 3 else 0) and page["next"] is None
    assert plane.get("/consumers/user-4999").status_code == 200


def test_wrong_documents_at_start(dbless_cluster):
    file = dbless_cluster.folder / "wrong.yml"
    file.write_text("_format_version: '3.0'\nservices:\n- port: -1\n")
    cp = dbless_cluster.add_control_plane(declarative_config=file).start(wait=False)
    dbless_cluster.control_planes.remove(cp)
    assert cp.process.popen.wait(20) == 2
    assert "in 'host': required field missing" in cp.process.log()
    with pytest.raises(requests.ConnectionError):
        cp.get("/")


def test_empty_until_the_first_document(dbless_cluster):
    cp = dbless_cluster.add_control_plane().start(wait=False)
    cp.wait_ready("/status")
    assert cp.get("/status").json()["configuration_hash"] == ZEROS
    ready = cp.get("/status/ready")
    assert ready.status_code == 503 and ready.json()["message"] == "no configuration available (empty configuration present)"
    assert cp.get("/services").json() == {"data": [], "next": None}
    assert cp.get("/config").json()["config"] == "_format_version: '3.0'\n_transform: false\n"
    assert cp.post("/config", json={"_format_version": "3.0"}).json() == {}
    assert cp.get("/status/ready").status_code == 200


def test_document_in_the_environment(dbless_cluster):
    os.environ["CARDEA_DECLARATIVE_CONFIG_STRING"] = '{"_format_version":"1.1","consumers":[{"username":"e"}]}'
    try:
        cp = dbless_cluster.add_control_plane()
        cp.process.env = dict(os.environ)
    finally:
        del os.environ["CARDEA_DECLARATIVE_CONFIG_STRING"]
    cp.start()
    assert cp.get("/consumers/e").status_code == 200
    assert cp.get("/").json()["configuration"]["declarative_config_string"] == "******"


@pytest.mark.parametrize(
    "name,text,code,out",
    [
        ("kong.yml", "_format_version: '3.0'\nservices:\n- {name: s, host: h}\n", 0, "parse successful\n"),
        ("kong.json", '{"_format_version":"1.1"}', 0, "parse successful\n"),
        ("kong.txt", "_format_version: '3.0'", 1, "Error: Failed parsing:\nunknown file type: {}. (Accepted types: json, yaml)\n"),
        ("kong.yml", "a: b: c", 1, "Error: Failed parsing:\nfailed parsing declarative configuration: 1:5: mapping values are not allowed in this context\n"),
        ("kong.yml", "[]", 1, "Error: Failed parsing:\nfailed parsing declarative configuration: expected an object\n"),
        (
            "kong.yml",
            "_format_version: '1.1'\nservices:\n- name: foobar\n  host: []\n  port: -23\n  protocol: https\n  _comment: my comment\n"
            "  _ignore:\n  - foo: bar\n  routes: 123\n",
            1,
            "Error: Failed parsing:\nin 'services':\n  - in entry 1 of 'services':\n    in 'host': expected a string\n"
            "    in 'port': value should be between 0 and 65535\n    in 'routes': expected an array\n",
        ),
    ],
)
def test_parse_command(tmp_path, name, text, code, out):
    file = tmp_path / name
    file.write_text(text)
    r = subprocess.run([BUILD / "cardea", "config", "parse", file], capture_output=True, text=True, timeout=30)
    assert (r.returncode, r.stdout if code == 0 else r.stderr) == (code, out.format(file))


def test_parse_command_without_a_file(tmp_path):
    r = subprocess.run([BUILD / "cardea", "config", "parse", tmp_path / "none.yml"], capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and r.stderr.startswith("Error: Failed parsing:\n") and "No such file" in r.stderr
    assert subprocess.run([BUILD / "cardea", "config", "parse"], capture_output=True, timeout=30).returncode == 2


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"acme_directory": "https://ca.example/dir"}, "acme_directory needs database = postgres"),
        ({"database": "postgres", "declarative_config": "/x.yml"}, "need database = off"),
        ({"admin_auth": "required"}, "without a database there are no tokens, so with admin_auth = required admin_client_ca_cert: must be set"),
    ],
)
def test_settings_that_do_not_go_together(dbless_cluster, settings, message):
    cp = dbless_cluster.add_control_plane(**settings)
    dbless_cluster.control_planes.remove(cp)
    r = subprocess.run([BUILD / "cardea-cp", "-c", cp.config, "-t"], capture_output=True, text=True, timeout=30)
    assert r.returncode == 2 and message in r.stderr


def test_config_needs_database_off(cluster):
    for r in (cluster.cp.get("/config"), cluster.cp.post("/config", json={})):
        assert r.status_code == 400
        assert r.json() == {"message": "this endpoint is only available when Kong is configured to not use a database"}
