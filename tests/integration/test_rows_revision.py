"""Invariant 2 under stress: revisions that replace 20 certificates at once, while clients look at all names on both workers."""

import contextlib
import datetime
import threading

import psycopg2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from harness import wait_until
from pki import key_pem, make_key, pem

NAMES = [f"r{i:02}.example.com" for i in range(20)]
ROUNDS, READERS = 60, 4


def cert_of(name, key, n):
    """Its serial number tells the round that it is of."""
    now = datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(n + 1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=90))
    return builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False).sign(key, hashes.SHA256())


class Reader(threading.Thread):
    """A handshake that begins after another one has shown round n may not show an older one, whatever the names and the workers are."""

    newest, lock = 0, threading.Lock()

    def __init__(self, plane, first, stop):
        super().__init__(daemon=True)
        self.plane, self.at, self.done = plane, first, stop
        self.seen, self.wrong = set(), []

    def run(self):
        while not self.done.is_set():
            name = NAMES[self.at % len(NAMES)]
            self.at += 7
            with Reader.lock:
                least = Reader.newest
            try:
                leaf = x509.load_der_x509_certificate(self.plane.peer_certificate(name))
            except OSError as e:
                self.wrong.append((name, repr(e)))
                continue
            n = leaf.serial_number - 1
            if n < least or leaf.subject.rfc4514_string() != f"CN={name}":
                self.wrong.append((name, n, least, leaf.subject))
            self.seen.add(n)
            with Reader.lock:
                Reader.newest = max(Reader.newest, n)


def test_no_mix_of_revisions(cluster, database):
    keys = [make_key() for _ in NAMES]
    certs = [[pem(cert_of(name, key, n)) for name, key in zip(NAMES, keys)] for n in range(ROUNDS + 1)]
    ids = []
    for name, key, cert in zip(NAMES, keys, certs[0]):
        r = cluster.cp.post("/certificates", json={"cert": cert, "key": key_pem(key), "snis": [name]}, headers={"Prefer": "wait=20"})
        assert r.status_code == 201, r.text
        ids.append(r.json()["id"])
    plane = cluster.data_planes[0]
    stop = threading.Event()
    readers = [Reader(plane, i * 5, stop) for i in range(READERS)]
    for r in readers:
        r.start()
    with contextlib.closing(psycopg2.connect(database)) as db:
        for n in range(1, ROUNDS + 1):
            with db, db.cursor() as cur:
                for ident, cert in zip(ids, certs[n]):
                    cur.execute("UPDATE certificates SET cert = %s, version = version + 1 WHERE id = %s", (cert, ident))
            if n % 3 == 0:  # the others follow each other as fast as they can
                wait_until(lambda: Reader.newest >= n, 20, f"round {n} is served")
    stop.set()
    for r in readers:
        r.join(20)
    wrong = [w for r in readers for w in r.wrong]
    assert not wrong, wrong[:5]
    assert len(set().union(*(r.seen for r in readers))) >= ROUNDS // 3
    for p in cluster.data_planes:
        for name, cert in zip(NAMES, certs[-1]):
            want = x509.load_pem_x509_certificate(cert.encode()).serial_number
            wait_until(lambda: x509.load_der_x509_certificate(p.peer_certificate(name)).serial_number == want, 10, "the last round")
