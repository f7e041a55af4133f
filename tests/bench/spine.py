"""The spine: propagation, memory and start of a data plane, single writes against pgbench, an import, issuance."""

import concurrent.futures
import json
import os
import statistics
import subprocess
import time

import requests
from harness import BUILD, Pebble, wait_until
from measure import HOSTS, ROUNDS, cpu_seconds, percentile, row, rss_bytes
from pki import pair

WRITES = int(os.environ.get("BENCH_WRITES", "1000"))
ORDERS = int(os.environ.get("BENCH_ORDERS", "300"))


def propagation_run(c, label):
    bodies = c.folder / f"bodies-{label}"
    bodies.mkdir()
    for i in range(WRITES):
        name = f"p{i}.bench.example.com"
        _, cert, key = pair(name)
        (bodies / f"{i}.json").write_text(json.dumps({"cert": cert, "key": key, "snis": [name]}))
    out = subprocess.run(
        [BUILD / "bench/propagate", bodies, str(WRITES), c.cp.ip, str(c.cp.admin_port), str(c.tls_port), *[d.ip for d in c.data_planes]],
        check=True, capture_output=True, text=True, timeout=600,
    ).stdout
    return [float(x) for x in out.split()]


def propagation(b):
    print("propagation", flush=True)
    c = b.cluster(3)
    try:
        empty = propagation_run(c, "empty")
    finally:
        c.stop()
    c = b.cluster(3)
    try:
        b.load_hosts(c, HOSTS)
        full = propagation_run(c, "full")
    finally:
        c.stop()
    row(f"admin answer to served by 3 data planes, {WRITES} writes: p50", f"{statistics.median(empty):.2f} ms")
    row("  p99", f"{percentile(empty, 0.99):.2f} ms", "under 20 ms")
    row(f"the same with {HOSTS} certificates loaded: p50", f"{statistics.median(full):.2f} ms")
    row("  p99", f"{percentile(full, 0.99):.2f} ms")
    row("  p50 loaded / p50 empty", f"{statistics.median(full) / statistics.median(empty):.2f}", "within 1.3")
    row("  p99 loaded / p99 empty", f"{percentile(full, 0.99) / percentile(empty, 0.99):.2f}", "within 1.3")


def ready_seconds(d):
    start = time.monotonic()
    d.start(wait=False)
    wait_until(lambda: d.metric("cardea_dp_names") == HOSTS and d.status("/status/ready").status_code == 200, 120, "ready")
    return time.monotonic() - start, cpu_seconds(d.process.popen.pid)


def memory(b):
    print("memory and start", flush=True)
    c = b.cluster(1, dp_settings={"workers": 1})
    try:
        d = c.data_planes[0]
        empty = rss_bytes(d.process.popen.pid)
        stored, synced = b.load_hosts(c, HOSTS)
        row(f"{HOSTS} certificates stored in one transaction", f"{stored:.1f} s")
        row("  then ready on the data plane", f"{synced:.1f} s")
        d.process.stop()
        d.start()
        wait_until(lambda: d.metric("cardea_dp_names") == HOSTS, 60, "loaded")
        row("data plane: memory per hostname", f"{(rss_bytes(d.process.popen.pid) - empty) / HOSTS:.0f} bytes", "under 2,560")
        row("control plane: memory per certificate", f"{rss_bytes(c.cp.process.popen.pid) / HOSTS:.0f} bytes")
        d.process.stop()
        for f in d.prefix.glob("cache*"):
            if "key" not in f.name:
                f.unlink()
        wall, cpu = ready_seconds(d)
        row("start to ready from a control plane", f"{wall:.2f} s")
        row("  CPU time of it", f"{cpu:.2f} s")
        d.process.stop()
        c.cp.process.stop()
        starts = [restart(d) for _ in range(3)]
        row("start to ready from the disk cache, no control plane", f"{statistics.median(w for w, _ in starts):.2f} s", "under 2 s")
        row("  CPU time of it", f"{statistics.median(c for _, c in starts):.2f} s")
        c.cp.start()
    finally:
        c.stop()


def restart(d):
    d.process.kill()
    return ready_seconds(d)


def acme(b):
    print("issuance", flush=True)
    pebble = Pebble(b.folder, b.http_port).start()
    c = None
    try:
        c = b.cluster(1, {"acme_directory": pebble.directory, "acme_ca_file": pebble.ca_file, "acme_allow_private": "on", "acme_max_in_flight": 2})
        requests.post("http://127.0.0.1:8055/set-default-ipv4", json={"ip": c.data_planes[0].ip}, timeout=5)
        assert c.cp.issue("warm.bench.example.com").status_code == 201
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda i: c.cp.post("/acme", data={"host": f"a{i}.bench.example.com"}, headers={"Prefer": "respond-async"}), range(ORDERS)))
        done = "SELECT count(*) FROM acme_orders WHERE state = 'valid'"

        def finished():
            out = subprocess.run(["psql", c.dsn, "-Atc", done], capture_output=True, text=True, check=True).stdout
            return int(out) > ORDERS

        wait_until(finished, 600, "all orders valid")
        row(f"hostnames issued per minute, one control plane, Pebble without sleeps, 2 in flight ({ORDERS} orders)", f"{ORDERS / (time.monotonic() - start) * 60:.0f}", "1,000")
    finally:
        if c:
            c.stop()
        pebble.stop()


