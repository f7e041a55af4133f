"""Section 3 of the reliability goals through a route to a recording upstream: of what is refused not a byte arrives, and what is accepted arrives as one
message that was written anew."""

import socket

import pytest

from harness import wait_until
from pki import pair
from test_rows_http1 import ACCEPTED, CL, GOOD, MALFORMED_BODY, NAME, POSITIONS, REFUSED, H, chunked, get
from upstreams import Request, Upstream, answer
from wire import at_rest, connect, descriptors, read_all, read_answer

# The same length, so that the rows' bytes only need a replacement: requests to it are not held until their body is there.
STREAMED = "s1.example.com"
LOCAL = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-path", "x-forwarded-prefix", "x-real-ip", "via",
         "x-kong-request-id")  # fmt: skip


class Recorder(Upstream):
    """Answers each whole request with 200; keeps whatever else came."""

    def __init__(self):
        super().__init__(handler=self.serve)

    def serve(self, c):
        while True:
            self.note(c.read_request())
            c.begun = len(c.raw) - len(c.buffer)
            c.send(answer())

    def unfinished(self):
        """Bytes of requests that did not become whole."""
        with self.lock:
            return [c.raw[c.begun :] for c in self.connections if c.raw[c.begun :]]

    def forget(self):
        with self.lock:
            for c in self.connections:
                c.begun = len(c.raw)


@pytest.fixture(scope="module")
def recorder():
    u = Recorder()
    yield u
    u.close()


@pytest.fixture(scope="module")
def plane(bare_cluster, recorder):
    cp = bare_cluster.add_control_plane().start()
    for host, buffering in ((NAME, True), (STREAMED, False)):
        _, cert, key = pair(host)
        for path, body in (
            ("/certificates", {"cert": cert, "key": key, "snis": [host]}),
            ("/services", {"name": host, "host": recorder.ip, "port": recorder.port}),
            (f"/services/{host}/routes", {"hosts": [host], "request_buffering": buffering, "preserve_host": True}),
        ):
            r = cp.post(path, json=body)
            assert r.status_code == 201, r.text
    d = bare_cluster.add_data_plane(workers=1).start()
    wait_until(lambda: d.http("/", NAME).status_code == 200 and d.http("/", STREAMED).status_code == 200, 10, "routes")
    recorder.take()
    return d


@pytest.fixture(scope="module", autouse=True)
def nothing_left(plane):
    before = descriptors(plane)
    yield
    at_rest(plane)
    wait_until(lambda: descriptors(plane) <= before + 8, 10, "descriptors back")  # connections that wait for the next request


def told(request):
    """Its line, the fields that the client has a say in, its body and trailers."""
    fields = sorted((n.lower(), v) for n, v in request.fields if n.lower() not in LOCAL)
    return request.line, fields, request.body, request.trailers


def message(line, *fields, body=b"", host=NAME, trailers=()):
    return line + " HTTP/1.1", sorted([("host", host), *fields]), body, list(trailers)


LENGTH = ("content-length", "3")
CHUNKS = ("transfer-encoding", "chunked")
BEFORE = {
    "first": [],
    "pipelined": [message("GET /good")] * 3,
    "after a body": [message("POST /", ("content-length", "5"), body=b"abcde")],
    "after chunks": [message("POST /", CHUNKS, body=b"abc")],
}


def converse(plane, tls, data, count):
    with connect(plane, tls) as s:
        s.sendall(data)
        rest, out = b"", []
        for _ in range(count):
            a, rest = read_answer(s, rest)
            out.append(a)
        return out, rest, read_all(s) if out[-1].closes else b""


