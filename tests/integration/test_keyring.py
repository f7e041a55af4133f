"""Keys at rest: rotation of the keyring, a key that is missing, and secrets that must not show."""

import subprocess

import pytest
import requests

from harness import BUILD, wait_until
from pki import pair


@pytest.fixture(scope="module")
def plane(bare_cluster):
    bare_cluster.add_control_plane().start()
    bare_cluster.add_data_plane().start()
    return bare_cluster


def add(cluster, host):
    _, cert, key = pair(host)
    r = cluster.cp.post("/certificates", json={"cert": cert, "key": key, "snis": [host]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    return r.json()["id"], key


def key_of(cluster, certificate):
    return cluster.cp.get(f"/certificates/{certificate}").json()["key"]


def sealed_under(database):
    sql = "SELECT DISTINCT get_byte(key, 5) FROM certificates ORDER BY 1"
    return subprocess.run(["psql", database, "-Atc", sql], capture_output=True, text=True, check=True).stdout.split()


def test_rotation_and_a_missing_key(plane, database):
    ring = plane.folder / "keyring"
    old, old_key = add(plane, "old.example.com")
    plane.cp.process.stop()
    subprocess.run([BUILD / "cardea", "keyring", ring], check=True, capture_output=True)
    first, second = ring.read_text().splitlines()
    plane.cp.start()
    new, new_key = add(plane, "new.example.com")
    assert sealed_under(database) == ["1", "2"]
    assert key_of(plane, old) == old_key and key_of(plane, new) == new_key

    # Without the first key: it says which, is not ready, and a data plane without a cache is not told that there is nothing.
    plane.cp.process.stop()
    ring.write_text(second + "\n")
    plane.cp.start(wait=False)
    wait_until(lambda: "key-encryption key 1 is not in the keyring" in plane.cp.process.log(), what="log")
    ready = f"http://{plane.cp.ip}:{plane.cp.status_port}/status/ready"
    wait_until(lambda: "not loaded" in (r := requests.get(ready, timeout=2)).text and r.status_code == 503, what="not ready")
    dp = plane.data_planes[0]
    assert dp.peer_certificate("old.example.com") and dp.peer_certificate("new.example.com")
    fresh = plane.add_data_plane().start(wait=False)
    wait_until(lambda: "stream to control plane is open" in fresh.process.log(), what="stream")
    assert fresh.status("/status/ready").status_code == 503

    # And with it again all goes on.
    plane.cp.process.stop()
    ring.write_text(first + "\n" + second + "\n")
    plane.cp.start()
    fresh.wait_ready()
    for d in plane.data_planes:
        assert d.peer_certificate("old.example.com") and d.peer_certificate("new.example.com")


def test_a_control_plane_without_the_new_key(plane, database):
    """During a rotation: its data planes do not ack what it cannot read."""
    ring = plane.folder / "keyring"
    other = plane.add_control_plane(keyring_file=plane.folder / "keyring-old").start(wait=False)
    (plane.folder / "keyring-old").write_text(ring.read_text().splitlines()[0] + "\n")
    (plane.folder / "keyring-old").chmod(0o600)
    other.process.kill()
    subprocess.run(["psql", database, "-qc", "DELETE FROM snis; DELETE FROM certificates"], check=True, capture_output=True)
    other.start()
    watcher = plane.add_data_plane(control_planes=[other.cluster_addr]).start()
    _, cert, key = pair("unseen.example.com")
    r = plane.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["unseen.example.com"]}, headers={"Prefer": "wait=2"})
    assert r.status_code == 202 and watcher.node_id in r.headers["X-Cardea-Missing-Nodes"], (r.status_code, r.headers)

    other.process.stop()
    (plane.folder / "keyring-old").write_text(ring.read_text())
    other.start()
    wait_until(lambda: watcher.peer_certificate("unseen.example.com"), what="served after the keyring came")


def test_secrets_do_not_show(plane):
    """Not in logs at level debug, not in answers that have no business with them."""
    cert_id, key = add(plane, "secret.example.com")
    body = key.split("\n")[2]
    secret_lines = [body, *(line.split()[1] for line in (plane.folder / "keyring").read_text().splitlines())]
    bad = plane.cp.post("/certificates", json={"cert": "garbage", "key": key})
    also = plane.cp.post("/certificates", data=f'{{"cert": 1, "key": "{body}', headers={"Content-Type": "application/json"})
    for text in (bad.text, also.text, plane.cp.get("/").text, plane.cp.get("/metrics").text, plane.cp.get("/endpoints").text):
        assert not any(s in text for s in secret_lines)
    for p in plane.control_planes + plane.data_planes:
        assert not any(s in p.process.log() for s in secret_lines), p.name
