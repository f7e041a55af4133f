"""`cardea issue|orders|nodes|status` against a control plane, Pebble and two data planes."""

import json
import os
import pty
import signal
import subprocess

import pytest

from harness import BUILD, wait_until


def run(cp, *argv, **kw):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CARDEA_")}
    return subprocess.run([str(BUILD / "cardea"), *map(str, argv), "-s", cp.admin_url], capture_output=True, text=True, timeout=90, env=clean, **kw)


def rows(text):
    """A table as dicts: columns begin where their titles do."""
    lines = text.splitlines()
    starts = [i for i, c in enumerate(lines[0]) if c != " " and (i == 0 or lines[0][i - 1] == " ")]
    ends = starts[1:] + [None]
    return [{lines[0][a:b].strip(): line[a:b].strip() for a, b in zip(starts, ends)} for line in lines[1:]]


def test_issue_waits_until_every_data_plane_has_it(acme_cluster, pebble):
    hosts = [f"cli{i}.example.com" for i in range(3)]
    r = run(acme_cluster.cp, "issue", *hosts)
    assert (r.returncode, r.stderr) == (0, ""), r.stderr
    got = rows(r.stdout)
    assert [(g["HOST"], g["RESULT"], g["MESSAGE"]) for g in got] == [(h, "live", "-") for h in hosts] and got[0]["EXPIRES"].endswith("Z")
    root = pebble.root()
    for d in acme_cluster.data_planes:
        for h in hosts:
            assert d.verified(h, root)
    again = run(acme_cluster.cp, "issue", hosts[0], "-o", "json")
    (row,) = json.loads(again.stdout)
    assert again.returncode == 0 and row["result"] == "live" and row["order"]["state"] == "valid"


def test_one_certificate_for_all_hosts(acme_cluster):
    hosts = ["cli-b.example.com", "cli-a.example.com"]
    r = run(acme_cluster.cp, "issue", *hosts, "--together", "--key-type-alt", "rsa-2048", "-o", "json")
    (row,) = json.loads(r.stdout)
    assert r.returncode == 0 and row["result"] == "live" and row["order"]["hosts"] == sorted(hosts), r.stdout
    assert row["order"]["alternative"]["state"] == "valid"
    assert len({d.peer_certificate(h) for d in acme_cluster.data_planes for h in hosts}) == 1


def test_one_order_is_asked_for_once(acme_cluster):
    assert run(acme_cluster.cp, "issue", "once.example.com").returncode == 0
    assert len(acme_cluster.cp.get("/acme/orders?host=once.example.com").json()["data"]) == 1


def test_each_host_has_its_own_result(acme_cluster, pebble):
    pebble.resolve("nobody.example.com", "127.0.0.99")
    r = run(acme_cluster.cp, "issue", "*.example.com", "good.example.com", "192.0.2", "nobody.example.com", "--wait", "60s")
    assert r.returncode == 1 and r.stderr == "cardea issue: 3 of 4 are not live\n"
    got = {g["HOST"]: g for g in rows(r.stdout)}
    assert {h: g["RESULT"] for h, g in got.items()} == {"*.example.com": "refused", "good.example.com": "live", "192.0.2": "refused", "nobody.example.com": "failed"}
    assert "wildcard" in got["*.example.com"]["MESSAGE"] and "HTTP 400" in got["192.0.2"]["MESSAGE"]
    assert got["nobody.example.com"]["MESSAGE"] not in ("", "-")
    listed = rows(run(acme_cluster.cp, "orders", "--host", "nobody.example.com").stdout)
    assert len(listed) == 1 and int(listed[0]["ATTEMPTS"]) >= 1 and listed[0]["PROBLEM"] != "-"


@pytest.mark.parametrize(
    "words,code,says",
    [
        (["issue"], 2, "usage: cardea issue HOST..."),
        (["issue", "a.example.com", "--wait", "x"], 2, '--wait: "x" is not allowed'),
        (["issue", "a.example.com", "--tags", "x"], 2, "takes no --tags"),
        (["issue", "a.example.com", "-o", "x"], 2, "--output: x is not one of"),
        (["nodes", "x"], 2, "usage: cardea nodes"),
        (["orders", "x"], 2, "usage: cardea orders"),
        (["status", "x"], 2, "usage: cardea status"),
        (["status", "--wait", "1"], 2, "takes no --wait"),
    ],
)
def test_wrong_usage(acme_cluster, words, code, says):
    r = run(acme_cluster.cp, *words)
    assert (r.returncode, r.stdout) == (code, "") and says in r.stderr, r.stderr


