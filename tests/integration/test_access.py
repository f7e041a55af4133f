"""Who may do what on the admin API: tokens, client certificates, roles, TLS listeners, and the audit of every write."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest
import requests

from harness import BUILD, ControlPlane, free_port, wait_until
from pki import der, key_pem, make_cert, make_key, pair, pem

ROLES = "admin:cn=Alice Smith, operator+keys:dns=ci.example.com, operator:dns=op.example.com, reader:dns=*.readers.example.com"


class Authority:
    """A CA with what it signed, as files."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = make_key()
        self.cert = make_cert([name], self.key, days=365, ca=True)
        self.file = folder / f"{name}.ca"
        self.file.write_text(pem(self.cert))

    def issue(self, *names, days=90):
        """(certificate file, key file)"""
        key = make_key()
        cert = make_cert(list(names), key, issuer=self.cert, issuer_key=self.key, days=days)
        base = self.folder / f"{self.name}-{names[0].replace('*', 'star').replace(' ', '_')}-{days}"
        files = base.with_suffix(".crt"), base.with_suffix(".key")
        files[0].write_text(pem(cert))
        files[1].write_text(key_pem(key))
        return files


class Guarded(ControlPlane):
    """A control plane with authentication, a plain listener, and TLS listeners with and without HTTP/2."""

    def __init__(self, cluster, authority, **settings):
        self.authority = authority
        self.h2_port, self.h1_port, plain = free_port(), free_port(), free_port()
        cert, key = authority.issue("localhost")
        self.cert, self.key = cluster.folder / f"admin{plain}.crt", cluster.folder / f"admin{plain}.key"
        shutil.copy(cert, self.cert), shutil.copy(key, self.key)
        super().__init__(
            cluster,
            f"guarded{plain}",
            **{
                "admin_listen": f"127.0.0.1:{plain}, 127.0.0.1:{self.h2_port} ssl http2, 127.0.0.1:{self.h1_port} ssl",
                "admin_auth": "required",
                "admin_ssl_cert": self.cert,
                "admin_ssl_cert_key": self.key,
                "admin_client_ca_cert": authority.file,
                "admin_client_roles": ROLES,
                "audit_log_record_ttl": "3650d",
                **settings,
            },
        )
        self.admin_port, self.admin_url = plain, f"http://127.0.0.1:{plain}"
        self.tls_url = f"https://localhost:{self.h1_port}"
        cluster.control_planes.append(self)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        """Ends it here: each has its sessions of the database."""
        code = self.process.stop()
        assert kind or code == 0, self.process.log()[-3000:]

    def bootstrap(self, name):
        return subprocess.run([BUILD / "cardea-cp", "-c", self.config, "-A", name], capture_output=True, text=True, timeout=30)

    def first(self, name):
        r = self.bootstrap(name)
        assert r.returncode == 0, r.stderr
        return r.stdout.strip()

    def as_token(self, token, method, path, **kw):
        return self.request(method, path, headers={"Authorization": f"Bearer {token}", **kw.pop("headers", {})}, **kw)

    def as_certificate(self, files, method, path, **kw):
        return requests.request(method, self.tls_url + path, cert=files and tuple(map(str, files)), verify=str(self.authority.file), timeout=30, **kw)

    def metric(self, reason):
        text = requests.get(f"http://{self.ip}:{self.status_port}/metrics", timeout=5).text
        name = f'cardea_admin_auth_failures_total{{reason="{reason}"}} '
        return next((float(line[len(name) :]) for line in text.splitlines() if line.startswith(name)), 0)


@pytest.fixture(scope="module")
def authority(bare_cluster):
    return Authority(bare_cluster.folder, "trusted")


@pytest.fixture(scope="module")
def cp(bare_cluster, authority):
    """With admin_auth_failures_max off: the rows below fail on purpose."""
    return Guarded(bare_cluster, authority, admin_auth_failures_max=0).start()


@pytest.fixture(scope="module")
def root(cp):
    return cp.first("root")


def make_token(cp, root, **body):
    r = cp.as_token(root, "POST", "/admin/tokens", json=body)
    assert r.status_code == 201, r.text
    return r.json()["token"]


@pytest.fixture(scope="module")
def tokens(cp, root):
    return {
        "admin": root,
        "operator": make_token(cp, root, name="op", role="operator"),
        "operator+keys": make_token(cp, root, name="op-keys", role="operator", read_keys=True),
        "reader": make_token(cp, root, name="reader", role="reader"),
    }


# --- the first token ---


def test_first_token(cp, root):
    assert len(root) == 71 and root.startswith("cardea_")
    again = cp.bootstrap("root")
    assert again.returncode == 1 and again.stdout == "" and "a token of this name exists" in again.stderr
    for name in ("", "a b", "a/b"):
        bad = cp.bootstrap(name)
        assert bad.returncode == 1 and bad.stdout == "", name
    shown = cp.as_token(root, "GET", "/admin/tokens/root").json()
    assert shown["role"] == "admin" and shown["expires_at"] is None and "token" not in shown and "hash" not in shown


# --- tokens ---


def test_token_is_told_once(cp, root):
    r = cp.as_token(root, "POST", "/admin/tokens", data={"name": "form", "role": "operator", "read_keys": "true", "expires_in": "3600"})
    assert r.status_code == 201 and r.headers["Cache-Control"] == "no-store"
    made = r.json()
    assert made["read_keys"] is True and abs(made["expires_at"] - made["created_at"] - 3600) <= 1 and made["last_used_at"] is None
    for path in ("/admin/tokens/form", f"/admin/tokens/{made['id']}"):
        again = cp.as_token(root, "GET", path)
        assert again.json() == {k: v for k, v in made.items() if k != "token"}
    assert made["token"] not in cp.process.log()
    assert cp.as_token(made["token"], "GET", "/services").status_code == 200
    wait_until(lambda: cp.as_token(root, "GET", "/admin/tokens/form").json()["last_used_at"], what="last use")


