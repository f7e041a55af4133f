"""The stand-in authority behaves as Pebble does, where both do the thing: one table of requests for both. Then what only the stand-in does."""

import datetime
import shutil
import time

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from acme_parts import StandIn
from harness import LANE, Pebble, free_port, make_folder, sanitizer_report
from pki import der, make_key
from raw_acme import Answers, Raw, b64, csr, jwk, sign

KID, MAC = "kid-1", b"0123456789abcdef0123456789abcdef"
BOTH = ("pebble", "standin")


@pytest.fixture(scope="module")
def answers():
    a = Answers(f"127.0.{LANE}.200", free_port(), free_port())
    yield a
    a.close()


@pytest.fixture(scope="module")
def authorities(answers):
    folder = make_folder()
    http_port, tls_port = (int(at.rsplit(":", 1)[1]) for at in (answers.http_at, answers.tls_at))
    env = {"PEBBLE_AUTHZREUSE": "0", "PEBBLE_ALTERNATE_ROOTS": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    pebble = Pebble(folder, http_port, tls_port=tls_port, own_ports=True, env=env)
    standin = StandIn(folder, http=[answers.http_at], tls=[answers.tls_at], alternates=1,
                      arguments=["profile=classic:0", "profile=shortlived:576000:ip", f"mac={KID}:{b64(MAC)}"])
    try:
        standin.start()
        pebble.start()
        requests.post(f"{pebble.challtest}/set-default-ipv4", json={"ip": answers.http_at.split(":")[0]}, timeout=5)
        yield {"pebble": pebble, "standin": standin}
    finally:
        pebble.stop()
        standin.stop()
    assert not sanitizer_report(standin.process.log())
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=BOTH)
def ca(request, authorities):
    return authorities[request.param]


@pytest.fixture
def standin(authorities):
    """With its settings as they were, afterwards."""
    s = authorities["standin"]
    before = requests.get(s.manage + "/settings", timeout=5).json()
    yield s
    s.set(**before)
    s.unpause()


def client(ca, **kw):
    c = Raw(ca.directory, ca.ca_file, **kw)
    assert c.register().status_code == 201
    return c


def problem(r, status, *types):
    assert r.status_code == status, (r.status_code, r.text)
    assert r.headers["Content-Type"].split(";")[0] == "application/problem+json"
    doc = r.json()
    assert doc["type"].rsplit(":", 1)[1] in types, doc
    assert doc["detail"] and doc["status"] == status
    return doc


# --- the same of both ---


