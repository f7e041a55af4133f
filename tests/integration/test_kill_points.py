"""kill -9 of the control plane that has an order, at each of its requests to the authority and at each commit of its row: the order ends valid in
the time that the lease says, the authority made one certificate, data planes serve it, and no challenge is left behind.

Two control planes, so that the other one takes over when the lease has run out; RESTART has one only, which is started again and is a new
owner too. A request is killed "before" (it never reaches the authority) and "after" (the authority has acted, nobody hears its answer); so is a
commit: the transaction is rolled back, or done without a word. Requests of several orders are held at once and die by one kill.
"""

import collections
import concurrent.futures
import contextlib
import re
import time

import psycopg2
import pytest
from cryptography import x509

from acme_parts import FaultProxy, StandIn
from harness import wait_until
from relay import Relay

LEASE_S, TICK_S, WORK_S = 1.5, 1, 15  # the last: for starts and steps on a busy machine, sanitized
BOUND_S = LEASE_S + TICK_S + WORK_S
BEFORE, AFTER = "before", "after"

# Of each order: its request to that page, the how many-th.
REQUESTS = [("new-order", 1), ("authz", 1), ("challenge", 1), ("authz", 2), ("finalize", 1), ("order", 1), ("cert", 1)]
# Of a control plane that has just started.
FIRST_REQUESTS = ["directory", "new-nonce", "new-account"]
# By the trigger below: the first two are the row's insertion, and the lease on it.
COMMITS = ["asked", "taken", "authorizing", "publishing", "validating", "finalizing", "downloading", "valid"]
# Where nobody knows the URL of the authority's order any more.
TWO_ORDERS = {("new-order-1", AFTER), ("authorizing", BEFORE)}

# Gates stop a statement until the test lets it go on; `only` says which control plane may take orders; tokens are remembered.
SQL = """
CREATE TABLE points_gates (host text, point text);
CREATE TABLE points_only (owner uuid);
CREATE TABLE points_tokens (host text, token text);
CREATE FUNCTION points_order() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE reached text := CASE WHEN TG_OP = 'INSERT' THEN 'asked' WHEN NEW.state <> OLD.state THEN NEW.state
	WHEN NEW.lease_owner IS NOT NULL AND NEW.lease_owner IS DISTINCT FROM OLD.lease_owner THEN 'taken' END;
BEGIN
	IF reached = 'taken' AND EXISTS (SELECT FROM points_only WHERE owner <> NEW.lease_owner) THEN RETURN NULL; END IF;
	IF EXISTS (SELECT FROM points_gates g WHERE g.host = NEW.host AND g.point = reached) THEN PERFORM pg_advisory_xact_lock(41); END IF;
	RETURN NEW;
END $$;
CREATE FUNCTION points_challenge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO points_tokens VALUES (NEW.host, NEW.token);
	RETURN NEW;
END $$;
CREATE TRIGGER points BEFORE INSERT OR UPDATE ON acme_orders FOR EACH ROW EXECUTE FUNCTION points_order();
CREATE TRIGGER points AFTER INSERT ON acme_challenges FOR EACH ROW EXECUTE FUNCTION points_challenge();
"""


