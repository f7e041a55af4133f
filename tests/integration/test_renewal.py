"""Certificates that live for seconds are renewed in time, again and again, under the same certificate id."""

import time

import pytest
import requests

from harness import Pebble, wait_until

VALIDITY = 12


class ShortPebble(Pebble):
    """A second authority beside the run's own: other ports, certificates that live for VALIDITY seconds."""

    def __init__(self, folder, http_port):
        ports = {"PEBBLE_PORT": "14010", "PEBBLE_MANAGEMENT_PORT": "15010", "PEBBLE_DNS_PORT": "8063", "PEBBLE_CHALLTEST_PORT": "8065"}
        super().__init__(folder, http_port, env={**ports, "PEBBLE_VALIDITY": str(VALIDITY)})
        self.directory = "https://127.0.0.1:14010/dir"


@pytest.fixture(scope="module")
def short(bare_cluster, http_port):
    p = ShortPebble(bare_cluster.folder, http_port).start()
    bare_cluster.add_control_plane(
        acme_directory=p.directory, acme_ca_file=p.ca_file, acme_allow_private="on", acme_max_in_flight=2
    ).start()
    bare_cluster.add_data_plane().start()
    requests.post("http://127.0.0.1:8065/set-default-ipv4", json={"ip": bare_cluster.data_planes[0].ip}, timeout=5)
    yield bare_cluster
    p.stop()


def test_renewed_before_the_end_without_a_gap(short):
    host = "short.example.com"
    d = short.data_planes[0]
    assert short.cp.issue(host).status_code == 201
    first = short.cp.get(f"/certificates/{host}").json()
    seen = [d.peer_certificate(host)]
    order = short.cp.get(f"/acme/orders?host={host}").json()["data"][0]
    assert order["state"] == "valid" and order["renew_at"] < order["not_after"]
    end = time.monotonic() + 2.5 * VALIDITY
    while time.monotonic() < end and len(seen) < 3:
        now = d.peer_certificate(host)
        if now != seen[-1]:
            seen.append(now)
        time.sleep(0.1)
    assert len(seen) == 3
    later = short.cp.get(f"/certificates/{host}").json()
    assert later["id"] == first["id"] and later["created_at"] == first["created_at"]
    orders = short.cp.get(f"/acme/orders?host={host}").json()["data"]
    assert all(o["renewal"] for o in orders[:-1]) and not orders[-1]["renewal"]
    # Only the newest certificate will be renewed again.
    assert [o["renew_at"] is not None for o in orders if o["state"] == "valid"] == [True] + [False] * (len([o for o in orders if o["state"] == "valid"]) - 1)


def test_forced_renewal(short):
    host = "forced.example.com"
    assert short.cp.issue(host).status_code == 201
    before = short.data_planes[0].peer_certificate(host)
    assert short.cp.patch("/acme", json={"force": True}).status_code < 300
    wait_until(lambda: short.data_planes[0].peer_certificate(host) != before, 20, "a new certificate")


def test_deleted_sni_is_not_renewed(short):
    host = "deleted.example.com"
    assert short.cp.issue(host).status_code == 201
    assert short.cp.delete(f"/snis/{host}").status_code == 204
    order = short.cp.get(f"/acme/orders?host={host}").json()["data"][0]
    wait_until(lambda: short.cp.get(f"/acme/orders/{order['id']}").json()["renew_at"] is None, 2 * VALIDITY, "renewal given up")
    assert len(short.cp.get(f"/acme/orders?host={host}").json()["data"]) == 1
    assert short.cp.get(f"/snis/{host}").status_code == 404
