"""Every curl line of Kong's documents about the ssl plugin (0.3 to 0.13) and about certificates and SNIs, with curl itself, as it is printed: only
host, port and the folder of the files are others. Each begins with an empty configuration; lines that a page shows before are run before."""

import json
import os
import shlex
import subprocess

import pytest

from pki import pair

CERT, KEY = "CERT", "KEY"  # what the uploaded files hold


@pytest.fixture(scope="module")
def cp(bare_cluster):
    return bare_cluster.add_control_plane().start()


@pytest.fixture(scope="module")
def files(bare_cluster):
    """cert.pem, cert.key and their like; the PEM texts by name."""
    folder = bare_cluster.folder / "files"
    folder.mkdir()
    _, cert, key = pair("example.com", "*.example.com")
    for name in ("cert.pem", "c.pem", "server.crt"):
        (folder / name).write_text(cert)
    for name in ("cert.key", "key.pem", "k.pem", "server.key"):
        (folder / name).write_text(key)
    (folder / "certificate.json").write_text(json.dumps({"cert": cert, "key": key, "snis": ["a.com"]}))
    (folder / "plugin.json").write_text(json.dumps({"name": "ssl", "config": {"cert": cert, "key": key, "only_https": True}}))
    return folder, {CERT: cert, KEY: key}


@pytest.fixture(autouse=True)
def clean(cp):
    for kind in ("plugins", "routes", "services", "upstreams", "snis", "certificates", "consumers"):
        for row in cp.get(f"/{kind}?size=1000").json()["data"]:
            cp.delete(f"/{kind}/{row['id']}").raise_for_status()


