"""Section 3 of the reliability goals over the wire: each row on the plain and on the TLS port, as the first request, behind a good one, and behind a body."""

import pytest

from harness import wait_until
from pki import pair
from wire import at_rest, connect, descriptors, read_all, read_answer

NAME = "h1.example.com"
H = b"Host: " + NAME.encode() + b"\r\n"
GOOD = b"GET /good HTTP/1.1\r\n" + H + b"\r\n"
POSITIONS = {
    "first": (b"", 0),
    "pipelined": (GOOD * 3, 3),
    "after a body": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nabcde", 1),
    "after chunks": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 1),
}


def get(*fields, target=b"/", version=b"HTTP/1.1", method=b"GET", host=H, body=b""):
    return method + b" " + target + b" " + version + b"\r\n" + host + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


def chunked(body, *fields):
    return get(b"Transfer-Encoding: chunked", *fields, method=b"POST", body=body)


CL, TE = b"Content-Length: 3", b"Transfer-Encoding: chunked"

# name: (bytes, status); each ends the connection
REFUSED = {
    "h1_01 both": (get(CL, TE, body=b"0\r\n\r\n"), 400),
    "h1_01 both, other order": (get(TE, CL, body=b"0\r\n\r\n"), 400),
    "h1_01 zero length": (get(b"Content-Length: 0", TE, body=b"0\r\n\r\n"), 400),
    "h1_02 twice": (get(CL, CL, body=b"abc"), 400),
    "h1_02 list": (get(b"Content-Length: 3, 3", body=b"abc"), 400),
    "h1_03 sign": (get(b"Content-Length: +3", body=b"abc"), 400),
    "h1_03 minus": (get(b"Content-Length: -3", body=b"abc"), 400),
    "h1_03 hex": (get(b"Content-Length: 0x3", body=b"abc"), 400),
    "h1_03 underscore": (get(b"Content-Length: 1_0", body=b"abc"), 400),
    "h1_03 empty": (get(b"Content-Length:", body=b""), 400),
    "h1_03 space inside": (get(b"Content-Length: 1 0", body=b""), 400),
    "h1_03 2^63": (get(b"Content-Length: 9223372036854775808"), 400),
    "h1_03 2^64 + 3": (get(b"Content-Length: 18446744073709551619"), 400),
    "h1_03 letter": (get(b"Content-Length: 3a", body=b"abc"), 400),
    "h1_03 fraction": (get(b"Content-Length: 3.0", body=b"abc"), 400),
    "h1_03 other digits": (get(b"Content-Length: \xd9\xa3", body=b"abc"), 400),
    "h1_03 vertical tab": (get(b"Content-Length: \x0b3", body=b"abc"), 400),
    "h1_05 twice": (get(TE, TE, body=b"0\r\n\r\n"), 400),
    "h1_05 list": (get(b"Transfer-Encoding: chunked, chunked"), 400),
    "h1_05 trailing comma": (get(b"Transfer-Encoding: chunked,"), 400),
    "h1_05 leading comma": (get(b"Transfer-Encoding: ,chunked"), 400),
    "h1_05 parameter": (get(b"Transfer-Encoding: chunked;a=b"), 400),
    "h1_05 high byte": (get(b"Transfer-Encoding: chunked\x80"), 400),
    "h1_05 NUL": (get(b"Transfer-Encoding: chunked\x00"), 400),
    "h1_05 form feed": (get(b"Transfer-Encoding: chunked\x0c"), 400),
    "h1_05 folded": (get(b"Transfer-Encoding:", b" chunked"), 400),
    "h1_05 two words": (get(b"Transfer-Encoding: x chunked"), 400),
    "h1_05 empty": (get(b"Transfer-Encoding:"), 400),
    "h1_05 identity": (get(b"Transfer-Encoding: identity"), 400),
    "h1_05 quoted": (get(b'Transfer-Encoding: "chunked"'), 400),
    "h1_05 vertical tab": (get(b"Transfer-Encoding: \x0bchunked"), 400),
    "h1_05 not last": (get(b"Transfer-Encoding: chunked, gzip"), 400),
    "h1_05 gzip": (get(b"Transfer-Encoding: gzip"), 501),
    "h1_05 looks like it": (get(b"Transfer-Encoding: xchunked"), 501),
    "h1_06 in 1.0": (get(TE, version=b"HTTP/1.0", body=b"0\r\n\r\n"), 400),
    "h1_07 space in the name": (get(b"Transfer-Encoding : chunked"), 400),
    "h1_07 control in the name": (get(b"Transfer-\x01Encoding: chunked"), 400),
    "h1_07 length with a space": (get(b"Content-Length : 3", body=b"abc"), 400),
    "h1_07 length with a high byte": (get(b"Content\x96Length: 3", body=b"abc"), 400),
    "h1_07 length with a line end": (get(b"Content-Length\r: 3", body=b"abc"), 400),
    "h1_08 tab before the colon": (get(b"A\t: b"), 400),
    "h1_08 first field begins with a space": (get(host=b" X: y\r\n" + H), 400),
    "h1_08 empty name": (get(b": b"), 400),
    "h1_08 high byte in a name": (get(b"\xe4: b"), 400),
    "h1_08 no colon": (get(b"abc"), 400),
    "h1_09 folded": (get(b"A: b", b" c"), 400),
    "h1_10 bare LF in the request line": (b"GET / HTTP/1.1\n" + H + b"\r\n", 400),
    "h1_10 bare LF in a field": (b"GET / HTTP/1.1\r\nA: b\n" + H + b"\r\n", 400),
    "h1_10 bare LF before the body": (b"GET / HTTP/1.1\r\n" + H + b"\n", 400),
    "h1_10 bare LF hides a field": (get(b"A: b\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "h1_11 bare CR": (get(b"A: b\rc"), 400),
    "h1_11 bare CR hides a field": (get(b"A: b\rTransfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "h1_11 CR CR LF": (get(b"A: b\r"), 400),
    "h1_11 NUL": (get(b"A: b\x00c"), 400),
    "h1_11 DEL": (get(b"A: b\x7fc"), 400),
    "h1_13 two empty lines": (b"\r\n\r\n" + GOOD, 400),
    "h1_14 two spaces": (b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400),
    "h1_14 tab": (b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    "h1_14 0.9": (b"GET /\r\n\r\n", 400),
    "h1_14 trailing space": (b"GET / HTTP/1.1 \r\n" + H + b"\r\n", 400),
    "h1_14 leading space": (b" GET / HTTP/1.1\r\n" + H + b"\r\n", 400),
    "h1_14 no target": (b"GET HTTP/1.1\r\n" + H + b"\r\n", 400),
    "h1_14 four parts": (b"GET / / HTTP/1.1\r\n" + H + b"\r\n", 400),
    "h1_15 2.0": (get(version=b"HTTP/2.0"), 505),
    "h1_15 3.0": (get(version=b"HTTP/3.0"), 505),
    "h1_15 lower case": (get(version=b"http/1.1"), 400),
    "h1_15 two digits": (get(version=b"HTTP/1.10"), 400),
    "h1_15 other name": (get(version=b"HTTPS/1.1"), 400),
    "h1_15 no minor": (get(version=b"HTTP/1"), 400),
    "h1_16 not a token": (get(method=b"G(T"), 400),
    "h1_16 33 bytes": (get(method=b"A" * 33), 501),
    "h1_17 CONNECT": (get(method=b"CONNECT", target=NAME.encode() + b":443"), 405),
    "h1_18 other host": (get(target=b"http://other.example.com/"), 400),
    "h1_19 star": (get(target=b"*"), 400),
    "h1_19 authority": (get(target=b"h1.example.com:80"), 400),
    "h1_19 no slash": (get(target=b"a/b"), 400),
    "h1_19 other scheme": (get(target=b"ftp://h1.example.com/"), 400),
    "h1_19 no host": (get(target=b"http:///a"), 400),
    "h1_19 userinfo": (get(target=b"http://a@h1.example.com/"), 400),
    "h1_20 fragment": (get(target=b"/a#b"), 400),
    "h1_20 quote": (get(target=b'/a"b'), 400),
    "h1_20 high byte": (get(target=b"/\xe4"), 400),
    "h1_20 half an escape": (get(target=b"/%4"), 400),
    "h1_20 no hex": (get(target=b"/%g1"), 400),
    "h1_20 control": (get(target=b"/\x01"), 400),
    "h1_20 DEL": (get(target=b"/\x7f"), 400),
    "h1_20 %00": (get(target=b"/%00"), 400),
    "h1_21 no host": (get(host=b""), 400),
    "h1_21 two hosts": (get(host=H + H), 400),
    "h1_21 list": (get(host=b"Host: a, b\r\n"), 400),
    "h1_21 empty": (get(host=b"Host:\r\n"), 400),
    "h1_21 userinfo": (get(host=b"Host: a@b\r\n"), 400),
    "h1_21 bad port": (get(host=b"Host: a:65536\r\n"), 400),
    "h1_21 slash": (get(host=b"Host: h1.example.com/a\r\n"), 400),
    "h1_21 question mark": (get(host=b"Host: h1.example.com?\r\n"), 400),
    "h1_21 fragment": (get(host=b"Host: h1.example.com#\r\n"), 400),
    "h1_21 space": (get(host=b"Host: h1.example.com evil\r\n"), 400),
    "h1_21 high byte": (get(host=b"Host: h1.example.com\xe4\r\n"), 400),
    "h1_21 port of letters": (get(host=b"Host: a:http\r\n"), 400),
    "h1_21 second one folded in": (get(host=b"Host: h1.example.com\r\n Host: evil\r\n"), 400),
    "h1_21 bare IPv6": (get(host=b"Host: ::1\r\n"), 400),
    "h1_21 256 bytes": (get(host=b"Host: " + b"a." * 128 + b"\r\n"), 400),
    "h1_24 other expectation": (get(b"Expect: 200-ok"), 417),
    "limit request line": (get(target=b"/" + b"a" * 8200), 414),
    "limit field": (get(b"A: " + b"b" * 17000), 431),
    "limit head": (get(*[b"A%d: " % i + b"b" * 8000 for i in range(5)]), 431),
    "limit fields": (get(*[b"A%d: b" % i for i in range(101)]), 431),
    "h1_38 HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
}

# name: bytes; the head is well-formed and has its 404 before the body is looked at (H1-25), but nothing behind it is
MALFORMED_BODY = {
    "h1_10 bare LF in a trailer": chunked(b"0\r\nA: b\n\r\n"),
    "h1_10 bare LF behind the last chunk": chunked(b"3\r\nabc\r\n0\n\r\n"),
    "h1_11 bare CR in a trailer": chunked(b"0\r\nA: b\rc\r\n\r\n"),
    "h1_26 minus": chunked(b"-3\r\nabc\r\n0\r\n\r\n"),
    "h1_26 underscore": chunked(b"1_0\r\nabc\r\n0\r\n\r\n"),
    "h1_27 LF in an extension": chunked(b"3;a\n\r\nabc\r\n0\r\n\r\n"),
    "h1_27 CR in an extension": chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "h1_27 quoted line end": chunked(b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n'),
    "h1_28 shorter than it says": chunked(b"4\r\nabc\r\n0\r\n\r\n"),
    "h1_28 no line end": chunked(b"3\r\nabc0\r\n\r\n"),
    "h1_09 folded trailer": chunked(b"0\r\nA: b\r\n c\r\n\r\n"),
    "h1_10 bare LF in a chunk line": chunked(b"3\nabc\r\n0\r\n\r\n"),
    "h1_26 sign": chunked(b"+3\r\nabc\r\n0\r\n\r\n"),
    "h1_26 0x": chunked(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "h1_26 space before": chunked(b" 3\r\nabc\r\n0\r\n\r\n"),
    "h1_26 space behind": chunked(b"3 \r\nabc\r\n0\r\n\r\n"),
    "h1_26 empty": chunked(b"\r\nabc\r\n0\r\n\r\n"),
    "h1_26 17 digits": chunked(b"0" * 16 + b"3\r\nabc\r\n0\r\n\r\n"),
    "h1_26 2^63": chunked(b"8000000000000000\r\nabc"),
    "h1_27 control in an extension": chunked(b"3;a=\x01\r\nabc\r\n0\r\n\r\n"),
    "h1_28 longer than it says": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
    "h1_28 LF behind data": chunked(b"3\r\nabc\n0\r\n\r\n"),
    "limit chunk line": chunked(b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n"),
    "limit trailers": chunked(b"0\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(33)) + b"\r\n"),
}

# name: (bytes, status); the connection goes on
ACCEPTED = {
    "h1_04 leading zeros": (get(b"Content-Length: 0003", method=b"POST", body=b"abc"), 404),
    "h1_05 any case, OWS": (get(b"Transfer-Encoding: \t ChunKed ", method=b"POST", body=b"0\r\n\r\n"), 404),
    "h1_07 underscore": (get(b"Transfer_Encoding: chunked", b"Content_Length: 7"), 404),
    "h1_12 high bytes in a value": (get(b"A: \xe4\xff"), 404),
    "h1_13 one empty line": (b"\r\n" + GOOD, 404),
    "h1_15 1.9": (get(version=b"HTTP/1.9"), 404),
    "h1_16 unknown method": (get(method=b"M-SEARCH"), 404),
    "h1_18 absolute": (get(target=b"http://H1.example.com/a"), 404),
    "h1_19 star with OPTIONS": (get(target=b"*", method=b"OPTIONS"), 404),
    "h1_22 normalised": (get(host=b"Host: H1.Example.com.:80\r\n"), 404),
    "h1_24 expectation without a body": (get(b"Expect: 100-continue"), 404),
    "h1_27 extension": (chunked(b'3;a=b;c="d;e"\r\nabc\r\n0\r\n\r\n'), 404),
    "h1_29 trailers": (chunked(b"0\r\nContent-Length: 3\r\nHost: b\r\nX: y\r\n\r\n"), 404),
    "h1_30 body on GET": (get(CL, body=b"abc"), 404),
    "h1_30 body on DELETE": (get(TE, method=b"DELETE", body=b"3\r\nGET\r\n0\r\n\r\n"), 404),
    "h1_34 h2c": (get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), 404),
    "h1_35 connection names fields": (get(b"Connection: host, content-length, x", b"X: y"), 404),
    "99 fields": (get(*[b"A%d: b" % i for i in range(98)]), 404),
}


@pytest.fixture(scope="module")
def plane(pair_of_planes):
    _, cert, key = pair(NAME)
    r = pair_of_planes.cp.post("/certificates", json={"cert": cert, "key": key, "snis": [NAME]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    return pair_of_planes.data_planes[0]


@pytest.fixture(scope="module", autouse=True)
def nothing_left(plane):
    """After all of a module's rows: no connection and no descriptor more than before."""
    before = descriptors(plane)
    yield
    at_rest(plane)
    wait_until(lambda: descriptors(plane) <= before, 10, "descriptors back")


def answers(plane, tls, request, count):
    with connect(plane, tls) as s:
        s.sendall(request)
        rest, out = b"", []
        for _ in range(count):
            answer, rest = read_answer(s, rest)
            out.append(answer)
        return out, rest, read_all(s) if out[-1].closes else b""


@pytest.mark.parametrize("tls", [None, NAME], ids=["plain", "tls"])
@pytest.mark.parametrize("position", POSITIONS)
def test_refused_rows(plane, tls, position):
    """H1-31, H1-39: the answers before it stand, then the status of the row, then the end."""
    before, count = POSITIONS[position]
    wrong = []
    for name, (request, status) in REFUSED.items():
        try:
            got, rest, more = answers(plane, tls, before + request + GOOD, count + 1)
        except (OSError, EOFError, AssertionError) as e:
            wrong.append((name, e))
            continue
        if [a.status for a in got] != [404] * count + [status] or not got[-1].closes or rest or more:
            wrong.append((name, got, rest, more))
    assert not wrong


@pytest.mark.parametrize("tls", [None, NAME], ids=["plain", "tls"])
@pytest.mark.parametrize("position", POSITIONS)
def test_accepted_rows(plane, tls, position):
    before, count = POSITIONS[position]
    wrong = []
    for name, (request, status) in ACCEPTED.items():
        try:
            got, rest, _ = answers(plane, tls, before + request + GOOD, count + 2)
        except (OSError, EOFError, AssertionError) as e:
            wrong.append((name, e))
            continue
        if [a.status for a in got] != [404] * count + [status, 404] or rest or any(a.closes for a in got):
            wrong.append((name, got, rest))
    assert not wrong


@pytest.mark.parametrize("tls", [None, NAME], ids=["plain", "tls"])
@pytest.mark.parametrize("position", POSITIONS)
def test_malformed_body_rows(plane, tls, position):
    """The answer is whole, the connection ends, and what follows is never taken for a request."""
    before, count = POSITIONS[position]
    wrong = []
    for name, request in MALFORMED_BODY.items():
        try:
            with connect(plane, tls) as s:
                s.sendall(before + request + GOOD)
                got = read_all(s)
        except OSError as e:
            wrong.append((name, e))
            continue
        if got.count(b"HTTP/1.1 404 ") != count + 1 or got.count(b"HTTP/1.1") != count + 1 or not got.endswith(b'"}'):
            wrong.append((name, got))
    assert not wrong


@pytest.mark.parametrize("name", ["h1_10 bare LF in a chunk line", "h1_28 longer than it says", "h1_26 2^63"])
def test_h1_39_malformed_body_split_at_every_byte(plane, name):
    request = MALFORMED_BODY[name]
    for i in range(1, len(request)):
        with connect(plane) as s:
            s.sendall(request[:i])
            s.sendall(request[i:])
            got = read_all(s)
            assert got.count(b"HTTP/1.1") == got.count(b"HTTP/1.1 404 ") == 1 and got.endswith(b'"}'), (i, got)


@pytest.mark.parametrize("name", ["h1_01 both", "h1_21 two hosts", "h1_15 2.0"])
def test_h1_39_split_at_every_byte(plane, name):
    request, status = REFUSED[name]
    for i in range(1, len(request)):
        with connect(plane) as s:
            s.sendall(request[:i])
            s.sendall(request[i:])
            answer, rest = read_answer(s)
            assert answer.status == status and answer.closes and read_all(s) == b"" == rest


def test_h1_23_http_1_0(plane):
    got, _, more = answers(plane, None, b"GET / HTTP/1.0\r\n\r\n" + GOOD, 1)
    assert got[0].status == 404 and got[0].closes and more == b""
    got, _, _ = answers(plane, None, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1)
    assert got[0].status == 404


def test_h1_25_answer_before_the_body(plane):
    """The 404 does not wait for the body; the body is read and dropped, and the connection goes on."""
    with connect(plane) as s:
        s.sendall(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 10000\r\n\r\n")
        assert read_answer(s)[0].status == 404
        s.sendall(b"a" * 10000 + GOOD)
        assert read_answer(s)[0].status == 404
    with connect(plane) as s:
        s.sendall(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1000000\r\n\r\n")
        assert read_answer(s)[0].status == 404
        try:
            s.sendall(b"a" * 1000000 + GOOD)
        except ConnectionError:
            pass
        assert b"HTTP/1.1" not in read_all(s)


def test_h1_24_expect_with_a_body(plane):
    """Answered finally at once: no 100, and what follows is not taken for a request."""
    with connect(plane) as s:
        s.sendall(b"POST / HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD))
        answer, rest = read_answer(s)
        assert answer.status == 404
        s.sendall(GOOD)
        assert b"HTTP/1.1 404" not in rest + read_all(s)


def test_h1_32_behind_close(plane):
    for tls in (None, NAME):
        got, rest, more = answers(plane, tls, get(b"Connection: close") + GOOD * 5, 1)
        assert got[0].status == 404 and got[0].closes and rest + more == b""


def test_h1_17_trace(plane):
    for method in (b"TRACE", b"TRACK"):
        got, _, _ = answers(plane, None, get(method=method), 1)
        assert got[0].status == 405


def test_h1_36_37_client_ends(plane):
    import socket

    with connect(plane) as s:
        s.sendall(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 10\r\n\r\nabc")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s).count(b"HTTP/1.1") <= 1
    with connect(plane) as s:
        s.sendall(GOOD * 3)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s).count(b"HTTP/1.1 404") == 3


def test_h1_38_wrong_protocol(plane):
    from wire import client_hello, connect_tls_port, records, server_name

    with connect(plane) as s:
        s.sendall(records(client_hello(server_name(NAME.encode()))))
        assert read_all(s).startswith(b"HTTP/1.1 400 ")
    with connect_tls_port(plane) as s:
        s.sendall(GOOD)
        answer = read_all(s)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"use https" in answer


def test_limit_requests_per_connection(plane):
    got, rest, more = answers(plane, None, GOOD * 1100, 1000)
    assert all(a.status == 404 for a in got) and [a.closes for a in got] == [False] * 999 + [True] and rest + more == b""


def test_rejections_are_counted(plane):
    """I9: what was refused above is explained by the counter of its row."""
    text = plane.status("/metrics").text
    for row in ("H1-01", "H1-02", "H1-10", "H1-21", "H1-26"):
        assert f'reason="{row}"' in text, row
