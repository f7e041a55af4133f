"""The command line client and the daemons' options: no cluster needed."""

import os
import stat
import subprocess

import pytest

from harness import BUILD


def run(*argv, **kw):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=30, **kw)


def test_cluster_certificates(tmp_path):
    d = tmp_path / "cluster"
    assert run(BUILD / "cardea", "cluster-cert", d).returncode == 0
    for name in ("ca", "cp", "node"):
        assert stat.S_IMODE(os.stat(d / f"{name}.key").st_mode) == 0o600
        assert run("openssl", "verify", "-CAfile", d / "ca.crt", d / f"{name}.crt").returncode == 0
    first = (d / "ca.crt").read_text(), (d / "node.crt").read_text()
    assert run(BUILD / "cardea", "cluster-cert", d, "30").returncode == 0
    assert (d / "ca.crt").read_text() == first[0] and (d / "node.crt").read_text() != first[1]
    subject = run("openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", d / "cp.crt").stdout
    assert "cardea-control-plane" in subject


def test_keyring_grows_by_one_key(tmp_path):
    f = tmp_path / "keyring"
    for n in (1, 2):
        assert run(BUILD / "cardea", "keyring", f).returncode == 0
        lines = f.read_text().splitlines()
        assert len(lines) == n and lines[-1].startswith(f"{n} ") and len(lines[-1].split()[1]) == 64
    assert stat.S_IMODE(f.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "argv",
    [[], ["unknown"], ["cluster-cert"], ["cluster-cert", "/nonexistent/a/b"], ["cluster-cert", "DIR", "0"], ["cluster-cert", "DIR", "x"], ["keyring"], ["keyring", "/nonexistent/k"]],
)
def test_wrong_usage(tmp_path, argv):
    r = run(BUILD / "cardea", *[str(tmp_path) if a == "DIR" else a for a in argv])
    assert r.returncode == 2 and r.stderr


@pytest.mark.parametrize("binary", ["cardea", "cardea-cp", "cardea-dp"])
def test_version_and_help(binary):
    assert run(BUILD / binary, "-V").stdout.startswith(binary + " ")
    assert "usage: " + binary in run(BUILD / binary, "-h").stdout
    assert run(BUILD / binary, "-x").returncode == 2


@pytest.mark.parametrize("binary", ["cardea-cp", "cardea-dp"])
@pytest.mark.parametrize(
    "text,words",
    [
        ("colour = red", ["c.conf:1", "colour"]),
        ("\nlog_level = loud", ["c.conf:2", "log_level", "debug"]),
        ("status_listen = nowhere", ["c.conf:1", "status_listen"]),
        ("log_level", ["c.conf:1"]),
    ],
)
def test_configuration_errors_name_file_line_and_key(tmp_path, binary, text, words):
    f = tmp_path / "c.conf"
    f.write_text(text + "\n")
    r = run(BUILD / binary, "-t", "-c", f)
    assert r.returncode == 2
    for word in words:
        assert word in r.stderr, r.stderr


@pytest.mark.parametrize(
    "line,words",
    [
        ("dns_order = MX", ["dns_order", '"MX"', "SRV"]),
        ("dns_order = LAST", ["dns_order"]),
        ("dns_resolver = nowhere", ["dns_resolver"]),
        ("dns_resolver = 127.0.0.1:99999", ["dns_resolver"]),
        ("upstream_allow_private = everywhere", ["upstream_allow_private", "everywhere"]),
        ("upstream_allow_private = 10.0.0.0/33", ["upstream_allow_private", "10.0.0.0/33"]),
    ],
)
def test_what_upstreams_need_is_checked(tmp_path, line, words):
    f = tmp_path / "c.conf"
    base = "cluster_control_plane = 127.0.0.1:1\ncluster_cert = /c\ncluster_cert_key = /k\ncluster_ca_cert = /a\n"
    f.write_text(base)
    assert run(BUILD / "cardea-dp", "-t", "-c", f).returncode == 0
    f.write_text(base + line + "\n")
    r = run(BUILD / "cardea-dp", "-t", "-c", f)
    assert r.returncode == 2
    for word in words:
        assert word in r.stderr, r.stderr


def test_environment_wins_and_secrets_are_masked(tmp_path):
    f = tmp_path / "c.conf"
    f.write_text("log_level = error\npg_password = hunter2\nkeyring_file = /k\ncluster_cert = /c\ncluster_cert_key = /p\ncluster_ca_cert = /a\n")
    r = run(BUILD / "cardea-cp", "-t", "-c", f, env={**os.environ, "CARDEA_LOG_LEVEL": "debug"})
    assert r.returncode == 0, r.stderr
    assert "log_level = debug" in r.stdout and "hunter2" not in r.stdout and "******" in r.stdout
