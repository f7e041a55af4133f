"""Clients that write overlapping names at several control planes, and the account of what was acknowledged.

Every write carries its own tag, so each row says who wrote it last; every answer carries its revision, which orders the writes. A write whose
answer was lost may have happened or not.
"""

import itertools
import json
import random
import threading
import time
import uuid

import requests

from pki import key_pem, make_cert, make_key, pem

NAMES = 6  # of each kind: 64 clients always meet
PAIRS = 12
SNIS = [f"s{i}.example.com" for i in range(10)] + ["*.w0.example.com", "*.w1.example.com"]
CERTIFICATES = [str(uuid.UUID(int=(4 << 76) | (8 << 60) | n)) for n in range(NAMES)]
KINDS = ("certificates", "snis", "services", "routes", "upstreams", "targets", "consumers", "plugins")

_numbers = itertools.count(1)


def make_pairs():
    pairs = []
    for i in range(PAIRS):
        key = make_key()
        pairs.append((pem(make_cert([f"p{i}.example.com"], key)), key_pem(key)))
    return pairs


class Write:
    """One request: what it asked for, and what became of it."""

    def __init__(self, kind, method, path, body):
        self.kind, self.method, self.path, self.body = kind, method, path, body
        self.tag = f"w{next(_numbers)}"
        self.id, self.revision, self.answer, self.lost = None, None, None, False
        if body is not None:
            body["tags"] = [self.tag]

    @property
    def acknowledged(self):
        return self.revision is not None

    def names(self):
        """What it could have meant: the end of its path, or the name in its body."""
        keys = ("id", "name", "username", "instance_name", "target")
        return {self.id, self.path.rsplit("/", 1)[1], *((self.body or {}).get(k) for k in keys)} - {None, self.kind}


class Client(threading.Thread):
    """Writes at one control plane after the other until told to stop."""

    def __init__(self, number, planes, pairs, done):
        super().__init__(daemon=True)
        self.random = random.Random(number)
        self.planes, self.pairs, self.done = planes, pairs, done
        self.session = requests.Session()
        self.writes, self.wrong, self.refused = [], [], 0

    def run(self):
        while not self.done.is_set():
            try:
                self.turn(self.random.choice(self.planes))
            except requests.RequestException:
                self.session.close()
                time.sleep(0.05)  # its control plane is being killed: not a busy loop
            except Exception as e:  # noqa: BLE001  a thread's failure belongs to the test
                self.wrong.append(repr(e))
                return

    def turn(self, plane):
        kind = self.random.choice(KINDS)
        method = self.random.choice(("POST", "PUT", "PUT", "PATCH", "PATCH", "DELETE"))
        path, body = getattr(self, kind)(method)
        if method == "DELETE":
            row = self.session.get(plane.admin_url + path, timeout=20)
            if row.status_code != 200:
                return
            ident = row.json()["id"]
            self.send(plane, Write(kind, method, path.rsplit("/", 1)[0] + "/" + ident, None), ident)
        else:
            self.send(plane, Write(kind, method, path, body), None)

    def send(self, plane, write, ident):
        try:
            r = self.session.request(write.method, plane.admin_url + write.path, json=write.body, timeout=30)
        except requests.RequestException:
            write.lost, write.id = True, ident
            self.writes.append(write)
            raise
        if r.status_code == 204 and "X-Cardea-Revision" not in r.headers:
            return  # somebody else was faster: nothing was written
        if r.status_code in (200, 201, 204):
            write.revision = int(r.headers["X-Cardea-Revision"])
            write.answer = r.json() if r.content else None
            write.id = ident or write.answer["id"]
        elif r.status_code in (503, 504):
            write.lost, write.id = True, ident
        elif r.status_code in (400, 404, 409):
            self.refused += 1
            return
        else:
            self.wrong.append((write.method, write.path, r.status_code, r.text))
            return
        self.writes.append(write)

    # --- what is written: each returns path and body ---

    def name(self, prefix):
        return f"{prefix}{self.random.randrange(NAMES)}"

    def named(self, kind, method, prefix, key, **body):
        name = self.name(prefix)
        if method == "POST":
            return f"/{kind}", {key: name, **body}
        return f"/{kind}/{name}", body

    def certificates(self, method):
        cert, key = self.random.choice(self.pairs)
        ident = self.random.choice(CERTIFICATES)
        body = {"cert": cert, "key": key}
        if self.random.random() < 0.5:
            body["snis"] = self.random.sample(SNIS, 2)
        if method == "POST":
            return "/certificates", {"id": ident, **body}
        return f"/certificates/{ident}", body

    def snis(self, method):
        name = self.random.choice(SNIS)
        body = {"certificate": {"id": self.random.choice(CERTIFICATES)}}
        return ("/snis", {"name": name, **body}) if method == "POST" else (f"/snis/{name}", body)

    def services(self, method):
        full = {"host": f"h{self.random.randrange(100)}.example.com"}
        part = self.random.choice(({"retries": self.random.randrange(100)}, {"read_timeout": self.random.randrange(1, 1000)}))
        return self.named("services", method, "sv", "name", **(part if method == "PATCH" else full))

    def routes(self, method):
        body = {"paths": [f"/{self.random.randrange(100)}"], "service": {"name": self.name("sv")}}
        if method == "PATCH":
            body = self.random.choice(({"strip_path": self.random.random() < 0.5}, {"hosts": [f"{self.random.randrange(9)}.example.com"]}))
        return self.named("routes", method, "rt", "name", **body)

    def upstreams(self, method):
        part = self.random.choice(({"slots": self.random.randrange(10, 1000)}, {"host_header": f"{self.random.randrange(9)}.example.com"}))
        return self.named("upstreams", method, "up", "name", **(part if method == "PATCH" else {}))

    def targets(self, method):
        at, target = f"/upstreams/{self.name('up')}/targets", f"10.0.0.{self.random.randrange(NAMES)}:80"
        body = {"weight": self.random.randrange(1000)}
        return (at, {"target": target, **body}) if method == "POST" else (f"{at}/{target}", body)

    def consumers(self, method):
        return self.named("consumers", method, "co", "username", custom_id=f"c{self.random.randrange(NAMES)}")

    def plugins(self, method):
        body = {"config": {"status_code": self.random.randrange(400, 500)}}
        if method != "PATCH":
            scope = self.random.choice((("service", "name", "sv"), ("route", "name", "rt"), ("consumer", "username", "co")))
            body.update({"name": "request-termination", scope[0]: {scope[1]: self.name(scope[2])}})
        return self.named("plugins", method, "pl", "instance_name", **body)


