#!/usr/bin/python3
"""A proxy before an ACME authority that makes faults, TLS on both sides.

    fault_proxy.py LISTEN MANAGE UPSTREAM UPSTREAM_CA SERVER_PEM UPSTREAM_DIRECTORY

The Host field goes through, so that the authority's URLs lead here. What a URL is for is learned from the answers: the directory, Location
of new orders and accounts, and the documents.

Management (HTTP): GET /requests: [{"endpoint", "name", "fault", "status"}] in order; POST /rules [RULE...]: from now on these.
RULE: {"endpoint": NAME or "*", "name": only orders for it (from new-order on; none: all), "nth": from which matching request on (1), "times": how
many (1; 0: all), "fault": KIND, ...}; first match wins.
  endpoints: directory new-nonce new-account account new-order order authz challenge finalize cert revoke-cert key-change renewal-info other

  status        answers by itself: status, headers, body, type (text/html), retry_after (seconds), retry_after_date (seconds)
  problem       the same with a problem document: status, kind ("rateLimited"), detail, retry_after...
  bad_nonce     a badNonce problem with a nonce that is good
  reset_before  connection reset, the authority never asked
  hang          no answer for seconds (60), then the end of the connection; the authority never asked
  hold          nothing, until the client's end of the connection is gone; the authority is never asked
  hold_after    the authority acts, then the same: its answer goes nowhere
  drop_after    the authority acts, then the connection is reset instead of an answer
  truncate      the authority's answer, cut in the middle of its body
  slow          the authority's answer after seconds (2)
  drip          the authority's answer a few bytes at a time over seconds (2)
  garbage       the authority's status and fields with another body (body)
"""
import asyncio
import base64
import email.utils
import json
import socket
import ssl
import struct
import sys
import time

BODY_MAX = 1 << 20
DIRECTORY = {"newNonce": "new-nonce", "newAccount": "new-account", "newOrder": "new-order", "revokeCert": "revoke-cert", "keyChange": "key-change",
             "renewalInfo": "renewal-info"}


def path_of(url):
    return "/" + url.split("/", 3)[3]


class Message:
    """A head as it came, and a body."""

    def __init__(self, first, fields, body):
        self.first, self.fields, self.body = first, fields, body

    def get(self, name):
        return next((v for n, v in self.fields if n.lower() == name), None)

    def bytes(self):
        kept = [(n, v) for n, v in self.fields if n.lower() not in ("content-length", "transfer-encoding", "connection")]
        head = [self.first] + [f"{n}: {v}" for n, v in kept] + [f"Content-Length: {len(self.body)}"]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + self.body


