"""Renewal information (RFC 9773), profiles and alternate chains, with a Pebble that has them; and an authority that does not do what was wished for."""

import subprocess
import time

import psycopg2
import pytest
import requests
from cryptography import x509
from cryptography.x509.oid import NameOID

from harness import ROOT, Pebble, wait_until
from scripted_ca import ScriptedCA

ACME = "urn:ietf:params:acme:error:"


def sql(dsn, statement, *args):
    with psycopg2.connect(dsn) as db, db.cursor() as cur:
        cur.execute(statement, args)
        return cur.fetchall() if cur.description else None


@pytest.fixture(scope="module")
def newer(bare_cluster, http_port):
    c = bare_cluster
    program = subprocess.run([ROOT / "deploy/dev/pebble-build", ROOT / "build/pebble"], check=True, capture_output=True, text=True, timeout=900).stdout.strip()
    p = Pebble(c.folder, http_port, env={"PEBBLE_PROGRAM": program, "PEBBLE_ALTERNATE_ROOTS": "2", "PEBBLE_CHAIN_LENGTH": "2"}, own_ports=True).start()
    c.add_control_plane(acme_directory=p.directory, acme_ca_file=p.ca_file, acme_allow_private="on", acme_max_in_flight=2).start()
    c.add_data_plane().start()
    p.resolve_all(c.data_planes[0].ip)
    c.pebble = p
    yield c
    p.stop()


def issue(cp, host, **more):
    r = cp.post("/acme", json={"host": host, **more}, headers={"Prefer": "wait=60"})
    assert r.status_code == 201, r.text
    return r.json()["order"]


def leaf(c, host):
    return x509.load_der_x509_certificate(c.data_planes[0].peer_certificate(host))


def look(database, order):
    """The first time to ask has come."""
    ((wait,),) = sql(database, "SELECT extract(epoch FROM ari_next - now()) FROM acme_orders WHERE id = %s", order)
    assert 1500 < wait <= 3600  # not with the order: half an hour to an hour, for a certificate that lives long
    sql(database, "UPDATE acme_orders SET ari_next = now() WHERE id = %s", order)


def test_window_is_fetched_and_followed(newer, database):
    order = issue(newer.cp, "window.ari.example.com")

    def window():
        return sql(database, "SELECT extract(epoch FROM ari_start), extract(epoch FROM ari_end), extract(epoch FROM renew_at) FROM acme_orders WHERE id = %s AND ari_start IS NOT NULL", order["id"])

    look(database, order["id"])
    ((start, end, renew_at),) = wait_until(window, 20, "the window")
    assert start <= renew_at <= end
    ((next_s,),) = sql(database, "SELECT extract(epoch FROM ari_next - now()) FROM acme_orders WHERE id = %s", order["id"])
    assert 3600 < next_s <= 86400  # Pebble says six hours
    # Asked again, an unchanged window keeps the time that was chosen.
    sql(database, "UPDATE acme_orders SET ari_next = now() WHERE id = %s", order["id"])
    wait_until(lambda: sql(database, "SELECT ari_next > now() + interval '1 hour' FROM acme_orders WHERE id = %s", order["id"]) == [(True,)], 20, "asked again")
    assert window() == [(start, end, renew_at)]


def test_window_in_the_past_renews_at_once(newer, database):
    host = "incident.ari.example.com"
    order = issue(newer.cp, host)
    before = leaf(newer, host)
    look(database, order["id"])
    wait_until(lambda: sql(database, "SELECT ari_start IS NOT NULL FROM acme_orders WHERE id = %s", order["id"]) == [(True,)], 20, "the first window")
    now = time.time()
    stamp = lambda s: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(s))
    r = requests.post(
        f"{newer.pebble.management}/set-renewal-info/",
        json={
            "certificate": newer.cp.get(f"/certificates/{host}").json()["cert"].split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n",
            "ariResponse": f'{{"suggestedWindow":{{"start":"{stamp(now - 7200)}","end":"{stamp(now - 3600)}"}},"explanationURL":"https://ca.example/incident"}}',
        },
        verify=newer.pebble.ca_file,
        timeout=5,
    )
    assert r.status_code == 200, r.text
    # As if it had been issued some time ago: what is minutes old is not renewed at once again.
    sql(database, "UPDATE acme_orders SET created_at = created_at - interval '2 hours', ari_next = now() WHERE id = %s", order["id"])
    wait_until(lambda: leaf(newer, host).serial_number != before.serial_number, 30, "renewed at once")
    newest = newer.cp.get(f"/acme/orders?host={host}").json()["data"][0]
    assert newest["renewal"] and newest["attempts"] == 0
    assert newer.cp.get(f"/acme/orders/{order['id']}").json()["renewal_explanation"] == "https://ca.example/incident"
    ((replaces, ari_id),) = sql(database, "SELECT n.replaces, o.ari_id FROM acme_orders n JOIN acme_orders o ON o.id = n.renews WHERE n.id = %s", newest["id"])
    assert replaces == ari_id and replaces


