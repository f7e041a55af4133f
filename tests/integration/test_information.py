"""What the admin API says of itself: /, /endpoints, /schemas, health, log levels."""

import itertools

import pytest

from harness import wait_until

_names = itertools.count(1)


@pytest.fixture(scope="module")
def planes(bare_cluster):
    """Two control planes of one database."""
    return [bare_cluster.add_control_plane(log_level="notice").start() for _ in range(2)]


@pytest.fixture(scope="module")
def cp(planes):
    return planes[0]


def name(prefix="n"):
    return f"{prefix}-{next(_names)}"


# --- / ---


def test_root(cp):
    r = cp.get("/").json()
    assert r["version"].startswith("3.9.") and r["configuration"]["database"] == "postgres" and r["configuration"]["router_flavor"] == "traditional_compatible"
    available = r["plugins"]["available_on_server"]
    assert set(available) == set(cp.get("/plugins/enabled").json()["enabled_plugins"]) == set(r["configuration"]["loaded_plugins"])
    for p in available.values():
        assert isinstance(p["priority"], int) and p["version"]
    assert isinstance(r["configuration"]["pg_port"], int) and isinstance(r["configuration"]["audit_log"], bool) and r["configuration"]["pg_dsn"] == "******"


def test_enabled_in_cluster_are_the_plugins_in_use(cp):
    used = lambda: cp.get("/").json()["plugins"]["enabled_in_cluster"]
    assert used() == []
    service = cp.post("/services", json={"host": "a.com"}).json()["id"]
    ids = [cp.post(at, json={"name": "request-termination"}).json()["id"] for at in ("/plugins", f"/services/{service}/plugins")]
    assert used() == ["request-termination"]
    for i in ids:
        cp.delete(f"/plugins/{i}")
    assert used() == []


@pytest.mark.parametrize("method,path,status", [("POST", "/", 405), ("POST", "/endpoints", 405), ("POST", "/openapi.json", 405), ("HEAD", "/", 200), ("HEAD", "/openapi.json", 200), ("GET", "/openapi.yaml", 404)])
def test_methods(cp, method, path, status):
    assert cp.request(method, path).status_code == status


# --- /endpoints ---


def test_endpoints_are_sorted_by_segment_and_exist(cp):
    listed = cp.get("/endpoints").json()
    paths = listed["data"]
    assert set(listed) == {"data"} and paths == sorted(paths, key=lambda p: p.replace("/", "\x01"))
    assert {"/", "/status", "/services/{services}/routes/{routes}", "/routes/{routes}/service", "/upstreams/{upstream}/health"} <= set(paths)
    assert not {"/targets", "/snis/{snis}/certificate", "/acme_challenges"} & set(paths)


# --- /schemas ---


def fields(schema):
    return {k: v for f in schema["fields"] for k, v in f.items()}


def test_schema_of_tags(cp):
    got = fields(cp.get("/schemas/tags").json())
    assert list(got) == ["tag", "entity_name", "entity_id"] and got["tag"]["required"] and got["entity_id"]["uuid"]


@pytest.mark.parametrize(
    "entity,check",
    [
        ("services", {"conditional": {"if_field": "protocol", "if_match": {"one_of": ["tcp", "tls", "udp", "grpc", "grpcs"]}, "then_field": "path", "then_match": {"eq": None}}}),
        ("services", {"conditional": {"if_field": "protocol", "if_match": {"not_one_of": ["https", "tls"]}, "then_field": "tls_verify", "then_match": {"eq": None}}}),
        ("upstreams", {"conditional": {"if_field": "hash_on", "if_match": {"one_of": ["header"]}, "then_field": "hash_on_header", "then_match": {"required": True}}}),
        ("upstreams", {"conditional": {"if_field": "hash_on", "if_match": {"one_of": ["none"]}, "then_field": "hash_fallback", "then_match": {"one_of": ["none"]}}}),
        ("consumers", {"at_least_one_of": ["custom_id", "username"]}),
        ("certificates", {"mutually_required": ["cert_alt", "key_alt"]}),
    ],
)
def test_entity_checks(cp, entity, check):
    assert check in cp.get(f"/schemas/{entity}").json()["entity_checks"]


@pytest.mark.parametrize("entity", ["nobodies", "acme_challenges", "tag", "", "services/x"])
def test_schemas_of_nothing(cp, entity):
    assert cp.get(f"/schemas/{entity}").status_code == 404
    assert cp.post(f"/schemas/{entity}/validate", json={}).status_code == 404


# --- health ---


