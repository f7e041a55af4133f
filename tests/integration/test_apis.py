"""The surface of Kong 0.3 to 0.14: apis, and the ssl plugin that gave them a certificate. Both surfaces show one truth; each write is one revision."""

import concurrent.futures
import itertools
import json
import subprocess
import uuid

import pytest

from harness import BUILD, wait_until
from pki import der, pair

_names = itertools.count(1)


@pytest.fixture(scope="module")
def cp(bare_cluster):
    return bare_cluster.add_control_plane().start()


def name(prefix="api"):
    return f"{prefix}-{next(_names)}"


def new(cp, **body):
    body = {"name": name(), "upstream_url": "http://up.example.com/base", **body}
    if not any(k in body for k in ("request_host", "request_path", "hosts", "uris", "methods", "public_dns", "path")):
        body["request_host"] = body["name"] + ".example.com"
    r = cp.post("/apis", json=body)
    assert r.status_code == 201, r.text
    return r.json()


def ssl_plugin(cp, api, **config):
    host = api["request_host"] or "x.example.com"
    certificate, cert, key = pair(host)
    r = cp.post(f"/apis/{api['name']}/plugins", json={"name": "ssl", "config": {"cert": cert, "key": key, **config}})
    assert r.status_code == 201, r.text
    return r.json(), certificate, cert, key


def revision(r):
    return int(r.headers["X-Cardea-Revision"])


def names_of(cp):
    return {s["name"]: s["certificate"]["id"] for s in cp.get("/snis?size=1000").json()["data"]}


def ids(cp, kind):
    return {x["id"] for x in cp.get(f"/{kind}?size=1000").json()["data"]}


def marked(r):
    """Answers of this surface say that it is deprecated and what came after it (RFC 9745, RFC 8288)."""
    assert r.headers["Deprecation"] == "@1521676800" and 'rel="successor-version"' in r.headers["Link"], r.headers
    assert "Sunset" not in r.headers
    return r


@pytest.mark.parametrize(
    "body",
    [
        {"public_dns": "e3.example.com", "target_url": "http://up.example.com/base", "path": "/e3", "strip_path": True},
        {"request_host": "e5.example.com", "upstream_url": "http://up.example.com/base", "request_path": "/e5", "strip_request_path": True},
        {"hosts": ["e10.example.com"], "upstream_url": "http://up.example.com/base", "uris": ["/e10"], "strip_uri": True},
    ],
    ids=["0.3", "0.5", "0.10"],
)
def test_an_api_of_each_time(cp, body):
    era = next(iter(body.values()))
    host = era if isinstance(era, str) else era[0]
    path = "/" + host.split(".")[0]
    r = marked(cp.post("/apis", json={"name": host, **body}))
    assert r.status_code == 201
    api = r.json()
    assert api == cp.get(f"/apis/{api['id']}").json() == cp.get(f"/apis/{host}").json()
    for k, v in {
        "name": host, "hosts": [host], "request_host": host, "public_dns": host, "uris": [path], "request_path": path, "path": path,
        "methods": None, "upstream_url": "http://up.example.com/base", "target_url": "http://up.example.com/base", "strip_uri": True,
        "strip_request_path": True, "strip_path": True, "preserve_host": False, "retries": 5, "https_only": False, "http_if_terminated": False,
    }.items():  # fmt: skip
        assert api[k] == v, k
    route, service = cp.get(f"/routes/{host}").json(), cp.get(f"/services/{host}").json()
    assert route["id"] == service["id"] == api["id"] and route["service"] == {"id": api["id"]}
    assert (route["hosts"], route["paths"], route["strip_path"], route["protocols"]) == ([host], [path], True, ["http", "https"])
    assert (service["protocol"], service["host"], service["port"], service["path"]) == ("http", "up.example.com", 80, "/base")
    assert "Deprecation" not in cp.get(f"/routes/{host}").headers


def test_each_write_is_one_revision(cp):
    before = revision(cp.post("/consumers", json={"username": name("c")}))
    r = cp.post("/apis", json={"name": name(), "upstream_url": "http://u.com", "request_host": name("h") + ".com"})
    api = r.json()
    assert revision(r) == before + 1
    _, cert, key = pair(api["request_host"])
    r = cp.post(f"/apis/{api['id']}/plugins", json={"name": "ssl", "config": {"cert": cert, "key": key, "only_https": True}})
    assert r.status_code == 201 and revision(r) == before + 2
    plugin = r.json()
    r = cp.patch(f"/apis/{api['id']}", json={"request_host": "moved." + api["request_host"], "upstream_url": "http://v.com", "https_only": False})
    assert r.status_code == 200 and revision(r) == before + 3
    _, cert, key = pair("z.com")
    r = cp.patch(f"/apis/{api['id']}/plugins/{plugin['id']}", json={"config": {"cert": cert, "key": key, "only_https": True}})
    assert r.status_code == 200 and revision(r) == before + 4
    r = cp.delete(f"/apis/{api['id']}/plugins/{plugin['id']}")
    assert r.status_code == 204 and revision(r) == before + 5
    r = cp.delete(f"/apis/{api['id']}")
    assert r.status_code == 204 and revision(r) == before + 6