def test_profiles(newer):
    cp = newer.cp
    order = issue(cp, "short.profile.example.com", profile="shortlived", profile_required=True)
    cert = leaf(newer, "short.profile.example.com")
    assert order["profile"] == "shortlived" and (cert.not_valid_after - cert.not_valid_before).days in (5, 6)
    # One that is only preferred is done without.
    issue(cp, "any.profile.example.com", profile="nonesuch")
    r = cp.post("/acme", json={"host": "must.profile.example.com", "profile": "nonesuch", "profile_required": True}, headers={"Prefer": "wait=60"})
    assert r.status_code == 500 and "nonesuch" in r.json()["message"] and r.json()["order"]["state"] == "failed"


def test_not_after_as_given(newer):
    at = int(time.time()) + 5000
    issue(newer.cp, "until.example.com", not_after=at)
    assert abs((leaf(newer, "until.example.com").not_valid_after - __import__("datetime").datetime(1970, 1, 1)).total_seconds() - at) <= 1


def common_name(name):
    return name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def chain_of(cp, host):
    text = cp.get(f"/certificates/{host}").json()["cert"]
    return [x509.load_pem_x509_certificate((p + "-----END CERTIFICATE-----\n").encode()) for p in text.split("-----END CERTIFICATE-----\n") if p.strip()]


def test_preferred_chain(newer):
    """Each of the roots that Pebble offers can be had; one that it does not have gives the first chain."""
    for i in range(3):
        root = x509.load_pem_x509_certificate(requests.get(f"{newer.pebble.management}/roots/{i}", verify=newer.pebble.ca_file, timeout=5).content)
        wanted = common_name(root.subject)
        issue(newer.cp, f"c{i}.chain.example.com", preferred_chain=wanted)
        chain = chain_of(newer.cp, f"c{i}.chain.example.com")
        assert common_name(chain[-1].issuer) == wanted and len(chain) == 3
    issue(newer.cp, "none.chain.example.com", preferred_chain="nobody's root")
    assert len(chain_of(newer.cp, "none.chain.example.com")) == 3


# --- an authority that refuses what was wished for ---


@pytest.fixture(scope="module")
def ca(bare_cluster):
    c = ScriptedCA(bare_cluster.folder).start()
    c.reuses = lambda host: True
    with_meta(c)
    yield c
    c.stop()


@pytest.fixture(scope="module")
def scripted(newer, ca):
    return newer.add_control_plane(acme_directory=ca.directory, acme_ca_file=ca.ca_file, acme_allow_private="on").start()


def with_meta(ca):
    def answer(asked):
        status, doc, fields = asked.ca.proper(asked)
        return status, {**doc, "renewalInfo": asked.ca.base + "/renewal-info", "meta": {"profiles": {"tiny": "x", "with space": "y"}}}, fields

    ca.answer["dir"] = answer


@pytest.mark.parametrize("kind,status", [("invalidProfile", 400), ("malformed", 400), ("unauthorized", 403)])
def test_refused_profile_is_left_out(scripted, ca, kind, status):
    seen = []

    def refuse(asked):
        seen.append(asked.payload.get("profile"))
        return (status, {"type": ACME + kind, "detail": "not for you"}, {}) if asked.payload.get("profile") else None

    ca.answer["new-order"] = refuse
    order = issue(scripted, f"{kind}.wish.example.com".lower(), profile="tiny")
    assert seen == ["tiny", None] and order["attempts"] == 0
    r = scripted.post("/acme", json={"host": f"must-{kind}.wish.example.com", "profile": "tiny", "profile_required": True}, headers={"Prefer": "wait=60"})
    assert r.status_code == 500 and "not for you" in r.json()["message"]


def test_refused_replacement_is_left_out(newer, scripted, ca, database):
    newer.cp.process.stop()  # or it may be the one that renews, at its own authority
    ca.answer.pop("new-order", None)
    host = "replaced.wish.example.com"
    order = issue(scripted, host)
    seen = []

    def refuse(asked):
        seen.append(asked.payload.get("replaces"))
        return (409, {"type": ACME + "alreadyReplaced", "detail": "twice"}, {}) if asked.payload.get("replaces") else None

    ca.answer["new-order"] = refuse
    sql(database, "UPDATE acme_orders SET ari_id = 'aki.serial', renew_at = now(), ari_next = NULL WHERE id = %s", order["id"])

    def renewed():
        newest = scripted.get(f"/acme/orders?host={host}").json()["data"][0]
        return newest["renewal"] and newest["state"] == "valid" and newest

    assert wait_until(renewed, 30, "renewal")["attempts"] == 0
    assert seen == ["aki.serial", None]
