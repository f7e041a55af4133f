"""One order for a set of names: several authorizations, all challenges behind one barrier, one certificate; and a kill -9 at every state."""

import concurrent.futures
import signal

import psycopg2
import pytest
from cryptography import x509

from harness import wait_until
from scripted_ca import ScriptedCA
from test_tls_rules import response

ACME = "urn:ietf:params:acme:error:"


def leaf(data_plane, host):
    return x509.load_der_x509_certificate(data_plane.peer_certificate(host))


def names_of(cert):
    return sorted(str(n.value) for n in cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def served(data_plane, host, names):
    wait_until(lambda: names_of(leaf(data_plane, host)) == names, 10, f"{host} served with a certificate for {names}")


def sql(dsn, statement, *args):
    with psycopg2.connect(dsn) as db, db.cursor() as cur:
        cur.execute(statement, args)
        return cur.fetchall() if cur.description else None


def issue(cp, *hosts, wait=60, **more):
    return cp.post("/acme", json={"hosts": list(hosts), **more}, headers={"Prefer": f"wait={wait}"})


# --- with Pebble: the challenges are really asked for ---


def test_one_certificate_for_several_names(acme_cluster, pebble):
    c = acme_cluster
    hosts = [f"{n}.set.example.com" for n in ("c", "a", "b")]
    for i, host in enumerate(hosts):
        pebble.resolve(host, c.data_planes[i % 2].ip)
    r = issue(c.cp, *hosts)
    assert r.status_code == 201, r.text
    order = r.json()["order"]
    assert order["hosts"] == sorted(hosts) and order["host"] == "a.set.example.com"
    assert order["attempts"] == 0 and order["last_problem"] is None
    root = pebble.root()
    for d in c.data_planes:
        assert len({d.peer_certificate(h) for h in hosts}) == 1
        assert names_of(leaf(d, hosts[0])) == sorted(hosts)
        assert d.verified(hosts[2], root)
        assert d.metric("cardea_dp_challenges") == 0
    assert sorted(c.cp.get(f"/certificates/{order['certificate']['id']}").json()["snis"]) == sorted(hosts)
    for host in hosts:
        assert [o["id"] for o in c.cp.get(f"/acme/orders?host={host}").json()["data"]] == [order["id"]]


def test_sets_are_sets(acme_cluster):
    cp = acme_cluster.cp
    bodies = [
        {"hosts": ["x.eq.example.com", "y.eq.example.com"]},
        {"hosts": ["Y.eq.example.com", "x.eq.example.com", "y.eq.example.com"]},
        {"host": "x.eq.example.com", "hosts": ["y.eq.example.com"]},
    ]
    made = [cp.post("/acme", json=b, headers={"Prefer": "respond-async"}) for b in bodies]
    assert [r.status_code for r in made] == [202] * 3
    assert len({r.json()["order"]["id"] for r in made}) == 1
    assert issue(cp, "x.eq.example.com", "y.eq.example.com").status_code == 201


@pytest.mark.parametrize(
    "body,reason",
    [
        ({"hosts": []}, "hosts"),
        ({"hosts": "a.example.com"}, "hosts"),
        ({"hosts": {"a": 1}}, "hosts"),
        ({"hosts": ["a.example.com", 5]}, "array of 1 to 100"),
        ({"hosts": ["a.example.com", None]}, "array of 1 to 100"),
        ({"hosts": ["a.example.com", "*.example.com"]}, "wildcard"),
        ({"hosts": ["a.example.com", "b_c.example.com"]}, "0x5f"),
        ({"hosts": [f"n{i}.example.com" for i in range(101)]}, "100"),
        ({"host": "a.example.com", "hosts": "b.example.com"}, "array of 1 to 100"),
        ({"host": 5, "hosts": ["b.example.com"]}, "single domain"),
    ],
)
def test_sets_that_are_refused(acme_cluster, body, reason):
    r = acme_cluster.cp.post("/acme", json=body)
    assert r.status_code == 400, r.text
    assert reason in r.json()["message"]


def test_failing_names_are_named(acme_cluster, pebble):
    c = acme_cluster
    hosts = [f"{n}.part.example.com" for n in "abc"]
    pebble.resolve(hosts[0], c.data_planes[0].ip)
    for host in hosts[1:]:
        pebble.resolve(host, "127.0.0.250")
    r = issue(c.cp, *hosts)
    assert r.status_code == 500, r.text
    order = r.json()["order"]
    problem = order["last_problem"]
    assert {s["identifier"]["value"] for s in problem["subproblems"]} == set(hosts[1:])
    assert all(s["type"] == ACME + "connection" and s["detail"] for s in problem["subproblems"])
    assert "2 of 3 names failed" in problem["detail"] and any(h in problem["detail"] for h in hosts[1:])
    for host in hosts[1:]:
        pebble.resolve(host, c.data_planes[1].ip)
    c.cp.post(f"/acme/orders/{order['id']}/retry")
    wait_until(lambda: c.cp.get(f"/acme/orders/{order['id']}").json()["state"] == "valid", 30, "order valid after the retry")
    served(c.data_planes[0], hosts[2], hosts)
    wait_until(lambda: all(d.metric("cardea_dp_challenges") == 0 for d in c.data_planes), 10, "no challenge left on data planes")


def test_address(acme_cluster):
    """RFC 8738: an IP identifier, proved by http-01 at the address itself."""
    c = acme_cluster
    d = c.data_planes[1]
    r = issue(c.cp, d.ip, "beside.address.example.com")
    assert r.status_code == 201, r.text
    assert names_of(leaf(d, "beside.address.example.com")) == [d.ip, "beside.address.example.com"]


def test_manual_certificate_of_one_name(acme_cluster):
    from pki import pair

    c = acme_cluster
    _, cert, key = pair("own.manual.example.com")
    assert c.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["own.manual.example.com"]}).status_code == 201
    r = issue(c.cp, "free.manual.example.com", "own.manual.example.com")
    assert r.status_code == 500 and "own.manual.example.com" in r.json()["message"], r.text
    assert c.cp.get("/certificates/own.manual.example.com").json()["cert"] == cert
    assert c.cp.get("/snis/free.manual.example.com").status_code == 404


