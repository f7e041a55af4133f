"""A relay in front of PostgreSQL's unix socket that a test can cut: the partition of one control plane from the database."""

import contextlib
import re
import shutil
import socket
import tempfile
import threading


class Relay:
    """`dsn` leads to the same database through this relay."""

    def __init__(self, dsn):
        host = re.search(r"host=(\S+)", dsn).group(1)
        port = re.search(r"port=(\S+)", dsn)
        name = f".s.PGSQL.{port.group(1) if port else 5432}"
        self._target, self._folder = f"{host}/{name}", tempfile.mkdtemp(prefix="cardea-relay.", dir="/tmp")
        self.dsn = dsn.replace(f"host={host}", f"host={self._folder}")
        self._pairs, self._lock, self._open = [], threading.Lock(), True
        self._answers = threading.Event()  # they go through
        self._answers.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._folder}/{name}")
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.socket(socket.AF_UNIX)
                with self._lock:
                    if self._open:
                        far.connect(self._target)
                        self._pairs.append((near, far))
                    else:
                        near.close()
                        continue
                for a, b, gate in ((near, far, None), (far, near, self._answers)):
                    threading.Thread(target=self._copy, args=(a, b, gate), daemon=True).start()

    @staticmethod
    def _copy(source, to, gate):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if gate:
                    gate.wait()
                to.sendall(data)
        for s in (source, to):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def hold_answers(self):
        """The database is asked and acts; nobody is told, until go_on."""
        self._answers.clear()

    def go_on(self):
        self._answers.set()

    def cut(self):
        with self._lock:
            self._open = False
            for pair in self._pairs:
                for s in pair:
                    with contextlib.suppress(OSError):
                        s.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def mend(self):
        with self._lock:
            self._open = True

    def close(self):
        self.go_on()
        self.cut()
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class TcpRelay:
    """Before a TCP port, at an address of its own: `cut` closes and refuses (the other end is down), `stall` lets nothing through any more (the
    network is), until `mend`."""

    def __init__(self, port, host="127.0.0.1"):
        self._target, self._pairs, self._lock, self._open = (host, port), set(), threading.Lock(), True
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, near):
        self._flows.wait()
        try:
            with self._lock:
                if not self._open:
                    raise OSError
            far = socket.create_connection(self._target)
        except OSError:
            near.close()
            return
        with self._lock:
            self._pairs.add((near, far))
        other = threading.Thread(target=self._copy, args=(far, near), daemon=True)
        other.start()
        self._copy(near, far)
        other.join()
        with self._lock:
            self._pairs.discard((near, far))
        near.close()
        far.close()

    def _copy(self, source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                to.sendall(data)
        for s in (source, to):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def cut(self):
        with self._lock:
            self._open = False
            for pair in self._pairs:
                for s in pair:
                    with contextlib.suppress(OSError):
                        s.shutdown(socket.SHUT_RDWR)

    def stall(self):
        self._flows.clear()

    def mend(self):
        with self._lock:
            self._open = True
        self._flows.set()

    def close(self):
        self._listener.close()
        self.cut()
        self._flows.set()
