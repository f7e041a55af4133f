"""Certificates are rotated and routes changed while wrk and h2load run: no request fails, and memory does not grow.

SOAK_SECONDS (20) is how long, SOAK_ROTATIONS and SOAK_ROUTES how many changes of each are spread over that time; by hand, as long as it
takes: SOAK_SECONDS=300 SOAK_ROTATIONS=10000 SOAK_ROUTES=1000.
"""

import os
import re
import signal
import subprocess
import threading
import time

import psutil
import pytest

from harness import DATA_PLANE_BUILD, free_port, wait_until
from pki import der, pair
from test_reload import another, reload

SECONDS = int(os.environ.get("SOAK_SECONDS", "20"))
ROTATIONS = int(os.environ.get("SOAK_ROTATIONS", "600"))
ROUTES = int(os.environ.get("SOAK_ROUTES", "60"))
PAIRS = 40
HOST = "soak.example.com"
GROWTH = 0.05  # of memory, from the end of the first fifth on
SANITIZED = "address" in DATA_PLANE_BUILD.name or "thread" in DATA_PLANE_BUILD.name


class Nginx:
    """Debian's nginx as an upstream: a file of 1 KB."""

    def __init__(self, folder):
        self.folder, self.port = folder / "nginx", free_port()
        (self.folder / "html").mkdir(parents=True, exist_ok=True)
        (self.folder / "html/index.html").write_text("x" * 1024)
        (self.folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;\n"
            f"events {{ worker_connections 1024; }}\n"
            f"http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;"
            f" fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;\n"
            f"server {{ listen 127.0.0.1:{self.port}; root {self.folder}/html; }} }}\n"
        )
        self.popen = subprocess.Popen(["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"], stderr=subprocess.DEVNULL)

    def close(self):
        self.popen.terminate()
        self.popen.wait(10)


