"""Two control planes, two data planes, 64 clients that write overlapping names while a control plane is killed and restarted twice.

CONTENTION_SECONDS: how long (CI: a minute).
"""

import contextlib
import os
import ssl
import threading
import time

import psycopg2
import pytest
from cryptography import x509

from contention import KINDS, SNIS, Account, Client, Write, make_pairs
from harness import wait_until

SECONDS = float(os.environ.get("CONTENTION_SECONDS", "15"))
CLIENTS = 64
KILLS = (0.25, 0.6)  # of the time


@pytest.fixture(scope="module")
def after(bare_cluster, database):
    """The cluster when the clients have stopped, and all their writes."""
    c = bare_cluster
    for _ in range(2):
        c.add_control_plane().start()
    for _ in range(2):
        c.add_data_plane().start()
    done, pairs = threading.Event(), make_pairs()
    clients = [Client(i, c.control_planes, pairs, done) for i in range(CLIENTS)]
    begin = time.monotonic()
    for x in clients:
        x.start()
    for share in KILLS:
        done.wait(max(0, begin + share * SECONDS - time.monotonic()))
        c.cp.process.kill()
        c.cp.start()
    done.wait(max(0, begin + SECONDS - time.monotonic()))
    done.set()
    for x in clients:
        x.join(60)
    c.wrong = [w for x in clients for w in x.wrong] + [f"client {i} did not stop" for i, x in enumerate(clients) if x.is_alive()]
    c.writes = [w for x in clients for w in x.writes]
    with contextlib.closing(psycopg2.connect(database)) as db:
        db.autocommit = True
        c.db = db
        yield c


def sql(c, text):
    with c.db.cursor() as cur:
        cur.execute(text)
        return cur.fetchall()


def all_rows(cp, kind):
    rows, url = [], f"/{kind}?size=1000"
    while url:
        page = cp.get(url).json()
        rows += page["data"]
        url = page["next"]
    return rows


def targets_of(cp):
    return [t for u in all_rows(cp, "upstreams") for t in all_rows(cp, f"upstreams/{u['id']}/targets")]


def stored(cp):
    kinds = {kind: targets_of(cp) if kind == "targets" else all_rows(cp, kind) for kind in KINDS}
    return {(kind, row["id"]): row for kind, rows in kinds.items() for row in rows}


def test_clients_got_answers_of_the_contract(after):
    assert not after.wrong, after.wrong[:5]
    acknowledged = [w for w in after.writes if w.acknowledged]
    for kind in KINDS:
        assert {w.method for w in acknowledged if w.kind == kind} == {"POST", "PUT", "PATCH", "DELETE"}, kind


def test_every_acknowledged_write_is_there(after):
    changes = {(kind, ident): (revision, removed) for kind, ident, revision, removed in sql(after, "SELECT kind, id::text, revision, removed FROM changes")}
    for cp in after.control_planes:
        wrong = Account(after.writes, stored(cp), changes).check()
        assert not wrong, f"{len(wrong)}, first: {wrong[0]}"


def write(method, tag, revision, lost=False, ident="a", **answer):
    w = Write("consumers", method, "/consumers/x", None if method == "DELETE" else {"custom_id": tag})
    w.tag, w.revision, w.lost, w.id = tag, revision, lost, ident
    if w.body:
        w.body["tags"] = [tag]
        w.answer = {"id": ident, "tags": [tag], "custom_id": tag, "username": "x", **answer}
    return w


def row(tag, **more):
    return {"id": "a", "tags": [tag], "custom_id": tag, "username": "x", **more}


PUT = write("PUT", "p", 5)
ACCOUNTS = [  # what, writes, stored row, its change, what is found
    ("as acknowledged", [PUT], row("p"), (5, False), None),
    ("a lost write came through", [PUT, write("PUT", "l", None, lost=True)], row("l"), (6, False), None),
    ("a lost write did not come through", [PUT, write("PUT", "l", None, lost=True)], row("p"), (5, False), None),
    ("a lost removal came through", [PUT, write("DELETE", "d", None, lost=True)], None, (6, True), None),
    ("removed", [PUT, write("DELETE", "d", 6)], None, (6, True), None),
    ("removed too late", [PUT, write("DELETE", "d", 5)], row("p"), (5, False), None),
    ("gone", [PUT], None, None, "an acknowledged write is not there"),
    ("an older one is stored", [PUT, write("PUT", "q", 6)], row("p"), (5, False), "an acknowledged write is not there"),
    ("stored otherwise", [PUT], row("p", username="y"), (5, False), "the last acknowledged write is stored otherwise"),
    ("removed in its revision", [PUT], None, (5, True), "the last acknowledged write is stored otherwise"),
    ("a removal is not there", [PUT, write("DELETE", "d", 6)], row("p"), (5, False), "an acknowledged removal is not there"),
    ("somebody else's revision", [PUT], None, (6, True), "revisions that no client wrote"),
    ("another writer", [PUT], row("p"), (6, False), "a row has another writer than its revision"),
    ("a merge over an old row", [PUT, write("PATCH", "q", 6, username="y")], row("q", username="y"), (6, False), "a write was lost in a merge"),
]


