"""The health of targets over several control planes: each answers alike, whichever has the data planes' streams."""

import subprocess

import pytest

from harness import wait_until
from test_upstreams import Backend

EVERY = {"interval": 0.1}
CHECKS = {"active": {"http_path": "/up", "healthy": {**EVERY, "successes": 1}, "unhealthy": {**EVERY, "http_failures": 1, "tcp_failures": 1}}}


@pytest.fixture(scope="module")
def planes(bare_cluster):
    """Two control planes with a data plane each."""
    first, second = bare_cluster.add_control_plane().start(), bare_cluster.add_control_plane().start()
    bare_cluster.add_data_plane(control_planes=[first.cluster_addr]).start()
    bare_cluster.add_data_plane(control_planes=[second.cluster_addr]).start()
    return bare_cluster


@pytest.fixture
def site(planes):
    """make(name, backends): an upstream of that name with its targets, which every data plane has."""
    made = []

    def make(name, n, **upstream):
        backends = [Backend(f"b{i}") for i in range(n)]
        made.extend(backends)
        cp = planes.cp
        r = cp.post("/upstreams", json={"name": name, "healthchecks": CHECKS, **upstream})
        assert r.status_code == 201, r.text
        for b in backends:
            r = cp.post(f"/upstreams/{name}/targets", json={"target": b.target}, headers={"Prefer": "wait=10"})
            assert r.status_code == 201, r.text
        return backends

    yield make
    for b in made:
        b.close()


def health(cp, name, **params):
    r = cp.get(f"/upstreams/{name}/health", params=params)
    assert r.status_code == 200, r.text
    page = r.json()
    assert page.pop("node_id")
    return page


def states(cp, name):
    return {t["target"]: t["health"] for t in health(cp, name)["data"]}


def alike(planes, name):
    """What both say, when they say the same."""
    said = [(health(cp, name), health(cp, name, balancer_health="1")) for cp in planes.control_planes]
    return said[0] if said[0] == said[1] else None


def test_every_control_plane_answers_alike(planes, site):
    a, b = site("alike.example.com", 2)
    for state, up in (("HEALTHY", 200), ("UNHEALTHY", 500), ("HEALTHY", 200)):
        b.up = up
        want = {a.target: "HEALTHY", b.target: state}
        for cp in planes.control_planes:
            wait_until(lambda: states(cp, "alike.example.com") == want, 40, f"{cp.name}: {want}")
        page, whole = wait_until(lambda: alike(planes, "alike.example.com"), 10, "both say the same")
        assert {t["target"]: t["health"] for t in page["data"]} == want
        assert whole["data"]["details"]["weight"]["available"] == (200 if up == 200 else 100)
    r = planes.cp.delete(f"/upstreams/alike.example.com/targets/{b.target}", headers={"Prefer": "wait=10"})
    assert r.status_code == 204
    for cp in planes.control_planes:
        wait_until(lambda: states(cp, "alike.example.com") == {a.target: "HEALTHY"}, 10, "without it")


def test_who_has_left_has_no_say(planes, site):
    """A data plane that has left has no say, and none at all means that nobody checks."""
    (a,) = site("sees.example.com", 1)
    name, target = "sees.example.com", a.target
    first, second = planes.data_planes
    for cp in planes.control_planes:
        wait_until(lambda: states(cp, name) == {target: "HEALTHY"}, 40, "healthy")
    a.up = 500
    for cp in planes.control_planes:
        wait_until(lambda: states(cp, name) == {target: "UNHEALTHY"}, 40, "unhealthy")
    # Nobody of the first control plane looks after it now: what the second has counts there too.
    first.process.stop()
    a.up = 200
    for cp in planes.control_planes:
        wait_until(lambda: states(cp, name) == {target: "HEALTHY"}, 40, "healthy again")
    second.process.stop()
    for cp in planes.control_planes:
        wait_until(lambda: states(cp, name) == {target: "HEALTHCHECKS_OFF"}, 40, "nobody is there")
    for d in (first, second):
        d.start()
    for cp in planes.control_planes:
        wait_until(lambda: states(cp, name) == {target: "HEALTHY"}, 40, "they are back")


def test_control_plane_that_is_killed(planes, site):
    """What the one that is gone wrote is not believed for long, and is written anew when it comes back."""
    (a,) = site("killed.example.com", 1)
    one, other = planes.control_planes
    for cp in (one, other):
        wait_until(lambda: states(cp, "killed.example.com") == {a.target: "HEALTHY"}, 40, "healthy")
    other.process.kill()
    planes.data_planes[0].process.signal(19)  # SIGSTOP: the one that is left hears of nobody
    try:
        wait_until(lambda: states(one, "killed.example.com") == {a.target: "HEALTHCHECKS_OFF"}, 60, "nobody is there")
    finally:
        planes.data_planes[0].process.signal(18)  # SIGCONT
        other.start()
    a.up = 500
    for cp in (one, other):
        wait_until(lambda: states(cp, "killed.example.com") == {a.target: "UNHEALTHY"}, 40, "told again")


def test_rows_are_written_only_for_changes(planes, site, database):
    """A new stream of a data plane that has nothing new to tell writes nothing."""
    backends = site("stable.example.com", 2)
    for cp in planes.control_planes:
        wait_until(lambda: set(states(cp, "stable.example.com").values()) == {"HEALTHY"}, 40, "healthy")

    def rows(*of):
        sql = (
            "SELECT h.node, h.address, h.told FROM target_health h JOIN nodes n ON n.id = h.node AND n.control_plane = h.control_plane"
            f" WHERE h.address IN ({', '.join(repr(b.target) for b in of)}) ORDER BY 1, 2"
        )
        return subprocess.run(["psql", database, "-Atqc", sql], check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()

    wait_until(lambda: len(rows(*backends)) == 4, 40, "both data planes' rows")
    before = rows(*backends)
    d = planes.data_planes[0]
    d.process.stop()
    d.start()
    # What it tells behind its first report is there: so is that.
    later = site("later.example.com", 1)
    wait_until(lambda: len(rows(*later)) == 2, 40, "a change")
    assert rows(*backends) == before
