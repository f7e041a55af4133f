"""Sections 6, 8 and 9 for whom clients are: PROXY headers, trusted addresses and forwarded fields, limits per client and of memory, the access log."""

import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from harness import DataPlane, wait_until
from pki import pair
from upstreams import Upstream, add_route
from wire import Answer, read_all, read_answer, tls_context

NAME = "client.example.com"
REQUEST = b"GET /p?q=1 HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n"
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.2 12345 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes.fromhex("20010db8000000000000000000000007" "20010db8000000000000000000000002") + struct.pack(">HH", 12345, 443)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
UNKNOWN = b"PROXY UNKNOWN\r\n"


@pytest.fixture(scope="module")
def upstream():
    u = Upstream()
    yield u
    u.close()


@pytest.fixture(scope="module")
def planes(pair_of_planes, upstream):
    _, cert, key = pair(NAME)
    r = pair_of_planes.cp.post("/certificates", json={"cert": cert, "key": key, "snis": [NAME]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    add_route(pair_of_planes, "client", upstream)
    return pair_of_planes


@contextlib.contextmanager
def plane(planes, name, ip, **settings):
    p = DataPlane(planes, name, ip, **settings)
    p.start()
    try:
        yield p
    finally:
        assert p.process.stop() == 0, p.process.log()[-3000:]


@pytest.fixture(scope="module")
def proxied(planes):
    """PROXY headers on both ports, from 127.0.0.1 alone."""
    ip = "127.0.0.81"
    listen = f"{ip}:{planes.http_port} proxy_protocol, {ip}:{planes.tls_port} ssl http2 proxy_protocol"
    with plane(planes, "proxied", ip, proxy_listen=listen, trusted_ips="127.0.0.1", real_ip_header="proxy_protocol") as p:
        yield p


@pytest.fixture(scope="module")
def trusting(planes):
    """Believes 127.0.0.1; writes JSON."""
    log = planes.folder / "trusting.access"
    with plane(planes, "trusting", "127.0.0.82", trusted_ips="127.0.0.1, 10.0.0.0/8", real_ip_header="X-Forwarded-For", real_ip_recursive="on",
               proxy_access_log=log, proxy_access_log_format="json") as p:
        p.access_log = log
        yield p


def dial(p, source="127.0.0.1", tls=False):
    s = socket.create_connection((p.ip, p.tls_port if tls else p.http_port), timeout=5, source_address=(source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask(p, before=b"", fields=b"", source="127.0.0.1"):
    """One request; the answer."""
    with dial(p, source) as s:
        s.sendall(before + REQUEST + fields + b"\r\n")
        return read_answer(s)[0]


def rejected(p, reason):
    return p.metric("cardea_dp_rejected_total", f'{{reason="{reason}"}}') or 0


def arrived(upstream):
    (r,) = upstream.take()
    return r


# --- section 8 ---


@pytest.mark.parametrize("header,client", [(V1, "203.0.113.7"), (V2, "2001:db8::7"), (LOCAL, "127.0.0.1"), (UNKNOWN, "127.0.0.1")],
                         ids=["v1", "v2", "local", "unknown"])
@pytest.mark.parametrize("cut", ["whole", "bytewise"])
def test_pp_05_pp_10_the_header_names_the_client(proxied, upstream, header, client, cut):
    with dial(proxied) as s:
        data = header + REQUEST + b"X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n"
        for i in range(0, len(data), 1 if cut == "bytewise" else len(data)):
            s.sendall(data[i : i + (1 if cut == "bytewise" else len(data))])
        assert read_answer(s)[0].status == 200
    r = arrived(upstream)
    assert r.get("x-forwarded-for") == f"6.6.6.6, {client}"
    assert r.get("x-real-ip") == client


def test_pp_07_header_and_tls_in_one_segment(proxied, upstream):
    context, incoming, outgoing = tls_context(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with dial(proxied, tls=True) as s:
        before = V2
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                s.sendall(before + outgoing.read())
                before = b""
                incoming.write(s.recv(65536))
        tls.write(REQUEST + b"\r\n")
        s.sendall(outgoing.read())
        data = b""
        while b"hello" not in data:
            incoming.write(s.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                data += tls.read(65536)
    r = arrived(upstream)
    assert r.get("x-real-ip") == "2001:db8::7"
    assert r.get("x-forwarded-proto") == "https"


def test_pp_01_from_whom_it_is_not_taken(proxied, upstream):
    before = rejected(proxied, "PP-01")
    for source in ("127.0.0.2", "127.0.0.3"):
        with dial(proxied, source) as s:
            with contextlib.suppress(OSError):
                s.sendall(V1 + REQUEST + b"\r\n")
            assert read_all(s) == b""
    assert upstream.take() == []
    wait_until(lambda: rejected(proxied, "PP-01") == before + 2, 5, "counted")


BAD = {
    "pp_02 none": REQUEST + b"\r\n",
    "pp_02 TLS": b"\x16\x03\x01\x02\x00\x01",
    "pp_04 lower case": b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + REQUEST + b"\r\n",
    "pp_04 bare LF": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + REQUEST + b"\r\n",
    "pp_04 108 bytes": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n" + REQUEST + b"\r\n",
    "pp_04 leading zero": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 02\r\n" + REQUEST + b"\r\n",
    "pp_04 IPv4 in IPv6 form": b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n" + REQUEST + b"\r\n",
    "pp_06 version": V2.replace(b"QUIT\n\x21", b"QUIT\n\x31") + REQUEST + b"\r\n",
    "pp_06 family": V2.replace(b"QUIT\n\x21\x21", b"QUIT\n\x21\x31") + REQUEST + b"\r\n",
    "pp_06 length": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + REQUEST + b"\r\n",
    "pp_07 TLV beyond the header": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f" + bytes(12) + b"\x04\0\x01" + REQUEST + b"\r\n",
    "pp_07 CRC32C": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13" + bytes(12) + b"\x03\0\x04" + bytes(4) + REQUEST + b"\r\n",
}


@pytest.mark.parametrize("row", BAD)
def test_pp_02_dropped_without_an_answer(proxied, upstream, row):
    before = rejected(proxied, "PP-02")
    with dial(proxied) as s:
        s.sendall(BAD[row])
        assert read_all(s, 2) == b""
    assert upstream.take() == []
    wait_until(lambda: rejected(proxied, "PP-02") == before + 1, 5, "counted")


def test_pp_02_not_whole_within_3_seconds(proxied):
    sockets = []
    begin = time.monotonic()
    for first in (b"", V1[:20], V2[:30]):
        s = dial(proxied)
        s.sendall(first)
        sockets.append(s)
    for s in sockets:
        assert read_all(s, 6) == b""
        s.close()
    assert 2.5 < time.monotonic() - begin < 5


def test_pp_03_where_it_is_off(trusting, upstream):
    for header in (V1, V2):
        answer = ask(trusting, header)
        assert answer.status == 400 and answer.closes
    with dial(trusting, tls=True) as s:
        s.sendall(V2 + b"\x16\x03\x01")
        data = read_all(s)
        assert data == b"" or data[:1] == b"\x15", data
    assert upstream.take() == []


def test_pp_08_two_headers(proxied, upstream):
    answer = ask(proxied, V1 + V1)
    assert answer.status == 400 and answer.closes
    assert upstream.take() == []


@pytest.mark.parametrize("version,begin", [("v1", b"PROXY TCP4 "), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11")])
def test_pp_09_outgoing(planes, version, begin):
    """Once per connection, and no connection is shared."""
    heads = []

    def handler(c):
        header = c._exactly(28) if version == "v2" else b""
        heads.append(header + c.read_head())
        while True:
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            heads.append(c.read_head())

    u = Upstream(handler=handler)
    name = f"outgoing{version}"
    add_route(planes, name, u)
    try:
        with plane(planes, name, "127.0.0.83", upstream_proxy_protocol=version) as p:
            sources = ("127.0.0.1", "127.0.0.4", "127.0.0.1")
            for source in sources:
                with dial(p, source) as s:
                    for _ in range(2):
                        s.sendall(b"GET / HTTP/1.1\r\nHost: " + name.encode() + b".example.com\r\n\r\n")
                        assert read_answer(s)[0].status == 200
        assert len(u.connections) == 6 and len(heads) == 6
        for i, head in enumerate(heads):
            source = sources[i // 2]
            assert head.startswith(begin)
            if version == "v1":
                assert head.split(b"\r\n")[0].split(b" ")[2] == source.encode()
            else:
                assert head[16:20] == socket.inet_aton(source)
            assert head.count(b"GET / HTTP/1.1\r\n") == 1
    finally:
        u.close()


# --- section 9 ---

LIES = (b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Path: /evil\r\nX-Forwarded-Prefix: /evil\r\n"
        b"X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Kong-Request-Id: evil\r\n")


def test_tr_01_what_a_stranger_says_is_replaced(trusting, upstream):
    assert ask(trusting, fields=LIES, source="127.0.0.2").status == 200
    r = arrived(upstream)
    assert b"evil" not in r.head and b"6.6.6.6" not in r.head
    assert r.get("x-forwarded-proto") == "http"
    assert r.get("x-forwarded-host") == NAME
    assert r.get("x-forwarded-path") == "/p"
    assert r.get("x-forwarded-prefix") is None
    assert r.get("x-real-ip") == "127.0.0.2"
    assert r.get("forwarded") is None


def test_tr_01_what_a_trusted_one_says_is_passed_on(trusting, upstream):
    fields = b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: front.example.com\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Path: /out/p\r\n"
    assert ask(trusting, fields=fields).status == 200
    r = arrived(upstream)
    assert r.get("x-forwarded-proto") == "https"
    assert r.get("x-forwarded-host") == "front.example.com"
    assert r.get("x-forwarded-port") == "443"
    assert r.get("x-forwarded-path") == "/out/p"


def test_tr_02_forwarded_for_of_a_stranger(trusting, upstream):
    assert ask(trusting, fields=b"X-Forwarded-For: 6.6.6.6\r\n", source="127.0.0.2").status == 200
    r = arrived(upstream)
    assert r.get("x-forwarded-for") == "6.6.6.6, 127.0.0.2"
    assert r.get("x-real-ip") == "127.0.0.2"


def test_tr_02_forwarded_for_of_a_trusted_one(trusting, upstream):
    assert ask(trusting, fields=b"X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-For: 10.1.1.1\r\n").status == 200
    r = arrived(upstream)
    assert r.get("x-forwarded-for") == "6.6.6.6, 203.0.113.9, 10.1.1.1, 127.0.0.1"
    assert r.get("x-real-ip") == "203.0.113.9"


@pytest.mark.parametrize("alias", ["X_Forwarded_For", "x_real_ip", "X-Forwarded_Proto", "X_FORWARDED_HOST", "X_Kong_Request_Id", "Content_Length", "Transfer_Encoding"])
def test_tr_03_aliases_are_dropped(trusting, upstream, alias):
    assert ask(trusting, fields=alias.encode() + b": 6.6.6.6\r\nX_Other: kept\r\n").status == 200
    r = arrived(upstream)
    assert b"6.6.6.6" not in r.head
    assert r.get("x_other") == "kept"


def test_tr_10_no_request_makes_two_lines(trusting, upstream):
    answer = ask(trusting, fields=b'User-Agent: a"b\\c\x09{"status":1}\xff\xc3\r\nReferer: http://x/\xe2\x80\xa8y\r\n')
    assert answer.status == 200
    upstream.take()
    entry = line_of(trusting, request_id=answer.fields["x-kong-request-id"])
    assert entry["user_agent"].startswith('a"b\\c\t{"status":1}')
    assert entry["status"] == 200


def test_tr_12_a_circle_ends(planes, upstream):
    """Cardea is its own upstream."""
    p = planes.data_planes[0]

    class Here:
        ip, port = p.ip, p.http_port

    add_route(planes, "circle", Here, preserve_host=True)
    r = p.http("/", "circle.example.com")
    assert r.status_code == 508, r.text
    for n, status in ((3, 200), (4, 508)):
        r = p.http("/", NAME, headers={"Via": ", ".join(["1.1 cardea"] * n)})
        assert r.status_code == status
    (q,) = upstream.take()
    assert q.get("via") == "1.1 cardea, 1.1 cardea, 1.1 cardea, 1.1 cardea"


def test_request_id_both_ways(trusting, upstream):
    ids = set()
    for _ in range(5):
        answer = ask(trusting)
        r = arrived(upstream)
        assert r.get("x-kong-request-id") == answer.fields["x-kong-request-id"]
        ids.add(answer.fields["x-kong-request-id"])
    assert len(ids) == 5 and all(len(i) == 32 for i in ids)


def test_headers_setting(planes, upstream):
    with plane(planes, "quiet", "127.0.0.84", headers="off") as p:
        for answer in (ask(p), Answer(*plain(p, "/", "nobody.example.com"))):
            for name in ("via", "server", "x-kong-request-id", "x-kong-proxy-latency", "x-kong-upstream-latency", "x-kong-response-latency"):
                assert name not in answer.fields, (name, answer.fields)
    with plane(planes, "chatty", "127.0.0.85", headers="Via, X-Kong-Upstream-Status, latency_tokens") as p:
        fields = ask(p).fields
        assert fields["x-kong-upstream-status"] == "200" and "via" in fields and "x-kong-proxy-latency" in fields
        assert "x-kong-request-id" not in fields
    upstream.take()


def plain(p, path, host):
    r = p.http(path, host)
    return r.status_code, {k.lower(): v for k, v in r.headers.items()}, r.content


# --- the access log ---


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def line_of(p, **wanted):
    """The line with these values; there is just one."""
    (line,) = wait_until(lambda: [e for e in lines(p.access_log) if wanted.items() <= e.items()], 5, "a line")
    return line


def test_access_log_line(trusting, upstream):
    with dial(trusting) as s:
        s.sendall(b"POST /logged HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nX-Forwarded-For: 203.0.113.5\r\nContent-Length: 11\r\n\r\nhello world")
        assert read_answer(s)[0].status == 200
    upstream.take()
    e = line_of(trusting, target="/logged")
    assert (e["method"], e["target"], e["status"], e["bytes_in"], e["bytes_out"]) == ("POST", "/logged", 200, 11, 5)
    assert e["client"].startswith("203.0.113.5:") and e["peer"].startswith("127.0.0.1:")
    assert (e["route"], e["service"], e["upstream"]) == ("client", "client", f"127.0.0.1:{upstream.port}")
    assert e["total_us"] >= e["upstream_us"] > 0


def test_access_log_of_what_is_refused(trusting):
    with dial(trusting) as s:
        s.sendall(b"GET /refused HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n")
        answer = read_answer(s)[0]
        assert answer.status == 400 and len(answer.body) > 0
    e = line_of(trusting, target="/refused")
    assert e["status"] == 400 and e["bytes_out"] == len(answer.body)


def test_access_log_of_what_becomes_too_large(planes, upstream):
    """The session's own answer, while the request waits for the rest of its body."""
    log = planes.folder / "small.access"
    with plane(planes, "small", "127.0.0.88", workers=1, client_max_body_size="4k", proxy_access_log=log, proxy_access_log_format="json") as p:
        p.access_log = log
        with dial(p) as s:
            s.sendall(b"POST /grows HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + bytes(4096) + b"\r\n1\r\nx\r\n")
            assert read_answer(s)[0].status == 413
        e = line_of(p, target="/grows")
        assert (e["status"], e["route"]) == (413, "client")
    upstream.take()


def test_access_log_opened_again(trusting, upstream):
    moved = trusting.access_log.with_suffix(".1")
    ask(trusting)
    wait_until(lambda: lines(trusting.access_log), 5, "a line")
    os.rename(trusting.access_log, moved)
    trusting.process.signal(signal.SIGUSR1)
    wait_until(trusting.access_log.exists, 5, "a new file")
    line_of(trusting, request_id=ask(trusting).fields["x-kong-request-id"])
    upstream.take()


def test_sl_11_nobody_reads_the_log(planes, upstream):
    """Lines are dropped and counted; requests go on."""
    fifo = planes.folder / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with plane(planes, "unread", "127.0.0.86", workers=1, proxy_access_log=fifo) as p:
            padding = b"User-Agent: " + b"x" * 2000 + b"\r\nReferer: " + b"y" * 2000 + b"\r\n"
            with dial(p) as s:
                for _ in range(900):
                    s.sendall(REQUEST + padding + b"\r\n")
                    assert read_answer(s)[0].status == 200
            wait_until(lambda: p.metric("cardea_dp_access_log_dropped") > 0, 5, "counted")
            assert ask(p).status == 200
    finally:
        os.close(reader)
        upstream.take()


def test_sl_11_full_disk(planes, upstream):
    with plane(planes, "full", "127.0.0.87", proxy_access_log="/dev/full") as p:
        for _ in range(5):
            assert ask(p).status == 200
        wait_until(lambda: p.metric("cardea_dp_access_log_dropped") == 5, 5, "counted")
    upstream.take()


# --- section 6 ---


def test_connections_of_one_client(planes, upstream):
    with plane(planes, "few", "127.0.0.88", client_max_connections=5, trusted_ips="127.0.0.9") as p:
        held = []
        for _ in range(5):
            s = dial(p)
            s.sendall(REQUEST + b"\r\n")
            assert read_answer(s)[0].status == 200
            held.append(s)
        for _ in range(3):
            with dial(p) as s:
                assert read_all(s) == b""
        assert ask(p, source="127.0.0.2").status == 200
        for _ in range(8):  # a proxy is no client
            s = dial(p, "127.0.0.9")
            s.sendall(REQUEST + b"\r\n")
            assert read_answer(s)[0].status == 200
            held.append(s)
        assert rejected(p, "client_max_connections") == 3
        for s in held:
            s.close()
        wait_until(lambda: ask(p).status == 200, 5, "let in again")
    upstream.take()


def test_rate_of_one_client(planes, upstream):
    with plane(planes, "slow", "127.0.0.89", client_request_rate=5, client_connection_rate=50) as p:
        with dial(p) as s:
            answers = []
            for _ in range(20):
                s.sendall(REQUEST + b"\r\n")
                answers.append(read_answer(s)[0])
            assert [a.status for a in answers[:5]] == [200] * 5
            limited = [a for a in answers if a.status == 429]
            assert len(limited) >= 10 and all(1 <= int(a.fields["retry-after"]) <= 2 for a in limited)
        assert ask(p, source="127.0.0.2").status == 200
        assert rejected(p, "client_request_rate") == len(limited)
        dropped = 0
        for _ in range(80):
            with dial(p, "127.0.0.3") as s:
                with contextlib.suppress(OSError):
                    s.sendall(b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n")
                    dropped += read_all_or_answer(s) == b""
        assert dropped >= 10 and rejected(p, "client_connection_rate") == dropped
    upstream.take()


def read_all_or_answer(s):
    try:
        return s.recv(65536)
    except ConnectionError:
        return b""


def test_sl_08_spread(planes):
    """A burst of connections: no worker has more than twice the mean. max_connections is shared out evenly, so a worker refuses what is above."""
    with plane(planes, "spread", "127.0.0.90", workers=4, max_connections=800) as p:
        sockets = [dial(p) for _ in range(400)]
        wait_until(lambda: p.metric("cardea_dp_connections") == 400, 5, "all accepted")
        assert p.metric("cardea_dp_connections_refused_total") == 0
        for s in sockets:
            s.close()


def test_sl_07_handshakes_at_once(planes, upstream):
    """A crowd of full handshakes: each is served in its turn, and a connection that stands is answered meanwhile."""
    with plane(planes, "crowd", "127.0.0.91", workers=1, ssl_handshakes_at_once=1) as p:
        context = tls_context()
        stand = dial(p)
        done = []

        def handshake():
            with dial(p, tls=True) as raw, context.wrap_socket(raw, server_hostname=NAME):
                done.append(1)

        crowd = [threading.Thread(target=handshake) for _ in range(40)]
        for t in crowd:
            t.start()
        for _ in range(20):
            stand.sendall(REQUEST + b"\r\n")
            assert read_answer(stand)[0].status == 200
        for t in crowd:
            t.join()
        stand.close()
        assert len(done) == 40
    upstream.take()


def test_sl_09_memory(planes, upstream):
    """A limit below what the process has, set by a reload, and taken away again."""
    with plane(planes, "tight", "127.0.0.92", memory_limit="1g") as p:
        assert ask(p).status == 200
        wait_until(lambda: p.metric("cardea_dp_memory_bytes") > 1 << 20, 5, "measured")
        assert p.metric("cardea_dp_memory_tight") == 0
        with dial(p) as stand:
            stand.sendall(REQUEST + b"\r\n")
            assert read_answer(stand)[0].status == 200
            text = p.config.read_text().replace("memory_limit = 1g", "memory_limit = 1m")
            p.config.write_text(text)
            p.process.signal(signal.SIGHUP)
            wait_until(lambda: p.metric("cardea_dp_memory_tight") == 1, 10, "tight")

        def refused():
            with dial(p) as s:
                assert read_all(s) == b""
            return rejected(p, "memory_limit") >= 1

        wait_until(refused, 5, "new connections refused and counted")
        assert p.status("/status/ready").status_code == 200
        p.config.write_text(text.replace("memory_limit = 1m", "memory_limit = 1g"))
        p.process.signal(signal.SIGHUP)
        wait_until(lambda: p.metric("cardea_dp_memory_tight") == 0, 10, "normal again")
        assert ask(p).status == 200
    upstream.take()


# --- metrics ---


def test_metrics_of_a_route(trusting, upstream):
    labels = '{service="client",route="client",code="200",source="service",workspace="default",consumer=""}'
    before = trusting.metric("kong_http_requests_total", labels) or 0
    total = trusting.metric("cardea_dp_request_seconds_count", '{phase="total"}')
    out = trusting.metric("cardea_dp_bytes_total", '{direction="out"}')
    for _ in range(3):
        ask(trusting)
    upstream.take()
    wait_until(lambda: trusting.metric("kong_http_requests_total", labels) == before + 3, 5, "counted")
    assert trusting.metric("cardea_dp_request_seconds_count", '{phase="total"}') == total + 3
    assert trusting.metric("cardea_dp_request_seconds_count", '{phase="upstream_first_byte"}') >= 3
    assert trusting.metric("cardea_dp_bytes_total", '{direction="out"}') == out + 15
    assert trusting.metric("kong_bandwidth_bytes", '{service="client",route="client",direction="egress",workspace="default",consumer=""}') >= 15
    assert trusting.metric("kong_upstream_latency_ms_count", '{service="client",route="client",workspace="default"}') >= 3
    assert trusting.metric("cardea_dp_upstream_connections", '{state="idle"}') >= 1
    assert trusting.metric("kong_control_plane_connected") == 1
    assert trusting.metric("kong_data_plane_cluster_cert_expiry_timestamp") > time.time()


def test_metrics_of_many_routes_are_bounded(planes, upstream):
    for i in range(3):
        add_route(planes, f"many{i}", upstream)
    with plane(planes, "bounded", "127.0.0.93", workers=1, metrics_max_routes=1) as p:
        for i in range(3):
            assert p.http("/", f"many{i}.example.com").status_code == 200
        wait_until(lambda: p.metric("kong_http_requests_total", '{service="other",route="other",code="200",source="service",workspace="default",consumer=""}') == 2, 5, "other")
    upstream.take()


def test_certificates_that_end_soon(planes):
    p = planes.data_planes[0]
    wait_until(lambda: p.metric("cardea_dp_certificates_expiring", '{within_days="30"}') is not None, 5, "gauge")
    assert p.metric("cardea_dp_certificates_expiring", '{within_days="0"}') <= p.metric("cardea_dp_certificates_expiring", '{within_days="30"}')