@pytest.fixture(scope="module")
def soak(bare_cluster):
    c = bare_cluster
    nginx = Nginx(c.folder)
    cp = c.add_control_plane()
    cp.start()
    # wrk asks for the address that it connects to: the default certificate.
    _, cert, key = pair("default.example.com")
    (c.folder / "default.crt").write_text(cert)
    (c.folder / "default.key").write_text(key)
    d = c.add_data_plane(keepalive_requests=100000000, log_level="notice", ssl_cert=c.folder / "default.crt", ssl_cert_key=c.folder / "default.key")
    d.start()
    pairs = [pair(HOST) for _ in range(PAIRS)]
    r = cp.post("/certificates", json={"cert": pairs[0][1], "key": pairs[0][2], "snis": [HOST]})
    assert r.status_code == 201, r.text
    c.certificate, c.pairs = r.json()["id"], pairs
    r = cp.post("/services", json={"name": "soak", "host": "127.0.0.1", "port": nginx.port})
    assert r.status_code == 201, r.text
    r = cp.post("/services/soak/routes", json={"name": "soak", "hosts": [HOST]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    yield c
    nginx.close()


class Changes(threading.Thread):
    """Spreads what change(i) does over the time."""

    def __init__(self, n, seconds, change):
        super().__init__(daemon=True)
        self.n, self.seconds, self.change, self.done, self.failed = n, seconds, change, 0, []
        self.start()

    def run(self):
        begin = time.monotonic()
        for i in range(self.n):
            while time.monotonic() < begin + self.seconds * i / self.n:
                time.sleep(min(0.05, max(0.0, begin + self.seconds * i / self.n - time.monotonic())))
            r = self.change(i)
            if r.status_code not in (200, 201, 204):
                self.failed.append((i, r.status_code, r.text))
            self.done += 1

    def finish(self):
        self.join(self.seconds + 120)
        assert not self.is_alive() and not self.failed, self.failed[:3]


def rotate(c):
    def change(i):
        _, cert, key = c.pairs[(i + 1) % PAIRS]
        return c.cp.patch(f"/certificates/{c.certificate}", json={"cert": cert, "key": key})

    return change


def reroute(c):
    def change(i):
        name = f"soak-{i % 10}"
        if i % 20 < 10:
            return c.cp.put(f"/routes/{name}", json={"hosts": [f"{name}.example.com"], "paths": [f"/{i}"], "service": {"name": "soak"}})
        return c.cp.delete(f"/routes/{name}")

    return change


def wrk(plane, seconds, *more):
    url = f"https://{plane.ip}:{plane.tls_port}/"
    return subprocess.Popen(["wrk", "-t1", "-c8", f"-d{seconds}s", "--timeout", "15s", "-H", f"Host: {HOST}", *more, url], stdout=subprocess.PIPE, text=True)


def wrk_clean(p, seconds):
    out = p.communicate(timeout=seconds + 60)[0]
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    n = int(re.search(r"(\d+) requests in", out).group(1))
    assert n > 0, out
    return n


def h2load(plane, seconds):
    argv = ["h2load", "-t1", "-c4", "-m4", f"--duration={seconds}", f"https://{HOST}:{plane.tls_port}/", f"--connect-to={plane.ip}:{plane.tls_port}"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def h2load_clean(p, seconds):
    out = p.communicate(timeout=seconds + 60)[0]
    m = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    assert m and int(m[1]) > 0 and m.groups()[1:] == ("0", "0", "0"), out
    assert re.search(r"(\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", out), out
    return int(m[1])


class Memory(threading.Thread):
    """Samples of a process's resident memory."""

    def __init__(self, pid, seconds):
        super().__init__(daemon=True)
        self.process, self.end, self.samples = psutil.Process(pid), time.monotonic() + seconds, []
        self.start()

    def run(self):
        while time.monotonic() < self.end:
            self.samples.append(self.process.memory_info().rss)
            time.sleep(0.2)

    def growth(self):
        """Of the last fifth over the second."""
        n = len(self.samples) // 5
        second, last = sorted(self.samples[n : 2 * n]), sorted(self.samples[-n:])
        return last[n // 2] / second[n // 2] - 1


def test_changes_under_load(soak):
    """10,000 rotations and 1,000 route changes in five minutes, in small."""
    d = soak.data_planes[0]
    memory = Memory(d.process.popen.pid, SECONDS)
    loads = wrk(d, SECONDS), h2load(d, SECONDS)
    changes = Changes(ROTATIONS, SECONDS * 0.9, rotate(soak)), Changes(ROUTES, SECONDS * 0.9, reroute(soak))
    for x in changes:
        x.finish()
    requests = wrk_clean(loads[0], SECONDS), h2load_clean(loads[1], SECONDS)
    memory.join()
    print(f"{SECONDS} s: {requests} requests, {changes[0].done} rotations, {changes[1].done} route changes, memory {memory.growth():+.2%}")
    if not SANITIZED:  # a sanitizer keeps what is freed
        assert memory.growth() < GROWTH, memory.samples
    want = der(soak.pairs[ROTATIONS % PAIRS][0])
    wait_until(lambda: d.peer_certificate(HOST) == want, 10, "the last certificate")


def test_f34_reload_and_upgrade_under_load(soak):
    d = soak.data_planes[0]
    seconds = max(8, SECONDS // 2)
    load = wrk(d, seconds)
    end = time.monotonic() + seconds - 3
    another(d, 0)
    reload(d)
    old = d.process.popen
    old.send_signal(signal.SIGUSR2)
    wait_until(lambda: old.poll() is not None, 60, "the old process ended")
    log = d.process.log()
    assert "the new process serves" in log, log[-2000:]
    new = [p for p in psutil.process_iter(["cmdline"]) if str(d.config) in (p.info["cmdline"] or [])]
    reloads = 0
    while time.monotonic() < end:
        d.process.signal = new[0].send_signal
        reloads += 1
        another(d, reloads)
        reload(d)
        time.sleep(0.5)
    wrk_clean(load, seconds)
    for p in new:
        p.terminate()
        p.wait(30)
