"""Clients' certificates in the handshake: asked for where a plugin needs them, verified, and shown to the upstream
(kong-acme-hybrid.md 5.1, 5.3; rows TLS-08, TLS-09, TLS-10)."""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess

import pytest

from client_pki import HOUR, Holder
from pki import pair
from plugin_world import NOT_SENT, NOT_VERIFIED, authority, bad_clients, consumers, cp, plane, root, route, sources, upstream, write  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def served(cp):
    _, cert, key = pair("*.example.com")
    write(cp, "POST", "/certificates", {"cert": cert, "key": key, "snis": ["*.example.com"]})


def mtls(cp, upstream, authority, **config):
    """Host of a route that only its own SNI leads to."""
    host = route(cp, upstream)
    name = host.split(".")[0]
    write(cp, "PATCH", f"/routes/{name}", {"snis": [host]})
    write(cp, "POST", f"/routes/{name}/plugins", {"name": "mtls-auth", "config": {"ca_certificates": [authority], "revocation_check_mode": "SKIP", **config}})
    return host


class Shown:
    """A client that shows these certificates in its handshakes, its own first."""

    def __init__(self, plane, folder, *shown, sni=None, tls=None):
        self.plane, self.sni = plane, sni
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        if tls:
            self.context.maximum_version = tls
        if shown:
            self.context.load_cert_chain(*shown[0].files(folder, *shown[1:]))

    @contextlib.contextmanager
    def connection(self, host):
        raw = socket.create_connection((self.plane.ip, self.plane.tls_port), timeout=10)
        c = http.client.HTTPConnection(host)
        with raw, self.context.wrap_socket(raw, server_hostname=self.sni or host) as c.sock:
            yield c

    def ask(self, c, host, fields):
        c.request("GET", "/", headers={"Host": host, **fields})
        r = c.getresponse()
        body = r.read()
        return r.status, json.loads(body)["message"] if body.startswith(b"{") else body.decode()

    def get(self, host, **fields):
        with self.connection(host) as c:
            return self.ask(c, host, fields)

    def refused(self, host):
        """Answered 401, or the handshake failed."""
        try:
            status, message = self.get(host)
        except (ssl.SSLError, ConnectionError, http.client.HTTPException):
            return True
        return status == 401 and message == NOT_VERIFIED


@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_it_is(plane, cp, upstream, authority, root, tmp_path, tls):
    host = mtls(cp, upstream, authority)
    middle = Holder("middle", root, ca=True)
    assert Shown(plane, tmp_path, Holder("alice", root), tls=tls).get(host, **{"X-Consumer-Username": "root"}) == (200, "hello")
    assert Shown(plane, tmp_path, Holder("alice", middle), middle, tls=tls).get(host) == (200, "hello")
    for q in upstream.take():
        assert (q.get("x-consumer-username"), q.get("x-consumer-custom-id"), q.get("x-credential-identifier")) == ("alice", "17", "alice")
        assert q.get("x-consumer-id") == cp.get("/consumers/alice").json()["id"] and q.get("x-anonymous-consumer") is None
    assert Shown(plane, tmp_path, tls=tls).get(host) == (401, NOT_SENT)
    assert not upstream.requests


def test_tls_09(plane, cp, upstream, authority, root, tmp_path):
    """An alert, or 401; nothing reaches the upstream."""
    host = mtls(cp, upstream, authority)
    alice = Holder("alice", root)
    let_in = [name for name, shown in bad_clients(root) if not Shown(plane, tmp_path, *shown).refused(host)]
    assert not let_in
    assert Shown(plane, tmp_path, Holder("alice", root, padding=70000)).refused(host)
    assert Shown(plane, tmp_path, alice, *[Holder("other", root) for _ in range(20)]).refused(host)
    assert not upstream.requests
    # Repeated, but not often.
    assert Shown(plane, tmp_path, alice, alice, alice).get(host) == (200, "hello")


def test_tls_09_revoked(plane, cp, upstream, authority, root, sources, tmp_path):
    host = mtls(cp, upstream, authority, revocation_check_mode="STRICT", cert_cache_ttl=0)
    alice, eve = (Holder("alice", root, sources=sources) for _ in range(2))
    sources.holders += [alice, eve]
    sources.revoked.add(eve.cert.serial_number)
    assert Shown(plane, tmp_path, alice).get(host) == (200, "hello")
    upstream.take()
    assert Shown(plane, tmp_path, eve).get(host) == (401, NOT_VERIFIED)
    assert not upstream.requests
    # In the middle of a connection.
    with (c := Shown(plane, tmp_path, alice)).connection(host) as kept:
        assert c.ask(kept, host, {}) == (200, "hello")
        sources.revoked.add(alice.cert.serial_number)
        assert c.ask(kept, host, {}) == (401, NOT_VERIFIED)


def test_changes_hold_for_open_connections(plane, cp, upstream, authority, root, tmp_path):
    """An authority that is no longer trusted is not, also where its client was let in before."""
    host = mtls(cp, upstream, authority)
    other = write(cp, "POST", "/ca_certificates", {"cert": Holder("another", ca=True).pem})["id"]
    (plugin,) = cp.get(f"/routes/{host.split('.')[0]}/plugins").json()["data"]
    c = Shown(plane, tmp_path, Holder("alice", root))
    with c.connection(host) as kept:
        assert [c.ask(kept, host, {})[0] for _ in range(3)] == [200] * 3
        write(cp, "PATCH", f"/plugins/{plugin['id']}", {"config": {"ca_certificates": [other]}})
        assert c.ask(kept, host, {}) == (401, NOT_VERIFIED)


