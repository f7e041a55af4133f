"""What a control plane has a limit for, and what happens over it."""

import contextlib
import os
import pathlib
import signal
import socket
import threading
import time

import pytest
import requests

from harness import wait_until
from pki import pair


@pytest.fixture(scope="module")
def small(bare_cluster):
    """A control plane with small limits, and an ACME authority that nobody answers for."""
    bare_cluster.add_control_plane(
        admin_connections_max=64, cluster_connections_max=1, acme_directory="https://127.0.0.1:1/dir", acme_allow_private="on"
    ).start()
    bare_cluster.add_data_plane().start()
    return bare_cluster


def connections(host, port, n):
    stack = contextlib.ExitStack()
    made = [stack.enter_context(socket.create_connection((host, port), timeout=5)) for _ in range(n)]
    return stack, made


def is_closed(s):
    s.settimeout(0.2)
    try:
        return s.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_idle_admin_connections(small):
    """Those over the limit are closed, those below it are served, and all is well when they leave."""
    stack, made = connections(small.cp.ip, small.cp.admin_port, 80)
    with stack:
        wait_until(lambda: sum(is_closed(s) for s in made) == 16, what="refused")
        kept = next(s for s in made if not is_closed(s))
        kept.sendall(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
        kept.settimeout(5)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        with pytest.raises(requests.ConnectionError):
            small.cp.get("/status", timeout=5)
        # The listeners do not share the limit.
        assert requests.get(f"http://{small.cp.ip}:{small.cp.status_port}/status/ready", timeout=5).status_code == 200
    wait_until(lambda: small.cp.get("/status").status_code == 200, what="admin API back")


def test_cluster_connections(small):
    host, port = small.cp.cluster_addr.rsplit(":", 1)
    stack, made = connections(host, int(port), 3)
    with stack:
        assert all(is_closed(s) for s in made)
    assert small.cp.node(small.data_planes[0])["connected"] is True


def test_many_who_wait_for_orders(small):
    """Clients that wait do not keep the database busy: others are served, and the load does not grow with their number."""
    hosts = [f"wait{i}.example.com" for i in range(50)]
    threads = [threading.Thread(target=lambda h=h: small.cp.post("/acme", data={"host": h}, headers={"Prefer": "wait=3"})) for h in hosts]
    for t in threads:
        t.start()
    cert, key = pair("beside.example.com")[1:]
    start = time.monotonic()
    r = small.cp.post("/certificates", json={"cert": cert, "key": key, "snis": ["beside.example.com"]})
    assert r.status_code == 201 and time.monotonic() - start < 2
    for t in threads:
        t.join()


def test_client_that_never_reads(small):
    """Its answers stay in its own connection; nobody else notices."""
    small.cp.post("/certificates", json={"cert": pair("big.example.com")[1], "key": pair("big.example.com")[2]})
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            s = stack.enter_context(socket.create_connection((small.cp.ip, small.cp.admin_port), timeout=5))
            s.settimeout(0.5)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(200):
                    s.sendall(b"GET /endpoints HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
        assert small.cp.get("/status", timeout=10).status_code == 200
        memory = int(pathlib.Path(f"/proc/{small.cp.process.popen.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        assert memory < 512 << 20


def postmaster(postgres):
    return int((postgres.folder / "data/postmaster.pid").read_text().split()[0])


def stat(pid):
    """State and parent of a process."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:2]


def children(parent):
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(stat(p.name)[1]) == parent:
                found.append(int(p.name))
    return found


def stop_all(postgres):
    """Stops the server, then its children: the other way round, one that it starts meanwhile would go on."""
    parent = postmaster(postgres)
    os.kill(parent, signal.SIGSTOP)
    wait_until(lambda: stat(parent)[0] == "T", 5)
    stopped = [parent, *children(parent)]
    for pid in stopped[1:]:
        os.kill(pid, signal.SIGSTOP)
    return stopped


def test_database_that_hangs(small, postgres):
    """Writes are refused within the limit, the loop goes on, and the first write succeeds soon after."""
    stopped = stop_all(postgres)
    try:
        answers = []

        def write(i):
            start = time.monotonic()
            r = small.cp.post("/snis", json={"name": f"hang{i}.example.com", "certificate": {"id": "00000000-0000-4000-8000-000000000001"}})
            answers.append((r.status_code, time.monotonic() - start))

        threads = [threading.Thread(target=write, args=(i,)) for i in range(40)]
        for t in threads:
            t.start()
        slowest = 0
        while any(t.is_alive() for t in threads):
            start = time.monotonic()
            assert requests.get(f"http://{small.cp.ip}:{small.cp.status_port}/status", timeout=5).status_code == 200
            slowest = max(slowest, time.monotonic() - start)
        assert {code for code, _ in answers} == {503}
        assert max(took for _, took in answers) < 4
        assert slowest < 2  # a loop that waits for the database is held for its 3 s
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: small.cp.post("/snis", json={"name": "a.b", "certificate": {"id": "00000000-0000-4000-8000-000000000001"}}).status_code == 400, 10)
