"""Each limit of the data plane that has a key: what goes over it gets the answer of reliability-goals section 2, and what does not passes."""

import pytest

from pki import pair
from wire import connect, connect_tls_port, read_answer

NAME = "limits.example.com"
HEAD = b"GET / HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n"
KEYS = {
    "ssl_handshake_timeout": "300ms", "client_header_timeout": "400ms", "client_body_timeout": "500ms", "keepalive_timeout": "600ms",
    "keepalive_requests": 3, "client_request_line_size": 300, "client_header_size": 400, "client_headers_size": "1k", "client_headers_max": 10,
    "client_max_body_size": "1k", "http2_max_concurrent_streams": 7,
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
