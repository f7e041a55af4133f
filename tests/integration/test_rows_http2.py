"""Section 5 of the reliability goals as frame scripts against a running data plane: what comes back, and that nothing stays behind."""

import contextlib
import struct

import pytest
from hpack import Encoder

from harness import wait_until
from pki import pair
from wire import at_rest, connect, descriptors, rss_kib

NAME = "h2.example.com"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 32
CODES = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 2: "INTERNAL_ERROR", 3: "FLOW_CONTROL_ERROR", 5: "STREAM_CLOSED", 6: "FRAME_SIZE_ERROR",
         7: "REFUSED_STREAM", 8: "CANCEL", 9: "COMPRESSION_ERROR", 11: "ENHANCE_YOUR_CALM"}
PSEUDO = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", NAME)]


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(fields):
    """Literals without indexing, so that no table has to be kept in step."""
    out = b""
    for name, value in fields:
        name, value = (x.encode() if isinstance(x, str) else x for x in (name, value))
        out += b"\x00" + integer(len(name)) + name + integer(len(value)) + value
    return out


def integer(n):
    if n < 127:
        return bytes([n])
    out, n = b"\x7f", n - 127
    while n >= 128:
        out += bytes([n % 128 + 128])
        n //= 128
    return out + bytes([n])


def headers(fields, stream=1, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, block(fields))


def request(*fields, stream=1, **kw):
    """With pseudo-headers replaced by name, removed by None."""
    replace = {f":{k}": v for k, v in kw.items() if k != "flags"}
    pseudo = [(n, replace.get(n, v)) for n, v in PSEUDO if replace.get(n, v) is not None]
    return headers(pseudo + list(fields), stream, kw.get("flags", END_HEADERS | END_STREAM))


POST = dict(method="POST", flags=END_HEADERS)


class Client:
    def __init__(self, plane, tls=NAME, preface=PREFACE + frame(SETTINGS)):
        self.s = connect(plane, tls, alpn=["h2"] if tls else None)
        self.pending = b""
        self.s.sendall(preface)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data):
        with contextlib.suppress(OSError):
            self.s.sendall(data)

    def frame(self, seconds=5):
        """(kind, flags, stream, payload); None at the end."""
        self.s.settimeout(seconds)
        try:
            while len(self.pending) < 9 or len(self.pending) < 9 + int.from_bytes(self.pending[:3], "big"):
                data = self.s.recv(65536)
                if not data:
                    return None
                self.pending += data
        except ConnectionError:
            return None
        n = int.from_bytes(self.pending[:3], "big")
        head, payload = self.pending[:9], self.pending[9 : 9 + n]
        self.pending = self.pending[9 + n :]
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def verdict(self, stream=1):
        """What ends the stream or the connection: 'RST(x)', 'GOAWAY(x)' (the end must follow), 'answer', or 'closed'."""
        while True:
            f = self.frame()
            if f is None:
                return "closed"
            kind, flags, at, payload = f
            if kind == GOAWAY:
                code = CODES[int.from_bytes(payload[4:8], "big")]
                if code != "NO_ERROR":
                    while self.frame(3) is not None:
                        pass
                return f"GOAWAY({code})"
            if at == stream and kind == RST:
                return f"RST({CODES[int.from_bytes(payload, 'big')]})"
            if at == stream and kind in (HEADERS, DATA) and flags & END_STREAM:
                return "answer"


BAD = "RST(PROTOCOL_ERROR)"

