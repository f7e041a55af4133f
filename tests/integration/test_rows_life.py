"""Start, reload, drain and stop of a data plane: F33, F34, F35, FL-01, FL-02, FL-13, F20, and how its connections end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import wait_until
from pki import der, pair
from wire import at_rest, connect, read_all, read_answer

NAME = "life.example.com"
REQUEST = b"GET / HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n\r\n"


@pytest.fixture(scope="module")
def planes(pair_of_planes):
    cert, cert_pem, key = pair(NAME)
    r = pair_of_planes.cp.post("/certificates", json={"cert": cert_pem, "key": key, "snis": [NAME]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    pair_of_planes.want = der(cert)
    return pair_of_planes


@pytest.fixture()
def plane(planes):
    """The first data plane: serving and connected, whatever the test before it did."""
    p = planes.data_planes[0]
    config = p.config.read_text()
    if not p.process.alive():
        p.start()
    wait_until(lambda: p.metric("cardea_dp_connected") == 1, 20, "connected")
    assert p.peer_certificate(NAME) == planes.want
    yield p
    p.config.write_text(config)
    if p.process.alive() and p.status("/status/ready").status_code != 200:
        p.process.kill()


class Load(threading.Thread):
    """Requests until the data plane refuses connections; counts answers and what went wrong on an accepted connection."""

    def __init__(self, plane, tls, keep):
        super().__init__(daemon=True)
        self.plane, self.tls, self.keep = plane, tls, keep
        self.answered, self.failed = 0, []

    def run(self):
        while True:
            try:
                s = connect(self.plane, self.tls)
            except ConnectionRefusedError:
                return
            except (OSError, EOFError) as e:
                self.failed.append(("connect", repr(e)))
                continue
            with s:
                before = self.answered
                try:
                    self.serve(s)
                except (OSError, EOFError) as e:
                    # Without TLS the kernel alone makes a connection: a reset before any answer says that nobody took it.
                    untaken = not self.tls and self.answered == before and isinstance(e, ConnectionResetError)
                    self.failed.append(("connect" if untaken else self.answered, repr(e)))

    def serve(self, s):
        while True:
            s.sendall(REQUEST)
            answer, _ = read_answer(s)
            assert answer.status == 404
            self.answered += 1
            if answer.closes or not self.keep:
                return


def test_f35_term_under_load(plane):
    """Every request on a connection that was taken is answered; readiness is false at once; the end is clean."""
    loads = [Load(plane, tls, keep) for tls in (None, NAME) for keep in (True, True, False)]
    for x in loads:
        x.start()
    wait_until(lambda: all(x.answered > 20 for x in loads), 20, "load runs")
    idle = connect(plane, NAME)
    plane.process.signal(signal.SIGTERM)
    wait_until(lambda: plane.status("/status/ready").status_code == 503, 2, "not ready")
    for x in loads:
        x.join(20)
        assert not x.is_alive()
    assert read_all(idle) == b""  # close_notify, not a bare end
    idle.close()
    assert plane.process.popen.wait(20) == 0
    # A connection that is still in the kernel's queue when the listener closes is reset: it was never accepted. Each worker has a listener;
    # when the last is closed, connections are refused.
    assert all(sum(f[0] == "connect" for f in x.failed) <= os.cpu_count() for x in loads), [x.failed for x in loads]
    lost = [f for x in loads for f in x.failed if f[0] != "connect"]
    assert not lost, lost


def test_f35_http2_drain_loses_nothing(plane):
    import test_rows_http2 as rows

    clients = [rows.Client(plane, tls=NAME) for _ in range(5)]
    for c in clients:
        c.send(rows.request(authority=NAME))
        assert c.verdict() == "answer"
    plane.process.signal(signal.SIGTERM)
    for c in clients:
        kind = -1
        while kind != rows.GOAWAY:
            kind, _, _, payload = c.frame()
        assert payload[:4] == b"\x7f\xff\xff\xff" and payload[4:8] == bytes(4)
        c.send(rows.request(authority=NAME, stream=3))  # between the two GOAWAYs
    for c in clients:
        assert c.verdict(3) == "answer"
        f = c.frame()
        while f is not None and f[0] != rows.GOAWAY:
            f = c.frame()
        assert f is not None and f[3][:4] == b"\0\0\0\3"
        while c.frame() is not None:
            pass
        c.s.close()
    assert plane.process.popen.wait(20) == 0


def test_f35_term_twice(plane):
    with connect(plane) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")  # a head that never ends
        at_rest(plane, 1)
        plane.process.signal(signal.SIGTERM)
        wait_until(lambda: plane.status("/status/ready").status_code == 503, 5, "draining")
        begin = time.monotonic()
        plane.process.signal(signal.SIGTERM)
        assert plane.process.popen.wait(10) == 0 and time.monotonic() - begin < 5


def test_f35_kill_in_drain(plane, planes):
    with connect(plane) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        at_rest(plane, 1)
        plane.process.signal(signal.SIGTERM)
        wait_until(lambda: plane.status("/status/ready").status_code == 503, 5, "draining")
        plane.process.kill()
    plane.start()
    assert plane.peer_certificate(NAME) == planes.want


def test_stopping_tells_the_control_plane(plane, planes):
    before = len(planes.cp.process.log())
    plane.process.stop()
    gone = wait_until(lambda: [x for x in planes.cp.process.log()[before:].splitlines() if "data plane disconnected" in x], 10, "seen")
    assert "close_notify" not in gone[0] and "CANCEL" in gone[0], gone[0]


def test_stopping_control_plane_tells_its_data_planes(plane, planes):
    before = len(plane.process.log())
    begin = time.monotonic()
    planes.cp.process.stop()
    assert time.monotonic() - begin < 5
    try:
        text = wait_until(lambda: "the control plane is stopping" in plane.process.log()[before:] and plane.process.log()[before:], 10, "told")
        assert "close_notify" not in text
        assert plane.peer_certificate(NAME) == planes.want
    finally:
        planes.cp.start()
    wait_until(lambda: plane.metric("cardea_dp_connected") == 1, 40, "connected again")


def test_f34_reload(plane, planes):
    """HUP: a good file changes the log level, a broken one is named and changes nothing; the stream and clients stay."""
    good = plane.config.read_text()
    with connect(plane, NAME) as s:
        try:
            for level in ("info", "debug") * 3:
                plane.config.write_text(good.replace("log_level = debug", f"log_level = {level}"))
                before = len(plane.process.log())
                plane.process.signal(signal.SIGHUP)
                wait_until(lambda: f"log_level={level}" in plane.process.log()[before:], 5, "reloaded")
            for broken in ("log_level = loud\n", "nonsense\n", "workers = x\n"):
                plane.config.write_text(good + broken)
                before = len(plane.process.log())
                plane.process.signal(signal.SIGHUP)
                wait_until(lambda: "configuration not read again" in plane.process.log()[before:], 5, "refused")
        finally:
            plane.config.write_text(good)
        s.sendall(REQUEST)
        assert read_answer(s)[0].status == 404
    assert plane.metric("cardea_dp_connected") == 1


def spare(planes, name, **settings):
    """A data plane beside the cluster's, on ports and in a folder of its own, not started."""
    from harness import DataPlane

    p = DataPlane(planes, name, "127.0.0.99", **settings)
    return p


