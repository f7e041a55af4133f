"""Real daemons for the tests: PostgreSQL, Pebble, control planes and data planes, each a process of its own on loopback."""

import contextlib
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD_FOLDER", ROOT / "build"))
# Tests may run in several processes at once (pytest-xdist): each has addresses of its own.
LANE = int(os.environ.get("LANE") or os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
CHALLTEST = f"http://127.0.0.1:{8255 + LANE}"  # of Pebble's DNS server
DATA_PLANE_BUILD = pathlib.Path(os.environ.get("DATA_PLANE_BUILD_FOLDER", BUILD))


def wait_until(condition, seconds=20, what="condition"):
    """Polls until condition() is true and returns its value; the last exception or value is told on failure."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, requests.RequestException, ssl.SSLError, AssertionError) as e:
            last = e
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s; last: {last!r}")


def free_port(ip="127.0.0.1"):
    with contextlib.closing(socket.socket()) as s:
        s.bind((ip, 0))
        return s.getsockname()[1]


class Process:
    """A daemon with its log; started again with the same arguments."""

    def __init__(self, name, argv, folder, env=None):
        self.name, self.argv, self.folder = name, [str(a) for a in argv], pathlib.Path(folder)
        self.env = {**os.environ, **(env or {})}
        self.log_path = self.folder / f"{name}.log"
        self.popen = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
        return self

    def alive(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        """As kill -9 does."""
        if self.alive():
            self.popen.kill()
            self.popen.wait()

    def stop(self, seconds=20):
        """As an operator does; returns the exit code."""
        if self.alive():
            self.popen.terminate()
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
                raise AssertionError(f"{self.name} did not stop in {seconds} s:\n{self.log()[-2000:]}")
        return self.popen.returncode if self.popen else None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Postgres:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / "pg"

    def _run(self, verb):
        r = subprocess.run([ROOT / "deploy/dev/pg", verb, self.folder], capture_output=True, text=True, timeout=120)
        assert r.returncode == 0, r.stdout + r.stderr
        return r.stdout.strip()

    def start(self):
        self._run("start")
        return self

    def stop(self):
        self._run("stop")

    @property
    def dsn(self):
        return self._run("dsn")


class Pebble:
    """Pebble with its DNS server: every name resolves to 127.0.0.1 unless told otherwise."""

    def __init__(self, folder, http_port, env=None, tls_port=5001, own_ports=False):
        """own_ports: one beside the run's own Pebble."""
        self.folder, self.http_port = pathlib.Path(folder) / "pebble", http_port
        port, management, dns, challtest = [free_port() for _ in range(4)] if own_ports else (14000 + LANE, 15000 + LANE, 8153 + LANE, 8255 + LANE)
        ports = {"PEBBLE_PORT": port, "PEBBLE_MANAGEMENT_PORT": management, "PEBBLE_DNS_PORT": dns, "PEBBLE_CHALLTEST_PORT": challtest, "PEBBLE_TLS_VALIDATION_PORT": tls_port}
        self.challtest = f"http://127.0.0.1:{challtest}"
        self.env = {**os.environ, **{k: str(v) for k, v in ports.items()}, "PEBBLE_VA_NOSLEEP": "1", **(env or {})}
        self.directory = f"https://127.0.0.1:{port}/dir"
        self.management = f"https://127.0.0.1:{management}"
        self.ca_file = self.folder / "ca.pem"

    def _run(self, *args):
        r = subprocess.run([ROOT / "deploy/dev/pebble", *map(str, args)], capture_output=True, text=True, timeout=60, env=self.env)
        assert r.returncode == 0, r.stdout + r.stderr
        return r.stdout

    def start(self):
        self._run("start", self.folder, self.http_port)
        return self

    def stop(self):
        self._run("stop", self.folder)

    def root(self):
        """Path of the root certificate of what it issues."""
        path = self.folder / "issuing-root.pem"
        path.write_text(self._run("root", self.folder))
        return path

    def certificate_status(self, serial):
        r = requests.get(f"{self.management}/cert-status-by-serial/{serial:x}", verify=False, timeout=5)
        assert r.status_code == 200, r.text
        return r.json()

    def resolve_all(self, address):
        requests.post(f"{self.challtest}/set-default-ipv4", json={"ip": address}, timeout=5)

    def resolve(self, host, *addresses):
        """From now on the name has these addresses and no others."""
        requests.post(f"{self.challtest}/clear-a", json={"host": host + "."}, timeout=5)
        r = requests.post(f"{self.challtest}/add-a", json={"host": host + ".", "addresses": addresses}, timeout=5)
        assert r.status_code == 200


class ControlPlane:
    def __init__(self, cluster, name, ip="127.0.0.1", **settings):
        self.cluster, self.name = cluster, name
        self.admin_port, self.status_port, self.cluster_port = free_port(ip), free_port(ip), free_port(ip)
        self.ip = ip
        self.admin_url = f"http://{ip}:{self.admin_port}"
        self.cluster_addr = f"{ip}:{self.cluster_port}"
        folder = cluster.folder
        config = {
            "admin_listen": f"{ip}:{self.admin_port}",
            "status_listen": f"{ip}:{self.status_port}",
            "cluster_listen": self.cluster_addr,
            "cluster_cert": folder / "cluster/cp.crt",
            "cluster_cert_key": folder / "cluster/cp.key",
            "cluster_ca_cert": folder / "cluster/ca.crt",
            **({"keyring_file": folder / "keyring", "pg_dsn": cluster.dsn} if cluster.dsn else {"database": "off"}),
            "log_level": "debug",
            **settings,
        }
        self.config = folder / f"{name}.conf"
        self.config.write_text("".join(f"{k} = {v}\n" for k, v in config.items()))
        self.process = Process(name, [BUILD / "cardea-cp", "-c", self.config], folder)

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, path="/status/ready"):
        def ready():
            assert self.process.alive(), f"{self.name} exited:\n{self.process.log()[-3000:]}"
            return requests.get(f"http://{self.ip}:{self.status_port}{path}", timeout=2).status_code == 200

        wait_until(ready, 30, f"{self.name} ready")

    def request(self, method, path, timeout=90, **kw):
        return requests.request(method, self.admin_url + path, timeout=timeout, **kw)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, **kw):
        return self.request("POST", path, **kw)

    def patch(self, path, **kw):
        return self.request("PATCH", path, **kw)

    def put(self, path, **kw):
        return self.request("PUT", path, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)

    def issue(self, host, wait=30):
        """Asks for a certificate and waits until every data plane has it."""
        return self.post("/acme", data={"host": host}, headers={"Prefer": f"wait={wait}"})

    def node(self, data_plane):
        rows = self.get("/clustering/data-planes").json()["data"]
        return next((n for n in rows if n["id"] == data_plane.node_id), None)


