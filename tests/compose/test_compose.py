"""Three data planes behind one DNS name, two control planes; 20 hostnames issued in parallel while something breaks."""

import concurrent.futures
import json
import os
import pathlib
import socket
import ssl
import subprocess
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = "cardeatest"
HOSTS = 20
SCENARIOS = ["calm", "cpkill", "pgrestart", "dpkill", "dpjoin"]


def hosts_of(scenario):
    return [f"{scenario}{i}.example.test" for i in range(HOSTS)]


def docker(*args, check=True):
    r = subprocess.run(["docker", *args], capture_output=True, text=True, timeout=300)
    assert not check or r.returncode == 0, r.stdout + r.stderr
    return r.stdout.strip()


def compose_command():
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


class Stack:
    def __init__(self, folder):
        aliases = [h for s in SCENARIOS for h in hosts_of(s)]
        build = {"args": {"BUILD_BASE": "cardea-test/build:13", "RUN_BASE": "cardea-test/run:13"}}
        override = {
            "version": "3.8",
            "services": {
                **{s: {"build": build} for s in ("init", "control-plane-1", "control-plane-2", "data-plane")},
                "postgres": {"build": {"args": {"BASE": "cardea-test/services:13"}}},
            },
        }
        override["services"]["data-plane"]["networks"] = {"default": {"aliases": aliases}}
        self.override = folder / "override.json"
        self.override.write_text(json.dumps(override))

    def compose(self, *args, timeout=900):
        command = [*compose_command(), "-p", PROJECT, "-f", str(ROOT / "deploy/compose/compose.yml"), "-f", str(self.override), *args]
        env = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        r = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env)
        assert r.returncode == 0, (r.stdout + r.stderr)[-6000:]
        return r.stdout

    def containers(self, service, running=True):
        flags = [] if running else ["-a"]
        ids = docker("ps", *flags, "-q", "--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", f"label=com.docker.compose.service={service}")
        return sorted(ids.split())

    def address(self, container):
        return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)

    def admin(self, n):
        (container,) = self.containers(f"control-plane-{n}")
        return f"http://{self.address(container)}:8001"

    def admins(self):
        return [self.admin(n) for n in (1, 2) if self.containers(f"control-plane-{n}")]

    def data_planes(self):
        return [self.address(c) for c in self.containers("data-plane")]


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError, requests.RequestException, AssertionError) as e:
            last = e
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s; last: {last!r}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    s = Stack(tmp_path_factory.mktemp("compose"))
    s.compose("down", "-v", "--remove-orphans")
    s.compose("build")
    s.compose("up", "-d", "--scale", "data-plane=3")
    try:
        wait_until(lambda: len(connected(s)) == 3, 120, "three data planes connected")
        yield s
    except BaseException:
        print(s.compose("logs", "--tail=60", "--no-color"))
        raise
    finally:
        s.compose("down", "-v", "--remove-orphans")


def connected(stack):
    rows = requests.get(stack.admins()[0] + "/clustering/data-planes", timeout=5).json()["data"]
    return [n for n in rows if n["connected"]]


def root_certificate(stack):
    (pebble,) = stack.containers("pebble")
    return requests.get(f"https://{stack.address(pebble)}:15000/roots/0", verify=False, timeout=10).text


def serves(address, host, root):
    context = ssl.create_default_context(cadata=root)
    with socket.create_connection((address, 8443), timeout=5) as raw:
        with context.wrap_socket(raw, server_hostname=host):
            return True


def order(stack, admin, host):
    """Asks until one control plane acknowledged the order."""

    def ask():
        r = requests.post(admin + "/acme", data={"host": host}, headers={"Prefer": "respond-async"}, timeout=10)
        return r.status_code in (201, 202) and r.json()["order"]["id"]

    return wait_until(ask, 60, f"order for {host} acknowledged")


def start_orders(stack, scenario):
    admins = stack.admins()
    with concurrent.futures.ThreadPoolExecutor(HOSTS) as pool:
        return list(pool.map(lambda ih: order(stack, admins[ih[0] % len(admins)], ih[1]), enumerate(hosts_of(scenario))))


def states(stack, ids):
    admin = stack.admins()[0]
    return [requests.get(f"{admin}/acme/orders/{i}", timeout=10).json()["state"] for i in ids]


def wait_some_valid(stack, ids):
    wait_until(lambda: states(stack, ids).count("valid") >= 2, 120, "first orders valid")


def wait_all_valid_and_served(stack, ids, scenario, data_planes):
    wait_until(lambda: set(states(stack, ids)) == {"valid"}, 240, "all orders valid")
    root = root_certificate(stack)
    for host in hosts_of(scenario):
        for address in data_planes():
            wait_until(lambda: serves(address, host, root), 30, f"{address} serves {host}")


def test_calm(stack):
    ids = start_orders(stack, "calm")
    wait_all_valid_and_served(stack, ids, "calm", stack.data_planes)


def test_kill_of_the_control_plane_that_holds_leases(stack):
    ids = start_orders(stack, "cpkill")
    wait_some_valid(stack, ids)
    (victim,) = stack.containers("control-plane-1")
    docker("kill", "-s", "KILL", victim)
    try:
        wait_all_valid_and_served(stack, ids, "cpkill", stack.data_planes)
    finally:
        docker("start", victim)
    wait_until(lambda: len(stack.admins()) == 2 and connected(stack), 60, "control plane back")


def test_restart_of_postgresql(stack):
    ids = start_orders(stack, "pgrestart")
    wait_some_valid(stack, ids)
    (database,) = stack.containers("postgres")
    docker("restart", "-t", "1", database)
    wait_all_valid_and_served(stack, ids, "pgrestart", stack.data_planes)


def test_kill_of_a_data_plane(stack):
    ids = start_orders(stack, "dpkill")
    wait_some_valid(stack, ids)
    victim = stack.containers("data-plane")[0]
    docker("kill", "-s", "KILL", victim)
    wait_until(lambda: set(states(stack, ids)) == {"valid"}, 240, "all orders valid")
    docker("start", victim)
    wait_all_valid_and_served(stack, ids, "dpkill", stack.data_planes)


def test_a_data_plane_joins(stack):
    ids = start_orders(stack, "dpjoin")
    wait_some_valid(stack, ids)
    stack.compose("up", "-d", "--no-recreate", "--scale", "data-plane=4")
    wait_until(lambda: len(stack.data_planes()) == 4 and len(connected(stack)) >= 4, 60, "fourth data plane connected")
    wait_all_valid_and_served(stack, ids, "dpjoin", stack.data_planes)


def test_restart_without_control_planes_and_database(stack):
    """The cache is the truth while nobody else is there."""
    victims = [c for s in ("control-plane-1", "control-plane-2", "postgres") for c in stack.containers(s)]
    root = root_certificate(stack)
    for c in victims:
        docker("kill", "-s", "KILL", c)
    try:
        for c in stack.containers("data-plane"):
            docker("kill", "-s", "KILL", c)
            docker("start", c)
            for host in hosts_of("calm"):
                wait_until(lambda: serves(stack.address(c), host, root), 20, f"{host} served from the cache")
    finally:
        for c in reversed(victims):
            docker("start", c)
