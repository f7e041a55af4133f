"""Section 6 and the general rule of section 0: slow, idle and broken clients in numbers; afterwards memory and descriptors are back."""

import contextlib
import os
import random
import resource
import socket
import time

import pytest

from harness import wait_until
from pki import pair
from wire import at_rest, client_hello, connect, connect_tls_port, descriptors, read_answer, records, rss_kib, server_name, tls_context

NAME = "load.example.com"
REQUEST = b"GET / HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n\r\n"
SANITIZED = any(x in os.environ.get("BUILD_FOLDER", "") for x in ("address", "thread"))
IDLE = 2000


@pytest.fixture(scope="module")
def plane(pair_of_planes):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    _, cert, key = pair(NAME)
    r = pair_of_planes.cp.post("/certificates", json={"cert": cert, "key": key, "snis": [NAME]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    p = pair_of_planes.data_planes[0]
    answered(p)
    yield p
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def answered(plane, tls=NAME):
    with connect(plane, tls) as s, contextlib.suppress(EOFError):
        s.sendall(REQUEST)
        return read_answer(s)[0].status == 404
    return False


# --- slow clients: all at once, each with its deadline ---

SLOW = {  # name: (TLS port, first bytes, a byte now and then, seconds until the end, answer)
    "sl_01 nothing on the TLS port": (True, b"", b"", 10, b""),
    "sl_01 ClientHello a byte at a time": (True, b"", records(client_hello(server_name(NAME.encode()))), 10, b""),
    "sl_01 handshake stalled": (True, records(client_hello(server_name(NAME.encode()))), b"", 10, None),
    "sl_02 acme-tls/1 a byte at a time": (True, records(client_hello(b"\x00\x10\x00\x0d\x00\x0b\x0aacme-tls/1"))[:60], b"", 10, b""),
    "sl_03 head a byte at a time": (False, b"", REQUEST[:-2] + b"A: " + b"b" * 500, 15, b"HTTP/1.1 408 "),
    "sl_03 unfinished head": (False, REQUEST[:-2], b"", 15, b"HTTP/1.1 408 "),
    "sl_03 endless small fields": (False, REQUEST[:-2], b"A: b\r\n" * 80, 15, b"HTTP/1.1 408 "),
}


def test_slow_clients_end_at_their_total_limit(plane):
    before = descriptors(plane)
    clients = {}
    for name, (tls, first, drip, limit, answer) in SLOW.items():
        s = connect_tls_port(plane) if tls else connect(plane)
        s.sendall(first)
        s.setblocking(False)
        clients[name] = [s, drip, time.monotonic(), b"", limit, answer]
    ended = {}
    while clients:
        assert answered(plane, None)
        time.sleep(0.3)
        for name, c in list(clients.items()):
            s, drip, begin, got, limit, answer = c
            age = time.monotonic() - begin
            assert age < limit + 8, f"{name}: still open after {age:.1f} s"
            with contextlib.suppress(BlockingIOError, ConnectionError):
                if drip:
                    s.send(drip[:1])
                    c[1] = drip[1:]
            try:
                data = s.recv(65536)
            except BlockingIOError:
                continue
            except ConnectionError:
                data = b""
            c[3] = got + data
            if not data:
                ended[name] = age
                s.close()
                del clients[name]
                if answer is not None:
                    assert c[3].startswith(answer) and (answer or not c[3]), (name, c[3])
    for name, age in ended.items():
        assert age > SLOW[name][3] - 2, f"{name}: ended after {age:.1f} s"
    at_rest(plane)
    wait_until(lambda: descriptors(plane) <= before, 10, "descriptors back")


# --- many idle connections ---


def test_2000_idle_tls_connections(plane):
    """Each still answers, a working client is served beside them, and each costs at most 50 KiB."""
    answered(plane)
    before, files = rss_kib(plane), descriptors(plane)
    context = tls_context()
    session = None
    idle = []
    for _ in range(IDLE):
        raw = connect_tls_port(plane)
        s = context.wrap_socket(raw, server_hostname=NAME, session=session)
        s.sendall(REQUEST)
        assert read_answer(s)[0].status == 404
        session = session or s.session
        idle.append(s)
    at_rest(plane, IDLE, 5)
    each = (rss_kib(plane) - before) / IDLE
    assert each <= (200 if SANITIZED else 50), f"{each:.1f} KiB each"
    assert answered(plane) and answered(plane, None)
    for s in idle:
        s.sendall(REQUEST)
    for s in idle:
        assert read_answer(s)[0].status == 404
    for s in idle:
        s.close()
    at_rest(plane)
    wait_until(lambda: descriptors(plane) <= files, 20, "descriptors back")


# --- garbage ---


def garbage(random_):
    hello = records(client_hello(server_name(NAME.encode())))
    kinds = [
        lambda: b"",
        lambda: random_.randbytes(random_.randrange(1, 600)),
        lambda: hello[: random_.randrange(1, len(hello))],
        lambda: hello,
        lambda: bytes(b ^ (random_.random() < 0.02) * 0x55 for b in hello),
        lambda: REQUEST[: random_.randrange(1, len(REQUEST))],
        lambda: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(500),
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + random_.randbytes(50),
        lambda: REQUEST * 20,
    ]
    return random_.choice(kinds)()


def test_5000_aborted_connections_leave_nothing(plane):
    """Descriptors at once; memory within seconds, although the allocator would keep what the largest crowd needed."""
    random_ = random.Random(5000)

    def round_of(n):
        for i in range(n):
            with contextlib.suppress(OSError):
                s = connect_tls_port(plane) if i % 2 else connect(plane)
                with s:
                    s.sendall(garbage(random_))
                    if random_.random() < 0.5:  # a reset instead of a FIN
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        at_rest(plane, 0, 20)

    for _ in range(50):  # inside of TLS, too
        with contextlib.suppress(OSError):
            with connect(plane, NAME, alpn=["h2"]) as s:
                s.sendall(random_.randbytes(300))
    round_of(1500)
    wait_until(lambda: descriptors(plane) < 60, 20, "descriptors back")
    before, files = rss_kib(plane), descriptors(plane)
    round_of(5000)
    wait_until(lambda: descriptors(plane) <= files, 20, "descriptors back")
    # The sanitizers keep freed memory for a while: 256 MiB.
    wait_until(lambda: rss_kib(plane) - before < (256 * 1024 if SANITIZED else 8 * 1024), 20, "memory back")
    assert answered(plane) and answered(plane, None)


def test_sl_06_connections_beyond_the_limit(pair_of_planes):
    """Refused after accept, counted; those that stand are served; below the limit it is as before."""
    from harness import DataPlane

    p = DataPlane(pair_of_planes, "small", "127.0.0.98", max_connections=20, workers=2)
    p.start()
    try:
        held, refused = [], 0
        for _ in range(100):
            s = connect(p)
            s.sendall(REQUEST)
            try:
                assert read_answer(s)[0].status == 404
                held.append(s)
            except (OSError, EOFError):
                refused += 1
                s.close()
        assert refused >= 70 and 10 <= len(held) <= 30
        assert p.metric("cardea_dp_connections_refused_total") == refused
        assert p.status("/status/ready").status_code == 200
        for s in held:
            s.sendall(REQUEST)
            assert read_answer(s)[0].status == 404
            s.close()
        at_rest(p)
        wait_until(lambda: answered(p, None), 5, "serves again")
    finally:
        assert p.process.stop() == 0


def test_sl_06_descriptors_run_out(pair_of_planes):
    """EMFILE: accepting pauses instead of spinning, clients that are there are served, and it recovers."""
    from harness import DataPlane

    p = DataPlane(pair_of_planes, "nofile", "127.0.0.97", workers=1, max_connections=1000)
    p.process.argv = ["prlimit", "--nofile=100:100", *p.process.argv]
    p.start()
    try:
        first = connect(p)
        crowd = [connect(p) for _ in range(150)]
        time.sleep(0.2)
        ticks = lambda: sum(int(x) for x in open(f"/proc/{p.process.popen.pid}/stat").read().rsplit(") ", 1)[1].split()[11:13])
        begin = ticks()
        for _ in range(5):
            first.sendall(REQUEST)
            assert read_answer(first)[0].status == 404
            time.sleep(0.2)
        assert ticks() - begin < 50, "spins"
        for s in crowd:
            s.close()
        wait_until(lambda: answered(p, None), 10, "serves again")
        first.close()
    finally:
        assert p.process.stop() == 0
