"""Clients' certificates, good and bad, and who says whether they were revoked."""

import base64
import datetime
import http.server
import threading
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from pki import der, key_pem, make_key, pem

HOUR = datetime.timedelta(hours=1)


def now():
    return datetime.datetime.utcnow()


class Holder:
    """A certificate with its key; an authority when ca."""

    def __init__(self, name, issuer=None, ca=False, usage=ExtendedKeyUsageOID.CLIENT_AUTH, begin=-HOUR, end=100 * HOUR, dns=(), sources=None, padding=0):
        self.key, self.issuer, self.name = make_key(), issuer or self, name
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        b = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.cert.subject if issuer else subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() + begin)
            .not_valid_after(now() + end)
            .add_extension(x509.BasicConstraints(ca, None), True)
        )
        if usage and not ca:
            b = b.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if dns:
            b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in dns]), False)
        if padding:
            b = b.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * padding), False)
        if sources:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(sources.url + "/list")], None, None, None)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(sources.url + "/ocsp"))
            b = b.add_extension(x509.CRLDistributionPoints([point]), False).add_extension(x509.AuthorityInformationAccess([access]), False)
        self.cert = b.sign(self.issuer.key, hashes.SHA256())

    @property
    def pem(self):
        return pem(self.cert)

    @property
    def base64(self):
        return base64.b64encode(der(self.cert)).decode()

    @property
    def escaped(self):
        return urllib.parse.quote(self.pem, safe="")

    @property
    def sequence(self):
        return f":{self.base64}:"

    def files(self, folder, *chain):
        """Paths of PEM files: certificate with chain, and key."""
        cert, key = folder / f"{self.name}-{self.cert.serial_number}.pem", folder / f"{self.name}-{self.cert.serial_number}.key"
        cert.write_text(self.pem + "".join(c.pem for c in chain))
        key.write_text(key_pem(self.key))
        return str(cert), str(key)


class Sources:
    """A responder at /ocsp and a list at /list. Certificates in `revoked` are; `broken` paths answer 500."""

    def __init__(self):
        self.revoked, self.broken, self.asked, self.authority = set(), set(), [], None
        sources = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.answer(lambda: sources.ocsp(body))

            def do_GET(self):
                self.answer(sources.list)

            def answer(self, make):
                sources.asked.append(self.path)
                body = b"" if self.path in sources.broken else make()
                self.send_response(500 if self.path in sources.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ocsp(self, body):
        request = ocsp.load_der_ocsp_request(body)
        holder = next(h for h in self.holders if h.cert.serial_number == request.serial_number)
        revoked = holder.cert.serial_number in self.revoked
        return (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=holder.cert,
                issuer=self.authority.cert,
                algorithm=hashes.SHA1(),
                cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
                this_update=now() - HOUR,
                next_update=now() + HOUR,
                revocation_time=now() - HOUR if revoked else None,
                revocation_reason=None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.NAME, self.authority.cert)
            .sign(self.authority.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )

    def list(self):
        b = x509.CertificateRevocationListBuilder().issuer_name(self.authority.cert.subject).last_update(now() - HOUR).next_update(now() + HOUR)
        for number in self.revoked:
            b = b.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now() - HOUR).build())
        return b.sign(self.authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
