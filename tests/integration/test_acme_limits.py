"""What the engine does when an authority says no, not now, or nothing: whom it concerns, and where orders go instead. Two scripted authorities;
the rows of the table of control-plane/acme/verdict.c, seen from outside."""

import json
import urllib.parse

import psycopg2
import pytest

from harness import wait_until
from scripted_ca import ScriptedCA

ACME = "urn:ietf:params:acme:error:"


@pytest.fixture(scope="module")
def cas(bare_cluster):
    made = []
    for name in ("first", "second"):
        folder = bare_cluster.folder / name
        folder.mkdir()
        made.append(ScriptedCA(folder).start())
    yield made
    for c in made:
        c.stop()


@pytest.fixture(autouse=True)
def proper(cas, cp, database):
    for c in cas:
        c.answer.clear()
        c.reuses = lambda host: True
    yield
    for c in cas:
        c.answer.clear()
    sql(database, "DELETE FROM acme_buckets")


@pytest.fixture(scope="module")
def cp(bare_cluster, cas):
    c = bare_cluster.add_control_plane(
        acme_directory=cas[0].directory, acme_ca_file=cas[0].ca_file, acme_allow_private="on", acme_email="ops@example.com", acme_park_after=2
    ).start()
    r = c.post("/acme_authorities", json={"name": "second", "directory": cas[1].directory, "ca_cert": cas[1].ca_file.read_text()})
    assert r.status_code == 201, r.text
    wait_until(lambda: len(authorities(c)) == 2, 20, "both authorities")
    return c


def authorities(cp):
    return cp.get("/acme/authorities/status").json()["data"]


def sql(dsn, statement, *args):
    with psycopg2.connect(dsn) as db, db.cursor() as cur:
        cur.execute(statement, args)
        return cur.fetchall() if cur.description else None


def ask(cp, host):
    r = cp.post("/acme", data={"host": host}, headers={"Prefer": "respond-async"})
    assert r.status_code == 202, r.text
    return r.json()["order"]["id"]


def order_of(cp, order):
    return cp.get(f"/acme/orders/{order}").json()


def becomes(cp, order, state, seconds=30):
    return wait_until(lambda: (o := order_of(cp, order))["state"] == state and o, seconds, f"order {state}")


def troubled(cp, order, attempts=1):
    return wait_until(lambda: (o := order_of(cp, order))["last_problem"] and o["attempts"] >= attempts and not o["lease_owner"] and o, 30, "trouble told")


def host_of(asked):
    return asked.order.host if asked.order else asked.payload["identifiers"][0]["value"]


def problem(status, kind, detail, fields=None, **more):
    return status, {"type": ACME + kind, "detail": detail, "status": status, **more}, fields or {}


def only(hosts, answer):
    return lambda a: answer if host_of(a) in hosts else None


def refuse_authorization(kind, detail="no"):
    """The challenge is judged, and it fails."""

    def answer(a):
        o = a.order
        o.authz = o.challenge = o.status = "invalid"
        o.error = {"type": ACME + kind, "detail": detail, "status": 403}
        return 200, a.ca.order_doc(o), {}

    return answer


def failing_at_once(hosts, kind):
    """As if it had been judged before: no data plane is needed for that."""

    def answer(a):
        if a.order.host not in hosts:
            return None
        refuse_authorization(kind)(a)
        return 200, {"status": "invalid", "identifier": {"type": "dns", "value": a.order.host}, "challenges": [a.ca.challenge_doc(a.order)]}, {}

    return answer


def test_at_most_seven_requests_and_no_new_nonces(cp, cas):
    becomes(cp, ask(cp, "primer.example.com"), "valid")
    before, nonces = len(cas[0].asked), cas[0].count("nonce")
    for i in range(20):
        becomes(cp, ask(cp, f"steady{i}.example.com"), "valid")
    assert len(cas[0].asked) - before <= 20 * 7
    assert cas[0].count("nonce") == nonces


