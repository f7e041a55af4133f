"""Clients of the admin API that get in each other's way, and bodies that never end: one defined answer each, nothing half done, no 500."""

import collections
import concurrent.futures
import socket

import pytest

from pki import pair

CLIENTS = 16
ROUNDS = 8


@pytest.fixture(scope="module")
def cp(bare_cluster):
    return bare_cluster.add_control_plane().start()


def at_once(calls):
    """The answers of all calls, made by that many clients at a time."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return [f.result() for f in [pool.submit(c) for c in calls]]


def statuses(answers):
    return collections.Counter(r.status_code for r in answers)


def all_of(cp, path):
    page = cp.get(f"{path}?size=1000").json()
    assert page["next"] is None
    return page["data"]


@pytest.mark.parametrize("n", range(ROUNDS))
def test_upserts_of_one_name(cp, n):
    """PUT answers 200 whoever comes first, and the row is what one of them sent."""
    name = f"upsert-{n}"
    answers = at_once([lambda i=i: cp.put(f"/services/{name}", json={"host": f"h{i}.com"}) for i in range(CLIENTS)])
    assert statuses(answers) == {200: CLIENTS}
    rows = [s for s in all_of(cp, "/services") if s["name"] == name]
    assert len(rows) == 1 and rows[0] in [r.json() for r in answers]
    assert {r.json()["id"] for r in answers} == {rows[0]["id"]}


@pytest.mark.parametrize("n", range(ROUNDS))
def test_upserts_of_one_id(cp, n):
    ident = f"000000{n:02x}-0000-4000-8000-0000000000aa"
    answers = at_once([lambda i=i: cp.put(f"/consumers/{ident}", json={"username": f"id-{n}-{i}"}) for i in range(CLIENTS)])
    assert statuses(answers) == {200: CLIENTS}
    assert cp.get(f"/consumers/{ident}").json() in [r.json() for r in answers]
    assert len([c for c in all_of(cp, "/consumers") if c["username"].startswith(f"id-{n}-")]) == 1


@pytest.mark.parametrize("n", range(ROUNDS))
def test_one_name_for_many_ids(cp, n):
    """Ids differ, the name is the same: the first has it, the others hear so."""
    ids = [f"{n:08x}-{i:04x}-4000-8000-0000000000bb" for i in range(CLIENTS)]
    answers = at_once([lambda i=i: cp.put(f"/services/{i}", json={"host": "h.com", "name": f"same-{n}"}) for i in ids])
    assert statuses(answers) == {200: 1, 409: CLIENTS - 1}
    message = f"UNIQUE violation detected on '{{name=\"same-{n}\"}}'"
    assert all(r.json()["message"] == message for r in answers if r.status_code == 409)
    assert len([s for s in all_of(cp, "/services") if s["name"] == f"same-{n}"]) == 1


@pytest.mark.parametrize("n", range(ROUNDS))
def test_creations_of_one_name(cp, n):
    answers = at_once([lambda: cp.post("/services", json={"host": "h.com", "name": f"created-{n}"}) for _ in range(CLIENTS)])
    assert statuses(answers) == {201: 1, 409: CLIENTS - 1}


@pytest.mark.parametrize("n", range(ROUNDS))
def test_certificates_that_want_one_name(cp, n):
    """One gets it; the others hear who has it, in the words of a taken name, and leave no certificate behind."""
    _, cert, key = pair("race.example.com")
    before = len(all_of(cp, "/certificates"))
    body = {"cert": cert, "key": key, "snis": [f"own-{n}.com", f"race-{n}.com"]}
    answers = at_once([lambda: cp.post("/certificates", json=body) for _ in range(CLIENTS)])
    assert statuses(answers) == {201: 1, 400: CLIENTS - 1}
    winner = next(r.json()["id"] for r in answers if r.status_code == 201)
    message = f"schema violation (snis: own-{n}.com already associated with existing certificate '{winner}')"
    assert {r.json()["message"] for r in answers if r.status_code == 400} == {message}
    assert len(all_of(cp, "/certificates")) == before + 1


@pytest.mark.parametrize("n", range(ROUNDS))
def test_certificates_put_under_one_name(cp, n):
    _, cert, key = pair("put.example.com")
    name = f"put-{n}.com"
    answers = at_once([lambda: cp.put(f"/certificates/{name}", json={"cert": cert, "key": key, "snis": [name]}) for _ in range(CLIENTS)])
    assert statuses(answers) == {200: CLIENTS}
    assert {r.json()["id"] for r in answers} == {cp.get(f"/snis/{name}").json()["certificate"]["id"]}


def test_patches_of_different_fields_all_stay(cp):
    """Each patch is merged into what is there when it is written; at most a few give up, and say so."""
    ident = cp.post("/upstreams", json={"name": "patched.example.com"}).json()["id"]
    fields = ["tcp_failures", "timeouts", "http_failures"]
    calls = [lambda f=f: cp.patch(f"/upstreams/{ident}", json={"healthchecks": {"active": {"unhealthy": {f: 7}}}}) for f in fields]
    answers = at_once(calls)
    assert statuses(answers) == {200: len(fields)}
    stored = cp.get(f"/upstreams/{ident}").json()["healthchecks"]["active"]["unhealthy"]
    assert [stored[f] for f in fields] == [7] * len(fields)


def test_a_parent_that_goes_while_children_come(cp):
    """A route is either refused for its missing service, or holds it back from deletion."""
    for n in range(ROUNDS):
        service = cp.put(f"/services/parent-{n}", json={"host": "h.com"}).json()["id"]
        calls = [lambda i=i: cp.post("/routes", json={"paths": [f"/{i}"], "service": {"id": service}}) for i in range(CLIENTS - 1)]
        answers = at_once([lambda: cp.delete(f"/services/{service}"), *calls])
        gone = answers[0].status_code == 204
        assert answers[0].status_code in (204, 400)
        assert set(statuses(answers[1:])) <= {201, 400}
        if gone:
            assert statuses(answers[1:]) == {400: CLIENTS - 1}
        assert [s for s in all_of(cp, "/services") if s["id"] == service] == [] if gone else True
        assert len([r for r in all_of(cp, "/routes") if r["service"] == {"id": service}]) == statuses(answers[1:])[201]


HEAD = b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b'Content-Length: 40\r\n\r\n{"host":"cut.com"}',
        HEAD + b"Content-Length: 40\r\n\r\n",
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n12\r\n{"host":"cut.com"}\r\n',
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n12\r\n{"host":"cu',
        HEAD + b"Content-Le",
    ],
    ids=["short", "no body", "no last chunk", "cut chunk", "cut head"],
)
def test_a_body_that_ends_too_soon_changes_nothing(cp, sent):
    before = all_of(cp, "/services")
    with socket.create_connection((cp.ip, cp.admin_port), timeout=10) as s:
        s.sendall(sent)
        s.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: s.recv(4096), b""))
    assert got == b"" or got.startswith(b"HTTP/1.1 400 ")
    assert all_of(cp, "/services") == before


def test_a_chunked_body_is_as_good_as_any(cp):
    with socket.create_connection((cp.ip, cp.admin_port), timeout=10) as s:
        s.sendall(HEAD + b'Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"hos\r\n10\r\nt":"whole.com"}\n\r\n0\r\n\r\n')
        got = b"".join(iter(lambda: s.recv(4096), b""))
    assert got.startswith(b"HTTP/1.1 201 ")