def ends_with_2(p, *reasons):
    p.start(wait=False)
    assert p.process.popen.wait(20) == 2, p.process.log()[-2000:]
    for reason in reasons:
        assert reason in p.process.log(), p.process.log()[-2000:]


def test_f33_port_taken(planes, plane):
    taken = socket.create_server(("127.0.0.99", 0))
    port = taken.getsockname()[1]
    with taken:
        ends_with_2(spare(planes, "taken-status", status_listen=f"127.0.0.99:{port}"), f"127.0.0.99:{port}", "Address already in use")
        p = spare(planes, "taken-proxy", proxy_listen=f"127.0.0.99:{port}")
        ends_with_2(p, f"127.0.0.99:{port}", "Address already in use")
    assert plane.peer_certificate(NAME) == planes.want


def test_f33_other_starts_that_fail(planes):
    ends_with_2(spare(planes, "no-address", proxy_listen="203.0.113.7:8000"), "203.0.113.7:8000")
    ends_with_2(spare(planes, "no-ca", cluster_ca_cert="/nonexistent"), "/nonexistent")
    ends_with_2(spare(planes, "no-folder", prefix="/proc/nothing"), "/proc/nothing")
    ends_with_2(spare(planes, "no-default", ssl_cert="/nonexistent.crt", ssl_cert_key="/nonexistent.key"), "/nonexistent.crt")


