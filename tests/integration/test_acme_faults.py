"""The engine behind a proxy that makes faults: one row per endpoint and fault. Every order ends valid, no certificate is made twice, no challenge
is left behind; what the operator sees in between is the reason."""

import itertools
import time

import pytest

from acme_parts import FaultProxy, StandIn, psql
from harness import wait_until

PER_ORDER = ("new-order", "authz", "challenge", "finalize", "order", "cert")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world(bare_cluster, http_port):
    c = bare_cluster
    c.ca = StandIn(c.folder).start()
    c.proxy = FaultProxy(c.folder, c.ca).start()
    c.add_control_plane(acme_directory=c.proxy.directory, acme_ca_file=c.proxy.ca_file, acme_allow_private="on").start()
    for _ in range(2):
        c.add_data_plane().start()
    c.ca.addresses(http=[f"{d.ip}:{http_port}" for d in c.data_planes])
    assert c.cp.issue("warm.example.com").status_code == 201
    yield c
    c.proxy.stop()
    c.ca.stop()


def ask(c):
    host = f"f{next(_numbers)}.example.com"
    r = c.cp.post("/acme", data={"host": host}, headers={"Prefer": "respond-async"})
    assert r.status_code == 202, r.text
    return host, r.json()["order"]["id"]


def order(c, ident):
    return c.cp.get(f"/acme/orders/{ident}").json()


def until_trouble(c, ident):
    """The order as it waits for its next attempt, with its problem."""
    return wait_until(lambda: (lambda o: o if o["last_problem"] and o["attempts"] > 0 else None)(order(c, ident)), 20, "a problem")


def until_valid(c, ident, seconds=40):
    """What waits for its next attempt is told to go on."""

    def valid():
        o = order(c, ident)
        if o["state"] == "valid":
            return o
        assert o["state"] != "failed", o
        if o["last_problem"] and (o["next_attempt"] or 0) > time.time():
            c.cp.post(f"/acme/orders/{ident}/retry")
            time.sleep(0.1)
        return None

    return wait_until(valid, seconds, "order valid")


def open_budgets(c):
    """The authority's word on a budget holds for everybody, also for an operator's retry."""
    assert psql(c.dsn, "SELECT count(*) FROM acme_buckets WHERE blocked_until > now()") != "0"
    psql(c.dsn, "DELETE FROM acme_buckets")


def clean(c, host):
    """One certificate of the CA's, and nothing left."""
    assert len(c.ca.certificates(host)) == 1, c.ca.certificates(host)
    assert psql(c.dsn, f"SELECT count(*) FROM acme_challenges WHERE host = '{host}'") == "0"


@pytest.fixture(autouse=True)
def nothing_left(world):
    yield
    wait_until(lambda: all(d.metric("cardea_dp_challenges") == 0 for d in world.data_planes), 10, "challenges gone")


SHORT = {"seconds": 1}
FAULTS = {
    "reset before": ({"fault": "reset_before"}, "connection"),
    "closed unanswered": ({"fault": "hang", "seconds": 0.3}, "connection"),
    "dropped reply": ({"fault": "drop_after"}, "connection"),
    "truncated": ({"fault": "truncate"}, "connection"),
    "garbage": ({"fault": "garbage", "body": "{]"}, "answer"),
    "html 503": ({"fault": "status", "status": 503}, "answer"),
    "html 200": ({"fault": "status", "status": 200}, "answer"),
    "serverInternal": ({"fault": "problem", "status": 500, "kind": "serverInternal"}, "serverInternal"),
    "bad gateway": ({"fault": "status", "status": 502, "body": ""}, "answer"),
    "429 html": ({"fault": "status", "status": 429}, "answer"),
    "429": ({"fault": "problem", "status": 429, "kind": "rateLimited"}, "rateLimited"),
}


@pytest.mark.parametrize("endpoint", PER_ORDER)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_a_request(world, endpoint, fault):
    c, (rule, kind) = world, FAULTS[fault]
    c.proxy.rules({"endpoint": endpoint, **rule})
    host, ident = ask(c)
    o = wait_until(lambda: (lambda o: o if o["state"] == "valid" or (o["last_problem"] and o["attempts"]) else None)(order(c, ident)), 30, "an end or a problem")
    if o["state"] != "valid":
        assert o["last_problem"]["type"].endswith(":" + kind), o["last_problem"]
        assert o["last_problem"]["detail"] and o["next_attempt"] > time.time() - 1
    if fault == "429" and endpoint == "new-order":
        open_budgets(c)
    until_valid(c, ident)
    assert any(e["fault"] == rule["fault"] for e in c.proxy.log()), c.proxy.log()
    clean(c, host)


