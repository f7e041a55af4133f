"""A configuration that is read again, and a binary that is started again, under load: no client notices."""

import re
import signal
import socket
import threading

import psutil
import pytest

from harness import BUILD, wait_until
from upstreams import Upstream, add_route

HOST = "life.example.com"


class Load(threading.Thread):
    """Requests one behind the other, on one connection for as long as it is offered, or each on its own."""

    def __init__(self, plane, keep):
        super().__init__(daemon=True)
        self.plane, self.keep = plane, keep
        self.answered, self.failed, self.ending = 0, [], threading.Event()
        self.start()

    def one(self, s):
        s.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n{'' if self.keep else 'Connection: close' + chr(13) + chr(10)}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data or not data.endswith(b"hello"):
            more = s.recv(65536)
            if not more:
                raise EOFError(data)
            data += more
        if not data.startswith(b"HTTP/1.1 200"):
            raise ValueError(data)
        self.answered += 1
        return b"connection: close" not in data.lower()

    def run(self):
        while not self.ending.is_set():
            try:
                with socket.create_connection((self.plane.ip, self.plane.http_port), timeout=10) as s:
                    while self.one(s) and self.keep and not self.ending.is_set():
                        pass
            except Exception as e:  # noqa: BLE001: whatever a client could see is a failure
                self.failed.append(repr(e))

    def finish(self):
        self.ending.set()
        self.join(15)
        assert not self.is_alive()
        return self.failed


@pytest.fixture
def upstream():
    u = Upstream()
    yield u
    u.close()


@pytest.fixture
def plane(cluster, upstream):
    """A data plane with a route to the upstream; processes that took over are ended with it."""
    r = cluster.cp.get("/routes/life")
    if r.status_code == 200:
        cluster.cp.delete("/routes/life")
        cluster.cp.delete("/services/life")
    add_route(cluster, "life", upstream)
    d = cluster.data_planes[0]
    text = d.config.read_text()
    yield d
    d.config.write_text(text)
    for p in successors(d):
        p.terminate()
        p.wait(20)
    if not d.process.alive():
        d.start()
    else:
        d.wait_ready()


def successors(plane):
    """Processes with this data plane's configuration that are not the one that the test started."""
    out = []
    for p in psutil.process_iter(["cmdline", "status"]):
        if str(plane.config) in (p.info["cmdline"] or []) and p.pid != plane.process.popen.pid and p.info["status"] != psutil.STATUS_ZOMBIE:
            out.append(p)
    return out


def loads_of(plane):
    out = [Load(plane, keep) for keep in (True, True, False, False)]
    wait_until(lambda: all(x.answered > 20 for x in out), 20, "load runs")
    return out


def finish(loads):
    failed = [f for x in loads for f in x.finish()]
    assert not failed, failed[:5]


def more_of(loads, n=20):
    at = [x.answered for x in loads]
    wait_until(lambda: all(x.answered > a + n for x, a in zip(loads, at)), 20, "load goes on")


def count(plane, text):
    return plane.process.log().count(text)


def reload(plane, said="configuration read again"):
    before = count(plane, said)
    plane.process.signal(signal.SIGHUP)
    wait_until(lambda: count(plane, said) > before, 20, said)


def another(plane, n):
    """A configuration that new workers are needed for."""
    text = re.sub(r"keepalive_requests = .*\n", "", plane.config.read_text())
    plane.config.write_text(text + f"keepalive_requests = {100000 + n}\n")


def test_reload_under_load(plane):
    loads = loads_of(plane)
    for i in range(10):
        another(plane, i)
        reload(plane)
        more_of(loads)
    finish(loads)


def test_reload_of_nothing_keeps_connections(plane):
    reload(plane)  # whatever the test before it left
    with socket.create_connection((plane.ip, plane.http_port), timeout=10) as s:
        for _ in range(3):
            reload(plane)
        s.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert s.recv(65536).startswith(b"HTTP/1.1 200")


