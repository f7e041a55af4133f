"""Requests through a data plane to an upstream: heads, bodies, trailers, interim answers, keep-alive, retries, timeouts, aborts."""

import hashlib
import itertools
import os
import socket
import subprocess
import threading
import time

import h2.connection
import pytest

from harness import wait_until
from pki import pair
from upstreams import Upstream, answer
from wire import connect, read_all, read_answer, reset, stopped, waiting_bytes

_names = itertools.count(1)
BODY = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
def plane(bare_cluster):
    bare_cluster.add_control_plane().start()
    d = bare_cluster.add_data_plane(workers=1, proxy_access_log=bare_cluster.folder / "access.log", client_body_buffer_size="16k", upstream_keepalive_max_requests=1000).start()
    _, cert, key = pair("*.tls.example.com")
    r = bare_cluster.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["*.tls.example.com"]}, headers={"Prefer": "wait=10"})
    assert r.status_code == 201, r.text
    return d


class Proxied:
    """One service with one route, and clients of it."""

    def __init__(self, plane, upstream, host=None, service=None, **route):
        self.plane, self.upstream = plane, upstream
        self.name = f"p{next(_names)}"
        self.host = host or f"{self.name}.tls.example.com"
        cp = plane.cluster.cp
        r = cp.post("/services", json={"name": self.name, "host": upstream.ip, "port": upstream.port, **(service or {})})
        assert r.status_code == 201, r.text
        self.change(hosts=[self.host], **route)

    def change(self, **route):
        body = {"service": {"name": self.name}, **route}
        r = self.plane.cluster.cp.put(f"/routes/{self.name}", json=body, headers={"Prefer": "wait=10"})
        assert r.status_code == 200, r.text

    def request(self, *lines, method="GET", path="/", body=b"", version="1.1"):
        head = [f"{method} {path} HTTP/{version}", f"Host: {self.host}", *lines]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    def connect(self, tls=False):
        return connect(self.plane, tls=self.host if tls else None)

    def ask(self, *lines, tls=False, seconds=5, **kw):
        with self.connect(tls) as s:
            s.sendall(self.request(*lines, **kw))
            return read_answer(s, method=kw.get("method", "GET"), seconds=seconds)[0]

    def curl(self, *args, tls=True, path="/"):
        port = self.plane.tls_port if tls else self.plane.http_port
        url = f"http{'s' if tls else ''}://{self.host}:{port}{path}"
        argv = ["curl", "-sk", "-m", "20", "--resolve", f"{self.host}:{port}:{self.plane.ip}", *args, url]
        return subprocess.run(argv, capture_output=True, timeout=30)


@pytest.fixture
def make(plane):
    """make(handler, ...) gives a Proxied with an upstream of its own."""
    made = []

    def factory(handler=None, **kw):
        p = Proxied(plane, Upstream(handler=handler), **kw)
        made.append(p)
        return p

    yield factory
    for p in made:
        p.upstream.close()


def scripted(*steps):
    """A handler that answers the n-th request of the whole upstream by the n-th step (bytes, or a function of connection and request)."""
    todo = list(steps)
    lock = threading.Lock()

    def handler(c):
        while True:
            q = c.read_request()
            c.upstream.note(q)
            with lock:
                step = todo.pop(0) if len(todo) > 1 else todo[0]
            if callable(step):
                if step(c, q) == "close":
                    return
            else:
                c.send(step)

    return handler


def echo(c, q):
    c.send(answer(q.body))


# --- heads ---


def test_what_the_upstream_gets(make):
    p = make()
    a = p.ask("X-One: 1", "Connection: x-hop", "X-Hop: 2", "Keep-Alive: 5", "X-Real-IP: 6.6.6.6", "X-Forwarded-For: 7.7.7.7", path="/a/b?c=d")
    assert (a.status, a.body) == (200, b"hello")
    (q,) = p.upstream.take()
    assert q.line == "GET /a/b?c=d HTTP/1.1"
    assert q.get("host") == f"127.0.0.1:{p.upstream.port}"
    assert q.get("x-one") == "1"
    assert [q.get(n) for n in ("x-hop", "keep-alive", "connection", "te")] == [None] * 4
    assert q.get("x-real-ip") == "127.0.0.1"
    assert q.get("x-forwarded-host") == p.host
    assert "cardea" in q.get("via")
    assert len(a.fields["x-kong-request-id"]) == 32
    assert a.fields["x-kong-request-id"] == q.get("x-kong-request-id")
    assert a.fields["via"].startswith("1.1 cardea")


