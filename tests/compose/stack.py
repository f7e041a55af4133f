"""The compose file's cluster as the tests see it: its containers, their addresses, and what is asked of them."""

import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from harness import wait_until  # noqa: E402

PROJECT = "cardeatest"
BASE = "cardea-test/debian:13"
CARDEA_SERVICES = ("init", "control-plane-1", "control-plane-2", "data-plane")


def docker(*args, check=True):
    r = subprocess.run(["docker", *args], capture_output=True, text=True, timeout=300)
    assert not check or r.returncode == 0, r.stdout + r.stderr
    return r.stdout.strip()


def inspect(name):
    return json.loads(docker("inspect", name))[0]


def compose_command():
    """Debian 13 has compose v2, Debian 12 has docker-compose 1.29."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


class Stack:
    def __init__(self, folder, hosts):
        """hosts: names that resolve to the data planes."""
        images = {s: "cardea-test/" + re.sub(r"-\d$", "", s.replace("init", "tools")) for s in CARDEA_SERVICES}
        services = {
            **{s: {"image": i, "build": {"args": {"BUILD_BASE": BASE, "RUN_BASE": BASE}, "network": "host"}} for s, i in images.items()},
            **{s: {"image": "cardea-test/services", "build": {"args": {"BASE": BASE}, "network": "host"}} for s in ("postgres", "pebble")},
        }
        # A validation takes up to two seconds, so that there is time for a fault while orders are in flight.
        services["pebble"]["environment"] = {"PEBBLE_VA_NOSLEEP": "", "PEBBLE_VA_SLEEPTIME": "3"}
        services["data-plane"]["networks"] = {"default": {"aliases": hosts}}
        self.override = folder / "override.json"
        self.override.write_text(json.dumps({"version": "3.8", "services": services}))
        self.root = None

    def compose(self, *args, check=True):
        files = ["-f", str(ROOT / "deploy/compose/compose.yml"), "-f", str(self.override)]
        env = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        r = subprocess.run([*compose_command(), "-p", PROJECT, *files, *args], capture_output=True, text=True, timeout=900, env=env)
        assert not check or r.returncode == 0, (r.stdout + r.stderr)[-6000:]
        return r.stdout

    def down(self):
        self.compose("down", "-v", "--remove-orphans", "-t", "3")

    def remove_build_stages(self):
        docker("image", "prune", "-f", "--filter", "label=cardea.stage=build")

    def _running(self, *flags):
        """(service, container) of each."""
        shown = docker("ps", *flags, f"--filter=label=com.docker.compose.project={PROJECT}", "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}')
        return [tuple(line.split()) for line in sorted(shown.splitlines())]

    def containers(self, service, *flags):
        return [c for s, c in self._running(*flags) if s == service]

    def addresses(self, containers):
        shown = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", *containers) if containers else ""
        return shown.split()

    def address(self, container):
        return self.addresses([container])[0]

    # --- control planes ---

    def control_planes(self):
        """Container of each control plane that runs."""
        return [c for s, c in self._running() if s.startswith("control-plane-")]

    def admin(self, container):
        return f"http://{self.address(container)}:8001"

    def admins(self):
        return [f"http://{a}:8001" for a in self.addresses(self.control_planes())]

    def node_id(self, container):
        return requests.get(self.admin(container), timeout=5).json()["node_id"]

    def get(self, path, admins=None):
        """From the first control plane that answers."""
        problem = None
        for admin in admins or self.admins():
            try:
                r = requests.get(admin + path, timeout=5)
                r.raise_for_status()
                return r.json()
            except requests.RequestException as e:
                problem = e
        raise problem or AssertionError("no control plane runs")

    def connected(self):
        return [n for n in self.get("/clustering/data-planes")["data"] if n["connected"]]

    def orders(self, ids):
        rows = {o["id"]: o for o in self.get("/acme/orders?size=1000")["data"]}
        return [rows[i] for i in ids]

    def states(self, ids):
        return [o["state"] for o in self.orders(ids)]

    def request(self, admin, host):
        """Asks until the order is acknowledged; its id."""

        def ask():
            r = requests.post(admin + "/acme", data={"host": host}, headers={"Prefer": "respond-async"}, timeout=10)
            return r.status_code in (201, 202) and r.json()["order"]["id"]

        return wait_until(ask, 60, f"order for {host} acknowledged")

    # --- data planes ---

    def data_planes(self):
        return self.addresses(self.containers("data-plane"))

    def ready(self, address):
        return requests.get(f"http://{address}:8007/status/ready", timeout=5).status_code == 200

    def keep_root(self):
        (pebble,) = self.containers("pebble")
        self.root = requests.get(f"https://{self.address(pebble)}:15000/roots/0", verify=False, timeout=10).text

    def leaf(self, address, host, verify=True):
        """DER of the certificate that this data plane serves for the host; verified against Pebble's root."""
        context = ssl.create_default_context(cadata=self.root)
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((address, 8443), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=host) as tls:
                return tls.getpeercert(binary_form=True)
