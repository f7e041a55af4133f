"""A gRPC client that nobody here wrote subscribes to the stream as proto/README.md documents it."""

import importlib
import queue
import ssl
import socket
import subprocess
import sys
import threading
import uuid

import grpc
import pytest

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from harness import ROOT, wait_until
from pki import make_cert, make_key
from pki import pair as make_pair
from pki import pem

METHOD = "/cardea.v1.Fleet/Sync"


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    """The messages, generated from the .proto file."""
    out = tmp_path_factory.mktemp("pb")
    subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={out}", "cardea/v1/fleet.proto"], check=True, timeout=30)
    sys.path.insert(0, str(out))
    yield importlib.import_module("cardea.v1.fleet_pb2")
    sys.path.remove(str(out))


def channel(cluster, cert="node.crt", key="node.key", folder=None):
    folder = folder or cluster.cluster_dir
    read = lambda name: (folder / name).read_bytes() if name else None  # noqa: E731
    creds = grpc.ssl_channel_credentials((cluster.cluster_dir / "ca.crt").read_bytes(), read(key), read(cert))
    san = ssl._ssl._test_decode_cert(str(cluster.cluster_dir / "cp.crt"))["subjectAltName"][0][1]
    return grpc.secure_channel(cluster.cp.cluster_addr, creds, options=[("grpc.ssl_target_name_override", san)])


class Subscriber:
    """Keeps what a data plane would keep, and writes down every message."""

    def __init__(self, pb, cluster, method=METHOD, hello=True, ack=True, entities=(), **held):
        self.pb, self.ack = pb, ack
        self.out = queue.SimpleQueue()
        self.entities, self.staged, self.messages = dict(entities), [], []
        self.epoch, self.revision, self.snapshots = "", 0, 0
        self.changed = threading.Condition()
        self.status = None
        self.node_id = str(uuid.uuid4())
        self.channel = channel(cluster)
        call = self.channel.stream_stream(
            method, request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(), response_deserializer=pb.PlaneMessage.FromString
        )
        if hello:
            self.say(hello=pb.Hello(node_id=self.node_id, hostname="python", version="1", labels={"kind": "test"}, **held))
        self.call = call(iter(self.out.get, None))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def say(self, **what):
        self.out.put(self.pb.NodeMessage(**what))

    def run(self):
        try:
            for m in self.call:
                self.take(m)
            status = self.call.code()
        except grpc.RpcError as e:
            status = e.code()
        with self.changed:
            self.status = status
            self.changed.notify_all()

    def take(self, m):
        kind = m.WhichOneof("message")
        with self.changed:
            self.messages.append(kind)
            if kind == "snapshot_begin":
                self.snapshots += 1
                self.staged = [None]
            elif kind == "change":
                self.staged.append(m.change)
            else:
                for c in self.staged:
                    if c is None:
                        self.entities = {}
                    elif c.WhichOneof("entity") == "removed":
                        self.entities.pop(bytes(c.id), None)
                    else:
                        self.entities[bytes(c.id)] = c
                self.staged = []
                self.epoch, self.revision = m.commit.epoch, m.commit.revision
                if self.ack:
                    self.say(ack=self.pb.Ack(revision=self.revision))
            self.changed.notify_all()

    def wait(self, condition, seconds=20):
        with self.changed:
            assert self.changed.wait_for(condition, seconds), (self.messages[-20:], self.status)

    def of(self, kind):
        return [getattr(c, kind) for c in self.entities.values() if c.WhichOneof("entity") == kind]

    def close(self):
        self.out.put(None)
        self.channel.close()


@pytest.fixture
def subscribe(pb, cluster):
    made = []

    def make(**kw):
        made.append(Subscriber(pb, cluster, **kw))
        return made[-1]

    yield make
    for s in made:
        s.close()


def add_certificate(cluster, host):
    _, cert, key = make_pair(host)
    r = cluster.cp.post("/certificates", json={"cert": cert, "key": key, "snis": [host]})
    assert r.status_code == 201, r.text
    return r.json()["id"], int(r.headers["X-Cardea-Revision"])