def test_account_budget_closes_for_all_first_orders(cp, cas, database):
    cas[1].answer["new-order"] = lambda a: problem(429, "rateLimited", "too many new orders (300) from this account in the last 3h0m0s", {"Retry-After": "3600"})
    cas[0].answer["new-order"] = lambda a: problem(429, "rateLimited", "too many new orders (300) from this account in the last 3h0m0s", {"Retry-After": "3600"})
    o = troubled(cp, ask(cp, "budget1.example.com"))
    assert o["next_attempt"] - o["updated_at"] >= 3590 and o["lane"] == "first" and o["failures"] == 0
    blocked = sql(database, "SELECT key, blocked_until > now() + interval '59 minutes' FROM acme_buckets WHERE blocked_until > now()")
    assert blocked == [(f"account ops@example.com {cas[0].directory}", True)]
    # The next one is not asked of the first authority any more, which has no room; it goes to the second.
    asked = cas[0].count("new-order")
    cas[1].answer.clear()
    o = becomes(cp, ask(cp, "budget2.example.com"), "valid")
    assert cas[0].count("new-order") == asked and o["authority"] == cas[1].directory
    wait_until(lambda: authorities(cp)[0]["budget_seconds"] > 3000, 10, "the budget shown")
    cp.process.stop()
    sql(database, "DELETE FROM acme_buckets")
    cp.start()
    wait_until(lambda: len(authorities(cp)) == 2, 20, "both authorities")


def test_domain_budget_closes_for_its_domain_only(cp, cas, database):
    said = "too many certificates (50) already issued for \"limited.co.uk\" in the last 168h0m0s, retry after 2090-08-05 12:00:01 UTC"
    for c in cas:
        c.answer["new-order"] = only({"a.limited.co.uk"}, problem(429, "rateLimited", said))
    o = troubled(cp, ask(cp, "a.limited.co.uk"))
    assert o["next_attempt"] - o["updated_at"] >= 29 * 86400  # the time in the words, clamped
    o = becomes(cp, ask(cp, "b.other.co.uk"), "valid")
    assert o["authority"] == cas[0].directory
    # The same domain: the first authority is not asked.
    o = becomes(cp, ask(cp, "b.limited.co.uk"), "valid")
    assert o["authority"] == cas[1].directory


def test_paused_name_has_a_state_and_the_address(cp, cas):
    host, url = "paused.example.com", "https://portal.example/sfe/v1/unpause?jwt=abc.def.ghi"
    said = f"Your account is temporarily prevented from requesting certificates for {host} and possibly others. Please visit: {url}"
    cas[0].answer["new-order"] = only({host}, problem(429, "rateLimited", said))
    order = ask(cp, host)
    o = becomes(cp, order, "paused_by_ca")
    assert o["unpause_url"] == url and "jwt" not in o["last_problem"]["detail"]
    assert o["next_attempt"] - o["updated_at"] > 86000
    r = cp.post("/acme", data={"host": host})
    assert r.status_code == 500 and r.json()["order"]["state"] == "paused_by_ca"
    assert "abc.def" not in cp.process.log()
    assert becomes(cp, ask(cp, "not-paused.example.com"), "valid")["attempts"] == 0
    cas[0].answer.clear()
    assert cp.post(f"/acme/orders/{order}/retry").status_code == 200
    assert becomes(cp, order, "valid")["unpause_url"] is None


@pytest.mark.parametrize("kind", ["connection", "tls", "unauthorized", "dns"])
def test_names_that_fail_are_quarantined_and_parked(cp, cas, kind):
    host = f"dead-{kind}.example.com"
    cas[0].answer["authz"] = failing_at_once({host}, kind)
    order = ask(cp, host)
    o = troubled(cp, order)
    assert o["state"] == "new" and o["lane"] == "retry" and o["failures"] == 1
    assert 59 <= o["next_attempt"] - o["updated_at"] <= 67
    cp.post(f"/acme/orders/{order}/retry")
    o = becomes(cp, order, "parked")
    assert o["failures"] == 2
    assert becomes(cp, ask(cp, f"alive-{kind}.example.com"), "valid")["attempts"] == 0
    cas[0].answer.clear()
    assert cp.post(f"/acme/orders/{order}/retry").json()["state"] == "new"
    assert becomes(cp, order, "valid")["failures"] == 0


