"""The certificates and keys that rows of the admin table name: <cert NAME>, <key NAME>, <digest NAME>. Made once, when first asked for."""

import datetime
import functools
import hashlib
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from pki import key_pem, make_key, pem


def _build(name, key, issuer=None, issuer_key=None, days=30, ca=False, digest=hashes.SHA256()):
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.example")]), False)
        .add_extension(x509.BasicConstraints(ca, None), True)
        .sign(issuer_key or key, digest if not isinstance(key, ed25519.Ed25519PrivateKey) else None)
    )


@functools.cache
def _authority():
    key = make_key()
    return _build("issuer", key, ca=True), key


def _plain(name, key, **how):
    return pem(_build(name, key, **how)), key_pem(key)


def _issued(order):
    issuer, issuer_key = _authority()
    key = make_key()
    chain = [pem(_build("issued", key, issuer, issuer_key)), pem(issuer)]
    return "".join(chain[i] for i in order), key_pem(key)


def _form(encoding, encryption=serialization.NoEncryption()):
    key = make_key("rsa")
    text = key.private_bytes(serialization.Encoding.PEM, encoding, encryption).decode()
    return pem(_build("form", key)), text


def _sec1():
    key = make_key()
    return pem(_build("sec1", key)), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _changed(change):
    cert, key = pair("crt")
    return change(cert), change(key)


def _cut_body(text):
    lines = text.splitlines(True)
    return "".join(lines[:2] + lines[-1:])


_MAKERS = {
    "crt": lambda: _plain("crt", make_key()),
    "other": lambda: _plain("other", make_key()),
    "rsa": lambda: _plain("rsa", make_key("rsa")),
    "alt": lambda: _plain("alt", make_key()),
    "expired": lambda: _plain("expired", make_key(), days=-1),
    "weak": lambda: _plain("weak", rsa.generate_private_key(65537, 1024)),
    "brainpool": lambda: _plain("brainpool", ec.generate_private_key(ec.BrainpoolP256R1())),
    "ed25519": lambda: _plain("ed25519", ed25519.Ed25519PrivateKey.generate()),
    "sha1": lambda: _plain("sha1", make_key(), digest=hashes.SHA1()),
    "chain": lambda: _issued([0, 1]),
    "backwards": lambda: _issued([1, 0]),
    "pkcs1": lambda: _form(serialization.PrivateFormat.TraditionalOpenSSL),
    "sec1": _sec1,
    "encrypted": lambda: _form(serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")),
    "legacy-encrypted": lambda: _form(serialization.PrivateFormat.TraditionalOpenSSL, serialization.BestAvailableEncryption(b"secret")),
    "crlf": lambda: _changed(lambda text: text.replace("\n", "\r\n")),
    "open": lambda: _changed(lambda text: text[: text.index("-----END")]),
    "unopened": lambda: _changed(lambda text: text[text.index("\n") + 1 :]),
    "junk": lambda: _changed(lambda text: text.replace("\nM", "\n!", 1)),
    "cut": lambda: _changed(_cut_body),
    "bundle": lambda: _changed(lambda text: text * (1_000_000 // len(text))),
    "ca": lambda: _plain("ca", make_key(), ca=True),
    "spare": lambda: _plain("spare", make_key(), ca=True),
    "new-ca": lambda: _plain("new-ca", make_key(), ca=True),
    "expired-ca": lambda: _plain("expired-ca", make_key(), ca=True, days=-1),
}


@functools.cache
def pair(name):
    """(certificate, key), both PEM texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is weak is made on purpose
        return _MAKERS[name]()


def digest(name):
    """SHA-256 of the certificate's DER, in hex."""
    cert = x509.load_pem_x509_certificate(pair(name)[0].encode())
    return hashlib.sha256(cert.public_bytes(serialization.Encoding.DER)).hexdigest()