def test_changes_show_on_both_surfaces(cp):
    api = new(cp, request_path="/both")
    at = f"/apis/{api['name']}"
    assert cp.patch(f"/routes/{api['id']}", json={"hosts": ["x.com", "y.com"], "strip_path": True}).status_code == 200
    assert cp.patch(f"/services/{api['id']}", json={"url": "https://new.example.com:8443/", "retries": 2}).status_code == 200
    now = cp.get(at).json()
    assert (now["hosts"], now["request_host"], now["strip_uri"]) == (["x.com", "y.com"], "x.com", True)
    assert (now["upstream_url"], now["retries"]) == ("https://new.example.com:8443/", 2)
    # What was read may be sent back: only what the client changed changes.
    now["request_path"] = "/changed"
    r = marked(cp.put("/apis", json=now))
    assert r.status_code == 200, r.text
    assert (r.json()["uris"], r.json()["hosts"], r.json()["strip_path"]) == (["/changed"], ["x.com", "y.com"], True)
    assert cp.get(f"/routes/{api['id']}").json()["paths"] == ["/changed"]
    r = cp.patch(at, data={"target_url": "http://third.example.com", "preserve_host": "true"})
    assert r.status_code == 200, r.text
    service = cp.get(f"/services/{api['id']}").json()
    assert (service["host"], service["port"], service["path"], service["retries"]) == ("third.example.com", 80, None, 2)
    assert cp.get(f"/routes/{api['id']}").json()["preserve_host"] is True
    assert cp.patch(at, json={"name": "renamed"}).json()["name"] == "renamed"
    assert cp.get("/services/renamed").json()["id"] == cp.get("/routes/renamed").json()["id"] == api["id"]


def test_routes_and_services_of_today_are_apis(cp):
    service = cp.post("/services", json={"name": name("s"), "url": "http://today.example.com"}).json()
    route = cp.post(f"/services/{service['id']}/routes", json={"name": name("r"), "hosts": ["today.com"]}).json()
    api = cp.get(f"/apis/{route['name']}").json()
    assert (api["id"], api["upstream_url"], api["request_host"]) == (route["id"], "http://today.example.com", "today.com")
    assert cp.patch(f"/apis/{route['id']}", json={"name": name("r"), "request_host": "tomorrow.com"}).status_code == 200
    assert cp.get(f"/services/{service['id']}").json()["name"] == service["name"]
    assert cp.get(f"/routes/{route['id']}").json()["hosts"] == ["tomorrow.com"]
    # Its service was not made with it, and stays.
    assert cp.delete(f"/apis/{route['id']}").status_code == 204
    assert cp.get(f"/routes/{route['id']}").status_code == 404
    assert cp.get(f"/services/{service['id']}").status_code == 200


@pytest.mark.parametrize(
    "route",
    [
        {"protocols": ["tcp"], "sources": [{"port": 1}]},
        {"protocols": ["grpc"], "hosts": ["g.com"]},
        {"hosts": ["h.com"], "headers": {"x-a": ["b"]}},
        {"protocols": ["https"], "snis": ["s.com"]},
        {"hosts": ["no-service.com"], "service": None},
    ],
)
def test_what_no_api_can_say_is_none(cp, route):
    service = cp.post("/services", json={"name": name("s"), "host": "x.com"}).json()
    r = cp.post("/routes", json={"name": name("r"), "service": {"id": service["id"]}, **route})
    assert r.status_code == 201, r.text
    for path in (f"/apis/{r.json()['id']}", f"/apis/{r.json()['name']}", f"/apis/{r.json()['id']}/plugins"):
        assert cp.get(path).json() == {"message": "Not found"}
    assert cp.patch(f"/apis/{r.json()['id']}", json={"request_host": "a.com"}).status_code == 404
    assert cp.delete(f"/apis/{r.json()['id']}").status_code == 404
    assert cp.get(f"/routes/{r.json()['id']}").status_code == 200
    assert r.json()["id"] not in {a["id"] for a in cp.get("/apis?size=1000").json()["data"]}


def test_put(cp):
    ident, host = str(uuid.uuid4()), name("put") + ".com"
    body = {"name": name("put"), "upstream_url": "http://u.com", "request_host": host}
    r = marked(cp.put("/apis", json={**body, "id": ident}))
    assert r.status_code == 201 and r.json()["id"] == ident
    r = cp.put("/apis", json={"id": ident, "name": body["name"], "upstream_url": "http://u.com", "request_path": "/only", "retries": 1})
    assert r.status_code == 200 and (r.json()["hosts"], r.json()["uris"], r.json()["retries"]) == (None, ["/only"], 1)
    r = cp.put(f"/apis/{body['name']}", json={"upstream_url": "http://u.com", "hosts": [host]})
    assert r.status_code == 200 and (r.json()["id"], r.json()["uris"], r.json()["retries"]) == (ident, None, 5)
    other = name("put")
    r = cp.put(f"/apis/{other}", data={"upstream_url": "http://u.com", "uris": "/a,/b"})
    assert r.status_code == 201 and (r.json()["name"], r.json()["uris"]) == (other, ["/a", "/b"])
    ident = str(uuid.uuid4())
    r = cp.put(f"/apis/{ident}", json={"upstream_url": "http://u.com", "request_host": name("h") + ".com", "id": str(uuid.uuid4())})
    assert r.status_code == 201 and r.json()["id"] == ident
    assert cp.put("/apis", json={"upstream_url": "http://u.com", "request_host": name("h") + ".com"}).status_code == 201