def test_directory_names_every_endpoint(ca):
    c = Raw(ca.directory, ca.ca_file)
    assert {"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "meta"} <= set(c.dir)
    assert c.dir["meta"]["termsOfService"]


def test_nonces_come_by_head_and_get_and_with_every_answer(ca):
    c = client(ca)
    head, get = c.http.head(c.dir["newNonce"]), c.http.get(c.dir["newNonce"])
    assert (head.status_code, get.status_code) == (200, 204)
    seen = {head.headers["Replay-Nonce"], get.headers["Replay-Nonce"], c.post(c.kid).headers["Replay-Nonce"], c.order("A b").headers["Replay-Nonce"]}
    assert len(seen) == 4


def bad_requests():
    """(name, change of header, status, types)."""
    return [
        ("unknown nonce", lambda c, h: h.update(nonce="bm90IGEgbm9uY2U"), 400, ("badNonce",)),
        ("no nonce", lambda c, h: h.pop("nonce"), 400, ("badNonce",)),
        ("another url", lambda c, h: h.update(url=h["url"] + "x"), 400, ("malformed",)),
        ("no url", lambda c, h: h.pop("url"), 400, ("malformed",)),
        ("no key", lambda c, h: h.pop("kid"), 400, ("malformed",)),
        ("both keys", lambda c, h: h.update(jwk=jwk(c.key)), 400, ("malformed",)),
        ("jwk where kid belongs", lambda c, h: (h.pop("kid"), h.update(jwk=jwk(c.key))), 400, ("malformed",)),
        ("unknown account", lambda c, h: h.update(kid=h["kid"].rsplit("/", 1)[0] + "/999999"), 400, ("accountDoesNotExist",)),
        ("none", lambda c, h: h.update(alg="none"), 400, ("badSignatureAlgorithm", "malformed")),
        ("HS256", lambda c, h: h.update(alg="HS256"), 400, ("badSignatureAlgorithm", "malformed")),
    ]


@pytest.mark.parametrize("change,status,types", [pytest.param(*row[1:], id=row[0]) for row in bad_requests()])
def test_a_header_that_is_wrong(ca, change, status, types):
    c = client(ca)
    header = c.header(c.dir["newOrder"])
    change(c, header)
    problem(c.send(c.dir["newOrder"], sign(c.key, header, {"identifiers": [{"type": "dns", "value": "h.example.com"}]})), status, *types)


def test_a_nonce_counts_once(ca):
    c = client(ca)
    jws = sign(c.key, c.header(c.kid), "")
    assert c.send(c.kid, jws).status_code == 200
    problem(c.send(c.kid, jws), 400, "badNonce")


def test_a_signature_of_another_key(ca):
    c = client(ca)
    problem(c.send(c.kid, sign(make_key(), c.header(c.kid), "")), 400, "malformed", "unauthorized")


def test_another_media_type(ca):
    c = client(ca)
    problem(c.send(c.kid, sign(c.key, c.header(c.kid), ""), "application/json"), 415, "malformed")


def test_a_body_that_is_no_jws(ca):
    c = client(ca)
    for body in ([], "x", {"protected": "e30", "payload": "!", "signature": ""}):
        problem(c.send(c.kid, body), 400, "malformed")


def test_rsa_accounts(ca):
    assert client(ca, key=make_key("rsa")).post(Raw(ca.directory, ca.ca_file).dir["newOrder"], {"identifiers": [{"type": "dns", "value": "rsa.example.com"}]}).status_code == 201


def test_an_account_is_found_by_its_key(ca):
    c = client(ca)
    again = Raw(ca.directory, ca.ca_file, key=c.key)
    r = again.register()
    assert r.status_code == 200 and r.headers["Location"] == c.kid
    r = again.register(onlyReturnExisting=True)
    assert r.status_code == 200 and r.headers["Location"] == c.kid
    other = Raw(ca.directory, ca.ca_file)
    problem(other.register(onlyReturnExisting=True), 400, "accountDoesNotExist")


def test_terms_have_to_be_agreed_to(ca):
    c = Raw(ca.directory, ca.ca_file)
    problem(c.register(termsOfServiceAgreed=False), 403, "agreementRequired", "userActionRequired")


@pytest.mark.parametrize("contact,types", [(["tel:123"], ("unsupportedContact",)), (["mailto:nobody"], ("invalidContact",))])
def test_contacts_that_are_refused(ca, contact, types):
    problem(Raw(ca.directory, ca.ca_file).register(contact=contact), 400, *types)


def test_an_account_changes_its_contact_and_ends(ca):
    c = client(ca)
    r = c.post(c.kid, {"contact": ["mailto:new@example.com"]})
    assert r.status_code == 200 and r.json()["contact"] == ["mailto:new@example.com"]
    assert c.post(c.kid, {"status": "deactivated"}).json()["status"] == "deactivated"
    problem(c.order("gone.example.com"), 403, "unauthorized")


def key_change(c, new, **other):
    url = c.dir["keyChange"]
    inner = sign(new, {"alg": "ES256", "jwk": jwk(new), "url": url, **other.get("header", {})}, {"account": c.kid, "oldKey": jwk(c.key), **other.get("payload", {})})
    return c.post(url, inner)


def test_an_account_gets_another_key(ca):
    c, new = client(ca), make_key()
    assert key_change(c, new).status_code == 200
    old, c.key = c.key, new
    assert c.post(c.kid).status_code == 200
    problem(c.send(c.kid, sign(old, c.header(c.kid), "")), 400, "malformed", "unauthorized")


def test_a_key_of_another_account_is_not_taken(ca):
    first, second = client(ca), client(ca)
    r = key_change(first, second.key)
    assert first.post(first.kid).status_code == 200
    if isinstance(ca, StandIn):  # Pebble 2.4 answers with 500
        assert r.status_code == 409 and r.headers["Location"] == second.kid


@pytest.mark.parametrize("other", [{"payload": {"account": "https://x/1"}}, {"payload": {"oldKey": jwk(make_key())}}, {"header": {"url": "https://x/"}}], ids=["account", "old key", "url"])
def test_a_key_change_that_is_wrong(ca, other):
    r = key_change(client(ca), make_key(), **other)
    assert r.status_code in (400, 403), r.text


@pytest.mark.parametrize("names", [[], ["*"], ["a b.example.com"], ["UPPER_case!.example.com"]], ids=str)
def test_identifiers_that_are_refused(ca, names):
    r = client(ca).order(*names)
    assert r.status_code == 400 and r.json()["type"].rsplit(":", 1)[1] in ("malformed", "rejectedIdentifier"), r.text


def test_an_address_is_no_dns_name(ca):
    problem(client(ca).order("192.0.2.1"), 400, "malformed", "rejectedIdentifier")


def test_other_kinds_of_identifiers(ca):
    c = client(ca)
    problem(c.post(c.dir["newOrder"], {"identifiers": [{"type": "email", "value": "a@b.example"}]}), 400, "unsupportedIdentifier", "malformed")


def test_an_order_and_its_authorization(ca):
    c = client(ca)
    r = c.order("shape.example.com")
    assert r.status_code == 201
    order = r.json()
    assert order["status"] == "pending" and order["identifiers"] == [{"type": "dns", "value": "shape.example.com"}]
    assert order["expires"] and order["finalize"] and "certificate" not in order
    shown = c.post(r.headers["Location"]).json()
    assert shown["status"] == "pending" and shown["authorizations"] == order["authorizations"]
    authz = c.post(order["authorizations"][0]).json()
    assert authz["status"] == "pending" and authz["identifier"] == {"type": "dns", "value": "shape.example.com"}
    kinds = {ch["type"]: ch for ch in authz["challenges"]}
    assert {"http-01", "tls-alpn-01"} <= set(kinds)
    assert all(ch["status"] == "pending" and len(ch["token"]) >= 22 and ch["url"] for ch in kinds.values())


def test_finalize_before_the_order_is_ready(ca):
    c = client(ca)
    order = c.order("early.example.com").json()
    problem(c.post(order["finalize"], {"csr": csr(["early.example.com"], make_key())}), 403, "orderNotReady")


def test_what_another_account_owns(ca):
    first, second = client(ca), client(ca)
    r = first.order("mine.example.com")
    assert second.post(r.json()["authorizations"][0]).status_code in (401, 403, 404)
    assert second.post(r.headers["Location"]).status_code in (401, 403, 404)


def test_a_certificate_comes(ca, answers):
    c, key = client(ca), make_key()
    asked = len(answers.asked)
    order, r, leaf = c.issue(answers, "one.example.com", key=key)
    assert r.headers["Content-Type"].split(";")[0] == "application/pem-certificate-chain"
    assert len(answers.asked) - asked == 3
    assert all(a == ("one.example.com", p) and p.startswith("/.well-known/acme-challenge/") for a, p in zip(answers.asked[asked:], [a[1] for a in answers.asked[asked:]]))
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == ["one.example.com"]
    assert leaf.public_key().public_numbers() == key.public_key().public_numbers()
    assert r.text.count("BEGIN CERTIFICATE") >= 2
    assert c.post(order["authorizations"][0]).json()["status"] == "valid"
    problem(c.post(order["finalize"], {"csr": csr(["one.example.com"], key)}), 403, "orderNotReady")


def test_names_together(ca, answers):
    c = client(ca)
    _, _, leaf = c.issue(answers, "b.example.com", "a.example.com")
    assert set(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)) == {"a.example.com", "b.example.com"}


