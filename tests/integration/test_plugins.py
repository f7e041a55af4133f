"""Plugins through a data plane: who gets in, what the upstream is told, and that nothing reaches it of those who do not
(kong-acme-hybrid.md 4.3 and 5, kong-admin-api.md 2.9; rows TLS-09, TLS-10, TR-04, TR-09, CH-11)."""

import socket
import subprocess

import pytest
import test_rows_http2 as http2

from client_pki import Holder
from harness import wait_until
from hpack import Decoder
from pki import pair
from plugin_world import NOT_SENT, NOT_VERIFIED, authority, bad_clients, consumers, cp, plane, root, route, sources, trusting, upstream, write  # noqa: F401


def raw(plane, text):
    """What a connection got for bytes, until it is closed."""
    with socket.create_connection((plane.ip, plane.http_port), timeout=10) as s:
        s.sendall(text.encode("latin-1"))
        got = b""
        while data := s.recv(65536):
            got += data
    return got.decode("latin-1")


def get(plane, host, path="/", *fields):
    lines = "".join(f"{f}\r\n" for f in fields)
    return raw(plane, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n")


# --- only HTTPS ---


def test_ssl_answers_426_with_kongs_bytes(plane, cp, upstream):
    host = route(cp, upstream, "ssl", {"only_https": True})
    head, body = raw(plane, f"GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").split("\r\n\r\n")
    first, *lines = head.split("\r\n")
    fields = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
    assert first == "HTTP/1.1 426 Upgrade Required"
    assert body == '{"message":"Please use HTTPS protocol"}'
    assert "upgrade" in [t.strip().lower() for t in fields["connection"].split(",")] and fields["upgrade"] == "TLS/1.0, HTTP/1.1"
    assert fields["content-type"] == "application/json; charset=utf-8"
    # Nobody is believed who is not trusted.
    assert get(plane, host, "/", "X-Forwarded-Proto: https").startswith("HTTP/1.1 426 ")
    assert not upstream.requests


def test_ssl_takes_what_a_trusted_proxy_terminated(plane, trusting, cp, upstream):
    host = route(cp, upstream, "ssl", {"only_https": True, "accept_http_if_already_terminated": True})
    strict = route(cp, upstream, "ssl", {"only_https": True})
    refused = [
        (trusting, host, ["X-Forwarded-Proto: http"]),
        (trusting, host, ["X-Forwarded-Proto: https", "X-Forwarded-Proto: https"]),
        (trusting, host, ["X-Forwarded-Proto: https, http"]),
        (trusting, host, []),
        (trusting, strict, ["X-Forwarded-Proto: https"]),
        (plane, host, ["X-Forwarded-Proto: https"]),
    ]
    for where, to, fields in refused:
        assert get(where, to, "/", *fields).startswith("HTTP/1.1 426 "), fields
    assert not upstream.requests
    assert get(trusting, host, "/", "X-Forwarded-Proto: https").startswith("HTTP/1.1 200 ")
    assert get(trusting, host, "/", "X-Forwarded-Proto: HTTPS").startswith("HTTP/1.1 200 ")


def test_ssl_without_only_https_lets_through(plane, cp, upstream):
    host = route(cp, upstream, "ssl", {})
    assert plane.http("/", host).status_code == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_to_https(plane, cp, upstream, status):
    """TR-09: Location is made of the checked host and the normal path."""
    host = route(cp, upstream, protocols=["https"], https_redirect_status_code=status)
    rows = [
        ("/a/b?c=d", "/a/b?c=d"),
        ("/", "/"),
        ("/a/../b", None),
        ("//evil.example/x", None),
        ("/%0d%0aX-Evil:%20yes", None),
        ("/%0D%0ALocation:%20http://evil.example", None),
    ]
    for sent, want in rows:
        answer = get(plane, host, sent)
        head = answer.split("\r\n\r\n")[0]
        assert head.startswith(f"HTTP/1.1 {status} "), (sent, answer)
        (location,) = [line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("location:")]
        assert location.startswith(f"https://{host}/") and not location.startswith(f"https://{host}//"), (sent, location)
        assert "x-evil" not in [line.split(":")[0].lower() for line in head.split("\r\n")]
        assert want is None or location == f"https://{host}{want}"
    assert not upstream.requests


def test_426_where_no_redirect_is_asked_for(plane, cp, upstream):
    host = route(cp, upstream, protocols=["https"])
    r = plane.http("/", host)
    assert r.status_code == 426 and r.headers["upgrade"] == "TLS/1.2, HTTP/1.1" and "upgrade" in r.headers["connection"].lower()
    assert not upstream.requests


# --- TR-04 ---

IDENTITY = [
    "X-Consumer-ID", "X-Consumer-Custom-ID", "X-Consumer-Username", "X-Credential-Identifier", "X-Anonymous-Consumer", "X-Client-Cert-Dn",
    "X-Client-Cert-San", "X-Client-Cert", "X-Client-Cert-Serial", "X-Client-Cert-Issuer-DN", "X-Client-Cert-Subject-DN", "X-Client-Cert-Fingerprint",
]  # fmt: skip


@pytest.mark.parametrize("plugin, config", [(None, None), ("tls-metadata-headers", {}), ("tls-metadata-headers", {"inject_client_cert_details": True})])
def test_tr_04_identity_is_nobodys_to_claim(plane, cp, upstream, plugin, config):
    host = route(cp, upstream, plugin, config)
    spellings = [f(name) for name in IDENTITY for f in (str, str.lower, str.upper)]
    assert get(plane, host, "/", *[f"{name}: admin" for name in spellings]).startswith("HTTP/1.1 200 ")
    assert get(plane, host, "/", *[f"{name.replace('-', '_')}: admin" for name in IDENTITY]).startswith("HTTP/1.1 200 ")
    for q in wait_until(lambda: len(upstream.requests) == 2 and upstream.take()):
        claimed = [f for f in q.fields if f[1] == "admin"]
        assert not claimed


def test_tr_04_names_of_the_operators_own(plane, cp, upstream):
    host = route(cp, upstream, "tls-metadata-headers", {"client_cert_header_name": "X-Mine"})
    get(plane, host, "/", "x-mine: claimed", "X_Mine: claimed")
    (q,) = upstream.take()
    assert [f for f in q.fields if f[1] == "claimed"] == []


def test_tr_04_trailers_claim_nothing(plane, cp, upstream):
    host = route(cp, upstream, "tls-metadata-headers", {"client_cert_header_name": "X-Mine"})
    claims = "".join(f"{name}: claimed\r\n" for name in [*IDENTITY, "X-Mine", "X_Mine", "X-Kong-Request-Id"])
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert raw(plane, f"{head}2\r\nhi\r\n0\r\n{claims}X-Sum: 1\r\n\r\n").startswith("HTTP/1.1 200 ")
    (q,) = upstream.take()
    assert [(n.lower(), v) for n, v in q.trailers] == [("x-sum", "1")]


# --- header-cert-auth ---


def header_config(authority, form="rfc9440", **config):
    return {"ca_certificates": [authority], "certificate_header_name": "X-Cert", "certificate_header_format": form, "secure_source": False,
            "revocation_check_mode": "SKIP", **config}  # fmt: skip


@pytest.mark.parametrize("form, value", [("base64_encoded", "base64"), ("url_encoded", "escaped"), ("rfc9440", "sequence")])
def test_header_formats(plane, cp, upstream, authority, root, form, value):
    host = route(cp, upstream, "header-cert-auth", header_config(authority, form))
    alice = Holder("alice", root)
    r = plane.http("/", host, headers={"X-Cert": getattr(alice, value), "X-Consumer-Username": "root"})
    assert r.status_code == 200, r.text
    (q,) = upstream.take()
    assert (q.get("x-consumer-username"), q.get("x-consumer-custom-id"), q.get("x-credential-identifier")) == ("alice", "17", "alice")
    assert q.get("x-consumer-id") == cp.get("/consumers/alice").json()["id"] and q.get("x-anonymous-consumer") is None


def test_tls_09_in_a_header(plane, cp, upstream, authority, root):
    host = route(cp, upstream, "header-cert-auth", header_config(authority, "url_encoded"))
    for name, shown in bad_clients(root):
        r = plane.http("/", host, headers={"X-Cert": "".join(h.escaped for h in shown)})
        assert (r.status_code, r.json()["message"]) == (401, NOT_VERIFIED), name
    alice = Holder("alice", root)
    middle = Holder("middle", root, ca=True)
    for name, value in [
        ("malformed DER", alice.escaped[:200]),
        ("not a certificate", "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A"),
        ("nothing of the kind", "x"),
        ("a key", "-----BEGIN%20PRIVATE%20KEY-----%0AAAAA%0A-----END%20PRIVATE%20KEY-----%0A"),
        ("repeated too often", alice.escaped * 11),
    ]:
        r = plane.http("/", host, headers={"X-Cert": value})
        assert r.status_code == 401 and r.json()["message"] == NOT_VERIFIED or r.status_code == 431, name
    twice = get(plane, host, "/", f"X-Cert: {alice.escaped}", f"X-Cert: {alice.escaped}")
    assert twice.startswith("HTTP/1.1 401 ")
    r = plane.http("/", host)
    assert (r.status_code, r.json()["message"]) == (401, NOT_SENT)
    assert not upstream.requests
    # The same way in is open to who has the right one, with its chain.
    assert plane.http("/", host, headers={"X-Cert": Holder("alice", middle).escaped + middle.escaped}).status_code == 200


def test_secure_source(plane, cp, upstream, authority, root):
    """Whoever is not trusted has no certificate, whatever it says, and the upstream does not hear of it."""
    host = route(cp, upstream, "header-cert-auth", header_config(authority, secure_source=True))
    alice = Holder("alice", root)
    r = plane.http("/", host, headers={"X-Cert": alice.sequence})
    assert (r.status_code, r.json()["message"]) == (401, NOT_SENT)
    assert not upstream.requests
    host = route(cp, upstream, "header-cert-auth", header_config(authority, secure_source=True, anonymous="guest"))
    assert plane.http("/", host, headers={"X-Cert": alice.sequence, "Client-Cert-Chain": alice.sequence}).status_code == 200
    (q,) = upstream.take()
    assert (q.get("x-consumer-username"), q.get("x-anonymous-consumer")) == ("guest", "true")
    assert q.get("x-cert") is None and q.get("client-cert-chain") is None and q.get("x-credential-identifier") is None


def test_trusted_source(trusting, cp, upstream, authority, root):
    host = route(cp, upstream, "header-cert-auth", header_config(authority, secure_source=True))
    assert trusting.http("/", host, headers={"X-Cert": Holder("alice", root).sequence}).status_code == 200
    assert upstream.take()[0].get("x-consumer-username") == "alice"
    assert trusting.http("/", host, headers={"X-Cert": Holder("alice").sequence}).status_code == 401
    assert not upstream.requests


def test_names_mapped_by_hand(plane, cp, upstream, authority, root):
    """/header-cert-auths are this plugin's, and before usernames; /mtls-auths are not."""
    host = route(cp, upstream, "header-cert-auth", header_config(authority))

    def who(name):
        r = plane.http("/", host, headers={"X-Cert": Holder(name, root).sequence})
        return (q := upstream.take()[0]) and (q.get("x-consumer-username"), q.get("x-credential-identifier")) if r.status_code == 200 else r.json()["message"]

    def put(path, **body):
        r = cp.post(path, json=body, headers={"Prefer": "wait=10"})
        assert r.status_code == 201, r.text
        return r.json()["id"]

    put("/consumers/guest/mtls-auth", subject_name="device-9")
    assert who("device-9") == NOT_VERIFIED
    mapping = put("/consumers/guest/header-cert-auth", subject_name="device-9")
    assert who("device-9") == ("guest", mapping)
    own = put("/header-cert-auths", subject_name="device-9", ca_certificate={"id": authority}, consumer={"username": "alice"})
    assert who("device-9") == ("alice", own)
    over = put("/header-cert-auths", subject_name="alice", consumer={"username": "guest"})
    assert who("alice") == ("guest", over)
    for id in (mapping, own, over):
        assert cp.delete(f"/header-cert-auths/{id}", headers={"Prefer": "wait=10"}).status_code == 204
    assert who("device-9") == NOT_VERIFIED and who("alice") == ("alice", "alice")


def test_who_it_is(plane, cp, upstream, authority, root):
    host = route(cp, upstream, "header-cert-auth", header_config(authority, default_consumer="guest"))
    plane.http("/", host, headers={"X-Cert": Holder("stranger", root).sequence})
    plane.http("/", host, headers={"X-Cert": Holder("stranger", root, dns=["nobody.example", "alice"]).sequence})
    first, second = upstream.take()
    assert (first.get("x-consumer-username"), first.get("x-anonymous-consumer")) == ("guest", None)
    assert second.get("x-consumer-username") == "alice"
    host = route(cp, upstream, "header-cert-auth", header_config(authority, skip_consumer_lookup=True))
    plane.http("/", host, headers={"X-Cert": Holder("stranger", root, dns=["a.example", "b.example"]).sequence})
    (q,) = upstream.take()
    assert (q.get("x-client-cert-dn"), q.get("x-client-cert-san"), q.get("x-consumer-id")) == ("CN=stranger", "a.example,b.example", None)
    host = route(cp, upstream, "header-cert-auth", header_config(authority))
    r = plane.http("/", host, headers={"X-Cert": Holder("stranger", root).sequence})
    assert (r.status_code, r.json()["message"]) == (401, NOT_VERIFIED)
    assert not upstream.requests


# --- revocation ---


@pytest.mark.parametrize("path, broken", [("/ocsp", set()), ("/list", {"/ocsp"})])
def test_tls_09_revoked(plane, cp, upstream, authority, root, sources, path, broken):
    """By a responder, and by a list where the responder is of no use."""
    host = route(cp, upstream, "header-cert-auth", header_config(authority, revocation_check_mode="STRICT", cert_cache_ttl=0))
    alice, eve = (Holder("alice", root, sources=sources) for _ in range(2))
    sources.holders += [alice, eve]
    sources.broken |= broken
    sources.revoked.add(eve.cert.serial_number)
    assert plane.http("/", host, headers={"X-Cert": alice.sequence}).status_code == 200
    assert sources.asked[-1] == path
    assert len(upstream.take()) == 1
    r = plane.http("/", host, headers={"X-Cert": eve.sequence})
    assert (r.status_code, r.json()["message"]) == (401, NOT_VERIFIED)
    assert not upstream.requests


def test_nobody_says_whether_it_was_revoked(plane, cp, upstream, authority, root, sources):
    alice = Holder("alice", root, sources=sources)
    sources.holders.append(alice)
    sources.broken |= {"/ocsp", "/list"}
    strict = route(cp, upstream, "header-cert-auth", header_config(authority, revocation_check_mode="STRICT"))
    lenient = route(cp, upstream, "header-cert-auth", header_config(authority, revocation_check_mode="IGNORE_CA_ERROR"))
    assert plane.http("/", strict, headers={"X-Cert": alice.sequence}).status_code == 401
    assert not upstream.requests
    assert plane.http("/", lenient, headers={"X-Cert": alice.sequence}).status_code == 200
    assert sources.asked


def test_ch_11_private_responders_are_not_asked(plane, cp, upstream, authority, root, sources):
    """A data plane that was not told otherwise asks nobody on loopback, whatever a certificate names."""
    wary = plane.cluster.add_data_plane().start()
    host = route(cp, upstream, "header-cert-auth", header_config(authority, revocation_check_mode="STRICT", cert_cache_ttl=0))
    alice = Holder("alice", root, sources=sources)
    sources.holders.append(alice)
    try:
        assert plane.http("/", host, headers={"X-Cert": alice.sequence}).status_code == 200
        asked = len(sources.asked)
        assert wary.http("/", host, headers={"X-Cert": alice.sequence}).status_code == 401
        assert len(sources.asked) == asked
    finally:
        wary.process.stop()
        plane.cluster.data_planes.remove(wary)


def test_a_client_that_leaves_while_a_responder_is_asked(plane, cp, upstream, authority, root):
    """Its request goes no further, and the data plane goes on."""
    silent = socket.create_server(("127.0.0.1", 0))

    class Nowhere:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

    host = route(cp, upstream, "header-cert-auth", header_config(authority, revocation_check_mode="STRICT", http_timeout=1000))
    alice = Holder("alice", root, sources=Nowhere)
    with socket.create_connection((plane.ip, plane.http_port), timeout=10) as s:
        s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Cert: {alice.sequence}\r\n\r\n".encode())
        silent.settimeout(10)
        asking, _ = silent.accept()
    # It is gone; another waits for the same answer, which does not come in time.
    r = plane.http("/", host, headers={"X-Cert": alice.sequence})
    assert r.status_code == 401
    asking.close()
    silent.close()
    assert not upstream.requests
    assert plane.process.alive()


def test_what_follows_a_responder_is_of_the_route_too(plane, cp, upstream, authority, root, sources):
    """A request that waited goes on with the other plugins of its route."""
    host = route(cp, upstream, "header-cert-auth", header_config(authority, revocation_check_mode="STRICT", cert_cache_ttl=0))
    write(cp, "POST", f"/routes/{host.split('.')[0]}/plugins", {"name": "request-termination", "config": {"status_code": 418}})
    alice = Holder("alice", root, sources=sources)
    sources.holders.append(alice)
    assert plane.http("/", host, headers={"X-Cert": alice.sequence}).status_code == 418
    assert sources.asked
    assert not upstream.requests


# --- request-termination ---


def test_request_termination(plane, cp, upstream):
    host = route(cp, upstream, "request-termination", {"status_code": 418, "message": "no coffee", "trigger": "x-stop"})
    assert plane.http("/", host).status_code == 200
    r = plane.http("/", host, headers={"X-Stop": "1"})
    assert (r.status_code, r.json()) == (418, {"message": "no coffee"})
    assert plane.http("/?x-stop", host).status_code == 418
    assert len(upstream.take()) == 1


# --- sizes of bodies ---


def post(plane, host, *fields, body="", length=None):
    """Status line and body of the answer; the body is sent whether it is waited for or not."""
    size = len(body) if length is None else length
    framing = () if any(f.startswith("Transfer-Encoding") for f in fields) else (f"Content-Length: {size}",)
    lines = "".join(f"{f}\r\n" for f in (*fields, *framing))
    got = raw(plane, f"POST / HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n{body}")
    head, _, text = got.partition("\r\n\r\n")
    return int(head.split(" ")[1]), text


def chunked(*parts):
    return "".join(f"{len(p):x}\r\n{p}\r\n" for p in parts) + "0\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"


def test_request_size_limiting(plane, cp, upstream):
    host = route(cp, upstream, "request-size-limiting", {"allowed_payload_size": 10, "size_unit": "bytes"})
    too_large = '"message":"Request size limit exceeded"'
    for status, fields, body, length in [
        (413, [], "", 11),
        (413, [], "x" * 11, None),
        (417, ["Expect: 100-continue"], "", 11),
        (413, [CHUNKED], chunked("x" * 11), None),
        (413, [CHUNKED], chunked("x" * 6, "x" * 5), None),
        (413, [CHUNKED], chunked("x" * 6, "x" * 5).removesuffix("0\r\n\r\n"), None),  # before the end comes
        (413, [CHUNKED, "Expect: 100-continue"], chunked("x" * 11), None),
    ]:
        got, text = post(plane, host, *fields, body=body, length=length)
        assert got == status or (status, got) == (413, 100), (fields, body, got)
        assert too_large in text, text
    assert not upstream.requests
    for fields, body in [([], "x" * 10), ([], ""), ([CHUNKED], chunked("x" * 5, "x" * 5)), ([CHUNKED], chunked())]:
        assert post(plane, host, *fields, body=body)[0] == 200, body
    assert get(plane, host).startswith("HTTP/1.1 200 ")
    assert [q.body for q in upstream.take()] == [b"x" * 10, b"", b"x" * 10, b"", b""]
    assert plane.metric("cardea_dp_rejected_total", '{reason="body_limit"}') == 4


def test_request_size_limiting_of_streamed_bodies(plane, cp, upstream):
    """Without request_buffering the upstream has the begin when the limit is passed: it never sees the end."""
    host = route(cp, upstream, "request-size-limiting", {"allowed_payload_size": 1, "size_unit": "kilobytes"}, request_buffering=False)
    with socket.create_connection((plane.ip, plane.http_port), timeout=10) as s:
        s.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\n{CHUNKED}\r\nConnection: close\r\n\r\n".encode() + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        wait_until(lambda: any(b"x" * 1000 in c.raw for c in upstream.connections), 10, "the begin at the upstream")
        s.sendall(b"19\r\n" + b"x" * 25 + b"\r\n0\r\n\r\n")
        got = b""
        while data := s.recv(65536):
            got += data
    assert got.startswith(b"HTTP/1.1 413 ") and b"Request size limit exceeded" in got
    assert not upstream.requests


def test_request_size_limiting_wants_a_length(plane, cp, upstream):
    host = route(cp, upstream, "request-size-limiting", {"require_content_length": True})
    status, text = post(plane, host, CHUNKED, body=chunked("x"))
    assert status == 411 and '"message":"A valid Content-Length header is required"' in text
    assert not upstream.requests
    assert post(plane, host, body="x")[0] == 200 and get(plane, host).startswith("HTTP/1.1 200 ")


def status_by_http2(plane, host, body, *fields):
    """Frame by frame: some clients lose an answer that is there before they have sent their body."""
    with http2.Client(plane, tls=host) as c:
        c.send(http2.request(*fields, authority=host, **http2.POST) + http2.frame(http2.DATA, http2.END_STREAM, 1, body))
        while (f := c.frame()) and (f[0], f[2]) != (http2.HEADERS, 1):
            pass
        return int(dict(Decoder().decode(f[3]))[":status"])


def test_request_size_limiting_of_http2(plane, cp, upstream):
    host = route(cp, upstream, "request-size-limiting", {"allowed_payload_size": 10, "size_unit": "bytes"})
    _, cert, key = pair(host)
    write(cp, "POST", "/certificates", {"cert": cert, "key": key, "snis": [host]})
    assert status_by_http2(plane, host, b"x" * 11, ("content-length", "11")) == 413
    assert status_by_http2(plane, host, b"x" * 11) == 413
    assert not upstream.requests
    assert status_by_http2(plane, host, b"x" * 10, ("content-length", "10")) == 200
    assert status_by_http2(plane, host, b"x" * 10) == 200