def test_health_of_targets_and_of_the_upstream(cp):
    upstream = cp.post("/upstreams", json={"name": name("u")}).json()
    at = f"/upstreams/{upstream['name']}"
    for target, weight in (("a.com:81", 10), ("1.2.3.4", 0), ("[::1]:82", 5)):
        assert cp.post(f"{at}/targets", json={"target": target, "weight": weight}).status_code == 201
    page = cp.get(f"{at}/health").json()
    assert {(t["data"]["host"], t["data"]["port"], t["data"]["weight"]["total"]) for t in page["data"]} == {("a.com", 81, 10), ("1.2.3.4", 8000, 0), ("[0000:0000:0000:0000:0000:0000:0000:0001]", 82, 5)}
    assert {t["health"] for t in page["data"]} == {"HEALTHCHECKS_OFF"} and "offset" not in page
    whole = cp.get(f"{at}/health?balancer_health=1").json()
    assert whole["node_id"] == page["node_id"] == cp.get("/").json()["node_id"] and whole["next"] is None
    data = whole["data"]
    assert (data["id"], data["health"], data["details"]["healthy"]) == (upstream["id"], "HEALTHCHECKS_OFF", True)
    assert data["details"]["weight"] == {"total": 15, "available": 15, "unavailable": 0} and len(data["details"]["hosts"]) == 3


@pytest.mark.parametrize("query", ["", "?balancer_health=1"])
def test_health_of_nothing(cp, query):
    assert cp.get(f"/upstreams/nobody/health{query}").status_code == 404
    assert cp.post(f"/upstreams/nobody/health{query}", json={}).status_code == 405


@pytest.mark.parametrize("value", ["0", "2", "true", ""])
def test_other_values_of_balancer_health_show_targets(cp, value):
    upstream = cp.post("/upstreams", json={"name": name("u")}).json()["id"]
    assert cp.get(f"/upstreams/{upstream}/health?balancer_health={value}").json()["data"] == []


# --- log levels ---


def level(plane):
    return plane.get("/debug/node/log-level").json()["message"].removeprefix("log level: ")


def test_level_of_one(planes):
    a, b = planes
    assert level(a) == level(b) == "notice"
    assert a.put("/debug/node/log-level/debug?timeout=0").json() == {"message": "log level changed"}
    assert (level(a), level(b)) == ("debug", "notice")
    assert a.put("/debug/node/log-level/debug").json() == {"message": "log level is already debug"}
    assert a.put("/debug/node/log-level/notice", data={"timeout": "0"}).status_code == 200 and level(a) == "notice"


def test_level_comes_back(cp):
    assert cp.put("/debug/node/log-level/error?timeout=1").status_code == 200 and level(cp) == "error"
    wait_until(lambda: level(cp) == "notice", what="the level is as before")


@pytest.mark.parametrize("path", ["/debug/cluster/log-level", "/debug/cluster/control-planes-nodes/log-level"])
def test_level_of_all(planes, path):
    a, b = planes
    assert a.put(f"{path}/info?timeout=600").json() == {"message": "log level changed"}
    wait_until(lambda: (level(a), level(b)) == ("info", "info"), what="both changed")
    assert b.put(f"{path}/notice?timeout=0").status_code == 200
    wait_until(lambda: (level(a), level(b)) == ("notice", "notice"), what="both as before")


@pytest.mark.parametrize("scope", ["node", "cluster", "cluster/control-planes-nodes"])
@pytest.mark.parametrize(
    "rest,status,message",
    [
        ("loud", 400, "unknown log level: loud"),
        ("DEBUG", 400, "unknown log level: DEBUG"),
        ("%FF", 404, None),
        ("debug?timeout=-1", 400, "timeout must be greater than or equal to 0"),
        ("debug?timeout=-0.5", 400, "timeout must be greater than or equal to 0"),
        ("notice?timeout=x", 200, None),
        ("notice?timeout=1e300", 200, None),
        ("notice?timeout=nan", 200, None),
        ("debug/x", 404, None),
    ],
)
def test_bad_levels(cp, scope, rest, status, message):
    r = cp.put(f"/debug/{scope}/log-level/{rest}")
    assert r.status_code == status, r.text
    assert message is None or r.json() == {"message": message}
    assert level(cp) == "notice"


@pytest.mark.parametrize("method,path", [("PUT", "/debug/node/log-level"), ("GET", "/debug/node/log-level/debug"), ("POST", "/debug/node/log-level/debug"), ("GET", "/debug/cluster/log-level/debug")])
def test_level_methods(cp, method, path):
    assert cp.request(method, path).status_code == 405