CLIENTS, PER_CLIENT = 32, 50  # of one round of single writes

# What a POST of a certificate with a name does: its rows, the revision, the audit.
PGBENCH = """\\set n :base + :client_id * :per_client + :i
\\set i :i + 1
BEGIN;
INSERT INTO certificates (id, cert, key) SELECT id, cert, key FROM staged WHERE n = :n;
INSERT INTO snis (id, name, certificate) SELECT sni, name, id FROM staged WHERE n = :n;
SELECT cardea_take_revision_noted(gen_random_uuid(), '{"actor": "anonymous", "actor_kind": "anonymous", "address": "127.0.0.1", "method": "POST", "path": "/certificates", "kind": "certificates", "fields": ["cert", "key", "snis"]}'::jsonb);
COMMIT;
"""


def stage(b, c):
    """The rows that pgbench inserts, so that they are read as easily as a body."""
    sql = (
        "CREATE TABLE staged_c (id uuid, cert text, key bytea); CREATE TABLE staged_s (id uuid, name text, certificate uuid);\n"
        f"\\copy staged_c from '{b.certs}/certificates.copy'\n\\copy staged_s from '{b.certs}/snis.copy'\n"
        "CREATE TABLE staged AS SELECT row_number() OVER () AS n, c.id, c.cert, c.key, s.id AS sni, 'b' || s.name AS name"
        " FROM staged_c c JOIN staged_s s ON s.certificate = c.id;\n"
        "CREATE UNIQUE INDEX ON staged (n); ANALYZE staged; DROP TABLE staged_c, staged_s;\n"
    )
    subprocess.run(["psql", c.dsn, "-qv", "ON_ERROR_STOP=1"], input=sql, text=True, check=True)
    (c.folder / "write.sql").write_text(PGBENCH)


def pgbench_rate(c, round_):
    argv = ["pgbench", "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "1", "-t", str(PER_CLIENT), "-f", c.folder / "write.sql", "-D", "i=1",
            "-D", f"base={round_ * CLIENTS * PER_CLIENT}", "-D", f"per_client={PER_CLIENT}", c.dsn]
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return float(next(line for line in out.splitlines() if line.startswith("tps =")).split()[2])


def admin_rate(b, c, round_):
    n = CLIENTS * PER_CLIENT
    argv = [BUILD / "bench/writes", b.certs / "import.ndjson", str(round_ * n), str(n), str(CLIENTS), c.cp.ip, str(c.cp.admin_port)]
    return n / float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def writes(b):
    """Both on one database, with the control plane following what either writes."""
    print("single writes", flush=True)
    c = b.cluster(0)
    try:
        stage(b, c)
        rounds = min(ROUNDS, HOSTS // (CLIENTS * PER_CLIENT) - 1)
        admin_rate(b, c, rounds)  # plans, caches
        admin, peer = [], []
        for i in range(rounds):
            peer.append(pgbench_rate(c, i))
            admin.append(admin_rate(b, c, i))
        row(f"single writes of certificates per second, {CLIENTS} connections", f"{statistics.median(admin):.0f}")
        row("  pgbench, equivalent transaction", f"{statistics.median(peer):.0f}")
        row("  admin API / pgbench", f"{statistics.median(a / p for a, p in zip(admin, peer)):.2f}", "0.8 or better")
    finally:
        c.stop()


def imports(b):
    print("import", flush=True)
    c = b.cluster(1, {"admin_import_max": 0}, {"workers": 1})
    try:
        start = time.monotonic()
        out = subprocess.run(["curl", "-sS", "-X", "POST", "-H", "Content-Type: application/x-ndjson", "-T", b.certs / "import.ndjson", f"{c.cp.admin_url}/import"],
                             check=True, capture_output=True, text=True).stdout
        stored = time.monotonic()
        report = json.loads(out)
        assert report["stored"] == HOSTS and report["refused"] == 0, out
        wait_until(lambda: all(d.metric("cardea_dp_names") == HOSTS for d in c.data_planes), 300, "every hostname on the data plane")
        ready = time.monotonic()
        row(f"import of {HOSTS} certificates with a name each, {report['batches']} revisions", f"{stored - start:.1f} s", "under 60 s")
        row("  then ready on the data plane", f"{ready - stored:.2f} s", "under 5 s")
        row("control plane: memory per certificate, after the import", f"{rss_bytes(c.cp.process.popen.pid) / HOSTS:.0f} bytes", "under 3,072")
        took = []
        for _ in range(20):
            start = time.monotonic()
            assert requests.get(f"{c.cp.admin_url}/certificates?size=1000", timeout=60).status_code == 200
            took.append(time.monotonic() - start)
        row("list of 1,000 certificates, per second", f"{1 / statistics.median(took):.1f}")
    finally:
        c.stop()