def test_route_shapes_the_request(make):
    p = make(service={"path": "/base"}, paths=["/api"], strip_path=True, preserve_host=True)
    assert p.ask(path="/api/x?y").status == 200
    (q,) = p.upstream.take()
    assert q.line == "GET /base/x?y HTTP/1.1"
    assert q.get("host") == p.host
    assert q.get("x-forwarded-prefix") == "/api"
    p.change(hosts=[p.host], paths=["/api"], strip_path=False)
    assert p.ask(path="/api/x").status == 200
    assert p.upstream.take()[0].target == "/base/api/x"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_methods(make, method):
    p = make()
    with p.connect() as s:
        for _ in range(2):  # the second shows that the first left nothing behind
            s.sendall(p.request(method=method))
            a, rest = read_answer(s, method=method)
            assert (a.status, rest) == (200, b"")
            assert a.body == (b"" if method == "HEAD" else b"hello")
            assert a.fields["content-length"] == "5"
    assert [q.method for q in p.upstream.take()] == [method] * 2


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_content(make, status):
    p = make(scripted(f"HTTP/1.1 {status}\r\nX-A: b\r\n\r\n".encode()))
    with p.connect() as s:
        for _ in range(2):
            s.sendall(p.request())
            a, rest = read_answer(s)
            assert (a.status, a.body, rest, a.fields["x-a"]) == (int(status[:3]), b"", b"", "b")
            assert "transfer-encoding" not in a.fields
    assert len(p.upstream.connections) == 1


def test_up_07_hop_by_hop_fields_of_the_answer(make):
    fields = [("Connection", "x-private, keep-alive"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "close"), ("X-Kept", "2")]
    p = make(scripted(answer(b"hello", fields=fields)))
    a = p.ask()
    assert a.status == 200 and a.fields["x-kept"] == "2"
    assert not {"x-private", "keep-alive", "proxy-connection"} & set(a.fields)
    out = p.curl("--http2", "-i").stdout.decode().lower()
    assert out.startswith("http/2 200") and "x-kept: 2" in out
    assert "x-private" not in out and "keep-alive" not in out and "connection" not in out


# --- bodies ---


@pytest.mark.parametrize("buffering", [True, False])
@pytest.mark.parametrize("size", [1, 5000, 16384, 16385, 200_000, 1 << 20])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_up_and_down(make, framing, size, buffering):
    p = make(scripted(echo), request_buffering=buffering)
    body = BODY[:size]
    with p.connect() as s:
        for _ in range(2):
            if framing == "length":
                s.sendall(p.request(f"Content-Length: {size}", method="POST", body=body))
            else:
                s.sendall(p.request("Transfer-Encoding: chunked", method="POST"))
                for at in range(0, size, 10_000):
                    piece = body[at : at + 10_000]
                    s.sendall(f"{len(piece):x};ext=1\r\n".encode() + piece + b"\r\n")
                s.sendall(b"0\r\n\r\n")
            a, rest = read_answer(s, method="POST", seconds=10)
            assert (a.status, rest) == (200, b"")
            assert a.body == body
    for q in p.upstream.take():
        assert q.body == body
        assert q.get("content-length") == (str(size) if framing == "length" else None)
        assert q.get("transfer-encoding") == (None if framing == "length" else "chunked")


def chunks(body, trailers=b""):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n" + trailers + b"\r\n"


