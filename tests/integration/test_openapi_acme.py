"""What /acme and the data planes' list answer, against the OpenAPI description."""

import pytest

from harness import wait_until
from test_openapi import Checked


@pytest.fixture(scope="module")
def call(acme_cluster):
    return Checked(acme_cluster.cp, acme_cluster.cp.get("/openapi.json").json())


def test_issue_and_orders(call):
    order = call("post", "/acme", json={"host": "described.example.com"}, status=201, headers={"Prefer": "wait=30"}).json()["order"]
    call("post", "/acme", json={"host": "later.example.com", "key_type": "ecdsa-p384"}, status=202, headers={"Prefer": "respond-async"})
    listed = call("get", "/acme/orders", status=200).json()["data"]
    assert len(listed) == 2
    call("get", "/acme/orders?host=described.example.com&state=valid&size=1", status=200)
    call("get", f"/acme/orders/{order['id']}", status=200)
    call("post", f"/acme/orders/{order['id']}/retry", status=None)
    call("patch", "/acme", json={"force": False}, status=202)
    wait_until(lambda: {o["state"] for o in call("get", "/acme/orders").json()["data"]} == {"valid"}, what="both orders are done")


@pytest.mark.parametrize(
    "method,path,body,valid,status",
    [
        ("post", "/acme", {}, False, 400),
        ("post", "/acme", {"host": 7}, False, 400),
        ("post", "/acme", {"host": "a.example.com", "key_type": "dsa"}, False, 400),
        ("post", "/acme", {"host": "*.example.com"}, True, 400),
        ("get", "/acme/orders?size=0", None, True, 400),
        ("get", "/acme/orders?after=x", None, True, 400),
        ("get", "/acme/orders/x", None, True, 404),
        ("get", "/acme/orders/00000000-0000-4000-8000-000000000000", None, True, 404),
        ("post", "/acme/orders/x/retry", None, True, 404),
    ],
)
def test_refusals(call, method, path, body, valid, status):
    call(method, path, json=body, body_valid=valid, status=status)


def test_data_planes(call):
    rows = call("get", "/clustering/data-planes", status=200).json()["data"]
    assert len(rows) == 2
    assert set(call("get", "/clustering/status", status=200).json()) == {r["id"] for r in rows}
