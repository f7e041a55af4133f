"""Issuance: orders per minute with real http-01 over three data planes, requests to the CA per order, time from a request to served, and a
million managed names at rest."""

import os
import statistics
import subprocess
import time

import requests
from acme_parts import StandIn, psql
from harness import Pebble, wait_until
from measure import cpu_seconds, percentile, row, rss_bytes

ORDERS = int(os.environ.get("BENCH_ORDERS", "3000"))
MANAGED = [int(n) for n in os.environ.get("BENCH_MANAGED", "10000,1000000").split(",")]
SINGLES = int(os.environ.get("BENCH_SINGLES", "200"))
PROFILE = os.environ.get("BENCH_PERF")  # a file for `perf record` of the control plane at work


def cluster_at(b, ca, **settings):
    c = b.cluster(3, {"acme_directory": ca.directory, "acme_ca_file": ca.ca_file, "acme_allow_private": "on", "acme_limits": "none", **settings}, {"workers": 1})
    if isinstance(ca, StandIn):
        ca.addresses(http=[f"{d.ip}:{c.http_port}" for d in c.data_planes])
    else:
        requests.post(f"{ca.challtest}/set-default-ipv4", json={"ip": c.data_planes[0].ip}, timeout=5)
    assert c.cp.issue("warm.bench.example.com").status_code == 201
    return c


def run_orders(c, ca, label, good, bad=0):
    """Rows for all names at once, as an import makes them; orders per minute that came to their end, as a certificate or as a failed validation."""
    names = f"SELECT '{label}' || i || '.bench.example.com' AS host FROM generate_series(1, {good}) i"
    if bad:
        names += f" UNION ALL SELECT 'fail-{label}' || i || '.bench.example.com' FROM generate_series(1, {bad}) i ORDER BY 1"
    processes = {"control plane": c.cp.process.popen.pid, "data planes": [d.process.popen.pid for d in c.data_planes]}
    if isinstance(ca, StandIn):
        ca.reset()
        processes["CA"] = ca.process.popen.pid

    def cpu(pids):
        return sum(cpu_seconds(p) for p in (pids if isinstance(pids, list) else [pids]))

    before = {k: cpu(v) for k, v in processes.items()}
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-g", "-o", PROFILE, "-p", str(c.cp.process.popen.pid)]) if PROFILE else None
    start = time.monotonic()
    psql(c.dsn, f"INSERT INTO acme_orders (id, host, directory, key_type) SELECT gen_random_uuid(), host, '{ca.directory}', 'ecdsa-p256' FROM ({names}) n")
    c.cp.post("/acme", data={"host": f"kick.{label}.bench.example.com"}, headers={"Prefer": "respond-async"})
    done = (
        f"SELECT count(*) FILTER (WHERE state = 'valid' AND host LIKE '{label}%') >= {good} AND"
        f" count(*) FILTER (WHERE failures > 0 AND host LIKE 'fail-{label}%') >= {bad} FROM acme_orders"
    )

    def finished():
        time.sleep(0.1)
        return psql(c.dsn, done) == "t"

    wait_until(finished, 600, "all orders valid")
    wait_until(lambda: all(d.metric("cardea_dp_names") >= good for d in c.data_planes), 60, "served")
    took = time.monotonic() - start
    if perf:
        perf.send_signal(2)
        perf.wait()
    used = {k: (cpu(v) - before[k]) / (good + bad) * 1e3 for k, v in processes.items()}
    return (good + bad) / took * 60, used


