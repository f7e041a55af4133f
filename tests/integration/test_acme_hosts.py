"""What operators see: names by state, authority, time and tag; the time line of an order."""

import subprocess
import time

import pytest

from harness import wait_until
from test_openapi import Checked

NAMES = ("a.hosts.example.com", "b.hosts.example.com", "c.hosts.example.com")


@pytest.fixture(scope="module")
def call(acme_cluster):
    return Checked(acme_cluster.cp, acme_cluster.cp.get("/openapi.json").json())


@pytest.fixture(scope="module")
def issued(acme_cluster):
    c = acme_cluster
    orders = [c.cp.issue(n).json()["order"] for n in NAMES]
    r = c.cp.post("/acme", json={"hosts": ["x.set.example.com", "y.set.example.com"]}, headers={"Prefer": "wait=30"})
    assert r.status_code == 201, r.text
    return orders + [r.json()["order"]]


def pages(call, query=""):
    path, rows = f"/acme/hosts?{query}", []
    while path:
        page = call("get", path, status=200).json()
        rows += page["data"]
        path = page["next"]
    return rows


def test_hosts_of_every_set(call, issued):
    rows = pages(call, "size=2")
    assert [r["host"] for r in rows] == [*NAMES, "x.set.example.com"]
    assert rows[3]["hosts"] == ["x.set.example.com", "y.set.example.com"]
    for row, order in zip(rows, issued):
        assert row["state"] == "valid" and row["last_problem"] is None
        assert row["order"]["id"] == order["id"] and row["certificate"] == order["certificate"]
        assert row["directory"] == order["authority"] and row["not_after"] == order["not_after"]
        assert row["tags"] == ["managed-by-acme"]


def test_filters(call, issued, acme_cluster, pebble):
    now, end = int(time.time()), issued[0]["not_after"]
    acme_cluster.cp.patch(f"/certificates/{issued[1]['certificate']['id']}", json={"tags": ["managed-by-acme", "shop"]})
    pebble.resolve("nobody.example.com", "127.0.0.99")
    acme_cluster.cp.post("/acme", data={"host": "nobody.example.com"}, headers={"Prefer": "respond-async"})
    wait_until(lambda: (r := pages(call, "host=nobody.example.com")) and r[0]["last_problem"], 30, "it failed")
    for query, expected in [
        ("tag=shop", ["b.hosts.example.com"]),
        ("tag=none", []),
        ("host=Y.set.example.com", ["x.set.example.com"]),
        ("host=set.example.com", []),
        (f"expiring_before={now}", []),
        (f"expiring_before={end + 86400}", [*NAMES, "x.set.example.com"]),
        ("state=valid&size=1", [*NAMES, "x.set.example.com"]),
        ("state=failed", []),
        (f"issuer={issued[0]['authority']}&tag=shop", ["b.hosts.example.com"]),
        ("issuer=somebody", []),
    ]:
        assert [r["host"] for r in pages(call, query)] == expected, query


@pytest.mark.parametrize("path,status", [
    ("/acme/hosts?size=0", 400),
    ("/acme/hosts?offset=x", 400),
    ("/acme/hosts?offset=WyJhIl0", 400),
    ("/acme/hosts?expiring_before=soon", 400),
    ("/acme/hosts?expiring_before=-1", 400),
    ("/acme/hosts?expiring_before=999999999999999", 400),
    ("/acme/orders/x/events", 404),
    ("/acme/orders/00000000-0000-4000-8000-000000000000/events", 404),
])  # fmt: skip
def test_refusals(call, path, status):
    call("get", path, status=status)


def test_time_line_of_an_order_that_went_well(call, issued, acme_cluster):
    events = call("get", f"/acme/orders/{issued[0]['id']}/events", status=200).json()["data"]
    kinds = [e["event"] for e in events]
    assert kinds[0] == "asked" and kinds[-1] == "valid"
    expected = ["taken", "authorizing", "publishing", "held", "validating", "finalizing", "downloading", "valid"]
    assert [k for k in kinds if k in expected] == expected
    held = next(e for e in events if e["event"] == "held")
    assert held["detail"] == "2 of 2 data planes"
    taken = next(e for e in events if e["event"] == "taken")
    assert taken["by"] and taken["detail"]
    nodes = {n["id"] for n in acme_cluster.cp.get("/clustering/data-planes").json()["data"]}
    asked = {n for e in events if e["event"] == "asked for" for n in e["nodes"]}
    assert asked and asked <= nodes
    assert all(isinstance(e["at"], (int, float)) for e in events)


def test_time_line_of_one_that_failed(call, acme_cluster, pebble):
    pebble.resolve("dead.example.com", "127.0.0.99")
    r = acme_cluster.cp.post("/acme", data={"host": "dead.example.com"}, headers={"Prefer": "wait=30"})
    assert r.status_code == 500, r.text
    order = r.json()["order"]
    acme_cluster.cp.post(f"/acme/orders/{order['id']}/retry")
    events = call("get", f"/acme/orders/{order['id']}/events", status=200).json()["data"]
    problem = next(e for e in events if e["event"] == order["last_problem"]["type"])
    assert problem["detail"] == order["last_problem"]["detail"]
    assert "retried" in [e["event"] for e in events]


def test_time_line_is_bounded(call, issued, acme_cluster, database):
    sql = (
        "UPDATE acme_orders SET events = acme_events(events, (SELECT jsonb_agg(jsonb_build_object('at', n, 'event', 'n')) "
        f"FROM generate_series(1, 100) n)) WHERE id = '{issued[2]['id']}'"
    )
    subprocess.run(["psql", database, "-qc", sql], check=True, capture_output=True, timeout=30)
    events = call("get", f"/acme/orders/{issued[2]['id']}/events", status=200).json()["data"]
    assert len(events) == 1 + 64 and [e["at"] for e in events[1:]] == list(range(37, 101))
