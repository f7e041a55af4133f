"""Section 7.1 of the reliability goals against a data plane without a default certificate (first) and one with it (second)."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess

import pytest

from harness import wait_until
from pki import der, pair
from wire import (at_rest, client_hello, connect, connect_tls_port, descriptors, extension, hello_verdict, read_all,
                  read_answer, records, server_name, tls_context)

NAME = "tls.example.com"
UNKNOWN = "alert(unrecognized_name)"
VERSIONS_13 = extension(43, b"\x04\x03\x04\x03\x03")
KEY_SHARE = extension(51, b"\x00\x24\x00\x1d\x00\x20" + bytes(range(9, 41)))
TLS13 = VERSIONS_13 + KEY_SHARE


def sni(name):
    return server_name(name if isinstance(name, bytes) else name.encode())


@pytest.fixture(scope="module")
def planes(pair_of_planes):
    certs = {}
    for names in ([NAME], ["*.wild.example.com"], ["exact.wild.example.com"]):
        cert, cert_pem, key = pair(*names)
        r = pair_of_planes.cp.post("/certificates", json={"cert": cert_pem, "key": key, "snis": names}, headers={"Prefer": "wait=20"})
        assert r.status_code == 201, r.text
        certs[names[0]] = der(cert)
    pair_of_planes.certs = certs
    before = [descriptors(p) for p in pair_of_planes.data_planes]
    yield pair_of_planes
    for p, n in zip(pair_of_planes.data_planes, before):
        at_rest(p)
        wait_until(lambda: descriptors(p) <= n, 20, "descriptors back")


def s_client(plane, *args, name=NAME, text=""):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"{plane.ip}:{plane.tls_port}", "-servername", name, *args],
        input=text, capture_output=True, text=True, timeout=15,
    )


# --- TLS-01, TLS-02 ---


@pytest.mark.parametrize("legacy", [0x0300, 0x0301, 0x0302])
def test_tls_01_old_versions(planes, legacy):
    for p in planes.data_planes:
        verdict = hello_verdict(p, records(client_hello(sni(NAME), legacy=legacy)))
        assert verdict == "alert(protocol_version)" or (legacy == 0x0300 and verdict == "alert(handshake_failure)")


def test_tls_01_sslv2(planes):
    hello = b"\x80\x1f\x01\x00\x02\x00\x06\x00\x00\x00\x10\x07\x00\xc0\x05\x00\x80" + bytes(16)
    for p in planes.data_planes:
        with connect_tls_port(p) as s:
            s.sendall(hello)
            assert not read_all(s).startswith(b"\x16")


@pytest.mark.parametrize("suite", [0x0001, 0x0003, 0x0005, 0x000A, 0x002F, 0x009C, 0x009E, 0x0018, 0x0033, 0xC013, 0xC009, 0xC023, 0xC02D])
def test_tls_02_weak_suites(planes, suite):
    """NULL, EXPORT, RC4, 3DES, static RSA, DHE, anonymous, CBC."""
    for p in planes.data_planes:
        assert hello_verdict(p, records(client_hello(sni(NAME), suites=(suite,)))) == "alert(handshake_failure)"


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_tls_02_good_suites(planes, suite):
    assert f"Cipher is {suite}" in s_client(planes.data_planes[0], "-tls1_2", "-cipher", suite).stdout


# --- TLS-03, TLS-04 ---


def test_tls_03_renegotiation(planes):
    p = planes.data_planes[0]
    out = s_client(p, "-tls1_2", text="R\nR\n")
    assert "no renegotiation" in (out.stdout + out.stderr).lower()


def test_tls_04_compression_and_heartbeat(planes):
    p = planes.data_planes[0]
    out = s_client(p, "-tls1_2", "-tlsextdebug", text="Q\n").stdout
    assert "Compression: NONE" in out and "heartbeat" not in out.lower()


# --- TLS-05: server names ---

# name: (bytes of the extension, without a default certificate, with one). OpenSSL itself refuses a NUL and more than 255 bytes.
NAMES = {
    "unknown": (sni("nobody.example.com"), UNKNOWN, "hello"),
    "none": (b"", UNKNOWN, "hello"),
    "IPv4 literal": (sni("127.0.0.11"), UNKNOWN, "hello"),
    "IPv6 literal": (sni("::1"), UNKNOWN, "hello"),
    "NUL inside": (sni(NAME.encode() + b"\x00.org"), UNKNOWN, UNKNOWN),
    "NUL at the end": (sni(NAME.encode() + b"\x00"), UNKNOWN, UNKNOWN),
    "control inside": (sni(b"tls\n.example.com"), UNKNOWN, "hello"),
    "not ASCII": (sni("tlß.example.com"), UNKNOWN, "hello"),
    "space": (sni(" " + NAME), UNKNOWN, "hello"),
    "two dots at the end": (sni(NAME + ".."), UNKNOWN, "hello"),
    "a dot": (sni("."), UNKNOWN, "hello"),
    "star": (sni("*.wild.example.com"), UNKNOWN, "hello"),
    "256 bytes": (sni("a." * 128), UNKNOWN, UNKNOWN),
    "12,000 bytes": (sni("a." * 6000), UNKNOWN, UNKNOWN),
    "trailing dot": (sni(NAME + "."), "hello", "hello"),
    "upper case": (sni(NAME.upper()), "hello", "hello"),
    "trailing dot, mixed case": (sni("TlS.Example.Com."), "hello", "hello"),
    "empty name": (sni(b""), "alert(decode_error)", "alert(decode_error)"),
    "empty list": (server_name(), "alert(decode_error)", "alert(decode_error)"),
    "two names": (server_name(NAME.encode(), NAME.encode()), "alert(decode_error)", "alert(decode_error)"),
    "other type": (server_name(NAME.encode(), kind=1), "alert(decode_error)", "alert(decode_error)"),
    "list longer than the extension": (extension(0, b"\x00\x20\x00\x00\x03abc"), "alert(decode_error)", "alert(decode_error)"),
    "name longer than the list": (extension(0, b"\x00\x06\x00\x00\x09abc"), "alert(decode_error)", "alert(decode_error)"),
    "bytes behind the list": (extension(0, b"\x00\x06\x00\x00\x03abcde"), "alert(decode_error)", "alert(decode_error)"),
    "empty extension": (extension(0, b""), "alert(decode_error)", "alert(decode_error)"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [b"", TLS13], ids=["1.2", "1.3"])
def test_tls_05_names(planes, name, more):
    ext, without, with_default = NAMES[name]
    hello = records(client_hello(ext, more))
    assert [hello_verdict(p, hello) for p in planes.data_planes] == [without, with_default]


def test_tls_05_default_certificate_is_what_is_served(planes):
    second = planes.data_planes[1]
    for name in (None, "nobody.example.com", "x.y.wild.example.com", "wild.example.com"):
        assert second.peer_certificate(name) == planes.default_der
    assert second.peer_certificate(NAME) == planes.certs[NAME]
    with connect(second, "nobody.example.com") as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: nobody.example.com\r\n\r\n")
        assert read_answer(s)[0].status == 404


# --- TLS-06 ---


def test_tls_06_wildcards(planes):
    first = planes.data_planes[0]
    rows = {
        "a.wild.example.com": "*.wild.example.com",
        "A.WILD.example.com.": "*.wild.example.com",
        "exact.wild.example.com": "exact.wild.example.com",
        "wild.example.com": None,
        "x.y.wild.example.com": None,
        "x.exact.wild.example.com": None,
        ".wild.example.com": None,
    }
    for host, want in rows.items():
        verdict = hello_verdict(first, records(client_hello(sni(host), TLS13)))
        assert verdict == ("hello" if want else UNKNOWN), host
        if want and not host.endswith("."):
            assert first.peer_certificate(host) == planes.certs[want], host


# --- TLS-07: a ticket of one name under another ---


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_07_ticket_under_another_name(planes, version):
    context = tls_context()
    context.minimum_version = context.maximum_version = version

    def handshake(plane, name, session=None):
        with socket.create_connection((plane.ip, plane.tls_port), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=name, session=session) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                read_answer(s)
                return s.session, s.session_reused, s.getpeercert(binary_form=True)

    first, second = planes.data_planes
    session, reused, _ = handshake(first, NAME)
    assert not reused
    for plane in (first, second):
        assert handshake(plane, NAME, session)[1], "resumed on every data plane"
        _, reused, cert = handshake(plane, "a.wild.example.com", session)
        assert not reused and cert == planes.certs["*.wild.example.com"]
    assert not handshake(second, None, session)[1]


# --- TLS-11, TLS-12 ---


def test_tls_11_early_data_is_not_offered_and_skipped(planes, tmp_path):
    p = planes.data_planes[0]
    out = s_client(p, "-tls1_3", "-sess_out", tmp_path / "s", text="GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").stdout
    assert "TLSv1.3" in out and not re.search("Max Early Data: [1-9]", out)
    # Sent anyway: a ClientHello with the extension, then a record that nobody can read, is answered as if it were not there.
    psk_modes = extension(45, b"\x01\x01")
    early = records(client_hello(sni(NAME), TLS13, psk_modes, extension(42, b"")))
    with connect_tls_port(p) as s:
        s.sendall(early + b"\x17\x03\x03\x00\x40" + bytes(64))
        assert s.recv(6)[:1] == b"\x16"


ALPN = {
    "h2 and http/1.1": (["h2", "http/1.1"], "h2"),
    "http/1.1 first": (["http/1.1", "h2"], None),
    "only http/1.1": (["http/1.1"], "http/1.1"),
    "unknown and h2": (["foo", "h2"], "h2"),
}


@pytest.mark.parametrize("name", ALPN)
def test_tls_12_alpn(planes, name):
    offered, want = ALPN[name]
    with connect(planes.data_planes[0], NAME, alpn=offered) as s:
        assert s.selected_alpn_protocol() in ([want] if want else offered)


def test_tls_12_none_in_common(planes):
    for p in planes.data_planes:
        for offered in ([b"foo"], [b"h3", b"spdy/3"], [b"acme-tls/1"], [b"h2\x00"], [b"a" * 255]):
            body = b"".join(bytes([len(o)]) + o for o in offered)
            alpn = extension(16, struct.pack(">H", len(body)) + body)
            for more in (b"", TLS13):
                assert hello_verdict(p, records(client_hello(sni(NAME), alpn, more))) == "alert(no_application_protocol)"


def test_tls_12_no_alpn_is_http_1(planes):
    with connect(planes.data_planes[0], NAME) as s:
        assert s.selected_alpn_protocol() is None
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(s)[0].status == 404


# --- TLS-14, TLS-15 ---

GREASE = extension(0x0A0A, b"") + extension(0xFAFA, b"\x00")
MANY = b"".join(extension(60000 + i, b"x" * i) for i in range(100))
POST_QUANTUM = extension(51, struct.pack(">H", 36 + 1220) + b"\x11\xec" + struct.pack(">H", 1216) + bytes(1216) + b"\x00\x1d\x00\x20" + bytes(range(9, 41)))


SHAPES = {
    "grease": client_hello(sni(NAME), TLS13, GREASE, suites=(0x0A0A, 0x1301, 0xC02B)),
    "100 unknown extensions": client_hello(sni(NAME), TLS13, MANY),
    "post-quantum share": client_hello(sni(NAME), VERSIONS_13, POST_QUANTUM, groups=b"\x11\xec\x00\x1d"),
    "padding of 15,000 bytes": client_hello(sni(NAME), TLS13, extension(21, bytes(15000))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_tls_14_shapes(planes, name):
    p, hello = planes.data_planes[0], SHAPES[name]
    assert hello_verdict(p, records(hello)) == "hello"
    assert hello_verdict(p, records(hello, 200)) == "hello"


def test_tls_14_one_byte_per_segment(planes):
    p = planes.data_planes[0]
    hello = client_hello(sni(NAME), TLS13, GREASE)
    assert hello_verdict(p, records(hello), piece=1) == "hello"
    assert hello_verdict(p, records(hello, 100), piece=7) == "hello"


def test_tls_15_bad_records(planes):
    """Each ends with an alert or a close; the next client is served."""
    hello = records(client_hello(sni(NAME), TLS13))
    rows = {
        "huge ClientHello": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380),
        "record over the limit": b"\x16\x03\x01\xff\xff" + bytes(65535),
        "application data first": b"\x17\x03\x03\x00\x05hello",
        "change cipher spec first": b"\x14\x03\x03\x00\x01\x01" * 50,
        "empty records": b"\x16\x03\x01\x00\x00" * 100,
        "hello twice": hello + hello,
        "fatal alert": b"\x15\x03\x01\x00\x02\x02\x28",
        "warning alerts": b"\x15\x03\x01\x00\x02\x01\x5a" * 100,
        "extension cut off": records(client_hello(sni(NAME))[:-4]) + bytes(50),
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "PROXY": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + hello,
    }
    for p in planes.data_planes:
        for name, data in rows.items():
            with connect_tls_port(p) as s:
                with contextlib.suppress(ConnectionError):
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                with contextlib.suppress(TimeoutError):
                    read_all(s, 3)
        assert p.peer_certificate(NAME) == planes.certs[NAME]


def test_failures_are_counted(planes):
    first = planes.data_planes[0]
    for result in ("failed", "full", "resumed"):
        assert first.metric("cardea_dp_handshakes_total", f'{{result="{result}"}}') > 0, result
    total = sum(failures(first).values())
    assert total == first.metric("cardea_dp_handshakes_total", '{result="failed"}')


def failures(plane):
    """Reason: how often, of those that came."""
    found = re.findall(r'^cardea_dp_handshake_failures_total\{reason="(\w+)"\} (\d+)', plane.status("/metrics").text, re.M)
    return {reason: int(n) for reason, n in found if n != "0"}


def client_alert(alert, level=2):
    """After the first messages of TLS 1.2."""
    return records(client_hello(sni(NAME))) + b"\x15\x03\x03\x00\x02" + bytes([level, alert])


BAD_ALPN = extension(16, b"\x00\x04\x03foo")

# What one connection sends (and whether it then goes on waiting), and the reason that it is counted under.
FAILURES = {
    "unknown name": (records(client_hello(sni("nobody.example.com"), TLS13)), "unknown_name"),
    "malformed name": (records(client_hello(server_name(), TLS13)), "malformed"),
    "TLS 1.0": (records(client_hello(sni(NAME), legacy=0x0301)), "unsupported_protocol"),
    "fallback": (records(client_hello(sni(NAME), suites=(0xC02B, 0x5600))), "inappropriate_fallback"),
    "RC4": (records(client_hello(sni(NAME), suites=(0x0005,))), "no_shared_cipher"),
    "an unknown group": (records(client_hello(sni(NAME), VERSIONS_13, extension(51, b"\x00\x00"), groups=b"\x7f\x01")), "no_shared_group"),
    "an unknown protocol": (records(client_hello(sni(NAME), TLS13, BAD_ALPN)), "no_shared_alpn"),
    "plain HTTP": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http_request"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed"),
    "application data first": (b"\x17\x03\x03\x00\x05hello", "malformed"),
    "a record that is no key's": (records(client_hello(sni(NAME), TLS13)) + b"\x17\x03\x03\x00\x40" + bytes(64), "bad_record"),
    "end in the middle": (records(client_hello(sni(NAME), TLS13))[:100], "closed"),
    "end instead of Finished": (records(client_hello(sni(NAME), TLS13)), "closed"),
    "close_notify": (client_alert(0, level=1), "closed"),
    "unknown CA": (client_alert(48), "alert_unknown_ca"),
    "bad certificate": (client_alert(42), "alert_bad_certificate"),
    "expired": (client_alert(45), "alert_certificate_expired"),
    "certificate unknown": (client_alert(46), "alert_certificate_unknown"),
    "handshake failure": (client_alert(40), "alert_other"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_why_handshakes_failed(planes, name):
    plane, (data, reason) = planes.data_planes[0], FAILURES[name]
    before = failures(plane)
    with connect_tls_port(plane) as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            read_all(s)
    wait_until(lambda: failures(plane) != before, 5, "a failure counted")
    after = failures(plane)
    assert {r: n - before.get(r, 0) for r, n in after.items() if n != before.get(r, 0)} == {reason: 1}
