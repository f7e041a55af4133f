"""`cardea get|create|update|apply|delete` with the real binary against a real control plane: what works, and more that must not."""

import http.server
import itertools
import json
import os
import socket
import subprocess
import threading

import pytest

from harness import BUILD
from pki import pair

_names = itertools.count(1)


@pytest.fixture(scope="module")
def cp(bare_cluster):
    c = bare_cluster.add_control_plane().start()
    bare_cluster.add_data_plane().start()
    return c


def name(prefix="n"):
    return f"{prefix}-{next(_names)}"


def run(cp, *argv, stdin=None, env=None):
    """As a shell would run it: `services` and `-o json` are words of their own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CARDEA_")}
    if cp:
        clean["CARDEA_CLI_SERVER"] = cp.admin_url
    return subprocess.run([str(BUILD / "cardea"), *map(str, argv)], input=stdin, capture_output=True, text=True, timeout=60, env={**clean, **(env or {})})


def ok(cp, *argv, **kw):
    r = run(cp, *argv, **kw)
    assert r.returncode == 0, r.stderr
    return r.stdout


def shown(cp, *argv, **kw):
    return json.loads(ok(cp, *argv, "-o", "json", **kw))


# --- fields ---


@pytest.mark.parametrize(
    "entity,words,want",
    [
        ("services", ["host=a.com", "port=8080"], {"host": "a.com", "port": 8080}),
        ("service", ["url=http://a.com:81/x?y=z"], {"host": "a.com", "port": 81, "path": "/x"}),
        ("services", ["host=a.com", "port:=81", "tags:=[\"a\", \"b\"]"], {"port": 81, "tags": ["a", "b"]}),
        ("services", ["host=a.com", "tags=one"], {"tags": ["one"]}),
        ("services", ["host=a.com", "tags[]=one", "tags[]=two"], {"tags": ["one", "two"]}),
        ("services", ["host=a.com", "tags[2]=two", "tags[1]=one"], {"tags": ["one", "two"]}),
        ("services", ["host=a.com", "retries=", "enabled=false"], {"retries": None, "enabled": False}),
        ("services", ["host=a.com", "path:=null"], {"path": None}),
        ("routes", ["paths[]=/a", "headers[x-a][]=1", "headers[x-a][]=2"], {"headers": {"x-a": ["1", "2"]}}),
        ("routes", ["paths=/a", "strip_path=false", "methods[]=GET"], {"paths": ["/a"], "strip_path": False}),
        ("plugins", ["name=request-termination", "config.status_code=418", "config.echo=true"], {"enabled": True}),
        ("plugins", ["name=request-termination", "config:={\"status_code\": 418}"], {"enabled": True}),
    ],
)
def test_fields(cp, entity, words, want):
    if entity == "plugins":  # one of a name and scope
        words = [*words, f"service.id={shown(cp, 'create', 'services', 'host=p.com')['id']}"]
    row = shown(cp, "create", entity, *words)
    assert {k: row[k] for k in want} == want
    if entity == "plugins":
        assert row["config"]["status_code"] == 418


def test_text_becomes_what_the_server_would_make_of_a_form(cp):
    fields = ["name=", "algorithm=least-connections", "healthchecks.active.concurrency=3", "healthchecks.active.healthy.http_statuses[]=204", "tags[]=a"]
    fields[0] += name("u")
    row = shown(cp, "create", "upstreams", *fields)
    other = cp.post("/upstreams", data="&".join([f"name={name('u')}", *fields[1:]]), headers={"Content-Type": "application/x-www-form-urlencoded"}).json()
    own = ("id", "name", "created_at", "updated_at")
    assert {k: v for k, v in row.items() if k not in own} == {k: v for k, v in other.items() if k not in own}


def test_files_as_values(cp, tmp_path):
    _, cert, key = pair("file.example.com")
    (tmp_path / "c.pem").write_text(cert)
    row = shown(cp, "create", "certificates", f"cert=@{tmp_path}/c.pem", "key=@-", "snis[]=file.example.com", stdin=key)
    assert row["cert"] == cert and row["key"] == key and row["snis"] == ["file.example.com"]
    (tmp_path / "tags.json").write_text('["x", "y"]')
    assert shown(cp, "update", "certificates", "file.example.com", f"tags:=@{tmp_path}/tags.json")["tags"] == ["x", "y"]
    table = ok(cp, "get", "certificates", "file.example.com")
    assert "file.example.com" in table and " EC " in table and "PRIVATE KEY" not in table


@pytest.mark.parametrize(
    "words,code,says",
    [
        (["create", "services"], 2, "no field=value and no --file"),
        (["create", "services", "host"], 2, "host: expected field=value"),
        (["create", "services", "=a"], 2, "the field's name is missing"),
        (["create", "services", ":=1"], 2, "the field's name is missing"),
        (["create", "services", "host=@"], 2, "the file's name is missing"),
        (["create", "services", "host=@/nonexistent/f"], 2, "/nonexistent/f: No such file"),
        (["create", "services", "host=@/"], 2, "/: Is a directory"),
        (["create", "services", "port:={"], 2, "port: not JSON"),
        (["create", "services", "port:="], 2, "port: not JSON"),
        (["create", "services", "port:=80 81"], 2, "port: not JSON"),
        (["create", "services", "tags:={\"a\":1,\"a\":2}"], 2, "tags: not JSON"),
        (["create", "services", "a.=1"], 2, "an empty level"),
        (["create", "services", "a[1=1"], 2, "unbalanced brackets"),
        (["create", "services", "tags[0]=1"], 2, "positions go from 1"),
        (["create", "services", "tags[]=a", "tags.x=b"], 2, "clashes"),
        (["create", "services", "." + ".a" * 70 + "=1"], 2, "an empty level"),
        (["create", "services", "a" + ".a" * 70 + "=1"], 2, "too many levels"),
        (["create", "services", "host=a.com", "port=eighty"], 1, "schema violation (port: expected an integer) (HTTP 400)"),
        (["create", "services", "colour=red"], 1, "2 schema violations (colour: unknown field; host: required field missing) (HTTP 400)"),
        (["create", "services", "host=a.com", "tags=a/b"], 1, "invalid tag 'a/b'"),
        (["create", "routes", "paths=/x", "service.id=00000000-0000-4000-8000-000000000000"], 1, "does not reference an existing 'services' entity"),
        (["create", "routes", "paths=/x", "service.name=nobody"], 1, "foreign key unresolved"),
        (["create", "certificates", "cert=x", "key=y"], 1, "invalid certificate"),
        (["create", "upstreams/nobody/targets", "target=a.com:80"], 1, "Not found (HTTP 404)"),
        (["create", "targets", "target=a.com:80"], 2, "upstreams/KEY/targets"),
        (["create", "services/a/plugin", "x=1", "-f", "/dev/null"], 2, "fields come from --file or from arguments"),
        (["create", "services", "-f", "/dev/null"], 2, "/dev/null: line 1"),
        (["create", "services", "-f", "/nonexistent/f"], 2, "/nonexistent/f: No such file"),
        (["update", "services", "nobody", "port=1"], 1, "Not found (HTTP 404)"),
        (["update", "services", "nobody"], 1, "Not found (HTTP 404)"),
        (["update", "services"], 2, "usage: cardea update"),
        (["get", "service", "nobody"], 1, "Not found (HTTP 404)"),
        (["get", "certificates", "nobody.com"], 1, "SNI not found (HTTP 404)"),
        (["get", "ca_certificates", "nobody"], 1, "expected a valid UUID"),
        (["get", "servces"], 2, "no entity servces; there are: certificates, snis,"),
        (["get", "acme_challenges"], 2, "no entity acme_challenges"),
        (["get", ""], 2, "no entity"),
        (["get", "services/a"], 2, "expected ENTITY or ENTITY/KEY/ENTITY"),
        (["get", "services/a/"], 2, "no entity"),
        (["get", "services//routes"], 2, "no list of routes below services"),
        (["get", "services/a/routes/b"], 2, "expected ENTITY or ENTITY/KEY/ENTITY"),
        (["get", "nobodies/a/routes"], 2, "no entity nobodies"),
        (["get", "services/nobody/routes"], 1, "Not found (HTTP 404)"),
        (["get", "services", "--tags", "a,b/c"], 1, "invalid filter syntax"),
        (["get", "services", "-o", "yaml"], 2, "--output: yaml is not one of: json|table|name"),
        (["get", "services", "--wait", "1"], 2, "takes no --wait"),
        (["get", "services", "a", "b"], 2, "usage: cardea get ENTITY [KEY]"),
        (["delete", "services"], 2, "usage: cardea delete ENTITY KEY..."),
        (["delete", "certificates", "nobody.com"], 1, "nobody.com: SNI not found (HTTP 404)"),
        (["delete", "services", "x", "--wait", "301"], 2, "--wait: at most 300 s"),
        (["delete", "services", "x", "--wait", "soon"], 2, "--wait: \"soon\" is not allowed"),
        (["apply"], 2, "--file is missing"),
        (["apply", "a", "b", "-f", "x"], 2, "usage: cardea apply"),
    ],
)
def test_refused(cp, words, code, says):
    r = run(cp, *words)
    assert (r.returncode, r.stdout) == (code, ""), r.stderr
    assert says in r.stderr and r.stderr.startswith("cardea") and r.stderr.count("\n") == 1, r.stderr


# --- lists and forms of output ---


def test_lists_cross_pages(cp):
    tag = name("page")
    rows = "".join(json.dumps({"name": f"{tag}-{i}", "host": "a.com", "tags": [tag]}) + "\n" for i in range(1003))
    out = ok(cp, "apply", "services", "-f", "-", stdin=rows)
    assert out.count("applied") == 1003
    listed = shown(cp, "get", "services", "--tags", tag)
    assert sorted(s["name"] for s in listed) == sorted(f"{tag}-{i}" for i in range(1003))
    names = ok(cp, "get", "services", "--tags", tag, "-o", "name").split()
    assert len(names) == 1003
    assert ok(cp, "delete", "services", *names).count("deleted") == 1003
    assert shown(cp, "get", "services", "--tags", tag) == []


def test_tables_line_up_and_carry_no_control_characters(cp):
    tag, service = name("t"), name("tab")
    ok(cp, "create", "services", f"name={service}", "host=a.com", f"tags:=[\"{tag}\", \"\\u009b31m\", \"b\", \"c\", \"d\"]")
    out = ok(cp, "get", "services", "--tags", tag)
    head, row = out.splitlines()
    for column, value in (("NAME", service), ("PROTOCOL", "http"), ("HOST", "a.com"), ("PORT", "80"), ("PATH", "-"), ("ENABLED", "yes")):
        at = head.index(column)
        assert row[at : at + len(value)] == value, out
    assert row.endswith(f"{tag},?31m,b,+2") and "\x9b" not in out
    assert ok(cp, "get", "services", "--tags", name("none")).split() == head.split()


def test_options_from_the_environment_and_before_the_command(cp):
    service = name("env")
    ok(cp, "create", "services", f"name={service}", "host=a.com")
    assert json.loads(ok(cp, "get", "services", service, env={"CARDEA_CLI_OUTPUT": "json"}))["name"] == service
    assert ok(cp, "get", "services", service, "-o", "name", env={"CARDEA_CLI_OUTPUT": "json"}) == service + "\n"
    assert ok(None, "-s", cp.admin_url + "/", "-o", "name", "get", "services", service) == service + "\n"
    assert ok(None, "--server=" + cp.admin_url + "/default", "get", "services", service, "-o", "name") == service + "\n"


def test_nested_lists(cp):
    upstream, service = name("u"), name("s")
    ok(cp, "create", "upstreams", f"name={upstream}")
    row = shown(cp, "create", f"upstreams/{upstream}/targets", "target=a.com", "weight=7")
    assert row["target"] == "a.com:8000" and row["weight"] == 7
    assert [t["id"] for t in shown(cp, "get", f"upstream/{upstream}/targets")] == [row["id"]]
    assert ok(cp, "get", f"upstreams/{upstream}/target", "a.com:8000", "-o", "name") == "a.com:8000\n"
    assert ok(cp, "delete", f"upstreams/{upstream}/targets", "a.com:8000") == "targets/a.com:8000 deleted\n"
    ok(cp, "create", "services", f"name={service}", "host=a.com")
    route = shown(cp, "create", f"services/{service}/routes", "paths=/n", "name=" + name("r w"[:1]))
    assert [r["id"] for r in shown(cp, "get", f"services/{service}/routes")] == [route["id"]]


def test_keys_are_escaped(cp):
    tag = "ä ö&?#%"
    consumer = name("a b/c?d#e%f&g")
    row = shown(cp, "create", "consumers", f"username={consumer}", f"tags[]={tag}")
    assert shown(cp, "get", "consumers", consumer)["id"] == row["id"]
    assert [c["id"] for c in shown(cp, "get", "consumers", "--tags", tag)] == [row["id"]]
    assert ok(cp, "delete", "consumers", consumer) == f"consumers/{consumer} deleted\n"
    assert run(cp, "get", "consumers", row["id"]).returncode == 1


def test_update_merges_and_knows_the_types_of_the_row(cp):
    service = shown(cp, "create", "services", "host=a.com", "tags[]=a")
    changed = shown(cp, "update", "services", service["id"], "port=99", "path=/p")
    assert (changed["port"], changed["path"], changed["tags"], changed["host"]) == (99, "/p", ["a"], "a.com")
    plugin = shown(cp, "create", f"services/{service['id']}/plugins", "name=request-termination", "config.message=hi")
    changed = shown(cp, "update", "plugins", plugin["id"], "config.status_code=404")
    assert (changed["config"]["status_code"], changed["config"]["message"]) == (404, "hi")


def test_delete_goes_on_after_a_refusal(cp):
    _, cert, key = pair("gone.example.com")
    ok(cp, "create", "certificates", f"cert={cert}", f"key={key}", "snis=gone.example.com")
    r = run(cp, "delete", "certificates", "nobody.example.com", "gone.example.com")
    assert (r.returncode, r.stdout) == (1, "certificates/gone.example.com deleted\n")
    assert r.stderr == "cardea delete: nobody.example.com: SNI not found (HTTP 404)\n"


def test_wait_for_data_planes(cp, bare_cluster):
    d = bare_cluster.data_planes[0]
    _, cert, key = pair("wait.example.com")
    ok(cp, "create", "certificates", f"cert={cert}", f"key={key}", "snis=wait.example.com", "--wait", "20s")
    assert d.peer_certificate("wait.example.com")
    d.process.signal(19)  # SIGSTOP
    try:
        r = run(cp, "update", "certificates", "wait.example.com", "tags=x", "--wait", "300ms", "-o", "name")
        assert r.returncode == 1 and d.node_id in r.stderr and r.stdout == "wait.example.com\n", r.stderr
    finally:
        d.process.signal(18)


# --- apply ---


def test_apply_replaces_and_keeps_ids(cp):
    service, upstream = name("s"), name("u")
    document = {
        "routes": [{"name": name("r"), "paths": ["/a"], "service": {"name": service}}],
        "services": {"name": service, "host": "a.com", "port": 81},
        "upstreams": [{"name": upstream}],
        "targets": [{"target": "1.2.3.4:80", "upstream": {"name": upstream}}],
    }
    out = ok(cp, "apply", "-f", "-", stdin=json.dumps(document)).splitlines()
    assert out[0] == f"services/{service} applied" and len(out) == 4 and out[3] == "targets/1.2.3.4:80 applied"
    first = shown(cp, "get", "services", service)
    document["services"] = {"name": service, "host": "b.com"}
    document["targets"][0]["weight"] = 5
    ok(cp, "apply", "-f", "-", stdin=json.dumps([document]))
    second = shown(cp, "get", "services", service)
    assert (second["id"], second["host"], second["port"]) == (first["id"], "b.com", 80)
    assert [t["weight"] for t in shown(cp, "get", f"upstreams/{upstream}/targets")] == [5]


def test_what_get_prints_can_be_applied(cp, tmp_path):
    tag = name("copy")
    rows = [shown(cp, "create", "services", f"name={name('c')}", f"host={h}.com", f"tags={tag}") for h in "abc"]
    (tmp_path / "f").write_text(ok(cp, "get", "services", "--tags", tag, "-o", "json"))
    ok(cp, "delete", "services", *[r["id"] for r in rows])
    assert ok(cp, "apply", "services", "-f", tmp_path / "f").count("applied") == 3
    again = shown(cp, "get", "services", "--tags", tag)
    drop = "updated_at"
    assert [{k: v for k, v in r.items() if k != drop} for r in again] == sorted(({k: v for k, v in r.items() if k != drop} for r in rows), key=lambda r: r["id"])


@pytest.mark.parametrize(
    "argv,text,says",
    [
        ([], "", "-: nothing in it"),
        ([], "  \n", "-: nothing in it"),
        ([], "services", "-: value 1: not JSON"),
        ([], '{"services": [}', "-: value 1: not JSON"),
        ([], '{"services": [', "-: value 1: not JSON"),
        ([], "[]\n{", "-: value 2: not JSON"),
        ([], "{}", "-: value 1: expected an object of entities"),
        ([], "[1]", "-: value 1: expected an object of entities"),
        ([], '{"name": "a", "host": "b.com"}', "-: value 1: no entity name"),
        ([], '{"acme_challenges": []}', "-: value 1: no entity acme_challenges"),
        ([], '{"_format_version": "3.0", "services": []}', "-: value 1: a declarative document"),
        ([], '{"services": [1]}', "-: value 1: expected an object"),
        ([], '{"services": "a"}', "-: value 1: expected an object"),
        ([], '{"services": {"host": "a.com"}}', "-: value 1: service without id or name"),
        ([], '{"ca_certificates": {"cert": "x"}}', "-: value 1: ca_certificate without id"),
        ([], '{"targets": {"target": "a:80"}}', "-: value 1: target without upstream.id or upstream.name"),
        ([], '{"services": [], "services": []}', "-: value 1: not JSON: duplicate"),
        (["services"], '{"services": []}', "-: value 1: service without id or name"),
        (["nobodies"], "{}", "no entity nobodies"),
        (["targets"], "{}", "upstreams/KEY/targets"),
    ],
)
def test_bad_files(cp, argv, text, says):
    r = run(cp, "apply", *argv, "-f", "-", stdin=text)
    assert (r.returncode, r.stdout) == (2, "") and says in r.stderr, r.stderr


def test_apply_tells_every_refusal_and_goes_on(cp):
    good = [name("g"), name("g")]
    rows = [{"name": good[0], "host": "a.com"}, {"name": "b d", "host": "a.com"}, {"name": name("p"), "host": "a.com", "port": -1}, {"name": good[1], "host": "a.com"}]
    r = run(cp, "apply", "service", "-f", "-", stdin="\n".join(map(json.dumps, rows)))
    assert (r.returncode, r.stdout) == (1, "".join(f"services/{g} applied\n" for g in good))
    first, second, last = r.stderr.splitlines()
    assert first.startswith("cardea apply: services/b d: invalid value 'b d'") and "value should be between 0 and 65535" in second
    assert last == "cardea apply: 2 applied, 2 refused"


# --- servers that are not there, or something else ---


def test_no_server():
    with socket.socket() as s:  # bound, not listening
        s.bind(("127.0.0.1", 0))
        r = run(None, "get", "services", "-s", f"http://127.0.0.1:{s.getsockname()[1]}")
    assert r.returncode == 3 and "Failed to connect" in r.stderr


def test_a_server_that_says_nothing():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        r = run(None, "get", "services", "--timeout", "200ms", "-s", f"http://127.0.0.1:{s.getsockname()[1]}")
    assert r.returncode == 3 and "timed out" in r.stderr


@pytest.mark.parametrize(
    "status,body,code,says",
    [
        (200, b"<html>hello</html>", 1, "not an answer of the admin API: <html>hello</html>"),
        (200, b"[]", 1, "not an answer of the admin API"),
        (200, b'{"data": {}}', 1, "not an answer of the admin API"),
        (200, b"", 1, "not an answer of the admin API"),
        (302, b"", 1, "HTTP 302, not an answer"),
        (401, b'{"message":"Unauthorized"}', 1, "Unauthorized (HTTP 401)"),
        (503, b'{"message":"bad \\u001b[31m"}', 1, "bad ?[31m (HTTP 503)"),
        (500, b"\x1b[31mred", 1, "?[31mred"),
    ],
)
def test_another_server(status, body, code, says):
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        r = run(None, "get", "services", "--token", "t0ken", "-s", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert r.returncode == code and says in r.stderr and "\x1b" not in r.stderr, r.stderr
    assert len(seen) == 1 and seen[0]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    "argv,says",
    [
        (["--server", "ftp://127.0.0.1"], "not a URL of http or https"),
        (["--server", "127.0.0.1:8001"], "not a URL of http or https"),
        (["--server", "http://"], "http://"),
        (["--token-file", "/nonexistent/t"], "--token-file: /nonexistent/t: No such file"),
        (["--token-file", "/dev/null"], "--token-file: /dev/null: the first line is empty"),
        (["--timeout", "never"], "--timeout: \"never\" is not allowed"),
        (["--timeout", "2d"], "--timeout: \"2d\" is out of range"),
        (["--server", "https://127.0.0.1:1", "--ca", "/nonexistent/ca"], "/nonexistent/ca"),
        (["--server", "https://127.0.0.1:1", "--cert", "/nonexistent/c"], "/nonexistent/c"),
    ],
)
def test_bad_options(argv, says):
    r = run(None, "get", "services", *argv)
    assert r.returncode == 2 and says in r.stderr, (r.returncode, r.stderr)
