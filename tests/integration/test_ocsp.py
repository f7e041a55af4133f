"""OCSP responses that control planes fetch by themselves: from a real responder, and from one that does whatever a responder should not."""

import base64
import contextlib
import datetime
import http.server
import itertools
import json
import re
import subprocess
import threading
import time
import urllib.parse

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from harness import free_port, wait_until
from pki import key_pem, make_cert, make_key, pem
from scripted_ca import ScriptedCA
from test_acme_webhook import Hook, sql
from test_tls_rules import stapled

HOUR = datetime.timedelta(hours=1)
_names = itertools.count(1)


def now():
    return datetime.datetime.utcnow()


def asks(url):
    """The extension that says where a certificate's responder is."""
    return x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url))])


class Authority:
    def __init__(self, name="authority"):
        self.key = make_key()
        self.cert = make_cert([name], self.key, ca=True)

    def leaf(self, name, *extensions, key=None):
        key = key or make_key()
        return make_cert([name], key, self.cert, self.key, extensions=extensions), key


class Responder:
    """Answers with what `says` makes of the serial number of the question: (HTTP status, body)."""

    def __init__(self, authority):
        self.authority, self.asked, self.leaves = authority, [], {}
        self.says = self.good
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(base64.b64decode(urllib.parse.unquote(self.path.rsplit("/", 1)[1])))

            def do_POST(self):
                assert self.headers["content-type"] == "application/ocsp-request"
                self.answer(self.rfile.read(int(self.headers["content-length"])))

            def answer(self, request):
                serial = ocsp.load_der_ocsp_request(request).serial_number
                outer.asked.append((self.command, serial))
                status, body, *more = outer.says(serial)
                self.send_response(status)
                for name, value in more:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def response(self, serial, begin=-HOUR, end=HOUR, status=ocsp.OCSPCertStatus.GOOD, signer=None, about=None, reason=None):
        signer = signer or self.authority
        revoked = status == ocsp.OCSPCertStatus.REVOKED
        return (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=about or self.leaves[serial],
                issuer=self.authority.cert,
                algorithm=hashes.SHA1(),
                cert_status=status,
                this_update=now() + begin,
                next_update=now() + end,
                revocation_time=now() - HOUR if revoked else None,
                revocation_reason=reason,
            )
            .responder_id(ocsp.OCSPResponderEncoding.NAME, signer.cert)
            .sign(signer.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )

    def good(self, serial):
        return 200, self.response(serial)

    def refuses(self, status):
        return 200, ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(serialization.Encoding.DER)

    def count(self, serial):
        return sum(s == serial for _, s in self.asked)


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture()
def responder(authority):
    r = Responder(authority)
    yield r
    r.server.shutdown()
    r.server.server_close()


@pytest.fixture(scope="module")
def hook():
    h = Hook()
    yield h
    h.server.shutdown()


@pytest.fixture(scope="module")
def ca(bare_cluster):
    c = ScriptedCA(bare_cluster.folder).start()
    c.reuses = lambda host: True
    yield c
    c.stop()


@pytest.fixture(scope="module")
def plane(bare_cluster, ca, hook):
    bare_cluster.add_control_plane(
        acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on", acme_webhook_url=hook.url, ocsp_allow_private="on", ocsp_timeout="1s"
    ).start()
    return bare_cluster.add_data_plane(workers=1).start()


def count(cp, result):
    text = requests.get(f"http://{cp.ip}:{cp.status_port}/metrics", timeout=5).text
    found = re.search(rf'^cardea_ocsp_answers_total{{result="{result}"}} (\S+)$', text, re.M)
    return float(found.group(1)) if found else 0


def watched(cp, state):
    text = requests.get(f"http://{cp.ip}:{cp.status_port}/metrics", timeout=5).text
    return float(re.search(rf'^cardea_ocsp_certificates{{state="{state}"}} (\S+)$', text, re.M).group(1))