@pytest.mark.parametrize("tls", [None, NAME], ids=["plain", "tls"])
@pytest.mark.parametrize("position", POSITIONS)
def test_refused(plane, recorder, tls, position):
    """H1-01 to H1-24, H1-31, H1-38: first, behind good requests, behind a body; the upstream sees those before it and nothing more."""
    before, count = POSITIONS[position]
    wrong = []
    for name, (request, status) in REFUSED.items():
        try:
            got, rest, more = converse(plane, tls, before + request + GOOD, count + 1)
        except (OSError, EOFError, AssertionError) as e:
            wrong.append((name, e))
            continue
        arrived = [told(r) for r in recorder.take()]
        if [a.status for a in got] != [200] * count + [status] or not got[-1].closes or rest or more or arrived != BEFORE[position]:
            wrong.append((name, got, rest, more, arrived))
    assert not wrong
    assert recorder.unfinished() == []


# What arrives for each row that is accepted.
ARRIVES = {
    "h1_04 leading zeros": message("POST /", LENGTH, body=b"abc"),
    "h1_05 any case, OWS": message("POST /", CHUNKS),
    "h1_07 underscore": message("GET /"),
    "h1_12 high bytes in a value": message("GET /", ("a", "\xe4\xff")),
    "h1_13 one empty line": message("GET /good"),
    "h1_15 1.9": message("GET /"),
    "h1_16 unknown method": message("M-SEARCH /"),
    "h1_18 absolute": message("GET /a", host="H1.example.com"),
    "h1_19 star with OPTIONS": message("OPTIONS *"),
    "h1_22 normalised": message("GET /", host="H1.Example.com.:80"),
    "h1_24 expectation without a body": message("GET /"),
    "h1_27 extension": message("POST /", CHUNKS, body=b"abc"),
    "h1_29 trailers": message("POST /", CHUNKS, trailers=[("x", "y")]),
    "h1_30 body on GET": message("GET /", LENGTH, body=b"abc"),
    "h1_30 body on DELETE": message("DELETE /", CHUNKS, body=b"GET"),
    "h1_34 h2c": message("GET /"),
    "h1_35 connection names fields": message("GET /"),
    "99 fields": message("GET /", *[(f"a{i}", "b") for i in range(98)]),
}


@pytest.mark.parametrize("tls", [None, NAME], ids=["plain", "tls"])
@pytest.mark.parametrize("position", POSITIONS)
def test_accepted(plane, recorder, tls, position):
    before, count = POSITIONS[position]
    wrong = []
    for name, (request, _) in ACCEPTED.items():
        try:
            got, rest, _ = converse(plane, tls, before + request + GOOD, count + 2)
        except (OSError, EOFError, AssertionError) as e:
            wrong.append((name, e))
            continue
        arrived = [told(r) for r in recorder.take()]
        if arrived != [*BEFORE[position], ARRIVES[name], message("GET /good")] or [a.status for a in got] != [200] * (count + 2) or rest:
            wrong.append((name, got, rest, arrived))
    assert not wrong
    assert recorder.unfinished() == []


@pytest.mark.parametrize("host", [NAME, STREAMED], ids=["held", "streamed"])
@pytest.mark.parametrize("position", POSITIONS)
def test_malformed_body(plane, recorder, position, host):
    """H1-09, H1-10, H1-26 to H1-28: 400C. What was held never leaves; of what is streamed the upstream sees a beginning, and no end."""
    before, count = POSITIONS[position]
    wrong = []
    for name, request in MALFORMED_BODY.items():
        data = before + request.replace(NAME.encode(), host.encode()) + GOOD
        try:
            got, rest, more = converse(plane, None, data, count + 1)
        except (OSError, EOFError, AssertionError) as e:
            wrong.append((name, e))
            continue
        arrived = [told(r) for r in recorder.take()]
        if arrived != BEFORE[position] or [a.status for a in got] != [200] * count + [400] or not got[-1].closes or rest or more:
            wrong.append((name, got, rest, more, arrived))
    assert not wrong
    assert all(b.startswith(b"POST / HTTP/1.1\r\n") and not b.endswith(b"0\r\n\r\n") for b in recorder.unfinished())
    assert host == STREAMED or recorder.unfinished() == []
    recorder.forget()


