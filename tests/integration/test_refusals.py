"""What a data plane refuses is held back from the others, and nothing else is (design invariant 4, reliability goals FL-03, FL-05, F23, F24, F29)."""

import concurrent.futures
import contextlib
import signal
import ssl
import uuid

import psycopg2
import pytest
from cryptography import x509

from harness import wait_until
from pki import der, pair
from test_stream import pb, row, subscribe  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def db(database):
    with contextlib.closing(psycopg2.connect(database)) as db:
        db.autocommit = True
        yield db


def run(db, text, *values):
    with db.cursor() as cur:
        cur.execute(text, values)
        return cur.fetchall() if cur.description else None


def add(cluster, *names, wait=20):
    """A certificate with these names, everywhere: its id and what is served."""
    cert, cert_pem, key = pair(*names)
    r = cluster.cp.post("/certificates", json={"cert": cert_pem, "key": key, "snis": names}, headers={"Prefer": f"wait={wait}"})
    assert r.status_code == 201, r.text
    return r.json()["id"], der(cert)


def spoil(db, ident):
    """As nobody could through the admin API: a certificate that the key does not belong to."""
    _, cert_pem, _ = pair("spoilt.example")
    run(db, "UPDATE certificates SET cert = %s WHERE id = %s", cert_pem, ident)


def refused(cluster):
    return {(e["kind"], e["id"]) for n in cluster.cp.get("/clustering/data-planes").json()["data"] for e in n["refused"]}


def mend(cluster, ident, name):
    cert, cert_pem, key = pair(name)
    r = cluster.cp.patch(f"/certificates/{ident}", json={"cert": cert_pem, "key": key}, headers={"Prefer": "wait=20"})
    assert r.status_code == 200, r.text
    return der(cert)


@pytest.fixture
def spoilt(cluster, db):
    """The id of a certificate whose newest version was refused, its name, and what is served for it still."""
    name = f"{uuid.uuid4()}.example"
    ident, leaf = add(cluster, name)
    spoil(db, ident)
    wait_until(lambda: ("certificates", ident) in refused(cluster), what="refusal noted")
    yield ident, name, leaf
    cluster.cp.delete(f"/certificates/{ident}")


def test_the_version_before_is_served_and_all_else_goes_on(cluster, db, spoilt):
    ident, name, leaf = spoilt
    _, other = add(cluster, "after-refusal.example")
    run(db, "INSERT INTO acme_challenges (id, host, token, key_authorization) VALUES (gen_random_uuid(), 'a.example', 'goes-on', 'goes-on.thumb')")
    for d in cluster.data_planes:
        assert d.peer_certificate(name) == leaf
        assert d.peer_certificate("after-refusal.example") == other
        wait_until(lambda: d.http("/.well-known/acme-challenge/goes-on", "a.example").text == "goes-on.thumb", what="challenge answered")
    run(db, "DELETE FROM acme_challenges")


def test_operators_see_what_was_refused_and_why(cluster, spoilt):
    ident, _, _ = spoilt
    found = [e for n in cluster.cp.get("/clustering/data-planes").json()["data"] for e in n["refused"] if e["id"] == ident]
    assert found and found[0]["kind"] == "certificates" and "match" in found[0]["reason"] and found[0]["revision"] > 0 and found[0]["at"] > 0


def test_its_next_version_is_served(cluster, spoilt):
    ident, name, _ = spoilt
    leaf = mend(cluster, ident, name)
    assert all(d.peer_certificate(name) == leaf for d in cluster.data_planes)
    assert ("certificates", ident) not in refused(cluster)


def test_its_removal_is_served(cluster, spoilt):
    ident, name, _ = spoilt
    assert cluster.cp.delete(f"/certificates/{ident}", headers={"Prefer": "wait=20"}).status_code == 204
    for d in cluster.data_planes:
        with pytest.raises(ssl.SSLError):
            d.peer_certificate(name)