def orders(b):
    print("orders", flush=True)
    ca = StandIn(b.folder).start()
    c = None
    try:
        c = cluster_at(b, ca)
        run_orders(c, ca, "w", min(500, ORDERS))
        rate, used = run_orders(c, ca, "a", ORDERS)
        n = ca.counters()["requests"]
        row(f"orders per minute, stand-in CA, three data planes, {ORDERS} orders", f"{rate:.0f}", "10,000")
        for who, ms in used.items():
            row(f"  CPU per order: {who}", f"{ms:.2f} ms")
        row("  requests to the CA per order", f"{sum(n.values()) / (ORDERS + 1):.2f}", "7 or fewer")
        row("  newNonce requests", f"{n.get('new-nonce', 0)}", "0")
        mixed, _ = run_orders(c, ca, "m", ORDERS // 2, ORDERS // 2)
        row("  the same while half of the names fail", f"{mixed:.0f}", "")
        row("  ratio", f"{mixed / rate:.2f}", "0.9 or better")
    finally:
        if c:
            c.stop()
        ca.stop()


def orders_pebble(b):
    print("orders, Pebble", flush=True)
    env = {"PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    ca = Pebble(b.folder, b.http_port, own_ports=True, env=env).start()
    c = None
    try:
        c = cluster_at(b, ca, acme_max_in_flight=2)
        n = min(ORDERS, 1000)
        rate, _ = run_orders(c, ca, "p", n)
        row(f"orders per minute, Pebble with 2 orders in flight, {n} orders", f"{rate:.0f}", "what Pebble gives")
    finally:
        if c:
            c.stop()
        ca.stop()


def single_orders(b):
    """One after another: what is left when the CA's own time is nothing (a few milliseconds with the stand-in)."""
    print("single orders", flush=True)
    ca = StandIn(b.folder, sync_issue=1).start()
    c = None
    try:
        c = cluster_at(b, ca)
        took = []
        for i in range(SINGLES + 20):
            start = time.monotonic()
            r = c.cp.issue(f"s{i}.bench.example.com")
            took.append((time.monotonic() - start) * 1e3)
            assert r.status_code == 201, r.text
        took = took[20:]
        row(f"POST /acme to served on three data planes, one at a time ({SINGLES}): p50", f"{statistics.median(took):.1f} ms")
        row("  p99", f"{percentile(took, 0.99):.1f} ms", "under 100 ms")
    finally:
        if c:
            c.stop()
        ca.stop()


def managed(b):
    """Rows of names whose certificates are in date: made, not issued."""
    print("managed names", flush=True)
    ca = StandIn(b.folder).start()
    figures = []
    try:
        for n in MANAGED:
            c = cluster_at(b, ca)
            try:
                figures.append(managed_run(c, ca, n))
            finally:
                c.stop()
    finally:
        ca.stop()
    if len(figures) > 1:
        row(f"growth of a take of due orders, {MANAGED[0]} -> {MANAGED[-1]} names", f"{figures[-1] / figures[0]:.2f}", "constant")


def managed_run(c, ca, n):
    before = rss_bytes(c.cp.process.popen.pid)
    psql(c.dsn, "INSERT INTO acme_orders (id, host, directory, key_type, state, not_after, renew_at, next_attempt) SELECT gen_random_uuid(), 'n' || i || "
         f"'.managed.example.com', '{ca.directory}', 'ecdsa-p256', 'valid', now() + interval '80 days', now() + interval '50 days' + i * interval '1 second', now() "
         f"FROM generate_series(1, {n}) i")
    psql(c.dsn, "VACUUM ANALYZE acme_orders")
    stats = "SELECT xact_commit + xact_rollback || ' ' || tup_fetched + tup_returned || ' ' || blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
    time.sleep(2)
    psql(c.dsn, "SELECT pg_stat_clear_snapshot()")
    first, cpu = [int(x) for x in psql(c.dsn, stats).split()], cpu_seconds(c.cp.process.popen.pid)
    seconds = 10
    time.sleep(seconds)
    last, cpu = [int(x) for x in psql(c.dsn, stats).split()], cpu_seconds(c.cp.process.popen.pid) - cpu
    took = []
    for _ in range(10):
        start = time.monotonic()
        assert c.cp.issue(f"x{len(took)}.managed{n}.example.com").status_code == 201
        took.append((time.monotonic() - start) * 1e3)
    row(f"{n} managed names: memory of the control plane", f"{(rss_bytes(c.cp.process.popen.pid) - before) / 1e6:.1f} MB more")
    row("  at rest: transactions, rows, pages per second", ", ".join(f"{(b - a) / seconds:.1f}" for a, b in zip(first, last)))
    row("  at rest: CPU of the control plane", f"{cpu / seconds * 100:.2f} %")
    row("  one order among them, p50", f"{statistics.median(took):.1f} ms")
    return statistics.median(took)
