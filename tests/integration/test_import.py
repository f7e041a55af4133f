"""POST /import: many entities by one request, batches that are stored whole or not at all, and a report that names what was refused."""

import contextlib
import json
import socket
import subprocess
import threading
import time
import uuid

import pytest
import requests

from harness import BUILD, wait_until
from pki import der, pair

NDJSON = {"Content-Type": "application/x-ndjson"}
PAIRS = [pair(f"any{i}.example.com") for i in range(3)]  # what a certificate is for does not matter here


def line(kind, **fields):
    return json.dumps({kind: fields}) + "\n"


def certificate(*names, which=0, **more):
    _, cert, key = PAIRS[which]
    return line("certificates", cert=cert, key=key, snis=list(names), **more)


def post(cp, lines, query="", headers=None, **kw):
    body = "".join(lines) if not isinstance(lines, (str, bytes)) else lines
    return cp.post("/import" + query, data=body, headers={**NDJSON, **(headers or {})}, **kw)


def sql(cluster, text):
    return subprocess.run(["psql", cluster.dsn, "-Atc", text], capture_output=True, text=True, check=True).stdout.strip()


def names_of(cluster, like):
    return sql(cluster, f"SELECT string_agg(name, ' ' ORDER BY name) FROM snis WHERE name LIKE '{like}'").split()


def held(cluster):
    """Every data plane has each name that the database has."""
    n = int(sql(cluster, "SELECT count(*) FROM snis"))
    wait_until(lambda: all(d.metric("cardea_dp_names") == n for d in cluster.data_planes), 30, f"{n} names on every data plane")
    return n


def test_a_file_of_certificates(cluster):
    """One revision per batch, names served, nothing else in the report."""
    r = post(cluster.cp, [certificate(f"good{i}.example.com", which=i % 3) for i in range(25)], "?batch=10", {"Prefer": "wait=15"})
    assert r.status_code == 200, r.text
    report = r.json()
    assert (report["lines"], report["stored"], report["changed"]) == (25, 25, 50)
    assert (report["refused"], report["skipped"], report["batches"], report["batches_refused"]) == (0, 0, 3, 0)
    assert report["errors"] == [] and report["errors_omitted"] == 0
    assert report["revision"] == int(r.headers["X-Cardea-Revision"])
    for i in (0, 9, 24):
        for d in cluster.data_planes:
            assert d.peer_certificate(f"good{i}.example.com") == der(PAIRS[i % 3][0])
    assert len({row for row in sql(cluster, "SELECT revision FROM changes WHERE kind = 'certificates'").split()}) == 3
    held(cluster)


def test_the_same_file_again_changes_nothing(cluster):
    lines = [certificate(f"again{i}.example.com", tags=["a"]) for i in range(5)]
    lines.append(line("certificates", cert=PAIRS[1][1], key=PAIRS[1][2]))  # neither id nor name
    lines.append(line("services", name="again", host="again.example.com"))
    lines.append(line("routes", name="again", paths=["/again"], service={"name": "again"}))
    first = post(cluster.cp, lines).json()
    counts = sql(cluster, "SELECT (SELECT count(*) FROM certificates), (SELECT count(*) FROM snis), (SELECT count(*) FROM routes)")
    again = post(cluster.cp, lines).json()
    assert first["stored"] == again["stored"] == len(lines)
    assert first["changed"] == len(lines) + 5 and again["changed"] == 0
    assert again["revision"] == first["revision"]
    assert sql(cluster, "SELECT (SELECT count(*) FROM certificates), (SELECT count(*) FROM snis), (SELECT count(*) FROM routes)") == counts


