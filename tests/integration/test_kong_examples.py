"""Requests and answers of Kong's admin API, word for word: conventions of every path, certificates and SNIs."""

import uuid

import pytest

from pki import key_pem, make_key, pair


@pytest.fixture(scope="module")
def cp(bare_cluster):
    return bare_cluster.add_control_plane().start()


def certificate(cp, *names, **more):
    _, cert, key = pair(*(names or ["x.example.com"]))
    r = cp.post("/certificates", json={"cert": cert, "key": key, "snis": list(names), **more})
    assert r.status_code == 201, r.text
    return r.json()


NOT_FOUND = {"message": "Not found"}
NOT_ALLOWED = {"message": "Method not allowed"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "method,path,kw,status,body",
    [
        ("GET", "/nothing", {}, 404, NOT_FOUND),
        ("OPTIONS", "/nothing", {}, 404, NOT_FOUND),
        ("PUT", "/nothing", {"json": {}}, 404, NOT_FOUND),
        ("GET", "//services", {}, 404, NOT_FOUND),
        ("GET", "/workspaces", {}, 404, NOT_FOUND),
        ("GET", "/keys", {}, 404, NOT_FOUND),
        ("GET", "/consumer_groups", {}, 404, NOT_FOUND),
        ("GET", "/key-auths", {}, 404, NOT_FOUND),
        ("GET", "/vaults", {}, 404, NOT_FOUND),
        ("PUT", "/services", {"json": {}}, 405, NOT_ALLOWED),
        ("PATCH", "/services", {"json": {}}, 405, NOT_ALLOWED),
        ("POST", "/services/x", {"json": {}}, 405, NOT_ALLOWED),
        ("FROB", "/services", {}, 405, NOT_ALLOWED),
        ("POST", "/tags", {"json": {}}, 405, NOT_ALLOWED),
        ("GET", "/schemas/services/validate", {}, 405, NOT_ALLOWED),
        ("POST", "/plugins/enabled", {"json": {}}, 405, NOT_ALLOWED),
        ("POST", "/services", {"data": "", "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/services", {"data": "{", "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/services", {"data": "[]", "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/services", {"data": "null", "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/services", {"data": '"x"', "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        (
            "POST", "/services", {"data": "&".join(f"a{i}=1" for i in range(1001)), "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            400, {"message": "Too many arguments"},
        ),
        (
            "PUT", "/certificates/5f4f2a0e-0000-4000-8000-00000000000a", {"json": {}}, 400,
            {
                "code": 2, "name": "schema violation",
                "message": "2 schema violations (cert: required field missing; key: required field missing)",
                "fields": {"cert": "required field missing", "key": "required field missing"},
            },
        ),
        ("GET", "/certificates/unknown.com", {}, 404, {"message": "SNI not found"}),
        ("PATCH", "/certificates/unknown.com", {"json": {}}, 404, {"message": "SNI not found"}),
        ("DELETE", "/certificates/unknown.com", {}, 404, {"message": "SNI not found"}),
        (
            "GET", "/certificates/5f4f2a0e-0000-4000-8000-00000000000b", {}, 404,
            {
                "code": 6, "name": "not found",
                "message": "could not find the entity with primary key '{id=\"5f4f2a0e-0000-4000-8000-00000000000b\"}'",
                "fields": {"id": "5f4f2a0e-0000-4000-8000-00000000000b"},
            },
        ),
        ("GET", "/certificates/a.*.com", {}, 400, {"code": 10, "name": "invalid unique name", "message": "wildcard must be leftmost or rightmost character"}),
        ("GET", "/snis/1.2.3.4", {}, 400, {"code": 10, "name": "invalid unique name", "message": "must not be an IP"}),
        ("GET", "/snis/a.com:80", {}, 400, {"code": 10, "name": "invalid unique name", "message": "must not have a port"}),
        ("GET", "/snis/not-there.com", {}, 404, NOT_FOUND),
        ("GET", "/certificates/5f4f2a0e-0000-4000-8000-00000000000b/snis", {}, 404, NOT_FOUND),
        ("POST", "/certificates/5f4f2a0e-0000-4000-8000-00000000000b/snis", {"json": {"name": "a.com"}}, 404, NOT_FOUND),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_answers(cp, method, path, kw, status, body):
    r = cp.request(method, path, **kw)
    assert r.status_code == status, r.text
    assert r.json() == body
    assert r.headers["Content-Type"] == "application/json; charset=utf-8" and int(r.headers["Content-Length"]) == len(r.content)
    assert "Allow" not in r.headers


@pytest.mark.parametrize(
    "kw,status",
    [
        ({"data": "<a/>", "headers": {"Content-Type": "text/xml"}}, 415),
        ({"data": "a: b", "headers": {"Content-Type": "application/yaml"}}, 415),
        ({"data": "{}", "headers": {"Content-Type": "Application/JSON"}}, 415),
        ({"data": b"x=1"}, 415),
        ({"data": "{}", "headers": {"Content-Type": "application/json; charset=utf-8"}}, 400),
        ({}, 400),
    ],
)
def test_content_types(cp, kw, status):
    r = cp.post("/services", **kw)
    assert r.status_code == status
    if status == 415:
        assert r.content == b"" and r.headers["Content-Length"] == "0"
    else:
        assert r.json()["message"] == "schema violation (host: required field missing)"


@pytest.mark.parametrize(
    "path,allowed",
    [
        ("/", "GET, HEAD, OPTIONS"),
        ("/routes", "GET, HEAD, OPTIONS, POST"),
        ("/routes/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/services/x/routes", "GET, HEAD, OPTIONS, POST"),
        ("/routes/x/service", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
    ],
)
def test_options(cp, path, allowed):
    r = cp.request("OPTIONS", path)
    assert (r.status_code, r.content) == (204, b"")
    assert r.headers["Allow"] == r.headers["Access-Control-Allow-Methods"] == allowed
    assert r.headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert cp.request("OPTIONS", path, headers={"Access-Control-Request-Headers": "x-a"}).headers["Access-Control-Allow-Headers"] == "x-a"


def test_cross_origin(cp):
    r = cp.get("/services", headers={"Origin": "http://ui.example.com"})
    assert r.headers["Access-Control-Allow-Origin"] == "http://ui.example.com" and r.headers["Access-Control-Allow-Credentials"] == "true"
    assert cp.get("/services").headers["Access-Control-Allow-Origin"] == "*"


def test_snis_shorthand(cp):
    c = certificate(cp, "b.ex.com", "a.ex.com")
    assert c["snis"] == ["a.ex.com", "b.ex.com"]
    assert [x["snis"] for x in cp.get("/certificates").json()["data"] if x["id"] == c["id"]] == [["a.ex.com", "b.ex.com"]]
    kept = cp.patch("/snis/a.ex.com", json={"tags": ["kept"]}).json()
    at = f"/certificates/{c['id']}"
    assert cp.patch(at, json={"tags": ["t"]}).json()["snis"] == ["a.ex.com", "b.ex.com"]
    r = cp.put(at, json={"cert": c["cert"], "key": c["key"], "snis": ["a.ex.com", "c.ex.com"]})
    assert r.status_code == 200 and r.json()["snis"] == ["a.ex.com", "c.ex.com"]
    now = cp.get("/snis/a.ex.com").json()
    assert (now["id"], now["tags"]) == (kept["id"], ["kept"])
    assert cp.get("/snis/c.ex.com").json()["tags"] is None
    assert cp.get("/snis/b.ex.com").status_code == 404
    assert cp.patch(at, json={"snis": None}).json()["snis"] == []
    assert cp.patch(at, json={"snis": ["a.ex.com"]}).json()["snis"] == ["a.ex.com"]
    assert cp.patch(at, data={"snis": ""}).json()["snis"] == []
    assert cp.patch(at, data={"snis[2]": "y.ex.com", "snis[1]": "x.ex.com"}).json()["snis"] == ["x.ex.com", "y.ex.com"]
    assert cp.put(at, json={"cert": c["cert"], "key": c["key"]}).json()["snis"] == []


def test_names_that_are_taken(cp):
    c = certificate(cp, "taken.ex.com")
    _, cert, key = pair("taken.ex.com")
    r = cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["free.ex.com", "taken.ex.com"]})
    text = f"taken.ex.com already associated with existing certificate '{c['id']}'"
    assert r.status_code == 400
    assert r.json() == {"code": 2, "name": "schema violation", "message": f"schema violation (snis: {text})", "fields": {"snis": text}}
    assert cp.get("/snis/free.ex.com").status_code == 404
    r = cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["d.ex.com", "d.ex.com"]})
    assert r.json()["message"] == "schema violation (snis: d.ex.com is duplicated)"
    r = cp.post("/snis", json={"name": "taken.ex.com", "certificate": c})
    assert r.status_code == 409
    assert r.json() == {
        "code": 5,
        "name": "unique constraint violation",
        "message": "UNIQUE violation detected on '{name=\"taken.ex.com\"}'",
        "fields": {"name": "taken.ex.com"},
    }


def test_certificates_by_name(cp):
    c = certificate(cp, "*.w.ex.com", "n.ex.com")
    assert cp.get("/certificates/%2A.w.ex.com").json() == cp.get("/certificates/n.ex.com").json() == c
    assert cp.get("/certificates/n.ex.com/snis/n.ex.com").json()["certificate"] == {"id": c["id"]}
    assert {x["name"] for x in cp.get("/certificates/n.ex.com/snis").json()["data"]} == {"*.w.ex.com", "n.ex.com"}
    _, cert, key = pair("fresh.ex.com")
    r = cp.put("/certificates/fresh.ex.com", json={"cert": cert, "key": key, "snis": ["also.ex.com"]})
    assert r.status_code == 200 and r.json()["snis"] == ["also.ex.com", "fresh.ex.com"]
    again = cp.put("/certificates/fresh.ex.com", json={"cert": cert, "key": key, "snis": ["fresh.ex.com"]})
    assert again.json()["id"] == r.json()["id"] and again.json()["snis"] == ["fresh.ex.com"]
    assert cp.patch("/certificates/fresh.ex.com", json={"tags": ["x"]}).json()["tags"] == ["x"]
    assert cp.delete("/certificates/fresh.ex.com").status_code == 204
    assert cp.delete("/certificates/fresh.ex.com").json() == {"message": "SNI not found"}


def test_patch_of_one_half_of_a_pair(cp):
    c = certificate(cp)
    _, cert, key = pair("other.ex.com")
    at = f"/certificates/{c['id']}"
    for half in ({"cert": cert}, {"key": key}):
        r = cp.patch(at, json=half)
        assert r.status_code == 400
        assert r.json() == {
            "code": 2,
            "name": "schema violation",
            "message": "schema violation (certificate does not match key)",
            "fields": {"@entity": ["certificate does not match key"]},
        }
    r = cp.patch(at, json={"cert": cert, "key": key})
    assert r.status_code == 200 and (r.json()["cert"], r.json()["key"]) == (cert, key)
    r = cp.patch(at, json={"key_alt": key_pem(make_key())})
    assert r.json()["fields"] == {"@entity": ["all or none of these fields must be set: 'cert_alt', 'key_alt'"]}
    assert cp.patch(at, json={"key": None}).json()["message"] == "schema violation (key: required field missing)"


def test_verbs(cp):
    ident = str(uuid.uuid4())
    c = certificate(cp)
    at = f"/snis/{ident}"
    r = cp.put(at, json={"name": "put.ex.com", "certificate": {"id": c["id"]}, "id": str(uuid.uuid4()), "created_at": 5})
    assert r.status_code == 200 and (r.json()["id"], r.json()["created_at"]) == (ident, 5)
    r = cp.put(at.upper().replace("/SNIS", "/snis"), json={"name": "put.ex.com", "certificate": {"id": c["id"]}})
    assert r.status_code == 200 and r.json()["id"] == ident and r.json()["created_at"] > 5
    r = cp.patch("/snis/put.ex.com", json={"id": str(uuid.uuid4()), "updated_at": "junk"})
    assert r.status_code == 200 and r.json()["id"] == ident
    assert cp.patch("/snis/put.ex.com", headers={"Content-Type": "application/json"}, data="{}").status_code == 200
    assert cp.patch("/snis/put.ex.com").status_code == 200
    assert cp.delete(f"/certificates/{c['id']}/snis/{ident}").status_code == 204
    assert cp.delete(f"/certificates/{c['id']}/snis/{ident}").json() == NOT_FOUND
    assert cp.delete(at).status_code == 204


def test_lists(cp):
    c = certificate(cp, *[f"l{i}.ex.com" for i in range(5)], tags=["l i", "st"])
    assert cp.get("/consumers").json() == {"data": [], "next": None}
    page = cp.get("/snis?size=2").json()
    assert page["next"] == f"/snis?offset={page['offset']}&size=2" and len(page["data"]) == 2
    page = cp.get(f"/certificates/{c['id']}/snis?size=2").json()
    assert page["next"] == f"/certificates/{c['id']}/snis?offset={page['offset']}"
    ids = [x["id"] for x in cp.get("/snis?size=1000").json()["data"]]
    assert ids == sorted(ids)
    certificate(cp, tags=["l i", "st"])
    page = cp.get("/certificates?size=1&tags=l%20i,st").json()
    assert page["next"] == f"/certificates?offset={page['offset']}&tags=l%20i,st&size=1"
    page = cp.get(page["next"]).json()
    assert len(page["data"]) == 1 and page["next"] is None and "offset" not in page
    assert cp.get("/snis?unknown=1&size=1000").status_code == 200
    assert cp.get("/default/snis/l1.ex.com").status_code == 200
