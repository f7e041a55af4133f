"""The stand-in authority (tests/ca), and a proxy before any authority that makes faults: each a process of its own."""

import json
import pathlib
import subprocess
import sys

import requests

from harness import BUILD, ROOT, Process, free_port, wait_until
from pki import key_pem, make_cert, make_key, pem


class StandIn:
    """Validates over the addresses it is given, in turn; settings are those of tests/ca/settings.c."""

    def __init__(self, folder, name="stand-in", http=(), tls=(), arguments=(), **settings):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(exist_ok=True)
        self.port, manage = free_port(), free_port()
        self.directory = f"https://127.0.0.1:{self.port}/dir"
        self.ca_file = self.folder / "ca.pem"
        self.manage = f"http://127.0.0.1:{manage}"
        argv = [BUILD / "ca/acme-ca", f"folder={self.folder}", f"listen=127.0.0.1:{self.port}", f"manage=127.0.0.1:{manage}"]
        argv += [f"http={a}" for a in http] + [f"tls={a}" for a in tls] + list(arguments) + [f"{k}={v}" for k, v in settings.items()]
        self.process = Process(name, argv, self.folder)

    def start(self):
        self.process.start()

        def ready():
            assert self.process.alive(), self.process.log()
            return requests.get(self.manage + "/counters", timeout=2).status_code == 200

        wait_until(ready, 20, "stand-in CA")
        return self

    def stop(self):
        self.process.stop()

    def _post(self, path, **doc):
        r = requests.post(self.manage + path, json=doc, timeout=10)
        assert r.status_code == 200, r.text
        return r.json()

    def set(self, **settings):
        return self._post("/settings", **settings)

    def addresses(self, http=None, tls=None):
        self._post("/addresses", **{k: v for k, v in (("http", http), ("tls", tls)) if v is not None})

    def counters(self):
        return requests.get(self.manage + "/counters", timeout=30).json()

    def reset(self):
        self._post("/counters/reset")

    def root(self, n=0):
        path = self.folder / f"root{n}.pem"
        path.write_text(requests.get(f"{self.manage}/roots/{n}", timeout=5).text)
        return path

    def resolve(self, host, *addresses):
        """From now on the name is asked for at these ip:port and no others."""
        self._post("/resolve", name=host, addresses=list(addresses))

    def certificates(self, name):
        return requests.get(self.manage + "/certificates", params={"name": name}, timeout=10).json()[name]

    def duplicates(self):
        return requests.get(self.manage + "/duplicates", timeout=60).json()

    def move_window(self, name, start, end, explanation=None):
        return self._post("/renewal-info", name=name, start=int(start), end=int(end), explanation=explanation)

    def revoke(self, name, reason=0):
        return self._post("/revoke", name=name, reason=reason)

    def pause(self, *names, account=0):
        self._post("/pause", names=list(names), account=account)

    def unpause(self, *names):
        return self._post("/unpause", **({"names": list(names)} if names else {}))["unpaused"]


class FaultProxy:
    """Stands before an authority; what goes wrong is a list of rules (tests/ca/fault_proxy.py says which)."""

    def __init__(self, folder, authority, name="faults"):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(exist_ok=True)
        self.port, manage = free_port(), free_port()
        self.directory = f"https://localhost:{self.port}/" + authority.directory.rsplit("/", 1)[1]
        self.ca_file = self.folder / "ca.pem"
        self.manage = f"http://127.0.0.1:{manage}"
        root_key, key = make_key(), make_key()
        root = make_cert(["fault proxy"], root_key, ca=True)
        self.ca_file.write_text(pem(root))
        (self.folder / "server.pem").write_text(pem(make_cert(["localhost"], key, root, root_key)) + key_pem(key))
        upstream = authority.directory.split("/")[2]
        argv = [sys.executable, ROOT / "tests/ca/fault_proxy.py", f"127.0.0.1:{self.port}", f"127.0.0.1:{manage}", upstream, authority.ca_file,
                self.folder / "server.pem", authority.directory]
        self.process = Process(name, argv, self.folder)

    def start(self):
        self.process.start()

        def ready():
            assert self.process.alive(), self.process.log()
            return requests.get(self.manage + "/requests", timeout=2).status_code == 200

        wait_until(ready, 20, "fault proxy")
        return self

    def stop(self):
        self.process.stop()

    def rules(self, *rules):
        """These and no others; counts and the log begin anew."""
        r = requests.post(self.manage + "/rules", data=json.dumps(rules), timeout=5)
        assert r.status_code == 200, r.text

    def log(self):
        """What was asked: {"endpoint", "name", "fault", "status"} in order."""
        return requests.get(self.manage + "/requests", timeout=5).json()

    def count(self, endpoint, fault=None):
        return sum(e["endpoint"] == endpoint and (fault is None or e["fault"] == fault) for e in self.log())


def psql(dsn, sql):
    return subprocess.run(["psql", dsn, "-Atc", sql], check=True, capture_output=True, text=True, timeout=60).stdout.strip()
