"""What a data plane serves: SNI selection, Kong's 404, HTTP/1.1 and HTTP/2, tickets over the fleet, nacks, drain, restart from the cache."""

import signal
import socket
import ssl
import subprocess
import time

import psycopg2
import pytest

from harness import wait_until
from pki import der, pair


def put_certificate(cp, *snis, kind="ec"):
    cert, cert_pem, key = pair("certificate.example.com", kind=kind)
    r = cp.post("/certificates", json={"cert": cert_pem, "key": key, "snis": list(snis)}, headers={"Prefer": "wait=10"})
    assert r.status_code == 201, r.text
    return der(cert), r.json()["id"]


def served(cluster, host):
    return [d.peer_certificate(host) for d in cluster.data_planes]


def test_selection_order(cluster):
    exact, _ = put_certificate(cluster.cp, "a.sel.example.com")
    left, _ = put_certificate(cluster.cp, "*.sel.example.com")
    right, _ = put_certificate(cluster.cp, "right.example.*")
    rows = [
        ("a.sel.example.com", exact),
        ("A.Sel.Example.Com", exact),
        ("b.sel.example.com", left),
        ("right.example.org", right),
    ]
    for host, want in rows:
        assert served(cluster, host) == [want, want], host
    for host in ("sel.example.com", "x.y.sel.example.com", "right.example"):
        for d in cluster.data_planes:
            with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
                d.peer_certificate(host)


def test_no_sni_is_refused_without_a_default_certificate(cluster):
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        cluster.data_planes[0].peer_certificate(None)


def test_rsa_and_ecdsa_for_one_name(cluster):
    _, cert, key = pair("both.example.com")
    _, cert_alt, key_alt = pair("both.example.com", kind="rsa")
    body = {"cert": cert, "key": key, "cert_alt": cert_alt, "key_alt": key_alt, "snis": ["both.example.com"]}
    assert cluster.cp.post("/certificates", json=body, headers={"Prefer": "wait=10"}).status_code == 201
    d = cluster.data_planes[0]
    for sigalgs, kind in (("ecdsa_secp256r1_sha256", "EC"), ("rsa_pss_rsae_sha256", "RSA")):
        out = subprocess.run(
            ["openssl", "s_client", "-connect", f"{d.ip}:{d.tls_port}", "-servername", "both.example.com", "-sigalgs", sigalgs],
            input="", capture_output=True, text=True, timeout=10,
        ).stdout
        assert {"EC": "id-ecPublicKey", "RSA": "rsaEncryption"}[kind] in out


def test_replaced_and_deleted(cluster):
    first, cert_id = put_certificate(cluster.cp, "swap.example.com")
    cert, cert_pem, key = pair("swap.example.com")
    r = cluster.cp.patch(f"/certificates/{cert_id}", json={"cert": cert_pem, "key": key}, headers={"Prefer": "wait=10"})
    assert r.status_code == 200 and served(cluster, "swap.example.com") == [der(cert)] * 2
    r = cluster.cp.delete("/snis/swap.example.com", headers={"Prefer": "wait=10"})
    assert r.status_code == 204
    for d in cluster.data_planes:
        with pytest.raises(ssl.SSLError):
            d.peer_certificate("swap.example.com")


def test_404_over_http1_and_http2(cluster):
    put_certificate(cluster.cp, "web.example.com")
    d = cluster.data_planes[0]
    for version in ("--http1.1", "--http2"):
        out = subprocess.run(
            ["curl", "-sk", version, "--resolve", f"web.example.com:{d.tls_port}:{d.ip}", "-w", "\n%{http_code} %{http_version}", f"https://web.example.com:{d.tls_port}/x"],
            capture_output=True, text=True, timeout=10,
        ).stdout
        body, status = out.rsplit("\n", 1)
        assert status == ("404 1.1" if version == "--http1.1" else "404 2")
        assert '"message":"no Route matched with those values"' in body
    r = d.http("/", "web.example.com")
    assert r.status_code == 404 and r.json()["message"] == "no Route matched with those values"


def test_ticket_of_one_data_plane_resumes_on_another(cluster, tmp_path):
    put_certificate(cluster.cp, "ticket.example.com")
    session = tmp_path / "session"
    args = ["openssl", "s_client", "-servername", "ticket.example.com", "-tls1_2"]
    first, second = cluster.data_planes
    subprocess.run([*args, "-connect", f"{first.ip}:{first.tls_port}", "-sess_out", session], input="Q\n", capture_output=True, text=True, timeout=10)
    out = subprocess.run([*args, "-connect", f"{second.ip}:{second.tls_port}", "-sess_in", session], input="Q\n", capture_output=True, text=True, timeout=10)
    assert "Reused, TLSv1.2" in out.stdout


