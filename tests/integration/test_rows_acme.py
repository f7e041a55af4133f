"""What a CA does wrong, and what becomes of orders then (reliability-goals section 10, F10): a scripted authority instead of Pebble."""

import signal
import threading

import psycopg2
import pytest

from harness import wait_until
from scripted_ca import ScriptedCA

ACME = "urn:ietf:params:acme:error:"


@pytest.fixture(scope="module")
def ca(bare_cluster):
    c = ScriptedCA(bare_cluster.folder).start()
    yield c
    c.stop()


@pytest.fixture(autouse=True)
def proper(ca):
    ca.answer.clear()
    yield
    ca.answer.clear()


def add_control_plane(cluster, ca):
    return cluster.add_control_plane(acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on", acme_max_in_flight=2)


@pytest.fixture(scope="module")
def cp(bare_cluster, ca):
    return add_control_plane(bare_cluster, ca).start()


def ask(cp, host):
    r = cp.post("/acme", data={"host": host}, headers={"Prefer": "respond-async"})
    assert r.status_code == 202, r.text
    return r.json()["order"]["id"]


def order_of(cp, order):
    return cp.get(f"/acme/orders/{order}").json()


def becomes(cp, order, state, seconds=30):
    """Tries again at once whenever the order waits."""

    def there():
        o = order_of(cp, order)
        if o["state"] != state and o["last_problem"]:
            cp.post(f"/acme/orders/{order}/retry")
        return o["state"] == state and o

    return wait_until(there, seconds, f"order {state}")


def sql(dsn, statement, *args):
    with psycopg2.connect(dsn) as db, db.cursor() as cur:
        cur.execute(statement, args)
        return cur.fetchall() if cur.description else None


def test_proper_answers(cp):
    order = becomes(cp, ask(cp, "proper.example.com"), "valid")
    assert order["attempts"] == 0 and order["last_problem"] is None


def spend(page):
    """The authority gives the first order of a host up, with an error that alone would only mean `later`."""
    error = {"type": ACME + "serverInternal", "detail": "a remote validation broke", "status": 500}

    def answer(asked):
        o = asked.order
        if any(p.host == o.host and p.number < o.number for p in asked.ca.orders.values()):
            return None
        if page == "challenge":
            o.authz = o.challenge = o.status = "invalid"
            o.error = error
            return None if asked.page != page else (200, asked.ca.challenge_doc(o), {})
        o.status = "invalid"
        return 200, {**asked.ca.order_doc(o), "error": error}, {}

    return answer


@pytest.mark.parametrize("page", ["challenge", "finalize"])
def test_ch_09_spent_order_is_made_anew(cp, ca, page):
    """An invalid authorization or order stays so, whatever its error says: only a new order can become valid."""
    host = f"spent-{page}.example.com"
    ca.answer[page] = spend(page)
    if page == "finalize":
        ca.answer["order"] = spend(page)
    order = becomes(cp, ask(cp, host), "valid")
    assert order["attempts"] == 1
    assert sum(o.host == host for o in ca.orders.values()) == 2


def test_ct_06_failed_order_does_not_stop_renewal(cp, ca, database):
    """An order that somebody asked for is under way when the host's renewal is due, and then fails: the renewal must not be forgotten."""
    host = "kept.example.com"
    first = becomes(cp, ask(cp, host), "valid")
    ca.answer["new-order"] = lambda _: (503, b"", {})
    second = ask(cp, host)
    wait_until(lambda: order_of(cp, second)["last_problem"], 20, "the second order in trouble")
    sql(database, "UPDATE acme_orders SET renew_at = now() WHERE id = %s", first["id"])
    wait_until(lambda: order_of(cp, first["id"])["renew_at"] is None, 20, "the due renewal seen")
    ca.answer["new-order"] = lambda _: (400, {"type": ACME + "rejectedIdentifier", "detail": "no"}, {})
    becomes(cp, second, "failed")
    assert order_of(cp, first["id"])["renew_at"], "nothing will ever renew this certificate"


def test_forced_renewal_goes_past_what_is_gone(cp, database):
    """More orders whose hosts were deleted than one batch takes, and one behind them whose host is still there."""
    order = becomes(cp, ask(cp, "last.example.com"), "valid")
    sql(
        database,
        "INSERT INTO acme_orders (id, host, directory, key_type, state, renew_at) SELECT gen_random_uuid(), 'gone' || n, %s, 'ecdsa-p256', 'valid', "
        "to_timestamp(%s) - interval '1 hour' FROM generate_series(1, 1000) n",
        order["directory"],
        order["renew_at"],
    )
    r = cp.patch("/acme", json={"force": True})
    assert r.status_code < 300, r.text
    made = sql(database, "SELECT count(*) FROM acme_orders WHERE host = 'last.example.com' AND renewal")
    assert made == [(1,)]
    assert sql(database, "SELECT count(*) FROM acme_orders WHERE host LIKE 'gone%%' AND renew_at IS NOT NULL") == [(0,)]


def test_f19_certificate_late_in_its_life_makes_no_storm(cp, ca, database):
    """Its time of renewal is over when it comes (a backdating CA; clocks that disagree look the same): it is not ordered again at once."""
    host = "late.example.com"

    def backdated(asked):
        ca.issue(asked, days=0.2)
        return 200, ca.order_doc(asked.order), {}

    ca.answer["finalize"] = backdated
    order = becomes(cp, ask(cp, host), "valid")
    assert sql(database, "SELECT renew_at > updated_at + interval '2 hours', renew_at < not_after FROM acme_orders WHERE id = %s", order["id"]) == [(True, True)]


def test_db_04_paused_control_plane_makes_no_second_order(cp, ca, bare_cluster):
    """Stopped between the nonce and the new order (F02), and taken over: what it wanted to ask next is not asked any more."""
    host = "paused.example.com"
    released, held = threading.Event(), threading.Event()

    def hold_the_first(_):
        if not held.is_set():
            held.set()
            released.wait(60)

    ca.give_nonces = False  # so that each request fetches one first
    cp.process.stop()
    paused = add_control_plane(bare_cluster, ca).start()
    becomes(paused, ask(paused, "primer.example.com"), "valid")
    ca.answer["nonce"] = hold_the_first
    try:
        order = ask(paused, host)
        assert held.wait(20)
        paused.process.signal(signal.SIGSTOP)
        becomes(cp.start(), order, "valid", 60)
        released.set()
        wait_until(lambda: all(a.answered for a in ca.asked), 20, "the nonce given")
    finally:
        released.set()
        paused.process.signal(signal.SIGCONT)
        ca.give_nonces = True
    wait_until(lambda: f"id={order}" in paused.process.log().partition("order lease")[2], 20, "the lost lease noticed")
    paused.process.stop()
    assert sum(o.host == host for o in ca.orders.values()) == 1


def test_stopping_while_the_directory_hangs(ca, bare_cluster):
    released = threading.Event()
    ca.answer["dir"] = lambda _: released.wait(60) and None
    c = add_control_plane(bare_cluster, ca).start()
    before = ca.count("dir")
    for other in bare_cluster.control_planes[:-1]:
        other.process.stop()
    try:
        ask(c, "hanging.example.com")
        wait_until(lambda: ca.count("dir") > before, 20, "the directory asked for")
        assert c.process.stop() == 0
    finally:
        released.set()