@pytest.mark.parametrize("endpoint", PER_ORDER)
@pytest.mark.parametrize("fault", ["slow", "drip"])
def test_an_answer_that_takes_its_time(world, endpoint, fault):
    world.proxy.rules({"endpoint": endpoint, "fault": fault, "seconds": 1})
    host, ident = ask(world)
    assert until_valid(world, ident)["attempts"] <= 1
    clean(world, host)


@pytest.mark.parametrize("endpoint", PER_ORDER)
@pytest.mark.parametrize("times", [1, 4])
def test_a_nonce_that_is_refused_is_no_trouble(world, endpoint, times):
    world.proxy.rules({"endpoint": endpoint, "fault": "bad_nonce", "times": times})
    host, ident = ask(world)
    o = until_valid(world, ident)
    assert o["last_problem"] is None
    assert world.proxy.count(endpoint, "bad_nonce") == times
    clean(world, host)


@pytest.mark.parametrize("endpoint", ["new-order", "authz", "finalize", "order", "cert"])
@pytest.mark.parametrize("form", ["retry_after", "retry_after_date"])
@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_the_ca_asks_for(world, endpoint, form, status):
    c = world
    c.proxy.rules({"endpoint": endpoint, "fault": "problem", "status": status, "kind": "rateLimited" if status == 429 else "serverInternal", form: 600})
    host, ident = ask(c)
    o = until_trouble(c, ident)
    assert 580 < o["next_attempt"] - time.time() < 700, o
    asked = len(c.proxy.log())
    other, second = ask(c)
    # A limit of one order's request does not hold the others.
    if status == 503 or endpoint != "new-order":
        until_valid(c, second)
        assert len(c.proxy.log()) > asked
        clean(c, other)
    else:
        open_budgets(c)
    until_valid(c, ident)
    clean(c, host)


def test_a_paused_name(world):
    c = world
    host = "paused.example.com"
    c.ca.pause(host)
    c.proxy.rules()
    ident = c.cp.post("/acme", data={"host": host}, headers={"Prefer": "respond-async"}).json()["order"]["id"]
    o = until_trouble(c, ident)
    assert o["state"] == "paused_by_ca" and o["unpause_url"].startswith("https://") and "/sfe/v1/unpause" in o["unpause_url"], o
    c.ca.unpause(host)
    until_valid(c, ident)
    clean(c, host)


def test_a_forgotten_account_is_made_again(world):
    c = world
    c.proxy.rules({"endpoint": "new-order", "fault": "problem", "status": 400, "kind": "accountDoesNotExist"})
    host, ident = ask(c)
    assert until_valid(c, ident)["last_problem"] is None
    assert c.proxy.count("new-account") == 1
    clean(c, host)


def test_requests_of_an_order(world):
    """Seven, and no nonce asked for: of orders one after another, since a wave needs as many nonces as it has requests at once."""
    c = world
    c.proxy.rules()
    until_valid(c, ask(c)[1])
    c.ca.reset()
    orders = 10
    for _ in range(orders):
        until_valid(c, ask(c)[1])
    n = dict(c.ca.counters()["requests"])
    n.pop("renewal-info", None)  # asked for in batches, in its own time
    assert "directory" not in n and "new-account" not in n and "new-nonce" not in n, dict(n)
    assert sum(n.values()) - n["authz"] <= 5 * orders and n["authz"] <= 2 * orders + 2, dict(n)  # a busy machine looks once more


def test_an_outage(world):
    """The CA answers nobody for a while: orders wait, and are done afterwards."""
    c = world
    c.proxy.rules({"endpoint": "*", "fault": "reset_before", "times": 0})
    made = [ask(c) for _ in range(10)]
    wait_until(lambda: all(order(c, i)["last_problem"] for _, i in made[:3]), 30, "problems")
    c.proxy.rules()
    for host, ident in made:
        until_valid(c, ident, 60)
        clean(c, host)
