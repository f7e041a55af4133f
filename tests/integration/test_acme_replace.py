"""Mass replacement: which certificates, how far, spread over time, and what is left alone."""

import json
import time

import pytest

from harness import wait_until
from test_cli_entities import run
from test_openapi import Checked

NAMES = [f"r{n}.example.com" for n in range(4)]


@pytest.fixture(scope="module")
def call(acme_cluster):
    return Checked(acme_cluster.cp, acme_cluster.cp.get("/openapi.json").json())


@pytest.fixture(scope="module")
def issued(acme_cluster):
    orders = {}
    for n in NAMES:
        r = acme_cluster.cp.issue(n)
        assert r.status_code == 201, r.text
        orders[n] = r.json()["order"]
    return orders


def done(cp, replacement):
    return wait_until(lambda: (p := cp.get(f"/acme/replacements/{replacement}").json())["waiting"] == 0 and p, 60, "replaced")


def newest(cp, host):
    return cp.get(f"/acme/orders?host={host}").json()["data"][0]


def test_all_of_an_authority(call, issued, acme_cluster, pebble):
    cp = acme_cluster.cp
    before = {n: cp.get(f"/certificates/{o['certificate']['id']}").json()["cert"] for n, o in issued.items()}
    r = call("post", "/acme/replacements", json={"issuer": issued[NAMES[0]]["authority"]}, status=202).json()
    assert r["orders"] == len(NAMES) and r["skipped"] == 0
    p = done(cp, r["id"])
    assert (p["orders"], p["valid"], p["stopped"], p["problems"]) == (len(NAMES), len(NAMES), 0, [])
    call("get", f"/acme/replacements/{r['id']}", status=200)
    for n, o in issued.items():
        assert newest(cp, n)["renewal"] is True and newest(cp, n)["certificate"] == o["certificate"]
        assert cp.get(f"/certificates/{o['certificate']['id']}").json()["cert"] != before[n]
        assert acme_cluster.data_planes[1].verified(n, pebble.root())
    assert len(cp.get(f"/acme/orders?host={NAMES[0]}").json()["data"]) == 2, "what it made is not replaced again"


def test_only_with_a_tag_by_command(issued, acme_cluster):
    cp = acme_cluster.cp
    cp.patch(f"/certificates/{issued[NAMES[1]]['certificate']['id']}", json={"tags": ["managed-by-acme", "shop"]})
    before = {n: newest(cp, n)["id"] for n in NAMES}
    r = run(cp, "acme", "replace", "--tag", "shop", "-o", "json")
    assert r.returncode == 0, r.stderr
    assert (p := json.loads(r.stdout))["orders"] == 1 and p["valid"] == 1
    assert [n for n in NAMES if newest(cp, n)["id"] != before[n]] == [NAMES[1]]


def test_spread_over_time_and_not_twice(issued, acme_cluster):
    cp = acme_cluster.cp
    issuer = issued[NAMES[0]]["authority"]
    r = cp.post("/acme/replacements", data={"issuer": issuer, "per_minute": "2"})
    assert r.status_code == 202 and r.json()["orders"] == len(NAMES), r.text
    p = cp.get(f"/acme/replacements/{r.json()['id']}").json()
    assert 60 <= p["last_attempt"] - time.time() + 5 <= 100
    wait_until(lambda: cp.get(f"/acme/replacements/{r.json()['id']}").json()["valid"] == 1, 20, "the first one")
    # Those that wait have given their renewal up to their order: nothing is due but what was renewed.
    again = cp.post("/acme/replacements", json={"issuer": issuer}).json()
    assert again["orders"] == 1
    done(cp, again["id"])
    for n in NAMES:
        if newest(cp, n)["state"] != "valid":
            assert cp.post(f"/acme/orders/{newest(cp, n)['id']}/retry").status_code == 200
    assert done(cp, r.json()["id"])["valid"] == len(NAMES)


def test_what_cannot_be_replaced_is_told(issued, acme_cluster, pebble):
    cp = acme_cluster.cp
    cp.patch(f"/certificates/{issued[NAMES[2]]['certificate']['id']}", json={"tags": ["managed-by-acme", "lost"]})
    pebble.resolve(NAMES[2], "127.0.0.99")
    for _ in range(20):  # Pebble reuses an authorization by chance: then the name is not looked at
        r = cp.post("/acme/replacements", json={"tag": "lost"}).json()
        p = wait_until(lambda: (p := cp.get(f"/acme/replacements/{r['id']}").json()) and (p["in_trouble"] or not p["waiting"]) and p, 60, "tried")
        if p["in_trouble"]:
            break
    assert p["in_trouble"] == 1
    p = cp.get(f"/acme/replacements/{r['id']}").json()
    assert p["problems"][0]["host"] == NAMES[2] and p["problems"][0]["detail"]
    late = run(cp, "acme", "replace", "--tag", "lost", "--wait", "0")
    assert late.returncode == 0, late.stderr


@pytest.mark.parametrize("body,valid,says", [
    ({}, False, "issuer or tag"),
    ({"issuer": 7}, False, "issuer must be a text"),
    ({"issuer": ""}, True, "issuer must be a text"),
    ({"tag": []}, False, "tag must be a text"),
    ({"issuer": "x", "per_minute": 0}, False, "per_minute"),
    ({"issuer": "x", "per_minute": -1}, False, "per_minute"),
    ({"issuer": "x", "per_minute": "fast"}, False, "per_minute"),
    ({"issuer": "x", "per_minute": 1.5}, False, "per_minute"),
])  # fmt: skip
def test_refusals(call, body, valid, says):
    assert says in call("post", "/acme/replacements", json=body, body_valid=valid, status=400).text


@pytest.mark.parametrize("path", ["x", "00000000-0000-4000-8000-000000000000"])
def test_unknown(call, path):
    call("get", f"/acme/replacements/{path}", status=404)


@pytest.mark.parametrize("words,says", [
    ([], "--issuer or --tag is needed"),
    (["--issuer", "x", "--per-minute", "0"], "--per-minute"),
    (["--issuer", "x", "--per-minute", "y"], "--per-minute"),
    (["--issuer", "x", "--wait", "y"], "--wait"),
])  # fmt: skip
def test_wrong_usage(acme_cluster, words, says):
    r = run(acme_cluster.cp, "acme", "replace", *words)
    assert r.returncode == 2 and says in r.stderr


def test_nobody_has_it(acme_cluster):
    r = run(acme_cluster.cp, "acme", "replace", "--issuer", "nobody", "-o", "json")
    assert r.returncode == 0 and json.loads(r.stdout)["orders"] == 0