def test_chunked_answers(make):
    p = make(scripted(chunks(b"x" * 70_000)))
    for how in ("--http1.1", "--http2"):
        assert p.curl(how).stdout == b"x" * 70_000, how
    # To HTTP/1.0 the end of the connection ends the body.
    with p.connect() as s:
        s.sendall(p.request(version="1.0"))
        head, body = read_all(s).split(b"\r\n\r\n", 1)
        assert b"transfer-encoding" not in head.lower() and b"connection: close" in head.lower()
        assert body == b"x" * 70_000
    assert all(q.version == "HTTP/1.1" for q in p.upstream.take())


def test_answer_until_the_connection_ends(make):
    def step(c, q):
        c.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 100_000)
        return "close"

    p = make(scripted(step))
    assert p.curl("--http1.1").stdout == b"y" * 100_000
    assert p.curl("--http2").stdout == b"y" * 100_000
    assert len(p.upstream.connections) == 2


def test_h1_29_trailers(make):
    p = make(scripted(chunks(b"abc", b"X-Sum: 1\r\nContent-Length: 7\r\n")))
    with p.connect() as s:
        s.sendall(p.request("Transfer-Encoding: chunked", "TE: trailers", "Connection: TE", method="POST"))
        s.sendall(b"3\r\nabc\r\n0\r\nX-Check: 2\r\nX-Forwarded-For: 6.6.6.6\r\nAuthorization: x\r\n\r\n")
        data = b""
        while not data.endswith(b"\r\n\r\n") or b"0\r\n" not in data:
            data += s.recv(65536)
        assert data.lower().endswith(b"\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"), data
    (q,) = p.upstream.take()
    assert q.body == b"abc" and [(n.lower(), v) for n, v in q.trailers] == [("x-check", "2")]
    assert q.get("te") == "trailers" and q.get("x-check") is None


def test_large_answer_to_a_slow_reader_is_bounded(make, plane):
    """Back-pressure: 64 MiB wait in the upstream, not here."""
    sent = []

    def step(c, q):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(64):
            c.send(BODY)
            sent.append(1)

    p = make(scripted(step))
    before = rss(plane)
    with p.connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(p.request())
        wait_until(lambda: sent, 5, "the first MiB")
        last = -1
        while last != len(sent):  # until the upstream is stopped
            last = len(sent)
            time.sleep(0.3)
        assert len(sent) < 32
        assert rss(plane) - before < 16 << 20
        s.settimeout(10)
        got = hashlib.sha256()
        data = b""
        while b"\r\n\r\n" not in data:
            data += s.recv(65536)
        data = data.split(b"\r\n\r\n", 1)[1]
        count = 0
        while True:
            got.update(data)
            count += len(data)
            if count == 64 << 20:
                break
            data = s.recv(1 << 20)
            assert data
    assert got.digest() == hashlib.sha256(BODY * 64).digest()


def test_large_upload_to_a_slow_upstream_is_bounded(make, plane):
    go = threading.Event()

    def handler(c):
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.read_head()
        go.wait(20)
        got, left = hashlib.sha256(c.buffer), (64 << 20) - len(c.buffer)
        while left:
            data = c.sock.recv(1 << 20)
            got.update(data)
            left -= len(data)
        c.send(answer(got.hexdigest().encode()))

    p = make(handler)
    before = rss(plane)
    with p.connect() as s:
        s.sendall(p.request(f"Content-Length: {64 << 20}", method="POST"))
        s.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += s.send(BODY[sent % len(BODY) :])
        assert sent < 32 << 20
        assert rss(plane) - before < 16 << 20
        go.set()
        s.settimeout(20)
        while sent < 64 << 20:
            sent += s.send(BODY[sent % len(BODY) :])
        assert read_answer(s, method="POST")[0].body.decode() == hashlib.sha256(BODY * 64).hexdigest()


