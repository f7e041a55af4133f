"""Measures the spine and prints one table: propagation, memory and start of a data plane, handshakes against nginx, single writes against
pgbench, an import, issuance.

Servers run on core 0 and load on core 1; handshakes are counted per second of the server's CPU time, so that the load generator is never the
limit. Peers run in the same rounds, in turn; ratios are medians over the rounds.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import requests  # noqa: E402
from harness import BUILD, Cluster, Pebble, Postgres, free_port, make_folder, wait_until  # noqa: E402
from pki import pair  # noqa: E402

HOSTS = int(os.environ.get("BENCH_HOSTS", "100000"))
WRITES = int(os.environ.get("BENCH_WRITES", "1000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
ORDERS = int(os.environ.get("BENCH_ORDERS", "300"))
ONLY = [s for s in os.environ.get("BENCH_ONLY", "").split(",") if s]
SERVER_CORE, LOAD_CORE = "0", "1"

rows = []


def row(what, value, aim=""):
    rows.append((what, value, aim))
    print(f"  {what}: {value}" + (f" (aim: {aim})" if aim else ""), flush=True)


def wanted(part):
    return not ONLY or part in ONLY


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]


def cpu_seconds(pid):
    """Of all threads; /proc/PID/stat counts in steps of 10 ms only."""
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class Bench:
    def __init__(self):
        self.folder = make_folder()
        self.postgres = Postgres(self.folder).start()
        self.http_port = free_port()
        self.databases = 0
        self.certs = None

    def close(self):
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cluster(self, data_planes, cp_settings=None, dp_settings=None):
        self.databases += 1
        name = f"bench{self.databases}"
        subprocess.run(["psql", self.postgres.dsn, "-qc", f"CREATE DATABASE {name}"], check=True)
        folder = self.folder / name
        folder.mkdir()
        c = Cluster(folder, dsn=f"{self.postgres.dsn} dbname={name}", http_port=self.http_port)
        if self.certs:
            shutil.copy(self.certs / "keyring", folder / "keyring")
        c.add_control_plane(log_level="warn", **(cp_settings or {})).start()
        for _ in range(data_planes):
            c.add_data_plane(log_level="warn", **(dp_settings or {})).start()
        return c

    def make_hosts(self, n):
        """Certificates for n names, sealed with the keyring that clusters get from then on."""
        self.certs = self.folder / "certs"
        self.certs.mkdir()
        subprocess.run([BUILD / "cardea", "keyring", self.certs / "keyring"], check=True, capture_output=True)
        subprocess.run([BUILD / "bench/certs", str(n), self.certs / "keyring", self.certs], check=True)
        os.chmod(self.certs, 0o755)

    def load_hosts(self, c, n):
        """n certificates straight into the database, in one revision."""
        folder = self.certs
        sql = (
            "BEGIN;\n"
            f"\\copy certificates (id, cert, key) from '{folder}/certificates.copy'\n"
            f"\\copy snis (id, name, certificate) from '{folder}/snis.copy'\n"
            "COMMIT;\n"
        )
        start = time.monotonic()
        subprocess.run(["psql", c.dsn, "-qv", "ON_ERROR_STOP=1"], input=sql, text=True, check=True)
        stored = time.monotonic()
        wait_until(lambda: all(d.metric("cardea_dp_names") >= n for d in c.data_planes), 300, f"{n} hostnames on every data plane")
        return stored - start, time.monotonic() - stored


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


def load(ip, port, name, count=None):
    argv = ["taskset", "-c", LOAD_CORE, BUILD / "bench/tlsload", ip, str(port), str(SECONDS), "64", name] + ([str(count)] if count else [])
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert int(out[1]) == 0, f"{out[1]} failed handshakes"
    return int(out[0])


def per_cpu_second(pid, *args):
    before = cpu_seconds(pid)
    n = load(*args)
    return n / (cpu_seconds(pid) - before)


class Nginx:
    """nginx of the same Debian with the same certificate, one worker."""

    def __init__(self, folder, cert, key, ip="127.0.0.9"):
        self.folder, self.ip, self.port = folder / "nginx", ip, free_port(ip)
        self.folder.mkdir()
        (self.folder / "nginx.conf").write_text(
            f"""daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off;
  server {{ listen {ip}:{self.port} ssl reuseport; server_name _; ssl_certificate {cert}; ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519; ssl_session_cache off; return 404; }} }}
"""
        )
        self.master = subprocess.Popen(["taskset", "-c", SERVER_CORE, "nginx", "-c", self.folder / "nginx.conf", "-p", self.folder])
        wait_until(self.worker, 10, "nginx worker")

    def worker(self):
        pids = subprocess.run(["pgrep", "-P", str(self.master.pid)], capture_output=True, text=True).stdout.split()
        return int(pids[0]) if pids else None

    def stop(self):
        self.master.terminate()
        self.master.wait()


def handshakes(b):
    print("handshakes", flush=True)
    c = b.cluster(1, dp_settings={"workers": 1})
    nginx = None
    try:
        b.load_hosts(c, HOSTS)
        d = c.data_planes[0]
        pid = d.process.popen.pid
        subprocess.run(["taskset", "-apc", SERVER_CORE, str(pid)], check=True, capture_output=True)
        nginx = Nginx(c.folder, b.certs / "one.pem", b.certs / "one.key")
        one, random, peer = [], [], []
        for _ in range(ROUNDS):
            one.append(per_cpu_second(pid, d.ip, d.tls_port, "h0.bench.example.com"))
            peer.append(per_cpu_second(nginx.worker(), nginx.ip, nginx.port, "h0.bench.example.com"))
            random.append(per_cpu_second(pid, d.ip, d.tls_port, "h%zu.bench.example.com", HOSTS))
        row("full TLS 1.3 handshakes per second of server CPU", f"{statistics.median(one):.0f}")
        row("  nginx, same certificate", f"{statistics.median(peer):.0f}")
        row("  Cardea / nginx", f"{statistics.median(a / p for a, p in zip(one, peer)):.2f}", "1.0 or better")
        row(f"  random name out of {HOSTS} / one name", f"{statistics.median(r / a for r, a in zip(random, one)):.2f}", "0.85 or better")
    finally:
        if nginx:
            nginx.stop()
        c.stop()


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


def main():
    b = Bench()
    try:
        if any(wanted(p) for p in ("propagation", "memory", "handshakes", "writes", "imports")):
            b.make_hosts(HOSTS)
        for part in (propagation, memory, handshakes, writes, imports, acme):
            if wanted(part.__name__):
                part(b)
    finally:
        b.close()
    width = max(len(r[0]) for r in rows)
    print(f"\n{'what':{width}}  {'measured':>14}  aim")
    for what, value, aim in rows:
        print(f"{what:{width}}  {value:>14}  {aim}")


main()