def test_each_resumption_gives_a_new_ticket(cluster):
    """TLS 1.3 clients use a ticket once: without a new one every second connection would be a full handshake."""
    put_certificate(cluster.cp, "again.example.com")
    d = cluster.data_planes[0]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    session, ids = None, []
    for i in range(3):
        with socket.create_connection((d.ip, d.tls_port), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname="again.example.com", session=session) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: again.example.com\r\n\r\n")
                assert s.recv(100)
                assert s.session_reused == (i > 0)
                session = s.session
                ids.append(session.id)
    assert len(set(ids)) == 3


def test_old_protocols_are_refused(cluster):
    put_certificate(cluster.cp, "old.example.com")
    d = cluster.data_planes[0]
    out = subprocess.run(
        ["openssl", "s_client", "-connect", f"{d.ip}:{d.tls_port}", "-servername", "old.example.com", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        input="", capture_output=True, text=True, timeout=10,
    )
    assert "Cipher is (NONE)" in out.stdout


def test_broken_certificate_is_nacked_and_named(cluster, database):
    """Written into the database by hand: the data planes refuse the revision, say which entity, and go on."""
    kept, _ = put_certificate(cluster.cp, "kept.example.com")
    _, bad_id = put_certificate(cluster.cp, "poison.example.com")
    _, other_pem, _ = pair("poison.example.com")
    with psycopg2.connect(database) as db, db.cursor() as cur:
        cur.execute("UPDATE certificates SET cert = %s, version = version + 1 WHERE id = %s", (other_pem, bad_id))

    def nacked():
        nodes = cluster.cp.get("/clustering/data-planes").json()["data"]
        return len(nodes) == 2 and any(n["nack"] and n["nack"]["id"] == bad_id for n in nodes)

    wait_until(nacked, 20, "nack shown")
    assert served(cluster, "kept.example.com") == [kept] * 2
    cert, cert_pem, key = pair("poison.example.com")
    r = cluster.cp.patch(f"/certificates/{bad_id}", json={"cert": cert_pem, "key": key}, headers={"Prefer": "wait=10"})
    assert r.status_code == 200, r.text
    assert served(cluster, "poison.example.com") == [der(cert)] * 2
    wait_until(lambda: all(n["nack"] is None for n in cluster.cp.get("/clustering/data-planes").json()["data"]), 10, "nack cleared")


def test_without_control_plane_and_database_a_restarted_data_plane_serves(cluster, postgres):
    want, _ = put_certificate(cluster.cp, "static.example.com")
    cluster.cp.process.stop()
    postgres.stop()
    try:
        for d in cluster.data_planes:
            d.process.kill()
            d.start()
            assert d.peer_certificate("static.example.com") == want
            assert d.metric("cardea_dp_connected") == 0
    finally:
        postgres.start()
        cluster.cp.start()
    # A write waits for the data planes that are there.
    wait_until(lambda: all(d.metric("cardea_dp_connected") == 1 for d in cluster.data_planes), 40, "streams open again")
    again, _ = put_certificate(cluster.cp, "static2.example.com")
    assert served(cluster, "static2.example.com") == [again] * 2


def test_paused_data_plane_is_named_by_wait(cluster):
    slow = cluster.data_planes[1]
    slow.process.signal(signal.SIGSTOP)
    try:
        cert, cert_pem, key = pair("late.example.com")
        r = cluster.cp.post("/certificates", json={"cert": cert_pem, "key": key, "snis": ["late.example.com"]}, headers={"Prefer": "wait=1"})
        assert r.status_code == 202, r.text
        assert r.headers["X-Cardea-Missing-Nodes"] == slow.node_id
        assert cluster.data_planes[0].peer_certificate("late.example.com") == der(cert)
    finally:
        slow.process.signal(signal.SIGCONT)
    wait_until(lambda: slow.peer_certificate("late.example.com") == der(cert), 30, "late data plane caught up")


def test_drain_finishes_and_exits_cleanly(cluster):
    d = cluster.data_planes[1]
    with socket.create_connection((d.ip, d.http_port), timeout=5) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"404" in s.recv(4096)
        d.process.signal(signal.SIGTERM)
        assert d.process.popen.wait(20) == 0
    d.start()


def test_stranger_is_refused_in_the_handshake(cluster):
    host, port = cluster.cp.cluster_addr.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with context.wrap_socket(raw) as tls:
                tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                end = time.monotonic() + 5
                while time.monotonic() < end:
                    if not tls.recv(4096):
                        raise ConnectionError("closed")
