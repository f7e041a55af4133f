"""Raw clients: bytes in, bytes out, over plain TCP or TLS, and what a reader needs to judge them."""

import contextlib
import re
import socket
import ssl
import struct
import time

from harness import wait_until


def tls_context(alpn=None, **kw):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    for name, value in kw.items():
        setattr(context, name, value)
    return context


def connect(plane, tls=None, alpn=None, timeout=5):
    """A connected socket: plain, or TLS for the name in tls."""
    port = plane.tls_port if tls else plane.http_port
    raw = socket.create_connection((plane.ip, port), timeout=timeout)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return raw
    try:
        return tls_context(alpn).wrap_socket(raw, server_hostname=tls)
    except BaseException:
        raw.close()
        raise


def read_all(s, seconds=5):
    """Everything until the peer ends; a reset counts as the end. Raises TimeoutError when it stays open."""
    s.settimeout(seconds)
    out = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            out += piece
    return out


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    @property
    def closes(self):
        return self.fields.get("connection", "").lower() == "close"

    def __repr__(self):
        return f"{self.status}{'C' if self.closes else ''}"


def read_answer(s, pending=b"", method="GET", seconds=5):
    """One HTTP/1 answer off a socket; returns it and what came behind it."""
    s.settimeout(seconds)
    data = pending
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            raise EOFError(f"closed after {data!r}")
        data += piece
    head, data = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    assert re.fullmatch(r"HTTP/1\.1 \d{3} .*", lines[0]), lines[0]
    fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
    size = 0 if method == "HEAD" or lines[0][9] == "1" else int(fields.get("content-length", 0))
    while len(data) < size:
        piece = s.recv(65536)
        if not piece:
            raise EOFError("closed in the body")
        data += piece
    return Answer(int(lines[0][9:12]), fields, data[:size]), data[size:]


def exchange(plane, request, tls=None, method="GET"):
    """Sends bytes on a new connection; returns the one answer and whether the connection was closed behind it."""
    with connect(plane, tls) as s:
        s.sendall(request)
        answer, rest = read_answer(s, method=method)
        assert rest == b"", rest
        if not answer.closes:
            return answer, False
        assert read_all(s) == b""
        return answer, True


# --- TLS by hand ---


def extension(number, body):
    return struct.pack(">HH", number, len(body)) + body


def server_name(*names, kind=0):
    entries = b"".join(struct.pack(">BH", kind, len(n)) + n for n in names)
    return extension(0, struct.pack(">H", len(entries)) + entries)


def client_hello(*extensions, suites=(0x1301, 0x1302, 0xC02B, 0xC02F), legacy=0x0303, groups=b"\x00\x1d\x00\x17"):
    """A ClientHello that offers TLS 1.2 and, by default, nothing else that matters."""
    base = (
        extension(10, struct.pack(">H", len(groups)) + groups)
        + extension(11, b"\x01\x00")
        + extension(13, b"\x00\x08\x04\x03\x08\x04\x04\x01\x08\x05")
    )
    body = struct.pack(">H", legacy) + bytes(range(32)) + b"\x00"
    body += struct.pack(">H", 2 * len(suites)) + b"".join(struct.pack(">H", s) for s in suites) + b"\x01\x00"
    more = base + b"".join(extensions)
    body += struct.pack(">H", len(more)) + more
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(message, size=16384, kind=22):
    """A handshake message in records of at most so many bytes."""
    return b"".join(
        struct.pack(">BHH", kind, 0x0301, len(message[i : i + size])) + message[i : i + size] for i in range(0, len(message), size)
    )


ALERTS = {10: "unexpected_message", 22: "record_overflow", 40: "handshake_failure", 47: "illegal_parameter", 50: "decode_error",
          70: "protocol_version", 80: "internal_error", 100: "no_renegotiation", 112: "unrecognized_name", 120: "no_application_protocol"}


def tls_verdict(data):
    """'alert(x)' for a fatal alert, 'hello' for a ServerHello, else what came."""
    if data[:1] == b"\x15" and len(data) >= 7:
        return f"alert({ALERTS.get(data[6], data[6])})"
    if data[:1] == b"\x16" and data[5:6] == b"\x02":
        return "hello"
    return data


def hello_verdict(plane, hello, piece=None):
    """What answers a handshake's first bytes; with piece, they are sent so many bytes at a time."""
    with connect_tls_port(plane) as s:
        with contextlib.suppress(ConnectionError):
            for i in range(0, len(hello), piece or len(hello)):
                s.sendall(hello[i : i + (piece or len(hello))])
        data = b""
        with contextlib.suppress(ConnectionError):
            while len(data) < 7:
                got = s.recv(4096)
                if not got:
                    break
                data += got
        return tls_verdict(data)


def connect_tls_port(plane, timeout=5):
    s = socket.create_connection((plane.ip, plane.tls_port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


# --- the process ---


def rss_kib(plane):
    with open(f"/proc/{plane.process.popen.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Rss:"))


def descriptors(plane):
    import os

    return len(os.listdir(f"/proc/{plane.process.popen.pid}/fd"))


@contextlib.contextmanager
def stopped(plane):
    """What comes meanwhile, it sees in one turn."""
    import os
    import pathlib
    import signal

    pid = plane.process.popen.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        # Threads stop one after the other, each when it next leaves the kernel.
        wait_until(lambda: all(f.read_text().rsplit(")", 1)[1].split()[0] == "T" for f in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")), what="every thread stopped")
        yield
    finally:
        os.kill(plane.process.popen.pid, signal.SIGCONT)


def waiting_bytes(port):
    """What a connection to this port of loopback has got and nobody has read yet."""
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return sum(int(r[4].split(":")[1], 16) for r in rows if int(r[2].split(":")[1], 16) == port and r[3] != "0A")


def reset(s):
    """RST instead of FIN."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def at_rest(plane, connections=0, seconds=10):
    """Waits until no client connection is left."""
    wait_until(lambda: plane.metric("cardea_dp_connections") == connections, seconds, "connections back")


def pause(seconds):
    """For clients whose behaviour is to be slow."""
    time.sleep(seconds)