def test_tokens_in_pages(cp, root, tokens):
    seen, path = [], "/admin/tokens?size=2"
    while path:
        page = cp.as_token(root, "GET", path).json()
        assert len(page["data"]) <= 2 and all("hash" not in t and "token" not in t for t in page["data"])
        seen += [t["name"] for t in page["data"]]
        path = page["next"]
    assert len(seen) == len(set(seen)) and {"root", "op", "op-keys", "reader"} <= set(seen)


@pytest.mark.parametrize(
    "body,status,field",
    [
        ({}, 400, "name"),
        ({"name": "x"}, 400, "role"),
        ({"name": "x", "role": "root"}, 400, "role"),
        ({"name": "x", "role": "Admin"}, 400, "role"),
        ({"name": "", "role": "admin"}, 400, "name"),
        ({"name": "a b", "role": "admin"}, 400, "name"),
        ({"name": "x" * 129, "role": "admin"}, 400, "name"),
        ({"name": 7, "role": "admin"}, 400, "name"),
        ({"name": "x", "role": ["admin"]}, 400, "role"),
        ({"name": "x", "role": "reader", "read_keys": True}, 400, "read_keys"),
        ({"name": "x", "role": "reader", "expires_in": 0}, 400, "expires_in"),
        ({"name": "x", "role": "reader", "expires_in": -1}, 400, "expires_in"),
        ({"name": "x", "role": "reader", "expires_in": 1e18}, 400, "expires_in"),
        ({"name": "x", "role": "reader", "expires_in": "soon"}, 400, "expires_in"),
        ({"name": "x", "role": "reader", "hash": "00"}, 400, "hash"),
        ({"name": "x", "role": "reader", "token": "mine"}, 400, "token"),
        ({"name": "root", "role": "reader"}, 409, "name"),
    ],
)
def test_bad_tokens_are_not_made(cp, root, body, status, field):
    r = cp.as_token(root, "POST", "/admin/tokens", json=body)
    assert r.status_code == status and field in r.json()["fields"], r.text
    assert "token" not in r.json()
    assert cp.as_token(root, "GET", "/admin/tokens/x").status_code == 404


@pytest.mark.parametrize(
    "key,status", [("nobody", 404), ("00000000-0000-4000-8000-000000000000", 404), ("%00", 400), ("root%00", 400), ("%FF", 404), ("ROOT", 404), ("x" * 3000, 404)]
)
def test_unknown_tokens(cp, root, key, status):
    for method in ("GET", "DELETE"):
        assert cp.as_token(root, method, f"/admin/tokens/{key}").status_code == status
    assert cp.as_token(root, "GET", "/admin/tokens/root").status_code == 200


def test_expired_token(cp, root):
    token = make_token(cp, root, name="short", role="reader", expires_in=2)
    before = cp.metric("expired")
    assert cp.as_token(token, "GET", "/").status_code == 200
    wait_until(lambda: cp.as_token(token, "GET", "/").status_code == 401, what="expired")
    assert cp.metric("expired") > before


def test_revoked_token_ends_on_an_open_connection(cp, root):
    token = make_token(cp, root, name="revoked", role="reader")
    c = http.client.HTTPConnection("127.0.0.1", cp.admin_port, timeout=10)

    def status():
        c.request("GET", "/snis", headers={"Authorization": "Bearer " + token})
        r = c.getresponse()
        r.read()
        return r.status

    assert status() == 200
    first = c.sock
    assert cp.as_token(root, "DELETE", "/admin/tokens/revoked").status_code == 204
    assert status() == 401 and c.sock is first
    assert cp.as_token(root, "DELETE", "/admin/tokens/revoked").status_code == 404


# --- headers ---

CHALLENGE, INVALID = 'Bearer realm="cardea"', 'Bearer realm="cardea", error="invalid_token"'
AMBIGUOUS = 'Bearer realm="cardea", error="invalid_request"'