class DataPlane:
    def __init__(self, cluster, name, ip, control_planes=None, **settings):
        self.cluster, self.name, self.ip = cluster, name, ip
        self.http_port, self.tls_port, self.status_port = cluster.http_port, cluster.tls_port, free_port(ip)
        self.prefix = cluster.folder / name
        self.prefix.mkdir(exist_ok=True)
        planes = control_planes if control_planes is not None else [c.cluster_addr for c in cluster.control_planes]
        folder = cluster.folder
        config = {
            "proxy_listen": f"{ip}:{self.http_port} reuseport, {ip}:{self.tls_port} ssl http2 reuseport",
            "status_listen": f"{ip}:{self.status_port}",
            "cluster_control_plane": ",".join(planes),
            "cluster_cert": folder / "cluster/node.crt",
            "cluster_cert_key": folder / "cluster/node.key",
            "cluster_ca_cert": folder / "cluster/ca.crt",
            "prefix": self.prefix,
            "workers": 2,
            "log_level": "debug",
            **settings,
        }
        self.config = folder / f"{name}.conf"
        self.config.write_text("".join(f"{k} = {v}\n" for k, v in config.items()))
        self.process = Process(name, [DATA_PLANE_BUILD / "cardea-dp", "-c", self.config], folder)

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def status(self, path="/status"):
        return requests.get(f"http://{self.ip}:{self.status_port}{path}", timeout=2)

    def wait_ready(self, seconds=30):
        def ready():
            assert self.process.alive(), f"{self.name} exited:\n{self.process.log()[-3000:]}"
            return self.status("/status/ready").status_code == 200

        wait_until(ready, seconds, f"{self.name} ready")

    @property
    def node_id(self):
        return (self.prefix / "node_id").read_text().strip()

    def peer_certificate(self, host, alpn=None):
        """DER of the leaf served for a name; raises ssl.SSLError when the handshake is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(alpn)
        with socket.create_connection((self.ip, self.tls_port), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=host) as tls:
                return tls.getpeercert(binary_form=True)

    def verified(self, host, ca_file):
        """True when the name is served with a certificate that verifies for it."""
        context = ssl.create_default_context(cafile=str(ca_file))
        with socket.create_connection((self.ip, self.tls_port), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=host):
                return True

    def http(self, path, host, method="GET", **kw):
        return requests.request(method, f"http://{self.ip}:{self.http_port}{path}", headers={"Host": host, **kw.pop("headers", {})}, timeout=5, **kw)

    def metric(self, name, labels=""):
        for line in self.status("/metrics").text.splitlines():
            if line.startswith(name + labels + " "):
                return float(line.rsplit(" ", 1)[1])
        return None


class Cluster:
    """A folder with everything of one cluster; stops all of it at the end."""

    def __init__(self, folder, dsn=None, http_port=None):
        self.folder = pathlib.Path(folder)
        self.cluster_dir = self.folder / "cluster"
        self.http_port = http_port or free_port()
        self.tls_port = free_port()
        self.dsn = dsn
        self.control_planes, self.data_planes = [], []
        for argv in (["cluster-cert", self.cluster_dir], ["keyring", self.folder / "keyring"]):
            subprocess.run([BUILD / "cardea", *argv], check=True, capture_output=True, timeout=30)

    @property
    def cp(self):
        return self.control_planes[0]

    def add_control_plane(self, **settings):
        c = ControlPlane(self, f"cp{len(self.control_planes) + 1}", **settings)
        self.control_planes.append(c)
        return c

    def add_data_plane(self, **settings):
        n = len(self.data_planes) + 1
        d = DataPlane(self, f"dp{n}", f"127.0.{LANE}.{10 + n}", **settings)
        self.data_planes.append(d)
        return d

    def stop(self):
        for p in self.data_planes + self.control_planes:
            p.process.signal(signal.SIGCONT) if p.process.alive() else None
        errors = []
        for p in self.data_planes + self.control_planes:
            try:
                code = p.process.stop()
            except AssertionError as e:
                errors.append(str(e))
                continue
            log = p.process.log()
            if code not in (0, None, -signal.SIGKILL):
                errors.append(f"{p.name} ended with {code}:\n{log[-3000:]}")
            report = sanitizer_report(log)
            if report:
                errors.append(f"{p.name}: {report}")
        assert not errors, "\n".join(errors)


def sanitizer_report(log):
    """The first sanitizer report in a log, or None."""
    marks = [log.find(m) for m in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer")]
    found = [m for m in marks if m >= 0]
    return log[max(0, min(found) - 200) : min(found) + 6000] if found else None


def make_folder():
    """Reachable for an unprivileged PostgreSQL too."""
    folder = tempfile.mkdtemp(prefix="cardea-test.", dir="/tmp")
    os.chmod(folder, 0o755)
    return pathlib.Path(folder)