def test_renewal_goes_on_without_a_name_that_was_deleted(acme_cluster, database):
    c = acme_cluster
    hosts = [f"{n}.less.example.com" for n in "abc"]
    order = issue(c.cp, *hosts).json()["order"]
    sni = c.cp.get(f"/snis/{hosts[0]}").json()
    assert c.cp.patch(f"/snis/{hosts[1]}", json={"tls_min_version": "TLSv1.3"}).status_code == 200
    assert c.cp.delete(f"/snis/{hosts[0]}").status_code == 204
    sql(database, "UPDATE acme_orders SET renew_at = now() WHERE id = %s", order["id"])

    def renewed():
        newest = c.cp.get(f"/acme/orders?host={hosts[1]}").json()["data"][0]
        return newest["renewal"] and newest["state"] == "valid" and newest

    newest = wait_until(renewed, 30, "renewal")
    assert newest["hosts"] == hosts[1:] and newest["certificate"]["id"] == order["certificate"]["id"] == sni["certificate"]["id"]
    served(c.data_planes[0], hosts[1], hosts[1:])
    assert c.cp.get(f"/snis/{hosts[1]}").json()["tls_min_version"] == "TLSv1.3"
    assert c.cp.get(f"/acme/orders/{order['id']}").json()["renew_at"] is None


def test_name_moves_to_its_newest_certificate(acme_cluster):
    c = acme_cluster
    one = issue(c.cp, "a.moves.example.com").json()["order"]
    both = issue(c.cp, "a.moves.example.com", "b.moves.example.com").json()["order"]
    assert both["certificate"]["id"] != one["certificate"]["id"] or c.cp.get(f"/certificates/{one['certificate']['id']}").json()["snis"]
    assert names_of(leaf(c.data_planes[0], "a.moves.example.com")) == both["hosts"]


# --- with a scripted authority ---


@pytest.fixture(scope="module")
def ca(bare_cluster):
    c = ScriptedCA(bare_cluster.folder).start()
    yield c
    c.stop()


