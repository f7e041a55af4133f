"""Clients and servers that everybody has, through a data plane to Debian's nginx: curl, h2load, openssl; and flow control of HTTP/2 end to end."""

import contextlib
import hashlib
import random
import socket
import subprocess

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from harness import DATA_PLANE_BUILD, Process, free_port, wait_until
from pki import pair
from wire import rss_kib

SANITIZED = "address" in DATA_PLANE_BUILD.name or "thread" in DATA_PLANE_BUILD.name  # what is freed is kept for a while

NAME = "web.example.com"
BIG = 16 << 20


class Nginx:
    """Files, an echo of what is posted, and a counter of bytes."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        rng = random.Random(1)
        (folder / "small").write_bytes(rng.randbytes(1024))
        (folder / "big").write_bytes(rng.randbytes(BIG))
        self.big = hashlib.sha256((folder / "big").read_bytes()).hexdigest()
        paths = " ".join(f"{n}_temp_path {folder}/t;" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(f"""
daemon off; user root; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; events {{ }}
http {{ access_log {folder}/access.log; {paths} client_max_body_size 0; keepalive_requests 100000;
 server {{ listen 127.0.0.1:{self.port}; root {folder}; default_type application/octet-stream;
  location = /hello {{ return 200 "$request_method $http_host $http_x_forwarded_proto $server_protocol\\n"; }}
  location /up {{ dav_methods PUT; }} }} }}
