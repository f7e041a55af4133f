"""What a CA does wrong, and what becomes of orders then (reliability-goals section 10, F10): a scripted authority instead of Pebble."""

import signal
import threading

import psycopg2
import pytest

from harness import wait_until
from pki import make_cert, make_key
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
    ca.reuses = lambda host: True  # but where the challenge matters: without a data plane it takes seconds
    yield
    ca.answer.clear()


def add_control_plane(cluster, ca, **settings):
    return cluster.add_control_plane(acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on", **settings)


@pytest.fixture(scope="module")
def cp(bare_cluster, ca):
    return add_control_plane(bare_cluster, ca, acme_max_in_flight=16).start()


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


def test_proper_answers(cp, ca):
    ca.reuses = lambda host: False
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
    ca.reuses = lambda host: False
    ca.answer[page] = spend(page)
    if page == "finalize":
        ca.answer["order"] = spend(page)
    order = becomes(cp, ask(cp, host), "valid")
    assert order["attempts"] == 1
    assert sum(o.host == host for o in ca.orders.values()) == 2


def json_of_depth(n):
    return b'{"status":' + b"[" * n + b"]" * n + b"}"


NONSENSE = {
    "html": (200, b"<html><body>Sign in to this network</body></html>", {"Content-Type": "text/html"}),
    "empty": (200, b"", {}),
    "list": (200, [], {}),
    "types": (200, {"status": 5, "authorizations": {}, "challenges": 1, "finalize": None}, {}),
    "unknown": (200, {"status": "fine", "authorizations": ["https://localhost/"], "finalize": "https://localhost/"}, {}),
    "deep": (200, json_of_depth(5000), {}),
    "long": (200, b" " * 300000, {}),
    "html-500": (500, b"<html>oops</html>", {"Content-Type": "text/html"}),
    "moved": (302, b"", {"Location": "https://localhost/elsewhere"}),
}


def test_ch_07_nonsense_is_shown_and_asked_again(cp, ca):
    """Each kind of nonsense once from each page; then the authority is itself again."""
    pages = ("new-order", "authz", "challenge", "finalize", "cert")
    # What a challenge's page says with 200 is not read: its authorization tells, or nothing does for a minute.
    rows = {
        f"{kind}.{page}.example.com": (page, answer)
        for page in pages
        for kind, answer in NONSENSE.items()
        if page != "challenge" or answer[0] != 200
    }
    told = set()
    ca.reuses = lambda host: ".challenge." not in host

    def once(asked):
        host = asked.order.host if asked.order else asked.payload["identifiers"][0]["value"]
        page, answer = rows.get(host, (None, None))
        if page != asked.page or host in told:
            return None
        told.add(host)
        return answer

    ca.answer.update(dict.fromkeys(pages, once))
    orders = {host: ask(cp, host) for host in rows}
    ended = {}

    def all_ended():
        for host in orders.keys() - ended.keys():
            o = order_of(cp, orders[host])
            if o["state"] in ("valid", "failed"):
                ended[host] = o
            elif o["last_problem"]:
                cp.post(f"/acme/orders/{o['id']}/retry")
        return len(ended) == len(orders)

    wait_until(all_ended, 90, "all orders at their end")
    assert told == rows.keys()
    assert {host: o["last_problem"] for host, o in ended.items() if o["state"] != "valid"} == {}
    assert [host for host, o in ended.items() if o["attempts"] == 0] == []


def test_ch_08_bad_nonces(cp, ca):
    """A few are nothing to talk about; without end they are a problem of the order, and never a flood."""
    refused = []
    bad = (400, {"type": ACME + "badNonce", "detail": "used"}, {})

    def thrice(asked):
        refused.append(asked.page)
        return bad if refused.count(asked.page) <= 3 else None

    ca.answer.update(dict.fromkeys(("new-order", "authz", "finalize", "cert"), thrice))
    order = becomes(cp, ask(cp, "nonces.example.com"), "valid")
    assert order["attempts"] == 0
    ca.answer.clear()
    ca.answer["new-order"] = lambda _: bad
    before = ca.count("new-order")
    order = ask(cp, "no-nonces.example.com")
    wait_until(lambda: order_of(cp, order)["last_problem"], 20, "the problem shown")
    o = order_of(cp, order)
    assert o["state"] == "new" and o["last_problem"]["type"] == ACME + "badNonce"
    assert ca.count("new-order") - before <= 6 * o["attempts"]
    ca.answer.clear()
    becomes(cp, order, "valid")


@pytest.mark.parametrize("after,least", [("120", 110), ("Fri, 01 Jan 2100 00:00:00 GMT", 29 * 86400)])
def test_ch_09_retry_after_is_kept_and_others_go_on(cp, ca, after, least):
    host = f"limited-{least}.example.com"
    ca.answer["new-order"] = lambda a: (429, {"type": ACME + "rateLimited", "detail": "slow down"}, {"Retry-After": after}) if a.payload["identifiers"][0]["value"] == host else None
    order = ask(cp, host)
    wait_until(lambda: order_of(cp, order)["last_problem"], 20, "the problem shown")
    o = order_of(cp, order)
    assert o["state"] == "new" and o["next_attempt"] - o["updated_at"] >= least
    assert becomes(cp, ask(cp, f"other-{least}.example.com"), "valid")["attempts"] == 0


def signed_for(ca, host, days=90, key=None):
    """What the authority gives instead: a certificate that nobody asked for."""

    def answer(asked):
        ca.issue(asked)
        asked.order.cert = make_cert([host], key or make_key(), ca.root, ca.key, days=days)
        return 200, ca.order_doc(asked.order), {}

    return answer


def for_another_name(ca):
    def answer(asked):
        asked.order.names[0].identifier, own = {"type": "dns", "value": "another.example.com"}, asked.order.names[0].identifier
        ca.issue(asked)
        asked.order.names[0].identifier = own
        return 200, ca.order_doc(asked.order), {}

    return answer


def expired(ca):
    def answer(asked):
        ca.issue(asked, days=-0.5)
        return 200, ca.order_doc(asked.order), {}

    return answer


@pytest.mark.parametrize(
    "name,reason,make",
    [
        ("key", "key", lambda ca: signed_for(ca, "ch10-key.example.com")),
        ("name", "does not cover", for_another_name),
        ("dates", "expired", expired),
    ],
)
def test_ch_10_certificate_that_is_not_what_was_asked_for(cp, ca, name, reason, make):
    host = f"ch10-{name}.example.com"
    becomes(cp, ask(cp, host), "valid")
    before = cp.get(f"/certificates/{host}").json()["cert"]
    ca.answer["finalize"] = make(ca)
    order = becomes(cp, ask(cp, host), "failed")
    assert reason in order["last_problem"]["detail"]
    assert cp.get(f"/certificates/{host}").json()["cert"] == before


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


def stray(database, host, state, since):
    """An order of an authority that no control plane is configured for any more, due so long."""
    challenge = sql(
        database,
        "INSERT INTO acme_challenges (id, host, token, key_authorization) VALUES (gen_random_uuid(), %s, 'stray', 'stray.x') RETURNING id",
        host,
    )[0][0]
    return sql(
        database,
        "INSERT INTO acme_orders (id, host, directory, key_type, state, next_attempt, order_url, authorizations, challenge_ids) VALUES "
        "(gen_random_uuid(), %s, 'https://old.example/dir', 'ecdsa-p256', %s, now() - %s::interval, 'https://old.example/1', "
        "'[{\"url\": \"https://old.example/2\"}]', ARRAY[%s]::uuid[]) RETURNING id",
        host,
        state,
        since,
        challenge,
    )[0][0]


def test_ct_07_orders_of_a_former_authority_go_on_at_the_new_one(cp, ca, database):
    """acme_directory was changed while orders, a renewal say, were under way: nobody would ever take them again."""
    cp.process.stop()
    ca.answer["new-order"] = lambda a: (503, b"", {}) if a.payload["identifiers"][0]["value"] == "both.example.com" else None
    left = stray(database, "left.example.com", "publishing", "6 minutes")
    young = stray(database, "young.example.com", "new", "4 minutes")
    second = stray(database, "both.example.com", "validating", "1 hour")
    sql(
        database,
        "INSERT INTO acme_orders (id, host, directory, key_type) VALUES (gen_random_uuid(), 'both.example.com', %s, 'ecdsa-p256')",
        ca.directory,
    )
    cp.start()
    order = becomes(cp, left, "valid")
    assert order["directory"] == ca.directory
    assert order_of(cp, second)["state"] == "failed" and "not configured" in order_of(cp, second)["last_problem"]["detail"]
    # Another control plane may still be configured for it.
    assert order_of(cp, young)["state"] == "new" and order_of(cp, young)["directory"] == "https://old.example/dir"
    assert sql(database, "SELECT host FROM acme_challenges WHERE token = 'stray'") == [("young.example.com",)]
    assert sql(database, "SELECT count(*) FROM changes WHERE revision <= 0") == [(0,)]


def test_db_04_paused_control_plane_makes_no_second_order(cp, ca, bare_cluster):
    """Stopped between the nonce and the new order (F02), and taken over: what it wanted to ask next is not asked any more."""
    host = "paused.example.com"
    released, held = threading.Event(), []

    def hold_the_first(asked):
        held.append(asked)
        if len(held) == 1:
            released.wait(60)

    ca.give_nonces = False  # so that each request fetches one first
    cp.process.stop()
    paused = add_control_plane(bare_cluster, ca).start()
    becomes(paused, ask(paused, "primer.example.com"), "valid")
    ca.answer["nonce"] = hold_the_first
    try:
        order = ask(paused, host)
        wait_until(lambda: held, 20, "a nonce asked for")
        paused.process.signal(signal.SIGSTOP)
        becomes(cp.start(), order, "valid", 60)
        released.set()
        wait_until(lambda: held[0].answered, 20, "the nonce given")
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
    for other in bare_cluster.control_planes:
        other.process.stop()
    before = ca.count("dir")
    c = add_control_plane(bare_cluster, ca).start()
    try:
        ask(c, "hanging.example.com")
        wait_until(lambda: ca.count("dir") > before, 20, "the directory asked for")
        assert c.process.stop() == 0
    finally:
        released.set()