@pytest.fixture
def scripted(acme_cluster, ca):
    """A control plane of its own for the scripted authority, in the same cluster."""
    ca.answer.clear()
    c = getattr(acme_cluster, "scripted", None)
    if c is None:
        c = acme_cluster.add_control_plane(acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on")
        acme_cluster.scripted = c
    if not c.process.alive():
        c.start()
    yield c
    ca.answer.clear()


def order_of(cp, order):
    return cp.get(f"/acme/orders/{order}").json()


def becomes_valid(cp, order, seconds=60):
    def there():
        o = order_of(cp, order)
        if o["last_problem"] and o["state"] != "valid":
            cp.post(f"/acme/orders/{order}/retry")
        return o["state"] == "valid" and o

    return wait_until(there, seconds, f"order {order} valid")


def test_a_hundred_names(acme_cluster, scripted, ca):
    hosts = [f"n{i:03}.hundred.example.com" for i in range(100)]
    before = len(ca.asked)
    r = issue(scripted, *hosts)
    assert r.status_code == 201, r.text
    assert r.json()["order"]["hosts"] == hosts
    assert names_of(leaf(acme_cluster.data_planes[0], hosts[99])) == hosts
    pages = [a.page for a in ca.asked[before:]]
    assert {p: pages.count(p) for p in ("new-order", "challenge", "finalize", "cert")} == {"new-order": 1, "challenge": 100, "finalize": 1, "cert": 1}
    assert pages.count("authz") == 200


def test_two_orders_prove_one_name(acme_cluster, scripted, ca):
    """Authorities that reuse pending authorizations give both the same token: data planes hold it once, and both orders end well."""
    ca.token = lambda order, name: "shared-" + name.host.replace(".", "-")
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            sets = (["a.shared.example.com"], ["a.shared.example.com", "b.shared.example.com"], ["a.shared.example.com", "c.shared.example.com"])
            answers = list(pool.map(lambda hosts: issue(scripted, *hosts), sets))
    finally:
        ca.token = ScriptedCA.default_token
    assert [r.status_code for r in answers] == [201] * 3, [r.text for r in answers]
    assert all(d.status().json().get("nack") is None for d in acme_cluster.data_planes)


def test_subproblems_of_a_new_order(scripted, ca):
    def rejected(asked):
        if not any(i["value"] == "b.rejected.example.com" for i in asked.payload["identifiers"]):
            return None
        name = {"type": "dns", "value": "b.rejected.example.com"}
        return 400, {"type": ACME + "rejectedIdentifier", "detail": "policy", "subproblems": [{"type": ACME + "rejectedIdentifier", "detail": "forbidden", "identifier": name}, 5, {"type": "x"}]}, {}

    ca.answer["new-order"] = rejected
    r = issue(scripted, "a.rejected.example.com", "b.rejected.example.com")
    assert r.status_code == 500, r.text
    # The others go on without the one that the authority will not have.
    assert becomes_valid(scripted, r.json()["order"]["id"])["hosts"] == ["a.rejected.example.com"]
    assert [(s["identifier"]["value"], s["detail"]) for s in r.json()["order"]["last_problem"]["subproblems"]] == [("b.rejected.example.com", "forbidden")]


# Where the control plane is killed: a request to the authority of which so many came before for this order, and whether the authority has
# acted on it. Its answer is never seen.
KILLS = [
    (page, after, acted)
    for page, counts in {"new-order": (0,), "authz": (0, 2, 3, 4), "challenge": (0, 1, 2), "finalize": (0,), "order": (0,), "cert": (0,)}.items()
    for after in counts
    for acted in (False, True)
    if acted or page not in ("authz", "order", "cert")
]


class Killer:
    """Kills the control plane in the middle of a request."""

    def __init__(self, cp, page, after, acted):
        self.cp, self.page, self.left, self.acted, self.done = cp, page, after, acted, False

    def __call__(self, asked):
        if self.done:
            return None
        if self.left > 0:
            self.left -= 1
            return None
        self.done = True
        if self.acted:
            asked.ca.proper(asked)
        self.cp.process.kill()
        return 500, b"", {}


def processing_first(asked):
    """The certificate is not there at once: the order's page is asked for it."""
    asked.ca.issue(asked)
    return 200, {**asked.ca.order_doc(asked.order), "status": "processing"}, {}


def go_on(database, cp, order):
    """As another control plane does when the lease has run out."""
    cp.start()
    sql(database, "UPDATE acme_orders SET lease_until = now(), next_attempt = now() WHERE id = %s", order)
    return becomes_valid(cp, order)


@pytest.mark.parametrize("page,after,acted", KILLS, ids=lambda v: {True: "acted", False: "lost"}.get(v, str(v)) if isinstance(v, bool) else str(v))
def test_killed_at_every_request(acme_cluster, scripted, ca, database, page, after, acted):
    hosts = [f"{n}.{page}-{after}-{acted}.kill.example.com".lower() for n in "abc"]
    killer = Killer(scripted, page, after, acted)
    if page == "order":
        ca.answer["finalize"] = processing_first
    ca.answer[page] = killer
    order = scripted.post("/acme", json={"hosts": hosts}, headers={"Prefer": "respond-async"}).json()["order"]["id"]
    wait_until(lambda: killer.done and not scripted.process.alive(), 30, "the kill")
    shown = go_on(database, scripted, order)
    assert shown["hosts"] == hosts
    served(acme_cluster.data_planes[0], hosts[1], hosts)
    made = [o for o in ca.orders.values() if o.host == hosts[0]]
    # An order whose URL was lost on the way is the only thing that may be made twice; a certificate never is.
    assert len(made) == (2 if page == "new-order" and acted else 1)
    assert sum(o.cert is not None for o in made) == 1
    assert sql(database, "SELECT count(*) FROM acme_challenges") == [(0,)]
    assert sql(database, "SELECT count(*) FROM acme_orders WHERE host = %s", hosts[0]) == [(1,)]
    wait_until(lambda: all(d.metric("cardea_dp_challenges") == 0 for d in acme_cluster.data_planes), 10, "no challenge left on data planes")


def test_killed_while_the_barrier_waits(acme_cluster, scripted, ca, database):
    """The challenges are in the fleet's state, and a data plane does not answer: whoever goes on waits for it too."""
    hosts = [f"{n}.barrier.kill.example.com" for n in "ab"]
    slow = acme_cluster.data_planes[1].process
    slow.signal(signal.SIGSTOP)
    try:
        order = scripted.post("/acme", json={"hosts": hosts}, headers={"Prefer": "respond-async"}).json()["order"]["id"]
        wait_until(lambda: order_of(scripted, order)["state"] == "publishing", 20, "publishing")
        assert [a["host"] for a in order_of(scripted, order)["authorizations"]] == list(reversed(hosts))
        scripted.process.kill()
    finally:
        slow.signal(signal.SIGCONT)
    go_on(database, scripted, order)
    assert sum(o.cert is not None for o in ca.orders.values() if o.host == hosts[0]) == 1
    assert sql(database, "SELECT count(*) FROM acme_challenges") == [(0,)]


# --- two certificates for one set of names ---


def tls_leaf(data_plane, host, algorithm):
    """The leaf for a client that knows only this kind of signature."""
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"ECDHE-{algorithm}-AES128-GCM-SHA256")
    with socket.create_connection((data_plane.ip, data_plane.tls_port), timeout=5) as raw:
        with context.wrap_socket(raw, server_hostname=host) as tls:
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