def test_tls_alpn(ca, answers):
    client(ca).issue(answers, "alpn.example.com", kind="tls-alpn-01")


def test_a_certificate_for_an_address(ca, answers):
    ip = answers.http_at.split(":")[0]
    fields = {"profile": "shortlived"} if isinstance(ca, StandIn) else {}
    _, _, leaf = client(ca).issue(answers, ips=[ip], **fields)
    assert [str(i) for i in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.IPAddress)] == [ip]


def test_a_wrong_answer_fails_order_and_authorization(ca, answers):
    c = client(ca)
    r = c.order("wrong.example.com")
    order = r.json()
    authz = c.post(order["authorizations"][0]).json()
    ch = next(x for x in authz["challenges"] if x["type"] == "http-01")
    answers.put("wrong.example.com", ch["token"], "not it")
    assert c.post(ch["url"], {}).status_code == 200
    authz = c.until(order["authorizations"][0], ("invalid",))
    error = next(x for x in authz["challenges"] if x["type"] == "http-01")["error"]
    assert error["type"].rsplit(":", 1)[1] in ("unauthorized", "incorrectResponse") and error["detail"]
    assert c.until(r.headers["Location"], ("invalid",))["error"]
    problem(c.post(order["finalize"], {"csr": csr(["wrong.example.com"], make_key())}), 403, "orderNotReady")