def test_snapshot_then_deltas(subscribe, cluster):
    certificate, revision = add_certificate(cluster, "first.example")
    s = subscribe()
    s.wait(lambda: s.revision >= revision)
    assert s.snapshots == 1 and s.messages[0] == "snapshot_begin" and s.messages[-1] == "commit"
    assert s.epoch
    assert [x.name for x in s.of("sni") if x.name == "first.example"]
    (sni,) = [x for x in s.of("sni") if x.name == "first.example"]
    assert uuid.UUID(bytes=sni.certificate_id) == uuid.UUID(certificate)
    pair = s.entities[sni.certificate_id].certificate.pairs[0]
    cert = x509.load_der_x509_certificate(pair.leaf)
    key = serialization.load_der_private_key(pair.key, None)
    assert cert.public_key().public_numbers() == key.public_key().public_numbers()
    secrets = s.of("ticket_secret")
    assert secrets and all(len(t.secret) == 32 for t in secrets) and min(t.not_before for t in secrets) == 0

    second, revision = add_certificate(cluster, "second.example")
    s.wait(lambda: s.revision >= revision)
    assert s.snapshots == 1
    assert uuid.UUID(second).bytes in s.entities
    r = cluster.cp.delete(f"/certificates/{second}")
    assert r.status_code == 204
    revision = int(r.headers["X-Cardea-Revision"])
    s.wait(lambda: s.revision >= revision)
    assert uuid.UUID(second).bytes not in s.entities
    assert "second.example" not in [x.name for x in s.of("sni")]


def plain(value):
    """A Value of the stream as python has it."""
    kind = value.WhichOneof("value")
    if kind == "list":
        return [plain(v) for v in value.list.items]
    if kind == "record":
        return {f.name: plain(f.value) for f in value.record.fields}
    return str(uuid.UUID(bytes=value.id)) if kind == "id" else getattr(value, kind)


def as_sent(shown):
    """An entity of the admin API as the stream has it: no nulls, references and ids as they are, no id and updated_at."""
    if isinstance(shown, dict):
        if set(shown) == {"id"}:
            return shown["id"]
        return {k: as_sent(v) for k, v in shown.items() if v is not None}
    return [as_sent(v) for v in shown] if isinstance(shown, list) else shown


def test_every_entity_as_the_admin_api_shows_it(subscribe, cluster):
    ca = pem(make_cert(["authority"], make_key(), ca=True))
    made = {}

    def make(path, body):
        r = cluster.cp.post(path, json=body)
        assert r.status_code == 201, r.text
        kind = path.rsplit("/", 1)[-1]
        made[r.json()["id"]] = ({"mtls-auth": "mtls_auth_credentials", "header-cert-auth": "header_cert_auth_credentials"}.get(kind, kind), r.json())
        return r.json()["id"], int(r.headers["X-Cardea-Revision"])

    authority, _ = make("/ca_certificates", {"cert": ca})
    upstream, _ = make("/upstreams", {"name": "stream.test", "healthchecks": {"active": {"timeout": 2.5, "healthy": {"interval": 3}}}})
    make(f"/upstreams/{upstream}/targets", {"target": "10.0.0.1:80", "weight": 7})
    service, _ = make("/services", {"name": "stream", "url": "https://stream.test/base", "tls_verify": False, "ca_certificates": [authority], "tags": ["a"]})
    route, _ = make(f"/services/{service}/routes", {"hosts": ["stream.test"], "paths": ["/a", "~/b"], "headers": {"x-a": ["1", "2"]}})
    consumer, _ = make("/consumers", {"username": "stream"})
    make(f"/consumers/{consumer}/mtls-auth", {"subject_name": "a.stream.test", "ca_certificate": {"id": authority}})
    make("/consumers/stream/mtls-auth", {"subject_name": "b.stream.test"})
    make("/consumers/stream/header-cert-auth", {"subject_name": "b.stream.test"})
    _, revision = make(f"/routes/{route}/plugins", {"name": "request-termination", "consumer": {"id": consumer}, "config": {"status_code": 410}})
    s = subscribe()
    s.wait(lambda: s.revision >= revision)
    others = {str(uuid.UUID(bytes=i)): c.other for i, c in s.entities.items() if c.WhichOneof("entity") == "other"}
    for key, (kind, shown) in made.items():
        want = {k: v for k, v in as_sent(shown).items() if k not in ("id", "updated_at")}
        got = {f.name: plain(f.value) for f in others[key].fields.fields}
        assert others[key].kind == kind
        assert got == want, kind
    wait_until(lambda: cluster.data_planes[0].status().json()["configuration"]["revision"] >= revision, what="applied")
    counts = cluster.data_planes[0].status().json()["tables"]
    path_of = lambda kind: {"mtls_auth_credentials": "mtls-auths", "header_cert_auth_credentials": "header-cert-auths"}.get(kind, kind)
    for kind in {k for k, _ in made.values()}:
        rows = cluster.cp.get(f"/{path_of(kind)}?size=1000").json()["data"] if kind != "targets" else [1]
        assert counts[kind] == len(rows), kind
    for key, (kind, _) in reversed(made.items()):
        path = f"/upstreams/{upstream}/targets/{key}" if kind == "targets" else f"/{path_of(kind)}/{key}"
        r = cluster.cp.delete(path)
        assert r.status_code == 204, r.text
        revision = int(r.headers["X-Cardea-Revision"])
    s.wait(lambda: s.revision >= revision)
    assert not set(made) & {str(uuid.UUID(bytes=i)) for i in s.entities}
    wait_until(lambda: cluster.data_planes[0].status().json()["configuration"]["revision"] >= revision, what="applied")
    assert cluster.data_planes[0].status().json()["tables"]["targets"] == 0