def both_leafs(data_plane, host):
    return tls_leaf(data_plane, host, "ECDSA"), tls_leaf(data_plane, host, "RSA")


def test_pair_of_certificates(acme_cluster, pebble, database):
    """An ECDSA and an RSA certificate by two orders, one after the other, in one entity; both are renewed together."""
    c = acme_cluster
    hosts = ["a.pair.example.com", "b.pair.example.com"]
    for host in hosts:
        pebble.resolve(host, c.data_planes[0].ip)
    r = issue(c.cp, *hosts, key_type_alt="rsa-2048")
    assert r.status_code == 201, r.text
    order = r.json()["order"]
    assert order["alternative"]["state"] == "valid" and order["alternative"]["key_type"] == "rsa-2048"
    assert int(r.headers["X-Cardea-Revision"]) == order["alternative"]["revision"] > order["revision"]
    before = {d: both_leafs(d, hosts[1]) for d in c.data_planes}
    for ec, rsa in before.values():
        assert names_of(ec) == names_of(rsa) == hosts
        assert rsa.public_key().key_size == 2048
    shown = c.cp.get(f"/certificates/{order['certificate']['id']}").json()
    assert shown["cert_alt"] and sorted(shown["snis"]) == hosts
    second = c.cp.get(f"/acme/orders/{order['alternative']['id']}").json()
    assert second["pair_of"] == order["id"] and second["renew_at"] is None and second["certificate"] == order["certificate"]
    sql(database, "UPDATE acme_orders SET renew_at = now() WHERE id = %s", order["id"])

    def both_new():
        ec, rsa = both_leafs(c.data_planes[0], hosts[0])
        old_ec, old_rsa = before[c.data_planes[0]]
        return ec.serial_number != old_ec.serial_number and rsa.serial_number != old_rsa.serial_number

    wait_until(both_new, 30, "both renewed")
    assert c.cp.get(f"/acme/orders?host={hosts[0]}").json()["data"][0]["certificate"] == order["certificate"]
    # An order for one certificate alone leaves no second one behind that nobody renews.
    assert issue(c.cp, *hosts).status_code == 201
    assert not c.cp.get(f"/certificates/{order['certificate']['id']}").json()["cert_alt"]


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"])
def test_key_types(acme_cluster, pebble, key_type):
    c = acme_cluster
    host = f"{key_type}.kt.example.com"
    pebble.resolve(host, c.data_planes[0].ip)
    r = issue(c.cp, host, key_type=key_type)
    assert r.status_code == 201, r.text
    assert leaf(c.data_planes[0], host).public_key().key_size == int(key_type.rpartition("-")[2].lstrip("p"))