# name: (frames, what answers stream 1)
ROWS = {
    "plain": (request(), "answer"),
    "h2_07 unknown": (headers([(":foo", "a")] + PSEUDO), BAD),
    "h2_07 repeated": (headers(PSEUDO + [(":path", "/")]), BAD),
    "h2_07 no method": (request(method=None), BAD),
    "h2_07 no scheme": (request(scheme=None), BAD),
    "h2_07 no path": (request(path=None), BAD),
    "h2_07 no authority, no host": (request(authority=None), BAD),
    "h2_07 behind a field": (headers(PSEUDO[:3] + [("a", "b")] + PSEUDO[3:]), BAD),
    "h2_07 in trailers": (request(**POST) + headers([(":path", "/")]), BAD),
    "h2_07 empty path": (request(path=""), BAD),
    "h2_07 path without a slash": (request(path="a"), BAD),
    "h2_07 star": (request(path="*"), BAD),
    "h2_07 star with OPTIONS": (request(path="*", method="OPTIONS"), "answer"),
    "h2_07 fragment": (request(path="/a#b"), BAD),
    "h2_07 scheme": (request(scheme="ftp"), BAD),
    "h2_07 method": (request(method="G T"), BAD),
    "h2_07 userinfo": (request(authority="a@b"), BAD),
    "h2_07 comma": (request(authority="a,b"), BAD),
    "h2_07 space": (request(authority="a b"), BAD),
    "h2_07 port": (request(authority="a:65536"), BAD),
    "h2_08 upper case": (request(("Abc", "d")), BAD),
    "h2_08 space in a name": (request(("a b", "c")), BAD),
    "h2_08 empty name": (request(("", "c")), BAD),
    "h2_08 CR": (request(("a", "b\rc")), BAD),
    "h2_08 LF": (request(("a", "b\nc")), BAD),
    "h2_08 NUL": (request(("a", "b\0c")), BAD),
    "h2_08 leading space": (request(("a", " b")), BAD),
    "h2_08 trailing tab": (request(("a", "b\t")), BAD),
    "h2_09 connection": (request(("connection", "close")), BAD),
    "h2_09 keep-alive": (request(("keep-alive", "1")), BAD),
    "h2_09 proxy-connection": (request(("proxy-connection", "a")), BAD),
    "h2_09 transfer-encoding": (request(("transfer-encoding", "chunked")), BAD),
    "h2_09 upgrade": (request(("upgrade", "h2c")), BAD),
    "h2_09 te": (request(("te", "gzip")), BAD),
    "h2_09 te: trailers": (request(("te", "trailers")), "answer"),
    "h2_10 other host": (request(("host", "other.example.com")), BAD),
    "h2_10 same host": (request(("host", NAME)), "answer"),
    "h2_10 only host": (request(("host", NAME), authority=None), "answer"),
    "h2_10 two hosts": (request(("host", NAME), ("host", NAME)), BAD),
    "h2_11 not a number": (request(("content-length", "x"), **POST), BAD),
    "h2_11 sign": (request(("content-length", "+3"), **POST), BAD),
    "h2_11 list": (request(("content-length", "3, 3"), **POST), BAD),
    "h2_11 two": (request(("content-length", "3"), ("content-length", "4"), **POST), BAD),
    "h2_11 END_STREAM early": (request(("content-length", "3")), BAD),
    "h2_13 extended CONNECT": (headers(PSEUDO[1:] + [(":method", "CONNECT"), (":protocol", "websocket")]), BAD),
    "h2_14 even stream": (request(stream=2), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 stream 0": (request(stream=0), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 DATA on idle": (frame(DATA, END_STREAM, 1, b"abc"), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 DATA on 0": (frame(DATA, END_STREAM, 0, b"abc"), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 RST on idle": (frame(RST, 0, 1, bytes(4)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 RST of 3 bytes": (request(**POST) + frame(RST, 0, 1, bytes(3)), "GOAWAY(FRAME_SIZE_ERROR)"),
    "h2_14 PING of 7 bytes": (frame(PING, 0, 0, bytes(7)), "GOAWAY(FRAME_SIZE_ERROR)"),
    "h2_14 PING on a stream": (frame(PING, 0, 1, bytes(8)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 SETTINGS of 5 bytes": (frame(SETTINGS, 0, 0, bytes(5)), "GOAWAY(FRAME_SIZE_ERROR)"),
    "h2_14 SETTINGS ack with bytes": (frame(SETTINGS, ACK, 0, bytes(6)), "GOAWAY(FRAME_SIZE_ERROR)"),
    "h2_14 SETTINGS on a stream": (frame(SETTINGS, 0, 1), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 window setting 2^31": (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), "GOAWAY(FLOW_CONTROL_ERROR)"),
    "h2_14 frame size setting": (frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 100)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 push setting": (frame(SETTINGS, 0, 0, struct.pack(">HI", 2, 2)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 frame over the limit": (request(**POST) + frame(DATA, 0, 1, bytes(16385)), "GOAWAY(FRAME_SIZE_ERROR)"),
    "h2_14 PING between HEADERS and CONTINUATION": (request(flags=END_STREAM) + frame(PING, 0, 0, bytes(8)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 CONTINUATION alone": (frame(CONTINUATION, END_HEADERS, 1, b""), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 zero increment": (frame(WINDOW, 0, 0, bytes(4)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_14 window over 2^31-1": (frame(WINDOW, 0, 0, struct.pack(">I", (1 << 31) - 1)) * 2, "GOAWAY(FLOW_CONTROL_ERROR)"),
    "h2_14 padding longer than the frame": (request(**POST) + frame(DATA, PADDED, 1, b"\xff" + bytes(10)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_15 index 0": (frame(HEADERS, 5, 1, b"\x80"), "GOAWAY(COMPRESSION_ERROR)"),
    "h2_15 index beyond": (frame(HEADERS, 5, 1, b"\xff\x20"), "GOAWAY(COMPRESSION_ERROR)"),
    "h2_15 integer overflow": (frame(HEADERS, 5, 1, b"\xff" * 12 + b"\x7f"), "GOAWAY(COMPRESSION_ERROR)"),
    "h2_15 Huffman EOS": (frame(HEADERS, 5, 1, b"\x00\x84\xff\xff\xff\xff\x01a"), "GOAWAY(COMPRESSION_ERROR)"),
    "h2_15 table update too large": (frame(HEADERS, 5, 1, b"\x3f\xe2\x1f" + block(PSEUDO)), "GOAWAY(COMPRESSION_ERROR)"),
    "h2_15 table update behind a field": (frame(HEADERS, 5, 1, block(PSEUDO) + b"\x20"), "GOAWAY(COMPRESSION_ERROR)"),
    "h2_16 PUSH_PROMISE": (request(**POST) + frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + block(PSEUDO)), "GOAWAY(PROTOCOL_ERROR)"),
    "h2_03 CONTINUATION flood": (request(flags=END_STREAM) + frame(CONTINUATION, 0, 1, block([("a", "b")])) * 50, "GOAWAY(ENHANCE_YOUR_CALM)"),
    "h2_03 empty CONTINUATION flood": (request(flags=END_STREAM) + frame(CONTINUATION, 0, 1) * 50, "GOAWAY(ENHANCE_YOUR_CALM)"),
    "h2_06 PING flood": (frame(PING, 0, 0, bytes(8)) * 2000, "GOAWAY(ENHANCE_YOUR_CALM)"),
    "h2_06 SETTINGS flood": (frame(SETTINGS) * 2000, "GOAWAY(ENHANCE_YOUR_CALM)"),
    "h2_06 PRIORITY flood": (frame(PRIORITY, 0, 1, bytes(4) + b"\x0f") * 2000, "GOAWAY(ENHANCE_YOUR_CALM)"),
    "h2_06 unknown frame flood": (frame(200, 0, 0, b"abc") * 2000, "GOAWAY(ENHANCE_YOUR_CALM)"),
    "h2_06 empty DATA flood": (request(**POST) + frame(DATA, 0, 1) * 3000, None),
    "h2_06 WINDOW_UPDATE flood": (frame(WINDOW, 0, 0, b"\x00\x00\x00\x01") * 3000, "GOAWAY(ENHANCE_YOUR_CALM)"),
    "h2_21 101 fields": (request(*[("c%d" % i, "d") for i in range(101)]), "answer"),
    "unknown frame is ignored": (frame(200, 255, 0, b"abc") + request(), "answer"),
}
CALM = ("GOAWAY(ENHANCE_YOUR_CALM)", "GOAWAY(INTERNAL_ERROR)")


@pytest.fixture(scope="module")
def plane(pair_of_planes):
    _, cert, key = pair(NAME)
    r = pair_of_planes.cp.post("/certificates", json={"cert": cert, "key": key, "snis": [NAME]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    p = pair_of_planes.data_planes[0]
    with Client(p) as c:
        c.send(request())
        assert c.verdict() == "answer"
    at_rest(p)
    before = descriptors(p)
    yield p
    at_rest(p)
    wait_until(lambda: descriptors(p) <= before, 20, "descriptors back")


@pytest.mark.parametrize("name", ROWS)
def test_rows(plane, name):
    """The answer of the row; behind a stream error the connection still answers."""
    frames, want = ROWS[name]
    with Client(plane) as c:
        c.send(frames)
        got = c.verdict()
        if want is None:
            assert got in ("answer", *CALM, "closed")
            return
        assert got == want or (want in CALM and got in CALM)
        if not got.startswith("GOAWAY"):
            c.send(request(stream=5))
            assert c.verdict(5) == "answer"


@pytest.mark.parametrize("piece", [1, 3, 8])
def test_rows_in_pieces(plane, piece):
    with Client(plane) as c:
        data = request(("a", "b")) + request(("host", "x"), stream=3) + request(stream=5)
        for i in range(0, len(data), piece):
            c.send(data[i : i + piece])
        assert [c.verdict(1), c.verdict(3), c.verdict(5)] == ["answer", BAD, "answer"]


def test_h2_01_rapid_reset(plane):
    with Client(plane) as c:
        c.send(b"".join(request(stream=1 + 2 * i) + frame(RST, 0, 1 + 2 * i, struct.pack(">I", 8)) for i in range(5000)))
        assert c.verdict(-1) in CALM


@pytest.mark.parametrize("provoke", {
    "zero increment": lambda n: request(stream=n, **POST) + frame(WINDOW, 0, n, bytes(4)),
    "window overflow": lambda n: request(stream=n, **POST) + frame(WINDOW, 0, n, b"\x7f\xff\xff\xff"),
    "DATA on half-closed": lambda n: request(stream=n) + frame(DATA, 0, n, b"a"),
    "malformed head": lambda n: request(("connection", "a"), stream=n),
    "content-length": lambda n: request(("content-length", "1"), stream=n),
}.items(), ids=lambda x: x[0])
def test_h2_02_made_you_reset(plane, provoke):
    with Client(plane) as c:
        c.send(b"".join(provoke[1](1 + 2 * i) for i in range(4000)))
        assert c.verdict(-1).startswith("GOAWAY")


def test_h2_04_hpack_bomb(plane):
    """One entry of 4,000 bytes, then 16,000 references to it: bounded while decoding, the connection's memory stays small."""
    before = rss_kib(plane)
    entry = b"\x40" + integer(1) + b"a" + integer(3900) + b"b" * 3900
    for _ in range(10):
        with Client(plane) as c:
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(PSEUDO) + entry + b"\xbe" * 10000))
            assert c.verdict() in ("answer", "RST(PROTOCOL_ERROR)", *CALM)
    assert rss_kib(plane) - before < 20000


def test_h2_05_crumbs(plane):
    with Client(plane) as c:
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(PSEUDO) + (b"\x0f\x11" + b"\x01a") * 4000))
        assert c.verdict() in ("answer", *CALM)
    before = rss_kib(plane)
    clients = [Client(plane, preface=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))) for _ in range(100)]
    for c in clients:
        c.send(b"".join(request(stream=1 + 2 * i) for i in range(100)))
    for c in clients:
        c.send(frame(PING, 0, 0, b"12345678"))
        while True:
            f = c.frame()
            if f is None or (f[0] == PING and f[1] & ACK):
                break
    assert rss_kib(plane) - before < 100 * 1024 * SANITIZED
    for c in clients:
        c.s.close()


SANITIZED = 3  # the sanitizers' red zones and quarantine


def test_h2_06_never_reads_our_acks(plane):
    """Queued acknowledgements are bounded: the connection ends although the peer reads nothing."""
    with Client(plane) as c:
        c.s.settimeout(2)
        with contextlib.suppress(OSError):
            for _ in range(200):
                c.s.sendall(frame(PING, 0, 0, bytes(8)) * 500)
        assert c.verdict(-1) in (*CALM, "closed")


def test_h2_11_body_differs(plane):
    rows = {
        "short": request(("content-length", "3"), **POST) + frame(DATA, END_STREAM, 1, b"ab"),
        "long": request(("content-length", "3"), **POST) + frame(DATA, END_STREAM, 1, b"abcd"),
        "padding only": request(("content-length", "3"), **POST) + frame(DATA, END_STREAM | PADDED, 1, b"\x03\0\0\0"),
    }
    for name, frames in rows.items():
        with Client(plane) as c:
            c.send(frames)
            assert c.verdict() in (BAD, "answer"), name
            c.send(request(stream=3))
            assert c.verdict(3) == "answer"


def test_h2_13_connect(plane):
    with Client(plane) as c:
        c.send(headers([(":method", "CONNECT"), (":authority", NAME + ":443")], flags=END_HEADERS))
        assert c.verdict() in ("answer", BAD)
        settings = Client(plane)
        kind, _, _, payload = settings.frame()
        assert kind == SETTINGS and 8 not in [struct.unpack_from(">H", payload, i)[0] for i in range(0, len(payload), 6)]
        settings.s.close()


def test_h2_14_prefaces(plane):
    for preface in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", PREFACE[:-1] + b"x", PREFACE + frame(PING, 0, 0, bytes(8)), b"\0" * 24):
        with Client(plane, preface=preface) as c:
            got = c.verdict()
            assert got in ("GOAWAY(PROTOCOL_ERROR)", "closed"), (preface, got)


def test_h2_14_stream_ids_go_down(plane):
    """The one that comes too late is never served; nghttp2 drops it as late trailers of a closed stream."""
    with Client(plane) as c:
        c.send(request(stream=5) + request(stream=3) + request(stream=7))
        seen = set()
        while (7, True) not in seen:
            f = c.frame()
            if f is None or f[0] == GOAWAY:
                break
            seen.add((f[2], bool(f[1] & END_STREAM)))
        assert not any(stream == 3 for stream, _ in seen)


def test_h2_15_table_stays_in_step(plane):
    """A client that indexes everything: 500 requests over one connection."""
    encoder = Encoder()
    with Client(plane) as c:
        for i in range(500):
            fields = PSEUDO + [("x-%d" % (i % 70), "v%d" % i)]
            c.send(frame(HEADERS, 5, 1 + 2 * i, encoder.encode(fields, huffman=i % 2)))
            assert c.verdict(1 + 2 * i) == "answer"


def test_h2_17_22_windows(plane):
    """Window 0, one byte at a time on one stream; the others are answered at once."""
    with Client(plane, preface=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))) as c:
        c.send(request() + request(stream=3))
        for _ in range(20):
            c.send(frame(WINDOW, 0, 1, b"\0\0\0\1"))
        c.send(frame(WINDOW, 0, 3, b"\0\0\x10\0"))
        assert c.verdict(3) == "answer"
        c.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)))
        assert c.verdict(1) == "answer"


def test_h2_limit_of_streams(plane):
    """More than 128 at once without reading: REFUSED_STREAM, or all of them answered."""
    with Client(plane, preface=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))) as c:
        c.send(b"".join(request(stream=1 + 2 * i) for i in range(200)))
        assert c.verdict(399) == "RST(REFUSED_STREAM)"


def test_h2_plain_port(plane):
    """No http2 on this listener: the preface is HTTP/1 of a version that nobody speaks."""
    with connect(plane) as s:
        s.sendall(PREFACE + frame(SETTINGS))
        assert s.recv(100).startswith(b"HTTP/1.1 505 ")