def test_caa_sends_the_name_to_the_next_authority(cp, cas):
    host = "caa.example.com"
    cas[0].answer["authz"] = failing_at_once({host}, "caa")
    o = becomes(cp, ask(cp, host), "valid")
    assert o["authority"] == cas[1].directory and o["failures"] == 0
    assert becomes(cp, ask(cp, "no-caa.example.com"), "valid")["authority"] == cas[0].directory


def test_authority_in_trouble_is_left_and_taken_again(cp, cas):
    """HTML and 503: the breaker opens, orders go to the second authority; when it is well it comes first again."""
    cas[0].answer["new-order"] = lambda a: (503, b"<html>busy</html>", {"Content-Type": "text/html"})
    first = [ask(cp, f"outage{i}.example.com") for i in range(3)]

    def kick():
        for o in first:
            cp.post(f"/acme/orders/{o}/retry")
        return authorities(cp)[0]["breaker"] == "open" or [o for o in first if order_of(cp, o)["authority"] == cas[1].directory]

    wait_until(kick, 60, "the breaker open")
    for o in first:
        cp.post(f"/acme/orders/{o}/retry")
    for o in first:
        becomes(cp, o, "valid", 60)
    cas[0].answer.clear()

    def back():
        o = becomes(cp, ask(cp, f"back{len(cas[0].asked)}{len(cas[1].asked)}.example.com"), "valid")
        return o["authority"] == cas[0].directory

    wait_until(back, 60, "the first authority used again")
    wait_until(lambda: authorities(cp)[0]["breaker"] == "closed", 10, "the breaker closed")


def test_server_error_is_tried_again_quickly(cp, cas):
    host, told = "hiccup.example.com", []

    def twice(a):
        if host_of(a) != host or len(told) >= 2:
            return None
        told.append(1)
        return problem(500, "serverInternal", "oops")

    cas[0].answer["new-order"] = twice
    assert becomes(cp, ask(cp, host), "valid")["attempts"] == 0
    assert len(told) == 2


def test_rejected_names_are_dropped_from_a_set(cp, cas):
    """Subproblems name one of three: the others get their certificate."""
    names = ["good1.example.com", "bad.example.com", "good2.example.com"]
    sub = [{"type": ACME + "rejectedIdentifier", "detail": "policy", "identifier": {"type": "dns", "value": "bad.example.com"}}]

    def answer(a):
        asked = [i["value"] for i in a.payload["identifiers"]]
        return problem(400, "rejectedIdentifier", "policy", subproblems=sub) if "bad.example.com" in asked else None

    cas[0].answer["new-order"] = answer
    r = cp.post("/acme", json={"host": names[0], "hosts": names, "together": True}, headers={"Prefer": "respond-async"})
    assert r.status_code == 202, r.text
    o = wait_until(lambda: (o := order_of(cp, r.json()["order"]["id"]))["dropped"] and o, 30, "a name dropped")
    assert [d["identifier"]["value"] for d in o["dropped"]] == ["bad.example.com"] and o["hosts"] == [names[0], names[2]]


