"""CAA records (RFC 8659) that forbid every authority are told by test_http_challenge_flow; the stand-in authority calls itself ca.example."""

import pytest

from acme_parts import StandIn
from dns_stub import CAA, DnsStub

A = 1
ELSEWHERE = "allow none of the authorities"


@pytest.fixture(scope="module")
def dns():
    s = DnsStub()
    yield s
    s.close()


@pytest.fixture(scope="module")
def cluster(bare_cluster, dns, http_port):
    ca = StandIn(bare_cluster.folder).start()
    bare_cluster.add_control_plane(
        dns_resolver=dns.address, acme_preflight_port=http_port, acme_allow_private="on", acme_directory=ca.directory, acme_ca_file=ca.ca_file
    ).start()
    bare_cluster.add_data_plane().start()
    ca.addresses(http=[f"{d.ip}:{http_port}" for d in bare_cluster.data_planes])
    assert bare_cluster.cp.issue("account.example.com").status_code == 201  # there is an account from here on
    yield bare_cluster
    ca.stop()


def look(cluster, host):
    return cluster.cp.post("/acme", json={"host": host, "test_http_challenge_flow": True}).json()


RULES = [  # records by name, a part of the problem or None
    ({}, None),
    ({"a.caa.example": [(0, "issue", "ca.example")]}, None),
    ({"a.caa.example": [(0, "issue", "other.example")]}, ELSEWHERE),
    ({"caa.example": [(0, "issue", "other.example")]}, ELSEWHERE),
    ({"example": [(0, "issue", ";")]}, ELSEWHERE),
    ({"a.caa.example": [(0, "issue", "ca.example")], "caa.example": [(0, "issue", ";")]}, None),
    ({"caa.example": [(0, "issue", "other.example"), (0, "issue", "CA.example; validationmethods=http-01")]}, None),
    ({"caa.example": [(0, "issue", "ca.example; validationmethods=dns-01")]}, ELSEWHERE),
    ({"caa.example": [(0, "issue", "ca.example; accounturi=https://ca.example/another")]}, ELSEWHERE),
    ({"caa.example": [(0, "issuewild", "other.example")]}, None),
    ({"caa.example": [(128, "unheard", "of"), (0, "issue", "ca.example")]}, ELSEWHERE),
    ({"caa.example": [(0, "", "")]}, "cannot be read"),
]


@pytest.mark.parametrize("records,problem", RULES)
def test_caa(cluster, dns, records, problem):
    names = ("a.caa.example", "caa.example", "example")
    for name in names:
        dns.records[name] = {CAA: records.get(name, [])}
    dns.records["a.caa.example"][A] = [cluster.data_planes[0].ip]
    r = look(cluster, "a.caa.example")
    assert r["passed"] is (problem is None), r
    if problem:
        assert problem in r["problem"] and any(name in r["problem"] for name in records), r