def test_delete(cp):
    api = new(cp)
    plugin, *_ = ssl_plugin(cp, api)
    other = cp.post("/routes", json={"name": name("r"), "paths": ["/other"], "service": {"id": api["id"]}}).json()
    r = marked(cp.delete(f"/apis/{api['name']}"))
    assert (r.status_code, r.content) == (204, b"")
    assert api["id"] not in ids(cp, "routes") and plugin["id"] not in ids(cp, "plugins") | ids(cp, "certificates")
    assert api["request_host"] not in names_of(cp)
    # A route that was added since keeps its service.
    assert cp.get(f"/routes/{other['id']}/service").json()["id"] == api["id"]
    assert cp.delete(f"/apis/{other['name']}").status_code == 204
    assert marked(cp.delete(f"/apis/{api['name']}")).json() == {"message": "Not found"}
    api = new(cp)
    assert cp.delete(f"/apis/{api['id']}").status_code == 204
    assert api["id"] not in ids(cp, "services")
    again = new(cp, name=api["name"], request_host=api["request_host"])
    assert again["id"] != api["id"]


def test_delete_of_what_is_still_used(cp):
    api = new(cp)
    plugin, *_ = ssl_plugin(cp, api)
    user = cp.post("/services", json={"url": "https://x.com", "client_certificate": {"id": plugin["id"]}}).json()
    r = cp.delete(f"/apis/{api['id']}")
    assert r.status_code == 400 and "services" in r.json()["message"]
    assert cp.get(f"/apis/{api['id']}").json() == api
    assert names_of(cp)[api["request_host"]] == plugin["id"]
    assert cp.delete(f"/services/{user['id']}").status_code == 204
    assert cp.delete(f"/apis/{api['id']}").status_code == 204


def test_list(bare_cluster, cp):
    for api in cp.get("/apis?size=1000").json()["data"]:
        assert cp.delete(f"/apis/{api['id']}").status_code == 204
    r = marked(cp.get("/apis"))
    assert r.json() == {"data": [], "next": None, "total": 0}
    made = [new(cp)["id"] for _ in range(5)]
    for _ in range(3):
        cp.post("/routes", json={"paths": ["/x"]})
        cp.post("/routes", json={"hosts": ["x.com"], "headers": {"a": ["b"]}, "service": {"id": made[0]}})
    assert [a["id"] for a in cp.get("/apis/").json()["data"]] == sorted(made)
    for size in (1, 2, 4, 5, 6):
        seen, path = [], f"/apis?size={size}"
        while path:
            page = cp.get(path).json()
            assert page["total"] == 5 and 0 < len(page["data"]) <= size
            assert ("offset" in page) == bool(page["next"])
            seen += [a["id"] for a in page["data"]]
            path = page["next"]
        assert seen == sorted(made)
    api = cp.get(f"/apis/{made[2]}").json()
    for field in ("name", "id", "request_host", "public_dns"):
        assert [a["id"] for a in cp.get(f"/apis?{field}={api[field]}").json()["data"]] == [api["id"]]
    assert cp.get("/apis?name=nobody").json()["data"] == []
    for query, text in (
        ("size=0", "size must be an integer between 1 and 1000"),
        ("size=x", "size must be a number"),
        ("offset=!", "'!' is not a valid offset: bad base64 encoding"),
    ):
        r = marked(cp.get(f"/apis?{query}"))
        assert (r.status_code, r.json()) == (400, {"message": text})


