"""What clients see, against nginx and HAProxy: handshakes, requests, bodies, latency, memory (the issue's table of speed)."""

import json
import re
import statistics
import subprocess
import threading
import time

from harness import BUILD, free_port, wait_until
from measure import HOSTS, LOAD_CORE, ROUNDS, SECONDS, compare, cpu_seconds, row, rss_bytes, wanted
from peers import CardeaServer, Haproxy, Nginx, Upstream
from pki import pair

NAME = "h0.bench.example.com"
RSA_NAME = "rsa.bench.example.com"
ALL_NAMES = ("h%zu.bench.example.com", HOSTS)
OPEN_RATE = 2000
FEW_ROUTES, MANY_ROUTES = 10, 10000
IDLE = 2000
ADDED = 40


class Failed(AssertionError):
    pass


def on_load_core(*argv):
    return ["taskset", "-c", LOAD_CORE, *map(str, argv)]


class Bed:
    """One data plane and both peers with the same certificates before the same upstream."""

    def __init__(self, bench):
        self.bench, self.peers, self.cluster = bench, [], None
        self.upstream = Upstream()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        b = self.bench
        settings = {"workers": 1, "keepalive_requests": 100000000}
        c = self.cluster = b.cluster(1, dp_settings=settings)
        b.load_hosts(c, HOSTS)
        self.data_plane = c.data_planes[0]
        _, cert, key = pair(RSA_NAME, kind="rsa")
        rsa = (c.folder / "rsa.pem", c.folder / "rsa.key")
        rsa[0].write_text(cert)
        rsa[1].write_text(key)
        self.create("certificates", {"cert": cert, "key": key, "snis": [RSA_NAME]})
        self.create("services", {"name": "bench", "url": f"http://{self.upstream.ip}:{self.upstream.port}"})
        self.create("services/bench/routes", {"name": "bench", "paths": ["/"], "protocols": ["http", "https"], "strip_path": False})
        pairs = [(NAME, b.certs / "one.pem", b.certs / "one.key"), (RSA_NAME, *rsa)]
        self.peers = [Nginx(c.folder, pairs, self.upstream), Haproxy(c.folder, pairs, self.upstream)]
        self.servers = [CardeaServer(self.data_plane), *self.peers]
        for s in self.servers:
            wait_until(lambda: self.answers(s), 20, f"{s.name} proxies")

    def create(self, path, body):
        r = self.cluster.cp.post("/" + path, json=body, headers={"Prefer": "wait=30"})
        assert r.status_code == 201, r.text

    def answers(self, server):
        out = subprocess.run(["curl", "-sko", "/dev/null", "-w", "%{http_code}", "--connect-to", f"::{server.ip}:{server.tls_port}", f"https://{NAME}/1"],
                             capture_output=True, text=True).stdout
        assert out == "200", out
        return True

    def stop(self):
        for p in self.peers:
            p.stop()
        self.upstream.stop()
        if self.cluster:
            self.cluster.stop()

    def rounds(self, measure, servers=None):
        """measure(server) in turn, by server's name."""
        figures = {s.name: [] for s in servers or self.servers}
        for _ in range(ROUNDS):
            for s in servers or self.servers:
                figures[s.name].append(measure(s))
        return figures


def per_cpu_second(server, load):
    """load() returns how many it did."""
    pid = server.pid()
    before = cpu_seconds(pid)
    n = load()
    return n / (cpu_seconds(pid) - before)


def tlsload(server, *options, name=NAME, count=None, seconds=SECONDS):
    """(done, p99 in us)"""
    argv = on_load_core(BUILD / "bench/tlsload", *options, server.ip, server.tls_port, seconds, 64, name, *([count] if count else []))
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    if int(out[1]) > 0:
        raise Failed(f"{server.name}: {out[1]} failed handshakes")
    return int(out[0]), int(out[4])


def handshakes(*options, name=NAME):
    return lambda s: per_cpu_second(s, lambda: tlsload(s, *options, name=name)[0])