def test_budget_of_ours_is_not_tried_at_the_authority(cp, cas, database):
    """One certificate per set in a day: the second order waits here, and says for what."""
    r = cp.patch("/acme_authorities/second", json={"limits": "set=1/1d"})
    assert r.status_code == 200, r.text
    wait_until(lambda: "set=1/1d" in [x["limits"] for x in authorities(cp)], 20, "authorities read again")
    cas[0].answer["authz"] = failing_at_once({"twice.example.com"}, "caa")
    assert becomes(cp, ask(cp, "twice.example.com"), "valid")["authority"] == cas[1].directory
    asked = cas[1].count("new-order")
    order = ask(cp, "twice.example.com")
    o = wait_until(lambda: (o := order_of(cp, order))["last_problem"] and o["last_problem"]["type"].endswith("budget") and o, 30, "the budget told")
    assert "set twice.example.com" in o["last_problem"]["detail"] and o["next_attempt"] - o["updated_at"] > 80000
    assert cas[1].count("new-order") == asked


def test_idle_budgets_are_removed(cp, database):
    """At the start and once an hour: what is full again and not blocked; the others count on."""
    rows = {
        "idle": "now() - interval '2 hours', NULL",
        "never charged": "'-infinity', NULL",
        "was blocked": "'-infinity', now() - interval '2 hours'",
        "just full": "now() - interval '1 minute', NULL",
        "charged": "now() + interval '2 hours', NULL",
        "blocked": "'-infinity', now() + interval '2 hours'",
        "charged, was blocked": "now() + interval '2 hours', now() - interval '2 hours'",
    }
    cp.process.stop()
    sql(database, "DELETE FROM acme_buckets")
    for key, values in rows.items():
        sql(database, f"INSERT INTO acme_buckets (key, tat, blocked_until) VALUES (%s, {values})", key)
    # A flood of addresses leaves more than one batch.
    sql(database, "INSERT INTO acme_buckets (key, tat) SELECT 'flood ' || n, now() - interval '2 hours' FROM generate_series(1, 25000) n")
    cp.start()
    wait_until(lambda: sql(database, "SELECT count(*) FROM acme_buckets WHERE key LIKE 'flood %%'") == [(0,)], 20, "the flood gone")
    wait_until(lambda: sql(database, "SELECT count(*) FROM acme_buckets WHERE key = 'idle'") == [(0,)], 20, "the idle ones gone")
    left = {key for (key,) in sql(database, "SELECT key FROM acme_buckets") if key in rows}
    assert left == {"just full", "charged", "blocked", "charged, was blocked"}
    assert sql(database, "SELECT acme_prune_buckets(10000)") == [(0,)]
    wait_until(lambda: len(authorities(cp)) == 2, 20, "both authorities")


def test_expired_terms_stop_the_account_until_agreed(cp, cas):
    for c in cas:
        c.answer["new-order"] = lambda a: problem(403, "userActionRequired", "new terms", instance="https://ca.example/terms/2")
    order = ask(cp, "terms.example.com")
    troubled(cp, order)
    account = wait_until(lambda: next((x for x in cp.get("/acme/accounts").json()["data"] if x["terms_url"]), None), 20, "the terms shown")
    assert account["terms_url"] == "https://ca.example/terms/2"
    blocked = {x["directory"]: x["account_blocked"] for x in authorities(cp)}
    assert blocked[account["directory"]]
    for c in cas:
        c.answer.clear()
    agreed = []
    cas[0].answer["account"] = lambda a: agreed.append(a.payload) or None
    for x in cp.get("/acme/accounts").json()["data"]:
        if x["terms_url"]:
            r = cp.post(f"/acme/accounts/{x['id']}/agree")
            assert r.status_code == 200 and r.json()["terms_url"] is None, r.text
    assert {"termsOfServiceAgreed": True} in agreed
    cp.post(f"/acme/orders/{order}/retry")
    becomes(cp, order, "valid")


def test_bad_limits_are_refused_at_start(bare_cluster, cas):
    c = bare_cluster.add_control_plane(acme_directory=cas[0].directory, acme_allow_private="on", acme_limits="account=lots")
    c.start(wait=False)
    assert c.process.popen.wait(20) == 2
    assert "account must be N/TIME" in c.process.log()
    bare_cluster.control_planes.remove(c)