def test_list_over_many_routes(cp):
    """Pages reach over more routes than are read at a time."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: cp.post("/routes", json={"paths": [f"/many{i}"]}).raise_for_status(), range(150)))
    new(cp), new(cp)
    apis = cp.get("/apis?size=1000").json()
    assert apis["next"] is None and apis["total"] == len(apis["data"]) >= 2
    seen, path = [], "/apis?size=1"
    while path:
        page = cp.get(path).json()
        seen += page["data"]
        path = page["next"]
    assert seen == apis["data"]


ABSENT = "At least a 'request_host' or a 'request_path' must be specified"
NOT_FOUND = {"message": "Not found"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
U = "http://u.com"
NOBODY = "5f4f2a0e-0000-4000-8000-00000000000b"


@pytest.mark.parametrize(
    "method,path,kw,status,body",
    [
        ("POST", "/apis", {"json": {}}, 400, {"upstream_url": "upstream_url is required", "request_host": ABSENT, "request_path": ABSENT}),
        ("POST", "/apis", {}, 400, {"upstream_url": "upstream_url is required", "request_host": ABSENT, "request_path": ABSENT}),
        ("POST", "/apis", {"json": {"upstream_url": U}}, 400, {"request_host": ABSENT, "request_path": ABSENT}),
        ("POST", "/apis", {"json": {"upstream_url": U, "request_host": 5}}, 400, {"request_host": "request_host is not a string"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "request_host": "a b"}}, 400, {"request_host": "invalid value: a b"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "public_dns": ["a.com"]}}, 400, {"public_dns": "public_dns is not a string"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "hosts": {"a": "b"}}}, 400, {"hosts": "hosts is not an array"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "hosts": [["a.com"]]}}, 400, {"hosts": "hosts is not a string"}),
        ("POST", "/apis", {"json": {"upstream_url": "u.com", "request_host": "a.com"}}, 400, {"upstream_url": "Supported protocols are HTTP and HTTPS"}),
        ("POST", "/apis", {"json": {"target_url": "file:///etc/passwd", "request_host": "a.com"}}, 400, {"target_url": "Supported protocols are HTTP and HTTPS"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "request_path": "a"}}, 400, {"request_path": "should start with: / (fixed path) or ~/ (regex path)"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "request_host": "a.com", "strip_request_path": "x"}}, 400, {"strip_request_path": "strip_request_path is not a boolean"}),
        ("POST", "/apis", {"data": f"upstream_url={U}&request_host=a.com&preserve_host=x", "headers": FORM}, 400, {"preserve_host": "preserve_host is not a boolean"}),
        ("POST", "/apis", {"data": f"upstream_url={U}&request_host=a.com&retries=x", "headers": FORM}, 400, {"retries": "retries is not a number"}),
        ("POST", "/apis", {"data": f"upstream_url={U}&request_host=a.com&retries=99999999999999999999", "headers": FORM}, 400, {"retries": "value should be between 0 and 32767"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "request_host": "a.com", "garbage": 1}}, 400, {"garbage": "garbage is an unknown field"}),
        ("POST", "/apis", {"data": f"upstream_url={U}&request_host=a.com&a.b.c=d", "headers": FORM}, 400, {"a": "a is an unknown field"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "request_host": "a.com", "hosts": ["b.com"]}}, 400, {"request_host": "says something else than hosts"}),
        ("POST", "/apis", {"json": {"upstream_url": U, "request_host": "a.com", "id": "x"}}, 400, {"id": "expected a valid UUID"}),
        ("POST", "/apis", {"data": "{", "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/apis", {"data": "[]", "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/apis", {"data": "[" * 1000, "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/apis", {"data": '{"request_host":"a\\u0000b","upstream_url":"http://u.com"}', "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("POST", "/apis", {"data": b'{"request_host":"\xff"}', "headers": JSON}, 400, {"message": "Cannot parse JSON body"}),
        ("PATCH", "/apis/nobody", {"json": {"request_host": "a.com"}}, 404, NOT_FOUND),
        ("PATCH", "/apis/nobody", {"json": {}}, 400, {"message": "empty body"}),
        ("PATCH", "/apis/nobody", {}, 400, {"message": "empty body"}),
        ("GET", "/apis/nobody", {}, 404, NOT_FOUND),
        ("GET", f"/apis/{NOBODY}", {}, 404, NOT_FOUND),
        ("PUT", "/apis/a%20b", {"json": {"upstream_url": U, "request_host": "a.com"}}, 400, None),
        ("DELETE", "/apis/nobody", {}, 404, NOT_FOUND),
        ("GET", "/apis/nobody/plugins", {}, 404, NOT_FOUND),
        ("POST", "/apis/nobody/plugins", {"json": {"name": "ssl"}}, 404, NOT_FOUND),
        ("POST", "/apis/a b/plugins", {"json": {"name": "ssl"}}, 404, NOT_FOUND),
        ("GET", f"/apis/nobody/plugins/{NOBODY}", {}, 404, NOT_FOUND),
        ("POST", "/apis/known/plugins", {"json": {}}, 400, {"name": "name is required"}),
        ("POST", "/apis/known/plugins", {"json": {"name": 5}}, 400, {"name": "name is not a string"}),
        ("POST", "/apis/known/plugins", {"json": {"name": "nothing"}}, 400, {"name": "plugin 'nothing' not enabled; add it to the 'plugins' configuration property"}),
        ("POST", "/apis/known/plugins", {"json": {"name": "ssl"}}, 400, {"config.cert": "cert is required", "config.key": "key is required"}),
        ("POST", "/apis/known/plugins", {"json": {"name": "ssl", "config": 5}}, 400, {"config": "config is not a table"}),
        ("POST", "/apis/known/plugins", {"json": {"name": "ssl", "config": {"cert": "x", "key": "y"}}}, 400, {"config.cert": "Invalid SSL certificate", "config.key": "Invalid SSL certificate key"}),
        ("POST", "/apis/known/plugins", {"json": {"name": "ssl", "value": {"cert": "x", "key": "y"}}}, 400, {"config.cert": "Invalid SSL certificate", "config.key": "Invalid SSL certificate key"}),
        ("POST", "/apis/known/plugins", {"data": "name=ssl&config.cert=@/path/to/cert.pem&config.key=@/path/to/cert.key", "headers": FORM}, 400, {"config.cert": "Invalid SSL certificate", "config.key": "Invalid SSL certificate key"}),
        ("POST", "/apis/known/plugins", {"json": {"name": "ssl", "value": {}, "config": {"cert": "x", "key": "y"}}}, 400, None),
        ("PATCH", f"/apis/known/plugins/{NOBODY}", {"json": {"enabled": False}}, 404, NOT_FOUND),
        ("PATCH", f"/apis/known/plugins/{NOBODY}", {"json": {}}, 400, {"message": "empty body"}),
        ("GET", f"/apis/known/plugins/{NOBODY}", {}, 404, NOT_FOUND),
        ("GET", "/apis/known/plugins/a%20b", {}, 404, NOT_FOUND),
        ("DELETE", f"/apis/known/plugins/{NOBODY}", {}, 404, NOT_FOUND),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_bad_input(cp, method, path, kw, status, body):
    cp.put("/apis/known", json={"upstream_url": U, "request_host": "known.com"}).raise_for_status()
    before = [cp.get(f"/{kind}?size=1000").json() for kind in ("routes", "services", "plugins", "certificates", "snis")]
    r = marked(cp.request(method, path, **kw))
    assert r.status_code == status, r.text
    if body is not None:
        assert r.json() == body
    assert [cp.get(f"/{kind}?size=1000").json() for kind in ("routes", "services", "plugins", "certificates", "snis")] == before


@pytest.mark.parametrize("method,path", [("DELETE", "/apis"), ("PATCH", "/apis"), ("POST", "/apis/x"), ("PUT", "/apis/x/plugins/y"), ("PATCH", "/apis/x/plugins")])
def test_methods(cp, method, path):
    r = marked(cp.request(method, path, json={}))
    assert (r.status_code, r.json()) == (405, {"message": "Method not allowed"})
    assert cp.request(method, "/apis/%ff").status_code == 404


def test_names_are_taken(cp):
    api = new(cp)
    r = marked(cp.post("/apis", json={"name": api["name"], "upstream_url": U, "request_path": "/a"}))
    assert (r.status_code, r.json()) == (409, {"name": f"already exists with value '{api['name']}'"})
    r = cp.post("/apis", json={"id": api["id"], "name": name(), "upstream_url": U, "request_path": "/a"})
    assert (r.status_code, r.json()) == (409, {"id": f"already exists with value '{api['id']}'"})
    # Without a name the host is the name, so that the same call twice makes one api.
    host = name("h") + ".com"
    assert cp.post("/apis", json={"upstream_url": U, "request_host": host}).json()["name"] == host
    assert cp.post("/apis", json={"upstream_url": U, "request_host": host}).status_code == 409
    other = new(cp)
    assert cp.patch(f"/apis/{other['id']}", json={"name": api["name"]}).status_code == 409
    assert cp.get(f"/apis/{other['id']}").json() == other


def test_pair_becomes_certificate_and_sni(bare_cluster, cp):
    api = new(cp)
    plugin, _, cert, key = ssl_plugin(cp, api)
    assert plugin["api_id"] == api["id"] and plugin["enabled"] is True
    assert plugin["config"] == {"cert": cert, "key": key, "only_https": False, "accept_http_if_already_terminated": False}
    held = cp.get(f"/certificates/{api['request_host']}").json()
    assert (held["id"], held["cert"], held["key"], held["tags"], held["snis"]) == (plugin["id"], cert, key, ["legacy"], [api["request_host"]])
    at = f"/apis/{api['name']}/plugins"
    assert marked(cp.get(f"{at}/{plugin['id']}")).json() == plugin
    assert marked(cp.get(at)).json() == {"data": [plugin], "next": None, "total": 1}
    today = cp.get(f"/plugins/{plugin['id']}").json()
    assert (today["route"], today["config"]) == ({"id": api["id"]}, plugin["config"])
    assert [p["config"] for p in cp.get("/plugins?size=1000").json()["data"] if p["id"] == plugin["id"]] == [plugin["config"]]
    assert [p["config"] for p in cp.get(f"/routes/{api['id']}/plugins").json()["data"]] == [plugin["config"]]
    # Sealed at rest: neither table has the key.
    dump = subprocess.run(
        ["psql", bare_cluster.dsn, "-Atc", "SELECT config FROM plugins; SELECT key FROM certificates"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert "only_https" in dump and "PRIVATE" not in dump and "CERTIFICATE" not in dump


def test_pair_is_replaced_on_either_surface(cp):
    api = new(cp)
    plugin, _, cert, key = ssl_plugin(cp, api)
    _, cert2, key2 = pair(api["request_host"])
    at = f"/apis/{api['name']}/plugins/{plugin['id']}"
    r = cp.patch(at, data={"config.cert": cert2, "config.key": key2})
    assert r.status_code == 200 and (r.json()["config"]["cert"], r.json()["config"]["key"]) == (cert2, key2)
    assert cp.get(f"/certificates/{plugin['id']}").json()["cert"] == cert2
    _, cert3, key3 = pair(api["request_host"])
    assert cp.patch(f"/certificates/{plugin['id']}", json={"cert": cert3, "key": key3, "tags": ["mine"]}).status_code == 200
    assert cp.get(at).json()["config"]["cert"] == cert3
    r = cp.patch(at, json={"enabled": False})
    assert (r.json()["enabled"], r.json()["config"]["cert"], r.json()["config"]["key"]) == (False, cert3, key3)
    assert cp.get(f"/certificates/{plugin['id']}").json()["tags"] == ["mine"]
    for half in ({"cert": cert}, {"key": key}):
        r = cp.patch(at, json={"config": half})
        assert (r.status_code, r.json()) == (400, {"message": "certificate does not match key"})
    r = cp.put(f"/apis/{api['name']}/plugins", json={"id": plugin["id"], "name": "ssl", "config": {"cert": cert, "key": key}})
    assert r.status_code == 200 and r.json()["config"]["cert"] == cert
    held = cp.get(f"/certificates/{plugin['id']}").json()
    assert (held["cert"], held["snis"]) == (cert, [api["request_host"]])
    # Gone there, gone here: the plugin and what else it does stay.
    assert cp.delete(f"/certificates/{plugin['id']}").status_code == 204
    assert cp.get(at).json()["config"] == {"cert": None, "key": None, "only_https": False, "accept_http_if_already_terminated": False}
    r = cp.patch(at, json={"config": {"cert": cert, "key": key}})
    assert r.status_code == 200 and names_of(cp)[api["request_host"]] == plugin["id"]
    assert cp.patch(f"/plugins/{plugin['id']}", json={"config": {"cert": None, "key": None}}).status_code == 200
    assert plugin["id"] not in ids(cp, "certificates")


@pytest.mark.parametrize("way", ["/apis/{api}/plugins/{plugin}", "/plugins/{plugin}", "/routes/{api}/plugins/{plugin}", "/routes/{api}"])
def test_certificate_goes_with_its_plugin(cp, way):
    api = new(cp)
    plugin, *_ = ssl_plugin(cp, api)
    before = revision(cp.post("/consumers", json={"username": name("c")}))
    r = cp.delete(way.format(api=api["id"], plugin=plugin["id"]))
    assert r.status_code == 204 and revision(r) == before + 1
    assert plugin["id"] not in ids(cp, "plugins") | ids(cp, "certificates") and api["request_host"] not in names_of(cp)


def test_hosts_move_with_the_api(cp):
    api = new(cp, hosts=["m1.example.com", "m2.example.com:8443", "10.0.0.1", "*.m3.example.com"])
    plugin, *_ = ssl_plugin(cp, api)
    mine = lambda: sorted(n for n, c in names_of(cp).items() if c == plugin["id"])  # noqa: E731
    assert mine() == ["*.m3.example.com", "m1.example.com", "m2.example.com"]
    assert cp.delete("/snis/m2.example.com").status_code == 204
    cp.post("/snis", json={"name": "own.example.com", "certificate": {"id": plugin["id"]}}).raise_for_status()
    at = f"/apis/{api['id']}"
    # Names that an operator gave or took stay so.
    assert cp.patch(at, json={"hosts": ["m2.example.com", "m4.example.com"]}).status_code == 200
    assert mine() == ["m4.example.com", "own.example.com"]
    other = new(cp)
    ssl_plugin(cp, other)
    r = cp.patch(at, json={"hosts": ["m4.example.com", other["request_host"]]})
    assert r.status_code == 400 and other["request_host"] + " already associated" in r.json()["hosts"]
    assert mine() == ["m4.example.com", "own.example.com"] and cp.get(at).json()["hosts"] == ["m2.example.com", "m4.example.com"]
    assert cp.patch(at, json={"request_host": None, "request_path": "/m"}).status_code == 200
    assert mine() == ["own.example.com"]


def test_name_of_another_certificate_is_refused(cp):
    api = new(cp)
    _, cert, key = pair(api["request_host"])
    held = cp.post("/certificates", json={"cert": cert, "key": key, "snis": [api["request_host"].upper()]}).json()
    r = marked(cp.post(f"/apis/{api['name']}/plugins", json={"name": "ssl", "config": {"cert": cert, "key": key}}))
    text = f"{api['request_host'].upper()} already associated with existing certificate '{held['id']}'"
    assert (r.status_code, r.json()) == (400, {"config.cert": text})
    assert cp.get(f"/apis/{api['name']}/plugins").json()["data"] == []
    assert cp.get(f"/certificates/{held['id']}").json()["snis"] == [api["request_host"].upper()]


def test_only_https(cp):
    api = new(cp)
    at = f"/apis/{api['name']}"
    route = lambda: cp.get(f"/routes/{api['id']}").json()  # noqa: E731
    plugin, _, cert, key = ssl_plugin(cp, api, only_https=True, accept_http_if_already_terminated=True)
    assert (route()["protocols"], route()["https_redirect_status_code"]) == (["https"], 426)
    assert (cp.get(at).json()["https_only"], cp.get(at).json()["http_if_terminated"]) == (True, True)
    r = cp.patch(at, json={"https_only": False, "http_if_terminated": False})
    assert (r.json()["https_only"], r.json()["http_if_terminated"]) == (False, False)
    assert route()["protocols"] == ["http", "https"]
    config = cp.get(f"{at}/plugins/{plugin['id']}").json()["config"]
    assert config == {"cert": cert, "key": key, "only_https": False, "accept_http_if_already_terminated": False}
    assert cp.patch(f"{at}/plugins/{plugin['id']}", data={"config.only_https": "true"}).json()["config"]["only_https"] is True
    assert route()["protocols"] == ["https"] and cp.get(at).json()["https_only"] is True
    # What the plugin does not ask for is left alone.
    assert cp.patch(f"/routes/{api['id']}", json={"protocols": ["http", "https"]}).status_code == 200
    assert cp.patch(f"{at}/plugins/{plugin['id']}", json={"enabled": True}).status_code == 200
    assert route()["protocols"] == ["http", "https"]
    assert cp.delete(f"{at}/plugins/{plugin['id']}").status_code == 204
    assert route()["protocols"] == ["http", "https"] and cp.get(at).json()["https_only"] is False


def test_https_only_of_an_api(cp):
    api = new(cp, hosts=[name("h") + ".com"], https_only=True, http_if_terminated=True)
    assert (api["https_only"], api["http_if_terminated"]) == (True, True)
    assert cp.get(f"/routes/{api['id']}").json()["protocols"] == ["https"]
    [plugin] = cp.get(f"/apis/{api['id']}/plugins").json()["data"]
    assert plugin["config"] == {"cert": None, "key": None, "only_https": True, "accept_http_if_already_terminated": True}
    assert cp.patch(f"/routes/{api['id']}", json={"protocols": ["http", "https"]}).status_code == 200
    assert cp.delete(f"/plugins/{plugin['id']}").status_code == 204
    assert (cp.get(f"/apis/{api['id']}").json()["https_only"], cp.get(f"/apis/{api['id']}").json()["http_if_terminated"]) == (False, False)


def test_for_all_apis(cp):
    _, cert, key = pair("default.example.com")
    files = {"config.cert": ("c.pem", cert), "config.key": ("c.key", key)}
    r = marked(cp.post("/plugins", data={"name": "ssl"}, files=files))
    assert r.status_code == 201, r.text
    plugin = r.json()
    assert (plugin["route"], plugin["service"], plugin["config"]["cert"]) == (None, None, cert)
    assert names_of(cp)["*"] == plugin["id"]
    r = marked(cp.post("/plugins", data={"name": "ssl"}, files=files))
    assert r.status_code == 400 and "* already associated" in r.json()["message"]
    r = marked(cp.post("/plugins", data={"name": "ssl"}))
    assert r.status_code == 409 and r.json()["code"] == 5
    assert cp.delete(f"/plugins/{plugin['id']}").status_code == 204
    assert "*" not in names_of(cp)


def test_older_names_on_plugins(cp):
    api, consumer = new(cp), cp.post("/consumers", json={"username": name("c")}).json()
    _, cert, key = pair(api["request_host"])
    body = {"name": "ssl", "api_id": api["id"], "value": {"cert": cert, "key": key, "only_https": True}}
    r = marked(cp.post("/plugins", json={**body, "consumer_id": consumer["id"]}))
    assert r.status_code == 400 and r.json()["fields"] == {"consumer": "value must be null"}
    r = marked(cp.post(f"/apis/{api['id']}/plugins", json={**body, "consumer_id": consumer["id"]}))
    assert r.status_code == 400
    r = marked(cp.post("/plugins", json=body))
    assert r.status_code == 201 and (r.json()["api_id"], r.json()["config"]["only_https"]) == (api["id"], True)
    assert names_of(cp)[api["request_host"]] == r.json()["id"]
    assert cp.get(f"/routes/{api['id']}").json()["protocols"] == ["https"]
    r = marked(cp.patch(f"/plugins/{r.json()['id']}", data={"value.only_https": "false"}))
    assert r.status_code == 200 and r.json()["config"]["only_https"] is False
    r = marked(cp.post("/plugins", json={"name": "request-termination", "api_id": str(uuid.uuid4())}))
    assert r.status_code == 400 and r.json()["code"] == 4
    r = marked(cp.post(f"/apis/{api['id']}/plugins", json={"name": "request-termination", "config": {"status_code": 410}, "consumer_id": consumer["id"]}))
    assert r.status_code == 201 and r.json()["consumer_id"] == consumer["id"] and r.json()["config"]["status_code"] == 410
    r = marked(cp.post(f"/apis/{api['id']}/plugins", json={"name": "request-termination", "consumer_id": str(uuid.uuid4())}))
    assert r.status_code == 404
    r = marked(cp.post(f"/apis/{api['id']}/plugins", json={"name": "ssl", "config": {"cert": cert, "key": key}}))
    assert r.status_code == 400
    assert "Deprecation" not in cp.post("/plugins", json={"name": "request-termination"}).headers


def test_plugin_of_another_api(cp):
    one, two = new(cp), new(cp)
    plugin, *_ = ssl_plugin(cp, one)
    at = f"/apis/{two['name']}/plugins/{plugin['id']}"
    assert cp.get(at).json() == cp.patch(at, json={"enabled": False}).json() == cp.delete(at).json() == NOT_FOUND
    assert cp.get(f"/apis/{one['name']}/plugins/{plugin['id']}").json() == plugin


def test_service_scope(cp):
    service = cp.post("/services", json={"name": name("s"), "url": "http://x.com"}).json()
    hosts = [name("sv") + ".com" for _ in range(3)]
    for h in hosts:
        cp.post("/routes", json={"hosts": [h, hosts[0]], "service": {"id": service["id"]}}).raise_for_status()
    _, cert, key = pair(*hosts)
    r = marked(cp.post(f"/services/{service['name']}/plugins", json={"name": "ssl", "config": {"cert": cert, "key": key, "only_https": True}}))
    assert r.status_code == 201, r.text
    assert cp.get(f"/certificates/{r.json()['id']}").json()["snis"] == sorted(hosts)
    # Today's surface writes what it says and nothing else.
    assert all(x["protocols"] == ["http", "https"] for x in cp.get(f"/services/{service['id']}/routes").json()["data"])


def test_schema_and_root(cp):
    root = cp.get("/").json()
    assert "ssl" in root["configuration"]["plugins_available"] and root["plugins"]["available_on_server"]["ssl"]["priority"] == 3000
    assert "ssl" in cp.get("/plugins/enabled").json()["enabled_plugins"]
    fields = {k: v for f in cp.get("/plugins/schema/ssl").json()["fields"] for k, v in f.items()}
    assert fields["key"]["encrypted"] is True and fields["only_https"]["default"] is False
    r = cp.post("/schemas/plugins/validate", json={"name": "ssl", "config": {"cert": "x", "key": "y"}})
    assert r.status_code == 400 and r.json()["fields"]["config"]["cert"] == "invalid certificate: no PEM block"


def test_writers_in_each_others_way(cp):
    """Each field has a writer of its own, on either surface; none of them is lost, and every answer is one of the contract's."""
    api = new(cp, hosts=[name("race") + ".com"])
    plugin, *_ = ssl_plugin(cp, api)
    at = f"/apis/{api['id']}"
    writers = [
        lambda i: cp.patch(at, json={"retries": i}),
        lambda i: cp.patch(at, json={"upstream_read_timeout": i + 1}),
        lambda i: cp.patch(f"/routes/{api['id']}", json={"regex_priority": i}),
        lambda i: cp.patch(f"{at}/plugins/{plugin['id']}", json={"config": {"only_https": i % 2 == 0}}),
    ]

    def run(write):
        return [write(i) for i in range(20)]

    with concurrent.futures.ThreadPoolExecutor(len(writers)) as pool:
        answers = list(pool.map(run, writers))
    last = [max((i for i, r in enumerate(rs) if r.status_code == 200), default=None) for rs in answers]
    assert all(r.status_code in (200, 409) for rs in answers for r in rs), [r.text for rs in answers for r in rs if r.status_code not in (200, 409)]
    now, route = cp.get(at).json(), cp.get(f"/routes/{api['id']}").json()
    assert None not in last
    assert (now["retries"], now["upstream_read_timeout"], route["regex_priority"]) == (last[0], last[1] + 1, last[2])
    https = last[3] % 2 == 0
    assert now["https_only"] == https and route["protocols"] == (["https"] if https else ["http", "https"])