# --- the account ---


def comparable(kind, row):
    """What the row itself holds: a certificate's names are rows of their own."""
    return {k: v for k, v in row.items() if not (kind == "certificates" and k == "snis")}


class Account:
    """Acknowledged writes against what is stored: rows by (kind, id) as the admin API shows them, changes as the database has them."""

    def __init__(self, writes, rows, changes):
        self.rows, self.changes = rows, changes
        self.acknowledged = [w for w in writes if w.acknowledged]
        self.lost = [w for w in writes if w.lost]
        self.by_tag = {w.tag: w for w in writes}
        self.by_row = {}
        for w in self.acknowledged:
            self.by_row.setdefault((w.kind, w.id), []).append(w)
        self.wrong = []

    def note(self, what, *details):
        self.wrong.append(f"{what}: {json.dumps(details, default=vars)[:2000]}")

    def check(self):
        for at, writes in self.by_row.items():
            self.check_row(at, writes)
        for at, row in self.rows.items():
            self.check_writer(at, row)
        self.check_strangers()
        return self.wrong

    def check_row(self, at, writes):
        writes.sort(key=lambda w: (w.revision, w.method == "DELETE"))
        last = self.changes.get(at)
        puts = {w.revision for w in writes if w.method != "DELETE"}
        for w in writes:
            if w.method == "DELETE":
                # One that came too late changed nothing and has somebody else's revision.
                if last and last[0] <= w.revision and not last[1] and w.revision not in puts:
                    self.note("an acknowledged removal is not there", at, w)
            elif last is None or last[0] < w.revision:
                self.note("an acknowledged write is not there", at, last, w)
            elif last[0] == w.revision and (last[1] or comparable(at[0], self.rows.get(at, {})) != comparable(at[0], w.answer)):
                self.note("the last acknowledged write is stored otherwise", at, w, self.rows.get(at))
        self.check_merges(at, writes)

    def check_merges(self, at, writes):
        """A PATCH changes what it names and nothing else, whoever wrote meanwhile."""
        names = set().union(*(w.names() for w in writes))
        if any(w.kind == at[0] and names & w.names() for w in self.lost):
            return
        for before, w in zip(writes, writes[1:]):
            if w.method != "PATCH" or before.method == "DELETE" or before.revision == w.revision:
                continue
            want = {**before.answer, **w.body}
            for field in ("updated_at", "snis", "certificate", "service", "config"):
                want.pop(field, None)
            got = {k: w.answer.get(k) for k in want}
            if got != want:
                self.note("a write was lost in a merge", at, before, w)

    def check_writer(self, at, row):
        """Each stored row is as its last writer left it."""
        if not row["tags"]:  # a name made by the shorthand of a certificate
            return
        w = self.by_tag[row["tags"][0]]
        if w.kind != at[0] or not (w.lost or w.revision == self.changes[at][0]):
            self.note("a row has another writer than its revision", at, self.changes[at], w)

    def check_strangers(self):
        """Revisions that nobody was told of: not more than answers were lost."""
        told = {w.revision for w in self.acknowledged}
        strangers = {r for (kind, _), (r, _) in self.changes.items() if kind in KINDS and r not in told}
        if len(strangers) > len(self.lost):
            self.note("revisions that no client wrote", sorted(strangers), len(self.lost))