class Points:
    """The cluster, the authority behind the proxy, and what was killed."""

    def __init__(self, cluster, database, folder):
        self.c, self.relay = cluster, Relay(database)
        self.db = psycopg2.connect(database)
        self.db.autocommit = True
        cluster.dsn = self.relay.dsn
        self.ca = StandIn(folder, "kill-ca").start()
        self.proxy = FaultProxy(folder, self.ca, "kill-proxy").start()
        for _ in range(2):
            cluster.add_control_plane(
                acme_directory=self.proxy.directory, acme_ca_file=self.proxy.ca_file, acme_allow_private="on", acme_lease=f"{int(LEASE_S * 1000)}ms"
            )
        cluster.cp.start()
        self.sql(SQL)
        cluster.control_planes[1].start()
        d = cluster.add_data_plane().start()
        self.ca.addresses(http=[f"{d.ip}:{d.http_port}"])
        self.turn = 0
        assert cluster.cp.issue("primer.kill.example.com").status_code == 201  # with the account

    def sql(self, statement, *args):
        with self.db.cursor() as cur:
            cur.execute(statement, args)
            return cur.fetchall() if cur.description else None

    def close(self):
        self.db.close()
        self.relay.close()
        self.proxy.stop()
        self.ca.stop()

    # --- who works, and who dies ---

    def pair(self):
        """Both alive: who is killed now, and the other; they take turns."""
        self.turn += 1
        planes = self.c.control_planes
        for cp in planes:
            if not cp.process.alive():
                cp.start(wait=False)
        for cp in planes:
            cp.wait_ready()
        return planes[self.turn % 2], planes[(self.turn + 1) % 2]

    @contextlib.contextmanager
    def only(self, cp):
        """Orders are taken by this one alone."""
        owner = re.findall(r"control plane started.* id=([0-9a-f-]{36})", cp.process.log())[-1]
        self.sql("INSERT INTO points_only VALUES (%s)", owner)
        try:
            yield
        finally:
            self.sql("DELETE FROM points_only")

    @staticmethod
    def ask(cp, host):
        r = cp.post("/acme", json={"host": host}, headers={"Prefer": "respond-async"})
        assert r.status_code == 202, r.text + cp.process.log()[-3000:]
        return r.json()["order"]["id"]

    def all_held(self, n):
        def missing():
            log = self.proxy.log()
            assert sum(e["fault"] == "hold" or (e["fault"] == "hold_after" and e["status"] is not None) for e in log) == n, log
            return True

        wait_until(missing, 20, "all requests held")

    # --- afterwards ---

    def becomes_valid(self, cp, host, since):
        def valid():
            o = cp.get(f"/acme/orders?host={host}").json()["data"]
            return o and o[0]["state"] == "valid" and o

        orders = wait_until(valid, BOUND_S - (time.monotonic() - since), f"{host} valid")
        assert len(orders) == 1, orders
        return time.monotonic() - since

    def check(self, host, ca_orders):
        """All that has to hold once the order is valid."""
        d = self.c.data_planes[0]
        made = self.ca.certificates(host)
        assert len(made) == 1, made
        serial = int(made[0]["serial"], 16)
        wait_until(lambda: x509.load_der_x509_certificate(d.peer_certificate(host)).serial_number == serial, 10, f"{host} served with its certificate")
        assert sum(e["name"] == host and e["endpoint"] == "new-order" and e["status"] == 201 for e in self.proxy.log()) == ca_orders
        assert self.sql("SELECT count(*) FROM acme_challenges WHERE host = %s", host) == [(0,)]
        tokens = [t for t, in self.sql("SELECT token FROM points_tokens WHERE host = %s", host)]
        assert tokens, "no challenge was ever published"
        for token in tokens:
            wait_until(lambda: d.http(f"/.well-known/acme-challenge/{token}", host).status_code == 404, 10, "the token gone from the data plane")


@pytest.fixture(scope="module")
def points(bare_cluster, database, run_folder):
    p = Points(bare_cluster, database, bare_cluster.folder)
    yield p
    bare_cluster.stop()  # before what they stand on
    p.close()


# --- requests of orders: all held, then one kill ---

Held = collections.namedtuple("Held", "host page nth when")
ROWS = [(page, nth, when) for page, nth in REQUESTS for when in (BEFORE, AFTER)]


def held(mode):
    return [Held(f"{page}-{nth}.{when}.{mode}.kill.example.com", page, nth, when) for page, nth, when in ROWS]


def kill_all(p, mode):
    """{host: seconds until it was valid, or what went wrong}"""
    dies, survives = p.pair()
    if mode == "restart":
        survives.process.stop()
    rows = held(mode)
    p.proxy.rules(*({"endpoint": r.page, "nth": r.nth, "name": r.host, "fault": "hold" if r.when == BEFORE else "hold_after"} for r in rows))
    with p.only(dies):
        for r in rows:
            p.ask(dies, r.host)
        p.all_held(len(rows))
        dies.process.kill()
        since = time.monotonic()
    if mode == "restart":
        dies.start()
    told = {}
    for r in rows:
        try:
            told[r.host] = p.becomes_valid(dies if mode == "restart" else survives, r.host, since)
        except AssertionError as e:
            told[r.host] = e
    return told