def rss(plane):
    with open(f"/proc/{plane.process.popen.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_both_ways_at_once(make):
    """An upstream that answers while it reads, and a client that reads while it sends."""

    def handler(c):
        c.read_head()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 << 20))
        left = 8 << 20
        while left:
            if not c.buffer:
                c._more()
            c.send(c.buffer)
            left -= len(c.buffer)
            c.buffer = b""

    p = make(handler, request_buffering=False)
    with p.connect() as s:
        s.settimeout(20)
        s.sendall(p.request(f"Content-Length: {8 << 20}", method="POST"))
        t = threading.Thread(target=lambda: [s.sendall(BODY) for _ in range(8)])
        t.start()
        a, _ = read_answer(s, method="POST", seconds=20)
        t.join()
    assert hashlib.sha256(a.body).digest() == hashlib.sha256(BODY * 8).digest()


# --- interim answers ---


def test_h1_24_continue_comes_from_the_upstream(make):
    order = []

    def handler(c):
        head = c.read_head()
        order.append(("head", c.buffer))
        order.append(("fields", head.lower().count(b"expect: 100-continue")))
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, _ = c.read_body(head)
        c.send(answer(body))

    p = make(handler, request_buffering=False)
    with p.connect() as s:
        s.sendall(p.request("Expect: 100-continue", "Content-Length: 4", method="PUT"))
        a, rest = read_answer(s, method="PUT")
        assert (a.status, rest) == (100, b"")
        s.sendall(b"body")
        assert read_answer(s, method="PUT")[0].body == b"body"
    assert order == [("head", b""), ("fields", 1)]


def test_h1_24_continue_is_answered_here_when_the_body_is_buffered(make):
    p = make(scripted(echo))
    with p.connect() as s:
        s.sendall(p.request("Expect: 100-continue", "Content-Length: 4", method="PUT"))
        assert read_answer(s, method="PUT")[0].status == 100
        assert p.upstream.connections == []
        s.sendall(b"body")
        assert read_answer(s, method="PUT")[0].body == b"body"
    assert p.upstream.take()[0].get("expect") is None


def test_h1_25_final_answer_before_the_body(make):
    def handler(c):
        c.read_head()
        c.send(answer(b"no", "413 Content Too Large"))
        assert c.sock.recv(1) == b"", "the upstream's connection must be closed"
        closed.set()

    closed = threading.Event()
    p = make(handler, request_buffering=False)
    with p.connect() as s:
        s.sendall(p.request("Expect: 100-continue", "Content-Length: 4", method="PUT"))
        a, _ = read_answer(s, method="PUT")
        assert (a.status, a.body, a.closes) == (413, b"no", True)
    assert closed.wait(5)


def test_interim_answers(make):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    p = make(scripted(early + b"HTTP/1.1 102 Processing\r\n\r\n" + early + answer()))
    with p.connect() as s:
        s.sendall(p.request())
        first, rest = read_answer(s)
        second, rest = read_answer(s, rest)
        final, rest = read_answer(s, rest)
        assert [first.status, second.status, final.status] == [103, 103, 200]
        assert first.fields["link"] == "</a>"
    out = p.curl("--http2", "-i").stdout.decode().lower()
    assert out.count("http/2 103") == 2 and out.endswith("hello")
    with p.connect() as s:
        s.sendall(p.request(version="1.0"))
        assert read_answer(s)[0].status == 200
    assert len(p.upstream.connections) == 1


@pytest.mark.parametrize("count, status", [(16, 200), (17, 502)])
def test_up_05_many_interim_answers(make, count, status):
    p = make(scripted(b"HTTP/1.1 102 Processing\r\n\r\n" * count + answer()))
    assert p.ask().status == status


# --- connections ---


def test_keep_alive_and_pipelining(make):
    p = make(scripted(lambda c, q: c.send(answer(q.target.encode()))))
    with p.connect() as s:
        s.sendall(b"".join(p.request(path=f"/{n}") for n in range(20)))
        rest = b""
        for n in range(20):
            a, rest = read_answer(s, rest)
            assert a.body == f"/{n}".encode()
    assert len(p.upstream.connections) == 1
    assert p.ask(path="/again").body == b"/again"
    assert len(p.upstream.connections) == 1


