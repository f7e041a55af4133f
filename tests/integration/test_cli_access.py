"""`cardea` against a control plane that asks for TLS and credentials: its options, and `cardea token`."""

import json
import os
import subprocess

import pytest

from harness import BUILD
from pki import pair
from test_access import Authority, Guarded


@pytest.fixture(scope="module")
def authority(bare_cluster):
    return Authority(bare_cluster.folder, "trusted")


@pytest.fixture(scope="module")
def cp(bare_cluster, authority):
    return Guarded(bare_cluster, authority, admin_auth_failures_max=0).start()


@pytest.fixture(scope="module")
def root(cp, bare_cluster):
    """A file with the first token."""
    path = bare_cluster.folder / "root.token"
    path.write_text(cp.first("root") + "\nand a remark\n")
    return path


def run(*argv, env=None, stdin=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CARDEA_")}
    return subprocess.run([str(BUILD / "cardea"), *map(str, argv)], capture_output=True, text=True, timeout=60, input=stdin, env={**clean, **(env or {})})


def over_tls(cp, port="h1_port"):
    return ["-s", f"https://localhost:{getattr(cp, port)}", "--ca", cp.authority.file]


@pytest.mark.parametrize("port", ["h1_port", "h2_port"])
def test_token_over_tls(cp, root, port):
    token = root.read_text().splitlines()[0]
    for how, env in ((["--token-file", root], {}), (["--token", token], {}), ([], {"CARDEA_CLI_TOKEN": token}), ([], {"CARDEA_CLI_TOKEN_FILE": str(root)})):
        r = run("get", "services", *over_tls(cp, port), *how, env=env)
        assert (r.returncode, r.stderr) == (0, ""), r.stderr
    everything = {"CARDEA_CLI_SERVER": f"https://localhost:{getattr(cp, port)}", "CARDEA_CLI_CA": str(cp.authority.file), "CARDEA_CLI_TOKEN_FILE": str(root)}
    assert run("status", env=everything).returncode == 0


def test_client_certificate(cp, authority):
    cert, key = authority.issue("op.example.com")
    r = run("get", "services", *over_tls(cp), "--cert", cert, "--key", key)
    assert r.returncode == 0, r.stderr
    r = run("create", "services", "host=a.com", *over_tls(cp), "--cert", cert, "--key", key)
    assert r.returncode == 1 and "(HTTP 403)" in r.stderr


@pytest.mark.parametrize(
    "options,code,says",
    [
        ([], 1, "(HTTP 401)"),
        (["--token", "nonsense"], 1, "(HTTP 401)"),
        (["--token", "a\r\nX: y"], 2, "the token has bytes that no token has"),
        (["--token", "a b"], 2, "the token has bytes that no token has"),
        (["--token", "\x7f"], 2, "the token has bytes that no token has"),
        (["--token", "ä"], 2, "the token has bytes that no token has"),
        (["--cert", "CERT"], 2, "CERT"),
        (["--cert", "STRANGER.crt", "--key", "STRANGER.key"], None, ""),
        (["--cert", "STRANGER.crt", "--key", "CA"], 2, ""),
        (["--ca", "STRANGER.crt"], 3, "certificate"),
        (["--ca", "/dev/null"], None, ""),
    ],
)
def test_refused(cp, bare_cluster, options, code, says):
    _, cert, key = pair("stranger.example.com")
    (bare_cluster.folder / "stranger.crt").write_text(cert)
    (bare_cluster.folder / "stranger.key").write_text(key)
    files = {"STRANGER.crt": bare_cluster.folder / "stranger.crt", "STRANGER.key": bare_cluster.folder / "stranger.key", "CA": cp.authority.file}
    r = run("get", "services", *over_tls(cp), *[files.get(o, o) for o in options])
    assert r.returncode != 0 and r.stdout == "" and r.stderr.startswith("cardea get: ")
    assert code is None or r.returncode == code, (r.returncode, r.stderr)
    assert says in r.stderr


def test_plain_http_where_tls_is_spoken(cp):
    r = run("get", "services", "-s", f"http://localhost:{cp.h1_port}")
    assert r.returncode in (1, 3) and r.stdout == ""
    r = run("get", "services", "-s", f"https://localhost:{cp.admin_port}", "--ca", cp.authority.file)
    assert r.returncode == 3 and r.stdout == ""


def test_name_that_the_certificate_does_not_have(cp, root):
    r = run("get", "services", "-s", f"https://127.0.0.1:{cp.h1_port}", "--ca", cp.authority.file, "--token-file", root)
    assert r.returncode == 3 and "127.0.0.1" in r.stderr


def test_tokens(cp, root):
    as_root = [*over_tls(cp), "--token-file", root]
    made = run("token", "create", "ci", "operator", "--expires", "1h", "--read-keys", "-o", "json", *as_root)
    row = json.loads(made.stdout)
    assert (row["name"], row["role"], row["read_keys"]) == ("ci", "operator", True) and 3590 < row["expires_at"] - row["created_at"] <= 3600
    assert run("get", "services", *over_tls(cp), "--token", row["token"]).returncode == 0
    alone = run("token", "create", "viewer", "reader", "-o", "name", *as_root).stdout.strip()
    assert run("get", "services", *over_tls(cp), "--token", alone).returncode == 0
    listed = run("token", "list", *as_root).stdout
    assert "ci" in listed and "viewer" in listed and row["token"] not in listed and alone not in listed
    assert set(run("token", "list", "-o", "name", *as_root).stdout.split()) == {"root", "ci", "viewer"}
    gone = run("token", "revoke", "nobody", "viewer", *as_root)
    assert (gone.returncode, gone.stdout, gone.stderr) == (1, "token viewer revoked\n", "cardea token revoke: nobody: Not found (HTTP 404)\n")
    assert run("get", "services", *over_tls(cp), "--token", alone).returncode == 1


@pytest.mark.parametrize(
    "words,code,says",
    [
        (["token"], 2, "token needs one word more"),
        (["token", "make", "x"], 2, "no command token make"),
        (["token", "create", "x"], 2, "usage: cardea token create NAME reader|operator|admin"),
        (["token", "create", "x", "king"], 1, "expected one of: reader, operator, admin"),
        (["token", "create", "", "reader"], 1, "length must be at least 1"),
        (["token", "create", "root", "reader"], 1, "UNIQUE violation"),
        (["token", "create", "x", "reader", "--read-keys"], 1, "a reader reads no keys"),
        (["token", "create", "x", "reader", "--expires", "soon"], 2, '--expires: "soon" is not allowed'),
        (["token", "list", "x"], 2, "usage: cardea token list"),
        (["token", "revoke"], 2, "usage: cardea token revoke NAME..."),
        (["token", "revoke", "a", "-o", "json"], 2, "takes no --output"),
    ],
)
def test_tokens_refused(cp, root, words, code, says):
    r = run(*words, *over_tls(cp), "--token-file", root)
    assert (r.returncode, r.stdout) == (code, "") and says in r.stderr, (r.returncode, r.stderr)


def test_who_may_not_read_keys_sees_none(cp, root):
    as_root = [*over_tls(cp), "--token-file", root]
    _, cert, key = pair("secret.example.com")
    assert run("create", "certificates", f"cert={cert}", f"key={key}", "snis=secret.example.com", *as_root).returncode == 0
    reader = run("token", "create", "reads", "reader", "-o", "name", *as_root).stdout.strip()
    row = json.loads(run("get", "certificates", "secret.example.com", "-o", "json", *over_tls(cp), "--token", reader).stdout)
    assert row["key"] is None and row["cert"] == cert


def test_the_description_asks_for_credentials(cp, root):
    token = root.read_text().splitlines()[0]
    document = cp.as_token(token, "GET", "/openapi.json").json()
    assert [list(s) for s in document["security"]] == [["bearer"], ["token"], ["certificate"]]
    for path, item in document["paths"].items():
        for method, o in item.items():
            assert {"401", "403", "429"} <= set(o["responses"]), (path, method)
    assert document["paths"]["/admin/tokens"]["get"]["x-cardea-role"] == "admin" and document["paths"]["/acme"]["post"]["x-cardea-role"] == "operator"