@pytest.mark.parametrize(
    "more,reason",
    [
        ({"key_type": "dsa"}, "key_type must be one of"),
        ({"key_type_alt": "x"}, "key_type_alt must be one of"),
        ({"key_type_alt": "ecdsa-p384"}, "other algorithm"),
        ({"key_type": "rsa-2048", "key_type_alt": "rsa-4096"}, "other algorithm"),
        ({"key_type": 5}, "text of 1 to 15"),
        ({"profile": ""}, "text of 1 to 63"),
        ({"preferred_chain": ["x"]}, "text of 1 to 255"),
        ({"not_after": 1}, "time to come"),
        ({"not_after": "2030-01-01"}, "time to come"),
        ({"not_after": 10**15}, "time to come"),
        ({"must_staple": True}, "OCSP"),
    ],
)
def test_wishes_that_are_refused(acme_cluster, more, reason):
    r = acme_cluster.cp.post("/acme", json={"host": "wish.example.com", **more})
    assert r.status_code == 400, r.text
    assert reason in r.json()["message"]


def test_second_of_a_pair_fails(acme_cluster, scripted, ca):
    """The first one is live all the same, and the answer says what became of the second."""
    host = "half.example.com"

    def no_rsa(asked):
        if asked.order.number > first_number:
            return 400, {"type": ACME + "badPublicKey", "detail": "no RSA here"}, {}
        return None

    first_number = max(ca.orders, default=0) + 1
    ca.answer["finalize"] = no_rsa
    r = issue(scripted, host, key_type_alt="rsa-2048")
    assert r.status_code == 500 and "no RSA here" in r.json()["message"]
    order = r.json()["order"]
    assert order["state"] == "valid" and order["alternative"]["state"] == "failed"
    assert names_of(leaf(acme_cluster.data_planes[0], host)) == [host]
    # The renewal of the first tries the second again.
    assert order_of(scripted, order["id"])["renew_at"]


def test_renewing_one_of_a_pair_keeps_the_response_of_the_other(scripted, ca, database):
    host = "stapled-pair.example.com"
    assert issue(scripted, host, key_type_alt="rsa-2048").status_code == 201
    order = scripted.get(f"/acme/orders?host={host}").json()["data"][-1]
    path = f"/certificates/{order['certificate']['id']}"
    before = scripted.get(path).json()
    said = [response(x509.load_pem_x509_certificate(before[f].encode()), ca.root, ca.key) for f in ("cert", "cert_alt")]
    r = scripted.patch(path, json={"ocsp_response": said[0], "ocsp_response_alt": said[1]})
    assert r.status_code == 200, r.text
    ca.answer["finalize"] = lambda asked: (400, {"type": ACME + "badPublicKey", "detail": "no RSA now"}, {}) if asked.order.number > number else None
    number = max(ca.orders) + 1
    sql(database, "UPDATE acme_orders SET renew_at = now() WHERE id = %s", order["id"])
    wait_until(lambda: scripted.get(path).json()["cert"] != before["cert"], 30, "the first one is renewed")
    now = scripted.get(path).json()
    assert now["cert_alt"] == before["cert_alt"]
    assert now["ocsp_response"] is None and now["ocsp_response_alt"] == said[1]