async def read_message(reader, head_only=False):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    m = Message(head[0], [tuple(x.strip() for x in line.split(":", 1)) for line in head[1:] if line], b"")
    if head_only:
        return m
    if (m.get("transfer-encoding") or "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            m.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    elif m.get("content-length"):
        m.body = await reader.readexactly(min(int(m.get("content-length")), BODY_MAX))
    return m


class Proxy:
    def __init__(self, upstream, upstream_ca, directory):
        host, port = upstream.rsplit(":", 1)
        self.upstream, self.directory = (host, int(port)), path_of(directory)
        self.client = ssl.create_default_context(cafile=upstream_ca)
        self.client.check_hostname = False
        self.known, self.rules, self.requests, self.nonce_path = {self.directory: "directory"}, [], [], None
        self.names = {}  # path -> the first name of the order that it is about

    # --- what a request is for ---

    def endpoint(self, target):
        path = target.split("?")[0]
        if path in self.known:
            return self.known[path]
        for known, name in self.known.items():
            if name == "renewal-info" and path.startswith(known):
                return name
            if name == "cert" and path.startswith(known):
                return name
        return "other"

    def name_of(self, endpoint, request):
        if endpoint != "new-order":
            return self.names.get(request.first.split(" ")[1].split("?")[0])
        payload = json.loads(request.body)["payload"]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["identifiers"][0]["value"]

    def learn(self, endpoint, answer, name):
        """name: of the order that was asked about, which goes on to the addresses in the answer."""
        location = answer.get("location")
        before = set(self.known)
        if location and endpoint in ("new-order", "new-account"):
            self.known[path_of(location)] = "order" if endpoint == "new-order" else "account"
        try:
            doc = json.loads(answer.body)
        except ValueError:
            doc = None
        if isinstance(doc, dict):
            self.learn_document(endpoint, doc)
        self.names.update((path, name) for path in self.known.keys() - before if name)

    def learn_document(self, endpoint, doc):
        if endpoint == "directory":
            self.known.update({path_of(doc[k]): name for k, name in DIRECTORY.items() if k in doc})
            self.nonce_path = path_of(doc["newNonce"])
        for url in doc.get("authorizations", []):
            self.known[path_of(url)] = "authz"
        for c in doc.get("challenges", []):
            self.known[path_of(c["url"])] = "challenge"
        for key, name in (("finalize", "finalize"), ("certificate", "cert")):
            if isinstance(doc.get(key), str):
                self.known[path_of(doc[key])] = name

    def rule_for(self, endpoint, name):
        for r in self.rules:
            if r.get("endpoint", "*") not in ("*", endpoint) or r.get("name", name) != name:
                continue
            r["seen"] = r.get("seen", 0) + 1
            first, times = r.get("nth", 1), r.get("times", 1)
            if r["seen"] >= first and (times == 0 or r["seen"] < first + times):
                return r
        return None

    # --- the two sides ---

    async def ask(self, request):
        """A connection of its own: nothing is left over by a fault."""
        reader, writer = await asyncio.open_connection(*self.upstream, ssl=self.client, server_hostname="localhost")
        try:
            writer.write(request.bytes())
            return await read_message(reader, request.first.startswith("HEAD "))
        finally:
            writer.close()

    async def good_nonce(self, host):
        if not self.nonce_path:
            return None
        answer = await self.ask(Message(f"HEAD {self.nonce_path} HTTP/1.1", [("Host", host), ("User-Agent", "fault proxy")], b""))
        return answer.get("replay-nonce")

    def made_up(self, rule):
        """An answer of the proxy's own."""
        status, fields = rule.get("status", 500), list(rule.get("headers", {}).items())
        if "retry_after" in rule:
            fields.append(("Retry-After", str(rule["retry_after"])))
        if "retry_after_date" in rule:
            fields.append(("Retry-After", email.utils.formatdate(time.time() + rule["retry_after_date"], usegmt=True)))
        if rule["fault"] == "status":
            body = rule.get("body", "<html><body><h1>Service Unavailable</h1></body></html>")
            return Message(f"HTTP/1.1 {status} Fault", fields + [("Content-Type", rule.get("type", "text/html"))], body.encode())
        doc = {"type": "urn:ietf:params:acme:error:" + rule.get("kind", "serverInternal"), "detail": rule.get("detail", "made by the proxy"), "status": status,
               **rule.get("document", {})}
        return Message(f"HTTP/1.1 {status} Fault", fields + [("Content-Type", "application/problem+json")], json.dumps(doc).encode())

    async def serve(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, OSError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        request = await read_message(reader)
        target = request.first.split(" ")[1]
        endpoint = self.endpoint(target)
        name = self.name_of(endpoint, request)
        rule = self.rule_for(endpoint, name)
        kind = rule["fault"] if rule else None
        entry = {"endpoint": endpoint, "name": name, "fault": kind, "status": None}
        self.requests.append(entry)
        if kind == "reset_before":
            return self.reset(writer)
        if kind == "hold":
            return await self.client_gone(reader)
        if kind == "hang":
            await asyncio.sleep(rule.get("seconds", 60))
            return False
        if kind in ("status", "problem"):
            answer = self.made_up(rule)
        elif kind == "bad_nonce":
            answer = self.made_up({"fault": "problem", "status": 400, "kind": "badNonce", "detail": "JWS has an invalid anti-replay nonce",
                                   "headers": {"Replay-Nonce": await self.good_nonce(request.get("host")) or "bm9uZQ"}})
        else:
            answer = await self.ask(request)
            self.learn(endpoint, answer, name)
        entry["status"] = int(answer.first.split(" ")[1])
        if kind == "hold_after":
            return await self.client_gone(reader)
        if kind == "drop_after":
            return self.reset(writer)
        return await self.answer(writer, request, answer, rule or {})

    async def answer(self, writer, request, answer, rule):
        kind, body = rule.get("fault"), answer.body
        if kind == "garbage":
            answer.body = rule.get("body", "{]").encode()
        if kind == "slow":
            await asyncio.sleep(rule.get("seconds", 2))
        data = answer.bytes()
        if request.first.startswith("HEAD "):
            data = data[: data.index(b"\r\n\r\n") + 4]
        if kind == "truncate":
            writer.write(data[: len(data) - len(body) // 2 - 1])
            await writer.drain()
            return False
        if kind == "drip":
            step = max(1, len(data) // 20)
            for at in range(0, len(data), step):
                writer.write(data[at : at + step])
                await writer.drain()
                await asyncio.sleep(rule.get("seconds", 2) / 20)
            return True
        writer.write(data)
        await writer.drain()
        return (request.get("connection") or "").lower() != "close"

    @staticmethod
    async def client_gone(reader):
        while await reader.read(BODY_MAX):
            pass
        return False

    @staticmethod
    def reset(writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    # --- management ---

    async def manage(self, reader, writer):
        try:
            request = await read_message(reader)
            if request.first.startswith("POST /rules "):
                self.rules, self.requests = json.loads(request.body), []
            writer.write(Message("HTTP/1.1 200 OK", [("Content-Type", "application/json"), ("Connection", "close")], json.dumps(self.requests).encode()).bytes())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()


async def main(listen, manage, upstream, upstream_ca, server_pem, directory):
    proxy = Proxy(upstream, upstream_ca, directory)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_pem)
    host, port = listen.rsplit(":", 1)
    manage_host, manage_port = manage.rsplit(":", 1)
    first = await asyncio.start_server(proxy.serve, host, int(port), ssl=server)
    second = await asyncio.start_server(proxy.manage, manage_host, int(manage_port))
    async with first, second:
        await asyncio.gather(first.serve_forever(), second.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
