"""Each limit of the data plane that has a key: what goes over it gets the answer of reliability-goals section 2, and what does not passes."""

import socket
import threading

import pytest

from harness import wait_until
from pki import pair
from upstreams import Upstream, add_route, answer
from wire import connect, connect_tls_port, read_all, read_answer

NAME = "limits.example.com"
HEAD = b"GET / HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n"
KEYS = {
    "ssl_handshake_timeout": "300ms", "client_header_timeout": "400ms", "client_body_timeout": "500ms", "keepalive_timeout": "600ms",
    "keepalive_requests": 3, "client_request_line_size": 300, "client_header_size": 400, "client_headers_size": "1k", "client_headers_max": 10,
    "client_max_body_size": "1k", "http2_max_concurrent_streams": 7, "response_buffer_size": "64m",
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(bare_cluster):
    cp = bare_cluster.add_control_plane().start()
    _, cert, key = pair(NAME)
    assert cp.post("/certificates", json={"cert": cert, "key": key, "snis": [NAME]}).status_code == 201
    return bare_cluster.add_data_plane(**KEYS).start()


def ask(plane, *parts):
    """The status, and whether the connection was closed behind the answer."""
    with connect(plane) as s:
        s.settimeout(20)
        s.sendall(b"".join(parts))
        status = read_answer(s)[0].status
        return status


ROWS = [
    ("request line at the limit", [b"GET /" + b"a" * 286 + b" HTTP/1.1\r\n", HEAD.split(b"\r\n", 1)[1], b"\r\n"], 404),
    ("request line over it", [b"GET /" + b"a" * 287 + b" HTTP/1.1\r\n", HEAD.split(b"\r\n", 1)[1], b"\r\n"], 414),
    ("field at the limit", [HEAD, b"A: " + b"b" * 397 + b"\r\n\r\n"], 404),
    ("field over it", [HEAD, b"A: " + b"b" * 398 + b"\r\n\r\n"], 431),
    ("head over the limit", [HEAD, b"".join(b"A%d: " % i + b"b" * 300 + b"\r\n" for i in range(4)), b"\r\n"], 431),
    ("fields at the limit", [HEAD, b"A: b\r\n" * 9, b"\r\n"], 404),
    ("fields over it", [HEAD, b"A: b\r\n" * 10, b"\r\n"], 431),
    ("body at the limit", [HEAD, b"Content-Length: 1024\r\n\r\n", b"x" * 1024], 404),
    ("body over it", [HEAD, b"Content-Length: 1025\r\n\r\n"], 413),
    ("head that does not end", [HEAD], 408),
    ("keep-alive", [HEAD, b"\r\n"], 404),
]


@pytest.mark.parametrize("name,parts,status", ROWS, ids=[r[0] for r in ROWS])
def test_answer(plane, name, parts, status):
    assert ask(plane, *parts) == status


def ends(s):
    """Everything until the peer closes."""
    s.settimeout(20)
    got = b""
    while data := s.recv(65536):
        got += data
    return got


def test_idle_connection_is_closed(plane):
    with connect(plane) as s:
        s.sendall(HEAD + b"\r\n")
        assert ends(s).startswith(b"HTTP/1.1 404 ")


def test_last_request_of_a_connection(plane):
    with connect(plane) as s:
        s.sendall((HEAD + b"\r\n") * 5)
        got = ends(s)
    assert got.count(b"HTTP/1.1 404 ") == 3 and got.lower().count(b"connection: close") == 1


def test_handshake_that_does_not_begin(plane):
    with connect_tls_port(plane) as s:
        assert ends(s) == b""


def test_streams_that_are_offered(plane):
    """SETTINGS_MAX_CONCURRENT_STREAMS of the server's first frame."""
    with connect(plane, NAME, alpn=["h2"]) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        s.settimeout(20)
        got = b""
        while len(got) < 9 or len(got) < 9 + int.from_bytes(got[:3], "big"):
            got += s.recv(4096)
    settings = got[9 : 9 + int.from_bytes(got[:3], "big")]
    pairs = {int.from_bytes(settings[i : i + 2], "big"): int.from_bytes(settings[i + 2 : i + 6], "big") for i in range(0, len(settings), 6)}
    assert got[3] == 4 and pairs[3] == KEYS["http2_max_concurrent_streams"]


def test_body_that_pauses_after_its_answer_began(plane):
    """The upstream has begun to answer and waits for the rest, the client sends none: neither holds the connections for ever."""

    def handler(c):
        c.read_head()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
        try:
            while True:
                c._more()
        finally:
            c.upstream.note("left")

    u = Upstream(handler=handler)
    try:
        add_route(plane.cluster, "early", u, request_buffering=False)
        before = plane.metric("cardea_dp_rejected_total", '{reason="silence"}') or 0
        with connect(plane) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: early.example.com\r\nContent-Length: 100\r\n\r\nten bytes.")
            got = read_all(s, 20)
        assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(b"\r\n5\r\nearly\r\n"), got
        wait_until(lambda: u.take() == ["left"], 10, "the upstream is left too")
        assert plane.metric("cardea_dp_rejected_total", '{reason="silence"}') == before + 1
    finally:
        u.close()


def answer_size(s):
    """Bytes of the body until the peer closes."""
    s.settimeout(60)
    data = s.recv(65536)
    count = len(data.split(b"\r\n\r\n", 1)[1])
    while n := len(s.recv(1 << 20)):
        count += n
    return count


def test_answers_to_slow_clients_are_taken_ahead(plane):
    """response_buffering: the upstream is done with an answer that its client does not read; without it, it waits for the client."""
    size = 48 << 20  # more than the kernel holds between two sockets
    done = {True: threading.Event(), False: threading.Event()}
    cp, upstreams, clients = plane.cluster.cp, [], []

    def serve(buffered):
        def handler(c):
            c.read_request()
            c.sock.settimeout(None)
            c.send(answer(b"y" * size))
            done[buffered].set()

        return Upstream(handler=handler)

    try:
        for buffered in (False, True):
            u, name = serve(buffered), f"ahead-{buffered}".lower()
            upstreams.append(u)
            cp.post("/services", json={"name": name, "host": u.ip, "port": u.port})
            body = {"name": name, "hosts": [f"{name}.example.com"], "service": {"name": name}, "response_buffering": buffered}
            assert cp.post("/routes", json=body, headers={"Prefer": "wait=10"}).status_code == 201
            clients.append(connect(plane))
            clients[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            clients[-1].sendall(f"GET / HTTP/1.1\r\nHost: {name}.example.com\r\nConnection: close\r\n\r\n".encode())
        assert done[True].wait(60) and not done[False].is_set()
        assert [answer_size(c) for c in reversed(clients)] == [size, size]
        assert done[False].wait(60)
    finally:
        for s in (*clients, *upstreams):
            s.close()