def test_same_name_at_once(cp):
    host = name("once") + ".com"
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: cp.put(f"/apis/{host}", json={"upstream_url": U, "request_host": host}), range(16)))
    assert {r.status_code for r in answers} <= {200, 201, 409} and sum(r.status_code == 201 for r in answers) == 1
    assert [a["name"] for a in cp.get(f"/apis?name={host}").json()["data"]] == [host]
    assert cp.get(f"/services/{host}").json()["id"] == cp.get(f"/routes/{host}").json()["id"]


def test_who_may_not_read_keys(bare_cluster):
    """Sees the certificate and null for the key, on either surface; the audit says who wrote what, without values."""
    guarded = bare_cluster.add_control_plane(admin_auth="required").start()
    made = subprocess.run([BUILD / "cardea-cp", "-c", guarded.config, "-A", "root"], capture_output=True, text=True, timeout=30, check=True)
    root = {"Authorization": f"Bearer {made.stdout.strip()}"}
    token = guarded.post("/admin/tokens", json={"name": "looker", "role": "reader"}, headers=root).json()["token"]
    looker = {"Authorization": f"Bearer {token}"}
    host = name("kept") + ".com"
    _, cert, key = pair(host)
    api = guarded.post("/apis", json={"upstream_url": U, "request_host": host}, headers=root).json()
    at = f"/apis/{api['id']}/plugins"
    r = guarded.post(at, json={"name": "ssl", "config": {"cert": cert, "key": key}}, headers=root)
    assert r.status_code == 201 and r.json()["config"]["key"] == key
    for path in (f"{at}/{r.json()['id']}", f"/plugins/{r.json()['id']}"):
        assert guarded.get(path, headers=root).json()["config"]["key"] == key
        config = guarded.get(path, headers=looker).json()["config"]
        assert (config["cert"], config["key"]) == (cert, None)
    for path in (at, f"/routes/{api['id']}/plugins", "/plugins?size=1000"):
        found = [p for p in guarded.get(path, headers=looker).json()["data"] if p["id"] == r.json()["id"]]
        assert (found[0]["config"]["cert"], found[0]["config"]["key"]) == (cert, None)
    assert guarded.get(f"/apis/{api['id']}", headers=looker).json() == api
    for method, path in (("POST", "/apis"), ("PATCH", f"/apis/{api['id']}"), ("DELETE", f"/apis/{api['id']}"), ("POST", at)):
        assert guarded.request(method, path, json={}, headers=looker).status_code == 403
    assert guarded.patch(f"/apis/{api['id']}", json={"target_url": "http://v.com"}, headers=root).status_code == 200
    assert guarded.delete(f"/apis/{api['id']}", headers=root).status_code == 204
    rows = guarded.get("/audit?size=1000", headers=root).json()
    seen = [(x["method"], x["path"], x["kind"], x["entity"], x["fields"]) for x in rows["data"] if x["actor"] == "root"]
    assert ("PATCH", f"/apis/{api['id']}", "apis", api["id"], ["target_url"]) in seen
    assert ("DELETE", f"/apis/{api['id']}", "apis", api["id"], None) in seen
    assert any(x[:3] == ("POST", at, "plugins") for x in seen)
    assert "PRIVATE" not in json.dumps(rows)


