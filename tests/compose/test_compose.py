"""Three data planes behind one DNS name, two control planes; 20 hostnames issued in parallel while something breaks."""

import concurrent.futures
import subprocess
import threading
import time

import pytest
import requests

from stack import CARDEA_SERVICES, Stack, docker, inspect, wait_until
import pki

# Pebble makes the certificate of its own API itself.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

HOSTS = 20
SCENARIOS = ["calm", "cpkill", "pgrestart", "dpkill", "dpjoin"]


def hosts_of(scenario):
    return [f"{scenario}{i}.example.test" for i in range(HOSTS)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    s = Stack(tmp_path_factory.mktemp("compose"), [h for n in SCENARIOS for h in hosts_of(n)])
    s.down()
    try:
        s.compose("build", "--force-rm")
        s.compose("up", "-d", "--scale", "data-plane=3")
        wait_until(lambda: len(s.connected()) == 3, 60, "three data planes connected")
        s.keep_root()
    except BaseException:
        print(s.compose("logs", "--tail=40", "--no-color", check=False))
        s.down()
        raise
    try:
        yield s
    finally:
        s.down()
        s.remove_build_stages()


@pytest.fixture(autouse=True)
def logs_of_a_failure(request, stack):
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(stack.compose("logs", "--tail=80", "--no-color", check=False))


class Writer:
    """Writes a certificate after the other to any control plane that answers, and remembers which were acknowledged."""

    _count = 0

    def __init__(self, stack):
        self.stack = stack
        self.acknowledged = {}  # name: DER
        self.revisions = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stopped.set()
        self.thread.join(30)

    def _run(self):
        while not self.stopped.is_set():
            for admin in self.stack.admins():
                Writer._count += 1
                name = f"written{Writer._count}.example.org"
                cert, cert_pem, key_pem = pki.pair(name)
                try:
                    r = requests.post(f"{admin}/certificates", json={"cert": cert_pem, "key": key_pem, "snis": [name]}, timeout=5)
                except requests.RequestException:
                    continue
                if r.status_code == 201:
                    self.acknowledged[name] = pki.der(cert)
                    self.revisions.append(int(r.headers["X-Cardea-Revision"]))
            time.sleep(0.1)

    def check(self):
        """Nothing acknowledged is lost: the admin API knows it and every data plane serves it."""
        assert self.acknowledged and self.revisions == sorted(set(self.revisions))
        admins, data_planes = self.stack.admins(), self.stack.data_planes()
        for name, der in self.acknowledged.items():
            assert self.stack.get(f"/snis/{name}", admins)["name"] == name
            for address in data_planes:
                wait_until(lambda: self.stack.leaf(address, name, verify=False) == der, 10, f"{address} serves {name}")


def start_orders(stack, scenario):
    admins = stack.admins()
    with concurrent.futures.ThreadPoolExecutor(HOSTS) as pool:
        return list(pool.map(lambda ih: stack.request(admins[ih[0] % len(admins)], ih[1]), enumerate(hosts_of(scenario))))


def issue_with_fault(stack, scenario, fault):
    """Starts the orders; fault(ids) runs when some are valid and others are not, and others are still not valid when it returns."""
    ids = start_orders(stack, scenario)
    assert len(set(ids)) == HOSTS
    wait_until(lambda: stack.states(ids).count("valid") >= 1, 60, "first order valid")
    assert stack.states(ids).count("valid") < HOSTS, "all were valid before the fault"
    fault(ids)
    states = wait_until(lambda: stack.states(ids), 30, "orders can be read after the fault")
    assert states.count("valid") < HOSTS, "all were valid when the fault had happened"
    return ids


def wait_valid(stack, ids):
    wait_until(lambda: set(stack.states(ids)) == {"valid"}, 120, "all orders valid")


def check_served(stack, hosts):
    """Every data plane serves a valid certificate of each host, and all of them the same one."""
    addresses = stack.data_planes()
    for host in hosts:
        leaves = [wait_until(lambda: stack.leaf(a, host), 10, f"{a} serves {host}") for a in addresses]
        assert len(set(leaves)) == 1, host


def test_images_and_containers(stack):
    """Not root, nothing writable but the cache, no capability."""
    for image in ("tools", "control-plane", "data-plane"):
        assert inspect(f"cardea-test/{image}")["Config"]["User"] == "cardea"
    for service in CARDEA_SERVICES:
        for container in stack.containers(service, "-a"):
            host = inspect(container)["HostConfig"]
            assert host["ReadonlyRootfs"] is True and host["CapDrop"] == ["ALL"], service
            assert not host["Privileged"] and not host["CapAdd"]
    for service in ("control-plane-1", "data-plane"):
        container = stack.containers(service)[0]
        assert "no-new-privileges:true" in inspect(container)["HostConfig"]["SecurityOpt"]
        assert docker("exec", container, "id", "-u") == "10001"
        status = docker("exec", container, "cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status and "Uid:\t10001\t10001" in status
        assert subprocess.run(["docker", "exec", container, "touch", "/usr/x"], capture_output=True).returncode != 0
    # The CA's key and the keyring stay with the control planes.
    assert docker("exec", stack.containers("data-plane")[0], "ls", "/etc/cardea/data-plane").split() == ["ca.crt", "node.crt", "node.key"]
    assert docker("exec", stack.containers("data-plane")[0], "ls", "/etc/cardea/control-plane") == ""


def test_calm(stack):
    ids = start_orders(stack, "calm")
    wait_valid(stack, ids)
    check_served(stack, hosts_of("calm"))


def test_post_quantum_key_exchange(stack):
    """OpenSSL 3.5 offers X25519MLKEM768 by default, and gets it."""
    (client,) = stack.containers("pebble")
    for address in stack.data_planes():
        shown = docker("exec", client, "sh", "-c", f"openssl s_client -connect {address}:8443 -servername calm0.example.test </dev/null 2>&1")
        assert "Negotiated TLS1.3 group: X25519MLKEM768" in shown, shown


def test_kill_of_the_control_plane_that_holds_leases(stack):
    killed = {}

    def fault(ids):
        planes = {stack.node_id(c): c for c in stack.control_planes()}
        assert len(planes) == 2

        def held():
            return [o for o in stack.orders(ids) if o["state"] != "valid" and o["lease_owner"] in planes]

        owner = wait_until(held, 30, "a lease held")[0]["lease_owner"]
        docker("kill", "-s", "KILL", planes[owner])
        # What it held it still holds: nobody gave it back.
        killed.update(container=planes[owner], held=[o["id"] for o in held() if o["lease_owner"] == owner], owner=owner)
        assert killed["held"], "the control plane held no lease when it died"

    with Writer(stack) as writer:
        ids = issue_with_fault(stack, "cpkill", fault)
        try:
            wait_valid(stack, ids)
            check_served(stack, hosts_of("cpkill"))
        finally:
            docker("start", killed["container"])
    wait_until(lambda: stack.node_id(killed["container"]) and len(stack.connected()) == 3, 60, "control plane back")
    writer.check()


def test_restart_of_postgresql(stack):
    (database,) = stack.containers("postgres")
    with Writer(stack) as writer:
        before = inspect(database)["State"]["StartedAt"]
        ids = issue_with_fault(stack, "pgrestart", lambda ids: docker("restart", database))
        assert inspect(database)["State"]["StartedAt"] != before
        wait_valid(stack, ids)
    check_served(stack, hosts_of("pgrestart"))
    writer.check()


def test_kill_of_a_data_plane(stack):
    victim = stack.containers("data-plane")[0]
    with Writer(stack) as writer:
        ids = issue_with_fault(stack, "dpkill", lambda ids: docker("kill", "-s", "KILL", victim))
        try:
            wait_valid(stack, ids)
            assert len(stack.data_planes()) == 2
            check_served(stack, hosts_of("dpkill"))
        finally:
            docker("start", victim)
    wait_until(lambda: len(stack.connected()) == 3, 60, "data plane back")
    check_served(stack, hosts_of("dpkill"))
    writer.check()


def test_a_data_plane_joins(stack):
    stack.compose("up", "--no-start", "--no-recreate", "--scale", "data-plane=4")
    (newcomer,) = set(stack.containers("data-plane", "-a")) - set(stack.containers("data-plane"))
    with Writer(stack) as writer:
        ids = issue_with_fault(stack, "dpjoin", lambda ids: docker("start", newcomer))
        wait_until(lambda: len(stack.connected()) == 4, 30, "fourth data plane connected")
        wait_valid(stack, ids)
    for scenario in SCENARIOS:
        check_served(stack, hosts_of(scenario))
    writer.check()


def test_restart_without_control_planes_and_database(stack):
    """The cache is the truth while nobody else is there."""
    victims = [*stack.containers("postgres"), *stack.control_planes()]
    assert len(victims) == 3
    for c in victims:
        docker("kill", "-s", "KILL", c)
    try:
        for c in stack.containers("data-plane"):
            docker("kill", "-s", "KILL", c)
            docker("start", c)
            wait_until(lambda: stack.ready(stack.address(c)), 10, "ready from the cache")
        for scenario in SCENARIOS:
            check_served(stack, hosts_of(scenario))
    finally:
        for c in victims:
            docker("start", c)
    wait_until(lambda: len(stack.connected()) == 4, 60, "data planes connected again")


def test_stop_is_graceful(stack):
    """TERM drains and ends with 0, well before docker's patience does."""
    for service in ("data-plane", "control-plane-1"):
        container = stack.containers(service)[0]
        docker("stop", "-t", "30", container)
        assert inspect(container)["State"]["ExitCode"] == 0, service
        docker("start", container)