@pytest.fixture(scope="module", params=["takeover", "restart"])
def killed(request, points):
    return points, request.param, kill_all(points, request.param)


@pytest.mark.parametrize("page,nth,when", ROWS, ids=lambda v: str(v))
def test_killed_at_a_request(killed, page, nth, when):
    p, mode, told = killed
    host = f"{page}-{nth}.{when}.{mode}.kill.example.com"
    if isinstance(told[host], AssertionError):
        raise told[host]
    p.check(host, 2 if (f"{page}-{nth}", when) in TWO_ORDERS else 1)


# --- the first requests of a control plane ---


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("page", FIRST_REQUESTS)
def test_killed_at_its_first_requests(points, page, when):
    p = points
    dies, survives = p.pair()
    host = f"{page}.{when}.first.kill.example.com"
    p.proxy.rules()
    accounts = p.ca.counters()["accounts"]
    if page == "new-account":
        (account,) = [a for a in survives.get("/acme/accounts").json()["data"] if not a["deactivated_at"]]
        assert survives.delete(f"/acme/accounts/{account['id']}").status_code in (200, 204)
    dies.process.stop()
    p.proxy.rules({"endpoint": page, "fault": "hold" if when == BEFORE else "hold_after"})
    dies.start()
    with p.only(dies):
        p.ask(dies, host)
        p.all_held(1)
        dies.process.kill()
        since = time.monotonic()
    p.becomes_valid(survives, host, since)
    p.check(host, 1)
    assert p.ca.counters()["accounts"] - accounts == (page == "new-account")


# --- commits ---


@contextlib.contextmanager
def gate(p, host, point):
    """Inside, the statement that brings the order there waits; gives the pid of its backend when it does."""
    p.sql("INSERT INTO points_gates VALUES (%s, %s)", host, point)
    p.sql("SELECT pg_advisory_lock(41)")
    try:
        yield lambda: wait_until(lambda: p.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"), 20, f"{point} reached")[0][0]
    finally:
        p.sql("DELETE FROM points_gates")
        p.sql("SELECT pg_advisory_unlock_all()")


def is_there(p, host, point):
    if point in ("asked", "taken"):
        return p.sql("SELECT 1 FROM acme_orders WHERE host = %s AND (%s OR lease_owner IS NOT NULL)", host, point == "asked")
    return p.sql("SELECT 1 FROM acme_orders WHERE host = %s AND state = %s", host, point)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("point", COMMITS)
def test_killed_at_a_commit(points, point, when):
    p = points
    dies, survives = p.pair()
    host = f"{point}.{when}.commit.kill.example.com"
    p.proxy.rules()
    with p.only(dies):
        with gate(p, host, point) as reached:
            asked = concurrent.futures.ThreadPoolExecutor(1).submit(p.ask, dies, host)
            backend = reached()
            if when == BEFORE:
                dies.process.kill()
                p.sql("SELECT pg_terminate_backend(%s, 5000)", backend)
            else:
                p.relay.hold_answers()
        if when == AFTER:
            wait_until(lambda: is_there(p, host, point), 10, f"{point} committed")
            dies.process.kill()
            p.relay.go_on()
        since = time.monotonic()
    if asked.exception() and not is_there(p, host, "asked"):
        assert (point, when) == ("asked", BEFORE)
        p.ask(survives, host)
    p.becomes_valid(survives, host, since)
    p.check(host, 2 if (point, when) in TWO_ORDERS else 1)


def test_nothing_is_left(points):
    p = points
    assert p.sql("SELECT count(*) FROM acme_challenges") == [(0,)]
    assert p.sql("SELECT host, state FROM acme_orders WHERE state <> 'valid'") == []
    assert p.ca.duplicates() == {}
    wait_until(lambda: p.c.data_planes[0].metric("cardea_dp_challenges") == 0, 10, "no challenge left on the data plane")
