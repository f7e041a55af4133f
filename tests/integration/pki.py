"""Certificates for the tests, made with python3-cryptography."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


def make_key(kind="ec"):
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def san(name):
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make_cert(names, key, issuer=None, issuer_key=None, days=90, ca=False, extensions=()):
    """PEM of a certificate for these names: self-signed, or signed by issuer."""
    now = datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, getattr(names[0], "value", names[0])[:60])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([san(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca, None), True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, False)
    return builder.sign(issuer_key or key, hashes.SHA256())


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def pair(*names, kind="ec"):
    """(certificate, cert PEM, key PEM) of a fresh self-signed pair."""
    key = make_key(kind)
    cert = make_cert(list(names), key)
    return cert, pem(cert), key_pem(key)