def requested(plane, sni):
    """What the handshake says of the certificate it asks for; None: it does not ask."""
    r = subprocess.run(
        ["openssl", "s_client", "-connect", f"{plane.ip}:{plane.tls_port}", "-servername", sni, "-msg", "-tls1_2"],
        input="", capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return r.stdout if "CertificateRequest" in r.stdout else None


def test_asked_for_only_where_it_is_needed(plane, cp, upstream, authority, root):
    plain = route(cp, upstream)
    host = mtls(cp, upstream, authority)
    assert requested(plane, host) and requested(plane, host.upper())
    assert requested(plane, plain) is None
    assert "CN = root" not in requested(plane, host)
    named = mtls(cp, upstream, authority, send_ca_dn=True)
    assert "CN = root" in requested(plane, named)


def test_tls_08_no_other_way_in(plane, cp, upstream, authority, root, tmp_path):
    """A host whose SNI asks for a certificate cannot be had over a connection whose SNI did not."""
    plain = route(cp, upstream)
    host = mtls(cp, upstream, authority)
    for client in (Shown(plane, tmp_path, sni=plain), Shown(plane, tmp_path, Holder("alice", root), sni=plain)):
        for spelling in (host, host.upper(), host + ".", f"{host}:{plane.tls_port}"):
            with client.connection(host) as c:
                c.putrequest("GET", "/", skip_host=True)
                c.putheader("Host", spelling)
                c.endheaders()
                assert c.getresponse().status in (404, 421)
    assert not upstream.requests


def test_asks_and_tells_but_does_not_verify(plane, cp, upstream, authority, tmp_path):
    """tls-handshake-modifier with tls-metadata-headers."""
    host = route(cp, upstream)
    name = host.split(".")[0]
    write(cp, "PATCH", f"/routes/{name}", {"snis": [host]})
    write(cp, "POST", f"/routes/{name}/plugins", {"name": "tls-handshake-modifier"})
    write(cp, "POST", f"/routes/{name}/plugins", {"name": "tls-metadata-headers", "config": {"inject_client_cert_details": True}})
    stranger = Holder("stranger", begin=-2 * HOUR, end=-HOUR)
    assert Shown(plane, tmp_path, stranger).get(host, **{"X-Client-Cert": "claimed"}) == (200, "hello")
    (q,) = upstream.take()
    assert q.get("x-client-cert") == stranger.escaped
    assert q.get("x-client-cert-subject-dn") == q.get("x-client-cert-issuer-dn") == "CN=stranger"
    assert int(q.get("x-client-cert-serial"), 16) == stranger.cert.serial_number and len(q.get("x-client-cert-fingerprint")) == 40
    assert Shown(plane, tmp_path).get(host, **{"X-Client-Cert": "claimed"}) == (200, "hello")
    (q,) = upstream.take()
    assert q.get("x-client-cert") is None


def test_http2(plane, cp, upstream, authority, root, tmp_path):
    host = mtls(cp, upstream, authority)
    cert, key = Holder("alice", root).files(tmp_path)
    argv = ["curl", "-sk", "--http2", "--connect-to", f"{host}:443:{plane.ip}:{plane.tls_port}", "-w", " %{http_code} %{http_version}", f"https://{host}/"]
    assert subprocess.run([*argv, "--cert", cert, "--key", key], capture_output=True, text=True, timeout=20).stdout == "hello 200 2"
    assert subprocess.run(argv, capture_output=True, text=True, timeout=20).stdout.endswith(" 401 2")
    assert len(upstream.take()) == 1


def test_mappings_by_hand(plane, cp, upstream, authority, root, tmp_path):
    """Changes of /mtls-auths take effect with the write; a mapping of an authority goes before one of none, and both before usernames."""
    host = mtls(cp, upstream, authority)
    other = write(cp, "POST", "/ca_certificates", {"cert": Holder("elsewhere", ca=True).pem})["id"]
    client = Shown(plane, tmp_path, Holder("device-7", root))

    def who():
        status, message = client.get(host)
        if status == 401:
            return message
        (q,) = upstream.take()
        return q.get("x-consumer-username"), q.get("x-credential-identifier")

    def mapping(consumer, **fields):
        return write(cp, "POST", f"/consumers/{consumer}/mtls-auth", {"subject_name": "device-7", **fields})["id"]

    def drop(path):
        assert cp.delete(path, headers={"Prefer": "wait=10"}).status_code == 204

    assert who() == NOT_VERIFIED
    mapping("guest", ca_certificate={"id": other})
    assert who() == NOT_VERIFIED
    plain = mapping("guest")
    assert who() == ("guest", plain)
    own = mapping("alice", ca_certificate={"id": authority})
    assert who() == ("alice", own)
    write(cp, "PATCH", f"/mtls-auths/{own}", {"subject_name": "device-8"})
    assert who() == ("guest", plain)
    drop(f"/consumers/guest/mtls-auth/{plain}")
    assert who() == NOT_VERIFIED
    alice = Shown(plane, tmp_path, Holder("alice", root))
    assert alice.get(host)[0] == 200 and upstream.take()[0].get("x-consumer-username") == "alice"
    write(cp, "POST", "/mtls-auths", {"subject_name": "alice", "consumer": {"username": "guest"}})
    assert alice.get(host)[0] == 200 and upstream.take()[0].get("x-consumer-username") == "guest"
    drop(f"/mtls-auths/{own}")
