"""Fixtures: one PostgreSQL and one Pebble for the whole run, a fresh database and fresh daemons for each test module."""

import itertools
import os
import shutil
import subprocess

import pytest

from harness import CHALLTEST, Cluster, Pebble, Postgres, free_port, make_folder
from pki import der, pair

_names = itertools.count(1)
# Minutes of processor time: `make grade` runs it.
collect_ignore = [] if os.environ.get("TESTSSL") else ["test_testssl.py"]


@pytest.fixture(scope="session")
def run_folder():
    folder = make_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(run_folder):
    pg = Postgres(run_folder).start()
    yield pg
    pg.stop()


@pytest.fixture(scope="session")
def http_port():
    """The data planes' plain port, which Pebble validates against."""
    return free_port()


@pytest.fixture(scope="session")
def pebble(run_folder, http_port):
    p = Pebble(run_folder, http_port).start()
    yield p
    p.stop()


@pytest.fixture(scope="module")
def database(postgres):
    """Connection string of a new, empty database."""
    name = f"test{next(_names)}"
    subprocess.run(["psql", postgres.dsn, "-qc", f"CREATE DATABASE {name}"], check=True, capture_output=True, timeout=30)
    return f"{postgres.dsn} dbname={name}"


@pytest.fixture(scope="module")
def bare_cluster(run_folder, database, http_port):
    """A cluster without running daemons: the test adds them."""
    folder = run_folder / f"cluster{next(_names)}"
    folder.mkdir()
    c = Cluster(folder, dsn=database, http_port=http_port)
    yield c
    c.stop()


@pytest.fixture(scope="module")
def dbless_cluster(run_folder, http_port):
    """A cluster without a database and without running daemons: the test adds them."""
    folder = run_folder / f"cluster{next(_names)}"
    folder.mkdir()
    c = Cluster(folder, http_port=http_port)
    yield c
    c.stop()


@pytest.fixture(scope="module")
def cluster(bare_cluster):
    """One control plane and two data planes, no ACME authority."""
    bare_cluster.add_control_plane().start()
    for _ in range(2):
        bare_cluster.add_data_plane().start()
    return bare_cluster


@pytest.fixture(scope="module")
def acme_cluster(bare_cluster, pebble):
    """One control plane that uses Pebble, and two data planes."""
    bare_cluster.add_control_plane(
        acme_directory=pebble.directory, acme_ca_file=pebble.ca_file, acme_allow_private="on", acme_max_in_flight=2
    ).start()
    for _ in range(2):
        bare_cluster.add_data_plane().start()
    pebble_default(bare_cluster)
    return bare_cluster


def pebble_default(c):
    """Every name resolves to the first data plane."""
    import requests

    requests.post(f"{CHALLTEST}/set-default-ipv4", json={"ip": c.data_planes[0].ip}, timeout=5)


@pytest.fixture(scope="module")
def pair_of_planes(bare_cluster):
    """One control plane and two data planes: the first has no default certificate, the second has one (bare_cluster.default_der)."""
    cert, cert_pem, key = pair("default.example.com")
    bare_cluster.default_der = der(cert)
    (bare_cluster.folder / "default.crt").write_text(cert_pem)
    (bare_cluster.folder / "default.key").write_text(key)
    bare_cluster.add_control_plane().start()
    bare_cluster.add_data_plane().start()
    bare_cluster.add_data_plane(ssl_cert=bare_cluster.folder / "default.crt", ssl_cert_key=bare_cluster.folder / "default.key").start()
    return bare_cluster
