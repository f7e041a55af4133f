"""RFC 8555 spoken by hand: what goes out is the test's, to the byte; and a server that answers challenges."""

import base64
import datetime
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import tempfile
import threading

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID, ObjectIdentifier

from harness import wait_until
from pki import key_pem, make_key, pem


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwk(key):
    n = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {"e": b64(n.e.to_bytes(3, "big")), "kty": "RSA", "n": b64(n.n.to_bytes(256, "big"))}
    return {"crv": "P-256", "kty": "EC", "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}


def thumbprint(key):
    return b64(hashlib.sha256(json.dumps(jwk(key), sort_keys=True, separators=(",", ":")).encode()).digest())


def algorithm(key):
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"


def sign(key, header, payload):
    """A flattened JWS; payload: an object, or "" for POST-as-GET."""
    body = payload if isinstance(payload, str) else json.dumps(payload)
    protected, body = b64(json.dumps(header)), b64(body)
    data = f"{protected}.{body}".encode()
    if isinstance(key, bytes):
        sig = hmac.new(key, data, hashlib.sha256).digest()
    elif isinstance(key, rsa.RSAPrivateKey):
        sig = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        sig = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return {"protected": protected, "payload": body, "signature": b64(sig)}


def csr(names, key, common_name=None, ips=()):
    import ipaddress

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    san = [x509.DNSName(n) for n in names] + [x509.IPAddress(ipaddress.ip_address(i)) for i in ips]
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(x509.SubjectAlternativeName(san), False).sign(key, hashes.SHA256())
    return b64(made.public_bytes(serialization.Encoding.DER))


class Raw:
    """One account at one authority."""

    def __init__(self, directory, ca_file, key=None):
        self.http = requests.Session()
        self.http.verify, self.http.trust_env = str(ca_file), False  # or a bundle of the environment would win
        self.key, self.kid, self.nonces = key or make_key(), None, []
        self.dir = self.http.get(directory, timeout=10).json()

    def nonce(self):
        if self.nonces:
            return self.nonces.pop()
        return self.http.head(self.dir["newNonce"], timeout=10).headers["Replay-Nonce"]

    def header(self, url, **other):
        who = {"kid": self.kid} if self.kid else {"jwk": jwk(self.key)}
        return {"alg": algorithm(self.key), "nonce": self.nonce(), "url": url, **who, **other}

    def send(self, url, jws, content_type="application/jose+json"):
        r = self.http.post(url, data=json.dumps(jws), headers={"Content-Type": content_type}, timeout=20)
        if "Replay-Nonce" in r.headers:
            self.nonces.append(r.headers["Replay-Nonce"])
        return r

    def post(self, url, payload="", **header):
        """Signed; again on badNonce, as any client does."""
        for _ in range(10):
            r = self.send(url, sign(self.key, self.header(url, **header), payload))
            if r.status_code != 400 or not r.json()["type"].endswith(":badNonce"):
                return r
        return r

    def register(self, **fields):
        self.kid = None
        r = self.post(self.dir["newAccount"], {"termsOfServiceAgreed": True, **fields})
        if r.status_code in (200, 201):
            self.kid = r.headers["Location"]
        return r

    def order(self, *names, ips=(), **fields):
        ids = [{"type": "dns", "value": n} for n in names] + [{"type": "ip", "value": i} for i in ips]
        return self.post(self.dir["newOrder"], {"identifiers": ids, **fields})

    def until(self, url, statuses, seconds=20):
        return wait_until(lambda: (lambda d: d if d["status"] in statuses else None)(self.post(url).json()), seconds, f"{url}: {statuses}")

    def solve(self, order, answers, kind="http-01"):
        """Answers every challenge of that kind; the authorizations as they end."""
        ended = []
        for url in order["authorizations"]:
            authz = self.post(url).json()
            if authz["status"] == "pending":
                c = next(c for c in authz["challenges"] if c["type"] == kind)
                answers.put(authz["identifier"]["value"], c["token"], f"{c['token']}.{thumbprint(self.key)}")
                assert self.post(c["url"], {}).status_code == 200
                authz = self.until(url, ("valid", "invalid"))
            ended.append(authz)
        return ended

    def issue(self, answers, *names, ips=(), key=None, kind="http-01", **fields):
        """(order, chain as PEM, leaf) of a whole path."""
        r = self.order(*names, ips=ips, **fields)
        assert r.status_code == 201, r.text
        url, order = r.headers["Location"], r.json()
        assert all(a["status"] == "valid" for a in self.solve(order, answers, kind))
        self.until(url, ("ready",))
        r = self.post(order["finalize"], {"csr": csr(names, key or make_key(), ips=ips)})
        assert r.status_code == 200, r.text
        order = self.until(url, ("valid", "invalid"))
        assert order["status"] == "valid", order
        r = self.post(order["certificate"])
        assert r.status_code == 200
        return order, r, x509.load_pem_x509_certificate(r.content)


class Answers:
    """Answers http-01 (every path of a token) and tls-alpn-01, at one address."""

    def __init__(self, ip, http_port, tls_port):
        self.tokens, self.asked, self.by_name = {}, [], {}
        self.http_at, self.tls_at = f"{ip}:{http_port}", f"{ip}:{tls_port}"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                token = self.path.rsplit("/", 1)[1]
                outer.asked.append((self.headers["Host"].split(":")[0], self.path))
                body = outer.tokens.get(token)
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body or "")))
                self.end_headers()
                self.wfile.write((body or "").encode())

        self._server = http.server.ThreadingHTTPServer((ip, http_port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._tls = socket.create_server((ip, tls_port), backlog=64)
        threading.Thread(target=self._serve_tls, daemon=True).start()

    def put(self, name, token, authorization):
        self.tokens[token] = authorization
        self.by_name[name] = authorization

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._tls.close()

    def _context(self, name):
        """RFC 8737's certificate."""
        import ipaddress

        if name.endswith(".in-addr.arpa"):
            name = ".".join(reversed(name.split(".")[:4]))
        key, now = make_key(), datetime.datetime.utcnow()
        digest = hashlib.sha256(self.by_name.get(name, "").encode()).digest()
        san = x509.IPAddress(ipaddress.ip_address(name)) if name.replace(".", "").isdigit() else x509.DNSName(name)
        cert = (
            x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([san]), False)
            .add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.5.5.7.1.31"), b"\x04\x20" + digest), True)
            .sign(key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["acme-tls/1"])
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as f:
            f.write(pem(cert) + key_pem(key))
            f.flush()
            context.load_cert_chain(f.name)
        return context

    def _serve_tls(self):
        def choose(sock, name, _):
            sock.context = self._context(name)

        base = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        base.set_alpn_protocols(["acme-tls/1"])
        base.sni_callback = choose
        while True:
            try:
                raw = self._tls.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._handshake, args=(base, raw), daemon=True).start()

    @staticmethod
    def _handshake(base, raw):
        try:
            with base.wrap_socket(raw, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            pass
