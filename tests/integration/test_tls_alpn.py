"""tls-alpn-01 (RFC 8737): names proved by a TLS handshake on the data planes' own port, and what else such a handshake gets."""

import hashlib
import socket
import ssl
import subprocess

import psycopg2
import pytest
from cryptography import x509

from harness import Pebble, wait_until

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


@pytest.fixture(scope="module")
def alpn(bare_cluster, http_port):
    """A cluster whose authority validates against the TLS port; http-01 is not allowed to it."""
    c = bare_cluster
    p = Pebble(c.folder, http_port, tls_port=c.tls_port, own_ports=True).start()
    c.add_control_plane(
        acme_directory=p.directory, acme_ca_file=p.ca_file, acme_allow_private="on", acme_max_in_flight=2, acme_challenges="tls-alpn-01"
    ).start()
    for _ in range(2):
        c.add_data_plane().start()
    p.resolve_all(c.data_planes[0].ip)
    c.pebble = p
    yield c
    p.stop()


def names_of(cert):
    return [str(n.value) for n in cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def handshake(d, host, protocols, version=None):
    """The leaf, the protocol, and what the connection gives after that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    if version:
        context.maximum_version = version
    with socket.create_connection((d.ip, d.tls_port), timeout=5) as raw:
        with context.wrap_socket(raw, server_hostname=host) as tls:
            leaf = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
            chosen = tls.selected_alpn_protocol()
            return leaf, chosen, tls.recv(100) if chosen == "acme-tls/1" else None


def test_issued_by_handshakes_alone(alpn):
    hosts = [f"{n}.alpn.example.com" for n in "abc"]
    for i, host in enumerate(hosts):
        alpn.pebble.resolve(host, alpn.data_planes[i % 2].ip)
    r = alpn.cp.post("/acme", json={"hosts": hosts}, headers={"Prefer": "wait=60"})
    assert r.status_code == 201, r.text
    assert r.json()["order"]["attempts"] == 0
    assert sum(d.metric("cardea_dp_challenge_hits_total") for d in alpn.data_planes) >= 3
    for d in alpn.data_planes:
        leaf, protocol, _ = handshake(d, hosts[2], ["h2", "http/1.1"])
        assert names_of(leaf) == hosts and protocol == "h2"
        assert d.metric("cardea_dp_challenges") == 0


def test_address(alpn):
    """RFC 8738 section 6: the server name is the address in reverse form."""
    d = alpn.data_planes[1]
    r = alpn.cp.post("/acme", json={"hosts": [d.ip, "beside.alpn.example.com"]}, headers={"Prefer": "wait=60"})
    assert r.status_code == 201, r.text
    leaf, _, _ = handshake(d, "beside.alpn.example.com", ["http/1.1"])
    assert sorted(names_of(leaf)) == sorted([d.ip, "beside.alpn.example.com"])


def without_name(d):
    """The leaf's names that a client by address gets: it sends no server name."""
    argv = ["openssl", "s_client", "-connect", f"{d.ip}:{d.tls_port}", "-noservername"]
    r = subprocess.run(argv, input="", capture_output=True, text=True, timeout=20)
    if "BEGIN CERTIFICATE" not in r.stdout:
        assert "unrecognized name" in r.stderr, r.stderr
        return None
    return names_of(x509.load_pem_x509_certificate(r.stdout.encode()))


def test_clients_by_address(alpn):
    """The address has a certificate (test_address), and no other one has."""
    served = alpn.data_planes[1]
    assert served.ip in without_name(served)
    assert without_name(alpn.data_planes[0]) is None
    assert all(d.metric("cardea_dp_entities_refused") == 0 for d in alpn.data_planes), "an sni that is an address is taken"


def test_clients_by_address_behind_a_proxy(alpn):
    """Where the client meant to go is in the PROXY header."""
    ip = alpn.data_planes[1].ip
    d = alpn.add_data_plane(trusted_ips="127.0.0.0/8", proxy_listen="127.0.0.1:0")
    d.config.write_text(d.config.read_text().replace("127.0.0.1:0", f"{d.ip}:{d.tls_port} ssl proxy_protocol"))
    d.start()
    try:
        wait_until(lambda: d.metric("cardea_dp_certificates") == alpn.data_planes[0].metric("cardea_dp_certificates"), 20, "the same certificates")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for header, found in ((f"TCP4 192.0.2.9 {ip} 1234 443", True), ("TCP4 192.0.2.9 192.0.2.1 1234 443", False), ("UNKNOWN", False)):
            with socket.create_connection((d.ip, d.tls_port), timeout=5) as raw:
                raw.sendall(f"PROXY {header}\r\n".encode())
                try:
                    with context.wrap_socket(raw) as tls:
                        assert found and ip in names_of(x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)))
                except ssl.SSLError as e:
                    assert not found and "UNRECOGNIZED_NAME" in str(e)
    finally:
        d.process.stop()
        alpn.data_planes.remove(d)


@pytest.fixture
def challenge(alpn, database):
    """A challenge in the fleet's state, as an order of the host would have put it there."""
    host, key_authorization = "byhand.alpn.example.com", "token.thumbprint"
    with psycopg2.connect(database) as db, db.cursor() as cur:
        cur.execute(
            "INSERT INTO acme_challenges (id, host, token, key_authorization) VALUES (gen_random_uuid(), %s, 'tls-alpn-01', %s)", (host, key_authorization)
        )
    wait_until(lambda: all(d.metric("cardea_dp_challenges") == 1 for d in alpn.data_planes), 10, "the challenge on the data planes")
    yield host, key_authorization
    with psycopg2.connect(database) as db, db.cursor() as cur:
        cur.execute("DELETE FROM acme_challenges WHERE host = %s", (host,))
    wait_until(lambda: all(d.metric("cardea_dp_challenges") == 0 for d in alpn.data_planes), 10, "the challenge gone")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificate_of_a_validation(alpn, challenge, version):
    host, key_authorization = challenge
    leaf, protocol, after = handshake(alpn.data_planes[0], host.upper(), ["acme-tls/1"], version)
    assert protocol == "acme-tls/1" and names_of(leaf) == [host] and after == b""
    extension = leaf.extensions.get_extension_for_oid(ACME_IDENTIFIER)
    assert extension.critical and extension.value.value == b"\x04\x20" + hashlib.sha256(key_authorization.encode()).digest()


@pytest.mark.parametrize("protocols", [["acme-tls/1", "http/1.1"], ["http/1.1", "acme-tls/1"], ["h2"]])
def test_other_protocols_get_no_validation(alpn, challenge, protocols):
    """RFC 8737 section 4: it is the only protocol of a validation request. The name has no certificate of its own."""
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(alpn.data_planes[0], challenge[0], protocols)


def test_other_names_get_no_validation(alpn, challenge):
    d = alpn.data_planes[0]
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(d, "other.alpn.example.com", ["acme-tls/1"])
    # A name with a certificate and without a challenge has this protocol neither.
    with pytest.raises(ssl.SSLError, match="no application protocol|NO_APPLICATION_PROTOCOL"):
        handshake(d, "a.alpn.example.com", ["acme-tls/1"])
    assert handshake(d, "a.alpn.example.com", ["h2"])[1] == "h2"