class Served:
    """A certificate whose responder is asked."""

    def __init__(self, plane, responder, *extensions, name=None, url=None, chain=True, **more):
        self.plane, self.cp, self.name = plane, plane.cluster.cp, name or f"n{next(_names)}.example"
        self.leaf, key = responder.authority.leaf(self.name, *([asks(url or responder.url)] if url != "" else []), *extensions)
        self.serial = self.leaf.serial_number
        responder.leaves[self.serial] = self.leaf
        text = pem(self.leaf) + (pem(responder.authority.cert) if chain else "")
        r = self.cp.post("/certificates", json={"cert": text, "key": key_pem(key), "snis": [self.name], **more}, headers={"Prefer": "wait=10"})
        assert r.status_code == 201, r.text
        self.id = r.json()["id"]

    def stapled(self):
        return stapled(self.plane, self.name, "-status")

    def stored(self):
        return self.cp.get(f"/certificates/{self.id}").json()["ocsp_response"]

    def row(self):
        text = sql(self.plane.cluster.dsn, f"SELECT row_to_json(s) FROM certificate_staples s WHERE certificate = '{self.id}'")
        return json.loads(text) if text else None

    def due(self):
        sql(self.plane.cluster.dsn, f"UPDATE certificate_staples SET next_fetch = now() WHERE certificate = '{self.id}'")


def seconds_to(text):
    return (datetime.datetime.fromisoformat(text) - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


# --- a real responder ---


class OpenSSL:
    """`openssl ocsp` with a list of certificates of an authority."""

    def __init__(self, folder, authority, signer=None):
        self.folder, self.port = folder / f"openssl{next(_names)}", free_port()
        self.folder.mkdir()
        self.url, self.process, self.lines = f"http://127.0.0.1:{self.port}", None, {}
        signer = signer or (authority.cert, authority.key)
        for name, text in ("ca.pem", pem(authority.cert)), ("signer.pem", pem(signer[0])), ("signer.key", key_pem(signer[1])):
            (self.folder / name).write_text(text)

    def put(self, serial, state="V", revoked=""):
        number = f"{serial:X}"
        self.lines[serial] = f"{state}\t350101000000Z\t{revoked}\t{number if len(number) % 2 == 0 else '0' + number}\tunknown\t/CN=x\n"
        self.start()

    def start(self):
        self.stop()
        (self.folder / "index.txt").write_text("".join(self.lines.values()))
        argv = ["openssl", "ocsp", "-port", str(self.port), "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "signer.pem", "-rkey", "signer.key", "-ndays", "4"]
        self.process = subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # A request that is none would end it.
        while not re.search("ACCEPT|waiting for OCSP client", line := self.process.stdout.readline()):
            assert line, "openssl ocsp ended"

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()


def delegate(authority):
    key = make_key()
    return make_cert(["delegate"], key, authority.cert, authority.key, extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])]), key


@pytest.mark.parametrize("delegated", [False, True])
def test_real_responder(plane, authority, responder, delegated):
    real = OpenSSL(plane.cluster.folder, authority, delegate(authority) if delegated else None)
    try:
        c = Served(plane, responder, url=real.url)
        wait_until(lambda: c.row()["problem"], 10, "asked, while nothing listens")
        assert not c.stapled()
        real.put(c.serial)
        c.due()
        wait_until(c.stapled, 10, "stapled")
        row = c.row()
        assert row["problem"] is None and row["attempts"] == 0 and row["must_staple"] is False
        # At about half of four days.
        assert 1.9 * 86400 < seconds_to(row["next_fetch"]) < 2.5 * 86400
        assert 3.9 * 86400 < seconds_to(row["until"]) <= 4 * 86400
    finally:
        real.stop()


