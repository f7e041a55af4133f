"""Knot DNS, a real authoritative server with dynamic updates (RFC 2136) and TSIG, on loopback."""

import base64
import getpass
import os
import pathlib
import subprocess

from harness import LANE, Process, free_port, wait_until

SECRET = base64.b64encode(b"thirty-two bytes that are a key.").decode()
ZONE = """$ORIGIN {zone}.
@ 3600 SOA ns1 hostmaster 1 3600 600 86400 1
{servers}
{records}
"""


class Knot:
    """zones: {name: (addresses of its name servers, more records, whether the key may update it)}."""

    def __init__(self, folder, zones):
        self.folder = pathlib.Path(folder) / "knot"
        self.folder.mkdir()
        self.ip, self.port = "127.0.0.1", free_port()
        self.address = f"{self.ip}:{self.port}"
        text = [f"server:\n  listen: {self.ip}@{self.port}\n  rundir: {self.folder}\n  user: {getpass.getuser()}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1"]
        text.append(f"database:\n  storage: {self.folder}\n  journal-db-max-size: 16M")
        text.append(f"key:\n  - id: cardea\n    algorithm: hmac-sha256\n    secret: {SECRET}")
        text.append("acl:\n  - id: update\n    key: cardea\n    action: update")
        text.append(f"template:\n  - id: default\n    storage: {self.folder}\n    zonefile-sync: -1\n    zonefile-load: difference\n    journal-content: changes\nzone:")
        for name, (servers, records, updates) in zones.items():
            lines = "\n".join(f"@ 3600 NS ns{i}\nns{i} 3600 A {a}" for i, a in enumerate(servers, 1))
            (self.folder / f"{name}.zone").write_text(ZONE.format(zone=name, servers=lines, records=records))
            text.append(f"  - domain: {name}\n" + ("    acl: update\n" if updates else ""))
        config = self.folder / "knot.conf"
        config.write_text("\n".join(text))
        self.process = Process("knot", ["knotd", "-c", config], self.folder, {"PATH": os.environ["PATH"] + ":/usr/sbin"})

    def txt(self, name):
        r = subprocess.run(["host", "-W", "2", "-t", "TXT", "-p", str(self.port), name, self.ip], capture_output=True, text=True, timeout=20)
        return [line.split('"')[1] for line in r.stdout.splitlines() if '"' in line]

    def start(self, zone):
        self.process.start()

        def ready():
            assert self.process.alive(), self.process.log()
            r = subprocess.run(["host", "-W", "1", "-t", "SOA", "-p", str(self.port), zone, self.ip], capture_output=True, text=True, timeout=20)
            return "has SOA record" in r.stdout

        wait_until(ready, 20, "knot")
        return self

    def stop(self):
        self.process.stop()


# A second name server's address: the same port, another server.
SECOND = f"127.0.{LANE}.200"
