"""/openapi.json against OpenAPI's rules, and against what the server really answers."""

import itertools
import json
import re
import uuid

import jsonschema
import pytest

from pki import pair
from test_entities import make_ca

_names = itertools.count(1)
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def cp(bare_cluster):
    c = bare_cluster.add_control_plane().start()
    bare_cluster.add_data_plane().start()
    return c


@pytest.fixture(scope="module")
def document(cp):
    r = cp.get("/openapi.json")
    assert r.status_code == 200 and r.headers["Content-Type"] == "application/json; charset=utf-8"
    return json.loads(r.text, object_pairs_hook=no_duplicates)


def no_duplicates(pairs):
    assert len({k for k, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def name(prefix="n"):
    return f"{prefix}-{next(_names)}"


def walk(node, at="#"):
    yield at, node
    if isinstance(node, dict):
        for k, v in node.items():
            yield from walk(v, f"{at}/{k}")
    elif isinstance(node, list):
        for i, v in enumerate(node):
            yield from walk(v, f"{at}/{i}")


def lookup(document, ref):
    assert ref.startswith("#/"), ref
    node = document
    for part in ref[2:].split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def deref(document, node):
    while "$ref" in node:
        node = lookup(document, node["$ref"])
    return node


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


# --- the rules of OpenAPI 3.1 ---


def test_root(document):
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert set(document) <= {"openapi", "info", "servers", "paths", "components", "security", "tags"}
    assert {"title", "version"} <= set(document["info"])
    for kind, parts in document["components"].items():
        assert kind in {"schemas", "responses", "parameters", "headers", "securitySchemes"}
        for part in parts:
            assert re.fullmatch(r"[a-zA-Z0-9._-]+", part), part


def test_references_lead_somewhere_and_everything_is_used(document):
    used = {node["$ref"] for _, node in walk(document) if isinstance(node, dict) and "$ref" in node}
    assert len(used) > 50
    for ref in used:
        lookup(document, ref)
    for kind in ("schemas", "parameters", "headers"):
        for part in document["components"][kind]:
            if not part.endswith(".change") and part not in {"config", "check_hash"}:
                assert f"#/components/{kind}/{part}" in used or kind == "parameters", part


def test_schemas_are_json_schema(document):
    for part, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        for at, node in walk(schema, part):
            if isinstance(node, dict) and "default" in node and "type" in node:
                jsonschema.Draft202012Validator(node).validate(node["default"])
            if isinstance(node, dict) and "required" in node and "properties" in node:
                assert set(node["required"]) <= set(node["properties"]), at


def test_paths(document):
    shapes = [re.sub(r"\{[^}]+\}", "{}", p) for p in document["paths"]]
    assert len(set(shapes)) == len(shapes)
    for path in document["paths"]:
        assert path.startswith("/") and "//" not in path and ":" not in path, path
        assert set(document["paths"][path]) <= METHODS, path


def test_parameters(document):
    for path, method, o in operations(document):
        parameters = [deref(document, p) for p in o["parameters"]]
        keys = [(p["name"], p["in"]) for p in parameters]
        assert len(set(keys)) == len(keys), (path, method)
        assert {n for n, where in keys if where == "path"} == set(re.findall(r"\{([^}]+)\}", path)), (path, method)
        for p in parameters:
            assert p["in"] in {"path", "query", "header"} and "schema" in p
            assert p["in"] != "path" or p["required"] is True


def test_operations(document):
    ids = [o["operationId"] for _, _, o in operations(document)]
    assert len(set(ids)) == len(ids) > 100
    for path, method, o in operations(document):
        assert o["summary"] and o["x-cardea-role"] in {"reader", "operator", "admin"}
        assert any(re.fullmatch(r"2\d\d", s) for s in o["responses"]), (path, method)
        for status, response in o["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d|default", status)
            response = deref(document, response)
            assert response["description"] and set(response) <= {"description", "content", "headers"}
        if "requestBody" in o:
            assert method in {"post", "put", "patch"}
            forms = {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
            assert set(o["requestBody"]["content"]) == ({"application/x-ndjson"} if path == "/import" else forms)
    for scheme in document["components"]["securitySchemes"].values():
        assert scheme["type"] in {"http", "apiKey", "mutualTLS"}
    assert document["security"] == [{}]


def test_paths_are_those_of_endpoints(cp, document):
    listed = cp.get("/endpoints").json()["data"]
    assert set(listed) == set(document["paths"]) and len(listed) == len(set(listed))


def test_methods_are_those_of_options(cp, document):
    for path, item in document["paths"].items():
        r = cp.request("OPTIONS", re.sub(r"\{[^}]+\}", "x", path))
        allowed = {m.lower() for m in r.headers["Allow"].split(", ")} - {"head", "options"}
        assert allowed == set(item), path


# --- what the server answers ---


class Checked:
    """Requests whose bodies and answers must be as the document says."""

    def __init__(self, cp, document):
        self.cp, self.document, self.seen = cp, document, set()
        self.resolver = jsonschema.RefResolver("", document)

    def validate(self, schema, value):
        jsonschema.Draft202012Validator(schema, resolver=self.resolver, format_checker=jsonschema.FormatChecker()).validate(value)

    def match(self, path):
        """The template of a path; fixed segments win."""
        path = path.partition("?")[0]
        fits = [t for t in self.document["paths"] if re.fullmatch(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(t)), path)]
        assert fits, path
        return min(fits, key=lambda t: (t.count("{"), t))

    def __call__(self, method, path, json=None, status=None, body_valid=True, **kw):
        template = self.match(path)
        o = self.document["paths"][template][method]
        if json is not None:
            schema = o["requestBody"]["content"]["application/json"]["schema"]
            try:
                self.validate(schema, json)
                valid = True
            except jsonschema.ValidationError as e:
                assert not body_valid, (path, e.message)
                valid = False
            assert valid == body_valid, (path, json)
        r = self.cp.request(method.upper(), path, json=json, **kw)
        assert status is None or r.status_code == status, r.text
        self.seen.add((template, method))
        response = deref(self.document, o["responses"].get(str(r.status_code), o["responses"]["default"]))
        if "content" not in response:
            assert not r.text, (path, r.text)
        elif "application/json" in response["content"]:
            self.validate(response["content"]["application/json"]["schema"], r.json())
        for header in response.get("headers", {}):
            assert header in r.headers or header == "X-Cardea-Missing-Nodes", (path, header)
        return r


@pytest.fixture(scope="module")
def call(cp, document):
    return Checked(cp, document)


def entity_bodies():
    _, cert, key = pair(name("www") + ".example.com")
    _, cert_alt, key_alt = pair(name("www") + ".example.com", kind="rsa")
    return {
        "certificates": {"cert": cert, "key": key, "cert_alt": cert_alt, "key_alt": key_alt, "snis": [name("a") + ".com"], "tags": ["a"]},
        "ca_certificates": {"cert": make_ca()[0]},
        "services": {"name": name("s"), "host": "a.com", "port": 1, "retries": None, "tags": ["a", "b"]},
        "routes": {"name": name("r"), "paths": ["/a"], "headers": {"x": ["y"]}, "methods": ["GET"], "hosts": ["*.a.com"]},
        "upstreams": {"name": name("u"), "healthchecks": {"active": {"headers": {"x": ["y"]}, "healthy": {"interval": 1}}}},
        "consumers": {"username": name("c"), "custom_id": None},
        "plugins": {"name": "request-termination", "instance_name": name("p"), "config": {"status_code": 403}},
    }


def test_entities(call):
    for kind, body in entity_bodies().items():
        row = call("post", f"/{kind}", json=body, status=201).json()
        shown = deref(call.document, lookup(call.document, f"#/components/schemas/{row_name(kind)}"))
        assert set(row) == set(shown["properties"]) == set(shown["required"])
        key = row["id"]
        assert call("get", f"/{kind}/{key}", status=200).json() == row
        call("get", f"/{kind}?size=1&tags=a", status=200)
        call("patch", f"/{kind}/{key}", json={"tags": ["x", "y"]}, status=200)
        whole = {k: v for k, v in body.items() if k != "instance_name"}
        call("put", f"/{kind}/{key}", json=whole, status=200)
        call("delete", f"/{kind}/{key}", status=204)
        call("patch", f"/{kind}/{key}", json={}, status=404)
        call("get", f"/{kind}/{key}", status=404)


def row_name(kind):
    return {"snis": "sni", "ca_certificates": "ca_certificate"}.get(kind, kind[:-1])


def test_nested_and_reverse(call):
    bodies = entity_bodies()
    service = call("post", "/services", json=bodies["services"]).json()["id"]
    route = call("post", f"/services/{service}/routes", json=bodies["routes"], status=201).json()["id"]
    certificate = call("post", "/certificates", json=bodies["certificates"]).json()["id"]
    upstream = call("post", "/upstreams", json=bodies["upstreams"]).json()["id"]
    consumer = call("post", "/consumers", json=bodies["consumers"]).json()["id"]
    for parent in (f"/services/{service}", f"/routes/{route}", f"/consumers/{consumer}"):
        plugin = call("post", f"{parent}/plugins", json={"name": "request-termination"}, status=201).json()["id"]
        call("get", f"{parent}/plugins", status=200)
        call("get", f"{parent}/plugins/{plugin}", status=200)
        call("patch", f"{parent}/plugins/{plugin}", json={"config": {"echo": True}}, status=200)
    ca = call("post", "/ca_certificates", json=bodies["ca_certificates"]).json()["id"]
    for auth in ("mtls-auth", "header-cert-auth"):
        mapping = call("post", f"/consumers/{consumer}/{auth}", json={"subject_name": name("n"), "ca_certificate": {"id": ca}}, status=201).json()["id"]
        call("get", f"/consumers/{consumer}/{auth}", status=200)
        call("post", f"/{auth}s", json={"subject_name": name("n"), "consumer": {"id": consumer}}, status=201)
        call("get", f"/{auth}s", status=200)
        call("patch", f"/consumers/{consumer}/{auth}/{mapping}", json={"ca_certificate": None}, status=200)
        call("get", f"/{auth}s/{mapping}/consumer", status=200)
        call("put", f"/{auth}s/{mapping}", json={"subject_name": name("n"), "consumer": {"id": consumer}}, status=200)
        call("delete", f"/{auth}s/{mapping}", status=204)
    sni = call("post", f"/certificates/{certificate}/snis", json={"name": name("s") + ".com"}, status=201).json()["id"]
    call("get", "/snis", status=200)
    call("get", f"/snis/{sni}", status=200)
    call("put", f"/snis/{sni}", json={"name": name("s") + ".com", "certificate": {"id": certificate}}, status=200)
    call("delete", f"/certificates/{certificate}/snis/{sni}", status=204)
    target = call("post", f"/upstreams/{upstream}/targets", json={"target": "a.com:80"}, status=201).json()
    assert isinstance(target["created_at"], float)
    call("get", f"/upstreams/{upstream}/targets/{target['id']}", status=200)
    call("put", f"/upstreams/{upstream}/targets/{target['id']}", json={"target": "b.com:80", "weight": 0}, status=200)
    call("get", f"/upstreams/{upstream}/targets", status=200)
    call("get", f"/upstreams/{upstream}/targets/all", status=200)
    call("get", f"/upstreams/{upstream}/health", status=200)
    call("get", f"/upstreams/{upstream}/health?balancer_health=1", status=200)
    call("get", f"/routes/{route}/service", status=200)
    call("patch", f"/routes/{route}/service", json={"retries": 2}, status=200)
    call("get", f"/services/{service}/client_certificate", status=404)
    call("delete", f"/routes/{route}/service", status=405)
    call("put", f"/upstreams/{upstream}/client_certificate", json=entity_bodies()["certificates"], status=200)


def test_information(call):
    for path in (
        "/", "/status", "/status/ready", "/metrics", "/openapi.json", "/endpoints", "/tags", "/tags/a", "/plugins/enabled", "/schemas/plugins/request-termination",
        "/plugins/schema/request-termination", "/clustering/data-planes", "/clustering/status", "/audit", "/admin/tokens", "/debug/node/log-level",
    ):  # fmt: skip
        call("get", path, status=200)
    for kind in [*entity_bodies(), "snis", "targets", "tags"]:
        call("get", f"/schemas/{kind}", status=200)
    call("get", "/schemas/nobodies", status=404)
    call("get", "/schemas/vaults/env", status=404)
    call("post", "/schemas/services/validate", json={"host": "a.com"}, status=200)
    call("post", "/schemas/plugins/validate", json={}, status=400)
    call("get", "/acme/orders", status=200)
    call("get", "/acme/certificates", status=200)
    call("get", "/acme/certificates/a.com", status=404)
    call("post", "/acme", json={"host": "a.com"}, status=404)
    call("put", "/debug/node/log-level/debug", status=200)
    token = call("post", "/admin/tokens", json={"name": name("t"), "role": "reader"}, status=201).json()["id"]
    call("get", f"/admin/tokens/{token}", status=200)
    call("delete", f"/admin/tokens/{token}", status=204)


# What the schema refuses the server refuses too: with 400, and at the same field.
REFUSED = [
    ("/services", {}, "host"),
    ("/services", {"host": None}, "host"),
    ("/services", {"host": ""}, "host"),
    ("/services", {"host": 1}, "host"),
    ("/services", {"host": "a.com", "port": "80"}, "port"),
    ("/services", {"host": "a.com", "port": 65536}, "port"),
    ("/services", {"host": "a.com", "port": -1}, "port"),
    ("/services", {"host": "a.com", "port": 1.5}, "port"),
    ("/services", {"host": "a.com", "protocol": "ftp"}, "protocol"),
    ("/services", {"host": "a.com", "protocol": None}, "protocol"),
    ("/services", {"host": "a.com", "enabled": None}, "enabled"),
    ("/services", {"host": "a.com", "enabled": "true"}, "enabled"),
    ("/services", {"host": "a.com", "tags": "a"}, "tags"),
    ("/services", {"host": "a.com", "tags": [1]}, "tags"),
    ("/services", {"host": "a.com", "colour": "red"}, "colour"),
    ("/services", {"host": "a.com", "ca_certificates": [None]}, "ca_certificates"),
    ("/routes", {"paths": ["/a"], "protocols": []}, "protocols"),
    ("/routes", {"paths": ["/a"], "protocols": ["x"]}, "protocols"),
    ("/routes", {"paths": ["/a"], "headers": ["x"]}, "headers"),
    ("/routes", {"paths": ["/a"], "headers": {"x": "y"}}, "headers"),
    ("/routes", {"paths": ["/a"], "service": "s"}, "service"),
    ("/routes", {"paths": ["/a"], "path_handling": "v2"}, "path_handling"),
    ("/upstreams", {}, "name"),
    ("/upstreams", {"name": "u", "slots": 9}, "slots"),
    ("/upstreams", {"name": "u", "healthchecks": {"active": {"concurrency": 0}}}, "healthchecks"),
    ("/upstreams", {"name": "u", "healthchecks": {"passive": {"healthy": {"interval": 1}}}}, "healthchecks"),
    ("/upstreams", {"name": "u", "healthchecks": {"threshold": 101}}, "healthchecks"),
    ("/certificates", {"cert": "x"}, "key"),
    ("/certificates", {"cert": None, "key": None}, "cert"),
    ("/certificates", {"cert": "x", "key": "y", "snis": {"a": 1}}, "snis"),
    ("/ca_certificates", {}, "cert"),
    ("/snis", {"certificate": {"id": str(uuid.uuid4())}}, "name"),
    ("/consumers", {"username": ""}, "username"),
    ("/plugins", {}, "name"),
    ("/plugins", {"name": "request-termination", "config": {"status_code": 99}}, "config"),
    ("/plugins", {"name": "request-termination", "config": {"nobody": 1}}, "config"),
    ("/plugins", {"name": "request-termination", "config": None}, "config"),
]


@pytest.mark.parametrize("path,body,field", REFUSED, ids=[f"{p}-{i}" for i, (p, _, _) in enumerate(REFUSED)])
def test_what_the_schema_refuses_the_server_refuses(call, path, body, field):
    r = call("post", path, json=body, status=400, body_valid=False)
    assert field in r.json()["fields"], r.text


@pytest.mark.parametrize(
    "method,path,body,status",
    [
        ("post", "/services", {"name": "a b", "host": "a.com"}, 400),
        ("post", "/routes", {"paths": ["/a"], "service": {"id": "00000000-0000-4000-8000-000000000000"}}, 400),
        ("post", "/routes", {"paths": ["/a"], "service": {"name": "nobody"}}, 400),
        ("get", "/services?size=0", None, 400),
        ("get", "/services?offset=x", None, 400),
        ("get", "/services?tags=a,b/c", None, 400),
        ("get", "/ca_certificates/x", None, 400),
        ("get", "/upstreams/nobody/targets", None, 404),
        ("get", "/certificates/nobody.com", None, 404),
        ("get", "/admin/tokens/nobody", None, 404),
        ("get", "/audit?since=x", None, 400),
    ],
)
def test_errors_are_as_described(call, method, path, body, status):
    call(method, path, json=body, status=status)


def test_conflicts_and_bodies_of_no_type(call):
    body = {"name": name("twice"), "host": "a.com"}
    call("post", "/services", json=body, status=201)
    call("post", "/services", json=body, status=409)
    assert call("post", "/services", status=415, data="x", headers={"Content-Type": "text/plain"}).text == ""
    call("post", "/services", status=400, data="{", headers={"Content-Type": "application/json"})
    call("get", "/services", status=200, headers={"Prefer": "wait=5"})
    r = call("post", "/services", json={"name": name("w"), "host": "a.com"}, status=201, headers={"Prefer": "wait=20"})
    assert int(r.headers["X-Cardea-Revision"]) > 0


def test_most_of_the_document_was_seen(call):
    """The last test of the file: what no request above went through must stay little."""
    everything = {(p, m) for p, m, _ in operations(call.document)}
    unseen = {(p, m) for p, m in everything - call.seen if p.count("{") < 2 and not p.startswith(("/apis", "/config", "/import", "/acme"))}
    special = {(p, m) for p, m in unseen if "{" not in p or p.split("/")[1] in ("admin", "schemas", "tags", "debug")}
    assert special <= {("/status/ready", "post"), ("/debug/cluster/log-level/{level}", "put"), ("/debug/cluster/control-planes-nodes/log-level/{level}", "put")}, special