def test_revoked_is_told_and_not_stapled(plane, authority, responder, hook):
    cp, real = plane.cluster.cp, OpenSSL(plane.cluster.folder, authority)
    try:
        c = Served(plane, responder, url=real.url)
        wait_until(lambda: c.row()["problem"], 10, "asked, while nothing listens")
        real.put(c.serial)
        c.due()
        wait_until(c.stapled, 10, "stapled")
        before = count(cp, "revoked")
        real.put(c.serial, "R", "250101000000Z,keyCompromise")
        # What is stored is not half over: it has to be looked at as if it were.
        sql(plane.cluster.dsn, f"UPDATE certificates SET ocsp_response = NULL WHERE id = '{c.id}'")

        wait_until(lambda: c.row()["revoked_at"], 10, "revoked")
        assert c.row()["revocation_reason"] == 1 and c.row()["problem"] is None and not c.stapled()
        assert count(cp, "revoked") == before + 1
        wait_until(lambda: watched(cp, "revoked") == 1, 20, "the metric")
        wait_until(lambda: hook.events(c.name) == ["revoked"], 20, "told")
        assert hook.bodies(c.name)[0]["hosts"] == [c.name] and hook.bodies(c.name)[0]["certificate"] == c.id
        assert re.search(rf'level=error .*responder says that a certificate is revoked.*certificate={c.id}', cp.process.log())
        # Once, not each time that it is asked.
        c.due()
        wait_until(lambda: count(cp, "revoked") == before + 2, 10, "asked again")
        real.put(c.serial)
        c.due()
        wait_until(c.stapled, 10, "good again")
        assert c.row()["revoked_at"] is None and hook.events(c.name) == ["revoked"]
    finally:
        real.stop()


# --- one that misbehaves ---


def slow(r, serial):
    time.sleep(3)
    return r.good(serial)


