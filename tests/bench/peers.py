"""The servers that Cardea is measured against, set up as well as we know how, and the upstream behind all of them.

One worker each, on the server core; the same certificates, curves and ciphers; no access log; no server-side session cache, tickets on;
connections to the upstream are kept; no limit of requests per connection.
"""

import subprocess

from harness import BUILD, free_port, wait_until
from measure import LOAD_CORE, SERVER_CORE

CIPHERS12 = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
CURVES = "X25519:P-256"


class Upstream:
    """Plain HTTP/1.1, /N gives N KiB; on the load's core."""

    def __init__(self, ip="127.0.0.11"):
        self.ip, self.port = ip, free_port(ip)
        self.popen = subprocess.Popen(["taskset", "-c", LOAD_CORE, BUILD / "bench/upstream", ip, str(self.port)])

    def stop(self):
        self.popen.kill()
        self.popen.wait()


class Nginx:
    name = "nginx"

    def __init__(self, folder, pairs, upstream, ip="127.0.0.9"):
        """pairs: (hostname, certificate file, key file)."""
        self.folder, self.ip, self.tls_port = folder / "nginx", ip, free_port(ip)
        self.folder.mkdir()
        servers = "".join(
            f"""
  server {{ listen {ip}:{self.tls_port} ssl http2 reuseport; server_name {name}; ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{ proxy_pass http://up; }} }}""".replace(" reuseport" if i else "\0", "")
            for i, (name, cert, key) in enumerate(pairs)
        )
        (self.folder / "nginx.conf").write_text(
            f"""daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log crit;
events {{ worker_connections 16384; }}
http {{ access_log off; keepalive_requests 100000000; http2_max_concurrent_streams 128;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve {CURVES}; ssl_ciphers {CIPHERS12}; ssl_prefer_server_ciphers on; ssl_session_cache off;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
  proxy_buffers 16 32k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
  client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy; fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  upstream up {{ server {upstream.ip}:{upstream.port}; keepalive 512; keepalive_requests 100000000; }}{servers}
}}
"""
        )
        self.master = subprocess.Popen(["taskset", "-c", SERVER_CORE, "nginx", "-c", self.folder / "nginx.conf", "-p", self.folder])
        wait_until(self.pid, 10, "nginx worker")

    def pid(self):
        pids = subprocess.run(["pgrep", "-P", str(self.master.pid)], capture_output=True, text=True).stdout.split()
        return int(pids[0]) if pids else None

    def stop(self):
        self.master.terminate()
        self.master.wait()


class Haproxy:
    name = "haproxy"

    def __init__(self, folder, pairs, upstream, ip="127.0.0.10"):
        self.folder, self.ip, self.tls_port = folder / "haproxy", ip, free_port(ip)
        self.folder.mkdir()
        for name, cert, key in pairs:
            (self.folder / f"{name}.pem").write_text(cert.read_text() + key.read_text())
        certs = " ".join(f"crt {self.folder}/{name}.pem" for name, _, _ in pairs)
        (self.folder / "haproxy.cfg").write_text(
            f"""global
  nbthread 1
  maxconn 8192
  tune.ssl.cachesize 0
  ssl-default-bind-ciphers {CIPHERS12}
  ssl-default-bind-curves {CURVES}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  timeout http-keep-alive 60s
  http-reuse always
frontend f
  bind {ip}:{self.tls_port} ssl {certs} alpn h2,http/1.1
  option forwardfor
  default_backend b
backend b
  server u {upstream.ip}:{upstream.port} pool-max-conn 512
"""
        )
        self.popen = subprocess.Popen(["taskset", "-c", SERVER_CORE, "haproxy", "-db", "-q", "-f", self.folder / "haproxy.cfg"])

    def pid(self):
        return self.popen.pid

    def stop(self):
        self.popen.kill()
        self.popen.wait()


class CardeaServer:
    """A data plane with one worker, as the others look."""

    name = "cardea"

    def __init__(self, data_plane):
        self.ip, self.tls_port, self._pid = data_plane.ip, data_plane.tls_port, data_plane.process.popen.pid
        subprocess.run(["taskset", "-apc", SERVER_CORE, str(self._pid)], check=True, capture_output=True)

    def pid(self):
        return self._pid