def test_a_challenge_cannot_be_tried_twice(ca, answers):
    c = client(ca)
    order = c.order("twice.example.com").json()
    c.solve(order, answers)
    ch = c.post(order["authorizations"][0]).json()["challenges"][0]
    assert c.post(ch["url"], {}).status_code in (200, 400)


def ready_order(c, answers, name):
    r = c.order(name)
    c.solve(r.json(), answers)
    c.until(r.headers["Location"], ("ready",))
    return r.json()


@pytest.mark.parametrize("names,types,statuses", [(["other.example.com"], ("unauthorized", "badCSR"), (400, 403)), (["csr.example.com", "more.example.com"], ("unauthorized", "badCSR"), (400, 403))], ids=["other", "more"])
def test_a_csr_for_other_names(ca, answers, names, types, statuses):
    c = client(ca)
    r = c.post(ready_order(c, answers, "csr.example.com")["finalize"], {"csr": csr(names, make_key())})
    assert r.status_code in statuses and r.json()["type"].rsplit(":", 1)[1] in types, r.text


def test_a_csr_that_is_none(ca, answers):
    c = client(ca)
    order = ready_order(c, answers, "nocsr.example.com")
    for text in ("AAAA", "!"):
        r = c.post(order["finalize"], {"csr": text})
        assert r.status_code == 400 and r.json()["type"].rsplit(":", 1)[1] in ("malformed", "badCSR"), r.text


def test_the_account_key_is_not_for_certificates(ca, answers):
    """RFC 8555 section 11.1."""
    c = client(ca)
    r = c.post(ready_order(c, answers, "ownkey.example.com")["finalize"], {"csr": csr(["ownkey.example.com"], c.key)})
    assert r.status_code == 400


def test_alternate_chains(ca, answers):
    c = client(ca)
    _, r, leaf = c.issue(answers, "alternate.example.com")
    links = requests.utils.parse_header_links(r.raw.headers.getlist("Link")[0]) if len(r.raw.headers.getlist("Link")) == 1 else [requests.utils.parse_header_links(h)[0] for h in r.raw.headers.getlist("Link")]
    other = [link["url"] for link in links if link.get("rel") == "alternate"]
    assert len(other) == 1
    r2 = c.post(other[0])
    assert r2.status_code == 200 and r2.text != r.text
    assert r2.text.split("-----END")[0] == r.text.split("-----END")[0]


def test_dates_are_honoured(ca, answers):
    if isinstance(ca, StandIn):
        ca.set(validity_s=86400)
    now = datetime.datetime.utcnow().replace(microsecond=0)
    after = now + datetime.timedelta(hours=3)
    _, _, leaf = client(ca).issue(answers, "dates.example.com", notBefore=now.isoformat() + "Z", notAfter=after.isoformat() + "Z")
    assert (leaf.not_valid_before, leaf.not_valid_after) == (now, after)


def revoke(c, leaf, reason=None, key=None):
    payload = {"certificate": b64(der(leaf)), **({} if reason is None else {"reason": reason})}
    if key is None:
        return c.post(c.dir["revokeCert"], payload)
    url = c.dir["revokeCert"]
    return c.send(url, sign(key, {"alg": "ES256", "nonce": c.nonce(), "url": url, "jwk": jwk(key)}, payload))


def test_revocation_by_the_account_once(ca, answers):
    c = client(ca)
    _, _, leaf = c.issue(answers, "revoked.example.com")
    problem(revoke(client(ca), leaf), 403, "unauthorized")
    problem(revoke(c, leaf, reason=100), 400, "badRevocationReason")
    assert revoke(c, leaf, reason=4).status_code == 200
    problem(revoke(c, leaf), 400, "alreadyRevoked")


def test_revocation_by_the_certificates_key(ca, answers):
    c, key = client(ca), make_key()
    _, _, leaf = c.issue(answers, "bykey.example.com", key=key)
    r = revoke(c, leaf, key=make_key())
    assert r.status_code in (400, 403)
    assert revoke(c, leaf, key=key).status_code == 200