@pytest.mark.parametrize("what,writes,stored_row,change,found", ACCOUNTS, ids=[a[0] for a in ACCOUNTS])
def test_account_finds_what_is_wrong(what, writes, stored_row, change, found):
    at = ("consumers", "a")
    wrong = Account(writes, {at: stored_row} if stored_row else {}, {at: change} if change else {}).check()
    assert [w.split(":")[0] for w in wrong][:1] == ([found] if found else []), wrong


CONSTRAINTS = {
    "an entity without a change": " UNION ALL ".join(
        f"SELECT '{k}', t.id FROM {k} t LEFT JOIN changes c ON c.kind = '{k}' AND c.id = t.id AND NOT c.removed WHERE c.id IS NULL" for k in KINDS
    ),
    "a change without its entity": " UNION ALL ".join(
        f"SELECT '{k}', c.id FROM changes c LEFT JOIN {k} t ON t.id = c.id WHERE c.kind = '{k}' AND c.removed = (t.id IS NOT NULL)" for k in KINDS
    ),
    "a change without a revision": "SELECT kind, id FROM changes WHERE revision < 1",
    "a revision from the future": "SELECT revision FROM changes WHERE revision > (SELECT revision FROM cluster)",
    "a hole in the revisions": "SELECT r.revision FROM revisions r, cluster c WHERE r.revision > 1"
    " AND NOT EXISTS (SELECT 1 FROM revisions p WHERE p.revision = r.revision - 1)",
    "names twice": "SELECT lower(name) FROM snis GROUP BY 1 HAVING count(*) > 1",
    "a name without its certificate": "SELECT s.id FROM snis s LEFT JOIN certificates c ON c.id = s.certificate WHERE c.id IS NULL",
    "a route without its service": "SELECT r.id FROM routes r LEFT JOIN services s ON s.id = r.service WHERE r.service IS NOT NULL AND s.id IS NULL",
    "a target twice": "SELECT upstream, target FROM targets GROUP BY 1, 2 HAVING count(*) > 1",
    "a target without its upstream": "SELECT t.id FROM targets t LEFT JOIN upstreams u ON u.id = t.upstream WHERE u.id IS NULL",
    "a plugin twice": "SELECT name, route, service, consumer FROM plugins GROUP BY 1, 2, 3, 4 HAVING count(*) > 1",
    "a plugin without what it belongs to": "SELECT p.id FROM plugins p LEFT JOIN routes r ON r.id = p.route LEFT JOIN services s ON s.id = p.service"
    " LEFT JOIN consumers c ON c.id = p.consumer WHERE (p.route IS NOT NULL AND r.id IS NULL) OR (p.service IS NOT NULL AND s.id IS NULL)"
    " OR (p.consumer IS NOT NULL AND c.id IS NULL)",
    "a service's name twice": "SELECT name FROM services GROUP BY 1 HAVING count(*) > 1",
    "a consumer's custom_id twice": "SELECT custom_id FROM consumers WHERE custom_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1",
}


@pytest.mark.parametrize("what", CONSTRAINTS)
def test_no_constraint_is_broken(after, what):
    assert sql(after, CONSTRAINTS[what]) == []


def test_data_planes_equal_the_database(after):
    revision = sql(after, "SELECT revision FROM cluster")[0][0]
    for d in after.data_planes:
        wait_until(lambda: d.status().json()["configuration"]["revision"] == revision, 20, f"{d.name} at revision {revision}")
    served = dict(sql(after, "SELECT s.name, c.cert FROM snis s JOIN certificates c ON c.id = s.certificate"))
    assert served
    for d in after.data_planes:
        for name in SNIS:
            host = name.replace("*", "any")
            if name in served:
                want = x509.load_pem_x509_certificate(served[name].encode()).serial_number
                assert x509.load_der_x509_certificate(d.peer_certificate(host)).serial_number == want, name
            else:
                with pytest.raises(ssl.SSLError):
                    d.peer_certificate(host)
    for kind, table in (("certificates", "certificates"), ("names", "snis")):
        count = sql(after, f"SELECT count(*) FROM {table}")[0][0]
        assert [d.status().json()["tables"][kind] for d in after.data_planes] == [count] * 2
