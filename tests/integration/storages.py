"""Storages of Kong's plugin acme: real servers, and what Kong writes into them (kong-acme-hybrid.md 1.7)."""

import base64
import json
import pathlib
import shutil
import subprocess

from harness import Process, free_port, wait_until
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