""")
        self.process = Process("nginx", ["nginx", "-c", folder / "nginx.conf", "-p", folder], folder).start()
        wait_until(lambda: socket.create_connection(("127.0.0.1", self.port), 1), 20, "nginx")


@pytest.fixture(scope="module")
def web(bare_cluster):
    """(data plane, nginx, CA file): a route over http and https."""
    cp = bare_cluster.add_control_plane().start()
    d = bare_cluster.add_data_plane(workers=1).start()
    nginx = Nginx(bare_cluster.folder / "nginx")
    cert, cert_pem, key = pair(NAME)
    ca = bare_cluster.folder / "web.crt"
    ca.write_text(cert_pem)
    for path, body in (
        ("/certificates", {"cert": cert_pem, "key": key, "snis": [NAME]}),
        ("/services", {"name": "web", "host": "127.0.0.1", "port": nginx.port}),
        ("/services/web/routes", {"hosts": [NAME], "preserve_host": True}),
    ):
        r = cp.post(path, json=body, headers={"Prefer": "wait=20"})
        assert r.status_code == 201, r.text
    yield d, nginx, ca
    nginx.process.stop()


def curl(web, *args, path="/hello", scheme="https"):
    d, _, ca = web
    port = d.tls_port if scheme == "https" else d.http_port
    r = subprocess.run(
        ["curl", "-sS", "-m", "60", "--cacert", ca, "--resolve", f"{NAME}:{port}:{d.ip}", *args, f"{scheme}://{NAME}:{port}{path}"],
        capture_output=True, timeout=90,
    )
    assert r.returncode == 0, r.stderr
    return r.stdout


@pytest.mark.parametrize("scheme, version", [("http", "--http1.1"), ("https", "--http1.1"), ("https", "--http2")])
def test_curl(web, scheme, version):
    d, nginx, _ = web
    out = curl(web, version, scheme=scheme).decode()
    assert out.split()[0] == "GET" and out.split()[1].startswith(NAME) and out.split()[2:] == [scheme, "HTTP/1.1"]
    assert hashlib.sha256(curl(web, version, path="/big", scheme=scheme)).hexdigest() == nginx.big
    assert curl(web, version, "-I", path="/big", scheme=scheme).lower().count(b"content-length: %d" % BIG) == 1
    assert len(curl(web, version, "-r", "100-299", path="/big", scheme=scheme)) == 200
    # Many on one connection.
    assert len(curl(web, version, path="/small?[1-200]", scheme=scheme)) == 200 * 1024


@pytest.mark.parametrize("args", [["-c", "8", "-m", "16"], ["--h1", "-c", "16"]])
def test_h2load(web, args):
    d, _, _ = web
    r = subprocess.run(
        ["h2load", "-n", "4000", *args, "--connect-to", f"{d.ip}:{d.tls_port}", f"https://{NAME}/small"],
        capture_output=True, text=True, timeout=120,
    )
    assert "4000 succeeded, 0 failed, 0 errored" in r.stdout, r.stdout + r.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(web, version):
    d, nginx, ca = web
    r = subprocess.run(
        ["openssl", "s_client", "-connect", f"{d.ip}:{d.tls_port}", "-servername", NAME, "-CAfile", ca, "-verify_return_error", version, "-quiet", "-ign_eof"],
        input=f"GET /hello HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode(), capture_output=True, timeout=30,
    )
    assert r.stdout.startswith(b"HTTP/1.1 200 ") and r.stdout.endswith(b"https HTTP/1.1\n"), r.stdout + r.stderr


# --- HTTP/2, frame by frame ---


class Client:
    """python3-h2 over TLS; a window is given only when the test says so."""

    def __init__(self, d, ca, window=65535):
        from wire import tls_context

        self.sock = tls_context(["h2"]).wrap_socket(socket.create_connection((d.ip, d.tls_port), timeout=20), server_hostname=NAME)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.increment_flow_control_window(1 << 30)
        self.bodies, self.ended, self.owed = {}, set(), {}
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def get(self, path):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", path)], end_stream=True)
        self.flush()
        return stream

    def step(self):
        data = self.sock.recv(65536)
        assert data
        for e in self.h2.receive_data(data):
            if isinstance(e, h2.events.DataReceived):
                self.bodies.setdefault(e.stream_id, bytearray()).extend(e.data)
                self.owed[e.stream_id] = self.owed.get(e.stream_id, 0) + e.flow_controlled_length
            elif isinstance(e, h2.events.StreamEnded):
                self.ended.add(e.stream_id)
            elif isinstance(e, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise AssertionError(e)
        self.flush()

    def give(self, stream, n=None):
        n = self.owed.pop(stream, 0) if n is None else n
        if n and stream not in self.ended:
            self.h2.increment_flow_control_window(n, stream)
            self.flush()

    def resize(self, window):
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def close(self):
        self.sock.close()


@pytest.fixture
def client(web):
    c = Client(web[0], web[2])
    yield c
    c.close()


def test_h2_17_a_stream_that_does_not_read(web, client):
    """The others go on; what waits for the slow one stays with the upstream; then it gets all of it."""
    d, nginx, _ = web
    before = rss_kib(d)
    slow = [client.get("/big") for _ in range(8)]
    while not all(len(client.bodies.get(s, b"")) == 65535 for s in slow):
        client.step()
    for _ in range(3):
        quick = [client.get("/small") for _ in range(30)]
        while not client.ended.issuperset(quick):
            client.step()
    whole = client.get("/big")
    while whole not in client.ended:
        client.step()
        client.give(whole)
    assert hashlib.sha256(client.bodies[whole]).hexdigest() == nginx.big
    assert all(len(client.bodies[s]) == 65535 for s in slow)
    # 64 KiB for each, what the kernel holds besides, and what a megabyte-sized allocator keeps.
    assert rss_kib(d) - before < (64 if SANITIZED else 8) * 1024
    while slow[0] not in client.ended:
        client.give(slow[0])
        client.step()
    assert hashlib.sha256(client.bodies[slow[0]]).hexdigest() == nginx.big


def test_h2_22_windows_that_change(web, client):
    """INITIAL_WINDOW_SIZE to 0 and back while a body is on its way: windows below zero, and not a byte too many (python3-h2 refuses it) or lost."""
    _, nginx, _ = web
    stream = client.get("/big")
    rng = random.Random(2)
    allowed, window = 65535, 65535
    for size in (0, 65535, 1, 30000, 0, 100000, 16384, 0, 65535):
        while len(client.bodies.get(stream, b"")) < allowed and allowed > 0:
            client.step()
        client.resize(size)
        allowed, window = allowed + size - window, size
        extra = rng.randrange(1, 50000)
        client.give(stream, extra)
        allowed += extra
    while stream not in client.ended:
        client.give(stream)
        client.step()
    assert hashlib.sha256(client.bodies[stream]).hexdigest() == nginx.big


def test_h2_cancel_frees_the_upstream(web, client):
    """A stream that is reset in the middle of its body: the connection to nginx is closed at once, others go on."""
    d, nginx, _ = web
    stream = client.get("/big")
    while len(client.bodies.get(stream, b"")) < 65535:
        client.step()
    client.h2.reset_stream(stream, 8)
    client.flush()
    other = client.get("/small")
    while other not in client.ended:
        client.step()
    assert len(client.bodies[other]) == 1024

    def logged():
        with contextlib.suppress(OSError):
            lines = (nginx.folder / "access.log").read_text().splitlines()
            return any(" /big " in line and int(line.split('"')[2].split()[1]) < BIG for line in lines)

    wait_until(logged, 20, "nginx saw the end of a body that was not taken")