def test_a_certificate_by_its_name(cluster):
    """A name that is known names the certificate: it is replaced, and keeps its id and its time."""
    post(cluster.cp, [certificate("by-name.example.com", "by-name2.example.com")])
    before = cluster.cp.get("/certificates/by-name.example.com").json()
    r = post(cluster.cp, [certificate("by-name.example.com", "by-name3.example.com", which=1)])
    assert r.json()["stored"] == 1, r.text
    after = cluster.cp.get("/certificates/by-name.example.com").json()
    assert after["id"] == before["id"] and after["created_at"] == before["created_at"] and after["cert"] == PAIRS[1][1]
    assert after["snis"] == ["by-name.example.com", "by-name3.example.com"]
    assert cluster.cp.get("/snis/by-name2.example.com").status_code == 404


def test_without_names_they_stay(cluster):
    id = str(uuid.uuid4())
    post(cluster.cp, [certificate("stays.example.com", id=id)])
    assert post(cluster.cp, [line("certificates", id=id, cert=PAIRS[2][1], key=PAIRS[2][2])]).json()["changed"] == 1
    assert cluster.cp.get(f"/certificates/{id}").json()["snis"] == ["stays.example.com"]


def test_a_name_of_its_own_line(cluster):
    """Ids and tags of names survive; a line about a name wins over the list of its certificate."""
    cert, sni = str(uuid.uuid4()), str(uuid.uuid4())
    r = post(cluster.cp, [certificate("own.example.com", id=cert), line("snis", id=sni, name="own.example.com", certificate={"id": cert}, tags=["x"])])
    assert r.json()["stored"] == 2, r.text
    row = cluster.cp.get("/snis/own.example.com").json()
    assert row["id"] == sni and row["tags"] == ["x"]
    assert post(cluster.cp, [certificate("own.example.com", id=cert)]).json()["changed"] == 0
    assert cluster.cp.get("/snis/own.example.com").json()["tags"] == ["x"]


def test_references_within_a_batch_and_before_it(cluster):
    """In any order within a batch; of any kind."""
    lines = [
        line("routes", name="ref-r", hosts=["ref.example.com"], service={"name": "ref-s"}),
        line("services", name="ref-s", host="ref.example.com"),
        line("targets", target="10.0.0.1:80", upstream={"name": "ref-u"}),
        line("upstreams", name="ref-u"),
        line("consumers", username="ref-c"),
    ]
    r = post(cluster.cp, lines)
    assert r.status_code == 200 and r.json()["stored"] == 5, r.text
    assert cluster.cp.get("/routes/ref-r").json()["service"]["id"] == cluster.cp.get("/services/ref-s").json()["id"]
    again = post(cluster.cp, lines)
    assert again.json()["changed"] == 0, again.text
    assert len(cluster.cp.get("/upstreams/ref-u/targets").json()["data"]) == 1
    assert post(cluster.cp, [line("routes", name="ref-r2", paths=["/x"], service={"name": "ref-s"})]).json()["stored"] == 1


OTHER = "00000000-0000-4000-8000-0000000000aa"
REFUSED = [
    ("no json", "{\n", None, "cut short"),
    ("not json", '{"certificates": nope}\n', None, "not valid JSON at byte"),
    ("no object", "[1]\n", None, "expected an object"),
    ("two members", '{"snis": {}, "certificates": {}}\n', None, "expected one member"),
    ("no member", "{}\n", None, "expected one member"),
    ("no entity", line("nothing", name="a"), None, "no entity is named 'nothing'"),
    ("an inner entity", line("ticket_secrets", id=OTHER), None, "no entity is named"),
    ("a list", '{"snis": []}\n', None, "snis: expected an object"),
    ("a field that is not there", certificate(colour="red"), "certificates", "colour"),
    ("no certificate", line("certificates", cert="x", key="y"), "certificates", "cert"),
    ("another key", line("certificates", cert=PAIRS[0][1], key=PAIRS[1][2]), "certificates", "certificate does not match key"),
    ("a bad name", certificate("*.*.com"), "certificates", "snis"),
    ("a name twice", certificate("two.example.com", "TWO.example.com"), "certificates", "duplicated"),
    ("a reference to nothing", line("snis", name="lost.example.com", certificate={"id": OTHER}), "snis", "does not reference an existing 'certificates'"),
    ("a name of nothing", line("routes", name="lost", paths=["/"], service={"name": "nobody"}), "routes", "cannot be resolved"),
    ("a name of another certificate", certificate("taken.example.com", id=OTHER), "certificates", "already associated with existing certificate"),
    ("a unique value of another", line("services", id=OTHER, name="taken", host="a.com"), "services", "UNIQUE violation"),
    ("duplicate keys", '{"snis": {"name": "a.com", "name": "b.com"}}\n', None, "not valid JSON"),
    ("a NUL", '{"services": {"name": "a\\u0000b", "host": "a.com"}}\n', None, "not valid JSON"),
    ("invalid UTF-8", b'{"services": {"name": "\xff", "host": "a.com"}}\n', None, "not valid JSON"),
    ("deep", '{"services": ' * 200 + "1" + "}" * 200 + "\n", None, "levels"),
]