def test_delta_from_what_is_held(subscribe, cluster):
    s = subscribe()
    s.wait(lambda: s.revision > 0)
    s.close()
    _, revision = add_certificate(cluster, "third.example")
    again = subscribe(epoch=s.epoch, revision=s.revision)
    again.wait(lambda: again.revision >= revision)
    assert again.snapshots == 0
    assert "third.example" in [x.name for x in again.of("sni")]
    assert "first.example" not in [x.name for x in again.of("sni")]


def test_removal_while_away_survives_a_restart_of_the_control_plane(subscribe, cluster):
    """A control plane that just started knows of removals before its time: the node held what was removed."""
    gone, revision = add_certificate(cluster, "gone.example")
    s = subscribe()
    s.wait(lambda: s.revision >= revision)
    s.close()
    r = cluster.cp.delete(f"/certificates/{gone}")
    assert r.status_code == 204
    cluster.cp.process.stop()
    cluster.cp.start()
    again = subscribe(epoch=s.epoch, revision=s.revision, entities=s.entities)
    again.wait(lambda: again.revision >= int(r.headers["X-Cardea-Revision"]))
    assert again.snapshots == 0
    assert uuid.UUID(gone).bytes not in again.entities
    assert "gone.example" not in [x.name for x in again.of("sni")]


def test_other_epoch_gets_a_snapshot(subscribe):
    s = subscribe(epoch="no such epoch", revision=10**6)
    s.wait(lambda: s.revision > 0)
    assert s.snapshots == 1


def test_write_waits_for_the_subscriber(subscribe, cluster):
    s = subscribe(ack=False)
    s.wait(lambda: s.revision > 0)
    _, cert, key = make_pair("slow.example")
    r = cluster.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["slow.example"]}, headers={"Prefer": "wait=1"})
    assert r.status_code == 202, r.text
    assert s.node_id in str(r.headers)
    s.say(ack=s.pb.Ack(revision=int(r.headers["X-Cardea-Revision"])))
    s.ack = True
    _, cert, key = make_pair("quick.example")
    r = cluster.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["quick.example"]}, headers={"Prefer": "wait=20"})
    assert r.status_code == 201, r.text


def row(cluster, node_id):
    return next((n for n in cluster.cp.get("/clustering/data-planes").json()["data"] if n["id"] == node_id), None)


def test_nack_is_shown_and_the_stream_goes_on(subscribe, cluster):
    s = subscribe(ack=False)
    s.wait(lambda: s.revision > 0)
    s.say(ack=s.pb.Ack(revision=s.revision))
    held = s.revision
    certificate, revision = add_certificate(cluster, "refused.example")
    s.wait(lambda: s.revision >= revision)
    s.say(nack=s.pb.Nack(revision=s.revision, kind="certificates", id=uuid.UUID(certificate).bytes, reason="I do not like it"))
    n = wait_until(lambda: (r := row(cluster, s.node_id)) and r["nack"] and r["revision"] == held and r, what="nack shown")
    assert n["nack"]["reason"] == "I do not like it" and n["nack"]["id"] == certificate and n["nack"]["kind"] == "certificates"
    assert n["connected"] is True
    # The next revision carries everything since the ack.
    assert cluster.cp.delete(f"/certificates/{certificate}").status_code == 204
    s.wait(lambda: s.revision > revision)
    assert s.status is None
    s.say(ack=s.pb.Ack(revision=s.revision))
    wait_until(lambda: row(cluster, s.node_id)["nack"] is None, what="nack gone")


def test_shown_to_operators(subscribe, cluster):
    s = subscribe()
    s.wait(lambda: s.revision > 0)
    n = wait_until(lambda: (r := row(cluster, s.node_id)) and r["revision"] == s.revision and r, what="row")
    assert n["hostname"] == "python" and n["version"] == "1" and n["labels"] == {"kind": "test"} and n["ip"] == "127.0.0.1"
    assert n["sync_status"] == "normal" and n["cert_details"]["expiry_timestamp"] > 0 and len(n["config_hash"]) == 32
    s.close()
    wait_until(lambda: row(cluster, s.node_id)["connected"] is False, what="disconnected")