def test_up_03_stray_bytes_and_ends_on_idle_connections(make):
    p = make()
    assert p.ask().status == 200
    p.upstream.connections[0].send(answer(b"stray"))
    wait_until(lambda: is_ended(p.upstream.connections[0]), 5, "the connection to be closed")
    assert p.ask().body == b"hello"
    p.upstream.connections[1].sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: is_ended(p.upstream.connections[1]), 5, "the connection to be closed")
    assert p.ask().body == b"hello"
    assert len(p.upstream.connections) == 3


def is_ended(c):
    """Whether the handler saw the end and closed."""
    return c.sock.fileno() < 0


def test_up_03_bytes_behind_an_answer(make):
    p = make(scripted(answer() + b"x", answer()))
    assert [p.ask().body for _ in range(2)] == [b"hello"] * 2
    assert len(p.upstream.connections) == 2


@pytest.mark.parametrize("first", [b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 304 Not Modified\r\n\r\nabc"])
def test_up_06_content_where_none_may_be(make, first):
    p = make(scripted(first, answer()))
    assert p.ask().status in (204, 304)
    assert p.ask().body == b"hello"
    assert len(p.upstream.connections) == 2


@pytest.mark.parametrize("fields, version", [([("Connection", "close")], "1.1"), ([], "1.0")])
def test_upstream_that_wants_to_close(make, fields, version):
    p = make(scripted(answer(fields=fields).replace(b"HTTP/1.1", f"HTTP/{version}".encode())))
    assert [p.ask().status for _ in range(2)] == [200, 200]
    assert len(p.upstream.connections) == 2


# --- upstreams that break rules ---

BAD = {
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "bad status line": b"HTTP/1.1 2000 OK\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "bad field": b"HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "large head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 201 + b"\r\n",
    "101 unasked (UP-04)": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_up_01_up_04_bad_heads(make, name):
    p = make(scripted(BAD[name], answer()))
    a = p.ask()
    assert a.status == 502
    assert b'"message":"An invalid response was received from the upstream server"' in a.body and b'"request_id":"' in a.body
    assert p.ask().body == b"hello"
    assert len(p.upstream.connections) == 2


@pytest.mark.parametrize(
    "bytes_",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ],
)
def test_up_01_up_02_cut_bodies_are_visible(make, bytes_):
    def step(c, q):
        c.send(bytes_)
        return "close"

    p = make(scripted(step))
    with p.connect() as s:
        s.sendall(p.request())
        data = read_all(s)
        assert data.startswith(b"HTTP/1.1 200") and not data.endswith(b"0\r\n\r\n")
    assert p.curl("--http1.1").returncode in (18, 56)
    assert p.curl("--http2").returncode == 92  # RST_STREAM


def test_service_that_changes_while_a_body_is_read(make, plane):
    """What the request is sent to is looked up when its body is there, not when its head came."""
    p, other = make(scripted(echo)), make(scripted(echo))
    with p.connect() as s:
        s.sendall(p.request("Content-Length: 4", method="POST", body=b"ab"))
        for port in [other.upstream.port] * 3:
            r = plane.cluster.cp.patch(f"/services/{p.name}", json={"port": port, "host": other.upstream.ip}, headers={"Prefer": "wait=10"})
            assert r.status_code == 200, r.text
        s.sendall(b"cd")
        assert read_answer(s, method="POST", seconds=5)[0].body == b"abcd"
    assert not p.upstream.requests
    other.upstream.take()
    with p.connect() as s:
        s.sendall(p.request("Content-Length: 4", method="POST", body=b"ab"))
        for enabled in (False, True):
            r = plane.cluster.cp.patch(f"/services/{p.name}", json={"enabled": enabled}, headers={"Prefer": "wait=10"})
            assert r.status_code == 200, r.text
            if not enabled:
                s.sendall(b"cd")
                assert read_answer(s, method="POST", seconds=5)[0].status == 503
    assert not other.upstream.requests
    with p.connect() as s:
        s.sendall(p.request("Content-Length: 4", method="POST", body=b"ab"))
        for path in (f"/routes/{p.name}", f"/services/{p.name}"):
            assert plane.cluster.cp.delete(path, headers={"Prefer": "wait=10"}).status_code == 204
        s.sendall(b"cd")
        assert read_answer(s, method="POST", seconds=5)[0].status == 503
    assert plane.process.alive()


# --- failures, retries ---


def test_up_08_refused(make):
    p = make()
    p.upstream.close()
    a = p.ask()
    assert a.status == 502 and b"An invalid response was received from the upstream server" in a.body


def test_up_08_connect_timeout(make):
    """A listener whose queue is full answers no SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        p = make(service={"connect_timeout": 300, "retries": 0})
        p.plane.cluster.cp.patch(f"/services/{p.name}", json={"port": full.getsockname()[1]}, headers={"Prefer": "wait=10"})
        begin = time.monotonic()
        a = p.ask()
        assert a.status == 504 and b"The upstream server is timing out" in a.body
        assert 0.25 < time.monotonic() - begin < 3


def test_up_08_read_timeout(make):
    p = make(scripted(lambda c, q: time.sleep(2)), service={"read_timeout": 300, "retries": 0})
    begin = time.monotonic()
    assert p.ask().status == 504
    assert 0.25 < time.monotonic() - begin < 1.8


def test_read_timeout_is_the_longest_pause(make):
    def step(c, q):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for n in range(10):
            time.sleep(0.1)
            c.send(b"%d" % n)

    p = make(scripted(step), service={"read_timeout": 400, "retries": 0})
    assert p.ask().body == b"0123456789"


def test_write_timeout(make):
    def handler(c):
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.read_head()
        done.wait(10)

    done = threading.Event()
    p = make(handler, service={"write_timeout": 400, "retries": 0}, request_buffering=False)
    with p.connect() as s:
        s.sendall(p.request(f"Content-Length: {64 << 20}", method="POST"))
        s.settimeout(0.2)
        with pytest.raises((TimeoutError, ConnectionError)):
            while True:
                s.send(BODY)
        assert read_answer(s, method="POST")[0].status == 504
    done.set()


def drop(c, q):
    return "close"


def drop_unless_first(count):
    """Answers the first request of the first connection, then drops `count` requests, then answers."""
    left = [count]

    def step(c, q):
        if c.number == 0 and c.served == 1:
            c.send(answer())
        elif left[0] > 0:
            left[0] -= 1
            return "close"
        else:
            c.send(answer(b"again"))

    return scripted(step)


@pytest.mark.parametrize(
    "method, status, tries",
    [("GET", 200, 2), ("HEAD", 200, 2), ("PUT", 200, 2), ("DELETE", 200, 2), ("POST", 502, 1), ("PATCH", 502, 1)],
)
def test_up_09_failure_on_a_used_connection(make, method, status, tries):
    """retries is 0: the one try on a new connection comes on top."""
    p = make(drop_unless_first(1), service={"retries": 0})
    body = b"abc" if method in ("PUT", "POST", "PATCH") else b""
    assert p.ask().status == 200
    p.upstream.take()
    a = p.ask(*([f"Content-Length: {len(body)}"] if body else []), method=method, body=body)
    assert a.status == status
    assert len(p.upstream.take()) == tries


@pytest.mark.parametrize("retries, drops, status, tries", [(0, 1, 502, 1), (1, 1, 200, 2), (2, 2, 200, 3), (2, 3, 502, 3)])
def test_up_10_retries(make, retries, drops, status, tries):
    p = make(scripted(*[drop] * drops, answer(b"at last")), service={"retries": retries})
    assert p.ask().status == status
    assert len(p.upstream.take()) == tries


@pytest.mark.parametrize("size, status", [(16384, 200), (16385, 502)])
def test_up_10_a_body_is_sent_again_only_when_it_was_kept(make, size, status):
    p = make(scripted(drop, echo), service={"retries": 3})
    a = p.ask(f"Content-Length: {size}", method="PUT", body=BODY[:size])
    assert a.status == status
    if status == 200:
        assert a.body == BODY[:size]
        assert [q.body for q in p.upstream.take()] == [BODY[:size]] * 2


def test_up_10_never_after_an_answer_byte(make):
    def step(c, q):
        c.send(b"HTTP/1.1 2")
        return "close"

    p = make(scripted(step), service={"retries": 5})
    assert p.ask().status == 502
    assert len(p.upstream.take()) == 1


def test_up_10_budget(make):
    """Every request fails: after the burst, one retry for five requests."""
    p = make(scripted(drop), service={"retries": 5})
    for _ in range(30):
        assert p.ask().status == 502
    assert 30 + 20 <= len(p.upstream.take()) <= 30 + 20 + 30 // 5


# --- clients that leave ---


def test_h1_36_client_leaves_in_its_body(make):
    def handler(c):
        head = c.read_head()
        begun.set()
        try:
            c.read_body(head)
            outcome.append("complete")
        except (EOFError, ConnectionError):
            outcome.append("aborted")

    outcome, begun = [], threading.Event()
    p = make(handler, request_buffering=False)
    with p.connect() as s:
        s.sendall(p.request("Content-Length: 100", method="POST", body=b"a" * 50))
        assert begun.wait(5)
    wait_until(lambda: outcome == ["aborted"], 5, "the abort")


@pytest.mark.parametrize("how", ["reset", "h2"])
def test_client_abort_ends_the_upstream_request(make, how):
    def handler(c):
        c.read_head()
        seen.set()
        assert c.sock.recv(1) == b""
        ended.set()

    seen, ended = threading.Event(), threading.Event()
    p = make(handler)
    if how == "h2":
        port = p.plane.tls_port
        curl = subprocess.Popen(["curl", "-sk", "--http2", "--resolve", f"{p.host}:{port}:{p.plane.ip}", f"https://{p.host}:{port}/"], stdout=subprocess.DEVNULL)
        assert seen.wait(5)
        curl.kill()
        curl.wait()
    else:
        with p.connect() as s:
            s.sendall(p.request())
            assert seen.wait(5)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert ended.wait(5)


def test_h1_37_client_half_closes(make):
    def step(c, q):
        time.sleep(0.2)
        c.send(answer(b"late"))

    p = make(scripted(step))
    with p.connect() as s:
        s.sendall(p.request())
        s.shutdown(socket.SHUT_WR)
        assert read_answer(s)[0].body == b"late"


# --- HTTP/2 clients ---


def test_http2_client(make):
    p = make(scripted(echo))
    (p.plane.prefix / "body").write_bytes(BODY)
    r = p.curl("--http2", "--data-binary", f"@{p.plane.prefix / 'body'}", "-H", "Cookie: a=1; b=2", "-H", "Expect:")
    assert r.returncode == 0 and r.stdout == BODY
    (q,) = p.upstream.take()
    assert q.get("cookie") == "a=1; b=2"  # H2-12: one field, joined
    assert q.version == "HTTP/1.1" and q.get("x-forwarded-proto") == "https"


def test_h1_29_trailers_of_http2_clients(make):
    p = make(scripted(echo))
    c = h2.connection.H2Connection()
    with connect(p.plane, tls=p.host, alpn=["h2"]) as s:
        c.initiate_connection()
        c.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", p.host), (":path", "/")])
        c.send_data(1, b"abc")
        c.send_headers(1, [("x-check", "2"), ("x-forwarded-for", "6.6.6.6"), ("authorization", "x")], end_stream=True)
        s.sendall(c.data_to_send())
        wait_until(lambda: p.upstream.requests, 5, "the request")
    (q,) = p.upstream.take()
    assert q.body == b"abc" and [(n.lower(), v) for n, v in q.trailers] == [("x-check", "2")]


# --- upgrades ---


def test_h1_33_upgrade_becomes_a_tunnel(make, plane):
    def handler(c):
        c.upstream.note(type("Head", (), {"head": c.read_head()}))
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst")
        while True:
            if not c.buffer:
                c._more()
            c.send(c.buffer.upper())
            c.buffer = b""

    p = make(handler)
    log = plane.cluster.folder / "access.log"
    for tls in (False, True):
        path = f"/tunnel/{p.name}/{tls}"
        with p.connect(tls) as s:
            s.sendall(p.request("Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Key: k", path=path) + b"early")
            a, rest = read_answer(s)
            assert a.status == 101 and a.fields["upgrade"] == "websocket" and a.fields["connection"].lower() == "upgrade"
            while rest != b"firstEARLY":
                rest += s.recv(100)
            s.sendall(b"x" * 100_000)
            got = b""
            while len(got) < 100_000:
                got += s.recv(65536)
            assert got == b"X" * 100_000
            wait_until(lambda: plane.metric("cardea_dp_tunnels") == 1, 10, "it is counted")
            assert path not in log.read_text()
        # Its line comes when it is over, with what went through.
        wait_until(lambda: f'"GET {path} HTTP/1.1" 101 100010 ' in log.read_text(), 10, "its line")
        assert plane.metric("cardea_dp_tunnels") == 0
    assert f'kong_bandwidth_bytes{{service="{p.name}",route="{p.name}",direction="ingress"' in plane.status("/metrics").text
    for q in p.upstream.take():
        assert b"\r\nUpgrade: websocket\r\n" in q.head and b"\r\nConnection: Upgrade\r\n" in q.head and b"sec-websocket-key: k" in q.head


def test_h1_33_no_101_no_tunnel(make):
    p = make()
    with p.connect() as s:
        s.sendall(p.request("Upgrade: websocket", "Connection: Upgrade") + p.request(path="/second"))
        rest = b""
        for _ in range(2):
            a, rest = read_answer(s, rest)
            assert a.body == b"hello"
    assert [q.target for q in p.upstream.take()] == ["/", "/second"]


def test_up_04_another_token(make):
    p = make(scripted(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n"))
    assert p.ask("Upgrade: websocket", "Connection: Upgrade").status == 502


def test_client_resets_in_the_turn_of_its_101(make, plane):
    """Both reach the worker in one turn: the connection is gone before the request is written down."""
    asked, go = threading.Event(), threading.Event()

    def handler(c):
        c.read_head()
        asked.set()
        assert go.wait(20)
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")

    p = make(handler)
    for tls in (False, True):
        asked.clear()
        go.clear()
        s = p.connect(tls)
        s.sendall(p.request("Upgrade: websocket", "Connection: Upgrade", path=f"/reset/{tls}"))
        assert asked.wait(20)
        with stopped(plane):
            go.set()
            wait_until(lambda: waiting_bytes(p.upstream.port) > 0, 10, "the 101 waits for the worker")
            reset(s)
        wait_until(lambda: f"/reset/{tls}" in (plane.cluster.folder / "access.log").read_text(), 10, "its line")
    assert make().ask().status == 200


# --- protocols of routes ---


def test_https_only_routes(make):
    p = make(protocols=["https"])
    a = p.ask(path="/x?y")
    assert a.status == 426 and b'"message":"Please use HTTPS protocol"' in a.body
    assert a.fields["upgrade"] == "TLS/1.2, HTTP/1.1" and "upgrade" in a.fields["connection"].lower()
    for status in (301, 302, 307, 308):
        p.change(hosts=[p.host], protocols=["https"], https_redirect_status_code=status)
        a = p.ask(path="/x?y")
        assert (a.status, a.fields["location"]) == (status, f"https://{p.host}/x?y")
    assert p.ask(tls=True).status == 200


def test_disabled_service_is_no_service(make, plane):
    p = make()
    plane.cluster.cp.patch(f"/services/{p.name}", json={"enabled": False}, headers={"Prefer": "wait=10"})
    a = p.ask()
    assert a.status == 404 and b"no Route matched with those values" in a.body


def test_route_without_service(plane):
    host = f"none{next(_names)}.example.com"
    r = plane.cluster.cp.post("/routes", json={"hosts": [host]}, headers={"Prefer": "wait=10"})
    assert r.status_code == 201
    with connect(plane) as s:
        s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        a, _ = read_answer(s)
        assert a.status == 503 and b"no Service found with those values" in a.body