def test_revocation_of_what_is_not_known(ca):
    c = client(ca)
    payload = {"certificate": b64(b"\x30\x00")}
    assert c.post(c.dir["revokeCert"], payload).status_code in (400, 404, 500)


def test_an_authorization_is_given_up(ca):
    c = client(ca)
    r = c.order("given.example.com")
    url = r.json()["authorizations"][0]
    done = c.post(url, {"status": "deactivated"})
    assert done.status_code == 200 and done.json()["status"] == "deactivated"
    assert c.post(url).json()["status"] == "deactivated"


def test_methods(ca):
    c = client(ca)
    assert c.http.get(c.dir["newOrder"]).status_code == 405
    assert c.http.get(c.kid).status_code in (405, 404, 400)


# --- the stand-in alone ---


def eab(c, kid=KID, mac=MAC, key=None, **header):
    return sign(mac, {"alg": "HS256", "kid": kid, "url": c.dir["newAccount"], **header}, jwk(key or c.key))


@pytest.mark.parametrize("bad", [{"kid": "other"}, {"mac": b"x" * 32}, {"key": make_key()}, {"nonce": "abc"}, {"url": "https://x/"}, {"alg": "HS512"}], ids=lambda b: next(iter(b)))
def test_outside_accounts(standin, bad):
    standin.set(eab_required=1)
    c = Raw(standin.directory, standin.ca_file)
    assert c.dir["meta"]["externalAccountRequired"] is True
    problem(c.register(), 403, "externalAccountRequired")
    problem(c.register(externalAccountBinding=eab(c, **bad)), 403, "unauthorized")
    assert c.register(externalAccountBinding=eab(c)).status_code == 201


def test_profiles(standin, answers):
    c = client(standin)
    assert set(c.dir["meta"]["profiles"]) == {"classic", "shortlived"}
    problem(c.order("p.example.com", profile="nope"), 400, "invalidProfile")
    problem(c.order(ips=["192.0.2.1"], profile="classic"), 403, "unauthorized")
    order, _, leaf = c.issue(answers, "p.example.com", profile="shortlived")
    assert order["profile"] == "shortlived" and (leaf.not_valid_after - leaf.not_valid_before).total_seconds() == 576000


