"""What the tests of plugins share: a data plane that may ask responders on loopback, an authority, consumers, routes with plugins,
and clients that must not get in."""

import itertools

import pytest

from client_pki import HOUR, Holder, Sources
from cryptography.x509.oid import ExtendedKeyUsageOID
from upstreams import Upstream

NOT_SENT, NOT_VERIFIED = "No required TLS certificate was sent", "TLS certificate failed verification"
numbers = itertools.count(1)


@pytest.fixture
def upstream():
    u = Upstream()
    yield u
    u.close()


@pytest.fixture(scope="module")
def plane(bare_cluster):
    """One control plane and one data plane that may ask responders on loopback."""
    bare_cluster.add_control_plane().start()
    return bare_cluster.add_data_plane(revocation_allow_private="on").start()


@pytest.fixture(scope="module")
def trusting(plane):
    """A data plane that believes what comes from loopback."""
    return plane.cluster.add_data_plane(trusted_ips="127.0.0.0/8").start()


@pytest.fixture(scope="module")
def cp(plane):
    return plane.cluster.cp


@pytest.fixture(scope="module")
def root():
    return Holder("root", ca=True)


def write(cp, method, path, body):
    """Written, and held by every data plane."""
    r = cp.request(method, path, json=body, headers={"Prefer": "wait=10"})
    assert r.status_code in (200, 201), r.text
    return r.json()


@pytest.fixture(scope="module")
def authority(cp, root):
    return write(cp, "POST", "/ca_certificates", {"cert": root.pem})["id"]


@pytest.fixture(scope="module", autouse=True)
def consumers(cp):
    for body in ({"username": "alice", "custom_id": "17"}, {"username": "guest"}):
        write(cp, "POST", "/consumers", body)


def route(cp, upstream, plugin=None, config=None, **fields):
    """Host of a new route to the upstream, with a plugin."""
    name = f"r{next(numbers)}"
    write(cp, "POST", "/services", {"name": name, "host": upstream.ip, "port": upstream.port})
    write(cp, "POST", f"/services/{name}/routes", {"name": name, "hosts": [f"{name}.example.com"], **fields})
    if plugin:
        write(cp, "POST", f"/routes/{name}/plugins", {"name": plugin, "config": config or {}})
    return f"{name}.example.com"


@pytest.fixture
def sources(root):
    s = Sources()
    s.authority, s.holders = root, []
    yield s
    s.close()


def bad_clients(root):
    """TLS-09: (name, what the client shows)."""
    other, middle = Holder("root", ca=True), Holder("middle", root, ca=True)
    deep = [middle]
    for i in range(7):
        deep.append(Holder(f"deep{i}", deep[-1], ca=True))
    deepest = Holder("alice", deep[-1])
    return [
        ("expired", [Holder("alice", root, begin=-2 * HOUR, end=-HOUR)]),
        ("not yet valid", [Holder("alice", root, begin=HOUR, end=2 * HOUR)]),
        ("wrong CA", [Holder("alice", other)]),
        ("wrong CA, sent along", [Holder("alice", other), other]),
        ("wrong EKU", [Holder("alice", root, usage=ExtendedKeyUsageOID.SERVER_AUTH)]),
        ("chain missing", [Holder("alice", middle)]),
        ("chain too deep", [deepest, *reversed(deep)]),
        ("self-signed", [Holder("alice")]),
        ("an authority is no client of another", [other]),
    ]
