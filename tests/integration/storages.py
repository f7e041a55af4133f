"""Storages of Kong's plugin acme: real servers, and what Kong writes into them (kong-acme-hybrid.md 1.7)."""

import base64
import glob
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import urllib.parse

import pytest
import requests

from harness import ROOT, Process, free_port, wait_until
from pki import key_pem, make_cert, make_key, pem


class Redis:
    """A server of its own, with TLS or a password where asked for."""

    def __init__(self, folder, name, password=None, tls=False):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.port, self.password, self.tls = free_port(), password, tls
        argv = [shutil.which("redis-server"), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder, "--databases", "16"]
        self.cli = ["redis-cli", "-p", str(self.port)]
        if tls:
            key = make_key()
            cert = make_cert(["redis.internal"], key, ca=True)
            self.ca_file = self.folder / "tls.crt"
            self.ca_file.write_text(pem(cert))
            (self.folder / "tls.key").write_text(key_pem(key))
            argv += ["--port", "0", "--tls-port", self.port, "--tls-cert-file", self.ca_file, "--tls-key-file", self.folder / "tls.key", "--tls-auth-clients", "no"]
            self.cli += ["--tls", "--insecure"]
        else:
            argv += ["--port", self.port]
        if password:
            argv += ["--requirepass", password]
            self.cli += ["-a", password, "--no-auth-warning"]
        self.process = Process(name, argv, self.folder)

    def start(self):
        self.process.start()
        wait_until(lambda: self.run("PING") == b"PONG\n", 20, "redis")
        return self

    def stop(self):
        self.process.stop()

    def run(self, *words, stdin=None, database=0):
        r = subprocess.run([*self.cli, "-n", str(database), *(["-x"] if stdin is not None else []), *words], input=stdin, capture_output=True, timeout=20)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def put(self, key, value, database=0):
        """As Kong does; both may be bytes."""
        assert self.run("SET", key, stdin=value.encode() if isinstance(value, str) else value, database=database) == b"OK\n"

    def get(self, key, database=0):
        return self.run("GET", key, database=database)[:-1].decode()

    def keys(self, database=0):
        return set(self.run("KEYS", "*", database=database).decode(errors="replace").split("\n")) - {""}

    def settings(self, **more):
        return {"storage": "redis", "storage_config": {"redis": {"host": "127.0.0.1", "port": self.port, **more}}}


def account_row(uri, email, key):
    return f"kong_acme:account:{uri}:{base64.b64encode(email.encode()).decode()}", json.dumps({"key": key})


def certificate_row(host, cert, key):
    return f"kong_acme:cert_key:{host}", json.dumps({"key": key, "cert": cert})


def host_row(host, expire_at=1900000000):
    return f"kong_acme:renew_config:{host}", json.dumps({"host": host, "expire_at": expire_at})


def bad_rows(cert, key, other_key, expired):
    """Keys and values that are no good, and what is said of each. cert, key: a pair for bad.example.com; expired: (cert, key)."""
    name = "kong_acme:cert_key:"
    pair = json.dumps({"key": key, "cert": cert})
    return [
        (name + "b1.example.com", pair[:200], "JSON"),
        (name + "b2.example.com", "", "JSON"),
        (name + "b3.example.com", "[]", "JSON"),
        (name + "b4.example.com", json.dumps({"key": key}), '"cert"'),
        (name + "b5.example.com", json.dumps({"key": 5, "cert": cert}), '"key"'),
        (name + "b6.example.com", json.dumps({"key": key, "cert": None}), '"cert"'),
        (name + "b7.example.com", json.dumps({"key": key, "cert": "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"}), "certificate"),
        (name + "b8.example.com", json.dumps({"key": other_key, "cert": cert}), "key"),
        (name + "b9.example.com", pair, "cover"),
        (name + "expired.example.com", json.dumps({"cert": expired[0], "key": expired[1]}), "expired"),
        (name + "*.example.com", pair, ""),
        (name + "a b", pair, ""),
        (name, pair, ""),
        (name + "b10.example.com", json.dumps({"key": "\0", "cert": cert}), "JSON"),
        ("kong_acme:renew_config:c1.example.com", "{", "JSON"),
        ("kong_acme:renew_config:c2.example.com", json.dumps({"host": "c2.example.com", "expire_at": "soon"}), "expire_at"),
        ("kong_acme:renew_config:c3.example.com", json.dumps({"host": "other.example.com", "expire_at": 1}), "another host"),
        ("kong_acme:renew_config:c4.example.com", json.dumps({"host": "c4.example.com", "expire_at": 1}), "POST /acme"),
        ("kong_acme:account:", json.dumps({"key": key}), "address"),
        ("kong_acme:account:https://ca.example/directory", json.dumps({"key": key}), ""),
        ("kong_acme:account:https://ca.example/directory:???", json.dumps({"key": key}), "address"),
        ("kong_acme:account:https://ca.example/directory:YUBi", json.dumps({"key": "nothing"}), ""),
        ("kong_acme:account:ftp://ca.example:YUBi", json.dumps({"key": key}), ""),
    ]