def run(cp, folder, line):
    """(status, headers, body) of a line as a shell would run it."""
    for host in ("http://localhost:8001", "http://kong:8001", "http://127.0.0.1:8001"):
        line = line.replace(host, cp.admin_url)
    argv = shlex.split(line.replace("/path/to/", f"{folder}/").replace("$CERTIFICATE_ID", os.environ.get("CERTIFICATE_ID", "")))
    assert argv[0] == "curl"
    headers = folder / "headers"
    out = subprocess.run([*argv, "-sS", "-D", headers, "-o", folder / "body"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    # 100 Continue and what follows: the last head counts.
    head = headers.read_text().strip().split("\n\n")[-1].splitlines()
    fields = {k.strip().lower(): v.strip() for k, v in (x.split(":", 1) for x in head[1:])}
    text = (folder / "body").read_text()
    if "-i" in argv:
        text = text.split("\n\n")[-1]
    return int(head[0].split()[1]), fields, json.loads(text) if text else None


def check(what, have, want, texts):
    """want is a part of have: of objects some members, of lists all elements; CERT and KEY stand for the files."""
    if isinstance(want, dict):
        assert isinstance(have, dict), what
        for k, v in want.items():
            check(f"{what}.{k}", have.get(k), v, texts)
    elif isinstance(want, list):
        assert isinstance(have, list) and len(have) == len(want), (what, have)
        for i, v in enumerate(want):
            check(f"{what}[{i}]", have[i], v, texts)
    else:
        assert have == texts.get(want, want) if isinstance(want, str) else have == want, (what, have)


API3 = "curl -i -X POST --url http://localhost:8001/apis/ --data 'name=mockbin' --data 'target_url=http://mockbin.com/' --data 'public_dns=mockbin.com'"
API5 = "curl -i -X POST --url http://localhost:8001/apis/ --data 'name=mockbin' --data 'upstream_url=http://mockbin.com/' --data 'request_host=mockbin.com'"
API10 = (
    "curl -i -X POST http://localhost:8001/apis -d 'name=ssl-api' -d 'upstream_url=http://my-api.com' -d 'hosts=ssl-example.com,other-ssl-example.com'"
)
SERVICE = "curl -i -X POST --url http://localhost:8001/services/ --data 'name=example-service' --data 'url=http://mockbin.org'"
ROUTE = "curl -i -X POST --url http://localhost:8001/services/example-service/routes --data 'name=example-route' --data 'hosts[]=example.com'"
PAIR = {"cert": CERT, "key": KEY}
CERTIFICATE = {"data": [{**PAIR, "snis": ["mockbin.com"], "tags": ["legacy"]}]}
ONLY_HTTPS = {"protocols": ["https"], "https_redirect_status_code": 426}
# A file's name in place of its content: such a line of the 0.13 pages could never work, and the answer says what would.
NAME = "a file's name instead of PEM text (curl sends the content with --form)"
NAMES = {"config": {"cert": f"invalid certificate: {NAME}", "key": f"invalid key: {NAME}"}}

# page: lines before, the line, status, a part of the answer, and parts of what other paths then say.
SSL_LINES = {
    "0.3 an api": ([], API3, 201, {"name": "mockbin", "public_dns": "mockbin.com", "target_url": "http://mockbin.com/", "strip_path": False}, {}),
    "0.3 ssl": (
        [API3],
        'curl -X POST http://kong:8001/apis/mockbin/plugins/ --form "name=ssl" --form "value.cert=@/path/to/cert.pem" --form "value.key=@/path/to/cert.key"'
        ' --form "value.only_https=true"',
        201,
        {"name": "ssl", "config": {**PAIR, "only_https": True}},
        {"/certificates": CERTIFICATE, "/routes/mockbin": ONLY_HTTPS, "/snis/mockbin.com": {"name": "mockbin.com"}},
    ),
    "0.3 path": (
        [],
        "curl -i -X POST --url http://localhost:8001/apis/ --data 'name=mockbin' --data 'target_url=http://mockbin.com/' --data 'path=/mockbin'"
        " --data 'strip_path=true'",
        201,
        {"path": "/mockbin", "strip_path": True, "public_dns": None},
        {"/routes/mockbin": {"paths": ["/mockbin"], "strip_path": True, "hosts": None}},
    ),
    "0.5 an api": ([], API5, 201, {"name": "mockbin", "request_host": "mockbin.com", "upstream_url": "http://mockbin.com/"}, {}),
    "0.5 ssl": (
        [API5],
        'curl -X POST http://kong:8001/apis/mockbin/plugins --form "name=ssl" --form "config.cert=@/path/to/cert.pem" --form "config.key=@/path/to/cert.key"'
        ' --form "config.only_https=true"',
        201,
        {"name": "ssl", "enabled": True, "config": {**PAIR, "only_https": True, "accept_http_if_already_terminated": False}},
        {"/certificates": CERTIFICATE, "/routes/mockbin": ONLY_HTTPS, "/apis/mockbin": {"https_only": True}},
    ),
    "0.6 ssl behind a proxy": (
        [API5],
        'curl -X POST http://kong:8001/apis/mockbin/plugins --form "name=ssl" --form "config.cert=@/path/to/cert.pem" --form "config.key=@/path/to/cert.key"'
        ' --form "config.only_https=true" --form "config.accept_http_if_already_terminated=true"',
        201,
        {"config": {**PAIR, "only_https": True, "accept_http_if_already_terminated": True}},
        {"/apis/mockbin": {"http_if_terminated": True}},
    ),
    "0.5 ssl for every api": (
        [],
        'curl -X POST http://kong:8001/plugins/ --form "name=ssl" --form "config.cert=@/path/to/cert.pem" --form "config.key=@/path/to/cert.key"',
        201,
        {"name": "ssl", "route": None, "config": PAIR},
        {"/certificates": {"data": [{**PAIR, "snis": ["*"]}]}},
    ),
    "0.5 ssl as JSON": (
        [API5],
        "curl -X POST http://kong:8001/apis/mockbin/plugins -H 'Content-Type: application/json' --data @plugin.json",
        201,
        {"config": {**PAIR, "only_https": True}},
        {"/certificates": CERTIFICATE},
    ),
    "0.5 ssl urlencoded": (
        [API5],
        'curl -X POST http://kong:8001/apis/mockbin/plugins --data "name=ssl" --data-urlencode "config.cert@/path/to/cert.pem"'
        ' --data-urlencode "config.key@/path/to/cert.key"',
        201,
        {"config": PAIR},
        {"/certificates": CERTIFICATE},
    ),
    "0.5 a pair of its own making": (
        [API5],
        'curl -X POST http://kong:8001/apis/mockbin/plugins --form "name=ssl" --form "config.cert=@server.crt" --form "config.key=@server.key"',
        201,
        {"config": PAIR},
        {"/certificates": CERTIFICATE},
    ),
    "0.5 the plugins of an api": ([API5], "curl http://localhost:8001/apis/mockbin/plugins/", 200, {"data": [], "total": 0}, {}),
    "0.5 change an api": (
        [API5],
        "curl -X PATCH http://localhost:8001/apis/mockbin --data 'request_host=other.com' --data 'strip_request_path=true'",
        200,
        {"request_host": "other.com", "strip_request_path": True},
        {"/routes/mockbin": {"hosts": ["other.com"], "strip_path": True}},
    ),
    "0.5 delete an api": ([API5], "curl -i -X DELETE http://localhost:8001/apis/mockbin", 204, None, {"/services": {"data": []}, "/routes": {"data": []}}),
    "0.5 plugins there are": ([], "curl http://localhost:8001/plugins/enabled", 200, {}, {}),
    "0.5 schema": ([], "curl http://localhost:8001/plugins/schema/ssl", 200, {}, {}),
    "0.3 node": ([], "curl http://localhost:8001/", 200, {"configuration": {"plugins_available": ["request-termination", "request-size-limiting", "acme", "ssl", "mtls-auth", "header-cert-auth", "tls-handshake-modifier", "tls-metadata-headers"]}}, {}),
    "0.10 an api": (
        [],
        API10,
        201,
        {"hosts": ["ssl-example.com", "other-ssl-example.com"], "strip_uri": True, "https_only": False},
        {"/routes/ssl-api": {"hosts": ["ssl-example.com", "other-ssl-example.com"]}},
    ),
    "0.10 certificates": (
        [],
        'curl -i -X POST http://localhost:8001/certificates -F "cert=@/path/to/cert.pem" -F "key=@/path/to/cert.key"'
        ' -F "snis=ssl-example.com,other-ssl-example.com"',
        201,
        {**PAIR, "snis": ["other-ssl-example.com", "ssl-example.com"]},
        {"/snis/ssl-example.com": {"name": "ssl-example.com"}},
    ),
    "0.10 only https": (
        [API10],
        "curl -i -X PATCH http://localhost:8001/apis/ssl-api -d 'https_only=true' -d 'http_if_terminated=true'",
        200,
        {"https_only": True, "http_if_terminated": True},
        {"/routes/ssl-api": ONLY_HTTPS},
    ),
    "0.13 ssl on a service": (
        [SERVICE, ROUTE],
        'curl -X POST http://kong:8001/services/example-service/plugins --form "name=ssl" --form "config.cert=@/path/to/cert.pem"'
        ' --form "config.key=@/path/to/cert.key" --form "config.only_https=true"',
        201,
        {"config": {**PAIR, "only_https": True}},
        {"/certificates": {"data": [{**PAIR, "snis": ["example.com"]}]}},
    ),
    "0.13 ssl on a route": (
        [SERVICE, ROUTE],
        'curl -X POST http://kong:8001/routes/example-route/plugins --form "name=ssl" --form "config.cert=@/path/to/cert.pem"'
        ' --form "config.key=@/path/to/cert.key" --form "config.only_https=true"',
        201,
        {"config": {**PAIR, "only_https": True}},
        {"/certificates": {"data": [{**PAIR, "snis": ["example.com"]}]}},
    ),
    "0.13 a service, names of files": (
        [SERVICE, ROUTE],
        'curl -X POST http://kong:8001/services/example-service/plugins --data "name=ssl" --data "config.cert=@/path/to/cert.pem"'
        ' --data "config.key=@/path/to/cert.key" --data "config.only_https=true"',
        400,
        {"code": 2, "fields": NAMES},
        {"/certificates": {"data": []}, "/plugins": {"data": []}},
    ),
    "0.13 a route, names of files": (
        [SERVICE, ROUTE],
        'curl -X POST http://kong:8001/routes/example-route/plugins --data "name=ssl" --data "config.cert=@/path/to/cert.pem"'
        ' --data "config.key=@/path/to/cert.key" --data "config.only_https=true"',
        400,
        {"code": 2, "fields": NAMES},
        {"/certificates": {"data": []}},
    ),
    "0.13 all, names of files": (
        [],
        'curl -X POST http://kong:8001/plugins/ --data "name=ssl" --data "config.cert=@/path/to/cert.pem" --data "config.key=@/path/to/cert.key"',
        400,
        {"code": 2, "fields": NAMES},
        {"/certificates": {"data": []}},
    ),
    "0.5 names of files": (
        [API5],
        'curl -X POST http://kong:8001/apis/mockbin/plugins --data "name=ssl" --data "config.cert=@/path/to/cert.pem" --data "config.key=@/path/to/cert.key"',
        400,
        {"config.cert": "Invalid SSL certificate", "config.key": "Invalid SSL certificate key"},
        {"/certificates": {"data": []}},
    ),
}

UPLOAD = "curl -X POST http://localhost:8001/certificates -F cert=@cert.pem -F key=@key.pem -F snis[]=a.com"
TWO = "curl -X POST http://localhost:8001/certificates -F cert=@c.pem -F key=@k.pem -F 'snis[1]=a.com' -F 'snis[2]=b.com'"
HELD = {**PAIR, "snis": ["a.com"], "cert_alt": None, "key_alt": None, "ocsp_response": None, "ocsp_response_alt": None}

CERTIFICATE_LINES = {
    "upload": ([], UPLOAD, 201, HELD, {"/snis/a.com": {"name": "a.com"}}),
    "upload with two names": ([], TWO, 201, {**PAIR, "snis": ["a.com", "b.com"]}, {"/snis": {"data": [{}, {}]}}),
    "upload a wildcard": (
        [],
        'curl -i -X POST http://localhost:8001/certificates -F "cert=@/path/to/cert.pem" -F "key=@/path/to/cert.key"'
        ' -F "snis=*.tls-example.com,other-tls-example.com"',
        201,
        {**PAIR, "snis": ["*.tls-example.com", "other-tls-example.com"]},
        {"/certificates/%2A.tls-example.com": PAIR},
    ),
    "upload the default": ([], "curl -X POST http://localhost:8001/certificates -F cert=@cert.pem -F key=@key.pem -F snis=*", 201, {"snis": ["*"]}, {}),
    "plain fields from files": (
        [],
        "curl -X POST http://localhost:8001/certificates -F 'cert=<cert.pem' -F 'key=<key.pem' -F snis=a.com",
        201,
        HELD,
        {},
    ),
    "urlencoded from files": (
        [],
        "curl -X POST http://localhost:8001/certificates --data-urlencode cert@cert.pem --data-urlencode key@key.pem --data 'snis[]=a.com'"
        " --data 'tags=a' --data 'tags=b'",
        201,
        {**HELD, "tags": ["a", "b"]},
        {},
    ),
    "JSON from a file": (
        [],
        "curl -X POST http://localhost:8001/certificates -H 'Content-Type: application/json' --data @certificate.json",
        201,
        HELD,
        {},
    ),
    "JSON": (
        [UPLOAD],
        """curl -X PATCH http://localhost:8001/certificates/a.com --json '{"tags":["x"],"snis":["a.com","c.com"]}'""",
        200,
        {**PAIR, "tags": ["x"], "snis": ["a.com", "c.com"]},
        {},
    ),
    "file names": (
        [],
        "curl -X POST http://localhost:8001/certificates --data cert=@cert.pem --data key=@key.pem",
        400,
        {"fields": {"cert": f"invalid certificate: {NAME}", "key": f"invalid key: {NAME}"}},
        {"/certificates": {"data": []}},
    ),
    "list": ([UPLOAD], "curl http://localhost:8001/certificates", 200, {"data": [HELD], "next": None}, {}),
    "get by name": ([UPLOAD], "curl http://localhost:8001/certificates/a.com", 200, HELD, {}),
    "replace the pair": (
        [UPLOAD],
        "curl -X PATCH http://localhost:8001/certificates/a.com -F cert=@server.crt -F key=@server.key",
        200,
        HELD,
        {},
    ),
    "put by name": ([], "curl -X PUT http://localhost:8001/certificates/new.com -F cert=@cert.pem -F key=@key.pem", 200, {**PAIR, "snis": ["new.com"]}, {}),
    "no names": ([UPLOAD], "curl -X PATCH http://localhost:8001/certificates/a.com -d 'snis='", 200, {"snis": []}, {"/snis": {"data": []}}),
    "tags": (
        [UPLOAD],
        "curl -X PATCH http://localhost:8001/certificates/a.com -d 'tags[]=a' -d 'tags[]=b'",
        200,
        {"tags": ["a", "b"], "snis": ["a.com"]},
        {"/tags/a": {"data": [{"entity_name": "certificates"}]}},
    ),
    "delete": ([UPLOAD], "curl -i -X DELETE http://localhost:8001/certificates/a.com", 204, None, {"/certificates": {"data": []}, "/snis": {"data": []}}),
    "delete of none": ([], "curl -i -X DELETE http://localhost:8001/certificates/a.com", 404, {"message": "SNI not found"}, {}),
    "names of a certificate": ([TWO], "curl http://localhost:8001/certificates/a.com/snis", 200, {"data": [{}, {}], "next": None}, {}),
    "add a name": (
        [UPLOAD],
        "curl -X POST http://localhost:8001/certificates/a.com/snis --data name=b.com",
        201,
        {"name": "b.com"},
        {"/certificates/b.com": {"snis": ["a.com", "b.com"]}},
    ),
    "add a name by id": (
        [UPLOAD],
        "curl -X POST http://localhost:8001/snis --data name=b.com --data certificate.id=$CERTIFICATE_ID",
        201,
        {"name": "b.com"},
        {"/certificates/b.com": {"snis": ["a.com", "b.com"]}},
    ),
    "0.10 add a name by id": (
        [UPLOAD],
        "curl -X POST http://localhost:8001/snis --data name=b.com --data ssl_certificate_id=$CERTIFICATE_ID",
        201,
        {"name": "b.com"},
        {"/certificates/b.com": {"snis": ["a.com", "b.com"]}},
    ),
    "get a name": ([UPLOAD], "curl http://localhost:8001/snis/a.com", 200, {"name": "a.com"}, {}),
    "list names": ([UPLOAD], "curl http://localhost:8001/snis", 200, {"data": [{"name": "a.com"}], "next": None}, {}),
    "put a name": (
        [UPLOAD],
        "curl -X PUT http://localhost:8001/snis/c.com --data certificate.id=$CERTIFICATE_ID",
        200,
        {"name": "c.com"},
        {"/certificates/c.com": {"snis": ["a.com", "c.com"]}},
    ),
    "rename": ([UPLOAD], "curl -X PATCH http://localhost:8001/snis/a.com --data name=z.com", 200, {"name": "z.com"}, {"/certificates/z.com": PAIR}),
    "delete a name": ([UPLOAD], "curl -i -X DELETE http://localhost:8001/snis/a.com", 204, None, {"/certificates": {"data": [{"snis": []}]}}),
    "a name twice": (
        [UPLOAD],
        "curl -X POST http://localhost:8001/snis --data name=a.com --data certificate.id=$CERTIFICATE_ID",
        409,
        {"code": 5, "fields": {"name": "a.com"}},
        {},
    ),
    "client certificate of a service": (
        [UPLOAD, "curl -X POST http://localhost:8001/services --data name=x --data url=https://h:8000/p"],
        "curl -X PATCH http://localhost:8001/services/x --data client_certificate.id=$CERTIFICATE_ID",
        200,
        {"name": "x", "protocol": "https", "host": "h", "port": 8000, "path": "/p"},
        {"/services/x/client_certificate": HELD},
    ),
}


@pytest.mark.parametrize("page", [*SSL_LINES, *CERTIFICATE_LINES])
def test_line(cp, files, page, monkeypatch):
    folder, texts = files
    before, line, status, answer, others = {**SSL_LINES, **CERTIFICATE_LINES}[page]
    for earlier in before:
        code, _, body = run(cp, folder, earlier)
        assert code == 201, (earlier, body)
    certificates = cp.get("/certificates").json()["data"]
    if certificates:
        monkeypatch.setenv("CERTIFICATE_ID", certificates[0]["id"])
    code, fields, body = run(cp, folder, line)
    assert code == status, body
    check("answer", body, answer, texts)
    for path, want in others.items():
        check(path, cp.get(path).json(), want, texts)
    marked = "/apis" in line or "name=ssl" in line or "ssl_certificate_id" in line
    assert ("deprecation" in fields) == ("link" in fields) == marked
