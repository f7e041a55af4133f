"""Upstreams for the tests of the proxy: a scripted HTTP/1.1 server that writes down every byte it got."""

import socket
import threading


class Request:
    """One request as it arrived: the bytes of its head, its fields in order, its body, and the trailers of a chunked one."""

    def __init__(self, head, body, trailers, connection):
        self.head, self.body, self.trailers, self.connection = head, body, trailers, connection
        first, *lines = head.decode("latin-1").split("\r\n")
        self.line = first
        self.method, self.target, self.version = first.split(" ")
        self.fields = [tuple(line.split(": ", 1)) for line in lines if line]

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


class Connection:
    """The upstream's end of one connection."""

    def __init__(self, upstream, sock, number):
        self.upstream, self.sock, self.number, self.buffer, self.served = upstream, sock, number, b"", 0
        self.raw, self.begun = b"", 0  # every byte that came; where the request that is read begins in it

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data
        self.raw += data

    def _until(self, mark):
        while mark not in self.buffer:
            self._more()
        part, self.buffer = self.buffer.split(mark, 1)
        return part

    def _exactly(self, n):
        while len(self.buffer) < n:
            self._more()
        part, self.buffer = self.buffer[:n], self.buffer[n:]
        return part

    def read_head(self):
        return self._until(b"\r\n\r\n")

    def read_body(self, head):
        """Body and trailers, decoded."""
        fields = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
        named = {n.lower(): v for n, v in fields}
        if b"transfer-encoding" in named:
            body = b""
            while True:
                size = int(self._until(b"\r\n"), 16)
                if size == 0:
                    break
                body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            trailers = []
            while line := self._until(b"\r\n"):
                trailers.append(tuple(line.decode().split(": ", 1)))
            return body, trailers
        return self._exactly(int(named.get(b"content-length", 0))), []

    def read_request(self):
        self.begun = len(self.raw) - len(self.buffer)
        head = self.read_head()
        body, trailers = self.read_body(head)
        self.served += 1
        return Request(head, body, trailers, self)

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()


def answer(body=b"hello", status="200 OK", fields=()):
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields)
    return head.encode("latin-1") + b"\r\n" + body


class Upstream:
    """handler(connection) serves a connection until it returns; the default answers each request with "hello"."""

    def __init__(self, ip="127.0.0.1", handler=None):
        self.listener = socket.create_server((ip, 0), backlog=128)
        self.ip, self.port = self.listener.getsockname()
        self.handler = handler or self.serve_hello
        self.requests, self.connections = [], []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(20)
            with self.lock:
                c = Connection(self, sock, len(self.connections))
                self.connections.append(c)
            t = threading.Thread(target=self._run, args=(c,), daemon=True)
            t.start()

    def _run(self, c):
        try:
            self.handler(c)
        except (EOFError, OSError):
            pass
        finally:
            try:
                c.sock.close()
            except OSError:
                pass

    def note(self, request):
        with self.lock:
            self.requests.append(request)
        return request

    def serve_hello(self, c):
        while True:
            self.note(c.read_request())
            c.send(answer())

    def take(self):
        """The requests so far; none are left."""
        with self.lock:
            out, self.requests = self.requests, []
        return out

    def close(self):
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)  # accept returns
        self.listener.close()
        for c in self.connections:
            try:
                c.sock.close()
            except OSError:
                pass


def add_route(cluster, name, upstream, **route):
    """A service and a route of this name, for NAME.example.com; every data plane has them when it returns."""
    r = cluster.cp.post("/services", json={"name": name, "host": upstream.ip, "port": upstream.port})
    assert r.status_code == 201, r.text
    r = cluster.cp.post(f"/services/{name}/routes", json={"name": name, "hosts": [f"{name}.example.com"], **route}, headers={"Prefer": "wait=10"})
    assert r.status_code == 201, r.text