def test_fl_02_first_start_without_a_control_plane(planes):
    p = spare(planes, "alone", cluster_control_plane="127.0.0.99:1")
    p.start(wait=False)
    try:
        wait_until(lambda: p.status("/status").status_code == 200, 20, "status listens")
        r = p.status("/status/ready")
        assert r.status_code == 503 and "no configuration yet" in r.text
        wait_until(lambda: "refused" in p.status("/status/ready").text, 10, "says why")
        for port in (p.http_port, p.tls_port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((p.ip, port), timeout=5)
    finally:
        assert p.process.stop() == 0


# --- the disk cache ---


def files_of(plane):
    return sorted(f for f in plane.prefix.iterdir() if f.is_file() and f.name not in ("node_id", "cache.key"))


def restarted_alone(planes, plane, change):
    """Kills it, changes its files, starts it with no control plane to reach; then with one again."""
    plane.process.kill()
    config = plane.config.read_text()
    plane.config.write_text(re.sub(r"cluster_control_plane = .*", "cluster_control_plane = 127.0.0.99:1", config))
    change()
    plane.start(wait=False)
    wait_until(lambda: plane.status("/status").status_code == 200, 20, "status")
    ready = plane.status("/status/ready").status_code == 200
    served = plane.peer_certificate(NAME) if ready else None
    assert plane.process.stop() == 0, plane.process.log()[-3000:]
    plane.config.write_text(config)
    plane.start()
    wait_until(lambda: plane.metric("cardea_dp_connected") == 1, 20, "connected")
    wait_until(lambda: plane.peer_certificate(NAME) == planes.want, 20, "served")
    return ready, served


def edit(path, fn):
    data = bytearray(path.read_bytes())
    path.write_bytes(fn(data))


def flip(at):
    def change(data):
        data[int(len(data) * at) if isinstance(at, float) else at] ^= 0x41
        return data

    return change


@pytest.mark.parametrize("name, fn", {
    "first byte": flip(0), "in the header": flip(20), "a quarter": flip(0.25), "middle": flip(0.5), "last byte": flip(-1),
    "half": lambda d: d[: len(d) // 2], "cut by one": lambda d: d[:-1], "empty": lambda d: b"",
    "zeros behind": lambda d: d + bytes(4096), "twice": lambda d: d + d, "zeros": lambda d: bytes(len(d)),
}.items(), ids=lambda x: x if isinstance(x, str) else "")
def test_fl_13_changed_cache(planes, plane, name, fn):
    """Whatever is in the file: the right certificate or none, never a crash, and whole again with the control plane."""
    caches = files_of(plane)
    assert caches
    ready, served = restarted_alone(planes, plane, lambda: [edit(f, fn) for f in caches])
    assert served in (None, planes.want)
    assert ready == (served is not None)


def test_fl_13_of_another_node(planes, plane):
    other = planes.data_planes[1]

    def swap():
        for f in files_of(other):
            shutil.copy(f, plane.prefix / f.name)

    assert restarted_alone(planes, plane, swap) == (False, None)


def test_fl_13_other_key(planes, plane):
    def change():
        edit(plane.prefix / "cache.key", lambda d: bytes(32) if len(d) == 32 else d[::-1])

    ready, served = restarted_alone(planes, plane, change)
    assert (ready, served) == (False, None)


def test_fl_01_untouched(planes, plane):
    ready, served = restarted_alone(planes, plane, lambda: None)
    assert ready and served == planes.want


def test_f20_no_space_for_the_cache(planes):
    """Serving goes on, the failure is counted, and writing goes on when there is space again."""
    p = spare(planes, "full")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", p.prefix], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount: " + mounted.stderr.strip())
    try:
        filler = p.prefix / "filler"
        p.start()
        (p.prefix / "filler").write_bytes(b"")
        with open(filler, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        _, cert, key = pair("space.example.com")
        big = pair(*["n%d.space.example.com" % i for i in range(300)])
        for _, pem, k in ((None, cert, key), big):
            r = planes.cp.post("/certificates", json={"cert": pem, "key": k, "snis": []}, headers={"Prefer": "wait=10"})
            assert r.status_code == 201, r.text
        wait_until(lambda: p.metric("cardea_dp_cache_failed") > 0, 10, "counted")
        assert p.peer_certificate(NAME) == planes.want and p.status("/status/ready").status_code == 200
        filler.unlink()
        r = planes.cp.post("/certificates", json={"cert": cert, "key": key}, headers={"Prefer": "wait=10"})
        assert r.status_code == 201
        wait_until(lambda: p.metric("cardea_dp_cache_behind") == 0, 20, "written again")
    finally:
        p.process.stop()
        subprocess.run(["umount", "-l", p.prefix], check=True)