def test_wrong_key_type_is_the_servers_answer(acme_cluster):
    r = run(acme_cluster.cp, "issue", "kt.example.com", "--key-type", "dsa")
    assert r.returncode == 1 and "key_type must be one of" in r.stdout


def test_progress_is_for_terminals(acme_cluster):
    master, slave = pty.openpty()
    p = subprocess.Popen([BUILD / "cardea", "issue", "tty.example.com", "-s", acme_cluster.cp.admin_url], stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    out, _ = p.communicate(timeout=60)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert p.returncode == 0 and rows(out)[0]["RESULT"] == "live" and "of 1 done" in said and said.endswith("\r\x1b[K")


def test_orders(acme_cluster):
    cp = acme_cluster.cp
    listed = json.loads(run(cp, "orders", "-o", "json").stdout)
    assert sorted(o["id"] for o in listed) == sorted(o["id"] for o in cp.get("/acme/orders?size=1000").json()["data"]) and len(listed) >= 4
    valid = run(cp, "orders", "--state", "valid", "-o", "name").stdout.split()
    assert sorted(valid) == sorted(o["host"] for o in listed if o["state"] == "valid")
    assert rows(run(cp, "orders", "--host", "a b&size=0").stdout) == []


def test_nodes_and_status(acme_cluster):
    cp, d = acme_cluster.cp, acme_cluster.data_planes[1]
    ids = {p.node_id for p in acme_cluster.data_planes}
    got = rows(run(cp, "nodes").stdout)
    assert {g["ID"] for g in got} == ids and {g["CONNECTED"] for g in got} == {"yes"}
    assert set(run(cp, "nodes", "-o", "name").stdout.split()) == ids

    def settled():
        s = json.loads(run(cp, "status", "-o", "json").stdout)
        return s if s["data_planes_current"] == 2 else None

    s = wait_until(settled, what="both data planes at the newest revision")
    assert (s["state"], s["database"], s["database_reachable"], s["data_planes"], s["data_planes_connected"]) == ("ready", "postgres", True, 2, 2)
    facts = {g["WHAT"]: g["VALUE"] for g in rows(run(cp, "status").stdout)}
    assert facts["state"] == "ready" and facts["data_planes_connected"] == "2" and facts["node_id"] == s["node_id"]
    assert run(cp, "status", "-o", "name").stdout == "ready\n"
    d.process.stop()
    wait_until(lambda: json.loads(run(cp, "status", "-o", "json").stdout)["data_planes_connected"] == 1, what="one data plane left")
    assert {g["CONNECTED"] for g in rows(run(cp, "nodes").stdout)} == {"yes", "no"}
    d.start()


def test_issued_but_not_everywhere(acme_cluster):
    """A data plane that hangs: the certificate is there, and the answer says who does not have it."""
    d = acme_cluster.data_planes[1]
    wait_until(lambda: acme_cluster.cp.node(d)["connected"], what="the data plane is back")
    d.process.signal(signal.SIGSTOP)
    try:
        r = run(acme_cluster.cp, "issue", "slow.example.com", "--wait", "14s")
    finally:
        d.process.signal(signal.SIGCONT)
    got = rows(r.stdout)[0]
    assert r.returncode == 1 and got["RESULT"] in ("issued", "waiting"), r.stdout
    assert got["MESSAGE"].startswith("not confirmed in time by data planes") or got["RESULT"] == "waiting", r.stdout


def test_not_ready(acme_cluster):
    assert acme_cluster.cp.post("/status/ready", json={"status": "draining"}).status_code == 204
    r = run(acme_cluster.cp, "status")
    assert r.returncode == 1 and r.stderr == "cardea status: not ready\n" and "draining" in r.stdout