def test_malformed_body_behind_what_was_sent(plane, recorder):
    """Its beginning is upstream already: the upstream's connection ends within the message, and the client has 400C."""
    wrong = []
    for name, request in MALFORMED_BODY.items():
        head, body = request.replace(NAME.encode(), STREAMED.encode()).split(b"\r\n\r\n", 1)
        with connect(plane) as s:
            s.sendall(head + b"\r\n\r\n5\r\nhello\r\n")
            wait_until(lambda: any(b.endswith(b"5\r\nhello\r\n") for b in recorder.unfinished()), 10, "the first chunk upstream")
            (c,) = [c for c in recorder.connections if c.raw[c.begun :]]
            s.sendall(body + GOOD)
            a, rest = read_answer(s)
            if (a.status, a.closes, rest, read_all(s)) != (400, True, b"", b""):
                wrong.append((name, a, rest))
        wait_until(lambda c=c: c.sock.fileno() < 0, 10, "the upstream's connection to end")
        if recorder.take() or c.raw.endswith(b"0\r\n\r\n"):
            wrong.append((name, c.raw))
        recorder.forget()
    assert not wrong


@pytest.mark.parametrize("name", ["h1_01 both", "h1_05 not last", "h1_09 folded", "h1_21 two hosts"])
def test_h1_39_refused_at_every_cut(plane, recorder, name):
    request, status = REFUSED[name]
    data = GOOD + request + GOOD
    for i in range(1, len(GOOD + request)):
        with connect(plane) as s:
            s.sendall(data[:i])
            s.sendall(data[i:])
            first, rest = read_answer(s)
            second, rest = read_answer(s, rest)
            assert (first.status, second.status, second.closes, rest, read_all(s)) == (200, status, True, b"", b""), i
        assert [told(r) for r in recorder.take()] == [message("GET /good")], i
    assert recorder.unfinished() == []


@pytest.mark.parametrize("host", [NAME, STREAMED], ids=["held", "streamed"])
def test_h1_39_body_at_every_cut(plane, recorder, host):
    """Chunks with extensions and trailers, then another request: two messages, wherever the bytes are cut."""
    h = b"Host: " + host.encode() + b"\r\n"
    data = chunked(b"3;a=b\r\nabc\r\n1\r\n\n\r\n0\r\nX-T: y\r\nContent-Length: 9\r\n\r\n").replace(H, h) + GOOD
    for i in range(1, len(data)):
        with connect(plane) as s:
            s.sendall(data[:i])
            s.sendall(data[i:])
            first, rest = read_answer(s)
            second, rest = read_answer(s, rest)
            assert (first.status, second.status, rest) == (200, 200, b""), i
        post, good = recorder.take()
        assert told(good) == message("GET /good"), i
        assert (post.line, post.body) == ("POST / HTTP/1.1", b"abc\n"), i
        assert {n.lower() for n, _ in post.trailers} <= {"x-t"}, i
    assert recorder.unfinished() == []


# --- the bytes themselves ---


def forwarded(plane, path, request_id, host=NAME):
    return (
        f"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: {host}\r\nx-forwarded-port: {plane.http_port}\r\n"
        f"x-forwarded-path: {path}\r\nx-real-ip: 127.0.0.1\r\nvia: 1.1 cardea\r\n"
        f"x-kong-request-id: {request_id}"
    )


