"""Data planes between control planes of which one is cut off from the database (reliability-goals FL-10, F14; I4)."""

import time

import pytest

from harness import wait_until
from pki import der, pair
from relay import Relay

AHEAD_S = 10  # so long a control plane waits before it takes a data plane that is ahead of it back (proto/README.md)


@pytest.fixture(scope="module")
def split(bare_cluster, database):
    """Two control planes, the first behind a relay, and a data plane that prefers the second."""
    c = bare_cluster
    c.relay = Relay(database)
    cut_off = c.add_control_plane(pg_dsn=c.relay.dsn).start()
    good = c.add_control_plane().start()
    c.add_data_plane(control_planes=[good.cluster_addr, cut_off.cluster_addr]).start()
    yield c
    c.relay.close()


def put(cp, host):
    cert, cert_pem, key = pair(host)
    r = cp.put(f"/certificates/{host}", json={"cert": cert_pem, "key": key}, headers={"Prefer": "wait=15"})
    assert r.status_code == 200, r.text
    return der(cert)


def test_fl_10_stale_control_plane_takes_nothing_back(split):
    """The data plane comes to a control plane that has not read the newest certificate, because it has no database: that one
    cannot say that the write was lost."""
    cut_off, good = split.control_planes
    plane = split.data_planes[0]
    host = "newest.example.com"
    r = good.post("/certificates", json=dict(zip(("cert", "key"), pair(host)[1:]), snis=[host]), headers={"Prefer": "wait=15"})
    assert r.status_code == 201, r.text
    held = plane.status().json()["configuration"]["revision"]
    wait_until(lambda: cut_off.get("/status").json()["database"]["reachable"], 20, "both at the same state")
    split.relay.cut()
    newest = put(good, host)
    assert plane.peer_certificate(host) == newest
    good.process.stop()
    wait_until(lambda: plane.status().json()["control_plane"]["connected"], 40, "stream to the stale control plane")
    end = time.monotonic() + AHEAD_S + 5
    while time.monotonic() < end:
        assert plane.peer_certificate(host) == newest
        assert plane.status().json()["configuration"]["revision"] > held
        time.sleep(0.1)
    split.relay.mend()
    again = wait_until(lambda: cut_off.get("/status").json()["database"]["reachable"] and put(cut_off, host), 90, "a write by the control plane that is back")
    assert plane.peer_certificate(host) == again