class HttpLoad:
    """Connections that are there, and then requests over them."""

    def __init__(self, server, path, connections, seconds=SECONDS, rate=None):
        argv = on_load_core(BUILD / "bench/httpload", *(["-r", rate] if rate else []), server.ip, server.tls_port, seconds, connections, NAME, path)
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.popen.stdout.readline()
        if line != "ready\n":
            raise Failed(f"{server.name}: httpload said {line!r}")

    def go(self):
        """(requests, p50 in us, p99 in us)"""
        out, _ = self.popen.communicate("\n")
        assert self.popen.returncode == 0
        fields = out.split()
        return (int(fields[0]), int(fields[3]), int(fields[4])) if fields else None


def requests_of(path, connections):
    def measure(s):
        load = HttpLoad(s, path, connections)
        return per_cpu_second(s, lambda: load.go()[0])

    return measure


def http2(path, connections, streams):
    def load(s):
        argv = on_load_core("h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{SECONDS}", f"--connect-to={s.ip}:{s.tls_port}", f"https://{NAME}{path}")
        out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        done, failed, errored = map(int, re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out).groups())
        if failed or errored or "2xx, 0 3xx, 0 4xx, 0 5xx" not in out:
            raise Failed(f"{s.name}: {out}")
        return done

    return lambda s: per_cpu_second(s, lambda: load(s))


def full(bed):
    compare("full TLS 1.3 handshakes/s, ECDSA P-256, X25519", bed.rounds(handshakes()), ">= 1.05")


def rsa(bed):
    compare("full TLS 1.3 handshakes/s, RSA-2048", bed.rounds(handshakes(name=RSA_NAME)), ">= 1.0")


def resumed13(bed):
    compare("resumed TLS 1.3 handshakes/s, P-256", bed.rounds(handshakes("-r", "-g", "P-256")), ">= 1.15")


def resumed12(bed):
    compare("resumed TLS 1.2 handshakes/s, ticket", bed.rounds(handshakes("-2", "-r")), ">= 1.0")


def close(bed):
    compare("connection, handshake, a request, close: per second", bed.rounds(handshakes("-q", "/1")), ">= 1.1")


def keepalive(bed):
    compare("HTTP/1.1 keep-alive, 1 KB, 64 connections: requests/s", bed.rounds(requests_of("/1", 64)), ">= 1.25 nginx", against=("nginx",))


def h2(bed):
    compare("HTTP/2, 1 KB, 16 x 16 streams: requests/s", bed.rounds(http2("/1", 16, 16)), ">= 1.0 HAProxy", against=("haproxy",))


def bodies(bed):
    compare("HTTP/1.1 64 KB bodies: requests/s", bed.rounds(requests_of("/64", 16)), ">= 1.15 nginx", against=("nginx",))
    compare("HTTP/1.1 1 MB bodies: requests/s", bed.rounds(requests_of("/1024", 16)), ">= 1.0 nginx", against=("nginx",))


def latency(bed):
    figures = bed.rounds(lambda s: HttpLoad(s, "/1", 64, rate=OPEN_RATE).go()[2] / 1000)
    compare(f"p99 at {OPEN_RATE} requests/s, open loop", figures, "<= 0.8", more_is_better=False, unit=" ms")


def idle(bed):
    """Each server once: memory that was given back would flatter later rounds."""
    figures = {}
    for s in bed.servers:
        HttpLoad(s, "/1", 64, 0).go()
        before = rss_bytes(s.pid())
        load = HttpLoad(s, "/1", IDLE, 0)
        figures[s.name] = [(rss_bytes(s.pid()) - before) / IDLE / 1000]
        load.go()
    compare(f"memory per idle TLS connection after a request, {IDLE} connections", figures, "<= 1.0 nginx", against=("nginx",), more_is_better=False, unit=" KB")