STRANGER = Authority("stranger")
BAD = {
    "truncated": ("invalid", "not the DER", lambda r, s: (200, r.response(s)[:-10])),
    "empty": ("invalid", "0 bytes", lambda r, s: (200, b"")),
    "html": ("invalid", "not the DER", lambda r, s: (200, b"<html>of course</html>")),
    "another serial": ("invalid", "about another", lambda r, s: (200, r.response(s, about=r.authority.leaf("other.example")[0]))),
    "another signer": ("invalid", "signature", lambda r, s: (200, r.response(s, signer=STRANGER))),
    "out of date": ("invalid", "has ended", lambda r, s: (200, r.response(s, begin=-3 * HOUR, end=-HOUR))),
    "not yet": ("invalid", "in the future", lambda r, s: (200, r.response(s, begin=HOUR, end=2 * HOUR))),
    "unknown": ("unknown", "does not know", lambda r, s: (200, r.response(s, status=ocsp.OCSPCertStatus.UNKNOWN))),
    "unauthorized": ("refused", "unauthorized", lambda r, s: r.refuses(ocsp.OCSPResponseStatus.UNAUTHORIZED)),
    "try later": ("refused", "trylater", lambda r, s: r.refuses(ocsp.OCSPResponseStatus.TRY_LATER)),
    "500": ("http_status", "status 500", lambda r, s: (500, r.response(s))),
    "redirect": ("http_status", "status 302", lambda r, s: (302, b"", ("Location", r.url + "/other"))),
    "huge": ("too_long", "too long", lambda r, s: (200, b"0" * 20000)),
    "slow": ("unreachable", "", slow),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_answers_leave_the_old_one(plane, responder, case):
    result, says, make = BAD[case]
    # Three quarters are over: the next one is due, and the old one holds.
    responder.says = lambda serial: (200, responder.response(serial, begin=-3 * HOUR))
    cp, c = plane.cluster.cp, Served(plane, responder)
    wait_until(c.stapled, 10, "stapled")
    before, held = count(cp, result), c.stored()
    responder.says = lambda serial: make(responder, serial)
    c.due()
    wait_until(lambda: c.row()["problem"], 15, "the problem")
    row = c.row()
    assert says.lower() in row["problem"].lower() and row["attempts"] == 1
    assert count(cp, result) == before + 1
    assert 40 < seconds_to(row["next_fetch"]) < 61
    assert c.stored() == held and c.stapled()
    wait_until(lambda: watched(cp, "failing") >= 1, 20, "the metric")
    assert re.search(rf"level=warn .*no OCSP response.*certificate={c.id}.*result={result}", cp.process.log())
    responder.says = responder.good
    c.due()
    wait_until(lambda: c.stored() != held, 10, "the next one")
    assert c.row()["problem"] is None and c.stapled()


def test_pauses_grow_and_retry_after_holds(plane, responder):
    c = Served(plane, responder)
    wait_until(c.stored, 10, "stored")
    sql(plane.cluster.dsn, f"UPDATE certificates SET ocsp_response = NULL WHERE id = '{c.id}'")
    responder.says = lambda serial: (503, b"", ("Retry-After", "7000"))
    sql(plane.cluster.dsn, f"UPDATE certificate_staples SET attempts = 3, next_fetch = now() WHERE certificate = '{c.id}'")
    wait_until(lambda: c.row()["problem"], 10, "the problem")
    assert 6900 < seconds_to(c.row()["next_fetch"]) < 7001 and c.row()["attempts"] == 4
    responder.says = lambda serial: (503, b"")
    c.due()
    wait_until(lambda: c.row()["attempts"] == 5, 10, "another failure")
    assert 16 * 60 * 0.75 < seconds_to(c.row()["next_fetch"]) < 16 * 60 + 1


def test_silent_responder_holds_up_nobody(plane, authority, responder):
    dead = Responder(authority)
    dead.says = lambda serial: slow(dead, serial)
    cp = plane.cluster.cp
    ids = []
    try:
        for n in range(40):
            leaf, key = authority.leaf(f"dead{n}.example", asks(dead.url))
            dead.leaves[leaf.serial_number] = leaf
            r = cp.post("/certificates", json={"cert": pem(leaf) + pem(authority.cert), "key": key_pem(key)})
            ids.append(r.json()["id"])
        sql(plane.cluster.dsn, "UPDATE certificate_staples SET next_fetch = now(), problem = NULL")
        c, started = Served(plane, responder), time.monotonic()
        wait_until(c.stapled, 15, "stapled")
        assert time.monotonic() - started < 8
        failed = "SELECT count(*) FROM certificate_staples WHERE problem IS NOT NULL AND certificate::text = ANY (string_to_array('" + " ".join(ids) + "', ' '))"
        wait_until(lambda: sql(plane.cluster.dsn, failed) == "40", 15, "told")
    finally:
        dead.server.shutdown()
        dead.server.server_close()
    for i in ids:
        assert cp.delete(f"/certificates/{i}").status_code == 204


# --- whom, and when ---


def test_long_request_is_posted(plane, responder):
    c = Served(plane, responder, url=responder.url + "/" + "x" * 200)
    wait_until(c.stapled, 10, "stapled")
    assert responder.asked[-1] == ("POST", c.serial)
    d = Served(plane, responder)
    wait_until(d.stapled, 10, "stapled")
    assert responder.asked[-1] == ("GET", d.serial)


def test_nobody_to_ask(plane, responder):
    """Without a responder, or without the issuer's certificate, nothing is kept: only what must not be without is watched."""
    cp = plane.cluster.cp
    must = x509.TLSFeature([x509.TLSFeatureType.status_request])
    before = watched(cp, "must_staple_missing")
    for c in (Served(plane, responder, url=""), Served(plane, responder, chain=False)):
        wait_until(lambda c=c: c.row() is None, 10, "forgotten")
    c = Served(plane, responder, must, url="")
    wait_until(lambda c=c: c.row()["must_staple"], 10, "watched")
    assert c.row()["next_fetch"] is None
    wait_until(lambda: watched(cp, "must_staple_missing") == before + 1, 20, "the metric")
    response = base64.b64encode(responder.response(c.serial)).decode()
    assert cp.patch(f"/certificates/{c.id}", json={"ocsp_response": response}).status_code == 200
    wait_until(lambda: watched(cp, "must_staple_missing") == before, 20, "the metric")
    d = Served(plane, responder, must)
    wait_until(d.stapled, 10, "stapled")
    assert d.row()["must_staple"] and responder.count(c.serial) == 0


def test_what_the_operator_wrote_is_kept_while_it_is_young(plane, responder):
    leaf, key = responder.authority.leaf("own.example", asks(responder.url))
    responder.leaves[leaf.serial_number] = leaf
    own = base64.b64encode(responder.response(leaf.serial_number, end=2 * HOUR)).decode()
    cp = plane.cluster.cp
    r = cp.post("/certificates", json={"cert": pem(leaf) + pem(responder.authority.cert), "key": key_pem(key), "ocsp_response": own})
    assert r.status_code == 201, r.text
    row = lambda: sql(plane.cluster.dsn, f"SELECT until IS NOT NULL FROM certificate_staples WHERE certificate = '{r.json()['id']}'")  # noqa: E731
    wait_until(lambda: row() == "t", 10, "looked at")
    assert responder.count(leaf.serial_number) == 0 and cp.get(f"/certificates/{r.json()['id']}").json()["ocsp_response"] == own


def test_new_leaf_begins_anew(plane, responder):
    c = Served(plane, responder)
    wait_until(c.stapled, 10, "stapled")
    leaf, key = responder.authority.leaf(c.name, asks(responder.url))
    responder.leaves[leaf.serial_number] = leaf
    r = c.cp.patch(f"/certificates/{c.id}", json={"cert": pem(leaf) + pem(responder.authority.cert), "key": key_pem(key)}, headers={"Prefer": "wait=10"})
    assert r.status_code == 200 and r.json()["ocsp_response"] is None
    wait_until(c.stapled, 10, "stapled")
    assert responder.count(leaf.serial_number) == 1


def test_both_of_a_pair(plane, responder):
    c = Served(plane, responder)
    key = make_key("rsa")
    leaf, _ = responder.authority.leaf(c.name, asks(responder.url), key=key)
    responder.leaves[leaf.serial_number] = leaf
    r = c.cp.patch(f"/certificates/{c.id}", json={"cert_alt": pem(leaf) + pem(responder.authority.cert), "key_alt": key_pem(key)})
    assert r.status_code == 200, r.text
    wait_until(lambda: c.cp.get(f"/certificates/{c.id}").json()["ocsp_response_alt"], 10, "the second one's")
    wait_until(lambda: stapled(plane, c.name, "-status", "-tls1_2", "-cipher", "aRSA"), 10, "stapled")
    assert c.stored() and c.stapled()


def test_private_addresses_are_refused(bare_cluster, plane, responder):
    first = bare_cluster.cp
    first.process.stop()
    strict = bare_cluster.add_control_plane().start()
    try:
        for url, says in (responder.url, "port"), ("http://127.0.0.1/", "private"), ("http://localhost/", "private"), ("http://[::1]/x", "private"), ("http://169.254.169.254/latest", "private"):
            leaf, key = responder.authority.leaf(f"ssrf{next(_names)}.example", asks(url))
            r = strict.post("/certificates", json={"cert": pem(leaf) + pem(responder.authority.cert), "key": key_pem(key)})
            assert r.status_code == 201, r.text
            problem = lambda r=r: sql(bare_cluster.dsn, f"SELECT problem FROM certificate_staples WHERE certificate = '{r.json()['id']}'")  # noqa: E731
            wait_until(problem, 10, url)
            assert says in problem() and "ocsp_allow_private" in problem()
        assert responder.asked == [] and count(strict, "denied") >= 5
    finally:
        strict.process.stop()
        first.start()


def test_off(bare_cluster, plane, responder):
    first = bare_cluster.cp
    first.process.stop()
    off = bare_cluster.add_control_plane(ocsp_fetch="off", ocsp_allow_private="on").start()
    try:
        leaf, key = responder.authority.leaf("off.example", asks(responder.url))
        responder.leaves[leaf.serial_number] = leaf
        assert off.post("/certificates", json={"cert": pem(leaf) + pem(responder.authority.cert), "key": key_pem(key)}).status_code == 201
        text = requests.get(f"http://{off.ip}:{off.status_port}/metrics", timeout=5).text
        assert "cardea_ocsp" not in text
    finally:
        off.process.stop()
        first.start()
    # Switched on again it is caught up on; and until then nothing was asked.
    wait_until(lambda: responder.count(leaf.serial_number) == 1, 10, "asked")


def test_each_is_asked_by_one_control_plane(bare_cluster, plane, responder):
    second = bare_cluster.add_control_plane(ocsp_allow_private="on").start()
    try:
        serials = []
        for n in range(60):
            leaf, key = responder.authority.leaf(f"many{n}.example", asks(responder.url))
            responder.leaves[leaf.serial_number] = leaf
            serials.append(leaf.serial_number)
            cp = (bare_cluster.cp, second)[n % 2]
            assert cp.post("/certificates", json={"cert": pem(leaf) + pem(responder.authority.cert), "key": key_pem(key)}).status_code == 201
        left = "SELECT count(*) FROM certificate_staples s JOIN certificates c ON c.id = s.certificate WHERE s.until IS NULL AND s.problem IS NULL AND NOT s.must_staple AND s.revoked_at IS NULL"
        wait_until(lambda: sql(bare_cluster.dsn, left) == "0", 30, "all stored")
        assert {responder.count(s) for s in serials} == {1}
    finally:
        second.process.stop()


def test_issued_certificate_that_is_revoked_is_replaced(plane, ca, responder, hook):
    cp, host = plane.cluster.cp, "stolen.example.com"
    responder.authority = type("Issuer", (), {"cert": ca.root, "key": ca.key})

    def finalize(a):
        csr = x509.load_der_x509_csr(base64.urlsafe_b64decode(a.payload["csr"] + "=="))
        a.order.cert = make_cert([n.host for n in a.order.names], csr, ca.root, ca.key, extensions=[asks(responder.url)])
        a.order.status = "valid"
        responder.leaves[a.order.cert.serial_number] = a.order.cert
        return 200, ca.order_doc(a.order), {}

    ca.answer["finalize"] = finalize
    ca.answer["cert"] = lambda a: (200, (pem(a.order.cert) + pem(ca.root)).encode(), {})
    try:
        r = cp.issue(host)
        assert r.status_code == 201, r.text
        order = r.json()["order"]
        path = f"/certificates/{order['certificate']['id']}"
        old = cp.get(path).json()["cert"]
        wait_until(lambda: cp.get(path).json()["ocsp_response"], 10, "stored")
        serial = x509.load_pem_x509_certificate(old.encode()).serial_number
        responder.says = lambda s: (
            (200, responder.response(s, status=ocsp.OCSPCertStatus.REVOKED, reason=x509.ReasonFlags.key_compromise)) if s == serial else responder.good(s)
        )
        sql(plane.cluster.dsn, f"UPDATE certificates SET ocsp_response = NULL WHERE id = '{order['certificate']['id']}'")
        wait_until(lambda: cp.get(path).json()["cert"] != old, 20, "replaced")
        wait_until(lambda: stapled(plane, host, "-status"), 10, "the new one's response")
        orders = cp.get(f"/acme/orders?host={host}").json()["data"]
        assert len(orders) == 2 and orders[0]["lane"] == "emergency" and orders[0]["renewal"]
        shown = cp.get(f"/acme/orders/{order['id']}").json()
        assert shown["revoked_at"] and shown["revocation_reason"] == 1
        wait_until(lambda: sorted(hook.events(host)) == ["issued", "renewed", "revoked"], 20, "told")
    finally:
        ca.answer.pop("finalize"), ca.answer.pop("cert")
