"""A DNS server for tests: A, AAAA, SRV and CAA records out of a dict, on a UDP port of loopback."""

import ipaddress
import socket
import struct
import threading

A, AAAA, SRV, CAA = 1, 28, 33, 257


def _name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".") if p) + b"\0"


def _data(kind, value):
    if kind == SRV:
        priority, weight, port, target = value
        return struct.pack("!HHH", priority, weight, port) + _name(target)
    if kind == CAA:
        flags, tag, text = value
        return bytes([flags, len(tag)]) + tag.encode() + text.encode()
    return ipaddress.ip_address(value).packed


class DnsStub:
    """records[name] = {A: [...], SRV: [(priority, weight, port, target)], CAA: [(flags, tag, value)]}; ttl of all; rcode for every question unless None; silent: no answer."""

    def __init__(self, ip="127.0.0.1", port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, port))
        self.address = f"{ip}:{self.socket.getsockname()[1]}"
        self.records, self.ttl, self.rcode, self.silent, self.questions = {}, 1, None, False, 0
        threading.Thread(target=self._run, daemon=True).start()

    def _answer(self, question):
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
        known = self.records.get(".".join(labels))
        rcode = self.rcode if self.rcode is not None else 3 if known is None else 0
        found = (known or {}).get(kind, []) if rcode == 0 else []
        out = question[:2] + struct.pack("!HHHHH", 0x8580 | rcode, 1, len(found), 0, 0) + question[12 : at + 5]
        for value in found:
            data = _data(kind, value)
            out += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data
        return out

    def _run(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
                self.questions += 1
                if not self.silent:
                    self.socket.sendto(self._answer(question), peer)
            except OSError:  # closed
                return

    def close(self):
        self.socket.close()