def test_names_that_no_client_can_ask_for(bare_cluster, cp):
    """They are taken as Kong takes them, and keep no data plane from anything."""
    for dp in bare_cluster.data_planes or [bare_cluster.add_data_plane().start()]:
        certificate, cert, key = pair("Upper.Example.COM")
        for names in (["Upper.Example.COM"], ["*glued.example.com"], ["12345"]):
            r = cp.post("/certificates", json={"cert": cert, "key": key, "snis": names}, headers={"Prefer": "wait=20"})
            assert r.status_code == 201 and r.json()["snis"] == names, r.text
        assert dp.peer_certificate("upper.example.com") == der(certificate)


def test_served(bare_cluster, cp):
    """What a script of 2015 uploads is what a client of the data plane sees, until the script takes it away."""
    dp = bare_cluster.add_data_plane().start()
    api = new(cp)
    _, first, _, _ = ssl_plugin(cp, api)
    wait_until(lambda: dp.peer_certificate(api["request_host"]) == der(first), what="the certificate of the plugin")
    r = cp.patch(f"/apis/{api['name']}", data={"request_host": "new." + api["request_host"]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 200
    assert dp.peer_certificate("new." + api["request_host"]) == der(first)
    r = cp.delete(f"/apis/{api['name']}", headers={"Prefer": "wait=20"})
    assert r.status_code == 204