EXACT = {
    "fields in their order, each once": (
        get(b"B: 2", b"A: 1", b"B:3", b"C:  x y \t"),
        "GET / HTTP/1.1\r\nHost: {host}\r\nb: 2\r\na: 1\r\nb: 3\r\nc: x y\r\n{forwarded}\r\n\r\n",
        "/",
    ),
    "own framing": (
        get(b"Content-Length: 0005", method=b"POST", target=b"/p?q=/../a", body=b"a\r\n\r\n"),
        "POST /p?q=/../a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n{forwarded}\r\n\r\na\r\n\r\n",
        "/p",
    ),
    "hop-by-hop fields and what they name": (
        get(b"Connection: close, x-a, Cookie", b"Keep-Alive: 5", b"TE: trailers", b"Proxy-Connection: x", b"X-A: 1", b"Cookie: c"),
        "GET / HTTP/1.1\r\nHost: {host}\r\nTE: trailers\r\nConnection: TE\r\ncookie: c\r\n{forwarded}\r\n\r\n",
        "/",
    ),
    "TR-03 aliases": (
        get(b"X_Forwarded_For: 6.6.6.6", b"X-Real_IP: 6.6.6.6", b"Content_Length: 5", b"My_Own: x"),
        "GET / HTTP/1.1\r\nHost: {host}\r\nmy_own: x\r\n{forwarded}\r\n\r\n",
        "/",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_exact_bytes(plane, recorder, name):
    request, want, path = EXACT[name]
    at = {c: len(c.raw) for c in recorder.connections}
    with connect(plane) as s:
        s.sendall(request)
        a, _ = read_answer(s)
        assert a.status == 200
    (r,) = recorder.take()
    raw = r.connection.raw[at.get(r.connection, 0) :].decode("latin-1")
    assert raw == want.format(host=NAME, forwarded=forwarded(plane, path, a.fields["x-kong-request-id"]))


# --- TR-05, TR-06: the path ---

PATHS = {
    b"/a/./b": "/a/b", b"//evil.example/x": "/evil.example/x", b"/a/%2e%2E/b": "/b", b"/..": "/", b"/%2e%2e/%2e%2e/etc": "/etc",
    b"/a%2fb": "/a%2Fb", b"/%252e%252e/": "/%252e%252e/", b"/a\\..\\b": "/a%5C..%5Cb", b"/a%5c..%5cb": "/a%5C..%5Cb", b"/a;x/..;/b": "/a;x/..;/b",
    b"/%0d%0aX:%20y": "/%0D%0AX:%20y", b"/%c3%a9%7e": "/%C3%A9~", b"http://h1.example.com//a//b": "/a/b", b"/a//?b//../%2f": "/a/?b//../%2f",
    b"http://h1.example.com": "/", b"/.//..//a": "/a",
}  # fmt: skip


def test_tr_05_paths(plane, recorder):
    for target, want in PATHS.items():
        with connect(plane) as s:
            s.sendall(get(target=target))
            assert read_answer(s)[0].status == 200, target
        (r,) = recorder.take()
        assert r.target == want, target


# --- rows with more to them than one message ---


def test_h1_28_last_line_missing(plane, recorder):
    """The end of the message is in doubt for as long as its last CRLF is: nothing is sent that was held, and what follows is no request."""
    with connect(plane) as s:
        s.sendall(chunked(b"3\r\nabc\r\n0\r\n"))
        s.sendall(b"GET /evil HTTP/1.1\r\n" + H + b"\r\n")  # a trailer section, and no field
        a, rest = read_answer(s)
        assert (a.status, a.closes, rest) == (400, True, b"")
    assert recorder.take() == [] and recorder.unfinished() == []


def test_h1_32_bytes_behind_close(plane, recorder):
    with connect(plane) as s:
        s.sendall(get(b"Connection: close") + GOOD + GOOD)
        a, rest = read_answer(s)
        assert (a.status, a.closes, rest, read_all(s)) == (200, True, b"", b"")
    assert [told(r) for r in recorder.take()] == [message("GET /")]


@pytest.mark.parametrize("host", [NAME, STREAMED], ids=["held", "streamed"])
def test_h1_36_client_leaves_within_a_body(plane, recorder, host):
    h = b"Host: " + host.encode() + b"\r\n"
    for framing, part in ((b"Content-Length: 1000\r\n", b"x" * 500), (b"Transfer-Encoding: chunked\r\n", b"1f4\r\n" + b"x" * 500 + b"\r\n")):
        with connect(plane) as s:
            s.sendall(b"POST /left HTTP/1.1\r\n" + h + framing + b"\r\n" + part)
            if host == STREAMED:
                wait_until(lambda: any(b.count(b"x" * 500) == 1 for b in recorder.unfinished()), 10, "a part upstream")
        if host == STREAMED:
            ended = [c for c in recorder.connections if c.raw[c.begun :]]
            wait_until(lambda: all(c.sock.fileno() < 0 for c in ended), 10, "the upstream's connection to end")
        recorder.forget()
    assert plane.http("/", NAME).status_code == 200
    assert [r.target for r in recorder.take()] == ["/"]


def test_h1_37_half_close(plane, recorder):
    with connect(plane) as s:
        s.sendall(get(CL, method=b"POST", body=b"abc"))
        s.shutdown(socket.SHUT_WR)
        assert read_answer(s)[0].status == 200
        assert read_all(s) == b""
    assert [told(r) for r in recorder.take()] == [message("POST /", LENGTH, body=b"abc")]


def test_h1_38_wrong_listener(plane, recorder):
    with connect(plane) as s:
        s.sendall(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
        a, _ = read_answer(s)
        assert (a.status, a.closes) == (400, True)
    with socket.create_connection((plane.ip, plane.tls_port), timeout=5) as s:
        s.sendall(GOOD)
        a, _ = read_answer(s)
        assert (a.status, a.closes) == (400, True) and a.body
    assert recorder.take() == []


# --- an upstream that answers early, and what it asks for ---


class Early(Upstream):
    """Answers on the head: 200 and the end of the connection, or 100 first."""

    def __init__(self):
        super().__init__(handler=self.serve)

    def serve(self, c):
        while True:
            head = c.read_head()
            if b"/early" in head:
                c.send(answer(b"early"))
                c.sock.shutdown(socket.SHUT_WR)
                while c.sock.recv(65536):
                    pass
                return
            if b"expect: 100-continue" in head.lower():
                c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body, trailers = c.read_body(head)
            self.note(Request(head, body, trailers, c))
            c.send(answer())


@pytest.fixture(scope="module")
def early(plane, bare_cluster):
    u = Early()
    cp = bare_cluster.cp
    for path, body in (
        ("/services", {"name": "early", "host": u.ip, "port": u.port}),
        ("/services/early/routes", {"hosts": ["early.example.com"], "request_buffering": False}),
    ):
        r = cp.post(path, json=body, headers={"Prefer": "wait=10"})
        assert r.status_code == 201, r.text
    yield u
    u.close()


def test_h1_25_final_answer_before_the_body_ended(plane, early):
    """It is passed on; the rest of the body is dropped and never taken for a request."""
    rest_of_body = b"GET /evil HTTP/1.1\r\n" + H + b"\r\n"
    n = 10 + len(rest_of_body)
    with connect(plane) as s:
        s.sendall(b"POST /early HTTP/1.1\r\nHost: early.example.com\r\nContent-Length: %d\r\n\r\n" % n + b"0123456789")
        a, rest = read_answer(s)
        assert (a.status, rest) == (200, b"")
        s.sendall(rest_of_body + b"GET /behind HTTP/1.1\r\nHost: early.example.com\r\n\r\n")
        if not a.closes:
            assert read_answer(s)[0].status == 200
    wait_until(lambda: a.closes or early.requests, 10, "the request behind it")
    assert {r.target for r in early.take()} <= {"/behind"}


def test_h1_24_expectation(plane, early):
    with connect(plane) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: early.example.com\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
        a, rest = read_answer(s)
        assert a.status == 100
        s.sendall(b"abc")
        a, rest = read_answer(s, rest)
        assert (a.status, rest) == (200, b"")
    (r,) = early.take()
    assert r.body == b"abc"
    with connect(plane) as s:
        s.sendall(b"POST / HTTP/1.0\r\nHost: early.example.com\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        assert read_answer(s)[0].status == 200
    (r,) = early.take()
    assert r.body == b"abc" and r.get("expect") is None