def test_reload_takes_another_configuration(plane):
    text = plane.config.read_text()
    assert plane.http("/" + "a" * 600, HOST).status_code == 200
    plane.config.write_text(text + "client_request_line_size = 300\n")
    reload(plane)
    wait_until(lambda: plane.http("/" + "a" * 600, HOST).status_code == 414, 10, "the new limit")
    plane.config.write_text(text.replace("workers = 2", "workers = 1"))
    reload(plane)
    wait_until(lambda: plane.http("/" + "a" * 600, HOST).status_code == 200, 10, "the old limit")


@pytest.mark.parametrize("line, said", [("nonsense = 1", "nonsense"), ("workers = many", "workers"), ("ssl_cert = /nowhere\nssl_cert_key = /nowhere", "/nowhere")])
def test_f34_broken_configuration(plane, line, said):
    loads = loads_of(plane)
    plane.config.write_text(plane.config.read_text().replace("workers = 2\n", "") + line + "\n")
    reload(plane, "configuration not read again")
    assert said in plane.process.log()
    more_of(loads)
    finish(loads)


@pytest.mark.parametrize(
    "line",
    ["node_labels = a=b", "dns_order = A", "dns_resolver = 127.0.0.1", "dns_timeout = 3s", "dns_stale_ttl = 61s", "upstream_allow_private = 10.0.0.0/8"],
)
def test_reload_says_what_it_cannot_change(plane, line):
    key = line.split()[0]
    text = plane.config.read_text()
    plane.config.write_text(text + line + "\n")
    before = count(plane, f"key={key}")
    reload(plane)
    assert count(plane, f"key={key}") == before + 1
    plane.config.write_text(text)
    reload(plane)
    assert count(plane, f"key={key}") == before + 1


def test_f34_upgrade_under_load(cluster, plane):
    loads = loads_of(plane)
    old = plane.process.popen
    for _ in range(5):
        before = {p.pid for p in successors(plane)}
        (psutil.Process(next(iter(before))) if before else psutil.Process(old.pid)).send_signal(signal.SIGUSR2)
        wait_until(lambda: {p.pid for p in successors(plane)} - before, 20, "a new process")
        wait_until(lambda: len(successors(plane)) == 1 and old.poll() is not None, 30, "the old one ended")
        wait_until(lambda: plane.status("/status/ready").status_code == 200, 10, "ready")
        more_of(loads)
    assert old.returncode == 0
    finish(loads)
    # The new one is a whole data plane: it hears of changes.
    wait_until(lambda: plane.status().json()["control_plane"]["connected"], 20, "connected")
    r = cluster.cp.patch("/services/life", json={"retries": 3}, headers={"Prefer": "wait=10"})
    assert r.status_code == 200, r.text


def test_f34_upgrade_that_fails(cluster, plane):
    """A program that does not start: the old process goes on, with its stream and its cache."""
    loads = loads_of(plane)
    program = BUILD / "cardea-dp"
    link = cluster.folder / "cardea-dp-link"
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    finish(loads)
    plane.process.stop()
    plane.process.argv[0] = str(link)
    plane.start()
    loads = loads_of(plane)
    broken = cluster.folder / "broken"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    link.unlink()
    link.symlink_to(broken)
    plane.process.signal(signal.SIGUSR2)
    wait_until(lambda: "upgrade failed" in plane.process.log() and "exit code 7" in plane.process.log(), 20, "it says so")
    more_of(loads)
    wait_until(lambda: plane.status().json()["control_plane"]["connected"], 20, "connected again")
    r = cluster.cp.patch("/services/life", json={"retries": 2}, headers={"Prefer": "wait=10"})
    assert r.status_code == 200, r.text
    finish(loads)
    # What was written after it is in the cache.
    revision = plane.status().json()["configuration"]["revision"]
    plane.process.stop()
    plane.process.argv[0] = str(program)
    plane.start()
    assert f"revision={revision}" in plane.process.log().rsplit("cache loaded", 1)[1]