def test_renewal_information(standin, answers):
    c = client(standin)
    c.issue(answers, "ari.example.com")
    first = standin.certificates("ari.example.com")[0]
    r = c.http.get(c.dir["renewalInfo"] + "/" + first["certid"], timeout=5)
    window = r.json()["suggestedWindow"]
    start = datetime.datetime.fromisoformat(window["start"].rstrip("Z")).replace(tzinfo=datetime.timezone.utc).timestamp()
    assert r.headers["Retry-After"] == "21600" and first["not_before"] < start < first["not_after"]
    standin.move_window("ari.example.com", time.time() - 60, time.time() - 30, "https://ca.example/why")
    moved = c.http.get(c.dir["renewalInfo"] + "/" + first["certid"], timeout=5).json()
    assert moved["explanationURL"] == "https://ca.example/why" and moved["suggestedWindow"]["end"] < window["start"]
    order, _, _ = c.issue(answers, "ari.example.com", replaces=first["certid"])
    assert order["replaces"] == first["certid"]
    problem(c.order("ari.example.com", replaces=first["certid"]), 409, "alreadyReplaced")
    problem(c.order("else.example.com", replaces=standin.certificates("ari.example.com")[1]["certid"]), 400, "malformed")
    problem(client(standin).order("ari.example.com", replaces=standin.certificates("ari.example.com")[1]["certid"]), 403, "unauthorized")
    problem(c.order("ari.example.com", replaces="YQ.Yg"), 404, "malformed")
    assert standin.duplicates()["ari.example.com"] == 2
    aki = x509.load_pem_x509_certificate(c.issue(answers, "id.example.com")[1].content)
    ident = standin.certificates("id.example.com")[0]["certid"].split(".")
    assert ident[0] == b64(aki.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier)
    assert ident[1] == b64(aki.serial_number.to_bytes((aki.serial_number.bit_length() + 8) // 8, "big"))


@pytest.mark.parametrize("prefix,kind,status", [("fail-", "connection", 400), ("fail-dns-", "dns", 400), ("fail-tls-", "tls", 400), ("fail-unauthorized-", "unauthorized", 403), ("fail-caa-", "caa", 403)])
def test_names_that_fail(standin, answers, prefix, kind, status):
    c = client(standin)
    authz = c.solve(c.order(f"{prefix}x.example.com").json(), answers)[0]
    error = authz["challenges"][0]["error"]
    assert authz["status"] == "invalid" and error["type"].endswith(":" + kind) and error["status"] == status


def test_names_that_are_forbidden(standin):
    p = problem(client(standin).order("forbidden-x.example.com", "ok.example.com"), 400, "rejectedIdentifier")
    assert [s["identifier"]["value"] for s in p["subproblems"]] == ["forbidden-x.example.com"]


def test_rate_limits_in_words(standin, answers):
    c = client(standin)
    standin.set(limit_orders=2, limit_orders_s=600)
    assert [c.order(f"l{i}.example.com").status_code for i in range(2)] == [201, 201]
    r = c.order("l3.example.com")
    p = problem(r, 429, "rateLimited")
    assert "too many new orders (2) from this account in the last 0h10m0s, retry after " in p["detail"]
    assert 0 < int(r.headers["Retry-After"]) <= 300
    standin.set(limit_orders=0, limit_failures=1)
    c.solve(c.order("fail-l.example.com").json(), answers)
    assert 'too many failed authorizations (1) for "fail-l.example.com"' in problem(c.order("fail-l.example.com"), 429, "rateLimited")["detail"]
    standin.set(limit_failures=0, limit_set=1)
    c.issue(answers, "set.example.com")
    assert "already issued for this exact set of identifiers" in problem(c.order("set.example.com"), 429, "rateLimited")["detail"]
    standin.set(limit_set=0, limit_domain=1, retry_after_date=1)
    c.issue(answers, "x.limited.example")
    r = c.order("y.limited.example")
    assert 'already issued for "limited.example"' in problem(r, 429, "rateLimited")["detail"]
    assert r.headers["Retry-After"].endswith(" GMT")


def test_paused_names_and_the_way_out(standin, answers):
    c = client(standin)
    standin.set(pause_after=2)
    for _ in range(2):
        c.solve(c.order("fail-pause.example.com").json(), answers)
    r = c.order("fail-pause.example.com")
    detail = problem(r, 429, "rateLimited")["detail"]
    assert "temporarily prevented from requesting certificates for fail-pause.example.com" in detail and "Retry-After" not in r.headers
    assert requests.post(detail.rsplit(" ", 1)[1].replace("https:", "http:"), timeout=5).json() == {"unpaused": 1}
    assert c.order("fail-pause.example.com").status_code == 201


def test_retry_after_while_it_takes_time(standin, answers):
    standin.set(validate_ms=300, issue_ms=300, retry_after_s=1, retry_after_order_s=3)
    c = client(standin)
    r = c.order("slow.example.com")
    assert c.post(r.json()["authorizations"][0]).headers["Retry-After"] == "1"
    c.solve(r.json(), answers)
    done = c.post(r.json()["finalize"], {"csr": csr(["slow.example.com"], make_key())})
    assert done.json()["status"] == "processing" and done.headers["Retry-After"] == "3"
    c.until(r.headers["Location"], ("valid",))


def test_what_is_reused(standin, answers):
    standin.set(authz_reuse=1, order_reuse=1)
    c = client(standin)
    first, second = c.order("reuse.example.com"), c.order("reuse.example.com")
    assert first.headers["Location"] == second.headers["Location"]
    c.issue(answers, "reuse.example.com")
    assert c.order("reuse.example.com").json()["status"] == "ready"


def test_addresses_are_asked_in_turn(standin, answers):
    c = client(standin)
    standin.resolve("turn.example.com", answers.http_at, f"127.0.{LANE}.201:1")
    authz = c.solve(c.order("turn.example.com").json(), answers)[0]
    assert authz["status"] == "invalid" and "201" in authz["challenges"][0]["error"]["detail"]


def test_counters(standin, answers):
    standin.reset()
    c = client(standin)
    c.issue(answers, "counted.example.com")
    n = standin.counters()
    assert n["requests"]["new-order"] == 1 and n["requests"]["finalize"] == 1 and n["requests"]["cert"] == 1
    assert n["validation_requests"] == 3 and n["requests"]["new-nonce"] == 1