def names(bed):
    c = bed.servers[0]
    one, every = [], []
    for _ in range(ROUNDS):
        one.append(per_cpu_second(c, lambda: tlsload(c)[0]))
        every.append(per_cpu_second(c, lambda: tlsload(c, name=ALL_NAMES[0], count=ALL_NAMES[1])[0]))
    ratio = statistics.median(e / o for e, o in zip(every, one))
    row(f"handshakes with a random name out of {HOSTS} / with one name", f"{ratio:.2f}", "0.85 or better")


def add(bed, i):
    name = f"added{i}.bench.example.com"
    _, cert, key = pair(name)
    bed.create("certificates", {"cert": cert, "key": key, "snis": [name]})


def added(bed):
    c = bed.servers[0]
    before = cpu_seconds(c.pid())
    for i in range(ADDED):
        add(bed, i)
    row(f"one certificate added to {HOSTS}: CPU of the data plane", f"{(cpu_seconds(c.pid()) - before) / ADDED * 1000:.2f} ms", "under 5 ms")
    _, quiet = tlsload(c, name=ALL_NAMES[0], count=ALL_NAMES[1])
    stop = threading.Event()

    def keep_adding():
        for i in range(ADDED, 100 * ADDED):
            if stop.is_set():
                return
            add(bed, i)
            time.sleep(0.05)

    thread = threading.Thread(target=keep_adding)
    thread.start()
    try:
        _, busy = tlsload(c, name=ALL_NAMES[0], count=ALL_NAMES[1])  # a failed handshake ends the run
    finally:
        stop.set()
        thread.join()
    row("  handshakes while certificates are added: failed; p99 / p99 without", f"0; {busy / quiet:.2f}", "no failed or slow one")


def some_routes(n):
    """By host and path, by path, by wildcard host; the last one takes every request that no other does."""
    kinds = (lambda i: {"hosts": [f"r{i}.example.com"], "paths": [f"/a{i}/b"]}, lambda i: {"paths": [f"/p{i}/"]}, lambda i: {"hosts": [f"*.w{i}.example.com"]})
    yield from ({"name": f"r{i}", **kinds[i % len(kinds)](i)} for i in range(n - 1))
    yield {"name": "all", "paths": ["/"], "strip_path": False}


class Routed:
    """A cluster of its own, whose data plane has so many routes before the same upstream."""

    def __init__(self, bed, n):
        b = bed.bench
        self.cluster = c = b.cluster(1, dp_settings={"workers": 1, "keepalive_requests": 100000000}, http_port=free_port())
        lines = [
            {"certificates": {"cert": (b.certs / "one.pem").read_text(), "key": (b.certs / "one.key").read_text(), "snis": [NAME]}},
            {"services": {"name": "bench", "host": bed.upstream.ip, "port": bed.upstream.port}},
            *({"routes": {**r, "service": {"name": "bench"}}} for r in some_routes(n)),
        ]
        r = c.cp.post("/import", data="\n".join(map(json.dumps, lines)), headers={"Content-Type": "application/x-ndjson", "Prefer": "wait=60"})
        assert r.status_code == 200 and r.json()["stored"] == len(lines), r.text[:500]
        self.server = CardeaServer(c.data_planes[0])
        self.server.name = str(n)
        wait_until(lambda: bed.answers(self.server), 60, f"{n} routes")

    def stop(self):
        self.cluster.stop()


def routes(bed):
    made = []
    try:
        for n in (FEW_ROUTES, MANY_ROUTES):
            made.append(Routed(bed, n))
        figures = bed.rounds(requests_of("/1", 64), [m.server for m in made])
    finally:
        for m in made:
            m.stop()
    few, many = figures.values()
    ratio = statistics.median(b / a for a, b in zip(few, many))
    row(f"requests/s with {MANY_ROUTES:,} routes / with {FEW_ROUTES}", f"{ratio:.2f}", "0.95 or better")


PARTS = (full, rsa, resumed13, resumed12, close, keepalive, h2, bodies, latency, idle, names, added, routes)


def traffic(bench):
    print("traffic", flush=True)
    bed = Bed(bench)
    try:
        for part in PARTS:
            if wanted("traffic") or wanted(part.__name__):
                part(bed)
    finally:
        bed.stop()
