"""TLS rules of names and upstreams through the whole product: oldest versions, client certificates, 421, verification of upstreams."""

import base64
import contextlib
import datetime
import itertools
import socket
import ssl
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from pki import key_pem, make_cert, make_key, pair, pem
from wire import connect, read_answer

_names = itertools.count(1)
WAIT = {"Prefer": "wait=10"}


@pytest.fixture(scope="module")
def plane(bare_cluster):
    bare_cluster.add_control_plane().start()
    d = bare_cluster.add_data_plane(workers=1).start()
    for names in (["plain.example", "other.example"], ["newest.example"], ["mutual.example"]):
        create(d, "certificates", **certificate(*names), snis=names)
    return d


def certificate(*names):
    _, cert, key = pair(*names)
    return {"cert": cert, "key": key}


def create(plane, path, **body):
    r = plane.cluster.cp.post(f"/{path}", json=body, headers=WAIT)
    assert r.status_code == 201, r.text
    return r.json()


def change(plane, path, **body):
    r = plane.cluster.cp.patch(f"/{path}", json=body, headers=WAIT)
    assert r.status_code == 200, r.text


def remove(plane, path):
    assert plane.cluster.cp.delete(f"/{path}", headers=WAIT).status_code == 204


def ask(s, host):
    s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return read_answer(s)[0].status


def handshake(plane, name, version=None):
    """What openssl says of it."""
    args = [f"-{version}"] if version else []
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"{plane.ip}:{plane.tls_port}", "-servername", name, *args],
        input="", capture_output=True, text=True, timeout=15,
    ).stdout  # fmt: skip


def test_tls_08_oldest_version_of_a_name(plane):
    assert "Cipher is ECDHE" in handshake(plane, "newest.example", "tls1_2")
    with connect(plane, tls="plain.example") as old, connect(plane, tls="newest.example") as before:
        assert ask(old, "newest.example") == 404
        change(plane, "snis/newest.example", tls_min_version="TLSv1.3")
        assert "Cipher is (NONE)" in handshake(plane, "newest.example", "tls1_2")
        assert "Cipher is TLS_AES" in handshake(plane, "newest.example")
        assert "Cipher is ECDHE" in handshake(plane, "plain.example", "tls1_2")
        for host in ("newest.example", "NEWEST.example.", f"newest.example:{plane.tls_port}"):
            assert ask(old, host) == 421
        assert ask(old, "other.example") == 404
        assert ask(before, "newest.example") == 421  # made before the rule
    with connect(plane, tls="newest.example") as s:
        assert ask(s, "newest.example") == 404
        assert ask(s, "plain.example") == 421
    change(plane, "snis/newest.example", tls_min_version=None)
    assert "Cipher is ECDHE" in handshake(plane, "newest.example", "tls1_2")


def asks_for_certificate(plane, name):
    return "Acceptable client certificate CA names" in (out := handshake(plane, name)) or "Client Certificate Types" in out or "Requested Signature Algorithms" in out


def test_certificates_are_asked_for_where_a_plugin_wants_them(plane):
    names = ["plain.example", "mutual.example"]
    assert [asks_for_certificate(plane, n) for n in names] == [False, False]
    create(plane, "services", name="mutual", host="127.0.0.1")
    route = create(plane, "routes", name="mutual", snis=["mutual.example"], service={"name": "mutual"})
    plugin = create(plane, "plugins", name="tls-handshake-modifier", service={"id": route["service"]["id"]})
    assert [asks_for_certificate(plane, n) for n in names] == [False, True]
    with connect(plane, tls="plain.example") as s:
        assert ask(s, "mutual.example") == 421
        assert ask(s, "plain.example") == 404
    change(plane, "routes/mutual", snis=None, hosts=["mutual.example"])
    assert [asks_for_certificate(plane, n) for n in names] == [True, True]
    remove(plane, f"plugins/{plugin['id']}")
    assert [asks_for_certificate(plane, n) for n in names] == [False, False]
    remove(plane, "routes/mutual")
    remove(plane, "services/mutual")


# --- OCSP responses ---


def response(leaf, authority, key, hours=1, revoked=False):
    now = datetime.datetime.utcnow()
    built = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=leaf,
            issuer=authority,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
            this_update=now - datetime.timedelta(hours=5),
            next_update=now + datetime.timedelta(hours=hours),
            revocation_time=now if revoked else None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, authority)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(built.public_bytes(serialization.Encoding.DER)).decode()


def stapled(plane, name, *args):
    out = subprocess.run(
        ["openssl", "s_client", "-connect", f"{plane.ip}:{plane.tls_port}", "-servername", name, *args],
        input="", capture_output=True, text=True, timeout=15,
    ).stdout  # fmt: skip
    assert "Cipher is" in out and "Cipher is (NONE)" not in out
    return "OCSP Response Status: successful" in out and "Cert Status: good" in out


