"""Services, routes, upstreams, targets, consumers, plugins and authorities through the admin API: Kong's examples and what bad input gets."""

import datetime
import hashlib
import itertools
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from pki import make_cert, make_key, pair, pem

_names = itertools.count(1)


@pytest.fixture(scope="module")
def cp(bare_cluster):
    return bare_cluster.add_control_plane().start()


def name(prefix="n"):
    return f"{prefix}-{next(_names)}"


def new(cp, at, **body):
    r = cp.post(at, json=body)
    assert r.status_code == 201, r.text
    return r.json()


def service(cp, **body):
    return new(cp, "/services", **{"name": name("s"), "host": "example.com", **body})


def route(cp, **body):
    return new(cp, "/routes", **{"paths": ["/" + name()], **body})


def make_ca(ca=True, days=1):
    key = make_key()
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name("ca"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    cert = builder.sign(key, hashes.SHA256())
    return cert.public_bytes(serialization.Encoding.PEM).decode(), hashlib.sha256(cert.public_bytes(serialization.Encoding.DER)).hexdigest()


SERVICE = {
    "name": None, "retries": 5, "protocol": "http", "host": "example.com", "port": 80, "path": None, "connect_timeout": 60000,
    "write_timeout": 60000, "read_timeout": 60000, "client_certificate": None, "tls_verify": None, "tls_verify_depth": None,
    "ca_certificates": None, "enabled": True, "tags": None,
}  # fmt: skip
ROUTE = {
    "name": None, "protocols": ["http", "https"], "methods": None, "hosts": None, "paths": ["/a"], "headers": None, "snis": None,
    "sources": None, "destinations": None, "https_redirect_status_code": 426, "regex_priority": 0, "strip_path": True,
    "path_handling": "v0", "preserve_host": False, "request_buffering": True, "response_buffering": True, "service": None, "tags": None,
}  # fmt: skip
UPSTREAM = {
    "algorithm": "round-robin", "hash_on": "none", "hash_fallback": "none", "hash_on_header": None, "hash_fallback_header": None,
    "hash_on_cookie": None, "hash_on_cookie_path": "/", "hash_on_query_arg": None, "hash_fallback_query_arg": None,
    "hash_on_uri_capture": None, "hash_fallback_uri_capture": None, "slots": 10000, "host_header": None, "client_certificate": None,
    "use_srv_name": False, "tags": None,
    "healthchecks": {
        "threshold": 0, "panic": False,
        "active": {
            "type": "http", "timeout": 1, "concurrency": 10, "http_path": "/", "https_sni": None, "https_verify_certificate": True,
            "headers": None, "healthy": {"interval": 0, "successes": 0, "http_statuses": [200, 302]},
            "unhealthy": {"interval": 0, "http_statuses": [429, 404, 500, 501, 502, 503, 504, 505], "tcp_failures": 0, "timeouts": 0, "http_failures": 0},
        },
        "passive": {
            "type": "http",
            "healthy": {"successes": 0, "http_statuses": [*range(200, 209), 226, *range(300, 309)]},
            "unhealthy": {"http_statuses": [429, 500, 503], "tcp_failures": 0, "timeouts": 0, "http_failures": 0},
        },
    },
}  # fmt: skip


def without_common(body):
    assert uuid.UUID(body.pop("id")) and body.pop("created_at") and body.pop("updated_at")
    return body


@pytest.mark.parametrize(
    "path,sent,want",
    [
        ("/services", {"host": "example.com"}, SERVICE),
        ("/routes", {"paths": ["/a"]}, ROUTE),
        ("/upstreams", {"name": "defaults.upstream"}, {**UPSTREAM, "name": "defaults.upstream"}),
        ("/consumers", {"custom_id": "c-defaults"}, {"username": None, "custom_id": "c-defaults", "tags": None}),
        (
            "/plugins",
            {"name": "request-termination"},
            {
                "name": "request-termination", "instance_name": None, "route": None, "service": None, "consumer": None, "tags": None,
                "config": {"status_code": 503, "message": None, "content_type": None, "body": None, "echo": False, "trigger": None},
                "protocols": ["grpc", "grpcs", "http", "https"], "enabled": True,
            },
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_defaults(cp, path, sent, want):
    r = cp.post(path, json=sent)
    assert r.status_code == 201, r.text
    body = r.json()
    assert isinstance(body["created_at"], int)
    assert cp.get(f"{path}/{body['id']}").json() == body
    at = f"{path}/{body['id']}"
    assert without_common(body) == want
    assert cp.delete(at).status_code == 204


@pytest.mark.parametrize(
    "url,want",
    [
        ("http://example.com", ("http", "example.com", 80, None)),
        ("https://example.com/a/b?c=d", ("https", "example.com", 443, "/a/b")),
        ("https://example.com:8443/", ("https", "example.com", 8443, "/")),
        ("grpc://example.com:50051", ("grpc", "example.com", 50051, None)),
        ("example.com:443/x", ("https", "example.com", 443, "/x")),
        ("example.com", ("http", "example.com", 80, None)),
        ("http://[::1]:8080", ("http", "::1", 8080, None)),
    ],
)
def test_url_shorthand(cp, url, want):
    s = new(cp, "/services", url=url, port=1, path="/old")
    assert (s["protocol"], s["host"], s["port"], s["path"]) == want
    assert "url" not in s
    r = cp.patch(f"/services/{s['id']}", data={"url": "http://other.example.com:81/p"})
    assert r.status_code == 200, r.text
    assert (r.json()["host"], r.json()["port"], r.json()["path"]) == ("other.example.com", 81, "/p")


def test_patch_merges_records_and_replaces_lists(cp):
    u = new(cp, "/upstreams", name=name("u"), healthchecks={"active": {"healthy": {"interval": 5.5}}, "passive": {"unhealthy": {"http_statuses": [500]}}})
    assert u["healthchecks"]["active"]["healthy"] == {"interval": 5.5, "successes": 0, "http_statuses": [200, 302]}
    r = cp.patch(f"/upstreams/{u['name']}", json={"healthchecks": {"active": {"unhealthy": {"tcp_failures": 3}}}})
    assert r.status_code == 200, r.text
    h = r.json()["healthchecks"]
    assert h["active"]["unhealthy"]["tcp_failures"] == 3 and h["active"]["healthy"]["interval"] == 5.5
    assert h["passive"]["unhealthy"]["http_statuses"] == [500]
    r = cp.patch(f"/upstreams/{u['name']}", json={"healthchecks": {"active": {"unhealthy": {"http_statuses": []}}}})
    assert r.json()["healthchecks"]["active"]["unhealthy"]["http_statuses"] == []


@pytest.mark.parametrize(
    "sent,want",
    [
        ({"algorithm": "round-robin", "hash_on": "ip"}, ("consistent-hashing", "ip")),
        ({"hash_on": None}, ("round-robin", "none")),
        ({"algorithm": "least-connections", "hash_on": "ip"}, ("least-connections", "none")),
        ({"algorithm": "latency"}, ("latency", "none")),
        ({"algorithm": "least-connections", "hash_on": "none"}, ("least-connections", "none")),
    ],
)
def test_hash_on_and_algorithm(cp, sent, want):
    u = new(cp, "/upstreams", name=name("u"), **sent)
    assert (u["algorithm"], u["hash_on"]) == want


def refused():
    h, hp = {"host": "example.com"}, {"paths": ["/a"]}
    u = {"name": "u.example.com"}
    yield "/services", {}, "schema violation (host: required field missing)"
    yield "/services", {**h, "port": "80"}, "schema violation (port: expected an integer)"
    yield "/services", {**h, "port": 65536}, "schema violation (port: value should be between 0 and 65535)"
    yield "/services", {**h, "protocol": None}, "schema violation (protocol: required field missing)"
    yield "/services", {**h, "protocol": "ftp"}, "schema violation (protocol: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp)"
    yield "/services", {"host": "example.com:80"}, "schema violation (host: must not have a port)"
    yield "/services", {"host": "a b"}, "schema violation (host: invalid value: a b)"
    yield "/services", {"host": "1.2.3.400"}, "schema violation (host: invalid value: 1.2.3.400)"
    yield "/services", {**h, "name": "a b"}, "schema violation (name: invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, and ~)"
    yield "/services", {**h, "path": "a"}, "schema violation (path: should start with: /)"
    yield "/services", {**h, "path": "/a//b"}, "schema violation (path: must not have empty segments)"
    yield "/services", {**h, "path": "/%zz"}, "schema violation (path: invalid url-encoded value: '%zz')"
    yield "/services", {**h, "path": "/a b"}, "schema violation (path: invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found))"
    yield "/services", {**h, "retries": 32768}, "schema violation (retries: value should be between 0 and 32767)"
    yield "/services", {**h, "connect_timeout": 0}, "schema violation (connect_timeout: value should be between 1 and 2147483646)"
    yield "/services", {**h, "tls_verify": True}, "2 schema violations (failed conditional validation given value of field 'protocol'; tls_verify: value must be null)"
    yield "/services", {**h, "protocol": "tcp", "path": "/a"}, "2 schema violations (failed conditional validation given value of field 'protocol'; path: value must be null)"
    yield "/services", {**h, "ca_certificates": ["x"], "protocol": "https"}, "schema violation (ca_certificates.1: expected a valid UUID)"
    yield "/services", {**h, "tls_sans": {}}, "schema violation (tls_sans: unknown field)"
    yield "/services", {"url": ""}, "2 schema violations (host: required field missing; url: length must be at least 1)"
    yield "/services", {"url": "ftp://x"}, "schema violation (protocol: expected one of"
    yield "/services", {**h, "client_certificate": "x"}, "schema violation (client_certificate: expected a record)"
    yield "/services", {**h, "tags": ["a,b"]}, "schema violation (tags.1: invalid tag 'a,b'"
    yield "/services", {**h, "enabled": "true"}, "schema violation (enabled: expected a boolean)"
    yield "/routes", {}, "schema violation (must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https')"
    yield "/routes", {"protocols": ["http"]}, "schema violation (must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http')"
    yield "/routes", {"protocols": ["http"], "snis": ["a.com"], **hp}, "schema violation ('snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough')"
    yield "/routes", {"protocols": ["http", "tcp"], **hp}, "schema violation (protocols: these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp'))"
    yield "/routes", {"protocols": [], **hp}, "schema violation (protocols: length must be at least 1)"
    yield "/routes", {"protocols": ["tcp"]}, "schema violation (must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp')"
    yield "/routes", {"protocols": ["tcp"], "hosts": ["a.com"], "sources": [{"ip": "1.2.3.4"}]}, "schema violation (hosts: cannot set 'hosts' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp')"
    yield "/routes", {"protocols": ["tls_passthrough"]}, "schema violation (must set snis when 'protocols' is 'tls_passthrough')"
    yield "/routes", {"protocols": ["grpc"], "methods": ["GET"], **hp}, "schema violation (methods: cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs')"
    yield "/routes", {"protocols": ["grpc"], "strip_path": True, **hp}, "schema violation (strip_path: cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs')"
    yield "/routes", {"sources": [{"ip": "1.2.3.4"}], **hp}, "schema violation (sources: cannot set 'sources' when 'protocols' is 'http' or 'https')"
    yield "/routes", {"paths": ["a"]}, "schema violation (paths.1: should start with: / (fixed path) or ~/ (regex path))"
    yield "/routes", {"paths": ["/a", "~/(x"]}, "schema violation (paths.2: invalid regex: "
    yield "/routes", {"paths": ["/a/../b"]}, "schema violation (paths.1: non-normalized path, consider use '/b' instead)"
    yield "/routes", {"paths": ["/%61"]}, "schema violation (paths.1: non-normalized path, consider use '/a' instead)"
    yield "/routes", {"hosts": ["*.a.*"]}, "schema violation (hosts.1: invalid wildcard: must have at most one wildcard)"
    yield "/routes", {"hosts": ["a.*.com"]}, "schema violation (hosts.1: invalid wildcard: must be placed at leftmost or rightmost label)"
    yield "/routes", {"hosts": ["a b"]}, "schema violation (hosts.1: invalid value: a b)"
    yield "/routes", {"methods": ["get"]}, "schema violation (methods.1: invalid value: get)"
    yield "/routes", {"headers": {"Host": ["a"]}}, "schema violation (headers.Host: cannot contain 'host' header, which must be specified in the 'hosts' attribute)"
    yield "/routes", {"headers": {"a b": ["a"]}}, "schema violation (headers.a b: bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-')"
    yield "/routes", {"headers": {"x": [""]}}, "schema violation (headers.x.1: length must be at least 1)"
    yield "/routes", {"https_redirect_status_code": 300, **hp}, "schema violation (https_redirect_status_code: expected one of: 426, 301, 302, 307, 308)"
    yield "/routes", {"path_handling": "v2", **hp}, "schema violation (path_handling: expected one of: v0, v1)"
    yield "/routes", {"expression": "true", **hp}, "schema violation (expression: unknown field)"
    yield "/routes", {"protocols": ["tcp"], "sources": [{}]}, "at least one of these fields must be non-empty: 'ip', 'port'"
    yield "/routes", {"protocols": ["tcp"], "sources": [{"ip": "1.2.3.4/33"}]}, "invalid ip or cidr range: '1.2.3.4/33'"
    yield "/upstreams", {"name": "1.2.3.4"}, "schema violation (name: Invalid name ('1.2.3.4'); no ip addresses allowed)"
    yield "/upstreams", {"name": "a.com:80"}, "schema violation (name: Invalid name ('a.com:80'); no port allowed)"
    yield "/upstreams", {"name": "a b"}, "schema violation (name: Invalid name ('a b'); must be a valid hostname)"
    yield "/upstreams", {**u, "slots": 9}, "schema violation (slots: value should be between 10 and 65536)"
    yield "/upstreams", {**u, "hash_on": "header"}, "2 schema violations (failed conditional validation given value of field 'hash_on'; hash_on_header: required field missing)"
    yield "/upstreams", {**u, "hash_fallback": "ip"}, "2 schema violations (failed conditional validation given value of field 'hash_on'; hash_fallback: expected one of: none)"
    yield "/upstreams", {**u, "hash_on": "ip", "hash_fallback": "ip"}, "hash_fallback: expected one of: none, consumer, header, cookie, path, query_arg, uri_capture"
    yield "/upstreams", {**u, "hash_on": "header", "hash_fallback": "header", "hash_on_header": "x", "hash_fallback_header": "x"}, "schema violation (values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header')"
    yield "/upstreams", {**u, "healthchecks": {"passive": {"unhealthy": {"interval": 1}}}}, "schema violation (healthchecks.passive.unhealthy.interval: unknown field)"
    yield "/upstreams", {**u, "healthchecks": {"active": {"healthy": {"http_statuses": [99]}}}}, "schema violation (healthchecks.active.healthy.http_statuses.1: value should be between 100 and 999)"
    yield "/upstreams", {**u, "healthchecks": {"threshold": 101}}, "schema violation (healthchecks.threshold: value should be between 0 and 100)"
    yield "/upstreams", {**u, "host_header": "a.com:99999"}, "schema violation (host_header: invalid port number)"
    yield "/consumers", {}, "schema violation (at least one of these fields must be non-empty: 'custom_id', 'username')"
    yield "/plugins", {}, "schema violation (name: required field missing)"
    yield "/plugins", {"name": "nope", "config": 5}, "schema violation (name: plugin 'nope' not enabled; add it to the 'plugins' configuration property)"
    yield "/plugins", {"name": "request-termination", "config": {"garbage": 1}}, "schema violation (config.garbage: unknown field)"
    yield "/plugins", {"name": "request-termination", "config": {"status_code": 99}}, "schema violation (config.status_code: value should be between 100 and 599)"
    yield "/plugins", {"name": "request-termination", "config": {"message": "a", "body": "b"}}, "schema violation (config: message cannot be used with content_type or body)"
    yield "/plugins", {"name": "request-termination", "ordering": {}}, "schema violation (ordering: unknown field)"
    yield "/ca_certificates", {}, "schema violation (cert: required field missing)"
    yield "/ca_certificates", {"cert": "garbage"}, "invalid certificate"
    yield "/ca_certificates", {"cert": make_ca(ca=False)[0]}, 'schema violation (certificate does not appear to be a CA because it is missing the "CA" basic constraint)'
    yield "/ca_certificates", {"cert": make_ca(days=-1)[0]}, 'schema violation (certificate expired, "Not After" time is in the past)'
    yield "/ca_certificates", {"cert": make_ca()[0] + make_ca()[0]}, "schema violation (please submit only one certificate at a time)"


@pytest.mark.parametrize("path,body,text", list(refused()), ids=lambda v: v[:60] if isinstance(v, str) else "")
def test_refused(cp, path, body, text):
    r = cp.post(path, json=body)
    assert r.status_code == 400, r.text
    assert (r.json()["code"], r.json()["name"]) == (2, "schema violation")
    assert r.json()["message"].startswith(text) or text in r.json()["message"] and not text.startswith(("schema", "2 ")), r.text
    r = cp.post(f"/schemas{path}/validate", json=body)
    assert r.status_code == 400 and r.json()["code"] == 2, r.text


def test_violations_of_arrays_are_placed(cp):
    r = cp.post("/routes", json={"paths": ["/a", "b", "/c"]})
    assert r.json()["fields"] == {"paths": [None, "should start with: / (fixed path) or ~/ (regex path)"]}
    r = cp.post("/services", json={"host": "a.com", "tls_verify": True})
    assert r.json()["fields"] == {"@entity": ["failed conditional validation given value of field 'protocol'"], "tls_verify": "value must be null"}


@pytest.mark.parametrize(
    "data,want",
    [
        ({"hosts[]": "a.com", "paths[]": "/a", "methods[]": "GET"}, {"hosts": ["a.com"], "paths": ["/a"], "methods": ["GET"]}),
        ({"paths": "/a", "strip_path": "false", "regex_priority": "7"}, {"paths": ["/a"], "strip_path": False, "regex_priority": 7}),
        ({"headers[x-foo][]": "bar", "headers[x-foo][]2": "x"}, None),
        ({"headers[x-foo][]": "bar"}, {"headers": {"x-foo": ["bar"]}}),
        ({"headers.x-bar[1]": "b", "headers.x-bar[2]": "c"}, {"headers": {"x-bar": ["b", "c"]}}),
        ({"paths[2]": "/b", "paths[1]": "/a"}, {"paths": ["/a", "/b"]}),
        ({"paths[]": "/a", "name": ""}, {"name": None}),
        ({"protocols[]": "tcp", "sources[1].ip": "10.0.0.0/8", "sources[1].port": "80"}, {"sources": [{"ip": "10.0.0.0/8", "port": 80}]}),
    ],
)
def test_forms(cp, data, want):
    r = cp.post("/routes", data=data)
    if want is None:
        assert r.status_code == 400
        return
    assert r.status_code == 201, r.text
    assert {k: r.json()[k] for k in want} == want


def test_plugin_form_on_patch_is_coerced_by_its_plugin(cp):
    s = service(cp)
    p = new(cp, f"/services/{s['name']}/plugins", name="request-termination")
    assert p["service"] == {"id": s["id"]}
    r = cp.patch(f"/plugins/{p['id']}", data={"config.status_code": "404", "config.echo": "true"})
    assert r.status_code == 200, r.text
    assert (r.json()["config"]["status_code"], r.json()["config"]["echo"]) == (404, True)


def test_references(cp):
    s = service(cp)
    for ref in ({"id": s["id"]}, {"name": s["name"]}, {"id": s["id"], "name": "whatever", "host": 5}):
        assert route(cp, service=ref)["service"] == {"id": s["id"]}
    r = cp.post("/routes", data={"paths": "/a", "service.name": s["name"]})
    assert r.status_code == 201 and r.json()["service"] == {"id": s["id"]}
    r = cp.post("/routes", json={"paths": ["/a"], "service": {"name": "not-there"}})
    text = "the foreign key cannot be resolved with '{name=\"not-there\"}' for an existing 'services' entity"
    assert r.status_code == 400
    assert r.json() == {
        "code": 13,
        "name": "foreign keys unresolved",
        "message": f"foreign key unresolved (service.name: {text})",
        "fields": {"service": {"name": text}},
    }
    missing = str(uuid.uuid4())
    r = cp.post("/routes", json={"paths": ["/a"], "service": {"id": missing}})
    assert r.json() == {
        "code": 4,
        "name": "foreign key violation",
        "message": f"the foreign key '{{id=\"{missing}\"}}' does not reference an existing 'services' entity.",
        "fields": {"service": {"id": missing}},
    }
    for ref, message in (
        ({"id": "x"}, "schema violation (service.id: expected a valid UUID)"),
        ({}, "schema violation (service.id: missing primary key)"),
        ({"host": "x"}, "schema violation (service.id: missing primary key)"),
        ("text", "schema violation (service: expected a record)"),
    ):
        assert cp.post("/routes", json={"paths": ["/a"], "service": ref}).json()["message"] == message
    r = cp.post("/plugins", json={"name": "request-termination", "service": {"name": "x1"}, "consumer": {"username": "x2"}})
    assert r.json()["message"].startswith("2 foreign keys unresolved (") and set(r.json()["fields"]) == {"service", "consumer"}


def test_delete_of_what_is_referenced(cp):
    s = service(cp)
    r1 = route(cp, service={"id": s["id"]})
    p = new(cp, "/plugins", name="request-termination", service={"id": s["id"]})
    r = cp.delete(f"/services/{s['id']}")
    assert r.status_code == 400
    assert r.json() == {
        "code": 4,
        "name": "foreign key violation",
        "message": "an existing 'routes' entity references this 'services' entity",
        "fields": {"@referenced_by": "routes"},
    }
    assert cp.delete(f"/routes/{r1['id']}").status_code == 204
    assert cp.delete(f"/services/{s['id']}").status_code == 204
    assert cp.get(f"/plugins/{p['id']}").status_code == 404


def test_certificate_of_a_service_stays(cp):
    _, cert, key = pair("stay.example.com")
    c = new(cp, "/certificates", cert=cert, key=key, snis=["stay.example.com"])
    s = service(cp, protocol="https", client_certificate={"id": c["id"]})
    r = cp.delete(f"/certificates/{c['id']}")
    assert r.status_code == 400 and r.json()["message"] == "an existing 'services' entity references this 'certificates' entity"
    assert cp.get("/snis/stay.example.com").status_code == 200
    assert [x["id"] for x in cp.get(f"/certificates/{c['id']}/services").json()["data"]] == [s["id"]]
    assert cp.get(f"/services/{s['id']}/client_certificate").json()["id"] == c["id"]
    assert cp.get(f"/certificates/{c['id']}/services/{s['name']}").json()["id"] == s["id"]


NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("auth", ["mtls-auth", "header-cert-auth"])
def test_names_in_certificates(cp, auth):
    """Names in certificates that are a consumer's (kong-acme-hybrid.md 5.1, 5.2), on top and below the consumer."""
    kind = auth.replace("-", "_") + "_credentials"
    bob, eve = new(cp, "/consumers", username="cert-bob"), new(cp, "/consumers", username="cert-eve")
    ca = new(cp, "/ca_certificates", cert=make_ca()[0])
    ref = lambda e: {"id": e["id"]}
    one = new(cp, f"/consumers/cert-bob/{auth}", subject_name="a.example.com")
    assert set(one) == {"id", "created_at", "updated_at", "tags", "consumer", "subject_name", "ca_certificate"}
    assert one["consumer"] == ref(bob) and one["ca_certificate"] is None
    two = new(cp, f"/{auth}s", subject_name="a.example.com", ca_certificate=ref(ca), consumer={"username": "cert-eve"}, tags=["x"])
    assert two["consumer"] == ref(eve) and two["ca_certificate"] == ref(ca)
    three = new(cp, f"/consumers/{bob['id']}/{auth}s", subject_name="b.example.com")
    # The same name once for each authority, and once for none.
    for body in ({"consumer": ref(eve)}, {"consumer": ref(bob), "ca_certificate": ref(ca)}):
        r = cp.post(f"/{auth}s", json={"subject_name": "a.example.com", **body})
        assert r.status_code == 409 and r.json()["code"] == 5, r.text
    listed = lambda path: {e["id"] for e in cp.get(path).json()["data"]}
    assert listed(f"/{auth}s") >= {one["id"], two["id"], three["id"]}
    assert listed(f"/{auth}s?tags=x") == {two["id"]}
    assert listed(f"/consumers/cert-bob/{auth}") == {one["id"], three["id"]}
    page = cp.get(f"/consumers/cert-bob/{auth}?size=1").json()
    assert page["next"].startswith(f"/consumers/cert-bob/{auth}?offset=") and len(page["data"]) == 1
    assert cp.get(f"/consumers/cert-bob/{auth}/{one['id']}").json() == one == cp.get(f"/{auth}s/{one['id']}").json()
    assert cp.get(f"/consumers/cert-eve/{auth}/{one['id']}").status_code == 404
    assert cp.get(f"/{auth}s/{one['id']}/consumer").json()["username"] == "cert-bob"
    r = cp.patch(f"/consumers/cert-bob/{auth}/{three['id']}", json={"subject_name": "c.example.com", "ca_certificate": ref(ca)})
    assert r.status_code == 200 and r.json()["subject_name"] == "c.example.com" and r.json()["ca_certificate"] == ref(ca)
    r = cp.put(f"/consumers/cert-bob/{auth}/{uuid.uuid4()}", json={"subject_name": "d.example.com"})
    assert r.status_code == 200 and r.json()["consumer"] == ref(bob)
    assert cp.delete(f"/consumers/cert-bob/{auth}/{r.json()['id']}").status_code == 204
    assert cp.delete(f"/{auth}s/{one['id']}").status_code == 204 and cp.get(f"/{auth}s/{one['id']}").status_code == 404
    bad = [
        ({}, "2 schema violations (consumer: required field missing; subject_name: required field missing)"),
        ({"consumer": ref(bob), "subject_name": ""}, "schema violation (subject_name: length must be at least 1)"),
        ({"consumer": ref(bob), "subject_name": "a" * 513}, "schema violation (subject_name: length must be at most 512)"),
        ({"consumer": ref(bob), "subject_name": "e", "ca_certificate": {"id": "x"}}, "schema violation (ca_certificate.id: expected a valid UUID)"),
        ({"consumer": ref(bob), "subject_name": "e", "ca_certificate": {"id": NOBODY}}, "does not reference an existing 'ca_certificates' entity"),
        ({"consumer": {"id": NOBODY}, "subject_name": "e"}, "does not reference an existing 'consumers' entity"),
        ({"consumer": ref(bob), "subject_name": "e", "key": "x"}, "schema violation (key: unknown field)"),
    ]
    for body, message in bad:
        r = cp.post(f"/{auth}s", json=body)
        assert r.status_code == 400 and message in r.json()["message"], r.text
    assert cp.get(f"/{auth}").status_code == cp.get(f"/{kind}").status_code == 404
    assert {"tag": "x", "entity_name": kind, "entity_id": two["id"]} in cp.get("/tags/x").json()["data"]
    # With its authority, or its consumer, a mapping goes.
    assert cp.delete(f"/ca_certificates/{ca['id']}").status_code == 204
    assert cp.get(f"/{auth}s/{two['id']}").status_code == cp.get(f"/{auth}s/{three['id']}").status_code == 404
    four = new(cp, f"/consumers/cert-eve/{auth}", subject_name="a.example.com")
    assert cp.delete("/consumers/cert-eve").status_code == cp.delete("/consumers/cert-bob").status_code == 204
    assert cp.get(f"/{auth}s/{four['id']}").status_code == 404


def test_ca_certificates(cp):
    cert, digest = make_ca()
    ca = new(cp, "/ca_certificates", cert=cert, cert_digest="sent")
    assert (ca["cert"], ca["cert_digest"]) == (cert, digest)
    r = cp.post("/ca_certificates", json={"cert": cert})
    assert r.status_code == 409 and r.json()["message"] == f"UNIQUE violation detected on '{{cert_digest=\"{digest}\"}}'"
    s = service(cp, protocol="https", ca_certificates=[ca["id"]], tls_verify=True, tls_verify_depth=2)
    r = cp.delete(f"/ca_certificates/{ca['id']}")
    assert (r.status_code, r.json()["code"], r.json()["name"]) == (400, 19, "referenced by others")
    assert r.json()["message"] == f"ca certificate {ca['id']} is still referenced by services (id = {s['id']})"
    assert cp.patch(f"/services/{s['id']}", json={"ca_certificates": []}).json()["ca_certificates"] == []
    assert cp.delete(f"/ca_certificates/{ca['id']}").status_code == 204
    r = cp.get("/ca_certificates/some-name")
    assert r.status_code == 400
    assert r.json() == {
        "code": 1,
        "name": "invalid primary key",
        "message": "invalid primary key: '{id=\"expected a valid UUID\"}'",
        "fields": {"id": "expected a valid UUID"},
    }


def test_targets(cp):
    u = new(cp, "/upstreams", name=name("u"))
    at = f"/upstreams/{u['name']}/targets"
    t = new(cp, at, target="10.0.0.1")
    assert (t["target"], t["weight"], t["upstream"]) == ("10.0.0.1:8000", 100, {"id": u["id"]})
    assert isinstance(t["created_at"], float) and isinstance(t["updated_at"], float)
    text = cp.get(f"{at}/{t['id']}").text
    assert len(text.split('"created_at":')[1].split(",")[0].split(".")[1]) <= 3
    assert new(cp, at, target="[::1]:80")["target"] == "[0000:0000:0000:0000:0000:0000:0000:0001]:80"
    assert new(cp, at, target="::2")["target"] == "[0000:0000:0000:0000:0000:0000:0000:0002]:8000"
    new(cp, at, target="a.example.com:8080", weight=0)
    r = cp.post(at, json={"target": "10.0.0.1:8000"})
    assert r.status_code == 409, r.text
    assert r.json()["message"] == f"UNIQUE violation detected on '{{target=\"10.0.0.1:8000\",upstream={{id=\"{u['id']}\"}}}}'"
    assert r.json()["fields"] == {"target": "10.0.0.1:8000", "upstream": {"id": u["id"]}}
    data = cp.get(at).json()["data"]
    assert [x["created_at"] for x in data] == sorted((x["created_at"] for x in data), reverse=True)
    seen, url = [], at + "?size=1"
    while url:
        page = cp.get(url).json()
        seen += [x["id"] for x in page["data"]]
        url = page["next"] + "&size=1" if page["next"] else None
    assert seen == [x["id"] for x in data]
    other = new(cp, "/upstreams", name=name("u"))
    twin = new(cp, f"/upstreams/{other['id']}/targets", target="10.0.0.1")
    assert cp.get(f"/upstreams/{other['id']}/targets/10.0.0.1:8000").json()["id"] == twin["id"]
    assert cp.get(f"{at}/10.0.0.1:8000").json()["id"] == t["id"]
    assert cp.get(f"{at}/{twin['id']}").json() == {"message": "Not found"}
    r = cp.put(f"{at}/{t['id']}", json={"target": "10.0.0.9:1", "weight": 5})
    assert r.status_code == 200 and (r.json()["target"], r.json()["weight"], r.json()["created_at"]) == ("10.0.0.9:1", 5, t["created_at"])
    for verb in (cp.put, cp.patch, cp.delete, cp.get):
        r = verb(f"{at}/{uuid.uuid4()}", json={"target": "1.1.1.1"})
        assert r.status_code == 404 and r.json() == {"message": "Not found"}, r.text
    assert cp.put(at, json={}).status_code == 405
    assert cp.delete(f"{at}/10.0.0.9:1").status_code == 204
    assert cp.delete(f"{at}/10.0.0.9:1").status_code == 404
    for bad in ("a b", "1.2.3.4:99999", "[::1", "1.2.3.400", ""):
        r = cp.post(at, json={"target": bad})
        assert r.status_code == 400, r.text
    assert cp.post(at, json={"target": "a b"}).json()["message"] == "schema violation (target: Invalid target; not a valid hostname or ip address)"
    assert len(cp.get(at + "/all").json()["data"]) == 3
    health = cp.get(f"/upstreams/{u['id']}/health").json()
    assert {x["health"] for x in health["data"]} == {"HEALTHCHECKS_OFF"} and uuid.UUID(health["node_id"])
    assert cp.delete(f"/upstreams/{u['id']}").status_code == 204
    for path in ("/targets", f"/targets/{t['id']}", f"/targets/{t['id']}/upstream"):
        assert cp.get(path).json() == {"message": "Not found"}


def test_unique_keys(cp):
    s = service(cp)
    r = cp.post("/services", json={"name": s["name"], "host": "a.com"})
    assert r.status_code == 409
    assert r.json() == {
        "code": 5,
        "name": "unique constraint violation",
        "message": f"UNIQUE violation detected on '{{name=\"{s['name']}\"}}'",
        "fields": {"name": s["name"]},
    }
    r = cp.post("/services", json={"id": s["id"], "host": "a.com"})
    assert r.status_code == 400
    assert r.json() == {"code": 3, "name": "primary key violation", "message": f"primary key violation on key '{{id=\"{s['id']}\"}}'", "fields": {"id": s["id"]}}
    new(cp, "/services", host="a.com"), new(cp, "/services", host="a.com")
    p = new(cp, "/plugins", name="request-termination", service={"id": s["id"]})
    r = cp.post("/plugins", json={"name": "request-termination", "service": {"id": s["id"]}})
    assert r.status_code == 409
    assert r.json()["message"] == f"UNIQUE violation detected on '{{consumer=null,name=\"request-termination\",route=null,service={{id=\"{s['id']}\"}}}}'"
    assert r.json()["fields"] == {"consumer": None, "name": "request-termination", "route": None, "service": {"id": s["id"]}}
    assert cp.delete(f"/plugins/{p['id']}").status_code == 204


def test_names_in_paths(cp):
    r = cp.put("/upstreams/1.2.3.4", json={})
    assert r.status_code == 400
    assert r.json() == {"code": 10, "name": "invalid unique name", "message": "Invalid name ('1.2.3.4'); no ip addresses allowed"}
    s = name("s")
    r = cp.put(f"/services/{s}", json={"host": "a.com", "name": "other"})
    assert r.status_code == 200 and r.json()["name"] == s
    again = cp.put(f"/services/{s}", json={"host": "b.com"})
    assert again.status_code == 200 and again.json()["id"] == r.json()["id"]
    r = cp.patch("/services/not-there", json={})
    assert r.status_code == 404
    assert r.json() == {
        "code": 6,
        "name": "not found",
        "message": "could not find the entity with '{name=\"not-there\"}'",
        "fields": {"name": "not-there"},
    }
    missing = str(uuid.uuid4())
    r = cp.patch(f"/services/{missing}", json={})
    assert r.json()["message"] == f"could not find the entity with primary key '{{id=\"{missing}\"}}'" and r.json()["fields"] == {"id": missing}
    assert cp.get(f"/services/{missing}").json() == {"message": "Not found"}
    assert cp.delete(f"/services/{missing}").status_code == 204
    r = cp.patch(f"/plugins/{missing}", json={"enabled": False})
    assert r.status_code == 404 and r.json() == {"message": "Not found"}
    assert cp.patch(f"/consumers/{new(cp, '/consumers', username=name())['id']}", json={"username": None}).json()["message"] == (
        "schema violation (when updating, at least one of these fields must be non-empty: 'custom_id', 'username')"
    )


def test_nested_paths(cp):
    s, other = service(cp), service(cp)
    r = cp.post(f"/services/{s['name']}/routes", json={"paths": ["/x"], "service": {"id": other["id"]}, "name": name("r")})
    assert r.status_code == 201 and r.json()["service"] == {"id": s["id"]}
    at = r.json()["name"]
    assert cp.get(f"/services/{other['name']}/routes/{at}").json() == {"message": "Not found"}
    assert cp.delete(f"/services/{other['name']}/routes/{at}").status_code == 404
    assert cp.patch(f"/services/{other['name']}/routes/{at}", json={}).json() == {"message": "Not found"}
    r = cp.put(f"/services/{other['name']}/routes/{at}", json={"paths": ["/y"]})
    assert r.status_code == 200 and r.json()["service"] == {"id": other["id"]}
    assert [x["name"] for x in cp.get(f"/services/{other['id']}/routes").json()["data"]] == [at]
    assert cp.get(f"/services/{uuid.uuid4()}/routes").status_code == 404
    assert cp.get(f"/routes/{at}/service").json() == cp.get(f"/services/{other['id']}").json()
    r = cp.patch(f"/routes/{at}/service", json={"retries": 9})
    assert r.status_code == 200 and (r.json()["id"], r.json()["retries"]) == (other["id"], 9)
    r = cp.put(f"/routes/{at}/service", json={"host": "replaced.com"})
    assert r.status_code == 200 and (r.json()["id"], r.json()["host"]) == (other["id"], "replaced.com")
    assert cp.delete(f"/routes/{at}/service").status_code == 405
    assert cp.delete(f"/services/{other['id']}/routes/{at}").status_code == 204
    assert cp.delete(f"/services/{other['id']}/routes/{at}").status_code == 404


def test_reference_that_is_unset(cp):
    r = route(cp, name=name("r"))
    at = f"/routes/{r['name']}/service"
    for verb in (cp.get, cp.patch, cp.delete):
        assert verb(at, json={}).status_code == 404
    made = cp.put(at, json={"host": "made.example.com"})
    assert made.status_code == 200, made.text
    assert cp.get(f"/routes/{r['id']}").json()["service"] == {"id": made.json()["id"]}
    s = service(cp)
    _, cert, key = pair("link.example.com")
    refused = cp.put(f"/services/{s['id']}/client_certificate", json={"cert": cert, "key": key})
    assert refused.status_code == 400 and "client_certificate: value must be null" in refused.json()["message"]
    for path in ("/snis/x.com/certificate", "/routes/x/nothing", "/routes/x/service/y"):
        assert cp.get(path).json() == {"message": "Not found"}
    assert cp.get("/routes/not-there/service").status_code == 404


def test_plugin_protocols(cp):
    s = service(cp)
    tcp = route(cp, protocols=["tcp"], paths=None, sources=[{"ip": "10.0.0.1"}], service={"id": s["id"]})
    r = cp.post("/plugins", json={"name": "request-termination", "route": {"id": tcp["id"]}})
    assert r.status_code == 400 and r.json()["message"] == "schema violation (protocols: must match the associated route's protocols)"
    r = cp.post(f"/services/{s['id']}/plugins", json={"name": "request-termination"})
    assert r.json()["message"] == "schema violation (protocols: must match the protocols of at least one route pointing to this Plugin's service)"
    route(cp, service={"id": s["id"]})
    assert cp.post(f"/services/{s['id']}/plugins", json={"name": "request-termination"}).status_code == 201


def test_consumers_by_custom_id(cp):
    c = new(cp, "/consumers", username=name(), custom_id=name("id"))
    assert cp.get(f"/consumers?custom_id={c['custom_id']}").json() == {"data": [c], "next": None}
    assert cp.get("/consumers?custom_id=none").json() == {"data": [], "next": None}
    assert cp.get(f"/consumers/{c['username']}").json() == c


def test_tags(cp):
    tag = name("tag")
    s = service(cp, tags=[tag, "é x"])
    r = route(cp, tags=[tag])
    data = cp.get(f"/tags/{tag}").json()["data"]
    assert sorted((x["entity_name"], x["entity_id"], x["tag"]) for x in data) == [("routes", r["id"], tag), ("services", s["id"], tag)]
    assert cp.get("/tags/%C3%A9%20x").json()["data"] == [{"tag": "é x", "entity_name": "services", "entity_id": s["id"]}]
    assert cp.get("/tags/%ff").status_code == 404
    assert cp.get("/tags/none").json() == {"data": [], "next": None}
    seen, url = [], "/tags?size=1"
    while url:
        page = cp.get(url).json()
        seen += [(x["tag"], x["entity_name"], x["entity_id"]) for x in page["data"]]
        url = page["next"]
    assert len(seen) == len(set(seen)) == 3 and set(seen) >= {(tag, "routes", r["id"]), (tag, "services", s["id"])}
    assert [x["id"] for x in cp.get(f"/services?tags={tag}&size=1").json()["data"]] == [s["id"]]
    for query, why in (("a,b/c", "invalid filter syntax"), ("", "cannot be null"), ("a,b,c,d,e,f", "cannot query more than 5 tags")):
        r = cp.get(f"/services?tags={query}")
        assert r.status_code == 400
        assert r.json() == {"code": 11, "name": "invalid options", "message": f"invalid option (tags: {why})", "options": {"tags": why}}


def defaults_of(fields):
    """As decK reads them: defaults, and those of records."""
    out = {}
    for one in fields:
        (key, f), = one.items()
        value = f.get("default")
        if f["type"] == "record":
            value = defaults_of(f["fields"])
        out[key] = value
    return out


@pytest.mark.parametrize("entity,want", [("services", SERVICE), ("routes", ROUTE), ("upstreams", UPSTREAM)])
def test_schemas_say_the_defaults(cp, entity, want):
    schema = cp.get(f"/schemas/{entity}").json()
    got = defaults_of(schema["fields"])
    for key in ("host", "paths", "name"):
        got.pop(key, None)
    assert {k: v for k, v in got.items() if k in want} == {k: v for k, v in want.items() if k in got}
    assert set(got) == set(want) - {"host", "paths", "name"} | {"id", "created_at", "updated_at"}


def test_schemas(cp):
    assert {next(iter(f)) for f in cp.get("/schemas/targets").json()["fields"]} == {"id", "created_at", "updated_at", "tags", "target", "weight", "upstream"}
    fields = {k: v for f in cp.get("/schemas/routes").json()["fields"] for k, v in f.items()}
    assert fields["service"] == {"type": "foreign", "reference": "services"}
    assert fields["id"] == {"type": "string", "uuid": True, "auto": True}
    assert fields["headers"]["keys"]["type"] == "string" and fields["headers"]["values"]["elements"]["type"] == "string"
    assert fields["protocols"]["elements"]["one_of"] and fields["protocols"]["required"] is True
    plugin = {k: v for f in cp.get("/schemas/plugins/request-termination").json()["fields"] for k, v in f.items()}
    assert plugin["protocols"]["default"] == ["grpc", "grpcs", "http", "https"]
    assert defaults_of(plugin["config"]["fields"])["status_code"] == 503 and plugin["config"]["required"] is True
    assert cp.get("/plugins/schema/request-termination").json()["fields"] == plugin["config"]["fields"]
    assert cp.get("/plugins/enabled").json() == {
        "enabled_plugins": ["request-termination", "request-size-limiting", "acme", "ssl", "mtls-auth", "header-cert-auth", "tls-handshake-modifier", "tls-metadata-headers"]
    }
    for path, message in (
        ("/schemas/nope", "No entity named 'nope'"),
        ("/schemas/acme_challenges", "No entity named 'acme_challenges'"),
        ("/schemas/plugins/nope", "No plugin named 'nope'"),
        ("/schemas/vaults/env", "No vault named 'env'"),
    ):
        r = cp.get(path)
        assert r.status_code == 404 and r.json() == {"message": message}
    for entity in ("certificates", "snis", "ca_certificates", "consumers", "mtls_auth_credentials", "header_cert_auth_credentials", "plugins"):
        assert cp.get(f"/schemas/{entity}").status_code == 200


def test_validation_without_a_write(cp):
    before = len(cp.get("/services?size=1000").json()["data"])
    r = cp.post("/schemas/services/validate", json={"host": "a.com", "name": "validated"})
    assert r.status_code == 200 and r.json() == {"message": "schema validation successful"}
    assert cp.post("/schemas/routes/validate", json={"paths": ["/a"], "service": {"id": str(uuid.uuid4())}}).status_code == 200
    _, cert, key = pair("v.example.com")
    assert cp.post("/schemas/certificates/validate", json={"cert": cert, "key": key, "snis": ["v.example.com"]}).status_code == 200
    r = cp.post("/schemas/plugins/validate", json={})
    assert r.status_code == 400 and r.json()["message"] == "schema violation (name: required field missing)"
    assert cp.post("/schemas/nope/validate", json={}).status_code == 404
    assert cp.post("/schemas/services/validate", data={"host": "a.com", "port": "81"}).status_code == 200
    assert len(cp.get("/services?size=1000").json()["data"]) == before


@pytest.mark.parametrize(
    "query,body",
    [
        ("size=x", {"code": 9, "name": "invalid size", "message": "size must be a number"}),
        ("size=0", {"code": 9, "name": "invalid size", "message": "size must be an integer between 1 and 1000"}),
        ("size=1001", {"code": 9, "name": "invalid size", "message": "size must be an integer between 1 and 1000"}),
        ("size=1.5", {"code": 9, "name": "invalid size", "message": "size must be an integer between 1 and 1000"}),
        ("size=-1", {"code": 9, "name": "invalid size", "message": "size must be an integer between 1 and 1000"}),
        ("offset=x", {"code": 7, "name": "invalid offset", "message": "'x' is not a valid offset: bad base64 encoding"}),
        ("offset=eHh4", {"code": 7, "name": "invalid offset", "message": "'eHh4' is not a valid offset: bad json encoding"}),
        ("offset=WyJ4Il0", {"code": 7, "name": "invalid offset", "message": "'WyJ4Il0' is not a valid offset: bad json encoding"}),
    ],
)
@pytest.mark.parametrize("path", ["/services", "/certificates", "/tags"])
def test_bad_pages(cp, path, query, body):
    r = cp.get(f"{path}?{query}")
    assert r.status_code == 400 and r.json() == body


def test_hostile_bodies(cp):
    deep = {"a": None}
    for _ in range(40):
        deep = {"a": deep}
    for body in (
        {"host": "a.com", "tags": [f"t{i}" for i in range(10000)]},
        {"paths": [f"/{i}" for i in range(20000)]},
    ):
        path = "/services" if "host" in body else "/routes"
        assert cp.post(path, json=body).status_code == 201
    for path, body in (
        ("/services", {"host": deep}),
        ("/services", deep),
        ("/services", {"host": ["a"], "port": {}, "tags": {"a": 1}, "client_certificate": [], "name": True}),
        ("/services", {"host": "a.com", "port": 10**18}),
        ("/upstreams", {"name": "x.com", "healthchecks": []}),
        ("/upstreams", {"name": "x.com", "healthchecks": {"active": deep}}),
        ("/upstreams", {"name": "x.com", "slots": 1e300}),
        ("/routes", {"protocols": ["tcp"], "sources": [{"port": i % 70000} for i in range(100000)]}),
        ("/plugins", {"name": ["request-termination"]}),
        ("/plugins", {"name": "request-termination", "config": []}),
        ("/ca_certificates", {"cert": "-----BEGIN CERTIFICATE-----\n" + "A" * 1000000}),
    ):
        r = cp.post(path, json=body)
        assert r.status_code == 400 and r.json()["code"] == 2, r.text[:500]
    assert cp.get("/status").status_code == 200


def test_data_planes_are_not_sent_what_they_do_not_know(cp):
    service(cp)
    assert "cannot be sent to data planes" not in cp.process.log()
