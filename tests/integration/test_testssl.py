"""testssl.sh 3.2 against listeners with ssl_cipher_suite modern and intermediate: A+, and nothing found above LOW."""

import datetime
import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import key_pem, make_key, pem
from upstreams import Upstream, answer

NAME = "www.graded.example.com"
TESTSSL = Path(__file__).parents[2] / "deploy/dev/testssl"
# What is the application's to say.
FIELDS = [
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("Content-Security-Policy", "default-src 'self'"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]
BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")


def certificate(subject, key, issuer=None, issuer_key=None, ca=False, days=64):
    now = datetime.datetime.utcnow()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    public = (issuer_key or key).public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
        .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True)
    )
    if not ca:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.com/ca.crl")], None, None, None)
        builder = (
            builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.CRLDistributionPoints([point]), False)
        )
    return builder.sign(issuer_key or key, hashes.SHA256())


@pytest.fixture(scope="module")
def graded(bare_cluster):
    """A control plane with a leaf of `ca.pem`, and a route to an upstream that asks for HTTPS only."""

    def serve(c):
        while True:
            c.read_request()
            c.send(answer(fields=FIELDS))

    upstream = Upstream(handler=serve)
    ca_key, key = make_key(), make_key()
    ca = certificate("testssl CA", ca_key, ca=True, days=3650)
    leaf = certificate(NAME, key, ca, ca_key)
    (bare_cluster.folder / "ca.pem").write_text(pem(ca))
    cp = bare_cluster.add_control_plane().start()
    for path, body in (
        ("certificates", {"cert": pem(leaf), "key": key_pem(key), "snis": [NAME]}),
        ("services", {"name": "graded", "host": upstream.ip, "port": upstream.port}),
        ("routes", {"name": "graded", "hosts": [NAME], "service": {"name": "graded"}}),
    ):
        r = cp.post(f"/{path}", json=body)
        assert r.status_code == 201, r.text
    yield bare_cluster
    upstream.close()


@pytest.mark.parametrize("suite", ["modern", "intermediate"])
def test_grade(graded, suite):
    d = graded.add_data_plane(ssl_cipher_suite=suite, workers=1).start()
    report = graded.folder / f"testssl-{suite}.json"
    testssl = subprocess.run([TESTSSL], capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    env = dict(os.environ, TESTSSL_INSTALL_DIR=str(Path(testssl).parents[2] / "etc/testssl"), TERM="dumb")
    args = ["--quiet", "--color", "0", "--warnings", "off", "--ip", d.ip, "--add-ca", graded.folder / "ca.pem", "--jsonfile", report]
    out = subprocess.run([testssl, *args, f"https://{NAME}:{d.tls_port}/"], capture_output=True, text=True, env=env, timeout=500, stdin=subprocess.DEVNULL)
    findings = json.loads(report.read_text())
    assert len(findings) > 100, out.stdout[-3000:]
    found = {f["id"]: (f["severity"], f["finding"]) for f in findings}
    assert {i: f for i, f in found.items() if f[0] in BAD} == {}
    assert found["overall_grade"][1] == "A+", [f for f in findings if "grade" in f["id"]]