def _go():
    """Path of a Go that can build the module; skips, and says why, where there is none."""
    places = [shutil.which("go"), *glob.glob("/usr/local/go/bin/go"), *glob.glob("/usr/lib/go-*/bin/go")]
    found = {}
    for go in filter(None, places):
        text = subprocess.run([go, "version"], check=True, capture_output=True, text=True, timeout=60).stdout
        found[tuple(int(n) for n in re.search(r"go(\d+)\.(\d+)", text).groups())] = go
    if not found or max(found) < (1, 22):
        pytest.skip("Vault's KV version 2 is not tested: it wants Go 1.22 (deploy/dev/install-deps)")
    return found[max(found)]


def kv2_binary():
    """tests/storages/kv2, built once: half a minute on two cores, where the whole of Vault takes ten."""
    source, built = ROOT / "tests/storages/kv2", ROOT / "build/storages/kv2"
    made = [source / n for n in ("main.go", "go.mod", "go.sum")]
    if built.exists() and built.stat().st_mtime > max(p.stat().st_mtime for p in made):
        return built
    go = _go()
    built.parent.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run([go, "mod", "download"], capture_output=True, text=True, timeout=600, cwd=source)
    if fetched.returncode != 0:
        pytest.skip(f"Vault's KV version 2 is not tested: it could not be fetched: {fetched.stderr.strip()[-300:]}")
    r = subprocess.run([go, "build", "-buildvcs=false", "-p", "2", "-o", f"{built}.new", "."], capture_output=True, text=True, timeout=900, cwd=source)
    assert r.returncode == 0, r.stderr[-3000:]
    os.rename(f"{built}.new", built)
    return built


class Vault:
    """Vault's KV version 2 engine behind its HTTP paths (tests/storages/kv2), at the mount `secret`."""

    token, role, jwt = "root-token-root-token", "cardea", "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl"

    def __init__(self, folder, tls=False):
        self.folder = pathlib.Path(folder) / ("vault-tls" if tls else "vault")
        self.folder.mkdir()
        self.port = free_port()
        argv = [kv2_binary(), f"127.0.0.1:{self.port}", "secret", self.token, self.jwt, self.role]
        if tls:
            key = make_key()
            self.ca_file = self.folder / "tls.crt"
            self.ca_file.write_text(pem(make_cert(["vault.internal"], key, ca=True)))
            (self.folder / "tls.key").write_text(key_pem(key))
            argv += [self.ca_file, self.folder / "tls.key"]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/v1/secret"
        self.process = Process(self.folder.name, argv, self.folder)

    def start(self):
        self.process.start()
        wait_until(lambda: self.call("GET", "/metadata/acme/?list=true").status_code == 404, 20, "vault")
        return self

    def stop(self):
        self.process.stop()

    def call(self, method, path, **doc):
        return requests.request(method, self.url + path, headers={"X-Vault-Token": self.token}, json=doc or None, timeout=5, verify=False)

    def put(self, key, value):
        """As Kong does; a slash of a key is a dash."""
        name = urllib.parse.quote(key.replace("/", "-"), safe="")
        r = self.call("POST", f"/data/acme/{name}", data={"value": value, "note": "managed by lua-resty-acme"})
        assert r.status_code == 200, r.text

    def settings(self, **more):
        return {"storage": "vault", "storage_config": {"vault": {"host": "127.0.0.1", "port": self.port, "kv_path": "secret/acme", "token": self.token, **more}}}


class ConsulStandIn(http.server.ThreadingHTTPServer):
    """Not Consul: what its documentation says of GET ?keys, GET and PUT of keys, flags and tokens. Consul itself takes a quarter of an hour to build."""

    token = "consul-token-consul-token"

    def __init__(self):
        self.rows, self.replies = {}, {}
        super().__init__(("127.0.0.1", 0), ConsulRequest)
        self.port = self.server_address[1]
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()

    def put(self, key, value, flags=0):
        self.rows["acme/" + key.replace("/", "-")] = (value.encode() if isinstance(value, str) else value, flags)

    def settings(self, **more):
        return {"storage": "consul", "storage_config": {"consul": {"host": "127.0.0.1", "port": self.port, "token": self.token, **more}}}


class ConsulRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        key = urllib.parse.unquote(path.removeprefix("/v1/kv/"))
        if self.headers["X-Consul-Token"] != self.server.token:
            self.reply(403, b"Permission denied: token lacks permission")
        elif key in self.server.replies:
            self.reply(200, self.server.replies[key])
        elif query == "keys":
            keys = sorted(k for k in self.server.rows if k.startswith(key))
            self.reply(200 if keys else 404, keys if keys else b"")
        elif key not in self.server.rows:
            self.reply(404, b"")
        else:
            value, flags = self.server.rows[key]
            self.reply(200, [{"Key": key, "Value": base64.b64encode(value).decode() or None, "Flags": flags, "ModifyIndex": 1}])