@pytest.mark.parametrize(
    "name,first",
    [
        ("garbage", b"\xff\xff\xff"),
        ("empty", b""),
        ("cut", b"\x0a\x7f\x0a"),
        ("ack before hello", b"\x12\x02\x08\x01"),
        ("node id that is no UUID", b"\x0a\x06\x0a\x04node"),
        ("a plane's message", b"\x1a\x05\x0a\x01e\x10\x01"),
    ],
)
def test_malformed_message_ends_the_stream(subscribe, cluster, name, first):
    other = subscribe()
    other.wait(lambda: other.revision > 0)
    s = subscribe(hello=False)
    s.out.put(first)
    s.wait(lambda: s.status is not None)
    assert s.status == grpc.StatusCode.INVALID_ARGUMENT
    assert row(cluster, s.node_id) is None
    assert other.status is None


def test_broken_contract_ends_the_stream(subscribe):
    for what in ({"hello": True}, {"ack": 10**9}, {"nack": 10**9}):
        s = subscribe()
        s.wait(lambda: s.revision > 0)
        if "hello" in what:
            s.say(hello=s.pb.Hello(node_id=s.node_id))
        if "ack" in what:
            s.say(ack=s.pb.Ack(revision=what["ack"]))
        if "nack" in what:
            s.say(nack=s.pb.Nack(revision=what["nack"]))
        s.wait(lambda: s.status is not None)
        assert s.status == grpc.StatusCode.INVALID_ARGUMENT, what


def test_too_large_message(subscribe):
    s = subscribe()
    s.wait(lambda: s.revision > 0)
    s.out.put(b"\x2a" + b"\xff\xff\x3f" + b"x" * 1048575)
    s.wait(lambda: s.status is not None)
    assert s.status == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_wrong_method(subscribe):
    s = subscribe(method="/cardea.v1.Fleet/Nothing")
    s.wait(lambda: s.status is not None)
    assert s.status == grpc.StatusCode.UNIMPLEMENTED


def test_a_second_stream_of_a_node_ends_the_first(subscribe):
    first = subscribe()
    first.wait(lambda: first.revision > 0)
    second = subscribe(hello=False)
    second.say(hello=second.pb.Hello(node_id=first.node_id))
    second.wait(lambda: second.revision > 0)
    first.wait(lambda: first.status is not None)
    assert first.status == grpc.StatusCode.UNAVAILABLE
    assert second.status is None


def refused(cluster, **kw):
    with channel(cluster, **kw) as c:
        call = c.stream_stream(METHOD)(iter([b""]))
        with pytest.raises(grpc.RpcError) as e:
            next(call)
        return e.value.code() == grpc.StatusCode.UNAVAILABLE


def test_refused_without_certificate_of_the_cluster(cluster, tmp_path):
    assert refused(cluster, cert=None, key=None)
    _, cert, key = make_pair("node.example")
    (tmp_path / "foreign.crt").write_text(cert)
    (tmp_path / "foreign.key").write_text(key)
    assert refused(cluster, cert="foreign.crt", key="foreign.key", folder=tmp_path)


def test_plain_tcp_is_refused(cluster):
    host, port = cluster.cp.cluster_addr.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        while data := s.recv(4096):
            assert not data.startswith(b"HTTP")


def test_challenges_are_received(subscribe, cluster, database):
    import psycopg2

    s = subscribe()
    s.wait(lambda: s.revision > 0)
    db = psycopg2.connect(database)
    db.autocommit = True
    with db.cursor() as c:
        c.execute("INSERT INTO acme_challenges (id, host, token, key_authorization) VALUES (gen_random_uuid(), 'a.example', 'tkn', 'tkn.thumb')")
    s.wait(lambda: s.of("challenge"))
    (challenge,) = s.of("challenge")
    assert (challenge.host, challenge.token, challenge.key_authorization) == ("a.example", "tkn", "tkn.thumb")
    for d in cluster.data_planes:
        answer = wait_until(lambda: (r := d.http("/.well-known/acme-challenge/tkn", "a.example")).status_code == 200 and r, what="challenge")
        assert answer.text == "tkn.thumb"
    with db.cursor() as c:
        c.execute("DELETE FROM acme_challenges")
    s.wait(lambda: not s.of("challenge"))
    db.close()
