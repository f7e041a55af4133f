"""The admin table: each row of rows/ is one request, with the exact status and body that it must produce (rows/README.md)."""

import json
import re

import psycopg2
import pytest

import rows
from harness import wait_until

# Methods that change something, and are answered with the revision that they made.
WRITES = ("POST", "PUT", "PATCH", "DELETE")


class WithDatabase:
    """A control plane on PostgreSQL that holds the world, and what its tables say behind its back."""

    def __init__(self, cp, dsn):
        self.ip, self.port, self.cp = cp.ip, cp.admin_port, cp
        self.db = psycopg2.connect(dsn)
        self.db.autocommit = True
        self.make_world()
        self.world = self.state(whole=False)
        for kind, members in rows.world().items():
            assert self.ids(kind) == {e["id"] for e in members.values()}, kind

    def state(self, whole=True):
        """Fingerprints of all tables; without times and counts of changes unless whole."""
        shown = "to_jsonb(t)" if whole else "to_jsonb(t) - 'updated_at' - 'version' - 'key' - 'key_alt'"
        parts = [f"SELECT '{t}', md5(string_agg(({shown})::text, ',' ORDER BY id)) FROM {t} t" for t in rows.KINDS]
        with self.db.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts))
            return dict(cursor.fetchall())

    def put(self, kind, entity):
        if kind == "targets":
            self.cp.post(f"/upstreams/{entity['upstream']['id']}/targets", json=entity)
        else:
            self.cp.put(f"/{kind}/{entity['id']}", json=entity)

    def make_world(self):
        for kind, members in rows.world().items():
            for entity in members.values():
                self.put(kind, entity)

    def ids(self, kind):
        with self.db.cursor() as cursor:
            cursor.execute(f"SELECT id::text FROM {kind}")
            return {row[0] for row in cursor.fetchall()}

    def restore(self):
        """The world as it was: by way of the API, so that the control plane knows of it. Some entities hold others, so once may not do."""
        for _ in range(4):
            if self.state(whole=False) == self.world:
                return
            self.drop_strangers()
            self.make_world()
        raise AssertionError("the world could not be made again")

    def drop_strangers(self):
        for kind in reversed(rows.KINDS):
            ours = {e["id"] for e in rows.world()[kind].values()}
            for ident in self.ids(kind) - ours if kind != "targets" else ():
                self.cp.delete(f"/{kind}/{ident}")
        for upstream in self.ids("upstreams"):
            for target in self.cp.get(f"/upstreams/{upstream}/targets?size=1000").json()["data"]:
                self.cp.delete(f"/upstreams/{upstream}/targets/{target['id']}")

    def begin(self, spec):
        for before in spec.get("given", []):
            answer = rows.send(self.ip, self.port, before)
            assert answer.status < 300, f"{before['request']}: {answer.body.decode()}"
        self.before = self.state()

    def end(self, spec, answer):
        """What is refused, or only read, leaves no trace; what was written names its revision and reads as it was answered."""
        changed = self.state() != self.before
        method = spec["request"].split(" ", 1)[0]
        try:
            if answer.status >= 300 or method not in WRITES or re.search("/validate$|^PUT /debug/", spec["request"]):
                assert not changed, "something was written"
            elif method != "DELETE":
                assert answer.headers["X-Cardea-Revision"]
                self.check_stored(json.loads(answer.body))
        finally:
            if changed or spec.get("given"):
                self.restore()

    def check_stored(self, entity):
        kind = next(k for k in rows.KINDS if entity["id"] in self.ids(k))
        path = f"/upstreams/{entity['upstream']['id']}/targets" if kind == "targets" else f"/{kind}"
        assert self.cp.get(f"{path}/{entity['id']}").json() == entity


class WithoutDatabase:
    """A control plane without a database that was given the world as a document."""

    def __init__(self, cp):
        self.ip, self.port, self.cp = cp.ip, cp.admin_port, cp
        wait_until(lambda: cp.get("/status").ok, what="the admin API")
        r = cp.post("/config", json=rows.document())
        assert r.status_code == 201, r.text
        cp.wait_ready()
        self.world = self.state()

    def state(self):
        return self.cp.get("/config").json()["config"]

    def begin(self, spec):
        pass

    def end(self, spec, answer):
        assert self.state() == self.world, "something was written"


@pytest.fixture(scope="module")
def without_database(dbless_cluster):
    return WithoutDatabase(dbless_cluster.add_control_plane().start(wait=False))


@pytest.fixture(scope="module")
def with_database(bare_cluster, database):
    table = WithDatabase(bare_cluster.add_control_plane().start(), database)
    yield table
    table.db.close()


def check_form(spec, answer):
    """What every answer has (kong-admin-api.md 1.1)."""
    headers = answer.headers
    assert headers["Server"] and int(headers["X-Kong-Admin-Latency"]) >= 0
    assert headers["Access-Control-Allow-Credentials"] == "true" and headers["Access-Control-Allow-Origin"]
    if answer.status == 204:
        assert headers["Content-Length"] is None  # RFC 9110 8.6
    elif not spec["request"].startswith("HEAD "):
        assert int(headers["Content-Length"]) == len(answer.body)
    for name, value in spec.get("answer_headers", {}).items():
        assert headers[name] == value


def check(spec, answer):
    assert answer.status == spec["status"], f"{answer.status}: {answer.body.decode(errors='replace')[:2000]}"
    if not spec.get("before_admin"):
        check_form(spec, answer)
    want = rows.wanted(spec)
    if want is None:
        assert answer.body == b""
        return
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    got = json.loads(answer.body)
    assert rows.text(got) == rows.text(rows.fill(want, got))


def run(table, spec):
    table.begin(spec)
    answer = rows.send(table.ip, table.port, spec)
    try:
        check(spec, answer)
    finally:
        table.end(spec, answer)


ROWS = rows.load()


VALIDATION = list(rows.checks())


def named(all_rows, holds):
    return pytest.mark.parametrize("row", [r for r in all_rows if holds(r.spec)], ids=lambda r: r.name)


@named(ROWS + VALIDATION, rows.holds_with_database)
def test_with_database(with_database, row):
    run(with_database, row.spec)


@named(ROWS + VALIDATION, rows.holds_without_database)
def test_without_database(without_database, row):
    run(without_database, row.spec)


def test_the_table_is_as_long_as_promised():
    bad = [r for r in ROWS if r.spec["status"] >= 400]
    assert len(ROWS) >= 400 and len(bad) > len(ROWS) - len(bad)
    assert len({r.name for r in ROWS}) == len(ROWS)