@pytest.mark.parametrize("name,bad,entity,words", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused_rows_are_named(cluster, name, bad, entity, words):
    """The line, the entity and what is wrong; nothing of its batch is stored, the batch before is."""
    post(cluster.cp, [certificate("taken.example.com"), line("services", name="taken", host="a.com")])
    bad = bad if isinstance(bad, bytes) else bad.encode()
    tag = uuid.uuid4().hex
    body = certificate(f"a.{tag}.com").encode() + certificate(f"b.{tag}.com").encode() + b"\n" + certificate(f"c.{tag}.com").encode() + bad
    r = post(cluster.cp, body, "?batch=2")
    assert r.status_code == 207, r.text
    report = r.json()
    assert (report["stored"], report["refused"], report["skipped"], report["batches_refused"]) == (2, 1, 1, 1)
    (error,) = report["errors"]
    assert error["line"] == 5 and error["entity"] == entity and words in json.dumps(error), error
    assert "PRIVATE KEY" not in r.text
    assert names_of(cluster, f"%{tag}.com") == [f"a.{tag}.com", f"b.{tag}.com"]
    held(cluster)


def test_all_refused_rows_of_a_batch_are_named(cluster):
    lines = [certificate(f"all{i}.example.com") if i % 2 else line("snis", name="all.example.com") for i in range(6)]
    r = post(cluster.cp, lines)
    assert r.status_code == 400
    assert [e["line"] for e in r.json()["errors"]] == [1, 3, 5]
    assert r.json()["errors"][0]["fields"]["certificate"]
    assert names_of(cluster, "all%.example.com") == []


def test_the_report_is_bounded(cluster):
    r = post(cluster.cp, ["{}\n"] * 2500, "?batch=100")
    assert r.status_code == 400 and r.json()["refused"] == 2500
    assert len(r.json()["errors"]) == 1000 and r.json()["errors_omitted"] == 1500


def test_the_later_line_wins(cluster):
    id = str(uuid.uuid4())
    r = post(cluster.cp, [certificate("first.example.com", id=id), certificate("later.example.com", id=id, which=1)])
    assert r.json()["stored"] == 2, r.text
    row = cluster.cp.get(f"/certificates/{id}").json()
    assert row["snis"] == ["later.example.com"] and row["cert"] == PAIRS[1][1]


def test_two_certificates_want_one_name(cluster):
    a, b = str(uuid.uuid4()), str(uuid.uuid4())
    r = post(cluster.cp, [certificate("wanted.example.com", id=a), certificate("WANTED.example.com", id=b)])
    assert r.status_code == 400 and [e["line"] for e in r.json()["errors"]] == [2]
    assert a in r.json()["errors"][0]["message"]


def test_no_end_of_line_blank_lines_and_carriage_returns(cluster):
    body = "\ufeff\r\n" + certificate("crlf1.example.com").strip() + "\r\n\n  \n" + certificate("crlf2.example.com").strip()
    r = post(cluster.cp, body.encode())
    assert r.status_code == 200 and r.json()["lines"] == 2, r.text


def test_a_line_cut_short(cluster):
    body = certificate("cut1.example.com") + certificate("cut2.example.com")[:-20]
    r = post(cluster.cp, body, "?batch=1")
    assert r.status_code == 207 and r.json()["errors"][0]["line"] == 2 and "cut short" in r.json()["errors"][0]["message"]


def test_a_line_over_the_limit(cluster):
    """Skipped without being kept; what stands behind it is read."""
    long = b'{"certificates": {"cert": "' + b"x" * (5 << 20) + b'"}}\n'
    body = certificate("long1.example.com").encode() + long + certificate("long2.example.com").encode()
    r = post(cluster.cp, body, "?batch=1")
    assert r.status_code == 207, r.text
    assert [(e["line"], "longer than" in e["message"]) for e in r.json()["errors"]] == [(2, True)]
    assert names_of(cluster, "long%.example.com") == ["long1.example.com", "long2.example.com"]


@pytest.mark.parametrize(
    "query,headers,status",
    [
        ("?batch=0", {}, 400),
        ("?batch=10001", {}, 400),
        ("?batch=x", {}, 400),
        ("", {"Content-Type": "text/plain"}, 415),
        ("", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_wrong_requests(cluster, query, headers, status):
    r = post(cluster.cp, "{}\n", query, headers)
    assert r.status_code == status and r.json()["message"]


def test_no_body(cluster):
    assert cluster.cp.post("/import", headers=NDJSON).status_code == 400
    assert cluster.cp.get("/import").status_code == 405


def test_progress(cluster):
    """With Accept: a line now and then, and the report with its status as the last one."""
    lines = [certificate(f"progress{i}.example.com") for i in range(200)] + ["{}\n"]

    def slowly():
        for text in lines:
            time.sleep(0.01)  # the client's pace: progress comes while the body is on its way
            yield text.encode()

    r = cluster.cp.post("/import?batch=50", data=slowly(), headers={**NDJSON, "Accept": "application/x-ndjson", "Prefer": "wait=15"})
    assert r.status_code == 200 and r.headers["Content-Type"] == "application/x-ndjson"
    got = [json.loads(text) for text in r.text.splitlines()]
    assert len(got) > 1 and all(list(g) == ["progress"] for g in got[:-1])
    assert [g["progress"]["lines"] for g in got[:-1]] == sorted(g["progress"]["lines"] for g in got[:-1])
    result = got[-1]["result"]
    assert result["status"] == 207 and result["stored"] == 200 and result["refused"] == 1 and result["missing_nodes"] == []


def open_import(cp, *headers):
    s = socket.create_connection((cp.ip, cp.admin_port), timeout=10)
    s.sendall(b"POST /import?batch=10 HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n")
    return s


def send_chunk(s, text):
    s.sendall(b"%x\r\n%s\r\n" % (len(text), text.encode()))


def test_the_client_goes_away(cluster):
    """What was stored stays, whole batches of it; the rest is forgotten, and others may import."""
    for _ in range(3):  # more than imports_max: each gives its place back
        s = open_import(cluster.cp)
        tag = uuid.uuid4().hex
        send_chunk(s, "".join(certificate(f"gone{i}.{tag}.com") for i in range(25)))
        wait_until(lambda t=tag: len(names_of(cluster, f"%{t}.com")) == 20, 10, "two batches stored")
        s.close()
        assert post(cluster.cp, [certificate(f"after.{tag}.com")]).status_code == 200
        assert len(names_of(cluster, f"gone%{tag}.com")) == 20
    held(cluster)


def test_imports_at_a_time(cluster):
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            s = stack.enter_context(open_import(cluster.cp))
            send_chunk(s, "\n")
        wait_until(lambda: post(cluster.cp, "{}\n").status_code == 429, 5, "refused")
        assert "Retry-After" in post(cluster.cp, "{}\n").headers
        assert cluster.cp.get("/status").status_code == 200
    wait_until(lambda: post(cluster.cp, "\n").status_code == 200, 5, "imports again")


def test_others_are_served_meanwhile(cluster):
    """While an import has the database and the pool busy, the loop answers; and what others write is there."""
    body = "".join(certificate(f"busy{i}.example.com", which=i % 3) for i in range(3000))
    answer = []
    t = threading.Thread(target=lambda: answer.append(post(cluster.cp, body, "?batch=500")))
    t.start()
    written = 0
    while t.is_alive():
        assert cluster.cp.get("/status").status_code == 200
        _, cert, key = PAIRS[0]
        r = cluster.cp.post("/certificates", json={"cert": cert, "key": key, "snis": [f"meanwhile{written}.example.com"]})
        assert r.status_code == 201, r.text
        written += 1
    t.join()
    assert answer[0].status_code == 200 and answer[0].json()["stored"] == 3000, answer[0].text
    assert written > 0 and len(names_of(cluster, "meanwhile%")) == written
    held(cluster)


def test_two_imports_of_the_same_rows(cluster):
    """They race for the same names: both end, and each name is there once."""
    body = "".join(certificate(f"race{i}.example.com") for i in range(400))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(post(cluster.cp, body, "?batch=100"))) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status_code for a in answers] == [200, 200], [a.text for a in answers]
    assert len(names_of(cluster, "race%")) == 400
    held(cluster)


def test_the_body_limit_of_others_stays(cluster):
    r = cluster.cp.post("/certificates", data=b"x" * (11 << 20), headers={"Content-Type": "application/json"})
    assert r.status_code == 413

    def chunks():
        for _ in range(11):
            yield b"x" * (1 << 20)

    with contextlib.suppress(requests.ConnectionError):  # the answer may come before the body is out
        assert cluster.cp.post("/certificates", data=chunks(), headers={"Content-Type": "application/json"}).status_code == 413


@pytest.fixture(scope="module")
def small(run_folder, postgres):
    """A control plane whose imports are small."""
    from harness import Cluster

    folder = run_folder / "small-imports"
    folder.mkdir()
    subprocess.run(["psql", postgres.dsn, "-qc", "CREATE DATABASE small_imports"], check=True, capture_output=True, timeout=30)
    c = Cluster(folder, dsn=f"{postgres.dsn} dbname=small_imports")
    cp = c.add_control_plane(admin_import_max="12m")
    cp.config.write_text(cp.config.read_text().replace(f"admin_listen = {cp.ip}:{cp.admin_port}", f"admin_listen = {cp.ip}:{cp.admin_port} http2"))
    cp.start()
    yield c
    c.stop()


def test_over_http2(small):
    body = "".join(certificate(f"h2-{i}.example.com") for i in range(300))
    out = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-H", "Content-Type: application/x-ndjson", "--data-binary", "@-", small.cp.admin_url + "/import?batch=100"],
        input=body, capture_output=True, text=True, timeout=60,
    )
    assert json.loads(out.stdout)["stored"] == 300, out


def test_the_import_limit(small):
    body = b"\n" * (13 << 20)
    assert small.cp.post("/import", data=body, headers=NDJSON).status_code == 413
    assert small.cp.post("/import", data=body[: 11 << 20], headers=NDJSON).status_code == 200


def test_database_restart_during_an_import(small, postgres):
    """It waits for the database and goes on: every row is there, once."""
    body = [certificate(f"restart{i}.example.com", which=i % 3) for i in range(1500)]
    answer = []
    t = threading.Thread(target=lambda: answer.append(post(small.cp, body, "?batch=50")))
    t.start()
    wait_until(lambda: len(names_of(small, "restart%")) > 0, 20, "the first batch")
    postgres.stop()
    postgres.start()
    t.join()
    assert answer[0].status_code == 200, answer[0].text
    assert answer[0].json()["stored"] == 1500
    assert len(names_of(small, "restart%")) == 1500
    assert int(sql(small, "SELECT count(DISTINCT certificate) FROM snis WHERE name LIKE 'restart%'")) == 1500


# --- cardea config db_import, db_export ---


def cardea(cp, *argv, **kw):
    return subprocess.run([BUILD / "cardea", "config", *map(str, argv), "--server", cp.admin_url], capture_output=True, text=True, timeout=60, **kw)


def test_export_and_import_again(cluster, small, tmp_path):
    """What one control plane exports another one takes whole; and exports the same."""
    post(cluster.cp, [line("upstreams", name="exported"), line("targets", target="10.0.0.9:80", upstream={"name": "exported"}), certificate("exported.example.com", tags=["x"])])
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    assert cardea(cluster.cp, "db_export", first).returncode == 0
    assert first.stat().st_mode & 0o777 == 0o600
    for table in ("plugins", "routes", "services", "targets", "upstreams", "consumers", "snis", "certificates"):
        sql(small, f"DELETE FROM {table}")
    r = cardea(small.cp, "db_import", first)
    assert r.returncode == 0, r.stdout + r.stderr
    assert f"{len(first.read_text().splitlines())} lines" in r.stdout
    assert cardea(small.cp, "db_export", second).returncode == 0

    def rows(f):
        return sorted(json.dumps({k: {**v, "updated_at": 0} for k, v in json.loads(text).items()}, sort_keys=True) for text in f.read_text().splitlines())

    assert rows(first) == rows(second)
    again = cardea(small.cp, "db_import", first)
    assert again.returncode == 0 and "(0 rows changed)" in again.stdout


def test_command_tells_refused_lines(cluster, tmp_path):
    f = tmp_path / "bad.ndjson"
    f.write_text(certificate("told.example.com") + "{}\n" + line("snis", name="a.b"))
    r = cardea(cluster.cp, "db_import", f)
    assert r.returncode == 1 and "line 2: " in r.stderr and "line 3: snis: " in r.stderr
    assert "3 lines: 0 stored" in r.stdout


def test_a_document(cluster, tmp_path):
    f = tmp_path / "kong.yaml"
    f.write_text(
        "_format_version: '3.0'\nservices:\n- name: doc\n  host: doc.example.com\n  routes:\n  - name: doc-r\n    paths: [/doc]\n"
        + "certificates:\n- cert: |\n" + "".join(f"    {t}\n" for t in PAIRS[0][1].splitlines())
        + "  key: |\n" + "".join(f"    {t}\n" for t in PAIRS[0][2].splitlines()) + "  snis:\n  - name: doc.example.com\n"
    )
    r = cardea(cluster.cp, "db_import", f, "--wait", "10s")
    assert r.returncode == 0, r.stdout + r.stderr
    assert cluster.cp.get("/routes/doc-r").json()["service"]["id"] == cluster.cp.get("/services/doc").json()["id"]
    assert all(d.peer_certificate("doc.example.com") == der(PAIRS[0][0]) for d in cluster.data_planes)
    assert "(0 rows changed)" in cardea(cluster.cp, "db_import", f).stdout
    f.write_text("_format_version: '3.0'\nservices:\n- name: doc\n  port: 99999\n")
    r = cardea(cluster.cp, "db_import", f)
    assert r.returncode == 1 and "port" in r.stderr


@pytest.mark.parametrize("argv,code", [(["db_import"], 2), (["db_import", "/nonexistent/file"], 2), (["db_export", "/nonexistent/file"], 2), (["db_import", "/nonexistent/kong.yml"], 2)])
def test_wrong_usage(cluster, argv, code):
    r = cardea(cluster.cp, *argv)
    assert r.returncode == code and r.stderr