def raw_request(port, head, body=b"", finish=True):
    """Status, headers and body of what comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(head + body)
        r = http.client.HTTPResponse(s)
        r.begin()
        return r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()


def with_lines(*lines, path="/services", method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


HEADER_ROWS = [
    ("nothing", [], 401, CHALLENGE),
    ("bearer", [b"Authorization: Bearer TOKEN"], 200, None),
    ("any case", [b"authorization: bEaReR TOKEN"], 200, None),
    ("more spaces", [b"Authorization:   Bearer   TOKEN  "], 200, None),
    ("Kong's header", [b"Kong-Admin-Token: TOKEN"], 200, None),
    ("Kong's header, and another scheme for somebody else", [b"Kong-Admin-Token: TOKEN", b"Authorization: Basic dTpw"], 200, None),
    ("basic", [b"Authorization: Basic dTpw"], 401, INVALID),
    ("token without scheme", [b"Authorization: TOKEN"], 401, INVALID),
    ("empty", [b"Authorization:"], 401, INVALID),
    ("bearer of nothing", [b"Authorization: Bearer"], 401, INVALID),
    ("bearer of nothing, with a space", [b"Authorization: Bearer "], 401, INVALID),
    ("two words", [b"Authorization: Bearer TOKEN TOKEN"], 401, INVALID),
    ("cut", [b"Authorization: Bearer SHORT"], 401, INVALID),
    ("longer", [b"Authorization: Bearer TOKENA"], 401, INVALID),
    ("other secret", [b"Authorization: Bearer OTHER"], 401, INVALID),
    ("other prefix", [b"Authorization: Bearer Cardea_" + b"A" * 64], 401, INVALID),
    ("no base64", [b"Authorization: Bearer cardea_" + b"!" * 64], 401, INVALID),
    ("right form, never made", [b"Authorization: Bearer cardea_" + b"A" * 64], 401, INVALID),
    ("quotes", [b'Authorization: Bearer "TOKEN"'], 401, INVALID),
    ("in a parameter", [b"Authorization: Bearer token=TOKEN"], 401, INVALID),
    ("two Authorization headers", [b"Authorization: Bearer TOKEN", b"Authorization: Bearer TOKEN"], 400, AMBIGUOUS),
    ("both headers", [b"Authorization: Bearer TOKEN", b"Kong-Admin-Token: TOKEN"], 400, AMBIGUOUS),
    ("two of Kong's", [b"Kong-Admin-Token: TOKEN", b"Kong-Admin-Token: OTHER"], 400, AMBIGUOUS),
    ("empty one of Kong's", [b"Kong-Admin-Token:"], 401, INVALID),
    ("bytes above ASCII", [b"Authorization: Bearer \xff\xfe"], 401, INVALID),
    ("10,000 bytes", [b"Authorization: Bearer " + b"A" * 10000], 401, INVALID),
    ("20,000 bytes", [b"Authorization: Bearer " + b"A" * 20000], 431, None),
    ("a cookie", [b"Cookie: token=TOKEN"], 401, CHALLENGE),
]


@pytest.mark.parametrize("name,lines,status,challenge", HEADER_ROWS, ids=[r[0] for r in HEADER_ROWS])
def test_header_rows(cp, root, name, lines, status, challenge):
    token = root.encode()
    other = token[:-6] + (b"AAAAAA" if token[-6:] != b"AAAAAA" else b"BBBBBB")
    lines = [line.replace(b"TOKEN", token).replace(b"SHORT", token[:-1]).replace(b"OTHER", other) for line in lines]
    got, headers, body = raw_request(cp.admin_port, with_lines(*lines))
    assert got == status, body
    assert headers.get("www-authenticate") == challenge
    if status in (400, 401):
        assert set(json.loads(body)) == {"message"}
        # Nothing is told about paths to those who are not known.
        assert raw_request(cp.admin_port, with_lines(*lines, path="/nowhere"))[0] == status
        assert raw_request(cp.admin_port, with_lines(*lines, path="/services", method="BREW"))[0] == status
    # A token in the query counts for nothing.
    assert raw_request(cp.admin_port, with_lines(path="/services?access_token=" + root))[0] == 401


def test_status_listener_is_open_and_read_only(cp):
    base = f"http://{cp.ip}:{cp.status_port}"
    for path in ("/status", "/status/ready", "/metrics"):
        assert requests.get(base + path, timeout=5).status_code == 200
    assert requests.get(base + "/services", timeout=5).status_code == 404
    assert requests.post(base + "/status/ready", json={"status": "draining"}, timeout=5).status_code == 405
    assert requests.get(base + "/status/ready", timeout=5).status_code == 200


def test_no_body_is_taken_from_strangers(cp):
    """The answer comes while most of the body is still to be sent."""
    head = b"POST /certificates HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000000\r\n"
    stranger = b"Authorization: Bearer cardea_" + b"A" * 64 + b"\r\n\r\n"
    for lines in (b"\r\n", stranger):
        status, _, body = raw_request(cp.admin_port, head + lines, b"{" * 1000)
        assert status == 401, body


def test_large_bodies_of_those_who_are_known(cp, root):
    """More than one window, also by HTTP/2, where it is held back until the sender is known."""
    tags = [f"tag{i:06}" for i in range(40000)]
    r = cp.as_token(root, "POST", "/schemas/services/validate", json={"name": "a", "host": "a.com", "tags": tags})
    assert r.status_code == 200, r.text[:200]
    sent = cp.cluster.folder / "large.json"
    sent.write_text(json.dumps({"name": "a", "host": "a.com", "tags": tags}))
    out = curl(cp, "--http2", "-H", f"Authorization: Bearer {root}", "-H", "Content-Type: application/json", "--data-binary", f"@{sent}", path="/schemas/services/validate")
    assert out == ("200", "2")


# --- roles ---

NOBODY = "00000000-0000-4000-8000-000000000000"
# What is allowed ends in an answer of the handler, whatever it is; what is not: 403.
ROLE_ROWS = [
    ("reader", "GET", "/"),
    ("reader", "HEAD", "/"),
    ("reader", "GET", "/status"),
    ("reader", "GET", "/metrics"),
    ("reader", "GET", "/endpoints"),
    ("reader", "GET", "/tags"),
    ("reader", "GET", "/certificates"),
    ("reader", "GET", f"/certificates/{NOBODY}"),
    ("reader", "GET", "/default/services"),
    ("reader", "GET", "/services/x/routes"),
    ("reader", "GET", "/schemas/services"),
    ("reader", "POST", "/schemas/services/validate"),
    ("reader", "POST", "/schemas/plugins/validate"),
    ("reader", "GET", "/clustering/data-planes"),
    ("reader", "GET", "/acme/orders"),
    ("operator", "GET", "/audit"),
    ("operator", "POST", "/acme"),
    ("operator", "PATCH", "/acme"),
    ("operator", "POST", f"/acme/orders/{NOBODY}/retry"),
    ("admin", "POST", "/services"),
    ("admin", "POST", "/default/services"),
    ("admin", "PUT", "/services/x"),
    ("admin", "PATCH", "/services/x"),
    ("admin", "DELETE", "/services/x"),
    ("admin", "POST", "/certificates"),
    ("admin", "DELETE", f"/certificates/{NOBODY}"),
    ("admin", "POST", "/services/x/routes"),
    ("admin", "PATCH", "/routes/x/service"),
    ("admin", "POST", "/snis"),
    ("admin", "POST", "/plugins"),
    ("admin", "POST", "/status/ready"),
    ("admin", "GET", "/admin/tokens"),
    ("admin", "GET", "/admin/tokens/root"),
    ("admin", "GET", "/default/admin/tokens"),
    ("admin", "POST", "/admin/tokens"),
    ("admin", "DELETE", "/admin/tokens/x"),
]
ORDER = ["reader", "operator", "admin"]
VERBS = {"GET": "read", "HEAD": "read", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


@pytest.mark.parametrize("least,method,path", ROLE_ROWS)
def test_role_rows(cp, tokens, least, method, path):
    for role in ORDER:
        before = cp.metric("forbidden")
        r = cp.as_token(tokens[role], method, path, json={} if method in ("POST", "PUT", "PATCH") else None)
        if ORDER.index(role) >= ORDER.index(least):
            assert r.status_code not in (401, 403, 500), (role, r.text)
            continue
        assert r.status_code == 403 and "WWW-Authenticate" not in r.headers, (role, r.text)
        assert cp.metric("forbidden") == before + 1
        if method != "HEAD":
            name = {"operator": "op", "reader": "reader"}[role]
            assert r.json() == {"message": f"{name}, you do not have permissions to {VERBS[method]} this resource"}


def test_known_but_wrong_is_told_as_before(cp, tokens):
    """404, 405 and 415 come before 403, as in Kong: they do not depend on rights."""
    reader = tokens["reader"]
    assert cp.as_token(reader, "POST", "/nowhere", json={}).status_code == 404
    assert cp.as_token(reader, "DELETE", "/services").status_code == 405
    assert cp.as_token(reader, "POST", "/services", data="x", headers={"Content-Type": "text/plain"}).status_code == 415


def test_private_keys_by_role(cp, tokens):
    _, cert, key = pair("keys.example.com")
    _, alt_cert, alt_key = pair("keys.example.com", kind="rsa")
    sent = {"cert": cert, "key": key, "cert_alt": alt_cert, "key_alt": alt_key, "snis": ["keys.example.com"]}
    made = cp.as_token(tokens["admin"], "POST", "/certificates", json=sent)
    assert made.status_code == 201 and made.json()["key"] == key
    for role, token in tokens.items():
        shown = cp.as_token(token, "GET", "/certificates/keys.example.com").json()
        listed = next(c for c in cp.as_token(token, "GET", "/certificates").json()["data"] if c["id"] == made.json()["id"])
        want = (key, alt_key) if role in ("admin", "operator+keys") else (None, None)
        for c in (shown, listed):
            assert (c["key"], c["key_alt"]) == want and c["cert"] == cert and c["cert_alt"] == alt_cert, role


def test_private_keys_of_the_ssl_plugin_by_role(cp, tokens):
    """The same key by every way there is to it."""
    _, cert, key = pair("apis.example.com")
    admin = tokens["admin"]
    assert cp.as_token(admin, "POST", "/apis", json={"name": "keys", "request_host": "apis.example.com", "upstream_url": "http://a.example"}).status_code == 201
    made = cp.as_token(admin, "POST", "/apis/keys/plugins", json={"name": "ssl", "config": {"cert": cert, "key": key}})
    assert made.status_code == 201 and made.json()["config"]["key"] == key
    plugin = made.json()["id"]
    for role, token in tokens.items():
        ways = [cp.as_token(token, "GET", path) for path in ("/apis/keys/plugins", f"/apis/keys/plugins/{plugin}", "/plugins", f"/plugins/{plugin}", "/certificates/apis.example.com")]
        assert [r.status_code for r in ways] == [200] * 5
        shown = key in "".join(r.text for r in ways).replace("\\n", "\n")
        assert shown == (role in ("admin", "operator+keys")), role
        assert ("PRIVATE KEY" in "".join(r.text for r in ways)) == shown, role
    for role in ("reader", "operator"):
        assert cp.as_token(tokens[role], "POST", "/apis", json={}).status_code == 403
        assert cp.as_token(tokens[role], "DELETE", "/apis/keys").status_code == 403


def test_root_hides_secrets(cp, tokens):
    shown = cp.as_token(tokens["reader"], "GET", "/").json()["configuration"]
    assert shown["pg_dsn"] == "******" and shown["admin_auth"] == "required"


# --- TLS ---


def curl(cp, *options, path="/", url=None):
    """(status, HTTP version) as curl saw them."""
    out = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--cacert", cp.authority.file, *map(str, options), (url or f"https://localhost:{cp.h2_port}") + path],
        capture_output=True, text=True, timeout=30,
    )
    return tuple(out.stdout.split()) if out.returncode == 0 else (out.returncode, out.stderr)


def test_http2_where_it_was_asked_for(cp, root):
    auth = ["-H", f"Authorization: Bearer {root}"]
    assert curl(cp, "--http2", *auth) == ("200", "2")
    assert curl(cp, "--http1.1", *auth) == ("200", "1.1")
    assert curl(cp, "--http2", *auth, url=cp.tls_url) == ("200", "1.1")
    assert curl(cp, "--http1.1", *auth, url=cp.admin_url) == ("200", "1.1")
    assert curl(cp, "--http2-prior-knowledge", *auth, url=cp.admin_url)[0] not in ("200",)
    assert curl(cp, "--http2") == ("401", "2")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_versions(cp):
    def connects(version):
        context = ssl.create_default_context(cafile=str(cp.authority.file))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", cp.h1_port), timeout=10) as raw, context.wrap_socket(raw, server_hostname="localhost") as s:
            return s.version()

    assert connects(ssl.TLSVersion.TLSv1_3) == "TLSv1.3" and connects(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            connects(old)


def served(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, context.wrap_socket(raw) as s:
        return s.getpeercert(binary_form=True)


def test_hup_reads_the_pair_again(bare_cluster, authority):
    with Guarded(bare_cluster, authority) as cp:
        token = cp.first("hup")
        open_connection = http.client.HTTPSConnection("localhost", cp.h1_port, timeout=10, context=ssl.create_default_context(cafile=str(authority.file)))
        open_connection.connect()
        old = served(cp.h1_port)
        fresh = make_cert(["localhost"], key := make_key(), issuer=authority.cert, issuer_key=authority.key)
        cp.cert.write_text("no certificate")
        cp.process.signal(signal.SIGHUP)
        wait_until(lambda: "were not read again" in cp.process.log(), what="told")
        assert served(cp.h1_port) == old and served(cp.h2_port) == old
        cp.cert.write_text(pem(fresh))
        cp.process.signal(signal.SIGHUP)
        wait_until(lambda: cp.process.log().count("were not read again") == 2, what="the key of another certificate is refused")
        assert served(cp.h1_port) == old
        cp.key.write_text(key_pem(key))
        cp.process.signal(signal.SIGHUP)
        wait_until(lambda: served(cp.h1_port) == der(fresh), what="new certificate")
        assert served(cp.h2_port) == der(fresh)
        open_connection.request("GET", "/services", headers={"Kong-Admin-Token": token})
        assert open_connection.getresponse().status == 200


# --- client certificates ---


def test_roles_by_certificate(cp, authority):
    rows = [
        (("Alice Smith",), 201, 200),
        (("x", "ci.example.com"), 403, 200),
        (("x", "CI.Example.COM"), 403, 200),
        (("x", "op.example.com"), 403, 200),
        (("*.readers.example.com",), 403, 403),
        (("x", "a.readers.example.com"), 403, 403),
        (("alice smith",), 403, 403),
        (("Alice Smithy",), 403, 403),
        (("ci.example.com.evil.com",), 403, 403),
    ]
    for n, (names, write, audit) in enumerate(rows):
        files = authority.issue(*names)
        assert cp.as_certificate(files, "POST", "/consumers", json={"username": f"u{n}"}).status_code == write, names
        assert cp.as_certificate(files, "GET", "/audit").status_code == audit, names
    # A wildcard in the key is a name like any other: only the certificate that carries it is a reader.
    assert cp.as_certificate(authority.issue("*.readers.example.com"), "GET", "/services").status_code == 200
    assert cp.as_certificate(authority.issue("y", "a.readers.example.com"), "GET", "/services").status_code == 403
    assert cp.as_certificate(None, "GET", "/services").status_code == 401


def test_keys_by_certificate(cp, authority, tokens):
    _, cert, key = pair("certkeys.example.com")
    assert cp.as_token(tokens["admin"], "POST", "/certificates", json={"cert": cert, "key": key, "snis": ["certkeys.example.com"]}).status_code == 201
    for names, want in ((("Alice Smith",), key), (("x", "ci.example.com"), key), (("x", "op.example.com"), None)):
        assert cp.as_certificate(authority.issue(*names), "GET", "/certificates/certkeys.example.com").json()["key"] == want, names


def test_token_goes_before_certificate(cp, authority, tokens):
    alice = authority.issue("Alice Smith")
    assert cp.as_certificate(alice, "GET", "/admin/tokens", headers={"Kong-Admin-Token": tokens["reader"]}).status_code == 403
    assert cp.as_certificate(alice, "GET", "/services", headers={"Kong-Admin-Token": "wrong"}).status_code == 401
    assert cp.as_certificate(alice, "GET", "/services", headers={"Authorization": "Basic dTpw"}).status_code == 200


def test_certificates_that_are_refused(cp, authority, bare_cluster):
    stranger = Authority(bare_cluster.folder, "stranger").issue("Alice Smith")
    _, cert, key = pair("Alice Smith")
    own = bare_cluster.folder / "own.crt", bare_cluster.folder / "own.key"
    own[0].write_text(cert), own[1].write_text(key)
    for files in (stranger, own, authority.issue("Alice Smith", days=-0.5)):
        with pytest.raises(requests.exceptions.RequestException):
            cp.as_certificate(files, "GET", "/services")
    assert cp.as_certificate(authority.issue("Alice Smith"), "GET", "/services").status_code == 200


def test_certificate_over_http2_and_resumed(cp, authority):
    cert, key = authority.issue("Alice Smith")
    assert curl(cp, "--http2", "--cert", cert, "--key", key, path="/admin/tokens") == ("200", "2")
    context = ssl.create_default_context(cafile=str(authority.file))
    context.load_cert_chain(cert, key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session, reused = None, []
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", cp.h1_port), timeout=10) as raw, context.wrap_socket(raw, server_hostname="localhost", session=session) as s:
            s.sendall(b"GET /admin/tokens HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 200")
            session, _ = s.session, reused.append(s.session_reused)
    assert reused == [False, True]


def test_certificate_required(bare_cluster, authority):
    with Guarded(bare_cluster, authority, admin_client_verify="required") as cp:
        with pytest.raises(requests.exceptions.RequestException):
            cp.as_certificate(None, "GET", "/")
        assert cp.as_certificate(authority.issue("Alice Smith"), "GET", "/").status_code == 200
        assert cp.get("/").status_code == 401


# --- pages of other origins ---


def test_pages_of_other_origins(cp, authority, tokens):
    alice, evil = authority.issue("Alice Smith"), {"Origin": "https://evil.example"}
    for headers in ({}, evil, {"Origin": "null"}):
        r = cp.as_token(tokens["admin"], "GET", "/services", headers=headers)
        assert r.status_code == 200 and "Access-Control-Allow-Origin" not in r.headers and "Access-Control-Allow-Credentials" not in r.headers
        r = cp.request("OPTIONS", "/services", headers={**headers, "Access-Control-Request-Method": "POST"})
        assert r.status_code == 204 and "Access-Control-Allow-Origin" not in r.headers
    for origin, status in ((None, 201), (cp.tls_url, 201), ("https://evil.example", 403), ("null", 403), (cp.tls_url + ".evil.example", 403), (cp.tls_url.replace("https", "http"), 403)):
        headers = {"Origin": origin} if origin else {}
        r = cp.as_certificate(alice, "POST", "/consumers", data={"username": f"from-{origin}".replace(":", "_").replace("/", "_")}, headers=headers)
        assert r.status_code == status, origin
    assert cp.metric("cross_origin") >= 4


def test_configured_origins(bare_cluster, authority):
    with Guarded(bare_cluster, authority, admin_gui_origin="https://gui.example, https://two.example:8445") as cp:
        alice = authority.issue("Alice Smith")
        for origin, echoed in (("https://gui.example", "https://gui.example"), ("https://two.example:8445", "https://two.example:8445"), ("https://evil.example", "https://gui.example")):
            r = cp.as_certificate(alice, "GET", "/services", headers={"Origin": origin})
            assert r.status_code == (200 if echoed == origin else 403)
            assert r.headers["Access-Control-Allow-Origin"] == echoed and r.headers["Access-Control-Allow-Credentials"] == "true"


# --- a database that is away, or slow ---


def test_database_away(cp, root, authority, postgres):
    """Nobody can be asked for: 503, and not a word about the token. Who needs no database is served."""
    postgres.stop()
    try:
        for token in (root, "cardea_" + "A" * 64):
            r = cp.as_token(token, "GET", "/status", timeout=10)
            assert r.status_code == 503 and int(r.headers["Retry-After"]) > 0 and "WWW-Authenticate" not in r.headers
        r = cp.as_certificate(authority.issue("Alice Smith"), "GET", "/status")
        assert r.status_code == 200 and r.json()["database"]["reachable"] is False
    finally:
        postgres.start()
    wait_until(lambda: cp.as_token(root, "GET", "/status").status_code == 200, what="database back")


def test_clients_that_leave_before_they_are_known(cp, root, postgres):
    """With the server standing still, tokens are looked up while their clients leave, some in the middle of a body."""
    parent = int((postgres.folder / "data/postmaster.pid").read_text().split()[0])
    stopped = [parent] + [int(p) for p in subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=True).stdout.split()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        head = b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100000\r\nKong-Admin-Token: " + root.encode() + b"\r\n\r\n"
        for body in (b"", b"{" * 1000, b"{" * 100000):
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", cp.admin_port), timeout=10) as s:
                    s.sendall(head + body)
        status = requests.get(f"http://{cp.ip}:{cp.status_port}/status", timeout=5)
        assert status.status_code == 200
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: cp.as_token(root, "GET", "/services").status_code == 200, what="answers again")


# --- failed attempts ---


def test_guessing_is_slowed_down(bare_cluster, authority):
    with Guarded(bare_cluster, authority, admin_auth_failures_max=5) as cp:
        token = cp.first("guess")
        wrong = "cardea_" + "A" * 64
        for _ in range(5):
            assert cp.as_token(wrong, "GET", "/services").status_code == 401
        for t in (wrong, token):
            r = cp.as_token(t, "GET", "/services")
            assert r.status_code == 429 and 1 <= int(r.headers["Retry-After"]) <= 61 and r.json() == {"message": "too many failed attempts, try again later"}
        assert cp.metric("unknown") == 5 and cp.metric("throttled") == 2
        # Who needs no token is not slowed down, and other addresses are others.
        assert cp.as_certificate(authority.issue("Alice Smith"), "GET", "/services").status_code == 200
        s = requests.Session()
        s.mount("http://", From("127.0.0.2"))
        assert s.get(cp.admin_url + "/services", headers={"Kong-Admin-Token": token}, timeout=10).status_code == 200


class From(requests.adapters.HTTPAdapter):
    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args, **kw):
        super().init_poolmanager(*args, source_address=(self.address, 0), **kw)


# --- the audit ---


def audit(cp, root, query=""):
    r = cp.as_token(root, "GET", "/audit" + query)
    assert r.status_code == 200, r.text
    return r.json()


def newest(cp, root, query=""):
    return audit(cp, root, query)["data"][0]


def test_every_write_is_noted(cp, root, authority):
    _, cert, key = pair("audit.example.com")
    r = cp.as_token(root, "POST", "/certificates?x=secret", json={"cert": cert, "key": key, "snis": ["audit.example.com"]})
    row = newest(cp, root)
    made = r.json()["id"]
    assert (row["actor"], row["actor_kind"], row["address"]) == ("root", "token", "127.0.0.1")
    assert (row["method"], row["path"], row["kind"], row["entity"]) == ("POST", "/certificates", "certificates", made)
    assert sorted(row["fields"]) == ["cert", "key", "snis"] and row["revision"] == int(r.headers["X-Cardea-Revision"])
    assert abs(row["at"] - time.time()) < 60
    steps = [
        ("PATCH", f"/certificates/{made}", {"tags": ["t"]}, "certificates", made, ["tags"]),
        ("PATCH", "/certificates/audit.example.com", {"tags": ["t"]}, "certificates", made, []),
        ("PUT", "/services/audit", {"url": "http://a.example/x", "retries": 3}, "services", None, ["retries", "url", "name"]),
        ("PUT", "/services/audit", {"url": "http://a.example/y", "retries": 3}, "services", None, ["path"]),
        ("POST", "/services/audit/routes", {"paths": ["/a"]}, "routes", None, ["paths", "service"]),
        ("DELETE", f"/certificates/{made}", None, "certificates", made, None),
    ]
    for method, path, body, kind, entity, fields in steps:
        r = cp.as_token(root, method, path, json=body)
        assert r.status_code < 300, r.text
        row = newest(cp, root)
        assert (row["method"], row["path"], row["kind"]) == (method, path, kind)
        assert row["entity"] == (entity or r.json()["id"]) and row["revision"] >= 0
        assert row["fields"] == fields if fields is None else sorted(row["fields"]) == sorted(fields), path
    text = json.dumps(audit(cp, root, "?size=1000"))
    assert "PRIVATE KEY" not in text and "CERTIFICATE" not in text and "a.example" not in text and "secret" not in text


def test_what_was_not_written_is_not_noted(cp, root, tokens):
    before = newest(cp, root)["id"]
    assert cp.as_token(tokens["reader"], "POST", "/services", json={"name": "no", "host": "a.com"}).status_code == 403
    assert cp.as_token(root, "POST", "/services", json={"name": "no"}).status_code == 400
    assert cp.as_token(root, "POST", "/consumers", json={"username": "twice"}).status_code == 201
    assert cp.as_token(root, "POST", "/consumers", json={"username": "twice"}).status_code == 409
    assert cp.as_token(root, "DELETE", "/services/never-there").status_code == 204
    assert cp.as_token(root, "DELETE", "/admin/tokens/never-there").status_code == 404
    assert cp.as_token(root, "POST", "/schemas/services/validate", json={"name": "v", "host": "a.com"}).status_code == 200
    assert newest(cp, root)["id"] > before
    assert len([r for r in audit(cp, root)["data"] if r["id"] > before]) == 1


def test_tokens_and_certificates_in_the_audit(cp, root, authority):
    made = cp.as_token(root, "POST", "/admin/tokens", json={"name": "noted", "role": "reader"}).json()
    row = newest(cp, root)
    assert (row["kind"], row["entity"], row["revision"], row["actor"]) == ("admin_tokens", made["id"], None, "root")
    assert cp.as_token(root, "DELETE", "/admin/tokens/noted").status_code == 204
    assert newest(cp, root)["entity"] == "noted"
    assert cp.as_certificate(authority.issue("Alice Smith"), "POST", "/consumers", json={"username": "by-alice"}).status_code == 201
    row = newest(cp, root, "?actor=CN%3DAlice%20Smith")
    assert (row["actor"], row["actor_kind"], row["kind"]) == ("CN=Alice Smith", "certificate", "consumers")
    assert newest(cp, root, "?actor=cardea-cp%20-A")["actor_kind"] == "engine"


def test_audit_filters_and_pages(cp, root):
    ids = []
    for i in range(5):
        ids.append(cp.as_token(root, "POST", "/upstreams", json={"name": f"filter{i}.example"}).json()["id"])
    assert [r["entity"] for r in audit(cp, root, "?kind=upstreams")["data"]] == ids[::-1]
    assert [r["entity"] for r in audit(cp, root, f"?entity={ids[2]}")["data"]] == [ids[2]]
    assert audit(cp, root, "?kind=upstreams&method=DELETE")["data"] == []
    assert audit(cp, root, "?actor=nobody") == {"data": [], "next": None}
    assert audit(cp, root, "?kind=upstreams&until=2020-01-01T00:00:00Z")["data"] == []
    assert len(audit(cp, root, f"?kind=upstreams&since={int(time.time()) - 3600}&until={int(time.time()) + 3600}")["data"]) == 5
    seen, path = [], "?kind=upstreams&size=2"
    while path:
        page = audit(cp, root, path)
        seen += [r["entity"] for r in page["data"]]
        cp.as_token(root, "POST", "/upstreams", json={"name": f"between{len(seen)}.example"})
        path = page["next"] and page["next"].removeprefix("/audit")
    assert seen == ids[::-1]
    for bad in ("?since=yesterday", "?until=2026-13-01T00:00:00Z", "?size=0", "?size=1001", "?size=x", "?offset=x", "?offset=WyJhIl0", "?offset=WzEsMl0", "?offset=Wy0xXQ"):
        assert cp.as_token(root, "GET", "/audit" + bad).status_code == 400, bad


def sql(cp, text):
    return subprocess.run(["psql", cp.cluster.dsn, "-Atqc", text], check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def test_audit_is_pruned(cp, root):
    """The oldest first, a bounded number at a time; a control plane that does the same just then leaves nothing to do for one call."""
    sql(cp, "INSERT INTO admin_audit (at, actor, actor_kind) SELECT now() - i * interval '1 day', 'old', 'token' FROM generate_series(31, 45) i")
    wait_until(lambda: sql(cp, "SELECT cardea_prune_audit('30 days', 1000000, 10)") == "t", what="more to do")
    left = "SELECT count(*), max(now() - at) < interval '36 days' FROM admin_audit WHERE actor = 'old'"
    assert sql(cp, left) == "5|t"
    wait_until(lambda: sql(cp, "SELECT cardea_prune_audit('30 days', 1000000, 10)") == "f" and sql(cp, left) == "0|", what="all of it")
    wait_until(lambda: sql(cp, "SELECT cardea_prune_audit('30 days', 3, 100000)") == "f" and int(sql(cp, "SELECT count(*) FROM admin_audit")) <= 3, what="the newest")
    assert newest(cp, root)["id"] == int(sql(cp, "SELECT max(id) FROM admin_audit"))


def test_audit_off_and_anonymous(bare_cluster, authority, root, cp):
    before = newest(cp, root)["id"]
    with Guarded(bare_cluster, authority, audit_log="off", admin_auth="off") as off:
        assert off.post("/consumers", json={"username": "unseen"}).status_code == 201
    assert newest(cp, root)["id"] == before
    with Guarded(bare_cluster, authority, admin_auth="off") as on:
        r = on.post("/consumers", json={"username": "seen"}, headers={"Authorization": "Bearer whatever"})
    assert r.status_code == 201 and r.headers["Access-Control-Allow-Origin"] == "*"
    row = newest(cp, root)
    assert (row["actor"], row["actor_kind"], row["entity"]) == ("anonymous", "anonymous", r.json()["id"])


# --- configuration ---


@pytest.mark.parametrize(
    "settings,message",
    [
        (
            {"admin_listen": "0.0.0.0:8001"},
            "admin_listen: 0.0.0.0:8001 is not a loopback address: give it ssl and set admin_auth = required, or set admin_allow_remote = on on a private network",
        ),
        ({"admin_listen": "0.0.0.0:8444 ssl", "admin_ssl_cert": "/c", "admin_ssl_cert_key": "/k"}, "admin_listen: 0.0.0.0:8444 is not a loopback address"),
        ({"admin_listen": "[::]:8001", "admin_auth": "required"}, "admin_listen: [::]:8001 is not a loopback address"),
        ({"admin_listen": "127.0.0.1:1 ssl"}, "admin_listen: an address with ssl needs admin_ssl_cert and admin_ssl_cert_key"),
        ({"status_listen": "127.0.0.1:1 ssl"}, "status_listen: an address with ssl needs admin_ssl_cert and admin_ssl_cert_key"),
        ({"admin_auth": "on"}, "admin_auth"),
        ({"admin_client_roles": "admin:cn=x"}, "admin_client_roles is set, so admin_client_ca_cert: must be set"),
        ({"admin_client_verify": "required"}, "admin_client_verify is required, so admin_client_ca_cert: must be set"),
        ({"admin_client_ca_cert": "/ca"}, "admin_client_ca_cert: no address of admin_listen has ssl"),
        ({"admin_client_roles": "root:cn=x"}, 'admin_client_roles: "root:cn=x": expected one of: reader, operator, admin'),
        ({"admin_client_roles": "reader+keys:*"}, "only operator takes +keys"),
        ({"audit_log_rows_max": "0"}, "audit_log_rows_max"),
    ],
)
def test_refused_configurations(bare_cluster, tmp_path, settings, message):
    config = ControlPlane(bare_cluster, "refused", **settings).config
    for option in ([], ["-t"]):
        r = subprocess.run([BUILD / "cardea-cp", "-c", config, *option], capture_output=True, text=True, timeout=30)
        assert r.returncode == 2 and message in r.stderr, r.stderr


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"admin_ssl_cert": "/nonexistent/c"}, "admin_listen: certificate /nonexistent/c"),
        ({"admin_ssl_cert_key": "/nonexistent/k"}, "admin_listen: key /nonexistent/k"),
        ({"admin_client_ca_cert": "/nonexistent/ca"}, "admin_listen: CA certificates /nonexistent/ca"),
        ({"admin_ssl_cert_key": "KEYRING"}, "admin_listen: key "),
    ],
)
def test_certificates_that_cannot_be_read(bare_cluster, authority, settings, message):
    cert, key = authority.issue("localhost")
    given = {k: bare_cluster.folder / "keyring" if v == "KEYRING" else v for k, v in settings.items()}
    config = ControlPlane(
        bare_cluster, "unreadable", **{"admin_listen": f"127.0.0.1:{free_port()} ssl", "admin_ssl_cert": cert, "admin_ssl_cert_key": key, **given}
    ).config
    r = subprocess.run([BUILD / "cardea-cp", "-c", config], capture_output=True, text=True, timeout=30)
    assert r.returncode == 2 and message in r.stderr and "Sanitizer" not in r.stderr, r.stderr


def test_beyond_loopback_with_tls_and_authentication(bare_cluster, authority):
    cert, key = authority.issue("localhost")
    config = ControlPlane(bare_cluster, "remote", admin_listen="0.0.0.0:8444 ssl http2", admin_auth="required", admin_ssl_cert=cert, admin_ssl_cert_key=key).config
    r = subprocess.run([BUILD / "cardea-cp", "-c", config, "-t"], capture_output=True, text=True, timeout=30)
    assert r.returncode == 0 and "admin_auth = required" in r.stdout, r.stderr
    env = {**os.environ, "CARDEA_ADMIN_AUTH": "off", "CARDEA_ADMIN_ALLOW_REMOTE": "on"}
    r = subprocess.run([BUILD / "cardea-cp", "-c", config, "-t"], capture_output=True, text=True, timeout=30, env=env)
    assert r.returncode == 0


def test_without_a_database(dbless_cluster):
    """Client certificates have their roles; there are no tokens."""
    authority = Authority(dbless_cluster.folder, "trusted")
    token = "cardea_" + 64 * "0"
    with Guarded(dbless_cluster, authority, declarative_config_string='{"_format_version": "3.0"}') as cp:
        reader, admin = authority.issue("*.readers.example.com"), authority.issue("Alice Smith")
        for name in ("Authorization", "Kong-Admin-Token"):
            r = cp.get("/services", headers={name: token if name[0] == "K" else f"Bearer {token}"})
            assert r.status_code == 401 and "invalid_token" in r.headers["WWW-Authenticate"], r.text
        assert cp.metric("unknown") == 2
        assert cp.get("/services").status_code == 401
        assert cp.as_certificate(reader, "GET", "/services").status_code == 200
        assert cp.as_certificate(reader, "POST", "/config", json={"_format_version": "3.0"}).status_code == 403
        assert cp.as_certificate(admin, "POST", "/config", json={"_format_version": "3.0"}).status_code == 201
