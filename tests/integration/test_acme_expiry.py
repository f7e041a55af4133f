"""Renewals when little is left of the certificate: waits and loyalty to an authority that would outlive it are given up. Two scripted authorities."""

import psycopg2
import pytest

from harness import wait_until
from scripted_ca import ScriptedCA

ACME = "urn:ietf:params:acme:error:"
MINUTE, MONTH = 40, 30 * 86400  # seconds that are left: of one that lives a minute, of one of 90 days


@pytest.fixture(scope="module")
def cas(bare_cluster):
    made = []
    for name in ("first", "second"):
        folder = bare_cluster.folder / name
        folder.mkdir()
        made.append(ScriptedCA(folder).start())
        made[-1].reuses = lambda host: True
    yield made
    for c in made:
        c.stop()


@pytest.fixture(scope="module")
def cp(bare_cluster, cas):
    c = bare_cluster.add_control_plane(acme_directory=cas[0].directory, acme_ca_file=cas[0].ca_file, acme_allow_private="on").start()
    r = c.post("/acme_authorities", json={"name": "second", "directory": cas[1].directory, "ca_cert": cas[1].ca_file.read_text()})
    assert r.status_code == 201, r.text
    wait_until(lambda: len(c.get("/acme/authorities/status").json()["data"]) == 2, 20, "both authorities")
    return c


@pytest.fixture(autouse=True)
def proper(cas):
    yield
    for c in cas:
        c.answer.clear()


def sql(dsn, statement, *args):
    with psycopg2.connect(dsn) as db, db.cursor() as cur:
        cur.execute(statement, args)
        return cur.fetchall() if cur.description else None


def ask(cp, host):
    return cp.post("/acme", json={"host": host}, headers={"Prefer": "respond-async"}).json()["order"]["id"]


def valid(cp, order):
    return wait_until(lambda: (o := cp.get(f"/acme/orders/{order}").json())["state"] == "valid" and o, 30, "order valid")


def newest(cp, host):
    return cp.get(f"/acme/orders?host={host}").json()["data"][0]


def renew(cp, database, order, left):
    """Its renewal is due, and so many seconds of its life are left."""
    sql(database, "UPDATE acme_orders SET renew_at = now(), not_after = now() + %s * interval '1 second' WHERE id = %s", left, order)


def refused(kind):
    """The proof fails, as it was seen by the authority."""

    def answer(a):
        o = a.order
        o.authz = o.challenge = o.status = "invalid"
        o.error = {"type": ACME + kind, "detail": "no", "status": 403}
        return 200, {"status": "invalid", "identifier": {"type": "dns", "value": o.host}, "challenges": [a.ca.challenge_doc(o)]}, {}

    return answer


def problem(status, kind, **fields):
    return lambda a: (status, {"type": ACME + kind, "detail": "no", "status": status}, fields)


WAITS = [
    # page, answer, seconds left, the wait is from, to
    ("authz", refused("connection"), MINUTE, 1, MINUTE / 4),
    ("authz", refused("connection"), 4, 1, 2),
    ("authz", refused("connection"), MONTH, 59, 67),
    ("authz", refused("connection"), -5, 59, 67),  # it is too late to hurry
    ("new-order", problem(400, "malformed"), MINUTE, 0, MINUTE / 4),
    ("new-order", problem(429, "rateLimited", **{"Retry-After": "120"}), MINUTE, 119, 121),
    ("new-order", problem(503, "rateLimited", **{"Retry-After": "50"}), MINUTE, 49, 51),
]


@pytest.mark.parametrize("page,answer,left,least,most", WAITS, ids=range(len(WAITS)))
def test_waits_end_before_the_certificate_does(cp, cas, database, page, answer, left, least, most):
    host = f"w{least:.0f}-{left}-{page}.wait.example.com".replace("--", "-minus-")
    order = ask(cp, host)
    valid(cp, order)
    for c in cas:
        c.answer[page] = answer
    renew(cp, database, order, left)
    wait_until(lambda: (o := newest(cp, host))["renewal"] and o["attempts"] == 1 and not o["lease_owner"], 20, "the renewal in trouble")
    (wait,) = sql(database, "SELECT extract(epoch FROM next_attempt - updated_at)::float8 FROM acme_orders WHERE id = %s", newest(cp, host)["id"])[0]
    assert least <= wait <= most + 0.1
    # The lane of retries is behind all others: what has no time does not go there.
    assert newest(cp, host)["lane"] == ("retry" if page == "authz" and left not in (MINUTE, 4) else "renewal")
    # Nothing of it is in the way of the next row.
    sql(database, "UPDATE acme_orders SET next_attempt = now() + interval '1 hour' WHERE id = %s", newest(cp, host)["id"])
    sql(database, "DELETE FROM acme_buckets")


@pytest.mark.parametrize("life,left,most", [(60, MINUTE, MINUTE / 4), (60, -600, 6), (90 * 86400, MONTH, 86400)], ids=["minute", "gone", "month"])
def test_renewal_that_fails_for_good_is_tried_again_in_time(cp, cas, database, life, left, most):
    host = f"l{most:.0f}.good.example.com"
    order = ask(cp, host)
    valid(cp, order)
    cas[0].answer["finalize"] = cas[1].answer["finalize"] = problem(400, "badCSR")
    sql(database, "UPDATE acme_orders SET not_before = now() + %s * interval '1 second' WHERE id = %s", left - life, order)
    renew(cp, database, order, left)
    wait_until(lambda: (o := newest(cp, host))["renewal"] and o["state"] == "failed", 20, "the renewal failed")
    (wait,) = sql(
        database, "SELECT extract(epoch FROM v.renew_at - o.updated_at)::float8 FROM acme_orders v, acme_orders o WHERE v.id = %s AND o.id = %s", order, newest(cp, host)["id"]
    )[0]
    assert most * 0.8 <= wait <= most + 0.1
    sql(database, "UPDATE acme_orders SET renew_at = NULL WHERE host = %s", host)


def down(a):
    return 500, b"<html>oops</html>", {"Content-Type": "text/html"}


@pytest.mark.parametrize("page", ["authz", "finalize", "cert"])
def test_order_under_way_leaves_an_authority_that_breaks(cp, cas, database, page):
    """As far as it is there, it is begun anew at the other one while the certificate still lives."""
    host = f"{page}.leave.example.com"
    wait_until(lambda: valid(cp, ask(cp, f"well.{page}.leave.example.com"))["authority"] == cas[0].directory, 60, "the first authority is used")
    order = ask(cp, host)
    valid(cp, order)
    reached = []

    def breaks(a):
        if not reached and a.order.host != host:
            return None
        if not reached:
            reached.append(a)
            cas[0].answer.update(dict.fromkeys(("dir", "nonce", "new-order", "authz", "finalize", "order", "cert"), down))
        return down(a)

    cas[0].answer[page] = breaks
    renew(cp, database, order, MINUTE)
    wait_until(lambda: reached, 20, f"the renewal at {page}")
    for i in range(6):
        ask(cp, f"other{i}.{page}.leave.example.com")

    def renewed():
        o = newest(cp, host)
        assert o["state"] == "valid" and o["renewal"], cp.get(f"/acme/orders/{o['id']}/events").text
        return o

    assert wait_until(renewed, MINUTE - 5, "renewed elsewhere")["authority"] == cas[1].directory
