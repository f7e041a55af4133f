"""Section 4 of the reliability goals: what an upstream may send and what the client then gets, and the upstream's connections afterwards."""

import collections
import contextlib
import socket
import ssl
import threading

import pytest

from harness import free_port, wait_until
from pki import pair
from upstreams import Upstream, answer
from wire import connect, read_all, read_answer

HOST = b"Host: up.example.com\r\n"
OK = answer(b"fine")
HEAD_64K = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"".join(b"A%d: " % i + b"b" * 8000 + b"\r\n" for i in range(9)) + b"\r\n"


def head(*fields, status=b"200 OK", version=b"HTTP/1.1", body=b""):
    return version + b" " + status + b"\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


CL, TE = b"Content-Length: 3", b"Transfer-Encoding: chunked"

# UP-01: what is no answer; the client gets 502 and nothing of it.
BAD_HEADS = {
    "both framings": head(CL, TE, body=b"0\r\n\r\n"),
    "both framings, other order": head(TE, CL, body=b"0\r\n\r\n"),
    "two lengths": head(CL, b"Content-Length: 4", body=b"abcd"),
    "a list of lengths": head(b"Content-Length: 3, 4", body=b"abcd"),
    "a signed length": head(b"Content-Length: +3", body=b"abc"),
    "a negative length": head(b"Content-Length: -1"),
    "a length over the largest": head(b"Content-Length: 9223372036854775808"),
    "an empty length": head(b"Content-Length:"),
    "chunked twice": head(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "a coding twice": head(TE, TE, body=b"0\r\n\r\n"),
    "a coding in 1.0": head(TE, version=b"HTTP/1.0", body=b"0\r\n\r\n"),
    "another protocol": head(CL, version=b"HTP/1.1", body=b"abc"),
    "lower case": head(CL, version=b"http/1.1", body=b"abc"),
    "version 2": head(CL, version=b"HTTP/2.0", body=b"abc"),
    "two digits of status": head(CL, status=b"20 OK", body=b"abc"),
    "four digits of status": head(CL, status=b"2000 OK", body=b"abc"),
    "status of letters": head(CL, status=b"abc OK", body=b"abc"),
    "status below 100": head(CL, status=b"099 OK", body=b"abc"),
    "no status": b"HTTP/1.1\r\n\r\n",
    "no head at all": b"hello\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "a space before the colon": head(b"Content-Length : 3", body=b"abc"),
    "an empty name": head(b": b", CL, body=b"abc"),
    "no colon": head(b"abc", CL, body=b"abc"),
    "a high byte in a name": head(b"\xe4: b", CL, body=b"abc"),
    "a folded field": head(b"A: b", b" c", CL, body=b"abc"),
    "bare CR in a value": head(b"A: b\rc", CL, body=b"abc"),
    "bare LF in a value": head(b"A: b\nContent-Length: 0", CL, body=b"abc"),
    "NUL in a value": head(b"A: b\x00c", CL, body=b"abc"),
    "bare LF behind the status": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": head(CL, status=b"200 O\x00K", body=b"abc"),
    "a head over 64 KiB": HEAD_64K,
    "201 fields": head(*[b"A%d: b" % i for i in range(200)], b"Content-Length: 0"),
    "closed within the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "closed before the head": b"",
}  # fmt: skip

# UP-01, UP-02: a good head, and a body that is none; the client gets an answer that it can see is not whole.
BAD_BODIES = {
    "a signed chunk": head(TE, body=b"2\r\nab\r\n+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk of 0x": head(TE, body=b"2\r\nab\r\n0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk over the largest": head(TE, body=b"2\r\nab\r\n8000000000000000\r\nabc"),
    "more than the chunk says": head(TE, body=b"2\r\nab\r\n3\r\nabcd\r\n0\r\n\r\n"),
    "bare LF behind a chunk": head(TE, body=b"2\r\nab\r\n3\nabc\r\n0\r\n\r\n"),
    "no end of the chunks": head(TE, body=b"2\r\nab\r\n"),
    "ended within a chunk": head(TE, body=b"2\r\nab\r\n5\r\nabc"),
    "a folded trailer": head(TE, body=b"2\r\nab\r\n0\r\nA: b\r\n c\r\n\r\n"),
    "shorter than it says": head(b"Content-Length: 10", body=b"abc"),
}  # fmt: skip


class Scripted(Upstream):
    """Each path has its bytes; those in `closing` end the connection behind them."""

    def __init__(self):
        super().__init__(handler=self.serve)
        self.script, self.closing = {}, set()

    def serve(self, c):
        while True:
            r = self.note(c.read_request())
            name = r.target.removeprefix("/")
            what = self.script.get(name, OK)
            if callable(what):
                what(c)
                return
            c.send(what)
            if name in self.closing:
                c.sock.shutdown(socket.SHUT_WR)
                while c.sock.recv(65536):
                    pass
                return

    def live(self):
        """Connections that the proxy has not ended."""
        with self.lock:
            return [c for c in self.connections if c.sock.fileno() >= 0]


@pytest.fixture(scope="module")
def upstream():
    u = Scripted()
    yield u
    u.close()


@pytest.fixture(scope="module")
def plane(bare_cluster, upstream):
    cp = bare_cluster.add_control_plane().start()
    _, cert, key = pair("up.example.com")
    assert cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["up.example.com", "*.up.example.com"]}).status_code == 201
    dead = free_port()
    services = {
        "up": {"port": upstream.port, "retries": 0, "read_timeout": 700},
        "retried.up": {"port": upstream.port, "retries": 3, "read_timeout": 700},
        "dead.up": {"port": dead, "retries": 2},
    }
    for name, fields in services.items():
        for path, body in (
            ("/services", {"name": name, "host": upstream.ip, **fields}),
            (f"/services/{name}/routes", {"hosts": [f"{name}.example.com"]}),
        ):
            r = cp.post(path, json=body)
            assert r.status_code == 201, r.text
    d = bare_cluster.add_data_plane(workers=1).start()
    wait_until(lambda: all(d.http("/", f"{n}.example.com").status_code != 404 for n in services), 20, "routes")
    return d


def add(cluster, name, u, **fields):
    """A service and a route of this name to u."""
    for path, body in (
        ("/services", {"name": name, "host": "127.0.0.1", "port": u.port, "retries": 0, **fields}),
        (f"/services/{name}/routes", {"hosts": [f"{name}.up.example.com"]}),
    ):
        r = cluster.cp.post(path, json=body, headers={"Prefer": "wait=10"})
        assert r.status_code == 201, r.text


@pytest.fixture(autouse=True)
def clean(upstream):
    upstream.take()
    upstream.script, upstream.closing = {}, set()


def ask(plane, name, method=b"GET", host=b"up.example.com", fields=b"", version=b"HTTP/1.1", body=b""):
    with connect(plane) as s:
        s.sendall(method + b" /" + name.encode() + b" " + version + b"\r\nHost: " + host + b"\r\n" + fields + b"\r\n" + body)
        return read_answer(s, method=method.decode(), seconds=10)


def everything(plane, name, host=b"up.example.com"):
    """All bytes until the proxy ends the connection."""
    with connect(plane) as s:
        s.sendall(b"GET /" + name.encode() + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        return read_all(s, 10)


def keys(rows):
    return {name.replace(" ", "-"): what for name, what in rows.items()}


def ended(upstream, before):
    wait_until(lambda: len(upstream.live()) <= before, 10, "the upstream's connection to end")


def test_up_01_bad_heads(plane, upstream):
    upstream.script = keys(BAD_HEADS)
    upstream.closing = {n for n in upstream.script if n.startswith("closed")}
    wrong = []
    for name in upstream.script:
        try:
            a, rest = ask(plane, name)
        except (OSError, EOFError, AssertionError) as e:
            wrong.append((name, e))
            continue
        if a.status != 502 or rest or b'"message"' not in a.body:
            wrong.append((name, a, rest))
        (c,) = {r.connection for r in upstream.take()}
        with contextlib.suppress(AssertionError):
            wait_until(lambda c=c: c.sock.fileno() < 0, 5, "its end")
        if c.sock.fileno() >= 0:
            wrong.append((name, "the upstream's connection lives"))
    assert not wrong
    assert ask(plane, "good")[0].body == b"fine"


def cut_off(got):
    """One answer of which a client can see that it is not whole."""
    first, body = got.split(b"\r\n\r\n", 1)
    if b"HTTP/1.1" in body or not first.startswith(b"HTTP/1.1 200 "):
        return False
    if b"transfer-encoding: chunked" in first.lower():
        return not body.endswith(b"0\r\n\r\n")
    return b"content-length: 10" in first.lower() and len(body) < 10


def test_up_01_up_02_bad_bodies(plane, upstream):
    upstream.script = keys(BAD_BODIES)
    upstream.closing = {"no-end-of-the-chunks", "ended-within-a-chunk", "shorter-than-it-says"}
    wrong = []
    for name in upstream.script:
        try:
            got = everything(plane, name)
        except OSError as e:
            wrong.append((name, e))
            continue
        if not (got == b"" or got.startswith(b"HTTP/1.1 502 ") or cut_off(got)):
            wrong.append((name, got))
        (c,) = {r.connection for r in upstream.take()}
        wait_until(lambda c=c: c.sock.fileno() < 0, 5, "its end")
    assert not wrong


def test_up_03_bytes_behind_an_answer(plane, upstream):
    """They are never the answer to another request."""
    upstream.script = {"more": OK + answer(b"evil")}
    for _ in range(5):
        assert ask(plane, "more")[0].body == b"fine"
        assert ask(plane, "next")[0].body == b"fine"
    more = [r for r in upstream.take() if r.target == "/more"]
    assert len(more) == 5
    for r in more:
        wait_until(lambda c=r.connection: c.sock.fileno() < 0, 5, "its end")
        assert r.connection.raw.endswith(r.head + b"\r\n\r\n")  # it was the last one there


def test_up_03_bytes_on_an_idle_connection(plane, upstream):
    for _ in range(5):
        assert ask(plane, "one")[0].body == b"fine"
        (r,) = upstream.take()
        r.connection.send(answer(b"evil"))
        wait_until(lambda c=r.connection: c.sock.fileno() < 0, 5, "its end")
        assert ask(plane, "two")[0].body == b"fine"
        upstream.take()


def test_up_04_switch_that_nobody_asked_for(plane, upstream):
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
    upstream.script = {"101": switch % b"websocket", "h2c": switch % b"h2c", "none": b"HTTP/1.1 101 Switching Protocols\r\n\r\n"}
    assert ask(plane, "101")[0].status == 502
    assert ask(plane, "none")[0].status == 502
    ws = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    assert ask(plane, "h2c", fields=ws)[0].status == 502
    assert ask(plane, "none", fields=ws)[0].status == 502


def interim(plane, name, version=b"HTTP/1.1"):
    """Statuses of one answer, interim ones first."""
    out, rest = [], b""
    with connect(plane) as s:
        s.sendall(b"GET /" + name.encode() + b" " + version + b"\r\n" + HOST + b"\r\n")
        while not out or out[-1] < 200:
            a, rest = read_answer(s, rest)
            out.append(a.status)
    return out


def test_up_05_interim_answers(plane, upstream):
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    upstream.script = {"one": hint + OK, "sixteen": hint * 16 + OK, "seventeen": hint * 17 + OK, "100": go_on + hint + OK}
    assert interim(plane, "one") == [103, 200]
    assert interim(plane, "sixteen") == [103] * 16 + [200]
    assert interim(plane, "seventeen")[-1] == 502
    assert interim(plane, "100") in ([100, 103, 200], [103, 200])
    assert interim(plane, "sixteen", b"HTTP/1.0") == [200]


def test_up_06_body_where_none_is(plane, upstream):
    upstream.script = {
        "204": head(CL, status=b"204 No Content", body=b"abc"),
        "304": head(b'ETag: "x"', status=b"304 Not Modified", body=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        "head": head(CL, body=b"abc"),
    }
    for name, method, status in (("204", b"GET", 204), ("304", b"GET", 304), ("head", b"HEAD", 200)):
        a, rest = ask_no_body(plane, name, method)
        assert (a, rest) == (status, b""), name
        (r,) = upstream.take()
        wait_until(lambda c=r.connection: c.sock.fileno() < 0, 5, f"its end after {name}")
        assert ask(plane, "next")[0].body == b"fine"
        upstream.take()


def ask_no_body(plane, name, method):
    """The status of an answer that ends with its head, and what came behind it before the proxy's next answer."""
    with connect(plane) as s:
        s.sendall(method + b" /" + name.encode() + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        got = read_all(s, 10)
    first, rest = got.split(b"\r\n\r\n", 1)
    return int(first[9:12]), rest


def test_up_07_hop_by_hop_fields(plane, upstream):
    upstream.script = {
        "hop": head(
            CL, b"Connection: keep-alive, X-Own", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"X-Own: 1", b"Upgrade: h2c",
            b"TE: x", b"X-Kept: 1", body=b"abc",
        )
    }  # fmt: skip
    a, _ = ask(plane, "hop")
    assert a.body == b"abc" and a.fields["x-kept"] == "1"
    assert not {"keep-alive", "proxy-connection", "x-own", "upgrade", "te"} & set(a.fields)
    assert "x-own" not in a.fields.get("connection", "").lower()


def test_up_08_refused_and_silent(plane, upstream):
    assert ask(plane, "a", host=b"dead.up.example.com")[0].status == 502
    upstream.script = {"silent": b"", "half": b"HTTP/1.1 200 OK\r\n"}
    assert ask(plane, "silent")[0].status == 504
    assert ask(plane, "half")[0].status == 504
    for r in upstream.take():
        wait_until(lambda c=r.connection: c.sock.fileno() < 0, 5, "its end")


Full = collections.namedtuple("Full", "port")


def test_up_08_connect_timeout(plane, bare_cluster):
    """A listener that takes no more connections."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fill = []
        try:
            for _ in range(4):  # as many as the kernel queues
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(full.getsockname())
                fill.append(s)
            add(bare_cluster, "full", Full(full.getsockname()[1]), connect_timeout=300)
            assert ask(plane, "a", host=b"full.up.example.com")[0].status == 504
        finally:
            for s in fill:
                s.close()


def once_then_close(first):
    """A handler that serves one request on a connection, and ends it without an answer on the next one."""

    def serve(c):
        c.send(first)
        c.read_head()

    return serve


def test_up_09_failure_on_a_used_connection(plane, upstream):
    """A GET goes again on another connection; a POST of which bytes were sent does not."""
    upstream.script = {"first": once_then_close(OK)}
    host = b"retried.up.example.com"
    for method, body, status in ((b"GET", b"", 200), (b"POST", b"abc", 502)):
        wait_until(lambda: not upstream.live() or drain_pool(plane, upstream), 10, "an empty pool")
        upstream.take()
        assert ask(plane, "first", host=host)[0].status == 200
        fields = b"Content-Length: 3\r\n" if body else b""
        a, _ = ask(plane, "second", method=method, host=host, fields=fields, body=body)
        assert a.status == status, method
        first, *others = upstream.take()
        assert first.target == "/first"
        assert [r.target for r in others] == (["/second"] if status == 200 else []), method


def drain_pool(plane, upstream):
    """Ends the connections that wait for a request."""
    for c in upstream.live():
        with contextlib.suppress(OSError):
            c.sock.shutdown(socket.SHUT_RDWR)
    return not upstream.live()


def test_up_10_tries_are_counted(plane, upstream):
    upstream.script = {"gone": lambda c: c.reset()}
    a, _ = ask(plane, "gone", host=b"retried.up.example.com")
    assert a.status == 502
    assert 1 <= len(upstream.take()) <= 4  # retries: 3
    ask(plane, "gone", method=b"POST", host=b"retried.up.example.com", fields=b"Content-Length: 3\r\n", body=b"abc")
    assert len(upstream.take()) == 1


def test_up_10_never_behind_a_byte_of_an_answer(plane, upstream):
    seen = threading.Event()

    def part(c):
        c.send(head(b"Content-Length: 10", body=b"abc"))
        assert seen.wait(10)
        c.reset()

    upstream.script = {"part": part}
    with connect(plane) as s:
        s.sendall(b"GET /part HTTP/1.1\r\nHost: retried.up.example.com\r\n\r\n")
        got = b""
        while not got.endswith(b"abc"):
            piece = s.recv(65536)
            assert piece, got
            got += piece
        seen.set()
        got += read_all(s)
    assert cut_off(got)
    assert len(upstream.take()) == 1


def test_up_11_plain_bytes_before_tls(plane, bare_cluster):
    """An upstream that speaks before TLS does, or in its stead: what it says is no answer."""

    def at_once(c):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        c.read_head()

    def instead(c):
        c._more()  # the ClientHello
        at_once(c)

    for name, handler in (("at-once", at_once), ("instead", instead)):
        u = Upstream(handler=handler)
        try:
            add(bare_cluster, name, u, protocol="https", tls_verify=False)
            a, rest = ask(plane, "a", host=b"%s.up.example.com" % name.encode())
            assert (a.status, rest) == (502, b""), name
            wait_until(lambda u=u: all(c.sock.fileno() < 0 for c in u.connections), 5, "its end")
            assert not any(b"HTTP" in c.raw for c in u.connections), name
        finally:
            u.close()


class Tls(Upstream):
    """Answers over TLS without a length, and ends the connection with or without close_notify."""

    def __init__(self, folder, clean):
        _, cert, key = pair("origin.example.com")
        (folder / "c.pem").write_text(cert)
        (folder / "k.pem").write_text(key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "c.pem", folder / "k.pem")
        self.clean = clean
        self.resumed = []
        super().__init__(handler=self.serve)

    def serve(self, c):
        c.sock = self.context.wrap_socket(c.sock, server_side=True)
        self.resumed.append(c.sock.session_reused)
        c.read_request()
        c.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        if self.clean:
            c.sock.unwrap()
        c.sock.close()


@pytest.mark.parametrize("clean_end", [True, False], ids=["close_notify", "cut off"])
def test_up_02_end_over_tls(plane, bare_cluster, tmp_path, clean_end):
    """An answer without a length ends with close_notify; without it, it may have been cut off."""
    u = Tls(tmp_path, clean_end)
    try:
        name = "clean" if clean_end else "cut"
        add(bare_cluster, name, u, protocol="https", tls_verify=False)
        with connect(plane) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: %s.up.example.com\r\nConnection: close\r\n\r\n" % name.encode())
            got = read_all(s, 10)
        assert got.startswith(b"HTTP/1.1 200 ") and b"until the end" in got
        assert got.endswith(b"0\r\n\r\n") == clean_end
    finally:
        u.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_sessions_with_upstreams(plane, bare_cluster, tmp_path, version):
    """Each connection after the first resumes a session, until the service wants something else of the upstream."""
    u = Tls(tmp_path, True)
    u.context.maximum_version = version
    name = f"resumed-{version.name.lower().replace('_', '-')}"
    counted = "cardea_dp_upstream_handshakes_total", '{result="resumed"}'
    before = plane.metric(*counted)

    def fetch():
        with connect(plane) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: %s.up.example.com\r\nConnection: close\r\n\r\n" % name.encode())
            assert read_all(s, 10).startswith(b"HTTP/1.1 200 ")

    try:
        add(bare_cluster, name, u, protocol="https", tls_verify=False)
        for _ in range(4):
            fetch()
        assert u.resumed == [False, True, True, True]
        r = bare_cluster.cp.patch(f"/services/{name}", json={"tls_verify_depth": 2}, headers={"Prefer": "wait=10"})
        assert r.status_code == 200, r.text
        for _ in range(2):
            fetch()
        assert u.resumed == [False, True, True, True, False, True]
        assert plane.metric(*counted) == before + 4
    finally:
        u.close()
