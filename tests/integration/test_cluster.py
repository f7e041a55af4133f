"""Several control planes on one database, and what faults do to orders and streams."""

import concurrent.futures
import signal

import pytest
import requests

from harness import CHALLTEST, wait_until
from pki import der, pair


@pytest.fixture(scope="module")
def twins(bare_cluster, pebble):
    """Two control planes, two data planes that know both."""
    for _ in range(2):
        bare_cluster.add_control_plane(
            acme_directory=pebble.directory, acme_ca_file=pebble.ca_file, acme_allow_private="on", acme_max_in_flight=1
        ).start()
    for _ in range(2):
        bare_cluster.add_data_plane().start()
    requests.post(f"{CHALLTEST}/set-default-ipv4", json={"ip": bare_cluster.data_planes[0].ip}, timeout=5)
    return bare_cluster


def write(cp, host):
    cert, cert_pem, key = pair(host)
    r = cp.post("/certificates", json={"cert": cert_pem, "key": key, "snis": [host]}, headers={"Prefer": "wait=15"})
    return r, der(cert)


def test_a_write_at_either_control_plane_reaches_every_data_plane(twins):
    for i, cp in enumerate(twins.control_planes):
        r, want = write(cp, f"either{i}.example.com")
        assert r.status_code == 201, r.text
        for d in twins.data_planes:
            assert d.peer_certificate(f"either{i}.example.com") == want


def test_data_planes_go_to_the_other_control_plane(twins):
    first, second = twins.control_planes
    first.process.kill()
    wait_until(lambda: all(n["connected"] for n in second.get("/clustering/data-planes").json()["data"]), 40, "all streams at the other control plane")
    r, want = write(second, "moved.example.com")
    assert r.status_code == 201, r.text
    assert all(d.peer_certificate("moved.example.com") == want for d in twins.data_planes)
    first.start()


def test_order_survives_the_death_of_its_control_plane(twins):
    first, second = twins.control_planes
    hosts = [f"survive{i}.example.com" for i in range(6)]
    ids = [first.post("/acme", data={"host": h}, headers={"Prefer": "respond-async"}).json()["order"]["id"] for h in hosts]
    first.process.kill()
    for i in ids:
        wait_until(lambda: second.get(f"/acme/orders/{i}").json()["state"] == "valid", 90, "order valid at the other control plane")
    first.start()


def test_database_restart_during_issuance(twins, postgres):
    hosts = [f"dbrestart{i}.example.com" for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(twins.control_planes[i % 2].issue, h, 60) for i, h in enumerate(hosts)]
        postgres.stop()
        postgres.start()
        accepted = [h for h, a in zip(hosts, answers) if a.result().status_code in (201, 202, 500)]
    for h in accepted:

        def valid():
            orders = twins.cp.get(f"/acme/orders?host={h}").json()["data"]
            return orders and orders[0]["state"] == "valid"

        wait_until(valid, 90, f"{h} valid after the restart")


def test_writes_are_refused_soon_while_the_database_is_away(twins, postgres):
    postgres.stop()
    try:
        cert, cert_pem, key = pair("away.example.com")
        r = twins.cp.post("/certificates", json={"cert": cert_pem, "key": key}, timeout=10)
        assert r.status_code == 503 and r.elapsed.total_seconds() < 5
        assert int(r.headers["Retry-After"]) > 0
        assert twins.cp.get("/status").json()["database"]["reachable"] is False
    finally:
        postgres.start()
    wait_until(lambda: twins.cp.get("/status").json()["database"]["reachable"], 20, "database reachable")
    r, _ = write(twins.cp, "back.example.com")
    assert r.status_code == 201, r.text


def test_acknowledged_writes_survive_kill_of_the_control_plane(twins):
    cp = twins.cp
    acknowledged = []
    for round_ in range(5):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(write_quietly, cp, f"ack{round_}-{i}.example.com") for i in range(16)]
            wait_until(lambda: any(j.done() for j in jobs), 20, "first write answered")
            cp.process.kill()
            acknowledged += [j.result() for j in jobs if j.result()]
        cp.start()
    assert acknowledged
    names = set()
    url = "/snis?size=1000"
    while url:
        page = cp.get(url).json()
        names |= {s["name"] for s in page["data"]}
        url = page["next"]
    assert set(acknowledged) <= names


def write_quietly(cp, host):
    """The host when the write was acknowledged, None when the connection broke or it was refused."""
    try:
        cert, cert_pem, key = pair(host)
        r = cp.post("/certificates", json={"cert": cert_pem, "key": key, "snis": [host]}, timeout=15)
        return host if r.status_code == 201 else None
    except requests.RequestException:
        return None


def test_stopped_control_plane_loses_its_lease_and_cannot_spoil_the_order(twins):
    first, second = twins.control_planes
    first.process.signal(signal.SIGSTOP)
    try:
        r = second.issue("fenced.example.com", 60)
        assert r.status_code == 201, r.text
    finally:
        first.process.signal(signal.SIGCONT)
    wait_until(lambda: first.get("/status").status_code == 200, 20, "first control plane back")
    assert second.get("/acme/orders?host=fenced.example.com").json()["data"][0]["state"] == "valid"