def test_ocsp_response_is_stapled(plane):
    name, authority_key, key = "stapled.example", make_key(), make_key()
    authority = make_cert(["authority"], authority_key, ca=True)
    leaf = make_cert([name], key, authority, authority_key)
    good = response(leaf, authority, authority_key)
    made = create(plane, "certificates", cert=pem(leaf) + pem(authority), key=key_pem(key), ocsp_response=good, snis=[name])
    assert made["ocsp_response"] == good
    path = f"certificates/{made['id']}"
    for version in ("-tls1_2", "-tls1_3"):
        assert stapled(plane, name, "-status", version)
        assert not stapled(plane, name, version)
        assert not stapled(plane, "plain.example", "-status", version)
    change(plane, path, tags=["still there"])
    assert stapled(plane, name, "-status")
    for what in (response(leaf, authority, authority_key, revoked=True), response(leaf, make_cert(["authority"], key, ca=True), key), "AAAA"):
        r = plane.cluster.cp.patch(f"/{path}", json={"ocsp_response": what})
        assert r.status_code == 400 and "ocsp_response" in r.json()["fields"], r.text
    before = plane.metric("cardea_dp_staples_total", '{result="out_of_date"}')
    change(plane, path, ocsp_response=response(leaf, authority, authority_key, hours=-1))
    assert not stapled(plane, name, "-status")
    assert plane.metric("cardea_dp_staples_total", '{result="out_of_date"}') == before + 1
    change(plane, path, ocsp_response=response(leaf, authority, authority_key, hours=2))
    assert stapled(plane, name, "-status")
    change(plane, path, ocsp_response=None)
    assert not stapled(plane, name, "-status")
    # It goes with the certificate that it is about.
    change(plane, path, ocsp_response=good)
    other = make_cert([name], key, authority, authority_key)
    change(plane, path, cert=pem(other) + pem(authority))
    assert plane.cluster.cp.get(f"/{path}").json()["ocsp_response"] is None
    assert not stapled(plane, name, "-status")


# --- upstreams ---


class Origin:
    """An upstream that speaks TLS with a certificate of `ca` and answers with the client certificate's subject, or "none"."""

    def __init__(self, folder, ca, *names, days=90, client_ca=None):
        key = make_key()
        self.cert = make_cert(list(names), key, *ca, days=days)
        n = next(_names)
        cert_file, key_file = folder / f"origin{n}.crt", folder / f"origin{n}.key"
        cert_file.write_text(pem(self.cert))
        key_file.write_text(key_pem(key))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert_file, key_file)
        if client_ca:
            self.context.load_verify_locations(cadata=pem(client_ca[0]))
            self.context.verify_mode = ssl.CERT_OPTIONAL
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.requests = 0
        self.early = b""  # set: sent in place of a handshake
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        if self.early:
            with raw:
                raw.sendall(self.early)
                raw.recv(65536)
            return
        with raw, contextlib.suppress(OSError), self.context.wrap_socket(raw, server_side=True) as s:
            data = b""
            while chunk := s.recv(65536):
                data += chunk
                if b"\r\n\r\n" not in data:
                    continue
                data = b""
                self.requests += 1
                subject = dict(x[0] for x in (s.getpeercert() or {}).get("subject", ())).get("commonName", "none").encode()
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(subject), subject))

    def close(self):
        self.listener.close()


def authority(name):
    key = make_key()
    return make_cert([name], key, ca=True), key


@pytest.fixture
def origin(plane):
    """origin(ca, names, service fields...) gives (Origin, ask)."""
    made = []

    def factory(ca, names, days=90, client_ca=None, **service):
        o = Origin(plane.cluster.folder, ca, *names, days=days, client_ca=client_ca)
        name = f"o{next(_names)}"
        create(plane, "services", name=name, protocol="https", port=o.port, retries=0, **{"host": "127.0.0.1", **service})
        create(plane, "routes", name=name, hosts=[f"{name}.example"], service={"name": name})
        made.append((o, name))

        def get():
            with connect(plane) as s:
                s.sendall(f"GET / HTTP/1.1\r\nHost: {name}.example\r\n\r\n".encode())
                a = read_answer(s)[0]
                return a.status, a.body

        return o, get

    yield factory
    for o, name in made:
        remove(plane, f"routes/{name}")
        remove(plane, f"services/{name}")
        o.close()


def test_up_12_nothing_is_verified_unless_asked_for(origin):
    o, get = origin(authority("unknown"), ["x.example"])
    assert get() == (200, b"none")
    assert o.requests == 1


def test_up_12_verified(plane, origin):
    ca = authority("by name")
    trusted = create(plane, "ca_certificates", cert=pem(ca[0]))["id"]
    o, get = origin(ca, ["localhost"], host="localhost", tls_verify=True, tls_verify_depth=1, ca_certificates=[trusted])
    assert get() == (200, b"none")
    assert o.requests == 1


def test_up_12_failed_verification_is_502(plane, origin):
    """The system's authorities know none of these; the name of an address is no DNS name."""
    ca = authority("ours")
    ours = create(plane, "ca_certificates", cert=pem(ca[0]))["id"]
    for trusted, issuer, days in ((None, ca, 90), ([ours], authority("other"), 90), ([ours], ca, 90), ([ours], ca, -0.5)):
        o, get = origin(issuer, [x509.DNSName("127.0.0.1")], days=days, tls_verify=True, ca_certificates=trusted)
        for _ in range(2):
            assert get()[0] == 502
        assert o.requests == 0


def test_client_certificate_of_a_service(plane, origin):
    ca = authority("clients")
    key = make_key()
    mine = create(plane, "certificates", cert=pem(make_cert(["gateway"], key, *ca)), key=key_pem(key))["id"]
    o, get = origin(authority("unknown"), ["x.example"], client_ca=ca, client_certificate={"id": mine})
    assert get() == (200, b"gateway")
    key = make_key()
    change(plane, f"certificates/{mine}", cert=pem(make_cert(["renewed"], key, *ca)), key=key_pem(key))
    assert get() == (200, b"renewed")


@pytest.mark.parametrize("early", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"\x17\x03\x03\x00\x02hi", b"\n"])
def test_up_11_plain_bytes_of_an_upstream(plane, origin, early):
    o, get = origin(authority("unknown"), ["x.example"])
    o.early = early
    assert get()[0] == 502
    assert o.requests == 0
    o.early = b""
    assert get() == (200, b"none")