def test_names_may_refer_to_what_is_held_back(cluster, spoilt):
    ident, _, leaf = spoilt
    r = cluster.cp.post("/snis", json={"name": "late-name.example", "certificate": {"id": ident}}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text
    assert all(d.peer_certificate("late-name.example") == leaf for d in cluster.data_planes)


def held_ids(subscriber):
    return {uuid.UUID(bytes=bytes(c.id)) for c in subscriber.entities.values() if c.WhichOneof("entity") == "held"}


def test_who_comes_later_is_not_sent_it(cluster, spoilt, subscribe):  # noqa: F811
    ident, _, _ = spoilt
    s = subscribe()
    s.wait(lambda: s.revision > 0)
    assert uuid.UUID(ident) in held_ids(s)
    cluster.cp.process.kill()  # the next one knows it from the database
    cluster.cp.start()
    again = subscribe()
    again.wait(lambda: again.revision >= s.revision)
    assert uuid.UUID(ident) in held_ids(again)


def test_a_new_data_plane_serves_the_rest(cluster, spoilt):
    ident, name, _ = spoilt
    _, other = add(cluster, "for-the-new.example")
    d = cluster.add_data_plane().start()
    assert d.peer_certificate("for-the-new.example") == other
    with pytest.raises(ssl.SSLError):
        d.peer_certificate(name)
    d.process.stop()
    d.start()  # from its cache
    assert d.peer_certificate("for-the-new.example") == other
    leaf = mend(cluster, ident, name)
    assert d.peer_certificate(name) == leaf
    d.process.stop()
    cluster.data_planes.remove(d)


def test_a_write_that_is_refused_is_not_everywhere(cluster, subscribe):  # noqa: F811
    """Prefer: wait does not wait for what will not come."""
    s = subscribe()
    s.wait(lambda: s.revision > 0)
    _, cert, key = pair("refused-by-one.example")
    s.ack = False
    before = s.revision
    body = {"cert": cert, "key": key, "snis": ["refused-by-one.example"]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cluster.cp.post, "/certificates", json=body, headers={"Prefer": "wait=60"})
        s.wait(lambda: s.revision > before)
        ident = next(bytes(c.id) for c in s.entities.values() if c.WhichOneof("entity") == "certificate" and c.certificate.pairs[0].leaf == der_of(cert))
        s.ack = True
        s.say(nack=s.pb.Nack(revision=s.revision, kind="certificates", id=ident, reason="not mine"))
        r = answer.result(30)
    assert r.status_code == 202, r.text
    missing = r.headers["X-Cardea-Missing-Nodes"]
    assert s.node_id in missing and all(d.node_id in missing for d in cluster.data_planes)
    wait_until(lambda: (n := row(cluster, s.node_id)) and n["revision"] > before and n["refused"], what="the rest acked")
    cluster.cp.delete(f"/certificates/{uuid.UUID(bytes=ident)}")


def der_of(text):
    return der(x509.load_pem_x509_certificate(text.encode()))


def test_refusal_without_an_entity_concerns_that_node_only(cluster, subscribe):  # noqa: F811
    s = subscribe()
    s.wait(lambda: s.revision > 0)
    s.ack = False
    before = s.revision
    _, cert, key = pair("no-culprit.example")
    assert cluster.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["no-culprit.example"]}).status_code == 201
    s.wait(lambda: s.revision > before)
    s.say(nack=s.pb.Nack(revision=s.revision, reason="out of memory"))
    wait_until(lambda: (n := row(cluster, s.node_id)) and n["nack"], what="nack shown")
    wait_until(lambda: all(d.peer_certificate("no-culprit.example") == der_of(cert) for d in cluster.data_planes), what="served by the others")
    assert not row(cluster, s.node_id)["refused"]


def test_the_other_control_plane_holds_it_back_too(cluster, db):
    other = cluster.add_control_plane().start()
    d = cluster.add_data_plane(cluster_control_plane=other.cluster_addr).start()
    ident, leaf = add(cluster, "elsewhere.example")
    spoil(db, ident)
    wait_until(lambda: ("certificates", ident) in refused(cluster), what="refusal noted")
    add(cluster, "everywhere.example")  # also acked by the data plane of the other control plane
    assert d.peer_certificate("elsewhere.example") == leaf
    assert mend(cluster, ident, "elsewhere.example") == d.peer_certificate("elsewhere.example")
    d.process.stop()
    other.process.stop()
    cluster.data_planes.remove(d)
    cluster.control_planes.remove(other)


# --- a data plane that dies of what it is given ---


def crash(d):
    d.process.signal(signal.SIGSEGV)
    assert d.process.popen.wait(20) != 0
    d.process.log_path.unlink()  # the sanitizer tells of the signal


def test_what_a_data_plane_dies_of_is_refused_at_the_second_start(cluster):
    d = cluster.data_planes[0]
    ident, before = add(cluster, "poison.example")
    wait_until(lambda: d.metric("cardea_dp_entities_on_trial") == 0, 30, "healthy with all it was given")
    leaf = mend(cluster, ident, "poison.example")
    assert d.peer_certificate("poison.example") == leaf
    crash(d)
    d.start()
    assert d.peer_certificate("poison.example") == leaf  # once more
    crash(d)
    d.start()
    wait_until(lambda: ("certificates", ident) in refused(cluster), what="refusal noted")
    assert d.peer_certificate("poison.example") == before
    assert d.metric("cardea_dp_entities_refused") == 1
    _, other = add(cluster, "not-poison.example")
    assert d.peer_certificate("not-poison.example") == other
    d.process.stop()
    d.start()
    assert d.peer_certificate("poison.example") == before
    leaf = mend(cluster, ident, "poison.example")
    assert all(x.peer_certificate("poison.example") == leaf for x in cluster.data_planes)
    assert ("certificates", ident) not in refused(cluster) and d.metric("cardea_dp_entities_refused") == 0


def test_an_end_without_a_crash_spoils_nothing(cluster):
    d = cluster.data_planes[0]
    ident, leaf = add(cluster, "killed.example")
    for _ in range(3):
        d.process.kill()
        d.start()
        assert d.peer_certificate("killed.example") == leaf
    add(cluster, "after-killed.example")
    assert ("certificates", ident) not in refused(cluster)
