"""An ACME authority that does what the test says, badly on purpose: RFC 8555's pages without its checks. Each kind of page has
its proper answer, and a test may put another in its place."""

import base64
import http.server
import itertools
import json
import ssl
import threading

from cryptography import x509

from pki import key_pem, make_cert, make_key, pem

PAGES = ("dir", "nonce", "account", "new-order", "revoke", "order", "authz", "challenge", "finalize", "cert")


def _decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Asked:
    """One request: its page, the order that it is about, and the payload of its JWS."""

    def __init__(self, ca, page, order, name, payload):
        self.ca, self.page, self.order, self.name, self.payload, self.answered = ca, page, order, name, payload, False


class Name:
    """One identifier of an order with its authorization."""

    def __init__(self, identifier):
        self.identifier = identifier
        self.authz, self.challenge = "pending", "pending"
        self.error = None  # of the challenge

    @property
    def host(self):
        return self.identifier["value"]


class Order:
    """What it has as if it were for one name is its first name's."""

    def __init__(self, number, identifiers):
        self.number, self.names = number, [Name(i) for i in identifiers]
        self.host, self.status, self.cert = self.names[0].host, "pending", None

    def _first(attribute):
        return property(lambda o: getattr(o.names[0], attribute), lambda o, value: setattr(o.names[0], attribute, value))

    authz, challenge, error = _first("authz"), _first("challenge"), _first("error")


class ScriptedCA:
    """`answer[page] = fn(asked)` replaces a page's answer: fn gives (status, body, fields), or None for the proper one."""

    def __init__(self, folder):
        self.key = make_key()
        self.root = make_cert(["scripted CA"], self.key, ca=True)
        self.answer, self.asked, self.orders = {}, [], {}
        self.token = self.default_token
        self.reuses = lambda host: False  # whether its authorization is valid from the beginning
        self.keep_jws = None  # a list: what was posted, as it came
        self.give_nonces = True  # with every answer; else only where one is asked for
        self._numbers, self._nonces = itertools.count(1), itertools.count(1)
        key = make_key()
        (folder / "scripted.pem").write_text(pem(make_cert(["localhost"], key, self.root, self.key)) + key_pem(key))
        self.ca_file = folder / "scripted-ca.pem"
        self.ca_file.write_text(pem(self.root))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "scripted.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.daemon_threads = True
        self.base = f"https://localhost:{self._server.server_address[1]}"
        self.directory = self.base + "/dir"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def count(self, page):
        return sum(a.page == page for a in self.asked)

    # --- the proper answers ---

    def url(self, page, order, name=None):
        return f"{self.base}/{page}/{order.number}" + (f".{order.names.index(name)}" if name else "")

    def order_doc(self, o):
        doc = {"status": o.status, "authorizations": [self.url("authz", o, n) for n in reversed(o.names)], "finalize": self.url("finalize", o)}
        return {**doc, "certificate": self.url("cert", o)} if o.status == "valid" else doc

    def challenge_doc(self, o, name=None, kind="http-01"):
        n = name or o.names[0]
        doc = {"type": kind, "status": n.challenge, "url": self.url("challenge", o, n), "token": self.token(o, n)}
        return {**doc, "error": n.error} if n.error else doc

    @staticmethod
    def default_token(order, name):
        return f"token-{order.number}-{order.names.index(name)}"

    def challenges(self, o, n):
        return [self.challenge_doc(o, n)]

    def validate(self, o, n):
        n.challenge = n.authz = "valid"
        self._settle(o)

    @staticmethod
    def _settle(o):
        if all(n.authz == "valid" for n in o.names) and o.status == "pending":
            o.status = "ready"

    def issue(self, a, days=90):
        csr = x509.load_der_x509_csr(_decode(a.payload["csr"]))
        a.order.cert = make_cert([n.host for n in a.order.names], csr, self.root, self.key, days=days)
        a.order.status = "valid"

    def proper(self, a):
        o = a.order
        if a.page == "dir":
            return 200, {"newNonce": self.base + "/nonce", "newAccount": self.base + "/account", "newOrder": self.base + "/new-order", "revokeCert": self.base + "/revoke"}, {}
        if a.page == "revoke":
            return 200, b"", {}
        if a.page == "nonce":
            return 200, b"", {}
        if a.page == "account":
            return 201, {"status": "valid"}, {"Location": self.base + "/account/1"}
        if a.page == "new-order":
            o = Order(next(self._numbers), a.payload["identifiers"])
            self.orders[o.number] = o
            for n in o.names:
                n.authz = "valid" if self.reuses(n.host) else "pending"
            self._settle(o)
            return 201, self.order_doc(o), {"Location": self.url("order", o)}
        if a.page == "authz":
            return 200, {"status": a.name.authz, "identifier": a.name.identifier, "challenges": self.challenges(o, a.name)}, {}
        if a.page == "challenge":
            self.validate(o, a.name)
            return 200, self.challenge_doc(o, a.name), {}
        if a.page == "finalize":
            self.issue(a)
        if a.page == "cert":
            return 200, pem(o.cert).encode(), {}
        return 200, self.order_doc(o), {}

    def _take(self, path, payload):
        page, _, number = path.strip("/").partition("/")
        if page == "directory":  # where Kong looks for it
            page = "dir"
        number, _, name = number.partition(".")
        order = self.orders.get(int(number or 0))
        a = Asked(self, page, order, order.names[int(name)] if order and name else None, payload)
        self.asked.append(a)
        return a

    def _reply(self, a):
        if a.page not in PAGES or (a.page in PAGES[5:] and not a.order):
            return 404, {"type": "urn:ietf:params:acme:error:malformed", "detail": "no such page"}, {}
        return self.answer.get(a.page, lambda _: None)(a) or self.proper(a)

    def _handler(ca):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self, payload=None):
                a = ca._take(self.path, payload)
                status, body, fields = ca._reply(a)
                kind = "application/json" if status < 400 else "application/problem+json"
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                if ca.give_nonces or self.path == "/nonce":
                    fields = {"Replay-Nonce": f"nonce-{next(ca._nonces)}", **fields}
                for name, value in {"Content-Type": kind, **fields}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                a.answered = True

            do_HEAD = do_GET

            def do_POST(self):
                jws = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                payload = _decode(jws["payload"])
                if ca.keep_jws is not None:
                    ca.keep_jws.append(jws)
                self.do_GET(json.loads(payload) if payload else None)

        return Handler
